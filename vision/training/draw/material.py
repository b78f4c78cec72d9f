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


_SHARES = {
    Matter.PRINT: 0.62,
    Matter.WORN: 0.08,
    Matter.EMBOSSED: 0.08,
    Matter.ENGRAVED: 0.06,
    Matter.STITCHED: 0.08,
    Matter.LIT: 0.08,
}
LEAST_RELIEF = 40  # pixels of the longest side from which relief and thread can be told


def some_matter(longest: float, rng: np.random.Generator) -> Matter:
    """Mostly print; relief, thread and light only for marks that are large enough to show it."""
    if longest < LEAST_RELIEF:
        return Matter.PRINT
    return list(_SHARES)[int(rng.choice(len(_SHARES), p=list(_SHARES.values())))]


def printed(under: Floats, rgba: Rgba, matter: Matter, rng: np.random.Generator, *, strength: float = 1.0) -> Floats:
    """The ground with the mark on it. under: (h, w, 3) float32 0..255; rgba: (h, w, 4) uint8 of the same size."""
    alpha = rgba[..., 3:].astype(np.float32) * np.float32(strength / 255)
    if matter in {Matter.EMBOSSED, Matter.ENGRAVED}:
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
    depth = np.float32(rng.uniform(35, 80) * (1 if raised else -1))
    tone = np.float32(rng.uniform(-0.3, 0.3) if raised else rng.uniform(-0.45, -0.1))
    return np.asarray(under * (1 + tone * np.atleast_3d(alpha)) + np.atleast_3d(slope) * depth, np.float32)


def _smooth(grey: Floats, sigma: float) -> Floats:
    """A Gaussian blur, made at a smaller size where sigma is large."""
    high, wide = grey.shape
    step = max(1, int(sigma / 2))
    small = cv2.resize(grey, (max(2, wide // step), max(2, high // step)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / step), (wide, high)), np.float32)


def recoloured(ink: Ink, rng: np.random.Generator) -> Rgba:
    """Brand colour, black, white or any colour for a one-colour mark; a coloured one keeps its own, or is printed in one."""
    chance = rng.random()
    if ink.colour is None and chance < 0.75:
        return ink.rgba
    if ink.colour is not None and chance < 0.5:
        colour = np.array(ink.colour, np.float32)
    else:
        colour = (np.full(3, 20), np.full(3, 245), rng.uniform(0, 255, 3))[int(rng.integers(3))].astype(np.float32)
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
    """A plain colour that the mark stands out from: white half the time, black, or any."""
    solid = ink[..., 3] >= INK
    mean = ink[solid, :3].astype(np.float32).mean(axis=0) if solid.any() else np.zeros(3, np.float32)
    for _ in range(8):
        chance = rng.random()
        colour = np.full(3, 255.0) if chance < 0.45 else np.full(3, 10.0) if chance < 0.6 else rng.uniform(0, 255, 3)
        if np.abs(colour - mean).max() > 75:
            break
    else:
        colour = np.full(3, 255.0 if mean.mean() < 128 else 0.0)
    red, green, blue = (float(v) for v in colour)
    return red, green, blue
