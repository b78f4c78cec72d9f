"""Who claims: what a method of copy detection is, for this package and its peers alike; and this package by its public index.

In: pictures to index and pictures to ask, by id and file. Out: scored claims and what they cost. Every method has an operating
point of its own: the bar that its makers advise, and for ours whatever the index claims. Times are of processor, all threads
together, so that a busy machine does not change them; decoding is part of describing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol, TypeVar

import cv2
import numpy as np

from vision.copies import CopyIndex, Entry, compare_copies, described
from vision.errors import PictureError
from vision.evaluate.copies.battery import Advance, Tell
from vision.evaluate.copies.score import Claim
from vision.images import read_picture
from vision.scan import in_order
from vision.values import Pixels

PEER_SIDE = 512  # as PDQ's own tools show pictures
BATCH = 256  # pictures that become part of the index together

T = TypeVar("T")
R = TypeVar("R")


class Item(NamedTuple):
    """A picture by the name that claims use."""

    id: str
    path: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """Claims of all queries, and costs: milliseconds of one core for each picture indexed and each asked.

    failed: ids that could not be read or described.
    """

    claims: list[Claim]
    describe_ms: float
    query_ms: float
    failed: list[str] = field(default_factory=list)


class Method(Protocol):
    """Somebody who claims."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def bar(self) -> float:
        """The operating point: claims score at or above it."""

    def answer(self, references: Sequence[Item], queries: Sequence[Item], tell: Tell) -> Answer:
        """Claims of queries on references, all at or above the bar and possibly more below it."""


class Clock:
    """Milliseconds of processor since the last look, over a number of things."""

    def __init__(self) -> None:
        self._last = time.process_time()

    def each(self, count: int) -> float:
        """Since it was made or asked last."""
        now = time.process_time()
        spent, self._last = now - self._last, now
        return 1000 * spent / max(count, 1)


class Ours:
    """`vision.CopyIndex` as it ships: every claim that it makes, by its probability."""

    name = "vision"
    bar = float("-inf")

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def answer(self, references: Sequence[Item], queries: Sequence[Item], tell: Tell) -> Answer:
        """As `Method.answer`, through an index on disk that is thrown away."""
        with TemporaryDirectory(prefix="vision-copies-") as folder:
            return self._answer(CopyIndex.create(folder), references, queries, tell)

    def _answer(self, index: CopyIndex, references: Sequence[Item], queries: Sequence[Item], tell: Tell) -> Answer:
        clock, failed = Clock(), list[str]()
        waiting: list[Entry] = []

        def entry(item: Item) -> Entry:
            return Entry.of(described(item.path), item.id)

        advance = tell(f"{self.name}: describe")(len(references))
        for item, made in each(unless_unreadable(entry), references, advance, self._threads):
            waiting += [made] if made else []
            failed += [] if made else [item.id]
            if len(waiting) >= BATCH:
                index.add_entries(waiting)
                waiting = []
        index.add_entries(waiting)
        describe_ms = clock.each(len(references))

        def search(item: Item) -> list[Claim]:
            found = index.search(item.path, limit=None)
            return [Claim(item.id, c.source, c.probability, c.kind) for c in found]

        claims: list[Claim] = []
        advance = tell(f"{self.name}: search")(len(queries))
        for item, own in each(unless_unreadable(search), queries, advance, self._threads):
            claims += own or []
            failed += [] if own is not None else [item.id]
        return Answer(claims, describe_ms, clock.each(len(queries)), failed)


class OursInPairs:
    """`vision.compare_copies` on every pair of the queries, which are the references: no index tells what many of them share."""

    name = "vision, two alone"
    bar = float("-inf")

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def answer(self, references: Sequence[Item], queries: Sequence[Item], tell: Tell) -> Answer:
        """As `Method.answer`. query_ms: of a pair."""
        pairs = list(combinations(queries, 2))
        clock = Clock()

        def compare(pair: tuple[Item, Item]) -> Claim | None:
            claim = compare_copies(pair[0].path, pair[1].path)
            return Claim(pair[0].id, pair[1].id, claim.probability, claim.kind) if claim else None

        advance = tell(f"{self.name}: compare")(len(pairs))
        claims = [claim for _, claim in each(compare, pairs, advance, self._threads) if claim]
        return Answer(claims, 0.0, clock.each(len(pairs)))


def unless_unreadable(work: Callable[[Item], R]) -> Callable[[Item], R | None]:
    """As `work`, but null for a picture that cannot be read."""

    def tried(item: Item) -> R | None:
        try:
            return work(item)
        except PictureError:
            return None

    return tried


def each(work: Callable[[T], R], items: Sequence[T], advance: Advance, threads: int | None) -> Iterator[tuple[T, R]]:
    """Each thing with what was made of it, in order, by threads, counted."""
    for item, made in zip(items, in_order(work, items, threads=threads), strict=True):
        advance(1)
        yield item, made


def peer_pixels(path: Path) -> Pixels:
    """A picture as peers see it, its longer side at most `PEER_SIDE`. Raises PictureError."""
    pixels = read_picture(path, reduce_to=PEER_SIDE).pixels
    factor = PEER_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
