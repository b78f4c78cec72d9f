"""Figures of merit as pure functions: what was ranked, found or claimed comes in, one number goes out.

Where scores are equal the worst order counts, so that a model which gives everything the same score cannot look good
(as SSCD's evaluation does). NaN means that the figure is not defined: nothing to find, nothing claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

RECALL_STEPS = np.linspace(0, 1, 101)  # COCO's 101 points


def greedy_hits(overlaps: Floats, scores: Floats, min_overlap: float = 0.5) -> Flags:
    """Which of n boxes hit one of m true boxes: best score first, each true box once, each box its best free one.

    overlaps: (n, m), for example `geometry.iou`. scores: (n,); equal scores are taken in the given order.
    Gives (n,) bool in the order of the boxes.
    """
    hits = np.zeros(overlaps.shape[0], dtype=bool)
    free = np.ones(overlaps.shape[1], dtype=bool)
    for i in np.argsort(-scores, kind="stable"):
        if not free.any():
            break
        j = int(np.argmax(np.where(free, overlaps[i], -1.0)))
        if free[j] and overlaps[i, j] >= min_overlap:
            hits[i], free[j] = True, False
    return hits


def average_precision(hits: Flags, scores: Floats, positives: int, *, in_order: bool = False) -> float:
    """Mean of the interpolated precision at 101 recalls (COCO); among equal scores misses come first.

    hits, scores: (n,), all boxes of all pictures. positives: number of true boxes, found or not. NaN when there are none.
    in_order: equal scores stay as given, as in COCO's own code, for figures that are compared with those of others.
    """
    if not positives:
        return float("nan")
    if not len(hits):
        return 0.0
    found = np.cumsum(hits[np.argsort(-scores, kind="stable") if in_order else np.lexsort((hits, -scores))])
    recall = found / positives
    precision = np.maximum.accumulate((found / np.arange(1, len(found) + 1))[::-1])[::-1]
    at = np.searchsorted(recall, RECALL_STEPS, side="left")
    return float(np.append(precision, 0.0)[at].mean())


def found_by_best(overlaps: Floats, scores: Floats, k: int, min_overlap: float = 0.5) -> Flags:
    """Which of m true boxes one of the k best of n boxes overlaps by `min_overlap` or more: (m,) bool.

    overlaps: (n, m). scores: (n,); equal scores count in the given order.
    """
    best = overlaps[np.argsort(-scores, kind="stable")[:k]]
    return np.asarray(best.max(axis=0, initial=-1.0) >= min_overlap)


def box_recall(pictures: Iterable[tuple[Floats, Floats]], k: int, min_overlap: float = 0.5) -> float:
    """Share of true boxes that `found_by_best` finds, each in its picture. NaN without true boxes.

    pictures: per picture overlaps (n, m) and scores (n,).
    """
    found = [found_by_best(overlaps, scores, k, min_overlap) for overlaps, scores in pictures]
    wanted = sum(len(f) for f in found)
    return sum(int(f.sum()) for f in found) / wanted if wanted else float("nan")


def first_right_rank(similarities: Floats, right: Flags) -> Floats:
    """Rank (from 1) of the best right answer of each query; infinity when none is right.

    similarities: (n, m) of n queries to m answers. right: (n, m) bool. Wrong answers as similar as the right one come first.
    """
    best = np.where(right, similarities, -np.inf).max(axis=1, initial=-np.inf)
    ahead = ((similarities >= best[:, None]) & ~right).sum(axis=1)
    return np.asarray(np.where(right.any(axis=1), ahead + 1.0, np.inf), dtype=np.float64)


def recall_at_k(ranks: Floats, k: int) -> float:
    """Share of queries whose first right answer is among the k best. ranks: (n,), from 1, infinity when never."""
    return float((ranks <= k).mean()) if len(ranks) else float("nan")


def expected_calibration_error(probabilities: Floats, right: Flags, bins: int = 10) -> float:
    """Mean distance between stated probability and share that was right, over equally wide bins, weighted by their claims.

    probabilities: (n,) in [0, 1]. right: (n,). Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    if not len(probabilities):
        return float("nan")
    place = np.clip((probabilities * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    stated = np.bincount(place, weights=probabilities, minlength=bins)
    true = np.bincount(place, weights=right, minlength=bins)
    return float(np.abs(stated - true).sum() / count.sum())


def brier_score(probabilities: Floats, right: Flags) -> float:
    """Mean squared distance between the stated probability and what came out (1 right, 0 wrong)."""
    return float(((probabilities - right) ** 2).mean()) if len(probabilities) else float("nan")


def auroc(positives: Floats, negatives: Floats) -> float:
    """Chance that a positive scores above a negative; equal scores count half. (p,) and (n,) scores; NaN if one is empty."""
    if not len(positives) or not len(negatives):
        return float("nan")
    ranked = np.sort(negatives)
    below = np.searchsorted(ranked, positives, side="left")
    not_above = np.searchsorted(ranked, positives, side="right")
    return float((below + not_above).mean() / 2 / len(negatives))


def threshold_at_fpr(negatives: Floats, rate: float) -> float:
    """The lowest bar that at most `rate` of the negatives score *above*: a claim needs a score over it.

    negatives: (n,), at least one. rate: in [0, 1]; the answer is minus infinity when all may pass.
    """
    allowed = int(np.floor(rate * len(negatives) + 1e-9))  # 0.29 × 100 is 28.999…
    if allowed >= len(negatives):
        return float("-inf")
    return float(np.sort(negatives)[::-1][allowed])


def right_at_fpr(scores: Floats, right: Flags, negatives: Floats, rate: float) -> float:
    """Share of all positives that are claimed *and* right when at most `rate` of the negatives are claimed.

    scores, right: (p,), the score of each positive's best answer and whether that answer is true. negatives: (n,) best scores of
    queries that have no true answer. NaN when either side is empty.
    """
    if not len(scores) or not len(negatives):
        return float("nan")
    return float((right & (scores > threshold_at_fpr(negatives, rate))).mean())


def bootstrap_interval(
    measure: Callable[[Rows], float], n: int, *, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of `measure` over n rows (pictures, say) drawn with replacement; NaN draws are left out.

    measure: gets (n,) int64 row numbers, with repeats. The same seed gives the same interval.
    """
    random = np.random.default_rng(seed)
    values = np.array([measure(random.integers(0, n, n)) for _ in range(draws)])
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def fpr_at_tpr(positives: Floats, negatives: Floats, rate: float = 0.95) -> float:
    """Share of negatives that pass where at least `rate` of the positives do; lower is better. NaN when one side is empty.

    A claim needs a score at or above the bar, so that negatives as high as the last positive needed pass too.
    """
    if not len(positives) or not len(negatives):
        return float("nan")
    needed = max(int(np.ceil(rate * len(positives) - 1e-9)), 1)
    return float((negatives >= np.sort(positives)[::-1][needed - 1]).mean())


def oscr_curve(scores: Floats, right: Flags, negatives: Floats) -> tuple[Floats, Floats]:
    """The open-set classification curve: false-alarm rate and share claimed *and* right, each from 0 on, at every bar.

    scores, right: (p,), the best answer of each known query. negatives: (n,) best scores of strangers. Among equal scores the
    strangers pass first. Dhamija, Günther and Boult 2018, Reducing network agnostophobia, section 4.
    """
    if not len(scores) or not len(negatives):
        return np.zeros(0), np.zeros(0)
    every = np.concatenate([scores, negatives])
    stranger = np.concatenate([np.zeros(len(scores), bool), np.ones(len(negatives), bool)])
    claimed = np.concatenate([right, np.zeros(len(negatives), bool)])
    order = np.lexsort((~stranger, -every))
    false = np.cumsum(stranger[order]) / len(negatives)
    found = np.cumsum(claimed[order]) / len(scores)
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], found])


def oscr_area(scores: Floats, right: Flags, negatives: Floats) -> float:
    """Area under `oscr_curve`, in [0, share right]; NaN when one side is empty."""
    false, found = oscr_curve(scores, right, negatives)
    return float((np.diff(false) * found[1:]).sum()) if len(false) else float("nan")


def right_at_wrong(scores: Floats, right: Flags, rate: float) -> float:
    """The largest share of queries claimed and right while the share claimed and wrong is at most `rate`; NaN without queries.

    scores, right: (n,), the best answer of each query, minus infinity where there is none. Among equal scores wrong ones are
    claimed first.
    """
    if not len(scores):
        return float("nan")
    order = np.lexsort((right, -scores))
    order = order[np.isfinite(scores[order])]
    allowed = np.cumsum(~right[order]) <= np.floor(rate * len(scores) + 1e-9)
    return float((right[order] & allowed).sum() / len(scores))


def reliability_bins(probabilities: Floats, right: Flags, bins: int = 10) -> list[tuple[float, float, int]]:
    """(stated, true, claims) of each bin that holds claims: means of the stated probability and of what was right."""
    place = np.clip((np.asarray(probabilities) * bins).astype(np.int64), 0, bins - 1)
    return [
        (float(probabilities[place == b].mean()), float(right[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]
