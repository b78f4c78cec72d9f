"""The `vision` command: one parser, one file for each subcommand, one place that turns errors into exit codes.

0 done; 1 some pictures failed (their rows say why); 2 wrong usage; 3 a model, library, index or package is missing or damaged,
or the disk is full; 70 a fault of this program, with its traceback; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from vision import __version__
from vision.cli import calibrate, copies, datasets, evaluate, library, scan, train, weights
from vision.errors import UsageError, VisionError

log = logging.getLogger(__name__)

INTERRUPTED = 130
READER_LEFT = 141  # what shells tell of a program that SIGPIPE ended
FAULT = 70  # EX_SOFTWARE of sysexits.h: 1, Python's own, would say that rows of failed pictures tell more


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Nothing heavy is imported for it, so `--help` is quick."""
    parser = argparse.ArgumentParser(
        prog="vision",
        description="Find logos and products in pictures, name the brand with a calibrated probability, flag copied pictures.",
        epilog="Example: vision scan datasets/samples --out vision-out",
    )
    parser.add_argument("--version", action="version", version=f"vision {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for room in (scan, library, copies, calibrate, datasets, train, evaluate, weights):
        room.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    parser = build_parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        parser.print_help()
        return 2
    args = parser.parse_args(given)
    try:
        code: int = args.run(args)
    except VisionError as error:
        print(f"error [{error.code}]: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output left, as `| head` does: no reason for a traceback, here or when Python closes stdout, but what
        # was not done by then is not done
        sys.stdout = None
        return READER_LEFT
    except (
        OSError
    ) as error:  # a place that cannot be read or written; what pictures and models raise is told apart above
        return _tell(error, args.command)
    return code


def _tell(error: OSError, command: str) -> int:
    if error.filename is None:  # writing failed half-way: no space, a quota, a disk that went away
        what_next = "; --resume goes on" if command == "scan" else ""
        print(f"error: {error.strerror or error}{what_next}", file=sys.stderr)
        return VisionError.exit_code
    print(f"error [bad_path]: {error.strerror}: {os.fsdecode(error.filename)}", file=sys.stderr)
    return UsageError.exit_code


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def entry(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script: `main`, then exit. A polite kill (SIGTERM) ends a scan as Ctrl-C does, with whole rows."""
    # Workers are the parallelism here: OpenBLAS threads beneath them wait for each other, 150 ms instead of 1 on busy cores.
    # numpy reads this when it is first imported, which is later than now.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that its encoding lacks are no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(arguments)
    except Exception:
        log.exception("this is a fault of vision, not of yours")
        code = FAULT
    sys.exit(code)
