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


def textured(seed, width=320, height=240):
    """A (height, width, 3) picture as full of corners and tones as a photo: unrest of every size, and polygons of many tones."""
    random = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128, np.float32)
    for cells, strength in ((4, 160), (9, 90), (20, 60), (45, 40), (100, 20)):
        field = random.random((cells * height // width + 1, cells, 3)).astype(np.float32) - 0.5
        pixels += strength * cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(50):
        centre = random.uniform(0, [width, height])
        corners = (centre + random.uniform(-0.11, 0.11, (4, 2)) * width).astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [corners], 1)
        pixels[mask > 0] += random.uniform(-70, 70, 3)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def bannered(pixels):
    """A picture as a shop shows its goods: small on white, between two bars of large lettering."""
    page = np.full((800, 800, 3), 255, np.uint8)
    page[:120], page[700:] = (200, 20, 20), (20, 20, 120)
    cv2.putText(page, "MEGA SALE -50% SHOP24", (30, 80), cv2.FONT_HERSHEY_DUPLEX, 1.7, (255, 255, 255), 3, cv2.LINE_AA)
    cv2.putText(page, "FREE SHIPPING WORLDWIDE", (30, 770), cv2.FONT_HERSHEY_DUPLEX, 1.6, (255, 255, 0), 3, cv2.LINE_AA)
    page[290:530, 280:520] = cv2.resize(pixels, (240, 240), interpolation=cv2.INTER_AREA)
    return page


def framed(pixels):
    """A picture as a page shows it: a bar with knobs above it and lines of lettering below, the same for every picture."""
    height, width = pixels.shape[:2]
    page = np.full((height + 130, width + 40, 3), 245, np.uint8)
    page[:60] = (40, 60, 110)
    for knob in range(8):
        cv2.circle(page, (20 + knob * 42, 30), 11, (240, 200 - 20 * knob, 20 * knob), -1)
        cv2.rectangle(page, (32 + knob * 42, 20), (44 + knob * 42, 40), (90 + 20 * knob, 220, 150), 2)
    page[60 : 60 + height, 20 : 20 + width] = pixels
    for line, text in enumerate(("SALE TODAY Only 19.90", "free delivery & returns")):
        at = (16, height + 88 + 30 * line)
        cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.85, (30, 30, 30), 2, cv2.LINE_AA)
    return page


def stamped(pixels, at=(12, 12), size=64):
    """A picture with a small coloured logo on it, the same for every picture."""
    mark = np.full((size, size, 3), 250, np.uint8)
    cv2.circle(mark, (size // 2, size // 2), size // 2 - 3, (200, 30, 40), -1)
    cv2.putText(mark, "AQ", (7, size // 2 + 10), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (250, 250, 250), 3, cv2.LINE_AA)
    cv2.line(mark, (6, size - 8), (size - 6, size - 18), (20, 120, 60), 4, cv2.LINE_AA)
    pixels = pixels.copy()
    pixels[at[1] : at[1] + size, at[0] : at[0] + size] = mark
    return pixels


def laid(pixels, matrix, size, ground=255):
    """The picture after a (2, 3) map of its pixels to those of a picture of (w, h) `size`."""
    return cv2.warpAffine(pixels, np.asarray(matrix, np.float64), size, flags=cv2.INTER_AREA, borderValue=(ground,) * 3)


def similarity(degrees, scale, size, to):
    """(2, 3) turn by degrees (clockwise) and scaling around the middle of a picture of (w, h) `size` to the middle of `to`."""
    radians = np.radians(degrees)
    cos, sin = scale * np.cos(radians), scale * np.sin(radians)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle, target = (np.array(s) / 2 - 0.5 for s in (size, to))
    return np.concatenate([linear, (target - linear @ middle)[:, None]], axis=1)
