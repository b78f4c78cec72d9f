"""Contact sheets: many small pictures with captions on one, to look at before trusting any figure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from vision.report.lettering import drawable, font, shorten
from vision.values import Pixels

GROUND = (236, 236, 232)  # light, warm grey: white packshots and dark photos both stand out on it
INK = (32, 32, 32)
MARGIN = 6
LINES_AT_MOST = 3


def contact_sheet(tiles: Sequence[tuple[Pixels, str]], *, columns: int = 8, tile: int = 160) -> Pixels:
    """Lay pictures out in rows, each fitted into a square (small ones enlarged) with its caption below.

    tiles: ((h, w, 3) uint8 RGB of any size, caption); a caption may have up to three lines, each cut to the tile's width.
    columns: at least 1. tile: side of a square in pixels, at least 16.
    Gives (H, W, 3) uint8 RGB, W = columns × (tile + 6) + 6 whatever the number of tiles; no tiles give one empty row.
    """
    if columns < 1 or tile < 16:
        raise ValueError(f"{columns} columns of {tile} pixels: at least 1 column of 16")
    size = max(9, min(16, tile // 12))
    captions = [[drawable(line) for line in text.split("\n")[:LINES_AT_MOST]] if text else [] for _, text in tiles]
    line_height = round(size * 1.3)
    caption_height = line_height * max((len(lines) for lines in captions), default=0)
    rows = max(1, -(-len(tiles) // columns))
    step_x, step_y = tile + MARGIN, tile + caption_height + MARGIN
    sheet = np.full((rows * step_y + MARGIN, columns * step_x + MARGIN, 3), GROUND, dtype=np.uint8)
    corners = [(MARGIN + index % columns * step_x, MARGIN + index // columns * step_y) for index in range(len(tiles))]
    for (pixels, _), (x, y) in zip(tiles, corners, strict=True):
        fitted = fit(pixels, tile)
        height, width = fitted.shape[:2]
        left, top = x + (tile - width) // 2, y + (tile - height) // 2
        sheet[top : top + height, left : left + width] = fitted
    canvas = Image.fromarray(sheet)
    draw = ImageDraw.Draw(canvas)
    for lines, (x, y) in zip(captions, corners, strict=True):
        for number, line in enumerate(lines):
            draw.text((x, y + tile + number * line_height), shorten(line, size, tile), fill=INK, font=font(size))
    return np.asarray(canvas)


def fit(pixels: Pixels, side: int, *, enlarge: bool = True) -> Pixels:
    """(h, w, 3) uint8 scaled so that its longer side is `side` pixels; not enlarged on `enlarge=False`. Each side at least 1."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale == 1 or (scale > 1 and not enlarge):
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # area averaging keeps fine print honest when it shrinks; it is nearest-neighbour when it grows, so cubic then
    return np.asarray(
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), dtype=np.uint8
    )
