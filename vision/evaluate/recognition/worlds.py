"""What a library would hold in an experiment, seen from each crop: brands taken out, photographs and strangers added.

Each crop is looked up once; a world is then a choice among its nearest brands and those of further references, so that twenty
libraries cost no more than one. A brand taken out is taken out with its kin ("Google 2014" with Google).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vision.library.names import fold, kin_prefixes, slugify
from vision.recognise import NEIGHBORS
from vision.values import Match, NameMatch
from vision.verdict.evidence import Evidence

if TYPE_CHECKING:
    from vision.evaluate.recognition.crops import Crops

# Brands that are ranked of each crop: mean reciprocal ranks count what comes later as not found.
RANKED = 50
_BLOCK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The nearest brands of n crops, each by its best reference, in compact form.

    names: brands, each once; negative: (b,) those that are no brands but look like some. references: ids.
    entry, reference: (n, t) int32 indices into them, -1 where a crop has fewer. similarity: (n, t) float32, minus infinity there.
    """

    names: tuple[str, ...]
    negative: npt.NDArray[np.bool_]
    references: tuple[str, ...]
    entry: npt.NDArray[np.int32]
    reference: npt.NDArray[np.int32]
    similarity: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.entry)

    @classmethod
    def of(cls, matches: Sequence[Sequence[Match]]) -> Neighbors:
        """The compact form of n lists of matches."""
        names: dict[tuple[str, bool], int] = {}
        references: dict[str, int] = {}
        width = max((len(row) for row in matches), default=0)
        entry = np.full((len(matches), width), -1, np.int32)
        reference = np.full((len(matches), width), -1, np.int32)
        similarity = np.full((len(matches), width), -np.inf, np.float32)
        for i, row in enumerate(matches):
            for j, match in enumerate(row):
                entry[i, j] = names.setdefault((match.brand, match.negative), len(names))
                reference[i, j] = references.setdefault(match.reference, len(references))
                similarity[i, j] = match.similarity
        negative = np.array([no for _, no in names], dtype=bool)
        return cls(tuple(name for name, _ in names), negative, tuple(references), entry, reference, similarity)

    @classmethod
    def table(cls, names: Sequence[str], similarity: npt.NDArray[np.float32], reference: str) -> Neighbors:
        """(n, b) similarities to b brands, minus infinity where a crop must not see one. reference: what all are called."""
        entry = np.tile(np.arange(len(names), dtype=np.int32), (len(similarity), 1))
        none = np.zeros(len(names), dtype=bool)
        return cls(tuple(names), none, (reference,), entry, np.zeros_like(entry), np.asarray(similarity, np.float32))

    @classmethod
    def joined(cls, parts: Sequence[Neighbors]) -> Neighbors:
        """The crops of several parts one after another."""
        names: dict[tuple[str, bool], int] = {}
        references: dict[str, int] = {}
        width = max((part.entry.shape[1] for part in parts), default=0)
        entries, places, similarities = [], [], []
        for part in parts:
            keys = zip(part.names, part.negative.tolist(), strict=True)
            to = np.array([*(names.setdefault(key, len(names)) for key in keys), -1], np.int32)
            ref = np.array([*(references.setdefault(r, len(references)) for r in part.references), -1], np.int32)
            room = ((0, 0), (0, width - part.entry.shape[1]))
            entries.append(to[np.pad(part.entry, room, constant_values=-1)])
            places.append(ref[np.pad(part.reference, room, constant_values=-1)])
            similarities.append(np.pad(part.similarity, room, constant_values=-np.inf))
        empty = np.zeros((0, 0), np.int32)
        return cls(
            tuple(name for name, _ in names),
            np.array([no for _, no in names], dtype=bool),
            tuple(references),
            np.concatenate(entries) if entries else empty,
            np.concatenate(places) if places else empty,
            np.concatenate(similarities) if similarities else empty.astype(np.float32),
        )

    def take(self, rows: npt.NDArray[np.int64]) -> Neighbors:
        """Some of the crops."""
        return Neighbors(
            self.names,
            self.negative,
            self.references,
            self.entry[rows],
            self.reference[rows],
            self.similarity[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What a ranker sees of n crops in one world.

    matches: different brands, most similar first, at most `RANKED`. named: the matches of brands that were read and rank too low
    to be evidence by their looks. names: brands that were read and that this world holds; null when nothing was read.
    size: how many brands it holds.
    """

    crops: Crops
    matches: tuple[tuple[Match, ...], ...]
    named: tuple[tuple[Match, ...], ...]
    names: tuple[tuple[NameMatch, ...], ...] | None
    size: int

    def __len__(self) -> int:
        return len(self.matches)

    def evidence(self, i: int, *, read: bool) -> Evidence:
        """What a scan would know of crop i. read: with the names that were read."""
        names = self.names[i] if read and self.names is not None else ()
        matches = (*self.matches[i][:NEIGHBORS], *(self.named[i] if names else ()))
        crops = self.crops
        return Evidence(
            matches,
            float(crops.background[i]),
            float(crops.cut_sides[i]),
            float(crops.scores[i]),
            names=names,
            brands=self.size,
            clear_text=read and bool(crops.clear_text[i]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a library holds.

    size: its brands. sources: what is searched, each with a row for each crop; a brand in several has its best reference.
    without: brands that are taken out, with their kin. own_out: each crop's own brand is taken out, so that all are strangers.
    only: nothing but these brands is held; null when all are.
    """

    size: int
    sources: tuple[Neighbors, ...]
    without: frozenset[str] = frozenset()
    own_out: bool = False
    only: frozenset[str] | None = None

    def look(self, crops: Crops, depth: int = RANKED) -> Looks:
        """What each crop sees of this world. The sources have a row for each of them."""
        keys: dict[tuple[str, bool], int] = {}
        columns = [
            np.array(
                [*(keys.setdefault(key, len(keys)) for key in zip(s.names, s.negative.tolist(), strict=True)), -1],
                dtype=np.int64,
            )
            for s in self.sources
        ]
        entries = list(keys)
        kin = _Kin([name for name, _ in entries])
        out = np.zeros(len(entries) + 1, dtype=bool)
        for brand in self.without:
            out[kin.of(brand)] = True
        if self.only is not None:
            kept = {fold(name) for name in self.only}
            out[:-1] |= [fold(name) not in kept for name, _ in entries]
        place = {name: i for i, (name, negative) in enumerate(entries) if not negative}
        matches: list[tuple[Match, ...]] = []
        named: list[tuple[Match, ...]] = []
        for start in range(0, len(crops), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(crops)))
            best, source, reference = self._dense(rows, columns, len(entries))
            best[:, out] = -np.inf
            best[:, -1] = -np.inf
            if self.own_out:
                for i, row in enumerate(rows):
                    best[i, kin.of(crops.brands[row])] = -np.inf
            width = min(depth, len(entries))
            top = (
                np.argpartition(-best[:, :-1], max(width - 1, 0), axis=1)[:, :width]
                if width
                else best[:, :0].astype(int)
            )
            for row, own, similar, where, which in zip(rows, top, best, source, reference, strict=True):
                order = own[np.lexsort((own, -similar[own]))]
                order = order[np.isfinite(similar[order])].tolist()
                shown = {entries[j][0] for j in order[:NEIGHBORS]}
                read = crops.names[row] if crops.names is not None else ()
                also = [place[n.brand] for n in read if n.brand in place and n.brand not in shown]
                found = [
                    tuple(
                        Match(
                            entries[j][0],
                            None,
                            self.sources[where[j]].references[which[j]],
                            float(similar[j]),
                            entries[j][1],
                        )
                        for j in some
                        if np.isfinite(similar[j])
                    )
                    for some in (order, also)
                ]
                matches.append(found[0])
                named.append(found[1])
        return Looks(crops, tuple(matches), tuple(named), self._names(crops), self.size)

    def _dense(
        self, rows: npt.NDArray[np.int64], columns: Sequence[npt.NDArray[np.int64]], width: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8], npt.NDArray[np.int32]]:
        """Best similarity of some crops to every brand of all sources, and where it comes from; one column more for nothing."""
        best = np.full((len(rows), width + 1), -np.inf, np.float32)
        source = np.zeros(best.shape, np.int8)
        reference = np.zeros(best.shape, np.int32)
        every = np.arange(len(rows))[:, None]
        for number, (one, to) in enumerate(zip(self.sources, columns, strict=True)):
            at = to[one.entry[rows]]
            at[at < 0] = width
            better = one.similarity[rows] > best[every, at]
            i, j = np.nonzero(better)
            best[i, at[i, j]] = one.similarity[rows][i, j]
            source[i, at[i, j]] = number
            reference[i, at[i, j]] = one.reference[rows][i, j]
        return best, source, reference

    def _names(self, crops: Crops) -> tuple[tuple[NameMatch, ...], ...] | None:
        if crops.names is None:
            return None
        kept = None if self.only is None else {fold(name) for name in self.only}
        out = [fold(brand) for brand in self.without]

        def held(name: NameMatch, brand: str) -> bool:
            prefixes = kin_prefixes(name.brand)
            gone = any(brand in prefixes for brand in out) or (self.own_out and fold(brand) in prefixes)
            return not gone and (kept is None or fold(name.brand) in kept)

        return tuple(
            tuple(name for name in names if held(name, brand))
            for names, brand in zip(crops.names, crops.brands, strict=True)
        )


class _Kin:
    """The brands of a list that are kin of a brand, by the folded first words of their names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            for prefix in kin_prefixes(name):
                self._places.setdefault(prefix, []).append(place)

    def of(self, brand: str) -> list[int]:
        return self._places.get(fold(brand), [])


def families(brands: Collection[str]) -> Mapping[str, str]:
    """Each brand with the brand that it is kin of, itself where there is none: "Google Drive" goes where Google goes."""
    by_key = {fold(brand): brand for brand in sorted(brands, key=lambda b: (-len(b), b))}
    found = {}
    for brand in brands:
        words = slugify(brand).split("-")
        prefixes = ["".join(words[: i + 1]) for i in range(len(words))]
        found[brand] = next((by_key[p] for p in prefixes if p in by_key), brand)
    return found
