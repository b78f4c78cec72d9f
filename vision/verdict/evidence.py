"""What speaks for and against the best brands of one box, as numbers that a probability can be fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.values import Match, Reading

# Half of the similarity to the nearest background patch is subtracted: a texture resembles some reference among thousands.
# Factor chosen beforehand and measured in a trial of 3,000 photo crops: AUROC .845 -> .967; 0.25 gave .927.
BACKGROUND_SHARE = 0.5

FEATURES = ("adjusted_similarity", "margin", "log2_short_side", "detector_logit")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One box and what it resembles.

    matches: different brands, best first, at least one. background: cosine to the nearest background patch, in [-1, 1].
    short_side: of the box, in pixels of the upright picture. score: the detector's, in [0, 1].
    reading: what a text reader found in the crop, when there is one. It is carried here so that a verdict can weigh it.
    """

    matches: Sequence[Match]
    background: float
    short_side: float
    score: float
    reading: Reading | None = None


def features(evidence: Evidence) -> npt.NDArray[np.float64]:
    """(4,) float64 in the order of `FEATURES`. The margin of a single brand is its similarity: nothing else comes near."""
    best = evidence.matches[0].similarity
    rival = evidence.matches[1].similarity if len(evidence.matches) > 1 else 0.0
    score = min(max(evidence.score, 1e-3), 1 - 1e-3)
    return np.array(
        [
            best - BACKGROUND_SHARE * evidence.background,
            best - rival,
            np.log2(max(evidence.short_side, 1.0)),
            np.log(score / (1 - score)),
        ]
    )
