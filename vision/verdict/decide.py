"""Known, ambiguous or unknown, with the evidence named.

Known: the best brand's probability reaches its operating point. Ambiguous: no brand does alone, but together those that are
within reach of each other do. Unknown: a logo or a product, none of ours.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vision.errors import UsageError
from vision.values import Candidate, Verdict
from vision.verdict.calibrate import Calibration
from vision.verdict.evidence import Contender, Evidence, is_silhouette

MOST_CANDIDATES = 5
# A brand is within reach of the best one when it is at least a quarter as probable.
WITHIN_REACH = 0.25


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """From which probability on a brand is named.

    threshold: in (0, 1]. false_alarms: the share of brand-free pictures that may carry a known brand.
    by_brand: higher thresholds of brands that more than others are seen where they are not.
    watched: only these brands can be named, the others still compete; all can when None.
    """

    threshold: float
    false_alarms: float
    by_brand: Mapping[str, float] = field(default_factory=dict)
    watched: Container[str] | None = None

    @classmethod
    def from_card(
        cls, card: Mapping[str, Any], false_alarms: float, *, watched: Container[str] | None = None
    ) -> OperatingPoint:
        """The lowest threshold that keeps the budget on the card's brand-free pictures, never under its `least_probability`.

        The card holds the best probability of the worst brand-free pictures, highest first, and how many pictures there were.
        Raises UsageError (bad_option) for a rate outside of [0, 1].
        """
        if not 0 <= false_alarms <= 1:
            raise UsageError("bad_option", f"--false-alarms {false_alarms} is no share between 0 and 1")
        alarms: Sequence[float] = card["alarms"]["highest"]
        allowed = int(false_alarms * card["alarms"]["pictures"] + 1e-9)  # .29 of 100 pictures are 29, in floats too
        least = float(card["least_probability"])
        by_brand = dict(card.get("by_brand", {}))
        if allowed >= len(alarms):
            return cls(least, false_alarms, by_brand, watched)
        # the first probability that must not pass: one step of the stored precision above it is the threshold
        return cls(min(max(least, alarms[allowed] + 1e-4), 1.0), false_alarms, by_brand, watched)

    def watches(self, brand: str) -> bool:
        """True for a brand that can be named at all; the others are rivals."""
        return self.watched is None or brand in self.watched

    def names(self, brand: str, probability: float) -> bool:
        """True when a brand is named at this probability."""
        return self.watches(brand) and probability >= max(self.threshold, self.by_brand.get(brand, 0.0))


def decide(evidence: Evidence, calibration: Calibration, point: OperatingPoint) -> Verdict:
    """The verdict on one box. No match at all (an empty library) is unknown with probability 0.

    What looks most like a negative reference ("looks like, is not") is unknown, whatever comes second, and so is a product that
    only looks like a drawing.
    """
    ranked = calibration.ranked(evidence)
    candidates = tuple(candidate(c, p, point) for c, p in ranked if not c.negative)[:MOST_CANDIDATES]
    if not candidates:
        return Verdict("unknown", None, None, 0.0)
    best = candidates[0]
    if ranked[0][0].negative or is_silhouette(evidence, ranked[0][0]):
        return Verdict("unknown", None, None, best.probability, candidates)
    if point.names(best.brand, best.probability):
        match = ranked[0][0].match
        return Verdict("known", best.brand, match.product if match else None, best.probability, candidates)
    near = [c for c in candidates if c.probability >= WITHIN_REACH * best.probability]
    # of those that people are told first one can be named
    nameable = not all(c.rival for c in near[:2])
    ambiguous = len(near) > 1 and nameable and sum(c.probability for c in near) >= point.threshold
    return Verdict("ambiguous" if ambiguous else "unknown", None, None, best.probability, candidates)


def candidate(contender: Contender, probability: float, point: OperatingPoint) -> Candidate:
    """A contender as results show it."""
    match, name = contender.match, contender.name
    return Candidate(
        contender.brand,
        None if match is None else match.similarity,
        probability,
        None if match is None else match.reference,
        None if name is None or contender.points <= 0 else name.string,
        not point.watches(contender.brand),
    )
