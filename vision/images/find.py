"""Inputs become paths: files, folders, globs and lists, in one fixed order, in flat memory, each file once.

The order is that of the row paths, byte by byte, whatever the order of the inputs. A folder is listed when its turn comes, so a
tree of a million files costs no more than its largest folder (about 80 bytes a name). Names that come one by one, from the
command line, a list or a glob, are kept until the end (up to 400 bytes each), since they are sorted and compared.
"""

from __future__ import annotations

import codecs
import heapq
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vision.errors import PictureError, UsageError

# Beside pictures, folders hold these. Everything else in a folder is tried, whatever its suffix, and gives a row.
NOT_PICTURES = frozenset(
    suffix
    for suffixes in (
        ".txt .md .rst .rtf .csv .tsv .json .jsonl .ndjson .geojson .xml .html .htm .css .yaml .yml .toml .ini .cfg .log",
        ".pdf .doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp .epub .eml .ics .vcf .url .lnk .webloc .torrent .srt .vtt",
        ".zip .gz .bz2 .xz .zst .7z .rar .tar .tgz .jar .whl .iso .dmg",
        ".db .sqlite .sqlite3 .parquet .arrow .feather .npy .npz .pkl .pickle .h5 .hdf5 .mat .safetensors .onnx .pt .pth",
        ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .mp3 .m4a .wav .flac .ogg .opus .aac .wma",
        ".py .pyc .ipynb .js .ts .sh .bat .ps1 .exe .dll .so .dylib .o .a .class .c .h .cpp .java .go .rs .lock .sha256 .md5",
        ".ttf .otf .woff .woff2 .icc .icm .xmp .aae",
    )
    for suffix in suffixes.split()
)
# Keys of `Finder.skipped` beside suffixes.
HIDDEN, LINKED, OWN = "hidden", "link", "own"

_MAGIC = frozenset("*?[")
# How the record of a scan begins (`vision.cli.scan_resume`).
_RECORD, _RECORD_BYTES = re.compile(rb'\{\s*"schema":\s*"vision\.scan/'), 80


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to read, or an input that cannot be.

    path: its name in the results: as given, or relative to the parent of the folder given; "/" between the parts, undecodable
    bytes as surrogates. file: what to open; None with an error. error: why there is nothing to open.
    """

    path: str
    file: Path | None
    error: PictureError | None = None


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to walk. path: what to list. row: how its rows begin. real: its name without links."""

    path: str
    row: str
    real: str


class Finder:
    """The files of all inputs, lazily, sorted by row path.

    inputs: files, folders (with all that is below), globs that the shell left alone, "@list" (a file of paths, one a line or
    separated by NUL) and "-" (such a list on standard input). A path that exists is taken literally, whatever its letters;
    paths in lists always are, relative to the working directory.
    stdin: where "-" reads; standard input by default. It can be read once, so such a Finder can be iterated once.
    leave_out: folders of ours, results and indexes: what lies in them is no input, however it was named. Folders in which earlier
    scans left their results are passed over as well, unless they are given by name (a shell that expands a glob gives names).

    A file given by name is always tried. In folders, names with a suffix of `NOT_PICTURES` and hidden names (a leading dot, and
    Windows' Thumbs.db by its suffix) are passed over and counted. Links to files and folders are followed; a folder that is
    reached in its own place, or was through another link, is not entered again, so loops end. Each file comes once: a name
    given beats the folder it is in, an inner folder given beats the outer one.
    Two folders given with the same name have rows that begin with the paths as given, since they could not be told apart; so
    does a folder with the name of another that a file given by name is in.
    What cannot be found or listed comes as a Found with its error: not_found, not_readable; a folder's path ends in "/" then.
    Raises UsageError (bad_option) for an empty string among the inputs.

    skipped: how many names were passed over so far, by suffix, "hidden", "link" or "own"; begins anew with each iteration.
    """

    def __init__(self, inputs: Sequence[str], *, stdin: BinaryIO | None = None, leave_out: Sequence[Path] = ()) -> None:
        if not all(inputs):
            raise UsageError("bad_option", "an input is an empty string", hint='"." is the working directory')
        self.inputs = tuple(inputs)
        self.stdin = stdin
        self.left_out = frozenset(os.path.realpath(folder) for folder in leave_out)
        self.skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Found]:
        self.skipped.clear()
        named: dict[str, str] = {}
        folders: dict[str, str] = {}
        errors: dict[str, Found] = {}
        places = _Places()
        # sorted, so that of two spellings of one file the same one is kept in whatever order they came
        for path in sorted(self._paths(errors), key=os.fsencode):
            try:
                is_folder = stat.S_ISDIR(Path(path).stat().st_mode)
            except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL character in the name
                errors[path] = _unread(path, "not_found", "there is no such file or folder")
                continue
            except OSError:  # reading it will say why, in its row
                is_folder = False
            place = os.path.realpath(path) if is_folder else places.of(path)
            if self._is_own(place):
                self.skipped[OWN] += 1
            elif is_folder:
                folders.setdefault(place, path)
            else:
                named.setdefault(place, path)
        walk = _Walk(self.skipped, named.keys(), folders.keys(), self.left_out)
        streams: list[Iterable[Found]] = [walk.below(folder) for folder in _roots(folders, named)]
        # the paths were sorted, and dicts keep that order
        streams.append(Found(_row(path), Path(path)) for path in named.values())
        streams.append(sorted(errors.values(), key=_order))
        yield from heapq.merge(*streams, key=_order)

    def _is_own(self, place: str) -> bool:
        return any(place == folder or place.startswith(_joined(folder, "")) for folder in self.left_out)

    def _paths(self, errors: dict[str, Found]) -> Iterator[str]:
        """Every path that the inputs name, lists read and globs expanded. What cannot be goes to `errors`."""
        for given in self.inputs:
            if given == "-":
                stream = self.stdin if self.stdin is not None else sys.stdin.buffer
                yield from _listed(stream.read())
            elif given.startswith("@"):
                try:
                    content = Path(given[1:]).read_bytes()
                except FileNotFoundError:
                    errors[given] = _unread(given, "not_found", "there is no such list")
                except OSError as error:
                    errors[given] = _unread(given, "not_readable", error.strerror or str(error))
                else:
                    yield from _listed(content)
            elif not _MAGIC.isdisjoint(given) and not os.path.lexists(given):
                matches = list(_expanded(given))
                if not matches:
                    errors[given] = _unread(given, "not_found", "nothing matches")
                ours: dict[str, bool] = {}
                for match in matches:
                    if _in_results(match, _base(given), ours):
                        self.skipped[OWN] += 1
                    else:
                        yield match
            else:
                yield given


def find_inputs(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> Iterator[Found]:
    """As iterating over `Finder`, for callers that need no counts."""
    return iter(Finder(inputs, stdin=stdin))


class _Walk:
    """The walk through all folders given, with what they must know of each other."""

    def __init__(self, skipped: Counter[str], named: Set[str], roots: Set[str], left_out: Set[str]) -> None:
        self.skipped = skipped
        self.named = named
        self.roots = roots
        self.left_out = left_out
        self.followed: set[str] = set()

    def below(self, root: _Folder) -> Iterator[Found]:
        """Everything in a folder and below, in the order of the row paths. No recursion: trees may be deeper than Python."""
        waiting = [iter(self._entries(root))]
        while waiting:
            entry = next(waiting[-1], None)
            if entry is None:
                waiting.pop()
            elif isinstance(entry, Found):
                yield entry
            else:
                waiting.append(iter(self._entries(entry)))

    def _entries(self, folder: _Folder) -> Iterator[Found | _Folder]:
        names: list[bytes] = []
        failure: OSError | None = None
        try:
            with os.scandir(folder.path) as listing:
                # With "/" after the names of folders, sorting names sorts whole paths: "a.jpg" comes before "a/b.jpg".
                names.extend(os.fsencode(entry.name) + (b"/" if _is_folder(entry) else b"") for entry in listing)
        except OSError as error:
            failure = error
        if failure is not None:
            reason = f"this folder cannot be listed: {failure.strerror or failure}"
            yield Found(f"{folder.row}/", None, PictureError("not_readable", reason, path=folder.path))
        names.sort(reverse=True)
        while names:
            encoded = names.pop()  # from the end, so that memory shrinks on the way
            name = os.fsdecode(encoded.rstrip(b"/"))
            _, dot, ending = name.rpartition(".")
            suffix = (dot + ending).lower()
            path, row = _joined(folder.path, name), f"{folder.row}/{name}"
            if name.startswith("."):
                self.skipped[HIDDEN] += 1
            elif encoded.endswith(b"/"):
                inner = self._inner(folder, name, path, row)
                if inner is not None:
                    yield inner
            elif suffix in NOT_PICTURES:
                self.skipped[suffix] += 1
            elif _joined(folder.real, name) not in self.named:
                yield Found(row, Path(path))

    def _inner(self, folder: _Folder, name: str, path: str, row: str) -> _Folder | None:
        """The folder of that name, unless it is walked in another place or is to be left out."""
        real = _joined(folder.real, name)
        try:
            is_link = Path(path).is_symlink()
        except OSError:  # nobody may look: listing the folder will say so
            is_link = False
        if is_link:
            real = os.path.realpath(path)
        if real in self.left_out or _holds_results(path):
            self.skipped[OWN] += 1
            return None
        if is_link:
            if self._is_walked(real) or _joined(folder.real, "").startswith(_joined(real, "")):
                self.skipped[LINKED] += 1
                return None
            self.followed.add(real)
        elif real in self.roots or real in self.followed:
            return None
        return _Folder(path, row, real)

    def _is_walked(self, real: str) -> bool:
        """Whether a folder given, or one reached through a link, leads to this one without a hidden folder in between."""
        for known in (*self.roots, *self.followed):
            below = real.removeprefix(_joined(known, ""))
            if real == known or (below != real and not any(part.startswith(".") for part in Path(below).parts)):
                return True
        return False


class _Places:
    """Where paths really are, with the folders looked up once each: a hundred thousand names are in few folders."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The path with the links of its folder resolved, not its own: a link to a file has a name of its own."""
        folder, name = os.path.split(path)
        if folder not in self.folders:
            self.folders[folder] = os.path.realpath(folder)
        place = _joined(self.folders[folder], name)
        return path if place == path else place  # one string, not two, for each of a million lines


def _roots(folders: dict[str, str], named: dict[str, str]) -> list[_Folder]:
    """The folders given, with how their rows begin: the folder's own name, or the path as given where names collide.

    named: the files given by name, by where they are: rows of theirs may begin like those of a folder elsewhere.
    """
    # "." and ".." have the name of the folder that they stand for
    own = {real: Path(real if Path(path).name in ("", "..") else path).name for real, path in folders.items()}
    shared = Counter(own.values())
    for place, path in named.items():
        first = _row(path).partition("/")[0]
        if first in shared and not any(place.startswith(_joined(real, "")) for real in folders):
            shared[first] += 1
    return [
        _Folder(path, own[real] if shared[own[real]] == 1 else _row(path).rstrip("/"), real)
        for real, path in folders.items()
    ]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle: reading it as a file says so in its row
        return False


def _holds_results(folder: str) -> bool:
    """Whether a scan wrote its results there: drawings of it are no pictures of anybody's."""
    record = Path(folder) / "scan.json"
    try:
        if not record.is_file():  # no pipe either
            return False
        with record.open("rb") as file:
            return _RECORD.match(file.read(_RECORD_BYTES)) is not None
    except OSError:
        return False


def _in_results(match: str, base: str, known: dict[str, bool]) -> bool:
    """Whether what a glob matched lies in a folder below the glob's own that holds results, or is one. known: by folder."""
    if len(match) <= len(base):
        return False
    if match not in known:
        inside = _in_results(match.rpartition("/")[0], base, known)
        known[match] = inside or (Path(match).is_dir() and _holds_results(match))
    return known[match]


def _listed(content: bytes) -> Iterator[str]:
    if content.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    ):  # as PowerShell writes: half of its bytes are NUL
        content = os.fsencode(content.decode("utf-16", "replace"))
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\0") if b"\0" in content else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return (os.fsdecode(line) for line in lines if line)


def _expanded(pattern: str) -> Iterator[str]:
    """What a glob matches, as a shell would: hidden names only where the pattern has the dot.

    `Path.glob` does not follow links with "**", so loops end; `glob.glob` does.
    """
    base, parts = _base(pattern), pattern.split("/")
    rest = parts[next(i for i, part in enumerate(parts) if not _MAGIC.isdisjoint(part)) :]
    if rest[-1] == "**":  # Python 3.13 matches files with that too, as shells do, Python 3.11 only folders
        rest.append("*")
    hidden = any(part.startswith(".") for part in rest)
    try:
        for match in Path(base or ".").glob("/".join(rest)):
            below = match.relative_to(base or ".").as_posix()
            if below != "." and (hidden or not any(part.startswith(".") for part in below.split("/"))):
                yield f"{base.rstrip('/')}/{below}" if base else below
    except (
        ValueError,
        NotImplementedError,
        OSError,
    ):  # no valid pattern, or a folder that vanished: nothing more matches
        return


def _base(pattern: str) -> str:
    """The folder that a glob begins in: empty for the working directory."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if not _MAGIC.isdisjoint(part))
    return "/".join(parts[:first]) or ("/" if first else "")


def _unread(path: str, code: str, reason: str) -> Found:
    return Found(_row(path), None, PictureError(code, reason, path=path))


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip(os.sep)}{os.sep}{name}"


def _row(path: str) -> str:
    return path if os.sep == "/" else path.replace(os.sep, "/")


def _order(found: Found) -> bytes:
    return path_order(found.path)


def path_order(path: str) -> bytes:
    """What row paths are sorted by."""
    return path.encode("utf-8", "surrogateescape")
