"""What is done to an index of copies from the command line: decisions, deletions, merging, lists of hashes, evidence."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps


def drawn(seed):
    """A picture with enough in it to be told from others."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)


@pytest.fixture
def place(tmp_path, run):
    """A folder with three pictures, a copy of one of them, and an index of the three."""
    (tmp_path / "first").mkdir()
    for number in range(3):
        drawn(number).save(tmp_path / "first" / f"{number}.png")
    drawn(1).save(tmp_path / "copy.jpg", quality=60)
    run("copies", "add", "first", "--index", "seen", cwd=tmp_path)
    return tmp_path


def rows(done):
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_decision_is_kept_listed_and_revoked(run, place):
    done = run("copies", "deny", "copy.jpg", "first/1.png", "--index", "seen", "--note", "licensed\nto us", cwd=place)
    assert (done.returncode, done.stdout) == (0, "copy.jpg and first/1.png: denied\n")
    (kept,) = rows(run("copies", "decisions", "--index", "seen", "--json", cwd=place))
    assert (kept["word"], kept["names"], kept["note"]) == ("denied", ["copy.jpg", "first/1.png"], "licensed\nto us")
    again = run("copies", "deny", "first/1.png", "copy.jpg", "--index", "seen", cwd=place)
    assert again.stdout == "first/1.png and copy.jpg: denied before\n"
    listed = run("copies", "decisions", "--index", "seen", cwd=place).stdout
    assert len(listed.splitlines()) == 1
    assert "licensed\\nto us" in listed
    assert run("copies", "confirm", "copy.jpg", "first/1.png", "--index", "seen", "--revoke", cwd=place).returncode == 2
    (row,) = rows(run("copies", "deny", "copy.jpg", "first/1.png", "--index", "seen", "--revoke", "--json", cwd=place))
    assert (row["decision"], row["changed"]) == ("revoked", True)
    assert run("copies", "decisions", "--index", "seen", cwd=place).stdout == ""
    assert len(rows(run("copies", "decisions", "--index", "seen", "--all", "--json", cwd=place))) == 2
    done = run("copies", "deny", "copy.jpg", "first/1.png", "--index", "seen", "--revoke", cwd=place)
    assert done.stdout == "copy.jpg and first/1.png: nothing was decided\n"


def test_a_decision_is_about_the_content_whatever_it_is_called(run, place):
    shutil.copy(place / "copy.jpg", place / "another name.jpg")
    run("copies", "confirm", "copy.jpg", "first/1.png", "--index", "seen", cwd=place)
    done = run("copies", "confirm", "first/1.png", "another name.jpg", "--index", "seen", "--json", cwd=place)
    assert rows(done)[0]["changed"] is False


def test_names_that_mean_nothing_or_two_pictures_are_refused(run, place):
    done = run("copies", "deny", "copy.jpg", "nowhere.jpg", "--index", "seen", cwd=place)
    assert (done.returncode, "nowhere.jpg" in done.stderr) == (2, True)
    drawn(7).save(place / "first" / "1.png")
    done = run("copies", "deny", "copy.jpg", "first/1.png", "--index", "seen", cwd=place)
    assert (done.returncode, "./first/1.png" in done.stderr) == (2, True)
    assert run("copies", "deny", "copy.jpg", "./first/1.png", "--index", "seen", cwd=place).returncode == 0
    assert run("copies", "deny", "copy.jpg", "copy.jpg", "--index", "nowhere", cwd=place).returncode == 3


def test_pictures_are_forgotten_by_id_and_their_files_stay(run, place):
    done = run("copies", "delete", "first/1.png", "no\nsuch", "--index", "seen", cwd=place)
    assert (done.returncode, done.stdout) == (1, "seen: 1 deleted, 2 left\n")
    assert done.stderr == "no\\nsuch: no such id in seen\n"
    assert (place / "first" / "1.png").exists()
    found = run("copies", "search", "copy.jpg", "--index", "seen", cwd=place)
    assert found.stdout == "copy.jpg: no copy\n"


def test_an_index_takes_another_over_with_its_decisions(run, place):
    run("copies", "add", "copy.jpg", "first/2.png", "--index", "other", cwd=place)
    run("copies", "deny", "copy.jpg", "first/1.png", "--index", "other", cwd=place)
    done = run("copies", "merge", "other", "--index", "seen", "--json", cwd=place)
    assert rows(done) == [{"index": "seen", "added": 1, "decisions": 1, "pictures": 4}]
    assert len(run("copies", "decisions", "--index", "seen", cwd=place).stdout.splitlines()) == 1
    assert len(run("copies", "list", "--index", "other", cwd=place).stdout.splitlines()) == 2
    assert run("copies", "merge", "seen", "--index", "seen", cwd=place).returncode == 2
    (row,) = rows(run("copies", "merge", "seen", "--index", "new", "--json", cwd=place))
    assert (row["added"], row["decisions"]) == (4, 1)


def test_what_was_deleted_gives_its_room_back(run, place):
    run("copies", "delete", "first/0.png", "first/1.png", "--index", "seen", cwd=place)
    (row,) = rows(run("copies", "compact", "--index", "seen", "--json", cwd=place))
    assert row["pictures"] == 1
    assert row["bytes_freed"] > 0
    assert run("copies", "search", "first/2.png", "--index", "seen", cwd=place).stdout.startswith(
        "first/2.png: copy of first/2.png"
    )


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_hashes_go_out_and_come_in_again(run, place, suffix):
    done = run("copies", "export", "seen", f"out/hashes.{suffix}", cwd=place)
    assert (done.returncode, done.stdout) == (0, f"out/hashes.{suffix}: 3 hashes\n")
    assert run("copies", "export", "seen", f"out/hashes.{suffix}", cwd=place).returncode == 2
    done = run("copies", "import", f"out/hashes.{suffix}", "--index", "partner", "--owner", "them", cwd=place)
    assert (done.returncode, done.stdout) == (0, "partner: 3 added, 0 unchanged, 0 left out, 3 in all\n")
    again = run(
        "copies", "import", f"out/hashes.{suffix}", "--index", "partner", "--owner", "them", "--json", cwd=place
    )
    assert rows(again)[0]["unchanged"] == 3
    (row,) = rows(run("copies", "search", "copy.jpg", "--index", "partner", "--json", cwd=place))
    assert [claim["source"] for claim in row["copies"]] == ["hashes/first/1.png"]


def test_corrupt_lines_are_told_and_the_rest_is_imported(run, place):
    run("copies", "export", "seen", "hashes.csv", cwd=place)
    with (place / "hashes.csv").open(newline="") as file:
        hashes = [row["signal_str"] for row in csv.DictReader(file)]
    (place / "list.txt").write_text("\n".join([hashes[0], "no hash", hashes[1][:60], hashes[2]]))
    done = run("copies", "import", "list.txt", "--index", "seen", "--name", "shared", "--json", cwd=place)
    assert done.returncode == 1
    (row,) = rows(done)
    assert (row["added"], row["left_out"], row["pictures"]) == (2, 2, 5)
    assert [fault["number"] for fault in row["faults"]] == [2, 3]
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["list.txt:2", "list.txt:3"]
    listed = run("copies", "list", "--index", "seen", cwd=place).stdout
    assert f"shared/{hashes[0]}" in listed


def test_a_file_of_rubbish_floods_neither_the_index_nor_the_screen(run, place):
    (place / "rubbish.csv").write_text("rubbish\n" * 500)
    done = run("copies", "import", "rubbish.csv", "--index", "seen", cwd=place)
    assert (done.returncode, done.stdout) == (1, "seen: 0 added, 0 unchanged, 500 left out, 3 in all\n")
    assert done.stderr.splitlines()[-1] == "rubbish.csv: 480 more"
    assert run("copies", "import", "nowhere.csv", "--index", "seen", cwd=place).returncode == 2


def test_evidence_is_drawn_for_a_claim_and_never_over_a_file(run, place):
    ImageOps.mirror(drawn(1)).save(place / "mirrored.jpg", quality=80)
    compare = ("copies", "compare", "mirrored.jpg", "first/1.png", "--evidence")
    done = run(*compare, "why.png", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(place / "why.png") as drawing:
        assert drawing.format == "PNG"
        assert drawing.width > 3 * 500
    for taken in ("why.png", "first/1.png", "why.gif"):
        assert run(*compare, taken, cwd=place).returncode == 2
    assert (
        run("copies", "compare", "copy.jpg", "first/2.png", "--evidence", "none.png", cwd=place).stdout == "no copy\n"
    )
    assert not (place / "none.png").exists()
