"""What there is to find in labelled pictures, seen in three ways, and the rows of a scan that belong to them.

`boxed`: the boxes of the source, nothing else. Sources leave logos unboxed; where a person looked for those (`extra_boxes.jsonl`
beside the set), there are two more views: `unboxed_ignored`, in which they neither help nor hurt, and `every_logo`, in which the
sure ones are to be found too. There a mark may be boxed in several ways: the symbol, the word beside it, or the whole lock-up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from vision.datasets.jsonl import read_extra_boxes
from vision.datasets.labelled import LabelledPicture, brand_key, read_set
from vision.datasets.reading import split_chosen
from vision.evaluate.boxes import Ranked, as_boxes, rank
from vision.evaluate.metrics import Floats
from vision.geometry import Boxes, iou
from vision.report.rows import read_rows
from vision.values import Result

BOXED, UNBOXED_IGNORED, EVERY_LOGO = "boxed", "unboxed_ignored", "every_logo"
VIEWS = (BOXED, UNBOXED_IGNORED, EVERY_LOGO)
KINDS = ("logo", "product")
# A sure extra box of the same brand belongs to a source box when the gap between them is at most this share of the lower one's
# height: symbol and word of one lock-up.
LOCK_UP_GAP = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """marks: for each mark to find the (n, 4) boxes that all stand for it, the source's first. regions: (r, 4), left out."""

    marks: tuple[Boxes, ...]
    regions: Boxes

    @property
    def boxes(self) -> Boxes:
        """The first box of each mark, (m, 4)."""
        return np.concatenate([as_boxes([]), *(m[:1] for m in self.marks)])

    def overlaps(self, boxes: Boxes) -> Floats:
        """IoU of (n, 4) boxes with the best box of each of m marks: (n, m)."""
        columns = [iou(boxes, mark).max(axis=1) for mark in self.marks]
        return np.stack(columns, axis=1) if columns else np.zeros((len(boxes), 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One labelled picture. image: its path as the set has it. truths: by kind, then by view; boxes in pixels of the labels."""

    path: Path
    image: str
    width: int
    height: int
    truths: Mapping[str, Mapping[str, Truth]]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was found of one kind in one target. boxes: (n, 4) in pixels of the labels. scores: (n,). missing: no usable row."""

    target: Target
    truths: Mapping[str, Truth]
    boxes: Boxes
    scores: Floats
    overlaps: Mapping[str, Floats]
    ranked: Mapping[str, Ranked]
    missing: bool


def read_targets(path: Path) -> list[Target]:
    """The pictures of a set in its order. Raises DatasetError (missing, bad_label, leaking_split)."""
    pictures = read_set(path, extra_boxes=False)
    root, _ = split_chosen(path)
    root = root if root.is_dir() else root.parent
    again = read_extra_boxes(root)
    targets = []
    for picture in pictures:
        inside = picture.path.is_relative_to(root)
        image = picture.path.relative_to(root).as_posix() if inside else picture.path.as_posix()
        truths = {kind: {BOXED: _boxed(picture, kind)} for kind in KINDS}
        if image in again:
            truths["logo"] |= _views(picture, again[image])
        targets.append(Target(picture.path, image, picture.width, picture.height, truths))
    return targets


def _boxed(picture: LabelledPicture, kind: str) -> Truth:
    own = [b for b in picture.boxes if b.kind == kind and not b.extra]
    marks = tuple(as_boxes([b.box]) for b in own if not b.ignore)
    return Truth(marks, as_boxes([b.box for b in own if b.ignore]))


def _views(picture: LabelledPicture, again: Mapping[str, Any]) -> dict[str, Truth]:
    """The two views of the logos in a picture that was looked at again, from the row that says what was found there."""
    extra = again.get("extra", [])
    double = set(again.get("double", []))
    sure = [e for e in extra if e.get("sure", True) and not e.get("group")]
    tight = dict(again.get("tight", []))
    parts = as_boxes([e["box"] for e in sure])
    joined = np.zeros(len(sure), bool)
    sourced = []
    regions = [e["box"] for e in extra if e not in sure]
    regions += [b.box for i, b in enumerate(picture.boxes) if i in double or (b.kind == "logo" and b.ignore)]
    for index, source in enumerate(picture.boxes):
        if source.kind != "logo" or source.ignore or index in double:
            continue
        box = as_boxes([tight.get(index, source.box)])
        own = np.array([brand_key(e.get("brand") or "") == brand_key(source.brand or "") for e in sure], bool)
        own &= _near(box, parts)
        lock_ups = np.concatenate([np.minimum(box, parts[own])[:, :2], np.maximum(box, parts[own])[:, 2:]], axis=1)
        sourced.append(np.concatenate([as_boxes([source.box]), box, parts[own], lock_ups]))
        joined |= own
    further = [p[None] for p in parts[~joined]]
    left_out = np.concatenate([as_boxes(regions), parts[joined]])
    return {
        UNBOXED_IGNORED: Truth(tuple(sourced), np.concatenate([parts[~joined], left_out])),
        EVERY_LOGO: Truth((*sourced, *further), left_out),
    }


def _near(box: Boxes, parts: Boxes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of (n, 4) parts stand so near to a (1, 4) box that both may be one lock-up."""
    gap = np.maximum(np.maximum(box[:, :2], parts[:, :2]) - np.minimum(box[:, 2:], parts[:, 2:]), 0).max(axis=1)
    lower = np.minimum(box[:, 3] - box[:, 1], parts[:, 3] - parts[:, 1])
    return np.asarray(gap <= LOCK_UP_GAP * lower)


def read_results(path: Path) -> dict[str, list[Result]]:
    """The rows of a results.jsonl by file name. Raises DatasetError (missing, bad_row)."""
    by_name: dict[str, list[Result]] = {}
    for row in read_rows(path):
        by_name.setdefault(Path(row.path).name, []).append(row)
    return by_name


def row_of(target: Target, results: Mapping[str, Sequence[Result]]) -> Result | None:
    """The row of a target, by `rows_of`; null when it was not read."""
    return next((r for r in rows_of(target.path, target.image, results) if r.status == "ok"), None)


def rows_of(path: Path, image: str, results: Mapping[str, Sequence[Result]]) -> list[Result]:
    """The rows of one picture: those of its own path, else of the path that has the longest ending in common with it.

    image: its path as the set, or the scan, has it. A file name alone is enough where only one path has it. No rows where several
    paths fit equally: better a picture that was not read than one that is judged by what another shows.
    """
    named = results.get(path.name, [])
    own = Path(os.path.normpath(path.absolute()))  # sets may name pictures by "../"
    by_ending: dict[int, list[Result]] = {}
    for row in [r for r in named if r.path in (str(path), image)] or named:
        by_ending.setdefault(_in_common(own, Path(row.path)), []).append(row)
    best = by_ending[max(by_ending)] if by_ending else []
    return best if len({r.path for r in best}) == 1 else []


def _in_common(one: Path, other: Path) -> int:
    """How many parts the ends of two paths have in common."""
    return sum(takewhile(bool, (a == b for a, b in zip(one.parts[::-1], other.parts[::-1], strict=False))))


def see(target: Target, row: Result | None, kind: str) -> Seen:
    """Judge the boxes of one kind in a row; those of a copy of another size are scaled. No row counts as nothing found."""
    own = [f for f in row.findings if f.kind == kind] if row else []
    scale = np.ones(4)
    if row and row.width and row.height:
        scale = np.array([target.width / row.width, target.height / row.height] * 2)
    boxes = np.asarray(np.array([f.box for f in own], np.float64).reshape(-1, 4) * scale, np.float32)
    scores = np.array([f.score for f in own], np.float64)
    truths = target.truths[kind]
    overlaps = {view: truth.overlaps(boxes) for view, truth in truths.items()}
    ranked = {view: rank(boxes, scores, overlaps[view], truth.regions) for view, truth in truths.items()}
    return Seen(target, truths, boxes, scores, overlaps, ranked, row is None)


def is_boxed(targets: Sequence[Target], kind: str) -> bool:
    """True when the source of these pictures boxes that kind."""
    return any(target.truths[kind][BOXED].marks for target in targets)


def fullest(views: Mapping[str, Any]) -> str:
    """The view that says most surely what is false: every logo where pictures were looked at again, else the source's boxes."""
    return EVERY_LOGO if EVERY_LOGO in views else BOXED
