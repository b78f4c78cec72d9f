"""Average precision as COCO counts it, by faster-coco-eval: over IoU 0.5 to 0.95, and by the size of the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vision.errors import package_missing
from vision.evaluate.truth import BOXED, Seen
from vision.geometry import Boxes


def require_coco() -> Any:
    """The package underneath. Raises BackendError (package_missing)."""
    try:
        import faster_coco_eval
    except ImportError:
        raise package_missing("faster-coco-eval", "evaluate") from None
    return faster_coco_eval


def coco_figures(seen: Sequence[Seen], bands: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """`ap50` and `ap50_95` over pictures, and `ap50 NAME` for each band; NaN where there is nothing to find.

    bands: from and to, as the root of a box's area in pixels. A box found outside a band counts for it only when it hits.
    Ignored boxes of the source are COCO's crowds.
    """
    coco = require_coco()
    names = ["ap50", *(f"ap50 {name}" for name in bands)]
    if not any(len(s.truths[BOXED].marks) for s in seen):
        return dict.fromkeys([*names, "ap50_95"], float("nan"))
    truth, found = _dataset(seen)
    if not found:
        found = [
            {"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 0.0, 0.0], "score": 0.0}
        ]  # it takes no empty list
    labelled = coco.COCO(truth)
    judge = coco.COCOeval_faster(labelled, labelled.loadRes(found), "bbox", print_function=lambda *_: None)
    most = max((len(s.scores) for s in seen), default=0)
    judge.params.maxDets = [max(100, most)]
    everything = (0.0, 1e5)
    judge.params.areaRng = [[low**2, high**2] for low, high in (everything, *bands.values())]
    judge.params.areaRngLbl = ["all", *bands]
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, :, 0]  # IoU, recall, area
    figures = {name: _mean(precision[0, :, i]) for i, name in enumerate(names)}
    return figures | {"ap50_95": _mean(precision[:, :, 0])}


def _mean(precision: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(precision.mean()) if (precision > -1).any() else float("nan")  # -1: nothing to find


def _dataset(seen: Sequence[Seen]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    annotations: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, one in enumerate(seen, 1):
        truth = one.truths[BOXED]
        place = {"image_id": number, "category_id": 1}
        for boxes, crowd in ((truth.boxes, 0), (truth.regions, 1)):
            for box in _xywh(boxes):
                own = {"id": len(annotations) + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
                annotations.append(place | own)
        found += [
            place | {"bbox": box, "score": float(score)}
            for box, score in zip(_xywh(one.boxes), one.scores, strict=True)
        ]
    images = [{"id": n, "width": s.target.width, "height": s.target.height} for n, s in enumerate(seen, 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}, found


def _xywh(boxes: Boxes) -> list[list[float]]:
    wide = boxes.astype(np.float64)
    return [[float(v) for v in row] for row in np.concatenate([wide[:, :2], wide[:, 2:] - wide[:, :2]], axis=1)]
