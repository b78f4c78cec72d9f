"""Exact search among 256-bit hashes: all that lie within a Hamming radius, by FAISS, and by a plain loop that is the truth.

In: queries of packed bits. Out: (query, reference, distance) arrays in a fixed order. The index grows in memory, 32 bytes a hash.
What is near in all bits is as near in half of them, so FAISS counts the first halves, a million in two thirds of a millisecond on
one core, and the rest is compared where they agree. That is faster than its own exact MultiHash; nothing is approximate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]

HASH_BYTES = 32
_HALF = HASH_BYTES // 2
_ONES = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)


def hamming(a: Bits, b: Bits) -> npt.NDArray[np.int64]:
    """Bits that differ between rows of packed bits, (…, 32) uint8 each, broadcast against each other."""
    return np.asarray(_ONES[np.bitwise_xor(a, b)].sum(axis=-1, dtype=np.int64))


def within_loop(queries: Bits, references: Bits, radius: int) -> Found:
    """What `HashIndex.within` answers, found by comparing one query after the other with all references."""
    distances = [hamming(query, references) for query in queries]
    near = [np.flatnonzero(distance <= radius) for distance in distances]
    return (
        np.repeat(np.arange(len(queries)), [len(found) for found in near]),
        np.concatenate([*near, np.zeros(0, dtype=np.int64)]),
        np.concatenate([*(d[found] for d, found in zip(distances, near, strict=True)), np.zeros(0, dtype=np.int64)]),
    )


def nearest_bits(queries: Bits, references: Bits) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each of (n, bytes) uint8 rows of packed bits the nearest of (m, bytes) others, m > 0: distance and place, (n,) each."""
    index: Any = _faiss().IndexBinaryFlat(8 * references.shape[1])
    index.add(np.ascontiguousarray(references))
    distance, place = index.search(np.ascontiguousarray(queries), 1)
    return distance[:, 0].astype(np.int64), place[:, 0].astype(np.int64)


class HashIndex:
    """Hashes by the number of their place, 0 on. Growing it and searching it must not happen at the same time."""

    def __init__(self) -> None:
        self._first: Any = _faiss().IndexBinaryFlat(8 * _HALF)
        self._rest: Any = _faiss().IndexBinaryFlat(8 * _HALF)

    def __len__(self) -> int:
        return int(self._first.ntotal)

    def add(self, hashes: Bits) -> None:
        """Append (n, 32) uint8 packed hashes."""
        self._first.add(np.ascontiguousarray(hashes[:, :_HALF]))
        self._rest.add(np.ascontiguousarray(hashes[:, _HALF:]))

    def hash(self, number: int) -> Bits:
        """(32,) uint8: one hash as it was added."""
        halves = [half.reconstruct(number) for half in (self._first, self._rest)]
        return np.concatenate(halves).astype(np.uint8)

    def hashes(self, numbers: npt.NDArray[np.int64]) -> Bits:
        """(n, 32) uint8: the hashes of n places, at least one."""
        faiss = _faiss()
        halves = [faiss.rev_swig_ptr(half.xb.data(), len(self) * _HALF) for half in (self._first, self._rest)]
        return np.concatenate([half.reshape(-1, _HALF)[numbers] for half in halves], axis=1)

    def within(self, queries: Bits, radius: int) -> Found:
        """All references at most `radius` bits from each of (q, 32) uint8 queries.

        Gives three (k,) int64 arrays: the number of the query, of the reference, and their distance; ordered by query, then
        by reference.
        """
        faiss = _faiss()
        if not len(self):
            none = np.zeros(0, dtype=np.int64)
            return none, none, none
        # FAISS leaves out what lies at the radius itself
        limits, first, near = self._first.range_search(np.ascontiguousarray(queries[:, :_HALF]), radius + 1)
        query, reference = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), near.astype(np.int64)
        rest = faiss.rev_swig_ptr(self._rest.xb.data(), len(self) * _HALF).reshape(-1, _HALF)
        distance = first.astype(np.int64) + hamming(queries[query, _HALF:], rest[reference])
        kept = np.flatnonzero(distance <= radius)
        kept = kept[np.lexsort((reference[kept], query[kept]))]
        return query[kept], reference[kept], distance[kept]


def _faiss() -> Any:
    """FAISS with one thread of its own for whoever calls, as each of our threads begins with as many as there are cores.

    A batch is eight orientations of one picture, too little to share: waiting for threads on a busy machine made searches 4 to
    20 times slower.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss
