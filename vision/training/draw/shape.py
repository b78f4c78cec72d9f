"""Size, turn, perspective and curve of what is laid into a picture; marks stay where their pixels go."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from vision.training.draw.piece import INK, Piece, Rgba


def resized(rgba: Rgba, wide: int, high: int) -> Rgba:
    """At another size, without the colour of invisible pixels bleeding into the edges."""
    wide, high = max(1, wide), max(1, high)
    if (high, wide) == rgba.shape[:2]:
        return rgba
    shrinks = wide * high < rgba.shape[0] * rgba.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if not shrinks or rgba[..., 3].min() == 255:
        return np.asarray(cv2.resize(rgba, (wide, high), interpolation=how), np.uint8)
    alpha = rgba[..., 3:].astype(np.float32)
    both = cv2.resize(np.dstack([rgba[..., :3] * (alpha / 255), alpha]), (wide, high), interpolation=how)
    rgb = both[..., :3] / np.maximum(both[..., 3:] / 255, 1e-3)
    return np.dstack([rgb.clip(0, 255), both[..., 3]]).astype(np.uint8)


def fitted(rgba: Rgba, longest: float) -> Rgba:
    """With that longest side."""
    scale = longest / max(rgba.shape[:2])
    return resized(rgba, round(rgba.shape[1] * scale), round(rgba.shape[0] * scale))


def seen_aslant(
    piece: Piece, longest: float, rng: np.random.Generator, *, turn: float, depth: float = 0.05, squeeze: float = 0.1
) -> Piece:
    """The piece with about that longest side, turned by some degrees, stretched a little and seen from the side.

    turn: degrees, most turns are under a third of it. depth: how far corners move, as a share of the sides.
    """
    rgba, marks = piece.rgba, piece.marks
    scale = longest / max(rgba.shape[:2])
    if scale < 1:
        rgba = fitted(rgba, longest)
        marks = cv2.resize(marks, (rgba.shape[1], rgba.shape[0]), interpolation=cv2.INTER_NEAREST)
        scale = 1.0
    high, wide = rgba.shape[:2]
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    angle = np.deg2rad(rng.normal(0, turn / 4 if rng.random() < 0.75 else turn / 2))
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    stretch = np.exp(rng.normal(0, squeeze, 2)).astype(np.float32)
    moved = ((corners - corners.mean(0)) * stretch * scale) @ turned
    moved += rng.normal(0, depth, (4, 2)).astype(np.float32) * np.ptp(moved, axis=0)
    moved -= moved.min(axis=0) - 1
    size = tuple(int(v) for v in np.ceil(moved.max(axis=0)) + 2)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    warped = np.asarray(cv2.warpPerspective(rgba, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
    return replace(piece, rgba=warped, marks=_follow(piece, marks, warped, matrix, size))


def _follow(
    piece: Piece, marks: npt.NDArray[np.uint8], warped: Rgba, matrix: npt.NDArray[np.float64], size: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Where the marks went: for a mark alone its own alpha says it exactly."""
    if not piece.solid and marks.max(initial=0) == 1:
        return (warped[..., 3] >= INK).astype(np.uint8)
    return np.asarray(cv2.warpPerspective(marks, matrix, size, flags=cv2.INTER_NEAREST), np.uint8)


def on_cylinder(piece: Piece, rng: np.random.Generator) -> Piece:
    """Bent round an upright can or bottle: narrower to the sides, sagging in the middle, darker at the edges."""
    high, wide = piece.rgba.shape[:2]
    reach = rng.uniform(0.55, 0.97)  # the share of the visible half that the piece covers
    sag = rng.uniform(0.0, 0.12) * wide
    out_high = int(np.ceil(high + sag)) + 1
    x = (np.arange(wide, dtype=np.float32) + 0.5) / wide * 2 - 1
    from_x = (np.arcsin(x * np.float32(np.sin(reach * np.pi / 2))) / np.float32(reach * np.pi / 2) + 1) / 2 * wide - 0.5
    drop = sag * np.sqrt(np.clip(1 - (x * reach) ** 2, 0, 1)).astype(np.float32)
    map_x = np.broadcast_to(from_x[None], (out_high, wide)).astype(np.float32)
    map_y = np.arange(out_high, dtype=np.float32)[:, None] - drop[None]
    rgba = np.asarray(cv2.remap(piece.rgba, map_x, map_y, cv2.INTER_LINEAR), np.uint8).copy()
    marks = np.asarray(cv2.remap(piece.marks, map_x, map_y, cv2.INTER_NEAREST), np.uint8)
    light = rng.uniform(-0.5, 0.5)
    shade = 0.45 + 0.62 * np.sqrt(np.clip(1 - (x * reach - light * 0.5) ** 2, 0, 1))
    shine = rng.uniform(0, 70) * np.exp(-(((x - light) / 0.12) ** 2))
    rgb = rgba[..., :3] * shade[None, :, None] + shine[None, :, None]
    rgba[..., :3] = rgb.clip(0, 255).astype(np.uint8)
    return replace(piece, rgba=rgba, marks=marks)
