"""`vision copies dedup` and `clusters` in a child process: groups as tables and a page, and no picture touched."""

import csv
import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from vision.report.copy_groups import COLUMNS


def drawn(seed):
    """A picture with enough in it to be told from others."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)


def written(path, when):
    """A file as if it had been written at that time."""
    os.utime(path, (when, when))
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Two originals with copies, the second of them older than its original's name suggests, a stranger, and rubbish."""
    folder = tmp_path_factory.mktemp("dedup") / "shop"
    (folder / "sub").mkdir(parents=True)
    for number in range(3):
        drawn(number).save(folder / f"{number}.png")
        written(folder / f"{number}.png", 1_700_000_000 + number)
    drawn(0).save(folder / "sub" / "resaved.jpg", quality=70)
    written(folder / "sub" / "resaved.jpg", 1_700_001_000)
    shutil.copy(folder / "0.png", folder / "sub" / "the\nsame ✂.png")
    written(folder / "sub" / "the\nsame ✂.png", 1_700_002_000)
    drawn(1).resize((200, 150)).save(folder / "sub" / "before.png")
    written(folder / "sub" / "before.png", 1_600_000_000)
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    return folder


def state(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def groups_of(out):
    rows = [json.loads(line) for line in (out / "groups.jsonl").read_text().splitlines()]
    return [[member["id"] for member in row["members"]] for row in rows]


@pytest.fixture(scope="module")
def deduped(run, shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "groups"
    before = state(shop)
    done = run("copies", "dedup", shop, "--out", out, "--json")
    assert done.returncode == 1, done.stderr
    assert "shop/torn.jpg: [" in done.stderr
    assert state(shop) == before
    return out, json.loads(done.stdout)


def test_dedup_groups_copies_under_the_earliest(deduped):
    out, row = deduped
    assert groups_of(out) == [
        ["shop/0.png", "shop/sub/resaved.jpg", "shop/sub/the\nsame ✂.png"],
        ["shop/sub/before.png", "shop/1.png"],
    ]
    wanted = {"pictures": 6, "failed": 1, "groups": 2, "pictures_in_groups": 5, "copies": 3}
    assert {key: row[key] for key in wanted} == wanted


def test_every_picture_of_a_group_has_a_line_that_says_why(deduped):
    out, _ = deduped
    with (out / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["group"], row["original"], row["kind"]) for row in rows] == [
        ("1", "True", ""),
        ("1", "False", "same"),
        ("1", "False", "same"),
        ("2", "True", ""),
        ("2", "False", "same"),
    ]
    assert {row["claimed_with"] for row in rows} == {"", "shop/0.png", "shop/sub/before.png"}
    assert float(rows[1]["probability"]) > 0.9
    assert rows[3]["time"] == "2020-09-13T12:26:40Z"


def test_the_page_shows_every_picture_of_every_group_and_fetches_nothing(deduped):
    page = (deduped[0] / "groups.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg;base64,') == 5
    assert page.count("presumed original</em>") == 2
    assert "the same ✂.png" in page
    assert re.search(r"(src|href)=\"(?!data:|#)", page) is None


def test_a_folder_in_use_is_refused_and_resume_goes_on(run, shop, deduped, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(deduped[0], out)
    assert run("copies", "dedup", shop, "--out", out).returncode == 2
    mine = tmp_path / "shop"
    shutil.copytree(shop, mine)
    (mine / "sub" / "resaved.jpg").unlink()
    shutil.copy(mine / "2.png", mine / "sub" / "late.png")
    written(mine / "sub" / "late.png", 1_700_009_000)
    done = run("copies", "dedup", mine, "--out", out, "--resume", "--no-report")
    assert done.returncode == 1
    assert done.stdout.startswith("6 pictures, 3 groups, 3 beside the presumed originals, 1 failed\n")
    assert sorted(groups_of(out)) == [
        ["shop/0.png", "shop/sub/the\nsame ✂.png"],
        ["shop/2.png", "shop/sub/late.png"],
        ["shop/sub/before.png", "shop/1.png"],
    ]
    assert run("copies", "dedup", mine, "--out", shop, "--resume").returncode == 2


def test_a_folder_of_results_inside_the_pictures_is_not_taken_for_pictures(run, tmp_path):
    drawn(5).save(tmp_path / "a.png")
    for resume in ((), ("--resume",)):
        done = run("copies", "dedup", tmp_path, "--out", tmp_path / "found", "--json", *resume)
        assert (done.returncode, json.loads(done.stdout)["pictures"]) == (0, 1)


def test_parquet_holds_the_same_rows(run, shop, tmp_path, deduped):
    parquet = pytest.importorskip("pyarrow.parquet")
    run("copies", "dedup", shop, "--out", tmp_path / "out", "--format", "parquet", "--no-report")
    rows = parquet.read_table(tmp_path / "out" / "groups.parquet").to_pylist()
    assert [row["id"] for row in rows] == [id for group in groups_of(deduped[0]) for id in group]
    assert not (tmp_path / "out" / "groups.csv").exists()


def test_what_is_denied_is_not_grouped_again_until_it_is_revoked(run, shop, deduped, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(deduped[0], out)
    pair = ("shop/1.png", shop / "sub" / "before.png")
    again = ("copies", "dedup", shop, "--out", out, "--resume", "--no-report")
    assert run("copies", "deny", *pair, "--index", out / "index").returncode == 0
    run(*again)
    assert [len(group) for group in groups_of(out)] == [3]
    run("copies", "deny", *pair, "--index", out / "index", "--revoke")
    run(*again)
    assert [len(group) for group in groups_of(out)] == [3, 2]


def test_what_is_confirmed_is_grouped_although_nothing_claims_it(run, shop, deduped, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(deduped[0], out)
    run("copies", "confirm", "shop/2.png", "shop/1.png", "--index", out / "index")
    run("copies", "dedup", shop, "--out", out, "--resume", "--no-report")
    assert ["shop/sub/before.png", "shop/1.png", "shop/2.png"] in groups_of(out)


@pytest.fixture(scope="module")
def market(run, tmp_path_factory):
    """Three sellers, two of whom have the same two pictures; a third picture is at one seller only."""
    folder = tmp_path_factory.mktemp("market")
    for owner, numbers in (("ann", (0, 1)), ("bob", (0, 1, 2)), ("cid", (3,))):
        (folder / owner).mkdir()
        for number in numbers:
            drawn(number).save(folder / owner / f"{number}.jpg", quality=95 - len(owner) - ord(owner[0]) % 7)
        run("copies", "add", folder / owner, "--index", folder / "seen", "--owner", owner)
    return folder


def test_clusters_name_the_owners_who_share_pictures(run, market):
    rows = [json.loads(line) for line in run("copies", "clusters", market / "seen", "--json").stdout.splitlines()]
    assert [(row["size"], row["owners"]) for row in rows[:2]] == [(2, ["ann", "bob"]), (2, ["ann", "bob"])]
    assert rows[2] == {
        "owners": ["ann", "bob"],
        "groups": [1, 2],
        "shared": [{"owners": ["ann", "bob"], "groups": 2}],
    }
    assert len(rows) == 3
    asked = run("copies", "clusters", market / "seen", "--shared", "3", "--json").stdout.splitlines()
    assert [json.loads(line) for line in asked] == rows[:2]


def test_clusters_are_told_and_written_with_their_pictures(run, market, tmp_path):
    out = tmp_path / "groups"
    shutil.copytree(market / "ann", tmp_path / "kept" / "ann")
    at_hand = tmp_path / "kept" / "ann"
    done = run("copies", "clusters", market / "seen", "--out", out, "--pictures", at_hand, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ann, bob" in done.stdout
    assert "6 pictures, 2 groups, 2 beside the presumed originals, 1 group of owners who share pictures" in done.stdout
    page = (out / "groups.html").read_text(encoding="utf-8")
    assert "2 pictures shared by 2 owners" in page
    # bob's are not in the folder that was named
    assert page.count("picture not at hand") == 2
    assert len((out / "owners.jsonl").read_text().splitlines()) == 1


def test_an_index_without_copies_has_no_groups(run, tmp_path):
    drawn(1).save(tmp_path / "a.png")
    run("copies", "add", tmp_path / "a.png", "--index", tmp_path / "seen")
    done = run("copies", "clusters", tmp_path / "seen", "--out", tmp_path / "out")
    assert done.stdout.startswith("1 picture, 0 groups, 0 beside the presumed originals\n")
    assert "No picture was taken from another one." in (tmp_path / "out" / "groups.html").read_text()


@pytest.mark.parametrize("command", [("dedup", "--out"), ("add", "--index")])
def test_links_that_lead_nowhere_are_told_and_stop_nothing(run, tmp_path, command):
    """A link in a circle ended the command; one to nothing was passed over in silence."""
    folder = tmp_path / "shop"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 90, 3), dtype=np.uint8)).save(folder / "a.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    done = run("copies", command[0], folder, command[1], tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "gone.png" in done.stderr
    assert "loop.png" in done.stderr
