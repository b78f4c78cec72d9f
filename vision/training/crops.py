"""Crops to train the embedder on: a drawing becomes what a camera may see of it; a real crop is varied a little.

Everything is a function of its arguments and a seeded generator: the same seed draws the same crop. Drawings are never
mirrored: most logos carry letters. About 1,000 crops per CPU-second, so one core draws for several that train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.embed.contract import stretch
from vision.recognise import CROP_PADDING
from vision.values import Pixels

Rgba = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Longest side of a drawn logo in pixels, or the embedder's if that is larger. Boxes of real photographs have a median near 60;
# under 18 nothing is legible.
SMALLEST, LARGEST = 18, 128
SPARE = 0.35  # the surroundings kept around a real box, so that loose boxes and turned crops find pixels


@dataclass(frozen=True, slots=True)
class Artwork:
    """A vector drawing. rgba: (h, w, 4) uint8, straight alpha, cropped to ink. colour: RGB of a one-colour mark, or None."""

    rgba: Rgba
    colour: tuple[int, int, int] | None


def draw_crop(artwork: Artwork, grounds: Sequence[Pixels], rng: np.random.Generator, size: int) -> Pixels:
    """A crop (size, size, 3) uint8 RGB of a drawing as a photograph may show it, box a little loose.

    grounds: photographs (or drawn textures) that lie behind; with none the ground is plain.
    """
    ink = _recolour(artwork, rng)
    height, width = ink.shape[:2]
    longest = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(max(LARGEST, size)))))
    scale = min(
        longest * min(1.7, max(1.0, (max(height, width) / min(height, width)) ** 0.35)) / max(height, width), 1.0
    )
    ink = cv2.resize(ink, (max(3, round(width * scale)), max(3, round(height * scale))), interpolation=cv2.INTER_AREA)
    matrix, (wide, high) = _place(ink.shape[1], ink.shape[0], rng)
    warped = cv2.warpPerspective(ink, matrix, (wide, high), flags=cv2.INTER_LINEAR).astype(np.float32)
    colour, alpha = warped[..., :3], warped[..., 3:] / 255.0
    back = _ground(colour, alpha, grounds, rng)
    if rng.random() < 0.12:
        colour = _relief(colour, alpha[..., 0], rng, chrome=artwork.colour is not None and rng.random() < 0.5)
    if rng.random() < 0.15:  # a shadow thrown on the ground
        shift = np.array([[1, 0, rng.uniform(-0.06, 0.06) * wide], [0, 1, rng.uniform(0, 0.08) * high]], np.float32)
        shade = cv2.GaussianBlur(
            cv2.warpAffine(alpha[..., 0], shift, (wide, high)), (0, 0), 0.5 + 0.02 * max(wide, high)
        )
        back = back * (1 - rng.uniform(0.2, 0.6) * shade[..., None])
    opacity = rng.uniform(0.55, 0.9) if rng.random() < 0.1 else 1.0  # worn, or printed thinly
    pixels = back * (1 - opacity * alpha) + opacity * colour  # colour is premultiplied by alpha
    if rng.random() < 0.08:
        pixels = _cover(pixels, grounds, rng)
    return _photograph(pixels, rng, size)


def vary_crop(
    crop: Pixels,
    rng: np.random.Generator,
    size: int,
    *,
    turned: float = 0.0,
    mirrored: float = 0.0,
    covered: float = 0.0,
) -> Pixels:
    """A real crop with its surroundings (see `cut_with_spare`) as another photograph might show it: (size, size, 3) uint8.

    turned, mirrored, covered: the shares of crops turned by quarters, mirrored (the other side of a shoe), hidden at an edge.
    """
    if rng.random() < turned:
        crop = np.ascontiguousarray(np.rot90(crop, int(rng.integers(1, 4))))
    if rng.random() < mirrored:
        crop = np.ascontiguousarray(crop[:, ::-1])
    high, wide = crop.shape[:2]
    inner_w, inner_h = wide / (1 + 2 * SPARE), high / (1 + 2 * SPARE)
    # a detector's sides lie mostly within 5 % of the mark's, but not always
    spread = 0.05 if rng.random() < 0.75 else 0.11
    pads = (CROP_PADDING + rng.normal(0, spread, 4)).clip(-0.2, SPARE)
    left, right = SPARE * inner_w - inner_w * pads[0], SPARE * inner_w - inner_w * pads[1]
    top, bottom = SPARE * inner_h - inner_h * pads[2], SPARE * inner_h - inner_h * pads[3]
    corners = np.array(
        [[left, top], [wide - right, top], [wide - right, high - bottom], [left, high - bottom]], np.float32
    )
    angle = np.deg2rad(rng.normal(0, 6))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    centre = corners.mean(0)
    corners = (corners - centre) @ turn.T + centre
    corners += rng.normal(0, 0.025, (4, 2)).astype(np.float32) * np.array([inner_w, inner_h], np.float32)
    side = max(inner_w, inner_h)
    largest = 1.3 * max(LARGEST, size)
    longest = float(np.exp(rng.uniform(np.log(SMALLEST * 1.2), np.log(largest))))
    if rng.random() < 0.4:  # many boxes are small already: at other sizes, and blurred, too few would be legible
        longest = largest
    scale = min(1.0, longest / side)
    if scale < 0.75:  # average before sampling, or thin strokes break up
        crop = cv2.resize(
            crop, (max(4, round(wide * scale)), max(4, round(high * scale))), interpolation=cv2.INTER_AREA
        )
        corners = corners * np.array([crop.shape[1] / wide, crop.shape[0] / high], np.float32)
    w = max(4, round(float(np.ptp(corners[:, 0]))))
    h = max(4, round(float(np.ptp(corners[:, 1]))))
    matrix = cv2.getPerspectiveTransform(corners, np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32))
    pixels = cv2.warpPerspective(crop, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if rng.random() < 0.06:
        pixels = 255.0 - pixels
    if rng.random() < 0.15:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    elif rng.random() < 0.1:
        pixels = pixels[..., rng.permutation(3)]
    if rng.random() < covered:
        pixels = _cover(pixels, (), rng)
    return _photograph(pixels, rng, size, mild=True)


def plain_crop(crop: Pixels, size: int) -> Pixels:
    """A real crop with its surroundings as a scan cuts it: the box with `CROP_PADDING` around, (size, size, 3) uint8."""
    high, wide = crop.shape[:2]
    cut = (SPARE - CROP_PADDING) / (1 + 2 * SPARE)
    x, y = round(wide * cut), round(high * cut)
    return stretch(np.ascontiguousarray(crop[y : high - y, x : wide - x]), size)


def cut_with_spare(picture: Pixels, box: Sequence[float], longest: int = 320) -> Pixels:
    """The box of a picture with `SPARE` of its size around it (edges repeated outside the picture), longest side bounded."""
    left, top, right, bottom = box
    pad_x, pad_y = SPARE * (right - left), SPARE * (bottom - top)
    x1, y1, x2, y2 = (round(v) for v in (left - pad_x, top - pad_y, right + pad_x, bottom + pad_y))
    high, wide = picture.shape[:2]
    x2, y2 = max(x2, x1 + 2), max(y2, y1 + 2)
    inside = picture[max(0, y1) : min(high, y2), max(0, x1) : min(wide, x2)]
    crop = cv2.copyMakeBorder(
        inside, max(0, -y1), max(0, y2 - high), max(0, -x1), max(0, x2 - wide), cv2.BORDER_REPLICATE
    )
    scale = longest / max(crop.shape[:2])
    if scale < 1:
        crop = cv2.resize(
            crop,
            (max(4, round(crop.shape[1] * scale)), max(4, round(crop.shape[0] * scale))),
            interpolation=cv2.INTER_AREA,
        )
    return np.ascontiguousarray(crop)


def draw_ground(rng: np.random.Generator, side: int = 200) -> Pixels:
    """A texture (side, side, 3) uint8 for trainings without photographs: soft blotches, lines and grain in random colours."""
    coarse = rng.uniform(0, 255, (int(rng.integers(2, 7)), int(rng.integers(2, 7)), 3)).astype(np.float32)
    ground = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 9))):
        ends = [tuple(int(v) for v in rng.integers(0, side, 2)) for _ in range(2)]
        cv2.line(ground, ends[0], ends[1], tuple(float(v) for v in rng.uniform(0, 255, 3)), int(rng.integers(1, 12)))
    grain = rng.normal(0, rng.uniform(0, 14), ground.shape)
    return np.asarray((ground + grain).clip(0, 255), dtype=np.uint8)


def random_patches(
    picture: Pixels, n: int, rng: np.random.Generator, boxes: Sequence[Sequence[float]] = ()
) -> list[Pixels]:
    """Up to n crops of random place, size and shape; those that touch one of the boxes are left out."""
    high, wide = picture.shape[:2]
    found = []
    for _ in range(n):
        side = np.exp(rng.uniform(np.log(20), np.log(max(24, 0.7 * min(high, wide)))))
        aspect = np.exp(rng.normal(0, 0.5))
        w, h = int(min(wide, side * aspect**0.5)), int(min(high, side / aspect**0.5))
        x, y = int(rng.integers(0, wide - w + 1)), int(rng.integers(0, high - h + 1))
        if w > 7 and h > 7 and not any(x < b[2] and x + w > b[0] and y < b[3] and y + h > b[1] for b in boxes):
            found.append(picture[y : y + h, x : x + w].copy())  # a view would keep the picture in memory
    return found


def _recolour(artwork: Artwork, rng: np.random.Generator) -> Rgba:
    """The drawing in the colours of this crop, colours premultiplied by alpha (so that resizing does not fringe)."""
    rgba = artwork.rgba
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    chance = rng.random()
    if artwork.colour is not None or chance < 0.15:
        colour = np.array(artwork.colour or (0, 0, 0), np.float32)
        if artwork.colour is None or chance > 0.4:
            colour = _any_colour(rng)
        rgb = np.broadcast_to(colour, (*rgba.shape[:2], 3))
        if artwork.colour is None and rng.random() < 0.7:  # the drawing's own light and dark, in one hue
            grey = rgba[..., :3].astype(np.float32).mean(axis=2, keepdims=True) / 255.0
            rgb = colour * (1 - grey) + (255 - colour) * grey
    else:
        rgb = rgba[..., :3].astype(np.float32)
        if chance < 0.35:
            rgb = _shift_hue(rgb, rng)
        elif chance < 0.45:
            rgb = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2)
        elif chance < 0.5:
            rgb = 255.0 - rgb
    return np.concatenate([rgb * alpha, rgba[..., 3:].astype(np.float32)], axis=2).astype(np.uint8)


def _any_colour(rng: np.random.Generator) -> Floats:
    chance = rng.random()
    if chance < 0.3:
        return np.full(3, rng.uniform(0, 45), np.float32)
    if chance < 0.6:
        return np.full(3, rng.uniform(215, 255), np.float32)
    if chance < 0.68:  # gold, silver, steel
        tone = np.array([[212, 175, 95], [190, 190, 195], [120, 125, 130]][rng.integers(3)], np.float32)
        return np.asarray(tone * rng.uniform(0.7, 1.15), np.float32).clip(0, 255)
    return rng.uniform(0, 255, 3).astype(np.float32)


def _shift_hue(rgb: Floats, rng: np.random.Generator) -> Floats:
    hsv = cv2.cvtColor(rgb.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(-90, 90))) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)


def _place(width: int, height: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """How the drawing lies in its crop: a homography, and the crop's width and height (the box of the warped ink, padded)."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    chance = rng.random()
    angle = np.deg2rad(rng.normal(0, 4 if chance < 0.6 else 14))
    if chance > 0.97:
        angle += np.pi / 2 * float(rng.integers(1, 4))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    shear = np.array([[1, rng.normal(0, 0.06)], [rng.normal(0, 0.03), 1]], np.float32)
    squeeze = np.exp(np.array([rng.normal(0, 0.12), rng.normal(0, 0.12)], np.float32))
    moved = (corners - corners.mean(0)) * squeeze @ shear.T @ turn.T
    moved += rng.normal(0, 0.045, (4, 2)).astype(np.float32) * np.ptp(moved, axis=0)
    low, extent = moved.min(0), np.ptp(moved, axis=0)
    spread = 0.05 if rng.random() < 0.8 else 0.11
    pads = np.array([CROP_PADDING + rng.normal(0, spread) for _ in range(4)], np.float32).clip(-0.12, 0.35)
    left, top = low[0] - pads[0] * extent[0], low[1] - pads[1] * extent[1]
    wide = max(4, round(float(extent[0] * (1 + pads[0] + pads[2]))))
    high = max(4, round(float(extent[1] * (1 + pads[1] + pads[3]))))
    matrix = cv2.getPerspectiveTransform(corners, (moved - np.array([left, top])).astype(np.float32))
    return np.asarray(matrix, np.float64), (wide, high)


def _ground(colour: Floats, alpha: Floats, grounds: Sequence[Pixels], rng: np.random.Generator) -> Floats:
    """What lies behind the ink, (h, w, 3) float32 0..255: paper, a plate, a photograph, with enough contrast to be read."""
    high, wide = alpha.shape[:2]
    mean = colour.sum(axis=(0, 1)) / max(float(alpha.sum()), 1e-3)  # colour is premultiplied
    back = np.broadcast_to(_paper(mean, rng), (high, wide, 3)).astype(np.float32)
    if grounds and rng.random() < 0.55:
        photo = _patch(grounds, wide, high, rng)
        if rng.random() < 0.5:  # cloth, wood, metal in the plate's colour: the photograph's light, not its hue
            grey = photo.mean(axis=2, keepdims=True)
            back = back + (grey - grey.mean()) * rng.uniform(0.15, 0.6)
        else:
            if float(np.abs(photo.mean(axis=(0, 1)) - mean).max()) < 50:
                photo = photo * 0.35 if mean.mean() > 128 else 255 - (255 - photo) * 0.35
            back = _plate(photo, back, rng) if rng.random() < 0.35 else photo
    if rng.random() < 0.3:
        back = back + _slope(wide, high, rng) * rng.uniform(10, 60)
    return back.clip(0, 255).astype(np.float32)


def _paper(ink: Floats, rng: np.random.Generator) -> Floats:
    """A plain colour on which ink of that colour can be seen: a mark is made to be seen, few are printed tone on tone."""
    chance = rng.random()
    if chance < 0.2:
        plain = np.full(3, rng.uniform(225, 255), np.float32)
    elif chance < 0.3:
        plain = np.full(3, rng.uniform(0, 40), np.float32)
    else:
        plain = _any_colour(rng)
    for _ in range(6):
        if np.abs(plain - ink).max() > 60:
            break
        plain = _any_colour(rng) if rng.random() < 0.5 else np.full(3, 255.0 if ink.mean() < 128 else 0.0, np.float32)
    return plain


def _plate(photo: Floats, plain: Floats, rng: np.random.Generator) -> Floats:
    """A plain plate around the mark, a rectangle or an ellipse, on the photograph."""
    high, wide = photo.shape[:2]
    mask = np.zeros((high, wide), np.uint8)
    inset_x, inset_y = int(wide * rng.uniform(0, 0.07)), int(high * rng.uniform(0, 0.07))
    if rng.random() < 0.3:
        cv2.ellipse(mask, (wide // 2, high // 2), (wide // 2, high // 2), 0, 0, 360, 255, -1)
    else:
        cv2.rectangle(mask, (inset_x, inset_y), (wide - 1 - inset_x, high - 1 - inset_y), 255, -1)
    cover = (mask / 255.0)[..., None].astype(np.float32)
    return photo * (1 - cover) + plain * cover


def _patch(grounds: Sequence[Pixels], wide: int, high: int, rng: np.random.Generator) -> Floats:
    photo = grounds[int(rng.integers(len(grounds)))]
    h, w = photo.shape[:2]
    zoom = min(float(np.exp(rng.uniform(np.log(0.6), np.log(4)))), w / wide, h / high)
    cut_w, cut_h = max(2, int(wide * zoom)), max(2, int(high * zoom))
    x, y = int(rng.integers(0, max(1, w - cut_w + 1))), int(rng.integers(0, max(1, h - cut_h + 1)))
    cut = cv2.resize(photo[y : y + cut_h, x : x + cut_w], (wide, high), interpolation=cv2.INTER_AREA)
    return np.asarray(cut, np.float32)


def _slope(wide: int, high: int, rng: np.random.Generator) -> Floats:
    """A plane from about -1 to 1 in a random direction, (h, w, 1): light that falls off."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, wide, dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, high, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    return np.asarray((x + y)[..., None], np.float32)


def _relief(colour: Floats, alpha: Floats, rng: np.random.Generator, *, chrome: bool) -> Floats:
    """Raised or pressed marks: edges are lit from one side; chrome badges: faces go from light to dark."""
    soft = cv2.GaussianBlur(alpha, (0, 0), max(0.6, 0.015 * max(alpha.shape)))
    angle = rng.uniform(0, 2 * np.pi)
    light = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * np.cos(angle) + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * np.sin(angle)
    face = colour
    if chrome:
        bands = np.sin(np.linspace(0, rng.uniform(2, 7), alpha.shape[0]) + rng.uniform(0, 6)).astype(np.float32)
        face = np.broadcast_to((170 + 60 * bands)[:, None, None], colour.shape) * alpha[..., None]
    lit = face + (light * rng.uniform(60, 160) * alpha)[..., None]
    return np.asarray(lit.clip(0, 255), np.float32)


def _cover(pixels: Floats, grounds: Sequence[Pixels], rng: np.random.Generator) -> Floats:
    """Something in front of a part of the mark, at an edge."""
    high, wide = pixels.shape[:2]
    w, h = max(1, int(wide * rng.uniform(0.1, 0.4))), max(1, int(high * rng.uniform(0.1, 0.4)))
    x, y = int(rng.choice([0, wide - w])), int(rng.integers(0, high - h + 1))
    pixels = pixels.copy()
    pixels[y : y + h, x : x + w] = _patch(grounds, w, h, rng) if grounds else rng.uniform(0, 255, 3)
    return pixels


def _photograph(pixels: Floats, rng: np.random.Generator, size: int, *, mild: bool = False) -> Pixels:
    """Light, blur, noise and JPEG of a camera at the crop's own resolution, then the embedder's stretch."""
    high, wide = pixels.shape[:2]
    strength = 0.6 if mild else 1.0
    gain = rng.normal(1, 0.18 * strength) * rng.normal(1, 0.06 * strength, 3)
    pixels = (pixels - 128) * np.float32(max(0.3, rng.normal(1, 0.2 * strength))) + 128
    pixels = pixels * gain.clip(0.45, 1.6).astype(np.float32) + np.float32(rng.normal(0, 12 * strength))
    if rng.random() < 0.25 * strength:
        pixels = pixels * (1 + 0.35 * _slope(wide, high, rng))
    if rng.random() < 0.08 * strength:  # glare
        spot = np.zeros((high, wide), np.float32)
        cv2.circle(spot, (int(rng.integers(wide)), int(rng.integers(high))), max(1, min(wide, high) // 4), 1.0, -1)
        pixels = pixels + 130 * cv2.GaussianBlur(spot, (0, 0), max(1.0, 0.12 * max(wide, high)))[..., None]
    shortest = min(wide, high)
    if rng.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.25, min(1.6, 0.3 + 0.02 * shortest)))
    if rng.random() < 0.12 * strength and shortest > 16:
        length = int(rng.integers(2, max(3, shortest // 8) + 1))
        kernel = np.full((1, length), 1 / length, np.float32)
        pixels = cv2.filter2D(pixels, -1, kernel if rng.random() < 0.7 else kernel.T)
    if rng.random() < 0.5:
        pixels = pixels + rng.normal(0, rng.uniform(1, 12 * strength), pixels.shape).astype(np.float32)
    seen: Any = pixels.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        quality = int(rng.uniform(30, 95))
        seen = cv2.imdecode(cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return stretch(seen, size)
