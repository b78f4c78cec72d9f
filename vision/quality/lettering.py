"""Lettering and flat marks, found by their look alone: two plain tones that meet in hard edges, in cells of 8 pixels.

No model reads anything: a grey picture comes in, the features of its cells or the share that looks lettered go out.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.quality.fitted import LETTERING, LETTERING_BIAS
from vision.quality.scale import halved
from vision.values import Pixels

CELL = 8
# Sizes (width, height, in cells) of the means that each feature is looked at in: the cell, its line, its surroundings.
NEIGHBOURHOODS = ((1, 1), (5, 1), (3, 3), (9, 3))


def text_share(grey: Pixels) -> float:
    """Share in [0, 1] of the 8-pixel cells of (h, w) grey pixels that look lettered; 0 below 8 pixels a side."""
    features = cell_features(grey)
    if not features.size:
        return 0.0
    # the mean over a neighbourhood of a weighted sum is the weighted sum of the means: one plane each
    planes = features @ LETTERING.T
    score = sum(cv2.blur(planes[..., i], size) for i, size in enumerate(NEIGHBOURHOODS)) + LETTERING_BIAS
    return float((score > 0).mean())


def cell_features(grey: Pixels) -> npt.NDArray[np.float32]:
    """(h // 8, w // 8, 19) features of each cell, shares of its pixels or ratios of them, in the order of the last lines."""
    rows, columns = grey.shape[0] // CELL, grey.shape[1] // CELL
    if not rows or not columns:
        return np.zeros((rows, columns, 19), np.float32)
    grey = np.ascontiguousarray(grey[: rows * CELL, : columns * CELL])
    along, across = np.zeros_like(grey), np.zeros_like(grey)
    along[:, 1:] = cv2.absdiff(grey[:, 1:], grey[:, :-1])
    across[1:] = cv2.absdiff(grey[1:], grey[:-1])
    step = cv2.max(along, across)
    window = np.ones((7, 7), np.uint8)  # wider than a stroke
    light, dark = cv2.dilate(grey, window), cv2.erode(grey, window)
    span = cv2.subtract(light, dark)
    lively = _above(span, 70)
    quiet = cv2.bitwise_not(_above(step, 4))
    is_light = cv2.bitwise_and(cv2.bitwise_not(_above(cv2.subtract(light, grey), 12)), lively)
    is_dark = cv2.bitwise_and(cv2.bitwise_not(_above(cv2.subtract(grey, dark), 12)), lively)
    maps = [_above(step, 40), _above(step, 90), quiet, is_light, is_dark, cv2.bitwise_or(is_light, is_dark), lively]
    maps += [cv2.bitwise_and(quiet, lively), span, _above(along, 40), _above(across, 40)]
    means = [_cell_means(a) for a in maps]
    hard, harder, _, lights, darks, two_tone, live, quiet_live, spans, upright, level = means
    some = live + 0.05
    ratios = [two_tone / some, quiet_live / some, np.minimum(lights, darks) / some, np.minimum(upright, level)]
    ratios += [hard * quiet_live, harder / (hard + 0.02), np.sqrt(hard), spans * spans]
    return np.stack(means + ratios, axis=-1).astype(np.float32)


def _above(pixels: Pixels, least: int) -> Pixels:
    return np.asarray(cv2.threshold(pixels, least, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _cell_means(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Means of 8 x 8 pixels, as a share of 255. Three halvings are ten times as fast as one reduction by eight."""
    return halved(halved(halved(pixels))).astype(np.float32) / np.float32(255)
