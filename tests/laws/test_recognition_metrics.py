"""Figures of known and unknown queries: what must hold of any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.evaluate import metrics

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, known=17, strangers=23, levels=9):
    random = np.random.default_rng(seed)
    return (
        random.integers(0, levels, known) / levels,
        random.random(known) < 0.7,
        random.integers(0, levels, strangers) / levels,
    )


@given(seeds)
def test_the_false_alarm_rate_at_95_percent_is_the_lowest_of_any_bar_that_keeps_them(seed):
    known, _, strangers = drawn(seed)
    kept = [(strangers >= bar).mean() for bar in np.unique(known) if (known >= bar).mean() >= 0.95]
    assert metrics.fpr_at_tpr(known, strangers) == pytest.approx(min(kept))


@given(seeds)
def test_the_open_set_curve_is_what_each_bar_claims(seed):
    known, right, strangers = drawn(seed)
    false, found = metrics.oscr_curve(known, right, strangers)
    assert (false[0], found[0]) == (0, 0)
    assert (false[-1], found[-1]) == (1, pytest.approx(right.mean()))
    assert (np.diff(false) >= 0).all() and (np.diff(found) >= 0).all()
    points = set(zip(false.round(9).tolist(), found.round(9).tolist(), strict=True))
    for bar in np.unique(np.concatenate([known, strangers])):
        at = ((strangers >= bar).mean().round(9), (right & (known >= bar)).mean().round(9))
        assert tuple(map(float, at)) in points


@given(seeds)
def test_the_open_set_area_is_the_mean_share_found_before_each_stranger(seed):
    known, right, strangers = drawn(seed)
    before = [(right & (known > s)).mean() for s in strangers]
    assert metrics.oscr_area(known, right, strangers) == pytest.approx(np.mean(before))


def test_equal_scores_cannot_flatter():
    same = np.full(4, 0.5)
    assert metrics.oscr_area(same, np.ones(4, bool), same) == 0
    assert metrics.fpr_at_tpr(same, same) == 1
    assert metrics.right_at_wrong(same, np.array([True, True, True, False]), 0.2) == 0


@given(seeds, st.sampled_from([0.0, 0.1, 0.3]))
def test_right_at_wrong_is_the_best_prefix_that_keeps_the_budget(seed, rate):
    random = np.random.default_rng(seed)
    scores, right = random.permutation(20) / 20.0, random.random(20) < 0.6
    order = np.argsort(-scores)
    best = max(right[order[:n]].sum() for n in range(21) if (~right[order[:n]]).sum() <= np.floor(rate * 20 + 1e-9))
    assert metrics.right_at_wrong(scores, right, rate) == pytest.approx(best / 20)


def test_a_query_without_any_answer_is_never_claimed():
    scores = np.array([0.9, -np.inf])
    assert metrics.right_at_wrong(scores, np.array([True, False]), 0.0) == 0.5
    assert metrics.right_at_wrong(scores, np.array([True, True]), 1.0) == 0.5


@given(seeds)
def test_the_calibration_error_is_the_weighted_gap_of_the_bins_shown(seed):
    random = np.random.default_rng(seed)
    stated = random.random(50)
    right = random.random(50) < stated
    bins = metrics.reliability_bins(stated, right)
    assert sum(count for _, _, count in bins) == 50
    gap = sum(count * abs(s - t) for s, t, count in bins) / 50
    assert metrics.expected_calibration_error(stated, right) == pytest.approx(gap)


def test_what_has_no_queries_is_not_defined():
    none, some = np.zeros(0), np.ones(3)
    for value in (
        metrics.fpr_at_tpr(none, some),
        metrics.fpr_at_tpr(some, none),
        metrics.oscr_area(none, none.astype(bool), some),
        metrics.oscr_area(some, some.astype(bool), none),
        metrics.right_at_wrong(none, none.astype(bool), 0.1),
    ):
        assert np.isnan(value)
