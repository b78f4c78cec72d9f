"""The pictures that a detector does worst on, as rows and as a contact sheet: false boxes, and what it missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vision.errors import PictureError
from vision.evaluate.boxes import covered
from vision.evaluate.metrics import greedy_hits
from vision.evaluate.truth import Seen, fullest
from vision.geometry import Boxes, area
from vision.images import read_picture
from vision.report.sheet import contact_sheet, fit
from vision.values import Pixels
from vision.weights import write_atomically

TRUTH, HIT, FALSE = (40, 200, 90), (60, 130, 255), (255, 60, 60)
ON_SHEET = 48
TILE, COLUMNS = 320, 8


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """One picture at the operating point, every visible logo counted where it was looked at again.

    false, hits: (n, 4) boxes, best score first, false ones with their scores. missed: (m, 4), largest first. true: all marks.
    """

    set: str
    seen: Seen
    true: Boxes
    hits: Boxes
    false: Boxes
    false_scores: tuple[float, ...]
    missed: Boxes

    @property
    def largest_missed(self) -> float:
        """Share of the picture that the largest missed mark covers."""
        target = self.seen.target
        return float(area(self.missed).max(initial=0)) / (target.width * target.height)

    def row(self, kind: str) -> dict[str, Any]:
        """Plain JSON types."""
        rounded = {name: np.round(boxes.astype(float), 1).tolist() for name, boxes in self._boxes().items()}
        false = [{"box": b, "score": s} for b, s in zip(rounded.pop("false"), self.false_scores, strict=True)]
        return {"set": self.set, "kind": kind, "image": self.seen.target.image, "false": false, **rounded}

    def _boxes(self) -> dict[str, Boxes]:
        return {"false": self.false, "missed": self.missed, "hits": self.hits, "true": self.true}


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
            missed = truth.boxes[overlaps.max(axis=0, initial=-1.0) < 0.5]
            if false.any() or len(missed):
                order = np.argsort(-scores[false], kind="stable")
                ranked = tuple(round(float(s), 4) for s in scores[false][order])
                missed = missed[np.argsort(-area(missed), kind="stable")]
                found.append(Mistakes(name, one, truth.boxes, boxes[hits], boxes[false][order], ranked, missed))
    by_false = sorted((m for m in found if m.false_scores), key=lambda m: -m.false_scores[0])
    by_missed = sorted((m for m in found if len(m.missed)), key=lambda m: -m.largest_missed)
    turns = chain.from_iterable(zip_longest(by_false, by_missed))
    return list({id(m): m for m in turns if m is not None}.values())


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
            best = f"false {one.false_scores[0]:.2f}" if one.false_scores else "no false box"
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
