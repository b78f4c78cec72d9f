"""What a library shows: its brands and references, and the nearest of them to a crop, a text or a vector. Nothing is written."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from vision.errors import LibraryError, UsageError
from vision.images import read_picture
from vision.library import edits
from vision.library.names import fold
from vision.library.pictures import DECODE_SIDE
from vision.library.state import Brand, Reference, State
from vision.library.view import View
from vision.values import Embeddings, Match, NameMatch, TextLine

if TYPE_CHECKING:
    from vision.embed.contract import EmbedderLike
    from vision.library.by_name import NameIndex


class LibraryReader:
    """One version of a library, as of one day. Safe to share between threads."""

    def __init__(
        self,
        path: Path,
        state: State,
        embedder: EmbedderLike | None,
        lock_seconds: float,
        *,
        on: date | None = None,
        user: str | None = None,
    ) -> None:
        self.path = path
        self._embedder = embedder
        self._lock_seconds = lock_seconds
        self._user = user
        self._shown = View(state, on or date.today())
        self._once = threading.Lock()

    @property
    def _view(self) -> View:
        """What is shown and searched."""
        return self._shown

    # --- what it holds ---

    @property
    def state(self) -> State:
        """All that it holds, at the version that it shows. Frozen."""
        return self._view.state

    @property
    def embedder(self) -> EmbedderLike:
        """The embedder that crops and texts go through. Raises LibraryError (other_embedder), WeightsError."""
        if self._embedder is None:
            with self._once:
                if self._embedder is None:
                    embedder = shipped_embedder()
                    same_embedder(self._view.state, embedder, self.path)
                    self._embedder = embedder
        return self._embedder

    @property
    def version(self) -> int:
        """Grows by one with each write to the folder."""
        return self._view.state.version

    @property
    def checksum(self) -> str:
        """sha256 of the content: two libraries with the same brands, references and vectors in the same order agree."""
        return self._view.checksum

    @property
    def read_only(self) -> bool:
        """True for the shipped library."""
        return self._view.state.read_only

    @property
    def on(self) -> date:
        """The day of the search: references that are not valid on it are not found."""
        return self._view.on

    def __len__(self) -> int:
        return sum(not brand.negative for brand in self._view.state.brands)

    def __contains__(self, name: object) -> bool:
        brand = self._view.by_name.get(fold(name)) if isinstance(name, str) else None
        return brand is not None and not brand.negative

    def brands(self) -> list[Brand]:
        """All brands, also those that are known by name alone, in the order of their folded names."""
        return [brand for brand in self._sorted() if not brand.negative]

    def negatives(self) -> list[Brand]:
        """The names of what looks like brands and is none, in the order of the folded names."""
        return [brand for brand in self._sorted() if brand.negative]

    def brand(self, name: str) -> Brand:
        """The brand of a name or alias, however spelled, also one that is none. Raises UsageError (bad_option) when unknown."""
        return edits.find(self._view.by_name, name, self.path)

    def references(self, brand: str | Brand) -> list[Reference]:
        """The references of a brand. Raises UsageError (bad_option) for an unknown name."""
        found = brand if isinstance(brand, Brand) else self.brand(brand)
        return list(self._view.groups.get(found.id, ()))

    def reference(self, reference_id: str) -> Reference:
        """A reference by its id. Raises UsageError (bad_option) when there is none."""
        place = self._view.places.get(reference_id)
        if place is None:
            raise UsageError("bad_option", f"no reference {reference_id!r}", path=str(self.path))
        return self._view.state.references[place]

    def all_references(self) -> tuple[Reference, ...]:
        """Every reference, also one that is not valid on the day of the search, grouped by brand."""
        return self._view.state.references

    def thumbnail(self, reference_id: str) -> bytes | None:
        """A small encoded picture (WebP) of a reference; None when it is kept as vectors only or there is no such reference."""
        place = self._view.places.get(reference_id)
        return None if place is None else self._view.state.picture(self._view.state.references[place]) or None

    def vectors(self, reference_id: str) -> Embeddings:
        """The (v, d) float32 vectors of a reference. Raises UsageError (bad_option) when there is no such reference."""
        self.reference(reference_id)
        start, stop = self._view.starts[self._view.places[reference_id] :][:2]
        return np.asarray(self._view.state.vectors[start:stop], dtype=np.float32)

    def all_vectors(self) -> Embeddings:
        """The (m, d) float32 vectors of every reference, one below the other, in the order of `all_references`. Read-only."""
        return self._view.vectors

    def watch_lists(self) -> Mapping[str, frozenset[str]]:
        """The display names of the brands of each watch-list, by the list's name."""
        return {name: self.watch_list(name) for name in sorted(self._view.state.watch)}

    def watch_list(self, name: str) -> frozenset[str]:
        """The display names of a watch-list's brands. Raises UsageError (bad_option) when there is no such list."""
        ids = self._view.state.watch.get(name)
        if ids is None:
            held = ", ".join(sorted(self._view.state.watch)) or "none"
            raise UsageError("bad_option", f"no watch-list {name!r}", path=str(self.path), hint=f"there are: {held}")
        return frozenset(self._view.by_id[brand_id].name for brand_id in ids)

    # --- searching ---

    @overload
    def search(self, crops: list[Any] | tuple[Any, ...], k: int = 5) -> list[list[Match]]: ...
    @overload
    def search(self, crops: Any, k: int = 5) -> list[Match]: ...
    def search(self, crops: Any, k: int = 5) -> list[Match] | list[list[Match]]:
        """The k brands most like a crop, best first. A list of crops gives a list of such lists.

        crops: anything `read_picture` takes. What looks like a brand and is none is among them, as `Match.negative`.
        Raises PictureError, LibraryError (other_embedder).
        """
        if not isinstance(crops, list | tuple):
            found: list[list[Match]] = self.search([crops], k)
            return found[0]
        pixels = [read_picture(crop, reduce_to=DECODE_SIDE).pixels for crop in crops]
        return self.search_embeddings(self.embedder.embed_images(pixels), k)

    def search_text(self, text: str, k: int = 5) -> list[Match]:
        """The brand that a text names, and then those whose pictures are most like it, best first.

        The text part learned names, of which it knows those of its training, and no descriptions. Brands without pictures are not
        found (`brand(name)` finds them). Raises UsageError (bad_option) for k under 1.
        """
        embeddings = self.embedder.embed_texts([text])
        near = self.search_embeddings(embeddings, k)[0]
        named = self._view.by_name.get(fold(text))
        first = None if named is None else self.nearest_of(embeddings, [[named.name]])[0][0]
        if first is None:
            return near
        return [first, *(match for match in near if match.brand != first.brand)][:k]

    def match_names(self, lines_of_crops: Sequence[Sequence[TextLine]], k: int = 5) -> list[list[NameMatch]]:
        """For each crop's lines of text the k brands whose names fit best what was read, as `NameIndex.match` gives them."""
        index = self.name_index
        return [index.match(lines, k) for lines in lines_of_crops]

    @property
    def name_index(self) -> NameIndex:
        """Names and aliases of all brands, to be found in what was read; made when first needed."""
        return self._view.name_index

    def search_embeddings(self, embeddings: Embeddings, k: int = 5) -> list[list[Match]]:
        """For each row of (n, d) float32 unit vectors the k nearest brands, all different, best first, by their best reference.

        Equal cosines come in the order of the reference ids. Raises UsageError (bad_option) for k under 1,
        LibraryError (other_embedder) for vectors of another length.
        """
        view = self._view
        if k < 1:
            raise UsageError("bad_option", f"k is {k}", hint="at least 1")
        return view.nearest(self._queries(view, embeddings), k)

    def nearest_of(self, embeddings: Embeddings, brands_per_row: Sequence[Sequence[str]]) -> list[list[Match | None]]:
        """The nearest reference of each brand that is named for a crop, wherever it ranks, with the cosine that a search has.

        embeddings: (n, d) float32 unit vectors. brands_per_row: n lists of names or aliases. The answer has their lengths; None
        for a brand without references. Raises UsageError (bad_option) for an unknown name, LibraryError (other_embedder).
        """
        view = self._view
        queries = self._queries(view, embeddings)
        return [
            [view.nearest_of(query, edits.find(view.by_name, name, self.path)) for name in names]
            for query, names in zip(queries, brands_per_row, strict=True)
        ]

    def _queries(self, view: View, embeddings: Embeddings) -> Embeddings:
        queries = np.asarray(embeddings, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != view.state.embedder.dim:
            raise LibraryError(
                "other_embedder",
                f"vectors of shape {queries.shape} do not fit a library of {view.state.embedder.dim} dimensions",
                path=str(self.path),
                hint=f"it was made with {view.state.embedder.id}",
            )
        return queries

    def _sorted(self) -> list[Brand]:
        return sorted(self._view.state.brands, key=lambda brand: (fold(brand.name), brand.id))


def same_embedder(state: State, embedder: EmbedderLike, path: Path) -> None:
    """Raise LibraryError (other_embedder) unless an embedder is the one that made a library."""
    record = state.embedder
    if (record.id, record.checksum, record.dim) != (embedder.id, embedder.checksum, embedder.dim):
        again = "build --out DIR" if state.read_only else f"reembed --library {path}"
        raise LibraryError(
            "other_embedder",
            f"made with the embedder {record.id}, not {embedder.id}",
            path=str(path),
            hint=f"vision library {again}",
        )


def shipped_embedder() -> EmbedderLike:
    """The embedder that came with this installation."""
    from vision.embed import Embedder

    return Embedder.load()
