"""Pictures to be found again, in memory: a hash index, and beside it what verification asks of each entry.

About 100 bytes a picture, its name aside. `ScanIndex` holds the pictures of one scan; the index on disk (`store.py`) searches
through the same `Entries`.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import struct
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision import geometry
from vision.copies import claims, verify
from vision.copies.claims import Hit
from vision.copies.describe import CopyDescription
from vision.copies.index import HashIndex, hamming
from vision.copies.local import REFERENCE_COUNT, LocalFeatures, Reference
from vision.copies.words import FEWER_PROBES, PROBES, SHORTLIST, WordIndex
from vision.errors import UsageError
from vision.geometry import Boxes
from vision.values import CopyClaim, Fingerprint, Result

# What an entry keeps beside its hash. Half of a sha256 tells files apart as well as all of it.
ENTRY = np.dtype(
    [
        ("content", "u1", 32),
        ("sha256", "u1", 16),
        ("width", "<u4"),
        ("height", "<u4"),
        ("quality", "u1"),
        ("plain", "u1"),
        ("has_content", "?"),
    ]
)
# No hash has this many bits to differ in: the distance to a content that is not there.
NO_CONTENT = 257
# The largest distance for which probabilities were measured.
MAX_RADIUS = 63
# Bits within which whole pictures are near enough to be laid on each other, whatever their features say; and how many at most.
LOOKED_AT, MOST_NEAR = 47, 12
# Entries that share words with a picture come in families: those that are near to each other by their hashes are one picture,
# held several times. Families that are examined, from this many votes of their best on; after so many in a row that fail, the
# rest is left. Of one so many members are tried, since on plain ground different marks are near too.
FAMILIES, LEAST_VOTES, GIVE_UP, TRIED = 64, 3.0, 4, 3
# A family of more is a crowd: the copies of one picture that is everywhere make each of its words common, and their votes pass
# for noise. All but a few are left out of the count, and looked for by their hashes where one of these is a source.
CROWD = 8
# A candidate of which this share agrees has failed for being in the same frame, not for being nothing.
PARTLY = 0.3
# Votes that a family of this rank has are noise; a candidate has to have so many times more. On the battery 2 % of the copies
# have less; of pictures that have no source one in twenty has more, two in five when it is looked at closely, where that is
# affordable. Of a picture that is there in hundreds of edits those fill the ranks: no more is noise than so many times what a
# later rank has. Among 1,000 photographs rank 100 has 1.8 times the votes of rank 400, in larger indexes less.
NOISE_RANK, LATER_RANK, LATER_NOISE = 100, 400, 1.8
STANDS_OUT, STANDS_OUT_CLOSE = 4.2, 2.0
# Of the shortlist so many are grouped into families.
GROUPED = 256
# Windows that have to agree outside of the logos; a box of more than this share of the picture is no logo on something. Of 786
# edited copies of a part, half of them of pictures of logos, 14 are lost by it; of 49 claims among 989 development pictures of
# logos 22 go that were two pictures of one logo, and one copy.
LEAST_OUTSIDE, LARGE_LOGO = 3.0, 0.6
# Of windows that have nothing to do with each other, up to one in twenty agrees; so twice as many is more than chance.
BY_CHANCE = 0.1
# Before each record of a scan's features: its size, its CRC-32 and half of the picture's sha256.
KEPT = struct.Struct("<II16s")

Rows = npt.NDArray[np.void]
Numbers = npt.NDArray[np.int64]
Alive = npt.NDArray[np.bool_] | None
Bits = npt.NDArray[np.uint8]
Logos = Callable[[], Boxes]


class Entries:
    """Entries by their number, 0 on. Adding and searching must not happen at the same time; searching may, in any thread.

    reference: gives what the entry of a number kept of its local features, or null when it kept none.
    """

    def __init__(self, reference: Callable[[int], Reference | None], folder: Path | None = None) -> None:
        self._index = HashIndex()
        self._rows: Rows = np.zeros(1024, dtype=ENTRY)
        self._reference = reference
        self.words = WordIndex(folder)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> np.void:
        row: np.void = self._rows[: len(self)][number]
        return row

    def add(self, hashes: Bits, rows: Rows) -> None:
        """Append n entries: (n, 32) uint8 hashes, (n,) rows of dtype ENTRY. Their words are added beside (`words`)."""
        before, after = len(self), len(self) + len(rows)
        if after > len(self._rows):
            # a quarter at a time: doubling would leave half of the memory of a large index unused
            grown = np.zeros(max(after, len(self._rows) * 5 // 4), dtype=ENTRY)
            grown[:before] = self._rows[:before]
            self._rows = grown
        self._rows[before:after] = rows
        self._index.add(hashes)

    def find(
        self,
        query: CopyDescription,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        alive: Alive = None,
        every: bool = False,
        logos: Logos | None = None,
        crowd: int | None = None,
    ) -> list[Hit]:
        """The entries that a picture is a copy of, best first, at most `limit`.

        radius: Hamming bits, 0 to 63, for entries of which only a hash is known. alive: (n,) flags of the entries that may be
        found; all by default. every: look at all of them, few as they are. logos: gives (n, 4) boxes of the logos on the
        picture, xyxy pixels at full scale; asked once at most, and only when parts agree. crowd: look no further once so many
        are found within `radius`.
        Raises UsageError (bad_option) for another radius or a limit under 1.
        """
        if not 0 <= radius <= MAX_RADIUS:
            raise UsageError("bad_option", f"a radius of {radius} bits", hint=f"0 to {MAX_RADIUS}")
        claims.check_limit(limit)
        if query.flat or not len(self):
            return []
        logos = None if logos is None else functools.cache(logos)
        near = self._near(query, max(radius, LOOKED_AT), alive)
        by_hash = {hit.entry: hit for hit in claims.ordered(self._by_hash(query, near, radius), None)}
        orientations = _nearest_orientations(near)
        hits: dict[int, Hit] = {}
        nearest = list(dict.fromkeys([*by_hash, *list(orientations)[:MOST_NEAR]]))
        if limit is not None:
            # of a picture that an index holds a thousand times the first few are enough, and the one added first
            nearest = list(
                dict.fromkeys([*nearest[:1], *([min(nearest)] if nearest else []), *nearest[: 2 * limit + MOST_NEAR]])
            )
        enough = len(self) if limit is None else limit + MOST_NEAR
        for number in nearest:
            hit, _ = self._hit(query, number, orientations[number], by_hash.get(number), logos)
            if hit is not None:
                hits[number] = hit
                if len(hits) >= enough or (crowd is not None and claims.within(hits.values(), radius) >= crowd):
                    return claims.ordered(list(hits.values()), limit)
        if len(hits) < enough:
            every_one = [[number] for number in range(len(self))] if every else self._by_words(query, alive)
            self._look_through([list(hits), *every_one], query, hits, set(nearest), enough, alive, logos)
        return claims.ordered(list(hits.values()), limit)

    def _look_through(
        self,
        families: Iterable[list[int]],
        query: CopyDescription,
        hits: dict[int, Hit],
        looked_at: set[int],
        enough: int,
        alive: Alive,
        logos: Logos | None,
    ) -> None:
        """Examine families until so many fail in a row or enough was found; what can be claimed joins `hits`.

        What is like a source by its hash is examined next, until so many of that fail in a row.
        """
        failures = 0
        for family in families:
            if failures >= GIVE_UP or len(hits) >= enough:
                return
            waiting = [number for number in family if number not in looked_at]
            source = next((number for number in family if number in hits), None)
            if source is not None:
                waiting += self._like(source, alive, {*looked_at, *waiting})
            tried, failed = 0, False
            while waiting and tried < TRIED and len(hits) < enough:
                number = waiting.pop(0)
                looked_at.add(number)
                hit, share = self._hit(query, number, None, None, logos)
                if hit is None:
                    # one that agrees in part wears the same frame, and says nothing about those behind it
                    tried, failed = tried + 1, failed or share < PARTLY
                    continue
                if source is None:
                    source = number
                    waiting += self._like(source, alive, {*looked_at, *waiting})
                hits[number], tried, failures = hit, 0, 0
            failures += failed and source is None

    def _hit(
        self,
        query: CopyDescription,
        number: int,
        orientation: int | None,
        by_hash: Hit | None,
        logos: Logos | None,
    ) -> tuple[Hit | None, float]:
        """What can be claimed of an entry: by what agrees, or by its hash where that is all there is, or where most agrees; and
        the share that agrees."""
        if by_hash is not None and by_hash.identical:
            return by_hash, 1.0
        # what is asked by a hash alone, as `CopyIndex.ties` asks with imported ones, has nothing to lay on anything either
        reference = None if query.local.plane is None else self._reference(number)
        if reference is None:
            return by_hash, 0.0
        examined = self.examine(query, number, reference, orientation)
        if examined is None:
            return None, 0.0
        probability = claims.probability_of(examined.evidence)
        if by_hash is not None and examined.evidence.share >= verify.MOST_AGREES:
            probability = max(probability, by_hash.probability)
        elif probability < claims.bar() or (logos is not None and only_logos(query, reference, examined, logos())):
            return None, examined.evidence.share
        row = self[number]
        size, source = (query.width, query.height), (int(row["width"]), int(row["height"]))
        there = (reference.features.width, reference.features.height)
        matrix = (
            verify.scaling(there, source)
            @ examined.matrix
            @ verify.scaling(size, (query.local.width, query.local.height))
        )
        recoloured = verify.recoloured(query.local, reference, examined)
        hit = claims.hit_of(number, examined.evidence.distance, probability, matrix, size, source, recoloured)
        return hit, examined.evidence.share

    def examine(
        self, query: CopyDescription, number: int, reference: Reference, orientation: int | None
    ) -> verify.Examined | None:
        """The evidence that a picture is a copy of an entry; null when no map lays the one on the other."""
        distance = int(hamming(query.hashes, self._index.hash(number)[None]).min())
        return verify.examine(query.local, reference, distance, orientation)

    def candidates(self, query: CopyDescription, alive: Alive = None) -> list[tuple[int, int | None]]:
        """Entries worth a look, best first, and the orientation in which the hash is near: by hashes, then by words."""
        near = _nearest_orientations(self._near(query, LOOKED_AT, alive))
        by_words = itertools.chain.from_iterable(self._by_words(query, alive))
        return [(n, near.get(n)) for n in dict.fromkeys([*list(near)[:MOST_NEAR], *by_words])]

    def _near(self, query: CopyDescription, radius: int, alive: Alive) -> _Near:
        orientation, entry, distance = self._index.within(query.hashes, radius)
        if alive is not None:
            lives = alive[entry]
            orientation, entry, distance = orientation[lives], entry[lives], distance[lives]
        return _Near(orientation, entry, distance)

    def _by_hash(self, query: CopyDescription, near: _Near, radius: int) -> list[Hit]:
        """The candidates within the radius that stand by their hashes."""
        inside = near.distance <= radius
        orientation, entry, distance = near.orientation[inside], near.entry[inside], near.distance[inside]
        rows = self._rows[entry]
        content = hamming(query.content_hashes[orientation], rows["content"])
        if query.fingerprint.content is None:
            content[:] = NO_CONTENT
        content[~rows["has_content"]] = NO_CONTENT
        plain = np.maximum(rows["plain"].astype(np.int64), query.fingerprint.plain)
        quality = np.minimum(rows["quality"].astype(np.int64), query.fingerprint.quality)
        same_bytes = (rows["sha256"] == np.frombuffer(bytes.fromhex(query.sha256)[:16], dtype=np.uint8)).all(axis=1)
        identical = same_bytes & (orientation == 0)
        stands = verify.stands(quality, plain, content, identical)
        return claims.hash_hits(orientation[stands], entry[stands], distance[stands], plain[stands], identical[stands])

    def _by_words(self, query: CopyDescription, alive: Alive) -> list[list[int]]:
        """Families of entries whose votes stand out, best first, and the members of each best first."""
        probes = PROBES if query.close else FEWER_PROBES
        found = self.words.candidates(query.local, SHORTLIST, probes, alive)
        families = self._families(found.entries[:GROUPED])
        crowds = [family for family in families if len(family) > CROWD]
        if crowds:
            counted = np.ones(len(self), dtype=bool) if alive is None else alive.copy()
            for crowd in crowds:
                members = found.entries[crowd]
                counted[members] = counted[self._near_to(int(members[0]))] = False
            counted[[int(n) for crowd in crowds for n in found.entries[crowd[:TRIED]]]] = True
            found = self.words.candidates(query.local, SHORTLIST, probes, counted)
            families = self._families(found.entries[:GROUPED])
        noise = float(found.votes[families[NOISE_RANK][0]]) if len(families) > NOISE_RANK else 0.0
        later = min(LATER_RANK, 3 * len(self) // 4)
        noise = min(noise, LATER_NOISE * float(found.votes[later]) if len(found.votes) > later else 0.0)
        least = max(LEAST_VOTES, noise * (STANDS_OUT_CLOSE if query.close else STANDS_OUT))
        standing = [family for family in families if found.votes[family[0]] >= least][:FAMILIES]
        return [found.entries[family].tolist() for family in standing]

    def _families(self, entries: Numbers) -> list[list[int]]:
        """Places of (n,) entries that are near to each other by their hashes, each with the first of them that it is near to."""
        if not len(entries):
            return []
        hashes = self._index.hashes(entries)
        among = HashIndex()
        among.add(hashes)
        one, other, _ = among.within(hashes, verify.RADIUS)
        if len(one) == len(entries):  # each is near to itself alone
            return [[place] for place in range(len(entries))]
        near = np.split(other, np.flatnonzero(np.diff(one)) + 1)
        families, taken = [], np.zeros(len(entries), dtype=bool)
        for place, like in enumerate(near):
            if not taken[place]:
                families.append([int(n) for n in like if not taken[n]])
                taken[like] = True
        return families

    def _near_to(self, number: int) -> Numbers:
        """The entries that are near to one by their hashes, the earliest first; itself among them."""
        return self._index.within(self._index.hash(number)[None], verify.RADIUS)[1]

    def _like(self, number: int, alive: Alive, known: Set[int]) -> list[int]:
        """The same without those that are gone or known."""
        return [n for n in self._near_to(number).tolist() if n not in known and (alive is None or alive[n])]


def only_logos(query: CopyDescription, reference: Reference, examined: verify.Examined, boxes: Boxes) -> bool:
    """Whether the same logo is all that a part of a picture and a reference share, and the one is not the other's own drawing.

    boxes: (n, 4) xyxy pixels of the query at full scale. Two photos of one sign, or a sign and its drawing, agree in all
    of it, but not as well as the same pixels do. A box of nearly all of a picture is no logo on something, but where the picture
    is a small part of the reference it may be one that was cut out of another photo.
    """
    if examined.whole or claims.all_agrees(examined.evidence) or not len(boxes):
        return False
    scale = np.tile((query.local.width / query.width, query.local.height / query.height), 2)
    large = geometry.area(boxes) > LARGE_LOGO * query.width * query.height
    large &= not claims.is_small_crop(examined.evidence)
    windows, share = verify.agrees_outside(examined, reference, boxes[~large] * scale.astype(np.float32))
    return windows < LEAST_OUTSIDE or share < BY_CHANCE


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """(k,) candidates of the hashes: orientation of the query, entry, distance in bits."""

    orientation: npt.NDArray[np.int64]
    entry: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]


def _nearest_orientations(near: _Near) -> dict[int, int]:
    """By entry, nearest first: the orientation in which it is nearest."""
    order = np.lexsort((near.orientation, near.entry, near.distance))
    found: dict[int, int] = {}
    for at in order:
        found.setdefault(int(near.entry[at]), int(near.orientation[at]))
    return found


class ScanIndex:
    """The pictures of one scan, each searched among those before it. What they keep lies in files, so memory stays flat.

    folder: where to keep these files, for a scan that may be gone on with; a temporary one by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._kept = KeptFeatures(folder)
        self._entries = Entries(self._kept.reference, self._kept.folder)
        # names one after the other: a list of strings would take twice the memory of all the hashes
        self._names = bytearray()
        self._ends = array("Q")

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, path: str, description: CopyDescription) -> None:
        """Remember a picture under its path."""
        kept = description.kept()
        self._kept.append(description.sha256, kept)
        self._add(path, description.fingerprint, description.width, description.height, description.sha256)
        self._entries.words.add(first_features(description.local))

    def add_row(self, result: Result, again: Callable[[], CopyDescription | None]) -> None:
        """Remember a picture from its row of results and the files of the scan that was broken off, as `add` did when the row
        was made. Rows that failed are passed over. again: describes the picture once more when the files do not know it; null
        when it is gone, and then only its hash is searched."""
        if result.fingerprint is None or result.width is None or result.height is None or result.sha256 is None:
            return
        features = self._kept.take_up(result.sha256)
        if features is None:
            description = again()
            if description is not None and description.sha256 == result.sha256:
                self.add(result.path, description)
                return
            self._kept.append_nothing()
        self._add(result.path, result.fingerprint, result.width, result.height, result.sha256)
        self._entries.words.add(features)

    def search(
        self,
        description: CopyDescription,
        radius: int = verify.RADIUS,
        limit: int | None = claims.MAX_CLAIMS,
        *,
        logos: Logos | None = None,
    ) -> list[CopyClaim]:
        """The pictures so far that this one is a copy of, best first; of equals, the one seen first. logos: as `Entries.find`."""
        size = (description.width, description.height)
        return [
            hit.to_claim(source=self._name(hit.entry), index="scan", size=size, source_size=self._size(hit.entry))
            for hit in self._entries.find(description, radius, limit, logos=logos)
        ]

    def close(self, *, forget: bool = True) -> None:
        """Let go of the files; and delete them, when nobody will go on with the scan."""
        self._kept.close(forget=forget)

    def _add(self, path: str, fingerprint: Fingerprint, width: int, height: int, sha256: str) -> None:
        self._names += path.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._names))
        self._entries.add(*entry_rows([(fingerprint, width, height, sha256)]))

    def _name(self, number: int) -> str:
        start = self._ends[number - 1] if number else 0
        return self._names[start : self._ends[number]].decode("utf-8", "surrogatepass")

    def _size(self, number: int) -> tuple[int, int]:
        row = self._entries[number]
        return int(row["width"]), int(row["height"])


class KeptFeatures:
    """What the entries of a scan keep of their local features: one file, a record after the other, never all in memory."""

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary = None if folder is not None else tempfile.TemporaryDirectory(prefix="vision-copies-")
        self.folder = Path(self._temporary.name) if self._temporary is not None else Path(str(folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob(
            "words-*.npy"
        ):  # made again as entries come: they are fast to make and may be of another run
            stale.unlink()
        path = self.folder / "features"
        self._file = path.open("r+b" if path.exists() else "x+b")
        # where each entry's record lies; size 0 for one without
        self._starts, self._sizes = array("Q"), array("L")
        self._end = 0

    def append(self, sha256: str, kept: bytes) -> None:
        """Add the record of the next entry. Whatever an earlier run left behind this place is overwritten."""
        header = KEPT.pack(len(kept), zlib.crc32(kept), bytes.fromhex(sha256)[:16])
        self._file.seek(self._end)
        self._file.write(header + kept)
        self._file.truncate()
        self._file.flush()
        self._note(self._end + KEPT.size, len(kept))

    def take_up(self, sha256: str) -> LocalFeatures | None:
        """The features that the next entry kept in an earlier run; null, and no entry, when the next record is not its own."""
        header = os.pread(self._file.fileno(), KEPT.size, self._end)
        if len(header) == KEPT.size:
            size, checksum, digest = KEPT.unpack(header)
            kept = os.pread(self._file.fileno(), size, self._end + KEPT.size)
            if digest == bytes.fromhex(sha256)[:16] and len(kept) == size and zlib.crc32(kept) == checksum:
                self._note(self._end + KEPT.size, size)
                return Reference.from_bytes(kept).features
        return None

    def append_nothing(self) -> None:
        """The next entry keeps nothing."""
        self._note(self._end, 0)

    def reference(self, number: int) -> Reference | None:
        """What an entry kept."""
        if not self._sizes[number]:
            return None
        return Reference.from_bytes(os.pread(self._file.fileno(), self._sizes[number], self._starts[number]))

    def close(self, *, forget: bool) -> None:
        """Close the file; `forget` deletes the folder."""
        self._file.close()
        if self._temporary is not None:
            self._temporary.cleanup()
        elif forget:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, start: int, size: int) -> None:
        self._starts.append(start)
        self._sizes.append(size)
        self._end = start + size


def first_features(features: LocalFeatures) -> LocalFeatures:
    """Those that a reference keeps."""
    return replace(features, rows=features.rows[:REFERENCE_COUNT])


def entry_rows(pictures: list[tuple[Fingerprint, int, int, str]]) -> tuple[Bits, Rows]:
    """Fingerprint, width, height and sha256 of n pictures as (n, 32) uint8 hashes and (n,) rows of dtype ENTRY."""
    hashes = np.zeros((len(pictures), 32), dtype=np.uint8)
    rows = np.zeros(len(pictures), dtype=ENTRY)
    for place, (fingerprint, width, height, sha256) in enumerate(pictures):
        hashes[place] = np.frombuffer(bytes.fromhex(fingerprint.pdq), dtype=np.uint8)
        row = rows[place]
        if fingerprint.content is not None:
            row["content"] = np.frombuffer(bytes.fromhex(fingerprint.content), dtype=np.uint8)
            row["has_content"] = True
        row["sha256"] = np.frombuffer(bytes.fromhex(sha256)[:16], dtype=np.uint8)
        row["width"], row["height"] = width, height
        row["quality"], row["plain"] = fingerprint.quality, fingerprint.plain
    return hashes, rows
