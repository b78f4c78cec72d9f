"""`vision copies`: remember pictures, and find what others were taken from."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vision.copies import CopyDescription
    from vision.images.find import Found
    from vision.values import CopyClaim

# Pictures that become visible in the index together: each time costs a few milliseconds of syncing, an interruption this many.
BATCH = 256


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `copies` command."""
    parser = commands.add_parser(
        "copies",
        help="remember pictures and find their copies",
        description="Find out whether pictures were taken from others, also mirrored or turned. Nothing is ever deleted.",
        epilog="Example: vision copies compare a.jpg b.jpg",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    add = _action(
        actions, "add", "add pictures to an index", "vision copies add pictures/ --index seen-before", run_add
    )
    add.add_argument(
        "inputs", nargs="+", metavar="FOLDER", help="folders, files, globs, @list.txt, or - for a list on stdin"
    )
    add.add_argument("--index", type=Path, required=True, metavar="DIR", help="the index; made when it is not there")
    add.add_argument(
        "--owner", metavar="O", help="whose pictures these are, a seller for instance; their ids begin with it"
    )

    search = _action(
        actions,
        "search",
        "find what pictures were taken from",
        "vision copies search new.jpg --index seen-before",
        run_search,
    )
    search.add_argument(
        "inputs", nargs="+", metavar="IMAGE", help="files, folders, globs, @list.txt, or - for a list on stdin"
    )
    search.add_argument("--index", type=Path, required=True, metavar="DIR", help="the index")
    search.add_argument(
        "--radius", type=int, default=31, metavar="BITS", help="Hamming distance of hashes, 0 to 63 (31)"
    )

    listing = _action(
        actions, "list", "list the pictures of an index", "vision copies list --index seen-before", run_list
    )
    listing.add_argument("--index", type=Path, required=True, metavar="DIR", help="the index")

    compare = _action(actions, "compare", "compare two pictures", "vision copies compare a.jpg b.jpg", run_compare)
    compare.add_argument("image", metavar="A", help="the picture that may be a copy")
    compare.add_argument("other", metavar="B", help="the picture that it may be taken from")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    example: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", epilog=f"Example: {example}"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.set_defaults(run=run)
    return parser


def run_add(args: argparse.Namespace) -> int:
    """Add pictures under their paths; 1 when some could not be read."""
    from vision.copies import CopyIndex, Entry

    is_new = not args.index.exists() or (args.index.is_dir() and not any(args.index.iterdir()))
    index = CopyIndex.create(args.index) if is_new else CopyIndex.open(args.index)
    read = added = failed = 0
    for batch in _described(args.inputs, leave_out=args.index):
        entries = []
        for found, description in batch:
            if isinstance(description, PictureError):
                failed += 1
                _report(found.path, description)
            else:
                # two sellers' folders may both be called "images": their pictures are different entries
                name = found.path if args.owner is None else f"{args.owner}/{found.path}"
                entries.append(Entry.of(description, name, args.owner))
        read += len(entries)
        added += index.add_entries(entries)
    row = {
        "index": str(args.index),
        "added": added,
        "unchanged": read - added,
        "failed": failed,
        "pictures": len(index),
    }
    if args.json:
        print(json.dumps(row))
    else:
        print(f"{args.index}: {added} added, {read - added} unchanged, {failed} failed, {len(index)} in all")
    return 1 if failed else 0


def run_search(args: argparse.Namespace) -> int:
    """Search for the sources of pictures; 1 when some could not be read."""
    from vision.copies import CopyIndex

    index = CopyIndex.open(args.index)
    failed = 0
    for batch in _described(args.inputs, leave_out=args.index):
        for found, description in batch:
            if isinstance(description, PictureError):
                failed += 1
                _report(found.path, description)
                if args.json:
                    error = {"code": description.code, "message": description.message}
                    print(json.dumps({"path": found.path, "status": "failed", "error": error, "copies": []}))
                continue
            claims = index.search_description(description, args.radius)
            if args.json:
                copies = [asdict(claim) for claim in claims]
                print(json.dumps({"path": found.path, "status": "ok", "error": None, "copies": copies}))
            else:
                for line in [_line(claim) for claim in claims] or ["no copy"]:
                    print(f"{_shown(found.path)}: {line}")
    return 1 if failed else 0


def run_list(args: argparse.Namespace) -> int:
    """List the pictures of an index in the order added."""
    from vision.copies import CopyIndex

    for entry in CopyIndex.open(args.index):
        if args.json:
            print(json.dumps(asdict(entry)))
        else:
            owner = f"  {_shown(entry.owner)}" if entry.owner else ""
            print(f"{entry.time}  {entry.width}x{entry.height}  {_shown(entry.id)}{owner}")
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """Say whether one picture was taken from another; 1 when one could not be read."""
    from vision.copies import compare_copies

    try:
        claim = compare_copies(args.image, args.other)
    except PictureError as error:
        _report(error.path or f"{args.image} or {args.other}", error)
        return 1
    if args.json:
        print(json.dumps({"image": args.image, "copy": None if claim is None else asdict(claim)}))
    else:
        print("no copy" if claim is None else f"{_shown(args.image)}: {_line(claim)}")
    return 0


def _described(
    inputs: list[str], leave_out: Path | None = None
) -> Iterator[list[tuple[Found, CopyDescription | PictureError]]]:
    """All inputs in order, described by as many threads as there are cores, a batch at a time. `leave_out`: a folder of ours."""
    from vision.copies import described
    from vision.images.find import Finder

    def describe(found: Found) -> tuple[Found, CopyDescription | PictureError]:
        if found.error is not None or found.file is None:
            return found, found.error or PictureError("internal", "nothing to read")
        try:
            return found, described(found.file)
        except PictureError as error:
            return found, error

    ours = None if leave_out is None else leave_out.resolve()
    finder = (f for f in Finder(inputs) if ours is None or f.file is None or ours not in f.file.resolve().parents)
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="vision-copies") as pool:
        while batch := list(islice(finder, BATCH)):
            yield list(pool.map(describe, batch))


def _line(claim: CopyClaim) -> str:
    """A claim in words."""
    owner = f" of {_shown(claim.owner)}" if claim.owner else ""
    seen = f", first seen {claim.first_seen}" if claim.first_seen else ""
    how = f"{claim.kind}, {claim.distance} bits apart, probability {claim.probability:.4g}"
    return f"copy of {_shown(claim.source)}{owner} ({how}{seen})"


def _report(path: str, error: PictureError) -> None:
    print(f"{_shown(path)}: [{error.code}] {error.message}", file=sys.stderr)


def _shown(text: str) -> str:
    """A name as it can be printed on one line, whatever a stranger put into it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
