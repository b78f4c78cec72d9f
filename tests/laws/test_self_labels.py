"""What a detector adds to pictures that nobody looked through, and what it must leave alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("albumentations")

from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.training.self_labels import SelfLabels
from vision.values import Detections

pytestmark = pytest.mark.train


class Finds:
    """A detector that finds the same boxes everywhere."""

    name = "finds"

    def __init__(self, *found: tuple[tuple[float, ...], str, float]) -> None:
        self.found = found

    def detect(self, images: Any, *, min_score: float | None = None, max_boxes: int = 100) -> list[Detections]:
        kept = [f for f in self.found if f[2] >= (min_score or 0)]
        boxes = np.array([b for b, _, _ in kept], np.float32).reshape(-1, 4)
        return [Detections(boxes, tuple(k for _, k, _ in kept), np.array([s for _, _, s in kept], np.float32))]


def picture(*, looked_at: bool) -> LabelledPicture:
    own = LabelledBox((10, 10, 50, 50), "logo", "Acme")
    return LabelledPicture(Path("a.jpg"), 100, 100, (own,), "set", looked_at, frozenset({"logo"}))


FOUND = Finds(
    ((12, 12, 50, 50), "logo", 0.9),  # the source has it
    ((60, 60, 90, 90), "logo", 0.6),
    ((60, 10, 90, 40), "logo", 0.3),
    ((0, 60, 20, 80), "logo", 0.05),
    ((5, 5, 95, 95), "product", 0.8),
)


def test_sure_finds_are_taught_and_doubtful_ones_left_out_of_the_loss() -> None:
    full = SelfLabels(FOUND, teach_from=0.5, ignore_from=0.1).complete(picture(looked_at=False))
    assert full.boxes[0] == picture(looked_at=False).boxes[0]
    assert {(b.box, b.kind, b.ignore, b.extra) for b in full.boxes[1:]} == {
        ((60, 60, 90, 90), "logo", False, True),
        ((60, 10, 90, 40), "logo", True, True),
        ((5, 5, 95, 95), "product", False, True),
    }
    assert full.looked_at
    assert full.kinds == {"logo", "product"}


def test_logos_are_added_only_where_nobody_looked() -> None:
    full = SelfLabels(FOUND, teach_from=0.5, ignore_from=0.1).complete(picture(looked_at=True))
    assert [b.kind for b in full.boxes] == ["logo", "product"]


def test_nothing_is_added_to_a_picture_that_has_everything_boxed() -> None:
    whole = replace(picture(looked_at=True), exhaustive=True)
    assert SelfLabels(FOUND, teach_from=0.5, ignore_from=0.1).complete(whole).boxes == whole.boxes
