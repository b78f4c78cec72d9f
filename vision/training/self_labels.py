"""Labels by a detector where nobody looked: what it finds surely is taught, what it half finds is left out of the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.detect import AnyDetector
from vision.geometry import iou
from vision.training.detector_views import KINDS

SAME = 0.4  # overlap (IoU) from which a found box is one that the source has already


@dataclass(frozen=True, slots=True)
class SelfLabels:
    """A detector as labeller. teach_from: score from which its boxes are taught; between `ignore_from` and that: no loss."""

    detector: AnyDetector
    teach_from: float
    ignore_from: float

    def complete(self, picture: LabelledPicture) -> LabelledPicture:
        """The picture with boxes for each kind that nobody searched it for; it counts as searched then.

        Found boxes rank as those that a source passed over (`extra`).
        """
        searched = set(KINDS) if picture.exhaustive else {"logo"} if picture.looked_at else set()
        found = self.detector.detect([picture.path], min_score=self.ignore_from)[0]
        boxes = list(picture.boxes)
        for kind in (k for k in KINDS if k not in searched):
            own = np.array([b.box for b in picture.boxes if b.kind == kind], np.float32).reshape(-1, 4)
            chosen = np.array([k == kind for k in found.kinds], bool)
            overlaps = iou(found.boxes[chosen], own)
            for box, score, overlap in zip(found.boxes[chosen], found.scores[chosen], overlaps, strict=True):
                if overlap.max(initial=0) < SAME:
                    left, top, right, bottom = (float(v) for v in box)
                    unsure = bool(score < self.teach_from)
                    boxes.append(LabelledBox((left, top, right, bottom), kind, ignore=unsure, extra=True))
        return replace(picture, boxes=tuple(boxes), looked_at=True, kinds=frozenset(KINDS))
