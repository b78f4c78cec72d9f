"""The figures of boxes against those of the project's scorer, to a millionth: `make_boxes.py` says how they were made."""

import json
from pathlib import Path

import pytest

from vision.evaluate.truth import read_results, read_targets, row_of, see

pytest.importorskip("faster_coco_eval")
from vision.evaluate.figures import kind_figures

FOLDER = Path(__file__).with_name("boxes")
ANSWERS = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
PLAIN = {
    "pictures": ("boxed", "pictures"),
    "without result": ("boxed", "without_result"),
    "true boxes": ("boxed", "true_boxes"),
    "AP50": ("boxed", "ap50"),
    "AP50 interval": ("boxed", "ap50_interval"),
    "AP50-95": ("boxed", "ap50_95"),
    "recall@10": ("boxed", "recall10"),
    "recall@10 interval": ("boxed", "recall10_interval"),
    "recall@100": ("boxed", "recall100"),
    "recall@10 tiny<16": ("tiny<16", "recall10"),
    "recall@10 small<32": ("small<32", "recall10"),
    "recall@10 medium<96": ("medium<96", "recall10"),
    "recall@10 large": ("large", "recall10"),
}
LOOKED_AT = {
    "pictures looked at again": ("unboxed_ignored", "pictures"),
    "AP50, unboxed ignored": ("unboxed_ignored", "ap50"),
    "AP50, unboxed ignored, interval": ("unboxed_ignored", "ap50_interval"),
    "logos, every visible": ("every_logo", "true_boxes"),
    "AP50, every logo": ("every_logo", "ap50"),
    "AP50, every logo, interval": ("every_logo", "ap50_interval"),
    "recall of every logo, any score": ("every_logo", "recall_any"),
}
CASES = [("logo", name, place) for name, place in (PLAIN | LOOKED_AT).items()]
CASES += [("product", name, place) for name, place in PLAIN.items()]


@pytest.fixture(scope="module")
def ours():
    targets = read_targets(FOLDER / "dev.jsonl")
    rows = read_results(FOLDER / "results.jsonl")
    return {k: kind_figures([see(t, row_of(t, rows), k) for t in targets], 0.3) for k in ("logo", "product")}


@pytest.mark.parametrize(("kind", "name", "place"), CASES)
def test_the_figures_are_those_of_the_scorer(ours, kind, name, place):
    part, figure = place
    assert ours[kind][part][figure] == pytest.approx(ANSWERS[kind][name], abs=1e-6, nan_ok=True)


def test_the_answers_hold_every_figure_of_the_scorer():
    assert set(ANSWERS["logo"]) == set(PLAIN | LOOKED_AT)
    assert all(0.05 < ANSWERS["logo"][name] < 0.95 for name in ("AP50", "AP50, unboxed ignored", "AP50, every logo"))
