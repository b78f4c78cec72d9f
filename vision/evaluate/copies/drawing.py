"""What people lay on a picture before they post it again: words, stickers, watermarks, and the screens that they photograph.

In: (h, w, 3) uint8 RGB and a random generator. Out: a new picture. Pure. `edits.py` names these edits and their shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision.report.lettering import font
from vision.values import Pixels

T = TypeVar("T")
PALETTE = ("white", "black", "#d32f2f", "#1976d2", "#fbc02d", "#388e3c", "#f57c00", "#7b1fa2")
VIVID = PALETTE[2:]
LEXICON = tuple(
    word
    for line in (
        "new sale today only best price quality original brand fashion summer collection limited offer free delivery shop now",
        "follow us for more style when you know it the last one left in stock reduced genuine leather top seller",
    )
    for word in line.split()
)
SMALLEST_LETTERS = 8


def scaled(pixels: Pixels, width: float, height: float) -> Pixels:
    """To a size in pixels, each side at least 16: averaged where both sides shrink, else cubic."""
    size = max(16, round(width)), max(16, round(height))
    shrinks = size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8)


def inside(pixels: Pixels, width: float, height: float) -> Pixels:
    """The whole picture as large as it fits into a box."""
    factor = min(width / pixels.shape[1], height / pixels.shape[0])
    return scaled(pixels, pixels.shape[1] * factor, pixels.shape[0] * factor)


def covering(pixels: Pixels, width: int, height: int) -> Pixels:
    """The middle of the picture, filling a box."""
    factor = max(width / pixels.shape[1], height / pixels.shape[0])
    large = scaled(pixels, max(pixels.shape[1] * factor, width), max(pixels.shape[0] * factor, height))
    left, top = (large.shape[1] - width) // 2, (large.shape[0] - height) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def choose(random: np.random.Generator, among: Sequence[T]) -> T:
    """One of them, each as likely."""
    return among[int(random.integers(len(among)))]


def words(random: np.random.Generator, count: int) -> str:
    """So many words of a shop."""
    return " ".join(choose(random, LEXICON) for _ in range(count))


def _letters(size: float) -> ImageFont.FreeTypeFont:
    return font(max(SMALLEST_LETTERS, int(size)))


def _line(random: np.random.Generator, letters: ImageFont.FreeTypeFont, width: float) -> str:
    """Capitals that fill a width."""
    text = words(random, 1).upper()
    while letters.getlength(text) < width:
        text += " " + words(random, 1).upper()
    while len(text) > 1 and letters.getlength(text) > width:
        text = text[:-1]
    return text


def watermark(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Two words again and again, aslant, at 43 % over the whole picture."""
    height, width = pixels.shape[:2]
    text = words(random, 2).upper()
    short = min(height, width)
    letters = _letters(short / 14)
    step_x, step_y = letters.getlength(text) + short / 9, short / 5
    diagonal = int(np.hypot(width, height)) + 2  # holds the picture however the layer is turned
    layer = Image.new("L", (diagonal, diagonal))
    draw = ImageDraw.Draw(layer)
    for row in range(int(diagonal / step_y) + 1):
        left = -step_x / 2 * (row % 2)
        for column in range(int(diagonal / step_x) + 2):
            draw.text((left + column * step_x, row * step_y), text, fill=110, font=letters)
    turned = np.asarray(layer.rotate(random.uniform(20, 40), Image.Resampling.BILINEAR))
    top, left = (diagonal - height) // 2, (diagonal - width) // 2
    share = turned[top : top + height, left : left + width, None] / np.float32(255)
    ink = float(choose(random, (0, 255)))
    return np.asarray(pixels * (1 - share) + ink * share + 0.5, np.uint8)


def words_over(share: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    """Lines of outlined capitals whose band covers that share of the picture: one line, three from a fifth on."""

    def over(pixels: Pixels, random: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        lines = 3 if share >= 0.2 else 1
        across = 0.92 * width
        band = share * height * width / across
        top = random.uniform(0.02, 0.97 - band / height) * height
        colour = choose(random, PALETTE)
        letters = _letters(band / lines / 1.05)
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        for number in range(lines):
            draw.text(
                (0.04 * width, top + number * band / lines),
                _line(random, letters, across),
                fill=colour,
                font=letters,
                stroke_width=max(1, int(letters.size / 18)),
                stroke_fill="white" if colour == "black" else "black",
            )
        return np.asarray(image)

    return over


def sticker(share: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    """A smiling face, a star or a label anywhere, its ink covering that share of the picture."""

    def stuck(pixels: Pixels, random: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        kind = choose(random, ("face", "star", "label"))
        filled = {"face": np.pi / 4, "star": STAR_SHARE, "label": 1.0}[kind]
        box = share * height * width / filled  # pixels of the upright box around the shape
        wide = min(np.sqrt(box), 0.98 * width)
        high = min(box / wide, 0.98 * height)
        corner = np.array([random.uniform(0, width - wide), random.uniform(0, height - high)])
        size = np.array([wide, high])

        def at(*parts: float) -> list[float]:
            """Places in the box, in 0 to 1, as pixels: x, y, x, y."""
            return [float(v) for v in (corner + np.reshape(parts, (-1, 2)) * size).ravel()]

        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        if kind == "face":
            draw.ellipse(at(0, 0, 1, 1), fill="#ffca28", outline="#a1760a", width=max(1, int(wide / 60)))
            for eye in (0.33, 0.67):
                draw.ellipse(at(eye - 0.07, 0.28, eye + 0.07, 0.48), fill="#3e2723")
            draw.chord(at(0.22, 0.35, 0.78, 0.85), 10, 170, fill="#8e2424")
        elif kind == "star":
            draw.polygon(at(*STAR.ravel()), fill=choose(random, PALETTE))
        else:
            draw.rounded_rectangle(at(0, 0, 1, 1), radius=wide / 10, fill=choose(random, VIVID))
            letters = _letters(high / 4)
            x, y = at(0.1, 0.35)
            draw.text((x, y), _line(random, letters, 0.8 * wide), fill="white", font=letters)
        return np.asarray(image)

    return stuck


_ANGLES = np.pi / 5 * np.arange(10)
_RADII = np.where(np.arange(10) % 2, 0.22, 0.5)
STAR = np.stack([0.5 + _RADII * np.sin(_ANGLES), 0.5 - _RADII * np.cos(_ANGLES)], axis=1)
# Of the box around it: ten triangles between the centre and neighbouring corners.
STAR_SHARE = float(10 * 0.5 * 0.5 * 0.22 * np.sin(np.pi / 5))


def meme(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Two lines on a white strip above, 22 % of the height, and one line over the lower edge."""
    height, width = pixels.shape[:2]
    strip = int(0.22 * height)
    canvas = np.full((height + strip, width, 3), 255, np.uint8)
    canvas[strip:] = pixels
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    small, large = _letters(strip / 3), _letters(strip / 2.4)
    for number, across in enumerate((0.92, 0.62)):
        place = 0.04 * width, strip * (0.08 + 0.45 * number)
        draw.text(place, _line(random, small, across * width), fill="black", font=small)
    draw.text(
        (0.1 * width, height + strip - 1.4 * large.size),
        _line(random, large, 0.8 * width),
        fill="white",
        font=large,
        stroke_width=3,
        stroke_fill="black",
    )
    return np.asarray(image)


def phone(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A post in a feed, on the screen of a phone of 720 × 1520."""
    dark = bool(random.integers(2))
    ground, ink, dim = ("#121212", "#ffffff", "#2c2c2c") if dark else ("#ffffff", "#111111", "#e0e0e0")
    image = Image.new("RGB", (720, 1520), ground)
    draw = ImageDraw.Draw(image)
    clock = f"{random.integers(0, 24)}:{random.integers(0, 60):02d}"
    draw.text((36, 12), clock, fill=ink, font=font(28))
    draw.rounded_rectangle((634, 16, 686, 42), radius=6, fill=ink)
    draw.ellipse((24, 80, 88, 144), fill=choose(random, VIVID))
    draw.text((104, 84), words(random, 2), fill=ink, font=font(28))
    draw.text((104, 118), words(random, 1), fill="#8a8a8a", font=font(20))
    shown = inside(pixels, 720, 1000)
    image.paste(Image.fromarray(shown), ((720 - shown.shape[1]) // 2, 170))
    below = 170 + shown.shape[0]
    for number in range(3):
        draw.ellipse((28 + 72 * number, below + 20, 68 + 72 * number, below + 60), outline=ink, width=4)
    for number in range(4):
        top = below + 82 + 40 * number
        if top < 1360:
            draw.text((28, top), words(random, 8), fill=ink if number else "#8a8a8a", font=font(26))
    draw.line((0, 1402, 720, 1402), fill=dim, width=4)
    for number in range(5):
        draw.rounded_rectangle((46 + 144 * number, 1430, 98 + 144 * number, 1482), radius=12, fill=dim)
    return np.asarray(image)


def desktop(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """The page of a shop in the window of a browser, 1440 × 900."""
    image = Image.new("RGB", (1440, 900), "#f6f6f6")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1440, 42), fill="#d0d5dc")
    draw.rounded_rectangle((96, 8, 372, 50), radius=10, fill="#ffffff")
    for number, light in enumerate(("#fc605c", "#fdbc40", "#34c749")):
        draw.ellipse((16 + 24 * number, 14, 30 + 24 * number, 28), fill=light)
    draw.rectangle((0, 42, 1440, 90), fill="#ffffff")
    draw.rounded_rectangle((150, 49, 1190, 83), radius=17, fill="#ececec")
    address = "shop.example/" + words(random, 2).replace(" ", "-")
    draw.text((174, 55), address, fill="#454545", font=font(18))
    draw.rectangle((0, 90, 1440, 152), fill=choose(random, PALETTE[1:]))
    draw.text((40, 104), words(random, 3).upper(), fill="white", font=font(28))
    shown = inside(pixels, 760, 640)
    image.paste(Image.fromarray(shown), (60, 190))
    draw.text((880, 196), words(random, 3), fill="black", font=font(34))
    for number in range(6):
        draw.text((880, 250 + 46 * number), words(random, 4), fill="#222222", font=font(20))
    draw.rounded_rectangle((880, 558, 1144, 620), radius=10, fill="#ff9d0a")
    for number in range(4):
        draw.rectangle((880 + 132 * number, 676, 992 + 132 * number, 792), fill="#dcdcdc")
    return np.asarray(image)
