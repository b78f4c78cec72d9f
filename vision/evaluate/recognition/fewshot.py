"""A few photographs of each brand beside the library: crops of other pictures of the sets, drawn at random several times.

A crop never meets a reference of its own picture, nor one of a picture that shows the same (`vision.datasets.split`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.evaluate.recognition.worlds import Neighbors
from vision.library.names import fold
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
