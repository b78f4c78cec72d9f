"""Where lines of text stand: a map of probabilities becomes turned rectangles, and those become straight strips.

The post-processing of DB (Liao et al., "Real-time scene text detection with differentiable binarization", 2020): the network
marks the core of each line, so a rectangle round a core is grown by area × ratio / perimeter on each side. Rectangles are
rectangles here, so growing is arithmetic and needs no polygon library. In come maps and crops, out come arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vision.values import Pixels

Floats = npt.NDArray[np.float32]

CORE = 0.3  # probability from which on a pixel is core; PaddleOCR's
LEAST_CORE, LEAST_LINE = (
    3.0,
    5.0,
)  # pixels of the map: shorter sides of cores and of lines that are worth reading; PaddleOCR's
TALL = (
    1.5  # a line this many times as high as wide is read turned by a quarter; PaddleOCR's, which turns to one side only
)


def quads(probabilities: Floats, *, least: float, unclip: float, most: int) -> Floats:
    """The lines on a map (h, w) of probabilities as (n, 4, 2) float32 corners in pixels of the map, largest first.

    Corners run clockwise from the upper left one of the line as it is read. They may lie a little outside the map.
    least: mean probability of a core. unclip: how far cores are grown (DB's ratio). most: lines at most.
    """
    core = (probabilities > CORE).astype(np.uint8)
    contours, tree = cv2.findContours(core, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found: list[tuple[float, Floats]] = []
    for contour, (_, _, _, around) in zip(contours, () if tree is None else tree[0], strict=True):
        if around >= 0:  # a hole in a core, as in a large O
            continue
        centre, (wide, high), angle = cv2.minAreaRect(contour)
        if min(wide, high) < LEAST_CORE:
            continue
        if _mean_inside(probabilities, cv2.boxPoints((centre, (wide, high), angle))) < least:
            continue
        grow = 2 * wide * high * unclip / (2 * (wide + high))
        size = (wide + grow, high + grow)
        if min(size) >= LEAST_LINE:
            found.append((size[0] * size[1], in_reading_order(cv2.boxPoints((centre, size, angle)))))
    found.sort(key=lambda one: -one[0])
    return np.array([corners for _, corners in found[:most]], np.float32).reshape(-1, 4, 2)


def _mean_inside(probabilities: Floats, corners: Floats) -> float:
    """The mean of a map under a rectangle."""
    high, wide = probabilities.shape
    low = np.clip(np.floor(corners.min(axis=0)), 0, [wide - 1, high - 1]).astype(np.int32)
    top = np.clip(np.ceil(corners.max(axis=0)), 0, [wide - 1, high - 1]).astype(np.int32)
    mask = np.zeros((top[1] - low[1] + 1, top[0] - low[0] + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - low).astype(np.int32)], 1)
    return float(cv2.mean(probabilities[low[1] : top[1] + 1, low[0] : top[0] + 1], mask)[0])


def in_reading_order(corners: Floats) -> Floats:
    """Four corners of a rectangle, clockwise from the upper left: of the two on the left and the two on the right, by height."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = (side[np.argsort(side[:, 1], kind="stable")] for side in (by_x[:2], by_x[2:]))
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def sides(corners: Floats) -> tuple[float, float]:
    """Width and height of a rectangle given by its corners, in their unit."""
    return float(np.linalg.norm(corners[1] - corners[0])), float(np.linalg.norm(corners[3] - corners[0]))


def strips(pixels: Pixels, corners: Floats) -> tuple[Pixels, ...]:
    """The line under a rectangle of a crop as it may be read, at the crop's own scale; at least one pixel on each side.

    One strip as a rule, two for a line much higher than wide: turned by a quarter to either side, since books, bottles and signs
    have both. What lies outside the crop repeats its border.
    """
    wide, high = (max(1, round(side)) for side in sides(corners))
    target = np.array([[0, 0], [wide, 0], [0, high]], np.float32)
    upright = cv2.warpAffine(
        pixels,
        cv2.getAffineTransform(corners[[0, 1, 3]], target),
        (wide, high),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    turns = (1, -1) if high >= TALL * wide else (0,)
    return tuple(np.asarray(np.rot90(upright, turn), np.uint8) for turn in turns)


def reading_order(boxes: Sequence[tuple[float, float, float, float]]) -> list[int]:
    """Indices of xyxy boxes as they are read: rows from the top, in a row from the left.

    A box belongs to the row above it when the middle of either lies within the height of the other.
    """
    rows: list[list[int]] = []
    for i in sorted(range(len(boxes)), key=lambda i: (boxes[i][1] + boxes[i][3], boxes[i][0])):
        if rows and _share_a_row(boxes[rows[-1][0]], boxes[i]):
            rows[-1].append(i)
        else:
            rows.append([i])
    return [i for row in rows for i in sorted(row, key=lambda i: boxes[i][0])]


def _share_a_row(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[1] < (b[1] + b[3]) / 2 < a[3] and b[1] < (a[1] + a[3]) / 2 < b[3]
