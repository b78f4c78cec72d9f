"""`Library`: brands with their reference vectors, searched by crop, by text or by vector, and changed in one step or not at all.

A `Library` object shows one version of its folder, the one that was there when it was opened or last written through it.
Searching is safe from many threads. Writing takes the folder's lock, starts from what is on disk then, and never touches what
other readers have open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision import weights
from vision.errors import LibraryError, UsageError
from vision.images import read_picture
from vision.library import edits, manifests, store
from vision.library.edits import NewBrand, NewReference
from vision.library.history import Change, compare
from vision.library.manifests import Entry, Note
from vision.library.pictures import DECODE_SIDE, PICTURE_SIDE, check_shows_something, embed_reference, encode_thumbnail
from vision.library.reader import LibraryReader, same_embedder, shipped_embedder
from vision.library.state import Brand, EmbedderRecord, Kind, Reference, State
from vision.library.view import View

if TYPE_CHECKING:
    from vision.embed.contract import EmbedderLike

_LOCK_SECONDS = 10.0


class Library(LibraryReader):
    """A brand library: `open` one, take the `default` one, or `create` one; then `search`, `add`, `remove`, `rename`."""

    # --- opening ---

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        embedder: EmbedderLike | None = None,
        on: date | None = None,
        user: str | None = None,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> Library:
        """The library in a folder. embedder: the one to search with; the shipped one, loaded when first needed, when None.

        on: the day of the search, today when None: references that are not valid on it are not found. user: who writes, for the
        log. lock_seconds: how long a write waits for another writer.
        Raises LibraryError (missing, damaged, newer_version, other_embedder).
        """
        state = store.read(Path(path))
        if embedder is not None:
            same_embedder(state, embedder, Path(path))
        return cls(Path(path), state, embedder, lock_seconds, on=on, user=user)

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
        user: str | None = None,
        message: str | None = None,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> Library:
        """A new library in a folder that is not there or empty. base: begin with a copy of that library, else with nothing.

        message: for the log. Raises UsageError (bad_option) when the folder holds something, LibraryError (other_embedder,
        read_only).
        """
        path = Path(path)
        _make_folder(path)
        if base is not None:
            if embedder is not None:
                same_embedder(base._view.state, embedder, base.path)
            state = replace(base._view.state, version=0, read_only=False)
            embedder = embedder or base._embedder
            note = Note(user, message or f"a copy of {base.path.name}, version {base.version}")
        else:
            embedder = embedder or shipped_embedder()
            state, note = _empty(embedder), Note(user, message)
        with store.lock(path, lock_seconds):
            _make_folder(path)  # again: another program may have made one while the embedder was loaded
            state = store.write(path, state, note)
        return cls(path, state, embedder, lock_seconds, user=user)

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

        Its earlier versions are gone then. read_only: refuse later changes, as the shipped library does. Raises UsageError
        (bad_option) when the folder holds something else, LibraryError (locked, read_only, other_embedder).
        """
        path = Path(path)
        _make_folder(path, manifests.POINTER)
        with store.lock(path, lock_seconds):
            state, _ = edits.extended(_empty(embedder), list(brands), path)
            state = replace(state, version=store.version(path), read_only=read_only)
            state = store.write(path, state, Note(), keep=1)
        return cls(path, state, embedder, lock_seconds)

    @classmethod
    def reembed(
        cls,
        path: str | Path,
        *,
        embedder: EmbedderLike | None = None,
        user: str | None = None,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> tuple[Library, list[Reference]]:
        """Make the vectors of a library anew with another embedder, from its pictures; the library and the references lost.

        References that are kept as vectors only have no picture to embed and are dropped; their brands stay, by name.
        Raises LibraryError (missing, damaged, newer_version, locked, read_only).
        """
        path = Path(path)
        embedder = embedder or shipped_embedder()
        with store.lock(path, lock_seconds):
            before = store.read(path)
            _writable(before, path)
            kept = [r for r in before.references if r.thumbnail is not None]
            lost = [r for r in before.references if r.thumbnail is None]
            rows = [embed_reference(read_picture(before.picture(r)).pixels, embedder) for r in kept]
            after = replace(
                before,
                embedder=EmbedderRecord(embedder.id, embedder.checksum, embedder.dim),
                references=tuple(replace(r, vectors=len(v)) for r, v in zip(kept, rows, strict=True)),
                vectors=edits.half(rows, embedder.dim),
            )
            after = edits.numbered(after, before)
            after = store.write(path, after, Note(user, f"embedded anew with {embedder.id}"), before=before)
        return cls(path, after, embedder, lock_seconds, user=user), lost

    def subset(self, *, brands: Iterable[str] | None = None, kinds: Iterable[Kind] | None = None) -> Library:
        """A view of some of it, to search one part only. It cannot be changed.

        brands: names or aliases; all when None. kinds: "drawing", "photo", "negative"; all when None; brands all of whose
        references are of other kinds are left out. Raises UsageError for an unknown name.
        """
        chosen = None if brands is None else {self.brand(name).id for name in brands}
        state = edits.part(self._view.state, chosen, None if kinds is None else set(kinds))
        state = replace(state, read_only=True)
        return Library(self.path, state, self._embedder, self._lock_seconds, on=self._view.on)

    # --- changing ---

    def add(
        self,
        name: str,
        images: Sequence[Any] | Any | None = None,
        *,
        aliases: Sequence[str] = (),
        product: str | None = None,
        line: str | None = None,
        source: str | None = None,
        licence: str | None = None,
        kind: Kind = "photo",
        valid_from: date | None = None,
        valid_until: date | None = None,
        message: str | None = None,
    ) -> list[Reference]:
        """Add pictures of a brand's mark, to the brand of that name or alias when there is one; the references made of them.

        images: one or a list of what `read_picture` takes: a clean logo, or a crop of a photo. Each is embedded as it is and,
        when a plain border surrounds it, cropped to its content. All are read before anything is written; what the brand has
        already, of the same product and days, is not added again and stays as it is. None for a brand that is to be known by its
        name and aliases alone.
        line, product: what they show, in the order brand > line > product.
        valid_from, valid_until: the first and last day on which they count. message: for the log.
        Raises PictureError, UsageError (bad_option: empty name, no images, an alias of another brand), LibraryError (locked,
        read_only, other_embedder).
        """
        edits.clean(name)
        _writable(self._view.state, self.path)
        like = NewReference(
            np.zeros((0, 0), dtype=np.float32), kind, product, source, licence, None, line, valid_from, valid_until
        )
        made = [] if images is None else self._read(name, images, like)
        return self.extend([NewBrand(name, made, aliases)], message=message, skip_held=True)

    def add_negative(
        self,
        name: str,
        images: Sequence[Any] | Any,
        *,
        source: str | None = None,
        licence: str | None = None,
        message: str | None = None,
    ) -> list[Reference]:
        """Add pictures of what looks like a brand and is none: a recycling sign, a care label, a house banner.

        They compete in every search, and are never a brand: `Match.negative` says so. Raises as `add` does, and UsageError when
        a brand has that name.
        """
        edits.clean(name)
        _writable(self._view.state, self.path)
        like = NewReference(np.zeros((0, 0), dtype=np.float32), "negative", None, source, licence)
        new = NewBrand(name, self._read(name, images, like), (), True)
        return self.extend([new], message=message, skip_held=True)

    def _read(self, name: str, images: Sequence[Any] | Any, like: NewReference) -> list[NewReference]:
        images = list(images) if isinstance(images, list | tuple) else [images]
        if not images:
            raise UsageError("bad_option", f"no pictures for {name!r}")
        return [self.new_reference(image, like) for image in images]

    def new_reference(self, image: Any, like: NewReference) -> NewReference:
        """A picture read and embedded, to be added with `extend`; all but its vectors and picture are as of `like`.

        The file's name is its source when `like` names none. Raises PictureError (also empty: one colour throughout, or hardly
        a pixel, which would resemble any texture), LibraryError (other_embedder).
        """
        picture = read_picture(image, reduce_to=DECODE_SIDE)
        check_shows_something(picture)
        named = like.source is not None or picture.origin in {"array", "bytes", "PIL"}
        return replace(
            like,
            vectors=embed_reference(picture.pixels, self.embedder),
            source=like.source if named else Path(picture.origin).name,
            thumbnail=encode_thumbnail(picture.pixels, PICTURE_SIDE),
        )

    def extend(
        self, brands: Iterable[NewBrand], *, message: str | None = None, skip_held: bool = False
    ) -> list[Reference]:
        """Add many brands and references with their vectors in one write; the references made.

        skip_held: leave out the references that their brand has already. Raises as `add` does.
        """
        made: list[Reference] = []

        def edit(state: State) -> State:
            new = list(brands)
            state, added = edits.extended(state, edits.unheld(state, new)[0] if skip_held else new, self.path)
            made.extend(added)
            return state

        self.change(edit, message)
        return [self.reference(r.id) for r in made]

    def add_names(
        self, names: Sequence[tuple[str, Sequence[str]]], *, message: str | None = None
    ) -> list[tuple[int, UsageError]]:
        """Add many brands by their names and aliases alone, in one write; those that are known get the aliases they lack.

        The answer has the place and the fault of each that was left out: a name that is none, an alias of another brand.
        Raises LibraryError (locked, read_only).
        """
        refused: list[tuple[int, UsageError]] = []

        def edit(state: State) -> State:
            new = [NewBrand(name, (), aliases) for name, aliases in names]
            return edits.extended(state, new, self.path, skip=lambda i, error: refused.append((i, error)))[0]

        self.change(edit, message)
        return refused

    def remove(self, name: str, *, message: str | None = None) -> Brand:
        """Remove a brand with its references; the brand. Raises UsageError (bad_option) when there is none of that name."""
        removed: list[Brand] = []

        def edit(state: State) -> State:
            removed.append(edits.find(edits.names_of(state), name, self.path))
            return edits.without(state, removed[0])

        self.change(edit, message)
        return removed[0]

    def remove_reference(self, reference_id: str, *, message: str | None = None) -> Reference:
        """Remove one reference; it. Its brand stays, by name if need be. Raises UsageError (bad_option) for no such id."""
        return self.remove_references([reference_id], message=message)[0]

    def remove_references(self, reference_ids: Sequence[str], *, message: str | None = None) -> list[Reference]:
        """Remove some references in one write; they, in the order of the ids. Raises UsageError as `remove_reference` does."""
        removed: list[Reference] = []
        if not reference_ids:
            return removed

        def edit(state: State) -> State:
            held = {r.id: r for r in state.references}
            for reference_id in reference_ids:
                if reference_id not in held:
                    raise UsageError("bad_option", f"no reference {reference_id!r}", path=str(self.path))
                removed.append(held[reference_id])
            return edits.without_references(state, removed)

        self.change(edit, message)
        return removed

    def rename(self, old: str, new: str, *, message: str | None = None) -> Brand:
        """Give a brand another display name; its id, references and aliases stay. The brand as it is now.

        Raises UsageError (bad_option) when there is no `old`, or `new` is a name or alias of another brand.
        """
        renamed: list[Brand] = []

        def edit(state: State) -> State:
            brand = edits.find(edits.names_of(state), old, self.path)
            state, after = edits.renamed(state, brand, new, self.path)
            renamed.append(after)
            return state

        self.change(edit, message)
        return renamed[0]

    # --- watch-lists ---

    def watch(self, name: str, *brands: str, message: str | None = None) -> frozenset[str]:
        """Add brands to a watch-list, which is made when there is none; the list. Raises UsageError for an unknown brand."""
        return self._watch(name, lambda held, given: [*held, *given], brands, message)

    def unwatch(self, name: str, *brands: str, message: str | None = None) -> frozenset[str]:
        """Take brands from a watch-list, which is gone when none is left; the list. Raises UsageError as `watch` does."""
        self.watch_list(name)
        return self._watch(name, lambda held, given: [i for i in held if i not in given], brands, message)

    def _watch(
        self,
        name: str,
        join: Callable[[Sequence[str], Sequence[str]], list[str]],
        brands: Sequence[str],
        message: str | None,
    ) -> frozenset[str]:
        def edit(state: State) -> State:
            names = edits.names_of(state)
            given = [edits.find(names, brand, self.path) for brand in brands]
            for brand in given:
                if brand.negative:
                    raise UsageError("bad_option", f"{brand.name!r} is no brand", path=str(self.path))
            return edits.watching(state, name, join(state.watch.get(name, ()), [b.id for b in given]))

        self.change(edit, message)
        return self.watch_list(name) if name in self._view.state.watch else frozenset()

    # --- versions ---

    def log(self) -> list[Entry]:
        """The versions that are kept, newest first. Raises LibraryError (missing, damaged)."""
        return manifests.log(self.path)

    def diff(self, older: int, newer: int) -> Change:
        """What changed between two versions that are kept. Raises UsageError (bad_option) for another, LibraryError (damaged)."""
        return compare(store.read(self.path, older), store.read(self.path, newer))

    def rollback(self, version: int, *, message: str | None = None) -> None:
        """Make a new version that holds what an older one held. Ids that were given since are not given again.

        Raises UsageError (bad_option) for a version that is not kept, LibraryError (locked, read_only, other_embedder, damaged).
        """
        _writable(self._view.state, self.path)
        with store.lock(self.path, self._lock_seconds):
            before = store.current(self.path, self._view.state)
            _writable(before, self.path)
            older = store.read(self.path, version)
            if self._embedder is not None:
                same_embedder(older, self._embedder, self.path)
            note = Note(self._user, message or f"back to version {version}")
            after = edits.numbered(older, before)
            self._shown = View(store.commit(self.path, before, after, note, based_on=older), self._view.on)

    def compact(self, keep: int = store.KEEP, *, message: str | None = None) -> None:
        """Forget all but the last `keep` versions and write what is left together: smaller on disk, quicker to open.

        What was removed from the library is removed from the disk, once no version that is kept holds it.
        Raises UsageError (bad_option) for keep under 1, LibraryError (locked, read_only).
        """
        if keep < 1:
            raise UsageError("bad_option", f"to keep {keep} versions", hint="at least 1, the current one")
        _writable(self._view.state, self.path)
        with store.lock(self.path, self._lock_seconds):
            before = store.current(self.path, self._view.state)
            _writable(before, self.path)
            note = Note(self._user, message or "compacted")
            self._shown = View(store.compact(self.path, before, note, keep), self._view.on)

    def change(self, edit: Callable[[State], State], message: str | None = None) -> None:
        """Change what is on disk now by a function of its state, in one step, and show the result.

        A function that returns the very state that it got changes nothing, and makes no version. Raises what `edit` raises, and
        LibraryError (locked, read_only, damaged, other_embedder).
        """
        _writable(self._view.state, self.path)
        with store.lock(self.path, self._lock_seconds):
            before = store.current(self.path, self._view.state)
            _writable(before, self.path)
            if before.embedder != self._view.state.embedder:
                raise LibraryError(
                    "other_embedder",
                    "re-embedded by another program since it was opened",
                    path=str(self.path),
                    hint="open it again",
                )
            after = edit(before)
            if after is not before:
                after = store.commit(self.path, before, after, Note(self._user, message))
            if after is not self._view.state:
                self._shown = View(after, self._view.on)


def _writable(state: State, path: Path) -> None:
    if state.read_only:
        raise LibraryError(
            "read_only",
            "the shipped library stays as it is",
            path=str(path),
            hint="vision library create my-brands --from-shipped, then --library my-brands",
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
