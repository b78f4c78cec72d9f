"""Drawn pictures for the detector: marks, products and clutter laid into photographs, every box known because we put it there.

A `Stock` is what may be drawn with; `draw_scene(stock, seed)` is a pure function of the two. One ingredient leads each picture,
drawn by the weights of the stock; others join it now and then. Logos that packshots show by themselves are not known: their
region comes as an `ignore` box, neither taught nor punished, and so do watermarks and what is mostly hidden.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import cv2
import numpy as np

from vision.datasets.labelled import LabelledBox
from vision.training.draw import hosts, vehicles
from vision.training.draw.camera import grain_tile, photograph
from vision.training.draw.canvas import Canvas
from vision.training.draw.cut_outs import as_piece, rim_distance, toned
from vision.training.draw.grounds import drawn_ground, photo_ground, studio_colour, wall
from vision.training.draw.material import (
    Matter,
    contrast,
    ground_for,
    one_colour,
    recoloured,
    some_matter,
    thing_colour,
)
from vision.training.draw.negatives import page
from vision.training.draw.piece import INK, CutOut, Floats, Ink, Piece, Rgba, over, piece_of
from vision.training.draw.shape import fitted, on_cylinder, resized, seen_aslant
from vision.values import Pixels

__all__ = ["INGREDIENTS", "SUBJECTS", "CutOut", "Ink", "Scene", "Stock", "draw_scene"]

INGREDIENTS = ("pasted", "vector", "wordmarks", "negatives", "products", "watermarks")
SUBJECTS = ("logos", "products", "shelf", "clean_logo", "packshot", "shop", "page")
# Longest side of a mark as a share of the picture's. Real boxes: 5 % under .05, a quarter under .10, half under .18,
# three quarters under .36.
SMALLEST, LARGEST = 0.03, 0.7
LEAST_LONGEST = 10  # pixels
MOST_MARKS = 40
MOST_APART = 48  # levels between a cut-out's surroundings and the ground up to which they can be blended


@dataclass(frozen=True, slots=True)
class Stock:
    """What pictures are drawn with; at least one kind of mark, packshots or clutter is there.

    inks: groups of marks without ground, with the weight of each group. photos: grounds; drawn grounds take their place when
    there are none. packshots: (h, w, 4) uint8, products cut from their white ground. longest: side in pixels, [low, high).
    cut_outs: real logos with their surroundings. inks_of: groups of `inks` by the ingredient that brought them, as indices.
    clutter, lines, watermarks: things that are no marks, small print, texts of shops. weights: of the ingredients.
    """

    inks: tuple[tuple[float, tuple[Ink, ...]], ...]
    photos: tuple[Pixels, ...] = ()
    packshots: tuple[Rgba, ...] = ()
    longest: tuple[int, int] = (320, 512)
    cut_outs: tuple[CutOut, ...] = ()
    clutter: tuple[Rgba, ...] = ()
    lines: tuple[Rgba, ...] = ()
    watermarks: tuple[Rgba, ...] = ()
    inks_of: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    grain: Floats = field(default_factory=lambda: grain_tile(1024))


@dataclass(frozen=True, slots=True)
class Scene:
    """One drawn picture: (h, w, 3) uint8 RGB, its boxes, clipped to the picture, and what it is about (one of SUBJECTS)."""

    pixels: Pixels
    boxes: tuple[LabelledBox, ...]
    subject: str


def draw_scene(stock: Stock, seed: int) -> Scene:
    """The picture with that number: the same stock and seed give the same picture."""
    rng = np.random.default_rng([seed, 7])
    weights = _weights(stock)
    lead = _choose(weights, rng)
    subject = _choose(_subjects(stock, lead), rng)
    canvas = _DRAW[subject](stock, lead, rng)
    share = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    if stock.clutter and subject in {"logos", "products"}:
        wanted = int(rng.integers(2, 9)) if lead == "negatives" else int(rng.integers(1, 4))
        if lead == "negatives" or rng.random() < min(0.6, 3 * share.get("negatives", 0.0)):
            _add_clutter(canvas, stock, wanted, rng)
    if stock.watermarks and (lead == "watermarks" or rng.random() < min(0.3, share.get("watermarks", 0.0))):
        _add_watermark(canvas, stock, rng)
    return Scene(photograph(canvas.pixels, stock.grain, rng), canvas.boxes(), subject)


def _weights(stock: Stock) -> dict[str, float]:
    """The weights of the stock's ingredients; all that it has something for where none are given."""
    if stock.weights:
        return {name: weight for name, weight in stock.weights.items() if weight > 0}
    found = {"vector": 0.6 if stock.inks else 0.0, "pasted": 0.4 if stock.cut_outs else 0.0}
    found["products"] = 0.4 if stock.packshots else 0.0
    found["negatives"] = 0.1 if stock.clutter else 0.0
    return {name: weight for name, weight in found.items() if weight}


def _subjects(stock: Stock, lead: str) -> dict[str, float]:
    """What a picture led by an ingredient may be about."""
    has_marks, has_products = bool(stock.inks or stock.cut_outs), bool(stock.packshots)
    if lead == "negatives":
        return {"logos": 0.65, "page": 0.35}
    if lead == "products":
        return {"products": 0.5, "packshot": 0.26, "shelf": 0.14, "shop": 0.1}
    if not has_marks:
        return {"logos": 0.6, "page": 0.2, "packshot": 0.2 if has_products else 0.0}
    if lead == "watermarks":
        return {"logos": 0.4, "packshot": 0.15, "shop": 0.35, "products": 0.1} if has_products else {"logos": 1.0}
    shares = {"logos": 0.62, "clean_logo": 0.14, "shelf": 0.08, "page": 0.04}
    shares |= {"products": 0.08, "packshot": 0.06, "shop": 0.1} if has_products else {}
    if not stock.inks or lead == "pasted":
        shares |= {"page": 0.0, "shelf": 0.0}
    return shares


def _draw_logos(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """Marks in a photograph or on a wall."""
    canvas = _ground(stock, rng)
    if not (stock.inks or stock.cut_outs) or (lead == "negatives" and rng.random() < 0.6):
        return canvas
    many = min(MOST_MARKS, int(rng.choice([1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 10])))
    _add_marks(canvas, stock, lead, many, rng)
    return canvas


def _draw_products(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """One to four packshots in a photograph, the later ones in front, some with a mark on them."""
    canvas = _ground(stock, rng)
    for _ in range(int(rng.choice([1, 1, 2, 2, 3, 4]))):
        product = _packshot(stock, rng)
        side = float(np.exp(rng.uniform(np.log(0.15), np.log(0.85)))) * max(canvas.pixels.shape[:2])
        piece = _branded(product, stock, lead, rng, chance=0.15 if lead == "products" else 0.8)
        warped = seen_aslant(piece, side, rng, turn=12)
        x, y = canvas.calm_place(warped.rgba.shape[1], warped.rgba.shape[0], rng, outside=0.15, tries=3)
        _drop_shadow(canvas, warped, x, y, rng, chance=0.6)
        canvas.lay(warped, x, y, rng)
    if (stock.inks or stock.cut_outs) and lead != "products" and rng.random() < 0.4:
        _add_marks(canvas, stock, lead, 1, rng)
    return canvas


def _draw_packshot(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """One product on its studio ground, filling most of the picture; led by marks it carries one."""
    longest = int(rng.integers(*stock.longest))
    piece = _branded(_packshot(stock, rng), stock, lead, rng, chance=0.1 if lead == "products" else 0.95)
    share = longest * rng.uniform(0.6, 0.97) / max(piece.rgba.shape[:2])
    warped = seen_aslant(piece, share * max(piece.rgba.shape[:2]), rng, turn=3, depth=0.004, squeeze=0.03)
    high, wide = warped.rgba.shape[:2]
    size = (
        longest if rng.random() < 0.6 else max(high, round(high * rng.uniform(1, 1.3))),
        longest if rng.random() < 0.6 else max(wide, round(wide * rng.uniform(1, 1.3))),
    )
    canvas = Canvas(np.array(np.broadcast_to(studio_colour(rng), (*size, 3))), stock.grain, lifelike=False)
    x, y = int(rng.integers(0, max(1, size[1] - wide + 1))), int(rng.integers(0, max(1, size[0] - high + 1)))
    _drop_shadow(canvas, warped, x, y, rng, chance=0.3)
    canvas.lay(warped, x, y, rng)
    return canvas


def _draw_shop(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """The picture of a web shop: one product or a few, a mark in a corner, a bar of text, a price."""
    longest = int(rng.integers(*stock.longest))
    size = (longest, longest if rng.random() < 0.7 else round(longest * rng.uniform(0.7, 1.0)))
    if rng.random() < 0.3:
        ground = cv2.resize(wall(longest, rng), (size[1], size[0]))
    else:
        ground = np.array(np.broadcast_to(studio_colour(rng), (*size, 3)))
    canvas = Canvas(ground, stock.grain, lifelike=False)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        piece = _branded(_packshot(stock, rng), stock, lead, rng, chance=0.0 if lead == "products" else 0.85)
        warped = seen_aslant(piece, rng.uniform(0.4, 0.85) * longest, rng, turn=10, depth=0.004, squeeze=0.03)
        x, y = canvas.calm_place(warped.rgba.shape[1], warped.rgba.shape[0], rng, tries=4)
        _drop_shadow(canvas, warped, x, y, rng, chance=0.3)
        canvas.lay(warped, x, y, rng)
    if stock.inks and lead != "products" and rng.random() < 0.75:
        ink = recoloured(_pick(stock, lead, rng), rng)
        mark = fitted(ink, _for_aspect(rng.uniform(0.1, 0.3) * longest, ink))
        corner = (rng.random() < 0.7, rng.random() < 0.8)
        pad = round(0.03 * longest)
        x = pad if corner[0] else size[1] - mark.shape[1] - pad
        y = pad if corner[1] else size[0] - mark.shape[0] - pad
        piece = hosts.badge(ink, rng) if rng.random() < 0.2 else piece_of(mark)
        if not piece.solid:
            piece = _legible(canvas, piece, x, y)
        else:
            piece = replace(piece, rgba=fitted(piece.rgba, max(mark.shape[:2])))
            piece = replace(piece, marks=(piece.rgba[..., 3] >= INK).astype(np.uint8))
        canvas.lay(piece, x, y, rng)
    if stock.clutter and rng.random() < 0.6:
        _add_clutter(canvas, stock, int(rng.integers(1, 4)), rng)
    return canvas


def _draw_shelf(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """Rows of goods, each kind standing there several times."""
    canvas = Canvas(wall(int(rng.integers(*stock.longest)), rng), stock.grain)
    high, wide = canvas.pixels.shape[:2]
    rows = int(rng.integers(1, 5))
    row_high = high // rows
    board = np.array(thing_colour(rng), np.uint8)
    for row in range(rows):
        floor = (row + 1) * row_high - int(0.06 * row_high)
        canvas.pixels[max(0, floor) : floor + max(3, row_high // 16)] = board
        x = -int(rng.integers(0, 20))
        while x < wide:
            item = _goods(stock, lead, rng)
            tall = row_high * rng.uniform(0.5, 0.85)
            if item.rgba.shape[1] > item.rgba.shape[0]:
                tall *= item.rgba.shape[0] / item.rgba.shape[1] * 1.2
            facing = seen_aslant(
                item, tall * max(item.rgba.shape[:2]) / item.rgba.shape[0], rng, turn=2, depth=0.01, squeeze=0.04
            )
            step = max(8, round(facing.rgba.shape[1] * rng.uniform(0.9, 1.08)))
            for _ in range(int(rng.integers(1, 7))):
                if x >= wide or len(canvas.laid) > 3 * MOST_MARKS:
                    break
                canvas.lay(facing, x, floor - facing.rgba.shape[0] + int(rng.integers(0, 3)), rng)
                x += step
            x += int(rng.integers(0, max(2, wide // 25)))
            if len(canvas.laid) > 3 * MOST_MARKS:
                break
    return canvas


def _draw_clean_logo(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """One mark on plain ground, or a close-up of a real one: the picture is about nothing else."""
    longest = int(rng.integers(*stock.longest))
    if stock.cut_outs and (not stock.inks or (lead == "pasted" and rng.random() < 0.4)):
        cut = stock.cut_outs[int(rng.integers(len(stock.cut_outs)))]
        whole = Piece(np.dstack([cut.rgb, np.full(cut.rgb.shape[:2], 255, np.uint8)]), cut.marks, cut.unsure)
        scale = min(longest, 2.2 * max(cut.rgb.shape[:2])) / max(cut.rgb.shape[:2])
        size = (max(8, int(cut.rgb.shape[0] * scale)), max(8, int(cut.rgb.shape[1] * scale)), 3)
        canvas = Canvas(np.zeros(size, np.uint8), stock.grain, lifelike=False)
        canvas.lay(_scaled(whole, size[1], size[0]), 0, 0, rng)
        return canvas
    ink = recoloured(_pick(stock, lead, rng), rng)
    sides = np.array(ink.shape[:2], np.float64)
    frame = sides + 2 * rng.uniform(0.01, 0.3, 2) * sides.max()
    if rng.random() < 0.5:  # a squarer picture, as for avatars
        frame = np.maximum(frame, rng.uniform(0.5, 1.0) * frame.max())
    scale = longest / frame.max()
    mark = resized(ink, round(sides[1] * scale), round(sides[0] * scale))
    tall, broad = (max(round(full * scale), part) for full, part in zip(frame, mark.shape[:2], strict=True))
    down, across = (tall - mark.shape[0]) // 2, (broad - mark.shape[1]) // 2
    ground = np.empty((tall, broad, 3), np.uint8)
    ground[:] = np.array(ground_for(mark, rng)).astype(np.uint8)
    if rng.random() < 0.25:
        textured = cv2.resize(wall(longest, rng), (ground.shape[1], ground.shape[0]))
        ground = cv2.addWeighted(ground, 0.75, textured, 0.25, 0)
    canvas = Canvas(ground, stock.grain, lifelike=False)
    matter = some_matter(longest, 2.0, rng) if rng.random() < 0.35 else Matter.PRINT
    if matter is Matter.ENGRAVED or matter is Matter.EMBOSSED:
        canvas.pixels[:] = np.clip(canvas.pixels.astype(np.int16), 50, 210).astype(np.uint8)
    canvas.lay(piece_of(mark), across, down, rng, matter=matter)
    return canvas


def _draw_page(stock: Stock, lead: str, rng: np.random.Generator) -> Canvas:
    """A printed or web page; led by a mark it carries one in its head, or two."""
    ground = page(int(rng.integers(*stock.longest)), stock.photos, stock.clutter, stock.lines, rng)
    canvas = Canvas(ground, stock.grain, lifelike=False)
    if lead != "negatives" and stock.inks:
        for _ in range(int(rng.integers(1, 3))):
            ink = recoloured(_pick(stock, lead, rng), rng)
            mark = fitted(ink, rng.uniform(0.08, 0.5) * ground.shape[1])
            high, wide = mark.shape[:2]
            x = int(rng.integers(0, max(1, ground.shape[1] - wide)))
            y = int(rng.integers(0, max(1, ground.shape[0] // 4)))
            if canvas.is_free(x, y, wide, high):
                pad = max(2, high // 4)
                canvas.pixels[max(0, y - pad) : y + high + pad, max(0, x - pad) : x + wide + pad] = np.array(
                    ground_for(mark, rng)
                ).astype(np.uint8)
                canvas.lay(piece_of(mark), x, y, rng)
    return canvas


_DRAW = {
    "logos": _draw_logos,
    "products": _draw_products,
    "shelf": _draw_shelf,
    "clean_logo": _draw_clean_logo,
    "packshot": _draw_packshot,
    "shop": _draw_shop,
    "page": _draw_page,
}


def _ground(stock: Stock, rng: np.random.Generator) -> Canvas:
    """A photograph mostly, a wall now and then; a blurred nowhere where the stock has no photographs."""
    longest = int(rng.integers(*stock.longest))
    if stock.photos and rng.random() < 0.85:
        return Canvas(photo_ground(stock.photos, longest, rng), stock.grain)
    return Canvas(wall(longest, rng) if stock.photos or rng.random() < 0.5 else drawn_ground(longest, rng), stock.grain)


def _add_marks(canvas: Canvas, stock: Stock, lead: str, many: int, rng: np.random.Generator) -> None:
    """So many marks, none on another: cut-outs, prints on the ground, and signs that carry marks."""
    longest = max(canvas.pixels.shape[:2])
    for _ in range(many):
        share = float(np.exp(rng.normal(np.log(0.28), 0.75))) * (1.0 if many < 3 else 0.75)
        side = max(float(np.clip(share, SMALLEST, LARGEST)) * longest, LEAST_LONGEST)
        if stock.cut_outs and (lead == "pasted" or not stock.inks) and (not stock.inks or rng.random() < 0.75):
            _add_cut_out(canvas, stock, side, rng)
        elif rng.random() < 0.5:
            _add_print(canvas, stock, lead, side, rng)
        else:
            _add_host(canvas, stock, lead, side, rng)


def _add_cut_out(canvas: Canvas, stock: Stock, side: float, rng: np.random.Generator) -> None:
    """A real logo where the ground has about the colours of its surroundings; as a sticker where nowhere has."""
    cut = stock.cut_outs[int(rng.integers(len(stock.cut_outs)))]
    left, top, right, bottom = cut.box
    grow = side / max(right - left, bottom - top)
    side = max(cut.rgb.shape[:2]) * min(grow, 1.6)
    best: tuple[float, Piece, int, int] | None = None
    piece = seen_aslant(as_piece(cut, rng, sharp=False), side, rng, turn=9, depth=0.02)
    high, wide = piece.rgba.shape[:2]
    if high > canvas.high or wide > canvas.wide:
        return
    for _ in range(6):
        x, y = canvas.calm_place(wide, high, rng, tries=2)
        x, y = min(max(x, 0), canvas.wide - wide), min(max(y, 0), canvas.high - high)
        if not canvas.is_free(x, y, wide, high):
            continue
        away = rim_distance(piece.rgba[::3, ::3], canvas.pixels[y : y + high : 3, x : x + wide : 3].astype(np.float32))
        if best is None or away < best[0]:
            best = (away, piece, x, y)
    if best is None:
        return
    away, piece, x, y = best
    if away < MOST_APART:
        under = canvas.pixels[y : y + high, x : x + wide].astype(np.float32)
        canvas.lay(toned(piece, under), x, y, rng)
        return
    sticker = seen_aslant(as_piece(cut, rng, sharp=True), max(16.0, side * 0.75), rng, turn=9, depth=0.03)
    x, y = canvas.calm_place(sticker.rgba.shape[1], sticker.rgba.shape[0], rng)
    if canvas.is_free(x, y, sticker.rgba.shape[1], sticker.rgba.shape[0]):
        _drop_shadow(canvas, sticker, x, y, rng, chance=0.4)
        canvas.lay(sticker, x, y, rng)


def _add_print(canvas: Canvas, stock: Stock, lead: str, side: float, rng: np.random.Generator) -> None:
    """A mark on what is there: a wall, a shirt, a door."""
    ink = recoloured(_pick(stock, lead, rng), rng)
    side = _for_aspect(side, ink)
    piece = seen_aslant(piece_of(ink), min(side, 0.9 * canvas.wide, 1.4 * canvas.high), rng, turn=16)
    if rng.random() < 0.12 and side > 50:
        piece = replace(on_cylinder(piece, rng), solid=False)
    high, wide = piece.rgba.shape[:2]
    x, y = canvas.calm_place(wide, high, rng, outside=0.0 if rng.random() < 0.85 else 0.35)
    if not canvas.is_free(x, y, wide, high):
        return
    matter = some_matter(side, canvas.detail_at(x, y, wide, high), rng)
    piece = _legible(canvas, piece, x, y)
    canvas.lay(piece, x, y, rng, matter=matter, strength=rng.uniform(0.8, 1.0))


def _add_host(canvas: Canvas, stock: Stock, lead: str, side: float, rng: np.random.Generator) -> None:
    """A sign, screen, patch, pack, vehicle or sponsor wall that carries marks, about as large as makes the mark so large."""
    inks = [recoloured(_pick(stock, lead, rng), rng) for _ in range(3)]
    kind, turn = rng.random(), 14
    if kind < 0.18:
        piece, grow = hosts.badge(inks[0], rng), 1.0
    elif kind < 0.55:
        piece, grow = hosts.sign(inks[: 1 + int(rng.random() < 0.25)], stock.lines, rng), 1.5
    elif kind < 0.68:
        photo = _as_rgba(photo_ground(stock.photos, 200, rng)) if stock.photos else None
        piece, grow = hosts.screen(inks, photo, stock.clutter, rng), 2.4
    elif kind < 0.8:
        piece, grow = hosts.patch(inks[0], rng), 1.3
    elif kind < 0.88:
        piece, grow = hosts.sponsors(inks, rng), 3.0
    elif kind < 0.93:
        piece, grow = hosts.pack(inks, (*stock.clutter, *stock.lines), rng), 1.8
    else:
        piece, grow, turn = vehicles.vehicle(inks, rng), 3.5, 5  # they stand on the ground
    longest = float(np.clip(side * grow, 22, 0.95 * max(canvas.wide, canvas.high)))
    warped = seen_aslant(piece, longest, rng, turn=turn)
    high, wide = warped.rgba.shape[:2]
    x, y = canvas.calm_place(wide, high, rng, outside=0.1)
    if canvas.is_free(x, y, wide, high):
        _drop_shadow(canvas, warped, x, y, rng, chance=0.5)
        canvas.lay(warped, x, y, rng)


def _add_clutter(canvas: Canvas, stock: Stock, many: int, rng: np.random.Generator) -> None:
    """Things that are no marks, now and then in front of a mark."""
    for _ in range(many):
        thing = stock.clutter[int(rng.integers(len(stock.clutter)))]
        side = max(12.0, float(np.exp(rng.normal(np.log(0.12), 0.6))) * max(canvas.wide, canvas.high))
        solid = int(thing[..., 3].min()) == 255 or rng.random() < 0.6
        blank = np.zeros(thing.shape[:2], np.uint8)
        piece = seen_aslant(Piece(thing, blank, solid=solid), min(side, 0.7 * canvas.wide), rng, turn=14)
        x, y = canvas.calm_place(piece.rgba.shape[1], piece.rgba.shape[0], rng, outside=0.1, tries=3)
        if canvas.is_free(x, y, piece.rgba.shape[1], piece.rgba.shape[0]) or (solid and rng.random() < 0.2):
            canvas.lay(piece, x, y, rng)


def _add_watermark(canvas: Canvas, stock: Stock, rng: np.random.Generator) -> None:
    """The text of a shop: once, all over, or in a bar at the lower or upper side. Every one is a region to ignore."""
    text = stock.watermarks[int(rng.integers(len(stock.watermarks)))]
    longest = max(canvas.wide, canvas.high)
    kind = rng.random()
    if kind < 0.3:
        high = max(14, round(canvas.high * rng.uniform(0.06, 0.14)))
        bar = np.zeros((high, canvas.wide, 4), np.uint8)
        bar[:] = (*rng.uniform(0, 255, 3), 255 if rng.random() < 0.6 else 150)
        line = fitted(text, min(0.8 * canvas.wide, 0.7 * high * text.shape[1] / text.shape[0]))
        x = int(rng.integers(2, max(3, canvas.wide - line.shape[1])))
        line = one_colour(line, 250.0 if bar[0, 0, :3].mean() < 140 else 15.0)
        over(bar, line, x, (high - line.shape[0]) // 2)
        marks = np.zeros(bar.shape[:2], np.uint8)
        marks[:, max(0, x - 4) : x + line.shape[1] + 4] = 1
        y = canvas.high - high if rng.random() < 0.7 else 0
        canvas.lay(Piece(bar, marks, frozenset({1})), 0, y, rng)
        return
    opacity = rng.uniform(0.2, 0.75)
    piece = seen_aslant(piece_of(text), rng.uniform(0.2, 0.7) * longest, rng, turn=60 if kind < 0.75 else 4, depth=0.0)
    piece = replace(piece, unsure=frozenset({1}))
    high, wide = piece.rgba.shape[:2]
    if kind < 0.6:
        x = int(rng.choice([4, (canvas.wide - wide) // 2, canvas.wide - wide - 4]))
        canvas.lay(
            piece, x, int(rng.choice([4, (canvas.high - high) // 2, canvas.high - high - 4])), rng, strength=opacity
        )
        return
    for y in range(-high // 3, canvas.high, max(30, round(high * 1.6))):
        for x in range(-wide // 3, canvas.wide, max(40, round(wide * 1.3))):
            canvas.lay(piece, x, y, rng, strength=opacity * 0.7)


def _branded(product: Rgba, stock: Stock, lead: str, rng: np.random.Generator, *, chance: float) -> Piece:
    """A packshot, with a mark printed where its middle is, or not."""
    marks = np.zeros(product.shape[:2], np.uint8)
    if not stock.inks or rng.random() > chance:
        return Piece(product, marks, product=True)
    product = product.copy()
    high, wide = product.shape[:2]
    ink = recoloured(_pick(stock, lead, rng), rng)
    side = float(np.exp(rng.uniform(np.log(0.1), np.log(0.55)))) * min(high, wide)
    piece = seen_aslant(piece_of(ink), max(_for_aspect(side, ink), 10), rng, turn=12)
    tall, broad = piece.rgba.shape[:2]
    x = round(wide / 2 - broad / 2 + rng.normal(0, 0.12) * wide)
    y = round(high * rng.uniform(0.3, 0.6) - tall / 2)
    if x < 0 or y < 0 or x + broad > wide or y + tall > high or product[y : y + tall, x : x + broad, 3].mean() < 235:
        return Piece(product, marks, product=True)
    shown = product[y : y + tall, x : x + broad]
    piece = _legible_on(piece, shown[..., :3].astype(np.float32))
    canvas = Canvas(np.ascontiguousarray(shown[..., :3]), stock.grain, lifelike=False)
    canvas.lay(piece, 0, 0, rng, matter=some_matter(side, canvas.sharpness, rng), strength=rng.uniform(0.85, 1))
    shown[..., :3] = canvas.pixels
    marks[y : y + tall, x : x + broad] = (piece.rgba[..., 3] >= INK) & (shown[..., 3] >= INK)
    return Piece(product, marks, product=True)


def _goods(stock: Stock, lead: str, rng: np.random.Generator) -> Piece:
    """What stands on a shelf: a packshot, or a drawn pack with a mark."""
    if stock.packshots and (not stock.inks or rng.random() < (0.85 if lead == "products" else 0.25)):
        return _branded(_packshot(stock, rng), stock, lead, rng, chance=0.0 if lead == "products" else 0.6)
    inks = [recoloured(_pick(stock, lead, rng), rng) for _ in range(2)]
    return hosts.pack(inks, (*stock.clutter, *stock.lines), rng)


def _packshot(stock: Stock, rng: np.random.Generator) -> Rgba:
    product = stock.packshots[int(rng.integers(len(stock.packshots)))]
    return np.ascontiguousarray(product[:, ::-1]) if rng.random() < 0.4 else product


def _pick(stock: Stock, lead: str, rng: np.random.Generator) -> Ink:
    """A mark of the leading ingredient, now and then of another: a group by weight, then evenly."""
    groups = [stock.inks[i] for i in stock.inks_of.get(lead, ())]
    if not groups or rng.random() < 0.15:
        groups = list(stock.inks)
    weights = np.array([weight for weight, _ in groups])
    inks = groups[int(rng.choice(len(groups), p=weights / weights.sum()))][1]
    return inks[int(rng.integers(len(inks)))]


def _for_aspect(side: float, ink: Rgba) -> float:
    """Long words are drawn longer than compact marks, as real ones are."""
    aspect = max(ink.shape[:2]) / min(ink.shape[:2])
    return side * min(1.6, math.pow(aspect, 0.3))


def _legible(canvas: Canvas, piece: Piece, x: int, y: int) -> Piece:
    """The piece, in black or white where it would not stand out from the ground."""
    left, top = max(0, x), max(0, y)
    under = canvas.pixels[top : y + piece.rgba.shape[0], left : x + piece.rgba.shape[1]].astype(np.float32)
    shown = piece.rgba[top - y : top - y + under.shape[0], left - x : left - x + under.shape[1]]
    if not under.size or contrast(shown, under) > 55:
        return piece
    return replace(piece, rgba=one_colour(piece.rgba, 245 if under.mean() < 128 else 15))


def _legible_on(piece: Piece, under: Floats) -> Piece:
    if contrast(piece.rgba, under) > 55:
        return piece
    return replace(piece, rgba=one_colour(piece.rgba, 245 if under.mean() < 128 else 15))


def _drop_shadow(canvas: Canvas, piece: Piece, x: int, y: int, rng: np.random.Generator, *, chance: float) -> None:
    if rng.random() > chance:
        return
    dark = hosts.shadow_under(piece, rng)
    blank = Piece(dark, np.zeros(dark.shape[:2], np.uint8), solid=False)
    shift = 1 + max(piece.rgba.shape[:2]) * rng.uniform(0.0, 0.04)
    canvas.lay(blank, round(x - 24 + shift * rng.uniform(-1, 1)), round(y - 24 + shift), rng)


def _scaled(piece: Piece, wide: int, high: int) -> Piece:
    rgba = cv2.resize(piece.rgba, (wide, high), interpolation=cv2.INTER_AREA)
    return replace(piece, rgba=rgba, marks=cv2.resize(piece.marks, (wide, high), interpolation=cv2.INTER_NEAREST))


def _as_rgba(pixels: Pixels) -> Rgba:
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def _choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    names = [name for name, share in shares.items() if share > 0]
    weights = np.array([shares[name] for name in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]
