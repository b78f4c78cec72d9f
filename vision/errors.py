"""Every error that this package raises, one family, so that a service catches one class.

    VisionError          .code  .path  .hint
      UsageError         bad_option, bad_config                                              exit 2
      PictureError       not_found, not_readable, empty, not_an_image, truncated,
                         too_many_pixels, unsupported, internal                              a failed row
      LibraryError       missing, damaged, other_embedder, locked, newer_version, read_only  exit 3
      WeightsError       missing, wrong_checksum, unknown_card                               exit 3
      DatasetError       bad_label, unknown_class, leaking_split, missing, bad_row           exit 3
      BackendError       no_device, out_of_memory, package_missing                           exit 3

A code never changes its meaning. A message says what happened, to which file; the hint says what to do next.
`LibraryError` serves the brand library and the copy index alike: both are folders that searches depend on.
"""

from __future__ import annotations

from typing import ClassVar


class VisionError(Exception):
    """Root of the family. `code` is stable and machine-readable, `path` names the file, `hint` the next step."""

    codes: ClassVar[frozenset[str]] = frozenset({"internal"})
    exit_code: ClassVar[int] = 3

    def __init__(self, code: str, message: str, *, path: str | None = None, hint: str | None = None) -> None:
        if code not in self.codes:
            raise ValueError(f"{code!r} is not a code of {type(self).__name__}")
        self.code, self.message, self.path, self.hint = code, message, path, hint
        super().__init__(message)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class UsageError(VisionError):
    """The caller asked for something that makes no sense; nothing was done."""

    codes = frozenset({"bad_option", "bad_config"})
    exit_code = 2


class PictureError(VisionError):
    """One picture cannot be read. A scan turns it into a failed row and goes on."""

    codes = frozenset(
        {
            "not_found",
            "not_readable",
            "empty",
            "not_an_image",
            "truncated",
            "too_many_pixels",
            "unsupported",
            "internal",
        }
    )
    exit_code = 1


class LibraryError(VisionError):
    """A brand library or copy index is missing, damaged, in use, or made by something else."""

    codes = frozenset({"missing", "damaged", "other_embedder", "locked", "newer_version", "read_only", "not_readable"})


class WeightsError(VisionError):
    """A model file is missing, altered, or described by a card that this version does not know."""

    codes = frozenset({"missing", "wrong_checksum", "unknown_card"})


class DatasetError(VisionError):
    """Training or evaluation data, or the results of a scan, are not what their description says."""

    codes = frozenset({"bad_label", "unknown_class", "leaking_split", "missing", "bad_row"})


class BackendError(VisionError):
    """A device or an optional package is not there."""

    codes = frozenset({"no_device", "out_of_memory", "package_missing"})


def package_missing(package: str, extra: str) -> BackendError:
    """The error for an optional package that is not installed, with the line that installs it."""
    return BackendError("package_missing", f"{package} is not installed", hint=install_hint(extra))


def install_hint(extra: str) -> str:
    """The line that installs an extra of this package, in the folder of its source as the README installs it."""
    return f'pip install ".[{extra}]" in the source folder of vision'
