"""How well a brand library names true boxes: every box of a labelled set is cut out as a scan would, embedded and looked up.

The detector plays no part. Boxes of brands that the library does not hold are counted and left out; a name that begins with the
brand's ("Google Drive" for Google) is kin, and the figures stand with and without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision import geometry
from vision.datasets.labelled import read_set
from vision.evaluate.metrics import bootstrap_interval
from vision.images import read_picture
from vision.library import Library
from vision.library.names import fold, is_kin
from vision.report.sheet import contact_sheet
from vision.values import Box, Match, Pixels

PADDING = 0.075  # share of the box on each side, as a scan cuts its crops
_TOP = 5


@dataclass(frozen=True, slots=True)
class LookUp:
    """One true box and what the library says of its crop. brand: as the library spells it. matches: best first."""

    picture: Path
    box: Box
    brand: str
    matches: tuple[Match, ...]

    @property
    def right(self) -> bool:
        """The best match is the brand."""
        return bool(self.matches) and self.matches[0].brand == self.brand

    @property
    def right_or_kin(self) -> bool:
        """The best match is the brand or one whose name begins with it."""
        return bool(self.matches) and is_kin(self.matches[0].brand, self.brand)


def evaluate_library(
    library: Library, truths: Sequence[Path], *, vectors_only: bool = False, sheet: Path | None = None
) -> dict[str, Any]:
    """Top-1 and top-5 of the true boxes of labelled sets, of brands that the library holds, as plain JSON.

    vectors_only: search drawings alone, and count only boxes of brands that have one. sheet: a JPEG of the worst mistakes (wrong
    brands with the highest similarity first), each beside its reference. Intervals are 95 %, bootstrapped over pictures.
    Raises DatasetError (missing, bad_label), PictureError.
    """
    searched = library.subset(kinds=["drawing"]) if vectors_only else library
    found: dict[str, Any] = {
        "library": {"brands": len(searched), "checksum": library.checksum, "vectors_only": vectors_only},
        "sets": {},
    }
    mistakes: list[LookUp] = []
    for truth in truths:
        looked_up, others = look_up(searched, truth)
        found["sets"][f"{truth.parent.name}/{truth.stem}"] = _figures(looked_up) | {"boxes_of_other_brands": others}
        mistakes += [one for one in looked_up if not one.right]
    if sheet is not None:
        from PIL import Image

        Image.fromarray(mistakes_sheet(searched, mistakes)).save(sheet, "JPEG", quality=88)
    return found


def look_up(library: Library, truth: Path) -> tuple[list[LookUp], int]:
    """Every logo box of a set whose brand the library holds, looked up; and the number of boxes of other brands."""
    wanted: list[tuple[Path, Box, str]] = []
    crops: list[Pixels] = []
    others = 0
    for labelled in read_set(truth, extra_boxes=False):
        named = [(b.box, b.brand) for b in labelled.boxes if b.brand and b.kind == "logo" and not b.ignore]
        held = [(box, brand) for box, brand in named if brand in library]
        others += len(named) - len(held)
        if not held:
            continue
        picture = read_picture(labelled.path)
        boxes = np.array([box for box, _ in held], dtype=np.float32)
        padded = geometry.pad(boxes, PADDING, picture.width, picture.height)
        for (box, brand), place in zip(held, padded, strict=True):
            wanted.append((labelled.path, box, library.brand(brand).name))
            crops.append(geometry.crop(picture.pixels, place).copy())
    answers = library.search_embeddings(library.embedder.embed_images(crops), k=_TOP)
    return [
        LookUp(path, box, brand, tuple(matches)) for (path, box, brand), matches in zip(wanted, answers, strict=True)
    ], others


def mistakes_sheet(library: Library, mistakes: Sequence[LookUp], *, at_most: int = 60) -> Pixels:
    """The mistakes with the highest similarity, each crop beside the reference that won."""
    worst = sorted(mistakes, key=lambda one: -one.matches[0].similarity if one.matches else 2.0)[:at_most]
    tiles: list[tuple[Pixels, str]] = []
    for one in worst:
        picture = read_picture(one.picture)
        box = geometry.pad(np.array([one.box], dtype=np.float32), PADDING, picture.width, picture.height)[0]
        wide, high = one.box[2] - one.box[0], one.box[3] - one.box[1]
        tiles.append((geometry.crop(picture.pixels, box), f"{one.brand}\n{wide:.0f} x {high:.0f} px"))
        if one.matches:
            best = one.matches[0]
            small = library.thumbnail(best.reference)
            ground = np.full((96, 96, 3), 200, dtype=np.uint8)  # a photo reference: vectors only
            tiles.append(
                (
                    ground if small is None else read_picture(small).pixels,
                    f"{best.brand}\n{best.similarity:.2f} {best.reference}",
                )
            )
    return contact_sheet(tiles, columns=12, tile=110)


def _figures(looked_up: Sequence[LookUp]) -> dict[str, Any]:
    first = np.array([one.right for one in looked_up], dtype=bool)
    kin = np.array([one.right_or_kin for one in looked_up], dtype=bool)
    five = np.array([any(match.brand == one.brand for match in one.matches) for one in looked_up], dtype=bool)
    pictures: dict[Path, list[int]] = {}
    for index, one in enumerate(looked_up):
        pictures.setdefault(one.picture, []).append(index)
    groups = [np.array(rows) for rows in pictures.values()]
    low = high = float("nan")
    if groups:
        low, high = bootstrap_interval(
            lambda drawn: float(first[np.concatenate([groups[i] for i in drawn])].mean()), len(groups)
        )
    boxes = Counter(one.brand for one in looked_up)
    hits = Counter(one.brand for one in looked_up if one.right)
    return {
        "boxes": len(looked_up),
        "pictures": len(groups),
        "top1": _share(first),
        "top1_interval": [_rounded(low), _rounded(high)],
        "top1_with_kin": _share(kin),
        "top5": _share(five),
        "by_brand": {
            brand: f"{hits[brand]}/{count}" for brand, count in sorted(boxes.items(), key=lambda pair: fold(pair[0]))
        },
    }


def _share(flags: np.ndarray[Any, np.dtype[np.bool_]]) -> float | None:
    return _rounded(float(flags.mean())) if len(flags) else None


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
