"""A JPEG says at which quality it was saved; other files say nothing."""

from __future__ import annotations

import odd_pictures as odd
import pytest
from PIL import Image

from vision.images import read_picture
from vision.quality import measure
from vision.quality.jpeg import jpeg_quality

GRADIENT = Image.linear_gradient("L").resize((64, 48)).convert("RGB")


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_quality_of_a_libjpeg_file_is_found_exactly(quality: int) -> None:
    picture = read_picture(odd.encoded(GRADIENT, "JPEG", quality=quality))
    assert measure(picture)["jpeg_quality"] == quality


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_how_a_jpeg_is_coded_does_not_move_its_quality(options: dict[str, object]) -> None:
    picture = read_picture(odd.encoded(GRADIENT, "JPEG", quality=71, **options))
    assert measure(picture)["jpeg_quality"] == 71


def test_grey_and_reduced_jpegs_have_their_quality_too() -> None:
    large = GRADIENT.resize((1600, 1200))
    assert measure(read_picture(odd.encoded(large.convert("L"), "JPEG", quality=64)))["jpeg_quality"] == 64
    assert measure(read_picture(odd.encoded(large, "JPEG", quality=64), reduce_to=400))["jpeg_quality"] == 64


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF"])
def test_what_is_no_jpeg_has_no_jpeg_quality(kind: str) -> None:
    picture = read_picture(odd.encoded(GRADIENT, kind))
    assert picture.quantization is None
    assert "jpeg_quality" not in measure(picture)


def test_a_table_of_another_encoder_gets_the_nearest_quality() -> None:
    standard = read_picture(odd.encoded(GRADIENT, "JPEG", quality=80)).quantization
    assert standard is not None
    uneven = [max(1, step + (-1) ** i) for i, step in enumerate(standard)]
    assert jpeg_quality(uneven) == pytest.approx(80, abs=2)
    flat = [jpeg_quality([step] * 64) for step in (1, 2, 4, 8, 16, 32, 64, 128, 255)]
    assert flat == sorted(flat, reverse=True)
    assert flat[0] == 100


@pytest.mark.parametrize("steps", [[], [1] * 63, [0] + [1] * 63])
def test_what_is_no_table_is_refused(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="64 positive"):
        jpeg_quality(steps)
