"""Libraries of other sizes: parts of the one given, drawn at random, and larger ones filled up with strangers that are made up.

A stranger is made of a brand of the library: its vectors are turned away, all in one direction, until they are as near to where
they came from as brands of this library are to their nearest rival. The direction is a random sum of the library's vectors, so
that it leads where marks are and not into noise, and to none of them in particular. This needs nothing but the library, and
makes as many near misses a brand as there are among real ones. Names are put together from syllables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.embed.contract import unit_rows
from vision.evaluate.recognition.crops import NAMES, Crops
from vision.evaluate.recognition.worlds import Neighbors
from vision.library import Library
from vision.library.by_name import NameIndex
from vision.library.names import fold
from vision.recognise import FALLBACKS, merged, weakened
from vision.values import Embeddings

SIZES = (100, 1_000, 4_000, 0, 50_000)  # 0: all that it holds
# Brands of which strangers are made, and brands looked at to learn how near rivals are.
_PARENTS = 1_500
_BLOCK_BRANDS = 2_000
_BLOCK_QUERIES = 256
_KEPT = 20
# Vectors that a direction is the sum of.
_MIXED = 16
# Two brands of one artwork are as near as can be; a stranger is never quite that.
_NEAREST = 0.98
_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvxz" for vowel in "aeiou")


def part(names: Sequence[str], kept: Sequence[str], size: int, seed: int) -> frozenset[str]:
    """`size` brands: those `kept`, and others drawn at random. More than `size` are kept where as many have to be."""
    keys = {fold(name) for name in kept}
    others = [name for name in names if fold(name) not in keys]
    order = np.random.default_rng(seed).permutation(len(others))
    return frozenset([*kept, *(others[i] for i in order[: max(size - len(kept), 0)])])


@dataclass(frozen=True, slots=True, eq=False)
class Parents:
    """What strangers are made of. vectors: (v, d) of the parents one after another. starts: (p,) first row of each.

    rivals: (r,) cosines between brands of the library and their nearest rival, best pair of vectors.
    """

    vectors: Embeddings
    starts: npt.NDArray[np.int64]
    rivals: npt.NDArray[np.float64]

    @classmethod
    def of(cls, library: Library, seed: int = 0) -> Parents:
        """Parents and rivalries of a library with at least two brands that have vectors."""
        references = library.all_references()
        owner = np.repeat(np.arange(len(references)), [r.vectors for r in references])
        brand_of = {name: i for i, name in enumerate(dict.fromkeys(r.brand_id for r in references))}
        brand = np.array([brand_of[r.brand_id] for r in references], dtype=np.int64)[owner]
        every = library.all_vectors()
        chosen = np.random.default_rng(seed).permutation(len(brand_of))[:_PARENTS]
        rows = [np.flatnonzero(brand == b) for b in chosen]
        counts = np.array([len(r) for r in rows])
        picked = np.concatenate(rows)
        vectors = np.asarray(every[picked], dtype=np.float32)
        starts = np.cumsum([0, *counts])[:-1]
        # the nearest vector of any other brand, for some of them
        nearest = []
        for own in range(min(len(chosen), 300)):
            similarity = vectors[starts[own] : starts[own] + counts[own]] @ every.T
            similarity[:, brand == chosen[own]] = -1
            nearest.append(float(similarity.max()))
        return cls(vectors, starts, np.array(nearest))


def invented_names(count: int, taken: Sequence[str], seed: int = 0) -> list[str]:
    """Names of two to four syllables that are none of those taken, all different."""
    random = np.random.default_rng(seed)
    known = {fold(name) for name in taken}
    names: list[str] = []
    while len(names) < count:
        name = "".join(_SYLLABLES[i] for i in random.integers(len(_SYLLABLES), size=int(random.integers(2, 5))))
        if fold(name) not in known:
            known.add(fold(name))
            names.append(name.capitalize())
    return names


def made_up(parents: Parents, count: int, seed: int) -> tuple[Embeddings, npt.NDArray[np.int64]]:
    """The vectors of `count` strangers, (v, d) unit rows, and the first row of each."""
    random = np.random.default_rng(seed)
    ends = np.append(parents.starts[1:], len(parents.vectors))
    one = random.integers(len(parents.starts), size=count)
    rows = [np.arange(parents.starts[i], ends[i]) for i in one]
    starts = np.cumsum([0, *(len(r) for r in rows)])[:-1]
    vectors = parents.vectors[np.concatenate(rows)]
    mixed = random.integers(len(parents.vectors), size=(count, _MIXED))
    weights = random.normal(size=(count, 1, _MIXED)).astype(np.float32)
    away = (weights @ (parents.vectors[mixed] - parents.vectors.mean(axis=0)))[:, 0]
    away = np.repeat(away, [len(r) for r in rows], axis=0)
    away = unit_rows(away - (away * vectors).sum(axis=1, keepdims=True) * vectors)
    near = np.repeat(random.choice(np.minimum(parents.rivals, _NEAREST), count), [len(r) for r in rows])[
        :, None
    ].astype(np.float32)
    return unit_rows(near * vectors + np.sqrt(1 - near**2) * away), starts


def strangers(parents: Parents, queries: Embeddings, names: Sequence[str], seed: int = 0) -> Neighbors:
    """The nearest of made-up brands of these names for each of (n, d) queries; made, searched and forgotten by the thousand."""
    kept = min(_KEPT, len(names))
    entry = np.zeros((len(queries), 0), np.int64)
    similarity = np.zeros((len(queries), 0), np.float32)
    for start in range(0, len(names), _BLOCK_BRANDS):
        vectors, starts = made_up(parents, min(_BLOCK_BRANDS, len(names) - start), seed + start)
        best = np.concatenate(
            [
                np.maximum.reduceat(queries[i : i + _BLOCK_QUERIES] @ vectors.T, starts, axis=1)
                for i in range(0, len(queries), _BLOCK_QUERIES)
            ]
        )
        ids = np.broadcast_to(np.arange(start, start + len(starts)), best.shape)
        similarity = np.concatenate([similarity, best], axis=1)
        entry = np.concatenate([entry, ids], axis=1)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :kept]
        similarity, entry = np.take_along_axis(similarity, order, axis=1), np.take_along_axis(entry, order, axis=1)
    used, inverse = np.unique(entry, return_inverse=True)
    place = np.asarray(inverse.reshape(entry.shape), dtype=np.int32)
    none = np.zeros(len(used), dtype=bool)
    return Neighbors(tuple(names[int(i)] for i in used), none, ("made up",), place, np.zeros_like(place), similarity)


def with_names(crops: Crops, names: Sequence[str]) -> Crops:
    """The crops with brands of these names too among those that were read; as they are where no lines were kept."""
    if crops.lines is None or crops.names is None:
        return crops
    index = NameIndex((name, name) for name in names)
    read = []
    for lines, found in zip(crops.lines, crops.names, strict=True):
        fallbacks = [line for line in lines if line.way in FALLBACKS]
        more = index.match([line for line in lines if line.way not in FALLBACKS], NAMES)
        more += [weakened(m) for m in index.match(fallbacks, NAMES)]
        read.append(tuple(merged(found, more)[:NAMES]))
    return replace(crops, names=tuple(read))
