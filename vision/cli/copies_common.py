"""What the actions of `vision copies` share: their parsers, reading pictures by many threads, and how a claim is told."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import PictureError, UsageError, VisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vision.copies import CopyDescription, CopyIndex
    from vision.geometry import Boxes
    from vision.images.find import Found
    from vision.values import CopyClaim

log = logging.getLogger(__name__)

# Pictures that become visible in the index together: each time costs a few milliseconds of syncing, an interruption this many.
BATCH = 256


def action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    example: str,
    run: Callable[[argparse.Namespace], int],
    *,
    index: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of one action. index: what --index names, for those that take it."""
    parser = actions.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", epilog=f"Example: {example}"
    )
    if index is not None:
        parser.add_argument("--index", type=Path, required=True, metavar="DIR", help=index)
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.set_defaults(run=run)
    return parser


def opened(path: Path) -> CopyIndex:
    """The index of a folder; a new one where there is no such folder, or an empty one."""
    from vision.copies import CopyIndex
    from vision.copies.segments import POINTER, is_new

    if is_new(path):
        try:
            return CopyIndex.create(path)
        except UsageError:
            if not (path / POINTER).exists():
                raise
            # another program was quicker
    return CopyIndex.open(path)


def described(
    founds: Iterable[Found],
) -> Iterator[list[tuple[Found, CopyDescription | PictureError]]]:
    """All inputs in order, described by as many threads as there are cores, a batch at a time."""
    from vision.scan import batches, in_order

    yield from batches(in_order(lambda found: (found, described_one(found)), founds), BATCH)


def described_one(found: Found, *, close: bool = False) -> CopyDescription | PictureError:
    """What the index knows of one input, or why it cannot be read. close: as a query."""
    from vision.copies import described

    if found.error is not None or found.file is None:
        return found.error or PictureError("internal", "nothing to read")
    try:
        return described(found.file, close=close)
    except PictureError as error:
        return error
    except VisionError:  # a model that is missing or damaged fails all of them
        raise
    except Exception as error:  # one of a million; the others go on, as in a scan
        log.exception("internal error in %r", found.path)
        return PictureError("internal", f"{type(error).__name__}: {error}")


def logos_of(file: Path | None) -> Boxes:
    """The logos on a picture, as the search for copies asks for them; none on one that is not there any more."""
    import numpy as np

    from vision.copies import DECODE_SIDE, logo_boxes
    from vision.images import read_picture

    try:
        return logo_boxes(read_picture(file, reduce_to=DECODE_SIDE))
    except PictureError:
        return np.zeros((0, 4), dtype=np.float32)


def warn_of_owner(index: CopyIndex, owner: str | None) -> None:
    """Say on standard error that an index has nothing of the owner whose pictures are to be left out: perhaps a slip."""
    if owner is not None and owner not in index.owners:
        print(f"warning: {index.path} has no picture of {shown(owner)}", file=sys.stderr)


def prepare_out(out: Path, *, resume: bool = False) -> None:
    """Make the folder of results. Raises UsageError for a file, and for a folder that holds something unless it goes on."""
    if out.exists() and not out.is_dir():
        raise UsageError("bad_option", "this is a file", path=str(out), hint="--out names a folder")
    if not resume and out.is_dir() and any(out.iterdir()):
        raise UsageError("bad_option", "the folder is not empty", path=str(out), hint="another --out")
    out.mkdir(parents=True, exist_ok=True)


def line_of(claim: CopyClaim) -> str:
    """A claim in words."""
    from vision.copies.claims import CONFIRMED

    owner = f" of {shown(claim.owner)}" if claim.owner else ""
    seen = f", first seen {claim.first_seen}" if claim.first_seen else ""
    how = f"{claim.kind}, {claim.distance} bits apart, probability {claim.probability:.4g}"
    if claim.kind == CONFIRMED:
        how = "confirmed by a person"
    return f"copy of {shown(claim.source)}{owner} ({how}{seen})"


def report(path: str, error: PictureError) -> None:
    """Say on standard error that a picture could not be read."""
    print(f"{shown(path)}: [{error.code}] {error.message}", file=sys.stderr)


def shown(text: str) -> str:
    """A name as it can be printed on one line, whatever a stranger put into it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
