"""The pictures that a detector does worst on, as rows and as a contact sheet: false boxes, and what it missed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vision.errors import PictureError
from vision.evaluate.boxes import covered
from vision.evaluate.metrics import Floats, greedy_hits
from vision.evaluate.truth import Seen, Truth, fullest
from vision.files import write_atomically
from vision.geometry import Boxes, area, intersection
from vision.images import read_picture
from vision.report.sheet import contact_sheet, fit
from vision.values import Pixels

TRUTH, HIT, FALSE = (40, 200, 90), (60, 130, 255), (255, 60, 60)
ON_SHEET = 48
# A false box is a double of a mark that has its hit already, a part of one (that share of it lies inside), loosely on one, or
# elsewhere. A missed mark has a good box that scores too low, only loose ones, or none. TIDE (Bolya et al. 2020) cuts alike.
PART, LOOSE = 0.8, 0.1
TILE, COLUMNS = 320, 8


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """One picture at the operating point, every visible logo counted where it was looked at again.

    false, hits: (n, 4) boxes, best score first, false ones with their scores. missed: (m, 4), largest first. true: all marks.
    false_why: "double", "part", "loose" or "elsewhere" for each. missed_why: "low score", "loose" or "nothing" for each.
    """

    set: str
    seen: Seen
    true: Boxes
    hits: Boxes
    false: Boxes
    false_scores: tuple[float, ...]
    false_why: tuple[str, ...]
    missed: Boxes
    missed_why: tuple[str, ...]

    @property
    def largest_missed(self) -> float:
        """Share of the picture that the largest missed mark covers."""
        target = self.seen.target
        return float(area(self.missed).max(initial=0)) / (target.width * target.height)

    def row(self, kind: str) -> dict[str, Any]:
        """Plain JSON types."""
        false = zip(_rounded(self.false), self.false_scores, self.false_why, strict=True)
        missed = zip(_rounded(self.missed), self.missed_why, strict=True)
        return {
            "set": self.set,
            "kind": kind,
            "image": self.seen.target.image,
            "false": [{"box": box, "score": score, "why": why} for box, score, why in false],
            "missed": [{"box": box, "why": why} for box, why in missed],
            "hits": _rounded(self.hits),
            "true": _rounded(self.true),
        }


def _rounded(boxes: Boxes) -> list[list[float]]:
    return [[round(float(v), 1) for v in box] for box in boxes]


def find_mistakes(sets: Mapping[str, Sequence[Seen]], score: float) -> list[Mistakes]:
    """The pictures with mistakes, the worst first: in turn one with the next best false box, one with the next largest miss."""
    found = []
    for name, seen in sets.items():
        for one in seen:
            view = fullest(one.truths)
            truth, reported = one.truths[view], one.scores >= score
            boxes, scores, overlaps = one.boxes[reported], one.scores[reported], one.overlaps[view][reported]
            hits = greedy_hits(overlaps, scores)
            false = ~hits & ~covered(boxes, truth.regions)
            lost = np.flatnonzero(overlaps.max(axis=0, initial=-1.0) < 0.5)
            if not false.any() and not len(lost):
                continue
            wrong = np.flatnonzero(false)
            wrong = wrong[np.argsort(-scores[wrong], kind="stable")]
            lost = lost[np.argsort(-area(truth.boxes[lost]), kind="stable")]
            found.append(
                Mistakes(
                    name,
                    one,
                    truth.boxes,
                    boxes[hits],
                    boxes[wrong],
                    tuple(round(float(s), 4) for s in scores[wrong]),
                    tuple(_why_false(boxes[i], overlaps[i], truth) for i in wrong),
                    truth.boxes[lost],
                    tuple(_why_missed(one.overlaps[view][:, j]) for j in lost),
                )
            )
    by_false = sorted((m for m in found if m.false_scores), key=lambda m: -m.false_scores[0])
    by_missed = sorted((m for m in found if len(m.missed)), key=lambda m: -m.largest_missed)
    turns = chain.from_iterable(zip_longest(by_false, by_missed))
    return list({id(m): m for m in turns if m is not None}.values())


def _why_false(box: Boxes, overlaps: Floats, truth: Truth) -> str:
    best = overlaps.max(initial=0.0)
    if best >= 0.5:
        return "double"
    marks = np.concatenate([box[None, :][:0], *truth.marks])
    inside = intersection(box[None], marks)[0].max(initial=0.0) >= PART * area(box[None])[0]
    return "part" if inside else "loose" if best >= LOOSE else "elsewhere"


def _why_missed(overlaps: Floats) -> str:
    best = overlaps.max(initial=0.0)
    return "low score" if best >= 0.5 else "loose" if best >= LOOSE else "nothing"


def count_reasons(mistakes: Sequence[Mistakes]) -> dict[str, dict[str, int]]:
    """How often each reason holds, over all pictures: {"false": {"part": 12, …}, "missed": {"low score": 30, …}}."""
    false = Counter(why for one in mistakes for why in one.false_why)
    missed = Counter(why for one in mistakes for why in one.missed_why)
    return {"false": dict(false.most_common()), "missed": dict(missed.most_common())}


def write_worst(out: Path, mistakes: Mapping[str, Sequence[Mistakes]]) -> None:
    """`worst.jsonl`, all pictures with mistakes, and `worst.jpg`, the first of each kind: truth green, hits blue, false red."""
    rows = [one.row(kind) for kind, own in mistakes.items() for one in own]
    write_atomically(out / "worst.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    kinds = [kind for kind, own in mistakes.items() if own]
    tiles = []
    for kind in kinds:
        for one in mistakes[kind][: ON_SHEET // len(kinds)]:
            target = one.seen.target
            try:
                pixels = read_picture(target.path, reduce_to=2 * TILE).pixels
            except PictureError:
                continue  # judged by rows of another machine; its row says what there was
            best = f"false {one.false_scores[0]:.2f} ({one.false_why[0]})" if one.false_scores else "no false box"
            tiles.append(
                (_drawn(pixels, one), f"{one.set} {kind}\n{target.path.name}\n{best}, missed {len(one.missed)}")
            )
    path = out / "worst.jpg"
    Image.fromarray(contact_sheet(tiles, columns=COLUMNS, tile=TILE)).save(path, quality=85)


def _drawn(pixels: Pixels, mistakes: Mistakes) -> Pixels:
    canvas = Image.fromarray(np.ascontiguousarray(fit(pixels, TILE)))
    target = mistakes.seen.target
    scale = np.array([canvas.width / target.width, canvas.height / target.height] * 2)
    draw = ImageDraw.Draw(canvas)
    for boxes, colour in ((mistakes.true, TRUTH), (mistakes.hits, HIT), (mistakes.false, FALSE)):
        for box in boxes * scale:
            left, top, right, bottom = (float(v) for v in box)
            draw.rectangle((left, top, max(right, left), max(bottom, top)), outline=colour, width=2)
    return np.asarray(canvas)
