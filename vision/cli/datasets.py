"""`vision datasets`: pictures drawn by recipe, with their ground truth."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `datasets` command."""
    parser = commands.add_parser(
        "datasets",
        help="draw labelled pictures",
        epilog="Example: vision datasets draw datasets/drawn_tiny.yaml --n 20 --out drawn",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    draw = actions.add_parser(
        "draw",
        help="draw pictures by a recipe, with ground truth and a contact sheet",
        description="Draw labelled pictures: images/, truth.jsonl and contact_sheet.jpg. The same seed draws the same pictures. "
        "Needs the extra train.",
        epilog="Example: vision datasets draw datasets/drawn_tiny.yaml --n 20 --out drawn",
    )
    draw.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    draw.add_argument("--n", type=int, default=500, metavar="N", help="how many pictures (500)")
    draw.add_argument("--seed", type=int, default=0, metavar="S", help="which pictures (0)")
    draw.add_argument("--out", type=Path, required=True, metavar="DIR", help="where pictures and truth go")
    draw.set_defaults(run=run_draw)


def run_draw(args: argparse.Namespace) -> int:
    """Draw a set."""
    from vision.training.config import load_config
    from vision.training.draw import draw_set

    draw_set(load_config(args.recipe), args.n, args.seed, args.out)
    print(args.out)
    return 0
