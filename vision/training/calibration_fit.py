"""Maximum likelihood for a `Calibration`, and its answers to cases that a fit did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.recognise import NEIGHBORS, SURE
from vision.training.calibration_cases import Case
from vision.verdict.calibrate import Calibration
from vision.verdict.evidence import FEATURES, Contender, contenders, features, is_background

Floats = npt.NDArray[np.float64]

# Which way each feature may speak. A bound keeps a small or odd set from teaching that a better match is worse.
_UP, _DOWN, _EITHER = (0.0, None), (None, 0.0), (None, None)
_BOUNDS = dict.fromkeys(FEATURES, _EITHER) | {
    "adjusted_similarity": _UP,
    "margin": _UP,
    "adjusted_similarity_read": _UP,
    "margin_read": _UP,
    "name_points": _UP,
    "name_of_nearest": _UP,
    "other_text": _DOWN,
    "rival_points": _DOWN,
    "margin_by_size": _UP,
}
_ROUNDS = 4  # the best contender depends on the numbers that are fitted with it held fixed
_START = Calibration(tuple(0.0 for _ in FEATURES), 0.0, 0.05, 1.0, 1.0)


def fit(cases: Sequence[Case], *, reading: bool = True, ridge: float = 1e-3) -> Calibration:
    """The calibration under which the cases are most likely, with a small ridge on the standardised weights.

    A case with its brand among the contenders has the likelihood of that contender; every other one that of "none of these".
    reading: with what was read; without it the names of all cases are passed over, and brands that are held by name alone. Sizes
    of the library weigh alike.
    """
    from scipy.optimize import minimize

    if not reading:
        cases = [without_names(c) for c in cases if not c.by_name]
    cases = [c for c in cases if c.evidence.matches or c.evidence.names]
    table = _Table(cases)
    found = _START if reading else replace(_START, name_weight=0.0, alone_weight=0.0)
    count = len(FEATURES)
    bounds = [_BOUNDS[name] for name in FEATURES] + [(None, None), (np.log(0.005), np.log(1.0))]
    bounds += [(0.0, 4.0), (0.0, 8.0)] if reading else [(0.0, 0.0)] * 2
    for _ in range(_ROUNDS):
        best = table.best(found)
        # what is background or looks most like a negative reference is no brand by rule, and teaches nothing
        firsts = [(c.evidence, contenders(c.evidence)[b]) for c, b in zip(cases, best, strict=True)]
        counted = np.array([not (is_background(evidence, first) or first.negative) for evidence, first in firsts])
        matrix = np.stack([table.features[i][b] for i, b in enumerate(best)])
        mean, spread = matrix.mean(axis=0), matrix.std(axis=0) + 1e-9
        scaled = (matrix - mean) / spread

        def loss(p: Floats, scaled: Floats = scaled, counted: npt.NDArray[np.bool_] = counted) -> float:
            recognised = 0.5 * (1 + np.tanh((scaled @ p[:count] + p[count]) / 2))
            named = recognised * table.share_of_right(float(np.exp(p[count + 1])), float(p[-2]), float(p[-1]))
            likelihood = np.where(table.right >= 0, named, 1 - recognised)
            return float(
                -np.log(np.clip(likelihood[counted], 1e-9, None)).mean() + ridge * float((p[:count] ** 2).sum())
            )

        start = np.zeros(count + 4)
        start[:count] = np.array(found.weights) * spread
        start[count] = found.bias + np.array(found.weights) @ mean
        start[count + 1 :] = np.log(found.temperature), found.name_weight, found.alone_weight
        p = minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"maxfun": 4000}).x
        slopes = p[:count] / spread
        found = Calibration(
            tuple(round(float(w), 6) for w in slopes),
            round(float(p[count] - slopes @ mean), 6),
            round(float(np.exp(p[count + 1])), 6),
            round(float(p[-2]), 6),
            round(float(p[-1]), 6),
        )
    return found


def without_names(case: Case) -> Case:
    """The case as it is when nothing was read: brands that were only read, and not seen, are gone."""
    evidence = case.evidence
    if not evidence.names and not evidence.clear_text:
        return case
    right = None if case.right is None else contenders(evidence)[case.right].brand
    # what vision found comes first; brands that were read follow
    bare = replace(evidence, names=(), clear_text=False, matches=evidence.matches[:NEIGHBORS])
    found = [c.brand for c in contenders(bare)]
    return replace(case, evidence=bare, right=found.index(right) if right in found else None)


class _Table:
    """The cases as arrays, padded to the longest list of contenders."""

    def __init__(self, cases: Sequence[Case]) -> None:
        found = [contenders(c.evidence) for c in cases]
        most = max(len(f) for f in found)
        shape = len(cases), most
        self.similarity = np.full(shape, -1e3)
        self.points, self.alone = np.zeros(shape), np.zeros(shape)
        self.features: list[list[Floats]] = []
        self.right = np.array([-1 if c.right is None else c.right for c in cases])
        for row, (case, all_) in enumerate(zip(cases, found, strict=True)):
            self.similarity[row, : len(all_)] = [c.similarity for c in all_]
            self.points[row, : len(all_)] = [c.points for c in all_]
            self.alone[row, : len(all_)] = [c.alone for c in all_]
            self.features.append([features(case.evidence, c, all_[:i] + all_[i + 1 :]) for i, c in enumerate(all_)])

    def utilities(self, temperature: float, name_weight: float, alone_weight: float) -> Floats:
        return self.similarity / temperature + name_weight * self.points + alone_weight * self.alone

    def best(self, calibration: Calibration) -> npt.NDArray[np.int64]:
        """(n,) index of the contender with the highest utility."""
        utilities = self.utilities(calibration.temperature, calibration.name_weight, calibration.alone_weight)
        return np.asarray(utilities.argmax(axis=1), dtype=np.int64)

    def share_of_right(self, temperature: float, name_weight: float, alone_weight: float) -> Floats:
        """(n,) share of the true contender; of the first one where there is none."""
        utilities = self.utilities(temperature, name_weight, alone_weight)
        raised = np.exp(utilities - utilities.max(axis=1, keepdims=True))
        shares = raised / raised.sum(axis=1, keepdims=True)
        return np.asarray(np.take_along_axis(shares, np.maximum(self.right, 0)[:, None], axis=1)[:, 0])


@dataclass(frozen=True, slots=True)
class Answer:
    """The best contender of a case: brand, probability in [0, 1], and whether it is the true one. No brand without contenders."""

    brand: str | None
    probability: float
    right: bool


def answer(calibrations: Sequence[Calibration], case: Case, sure: float = SURE) -> Answer:
    """What a scan with `--text auto` says of a case.

    calibrations: of vision alone and of both. sure: from this probability of vision alone on nothing is read.
    """
    alone, both = calibrations
    bare = without_names(case)
    ranked = alone.ranked(bare.evidence)
    settled = bool(ranked) and not ranked[0][0].negative and ranked[0][1] >= sure
    read = case.read and case.evidence.kind == "logo" and not settled
    if ranked and not read:
        return _told(bare, ranked[0])
    ranked = both.ranked(case.evidence) if read else []
    return _told(case, ranked[0]) if ranked else Answer(None, 0.0, False)


def _told(case: Case, best: tuple[Contender, float]) -> Answer:
    contender, probability = best
    if contender.negative:
        return Answer(None, 0.0, False)
    right = case.right is not None and contenders(case.evidence)[case.right].brand == contender.brand
    return Answer(contender.brand, probability, right)


def cross_validated(cases: Sequence[Case], folds: int, *, text: bool = True) -> list[Answer]:
    """`answer` to each case by fits that saw no case of the same brand or picture. text: False for vision alone."""
    groups = sorted({c.group for c in cases})
    order = np.random.default_rng(0).permutation(len(groups))
    place = {group: int(order[i]) % folds for i, group in enumerate(groups)}
    answers = [Answer(None, 0.0, False)] * len(cases)
    for part in range(folds):
        rest = [c for c in cases if place[c.group] != part]
        alone = fit(rest, reading=False)
        both = fit(rest) if text else alone
        for i, case in enumerate(cases):
            if place[case.group] == part:
                answers[i] = answer((alone, both), case if text else without_names(case))
    return answers
