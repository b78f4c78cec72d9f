"""Files of brand names: one brand a line, or CSV, or JSON lines. A wrong line is told by its number, the rest is read.

Acme                                    text: a name, then its aliases after tabs or bars; blank lines and # comments are left out
Acme | ACME Corp | Acme Ltd
name,aliases                            .csv, .tsv: with a header; aliases joined by bars; other columns are left out
Acme,ACME Corp|Acme Ltd
{"name": "Acme", "aliases": ["ACME"]}   .jsonl

Lines end in any of the three ways that systems end them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.errors import UsageError

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class NamedBrand:
    """One line. number: of the line in the file, from 1."""

    number: int
    name: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was left out, and why."""

    number: int
    why: str


def read_names(path: Path) -> tuple[list[NamedBrand], list[BadLine]]:
    """The brands of a file, in order, and the lines that name none.

    Raises UsageError (bad_option) when there is no such file, or no name column in a CSV file.
    """
    lines, bad = _lines(path)
    if path.suffix.lower() in {".csv", ".tsv"}:
        found = _csv(lines, path)
    elif path.suffix.lower() in {".jsonl", ".ndjson"}:
        found = ((number, _json(line)) for number, line in lines)
    else:
        found = ((number, _text(line)) for number, line in lines)
    brands = []
    for number, row in found:
        if isinstance(row, str):
            bad.append(BadLine(number, row))
        elif row:
            brands.append(NamedBrand(number, row[0], tuple(row[1:])))
    return brands, sorted(bad, key=lambda line: line.number)


def _lines(path: Path) -> tuple[list[tuple[int, str]], list[BadLine]]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError("bad_option", "there is no such file", path=str(path)) from None
    except OSError as error:
        raise UsageError("bad_option", f"cannot be read: {error.strerror}", path=str(path)) from None
    lines, bad = [], []
    for number, line in enumerate(_LINE_END.split(data.removeprefix(b"\xef\xbb\xbf")), 1):
        try:
            lines.append((number, line.decode()))
        except UnicodeDecodeError:
            bad.append(BadLine(number, "not UTF-8"))
    return lines, bad


def _text(line: str) -> list[str]:
    if line.lstrip().startswith("#"):
        return []
    return [part for part in (p.strip() for p in line.replace("\t", "|").split("|")) if part]


def _json(line: str) -> list[str] | str:
    if not line.strip():
        return []
    try:
        row: Any = json.loads(line)
    except ValueError:
        return "no JSON"
    name = row.get("name") if isinstance(row, dict) else row
    aliases = row.get("aliases", []) if isinstance(row, dict) else []
    if not isinstance(name, str) or not isinstance(aliases, list) or not all(isinstance(a, str) for a in aliases):
        return 'not {"name": "…", "aliases": ["…"]}'
    return [name, *aliases]


def _csv(lines: list[tuple[int, str]], path: Path) -> Iterator[tuple[int, list[str] | str]]:
    dialect: Any = csv.excel_tab if path.suffix.lower() == ".tsv" else csv.excel
    try:
        header, place = _row(lines, 0, dialect)
    except csv.Error:
        header, place = [], 0
    header = [column.strip().lower() for column in header]
    if "name" not in header:
        raise UsageError("bad_option", f"no column 'name' in {header}", path=str(path), hint="name,aliases")
    name, also = header.index("name"), header.index("aliases") if "aliases" in header else None
    while place < len(lines):
        number = lines[place][0]
        try:
            row, after = _row(lines, place, dialect)
        except csv.Error as error:  # the next lines may be good, those too that a stray quote took in
            yield number, f"no CSV: {error}"
            place += 1
            continue
        names = row[name] if len(row) > name else ""
        aliases = row[also] if also is not None and len(row) > also else ""
        place = after
        if "\n" in names + aliases:
            yield number, f"a name that ends in line {lines[after - 1][0]}: is a quote missing?"
        elif names.strip():
            yield number, [" ".join(names.split()), *(part.strip() for part in aliases.split("|") if part.strip())]
        elif any(cell.strip() for cell in row):
            yield number, "no name"


def _row(lines: Sequence[tuple[int, str]], start: int, dialect: Any) -> tuple[list[str], int]:
    """The row that begins at a line, and where the next one does; a quoted cell may have lines of its own. Raises csv.Error."""
    rows = csv.reader((lines[place][1] + "\n" for place in range(start, len(lines))), dialect, strict=True)
    return next(rows, []), start + rows.line_num
