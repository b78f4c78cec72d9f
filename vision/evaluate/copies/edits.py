"""What happens to a picture between two shops: 65 edits in 15 families, each drawn by a random generator of its own.

In: (h, w, 3) uint8 RGB, a generator, and a way to ask for a stranger, a picture that is nowhere among the references: host and
neighbour of the edits that need a second picture. Out: a new picture, or null where the edit makes no sense. Pure: the same
picture, seed and edit give the same copy. Families and names are those of the project's shared battery, so that figures of both
can be laid side by side; what is copied there and here means the same and is not the same pixel for pixel.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.evaluate.copies import drawing
from vision.evaluate.copies.drawing import PALETTE, choose, covering, inside, scaled
from vision.values import Pixels

Stranger = Callable[[], Pixels]
Edit = Callable[[Pixels, np.random.Generator, Stranger], Pixels | None]
Whole = Callable[[Pixels, np.random.Generator, Stranger], Pixels]
Floats = npt.NDArray[np.float32]

# Changes whenever the same seed would draw other pixels, so that a battery half made by an older version is not gone on with.
VERSION = 1
LONGEST_SIDE = 1024  # of an original before it is edited


def generator(seed: int, picture: str, edit: str) -> np.random.Generator:
    """The generator of one copy: of the seed, the picture's name and the edit's, whatever else is made and in which order."""
    return np.random.default_rng(
        [seed, zlib.crc32(picture.encode("utf-8", "surrogatepass")), zlib.crc32(edit.encode())]
    )


def apply(edit: str, pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> tuple[Pixels, int] | None:
    """A copy and the JPEG quality to save it with, or null where the edit makes no sense for this picture.

    edit: a name in `EDITS`. pixels: brought to at most `LONGEST_SIDE` before. jpegN is saved at N, all others at 82 to 94.
    """
    side = min(LONGEST_SIDE, max(pixels.shape[:2]))
    made = EDITS[edit][1](inside(pixels, side, side), random, stranger)
    if made is None:
        return None
    quality = int(edit.removeprefix("jpeg")) if edit.startswith("jpeg") else int(random.integers(82, 95))
    return np.ascontiguousarray(made), quality


def _bytes(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)


def _same(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
    return pixels


def _alone(change: Callable[[Pixels], Pixels]) -> Whole:
    """An edit that needs nothing but the picture."""
    return lambda pixels, random, stranger: change(pixels)


def _drawn(change: Callable[[Pixels, np.random.Generator], Pixels]) -> Whole:
    """An edit that needs the picture and luck."""
    return lambda pixels, random, stranger: change(pixels, random)


def _resized(across: float, down: float) -> Whole:
    return _alone(lambda pixels: scaled(pixels, pixels.shape[1] * across, pixels.shape[0] * down))


# Colour


def _gray(pixels: Pixels) -> Floats:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)[..., None]


def _brightness(factor: float) -> Whole:
    return _alone(lambda pixels: _bytes(pixels * np.float32(factor)))


def _contrast(factor: float) -> Whole:
    def change(pixels: Pixels) -> Pixels:
        middle = _gray(pixels).mean()
        return _bytes(middle + factor * (pixels - middle))

    return _alone(change)


def _saturated(pixels: Pixels, factor: float) -> Floats:
    gray = _gray(pixels)
    return np.asarray(gray + factor * (pixels - gray), np.float32)


def _hue(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """All hues turned by one of five angles of the circle's 256 steps."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(choose(random, (40, 80, 128, 176, 216)))  # wraps
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)


# W3C, Filter Effects Module Level 1, sepia(100 %).
_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)


def _sepia(pixels: Pixels) -> Pixels:
    return _bytes(pixels @ _SEPIA.T)


def _darker_corners(values: npt.NDArray[np.floating[Any]], strength: float) -> Floats:
    height, width = values.shape[:2]
    across, down = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    distance = across**2 + down[:, None] ** 2  # 2 in the corners
    return np.asarray(values * (1 - strength * np.clip(distance - 0.3, 0, None) / 1.7)[..., None], np.float32)


def _vintage(pixels: Pixels) -> Pixels:
    faded = 40 + 0.75 * _saturated(pixels, 0.7)
    return _bytes(_darker_corners(faded * np.array([1.1, 1.0, 0.8], np.float32), 0.5))


def _noir(pixels: Pixels) -> Pixels:
    curve = 255 / (1 + np.exp((118 - np.repeat(_gray(pixels), 3, axis=2)) / 28))
    return _bytes(_darker_corners(curve, 0.8))


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _blur(share: float) -> Whole:
    return _alone(lambda pixels: _blurred(pixels, max(pixels.shape) * share))


def _noise(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return _bytes(pixels + random.normal(0, 22, pixels.shape))


def _recoded(quality: int) -> Whole:
    def change(pixels: Pixels) -> Pixels:
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return np.ascontiguousarray(decoded[..., ::-1])

    return _alone(change)


# Frames


def _ground(height: int, width: int, colour: str) -> Pixels:
    from PIL import ImageColor

    return np.full((height, width, 3), ImageColor.getrgb(colour)[:3], np.uint8)


def _laid(ground: Pixels, pixels: Pixels, left: float, top: float) -> Pixels:
    """A picture on a ground, inside it."""
    x, y = int(left), int(top)
    ground[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return ground


def _centred(ground: Pixels, pixels: Pixels) -> Pixels:
    return _laid(ground, pixels, (ground.shape[1] - pixels.shape[1]) // 2, (ground.shape[0] - pixels.shape[0]) // 2)


def _border(share: float) -> Whole:
    def change(pixels: Pixels, random: np.random.Generator) -> Pixels:
        edge = int(share * max(pixels.shape))
        return _centred(
            _ground(pixels.shape[0] + 2 * edge, pixels.shape[1] + 2 * edge, choose(random, PALETTE)), pixels
        )

    return _drawn(change)


def _other_format(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the smallest 9:16 page around a wide or square picture, of the smallest 16:9 one around a tall one."""
    shape = 9 / 16 if width >= height else 16 / 9
    return (round(width / shape), width) if width > height * shape else (height, round(height * shape))


def _letterbox(pixels: Pixels) -> Pixels:
    return _centred(_ground(*_other_format(*pixels.shape[:2]), "black"), pixels)


def _blurred_fill(pixels: Pixels) -> Pixels:
    """On a blurred enlargement of itself: a square page, or for an almost square picture one of the other format."""
    height, width = pixels.shape[:2]
    almost_square = 0.85 < width / height < 1.18
    page = _other_format(height, width) if almost_square else (max(height, width),) * 2
    return _centred(_blurred(covering(pixels, page[1], page[0]), page[1] / 25), pixels)


# Geometry


def _crop(away: float) -> Whole:
    """A window of 1 - away of the area, its shape up to 15 % off, anywhere."""

    def change(pixels: Pixels, random: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        side = np.sqrt(1 - away)
        lean = np.clip(random.uniform(0.87, 1.15), side, 1 / side)  # a window is no wider than its picture
        w, h = round(width * side * lean), round(height * side / lean)
        left, top = random.integers(width - w + 1), random.integers(height - h + 1)
        return pixels[top : top + h, left : left + w]

    return _drawn(change)


def _rotate(degrees: float, *, cut: bool) -> Whole:
    """Turned to either side: on a page that holds all of it, or cut to the largest window of its shape without the page."""

    def change(pixels: Pixels, random: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        angle = degrees * choose(random, (-1, 1))
        page = choose(random, ((255,) * 3, (0,) * 3, (128,) * 3))
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        if cut:
            # the corner of a window k times the picture touches its edge when turned back
            k = 1 / (cosine + sine * max(width / height, height / width))
            w, h = int(width * k - 2), int(height * k - 2)
        else:
            w, h = int(np.ceil(width * cosine + height * sine)), int(np.ceil(height * cosine + width * sine))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
        matrix[:, 2] += (w - width) / 2, (h - height) / 2
        return np.asarray(cv2.warpAffine(pixels, matrix, (w, h), flags=cv2.INTER_CUBIC, borderValue=page), np.uint8)

    return _drawn(change)


# Several pictures on one page


def _inset(share: float) -> Whole:
    """Somewhere on a stranger, its sides at most `share` of the host's."""

    def change(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
        host = covering(stranger(), *((1200, 900) if pixels.shape[1] > pixels.shape[0] else (900, 1200)))
        small = inside(pixels, host.shape[1] * share, host.shape[0] * share)
        left = random.integers(host.shape[1] - small.shape[1] + 1)
        return _laid(host, small, left, random.integers(host.shape[0] - small.shape[0] + 1))

    return change


def _side_by_side(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
    pair = [scaled(each, each.shape[1] * 700 / each.shape[0], 700) for each in (pixels, stranger())]
    return np.concatenate(pair[::-1] if random.integers(2) else pair, axis=1)


def _collage(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
    """One of four in a white grid of 10 pixels."""
    width, height = (600, 450) if pixels.shape[1] > pixels.shape[0] else (450, 600)
    page, own = _ground(2 * height + 30, 2 * width + 30, "white"), int(random.integers(4))
    for place in range(4):
        tile = covering(pixels if place == own else stranger(), width, height)
        _laid(page, tile, 10 + place % 2 * (width + 10), 10 + place // 2 * (height + 10))
    return page


# Photographed and printed again


def _clouds(random: np.random.Generator, height: int, width: int) -> Floats:
    """A smooth field of about 0 to 1."""
    coarse = random.random((4, 4)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _of_screen(tilt: float, moire: float, glare: float, grain: float) -> Whole:
    """A monitor photographed by hand: bezel, a dim blurred room, perspective, moiré, glare, a colour cast and noise.

    tilt: how far each corner goes astray, of the sides. moire, glare: amplitude, of full brightness. grain: in levels.
    """

    def change(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
        shown = inside(pixels, 900, 900)
        bezel = int(0.03 * max(shown.shape))
        shown = _centred(_ground(shown.shape[0] + 2 * bezel, shown.shape[1] + 2 * bezel, "#0b0b0b"), shown)
        h, w = shown.shape[:2]
        height, width = int(1.18 * h), int(1.18 * w)
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        astray = random.uniform(-tilt, tilt, (4, 2)) * (w, h)
        seen = np.add(corners, ((width - w) / 2, (height - h) / 2)) + astray
        to_photo = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
        across, down = np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)[:, None]
        period = random.uniform(5, 9)
        beat = np.sin(2 * np.pi * across / period + 3 * _clouds(random, h, w))
        beat = beat + np.sin(2 * np.pi * down / (1.3 * period) + 5 * _clouds(random, h, w))
        lit = (shown * (1 + moire * beat[..., None] * random.uniform(0.5, 1, 3))).astype(np.float32)
        photo = cv2.warpPerspective(lit, to_photo, (width, height))
        covered = cv2.warpPerspective(np.ones((h, w), np.float32), to_photo, (width, height))
        covered = cv2.GaussianBlur(covered, (0, 0), 1.2)[..., None]
        room = 0.6 * _blurred(covering(stranger(), width, height), 25)
        photo = photo * covered + room * (1 - covered)
        dx = (np.arange(width) - random.uniform(0, width)) / (0.22 * width)
        dy = (np.arange(height)[:, None] - random.uniform(0, height)) / (0.18 * height)
        photo = photo * random.uniform(0.88, 1.1, 3) + 255 * glare * np.exp(-(dx**2) - dy**2)[..., None]
        return _bytes(cv2.GaussianBlur(photo, (0, 0), 0.9) + random.normal(0, grain, photo.shape))

    return change


def _print_scan(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Printed in a halftone of 4 pixels at 15°, 45° and 75° on yellowish paper, scanned up to 1.5° askew."""
    height, width = pixels.shape[:2]
    across, down = np.arange(width), np.arange(height)[:, None]
    screens = []
    for degrees in (15, 75, 45):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along, beside = across * cosine + down * sine, down * cosine - across * sine
        screens.append(np.sin(np.pi / 2 * along) * np.sin(np.pi / 2 * beside))
    ink = 255 * (pixels / 255.0) ** 1.15 + 30 * np.stack(screens, axis=-1)
    printed = _bytes(38 + 0.78 * ink)
    margin, paper = int(0.04 * max(height, width)), "#f7f3e9"
    page = _centred(_ground(height + 2 * margin, width + 2 * margin, paper), printed)
    high, wide = page.shape[:2]
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), random.uniform(-1.5, 1.5), 1)
    ground = tuple(int(v) for v in page[0, 0])
    scan = _blurred(cv2.warpAffine(page, turn, (wide, high), flags=cv2.INTER_CUBIC, borderValue=ground), 1.1)
    return _bytes(scan * random.uniform(0.94, 1.0, 3) + random.normal(0, 6, scan.shape))


# Another scene


def _subject(pixels: Pixels) -> Floats | None:
    """(h, w) share of each pixel that belongs to what stands out; null where nothing does clearly, between 20 and 70 %.

    On a white ground (90 % of the edge above 235) it is what the white cannot be poured into from outside, else GrabCut's
    foreground in the middle (Rother et al. 2004).
    """
    small = inside(pixels, 200, 200)
    height, width = small.shape[:2]
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    if (edge.min(axis=1) > 235).mean() > 0.9:
        white = np.ones((height + 2, width + 2), np.uint8)  # a white margin joins the pieces of ground
        white[1:-1, 1:-1] = small.min(axis=2) > 235
        cv2.floodFill(white, None, (0, 0), 2)
        mask = (white[1:-1, 1:-1] != 2).astype(np.uint8)
    else:
        labels = np.zeros((height, width), np.uint8)
        middle = [round(v) for v in (0.08 * width, 0.08 * height, 0.84 * width, 0.84 * height)]
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        cv2.grabCut(np.ascontiguousarray(small[..., ::-1]), labels, middle, *models, 3, cv2.GC_INIT_WITH_RECT)
        mask = (labels % 2).astype(np.uint8)  # GC_FGD and GC_PR_FGD are the odd ones
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    if not 0.2 < mask.mean() < 0.7:
        return None
    large = cv2.resize(mask.astype(np.float32), pixels.shape[1::-1])
    return np.asarray(cv2.GaussianBlur(large, (0, 0), max(pixels.shape) / 300), np.float32)


def _background(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels | None:
    """What stands out, before two colours that fade into each other or before a stranger."""
    share = _subject(pixels)
    if share is None:
        return None
    height, width = pixels.shape[:2]
    if random.integers(2):
        top, bottom = (_ground(1, 1, choose(random, PALETTE)).astype(np.float32) for _ in range(2))
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        behind = top * (1 - down) + bottom * down
    else:
        behind = covering(stranger(), width, height).astype(np.float32)
    return _bytes(pixels * share[..., None] + behind * (1 - share[..., None]))


def _shadow(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A shadow of 60 % with a soft, wavy edge over a part of the picture."""
    height, width = pixels.shape[:2]
    towards = random.uniform(0, 2 * np.pi)
    across, down = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    wave = 0.4 * _clouds(random, height, width)
    depth = 1 / (1 + np.exp(-(across * np.cos(towards) + down * np.sin(towards) + wave - 0.2) / 0.05))
    return _bytes(pixels * (1 - 0.6 * depth[..., None]))


def _chain(*edits: Whole) -> Whole:
    def change(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
        for edit in edits:
            pixels = np.ascontiguousarray(edit(pixels, random, stranger))
        return pixels

    return change


def _three(pixels: Pixels, random: np.random.Generator, stranger: Stranger) -> Pixels:
    """Three edits of three of four sorts, in any order."""
    sorts: tuple[tuple[Whole, ...], ...] = (
        (_crop(0.1), _crop(0.2), _inset(0.7), _border(0.15), _drawn(drawing.phone), _alone(_letterbox)),
        (
            _drawn(drawing.watermark),
            _drawn(drawing.words_over(0.1)),
            _drawn(drawing.sticker(0.1)),
            _drawn(drawing.meme),
        ),
        (_brightness(1.4), _drawn(_hue), _alone(_vintage), _drawn(_noise), _recoded(30)),
        (_alone(_mirrored), _rotate(5, cut=True), _resized(0.7, 1), _rotate(2, cut=False)),
    )
    chosen = [choose(random, sorts[number]) for number in random.permutation(4)[:3]]
    return _chain(*chosen)(pixels, random, stranger)


def _mirrored(pixels: Pixels) -> Pixels:
    return pixels[:, ::-1]


_FAMILIES: dict[str, dict[str, Edit]] = {
    "jpeg": {f"jpeg{quality}": _same for quality in (80, 50, 30)},
    "resize": {f"resize{percent}": _resized(percent / 100, percent / 100) for percent in (25, 50, 200)},
    "colour": {
        "brighter": _brightness(1.5),
        "darker": _brightness(0.5),
        "contrast_up": _contrast(1.8),
        "contrast_down": _contrast(0.45),
        "saturate": _alone(lambda pixels: _bytes(_saturated(pixels, 2.5))),
        "hue": _drawn(_hue),
        "sepia": _alone(_sepia),
        "vintage": _alone(_vintage),
        "noir": _alone(_noir),
        "gray": _alone(lambda pixels: _bytes(np.repeat(_gray(pixels), 3, axis=2))),
    },
    "blur_noise": {"blur_mild": _blur(1 / 400), "blur_strong": _blur(1 / 100), "noise": _drawn(_noise)},
    "aspect": {"squash": _resized(0.62, 1), "stretch": _resized(1.5, 1)},
    "overlay": {
        "watermark": _drawn(drawing.watermark),
        "text10": _drawn(drawing.words_over(0.10)),
        "text25": _drawn(drawing.words_over(0.25)),
        "sticker10": _drawn(drawing.sticker(0.10)),
        "sticker25": _drawn(drawing.sticker(0.25)),
    },
    "flip_turn": {
        "mirror": _alone(_mirrored),
        "upside_down": _alone(lambda pixels: pixels[::-1]),
        **{f"turn{90 * turns}": _alone(partial(np.rot90, k=turns)) for turns in (1, 2, 3)},
    },
    "frame": {
        **{f"border{percent}": _border(percent / 100) for percent in (5, 15, 30)},
        "letterbox": _alone(_letterbox),
        "meme": _drawn(drawing.meme),
        "blurred_fill": _alone(_blurred_fill),
    },
    "screenshot": {"phone": _drawn(drawing.phone), "desktop": _drawn(drawing.desktop)},
    "crop": {f"crop{percent}": _crop(percent / 100) for percent in (5, 10, 20, 30, 50)},
    "rotate": {
        f"rotate{degrees}{'_cropped' if cut else ''}": _rotate(degrees, cut=cut)
        for degrees in (2, 5, 10, 15)
        for cut in (False, True)
    },
    "composite": {
        **{f"inset{percent}": _inset(percent / 100) for percent in (30, 50, 70)},
        "side_by_side": _side_by_side,
        "collage": _collage,
    },
    "rephoto": {
        "screen_mild": _of_screen(0.015, 0.04, 0.15, 4),
        "screen_strong": _of_screen(0.06, 0.12, 0.45, 10),
        "print_scan": _drawn(_print_scan),
    },
    "chain": {
        "mirror_crop": _chain(_alone(_mirrored), _crop(0.2)),
        "crop_watermark": _chain(_crop(0.2), _drawn(drawing.watermark)),
        "three": _three,
    },
    "scene": {"background": _background, "shadow": _drawn(_shadow)},
}
FAMILIES = tuple(_FAMILIES)
# name: (family, edit), in the order of the families.
EDITS: dict[str, tuple[str, Edit]] = {
    name: (family, edit) for family, edits in _FAMILIES.items() for name, edit in edits.items()
}
# What copies and decoys may share: these cover much of a picture, or surround it, in nearly the same way each time.
FURNITURE = (
    *("phone", "desktop", "meme", "sticker25", "text25"),
    *("watermark", "sticker10", "screen_mild", "border15", "text10"),
)
# Edits that can bring in a stranger sharp: two of their copies may rightly match, by the stranger that both show.
WITH_STRANGERS = frozenset({"inset30", "inset50", "inset70", "side_by_side", "collage", "three", "background"})
