"""Pieces of photographs without brands, as strangers: random ones of the size of logos, and lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision.errors import DatasetError, PictureError
from vision.evaluate.recognition.crops import Advance, Crops, Labelled, Plan, gather
from vision.geometry import clip
from vision.images import read_picture
from vision.images.find import Finder
from vision.recognise import Recogniser
from vision.scan import in_order
from vision.values import Box, Picture

PIECES = 2  # of each photograph
# Photographs used of a folder, spread evenly over it: reading them is the larger part of an evaluation.
MOST_PHOTOS = 400
_READ_SIDE = 640

Progress = Callable[[str], Callable[[int], Advance]]


def photo_crops(
    recogniser: Recogniser, folder: Path, like: Crops, *, seed: int, tell: Progress, threads: int | None = None
) -> dict[str, Crops]:
    """`photo crops`: random pieces, sides drawn from the boxes of `like`. `text regions`: lines that the reader finds.

    folder: or "@list.txt". Photographs that cannot be read are passed over. Raises DatasetError (missing).
    """
    paths = [Path(f.path if f.file is None else f.file) for f in Finder([str(folder)]) if f.error is None]
    if not paths:
        raise DatasetError("missing", "no photographs", path=str(folder))
    paths = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), MOST_PHOTOS)).astype(int))]
    sides = like.boxes[:, 2:] - like.boxes[:, :2]
    advance = tell("photos")(len(paths))

    def look(numbered: tuple[int, Path]) -> tuple[Labelled | None, Labelled | None]:
        number, path = numbered
        try:
            picture = read_picture(path, reduce_to=_READ_SIDE)
        except PictureError:
            return None, None
        random = np.random.default_rng([seed, number])
        return _labelled(path, picture, list(_pieces(picture, sides, random))), _labelled(
            path, picture, _text_boxes(recogniser, picture)
        )

    pieces: list[Labelled] = []
    texts: list[Labelled] = []
    for piece, text in in_order(look, enumerate(paths), threads=threads):
        advance(1)
        pieces += [piece] if piece else []
        texts += [text] if text else []
    plan = Plan(read=recogniser.reader is not None, seed=seed)
    found = {"photo crops": gather(recogniser, pieces, plan, threads=threads, progress=tell("photo crops"))}
    if texts:
        found["text regions"] = gather(recogniser, texts, plan, threads=threads, progress=tell("text regions"))
    return found


def _labelled(path: Path, picture: Picture, boxes: list[Box]) -> Labelled | None:
    if not boxes:
        return None
    return Labelled("photos", path, picture.width, picture.height, "photos", tuple(boxes), ("",) * len(boxes))


def _pieces(picture: Picture, sides: npt.NDArray[np.float32], random: np.random.Generator) -> Iterator[Box]:
    """Random places for boxes as large as some labelled ones, made smaller where the picture is too small for them."""
    for _ in range(PIECES):
        wide, high = sides[int(random.integers(len(sides)))]
        scale = min(1.0, 0.9 * picture.width / wide, 0.9 * picture.height / high)
        wide, high = float(wide * scale), float(high * scale)
        left, top = random.uniform(0, picture.width - wide), random.uniform(0, picture.height - high)
        yield float(left), float(top), float(left + wide), float(top + high)


def _text_boxes(recogniser: Recogniser, picture: Picture) -> list[Box]:
    """Lines of text, found in the four quarters of a picture: the reader sees at most 320 pixels at once."""
    if recogniser.reader is None:
        return []
    height, width = picture.pixels.shape[:2]
    corners = [(x, y) for y in (0, height // 2) for x in (0, width // 2)]
    tiles = [picture.pixels[y : y + height - height // 2, x : x + width - width // 2] for x, y in corners]
    wide, high = picture.scale
    found: list[Box] = []
    for (x, y), lines in zip(corners, recogniser.reader.read(tiles), strict=True):
        for line in lines:
            left, top, right, bottom = line.box
            box = np.array([[(left + x) * wide, (top + y) * high, (right + x) * wide, (bottom + y) * high]], np.float32)
            a, b, c, d = (float(v) for v in clip(box, picture.width, picture.height)[0])
            if c - a >= 6 and d - b >= 6:
                found.append((a, b, c, d))
    return found
