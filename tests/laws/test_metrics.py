"""Laws of the figures of merit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.evaluate import metrics

seeds = st.integers(0, 2**32 - 1)


def test_a_perfect_ranking_has_full_average_precision_and_an_empty_one_none():
    assert metrics.average_precision(np.array([True, True, False]), np.array([0.9, 0.8, 0.1]), 2) == 1.0
    assert metrics.average_precision(np.zeros(0, bool), np.zeros(0), 3) == 0.0
    assert np.isnan(metrics.average_precision(np.zeros(0, bool), np.zeros(0), 0))


def test_what_was_not_found_counts():
    assert metrics.average_precision(np.array([True]), np.array([0.9]), 2) == pytest.approx(51 / 101)


@given(seeds)
def test_equal_scores_never_flatter(seed):
    random = np.random.default_rng(seed)
    hits = random.random(30) < 0.5
    flat = metrics.average_precision(hits, np.full(30, 0.5), 20)
    assert flat == metrics.average_precision(np.sort(hits), np.full(30, 0.5), 20)
    any_order = metrics.average_precision(hits, random.permutation(30) / 30, 20)
    assert flat <= any_order + 1e-12


@given(seeds)
def test_only_the_ranking_matters_for_average_precision(seed):
    random = np.random.default_rng(seed)
    hits, scores = random.random(20) < 0.4, random.random(20)
    order = random.permutation(20)
    before = metrics.average_precision(hits, scores, 12)
    assert metrics.average_precision(hits[order], scores[order] ** 3 / 2, 12) == before


@given(seeds)
def test_a_true_box_is_hit_once_and_a_box_hits_once(seed):
    random = np.random.default_rng(seed)
    overlaps = random.random((12, 5))
    hits = metrics.greedy_hits(overlaps, random.random(12), 0.3)
    assert hits.sum() <= 5
    assert metrics.greedy_hits(np.ones((4, 1)), np.array([0.1, 0.9, 0.5, 0.9])).tolist() == [False, True, False, False]


def test_a_better_box_takes_the_true_box_from_a_worse_one():
    overlaps = np.array([[0.9, 0.6], [0.8, 0.0]])
    assert metrics.greedy_hits(overlaps, np.array([0.2, 0.9])).tolist() == [True, True]
    assert metrics.greedy_hits(overlaps[:, :1], np.array([0.2, 0.9])).tolist() == [False, True]


def test_ranks_count_equal_wrong_answers_first():
    similarities = np.array([[0.9, 0.9, 0.1], [0.2, 0.5, 0.4], [0.3, 0.2, 0.1]])
    right = np.array([[True, False, False], [True, False, True], [False, False, False]])
    ranks = metrics.first_right_rank(similarities, right)
    assert ranks.tolist() == [2, 2, np.inf]
    assert metrics.recall_at_k(ranks, 1) == 0
    assert metrics.recall_at_k(ranks, 2) == pytest.approx(2 / 3)


def test_honest_probabilities_have_no_calibration_error_and_boasts_do():
    right = np.arange(100) < 80
    assert metrics.expected_calibration_error(np.full(100, 0.8), right) == pytest.approx(0)
    assert metrics.expected_calibration_error(np.full(100, 1.0), right) == pytest.approx(0.2)
    assert metrics.brier_score(np.full(100, 0.8), right) == pytest.approx(0.16)


def test_separable_scores_have_full_auroc_and_equal_ones_half():
    assert metrics.auroc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert metrics.auroc(np.ones(3), np.ones(4)) == 0.5


@given(seeds, st.floats(0, 1))
def test_the_bar_keeps_the_budget_and_is_the_lowest_that_does(seed, rate):
    negatives = np.random.default_rng(seed).integers(0, 10, 50) / 10
    bar = metrics.threshold_at_fpr(negatives, rate)
    assert (negatives > bar).mean() <= rate + 1e-9
    lower = negatives[negatives < bar]
    if len(lower):
        assert (negatives > lower.max()).mean() > rate


def test_no_data_is_not_a_figure():
    empty = np.zeros(0)
    for value in (
        metrics.box_recall([], 5),
        metrics.recall_at_k(empty, 1),
        metrics.expected_calibration_error(empty, empty.astype(bool)),
        metrics.brier_score(empty, empty.astype(bool)),
        metrics.auroc(empty, np.ones(1)),
        metrics.right_at_fpr(empty, empty.astype(bool), np.ones(1), 0.1),
    ):
        assert np.isnan(value)


def test_an_interval_covers_the_mean_repeats_and_leaves_undefined_draws_out():
    values = np.random.default_rng(3).normal(5, 1, 200)
    measure = lambda rows: float(values[rows].mean())  # noqa: E731
    low, high = metrics.bootstrap_interval(measure, 200)
    assert low < 5.02 < high + 0.3
    assert 0.15 < high - low < 0.45  # four standard errors: 0.28
    assert metrics.bootstrap_interval(measure, 200) == (low, high)
    odd = metrics.bootstrap_interval(lambda rows: float("nan") if rows[0] % 2 else 1.0, 10)
    assert odd == (1.0, 1.0)
