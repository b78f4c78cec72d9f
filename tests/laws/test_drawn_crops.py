"""Laws of the drawn crops that the embedder is trained on."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.training.crops import (
    Artwork,
    cut_with_spare,
    draw_crop,
    draw_ground,
    random_patches,
    vary_crop,
)


def letter_f(colour: tuple[int, int, int] | None = (200, 20, 30)) -> Artwork:
    """An F: neither mirrored nor turned is it itself."""
    rgba = np.zeros((120, 80, 4), np.uint8)
    rgba[..., :3] = (200, 20, 30)
    rgba[:, :22, 3] = rgba[:22, :, 3] = rgba[50:70, :60, 3] = 255
    return Artwork(rgba, colour)


GROUNDS = [draw_ground(np.random.default_rng(i)) for i in range(3)]


@given(st.integers(0, 2**31), st.sampled_from([32, 128]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_same_seed_draws_the_same_crop(seed, size, coloured):
    artwork = letter_f(None if coloured else (0, 90, 200))
    first, again = (draw_crop(artwork, GROUNDS, np.random.default_rng(seed), size) for _ in range(2))
    assert first.shape == (size, size, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


def test_a_drawn_crop_shows_its_drawing_and_never_its_mirror_image():
    plain = cv2.GaussianBlur(cv2.resize(letter_f().rgba[..., 3], (64, 64)), (0, 0), 4).astype(float)
    upright = mirrored = 0
    for seed in range(120):
        crop = cv2.GaussianBlur(draw_crop(letter_f(), [], np.random.default_rng(seed), 64), (0, 0), 4)
        grey = crop[..., crop.std(axis=(0, 1)).argmax()]
        seen, turned = (abs(np.corrcoef(grey.ravel(), p.ravel())[0, 1]) for p in (plain, plain[:, ::-1]))
        upright, mirrored = upright + (seen > turned), mirrored + (turned > seen)
    assert upright > 90 > 30 > mirrored  # mirrored half the time it would be 60 and 60


def test_different_seeds_draw_different_crops():
    crops = [draw_crop(letter_f(), GROUNDS, np.random.default_rng(seed), 48) for seed in range(30)]
    assert min(np.abs(a.astype(int) - b).mean() for i, a in enumerate(crops) for b in crops[:i]) > 2


@given(
    st.tuples(st.floats(-20, 90), st.floats(-20, 60), st.floats(5, 60), st.floats(5, 60)).filter(
        lambda b: b[0] + b[2] > 2 and b[1] + b[3] > 2 and b[0] < 98 and b[1] < 68
    ),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_real_crops_are_cut_and_varied_at_any_place(box, seed):
    left, top, wide, high = box
    picture = np.random.default_rng(0).integers(0, 256, (70, 100, 3), dtype=np.uint8)
    crop = cut_with_spare(picture, (left, top, left + wide, top + high))
    varied = vary_crop(crop, np.random.default_rng(seed), 64)
    assert varied.shape == (64, 64, 3)
    np.testing.assert_array_equal(varied, vary_crop(crop, np.random.default_rng(seed), 64))


def test_a_cut_crop_has_its_box_in_the_middle():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[40:60, 80:120] = 255
    crop = cut_with_spare(picture, (80, 40, 120, 60))
    assert crop.shape == (34, 68, 3)  # 20 x 40 and 35 % on each side
    assert crop[7:27, 14:54].min() == 255
    assert crop.astype(int).sum() == 20 * 40 * 3 * 255


@given(st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_patches_keep_off_the_boxes(seed):
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[10:50, 30:90] = 255
    patches = random_patches(picture, 6, np.random.default_rng(seed), [(30, 10, 90, 50)])
    assert all(patch.size and patch.max() == 0 for patch in patches)
