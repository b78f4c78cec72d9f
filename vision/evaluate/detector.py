"""How well boxes are found, whatever the brand: a detector runs over labelled sets, its rows become figures, plots and a sheet.

The record is `results.jsonl`, one for each set, as a scan writes it: every figure is made from those rows, so figures of an
earlier run, of another tool or of a whole scan are made in the same way. `boxes.py` and `truth.py` hold the rules.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.detect import AnyDetector, Detector
from vision.errors import DatasetError, PictureError, UsageError
from vision.evaluate.boxes import (
    IOU_STEPS,
    Judged,
    ap,
    as_boxes,
    best_f1,
    best_score,
    box_figures,
    covered,
    recall_at_10,
)
from vision.evaluate.coco import require_coco
from vision.evaluate.figures import DRAWS, PHOTOS, POOLED, Figures, kind_figures, photo_figures, plain, slices_of
from vision.evaluate.truth import (
    BOXED,
    KINDS,
    Seen,
    Target,
    is_boxed,
    read_results,
    read_targets,
    row_of,
    rows_of,
    see,
)
from vision.evaluate.worst import Mistakes, count_reasons, find_mistakes, write_worst
from vision.files import write_atomically
from vision.images import read_picture
from vision.images.find import Finder
from vision.report.rows import write_row
from vision.scan import batches, in_order
from vision.values import Box, Detections, Failure, Finding, Picture, Result

__all__ = [
    "IOU_STEPS",
    "Evaluation",
    "Judged",
    "ap",
    "as_boxes",
    "best_f1",
    "box_figures",
    "covered",
    "evaluate_detector",
    "recall_at_10",
    "write_evaluation",
]

SCHEMA = "vision.evaluation/1"
MIN_SCORE = 0.01  # average precision needs the whole ranked list
BATCH = 8
HELD = 64 << 20  # bytes of decoded pixels from which on a worker's pictures are detected before more are read

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """One labelled set under evaluation. data: what was given for it. results: its rows."""

    name: str
    data: Path
    targets: list[Target]
    results: Path


@dataclass(frozen=True, slots=True)
class Evaluation:
    """figures: plain dictionaries. judged: what was found in each picture, by kind and set. mistakes: by kind, worst first."""

    figures: Figures
    judged: dict[str, dict[str, list[Seen]]]
    mistakes: dict[str, list[Mistakes]]


def evaluate_detector(
    data: Sequence[Path],
    out: Path,
    *,
    detector: AnyDetector | None = None,
    results: Path | None = None,
    photos: Path | None = None,
    kinds: Sequence[str] = KINDS,
    score: float | None = None,
    threads: int | None = None,
    looks: Mapping[str, Any] | None = None,
    command: str | None = None,
    progress: Callable[[int], Advance] | None = None,
) -> Evaluation:
    """Evaluate on labelled sets; the rows go to `out`, and `write_evaluation` puts the rest beside them.

    data: sets of any format that `vision.datasets` reads. results: rows to judge instead of running `detector`: one file for all
    sets, or the `out` of an earlier run. photos: a folder of pictures (or "@list.txt") that should show nothing.
    kinds: those to judge; a set is judged for the kinds that its source boxes. score: the operating point; by default the
    detector's, that of the earlier run, or the score of the best F1 where neither is known. threads: pictures examined at once.
    looks: further arguments of `detector.detect`. progress: is told how many pictures there are, gives what counts them.
    Raises DatasetError (missing, bad_label, bad_row), UsageError (bad_option), BackendError (package_missing).
    """
    require_coco()
    if (detector is None) == (results is None):
        raise UsageError("bad_option", "either a detector or results are judged")
    if not data and not photos:
        raise UsageError("bad_option", "no labelled sets and no photos")
    if score is not None and not 0 <= score <= 1:
        raise UsageError("bad_option", f"a score of {score} is not between 0 and 1")
    sources = _sources(data, out, results, kinds)
    photo_rows = _rows_for(PHOTOS, out, results) if photos is not None else out
    if detector is not None:
        _run(detector, sources, photos, photo_rows, threads=threads, looks=looks or {}, progress=progress)
    seen = {s.name: _judge(s, kinds) for s in sources}
    points = _operating_points(detector, results, score)
    sets: dict[str, Figures] = {}
    for source in sources:
        sets[source.name] = {
            "data": source.data.as_posix(),
            "results": Path(os.path.relpath(source.results, out)).as_posix(),
        }
    figures: Figures = {
        "schema": SCHEMA,
        "command": command,
        "detector": None if detector is None else {"name": detector.name, "checksum": detector.checksum},
        "looks": dict(looks or {}),
        "operating_point": {},
        "intervals": f"95 %, bootstrap over pictures, {DRAWS} draws",
        "sets": sets,
        POOLED: {},
    }
    judged: dict[str, dict[str, list[Seen]]] = {}
    for kind in kinds:
        own = {name: by_kind[kind] for name, by_kind in seen.items() if kind in by_kind}
        if not own:
            continue
        pooled = [s for one in own.values() for s in one]
        point = points.get(kind)
        if point is None:
            point = best_score([s.ranked[BOXED] for s in pooled])[0]
        judged[kind], figures["operating_point"][kind] = own, point
        for name, one in own.items():
            sets[name][kind] = kind_figures(one, point)
        figures[POOLED][kind] = kind_figures(pooled, point) if len(own) > 1 else sets[next(iter(own))][kind]
    curves: dict[str, Figures] = {}
    if photos is not None:
        shown = _photo_rows(photos, photo_rows)
        for kind in kinds:
            point = figures["operating_point"].get(kind, points.get(kind))
            if point is None:
                raise UsageError("bad_option", "no operating point for photos", hint="--score")
            curves[kind] = photo_figures(shown, kind, point)
            figures["operating_point"][kind] = point
        figures[PHOTOS] = {"data": photos.as_posix(), **curves}
    mistakes = {k: find_mistakes(own, figures["operating_point"][k]) for k, own in judged.items()}
    figures["mistakes"] = {kind: count_reasons(own) for kind, own in mistakes.items()}
    return Evaluation(figures, judged, mistakes)


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """`figures.json`, `figures.csv`, `curves.png`, `worst.jpg` and `worst.jsonl`. Raises BackendError (package_missing)."""
    from vision.evaluate.plots import draw_curves

    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "figures.json", (json.dumps(plain(evaluation.figures), indent=1) + "\n").encode())
    _write_table(out / "figures.csv", evaluation.figures)
    draw_curves(out / "curves.png", evaluation.judged, evaluation.figures)
    write_worst(out, evaluation.mistakes)


def _sources(data: Sequence[Path], out: Path, results: Path | None, kinds: Sequence[str]) -> list[Source]:
    """The sets. Raises DatasetError (missing) for one in which there is nothing to judge."""
    sources = []
    for name, path in zip(set_names(data), data, strict=True):
        targets = read_targets(path)
        if not targets:
            raise DatasetError("missing", "there are no pictures in this set", path=path.as_posix())
        if len(kinds) > 1 and not any(is_boxed(targets, kind) for kind in kinds):
            raise DatasetError(
                "missing",
                "nothing is boxed in this set, so there is nothing to find",
                path=path.as_posix(),
                hint="--photos FOLDER counts what is reported on pictures that show nothing",
            )
        sources.append(Source(name, path, targets, _rows_for(name, out, results)))
    return sources


def set_names(data: Sequence[Path]) -> list[str]:
    """A short name for each set that is safe as a folder: its folder and file, numbered where two would be the same."""
    names: list[str] = []
    for path in data:
        place = Path(str(path).partition("#")[0])
        parts = [place.absolute().name] if place.is_dir() else [place.absolute().parent.name, place.stem]
        stem = re.sub(r"[^\w.-]+", "_", "-".join([*parts, *str(path).partition("#")[2:]]).strip("-"))
        taken, name, count = {PHOTOS, *names}, stem, 1
        while name in taken:
            count += 1
            name = f"{stem}-{count}"
        names.append(name)
    return names


def _rows_for(name: str, out: Path, results: Path | None) -> Path:
    """Where the rows of a set are, or will be."""
    if results is None:
        return out / name / "results.jsonl"
    if results.is_dir():
        places = (results / name / "results.jsonl", results / "results.jsonl")
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            known = ", ".join(sorted(place.parent.name for place in results.glob("*/results.jsonl"))) or "none"
            raise DatasetError(
                "missing",
                f"no rows of the set {name}",
                path=str(results),
                hint=f"there are those of: {known}; name the file",
            )
        return found
    return results


def _operating_points(detector: AnyDetector | None, results: Path | None, score: float | None) -> dict[str, float]:
    if score is not None:
        return dict.fromkeys(KINDS, score)
    if isinstance(detector, Detector):
        return dict(detector.settings.scores)
    if detector is not None:
        return dict.fromkeys(KINDS, detector.operating_point)
    for folder in [] if results is None else (results, results.parent, results.parent.parent):
        if (folder / "figures.json").is_file():
            return dict(read_figures(folder / "figures.json").get("operating_point", {}))
    return {}


def read_figures(path: Path) -> Figures:
    """The figures of an earlier run. Raises DatasetError (bad_label) for what is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError("bad_label", f"no JSON: {error}", path=str(path)) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise DatasetError("bad_label", f"no figures of schema {SCHEMA}", path=str(path))
    return found


def _run(
    detector: AnyDetector,
    sources: Sequence[Source],
    photos: Path | None,
    photo_rows: Path,
    *,
    threads: int | None,
    looks: Mapping[str, Any],
    progress: Callable[[int], Advance] | None,
) -> None:
    """Write the rows of all sets and photos."""
    jobs = [([(str(t.path), t.path) for t in s.targets], s.results) for s in sources]
    for pictures, _ in jobs:
        for _, path in pictures:
            if not path.is_file():
                raise DatasetError("missing", "no such picture", path=str(path))
    if photos is not None:
        found = [(f.path, f.file) for f in Finder([str(photos)]) if f.file is not None]
        if not found:
            raise DatasetError("missing", "no pictures to detect in", path=str(photos))
        jobs.append((found, photo_rows))
    advance = progress(sum(len(pictures) for pictures, _ in jobs)) if progress else lambda _: None
    for pictures, rows in jobs:
        rows.parent.mkdir(parents=True, exist_ok=True)
        unfinished = rows.with_name(rows.name + ".part")  # half a set's rows must not pass for those of all of it
        with unfinished.open("wb") as file:
            for row in detect_rows(detector, pictures, threads=threads, looks=looks):
                file.write(write_row(row))
                advance(1)
        unfinished.replace(rows)


def detect_rows(
    detector: AnyDetector,
    pictures: Sequence[tuple[str, Path]],
    *,
    threads: int | None = None,
    looks: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """One row for each (name, file), in order; a picture that cannot be read is a failed row."""

    def detect(read: Sequence[tuple[str, Picture | PictureError]]) -> list[Result]:
        good = [p for _, p in read if isinstance(p, Picture)]
        found = iter(detector.detect(good, min_score=MIN_SCORE, **(looks or {})) if good else [])
        return [
            Result(name, None, None, None, "failed", Failure(picture.code, picture.message))
            if isinstance(picture, PictureError)
            else as_result(name, picture.sha256, picture.width, picture.height, next(found))
            for name, picture in read
        ]

    def examine(some: Sequence[tuple[str, Path]]) -> list[Result]:
        rows: list[Result] = []
        read: list[tuple[str, Picture | PictureError]] = []
        for name, path in some:
            read.append((name, _read(path)))
            if sum(p.pixels.nbytes for _, p in read if isinstance(p, Picture)) > HELD:
                rows += detect(read)
                read = []
        return rows + detect(read)

    with closing(in_order(examine, batches(pictures, BATCH), threads=threads)) as done:
        for rows in done:
            yield from rows


def _read(path: Path) -> Picture | PictureError:
    try:
        return read_picture(path)
    except PictureError as error:
        return error


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


def _judge(source: Source, kinds: Sequence[str]) -> dict[str, list[Seen]]:
    """What was found in each picture of a set, for the kinds that are boxed there; for the only one asked for in any case."""
    results = read_results(source.results)
    rows = [row_of(target, results) for target in source.targets]
    return {
        kind: [see(target, row, kind) for target, row in zip(source.targets, rows, strict=True)]
        for kind in kinds
        if len(kinds) == 1 or is_boxed(source.targets, kind)
    }


def _photo_rows(photos: Path, path: Path) -> list[Result]:
    """The rows of the pictures in `photos`; the file may hold those of sets too. Raises DatasetError (missing, bad_row)."""
    results = read_results(path)
    rows: dict[str, Result] = {}
    for photo in Finder([str(photos)]):
        if photo.file is None:
            continue
        ending = Path(photo.path).parts  # with the folder's name: a picture of a set may have the file name
        own = rows_of(photo.file, photo.path, results)
        rows |= {r.path: r for r in own if Path(r.path).parts[-len(ending) :] == ending}
    if not rows:
        hint = "a row belongs to a picture when its path ends with the picture's, the folder's name included"
        raise DatasetError("missing", f"no rows of the pictures in {photos}", path=str(path), hint=hint)
    return list(rows.values())


def _write_table(path: Path, figures: Figures) -> None:
    """One line for each set, kind and slice; intervals in two columns."""
    lines = [
        {"set": name, "kind": kind, "slice": part} | _flat(values) for name, kind, part, values in slices_of(figures)
    ]
    photos = figures.get(PHOTOS, {})
    lines += [
        {"set": PHOTOS, "kind": kind, "slice": PHOTOS} | _flat({k: v for k, v in photos[kind].items() if k != "curve"})
        for kind in KINDS
        if kind in photos
    ]
    columns = list(dict.fromkeys(k for line in lines for k in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def _flat(values: Mapping[str, Any]) -> Figures:
    line: Figures = {}
    for name, value in plain(values).items():
        if name.endswith("_interval"):
            stem = name.removesuffix("_interval")
            line[f"{stem}_low"], line[f"{stem}_high"] = value
        else:
            line[name] = value
    return line
