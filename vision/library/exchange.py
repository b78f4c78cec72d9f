"""A library in and out: a folder for each brand, and one file that holds all of a library.

The file is a zip of a library folder of one version: no pickle, every part with its sha256, readable when unpacked by hand.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vision.errors import LibraryError, PictureError, UsageError
from vision.files import appears_whole
from vision.images.find import find_inputs
from vision.library import decisions, edits, manifests, segments, store
from vision.library.edits import NewBrand, NewReference
from vision.library.library import Library
from vision.library.manifests import Note
from vision.library.names import fold
from vision.library.state import State

# Members of a library file. Anything else is refused: names decide where bytes go.
_MEMBER = re.compile(
    r"library\.json|decisions\.jsonl|version-\d+\.json|records-\d+\.jsonl|vectors-\d+\.npy|thumbnails-\d+\.bin"
)
# Text packs some twenty times; what unpacks to more than this in all is no library. Few ways of packing, for others pack bombs.
_PACKED = 64
_SMALL = 1 << 20
_WAYS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. added: ids of new references. brands: how many were not there before. held: references that were.

    faults: what was left out, a file, a folder or a brand, and why; the rest was imported.
    """

    added: tuple[str, ...]
    brands: int
    held: int
    faults: tuple[tuple[str, str], ...]


def import_folder(
    library: Library,
    folder: Path,
    *,
    source: str | None = None,
    licence: str | None = None,
    negative: bool = False,
    message: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Add a folder to a library: each folder in it is a brand, the pictures in that its references. In one write.

    Folders in a brand's folder are products, and with one more level between lines: BRAND/LINE/PRODUCT/picture.jpg. Pictures that
    the brand has already are not added again. source: the file's name when None. negative: the folders are no brands, but look
    like some. progress: is told how many pictures were read, and of how many.
    Raises UsageError (bad_option) when there is no such folder, LibraryError (locked, read_only, other_embedder).
    """
    if not folder.is_dir():
        raise UsageError("bad_option", "there is no such folder", path=str(folder))
    like = NewReference(np.zeros((0, 0), np.float32), "negative" if negative else "photo", None, source, licence)
    groups: dict[str, list[NewReference]] = {}
    faults = []
    files = list(find_inputs([os.fspath(folder)]))
    for number, found in enumerate(files, 1):
        place = "" if found.file is None else os.path.relpath(found.file, folder)
        *inner, _ = Path(place).parts or ("",)
        try:
            if found.error is not None:
                raise found.error
            if not inner:
                raise UsageError("bad_option", "it is in no brand's folder")
            brand, line, product = _place(inner)
            shown = replace(like, line=line, product=product)
            reference = library.new_reference(found.file, shown)  # first: a brand of broken pictures is no brand
            groups.setdefault(brand, []).append(reference)
        except (PictureError, UsageError) as error:
            faults.append((place or found.path, error.message))
        if progress is not None:
            progress(number, len(files))
    empty = [f.name for f in folder.iterdir() if f.is_dir() and f.name not in groups and not f.name.startswith(".")]
    faults += [(name, "no picture in it could be read") for name in sorted(empty)]
    brands = [NewBrand(name, references, (), negative) for name, references in groups.items()]
    imported = _import(library, brands, {}, message or f"imported the folder {folder.name}")
    return replace(imported, faults=(*faults, *imported.faults))


def import_file(library: Library, file: Path, *, message: str | None = None) -> Imported:
    """Add what a library file holds to a library, in one write: brands join those of their name, watch-lists theirs.

    References that are there already are not added again. Raises UsageError, LibraryError as `opened` does, and LibraryError
    (other_embedder, locked, read_only).
    """
    with opened(file) as other:
        record = other.state.embedder
        if record != library.state.embedder:
            raise LibraryError(
                "other_embedder",
                f"made with the embedder {record.id}, not {library.state.embedder.id}",
                path=str(file),
                hint="import it into a new library, and reembed that",
            )
        by_id = {b.id: b.name for b in other.state.brands}
        lists = {name: [by_id[i] for i in ids] for name, ids in other.state.watch.items()}
        imported = _import(library, edits.as_new(other.state), lists, message or f"imported the file {file.name}")
        take_decisions(library, other, file)
        return imported


def take_decisions(library: Library, other: Library, file: Path) -> None:
    """Remember in a library what was decided for the one in a file, `other`, which it holds already.

    Raises LibraryError (damaged, locked, read_only).
    """
    with zipfile.ZipFile(file) as packed:
        if decisions.DECIDED in packed.namelist():
            names = {b.id: b.name for b in other.state.brands}
            decisions.adopt(library, packed.read(decisions.DECIDED), names, file)


def export_library(library: Library, file: Path) -> None:
    """Write all that a library holds and what was decided for it, without its history, to one file.

    Raises UsageError (bad_option) when the file is there already or cannot be written, LibraryError (damaged) for an altered
    picture, which no library would take in.
    """
    if file.exists():
        raise UsageError("bad_option", "the file is there already", path=str(file), hint="choose another name")
    for reference in library.state.references:
        library.state.picture(reference)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            appears_whole(file) as fresh,
            zipfile.ZipFile(fresh, "w") as packed,
        ):
            state = replace(library.state, version=library.version - 1, read_only=False)
            store.write(Path(folder), state, Note(None, "exported"), keep=1)
            for path in sorted(Path(folder).iterdir()):
                how = zipfile.ZIP_STORED if path.suffix in {".bin", ".npy"} else zipfile.ZIP_DEFLATED
                packed.write(path, path.name, how)
            decided = library.path / decisions.DECIDED
            if decided.is_file():
                packed.write(decided, decided.name, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise UsageError("bad_option", f"cannot be written: {error.strerror}", path=str(file)) from None


@contextmanager
def opened(file: Path) -> Iterator[Library]:
    """The library in a file, to look into or to copy (`Library.create(base=)`) while the context lasts.

    Every part is checked. Raises UsageError (bad_option) when there is no such file, LibraryError (damaged, newer_version) for
    one that is no library's, or altered.
    """
    with tempfile.TemporaryDirectory() as folder:
        _unpack(file, Path(folder))
        try:
            state = store.read(Path(folder))
            for reference in state.references:
                state.picture(reference)
            decisions.Decisions.read(Path(folder))
        except LibraryError as error:
            hint = error.hint if error.code == "newer_version" else "export it again"
            raise LibraryError(error.code, error.message, path=str(file), hint=hint) from None
        yield Library(file, replace(state, read_only=True), None, 0)


def _place(folders: Sequence[str]) -> tuple[str, str | None, str | None]:
    """Brand, line and product of a picture in these folders."""
    brand, *inner = folders
    if len(inner) < 2:
        return brand, None, inner[0] if inner else None
    return brand, inner[0], inner[1]


def _unpack(file: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            if len({member.filename for member in members}) < len(members):
                raise _no_library(file, "it holds two parts of one name")
            if sum(m.file_size for m in members) > _PACKED * sum(m.compress_size for m in members) + _SMALL:
                raise _no_library(file, "it unpacks to more than a library")
            for member in members:
                if not _MEMBER.fullmatch(member.filename) or member.compress_type not in _WAYS:
                    raise _no_library(file, f"{member.filename!r} is no part of a library")
            for member in members:
                with packed.open(member) as part, (folder / member.filename).open("wb") as out:
                    shutil.copyfileobj(part, out, segments.CHUNK)
    except FileNotFoundError:
        raise UsageError("bad_option", "there is no such file", path=str(file)) from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _no_library(file, f"it cannot be unpacked: {error}") from None
    if not (folder / manifests.POINTER).is_file():
        raise _no_library(file, f"there is no {manifests.POINTER} in it")


def _import(library: Library, brands: Sequence[NewBrand], lists: dict[str, list[str]], message: str) -> Imported:
    faults: list[tuple[str, str]] = []
    held: list[int] = []
    added: list[str] = []
    known = {b.id for b in library.state.brands}

    def edit(state: State) -> State:
        new, count = edits.unheld(state, brands)
        held.append(count)
        state, made = edits.extended(
            state,
            new,
            library.path,
            skip=lambda number, error: faults.append((brands[number].name, error.message)),
            drop_aliases=True,
        )
        added.extend(reference.id for reference in made)
        names = edits.names_of(state)
        for name, watched in lists.items():
            joined = [names[fold(brand)] for brand in watched if fold(brand) in names]
            ids = [brand.id for brand in joined if not brand.negative]  # what is no brand here may be one there
            if not set(ids) <= set(state.watch.get(name, ())):
                state = edits.watching(state, name, [*state.watch.get(name, ()), *ids])
        return state

    library.change(edit, message)
    fresh = sum(b.id not in known and not b.negative for b in library.state.brands)
    return Imported(tuple(added), fresh, sum(held), tuple(faults))


def _no_library(file: Path, what: str) -> LibraryError:
    return LibraryError("damaged", what, path=str(file), hint="vision library export makes such files")
