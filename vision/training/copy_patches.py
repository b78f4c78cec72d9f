"""Pairs of patches for the encoder of copies: the same corner in a picture and in an edited copy of it.

In: training pictures. Out: `Pairs`, made by worker processes, the same for the same seed. Each picture is turned, mirrored,
stretched, scaled and seen from aside by a known transform, then its light and its quality change. Corners are found in both,
apart from each other, as `vision copies` finds them; those that the transform brings together are a pair, so that the encoder
learns what the finder really gives it, its errors of place, scale and angle among them.
"""

from __future__ import annotations

import functools
import json
import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies.keypoints import STEP, Keypoints, find_keypoints
from vision.copies.local import grey_plane
from vision.errors import DatasetError, PictureError
from vision.images import read_picture
from vision.training.draw.stock import expand
from vision.values import Picture, Pixels

log = logging.getLogger(__name__)

Bits = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

# Corners looked for in the picture and in its copy: more in the copy, as those of its new parts come on top.
COUNT, COPY_COUNT = 500, 900
# Pairs that one picture may give, so that those full of corners are not most of the training.
MOST_PAIRS = 100
# Copies of this longest side at most, and no shorter than that: a marketplace's usual pictures after cropping.
LONGEST, SHORTEST = 900, 60
# The longest side at which a picture's own corners are found, in pixels: between those at which references and queries are
# described. With its scales, its copy's and the half octaves between, a patch is learned at all of them.
SIDE = 400
# Pictures are read at twice that side, so that a copy may be larger than its source.
READ_SIDE = 800
LEAST_PICTURE = 80
# Two corners are the same when they lie within two pixels of the finer one's scale and their scales differ by under half an
# octave.
SAME_PLACE = 2.0
SAME_SCALE = 0.45
# Corners nearer to the copy's edge than this, in pixels, have lost part of their patch.
RIM = 8
# From the centre of the first pixel to the corner of the picture.
_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """n pairs. first, second: (n, 256) uint8 patches of the picture and of its copy. picture: (n,) int64, which picture."""

    first: Bits
    second: Bits
    picture: Numbers

    def __len__(self) -> int:
        return len(self.picture)

    def chosen(self, rows: npt.NDArray[Any]) -> Pairs:
        """Some of the pairs, by place or by flag."""
        return Pairs(self.first[rows], self.second[rows], self.picture[rows])


def training_pictures(patterns: Sequence[str], most: int) -> list[Path]:
    """The pictures that jsonl files name under "image", at most so many of each file, in order of their paths.

    Raises DatasetError: missing; bad_label for a row that names none.
    """
    found: list[Path] = []
    for path in expand(patterns):
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            found += sorted({path.parent / row["image"] for row in rows})[:most]
        except (ValueError, KeyError, TypeError):
            raise DatasetError("bad_label", 'a row is not JSON with an "image"', path=str(path)) from None
    return found


def make_pairs(paths: Sequence[Path], *, seed: int, workers: int, copies: int = 1) -> Pairs:
    """Pairs of so many copies of each picture; the same whatever the number of workers (0: in this process).

    Pictures that cannot be read, or whose copy would be too small, give none. Raises DatasetError (missing) when none is left.
    """
    make = functools.partial(_pairs_of, seed=seed)
    jobs = list(enumerate([*paths] * copies))
    if workers:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            found = pool.map(make, jobs, chunksize=8)
    else:
        found = [make(job) for job in jobs]
    first, second = np.concatenate([f for f, _ in found] or [_NONE]), np.concatenate([s for _, s in found] or [_NONE])
    if not len(first):
        raise DatasetError("missing", "no picture gave a pair of patches")
    picture = np.repeat(np.arange(len(jobs)) % len(paths), [len(f) for f, _ in found])
    log.info("%d pairs of %d pictures", len(first), len(paths))
    return Pairs(first, second, picture)


_NONE = np.zeros((0, 256), dtype=np.uint8)


def _pairs_of(job: tuple[int, Path], *, seed: int) -> tuple[Bits, Bits]:
    import cv2

    cv2.setNumThreads(1)
    number, path = job
    try:
        picture = read_picture(path, reduce_to=READ_SIDE)
    except PictureError as error:
        log.warning("%s", error)
        return _NONE, _NONE
    rng = np.random.default_rng([seed, number])
    return copy_pairs(picture, rng)


def copy_pairs(picture: Picture, rng: np.random.Generator) -> tuple[Bits, Bits]:
    """Patches (n, 256) uint8 of a picture and of one random copy of it, row by row of the same corner; n at most `MOST_PAIRS`."""
    import cv2

    pixels = picture.pixels
    scale = READ_SIDE / max(pixels.shape[:2])
    if scale < 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_PICTURE:
        return _NONE, _NONE
    plane = grey_plane(picture, SIDE)
    # of the plane to that of the copy, at about the plane's scale
    matrix, size = random_transform(rng, plane.shape[1], plane.shape[0])
    if max(size) > LONGEST or min(size) < SHORTEST:
        return _NONE, _NONE
    to_plane = np.diag([plane.shape[1] / width, plane.shape[0] / height, 1.0])
    copy = vary(_warp(pixels, matrix @ to_plane, size, rng), rng)
    found = find_keypoints(plane, COUNT)
    again = find_keypoints(np.asarray(cv2.cvtColor(copy, cv2.COLOR_RGB2GRAY), dtype=np.uint8), COPY_COUNT)
    i, j = same_corners(found, again, matrix, size)
    some = rng.permutation(len(i))[:MOST_PAIRS]
    return found.patches[i[some]], again.patches[j[some]]


def random_transform(rng: np.random.Generator, width: int, height: int) -> tuple[Matrix, tuple[int, int]]:
    """How a picture is laid into its copy: (3, 3) in pixels from the corner of the picture, and width and height of the copy.

    Upright, turned by quarters, by little or by any angle; a third are mirrored, a third seen from aside; scaled 0.4- to
    1.5-fold, with another aspect. The copy just holds all of it.
    """
    import cv2

    angles = (0.0, 90.0 * rng.integers(1, 4), rng.uniform(-20, 20), rng.uniform(-180, 180), 0.0, rng.uniform(-5, 5))
    turn = np.radians(angles[rng.integers(len(angles))])
    scale, aspect = np.exp(rng.uniform(np.log(0.4), np.log(1.5))), np.exp(rng.normal(0, 0.16))
    mirror = -1 if rng.random() < 0.35 else 1
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = turned @ np.diag([mirror * scale * aspect, scale / aspect])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    there = corners @ linear.T
    if rng.random() < 0.35:
        there += rng.uniform(-0.06, 0.06, there.shape) * np.ptp(there, axis=0)
    there -= there.min(axis=0)
    matrix = np.asarray(cv2.getPerspectiveTransform(corners, there.astype(np.float32)), dtype=np.float64)
    wide, high = np.ceil(there.max(axis=0)).astype(int)
    return matrix, (int(wide), int(high))


def same_corners(
    first: Keypoints, second: Keypoints, matrix: Matrix, size: tuple[int, int]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Which corners of a plane, (n,), are which of its copy, (n,); each at most once, the nearest first.

    matrix: (3, 3), from the plane to the copy, in pixels from the corner of each. size: width and height of the copy.
    """
    if not len(first) or not len(second):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    matrix = np.linalg.inv(_HALF) @ matrix @ _HALF
    there = _project(matrix, first.xy)
    right, down = (_project(matrix, first.xy + step) - there for step in np.eye(2))
    # how much larger a pixel of the plane is in the copy, there: the root of the area that it covers
    growth = np.sqrt(np.abs(right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]))
    scale, other = STEP ** first.level.astype(np.float64) * growth, STEP ** second.level.astype(np.float64)
    apart = np.linalg.norm(there[:, None] - second.xy[None], axis=2)
    near = apart < SAME_PLACE * np.minimum(scale[:, None], other[None])
    near &= np.abs(np.log2(scale[:, None] / other[None])) < SAME_SCALE
    inside = np.all((there > RIM) & (there < np.array(size) - RIM), axis=1)
    near &= inside[:, None]
    i, j = np.nonzero(near)
    order = np.argsort(apart[i, j], kind="stable")
    i, j = i[order], j[order]
    for side in (0, 1):  # of each corner the nearest one only, here and there
        kept = np.sort(np.unique((i, j)[side], return_index=True)[1])
        i, j = i[kept], j[kept]
    return i, j


def vary(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """An (h, w, 3) picture in another light and of worse quality: one edit of the tones, up to two losses, then JPEG."""
    import os

    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask a server for its newest version
    import albumentations as A  # noqa: N812
    import cv2

    def own(edit: Any) -> Any:
        return A.Lambda(image=functools.partial(_apply, edit, rng), p=1)

    def jitter(**limits: tuple[float, float]) -> Any:
        none = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return A.ColorJitter(**{**none, **limits}, p=1)

    largest = max(pixels.shape[:2])
    tones = [
        jitter(brightness=(0.45, 1.6)),
        jitter(contrast=(0.4, 1.9)),
        jitter(saturation=(0.3, 2.0), hue=(-0.5, 0.5)),
        A.RandomGamma(gamma_limit=(50, 200), p=1),
        A.ToGray(p=1),
        own(_mix_channels),
        own(_shade),
        own(_moire),
        own(_glare),
    ]
    losses = [
        A.GaussNoise(std_range=(4 / 255, 24 / 255), p=1),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.5, max(0.6, largest / 110)), p=1),
        A.Downscale(
            scale_range=(0.25, 0.7),
            interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC},
            p=1,
        ),
        A.MultiplicativeNoise(multiplier=(0.85, 1.1), per_channel=True, p=1),
        own(_letter),
    ]
    pipeline = A.Compose(
        # a quarter keep their tones, as most copies do
        [
            A.OneOf(tones, p=0.75),
            A.OneOf(losses, p=0.6),
            A.OneOf(losses, p=0.6),
            A.ImageCompression(quality_range=(25, 95), p=1),
        ],
        seed=int(rng.integers(2**31)),
    )
    return np.ascontiguousarray(pipeline(image=pixels)["image"], dtype=np.uint8)


def _apply(edit: Any, rng: np.random.Generator, pixels: Pixels, **_: Any) -> Pixels:
    """An edit in floats, brought back to a picture."""
    return np.asarray(np.clip(edit(pixels.astype(np.float32), rng), 0, 255), dtype=np.uint8)


def _mix_channels(pixels: Any, rng: np.random.Generator) -> Any:
    return pixels @ (np.eye(3) / 2 + rng.random((3, 3)) / 3).astype(np.float32)


def _shade(pixels: Any, rng: np.random.Generator) -> Any:
    """Blots of shadow with soft rims."""
    import cv2

    height, width = pixels.shape[:2]
    blots = (_smooth(rng, width, height, cells=3) > 0.5).astype(np.float32)
    return pixels * (1 - 0.65 * cv2.GaussianBlur(blots, (0, 0), max(width / 60, 0.5))[..., None])


def _moire(pixels: Any, rng: np.random.Generator) -> Any:
    """Waves of a few pixels, bent, of another strength in each colour: a photographed screen."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn, period = rng.uniform(0, np.pi), rng.uniform(3, 10)
    phase = 2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period + 3 * _smooth(rng, width, height, cells=4)
    strength = rng.uniform(0.04, 0.15) * rng.uniform(0.4, 1, 3)
    return pixels * (1 + np.sin(phase)[..., None] * strength).astype(np.float32)


def _glare(pixels: Any, rng: np.random.Generator) -> Any:
    """A bright spot, as of a lamp on glossy paper."""
    height, width = pixels.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    away = (y - rng.uniform(-1, 1)) ** 2 + (x - rng.uniform(-1, 1)) ** 2
    return pixels + (rng.uniform(30, 130) * np.exp(-away / 0.15)).astype(np.float32)[..., None]


def _letter(pixels: Any, rng: np.random.Generator) -> Any:
    """Random words all over the picture, more or less see-through."""
    import cv2

    height, width = pixels.shape[:2]
    written = pixels.astype(np.uint8)
    tone = float(rng.uniform(0, 255))
    for _ in range(int(rng.integers(2, 30))):
        word = "".join(chr(c) for c in rng.integers(ord("A"), ord("Z") + 1, rng.integers(2, 9)))
        place = int(rng.integers(-50, width)), int(rng.integers(0, height))
        font, size, thick = int(rng.integers(8)), float(rng.uniform(0.4, 2.0)), int(rng.integers(1, 4))
        cv2.putText(written, word, place, font, size, (tone, tone, tone), thick)
    share = float(rng.uniform(0.25, 1))
    return pixels * (1 - share) + share * written.astype(np.float32)


def _smooth(rng: np.random.Generator, width: int, height: int, *, cells: int) -> Any:
    """(height, width) float32, about 0 to 1: random heights on a grid of cells, joined smoothly."""
    import cv2

    return cv2.resize(rng.random((cells, cells)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def _warp(pixels: Pixels, matrix: Matrix, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """The copy's pixels on a ground of one colour; smoothed before where it is smaller, so that nothing flickers."""
    import cv2

    shrunk = 1 / np.sqrt(max(abs(np.linalg.det(matrix[:2, :2])), 1e-6))
    if shrunk > 1.2:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.45 * shrunk), dtype=np.uint8)
    centres = np.linalg.inv(_HALF) @ matrix @ _HALF
    ground = tuple(float(c) for c in rng.uniform(0, 255, 3))
    copy = cv2.warpPerspective(pixels, centres, size, flags=cv2.INTER_LINEAR, borderValue=ground)
    return np.asarray(copy, dtype=np.uint8)


def _project(matrix: Matrix, xy: npt.NDArray[Any]) -> Matrix:
    """(n, 2) places through a (3, 3) projection."""
    there = np.c_[xy, np.ones(len(xy))] @ matrix.T
    return np.asarray(there[:, :2] / there[:, 2:], dtype=np.float64)
