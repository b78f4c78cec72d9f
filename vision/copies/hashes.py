"""A picture becomes a few hundred bits that survive re-encoding: PDQ, in the eight orientations, for the cost of less than one.

In: a decoded `Picture`. Out: a `WholeHash`. References and queries come this same way, since hashes of one picture taken by two
ways differ by up to 12 bits.

PDQ (Meta, ThreatExchange, pdq/README) is linear up to its last step: two box filters in each direction, 64 x 64 samples, the
low 16 x 16 of a cosine transform, and one bit for each coefficient above their median. So a sample is a weighted sum of the few
pixels that reach it, the same ones for a flipped picture counted from the other end, and both are taken at once: the four flips,
whose transposes are the other four orientations. The bits equal those of the C++ reference (a test holds them to that).
Changing the signs of the coefficients instead, as the reference's own dihedral function does, is off by up to 17 of 256 bits from
the hash of the turned pixels, because PDQ's samples lie a little off centre; more than half of the radius of the search.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.values import Fingerprint, Picture

Luma = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]
Window = tuple[float, float, float, float]

# A picture's edit, from the transform that turns it back into its source: `hashes[k]` is the hash of the picture after
# 0 nothing, 1 flip in x, 2 flip in y, 3 both, and 4 to 7 the same followed by a transpose. So a match of `hashes[k]` with a
# source says that the picture is the source, mirrored (left to right) first where it says so, then turned clockwise.
ORIENTATIONS = (
    "same",
    "mirror",
    "mirror+rotate180",
    "rotate180",
    "mirror+rotate270",
    "rotate90",
    "rotate270",
    "mirror+rotate90",
)

# Longest side that is hashed; larger pictures are brought down by area. So the hashes that ThreatExchange publishes in its Python
# test come out with no bit changed, for all 14 of its pictures that are worth matching; from full size up to 12 bits differ.
HASH_SIDE = 512
# A side of fewer pixels is not hashed: what PDQ would see is its own interpolation (pdqhashing.cpp, MIN_HASHABLE_DIM).
MIN_SIDE = 5
GRID = 64
_LUMA = np.array([[0.299, 0.587, 0.114]], dtype=np.float32)
_NO_HASHES = np.zeros((8, 32), dtype=np.uint8)
# Rows 1 to 16 of the cosine transform of 64 samples.
_COSINES = (
    np.cos(np.pi / (2 * GRID) * np.outer(np.arange(1, 17), 2 * np.arange(GRID) + 1)) * np.sqrt(2 / GRID)
).astype(np.float32)

# The plain ground is found on a picture of this side, where noise and JPEG's ringing are averaged away.
GROUND_SIDE = 128
# Levels to each side of the commonest one that still are ground, and by which content has to differ, when the picture's darkest
# and lightest are 255 apart: so a copy with less contrast has as much ground. Of 6, 8 and 10, with and without stretching the
# contrast, of 12, 16 and 32 without, and of windows by gradients, this lost the fewest edited photos, marks and packshots.
GROUND_TOLERANCE = 6
# Contrast is stretched by at most 3, so that the tolerance never falls below JPEG's own unrest, about 2 levels.
MAX_STRETCH = 3.0
# The content's window reaches this many standard deviations from its centre: a filled square reaches 1.73. Less cuts into
# content, more lets the ground have its say again.
CONTENT_REACH = 2.0
CONTENT_SIDE = 128


@dataclass(frozen=True, slots=True, eq=False)
class WholeHash:
    """The hashes of one whole picture: a few hundred bytes.

    hashes, content_hashes: (8, 32) uint8, packed bits, one row for each of `ORIENTATIONS`; of the picture, and of what stands on
    its plain ground. Row 0 is the picture as it is; a reference is kept by that alone. All zero where there is nothing to hash.
    """

    fingerprint: Fingerprint
    hashes: Bits
    content_hashes: Bits


def hash_whole(picture: Picture) -> WholeHash:
    """Hash a picture, as a reference and as a query. Pure: the same pixels give the same bits."""
    luma = to_luma(picture)
    hashes, quality = dihedral(luma)
    level, plain, small = ground(luma)
    window = content_window(small, level)
    content_hashes = _NO_HASHES if window is None else dihedral(_cut(luma, window))[0]
    fingerprint = Fingerprint(
        pdq=hashes[0].tobytes().hex(),
        quality=quality,
        content=None if window is None else content_hashes[0].tobytes().hex(),
        plain=plain,
    )
    return WholeHash(fingerprint, hashes, content_hashes)


def turned_hashes(pdq: str) -> Bits:
    """(8, 32) uint8: the hash as it is, and about what it is in each of the other orientations, from its own bits alone.

    A flip changes the sign of every second cosine, so it turns those bits over. As samples lie a little off centre, that is off
    by 11 to 17 bits of 256 (mean of 200 photographs; 48 at most), by none where only rows and columns change places.
    """
    own = np.frombuffer(bytes.fromhex(pdq), dtype=np.uint8)
    if not own.any():
        return _NO_HASHES
    signs = np.unpackbits(own)[::-1].reshape(16, 16).astype(np.int8) * 2 - 1
    flip = np.where(np.arange(1, 17) % 2, -1, 1)
    four = np.stack([signs, signs * flip, signs * flip[:, None], signs * flip * flip[:, None]])
    eight = np.concatenate([four, four.transpose(0, 2, 1)]).reshape(8, 256) > 0
    return np.packbits(eight[:, ::-1], axis=1)


def to_luma(picture: Picture) -> Luma:
    """(h, w) float32 luma in [0, 255], at most HASH_SIDE on its longest side."""
    import cv2

    height, width = picture.pixels.shape[:2]
    scale = HASH_SIDE / max(height, width)
    if scale >= 1:
        return np.asarray(cv2.transform(picture.pixels.astype(np.float32), _LUMA), dtype=np.float32)
    # Whole levels are a third of the work, and averaging makes up for them: against the line above, 0.2 bits of 256 differ.
    levels = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def dihedral(luma: Luma) -> tuple[Bits, int]:
    """(h, w) luma to (8, 32) uint8, the PDQ hash of each of `ORIENTATIONS`, packed first bit first; and the quality, 0 to 100.

    Quality is the reference's: the sum of the gradients of the 64 x 64 samples over 90, under 50 for a picture too plain to
    be told from others. A picture of one colour, or of fewer than MIN_SIDE pixels a side, has no hash: all bits are zero (half
    of them are one in any other) and so is its quality.
    """
    if min(luma.shape) < MIN_SIDE or float(np.ptp(luma)) < 1:
        return _NO_HASHES, 0
    rows, columns = (_taps(length) for length in luma.shape)
    samples = np.einsum("sk,skw->sw", rows.weights, luma[rows.pixels])
    samples = np.einsum("sk,rsk->rs", columns.weights, samples[:, columns.pixels])
    four = np.stack([samples[y : y + GRID, x : x + GRID] for y in (0, GRID) for x in (0, GRID)])
    steps = sum(int(np.abs((np.diff(four[0], axis=axis) * (100 / 255)).astype(np.int32)).sum()) for axis in (0, 1))
    waves = _COSINES @ four @ _COSINES.T
    eight = np.concatenate([waves, waves.transpose(0, 2, 1)]).reshape(8, 256)
    # the reference's median is the lower one of the two in the middle, and its bits are written last coefficient first
    bits = eight > np.partition(eight, 127, axis=1)[:, 127:128]
    return np.packbits(bits[:, ::-1], axis=1), min(100, steps // 90)


def ground(luma: Luma) -> tuple[float, int, Luma]:
    """The plain ground of a picture: its level, the percent of the picture that it is, and the small picture it was found on.

    The small picture has its contrast stretched to [0, 255], by at most MAX_STRETCH. The ground is the commonest level and what
    lies within GROUND_TOLERANCE of it, wherever it is: the smaller part of a photo, nearly all of a page with a small mark.
    """
    import cv2

    height, width = luma.shape
    scale = min(1.0, GROUND_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    darkest = float(small.min())
    small = (small - darkest) * np.float32(255 / max(float(small.max()) - darkest, 255 / MAX_STRETCH))
    counts = np.bincount(np.rint(small).astype(np.uint8).ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * GROUND_TOLERANCE + 1, dtype=np.int64), mode="same")
    commonest = int(near.argmax())
    levels = np.arange(max(0, commonest - GROUND_TOLERANCE), min(255, commonest + GROUND_TOLERANCE) + 1)
    level = float((counts[levels] * levels).sum() / counts[levels].sum())
    return level, int(100 * near[commonest] // small.size), small


def content_window(small: Luma, level: float) -> Window | None:
    """Where something stands on the ground: (left, top, right, bottom) as shares of the sides; null when nothing does.

    The window is set by centre and spread of all that differs from the ground, weighted by how much it does: an edge found by
    a threshold moves with every re-encoding, and a hash does not survive that. It may reach outside the picture.
    """
    weights = np.maximum(np.abs(small - level) - GROUND_TOLERANCE, 0)
    total = float(weights.sum())
    if total <= 0:
        return None
    edges = []
    for axis in (0, 1):
        along = weights.sum(axis=axis, dtype=np.float64) / total
        at = (np.arange(len(along)) + 0.5) / len(along)
        centre = float(along @ at)
        reach = CONTENT_REACH * max(float(along @ (at - centre) ** 2) ** 0.5, 0.5 / len(along))
        edges.append((centre - reach, centre + reach))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _cut(luma: Luma, window: Window) -> Luma:
    """The window of a picture as CONTENT_SIDE squared luma, averaged where it shrinks; the edge pixels go on outside."""
    import cv2

    height, width = luma.shape
    left, top, right, bottom = window
    shrink = max((right - left) * width, (bottom - top) * height) / CONTENT_SIDE
    if shrink > 2:  # linear sampling sees two pixels a step: what is finer has to be averaged before
        size = (max(1, round(2 * width / shrink)), max(1, round(2 * height / shrink)))
        luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        height, width = luma.shape
    wide, high = (right - left) * width / CONTENT_SIDE, (bottom - top) * height / CONTENT_SIDE
    # pixel centres lie at half steps, in the window as in the picture
    matrix = np.array([[wide, 0, left * width + wide / 2 - 0.5], [0, high, top * height + high / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(luma, matrix, (CONTENT_SIDE, CONTENT_SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """pixels, weights: (128, k): what PDQ's 64 samples along a side take from it, and below them those of the flipped side."""

    pixels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


@functools.lru_cache(maxsize=HASH_SIDE)
def _taps(length: int) -> _Taps:
    """The taps of a side of `length` pixels. As matrix products they would wake the threads of the machine's BLAS, which wait for
    each other: on two busy cores a hash then took 150 ms instead of 1.

    Two passes of a box filter that is cut at the borders, then the pixel under the centre of each of 64 cells
    (ThreatExchange, pdq/cpp/downscaling/downscaling.cpp: computeJaroszFilterWindowSize, box1DFloat, decimateFloat).
    """
    window = (length + 2 * GRID - 1) // (2 * GRID)
    ahead = (window + 2) // 2
    low, high = ahead - window, ahead - 1
    at = ((np.arange(GRID) + 0.5) * length / GRID).astype(np.int64)
    reach = min(length, 2 * window - 1)
    first = np.clip(at + 2 * low, 0, length - reach)
    weights = np.zeros((GRID, reach))
    for step in range(low, high + 1):
        middle = at + step
        share = 1 / (_in_window(at, low, high, length) * _in_window(middle, low, high, length))
        for onward in range(low, high + 1):
            pixel = middle + onward
            inside = (middle >= 0) & (middle < length) & (pixel >= 0) & (pixel < length)
            weights[inside, (pixel - first)[inside]] += share[inside]
    pixels = first[:, None] + np.arange(reach)
    return _Taps(np.concatenate([pixels, length - 1 - pixels]), np.concatenate([weights, weights]).astype(np.float32))


def _in_window(centre: npt.NDArray[np.int64], low: int, high: int, length: int) -> npt.NDArray[np.int64]:
    """How many pixels of a side lie from `low` to `high` around each of the centres; at least 1, also for one outside."""
    count = np.minimum(centre + high, length - 1) - np.maximum(centre + low, 0) + 1
    return np.asarray(np.maximum(count, 1), dtype=np.int64)
