"""A few photographs of each brand beside the library: crops of other pictures of the sets, drawn at random several times.

A crop never meets a reference of its own picture, nor one of a picture that shows the same (`vision.datasets.split`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vision.evaluate.recognition.worlds import Neighbors
from vision.library.names import fold
from vision.values import Embeddings

SHOTS = (1, 2, 3, 5, 10)
DRAWS = 5
_BLOCK = 256

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Crops that serve as references. brands: of each. groups: (m,), see `draw`. embeddings: (m, d) unit rows."""

    brands: tuple[str, ...]
    groups: Groups
    embeddings: Embeddings


def draw(pool: Pool, queries: Embeddings, groups: Groups, shots: int, seed: int, *, alike: bool = False) -> Neighbors:
    """How near each of n queries comes to `shots` references of each brand, drawn at random.

    queries: (n, d) unit rows. groups: (n,) of each query; references of its own group are not drawn. A brand that has fewer gives
    what it has. alike: the same for all queries, as one library has them, but for those of a query's own group: what bars are
    set on. Otherwise anew for each query, which steadies shares: with six brands one choice for all moves top-1 by points.
    """
    keys = np.array([fold(brand) for brand in pool.brands])
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    edges = [*starts.tolist(), len(order)]
    names = [pool.brands[order[start]] for start in starts]
    table = np.full((len(queries), len(found)), -np.inf, np.float32)
    random = np.random.default_rng(seed)
    common = random.random(len(order))
    for first in range(0, len(queries) if len(found) else 0, _BLOCK):
        block = slice(first, first + _BLOCK)
        similarity = queries[block] @ pool.embeddings[order].T
        lots = np.tile(common, (len(similarity), 1)) if alike else random.random(similarity.shape)
        lots[groups[block, None] == pool.groups[order][None]] = np.inf
        for brand, (start, end) in enumerate(pairwise(edges)):
            own = lots[:, start:end]
            last = np.partition(own, min(shots, end - start) - 1, axis=1)[:, [min(shots, end - start) - 1]]
            drawn = (own <= last) & np.isfinite(own)
            table[block, brand] = np.where(drawn, similarity[:, start:end], -np.inf).max(axis=1)
    return Neighbors.table(names, table, "photo")
