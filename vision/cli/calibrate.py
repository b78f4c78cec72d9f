"""`vision calibrate`: probabilities and operating point for one's own pictures and library."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path

from vision.cli.library_common import show
from vision.errors import UsageError


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `calibrate` command."""
    parser = commands.add_parser(
        "calibrate",
        help="fit the probabilities to your own pictures",
        description="Fit probability and operating point on labelled pictures of yours and on pictures without a brand, with the "
        "library that you scan with. The folder made is for --verdict. Needs the extra train.",
        epilog="Example: vision calibrate mine.jsonl --brand-free photos --library my-brands --out my-verdict",
    )
    parser.add_argument(
        "labelled", nargs="+", metavar="SET", help="labelled pictures that name brands (see vision datasets)"
    )
    parser.add_argument(
        "--brand-free",
        action="append",
        required=True,
        metavar="FOLDER",
        help="pictures that show no brand of the library; may be repeated",
    )
    parser.add_argument("--library", metavar="DIR", help="brand library (the shipped one)")
    parser.add_argument(
        "--no-rivals", action="store_true", help="brands of the shipped library do not compete, as in a scan with that"
    )
    parser.add_argument("--embedder", metavar="NAME/TAG", help="another open_clip model; the library must match")
    parser.add_argument("--detector", metavar="PATH", help="your own YOLO export (ONNX)")
    parser.add_argument(
        "--least-probability", type=float, default=0.7, metavar="P", help="nothing is named that is less probable (0.7)"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="folds by brand for the figures (5)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the calibration goes")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, and print how true the probabilities are on brands that the fit did not see."""
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UsageError("bad_option", "it is there already", path=str(args.out), hint="another --out")
    if not 0 < args.least_probability < 1:
        raise UsageError("bad_option", f"--least-probability {args.least_probability} is not between 0 and 1")
    if args.folds < 2:
        raise UsageError("bad_option", f"{args.folds} folds hold nothing out", hint="at least 2")
    from vision.training.calibration import train_calibration

    logging.getLogger("vision.training").setLevel(logging.INFO)  # the progress of a long job
    config = {
        "labelled": args.labelled,
        "brand_free": args.brand_free,
        "every": 1,
        "library": args.library,
        "rivals": not args.no_rivals,
        "detector": args.detector,
        "embedder": args.embedder,
        "least_probability": args.least_probability,
        "folds": args.folds,
        "export": str(args.out),
        "command": "vision calibrate",
    }
    with tempfile.TemporaryDirectory(prefix="vision-calibrate-") as scratch:
        made = train_calibration(config, out=Path(scratch))
    figures = json.loads((made / "card.json").read_text(encoding="utf-8"))["figures"]
    if args.json:
        print(json.dumps(figures))
        return 0
    rows = ((n.replace("_", " "), f"{value:g}") for n, value in figures.items() if isinstance(value, int | float))
    show(f"calibration: {made}", ("on brands that the fit did not see", ""), rows)
    return 0
