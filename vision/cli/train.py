"""`vision train`, which `python train.py` is too: weights with a card, from one YAML file."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from vision.errors import UsageError

STAGES = ("detector", "embedder", "copies", "calibration")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `train` command."""
    parser = commands.add_parser(
        "train",
        help="train the detector, the embedder, the encoder of copies or the calibration",
        description="Train one stage from a YAML file and export it with its card into the folder that `export` names. Needs the "
        "extra train.",
        epilog="Example: python train.py detector datasets/detector_tiny.yaml steps=4 --out runs/try",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The arguments of a training."""
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("config", type=Path, metavar="CONFIG.yaml", help="data and settings; see datasets/")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, nested ones with dots")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder with checkpoints, metrics and plots (runs/STAGE)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the run folder")
    parser.add_argument(
        "--replace", action="store_true", help="let `export` be a folder of shipped weights, and replace them"
    )
    parser.add_argument("--json", action="store_true", help="print the card's figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Train, then name the folder that holds the result."""
    from vision.training.config import load_config
    from vision.weights import is_shipped

    logging.getLogger("vision.training").setLevel(logging.INFO)  # the progress of a long job
    config = load_config(args.config, args.changes, stage=args.stage)
    if is_shipped(Path(config["export"])) and not args.replace:
        hint = "export=DIR exports elsewhere, --replace does replace them"
        raise UsageError("bad_option", "these weights are shipped ones", path=config["export"], hint=hint)
    out: Path = args.out or Path("runs") / args.stage
    if args.stage == "detector":
        from vision.training.detector import train_detector

        made = train_detector(config, out=out, resume=args.resume)
    elif args.stage == "embedder":
        from vision.training.embedder import train_embedder

        made = train_embedder({"recipe": args.config.name, **config}, out=out, resume=args.resume)
    elif args.stage == "copies":
        from vision.training.copy_encoder import train_copies

        made = train_copies(config, out=out, resume=args.resume)
    else:
        from vision.training.calibration import train_calibration

        made = train_calibration(config, out=out, resume=args.resume)
    card = json.loads((made / "card.json").read_text(encoding="utf-8"))
    print(json.dumps(card.get("figures", {})) if args.json else f"trained: {made}")
    return 0
