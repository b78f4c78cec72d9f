"""Label files as strangers wrote them become plain Python: no pickles, no XML entities, no YAML tags, no endless nesting."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from vision.errors import DatasetError, package_missing
from vision.images.find import NOT_PICTURES

# Labels are a few levels deep; a file of a million open brackets is no label.
DEEPEST_XML = 64
# No picture has a side of so many pixels, and arithmetic with boxes beyond it overflows.
FARTHEST = 10_000_000
# Edges a little outside are rounding, cut off by everyone who reads shares of a picture; pixels are a mistake.
SLACK = 0.01
# What means nothing in YAML.
YAML_NULL = ("", "~", "null", "Null", "NULL")

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "dev",
    "test": "test",
    "testing": "test",
    "trainval": "trainval",
}


def split_name(name: str) -> str | None:
    """The split that the name of a file or folder says: "valid" is val, "instances_train2017" train, "dev_unseen" itself."""
    folded = name.casefold().removeprefix("instances_")
    words = re.findall(r"[a-z]+", folded)
    if not words:
        return None
    if len(words) == 1 or words[1:] in (["annotations"], ["labels"]):
        return SPLITS.get(words[0])
    return name if words[0] in SPLITS else SPLITS.get(words[-1])


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without its mark. Raises DatasetError (missing, bad_label)."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(error, path) from None


def unreadable(error: OSError | UnicodeDecodeError, path: Path, *, after_line: int | None = None) -> DatasetError:
    """Why a text file could not be read, as DatasetError (missing, bad_label)."""
    if isinstance(error, UnicodeDecodeError):
        where = f" at byte {error.start}" if after_line is None else f" after line {after_line}"
        return DatasetError("bad_label", f"no UTF-8: {error.reason}{where}", path=str(path))
    absent = isinstance(error, FileNotFoundError)
    return DatasetError("missing", "no such set" if absent else error.strerror or str(error), path=str(path))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers, from 1, without their ends, one at a time; empty ones are passed over.

    Raises DatasetError (missing, bad_label).
    """
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(error, path, after_line=number) from None


def find_file(folders: Iterable[Path], name: str, suffixes: Sequence[str] = ("",)) -> Path | None:
    """The file that a label means, in the first folder that has it; also where Windows wrote the name, "train\\a.jpg"."""
    names = (name, name.replace("\\", "/")) if "\\" in name else (name,)
    places = (folder / f"{spelling}{suffix}" for spelling in names for folder in folders for suffix in suffixes)
    return next((place for place in places if place.is_file()), None)


def parse_json(text: str) -> Any:
    """JSON as the standard has it. Raises ValueError, also for NaN, Infinity and nesting without end."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file: mappings, lists and strings as they were written, "On", "007" and `YAML_NULL` too.

    Raises DatasetError (missing, bad_label), BackendError (package_missing).
    """
    try:
        import yaml
    except ImportError:
        raise package_missing("PyYAML", "evaluate") from None
    try:
        # strings, lists and mappings, whatever a tag asks for
        found = yaml.load(read_text(path), Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise DatasetError("bad_label", f"no valid YAML: {' '.join(str(error).split())}", path=str(path)) from None
    except (RecursionError, ValueError) as error:
        raise DatasetError("bad_label", f"no valid YAML: {error}", path=str(path)) from None
    if not isinstance(found, dict):
        raise DatasetError("bad_label", "a mapping is expected", path=str(path))
    return found


def parse_xml(content: bytes) -> tuple[Element, dict[Element, int]]:
    """The root of an XML document, and the line where each element begins.

    A DTD is refused before anything in it is looked at, so there are no entities to expand and nothing is fetched.
    Raises ValueError.
    """
    builder, lines, depth = TreeBuilder(), {}, 0
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST_XML:
            raise ValueError(f"nested more than {DEEPEST_XML} deep")
        lines[builder.start(name, attributes)] = parser.CurrentLineNumber

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def doctype(*_: object) -> None:
        raise ValueError("a DTD is refused")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from None
    except LookupError as error:  # an encoding that nobody knows
        raise ValueError(f"no XML: {error}") from None
    return builder.close(), lines


def number(value: Any) -> float:
    """A finite number, also one written as text. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{shown(value)} is no number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(value)} is no number") from None
    if not math.isfinite(found):
        raise ValueError(f"{shown(value)} is no finite number")
    return found


def place(value: Any) -> float:
    """An edge of a box in pixels, inside the picture or not too far from it. Raises ValueError."""
    found = number(value)
    if abs(found) > FARTHEST:
        raise ValueError(f"{shown(value)} is no place in a picture")
    return found


def size(value: Any) -> int:
    """A width or height in whole pixels, at least 1. Raises ValueError."""
    found = number(value)
    if not 1 <= found <= FARTHEST or found != int(found):
        raise ValueError(f"{shown(value)} is no size in pixels")
    return int(found)


def shown(value: Any) -> str:
    """A value as a message can carry it: short."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"


def is_picture(path: Path) -> bool:
    """Whether a file of a folder of pictures may be one, by its name."""
    return path.suffix.lower() not in NOT_PICTURES and not path.name.startswith(".") and path.is_file()
