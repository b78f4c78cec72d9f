"""The smaller copies that the signals are measured on, made once for all of them."""

from __future__ import annotations

import cv2
import numpy as np

from vision.values import Pixels


def at_most(pixels: Pixels, side: int) -> Pixels:
    """The pixels at that longest side, area-averaged, or as they are when they are smaller."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def halved(pixels: Pixels) -> Pixels:
    """Means of 2 x 2 pixels; an odd last row or column is left out, a side of one pixel stays."""
    height, width = max(1, pixels.shape[0] // 2), max(1, pixels.shape[1] // 2)
    whole = pixels[: min(2 * height, pixels.shape[0]), : min(2 * width, pixels.shape[1])]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
