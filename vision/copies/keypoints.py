"""Corners of a picture, at several scales and spread over all of it, and the small patch of pixels around each.

In: a grey plane. Out: `Keypoints`, the surest first. Pure. All scales lie on one sheet, so that smoothing, corner response and
sampling are one call each.

A corner is a local maximum of the smaller eigenvalue of the gradients' covariance (Shi and Tomasi, Good Features to Track, 1994).
They are taken by their rank within cells of a grid, as text or a caption would otherwise have all of them. Each patch is turned
by the direction from its corner to its centre of brightness (Rosin 1999; ORB: Rublee et al. 2011).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# From one scale to the next. Patches of one corner at two neighbouring scales still look alike to the encoder.
STEP = 2**0.5
# Sides of the patch, in samples and in pixels of its scale.
PATCH = 16
SPACING = 1.5
# Corners nearer to an edge would see beyond it with more than their patch's rim.
BORDER = 9
# A smaller scale than this has no room for a patch and its neighbours.
LEAST_SIDE = 48
# Black pixels between two levels on the sheet: no patch whose corner keeps off the edge sees beyond them.
GAP = 9
# Cells of the grid, in pixels of each scale.
CELL = 36
# Corner response under which there is only noise.
LEAST_RESPONSE = 6.5


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """n corners.

    xy: (n, 2) float32 pixels of the plane, pixel centres at whole numbers. level: (n,) uint8, the scale is STEP ** level.
    angle: (n,) float32 radians from the x axis to the y axis (which points down). patches: (n, 256) uint8, 16 x 16 row by row.
    """

    xy: Floats
    level: npt.NDArray[np.uint8]
    angle: Floats
    patches: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.xy)


def find_keypoints(plane: Plane, count: int) -> Keypoints:
    """At most `count` corners of an (h, w) uint8 grey plane, the best of each cell first, then the second ones, and so on."""
    import cv2

    sheet, levels = _levels(plane)
    sheet = np.asarray(cv2.GaussianBlur(sheet, (3, 3), 0), dtype=np.uint8)
    response = _response(sheet)
    largest = cv2.dilate(
        response, np.ones((5, 5), dtype=np.uint8), dst=_BUFFERS.plane("largest", response.shape, np.float32)
    )
    np.maximum(largest, LEAST_RESPONSE, out=largest)
    found = []
    for left, top, width, height in levels.tolist():
        inside = slice(top + BORDER, top + height - BORDER), slice(left + BORDER, left + width - BORDER)
        peaks = np.flatnonzero(response[inside] >= largest[inside])
        found.append(np.divmod(peaks, width - 2 * BORDER))
    level_of = np.repeat(np.arange(len(levels)), [len(rows) for rows, _ in found])
    # in pixels of their level
    y, x = np.concatenate([r for r, _ in found]) + BORDER, np.concatenate([c for _, c in found]) + BORDER
    strength = response[y + levels[level_of, 1], x + levels[level_of, 0]]
    best = _spread(level_of, y // CELL, x // CELL, strength, count)
    level_of = level_of[best]
    left, top, width, height = levels[level_of].T
    columns, rows = _between(response, x[best] + left, y[best] + top)
    upright = _sample(sheet, columns, rows, np.zeros(len(columns), dtype=np.float32)).astype(np.float32)
    pull = (upright - upright.mean(axis=1, keepdims=True)) @ _MOMENTS
    angle = np.arctan2(pull[:, 1], pull[:, 0])
    patches = _sample(sheet, columns, rows, angle)
    # levels are whole pixels wide and high: their scales differ a little from powers of STEP, and by side
    across, down = width / plane.shape[1], height / plane.shape[0]
    xy = np.stack([(columns - left + 0.5) / across - 0.5, (rows - top + 0.5) / down - 0.5], axis=1)
    return Keypoints(xy.astype(np.float32), level_of.astype(np.uint8), angle, patches)


def _levels(plane: Plane) -> tuple[Plane, Numbers]:
    """The plane at all its scales on one sheet, and (n, 4) the left, top, width and height of each."""
    import cv2

    height, width = plane.shape
    sizes = [(width, height)]
    while True:
        scale = STEP ** -len(sizes)
        size = round(width * scale), round(height * scale)
        if min(size) < LEAST_SIDE:
            break
        sizes.append(size)
    corners, (wide, high) = _laid_out(sizes)
    sheet = np.zeros((high, wide), dtype=np.uint8)
    parts = [sheet[top : top + h, left : left + w] for (left, top), (w, h) in zip(corners, sizes, strict=True)]
    parts[0][:] = plane
    for number in range(1, len(parts)):
        # from the level an octave up, where averaging is exact
        cv2.resize(parts[max(0, number - 2)], sizes[number], dst=parts[number], interpolation=cv2.INTER_AREA)
    return sheet, np.array([(*corner, *size) for corner, size in zip(corners, sizes, strict=True)], dtype=np.int64)


def _laid_out(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Left and top of each level on the sheet, and its width and height.

    The first level on top; below it the second one, and the other odd ones in a column beside it; below those the even ones in
    a row. So about a fifth of the sheet stays empty, gaps included; a third would, with one level below the other.
    """
    corners = [(0, 0)] * len(sizes)
    wide, high = sizes[0]
    if len(sizes) > 1:
        left, top = sizes[1][0] + GAP, high + GAP
        corners[1], high = (0, top), top + sizes[1][1]
        for number in range(3, len(sizes), 2):
            corners[number] = left, top
            top += sizes[number][1] + GAP
            wide = max(wide, left + sizes[number][0])
    left, top = 0, high + GAP
    for number in range(2, len(sizes), 2):
        corners[number] = left, top
        high = max(high, top + sizes[number][1])
        wide = max(wide, left + sizes[number][0])
        left += sizes[number][0] + GAP
    return corners, (wide, high)


def _response(sheet: Plane) -> Floats:
    """(h, w) float32: the smaller eigenvalue of the mean covariance of Sobel gradients over 5 x 5 pixels.

    It lies in this thread's buffers, and stands until the next call. Of whole levels OpenCV would scale gradients down so far
    that plain ground ends in numbers under the smallest normal one, and then take five times as long.
    """
    import cv2

    levels = _BUFFERS.plane("levels", sheet.shape, np.float32)
    np.copyto(levels, sheet)
    response = _BUFFERS.plane("response", sheet.shape, np.float32)
    return np.asarray(cv2.cornerMinEigenVal(levels, 5, dst=response, ksize=3), dtype=np.float32)


class _Buffers(threading.local):
    """Arrays of some megabytes that a thread uses again for each picture: fresh ones cost more than what is done in them, as
    the system has to clear their pages."""

    def __init__(self) -> None:
        self._kept: dict[str, npt.NDArray[Any]] = {}

    def plane(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """(h, w) of a dtype, with what the last use of this name left in it."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.size < size:
            kept = self._kept[name] = np.empty(size, dtype=dtype)
        return kept[:size].reshape(shape)


_BUFFERS = _Buffers()


def _spread(level: Numbers, row: Numbers, column: Numbers, strength: Floats, count: int) -> Numbers:
    """Which corners to take: (count or fewer,) places, by rank in their cell, then by strength."""
    cell = (level * 4096 + row) * 4096 + column
    order = np.lexsort((-strength, cell))
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = cell[order][1:] != cell[order][:-1]
    places = np.arange(len(order))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return np.asarray(np.lexsort((-strength, rank))[:count], dtype=np.int64)


def _between(response: Floats, x: Numbers, y: Numbers) -> tuple[Floats, Floats]:
    """Columns and rows of peaks to a fraction of a pixel: of the parabola through three responses, along each axis."""
    middle = response[y, x]
    left, right, above, below = response[y, x - 1], response[y, x + 1], response[y - 1, x], response[y + 1, x]
    across = 0.5 * (left - right) / np.minimum(left + right - 2 * middle, -1e-9)
    down = 0.5 * (above - below) / np.minimum(above + below - 2 * middle, -1e-9)
    return (
        (x + np.clip(across, -0.5, 0.5)).astype(np.float32),
        (y + np.clip(down, -0.5, 0.5)).astype(np.float32),
    )


def _sample(sheet: Plane, columns: Floats, rows: Floats, angle: Floats) -> npt.NDArray[np.uint8]:
    """(n, 256) uint8: the patch around each place, turned by its angle."""
    import cv2

    if not len(columns):
        return np.zeros((0, PATCH * PATCH), dtype=np.uint8)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    across = columns[:, None] + cos * _GRID_X - sin * _GRID_Y
    down = rows[:, None] + sin * _GRID_X + cos * _GRID_Y
    return np.asarray(cv2.remap(sheet, across, down, cv2.INTER_LINEAR), dtype=np.uint8)


_OFFSETS = np.arange(PATCH, dtype=np.float32) - (PATCH - 1) / 2
_GRID_X = np.tile(_OFFSETS, PATCH) * np.float32(SPACING)
_GRID_Y = np.repeat(_OFFSETS, PATCH) * np.float32(SPACING)
# First moments of a patch under a round, soft window: where its brightness pulls.
_RADIUS = np.hypot(_GRID_X, _GRID_Y) / SPACING
_WINDOW = np.where(_RADIUS <= PATCH / 2, np.exp(-0.5 * (_RADIUS / 5) ** 2), 0)
_MOMENTS = np.stack([_GRID_X * _WINDOW, _GRID_Y * _WINDOW], axis=1).astype(np.float32)
