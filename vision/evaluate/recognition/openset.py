"""Known brands among strangers: half of the brands are taken out of the library, several times; their crops are the strangers.

Strangers beside those: every crop with its own brand taken out ("own brand out"), random pieces of photographs, and lines of text
in them. A known crop counts as found when its score is over the bar *and* its brand, or kin of it, is the best one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.evaluate import metrics
from vision.evaluate.recognition.rankers import Judged
from vision.evaluate.recognition.ranking import Figures, interval, share
from vision.evaluate.recognition.worlds import families

SPLITS = 10
FALSE_ALARMS = (0.01, 0.001)
# Draws of pictures, each over all splits.
_DRAWS = 100

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One division of the brands. judged: all crops in that world. known: (n,) those that can be found. strangers: (n,) those
    whose brand it does not hold. Others are neither.
    """

    judged: Judged
    known: Flags
    strangers: Flags

    @property
    def usable(self) -> bool:
        """There are crops on both sides."""
        return bool(self.known.any() and self.strangers.any())


def halves(brands: Sequence[str], splits: int = SPLITS, seed: int = 0) -> list[frozenset[str]]:
    """For each split the half of the brands that is taken out; kin go together."""
    kin = families(set(brands))
    heads = sorted(set(kin.values()))
    found = []
    for number in range(splits):
        random = np.random.default_rng([seed, number])
        out = {heads[i] for i in random.permutation(len(heads))[: len(heads) // 2]}
        found.append(frozenset(brand for brand, head in kin.items() if head in out))
    return found


def open_figures(splits: Sequence[Split], picture: npt.NDArray[np.int64]) -> Figures:
    """Means over the splits; intervals over draws of pictures, each measured in all splits.

    auroc: known crops against strangers. fpr95: strangers that pass where 95 % of the known do. tpr_1, tpr_01: known crops found
    when 1 % and .1 % of the strangers pass. oscr: area under found over false alarms. strangers_claimed, known_claimed_right,
    known_claimed_wrong: what is named as shipped.
    """
    usable = [split for split in splits if split.usable]
    if not usable:
        return {}
    figures: Figures = {
        "splits": len(usable),
        "known": float(np.mean([s.known.sum() for s in usable])),
        "strangers": float(np.mean([s.strangers.sum() for s in usable])),
        "top1_kin": float(np.mean([s.judged.right[s.known].mean() for s in usable])),
    }
    for name, measure in _MEASURES.items():

        def over_splits(rows: metrics.Rows, measure: object = measure) -> float:
            values = [_of(measure, s, rows) for s in usable]
            values = [v for v in values if not np.isnan(v)]
            return float(np.mean(values)) if values else float("nan")

        figures[name] = over_splits(np.arange(len(picture)))
        figures[f"{name}_interval"] = interval(over_splits, picture, _DRAWS)
    return figures


def _auroc(known: metrics.Floats, _: Flags, strangers: metrics.Floats) -> float:
    return metrics.auroc(known, strangers)


def _fpr95(known: metrics.Floats, _: Flags, strangers: metrics.Floats) -> float:
    return metrics.fpr_at_tpr(known, strangers)


def _tpr_1(known: metrics.Floats, right: Flags, strangers: metrics.Floats) -> float:
    return metrics.right_at_fpr(known, right, strangers, FALSE_ALARMS[0])


def _tpr_01(known: metrics.Floats, right: Flags, strangers: metrics.Floats) -> float:
    return metrics.right_at_fpr(known, right, strangers, FALSE_ALARMS[1])


_SCORED = {"auroc": _auroc, "fpr95": _fpr95, "tpr_1": _tpr_1, "tpr_01": _tpr_01, "oscr": metrics.oscr_area}
_CLAIMED = ("strangers_claimed", "known_claimed_right", "known_claimed_wrong")
_MEASURES: Mapping[str, object] = {**_SCORED, **{name: name for name in _CLAIMED}}


def _of(measure: object, split: Split, rows: metrics.Rows) -> float:
    judged, known, strangers = split.judged, rows[split.known[rows]], rows[split.strangers[rows]]
    if callable(measure):
        return float(measure(judged.score[known], judged.right[known], judged.score[strangers]))
    part = {
        "strangers_claimed": judged.claimed[strangers],
        "known_claimed_right": (judged.claimed & judged.right)[known],
        "known_claimed_wrong": (judged.claimed & ~judged.right)[known],
    }[str(measure)]
    return float(part.mean()) if len(part) else float("nan")


def curve(split: Split) -> tuple[metrics.Floats, metrics.Floats]:
    """The OSCR curve of one split: false-alarm rate, share found."""
    judged, known = split.judged, split.known
    return metrics.oscr_curve(judged.score[known], judged.right[known], judged.score[split.strangers])


def stranger_figures(known: Judged, strangers: Judged, picture: npt.NDArray[np.int64]) -> Figures:
    """Known crops against other strangers. picture: (m,) which picture each stranger is in; intervals of what is claimed."""
    figures: Figures = {"strangers": len(strangers.best), "pictures": len(np.unique(picture))}
    for name, measure in _SCORED.items():
        figures[name] = float(measure(known.score, known.right, strangers.score))
    return figures | share("strangers_claimed", strangers.claimed, picture)
