"""Labelled boxes become evidence: each is cut out as a scan would, embedded, looked up and read, once for every section.

Pictures are streamed: what is kept of a box is its vector, its nearest brands and the names that were read, some 2 kB. Boxes
come from the labels, shaken as a detector's are where that is asked for, or from the detector itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision import geometry
from vision.datasets.labelled import LabelledPicture
from vision.detect import AnyDetector
from vision.evaluate.recognition.attacks import Attack
from vision.evaluate.recognition.worlds import Neighbors
from vision.images import read_picture
from vision.recognise import Place, Recogniser, Sighting
from vision.scan import DECODE_SIDE, batches, in_order
from vision.values import Box, Embeddings, NameMatch, Picture, TextLine

# A detector's box is a true box's when they overlap this much, as calibration has it.
SAME = 0.5
# What a true box is said to have been found with: about the median of the shipped detector's hits.
TRUE_SCORE = 0.7
# Brands kept of each crop: half of them may be taken out, and fifty are left to rank.
DEPTH = 100
NAMES = 20
# An attacked crop brings so much of its surroundings along, of its sides: turned marks show ground, not black corners.
AROUND = 0.3
_BATCH = 4

Floats = npt.NDArray[np.float32]
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with each box.

    jitter: share of a side by which each edge is moved at most, at random. detector: whose boxes are taken instead.
    attacks: by name. read: names are read too; keep_lines: and what was read is kept, to be compared with other names.
    seed: of jitter and attacks; the same box always gets the same. depth: how many brands are kept of each crop.
    """

    jitter: float = 0.0
    detector: AnyDetector | None = None
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    read: bool = False
    keep_lines: bool = False
    seed: int = 0
    depth: int = DEPTH


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """n boxes of labelled pictures and all that was gathered for them.

    paths: of the pictures, in order. picture: (n,) index into them. boxes: (n, 4) true boxes, pixels of the picture as labelled.
    brands: as the library spells them, else as labelled. sets, sources: one a crop. sides: (n,) short side of the true box.
    cut_sides, scores: (n,) short side of the box that was cut, and the detector's score of it. embeddings: (n, d).
    background: (n,) cosine to the nearest background patch. neighbors: of the library. names: brands whose names were read, best
    first; null where there is no reader. read: (n,) reading was tried. clear_text: (n,) letters were clearly read. lines: what
    was read, where the plan keeps it. attacked: the same crops under each attack.
    missed: (n,) true boxes that the detector did not find; they have no evidence.
    """

    paths: tuple[Path, ...]
    picture: npt.NDArray[np.int64]
    boxes: Floats
    brands: tuple[str, ...]
    sets: tuple[str, ...]
    sources: tuple[str, ...]
    sides: Floats
    cut_sides: Floats
    scores: Floats
    embeddings: Embeddings
    background: Floats
    neighbors: Neighbors
    names: tuple[tuple[NameMatch, ...], ...] | None
    read: npt.NDArray[np.bool_]
    clear_text: npt.NDArray[np.bool_]
    lines: tuple[tuple[TextLine, ...], ...] | None
    attacked: Mapping[str, Crops]
    missed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.brands)

    def take(self, rows: npt.NDArray[np.int64]) -> Crops:
        """Some of the crops, in the order given."""
        return Crops(
            self.paths,
            self.picture[rows],
            self.boxes[rows],
            tuple(self.brands[i] for i in rows),
            tuple(self.sets[i] for i in rows),
            tuple(self.sources[i] for i in rows),
            self.sides[rows],
            self.cut_sides[rows],
            self.scores[rows],
            self.embeddings[rows],
            self.background[rows],
            self.neighbors.take(rows),
            None if self.names is None else tuple(self.names[i] for i in rows),
            self.read[rows],
            self.clear_text[rows],
            None if self.lines is None else tuple(self.lines[i] for i in rows),
            {name: crops.take(rows) for name, crops in self.attacked.items()},
            self.missed[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Crops]) -> Crops:
        """At least one part; the crops of all one after another. The parts are of the same pictures."""
        first = parts[0]

        def rows(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            first.paths,
            rows("picture"),
            rows("boxes"),
            tuple(brand for part in parts for brand in part.brands),
            tuple(name for part in parts for name in part.sets),
            tuple(source for part in parts for source in part.sources),
            rows("sides"),
            rows("cut_sides"),
            rows("scores"),
            rows("embeddings"),
            rows("background"),
            Neighbors.joined([part.neighbors for part in parts]),
            None if first.names is None else tuple(names for part in parts for names in part.names or ()),
            rows("read"),
            rows("clear_text"),
            None if first.lines is None else tuple(lines for part in parts for lines in part.lines or ()),
            {name: cls.joined([part.attacked[name] for part in parts]) for name in first.attacked},
            rows("missed"),
        )


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture with the boxes to cut: of the set's name. brands: one a box, empty for boxes that show none."""

    set: str
    path: Path
    width: int
    height: int
    source: str
    boxes: tuple[Box, ...]
    brands: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    number: int
    box: int
    cut: Floats
    score: float
    seen: Sighting | None
    attacked: Mapping[str, Sighting]


def of_sets(sets: Mapping[str, Sequence[LabelledPicture]]) -> list[Labelled]:
    """The pictures of labelled sets with their logo boxes that name a brand; others, and boxes without area, are left out."""
    found = []
    for name, pictures in sets.items():
        for picture in pictures:
            boxes = [
                b for b in picture.boxes if b.kind == "logo" and b.brand and not b.ignore and _has_area(b.box, picture)
            ]
            if boxes:
                found.append(
                    Labelled(
                        name,
                        picture.path,
                        picture.width,
                        picture.height,
                        picture.source,
                        tuple(b.box for b in boxes),
                        tuple(b.brand or "" for b in boxes),
                    )
                )
    return found


def _has_area(box: Box, picture: LabelledPicture) -> bool:
    corners = geometry.clip(np.array([box], dtype=np.float32), picture.width, picture.height)
    return bool(geometry.area(corners)[0] > 0)


def gather(
    recogniser: Recogniser,
    pictures: Sequence[Labelled],
    plan: Plan,
    *,
    threads: int | None = None,
    progress: Callable[[int], Advance] | None = None,
) -> Crops:
    """Look up every box once. progress: is told how many pictures there are, gives what counts them.

    Raises PictureError for a picture that cannot be read: figures of half a set are figures of another set.
    """
    advance = progress(len(pictures)) if progress else None
    parts: list[Crops] = []

    def work(some: Sequence[tuple[int, Labelled]]) -> tuple[int, Crops]:
        rows = [row for number, labelled in some for row in _rows(recogniser, number, labelled, plan)]
        return len(some), _crops(pictures, paths, rows, plan, recogniser.embedder.dim)

    paths = tuple(p.path for p in pictures)
    with closing(in_order(work, batches(enumerate(pictures), _BATCH), threads=threads)) as done:
        for count, crops in done:
            parts.append(crops)
            if advance:
                advance(count)
    return Crops.joined(parts or [_crops(pictures, paths, [], plan, recogniser.embedder.dim)])


def of_places(recogniser: Recogniser, places: Sequence[Place], brands: Sequence[str], plan: Plan, source: str) -> Crops:
    """Look up places that are at hand, each in a picture of its own."""
    pictures = [
        Labelled(source, Path(p.picture.origin), p.picture.width, p.picture.height, source, (_as_box(p.box),), (brand,))
        for p, brand in zip(places, brands, strict=True)
    ]
    seen = _see(recogniser, places, plan)
    rows = [_Row(i, 0, p.box, p.score, one, {}) for i, (p, one) in enumerate(zip(places, seen, strict=True))]
    return _crops(pictures, tuple(p.path for p in pictures), rows, plan, recogniser.embedder.dim)


def _as_box(box: Floats) -> Box:
    left, top, right, bottom = (float(v) for v in box)
    return (left, top, right, bottom)


def _rows(recogniser: Recogniser, number: int, labelled: Labelled, plan: Plan) -> Iterator[_Row]:
    picture = read_picture(labelled.path, reduce_to=DECODE_SIDE)
    scale = np.array([picture.width / labelled.width, picture.height / labelled.height] * 2, dtype=np.float32)
    true = np.array(labelled.boxes, dtype=np.float32).reshape(-1, 4) * scale
    true = geometry.clip(true, picture.width, picture.height)
    random = np.random.default_rng([plan.seed, number])
    if plan.detector is not None:
        cut, scores = _found(plan.detector, picture, true)
    else:
        cut, scores = shaken(true, plan.jitter, random), np.full(len(true), TRUE_SCORE, np.float32)
        cut = geometry.clip(cut, picture.width, picture.height)
    here = np.flatnonzero(~np.isnan(scores))
    places = [Place(picture, cut[i], float(scores[i])) for i in here]
    seen: list[Sighting | None] = [None] * len(true)
    for at, one in zip(here.tolist(), _see(recogniser, places, plan), strict=True):
        seen[at] = one
    attacked: list[dict[str, Sighting]] = [{} for _ in true]
    for name, attack in plan.attacks.items():
        changed = [
            _attacked(place, attack, np.random.default_rng([plan.seed, number, i]))
            for i, place in zip(here.tolist(), places, strict=True)
        ]
        for at, one in zip(here.tolist(), _see(recogniser, changed, plan), strict=True):
            attacked[at][name] = one
    for i in range(len(true)):
        yield _Row(number, i, cut[i] / scale, float(scores[i]), seen[i], attacked[i])


def _see(recogniser: Recogniser, places: Sequence[Place], plan: Plan) -> list[Sighting]:
    if plan.read:
        return recogniser.see(places, neighbors=plan.depth, names=NAMES)
    return recogniser.look(places, neighbors=plan.depth)


def shaken(boxes: Floats, jitter: float, random: np.random.Generator) -> Floats:
    """(n, 4) boxes with each edge moved by up to `jitter` of the side across it, as a detector's boxes are off."""
    sides = boxes[:, 2:] - boxes[:, :2]
    moves = random.uniform(-jitter, jitter, boxes.shape) * np.concatenate([sides, sides], axis=1)
    return np.asarray(boxes + moves, dtype=np.float32)


def _found(detector: AnyDetector, picture: Picture, true: Floats) -> tuple[Floats, Floats]:
    """The detector's best box on each true one with its score; NaN scores where there is none."""
    found = detector.detect([picture])[0]
    logos = np.array([kind == "logo" for kind in found.kinds], dtype=bool)
    boxes, scores = found.boxes[logos], found.scores[logos]
    if not len(boxes):
        return true, np.full(len(true), np.nan, np.float32)
    overlaps = geometry.iou(true, boxes)
    best = overlaps.argmax(axis=1)
    hit = overlaps.max(axis=1) >= SAME
    return np.where(hit[:, None], boxes[best], true), np.where(hit, scores[best], np.float32(np.nan))


def _attacked(place: Place, attack: Attack, random: np.random.Generator) -> Place:
    """A place in a picture of its own: the box with its surroundings, changed."""
    picture = place.picture
    wide, high = picture.scale
    scale = np.array([wide, high, wide, high], dtype=np.float32)
    size = picture.pixels.shape[1], picture.pixels.shape[0]
    inner = place.box / scale
    outer = geometry.pad(inner[None], AROUND, *size)[0]
    patch = geometry.crop(picture.pixels, outer)
    corner = np.floor(outer[:2])
    pixels, box = attack(patch, inner - np.concatenate([corner, corner]), random)
    height, width = pixels.shape[:2]
    box = geometry.clip(box[None].astype(np.float32), width, height)[0]
    return Place(Picture(np.ascontiguousarray(pixels), width, height, "", "attack"), box, place.score)


def _crops(pictures: Sequence[Labelled], paths: tuple[Path, ...], rows: Sequence[_Row], plan: Plan, dim: int) -> Crops:
    """What a few pictures gave, in compact form."""
    owners = [pictures[row.number] for row in rows]
    boxes = np.array([o.boxes[r.box] for o, r in zip(owners, rows, strict=True)], dtype=np.float32).reshape(-1, 4)
    cut = np.array([r.cut for r in rows], dtype=np.float32).reshape(-1, 4)
    scores = np.array([r.score for r in rows], dtype=np.float32)

    def made(seen: Sequence[Sighting | None], attacked: Mapping[str, Crops], keep: bool) -> Crops:
        embeddings = np.zeros((len(rows), dim), np.float32)
        for i, one in enumerate(seen):
            if one is not None:
                embeddings[i] = one.embedding
        return Crops(
            paths,
            np.array([r.number for r in rows], dtype=np.int64),
            boxes,
            tuple(o.brands[r.box] for o, r in zip(owners, rows, strict=True)),
            tuple(o.set for o in owners),
            tuple(o.source for o in owners),
            _short(boxes),
            _short(cut),
            scores,
            embeddings,
            np.array([0.0 if one is None else one.evidence.background for one in seen], dtype=np.float32),
            Neighbors.of([() if one is None else one.evidence.matches for one in seen]),
            tuple(() if one is None else tuple(one.evidence.names) for one in seen) if plan.read else None,
            np.array([one is not None and one.was_read for one in seen], dtype=bool),
            np.array([one is not None and one.evidence.clear_text for one in seen], dtype=bool),
            tuple(() if one is None else one.lines for one in seen) if keep else None,
            attacked,
            np.isnan(scores),
        )

    attacked = {name: made([r.attacked.get(name) for r in rows], {}, False) for name in plan.attacks}
    return made([r.seen for r in rows], attacked, plan.read and plan.keep_lines)


def _short(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf), dtype=np.float32)
