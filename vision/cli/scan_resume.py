"""What makes a scan one that can be gone on with: its folder, the record of what decides its rows, and taking it up again."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.scan_pages import Drawings
from vision.errors import UsageError
from vision.files import LOCK, write_atomically

if TYPE_CHECKING:
    from vision.copies import ScanIndex
    from vision.scan import Item, Scanner
    from vision.values import Result

SCAN_SCHEMA = "vision.scan/1"
CHANGED = 5  # so many pictures that changed are told by name
SEEN = ".seen"  # what was kept of the pictures for the search for copies, until the scan is complete


@contextmanager
def alone(args: argparse.Namespace) -> Iterator[None]:
    """The folder of results, for this scan only: refused when it holds something, unless that scan is to go on."""
    from filelock import FileLock, Timeout

    out: Path = args.out
    if out.exists() and not out.is_dir():
        raise UsageError("bad_option", "this is a file", path=str(out), hint="--out names a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            "bad_option", f"cannot be made: {error.strerror}", path=str(out), hint="--out names a folder"
        ) from None
    try:
        with FileLock(out / LOCK, timeout=0):
            try:
                if not args.resume and _holds_something(out):
                    hint = "another --out, or --resume to go on with the same scan"
                    raise UsageError("bad_option", "the folder is not empty", path=str(out), hint=hint)
                yield
            finally:
                with suppress(OSError):  # Windows keeps open files, and takes this one away itself
                    (out / LOCK).unlink()
    except Timeout:
        raise UsageError("bad_option", "another scan writes here", path=str(out), hint="another --out") from None


def _holds_something(out: Path) -> bool:
    """Whether anything is there beside the lock and what a scan leaves that was killed as it began."""
    return any(path.name != LOCK and not path.name.startswith(".scan.json.") for path in out.iterdir())


def settings_of(args: argparse.Namespace, scanner: Scanner) -> dict[str, Any]:
    """What decides the rows; a resumed scan must have the same."""
    return {
        "false_alarms": args.false_alarms,
        "threshold": scanner.operating_point.threshold,
        "min_score": scanner.min_score,
        "size": scanner.detector.settings.size,
        "tiles": scanner.tiles,
        "views": scanner.views,
        "max_pixels": args.max_pixels,
        "find_copies": scanner.find_copies,
        "text": args.text,
        "watch": None if scanner.watched is None else sorted(scanner.watched),
        "library": args.library,
        "rivals": scanner.searched is not scanner.library,
        "copies": args.copies,
        "close_copies": scanner.close_copies,
        "owner": scanner.owner,
        "inputs": list(args.inputs),
    }


def record_of(args: argparse.Namespace, scanner: Scanner) -> dict[str, Any]:
    """What `scan.json` says of a scan that begins."""
    import platform
    from importlib.metadata import distributions

    from vision import __version__

    # what runs onnxruntime, faiss and OpenCV goes by several names: with or without a GPU, with or without windows
    packages = ("numpy", "pillow", "onnxruntime", "faiss", "opencv", "simplejpeg")
    # a package that was half removed has no name
    versions = {d.name.lower(): d.version for d in distributions() if d.name and d.name.lower().startswith(packages)}
    return {
        "schema": SCAN_SCHEMA,
        "status": "running",
        "versions": {"vision": __version__, "python": platform.python_version()} | dict(sorted(versions.items())),
        "settings": settings_of(args, scanner),
        "checksums": dict(scanner.checksums),
        "started": now(),
    }


def now() -> str:
    """The time, as records tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a record, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def seen_index(args: argparse.Namespace, scanner: Scanner) -> ScanIndex | None:
    """What later pictures are compared with: kept until the scan is complete, so that it can be gone on with."""
    from vision.copies import ScanIndex

    return ScanIndex(args.out / SEEN) if scanner.find_copies else None


def take_up(
    args: argparse.Namespace,
    scanner: Scanner,
    rows_path: Path,
    record: dict[str, Any],
    items: Iterator[Item],
) -> tuple[int, ScanIndex | None]:
    """Go on where an earlier scan stopped: cut a torn row, check that nothing changed, remember its pictures; rows done."""
    from vision.report.rows import complete_rows, read_rows

    scan_path: Path = args.out / "scan.json"
    if not scan_path.is_file():
        if _holds_something(args.out):
            raise UsageError(
                "bad_option", "no scan.json: this is no scan to resume", path=str(args.out), hint="another --out"
            )
        return 0, None
    try:
        before = json.loads(scan_path.read_bytes())
        before = {section: dict(before[section]) for section in ("settings", "checksums")} | {
            "started": before["started"]
        }
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            "bad_option", "this is no record of a scan", path=str(scan_path), hint="another --out"
        ) from None
    _check_same(before, record, args.out)
    record["started"] = before["started"]
    if not rows_path.is_file():
        return 0, None
    count, offset = complete_rows(rows_path)
    with rows_path.open("r+b") as rows:
        rows.truncate(offset)
    seen = seen_index(args, scanner)
    changed: list[str] = []
    missing = Drawings(args, scanner)
    with missing:
        for number, result in enumerate(read_rows(rows_path)):
            if scanner.copies is not None:
                scanner.copies.remember(result)
            item = next(items, None)
            if item is None or item.path != result.path:
                raise UsageError(
                    "bad_option",
                    f"row {number} is {result.path!r}, which the inputs no longer have there",
                    hint="another --out",
                )
            if _was_changed(item, result, since=before["started"]):
                changed.append(result.path)
            if seen is not None and result.status == "ok":
                seen.add_row(result, partial(scanner.describe, item))
            missing.catch_up(number, result, item)
    _tell_changed(changed)
    return count, seen


def _check_same(before: dict[str, Any], record: dict[str, Any], out: Path) -> None:
    """Raise UsageError when a scan that is to go on would now give other rows."""
    for section in ("settings", "checksums"):
        both = before[section].keys() | record[section].keys()
        other = sorted(k for k in both if before[section].get(k) != record[section].get(k))
        if other:  # what one of the two does not name, and the other has as null, is as it was
            raise UsageError(
                "bad_option",
                f"{', '.join(other)} changed since this scan began",
                path=str(out),
                hint="another --out",
            )


def _tell_changed(changed: Sequence[str]) -> None:
    for path in changed[:CHANGED]:
        print(f"warning: {path!r} changed since this scan read it; its row is of what was there", file=sys.stderr)
    if len(changed) > CHANGED:
        print(f"warning: so did {len(changed) - CHANGED} more", file=sys.stderr)


def _was_changed(item: Item, result: Result, since: str) -> bool:
    """Whether a file is another one than its row tells of. Only files written or moved since the scan began are read for that."""
    from vision.weights import digest

    if item.source is None or result.sha256 is None:
        return False
    try:
        file = Path(item.source)
        status = file.stat()
        written = datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)
        return written >= datetime.fromisoformat(since) and digest(file) != result.sha256
    except (OSError, ValueError, TypeError):  # gone, out of reach, or a record without a time: what it was stays told
        return False
