"""`vision evaluate copies` in a child process: a battery made, searched, written, and judged again without searching."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples" / "images"
COPIES = ("repost.jpg",)  # cans.jpg, mirrored
WORDS = ("--n", 2, "--peers", "orb", "--threads", 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Different pictures: the samples without those that are copies of another."""
    folder = tmp_path_factory.mktemp("photos")
    for path in SAMPLES.iterdir():
        if path.name not in COPIES:
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def measured(run, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("copies") / "out"
    done = run("evaluate", "copies", photos, *WORDS, "--sections", "battery,furniture", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_figures_are_told_and_written(measured):
    out, figures = measured
    assert figures == json.loads((out / "figures.json").read_text(encoding="utf-8"))
    assert figures["command"].startswith("vision evaluate copies")
    assert figures["battery"]["originals"] == 2 and figures["battery"]["edits"] >= 64
    assert figures["battery"]["references"] == figures["battery"]["decoys"] + 7  # 12 pictures, 5 of them strangers
    assert list(figures["methods"]) == ["vision", "orb"]
    ours = figures["methods"]["vision"]
    assert ours["battery"]["shipped"]["edits"]["jpeg80"] == 1
    assert ours["battery"]["shipped"]["false"] == len((out / "false.jsonl").read_text().splitlines())
    low, high = ours["battery"]["shipped"]["mean_interval"]
    assert 0 < low <= ours["battery"]["shipped"]["mean"] <= high
    assert ours["furniture"]["pairs"] >= 57  # two originals: a pair an edit
    assert ours["furniture"]["claims"] == len((out / "pairs.jsonl").read_text().splitlines())
    assert ours["cost"]["describe_ms"] > 0


def test_a_table_and_pictures_are_left_for_people(measured):
    out, figures = measured
    with (out / "figures.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["method"], r["bar"], r["part"], r["figure"]): r for r in csv.DictReader(file)}
    shipped = figures["methods"]["orb"]["battery"]["shipped"]
    assert float(rows["orb", "shipped", "family crop", "recall"]["value"]) == shipped["families"]["crop"]
    with Image.open(out / "families.png") as plot:
        assert np.asarray(plot.convert("L")).std() > 10
    assert len((out / "missed.jsonl").read_text().splitlines()) > 0
    with Image.open(out / "missed.jpg") as sheet:
        assert max(sheet.size) > 300


def test_claims_are_judged_again_without_searching_and_by_another_scorer(measured, photos, run, tmp_path):
    out, figures = measured
    words = ("--battery", out / "battery", "--sections", "battery", "--peers", "none", "--out", tmp_path / "again")
    done = run("evaluate", "copies", photos, *words, "--claims", out / "claims" / "vision.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    ours = figures["methods"]["vision"]["battery"]
    assert json.loads(done.stdout)["methods"]["vision"]["battery"] == ours
    truth = [json.loads(x) for x in (out / "battery" / "truth.jsonl").read_text().splitlines()]
    text = (out / "claims" / "vision.jsonl").read_text()
    claimed = {(c["query"], c["source"]) for c in map(json.loads, text.splitlines())}
    crops = [(t["query"], t["source"]) in claimed for t in truth if t["edit"] == "mirror" and t["source"]]
    assert ours["shipped"]["edits"]["mirror"] == sum(crops) / len(crops)


def test_people_get_one_table_and_the_way_to_the_rest(measured, photos, run):
    out, _ = measured
    done = run("evaluate", "copies", photos, *WORDS, "--sections", "furniture", "--out", out, "--edits", "--markdown")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| claims on furniture \| \d+ of \d+ \|", done.stdout, flags=re.MULTILINE)
    assert done.stdout.rstrip().endswith(str(out))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sections", "packshots"), "--packshots"),
        (("--peers", "sift"), "pdq"),
        (("--n", 50), "too few"),
        (("--battery", SAMPLES), "no battery"),
    ],
)
def test_what_cannot_be_measured_is_told_without_a_traceback(run, tmp_path, words, told):
    done = run("evaluate", "copies", SAMPLES, *words, "--out", tmp_path / "out")
    assert done.returncode in (2, 3) and told in done.stderr and "Traceback" not in done.stderr
