"""`Library`: brands with their reference vectors, searched by crop, by text or by vector, and changed in one step or not at all.

A `Library` object shows one version of its folder, the one that was there when it was opened or last written through it.
Searching is safe from many threads. Writing takes the folder's lock, starts from what is on disk then, and never touches what
other readers have open.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from vision import weights
from vision.errors import LibraryError, UsageError
from vision.images import read_picture
from vision.library import edits, store
from vision.library.edits import Names, NewBrand, NewReference
from vision.library.names import fold
from vision.library.search import Hit, Table, nearest_brands, settle
from vision.library.store import Brand, EmbedderRecord, Kind, Reference, State
from vision.values import Embeddings, Match, NameMatch, Pixels, TextLine

if TYPE_CHECKING:
    from vision.embed.contract import EmbedderLike
    from vision.library.by_name import NameIndex
    from vision.library.faiss_index import FaissIndex

# Longest side of the picture kept of a reference that a user adds: twice the embedder's input, so that another embedder can use
# it, in some 8 kB. Drawings of the shipped library are kept at THUMBNAIL_SIDE, for reports only: `build` makes them again.
PICTURE_SIDE, THUMBNAIL_SIDE = 256, 96
# From this many queries on, one matrix product is faster than FAISS (measured, see faiss_index.py).
_MANY_QUERIES = 16
_LOCK_SECONDS = 10.0
# References are decoded at least this large: their crop to the content is taken from it.
_DECODE_SIDE = 1024
# A border is one colour when its pixels differ by less than this, of 255; content differs by more from it.
_PLAIN = 24


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One version of the library with what a search needs of it."""

    state: State
    table: Table
    row_reference: np.ndarray[Any, np.dtype[np.int64]]
    by_id: dict[str, Brand]
    by_name: Names
    by_reference: dict[str, Reference]
    brand_rows: dict[str, slice]


class Library:
    """A brand library: `open` one, take the `default` one, or `create` one; then `search`, `add`, `remove`, `rename`."""

    def __init__(self, path: Path, state: State, embedder: EmbedderLike | None, lock_seconds: float) -> None:
        self.path = path
        self._embedder = embedder
        self._lock_seconds = lock_seconds
        self._view = _view_of(state)
        self._index: FaissIndex | None = None
        self._names: tuple[_View, NameIndex] | None = None
        self._once = threading.Lock()

    # --- opening ---

    @classmethod
    def open(
        cls, path: str | Path, *, embedder: EmbedderLike | None = None, lock_seconds: float = _LOCK_SECONDS
    ) -> Library:
        """The library in a folder. embedder: the one to search with; the shipped one, loaded when first needed, when None.

        lock_seconds: how long a write waits for another writer. Raises LibraryError (missing, damaged, newer_version,
        other_embedder).
        """
        state = store.read(Path(path))
        if embedder is not None:
            _same_embedder(state, embedder, Path(path))
        return cls(Path(path), state, embedder, lock_seconds)

    @classmethod
    def default(cls, *, embedder: EmbedderLike | None = None) -> Library:
        """The library that came with this installation, read-only. Raises as `open` does, and WeightsError (missing)."""
        return cls.open(weights.shipped() / "library", embedder=embedder)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        embedder: EmbedderLike | None = None,
        base: Library | None = None,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> Library:
        """A new library in a folder that is not there or empty. base: begin with a copy of that library, else with nothing.

        Raises UsageError (bad_option) when the folder holds something, LibraryError (other_embedder, read_only).
        """
        path = Path(path)
        _make_folder(path)
        if base is not None:
            if embedder is not None:
                _same_embedder(base._view.state, embedder, base.path)
            state = replace(base._view.state, files={}, version=0, read_only=False)
            embedder = embedder or base._embedder
        else:
            embedder = embedder or _shipped_embedder()
            state = _empty(embedder)
        with store.lock(path, lock_seconds):
            state = store.write(path, state)
        return cls(path, state, embedder, lock_seconds)

    @classmethod
    def build(
        cls,
        path: str | Path,
        brands: Iterable[NewBrand],
        *,
        embedder: EmbedderLike,
        read_only: bool = False,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> Library:
        """Make a library of just these brands in a folder, in one step, in place of a library there, even a damaged one.

        read_only: refuse later changes, as the shipped library does. Raises UsageError (bad_option) when the folder holds
        something else, LibraryError (locked, read_only, other_embedder).
        """
        path = Path(path)
        _make_folder(path, store.POINTER)
        with store.lock(path, lock_seconds):
            state, _ = edits.extended(_empty(embedder), list(brands), path)
            state = store.write(path, replace(state, version=store.version(path), read_only=read_only))
        return cls(path, state, embedder, lock_seconds)

    @classmethod
    def reembed(
        cls, path: str | Path, *, embedder: EmbedderLike | None = None, lock_seconds: float = _LOCK_SECONDS
    ) -> tuple[Library, list[Reference]]:
        """Make the vectors of a library anew with another embedder, from its pictures; the library and the references lost.

        References that are kept as vectors only have no picture to embed and are dropped, with brands that have no other.
        Raises LibraryError (missing, damaged, newer_version, locked, read_only).
        """
        path = Path(path)
        embedder = embedder or _shipped_embedder()
        with store.lock(path, lock_seconds):
            state = store.read(path)
            _writable(state, path)
            kept = [r for r in state.references if r.thumbnail is not None]
            lost = [r for r in state.references if r.thumbnail is None]
            rows = [_embed_reference(read_picture(edits.picture(state, r)).pixels, embedder) for r in kept]
            named = {r.brand_id for r in kept}
            state = store.change(
                replace(state, embedder=EmbedderRecord(embedder.id, embedder.checksum, embedder.dim)),
                brands=tuple(b for b in state.brands if b.id in named or all(r.brand_id != b.id for r in lost)),
                references=tuple(replace(r, vectors=len(v)) for r, v in zip(kept, rows, strict=True)),
                vectors=edits.half(rows, embedder.dim),
            )
            state = store.write(path, state)
        return cls(path, state, embedder, lock_seconds), lost

    def subset(self, *, brands: Iterable[str] | None = None, kinds: Iterable[Kind] | None = None) -> Library:
        """A view of some of it, to search a watch-list or one kind of reference only. It cannot be changed.

        brands: names or aliases; all when None. kinds: "drawing", "photo"; both when None. Raises UsageError for an unknown name.
        """
        chosen = None if brands is None else {self.brand(name).id for name in brands}
        state = edits.part(self._view.state, chosen, None if kinds is None else set(kinds))
        return Library(self.path, replace(state, read_only=True), self._embedder, self._lock_seconds)

    # --- what it holds ---

    @property
    def embedder(self) -> EmbedderLike:
        """The embedder that crops and texts go through. Raises LibraryError (other_embedder), WeightsError."""
        if self._embedder is None:
            with self._once:
                if self._embedder is None:
                    embedder = _shipped_embedder()
                    _same_embedder(self._view.state, embedder, self.path)
                    self._embedder = embedder
        return self._embedder

    @property
    def version(self) -> int:
        """Grows by one with each write to the folder."""
        return self._view.state.version

    @property
    def checksum(self) -> str:
        """sha256 of the content: two libraries with the same brands, references and vectors in the same order agree."""
        return self._view.state.checksum

    @property
    def read_only(self) -> bool:
        """True for the shipped library."""
        return self._view.state.read_only

    def __len__(self) -> int:
        return len(self._view.state.brands)

    def __contains__(self, name: str) -> bool:
        return fold(name) in self._view.by_name

    def brands(self) -> list[Brand]:
        """All brands, in the order of their folded names."""
        return sorted(self._view.state.brands, key=lambda brand: (fold(brand.name), brand.id))

    def brand(self, name: str) -> Brand:
        """The brand of a name or alias, however it is spelled. Raises UsageError (bad_option) when there is none."""
        return edits.find(self._view.by_name, name, self.path)

    def references(self, brand: str | Brand) -> list[Reference]:
        """The references of a brand. Raises UsageError (bad_option) for an unknown name."""
        found = brand if isinstance(brand, Brand) else self.brand(brand)
        return [r for r in self._view.state.references if r.brand_id == found.id]

    def all_references(self) -> tuple[Reference, ...]:
        """Every reference, grouped by brand."""
        return self._view.state.references

    def thumbnail(self, reference_id: str) -> bytes | None:
        """A small encoded picture (WebP) of a reference; None when it is kept as vectors only or there is no such reference."""
        reference = self._view.by_reference.get(reference_id)
        return None if reference is None or reference.thumbnail is None else edits.picture(self._view.state, reference)

    def vectors(self, reference_id: str) -> Embeddings:
        """The (v, d) float32 vectors of a reference. Raises UsageError (bad_option) when there is no such reference."""
        view = self._view
        if reference_id not in view.by_reference:
            raise UsageError("bad_option", f"no reference {reference_id!r}", path=str(self.path))
        place = view.state.references.index(view.by_reference[reference_id])
        return np.asarray(view.table.vectors[view.row_reference == place])

    def all_vectors(self) -> Embeddings:
        """The (m, d) float32 vectors of every reference, one below the other in the order of `all_references`. Not to be changed."""
        return self._view.table.vectors

    # --- searching ---

    @overload
    def search(self, crops: list[Any] | tuple[Any, ...], k: int = 5) -> list[list[Match]]: ...
    @overload
    def search(self, crops: Any, k: int = 5) -> list[Match]: ...
    def search(self, crops: Any, k: int = 5) -> list[Match] | list[list[Match]]:
        """The k brands most like a crop, best first. A list of crops gives a list of such lists.

        crops: anything `read_picture` takes. Raises PictureError, LibraryError (other_embedder).
        """
        if not isinstance(crops, list | tuple):
            found: list[list[Match]] = self.search([crops], k)
            return found[0]
        pixels = [read_picture(crop, reduce_to=_DECODE_SIDE).pixels for crop in crops]
        return self.search_embeddings(self.embedder.embed_images(pixels), k)

    def search_text(self, text: str, k: int = 5) -> list[Match]:
        """The k brands whose pictures are most like a text ("white swoosh on red"), best first."""
        return self.search_embeddings(self.embedder.embed_texts([text]), k)[0]

    def match_names(self, lines_of_crops: Sequence[Sequence[TextLine]], k: int = 5) -> list[list[NameMatch]]:
        """For each crop's lines of text the k brands whose names fit best what was read, as `NameIndex.match` gives them."""
        index = self.name_index
        return [index.match(lines, k) for lines in lines_of_crops]

    @property
    def name_index(self) -> NameIndex:
        """Names and aliases of all brands, to be found in what was read; made when first needed."""
        view = self._view
        found = self._names
        if found is None or found[0] is not view:
            from vision.library.by_name import NameIndex

            with self._once:
                found = self._names
                if found is None or found[0] is not view:
                    spellings = ((b.name, name) for b in view.state.brands for name in (b.name, *b.aliases))
                    found = self._names = view, NameIndex(spellings)
        return found[1]

    def search_embeddings(self, embeddings: Embeddings, k: int = 5) -> list[list[Match]]:
        """For each row of (n, d) float32 unit vectors the k nearest brands, all different, best first, by their best reference.

        Equal cosines come in the order of the reference ids. Raises UsageError (bad_option) for k under 1,
        LibraryError (other_embedder) for vectors of another length.
        """
        view = self._view
        if k < 1:
            raise UsageError("bad_option", f"k is {k}", hint="at least 1")
        queries = self._queries(view, embeddings)
        return [[_match(view, hit) for hit in hits] for hits in self._nearest(view, queries, k)]

    def nearest_of(self, embeddings: Embeddings, brands_per_row: Sequence[Sequence[str]]) -> list[list[Match | None]]:
        """The nearest reference of each brand that is named for a crop, wherever it ranks, with the cosine that a search has.

        embeddings: (n, d) float32 unit vectors. brands_per_row: n lists of names or aliases. The answer has their lengths; None
        for a brand without references. Raises UsageError (bad_option) for an unknown name, LibraryError (other_embedder).
        """
        view = self._view
        queries = self._queries(view, embeddings)
        return [
            [self._nearest_of(view, query, name) for name in names]
            for query, names in zip(queries, brands_per_row, strict=True)
        ]

    def _nearest_of(self, view: _View, query: Embeddings, name: str) -> Match | None:
        rows = view.brand_rows.get(edits.find(view.by_name, name, self.path).id)
        if rows is None:
            return None
        hits = settle(query, np.arange(rows.start, rows.stop), view.table, 1)
        return _match(view, hits[0])

    def _queries(self, view: _View, embeddings: Embeddings) -> Embeddings:
        queries = np.asarray(embeddings, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != view.state.embedder.dim:
            raise LibraryError(
                "other_embedder",
                f"vectors of shape {queries.shape} do not fit a library of {view.state.embedder.dim} dimensions",
                path=str(self.path),
                hint=f"it was made with {view.state.embedder.id}",
            )
        return queries

    def _nearest(self, view: _View, queries: Embeddings, k: int) -> list[list[Hit]]:
        if len(queries) >= _MANY_QUERIES or not len(view.table):
            return nearest_brands(queries, view.table, k)
        index = self._index
        if index is None or index.table is not view.table:
            from vision.library.faiss_index import FaissIndex

            with self._once:
                index = self._index
                if index is None or index.table is not view.table:
                    index = self._index = FaissIndex(view.table)
        return index.nearest_brands(queries, k)

    # --- changing ---

    def add(
        self,
        name: str,
        images: Sequence[Any] | Any,
        *,
        aliases: Sequence[str] = (),
        product: str | None = None,
        source: str | None = None,
        licence: str | None = None,
        kind: Kind = "photo",
    ) -> list[Reference]:
        """Add pictures of a brand's mark, to the brand of that name or alias when there is one; the references made of them.

        images: one or a list of what `read_picture` takes: a clean logo, or a crop of a photo. Each is embedded as it is and,
        when a plain border surrounds it, cropped to its content. All are read before anything is written.
        Raises PictureError, UsageError (bad_option: empty name, no images, an alias of another brand), LibraryError (locked,
        read_only, other_embedder).
        """
        images = list(images) if isinstance(images, list | tuple) else [images]
        if not images:
            raise UsageError("bad_option", f"no pictures for {name!r}")
        edits.clean(name)
        _writable(self._view.state, self.path)
        made = []
        for image in images:
            picture = read_picture(image, reduce_to=_DECODE_SIDE)
            origin = (
                source
                if source is not None or picture.origin in {"array", "bytes", "PIL"}
                else Path(picture.origin).name
            )
            vectors = _embed_reference(picture.pixels, self.embedder)
            made.append(
                NewReference(vectors, kind, product, origin, licence, encode_thumbnail(picture.pixels, PICTURE_SIDE))
            )
        return self.extend([NewBrand(name, made, aliases)])

    def extend(self, brands: Iterable[NewBrand]) -> list[Reference]:
        """Add many brands and references with their vectors in one write; the references made. Raises as `add` does."""
        made: list[Reference] = []

        def edit(state: State) -> State:
            state, new = edits.extended(state, list(brands), self.path)
            made.extend(new)
            return state

        self._write(edit)
        return made

    def remove(self, name: str) -> Brand:
        """Remove a brand with its references; the brand. Raises UsageError (bad_option) when there is none of that name."""
        removed: list[Brand] = []

        def edit(state: State) -> State:
            removed.append(edits.find(edits.names_of(state), name, self.path))
            return edits.without(state, removed[0])

        self._write(edit)
        return removed[0]

    def rename(self, old: str, new: str) -> Brand:
        """Give a brand another display name; its id, references and aliases stay. The brand as it is now.

        Raises UsageError (bad_option) when there is no `old`, or `new` is a name or alias of another brand.
        """
        renamed: list[Brand] = []

        def edit(state: State) -> State:
            brand = edits.find(edits.names_of(state), old, self.path)
            state, after = edits.renamed(state, brand, new, self.path)
            renamed.append(after)
            return state

        self._write(edit)
        return renamed[0]

    def _write(self, edit: Callable[[State], State]) -> None:
        """Change what is on disk now by `edit`, in one step, and show the result."""
        _writable(self._view.state, self.path)
        with store.lock(self.path, self._lock_seconds):
            state = store.read(self.path)
            _writable(state, self.path)
            if state.embedder != self._view.state.embedder:
                raise LibraryError(
                    "other_embedder",
                    "re-embedded by another program since it was opened",
                    path=str(self.path),
                    hint="open it again",
                )
            self._view = _view_of(store.write(self.path, edit(state)))


def encode_thumbnail(pixels: Pixels, side: int) -> bytes:
    """(h, w, 3) uint8 as WebP with the longest side at most `side`."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90 if side > THUMBNAIL_SIDE else 75, method=4)
    return buffer.getvalue()


def crop_to_content(pixels: Pixels) -> Pixels | None:
    """The picture cut to what differs from its plain border, with a tenth of it as margin.

    None when its border is not plain, nothing differs, or less than a tenth of either side would go.
    """
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.int16)
    ground = np.median(edge, axis=0)
    if np.percentile(np.abs(edge - ground).max(axis=1), 98) >= _PLAIN:
        return None
    differs = np.abs(pixels.astype(np.int16) - ground).max(axis=2) >= _PLAIN
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return None
    height, width = pixels.shape[:2]
    margin = max(1, round(0.1 * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    top, bottom = max(0, rows[0] - margin), min(height, rows[-1] + 1 + margin)
    left, right = max(0, columns[0] - margin), min(width, columns[-1] + 1 + margin)
    if bottom - top > 0.9 * height and right - left > 0.9 * width:
        return None
    return pixels[top:bottom, left:right]


def _embed_reference(pixels: Pixels, embedder: EmbedderLike) -> Embeddings:
    content = crop_to_content(pixels)
    return embedder.embed_images([pixels] if content is None else [pixels, content])


def _view_of(state: State) -> _View:
    counts = [r.vectors for r in state.references]
    places: dict[str, int] = {}
    ids = [r.id for r in state.references]
    rank = np.empty(len(ids), dtype=np.int64)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    for reference in state.references:
        places.setdefault(reference.brand_id, len(places))
    row_reference = np.repeat(np.arange(len(ids)), counts)
    brand = np.array([places[r.brand_id] for r in state.references], dtype=np.int64)
    table = Table(state.vectors.astype(np.float32), brand[row_reference], rank[row_reference])
    edges = [*table.starts.tolist(), len(table)]
    return _View(
        state,
        table,
        row_reference,
        {b.id: b for b in state.brands},
        edits.names_of(state),
        {r.id: r for r in state.references},
        {brand_id: slice(edges[place], edges[place + 1]) for brand_id, place in places.items()},
    )


def _match(view: _View, hit: Hit) -> Match:
    reference = view.state.references[view.row_reference[hit.row]]
    brand = view.by_id[reference.brand_id]
    return Match(brand.name, reference.product, reference.id, hit.similarity)


def _writable(state: State, path: Path) -> None:
    if state.read_only:
        raise LibraryError(
            "read_only",
            "the shipped library stays as it is",
            path=str(path),
            hint="vision library create my-brands --from-shipped, then --library my-brands",
        )


def _same_embedder(state: State, embedder: EmbedderLike, path: Path) -> None:
    record = state.embedder
    if (record.id, record.checksum, record.dim) != (embedder.id, embedder.checksum, embedder.dim):
        again = "build --out DIR" if state.read_only else f"reembed --library {path}"
        raise LibraryError(
            "other_embedder",
            f"made with the embedder {record.id}, not {embedder.id}",
            path=str(path),
            hint=f"vision library {again}",
        )


def _empty(embedder: EmbedderLike) -> State:
    record = EmbedderRecord(embedder.id, embedder.checksum, embedder.dim)
    return State(record, vectors=np.zeros((0, embedder.dim), dtype=np.float16))


def _make_folder(path: Path, *unless: str) -> None:
    """Make a folder for a library. Raises UsageError when it holds something, unless a file of that name is in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        held = {found.name for found in path.iterdir()} - {".lock"}
    except FileExistsError:
        raise UsageError("bad_option", "this is a file", path=str(path), hint="name a folder") from None
    except OSError as error:
        raise LibraryError("read_only", f"cannot be written to: {error.strerror}", path=str(path)) from None
    if held and not held & set(unless):
        raise UsageError("bad_option", "the folder is not empty", path=str(path), hint="name another one")


def _shipped_embedder() -> EmbedderLike:
    from vision.embed import Embedder

    return Embedder.load()
