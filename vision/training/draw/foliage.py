"""Leaves, twigs and grass: what lies in front of signs and walls, has shapes as sharp as marks have, and is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.training.draw.piece import Rgba, extent

_SIDE = 220  # pixels
_Points = npt.NDArray[np.float64]


def foliage(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """A twig, a cluster or a tuft of leaves of one kind and about one colour, (h, w, 4) uint8.

    Never one leaf alone: drawn flat, that is what many logos are. fonts: unused, as for all that is not text.
    """
    rgba = np.zeros((_SIDE, _SIDE, 4), np.uint8)
    shape, slim, hue = int(rng.integers(6)), rng.uniform(0.12, 0.42), _season(rng)
    arrange = (_twig, _cluster, _tuft)[int(rng.choice(3, p=(0.42, 0.46, 0.12)))]
    for base, angle, long, shade in arrange(rgba, rng):
        outline = _placed(_outline(shape, slim * rng.uniform(0.85, 1.15), rng), base, angle, long)
        _draw_leaf(rgba, outline, base, angle, long, _tint(hue, shade, rng))
    left, top, right, bottom = extent(rgba[..., 3] > 0)
    return np.ascontiguousarray(rgba[top:bottom, left:right])


_Leaf = tuple[_Points, float, float, float]  # base, direction, length in pixels, brightness


def _twig(rgba: Rgba, rng: np.random.Generator) -> list[_Leaf]:
    """Leaves on both sides of a bent stem, opposite each other or in turn, smaller towards its tip."""
    heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.5)
    start, reach = np.full(2, _SIDE / 2) - _along(heading) * 0.36 * _SIDE, 0.72 * _SIDE
    many, opposite = int(rng.integers(4, 16)), rng.random() < 0.5
    share = np.linspace(0, 1, 24)[:, None]
    stem = start + share * reach * _along(heading) + share**2 * bend * 0.3 * reach * _along(heading + np.pi / 2)
    bark = _colour(int(rng.integers(8, 45)), int(rng.integers(60, 140)), int(rng.integers(50, 130)))
    cv2.polylines(rgba, [stem.round().astype(np.int32)], False, bark, int(rng.integers(1, 5)), cv2.LINE_AA)
    long, spread = rng.uniform(0.16, 0.34) * _SIDE, rng.uniform(0.5, 1.2)
    leaves: list[_Leaf] = []
    for number in range(many):
        at = stem[round(23 * (number + 1) / many)]
        for side in (-1, 1) if opposite else ((-1) ** number,):
            angle = heading + side * spread + rng.normal(0, 0.15)
            leaves.append((at, angle, long * (1 - 0.45 * number / many), rng.uniform(0.7, 1.15)))
    leaves.append((stem[-1], heading + bend * 0.3, long * 0.7, 1.1))
    return leaves


def _cluster(rgba: Rgba, rng: np.random.Generator) -> list[_Leaf]:
    """A bush: dark leaves behind, bright ones in front."""
    many, long = int(rng.integers(14, 70)), rng.uniform(0.13, 0.3) * _SIDE
    stretch = rng.uniform(0.5, 1.0, 2)
    leaves: list[_Leaf] = []
    for number in range(many):
        base = _SIDE / 2 + stretch * rng.normal(0, 0.15, 2).clip(-0.3, 0.3) * _SIDE
        shade = 0.4 + 0.75 * number / many + rng.normal(0, 0.06)
        leaves.append((base, rng.uniform(0, 2 * np.pi), long * rng.uniform(0.6, 1.2), shade))
    return leaves


def _tuft(rgba: Rgba, rng: np.random.Generator) -> list[_Leaf]:
    """Leaves that stand up from one place."""
    many, fan = int(rng.integers(12, 30)), rng.uniform(0.3, 0.9)
    base = np.array((_SIDE / 2, 0.9 * _SIDE))
    turns = rng.normal(0, fan / 2, many).clip(-1.3, 1.3)
    places = base + np.stack([rng.normal(0, 0.06 * _SIDE, many), np.zeros(many)], axis=1)
    return [
        (place, float(turn) - np.pi / 2, rng.uniform(0.4, 0.8) * _SIDE, rng.uniform(0.6, 1.15))
        for place, turn in zip(places, turns, strict=True)
    ]


def _outline(shape: int, slim: float, rng: np.random.Generator) -> _Points:
    """A leaf from (0, 0) to (1, 0), (n, 2). slim: half its breadth as a share of its length."""
    if shape == 5:  # fingers from one place: maple, vine
        angles = np.linspace(-2.6, 2.6, 61)
        reach = (0.45 + 0.55 * np.abs(np.cos(2.5 * angles / 2.0)) ** 1.5) * (1 - 0.13 * np.abs(angles))
        star = np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1) * 0.65
        return np.asarray(np.vstack([np.zeros((1, 2)), star + np.array((0.35, 0.0))]), np.float64)
    t = np.linspace(0, 1, 31)
    if shape == 0:  # oval: beech
        half = np.sin(np.pi * t) ** 0.8
    elif shape == 1:  # lance: willow, grass
        half = 0.35 * np.sin(np.pi * t**0.8)
    elif shape == 2:  # heart: lime, ivy
        half = 1.25 * np.sin(np.pi * t**0.5) ** 0.9
    elif shape == 3:  # lobes: oak
        half = np.sin(np.pi * t**1.2) ** 0.7 * (1 + 0.3 * np.sin(2 * np.pi * 4 * t))
    else:  # teeth: birch, nettle
        half = 1.1 * np.sin(np.pi * t**0.65) * (1 + 0.09 * np.where(np.arange(31) % 2, 1, -1))
    edge = np.clip(half, 0, None) * slim
    upper, lower = np.stack([t, edge], axis=1), np.stack([t, -edge], axis=1)[::-1]
    return np.asarray(np.vstack([upper, lower]), np.float64)


def _placed(outline: _Points, base: _Points, angle: float, long: float) -> _Points:
    return np.asarray(base + long * (outline[:, :1] * _along(angle) + outline[:, 1:] * _along(angle + np.pi / 2)))


def _draw_leaf(
    rgba: Rgba, outline: _Points, base: _Points, angle: float, long: float, hsv: tuple[int, int, int]
) -> None:
    """The blade, one half of it in more light than the other, and the vein between them."""
    hue, saturation, value = hsv
    tip = base + _along(angle) * long
    cv2.fillPoly(rgba, [outline.round().astype(np.int32)], _colour(hue, saturation, value), cv2.LINE_AA)
    half = outline[: len(outline) // 2]
    lighter = _colour(hue, round(0.9 * saturation), min(255, round(1.18 * value)))
    cv2.fillPoly(rgba, [np.vstack([half, [tip, base]]).round().astype(np.int32)], lighter, cv2.LINE_AA)
    if long > 18:
        vein = _colour(hue, round(0.6 * saturation), min(255, round(1.35 * value)))
        first, last = ((round(float(x)), round(float(y))) for x, y in (base, base + 0.9 * (tip - base)))
        cv2.line(rgba, first, last, vein, 1, cv2.LINE_AA)


def _season(rng: np.random.Generator) -> tuple[int, int, int]:
    """Hue of 180, saturation and value of 256: greens mostly, then yellow to red, now and then purple or grey-green."""
    chance = rng.random()
    if chance < 0.65:
        return int(rng.integers(33, 68)), int(rng.integers(80, 220)), int(rng.integers(70, 190))
    if chance < 0.9:
        return int(rng.integers(2, 28)), int(rng.integers(130, 235)), int(rng.integers(120, 235))
    if chance < 0.95:
        return int(rng.integers(160, 178)), int(rng.integers(80, 190)), int(rng.integers(60, 140))
    return int(rng.integers(40, 90)), int(rng.integers(15, 70)), int(rng.integers(110, 190))


def _tint(season: tuple[int, int, int], shade: float, rng: np.random.Generator) -> tuple[int, int, int]:
    hue, saturation, value = season
    return (
        int(hue + rng.normal(0, 3)) % 180,
        int(np.clip(saturation * rng.uniform(0.85, 1.15), 0, 255)),
        int(np.clip(value * shade, 15, 250)),
    )


def _colour(hue: int, saturation: int, value: int) -> tuple[int, int, int, int]:
    red, green, blue = (
        int(v) for v in cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    )
    return red, green, blue, 255


def _along(angle: float) -> _Points:
    return np.array((np.cos(angle), np.sin(angle)))
