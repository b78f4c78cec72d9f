"""One write's files: what it put and dropped, the vectors and the pictures of the references it put. Written once, never changed.

    records-<n>.jsonl      {"drop": "reference", "id"}, {"put": "brand", "id", "name", …}, {"put": "reference", "id", "brand", …}
    vectors-<n>.npy        (m, d) float16, the vectors of the references it put, one after the other
    thumbnails-<n>.bin     their WebP pictures, one after the other

A state is what remains when the segments of its version are replayed in order. What a segment drops, it drops from the segments
before it. Records and vectors are checked against their digests whenever a library is opened, a picture when it is looked at.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import mmap
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import LibraryError
from vision.files import appears_whole
from vision.library.state import (
    RESTORE,
    Brand,
    EmbedderRecord,
    FileEntry,
    Half,
    Reference,
    Segment,
    State,
    Stored,
    Thumbnail,
    grouped,
)

DATA_FILE = re.compile(r"(brands|references|records|vectors|thumbnails)-(\d+)\.(jsonl|npy|bin)")
# Pictures are written in parts of at least this many bytes: a library of 100,000 pictures never stands in memory.
CHUNK = 1 << 22


@dataclass(slots=True)
class Changes:
    """What a segment says. brands, references: put, new or in place of the one with that id. dropped_…: ids of what is gone.

    watch: lists put, None for a list dropped. numbers: of `State.numbers`, put.
    """

    brands: list[Brand] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    dropped_brands: list[str] = field(default_factory=list)
    dropped_references: list[str] = field(default_factory=list)
    watch: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(
            (self.brands, self.references, self.dropped_brands, self.dropped_references, self.watch, self.numbers)
        )


def between(before: State, after: State) -> Changes:
    """What must be put and dropped to come from one state to the next. References that are not on disk yet count as put."""
    brands = {b.id: b for b in before.brands}
    put = [b for b in after.brands if brands.pop(b.id, None) != b]
    fresh = [r for r in after.references if r.stored is None]
    kept = {r.id for r in after.references if r.stored is not None}
    watch: dict[str, tuple[str, ...] | None] = {name: None for name in before.watch if name not in after.watch}
    watch |= {name: ids for name, ids in after.watch.items() if before.watch.get(name) != ids}
    after_ids = {b.id for b in after.brands}
    return Changes(
        put,
        fresh,
        [brand_id for brand_id in brands if brand_id not in after_ids],
        [r.id for r in before.references if r.id not in kept],
        watch,
        {key: number for key, number in after.numbers.items() if before.numbers.get(key) != number},
    )


def merged(rows: Iterable[Mapping[str, Any]], ids: Set[int], state: State) -> Changes:
    """What the last segments of a state say together. rows: all of their records. ids: theirs."""
    touched: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        verb = "put" if "put" in row else "drop"
        touched[verb, row[verb]].add(row["id"])
    lists = touched["put", "watch"] | touched["drop", "watch"]
    return Changes(
        [b for b in state.brands if b.id in touched["put", "brand"]],
        [r for r in state.references if r.stored is not None and r.stored.segment in ids],
        sorted(touched["drop", "brand"]),
        sorted(touched["drop", "reference"]),
        {name: state.watch.get(name) for name in sorted(lists)},
        {brand_id: state.numbers[brand_id] for brand_id in sorted(touched["put", "number"])},
    )


def whole(state: State) -> Changes:
    """The changes that make a state from nothing."""
    return Changes(list(state.brands), list(state.references), watch=dict(state.watch), numbers=dict(state.numbers))


def next_id(folder: Path) -> int:
    """A number that no data file of a folder has, not even one that a killed writer left."""
    return 1 + max((int(m[2]) for m in map(DATA_FILE.fullmatch, (p.name for p in folder.iterdir())) if m), default=0)


def write(folder: Path, number: int, changes: Changes, state: State) -> tuple[Segment, dict[str, Reference]]:
    """Write a segment; it, and the references it put as they now are on disk, by id. state: has their vectors and pictures."""
    files: dict[str, FileEntry] = {}
    stored: dict[str, Reference] = {}
    if changes.references:
        if len(changes.references) == len(state.references):
            rows = state.vectors
        else:
            wanted = {r.id for r in changes.references}
            mask = np.array([r.id in wanted for r in state.references], dtype=bool)
            rows = state.vectors[np.repeat(mask, [r.vectors for r in state.references])]
        files["vectors"] = write_file(folder, f"vectors-{number}.npy", [_npy(rows)])
        pictures = _Pictures(f"thumbnails-{number}.bin")
        if any(r.thumbnail for r in changes.references):
            files["thumbnails"] = write_file(folder, pictures.name, pictures.chunks(changes.references, state))
        row = 0
        for r in changes.references:
            stored[r.id] = replace(r, stored=Stored(number, row), thumbnail=pictures.places.get(r.id))
            row += r.vectors
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(changes, stored)]
    files["records"] = write_file(folder, f"records-{number}.jsonl", ["".join(lines).encode()])
    return Segment(number, files), stored


def write_file(folder: Path, name: str, parts: Iterable[bytes | memoryview]) -> FileEntry:
    """Write a file that appears whole."""
    digest, size = hashlib.sha256(), 0
    with appears_whole(folder / name) as fresh, fresh.open("wb") as out:
        for part in parts:
            out.write(part)
            digest.update(part)
            size += len(part)
    return FileEntry(name, digest.hexdigest(), size)


def replay(folder: Path, segments: Sequence[Segment], embedder: EmbedderRecord) -> State:
    """The state that segments make, in order. Raises FileNotFoundError, LibraryError (damaged); ValueError, KeyError, TypeError
    for records that are none.
    """
    brands: dict[str, Brand] = {}
    references: dict[str, Reference] = {}
    watch: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, int] = {}
    held: dict[str, dict[str, Any]] = {"reference": references, "brand": brands, "watch": watch}
    blobs: dict[str, bytes | mmap.mmap] = {}
    vectors: dict[int, Half] = {}
    with _uncollected():
        for segment in segments:
            vectors[segment.id] = np.zeros((0, embedder.dim), dtype=np.float16)
            if "vectors" in segment.files:
                vectors[segment.id] = read_vectors(folder, segment.files["vectors"])
            blob = ""
            if "thumbnails" in segment.files:
                blob = segment.files["thumbnails"].name
                blobs[blob] = map_file(folder, segment.files["thumbnails"])
            row = 0
            for record in read_rows(folder, segment.files["records"]):
                put = record.get("put")
                if put == "reference":
                    reference = _reference(record, blob, Stored(segment.id, row))
                    references.pop(reference.id, None)  # one in place of another comes last, as its vectors do
                    references[reference.id] = reference
                    row += reference.vectors
                elif put == "brand":
                    brands[record["id"]] = _brand(record)
                elif put == "watch":
                    watch[record["id"]] = tuple(record["brands"])
                elif put == "number":
                    numbers[record["id"]] = int(record["last"])
                else:  # what was put and dropped again before a merge is not there
                    held[record["drop"]].pop(record["id"], None)
            if row != len(vectors[segment.id]):
                raise ValueError(f"{row} rows are named of {len(vectors[segment.id])}")
        kept = list(references.values())
        ordered, rows = grouped(tuple(brands.values()), kept, _gather(kept, vectors, embedder.dim))
        return State(embedder, tuple(brands.values()), ordered, rows, blobs, watch, numbers)


def read_rows(folder: Path, entry: FileEntry) -> list[dict[str, Any]]:
    """The rows of a JSON lines file. Raises ValueError when it is none."""
    data = read_checked(folder, entry)
    # one array is parsed in half the time of 100,000 lines
    rows: list[dict[str, Any]] = json.loads(b"[" + data.rstrip(b"\n").replace(b"\n", b",") + b"]")
    return rows


def read_vectors(folder: Path, entry: FileEntry) -> Half:
    """A .npy file of float16 rows, never a pickle. Raises ValueError when it is none."""
    data = io.BytesIO(read_checked(folder, entry))
    if np.lib.format.read_magic(data) != (1, 0):
        raise ValueError(f"{entry.name} is no .npy file of version 1")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
    if dtype != np.float16 or fortran or len(shape) != 2:
        raise ValueError(f"{entry.name} holds {dtype} of shape {shape}")
    # without a copy: 100,000 references are 50 MB and more
    return np.frombuffer(data.getbuffer(), dtype=np.float16, offset=data.tell()).reshape(shape)


def read_checked(folder: Path, entry: FileEntry) -> bytes:
    """A file's bytes. Raises LibraryError (damaged) when they are not those of its digest."""
    data = (folder / Path(entry.name).name).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise LibraryError("damaged", f"{entry.name} was altered", path=str(folder), hint=RESTORE)
    return data


def map_file(folder: Path, entry: FileEntry) -> bytes | mmap.mmap:
    """A file's bytes, mapped: read when used, by any thread, also after the file was removed."""
    path = folder / Path(entry.name).name
    with path.open("rb") as data:
        size = os.fstat(data.fileno()).st_size
        if size != entry.size:
            what = f"{entry.name} has {size} bytes, not {entry.size}"
            raise LibraryError("damaged", what, path=str(folder), hint=RESTORE)
        # nothing cannot be mapped
        return mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) if size else b""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's garbage collector, which would walk over 100,000 fresh references again and again, for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Pictures:
    """A thumbnail file in the making; equal pictures are kept once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[str, Thumbnail] = {}

    def chunks(self, references: Sequence[Reference], state: State) -> Iterator[bytes]:
        known: dict[tuple[bytes, int], tuple[int, int, int]] = {}
        offset, waiting = 0, bytearray()
        for r in references:
            if r.thumbnail is None:
                continue
            blob, start, size, crc = r.thumbnail
            # one that was altered stays as it is, with the CRC that tells so to who looks at it: no other write fails of it
            data = bytes(state.blobs[blob][start : start + size])
            key = hashlib.sha256(data).digest(), crc
            if key not in known:
                known[key] = (offset, len(data), crc)
                offset += len(data)
                waiting += data
                if len(waiting) >= CHUNK:
                    yield bytes(waiting)
                    waiting.clear()
            self.places[r.id] = Thumbnail(self.name, *known[key])
        yield bytes(waiting)


def _gather(references: Sequence[Reference], vectors: Mapping[int, Half], dim: int) -> Half:
    """The rows of references that come segment by segment, those of replaced and dropped ones left out."""
    places: dict[int, list[tuple[int, int]]] = {number: [] for number in vectors}
    for r in references:
        if r.stored is not None:
            places[r.stored.segment].append((r.stored.row, r.vectors))
    parts = []
    for number, rows in vectors.items():
        here = places[number]
        if sum(count for _, count in here) == len(rows):
            parts.append(rows)
            continue
        mask = np.zeros(len(rows), dtype=bool)
        for row, count in here:
            mask[row : row + count] = True
        parts.append(rows[mask])
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros((0, dim), dtype=np.float16), *parts])


def _rows(changes: Changes, stored: Mapping[str, Reference]) -> Iterator[dict[str, Any]]:
    for noun, ids in (("reference", changes.dropped_references), ("brand", changes.dropped_brands)):
        yield from ({"drop": noun, "id": each} for each in ids)
    yield from ({"drop": "watch", "id": name} for name, ids in changes.watch.items() if ids is None)
    for b in changes.brands:
        row: dict[str, Any] = {"put": "brand", "id": b.id, "name": b.name}
        yield row | ({"aliases": b.aliases} if b.aliases else {}) | ({"negative": True} if b.negative else {})
    for r in changes.references:
        yield _reference_row(stored[r.id])
    yield from ({"put": "watch", "id": name, "brands": ids} for name, ids in changes.watch.items() if ids is not None)
    yield from ({"put": "number", "id": brand_id, "last": number} for brand_id, number in changes.numbers.items())


def _reference_row(r: Reference) -> dict[str, Any]:
    row = {
        "put": "reference",
        "id": r.id,
        "brand": r.brand_id,
        "kind": r.kind,
        "line": r.line,
        "product": r.product,
        "source": r.source,
        "licence": r.licence,
        "valid_from": r.valid_from and r.valid_from.isoformat(),
        "valid_until": r.valid_until and r.valid_until.isoformat(),
        "vectors": r.vectors,
        "thumbnail": r.thumbnail and r.thumbnail[1:],
    }
    return {key: value for key, value in row.items() if value is not None}


def _brand(row: Mapping[str, Any]) -> Brand:
    return Brand(row["id"], row["name"], tuple(row.get("aliases", ())), bool(row.get("negative", False)))


def _reference(row: Mapping[str, Any], blob: str, stored: Stored) -> Reference:
    get = row.get
    thumbnail, since, until = get("thumbnail"), get("valid_from"), get("valid_until")
    return Reference(
        row["id"],
        row["brand"],
        get("product"),
        get("source"),
        get("licence"),
        row["kind"],
        row["vectors"],
        None if thumbnail is None else Thumbnail(blob, *thumbnail),
        get("line"),
        None if since is None else date.fromisoformat(since),
        None if until is None else date.fromisoformat(until),
        stored,
    )


def _npy(rows: Half) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(rows, dtype=np.float16), allow_pickle=False)
    return buffer.getvalue()
