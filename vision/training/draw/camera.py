"""The last step of every drawn picture: light, focus, noise and JPEG of an everyday camera."""

from __future__ import annotations

import cv2
import numpy as np

from vision.training.draw.grounds import slope
from vision.training.draw.piece import Floats
from vision.values import Pixels


def grain_tile(side: int) -> Floats:
    """(side, side) float32 noise of deviation 1, the same every time; drawing fresh noise for each picture is too slow."""
    return np.random.default_rng(5).standard_normal((side, side), np.float32)


def photograph(pixels: Pixels, grain: Floats, rng: np.random.Generator) -> Pixels:
    """A picture of the same size as a camera or a phone would have stored it. pixels, answer: (h, w, 3) uint8 RGB."""
    high, wide = pixels.shape[:2]
    contrast, brightness = max(0.45, rng.normal(1, 0.13)), rng.normal(0, 9)
    gamma = float(np.exp(rng.normal(0, 0.12)))
    tint = rng.normal(1, 0.04, 3)
    levels = 255 * (np.arange(256)[:, None] / 255) ** gamma
    table = ((levels - 128) * contrast + 128 + brightness) * tint
    pixels = np.asarray(cv2.LUT(pixels, table.clip(0, 255).astype(np.uint8)[:, None]), np.uint8)
    if rng.random() < 0.25:
        light = (1 + np.float32(rng.uniform(0.05, 0.3)) * slope(high, wide, rng)).clip(0.3, 1.6)
        pixels = cv2.multiply(pixels, np.repeat(light, 3, axis=2), dtype=cv2.CV_8U)
    if rng.random() < 0.35:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.06:  # a hand that moved
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        pixels = cv2.filter2D(pixels, -1, kernel / kernel.sum())
    if rng.random() < 0.3:
        y, x = (int(rng.integers(0, max(1, grain.shape[0] - n + 1))) for n in (high, wide))
        noise = grain[y : y + high, x : x + wide]
        if noise.shape == (high, wide):
            strength = rng.uniform(1, 7)
            coloured = cv2.merge([noise, noise[::-1], noise[:, ::-1]]) if rng.random() < 0.4 else cv2.merge([noise] * 3)
            pixels = cv2.add(pixels, coloured * np.float32(strength), dtype=cv2.CV_8U)
    if rng.random() < 0.8:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 94))]
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return pixels
