"""How well boxes are found, whatever the brand: average precision, recall and best F1 of a detector on labelled pictures.

`evaluate_detector` scans the pictures of a truth file into `results.jsonl` and gives the figures; the rest is pure. Sources box
only some of the logos that can be seen: regions neither help nor hurt, and figures say whether they were left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.detect import AnyDetector
from vision.errors import DatasetError
from vision.evaluate.metrics import Floats, average_precision, bootstrap_interval, box_recall, greedy_hits
from vision.geometry import Boxes, area, intersection, iou
from vision.images import read_picture
from vision.report.rows import write_row
from vision.values import Box, Detections, Finding, Result

IOU_STEPS = np.arange(0.5, 1.0, 0.05)  # COCO's


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture: what was found and what is there, all xyxy in the same pixels; regions neither help nor hurt."""

    boxes: Boxes
    scores: Floats
    true: Boxes
    regions: Boxes

    @classmethod
    def of(cls, picture: Any, found: Detections, kind: str = "logo") -> Judged:
        """Judge one kind by a labelled picture (`.boxes` with box, kind, ignore): ignored boxes are regions."""
        chosen = np.array([k == kind for k in found.kinds], bool)
        own = [b for b in picture.boxes if b.kind == kind]
        return cls(
            found.boxes[chosen],
            found.scores[chosen],
            as_boxes([b.box for b in own if not b.ignore]),
            as_boxes([b.box for b in own if b.ignore]),
        )


def as_boxes(values: Sequence[Sequence[float]]) -> Boxes:
    """A list of xyxy boxes as (n, 4) float32, also when it is empty."""
    return np.array(values, np.float32).reshape(-1, 4)


def covered(boxes: Boxes, regions: Boxes) -> npt.NDArray[np.bool_]:
    """True where a box overlaps a region (IoU at least 0.5) or has half of its area inside one."""
    if not len(boxes) or not len(regions):
        return np.zeros(len(boxes), bool)
    inside = intersection(boxes, regions) / np.maximum(area(boxes)[:, None], 1e-9)
    return np.asarray((iou(boxes, regions).max(axis=1) >= 0.5) | (inside.max(axis=1) >= 0.5))


def ap(pictures: Sequence[Judged], min_iou: float = 0.5, *, lenient: bool = False) -> float:
    """Average precision over pictures. lenient: boxes on regions are left out instead of counting as false."""
    hits: list[npt.NDArray[np.bool_]] = [np.zeros(0, bool)]
    scores: list[Floats] = [np.zeros(0)]
    for p in pictures:
        hit = greedy_hits(iou(p.boxes, p.true), p.scores, min_iou)
        kept = hit | ~covered(p.boxes, p.regions) if lenient else np.ones(len(hit), bool)
        hits.append(hit[kept])
        scores.append(p.scores[kept])
    return average_precision(np.concatenate(hits), np.concatenate(scores), sum(len(p.true) for p in pictures))


def recall_at_10(pictures: Sequence[Judged]) -> float:
    """Share of true boxes that one of the ten best boxes of their picture overlaps by IoU 0.5."""
    return box_recall([(iou(p.boxes, p.true), p.scores) for p in pictures], 10)


def box_figures(pictures: Sequence[Judged]) -> dict[str, float]:
    """The figures to steer by: `ap50` counts boxes on regions as false, `ap50_every` leaves them out."""
    figures = {"ap50": ap(pictures), "ap50_every": ap(pictures, lenient=True), "recall10": recall_at_10(pictures)}
    return {name: round(value, 4) for name, value in figures.items()}


def best_f1(pictures: Sequence[Judged]) -> tuple[float, float]:
    """The score (a multiple of 0.01) from which boxes, those on regions left out, have the best F1, and that F1."""
    hits: list[npt.NDArray[np.bool_]] = [np.zeros(0, bool)]
    scores: list[Floats] = [np.zeros(0)]
    wanted = 0
    for p in pictures:
        hit = greedy_hits(iou(p.boxes, p.true), p.scores)
        kept = hit | ~covered(p.boxes, p.regions)
        hits.append(hit[kept])
        scores.append(p.scores[kept])
        wanted += len(p.true)
    hit, score = np.concatenate(hits), np.concatenate(scores)
    steps = [step / 100 for step in range(1, 100)]
    f1 = [2 * hit[score >= s].sum() / max(int((score >= s).sum()) + wanted, 1) for s in steps]
    best = int(np.argmax(f1))
    return steps[best], float(f1[best])


def evaluate_detector(
    detector: AnyDetector, truth: Path, out: Path, *, kind: str = "logo", min_score: float = 0.01
) -> dict[str, Any]:
    """Detect in the pictures of a truth file; rows go to `out/results.jsonl`, figures come back.

    truth: jsonl with rows {"image", "width", "height", "boxes": [{"box", "kind"}]}; images relative to it.
    Figures are those that truth's own boxes give, with 95 % intervals over pictures; unboxed logos count as false.
    Raises DatasetError (missing, bad_label, and missing for a picture that is not there).
    """
    judged: list[Judged] = []
    out.mkdir(parents=True, exist_ok=True)
    with (out / "results.jsonl").open("wb") as rows:
        for row in _truth(truth):
            path = truth.parent / row["image"]
            if not path.is_file():
                raise DatasetError("missing", "no such picture", path=str(path))
            picture = read_picture(path)
            found = detector.detect([picture], min_score=min_score)[0]
            rows.write(write_row(as_result(str(path), picture.sha256, picture.width, picture.height, found)))
            scale = np.array([row["width"] / picture.width, row["height"] / picture.height] * 2, np.float32)
            own = np.array([k == kind for k in found.kinds], bool)
            true = as_boxes([b["box"] for b in row["boxes"] if b.get("kind", "logo") == kind])
            judged.append(Judged(found.boxes[own] * scale, found.scores[own], true, as_boxes([])))

    def interval(measure: Any) -> list[float]:
        low, high = bootstrap_interval(lambda picks: measure([judged[i] for i in picks]), len(judged))
        return [round(low, 3), round(high, 3)]

    return {
        "pictures": len(judged),
        "true_boxes": sum(len(j.true) for j in judged),
        "ap50": round(ap(judged), 4),
        "ap50_interval": interval(ap),
        "ap50_95": round(float(np.mean([ap(judged, float(t)) for t in IOU_STEPS])), 4),
        "recall10": round(recall_at_10(judged), 4),
        "recall10_interval": interval(recall_at_10),
    }


def boxes_a_picture(detector: AnyDetector, pictures: Sequence[Path], *, kind: str = "logo") -> dict[str, Any]:
    """How much a detector reports, at its operating point, on pictures that should show nothing of that kind."""
    counts = np.array([sum(k == kind for k in detector.detect([p])[0].kinds) for p in pictures], float)
    if not len(counts):
        raise DatasetError("missing", "no pictures to detect in")
    return {
        "pictures": len(counts),
        "boxes_a_picture": round(float(counts.mean()), 3),
        "share_with_a_box": round(float((counts > 0).mean()), 3),
    }


def as_result(path: str, sha256: str, width: int, height: int, found: Detections) -> Result:
    """A row of a scan that only detected: every finding is unknown."""
    findings = tuple(
        Finding(kind=k, box=_box(b), score=float(s), verdict="unknown", brand=None, product=None, probability=0.0)  # type: ignore[arg-type]
        for b, k, s in zip(found.boxes, found.kinds, found.scores, strict=True)
    )
    return Result(path=path, sha256=sha256, width=width, height=height, status="ok", findings=findings)


def _box(values: npt.NDArray[np.float32]) -> Box:
    left, top, right, bottom = (float(v) for v in values)
    return (left, top, right, bottom)


def _truth(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError("missing", "no such truth file", path=str(path)) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DatasetError("bad_label", f"line {number} is no JSON: {error}", path=str(path)) from None
