"""Signals are numbers with a meaning: known pictures give known values, and resolution hardly moves them."""

from __future__ import annotations

import cv2
import numpy as np
import odd_pictures as odd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from vision.images import read_picture
from vision.quality import measure
from vision.quality.signals import plain_ground

LIKELIHOODS = ("watermark", "collage", "screenshot")


def measured(pixels: np.ndarray) -> dict[str, float]:
    return measure(read_picture(np.asarray(pixels, np.uint8)))


def photograph(seed: int = 0) -> np.ndarray:
    """(960, 1280, 3): shapes with hard edges under grain."""
    rng = np.random.default_rng(seed)
    pixels = np.full((960, 1280, 3), 120, np.uint8)
    for _ in range(150):
        left, top = rng.integers(0, 1200), rng.integers(0, 900)
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        cv2.rectangle(pixels, (int(left), int(top)), (int(left + 90), int(top + 60)), colour, -1)
    return np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)


def test_a_plain_picture_is_all_ground_and_nothing_else() -> None:
    signals = measured(np.full((60, 80, 3), (255, 0, 0)))
    assert signals == {
        "sharpness": 0.0,
        "brightness": 76.0,  # BT.601: 0.299 of 255
        "contrast": 0.0,
        "plain_ground": 1.0,
        "dark_clipped": 0.0,
        "light_clipped": 0.0,
        "brightness_p5": 76.0,
        "brightness_p99": 76.0,
        "entropy": 0.0,
        "colourfulness": pytest.approx(0.3 * np.hypot(255, 127.5), abs=0.05),
        "border_share": 0.0,
        "text_share": 0.0,
        "watermark": 0.0,
        "collage": signals["collage"],
        "screenshot": signals["screenshot"],
        "fine_detail": 1.0,
    }
    assert signals["collage"] < 0.5
    assert signals["screenshot"] < 0.5


def test_a_checkerboard_has_the_sharpness_and_contrast_of_its_formula() -> None:
    board = np.indices((64, 64)).sum(axis=0)[..., None] % 2 * np.full(3, 255)
    signals = measured(board)
    # every pixel's four neighbours are its opposite: a Laplacian of 4 * 255 either way
    assert signals["sharpness"] == pytest.approx((4 * 255) ** 2)
    assert signals["contrast"] == 127.5
    assert signals["brightness"] == 127.5


def test_the_ground_is_what_joins_the_border() -> None:
    pixels = np.full((100, 100, 3), 250, np.uint8)
    pixels[20:80, 20:80] = 30  # a mark
    assert measured(pixels)["plain_ground"] == 0.64
    pixels[40:60, 40:60] = 250  # a hole in it has the ground's colour but does not reach the border
    assert measured(pixels)["plain_ground"] == 0.64
    pixels[40:60, 60:] = 250  # opened
    assert measured(pixels)["plain_ground"] == pytest.approx(0.64 + 0.04 + 0.04)


def test_ground_does_not_pass_between_pixels_that_touch_at_a_corner() -> None:
    pixels = np.full((5, 5, 3), 250, np.uint8)
    for row, column in ((1, 2), (2, 1), (2, 3), (3, 2)):
        pixels[row, column] = 0  # a diamond around the middle
    assert plain_ground(pixels) == (25 - 4 - 1) / 25


def test_noise_and_soft_shadow_of_the_ground_stay_ground() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(np.full((128, 128, 3), 240) + rng.normal(0, 2, (128, 128, 3)), 0, 255)
    assert measured(noisy)["plain_ground"] > 0.99
    other = noisy.copy()
    other[:64] = 100
    assert measured(other)["plain_ground"] == pytest.approx(0.5, abs=0.01)


def test_blur_lowers_sharpness_in_order() -> None:
    pixels = photograph()
    sharpness = [measured(pixels)["sharpness"]]
    sharpness += [measured(cv2.GaussianBlur(pixels, (0, 0), sigma))["sharpness"] for sigma in (2, 4, 8, 16)]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 10 * sharpness[-1]


def test_resolution_and_reduced_decoding_hardly_move_the_signals() -> None:
    large = cv2.resize(photograph(), (2560, 1920), interpolation=cv2.INTER_CUBIC)
    data = odd.encoded(Image.fromarray(large), "JPEG", quality=92)
    full, reduced = measure(read_picture(data)), measure(read_picture(data, reduce_to=1280))
    assert reduced["sharpness"] == pytest.approx(full["sharpness"], rel=0.2)
    assert reduced["brightness"] == pytest.approx(full["brightness"], abs=1)
    assert reduced["contrast"] == pytest.approx(full["contrast"], rel=0.03)
    assert reduced["plain_ground"] == pytest.approx(full["plain_ground"], abs=0.02)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
@settings(max_examples=80, deadline=None)
def test_signals_of_any_picture_are_in_their_ranges(pixels: np.ndarray) -> None:
    signals = measured(pixels)
    assert list(signals)[:4] == ["sharpness", "brightness", "contrast", "plain_ground"]
    assert len(signals) == 16
    assert all(isinstance(value, float) and np.isfinite(value) for value in signals.values())
    for share in ("plain_ground", "dark_clipped", "light_clipped", "border_share", "text_share", *LIKELIHOODS):
        assert 0 <= signals[share] <= 1
    assert 0 <= signals["brightness_p5"] <= signals["brightness_p99"] <= 255
    assert 0 <= signals["entropy"] <= 8
    assert signals["fine_detail"] > 0
    assert 0 <= signals["sharpness"] <= (8 * 255) ** 2
    assert 0 <= signals["brightness"] <= 255
    assert 0 <= signals["contrast"] <= 127.5
    assert 0 < plain_ground(pixels) <= 1


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 1), (1, 1), (3, 5000)])
def test_thin_pictures_are_measured(shape: tuple[int, int]) -> None:
    assert measured(np.full((*shape, 3), 80))["plain_ground"] == 1.0


def test_mirrored_and_turned_pictures_measure_alike() -> None:
    pixels = photograph()[:, :960]
    signals = measured(pixels)
    for turned in (pixels[:, ::-1], pixels[::-1], np.rot90(pixels), pixels.transpose(1, 0, 2)):
        again = measured(turned)
        # screens are upright, and likelihoods are no measures
        assert {k: again[k] for k in signals if k not in LIKELIHOODS} == pytest.approx(
            {k: signals[k] for k in signals if k not in LIKELIHOODS}, rel=1e-2, abs=1e-2
        )


def test_a_mirrored_picture_is_as_likely_of_each_kind() -> None:
    pixels = photograph()
    for mirrored in (pixels[:, ::-1], pixels[::-1]):
        again, signals = measured(mirrored), measured(pixels)
        assert [again[k] for k in LIKELIHOODS] == pytest.approx([signals[k] for k in LIKELIHOODS], abs=0.05)


def test_exposure_is_read_off_the_histogram() -> None:
    pixels = np.zeros((10, 100, 3), np.uint8)
    pixels[:, :50] = 4  # still black
    pixels[:, 50:98] = 100
    pixels[:, 98:] = 251  # just white
    signals = measured(pixels)
    assert signals["dark_clipped"] == 0.5
    assert signals["light_clipped"] == 0.02
    assert signals["brightness_p5"] == 4
    assert signals["brightness_p99"] == 251
    assert signals["entropy"] == pytest.approx(1.12, abs=0.01)  # - sum of p log2 p of .5, .48 and .02


def test_colourfulness_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 60, 3), np.uint8)
    red, green, blue = pixels.astype(np.float64).transpose(2, 0, 1)
    first, second = red - green, (red + green) / 2 - blue
    expected = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    assert measured(pixels)["colourfulness"] == pytest.approx(expected, abs=0.06)
