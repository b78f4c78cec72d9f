"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appears_whole(path: Path) -> Iterator[Path]:
    """A path to write a file to. It takes the place of `path` at the end, in one step and after an fsync, so that a reader sees
    the old content or the new and never a part; when writing fails it vanishes. The folder is made where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}.new")
    try:
        yield fresh
        with fresh.open("r+b") as written:
            os.fsync(written.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file of these bytes, which appears whole."""
    with appears_whole(path) as fresh:
        fresh.write_bytes(data)
