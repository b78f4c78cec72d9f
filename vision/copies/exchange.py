"""Lists of PDQ hashes in and out, as they are passed around between platforms: CSV, text and JSON in ThreatExchange's forms.

A list comes from strangers, so each line stands for itself: one that cannot be read is told with its number and the reason, and
the next one is read. These forms are read, all of them in facebook/ThreatExchange:

- without a header: `hash,id,time,tags` (hasher-matcher-actioner/sample_data/pdq.csv), `id,hash,...` (the CLI's store),
  `hash,quality,file` (what pdq-photo-hasher prints), `hash` alone, `pdq hash` (the CLI's local_file);
- under a header: `collab,signal_type,signal_str,category,tags` (`threatexchange dataset --csv`), `FilePath,Hash`, and others of
  such names, separated by commas, semicolons or tabs;
- JSON: threat indicators and descriptors (`{"data": [{"indicator", "type": "HASH_PDQ"}]}`, or by id), StopNCII's
  (`hashRecords`, `hashValue`, `signalType`), NCMEC's entries (`fingerprints`, `pdq`), plain lists, and JSON lines.

Written are the CLI's CSV with more columns behind it, and JSON of threat indicators.

A hash is all that is known of such a picture. Its entry has width and height 0, and for a digest the sha256 of its hash: no file
has that one, and decisions about the hash stick when the list is imported again.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from vision.copies.segments import Entry
from vision.copies.verify import MIN_QUALITY
from vision.errors import UsageError
from vision.files import appears_whole
from vision.values import Fingerprint

# The columns of `threatexchange dataset --csv`, then ours; those that may hold line breaks last, see `_logical`.
COLUMNS = ("collab", "signal_type", "signal_str", "category", "tags", "quality", "sha256", "time", "owner", "id")
# Half of the bits of a PDQ hash are set, as they say which coefficients are above the median. ThreatExchange's own made-up test
# lists have 112 to 142 of 256; constant hashes ("faceface…", zeros) would match whatever is plain.
FEWEST_BITS, MOST_BITS = 96, 160
# A quoted field may go over this many lines; a stray quote must not swallow the rest of a list.
QUOTED_LINES = 8
_MILLISECONDS = 1e11  # a time in seconds has fewer digits until the year 5138

_HASH = (
    "hash",
    "pdq",
    "pdqhash",
    "signalstr",
    "indicator",
    "rawindicator",
    "hashvalue",
    "hashdigest",
    "value",
    "signal",
)
_TYPE = ("signaltype", "hashtype", "indicatortype", "algorithm", "type")
_ID = ("id", "indicatorid", "descriptorid", "filepath", "filename", "file", "path", "name")
_TIME = ("time", "creationtime", "createtime", "addedon", "timestamp", "lastupdated", "lastmodtimestamp")
_OWNER = ("owner", "source", "member", "ownerid", "memberid")
_QUALITY = ("quality", "pdqquality")
_WITHDRAWN = ("shoulddelete", "deleted")
_PDQ_TYPES = frozenset({"pdq", "hashpdq", "imagepdq", "pdqhash"})
_RECORDS = ("data", "hashRecords", "hash_records", "hashes", "signals", "entries", "images")

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What could not be taken from a list. number: of the line, from 1; of a JSON document, of the record."""

    number: int
    why: str


class _Refused(ValueError):  # noqa: N818 it is caught here and becomes a Fault
    """One record is no hash."""


def read_hashes(path: Path, *, name: str | None = None, owner: str | None = None) -> Iterator[Entry | Fault]:
    """The hashes of a list as entries, and a Fault for each line that gives none; in the order of the file, one at a time.

    name: what the ids begin with, so that they meet no others in the index; the file's name without its suffix by default. A
    hash without an id goes by itself. owner: whose they are, where the list does not say. Its time is the list's, or now.
    Quality is 100 where the list has none. Raises UsageError (bad_option) when the file cannot be opened.
    """
    name = path.stem if name is None else name
    now = datetime.now(UTC)
    taken: dict[str, str] = {}
    for number, record in _records(path):
        try:
            if isinstance(record, _Refused):
                raise record
            yield _entry(record, name, owner, now, taken)
        except _Refused as refused:
            yield Fault(number, str(refused))


def write_hashes(entries: Iterable[Entry], path: Path, collection: str) -> tuple[int, int]:
    """Write the hashes of entries as a list, .csv or .json; how many, and how many were left out for low quality.

    collection: what the list calls itself ("collab"). Hashes of quality under 50 are left out: ThreatExchange's advice is to
    discard them, and most that read a list look at no quality. The file appears whole or not at all.
    Raises UsageError (bad_option) for another suffix, and when the file is there already.
    """
    writers = {".csv": _write_csv, ".json": _write_json}
    if path.suffix.lower() not in writers:
        raise UsageError("bad_option", "a list of hashes is .csv or .json", path=str(path))
    if path.exists():
        raise UsageError("bad_option", "it is there already", path=str(path), hint="another name")
    left_out = 0

    def good() -> Iterator[Entry]:
        nonlocal left_out
        for entry in entries:
            if entry.fingerprint.quality >= MIN_QUALITY:
                yield entry
            else:
                left_out += 1

    with appears_whole(path) as fresh, fresh.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        count = writers[path.suffix.lower()](good(), file, collection)
    return count, left_out


def _write_csv(entries: Iterable[Entry], file: TextIO, collection: str) -> int:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for count, entry in enumerate(entries, 1):  # noqa: B007 it is the answer
        known = (entry.fingerprint.quality, entry.sha256, entry.time, entry.owner or "", entry.id)
        row = (collection, "pdq", entry.fingerprint.pdq, "WORTH_INVESTIGATING", "", *known)
        table.writerow([_writable(value) for value in row])
    return count


def _write_json(entries: Iterable[Entry], file: TextIO, collection: str) -> int:
    file.write('{"data": [')
    count = 0
    for count, entry in enumerate(entries, 1):
        seconds = int(_moment(entry.time, datetime.fromtimestamp(0, UTC)).timestamp())
        row = {
            "id": entry.id,
            "indicator": entry.fingerprint.pdq,
            "type": "HASH_PDQ",
            "creation_time": seconds,
            "last_updated": seconds,
            "status": "UNKNOWN",
            "should_delete": False,
            "tags": [],
            "collab": collection,
            "quality": entry.fingerprint.quality,
            "sha256": entry.sha256,
        }
        row["owner"] = None if entry.owner is None else {"name": entry.owner}
        file.write(("\n" if count == 1 else ",\n") + json.dumps(row))
    file.write('\n], "paging": {}}\n')
    return count


def _writable(value: Any) -> Any:
    """What the file's encoding takes: bytes of a path as they were, other lone surrogates spelled out."""
    if not isinstance(value, str):
        return value
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace").decode()
    return value


# --- reading: a file becomes records, a record an entry ---


def _records(path: Path) -> Iterator[tuple[int, Record | _Refused]]:
    """Every record of a list with its number, under the names that it has in the list."""
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n")
    except OSError as error:
        raise UsageError("bad_option", f"cannot be read: {error.strerror or error}", path=str(path)) from None
    with file:
        suffix = path.suffix.lower()
        if suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(file)
        elif suffix == ".json":
            yield from _json_document(file.read())
        else:
            yield from _rows(file)


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, Record | _Refused]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, _flat(json.loads(line))
            except (ValueError, RecursionError) as error:
                yield number, _Refused(f"no JSON: {error}")


def _json_document(text: str) -> Iterator[tuple[int, Record | _Refused]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        yield error.lineno, _Refused(f"no JSON, and nothing of the file was taken: {error.msg}")
        return
    except (ValueError, RecursionError) as error:
        yield 1, _Refused(f"no JSON, and nothing of the file was taken: {error}")
        return
    if isinstance(found, dict):
        inside = next((found[key] for key in _RECORDS if isinstance(found.get(key), list)), None)
        if inside is not None:
            found = inside
        elif found and all(isinstance(part, dict) for part in found.values()) and "content" not in found:
            found = [{"id": key} | part for key, part in found.items()]
        else:
            found = [found]
    if not isinstance(found, list):
        yield 1, _Refused("no list of hashes")
        return
    for number, record in enumerate(found, 1):
        yield number, _flat(record)


def _flat(record: Any) -> Record:
    """One JSON record without nesting: what is in its content or fingerprints beside the rest, whose it is by name."""
    if not isinstance(record, dict):
        return {"hash": record}
    flat = {key: value for key, value in record.items() if not isinstance(value, dict | list)}
    for key, value in record.items():
        if isinstance(value, dict):
            if key in ("content", "fingerprints"):
                flat |= {inner: part for inner, part in value.items() if not isinstance(part, dict | list)}
            elif key in ("owner", "source", "member"):
                flat[key] = value.get("name", value.get("id"))
    # of several fingerprints PDQ is meant, and the record's own type is none of a hash then
    if "pdq" in flat:
        flat = {key: value for key, value in flat.items() if _plain(key) not in _TYPE}
    return flat


def _rows(lines: Iterator[str]) -> Iterator[tuple[int, Record | _Refused]]:
    header: list[str] | None = None
    delimiter, first = ",", True
    for number, text in _logical(lines):
        line = text.strip("\r\n")
        if not line.strip() or (header is None and line.startswith("#")):
            continue
        try:
            if header is not None:
                fields = _fields(line, delimiter)
                # a remark, or an entry whose name begins so: that has a hash, or at least all its fields
                remark = line.startswith("#") and len(fields) < max(2, len(header)) and not any(map(_is_hash, fields))
                if not remark:
                    yield number, dict(zip(header, fields, strict=False))
                continue
            # without a header every line is asked anew: a corrupt first one must not decide for the others
            ways = {sign: _fields(line, sign) for sign in ",;\t"}
        except (csv.Error, StopIteration) as error:
            yield number, _Refused(f"no CSV: {error}")
            continue
        with_hash = next((fields for fields in ways.values() if any(map(_is_hash, fields[:2]))), None)
        named = [sign for sign, fields in ways.items() if not set(map(_plain, fields)).isdisjoint(_HASH)]
        if first and with_hash is None and named:
            delimiter, header = named[0], ways[named[0]]
        else:
            yield number, _by_place(with_hash or ways[","])
        first = False


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip() for field in next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter))]


def _logical(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Lines with the number of their first: joined where a quoted field goes on, unless what is joined has a hash of its own."""
    ahead: list[str] = []
    number = 0
    while True:
        ahead += islice(lines, 1 + QUOTED_LINES - len(ahead))
        if not ahead:
            return
        taken = 1
        if ahead[0].count('"') % 2:
            end = next((at for at, line in enumerate(ahead[1:], 2) if line.count('"') % 2), 1)
            if not any(_is_hash(word) for line in ahead[1:end] for word in line.replace('"', ",").split(",")):
                taken = end
        yield number + 1, "".join(ahead[:taken])
        number += taken
        del ahead[:taken]


def _by_place(fields: list[str]) -> Record:
    """A row without a header: what a field is shows in what it holds."""
    if len(fields) == 1:
        fields = fields[0].split(maxsplit=1) or fields  # "pdq HASH"
    at = next((at for at, field in enumerate(fields[:2]) if _is_hash(field)), None)
    if at is None:
        return {"hash": fields[-1] if len(fields) == 2 and _plain(fields[0]) in _PDQ_TYPES else fields[0]}
    record: Record = {"hash": fields[at]}
    rest = fields[at + 1 :]
    if at == 1:
        record["type" if fields[0].isalpha() else "id"] = fields[0]
        return record
    if len(rest) > 1 and rest[0].isdecimal() and int(rest[0]) <= 100 and _time(rest[1]) is None:
        record["quality"], record["id"] = rest[:2]
    elif rest:
        record |= dict(zip(("id", "time"), rest, strict=False))
    return record


def _entry(record: Record, name: str, owner: str | None, now: datetime, taken: dict[str, str]) -> Entry:
    known = {_plain(key): value for key, value in record.items() if value not in (None, "")}

    def value(names: Iterable[str]) -> Any:
        return next((known[each] for each in names if each in known), None)

    if str(value(_WITHDRAWN)).lower() in ("true", "1"):
        raise _Refused("it was withdrawn")
    kind = value(_TYPE)
    if kind is not None and _plain(str(kind)) not in _PDQ_TYPES:
        raise _Refused(f"a hash of type {str(kind)[:40]!r}, not PDQ")
    pdq = _checked(value(_HASH))
    quality = _quality(value(_QUALITY))
    id_ = str(value(_ID) or pdq)
    if taken.setdefault(id_, pdq) != pdq:  # two hashes of one id are both kept
        id_ = f"{id_}#{pdq[:16]}"
    said = value(_OWNER)
    if (
        said is None and owner is None and "owner" not in map(_plain, record)
    ):  # a list that knows no owners: its own name
        said = known.get("collab")
    digest = str(known.get("sha256", "")).lower()
    whole = len(digest) == 64 and _hexadecimal(digest)
    return Entry(
        id=f"{name}/{id_}" if name else id_,
        owner=owner if said is None else str(said),
        time=_moment(value(_TIME), now).strftime("%Y-%m-%dT%H:%M:%SZ"),
        width=0,
        height=0,
        sha256=digest if whole else hashlib.sha256(bytes.fromhex(pdq)).hexdigest(),
        fingerprint=Fingerprint(pdq, quality),
    )


def _checked(found: Any) -> str:
    if found is None:
        raise _Refused("no hash")
    pdq = str(found).strip().lower()
    if len(pdq) != 64 or not _hexadecimal(pdq):
        raise _Refused(f"{pdq[:70]!r} is no PDQ hash: 64 hex digits")
    bits = int(pdq, 16).bit_count()
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise _Refused(f"no picture has this hash: {bits} of its 256 bits are set, half of them should be")
    return pdq


def _quality(found: Any) -> int:
    if found is None:
        return 100
    with contextlib.suppress(ValueError):
        quality = float(found)
        if 0 <= quality <= 100:
            return round(quality)
    raise _Refused(f"a quality of {str(found)[:40]!r}, not 0 to 100")


def _moment(found: Any, otherwise: datetime) -> datetime:
    return _time(found) or otherwise


def _time(found: Any) -> datetime | None:
    """Seconds or milliseconds since 1970, or ISO 8601 (UTC where it names no zone); null for anything else."""
    text = str(found).strip()
    with contextlib.suppress(ValueError, OverflowError, OSError):
        if text.isdecimal() and len(text) > 8:  # eight digits are a date
            seconds = float(text)
            return datetime.fromtimestamp(seconds / 1000 if seconds > _MILLISECONDS else seconds, UTC)
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def _is_hash(text: str) -> bool:
    text = text.strip()
    return len(text) == 64 and _hexadecimal(text)


def _hexadecimal(text: str) -> bool:
    return set("0123456789abcdefABCDEF").issuperset(text)


def _plain(name: str) -> str:
    """A column's name without case and signs: "Signal_Type" is "signaltype"."""
    return "".join(c for c in name.lower() if c.isalnum())
