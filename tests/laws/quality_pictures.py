"""A dozen pictures of each kind that the signals tell of, made from the sample pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

SAMPLES = sorted(p for p in (Path(__file__).parents[2] / "datasets/samples/images").iterdir() if p.suffix != ".md")
PHOTOS = [p for p in SAMPLES if p.name not in ("logo.png", "carton.webp")]
COLOURS = ["white", "black", "#1e66c8", "#d0342c"]
LINES = ["orders", "for", "today", "are", "shown", "with", "their", "price", "and", "address"]
WORDS = ["NOT FOR SALE", "sample picture", "Studio Nord", "PREVIEW"]


def sample(number: int) -> Image.Image:
    with Image.open(PHOTOS[number % len(PHOTOS)]) as image:
        return image.convert("RGB")


def face(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(int(size))


def watermarked(number: int) -> Image.Image:
    """A word in rows over the whole picture, turned, at 40 %."""
    picture, word = sample(number), WORDS[number % 4]
    side = 2 * max(picture.size)
    layer = Image.new("L", (side, side))
    pen, size = ImageDraw.Draw(layer), min(picture.size) / 14
    width = pen.textlength(word, face(size)) * (1.3 + number % 3 / 10)
    for row in range(side // int(3 * size) + 1):
        for column in range(side // int(width) + 1):
            pen.text((column * width - row % 2 * width / 2, row * 3 * size), word, 102, face(size))
    layer = layer.rotate(20 + 5 * number)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    layer = layer.crop((left, top, left + picture.width, top + picture.height))
    return Image.composite(Image.new("RGB", picture.size, COLOURS[number % 2]), picture, layer)


def collage(number: int) -> Image.Image:
    """Four or six pictures with a gutter and an edge of 10 px."""
    columns = 2 + number % 2
    page = Image.new("RGB", (columns * 310 + 10, 630), COLOURS[number % 4])
    for i in range(2 * columns):
        page.paste(ImageOps.fit(sample(number + i), (300, 300)), (10 + i % columns * 310, 10 + i // columns * 310))
    return page


def screenshot(number: int) -> Image.Image:
    """A post on a phone or a page on a desktop, dark or light."""
    paper, ink = [("white", "black"), ("#121212", "#eeeeee")][number // 2 % 2]
    size = (720, 1280) if number % 2 else (1280, 800)
    page = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(page)
    pen.rectangle([0, 0, size[0], 50], fill="#888888")
    pen.text((30, 10), "12:4" + str(number % 10), ink, face(28))
    shot = ImageOps.fit(sample(number), (720, 540) if number % 2 else (560, 420))
    page.paste(shot, (0, 150) if number % 2 else (60, 150))
    for row in range(10):
        at = (30, 730 + 44 * row) if number % 2 else (680, 160 + 44 * row)
        pen.text(at, " ".join(LINES[row:] + LINES[:row])[: 14 + 7 * row % 17], ink, face(24))
    pen.rectangle([0, size[1] - 90, size[0], size[1]], fill="#dddddd" if paper == "white" else "#333333")
    return page


def captioned(number: int) -> tuple[Image.Image, float]:
    """A caption of one to three lines across the picture, and the share that its lines cover."""
    picture = sample(number).copy()
    pen, covered = ImageDraw.Draw(picture), 0.0
    size = picture.height * (0.07 + 0.02 * (number % 4))
    for row in range(1 + number % 3):
        at = picture.width * 0.05, picture.height * 0.1 + row * size * 1.3
        pen.text(at, "BIG SUMMER SALE", "white", face(size), stroke_width=2, stroke_fill="black")
        left, top, right, bottom = pen.textbbox(at, "BIG SUMMER SALE", face(size), stroke_width=2)
        covered += (min(right, picture.width) - left) * (bottom - top)
    return picture, covered / (picture.width * picture.height)


def framed(number: int) -> tuple[Image.Image, float]:
    """A frame, a letterbox, a pillarbox or one bar, and its share."""
    picture, bar = sample(number), 20 + 10 * number
    sides = [(bar, bar, bar, bar), (0, bar, 0, bar), (bar, 0, bar, 0), (0, 0, 0, bar)][number % 4]
    page = ImageOps.expand(picture, sides, ["black", "#101a5e", "#400010"][number % 3])
    return page, 1 - picture.width * picture.height / (page.width * page.height)


def enlarged(number: int) -> Image.Image:
    picture = sample(number)
    picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    return picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.BICUBIC)


def blurred(number: int) -> Image.Image:
    return Image.fromarray(cv2.GaussianBlur(np.asarray(sample(number)), (0, 0), 4))


def on_white(number: int) -> Image.Image:
    """A thing on an empty page, as packshots are: white, but in no frame."""
    page = Image.new("RGB", (500, 500), "white")
    pen = ImageDraw.Draw(page)
    pen.ellipse([150, 90 + 5 * number, 350, 420], fill=COLOURS[1 + number % 3])
    pen.rectangle([220, 60 + 5 * number, 280, 200], fill="#777777")
    return page
