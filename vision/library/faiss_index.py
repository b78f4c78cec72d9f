"""The same answers as `search.nearest_brands`, faster for a few queries: FAISS finds candidate rows, `search.settle` decides.

Rows are held as float16, which is how the library stores them, so nothing is lost. For many queries at once one matrix product
is faster than FAISS's scan (27,000 x 256, one thread: 0.6 against 1.0 ms a query at 64 queries; 4.5 against 1.3 ms at one).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vision.library.search import SLACK, Hit, Table, settle
from vision.values import Embeddings

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
                found[i] = self._settle(queries[i], cosines, ids, wanted)
            waiting = np.array([i for i in waiting if found[i] is None], dtype=np.int64)
            count = min(count * 4, len(self.table))
        return [hits if hits is not None else [] for hits in found]

    def _settle(self, query: Embeddings, cosines: Embeddings, rows: np.ndarray[Any, Any], k: int) -> list[Hit] | None:
        """The answer when these best rows, best first, are sure to hold it; None when more rows must be looked at."""
        cosines, rows = cosines[rows >= 0], rows[rows >= 0]  # FAISS fills up with -1 where a cosine is NaN
        _, first = np.unique(self.table.brand[rows], return_index=True)
        everything = len(rows) == len(self.table)
        if len(first) < k:
            return settle(query, rows, self.table, k) if everything or not len(rows) else None
        limit = cosines[np.sort(first)[k - 1]] - SLACK
        if not everything and cosines[-1] >= limit:
            return None
        return settle(query, rows[cosines >= limit], self.table, k)
