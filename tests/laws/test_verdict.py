"""Laws of the verdict: probabilities, thresholds, and what may never happen."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import UsageError
from vision.values import Match, NameMatch
from vision.verdict import Calibration, OperatingPoint, decide
from vision.verdict.calibrate import sigmoid, softmax
from vision.verdict.evidence import FEATURES, Evidence, contenders, features

CALIBRATION = Calibration(
    (6.0, 9.0, 0.0, 6.0, 9.0, 0.0, 0.2, 0.1, 0.5, 1.0, 0.5, 1.0, -1.0, -0.5, 0.2, 0.0, 0.0), -4.0, 0.08, 0.5, 2.0
)


def seen(brand, similarity, *, negative=False):
    return Match(brand, None, f"{brand}/0", similarity, negative)


def read(brand, score, *, accepted=False):
    return NameMatch(brand, brand, brand.upper(), score, accepted, 0, 0.9, (0.0, 0.0, 9.0, 9.0))


similarities = st.lists(st.floats(-1, 1), min_size=1, max_size=8).map(lambda s: sorted(s, reverse=True))
scores = st.lists(st.floats(-9, 9), max_size=4)
evidences = st.builds(
    lambda near, names, background, side, score, brands: Evidence(
        [seen(f"brand {i}", v) for i, v in enumerate(near)],
        background,
        side,
        score,
        [read(f"brand {2 * i}", v, accepted=v >= 0) for i, v in enumerate(names)],
        brands,
    ),
    similarities,
    scores,
    st.floats(-1, 1),
    st.floats(0, 4000),
    st.floats(0, 1),
    st.integers(0, 100_000),
)
thresholds = st.floats(0.01, 1.0)


@given(evidences)
def test_probabilities_are_shares_of_at_most_one_best_first(evidence):
    probabilities = np.array([p for _, p in CALIBRATION.ranked(evidence)])
    assert (probabilities >= 0).all()
    assert probabilities.sum() <= 1 + 1e-9
    assert (np.diff(probabilities) <= 1e-12).all()


@given(evidences)
def test_every_brand_that_was_seen_or_read_contends_once(evidence):
    brands = [c.brand for c, _ in CALIBRATION.ranked(evidence)]
    assert len(brands) == len(set(brands))
    assert set(brands) == {m.brand for m in evidence.matches} | {n.brand for n in evidence.names}


@given(evidences, st.floats(0, 9))
def test_reading_the_best_brands_name_never_makes_it_less_probable(evidence, score):
    best, before = CALIBRATION.ranked(
        Evidence(evidence.matches, evidence.background, evidence.short_side, evidence.score)
    )[0]
    named = Evidence(
        evidence.matches,
        evidence.background,
        evidence.short_side,
        evidence.score,
        [read(best.brand, score, accepted=True)],
    )
    first, after = CALIBRATION.ranked(named)[0]
    assert first.brand == best.brand
    assert after >= before - 1e-12


@given(evidences)
def test_the_size_of_a_library_says_something_about_a_lead_only(evidence):
    grown = replace(evidence, brands=10 * evidence.brands + 1000)
    best, probability = CALIBRATION.ranked(evidence)[0]
    after = CALIBRATION.ranked(grown)[0][1]
    leads = best.similarity > max((c.similarity for c in contenders(evidence) if c.brand != best.brand), default=0.0)
    if best.match is None or best.accepted:
        assert after == pytest.approx(probability)
    elif leads:
        assert after >= probability
    else:
        assert after <= probability


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
    near = [seen("A", 0.80), seen("B", 0.799), seen("C", 0.1)]
    sharp = Calibration((9.0, *([0.0] * (len(FEATURES) - 1))), 0.0, 0.02)
    verdict = decide(Evidence(near, 0.1, 120, 0.9), sharp, OperatingPoint(0.9, 0.01))
    assert verdict.name == "ambiguous"
    assert [c.brand for c in verdict.candidates] == ["A", "B", "C"]


def test_a_product_is_not_named_after_a_drawing_that_it_looks_like():
    drawn = [Match("A", None, "A/0", 0.9, drawing=True), seen("B", 0.1)]
    pack = [Match("A", "A Light", "A/0", 0.9, drawing=True), seen("B", 0.1)]
    point = OperatingPoint(0.3, 0.01)
    name = [read("A", 5, accepted=True)]

    def brand(matches, kind, names=()):
        return decide(Evidence(matches, 0.0, 120, 0.9, names, kind=kind), CALIBRATION, point).brand

    assert [brand(drawn, kind) for kind in ("logo", "product", "image")] == ["A", None, "A"]
    assert brand([seen("A", 0.9), seen("B", 0.1)], "product") == "A"
    assert brand(pack, "product") == "A"  # artwork of the pack itself
    assert brand(drawn, "product", name) == "A"


def test_the_background_counts_against_a_brand():
    near = [seen("A", 0.7), seen("B", 0.4)]
    plain = CALIBRATION.ranked(Evidence(near, 0.0, 80, 0.8))[0][1]
    textured = CALIBRATION.ranked(Evidence(near, 0.6, 80, 0.8))[0][1]
    assert textured < plain


def test_what_is_as_near_to_background_as_to_a_brand_shows_none_unless_it_is_read():
    near = [seen("A", 0.8), seen("B", 0.1)]
    assert CALIBRATION.ranked(Evidence(near, 0.79, 80, 0.8))[0][1] > 0
    assert CALIBRATION.ranked(Evidence(near, 0.8, 80, 0.8))[0][1] == 0
    assert CALIBRATION.ranked(Evidence(near, 0.8, 80, 0.8, [read("A", 3, accepted=True)]))[0][1] > 0


def test_a_brand_that_has_no_picture_is_named_when_it_is_read():
    evidence = Evidence([seen("A", 0.2)], 0.0, 80, 0.8, [read("By Name", 6, accepted=True)])
    verdict = decide(evidence, CALIBRATION, OperatingPoint(0.3, 0.01))
    assert (verdict.name, verdict.brand) == ("known", "By Name")
    best = verdict.candidates[0]
    assert (best.similarity, best.reference, best.read) == (None, None, "BY NAME")


def test_a_brand_that_has_no_picture_needs_its_name_read_without_error():
    inexact = replace(read("Naturella", 6, accepted=True), string="NATURELL", edits=1)
    for name, expected in ((inexact, "unknown"), (replace(inexact, edits=0), "known")):
        evidence = Evidence([seen("A", 0.2)], 0.0, 80, 0.8, [name])
        assert decide(evidence, CALIBRATION, OperatingPoint(0.3, 0.01)).name == expected
    # with a picture it may have one
    (pictured,) = contenders(Evidence([seen("Naturella", 0.2)], 0.0, 80, 0.8, [inexact]))
    assert (pictured.accepted, pictured.points > 0) == (True, True)


def test_other_clear_text_speaks_against_a_mark_but_not_against_its_own_name_or_a_product():
    def probability(*names, **others):
        return CALIBRATION.ranked(Evidence([seen("A", 0.6), seen("B", 0.3)], 0.0, 80, 0.8, names, **others))[0][1]

    symbol = probability()
    assert probability(clear_text=True) < symbol
    assert probability(read("B", -9), clear_text=True) < symbol
    for score, accepted in ((3, True), (-1, False)):
        name = read("A", score, accepted=accepted)
        assert probability(name, clear_text=True) == probability(name) > symbol
    for kind in ("product", "image"):
        assert probability(clear_text=True, kind=kind) == probability(kind=kind)


def test_a_short_name_or_ordinary_word_counts_only_where_the_pictures_agree():
    near = [seen(f"brand {i}", 0.5 - i / 50) for i in range(10)]
    far = [*near, seen("Gap", 0.1)]
    agreeing = [seen("Gap", 0.45), *near]
    silent, heard = (
        next(c for c in contenders(Evidence(matches, 0.0, 80, 0.8, [read("Gap", 4)])) if c.brand == "Gap")
        for matches in (far, agreeing)
    )
    assert (silent.points, heard.points) == (0.0, 3.0)
    assert decide(Evidence(far, 0.0, 80, 0.8, [read("Gap", 4)]), CALIBRATION, OperatingPoint(0.5, 0.01)).brand != "Gap"


def test_a_name_settles_what_two_similar_pictures_leave_open():
    near = [seen("A", 0.80), seen("B", 0.79)]
    assert CALIBRATION.ranked(Evidence(near, 0.1, 80, 0.8))[0][0].brand == "A"
    assert CALIBRATION.ranked(Evidence(near, 0.1, 80, 0.8, [read("B", 5, accepted=True)]))[0][0].brand == "B"


def test_what_resembles_a_negative_reference_most_is_unknown():
    near = [seen("recycling sign", 0.95, negative=True), seen("A", 0.90)]
    verdict = decide(
        Evidence(near, 0.1, 80, 0.8, [read("recycling sign", 9, accepted=True)]), CALIBRATION, OperatingPoint(0.01, 1)
    )
    assert verdict.name == "unknown"
    assert [c.brand for c in verdict.candidates] == ["A"]


def test_only_watched_brands_are_named_and_the_others_still_compete():
    evidence = Evidence([seen("A", 0.9), seen("B", 0.5)], 0.0, 200, 0.9)
    assert decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01)).brand == "A"
    assert decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01, watched={"A"})).brand == "A"
    assert decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01, watched={"B"})).name == "unknown"
    told = decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01, watched={"A"})).candidates
    assert {c.brand: c.rival for c in told} == {"A": False, "B": True}
    assert not any(c.rival for c in decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01)).candidates)


def test_a_brand_can_have_a_higher_bar_of_its_own():
    evidence = Evidence([seen("A", 0.9), seen("B", 0.5)], 0.0, 200, 0.9)
    probability = CALIBRATION.ranked(evidence)[0][1]
    assert decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01, {"A": probability})).brand == "A"
    assert decide(evidence, CALIBRATION, OperatingPoint(0.05, 0.01, {"A": probability + 1e-6})).brand is None


def test_features_are_those_of_the_formula():
    evidence = Evidence(
        [seen("A", 0.7), seen("B", 0.4), seen("C", 0.1)],
        0.2,
        64,
        0.75,
        [read("A", -1), read("D", 2, accepted=True)],
        1000,
    )
    a, b, c, d = contenders(evidence)
    assert d.similarity == 0.1
    found = features(evidence, a, [b, c, d])
    rest = [6.0, math.log(3)]
    assert found == pytest.approx(
        [0.6, 0.3, 0.5, 0, 0, 0, *rest, 2.0, 0.0, 1.0, 0.0, 0.0, 5.0, 0.3 * math.log(10), 0.0, 0.0]
    )
    found = features(evidence, d, [a, b, c])  # nobody knows what D looks like
    assert found == pytest.approx([0, 0, 0, 0, 0, 0, *rest, 5.0, 1.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    evidence = Evidence(
        [seen("A", 0.7), seen("B", 0.4), seen("C", 0.1)], 0.2, 64, 0.75, [read("B", 1, accepted=True)], 1000
    )
    a, b, c = contenders(evidence)
    found = features(evidence, b, [a, c])
    assert found == pytest.approx([0, 0, 0, 0.3, -0.3, 0.0, *rest, 4.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = features(replace(evidence, clear_text=True), a, [b, c])
    assert found == pytest.approx(
        [0.6, 0.3, 0.45, 0, 0, 0, *rest, 0.0, 0.0, 0.0, 0.0, 1.0, 4.0, 0.3 * math.log(10), 0.0, 0.0]
    )


def test_a_name_that_would_not_do_alone_says_more_of_the_brand_that_looks_most_alike():
    place = FEATURES.index("name_of_nearest")
    near = [seen("A", 0.7), seen("B", 0.6)]

    def said(brand, *, accepted):
        evidence = Evidence(near, 0.2, 64, 0.75, [read(brand, -1, accepted=accepted)])
        found = contenders(evidence)
        best = next(c for c in found if c.brand == brand)
        return features(evidence, best, [c for c in found if c is not best])[place]

    assert said("A", accepted=False) == 1
    assert said("B", accepted=False) == 0, "another brand looks more like it"
    assert said("A", accepted=True) == 0, "that is a feature of its own"
    assert said("D", accepted=True) == 0, "nobody knows what D looks like"
    silent = Evidence(near, 0.2, 64, 0.75)
    assert features(silent, *_first(silent))[place] == 0


def test_a_margin_says_more_over_more_rivals_and_nothing_more_under_a_hundred():
    few, some, many = (Evidence([seen("A", 0.7), seen("B", 0.4)], 0.2, 64, 0.75, brands=n) for n in (5, 1_000, 100_000))
    by_size = [features(e, *_first(e))[FEATURES.index("margin_by_size")] for e in (few, some, many)]
    assert by_size == pytest.approx([0.0, 0.3 * math.log(10), 0.3 * math.log(1000)])
    weighed = replace(CALIBRATION, weights=tuple(float(name == "margin_by_size") for name in FEATURES))
    assert weighed.ranked(few)[0][1] < weighed.ranked(some)[0][1] < weighed.ranked(many)[0][1]


def _first(evidence):
    best, *others = contenders(evidence)
    return best, others


def test_the_name_of_a_brand_without_pictures_speaks_for_its_likeness_too():
    seldom = [read("D", 1, accepted=True)]
    evidence = Evidence([seen("A", 0.9), seen("B", 0.1)], 0.2, 64, 0.75, seldom)
    assert CALIBRATION.ranked(evidence)[0][0].brand == "A"
    heard = replace(CALIBRATION, alone_weight=12.0)
    assert heard.ranked(evidence)[0][0].brand == "D"
    drawn = replace(evidence, matches=[*evidence.matches, seen("D", 0.0)])
    assert heard.ranked(drawn)[0][0].brand == "A"  # what it looks like is known, and this is not it
    doubted = replace(evidence, names=[read("D", 1)])
    assert heard.ranked(doubted)[0][0].brand == "A"


@given(st.floats(-700, 700))
def test_sigmoid_agrees_with_its_definition(logit):
    assert sigmoid(logit) == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-12)


@given(similarities, st.floats(0.01, 2))
def test_shares_sum_to_one(values, temperature):
    assert softmax(np.array(values) / temperature).sum() == pytest.approx(1)


@pytest.mark.parametrize(("pictures", "rate"), [(100, 0.29), (100, 0.57), (300, 0.41)])
def test_a_budget_is_as_many_pictures_as_it_says(pictures, rate):
    highest = [round(0.99 - 0.001 * n, 4) for n in range(pictures)]
    point = OperatingPoint.from_card(
        {"least_probability": 0.1, "alarms": {"pictures": pictures, "highest": highest}}, rate
    )
    assert sum(p >= point.threshold for p in highest) == round(pictures * rate)


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
    assert Calibration.from_card(CALIBRATION.to_card()) == CALIBRATION


def test_a_card_with_other_features_is_refused():
    with pytest.raises(ValueError, match="other"):
        Calibration.from_card(CALIBRATION.to_card() | {"features": ["other"]})
