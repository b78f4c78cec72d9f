"""Heat maps as pictures: which parts of a crop carry its similarity to the winning reference, with the scale below.

The colours (viridis) grow evenly from dark blue to bright yellow, also for people who cannot tell red from green, and in print.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw

from vision.files import write_atomically
from vision.report.lettering import font
from vision.report.overlay import overlay_name
from vision.report.sheet import fit
from vision.values import Pixels

if TYPE_CHECKING:
    from vision.embed.occlusion import HeatMap

SIDE = 256  # pixels: the longest side of the crop as it is drawn
LEAST_WIDTH = 160  # of the whole picture: the scale needs that much
STRIP = 50  # height of the scale with its figures
LETTERS = 30
COLOUR_SHARE = 0.65  # the rest is the crop in grey: enough to see what lies where
# Falls are drawn against the largest one of the crop, but never against less than this: what no patch changes stays dark.
LEAST_TOP = 0.02
GROUND, INK = (255, 255, 255), (28, 30, 33)


def draw_heat_map(heat: HeatMap) -> Pixels:
    """A heat map over its crop, (H, W, 3) uint8 RGB at most 256 pixels wide and 306 high, with the scale below: from 0 to the
    largest fall of the cosine. Places that make it rise are drawn as 0."""
    drops = np.clip(heat.drops, 0, None)
    top = max(float(drops.max()), LEAST_TOP)
    crop = fit(heat.crop, SIDE)
    height, width = crop.shape[:2]
    shares = cv2.resize(drops / top, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    mixed = (1 - COLOUR_SHARE) * grey + COLOUR_SHARE * _colours(shares)
    canvas = Image.new("RGB", (max(width, LEAST_WIDTH), height + STRIP), GROUND)
    canvas.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), ((canvas.width - width) // 2, 0))
    bar = _colours(np.tile(np.linspace(0, 1, canvas.width, dtype=np.float32), (STRIP - LETTERS - 6, 1)))
    canvas.paste(Image.fromarray(bar), (0, height + 4))
    draw = ImageDraw.Draw(canvas)
    draw.text((1, canvas.height), "0", fill=INK, font=font(LETTERS - 3), anchor="ld")
    draw.text((canvas.width - 1, canvas.height), f"-{top:.2f}", fill=INK, font=font(LETTERS - 3), anchor="rd")
    return np.asarray(canvas)


def save_heat_map(path: Path, heat: HeatMap) -> None:
    """Draw a heat map and write it as PNG; the file appears whole or not at all."""
    drawn = draw_heat_map(heat)
    written, data = cv2.imencode(".png", np.ascontiguousarray(drawn[..., ::-1]))
    if not written:
        raise ValueError(f"no PNG of a picture of shape {drawn.shape}")
    write_atomically(path, data.tobytes())


def heat_map_name(index: int, path: str, finding: int) -> str:
    """File name of the heat map of one finding (from 0, as in its row) of row `index`: that of the overlay with its number."""
    return f"{overlay_name(index, path).removesuffix('.jpg')}-{finding}.png"


def _colours(shares: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pixels:
    """(h, w) shares in [0, 1] as (h, w, 3) uint8 RGB."""
    steps = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS)[..., ::-1], dtype=np.uint8)
