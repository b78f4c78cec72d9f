"""AUROC, mean average precision and the false-alarm rate at a true rate against scikit-learn, where it is installed."""

import numpy as np
import pytest

from vision.evaluate import metrics

sklearn = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_scikit_learns(seed):
    random = np.random.default_rng(seed)
    known, strangers = random.normal(1, 1, 60).round(1), random.normal(0, 1, 80).round(1)
    truth, scores = np.repeat([1, 0], [60, 80]), np.concatenate([known, strangers])
    assert metrics.auroc(known, strangers) == pytest.approx(sklearn.roc_auc_score(truth, scores))
    false, true, _ = sklearn.roc_curve(truth, scores, drop_intermediate=False)
    assert metrics.fpr_at_tpr(known, strangers) == pytest.approx(false[true >= 0.95].min())
    similarities = random.random((30, 12))
    right = np.eye(12, dtype=bool)[random.integers(0, 12, 30)]
    theirs = np.mean([sklearn.average_precision_score(t, s) for t, s in zip(right, similarities, strict=True)])
    assert (1 / metrics.first_right_rank(similarities, right)).mean() == pytest.approx(theirs)
