"""Text round a ring, as on seals and badges, unrolled into two straight strips: words over the top, and words under the foot.

The ring is the largest ellipse that the edges of a crop follow, or else the one that fills the crop. In come crops, out come
strips and the way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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

# --- of an ellipse that is looked for ---

SEARCH_SIDE = 160  # pixels of the crop's longer side; at 256 it finds as many names
FOLLOWED = 0.8  # share of its outline that runs along edges
CROWDED = 0.8  # share of a crop near to edges from which on they tell nothing
INSIDE = 0.6  # share of its outline that lies in the crop
LEAST_LONG, LEAST_SHORT, MOST_LONG = 0.4, 0.25, 1.6  # its axes, of the crop's longer, shorter and longer side
FLATTEST = 0.4  # short axis to long one
_TURNS = np.linspace(0, 2 * np.pi, 96, endpoint=False)


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """An ellipse in a crop. centre: (2,) x and y in pixels. axes: (2, 2) symmetric, takes the unit circle to it."""

    centre: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]

    @classmethod
    def filling(cls, width: float, height: float) -> Ring:
        """The one that touches all sides of a crop."""
        half = np.array([width, height], np.float64) / 2
        return cls(half, np.diag(half))

    @property
    def area(self) -> float:
        """In pixels of the crop."""
        return float(np.pi * np.linalg.det(self.axes))

    def scaled(self, x: float, y: float) -> Ring:
        """The same in a crop that was stretched by these factors. Turned ones keep their top where both are nearly alike."""
        stretch = np.array([x, y], np.float64)
        return Ring(self.centre * stretch, self.axes * np.sqrt(np.outer(stretch, stretch)))

    def at(self, radius: npt.NDArray[np.float64], angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (..., 2), x and y, at radii, 1 being the outline, and angles, in radians clockwise from the right."""
        around = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return np.asarray(self.centre + around @ self.axes)


def find(pixels: Pixels) -> Ring:
    """The ring of a crop: the largest ellipse that its edges follow, or else the one that fills it."""
    high, wide = pixels.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(high, wide))
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels, np.uint8)
    edges, masks = _outlined(small)
    near = cv2.distanceTransform(255 - edges, cv2.DIST_L2, 3) <= max(1.5, 0.012 * max(size))
    rings = () if near.mean() > CROWDED else (ring for ring in _ellipses(masks) if _follows(ring, near))
    best = max(rings, key=lambda ring: ring.area, default=None)
    return Ring.filling(wide, high) if best is None else best.scaled(wide / size[0], high / size[1])


def _outlined(pixels: Pixels) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.uint8]]]:
    """The edges of a crop, 255 where there is one, and masks whose contours may be a ring: lightness, two colours, edges."""
    soft = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB), (0, 0), max(0.8, 0.008 * max(pixels.shape[:2])))
    edges, masks = np.zeros(pixels.shape[:2], np.uint8), []
    for channel in cv2.split(soft):
        across, down = (cv2.Sobel(channel, cv2.CV_16S, *way) for way in ((1, 0), (0, 1)))
        strong = max(30.0, 0.8 * float(np.percentile(np.abs(across) + np.abs(down), 92)))
        edges |= np.asarray(cv2.Canny(across, down, strong / 2, strong), np.uint8)
        masks.append(np.asarray(cv2.threshold(channel, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1], np.uint8))
    return edges, [*masks, np.asarray(cv2.dilate(edges, np.ones((3, 3), np.uint8)), np.uint8)]


def _ellipses(masks: list[npt.NDArray[np.uint8]]) -> Iterator[Ring]:
    """Ellipses through the large contours of masks."""
    for mask in masks:
        high, wide = mask.shape
        for contour in cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
            if len(contour) < max(high, wide):
                continue
            points = contour[:, 0]
            # what runs along the crop's border is no outline
            points = points[((points > 1) & (points < np.array([wide, high]) - 2)).all(axis=1)]
            if len(points) >= SEARCH_SIDE // 5 and (ring := _through(points, wide, high)) is not None:
                yield ring


def _through(points: npt.NDArray[np.int32], width: int, height: int) -> Ring | None:
    """The ellipse through points, by least squares (Fitzgibbon and Fisher, 1995); None for one of another size or shape."""
    centre, both, turn = cv2.fitEllipse(points.astype(np.float32))
    short, long = sorted(both)
    if not (
        short >= max(LEAST_SHORT * min(width, height), FLATTEST * long)
        and LEAST_LONG * max(width, height) <= long <= MOST_LONG * max(width, height)
    ):
        return None
    turned = cv2.getRotationMatrix2D((0, 0), -turn, 1)[:, :2]
    return Ring(np.array(centre, np.float64), turned @ np.diag(both) @ turned.T / 2)


def _follows(ring: Ring, near: npt.NDArray[np.bool_]) -> bool:
    """Whether a ring's outline runs along edges. near: where one is, in pixels of the crop."""
    high, wide = near.shape
    outline = ring.at(np.ones_like(_TURNS), _TURNS).astype(np.int64)
    inside = outline[((outline >= 0) & (outline < [wide, high])).all(axis=1)]
    return len(inside) >= INSIDE * len(outline) and bool(near[inside[:, 1], inside[:, 0]].mean() >= FOLLOWED)


def unroll(pixels: Pixels, ring: Ring) -> tuple[Pixels, Pixels]:
    """The two strips (HIGH, WIDE, 3) of a crop's ring: letters with their feet to the centre, and with their heads to it."""
    high, wide = pixels.shape[:2]
    smaller = min(wide, MOST_SIDE), min(high, MOST_SIDE)
    if smaller != (wide, high):
        pixels = np.asarray(cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA), np.uint8)
        ring = ring.scaled(smaller[0] / wide, smaller[1] / high)
    upper, lower = (_strip(pixels, ring, foot=foot) for foot in (False, True))
    return upper, lower


def _strip(pixels: Pixels, ring: Ring, *, foot: bool) -> Pixels:
    y, x = np.mgrid[:HIGH, :WIDE].astype(np.float32) + 0.5
    places = around(np.stack([x, y], axis=-1), ring, foot=foot) - 0.5
    return np.asarray(
        cv2.remap(pixels, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def around(points: Floats, ring: Ring, *, foot: bool) -> Floats:
    """Where points (..., 2) of a strip, x and y in its pixels, stand in a crop with that ring, in its pixels."""
    turn = np.radians((points[..., 0] / WIDE - 0.5) * ARC)
    depth = points[..., 1] / HIGH
    if foot:  # read anticlockwise from the left, heads to the centre
        return np.asarray(ring.at(INNER + (OUTER - INNER) * depth, np.pi / 2 - turn), np.float32)
    # read clockwise from the left, feet to the centre
    return np.asarray(ring.at(OUTER - (OUTER - INNER) * depth, turn - np.pi / 2), np.float32)


def box_around(corners: Floats, ring: Ring, width: int, height: int, *, foot: bool) -> Box:
    """The xyxy box in a crop, inside it, round the piece of ring under a rectangle (4, 2) of a strip."""
    low, top = corners.min(axis=0), corners.max(axis=0)
    x, y = np.meshgrid(np.linspace(low[0], top[0], 33), [low[1], top[1]])
    places = around(np.stack([x, y], axis=-1).astype(np.float32), ring, foot=foot).reshape(-1, 2)
    left, upper = np.clip(places.min(axis=0), 0, [width, height]).tolist()
    right, lower = np.clip(places.max(axis=0), 0, [width, height]).tolist()
    return (left, upper, right, lower)


def letter_height(strip_height: float, ring: Ring) -> float:
    """Pixels of the crop for a height in pixels of a strip, by the mean of both radii."""
    return float(strip_height / HIGH * (OUTER - INNER) * np.trace(ring.axes) / 2)
