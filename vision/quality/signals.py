"""A decoded picture becomes measured signals: how sharp, bright and detailed, how framed, lettered, marked, put together.

They are facts about pixels, or likelihoods that were fitted to made pictures; none is a judgement. Each is measured on a copy of
fixed size, so that one picture at two resolutions, or decoded at a reduced scale, gives nearly the same figures: brightness,
contrast and ground within a hundredth or two, sharpness within a fifth from 1280 px on. Sharpness of a picture that was below
512 px, or just above it, compares with its like only. `fine_detail` alone is about the resolution itself.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vision.quality.fitted import COLLAGE, COLLAGE_BIAS, SCREENSHOT, SCREENSHOT_BIAS, WATERMARK, WATERMARK_BIAS
from vision.quality.jpeg import jpeg_quality
from vision.quality.layout import borders, layout
from vision.quality.lettering import text_share
from vision.quality.pattern import repetition
from vision.quality.scale import at_most, halved
from vision.values import Picture, Pixels

# Sharpness depends on the scale it is measured at; smaller pictures are measured as they are, since enlarging adds no detail.
MEASURED_SIDE = 512
# The ground is a matter of areas: 128 px give its share within about a hundredth, at a sixteenth of the cost.
GROUND_SIDE = 128
# Levels (of 255) by which a channel may differ from the ground's colour: JPEG noise and soft shadow stay inside.
GROUND_TOLERANCE = 12
# Pixels this near to black or white (levels) are clipped: JPEG moves them that far.
CLIPPED = 4
# Fine detail is measured in the middle, on as much as sharpness is.
DETAIL_SIDE = 512

_OPPONENT = np.array([[1, -1, 0], [0.5, 0.5, -1]], np.float32)


def measure(picture: Picture) -> dict[str, float]:
    """Signals of one picture, by name.

    sharpness: variance of the Laplacian (3 x 3, levels squared) of the grey picture at longest side 512, 0 for a flat one;
        some 10 for a blurred photo, some 1000 for a crisp one.
    brightness: mean luma (BT.601), 0 black to 255 white.
    contrast: standard deviation of luma, 0 to 127.5.
    plain_ground: share of the picture, 0 to 1, that is of the border's commonest colour within 12 levels a channel and joined
        to the border by such pixels; near 1 for a mark on an empty ground.
    dark_clipped, light_clipped: share of the picture, 0 to 1, within 4 levels of black and of white.
    brightness_p5, brightness_p99: luma, 0 to 255, that 5 % and 99 % of the picture do not exceed: the two that CleanVision calls
        pictures light and dark by (tests/mirrors/test_quality_cleanvision.py).
    entropy: Shannon's, of luma in 256 levels: 0 bits for one grey to 8 bits.
    colourfulness: Hasler and Süsstrunk's (Measuring colourfulness in natural images, 2003), 0 for grey, 33 for a moderately, 59
        for a quite and 109 for an extremely colourful photo.
    fine_detail: mean square of the Laplacian at full resolution over that at half, in the middle 512 px. .65 for photos as they
        are (.19 to 1.5 for nine in ten), .165 (.13 to .20) for ones that were enlarged twofold; low also for blurred ones: a
        picture of half the size would hold as much. Absent where the picture was decoded at a reduced scale.
    border_share: share of the picture, 0 to 1, in uniform bars along its edges that end on a straight line; see `borders`.
    text_share: share of the picture, 0 to 1, that looks lettered; letters in the scene and flat marks count too, see `lettering`.
    watermark, collage, screenshot: likelihoods, 0 to 1, of a tiled half-transparent mark, of pictures put side by side, and of
        an interface around the picture: logistic fits to drawn cases, of which one in eight is such. On others drawn from other
        photographs (benchmarks/quality.py): AUROC .80, .98 and 1.00; above .5 are .42, .83 and .92 of them and .011, .015 and
        .003 of all else. Faint and small tiles and side by side without a gutter are what is missed; shelves and lists
        repeat as tiles do. They rank pictures for a person to look at and prove nothing.
    jpeg_quality: libjpeg's, 1 to 100, that the file was last saved at; absent for what was no JPEG file. See `jpeg_quality`.
    """
    # grey first: resizing one channel costs a third of resizing three (0.6 against 1.8 ms at 640 px)
    full = np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    grey = at_most(full, MEASURED_SIDE)
    half = halved(grey)
    mean, deviation = cv2.meanStdDev(grey)
    # 16 bits hold the 3 x 3 Laplacian of bytes (at most 4 * 255 either way) exactly; norm and sum are a tenth of meanStdDev
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    variance = cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - (cv2.sumElems(edges)[0] / edges.size) ** 2
    small = picture.pixels
    while max(small.shape) >= 4 * GROUND_SIDE:  # halving is so cheap that the reduction after it costs a tenth
        small = halved(small)
    small = at_most(small, GROUND_SIDE)
    top, bottom, left, right = borders(grey)
    inside = (grey.shape[0] - top - bottom) * (grey.shape[1] - left - right) / grey.size
    lines = layout(half, (-(-top // 2), -(-bottom // 2), -(-left // 2), -(-right // 2)))
    signals = {
        "sharpness": round(max(variance, 0.0), 1),
        "brightness": round(float(mean[0, 0]), 1),
        "contrast": round(float(deviation[0, 0]), 1),
        "plain_ground": round(plain_ground(small), 3),
        **_exposure(grey),
        "colourfulness": round(_colourfulness(small), 1),
        "border_share": round(1 - inside, 3),
        "text_share": round(text_share(half), 3),
        "watermark": round(_watermark(grey), 3),
        "collage": round(_sigmoid(float(lines @ COLLAGE) + COLLAGE_BIAS), 3),
        "screenshot": round(_sigmoid(float(lines @ SCREENSHOT) + SCREENSHOT_BIAS), 3),
    }
    if full.shape == (picture.height, picture.width):
        signals["fine_detail"] = round(_fine_detail(full), 3)
    if picture.quantization is not None:
        signals["jpeg_quality"] = float(jpeg_quality(picture.quantization))
    return signals


def plain_ground(pixels: Pixels) -> float:
    """Share in [0, 1] of (h, w, 3) pixels that are joined to the border and of its commonest colour; see `measure`."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    # the commonest of 16 x 16 x 16 coarse colours, then the mean of its pixels
    coarse = (border >> 4).astype(np.int32) @ np.array([256, 16, 1], dtype=np.int32)
    commonest = border[coarse == np.bincount(coarse).argmax()].mean(axis=0).round()
    low = np.clip(commonest - GROUND_TOLERANCE, 0, 255)
    high = np.clip(commonest + GROUND_TOLERANCE, 0, 255)
    ground = cv2.inRange(pixels, low, high)
    _, labels = cv2.connectedComponents(ground, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    joined = np.zeros(int(labels.max()) + 1, dtype=bool)
    joined[edge] = True
    joined[0] = False
    return float(joined[labels].mean())


def _exposure(grey: Pixels) -> dict[str, float]:
    shares: npt.NDArray[np.float64] = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel() / float(grey.size)
    below = np.cumsum(shares)
    present = shares[shares > 0]
    return {
        "dark_clipped": round(float(below[CLIPPED]), 3),
        "light_clipped": round(float(shares[255 - CLIPPED :].sum()), 3),
        "brightness_p5": float(np.searchsorted(below, 0.05)),
        "brightness_p99": float(np.searchsorted(below, 0.99)),
        "entropy": round(abs(float(present @ np.log2(present))), 2),
    }


def _colourfulness(pixels: Pixels) -> float:
    """Of (h, w, 3) RGB: the spread of R - G and (R + G) / 2 - B together, and three tenths of their distance from grey."""
    mean, deviation = cv2.meanStdDev(cv2.transform(pixels.astype(np.float32), _OPPONENT))
    return math.hypot(*deviation.ravel()) + 0.3 * math.hypot(*mean.ravel())


def _fine_detail(grey: Pixels) -> float:
    height, width = grey.shape
    top, left = max(0, height - DETAIL_SIDE) // 2, max(0, width - DETAIL_SIDE) // 2
    middle = grey[top : top + DETAIL_SIDE, left : left + DETAIL_SIDE]
    fine, coarse = (cv2.norm(cv2.Laplacian(p, cv2.CV_16S), cv2.NORM_L2SQR) / p.size for p in (middle, halved(middle)))
    return (fine + 1) / (coarse + 1)  # one level, so that a flat picture has 1


def _watermark(grey: Pixels) -> float:
    figures = repetition(grey)
    return 0.0 if figures is None else _sigmoid(float(np.dot(figures, WATERMARK)) + WATERMARK_BIAS)


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))
