"""Claims between pairs of pictures become clusters of one picture, and owners who share pictures become groups.

In: pictures with their time and owner, and which pairs claim each other. Out: clusters, the presumed original of each first, and
the claims that lead from one cluster to another. Pure.

That B was taken from A and C from B does not make C a copy of A: a collage is tied to each of its pictures, and following every
claim glues them all, then their copies, then hundreds. So two groups become one only when at least half of the pairs between
them claim each other: average linkage (UPGMA; Sokal and Michener 1958; Manning et al., Intro to IR, 17.3, where single link is
shown to chain), where a pair counts 1 when it is claimed and 0 when not, the pairs that agree best being joined first. Of a
chain of claims at most three pictures in a row stay together. A picture that is found in some of its copies and not in all, as
strong edits are, stays with them; three crops of one picture that share nothing with each other do not all stay, since nothing
but dates tells them from the parts of a collage. No claim is lost for it: `Grouping.between` has those across clusters.
Ties go to the earlier picture, so the order in which pictures and claims come changes nothing.

Where hundreds of pictures are copies of one, all pairs are too many. So some of them follow: they were compared with a few of
their kind only, tie nothing together, and join the group in which at least half of what they claim lies.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

# The share of the pairs between two groups that has to be claimed before they become one. At half, a picture that is found in
# two groups of two and more cannot join them: it ties at most one in three of their pairs. And a search that misses every second
# pair within a group still holds it together.
AGREEMENT = 0.5
# Clusters that two owners must share before they are grouped: one may be chance, or the maker's packshot.
SHARED = 2
# A picture at more owners than this ties none of them: it is everybody's, and its pairs grow with the square. Not measured.
WIDEST = 50

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """One picture. id: unique. time: ISO 8601, null when not known. owner: whose it is. pixels: how many, 0 when not known."""

    id: str
    time: str | None = None
    owner: str | None = None
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two or more copies of one picture. members: earliest first, of equals the largest, then by id; without a time last."""

    members: tuple[Member, ...]

    @property
    def original(self) -> Member:
        """The picture seen earliest: presumed to be the one that the others were taken from."""
        return self.members[0]

    @property
    def owners(self) -> tuple[str, ...]:
        """Everyone who has one of them, sorted."""
        return tuple(sorted({member.owner for member in self.members if member.owner is not None}))


@dataclass(frozen=True, slots=True)
class Grouping:
    """clusters: largest first, of equals the earliest. between: claims from one cluster to another, or to a picture in none."""

    clusters: tuple[Cluster, ...]
    between: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class OwnerGroup:
    """Owners who share pictures: perhaps accounts of one seller.

    owners: sorted. clusters: the numbers, in the sequence given, of those that at least two of the owners have. shared: how many
    clusters each pair of these owners has in common, most first; pairs without one are left out.
    """

    owners: tuple[str, ...]
    clusters: tuple[int, ...]
    shared: tuple[tuple[str, str, int], ...]


def group(
    pictures: Iterable[Member],
    claims: Iterable[tuple[str, str, float]],
    *,
    confirmed: Iterable[Pair] = (),
    denied: Iterable[Pair] = (),
    followers: Set[str] = frozenset(),
) -> Grouping:
    """Clusters of the pictures that claim each other.

    claims: (id, id, probability), the two in either order; of a pair claimed twice the surest counts. Every pair that is no
    copy must be left out: a claim counts as such, its probability only says which are joined first. confirmed: pairs that a
    person said are copies; they are together, unless a denial forbids it. denied: pairs that are never in one cluster, also
    where others would tie them. followers: pictures that were not compared with all others.
    Raises ValueError for an id that is not among the pictures, for one that comes twice, and for a probability outside [0, 1].
    """
    ordered = sorted(pictures, key=_seen)
    numbers = {member.id: number for number, member in enumerate(ordered)}
    if len(numbers) < len(ordered):
        raise ValueError("an id comes twice")
    claimed: dict[tuple[int, int], float] = {}
    for one, other, probability in claims:
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability of {probability}")
        pair = _numbered(numbers, one, other)
        if pair[0] != pair[1]:
            claimed[pair] = max(claimed.get(pair, 0.0), probability)
    if unknown := followers - numbers.keys():
        raise ValueError(f"no picture has the id {min(unknown)!r}")
    following = {numbers[id] for id in followers}
    tying = {pair: probability for pair, probability in claimed.items() if following.isdisjoint(pair)}
    linkage = _Linkage(tying, {_numbered(numbers, *pair) for pair in denied})
    for pair in sorted(_numbered(numbers, *pair) for pair in confirmed):
        linkage.join(*pair)
    linkage.run()
    for follower, claims_of in sorted(_claims_of(following, claimed).items()):
        leader = _leader([linkage.of(other) for other in claims_of])
        if leader is not None:
            linkage.join(follower, leader)
    parts = sorted((sorted(part) for part in linkage.parts()), key=lambda part: (-len(part), part))
    return Grouping(
        tuple(Cluster(tuple(ordered[number] for number in part)) for part in parts),
        tuple(
            (ordered[a].id, ordered[b].id, probability)
            for (a, b), probability in sorted(claimed.items())
            if linkage.of(a) != linkage.of(b)
        ),
    )


def owner_groups(clusters: Sequence[Cluster], at_least: int = SHARED, widest: int = WIDEST) -> list[OwnerGroup]:
    """Owners who share at least `at_least` clusters with one another, grouped by the same rule as pictures; largest first.

    widest: clusters of more owners than that are passed over.
    """
    shared: Counter[tuple[str, str]] = Counter()
    where: defaultdict[str, set[int]] = defaultdict(set)
    for number, cluster in enumerate(clusters):
        if 1 < len(cluster.owners) <= widest:
            shared.update(itertools.combinations(cluster.owners, 2))
            for owner in cluster.owners:
                where[owner].add(number)
    # the more two have in common, the earlier they are joined
    most = max(shared.values(), default=1)
    tied = [(a, b, count / most) for (a, b), count in shared.items() if count >= at_least]
    found = []
    for part in group([Member(owner) for owner in where], tied).clusters:
        owners = tuple(member.id for member in part.members)
        inside = [(a, b, shared[a, b]) for a, b in itertools.combinations(owners, 2) if shared[a, b]]
        times = Counter(number for owner in owners for number in where[owner])
        numbers = tuple(sorted(number for number, count in times.items() if count > 1))
        found.append(OwnerGroup(owners, numbers, tuple(sorted(inside, key=lambda pair: (-pair[2], pair)))))
    return sorted(found, key=lambda each: (-len(each.clusters), -len(each.owners), each.owners))


def _claims_of(following: Set[int], claimed: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """What each follower claims, or is claimed by, that follows nothing itself."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for a, b in claimed:
        for one, other in ((a, b), (b, a)):
            if one in following and other not in following:
                found[one].append(other)
    return found


def _leader(groups: Sequence[int]) -> int | None:
    """The group that comes most often, of equals the earliest; null where it is less than half of them."""
    group, count = min(Counter(groups).items(), key=lambda each: (-each[1], each[0]))
    return group if count >= AGREEMENT * len(groups) else None


class _Linkage:
    """Average linkage over few pairs: only those claimed are kept, all others count 0. A group goes by its lowest number."""

    def __init__(self, claimed: dict[tuple[int, int], float], apart: set[tuple[int, int]]) -> None:
        # of each group, per neighbour: how many pairs claim each other, and the sum of their probabilities
        self.counts: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self.sums: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for (a, b), probability in sorted(claimed.items()):
            for one, other in ((a, b), (b, a)):
                self.counts[one][other] = 1
                self.sums[one][other] = probability
        self.apart: defaultdict[int, set[int]] = defaultdict(set)
        for a, b in apart:
            if a != b:
                self.apart[a].add(b)
                self.apart[b].add(a)
        self.members: dict[int, list[int]] = {}
        self.group: dict[int, int] = {}
        self.versions: Counter[int] = Counter()
        self.heap: list[tuple[float, float, int, int, int, int]] = []

    def of(self, number: int) -> int:
        """The group of a picture."""
        return self.group.get(number, number)

    def parts(self) -> Iterable[list[int]]:
        """All groups of two and more."""
        return self.members.values()

    def run(self) -> None:
        """Join the pair of groups that agrees best, as long as one agrees enough."""
        for a, b in [(a, b) for a, near in self.counts.items() for b in near if a < b]:
            self._offer(a, b)
        while self.heap:
            *_, a, b, version_a, version_b = heapq.heappop(self.heap)
            if (self.versions[a], self.versions[b]) == (version_a, version_b):
                for near in self._join(a, b):
                    self._offer(min(a, near), max(a, near))

    def join(self, one: int, other: int) -> None:
        """Put the groups of two pictures together, unless they are to be kept apart."""
        a, b = sorted((self.of(one), self.of(other)))
        if a != b and b not in self.apart[a]:
            self._join(a, b)

    def _offer(self, a: int, b: int) -> None:
        pairs = len(self.members.get(a, (a,))) * len(self.members.get(b, (b,)))
        share = self.counts[a][b] / pairs
        if share >= AGREEMENT and b not in self.apart[a]:
            entry = (-share, -self.sums[a][b] / pairs, a, b, self.versions[a], self.versions[b])
            heapq.heappush(self.heap, entry)

    def _join(self, a: int, b: int) -> Iterable[int]:
        """b becomes part of a, a < b; the neighbours of what they are now."""
        moved = self.members.pop(b, [b])
        self.members.setdefault(a, [a]).extend(moved)
        for number in moved:
            self.group[number] = a
        for near, count in self.counts.pop(b, {}).items():
            del self.counts[near][b]
            total = self.sums[near].pop(b)
            if near != a:
                self.counts[a][near] = self.counts[near][a] = self.counts[a].get(near, 0) + count
                self.sums[a][near] = self.sums[near][a] = self.sums[a].get(near, 0.0) + total
        self.sums.pop(b, None)
        for near in self.apart.pop(b, set()):
            self.apart[near].discard(b)
            self.apart[near].add(a)
            self.apart[a].add(near)
        self.versions[a] += 1
        self.versions[b] += 1
        return list(self.counts[a])


def _numbered(numbers: dict[str, int], one: str, other: str) -> tuple[int, int]:
    try:
        a, b = sorted((numbers[one], numbers[other]))
    except KeyError as error:
        raise ValueError(f"no picture has the id {error.args[0]!r}") from None
    return a, b


def _seen(member: Member) -> tuple[bool, datetime, int, str]:
    if member.time is None:
        return True, datetime.max.replace(tzinfo=UTC), -member.pixels, member.id
    time = datetime.fromisoformat(member.time)
    # a time without a zone is taken for UTC, so that all can be compared
    return False, time if time.tzinfo else time.replace(tzinfo=UTC), -member.pixels, member.id
