"""Boxes: overlap, suppression, clipping, padding. Pure functions on arrays, shared by every room.

Boxes come in and go out as (n, 4) float32 xyxy pixels, x right, y down, right and bottom edges exclusive.
A box without area is allowed: it overlaps nothing, and nothing divides by its area.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]


def area(boxes: Boxes) -> npt.NDArray[np.float32]:
    """(n, 4) boxes to (n,) areas in square pixels; 0 where a side is not positive."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def intersection(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """(n, 4) and (m, 4) boxes to the (n, m) areas that they share, in square pixels."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1], dtype=np.float32)


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """(n, 4) and (m, 4) boxes to an (n, m) matrix of intersection over union in [0, 1]; 0 where both are empty."""
    both = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0), dtype=np.float32)


def nms(boxes: Boxes, scores: npt.NDArray[np.float32], max_iou: float) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression: indices of the kept boxes, best score first, ties by index.

    A box is dropped when its IoU with a better kept box is over `max_iou` (torchvision.ops.nms does the same).
    """
    order = np.argsort(-scores, kind="stable")
    overlap = iou(boxes[order], boxes[order]) > max_iou
    dropped = np.zeros(len(order), dtype=bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not dropped[i]:
            kept.append(i)
            dropped |= overlap[i]
    return np.asarray(order[kept], dtype=np.int64)


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """Boxes cut at the borders of a picture of that size."""
    limit = np.array([width, height, width, height], dtype=np.float32)
    return np.asarray(np.clip(boxes, 0, limit), dtype=np.float32)


def pad(boxes: Boxes, share: float, width: float, height: float) -> Boxes:
    """Boxes grown by `share` of their own width and height on each side, cut at the picture's borders."""
    grow = (boxes[:, 2:] - boxes[:, :2]) * share
    return clip(np.concatenate([boxes[:, :2] - grow, boxes[:, 2:] + grow], axis=1), width, height)


def to_cxcywh_norm(boxes: Boxes, width: float, height: float) -> npt.NDArray[np.float32]:
    """xyxy pixels to YOLO's centre and size, each as a share of the picture in [0, 1]."""
    size = np.array([width, height], dtype=np.float32)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / size, (boxes[:, 2:] - boxes[:, :2]) / size], axis=1)


def from_cxcywh_norm(boxes: npt.NDArray[np.float32], width: float, height: float) -> Boxes:
    """The inverse of `to_cxcywh_norm`."""
    size = np.array([width, height], dtype=np.float32)
    centre, half = boxes[:, :2] * size, boxes[:, 2:] * size / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def crop(pixels: npt.NDArray[np.uint8], box: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The part of (H, W, 3) pixels under one xyxy box: a view, at least one pixel large, never outside the picture."""
    height, width = pixels.shape[:2]
    left, top = int(np.clip(np.floor(box[0]), 0, width - 1)), int(np.clip(np.floor(box[1]), 0, height - 1))
    right, bottom = int(np.clip(np.ceil(box[2]), left + 1, width)), int(np.clip(np.ceil(box[3]), top + 1, height))
    return pixels[top:bottom, left:right]
