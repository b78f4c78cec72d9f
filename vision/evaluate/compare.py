"""Everything that was tried, side by side: run folders of trainings and folders of evaluations.

The first run is the one that the others are compared with. Whatever a folder lacks is left out of the table. Where two runs
keep their rows for the same pictures, the difference of a figure gets an interval: both are measured on the same draws of
pictures (a paired bootstrap), which tells smaller differences from chance than two intervals side by side.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vision.errors import DatasetError, UsageError, VisionError
from vision.evaluate.boxes import precision_of
from vision.evaluate.figures import Measure, interval, plain, share_of
from vision.evaluate.metrics import found_by_best
from vision.evaluate.tables import Table, number
from vision.evaluate.truth import (
    BOXED,
    EVERY_LOGO,
    KINDS,
    UNBOXED_IGNORED,
    Seen,
    read_results,
    read_targets,
    row_of,
    see,
)

# (name in the answer, view, figure)
COMPARED = (
    ("AP50, unboxed ignored", UNBOXED_IGNORED, "ap50"),
    ("AP50, every logo", EVERY_LOGO, "ap50"),
    ("recall@10", BOXED, "recall10"),
    ("AP50", BOXED, "ap50"),
)
ABSENT = "not set"


@dataclass(frozen=True, slots=True)
class Run:
    """One thing that was tried. config: flat, keys with dots. held_out: figures of the training. figures: of an evaluation."""

    name: str
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    minutes: float | None = None
    chosen_step: int | None = None
    held_out: Mapping[str, float] = field(default_factory=dict)
    evaluation: Path | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """A training's run folder, an evaluation's, or a training's with an evaluation one level below.

    Raises DatasetError (missing, bad_label) when it is neither, or when a file in it is damaged.
    """
    evaluation = next(
        (p.parent for p in (folder / "figures.json", *sorted(folder.glob("*/figures.json"))) if p.is_file()), None
    )
    run, metrics = _json(folder / "run.json"), _last_row(folder / "metrics.csv")
    config = run.get("config") or _json(folder / "config.json") or _yaml(folder / "config.yaml")
    if not (evaluation or run or metrics or config):
        raise DatasetError("missing", "neither a training run nor an evaluation", path=str(folder))
    held_out = run.get("held_out") or _json(folder / "held_out.json")
    if not held_out:
        held_out = {k: v for k, v in metrics.items() if k in ("ap50", "ap50_every", "recall10")}
    steps, minutes, best = (
        run.get(k, metrics.get(v)) for k, v in (("steps", "step"), ("minutes", "minutes"), ("chosen_step", ""))
    )
    return Run(
        name=folder.absolute().name,
        folder=folder,
        config=_flat(config),
        changed=run["changed"] if isinstance(run.get("changed"), dict) else {},
        steps=None if steps is None else int(steps),
        minutes=None if minutes is None else float(minutes),
        chosen_step=None if best is None else int(best),
        held_out={k: float(v) for k, v in held_out.items() if isinstance(v, int | float)},
        evaluation=evaluation,
        figures=_json(evaluation / "figures.json") if evaluation else {},
    )


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """What was tried, as plain JSON: for each run its settings, length and figures, and differences to the first run's.

    A difference has an `interval` and says whether it `excludes_zero`; both are null where the rows of one run, or the labels,
    are not there any more. Raises UsageError (bad_option), DatasetError.
    """
    if len(folders) < 1:
        raise UsageError("bad_option", "no runs to compare")
    runs = [read_run(folder) for folder in folders]
    names = _distinct(runs)
    first, answer = runs[0], []
    cache: dict[tuple[Path, str, str], list[Seen] | None] = {}
    for name, run in zip(names, runs, strict=True):
        answer.append(
            {
                "run": name,
                "folder": run.folder.as_posix(),
                "changed": dict(run.changed) or (_changed(first.config, run.config) if run is not first else {}),
                "steps": run.steps,
                "chosen_step": run.chosen_step,
                "minutes": run.minutes,
                "held_out": dict(run.held_out),
                "photos": _photos(run),
                "figures": [] if not run.figures else _figures(run, first, cache),
            }
        )
    return {"first": names[0], "runs": plain(answer)}


def tables(compared: Mapping[str, Any]) -> list[Table]:
    """What was tried, then its figures on each set. A star: the interval of the difference to the first run excludes zero."""
    runs = compared["runs"]
    held = list(dict.fromkeys(k for r in runs for k in r["held_out"]))
    rows = []
    for run in runs:
        changed = ", ".join(
            f"{k} {_short(v[1] if isinstance(v, list) and len(v) == 2 else v)}" for k, v in run["changed"].items()
        )
        minutes = "–" if run["minutes"] is None else f"{run['minutes']:.0f}"
        cells = [
            run["run"],
            changed or "–",
            number(run["steps"]),
            minutes,
            *(number(run["held_out"].get(k)) for k in held),
        ]
        rows.append((*cells, ", ".join(f"{k} {number(v, 2)}" for k, v in run["photos"].items()) or "–"))
    columns = ("run", "changed", "steps", "minutes", *(f"held out {k}" for k in held), "boxes a photo")
    found = [Table(columns, tuple(rows), words=2)]
    lines = list(dict.fromkeys((f["set"], f["kind"], f["figure"]) for r in runs for f in r["figures"]))
    if lines:
        by_run = [{(f["set"], f["kind"], f["figure"]): f for f in r["figures"]} for r in runs]
        rows = [(*line, *(_cell(own.get(line)) for own in by_run)) for line in lines]
        found.append(Table(("set", "kind", "figure", *(r["run"] for r in runs)), tuple(rows), words=3))
    return found


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "–"
    if figure.get("difference") is None:
        return number(figure["value"])
    sign = "+" if figure["difference"] >= 0 else "−"
    star = "*" if figure["excludes_zero"] else ""
    return f"{number(figure['value'])} ({sign}{number(abs(figure['difference']))}{star})"


def _figures(run: Run, first: Run, cache: dict[tuple[Path, str, str], list[Seen] | None]) -> list[dict[str, Any]]:
    """The compared figures of a run, set by set."""
    found = []
    for name, one in run.figures.get("sets", {}).items():
        for kind in KINDS:
            for title, view, figure in COMPARED:
                value = one.get(kind, {}).get(view, {}).get(figure)
                if value is None:
                    continue
                entry = {"set": name, "kind": kind, "figure": title, "value": value}
                before = first.figures.get("sets", {}).get(name, {}).get(kind, {}).get(view, {}).get(figure)
                if run is not first and before is not None:
                    own, other = (_seen(r, name, kind, cache) for r in (run, first))
                    span = paired_interval(other, own, view, figure) if own and other else None
                    apart = None if span is None else bool(span[0] > 0 or span[1] < 0)
                    entry |= {"difference": value - before, "interval": span, "excludes_zero": apart}
                found.append(entry)
    return found


def paired_interval(before: Sequence[Seen], after: Sequence[Seen], view: str, figure: str) -> list[float] | None:
    """95 % of the difference of a figure (`ap50`, `recall10`), after less before, both on the same draws of pictures.

    Null when the pictures are not the same, or none of them has that view.
    """
    if [s.target.image for s in before] != [s.target.image for s in after]:
        return None
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if view in b.ranked and view in a.ranked]
    if not pairs:
        return None
    measures = [_measure([pair[side] for pair in pairs], view, figure) for side in (0, 1)]
    return interval(lambda picks: measures[1](picks) - measures[0](picks), len(pairs))


def _measure(seen: Sequence[Seen], view: str, figure: str) -> Measure:
    if figure == "recall10":
        return share_of([found_by_best(s.overlaps[view], s.scores, 10) for s in seen])
    ranked = [s.ranked[view] for s in seen]
    return lambda picks: precision_of([ranked[i] for i in picks])


def _seen(run: Run, name: str, kind: str, cache: dict[tuple[Path, str, str], list[Seen] | None]) -> list[Seen] | None:
    """The judged pictures of a run on a set; null where rows or labels are gone."""
    if run.evaluation is None:
        return None
    key = (run.evaluation, name, kind)
    if key not in cache:
        described = run.figures["sets"][name]
        try:
            targets = read_targets(Path(described["data"]))
            rows = read_results(run.evaluation / described["results"])
            cache[key] = [see(target, row_of(target, rows), kind) for target in targets]
        except (VisionError, KeyError):
            cache[key] = None
    return cache[key]


def _photos(run: Run) -> dict[str, float]:
    photos = run.figures.get("photos", {})
    return {kind: photos[kind]["boxes_a_picture"] for kind in KINDS if kind in photos}


def _changed(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """[before, after] of each setting that differs."""
    keys = [k for k in dict.fromkeys([*first, *other]) if first.get(k, ABSENT) != other.get(k, ABSENT)]
    return {k: [first.get(k, ABSENT), other.get(k, ABSENT)] for k in keys} if first and other else {}


def _flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def _short(value: Any, most: int = 60) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


def _distinct(runs: Sequence[Run]) -> list[str]:
    """The folders' names, with the folder above where two are the same."""
    names = [run.name for run in runs]
    same = {n for n in names if names.count(n) > 1}
    return [f"{r.folder.absolute().parent.name}/{n}" if n in same else n for r, n in zip(runs, names, strict=True)]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError("bad_label", f"no JSON: {error}", path=str(path)) from None
    return found if isinstance(found, dict) else {}


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        import yaml
    except ImportError:
        return {}  # the other columns can be had without it
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DatasetError("bad_label", f"no YAML: {error}", path=str(path)) from None
    return found if isinstance(found, dict) else {}


def _last_row(path: Path) -> dict[str, float]:
    """The numbers of the last row of a CSV; none when there is no such file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for key, value in (rows[-1] if rows else {}).items():
        try:
            found[key] = float(value)
        except (TypeError, ValueError):
            continue
    return found
