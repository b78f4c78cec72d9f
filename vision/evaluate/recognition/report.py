"""What an evaluation leaves: figures.json, figures.csv, by_brand.csv, report.md, plots.png, mistakes.jpg and alarms.jpg."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vision.evaluate.figures import plain
from vision.evaluate.plots import require_matplotlib
from vision.evaluate.recognition.crops import Crops
from vision.evaluate.recognition.rankers import Judged
from vision.evaluate.recognition.ranking import Figures
from vision.evaluate.recognition.run import Evaluation
from vision.evaluate.tables import Table, number, with_interval
from vision.files import write_atomically
from vision.images import read_picture
from vision.library import Library
from vision.recognise import crop_of
from vision.report.sheet import contact_sheet
from vision.values import Pixels

ON_SHEET = 60
_BY_BRAND = "by_brand"


def write_recognition(evaluation: Evaluation, library: Library, out: Path) -> None:
    """Write everything into a folder, over what an earlier run left there. Raises BackendError (package_missing)."""
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    figures = plain(evaluation.figures)
    write_atomically(out / "figures.json", (json.dumps(figures, indent=1) + "\n").encode())
    _write_csv(out / "figures.csv", figures)
    _write_brands(out / "by_brand.csv", figures)
    text = "\n\n".join(f"**{title}**\n\n{table.markdown()}" for title, table in tables(figures))
    write_atomically(out / "report.md", (text + "\n").encode())
    draw_plots(out / "plots.png", figures, evaluation.curves)
    _write_sheet(out / "mistakes.jpg", mistakes(evaluation, library))
    if evaluation.alarms:
        _write_sheet(out / "alarms.jpg", alarms(evaluation, library))


def tables(figures: Figures) -> list[tuple[str, Table]]:
    """The main figures of each section, with a title."""
    sections = figures["sections"]
    found = []
    if "top1" in sections:
        found.append(("Brands that the library holds", _ranks(sections["top1"])))
    if "calibration" in sections:
        found.append(("Probabilities", _calibration(sections["calibration"])))
    if "openset" in sections:
        found.append(("Strangers", _openset(sections["openset"])))
    if "fewshot" in sections:
        found.append(("Top-1 by photographs a brand (kin count)", _fewshot(sections["fewshot"])))
    if "size" in sections:
        found.append(("By size of the library (kin count)", _sizes(sections["size"])))
    if "attacks" in sections:
        found.append(("Attacks: top-1 (kin count)", _attacks(sections["attacks"])))
    if "spelling" in sections:
        found.append(("Names in disguise: claimed right (wrong)", _spelling(sections["spelling"])))
    if "claims" in sections:
        found.append(("Claims of a scan", _claims(sections["claims"])))
    return found


def _ranks(section: Figures) -> Table:
    rows = []
    for name, rankers in section.items():
        for ranker, parts in rankers.items():
            for part, f in parts.items():
                if part != _BY_BRAND:
                    rows.append(
                        (
                            *(name, ranker, part, number(f["crops"])),
                            with_interval(f, "top1"),
                            with_interval(f, "top1_kin"),
                            *(number(f[key]) for key in ("recall5_kin", "recall10_kin", "map_kin")),
                            *(number(f[key]) for key in ("claimed_right", "claimed_wrong", "right_at_1_wrong")),
                        )
                    )
    columns = ("set", "by", "crops of", "n", "top-1", "top-1, kin", "R@5", "R@10", "mAP")
    return Table((*columns, "claimed right", "wrong", "right at 1 % wrong"), tuple(rows), words=3)


def _calibration(section: Figures) -> Table:
    rows = [
        (ranker, cases, *(number(f[key]) for key in ("claims", "ece", "brier", "stated", "right")))
        for ranker, parts in section.items()
        if ranker != "card"
        for cases, f in parts.items()
    ]
    return Table(("by", "crops", "n", "ECE", "Brier", "stated", "right"), tuple(rows), words=2)


def _openset(section: Figures) -> Table:
    rows = []
    for world, rankers in section.items():
        for ranker, f in rankers.items():
            if f:
                rows.append(
                    (
                        *(world, ranker, number(f.get("known"), 0), number(f["strangers"], 0)),
                        with_interval(f, "auroc") if "auroc_interval" in f else number(f["auroc"]),
                        *(number(f[key]) for key in ("fpr95",)),
                        with_interval(f, "tpr_1") if "tpr_1_interval" in f else number(f["tpr_1"]),
                        *(number(f[key]) for key in ("tpr_01", "oscr")),
                        with_interval(f, "strangers_claimed"),
                        *(number(f.get(key)) for key in ("known_claimed_right", "known_claimed_wrong")),
                    )
                )
    columns = (
        "library, strangers",
        "by",
        "known",
        "strangers",
        "AUROC",
        "FPR@95TPR",
        "right at 1 %",
        "at .1 %",
        "OSCR",
    )
    return Table((*columns, "strangers claimed", "known right", "known wrong"), tuple(rows), words=2)


def _fewshot(section: Figures) -> Table:
    shots = list(dict.fromkeys(n for kinds in section.values() for points in kinds.values() for n in points))
    rows = []
    for name, kinds in section.items():
        for kind, points in kinds.items():
            for ranker in next(iter(points.values())):
                cells = (with_interval(points[n][ranker], "top1_kin") if n in points else "–" for n in shots)
                rows.append((name, kind, ranker, *cells))
    return Table(("set", "beside", "by", *shots), tuple(rows), words=3)


def _sizes(section: Figures) -> Table:
    rows = [
        (
            *(f"{int(size):,}", ranker, with_interval(f, "top1_kin")),
            *(number(f[key]) for key in ("claimed_right", "claimed_wrong")),
            with_interval(f, "strangers_claimed"),
            *(number(f[key]) for key in ("auroc", "right_at_1_wrong")),
        )
        for size, rankers in section.items()
        for ranker, f in rankers.items()
    ]
    columns = ("brands", "by", "top-1", "claimed right", "wrong", "strangers claimed", "AUROC", "right at 1 % wrong")
    return Table(columns, tuple(rows), words=2)


def _attacks(section: Figures) -> Table:
    rankers = list(section["none"])
    rows = [(name, *(with_interval(by[r], "top1_kin") for r in rankers)) for name, by in section.items()]
    claimed = [tuple(number(by[r]["claimed_right"]) for r in rankers) for by in section.values()]
    columns = ("attack", *rankers, *(f"{ranker}, claimed right" for ranker in rankers))
    return Table(columns, tuple((*row, *more) for row, more in zip(rows, claimed, strict=True)))


def _spelling(section: Figures) -> Table:
    rankers = list(next(iter(section.values())))
    rows = [
        (
            kind,
            number(by[rankers[0]]["crops"]),
            *(f"{by[r]['claimed_right']} ({by[r]['claimed_wrong']}), first {by[r]['top1_kin']}" for r in rankers),
        )
        for kind, by in section.items()
    ]
    return Table(("spelling", "n", *rankers), tuple(rows))


def _claims(section: Figures) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, f in section.items():
        if name == "photos":
            rows.append((name, number(f["pictures"]), *("–",) * 5, with_interval(f, "known")))
        else:
            cells = (with_interval(f, key) for key in ("precision", "recall", "f1"))
            rows.append((name, number(f["pictures"]), number(f["judged"]), *cells, number(f["ece"]), "–"))
    return Table(
        ("set", "pictures", "claims", "precision", "recall", "F1", "ECE", "pictures with a claim"), tuple(rows)
    )


def _leaves(
    values: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The innermost dictionaries of numbers, with their path."""
    if values and not any(isinstance(v, Mapping) for v in values.values()):
        yield path, values
        return
    for name, value in values.items():
        if isinstance(value, Mapping) and name not in {_BY_BRAND, "card"}:
            yield from _leaves(value, (*path, name))


def _write_csv(path: Path, figures: Figures) -> None:
    """One line for each figure: the section, where in it, its name, value and interval."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["section", "where", "figure", "value", "low", "high"])
        for (section, *where), values in _leaves(figures["sections"]):
            for name, value in values.items():
                if isinstance(value, int | float) or value is None:
                    low, high = values.get(f"{name}_interval", (None, None))
                    table.writerow([section, " | ".join(where), name, value, low, high])


def _write_brands(path: Path, figures: Figures) -> None:
    columns = ("crops", "top1", "top1_kin", "claimed_right", "claimed_wrong", "taken_for")
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(["set", "by", "brand", *columns])
        for name, rankers in figures["sections"].get("top1", {}).items():
            for ranker, parts in rankers.items():
                for brand, counts in parts[_BY_BRAND].items():
                    table.writerow([name, ranker, brand, *(counts[c] for c in columns)])


def draw_plots(path: Path, figures: Figures, curves: Mapping[str, Any]) -> None:
    """Reliability, OSCR, few-shot, library size, crop size and attacks, as far as they were measured."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    sections = figures["sections"]
    drawn = [
        (draw, name)
        for name, draw in (
            ("calibration", _draw_reliability),
            ("openset", _draw_oscr),
            ("fewshot", _draw_fewshot),
            ("top1", _draw_crop_sizes),
            ("size", _draw_sizes),
            ("attacks", _draw_attacks),
        )
        if sections.get(name)
    ]
    if not drawn:
        return
    wide = min(len(drawn), 3)
    high = -(-len(drawn) // wide)
    figure, axes = pyplot.subplots(high, wide, figsize=(6 * wide, 4.8 * high), squeeze=False)
    for axis in axes.flat[len(drawn) :]:
        axis.remove()
    for axis, (draw, name) in zip(axes.flat, drawn, strict=False):
        draw(axis, sections[name], curves.get(name) or {})
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, framealpha=0.5)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_reliability(axis: Any, _: Figures, bins: Mapping[str, Any]) -> None:
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for ranker, points in bins.items():
        axis.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=ranker)
        for stated, true, count in points:
            axis.annotate(str(count), (stated, true), textcoords="offset points", xytext=(5, -9), fontsize=7)
    title = "reliability: known crops, and each with its brand taken out"
    axis.set(xlabel="stated probability", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02), title=title)


def _draw_oscr(axis: Any, _: Figures, curves: Mapping[str, Any]) -> None:
    grid = np.concatenate([[0.0], np.logspace(-3, 0, 60)])
    for name, splits in curves.items():
        if splits:
            rows = [found[np.maximum(np.searchsorted(false, grid, side="right") - 1, 0)] for false, found in splits]
            axis.plot(grid, np.mean(rows, axis=0), label=name, linewidth=1)
    axis.set_xscale("symlog", linthresh=1e-3)
    axis.set(xlabel="strangers claimed", ylabel="known claimed and right", ylim=(0, 1.02), xlim=(0, 1))
    axis.set_title("open set: half of the brands taken out")


def _draw_fewshot(axis: Any, section: Figures, _: Any) -> None:
    last = section[list(section)[-1]]
    for kind, points in last.items():
        for ranker in next(iter(points.values())):
            shots = [int(n) for n in points]
            axis.plot(shots, [points[str(n)][ranker]["top1_kin"] for n in shots], marker="o", label=f"{kind}, {ranker}")
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks([0, 1, 2, 3, 5, 10], ["0", "1", "2", "3", "5", "10"])
    axis.set(xlabel="photographs a brand", ylabel="top-1", ylim=(0, 1.02), title=f"few shots: {list(section)[-1]}")


def _draw_crop_sizes(axis: Any, section: Figures, _: Any) -> None:
    from vision.evaluate.recognition.ranking import SIZES

    name = list(section)[-1]
    for ranker, parts in section[name].items():
        axis.plot([parts.get(s, {}).get("top1_kin", np.nan) for s in SIZES], marker="o", label=ranker)
    axis.set_xticks(range(len(SIZES)), [s.removeprefix("short side ") for s in SIZES])
    axis.set(xlabel="short side of the box, pixels", ylabel="top-1", ylim=(0, 1.02), title=f"by size: {name}")


def _draw_sizes(axis: Any, section: Figures, _: Any) -> None:
    sizes = sorted(int(n) for n in section)
    for ranker in section[str(sizes[0])]:
        line = axis.plot(
            sizes, [section[str(n)][ranker]["top1_kin"] for n in sizes], marker="o", label=f"{ranker}, top-1"
        )
        claimed = [section[str(n)][ranker]["strangers_claimed"] for n in sizes]
        axis.plot(sizes, claimed, linestyle=":", color=line[0].get_color(), label=f"{ranker}, strangers claimed")
    axis.set_xscale("log")
    axis.set(xlabel="brands in the library", ylim=(0, 1.02), title="by size of the library")


def _draw_attacks(axis: Any, section: Figures, _: Any) -> None:
    rankers = list(section["none"])
    place = np.arange(len(section))
    for number_, ranker in enumerate(rankers):
        values = [by[ranker]["top1_kin"] for by in section.values()]
        axis.barh(place + 0.8 * number_ / len(rankers), values, 0.8 / len(rankers), label=ranker)
    axis.set_yticks(place + 0.3, list(section))
    axis.invert_yaxis()
    axis.set(xlabel="top-1", xlim=(0, 1), title="attacks")


def mistakes(evaluation: Evaluation, library: Library) -> list[tuple[Pixels, str]]:
    """Tiles: the surest mistakes on crops of brands that the library holds, each beside the reference that won."""
    judged = evaluation.judged[list(evaluation.judged)[-1]]
    rows = np.flatnonzero(evaluation.held & ~judged.right).tolist()
    worst = sorted(rows, key=lambda i: (-judged.score[i], i))[:ON_SHEET]
    return [tile for i in worst for tile in _pair(evaluation.crops, i, judged, library)]


def alarms(evaluation: Evaluation, library: Library) -> list[tuple[Pixels, str]]:
    """Tiles: pieces of photographs for which a brand is claimed, then the nearest misses, each beside the reference."""
    found = []
    for crops, judged in evaluation.alarms.values():
        rows = sorted(range(len(crops)), key=lambda i: (not judged.claimed[i], -judged.score[i], i))
        found += [(not judged.claimed[i], -judged.score[i], crops, i, judged) for i in rows[:ON_SHEET]]
    found.sort(key=lambda one: one[:2])
    return [tile for _, _, crops, i, judged in found[:ON_SHEET] for tile in _pair(crops, i, judged, library)]


def _pair(crops: Crops, i: int, judged: Judged, library: Library) -> list[tuple[Pixels, str]]:
    """A crop, and the reference of the brand that it was taken for."""
    picture = read_picture(crops.paths[crops.picture[i]])
    box, near = crops.boxes[i], crops.neighbors
    wide, high = box[2:] - box[:2]
    claimed = "claimed " if judged.claimed[i] else ""
    name = crops.brands[i] or crops.paths[crops.picture[i]].name
    crop = (crop_of(picture, box), f"{name}\n{wide:.0f} x {high:.0f} px\n{claimed}{judged.score[i]:.2f}")
    place = [j for j, e in enumerate(near.entry[i]) if e >= 0 and near.names[e] == judged.best[i]]
    reference = near.references[near.reference[i, place[0]]] if place else None
    small = library.thumbnail(reference) if reference else None
    ground = np.full((96, 96, 3), 200, dtype=np.uint8)  # a reference kept as vectors only, or a name that was read
    similar = f"{near.similarity[i, place[0]]:.2f} {reference}" if place else "by name"
    return [crop, (ground if small is None else read_picture(small).pixels, f"{judged.best[i]}\n{similar}")]


def _write_sheet(path: Path, tiles: list[tuple[Pixels, str]]) -> None:
    from PIL import Image

    Image.fromarray(contact_sheet(tiles, columns=12, tile=110)).save(path, "JPEG", quality=88)
