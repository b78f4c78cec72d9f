"""`vision scan`, which `python infer.py` is too: pictures in, one row each out, nothing lost."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vision.cli.looks import add_looks
from vision.errors import LibraryError, PictureError, UsageError
from vision.files import LOCK

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vision.copies import ScanIndex
    from vision.images.find import Finder
    from vision.scan import Item, Scanner
    from vision.values import Picture, Result

log = logging.getLogger(__name__)

EXAMPLE = "python infer.py datasets/samples --out vision-out"
SCAN_SCHEMA = "vision.scan/1"
# Rows reach the disk at least this often, so that a kill loses little; each flush is one system call.
FLUSH_ROWS = 8
HEAT_MAPS = "heat-maps"  # their folder, beside the overlays
SEEN = ".seen"  # what was kept of the pictures for the search for copies, until the scan is complete
PAGE_SIDE = 640  # the page shows pictures at up to 480 px, and crops of them


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `scan` command."""
    parser = commands.add_parser(
        "scan",
        help="find brands and copies in pictures",
        description="Find logos, products, brands and copied pictures. One JSON row a picture, overlays and an HTML page.",
        epilog=f"Example: {EXAMPLE}",
    )
    add_options(parser)
    parser.set_defaults(run=run, explain=parser.print_help)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a scan."""
    yes_no = argparse.BooleanOptionalAction
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="files, folders, globs, @list.txt, or - for a list on stdin"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("vision-out"), metavar="DIR", help="where results go (vision-out)"
    )
    parser.add_argument("--library", metavar="DIR", help="brand library (the shipped one)")
    parser.add_argument(
        "--no-rivals",
        action="store_true",
        help="only the brands of --library compete; otherwise those of the shipped one do too, and are never named",
    )
    parser.add_argument("--copies", metavar="DIR", help="copy index to search, besides the scanned files themselves")
    parser.add_argument(
        "--quick-copies",
        action="store_true",
        help="search the index as coarsely as the scanned files: much faster, but small insets are missed",
    )
    parser.add_argument("--no-copies", action="store_true", help="do not search for copies")
    parser.add_argument("--detector", metavar="PATH", help="your own YOLO export (ONNX)")
    add_looks(parser)
    parser.add_argument(
        "--embedder", metavar="NAME/TAG", help="another open_clip model (extra train); the library must match"
    )
    parser.add_argument(
        "--text",
        choices=("auto", "always", "off"),
        default="auto",
        help="read names: where pictures alone leave a doubt, wherever letters could be, never (auto)",
    )
    parser.add_argument("--watch", metavar="FILE", help="name only the brands of this file or of the library's list")
    parser.add_argument("--verdict", metavar="DIR", help="a calibration of your own (vision calibrate)")
    parser.add_argument(
        "--false-alarms",
        type=float,
        default=0.01,
        metavar="RATE",
        help="share of brand-free pictures that may carry a known brand (0.01); nothing is named under 0.7, however many may",
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="S",
        help="keep detections from this score on (the detector's operating point, and lower ones that carry a known brand)",
    )
    parser.add_argument(
        "--max-pixels", type=int, default=100_000_000, metavar="N", help="larger pictures fail unread (100 million)"
    )
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:i (auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="workers (one a core)")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="pictures that a worker takes at once (4)")
    parser.add_argument("--resume", action="store_true", help="go on after the last complete row of DIR")
    parser.add_argument("--overlays", action=yes_no, default=True, help="pictures with boxes drawn")
    parser.add_argument("--report", action=yes_no, default=True, help="one HTML page")
    parser.add_argument(
        "--heat-maps",
        action="store_true",
        help="show which parts of each known or ambiguous finding carry it (some 0.1 s of one core each)",
    )
    parser.add_argument(
        "--format", choices=("jsonl", "parquet", "csv"), default="jsonl", help="results besides results.jsonl"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Scan, and answer 0 when all pictures were read, 1 when some failed."""
    if not args.inputs:
        args.explain()
        return 2
    with _alone(args), _inputs(args.inputs) as inputs:
        return _scan(args, _scanner(args), inputs)


def _scanner(args: argparse.Namespace) -> Scanner:
    from vision.scan import Scanner

    if args.no_copies and args.copies is not None:
        raise UsageError("bad_option", "--no-copies and --copies exclude each other")
    if args.quick_copies and args.copies is None:
        raise UsageError("bad_option", "--quick-copies is about the index of --copies, and there is none")
    return Scanner(
        library=args.library,
        rivals=not args.no_rivals,
        copies=False if args.no_copies else args.copies,
        close_copies=not args.quick_copies,
        detector=args.detector,
        size=args.size,
        tiles=args.tiles,
        views=args.views,
        embedder=args.embedder,
        text=args.text,
        verdict=args.verdict,
        watch=args.watch,
        device=args.device,
        threads=args.threads,
        batch=args.batch,
        false_alarms=args.false_alarms,
        min_score=args.min_score,
        max_pixels=args.max_pixels,
    )


@contextmanager
def _alone(args: argparse.Namespace) -> Iterator[None]:
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


@contextmanager
def _inputs(given: list[str]) -> Iterator[list[str]]:
    """The inputs with a list on standard input spooled to a file: it is read twice, once to count."""
    if "-" not in given:
        yield given
        return
    with tempfile.NamedTemporaryFile(prefix="vision-list-") as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
        yield [f"@{spool.name}" if name == "-" else name for name in given]


def _settings(args: argparse.Namespace, scanner: Scanner) -> dict[str, Any]:
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
        "inputs": list(args.inputs),
    }


def _scan(args: argparse.Namespace, scanner: Scanner, inputs: list[str]) -> int:
    from vision.images.find import Finder
    from vision.report.summary import summarise, summary_table

    rows_path: Path = args.out / "results.jsonl"
    record = _record(args, scanner)
    finder = Finder(inputs, leave_out=_own(args))
    items = _items(finder)
    done, seen = _take_up(args, scanner, rows_path, record, items) if args.resume else (0, None)
    _write_json(args.out / "scan.json", record)  # first: with it alone a scan can be gone on with
    if seen is None:
        seen = _seen(args, scanner)
    interrupted, complete = False, False
    began = time.monotonic()
    try:
        with (
            rows_path.open("ab") as rows,
            _progress(args, inputs, done) as advance,
            _Drawings(args, scanner) as drawings,
        ):
            _write_rows(scanner, items, seen, rows, advance, drawings, done)
        complete = True
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if seen is not None:
            seen.close(forget=complete)
    from vision.report.rows import read_rows

    summary = summarise(read_rows(rows_path), seconds=time.monotonic() - began, earlier=done)
    record |= {
        "status": "interrupted" if interrupted else "complete",
        "ended": _now(),
        "counts": summary,
        "skipped": dict(finder.skipped),
    }
    _write_json(args.out / "scan.json", record)
    if interrupted:
        print(f"interrupted: {summary['pictures']} whole rows in {rows_path}; --resume goes on", file=sys.stderr)
        return 130
    _finish(args, scanner, inputs, rows_path, record)
    if not summary["pictures"]:
        print("warning: the inputs hold no pictures", file=sys.stderr)
    if args.json:
        print(json.dumps(record["counts"]))
    else:
        from rich.console import Console

        Console().print(summary_table(summary))
        print(f"rows: {rows_path}" + (f"  page: {args.out / 'report.html'}" if args.report else ""))
    return 1 if summary["failed"] else 0


def _write_rows(
    scanner: Scanner,
    items: Iterator[Item],
    seen: ScanIndex | None,
    rows: BinaryIO,
    advance: _Advance,
    drawings: _Drawings,
    done: int,
) -> None:
    from vision.report.rows import write_row

    stream = scanner.stream(items, seen)
    try:
        for number, examined in enumerate(stream, done):
            rows.write(write_row(examined.result))
            if number % FLUSH_ROWS == 0:
                rows.flush()
            drawings.add(number, examined.result, examined.picture)
            advance(examined.result)
    finally:
        stream.close()  # type: ignore[attr-defined]  # a generator: its workers end before the rows are counted


def _own(args: argparse.Namespace) -> list[Path]:
    """Folders whose pictures are ours: overlays, and what libraries and indexes keep."""
    return [Path(folder) for folder in (args.out, args.library, args.copies) if folder is not None]


def _items(finder: Finder) -> Iterator[Item]:
    from vision.scan import Item

    return (Item(found.path, found.file, found.error) for found in finder)


def _seen(args: argparse.Namespace, scanner: Scanner) -> ScanIndex | None:
    """What later pictures are compared with: kept until the scan is complete, so that it can be gone on with."""
    from vision.copies import ScanIndex

    return ScanIndex(args.out / SEEN) if scanner.find_copies else None


def _take_up(
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
    for section in ("settings", "checksums"):
        if before[section] != record[section]:
            both = before[section].keys() | record[section].keys()
            changed = sorted(k for k in both if before[section].get(k) != record[section].get(k))
            raise UsageError(
                "bad_option",
                f"{', '.join(changed)} changed since this scan began",
                path=str(args.out),
                hint="another --out",
            )
    record["started"] = before["started"]
    if not rows_path.is_file():
        return 0, None
    count, offset = complete_rows(rows_path)
    with rows_path.open("r+b") as rows:
        rows.truncate(offset)
    seen = _seen(args, scanner)
    missing = _Drawings(args, scanner)
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
            if seen is not None and result.status == "ok":
                seen.add_row(result, partial(scanner.describe, item))
            missing.catch_up(number, result, item)
    return count, seen


class _Drawings:
    """Overlays and heat maps made beside the scan, at most a few waiting, so that memory stays flat."""

    def __init__(self, args: argparse.Namespace, scanner: Scanner) -> None:
        self.overlays: Path | None = args.out / "overlays" if args.overlays else None
        self.heat_maps: Path | None = args.out / HEAT_MAPS if args.heat_maps else None
        self.scanner = scanner
        # an overlay is drawn in the time that a picture takes to be examined by many threads; heat maps are not
        threads = scanner.threads if args.heat_maps else 1
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="vision-drawing")
        self.waiting: list[Future[None]] = []

    def __enter__(self) -> _Drawings:
        for folder in (self.overlays, self.heat_maps):
            if folder is not None:
                folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._settle(0)
        self.pool.shutdown()

    def add(self, number: int, result: Result, picture: Picture | None) -> None:
        """Draw what is wanted of one row, soon."""
        if picture is None or (self.overlays is None and self.heat_maps is None):
            return
        self._settle(16)
        self.waiting.append(self.pool.submit(self._draw, number, result, picture))

    def catch_up(self, number: int, result: Result, item: Item) -> None:
        """Draw what an earlier run, which wrote this row, did not come to draw; nothing when its picture is gone since."""
        if result.status != "ok" or all(path.is_file() for path in self._paths(number, result)):
            return
        from vision.images import read_picture
        from vision.scan import DECODE_SIDE

        if item.error is not None:
            return
        try:
            picture = read_picture(item.source, max_pixels=self.scanner.max_pixels, reduce_to=DECODE_SIDE)
        except PictureError:
            return
        self.add(number, result, picture)

    def _draw(self, number: int, result: Result, picture: Picture) -> None:
        from vision.report.heat import heat_map_name, save_heat_map
        from vision.report.overlay import overlay_name, save_overlay

        if self.overlays is not None:
            save_overlay(self.overlays / overlay_name(number, result.path), picture.pixels, result)
        if self.heat_maps is None:
            return
        for place in _explained(result):
            heat = self.scanner.heat_map(picture, result.findings[place])
            if heat is not None:
                save_heat_map(self.heat_maps / heat_map_name(number, result.path, place), heat)

    def _paths(self, number: int, result: Result) -> list[Path]:
        from vision.report.heat import heat_map_name
        from vision.report.overlay import overlay_name

        overlays = [] if self.overlays is None else [self.overlays / overlay_name(number, result.path)]
        if self.heat_maps is None:
            return overlays
        return overlays + [self.heat_maps / heat_map_name(number, result.path, p) for p in _explained(result)]

    def _settle(self, at_most: int) -> None:
        while len(self.waiting) > at_most:
            self.waiting.pop(0).result()


def _explained(result: Result) -> list[int]:
    """The places of the findings that heat maps are made of: those with brands named and a reference to compare with."""
    return [
        place
        for place, finding in enumerate(result.findings)
        if finding.verdict != "unknown" and finding.candidates and finding.candidates[0].reference is not None
    ]


class _Advance:
    """Counts rows on a progress bar, where there is one."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self.progress, self.task, self.failed = progress, task, 0

    def __call__(self, result: Result) -> None:
        self.failed += result.status == "failed"
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, advance=1, failed=self.failed)


@contextmanager
def _progress(args: argparse.Namespace, inputs: list[str], done: int) -> Iterator[_Advance]:
    """A bar with rate, time left and failures, on a terminal only. The total is counted beside the scan."""
    if not sys.stderr.isatty():
        yield _Advance()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from vision.images.find import Finder

    class _Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:.1f}/s")

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("scan", total=None, completed=done, failed=0)

        def count() -> None:
            progress.update(task, total=sum(1 for _ in Finder(inputs, leave_out=_own(args))))

        threading.Thread(target=count, daemon=True).start()
        yield _Advance(progress, task)


def _finish(
    args: argparse.Namespace, scanner: Scanner, inputs: list[str], rows_path: Path, record: dict[str, Any]
) -> None:
    """The other formats and the page, made from the rows and the pictures, so that a resumed scan ends with the same ones."""
    from vision.report.rows import to_csv, to_parquet

    if args.format == "parquet":
        to_parquet(rows_path, args.out / "results.parquet")
    elif args.format == "csv":
        to_csv(rows_path, args.out / "results.csv")
    if args.report:
        _page(args, scanner, inputs, rows_path, record)


def _page(
    args: argparse.Namespace, scanner: Scanner, inputs: list[str], rows_path: Path, record: dict[str, Any]
) -> None:
    from vision.images import read_picture
    from vision.report.heat import heat_map_name
    from vision.report.overlay import overlay_name
    from vision.report.page import write_page
    from vision.report.rows import read_rows
    from vision.values import Pixels

    def open_pixels(source: Any, result: Result) -> Pixels | None:
        """Null when it is gone or another one since the scan: its card says so."""
        if source is None:
            return None
        try:
            picture = read_picture(source, max_pixels=args.max_pixels, reduce_to=PAGE_SIDE)
        except PictureError:
            return None
        return picture.pixels if picture.sha256 == result.sha256 else None

    def link(number: int, result: Result) -> str | None:
        return f"overlays/{overlay_name(number, result.path)}" if args.overlays else None

    def thumbnail(reference: str) -> bytes | None:
        try:
            return scanner.searched.thumbnail(reference)
        except LibraryError as error:  # its vector is whole, or the library would not have been opened
            log.warning("%s", error)
            return None

    def artwork(brand: str) -> bytes | None:
        references = scanner.searched.references(brand)
        pictures = map(thumbnail, (r.id for r in sorted(references, key=lambda r: r.kind != "drawing")))
        return next((picture for picture in pictures if picture), None)

    def heat_map(number: int, result: Result, place: int) -> Pixels | None:
        path = args.out / HEAT_MAPS / heat_map_name(number, result.path, place)
        return read_picture(path).pixels if args.heat_maps and path.is_file() else None

    from vision.images.find import Finder

    write_page(
        (
            (row, partial(open_pixels, source, row))
            for row, source in _with_sources(read_rows(rows_path), _items(Finder(inputs, leave_out=_own(args))))
        ),
        args.out / "report.html",
        open_pixels=lambda opened: opened(),
        thumbnail=thumbnail,
        artwork=artwork,
        heat_map=heat_map,
        summary=record["counts"],
        details={name: record[name] for name in ("settings", "versions", "checksums")},
        link=link,
        title="Brands and copies found",
    )


def _with_sources(rows: Iterator[Result], items: Iterator[Item]) -> Iterator[tuple[Result, Any]]:
    """Each row with what to open for it, null where the inputs no longer have it: files come and go while others are scanned.

    Both are in the order of their paths.
    """
    from vision.images.find import path_order

    item = next(items, None)
    for row in rows:
        while item is not None and path_order(item.path) < path_order(row.path):
            item = next(items, None)
        yield row, item.source if item is not None and item.path == row.path else None


def _record(args: argparse.Namespace, scanner: Scanner) -> dict[str, Any]:
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
        "settings": _settings(args, scanner),
        "checksums": dict(scanner.checksums),
        "started": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from vision.files import write_atomically

    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
