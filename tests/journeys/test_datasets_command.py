"""`vision datasets convert | check | summary` in a child process, on the sample pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vision.datasets import FORMATS
from vision.datasets.reading import read_any

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples"


@pytest.mark.parametrize("format", FORMATS)
def test_the_samples_go_out_and_come_back_in_every_format(format, run, tmp_path):
    out = run("datasets", "convert", SAMPLES, "--to", format, "--out", tmp_path / "there", "--images", "link", "--json")
    assert out.returncode == 0, out.stderr
    told = json.loads(out.stdout)
    assert (told["pictures"], told["boxes"], told["boxes_by_kind"]) == (13, 54, {"logo": 28, "product": 26})
    assert told["passed_over"] == []
    back = run("datasets", "convert", tmp_path / "there", "--to", "jsonl", "--out", tmp_path / "back", "--json")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["read_as"] == [format]

    def rows(path):
        found = {}
        for picture in read_any(path).pictures:
            boxes = [(b.kind, b.brand, tuple(round(v, 3) for v in b.box)) for b in picture.boxes]
            found[picture.path.name] = sorted(boxes, key=str)
        return found

    assert rows(tmp_path / "back") == rows(SAMPLES)


def test_what_a_format_cannot_hold_is_told(run, tmp_path):
    done = run("datasets", "convert", SAMPLES, "--to", "yolo", "--classes", "kind", "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "13 pictures (none 13), 54 boxes (logo 28, product 26), 2 classes, 0 passed over" in done.stdout
    assert "warning: yolo cannot hold all: the brand of boxes, which the class name does not say (54)" in done.stderr
    again = run("datasets", "convert", SAMPLES, "--to", "yolo", "--out", tmp_path / "out")
    assert again.returncode == 2
    assert "not an empty folder" in again.stderr


def test_bad_labels_are_told_with_file_and_line_and_strict_stops(run, tmp_path):
    rows = (SAMPLES / "truth.jsonl").read_text().splitlines()[:2]
    path = SAMPLES / "images"
    good = [json.dumps(json.loads(row) | {"image": str(path / Path(json.loads(row)["image"]).name)}) for row in rows]
    (tmp_path / "mine.jsonl").write_text("\n".join([good[0], '{"image": "x.jpg"}', good[1]]))
    done = run("datasets", "convert", tmp_path / "mine.jsonl", "--to", "csv", "--out", tmp_path / "csv")
    assert done.returncode == 1
    assert 'mine.jsonl: line 2: no "boxes"' in done.stderr
    assert "2 pictures" in done.stdout
    assert "1 passed over" in done.stdout
    done = run("datasets", "convert", tmp_path / "mine.jsonl", "--to", "csv", "--out", tmp_path / "no", "--strict")
    assert done.returncode == 3
    assert 'line 2: no "boxes"' in done.stderr
    assert not (tmp_path / "no").exists()


def test_a_map_says_what_classes_mean(run, tmp_path):
    (tmp_path / "map.yaml").write_text("Nike: {kind: logo, brand: Swoosh}\n'*': drop\n")
    command = ("datasets", "convert", SAMPLES, "--map", tmp_path / "map.yaml", "--to", "csv", "--images", "leave")
    told = json.loads(run(*command, "--out", tmp_path / "out", "--json").stdout)
    assert (told["boxes"], told["classes"]) == (1, ["Swoosh"])
    assert told["notes"]["boxes dropped by the map"] == 53


def test_check_passes_the_samples_and_fails_a_leaking_copy(run, tmp_path):
    done = run("datasets", "check", SAMPLES, "--out", tmp_path / "found", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["pictures"], told["problems"], told["counts"]["copy"]) == (13, 0, 1)
    row = json.loads((tmp_path / "found/findings.jsonl").read_text())
    assert (Path(row["path"]).name, Path(row["other"]).name) == ("repost.jpg", "cans.jpg")
    assert row["problem"] is False
    assert (tmp_path / "found/near_duplicates.jpg").stat().st_size > 5000

    for split, name in (("train", "cans.jpg"), ("val", "repost.jpg")):
        rows = [json.loads(line) for line in (SAMPLES / "truth.jsonl").read_text().splitlines()]
        own = next(row for row in rows if row["image"].endswith(name))
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(own | {"image": str(SAMPLES / "images" / name)}))
    done = run("datasets", "check", tmp_path)
    assert done.returncode == 1
    assert "val and train: mirror" in done.stdout
    assert done.stdout.endswith("1 problems\n")


def test_summary_prints_writes_and_plots(run, tmp_path):
    pytest.importorskip("matplotlib")
    done = run("datasets", "summary", SAMPLES, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "boxes                              54" in done.stdout
    assert json.loads((tmp_path / "out/summary.json").read_text())["boxes_by_kind"] == {"logo": 28, "product": 26}
    assert (tmp_path / "out/summary.png").read_bytes().startswith(b"\x89PNG")


def test_summary_without_matplotlib_says_what_to_install(run, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    code = run(
        "datasets",
        "summary",
        SAMPLES,
        "--out",
        tmp_path / "out",
        env={"PYTHONPATH": f"{tmp_path}:{SAMPLES.parents[1]}"},
    )
    assert code.returncode == 3
    assert "error [package_missing]: matplotlib is not installed" in code.stderr
