"""Laws of the verdict: probabilities, thresholds, and what may never happen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import UsageError
from vision.values import Match
from vision.verdict import Calibration, OperatingPoint, decide
from vision.verdict.calibrate import shares, sigmoid
from vision.verdict.evidence import Evidence, features

CALIBRATION = Calibration((6.0, 9.0, 0.2, 0.1), -5.0, 0.08)

similarities = st.lists(st.floats(-1, 1), min_size=1, max_size=8).map(lambda s: sorted(s, reverse=True))
evidences = st.builds(
    lambda s, background, side, score: Evidence(
        [Match(f"brand {i}", None, f"brand-{i}/0", v) for i, v in enumerate(s)], background, side, score
    ),
    similarities,
    st.floats(-1, 1),
    st.floats(0, 4000),
    st.floats(0, 1),
)
thresholds = st.floats(0.01, 1.0)


@given(evidences)
def test_probabilities_are_shares_of_at_most_one(evidence):
    probabilities = CALIBRATION.probabilities(evidence)
    assert (probabilities >= 0).all()
    assert probabilities.sum() <= 1 + 1e-9
    assert (np.diff(probabilities) <= 1e-12).all()


@given(evidences, thresholds, thresholds)
def test_raising_the_threshold_never_adds_a_brand(evidence, a, b):
    low, high = sorted((a, b))
    strict = decide(evidence, CALIBRATION, OperatingPoint(high, 0.01))
    lax = decide(evidence, CALIBRATION, OperatingPoint(low, 0.01))
    if strict.name == "known":
        assert lax.name == "known"
        assert lax.brand == strict.brand
        assert lax.probability == strict.probability


@given(evidences, thresholds)
def test_a_brand_is_named_only_when_known(evidence, threshold):
    verdict = decide(evidence, CALIBRATION, OperatingPoint(threshold, 0.01))
    assert (verdict.brand is not None) == (verdict.name == "known")
    assert len(verdict.candidates) <= 5
    if verdict.name == "known":
        assert verdict.brand == verdict.candidates[0].brand
        assert verdict.probability >= threshold


def test_an_empty_library_says_unknown():
    verdict = decide(Evidence([], 0.3, 40, 0.9), CALIBRATION, OperatingPoint(0.5, 0.01))
    assert (verdict.name, verdict.probability, verdict.candidates) == ("unknown", 0.0, ())


def test_two_brands_within_reach_are_ambiguous():
    near = [Match("A", None, "a/0", 0.80), Match("B", None, "b/0", 0.799), Match("C", None, "c/0", 0.1)]
    verdict = decide(
        Evidence(near, 0.1, 120, 0.9), Calibration((9.0, 0.0, 0.0, 0.0), 0.0, 0.02), OperatingPoint(0.9, 0.01)
    )
    assert verdict.name == "ambiguous"
    assert [c.brand for c in verdict.candidates] == ["A", "B", "C"]


def test_the_background_counts_against_a_brand():
    near = [Match("A", None, "a/0", 0.7), Match("B", None, "b/0", 0.4)]
    plain = CALIBRATION.probabilities(Evidence(near, 0.0, 80, 0.8))[0]
    textured = CALIBRATION.probabilities(Evidence(near, 0.6, 80, 0.8))[0]
    assert textured < plain


def test_features_are_those_of_the_formula():
    near = [Match("A", None, "a/0", 0.7), Match("B", None, "b/0", 0.4)]
    found = features(Evidence(near, 0.2, 64, 0.75))
    assert found == pytest.approx([0.6, 0.3, 6.0, math.log(3)])


@given(st.floats(-700, 700))
def test_sigmoid_agrees_with_its_definition(logit):
    assert sigmoid(logit) == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-12)


@given(similarities, st.floats(0.01, 2))
def test_shares_sum_to_one(values, temperature):
    assert shares(values, temperature).sum() == pytest.approx(1)


CARD = {"least_probability": 0.5, "alarms": {"pictures": 200, "highest": [0.99, 0.9, 0.8, 0.7, 0.3]}}


@pytest.mark.parametrize(("rate", "allowed"), [(0.0, 0), (0.005, 1), (0.01, 2), (0.015, 3)])
def test_the_threshold_keeps_the_budget_on_the_cards_own_pictures(rate, allowed):
    threshold = OperatingPoint.from_card(CARD, rate).threshold
    assert sum(p >= threshold for p in CARD["alarms"]["highest"]) == allowed


def test_a_generous_budget_never_goes_under_the_least_probability():
    assert OperatingPoint.from_card(CARD, 0.02).threshold == 0.5
    assert OperatingPoint.from_card(CARD, 1.0).threshold == 0.5


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(UsageError) as caught:
        OperatingPoint.from_card(CARD, rate)
    assert caught.value.code == "bad_option"


def test_a_calibration_survives_its_card():
    assert Calibration.from_card({"calibration": CALIBRATION.to_card()}) == CALIBRATION


def test_a_card_with_other_features_is_refused():
    with pytest.raises(ValueError, match="other"):
        Calibration.from_card({"calibration": CALIBRATION.to_card() | {"features": ["other"]}})
