"""The reader: crops become lines of text, by a text detector and a recogniser in onnxruntime.

Three ways to read, from cheap and sure to last resort: the lines that the detector finds, the whole crop as one line, the words
round a ring. In come crops of any size, out come `TextLine`s in pixels of each crop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from vision import weights
from vision.errors import PictureError, WeightsError
from vision.geometry import area, clip, intersection
from vision.text import ctc, lines, ring
from vision.values import Box, Pixels, TextLine, Way

Floats = npt.NDArray[np.float32]

STRIDE = 32  # of the detector: both sides of its input are multiples of it
HEIGHT = 48  # of the recogniser's input
LEAST_WIDTH, MOST_WIDTH = 48, 960  # of the recogniser's input; twenty times as wide as high is no name any more
WIDTH_STEP = 8  # widths are multiples of it, so that lines of one width can run together
LEAST_SIDE = 6  # pixels: shorter crops hold nothing that can be read
LEAST_HEIGHT = 6.0  # pixels of a crop: of 70 lower lines in crops of training files none said the brand's name
MOST_ASPECT = 40.0
BATCH = 8  # inputs of one shape that run together: on a CPU the recogniser gains a tenth by it, the detector nothing
# Longest side of the detector's input for a quick look. In boxes that the logo detector was not sure of it shows 166 names where
# 320 shows 166 (923 boxes of dev pictures), and 218 for 238 (1,872 of training pictures), in three fifths of the time.
QUICK_SIDE = 192
# Lines that are read with less confidence may stand on their head or in a mirror. Of 121 names in crops of training pictures 102
# are read mirrored (none without) and 100 upside-down (23), 119 as they are; seven and eight other names are read besides.
CLEAR = 0.9
ECHO = 0.6  # share of a line's box round a ring that lies in that of a surer line
RING_ASPECT, RING_SIDE = (
    (0.55, 1.8),
    40,
)  # width to height, and pixels of the longer side, of crops that may hold a ring


@dataclass(frozen=True, slots=True)
class Settings:
    """How the two networks are used; the card says it.

    side: longest side of the detector's input. least: mean probability of a line's core. unclip: how far cores are grown.
    most_lines: read in a crop, largest first.
    """

    side: int
    least: float
    unclip: float
    most_lines: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that waits for the recogniser, and where it stands in its crop. strips: ways to turn it; the surest is taken."""

    strips: tuple[Pixels, ...]
    box: Box
    height: float
    way: Way


class TextReader:
    """The shipped reader, or one that `vision weights build text` made. Holds nothing that changes, so threads may share it."""

    def __init__(self, model: weights.Model, *, threads: int = 1, device: str = "auto") -> None:
        card = model.card
        try:
            settings = card["settings"]
            self.settings = Settings(
                side=int(settings["side"]),
                least=float(settings["least"]),
                unclip=float(settings["unclip"]),
                most_lines=int(settings["most_lines"]),
            )
            self._characters = tuple(
                str(c) for c in json.loads(model.file("characters.json").read_text(encoding="utf-8"))
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                "unknown_card", f"the card lacks {error}", path=str(model.folder / "card.json")
            ) from None
        self._detector = weights.session(model.file("detector.onnx"), threads=threads, device=device)
        self._recogniser = weights.session(model.file("recogniser.onnx"), threads=threads, device=device)
        self._folding = ctc.folding(self._characters)
        parts = (model.checksums[name] for name in ("detector.onnx", "recogniser.onnx", "characters.json"))
        self.checksum = hashlib.sha256("".join(parts).encode()).hexdigest()

    @classmethod
    def load(cls, path: Path | str | None = None, device: str = "auto", *, threads: int = 1) -> TextReader:
        """The shipped reader (verified by the manifest), or a folder that `vision weights build text` made.

        threads: of each run; one per worker is fastest. device: "auto" | "cpu" | "cuda" | "cuda:i".
        Raises WeightsError (missing, wrong_checksum, unknown_card), BackendError (no_device).
        """
        model = weights.load("text") if path is None else weights.load_folder(Path(path))
        return cls(model, threads=threads, device=device)

    def read(self, crops: Sequence[Pixels], *, quick: bool = False) -> list[tuple[TextLine, ...]]:
        """The lines that the text detector finds in each crop, in reading order; () where nothing can be read.

        crops: (h, w, 3) uint8 RGB of any size. At most `settings.most_lines` a crop, the largest. A line that is not clear is
        read mirrored and upside-down too. quick: the text detector looks at fewer pixels, the recogniser at lines as they stand.
        Lines without a Latin letter or digit are left out. What a crop says does not depend on the others.
        Raises PictureError (unsupported) for arrays of another shape or dtype.
        """
        wanted = [i for i, crop in enumerate(crops) if _is_readable(crop)]
        side = QUICK_SIDE if quick else None
        maps = self._maps([self.fit(crops[i], side) for i in wanted])
        found = {i: _lines_of(crops[i], found, self.settings) for i, found in zip(wanted, maps, strict=True)}
        return self._recognise([found.get(i, []) for i in range(len(crops))], turned=not quick)

    def read_whole(self, crops: Sequence[Pixels]) -> list[tuple[TextLine, ...]]:
        """Each crop as one line: at most one `TextLine` a crop, its box the whole crop. Otherwise as `read`."""
        return self._recognise([_whole(crop) if _is_readable(crop) else [] for crop in crops])

    def read_ring(self, crops: Sequence[Pixels]) -> list[tuple[TextLine, ...]]:
        """Words round the ring in each crop, an ellipse that its edges follow or else the one that fills it; those over the top
        first. Otherwise as `read`.

        Only crops of aspect 0.55 to 1.8 with a side of 40 pixels are looked at, the others give ().
        """
        wanted = [i for i, crop in enumerate(crops) if _is_readable(crop) and may_be_ring(crop)]
        rings = {i: ring.find(crops[i]) for i in wanted}
        strips = [s for i in wanted for s in ring.unroll(crops[i], rings[i])]
        maps = iter(zip(strips, self._maps(strips), strict=True))
        found = {
            i: [
                line
                for foot in (False, True)
                for line in _ring_lines(crops[i], rings[i], *next(maps), foot, self.settings)
            ]
            for i in wanted
        }
        read = self._recognise([found.get(i, []) for i in range(len(crops))])
        return [_without_echoes(some) for some in read]

    def strips(self, crop: Pixels) -> list[Pixels]:
        """What the recogniser is given of a crop: its lines, (48, w, 3) uint8."""
        found = self._maps([self.fit(crop)])[0]
        return [_to_height(strip) for line in _lines_of(crop, found, self.settings) for strip in line.strips]

    def fit(self, crop: Pixels, side: int | None = None) -> Pixels:
        """The crop stretched to the detector's input: longest side `side` (`settings.side`), both multiples of its stride."""
        high, wide = crop.shape[:2]
        scale = (side or self.settings.side) / max(high, wide)
        size = tuple(max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in (wide, high))
        shrinks = size[0] <= wide and size[1] <= high
        return np.asarray(
            cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
        )

    def _maps(self, fitted: Sequence[Pixels]) -> list[Floats]:
        """The detector's map (h, w) of each of its inputs."""
        return [found[0] for found in _run(self._detector, fitted)]

    def _recognise(self, found: Sequence[Sequence[_Line]], *, turned: bool = False) -> list[tuple[TextLine, ...]]:
        """The lines of each crop read, those with a letter or digit kept, in order. turned: unclear ones in other ways too."""
        read = iter(self._texts([line for some in found for line in some]))
        rows = [[next(read) for _ in some] for some in found]
        if turned:
            unclear = [(i, j) for i, row in enumerate(rows) for j, line in enumerate(row) if line.confidence < CLEAR]
            for way in ("mirrored", "turned_180"):
                tried = self._texts([_turned(found[i][j], way) for i, j in unclear])
                for (i, j), line in zip(unclear, tried, strict=True):
                    rows[i][j] = max(rows[i][j], line, key=lambda each: each.confidence)
        return [tuple(line for line in row if any(map(ctc.folded, line.string))) for row in rows]

    def _texts(self, lines: Sequence[_Line]) -> list[TextLine]:
        """What each line says."""
        answers = iter(_run(self._recogniser, [_to_height(strip) for line in lines for strip in line.strips]))
        return [self._text(line, [next(answers) for _ in line.strips]) for line in lines]

    def _text(self, line: _Line, answers: Sequence[Floats]) -> TextLine:
        """The surest of the recogniser's answers for one line; of equal ones the first."""
        read = [ctc.decode(probabilities, self._characters) for probabilities in answers]
        best = max(range(len(read)), key=lambda i: read[i][1])
        string, confidence = read[best]
        return TextLine(string, confidence, line.box, line.height, answers[best] @ self._folding, line.way)


def _is_readable(crop: Pixels) -> bool:
    """Whether a crop is large and compact enough to hold letters. Raises PictureError (unsupported) for what is no RGB array."""
    if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3:
        raise PictureError(
            "unsupported", f"array {crop.shape} {crop.dtype}", hint="(height, width, 3) uint8 RGB is expected"
        )
    short, long = sorted(crop.shape[:2])
    return bool(short >= LEAST_SIDE and long <= MOST_ASPECT * short)


def may_be_ring(crop: Pixels) -> bool:
    """Whether a crop is large and round enough to be looked at as a ring."""
    high, wide = crop.shape[:2]
    return bool(RING_ASPECT[0] <= wide / high <= RING_ASPECT[1] and max(high, wide) >= RING_SIDE)


def _lines_of(crop: Pixels, found: Floats, settings: Settings) -> list[_Line]:
    """The lines on a detector's map of a crop, in reading order."""
    high, wide = crop.shape[:2]
    scale = np.array([wide / found.shape[1], high / found.shape[0]], np.float32)
    corners = lines.quads(found, least=settings.least, unclip=settings.unclip, most=settings.most_lines) * scale
    boxes = [_box(c, wide, high) for c in corners]
    heights = [min(lines.sides(c)) for c in corners]
    return [
        _Line(lines.strips(crop, corners[i]), boxes[i], heights[i], "lines")
        for i in lines.reading_order(boxes)
        if heights[i] >= LEAST_HEIGHT
    ]


def _turned(line: _Line, way: Literal["mirrored", "turned_180"]) -> _Line:
    """The line as it would be read upright if it stands in a mirror or on its head."""
    turned = (strip[:, ::-1] if way == "mirrored" else strip[::-1, ::-1] for strip in line.strips[:1])
    return replace(line, strips=tuple(np.ascontiguousarray(strip) for strip in turned), way=way)


def _whole(crop: Pixels) -> list[_Line]:
    high, wide = crop.shape[:2]
    return [_Line((crop,), (0.0, 0.0, float(wide), float(high)), float(high), "whole")]


def _ring_lines(
    crop: Pixels, where: ring.Ring, strip: Pixels, found: Floats, foot: bool, settings: Settings
) -> list[_Line]:
    """The lines on a detector's map of one strip of a crop's ring, from the left."""
    high, wide = crop.shape[:2]
    corners = lines.quads(found, least=settings.least, unclip=settings.unclip, most=settings.most_lines)
    corners = corners[np.argsort(corners[:, :, 0].min(axis=1), kind="stable")]
    boxes = [ring.box_around(c, where, wide, high, foot=foot) for c in corners]
    return [
        _Line(lines.strips(strip, c), box, ring.letter_height(min(lines.sides(c)), where), "ring")
        for c, box in zip(corners, boxes, strict=True)
        if box[0] < box[2] and box[1] < box[3]  # a leaning ring may reach outside of the crop
    ]


def _without_echoes(read: Sequence[TextLine]) -> tuple[TextLine, ...]:
    """Lines that stand where a surer one does left out: each strip of a ring shows a part of the other's words upside down."""
    boxes = np.array([line.box for line in read], np.float32).reshape(-1, 4)
    shared = intersection(boxes, boxes) > ECHO * np.maximum(area(boxes), 1e-6)[:, None]
    surer = np.array([[b.confidence > a.confidence for b in read] for a in read], bool).reshape(len(read), len(read))
    return tuple(line for line, echo in zip(read, (shared & surer).any(axis=1), strict=True) if not echo)


def _box(corners: Floats, width: int, height: int) -> Box:
    around = np.concatenate([corners.min(axis=0), corners.max(axis=0)])[None]
    left, top, right, bottom = clip(np.asarray(around, np.float32), width, height)[0].tolist()
    return (left, top, right, bottom)


def _to_height(strip: Pixels) -> Pixels:
    """A line stretched to the recogniser's height, its width by its aspect, in steps."""
    high, wide = strip.shape[:2]
    width = round(wide * HEIGHT / high / WIDTH_STEP) * WIDTH_STEP
    size = (min(max(width, LEAST_WIDTH), MOST_WIDTH), HEIGHT)
    shrinks = size[0] <= wide and size[1] <= high
    return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)


def to_input(pictures: Sequence[Pixels]) -> Floats:
    """Pictures of one shape (h, w, 3) uint8 RGB to one batch (n, 3, h, w) float32: blue, green, red, from -1 to 1."""
    stacked = np.stack([p[..., ::-1].transpose(2, 0, 1) for p in pictures])
    return np.asarray(stacked, np.float32) / np.float32(127.5) - np.float32(1)


def _run(session: Any, pictures: Sequence[Pixels]) -> list[Floats]:
    """A network's first output for each picture (h, w, 3) uint8 RGB; those of one shape run together."""
    name = session.get_inputs()[0].name
    outputs: dict[int, Floats] = {}
    for shape in dict.fromkeys(p.shape for p in pictures):
        same = [i for i, p in enumerate(pictures) if p.shape == shape]
        for start in range(0, len(same), BATCH):
            rows = same[start : start + BATCH]
            outputs |= dict(zip(rows, session.run(None, {name: to_input([pictures[i] for i in rows])})[0], strict=True))
    return [outputs[i] for i in range(len(pictures))]
