"""A decoded Pillow image in any mode becomes sRGB: palettes, inks, 16 bits, floats, profiles, transparency on a plain ground.

Transparent pictures are laid on white, as web pages do, and on black where nothing would be seen on white: artwork made for dark
grounds.

The rules for values that are no 8-bit colours, since files do not say what they mean:

- 16-bit grey: its whole range becomes 0..255, rounded (12-bit TIFF: its 12 bits). Nothing is clipped.
- floats: finite values within 0..1 count as light from black to white, within 0..255 as 8-bit grey; any other range is
  stretched from its lowest to its highest value. Infinite values become the nearer end, NaN becomes black.
- 32-bit integers: within 0..255 as 8-bit grey, within 0..65535 as 16-bit grey, any other range stretched likewise.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, TiffImagePlugin

_BLOCK = 1 << 20  # pixels
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0

# Which colour space a profile must be of to say anything about pixels of a mode.
_PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
# A profile that moves no colour by more than this is sRGB under another name: the descriptions differ, the curves do not.
_SAME_COLOUR = 2
# A transparent picture is lost on white when this share of what it shows is grey of at least this level: print is some per cent.
_LOST_SHARE, _LOST_LEVEL = 0.997, 240


def to_srgb(image: Image.Image, reduce_to: int | None = None) -> Image.Image:
    """An RGB image of sRGB colours, transparency laid on white or black; the orientation is left as it is.

    reduce_to: when the longest side is at least twice this, average whole blocks of pixels first, so that the longest side
    stays at or above it. Profiles are applied after that: a colour transform costs more than anything else here.
    A profile that is broken, or of another colour space than the pixels, is ignored.
    """
    image = _eight_bits(image)
    ground = "black" if image.mode in ("LA", "RGBA") and _is_lost_on_white(image) else "white"
    if reduce_to is not None and (factor := max(image.size) // reduce_to) >= 2:
        image = image.reduce(factor)
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colour = image.convert(image.mode[:-1]) if alpha is not None else image
    transform = profile_transform(image.info.get("icc_profile"), colour.mode)
    if transform is not None:
        colour = transform.apply(colour)
    elif colour.mode != "RGB":
        colour = colour.convert("RGB")
    if alpha is not None:
        laid = Image.new("RGB", colour.size, ground)
        laid.paste(colour, mask=alpha)
        colour = laid
    return colour


def _is_lost_on_white(image: Image.Image) -> bool:
    alpha = image.getchannel("A")
    seen = alpha.histogram()
    light = image.convert(image.mode[:-1]).convert("L").point(lambda level: 255 * (level >= _LOST_LEVEL))
    lost = alpha.histogram(mask=light)
    weight = sum(level * count for level, count in enumerate(seen))
    is_see_through = weight < 255 * sum(seen)
    return is_see_through and 0 < _LOST_SHARE * weight <= sum(level * count for level, count in enumerate(lost))


def profile_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What turns pixels of a mode (L, RGB, CMYK, LAB) with this ICC profile into sRGB, or None when nothing has to be done.

    None also for profiles that are broken or belong to another colour space. Kept for as many profiles as a folder has.
    """
    if mode == "LAB":
        return _lab_transform()
    if not isinstance(profile, bytes) or not profile or mode not in _PROFILE_SPACES:
        return None
    return _profile_transform(profile, mode)


@lru_cache(maxsize=32)
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != _PROFILE_SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(opened, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        # lcms refuses the profile; colours taken as sRGB are what every viewer shows then
        return None
    if mode == "CMYK":
        return transform
    samples = _samples(mode)
    moved = np.abs(np.asarray(transform.apply(samples), np.int16) - np.asarray(samples.convert("RGB"), np.int16))
    return None if int(moved.max()) <= _SAME_COLOUR else transform


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _samples(mode: str) -> Image.Image:
    """Colours that show whether a profile moves any: every grey, or a grid of 17 levels a channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 17).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(np.ascontiguousarray(grid.reshape(17, 289, 3)))


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image as L, LA, RGB, RGBA, CMYK or LAB, 8 bits a channel; `info` keeps its profile."""
    mode = image.mode
    if mode.startswith("I;16"):
        return _from_16_bits(image)
    if mode in ("I", "F"):
        return _grey(_stretched(np.asarray(image)), image)
    if mode in ("LA", "RGBA", "CMYK", "LAB"):
        return image
    if mode in ("1", "L"):
        return _converted(image, "LA" if image.has_transparency_data else "L")
    if mode == "La":
        return _converted(image, "LA")
    return _converted(image, "RGBA" if image.has_transparency_data else "RGB")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    converted = image.convert(mode)
    if "icc_profile" in image.info:
        converted.info["icc_profile"] = image.info["icc_profile"]
    return converted


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    highest, turned = 65535, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow hands over 12-bit values as they are, and does not turn white-is-zero round at 16 bits (true of 13.0)
        highest = (1 << min(image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0], 16)) - 1
        turned = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    transparent = image.info.get("transparency")
    grey, clear = np.empty(values.shape, np.uint8), np.full(values.shape, 255, np.uint8)
    for rows in _blocks(values):
        wide = values[rows].astype(np.uint32)  # native byte order, whatever the file's
        if turned:
            wide = highest - np.minimum(wide, highest)
        grey[rows] = (wide * 255 + highest // 2) // highest
        if isinstance(transparent, int):
            clear[rows][wide == transparent] = 0
    found = _grey(grey, image)
    if isinstance(transparent, int):
        found.putalpha(Image.fromarray(clear))
    return found


def _stretched(values: npt.NDArray[np.float32] | npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """(h, w) numbers to 8-bit grey by the rules at the top of this file."""
    lowest, highest = np.inf, -np.inf
    for rows in _blocks(values):
        finite = values[rows][np.isfinite(values[rows])]
        if len(finite):
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    grey = np.zeros(values.shape, np.uint8)
    if lowest > highest:  # nothing is known
        return grey
    integers = np.issubdtype(values.dtype, np.integer)
    if lowest >= 0 and highest <= 1 and not integers:
        lowest, highest = 0.0, 1.0
    elif lowest >= 0 and highest <= 255:
        lowest, highest = 0.0, 255.0
    elif lowest >= 0 and highest <= 65535 and integers:
        lowest, highest = 0.0, 65535.0
    elif highest == lowest:
        highest = lowest + 1
    for rows in _blocks(values):
        block = values[rows]
        known: npt.NDArray[np.bool_] = np.isfinite(block)
        # unknown values are replaced before the cast, which complains of signalling NaNs
        wide = np.where(known, block, 0).astype(np.float64)
        wide[~known] = np.where(np.isposinf(block[~known]), highest, lowest)
        grey[rows] = np.clip((wide - lowest) / (highest - lowest) * 255, 0, 255).round()
    return grey


def _blocks(values: npt.NDArray[Any]) -> Iterator[slice]:
    """The rows of a picture by some million pixels: what is computed with wide numbers never stands in memory whole."""
    rows = max(1, _BLOCK // max(1, values.shape[1]))
    return (slice(start, start + rows) for start in range(0, len(values), rows))


def _grey(values: npt.NDArray[np.uint8], image: Image.Image) -> Image.Image:
    grey = Image.fromarray(values)
    if "icc_profile" in image.info:
        grey.info["icc_profile"] = image.info["icc_profile"]
    return grey
