"""Candidates that stand become hits: the edit named, with a probability, one for each source, best first.

In: arrays of verified candidates. Out: `Hit`s. Pure. `CopyClaim`s are made of hits where names are known: in the scan and in the
index on disk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies.hashes import ORIENTATIONS
from vision.copies.verify import PLAIN
from vision.values import Box, CopyClaim

MAX_CLAIMS = 20

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hit:
    """One source that a picture is a copy of. entry: its number among the references."""

    entry: int
    kind: str
    distance: int
    probability: float

    def to_claim(
        self,
        *,
        source: str,
        index: str,
        size: tuple[int, int],
        source_size: tuple[int, int],
        first_seen: str | None = None,
        owner: str | None = None,
    ) -> CopyClaim:
        """The claim for a picture of (width, height) `size` on one of `source_size`. Hashes of whole pictures say that all of
        one is in all of the other, so both boxes are whole."""
        return CopyClaim(
            source=source,
            index=index,
            kind=self.kind,
            distance=self.distance,
            probability=self.probability,
            box=_whole(size),
            source_box=_whole(source_size),
            first_seen=first_seen,
            owner=owner,
        )


def hits(
    orientation: Numbers,
    entry: Numbers,
    distance: Numbers,
    plain: Numbers,
    identical: npt.NDArray[np.bool_],
    limit: int | None = MAX_CLAIMS,
) -> list[Hit]:
    """(k,) arrays of verified candidates to one hit an entry, best first: surest, then nearest, then the entry seen earliest.

    An entry that stands in several orientations counts in its nearest one; a picture that is its own mirror image is "same".
    """
    first = np.lexsort((orientation, distance, entry))
    _, best = np.unique(entry[first], return_index=True)
    best = first[best]
    sure = probabilities(distance[best], plain[best], identical[best])
    order = np.lexsort((entry[best], distance[best], -sure))[:limit]
    return [
        Hit(int(entry[i]), ORIENTATIONS[orientation[i]], int(distance[i]), float(p))
        for i, p in zip(best[order], sure[order], strict=True)
    ]


def probabilities(distance: Numbers, plain: Numbers, identical: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How often such a claim is right, for (k,) distances in bits, percent of plain ground (the higher one) and same bytes.

    Read from `calibration.json`, which says how it was measured and for which share of copies among the pictures it holds.
    """
    table = _calibration()["probability"]
    photo, page = np.asarray(table["photo"]), np.asarray(table["plain"])
    step = np.minimum(distance, len(photo) - 1)
    return np.where(identical, table["identical"], np.where(plain < PLAIN, photo[step], page[step]))


@cache
def _calibration() -> dict[str, Any]:
    text = resources.files("vision.copies").joinpath("calibration.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _whole(size: tuple[int, int]) -> Box:
    return (0.0, 0.0, float(size[0]), float(size[1]))
