"""`vision weights`: what models are here, and making one of a user's own training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `weights` command."""
    parser = commands.add_parser(
        "weights",
        help="check models, import your own",
        epilog="Example: vision weights check",
        description="Models and their cards.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check", help="verify every model file against the manifest", epilog="Example: vision weights check --json"
    )
    check.add_argument("--json", action="store_true", help="print names and checksums as JSON")
    check.set_defaults(run=run_check)
    take = actions.add_parser(
        "import",
        help="make a detector of an ultralytics .pt",
        description="Export your own YOLO training to ONNX, for --detector. A .pt is a pickle and runs code when it is opened: "
        "only import one that you trust. Needs the extra train.",
        epilog="Example: vision weights import best.pt --out my-detector --trust-pickle",
    )
    take.add_argument("model", type=Path, metavar="MODEL.pt")
    take.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for model.onnx, model.safetensors and card.json"
    )
    take.add_argument("--image-size", type=int, metavar="PX", help="input size (the one that the model was trained at)")
    take.add_argument("--trust-pickle", action="store_true", help="I trust this file to run code")
    take.set_defaults(run=run_import)
    build = actions.add_parser(
        "build",
        help="make a shipped model again from what others published",
        description="Make the reader's two networks (weights/text) again from the package that publishes them. Needs the extra "
        "train, and fonts to draw calibration words with.",
        epilog="Example: vision weights build text --out my-reader --wheel rapidocr-3.10.0-py3-none-any.whl",
    )
    build.add_argument("model", choices=["text"], help="text: detector and recogniser of lines, PP-OCRv6 small")
    build.add_argument(
        "--out", type=Path, default=Path("weights/text"), metavar="DIR", help="model folder (weights/text)"
    )
    build.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="a rapidocr wheel, 3.9.0 or later (default: the installed package, else one that pip fetches)",
    )
    build.set_defaults(run=run_build)


def run_check(args: argparse.Namespace) -> int:
    """Verify all shipped files; the first wrong one is the error."""
    from vision import weights

    root = weights.shipped()
    manifest = weights.read_manifest(root)
    for name, expected in manifest.items():
        weights.verify(root / name, expected)
    print(
        json.dumps(manifest) if args.json else "\n".join(f"{digest[:16]}  {name}" for name, digest in manifest.items())
    )
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Export one .pt."""
    from vision.training.export import import_weights

    made = import_weights(args.model, args.out, trust_pickle=args.trust_pickle, image_size=args.image_size)
    print(made)
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Make one model again."""
    from vision.training.text import build_text

    print(build_text(args.out, wheel=args.wheel))
    return 0
