"""Words drawn with what every machine has: OpenCV's stroke fonts and the font inside Pillow."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, "pillow")


def lines_drawn(
    lines: list[str], *, face: int | str = "pillow", high: int = 40, ink: int | tuple = (20, 30, 120), ground: int = 230
) -> np.ndarray:
    """(h, w, 3) uint8: lines of letters about `high` pixels tall, left-aligned on plain ground with a margin."""
    rows = [_line(text, face, high) for text in lines]
    margin = high // 2
    wide = max(r.shape[1] for r in rows) + 2 * margin
    mask = np.zeros((sum(r.shape[0] + margin for r in rows) + margin, wide), np.uint8)
    y = margin
    for row in rows:
        mask[y : y + row.shape[0], margin : margin + row.shape[1]] = row
        y += row.shape[0] + margin
    alpha = mask[..., None] / 255
    return (ground * (1 - alpha) + np.array(ink) * alpha).astype(np.uint8)


def _line(text: str, face: int | str, high: int) -> np.ndarray:
    if face == "pillow":
        font = ImageFont.load_default(size=high)
        left, top, right, bottom = (int(v) for v in font.getbbox(text))
        image = Image.new("L", (right - left + 2, bottom - top + 2))
        ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
        return np.asarray(image)
    scale = cv2.getFontScaleFromHeight(face, high, 3)
    (wide, tall), under = cv2.getTextSize(text, face, scale, 3)
    image = np.zeros((tall + under + 4, wide + 4), np.uint8)
    cv2.putText(image, text, (2, tall + 2), face, scale, 255, 3, cv2.LINE_AA)
    return image


def ring_drawn(over: str, under: str, *, side: int = 320) -> np.ndarray:
    """(side, side, 3) uint8: white words on a green disc, one over the top, one under the foot, letter by letter."""
    picture = np.full((side, side, 3), 240, np.uint8)
    cv2.circle(picture, (side // 2, side // 2), side // 2 - 2, (20, 110, 60), -1, cv2.LINE_AA)
    cv2.circle(picture, (side // 2, side // 2), int(side * 0.27), (240, 240, 240), -1, cv2.LINE_AA)
    for text, foot in ((over, False), (under, True)):
        letters = [np.pad(_line(c, "pillow", side // 9), ((4, 4), (4, 4))) for c in text]
        step = 17.0
        for i, letter in enumerate(letters):
            turn = (i - (len(letters) - 1) / 2) * step
            angle = np.radians(90 - turn if foot else turn - 90)
            x, y = side / 2 + 0.385 * side * np.cos(angle), side / 2 + 0.385 * side * np.sin(angle)
            matrix = cv2.getRotationMatrix2D((letter.shape[1] / 2, letter.shape[0] / 2), turn if foot else -turn, 1)
            matrix[:, 2] += x - letter.shape[1] / 2, y - letter.shape[0] / 2
            mask = cv2.warpAffine(letter, matrix, (side, side))[..., None] / 255
            picture = (picture * (1 - mask) + 250 * mask).astype(np.uint8)
    return picture
