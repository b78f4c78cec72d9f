"""The copy index: pictures seen before, kept in a folder (`segments.py`) and searched for the sources of others."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies import claims, decisions, verify
from vision.copies.decisions import LOCK_SECONDS, Decisions
from vision.copies.describe import CopyDescription, describe
from vision.copies.entries import ENTRY, Entries, Logos
from vision.copies.flood import FloodGuard
from vision.copies.hashes import turned_hashes
from vision.copies.local import Reference, no_features
from vision.copies.logos import logo_boxes
from vision.copies.segments import (
    PICTURE,
    POINTER,
    TAKEN_BACK,
    Change,
    Entry,
    Rows,
    Segment,
    Text,
    appended,
    damaged,
    empty_segment,
    hashing,
    is_new,
    number_of,
    read_pointer,
    read_since,
    remove_segment,
    words_folder,
    write_pointer,
)
from vision.errors import LibraryError, UsageError
from vision.files import locked
from vision.geometry import Boxes
from vision.images import read_picture
from vision.values import CopyClaim, Fingerprint, Result

# Pictures are decoded at the smallest scale whose longest side is at least this, as the scan does, so that both hash alike.
DECODE_SIDE = 1280
# Pictures that are merged or compacted in one go.
MERGED_AT_ONCE = 1024
# The distance told of a pair that a person confirmed and no search finds.
UNKNOWN_DISTANCE = 256
# A picture that is, as a whole, a copy of so many others follows them when all are compared with each other: else a thousand
# copies of one picture would be half a million comparisons.
CORE = 12

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
        self._owners_lock = threading.Lock()
        self._forget([])

    def _forget(self, names: list[str]) -> None:
        """Hold nothing, and get ready for the segments of these names."""
        self._segments: list[Segment] = []
        self._rows: list[Rows] = []
        self._texts: list[Text] = []
        self._locals: list[Text] = []
        self._entries = Entries(self._reference, words_folder(self.path, names))
        self._places = np.zeros(0, dtype=_PLACE)
        self._alive = np.zeros(0, dtype=np.bool_)
        self._numbers: tuple[int, dict[str, int]] | None = None  # by id, and of how many rows; made when first needed
        self._by_content: dict[bytes, list[int]] | None = None  # by half a sha256, made for the first decision
        # numbers of the owners, and that of each row; made for the first search that leaves one out
        self._owners: tuple[dict[str | None, int], npt.NDArray[np.int32]] = {None: 0}, np.zeros(0, dtype=np.int32)
        self._decisions = Decisions()
        self._decided: tuple[int, int] | None = None

    @classmethod
    def create(cls, path: str | Path) -> CopyIndex:
        """A new, empty index in a folder that is not there or empty.

        Raises UsageError (bad_option) for any other, LibraryError (locked, read_only).
        """
        path = Path(path)
        try:
            if not is_new(path):
                raise UsageError(
                    "bad_option", "this is no empty folder", path=str(path), hint="open it, or name another one"
                )
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError("read_only", f"cannot be made: {error.strerror}", path=str(path)) from None
        with locked(path, LOCK_SECONDS, "index"):
            if not (path / POINTER).exists():  # another program may have been quicker
                write_pointer(path, [])
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> CopyIndex:
        """The index in a folder. Raises LibraryError (missing, damaged, newer_version, other_embedder)."""
        index = cls(Path(path))
        index.refresh()
        return index

    def refresh(self) -> None:
        """See what has been committed since. Raises LibraryError (missing, damaged, newer_version, other_embedder)."""
        segments = read_pointer(self.path)
        while True:
            try:
                self._take_up(segments)
                break
            except LibraryError:
                before, segments = segments, read_pointer(self.path)
                if segments == before:
                    raise
                # compacted between the two looks: its files are gone, and others are there
        self._refresh_decisions()

    def _take_up(self, segments: list[Segment]) -> None:
        """Read what the segments hold beyond what is known of them."""
        names = [segment.name for segment in segments]
        if not self._segments or names[: len(self._segments)] != [s.name for s in self._segments]:
            self._forget(names)  # nothing read yet, or compacted since
        for number, segment in enumerate(segments):
            is_known = number < len(self._segments)
            known = self._segments[number] if is_known else Segment(segment.name)
            if is_known and segment == known:
                continue
            rows, text, local = read_since(self.path, known, segment)
            self._take_in(number, rows[known.rows :])
            self._segments[number:] = [segment]
            self._rows[number:] = [rows]
            self._texts[number:] = [text]
            self._locals[number:] = [local]
            self._by_content = None
        if len(self._entries.words) < len(self._entries):  # new rows, or a look before this one met damage
            self._take_in_words()

    @property
    def checksum(self) -> str:
        """sha256 over all that was read: what a scan notes to say which index it searched."""
        decided = [asdict(decision) for decision in self._decisions]
        noted = json.dumps([hashing(), *(asdict(segment) for segment in self._segments), decided], sort_keys=True)
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

    def search(
        self,
        image: Any,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        *,
        owner: str | None = None,
    ) -> list[CopyClaim]:
        """The pictures of this index that an image was taken from, best first, at most `limit` (null: all).

        image: whatever `read_picture` takes. radius: Hamming bits, 0 to 63; 31 is what PDQ's makers advise. owner: whose image it
        is; pictures of the same owner are not looked at.
        Raises PictureError when the image cannot be read, UsageError (bad_option), WeightsError (missing, wrong_checksum).
        """
        picture = read_picture(image, reduce_to=DECODE_SIDE)
        description = describe(picture, close=True)
        return self.search_description(description, radius, limit, owner=owner, logos=lambda: logo_boxes(picture))

    def search_description(
        self,
        description: CopyDescription,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        *,
        owner: str | None = None,
        logos: Logos | None = None,
    ) -> list[CopyClaim]:
        """As `search`, for a picture that was described before.

        logos: see `hits`.
        """
        return self.claims_of(self.hits(description, radius, limit, owner=owner, logos=logos), description)

    def hits(
        self,
        description: CopyDescription,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        *,
        owner: str | None = None,
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
        alive = self._alive if owner is None else self._not_of(owner)
        found = self._entries.find(description, radius, None if decided else limit, alive, logos=logos)
        return claims.ordered(self._as_decided(found, description.sha256, alive), limit) if decided else found

    @property
    def owners(self) -> frozenset[str]:
        """Whose the pictures of the index are, where that is said. The first look takes some 6 s a million pictures."""
        names, numbers = self._numbered_owners()
        held = set(np.unique(numbers[self._alive]).tolist())
        return frozenset(name for name, number in names.items() if name is not None and number in held)

    def _not_of(self, owner: str) -> npt.NDArray[np.bool_]:
        """(n,) flags of the entries that are somebody else's, or nobody's."""
        names, numbers = self._numbered_owners()
        own = names.get(owner)
        return self._alive if own is None else self._alive & (numbers != own)

    def _numbered_owners(self) -> tuple[dict[str | None, int], npt.NDArray[np.int32]]:
        """A number for each owner, and that of each row."""
        with self._owners_lock:  # the first of many threads reads them for all
            names, numbers = self._owners
            if len(numbers) < len(self._alive):
                fresh = [
                    names.setdefault(self._note(row)["owner"], len(names)) if self._alive[row] else 0
                    for row in range(len(numbers), len(self._alive))
                ]
                numbers = np.concatenate([numbers, np.array(fresh, dtype=np.int32)])
                self._owners = names, numbers
            return names, numbers

    def claims_of(self, hits: Sequence[claims.Hit], description: CopyDescription) -> list[CopyClaim]:
        """The second half: the claims, but those on entries that suddenly match everything. The order of calls matters."""
        made = [self._claim(hit, description) for hit in hits]
        inexact = [claim.source for claim, hit in zip(made, hits, strict=True) if not hit.identical]
        passed = self._guard.pass_on(description.sha256, inexact)
        return [c for c, hit in zip(made, hits, strict=True) if hit.identical or c.source in passed]

    def remember(self, result: Result) -> None:
        """Count the claims on this index in a row of a scan that is gone on with, so that what was set aside stays so."""
        if result.sha256 is not None:
            ours = (claim for claim in result.copies if claim.index == self.name and not claims.is_identical(claim))
            self._guard.replay(result.sha256, [claim.source for claim in ours])

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

    def add_entries(self, entries: Iterable[Entry], *, beside: bool = False) -> int:
        """As `add`, for many that become visible together; how many were new or replaced.

        beside: another file or owner under a known id replaces nothing, but is kept as `ID~` and eight digits of its own.
        """
        with self._writing() as numbers:
            change = Change(len(self._alive))
            pending: dict[str, tuple[int, Entry]] = {}

            def held(id: str) -> tuple[int | None, tuple[str, str | None]]:
                """Place, file and owner of an id."""
                place, before = pending.get(id, (numbers.get(id), None))
                if before is not None:
                    return place, _file_and_owner(before)
                if place is None:
                    return None, ("", None)
                sha256, owner = self._sha256_and_owner(place)
                return place, (sha256[:32], owner)

            for given in entries:
                entry = given
                place, known = held(entry.id)
                if beside and place is not None and known != _file_and_owner(entry):
                    entry = _renamed(entry)
                    place, known = held(entry.id)
                if place is not None:
                    if known == _file_and_owner(entry):
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
            change = Change(len(self._alive))
            for id in sorted(gone, key=numbers.__getitem__):
                change.take_back(numbers[id])
            self._commit(change)
            for id in gone:
                del numbers[id]
            self._numbers = len(self._alive), numbers
        return gone

    def merge(self, other: CopyIndex) -> int:
        """Add all pictures of another index, with their times, owners and features; how many were new.

        One whose id another file or owner has here is kept beside it (`add_entries`). Raises as `add_entries` does.
        """
        added, batch = 0, []
        for entry in other:
            batch.append(entry)
            if len(batch) == MERGED_AT_ONCE:
                added += self.add_entries(batch, beside=True)
                batch = []
        return added + self.add_entries(batch, beside=True)

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
            after = number_of(old[-1])
            segments: list[Segment] = []
            change = Change(0)
            for entry in self:
                change.add(entry)
                if len(change.rows) >= MERGED_AT_ONCE:
                    segments = appended(self.path, segments, change, after)
                    change = Change(0)
            segments = appended(self.path, segments, change, after)
            if not segments:  # an empty one, as a name must not come again while some reader may have the one before
                segments = [empty_segment(self.path, after + 1)]
            write_pointer(self.path, segments)
            self.refresh()
            for name in old:
                remove_segment(self.path, name)
            shutil.rmtree(words_folder(self.path, old), ignore_errors=True)
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

    def _commit(self, change: Change) -> None:
        """Append rows, text and features, sync them, then replace the pointer; and read back what is now there."""
        if not change.rows:
            return
        write_pointer(self.path, appended(self.path, list(self._segments), change))
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
            raise damaged(self.path / f"{name}.local", f"the features of row {number} are not what was written")
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


def described(image: Any, *, close: bool = False) -> CopyDescription:
    """What the index knows of an image, a path, bytes, PIL image, array or Picture, decoded as the scan decodes it.

    close: for a query that is worth a closer look (see `describe`).
    """
    return describe(read_picture(image, reduce_to=DECODE_SIDE), close=close)


def _file_and_owner(entry: Entry) -> tuple[str, str | None]:
    """What tells two entries of one id apart: the first half of the file's sha256, and whose it is."""
    return entry.sha256[:32], entry.owner


def _renamed(entry: Entry) -> Entry:
    """An entry under an id that its file and owner alone have."""
    own = hashlib.sha256(repr(_file_and_owner(entry)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return replace(entry, id=f"{entry.id}~{own}")
