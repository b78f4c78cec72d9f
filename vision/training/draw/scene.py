"""Drawn pictures for the detector: logos and packshots laid into photographs, every box known because we put it there.

A `Stock` is what may be drawn with; `draw_scene(stock, seed)` is a pure function of the two. Four kinds of picture come out:
logos in a photograph, products in a photograph, one clean logo that fills the picture, one packshot on its white ground.
Logos that packshots show by themselves are not known: their region comes as an `ignore` box, neither taught nor punished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledBox
from vision.values import Pixels

Rgba = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Longest side of a pasted logo as a share of the picture's: real boxes lie between 4 and 60 %, median near 15 %.
SMALLEST, LARGEST = 0.05, 0.6
LEAST_SIDE = 8  # pixels; smaller marks are not legible
INK = 40  # alpha (of 255) from which a pixel counts for the box
SHARES = {"logos": 0.5, "products": 0.25, "clean_logo": 0.15, "packshot": 0.1}


@dataclass(frozen=True, slots=True)
class Ink:
    """A mark to lay on a ground. rgba: (h, w, 4) uint8, straight alpha. colour: RGB of a one-colour mark, else None."""

    rgba: Rgba
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """What pictures are drawn with; only `inks` must not be empty.

    inks: groups of marks with the weight of each group. photos: grounds; drawn grounds take their place when there are none.
    packshots: (h, w, 4) uint8, products cut from their white ground.
    """

    inks: tuple[tuple[float, tuple[Ink, ...]], ...]
    photos: tuple[Pixels, ...] = ()
    packshots: tuple[Rgba, ...] = ()
    longest: tuple[int, int] = (320, 512)


@dataclass(frozen=True, slots=True)
class Scene:
    """One drawn picture: (h, w, 3) uint8 RGB and its boxes, clipped to the picture."""

    pixels: Pixels
    boxes: tuple[LabelledBox, ...]
    subject: str


def draw_scene(stock: Stock, seed: int) -> Scene:
    """The picture with that number: the same stock and seed give the same picture."""
    rng = np.random.default_rng([seed, 7])
    subjects = [s for s in SHARES if stock.packshots or s in {"logos", "clean_logo"}]
    shares = np.array([SHARES[s] for s in subjects])
    subject = str(rng.choice(subjects, p=shares / shares.sum()))
    if subject == "clean_logo":
        pixels, boxes = _clean_logo(stock, rng)
    elif subject == "packshot":
        pixels, boxes = _packshot(stock, rng)
    else:
        pixels, boxes = _ground(stock, rng), []
        if subject == "products":
            pixels, boxes = _with_products(pixels, stock, rng)
        pixels, boxes = _with_logos(pixels, boxes, stock, rng)
    return Scene(photograph(pixels, rng), tuple(boxes), subject)


def photograph(pixels: Floats, rng: np.random.Generator) -> Pixels:
    """Light, blur, noise and JPEG of an everyday camera: (h, w, 3) float32 0..255 to uint8."""
    pixels = (pixels - 128) * np.float32(max(0.4, rng.normal(1, 0.12))) + 128 + np.float32(rng.normal(0, 8))
    pixels = pixels * rng.normal(1, 0.04, 3).astype(np.float32)
    if rng.random() < 0.3:
        pixels = pixels * (1 + np.float32(rng.uniform(0.05, 0.3)) * _slope(pixels.shape[0], pixels.shape[1], rng))
    if rng.random() < 0.35:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.3:
        pixels = pixels + rng.normal(0, rng.uniform(1, 7), pixels.shape).astype(np.float32)
    sharp: Pixels = pixels.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.8:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 93))]
        coded = cv2.imencode(".jpg", sharp, quality)[1]
        sharp = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return sharp


def cut_from_white(pixels: Pixels) -> Rgba | None:
    """A packshot cut from its white ground, (h, w, 4) uint8 cropped to the product; None where no ground can be told apart."""
    near_white = (pixels.min(axis=2) >= 244).astype(np.uint8)
    framed = np.pad(near_white, 1, constant_values=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    alpha = np.where(framed[1:-1, 1:-1] == 2, 0, 255).astype(np.uint8)
    alpha = cv2.morphologyEx(alpha, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    share = float((alpha > 0).mean())
    if not 0.05 < share < 0.9:
        return None
    alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3), np.uint8)), (0, 0), 0.7)
    left, top, right, bottom = (int(v) for v in _extent(alpha))
    return np.dstack([pixels, alpha])[top:bottom, left:right]


def _clean_logo(stock: Stock, rng: np.random.Generator) -> tuple[Floats, list[LabelledBox]]:
    """One mark on plain ground, with a margin of a few to thirty per cent: the picture is about nothing else."""
    ink = _recolour(_pick(stock, rng, plain=True), rng)
    longest = int(rng.integers(*stock.longest))
    scale = longest / max(ink.shape[:2])
    wide, high = max(8, round(ink.shape[1] * scale)), max(8, round(ink.shape[0] * scale))
    margins = [round(rng.uniform(0.01, 0.3) * max(wide, high)) for _ in range(2)]
    if rng.random() < 0.5:  # a square or wide canvas, as for avatars and banners
        margins[int(high > wide)] = round(rng.uniform(0.02, 0.1) * max(wide, high))
        margins[int(high <= wide)] += abs(wide - high) // 2
    across, down = margins
    canvas = np.empty((high + 2 * down, wide + 2 * across, 3), np.float32)
    canvas[:] = _ground_colour(ink, rng)
    warped = cv2.resize(ink, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    _lay(canvas, warped, across, down)
    left, top, right, bottom = _extent(warped[..., 3])
    box = (left + across, top + down, right + across, bottom + down)
    return canvas, [LabelledBox(box, "logo")]


def _packshot(stock: Stock, rng: np.random.Generator) -> tuple[Floats, list[LabelledBox]]:
    """One product on white or nearly so, filling most of the picture."""
    product = stock.packshots[int(rng.integers(len(stock.packshots)))]
    longest = int(rng.integers(*stock.longest))
    scale = longest * rng.uniform(0.6, 0.97) / max(product.shape[:2])
    warped = cv2.resize(product, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    high, wide = warped.shape[:2]
    canvas_wide = longest if rng.random() < 0.6 else max(wide, round(wide * rng.uniform(1, 1.3)))
    canvas_high = longest if rng.random() < 0.6 else max(high, round(high * rng.uniform(1, 1.3)))
    canvas = np.full((canvas_high, canvas_wide, 3), rng.uniform(235, 255), np.float32)
    x, y = int(rng.integers(0, canvas_wide - wide + 1)), int(rng.integers(0, canvas_high - high + 1))
    _lay(canvas, warped, x, y)
    left, top, right, bottom = _extent(warped[..., 3])
    box = (left + x, top + y, right + x, bottom + y)
    return canvas, [LabelledBox(box, "product"), LabelledBox(box, "logo", ignore=True)]


def _with_products(canvas: Floats, stock: Stock, rng: np.random.Generator) -> tuple[Floats, list[LabelledBox]]:
    """One to three products, the later ones in front; a product of which little is left to see is not a box but ignored."""
    high, wide = canvas.shape[:2]
    owner = np.zeros((high, wide), np.uint8)
    extents: list[tuple[npt.NDArray[np.float32], int]] = []
    for number in range(1, int(rng.integers(1, 4)) + 1):
        product = stock.packshots[int(rng.integers(len(stock.packshots)))]
        if rng.random() < 0.4:
            product = product[:, ::-1]
        side = np.exp(rng.uniform(np.log(0.15), np.log(0.75))) * max(high, wide)
        warped = _warp(product, side / max(product.shape[:2]), rng, turn=8)
        x, y = _corner(warped, canvas, rng, outside=0.15)
        visible = _lay(canvas, warped, x, y, light=_light(canvas, rng))
        if visible is not None:
            owner[visible] = number
            extents.append((visible_extent(visible), int(visible.sum())))
    boxes = []
    for number, (extent, inked) in enumerate(extents, 1):
        left_over = int((owner == number).sum())
        left, top, right, bottom = (float(v) for v in extent)
        hidden = left_over < 0.5 * inked or min(right - left, bottom - top) < LEAST_SIDE
        boxes += [
            LabelledBox((left, top, right, bottom), "product", ignore=hidden),
            LabelledBox((left, top, right, bottom), "logo", ignore=True),
        ]
    return canvas, boxes


def _with_logos(
    canvas: Floats, boxes: list[LabelledBox], stock: Stock, rng: np.random.Generator
) -> tuple[Floats, list[LabelledBox]]:
    """One to four marks, on a plate, printed on the ground or on a product; none covers another."""
    high, wide = canvas.shape[:2]
    taken: list[Sequence[float]] = []
    products = [b.box for b in boxes if b.kind == "product" and not b.ignore]
    for _ in range(int(rng.integers(1, 5)) if not products else int(rng.integers(0, 3))):
        ink = _recolour(_pick(stock, rng), rng)
        host = products[int(rng.integers(len(products)))] if products and rng.random() < 0.7 else None
        room = max(high, wide) if host is None else min(host[2] - host[0], host[3] - host[1])
        side = float(np.exp(rng.uniform(np.log(SMALLEST if host is None else 0.2), np.log(LARGEST)))) * room
        aspect = max(ink.shape[:2]) / min(ink.shape[:2])
        side = max(side * min(1.6, aspect**0.3), 14.0)
        if rng.random() < 0.3:
            ink = _on_plate(ink, rng)
        warped = _warp(ink, side / max(ink.shape[:2]), rng, turn=14)
        if host is None:
            x, y = _corner(warped, canvas, rng, outside=0.0)
        else:
            x = round((host[0] + host[2]) / 2 - warped.shape[1] / 2 + rng.normal(0, 0.12) * (host[2] - host[0]))
            y = round((host[1] + host[3]) / 2 - warped.shape[0] / 2 + rng.normal(0, 0.15) * (host[3] - host[1]))
        left, top, right, bottom = _extent(warped[..., 3])
        box = (max(0.0, left + x), max(0.0, top + y), min(wide, right + x), min(high, bottom + y))
        inside = (box[2] - box[0]) * (box[3] - box[1]) / max((right - left) * (bottom - top), 1)
        if inside < 0.8 or min(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE or any(_touch(box, t) for t in taken):
            continue
        if not _legible(canvas, warped, x, y):
            warped = warped.copy()
            dark = canvas[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])].mean() < 128
            warped[..., :3] = 245 if dark else 15
        _lay(canvas, warped, x, y, light=_light(canvas, rng), strength=rng.uniform(0.85, 1.0))
        taken.append(box)
        boxes.append(LabelledBox(box, "logo"))
    return canvas, boxes


def _ground(stock: Stock, rng: np.random.Generator) -> Floats:
    """A photograph, cropped and sized anew, or a drawn ground: slopes, blots and stripes."""
    longest = int(rng.integers(*stock.longest))
    if not stock.photos:
        return _drawn_ground(longest, rng)
    photo = stock.photos[int(rng.integers(len(stock.photos)))]
    high, wide = photo.shape[:2]
    share = rng.uniform(0.6, 1.0)
    cut_wide, cut_high = int(wide * share), int(high * share)
    x, y = int(rng.integers(0, wide - cut_wide + 1)), int(rng.integers(0, high - cut_high + 1))
    part = photo[y : y + cut_high, x : x + cut_wide]
    scale = longest / max(cut_wide, cut_high)
    part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part).astype(np.float32)


def _drawn_ground(longest: int, rng: np.random.Generator) -> Floats:
    high, wide = longest, round(longest * rng.uniform(0.7, 1.0))
    if rng.random() < 0.5:
        high, wide = wide, high
    canvas = np.empty((high, wide, 3), np.float32)
    canvas[:] = rng.uniform(30, 240, 3)
    for _ in range(int(rng.integers(2, 9))):
        colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
        a, b = (tuple(int(v) for v in rng.integers(0, longest, 2)) for _ in range(2))
        if rng.random() < 0.5:
            cv2.line(canvas, a, b, colour, int(rng.integers(2, max(3, longest // 6))))
        else:
            axes = tuple(int(v) for v in rng.integers(4, max(5, longest // 3), 2))
            cv2.ellipse(canvas, a, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(1, 12))
    canvas += 40 * _slope(high, wide, rng) + rng.normal(0, 4, canvas.shape)
    return np.asarray(canvas, np.float32).clip(0, 255)


def _pick(stock: Stock, rng: np.random.Generator, *, plain: bool = False) -> Ink:
    """A mark by group weight, then evenly. plain: only marks without a ground of their own (vector art)."""
    groups = [(w, inks) for w, inks in stock.inks if not plain or int(inks[0].rgba[..., 3].min()) < 255]
    groups = groups or list(stock.inks)
    weights = np.array([w for w, _ in groups])
    inks = groups[int(rng.choice(len(groups), p=weights / weights.sum()))][1]
    return inks[int(rng.integers(len(inks)))]


def _recolour(ink: Ink, rng: np.random.Generator) -> Rgba:
    """Brand colour, black, white or any colour for a one-colour mark; a coloured one keeps its own, or is printed in one."""
    if ink.rgba[..., 3].min() == 255:  # a cut-out of a photograph
        return ink.rgba
    chance = rng.random()
    if ink.colour is None and chance < 0.8:
        return ink.rgba
    colour = np.array(ink.colour or (20, 20, 20), np.float32)
    if ink.colour is None or chance > 0.45:
        colour = (np.full(3, 20), np.full(3, 245), rng.uniform(0, 255, 3))[int(rng.integers(3))].astype(np.float32)
    rgb = np.broadcast_to(colour, (*ink.rgba.shape[:2], 3))
    if ink.colour is None:
        grey = ink.rgba[..., :3].astype(np.float32).mean(axis=2, keepdims=True) / 255
        rgb = colour * (1 - grey) + (255 - colour) * grey
    return np.dstack([rgb.astype(np.uint8), ink.rgba[..., 3]])


def _ground_colour(ink: Rgba, rng: np.random.Generator) -> Floats:
    """A plain colour on which the mark can be read."""
    weight = ink[..., 3:].astype(np.float32)
    mean = (ink[..., :3] * weight).sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    for _ in range(8):
        chance = rng.random()
        colour = np.full(3, 255.0) if chance < 0.5 else np.full(3, 8.0) if chance < 0.65 else rng.uniform(0, 255, 3)
        if np.abs(colour - mean).max() > 70:
            return colour.astype(np.float32)
    return np.full(3, 255.0 if mean.mean() < 128 else 0.0, np.float32)


def _on_plate(ink: Rgba, rng: np.random.Generator) -> Rgba:
    """The mark on a sign, label or button of plain colour: the plate belongs to the mark."""
    high, wide = ink.shape[:2]
    pad = round(rng.uniform(0.06, 0.3) * min(high, wide)) + 1
    plate = np.zeros((high + 2 * pad, wide + 2 * pad, 4), np.uint8)
    colour = [float(v) for v in _ground_colour(ink, rng)]
    size = (plate.shape[1], plate.shape[0])
    if rng.random() < 0.25 and max(high, wide) < 1.5 * min(high, wide):
        reach = (round(size[0] * 0.5), round(size[1] * 0.5))
        cv2.ellipse(plate, (size[0] // 2, size[1] // 2), reach, 0, 0, 360, (*colour, 255.0), -1)
    else:
        cv2.rectangle(plate, (0, 0), (size[0] - 1, size[1] - 1), (*colour, 255.0), -1)
    alpha = ink[..., 3:].astype(np.float32) / 255
    part = plate[pad : pad + high, pad : pad + wide]
    part[..., :3] = (part[..., :3] * (1 - alpha) + ink[..., :3] * alpha).astype(np.uint8)
    part[..., 3] = np.maximum(part[..., 3], ink[..., 3])
    return plate


def _warp(ink: Rgba, scale: float, rng: np.random.Generator, *, turn: float) -> Rgba:
    """The mark at another size, turned by some degrees and seen a little from the side."""
    if scale < 1:
        ink = _premultiplied_resize(ink, scale)
        scale = 1.0
    high, wide = ink.shape[:2]
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    angle = np.deg2rad(rng.normal(0, turn / 3 if rng.random() < 0.6 else turn))
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    squeeze = np.exp(rng.normal(0, 0.1, 2)).astype(np.float32)
    moved = ((corners - corners.mean(0)) * squeeze * scale) @ turned
    moved += rng.normal(0, 0.035, (4, 2)).astype(np.float32) * np.ptp(moved, axis=0)
    moved -= moved.min(axis=0) - 1
    size = np.ceil(moved.max(axis=0)).astype(int) + 2
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return np.asarray(cv2.warpPerspective(ink, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR), np.uint8)


def _premultiplied_resize(ink: Rgba, scale: float) -> Rgba:
    """Shrink without the colour of invisible pixels bleeding into the edges."""
    alpha = ink[..., 3:].astype(np.float32) / 255
    both = np.dstack([ink[..., :3] * alpha, ink[..., 3].astype(np.float32)])
    size = (max(2, round(ink.shape[1] * scale)), max(2, round(ink.shape[0] * scale)))
    both = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
    rgb = both[..., :3] / np.maximum(both[..., 3:] / 255, 1e-3)
    return np.dstack([rgb.clip(0, 255), both[..., 3]]).astype(np.uint8)


def _corner(ink: Rgba, canvas: Floats, rng: np.random.Generator, *, outside: float) -> tuple[int, int]:
    """Where the upper left corner goes, so that at most that share of the mark lies outside the picture on each side."""
    (high, wide), (ink_high, ink_wide) = canvas.shape[:2], ink.shape[:2]
    spare_x, spare_y = outside * ink_wide, outside * ink_high
    x = rng.uniform(-spare_x, max(-spare_x + 1, wide - ink_wide + spare_x))
    y = rng.uniform(-spare_y, max(-spare_y + 1, high - ink_high + spare_y))
    return round(float(x)), round(float(y))


def _lay(
    canvas: Floats, ink: Rgba, x: int, y: int, *, light: Floats | None = None, strength: float = 1.0
) -> npt.NDArray[np.bool_] | None:
    """Blend the mark into the canvas in place; the mask of visible ink on the canvas, None when it lies outside."""
    high, wide = canvas.shape[:2]
    left, top = max(0, x), max(0, y)
    right, bottom = min(wide, x + ink.shape[1]), min(high, y + ink.shape[0])
    if right <= left or bottom <= top:
        return None
    part = ink[top - y : bottom - y, left - x : right - x].astype(np.float32)
    alpha = part[..., 3:] / 255 * np.float32(strength)
    colour = part[..., :3]
    if light is not None:
        colour = (colour * light[top:bottom, left:right]).clip(0, 255)
    canvas[top:bottom, left:right] = canvas[top:bottom, left:right] * (1 - alpha) + colour * alpha
    visible = np.zeros((high, wide), bool)
    visible[top:bottom, left:right] = part[..., 3] >= INK
    return visible if visible.any() else None


def _light(canvas: Floats, rng: np.random.Generator) -> Floats:
    """The ground's own light, (h, w, 1) about 1: what is pasted gets its shadows and bright spots."""
    grey = canvas.mean(axis=2)
    small = cv2.resize(grey, (24, 24), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.5), (canvas.shape[1], canvas.shape[0]))
    ratio = (smooth + 30) / (float(smooth.mean()) + 30)
    return np.asarray(1 + (ratio - 1)[..., None] * rng.uniform(0.2, 0.6), np.float32).clip(0.45, 1.4)


def _legible(canvas: Floats, ink: Rgba, x: int, y: int) -> bool:
    """True when the mark stands out from what lies under it."""
    high, wide = canvas.shape[:2]
    under = canvas[max(0, y) : min(high, y + ink.shape[0]), max(0, x) : min(wide, x + ink.shape[1])]
    part = ink[max(0, -y) :, max(0, -x) :][: under.shape[0], : under.shape[1]]
    solid = part[..., 3] >= 128
    if not solid.any() or part[..., 3].min() >= 128:
        return True  # cut-outs and plates bring their own ground
    return bool(np.abs(part[solid, :3].astype(np.float32) - under[solid]).max(axis=1).mean() > 45)


def _extent(alpha: npt.NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """xyxy of the ink, edges exclusive; the whole array when there is none."""
    return tuple(float(v) for v in visible_extent(alpha >= INK))  # type: ignore[return-value]


def visible_extent(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """(4,) xyxy around the True pixels, right and bottom exclusive; the whole array when there is none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.array([0, 0, mask.shape[1], mask.shape[0]], np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _touch(a: Sequence[float], b: Sequence[float]) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def _slope(high: int, wide: int, rng: np.random.Generator) -> Floats:
    """A plane from about -1 to 1 in a random direction, (h, w, 1): light that falls off."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, wide, dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, high, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    return np.asarray((x + y)[..., None], np.float32)
