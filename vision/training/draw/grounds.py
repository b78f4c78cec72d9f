"""What things are laid on: photographs, plain colours, drawn walls and pages."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vision.training.draw.material import thing_colour
from vision.training.draw.piece import Floats
from vision.values import Pixels


def photo_ground(photos: Sequence[Pixels], longest: int, rng: np.random.Generator) -> Pixels:
    """Part of a photograph, mirrored half the time, with that longest side."""
    photo = photos[int(rng.integers(len(photos)))]
    high, wide = photo.shape[:2]
    share = rng.uniform(0.55, 1.0)
    cut_wide, cut_high = int(wide * share), int(high * share)
    x, y = int(rng.integers(0, wide - cut_wide + 1)), int(rng.integers(0, high - cut_high + 1))
    part = photo[y : y + cut_high, x : x + cut_wide]
    scale = longest / max(cut_wide, cut_high)
    size = (max(8, round(cut_wide * scale)), max(8, round(cut_high * scale)))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.array(part[:, ::-1] if rng.random() < 0.5 else part, np.uint8, order="C")


def drawn_ground(longest: int, rng: np.random.Generator) -> Pixels:
    """Slopes, blots and stripes, out of focus: a place that is nowhere in particular."""
    canvas = _plain(longest, rng)
    high, wide = canvas.shape[:2]
    for _ in range(int(rng.integers(2, 9))):
        colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
        a, b = (tuple(int(v) for v in rng.integers(0, longest, 2)) for _ in range(2))
        if rng.random() < 0.5:
            cv2.line(canvas, a, b, colour, int(rng.integers(2, max(3, longest // 6))))
        else:
            axes = tuple(int(v) for v in rng.integers(4, max(5, longest // 3), 2))
            cv2.ellipse(canvas, a, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    # blurred at a quarter of the size: the eye cannot tell and it costs a sixteenth
    small = cv2.resize(canvas, (max(8, wide // 4), max(8, high // 4)), interpolation=cv2.INTER_AREA)
    canvas = cv2.resize(cv2.GaussianBlur(small, (0, 0), rng.uniform(0.5, 4)), (wide, high))
    return np.asarray((canvas + 40 * slope(high, wide, rng)).clip(0, 255), np.uint8)


def wall(longest: int, rng: np.random.Generator) -> Pixels:
    """A wall, floor, cloth or table top: one colour with a pattern, grain and uneven light."""
    canvas = _plain(longest // 2, rng)  # at half the size: walls have little that is fine
    high, wide = canvas.shape[:2]
    kind, pitch = rng.random(), int(rng.integers(4, max(5, longest // 10)))
    rows, columns = np.arange(high, dtype=np.float32)[:, None], np.arange(wide, dtype=np.float32)[None]
    depth = np.float32(rng.uniform(4, 30))
    if kind < 0.2:  # boards or corrugated metal
        canvas += (depth * np.sin(columns * np.float32(2 * np.pi / pitch)))[..., None]
    elif kind < 0.4:  # bricks or tiles
        shift = (rows // pitch % 2) * pitch
        joints = ((rows % pitch) < 2) | (((columns + shift) % (2 * pitch)) < 2)
        canvas -= (depth * joints)[..., None]
    elif kind < 0.55:  # checks or stripes
        other = np.array(thing_colour(rng), np.float32)
        on = ((columns // pitch) % 2) * ((rows // pitch) % 2 if kind < 0.48 else 1)
        canvas += (other - canvas) * (np.broadcast_to(on, (high, wide))[..., None] * np.float32(rng.uniform(0.2, 1)))
    for cell, strength in ((24, 14), (4, 7), (1, 5)):  # stains, weave and grain
        grain = rng.random((high // cell + 2, wide // cell + 2), np.float32) - 0.5
        canvas += np.float32(strength * rng.uniform(0.2, 1.6)) * cv2.resize(grain, (wide, high))[..., None]
    canvas *= 1 + np.float32(rng.uniform(0, 0.35)) * slope(high, wide, rng)
    return np.asarray(cv2.resize(canvas.clip(0, 255).astype(np.uint8), (2 * wide, 2 * high)), np.uint8)


def studio_colour(rng: np.random.Generator) -> Pixels:
    """The near-white of a packshot's ground, or a soft colour, (3,) uint8."""
    return (np.full(3, rng.uniform(236, 256)) if rng.random() < 0.75 else rng.uniform(120, 255, 3)).astype(np.uint8)


def slope(high: int, wide: int, rng: np.random.Generator) -> Floats:
    """A plane from about -1 to 1 in a random direction, (h, w, 1): light that falls off."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, wide, dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, high, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    return np.asarray((x + y)[..., None], np.float32)


def _plain(longest: int, rng: np.random.Generator) -> Floats:
    """One colour, as often dull as strong, upright or lying, (h, w, 3) float32."""
    high, wide = longest, max(8, round(longest * rng.uniform(0.6, 1.0)))
    if rng.random() < 0.5:
        high, wide = wide, high
    return np.broadcast_to(np.array(thing_colour(rng), np.float32), (high, wide, 3)).copy()
