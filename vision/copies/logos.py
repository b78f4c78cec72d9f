"""Where does a picture show logos? For the search: what agrees only there is the same logo, not the same picture.

In: a decoded `Picture`. Out: boxes. The detector is loaded when the first picture asks.
"""

from __future__ import annotations

import functools

import numpy as np

from vision.detect import Detector
from vision.geometry import Boxes
from vision.values import Picture


def logo_boxes(picture: Picture) -> Boxes:
    """(n, 4) float32 xyxy pixels of the picture at full scale: the logos on it, by the shipped detector at its operating point.

    Raises WeightsError (missing, wrong_checksum) when the detector is not there.
    """
    found = _detector().detect([picture])[0]
    return found.boxes[np.array([kind == "logo" for kind in found.kinds], dtype=np.bool_)]


@functools.cache
def _detector() -> Detector:
    return Detector.load()
