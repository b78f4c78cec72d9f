"""Which parts of a crop carry its similarity to a reference, by covering them one at a time.

After Zeiler & Fergus (2014), section 4.2: cover a patch, embed again, and see how far the cosine falls. Patches here are soft
and overlap, and what covers is the crop itself, blurred beyond recognition: hard grey squares have edges and corners of their
own, which embedders take for parts of a mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vision.values import Embeddings, Pixels

if TYPE_CHECKING:
    from vision.embed.contract import EmbedderLike

# One run of the embedder for each patch: all of them fit into 200 ms of one core at 8 ms a crop.
PATCHES = 24
# A patch is covered by a Gaussian whose deviation is this share of the grid's step: neighbours overlap to an even cover. Of 0.45,
# 0.6 and 0.8 this found the places that count best: blurring the hottest quarter of its maps cost the logos of datasets/samples
# most of their similarity (`blurring` in tests/laws/test_heat_maps.py does the same to drawn marks).
SPREAD = 0.8
# What covers is the crop blurred with this share of its longer side as the deviation: no letter or outline is left.
BLUR = 0.2
# Larger crops are covered at this size: embedders take fewer pixels.
MOST_SIDE = 256

Drops = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """What carries the similarity of one crop. crop: (h, w, 3) uint8 RGB.

    drops: (h, w) float32, by how much the cosine falls where that place is covered; under 0 where it rises.
    similarity: cosine of the crop as it is.
    """

    crop: Pixels
    drops: Drops
    similarity: float


def explain(crop: Pixels, vectors: Embeddings, embedder: EmbedderLike) -> HeatMap:
    """Cover a crop patch by patch, and see how far its cosine to a reference falls.

    crop: (h, w, 3) uint8 RGB. vectors: (v, d) float32 unit rows of the reference, at least one; the one nearest to the crop is
    followed. Costs `PATCHES` + 1 runs of the embedder at most, in one batch.
    """
    small = _bounded(crop)
    masks = patches(*grid(small.shape[1], small.shape[0]), small.shape[1], small.shape[0])
    embedded = embedder.embed_images([small, *covered(small, masks)])
    vector = vectors[int(np.argmax(vectors @ embedded[0]))]
    cosines = embedded @ vector
    return HeatMap(
        crop, _sized(spread(cosines[0] - cosines[1:], masks), crop.shape[1], crop.shape[0]), float(cosines[0])
    )


def grid(width: int, height: int, most: int = PATCHES) -> tuple[int, int]:
    """Columns and rows of patches that are about square on a crop of that size: at most `most` in all, two to a side at least."""
    columns = int(np.clip(round((most * width / height) ** 0.5), 2, most // 2))
    return columns, max(2, most // columns)


def patches(columns: int, rows: int, width: int, height: int) -> Drops:
    """(columns × rows, height, width) float32 soft patches in [0, 1], left to right, then down."""

    def bumps(steps: int, length: int) -> Drops:
        centres = (np.arange(steps) + 0.5) / steps
        places = (np.arange(length) + 0.5) / length
        return np.exp(-0.5 * ((places[None] - centres[:, None]) * steps / SPREAD) ** 2).astype(np.float32)

    across, down = bumps(columns, width), bumps(rows, height)
    return np.asarray(np.einsum("rh,cw->rchw", down, across).reshape(rows * columns, height, width), dtype=np.float32)


def covered(crop: Pixels, masks: Drops) -> list[Pixels]:
    """The (h, w, 3) crop once for each of (n, h, w) masks, blurred beyond recognition where the mask is 1."""
    import cv2

    cover = cv2.GaussianBlur(crop, (0, 0), max(1.0, BLUR * max(crop.shape[:2])), borderType=cv2.BORDER_REPLICATE)
    plain, change = crop.astype(np.float32), cover.astype(np.float32) - crop
    return [np.rint(plain + mask[..., None] * change).astype(np.uint8) for mask in masks]


def spread(drops: npt.NDArray[np.float32], masks: Drops) -> Drops:
    """(n,) drops laid where their (n, h, w) masks lie: at each place the mean of the patches that cover it, (h, w) float32."""
    return np.asarray(np.tensordot(drops, masks, 1) / masks.sum(axis=0), dtype=np.float32)


def _bounded(crop: Pixels) -> Pixels:
    import cv2

    height, width = crop.shape[:2]
    scale = MOST_SIDE / max(height, width)
    if scale >= 1:
        return crop
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _sized(drops: Drops, width: int, height: int) -> Drops:
    import cv2

    if drops.shape == (height, width):
        return drops
    return np.asarray(cv2.resize(drops, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
