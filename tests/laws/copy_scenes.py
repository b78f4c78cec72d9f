"""Pictures for the laws of copies, drawn from a seed: scenes full of content, pages with a small mark, and all their turns."""

import io

import cv2
import numpy as np
from PIL import Image

from vision.images import read_picture

# The edit that a claim names, and Pillow's way to make it. Pillow turns against the clock, claims turn with it.
TURNS = {
    "same": None,
    "mirror": Image.Transpose.FLIP_LEFT_RIGHT,
    "mirror+rotate180": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotate180": Image.Transpose.ROTATE_180,
    "rotate90": Image.Transpose.ROTATE_270,
    "rotate270": Image.Transpose.ROTATE_90,
    "mirror+rotate90": Image.Transpose.TRANSVERSE,
    "mirror+rotate270": Image.Transpose.TRANSPOSE,
}
INVERSE = {"rotate90": "rotate270", "rotate270": "rotate90"}


def scene(seed, width=320, height=240):
    """A (height, width, 3) picture with soft light and hard shapes all over: plenty for a hash to hold on to."""
    random = np.random.default_rng(seed)
    field = random.random((6, 8, 3)).astype(np.float32)
    pixels = np.ascontiguousarray(
        255 * np.clip(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    )
    for _ in range(12):
        centre = int(random.integers(width)), int(random.integers(height))
        cv2.circle(
            pixels, centre, int(random.integers(4, max(6, height // 4))), random.integers(0, 256, 3).tolist(), -1
        )
    return pixels.astype(np.uint8)


def page(seed, size=400, mark=96):
    """A white page with a small badge in its middle, with another sign in the badge for each seed.

    Where it is says nothing about what it is, and most of what a hash of the whole page sees is where it is."""
    random = np.random.default_rng(seed)
    pixels = np.full((size, size, 3), 255, np.uint8)
    cv2.circle(pixels, (size // 2, size // 2), mark // 2, (20, 20, 20), -1)
    sign = np.kron(random.random((6, 6)) < 0.5, np.ones((mark // 12, mark // 12)))[..., None]
    start = (size - len(sign)) // 2
    pixels[start : start + len(sign), start : start + len(sign)] = np.where(sign, 20, 120)
    return pixels


def turned(pixels, kind):
    """The picture after the edit that a claim of that kind names."""
    how = TURNS[kind]
    image = Image.fromarray(pixels)
    return np.asarray(image if how is None else image.transpose(how))


def saved(pixels, form="PNG", **options):
    """The bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def picture(pixels):
    return read_picture(np.ascontiguousarray(pixels))
