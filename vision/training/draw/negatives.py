"""Things that look like marks and are none: text, tags, traffic signs, bolts, lamps, barcodes, controls, leaves; watermarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from vision.training.draw.foliage import foliage
from vision.training.draw.material import thing_colour
from vision.training.draw.piece import LabelMap, Rgba, extent, over
from vision.training.draw.shape import fitted, resized
from vision.values import Pixels

_WORDS = (
    "the of and to in for with on from by at is new all free size open close hours today call order price total items per day "
    "week made use wash warm cold dry keep away water sugar salt net weight best before see back door push pull exit enter "
    "please thank you parking left right street north east menu soup bread tea lunch room floor stairs sale off only now"
)
_COMMON = _WORDS.split(" ")


def clutter(n: int, fonts: Sequence[Path]) -> tuple[Rgba, ...]:
    """So many things that are no marks, (h, w, 4) uint8 each, about 200 pixels; the same arguments give the same ones."""
    makers: tuple[tuple[float, Callable[[np.random.Generator, Sequence[Path]], Rgba]], ...] = (
        (0.3, paragraph),
        (0.12, price_tag),
        (0.1, traffic_sign),
        (0.08, bolt),
        (0.08, lamp),
        (0.08, barcode),
        (0.08, number_plate),
        (0.1, control),
        (0.06, pattern),
        (0.14, foliage),
    )
    shares = np.array([share for share, _ in makers])
    things = []
    for number in range(n):
        rng = np.random.default_rng([number, 41])
        make = makers[int(rng.choice(len(makers), p=shares / shares.sum()))][1]
        thing = make(rng, fonts)
        things.append(fitted(thing, min(220, max(thing.shape[:2]))))
    return tuple(things)


def text_lines(n: int, fonts: Sequence[Path]) -> tuple[Rgba, ...]:
    """So many lines of small print, black, (h, w, 4) uint8."""
    found = []
    for number in range(n):
        rng = np.random.default_rng([number, 43])
        found.append(_written([_phrase(rng, int(rng.integers(2, 7)))], fonts, rng, size=18))
    return tuple(found)


def watermarks(n: int, fonts: Sequence[Path]) -> tuple[Rgba, ...]:
    """So many texts of shops and agencies, white or grey, in one line or two, with a ring or line now and then."""
    found = []
    for number in range(n):
        rng = np.random.default_rng([number, 47])
        name = "".join(str(rng.choice(list("aeiourstlnmkpbd"))) for _ in range(int(rng.integers(4, 9))))
        lines = [str(rng.choice([f"www.{name}.com", f"{name}.shop", f"© {name}", f"{name} store", f"@{name}"]))]
        if rng.random() < 0.3:
            lines.append(f"{rng.integers(10**6, 10**9)}")
        rgba = _written(lines, fonts, rng, size=40).copy()
        rgba[..., :3] = 250 if rng.random() < 0.7 else 120
        found.append(rgba)
    return tuple(found)


def page(
    longest: int, photos: Sequence[Pixels], things: Sequence[Rgba], lines: Sequence[Rgba], rng: np.random.Generator
) -> Pixels:
    """A printed or web page full of text in columns, with pictures, tables and tags."""
    high, wide = longest, round(longest * rng.uniform(0.65, 1.0))
    if rng.random() < 0.4:
        high, wide = wide, high
    dark = rng.random() < 0.12
    base = np.zeros((high, wide, 3), np.uint8)
    base[:] = rng.uniform(15, 50, 3) if dark else rng.uniform(225, 256, 3)
    columns = int(rng.integers(1, 4))
    gap = max(6, wide // 30)
    column_wide = (wide - gap * (columns + 1)) // columns
    for column in range(columns):
        x, y = gap + column * (column_wide + gap), int(gap * rng.uniform(0.5, 3))
        line_high = int(rng.integers(7, 16))
        while y < high - line_high:
            chance = rng.random()
            if chance < 0.05 and photos:
                photo = photos[int(rng.integers(len(photos)))]
                tall = min(high - y, round(column_wide * photo.shape[0] / photo.shape[1]))
                if tall > 10:
                    base[y : y + tall, x : x + column_wide] = cv2.resize(
                        photo, (column_wide, tall), interpolation=cv2.INTER_AREA
                    )
                y += tall + 6
            elif chance < 0.09 and things:
                thing = fitted(things[int(rng.integers(len(things)))], column_wide * rng.uniform(0.25, 0.8))
                over(base, thing, x, y)
                y += thing.shape[0] + 6
            elif lines:
                line = lines[int(rng.integers(len(lines)))]
                large = 2.2 if chance > 0.96 else 1.0
                tall = round(line_high * large)
                ink = resized(line, max(4, min(column_wide, round(line.shape[1] * tall / line.shape[0]))), tall)
                ink = np.dstack([np.full((*ink.shape[:2], 3), 225 if dark else 30, np.uint8), ink[..., 3]])
                over(base, ink, x, y)
                y += round(tall * 1.35) + (line_high if rng.random() < 0.1 else 0)
            else:
                break
    return base


def paragraph(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """One to eight lines of text, with or without paper."""
    lines = [_phrase(rng, int(rng.integers(2, 8))) for _ in range(int(rng.integers(1, 9)))]
    ink = _written(lines, fonts, rng, size=22)
    if rng.random() < 0.55:
        return _on_paper(ink, rng, rng.uniform(200, 256, 3))
    ink = ink.copy()
    ink[..., :3] = np.array(thing_colour(rng), np.uint8) if rng.random() < 0.4 else rng.choice([20, 240])
    return ink


def price_tag(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """A price on a coloured card."""
    price = f"{rng.integers(1, 100)}{rng.choice(['.', ','])}{rng.choice(['99', '95', '50', '00', '49'])}"
    lines = [price + str(rng.choice(["", " €", " $", "/kg"]))]
    if rng.random() < 0.6:
        lines.insert(0, _phrase(rng, 2))
    paper = (235, 205, 40) if rng.random() < 0.3 else (215, 40, 40) if rng.random() < 0.3 else rng.uniform(220, 256, 3)
    return _on_paper(_written(lines, fonts, rng, size=44), rng, paper)


def traffic_sign(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """Round, triangular, octagonal or square, with a rim and an arrow, a bar or a number."""
    side = 160
    rgba = np.zeros((side, side, 4), np.uint8)
    reds = ((205, 30, 35, 255), (245, 245, 245, 255), (25, 25, 25, 255))
    blues = ((25, 80, 170, 255), (25, 80, 170, 255), (245, 245, 245, 255))
    rim, face, figure = reds if rng.random() < 0.6 else blues
    corners = int(rng.choice([0, 3, 4, 4, 8]))
    for reach, colour in ((0.49, rim), (0.39, face)):
        if corners == 0:
            cv2.circle(rgba, (side // 2, side // 2), int(reach * side), colour, -1, cv2.LINE_AA)
        else:
            start = np.pi / 2 if corners == 3 else np.pi / corners
            angles = start + np.arange(corners) * 2 * np.pi / corners + (np.pi if corners == 3 else 0)
            points = side / 2 + reach * side * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            cv2.fillPoly(rgba, [points.astype(np.int32)], colour, cv2.LINE_AA)
    kind, middle = rng.random(), side // 2
    if kind < 0.35:
        text = _written([str(rng.choice(["30", "50", "60", "80", "P", "STOP", "!", "i"]))], fonts, rng, size=60)
        text = fitted(text, side * 0.42).copy()
        text[..., :3] = figure[:3]
        over(rgba, text, middle - text.shape[1] // 2, middle - text.shape[0] // 2)
    elif kind < 0.75:
        tip = side / 2 + side * 0.28 * np.array([np.cos(angle := rng.uniform(0, 2 * np.pi)), np.sin(angle)])
        tail = (int(side - tip[0]), int(side - tip[1]))
        cv2.arrowedLine(rgba, tail, (int(tip[0]), int(tip[1])), figure, 12, cv2.LINE_AA, tipLength=0.4)
    else:
        cv2.rectangle(rgba, (middle - 45, middle - 10), (middle + 45, middle + 10), figure, -1)
    return rgba


def bolt(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """A screw or bolt head, a rivet or a hub."""
    side, grey = 96, rng.uniform(60, 210)
    rgba = _disc(side, grey, grey * rng.uniform(0.3, 1.5), rng)
    middle, dark = side // 2, (*(float(v) for v in [grey * 0.35] * 3), 255.0)
    kind = int(rng.integers(4))
    if kind == 0:
        cv2.line(rgba, (18, middle), (side - 18, middle), dark, 8)
    if kind in {1, 3}:
        cv2.line(rgba, (24, middle), (side - 24, middle), dark, 9)
        cv2.line(rgba, (middle, 24), (middle, side - 24), dark, 9)
    if kind == 2:
        angles = np.arange(6) * np.pi / 3 + rng.uniform(0, 1)
        points = middle + 26 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(rgba, [points.astype(np.int32)], dark, cv2.LINE_AA)
    return rgba


def lamp(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """A head lamp, reflector, button or traffic light."""
    colour = np.array(
        [(255, 250, 235), (255, 60, 40), (255, 190, 60), (80, 230, 120), (240, 240, 255)][int(rng.integers(5))]
    )
    side = 96
    x = np.linspace(-1, 1, side, dtype=np.float32)
    away = np.sqrt(x[None] ** 2 + x[:, None] ** 2)
    bright = np.clip(1.15 - away, 0, 1)[..., None] ** rng.uniform(0.4, 2)
    alpha = np.clip((1 - away) * (30 if rng.random() < 0.5 else 2), 0, 1) * 255
    rgba = np.dstack([colour * bright + 30 * (1 - bright), alpha]).clip(0, 255).astype(np.uint8)
    stretch = round(side * rng.uniform(0.5, 1))
    return resized(rgba, side, stretch)


def barcode(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """Bars, or the squares of a two-dimensional code, on white."""
    if rng.random() < 0.6:
        bars = np.repeat((rng.random(60) < 0.5).astype(np.uint8), rng.integers(1, 4, 60)).reshape(1, -1)
        code: LabelMap = np.repeat(bars, int(rng.integers(30, 90)), axis=0)
    else:
        code = np.asarray(np.kron((rng.random((25, 25)) < 0.5).astype(np.uint8), np.ones((4, 4), np.uint8)), np.uint8)
        for y, x in ((0, 0), (0, 72), (72, 0)):
            code[y : y + 28, x : x + 28] = 1
            code[y + 4 : y + 24, x + 4 : x + 24] = 0
            code[y + 8 : y + 20, x + 8 : x + 20] = 1
    framed = np.pad(np.asarray(code, np.uint8), 8)
    grey = np.where(framed, 20, 245).astype(np.uint8)
    return np.dstack([grey, grey, grey, np.full_like(grey, 255)])


def number_plate(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """A number plate."""
    letters = "".join(str(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ"))) for _ in range(int(rng.integers(2, 5))))
    ink = _written([f"{letters} {rng.integers(10, 10000)}"], fonts, rng, size=44)
    return _on_paper(ink, rng, (240, 215, 60) if rng.random() < 0.3 else (240, 240, 240), rim=True)


def control(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """Part of an interface: a button with a word, arrows, a menu, a switch, a cross, a star rating."""
    kind = int(rng.integers(6))
    colour = thing_colour(rng)
    if kind == 0:
        return _on_paper(_written([_phrase(rng, 2)], fonts, rng, size=30), rng, thing_colour(rng))
    rgba = np.zeros((80, 80, 4), np.uint8)
    ink = (*colour, 255)
    if kind == 1:
        for y in (20, 40, 60):
            cv2.line(rgba, (12, y), (68, y), ink, 8)
    elif kind == 2:
        cv2.polylines(rgba, [np.array([(28, 14), (56, 40), (28, 66)])], False, ink, 9, cv2.LINE_AA)
    elif kind == 3:
        cv2.line(rgba, (16, 16), (64, 64), ink, 8, cv2.LINE_AA)
        cv2.line(rgba, (64, 16), (16, 64), ink, 8, cv2.LINE_AA)
    elif kind == 4:
        cv2.circle(rgba, (34, 34), 20, ink, 7, cv2.LINE_AA)
        cv2.line(rgba, (48, 48), (68, 68), ink, 9, cv2.LINE_AA)
    else:
        rgba = np.zeros((40, 200, 4), np.uint8)
        angles = -np.pi / 2 + np.arange(10) * np.pi / 5
        reach = np.where(np.arange(10) % 2, 8, 18)
        for star in range(5):
            points = np.stack([20 + star * 40 + reach * np.cos(angles), 20 + reach * np.sin(angles)], axis=1)
            cv2.fillPoly(rgba, [points.astype(np.int32)], (240, 180, 30, 255), cv2.LINE_AA)
    left, top, right, bottom = extent(rgba[..., 3] > 0)
    return np.ascontiguousarray(rgba[top:bottom, left:right])


def pattern(rng: np.random.Generator, fonts: Sequence[Path]) -> Rgba:
    """Stripes, checks, dots or zigzags on cloth or tape."""
    high, wide, pitch = 120, int(rng.integers(80, 220)), int(rng.integers(6, 40))
    rows, columns = np.mgrid[0:high, 0:wide]
    kind = int(rng.integers(4))
    if kind == 0:
        on = (columns + int(rng.integers(-1, 2)) * rows) // pitch % 2
    elif kind == 1:
        on = (columns // pitch + rows // pitch) % 2
    elif kind == 2:
        on = ((columns % pitch - pitch / 2) ** 2 + (rows % pitch - pitch / 2) ** 2 < (pitch / 3.2) ** 2).astype(int)
    else:
        on = (rows + np.abs(columns % (2 * pitch) - pitch)) // pitch % 2
    two = np.array([thing_colour(rng), thing_colour(rng)], np.float64)
    return np.dstack([two[on], np.full((high, wide), 255.0)]).astype(np.uint8)


def _phrase(rng: np.random.Generator, words: int) -> str:
    chosen = " ".join(str(w) for w in rng.choice(_COMMON, words))
    return chosen.upper() if rng.random() < 0.25 else chosen.capitalize() if rng.random() < 0.5 else chosen


def _written(lines: Sequence[str], fonts: Sequence[Path], rng: np.random.Generator, *, size: int) -> Rgba:
    """Black text without ground, cropped to the ink; in the one built-in font where the machine has none."""
    from PIL import Image, ImageDraw, ImageFont

    face: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.load_default(size)
    if fonts:
        try:
            found = ImageFont.truetype(str(fonts[int(rng.integers(len(fonts)))]), size)
            if all(found.getmask(c).getbbox() is not None for c in "aEo5"):
                face = found
        except OSError:  # a damaged font: the built-in one will do for small print
            pass
    text = "\n".join(lines)
    wide = int(max(face.getlength(line) for line in lines)) + 4 * size
    image = Image.new("L", (wide, 3 * size + 2 * size * len(lines)))
    align = str(rng.choice(["left", "left", "center"]))
    ImageDraw.Draw(image).multiline_text((size, size), text, fill=255, font=face, align=align)
    alpha = np.asarray(image, np.uint8)
    left, top, right, bottom = extent(alpha > 20)
    if right - left < 3 or bottom - top < 3:
        alpha = np.full((3, 12), 255, np.uint8)
        left, top, right, bottom = 0, 0, 12, 3
    alpha = alpha[top:bottom, left:right]
    return np.dstack([np.full((*alpha.shape, 3), 20, np.uint8), alpha])


def _on_paper(ink: Rgba, rng: np.random.Generator, colour: object, *, rim: bool = False) -> Rgba:
    pad = round(rng.uniform(0.1, 0.5) * min(60, ink.shape[0])) + 4
    paper = np.zeros((ink.shape[0] + 2 * pad, ink.shape[1] + 2 * pad, 4), np.uint8)
    paper[..., :3] = np.asarray(colour, np.float64).astype(np.uint8)
    paper[..., 3] = 255
    over(paper, ink, pad, pad)
    if rim:
        cv2.rectangle(paper, (1, 1), (paper.shape[1] - 2, paper.shape[0] - 2), (20, 20, 20, 255), 2)
    return paper


def _disc(side: int, inner: float, outer: float, rng: np.random.Generator) -> Rgba:
    x = np.linspace(-1, 1, side, dtype=np.float32)
    away = np.sqrt((x[None] - rng.uniform(-0.3, 0.3)) ** 2 + (x[:, None] - rng.uniform(-0.3, 0.3)) ** 2)
    grey = (inner + (outer - inner) * away).clip(0, 255)
    alpha = np.zeros((side, side), np.uint8)
    cv2.circle(alpha, (side // 2, side // 2), side // 2 - 1, 255, -1, cv2.LINE_AA)
    return np.dstack([grey, grey, grey * rng.uniform(0.8, 1), alpha]).astype(np.uint8)
