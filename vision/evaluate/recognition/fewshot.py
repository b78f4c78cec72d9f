"""A few photographs of each brand beside the library: crops of other pictures of the sets, drawn at random several times.

A crop never meets a reference of its own picture, nor one of a picture that shows the same (`vision.copies` says which do).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision.copies import CopyDescription, ScanIndex, described
from vision.copies.entries import MAX_RADIUS
from vision.errors import PictureError
from vision.evaluate.recognition.worlds import Neighbors
from vision.library.names import fold
from vision.scan import in_order
from vision.values import Embeddings

SHOTS = (1, 2, 3, 5, 10)
DRAWS = 5
# References of a brand that are drawn from, at most; more would only fill up what a query may not see.
_POOLED = 60
_BLOCK = 256

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Crops that serve as references. brands: of each. groups: (m,), see `draw`. embeddings: (m, d) unit rows."""

    brands: tuple[str, ...]
    groups: Groups
    embeddings: Embeddings


def draw(pool: Pool, queries: Embeddings, groups: Groups, shots: int, seed: int) -> Neighbors:
    """How near n queries come to `shots` references of each brand, drawn at random, the same for all queries.

    queries: (n, d) unit rows. groups: (n,) of each query; where one of the references drawn is of the query's own group, the
    next one of that brand stands in for it. A brand that has fewer gives what it has.
    """
    order = np.random.default_rng(seed).permutation(len(pool.brands))
    keys = np.array([fold(brand) for brand in pool.brands])[order]
    names: list[str] = []
    chosen: list[npt.NDArray[np.int64]] = []
    for key in sorted(set(keys.tolist())):
        chosen.append(order[keys == key][:_POOLED])
        names.append(pool.brands[chosen[-1][0]])
    rows = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    starts = np.cumsum([0, *(len(some) for some in chosen)])[:-1]
    table = np.full((len(queries), len(names)), -np.inf, np.float32)
    for start in range(0, len(queries) if names else 0, _BLOCK):
        block = slice(start, start + _BLOCK)
        similarity = queries[block] @ pool.embeddings[rows].T
        usable = groups[block, None] != pool.groups[rows][None]
        before = np.cumsum(usable, axis=1) - usable
        place = before - np.repeat(before[:, starts], [len(some) for some in chosen], axis=1)
        similarity[~usable | (place >= shots)] = -np.inf
        table[block] = np.maximum.reduceat(similarity, starts, axis=1)
    return Neighbors.table(names, table, "photo")


def show_same(
    paths: Sequence[Path], *, progress: Callable[[int], Callable[[int], None]] | None = None, threads: int | None = None
) -> Groups:
    """(n,) group of each picture: those that were taken from each other, edited, mirrored or turned, are in one group."""
    parent = list(range(len(paths)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    advance = progress(len(paths)) if progress else None
    index = ScanIndex()
    for number, one in enumerate(in_order(_described, paths, threads=threads)):
        if advance:
            advance(1)
        if one is None:
            continue
        # as far as copies were measured at all: a pair that leaks through flatters, one too many costs a reference
        for claim in index.search(one, MAX_RADIUS, None):
            parent[root(number)] = root(int(claim.source))
        index.add(str(number), one)
    return np.array([root(i) for i in range(len(paths))], dtype=np.int64)


def _described(path: Path) -> CopyDescription | None:
    try:
        return described(path)
    except PictureError:
        return None
