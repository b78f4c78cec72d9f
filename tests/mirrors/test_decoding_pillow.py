"""Our decoder against Pillow's own: the same pixels from ordinary files, the same turn from every orientation."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from vision.images import read_picture

WIDTH, HEIGHT = 61, 43  # odd and not multiples of a JPEG block


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Soft noise: enough detail for a wrong upsampling to show, soft enough for JPEG."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)


def apart(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


@given(
    st.integers(0, 10),
    st.integers(1, 80),
    st.integers(1, 80),
    st.sampled_from([30, 75, 95]),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_jpegs(seed: int, width: int, height: int, quality: int, sampling: str, progressive: bool, grey: bool) -> None:
    image = picture(seed, width, height)
    image = image.convert("L") if grey else image
    options = {} if grey else {"subsampling": sampling}
    data = encoded(image, "JPEG", quality=quality, progressive=progressive, **options)
    # both use libjpeg-turbo; builds may differ by one level in rounding
    assert apart(read_picture(data).pixels, by_pillow(data)) <= 1


def test_jpegs_that_hold_rgb_without_conversion() -> None:
    data = encoded(picture(1), "JPEG", quality=95, keep_rgb=True)
    assert apart(read_picture(data).pixels, by_pillow(data)) <= 1
    assert np.abs(read_picture(data).pixels - np.asarray(picture(1)).astype(int)).mean() < 6


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "BMP", "TIFF", "GIF") for mode in ("RGB", "L", "P", "1")]
    + [(kind, mode) for kind in ("WEBP", "AVIF") for mode in ("RGB", "L")],
)
def test_other_formats(kind: str, mode: str) -> None:
    image = picture(2).quantize(50) if mode == "P" else picture(2).convert(mode)
    data = encoded(image, kind)
    assert apart(read_picture(data).pixels, by_pillow(data)) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(3), kind, exif=exif)
    ours = read_picture(data)
    assert apart(ours.pixels, by_pillow(data)) <= 1
    turned = (HEIGHT, WIDTH) if orientation >= 5 else (WIDTH, HEIGHT)
    assert (ours.width, ours.height) == turned


def test_halves_quarters_and_eighths_of_a_jpeg_are_those_of_pillows_draft() -> None:
    data = encoded(picture(4, 640, 417), "JPEG", quality=92)
    for part in (2, 4, 8):
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (640 // part, 417 // part))
            drafted = np.asarray(image.convert("RGB")).astype(int)
        # above one eighth, blocks of the eighth are averaged on
        assert apart(read_picture(data, reduce_to=640 // part).pixels, drafted) <= 1


def test_profiles_give_the_colours_of_imagecms() -> None:
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(srgb[128:132], "big")
    places = {
        bytes(srgb[at : at + 4]): int.from_bytes(srgb[at + 4 : at + 8], "big")
        for at in range(132, 132 + 12 * count, 12)
    }
    # the first parameter of the tone curve is its exponent (s15Fixed16): 1.8 instead of 2.4
    curve = places[b"rTRC"]
    assert srgb[curve : curve + 4] == b"para"
    srgb[curve + 12 : curve + 16] = int(1.8 * 65536).to_bytes(4, "big")
    other = bytes(srgb)
    for kind, options in {"JPEG": {"quality": 95}, "PNG": {}}.items():
        data = encoded(picture(5), kind, icc_profile=other, **options)
        with Image.open(io.BytesIO(data)) as image:
            wanted = ImageCms.profileToProfile(
                image.convert("RGB"), ImageCms.ImageCmsProfile(io.BytesIO(other)), ImageCms.createProfile("sRGB")
            )
            unchanged = np.asarray(image.convert("RGB")).astype(int)
        ours = read_picture(data).pixels
        assert apart(ours, np.asarray(wanted).astype(int)) <= 1
        assert np.abs(ours - unchanged).mean() > 5  # and the profile matters
