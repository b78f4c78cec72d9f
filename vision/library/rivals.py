"""One's own brands among those of another library, which compete in every search, so that a stranger finds itself there.

A library of five brands has seen no strangers: what resembles one of the five more than the others is taken for it. Among
thousands of brands it is mostly another one. Rivals are never claimed; who claims asks whether the own library holds a brand.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from vision.library.library import Library
from vision.library.names import fold, kin_prefixes
from vision.library.state import Brand, Half, Reference, State
from vision.library.view import View
from vision.values import Embeddings, Match

# Libraries of so many brands are their own rivals: with 1,200 brands one stranger in 400 is claimed, with 300 one in 120.
ENOUGH = 2_000
# A rival with a reference this much like one of one's own is taken for the same brand under another name. Three photographs of
# other pictures come so near to the shipped references of their brand in 59 of 61 brands, and to those of 2.1 other brands each.
ALIKE = 0.5
# What the similarity of a rival counts: a mark is rather one of those that are looked for. With four libraries of five brands 117
# of 143 brands of dev pictures are found so, with 1 109, with .85 115, and no name is wrong; .2 and .3 less make 2 and 8 % wrong.
SHARE = 0.8
# So many of one's own vectors, evenly chosen, are compared with rivals: more take seconds.
_COMPARED = 4096
# What ids of rivals begin with, where results name a reference.
PREFIX = "shipped/"


class AmongRivals(Library):
    """A library together with the brands of another one that it does not hold. Follows what is written through the own one.

    Similarities to rivals are `SHARE` of their cosine.

    Rivals whose name or alias begins as one of the own brands' does, or the other way round ("Acme" and "Acme Motors"), and those
    that look the same (`ALIKE`) are left out. Ids of rivals and of their references begin with "shipped/". It cannot be written
    to; the own one can.
    """

    def __init__(self, own: Library, rivals: Library) -> None:
        super().__init__(own.path, own.state, own._embedder, 0.0, on=own.on)
        self.own, self.rivals = own, rivals
        self._joining = threading.Lock()
        self._joined_from = own.state
        self._shown = View(joined(own.state, rivals.state, own.on), own.on)

    @property
    def _view(self) -> View:
        if self.own.state is not self._joined_from:
            with self._joining:
                state = self.own.state
                if state is not self._joined_from:
                    self._shown = View(joined(state, self.rivals.state, self.own.on), self.own.on)
                    self._joined_from = state
        return self._shown

    def nearest_of(self, embeddings: Embeddings, brands_per_row: Sequence[Sequence[str]]) -> list[list[Match | None]]:
        """As any library's, but a name that no brand has any more is None too: a rival may just have become an own brand."""
        view = self._view
        queries = self._queries(view, embeddings)
        brands = [[view.by_name.get(fold(name)) for name in names] for names in brands_per_row]
        return [
            [None if brand is None else view.nearest_of(query, brand) for brand in row]
            for query, row in zip(queries, brands, strict=True)
        ]


def among_rivals(own: Library, rivals: Library | None = None) -> Library:
    """A library among the brands of another one; the library itself where it needs none or the other has another embedder.

    rivals: the shipped library when None. Raises LibraryError, WeightsError where that cannot be opened.
    """
    if len(own) >= ENOUGH:
        return own
    rivals = Library.default() if rivals is None else rivals
    return own if own.state.embedder != rivals.state.embedder else AmongRivals(own, rivals)


def joined(own: State, rivals: State, on: date) -> State:
    """The own state with the rivals' brands behind its own, as of a day. Pure; not to be stored."""
    mine = [name for brand in own.brands if not brand.negative for name in _spellings(brand)]
    named = {fold(name) for name in mine}
    kept_away = {fold(name) for brand in own.brands for name in _spellings(brand)}.union(*map(kin_prefixes, mine))
    same = _alike(own, rivals, on)

    def competes(brand: Brand) -> bool:
        kin = any(fold(name) in kept_away or not named.isdisjoint(kin_prefixes(name)) for name in _spellings(brand))
        return not kin and brand.id not in same

    brands = {brand.id: replace(brand, id=PREFIX + brand.id) for brand in rivals.brands if competes(brand)}
    kept = np.array([r.brand_id in brands for r in rivals.references], dtype=bool)
    rows = np.repeat(kept, [r.vectors for r in rivals.references])
    return replace(
        own,
        brands=(*own.brands, *brands.values()),
        references=(*own.references, *(_renamed(r) for r, keep in zip(rivals.references, kept, strict=True) if keep)),
        vectors=np.concatenate([own.vectors, (SHARE * rivals.vectors[rows].astype(np.float32)).astype(np.float16)]),
        blobs={**own.blobs, **{PREFIX + name: blob for name, blob in rivals.blobs.items()}},
        read_only=True,
    )


def _spellings(brand: Brand) -> tuple[str, ...]:
    return brand.name, *brand.aliases


def _renamed(reference: Reference) -> Reference:
    thumbnail = reference.thumbnail
    return replace(
        reference,
        id=PREFIX + reference.id,
        brand_id=PREFIX + reference.brand_id,
        thumbnail=None if thumbnail is None else thumbnail._replace(blob=PREFIX + thumbnail.blob),
    )


def _alike(own: State, rivals: State, on: date) -> set[str]:
    """Ids of rivals' brands that have a vector at least `ALIKE` to one of the own brands', those that are none left out."""
    negative = {brand.id for brand in own.brands if brand.negative}
    counts = np.repeat(
        [r.brand_id not in negative and r.counts_on(on) for r in own.references], [r.vectors for r in own.references]
    )
    mine = own.vectors[counts.astype(bool)] if len(counts) else own.vectors
    if not len(mine) or not len(rivals.vectors):
        return set()
    mine = mine[np.linspace(0, len(mine) - 1, min(len(mine), _COMPARED)).astype(np.int64)].astype(np.float32)
    nearest = np.concatenate([(block.astype(np.float32) @ mine.T).max(axis=1) for block in _blocks(rivals.vectors)])
    owners = np.repeat([r.brand_id for r in rivals.references], [r.vectors for r in rivals.references])
    return set(owners[nearest >= ALIKE].tolist())


def _blocks(vectors: Half) -> Iterator[Half]:
    for start in range(0, len(vectors), _COMPARED):
        yield vectors[start : start + _COMPARED]
