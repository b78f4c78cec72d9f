"""What an embedder is: crops and texts become unit vectors of one space.

Crops of a scan and references of a library go through the same preparation, recorded in the model's card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vision.values import Embeddings, Pixels

BATCH = 64  # crops of one run of a model: more gains nothing on a CPU and costs memory


@runtime_checkable
class EmbedderLike(Protocol):
    """The face of every embedder: what the library and the scan rely on, and what a test's fake must have.

    id: name and the first 16 hex digits of the model file's sha256; a library made with another id is refused.
    dim: length d of the vectors. checksum: sha256 of the model file.
    background: (b, d) float32 unit rows: what crops without a logo look like; (0, d) when it is not known.
    """

    id: str
    dim: int
    checksum: str
    background: Embeddings

    def embed_images(self, images: Sequence[Any]) -> Embeddings:
        """(n, d) float32, rows of L2 norm 1 within 1e-4, in the order given; (0, d) for an empty list."""

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """(n, d) float32, rows of L2 norm 1 within 1e-4, in the order given; (0, d) for an empty list."""


def stretch(crop: Pixels, size: int) -> Pixels:
    """A crop (h, w, 3) uint8 as (size, size, 3): sides that shrink are averaged, sides that grow are interpolated.

    The aspect ratio is lost: letterboxing cost compact marks three points and gained long ones one (within noise). Two steps,
    because cv2's INTER_AREA drops its averaging on both axes as soon as one of them grows.
    """
    import cv2

    height, width = crop.shape[:2]
    smaller = (min(width, size), min(height, size))
    if smaller != (width, height):
        crop = cv2.resize(crop, smaller, interpolation=cv2.INTER_AREA)
    if smaller != (size, size):
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    return crop


def unit_rows(vectors: Embeddings) -> Embeddings:
    """The rows of (n, d) float32 divided by their L2 norm; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
