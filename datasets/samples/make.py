"""Make the sample pictures and their truth again: `python datasets/samples/make.py [NAME...]`.

Everything is made here: scenes are modelled below and rendered with Mitsuba (`pip install mitsuba`), logos are the vector icons
of simplepycons (extra `train`), the one brand that no library knows is invented. The seed is fixed.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import resvg_py
import simplepycons
from PIL import Image, ImageDraw, ImageFont
from studio import (
    Camera,
    Floats,
    Paint,
    Studio,
    box_faces,
    bricks,
    noise,
    open_sky,
    plain,
    revolved,
    room_light,
    sheet,
    tube,
    wood,
)

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images"
SAMPLES = 36  # rays a pixel; what is left looks like the grain of a small camera
INVENTED = "Brindlow"  # the mark that is in no library
PRODUCT = 100  # marks from this number on are products


@dataclass(frozen=True)
class Scene:
    """A studio ready to be photographed. brands: number of each mark to its brand; products have none."""

    studio: Studio
    brands: dict[int, str]
    exposure: float = 1.0


# Ink.


def logo(icon: str, side: int = 1024) -> tuple[Floats, str]:
    """An icon of simplepycons as (h, w) coverage cut to its ink, and the name of its brand."""
    found = getattr(simplepycons, f"{icon}Icon")()
    png = resvg_py.svg_to_bytes(svg_string=found.raw_svg, width=side, skip_system_fonts=True)
    alpha = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"), np.float32)[..., 3] / 255
    ys, xs = np.nonzero(alpha > 0.1)
    return alpha[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1], str(found.title)


def invented_logo(side: int = 1024) -> Floats:
    """Three leaves round a gap, and the name below: coverage (h, w)."""
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    middle, long = np.array([side / 2, side * 0.36]), side * 0.30
    for turn in (90, 210, 330):
        t = np.linspace(0, 1, 60)
        wide = np.sin(np.pi * t**0.8) * long * 0.30
        along, across = (np.array([np.cos(np.deg2rad(a)), -np.sin(np.deg2rad(a))]) for a in (turn, turn + 90))
        spine = middle + along * (long * 0.14 + t[:, None] * long)
        edge = np.concatenate([spine + across * wide[:, None], (spine - across * wide[:, None] * 0.35)[::-1]])
        draw.polygon([tuple(p) for p in edge], fill=255)
    letters = ImageFont.load_default(side // 6)
    draw.text((side / 2, side * 0.80), INVENTED.lower(), fill=255, font=letters, anchor="mm", stroke_width=side // 160)
    alpha = np.asarray(image, np.float32) / 255
    ys, xs = np.nonzero(alpha)
    return alpha[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def printed(
    ground: Floats, ink: Floats, colour: tuple[float, float, float], *, at: tuple[float, float], width: float
) -> Floats:
    """Print on `ground` in place, centred `at` (x, y) and `width` wide as shares of its width and height; the coverage."""
    height_px, width_px = ground.shape[:2]
    size = (max(1, round(width * width_px)), max(1, round(width * width_px * ink.shape[0] / ink.shape[1])))
    small = np.clip(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), 0, 1)
    cover = np.zeros((height_px, width_px), np.float32)
    left, top = round(at[0] * width_px - size[0] / 2), round(at[1] * height_px - size[1] / 2)
    cover[top : top + size[1], left : left + size[0]] = small
    ground += (np.asarray(colour, np.float32) - ground) * cover[..., None]
    return cover


def lettered(
    ground: Floats, text: str, *, at: tuple[float, float], size: float, colour: tuple[float, float, float]
) -> None:
    """Write on `ground` in place; size: height of the letters as a share of the ground's."""
    height, width = ground.shape[:2]
    image = Image.new("L", (width, height))
    letters = ImageFont.load_default(max(6, round(size * height)))
    ImageDraw.Draw(image).text((at[0] * width, at[1] * height), text, fill=255, font=letters, anchor="mm")
    ground += (np.asarray(colour, np.float32) - ground) * (np.asarray(image, np.float32) / 255)[..., None]


def hexed(colour: str) -> tuple[float, float, float]:
    """ "#c8102e" as shares of one."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


# Scenes.


def mug() -> Scene:
    """A mug with coffee on a wooden table."""
    light = room_light(windows=[(215, 35, 70, 50, 10), (330, 20, 30, 60, 5)], fill=0.8, warm=0.05)
    studio = Studio(Camera((3, -42, 24), (0.8, 0, 4.6), 30, 0.5), light)
    table = wood((1600, 2200), dark=(0.36, 0.22, 0.12), light=(0.72, 0.51, 0.33), planks=9, seed=1)
    studio.add(sheet((0, 20, 0), (170, 0, 0), (0, -120, 0)), Paint(table, rough=0.3))
    studio.add(sheet((0, 80, 40), (300, 0, 0), (0, 0, -120)), plain((0.62, 0.68, 0.66)))
    glaze = (0.94, 0.93, 0.91)
    body = plain(glaze, size=(700, 1600), vary=0.01)
    ink, brand = logo("Volkswagen")
    cover = printed(body, ink, hexed("#151f5d"), at=(0.25, 0.50), width=0.19)
    wall = [(3.7, 9.5), (3.85, 9.75), (4.05, 9.75), (4.15, 9.5), (4.15, 1.0), (3.9, 0.3), (3.3, 0.05)]
    studio.add(revolved(wall, (0, 0, 0), turn=-187), Paint(body, {0: cover}, rough=0.07, part_of=PRODUCT))
    studio.add(
        revolved([(3.7, 9.5), (3.7, 1.0), (0.01, 1.0)], (0, 0, 0)), Paint(plain(glaze), rough=0.07, part_of=PRODUCT)
    )
    studio.add(
        revolved([(3.69, 8.3), (0.01, 8.3)], (0, 0, 0)), Paint(plain((0.20, 0.10, 0.05)), rough=0.05, part_of=PRODUCT)
    )
    turn = np.linspace(-np.pi / 2, np.pi / 2, 40)
    handle = np.stack([3.9 + 2.7 * np.cos(turn), 0 * turn, 5 + 2.9 * np.sin(turn)], 1)
    studio.add(tube(handle, 0.55), Paint(plain(glaze), rough=0.07, part_of=PRODUCT))
    spoon = np.stack([np.linspace(-13, -7, 20), np.linspace(-7, 5, 20), np.full(20, 0.3)], 1)
    studio.add(
        tube(spoon + np.array([0, 0, 1]) * np.linspace(0, 0.4, 20)[:, None] ** 2, 0.25),
        Paint(plain((0.9, 0.9, 0.9)), rough=0.15, metal=True),
    )
    return Scene(studio, {0: brand}, 0.85)


def cans() -> Scene:
    """Three cans on a picnic table, before a garden out of focus."""
    studio = Studio(Camera((2, -46, 19), (1, 0, 6.6), 30, 0.7), open_sky(sun=(235, 42), strength=200, seed=4))
    table = wood((1600, 2200), dark=(0.42, 0.33, 0.25), light=(0.70, 0.60, 0.48), planks=8, seed=7)
    studio.add(sheet((0, 10, 0), (160, 0, 0), (0, -90, 0)), Paint(table, rough=0.5))
    leaves = noise((500, 900), 26, 5, octaves=4)[..., None]
    hedge = np.array([0.10, 0.20, 0.06]) + (np.array([0.55, 0.68, 0.30]) - np.array([0.10, 0.20, 0.06])) * np.clip(
        leaves * 2.4 - 0.8, 0, 1
    )
    studio.add(sheet((0, 160, 20), (500, 0, 0), (0, 0, -180)), hedge.astype(np.float32))
    ink, brand = logo("Cocacola")
    brands = {}
    wall = [(2.55, 12.1), (2.62, 12.25), (2.72, 12.1), (2.75, 11.7), (3.3, 10.7), (3.3, 0.9), (2.6, 0.05)]
    for number, (x, y, turn) in enumerate([(-7.4, 1.0, -176), (0.4, -2.6, -190), (8.4, 2.4, -205)]):
        body = plain((0.80, 0.03, 0.05), size=(700, 1200), vary=0.01)
        body[:60] = (0.86, 0.87, 0.88)
        upright = np.ascontiguousarray(ink)
        cover = printed(body, upright, (0.97, 0.97, 0.97), at=(0.25, 0.47), width=0.34)
        lettered(body, "330 ml", at=(0.25, 0.86), size=0.045, colour=(0.95, 0.95, 0.95))
        studio.add(
            revolved(wall, (x, y, 0), turn=turn), Paint(body, {number: cover}, rough=0.12, part_of=PRODUCT + number)
        )
        lid = revolved([(2.55, 12.1), (2.4, 11.8), (0.01, 11.8)], (x, y, 0))
        studio.add(lid, Paint(plain((0.9, 0.9, 0.9)), rough=0.2, metal=True, part_of=PRODUCT + number))
        brands[number] = brand
    return Scene(studio, brands, 0.75)


def shelf() -> Scene:
    """Shoe boxes in a shop, three brands, some boxes askew."""
    light = room_light(
        windows=[(250, 70, 120, 25, 7), (290, 60, 100, 20, 6), (270, 5, 80, 30, 1.0)], fill=0.65, warm=0.02
    )
    studio = Studio(Camera((-26, -135, 46), (2, 0, 32), 40, 0.5), light)
    board = plain((0.86, 0.84, 0.80), vary=0.02, seed=3)
    for z in (-1.5, 34.5, 70.5):
        for points in box_faces((0, 4, z), (150, 40, 3), soft=0.2).values():
            studio.add(points, Paint(board, rough=0.4))
    studio.add(sheet((0, 25, 34), (150, 0, 0), (0, 0, -100)), plain((0.78, 0.76, 0.73)))
    for x in (-75, 75):
        studio.add(sheet((x, 4, 34), (0, -40, 0), (0, 0, -100)), plain((0.80, 0.79, 0.76)))
    looks = [
        ("Adidas", (0.09, 0.20, 0.42), (0.95, 0.95, 0.95), 0.34),
        ("Puma", (0.72, 0.07, 0.09), (0.96, 0.95, 0.93), 0.40),
    ]
    looks += [("NewBalance", (0.62, 0.63, 0.64), (0.78, 0.09, 0.12), 0.36)]
    random = np.random.default_rng(11)
    brands: dict[int, str] = {}
    for level, stacks in enumerate(
        [[(-52, 0, 2), (-16, 1, 3), (20, 2, 2), (55, 0, 1)], [(-50, 1, 1), (-14, 2, 2), (22, 0, 2), (56, 1, 2)]]
    ):
        for x, look, high in stacks:
            icon, colour, white, width = looks[look]
            ink, brand = logo(icon)
            for storey in range(high):
                number = len(brands)
                size = (32.5, 20, 10.8)
                centre = (x + random.uniform(-1.0, 1.0), random.uniform(-1.5, 1.5), level * 36 + 5.4 + storey * 10.8)
                for name, points in box_faces(centre, size, turn=random.uniform(-5, 5), soft=0.25).items():
                    face = plain(
                        colour, size=(360, 1080) if name in ("front", "back") else (360, 360), vary=0.02, seed=number
                    )
                    marks = {}
                    if name == "front":
                        marks = {
                            number: printed(
                                face,
                                ink,
                                white,
                                at=(0.34, 0.5),
                                width=width * 0.62 * min(1, 1.05 * ink.shape[1] / ink.shape[0] / 1.5),
                            )
                        }
                        label = face[110:300, 800:1000]
                        label[:] = 0.95
                        lettered(label, f"EU {38 + number % 8}", at=(0.5, 0.3), size=0.24, colour=(0.1, 0.1, 0.1))
                        label[120:165, 20:180:4] = 0.1
                        label[120:165, 25:180:10] = 0.1
                    if storey == high - 1 or name != "front":
                        face[:70] *= 0.93  # the lid
                    studio.add(points, Paint(face, marks, rough=0.35, part_of=PRODUCT + number))
                brands[number] = brand
    return Scene(studio, brands, 1.5)


def tshirt() -> Scene:
    """A T-shirt laid on wooden boards, seen from above."""
    light = room_light(windows=[(150, 26, 50, 30, 26), (320, 55, 60, 40, 2)], fill=0.5, warm=0.02)
    studio = Studio(Camera((6, -40, 176), (0, -2.5, 0), 36, 0.2), light)
    boards = wood((1800, 2400), dark=(0.55, 0.47, 0.38), light=(0.82, 0.75, 0.65), planks=10, seed=21)
    studio.add(sheet((0, 0, 0), (190, 0, 0), (0, -150, 0)), Paint(boards, rough=0.5))
    size = 1400
    outline = np.array(
        [(-0.17, 0.46), (-0.30, 0.42), (-0.49, 0.16), (-0.36, 0.07), (-0.27, 0.20), (-0.285, -0.48), (0.285, -0.48)]
    )
    outline = np.concatenate([outline, [(0.27, 0.20), (0.36, 0.07), (0.49, 0.16), (0.30, 0.42), (0.17, 0.46)]])
    neck = np.stack([np.linspace(0.15, -0.15, 14), 0.46 - 0.075 * np.sqrt(1 - np.linspace(1, -1, 14) ** 2)], 1)
    pixels = np.concatenate([outline, neck]) * (size, -size) + size / 2
    cover = np.zeros((size, size), np.uint8)
    cv2.fillPoly(cover, [np.round(pixels * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    inside = cv2.GaussianBlur(cover, (0, 0), 2).astype(np.float32) / 255
    cloth = plain((0.17, 0.23, 0.33), size=(size, size), vary=0.05, seed=2)
    weave = np.random.default_rng(5).normal(1, 0.055, (size, size, 1)).astype(np.float32)
    cloth *= cv2.GaussianBlur(weave, (0, 0), 0.8)[..., None]
    y = np.linspace(0, 1, size)[:, None]
    collar = cv2.polylines(
        np.zeros((size, size), np.uint8), [np.round(pixels[len(outline) :]).astype(np.int32)], False, 255, 44
    )
    cloth *= (1 - 0.22 * cv2.GaussianBlur(collar, (0, 0), 1.5).astype(np.float32) / 255)[..., None]
    hem = ((np.abs(y - 0.955) < 0.0012) | (np.abs(y - 0.948) < 0.0008)).astype(np.float32)[..., None]
    cloth *= 1 - 0.25 * hem
    ink, brand = logo("Nike")
    mark = printed(cloth, ink, (0.93, 0.93, 0.92), at=(0.5, 0.36), width=0.30)
    steps = 700
    small = cv2.resize(inside, (steps, steps), interpolation=cv2.INTER_AREA)
    folds = noise((steps, steps), (120, 60), 9, octaves=3) - 0.5
    long = cv2.warpAffine(
        noise((steps, steps), (240, 24), 13, octaves=2) - 0.5,
        cv2.getRotationMatrix2D((steps / 2, steps / 2), 18, 1.0),
        (steps, steps),
        borderMode=cv2.BORDER_REFLECT,
    )
    lift = cv2.GaussianBlur(small, (0, 0), 7) * (1.3 + 2.8 * folds + 2.8 * long) + 0.12
    points = sheet((0, 0, 0), (82, 0, 0), (0, -82, 0), steps=steps)
    points[..., 2] = np.maximum(lift, 0.08)
    studio.add(points, Paint(np.clip(cloth, 0, 1), {0: mark}, cover=inside, part_of=PRODUCT))
    return Scene(studio, {0: brand}, 1.0)


def storefront() -> Scene:
    """A restaurant front in a brick wall: a lit sign over the windows and a smaller one across the pavement."""
    studio = Studio(
        Camera((-330, -900, 165), (20, 0, 235), 46, 0), open_sky(sun=(222, 40), strength=330, cloud=0.6, seed=9)
    )
    colour, relief = bricks((2000, 3200), rows=66, seed=3)
    studio.add(sheet((0, 0, 330), (1300, 0, 0), (0, 0, -660)), Paint(colour, bump=relief * 1.2))
    slabs = plain((0.55, 0.54, 0.52), size=(900, 1800), vary=0.12, seed=6)
    slabs[::150, :] *= 0.6
    slabs[:, ::150] *= 0.6
    studio.add(sheet((0, -700, 0), (3200, 0, 0), (0, -1400, 0)), slabs)
    for x in (-300, 60):
        for points in box_faces((x, -6, 130), (330, 16, 220), soft=1.5).values():
            studio.add(points, Paint(plain((0.13, 0.13, 0.14)), rough=0.3))
        glass = plain((0.05, 0.06, 0.07), size=(400, 600), vary=0.5, seed=abs(x))
        glass = glass + noise((400, 600), 90, abs(x) + 1, octaves=3)[..., None] * np.array([0.16, 0.12, 0.07])
        glass = np.ascontiguousarray(glass, np.float32)
        for lamp in range(60, 600, 130):  # what can be seen of the room behind
            cv2.circle(glass, (lamp, 90), 13, (0.95, 0.80, 0.50), -1, cv2.LINE_AA)
            cv2.rectangle(glass, (lamp - 40, 250), (lamp + 46, 266), (0.34, 0.24, 0.15), -1)
        glass = cv2.GaussianBlur(glass, (0, 0), 3)
        for half in (-78, 78):
            studio.add(
                sheet((x + half, -14.5, 130), (146, 0, 0), (0, 0, -204)), Paint(glass.astype(np.float32), rough=0.03)
            )
    for points in box_faces((390, -8, 115), (130, 20, 228), soft=2).values():
        studio.add(points, Paint(plain((0.16, 0.10, 0.07), vary=0.1), rough=0.3))
    ink, brand = logo("Mcdonalds")
    for number, (at, size, turn) in enumerate(
        [((-60, -22, 318), (820, 36, 120), 0.0), ((425, -75, 330), (14, 110, 110), 0.0)]
    ):
        for name, points in box_faces(at, size, turn=turn, soft=2).items():
            wide = size[0] / size[2] if name == "front" else 1.0
            face = plain((0.60, 0.05, 0.05), size=(500, int(500 * wide)), vary=0.02)
            if name == ("front" if number == 0 else "left"):
                cover = printed(
                    face, ink, (1.0, 0.78, 0.05), at=(0.5, 0.5), width=0.72 / wide * 1.1 if number == 0 else 0.66
                )
                studio.add(points, Paint(face, {number: cover}, rough=0.15, glow=0.35))
            else:
                studio.add(points, Paint(face, rough=0.2))
    for x in (-420, -260, 180):
        pot = revolved([(20, 62), (24, 60), (17, 0)], (x - 10, -60, 0))
        studio.add(pot, plain((0.45, 0.44, 0.43), vary=0.1))
        bush = _ball((x - 10, -60, 88), 34, bumps=5.0, seed=x + 1000)
        studio.add(bush, np.clip(plain((0.14, 0.28, 0.10), vary=0.8, seed=abs(x)), 0, 1))
    return Scene(studio, {0: brand, 1: brand}, 0.85)


def phone() -> Scene:
    """A phone on a desk with a player open, beside a pencil and a notebook."""
    light = room_light(windows=[(130, 40, 60, 40, 7), (250, 30, 40, 50, 3)], fill=0.4, warm=0.03)
    studio = Studio(Camera((-9, -27, 29), (0.5, 0.2, 0), 30, 0.35), light)
    studio.add(
        sheet((0, 20, 0), (140, 0, 0), (0, -120, 0)),
        Paint(wood((1800, 2200), dark=(0.70, 0.58, 0.44), light=(0.87, 0.78, 0.65), planks=4, seed=31), rough=0.35),
    )
    for points in box_faces((0, 0, 0.42), (7.4, 15.6, 0.8), turn=14, soft=0.38).values():
        studio.add(points, Paint(plain((0.06, 0.06, 0.07)), rough=0.08, part_of=PRODUCT))
    screen = np.full((1500, 700, 3), 0.015, np.float32)
    screen += np.linspace(0.10, 0.0, 1500)[:, None, None].astype(np.float32) * np.array([0.2, 1.0, 0.5], np.float32)
    ink, brand = logo("Spotify")
    cover = printed(screen, ink, hexed("#1ed760"), at=(0.5, 0.36), width=0.56)
    for row, (text, high, tone) in enumerate([("Morning mix", 0.034, 0.95), ("24 songs, 1 h 32 min", 0.021, 0.6)]):
        lettered(screen, text, at=(0.5, 0.60 + row * 0.042), size=high, colour=(tone, tone, tone))
    screen[1100:1106, 90:610] = 0.3
    screen[1100:1106, 90:300] = 0.9
    cv2.circle(screen, (350, 1240), 62, (0.92, 0.92, 0.92), -1, cv2.LINE_AA)
    cv2.fillPoly(screen, [np.array([(332, 1208), (332, 1272), (384, 1240)])], (0.03, 0.03, 0.03), cv2.LINE_AA)
    for x, way in ((190, -1), (510, 1)):
        cv2.fillPoly(
            screen,
            [np.array([(x - way * 22, 1212), (x - way * 22, 1268), (x + way * 22, 1240)])],
            (0.85, 0.85, 0.85),
            cv2.LINE_AA,
        )
    lettered(screen, "9:41", at=(0.16, 0.026), size=0.022, colour=(0.95, 0.95, 0.95))
    cos, sin = np.cos(np.deg2rad(14)), np.sin(np.deg2rad(14))
    glass = sheet((0, 0, 0.835), (6.7 * cos, 6.7 * sin, 0), (14.7 * sin, -14.7 * cos, 0))
    studio.add(glass, Paint(screen, {0: cover}, rough=0.05, glow=0.75, part_of=PRODUCT))
    for points in box_faces((13.5, 5.0, 0.6), (14, 20, 1.2), turn=-9, soft=0.15).values():
        studio.add(points, plain((0.55, 0.20, 0.16), vary=0.06))
    pencil = np.stack([np.linspace(-11.5, -8.0, 20), np.linspace(-5, 9, 20), np.full(20, 0.4)], 1)
    studio.add(
        tube(pencil + np.array([0, 0, 1]) * np.linspace(0, 0.02, 20)[:, None], 0.38, steps=7),
        Paint(plain((0.90, 0.68, 0.10)), rough=0.3),
    )
    return Scene(studio, {0: brand}, 1.2)


def truck() -> Scene:
    """A delivery truck at the kerb, from the side."""
    studio = Studio(
        Camera((-420, -1150, 180), (-20, 0, 165), 46, 0), open_sky(sun=(225, 38), strength=330, cloud=0.45, seed=17)
    )
    road = (
        plain((0.28, 0.28, 0.29), size=(900, 1800), vary=0.15, seed=2)
        * (0.8 + 0.4 * noise((900, 1800), 2, 5))[..., None]
    )
    studio.add(sheet((0, -400, 0), (6000, 0, 0), (0, -2600, 0)), road.astype(np.float32))
    studio.add(sheet((0, -330, 0.4), (6000, 0, 0), (0, -14, 0)), plain((0.85, 0.85, 0.82), vary=0.1))
    leaves = noise((400, 2400), 24, 8, octaves=5)[..., None]
    trees = np.array([0.06, 0.11, 0.04]) + np.array([0.30, 0.36, 0.14]) * np.clip(leaves * 2.2 - 0.7, 0, 1)
    top = 0.25 + 0.5 * noise((1, 2400), (1, 180), 4, octaves=4)[0]
    ragged = (np.arange(400)[:, None] / 400 > top[None, :] * 0.8 + 0.1 * (leaves[..., 0] - 0.5)).astype(np.float32)
    studio.add(
        sheet((0, 900, 230), (5200, 0, 0), (0, 0, -640)),
        Paint(trees.astype(np.float32), cover=cv2.GaussianBlur(ragged, (0, 0), 1.2)),
    )
    ink, brand = logo("Dhl")
    yellow, red = (1.0, 0.76, 0.02), (0.80, 0.02, 0.08)
    for name, points in box_faces((60, 0, 215), (560, 230, 250), soft=3).items():
        wide = {"front": 2.24, "back": 2.24, "top": 2.4, "bottom": 2.4}.get(name, 0.92)
        face = plain(yellow, size=(800, int(800 * wide)), vary=0.03, seed=5)
        face[-24:] = 0.55
        face[:14] = 0.6
        cover = {0: printed(face, ink, red, at=(0.5, 0.45), width=0.62)} if name == "front" else {}
        studio.add(points, Paint(face, cover, rough=0.15))
    for points in box_faces((60, 0, 72), (560, 190, 34), soft=3).values():
        studio.add(points, Paint(plain((0.10, 0.10, 0.10)), rough=0.4))
    for name, points in box_faces((-320, 0, 150), (170, 215, 190), soft=16).items():
        panel = plain(yellow, size=(760, 680), vary=0.02)
        if name == "front":
            cv2.rectangle(panel, (90, 40), (560, 720), (0.45, 0.33, 0.02), 5, cv2.LINE_AA)  # the door
            cv2.rectangle(panel, (110, 430), (200, 452), (0.12, 0.12, 0.12), -1, cv2.LINE_AA)
            panel[690:] = 0.10
        if name == "left":
            panel[430:640, 120:560] = 0.10
            panel[690:] = 0.10
        studio.add(points, Paint(panel, rough=0.12))
    window = np.array([(-388, 206), (-284, 206), (-284, 146), (-396, 146)], np.float32)
    rows = [window[[0, 1]], window[[3, 2]]]
    studio.add(
        np.array([[(x, -108.3, z) for x, z in line] for line in rows], np.float32),
        Paint(plain((0.07, 0.09, 0.11), vary=0.4), rough=0.03),
    )
    studio.add(
        sheet((-405.6, 0, 185), (0, -170, 0), (0, 0, -80)), Paint(plain((0.07, 0.09, 0.11), vary=0.3), rough=0.03)
    )
    studio.add(sheet((-396, -108.8, 92), (24, 0, 0), (0, 0, -13)), Paint(plain((0.9, 0.9, 0.85)), rough=0.1))
    for points in box_faces((-408, -126, 178), (12, 22, 44), soft=4).values():
        studio.add(points, Paint(plain((0.05, 0.05, 0.05)), rough=0.2))
    for x in (-330, 130, 235):
        studio.add(_wheel((x, -88, 46), 46, 26), Paint(plain((0.04, 0.04, 0.04), vary=0.2), rough=0.5))
        studio.add(_wheel((x, -91, 46), 25, 22), Paint(plain((0.55, 0.55, 0.56)), rough=0.3))
    return Scene(studio, {0: brand}, 0.72)


def parcel() -> Scene:
    """A cardboard parcel on a doorstep."""
    studio = Studio(
        Camera((-38, -76, 54), (0, 0, 10), 36, 0.5),
        room_light(windows=[(170, 45, 90, 60, 6), (280, 30, 60, 50, 3)], fill=0.6),
    )
    tiles = (
        plain((0.50, 0.47, 0.44), size=(1400, 1400), vary=0.14, seed=3)
        * (0.9 + 0.2 * noise((1400, 1400), 3, 8, octaves=3))[..., None]
    )
    for line in range(0, 1400, 200):
        tiles[line : line + 5] *= 0.7
        tiles[:, line : line + 5] *= 0.7
    studio.add(sheet((0, 40, 0), (260, 0, 0), (0, -260, 0)), Paint(tiles.astype(np.float32), rough=0.5))
    door = plain((0.20, 0.29, 0.27), size=(800, 800), vary=0.05, seed=12)
    for left in (90, 450):
        cv2.rectangle(door, (left, 80), (left + 260, 700), (0.15, 0.22, 0.20), 6)
    studio.add(sheet((0, 60, 60), (200, 0, 0), (0, 0, -124)), Paint(door, rough=0.3))
    ink, brand = logo("Ups")
    for name, points in box_faces((0, 0, 11), (36, 26, 22), turn=22, soft=0.25).items():
        wide = {"front": 36 / 22, "back": 36 / 22, "top": 36 / 26, "bottom": 36 / 26}.get(name, 26 / 22)
        size = (700, int(700 * wide))
        card = plain((0.66, 0.48, 0.31), size=size, vary=0.05, seed=4)
        card *= (0.93 + 0.14 * noise(size, (2, 14), 6, octaves=2))[..., None]
        marks = {}
        if name == "front":
            marks = {0: printed(card, ink, (0.24, 0.13, 0.07), at=(0.36, 0.52), width=0.27)}
            for text, y in (("THIS SIDE UP", 0.80), ("HANDLE WITH CARE", 0.88)):
                lettered(card, text, at=(0.76, y), size=0.045, colour=(0.25, 0.16, 0.10))
        if name == "left":
            card[150:470, 180:640] = (0.94, 0.93, 0.91)
            for row, text in enumerate(["TO: A. Sample", "12 Example Street", "00000 Nowhere"]):
                lettered(card[150:470, 180:640], text, at=(0.45, 0.16 + row * 0.15), size=0.10, colour=(0.1, 0.1, 0.1))
            bars = np.repeat(np.random.default_rng(3).integers(0, 2, 100), 4)
            card[360:450, 210:610][:, bars == 1] = 0.08
        if name in ("top", "left", "right"):
            middle = (
                slice(int(size[0] * 0.44), int(size[0] * 0.56))
                if name == "top"
                else slice(int(size[1] * 0.44), int(size[1] * 0.56))
            )
            tape = (0.62, 0.46, 0.29)
            if name == "top":
                card[middle] = card[middle] * 0.55 + np.array(tape, np.float32) * 0.45
            else:
                card[:90, middle] = card[:90, middle] * 0.55 + np.array(tape, np.float32) * 0.45
        studio.add(points, Paint(np.clip(card, 0, 1), marks, rough=None))
    return Scene(studio, {0: brand}, 0.72)


def bottle() -> Scene:
    """A sports bottle with the mark of a brand that does not exist, on a gym bench."""
    light = room_light(windows=[(190, 30, 40, 70, 9), (345, 25, 30, 70, 6)], fill=0.5)
    studio = Studio(Camera((2, -66, 24), (0, 0, 11.5), 36, 0.6), light)
    bench = plain((0.16, 0.17, 0.19), size=(900, 1200), vary=0.12, seed=8)
    studio.add(
        sheet((0, 20, 0), (160, 0, 0), (0, -90, 0)),
        Paint(bench, rough=0.45, bump=noise((900, 1200), 5, 3, octaves=2) * 0.08),
    )
    wall = plain((0.70, 0.66, 0.60), size=(600, 1000), vary=0.06, seed=5)
    wall[330:] = wall[330:] * np.array([0.45, 0.58, 0.66], np.float32)
    studio.add(sheet((0, 130, 40), (320, 0, 0), (0, 0, -150)), wall)
    for x in (-46, 40):
        studio.add(_ball((x, 60, 13), 13, bumps=0.0, seed=1), Paint(plain((0.75, 0.30, 0.12), vary=0.1), rough=0.4))
    body = plain((0.05, 0.42, 0.42), size=(1100, 1100), vary=0.02, seed=4)
    cover = printed(body, invented_logo(), (0.95, 0.95, 0.92), at=(0.25, 0.57), width=0.27)
    wall_line = [(1.9, 21.5), (2.2, 21.0), (2.3, 19.6), (3.3, 18.2), (3.6, 17.0), (3.6, 1.0), (3.3, 0.2), (2.8, 0.05)]
    studio.add(revolved(wall_line, (0, 0, 0), turn=-176), Paint(body, {0: cover}, rough=0.22, part_of=PRODUCT))
    cap = [(0.01, 24.2), (1.9, 24.2), (2.15, 23.9), (2.15, 21.4), (1.9, 21.3)]
    studio.add(revolved(cap, (0, 0, 0)), Paint(plain((0.09, 0.09, 0.10)), rough=0.3, part_of=PRODUCT))
    towel = sheet((-17, 4, 1.4), (20, 0, 0), (0, -18, 0), steps=160)
    towel[..., 2] += (noise((160, 160), (60, 30), 4, octaves=4) - 0.5) * 3.2
    studio.add(towel, plain((0.83, 0.82, 0.78), vary=0.15, seed=9))
    return Scene(studio, {0: INVENTED}, 1.2)


def still_life() -> Scene:
    """Oranges, a vase and a book without a title: nothing here has a mark."""
    light = room_light(windows=[(160, 35, 60, 60, 9), (20, 15, 40, 40, 1)], fill=0.4, warm=0.06)
    studio = Studio(Camera((6, -72, 34), (0, 2, 13), 42, 0.6), light)
    studio.add(
        sheet((0, 20, 0), (170, 0, 0), (0, -110, 0)),
        Paint(wood((1600, 2200), dark=(0.30, 0.20, 0.13), light=(0.58, 0.43, 0.30), planks=6, seed=41), rough=0.3),
    )
    studio.add(sheet((0, 70, 50), (300, 0, 0), (0, 0, -140)), plain((0.58, 0.55, 0.50), vary=0.08, seed=2))
    for number, (x, y) in enumerate([(-11, -4), (-3.4, -8), (-5, 2.2), (10.5, -10)]):
        peel = np.clip(plain((0.93, 0.46, 0.06), vary=0.10, seed=number), 0, 1)
        studio.add(
            _ball((x, y, 3.9), 3.9, bumps=0.05, seed=number),
            Paint(peel, rough=0.3, bump=noise((512, 512), 4, number, octaves=2) * 0.06),
        )
    vase = [(2.6, 24), (2.3, 23), (2.5, 20), (5.5, 14), (6.4, 8), (5.2, 2), (3.8, 0.2), (0.01, 0.1)]
    studio.add(
        revolved(_smooth(vase), (9, 6, 0)),
        Paint(np.clip(plain((0.20, 0.33, 0.45), vary=0.12, seed=6), 0, 1), rough=0.12),
    )
    random = np.random.default_rng(8)
    for stem in range(9):
        t = np.linspace(0, 1, 24)[:, None]
        lean = np.array([random.uniform(-9, 9), random.uniform(-5, 5), 0])
        path = np.array([9, 6, 18]) + lean * t**2 + np.array([0, 0, random.uniform(14, 22)]) * t
        studio.add(tube(path, 0.18, steps=8), plain((0.30, 0.36, 0.16), vary=0.1))
        for bud in range(4):
            at = path[-1 - bud * 3] + random.uniform(-0.7, 0.7, 3)
            studio.add(
                _ball(tuple(at), random.uniform(0.7, 1.2), bumps=0.2, seed=stem * 4 + bud),
                plain((0.86, 0.78, 0.70), vary=0.1, seed=bud),
            )
    for name, points in box_faces((-24, 8, 1.7), (17, 24, 3.4), turn=-24, soft=0.2).items():
        studio.add(
            points,
            plain((0.42, 0.13, 0.14) if name in ("top", "bottom", "front", "back") else (0.88, 0.84, 0.74), vary=0.05),
        )
    return Scene(studio, {}, 1.2)


def packshot() -> Scene:
    """A carton before white, as shops show it."""
    light = room_light(windows=[(200, 40, 90, 70, 4), (340, 40, 90, 70, 3), (90, 30, 120, 60, 2)], fill=0.8)
    studio = Studio(Camera((-26, -78, 30), (0, 0, 11.5), 26, 0), light)
    steps = np.linspace(0, 1, 60)
    back = np.stack(
        [np.zeros(60), -90 + 190 * np.minimum(steps * 1.6, 1), 150 * np.clip(steps * 2.6 - 1.6, 0, None) ** 2], 1
    )[::-1]
    sweep = back[:, None, :] + np.linspace(-260, 260, 2)[None, :, None] * np.array([1, 0, 0])
    studio.add(sweep.astype(np.float32), np.ones(3) * 0.97)
    ink, brand = logo("Sony")
    for name, points in box_faces((0, 0, 11.5), (17, 9, 23), turn=24, soft=0.12).items():
        wide = {"front": 17 / 23, "back": 17 / 23, "top": 17 / 9, "bottom": 17 / 9}.get(name, 9 / 23)
        card = plain((0.86, 0.86, 0.85), size=(1000, int(1000 * wide)), vary=0.01)
        marks = {}
        if name in ("front", "back"):
            card[620:] = hexed("#1d5c8f")
            marks = {0: printed(card, ink, (0.06, 0.06, 0.07), at=(0.5, 0.13), width=0.56)}
            cv2.ellipse(card, (card.shape[1] // 2, 560), (250, 250), 0, 0, 360, (0.10, 0.10, 0.11), -1, cv2.LINE_AA)
            for ring in range(30, 226, 14):
                cv2.ellipse(
                    card, (card.shape[1] // 2, 560), (ring, ring), 0, 0, 360, (0.22, 0.22, 0.24), 3, cv2.LINE_AA
                )
            lettered(card, "Portable speaker", at=(0.5, 0.91), size=0.045, colour=(1.0, 1.0, 1.0))
        elif name in ("left", "right"):
            card[:] = hexed("#1d5c8f")
        marks = marks if name == "front" else {}
        studio.add(points, Paint(card, marks, rough=0.2, part_of=PRODUCT))
    return Scene(studio, {0: brand}, 0.95)


def _ball(centre: tuple[float, float, float], radius: float, *, bumps: float, seed: int) -> Floats:
    angle = np.linspace(0.02, np.pi - 0.02, 90)
    ball = revolved([(np.sin(a), np.cos(a)) for a in angle], (0, 0, 0), steps=140)
    rough = noise((90, 140), 9, abs(seed), octaves=3)
    rough[:, -1] = rough[:, 0]
    return (ball * (radius + bumps * (rough - 0.5)[..., None]) + np.asarray(centre)).astype(np.float32)


def _wheel(centre: tuple[float, float, float], radius: float, wide: float) -> Floats:
    profile = [
        (0.01, wide / 2),
        (radius * 0.6, wide / 2),
        (radius * 0.93, wide / 2),
        (radius, wide / 2 - 3),
        (radius, -wide / 2),
    ]
    lying = revolved(profile, (0, 0, 0))
    return (lying[..., [0, 2, 1]] * np.array([1, -1, 1]) + np.asarray(centre)).astype(np.float32)


def _smooth(profile: list[tuple[float, float]]) -> list[tuple[float, float]]:
    at = np.linspace(0, len(profile) - 1, 120)
    knots = np.array(profile)
    line = np.stack([np.interp(at, range(len(profile)), knots[:, axis]) for axis in (0, 1)], 1)
    soft = cv2.GaussianBlur(line.astype(np.float32), (1, 0), sigmaX=1, sigmaY=4, borderType=cv2.BORDER_REPLICATE)
    return [(float(r), float(z)) for r, z in soft]


SCENES: dict[str, Callable[[], Scene]] = {
    "bottle.jpg": bottle,
    "cans.jpg": cans,
    "carton.webp": packshot,
    "mug.jpg": mug,
    "parcel.jpg": parcel,
    "phone.jpg": phone,
    "shelf.jpg": shelf,
    "shirt.jpg": tshirt,
    "shop.jpg": storefront,
    "still-life.jpg": still_life,
    "truck.jpg": truck,
}


# Files and truth.


def render(name: str) -> dict[str, Any]:
    """Photograph one scene into its file; its row of the truth."""
    scene = SCENES[name]()
    seed = sorted(SCENES).index(name)
    pixels = scene.studio.photograph(samples=SAMPLES, seed=seed, exposure=scene.exposure)
    options = {"quality": 82, "method": 6} if name.endswith(".webp") else {"quality": 84, "optimize": True}
    Image.fromarray(pixels).save(IMAGES / name, **options)
    boxes = [
        {
            "box": list(box),
            "kind": "logo" if number < PRODUCT else "product",
            "brand": scene.brands.get(number % PRODUCT),
        }
        for number, box in scene.studio.boxes().items()
    ]
    return row(name, pixels.shape[1], pixels.shape[0], boxes)


def flat_logo(name: str) -> dict[str, Any]:
    """A mark alone, on a transparent ground."""
    ink, brand = logo("Toyota", 420)
    margin = 40
    alpha = np.pad(ink, margin)
    rgba = np.concatenate(
        [np.tile(np.array(hexed("#eb0a1e"), np.float32), (*alpha.shape, 1)), alpha[..., None]], axis=2
    )
    Image.fromarray(np.round(rgba * 255).astype(np.uint8)).save(IMAGES / name, optimize=True)
    height, width = alpha.shape
    box = [margin, margin, width - margin, height - margin]
    return row(name, width, height, [{"box": [float(v) for v in box], "kind": "logo", "brand": brand}])


def repost(name: str, original: dict[str, Any]) -> dict[str, Any]:
    """The copy: mirrored, smaller, and saved again badly."""
    with Image.open(HERE / original["image"]) as source:
        copy = source.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((560, 420), Image.Resampling.LANCZOS)
    copy.save(IMAGES / name, quality=52)
    scale = 560 / original["width"]
    boxes = [
        b | {"box": [round(v * scale, 1) for v in _mirrored(b["box"], original["width"])]} for b in original["boxes"]
    ]
    return row(name, *copy.size, boxes) | {"copy_of": original["image"], "edit": "mirror"}


def row(name: str, width: int, height: int, boxes: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the truth; every mark that can be seen is in it."""
    return {"image": f"images/{name}", "width": width, "height": height, "boxes": boxes, "exhaustive": True}


def _mirrored(box: list[float], width: float) -> list[float]:
    return [width - box[2], box[1], width - box[0], box[3]]


def main() -> None:
    """Make the named pictures, or all of them, and bring truth.jsonl up to date."""
    parser = argparse.ArgumentParser(description="Make the sample pictures and truth.jsonl again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to make (all)")
    wanted = parser.parse_args().names or [*SCENES, "repost.jpg", "logo.png"]
    truth_path = HERE / "truth.jsonl"
    lines = truth_path.read_text(encoding="utf-8").splitlines() if truth_path.is_file() else []
    truth = {Path(found["image"]).name: found for found in map(json.loads, lines)}
    IMAGES.mkdir(exist_ok=True)
    for name in wanted:
        if name == "logo.png":
            truth[name] = flat_logo(name)
        elif name == "repost.jpg":
            truth[name] = repost(name, truth["cans.jpg"])
        else:
            truth[name] = render(name)
        text = "".join(json.dumps(truth[key], separators=(", ", ": ")) + "\n" for key in sorted(truth))
        truth_path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
