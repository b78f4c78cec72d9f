"""A path becomes the bytes of a picture, without ever waiting for a pipe, waking a device or reading what is no picture."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from vision.errors import PictureError
from vision.images.formats import HEAD_BYTES, recognise

# Opening a pipe that nobody writes to blocks for ever without O_NONBLOCK; on a regular file the flag changes nothing.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
Opener = Callable[[str, int], int]
# A file is read whole. Raw 16-bit RGBA of the largest picture that is decoded has 0.8 GB.
MOST_BYTES = 1 << 30

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_file(path: str | os.PathLike[str], *, opener: Opener = os.open) -> bytes:
    """All bytes of a file that begins like a picture that we decode.

    opener: as for the built-in `open`; takes a path and flags, gives a descriptor.
    The kind of the file is looked at before it is opened, and again once it is open, since it may be replaced in between.
    Only its first bytes are read until they are known to be a picture's.
    Raises PictureError: not_found, not_readable, unsupported (folder, pipe, socket, device, other kinds of pictures, more than
    MOST_BYTES), empty, not_an_image.
    """
    name = os.fspath(path)
    try:
        _refuse_special(os.stat(name).st_mode)  # noqa: PTH116  Path("") is the working directory
        with open(name, "rb", buffering=0, opener=lambda file, _: opener(file, _FLAGS)) as file:
            status = os.fstat(file.fileno())
            _refuse_special(status.st_mode)
            recognise(file.read(HEAD_BYTES))
            if status.st_size > MOST_BYTES:
                raise PictureError("unsupported", f"a file of {status.st_size:,} bytes", hint=f"at most {MOST_BYTES:,}")
            file.seek(0)
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError("not_found", "there is no such file") from None
    except PermissionError:
        raise PictureError(
            "not_readable", "permission denied", hint="check the rights of the file and its folder"
        ) from None
    except IsADirectoryError:  # replaced by a folder between the look and the opening
        raise PictureError("unsupported", "this is a folder, not a picture") from None
    except OSError as error:  # a failing disk, a chain of links without end, a name that is too long
        raise PictureError("not_readable", error.strerror or str(error)) from None
    except ValueError:  # a NUL character in the name: no file can have it
        raise PictureError("not_found", "there is no such file") from None


def _refuse_special(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for is_kind, name in _SPECIAL if is_kind(mode)), "a special file")
    raise PictureError("unsupported", f"this is {kind}, not a picture")
