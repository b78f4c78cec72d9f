"""`vision evaluate`: figures with intervals, from labelled pictures."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.datasets import DATA
from vision.cli.looks import add_looks
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.evaluate.tables import Table

KINDS = ("logo", "product")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `evaluate` command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure on labelled pictures",
        epilog="Example: vision evaluate detector datasets/samples",
    )
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    _register_detector(actions)
    embedder = actions.add_parser(
        "embedder",
        help="brands of true boxes: top-1, top-5 against clean drawings, and against a few photographs",
        description="Looks up the crop of every true box among vector drawings, and among crops of train.jsonl beside it.",
        epilog="Example: vision evaluate embedder flickrlogos27/dev.jsonl",
    )
    embedder.add_argument("data", type=Path, nargs="+", metavar="TRUTH.jsonl")
    embedder.add_argument("--embedder", metavar="NAME/TAG", help="another open_clip model (extra train)")
    embedder.add_argument("--json", action="store_true", help="print the figures as JSON")
    embedder.set_defaults(run=run_embedder)
    library = actions.add_parser(
        "library",
        help="brands of true boxes: top-1, top-5 against a library",
        description="Looks up the crop of every true box whose brand the library holds.",
        epilog="Example: vision evaluate library datasets/samples/truth.jsonl",
    )
    library.add_argument("data", type=Path, nargs="+", metavar="DATA", help=DATA)
    library.add_argument("--library", type=Path, metavar="DIR", help="brand library (the shipped one)")
    library.add_argument("--vectors-only", action="store_true", help="leave out references that came from photographs")
    library.add_argument("--json", action="store_true", help="print the figures as JSON")
    library.set_defaults(run=run_library)


def _register_detector(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    detector = actions.add_parser(
        "detector",
        help="boxes: average precision, recall, false boxes, worst pictures; compare what was tried",
        description="Class-agnostic figures of boxes with 95 % intervals, by set, kind and size, on the whole ranked list and "
        "at the operating point. DIR gets the rows of each set (results.jsonl), figures.json, figures.csv, curves.png, worst.jpg "
        "(truth green, hits blue, false boxes red) and worst.jsonl. Needs the extra evaluate.",
        epilog="Example: vision evaluate detector datasets/samples --out runs/evaluation",
    )
    detector.add_argument(
        "data",
        type=Path,
        nargs="*",
        metavar="DATA",
        help=DATA,
    )
    detector.add_argument(
        "--out",
        type=Path,
        default=Path("runs/evaluate-detector"),
        metavar="DIR",
        help="where rows and figures go, over those of an earlier run (runs/evaluate-detector)",
    )
    detector.add_argument("--kind", choices=["logo", "product", "all"], default="all", help="what is judged (all)")
    detector.add_argument("--detector", metavar="PATH", help="your own YOLO export or model folder (the shipped one)")
    add_looks(detector)
    detector.add_argument(
        "--results", type=Path, metavar="RESULTS.jsonl", help="judge these rows, or an earlier DIR, without detecting"
    )
    detector.add_argument(
        "--photos", type=Path, metavar="FOLDER", help="pictures without brands: what is reported there"
    )
    detector.add_argument("--score", type=float, metavar="S", help="operating point (the model's own)")
    detector.add_argument("--threads", type=int, metavar="N", help="pictures examined at once (one a core)")
    detector.add_argument(
        "--compare", type=Path, nargs="+", metavar="RUN", help="table of runs: folders of trainings and of evaluations"
    )
    detector.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    detector.add_argument("--note", type=Path, metavar="FOLDER", help="keep the main figures in the card of this model")
    detector.add_argument("--json", action="store_true", help="print the figures as JSON")
    detector.set_defaults(run=run_detector)


def run_detector(args: argparse.Namespace) -> int:
    """Measure boxes, or compare what was measured."""
    if args.compare:
        if args.data or args.results or args.photos:
            raise UsageError("bad_option", "--compare takes folders of runs, and nothing else is measured with it")
        from vision.evaluate.compare import compare, tables

        compared = compare(args.compare)
        return _print(compared, tables(compared), args)
    from vision.evaluate.detector import evaluate_detector, write_evaluation
    from vision.evaluate.figures import plain, slices_of
    from vision.evaluate.plots import require_matplotlib
    from vision.evaluate.tables import figure_table

    require_matplotlib()
    if args.note:
        from vision.evaluate.note import note_figures, read_card

        read_card(args.note)  # rather now than after an hour
    detector, looks = None, {}
    if args.results is None:
        from vision.detect import Detector

        detector = Detector.load(args.detector, size=args.size)
        looks = {k: v for k, v in (("tiles", args.tiles), ("views", args.views)) if v != "off"}
    with _progress() as progress:
        evaluation = evaluate_detector(
            args.data,
            args.out,
            detector=detector,
            results=args.results,
            photos=args.photos,
            kinds=KINDS if args.kind == "all" else (args.kind,),
            score=args.score,
            threads=args.threads,
            looks=looks,
            command=shlex.join(["vision", *sys.argv[1:]]),
            progress=progress,
        )
    write_evaluation(evaluation, args.out)
    if args.note:
        note_figures(args.note, evaluation.figures)
    found = plain(evaluation.figures)
    code = _print(found, [figure_table(list(slices_of(found)))] if args.data else [], args)
    if not args.json:
        if args.data:
            print(
                "P / R and false boxes: at the operating point; where unboxed logos are known, on those pictures only"
            )
        for kind, mistakes in found["mistakes"].items():
            told = (f"{name} {', '.join(f'{why} {n:,}' for why, n in own.items())}" for name, own in mistakes.items())
            print(f"{kind} mistakes there: {'; '.join(told)}")
        for kind, photos in found.get("photos", {}).items():
            if kind in KINDS:
                print(
                    f"photos: {photos['boxes_a_picture']:.3f} {kind} boxes a picture from score {photos['score']:.2f} on"
                )
        print(f"figures, curves and worst pictures: {args.out}")
    return code


def _print(figures: dict[str, Any], tables: Sequence[Table], args: argparse.Namespace) -> int:
    """Figures as JSON, or tables; wide ones where output goes to a file."""
    if args.json:
        print(json.dumps(figures))
        return 0
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 220)
    for table in tables:
        if args.markdown:
            print(table.markdown() + "\n")
        else:
            console.print(table.rich(console.width))
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[int], Callable[[int], None]]]:
    """What `evaluate_detector` tells its progress: a bar on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:

        def begin(total: int) -> Callable[[int], None]:
            task = progress.add_task("detect", total=total)
            return lambda done: progress.advance(task, done)

        yield begin


def run_embedder(args: argparse.Namespace) -> int:
    """Measure look-ups by the embedder alone."""
    from vision.embed import Embedder
    from vision.evaluate.embedder import evaluate_embedder
    from vision.library.sources import load_drawings

    return _show(evaluate_embedder(Embedder.load(args.embedder), args.data, load_drawings()), args.json)


def run_library(args: argparse.Namespace) -> int:
    """Measure look-ups."""
    from vision.evaluate.library import evaluate_library
    from vision.library import Library

    library = Library.open(args.library) if args.library else Library.default()
    return _show(evaluate_library(library, args.data, vectors_only=args.vectors_only), args.json)


def _show(figures: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps(figures))
        return 0
    for name, value in figures.items():
        print(f"{name:32} {value:.4f}" if isinstance(value, float) else f"{name:32} {value}")
    return 0
