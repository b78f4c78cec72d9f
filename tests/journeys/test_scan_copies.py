"""Copies in a scan: found by their parts, also across an interruption, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import vision
from vision import copies
from vision.cli.main import main
from vision.copies import ScanIndex
from vision.errors import WeightsError

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--no-report", "--no-overlays", "--text", "off", "--threads", "1", "--batch", "1")


def drawn(seed):
    """A picture as full of corners and tones as a photo."""
    random = np.random.default_rng(seed)
    pixels = np.full((240, 320, 3), 128, np.float32)
    for cells, strength in ((4, 160), (20, 90), (80, 50)):
        field = random.random((cells * 3 // 4, cells, 3)).astype(np.float32) - 0.5
        pixels += strength * cv2.resize(field, (320, 240), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        corners = (random.uniform(0, (320, 240)) + random.uniform(-35, 35, (4, 2))).astype(np.int32)
        mask = np.zeros((240, 320), np.uint8)
        cv2.fillPoly(mask, [corners], 1)
        pixels[mask > 0] += random.uniform(-70, 70, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
def shop(tmp_path):
    """Originals, then a crop of the first one and a stranger."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for number in range(7):
        drawn(number).save(folder / f"a-{number}.png")
    drawn(0).crop((60, 40, 320, 240)).save(folder / "b-crop.jpg", quality=80)
    drawn(50).save(folder / "c-stranger.png")
    return folder


def claims_of(out):
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return {row["path"]: [(c["source"], c["kind"]) for c in row["copies"]] for row in rows if row["copies"]}


def test_a_crop_is_claimed_and_a_complete_scan_keeps_no_features(run, shop, tmp_path):
    (tmp_path / "temporary").mkdir()
    done = run("scan", shop, "--out", tmp_path / "out", *QUICK, env={"TMPDIR": str(tmp_path / "temporary")})
    assert done.returncode == 0, done.stderr
    assert claims_of(tmp_path / "out") == {"shop/b-crop.jpg": [("shop/a-0.png", "crop")]}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.jsonl", "scan.json"]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_scan_that_was_broken_off_finds_the_crop_of_what_it_saw_before(run, shop, tmp_path, how):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run("scan", shop, "--out", whole, *QUICK).returncode == 0
    # shells start background jobs with interrupts ignored, and children inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(
        [sys.executable, ROOT / "infer.py", shop, "--out", out, *QUICK],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    signal.signal(signal.SIGINT, before)
    rows = out / "results.jsonl"
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.002)
    child.send_signal(how)
    assert child.wait() == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert len(rows.read_bytes().splitlines()) < 8, "the scan was through before it could be interrupted"
    assert (out / ".seen").is_dir()
    # all that is left of the source is what the scan kept of it
    (shop / "a-0.png").write_bytes(b"no picture any more")
    done = run("scan", shop, "--out", out, *QUICK, "--resume")
    assert done.returncode == 0, done.stderr
    assert rows.read_bytes() == (whole / "results.jsonl").read_bytes()
    assert not (out / ".seen").exists()
    again = run("scan", shop, "--out", out, *QUICK, "--resume")
    assert (again.returncode, rows.read_bytes()) == (0, (whole / "results.jsonl").read_bytes())
    assert not (out / ".seen").exists()


def test_a_scan_that_lost_what_it_kept_describes_its_pictures_again(run, shop, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run("scan", shop, "--out", whole, *QUICK).returncode == 0
    out.mkdir()
    (out / "scan.json").write_bytes((whole / "scan.json").read_bytes())
    lines = (whole / "results.jsonl").read_bytes().splitlines(keepends=True)
    (out / "results.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:20])
    assert run("scan", shop, "--out", out, *QUICK, "--resume").returncode == 0
    assert (out / "results.jsonl").read_bytes() == (whole / "results.jsonl").read_bytes()


@pytest.mark.parametrize("there", [False, True])
def test_resuming_what_has_not_begun_begins_it(run, shop, tmp_path, there):
    out = tmp_path / "out"
    if there:
        out.mkdir()
    done = run("scan", shop / "a-0.png", "--out", out, *QUICK, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert len((out / "results.jsonl").read_bytes().splitlines()) == 1


def test_a_folder_that_is_no_scan_is_left_as_it_is(run, shop, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    done = run("scan", shop / "a-0.png", "--out", out, *QUICK, "--resume")
    assert (done.returncode, "scan.json" in done.stderr) == (2, True)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


SCANS = """
import sys, tempfile
from pathlib import Path
import vision
scanner = vision.Scanner(text="off", threads=1, batch=1)
paths = sorted(Path(sys.argv[1]).iterdir())
found = list(scanner.scan_many(paths))
print(len(found), [[(Path(c.source).name, c.kind) for c in r.copies] for r in found if r.copies])
some = scanner.scan_many(paths)
next(some)
print(len(list(Path(tempfile.gettempdir()).iterdir())))
some.close()
print(len(list(Path(tempfile.gettempdir()).iterdir())))
"""


def test_scanning_from_python_leaves_no_temporary_folder_also_when_it_is_broken_off(shop, tmp_path):
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCANS, shop],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "temporary")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["9 [[('a-0.png', 'crop')]]", "1", "0"]


def test_a_scan_finds_parts_of_pictures_seen_before(run, shop, tmp_path):
    index = tmp_path / "seen-before"
    assert run("copies", "add", shop, "--index", index, "--owner", "seller-9").returncode == 0
    (tmp_path / "new").mkdir()
    drawn(3).crop((0, 30, 280, 240)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "new" / "mine.png")
    done = run("scan", tmp_path / "new", "--out", tmp_path / "out", *QUICK, "--copies", index)
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    (claim,) = row["copies"]
    assert (claim["source"], claim["kind"]) == ("seller-9/shop/a-3.png", "mirror+crop")
    assert (claim["index"], claim["owner"]) == ("seen-before", "seller-9")
    assert claim["source_box"] == pytest.approx([0, 30, 280, 240], abs=3)


def test_an_index_is_searched_closely_unless_one_has_no_time(run, shop, tmp_path):
    """A quarter of the side is too small for the coarse look that scanned pictures have at each other."""
    index, new = tmp_path / "seen-before", tmp_path / "new"
    assert run("copies", "add", shop, "--index", index).returncode == 0
    new.mkdir()
    ground = drawn(60)
    ground.paste(drawn(3).resize((80, 60), Image.Resampling.BOX), (30, 20))
    ground.save(new / "inset.png")
    found = {}
    for name, options in {"close": (), "quick": ("--quick-copies",)}.items():
        done = run("scan", new, "--out", tmp_path / name, *QUICK, "--copies", index, *options)
        assert done.returncode == 0, done.stderr
        found[name] = claims_of(tmp_path / name)
    assert found == {"close": {"new/inset.png": [("shop/a-3.png", "inset")]}, "quick": {}}


def test_a_fault_in_the_search_for_copies_fails_one_picture(shop, monkeypatch):
    search = ScanIndex.search

    def sometimes(index, description, **more):
        if len(index) == 3:
            monkeypatch.setattr(ScanIndex, "search", search)
            raise np.linalg.LinAlgError("singular")
        return search(index, description, **more)

    monkeypatch.setattr(ScanIndex, "search", sometimes)
    rows = list(vision.Scanner(text="off", threads=1).scan_many(sorted(shop.iterdir())))
    failed = [row for row in rows if row.status == "failed"]
    assert [(Path(row.path).name, row.error.code) for row in failed] == [("a-3.png", "internal")]
    assert [Path(row.path).name for row in rows if row.copies] == ["b-crop.jpg"]


def test_a_fault_in_describing_one_picture_stops_no_index(shop, tmp_path, monkeypatch, capsys):
    described = copies.described

    def sometimes(source, **more):
        if Path(source).name == "a-3.png":
            raise MemoryError
        return described(source, **more)

    monkeypatch.setattr(copies, "described", sometimes)
    assert main(["copies", "add", "--index", str(tmp_path / "index"), str(shop)]) == 1
    assert "a-3.png" in capsys.readouterr().err
    assert len(copies.CopyIndex.open(tmp_path / "index")) == 8


def test_a_damaged_model_stops_an_index_at_once(shop, tmp_path, monkeypatch, capsys):
    def fail(source, **more):
        raise WeightsError("wrong_checksum", "altered")

    monkeypatch.setattr(copies, "described", fail)
    assert main(["copies", "add", "--index", str(tmp_path / "index"), str(shop)]) == 3
    assert capsys.readouterr().err == "error [wrong_checksum]: altered\n"


def test_rows_have_the_names_that_their_pictures_were_given_by(shop, monkeypatch):
    monkeypatch.chdir(shop)
    given = ["./a-0.png", "https://shop.example/b.jpg", Path("a-1.png"), b"no picture", ""]
    rows = list(vision.Scanner(text="off", copies=False, threads=1).scan_many(given))
    assert [row.path for row in rows] == ["./a-0.png", "https://shop.example/b.jpg", "a-1.png", "bytes-3", "str-4"]
    assert [row.status for row in rows] == ["ok", "failed", "ok", "failed", "failed"]
