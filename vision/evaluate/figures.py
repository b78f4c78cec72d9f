"""The figures of an evaluation: views and sizes of what was seen, with intervals; plain dictionaries go out.

`*_interval` is 95 % of the bootstrap over pictures. NaN: not defined, since nothing was there or nothing was reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vision.errors import DatasetError
from vision.evaluate.boxes import SCORE_STEPS, best_score, counts_at, precision_of, precision_recall_f1
from vision.evaluate.coco import coco_figures
from vision.evaluate.metrics import Flags, Rows, bootstrap_interval, found_by_best
from vision.evaluate.truth import BOXED, KINDS, VIEWS, Seen
from vision.geometry import area
from vision.values import Result

POOLED, PHOTOS = "all sets", "photos"
RECALL_AT = (1, 10, 100)
# By the root of a box's area in pixels; COCO's small is the first two together, its medium and large are ours.
BANDS = {"tiny<16": (0.0, 16.0), "small<32": (16.0, 32.0), "medium<96": (32.0, 96.0), "large": (96.0, 1e5)}
COCO_SMALL = {"coco_small<32": (0.0, 32.0)}
LONGEST_32 = "longest_side<32"
DRAWS = 200

Figures = dict[str, Any]
Measure = Callable[[Rows], float]


def kind_figures(seen: Sequence[Seen], score: float) -> dict[str, Figures]:
    """The figures of one kind on some pictures, by slice: the views of `truth.py`, then the size bands of the source's boxes.

    score: the operating point. `*_interval`: 95 %. NaN: not defined. A view is there where pictures were looked at again.
    """
    slices = {}
    for view in VIEWS:
        own = [s for s in seen if view in s.ranked]
        if own:
            slices[view] = view_figures(own, view, score)
    coco = coco_figures(seen, BANDS | COCO_SMALL)
    slices[BOXED] |= {"ap50": coco["ap50"], "ap50_95": coco["ap50_95"]}
    for band, (low, high) in (BANDS | COCO_SMALL).items():
        sides = [np.sqrt(area(s.truths[BOXED].boxes)) for s in seen]
        masks = [(side >= low) & (side < high) for side in sides]
        slices[band] = {"ap50": coco[f"ap50 {band}"]} | size_figures(seen, score, masks)
    marks = [s.truths[BOXED].boxes for s in seen]
    small = [np.asarray((m[:, 2:] - m[:, :2]).max(axis=1, initial=0) < 32) for m in marks]
    slices[LONGEST_32] = size_figures(seen, score, small)
    return slices


def view_figures(seen: Sequence[Seen], view: str, score: float) -> Figures:
    """AP50, recall of the best boxes, best F1, and what is reported at the operating point, in one view of the truth."""
    ranked = [s.ranked[view] for s in seen]
    counts = counts_at(ranked, score)
    precision, recall, f1 = precision_recall_f1(counts)
    best, best_value = best_score(ranked)
    n = len(seen)
    figures: Figures = {
        "pictures": n,
        "without_result": sum(s.missing for s in seen),
        "true_boxes": int(counts[:, 2].sum()),
        "ap50": precision_of(ranked),
        "ap50_interval": interval(lambda picks: precision_of([ranked[i] for i in picks]), n),
    }
    figures |= _recalls([_found(s, view) for s in seen])
    figures |= {
        "recall_any": sum(int(r.hits.sum()) for r in ranked) / max(figures["true_boxes"], 1),
        "best_f1": best_value,
        "best_f1_score": best,
        "score": score,
    }
    figures |= {"precision": precision, "recall": recall, "f1": f1}
    for place, name in enumerate(("precision", "recall", "f1")):
        figures[f"{name}_interval"] = interval(_nth(place, counts), n)
    return figures | {
        "false_a_picture": float(counts[:, 1].mean()),
        "false_a_picture_interval": interval(lambda picks: float(counts[picks, 1].mean()), n),
    }


def size_figures(seen: Sequence[Seen], score: float, masks: Sequence[Flags]) -> Figures:
    """Recall of the source's boxes in the masks. `recall`: share that a box from the operating point on overlaps."""
    figures: Figures = {"pictures": len(seen), "true_boxes": int(sum(m.sum() for m in masks))}
    figures |= _recalls([{k: f[m] for k, f in _found(s, BOXED).items()} for s, m in zip(seen, masks, strict=True)])
    hit = [s.overlaps[BOXED][s.scores >= score].max(axis=0, initial=-1.0) >= 0.5 for s in seen]
    recall = share_of([h[m] for h, m in zip(hit, masks, strict=True)])
    return figures | {"score": score, "recall": recall(np.arange(len(seen)))}


def _found(one: Seen, view: str) -> dict[int, Flags]:
    """Which marks the k best boxes overlap, for each k."""
    return {k: found_by_best(one.overlaps[view], one.scores, k) for k in RECALL_AT}


def _recalls(found: Sequence[Mapping[int, Flags]]) -> Figures:
    figures: Figures = {}
    for k in RECALL_AT:
        share = share_of([f[k] for f in found])
        figures[f"recall{k}"] = share(np.arange(len(found)))
        figures[f"recall{k}_interval"] = interval(share, len(found))
    return figures


def share_of(flags: Sequence[Flags]) -> Measure:
    """The share of True over the pictures picked, each with its flags; NaN where there are none."""
    counts = np.array([[f.sum(), len(f)] for f in flags], float).reshape(-1, 2)

    def share(picks: Rows) -> float:
        hits, wanted = counts[picks].sum(axis=0)
        return float(hits / wanted) if wanted else float("nan")

    return share


def _nth(place: int, counts: Rows) -> Measure:
    return lambda picks: precision_recall_f1(counts[picks])[place]


def interval(measure: Measure, n: int) -> list[float]:
    """95 % of `measure` over draws of n pictures."""
    return list(bootstrap_interval(measure, n, draws=DRAWS))


def photo_figures(rows: Sequence[Result], kind: str, score: float) -> Figures:
    """How much is reported on pictures that should show nothing, at the operating point and over all scores."""
    read = [r for r in rows if r.status == "ok"]
    if not read:
        raise DatasetError("missing", "no photo could be read")
    scores = [np.array([f.score for f in row.findings if f.kind == kind]) for row in read]
    counts = np.array([(s >= score).sum() for s in scores], float)
    curve = []
    for step in SCORE_STEPS:
        at = np.array([(s >= step).sum() for s in scores], float)
        curve.append([float(step), float(at.mean()), float((at > 0).mean())])
    return {
        "pictures": len(read),
        "failed": len(rows) - len(read),
        "score": score,
        "boxes_a_picture": float(counts.mean()),
        "boxes_a_picture_interval": interval(lambda picks: float(counts[picks].mean()), len(read)),
        "share_with_a_box": float((counts > 0).mean()),
        "share_with_a_box_interval": interval(lambda picks: float((counts[picks] > 0).mean()), len(read)),
        "curve": curve,
    }


def plain(value: Any) -> Any:
    """Figures as JSON has them: numbers to six places, null for NaN."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return value


def slices_of(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Figures]]:
    """(set, kind, slice, figures) of an evaluation, the pooled ones last where there are several sets."""
    sets: Iterable[tuple[str, Mapping[str, Any]]] = figures["sets"].items()
    if len(figures["sets"]) > 1:
        sets = [*sets, (POOLED, figures[POOLED])]
    for name, one in sets:
        for kind in KINDS:
            for part, values in one.get(kind, {}).items():
                yield name, kind, part, values
