"""A dozen pictures of each kind are told from the sample pictures they were made of."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import quality_pictures as made
from PIL import Image

from vision.images import read_picture
from vision.quality import measure
from vision.quality.layout import borders

DOZEN = range(12)


def measured(image: Image.Image) -> dict[str, float]:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return measure(read_picture(stream.getvalue()))


@cache
def photographs() -> list[dict[str, float]]:
    return [measured(made.sample(number)) for number in range(len(made.PHOTOS))]


@pytest.mark.parametrize(
    ("signal", "make", "least"),
    [("watermark", made.watermarked, 10), ("collage", made.collage, 12), ("screenshot", made.screenshot, 12)],
)
def test_of_a_dozen_of_each_kind_so_many_are_likely(
    signal: str, make: Callable[[int], Image.Image], least: int
) -> None:
    dozen = [measured(make(number)) for number in DOZEN]
    assert sum(signals[signal] > 0.5 for signals in dozen) >= least
    rivals = [name for name in ("watermark", "collage", "screenshot") if name != signal]
    assert max(signals[rival] for signals in dozen for rival in rivals) < 0.5


@pytest.mark.parametrize("signal", ["watermark", "collage", "screenshot"])
def test_no_kind_is_likely_in_photographs_or_packshots(signal: str) -> None:
    assert max(signals[signal] for signals in photographs()) < 0.5
    assert max(measured(made.on_white(number))[signal] for number in DOZEN) < 0.5


@pytest.mark.parametrize("number", DOZEN)
def test_bars_are_measured_to_a_hundredth_or_two(number: int) -> None:
    picture, share = made.framed(number)
    assert measured(picture)["border_share"] == pytest.approx(share, abs=0.02)


def test_photographs_and_packshots_have_no_border() -> None:
    assert [signals["border_share"] for signals in photographs()] == [0.0] * len(made.PHOTOS)
    assert [measured(made.on_white(number))["border_share"] for number in DOZEN] == [0.0] * 12


def test_bars_have_the_rows_and_columns_they_were_given() -> None:
    inside = np.random.default_rng(0).integers(0, 200, (60, 80), np.uint8)
    assert borders(np.pad(inside, ((5, 9), (7, 3)), constant_values=255)) == (5, 9, 7, 3)
    assert borders(np.pad(inside, ((0, 0), (7, 0)), constant_values=255)) == (0, 0, 7, 0)
    assert borders(inside) == (0, 0, 0, 0)
    assert borders(np.full((9, 9), 128, np.uint8)) == (0, 0, 0, 0)
    assert borders(np.repeat(np.uint8([[0] * 9, [200] * 9]), 20, axis=0)) == (0, 0, 0, 0)


@pytest.mark.parametrize("number", DOZEN)
def test_captions_raise_the_share_of_lettering(number: int) -> None:
    picture, share = made.captioned(number)
    more = measured(picture)["text_share"] - photographs()[number % len(made.PHOTOS)]["text_share"]
    assert share / 4 < more < share * 2


@pytest.mark.parametrize("number", DOZEN)
def test_enlarged_pictures_have_the_detail_of_half_their_size(number: int) -> None:
    detail = measured(made.enlarged(number))["fine_detail"]
    assert detail < 0.25
    assert detail < photographs()[number % len(made.PHOTOS)]["fine_detail"]


def test_fine_detail_is_not_told_of_a_picture_that_was_decoded_smaller() -> None:
    stream = io.BytesIO()
    made.sample(0).resize((1600, 1200)).save(stream, "JPEG")
    assert "fine_detail" in measure(read_picture(stream.getvalue()))
    assert "fine_detail" not in measure(read_picture(stream.getvalue(), reduce_to=400))


@pytest.mark.parametrize("number", DOZEN)
def test_blurred_pictures_are_less_sharp(number: int) -> None:
    signals, before = measured(made.blurred(number)), photographs()[number % len(made.PHOTOS)]
    assert signals["sharpness"] < before["sharpness"] / 10


@pytest.mark.parametrize("number", DOZEN)
def test_packshots_are_mostly_ground_and_clipped_light(number: int) -> None:
    signals = measured(made.on_white(number))
    assert signals["plain_ground"] == pytest.approx(signals["light_clipped"], abs=0.03)
    assert signals["plain_ground"] > 0.7


@pytest.mark.parametrize("number", DOZEN)
def test_dark_bright_and_grey_copies_move_only_the_signal_of_their_kind(number: int) -> None:
    pixels = np.asarray(made.sample(number)).astype(np.float64)
    before = measure(read_picture(pixels.astype(np.uint8)))
    dark = measure(read_picture(np.clip(pixels - 120, 0, 255).astype(np.uint8)))
    light = measure(read_picture(np.clip(pixels + 120, 0, 255).astype(np.uint8)))
    assert dark["dark_clipped"] > before["dark_clipped"] + 0.02
    assert light["light_clipped"] > before["light_clipped"] + 0.02
    assert dark["brightness_p99"] < before["brightness_p99"] < light["brightness_p99"] + 1
    assert dark["brightness_p5"] <= before["brightness_p5"] < light["brightness_p5"]
    grey = measure(read_picture(np.asarray(made.sample(number).convert("L").convert("RGB"))))
    assert grey["colourfulness"] == 0 < before["colourfulness"]
    assert grey["entropy"] == pytest.approx(before["entropy"], abs=0.05)
