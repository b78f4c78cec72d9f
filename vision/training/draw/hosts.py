"""Things that carry marks: signs, screens, patches, packs, sponsor walls. Each is a `Piece` that knows where its marks are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from vision.training.draw.material import Matter, ground_for, one_colour, printed, thing_colour
from vision.training.draw.piece import INK, LabelMap, Piece, Rgba, over, stamp
from vision.training.draw.shape import fitted, on_cylinder, resized

SIDE = 256  # pixels of the longest side at which hosts are drawn


def badge(ink: Rgba, rng: np.random.Generator) -> Piece:
    """The mark on a plate that belongs to it: the box goes round the plate."""
    ink = fitted(ink, min(192, max(ink.shape[:2])))
    high, wide = ink.shape[:2]
    pad = round(rng.uniform(0.1, 0.25) * min(high, wide)) + 2
    round_one = max(high, wide) < 1.6 * min(high, wide) and rng.random() < 0.5
    if round_one:
        pad += round(0.2 * max(high, wide))
    plate = _plate(wide + 2 * pad, high + 2 * pad, ground_for(ink, rng), rng, oval=round_one, rim=rng.random() < 0.5)
    over(plate, ink, pad, pad)
    return Piece(plate, (plate[..., 3] >= INK).astype(np.uint8))


def sign(inks: Sequence[Rgba], texts: Sequence[Rgba], rng: np.random.Generator) -> Piece:
    """A board, label, poster or shop fascia with one mark or two, now and then small print; boxes go round the ink."""
    ink = inks[0]
    aspect = ink.shape[1] / ink.shape[0]
    room = rng.uniform(1.15, 2.2)
    wide, high = (SIDE, SIDE / min(aspect * rng.uniform(0.55, 1.0), 8)) if aspect > 1 else (SIDE / room, SIDE)
    wide, high = int(wide), max(24, int(high))
    colour = ground_for(ink, rng)
    board = _plate(wide, high, colour, rng, rim=rng.random() < 0.35)
    marks = np.zeros((high, wide), np.uint8)
    with_text = bool(texts) and rng.random() < 0.35
    scale = min(wide / ink.shape[1], high * (0.62 if with_text else 1) / ink.shape[0]) / room
    size = (max(6, round(ink.shape[1] * scale)), max(6, round(ink.shape[0] * scale)))
    x, y = (wide - size[0]) // 2, (round(high * 0.62) if with_text else high) // 2 - size[1] // 2
    stamp(board, marks, resized(ink, *size), x, y, 1)
    if with_text:
        dark = sum(colour) < 380
        text = texts[int(rng.integers(len(texts)))]
        shrink = min(wide * 0.8 / text.shape[1], high * 0.28 / text.shape[0])
        line = one_colour(
            resized(text, round(text.shape[1] * shrink), round(text.shape[0] * shrink)), 235 if dark else 25
        )
        over(board, line, (wide - line.shape[1]) // 2, round(high * 0.66))
    if len(inks) > 1 and wide > 2 * high and size[0] < 0.6 * wide:
        second = fitted(inks[1], min(0.7 * high, 0.18 * wide))
        stamp(board, marks, second, round(0.02 * wide), (high - second.shape[0]) // 2, 2)
    return Piece(_lit_from_a_side(board, rng), marks)


def screen(inks: Sequence[Rgba], photo: Rgba | None, clutter: Sequence[Rgba], rng: np.random.Generator) -> Piece:
    """A phone, monitor or page: a bar with a small mark, pictures and controls that are no marks."""
    tall = rng.random() < 0.4
    wide, high = (150, 256) if tall else (280, 176)
    frame = int(rng.integers(3, 10))
    dark = rng.random() < 0.3
    shell = (20.0, 20.0, 22.0) if rng.random() < 0.7 else (215.0, 215.0, 218.0)
    body = _plate(wide, high, shell, rng, corner=0.06, flat=True)
    page = (28, 30, 34, 255) if dark else (250, 250, 250, 255)
    cv2.rectangle(body, (frame, frame), (wide - frame - 1, high - frame - 1), page, -1)
    marks = np.zeros((high, wide), np.uint8)
    bar = int(rng.integers(18, 38))
    ink = inks[0]
    bar_colour = ground_for(ink, rng)
    cv2.rectangle(body, (frame, frame), (wide - frame - 1, frame + bar), (*bar_colour, 255), -1)
    if rng.random() < 0.3:  # a start screen: the mark alone in the middle
        cv2.rectangle(body, (frame, frame), (wide - frame - 1, high - frame - 1), (*bar_colour, 255), -1)
        mark = fitted(ink, rng.uniform(0.3, 0.75) * (wide - 2 * frame))
        mark = fitted(mark, min(max(mark.shape[:2]), 0.8 * high * max(mark.shape[:2]) / mark.shape[0]))
        stamp(body, marks, mark, (wide - mark.shape[1]) // 2, (high - mark.shape[0]) // 2, 1)
        return Piece(body, marks)
    scale = min((bar - 6) / ink.shape[0], 0.5 * wide / ink.shape[1])
    mark = resized(ink, max(6, round(ink.shape[1] * scale)), max(6, round(ink.shape[0] * scale)))
    x = frame + 5 if rng.random() < 0.7 else (wide - mark.shape[1]) // 2
    stamp(body, marks, mark, x, frame + (bar - mark.shape[0]) // 2, 1)
    y = frame + bar + 4
    if photo is not None and rng.random() < 0.8:
        part = resized(photo, wide - 2 * frame - 8, int(high * rng.uniform(0.25, 0.5)))
        over(body, part, frame + 4, y)
        y += part.shape[0] + 4
    while clutter and y < high - frame - 10:
        thing = clutter[int(rng.integers(len(clutter)))]
        small = fitted(thing, rng.uniform(0.2, 0.8) * wide)
        room = high - frame - y
        if small.shape[0] > room:
            small = resized(small, max(4, small.shape[1] * room // small.shape[0]), room)
        over(body, small, frame + 4, y)
        y += small.shape[0] + 5
    return Piece(body, marks)


def patch(ink: Rgba, rng: np.random.Generator) -> Piece:
    """A stitched or woven label: cloth with a hem, the mark in thread."""
    ink = fitted(ink, min(160, max(ink.shape[:2])))
    pad = round(rng.uniform(0.15, 0.4) * min(ink.shape[:2])) + 4
    wide, high = ink.shape[1] + 2 * pad, ink.shape[0] + 2 * pad
    cloth = _plate(wide, high, ground_for(ink, rng), rng, corner=0.05)
    marks = np.zeros((high, wide), np.uint8)
    window = np.s_[pad : pad + ink.shape[0], pad : pad + ink.shape[1]]
    rows, columns = np.mgrid[0:high, 0:wide]
    weave = (1 + 0.07 * ((rows + columns) % 3 - 1))[..., None]
    cloth[..., :3] = (cloth[..., :3] * weave).clip(0, 255).astype(np.uint8)
    cloth[window][..., :3] = (
        printed(cloth[window][..., :3].astype(np.float32), ink, Matter.STITCHED, rng).clip(0, 255).astype(np.uint8)
    )
    marks[window][ink[..., 3] >= INK] = 1
    hem = tuple(float(v) for v in (cloth[pad // 2, wide // 2, :3] * rng.uniform(0.5, 1.4)).clip(0, 255))
    for x in range(3, wide - 6, 6):  # a dashed seam
        for y in (2, high - 3):
            cv2.line(cloth, (x, y), (x + 3, y), (*hem, 255), 1)
    return Piece(cloth, marks)


def sponsors(inks: Sequence[Rgba], rng: np.random.Generator) -> Piece:
    """A wall, awning or banner on which one to three marks repeat."""
    columns, rows = int(rng.integers(2, 7)), int(rng.integers(1, 6))
    cell_wide = max(28, 360 // columns)
    cell_high = max(20, round(cell_wide * rng.uniform(0.4, 0.8)))
    chosen = [inks[i % len(inks)] for i in range(int(rng.integers(1, 4)))]
    colour = ground_for(chosen[0], rng)
    board = np.zeros((cell_high * rows, cell_wide * columns, 4), np.uint8)
    board[:] = (*colour, 255)
    marks = np.zeros(board.shape[:2], np.uint8)
    fill = rng.uniform(0.5, 0.85)
    ready = []
    for ink in chosen:
        scale = fill * min(cell_wide / ink.shape[1], cell_high / ink.shape[0])
        ready.append(resized(ink, max(5, round(ink.shape[1] * scale)), max(5, round(ink.shape[0] * scale))))
    for row in range(rows):
        for column in range(columns):
            small = ready[(row + column) % len(ready)]
            x = column * cell_wide + (cell_wide - small.shape[1]) // 2
            y = row * cell_high + (cell_high - small.shape[0]) // 2
            stamp(board, marks, small, x, y, row * columns + column + 1)
    return Piece(_lit_from_a_side(board, rng), marks)


def pack(inks: Sequence[Rgba], clutter: Sequence[Rgba], rng: np.random.Generator) -> Piece:
    """A drawn box, can or bottle label with a mark, bands and small print; as a product it is unsure, being too plain."""
    wide, high = (round(v) for v in ((rng.uniform(90, 150), rng.uniform(120, 210))))
    ink = inks[0]
    colour = ground_for(ink, rng)
    face = np.zeros((high, wide, 4), np.uint8)
    face[:] = (*colour, 255)
    other = thing_colour(rng)
    for _ in range(int(rng.integers(0, 4))):
        if rng.random() < 0.5:
            y = int(rng.integers(high))
            cv2.rectangle(face, (0, y), (wide, y + int(rng.integers(3, high // 3))), (*other, 255), -1)
        else:
            centre = (int(rng.integers(wide)), int(rng.integers(high)))
            cv2.circle(face, centre, int(rng.integers(8, wide // 2)), (*other, 255), -1, cv2.LINE_AA)
    marks = np.zeros((high, wide), np.uint8)
    scale = min(rng.uniform(0.5, 0.92) * wide / ink.shape[1], rng.uniform(0.25, 0.5) * high / ink.shape[0])
    mark = resized(ink, max(6, round(ink.shape[1] * scale)), max(6, round(ink.shape[0] * scale)))
    x, y = (wide - mark.shape[1]) // 2, round(rng.uniform(0.06, 0.4) * high)
    if rng.random() < 0.6:  # plain behind the mark
        pad = 5
        cv2.rectangle(face, (0, y - pad), (wide, y + mark.shape[0] + pad), (*colour, 255), -1)
    for _ in range(int(rng.integers(0, 4)) if clutter else 0):
        small = fitted(clutter[int(rng.integers(len(clutter)))], rng.uniform(0.2, 0.7) * wide)
        over(face, small, int(rng.integers(0, max(1, wide - small.shape[1]))), int(rng.uniform(0.6, 0.95) * high))
    stamp(face, marks, mark, x, y, 1)
    piece = Piece(face, marks, product=True, product_unsure=True)
    if rng.random() < 0.55:
        return on_cylinder(piece, rng)
    return Piece(_lit_from_a_side(face, rng), marks, product=True, product_unsure=True)


def shadow_under(piece: Piece, rng: np.random.Generator) -> Rgba:
    """A soft dark copy of the piece's outline, to be laid first, a little lower."""
    size = (max(2, piece.rgba.shape[1] // 4), max(2, piece.rgba.shape[0] // 4))
    small = cv2.resize(piece.rgba[..., 3], size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(np.pad(small, 6), (0, 0), rng.uniform(0.6, 3))
    soft = cv2.resize(small, (small.shape[1] * 4, small.shape[0] * 4), interpolation=cv2.INTER_LINEAR)
    return np.dstack([np.zeros((*soft.shape, 3), np.uint8), (soft * rng.uniform(0.15, 0.6)).astype(np.uint8)])


def _plate(
    wide: int,
    high: int,
    colour: Sequence[float],
    rng: np.random.Generator,
    *,
    oval: bool = False,
    rim: bool = False,
    corner: float | None = None,
    flat: bool = False,
) -> Rgba:
    """A plain plate with round or sharp corners, or an oval one, with a rim of another shade."""
    shape = np.zeros((high, wide), np.uint8)
    radius = int(min(high, wide) * (rng.choice([0, 0, 0.08, 0.2, 0.5]) if corner is None else corner))
    draw: Callable[[LabelMap, int, int], None]

    def draw_oval(image: LabelMap, inset: int, value: int) -> None:
        axes = (max(1, wide // 2 - inset), max(1, high // 2 - inset))
        cv2.ellipse(image, (wide // 2, high // 2), axes, 0, 0, 360, value, -1, cv2.LINE_AA)

    def draw_rounded(image: LabelMap, inset: int, value: int) -> None:
        r = max(0, radius - inset)
        x1, y1, x2, y2 = inset, inset, wide - 1 - inset, high - 1 - inset
        cv2.rectangle(image, (x1 + r, y1), (x2 - r, y2), value, -1)
        cv2.rectangle(image, (x1, y1 + r), (x2, y2 - r), value, -1)
        for x in (x1 + r, x2 - r):
            for y in (y1 + r, y2 - r):
                cv2.circle(image, (x, y), r, value, -1, cv2.LINE_AA)

    draw = draw_oval if oval else draw_rounded
    draw(shape, 0, 255)
    plate = np.zeros((high, wide, 4), np.uint8)
    plate[..., :3] = np.array(colour).clip(0, 255).astype(np.uint8)
    plate[..., 3] = shape
    if rim and not flat:
        inner = np.zeros_like(shape)
        draw(inner, max(2, round(rng.uniform(0.02, 0.06) * min(high, wide))), 255)
        edge = np.array(thing_colour(rng), np.float32)
        weight = (inner.astype(np.float32) / 255)[..., None]
        plate[..., :3] = (plate[..., :3] * weight + edge * (1 - weight)).astype(np.uint8)
    return plate


def _lit_from_a_side(rgba: Rgba, rng: np.random.Generator) -> Rgba:
    """Uneven light over a flat thing, now and then a bright reflection."""
    high, wide = rgba.shape[:2]
    x, y = np.linspace(-1, 1, wide, dtype=np.float32)[None], np.linspace(-1, 1, high, dtype=np.float32)[:, None]
    a, b = rng.normal(0, 0.09, 2).astype(np.float32)
    light = 1 + a * x + b * y
    if rng.random() < 0.2:
        at, slant = rng.uniform(-1, 1), rng.uniform(-1, 1)
        light = light + np.float32(rng.uniform(0.1, 0.5)) * np.exp(-(((x + slant * y - at) / 0.2) ** 2)).astype(
            np.float32
        )
    lit = rgba.copy()
    lit[..., :3] = (rgba[..., :3] * light[..., None]).clip(0, 255).astype(np.uint8)
    return lit
