"""What a person decided about pairs of pictures, kept beside the index and honoured in every later search until it is revoked.

A pair is known by the digests of its two files, in either order, so a decision holds for every entry with that content, whatever
its id, and outlives the entries. `decisions.jsonl` in the index's folder is appended to, line by line; the last line about a
pair counts, so the file is its own history. `Decisions` is its state, in memory; pure.
"""

from __future__ import annotations

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from vision.errors import LibraryError, UsageError
from vision.files import locked

DECIDED = "decisions.jsonl"  # inside the index's folder
SCHEMA = "vision.copy-decisions/1"
LOCK_SECONDS = 10.0

Word = Literal["confirmed", "denied", "revoked"]
_WORDS = frozenset({"confirmed", "denied", "revoked"})
# Half of a sha256 tells files apart as well as all of it; it is what the index holds in memory.
_HALF = 32
_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one pair. a, b: sha256 of the two files, 64 hex digits; equal in decisions of earlier versions
    about a file and copies of its bytes.

    names: what the two were called when it was decided. when: ISO 8601. by: who decided. note: why.
    """

    word: Word
    a: str
    b: str
    when: str
    by: str | None = None
    note: str | None = None
    names: tuple[str, str] | None = None

    @classmethod
    def of(
        cls,
        word: Word,
        a: str,
        b: str,
        *,
        by: str | None = None,
        note: str | None = None,
        names: tuple[str, str] | None = None,
        when: str | None = None,
    ) -> Decision:
        """A decision; made now by default. Raises UsageError (bad_option) for a digest that is none."""
        a, b = a.lower(), b.lower()
        for digest in (a, b):
            if len(digest) != 2 * _HALF or not _DIGITS.issuperset(digest):
                raise UsageError("bad_option", f"{digest!r} is no sha256")
        return cls(word, a, b, when or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), by, note, names)


class Decisions:
    """The decisions that hold: of each pair the last one, unless it was revoked. Iterating gives them in the order decided."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self._of: dict[tuple[str, str], Decision] = {}
        self._confirmed: defaultdict[str, set[str]] = defaultdict(set)
        self._about: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for decision in decisions:
            self._take(decision)

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._of.values())

    def of(self, sha_a: str, sha_b: str) -> Literal["confirmed", "denied"] | None:
        """What holds for two files, by sha256 as hex or its first 32 digits; null when nothing was decided."""
        found = self._of.get(_pair(sha_a, sha_b))
        return None if found is None or found.word == "revoked" else found.word

    def about(self, sha: str) -> bool:
        """Whether anything holds for a file, by sha256 as hex or its first 32 digits, and any other one."""
        return bool(self._about.get(sha[:_HALF].lower()))

    def confirmed_with(self, sha: str) -> frozenset[str]:
        """The sha256 of every file that is confirmed to be the same picture as this one, 64 hex digits each."""
        return frozenset(self._confirmed.get(sha[:_HALF].lower(), ()))

    def _take(self, decision: Decision) -> None:
        pair = _pair(decision.a, decision.b)
        # taken out first, so that the order is that of the last decisions
        self._of.pop(pair, None)
        for one, other in ((decision.a, decision.b), (decision.b, decision.a)):
            if decision.word == "revoked":
                self._about[one[:_HALF]].discard(pair)
            else:
                self._about[one[:_HALF]].add(pair)
            if decision.word == "confirmed":
                self._confirmed[one[:_HALF]].add(other)
            else:
                self._confirmed[one[:_HALF]].discard(other)
        if decision.word != "revoked":
            self._of[pair] = decision


def load(index: Path) -> Decisions:
    """The decisions kept in an index's folder; none when there are none yet. Raises LibraryError (damaged, newer_version)."""
    return Decisions(decision for decision, _ in _lines(index / DECIDED))


def history(index: Path) -> list[Decision]:
    """Everything that was ever decided, in order, revocations too. Raises as `load` does."""
    return [decision for decision, _ in _lines(index / DECIDED)]


def append(index: Path, decisions: Iterable[Decision]) -> None:
    """Remember decisions, on disk when this returns; half a line that a crash left behind is cut off first.

    Waits for the lock of the index, and raises LibraryError (locked, read_only, damaged, newer_version).
    """
    path = index / DECIDED
    with locked(index, LOCK_SECONDS, "index"):
        end = sum(size for _, size in _lines(path))
        with path.open("r+b" if path.exists() else "x+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(b"".join(_line(decision) for decision in decisions))
            file.flush()
            os.fsync(file.fileno())


def adopt(index: Path, other: Path) -> int:
    """Take over what was decided for another index; of a pair decided in both, what was decided here stays. How many came.

    Raises as `append` does.
    """
    known = load(index)
    new = [decision for decision in load(other) if known.of(decision.a, decision.b) is None]
    if new:
        append(index, new)
    return len(new)


def _pair(sha_a: str, sha_b: str) -> tuple[str, str]:
    a, b = sorted((sha_a[:_HALF].lower(), sha_b[:_HALF].lower()))
    return a, b


def _line(decision: Decision) -> bytes:
    # ASCII, so that names with undecodable bytes can be kept
    return json.dumps({"schema": SCHEMA} | asdict(decision)).encode("ascii") + b"\n"


def _lines(path: Path) -> Iterator[tuple[Decision, int]]:
    """Every whole line with its length in bytes. A line is whole when its newline is there: it is written last."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.endswith(b"\n"):
            return
        try:
            yield _parsed(json.loads(line)), len(line)
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise LibraryError(
                "damaged",
                f"line {number} is no decision: {error}",
                path=str(path),
                hint="restore the file, or remove the line: then nothing was decided by it",
            ) from None
        except LibraryError as error:
            error.path = str(path)
            raise


def _parsed(row: Mapping[str, Any]) -> Decision:
    if row["schema"] != SCHEMA:
        raise LibraryError("newer_version", f"decisions of schema {row['schema']!r}", hint="update this package")
    if row["word"] not in _WORDS:
        raise ValueError(f"{row['word']!r} is none")
    names = row["names"]
    return Decision.of(
        row["word"],
        row["a"],
        row["b"],
        by=row["by"],
        note=row["note"],
        names=None if names is None else (names[0], names[1]),
        when=row["when"],
    )
