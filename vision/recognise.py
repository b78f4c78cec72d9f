"""`Recogniser`: what a box resembles and what can be read in it, gathered as evidence for a verdict.

Boxes go in with their pictures, one `Sighting` each comes out, in the same order. Scanning, calibration and evaluation gather
their evidence here, so that what is measured is what is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from vision import geometry
from vision.errors import UsageError
from vision.values import (
    Detections,
    Embeddings,
    Kind,
    Match,
    NameMatch,
    Orientation,
    Picture,
    Pixels,
    Reading,
    TextLine,
)
from vision.verdict import Calibration
from vision.verdict.evidence import Evidence, adjusted_similarity

if TYPE_CHECKING:
    from vision.embed import Embedder
    from vision.library import Library
    from vision.text import TextReader

Text = Literal["auto", "always", "off"]

# Boxes are loose and marks touch their edge: crops are taken with this margin, as those of the library's photo references are.
CROP_PADDING = 0.075
# Text is read with a wider margin: a detector's box cuts letters off. Measured in a trial with shaken boxes.
READ_PADDING = 0.15
# The detector's score from which logos are looked at. Under its operating point most are none, and count only where they carry a
# known brand: one in six of the claims on pictures of brands that no model learned from.
LOOKED_AT = 0.1
NEIGHBORS = 10
MOST_NAMES = 5
# Marks with a shorter side, in pixels that were decoded, are not read: a name was near in 5 of 100 boxes under 16 px. Where the
# detector is not sure, 1 of 34 that reading named was under 20 px, and every third one of a brand-free photograph.
LEAST_READ, LEAST_READ_UNSURE = 14.0, 20.0
# With `auto` nothing is read where vision alone is at least this sure of a brand.
SURE = 0.985
# A line that fits no name is told when it is at least this clear; symbols give single letters and worse.
LEAST_CLEAR = 0.6
# What is read in the whole crop taken as one line, or round a ring, counts this many points less than a line that was found.
FALLBACK_POINTS = 0.5
FALLBACKS = ("whole", "ring")
# A mark that nothing tells is looked at in these ways too, and stands as it is this much more like a brand (less half of its
# likeness to background). Of 432 marks of dev pictures that are known by their look 226 are known mirrored, 58 upside-down and 37
# turned by a quarter; with looks (three of the five, no other rule) 416, 426 and 427, and of the other 403, as they are, 15 more.
# Chosen on those pictures: from .05 on one of 19 more was wrong. Where that makes it another brand it has to be still more: among
# few brands a wrong one is nearer some way round.
TURNED_GAIN, TURNED_OTHER = 0.1, 0.15
# Where so many letters are read so surely as they stand, the mark is neither mirrored nor turned.
LEAST_UPRIGHT, LEAST_LETTERS = 0.9, 3
TURNS: tuple[Orientation, ...] = ("mirrored", "turned_90", "turned_180", "turned_270")
# A line that is a web address: across a product it is a watermark, and says who sells, not who makes.
_ADDRESS = re.compile(
    r"www\.|\.(com|net|org|info|biz|shop|store|cn|ru|de|uk|fr|it|es|pl|in|vn|jp|kr|br)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A box to recognise.

    box: (4,) float32 xyxy pixels of the picture at full scale. score: the detector's, in [0, 1]. sure: at its operating point or
    above.
    """

    picture: Picture
    box: np.ndarray[Any, np.dtype[np.float32]]
    score: float
    kind: Kind = "logo"
    sure: bool = True

    @classmethod
    def whole(cls, picture: Picture) -> Place:
        """A picture to look up as a whole."""
        return cls(picture, np.array([0, 0, picture.width, picture.height], dtype=np.float32), 0.5, "image")

    @property
    def short_side(self) -> float:
        """In pixels at full scale."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def legible(self) -> bool:
        """Large enough to be read, in pixels that were decoded."""
        return self.short_side / max(self.picture.scale) >= (LEAST_READ if self.sure else LEAST_READ_UNSURE)


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What was gathered for one place. reading: the line that names the best name, or the tallest; null when none was read.

    lines: all that was read, boxes in pixels of the crop that was read. was_read: also when nothing was found to read.
    embedding: (d,) float32, of the crop as it was looked at. orientation: how that was, or how its best name was read.
    """

    evidence: Evidence
    embedding: Embeddings
    reading: Reading | None = None
    lines: tuple[TextLine, ...] = ()
    was_read: bool = False
    orientation: Orientation = "upright"


class Recogniser:
    """Embedder, library and reader with one order; safe to share between threads.

    reader: None reads nothing. text: "auto" reads where `vision_alone`, the calibration without reading, is not sure of a brand
    yet; "always" reads wherever letters could be; "off" never. Raises UsageError (bad_option).
    """

    def __init__(
        self,
        embedder: Embedder,
        library: Library,
        reader: TextReader | None = None,
        *,
        text: Text = "always",
        vision_alone: Calibration | None = None,
    ) -> None:
        if text not in get_args(Text):
            raise UsageError("bad_option", f"text is {text!r}", hint=f"one of {', '.join(get_args(Text))}")
        if text == "auto" and vision_alone is None:
            raise UsageError("bad_option", "reading where vision is not sure needs a calibration of vision alone")
        self.embedder, self.library = embedder, library
        self.reader = None if text == "off" else reader
        self.text, self.vision_alone = text, vision_alone

    def look(self, places: Sequence[Place], *, neighbors: int = NEIGHBORS) -> list[Sighting]:
        """What each place resembles; nothing is read. neighbors: how many brands."""
        return self._sightings(places, [crop_of(p.picture, p.box) for p in places], neighbors)

    def _sightings(self, places: Sequence[Place], crops: Sequence[Pixels], neighbors: int) -> list[Sighting]:
        embeddings = self.embedder.embed_images(crops)
        matches = self.library.search_embeddings(embeddings, k=neighbors)
        background = nearest_background(embeddings, self.embedder.background)
        brands = len(self.library)
        return [
            Sighting(Evidence(near, far, place.short_side, place.score, brands=brands, kind=place.kind), embedding)
            for place, near, far, embedding in zip(places, matches, background, embeddings, strict=True)
        ]

    def see(self, places: Sequence[Place], *, neighbors: int = NEIGHBORS, names: int = MOST_NAMES) -> list[Sighting]:
        """What each place resembles, and what is read in it. names: how many brands that were read are kept for a place."""
        seen = self.look(places, neighbors=neighbors)
        chosen = [i for i in range(len(places)) if self.to_read(places[i], seen[i])]
        read = dict(zip(chosen, self.read([places[i] for i in chosen], names=names), strict=True))
        turn = self._to_turn(places, seen, read)
        for i, look in zip(
            turn, self._turned([places[i] for i in turn], [seen[i] for i in turn], neighbors), strict=True
        ):
            seen[i] = look
        for i, (lines, found) in read.items():
            seen[i] = self._joined(places[i], seen[i], lines, found)
        return seen

    def to_read(self, place: Place, seen: Sighting) -> bool:
        """True where reading may change the verdict.

        Names on products are read where a logo was found on them, or else by `read_products`, and of whole pictures where one was
        found in them.
        """
        if self.reader is None or place.kind == "image" or not place.legible:
            return False
        return self.text == "always" or (place.kind == "logo" and not self._is_told(seen))

    def _is_told(self, seen: Sighting, found: Sequence[NameMatch] = ()) -> bool:
        """True where the brand is clear by its look or, upright, by a name alone."""
        if any(name.accepted and name.way not in TURNS for name in found):
            return True
        ranked = self.vision_alone.ranked(seen.evidence) if self.vision_alone is not None else []
        return bool(ranked) and not ranked[0][0].negative and ranked[0][1] >= SURE

    def _to_turn(
        self,
        places: Sequence[Place],
        seen: Sequence[Sighting],
        read: Mapping[int, tuple[Sequence[TextLine], list[NameMatch]]],
    ) -> list[int]:
        """The marks to look at in other ways: sure ones that say nothing as they stand, in pictures in which none is told so."""
        found = [read.get(i, ((), [])) for i in range(len(places))]
        told = [self._is_told(sighting, names) for sighting, (_, names) in zip(seen, found, strict=True)]
        told_upright = {id(place.picture) for place, clear in zip(places, told, strict=True) if clear}
        return [
            i
            for i, (place, (lines, _)) in enumerate(zip(places, found, strict=True))
            if place.kind == "logo"
            and place.sure
            and id(place.picture) not in told_upright
            and not any(map(stands, lines))
        ]

    def _turned(self, places: Sequence[Place], seen: Sequence[Sighting], neighbors: int) -> list[Sighting]:
        """Marks as they look mirrored or turned, where that makes them much more like a brand."""
        crops = [crop_of(place.picture, place.box) for place in places]
        ways = [way for _ in places for way in TURNS]
        turned = [upright(crop, way) for crop in crops for way in TURNS]
        looks = self._sightings([place for place in places for _ in TURNS], turned, neighbors)
        made = list(seen)
        for i, (look, way) in enumerate(zip(looks, ways, strict=True)):
            at = i // len(TURNS)
            first = [[m.brand for m in each.evidence.matches[:1]] for each in (look, seen[at])]
            gain = TURNED_GAIN if first[0] == first[1] else TURNED_OTHER
            bar = adjusted_similarity(seen[at].evidence) + gain
            if adjusted_similarity(look.evidence) >= max(bar, adjusted_similarity(made[at].evidence)):
                made[at] = replace(look, orientation=way)
        return made

    def read_products(self, places: Sequence[Place], seen: Sequence[Sighting]) -> list[Sighting]:
        """Sightings of products that were only looked at, with the lines that are found on them."""
        return self._read_too(places, seen, closely=False)

    def read_marks(self, places: Sequence[Place], seen: Sequence[Sighting]) -> list[Sighting]:
        """Sightings of marks that were only looked at, with what can be read in them."""
        return self._read_too(places, seen, closely=True)

    def _read_too(self, places: Sequence[Place], seen: Sequence[Sighting], *, closely: bool) -> list[Sighting]:
        made = list(seen)
        if self.reader is None:
            return made
        chosen = [i for i, sighting in enumerate(seen) if places[i].legible and not sighting.was_read]
        open_ = [places[i] for i in chosen]
        if closely:
            read = self.read(open_)
        else:
            lines = found_lines(self.reader, open_)
            read = list(zip(lines, self.library.match_names(lines, k=MOST_NAMES), strict=True))
        for i, (some, found) in zip(chosen, read, strict=True):
            made[i] = self._joined(places[i], seen[i], some, found)
        return made

    def read(
        self, places: Sequence[Place], *, names: int = MOST_NAMES
    ) -> list[tuple[tuple[TextLine, ...], list[NameMatch]]]:
        """The lines of each place and the brands whose name fits them: found lines first; only where no name is accepted, and the
        detector was sure, the whole crop as one line, then text round a ring."""
        if self.reader is None or not places:
            return [((), []) for _ in places]
        lines = found_lines(self.reader, places)
        crops = [crop_of(p.picture, p.box, READ_PADDING) for p in places]
        found = self.library.match_names(lines, k=names)
        for way in (self.reader.read_whole, self.reader.read_ring):
            open_ = [i for i, row in enumerate(found) if places[i].sure and not any(m.accepted for m in row)]
            if not open_:
                break
            more = way([crops[i] for i in open_])
            for i, read, fallback in zip(open_, more, self.library.match_names(more, k=names), strict=True):
                lines[i] = (*lines[i], *read)
                found[i] = merged(found[i], [weakened(m) for m in fallback])[:names]
        return list(zip(lines, found, strict=True))

    def _joined(
        self, place: Place, seen: Sighting, lines: tuple[TextLine, ...], found: Sequence[NameMatch]
    ) -> Sighting:
        """A sighting with what was read; brands that were read but not seen join with their nearest reference."""
        known = {m.brand for m in seen.evidence.matches}
        unseen = [m.brand for m in found if m.brand not in known]
        near = self.library.nearest_of(seen.embedding[None], [unseen])[0] if unseen else []
        matches: list[Match] = [*seen.evidence.matches, *(m for m in near if m is not None)]
        clear = any(map(stands, lines))
        evidence = replace(seen.evidence, matches=tuple(matches), names=tuple(found), clear_text=clear)
        orientation = seen.orientation
        if orientation == "upright" and found and found[0].accepted and found[0].way in TURNS:
            orientation = found[0].way
        reading = reading_of(place, lines, found)
        return replace(seen, evidence=evidence, lines=lines, reading=reading, was_read=True, orientation=orientation)


def places_of(picture: Picture, found: Detections, reported: Mapping[str, float]) -> list[Place]:
    """What a detector found in a picture, to be recognised. reported: the operating point of each kind."""
    return [
        Place(
            picture,
            box,
            float(score),
            "product" if kind == "product" else "logo",
            bool(score >= reported.get(kind, 0.0)),
        )
        for box, score, kind in zip(found.boxes, found.scores, found.kinds, strict=True)
    ]


def looked_at(reported: Mapping[str, float]) -> dict[str, float]:
    """The score of each kind from which a box is looked at, by the one from which it is reported, whatever it shows."""
    return {kind: min(LOOKED_AT, score) if kind == "logo" else score for kind, score in reported.items()}


def found_lines(reader: TextReader, places: Sequence[Place]) -> list[tuple[TextLine, ...]]:
    """The lines that are found in each place, with a quicker look where the detector is not sure; web addresses across products
    left out."""
    read: dict[int, tuple[TextLine, ...]] = {}
    for sure in {place.sure for place in places}:
        chosen = [i for i, place in enumerate(places) if place.sure == sure]
        crops = [crop_of(places[i].picture, places[i].box, READ_PADDING) for i in chosen]
        read |= zip(chosen, reader.read(crops, quick=not sure), strict=True)
    return [
        tuple(line for line in read[i] if place.kind != "product" or not _ADDRESS.search(line.string))
        for i, place in enumerate(places)
    ]


def stands(line: TextLine) -> bool:
    """Whether a line is read as clearly as only one that runs across and is neither mirrored nor upside-down can be."""
    across = line.box[2] - line.box[0] > line.box[3] - line.box[1]
    return line.way == "lines" and across and line.confidence >= LEAST_UPRIGHT and len(line.string) >= LEAST_LETTERS


def merged(found: Sequence[NameMatch], more: Sequence[NameMatch]) -> list[NameMatch]:
    """The better match of each brand, best first; equal scores in the order of the brands' names."""
    best: dict[str, NameMatch] = {}
    for match in (*found, *more):
        if match.brand not in best or match.score > best[match.brand].score:
            best[match.brand] = match
    return sorted(best.values(), key=lambda m: (-m.score, m.brand))


def weakened(match: NameMatch) -> NameMatch:
    """A match of a fallback way of reading."""
    score = match.score - FALLBACK_POINTS
    return replace(match, score=score, accepted=match.accepted and score >= 0)


def reading_of(place: Place, lines: Sequence[TextLine], found: Sequence[NameMatch]) -> Reading | None:
    """What a result shows as read: the line of the best name, where one fits at all, else the tallest line."""
    left, top, _, _ = padded(place.picture, place.box, READ_PADDING)
    wide, high = place.picture.scale

    def moved(box: Sequence[float]) -> tuple[float, float, float, float]:
        spread = np.array([box[0] * wide + left, box[1] * high + top, box[2] * wide + left, box[3] * high + top])
        size = place.picture.width, place.picture.height
        a, b, c, d = geometry.clip(spread[None].astype(np.float32), *size)[0].tolist()
        return a, b, c, d

    if found:
        best = found[0]
        return Reading(best.string, best.confidence, moved(best.box))
    clear = [line for line in lines if line.way not in FALLBACKS and line.confidence >= LEAST_CLEAR]
    tallest = max(clear, key=lambda line: line.height, default=None)
    return None if tallest is None else Reading(tallest.string, tallest.confidence, moved(tallest.box))


def padded(
    picture: Picture, box: np.ndarray[Any, np.dtype[np.float32]], margin: float
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A (4,) box at full scale with a margin of so much of its sides, inside the picture."""
    boxes = geometry.pad(np.asarray(box, dtype=np.float32)[None], margin, picture.width, picture.height)
    return np.asarray(boxes[0], dtype=np.float32)


def crop_of(picture: Picture, box: np.ndarray[Any, np.dtype[np.float32]], margin: float = CROP_PADDING) -> Pixels:
    """The decoded pixels under a box given at full scale, with the margin that the library's photo references have too."""
    wide, high = picture.scale
    place = padded(picture, box, margin) / np.array([wide, high, wide, high], dtype=np.float32)
    return geometry.crop(picture.pixels, np.asarray(place, dtype=np.float32))


def upright(crop: Pixels, orientation: Orientation) -> Pixels:
    """The crop as it would stand upright."""
    turns = {"turned_90": 1, "turned_180": 2, "turned_270": 3}.get(orientation, 0)  # anticlockwise, back
    return np.ascontiguousarray(crop[:, ::-1] if orientation == "mirrored" else np.rot90(crop, turns))


def nearest_background(embeddings: Embeddings, background: Embeddings) -> list[float]:
    """Cosine of each (n, d) embedding to the nearest of (b, d) background patches; 0 when there are none."""
    if not len(background):
        return [0.0] * len(embeddings)
    nearest: list[float] = (embeddings @ background.T).max(axis=1).tolist()
    return nearest
