"""What is laid into a picture: pixels with alpha, and on which of them a mark is."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Rgba = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
LabelMap = npt.NDArray[np.uint8]

INK = 40  # alpha (of 255) from which a pixel counts for the box


@dataclass(frozen=True, slots=True)
class Ink:
    """A mark without a ground. rgba: (h, w, 4) uint8, straight alpha. colour: RGB of a one-colour mark, else None."""

    rgba: Rgba
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to lay into a picture.

    rgba: (h, w, 4) uint8, straight alpha. marks: (h, w) uint8, number of the mark that a pixel belongs to, 0 for none.
    unsure: numbers of marks that are neither taught nor punished. solid: hides what is under it, rather than being printed on it.
    product: the whole of it is a product, product_unsure: one that is
    neither taught nor punished. grounded: part of a photograph, so it keeps its own colours.
    """

    rgba: Rgba
    marks: LabelMap
    unsure: frozenset[int] = frozenset()
    solid: bool = True
    product: bool = False
    product_unsure: bool = False
    grounded: bool = False


@dataclass(frozen=True, slots=True)
class CutOut:
    """Part of a real photograph round a logo. marks as in `Piece`; plain: its border has one colour, so it can be blended."""

    rgb: npt.NDArray[np.uint8]
    marks: LabelMap
    unsure: frozenset[int] = field(default_factory=frozenset)
    box: tuple[int, int, int, int] = (0, 0, 0, 0)


def piece_of(ink: Rgba, *, whole: bool = False) -> Piece:
    """A mark alone, printed on what lies under it. whole: everything visible is the mark and hides what is under it."""
    return Piece(ink, (ink[..., 3] >= INK).astype(np.uint8), solid=whole)


def extent(mask: Mask | LabelMap) -> tuple[int, int, int, int]:
    """xyxy around what is not 0, right and bottom exclusive; all 0 when there is nothing."""
    x, y, wide, high = cv2.boundingRect(mask.astype(np.uint8))
    return int(x), int(y), int(x + wide), int(y + high)


def over(base: Rgba, top: Rgba, x: int, y: int) -> None:
    """Lay `top` onto `base` in place with its upper left corner at (x, y); what lies outside is cut off."""
    high, wide = base.shape[:2]
    left, upper, right, lower = max(0, x), max(0, y), min(wide, x + top.shape[1]), min(high, y + top.shape[0])
    if right <= left or lower <= upper:
        return
    part = top[upper - y : lower - y, left - x : right - x]
    under = base[upper:lower, left:right]
    alpha = part[..., 3:].astype(np.float32) / 255
    under[..., :3] = (under[..., :3] * (1 - alpha) + part[..., :3] * alpha).astype(np.uint8)
    if base.shape[2] == 4:
        under[..., 3] = np.maximum(under[..., 3], part[..., 3])


def stamp(base: Rgba, marks: LabelMap, ink: Rgba, x: int, y: int, number: int) -> None:
    """Lay a mark onto a thing in place and note its pixels under that number."""
    over(base, ink, x, y)
    high, wide = marks.shape
    left, upper, right, lower = max(0, x), max(0, y), min(wide, x + ink.shape[1]), min(high, y + ink.shape[0])
    if right > left and lower > upper:
        marks[upper:lower, left:right][ink[upper - y : lower - y, left - x : right - x, 3] >= INK] = number
