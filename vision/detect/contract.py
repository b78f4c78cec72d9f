"""What evaluation, training and tests know of a detector: pictures in, boxes with a kind and a score out.

`Scanner` asks for more, tiles, views and bars by kind: it takes a `Detector`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from vision.values import Detections


class AnyDetector(Protocol):
    """Anything that finds logos and products. Its answers depend on the picture alone, never on the others of a call."""

    @property
    def name(self) -> str:
        """Name and version of the model, for the record of a scan."""

    @property
    def checksum(self) -> str:
        """sha256 of the model file, hex."""

    @property
    def operating_point(self) -> float:
        """The score from which a box is worth reporting, in [0, 1]."""

    def detect(
        self, images: Sequence[Any], *, min_score: float | None = None, max_boxes: int = 100
    ) -> list[Detections]:
        """One answer a picture, in their order; boxes lie inside the picture, in its full-scale pixels, best score first.

        images: anything that `vision.images.read_picture` takes. min_score: None means the operating point.
        """
