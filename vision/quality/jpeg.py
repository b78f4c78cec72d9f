"""A JPEG's quantisation table becomes the quality that it was saved at: `Picture.quantization` in, one number out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Table K.1 of ITU-T T.81 (the JPEG standard), row by row: the luma steps that libjpeg calls quality 50.
_STANDARD = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
               18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""


def _logs_of_libjpeg() -> npt.NDArray[np.float64]:
    """(100, 64) logarithms of the luma steps of libjpeg's qualities 1 to 100 (jcparam.c: jpeg_quality_scaling)."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    steps = np.clip((np.array(_STANDARD.split(), np.int64) * scale + 50) // 100, 1, 255)
    return np.log(steps.astype(np.float64))


_LOGS = _logs_of_libjpeg()


def jpeg_quality(steps: Sequence[int]) -> int:
    """The libjpeg quality, 1 to 100, whose luma table is nearest to these 64 steps (least sum of differences of logarithms).

    Exact for what libjpeg, libjpeg-turbo, Pillow and OpenCV wrote; for encoders with tables of their own (Photoshop, mozjpeg,
    cameras) the quality at which libjpeg would lose about as much. It tells of the last saving only.
    Raises ValueError for other than 64 positive steps.
    """
    table = np.asarray(steps, np.float64)
    if table.shape != (64,) or table.min() < 1:
        raise ValueError("a luma table has 64 positive steps")
    return 1 + int(np.abs(_LOGS - np.log(table)).sum(axis=1).argmin())
