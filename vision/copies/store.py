"""The copy index on disk: one folder of append-only segments, the old state or the new one and never a mixture.

    copies.json           the pointer: schema, how pictures were described, and for each segment how many of its rows and bytes
                          of text and of features are committed, with the CRC-32 of the first two
    segment-00001.rows    one row of 144 bytes (`ROW`) for each picture added, and for each one taken back
    segment-00001.text    {"id", "owner", "time"} of each row as JSON, {"metadata"} where it has such, one after the other; a row
                          names its offset and size
    segment-00001.local   what each picture kept of its local features, about 7 kB, in the same way; a row has the CRC-32
    decisions.jsonl       what a person decided about pairs (`decisions.py`)
    words-00001/          postings by word, a cache that is made again from the features when it is not there

A writer holds a lock, appends, syncs both files and then replaces the pointer. Only what the pointer counts exists: what a
crash left behind it is cut by the next writer, and what is inside it and altered is refused. A reader reads the pointer and then
no more than it counts, so that it needs no lock. Nothing is rewritten, and deleting is a row too, until
`compact` writes what is left as new segments and points to these instead.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies import claims, decisions, verify
from vision.copies.decisions import LOCK_SECONDS, Decisions
from vision.copies.describe import CopyDescription, describe
from vision.copies.entries import ENTRY, Entries, Logos, entry_rows
from vision.copies.flood import FloodGuard
from vision.copies.hashes import turned_hashes
from vision.copies.local import Reference, encoder_checksum, no_features
from vision.copies.logos import logo_boxes
from vision.errors import LibraryError, UsageError
from vision.files import LOCK, locked, not_readable, write_atomically
from vision.geometry import Boxes
from vision.images import read_picture
from vision.values import CopyClaim, Fingerprint, Result

SCHEMA = "vision.copies/2"
POINTER = "copies.json"
# Changes when the same picture would get other bits: an index made another way cannot be searched. The encoder of the local
# features is named by its checksum beside it.
HASHING = "pdq/512/1+local/400/1"
SEGMENT_ROWS = 1 << 20
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
# Pictures that are merged or compacted in one go.
MERGED_AT_ONCE = 1024
# The distance told of a pair that a person confirmed and no search finds.
UNKNOWN_DISTANCE = 256
PICTURE, PICTURE_WITHOUT_CONTENT, TAKEN_BACK = 1, 2, 3
# A picture that is, as a whole, a copy of so many others follows them when all are compared with each other: else a thousand
# copies of one picture would be half a million comparisons.
CORE = 12

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
class _Segment:
    """How much of a segment is committed, and its CRC-32."""

    name: str
    rows: int = 0
    rows_crc: int = 0
    text_bytes: int = 0
    text_crc: int = 0
    local_bytes: int = 0


# Where the text and the features of each row lie: in which segment (by number), at which byte, how long.
_PLACE = np.dtype(
    [
        ("start", "<u8"),
        ("local_start", "<u8"),
        ("size", "<u4"),
        ("local_size", "<u4"),
        ("local_crc", "<u4"),
        ("segment", "<u4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Ties:
    """What one picture of an index claims of those before it. follows: it is one of a crowd, and no later one was compared
    with it.
    """

    id: str
    claims: tuple[CopyClaim, ...]
    follows: bool = False


class CopyIndex:
    """Pictures seen before, searched for the sources of others. Made by `create` and `open`.

    Searching is safe from many threads at once, but not while this object is changed. Others may change the folder meanwhile:
    this object goes on with what it read, until `refresh` or its own next change.
    In memory it takes about 130 bytes a picture; ids, owners, times, features and finished runs of words stay on disk, mapped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name
        self._guard = FloodGuard()
        self._forget([])

    def _forget(self, names: list[str]) -> None:
        """Hold nothing, and get ready for the segments of these names."""
        self._segments: list[_Segment] = []
        self._rows: list[Rows] = []
        self._texts: list[Text] = []
        self._locals: list[Text] = []
        self._entries = Entries(self._reference, _words_folder(self.path, names))
        self._places = np.zeros(0, dtype=_PLACE)
        self._alive = np.zeros(0, dtype=np.bool_)
        self._numbers: tuple[int, dict[str, int]] | None = None  # by id, and of how many rows; made when first needed
        self._by_content: dict[bytes, list[int]] | None = None  # by half a sha256, made for the first decision
        self._decisions = Decisions()
        self._decided: tuple[int, int] | None = None

    @classmethod
    def create(cls, path: str | Path) -> CopyIndex:
        """A new, empty index in a folder that is not there or empty.

        Raises UsageError (bad_option) for any other, LibraryError (locked, read_only).
        """
        path = Path(path)
        if not is_new(path):
            raise UsageError(
                "bad_option", "this is no empty folder", path=str(path), hint="open it, or name another one"
            )
        path.mkdir(parents=True, exist_ok=True)
        with locked(path, LOCK_SECONDS, "index"):
            if not (path / POINTER).exists():  # another program may have been quicker
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
        while True:
            try:
                self._take_up(segments)
                break
            except LibraryError:
                before, segments = segments, _read_pointer(self.path)
                if segments == before:
                    raise
                # compacted between the two looks: its files are gone, and others are there
        self._refresh_decisions()

    def _take_up(self, segments: list[_Segment]) -> None:
        """Read what the segments hold beyond what is known of them."""
        names = [segment.name for segment in segments]
        if not self._segments or names[: len(self._segments)] != [s.name for s in self._segments]:
            self._forget(names)  # nothing read yet, or compacted since
        grown = False
        for number, segment in enumerate(segments):
            is_known = number < len(self._segments)
            known = self._segments[number] if is_known else _Segment(segment.name)
            if is_known and segment == known:
                continue
            rows, text, local = _read_since(self.path, known, segment)
            self._take_in(number, rows[known.rows :])
            self._segments[number:] = [segment]
            self._rows[number:] = [rows]
            self._texts[number:] = [text]
            self._locals[number:] = [local]
            grown = True
        if grown:
            self._by_content = None
            self._take_in_words()

    @property
    def checksum(self) -> str:
        """sha256 over all that was read: what a scan notes to say which index it searched."""
        decided = [asdict(decision) for decision in self._decisions]
        noted = json.dumps([_hashing(), *(asdict(segment) for segment in self._segments), decided], sort_keys=True)
        return hashlib.sha256(noted.encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._alive.sum())

    def __iter__(self) -> Iterator[Entry]:
        """Every picture of the index, in the order added."""
        return self.entries()

    def entries(self, *, features: bool = True) -> Iterator[Entry]:
        """The same. features: with what they keep of their local features, some 7 kB each, read and checked."""
        number = 0
        for rows in self._rows:
            for row in rows:
                if number < len(self._alive) and self._alive[number]:
                    yield self._entry(number, row, features=features)
                number += 1

    def get(self, id: str) -> Entry | None:
        """The picture of an id, without its features; None when there is none."""
        number = self._by_id().get(id)
        return None if number is None else self._entry(number, self._row_of(number), features=False)

    def _row_of(self, number: int) -> np.void:
        for rows in self._rows:
            if number < len(rows):
                return rows[number]  # type: ignore[no-any-return]  # a row of a structured array
            number -= len(rows)
        raise IndexError(number)

    def search(self, image: Any, radius: int = verify.RADIUS, limit: int | None = claims.MAX_CLAIMS) -> list[CopyClaim]:
        """The pictures of this index that an image was taken from, best first, at most `limit` (null: all).

        image: whatever `read_picture` takes. radius: Hamming bits, 0 to 63; 31 is what PDQ's makers advise.
        Raises PictureError when the image cannot be read, UsageError (bad_option), WeightsError (missing, wrong_checksum).
        """
        picture = read_picture(image, reduce_to=DECODE_SIDE)
        return self.search_description(describe(picture, close=True), radius, limit, logos=lambda: logo_boxes(picture))

    def search_description(
        self,
        description: CopyDescription,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        *,
        logos: Logos | None = None,
    ) -> list[CopyClaim]:
        """As `search`, for a picture that was described before.

        logos: see `hits`.
        """
        return self.claims_of(self.hits(description, radius, limit, logos=logos), description)

    def hits(
        self,
        description: CopyDescription,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        *,
        logos: Logos | None = None,
    ) -> list[claims.Hit]:
        """The first half of `search_description`, which any thread may do for any picture in any order.

        logos: gives (n, 4) boxes of the logos on it, xyxy pixels at full scale, when parts of it agree with something: what
        agrees only there is the same logo on another picture. Without, such pairs may be claimed.
        What a person decided about this picture and one of the index holds: denied pairs are no claims, confirmed ones are.
        """
        claims.check_limit(limit)
        # a claim that was denied makes room for the next one; without any all that is beyond the limit need not be looked at
        decided = self._decisions.about(description.sha256)
        found = self._entries.find(description, radius, None if decided else limit, self._alive, logos=logos)
        return claims.ordered(self._as_decided(found, description.sha256), limit) if decided else found

    def claims_of(self, hits: Sequence[claims.Hit], description: CopyDescription) -> list[CopyClaim]:
        """The second half: the claims, but those on entries that suddenly match everything. The order of calls matters."""
        made = [self._claim(hit, description) for hit in hits]
        inexact = [claim.source for claim, hit in zip(made, hits, strict=True) if not hit.identical]
        passed = self._guard.pass_on(description.sha256, inexact)
        return [c for c, hit in zip(made, hits, strict=True) if hit.identical or c.source in passed]

    def remember(self, result: Result) -> None:
        """Count the claims on this index in a row of a scan that is gone on with, as `claims_of` did when it was made."""
        if result.sha256 is not None:
            ours = (claim for claim in result.copies if claim.index == self.name and not claims.is_identical(claim))
            self._guard.pass_on(result.sha256, [claim.source for claim in ours])

    @property
    def quarantined(self) -> list[str]:
        """Ids of entries that suddenly matched everything and are claimed no more by this object (see `flood.py`)."""
        return self._guard.quarantined

    def ties(self, logos: Callable[[Entry], Boxes] | None = None) -> Iterator[Ties]:
        """Every picture of the index in its order, with its claims on those before it.

        Of a picture that is there hundreds of times the first are compared with each other. The rest follow them: they are
        compared with `CORE` of these alone, and nothing is compared with them.
        Asked by what was kept of each picture, which is less than the picture itself: small insets are found less often, and the
        distance of a turned one is off by a dozen bits.
        logos: as for `search_description`, of the picture of an entry.
        """
        alive = np.zeros_like(self._alive)
        for entry, number in zip(self, np.flatnonzero(self._alive), strict=True):
            description = self._kept_description(entry)
            crowd = None if self._decisions.about(entry.sha256) else CORE
            found = self._entries.find(
                description,
                verify.RADIUS,
                None,
                alive,
                logos=None if logos is None else functools.partial(logos, entry),
                crowd=crowd,
            )
            hits = self._as_decided(found, entry.sha256, alive)
            follows = crowd is not None and claims.within(found, verify.RADIUS) >= crowd
            yield Ties(entry.id, tuple(self._claim(hit, description) for hit in hits), follows)
            alive[number] = not follows

    def _kept_description(self, entry: Entry) -> CopyDescription:
        """A picture of the index as a query, from what was kept of it."""
        fingerprint = entry.fingerprint
        hashes = turned_hashes(fingerprint.pdq)
        content = (
            np.zeros((8, 32), dtype=np.uint8) if fingerprint.content is None else turned_hashes(fingerprint.content)
        )
        local = Reference.from_bytes(entry.local).as_query() if entry.local else no_features()
        return CopyDescription(fingerprint, hashes, content, local, entry.width, entry.height, entry.sha256)

    def _as_decided(
        self, found: list[claims.Hit], sha256: str, alive: npt.NDArray[np.bool_] | None = None
    ) -> list[claims.Hit]:
        """The hits without those that were denied, and with all that were confirmed, at probability 1."""
        alive = self._alive if alive is None else alive
        kept = []
        for hit in found:
            said = self._decisions.of(sha256, self._entries[hit.entry]["sha256"].tobytes().hex())
            if said != "denied":
                kept.append(hit if said is None else replace(hit, probability=1.0))
        there = {hit.entry for hit in kept}
        for digest in self._decisions.confirmed_with(sha256):
            for number in self._numbers_of(digest):
                if alive[number] and number not in there:
                    kept.append(claims.Hit(number, claims.CONFIRMED, UNKNOWN_DISTANCE, 1.0))
        return kept

    def _numbers_of(self, digest: str) -> list[int]:
        """The entries with that content."""
        if self._by_content is None:
            found: dict[bytes, list[int]] = {}
            for number in map(int, np.flatnonzero(self._alive)):
                found.setdefault(self._entries[number]["sha256"].tobytes(), []).append(number)
            self._by_content = found  # whole, as other threads may be waiting for it
        return self._by_content.get(bytes.fromhex(digest)[:16], [])

    def _refresh_decisions(self) -> None:
        """Read the decisions again when their file changed."""
        try:
            status = (self.path / decisions.DECIDED).stat()
            changed = (status.st_size, status.st_mtime_ns)
        except OSError:
            changed = None
        if changed != self._decided:
            self._decisions = decisions.load(self.path) if changed else Decisions()
            self._decided = changed

    def add(
        self,
        image: Any,
        *,
        id: str,
        owner: str | None = None,
        time: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> bool:
        """Remember an image, on disk when this returns. False when the index had it already.

        image: whatever `read_picture` takes. id: any string; an entry of the same id is replaced, unless it is the same file
        of the same owner: then it stays as it is, with the time when it was first seen. time: ISO 8601, now by default.
        Raises PictureError, UsageError (bad_option), LibraryError (locked, read_only, damaged).
        """
        return self.add_entries([Entry.of(described(image), id, owner, time, metadata)]) == 1

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
            self._numbers = len(self._alive), numbers
        return change.added

    def delete(self, id: str) -> bool:
        """Forget an entry; False when there is none of that id. Raises LibraryError (locked, read_only, damaged)."""
        return bool(self.delete_all([id]))

    def delete_all(self, ids: Iterable[str]) -> set[str]:
        """Forget many entries in one step; those that there were. Raises as `delete` does."""
        with self._writing() as numbers:
            gone = {id for id in ids if id in numbers}
            change = _Change(len(self._alive))
            for id in sorted(gone, key=numbers.__getitem__):
                change.take_back(numbers[id])
            self._commit(change)
            for id in gone:
                del numbers[id]
            self._numbers = len(self._alive), numbers
        return gone

    def merge(self, other: CopyIndex) -> int:
        """Add all pictures of another index, with their times, owners and features; how many were new or replaced.

        Raises as `add_entries` does.
        """
        added, batch = 0, []
        for entry in other:
            batch.append(entry)
            if len(batch) == MERGED_AT_ONCE:
                added += self.add_entries(batch)
                batch = []
        return added + self.add_entries(batch)

    def compact(self) -> int:
        """Write what is left as new segments, without the pictures that were taken back; how many rows are gone.

        Readers see the old state or the new one; those that read before go on with what they have until they `refresh`.
        Raises LibraryError (locked, read_only, damaged).
        """
        with self._writing():
            before = len(self._alive)
            gone = before - len(self)
            if not gone:
                return 0
            old = [segment.name for segment in self._segments]
            after = _number(old[-1])
            segments: list[_Segment] = []
            change = _Change(0)
            for entry in self:
                change.add(entry)
                if len(change.rows) >= MERGED_AT_ONCE:
                    segments = self._written(segments, change, after)
                    change = _Change(0)
            segments = self._written(segments, change, after)
            if not segments:  # an empty one, as a name must not come again while some reader may have the one before
                segments = [_Segment(f"segment-{after + 1:05d}")]
                for part in PARTS:
                    _append(self.path / f"{segments[0].name}.{part}", 0, b"")
            _write_pointer(self.path, segments)
            self.refresh()
            for name in old:
                for part in PARTS:
                    (self.path / f"{name}.{part}").unlink(missing_ok=True)
            shutil.rmtree(_words_folder(self.path, old), ignore_errors=True)
            return gone

    @contextlib.contextmanager
    def _writing(self) -> Iterator[dict[str, int]]:
        """The lock of the folder, with all that was committed read; the number of each id's row."""
        with locked(self.path, LOCK_SECONDS, "index"):
            self.refresh()
            yield self._by_id()

    def _by_id(self) -> dict[str, int]:
        """The number of each id's row."""
        if self._numbers is None or self._numbers[0] != len(self._alive):  # others may have written since
            found = {self._note(n)["id"]: n for n in map(int, np.flatnonzero(self._alive))}
            self._numbers = len(self._alive), found
        return self._numbers[1]

    def _commit(self, change: _Change) -> None:
        """Append rows, text and features, sync them, then replace the pointer; and read back what is now there."""
        if not change.rows:
            return
        _write_pointer(self.path, self._written(list(self._segments), change, 0))
        self.refresh()

    def _written(self, segments: list[_Segment], change: _Change, after: int) -> list[_Segment]:
        """The segments after a change was appended to the last one; nothing points to it yet. The first one is numbered after
        `after`."""
        if not change.rows:
            return segments
        if not segments or segments[-1].rows >= SEGMENT_ROWS:
            number = (_number(segments[-1].name) if segments else after) + 1
            segments = [*segments, _Segment(f"segment-{number:05d}")]
        last = segments[-1]
        rows = np.stack(change.rows)
        rows["start"] += last.text_bytes
        rows["local_start"] += last.local_bytes
        _append(self.path / f"{last.name}.local", last.local_bytes, bytes(change.local))
        _append(self.path / f"{last.name}.text", last.text_bytes, bytes(change.text))
        _append(self.path / f"{last.name}.rows", last.rows * ROW.itemsize, rows.tobytes())
        return [
            *segments[:-1],
            _Segment(
                last.name,
                last.rows + len(rows),
                zlib.crc32(rows.tobytes(), last.rows_crc),
                last.text_bytes + len(change.text),
                zlib.crc32(change.text, last.text_crc),
                last.local_bytes + len(change.local),
            ),
        ]

    def _take_in(self, segment: int, rows: Rows) -> None:
        """Put rows that were read into memory. Rows that take others back are there too, so that numbers stay; none is found."""
        fresh = np.zeros(len(rows), dtype=ENTRY)
        for name in ("content", "width", "height", "quality", "plain"):
            fresh[name] = rows[name]
        fresh["sha256"] = rows["sha256"][:, :16]
        fresh["has_content"] = rows["kind"] == PICTURE
        self._entries.add(np.ascontiguousarray(rows["pdq"]), fresh)
        places = np.zeros(len(rows), dtype=_PLACE)
        for name in ("start", "size", "local_start", "local_size", "local_crc"):
            places[name] = rows[name]
        places["segment"] = segment
        self._places = np.concatenate([self._places, places])
        self._alive = np.concatenate([self._alive, rows["kind"] != TAKEN_BACK])
        self._alive[rows["target"][rows["kind"] == TAKEN_BACK]] = False

    def _take_in_words(self) -> None:
        """Bring the words up to the rows: from the runs on disk as far as they go, then from the features."""
        words = self._entries.words
        words.restore(len(self._entries))
        for number in range(len(words), len(self._entries)):
            reference = self._reference(number)
            words.add(None if reference is None else reference.features)

    def _kept(self, number: int) -> bytes:
        """What a row keeps of its local features. Raises LibraryError (damaged) when it is not what was written."""
        place = self._places[number]
        start, size = int(place["local_start"]), int(place["local_size"])
        kept: bytes = self._locals[place["segment"]][start : start + size].tobytes()
        if zlib.crc32(kept) != int(place["local_crc"]):
            name = self._segments[place["segment"]].name
            raise _damaged(self.path / f"{name}.local", f"the features of row {number} are not what was written")
        return kept

    def _reference(self, number: int) -> Reference | None:
        return Reference.from_bytes(self._kept(number)) if self._places[number]["local_size"] else None

    def _note(self, number: int) -> dict[str, Any]:
        """id, owner, time and, where there is such, metadata of a row."""
        place = self._places[number]
        start = int(place["start"])
        text = self._texts[place["segment"]][start : start + int(place["size"])]
        note: dict[str, Any] = json.loads(text.tobytes())
        return note

    def _sha256_and_owner(self, number: int) -> tuple[str, str | None]:
        return self._entries[number]["sha256"].tobytes().hex(), self._note(number)["owner"]

    def _entry(self, number: int, row: np.void, *, features: bool) -> Entry:
        content = row["content"].tobytes().hex() if row["kind"] == PICTURE else None
        fingerprint = Fingerprint(row["pdq"].tobytes().hex(), int(row["quality"]), content, int(row["plain"]))
        size = int(row["width"]), int(row["height"])
        return Entry(
            **self._note(number),
            width=size[0],
            height=size[1],
            sha256=row["sha256"].tobytes().hex(),
            fingerprint=fingerprint,
            local=self._kept(number) if features else b"",
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


def described(image: Any, *, close: bool = False) -> CopyDescription:
    """What the index knows of an image, a path, bytes, PIL image, array or Picture, decoded as the scan decodes it.

    close: for a query that is worth a closer look (see `describe`).
    """
    return describe(read_picture(image, reduce_to=DECODE_SIDE), close=close)


def is_new(path: Path) -> bool:
    """Whether an index can be made in a folder: not there, or empty but for what a program left that was just making one."""
    if not path.exists():
        return True
    return path.is_dir() and all(p.name == LOCK or p.name.startswith(f".{POINTER}.") for p in path.iterdir())


def _hashing() -> str:
    return f"{HASHING}/{encoder_checksum()[:12]}"


def _number(name: str) -> int:
    """Of a segment, by its name."""
    return int(name.rpartition("-")[2])


def _words_folder(path: Path, names: list[str]) -> Path:
    """Where the runs of words lie: numbers of rows begin again when the first segment is another one."""
    return path / f"words-{_number(names[0]) if names else 1:05d}"


def _read_pointer(path: Path) -> list[_Segment]:
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
        if found["hashing"] != _hashing():
            raise LibraryError(
                "other_embedder",
                f"its pictures were hashed by {found['hashing']!r}, this version hashes by {_hashing()!r}",
                path=str(pointer),
                hint="make a new index from the pictures: vision copies add FOLDER --index DIR",
            )
        return [_Segment(**segment) for segment in found["segments"]]
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
        raise _damaged(pointer, f"no pointer of a copy index: {error!r}") from None


def _write_pointer(path: Path, segments: list[_Segment]) -> None:
    found = {"schema": SCHEMA, "hashing": _hashing(), "segments": [asdict(segment) for segment in segments]}
    write_atomically(path / POINTER, (json.dumps(found, indent=1) + "\n").encode())


def _read_since(path: Path, known: _Segment, segment: _Segment) -> tuple[Rows, Text, Text]:
    """The rows, text and features of a segment, mapped. What is new of the first two is checked; features are, when they are
    read."""
    rows_path, text_path, local_path = (path / f"{segment.name}.{part}" for part in PARTS)
    if segment.rows < known.rows or segment.text_bytes < known.text_bytes:
        raise _damaged(rows_path, "it has become shorter")
    rows = _mapped(rows_path, ROW, segment.rows)
    text, local = _mapped(text_path, BYTE, segment.text_bytes), _mapped(local_path, BYTE, segment.local_bytes)
    whole = (
        zlib.crc32(rows[known.rows :].tobytes(), known.rows_crc) == segment.rows_crc
        and zlib.crc32(text[known.text_bytes :].tobytes(), known.text_crc) == segment.text_crc
    )
    if not whole:
        raise _damaged(rows_path, "it is not what was written")
    return rows, text, local


def _mapped(path: Path, dtype: np.dtype[Any], size: int) -> npt.NDArray[Any]:
    if not size:
        return np.zeros(0, dtype=dtype)
    try:
        return np.memmap(path, dtype=dtype, mode="r", shape=(size,))
    except PermissionError as error:
        raise not_readable(path, error) from None
    except (OSError, ValueError) as error:
        raise _damaged(path, f"cannot be read: {error}") from None


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
