"""How a mark is made: printed, worn, embossed, engraved, stitched or lit; and its colours."""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np

from vision.training.draw.piece import INK, Floats, Ink, Rgba


class Matter(Enum):
    """What a mark is made of."""

    PRINT = "print"
    WORN = "worn"
    EMBOSSED = "embossed"
    ENGRAVED = "engraved"
    STITCHED = "stitched"
    LIT = "lit"
    METAL = "metal"


_SHARES = {
    Matter.PRINT: 0.6,
    Matter.WORN: 0.07,
    Matter.EMBOSSED: 0.06,
    Matter.ENGRAVED: 0.05,
    Matter.STITCHED: 0.07,
    Matter.LIT: 0.08,
    Matter.METAL: 0.07,
}
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
LEAST_STEP = 60.0  # levels of luminance between a mark and a ground made for it; red on brown cannot be read
_RELIEF = {Matter.EMBOSSED, Matter.ENGRAVED}
MOST_DETAIL = 9.0  # mean Laplacian from which relief drowns in what is under it
LEAST_RELIEF = 40  # pixels of the longest side from which relief and thread can be told


def some_matter(longest: float, detail: float, rng: np.random.Generator) -> Matter:
    """Mostly print; relief, thread and light only for marks that are large enough to show it, relief on calm ground only.

    detail: mean absolute Laplacian of the ground there.
    """
    if longest < LEAST_RELIEF:
        return Matter.PRINT
    matter = list(_SHARES)[int(rng.choice(len(_SHARES), p=list(_SHARES.values())))]
    return Matter.PRINT if matter in _RELIEF and (detail > MOST_DETAIL or longest < 2 * LEAST_RELIEF) else matter


def printed(under: Floats, rgba: Rgba, matter: Matter, rng: np.random.Generator, *, strength: float = 1.0) -> Floats:
    """The ground with the mark on it. under: (h, w, 3) float32 0..255; rgba: (h, w, 4) uint8 of the same size."""
    alpha = rgba[..., 3:].astype(np.float32) * np.float32(strength / 255)
    if matter in _RELIEF:
        return _relief(under, alpha, raised=matter is Matter.EMBOSSED, rng=rng)
    # the weave, grain and folds of what it is printed on show through
    grey = under.mean(axis=2)
    folds = (grey + 25) / (_smooth(grey, 0.12 * max(grey.shape) + 1) + 25)
    colour = (
        rgba[..., :3].astype(np.float32) * (1 + (folds.clip(0.6, 1.4) - 1) * np.float32(rng.uniform(0.5, 1)))[..., None]
    )
    if matter is Matter.WORN:
        size = (max(2, under.shape[1] // 5), max(2, under.shape[0] // 5))
        rough = cv2.resize(rng.random((size[1], size[0]), np.float32), (under.shape[1], under.shape[0]))
        alpha = alpha * np.clip((rough[..., None] - np.float32(rng.uniform(0.05, 0.3))) * 6, 0.15, 1)
    if matter is Matter.STITCHED:
        rows, columns = np.mgrid[0 : under.shape[0], 0 : under.shape[1]]
        slope, pitch = rng.uniform(-1, 1), rng.uniform(2.5, 5)
        thread = 1 + 0.16 * np.sin((columns + slope * rows) * np.float32(2 * np.pi / pitch))
        rim = cv2.GaussianBlur(alpha, (0, 0), 1.2) - np.roll(cv2.GaussianBlur(alpha, (0, 0), 1.2), 2, axis=(0, 1))
        colour = colour * thread[..., None].astype(np.float32) * (1 + 0.5 * np.atleast_3d(rim))
    if matter is Matter.METAL:  # bright above, dark at the horizon, lit again below, with a rim of light and shade
        rows = np.linspace(0, 1, under.shape[0], dtype=np.float32)[:, None, None]
        bands = 150 + 70 * np.cos(rows * np.float32(rng.uniform(6, 14)) + np.float32(rng.uniform(0, 6)))
        soft = cv2.GaussianBlur(alpha, (0, 0), 1 + 0.01 * max(under.shape[:2]))
        rim = np.atleast_3d(cv2.Sobel(soft, cv2.CV_32F, 0, 1)) * np.float32(rng.uniform(60, 160))
        tint = np.array([1, 1, 1] if rng.random() < 0.75 else [1.05, 0.9, 0.6], np.float32)
        colour = ((0.25 * colour.mean(axis=2, keepdims=True) + 0.75 * bands) * tint + rim).clip(0, 255)
    if matter is Matter.LIT:
        glow = np.atleast_3d(_smooth(alpha[..., 0], 0.06 * max(under.shape[:2]) + 1))
        bright = colour + (255 - colour) * np.float32(rng.uniform(0.1, 0.5))
        under = under * np.float32(rng.uniform(0.55, 0.9))
        under = 255 - (255 - under) * (1 - bright / 255 * glow * np.float32(rng.uniform(0.3, 0.8)))
        colour = bright
    return np.asarray(under + (colour - under) * alpha, np.float32)


def _relief(under: Floats, alpha: Floats, *, raised: bool, rng: np.random.Generator) -> Floats:
    """Light from one side on a raised or cut edge, and a shade of the ground's own colour."""
    soft = cv2.GaussianBlur(alpha, (0, 0), max(0.7, 0.008 * max(under.shape[:2])))
    angle = rng.uniform(0, 2 * np.pi)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * np.float32(np.cos(angle)) + cv2.Sobel(
        soft, cv2.CV_32F, 0, 1
    ) * np.float32(np.sin(angle))
    depth = np.float32(rng.uniform(60, 130) * (1 if raised else -1))
    tone = np.float32(rng.choice([-1, 1]) * rng.uniform(0.08, 0.3) if raised else rng.uniform(-0.5, -0.2))
    return np.asarray(under * (1 + tone * np.atleast_3d(alpha)) + np.atleast_3d(slope) * depth, np.float32)


def _smooth(grey: Floats, sigma: float) -> Floats:
    """A Gaussian blur, made at a smaller size where sigma is large."""
    high, wide = grey.shape
    step = max(1, int(sigma / 2))
    small = cv2.resize(grey, (max(2, wide // step), max(2, high // step)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / step), (wide, high)), np.float32)


def brand_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Black, white, or a colour as strong as brands like them."""
    chance = rng.random()
    if chance < 0.3:
        return (18, 18, 20)
    if chance < 0.45:
        return (245, 245, 245)
    return _of_hue(rng, 120, 256, 90, 256)


def thing_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """What painted, woven and printed things are coloured like: more often white, black or dull than bright."""
    chance = rng.random()
    if chance < 0.3:
        return _of_hue(rng, 0, 12, 215, 256)
    if chance < 0.45:
        return _of_hue(rng, 0, 40, 8, 50)
    return _of_hue(rng, 10, 110, 50, 230) if chance < 0.75 else _of_hue(rng, 110, 240, 70, 230)


def _of_hue(rng: np.random.Generator, *limits: int) -> tuple[int, int, int]:
    """Any hue, with saturation and value in [low, high), each of 256."""
    low, high, dark, light = limits
    hsv = np.array([[[int(rng.integers(180)), int(rng.integers(low, high)), int(rng.integers(dark, light))]]], np.uint8)
    red, green, blue = (int(v) for v in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])
    return red, green, blue


def recoloured(ink: Ink, rng: np.random.Generator) -> Rgba:
    """Brand colour, black, white or any colour for a one-colour mark; a coloured one keeps its own, or is printed in one."""
    chance = rng.random()
    if ink.colour is None and chance < 0.75:
        return ink.rgba
    if ink.colour is not None and chance < 0.5:
        colour = np.array(ink.colour, np.float32)
    else:
        colour = np.array(brand_colour(rng), np.float32)
    alpha = ink.rgba[..., 3]
    if ink.colour is None:  # light parts of a coloured mark become the ground's
        grey = ink.rgba[..., :3].astype(np.float32).mean(axis=2) / 255
        lightest = float(grey[alpha >= INK].max(initial=0.0))
        if float(grey[alpha >= INK].min(initial=1.0)) < 0.5 < lightest:
            alpha = (alpha * np.clip(1.5 - 1.6 * grey, 0, 1)).astype(np.uint8)
        if np.count_nonzero(alpha >= INK) < 30:
            return ink.rgba
    return np.dstack([np.broadcast_to(colour.astype(np.uint8), (*alpha.shape, 3)), alpha])


def one_colour(ink: Rgba, colour: float) -> Rgba:
    """The mark in one grey level."""
    return np.dstack([np.full((*ink.shape[:2], 3), colour, np.uint8), ink[..., 3]])


def contrast(ink: Rgba, under: Floats) -> float:
    """How far the mark stands out from what lies under it, 0..255, for arrays of the same size."""
    solid = ink[..., 3] >= 128
    if not solid.any():
        return 0.0
    return float(np.abs(ink[solid, :3].astype(np.float32) - under[solid]).max(axis=1).mean())


def ground_for(ink: Rgba, rng: np.random.Generator) -> tuple[float, float, float]:
    """A plain colour that the mark stands out from."""
    solid = ink[..., 3] >= INK
    mean = ink[solid, :3].astype(np.float32).mean(axis=0) if solid.any() else np.zeros(3, np.float32)
    for _ in range(8):
        colour = np.array(thing_colour(rng), np.float64)
        if abs(float((colour - mean) @ _LUMINANCE)) > LEAST_STEP:
            break
    else:
        colour = np.full(3, 255.0 if mean.mean() < 128 else 0.0)
    red, green, blue = (float(v) for v in colour)
    return red, green, blue
