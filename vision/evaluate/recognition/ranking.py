"""How well known brands are ranked and named: top-1, R@k, mean average precision, and what is claimed, with intervals and slices.

Each crop has one right brand, so its average precision is one over that brand's rank. `*_kin`: a brand whose name begins with
the right one ("Google Drive" for Google) counts as right. Intervals are 95 %, bootstrapped over pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import kin_of
from vision.evaluate import metrics
from vision.evaluate.recognition.crops import Crops
from vision.evaluate.recognition.rankers import Judged
from vision.library.names import fold

Figures = dict[str, Any]
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.floating[Any]] | Flags

DRAWS = 200
RECALL_AT = (1, 5, 10)
# By the short side of the true box, pixels of the picture.
SIZES = {"short side <16": (0.0, 16.0), "16-32": (16.0, 32.0), "32-96": (32.0, 96.0), ">=96": (96.0, 1e9)}
WRONG_RATE = 0.01


def rank_figures(judged: Judged, picture: npt.NDArray[np.int64]) -> Figures:
    """Figures of crops whose brands the library holds. picture: (n,) which picture each is in.

    claimed: share named as shipped; claimed_right, claimed_wrong: its parts. right_at_1_wrong: the most that can be named
    rightly while wrong names are 1 % of the crops.
    """
    figures: Figures = {"crops": len(picture), "pictures": len(np.unique(picture))}
    for name, ranks in (("", judged.rank), ("_kin", judged.kin_rank)):
        for k in RECALL_AT:
            key = f"top1{name}" if k == 1 else f"recall{k}{name}"
            figures |= share(key, ranks <= k, picture)
        figures |= share(f"map{name}", 1 / ranks, picture)
    figures |= share("claimed", judged.claimed, picture)
    figures |= share("claimed_right", judged.claimed & judged.right, picture)
    figures |= share("claimed_wrong", judged.claimed & ~judged.right, picture)
    scores, right = judged.score, judged.right

    def at_one_wrong(rows: metrics.Rows) -> float:
        return metrics.right_at_wrong(scores[rows], right[rows], WRONG_RATE)

    figures["right_at_1_wrong"] = at_one_wrong(np.arange(len(picture)))
    figures["right_at_1_wrong_interval"] = interval(at_one_wrong, picture)
    return figures


def slices(crops: Crops, unseen: Collection[str] | None) -> Iterator[tuple[str, Flags]]:
    """All crops, then those of each size, of unseen brands and the others where a list says which, and of each source."""
    yield "all", np.ones(len(crops), dtype=bool)
    for name, (low, high) in SIZES.items():
        yield name, np.asarray((crops.sides >= low) & (crops.sides < high))
    if unseen is not None:
        is_unseen = kin_of(unseen)
        flags = np.array([is_unseen(brand) for brand in crops.brands], dtype=bool)
        yield "unseen brands", flags
        yield "seen brands", ~flags
    sources = sorted(set(crops.sources))
    if len(sources) > 1:
        for source in sources:
            yield f"source {source}", np.array([s == source for s in crops.sources], dtype=bool)


def by_brand(judged: Judged, brands: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Of each brand its crops, how many are ranked first, claimed rightly and wrongly, and what it is taken for most."""
    found: dict[str, Mapping[str, Any]] = {}
    names = np.array(brands, dtype=object)
    for brand in sorted(set(brands), key=lambda name: (fold(name), name)):
        own = judged.take(np.asarray(names == brand, dtype=bool))
        wrong = Counter(best for best, right in zip(own.best, own.right, strict=True) if best and not right)
        found[brand] = {
            "crops": len(own.best),
            "top1": int((own.rank == 1).sum()),
            "top1_kin": int(own.right.sum()),
            "claimed_right": int((own.claimed & own.right).sum()),
            "claimed_wrong": int((own.claimed & ~own.right).sum()),
            "taken_for": wrong.most_common(1)[0][0] if wrong else None,
        }
    return found


def share(name: str, values: Values, picture: npt.NDArray[np.int64]) -> Figures:
    """The mean of (n,) values with its interval over pictures, as two entries."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return {name: float("nan"), f"{name}_interval": [float("nan")] * 2}
    _, place = np.unique(picture, return_inverse=True)
    sums = np.stack([np.bincount(place, weights=values), np.bincount(place)], axis=1)

    def mean(rows: metrics.Rows) -> float:
        total, count = sums[rows].sum(axis=0)
        return float(total / count)

    return {
        name: float(values.mean()),
        f"{name}_interval": list(metrics.bootstrap_interval(mean, len(sums), draws=DRAWS)),
    }


def interval(measure: Any, picture: npt.NDArray[np.int64], draws: int = DRAWS) -> list[float]:
    """95 % of a measure of crops (by row numbers) over draws of pictures."""
    if not len(picture):
        return [float("nan")] * 2
    groups = picture_rows(picture)
    return list(
        metrics.bootstrap_interval(
            lambda drawn: measure(np.concatenate([groups[i] for i in drawn])), len(groups), draws=draws
        )
    )


def picture_rows(picture: npt.NDArray[np.int64]) -> list[metrics.Rows]:
    """The rows of each picture."""
    order = np.argsort(picture, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(picture[order])) + 1)
