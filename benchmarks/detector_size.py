"""What the detector's size, part suppression, views and tiles bring and cost, as tables.

python benchmarks/detector_size.py CONFIG.yaml [--truth TRUTH.jsonl...] [--detector PATH] [--sizes 320,416,512] [--pairs 224+416]
    [--tables sizes,parts,views,turned,tiles] [--json FILE]

CONFIG is a training config: the pictures with its held-out brands, which no training saw, are those to decide on. With `--truth`
the pictures of those files are measured instead, for a report. One thread. Milliseconds are processor time a picture of all that
follows decoding, the least of `--repeats` runs that take turns: ratios within a table hold on a busy machine too.

Figures of logos, from score 0.01: AP50 against the boxes of the source ("plain"), with logos that the source did not box ignored
("ignored"), of every logo that can be seen ("every"), and recall@10 of the source's boxes. Only pictures whose unboxed logos
were searched for by eye are measured, unless the file was never searched.

sizes: squares and rectangles of each size, and pairs of sizes merged. parts: parts of larger boxes pushed down or not.
views: mirrored and turned looks merged, on the upright pictures, and tiles, which have nothing to add there.
turned: mirrored, turned and upside-down copies of the pictures, one look each, recall@10 beside that of the upright ones.
tiles: walls of pictures pasted together, as there are no large labelled photographs: measured pictures at half their size
among photographs of `photos`, 12 to a wall of 2000 x 1500.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.datasets.labelled import LabelledPicture, brand_key, read_names, read_set
from vision.detect import Detector
from vision.detect.looks import VIEWS, Look, Tiles, merge
from vision.evaluate.boxes import Judged, ap, as_boxes, recall_at_10
from vision.geometry import Boxes, area, iou
from vision.images import read_picture
from vision.training.config import load_config
from vision.training.draw import expand, folder_pictures
from vision.values import Detections, Picture

Run = Callable[[Picture], Detections]
LEAST = 0.01  # average precision needs the whole ranked list
WALL, CELL = (4, 3), 500


@dataclass(frozen=True)
class Case:
    """A picture and its logos: boxes of the source, further ones found by eye, and regions to ignore."""

    picture: Picture
    source: Boxes
    extra: Boxes
    ignored: Boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--truth", nargs="*", type=Path, default=[], help="measure these instead of the held-out brands"
    )
    parser.add_argument("--detector", type=Path, help="model folder or ONNX export; the shipped one when not given")
    parser.add_argument("--tables", default="sizes,parts,views,turned,tiles")
    parser.add_argument("--sizes", default="320,352,384,416,448,480,512,576,640")
    parser.add_argument("--pairs", default="224+416,320+512")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--limit", type=int, help="at most so many pictures")
    parser.add_argument("--json", type=Path, help="keep the figures here too")
    args = parser.parse_args()
    config = load_config(args.config)
    pictures = pictures_of(config, args.truth)[: args.limit]
    cases = [as_case(p) for p in pictures]
    print(f"{len(cases)} pictures, {sum(len(c.source) for c in cases)} boxes, {sum(len(c.extra) for c in cases)} extra")
    sizes = [int(s) for s in args.sizes.split(",")]
    pairs = [tuple(int(s) for s in pair.split("+")) for pair in args.pairs.split(",") if pair]
    plain = Detector.load(args.detector)
    tables = {
        "sizes": lambda: table(size_runs(args.detector, sizes, pairs), cases, args.repeats),
        "parts": lambda: table(part_runs(plain), cases, args.repeats),
        "views": lambda: table(view_runs(plain), cases, args.repeats),
        "turned": lambda: turned(plain, cases),
        "tiles": lambda: tiled(plain, walls(cases, folder_pictures(config["photos"])), args.repeats),
    }
    found = {name: tables[name]() for name in args.tables.split(",")}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def pictures_of(config: dict[str, Any], truth: Sequence[Path]) -> list[LabelledPicture]:
    """The pictures of truth files, else those of the config's sets with a held-out brand."""
    if truth:
        sets = [read_set(path) for path in truth]
        return [p for pictures in sets for p in pictures if p.looked_at or not any(q.looked_at for q in pictures)]
    held = {brand_key(b) for b in config["held_out_brands"]}
    left_out = read_names(config.get("brands_left_out"))
    pictures = [p for path in expand(config["real"]) for p in read_set(path, brands_left_out=left_out)]
    return [p for p in pictures if p.looked_at and any(b.brand and brand_key(b.brand) in held for b in p.boxes)]


def as_case(picture: LabelledPicture) -> Case:
    logos = [b for b in picture.boxes if b.kind == "logo"]
    return Case(
        read_picture(picture.path),
        as_boxes([b.box for b in logos if not b.extra and not b.ignore]),
        as_boxes([b.box for b in logos if b.extra and not b.ignore]),
        as_boxes([b.box for b in logos if b.ignore]),
    )


def size_runs(path: Path | None, sizes: Sequence[int], pairs: Sequence[tuple[int, ...]]) -> dict[str, Run]:
    """Each size as a rectangle, where the model takes any, and as a square; then the pairs."""
    detectors: dict[str, Detector] = {}
    for size in sizes:
        one = Detector.load(path, size=size)
        if one.settings.stride is not None:
            detectors[f"{size}"] = one
        square = replace(one.settings, stride=None)
        detectors[f"{size} square"] = Detector(one._session, square, name=one.name, checksum=one.checksum)
    runs = {name: detect_with(detector) for name, detector in detectors.items()}
    for pair in pairs:
        runs["+".join(map(str, pair))] = merged([Detector.load(path, size=size) for size in pair])
    return runs


def detect_with(detector: Detector, **options: Any) -> Run:
    return lambda picture: detector.detect([picture], min_score=LEAST, **options)[0]


def merged(detectors: Sequence[Detector]) -> Run:
    def run(picture: Picture) -> Detections:
        whole = Look(0, 0, picture.width, picture.height)
        found = [(whole, d.detect([picture], min_score=LEAST)[0]) for d in detectors]
        max_iou = detectors[0].settings.max_iou
        return merge(found, picture.width, picture.height, max_iou=max_iou, max_boxes=100)

    return run


def part_runs(detector: Detector) -> dict[str, Run]:
    runs = {}
    for on in (False, True):
        changed = replace(detector.settings, parts=on)
        one = Detector(detector._session, changed, name=detector.name, checksum=detector.checksum)
        runs[f"parts {'pushed down' if on else 'left'}"] = detect_with(one)
    return runs


def view_runs(detector: Detector) -> dict[str, Run]:
    runs = {f"views {views}": detect_with(detector, views=views) for views in VIEWS}
    return runs | {"tiles 2": detect_with(detector, tiles=2)}


def table(runs: dict[str, Run], cases: Sequence[Case], repeats: int) -> dict[str, dict[str, float]]:
    """Figures and milliseconds of each way to detect, printed as they are returned."""
    found: dict[str, list[Detections]] = {name: [] for name in runs}
    seconds = dict.fromkeys(runs, 0.0)
    for run in runs.values():
        run(cases[0].picture)  # warm
    for case in cases:
        least = dict.fromkeys(runs, np.inf)
        for repeat in range(repeats):
            for name, run in runs.items():
                start = time.thread_time()
                answer = run(case.picture)
                least[name] = min(least[name], time.thread_time() - start)
                if not repeat:
                    found[name].append(answer)
        for name in runs:
            seconds[name] += least[name]
    rows = {name: {"ms": round(1000 * seconds[name] / len(cases), 1)} | figures(found[name], cases) for name in runs}
    show(rows)
    return rows


def figures(found: Sequence[Detections], cases: Sequence[Case]) -> dict[str, float]:
    """The four figures of logos."""
    none = as_boxes([])

    def judged(true: Callable[[Case], Boxes], regions: Callable[[Case], Boxes]) -> list[Judged]:
        logos = [np.array([k == "logo" for k in d.kinds], bool) for d in found]
        return [
            Judged(d.boxes[own], d.scores[own], true(c), regions(c))
            for d, own, c in zip(found, logos, cases, strict=True)
        ]

    plain = judged(lambda c: c.source, lambda c: none)
    ignored = judged(lambda c: c.source, lambda c: np.concatenate([c.extra, c.ignored]))
    every = judged(lambda c: np.concatenate([c.source, c.extra]), lambda c: c.ignored)
    values = {
        "plain": ap(plain),
        "ignored": ap(ignored, lenient=True),
        "every": ap(every, lenient=True),
        "recall10": recall_at_10(plain),
    }
    return {name: round(value, 3) for name, value in values.items()}


def turned(detector: Detector, cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """Figures on mirrored and turned copies, boxes mapped back, one look each."""
    rows: dict[str, dict[str, float]] = {}
    for mirrored, turns in VIEWS["all"]:
        found = []
        for case in cases:
            look = Look(0, 0, case.picture.width, case.picture.height, mirrored=mirrored, turns=turns)
            answer = detector.detect([np.ascontiguousarray(look.of(case.picture.pixels))], min_score=LEAST)[0]
            found.append(Detections(look.back(answer.boxes), answer.kinds, answer.scores))
        name = ("mirrored, " if mirrored else "") + (f"turned {90 * turns}" if turns else "upright")
        rows[name] = figures(found, cases)
        rows[name]["of upright"] = round(rows[name]["recall10"] / rows["upright"]["recall10"], 3)
    show(rows)
    return rows


def walls(cases: Sequence[Case], photos: Sequence[Path], *, seed: int = 5) -> list[Case]:
    """Pictures of 4 x 3 cells: two or three measured pictures at half their size, photographs in the other cells.

    Regions to ignore come along; logos that the photographs may show are not known.
    """
    rng = np.random.default_rng(seed)
    order, made = rng.permutation(len(cases)), []
    for start in range(0, len(order), 3):
        canvas = np.full((WALL[1] * CELL, WALL[0] * CELL, 3), 128, np.uint8)
        boxes: list[list[Boxes]] = [[], [], []]
        chosen = order[start : start + 3]
        cells = rng.permutation(WALL[0] * WALL[1])
        for rank, cell in enumerate(cells):
            left, top = (int(cell) % WALL[0]) * CELL, (int(cell) // WALL[0]) * CELL
            photo = read_picture(photos[int(rng.integers(len(photos)))]).pixels
            scale = CELL / min(photo.shape[:2])
            grown = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
            canvas[top : top + CELL, left : left + CELL] = grown[:CELL, :CELL]
            if rank < len(chosen):
                case = cases[int(chosen[rank])]
                scale = CELL / 2 / max(case.picture.width, case.picture.height)
                small = cv2.resize(case.picture.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                high, wide = small.shape[:2]
                x, y = left + int(rng.integers(CELL - wide + 1)), top + int(rng.integers(CELL - high + 1))
                canvas[y : y + high, x : x + wide] = small
                for kept, own in zip(boxes, (case.source, case.extra, case.ignored), strict=True):
                    kept.append(own * np.float32(scale) + np.array([x, y, x, y], np.float32))
        made.append(Case(read_picture(canvas), *(np.concatenate(b) for b in boxes)))
    return made


def tiled(detector: Detector, cases: Sequence[Case], repeats: int) -> dict[str, dict[str, float]]:
    """Recall of every logo by size and false boxes, at the operating point, for each grid of tiles."""
    grids: list[Tiles] = ["off", "auto", 2, 3, 4]
    rows = {}
    points = detector.settings.scores["logo"]
    for tiles in grids:
        seconds, hits, sides, elsewhere = 0.0, [], [], 0
        for case in cases:
            least = np.inf
            for _ in range(repeats):
                start = time.thread_time()
                answer = detector.detect([case.picture], min_score=LEAST, tiles=tiles)[0]
                least = min(least, time.thread_time() - start)
            seconds += least
            logos = answer.boxes[np.array([k == "logo" for k in answer.kinds], bool) & (answer.scores >= points)]
            true = np.concatenate([case.source, case.extra])
            hits.append(iou(true, logos).max(axis=1, initial=0) >= 0.5)
            sides.append(np.sqrt(area(true)))
            known = np.concatenate([true, case.ignored])
            elsewhere += int((iou(logos, known).max(axis=1, initial=0) < 0.3).sum())
        hit, side = np.concatenate(hits), np.concatenate(sides)
        rows[f"tiles {tiles}"] = {"ms": round(1000 * seconds / len(cases), 1)}
        for low, high in ((0, 16), (16, 32), (32, 64), (64, 4000)):
            chosen = (side >= low) & (side < high)
            rows[f"tiles {tiles}"][f"recall {low}-{high} px ({chosen.sum()})"] = round(float(hit[chosen].mean()), 3)
        rows[f"tiles {tiles}"]["boxes elsewhere"] = round(elsewhere / len(cases), 2)
    show(rows)
    return rows


def show(rows: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(rows.values())))
    width = max(len(r) for r in rows) + 2
    print("\n" + " " * width + "  ".join(names))
    for row, values in rows.items():
        cells = [f"{values.get(n, float('nan')):>{max(len(n), 5)}}" for n in names]
        print(row.ljust(width) + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
