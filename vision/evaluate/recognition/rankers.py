"""Ways to rank brands: by looks, by what was read, by both. Each gives, for each crop, different brands, best first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.evaluate.recognition.worlds import Looks
from vision.library.names import fold, kin_prefixes
from vision.values import Match
from vision.verdict import Calibration, OperatingPoint
from vision.verdict.evidence import Evidence


@dataclass(frozen=True, slots=True)
class RankedBrand:
    """A brand in the place that a ranker gives it.

    score: how sure it is, to be compared between crops; higher is surer. claimed: the brand would be named as shipped.
    probability: calibrated, null where the ranker has none. reference: the nearest picture, null when it has none.
    """

    brand: str
    score: float
    claimed: bool = False
    probability: float | None = None
    reference: str | None = None


Ranker = Callable[[Looks], list[list[RankedBrand]]]


def by_similarity(looks: Looks) -> list[list[RankedBrand]]:
    """By cosine alone, which is also the score. Nothing is claimed: a cosine has no operating point."""
    return [
        [RankedBrand(m.brand, m.similarity, reference=m.reference) for m in matches if not m.negative]
        for matches in looks.matches
    ]


def by_name(looks: Looks) -> list[list[RankedBrand]]:
    """By what was read alone; claimed where the name alone would do. The score is in points over that bar."""
    if looks.names is None:
        raise ValueError("nothing was read")
    return [[RankedBrand(n.brand, n.score, n.accepted) for n in names] for names in looks.names]


def by_verdict(vision: Calibration, point: OperatingPoint, *, both: Calibration | None = None) -> Ranker:
    """As a scan ranks and names: by probability, then by cosine what is no candidate any more.

    vision: for crops that were not read. both: for those that were; without it nothing that was read counts.
    """

    def rank(looks: Looks) -> list[list[RankedBrand]]:
        found = []
        for i in range(len(looks)):
            read = both is not None and bool(looks.crops.read[i])
            calibration = both if read and both is not None else vision
            found.append(list(_ranked(calibration, point, looks.evidence(i, read=read), looks.matches[i])))
        return found

    return rank


def _ranked(
    calibration: Calibration, point: OperatingPoint, evidence: Evidence, matches: Sequence[Match]
) -> Iterator[RankedBrand]:
    ranked = calibration.ranked(evidence)
    suppressed = bool(ranked) and ranked[0][0].negative
    shown = set()
    for contender, probability in ranked:
        if not contender.negative:
            shown.add(contender.brand)
            claimed = not suppressed and point.names(contender.brand, probability)
            reference = contender.match.reference if contender.match else None
            yield RankedBrand(contender.brand, probability, claimed, probability, reference)
    for match in matches:
        if match.brand not in shown and not match.negative:
            yield RankedBrand(match.brand, -1.0, reference=match.reference)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a ranker said of n crops against the truth, one entry a crop.

    rank, kin_rank: place of the brand itself, and of the brand or one of its kin, from 1; infinity when it is not ranked.
    score: of the best brand, minus infinity where there is none. probability: of it, NaN where there is none.
    claimed: it would be named. best: its name, empty where there is none.
    """

    rank: npt.NDArray[np.float64]
    kin_rank: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    claimed: npt.NDArray[np.bool_]
    best: tuple[str, ...]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """The best brand is the true one or its kin."""
        return np.asarray(self.kin_rank == 1)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Judged:
        """Some of the crops."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        best = tuple(self.best[i] for i in rows)
        return Judged(
            self.rank[rows], self.kin_rank[rows], self.score[rows], self.probability[rows], self.claimed[rows], best
        )


def judge(ranked: Sequence[Sequence[RankedBrand]], brands: Sequence[str]) -> Judged:
    """Compare what was ranked for each crop with its brand. Names are compared folded."""
    rank, kin = np.full(len(brands), np.inf), np.full(len(brands), np.inf)
    for i, (row, brand) in enumerate(zip(ranked, brands, strict=True)):
        key = fold(brand)
        for place, one in enumerate(row, 1):
            if np.isinf(kin[i]) and key in kin_prefixes(one.brand):
                kin[i] = place
            if key == fold(one.brand):
                rank[i] = place
                break
    first = [row[0] if row else None for row in ranked]
    return Judged(
        rank,
        kin,
        np.array([-np.inf if one is None else one.score for one in first], dtype=np.float64),
        np.array([np.nan if one is None or one.probability is None else one.probability for one in first]),
        np.array([one is not None and one.claimed for one in first], dtype=bool),
        tuple("" if one is None else one.brand for one in first),
    )
