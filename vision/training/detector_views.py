"""What the detector is shown while it learns: pictures cut, scaled and tiled with their boxes, and where the loss is turned off.

Most sources box only some of what can be seen. So a picture carries regions beside its boxes: where a kind was not searched for,
finding one is not punished, or only a little. Boxes that a cut leaves too little of become such regions themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledPicture
from vision.values import Pixels

KINDS = ("logo", "product")
LOGO, PRODUCT = KINDS.index("logo"), KINDS.index("product")
# The kind of a region that is no kind: the box of a product that stands alone, and is no logo as a whole.
ALONE = len(KINDS)
GREY = 114  # the padding that YOLO models are used to

Floats = npt.NDArray[np.float32]

# How much of a box a cut must leave for it to be taught, and the shortest side in pixels that can still be learned.
LEAST_VISIBLE, LEAST_SIDE = 0.35, 4.0
FILLING_SIDE = 48.0  # pixels: a smaller logo is too coarse to fill a picture
FLIPPED = 0.4  # share of examples that are mirrored


@dataclass(frozen=True, slots=True)
class Labels:
    """Boxes to teach and regions to be lenient in, for one picture.

    boxes: (n, 4) float32 xyxy pixels. kinds: (n,) int64, index in KINDS.
    strengths: (n,) float32 in (0, 1]: how sure of itself the detector shall be there, compared with others.
    regions: (m, 6) float32: kind, weight of a false alarm inside in [0, 1], xyxy; or ALONE, 0, xyxy.
    """

    boxes: Floats
    kinds: npt.NDArray[np.int64]
    strengths: Floats
    regions: Floats


@dataclass(frozen=True, slots=True)
class Example:
    """One picture to learn from. pixels: (h, w, 3) uint8 RGB."""

    pixels: Pixels
    labels: Labels


def labels_of(picture: LabelledPicture, *, unsearched: float, extra_strength: float = 1.0) -> Labels:
    """The labels of a picture of a labelled set.

    A kind that its source never boxes is out of the loss; one that it boxes in part counts false alarms with weight
    `unsearched`; logos that were searched for by eye, and kinds that a source says it boxed wherever they are, count fully.
    Ignored boxes are out of the loss.
    Logos that the source passed over are taught with `extra_strength`, so that they rank behind those that it found worth a box.
    """
    taught = [b for b in picture.boxes if not b.ignore]
    regions = [(KINDS.index(b.kind), 0.0, *b.box) for b in picture.boxes if b.ignore]
    everywhere = (0.0, 0.0, float(picture.width), float(picture.height))
    for index, kind in enumerate(KINDS):
        searched = picture.looked_at if kind == "logo" else picture.exhaustive and kind in picture.kinds
        weight = 1.0 if searched else unsearched if kind in picture.kinds else 0.0
        if weight < 1:
            regions.append((index, weight, *everywhere))
    strengths = [extra_strength if b.extra else 1.0 for b in taught]
    return make_labels([(b.box, KINDS.index(b.kind)) for b in taught], regions, strengths)


def make_labels(
    boxes: Sequence[tuple[Sequence[float], int]],
    regions: Sequence[Sequence[float]],
    strengths: Sequence[float] | None = None,
) -> Labels:
    """Labels from plain sequences; strengths are 1 when not given."""
    return Labels(
        np.array([b for b, _ in boxes], np.float32).reshape(-1, 4),
        np.array([k for _, k in boxes], np.int64),
        np.ones(len(boxes), np.float32) if strengths is None else np.array(strengths, np.float32),
        np.array(regions, np.float32).reshape(-1, 6),
    )


def mosaic(examples: Sequence[Example], size: int, rng: np.random.Generator, zoom: tuple[float, float]) -> Example:
    """Four examples in the quarters of one (size, size) picture, the crossing anywhere in its middle."""
    canvas = np.full((size, size, 3), GREY, np.uint8)
    x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
    quarters = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
    parts = [_place(canvas, e, q, rng, zoom) for e, q in zip(examples, quarters, strict=True)]
    return Example(canvas, _join(parts))


def single(example: Example, size: int, rng: np.random.Generator, zoom: tuple[float, float]) -> Example:
    """One example on a (size, size) picture, its longest side `zoom` times as long as the picture's."""
    canvas = np.full((size, size, 3), GREY, np.uint8)
    return Example(canvas, _place(canvas, example, (0, 0, size, size), rng, zoom))


def close_up(example: Example, rng: np.random.Generator) -> Example:
    """The example cut around one of its logos, which fills much or all of it; as it is without a large enough one.

    The margin is up to half of the logo's sides, each side its own; emblems, doodles and artwork on sale look like this.
    """
    sides = example.labels.boxes[:, 2:] - example.labels.boxes[:, :2]
    fit = np.flatnonzero((example.labels.kinds == LOGO) & (sides.min(axis=1, initial=np.inf) >= FILLING_SIDE))
    if not len(fit):
        return example
    chosen = int(rng.choice(fit))
    high, wide = example.pixels.shape[:2]
    margins = rng.uniform(0, 0.5, 4) * np.tile(sides[chosen], 2) * (1, 1, -1, -1)
    window = (example.labels.boxes[chosen] - margins).clip(0, [wide, high, wide, high])
    left, top, right, bottom = (int(v) for v in (*np.floor(window[:2]), *np.ceil(window[2:])))
    start, drawn = np.array([left, top]), np.array([right - left, bottom - top])
    labels = _clipped(
        example.labels, lambda boxes: boxes - np.tile(start, 2).astype(np.float32), drawn, np.zeros(2, int)
    )
    return Example(np.ascontiguousarray(example.pixels[top:bottom, left:right]), labels)


def turned(example: Example, quarters: int) -> Example:
    """The example turned counter-clockwise by so many quarters."""
    pixels, labels = example.pixels, example.labels
    boxes, regions = labels.boxes, labels.regions
    for _ in range(quarters % 4):
        wide = pixels.shape[1]
        pixels = np.rot90(pixels)
        boxes = _quarter(boxes, wide)
        regions = np.concatenate([regions[:, :2], _quarter(regions[:, 2:], wide)], axis=1)
    return Example(np.ascontiguousarray(pixels), Labels(boxes, labels.kinds, labels.strengths, regions))


def vary_colours(seed: int) -> Any:
    """An albumentations pipeline for colours, blur and JPEG; boxes stay where they are."""
    import os

    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask a server for its newest version
    import albumentations as A  # noqa: N812

    return A.Compose(
        [
            A.HueSaturationValue(hue_shift_limit=12, sat_shift_limit=45, val_shift_limit=0, p=0.5),
            A.RandomBrightnessContrast(brightness_limit=0.25, contrast_limit=0.25, p=0.6),
            A.ToGray(p=0.04),
            A.GaussianBlur(blur_limit=(3, 5), p=0.06),
            A.ImageCompression(quality_range=(40, 90), p=0.15),
        ],
        seed=seed,
    )


def _quarter(boxes: Floats, wide: int) -> Floats:
    """xyxy boxes of a picture `wide` pixels wide after a quarter turn counter-clockwise."""
    left, top, right, bottom = boxes.T
    return np.stack([top, wide - right, bottom, wide - left], axis=1)


def _place(
    canvas: Pixels,
    example: Example,
    area: tuple[int, int, int, int],
    rng: np.random.Generator,
    zoom: tuple[float, float],
) -> Labels:
    """Lay a cut of the example into an area of the canvas (in place) and give its labels there."""
    left, top, right, bottom = area
    room = np.array([right - left, bottom - top])
    high, wide = example.pixels.shape[:2]
    size = np.array([wide, high])
    stretch = float(np.exp(rng.normal(0, 0.06)))
    longest = canvas.shape[0] * float(np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1]))))
    scale = longest / max(wide, high) * np.array([stretch, 1 / stretch])
    cut = np.minimum(size, np.ceil(room / scale)).astype(int).clip(1)
    drawn = np.minimum(room, np.round(cut * scale)).astype(int).clip(1)
    start = np.array([int(rng.integers(0, n + 1)) for n in size - cut])
    corner = np.array([left, top]) + np.array([int(rng.integers(0, n + 1)) for n in room - drawn])
    part = example.pixels[start[1] : start[1] + cut[1], start[0] : start[0] + cut[0]]
    scale = drawn / cut
    method = cv2.INTER_AREA if scale.max() < 1 else cv2.INTER_LINEAR
    part = cv2.resize(part, (int(drawn[0]), int(drawn[1])), interpolation=method)
    flip = rng.random() < FLIPPED
    canvas[corner[1] : corner[1] + drawn[1], corner[0] : corner[0] + drawn[0]] = part[:, ::-1] if flip else part

    def moved(boxes: Floats) -> Floats:
        boxes = (boxes - np.tile(start, 2)) * np.tile(scale, 2)
        if flip:
            boxes = np.stack([drawn[0] - boxes[:, 2], boxes[:, 1], drawn[0] - boxes[:, 0], boxes[:, 3]], axis=1)
        return np.asarray(boxes, np.float32)

    return _clipped(example.labels, moved, drawn, corner)


def _clipped(labels: Labels, moved: Any, drawn: npt.NDArray[np.int64], corner: npt.NDArray[np.int64]) -> Labels:
    """Labels after a move, cut at the drawn part: what is hardly left of a box becomes a region without loss."""
    limit, shift = np.tile(drawn, 2).astype(np.float32), np.tile(corner, 2).astype(np.float32)
    whole = moved(labels.boxes)
    boxes = whole.clip(0, limit)
    sides, whole_sides = boxes[:, 2:] - boxes[:, :2], whole[:, 2:] - whole[:, :2]
    seen = sides.prod(axis=1) / np.maximum(whole_sides.prod(axis=1), 1e-6)
    taught = (seen >= LEAST_VISIBLE) & (sides.min(axis=1, initial=np.inf) >= LEAST_SIDE)
    lost = ~taught & (seen > 0)
    kinds = labels.kinds[lost].astype(np.float32)[:, None]
    extra = np.concatenate([kinds, np.zeros_like(kinds), boxes[lost] + shift], axis=1)
    regions = labels.regions.copy()
    regions[:, 2:] = moved(labels.regions[:, 2:]).clip(0, limit) + shift
    visible = (regions[:, 4:] > regions[:, 2:4]).all(axis=1)
    return Labels(
        boxes[taught] + shift,
        labels.kinds[taught],
        labels.strengths[taught],
        np.concatenate([regions[visible], extra]).astype(np.float32),
    )


def _join(parts: Sequence[Labels]) -> Labels:
    return Labels(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.kinds for p in parts]),
        np.concatenate([p.strengths for p in parts]),
        np.concatenate([p.regions for p in parts]),
    )
