"""`vision copies`: remember pictures, find what others were taken from, and decide what stands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vision.cli import copies_groups, copies_index
from vision.cli.copies_common import (
    action,
    described,
    described_one,
    line_of,
    logos_of,
    opened,
    report,
    shown,
    warn_of_owner,
)
from vision.errors import PictureError, UsageError

if TYPE_CHECKING:
    from vision.copies import CopyDescription, Hit
    from vision.images.find import Found
    from vision.values import CopyClaim


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `copies` command."""
    parser = commands.add_parser(
        "copies",
        help="remember pictures and find their copies",
        description="Find out whether pictures were taken from others, also mirrored or turned. No picture is ever deleted.",
        epilog="Example: vision copies compare a.jpg b.jpg",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    add = action(
        actions,
        "add",
        "add pictures to an index",
        "vision copies add pictures/ --index seen-before",
        run_add,
        index="the index; made when it is not there",
    )
    add.add_argument(
        "inputs", nargs="+", metavar="FOLDER", help="folders, files, globs, @list.txt, or - for a list on stdin"
    )
    add.add_argument(
        "--owner", metavar="O", help="whose pictures these are, a seller for instance; their ids begin with it"
    )
    add.add_argument(
        "--time", type=_time, metavar="TIME", help="when they were first seen, as 2026-01-05T10:00:00Z (now)"
    )
    add.add_argument(
        "--meta", action="append", default=[], metavar="KEY=VALUE", help="more to know of them; may be repeated"
    )

    search = action(
        actions,
        "search",
        "find what pictures were taken from",
        "vision copies search new.jpg --index seen-before",
        run_search,
        index="the index",
    )
    search.add_argument(
        "inputs", nargs="+", metavar="IMAGE", help="files, folders, globs, @list.txt, or - for a list on stdin"
    )
    search.add_argument(
        "--radius", type=int, default=31, metavar="BITS", help="Hamming distance of hashes, 0 to 63 (31)"
    )

    search.add_argument("--owner", metavar="O", help="whose pictures these are; theirs in the index are no sources")

    action(
        actions,
        "list",
        "list the pictures of an index",
        "vision copies list --index seen-before",
        run_list,
        index="the index",
    )

    compare = action(actions, "compare", "compare two pictures", "vision copies compare a.jpg b.jpg", run_compare)
    compare.add_argument("image", metavar="A", help="the picture that may be a copy")
    compare.add_argument("other", metavar="B", help="the picture that it may be taken from")
    compare.add_argument(
        "--evidence",
        type=Path,
        metavar="FILE.png",
        help="draw what speaks for a claim: both pictures, and one laid onto the other",
    )
    copies_groups.register(actions)
    copies_index.register(actions)


def run_add(args: argparse.Namespace) -> int:
    """Add pictures under their paths, beside others of the same name; 1 when some could not be read."""
    from vision.copies import Entry
    from vision.images.find import Finder

    metadata = _pairs(args.meta)
    index = opened(args.index)
    read = added = failed = 0
    for batch in described(Finder(args.inputs, leave_out=[args.index])):
        entries = []
        for found, description in batch:
            if isinstance(description, PictureError):
                failed += 1
                report(found.path, description)
            else:
                # two sellers' folders may both be called "images": their pictures are different entries
                name = found.path if args.owner is None else f"{args.owner}/{found.path}"
                entries.append(Entry.of(description, name, args.owner, args.time, metadata))
        read += len(entries)
        added += index.add_entries(entries, beside=True)  # of another crawl, the same name is another picture
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


def _time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not ISO 8601, as 2026-01-05T10:00:00Z is") from None
    return text


def _pairs(given: Sequence[str]) -> dict[str, str]:
    """The keys and values of KEY=VALUE. Raises UsageError for anything else."""
    found = dict(text.split("=", 1) for text in given if text.find("=") > 0)
    if len(found) < len(given):
        raise UsageError("bad_option", f"--meta {' --meta '.join(given)}", hint="KEY=VALUE, each key once")
    return found


def run_search(args: argparse.Namespace) -> int:
    """Search for the sources of pictures; 1 when some could not be read."""
    from vision.copies import CopyIndex
    from vision.images.find import Finder
    from vision.scan import in_order

    index = CopyIndex.open(args.index)
    warn_of_owner(index, args.owner)

    def look(found: Found) -> tuple[Found, CopyDescription | PictureError, list[Hit]]:
        description = described_one(found, close=True)
        if isinstance(description, PictureError):
            return found, description, []
        return (
            found,
            description,
            index.hits(description, args.radius, owner=args.owner, logos=partial(logos_of, found.file)),
        )

    failed = 0
    for found, description, hits in in_order(look, Finder(args.inputs, leave_out=[args.index])):
        if isinstance(description, PictureError):
            failed += 1
            report(found.path, description)
            if args.json:
                error = {"code": description.code, "message": description.message}
                print(json.dumps({"path": found.path, "status": "failed", "error": error, "copies": []}))
            continue
        claims = index.claims_of(hits, description)
        if args.json:
            copies = [claim.to_dict() for claim in claims]
            print(json.dumps({"path": found.path, "status": "ok", "error": None, "copies": copies}))
        else:
            for line in [line_of(claim) for claim in claims] or ["no copy"]:
                print(f"{shown(found.path)}: {line}")
    return 1 if failed else 0


def run_list(args: argparse.Namespace) -> int:
    """List the pictures of an index in the order added."""
    from vision.copies import CopyIndex

    for entry in CopyIndex.open(args.index).entries(features=False):
        if args.json:
            print(json.dumps(entry.to_dict()))
        else:
            owner = f"  {shown(entry.owner)}" if entry.owner else ""
            print(f"{entry.time}  {entry.width}x{entry.height}  {shown(entry.id)}{owner}")
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """Say whether one picture was taken from another; 1 when one could not be read."""
    from vision.copies import compare_copies

    if args.evidence is not None and (args.evidence.suffix.lower() != ".png" or args.evidence.exists()):
        raise UsageError("bad_option", "--evidence names a .png that is not there yet", path=str(args.evidence))
    try:
        claim = compare_copies(args.image, args.other)
    except PictureError as error:
        report(error.path or f"{args.image} or {args.other}", error)
        return 1
    if args.json:
        print(json.dumps({"image": args.image, "copy": None if claim is None else claim.to_dict()}))
    else:
        print("no copy" if claim is None else f"{shown(args.image)}: {line_of(claim)}")
    if args.evidence is not None:
        if claim is None:
            print(f"{shown(str(args.evidence))} is not written: there is no claim to draw", file=sys.stderr)
        else:
            _write_evidence(args, claim)
    return 0


def _write_evidence(args: argparse.Namespace, claim: CopyClaim) -> None:
    import io

    from vision.files import write_atomically
    from vision.images import read_picture
    from vision.report.copies import EVIDENCE_SIDE, evidence

    picture, source = (read_picture(each, reduce_to=EVIDENCE_SIDE) for each in (args.image, args.other))
    data = io.BytesIO()
    evidence(picture, source, claim).save(data, "PNG")
    write_atomically(args.evidence, data.getvalue())
