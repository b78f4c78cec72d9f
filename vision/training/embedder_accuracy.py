"""How well a tower in training tells what is held out: drawings of other brands, photographed logos by a few references."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vision.training.crops import draw_crop, plain_crop
from vision.training.embedder_data import TrainingData
from vision.training.tower import Grid4
from vision.values import Embeddings


def to_input(pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(n, h, w, 3) uint8 to the tower's (n, 3, h, w) float32 in -1..1, channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def embed_pictures(tower: Grid4, pictures: npt.NDArray[np.uint8]) -> Embeddings:
    """Unit embeddings (n, d) float32 of prepared pictures (n, s, s, 3) uint8, in full precision."""
    tower.eval()
    with torch.no_grad():
        found = [
            nn.functional.normalize(tower(to_input(pictures[i : i + 64])), dim=1) for i in range(0, len(pictures), 64)
        ]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def held_out_accuracy(
    tower: Grid4, data: TrainingData, *, seed: int, crops: int = 2, others: int | None = None
) -> float:
    """Top-1 of drawn crops of held-out brands among one clean view of every drawing, trained and held out; NaN without any.

    others: so many of the trained drawings, in place of all.
    """
    from vision.embed.contract import stretch

    if not data.held_out:
        return math.nan
    rng = np.random.default_rng(seed)
    trained = np.arange(len(data.clean))[:: max(1, len(data.clean) // others) if others else 1]
    pictures = [data.clean[i] for i in trained] + [c for _, _, c in data.held_out]
    library = np.stack([stretch(picture, data.size) for picture in pictures])
    keys = [str(data.groups[i]) for i in trained] + [f"held out {k}" for k, _, _ in data.held_out]
    grounds = data.test_grounds or data.grounds
    queries = np.stack([draw_crop(a, grounds, rng, data.size) for _, a, _ in data.held_out for _ in range(crops)])
    wanted = [f"held out {k}" for k, _, _ in data.held_out for _ in range(crops)]
    nearest = (embed_pictures(tower, queries) @ embed_pictures(tower, library).T).argmax(axis=1)
    return float(np.mean([keys[i] == w for i, w in zip(nearest, wanted, strict=True)]))


def few_shot_accuracy(
    tower: Grid4, data: TrainingData, *, references: int = 3, rivals: int = 60, draws: int = 10
) -> float:
    """Top-1 of photographed logos of held-out brands against `references` crops of each of them and of rival brands; NaN
    without any.

    A crop never meets one of its own picture. rivals: so many trained brands, those with most pictures. Mean of `draws` choices.
    """
    if not data.held_out_real:
        return math.nan
    known = sorted((p for p in data.real if len(set(p.pictures)) >= references), key=lambda p: -len(p.crops))[:rivals]
    brands = [p for _, p in data.held_out_real] + known
    keys, pictures, crops = [], [], []
    for number, photos in enumerate(brands):
        some = np.random.default_rng(number).permutation(len(photos.crops))[
            : 20 if number < len(data.held_out_real) else 6
        ]
        crops += [plain_crop(photos.crops[i], data.size) for i in some]
        pictures += [photos.pictures[i] for i in some]
        keys += [number] * len(some)
    vectors = embed_pictures(tower, np.stack(crops))
    owner, source = np.array(keys), np.array(pictures)
    right, asked = 0, np.flatnonzero(owner < len(data.held_out_real))
    cosines = vectors[asked] @ vectors.T
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(owner))
        for row, i in enumerate(asked):
            usable = order[source[order] != source[i]]
            rank = np.zeros(len(usable), int)
            for number in range(len(brands)):
                place = np.flatnonzero(owner[usable] == number)
                rank[place] = np.arange(len(place))
            chosen = usable[rank < references]
            right += int(owner[chosen[cosines[row, chosen].argmax()]] == owner[i])
    return right / (draws * len(asked))
