"""How a detector looks at pictures: options that scans and evaluations share."""

from __future__ import annotations

import argparse


def add_looks(parser: argparse.ArgumentParser) -> None:
    """Add `--size`, `--tiles` and `--views`."""
    parser.add_argument(
        "--size", type=int, metavar="N", help="longest side of the detector's input, a multiple of 32 (the model's own)"
    )
    parser.add_argument(
        "--tiles",
        type=_tiles,
        default="off",
        metavar="auto|off|N",
        help="look for small marks in tiles too: in large pictures (auto), in N x N tiles (2: 5 times the detector's time, "
        "3: 10, 4: 17; auto: at most 17), with more false boxes (off)",
    )
    parser.add_argument(
        "--views",
        choices=("off", "flip", "turns", "all"),
        default="off",
        help="look at everything mirrored too (flip: 2 times the detector's time), turned by quarters (turns: 4) or both "
        "(all: 8) (off)",
    )


def _tiles(text: str) -> int | str:
    if text in ("auto", "off"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, off or a number")
    return int(text)
