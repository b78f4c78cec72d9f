"""The loss of ultralytics' YOLO, turned down where nobody looked for logos or products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.ops import box_iou

from vision.geometry import to_cxcywh_norm
from vision.training.detector_views import ALONE, KINDS, LOGO, PRODUCT, Labels

# A logo that overlaps a product that stands alone by so much (IoU) is that product as a whole.
SAME = 0.5


class LenientBCE(nn.Module):
    """Binary cross-entropy with a weight for each anchor and kind: false alarms count less where `weights` says so.

    weights: (batch, anchors, kinds) in [0, 1], set before each call. An anchor of a true box counts fully, and one
    that is assigned to a logo counts fully as no product: sources of logos never box products, but their logos are none.
    One that predicts a product that stands alone, as a whole, counts fully as no logo.
    """

    def __init__(self, assigner: StrengthAssigner) -> None:
        super().__init__()
        self.assigner = assigner
        self.weights: torch.Tensor | None = None

    def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits and targets (batch, anchors, kinds) to the weighted loss of each, not summed."""
        loss = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        if self.weights is None:
            return loss
        full = targets > 0
        logo, product = full[..., LOGO], full[..., PRODUCT] | full[..., LOGO]
        if self.assigner.predicted is not None:
            logo = logo | self.assigner.predicted
        full = torch.stack([logo, product], dim=-1)
        return loss * torch.where(full, 1.0, self.weights)


class StrengthAssigner(nn.Module):
    """ultralytics' assignment of anchors to boxes, its target scores scaled by the strength of the box.

    strengths: (batch, most boxes of a picture), in the order of the labels, set before each call. alone: (batch, n, 4) xyxy
    pixels of products that stand alone, zeros where there are fewer; predicted says afterwards which anchors (batch, anchors)
    predict one of them as a whole.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.strengths: torch.Tensor | None = None
        self.alone: torch.Tensor | None = None
        self.predicted: torch.Tensor | None = None

    def forward(self, *given: Any, **named: Any) -> Any:
        """What the assigner gives: labels, boxes, scores (batch, anchors, kinds), foreground, number of each anchor's box."""
        labels, boxes, scores, foreground, numbers = self.inner(*given, **named)
        if self.strengths is not None and self.strengths.shape[1]:
            scores = scores * self.strengths.gather(1, numbers.long())[..., None]
        self.predicted = None
        if self.alone is not None and self.alone.shape[1]:
            self.predicted = (torch.vmap(box_iou)(given[1].float(), self.alone) >= SAME).any(dim=-1)
        return labels, boxes, scores, foreground, numbers


def padded_strengths(labels: Sequence[Labels]) -> torch.Tensor:
    """Strengths of the boxes of each picture as one (batch, most boxes) tensor, filled up with ones."""
    most = max(len(found.strengths) for found in labels)
    table = np.ones((len(labels), most), np.float32)
    for row, found in enumerate(labels):
        table[row, : len(found.strengths)] = found.strengths
    return torch.from_numpy(table)


def padded_alone(labels: Sequence[Labels]) -> torch.Tensor:
    """Boxes of the products that stand alone, as one (batch, most of a picture, 4) tensor, filled up with zeros."""
    found = [each.regions[each.regions[:, 0] == ALONE, 2:] for each in labels]
    table = np.zeros((len(found), max(map(len, found)), 4), np.float32)
    for row, boxes in zip(table, found, strict=True):
        row[: len(boxes)] = boxes
    return torch.from_numpy(table)


def anchor_weights(labels: Sequence[Labels], size: int, strides: Sequence[int]) -> torch.Tensor:
    """The weight of a false alarm at each anchor: (batch, anchors, kinds), 1 outside all regions, the least inside several."""
    centres = []
    for stride in strides:
        steps = (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
        centres.append(np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2))
    points = np.concatenate(centres)
    weights = np.ones((len(labels), len(points), len(KINDS)), np.float32)
    for row, found in enumerate(labels):
        for kind, weight, *box in found.regions[found.regions[:, 0] < ALONE]:
            inside = ((points >= box[:2]) & (points < box[2:])).all(axis=1)
            weights[row, inside, int(kind)] = np.minimum(weights[row, inside, int(kind)], weight)
    return torch.from_numpy(weights)


def loss_targets(labels: Sequence[Labels], size: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Labels in the form of ultralytics' loss: picture number, class, and xywh as shares of the picture."""
    numbers = np.concatenate([np.full(len(found.kinds), i, np.float32) for i, found in enumerate(labels)])
    kinds = np.concatenate([found.kinds for found in labels]).astype(np.float32)
    boxes = to_cxcywh_norm(np.concatenate([found.boxes for found in labels]), size, size).astype(np.float32)
    parts = {"batch_idx": numbers, "cls": kinds[:, None], "bboxes": boxes}
    return {name: torch.from_numpy(part).to(device) for name, part in parts.items()}
