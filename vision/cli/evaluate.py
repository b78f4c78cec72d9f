"""`vision evaluate`: figures with intervals, from labelled pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `evaluate` command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure on labelled pictures",
        epilog="Example: vision evaluate detector datasets/samples/truth.jsonl",
    )
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    detector = actions.add_parser(
        "detector",
        help="boxes: AP50, AP50-95, recall@10",
        description="Class-agnostic figures of the logo boxes, over the whole ranked list.",
        epilog="Example: vision evaluate detector datasets/samples/truth.jsonl --out runs/evaluation",
    )
    detector.add_argument("data", type=Path, metavar="TRUTH.jsonl")
    detector.add_argument("--detector", metavar="PATH", help="your own YOLO export (the shipped one)")
    detector.add_argument(
        "--out", type=Path, default=Path("runs/evaluate-detector"), metavar="DIR", help="folder for the rows"
    )
    detector.add_argument("--json", action="store_true", help="print the figures as JSON")
    detector.set_defaults(run=run_detector)
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
    library.add_argument("data", type=Path, nargs="+", metavar="TRUTH.jsonl")
    library.add_argument("--library", type=Path, metavar="DIR", help="brand library (the shipped one)")
    library.add_argument("--vectors-only", action="store_true", help="leave out references that came from photographs")
    library.add_argument("--json", action="store_true", help="print the figures as JSON")
    library.set_defaults(run=run_library)


def run_detector(args: argparse.Namespace) -> int:
    """Measure boxes."""
    from vision.detect import Detector
    from vision.evaluate.detector import evaluate_detector

    return _show(evaluate_detector(Detector.load(args.detector), args.data, args.out), args.json)


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
