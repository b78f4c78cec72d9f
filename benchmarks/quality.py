"""Fits the likelihoods of `vision.quality` to edited photographs, and says how well they and the measured signals do.

    python benchmarks/quality.py fit --photos FOLDER --others SET.jsonl... [--only REFS.jsonl] [--out vision/quality/fitted.py]
    python benchmarks/quality.py battery FOLDER      the copy battery's queries, which this file did not draw
    python benchmarks/quality.py time FOLDER         milliseconds of one core a picture

fit draws 700 pictures of each kind (2,100 of those with other edits or none) from one half of the photographs and measures on
400 (1,200) drawn from the other half; a picture belongs to one half. Photographs for lettering come from --photos, all others
from --photos and --others (jsonl rows that name an "image"). --only keeps the photos that REFS.jsonl calls distractors, so that
no photograph of the battery's copies is fitted to.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import textwrap
import time
import zlib
from collections import defaultdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from scipy.optimize import minimize
from scipy.stats import rankdata

from vision.images import read_picture
from vision.quality import measure
from vision.quality.layout import borders, layout
from vision.quality.lettering import CELL, NEIGHBOURHOODS, cell_features
from vision.quality.pattern import repetition
from vision.quality.scale import at_most, halved
from vision.quality.signals import MEASURED_SIDE
from vision.scan import DECODE_SIDE

WORDS = [
    "studio",
    "photo",
    "archive",
    "north",
    "blue",
    "market",
    "copy",
    "shop",
    "demo",
    "sample",
    "team",
    "press",
    "garden",
    "house",
    "river",
    "image",
    "daily",
    "price",
    "new",
    "offer",
    "size",
    "order",
    "cart",
    "review",
    "about",
    "home",
    "search",
    "menu",
    "profile",
    "settings",
    "message",
    "story",
    "today",
    "delivery",
    "world",
    "light",
]


def font(size):
    return ImageFont.load_default(max(7, int(size)))


def words(r, count):
    return " ".join(r.choice(WORDS) for _ in range(count))


def colour(r):
    return tuple(r.randrange(256) for _ in range(3))


def plain(r):
    return r.choice([(255, 255, 255), (255, 255, 255), (0, 0, 0), colour(r)])


def fitted_to(picture, width, height):
    return ImageOps.fit(picture, (max(8, int(width)), max(8, int(height))))


def line_of(r, face, width, upper=False):
    """As many words as fill at least half of the width, cut to it."""
    said, least = "", width * r.uniform(0.4, 1)
    while face.getlength(said) < least:
        said += r.choice(WORDS).upper() + " " if upper else r.choice(WORDS) + " "
    while said and face.getlength(said) > width:
        said = said[:-1]
    return said.strip()


def watermark(picture, r, other):
    """A text or glyph, tiled, staggered and turned, laid on at 15 to 55 %."""
    side, diagonal = min(picture.size), int(math.hypot(*picture.size)) + 4
    said = words(r, r.choice([1, 1, 2, 2, 3]))
    said = r.choice([said, said.upper(), said.title(), "© " + said])
    size = side * r.uniform(0.03, 0.1)
    face, ink, kind = (
        font(size),
        int(255 * r.uniform(0.15, 0.55)),
        r.choice(["text", "text", "text", "outline", "glyph"]),
    )
    across, down = face.getlength(said) * r.uniform(1.1, 1.9), size * r.uniform(1.6, 5)
    layer, stagger = Image.new("L", (diagonal, diagonal)), r.choice([0, 0.5, 0.33])
    pen, thin = ImageDraw.Draw(layer), max(1, int(size / 8))
    for row in range(int(diagonal / down) + 2):
        for column in range(int(diagonal / across) + 2):
            x, y = (column - 1 - row * stagger % 1) * across, (row - 1) * down
            if kind == "glyph":
                pen.ellipse([x, y, x + size, y + size], outline=ink, width=thin)
                pen.line([x, y + size, x + size, y], fill=ink, width=thin)
            elif kind == "outline":
                pen.text((x, y), said, 0, face, stroke_width=max(1, thin // 2), stroke_fill=ink)
            else:
                pen.text((x, y), said, ink, face)
    layer = layer.rotate(r.choice([0, 45, -45, 30, -30, r.uniform(-60, 60)]), Image.Resampling.BICUBIC)
    layer = fitted_center(layer, picture.size)
    tint = r.choice(["white", "white", "black", "#808080", colour(r)])
    return Image.composite(Image.new("RGB", picture.size, tint), picture, layer), None


def fitted_center(layer, size):
    left, top = (layer.width - size[0]) // 2, (layer.height - size[1]) // 2
    return layer.crop((left, top, left + size[0], top + size[1]))


def collage(picture, r, other):
    """Two to nine pictures in rows or columns, with gutters of 0 to 2 % or none, with an outer edge or none."""
    width, height = r.choice([(900, 900), (1080, 1080), (1200, 900), (900, 1200), (640, 640), (1280, 720)])
    gutter = r.choice([0, 0, 1, 2, 4, 8, 12, 20]) * width // 900
    edge = gutter if r.random() < 0.5 else 0
    rows = r.choice([[2], [1, 1], [2, 2], [2, 2], [3], [1, 1, 1], [1, 2], [2, 1], [2, 3], [3, 3, 3], [1, 3], [3, 3]])
    page, turned = Image.new("RGB", (width, height), plain(r)), r.random() < 0.4
    long, wide = (width, height) if turned else (height, width)
    shares = [r.uniform(0.7, 1.3) if r.random() < 0.3 else 1 for _ in rows]
    pictures = [picture] + [other() for _ in range(sum(rows) - 1)]
    r.shuffle(pictures)
    y = edge
    for share, count in zip(shares, rows, strict=True):
        tall = (long - 2 * edge - gutter * (len(rows) - 1)) * share / sum(shares)
        broad = (wide - 2 * edge - gutter * (count - 1)) / count
        for i in range(count):
            x = edge + i * (broad + gutter)
            at, size = (int(x), int(y)), (broad + 0.5, tall + 0.5)
            page.paste(fitted_to(pictures.pop(), *(size[::-1] if turned else size)), at[::-1] if turned else at)
        y += tall + gutter
    return page, None


class Screen:
    """A page of an interface that is drawn from the top down; lengths are in 720ths of its width, 900ths on a desktop."""

    def __init__(self, r, width, height, unit):
        self.r, self.unit, self.low = r, unit, height
        dark = r.random() < 0.35
        self.paper = r.choice(
            [(0, 0, 0), (18, 18, 18), (32, 33, 36), (21, 32, 43)]
            if dark
            else [(255, 255, 255), (255, 255, 255), (245, 245, 245), (250, 248, 242), (236, 239, 241)]
        )
        self.ink = r.choice([(255, 255, 255), (220, 220, 220)] if dark else [(0, 0, 0), (33, 33, 33), (60, 60, 70)])
        self.faint = tuple(int(p * 0.85 + i * 0.15) for p, i in zip(self.paper, self.ink, strict=True))
        self.page = Image.new("RGB", (width, height), self.paper)
        self.pen = ImageDraw.Draw(self.page)

    def bar(self, top, bottom, fill):
        self.pen.rectangle([0, top, self.page.width, bottom], fill=fill)

    def box(self, left, top, right, bottom, fill, radius=10):
        if right > left and bottom > top:
            self.pen.rounded_rectangle([left, top, right, bottom], radius * self.unit, fill=fill)

    def lines(self, left, top, width, count, size, low=None):
        """Lines of text; returns where they end."""
        for _ in range(count):
            if top + size * self.unit * 1.5 > (low or self.low) or width < 60:
                break
            face = font(size * self.unit)
            self.pen.text((left, top), line_of(self.r, face, width), self.ink, face)
            top += size * self.unit * self.r.uniform(1.4, 1.9)
        return top

    def photo(self, picture, left, top, width, height):
        """The picture, cut to fit; returns where it ends."""
        height = max(40, min(height, self.low - top))
        self.page.paste(fitted_to(picture, width, height), (int(left), int(top)))
        return top + height

    def whole(self, picture, top, share=1.0):
        scale = min(self.page.width / picture.width, (self.low - top) / picture.height) * share
        shown = picture.resize((max(8, int(picture.width * scale)), max(8, int(picture.height * scale))))
        self.page.paste(shown, ((self.page.width - shown.width) // 2, int(top + (self.low - top - shown.height) / 2)))


def phone(picture, r, other):  # noqa: PLR0912
    """A status bar, perhaps a title, then a post, chat, viewer, product or story, perhaps a row of buttons."""
    width, height = r.choice([(720, 1280), (750, 1334), (1080, 1920), (1080, 2340), (828, 1792)])
    s, u = Screen(r, width, height, width / 720), width / 720
    bar = r.choice([s.paper, s.paper, colour(r), s.faint])
    s.bar(0, 60 * u, bar)
    s.pen.text((30 * u, 14 * u), f"{r.randint(0, 23)}:{r.randint(10, 59)}", s.ink, font(26 * u))
    for i in range(r.randint(2, 4)):
        s.box(width - (60 + 45 * i) * u, 20 * u, width - (30 + 45 * i) * u, 40 * u, s.ink, 4)
    y, s.low = 60 * u, height - r.choice([0, 100, 130]) * u
    if r.random() < 0.7:
        s.bar(y, y + 90 * u, r.choice([s.paper, bar, s.faint]))
        s.lines(90 * u, y + 24 * u, width / 2, 1, 34)
        y += 90 * u
    kind = r.choice(["post", "post", "chat", "viewer", "product", "story"])
    if kind == "post":
        s.pen.ellipse([24 * u, y + 16 * u, 84 * u, y + 76 * u], fill=colour(r))
        s.lines(100 * u, y + 16 * u, width / 2, 2, 24)
        y = s.photo(picture, 0, y + 92 * u, width, width * r.choice([0.56, 0.75, 1, 1.25])) + 14 * u
        for i in range(4):
            s.pen.ellipse([(24 + 76 * i) * u, y, (64 + 76 * i) * u, y + 40 * u], outline=s.ink, width=int(4 * u))
        s.lines(24 * u, y + 60 * u, width - 48 * u, 12, 24)
    elif kind == "chat":
        while y < s.low - 190 * u:
            broad, mine = width * r.uniform(0.35, 0.7), r.random() < 0.5
            x = width - broad - 24 * u if mine else 24 * u
            if r.random() < 0.3:
                y = s.photo(picture, x, y, broad, broad * 0.75) + 24 * u
            else:
                end = y + r.uniform(60, 170) * u
                s.box(x, y, x + broad, end, colour(r) if mine else s.faint, 20)
                s.lines(x + 18 * u, y + 12 * u, broad - 36 * u, 5, 24, end)
                y = end + 24 * u
    elif kind == "viewer":
        s.whole(picture, y)
    elif kind == "product":
        y = s.photo(picture, 0, y, width, width * r.uniform(0.7, 1.1)) + 20 * u
        y = s.lines(24 * u, s.lines(24 * u, y, width / 3, 1, 50), width - 48 * u, 3, 26)
        s.box(24 * u, y + 20 * u, width - 24 * u, min(y + 110 * u, s.low), colour(r), 16)
        s.lines(24 * u, y + 140 * u, width - 48 * u, 14, 22)
    else:
        s.photo(picture, 0, y, width, s.low - y)
        s.box(24 * u, s.low - 90 * u, width - 120 * u, s.low - 20 * u, s.paper, 35)
    if s.low < height:
        s.bar(s.low, height, r.choice([s.paper, s.faint, bar]))
        for i in range(5):
            s.box((50 + 140 * i) * u, s.low + 28 * u, (100 + 140 * i) * u, s.low + 76 * u, s.ink)
    return s.page, None


def desktop(picture, r, other):
    """Perhaps a browser's tabs and a shop's banner, then a product, article, viewer or application, perhaps a task bar."""
    width, height = r.choice([(1280, 720), (1366, 768), (1440, 900), (1920, 1080), (1024, 768)])
    s, u, y = Screen(r, width, height, height / 900), height / 900, 0
    if r.random() < 0.8:
        s.bar(0, 38 * u, s.faint)
        for i in range(r.randint(1, 5)):
            s.box((90 + 220 * i) * u, 6 * u, (290 + 220 * i) * u, 46 * u, s.faint if i else s.paper, 8)
            s.lines((104 + 220 * i) * u, 12 * u, 170 * u, 1, 16)
        s.bar(38 * u, 86 * u, s.paper)
        s.box(140 * u, 46 * u, width - 220 * u, 78 * u, s.faint, 16)
        s.lines(160 * u, 52 * u, 300 * u, 1, 17)
        y = 86 * u
    if r.random() < 0.7:
        s.bar(y, y + r.uniform(40, 80) * u, colour(r))
        s.lines(40 * u, y + 12 * u, width * 0.4, 1, 24)
        y += 80 * u
    s.low = height - (40 * u if r.random() < 0.5 else 0)
    kind = r.choice(["product", "article", "viewer", "application"])
    if kind == "product":
        broad = width * r.uniform(0.3, 0.5)
        s.photo(picture, 50 * u, y + 20 * u, broad, broad * r.uniform(0.7, 1.1))
        x = broad + 100 * u
        y = s.lines(x, s.lines(x, y + 20 * u, width - x - 60 * u, 2, 34) + 10 * u, width - x - 60 * u, 8, 19)
        s.box(x, y + 20 * u, x + 240 * u, min(y + 80 * u, s.low), colour(r))
    elif kind == "article":
        x = width * r.uniform(0.1, 0.25)
        y = s.photo(picture, x, s.lines(x, y + 30 * u, width - 2 * x, 2, 40), width - 2 * x, (width - 2 * x) / 2)
        s.lines(x, y + 20 * u, width - 2 * x, 20, 20)
    elif kind == "viewer":
        s.whole(picture, y, r.uniform(0.7, 1))
    else:
        x = width * r.uniform(0.15, 0.25)
        s.pen.rectangle([0, y, x, s.low], fill=s.faint)
        s.lines(24 * u, y + 30 * u, x - 40 * u, 14, 20)
        broad = (width - x) * r.uniform(0.4, 0.9)
        s.photo(picture, x + 30 * u, y + 20 * u, broad, (s.low - y) * r.uniform(0.5, 0.9))
        s.lines(x + broad + 60 * u, y + 30 * u, width - x - broad - 90 * u, 20, 18)
    if s.low < height:
        s.bar(s.low, height, r.choice([(20, 20, 30), s.faint]))
        for i in range(8):
            s.box((20 + 50 * i) * u, s.low + 6 * u, (50 + 50 * i) * u, s.low + 34 * u, colour(r), 2)
    return s.page, None


def screenshot(picture, r, other):
    return (phone if r.random() < 0.55 else desktop)(picture, r, other)


def text(picture, r, other):
    """One to three captions of one to three lines, a 25th to a fifth of the height each, outlined or on a plate or neither."""
    picture, mask = picture.copy(), Image.new("L", picture.size)
    (width, height), pen, cover = picture.size, ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    for _ in range(r.choice([1, 1, 2, 3])):
        size, ink = height * r.uniform(0.04, 0.2), plain(r)
        against = tuple(255 - c for c in ink)
        face, stroke, plate, upper = (
            font(size),
            r.choice([0, 0, max(1, int(size / 18))]),
            r.random() < 0.35,
            r.random() < 0.6,
        )
        x, y = width * r.uniform(0.02, 0.3), height * r.uniform(0.02, 0.9)
        for _ in range(r.choice([1, 1, 2, 3])):
            said = line_of(r, face, (width - x) * r.uniform(0.3, 0.98), upper)
            if not said or y + size > height:
                break
            left, top, right, bottom = pen.textbbox((x, y), said, face, stroke_width=stroke)
            if plate:
                pen.rectangle([left - size / 5, top - size / 7, right + size / 5, bottom + size / 7], fill=against)
            pen.text((x, y), said, ink, face, stroke_width=stroke, stroke_fill=against)
            cover.rectangle([left, top, right, bottom], fill=255)
            y += size * 1.2
    return picture, mask


def border(picture, r, other):
    """A frame, bars above and below or left and right, or one bar, of 2 to 30 % of the longer side."""
    bar = int(max(picture.size) * r.uniform(0.02, 0.3))
    sides = r.choice(
        [(1, 1, 1, 1), (1, 1, 1, 1), (0, 1, 0, 1), (1, 0, 1, 0), *r.sample(list(map(tuple, np.eye(4, dtype=int))), 1)]
    )
    return ImageOps.expand(picture, tuple(bar * int(side) for side in sides), plain(r)), None


def other_edit(picture, r, other):  # noqa: PLR0911
    """Half of them as they are; the rest turned, stuck on, captioned above, filled up, noisy, enlarged, grey or blurred."""
    width, height = picture.size
    kind = r.choice(["none"] * 8 + ["rotate", "sticker", "meme", "fill", "noise", "enlarge", "grey", "blur"])
    if kind == "rotate":
        return picture.rotate(r.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True, fillcolor=plain(r)), None
    if kind == "sticker":
        picture, side = picture.copy(), min(width, height) * r.uniform(0.2, 0.5)
        x, y, pen = r.uniform(0, width - side), r.uniform(0, height - side), ImageDraw.Draw(picture)
        (pen.ellipse if r.random() < 0.5 else pen.rectangle)([x, y, x + side, y + side], fill=colour(r))
    if kind == "meme":
        strip = int(height / 5)
        page = Image.new("RGB", (width, height + strip), "white")
        page.paste(picture, (0, strip))
        face = font(strip / 3)
        ImageDraw.Draw(page).text((width * 0.04, strip / 4), line_of(r, face, width * 0.9), "black", face)
        return page, None
    if kind == "fill":
        side = max(width, height)
        page = fitted_to(picture, side, side).filter(ImageFilter.GaussianBlur(side / 25))
        page.paste(picture, ((side - width) // 2, (side - height) // 2))
        return page, None
    if kind == "noise":
        noise = np.random.default_rng(r.randrange(1 << 30)).normal(0, 15, (height, width, 3))
        return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)), None
    if kind == "enlarge":
        return picture.resize((width * 2, height * 2), Image.Resampling.BICUBIC), None
    if kind == "grey":
        return picture.convert("L").convert("RGB"), None
    return (picture.filter(ImageFilter.GaussianBlur(max(width, height) / 200)) if kind == "blur" else picture), None


EDITS = {
    "other": other_edit,
    "watermark": watermark,
    "collage": collage,
    "screenshot": screenshot,
    "text": text,
    "border": border,
}
SIZES = {"fit": 700, "test": 400}


def draw(job, photos, others):
    """One edited picture: its kind, the features that the fits take, and the truth of its lettering."""
    part, kind, number = job
    r = random.Random(f"{part} {kind} {number}")

    def one(photo=False):
        while True:
            with Image.open(r.choice((photos if photo or r.random() < 0.55 else others)[part])) as image:
                picture = image.convert("RGB")
            if min(picture.size) >= 160:
                picture.thumbnail((1024, 1024))
                return picture

    picture, mask = EDITS[kind](one(photo=kind == "text"), r, one)
    if r.random() < 0.3 and kind != "screenshot":  # other sizes, small ones too
        scale = r.choice([r.uniform(0.6, 1.6), r.uniform(200, 400) / max(picture.size)])
        size = max(16, round(picture.width * scale)), max(16, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=r.randint(60, 95))
    pixels = read_picture(stream.getvalue(), reduce_to=DECODE_SIDE).pixels
    grey = at_most(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)), MEASURED_SIDE)
    small, bars = halved(grey), borders(grey)
    features = {"kind": kind, "lines": layout(small, tuple(-(-bar // 2) for bar in bars)), "tiles": repetition(grey)}
    if mask is not None:
        cells = cell_features(small)
        rows, columns = cells.shape[:2]
        lettered = np.asarray(mask.resize(small.shape[::-1]), np.float32)[: rows * CELL, : columns * CELL] / 255
        features["cells"] = np.concatenate([cv2.blur(cells, size) for size in NEIGHBOURHOODS], axis=-1)
        features["lettered"] = cv2.resize(lettered, (columns, rows), interpolation=cv2.INTER_AREA)
    return features


def halves(paths):
    """The paths to fit to and those to measure on, by a checksum of the file's name."""
    fitted_to = [zlib.crc32(Path(path).name.encode()) // 7 % 2 == 0 for path in paths]
    return {part: [p for p, f in zip(paths, fitted_to, strict=True) if f == (part == "fit")] for part in SIZES}


def logistic(features, positive, ridge):
    """Weights and bias for raw features, of the least logistic loss and `ridge` halves of the squared standardised weights."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    standard = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    sign = np.where(positive, 1.0, -1.0)

    def loss(weights):
        margin = standard @ weights * sign
        pull = sign / (1 + np.exp(np.clip(margin, -50, 50)))
        kept = np.append(weights[:-1], 0)
        return np.logaddexp(0, -margin).mean() + ridge / 2 * kept @ kept, -(standard * pull[:, None]).mean(
            axis=0
        ) + ridge * kept

    best = minimize(loss, np.zeros(standard.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 5000}).x
    return best[:-1] / spread, float(best[-1] - best[:-1] @ (mean / spread))


def auroc(scores, positive):
    ranks, count = rankdata(scores), positive.sum()
    return (ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count))


def fit(photos, others, out):
    jobs = [
        (part, kind, number)
        for part, size in SIZES.items()
        for kind in EDITS
        for number in range(size * 3 if kind == "other" else size)
    ]
    with Pool() as pool:
        drawn = pool.map(partial(draw, photos=halves(photos), others=halves(others)), jobs, chunksize=25)
    parts = {p: [d for d, job in zip(drawn, jobs, strict=True) if job[0] == p] for p in SIZES}
    fitted = {}
    for name, key, ridge in (("watermark", "tiles", 1e-4), ("collage", "lines", 1e-4), ("screenshot", "lines", 1e-3)):
        rows = [d for d in parts["fit"] if d[key] is not None]
        weights, bias = logistic(np.array([d[key] for d in rows]), np.array([d["kind"] == name for d in rows]), ridge)
        fitted[name] = weights, bias
        scores = np.array([-50 if d[key] is None else np.dot(d[key], weights) + bias for d in parts["test"]])
        report(name, scores, np.array([d["kind"] for d in parts["test"]]), (name,))
    cells, lettered = (
        {p: np.concatenate([d[k].reshape(-1, *d[k].shape[2:]) for d in parts[p] if "cells" in d]) for p in SIZES}
        for k in ("cells", "lettered")
    )
    clear = {p: (lettered[p] > 0.6) | (lettered[p] < 0.02) for p in SIZES}  # cells at the edge of a line are left out
    weights, bias = logistic(cells["fit"][clear["fit"]], lettered["fit"][clear["fit"]] > 0.5, 1e-4)
    fitted["lettering"] = weights.reshape(len(NEIGHBOURHOODS), -1), bias
    report(
        "lettering (cells)",
        (cells["test"] @ weights + bias)[clear["test"]],
        lettered["test"][clear["test"]] > 0.5,
        (True,),
    )
    if out:
        out.write_text(module(fitted))


def report(name, scores, kinds, wanted):
    positive = np.isin(kinds, wanted)
    others = sorted({str(k) for k in kinds[~positive]})
    print(
        f"{name}: AUROC {auroc(scores, positive):.3f}; at .5 found {np.mean(scores[positive] > 0):.2f},",
        f"false {np.mean(scores[~positive] > 0):.4f};",
        *(f"{k} {share:.3f}" for k in others if (share := np.mean(scores[kinds.astype(str) == k] > 0)) > 0.01),
    )


def module(fitted):
    lines = [
        '"""Weights of the logistic fits, made by `benchmarks/quality.py fit`; each takes raw features and gives log odds."""'
    ]
    lines += ["", "from __future__ import annotations", "", "import numpy as np", "import numpy.typing as npt", ""]
    lines += ["Weights = npt.NDArray[np.float32]", "", "# fmt: off"]
    for name, (weights, bias) in fitted.items():
        numbers = str(
            [[f"{w:.4g}" for w in row] for row in weights] if weights.ndim > 1 else [f"{w:.4g}" for w in weights]
        )
        wrapped = textwrap.fill(f"{name.upper()}: Weights = np.array({numbers}, np.float32)".replace("'", ""), 110)
        lines += [wrapped.replace("\n", "\n    "), f"{name.upper()}_BIAS = {bias:.4g}", ""]
    return "\n".join([*lines[:-1], "# fmt: on"]) + "\n"


def battery(folder):
    rows = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    with Pool() as pool:
        signals = pool.map(measured, [folder / row["query"] for row in rows], chunksize=25)
    kinds = np.array([row["edit"] for row in rows])
    mixed = {"three", "crop_watermark"}  # chains, which may hold any of these edits
    wanted = {"watermark": ("watermark",), "collage": ("collage", "side_by_side"), "screenshot": ("phone", "desktop")}
    kept = ~np.isin(kinds, list(mixed))
    for name, edits in wanted.items():
        values = np.array([s[name] for s in signals])
        scores = np.log(np.clip(values, 1e-9, 1) / np.clip(1 - values, 1e-9, 1))[kept]
        report(name, scores, kinds[kept], edits)
    by_edit = defaultdict(list)
    for kind, found in zip(kinds, signals, strict=True):
        by_edit[str(kind)].append(found)
    print(f"{'median of':24}{'border_share':>14}{'text_share':>12}{'fine_detail':>13}{'jpeg_quality':>14}")
    for kind, found in sorted(by_edit.items()):
        medians = [
            np.median([f[k] for f in found]) for k in ("border_share", "text_share", "fine_detail", "jpeg_quality")
        ]
        print(f"{kind:24}{medians[0]:14.3f}{medians[1]:12.3f}{medians[2]:13.3f}{medians[3]:14.0f}")


def measured(path):
    return measure(read_picture(path))


def timed(folder):
    cv2.setNumThreads(1)
    pictures = [read_picture(path, reduce_to=DECODE_SIDE) for path in sorted(folder.iterdir())[:60]]
    best = math.inf
    for _ in range(7):
        start = time.thread_time()
        for picture in pictures:
            measure(picture)
        best = min(best, time.thread_time() - start)
    side = np.median([max(p.pixels.shape) for p in pictures])
    print(f"{best / len(pictures) * 1e3:.2f} ms a picture, {len(pictures)} pictures, median longest side {side:.0f} px")


def images_of(manifest):
    return [str(manifest.parent / json.loads(line)["image"]) for line in manifest.read_text().splitlines() if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit")
    fitting.add_argument("--photos", type=Path, required=True)
    fitting.add_argument("--others", type=Path, nargs="+", required=True)
    fitting.add_argument("--only", type=Path)
    fitting.add_argument("--out", type=Path)
    for name in ("battery", "time"):
        commands.add_parser(name).add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.command == "fit":
        photos = [p for p in sorted(args.photos.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")]
        if args.only:
            rows = [json.loads(line) for line in args.only.read_text().splitlines()]
            kept = {row["source"] for row in rows if row["role"] == "distractor"}
            photos = [p for p in photos if p.relative_to(args.photos).as_posix() in kept]
        fit([str(p) for p in photos], sorted({p for m in args.others for p in images_of(m)}), args.out)
    elif args.command == "battery":
        battery(args.folder)
    else:
        timed(args.folder)


if __name__ == "__main__":
    main()
