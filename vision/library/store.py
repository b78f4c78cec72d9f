"""The brand library on disk: one folder, no pickle, the old state or the new one and never a mixture.

    library.json            the pointer: schema, embedder, version, names and sha256 of the current data files
    brands-<g>.jsonl        {"id", "name", "aliases"}
    references-<g>.jsonl    {"id", "brand", "product", "source", "licence", "kind", "vectors", "thumbnail"}, grouped by brand
    vectors-<g>.npy         (m, d) float16, the vectors of the references one after the other
    thumbnails-<g>.bin      WebP pictures one after the other; a reference names its offset and size, or null

A writer holds a lock, writes the data files that change under a new generation g and then replaces the pointer; files that the
pointer no longer names are removed last. A reader reads the pointer, then the files; when one of them is gone because a writer
was faster, it begins again. What it has opened stays readable: everything but the thumbnails is in memory, and those are mapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vision.errors import LibraryError
from vision.weights import write_atomically

SCHEMA = "vision.library/1"
POINTER = "library.json"
_PARTS = {"brands": "jsonl", "references": "jsonl", "vectors": "npy", "thumbnails": "bin"}
_DATA_FILE = re.compile(r"(brands|references|vectors|thumbnails)-(\d+)\.(jsonl|npy|bin)")
_READ_TRIES = 5

Kind = Literal["drawing", "photo"]


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand. id: a slug that never changes. name: what people read. aliases: other names it is found by."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """One picture of a brand's mark.

    id: "coca-cola/3". brand_id: of its brand. source, licence: where it came from and on what terms, null when not known.
    kind: "drawing" (clean artwork) or "photo". vectors: how many rows of the library's vectors are its views.
    thumbnail: offset and size in the thumbnail file; null when the reference is kept as vectors only.
    """

    id: str
    brand_id: str
    product: str | None
    source: str | None
    licence: str | None
    kind: Kind
    vectors: int
    thumbnail: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class EmbedderRecord:
    """Which embedder made the vectors. id and checksum must both agree with the one that searches."""

    id: str
    checksum: str
    dim: int


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything that a library folder holds, at one version.

    references: grouped by brand, in the order of `brands`. vectors: (m, d) float16, in the order of the references.
    thumbnails: the bytes of the thumbnail file. files: name, sha256 of each part on disk. version: grows by one with each write.
    """

    embedder: EmbedderRecord
    brands: tuple[Brand, ...] = ()
    references: tuple[Reference, ...] = ()
    vectors: npt.NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float16))
    thumbnails: bytes | mmap.mmap = b""
    version: int = 0
    read_only: bool = False
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def checksum(self) -> str:
        """sha256 over the digests of the parts and the embedder's: what a scan notes to say which library it used."""
        noted = {part: self.files[part]["sha256"] for part in sorted(self.files)} | {"embedder": self.embedder.checksum}
        return hashlib.sha256(json.dumps(noted, sort_keys=True).encode()).hexdigest()

    def check(self, path: Path) -> None:
        """Raise LibraryError (damaged) unless the parts belong together."""
        places = {brand.id: place for place, brand in enumerate(self.brands)}
        order = [places.get(reference.brand_id, -1) for reference in self.references]
        rows = sum(reference.vectors for reference in self.references)
        whole = (
            len(places) == len(self.brands)
            and len({reference.id for reference in self.references}) == len(self.references)
            and -1 not in order
            and order == sorted(order)
            and all(reference.vectors > 0 for reference in self.references)
            and self.vectors.shape == (rows, self.embedder.dim)
            and all(sum(r.thumbnail) <= len(self.thumbnails) for r in self.references if r.thumbnail is not None)
        )
        if not whole:
            raise _damaged(path, "its files do not belong together")


@contextlib.contextmanager
def lock(folder: Path, seconds: float) -> Iterator[None]:
    """Hold the folder's write lock. Raises LibraryError (locked) when another writer holds it for longer than `seconds`."""
    from filelock import FileLock, Timeout

    if not folder.is_dir():
        raise _missing(folder)
    held = FileLock(folder / ".lock", timeout=seconds)
    try:
        held.acquire()
    except Timeout:
        raise LibraryError(
            "locked", "another program is writing to this library", path=str(folder), hint="try again when it is done"
        ) from None
    except OSError as error:  # no right to write, a read-only file system, a full disk
        raise LibraryError("read_only", f"cannot be written to: {error.strerror}", path=str(folder)) from None
    try:
        yield
    finally:
        held.release()


def read(folder: Path) -> State:
    """The current state of a library folder, every file checked against its digest.

    Raises LibraryError: missing, damaged, newer_version.
    """
    for _ in range(_READ_TRIES):
        pointer = _read_pointer(folder)
        try:
            return _read_parts(folder, pointer)
        except FileNotFoundError as error:
            # a writer may have put a newer state in place between our two looks
            if _read_pointer(folder) == pointer:
                raise _damaged(folder, f"{Path(str(error.filename)).name} is not there") from None
    raise LibraryError("locked", "the library changes faster than it can be read", path=str(folder), hint="try again")


def write(folder: Path, state: State) -> State:
    """Put a state in place of the current one, in one step; the state as it now is on disk. The caller holds the lock.

    Parts that are the very objects of a state that was read from this folder (`state.files` names them) are not written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state.check(folder)
    generation = 1 + max((int(m[2]) for m in map(_DATA_FILE.fullmatch, _names(folder)) if m), default=0)
    files = {}
    for part, suffix in _PARTS.items():
        kept = state.files.get(part)
        if kept is not None:
            files[part] = dict(kept)
            continue
        data = _encode(part, state)
        name = f"{part}-{generation}.{suffix}"
        write_atomically(folder / name, data)
        files[part] = {"name": name, "sha256": hashlib.sha256(data).hexdigest()}
    state = replace(state, files=files, version=state.version + 1)
    pointer = {
        "schema": SCHEMA,
        "version": state.version,
        "embedder": {"id": state.embedder.id, "checksum": state.embedder.checksum, "dim": state.embedder.dim},
        "read_only": state.read_only,
        "brands": len(state.brands),
        "references": len(state.references),
        "vectors": len(state.vectors),
        "files": files,
    }
    write_atomically(folder / POINTER, (json.dumps(pointer, indent=1, ensure_ascii=False) + "\n").encode())
    _sweep(folder, {entry["name"] for entry in files.values()})
    return state


def version(folder: Path) -> int:
    """The version of the library in a folder; 0 when there is none, or none that can be read."""
    try:
        return int(_read_pointer(folder)["version"])
    except (LibraryError, KeyError, TypeError, ValueError):
        return 0


def change(state: State, **parts: Any) -> State:
    """A state with some parts exchanged; `write` will write those and keep the files of the others."""
    kept = {part: entry for part, entry in state.files.items() if part not in parts}
    return replace(state, files=kept, **parts)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _sweep(folder: Path, current: set[str]) -> None:
    """Remove data files that the pointer no longer names, and leftovers of killed writers."""
    for name in _names(folder):
        if (_DATA_FILE.fullmatch(name) and name not in current) or re.fullmatch(r"\..*\.\d+\.new", name):
            # Windows does not remove what a reader has open: the next writer will
            with contextlib.suppress(OSError):
                (folder / name).unlink()


def _read_pointer(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / POINTER).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(folder) from None
    except OSError as error:
        raise _damaged(folder, f"{POINTER} cannot be read: {error.strerror}") from None
    try:
        pointer = json.loads(text)
        schema, number = str(pointer["schema"]).split("/")
    except (ValueError, KeyError, TypeError):
        raise _damaged(folder, f"{POINTER} is no library's") from None
    if schema == "vision.library" and number.isdecimal() and int(number) > 1:
        raise LibraryError(
            "newer_version",
            f"made by a newer version ({pointer['schema']})",
            path=str(folder),
            hint="update this package",
        )
    if pointer["schema"] != SCHEMA:
        raise _damaged(folder, f"{POINTER} has the schema {pointer['schema']!r}")
    found: dict[str, Any] = pointer
    return found


def _read_parts(folder: Path, pointer: Mapping[str, Any]) -> State:
    try:
        files = {part: pointer["files"][part] for part in _PARTS}
        paths = {part: folder / Path(entry["name"]).name for part, entry in files.items()}
        data: dict[str, Any] = {part: paths[part].read_bytes() for part in ("brands", "references", "vectors")}
        data["thumbnails"] = _map(paths["thumbnails"])
        for part, entry in files.items():
            if hashlib.sha256(data[part]).hexdigest() != entry["sha256"]:
                raise _damaged(folder, f"{entry['name']} was altered")
        record = pointer["embedder"]
        brands = [json.loads(line) for line in data["brands"].splitlines()]
        references = [json.loads(line) for line in data["references"].splitlines()]
        state = State(
            EmbedderRecord(str(record["id"]), str(record["checksum"]), int(record["dim"])),
            tuple(Brand(row["id"], row["name"], tuple(row["aliases"])) for row in brands),
            tuple(_reference(row) for row in references),
            np.load(io.BytesIO(data["vectors"]), allow_pickle=False),
            data["thumbnails"],
            int(pointer["version"]),
            bool(pointer["read_only"]),
            files,
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(folder, f"{error.filename} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"its files are not what they should be: {error!r}") from None
    state.check(folder)
    return state


def _map(path: Path) -> bytes | mmap.mmap:
    """A file's bytes, mapped: read when used, by any thread, also after the file was removed."""
    with path.open("rb") as data:
        if not path.stat().st_size:
            return b""  # nothing cannot be mapped
        return mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ)


def _reference(row: Mapping[str, Any]) -> Reference:
    thumbnail = row["thumbnail"]
    return Reference(
        row["id"],
        row["brand"],
        row["product"],
        row["source"],
        row["licence"],
        row["kind"],
        row["vectors"],
        None if thumbnail is None else (int(thumbnail[0]), int(thumbnail[1])),
    )


def _encode(part: str, state: State) -> bytes:
    if part == "vectors":
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(state.vectors, dtype=np.float16), allow_pickle=False)
        return buffer.getvalue()
    if part == "thumbnails":
        return bytes(state.thumbnails)
    rows: Sequence[dict[str, Any]]
    if part == "brands":
        rows = [{"id": b.id, "name": b.name, "aliases": list(b.aliases)} for b in state.brands]
    else:
        rows = [
            {
                "id": r.id,
                "brand": r.brand_id,
                "product": r.product,
                "source": r.source,
                "licence": r.licence,
                "kind": r.kind,
                "vectors": r.vectors,
                "thumbnail": None if r.thumbnail is None else list(r.thumbnail),
            }
            for r in state.references
        ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _missing(folder: Path) -> LibraryError:
    return LibraryError(
        "missing", "there is no brand library", path=str(folder), hint=f"vision library create {folder}"
    )


def _damaged(folder: Path, what: str) -> LibraryError:
    return LibraryError(
        "damaged",
        what,
        path=str(folder),
        hint="restore the folder from a backup, or make it again: vision library build",
    )
