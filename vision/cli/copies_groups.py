"""`vision copies dedup` and `vision copies clusters`: pictures grouped by what they were taken from, as tables and a page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.copies_common import action, described, prepare_out, report, shown
from vision.cli.library_common import count, progress, say, show
from vision.errors import PictureError, UsageError

if TYPE_CHECKING:
    from vision.copies import CopyIndex, Entry
    from vision.geometry import Boxes
    from vision.images.find import Found
    from vision.report.copy_groups import Groups
    from vision.values import Picture, Pixels

LISTED = 20  # groups printed on a terminal; the files have all


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the actions."""
    dedup = action(
        actions,
        "dedup",
        "group the pictures of folders by what they were taken from",
        "vision copies dedup pictures/ --out groups",
        run_dedup,
    )
    dedup.description = (
        "Group the pictures of folders that were taken from one another. Nothing in them is changed or deleted. Writes "
        "groups.jsonl (a row a group), groups.csv (a row a picture), groups.html, a page to look at, and the index that it "
        "made. The file written earliest is the presumed original of its group."
    )
    dedup.add_argument(
        "inputs", nargs="+", metavar="FOLDER", help="folders, files, globs, @list.txt, or - for a list on stdin"
    )
    dedup.add_argument("--out", type=Path, default=Path("copies-out"), metavar="DIR", help="where it goes (copies-out)")
    dedup.add_argument(
        "--resume", action="store_true", help="go on in a folder of an earlier run; what changed since is read again"
    )

    clusters = action(
        actions,
        "clusters",
        "group a whole index by picture, and owners by the pictures they share",
        "vision copies clusters seen-before --out groups",
        run_clusters,
    )
    clusters.add_argument("index", type=Path, metavar="INDEX", help="the index")
    clusters.add_argument("--out", type=Path, metavar="DIR", help="also write tables and a page there")
    clusters.add_argument(
        "--pictures",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="look for the pictures in this folder, too, to show them on the page; may be repeated",
    )
    clusters.add_argument(
        "--shared", type=int, default=2, metavar="N", help="pictures that two owners must share to be grouped (2)"
    )
    for parser in (dedup, clusters):
        parser.add_argument(
            "--format", choices=("csv", "parquet"), default="csv", help="the table of pictures in groups (csv)"
        )
        parser.add_argument("--report", action=argparse.BooleanOptionalAction, default=True, help="write the page (on)")


def run_dedup(args: argparse.Namespace) -> int:
    """Describe the pictures, group them, and write what was found; 1 when some could not be read."""
    from vision.copies import CopyIndex

    place = args.out / "index"
    if args.resume and args.out.is_dir() and any(args.out.iterdir()) and not place.is_dir():
        raise UsageError("bad_option", "this is no run to resume", path=str(args.out), hint="another --out")
    prepare_out(args.out, resume=args.resume)
    index = CopyIndex.open(place) if (place / "copies.json").exists() else CopyIndex.create(place)
    with progress() as tell:
        files, failed = _take_in(args, index, lambda done: tell("pictures", done, done))
        groups = _grouped(index, tell, lambda entry: _logos(entry, [files[entry.id]]))
    counts = {"pictures": len(index), "failed": failed} | groups.counts()
    _write(groups, args, counts, lambda entry: _pixels(entry, [files[entry.id]]), "Copies in these pictures")
    _write_record(args, counts)
    say(args, {"out": str(args.out)} | counts, _told(groups, counts, args))
    return 1 if failed else 0


def run_clusters(args: argparse.Namespace) -> int:
    """Group an index; with --out write it down."""
    from vision.copies import CopyIndex

    if args.shared < 1:
        raise UsageError("bad_option", f"--shared {args.shared}", hint="1 or more")
    index = CopyIndex.open(args.index)
    if args.out is not None:
        prepare_out(args.out)
    with progress() as tell:
        groups = _grouped(index, tell, lambda entry: _logos(entry, _places(entry, args.pictures)), args.shared)
    counts = {"pictures": len(index)} | groups.counts()
    if args.out is not None:
        title = f"Copies in {index.name}"
        _write(groups, args, counts, lambda entry: _pixels(entry, _places(entry, args.pictures)), title)
    if args.json:
        for row in (*groups.rows(), *groups.owner_rows()):
            print(json.dumps(row))
        return 0
    _list(groups)
    print(_told(groups, counts, args))
    return 0


def _take_in(args: argparse.Namespace, index: CopyIndex, tell: Callable[[int], None]) -> tuple[dict[str, Path], int]:
    """Describe what the index does not hold yet, and forget what is no longer there; the files by id, how many failed."""
    from vision.copies import Entry
    from vision.images.find import Finder

    known = {entry.id: entry.time for entry in index.entries(features=False)}
    files: dict[str, Path] = {}
    times: dict[str, str | None] = {}

    def unknown(founds: Iterable[Found]) -> Iterator[Found]:
        for found in founds:
            if found.file is not None:
                files[found.path] = found.file
                times[found.path] = _written(found.file)
                tell(len(files))
                if found.path in known and known[found.path] == times[found.path]:
                    continue
            yield found

    failed: set[str] = set()
    for batch in described(unknown(Finder(args.inputs, leave_out=[args.out]))):
        entries = []
        for found, description in batch:
            if isinstance(description, PictureError):
                failed.add(found.path)
                report(found.path, description)
            else:
                entries.append(Entry.of(description, found.path, None, times[found.path]))
        index.add_entries(entries)
    index.delete_all(id_ for id_ in known if id_ not in files or id_ in failed)
    return files, len(failed)


def _written(file: Path) -> str | None:
    """When a file was last written, the nearest to when it was first seen that a folder can tell; None: now."""
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat().replace("+00:00", "Z")
    except (OSError, OverflowError, ValueError):
        return None


def _grouped(
    index: CopyIndex,
    tell: Callable[[str, int, int], None],
    logos: Callable[[Entry], Boxes],
    shared: int = 2,
) -> Groups:
    from vision.copies.clusters import owner_groups
    from vision.copies.grouping import group_index
    from vision.report.copy_groups import Groups

    found = group_index(index, lambda done, of: tell("pictures compared", done, of), logos)
    owners = owner_groups(found.grouping.clusters, shared)
    return Groups(found.grouping, found.entries, found.claims, owners)


def _write(
    groups: Groups,
    args: argparse.Namespace,
    counts: Mapping[str, int],
    open_pixels: Callable[[Entry], Pixels | None],
    title: str,
) -> None:
    from vision.report.copy_groups import write_groups, write_groups_page

    write_groups(groups, args.out, args.format)
    if args.report:
        spoken = {name.replace("_", " "): number for name, number in counts.items()}
        write_groups_page(
            groups,
            args.out / "groups.html",
            open_pixels=open_pixels,
            counts=spoken,
            title=title,
            table=f"groups.{args.format}",
        )


def _write_record(args: argparse.Namespace, counts: Mapping[str, int]) -> None:
    from vision import __version__
    from vision.files import write_atomically

    record: dict[str, Any] = {"version": __version__, "inputs": list(args.inputs), "counts": dict(counts)}
    write_atomically(args.out / "dedup.json", (json.dumps(record, indent=1) + "\n").encode())


def _places(entry: Entry, folders: Sequence[Path]) -> list[Path]:
    """Where the picture of an id may be: ids are paths, with the owner before them where one was given."""
    own = f"{entry.owner}/"
    names = [entry.id] + ([entry.id.removeprefix(own)] if entry.owner and entry.id.startswith(own) else [])
    within = [folder / Path(name).relative_to(Path(name).anchor) for folder in folders for name in names]
    # a folder given by its own name has rows that begin with that name
    beside = [folder.parent / Path(name).relative_to(Path(name).anchor) for folder in folders for name in names]
    return [*map(Path, names), *within, *beside]


def _logos(entry: Entry, places: Iterable[Path]) -> Boxes:
    """The logos on the picture of an entry; none where it is not to be found."""
    import numpy as np

    from vision.copies import logo_boxes

    picture = _picture(entry, places)
    return np.zeros((0, 4), dtype=np.float32) if picture is None else logo_boxes(picture)


def _pixels(entry: Entry, places: Iterable[Path]) -> Pixels | None:
    picture = _picture(entry, places)
    return None if picture is None else picture.pixels


def _picture(entry: Entry, places: Iterable[Path]) -> Picture | None:
    """The picture of an entry from the first place that has it; None where there is none, or another one by now."""
    from vision.copies.store import DECODE_SIDE
    from vision.images import read_picture

    for place in places:
        try:
            picture = read_picture(place, reduce_to=DECODE_SIDE)
        except (PictureError, ValueError):  # ValueError: an id that is no path
            continue
        if picture.sha256 == entry.sha256:
            return picture
    return None


def _list(groups: Groups) -> None:
    rows = []
    for number, pictures in groups.pictures():
        if number > LISTED:
            break
        owners = groups.grouping.clusters[number - 1].owners
        rows.append((str(number), f"{len(pictures):,}", f"{len(owners):,}", shown(pictures[0].id)))
    if rows:
        show("Pictures", ("group", "pictures", "owners", "presumed original"), rows)
    sharing = [
        (f"{len(found.owners):,}", f"{len(found.clusters):,}", shown(", ".join(found.owners)))
        for found in groups.owner_groups[:LISTED]
    ]
    if sharing:
        show("Owners who share pictures", ("owners", "shared pictures", "who"), sharing)


def _told(groups: Groups, counts: Mapping[str, int], args: argparse.Namespace) -> str:
    told = f"{count(counts['pictures'], 'picture')}, {count(len(groups), 'group')}"
    told += f", {counts['copies']} beside the presumed originals"
    if counts.get("failed"):
        told += f", {counts['failed']} failed"
    if groups.owner_groups:
        told += f", {count(len(groups.owner_groups), 'group')} of owners who share pictures"
    if args.out is not None:
        told += f"\ntable: {args.out / f'groups.{args.format}'}"
        told += f"  page: {args.out / 'groups.html'}" if args.report else ""
    return told
