"""How well an embedder alone names true boxes: against clean drawings only, and against a few photographs of each brand.

Boxes come from labelled sets, so the detector plays no part; neither does the shipped library, which `recognition/`
measures. Brands are compared under their library names, so that a box "Google" is right when a drawing "Google 2014" wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import read_set
from vision.embed import EmbedderLike
from vision.evaluate.detector import set_names
from vision.evaluate.metrics import first_right_rank, recall_at_k
from vision.geometry import crop, pad
from vision.images import read_picture
from vision.library.names import canonical, fold
from vision.library.sources import Drawing, views
from vision.recognise import CROP_PADDING
from vision.values import Embeddings


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Embedded boxes of one set. keys: folded brand names. pictures: the picture of each. vectors: (n, d) float32 unit rows."""

    keys: npt.NDArray[np.str_]
    pictures: npt.NDArray[np.str_]
    vectors: Embeddings

    def none(self) -> Crops:
        """None of them."""
        return Crops(self.keys[:0], self.pictures[:0], self.vectors[:0])


def embed_boxes(embedder: EmbedderLike, truth: Path) -> Crops:
    """Every box of a set that names a brand, padded, cut and embedded. Raises DatasetError (missing, bad_label)."""
    keys, pictures, crops = [], [], []
    for labelled in read_set(truth, extra_boxes=False):
        named = [(b.box, b.brand) for b in labelled.boxes if b.brand and not b.ignore]
        if not named:
            continue
        picture = read_picture(labelled.path)
        boxes = np.array([box for box, _ in named], dtype=np.float32) * labelled.scale_to(picture.width, picture.height)
        for (_, brand), box in zip(named, pad(boxes, CROP_PADDING, picture.width, picture.height), strict=True):
            keys.append(fold(canonical(brand)))
            pictures.append(str(labelled.path))
            crops.append(crop(picture.pixels, box))
    return Crops(np.array(keys, dtype=np.str_), np.array(pictures, dtype=np.str_), embedder.embed_images(crops))


def embed_drawings(embedder: EmbedderLike, drawings: Sequence[Drawing]) -> tuple[Embeddings, npt.NDArray[np.str_]]:
    """The views of each drawing: vectors (m, d) and the brand key of each."""
    keys, vectors = [], []
    for start in range(0, len(drawings), 16):  # views are made as they are needed: all of them take gigabytes
        some = [(d.key, view) for d in drawings[start : start + 16] for view in views(d)]
        keys += [key for key, _ in some]
        vectors.append(embedder.embed_images([view for _, view in some]))
    return np.concatenate(vectors), np.array(keys, dtype=np.str_)


def rank_brands(
    queries: Embeddings, wanted: npt.NDArray[np.str_], vectors: Embeddings, keys: npt.NDArray[np.str_]
) -> npt.NDArray[np.floating[Any]]:
    """Rank (from 1) of each query's own brand among all brands, each by its best vector; infinity when it has none.

    queries: (n, d), wanted: (n,). vectors: (m, d), keys: (m,). Brands as similar as the right one come first.
    """
    order = np.argsort(keys, kind="stable")
    names, starts = np.unique(keys[order], return_index=True)
    best = np.maximum.reduceat(queries @ vectors[order].T, starts, axis=1)
    return first_right_rank(best, names[None] == wanted[:, None])


def evaluate_embedder(
    embedder: EmbedderLike,
    truths: Sequence[Path],
    drawings: Sequence[Drawing],
    *,
    per_brand: int = 3,
    draws: int = 5,
) -> dict[str, Any]:
    """Top-1 and top-5 of the true boxes of each set, as plain JSON.

    vectors_only: the boxes whose brand the drawings hold, against the views of every drawing. photos: all boxes, against
    `per_brand` crops of each brand of `train.jsonl` beside the set (of the set's other pictures for brands that are not in it,
    and where there is no such file), mean of `draws` random choices. Raises DatasetError (missing, bad_label).
    """
    vectors, keys = embed_drawings(embedder, drawings)
    found: dict[str, Any] = {
        "embedder": embedder.id,
        "drawings": len(drawings),
        "brands": len(set(keys.tolist())),
        "photos_per_brand": per_brand,
        "sets": {},
    }
    held = np.unique(keys)
    for name, truth in zip(set_names(truths), truths, strict=True):
        queries = embed_boxes(embedder, truth)
        inside = np.isin(queries.keys, held)
        ranks = rank_brands(queries.vectors[inside], queries.keys[inside], vectors, keys)
        by_brand = {
            key: f"{int((ranks[queries.keys[inside] == key] == 1).sum())}/{int((queries.keys == key).sum())}"
            for key in np.unique(queries.keys[inside]).tolist()
        }
        train = truth.absolute().with_name("train.jsonl")
        references = embed_boxes(embedder, train) if train.is_file() else queries.none()
        found["sets"][name] = {
            "boxes": len(queries.keys),
            "boxes_held": int(inside.sum()),
            "vectors_only": _figures(ranks),
            "vectors_only_by_brand": by_brand,
            "photos": _figures(_photo_ranks(queries, references, per_brand, draws)),
        }
    return found


def _figures(ranks: npt.NDArray[np.floating[Any]]) -> dict[str, float | None]:
    """Shares in [0, 1]; null when there was no query."""
    return {f"top{k}": round(recall_at_k(ranks, k), 4) if len(ranks) else None for k in (1, 5)}


def _photo_ranks(queries: Crops, references: Crops, per_brand: int, draws: int) -> npt.NDArray[np.floating[Any]]:
    """Ranks of all queries in all draws, one after another. A query never meets a crop of its own picture."""
    new = ~np.isin(queries.keys, references.keys)
    vectors = np.concatenate([references.vectors, queries.vectors[new]])
    keys = np.concatenate([references.keys, queries.keys[new]])
    pictures = np.concatenate([references.pictures, queries.pictures[new]])
    ranks = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(keys))
        for i in range(len(queries.keys)):
            usable = order[pictures[order] != queries.pictures[i]]
            chosen = np.concatenate([usable[keys[usable] == key][:per_brand] for key in np.unique(keys)])
            ranks.append(
                rank_brands(queries.vectors[i : i + 1], queries.keys[i : i + 1], vectors[chosen], keys[chosen])
            )
    return np.concatenate(ranks) if ranks else np.zeros(0)
