"""`vision evaluate recognition` and `vision datasets split` in a child process, on the samples that come with the repository."""

import csv
import json
from pathlib import Path

import pytest

from vision.values import Finding, Result

pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
TRUTH = ROOT / "datasets" / "samples" / "truth.jsonl"


def test_ranks_and_claims_are_told_written_and_counted(run, tmp_path):
    truth = [json.loads(line) for line in TRUTH.read_text(encoding="utf-8").splitlines()]
    rows = [claimed(row, tmp_path) for row in truth]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "unseen.txt").write_text("Coca-Cola\n", encoding="utf-8")
    words = ("--unseen", tmp_path / "unseen.txt", "--jitter", "--threads", 1, "--out", tmp_path / "out", "--json")
    done = run(
        *(
            "evaluate",
            "recognition",
            TRUTH,
            "--sections",
            "top1,claims",
            "--results",
            tmp_path / "results.jsonl",
            *words,
        )
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures == json.loads((tmp_path / "out" / "figures.json").read_text(encoding="utf-8"))
    assert figures["boxes"] == "true, shaken by 15%"
    assert figures["command"].startswith("vision evaluate recognition")
    top1 = figures["sections"]["top1"]["samples-truth"]
    assert list(top1) == ["vision", "text", "both"]
    assert top1["both"]["all"]["top1_kin"] >= 0.5  # marks drawn on plain things
    low, high = top1["both"]["all"]["top1_kin_interval"]
    assert low <= top1["both"]["all"]["top1_kin"] <= high
    assert top1["both"]["unseen brands"]["crops"] + top1["both"]["seen brands"]["crops"] == top1["both"]["all"]["crops"]
    claims = figures["sections"]["claims"]["samples-truth"]
    assert (claims["precision"], claims["recall"], claims["without_result"]) == (1, 1, 0)
    assert "| samples-truth | both | all |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    with (tmp_path / "out" / "figures.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["section"], r["where"], r["figure"]): r for r in csv.DictReader(file)}
    row = rows["top1", "samples-truth | both | all", "top1"]
    assert [float(row[k]) for k in ("value", "low", "high")] == [
        top1["both"]["all"]["top1"],
        *top1["both"]["all"]["top1_interval"],
    ]


def claimed(row, folder):
    """A row of a scan that names every brand of a picture."""
    findings = tuple(
        Finding(box["kind"], tuple(box["box"]), 0.9, "known", box["brand"], None, 0.9)
        for box in row["boxes"]
        if box["brand"]
    )
    return Result(f"{folder}/{row['image']}", "0" * 64, row["width"], row["height"], "ok", findings=findings).to_dict()


def test_what_makes_no_sense_is_told_before_anything_is_measured(run, tmp_path):
    words = ("evaluate", "recognition", TRUTH, "--out", tmp_path / "out")
    for more, told in (
        (("--sections", "claims"), "--results"),
        (("--sections", "top2"), "top2"),
        (("--sections", "size", "--sizes", "many"), "many"),
    ):
        done = run(*words, *more)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_a_set_is_parted_by_brand(run, tmp_path):
    done = run("datasets", "split", TRUTH, "--share", 0.4, "--out", tmp_path / "split", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {p.name for p in (tmp_path / "split").iterdir()} == {
        "seen.jsonl",
        "unseen_brands.jsonl",
        "unseen_brands.txt",
        "left_out.txt",
    }
    brands = (tmp_path / "split" / "unseen_brands.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert brands == told["unseen_brands"]
    checked = run("datasets", "check", tmp_path / "split", "--json")
    counts = json.loads(checked.stdout)["counts"]
    assert (counts["brand_leak"], counts["copy_across"], counts["same_file_across"]) == (0, 0, 0)
