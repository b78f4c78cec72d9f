"""Looks at a picture: the whole of it, overlapping tiles of it, each also mirrored or turned; and their boxes made one list.

A look is a part of the picture as the network gets to see it. Its boxes are mapped back into the picture, and what several
looks found is merged so that a mark stays one box. Pure functions of arrays; merging only chooses among boxes, it makes none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.geometry import Boxes, area, intersection, nms
from vision.values import Detections, Pixels

Tiles = int | Literal["auto", "off"]
Views = Literal["off", "flip", "turns", "all"]

# (mirrored, quarter turns) of each look, the upright one first
VIEWS: dict[str, tuple[tuple[bool, int], ...]] = {
    "off": ((False, 0),),
    "flip": ((False, 0), (True, 0)),
    "turns": ((False, 0), (False, 1), (False, 2), (False, 3)),
    "all": tuple((mirrored, turns) for mirrored in (False, True) for turns in range(4)),
}
# "auto" looks closer at pictures from this many input lengths on, where a mark of 32 pixels shrinks to ten, with tiles of this
# many lengths; four along a side are thirteen looks at a photograph.
AUTO_FROM, AUTO_TILE, AUTO_MOST = 3, 2, 4
MOST_TILES = 8  # along a side; 64 tiles take seconds
OVERLAP = 0.2  # of a tile's side: what is smaller lies whole in one of two neighbours
# A box that ends this near to an inner border of its tile, in shares of the tile's side, was cut there: the neighbour or the
# whole picture has it whole. Half as much leaves halves, twice as much finds no more of them (`benchmarks/detector_size.py`,
# table views, on ordinary pictures, where tiles have nothing to add).
CUT = 0.02
POOL = 1000  # boxes of all looks that are compared with each other
INSIDE, LARGER, STRONG = 0.8, 1.2, 0.5  # as `without_parts` tells parts


@dataclass(frozen=True, slots=True)
class Look:
    """A part of a picture, mirrored left to right first, then turned counter-clockwise by quarter turns.

    left, top, right, bottom: in pixels of the decoded picture. tile: whether it is less than the whole.
    """

    left: int
    top: int
    right: int
    bottom: int
    tile: bool = False
    mirrored: bool = False
    turns: int = 0

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of what this look shows, as it shows it."""
        wide, high = self.right - self.left, self.bottom - self.top
        return (high, wide) if self.turns % 2 else (wide, high)

    def of(self, pixels: Pixels) -> Pixels:
        """What this look shows of (h, w, 3) pixels: a view of them, sides exchanged by odd turns."""
        part = pixels[self.top : self.bottom, self.left : self.right]
        return np.rot90(part[:, ::-1] if self.mirrored else part, self.turns)

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes in pixels of the look to boxes in pixels of the picture."""
        wide, high = self.right - self.left, self.bottom - self.top
        sides = [(wide, high), (high, wide)]
        left, top, right, bottom = boxes.T
        for turn in range(self.turns, 0, -1):
            # before this quarter turn the part was `before` wide; what is at its right edge is at the top after it
            before = sides[(turn - 1) % 2][0]
            left, top, right, bottom = before - bottom, left, before - top, right
        if self.mirrored:
            left, right = wide - right, wide - left
        moved = np.stack([left + self.left, top + self.top, right + self.left, bottom + self.top], axis=1)
        return np.asarray(moved, np.float32)

    def cuts(self, boxes: Boxes, width: int, height: int) -> npt.NDArray[np.bool_]:
        """True for boxes of the (height, width) picture that end at a border of this tile which is not the picture's."""
        margin = CUT * max(self.right - self.left, self.bottom - self.top)
        cut = np.zeros(len(boxes), bool)
        if self.left > 0:
            cut |= boxes[:, 0] <= self.left + margin
        if self.top > 0:
            cut |= boxes[:, 1] <= self.top + margin
        if self.right < width:
            cut |= boxes[:, 2] >= self.right - margin
        if self.bottom < height:
            cut |= boxes[:, 3] >= self.bottom - margin
        return cut


def check(tiles: Tiles, views: Views) -> None:
    """Raise UsageError (bad_option) for tiles and views that there are not."""
    if views not in VIEWS:
        raise UsageError("bad_option", f"no views {views!r}", hint=", ".join(VIEWS))
    numbered = isinstance(tiles, int) and not isinstance(tiles, bool) and 1 <= tiles <= MOST_TILES
    if tiles not in ("auto", "off") and not numbered:
        raise UsageError("bad_option", f"no tiles {tiles!r}", hint=f"auto, off or a number from 1 to {MOST_TILES}")


def grid(width: int, height: int, size: int, tiles: Tiles) -> tuple[int, int]:
    """Columns and rows of tiles for a picture of that size at full scale, (1, 1) for none.

    size: longest side of the network's input. A number is taken for both; "auto" wants tiles that are about square.
    """
    if tiles == "off":
        return 1, 1
    if tiles != "auto":
        return tiles, tiles
    longest = max(width, height)
    if longest < AUTO_FROM * size:
        return 1, 1
    along = min(AUTO_MOST, math.ceil(longest / (AUTO_TILE * size)))
    return max(1, round(along * width / longest)), max(1, round(along * height / longest))


def zoom(columns: int, rows: int) -> float:
    """How much larger than in the whole picture a mark is shown in a tile of such a grid, at most; 1 without tiles."""
    most = max(columns, rows)
    return most - (most - 1) * OVERLAP


def looks_at(width: int, height: int, grid: tuple[int, int], views: Views) -> list[Look]:
    """The looks at a picture of (height, width) decoded pixels, the whole and upright one first."""
    parts = [(0, 0, width, height, False)]
    if grid != (1, 1):
        across, down = _spans(width, grid[0]), _spans(height, grid[1])
        parts += [(left, top, right, bottom, True) for top, bottom in down for left, right in across]
    return [Look(*part, mirrored, turns) for part in parts for mirrored, turns in VIEWS[views]]


def _spans(side: int, n: int) -> list[tuple[int, int]]:
    """n spans of equal length that cover [0, side], neighbours overlapping by `OVERLAP`; fewer where pixels run out."""
    length = min(side, math.ceil(side / zoom(n, 1)))
    starts = sorted({round(i * (side - length) / max(n - 1, 1)) for i in range(n)})
    return [(start, start + length) for start in starts]


def merge(
    found: Sequence[tuple[Look, Detections]], width: int, height: int, *, max_iou: float, max_boxes: int
) -> Detections:
    """What several looks found, all in pixels of the (height, width) picture, as one list without doubles, best first.

    Left out are boxes that were cut at the border of their tile; boxes of a tile that lie in a larger one with at least half
    their score which the tile does not show whole, so that it could not tell a part from a mark; and, by kind, boxes that
    overlap a better one by more than `max_iou`.
    """
    if len(found) == 1:
        return found[0][1]
    uncut = [d if not look.tile else _chosen(d, ~look.cuts(d.boxes, width, height)) for look, d in found]
    counts = [len(d) for d in uncut]
    seen = np.repeat([(look.left, look.top, look.right, look.bottom) for look, _ in found], counts, axis=0)
    pool = _pooled(uncut)
    best = np.argsort(-pool.scores, kind="stable")[:POOL]
    pool, seen = _chosen(pool, best), seen[best]
    kinds, sizes = np.array(pool.kinds, str), area(pool.boxes)
    holds = intersection(pool.boxes, pool.boxes) >= INSIDE * np.maximum(sizes[:, None], 1e-6)
    holds &= sizes[None, :] > LARGER * sizes[:, None]
    holds &= pool.scores[None, :] >= STRONG * pool.scores[:, None]
    holds &= kinds[None, :] == kinds[:, None]
    # a row for each box with what its look shows, a column for each box that may hold it: does it reach beyond that?
    slack = CUT * (seen[:, None, 2:] - seen[:, None, :2])
    holds &= (
        (pool.boxes[None, :, :2] < seen[:, None, :2] - slack) | (pool.boxes[None, :, 2:] > seen[:, None, 2:] + slack)
    ).any(axis=2)
    left = np.asarray(~holds.any(axis=1), bool)
    for kind in dict.fromkeys(pool.kinds):
        own = np.flatnonzero(left & (kinds == kind))
        left[own] = False
        left[own[nms(pool.boxes[own], pool.scores[own], max_iou)]] = True
    return _chosen(pool, np.flatnonzero(left)[:max_boxes])


def _pooled(found: Sequence[Detections]) -> Detections:
    return Detections(
        np.concatenate([d.boxes for d in found]),
        tuple(k for d in found for k in d.kinds),
        np.concatenate([d.scores for d in found]),
    )


def _chosen(found: Detections, chosen: npt.NDArray[np.bool_ | np.int64]) -> Detections:
    """The detections of a mask, or of indices in their order."""
    numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    return Detections(found.boxes[numbers], tuple(found.kinds[i] for i in numbers), found.scores[numbers])
