"""Figures of boxes as pure functions: what a detector found in a picture and what there is to find become hits, then numbers.

Sources box only some of what can be seen: boxes on regions neither help nor hurt. Equal scores keep the order in which they are
given, as in COCO's own code, so that figures agree with those of other tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.evaluate.metrics import Flags, Floats, average_precision, box_recall, greedy_hits
from vision.geometry import Boxes, area, intersection, iou
from vision.values import Detections

IOU_STEPS = np.arange(0.5, 1.0, 0.05)  # COCO's
SCORE_STEPS = np.arange(1, 100) / 100  # where an operating point may lie


def as_boxes(values: Sequence[Sequence[float]]) -> Boxes:
    """A list of xyxy boxes as (n, 4) float32, also when it is empty."""
    return np.array(values, np.float32).reshape(-1, 4)


def covered(boxes: Boxes, regions: Boxes) -> Flags:
    """True where at least half of a box lies inside one region (COCO's rule for crowds; an IoU of 0.5 is never less)."""
    if not len(boxes) or not len(regions):
        return np.zeros(len(boxes), bool)
    inside = intersection(boxes, regions) / np.maximum(area(boxes)[:, None], 1e-9)
    return np.asarray((iou(boxes, regions).max(axis=1) >= 0.5) | (inside.max(axis=1) >= 0.5))


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The boxes of one picture that count. hits: (n,) bool. scores: (n,). wanted: how many marks there were to find."""

    hits: Flags
    scores: Floats
    wanted: int


def rank(boxes: Boxes, scores: Floats, overlaps: Floats, regions: Boxes, min_iou: float = 0.5) -> Ranked:
    """Match boxes to marks, best score first, each mark once; what is no hit and lies on a region is left out.

    boxes: (n, 4). overlaps: (n, m) with the m marks. regions: (r, 4).
    """
    hits = greedy_hits(overlaps, scores, min_iou)
    kept = hits | ~covered(boxes, regions)
    return Ranked(hits[kept], scores[kept], overlaps.shape[1])


def precision_of(pictures: Sequence[Ranked]) -> float:
    """Average precision over pictures; NaN when there is nothing to find."""
    return average_precision(*_joined(pictures), sum(p.wanted for p in pictures), in_order=True)


def best_score(pictures: Sequence[Ranked]) -> tuple[float, float]:
    """The score (a multiple of 0.01) from which boxes have the best F1, and that F1."""
    hits, scores = _joined(pictures)
    wanted = sum(p.wanted for p in pictures)
    f1 = [2 * hits[scores >= s].sum() / max(int((scores >= s).sum()) + wanted, 1) for s in SCORE_STEPS]
    best = int(np.argmax(f1))
    return float(SCORE_STEPS[best]), float(f1[best])


def counts_at(pictures: Sequence[Ranked], score: float) -> npt.NDArray[np.int64]:
    """Hits, false boxes and marks to find of each picture, boxes from `score` on: (pictures, 3)."""
    rows = [(p.hits[p.scores >= score].sum(), (~p.hits)[p.scores >= score].sum(), p.wanted) for p in pictures]
    return np.array(rows, np.int64).reshape(-1, 3)


def precision_recall_f1(counts: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Of the sums of `counts_at`'s rows; NaN where nothing was reported or nothing was there to find."""
    hits, false, wanted = (int(v) for v in counts.sum(axis=0))
    precision = hits / (hits + false) if hits + false else float("nan")
    recall = hits / wanted if wanted else float("nan")
    return precision, recall, 2 * hits / (hits + false + wanted) if wanted else float("nan")


def precision_recall_curve(pictures: Sequence[Ranked]) -> tuple[Floats, Floats, Floats]:
    """Recall, precision and score down the ranked list, each (n,)."""
    hits, scores = _joined(pictures)
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order])
    wanted = max(sum(p.wanted for p in pictures), 1)
    return found / wanted, found / np.arange(1, len(found) + 1), scores[order]


def _joined(pictures: Sequence[Ranked]) -> tuple[Flags, Floats]:
    hits = np.concatenate([np.zeros(0, bool), *(p.hits for p in pictures)])
    return hits, np.concatenate([np.zeros(0), *(p.scores for p in pictures)])


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture: what was found and what is there, all xyxy in the same pixels; regions neither help nor hurt."""

    boxes: Boxes
    scores: Floats
    true: Boxes
    regions: Boxes

    @classmethod
    def of(cls, picture: Any, found: Detections, kind: str = "logo") -> Judged:
        """Judge one kind by a labelled picture (`.boxes` with box, kind, ignore): ignored boxes are regions."""
        chosen = np.array([k == kind for k in found.kinds], bool)
        own = [b for b in picture.boxes if b.kind == kind]
        return cls(
            found.boxes[chosen],
            found.scores[chosen],
            as_boxes([b.box for b in own if not b.ignore]),
            as_boxes([b.box for b in own if b.ignore]),
        )

    def ranked(self, min_iou: float = 0.5, *, lenient: bool = True) -> Ranked:
        """The boxes that count. lenient: those on regions are left out instead of counting as false."""
        regions = self.regions if lenient else as_boxes([])
        return rank(self.boxes, self.scores, iou(self.boxes, self.true), regions, min_iou)


def ap(pictures: Sequence[Judged], min_iou: float = 0.5, *, lenient: bool = False) -> float:
    """Average precision over pictures. lenient: boxes on regions are left out instead of counting as false."""
    return precision_of([p.ranked(min_iou, lenient=lenient) for p in pictures])


def recall_at_10(pictures: Sequence[Judged]) -> float:
    """Share of true boxes that one of the ten best boxes of their picture overlaps by IoU 0.5."""
    return box_recall([(iou(p.boxes, p.true), p.scores) for p in pictures], 10)


def box_figures(pictures: Sequence[Judged]) -> dict[str, float]:
    """The figures to steer by: `ap50` counts boxes on regions as false, `ap50_every` leaves them out."""
    figures = {"ap50": ap(pictures), "ap50_every": ap(pictures, lenient=True), "recall10": recall_at_10(pictures)}
    return {name: round(value, 4) for name, value in figures.items()}


def best_f1(pictures: Sequence[Judged]) -> tuple[float, float]:
    """The score (a multiple of 0.01) from which boxes, those on regions left out, have the best F1, and that F1."""
    return best_score([p.ranked() for p in pictures])
