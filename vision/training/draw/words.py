"""Word marks of invented names, drawn in the fonts of the machine; symbols and lock-ups to go with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import DatasetError
from vision.training.draw.material import brand_colour
from vision.training.draw.names import brand_name
from vision.training.draw.piece import Ink, extent
from vision.training.draw.shape import fitted

Alpha = npt.NDArray[np.uint8]

FONTS = Path("/usr/share/fonts")
# Debian's packages with the most character for their size; datasets/README.md lists more.
PACKAGES = "fonts-lobster fonts-bebas-neue fonts-lato fonts-kaushanscript fonts-roboto-slab fonts-urw-base35"
LEAST_FONTS = 5
_HEIGHT = 88  # pixels of the letters drawn
_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&+-.'"
_TEXT_FACES = (
    "lato-",
    "roboto",
    "nimbus",
    "c059",
    "p052",
    "dejavu",
    "cabin",
    "karla",
    "linlibertine",
    "vollkorn",
    "courier",
    "yanone",
)
_NOT_LETTERS = (
    "symbol",
    "dingbat",
    "emoji",
    "awesome",
    "icon",
    "math",
    "d050000l",
    "standardsymbols",
    "wingding",
    "braille",
)


def find_fonts(folder: Path = FONTS) -> list[Path]:
    """Scalable fonts with Latin letters, in a fixed order.

    Raises DatasetError (missing) with Debian packages to install when there are fewer than five.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".ttf", ".otf"})
    usable = [p for p in found if not any(w in p.name.lower() for w in _NOT_LETTERS)]
    if len(usable) < LEAST_FONTS:
        raise DatasetError(
            "missing",
            f"{len(usable)} fonts are too few to draw word marks with",
            path=str(folder),
            hint=f"on Debian: apt-get install {PACKAGES}; or leave `wordmarks` out of the ingredients",
        )
    return usable


def word_marks(n: int, fonts: Sequence[Path], left_out: Sequence[str], symbols: Sequence[Ink] = ()) -> tuple[Ink, ...]:
    """So many invented word marks, some with a symbol as one lock-up; the same arguments give the same marks."""
    by_family: dict[str, list[Path]] = {}
    for path in fonts:
        by_family.setdefault(path.name.split("-")[0].split(".")[0].lower()[:9], []).append(path)
    families = [by_family[name] for name in sorted(by_family)]
    marks = []
    for number in range(n):
        rng = np.random.default_rng([number, 31])
        family = families[int(rng.integers(len(families)))]
        drawn = lettering(brand_name(rng, left_out), family[int(rng.integers(len(family)))], rng)
        if drawn is None:
            continue
        if rng.random() < 0.2:
            drawn = _decorated(drawn, rng)
        colour = brand_colour(rng)
        rgba = np.dstack([np.broadcast_to(np.array(colour, np.uint8), (*drawn.shape, 3)), drawn])
        mark = Ink(rgba, colour)
        if symbols and rng.random() < 0.4:
            mark = lock_up(symbols[int(rng.integers(len(symbols)))], mark, rng)
        marks.append(mark)
    return tuple(marks)


def lettering(text: str, font: Path, rng: np.random.Generator) -> Alpha | None:
    """Alpha of a text in a font, (h, w) uint8 cropped to the ink; None when the font lacks its letters."""
    from PIL import Image, ImageDraw, ImageFont

    if not can_write(font):
        return None
    face = ImageFont.truetype(str(font), _HEIGHT)
    spaced = rng.random() < 0.3
    wide = int(face.getlength(text) + len(text) * _HEIGHT * 0.4) + 3 * _HEIGHT
    if wide > 40 * _HEIGHT:
        return None
    image = Image.new("L", (wide, 3 * _HEIGHT))
    pen = ImageDraw.Draw(image)
    if spaced:
        x, gap = float(_HEIGHT), rng.uniform(-0.04, 0.25) * _HEIGHT
        for letter in text:
            pen.text((x, _HEIGHT), letter, fill=255, font=face)
            x += face.getlength(letter) + gap
    else:
        pen.text((_HEIGHT, _HEIGHT), text, fill=255, font=face)
    alpha = np.asarray(image, np.uint8)
    if rng.random() < 0.2:  # a slanted cut of the same letters
        lean = np.array([[1, -rng.uniform(0.1, 0.3), 0.5 * _HEIGHT], [0, 1, 0]], np.float32)
        alpha = np.asarray(cv2.warpAffine(alpha, lean, (alpha.shape[1], alpha.shape[0])), np.uint8)
    left, top, right, bottom = extent(alpha > 20)
    if right - left < 12 or bottom - top < 12:
        return None
    alpha = alpha[top:bottom, left:right]
    stretch = float(np.exp(rng.normal(0, 0.15)))
    return np.ascontiguousarray(cv2.resize(alpha, (max(8, round(alpha.shape[1] * stretch)), alpha.shape[0])), np.uint8)


@lru_cache(maxsize=4096)
def can_write(font: Path) -> bool:
    """True when a font can be read and has the Latin letters, figures and signs that names are made of."""
    from PIL import ImageFont

    try:
        face = ImageFont.truetype(str(font), 16)
        return all(face.getmask(c).getbbox() is not None for c in _SIGNS)
    except (OSError, ValueError):  # damaged, or of bitmaps
        return False


def plain_fonts(fonts: Sequence[Path]) -> list[Path]:
    """Fonts that paragraphs and price tags are set in; all of them when none is known as such."""
    found = [p for p in fonts if p.name.lower().startswith(_TEXT_FACES) and "italic" not in p.name.lower()]
    return found or list(fonts)


def lock_up(symbol: Ink, word: Ink, rng: np.random.Generator) -> Ink:
    """Symbol and word as one mark: beside each other or one above the other."""
    one = rng.random() < 0.6
    colour = word.colour if one and symbol.colour else None
    word_high, word_wide = word.rgba.shape[:2]
    beside = rng.random() < 0.6
    sign = fitted(symbol.rgba, rng.uniform(0.9, 1.7) * word_high if beside else rng.uniform(0.3, 0.7) * word_wide)
    if colour is not None:
        sign = np.dstack([np.broadcast_to(np.array(colour, np.uint8), (*sign.shape[:2], 3)), sign[..., 3]])
    high, wide = sign.shape[:2]
    gap = round(rng.uniform(0.12, 0.45) * word_high)
    if beside:
        canvas = np.zeros((max(high, word_high), wide + gap + word_wide, 4), np.uint8)
        first, second = (0, (canvas.shape[0] - high) // 2), (wide + gap, (canvas.shape[0] - word_high) // 2)
        if rng.random() < 0.2:  # the word first
            first, second = (word_wide + gap, first[1]), (0, second[1])
    else:
        canvas = np.zeros((high + gap + word_high, max(wide, word_wide), 4), np.uint8)
        first, second = ((canvas.shape[1] - wide) // 2, 0), ((canvas.shape[1] - word_wide) // 2, high + gap)
    for part, (x, y) in ((sign, first), (word.rgba, second)):
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Ink(fitted(canvas, min(256.0, max(canvas.shape[:2]))), colour)


def _decorated(alpha: Alpha, rng: np.random.Generator) -> Alpha:
    """With a line under it, a ring or frame round it, or cut out of a bar."""
    high, wide = alpha.shape
    pad = round(rng.uniform(0.2, 0.5) * high)
    framed = np.pad(alpha, pad)
    thick = max(2, round(rng.uniform(0.04, 0.1) * high))
    kind = int(rng.integers(4))
    size = (framed.shape[1], framed.shape[0])
    if kind == 0:
        y = pad + high + pad // 2
        cv2.line(framed, (pad, y), (pad + wide, y), 255, thick)
        return np.ascontiguousarray(framed[pad:, pad:-pad])
    if kind == 1:
        cv2.rectangle(framed, (thick, thick), (size[0] - thick - 1, size[1] - thick - 1), 255, thick)
        return framed
    ring = np.zeros_like(framed) if kind == 2 else np.full_like(framed, 255)
    if kind == 2:
        framed = np.pad(alpha, ((round(0.6 * high),) * 2, (round(0.25 * wide),) * 2))
        ring = np.zeros_like(framed)
        middle = (framed.shape[1] // 2, framed.shape[0] // 2)
        cv2.ellipse(ring, middle, (middle[0] - thick, middle[1] - thick), 0, 0, 360, 255, thick, cv2.LINE_AA)
        return np.maximum(framed, ring)
    return np.asarray(255 - framed, np.uint8)
