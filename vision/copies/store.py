"""The copy index on disk: one folder of append-only segments, the old state or the new one and never a mixture.

    copies.json           the pointer: schema, how pictures were hashed, and for each segment how many of its rows and bytes of
                          text are committed, with the CRC-32 of both
    segment-00001.rows    one row of 128 bytes (`ROW`) for each picture added, and for each one taken back
    segment-00001.text    {"id", "owner", "time"} of each row as JSON, one after the other; a row names its offset and size

A writer holds a lock, appends, syncs both files and then replaces the pointer. Only what the pointer counts exists: what a
crash left behind it is cut by the next writer, and what is inside it and altered is refused. A reader reads the pointer and then
no more than it counts, so that it needs no lock. Nothing is rewritten, and deleting is a row too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies import claims, verify
from vision.copies.entries import ENTRY, Entries, entry_rows
from vision.copies.hashes import CopyDescription, describe
from vision.errors import LibraryError, UsageError
from vision.images import read_picture
from vision.values import CopyClaim, Fingerprint
from vision.weights import write_atomically

SCHEMA = "vision.copies/1"
POINTER = "copies.json"
LOCK = ".lock"
# Changes when the same picture would get other bits: an index made another way cannot be searched.
HASHING = "pdq/512/1"
SEGMENT_ROWS = 1 << 20
LOCK_SECONDS = 10.0
# Pictures are decoded at the smallest scale whose longest side is at least this, as the scan does, so that both hash alike.
DECODE_SIDE = 1280

# kind: 1 a picture, 2 a picture without content on its ground, 3 the row `target` is taken back.
ROW = np.dtype(
    [
        ("pdq", "u1", 32),
        ("content", "u1", 32),
        ("sha256", "u1", 32),
        ("start", "<u8"),
        ("target", "<u8"),
        ("size", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("quality", "u1"),
        ("plain", "u1"),
        ("kind", "u1"),
        ("spare", "u1"),
    ]
)
PICTURE, PICTURE_WITHOUT_CONTENT, TAKEN_BACK = 1, 2, 3

Rows = npt.NDArray[np.void]
Text = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of the index. id: unique, chosen by the caller. time: ISO 8601, when it was first seen. owner: whose it is."""

    id: str
    owner: str | None
    time: str
    width: int
    height: int
    sha256: str
    fingerprint: Fingerprint

    @classmethod
    def of(cls, description: CopyDescription, id: str, owner: str | None = None, time: str | None = None) -> Entry:
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
        return cls(id, owner, time, description.width, description.height, description.sha256, description.fingerprint)


@dataclass(frozen=True, slots=True)
class _Segment:
    """How much of a segment is committed, and its CRC-32."""

    name: str
    rows: int = 0
    rows_crc: int = 0
    text_bytes: int = 0
    text_crc: int = 0


# Where the text of each row lies: in which segment (by number), at which byte, how long.
_PLACE = np.dtype([("start", "<u8"), ("size", "<u4"), ("segment", "<u4")])


class CopyIndex:
    """Pictures seen before, searched for the sources of others. Made by `create` and `open`.

    Searching is safe from many threads at once, but not while this object is changed. Others may change the folder meanwhile:
    this object goes on with what it read, until `refresh` or its own next change.
    In memory it takes about 110 bytes a picture; ids, owners and times stay on disk, mapped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name
        self._segments: list[_Segment] = []
        self._texts: list[Text] = []
        self._entries = Entries()
        self._places = np.zeros(0, dtype=_PLACE)
        self._alive = np.zeros(0, dtype=np.bool_)
        self._numbers: dict[str, int] | None = None  # by id, made for the first change

    @classmethod
    def create(cls, path: str | Path) -> CopyIndex:
        """A new, empty index in a folder that is not there or empty. Raises UsageError (bad_option) for any other."""
        path = Path(path)
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise UsageError(
                "bad_option", "this is no empty folder", path=str(path), hint="open it, or name another one"
            )
        path.mkdir(parents=True, exist_ok=True)
        _write_pointer(path, [])
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> CopyIndex:
        """The index in a folder. Raises LibraryError (missing, damaged, newer_version, other_embedder)."""
        index = cls(Path(path))
        index.refresh()
        return index

    def refresh(self) -> None:
        """See what has been committed since. Raises LibraryError (missing, damaged, newer_version, other_embedder)."""
        segments = _read_pointer(self.path)
        if [s.name for s in segments[: len(self._segments)]] != [s.name for s in self._segments]:
            raise _damaged(self.path, "its segments are not those that were read before")
        for number, segment in enumerate(segments):
            known = self._segments[number] if number < len(self._segments) else _Segment(segment.name)
            if segment == known:
                continue
            rows, text = _read_since(self.path, known, segment)
            self._take_in(number, rows)
            self._segments[number:] = [segment]
            self._texts[number:] = [text]

    @property
    def checksum(self) -> str:
        """sha256 over all that was read: what a scan notes to say which index it searched."""
        noted = json.dumps([HASHING, *(asdict(segment) for segment in self._segments)], sort_keys=True)
        return hashlib.sha256(noted.encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._alive.sum())

    def __iter__(self) -> Iterator[Entry]:
        """Every picture of the index, in the order added."""
        number = 0
        for segment in self._segments:
            # read again: searching keeps only what it needs of a row
            for row in np.fromfile(self.path / f"{segment.name}.rows", dtype=ROW, count=segment.rows):
                if self._alive[number]:
                    yield self._entry(number, row)
                number += 1

    def search(self, image: Any, radius: int = verify.RADIUS, limit: int | None = claims.MAX_CLAIMS) -> list[CopyClaim]:
        """The pictures of this index that an image was taken from, best first, at most `limit` (null: all).

        image: whatever `read_picture` takes. radius: Hamming bits, 0 to 63; 31 is what PDQ's makers advise.
        Raises PictureError when the image cannot be read, UsageError (bad_option).
        """
        return self.search_description(described(image), radius, limit)

    def search_description(
        self, description: CopyDescription, radius: int = verify.RADIUS, limit: int | None = claims.MAX_CLAIMS
    ) -> list[CopyClaim]:
        """As `search`, for a picture that was described before."""
        found = self._entries.find(description, radius, limit, self._alive)
        return [self._claim(hit, description) for hit in found]

    def add(self, image: Any, *, id: str, owner: str | None = None, time: str | None = None) -> bool:
        """Remember an image, on disk when this returns. False when the index had it already.

        image: whatever `read_picture` takes. id: any string; an entry of the same id is replaced, unless it is the same file
        of the same owner: then it stays, with the time when it was first seen. time: ISO 8601, now by default.
        Raises PictureError, UsageError (bad_option), LibraryError (locked, read_only, damaged).
        """
        return self.add_entries([Entry.of(described(image), id, owner, time)]) == 1

    def add_entries(self, entries: Iterable[Entry]) -> int:
        """As `add`, for many that become visible together; how many were new or replaced."""
        with self._writing() as numbers:
            change = _Change(len(self._alive))
            pending: dict[str, tuple[int, Entry]] = {}
            for entry in entries:
                place, before = pending.get(entry.id, (numbers.get(entry.id), None))
                if place is not None:
                    sha256, owner = (before.sha256, before.owner) if before else self._sha256_and_owner(place)
                    if sha256[:32] == entry.sha256[:32] and owner == entry.owner:
                        continue
                    change.take_back(place)
                pending[entry.id] = change.add(entry), entry
            self._commit(change)
            numbers.update((id, place) for id, (place, _) in pending.items())
        return change.added

    def delete(self, id: str) -> bool:
        """Forget an entry; False when there is none of that id. Raises LibraryError (locked, read_only, damaged)."""
        with self._writing() as numbers:
            if id not in numbers:
                return False
            change = _Change(len(self._alive))
            change.take_back(numbers[id])
            self._commit(change)
            del numbers[id]
        return True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[dict[str, int]]:
        """The lock of the folder, with all that was committed read; the number of each id's row."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path / LOCK, timeout=LOCK_SECONDS):
                before = len(self._alive)
                self.refresh()
                if self._numbers is None or len(self._alive) != before:
                    self._numbers = {self._note(n)["id"]: n for n in map(int, np.flatnonzero(self._alive))}
                yield self._numbers
        except Timeout:
            raise LibraryError(
                "locked", "another program is changing this index", path=str(self.path), hint="try again"
            ) from None
        except PermissionError as error:
            raise LibraryError("read_only", f"cannot be written: {error}", path=str(self.path)) from None

    def _commit(self, change: _Change) -> None:
        """Append rows and text, sync them, then replace the pointer; and read back what is now there."""
        if not change.rows:
            return
        segments = list(self._segments)
        if not segments or segments[-1].rows >= SEGMENT_ROWS:
            segments.append(_Segment(f"segment-{len(segments) + 1:05d}"))
        last = segments[-1]
        rows = np.stack(change.rows)
        rows["start"] += last.text_bytes
        segments[-1] = _Segment(
            last.name,
            last.rows + len(rows),
            zlib.crc32(rows.tobytes(), last.rows_crc),
            last.text_bytes + len(change.text),
            zlib.crc32(change.text, last.text_crc),
        )
        _append(self.path / f"{last.name}.text", last.text_bytes, bytes(change.text))
        _append(self.path / f"{last.name}.rows", last.rows * ROW.itemsize, rows.tobytes())
        _write_pointer(self.path, segments)
        self.refresh()

    def _take_in(self, segment: int, rows: Rows) -> None:
        """Put rows that were read into memory. Rows that take others back are there too, so that numbers stay; none is found."""
        fresh = np.zeros(len(rows), dtype=ENTRY)
        for name in ("content", "width", "height", "quality", "plain"):
            fresh[name] = rows[name]
        fresh["sha256"] = rows["sha256"][:, :16]
        fresh["has_content"] = rows["kind"] == PICTURE
        self._entries.add(np.ascontiguousarray(rows["pdq"]), fresh)
        places = np.zeros(len(rows), dtype=_PLACE)
        places["start"], places["size"], places["segment"] = rows["start"], rows["size"], segment
        self._places = np.concatenate([self._places, places])
        self._alive = np.concatenate([self._alive, rows["kind"] != TAKEN_BACK])
        self._alive[rows["target"][rows["kind"] == TAKEN_BACK]] = False

    def _note(self, number: int) -> dict[str, Any]:
        """id, owner and time of a row."""
        place = self._places[number]
        start = int(place["start"])
        text = self._texts[place["segment"]][start : start + int(place["size"])]
        note: dict[str, Any] = json.loads(text.tobytes())
        return note

    def _sha256_and_owner(self, number: int) -> tuple[str, str | None]:
        return self._entries[number]["sha256"].tobytes().hex(), self._note(number)["owner"]

    def _entry(self, number: int, row: np.void) -> Entry:
        content = row["content"].tobytes().hex() if row["kind"] == PICTURE else None
        fingerprint = Fingerprint(row["pdq"].tobytes().hex(), int(row["quality"]), content, int(row["plain"]))
        size = int(row["width"]), int(row["height"])
        return Entry(
            **self._note(number),
            width=size[0],
            height=size[1],
            sha256=row["sha256"].tobytes().hex(),
            fingerprint=fingerprint,
        )

    def _claim(self, hit: claims.Hit, description: CopyDescription) -> CopyClaim:
        note, row = self._note(hit.entry), self._entries[hit.entry]
        return hit.to_claim(
            source=note["id"],
            index=self.name,
            size=(description.width, description.height),
            source_size=(int(row["width"]), int(row["height"])),
            first_seen=note["time"],
            owner=note["owner"],
        )


class _Change:
    """Rows and text to be appended. first: the number that the first of them will have. Offsets count from this text's start."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.rows: list[Rows] = []
        self.text = bytearray()
        self.added = 0

    def add(self, entry: Entry) -> int:
        """Append a picture; the number of its row."""
        (pdq,), (known,) = entry_rows([(entry.fingerprint, entry.width, entry.height, entry.sha256)])
        row = self._row({"id": entry.id, "owner": entry.owner, "time": entry.time})
        row["pdq"] = pdq
        for name in ("content", "width", "height", "quality", "plain"):
            row[name] = known[name]
        row["sha256"] = np.frombuffer(bytes.fromhex(entry.sha256), dtype=np.uint8)
        row["kind"] = PICTURE if known["has_content"] else PICTURE_WITHOUT_CONTENT
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


def described(image: Any) -> CopyDescription:
    """What the index keeps of an image, a path, bytes, PIL image, array or Picture, decoded as the scan decodes it."""
    return describe(read_picture(image, reduce_to=DECODE_SIDE))


def _read_pointer(path: Path) -> list[_Segment]:
    pointer = path / POINTER
    try:
        found = json.loads(pointer.read_bytes())
        schema = str(found["schema"])
        if schema != SCHEMA:
            raise LibraryError(
                "newer_version", f"an index of schema {schema!r}", path=str(pointer), hint="update this package"
            )
        if found["hashing"] != HASHING:
            raise LibraryError(
                "other_embedder",
                f"its pictures were hashed by {found['hashing']!r}, this version hashes by {HASHING!r}",
                path=str(pointer),
                hint="make a new index from the pictures: vision copies add FOLDER --index DIR",
            )
        return [_Segment(**segment) for segment in found["segments"]]
    except (FileNotFoundError, NotADirectoryError):
        raise LibraryError(
            "missing",
            "there is no copy index here",
            path=str(path),
            hint="vision copies add FOLDER --index DIR makes one",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(pointer, f"no pointer of a copy index: {error!r}") from None


def _write_pointer(path: Path, segments: list[_Segment]) -> None:
    found = {"schema": SCHEMA, "hashing": HASHING, "segments": [asdict(segment) for segment in segments]}
    write_atomically(path / POINTER, (json.dumps(found, indent=1) + "\n").encode())


def _read_since(path: Path, known: _Segment, segment: _Segment) -> tuple[Rows, Text]:
    """The rows of a segment after those known, and all of its text, mapped. What is new is checked."""
    rows_path, text_path = path / f"{segment.name}.rows", path / f"{segment.name}.text"
    if segment.rows < known.rows or segment.text_bytes < known.text_bytes:
        raise _damaged(rows_path, "it has become shorter")
    try:
        rows = np.fromfile(rows_path, dtype=ROW, count=segment.rows - known.rows, offset=known.rows * ROW.itemsize)
        text: Text = np.memmap(text_path, dtype=np.uint8, mode="r", shape=(segment.text_bytes,))
    except (OSError, ValueError) as error:
        raise _damaged(rows_path, f"cannot be read: {error}") from None
    whole = (
        len(rows) == segment.rows - known.rows
        and zlib.crc32(rows.tobytes(), known.rows_crc) == segment.rows_crc
        and zlib.crc32(text[known.text_bytes :].tobytes(), known.text_crc) == segment.text_crc
    )
    if not whole:
        raise _damaged(rows_path, "it is not what was written")
    return rows, text


def _append(path: Path, end: int, data: bytes) -> None:
    """Write at `end`, cut what is behind, and sync. What lay there was never committed."""
    with path.open("r+b" if path.exists() else "x+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _damaged(path: Path, why: str) -> LibraryError:
    return LibraryError("damaged", why, path=str(path), hint="make the index again from its pictures")
