"""A larger tower learns from a finished one: where it begins, and what draws it on.

Its head starts as a ridge regression from its untrained grid to the teacher's embeddings of the same crops, so that it begins in
the teacher's space, with the teacher's text tower. While it trains its vectors are drawn to the teacher's, ever less.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision.training.tower import Grid4, finished_clip

log = logging.getLogger(__name__)

# The strengths of the ridge that are tried, and the share of the batches that decides among them.
RIDGES = (100.0, 300.0, 1000.0, 3000.0, 10000.0)
TEST_SHARE = 0.06


class Teacher:
    """A finished embedder whose vectors are imitated. text: the weights of its text tower."""

    def __init__(self, path: Path) -> None:
        model = finished_clip(path)
        self.tower: Grid4 = model.visual.trunk.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.text = {k: v for k, v in model.state_dict().items() if not k.startswith("visual.")}

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, d) float32 of input pictures."""
        with torch.no_grad():
            return nn.functional.normalize(self.tower(images).float(), dim=1)


def regress_head(tower: Grid4, teacher: Teacher, images: Iterable[torch.Tensor], batches: int) -> float:
    """Set the tower's head from so many batches of input pictures; the mean cosine to the teacher on those kept for a test."""
    width = tower.num_features + 1
    kept = max(1, round(TEST_SHARE * batches))
    gram = torch.zeros(width, width, dtype=torch.float64)
    cross = torch.zeros(width, tower.head.out_features, dtype=torch.float64)
    tested: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number, pictures in enumerate(images):
        with torch.no_grad():
            grid = tower.forward_grid(tower.forward_frozen(pictures))
        rows = torch.cat([grid, torch.ones(len(grid), 1)], dim=1).double()
        wanted = teacher.embed(pictures)
        if number >= batches - kept:
            tested.append((rows, wanted))
        else:
            gram += rows.T @ rows
            cross += rows.T @ wanted.double()
    best: Any = (-2.0, None)
    for ridge in RIDGES:
        weights = torch.linalg.solve(gram + ridge * torch.eye(width, dtype=torch.float64), cross)
        cosines = [(nn.functional.normalize((x @ weights).float(), dim=1) * y).sum(dim=1) for x, y in tested]
        best = max(best, (float(torch.cat(cosines).mean()), weights), key=lambda one: one[0])
    likeness, weights = best
    with torch.no_grad():
        tower.head.weight.copy_(weights[:-1].T)
        tower.head.bias.copy_(weights[-1])
    log.info("the head imitates the teacher: cosine %.3f", likeness)
    return float(likeness)
