"""What becomes of a reference's picture: cut to its content, embedded, and kept small."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from vision.errors import PictureError
from vision.values import Embeddings, Picture, Pixels

if TYPE_CHECKING:
    from vision.embed.contract import EmbedderLike

# Longest side of the picture kept of a reference that a user adds: twice the embedder's input, so that another embedder can use
# it, in some 8 kB. Drawings of the shipped library are kept at THUMBNAIL_SIDE, for reports only: `build` makes them again.
PICTURE_SIDE, THUMBNAIL_SIDE = 256, 96
# References are decoded at least this large: their crop to the content is taken from it.
DECODE_SIDE = 1024
# A border is one colour when its pixels differ by less than this, of 255; content differs by more from it.
_PLAIN = 24
# A picture shows nothing when no two of its pixels differ by more than this in any channel, or a side is shorter than this.
_MOST_BLANK, _LEAST_SIDE = 8, 8


def encode_thumbnail(pixels: Pixels, side: int) -> bytes:
    """(h, w, 3) uint8 as WebP with the longest side at most `side`."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90 if side > THUMBNAIL_SIDE else 75, method=4)
    return buffer.getvalue()


def check_shows_something(picture: Picture) -> None:
    """Raise PictureError (empty) for a picture that cannot show a mark."""
    if min(picture.width, picture.height) < _LEAST_SIDE:
        what = f"{picture.width} x {picture.height} pixels show no mark"
    elif int(np.ptp(picture.pixels, axis=(0, 1)).max()) <= _MOST_BLANK:
        what = "the picture shows nothing: it has one colour throughout"
    else:
        return
    path = None if picture.origin in {"array", "bytes", "PIL"} else picture.origin
    raise PictureError("empty", what, path=path)


def crop_to_content(pixels: Pixels) -> Pixels | None:
    """The picture cut to what differs from its plain border, with a tenth of it as margin.

    None when its border is not plain, nothing differs, or less than a tenth of either side would go.
    """
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.int16)
    ground = np.median(edge, axis=0)
    if np.percentile(np.abs(edge - ground).max(axis=1), 98) >= _PLAIN:
        return None
    differs = np.abs(pixels.astype(np.int16) - ground).max(axis=2) >= _PLAIN
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return None
    height, width = pixels.shape[:2]
    margin = max(1, round(0.1 * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    top, bottom = max(0, rows[0] - margin), min(height, rows[-1] + 1 + margin)
    left, right = max(0, columns[0] - margin), min(width, columns[-1] + 1 + margin)
    if bottom - top > 0.9 * height and right - left > 0.9 * width:
        return None
    return pixels[top:bottom, left:right]


def embed_reference(pixels: Pixels, embedder: EmbedderLike) -> Embeddings:
    """The views of a reference, embedded: (1 or 2, d) float32, the picture as it is and, inside a plain border, its content."""
    content = crop_to_content(pixels)
    return embedder.embed_images([pixels] if content is None else [pixels, content])
