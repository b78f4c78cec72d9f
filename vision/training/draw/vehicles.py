"""Vans, lorries and cars seen from the side, with a mark on the box, the side or the door."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vision.training.draw.material import ground_for, thing_colour
from vision.training.draw.piece import LabelMap, Piece, Rgba, stamp
from vision.training.draw.shape import resized

LONG = 400  # pixels from bumper to bumper at which vehicles are drawn
_Colour = Sequence[float]
_Panel = tuple[float, float, float, float]  # xyxy in which a mark has room, as shares of the sides
_GLASS, _TYRE, _UNDER = (44.0, 52.0, 60.0), (24.0, 24.0, 26.0), (30.0, 30.0, 32.0)


def vehicle(inks: Sequence[Rgba], rng: np.random.Generator) -> Piece:
    """A van, lorry or car, facing either way; the first mark on it once, now and then again, smaller, on the door of the cab.

    inks: at least one mark. Boxes go round the ink, all of which lies on painted metal: not on glass, wheels or air.
    """
    draw = (_van, _lorry, _car)[int(rng.choice(3, p=(0.42, 0.36, 0.22)))]
    body, panels = draw(ground_for(inks[0], rng), rng)
    if rng.random() < 0.5:
        body = np.ascontiguousarray(body[:, ::-1])
        panels = [(1 - right, top, 1 - left, bottom) for left, top, right, bottom in panels]
    marks = np.zeros(body.shape[:2], np.uint8)
    for number, panel in enumerate(panels, start=1):
        if number == 1 or rng.random() < 0.3:
            _stamp_on(body, marks, inks[0], panel, number, rng)
    return Piece(_lit_from_above(body, rng), marks)


def _van(colour: _Colour, rng: np.random.Generator) -> tuple[Rgba, list[_Panel]]:
    body = _blank(rng.uniform(0.4, 0.52))
    roof = rng.uniform(0.66, 0.74)  # where the windscreen begins
    outline = [
        (0.01, 0.07),
        (0.03, 0.02),
        (roof, 0.02),
        (0.86, 0.44),
        (0.97, 0.53),
        (0.99, 0.7),
        (0.99, 0.88),
        (0.01, 0.88),
    ]
    _fill(body, outline, colour)
    _glass(body, [(0.64, 0.1), (roof - 0.01, 0.1), (0.82, 0.43), (0.64, 0.43)], rng)
    seam = _shade(colour, 0.72)
    for x in (0.04, 0.61, 0.8):
        _line(body, (x, 0.06 if x < 0.7 else 0.47), (x, 0.8), seam)
    if rng.random() < 0.5:  # the rail of a sliding door
        _line(body, (0.06, 0.66), (0.4, 0.66), seam)
    _trim(body, colour, rng)
    _wheels(body, (0.2, 0.82), 0.078, rng)
    return body, [(0.07, 0.08, 0.58, 0.58), (0.65, 0.49, 0.77, 0.63)]


def _lorry(colour: _Colour, rng: np.random.Generator) -> tuple[Rgba, list[_Panel]]:
    body = _blank(rng.uniform(0.34, 0.48))
    gap, cab = rng.uniform(0.7, 0.76), thing_colour(rng) if rng.random() < 0.6 else colour
    _fill(body, [(0.02, 0.7), (0.97, 0.7), (0.97, 0.86), (0.02, 0.86)], _UNDER)
    _fill(body, [(0.01, 0.01), (gap, 0.01), (gap, 0.74), (0.01, 0.74)], colour)
    edge = _shade(colour, 0.75)
    for y in (0.02, 0.72):
        _line(body, (0.01, y), (gap, y), edge, 2)
    for x in np.linspace(0.01, gap, int(rng.choice([2, 2, 6, 10, 16]))):  # ribs, or the folds of a curtain
        _line(body, (float(x), 0.02), (float(x), 0.72), _shade(colour, 0.93))
    top = rng.uniform(0.1, 0.24)
    _fill(body, [(gap + 0.02, top), (0.95, top), (0.99, 0.52), (0.99, 0.9), (gap + 0.02, 0.9)], cab)
    _glass(body, [(gap + 0.07, top + 0.08), (0.94, top + 0.08), (0.965, 0.48), (gap + 0.07, 0.48)], rng)
    _line(body, (gap + 0.05, top + 0.05), (gap + 0.05, 0.85), _shade(cab, 0.7))
    _lamps(body, 0.74)
    rear = (0.12, 0.22) if rng.random() < 0.6 else (0.17,)
    _wheels(body, (*rear, 0.87), 0.05, rng)
    return body, [(0.04, 0.07, gap - 0.03, 0.67)]


def _car(colour: _Colour, rng: np.random.Generator) -> tuple[Rgba, list[_Panel]]:
    body = _blank(rng.uniform(0.31, 0.38))
    back = rng.uniform(0.07, 0.27)  # where the roof ends: an estate to a saloon
    outline = [(0.01, 0.6), (0.03, 0.42), (back - 0.03, 0.37), (back + 0.05, 0.06), (0.36, 0.02), (0.54, 0.05)]
    outline += [(0.71, 0.38), (0.93, 0.45), (0.99, 0.6), (0.99, 0.86), (0.01, 0.86)]
    _fill(body, outline, colour)
    _glass(body, [(back + 0.03, 0.36), (back + 0.08, 0.11), (0.53, 0.11), (0.66, 0.37)], rng)
    pillar = rng.uniform(0.4, 0.44)
    _line(body, (pillar, 0.09), (pillar, 0.38), colour, 6)
    for x in (pillar, 0.66):
        _line(body, (x, 0.4), (x, 0.8), _shade(colour, 0.7))
    _line(body, (pillar + 0.02, 0.44), (pillar + 0.05, 0.44), _shade(colour, 0.5), 3)
    _trim(body, colour, rng)
    _wheels(body, (0.19, 0.8), 0.068, rng)
    door = (pillar + 0.015, 0.47, 0.65, 0.78)
    return body, [door if rng.random() < 0.6 else (0.28, 0.47, 0.7, 0.78)]


def _blank(high: float) -> Rgba:
    return np.zeros((round(LONG * high), LONG, 4), np.uint8)


def _fill(rgba: Rgba, points: Sequence[tuple[float, float]], colour: _Colour) -> None:
    """A polygon whose corners are shares of the sides."""
    corners = np.array(points) * (rgba.shape[1], rgba.shape[0])
    cv2.fillPoly(rgba, [corners.round().astype(np.int32)], (*colour, 255.0), cv2.LINE_AA)


def _line(
    rgba: Rgba, start: tuple[float, float], end: tuple[float, float], colour: _Colour, thickness: int = 1
) -> None:
    high, wide = rgba.shape[:2]
    first, last = ((round(x * wide), round(y * high)) for x, y in (start, end))
    cv2.line(rgba, first, last, (*colour, 255.0), thickness, cv2.LINE_AA)


def _shade(colour: _Colour, factor: float) -> tuple[float, float, float]:
    red, green, blue = (min(255.0, v * factor) for v in colour)
    return red, green, blue


def _glass(rgba: Rgba, points: Sequence[tuple[float, float]], rng: np.random.Generator) -> None:
    """A dark window in a rubber frame, with a slanting reflection now and then."""
    pane = np.zeros(rgba.shape[:2], np.uint8)
    corners = (np.array(points) * (rgba.shape[1], rgba.shape[0])).round().astype(np.int32)
    cv2.fillPoly(pane, [corners], 255)
    rows, columns = np.nonzero(pane)
    shine = rng.uniform(0.5, 1.5) + 0.8 * (rows.max() - rows) / max(1, np.ptp(rows))
    if rng.random() < 0.6:
        slant = (columns + 0.6 * rows - columns.min()) / max(1, np.ptp(columns))
        shine = shine + 1.2 * np.exp(-(((slant - rng.uniform(0.2, 1)) / 0.15) ** 2))
    rgba[rows, columns, :3] = (np.array(_GLASS) * shine[:, None]).clip(0, 235).astype(np.uint8)
    cv2.polylines(rgba, [corners], True, (*_TYRE, 255.0), 2, cv2.LINE_AA)


def _trim(rgba: Rgba, colour: _Colour, rng: np.random.Generator) -> None:
    """The sill, in plastic or darker paint, and lamps."""
    sill = _UNDER if rng.random() < 0.5 else _shade(colour, 0.6)
    _fill(rgba, [(0.01, 0.81), (0.99, 0.81), (0.98, 0.88), (0.02, 0.88)], sill)
    _lamps(rgba, 0.6)


def _lamps(rgba: Rgba, y: float) -> None:
    _fill(rgba, [(0.95, y - 0.02), (0.985, y), (0.985, y + 0.07), (0.955, y + 0.06)], (238.0, 240.0, 232.0))
    _fill(rgba, [(0.012, y), (0.028, y), (0.028, y + 0.1), (0.012, y + 0.1)], (176.0, 28.0, 30.0))


def _wheels(rgba: Rgba, places: Sequence[float], radius: float, rng: np.random.Generator) -> None:
    """Wheels in their arches on the lower edge. radius: as a share of the length."""
    high, wide = rgba.shape[:2]
    reach = round(radius * wide)
    rim, spokes = (float(rng.uniform(70, 215)),) * 3, int(rng.choice([0, 5, 6, 8]))
    start = rng.uniform(0, np.pi)
    for place in places:
        centre = (round(place * wide), high - reach - 2)
        cv2.ellipse(rgba, centre, (reach + 4, reach + 4), 0, 180, 360, (14, 14, 15, 255), -1, cv2.LINE_AA)
        cv2.circle(rgba, centre, reach, (*_TYRE, 255.0), -1, cv2.LINE_AA)
        cv2.circle(rgba, centre, round(0.62 * reach), (*rim, 255.0), -1, cv2.LINE_AA)
        for angle in start + np.arange(spokes) * 2 * np.pi / max(1, spokes):
            hole = (centre[0] + round(0.4 * reach * np.cos(angle)), centre[1] + round(0.4 * reach * np.sin(angle)))
            cv2.circle(rgba, hole, max(1, round(0.11 * reach)), (*_TYRE, 255.0), -1, cv2.LINE_AA)
        cv2.circle(rgba, centre, max(2, round(0.15 * reach)), (*_shade(rim, 0.7), 255.0), -1, cv2.LINE_AA)


def _stamp_on(body: Rgba, marks: LabelMap, ink: Rgba, panel: _Panel, number: int, rng: np.random.Generator) -> None:
    """A mark in a panel, filling some of it, anywhere where it has room."""
    high, wide = body.shape[:2]
    left, top, right, bottom = panel[0] * wide, panel[1] * high, panel[2] * wide, panel[3] * high
    scale = rng.uniform(0.55, 1.0) * min((right - left) / ink.shape[1], (bottom - top) / ink.shape[0])
    mark = resized(ink, max(6, int(ink.shape[1] * scale)), max(6, int(ink.shape[0] * scale)))
    x = left + rng.uniform(0, 1) * max(0.0, right - left - mark.shape[1])
    y = top + rng.uniform(0, 1) * max(0.0, bottom - top - mark.shape[0])
    stamp(body, marks, mark, int(x), int(y), number)


def _lit_from_above(rgba: Rgba, rng: np.random.Generator) -> Rgba:
    """Light from the sky: brighter at the roof, darker below, with the soft reflection of a horizon and some dirt at the sill."""
    y = np.linspace(0, 1, rgba.shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, rgba.shape[1], dtype=np.float32)[None]
    light = rng.uniform(1.0, 1.1) - rng.uniform(0.1, 0.35) * y + rng.normal(0, 0.06) * x
    light = light + rng.uniform(0, 0.12) * np.exp(-(((y - rng.uniform(0.3, 0.6)) / 0.05) ** 2))
    dirt = rng.uniform(0, 0.5) * np.clip((y - 0.72) / 0.28, 0, 1)[..., None]
    lit = rgba.copy()
    colour = rgba[..., :3] * light[..., None]
    lit[..., :3] = (colour + (np.array((104, 92, 76)) - colour) * dirt).clip(0, 255).astype(np.uint8)
    return lit
