"""The same answers as `search.nearest_brands`, faster: FAISS finds candidate rows, `search.settle` decides among them.

`FaissIndex` finds every row that can matter. Rows are held as float16, which is how the library stores them, so nothing is lost.
For many queries at once one matrix product is faster than FAISS's scan (27,000 x 256, one thread: 0.6 against 1.0 ms a query at
64 queries; 4.5 against 1.3 ms at one).

`ApproximateIndex` is for large libraries: 4 bits for each pair of numbers say which rows to look at (PQ fast scan: André et al.,
Cache locality is not enough, VLDB 2015), and those are compared as exactly as ever. It is made in a second for 100,000 rows, so
it is never stored. What it costs, and how often its nearest is the nearest, is measured by benchmarks/library_search.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vision.library.search import SLACK, Hit, Table, settle
from vision.values import Embeddings

# From this many rows on a search is approximate: the exact one takes 3 ms a crop there, a third of what embedding it takes.
APPROXIMATE_FROM = 100_000
# Rows that are compared exactly. Of 1,000,000 drawn rows all of the nearest and 99.7 % of the five nearest brands were among so
# many; among 256, 98.2 % of the five (benchmarks/library_search.py, strangers).
_COMPARED = 1024
# Rows that the 4-bit codes are learnt from, and rows added at a time.
_LEARNT_FROM, _BLOCK = 30_000, 1 << 16
# Rows asked for at first: a brand of the shipped library has up to some 40 rows, so a few brands often suffice.
_FIRST = 64


class FaissIndex:
    """A cache of one table. Made anew when the library changes; safe to search from many threads."""

    def __init__(self, table: Table) -> None:
        import faiss

        self.table = table
        self.brands = len(table.starts)
        dim = table.vectors.shape[1]
        self._index: Any = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        if len(table):
            self._index.train(table.vectors)
            self._index.add(np.ascontiguousarray(table.vectors))

    def nearest_brands(self, queries: Embeddings, k: int) -> list[list[Hit]]:
        """As `search.nearest_brands`."""
        import faiss

        # OpenMP keeps this number per thread; workers that each start a team of threads slow each other down
        faiss.omp_set_num_threads(1)
        wanted = min(k, self.brands)
        if not wanted:
            return [[] for _ in queries]
        found: list[list[Hit] | None] = [None] * len(queries)
        waiting = np.arange(len(queries))
        count = min(_FIRST, len(self.table))
        while len(waiting):
            similarity, rows = self._index.search(np.ascontiguousarray(queries[waiting]), count)
            for i, cosines, ids in zip(waiting, similarity, rows, strict=True):
                found[i] = self._settle(queries[i], cosines, ids, wanted, everything=count == len(self.table))
            waiting = np.array([i for i in waiting if found[i] is None], dtype=np.int64)
            count = min(count * 4, len(self.table))
        return [hits if hits is not None else [] for hits in found]

    def _settle(
        self, query: Embeddings, cosines: Embeddings, rows: np.ndarray[Any, Any], k: int, *, everything: bool
    ) -> list[Hit] | None:
        """The answer when these best rows, best first, are sure to hold it; None when more rows must be looked at.

        everything: there are no more.
        """
        cosines, rows = cosines[rows >= 0], rows[rows >= 0]  # FAISS fills up with -1 where a cosine is NaN
        _, first = np.unique(self.table.brand[rows], return_index=True)
        if len(first) < k:
            return settle(query, rows, self.table, k) if everything or not len(rows) else None
        limit = cosines[np.sort(first)[k - 1]] - SLACK
        if not everything and cosines[-1] >= limit:
            return None
        return settle(query, rows[cosines >= limit], self.table, k)


class ApproximateIndex:
    """The nearest brands of large tables, almost always. Made from a table, safe to search from many threads."""

    def __init__(self, table: Table) -> None:
        import faiss

        self.table = table
        self.brands = len(table.starts)
        rows, dim = table.vectors.shape
        # a code for each pair of numbers; FAISS splits a vector into equal parts only
        self._index: Any = faiss.IndexPQFastScan(dim, dim // 2 if dim % 2 == 0 else dim, 4, faiss.METRIC_INNER_PRODUCT)
        faiss.omp_set_num_threads(1)
        some = np.random.default_rng(0).permutation(rows)[:_LEARNT_FROM]
        self._index.train(np.ascontiguousarray(table.vectors[np.sort(some)], dtype=np.float32))
        for start in range(0, rows, _BLOCK):
            self._index.add(np.ascontiguousarray(table.vectors[start : start + _BLOCK], dtype=np.float32))

    def nearest_brands(self, queries: Embeddings, k: int) -> list[list[Hit]]:
        """As `search.nearest_brands`, but for a brand that is missed now and then; similarities are exact."""
        import faiss

        faiss.omp_set_num_threads(1)  # see FaissIndex
        wanted = min(k, self.brands)
        found: list[list[Hit]] = [[] for _ in queries]
        waiting = np.flatnonzero(np.isfinite(queries).all(axis=1))  # codes of what is no number are those of anything
        count = min(_COMPARED, len(self.table))
        while wanted and len(waiting):
            _, rows = self._index.search(np.ascontiguousarray(queries[waiting]), count)
            everything = count == len(self.table)
            for i, ids in zip(waiting.tolist(), rows, strict=True):
                # asked for everything, FAISS leaves out what its codes cannot tell from the farthest
                found[i] = settle(queries[i], np.arange(count) if everything else ids[ids >= 0], self.table, wanted)
            waiting = np.array([i for i in waiting if len(found[i]) < wanted and not everything], dtype=np.int64)
            count = min(count * 4, len(self.table))
        return found
