"""Exact nearest brands, the truth that every faster way must repeat. Unit vectors in, rows of the library and cosines out.

Pure. A brand is as near as its nearest vector; the answer holds different brands, so that the second is the best rival.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.values import Embeddings

Rows = npt.NDArray[np.int64]

# Floats of one block of similarities: 32 MiB, whatever the size of the library.
_BLOCK = 1 << 23
# float32 products of unit vectors differ by less than this between ways of summing (256 to 1024 terms; measured 3e-7).
SLACK = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The vectors of a library in the order of its brands.

    vectors: (m, d) float32, or float16 for tables that only an `ApproximateIndex` searches; about unit rows.
    brand: (m,) index of the brand of each row, ascending, none left out. rank: (m,) place of the row's reference among all
    reference ids in their order: what decides between equal cosines.
    """

    vectors: npt.NDArray[np.floating[Any]]
    brand: Rows
    rank: Rows

    def __len__(self) -> int:
        return len(self.brand)

    @property
    def starts(self) -> Rows:
        """First row of each brand."""
        return np.flatnonzero(np.diff(self.brand, prepend=-1))


@dataclass(frozen=True, slots=True)
class Hit:
    """The nearest row of one brand. similarity: cosine, computed in float64, so that it depends on nothing else in the batch."""

    row: int
    similarity: float


def nearest_brands(queries: Embeddings, table: Table, k: int) -> list[list[Hit]]:
    """The k nearest brands of each query, best first, each by its nearest row; fewer when the library has fewer brands.

    queries: (n, d) float32 unit rows. Equal cosines come in the order of the reference ids. A query with NaN finds nothing.
    Cosine of unit vectors is their dot product: Manning et al., Introduction to Information Retrieval, 6.3.1.
    """
    if not len(table):
        return [[] for _ in queries]
    starts = table.starts
    wanted = min(k, len(starts))
    found: list[list[Hit]] = []
    for block in _blocks(queries, len(table)):
        similarity = block @ table.vectors.T
        best = np.maximum.reduceat(similarity, starts, axis=1)
        limits = np.partition(best, len(starts) - wanted, axis=1)[:, len(starts) - wanted]
        for query, row, limit in zip(block, similarity, limits, strict=True):
            found.append(settle(query, np.flatnonzero(row >= limit - SLACK), table, wanted))
    return found


def settle(query: Embeddings, rows: Rows, table: Table, k: int) -> list[Hit]:
    """The k nearest brands among candidate rows: cosines in float64, best first, ties by reference id, one row a brand.

    rows: every row whose cosine is within SLACK of the k-th brand's or over it.
    """
    similarity = cosines(query, table.vectors[rows])
    order = np.lexsort((table.rank[rows], -similarity))
    _, first = np.unique(table.brand[rows[order]], return_index=True)
    winners = order[np.sort(first)[:k]]
    return [Hit(int(rows[i]), float(np.clip(similarity[i], -1, 1))) for i in winners]


def cosines(query: Embeddings, vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Cosine of a (d,) unit vector to each of (m, d) unit rows, in float64, whatever else stands in the batch."""
    # einsum sums each row alone, in one order, so equal vectors have equal cosines; a matrix product does not promise that
    found: npt.NDArray[np.float64] = np.einsum("md,d->m", vectors.astype(np.float64), query.astype(np.float64))
    return found


def _blocks(queries: Embeddings, rows: int) -> Iterator[Embeddings]:
    size = max(1, _BLOCK // rows)
    for start in range(0, len(queries), size):
        yield queries[start : start + size]
