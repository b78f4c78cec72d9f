"""Boxes with their evidence and their truth: what a verdict's probability is fitted to.

Each found box of a labelled brand is two cases: with its brand in the library (right when the best contender is that brand) and
with it taken out (a stranger: whatever is named is wrong); where its name was clearly read a third one, without its pictures.
Boxes on no labelled logo and those of brand-free photographs are strangers too, the former without the brands of their picture:
few sources label every word that names one. All but the third are made for the library as it is and for parts of it, so that the
fit learns what its size does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision import geometry
from vision.datasets.labelled import LabelledPicture, brands_of, kin_keys
from vision.detect import Detector
from vision.errors import DatasetError, PictureError
from vision.images import read_picture
from vision.images.find import find_inputs
from vision.library import Library
from vision.library.names import canonical, fold
from vision.recognise import MOST_NAMES, NEIGHBORS, Place, Recogniser, Sighting, crop_of, looked_at, places_of
from vision.scan import DECODE_SIDE
from vision.values import Match, Picture
from vision.verdict.evidence import Evidence, contenders

log = logging.getLogger(__name__)

# A box is its truth's when they overlap this much, and on no logo at all below the other bar; between them nobody knows.
SAME, ELSEWHERE = 0.5, 0.1
LEAST_WHOLE = 48.0  # shorter side, in pixels, of a logo that is taken for a picture of its own
# How often smaller libraries are drawn.
DRAWS = 8
# More names than a verdict weighs: some of them are not in the smaller libraries.
_NAMES = 25


@dataclass(frozen=True, slots=True)
class Case:
    """One box with its evidence and the truth.

    right: index of the true brand among `contenders(evidence)`, or None. stranger: none of the library's brands is there.
    group: what folds are made of: the true brand, or the picture. read: it was, also when nothing was found to read; marks too
    small are not. by_name: the library is taken to hold the true brand by name alone. brands: size of the library.
    """

    evidence: Evidence
    right: int | None
    stranger: bool
    group: str
    read: bool = True
    by_name: bool = False

    @property
    def brands(self) -> int:
        """Size of the library."""
        return self.evidence.brands


class Gatherer:
    """Makes cases with the stages of a scan. sizes: of the smaller libraries, drawn from the whole one's brands with pictures.

    They are drawn `DRAWS` times and pictures take turns, so that no brand that happens to be in or out of one decides the fit.
    """

    def __init__(self, detector: Detector, recogniser: Recogniser, sizes: Sequence[int] = (), seed: int = 0) -> None:
        self.detector, self.recogniser = detector, recogniser
        library = recogniser.library
        names = [b.name for b in library.brands()]
        self.name_of = {fold(canonical(name)): name for name in names}
        self.everything = frozenset(names)
        whole = library, self.everything
        negatives = [b.name for b in library.negatives()]
        shown = {reference.brand_id for reference in library.all_references()}
        pictured = [b.name for b in library.brands() if b.id in shown]

        def drawn(order: npt.NDArray[np.int64], size: int) -> tuple[Library, frozenset[str]]:
            chosen = frozenset(pictured[i] for i in order[:size])
            return library.subset(brands=[*sorted(chosen), *negatives]), chosen

        orders = (np.random.default_rng((seed, draw)).permutation(len(pictured)) for draw in range(DRAWS))
        self.views = cycle(
            [whole, *(drawn(order, size) for size in sizes if size < len(pictured))] for order in list(orders)
        )

    def labelled(self, pictures: Iterable[LabelledPicture]) -> Iterator[Case]:
        """The cases of every found logo and product whose truth is known, and of labelled logos as pictures of their own."""
        for labelled in pictures:
            try:
                picture = read_picture(labelled.path, reduce_to=DECODE_SIDE)
            except PictureError as error:  # one of thousands, perhaps hours into the job
                log.warning("left out: %s", error)
                continue
            scale = labelled.scale_to(picture.width, picture.height)
            truth = {
                kind: [b for b in labelled.boxes if b.kind == kind and not b.ignore] for kind in ("logo", "product")
            }
            boxes = {k: np.array([b.box for b in t], dtype=np.float32).reshape(-1, 4) * scale for k, t in truth.items()}
            places, brands = [], []
            for place in self._places(picture):
                overlaps = geometry.iou(place.box[None], boxes[place.kind])[0]
                if len(overlaps) and overlaps.max() >= SAME:
                    brand = truth[place.kind][int(overlaps.argmax())].brand
                    if brand is not None:
                        places.append(place)
                        brands.append(fold(canonical(brand)))
                elif place.kind == "logo" and labelled.looked_at and _on_no_logo(place.box, boxes["logo"]):
                    places.append(place)
                    brands.append("")
            for box, each in zip(boxes["logo"], truth["logo"], strict=True):
                if each.brand is not None and min(box[2] - box[0], box[3] - box[1]) >= LEAST_WHOLE:
                    places.append(Place.whole(_cut_out(picture, box)))
                    brands.append(fold(canonical(each.brand)))
            yield from self._cases(places, brands, labelled.path.name, self._shown(labelled))

    def photo(self, path: Path) -> list[Case]:
        """Everything found in a photograph that shows no brand, the photograph itself and a cut of it: strangers all."""
        picture = read_picture(path, reduce_to=DECODE_SIDE)
        places = [*self._places(picture), Place.whole(picture), Place.whole(_cut_out(picture, _somewhere(picture)))]
        return list(self._cases(places, [""] * len(places), path.name))

    def _shown(self, labelled: LabelledPicture) -> frozenset[str]:
        """The library's names of the brands that a picture shows, "Adidas" for "Adidas SB" too."""
        keys = {key for brand in brands_of(labelled) for key in (fold(canonical(brand)), *kin_keys(brand))}
        return frozenset(self.name_of[key] for key in keys & self.name_of.keys())

    def _places(self, picture: Picture) -> list[Place]:
        reported = self.detector.operating_points
        return places_of(picture, self.detector.detect([picture], min_score=looked_at(reported))[0], reported)

    def _cases(
        self, places: Sequence[Place], brands: Sequence[str], group: str, shown: frozenset[str] = frozenset()
    ) -> Iterator[Case]:
        """brands: the folded true brand of each place, empty when there is none. shown: what the picture may name elsewhere. One
        more neighbour is searched than a scan looks at: when the true brand is taken out, the scan's number of rivals is left."""
        seen = self.recogniser.see(places, neighbors=NEIGHBORS + 1, names=_NAMES)
        if not seen:
            return
        embeddings = np.stack([s.embedding for s in seen])
        for library, held in next(self.views):
            searched = library.search_embeddings(embeddings, k=NEIGHBORS + 1)
            for sighting, matches, brand in zip(seen, searched, brands, strict=True):
                name = self.name_of.get(brand)
                if name is not None:
                    evidence = self._evidence(sighting, matches, held | {name}, own=name)
                    right = next((i for i, c in enumerate(contenders(evidence)) if c.brand == name), None)
                    yield Case(evidence, right, False, brand, sighting.was_read)
                    # smaller libraries hold nothing else by name alone, so that no other name could be mistaken for it there
                    if held is self.everything and any(m.brand == name for m in evidence.matches):
                        yield from self._by_name_alone(sighting, matches, name, brand)
                rivals = held - {name} if name is not None else held
                evidence = self._evidence(sighting, matches, rivals, without=shown if name is None else frozenset())
                yield Case(evidence, None, True, brand or group, sighting.was_read)

    def _by_name_alone(self, sighting: Sighting, searched: Sequence[Match], name: str, group: str) -> Iterator[Case]:
        """A box whose brand was clearly read, as it is when the library has no picture of that brand."""
        evidence = self._evidence(sighting, searched, self.everything, pictureless=name)
        right = next((i for i, c in enumerate(contenders(evidence)) if c.brand == name and c.alone), None)
        if right is not None:
            yield Case(evidence, right, False, group, sighting.was_read, by_name=True)

    def _evidence(
        self,
        sighting: Sighting,
        searched: Sequence[Match],
        held: frozenset[str],
        own: str | None = None,
        without: frozenset[str] = frozenset(),
        pictureless: str | None = None,
    ) -> Evidence:
        """What a library of the brands `held` and all negatives would have given. own: a brand that joins it for this box.
        without: brands that are passed over, as if they were not there. pictureless: one that it holds by name alone."""
        found = held - without
        near = {m.brand: m for m in searched if m.brand != pictureless and (m.negative or m.brand in found)}
        if own is not None and own not in near:
            match = self.recogniser.library.nearest_of(sighting.embedding[None], [[own]])[0][0]
            near |= {own: match} if match is not None else {}
        kept = dict(sorted(near.items(), key=lambda item: -item[1].similarity)[:NEIGHBORS])
        names = [n for n in sighting.evidence.names if n.brand in found][:MOST_NAMES]
        everywhere = {m.brand: m for m in sighting.evidence.matches if m.brand != pictureless}
        read = {n.brand: everywhere[n.brand] for n in names if n.brand in everywhere and n.brand not in kept}
        return replace(
            sighting.evidence, matches=(*kept.values(), *read.values()), names=tuple(names), brands=len(held)
        )


def _cut_out(picture: Picture, box: npt.NDArray[np.float32]) -> Picture:
    """The picture under a box, with the margin of a crop, as a picture."""
    pixels = crop_of(picture, box)
    return Picture(pixels, pixels.shape[1], pixels.shape[0], picture.sha256, picture.origin)


def _somewhere(picture: Picture) -> npt.NDArray[np.float32]:
    """A square of 5 to 40 % of the shorter side somewhere in a picture, the same for the same picture: (4,) xyxy."""
    random = np.random.default_rng(list(bytes.fromhex(picture.sha256[:16])))
    side = random.uniform(0.05, 0.4) * min(picture.width, picture.height)
    left, top = random.uniform(0, 1, 2) * (picture.width - side, picture.height - side)
    return np.array([left, top, left + side, top + side], dtype=np.float32)


def _on_no_logo(box: npt.NDArray[np.float32], boxes: npt.NDArray[np.float32]) -> bool:
    """True when a box touches no labelled one, and is no part of one either."""
    if not len(boxes):
        return True
    part = geometry.intersection(box[None], boxes).max() > 0.5 * geometry.area(box[None])[0]
    return bool(geometry.iou(box[None], boxes).max() < ELSEWHERE and not part)


def brand_free_photos(sources: Sequence[str], left_out: Sequence[str], every: int) -> list[Path]:
    """Each `every`-th picture of the folders and what is below, in the order of their paths, without those named in `left_out`.

    Raises DatasetError (missing) for no folder, and for one without pictures.
    """
    photos: list[Path] = []
    for source in sources:
        if not Path(source).is_dir():
            raise DatasetError("missing", "there is no such folder", path=source)
        files = [found.file for found in find_inputs([str(Path(source).absolute())]) if found.file is not None]
        if not files:
            raise DatasetError("missing", "no pictures in this folder", path=source)
        photos += [file for file in files[::every] if file.name not in set(left_out)]
    return photos
