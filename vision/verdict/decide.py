"""Known, ambiguous or unknown, with the evidence named.

Known: the best brand's probability reaches the operating point. Ambiguous: no brand does alone, but together those that are
within reach of each other do. Unknown: a logo or a product, none of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vision.errors import UsageError
from vision.values import Candidate, Verdict
from vision.verdict.calibrate import Calibration
from vision.verdict.evidence import Evidence

MOST_CANDIDATES = 5
# A brand is within reach of the best one when it is at least a quarter as probable.
WITHIN_REACH = 0.25


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """From which probability on a brand is named.

    threshold: in (0, 1]. false_alarms: the share of brand-free pictures that may carry a known brand.
    """

    threshold: float
    false_alarms: float

    @classmethod
    def from_card(cls, card: Mapping[str, Any], false_alarms: float) -> OperatingPoint:
        """The lowest threshold that keeps the budget on the card's brand-free pictures, never under its `least_probability`.

        The card holds the best probability of the worst brand-free pictures, highest first, and how many pictures there were.
        Raises UsageError (bad_option) for a rate outside of [0, 1], or one larger than the card's list can answer.
        """
        if not 0 <= false_alarms <= 1:
            raise UsageError("bad_option", f"--false-alarms {false_alarms} is no share between 0 and 1")
        alarms: Sequence[float] = card["alarms"]["highest"]
        allowed = int(false_alarms * card["alarms"]["pictures"])
        least = float(card["least_probability"])
        if allowed >= len(alarms):
            return cls(least, false_alarms)
        # the first probability that must not pass: one step of the stored precision above it is the threshold
        return cls(min(max(least, alarms[allowed] + 1e-4), 1.0), false_alarms)


def decide(evidence: Evidence, calibration: Calibration, point: OperatingPoint) -> Verdict:
    """The verdict on one box. No match at all (an empty library) is unknown with probability 0."""
    if not evidence.matches:
        return Verdict("unknown", None, None, 0.0)
    probabilities = calibration.probabilities(evidence)
    candidates = tuple(
        Candidate(m.brand, m.similarity, float(p), m.reference)
        for m, p in zip(evidence.matches[:MOST_CANDIDATES], probabilities[:MOST_CANDIDATES], strict=True)
    )
    best = candidates[0]
    if best.probability >= point.threshold:
        return Verdict("known", best.brand, evidence.matches[0].product, best.probability, candidates)
    near = [c.probability for c in candidates if c.probability >= WITHIN_REACH * best.probability]
    ambiguous = len(near) > 1 and sum(near) >= point.threshold
    return Verdict("ambiguous" if ambiguous else "unknown", None, None, best.probability, candidates)
