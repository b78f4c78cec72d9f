"""The copy index on disk: one folder of append-only segments, the old state or the new one and never a mixture.

    copies.json           the pointer: schema, how pictures were described, and for each segment how many of its rows and bytes
                          of text and of features are committed, with the CRC-32 of the first two
    segment-00001.rows    one row of 144 bytes (`ROW`) for each picture added, and for each one taken back
    segment-00001.text    {"id", "owner", "time"} of each row as JSON, {"metadata"} where it has such, one after the other; a row
                          names its offset and size
    segment-00001.local   what each picture kept of its local features, about 7 kB, in the same way; a row has the CRC-32
    decisions.jsonl       what a person decided about pairs (`decisions.py`)
    words-00001/          postings by word, a cache that is made again from the features when it is not there

A writer holds a lock, appends, syncs its files and then replaces the pointer. Only what the pointer counts exists: what a
crash left behind it is cut by the next writer, and what is inside it and altered is refused. A reader reads the pointer and then
no more than it counts, so that it needs no lock. Nothing is rewritten, and deleting is a row too, until
`compact` writes what is left as new segments and points to these instead.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies.describe import CopyDescription
from vision.copies.entries import entry_rows
from vision.copies.local import encoder_checksum
from vision.errors import LibraryError, UsageError
from vision.files import LOCK, not_readable, write_atomically
from vision.values import Fingerprint

SCHEMA = "vision.copies/2"
POINTER = "copies.json"
# Changes when the same picture would get other bits: an index made another way cannot be searched. The encoder of the local
# features is named by its checksum beside it.
HASHING = "pdq/512/1+local/400/1"
SEGMENT_ROWS = 1 << 20
# kind: 1 a picture, 2 a picture without content on its ground, 3 the row `target` is taken back.
ROW = np.dtype(
    [
        ("pdq", "u1", 32),
        ("content", "u1", 32),
        ("sha256", "u1", 32),
        ("start", "<u8"),
        ("target", "<u8"),
        ("local_start", "<u8"),
        ("local_size", "<u4"),
        ("local_crc", "<u4"),
        ("size", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("quality", "u1"),
        ("plain", "u1"),
        ("kind", "u1"),
        ("spare", "u1"),
    ]
)
BYTE = np.dtype(np.uint8)
# The files of a segment.
PARTS = ("rows", "text", "local")
PICTURE, PICTURE_WITHOUT_CONTENT, TAKEN_BACK = 1, 2, 3

Rows = npt.NDArray[np.void]
Text = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of the index. id: unique, chosen by the caller. time: ISO 8601, when it was first seen. owner: whose it is.

    width, height: 0 for one of which only a hash is known. local: what it keeps of its local features; empty when nothing is.
    metadata: whatever else the caller wants to know of it again.
    """

    id: str
    owner: str | None
    time: str
    width: int
    height: int
    sha256: str
    fingerprint: Fingerprint
    local: bytes = field(default=b"", repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the features, as plain JSON types."""
        found = asdict(self)
        del found["local"]
        return found

    @classmethod
    def of(
        cls,
        description: CopyDescription,
        id: str,
        owner: str | None = None,
        time: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Entry:
        """An entry for a described picture. time: now by default.

        Raises UsageError (bad_option) for an empty id and for a time that is not ISO 8601.
        """
        if not id:
            raise UsageError("bad_option", "an id is an empty string")
        if time is None:
            time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            datetime.fromisoformat(time)
        except ValueError:
            raise UsageError("bad_option", f"the time {time!r} is not ISO 8601", hint="2026-01-05T10:00:00Z") from None
        return cls(
            id,
            owner,
            time,
            description.width,
            description.height,
            description.sha256,
            description.fingerprint,
            description.kept(),
            dict(metadata or {}),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """How much of a segment is committed, and its CRC-32."""

    name: str
    rows: int = 0
    rows_crc: int = 0
    text_bytes: int = 0
    text_crc: int = 0
    local_bytes: int = 0


class Change:
    """Rows and text to be appended. first: the number that the first of them will have. Offsets count from this text's start."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.rows: list[Rows] = []
        self.text = bytearray()
        self.local = bytearray()
        self.added = 0

    def add(self, entry: Entry) -> int:
        """Append a picture; the number of its row."""
        (pdq,), (known,) = entry_rows([(entry.fingerprint, entry.width, entry.height, entry.sha256)])
        note = {"id": entry.id, "owner": entry.owner, "time": entry.time}
        row = self._row(note | ({"metadata": dict(entry.metadata)} if entry.metadata else {}))
        row["pdq"] = pdq
        for name in ("content", "width", "height", "quality", "plain"):
            row[name] = known[name]
        row["sha256"] = np.frombuffer(bytes.fromhex(entry.sha256), dtype=np.uint8)
        row["kind"] = PICTURE if known["has_content"] else PICTURE_WITHOUT_CONTENT
        row["local_start"], row["local_size"] = len(self.local), len(entry.local)
        row["local_crc"] = zlib.crc32(entry.local)
        self.local += entry.local
        self.added += 1
        return self.first + len(self.rows) - 1

    def take_back(self, number: int) -> None:
        """Append the end of an earlier row, or of one in this change."""
        row = self._row({})
        row["target"], row["kind"] = number, TAKEN_BACK

    def _row(self, note: dict[str, Any]) -> Rows:
        # ASCII, so that ids with undecodable bytes can be kept
        text = json.dumps(note, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        row = np.zeros((), dtype=ROW)
        row["start"], row["size"] = len(self.text), len(text)
        self.text += text
        self.rows.append(row)
        return row


def is_new(path: Path) -> bool:
    """Whether an index can be made in a folder: not there, or empty but for what a program left that was just making one."""
    if not path.exists():
        return True
    return path.is_dir() and all(p.name == LOCK or p.name.startswith(f".{POINTER}.") for p in path.iterdir())


def hashing() -> str:
    """How this version describes pictures: an index made another way cannot be searched."""
    return f"{HASHING}/{encoder_checksum()[:12]}"


def number_of(name: str) -> int:
    """Of a segment, by its name."""
    return int(name.rpartition("-")[2])


def words_folder(path: Path, names: list[str]) -> Path:
    """Where the runs of words lie: numbers of rows begin again when the first segment is another one."""
    return path / f"words-{number_of(names[0]) if names else 1:05d}"


def read_pointer(path: Path) -> list[Segment]:
    """What is committed in a folder. Raises LibraryError (missing, damaged, newer_version, other_embedder, not_readable)."""
    pointer = path / POINTER
    try:
        found = json.loads(pointer.read_bytes())
        schema = str(found["schema"])
        if schema == "vision.copies/1":
            raise LibraryError(
                "other_embedder",
                "an index of an earlier version, which kept hashes alone",
                path=str(pointer),
                hint="make a new index from the pictures: vision copies add FOLDER --index DIR",
            )
        if schema != SCHEMA:
            raise LibraryError(
                "newer_version", f"an index of schema {schema!r}", path=str(pointer), hint="update this package"
            )
        if found["hashing"] != hashing():
            raise LibraryError(
                "other_embedder",
                f"its pictures were hashed by {found['hashing']!r}, this version hashes by {hashing()!r}",
                path=str(pointer),
                hint="make a new index from the pictures: vision copies add FOLDER --index DIR",
            )
        return [Segment(**segment) for segment in found["segments"]]
    except PermissionError as error:
        raise not_readable(pointer, error) from None
    except (FileNotFoundError, NotADirectoryError):
        raise LibraryError(
            "missing",
            "there is no copy index here",
            path=str(path),
            hint="vision copies add FOLDER --index DIR makes one",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(pointer, f"no pointer of a copy index: {error!r}") from None


def write_pointer(path: Path, segments: list[Segment]) -> None:
    """Commit these segments, whose files are synced."""
    found = {"schema": SCHEMA, "hashing": hashing(), "segments": [asdict(segment) for segment in segments]}
    write_atomically(path / POINTER, (json.dumps(found, indent=1) + "\n").encode())


def read_since(path: Path, known: Segment, segment: Segment) -> tuple[Rows, Text, Text]:
    """The rows, text and features of a segment, mapped. What is new of the first two is checked; features are, when they are
    read."""
    rows_path, text_path, local_path = (path / f"{segment.name}.{part}" for part in PARTS)
    if segment.rows < known.rows or segment.text_bytes < known.text_bytes:
        raise damaged(rows_path, "it has become shorter")
    rows = _mapped(rows_path, ROW, segment.rows)
    text, local = _mapped(text_path, BYTE, segment.text_bytes), _mapped(local_path, BYTE, segment.local_bytes)
    whole = (
        zlib.crc32(rows[known.rows :].tobytes(), known.rows_crc) == segment.rows_crc
        and zlib.crc32(text[known.text_bytes :].tobytes(), known.text_crc) == segment.text_crc
    )
    if not whole:
        raise damaged(rows_path, "it is not what was written")
    return rows, text, local


def appended(path: Path, segments: list[Segment], change: Change, after: int = 0) -> list[Segment]:
    """The segments of a folder after a change was appended to the last one; nothing points to it yet.

    after: the number after which the first one is numbered.
    """
    if not change.rows:
        return segments
    if not segments or segments[-1].rows >= SEGMENT_ROWS:
        number = (number_of(segments[-1].name) if segments else after) + 1
        segments = [*segments, Segment(f"segment-{number:05d}")]
    last = segments[-1]
    rows = np.stack(change.rows)
    rows["start"] += last.text_bytes
    rows["local_start"] += last.local_bytes
    _append(path / f"{last.name}.local", last.local_bytes, bytes(change.local))
    _append(path / f"{last.name}.text", last.text_bytes, bytes(change.text))
    _append(path / f"{last.name}.rows", last.rows * ROW.itemsize, rows.tobytes())
    return [
        *segments[:-1],
        Segment(
            last.name,
            last.rows + len(rows),
            zlib.crc32(rows.tobytes(), last.rows_crc),
            last.text_bytes + len(change.text),
            zlib.crc32(change.text, last.text_crc),
            last.local_bytes + len(change.local),
        ),
    ]


def empty_segment(path: Path, number: int) -> Segment:
    """A segment without rows, its files written."""
    segment = Segment(f"segment-{number:05d}")
    for part in PARTS:
        _append(path / f"{segment.name}.{part}", 0, b"")
    return segment


def remove_segment(path: Path, name: str) -> None:
    """Remove the files of a segment that nothing points to any more."""
    for part in PARTS:
        (path / f"{name}.{part}").unlink(missing_ok=True)


def _mapped(path: Path, dtype: np.dtype[Any], size: int) -> npt.NDArray[Any]:
    if not size:
        return np.zeros(0, dtype=dtype)
    try:
        return np.memmap(path, dtype=dtype, mode="r", shape=(size,))
    except PermissionError as error:
        raise not_readable(path, error) from None
    except (OSError, ValueError) as error:
        raise damaged(path, f"cannot be read: {error}") from None


def _append(path: Path, end: int, data: bytes) -> None:
    """Write at `end`, cut what is behind, and sync. What lay there was never committed."""
    with path.open("r+b" if path.exists() else "x+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def damaged(path: Path, why: str) -> LibraryError:
    """The error of a file that is not what was written."""
    return LibraryError("damaged", why, path=str(path), hint="make the index again from its pictures")
