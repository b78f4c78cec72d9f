"""`vision evaluate detector` in a child process: measure, judge rows again, note into a card, compare runs."""

import csv
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("faster_coco_eval")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
TRUTH = ROOT / "datasets" / "samples" / "truth.jsonl"


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
    """A run on the sample pictures, with photographs that show nothing."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "photos").mkdir()
    shutil.copy(ROOT / "datasets" / "samples" / "images" / "still-life.jpg", folder / "photos")
    done = run("evaluate", "detector", TRUTH, "--photos", folder / "photos", "--out", folder / "first", "--threads", 1)
    return folder, done


def test_figures_rows_curves_and_worst_pictures_are_left(evaluated):
    folder, done = evaluated
    assert (done.returncode, done.stderr) == (0, "")
    assert "samples-truth" in done.stdout
    found = {p.relative_to(folder / "first").as_posix() for p in (folder / "first").rglob("*") if p.is_file()}
    rows = {"samples-truth/results.jsonl", "photos/results.jsonl"}
    assert found == {"figures.json", "figures.csv", "curves.png", "worst.jpg", "worst.jsonl"} | rows
    figures = json.loads((folder / "first" / "figures.json").read_text())
    assert figures["command"].startswith("vision evaluate detector")
    assert figures["sets"]["samples-truth"]["logo"]["boxed"]["recall100"] > 0.5
    assert figures["photos"]["logo"]["pictures"] == 1
    with (folder / "first" / "figures.csv").open(newline="") as file:
        assert {row["kind"] for row in csv.DictReader(file)} == {"logo", "product"}


def test_rows_are_judged_again_and_runs_compared(evaluated, run):
    folder, _ = evaluated
    again = run("evaluate", "detector", TRUTH, "--results", folder / "first", "--out", folder / "again", "--json")
    assert again.returncode == 0, again.stderr
    first = json.loads((folder / "first" / "figures.json").read_text())
    assert json.loads(again.stdout)["sets"]["samples-truth"]["logo"] == first["sets"]["samples-truth"]["logo"]
    compared = run("evaluate", "detector", "--compare", folder / "first", folder / "again", "--json")
    figures = json.loads(compared.stdout)["runs"][1]["figures"]
    assert {(f["difference"], tuple(f["interval"]), f["excludes_zero"]) for f in figures} == {(0, (0, 0), False)}
    table = run("evaluate", "detector", "--compare", folder / "first", folder / "again", "--markdown").stdout
    assert "| set | kind | figure | first | again |" in table


def test_a_card_keeps_the_figures_with_their_command(evaluated, run, tmp_path):
    folder, _ = evaluated
    model = tmp_path / "weights" / "mine"
    model.mkdir(parents=True)
    (model / "card.json").write_text('{"name": "mine", "figures": {"product": {"kept": 1}}}')
    (tmp_path / "weights" / "manifest.json").write_text('{"files": {}}')
    words = ("--results", folder / "first", "--kind", "logo", "--out", tmp_path / "out", "--note", model)
    done = run("evaluate", "detector", TRUTH, *words)
    assert done.returncode == 0, done.stderr
    card = json.loads((model / "card.json").read_text())
    assert card["name"] == "mine"
    assert card["figures"]["product"] == {"kept": 1}
    assert card["figures"]["logo"]["samples-truth"]["boxed"]["pictures"] == 13
    assert "--note" in card["figures"]["logo"]["command"]
    assert "mine/card.json" in json.loads((tmp_path / "weights" / "manifest.json").read_text())["files"]


def test_wrong_use_is_refused(run, tmp_path):
    for words in ((), (TRUTH, "--compare", tmp_path), (TRUTH, "--score", 2), ("--compare", tmp_path)):
        done = run("evaluate", "detector", *words, "--out", tmp_path / "out")
        assert (done.returncode, done.stdout) in ((2, ""), (3, "")), words
        assert done.stderr.startswith("error [")
        assert not (tmp_path / "out").exists()
