"""`vision scan`, which `python infer.py` is too: pictures in, one row each out, nothing lost."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vision.cli.copies_common import warn_of_owner
from vision.cli.looks import add_looks
from vision.cli.scan_pages import Drawings, write_report
from vision.cli.scan_resume import alone, now, record_of, seen_index, take_up, write_record
from vision.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vision.copies import ScanIndex
    from vision.images.find import Finder
    from vision.scan import Item, Scanner
    from vision.values import Result

EXAMPLE = "python infer.py datasets/samples --out vision-out"
# Rows reach the disk at least this often, so that a kill loses little; each flush is one system call.
FLUSH_ROWS = 8


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
    parser.add_argument(
        "--owner", metavar="O", help="whose pictures these are; theirs in the index are no sources of copies"
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
    with alone(args), _inputs(args.inputs) as inputs:
        return _scan(args, _scanner(args), inputs)


def _scanner(args: argparse.Namespace) -> Scanner:
    from vision.scan import Scanner

    if args.no_copies and args.copies is not None:
        raise UsageError("bad_option", "--no-copies and --copies exclude each other")
    if args.quick_copies and args.copies is None:
        raise UsageError("bad_option", "--quick-copies is about the index of --copies, and there is none")
    if args.owner is not None and args.copies is None:
        raise UsageError("bad_option", "--owner is about the index of --copies, and there is none")
    scanner = Scanner(
        library=args.library,
        rivals=not args.no_rivals,
        copies=False if args.no_copies else args.copies,
        close_copies=not args.quick_copies,
        owner=args.owner,
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
    if scanner.copies is not None:
        warn_of_owner(scanner.copies, args.owner)
    return scanner


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


def _scan(args: argparse.Namespace, scanner: Scanner, inputs: list[str]) -> int:
    from vision.images.find import Finder
    from vision.report.summary import summarise, summary_table

    rows_path: Path = args.out / "results.jsonl"
    record = record_of(args, scanner)
    finder = Finder(inputs, leave_out=_own(args))
    items = _items(finder)
    done, seen = take_up(args, scanner, rows_path, record, items) if args.resume else (0, None)
    write_record(args.out / "scan.json", record)  # first: with it alone a scan can be gone on with
    if seen is None:
        seen = seen_index(args, scanner)
    interrupted, complete = False, False
    began = time.monotonic()
    try:
        with (
            rows_path.open("ab") as rows,
            _progress(args, inputs, done) as advance,
            Drawings(args, scanner) as drawings,
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
        "ended": now(),
        "counts": summary,
        "skipped": dict(finder.skipped),
    }
    write_record(args.out / "scan.json", record)
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
    drawings: Drawings,
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
    """The other formats and the page, made from the rows and the pictures, so that a resumed scan ends with the same findings."""
    from vision.images.find import Finder
    from vision.report.rows import to_csv, to_parquet

    if args.format == "parquet":
        to_parquet(rows_path, args.out / "results.parquet")
    elif args.format == "csv":
        to_csv(rows_path, args.out / "results.csv")
    if args.report:
        write_report(args, scanner, _items(Finder(inputs, leave_out=_own(args))), rows_path, record)
