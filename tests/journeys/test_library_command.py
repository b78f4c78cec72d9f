"""`vision library` in a child process: a user's own library from its first picture to its last, and the shipped one."""

from __future__ import annotations

import argparse
import json
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vision.cli.library_common import say
from vision.cli.main import main
from vision.report.rows import write_row
from vision.values import Candidate, Finding, Result


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    """Two invented marks, each as clean artwork."""
    folder = tmp_path_factory.mktemp("marks")
    acme = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(acme).polygon([(100, 20), (180, 180), (20, 180)], fill="#d02090")
    zeta = Image.new("RGB", (240, 120), "#103060")
    ImageDraw.Draw(zeta).ellipse((20, 20, 100, 100), fill="#ffd000")
    ImageDraw.Draw(zeta).rectangle((120, 50, 220, 70), fill="#ffd000")
    for name, image in (("acme", acme), ("zeta", zeta)):
        image.save(folder / f"{name}.png")
    return folder


def answer(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_library_from_its_first_picture_to_its_last(run, marks, tmp_path):
    def library(*arguments):
        return run("library", *arguments, "--json", cwd=tmp_path)

    mine = ("--library", "mine")
    assert answer(library("create", "mine")) == [{"library": "mine", "brands": 0}]
    added = answer(library("add", "Acme", marks / "acme.png", "--alias", "ACME Corp", "--licence", "ours", *mine))
    assert added == [{"brand": "Acme", "added": ["acme/1"], "known": 0, "references": 1}]
    answer(library("add", "Zeta", marks / "zeta.png", *mine))
    listed = answer(library("list", *mine))
    assert [(row["brand"], row["aliases"], row["references"]) for row in listed] == [
        ("Acme", ["ACME Corp"], 1),
        ("Zeta", [], 1),
    ]
    assert [row["brand"] for row in answer(library("list", "corp", *mine))] == ["Acme"]

    found = answer(library("search", marks / "zeta.png", marks / "acme.png", *mine))
    assert [row["matches"][0]["brand"] for row in found] == ["Zeta", "Acme"]
    assert found[0]["matches"][0]["similarity"] > 0.99
    assert len(answer(library("search", "--text", "yellow", "-k", "1", *mine))[0]["matches"]) == 1

    assert answer(library("rename", "acme", "Acme International", *mine))[0]["id"] == "acme"
    shown = answer(library("show", "acme corp", "--pictures", "out", *mine))[0]
    assert (shown["brand"], shown["pictures"][0]["licence"]) == ("Acme International", "ours")
    with Image.open(tmp_path / "out" / "acme-1.webp") as kept:
        assert kept.size == (200, 200)
    assert answer(library("remove", "Zeta", *mine)) == [{"removed": "Zeta", "watch_lists": []}]
    assert [row["brand"] for row in answer(library("list", *mine))] == ["Acme International"]


@pytest.fixture
def at_hand(tmp_path, monkeypatch, capfd):
    """As `run`, in this process: a second less for each of many commands."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        told = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, told.out, told.err)

    return call


def test_names_negatives_lists_and_versions_of_a_library_in_and_out(at_hand, marks, tmp_path):
    def library(*arguments, into="mine"):
        return at_hand("library", *arguments, "--library", into, "--json")

    answer(at_hand("library", "create", "mine", "--json"))
    (tmp_path / "names.txt").write_text("Acme | ACME Corp\n!!\nZeta\n")
    done = library("add", "--names", "names.txt", "--message", "the first ones")
    assert (done.returncode, done.stderr) == (1, "names.txt: line 2: '!!' is no brand name\n")
    assert json.loads(done.stdout)["added"] == 2
    assert answer(library("add", "Sign", marks / "zeta.png", "--negative"))[0]["added"] == ["sign/1"]
    (tmp_path / "logos" / "Acme" / "Tins").mkdir(parents=True)
    (tmp_path / "logos" / "Acme" / "Tins" / "a.png").write_bytes((marks / "acme.png").read_bytes())
    (tmp_path / "logos" / "Acme" / "bad.png").write_bytes(b"no picture")
    done = library("import", "logos", "--licence", "ours")
    assert done.returncode == 1
    assert "Acme/bad.png: " in done.stderr
    assert json.loads(done.stdout)["references"] == 1
    found = answer(library("search", marks / "zeta.png", marks / "acme.png"))
    assert [(row["matches"][0]["brand"], row["matches"][0].get("negative")) for row in found] == [
        ("Sign", True),
        ("Acme", None),
    ]
    assert found[1]["matches"][0]["product"] == "Tins"

    assert answer(library("watch", "ours", "add", "acme corp", "zeta"))[0]["brands"] == ["Acme", "Zeta"]
    assert answer(library("watch", "ours")) == [{"list": "ours", "brands": ["Acme", "Zeta"]}]
    assert answer(library("export", "out.zip"))[0]["references"] == 2
    assert answer(library("import", "out.zip", into="other"))[0]["brands"] == 2
    assert answer(library("list", into="other")) == answer(library("list"))

    assert answer(library("remove", "acme/1")) == [{"removed": "acme/1", "watch_lists": []}]
    log = answer(library("log"))
    assert [entry["version"] for entry in log] == [6, 5, 4, 3, 2, 1]
    assert (log[4]["message"], log[4]["change"]["brands_added"]["ids"]) == ("the first ones", ["acme", "zeta"])
    assert answer(library("diff", "5"))[0]["references_removed"]["ids"] == ["acme/1"]
    assert answer(library("rollback", "5"))[0]["version"] == 7
    assert answer(library("list")) == answer(library("list", into="other"))
    assert answer(library("compact", "--keep", "1"))[0]["versions"] == 1
    assert answer(library("remove", "Zeta")) == [{"removed": "Zeta", "watch_lists": ["ours"]}]
    assert answer(library("watch", "ours")) == [{"list": "ours", "brands": ["Acme"]}]


def test_brackets_in_names_and_messages_are_no_markup(at_hand, marks):
    mine = ("--library", "mine")
    at_hand("library", "create", "mine")
    name = "Foo [/bar] [bold]Baz"
    done = at_hand("library", "add", name, marks / "acme.png", "--alias", "[red]", "--message", "see [/ticket]", *mine)
    assert done.returncode == 0
    at_hand("library", "watch", "[list]", "add", name, *mine)
    for command in (("list",), ("show", name), ("watch",), ("search", marks / "acme.png")):
        done = at_hand("library", *command, *mine)
        assert (done.returncode, done.stderr) == (0, "")
        assert name in done.stdout, command
    assert "see [/ticket]" in at_hand("library", "log", *mine).stdout


def test_a_text_that_is_a_name_finds_its_brand_first(at_hand, marks):
    mine = ("--library", "mine")
    at_hand("library", "create", "mine")
    for name in ("Zeta", "Acme"):
        at_hand("library", "add", name, marks / f"{name.lower()}.png", "--alias", f"{name} Corp", *mine)
    for text in ("zeta", "ZETA corp", "Acme"):
        (row,) = answer(at_hand("library", "search", "--text", text, "--json", *mine))
        assert row["matches"][0]["brand"] == text.split()[0].title()
        assert len({match["brand"] for match in row["matches"]}) == 2


def test_a_reference_that_is_not_there_is_no_brand(at_hand):
    """`remove channel/5` removed the brand Channel 5."""

    def library(*arguments):
        return at_hand("library", *arguments, "--library", "mine", "--json")

    answer(at_hand("library", "create", "mine", "--json"))
    for name in ("Channel", "Channel 5", "Café 24/7"):
        answer(library("add", name))
    for text in ("channel/5", "Channel/5", "cafe-24/7", "nobody/1"):
        done = library("remove", text)
        assert (done.returncode, f"no reference '{text}'" in done.stderr) == (2, True)
    assert answer(library("remove", "CAFE 24/7")) == [{"removed": "Café 24/7", "watch_lists": []}]
    assert answer(library("remove", "channel 5")) == [{"removed": "Channel 5", "watch_lists": []}]


def test_a_new_library_of_a_file_has_the_message_and_no_terms_of_another(at_hand, tmp_path):
    """They were left out of account."""

    def into(*arguments):
        return at_hand("library", "import", "out.zip", *arguments, "--library", "new", "--json")

    answer(at_hand("library", "create", "mine", "--json"))
    answer(at_hand("library", "add", "Acme", "--library", "mine", "--json"))
    answer(at_hand("library", "export", "out.zip", "--library", "mine", "--json"))
    for option in (("--negative",), ("--source", "web"), ("--licence", "ours")):
        assert "a library file says itself" in into(*option).stderr
    assert not (tmp_path / "new").exists()
    answer(into("--message", "from a friend"))
    assert answer(at_hand("library", "log", "--library", "new", "--json"))[0]["message"] == "from a friend"


def test_json_says_names_that_no_encoding_explains(capsys):
    """The change was made, and then saying so was an error."""
    say(argparse.Namespace(json=True), {"left_out": "b\udcffd.jpg", "brand": "ホンダ"}, "")
    told = capsys.readouterr().out
    assert told.isascii()
    assert json.loads(told) == {"left_out": "b\udcffd.jpg", "brand": "ホンダ"}


def test_verdicts_that_rested_on_a_reference_are_listed(at_hand, tmp_path):
    candidates = [
        {"brand": "Acme", "similarity": 0.8, "probability": 0.9, "reference": "acme/1", "read": None},
        {"brand": "Zeta", "similarity": 0.5, "probability": 0.0, "reference": "zeta/2", "read": None},
    ]
    finding = Finding(
        "logo", (1.0, 2.0, 30.0, 40.0), 0.9, "known", "Acme", None, 0.9, tuple(Candidate(**c) for c in candidates)
    )
    result = Result("a.jpg", "0" * 64, 64, 64, "ok", findings=(finding,))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_bytes(write_row(result))
    found = answer(at_hand("library", "touched", "acme/1", "out", "out/results.jsonl", "--json"))
    assert [(row["path"], row["verdict"], row["brand"], row["runner_up"]) for row in found] == [
        ("a.jpg", "known", "Acme", False)
    ] * 2
    rival = answer(at_hand("library", "touched", "zeta/2", "out", "--json"))
    assert [(row["rank"], row["runner_up"]) for row in rival] == [(2, True)]
    assert answer(at_hand("library", "touched", "zeta/2", "out", "--winners", "--json")) == []
    done = at_hand("library", "touched", "zeta/2", "nowhere")
    assert (done.returncode, "error [missing]" in done.stderr) == (3, True)


def test_mistakes_are_named_with_their_code_and_what_to_do(run, marks, tmp_path):
    for arguments, code, says in (
        (("library", "list", "--library", "nowhere"), 3, "error [missing]: nowhere: there is no brand library"),
        (("library", "add", "Acme", marks / "acme.png"), 2, "error [bad_option]: the shipped library is not changed"),
        (("library", "search"), 2, "error [bad_option]: give pictures or --text"),
        (("library", "show", "Cocacolla"), 2, "did you mean Coca-Cola"),
        (("library", "search", tmp_path / "gone.png"), 1, "error [not_found]"),
    ):
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (code, "")
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_the_shipped_library_holds_thousands_of_brands_and_says_where_each_came_from(run, tmp_path):
    rows = answer(run("library", "list", "--json", cwd=tmp_path))
    assert len(rows) > 4000
    shown = answer(run("library", "show", "coke", "--json", cwd=tmp_path))[0]
    assert shown["brand"] == "Coca-Cola"
    assert all(reference["source"] and reference["licence"] for reference in shown["pictures"])
    kinds = {(reference["kind"], reference["picture"]) for reference in shown["pictures"]}
    assert kinds == {("drawing", True), ("photo", False)}


def test_reserved_brands_of_the_shipped_library_have_drawings_only():
    from vision.library import Library

    library = Library.default()
    for name in ("Red Bull", "NBC", "Starbucks", "Ford", "Google", "FedEx"):
        assert {reference.kind for reference in library.references(name)} == {"drawing"}


def test_a_copy_of_the_shipped_library_learns_a_new_brand_and_keeps_the_old(marks, tmp_path):
    from vision.library import Library

    shipped = Library.default()
    mine = Library.create(tmp_path / "mine", base=shipped)
    reference = next(r for r in shipped.references("Nike") if r.kind == "drawing")
    vectors = shipped.vectors(reference.id)
    mine.add("Acme", marks / "acme.png")
    assert len(mine) == len(shipped) + 1
    assert mine.search(marks / "acme.png")[0].brand == "Acme"
    best = mine.search_embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert {matches[0].brand for matches in best} == {"Nike"}
