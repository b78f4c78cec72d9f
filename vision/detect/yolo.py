"""YOLO as an ONNX file: a picture is fitted into the input, the raw output becomes boxes in the picture's own pixels.

In come pictures of any size, out come `Detections`. Everything but `Detector` is a pure function of arrays; suppression needs
numpy only. The model's output is (n, 4 + classes, anchors): centre and size in pixels of the input, then a score a class.
A model takes pictures of any shape, padded to its stride only, or a square: older and foreign exports.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision import weights
from vision.detect.looks import Look, Tiles, Views, check, grid, looks_at, merge, zoom
from vision.errors import UsageError, WeightsError
from vision.geometry import Boxes, area, clip, intersection, nms
from vision.images import read_picture
from vision.values import Detections, Picture, Pixels

Floats = npt.NDArray[np.float32]

GREY = 114  # padding, as in training
STRIDE = 32  # of the coarsest grid of anchors: sides of the input are multiples of it
CANDIDATES = 300  # boxes a kind that enter suppression; a picture with more marks than that has other problems
DEFAULT_IOU = 0.6
DEFAULT_SCORE = 0.25  # of models that come without a card: ultralytics' own default
MOST_DECODED = 4096  # pixels of the longest side; less than twice that are decoded: at most 200 MB a worker
# A box that lies inside a larger one with at least half its score is often a part of that logo; the factor keeps it in the
# ranked list, below whole logos. Whether that helps depends on what a model learned to call one logo: its card says so.
PART_INSIDE, PART_LARGER, PART_SCORE, PART_FACTOR = 0.8, 1.2, 0.5, 0.3
# A mark that covers this share of its picture is the picture's one mark: what lies inside is a part, whatever the card says.
# Measured once, with and without: one logo on a clean drawing .77 to .89 of 150, one product on a packshot .87 to .91 of 150,
# AP50 of the photographs -.015 to +.027.
FILLING = 0.5


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture lies in the input: input = picture × (scale_x, scale_y) + (left, top), in pixels."""

    scale_x: float
    scale_y: float
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What a model file needs to be used rightly.

    size: longest side of its input. kinds: the kind of each class. scores: operating point by kind. max_iou: of suppression.
    parts: whether parts of larger boxes are pushed down. stride: both sides of the input are the smallest multiples of it that
    hold the picture; None for a model whose input is a square of `size`.
    """

    size: int
    kinds: tuple[str, ...]
    scores: Mapping[str, float]
    max_iou: float = DEFAULT_IOU
    parts: bool = True
    stride: int | None = None


def letterbox(pixels: Pixels, size: int, stride: int | None = None) -> tuple[Pixels, Fit]:
    """Fit (h, w, 3) uint8 into a square of `size`, or with a stride into the smallest multiples of it, `size` the longer side.

    Aspect kept, centred on grey, shrunk by area averaging.
    """
    high, wide = pixels.shape[:2]
    scale = size / max(high, wide)
    new_wide, new_high = max(1, round(wide * scale)), max(1, round(high * scale))
    if (new_wide, new_high) != (wide, high):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (new_wide, new_high), interpolation=method), np.uint8)
    in_wide, in_high = (
        (size, size) if stride is None else (-(-side // stride) * stride for side in (new_wide, new_high))
    )
    left, top = (in_wide - new_wide) // 2, (in_high - new_high) // 2
    filled = np.full((in_high, in_wide, 3), GREY, np.uint8)
    filled[top : top + new_high, left : left + new_wide] = pixels
    return filled, Fit(new_wide / wide, new_high / high, left, top)


def from_square(boxes: Boxes, fit: Fit, width: int, height: int) -> Boxes:
    """Boxes in pixels of the input, square or not, to boxes in pixels of the (height, width) picture, cut at its borders."""
    moved = boxes - np.array([fit.left, fit.top, fit.left, fit.top], np.float32)
    scale = np.array([fit.scale_x, fit.scale_y, fit.scale_x, fit.scale_y], np.float32)
    return clip(np.asarray(moved / scale, np.float32), width, height)


def to_input(fitted: Sequence[Pixels]) -> Floats:
    """Pictures of one shape (h, w, 3) uint8 RGB to one batch (n, 3, h, w) float32 in [0, 1]."""
    stacked = np.stack([s.transpose(2, 0, 1) for s in fitted])
    return np.asarray(stacked, np.float32) / np.float32(255)


def decode(
    raw: Floats,
    kinds: Sequence[str],
    *,
    min_score: float | Mapping[str, float],
    max_iou: float,
    max_boxes: int,
    parts: bool,
    filling: float = math.inf,
) -> tuple[Boxes, tuple[str, ...], Floats]:
    """Raw output (4 + classes, anchors) to boxes (n, 4) in pixels of the input, kinds and scores, best first.

    An anchor counts once for each kind, with its best class of that kind. min_score may differ by kind.
    parts: whether parts of larger boxes are pushed down. filling: area in square pixels from which on they are in any case.
    Suppression is by kind: a logo on a product is two things.
    """
    found: list[tuple[Boxes, str, Floats]] = []
    for kind in dict.fromkeys(kinds):
        rows = [4 + i for i, k in enumerate(kinds) if k == kind]
        scores = raw[rows].max(axis=0)
        least = min_score[kind] if isinstance(min_score, Mapping) else min_score
        # what makes a box a part may itself score too low to be reported: a higher bar must not change what is a part
        chosen = np.flatnonzero(scores >= least * PART_SCORE)
        if len(chosen) > CANDIDATES:
            chosen = chosen[np.argsort(-scores[chosen], kind="stable")[:CANDIDATES]]
        centre, half = raw[:2, chosen].T, raw[2:4, chosen].T / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
        kept = nms(boxes, scores[chosen], max_iou)
        boxes, scores = boxes[kept], scores[chosen][kept]
        scores = without_parts(boxes, scores, larger_than=0.0 if parts else filling)
        above = scores >= least
        boxes, scores = boxes[above], scores[above]
        found.append((boxes, kind, scores))
    boxes = np.concatenate([b for b, _, _ in found])
    scores = np.concatenate([s for _, _, s in found]).astype(np.float32)
    names = [k for b, k, _ in found for _ in range(len(b))]
    order = np.argsort(-scores, kind="stable")[:max_boxes]
    return boxes[order], tuple(names[i] for i in order), scores[order]


def without_parts(boxes: Boxes, scores: Floats, *, larger_than: float = 0.0) -> Floats:
    """Scores with those of parts lowered: boxes that lie inside a larger box of at least half their score.

    larger_than: area in square pixels under which a box has no parts.
    """
    sizes = area(boxes)
    inside = intersection(boxes, boxes) >= PART_INSIDE * np.maximum(sizes[:, None], 1e-6)
    larger = sizes[None, :] > PART_LARGER * sizes[:, None]
    larger &= sizes[None, :] >= larger_than
    strong = scores[None, :] >= PART_SCORE * scores[:, None]
    part = (inside & larger & strong).any(axis=1)
    return np.asarray(np.where(part, scores * PART_FACTOR, scores), np.float32)


def kinds_of(names: Mapping[int, str] | Sequence[str]) -> tuple[str, ...]:
    """The kind of each class of someone's own model, by its name.

    A class is a product when its name says so ("product", "package", "bottle", …), else a logo; so is an only class.
    """
    texts = [names[i] for i in sorted(names)] if isinstance(names, Mapping) else list(names)
    if len(texts) == 1 and "product" not in texts[0].lower():
        return ("logo",)
    words = ("product", "package", "packshot", "bottle", "carton", "pack")
    return tuple("product" if any(w in t.lower().split() or t.lower() == w for w in words) else "logo" for t in texts)


class Detector:
    """A YOLO model behind onnxruntime. Holds nothing that changes, so threads may share it."""

    def __init__(self, session: Any, settings: Settings, *, name: str, checksum: str) -> None:
        self._session, self.settings = session, settings
        self.name, self.checksum = name, checksum
        given = session.get_inputs()[0]
        self._input, batch = given.name, given.shape[0]
        self._fixed_batch = isinstance(batch, int)
        self._batch = batch if self._fixed_batch else 16

    @property
    def operating_point(self) -> float:
        """The lowest score of a box that is reported without `min_score`."""
        return min(self.settings.scores.values())

    @property
    def operating_points(self) -> Mapping[str, float]:
        """The score from which a box of each kind is reported without `min_score`."""
        return self.settings.scores

    @classmethod
    def load(
        cls, path: Path | str | None = None, *, size: int | None = None, threads: int = 1, device: str = "auto"
    ) -> Detector:
        """The shipped model (verified by the manifest), a model folder made by training or import, or an ONNX export of a YOLO.

        size: longest side of its input, a multiple of 32; None takes the one that the model was measured with.
        Raises WeightsError (missing, wrong_checksum, unknown_card), BackendError (no_device), UsageError (bad_option) for a
        size that the model cannot take.
        """
        card: dict[str, Any] | None
        if path is None:
            model = weights.load("detector")
            file, card, checksum = model.file("model.onnx"), model.card, model.checksums["model.onnx"]
        else:
            file, card, checksum = _own(Path(path))
        session = weights.session(file, threads=threads, device=device)
        if card is None:
            known, name = _settings_of_export(session, file), file.stem
        else:
            known, name = _settings_of_card(session, card, file), str(card.get("name", file.stem))
        return cls(session, _at_size(known, size, file), name=name, checksum=checksum)

    def detect(
        self,
        images: Sequence[Any],
        *,
        min_score: float | Mapping[str, float] | None = None,
        max_boxes: int = 100,
        tiles: Tiles = "off",
        views: Views = "off",
    ) -> list[Detections]:
        """Find logos and products.

        images: anything that `read_picture` takes: paths, bytes, PIL images, (h, w, 3) uint8 RGB arrays, `Picture`s.
        min_score: in [0, 1], one for all kinds or by kind; None means their operating points. max_boxes: at least 1, over all
        kinds. tiles: besides the whole picture look at n × n overlapping tiles of it; "auto": as many as a large one is worth.
        views: look at everything mirrored too ("flip"), turned by quarters ("turns"), or both ("all"). Time grows by the looks.
        Gives one `Detections` a picture; boxes in full-scale pixels, inside the picture, never without area.
        Raises PictureError for a picture that cannot be read, UsageError (bad_option).
        """
        known = self.settings.scores
        least = known if min_score is None else min_score
        if not all(0 <= s <= 1 for s in (least.values() if isinstance(least, Mapping) else (least,))):
            raise UsageError("bad_option", f"min_score {min_score} is not in [0, 1]")
        if isinstance(least, Mapping):
            least = {kind: least.get(kind, score) for kind, score in known.items()}
        if max_boxes < 1:
            raise UsageError("bad_option", f"max_boxes {max_boxes} is less than 1")
        check(tiles, views)
        found: list[Detections] = []
        for start in range(0, len(images), self._batch):
            pictures = [read_picture(i) for i in images[start : start + self._batch]]
            seen = [self._looks(p, tiles, views) for p in pictures]
            jobs = [(p.pixels, look) for p, looks in zip(pictures, seen, strict=True) for look in looks]
            answers = iter(self._look(jobs, least, max_boxes))
            for picture, looks in zip(pictures, seen, strict=True):
                high, wide = picture.pixels.shape[:2]
                own = [(look, next(answers)) for look in looks]
                one = merge(own, wide, high, max_iou=self.settings.max_iou, max_boxes=max_boxes)
                found.append(_at_full_scale(one, picture))
        return found

    def decode_side(self, width: int, height: int, tiles: Tiles) -> int:
        """The longest side to decode a picture of that full-scale size at, for tiles; 1 when it has none.

        Twice what the network sees of them, so that marks of ten of its pixels have crops of twenty; bounded, as memory is.
        """
        columns, rows = grid(width, height, self.settings.size, tiles)
        return (
            min(MOST_DECODED, math.ceil(2 * self.settings.size * zoom(columns, rows)))
            if (columns, rows) != (1, 1)
            else 1
        )

    def _looks(self, picture: Picture, tiles: Tiles, views: Views) -> list[Look]:
        high, wide = picture.pixels.shape[:2]
        return looks_at(wide, high, grid(picture.width, picture.height, self.settings.size, tiles), views)

    def _look(
        self, jobs: Sequence[tuple[Pixels, Look]], least: float | Mapping[str, float], max_boxes: int
    ) -> Iterator[Detections]:
        """What each look at its picture's pixels finds, in pixels of that picture, in order."""
        known = self.settings
        for start in range(0, len(jobs), self._batch):
            some = jobs[start : start + self._batch]
            fitted = [letterbox(look.of(pixels), known.size, known.stride) for pixels, look in some]
            for (_, look), (_, fit), raw in zip(some, fitted, self._run([f for f, _ in fitted]), strict=True):
                wide, high = look.shown
                boxes, kinds, scores = decode(
                    raw,
                    known.kinds,
                    min_score=least,
                    max_iou=known.max_iou,
                    max_boxes=max_boxes,
                    parts=known.parts,
                    filling=FILLING * wide * fit.scale_x * high * fit.scale_y,
                )
                yield Detections(look.back(from_square(boxes, fit, wide, high)), kinds, scores)

    def _run(self, fitted: Sequence[Pixels]) -> list[Floats]:
        """The raw output for each of at most a batch of pictures; those of one shape run together."""
        outputs: dict[int, Floats] = {}
        for shape in dict.fromkeys(f.shape for f in fitted):
            rows = [i for i, f in enumerate(fitted) if f.shape == shape]
            batch = to_input([fitted[i] for i in rows])
            spare = self._batch - len(batch) if self._fixed_batch else 0
            if spare:  # a model with a fixed batch gets grey pictures in the empty places
                batch = np.concatenate([batch, np.full((spare, *batch.shape[1:]), GREY / 255, np.float32)])
            raw = self._session.run(None, {self._input: batch})[0]
            outputs |= {row: np.asarray(output, np.float32) for row, output in zip(rows, raw, strict=False)}
        return [outputs[i] for i in range(len(fitted))]


def _at_full_scale(found: Detections, picture: Picture) -> Detections:
    """Boxes in pixels of the decoded picture to the full upright picture's, those without area left out."""
    boxes = clip(found.boxes * np.array(picture.scale * 2, np.float32), picture.width, picture.height)
    real = area(boxes) > 0
    return Detections(boxes[real], tuple(k for k, r in zip(found.kinds, real, strict=True) if r), found.scores[real])


def _own(path: Path) -> tuple[Path, dict[str, Any] | None, str]:
    """A user's model: its file, its card unless it has none that belongs to it, and its sha256. Raises WeightsError (missing)."""
    card_path = path / "card.json" if path.is_dir() else path.with_name("card.json")
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        raise WeightsError("missing", "no such model file", path=str(file))
    checksum = weights.digest(file)
    card = _card_beside(card_path)
    return file, card if card.get("onnx_sha256") == checksum else None, checksum


def _settings_of_card(session: Any, card: dict[str, Any], path: Path) -> Settings:
    """What a card says. Raises WeightsError (unknown_card)."""
    try:
        return Settings(
            size=int(card["input"]["size"]),
            kinds=tuple(card["kinds"]),
            scores={str(k): float(v) for k, v in card["operating_point"].items()},
            max_iou=float(card["nms_iou"]),
            parts=bool(card["part_suppression"]),
            stride=_free_stride(session),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError("unknown_card", f"the card of a detector lacks {error}", path=str(path)) from None


def _free_stride(session: Any, stride: int = STRIDE) -> int | None:
    """The stride of a model that takes pictures of any shape; None of one whose sides are fixed."""
    shape = session.get_inputs()[0].shape
    return None if any(isinstance(side, int) for side in shape[2:]) else stride


def _at_size(known: Settings, size: int | None, path: Path) -> Settings:
    """The settings for another longest side. Raises UsageError (bad_option)."""
    if size is None or size == known.size:
        return known
    if known.stride is None:
        raise UsageError(
            "bad_option",
            f"its input is fixed at {known.size} pixels, it cannot be {size}",
            path=str(path),
            hint="export with ultralytics: format=onnx, dynamic=True",
        )
    if size < known.stride or size % known.stride:
        raise UsageError("bad_option", f"size {size} is not a multiple of {known.stride}")
    return replace(known, size=size)


def _card_beside(path: Path) -> dict[str, Any]:
    """The card of a model folder that is not in a manifest; empty when there is none."""
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError("unknown_card", f"the card is no JSON: {error}", path=str(path)) from None
    return card if isinstance(card, dict) and card.get("schema") == weights.CARD_SCHEMA else {}


def _settings_of_export(session: Any, path: Path) -> Settings:
    """What an ultralytics export says of itself: input size from its shape or metadata, class names from its metadata."""
    given, output = session.get_inputs(), session.get_outputs()
    shape = given[0].shape if len(given) == 1 else []
    out_shape = output[0].shape
    if len(shape) != 4 or shape[1] != 3 or len(out_shape) != 3:
        raise WeightsError(
            "unknown_card",
            f"input {shape} and output {out_shape} are not those of a YOLO detector",
            path=str(path),
            hint="export with ultralytics: format=onnx, nms=False",
        )
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        names = ast.literal_eval(metadata["names"]) if "names" in metadata else None
        stated = max(ast.literal_eval(metadata["imgsz"])) if "imgsz" in metadata else 640
        stride = int(metadata.get("stride", STRIDE))
    except (ValueError, SyntaxError, IndexError, TypeError) as error:
        raise WeightsError("unknown_card", f"its metadata cannot be read: {error}", path=str(path)) from None
    size = next((side for side in shape[2:] if isinstance(side, int)), int(stated))
    if any(isinstance(side, int) and side != size for side in shape[2:]):
        raise WeightsError(
            "unknown_card", f"input {shape} is not square", path=str(path), hint="export with a square imgsz"
        )
    classes = out_shape[1] - 4 if isinstance(out_shape[1], int) else len(names or ())
    kinds = kinds_of(names if names else [str(i) for i in range(classes)])
    if classes < 1 or len(kinds) != classes:
        raise WeightsError(
            "unknown_card",
            f"output {out_shape} does not hold the scores of {len(kinds)} classes",
            path=str(path),
            hint="export with ultralytics: format=onnx, nms=False",
        )
    scores = dict.fromkeys(kinds, DEFAULT_SCORE)
    return Settings(size=size, kinds=kinds, scores=scores, parts=False, stride=_free_stride(session, stride))
