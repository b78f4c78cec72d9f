"""Boxes obey the laws of overlap and suppression, whatever their size and place."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vision import geometry

Boxes = npt.NDArray[np.float32]


@st.composite
def boxes(draw: st.DrawFn, least: int = 0, most: int = 12) -> Boxes:
    """Boxes on a 100 x 100 picture, some without area, some alike."""
    n = draw(st.integers(least, most))
    corners = draw(hnp.arrays(np.int64, (n, 2), elements=st.integers(0, 80)))
    sides = draw(hnp.arrays(np.int64, (n, 2), elements=st.integers(0, 40)))
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32) / np.float32(0.8)


@st.composite
def scored(draw: st.DrawFn) -> tuple[Boxes, npt.NDArray[np.float32]]:
    found = draw(boxes())
    return found, np.array(
        draw(st.lists(st.integers(0, 20), min_size=len(found), max_size=len(found))), np.float32
    ) / 20


@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_0_and_1(a: Boxes, b: Boxes) -> None:
    table = geometry.iou(a, b)
    assert table.shape == (len(a), len(b))
    assert ((table >= 0) & (table <= 1 + 1e-6)).all()
    np.testing.assert_allclose(table, geometry.iou(b, a).T, atol=1e-6)


@given(boxes(least=1))
def test_a_box_overlaps_itself_fully_unless_it_is_empty(a: Boxes) -> None:
    own = np.diag(geometry.iou(a, a))
    np.testing.assert_allclose(own, geometry.area(a) > 0, atol=1e-6)


def test_iou_of_a_known_pair() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 5], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(geometry.iou(a, b), [[1 / 3, 0.5, 0]], rtol=1e-6)


@given(scored(), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_suppression_keeps_a_subset_that_it_would_keep_again(found: tuple[Boxes, Boxes], max_iou: float) -> None:
    kept = geometry.nms(*found, max_iou)
    assert len(set(kept.tolist())) == len(kept)
    again = geometry.nms(found[0][kept], found[1][kept], max_iou)
    assert again.tolist() == list(range(len(kept)))


@given(scored(), st.sampled_from([0.0, 0.3, 0.6]))
def test_suppression_drops_exactly_what_a_better_kept_box_covers(found: tuple[Boxes, Boxes], max_iou: float) -> None:
    candidates, scores = found
    kept = geometry.nms(candidates, scores, max_iou)
    overlap = geometry.iou(candidates, candidates)
    for i in range(len(candidates)):
        rivals = [k for k in kept if k != i and (scores[k] > scores[i] or (scores[k] == scores[i] and k < i))]
        covered = any(overlap[k, i] > max_iou for k in rivals)
        assert (i in kept) == (not covered)


@given(scored())
def test_kept_boxes_come_best_first(found: tuple[Boxes, Boxes]) -> None:
    ranked = found[1][geometry.nms(*found, 0.5)]
    assert (np.diff(ranked) <= 0).all()


@given(boxes(), st.floats(0, 0.5))
def test_padded_boxes_stay_inside_and_hold_the_clipped_box(a: Boxes, share: float) -> None:
    inside, padded = geometry.clip(a, 100, 60), geometry.pad(a, share, 100, 60)
    assert (padded >= 0).all()
    assert (padded[:, [0, 2]] <= 100).all()
    assert (padded[:, [1, 3]] <= 60).all()
    assert (padded[:, :2] <= inside[:, :2] + 1e-4).all()
    assert (padded[:, 2:] >= inside[:, 2:] - 1e-4).all()


@given(boxes(), st.integers(1, 4000), st.integers(1, 4000))
def test_a_yolo_label_comes_back_within_a_tenth_of_a_pixel(a: Boxes, width: int, height: int) -> None:
    back = geometry.from_cxcywh_norm(geometry.to_cxcywh_norm(a, width, height), width, height)
    np.testing.assert_allclose(back, a, atol=0.1)


@given(boxes(least=1), st.integers(1, 120), st.integers(1, 120))
def test_a_crop_is_a_part_of_the_picture_and_never_empty(a: Boxes, width: int, height: int) -> None:
    pixels = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3)
    for box in a - 10:
        part = geometry.crop(pixels, box)  # type: ignore[arg-type]
        assert part.size > 0
        assert np.shares_memory(part, pixels)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_overlaps_nothing(n: int) -> None:
    none, some = np.zeros((0, 4), np.float32), np.zeros((n, 4), np.float32)
    assert geometry.iou(none, some).shape == (0, n)
    assert geometry.nms(none, np.zeros(0, np.float32), 0.5).tolist() == []
