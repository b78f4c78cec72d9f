"""Does a picture agree with a reference wherever both show something, once one is laid on the other?

In: the query's grey plane, the map to the reference, the reference's small grey picture. Out: an `Agreement`. Pure. Corners alone
agree also between different pictures that wear the same frame, caption or sticker; this look sees what else is there. Both are
compared in small windows by normalised cross-correlation (Lewis, Fast Normalized Cross-Correlation, 1995), which does not
care for brightness and contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.copies.keypoints import Plane

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Sides of a window, in pixels of the small picture.
WINDOW = 9
# A window has to lie this far inside of both.
INSIDE = 0.6
# Standard deviation (levels) from which on a window shows something.
TEXTURE = 5.0
# Levels squared added to both variances: JPEG's unrest is no texture, and does not correlate.
UNREST = 4.0
# Correlation from which on a window agrees.
AGREES = 0.6
# What is the middle, of each side.
MIDDLE = 0.6
# What is said of a part in which neither shows anything.
NEUTRAL = 0.5
# Levels around the commonest one that are one ground.
GROUND = 8


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """What both show, in shares of 0 to 1.

    share: of the windows where one of them shows something, how many agree. clash: how many do not although both show something
    there; what lies over plain parts of the other, as a watermark does, does not clash. shown: share of the overlap that shows
    something. here, there: share of the query, and of the reference, that the overlap covers. windows: how many agree, in windows
    that do not overlap each other. ground: of the pixels that agree, the share that is one plain ground: near 1 for frames and
    text. middle: as share, in the middle of the reference alone: a frame agrees around it, a subject within.
    fidelity: mean correlation of what agrees, AGREES to 1: photos of alike things agree, but not in everything.
    agrees: (h, w) flags over the reference's small picture; shows: the same, where one of them shows something; overlap: where
    both are.
    """

    share: float
    clash: float
    shown: float
    here: float
    there: float
    windows: float
    ground: float
    middle: float
    fidelity: float
    agrees: Flags
    shows: Flags
    overlap: Flags


def agree(plane: Plane, matrix: Doubles, thumbnail: Plane) -> Agreement:
    """Lay a (h, w) uint8 plane on a thumbnail by a (3, 3) map of its pixels to those of the thumbnail, and compare."""
    import cv2

    laid, mask = lay(plane, matrix, (thumbnail.shape[1], thumbnail.shape[0]))
    reference = cv2.GaussianBlur(thumbnail.astype(np.float32), (3, 3), 0)
    laid = cv2.GaussianBlur(laid, (3, 3), 0)
    inside = _mean(mask)
    weight = np.maximum(inside, 1e-6)
    a, b = laid * mask, reference * mask
    mean_a, mean_b = _mean(a) / weight, _mean(b) / weight
    variance_a = np.maximum(_mean(a * laid) / weight - mean_a**2, 0)
    variance_b = np.maximum(_mean(b * reference) / weight - mean_b**2, 0)
    covariance = _mean(a * reference) / weight - mean_a * mean_b
    correlation = covariance / np.sqrt((variance_a + UNREST) * (variance_b + UNREST))
    overlap = inside > INSIDE
    shows = overlap & (np.maximum(variance_a, variance_b) > TEXTURE**2)
    agrees = shows & (correlation > AGREES)
    clashes = shows & ~agrees & (np.minimum(variance_a, variance_b) > TEXTURE**2)
    there = float(mask.mean())
    area = abs(float(np.linalg.det(matrix[:2, :2])))
    here = min(1.0, float(mask.sum()) / max(area * plane.size, 1e-6))
    seen = float(shows.sum())
    return Agreement(
        share=float(agrees.sum()) / seen if seen else 0.0,
        clash=float(clashes.sum()) / seen if seen else 0.0,
        shown=seen / max(float(overlap.sum()), 1.0),
        here=here,
        there=there,
        windows=float(agrees.sum()) / WINDOW**2,
        ground=_ground(laid[agrees]),
        middle=_share(agrees[_middle(agrees)], shows[_middle(agrees)]),
        fidelity=float(correlation[agrees].mean()) if seen and agrees.any() else 0.0,
        agrees=agrees,
        shows=shows,
        overlap=overlap,
    )


def lay(plane: Plane, matrix: Doubles, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """A plane seen through a map, as (h, w) float32 of `size` (w, h); and 1 where it is seen, 0 outside. Averaged where it
    shrinks."""
    import cv2

    height, width = plane.shape
    scale = np.sqrt(abs(float(np.linalg.det(matrix[:2, :2]))))
    if scale < 0.66:  # linear sampling sees two pixels: what is finer has to be averaged before
        shrunk = max(2, round(1.3 * scale * width)), max(2, round(1.3 * scale * height))
        across, down = width / shrunk[0], height / shrunk[1]
        plane = np.asarray(cv2.resize(plane, shrunk, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        # pixel centres lie at whole numbers, in the shrunken plane too
        matrix = matrix @ np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    # its edge pixels go on outside: a dark rim would be seen as something that disagrees
    seen = cv2.warpPerspective(
        plane.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mask = cv2.warpPerspective(np.ones(plane.shape, dtype=np.float32), matrix, size, flags=cv2.INTER_NEAREST)
    return np.asarray(seen, dtype=np.float32), np.asarray(mask, dtype=np.float32)


def _middle(flags: Flags) -> tuple[slice, slice]:
    """The middle of an (h, w) array, MIDDLE of each side."""
    height, width = flags.shape
    top, left = round(height * (1 - MIDDLE) / 2), round(width * (1 - MIDDLE) / 2)
    return slice(top, height - top), slice(left, width - left)


def _share(agrees: Flags, shows: Flags) -> float:
    """Of the windows that show something, how many agree; `NEUTRAL` when none does."""
    seen = float(shows.sum())
    return float(agrees.sum()) / seen if seen else NEUTRAL


def _mean(values: Floats) -> Floats:
    import cv2

    found = cv2.boxFilter(values, -1, (WINDOW, WINDOW), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(found, dtype=np.float32)


def _ground(levels: Floats) -> float:
    """The share of the levels that lie within GROUND of the commonest."""
    if not levels.size:
        return 1.0
    counts = np.bincount(np.clip(np.rint(levels), 0, 255).astype(np.int64), minlength=256)
    near = np.convolve(counts, np.ones(2 * GROUND + 1, dtype=np.int64), mode="same")
    return float(near.max()) / levels.size
