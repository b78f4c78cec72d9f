"""Folders, globs and lists become the same paths in the same order, each file once, and nothing is lost on the way."""

from __future__ import annotations

import inspect
import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import odd_pictures as odd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vision.errors import PictureError, UsageError
from vision.images import read_picture
from vision.images.find import Finder, find_inputs


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*paths: str | bytes) -> None:
    """Empty files and the folders above them; a path that ends in "/" is a folder."""
    for path in map(os.fsdecode, paths):
        folder = Path(path) if path.endswith("/") else Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            Path(path).touch()


def rows(*inputs: str, stdin: bytes = b"") -> list[str]:
    """The row paths; every one has a file that exists."""
    found = list(find_inputs(inputs, stdin=io.BytesIO(stdin)))
    assert all(f.error is None and f.file is not None and os.path.lexists(f.file) for f in found)
    return [f.path for f in found]


def errors(*inputs: str) -> list[tuple[str, str]]:
    return [(f.path, f.error.code) for f in find_inputs(inputs) if f.error is not None and f.file is None]


# Names of rows


def test_files_have_the_names_given() -> None:
    make("a.jpg", "shop/b.jpg")
    assert rows("./a.jpg", "shop/b.jpg", str(Path.cwd() / "shop" / "b.jpg")) == [
        "./a.jpg",
        str(Path.cwd() / "shop/b.jpg"),
    ]
    assert rows("shop/../a.jpg") == ["shop/../a.jpg"]


def test_files_in_folders_have_names_relative_to_the_folders_parent() -> None:
    make("data/shop/17/a.jpg", "data/shop/b.jpg")
    wanted = ["shop/17/a.jpg", "shop/b.jpg"]
    assert rows("data/shop") == wanted
    assert rows("data/shop/") == wanted
    assert rows(str(Path.cwd() / "data" / "shop")) == wanted


def test_the_working_folder_has_the_name_of_the_folder_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    make("shop/a.jpg", "shop/in/b.jpg")
    monkeypatch.chdir("shop")
    assert rows(".") == ["shop/a.jpg", "shop/in/b.jpg"]
    monkeypatch.chdir("in")
    assert rows("..") == ["shop/a.jpg", "shop/in/b.jpg"]


def test_two_folders_of_one_name_keep_the_paths_given() -> None:
    make("a/photos/1.jpg", "b/photos/1.jpg", "c/2.jpg")
    assert rows("b/photos/", "a/photos", "c") == ["a/photos/1.jpg", "b/photos/1.jpg", "c/2.jpg"]


# Order


def test_a_folder_has_the_path_given_where_a_file_of_a_like_name_lies_elsewhere() -> None:
    """Two different files had one row path."""
    make("far/x/a.jpg", "x/a.jpg", "x/b.jpg")
    far = str(Path.cwd() / "far" / "x")
    assert rows(far, "x/a.jpg") == [f"{far}/a.jpg", "x/a.jpg"]
    assert rows("x", "x/a.jpg") == ["x/a.jpg", "x/b.jpg"]


def test_rows_are_sorted_as_whole_paths_byte_by_byte() -> None:
    names = [
        "p/a.jpg",
        "p/a/1.jpg",
        "p/a-b.jpg",
        "p/a/b/2.jpg",
        "p/B.jpg",
        "p/ä.jpg",
        "p/a0.jpg",
        "p/\U0001f600.jpg",
        "p/￼.jpg",
    ]
    make(*names)
    assert rows("p") == sorted(names, key=os.fsencode)


def test_the_order_of_inputs_leaves_the_rows_the_same() -> None:
    make("a/1.jpg", "a/3.jpg", "b/2.jpg", "c.jpg", "b.jpg")
    inputs = ["c.jpg", "b", "a/3.jpg", "b.jpg", "a", "./b.jpg", "nothing.jpg"]
    wanted = [f.path for f in find_inputs(inputs)]
    assert wanted == ["./b.jpg", "a/1.jpg", "a/3.jpg", "b/2.jpg", "c.jpg", "nothing.jpg"]
    assert [f.path for f in find_inputs(inputs[::-1])] == wanted


trees = st.lists(
    st.lists(st.sampled_from(["a", "b", "a.", "a-", "ab", "B", "é", "a b"]), min_size=1, max_size=4).map("/".join),
    min_size=1,
    max_size=12,
)


@given(trees)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_sorted_and_whole(tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    top = tmp_path_factory.mktemp("tree")
    files: set[str] = set()
    for path in paths:
        file = top / "t" / path / "f.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        files.add(f"t/{path}/f.jpg")
    assert [f.path for f in find_inputs([str(top / "t")])] == sorted(files, key=os.fsencode)


def test_nothing_is_listed_before_its_turn() -> None:
    make("p/a/1.jpg", "p/b/1.jpg", "p/c/1.jpg")
    found = iter(Finder(["p"]))
    assert next(found).path == "p/a/1.jpg"
    make("p/b/0.jpg", "p/a/2.jpg")  # too late for a, in time for b
    assert [f.path for f in found] == ["p/b/0.jpg", "p/b/1.jpg", "p/c/1.jpg"]


# Each file once


def test_a_path_given_twice_comes_once() -> None:
    make("a.jpg", "p/b.jpg")
    assert rows("a.jpg", "a.jpg", "./a.jpg", "p/../a.jpg") == ["./a.jpg"]
    assert rows("p", "p/", "./p", str(Path.cwd() / "p")) == ["p/b.jpg"]
    assert errors("x.jpg", "x.jpg") == [("x.jpg", "not_found")]


def test_a_file_given_and_its_folder_give_it_once_under_the_name_given() -> None:
    make("p/a.jpg", "p/b.jpg")
    assert rows("p", "./p/a.jpg") == ["./p/a.jpg", "p/b.jpg"]


def test_an_inner_and_an_outer_folder_give_each_file_once() -> None:
    make("p/a.jpg", "p/q/b.jpg", "p/q/r/c.jpg")
    assert rows("p", "p/q") == ["p/a.jpg", "q/b.jpg", "q/r/c.jpg"]


def test_a_link_to_a_file_is_a_file_of_its_own() -> None:
    make("p/a.jpg")
    Path("p/b.jpg").symlink_to("a.jpg")
    assert rows("p") == ["p/a.jpg", "p/b.jpg"]


def test_a_folder_reached_by_two_ways_is_entered_once() -> None:
    make("p/a/1.jpg", "outside/2.jpg", "outside/in/3.jpg")
    Path("p/b").symlink_to("a")
    Path("p/x").symlink_to("../outside/in")
    Path("p/y").symlink_to("../outside")
    Path("p/z").symlink_to("../outside/in")
    finder = Finder(["p"])
    assert [f.path for f in finder] == ["p/a/1.jpg", "p/x/3.jpg", "p/y/2.jpg"]
    assert finder.skipped == {"link": 2}


def test_links_that_lead_back_end() -> None:
    make("p/a/1.jpg", "p/b/2.jpg")
    Path("p/a/up").symlink_to("..")
    Path("p/a/self").symlink_to(".")
    Path("p/b/cousin").symlink_to("../a")
    Path("p/b/root").symlink_to("/")
    Path("p/b/above").symlink_to("../..")
    finder = Finder(["p"])
    assert [f.path for f in finder] == ["p/a/1.jpg", "p/b/2.jpg"]
    assert finder.skipped == {"link": 5}


def test_folders_outside_that_link_to_each_other_end() -> None:
    make("p/", "x/1.jpg", "y/2.jpg", "z/3.jpg")
    Path("p/x").symlink_to("../x")
    for name in "xyz":
        for other in "xyz":
            Path(name, f"to-{other}").symlink_to(f"../{other}")
    assert sorted(Path(row).name for row in rows("p")) == ["1.jpg", "2.jpg", "3.jpg"]


def test_a_link_to_a_folder_that_is_hidden_in_its_own_place_is_followed() -> None:
    make("p/.cache/1.jpg")
    Path("p/shown").symlink_to(".cache")
    assert rows("p") == ["p/shown/1.jpg"]


def test_trees_deeper_than_python_may_recurse_are_walked_to_their_end() -> None:
    deep = "p/" + "/".join(["d"] * 300)
    make(f"{deep}/a.jpg")
    limit, depth = sys.getrecursionlimit(), len(inspect.stack())
    sys.setrecursionlimit(depth + 100)  # a tree of a thousand folders would trip those who tidy up after the test
    try:
        assert rows("p") == [f"{deep}/a.jpg"]
    finally:
        sys.setrecursionlimit(limit)


# What counts as a picture


def test_folders_hold_other_files_which_are_counted_not_read() -> None:
    make(
        "p/a.jpg", "p/b.PNG", "p/notes.txt", "p/LIST.TXT", "p/x.json", "p/Thumbs.db", "p/.DS_Store", "p/.git/objects/ab"
    )
    make("p/scan", "p/photo.of.cat", "p/c.svg", "p/txt", "p/d.", "p/film.mov")
    finder = Finder(["p"])
    assert [f.path for f in finder] == [
        "p/a.jpg",
        "p/b.PNG",
        "p/c.svg",
        "p/d.",
        "p/photo.of.cat",
        "p/scan",
        "p/txt",
    ]
    assert finder.skipped == {".txt": 2, ".json": 1, ".db": 1, ".mov": 1, "hidden": 2}
    list(finder)
    assert finder.skipped[".txt"] == 2  # counted anew


def test_a_file_given_by_name_is_always_tried() -> None:
    make("notes.txt", ".hidden.jpg")
    assert rows("notes.txt", ".hidden.jpg") == [".hidden.jpg", "notes.txt"]


def test_pipes_and_broken_links_in_a_folder_become_failed_rows() -> None:
    make("p/")
    os.mkfifo("p/pipe.jpg")
    Path("p/gone.jpg").symlink_to("nowhere.jpg")
    Path("p/loop.jpg").symlink_to("loop.jpg")
    codes = {}
    for found in find_inputs(["p"]):
        with pytest.raises(PictureError) as caught:
            read_picture(found.file)
        codes[found.path] = caught.value.code
    assert codes == {"p/gone.jpg": "not_found", "p/loop.jpg": "not_readable", "p/pipe.jpg": "unsupported"}


# What cannot be found


def test_missing_inputs_are_not_found() -> None:
    make("a.jpg")
    names = ["b.jpg", "a.jpg/c.jpg", "x*.jpg", "@list.txt", "nul\0.jpg"]
    assert errors(*names) == sorted((name, "not_found") for name in names)
    assert [f.path for f in find_inputs(["b.jpg", "a.jpg"])] == ["a.jpg", "b.jpg"]


def test_an_empty_input_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        Finder(["a.jpg", ""])


def test_a_folder_that_cannot_be_listed_is_a_row_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    make("p/a/1.jpg", "p/b/2.jpg", "p/b.jpg", "p/c/3.jpg")
    listed = os.scandir

    def refusing(path: str) -> Iterable[os.DirEntry[str]]:
        # rights do not bind the superuser, whom tests may run as
        if os.fspath(path).endswith("p/b"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = list(find_inputs(["p"]))
    assert [f.path for f in found] == ["p/a/1.jpg", "p/b.jpg", "p/b/", "p/c/3.jpg"]
    assert found[2].error is not None
    assert found[2].error.code == "not_readable"
    assert "Permission denied" in str(found[2].error)


def test_a_folder_that_may_be_listed_but_not_entered_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking whether its subfolder is a link ended the walk."""
    make("shop/shut/inner/", "shop/z.jpg")
    is_symlink, scandir = Path.is_symlink, os.scandir

    def refuse(path: str) -> None:
        if "inner" in str(path):
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_symlink", lambda self: refuse(str(self)) or is_symlink(self))
    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) or scandir(path))
    assert [f.path for f in find_inputs(["shop"]) if f.error is None] == ["shop/z.jpg"]
    assert errors("shop") == [("shop/shut/inner/", "not_readable")]


def test_folders_of_ours_are_no_inputs_however_they_are_named() -> None:
    make("shop/a.jpg", "shop/out/overlays/a.jpg", "shop/outer.jpg", "elsewhere/")
    Path("elsewhere/link").symlink_to(Path.cwd() / "shop" / "out")
    inputs = ["shop", "shop/out", "shop/**/*.jpg", "shop/out/overlays/a.jpg", "elsewhere"]
    finder = Finder(inputs, leave_out=[Path("shop/out")])
    assert [f.path for f in finder] == ["shop/a.jpg", "shop/outer.jpg"]
    # the folder given, the file given, the same one by the glob, the folder in its place and through the link
    assert finder.skipped["own"] == 5


def test_results_of_earlier_scans_are_no_inputs_unless_they_are_named() -> None:
    make("shop/a.jpg", "shop/out/overlays/a.jpg", "shop/mine/b.jpg", "shop/pipe/c.jpg")
    Path("shop/out/scan.json").write_text('{\n "schema": "vision.scan/1",\n "status": "complete"}')
    Path("shop/mine/scan.json").write_text('{"schema": "somebody.else/1"}')
    os.mkfifo("shop/pipe/scan.json")
    finder = Finder(["shop"])
    assert [f.path for f in finder] == ["shop/a.jpg", "shop/mine/b.jpg", "shop/pipe/c.jpg"]
    assert finder.skipped["own"] == 1
    assert rows("shop/out/overlays") == ["overlays/a.jpg"]
    for pattern in ("shop/*", "shop/**/*.jpg", "*/*/overlays/*", "shop/ou*"):
        assert not any("overlays" in row for row in rows(pattern)), pattern
    assert rows("shop/out/overlays/*.jpg") == ["shop/out/overlays/a.jpg"]


def test_an_empty_folder_has_no_rows() -> None:
    make("p/")
    assert rows("p") == []
    assert rows() == []


# Lists


@pytest.mark.parametrize(
    "content",
    [b"b.jpg\na.jpg\n", b"b.jpg\r\na.jpg", b"\n\nb.jpg\n\na.jpg\n", b"b.jpg\0a.jpg\0", b"\xef\xbb\xbfa.jpg\nb.jpg"],
)
def test_lists_hold_a_path_a_line_or_between_nuls(content: bytes) -> None:
    make("a.jpg", "b.jpg")
    Path("list.txt").write_bytes(content)
    assert rows("@list.txt") == rows("-", stdin=content) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("form", ["utf-16", "utf-8-sig"])
def test_lists_of_other_systems_are_read(form: str) -> None:
    """In a list of PowerShell every letter was a path, and "/" all of the disk."""
    make("shop/a.jpg", "shop/b.jpg")
    assert rows("-", stdin="shop/a.jpg\r\nshop/b.jpg\r\n".encode(form)) == ["shop/a.jpg", "shop/b.jpg"]


def test_lists_may_name_folders_and_what_is_missing() -> None:
    make("p/a.jpg", "b[1].jpg")
    assert [f.path for f in find_inputs(["-"], stdin=io.BytesIO(b"p\nb[1].jpg\ngone.jpg\n*.jpg\n"))] == [
        "*.jpg",
        "b[1].jpg",
        "gone.jpg",
        "p/a.jpg",
    ]


def test_a_list_between_nuls_may_hold_names_of_two_lines() -> None:
    make("a\nb.jpg")
    assert rows("-", stdin=b"a\nb.jpg\0") == ["a\nb.jpg"]


def test_a_folder_is_no_list() -> None:
    make("p/")
    assert errors("@p") == [("@p", "not_readable")]


# Globs


def test_globs_that_the_shell_left_alone_are_expanded_as_it_would() -> None:
    make("shop/1/a.jpg", "shop/2/b.jpg", "shop/2/c.png", "shop/.old/d.jpg", "shop/2/.e.jpg", "f.jpg")
    assert rows("shop/*/*.jpg") == ["shop/1/a.jpg", "shop/2/b.jpg"]
    assert rows("./shop/?/[ab].jpg") == ["./shop/1/a.jpg", "./shop/2/b.jpg"]
    assert rows("**/*.jpg") == ["f.jpg", "shop/1/a.jpg", "shop/2/b.jpg"]
    assert rows("shop/.*/*.jpg") == ["shop/.old/d.jpg"]
    assert rows("shop/2/**") == ["shop/2/b.jpg", "shop/2/c.png"]
    assert rows("sh*/**") == ["shop/1/a.jpg", "shop/2/b.jpg", "shop/2/c.png"]
    assert rows(f"{Path.cwd()}/sh*/1/*") == [f"{Path.cwd()}/shop/1/a.jpg"]
    assert rows("shop/*") == ["1/a.jpg", "2/b.jpg", "2/c.png"]  # folders, as if the shell had named them


def test_a_name_with_brackets_is_taken_literally_when_it_exists() -> None:
    make("a[1].jpg", "a1.jpg", "what?/b.jpg")
    assert rows("a[1].jpg") == ["a[1].jpg"]
    assert rows("what?") == ["what?/b.jpg"]
    assert rows("a[12].jpg") == ["a1.jpg"]


def test_globs_over_links_that_lead_back_end() -> None:
    make("p/a.jpg")
    for name in "bcdefg":
        Path("p", name).symlink_to(".")
    assert rows("p/**/*.jpg") == ["p/a.jpg"]


@pytest.mark.parametrize("pattern", ["**a/*.jpg", "[", "*\0", "***/x"])
def test_patterns_that_are_none_match_nothing(pattern: str) -> None:
    assert errors(pattern) == [(pattern, "not_found")]


# Any name


@pytest.mark.parametrize(
    "name", ["two\nlines.jpg", "\U0001f600.jpg", b"caf\xe9.jpg", " .jpg", "a\\b.jpg", "-.jpg", "@.jpg", "é\u0301.jpg"]
)
def test_any_name_is_found_read_and_written(name: str | bytes) -> None:
    make("p/")
    path = Path("p", os.fsdecode(name))
    path.write_bytes(odd.ordinary()["jpeg"])
    [found] = find_inputs(["p"])
    assert found.path == f"p/{os.fsdecode(name)}"
    assert read_picture(found.file).sha256 == read_picture(path).sha256
    assert json.loads(json.dumps(found.path)) == found.path
    assert os.fsencode(json.loads(json.dumps(found.path))) == b"p/" + os.fsencode(name)
    assert rows("-", stdin=os.fsencode(path) + b"\0") == [found.path]
