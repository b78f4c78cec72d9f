"""What claims on a battery are worth: recall by edit and family, micro-AP, false claims. Pure.

In: the truth and scored claims. Out: plain dictionaries. Three bars are judged: `shipped`, all that a method claims at its own
operating point; and two that are found afterwards, on the same claims, `fp_rate` (at most one false claim in a million pairs)
and `zero_fp` (none), which flatter every method. Equal scores count against it, as in DISC21's own evaluation (Douze et al.
2021): a false claim as sure as a right one comes first, and a bar cuts off both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.evaluate.copies.battery import Query
from vision.evaluate.figures import interval

FALSE_RATE = 1e-6
BARS = ("shipped", "fp_rate", "zero_fp")

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says that a query was taken from a source. score: higher is surer. kind: the edit seen, null when not told."""

    query: str
    source: str
    score: float
    kind: str | None = None


def best_claims(claims: Iterable[Claim]) -> list[Claim]:
    """Each pair once, at its best score, surest first; equal scores in the order of query and source."""
    best: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        pair = claim.query, claim.source
        if pair not in best or claim.score > best[pair].score:
            best[pair] = claim
    return sorted(best.values(), key=lambda c: (-c.score, c.query, c.source))


def micro_ap(scores: Floats, right: Flags, positives: float, weights: Floats | None = None) -> float:
    """Mean precision at each right claim over all that should be claimed; those never claimed count 0. NaN when there is nothing.

    scores, right: (n,), all claims of all queries in one list. positives: how many claims are right, made or not.
    weights: (n,) how often each claim is there, once by default. Perronnin et al. 2009; the figure of DISC21.
    """
    if not positives:
        return float("nan")
    order = np.lexsort((right, -scores))
    weight = np.ones(len(order)) if weights is None else weights[order]
    hit = weight * right[order]
    with np.errstate(invalid="ignore"):
        precision = np.cumsum(hit) / np.cumsum(weight)
    return float(np.where(hit > 0, hit * precision, 0).sum() / positives)


def bar_for(false_scores: Floats, allowed: int) -> float:
    """The lowest bar *above* which at most so many false claims score; minus infinity when all may stay. (n,) in any order."""
    return float(np.sort(false_scores)[::-1][allowed]) if len(false_scores) > allowed else float("-inf")


def score_claims(
    truth: Sequence[Query], claims: Iterable[Claim], pairs: int, bar: float = float("-inf"), rate: float = FALSE_RATE
) -> dict[str, Any]:
    """The figures of claims on a battery.

    pairs: queries times references; `rate` of them may be false for `fp_rate`. bar: the operating point: what scores this or
    more is claimed; by default all that is given. Intervals: 95 % over the originals, each with all of its copies.
    A query is right when its own source is claimed; every other claim is false, also on copies of strangers.
    """
    ranked = best_claims(claims)
    wanted = {(q.query, q.source): number for number, q in enumerate(truth) if q.source is not None}
    scores = np.array([c.score for c in ranked], float)
    right = np.array([(c.query, c.source) in wanted for c in ranked], bool)
    false = scores[~right]
    found = np.full(len(truth), -np.inf)
    for claim, hit in zip(ranked, right, strict=True):
        if hit:
            found[wanted[claim.query, claim.source]] = claim.score
    table = _Table(truth)
    own = {c.query: c for c in truth}
    at = [table.place(own[c.query].source) if c.query in own else None for c in ranked]
    figures: dict[str, Any] = {
        "micro_ap": micro_ap(scores, right, len(wanted)),
        "micro_ap_interval": _micro_ap_interval(scores, right, at, table),
        "claims": len(ranked),
        "false_claims": len(false),
        "pairs": pairs,
        "queries": len({q.query for q in truth}),
    }
    # "above a bar" for those found afterwards, "at or above" for one chosen before
    bars = {"shipped": float(np.nextafter(bar, -np.inf)), "zero_fp": bar_for(false, 0)}
    bars["fp_rate"] = bar_for(false, int(rate * pairs + 1e-9))
    for name in BARS:
        above = bars[name] if np.isfinite(bars[name]) else -np.inf
        figures[name] = {
            "bar": None if not np.isfinite(above) else bar if name == "shipped" else above,
            "false": int((false > above).sum()),
            **table.recalls(found > above),
        }
    return figures


class _Table:
    """Which copies there are of each original and edit, to count those found and to draw originals again."""

    def __init__(self, truth: Sequence[Query]) -> None:
        asked = [(number, q) for number, q in enumerate(truth) if q.source is not None]
        self.numbers = np.array([number for number, _ in asked], dtype=np.int64)
        self.sources = {source: n for n, source in enumerate(dict.fromkeys(q.source for _, q in asked))}
        self.edits = list(dict.fromkeys((q.family, q.edit) for _, q in asked))
        edits = {edit: n for n, edit in enumerate(self.edits)}
        self.row = np.array([self.sources[q.source] for _, q in asked], dtype=np.int64)
        self.column = np.array([edits[q.family, q.edit] for _, q in asked], dtype=np.int64)
        self.families = {
            family: np.array([n for n, (f, _) in enumerate(self.edits) if f == family], dtype=np.int64)
            for family in dict.fromkeys(f for f, _ in self.edits)
        }

    def place(self, source: str | None) -> int | None:
        """The row of an original."""
        return self.sources.get(source) if source is not None else None

    def counts(self, flags: npt.NDArray[Any]) -> Floats:
        """(originals, edits) sums of a number for each asked copy."""
        sums = np.zeros((len(self.sources), len(self.edits)))
        np.add.at(sums, (self.row, self.column), flags)
        return sums

    def recalls(self, found: Flags) -> dict[str, Any]:
        """Shares found by edit, family (mean of its edits) and over all edits, the latter two with intervals."""
        hits, asked = self.counts(found[self.numbers]), self.counts(np.ones(len(self.numbers)))

        def by_edit(picks: Rows) -> Floats:
            drawn = np.bincount(picks, minlength=len(hits))
            with np.errstate(invalid="ignore"):
                return np.asarray((drawn @ hits) / (drawn @ asked), float)

        def mean_of(columns: Rows, picks: Rows) -> float:
            values = by_edit(picks)[columns]
            values = values[~np.isnan(values)]  # no original that has this edit was drawn
            return float(values.mean()) if len(values) else float("nan")

        every, n = np.arange(len(hits)), len(hits)
        all_columns = np.arange(len(self.edits))
        return {
            "mean": mean_of(all_columns, every),
            "mean_interval": interval(lambda picks: mean_of(all_columns, picks), n) if n else [float("nan")] * 2,
            "families": {family: mean_of(own, every) for family, own in self.families.items()},
            "families_interval": {
                family: interval(lambda picks, own=own: mean_of(own, picks), n)  # type: ignore[misc]
                for family, own in self.families.items()
            },
            "edits": {edit: float(v) for (_, edit), v in zip(self.edits, by_edit(every), strict=True)},
        }


def _micro_ap_interval(scores: Floats, right: Flags, at: Sequence[int | None], table: _Table) -> list[float]:
    """Originals drawn again, with all claims on their copies; claims on copies of strangers stay as they are."""
    n = len(table.sources)
    if not n:
        return [float("nan")] * 2
    places = np.array([n if place is None else place for place in at], dtype=np.int64)
    copies = np.bincount(table.row, minlength=n)

    def drawn_ap(picks: Rows) -> float:
        drawn = np.append(np.bincount(picks, minlength=n), 1).astype(float)
        return micro_ap(scores, right, float(drawn[:n] @ copies), drawn[places])

    return interval(drawn_ap, n)


def false_claims(truth: Sequence[Query], claims: Iterable[Claim], bar: float = float("-inf")) -> list[dict[str, Any]]:
    """Every false claim at or above a bar, surest first, with what the query was made from and how."""
    own = {q.query: q for q in truth}
    rows = []
    for claim in best_claims(claims):
        query = own.get(claim.query)
        if claim.score >= bar and (query is None or query.source != claim.source):
            rows.append(
                {
                    "query": claim.query,
                    "source": claim.source,
                    "score": claim.score,
                    "kind": claim.kind,
                    "edit": query.edit if query else None,
                    "true_source": query.source if query else None,
                }
            )
    return rows


def missed_copies(truth: Sequence[Query], claims: Iterable[Claim], bar: float = float("-inf")) -> list[Query]:
    """Copies whose source was not claimed at or above a bar, in the order of the truth."""
    claimed = {(c.query, c.source) for c in claims if c.score >= bar}
    return [q for q in truth if q.source is not None and (q.query, q.source) not in claimed]


def misses_by_edit(missed: Sequence[Query]) -> Mapping[str, list[Query]]:
    """Missed copies of each edit, the edit with the most misses first."""
    by: dict[str, list[Query]] = {}
    for query in missed:
        by.setdefault(query.edit, []).append(query)
    return dict(sorted(by.items(), key=lambda item: -len(item[1])))
