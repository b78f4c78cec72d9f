"""What an evaluation of copy detection leaves behind.

figures.json    everything, plain types
figures.csv     one line a figure: method, test, bar, part, figure, value, low, high
claims/         the claims of each method as rows {"query", "source", "score"}, for any other scorer of such a battery
false.jsonl     this package's false claims on the battery, surest first; false.jpg shows the first of them
missed.jsonl    copies that it did not claim; missed.jpg shows some of each edit, the worst edits first
pairs.jsonl     its claims on sets of different pictures (furniture, marks, packshots); pairs.jpg shows the first of each
families.png    recall by family, at the operating point of each method
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vision.errors import PictureError
from vision.evaluate.copies.run import Evaluation, write_claims
from vision.evaluate.copies.score import BARS, misses_by_edit
from vision.evaluate.figures import plain
from vision.evaluate.plots import require_matplotlib
from vision.evaluate.tables import Table, number, with_interval
from vision.files import write_atomically
from vision.images import read_picture
from vision.report.sheet import contact_sheet, fit
from vision.values import Pixels

ON_SHEET = 48
TILE, COLUMNS = 320, 6
LABELS = {"shipped": "as shipped", "fp_rate": "≤ 1e-6 false", "zero_fp": "0 false"}
OURS = "vision"

Rows = list[dict[str, Any]]


def write_copies(evaluation: Evaluation, out: Path) -> None:
    """Write everything into a folder, over what an earlier run left there. Raises BackendError (package_missing)."""
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    figures = plain(evaluation.figures)
    write_atomically(out / "figures.json", (json.dumps(figures, indent=1) + "\n").encode())
    _write_csv(out / "figures.csv", figures)
    for name, claims in evaluation.claims.items():
        write_claims(out / "claims" / f"{name}.jsonl", claims)
    if evaluation.claims:
        paths = evaluation.paths["battery"]
        _write_rows(out / "false.jsonl", evaluation.false)
        _write_rows(out / "missed.jsonl", [asdict(query) for query in evaluation.missed])
        _write_sheet(out / "false.jpg", islice(_false_tiles(evaluation.false, paths), ON_SHEET))
        # each edit begins with another original, so that the sheet does not show one picture again and again
        by_edit = enumerate(misses_by_edit(evaluation.missed).values())
        turns = zip_longest(*(own[n % len(own) :] + own[: n % len(own)] for n, own in by_edit))
        missed = [query for query in chain.from_iterable(turns) if query is not None][:ON_SHEET]
        missed.sort(key=lambda query: query.edit)
        _write_sheet(
            out / "missed.jpg",
            ((paths[q.query], paths[str(q.source)], f"{q.edit}\n{q.query}\n{q.source}") for q in missed),
        )
        draw_families(out / "families.png", figures)
    rows = [{"test": test, **row} for test, own in evaluation.pairs.items() for row in own]
    if evaluation.pairs:
        _write_rows(out / "pairs.jsonl", rows)
        _write_sheet(out / "pairs.jpg", _pair_tiles(evaluation))


def main_table(figures: Mapping[str, Any]) -> Table:
    """One table: recall by family for each method and bar, then what sums it up and what it cost; a column a method and bar.

    figures: plain, as in figures.json.
    """
    columns: list[tuple[str, str]] = []
    for name, own in figures["methods"].items():
        bars = BARS if name == OURS else BARS[:2]
        columns += [(name, bar) for bar in (bars if "battery" in own else BARS[:1])]
    rows: list[tuple[str, ...]] = []

    def line(label: str, cell: Any) -> None:
        cells = [cell(figures["methods"][name], bar) for name, bar in columns]
        if any(cells):
            rows.append((label, *(c or "" for c in cells)))

    def shipped(get: Any) -> Any:
        """A cell that stands in the first column of a method only: it does not depend on the bar."""
        return lambda own, bar: get(own) if bar == BARS[0] else ""

    first = figures["methods"][OURS].get("battery")
    for family in first["shipped"]["families"] if first else ():
        line(family, lambda own, bar, f=family: number(own["battery"][bar]["families"][f]) if "battery" in own else "")
    if first:
        line("mean over edits", lambda own, bar: with_interval(own["battery"][bar], "mean"))
        line("false claims", lambda own, bar: number(own["battery"][bar]["false"]))
        line("claims from", _bar)
        line("micro-AP", shipped(lambda own: with_interval(own["battery"], "micro_ap")))
        line("ms to describe", shipped(lambda own: number(own["cost"].get("describe_ms"), 1)))
        line("ms a query", shipped(lambda own: number(own["cost"].get("query_ms"), 1)))
    line("claims on furniture", shipped(lambda own: _claimed(own.get("furniture"))))
    for size in dict.fromkeys(s for own in figures["methods"].values() for s in own.get("flat", ())):
        line(f"claims on marks of {size} px", shipped(lambda own, s=size: _claimed(own.get("flat", {}).get(s))))
    line("claims on packshots", shipped(lambda own: _claimed(own.get("packshots"))))
    heads = [f"{name}, {LABELS[bar]}" for name, bar in columns]
    return Table(("", *heads), tuple(rows))


def edit_table(figures: Mapping[str, Any]) -> Table | None:
    """Recall of each edit, a column a method, at its operating point; null where no battery was measured."""
    methods = {name: own["battery"] for name, own in figures["methods"].items() if "battery" in own}
    if not methods:
        return None
    edits = next(iter(methods.values()))["shipped"]["edits"]
    rows = tuple((edit, *(number(own["shipped"]["edits"][edit]) for own in methods.values())) for edit in edits)
    return Table(("as shipped", *methods), rows)


def worst_lines(figures: Mapping[str, Any]) -> list[str]:
    """What to look at first: the surest false claims, and the claims on pictures that are all different, a line each."""
    lines = [
        f"false: {row['query']} ({row['edit']} of {row['true_source'] or 'a stranger'}) for {row['source']}, {row['score']:.4g}"
        for row in figures.get("false_claims", [])
    ]
    for test, rows in figures.get("pair_claims", {}).items():
        told = [row for row in rows if row.get("verdict") != "same"]
        lines += [
            f"{test}: {row['a']} and {row['b']}, {row['score']:.4g} {row.get('verdict', '')}".rstrip() for row in told
        ]
    return lines


def _bar(own: Mapping[str, Any], bar: str) -> str:
    value = own["battery"][bar]["bar"]
    if value is None:
        return "all"
    return f"{'≥' if bar == 'shipped' else '>'} {value:.4g}"


def _claimed(test: Mapping[str, Any] | None) -> str:
    if not test:
        return ""
    apart = ", ".join(f"{test[word]:,} {word}" for word in ("turned", "recoloured") if test.get(word))
    return f"{test['claims']:,}{f' ({apart})' if apart else ''} of {test['pairs']:,}"


def _write_csv(path: Path, figures: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["method", "test", "bar", "part", "figure", "value", "low", "high"])
        for name, own in figures["methods"].items():
            for row in _lines(own):
                table.writerow([name, *row])
        for edit, counts in figures.get("alone", {}).get("edits", {}).items():
            table.writerow(["vision, two alone", "furniture", "shipped", edit, "claims", counts["claims"], None, None])


def _lines(own: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """test, bar, part, figure, value, low, high."""
    battery = own.get("battery", {})
    for bar in BARS if battery else ():
        at = battery[bar]
        yield ("battery", bar, "all edits", "recall", at["mean"], *at["mean_interval"])
        yield ("battery", bar, "all edits", "false_claims", at["false"], None, None)
        yield ("battery", bar, "all edits", "bar", at["bar"], None, None)
        for family, value in at["families"].items():
            yield ("battery", bar, f"family {family}", "recall", value, *at["families_interval"][family])
        for edit, value in at["edits"].items():
            yield ("battery", bar, f"edit {edit}", "recall", value, None, None)
    if battery:
        yield ("battery", "", "all edits", "micro_ap", battery["micro_ap"], *battery["micro_ap_interval"])
    for figure, value in own.get("cost", {}).items():
        yield ("battery", "", "", figure, value, None, None)
    for edit, counts in own.get("furniture", {}).get("edits", {}).items():
        yield ("furniture", "shipped", edit, "claims", counts["claims"], None, None)
    tests = {f"flat {size}": test for size, test in own.get("flat", {}).items()}
    tests |= {"packshots": own["packshots"]} if "packshots" in own else {}
    for test, counts in tests.items():
        for figure, value in counts.items():
            yield (test, "shipped", "", figure, value, None, None)


def draw_families(path: Path, figures: Mapping[str, Any]) -> None:
    """Recall by family at the operating point, a bar for each method, ours with 95 % intervals."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    methods = {name: own["battery"]["shipped"] for name, own in figures["methods"].items() if "battery" in own}
    families = list(next(iter(methods.values()))["families"])
    figure, axis = pyplot.subplots(figsize=(max(7, 1.1 * len(families)), 4.8))
    wide = 0.85 / len(methods)
    for number_, (name, at) in enumerate(methods.items()):
        values = np.array([at["families"][f] for f in families], float)
        places = np.arange(len(families)) + (number_ - (len(methods) - 1) / 2) * wide
        spread = None
        if name == OURS:
            ends = np.array([at["families_interval"][f] for f in families], float)
            spread = np.clip(np.abs(ends.T - values), 0, 1)
        label = f"{name}: mean {at['mean']:.3f}, {at['false']:,} false claims"
        axis.bar(places, values, wide, yerr=spread, label=label, error_kw={"linewidth": 0.8})
    axis.set_xticks(range(len(families)), families, rotation=30, ha="right", fontsize=8)
    axis.set(ylabel="recall", ylim=(0, 1.02), title="copies claimed at the operating point of each method")
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _false_tiles(rows: Sequence[Mapping[str, Any]], paths: Mapping[str, Path]) -> Iterator[tuple[Path, Path, str]]:
    for row in rows:
        if row["query"] in paths and row["source"] in paths:
            made = f"{row['edit']} of {row['true_source'] or 'a stranger'}"
            text = f"{row['score']:.3f} {row['kind'] or ''}\n{made}\nclaimed: {row['source']}"
            yield paths[row["query"]], paths[row["source"]], text


def _pair_tiles(evaluation: Evaluation) -> Iterator[tuple[Path, Path, str]]:
    """The first claims of each test, in turn."""
    turns = zip_longest(*([(test, row) for row in rows] for test, rows in evaluation.pairs.items() if rows))
    listed = [one for one in chain.from_iterable(turns) if one is not None][:ON_SHEET]
    for test, row in sorted(listed, key=lambda one: one[0]):
        paths = evaluation.paths[test]
        told = f" {row['verdict']}, drawings differ by {row['differ']:.1%}" if "verdict" in row else ""
        yield paths[row["a"]], paths[row["b"]], f"{test}:{told}\n{row['a']}\n{row['b']}"


def _write_sheet(path: Path, pairs: Iterable[tuple[Path, Path, str]]) -> None:
    """Pairs of pictures side by side with their captions; no file where there are none, nor an older one."""
    tiles = []
    for one, other, text in pairs:
        try:
            tiles.append((_beside(one, other), text))
        except PictureError:
            continue  # the row says what there was
    if not tiles:
        path.unlink(missing_ok=True)
        return
    sheet = Image.fromarray(contact_sheet(tiles, columns=min(COLUMNS, len(tiles)), tile=TILE))
    sheet.save(path, quality=85)


def _beside(one: Path, other: Path) -> Pixels:
    """Two pictures in one square tile: one above the other when the first is wide, else side by side."""
    pictures = [read_picture(path, reduce_to=TILE).pixels for path in (one, other)]
    axis = 0 if pictures[0].shape[1] >= pictures[0].shape[0] else 1
    page = np.full((TILE, TILE, 3), 200, np.uint8)
    for place, pixels in enumerate(pictures):
        room = [TILE, TILE]
        room[axis] = TILE // 2 - 2
        factor = min(room[0] / pixels.shape[0], room[1] / pixels.shape[1])
        small = fit(pixels, max(1, int(factor * max(pixels.shape[:2]))))
        top, left = ((room[n] - small.shape[n]) // 2 + (place * (TILE // 2 + 2) if n == axis else 0) for n in (0, 1))
        page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return page
