"""Libraries of schema 1, which had one version: four files that the pointer names. Read only; the first write makes schema 2."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vision.library.segments import map_file, read_checked, read_rows, read_vectors
from vision.library.state import Brand, EmbedderRecord, FileEntry, Reference, State, Thumbnail

SCHEMA = "vision.library/1"
_PARTS = ("brands", "references", "vectors", "thumbnails")


def read_parts(folder: Path, pointer: Mapping[str, Any]) -> State:
    """The state of such a library. Raises FileNotFoundError, LibraryError (damaged); ValueError, KeyError, TypeError."""
    files = {}
    for part in _PARTS:
        name, sha256 = pointer["files"][part]["name"], pointer["files"][part]["sha256"]
        files[part] = FileEntry(name, sha256, (folder / Path(name).name).stat().st_size)
    record = pointer["embedder"]
    pictures = read_checked(folder, files["thumbnails"])  # they carry no digests of their own
    blob = files["thumbnails"].name
    return State(
        EmbedderRecord(str(record["id"]), str(record["checksum"]), int(record["dim"])),
        tuple(Brand(row["id"], row["name"], tuple(row["aliases"])) for row in read_rows(folder, files["brands"])),
        tuple(_reference(row, blob, pictures) for row in read_rows(folder, files["references"])),
        read_vectors(folder, files["vectors"]),
        {blob: map_file(folder, files["thumbnails"])},
        version=int(pointer["version"]),
        read_only=bool(pointer["read_only"]),
    )


def _reference(row: Mapping[str, Any], blob: str, pictures: bytes) -> Reference:
    thumbnail = None
    if row["thumbnail"] is not None:
        offset, size = row["thumbnail"]
        thumbnail = Thumbnail(blob, offset, size, zlib.crc32(memoryview(pictures)[offset : offset + size]))
    return Reference(
        row["id"],
        row["brand"],
        row["product"],
        row["source"],
        row["licence"],
        row["kind"],
        row["vectors"],
        thumbnail,
    )
