"""Text round a ring, as on seals and badges, unrolled into two straight strips: words over the top, and words under the foot.

The ellipse that fills a crop is the ring. In come crops, out come strips and the way back.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.values import Box, Pixels

Floats = npt.NDArray[np.float32]

INNER, OUTER = 0.42, 1.02  # of the ellipse's radius: where letters of a ring stand
ARC = 300.0  # degrees of the ring in one strip, centred on the top or the foot: the rest is upside down there
WIDE = 480  # pixels of a strip
HIGH = 64
MOST_SIDE = 256  # pixels of the crop that a strip is taken from; more would be skipped over, not averaged


def unroll(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """The two strips (HIGH, WIDE, 3) of a crop: letters with their feet to the centre, and with their heads to it."""
    high, wide = pixels.shape[:2]
    smaller = min(wide, MOST_SIDE), min(high, MOST_SIDE)
    if smaller != (wide, high):
        pixels = np.asarray(cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    upper, lower = (_strip(pixels, foot=foot) for foot in (False, True))
    return upper, lower


def _strip(pixels: Pixels, *, foot: bool) -> Pixels:
    y, x = np.mgrid[:HIGH, :WIDE].astype(np.float32) + 0.5
    places = around(np.stack([x, y], axis=-1), pixels.shape[1], pixels.shape[0], foot=foot) - 0.5
    return np.asarray(
        cv2.remap(pixels, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def around(points: Floats, width: float, height: float, *, foot: bool) -> Floats:
    """Where points (..., 2) of a strip, x and y in its pixels, stand in a crop of that width and height, in its pixels."""
    turn = np.radians((points[..., 0] / WIDE - 0.5) * ARC)
    depth = points[..., 1] / HIGH
    if foot:  # read anticlockwise from the left, heads to the centre
        radius, angle = INNER + (OUTER - INNER) * depth, np.pi / 2 - turn
    else:  # read clockwise from the left, feet to the centre
        radius, angle = OUTER - (OUTER - INNER) * depth, turn - np.pi / 2
    x = width / 2 * (1 + radius * np.cos(angle))
    y = height / 2 * (1 + radius * np.sin(angle))
    return np.asarray(np.stack([x, y], axis=-1), np.float32)


def box_around(corners: Floats, width: int, height: int, *, foot: bool) -> Box:
    """The xyxy box in a crop, inside it, round the piece of ring under a rectangle (4, 2) of a strip."""
    low, top = corners.min(axis=0), corners.max(axis=0)
    x, y = np.meshgrid(np.linspace(low[0], top[0], 33), [low[1], top[1]])
    places = around(np.stack([x, y], axis=-1).astype(np.float32), width, height, foot=foot).reshape(-1, 2)
    left, upper = np.clip(places.min(axis=0), 0, [width, height]).tolist()
    right, lower = np.clip(places.max(axis=0), 0, [width, height]).tolist()
    return (left, upper, right, lower)


def letter_height(strip_height: float, width: int, height: int) -> float:
    """Pixels of the crop for a height in pixels of a strip, by the mean of both radii."""
    return strip_height / HIGH * (OUTER - INNER) * (width + height) / 4
