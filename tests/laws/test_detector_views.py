"""The views cut from pictures for the detector: truth stays true through every step."""

from pathlib import Path

import numpy as np
import pytest

from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.training.detector_views import Example, Labels, labels_of, make_labels, mosaic, single


def patterned(width: int, height: int, box: tuple[int, int, int, int]) -> Example:
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = (250, 20, 20)
    return Example(pixels, make_labels([(box, 0)], []))


def red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0].astype(int) - pixels[..., 1]) > 100


@pytest.mark.parametrize("seed", range(25))
def test_a_view_shows_the_box_where_its_label_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = single(patterned(200, 120, (60, 30, 130, 90)), 128, rng, (0.5, 1.6))
    ys, xs = np.nonzero(red(view.pixels))
    if len(view.labels.boxes):
        np.testing.assert_allclose(view.labels.boxes[0], [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=2)
    elif len(xs):  # too little is left to teach, but it must not be punished either
        kind, weight, *region = view.labels.regions[0]
        assert (kind, weight) == (0, 0)
        np.testing.assert_allclose(region, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=2)


@pytest.mark.parametrize("seed", range(10))
def test_a_mosaic_accounts_for_every_mark_that_can_be_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = mosaic([patterned(150, 150, (20, 40, 110, 100))] * 4, 128, rng, (0.4, 1.2))
    unexplained = red(view.pixels)
    for left, top, right, bottom in [*view.labels.boxes, *(r[2:] for r in view.labels.regions)]:
        assert 0 <= left < right <= 128
        assert 0 <= top < bottom <= 128
        unexplained[
            int(top) - 2 if top > 2 else 0 : int(bottom) + 3, int(left) - 2 if left > 2 else 0 : int(right) + 3
        ] = False
    assert not unexplained.any()


def labels(kinds: set[str], *, looked_at: bool, exhaustive: bool = False) -> Labels:
    boxes = (LabelledBox((1, 1, 9, 9), "logo"), LabelledBox((5, 5, 20, 20), "logo", ignore=True))
    picture = LabelledPicture(Path("x.jpg"), 40, 30, boxes, "set", looked_at, frozenset(kinds), exhaustive=exhaustive)
    return labels_of(picture, unsearched=0.25)


def test_what_nobody_searched_for_is_not_punished_in_full() -> None:
    whole = [0, 0, 40, 30]
    unsure = [0, 0, 5, 5, 20, 20]
    assert labels({"logo"}, looked_at=True).regions.tolist() == [unsure, [1, 0, *whole]]
    assert labels({"logo", "product"}, looked_at=False).regions.tolist() == [
        unsure,
        [0, 0.25, *whole],
        [1, 0.25, *whole],
    ]
    assert labels({"product"}, looked_at=False).regions.tolist() == [unsure, [0, 0, *whole], [1, 0.25, *whole]]
    assert labels({"logo"}, looked_at=True).boxes.tolist() == [[1, 1, 9, 9]]
    assert labels({"logo", "product"}, looked_at=True, exhaustive=True).regions.tolist() == [unsure]
    assert labels({"logo"}, looked_at=True, exhaustive=True).regions.tolist() == [unsure, [1, 0, *whole]]


def test_a_logo_that_its_source_passed_over_is_weaker_in_every_view() -> None:
    boxes = (LabelledBox((30, 30, 60, 60), "logo"), LabelledBox((70, 70, 90, 90), "logo", extra=True))
    picture = LabelledPicture(Path("x.jpg"), 120, 120, boxes, "set", True, frozenset({"logo"}))
    taught = labels_of(picture, unsearched=0.25, extra_strength=0.4)
    view = mosaic([Example(np.zeros((120, 120, 3), np.uint8), taught)] * 4, 256, np.random.default_rng(2), (0.4, 0.5))
    strong = view.labels.strengths == 1
    assert sorted(set(view.labels.strengths.tolist())) == pytest.approx([0.4, 1.0])
    sides = (view.labels.boxes[:, 2:] - view.labels.boxes[:, :2]).max(axis=1)
    assert sides[strong].min() > sides[~strong].max()
