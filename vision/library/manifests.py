"""The small files of a library: the pointer, and a manifest for each version that is kept. What they name is in `segments`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vision.errors import LibraryError, UsageError
from vision.files import not_readable
from vision.library import schema1, segments
from vision.library.history import Change, compare
from vision.library.names import storable
from vision.library.state import RESTORE, FileEntry, Segment, State

SCHEMA = "vision.library/2"
POINTER = "library.json"
_MANIFEST = re.compile(r"version-(\d+)\.json")


@dataclass(frozen=True, slots=True)
class Note:
    """Who makes a version and why; both may be unknown."""

    user: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One version in the log. time: ISO 8601, UTC. change: against the version before; null when that was not known."""

    version: int
    time: str | None
    user: str | None
    message: str | None
    change: Change | None
    brands: int
    references: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": self.version,
            "time": self.time,
            "user": self.user,
            "message": self.message,
            "change": None if self.change is None else self.change.to_dict(),
            "brands": self.brands,
            "references": self.references,
        }


def read_pointer(folder: Path) -> tuple[dict[str, Any], str]:
    """The pointer and the digest of its bytes. Raises LibraryError (missing, damaged, newer_version)."""
    try:
        text = (folder / POINTER).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise missing(folder) from None
    except PermissionError as error:
        raise not_readable(folder / POINTER, error) from None
    except OSError as error:
        raise damaged(folder, f"{POINTER} cannot be read: {error.strerror}") from None
    try:
        pointer: dict[str, Any] = json.loads(text)
        schema, number = str(pointer["schema"]).split("/")
    except (ValueError, KeyError, TypeError):
        raise damaged(folder, f"{POINTER} is no library's") from None
    if schema == "vision.library" and number.isdecimal() and int(number) > 2:
        raise LibraryError(
            "newer_version",
            f"made by a newer version ({pointer['schema']})",
            path=str(folder),
            hint="update this package",
        )
    if pointer["schema"] not in {SCHEMA, schema1.SCHEMA}:
        raise damaged(folder, f"{POINTER} has the schema {pointer['schema']!r}")
    return pointer, hashlib.sha256(text).hexdigest()


def read_manifest(folder: Path, pointer: Mapping[str, Any], version: int | None = None) -> dict[str, Any]:
    """The manifest of the current version, or of an older one.

    Raises FileNotFoundError when a newer version took its place, UsageError for an older version that is not kept, LibraryError
    (damaged); ValueError, KeyError, TypeError for a pointer that is none.
    """
    if version is None or version == int(pointer["version"]):
        data = segments.read_checked(folder, FileEntry(**pointer["manifest"]))
    else:
        kept = versions(folder, int(pointer["version"]))
        if version not in kept:
            hint = f"kept are {kept[0]} to {kept[-1]}" if kept else None
            raise UsageError("bad_option", f"there is no version {version}", path=str(folder), hint=hint)
        data = (folder / f"version-{version}.json").read_bytes()
    manifest: dict[str, Any] = json.loads(data)
    if manifest["schema"] != SCHEMA:
        raise ValueError(f"a manifest of schema {manifest['schema']!r}")
    return manifest


def segments_of(manifest: Mapping[str, Any]) -> tuple[Segment, ...]:
    """The segments that a version is made of, in order. Raises ValueError, KeyError, TypeError for a manifest that is none."""
    return tuple(
        Segment(int(each["id"]), {part: FileEntry(**entry) for part, entry in each["files"].items()})
        for each in manifest["segments"]
    )


def write_manifest(folder: Path, state: State, note: Note, before: State | None, *, time: str | None) -> dict[str, Any]:
    """Write the manifest of a state whose segments are on disk; what the pointer says of it. before: the version before it."""
    counts = {
        "schema": SCHEMA,
        "version": state.version,
        "time": time,
        "embedder": {"id": state.embedder.id, "checksum": state.embedder.checksum, "dim": state.embedder.dim},
        "read_only": state.read_only,
        "brands": sum(not brand.negative for brand in state.brands),
        "negatives": sum(brand.negative for brand in state.brands),
        "references": len(state.references),
        "vectors": len(state.vectors),
    }
    more = {
        "user": storable(note.user),
        "message": storable(note.message),
        "change": None if before is None else compare(before, state).to_dict(at_most=20),
        "segments": [
            {"id": s.id, "files": {part: entry._asdict() for part, entry in s.files.items()}} for s in state.segments
        ],
    }
    entry = segments.write_file(folder, f"version-{state.version}.json", [_json(counts | more)])
    return counts | {"manifest": entry._asdict()}


def write_pointer(folder: Path, pointer: Mapping[str, Any]) -> str:
    """Put a pointer in place, which makes its version the current one; its digest."""
    return segments.write_file(folder, POINTER, [_json(pointer)]).sha256


def now() -> str:
    """The time that a version notes."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def versions(folder: Path, current: int) -> list[int]:
    """The versions that have a manifest, oldest first. One after the current is what a killed writer left, and none."""
    numbers = (int(m[1]) for m in map(_MANIFEST.fullmatch, (p.name for p in folder.iterdir())) if m)
    return sorted(number for number in numbers if number <= current)


def log(folder: Path) -> list[Entry]:
    """The versions that are kept, newest first. Raises LibraryError (missing, damaged, newer_version)."""
    pointer, digest = read_pointer(folder)
    try:
        if pointer["schema"] == schema1.SCHEMA:
            return [Entry(pointer["version"], None, None, None, None, pointer["brands"], pointer["references"])]
        found = []
        for number in reversed(versions(folder, int(pointer["version"]))):
            # a writer may have swept it since we looked
            with contextlib.suppress(FileNotFoundError, UsageError):
                found.append(_entry(read_manifest(folder, pointer, number)))
        swept = not found and read_pointer(folder)[1] != digest
        return log(folder) if swept else found
    except PermissionError as error:
        raise not_readable(Path(str(error.filename)), error) from None
    except OSError as error:
        raise damaged(folder, f"{error.filename} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder, f"its log is not what it should be: {error!r}") from None


def sweep(folder: Path, current: int, keep: int) -> None:
    """Remove versions but the last `keep`, data files that no version names any more, and leftovers of killed writers."""
    named: set[str] = set()
    sure = True
    for number in versions(folder, current)[-keep:]:
        try:
            manifest = json.loads((folder / f"version-{number}.json").read_bytes())
            named |= {entry.name for segment in segments_of(manifest) for entry in segment.files.values()}
        except (OSError, ValueError, KeyError, TypeError):
            sure = False  # what it names is not known, and stays
        named.add(f"version-{number}.json")
    for name in [path.name for path in folder.iterdir()]:
        old = segments.DATA_FILE.fullmatch(name) if sure else None
        if ((old or _MANIFEST.fullmatch(name)) and name not in named) or re.fullmatch(r"\..*\.\d+\.new", name):
            # Windows does not remove what a reader has open: the next writer will
            with contextlib.suppress(OSError):
                (folder / name).unlink()


def missing(folder: Path) -> LibraryError:
    """The error for a folder without a library."""
    hint = f"vision library create {folder}"
    return LibraryError("missing", "there is no brand library", path=str(folder), hint=hint)


def damaged(folder: Path, what: str) -> LibraryError:
    """The error for a library that cannot be used."""
    return LibraryError("damaged", what, path=str(folder), hint=RESTORE)


def _entry(manifest: Mapping[str, Any]) -> Entry:
    change = manifest["change"]
    return Entry(
        int(manifest["version"]),
        manifest["time"],
        manifest["user"],
        manifest["message"],
        None if change is None else Change.from_dict(change),
        int(manifest["brands"]),
        int(manifest["references"]),
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
