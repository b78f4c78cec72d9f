"""Real logos cut from training pictures: keyed from plain ground as a mark, or with a piece of their surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledPicture
from vision.images import read_picture
from vision.training.draw.piece import CutOut, Floats, Ink, Piece, Rgba, extent
from vision.values import Pixels

LEAST_CROP = 28  # pixels of the shorter side of a logo that is cut out
MOST_SIDE = 288  # pixels of a cut-out; pasted ones are rarely larger
MOST_SHIFT = 60.0  # levels that a cut-out's colours are moved at most; more turns red cans pink
_KEYED_FAR, _KEYED_NEAR = 60.0, 22.0  # colour distance from the ground that is surely ink, surely ground


def cut_outs(pictures: Sequence[LabelledPicture], most: int) -> tuple[tuple[Ink, ...], tuple[CutOut, ...]]:
    """(keyed, surrounded): at most so many logos in all, the brands taking turns so that none outweighs the others."""
    by_brand: dict[str, list[tuple[int, int]]] = {}
    for number, picture in enumerate(pictures):
        for index, box in enumerate(picture.boxes):
            least = min(box.box[2] - box.box[0], box.box[3] - box.box[1])
            if box.kind == "logo" and not box.ignore and least >= LEAST_CROP:
                by_brand.setdefault(box.brand or "", []).append((number, index))
    rng = np.random.default_rng(1)
    queues = [[by_brand[name][i] for i in rng.permutation(len(by_brand[name]))] for name in sorted(by_brand)]
    chosen: list[tuple[int, int]] = []
    while len(chosen) < most and any(queues):
        chosen += [queue.pop() for queue in queues if queue]
    keyed: list[Ink] = []
    surrounded: list[CutOut] = []
    pixels, last = np.zeros((1, 1, 3), np.uint8), -1
    for number, index in sorted(chosen[:most]):
        if number != last:
            pixels, last = read_picture(pictures[number].path).pixels, number
        cut = _with_surroundings(pixels, pictures[number], index, rng)
        left, top, right, bottom = cut.box
        ink = key_out(cut.rgb[top:bottom, left:right])
        if ink is not None:
            keyed.append(ink)
        else:
            surrounded.append(cut)
    return tuple(keyed), tuple(surrounded)


def key_out(rgb: Pixels) -> Ink | None:
    """A mark freed from its plain ground; None when the border of the crop has no one colour, or too little or much is left."""
    edge = max(1, min(rgb.shape[:2]) // 30)
    border = np.concatenate([part.reshape(-1, 3) for part in (rgb[:edge], rgb[-edge:], rgb[:, :edge], rgb[:, -edge:])])
    ground = np.median(border, axis=0).astype(np.float32)
    away = np.abs(border - ground).max(axis=1)
    # a tight box touches the ink here and there, so some of the border may be another colour
    if np.percentile(away, 72) > _KEYED_NEAR * 0.8:
        return None
    apart = np.abs(rgb - ground).max(axis=2)
    alpha = ((apart - _KEYED_NEAR) / (_KEYED_FAR - _KEYED_NEAR)).clip(0, 1)
    share = float((alpha > 0.5).mean())
    clear = float(((alpha < 0.02) | (alpha > 0.98)).mean())
    if not 0.08 < share < 0.8 or clear < 0.78:
        return None
    free = (rgb - ground * (1 - alpha[..., None])) / np.maximum(alpha[..., None], 0.05)
    rgba = np.dstack([free.clip(0, 255), alpha * 255]).astype(np.uint8)
    left, top, right, bottom = extent(rgba[..., 3] >= 128)
    return Ink(np.ascontiguousarray(rgba[top:bottom, left:right]))


def as_piece(cut: CutOut, rng: np.random.Generator, *, sharp: bool) -> Piece:
    """The cut-out with soft sides, or with the sharp ones of a label or sticker."""
    left, top, right, bottom = cut.box
    high, wide = cut.rgb.shape[:2]
    if sharp:  # a sticker shows little of what was round the logo
        pad = max(1, round(0.08 * min(right - left, bottom - top)))
        y, x = slice(max(0, top - pad), bottom + pad), slice(max(0, left - pad), right + pad)
        rgb, marks = cut.rgb[y, x], cut.marks[y, x]
        return Piece(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]), marks, cut.unsure)
    return Piece(np.dstack([cut.rgb, _soft_sides(high, wide, cut.box)]), cut.marks, cut.unsure, grounded=True)


def toned(piece: Piece, under: Floats) -> Piece:
    """The cut-out with its surroundings brought to the colours under its sides (a membrane, as in Poisson blending).

    under: (h, w, 3) float32 of the piece's size. The difference along the rim is spread smoothly over the inside.
    """
    high, wide = piece.rgba.shape[:2]
    size = (min(wide, 32), min(high, 32))
    own = cv2.resize(piece.rgba[..., :3], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    other = cv2.resize(under, size, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(piece.rgba[..., 3], size, interpolation=cv2.INTER_AREA)
    rim = ((alpha > 10) & (alpha < 215)).astype(np.float32)[..., None]
    if rim.sum() < 8:
        return piece
    difference, weight = (other - own) * rim, rim
    spread, total = np.zeros_like(difference), np.zeros_like(np.atleast_3d(weight))
    for sigma, share in ((1.5, 1.0), (5.0, 0.08), (14.0, 0.01)):
        spread += share * cv2.GaussianBlur(difference, (0, 0), sigma)
        total += share * np.atleast_3d(cv2.GaussianBlur(weight, (0, 0), sigma))
    shift = cv2.resize(
        (spread / (total + 1e-5)).clip(-MOST_SHIFT, MOST_SHIFT), (wide, high), interpolation=cv2.INTER_LINEAR
    )
    rgb = (piece.rgba[..., :3] + shift).clip(0, 255).astype(np.uint8)
    return Piece(np.dstack([rgb, piece.rgba[..., 3]]), piece.marks, piece.unsure, product=piece.product, grounded=True)


def rim_distance(rgba: Rgba, under: Floats) -> float:
    """How far the cut-out's surroundings and the ground under them lie apart on average, 0..255: what toning must bridge."""
    rim = (rgba[..., 3] > 10) & (rgba[..., 3] < 215)
    if not rim.any():
        return 255.0
    apart = cv2.blur(rgba[..., :3].astype(np.float32), (5, 5)) - cv2.blur(under, (5, 5))
    return float(np.abs(apart[rim]).max(axis=1).mean())


def _with_surroundings(pixels: Pixels, picture: LabelledPicture, index: int, rng: np.random.Generator) -> CutOut:
    """The logo with a margin all round; other logos that the margin catches are marks of their own."""
    left, top, right, bottom = picture.boxes[index].box
    # where nobody searched for unboxed logos a wide margin might bring one in
    margin = rng.uniform(0.15, 0.7 if picture.looked_at else 0.3) * max(min(right - left, bottom - top), 24)
    high, wide = pixels.shape[:2]
    x1, y1 = max(0, int(left - margin)), max(0, int(top - margin))
    x2, y2 = min(wide, int(np.ceil(right + margin))), min(high, int(np.ceil(bottom + margin)))
    rgb = pixels[y1:y2, x1:x2]
    scale = min(1.0, MOST_SIDE / max(rgb.shape[:2]))
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    marks = np.zeros(rgb.shape[:2], np.uint8)
    unsure, own = set(), (0, 0, 0, 0)
    logos = [b for b in picture.boxes if b.kind == "logo"]
    order = sorted(logos, key=lambda b: -(b.box[2] - b.box[0]) * (b.box[3] - b.box[1]))  # small ones stay on top
    for number, box in enumerate(order[:250], 1):
        a, b, c, d = ((v - o) * scale for v, o in zip(box.box, (x1, y1, x1, y1), strict=True))
        region = tuple(round(v) for v in (max(a, 0), max(b, 0), min(c, rgb.shape[1]), min(d, rgb.shape[0])))
        if region[2] <= region[0] or region[3] <= region[1]:
            continue
        marks[region[1] : region[3], region[0] : region[2]] = number
        whole = (c - a) * (d - b)
        if box.ignore or (region[2] - region[0]) * (region[3] - region[1]) < 0.8 * whole:
            unsure.add(number)
        if box is picture.boxes[index]:
            own = region
    return CutOut(np.ascontiguousarray(rgb), marks, frozenset(unsure), (own[0], own[1], own[2], own[3]))


def _soft_sides(high: int, wide: int, box: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    """Alpha that is full over the box and falls to nothing towards the sides, round at the corners."""
    # where the logo was cut at the border of its picture the sides are softened inwards, or a straight edge would tell
    least = max(2, round(0.04 * min(high, wide)))
    left, top = max(box[0], least), max(box[1], least)
    right, bottom = min(box[2], wide - least), min(box[3], high - least)
    x = np.arange(wide, dtype=np.float32)
    y = np.arange(high, dtype=np.float32)
    out_x = np.maximum((left - x) / left, (x - right + 1) / (wide - right)).clip(0, 1)
    out_y = np.maximum((top - y) / top, (y - bottom + 1) / (high - bottom)).clip(0, 1)
    out = np.sqrt(out_x[None] ** 2 + out_y[:, None] ** 2).clip(0, 1)
    eased = 0.5 + 0.5 * np.cos(np.pi * np.clip((out - 0.1) / 0.9, 0, 1))
    return np.asarray(eased * 255, np.uint8)
