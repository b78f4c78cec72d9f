"""What is in labelled sets: counts as plain JSON, and one page of plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.datasets.classes import class_name
from vision.datasets.labelled import LabelledPicture
from vision.errors import package_missing

# Edges of the histogram of sizes: the square root of a box's share of its picture, doubling from 1/128 to 1.
SIZE_STEPS = tuple(2.0**-n for n in range(7, -1, -1))
HEAT = 24
# COCO's small and medium, in pixels of area.
SMALL, MEDIUM = 32**2, 96**2

Floats = npt.NDArray[np.float64]


def summarise_sets(pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Counts and distributions as plain JSON.

    `sizes` counts boxes by kind between `size_steps`, edges of sqrt(box area / picture area): 0.25 is a box of a quarter of each
    side. `heat` is (24, 24) shares of all centres, rows downwards. Regions to ignore are counted apart and nowhere else.
    """
    boxes = [(picture, box) for picture in pictures for box in picture.boxes if not box.ignore]
    counted = [sum(not box.ignore for box in picture.boxes) for picture in pictures]
    kinds = sorted({box.kind for _, box in boxes})
    corners = _corners(pictures)
    shares, aspects = _shares(corners), _aspects(corners)
    of_kind = np.array([box.kind for _, box in boxes], dtype=np.str_)
    sides = np.maximum(corners[:, 2:4] - corners[:, :2], 0)
    area = sides.prod(axis=1)
    splits = sorted({picture.split or "" for picture in pictures})
    return {
        "pictures": len(pictures),
        "boxes": len(boxes),
        "regions_to_ignore": sum(box.ignore for picture in pictures for box in picture.boxes),
        "boxes_found_later": sum(box.extra for _, box in boxes),
        "pictures_without_boxes": sum(count == 0 for count in counted),
        "pictures_looked_at": sum(picture.looked_at for picture in pictures),
        "brands": len({box.brand for _, box in boxes if box.brand}),
        "boxes_by_kind": {kind: int((of_kind == kind).sum()) for kind in kinds},
        "by_split": {split or "none": _split(pictures, split) for split in splits},
        "boxes_by_class": dict(_ranked(Counter(class_name(box, "label") for _, box in boxes))),
        "boxes_by_brand": dict(_ranked(Counter(box.brand or "none" for _, box in boxes))),
        "boxes_a_picture": _quantiles(np.array(counted, dtype=float)),
        "boxes_a_picture_counts": {str(n): count for n, count in sorted(Counter(counted).items())},
        "size_steps": list(SIZE_STEPS),
        "sizes": {kind: _histogram(shares[of_kind == kind]) for kind in kinds},
        "size_share": _quantiles(shares),
        "shorter_side_pixels": _quantiles(sides.min(axis=1)) if len(sides) else _quantiles(np.zeros(0)),
        "boxes_by_coco_size": {
            "small": int((area < SMALL).sum()),
            "medium": int(((area >= SMALL) & (area < MEDIUM)).sum()),
            "large": int((area >= MEDIUM).sum()),
        },
        "aspect_ratio": _quantiles(aspects),
        "picture_longest_side": _quantiles(np.array([max(p.width, p.height) for p in pictures], dtype=float)),
        "heat": np.round(_heat(corners), 5).tolist(),
    }


def plot_summary(pictures: Sequence[LabelledPicture], path: Path) -> None:
    """One PNG: kinds by split, sizes, boxes a picture, aspect ratios, centres and the commonest classes.

    Raises BackendError (package_missing) without matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise package_missing("matplotlib", "evaluate") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    summary = summarise_sets(pictures)
    corners = _corners(pictures)
    shares, aspects = _shares(corners), _aspects(corners)
    of_kind = np.array([b.kind for p in pictures for b in p.boxes if not b.ignore], dtype=np.str_)
    colours = {"logo": "#2a7f62", "product": "#3b5bdb"}
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 9), layout="constrained")
    (splits, sizes, counts), (ratios, heat, classes) = axes
    bottom = np.zeros(len(summary["by_split"]))
    for kind in summary["boxes_by_kind"]:
        values = np.array([split["boxes_by_kind"].get(kind, 0) for split in summary["by_split"].values()])
        splits.bar(list(summary["by_split"]), values, bottom=bottom, label=kind, color=colours.get(kind))
        bottom = bottom + values
        chosen = of_kind == kind
        edges = np.geomspace(1 / 256, 1, 33)
        sizes.hist(shares[chosen].clip(edges[0], 1), bins=edges, alpha=0.6, label=kind, color=colours.get(kind))
        edges = np.geomspace(1 / 16, 16, 41)
        ratios.hist(aspects[chosen].clip(edges[0], 16), bins=edges, alpha=0.6, label=kind, color=colours.get(kind))
    splits.set(title=f"boxes by split: {summary['pictures']} pictures, {summary['boxes']} boxes", ylabel="boxes")
    splits.tick_params(axis="x", rotation=20)
    sizes.set(xscale="log", title="size of boxes", xlabel="square root of the share of the picture", ylabel="boxes")
    ratios.set(xscale="log", title="aspect ratio", xlabel="width / height", ylabel="boxes")
    ticks = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
    ratios.set_xticks(ticks, ["1:8", "1:4", "1:2", "1", "2:1", "4:1", "8:1"])
    ratios.minorticks_off()
    ticks = [1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    sizes.set_xticks(ticks, ["1/128", "1/64", "1/32", "1/16", "1/8", "1/4", "1/2", "1"])
    sizes.minorticks_off()
    a_picture = [sum(not box.ignore for box in picture.boxes) for picture in pictures]
    highest = max(a_picture, default=0)
    counts.hist(a_picture, bins=np.arange(-0.5, min(highest, 40) + 1.5), color="#868e96")
    counts.set(title=f"boxes a picture (at most {highest})", xlabel="boxes", ylabel="pictures")
    counts.set_xlim(-0.5, min(highest, 40) + 0.5)
    heat.imshow(_heat(corners), cmap="magma", extent=(0, 1, 1, 0))
    heat.set(title="centres of boxes", xlabel="left to right", ylabel="top to bottom")
    common = list(summary["boxes_by_class"].items())[:20][::-1]
    classes.barh(range(len(common)), [count for _, count in common], color="#868e96")
    # by number: names that begin alike are bars of their own; a dollar sign would begin a formula
    classes.set_yticks(range(len(common)), [name[:28].replace("$", r"\$") for name, _ in common])
    classes.set(title=f"{len(common)} commonest of {len(summary['boxes_by_class'])} classes", xlabel="boxes")
    for axis in (splits, sizes, ratios):
        if axis.get_legend_handles_labels()[0]:
            axis.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _split(pictures: Sequence[LabelledPicture], split: str) -> dict[str, Any]:
    own = [picture for picture in pictures if (picture.split or "") == split]
    kinds = Counter(box.kind for picture in own for box in picture.boxes if not box.ignore)
    brands = {box.brand for picture in own for box in picture.boxes if box.brand and not box.ignore}
    return {"pictures": len(own), "boxes_by_kind": dict(sorted(kinds.items())), "brands": len(brands)}


def _corners(pictures: Sequence[LabelledPicture]) -> Floats:
    """(n, 6): xyxy of each box that counts, and width and height of its picture."""
    rows = [(*b.box, p.width, p.height) for p in pictures for b in p.boxes if not b.ignore]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


def _shares(corners: Floats) -> Floats:
    sides = np.maximum(corners[:, 2:4] - corners[:, :2], 0) / corners[:, 4:]
    return np.asarray(np.sqrt(sides.prod(axis=1)), dtype=np.float64)


def _aspects(corners: Floats) -> Floats:
    sides = np.maximum(corners[:, 2:4] - corners[:, :2], 1e-9)
    return np.asarray(sides[:, 0] / sides[:, 1], dtype=np.float64)


def _heat(corners: Floats) -> Floats:
    """(24, 24) shares of all centres."""
    centres = (corners[:, :2] + corners[:, 2:4]) / 2 / corners[:, 4:]
    counts, _, _ = np.histogram2d(centres[:, 1].clip(0, 1), centres[:, 0].clip(0, 1), bins=HEAT, range=[[0, 1], [0, 1]])
    return np.asarray(counts / max(1, len(centres)), dtype=np.float64)


def _histogram(shares: Floats) -> list[int]:
    """Boxes between the steps; the first counts what is smaller too, the last what is larger."""
    counts, _ = np.histogram(shares.clip(SIZE_STEPS[0], 1.0), bins=np.array(SIZE_STEPS))
    return [int(count) for count in counts]


def _quantiles(values: Floats) -> dict[str, float | None]:
    if not len(values):
        return {"mean": None, "p05": None, "median": None, "p95": None, "highest": None}
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    found = {"mean": values.mean(), "p05": low, "median": middle, "p95": high, "highest": values.max()}
    return {name: round(float(value), 4) for name, value in found.items()}


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
