"""Evidence becomes probabilities: how sure it is that the box shows one of our brands, and which.

Two factors. `softmax` orders the contenders and divides one among them: similarity over a fitted temperature (Guo et al., On
calibration of modern neural networks, 2017) plus fitted weights for what was read. `recognised` is the probability that the first
of them is there at all, a logistic regression on the features of `evidence.py` (Platt, Probabilistic outputs for support vector
machines, 1999); what is background is no brand, whatever comes second. The product sums to at most 1 over the contenders; what
is left is the probability of a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.verdict.evidence import FEATURES, Contender, Evidence, contenders, features, is_background


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers.

    weights: one for each of `FEATURES`. bias: the logit at zero. temperature: cosines per unit of the softmax, over 0.
    name_weight, alone_weight: units of the softmax for each point of a name, and for the name of a brand without pictures that
    would do by itself; not negative, so that a name never speaks against its brand.
    """

    weights: tuple[float, ...]
    bias: float
    temperature: float
    name_weight: float = 0.0
    alone_weight: float = 0.0

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or self.temperature <= 0:
            raise ValueError(f"{len(FEATURES)} weights and a positive temperature are needed")
        if self.name_weight < 0 or self.alone_weight < 0:
            raise ValueError("a name cannot speak against its brand")

    @classmethod
    def from_card(cls, section: Mapping[str, Any]) -> Calibration:
        """The numbers of one calibration of a card. Raises ValueError when its features are not ours."""
        if tuple(section["features"]) != FEATURES:
            raise ValueError(f"calibrated on {section['features']}, this version measures {list(FEATURES)}")
        return cls(
            tuple(section["weights"]),
            section["bias"],
            section["temperature"],
            section["name_weight"],
            section["alone_weight"],
        )

    def to_card(self) -> dict[str, Any]:
        """The inverse of `from_card`."""
        return {
            "features": list(FEATURES),
            "weights": list(self.weights),
            "bias": self.bias,
            "temperature": self.temperature,
            "name_weight": self.name_weight,
            "alone_weight": self.alone_weight,
        }

    def ranked(self, evidence: Evidence) -> list[tuple[Contender, float]]:
        """Contenders with their probability in [0, 1], best first; the sum is at most 1. Equal ones keep their order."""
        found = contenders(evidence)
        if not found:
            return []
        utility = self.utilities(found)
        order = np.argsort(-utility, kind="stable")
        found = [found[i] for i in order]
        logit = float(features(evidence, found[0], found[1:]) @ np.array(self.weights)) + self.bias
        recognised = 0.0 if is_background(evidence, found[0]) else sigmoid(logit)
        return list(zip(found, (recognised * softmax(utility[order])).tolist(), strict=True))

    def utilities(self, found: Sequence[Contender]) -> npt.NDArray[np.float64]:
        """(n,) what speaks for each contender, in units of the softmax."""
        return np.array(
            [
                c.similarity / self.temperature + self.name_weight * c.points + self.alone_weight * c.alone
                for c in found
            ],
            dtype=np.float64,
        )


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)) without overflow."""
    return float(0.5 * (1 + np.tanh(logit / 2)))


def softmax(utilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shares of (k,) utilities that sum to 1: (k,)."""
    raised = np.exp(utilities - utilities.max())
    return np.asarray(raised / raised.sum(), dtype=np.float64)
