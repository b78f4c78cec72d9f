"""The picture while it is being made: what is laid into it is matched to it, and what stays visible becomes the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledBox
from vision.training.draw.material import Matter, printed
from vision.training.draw.piece import INK, Floats, Piece, extent
from vision.values import Pixels

# A mark or product of which less than this share can be seen is a region to ignore.
LEAST_VISIBLE = 0.5
LEAST_SIDE, LEAST_LENGTH = 6, 10  # pixels; smaller ones are not legible
LEAST_SHOWN = 14.0  # levels by which a mark differs from its ground on average
_GRID = 24


@dataclass(frozen=True, slots=True)
class _Laid:
    """One mark or product. inked: its pixels before anything hid it. window: xyxy in which it lies."""

    number: int
    kind: str
    inked: int
    window: tuple[int, int, int, int]
    unsure: bool


class Canvas:
    """A ground that things are laid on. Later things hide earlier ones; `boxes` tells what is left to see.

    pixels: (h, w, 3) uint8 RGB, changed in place.
    """

    def __init__(self, pixels: Pixels, grain: Floats, *, lifelike: bool = True) -> None:
        """grain: (n, n) float32 noise of deviation 1. lifelike: the ground is a photograph; what is laid is matched to it."""
        self.pixels, self.grain, self.lifelike = pixels, grain, lifelike
        self.high, self.wide = pixels.shape[:2]
        self.marks = np.zeros((self.high, self.wide), np.int16)
        self.products = np.zeros((self.high, self.wide), np.int16)
        self.laid: list[_Laid] = []
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
        smooth = cv2.GaussianBlur(small, (0, 0), 1.5)
        self.light = ((smooth + 30) / (float(smooth.mean()) + 30)).clip(0.4, 1.5)
        edges = np.abs(cv2.Laplacian(grey, cv2.CV_16S)).astype(np.float32)
        self.detail = cv2.resize(edges, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        self.sharpness = float(np.percentile(self.detail, 90))
        self.noise = float(np.percentile(self.detail, 10)) / 4.5 if lifelike else 0.0

    def lay(
        self,
        piece: Piece,
        x: int,
        y: int,
        rng: np.random.Generator,
        *,
        matter: Matter = Matter.PRINT,
        strength: float = 1.0,
    ) -> bool:
        """Lay the piece with its upper left corner at (x, y); False when nothing of it lies inside the picture."""
        left, top = max(0, x), max(0, y)
        right, bottom = min(self.wide, x + piece.rgba.shape[1]), min(self.high, y + piece.rgba.shape[0])
        if right <= left or bottom <= top:
            return False
        inside = np.s_[top - y : bottom - y, left - x : right - x]
        window = np.s_[top:bottom, left:right]
        rgba, marks = piece.rgba[inside], piece.marks[inside]
        under = self.pixels[window].astype(np.float32)
        if piece.solid:
            alpha = rgba[..., 3:].astype(np.float32) * np.float32(strength / 255)
            colour = self._matched(rgba, left, top, rng, grounded=piece.grounded)
            result = under + (colour - under) * alpha
        else:
            result = printed(under, rgba, matter, rng, strength=strength)
            if matter is not Matter.PRINT and not _shows(result, under, rgba):
                result = printed(under, rgba, Matter.PRINT, rng, strength=strength)
        self.pixels[window] = result.clip(0, 255).astype(np.uint8)
        self._note(piece, rgba[..., 3] >= INK, marks, (left, top, right, bottom))
        return True

    def is_free(self, x: int, y: int, wide: int, high: int) -> bool:
        """True when no mark lies in that rectangle."""
        return not self.marks[max(0, y) : y + high, max(0, x) : x + wide].any()

    def calm_place(
        self, wide: int, high: int, rng: np.random.Generator, *, outside: float = 0.0, tries: int = 4
    ) -> tuple[int, int]:
        """A corner for a thing of that size, on the calmest of some places drawn at random: walls, shirts, doors, not leaves."""
        places = [self._place(wide, high, rng, outside) for _ in range(tries)]
        return min(
            places, key=lambda p: (not self.is_free(p[0], p[1], wide, high), self.detail_at(p[0], p[1], wide, high))
        )

    def detail_at(self, x: int, y: int, wide: int, high: int) -> float:
        """Mean absolute Laplacian of the ground in that rectangle: about 2 for a wall, 20 for leaves."""
        left, right = (int(np.clip(v * _GRID / self.wide, 0, _GRID - 1)) for v in (x, x + wide))
        top, bottom = (int(np.clip(v * _GRID / self.high, 0, _GRID - 1)) for v in (y, y + high))
        return float(self.detail[top : bottom + 1, left : right + 1].mean())

    def boxes(self) -> tuple[LabelledBox, ...]:
        """Every mark and product that can be seen, clipped, products first; what is mostly hidden or tiny is ignored."""
        found: list[LabelledBox] = []
        for laid in self.laid:
            left, top, right, bottom = laid.window
            own = (self.products if laid.kind == "product" else self.marks)[top:bottom, left:right] == laid.number
            seen = int(np.count_nonzero(own))
            if not seen:
                continue
            x1, y1, x2, y2 = extent(own)
            box = (float(left + x1), float(top + y1), float(left + x2), float(top + y2))
            tiny = min(x2 - x1, y2 - y1) < LEAST_SIDE or max(x2 - x1, y2 - y1) < LEAST_LENGTH
            found.append(LabelledBox(box, laid.kind, ignore=laid.unsure or tiny or seen < LEAST_VISIBLE * laid.inked))
            if laid.kind == "product" and not laid.unsure:  # which logos a packshot shows by itself is not known
                found.append(LabelledBox(box, "logo", ignore=True))
        return tuple(sorted(found, key=lambda b: b.kind != "product"))

    def _note(
        self, piece: Piece, covered: npt.NDArray[np.bool_], marks: npt.NDArray[np.uint8], box: tuple[int, int, int, int]
    ) -> None:
        left, top, right, bottom = box
        if piece.solid:
            self.marks[top:bottom, left:right][covered] = 0
            self.products[top:bottom, left:right][covered] = 0
        totals = np.bincount(piece.marks.ravel(), minlength=2)
        for value in (int(v) for v in np.flatnonzero(totals[1:]) + 1):
            number = len(self.laid) + 1
            region = self.marks[top:bottom, left:right]
            region[(marks == value) & covered & (region == 0)] = number  # a see-through watermark hides no mark
            self.laid.append(_Laid(number, "logo", int(totals[value]), box, value in piece.unsure))
        if piece.product:
            number = len(self.laid) + 1
            self.products[top:bottom, left:right][covered] = number
            inked = int(np.count_nonzero(piece.rgba[..., 3] >= INK))
            self.laid.append(_Laid(number, "product", inked, box, piece.product_unsure))

    def _matched(
        self, rgba: npt.NDArray[np.uint8], x: int, y: int, rng: np.random.Generator, *, grounded: bool
    ) -> Floats:
        """The colours of a thing under the light of the ground, as sharp and as noisy as the ground is."""
        rgb = rgba[..., :3]
        if not self.lifelike:
            return rgb.astype(np.float32)
        high, wide = rgb.shape[:2]
        grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
        own = float(np.percentile(np.abs(cv2.Laplacian(grey, cv2.CV_16S)), 95)) / 2.2
        if own > 1.3 * self.sharpness:
            rgb = cv2.GaussianBlur(rgb, (0, 0), min(1.4, 0.35 * own / max(self.sharpness, 4.0)))
        colour = rgb.astype(np.float32)
        if not grounded:
            gx = np.clip((np.array([x, x + wide]) * _GRID / self.wide), 0, _GRID - 1)
            gy = np.clip((np.array([y, y + high]) * _GRID / self.high), 0, _GRID - 1)
            part = self.light[int(gy[0]) : int(gy[1]) + 1, int(gx[0]) : int(gx[1]) + 1]
            gain = 1 + (part - 1) * np.float32(rng.uniform(0.3, 0.8))
            colour *= cv2.resize(gain, (wide, high), interpolation=cv2.INTER_LINEAR)[..., None]
        if self.noise > 0.8:
            dx, dy = (int(v) for v in rng.integers(0, 64, 2))
            tile = self.grain[dy : dy + high, dx : dx + wide]
            if tile.shape == (high, wide):
                colour += tile[..., None] * np.float32(min(self.noise, 6.0))
        return colour

    def _place(self, wide: int, high: int, rng: np.random.Generator, outside: float) -> tuple[int, int]:
        spare_x, spare_y = outside * wide, outside * high
        x = rng.uniform(-spare_x, max(-spare_x + 1, self.wide - wide + spare_x))
        y = rng.uniform(-spare_y, max(-spare_y + 1, self.high - high + spare_y))
        return round(float(x)), round(float(y))


def _shows(result: Floats, under: Floats, rgba: npt.NDArray[np.uint8]) -> bool:
    """True when the mark can be told from the ground: relief and metal come out as dark as a dark ground now and then."""
    ink = rgba[..., 3] >= 128
    return bool(ink.any()) and float(np.abs(result[ink] - under[ink]).max(axis=1).mean()) > LEAST_SHOWN
