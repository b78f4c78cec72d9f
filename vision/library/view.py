"""One version of a library, as of one day, with what searching and asking need of it; each part is made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.library import edits
from vision.library.faiss_index import APPROXIMATE_FROM, ApproximateIndex, FaissIndex
from vision.library.search import Hit, Table, nearest_brands, settle
from vision.library.state import Brand, Reference, State
from vision.values import Embeddings, Match

if TYPE_CHECKING:
    from vision.library.by_name import NameIndex

Rows = np.ndarray[Any, np.dtype[np.int64]]

# From this many queries on, one matrix product is faster than FAISS (measured, see faiss_index.py).
_MANY_QUERIES = 16


class View:
    """A state to be searched. on: references that do not count on that day are not found. Safe to share between threads."""

    def __init__(self, state: State, on: date) -> None:
        self.state = state
        self.on = on
        self._once = threading.Lock()
        self._index: FaissIndex | ApproximateIndex | None = None
        self._name_index: NameIndex | None = None

    # --- what it holds ---

    @cached_property
    def by_id(self) -> dict[str, Brand]:
        """Brands, also those that are none, by id."""
        return {b.id: b for b in self.state.brands}

    @cached_property
    def by_name(self) -> edits.Names:
        """Brands by folded names and aliases."""
        return edits.names_of(self.state)

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each reference among all, by id."""
        return {r.id: place for place, r in enumerate(self.state.references)}

    @cached_property
    def groups(self) -> dict[str, list[Reference]]:
        """References by brand id."""
        found: dict[str, list[Reference]] = {}
        for reference in self.state.references:
            found.setdefault(reference.brand_id, []).append(reference)
        return found

    @cached_property
    def checksum(self) -> str:
        """Digest of the content."""
        return self.state.checksum()

    @cached_property
    def vectors(self) -> Embeddings:
        """(m, d) float32 rows of all references."""
        shared = self._all_count and self.table.vectors.dtype == np.float32
        return self.table.vectors if shared else self.state.vectors.astype(np.float32)

    @cached_property
    def starts(self) -> Rows:
        """First row of each reference, and the number of rows."""
        return self.state.starts()

    # --- searching ---

    @cached_property
    def _counts(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.array([r.counts_on(self.on) for r in self.state.references], dtype=bool)

    @cached_property
    def _all_count(self) -> bool:
        return bool(self._counts.all())

    @cached_property
    def row_reference(self) -> Rows:
        """Which of all references each row of the table belongs to."""
        rows = np.repeat(np.arange(len(self.state.references)), [r.vectors for r in self.state.references])
        return rows if self._all_count else rows[self._counts[rows]]

    @cached_property
    def table(self) -> Table:
        """The rows that a search looks at."""
        references = self.state.references
        ids = [r.id for r in references]
        rank = np.empty(len(ids), dtype=np.int64)
        rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
        vectors = self.state.vectors
        if not self._all_count:
            vectors = vectors[np.repeat(self._counts, [r.vectors for r in references])]
        place: dict[str, int] = {}
        for reference, counts in zip(references, self._counts.tolist(), strict=True):
            if counts:
                place.setdefault(reference.brand_id, len(place))
        brand = np.array([place.get(r.brand_id, -1) for r in references], dtype=np.int64)
        # float16 where only few rows are ever compared: a million rows are half a gigabyte then, not one and a half
        large = len(vectors) > APPROXIMATE_FROM
        vectors = vectors if large else vectors.astype(np.float32)
        return Table(vectors, brand[self.row_reference], rank[self.row_reference])

    @cached_property
    def brand_rows(self) -> dict[str, slice]:
        """Rows of the table of each brand that has some, by id."""
        table = self.table
        starts = table.starts.tolist()
        ids = [self.state.references[self.row_reference[start]].brand_id for start in starts]
        return {
            key: slice(start, stop) for key, start, stop in zip(ids, starts, [*starts, len(table)][1:], strict=True)
        }

    def nearest(self, queries: Embeddings, k: int) -> list[list[Match]]:
        """The k nearest brands of each of (n, d) float32 unit vectors, best first."""
        rows = len(self.table)
        if not rows or (len(queries) >= _MANY_QUERIES and rows <= APPROXIMATE_FROM):
            found = nearest_brands(queries, self.table, k)
        else:
            found = self.index.nearest_brands(queries, k)
        return [[self._match(hit) for hit in hits] for hits in found]

    def nearest_of(self, query: Embeddings, brand: Brand) -> Match | None:
        """The nearest reference of one brand to a (d,) query; None when it has none that counts."""
        rows = self.brand_rows.get(brand.id)
        if rows is None:
            return None
        hits = settle(query, np.arange(rows.start, rows.stop), self.table, 1)
        return self._match(hits[0])

    @property
    def index(self) -> FaissIndex | ApproximateIndex:
        """The FAISS index of the table: exact, or approximate for a large one."""
        if self._index is None:
            with self._once:
                if self._index is None:
                    large = len(self.table) > APPROXIMATE_FROM
                    self._index = ApproximateIndex(self.table) if large else FaissIndex(self.table)
        return self._index

    @property
    def name_index(self) -> NameIndex:
        """Names and aliases of all brands, to be found in what was read."""
        if self._name_index is None:
            from vision.library.by_name import NameIndex

            with self._once:
                if self._name_index is None:
                    self._name_index = NameIndex(self._spellings(), exact=self._pictureless())
        return self._name_index

    def _spellings(self) -> Sequence[tuple[str, str]]:
        brands = (b for b in self.state.brands if not b.negative)
        return [(b.name, name) for b in brands for name in (b.name, *b.aliases)]

    def _pictureless(self) -> frozenset[str]:
        """Names of the brands that are held by name alone."""
        shown = {r.brand_id for r, counts in zip(self.state.references, self._counts.tolist(), strict=True) if counts}
        return frozenset(b.name for b in self.state.brands if b.id not in shown)

    def _match(self, hit: Hit) -> Match:
        reference = self.state.references[self.row_reference[hit.row]]
        brand = self.by_id[reference.brand_id]
        return Match(
            brand.name, reference.product, reference.id, hit.similarity, brand.negative, reference.kind == "drawing"
        )
