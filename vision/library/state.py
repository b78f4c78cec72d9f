"""The nouns of a library, and all that one version of it holds. Only data: `edits` makes the next one, `store` stores it."""

from __future__ import annotations

import hashlib
import json
import mmap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vision.errors import LibraryError

Kind = Literal["drawing", "photo", "negative"]
Half = npt.NDArray[np.float16]
# By how much the square of a row's length may be off 1: `edits` takes lengths within a hundredth, and half precision rounds.
_UNIT = 0.03
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand. id: a slug that never changes. name: what people read. aliases: other names it is found by.

    negative: no brand but a name for things that look like brands and are none; all of its references are negative.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    negative: bool = False


class Thumbnail(NamedTuple):
    """Where a reference's picture is: bytes `offset` to `offset + size` of a blob of the state; crc: their CRC-32."""

    blob: str
    offset: int
    size: int
    crc: int


class Stored(NamedTuple):
    """Where a reference is on disk: its segment, and the first of its rows in that segment's vectors."""

    segment: int
    row: int


@dataclass(frozen=True, slots=True)
class Reference:
    """One picture of a brand's mark.

    id: "coca-cola/3"; never given twice. brand_id: of its brand. source, licence: where it came from and on what terms, null
    when not known. kind: "drawing" (clean artwork), "photo", or "negative" (looks like a brand, is none). vectors: how many rows
    of the library's vectors are its views. thumbnail: its picture; null when it is kept as vectors only. line, product: what it
    shows, in the order brand > line > product. valid_from, valid_until: the first and the last day it counts; null for always.
    """

    id: str
    brand_id: str
    product: str | None
    source: str | None
    licence: str | None
    kind: Kind
    vectors: int
    thumbnail: Thumbnail | None = field(compare=False)
    line: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    stored: Stored | None = field(default=None, compare=False, repr=False)

    def counts_on(self, day: date) -> bool:
        """Whether it is valid on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )

    @property
    def number(self) -> int:
        """Its number among all references that its brand ever had."""
        return int(self.id.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class EmbedderRecord:
    """Which embedder made the vectors. id and checksum must both agree with the one that searches."""

    id: str
    checksum: str
    dim: int


class FileEntry(NamedTuple):
    """A data file as a version's manifest names it. size: in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Files that one write left, and that are never changed. files: "records", "vectors", "thumbnails", those there are."""

    id: int
    files: Mapping[str, FileEntry]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(entry.size for entry in self.files.values())


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything that a library holds, at one version.

    references: grouped by brand, in the order of `brands`. vectors: (m, d) float16, in the order of the references.
    blobs: where thumbnails are, by name. watch: brand ids of each named watch-list. numbers: the highest number that a brand's
    references ever had, by brand id, where it may exceed those that are left. version: grows by one with each write.
    segments: what of this is on disk. pointer: digest of the pointer it was read from, to see whether another took its place.
    """

    embedder: EmbedderRecord
    brands: tuple[Brand, ...] = ()
    references: tuple[Reference, ...] = ()
    vectors: Half = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float16))
    blobs: Mapping[str, bytes | mmap.mmap] = field(default_factory=dict)
    watch: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    read_only: bool = False
    segments: tuple[Segment, ...] = ()
    pointer: str = ""

    def picture(self, reference: Reference) -> bytes:
        """The encoded picture of a reference; empty when it has none. Raises LibraryError (damaged) when it was altered."""
        if reference.thumbnail is None:
            return b""
        blob, offset, size, crc = reference.thumbnail
        data = bytes(self.blobs[blob][offset : offset + size])
        if len(data) != size or zlib.crc32(data) != crc:
            raise LibraryError("damaged", f"the picture of {reference.id} was altered", path=blob, hint=RESTORE)
        return data

    def starts(self) -> npt.NDArray[np.int64]:
        """(n + 1,) the first row of each reference, and the number of rows."""
        return np.cumsum([0, *(r.vectors for r in self.references)])

    def check(self, path: Path) -> None:
        """Raise LibraryError (damaged) unless the parts belong together."""
        references = self.references
        places = {brand.id: place for place, brand in enumerate(self.brands)}
        negative = {brand.id for brand in self.brands if brand.negative}
        order = np.array([places.get(r.brand_id, -1) for r in references], dtype=np.int64)
        counts = [r.vectors for r in references]
        ends: dict[str, int] = {}
        for thumbnail in [r.thumbnail for r in references if r.thumbnail is not None]:
            blob, offset, size, _ = thumbnail
            if offset + size > ends.get(blob, 0):
                ends[blob] = offset + size
        whole = (
            len(places) == len(self.brands)
            and len({r.id for r in references}) == len(references)
            and bool((np.diff(order, prepend=0) >= 0).all())
            and min(counts, default=1) > 0
            and {r.id for r in references if r.kind == "negative"}
            == {r.id for r in references if r.brand_id in negative}
            and self.vectors.shape == (sum(counts), self.embedder.dim)
            and _unit(self.vectors)
            and all(end <= len(self.blobs.get(blob, b"")) for blob, end in ends.items())
            and all(brand_id in places for ids in self.watch.values() for brand_id in ids)
        )
        if not whole:
            raise LibraryError("damaged", "its files do not belong together", path=str(path), hint=RESTORE)

    def checksum(self) -> str:
        """sha256 over brands, references, vectors, lists and embedder: the same for the same content, however it is stored."""
        digest = hashlib.sha256()
        rows = [
            [self.embedder.id, self.embedder.checksum, self.embedder.dim],
            [(b.id, b.name, b.aliases, b.negative) for b in self.brands],
            [_content(r) for r in self.references],
            sorted(self.watch.items()),
        ]
        digest.update(json.dumps(rows, default=str).encode())
        digest.update(np.ascontiguousarray(self.vectors).data)
        return digest.hexdigest()


def _unit(vectors: Half) -> bool:
    """Whether all rows have unit length: NaN is found by no search, and a longer row by every one."""
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float32)
        # a negated comparison, so that NaN fails it
        if not bool((np.abs(np.einsum("ij,ij->i", block, block) - 1) < _UNIT).all()):
            return False
    return True


RESTORE = "restore the folder from a backup, or make it again: vision library build"


def grouped(
    brands: Sequence[Brand], references: Sequence[Reference], vectors: Half
) -> tuple[tuple[Reference, ...], Half]:
    """References with their rows of vectors put in the order of the brands; within one brand they keep their order.

    Raises KeyError for a reference of no brand.
    """
    place = {brand.id: number for number, brand in enumerate(brands)}
    keys = np.array([place[r.brand_id] for r in references], dtype=np.int64)
    if (np.diff(keys) >= 0).all():
        return tuple(references), vectors
    order = np.argsort(keys, kind="stable")
    counts = np.array([r.vectors for r in references], dtype=np.int64)
    first = np.cumsum(counts) - counts
    # the rows of each reference stay together: its first row, and then the next ones
    moved = counts[order]
    rows = np.repeat(first[order] - (np.cumsum(moved) - moved), moved) + np.arange(moved.sum())
    return tuple(references[i] for i in order.tolist()), vectors[rows]


def _content(r: Reference) -> tuple[object, ...]:
    """What a reference says, wherever it is stored."""
    picture = None if r.thumbnail is None else r.thumbnail[2:]
    return (
        r.id, r.brand_id, r.line, r.product, r.source, r.licence, r.kind, r.vectors, r.valid_from, r.valid_until, picture,
    )  # fmt: skip
