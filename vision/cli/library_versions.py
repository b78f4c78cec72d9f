"""`vision library log`, `diff`, `rollback`, `compact` and `touched`: what a library was, and what rested on it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vision.cli.library_common import action, count, results_file, say, show, to_read, to_write
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.library.history import Change
    from vision.library.touched import Touched


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the actions."""
    action(actions, "log", "list the versions of a library", "vision library log --library my-brands", run_log)

    diff = action(
        actions,
        "diff",
        "tell what changed between two versions",
        "vision library diff 3 7 --library my-brands",
        run_diff,
    )
    diff.add_argument("older", type=int, metavar="V1", help="a version of the log")
    diff.add_argument("newer", type=int, nargs="?", metavar="V2", help="a later one (the current one)")

    rollback = action(
        actions,
        "rollback",
        "make a new version that holds what an older one held",
        "vision library rollback 3 --library my-brands",
        run_rollback,
        writes=True,
    )
    rollback.add_argument("version", type=int, metavar="V", help="a version of the log")

    compact = action(
        actions,
        "compact",
        "forget old versions, and make a library small and quick to open",
        "vision library compact --keep 5 --library my-brands",
        run_compact,
        writes=True,
    )
    compact.add_argument(
        "--keep", type=int, default=50, metavar="N", help="versions to keep; 1 forgets all but this (50)"
    )

    touched = action(
        actions,
        "touched",
        "list the verdicts of earlier scans that rested on a reference",
        "vision library touched acme/3 vision-out/results.jsonl",
        run_touched,
        library=False,
    )
    touched.add_argument("reference", metavar="REF", help='a reference ("acme/3"), also one that was removed')
    touched.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="results.jsonl, or folders of scans")
    touched.add_argument("--winners", action="store_true", help="leave out findings in which it was a rival only")


def run_log(args: argparse.Namespace) -> int:
    """List the versions, newest first."""
    entries = to_read(args).log()
    if args.json:
        for entry in entries:
            print(json.dumps(entry.to_dict()))
        return 0
    columns = ("version", "time (UTC)", "by", "brands", "references", "change", "message")
    rows = []
    for entry in entries:
        change = "" if entry.change is None else str(entry.change)
        held = (str(entry.brands), str(entry.references), change, entry.message or "")
        time = (entry.time or "").replace("T", " ").removesuffix("Z")
        rows.append((str(entry.version), time, entry.user or "", *held))
    show(count(len(entries), "version"), columns, rows)
    return 0


def run_diff(args: argparse.Namespace) -> int:
    """Tell what changed between two versions."""
    library = to_read(args)
    newer = library.version if args.newer is None else args.newer
    change = library.diff(args.older, newer)
    if args.json:
        print(json.dumps({"from": args.older, "to": newer, **change.to_dict()}))
        return 0
    print(f"version {args.older} to {newer}: {change}")
    for line in _lines(change):
        print(line)
    return 0


def run_rollback(args: argparse.Namespace) -> int:
    """Go back to an older version."""
    library = to_write(args)
    library.rollback(args.version, message=args.message)
    row = {"version": library.version, "equal_to": args.version, "brands": len(library)}
    say(args, row, f"version {library.version} is as version {args.version} was: {count(len(library), 'brand')}")
    return 0


def run_compact(args: argparse.Namespace) -> int:
    """Forget old versions."""
    library = to_write(args)
    before = _size(args.library)
    library.compact(args.keep, message=args.message)
    after = _size(args.library)
    kept = len(library.log())
    row = {"version": library.version, "versions": kept, "bytes_before": before, "bytes": after}
    say(args, row, f"{count(kept, 'version')} kept; {before / 1e6:.1f} MB are {after / 1e6:.1f} MB now")
    return 0


def run_touched(args: argparse.Namespace) -> int:
    """List the findings that rested on a reference, file by file."""
    if not args.reference.rpartition("/")[2].isdecimal():
        raise UsageError(
            "bad_option", f"{args.reference!r} is no reference", hint='BRAND/NUMBER, as "library show" has it'
        )
    found = list(_touched(args))
    if args.json:
        for results, each in found:
            print(json.dumps({"results": str(results), **each.to_dict()}))
        return 0
    rows = []
    for _, each in found:
        finding = each.finding
        verdict = finding.verdict if finding.brand is None else f"{finding.verdict}: {finding.brand}"
        box = " ".join(f"{edge:.0f}" for edge in finding.box)
        role = "rival" if each.runner_up else "winner"
        rows.append((each.path, box, verdict, f"{finding.probability:.2f}", role))
    columns = ("picture", "box", "verdict", "probability", "role")
    show(f"{args.reference} in {count(len(found), 'finding')}", columns, rows)
    counts = Counter("rivals" if each.runner_up else each.finding.verdict for _, each in found)
    print(", ".join(f"{number} {what}" for what, number in counts.most_common()) or "nothing rested on it")
    return 0


def _touched(args: argparse.Namespace) -> Iterator[tuple[Path, Touched]]:
    from vision.library.touched import touched
    from vision.report.rows import read_rows

    for given in args.results:
        results = results_file(given)
        for each in touched(read_rows(results), args.reference):
            if not (args.winners and each.runner_up):
                yield results, each


def _lines(change: Change) -> Iterator[str]:
    """A line for each id that changed, as in a diff."""
    renamed = dict(zip(change.brands_changed.ids, change.names, strict=False))
    for name, ids in change.parts():
        sign = {"added": "+", "removed": "-"}.get(name.rpartition("_")[2], "~")
        for each in ids.ids:
            old, new = renamed.get(each, ("", "")) if name == "brands_changed" else ("", "")
            yield f"{sign} {name.partition('_')[0][:-1]} {each}" + (f": {old} → {new}" if old != new else "")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
