"""Pictures to be found again, in memory: a hash index, and beside it what verification asks of each entry.

About 100 bytes a picture, its name aside. `ScanIndex` holds the pictures of one scan; the index on disk (`store.py`) searches
through the same `Entries`.
"""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

from vision.copies import claims, verify
from vision.copies.claims import Hit
from vision.copies.hashes import CopyDescription
from vision.copies.index import HashIndex, hamming
from vision.errors import UsageError
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

Rows = npt.NDArray[np.void]
Bits = npt.NDArray[np.uint8]


class Entries:
    """Entries by their number, 0 on. Adding and searching must not happen at the same time; searching may, in any thread."""

    def __init__(self) -> None:
        self._index = HashIndex()
        self._rows: Rows = np.zeros(1024, dtype=ENTRY)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> np.void:
        row: np.void = self._rows[: len(self)][number]
        return row

    def add(self, hashes: Bits, rows: Rows) -> None:
        """Append n entries: (n, 32) uint8 hashes, (n,) rows of dtype ENTRY."""
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
        alive: npt.NDArray[np.bool_] | None = None,
    ) -> list[Hit]:
        """The entries that a picture is a copy of, best first, at most `limit`.

        radius: Hamming bits, 0 to 63. alive: (n,) flags of the entries that may be found; all by default.
        Raises UsageError (bad_option) for another radius or a limit under 1.
        """
        if not 0 <= radius <= MAX_RADIUS:
            raise UsageError("bad_option", f"a radius of {radius} bits", hint=f"0 to {MAX_RADIUS}")
        if limit is not None and limit < 1:
            raise UsageError("bad_option", f"a limit of {limit} claims", hint="1 or more")
        if query.flat:
            return []
        orientation, entry, distance = self._index.within(query.hashes, radius)
        if alive is not None:
            lives = alive[entry]
            orientation, entry, distance = orientation[lives], entry[lives], distance[lives]
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
        return claims.hits(
            orientation[stands], entry[stands], distance[stands], plain[stands], identical[stands], limit
        )


class ScanIndex:
    """The pictures of one scan, each searched among those before it."""

    def __init__(self) -> None:
        self._entries = Entries()
        # names one after the other: a list of strings would take twice the memory of all the hashes
        self._names = bytearray()
        self._ends = array("Q")

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, path: str, description: CopyDescription) -> None:
        """Remember a picture under its path."""
        self._add(path, description.fingerprint, description.width, description.height, description.sha256)

    def add_row(self, result: Result) -> None:
        """Remember a picture from its row of results, as `add` did when the row was made. Rows that failed are passed over."""
        if result.fingerprint is None or result.width is None or result.height is None or result.sha256 is None:
            return
        self._add(result.path, result.fingerprint, result.width, result.height, result.sha256)

    def search(
        self, description: CopyDescription, radius: int = verify.RADIUS, limit: int | None = claims.MAX_CLAIMS
    ) -> list[CopyClaim]:
        """The pictures so far that this one is a copy of, best first; of equals, the one seen first."""
        size = (description.width, description.height)
        return [
            hit.to_claim(source=self._name(hit.entry), index="scan", size=size, source_size=self._size(hit.entry))
            for hit in self._entries.find(description, radius, limit)
        ]

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
