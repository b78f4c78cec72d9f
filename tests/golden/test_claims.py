"""The figures of claims against those of the project's scorer, to a millionth: `make_claims.py` says how they were made."""

import json
from pathlib import Path

import pytest

from vision.evaluate.recognition.claims import alarm_figures, evaluate_claims
from vision.report.rows import read_rows

FOLDER = Path(__file__).with_name("claims")
ANSWERS = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
CLAIMS = {
    ("brands", "pictures"): "pictures",
    ("brands", "without result"): "without_result",
    ("brands", "claims judged"): "judged",
    ("brands", "claims unjudged"): "unjudged",
    ("brands", "brands to find (picture level)"): "brands_to_find",
    ("brands", "precision"): "precision",
    ("brands", "recall"): "recall",
    ("brands", "F1"): "f1",
    ("brands", "F1 interval"): "f1_interval",
    ("calibration", "claims"): "judged",
    ("calibration", "ECE"): "ece",
    ("calibration", "Brier"): "brier",
    ("calibration", "mean probability"): "stated",
    ("calibration", "share right"): "right",
}
ALARMS = {
    "pictures": "pictures",
    "share with a known brand": "known",
    "interval": "known_interval",
    "logo boxes a picture": "logos_a_picture",
}


@pytest.mark.parametrize(("part", "name"), CLAIMS)
def test_claims_are_judged_as_the_scorer_judges_them(part, name):
    ours = evaluate_claims(FOLDER / "dev.jsonl", FOLDER / "results.jsonl")
    assert ours[CLAIMS[part, name]] == pytest.approx(ANSWERS[part][name], abs=1e-6)


@pytest.mark.parametrize("name", ALARMS)
def test_alarms_are_counted_as_the_scorer_counts_them(name):
    ours = alarm_figures(list(read_rows(FOLDER / "results.jsonl")))
    assert ours[ALARMS[name]] == pytest.approx(ANSWERS["alarms"][name], abs=1e-6)


def test_the_answers_hold_every_figure_of_the_scorer():
    assert {(part, name) for part in ("brands", "calibration") for name in ANSWERS[part]} == set(CLAIMS)
    assert set(ANSWERS["alarms"]) == set(ALARMS) | {"share with a copy claim"}
    assert all(0.2 < ANSWERS["brands"][name] < 0.95 for name in ("precision", "recall", "F1"))
    assert ANSWERS["brands"]["claims unjudged"] > 5
