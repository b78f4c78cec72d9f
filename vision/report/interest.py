"""Which rows of a large scan are worth showing: pure choices over a stream of rows, in flat memory.

Copies, each known brand, close calls, strangers and failures are all represented, the rare before the frequent. What is
left out is still in results.jsonl.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vision.values import Result

Source = TypeVar("Source")

# The share of the places that each group is sure of; what one does not fill goes to the others, in this order.
SHARES = {"known": 0.40, "copies": 0.20, "ambiguous": 0.15, "unknown": 0.10, "failed": 0.10, "nothing": 0.05}


@dataclass(frozen=True, slots=True)
class Row(Generic[Source]):
    """One row of a scan: its number from 0, what was found, and what its picture can be opened with."""

    index: int
    result: Result
    source: Source


def group_of(result: Result) -> str:
    """The group a row is shown for: the first that holds of failed, copies, known, ambiguous, unknown, nothing."""
    if result.status == "failed":
        return "failed"
    if result.copies:
        return "copies"
    verdicts = {finding.verdict for finding in result.findings}
    return next((name for name in ("known", "ambiguous", "unknown") if name in verdicts), "nothing")


def most_interesting(rows: Iterable[tuple[Result, Source]], limit: int) -> list[Row[Source]]:
    """At most `limit` rows, in their own order; all of them when there are no more. The same rows give the same choice."""
    kept: dict[str, list[tuple[tuple[Any, ...], Row[Source]]]] = {name: [] for name in SHARES}
    seen: Counter[str] = Counter()
    for index, (result, source) in enumerate(rows):
        name = group_of(result)
        group = kept[name]
        group.append(((*_rank(name, result, seen), index), Row(index, result, source)))
        if len(group) >= 2 * limit:
            del _in_order(group)[limit:]
    chosen: list[Row[Source]] = []
    spare: list[Row[Source]] = []
    for name, share in SHARES.items():
        best = [row for _, row in _in_order(kept[name])]
        sure = int(limit * share)
        chosen += best[:sure]
        spare += best[sure:]
    chosen += spare[: limit - len(chosen)]
    return sorted(chosen, key=lambda row: row.index)


def _in_order(group: list[tuple[tuple[Any, ...], Row[Source]]]) -> list[tuple[tuple[Any, ...], Row[Source]]]:
    """The list itself, lowest rank first; ranks are unique, rows are never compared."""
    group.sort(key=lambda entry: entry[0])
    return group


def _rank(name: str, result: Result, seen: Counter[str]) -> tuple[float, float]:
    """Lower is more interesting. Brands and failures that were seen less often so far come first, then the surer ones."""
    if name == "failed":
        code = f"failed {result.error.code if result.error else ''}"
        seen[code] += 1
        return seen[code], 0.0
    if name == "known":
        named = {f"brand {f.brand}" for f in result.findings if f.brand}
        seen.update(named)
        return min(seen[brand] for brand in named), -max(f.probability for f in result.findings if f.brand)
    if name == "copies":
        return -max(claim.probability for claim in result.copies), 0.0
    return -max((f.probability for f in result.findings), default=0.0), -max(
        (f.score for f in result.findings), default=0.0
    )
