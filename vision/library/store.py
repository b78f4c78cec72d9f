"""The brand library on disk: one folder, no pickle, the old state or the new one and never a mixture.

    library.json           the pointer: schema, embedder, version, counts, and the manifest of this version with its sha256
    version-<v>.json       a version's manifest: when, by whom, what changed, and the segments that it is made of
    records-<n>.jsonl, vectors-<n>.npy, thumbnails-<n>.bin       a segment, see `segments`

A writer holds a lock, writes a segment with what changes and a manifest that names it after the segments before it, and then
replaces the pointer: nothing that a reader may have open is touched. Versions are kept, so that any of them can be read and made
the current one again; those beyond the last `KEEP` are removed, with the segments that no other names. Small segments are merged
now and then, so that a library is made of few files and each record is rewritten a few times at most.

Libraries of schema 1 (one version, four files) are read; the first write makes them schema 2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.errors import LibraryError
from vision.files import locked, not_readable
from vision.library import manifests, schema1, segments
from vision.library.manifests import Note
from vision.library.state import EmbedderRecord, Segment, State

# Versions that are kept. Each costs its manifest (some kB) and what later versions dropped.
KEEP = 50
# From this many segments on, the small ones are merged: opening reads three files a segment.
_MANY = 24
_READ_TRIES = 5


@contextlib.contextmanager
def lock(folder: Path, seconds: float) -> Iterator[None]:
    """Hold the folder's write lock. Raises LibraryError (missing), and as `vision.files.locked` does."""
    if not folder.is_dir():
        raise manifests.missing(folder)
    with locked(folder, seconds, "library"):
        yield


def read(folder: Path, version: int | None = None) -> State:
    """The current state of a library folder, or the one at an older version; records and vectors checked against their digests.

    Raises LibraryError (missing, damaged, newer_version), UsageError (bad_option) for a version that is not kept.
    """
    for _ in range(_READ_TRIES):
        pointer, digest = manifests.read_pointer(folder)
        try:
            state = _read_parts(folder, pointer, version)
        except FileNotFoundError as error:
            # a writer may have put a newer state in place between our two looks
            if manifests.read_pointer(folder)[1] == digest:
                raise manifests.damaged(folder, f"{Path(str(error.filename)).name} is not there") from None
            continue
        state.check(folder)
        return replace(state, pointer=digest if version is None else "")
    raise LibraryError("locked", "the library changes faster than it can be read", path=str(folder), hint="try again")


def current(folder: Path, known: State) -> State:
    """The current state; the one that is known already when nobody wrote since."""
    return known if known.pointer and manifests.read_pointer(folder)[1] == known.pointer else read(folder)


def commit(folder: Path, before: State, after: State, note: Note, *, based_on: State | None = None) -> State:
    """Make a state the next version, writing what is new in it only; the state as it now is on disk. The caller holds the lock.

    before: the state on disk. based_on: the state of this folder that `after` was made from, when that is an older one.
    """
    base = before if based_on is None else based_on
    if not base.segments:  # schema 1
        return write(folder, after, note, before=before)
    after.check(folder)
    changes = segments.between(base, after)
    held = base.segments
    if changes:
        segment, stored = segments.write(folder, segments.next_id(folder), changes, after)
        held = (*held, segment)
        after = replace(after, references=tuple(stored.get(r.id, r) for r in after.references))
    after = replace(after, segments=held, version=before.version + 1, blobs=_blobs(folder, after.blobs, held))
    tail = _to_merge(held)
    if tail:
        rows = (row for segment in tail for row in segments.read_rows(folder, segment.files["records"]))
        together = segments.merged(rows, {segment.id for segment in tail}, after)
        segment, _ = segments.write(folder, segments.next_id(folder), together, after)
        after = replace(after, segments=(*held[: -len(tail)], segment))
    pointer = manifests.write_manifest(folder, after, note, before, time=manifests.now())
    digest = manifests.write_pointer(folder, pointer)
    manifests.sweep(folder, after.version, KEEP)
    return read(folder) if tail else replace(after, pointer=digest)


def write(folder: Path, state: State, note: Note, *, before: State | None = None, keep: int = KEEP) -> State:
    """Make a state the next version, all of its data written anew in one segment. The caller holds the lock.

    before: the state on disk; when None, there is nothing or nothing that counts, and the version follows `state.version`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state.check(folder)
    if before is not None and not before.segments and keep > 1:  # schema 1: its version joins the log
        kept, _ = segments.write(folder, segments.next_id(folder), segments.whole(before), before)
        note_1 = Note(None, "as an older version of this package left it")
        manifests.write_manifest(folder, replace(before, segments=(kept,)), note_1, None, time=None)
    segment, _ = segments.write(folder, segments.next_id(folder), segments.whole(state), state)
    last = state.version if before is None else before.version
    after = replace(state, segments=(segment,), version=last + 1)
    pointer = manifests.write_manifest(folder, after, note, before, time=manifests.now())
    manifests.write_pointer(folder, pointer)
    manifests.sweep(folder, after.version, keep)
    return read(folder)


def compact(folder: Path, state: State, note: Note, keep: int) -> State:
    """Forget all but the last `keep` versions, and make one segment of what is left; the state. The caller holds the lock.

    That takes a version of its own, unless there is nothing to gain.
    """
    rows = sum(segment.files["vectors"].size for segment in state.segments if "vectors" in segment.files)
    if len(state.segments) == 1 and rows <= state.vectors.nbytes + 256:  # with the header of one .npy file
        manifests.sweep(folder, state.version, keep)
        return state
    return write(folder, state, note, before=state, keep=keep)


def version(folder: Path) -> int:
    """The version of the library in a folder; 0 when there is none, or none that can be read."""
    try:
        return int(manifests.read_pointer(folder)[0]["version"])
    except (LibraryError, KeyError, TypeError, ValueError):
        return 0


def _read_parts(folder: Path, pointer: Mapping[str, Any], version: int | None) -> State:
    try:
        if pointer["schema"] == schema1.SCHEMA and version in {None, pointer["version"]}:
            return schema1.read_parts(folder, pointer)
        manifest = manifests.read_manifest(folder, pointer, version)
        record = manifest["embedder"]
        held = manifests.segments_of(manifest)
        state = segments.replay(
            folder, held, EmbedderRecord(str(record["id"]), str(record["checksum"]), int(record["dim"]))
        )
        return replace(state, version=int(manifest["version"]), read_only=bool(manifest["read_only"]), segments=held)
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise not_readable(Path(str(error.filename)), error) from None
    except OSError as error:
        raise manifests.damaged(folder, f"{error.filename} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise manifests.damaged(folder, f"its files are not what they should be: {error!r}") from None


def _blobs(folder: Path, known: Mapping[str, Any], held: Sequence[Segment]) -> dict[str, Any]:
    """The pictures of segments, those that are open already as they are."""
    entries = [segment.files["thumbnails"] for segment in held if "thumbnails" in segment.files]
    return {e.name: known[e.name] if e.name in known else segments.map_file(folder, e) for e in entries}


def _to_merge(held: Sequence[Segment]) -> Sequence[Segment]:
    """The last segments that together outweigh the one that they begin with; none while there are few of them.

    Merged so, each record is rewritten about log(library / write) times, and a large segment only when as much came after it.
    """
    if len(held) <= _MANY:
        return ()
    after = sum(segment.size for segment in held)
    for place, segment in enumerate(held):
        after -= segment.size
        if segment.size <= after:
            return held[place:]
    return held[-2:]
