"""Plots of an evaluation: what is found against what is false, over the score and by the size of the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import package_missing
from vision.evaluate.boxes import SCORE_STEPS, counts_at, precision_recall_curve, precision_recall_f1
from vision.evaluate.figures import BANDS
from vision.evaluate.truth import BOXED, UNBOXED_IGNORED, Seen


def require_matplotlib() -> None:
    """Raises BackendError (package_missing)."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise package_missing("matplotlib", "evaluate") from None


def draw_curves(path: Path, judged: Mapping[str, Mapping[str, Sequence[Seen]]], figures: Mapping[str, Any]) -> None:
    """One row of plots a kind. judged: pictures by kind and set. figures: `evaluate_detector`'s.

    Where pictures were looked at again, unboxed logos are neither hits nor false.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    photos = figures.get("photos", {})
    kinds = [kind for kind in figures["operating_point"] if kind in judged or kind in photos]
    figure, rows = pyplot.subplots(max(len(kinds), 1), 4, figsize=(19, 4.4 * max(len(kinds), 1)), squeeze=False)
    for axes, kind in zip(rows, kinds, strict=False):
        sets = judged.get(kind, {})
        point = figures["operating_point"][kind]
        _precision_recall(axes[0], sets, kind)
        _by_size(axes[1], {name: figures["sets"][name][kind] for name in sets})
        _over_score(axes[2], sets, point)
        _false(axes[3], sets, photos.get(kind), point)
    edge = 0.12 / len(rows)
    figure.subplots_adjust(left=0.035, right=0.99, bottom=edge, top=1 - edge * 0.7, wspace=0.15, hspace=0.25)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _ranked(seen: Sequence[Seen]) -> list[Any]:
    return [s.ranked.get(UNBOXED_IGNORED, s.ranked[BOXED]) for s in seen]


def _precision_recall(axis: Any, sets: Mapping[str, Sequence[Seen]], kind: str) -> None:
    for name, seen in sets.items():
        recall, precision, _ = precision_recall_curve(_ranked(seen))
        axis.plot(recall, precision, label=name, linewidth=1)
    axis.set(xlabel="recall", ylabel="precision", title=f"{kind}: precision and recall", xlim=(0, 1), ylim=(0, 1.02))
    _legend(axis)


def _by_size(axis: Any, sets: Mapping[str, Mapping[str, Any]]) -> None:
    for slices in sets.values():  # in the colours of the curves beside
        axis.plot([slices[size]["recall10"] for size in BANDS], marker="o", linewidth=1)
    axis.set_xticks(range(len(BANDS)), list(BANDS))
    axis.set(xlabel="root of the box's area, pixels", title="recall@10 by size", ylim=(0, 1.02), xlim=(-0.3, 3.3))


def _over_score(axis: Any, sets: Mapping[str, Sequence[Seen]], point: float) -> None:
    pooled = [r for seen in sets.values() for r in _ranked(seen)]
    if pooled:
        rows = np.array([precision_recall_f1(counts_at(pooled, s)) for s in SCORE_STEPS])
        for column, name in enumerate(("precision", "recall", "F1")):
            axis.plot(SCORE_STEPS, rows[:, column], label=name)
    axis.axvline(point, color="black", linestyle=":", label=f"operating point {point:.2f}")
    axis.set(xlabel="score", title="all sets, over the score", xlim=(0, 1), ylim=(0, 1.02))
    _legend(axis)


def _false(axis: Any, sets: Mapping[str, Sequence[Seen]], photos: Mapping[str, Any] | None, point: float) -> None:
    pooled = [r for seen in sets.values() for r in _ranked(seen)]
    if pooled:
        false = [counts_at(pooled, s)[:, 1].mean() for s in SCORE_STEPS]
        axis.plot(SCORE_STEPS, false, label="false boxes a labelled picture")
    if photos:
        curve = np.array(photos["curve"])
        axis.plot(curve[:, 0], curve[:, 1], label="boxes a photo without brands")
        axis.plot(curve[:, 0], curve[:, 2], label="share of those photos with a box", linestyle="--")
    axis.axvline(point, color="black", linestyle=":")
    axis.set(xlabel="score", title="false boxes over the score", xlim=(0, 1))
    axis.set_yscale("symlog", linthresh=0.05)  # a plain logarithm has no place for zero
    axis.set_ylim(0, 20)
    _legend(axis)


def _legend(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, framealpha=0.5)
