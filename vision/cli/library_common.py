"""What the actions of `vision library` share: their options, opening a library, and saying what was done."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vision.embed import EmbedderLike
    from vision.library import Library

# Columns of tables that are read by another program.
PIPED = 200

_EMBED = {"create", "add", "search", "reembed", "import"}


def action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    example: str,
    run: Callable[[argparse.Namespace], int],
    *,
    library: bool = True,
    writes: bool = False,
) -> argparse.ArgumentParser:
    """The parser of one action. library: it works on one. writes: it changes one, with a message for the log."""
    parser = actions.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", epilog=f"Example: {example}"
    )
    if library and name != "create":
        parser.add_argument(
            "--library", type=Path, metavar="DIR", help="the library's folder (the shipped one, to read)"
        )
    if writes:
        parser.add_argument("--message", metavar="TEXT", help="why, for the log")
    if name in _EMBED:
        parser.add_argument(
            "--embedder", metavar="NAME/TAG", help="another open_clip model (extra train); a library keeps to one"
        )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def to_read(args: argparse.Namespace) -> Library:
    """The library to look into: the shipped one, or that of --library."""
    from vision.library import Library

    embedder = embedder_of(args)
    return Library.default(embedder=embedder) if args.library is None else Library.open(args.library, embedder=embedder)


def to_write(args: argparse.Namespace) -> Library:
    """The library to change. Raises UsageError without --library: the shipped one is never changed."""
    from vision.library import Library

    if args.library is None:
        hint = "vision library create my-brands, then --library my-brands"
        raise UsageError("bad_option", "the shipped library is not changed", hint=hint)
    return Library.open(args.library, embedder=embedder_of(args), user=user())


def user() -> str | None:
    """Who runs the command, for the log; None when the system does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user database
        return None


def day(text: str) -> date:
    """A date of the command line, as 2026-01-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2026-01-31") from None


def embedder_of(args: argparse.Namespace) -> EmbedderLike | None:
    """The embedder asked for; None for the shipped one, which a library loads when it needs it."""
    if getattr(args, "embedder", None) is None:
        return None
    from vision.embed import Embedder

    return Embedder.load(args.embedder)


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def results_file(given: Path) -> Path:
    """The rows of a scan, by their file or by its folder. Raises DatasetError (missing)."""
    results = given / "results.jsonl" if given.is_dir() else given
    if not results.is_file():
        raise DatasetError("missing", "no such results", path=str(results))
    return results


def say(args: argparse.Namespace, row: dict[str, Any], text: str) -> None:
    """Print a row as JSON, or what it means as text. JSON is ASCII: names that no encoding explains can be printed, too."""
    print(json.dumps(row) if args.json else text)


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output, names as they are: brackets in them are no markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vision.report.lettering import printable

    table = Table(title=Text(printable(title)), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # a pipe has no width, and 80 columns would break words
    Console(width=None if sys.stdout.isatty() else PIPED).print(table)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=of)
            bars.update(tasks[stage], completed=done)

        yield tell
