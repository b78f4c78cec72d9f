"""A Result to a row of results.jsonl and back, and the same rows as CSV or Parquet.

results.jsonl is the record: it is appended to row by row, so that an interrupted scan loses nothing but a torn last line.
The other formats are made from it afterwards. `result.schema.json` beside this file is the reference of a row.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any

from vision.errors import DatasetError, package_missing
from vision.files import appears_whole
from vision.values import SCHEMA, CopyClaim, Finding, Result

# Boxes to a hundredth of a pixel, most else to four places: finer than any of it is known, and the same on every machine whose
# arithmetic differs in the last bits only. Maps between pictures keep the nine of a claim: what makes them perspective is some
# hundred thousandths, times thousands of pixels.
BOX_DECIMALS = 2
DECIMALS = 4
_DECIMALS_OF = {"box": BOX_DECIMALS, "source_box": BOX_DECIMALS, "transform": 9}

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of one
PARQUET_ROWS = 2048  # rows held in memory at once, and per row group


def write_row(result: Result) -> bytes:
    """One line of results.jsonl: compact ASCII JSON, newline included, keys in the order of the schema.

    Undecodable bytes of a path (lone surrogates) are written as `\\udcXX`. Raises ValueError for NaN and infinity.
    """
    row = _rounded(result.to_dict(), DECIMALS)
    return json.dumps(row, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def read_rows(path: Path) -> Iterator[Result]:
    """The whole rows of a results.jsonl, in order, one in memory at a time; a torn last line is left out.

    Raises DatasetError (missing, bad_row): a line inside the file that is no row of this schema, with its number.
    """
    for result, _ in _rows(path):
        yield result


def complete_rows(path: Path) -> tuple[int, int]:
    """How many whole rows a results.jsonl holds, and the byte at which they end: where `--resume` cuts and goes on.

    (0, 0) when there is no file yet. Raises DatasetError (bad_row) as `read_rows` does: such a file is not ours to cut.
    """
    count = end = 0
    if path.exists():
        for _, size in _rows(path):
            count, end = count + 1, end + size
    return count, end


@cache
def row_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a row."""
    text = resources.files("vision.report").joinpath("result.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def to_csv(results: Path, out: Path) -> int:
    """Write results.jsonl as CSV, one line a finding with its picture's columns; a picture without findings has one line.

    So every picture is there, and brands can be counted in a spreadsheet. Of copies there are their number and the best one.
    UTF-8; undecodable bytes are spelled `\\udcXX`. Texts that a spreadsheet would take for a formula begin with an apostrophe.
    Gives the number of lines below the header; `out` appears whole or not at all.
    """
    count = 0
    with appears_whole(out) as fresh, fresh.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file)
        table.writerow([*(name for name, _ in _PICTURE_COLUMNS), *(name for name, _ in _FINDING_COLUMNS)])
        for result in read_rows(results):
            picture = [as_cell(value(result)) for _, value in _PICTURE_COLUMNS]
            for finding in result.findings or (None,):
                own = ["" if finding is None else as_cell(value(finding)) for _, value in _FINDING_COLUMNS]
                table.writerow(picture + own)
                count += 1
    return count


def as_cell(value: Any) -> Any:
    """A value for a table that spreadsheets open: no formula, as names of files and words in pictures are strangers' own.

    The apostrophe is what OWASP advises against CSV injection, and what spreadsheets hide.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def to_parquet(results: Path, out: Path) -> int:
    """Write results.jsonl as Parquet, one row a picture, findings and copies as nested columns; the number of rows.

    Undecodable bytes of paths are spelled `\\udcXX`. `out` appears whole or not at all.
    Raises BackendError (package_missing) without the extra `parquet`.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise package_missing("pyarrow", "parquet") from None
    schema = _arrow_schema(pyarrow)
    count = 0
    rows = read_rows(results)
    with appears_whole(out) as fresh, parquet.ParquetWriter(fresh, schema, compression="zstd") as writer:
        while batch := [_encodable(result.to_dict()) for result in islice(rows, PARQUET_ROWS)]:
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _rows(path: Path) -> Iterator[tuple[Result, int]]:
    """Whole rows with their length in bytes. A row is whole when its newline is there: it is written last."""
    try:
        lines = path.open("rb")
    except FileNotFoundError:
        raise DatasetError("missing", "no such results", path=str(path)) from None
    with lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                result = Result.from_dict(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    "bad_row",
                    f"line {number} is no row of {SCHEMA}: {error!r}",
                    path=str(path),
                    hint="was it written by another version, or edited?",
                ) from None
            yield result, len(line)


def _rounded(value: Any, decimals: int) -> Any:
    """Plain JSON types with floats rounded; numpy's numbers become Python's, -0.0 becomes 0.0."""
    if isinstance(value, Mapping):
        return {key: _rounded(part, _DECIMALS_OF.get(str(key), decimals)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part, decimals) for part in value]
    if value is None or isinstance(value, str | bool):
        return value
    return int(value) if isinstance(value, Integral) else round(float(value), decimals) + 0.0


def _encodable(value: Any) -> Any:
    """The same row with strings that UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, list) else value


def _arrow_schema(pa: Any) -> Any:
    box = pa.list_(pa.float32())
    candidate = pa.struct(
        [
            ("brand", pa.string()),
            ("similarity", pa.float32()),
            ("probability", pa.float32()),
            ("reference", pa.string()),
            ("read", pa.string()),
            ("rival", pa.bool_()),
        ]
    )
    finding = pa.struct(
        [
            ("kind", pa.string()),
            ("box", box),
            ("score", pa.float32()),
            ("verdict", pa.string()),
            ("brand", pa.string()),
            ("product", pa.string()),
            ("probability", pa.float32()),
            ("candidates", pa.list_(candidate)),
            ("text", pa.struct([("string", pa.string()), ("confidence", pa.float32()), ("box", box)])),
            ("orientation", pa.string()),
        ]
    )
    claim = pa.struct(
        [
            ("source", pa.string()),
            ("index", pa.string()),
            ("kind", pa.string()),
            ("distance", pa.int32()),
            ("probability", pa.float32()),
            ("box", box),
            ("source_box", box),
            ("first_seen", pa.string()),
            ("owner", pa.string()),
            ("transform", pa.list_(pa.float64())),
            ("coverage", pa.float32()),
        ]
    )
    return pa.schema(
        [
            ("schema", pa.string()),
            ("path", pa.string()),
            ("sha256", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("status", pa.string()),
            ("error", pa.struct([("code", pa.string()), ("message", pa.string())])),
            ("findings", pa.list_(finding)),
            ("copies", pa.list_(claim)),
            ("quality", pa.map_(pa.string(), pa.float64())),
            (
                "fingerprint",
                pa.struct(
                    [
                        ("pdq", pa.string()),
                        ("quality", pa.int32()),
                        ("content", pa.string()),
                        ("plain", pa.int32()),
                    ]
                ),
            ),
            ("degraded", pa.list_(pa.string())),
        ]
    )


def _best_claim(field: str) -> Callable[[Result], Any]:
    return lambda result: getattr(max(result.copies, key=_probability), field) if result.copies else ""


def _probability(claim: CopyClaim) -> float:
    return claim.probability


def _edge(index: int) -> Callable[[Finding], Any]:
    return lambda finding: finding.box[index]


_PICTURE_COLUMNS: tuple[tuple[str, Callable[[Result], Any]], ...] = (
    ("path", lambda r: r.path),
    ("sha256", lambda r: r.sha256 or ""),
    ("width", lambda r: r.width),
    ("height", lambda r: r.height),
    ("status", lambda r: r.status),
    ("error_code", lambda r: r.error.code if r.error else ""),
    ("error_message", lambda r: r.error.message if r.error else ""),
    ("copies", lambda r: len(r.copies)),
    ("copy_source", _best_claim("source")),
    ("copy_index", _best_claim("index")),
    ("copy_kind", _best_claim("kind")),
    ("copy_distance", _best_claim("distance")),
    ("copy_probability", _best_claim("probability")),
    ("quality", lambda r: json.dumps(dict(r.quality), separators=(",", ":"))),
    ("degraded", lambda r: " ".join(r.degraded)),
)

_FINDING_COLUMNS: tuple[tuple[str, Callable[[Finding], Any]], ...] = (
    ("kind", lambda f: f.kind),
    ("left", _edge(0)),
    ("top", _edge(1)),
    ("right", _edge(2)),
    ("bottom", _edge(3)),
    ("score", lambda f: f.score),
    ("verdict", lambda f: f.verdict),
    ("brand", lambda f: f.brand or ""),
    ("product", lambda f: f.product or ""),
    ("probability", lambda f: f.probability),
    ("candidates", lambda f: json.dumps([c.brand for c in f.candidates], ensure_ascii=False) if f.candidates else ""),
    ("text", lambda f: f.text.string if f.text else ""),
    ("orientation", lambda f: f.orientation),
)
