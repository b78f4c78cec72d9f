"""Evidence becomes probabilities: how sure it is that the box shows one of our brands, and which.

Two factors. `recognised` is the probability that the box shows one of the candidates at all, a logistic regression on the
features of `evidence.py` (Platt, Probabilistic outputs for support vector machines, 1999). `shares` divides it among the
candidates by a softmax of their similarities with a fitted temperature (Guo et al., On calibration of modern neural networks,
2017). The product sums to at most 1 over the candidates; the rest is the probability of a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.verdict.evidence import FEATURES, Evidence, features


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers. weights: one for each of `FEATURES`. bias: the logit at zero. temperature: of the softmax, over 0."""

    weights: tuple[float, ...]
    bias: float
    temperature: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or self.temperature <= 0:
            raise ValueError(f"{len(FEATURES)} weights and a positive temperature are needed")

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Calibration:
        """The numbers of a card's `calibration` section. Raises ValueError when its features are not ours."""
        section = card["calibration"]
        if tuple(section["features"]) != FEATURES:
            raise ValueError(f"calibrated on {section['features']}, this version measures {list(FEATURES)}")
        return cls(tuple(section["weights"]), section["bias"], section["temperature"])

    def to_card(self) -> dict[str, Any]:
        """The inverse of `from_card`: the `calibration` section."""
        return {
            "features": list(FEATURES),
            "weights": list(self.weights),
            "bias": self.bias,
            "temperature": self.temperature,
        }

    def probabilities(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        """(k,) probabilities in [0, 1], one for each match, in their order; their sum is at most 1."""
        recognised = sigmoid(float(features(evidence) @ np.array(self.weights)) + self.bias)
        return recognised * shares([m.similarity for m in evidence.matches], self.temperature)


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)) without overflow."""
    return float(0.5 * (1 + np.tanh(logit / 2)))


def shares(similarities: Sequence[float], temperature: float) -> npt.NDArray[np.float64]:
    """Softmax of (k,) similarities over a temperature: (k,) shares that sum to 1."""
    scaled = np.asarray(similarities, dtype=np.float64) / temperature
    raised = np.exp(scaled - scaled.max())
    return np.asarray(raised / raised.sum(), dtype=np.float64)
