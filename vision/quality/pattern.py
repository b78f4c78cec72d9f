"""A mark that repeats over the whole picture, as tiled watermarks do, seen in the picture's likeness to a shifted self.

The autocorrelation of a picture's fine detail peaks where it is shifted by one tile onto itself (Wiener-Khinchin: it is the
inverse transform of the power spectrum). Grey pixels come in, three figures of the highest such peak go out.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vision.values import Pixels

# The middle of the picture holds enough tiles.
SIDE = 320
# Detail is what a mean over this many pixels takes away; beyond this many levels it is cut off, so that faint marks count as much
# as the picture's own strong edges.
BLUR = 7
CLIP = 6.0
# Bins over whose mean the power spectrum is levelled: what is left is what repeats, not the picture's own texture. 5 was better
# than 7, and Gaussians of 2 than ones of 1.5, 4 and 8.
LEVELLED = 5
# Shifts below this are the mark itself; those beyond this share of the side leave too little that overlaps.
LEAST_SHIFT = 12
MOST_SHIFT = 0.42
# Tiles' letters cannot be told in less; a copy of 100 px repeats by chance and by JPEG's blocks.
LEAST_SIDE = 96
# What chance makes of a peak falls with the root of the number of pixels; it is compared as if there were so many.
_USUAL_SIZE = 512 * 384

_ROUND = np.hypot(*np.mgrid[:LEAST_SHIFT, 1 - LEAST_SHIFT : LEAST_SHIFT]) < LEAST_SHIFT


def repetition(grey: Pixels) -> tuple[float, float, float] | None:
    """How clearly (h, w) grey pixels repeat: logarithm of the highest peak beside the first, scaled by the root of the size;
    that peak in standard deviations of all shifts; logarithm of the scaled peak times the power of the detail.
    None below 96 pixels a side or without any detail."""
    if min(grey.shape) < LEAST_SIDE:
        return None
    top, left = max(0, grey.shape[0] - SIDE) // 2, max(0, grey.shape[1] - SIDE) // 2
    grey = grey[top : top + SIDE, left : left + SIDE]
    detail = np.clip(cv2.subtract(grey, cv2.blur(grey, (BLUR, BLUR)), dtype=cv2.CV_32F), -CLIP, CLIP)
    power = cv2.norm(detail, cv2.NORM_L2SQR) / detail.size
    if power < 1e-3:  # one level on one pixel of a thousand
        return None
    detail -= cv2.mean(detail)[0]
    height, width = (cv2.getOptimalDFTSize(side) for side in detail.shape)
    padded = cv2.copyMakeBorder(detail, 0, height - grey.shape[0], 0, width - grey.shape[1], cv2.BORDER_CONSTANT)
    # OpenCV's packed spectra (a quarter of the time of complex ones) hold the real parts in every other column from the second
    # on; the first, and the last of an even number, hold level stripes only, which edges of the picture make too: left at 0
    packed = cv2.dft(padded)
    packed = cv2.mulSpectrums(packed, packed, 0, conjB=True)
    energy = np.ascontiguousarray(packed[:, 1 : width - 1 : 2])
    energy /= energy.mean() + 1e-9
    energy /= cv2.blur(energy, (LEVELLED, LEVELLED)) + 1e-3
    packed = np.zeros_like(packed)
    packed[:, 1 : width - 1 : 2] = energy
    alike = cv2.dft(packed, flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT)
    # a shift and its opposite are one: the lower half of the plane holds all of them
    far, wide = int(height * MOST_SHIFT), int(width * MOST_SHIFT)
    shifts = np.concatenate([alike[:far, -wide:], alike[:far, : wide + 1]], axis=1) / (alike[0, 0] + 1e-9)
    shifts = cv2.GaussianBlur(shifts, (0, 0), 1.0)
    shifts -= cv2.blur(shifts, (13, 13))
    shifts[:LEAST_SHIFT, wide + 1 - LEAST_SHIFT : wide + LEAST_SHIFT][_ROUND[:far]] = 0
    # level and upright edges of the picture are like themselves along the axes
    shifts[:3] *= 0.6
    shifts[3:, wide - 2 : wide + 3] *= 0.6
    peak = max(float(shifts.max()), 0.0)
    scaled = peak * math.sqrt(grey.size / _USUAL_SIZE)
    return math.log(scaled + 1e-6), peak / (float(shifts.std()) + 1e-9), math.log(scaled * power + 1e-6)
