"""Files that are there whole or not at all, whatever happens while they are written, and folders with one writer at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vision.errors import LibraryError

# The name of a folder's write lock.
LOCK = ".lock"


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


@contextmanager
def locked(folder: Path, seconds: float, what: str) -> Iterator[None]:
    """Hold the write lock of a folder. what: the noun for what lies in it.

    Raises LibraryError: locked when another writer holds it for longer than `seconds`, read_only when nothing can be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise LibraryError(
            "locked", f"another program is changing this {what}", path=str(folder), hint="try again when it is done"
        ) from None
    except OSError as error:  # no right to write, a read-only file system, a full disk
        raise LibraryError("read_only", f"cannot be written to: {error.strerror}", path=str(folder)) from None
    try:
        yield
    except PermissionError as error:  # the lock is there from before, and the folder may not be written to any more
        raise LibraryError("read_only", f"cannot be written to: {error.strerror}", path=str(folder)) from None
    finally:
        lock.release()


def not_readable(path: Path, error: OSError) -> LibraryError:
    """The error for a file that is there and may not be read: nothing of it is damaged."""
    return LibraryError("not_readable", f"cannot be read: {error.strerror}", path=str(path), hint="check its rights")
