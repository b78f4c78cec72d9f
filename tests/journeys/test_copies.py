"""`vision copies` in a child process: what a user types, sees and keeps."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps


def drawn(seed):
    """A picture with enough in it to be told from others."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three originals in one folder, two copies and a stranger in another, and what sellers leave beside them."""
    folder = tmp_path_factory.mktemp("copies")
    (folder / "first").mkdir()
    (folder / "later").mkdir()
    for number in range(3):
        drawn(number).save(folder / "first" / f"{number}.png")
    (folder / "first" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    ImageOps.mirror(drawn(1)).save(folder / "later" / "mirrored.jpg", quality=60)
    shutil.copy(folder / "first" / "2.png", folder / "later" / "the\nsame ✂.png")
    drawn(9).save(folder / "later" / "own.png")
    (folder / "later" / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def index(run, pictures, tmp_path_factory):
    """An index that the command made."""
    path = tmp_path_factory.mktemp("index") / "seen-before"
    done = run("copies", "add", "first", "--index", path, "--owner", "seller-9", cwd=pictures)
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"{path}: 3 added, 0 unchanged, 1 failed, 3 in all\n"
    assert "first/torn.jpg: [" in done.stderr
    return path


def test_adding_again_changes_nothing(run, pictures, index):
    done = run("copies", "add", "first", "--index", index, "--owner", "seller-9", "--json", cwd=pictures)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"index": str(index), "added": 0, "unchanged": 3, "failed": 1, "pictures": 3}


def test_two_sellers_with_folders_of_one_name_keep_their_own_entries(run, pictures, tmp_path):
    index = tmp_path / "index"
    for owner in ("seller-8", "seller-9"):
        run("copies", "add", "first", "--index", index, "--owner", owner, cwd=pictures)
    listed = run("copies", "list", "--index", index, cwd=pictures).stdout
    assert listed.count("seller-8/first/") == listed.count("seller-9/first/") == 3


def test_copies_are_found_and_bad_pictures_counted(run, pictures, index):
    done = run("copies", "search", "later", "--index", index, cwd=pictures)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "later/mirrored.jpg: copy of seller-9/first/1.png of seller-9",
        "later/own.png: no copy",
        "later/the\\nsame ✂.png: copy of seller-9/first/2.png of seller-9",
    ]
    assert "(mirror, " in lines[0]
    assert "(same, 0 bits apart, probability 1," in lines[2]
    assert done.stderr == "later/empty.png: [empty] " + done.stderr.split("[empty] ")[1]


def test_found_copies_as_json_have_a_row_for_every_picture(run, pictures, index):
    done = run("copies", "search", "later", "--index", index, "--json", cwd=pictures)
    rows = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert {path: row["status"] for path, row in rows.items()} == {
        "later/empty.png": "failed",
        "later/mirrored.jpg": "ok",
        "later/own.png": "ok",
        "later/the\nsame ✂.png": "ok",
    }
    (claim,) = rows["later/mirrored.jpg"]["copies"]
    assert (claim["source"], claim["index"], claim["kind"]) == ("seller-9/first/1.png", "seen-before", "mirror")
    # a smooth picture has few corners to lay it by
    assert claim["box"] == pytest.approx([0, 0, 320, 240], abs=3)
    assert claim["source_box"] == pytest.approx([0, 0, 320, 240], abs=3)


def test_the_list_is_in_the_order_added(run, index):
    done = run("copies", "list", "--index", index)
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [
        ["320x240", f"seller-9/first/{number}.png", "seller-9"] for number in range(3)
    ]
    rows = [json.loads(line) for line in run("copies", "list", "--index", index, "--json").stdout.splitlines()]
    assert [row["id"] for row in rows] == [f"seller-9/first/{number}.png" for number in range(3)]
    assert len(rows[0]["fingerprint"]["pdq"]) == 64


def test_two_pictures_are_compared(run, pictures):
    done = run("copies", "compare", "later/mirrored.jpg", "first/1.png", cwd=pictures)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("later/mirrored.jpg: copy of first/1.png (mirror, ")
    done = run("copies", "compare", "later/own.png", "first/1.png", "--json", cwd=pictures)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"image": "later/own.png", "copy": None})
    done = run("copies", "compare", "later/own.png", "first/torn.jpg", cwd=pictures)
    assert done.returncode == 1
    assert "torn.jpg: [" in done.stderr


def test_an_index_inside_the_folder_is_not_taken_for_pictures(run, pictures, tmp_path):
    folder = tmp_path / "shop"
    shutil.copytree(pictures / "first", folder)
    (folder / "torn.jpg").unlink()
    for added, unchanged in ((3, 0), (0, 3)):
        done = run("copies", "add", folder, "--index", folder / "seen", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        row = json.loads(done.stdout)
        assert (row["added"], row["unchanged"], row["failed"]) == (added, unchanged, 0)


def test_no_index_and_a_foreign_folder_are_refused(run, pictures):
    done = run("copies", "search", "later", "--index", "nowhere", cwd=pictures)
    assert done.returncode == 3
    assert "error [missing]" in done.stderr
    done = run("copies", "add", "later", "--index", "first", cwd=pictures)
    assert done.returncode == 3
    assert not (pictures / "first" / "copies.json").exists()
