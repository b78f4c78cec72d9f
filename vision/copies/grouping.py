"""All pictures of an index, grouped: its claims, a person's decisions and the entries brought together for `clusters.group`.

In: an index. Out: the grouping, with the entries and claims that it rests on. Only what is claimed is held in memory.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vision.copies import decisions
from vision.copies.clusters import Grouping, Member, group
from vision.copies.segments import Entry
from vision.copies.store import CopyIndex
from vision.geometry import Boxes
from vision.values import CopyClaim


@dataclass(frozen=True, slots=True)
class Grouped:
    """A grouping of an index. entries: by id, of every picture in it. claims: by (id, id of its source)."""

    grouping: Grouping
    entries: dict[str, Entry]
    claims: dict[tuple[str, str], CopyClaim]


def group_index(
    index: CopyIndex,
    progress: Callable[[int, int], None] = lambda *_: None,
    logos: Callable[[Entry], Boxes] | None = None,
) -> Grouped:
    """Clusters of the pictures of an index that claim each other, with what a person decided about them.

    progress: told how many pictures were compared so far, and of how many. logos: as for `CopyIndex.ties`.
    Raises LibraryError (damaged, newer_version).
    """
    claims: dict[tuple[str, str], CopyClaim] = {}
    followers: set[str] = set()
    total = len(index)
    for number, ties in enumerate(index.ties(logos), 1):
        claims |= {(ties.id, claim.source): claim for claim in ties.claims}
        if ties.follows:
            followers.add(ties.id)
        progress(number, total)
    decided = decisions.load(index.path)
    digests = {digest for decision in decided for digest in (decision.a, decision.b)}
    wanted = {id_ for pair in claims for id_ in pair}
    entries = {
        entry.id: entry for entry in index.entries(features=False) if entry.id in wanted or entry.sha256 in digests
    }
    of_digest: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries.values():
        of_digest[entry.sha256].append(entry.id)
    members = [Member(e.id, e.time, e.owner, e.width * e.height) for e in entries.values()]
    told = {
        word: [
            pair
            for decision in decided
            if decision.word == word
            for pair in _between(of_digest[decision.a], of_digest[decision.b])
        ]
        for word in ("confirmed", "denied")
    }
    denied = {frozenset(pair) for pair in told["denied"]}
    grouping = group(
        members,
        ((a, b, claim.probability) for (a, b), claim in claims.items() if frozenset((a, b)) not in denied),
        confirmed=told["confirmed"],
        denied=told["denied"],
        followers=followers,
    )
    return Grouped(grouping, entries, claims)


def _between(one: Iterable[str], other: Iterable[str]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in itertools.product(one, other) if a != b]
