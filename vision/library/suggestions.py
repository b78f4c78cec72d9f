"""Crops of a run that may become references: chosen from its rows, grouped for a person to look at, and what was decided kept.

Rows of results go into a `Gathering`, in flat memory; the boxes it chose come back embedded, and `propose` groups them: by brand
(near one but not named, or its name was read and no reference looks like it) and by likeness (strangers that come again and
again). Pure; what is decided about them is kept by `decisions`.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vision.embed.contract import unit_rows
from vision.library.by_name import common_words
from vision.library.decisions import Decisions, brand_id_of
from vision.library.names import fold
from vision.library.rivals import PREFIX
from vision.values import Box, Embeddings, Finding, Result

if TYPE_CHECKING:
    from vision.library.library import Library

Why = Literal["read", "near", "unknown"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is looked at, and how much of it. Cosines in [-1, 1].

    probability: a brand that was not named is near from here on. like: a brand whose name was read has a reference that looks
    like it from here on. near: of the brands of the library as it is now one is near from here on, whatever the row says. same:
    nothing new is nearer than this to a reference, or to another crop that is shown. background: crops nearer than this to a
    patch without a logo are none. cluster: mean cosine between all of two groups of strangers from which they are one. refused:
    crops nearer than this to one refused for the same brand are refused too.
    score: of the detector. least_side: of the box, in pixels. per_brand: crops embedded of a brand. crops: of all brands.
    strangers: crops of unknown marks embedded. shown: crops of a group. neighbours: of each stranger that are compared.
    """

    probability: float = 0.15
    like: float = 0.6
    near: float = 0.8
    same: float = 0.9
    background: float = 0.6
    cluster: float = 0.7
    refused: float = 0.97
    score: float = 0.3
    least_side: float = 24.0
    per_brand: int = 12
    crops: int = 2000
    strangers: int = 2000
    shown: int = 8
    neighbours: int = 20


@dataclass(frozen=True, slots=True)
class Sight:
    """One box of a run. path, picture: of its row, and the sha256 of the file. brand: proposed, null for a stranger's.

    rank: how much it speaks for the proposal, in [0, 2]; text: what was read.
    """

    path: str
    picture: str
    box: Box
    brand: str | None
    why: Why
    rank: float
    probability: float
    text: str | None

    @property
    def id(self) -> str:
        """12 hex digits of the picture's content, the box in whole pixels and the brand: the same in every run."""
        place = " ".join(str(round(edge)) for edge in self.box)
        return hashlib.sha256(f"{self.picture} {place} {fold(self.brand or '')}".encode()).hexdigest()[:12]


class Gathering:
    """What is worth a look in any number of rows, in flat memory.

    Of each brand the `per_brand` best boxes are kept, one of a picture; of strangers' boxes a sample of `strangers`, those with
    the smallest ids: ids are hashes, so each box has the same chance, whatever the order of the rows, and a row that comes twice
    counts once.
    """

    def __init__(self, library: Library, decisions: Decisions | None = None, limits: Limits | None = None) -> None:
        self.library, self.limits = library, limits or Limits()
        self.decisions = decisions or Decisions()
        self.rows = self.boxes = self.strangers = self.decided = 0
        self._brands: dict[str, dict[str, Sight]] = defaultdict(dict)
        self._heap: list[tuple[int, str]] = []
        self._strangers: dict[str, Sight] = {}

    def add(self, result: Result) -> None:
        """Look at one row."""
        self.rows += 1
        for finding in result.findings if result.status == "ok" else ():
            sight = self._sight(finding, result)
            if sight is None:
                continue
            if self.decisions.covers(sight.picture, sight.box, self._brand_id(sight.brand)):
                self.decided += 1
            elif sight.brand is None:
                self.strangers += 1
                self._keep_stranger(sight)
            else:
                self.boxes += 1
                self._keep(sight.brand, sight)

    def chosen(self) -> list[Sight]:
        """The boxes to cut and embed, in the order of their pictures' paths."""
        ranked = [
            (place, -sight.rank, sight.id, sight)
            for kept in self._brands.values()
            for place, sight in enumerate(sorted(kept.values(), key=_by_rank))
        ]
        # the best of each brand come before the second of any
        some = [sight for *_, sight in sorted(ranked, key=lambda r: r[:3])[: self.limits.crops]]
        return sorted([*some, *self._strangers.values()], key=lambda s: (s.path, s.box, s.id))

    def _sight(self, finding: Finding, result: Result) -> Sight | None:
        limits = self.limits
        left, top, right, bottom = finding.box
        small = min(right - left, bottom - top) < limits.least_side
        if result.sha256 is None or finding.kind == "product" or finding.score < limits.score or small:
            return None
        text = finding.text.string if finding.text else None

        def sight(brand: str | None, why: Why, rank: float, probability: float) -> Sight:
            return Sight(result.path, str(result.sha256), finding.box, brand, why, rank, probability, text)

        # a mark that looks like a rival is nobody's here
        best = next((c for c in finding.candidates if not (c.reference or "").startswith(PREFIX)), None)
        likeliest = best.probability if best else 0.0
        named = self._read(finding)
        if named is not None:
            mine = next((c for c in finding.candidates if fold(c.brand) == fold(named)), None)
            if mine is None or mine.similarity is None or mine.similarity < limits.like:
                return sight(named, "read", 1 + (mine.probability if mine else 0.0), mine.probability if mine else 0.0)
        if finding.verdict == "known":
            return None
        if best is not None and likeliest >= limits.probability:
            return sight(best.brand, "near", likeliest, likeliest) if best.brand in self.library else None
        return sight(None, "unknown", finding.score, likeliest)

    def _read(self, finding: Finding) -> str | None:
        """The brand whose name was read: the likeliest one, or the one that has just this name, no ordinary word."""
        best = finding.candidates[0] if finding.candidates else None
        if (
            best is not None
            and best.read
            and best.probability >= self.limits.probability
            and best.brand in self.library
        ):
            return best.brand
        text = finding.text.string if finding.text is not None else ""
        # "FRESH" on a cup is no proof of a brand called Fresh
        if len(fold(text)) > 2 and not common_words().get(text.casefold(), False) and text in self.library:
            return self.library.brand(text).name
        return None

    def _brand_id(self, brand: str | None) -> str | None:
        return None if brand is None else self.library.brand(brand).id

    def _keep(self, brand: str, sight: Sight) -> None:
        kept = self._brands[brand]
        other = kept.get(sight.picture)
        if other is None or _by_rank(sight) < _by_rank(other):
            kept[sight.picture] = sight
        if len(kept) > self.limits.per_brand:
            del kept[max(kept.values(), key=_by_rank).picture]

    def _keep_stranger(self, sight: Sight) -> None:
        if sight.id in self._strangers:
            return
        heapq.heappush(self._heap, (-int(sight.id, 16), sight.id))
        self._strangers[sight.id] = sight
        if len(self._heap) > self.limits.strangers:
            del self._strangers[heapq.heappop(self._heap)[1]]


def _by_rank(sight: Sight) -> tuple[float, str]:
    return -sight.rank, sight.id


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A box that was cut out again. file: of its picture. vector: (d,) float32 unit. thumbnail: an encoded picture."""

    sight: Sight
    file: str
    vector: Embeddings
    thumbnail: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Suggestion:
    """A crop to decide on. reference, similarity: the nearest of its brand's, null when it has none."""

    seen: Seen
    reference: str | None = None
    similarity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; what a decision needs."""
        s = self.seen.sight
        return {
            "id": s.id,
            "brand": s.brand,
            "why": s.why,
            "path": s.path,
            "file": self.seen.file,
            "picture": s.picture,
            "box": [round(edge, 2) for edge in s.box],
            "probability": round(s.probability, 4),
            "text": s.text,
            "reference": self.reference,
            "similarity": None if self.similarity is None else round(self.similarity, 4),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Crops to decide on together. brand: proposed; null for strangers that look alike, to be named.

    size, pictures, folders: crops that look alike, in how many pictures of how many folders; `suggestions` are the first of them,
    of different folders as far as there are. nearest: of strangers the brand most like them, and its similarity.
    """

    id: str
    brand: str | None
    why: Why
    suggestions: tuple[Suggestion, ...]
    size: int
    pictures: int
    folders: int
    nearest: tuple[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        row = {"id": self.id, "brand": self.brand, "why": self.why}
        counts = {"size": self.size, "pictures": self.pictures, "folders": self.folders}
        near = {"nearest": None if self.nearest is None else [self.nearest[0], round(self.nearest[1], 4)]}
        return row | counts | near | {"suggestions": [each.to_dict() for each in self.suggestions]}


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """All groups: brands first, names that were read before likenesses; then strangers, those of most folders first.

    left_out: crops that are no proposal, by reason.
    """

    groups: tuple[Group, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {"groups": [group.to_dict() for group in self.groups], "left_out": dict(self.left_out)}


def propose(
    seen: Sequence[Seen], library: Library, *, decisions: Decisions | None = None, limits: Limits | None = None
) -> Proposal:
    """Group crops for a person to decide on; the same crops give the same groups in the same order."""
    limits, decisions = limits or Limits(), decisions or Decisions()
    left_out: Counter[str] = Counter()
    background = library.embedder.background
    open_ = []
    for row in seen:
        each = _as_of_now(row, library, limits)
        brand_id = brand_id_of(library, each.sight.brand)
        if len(background) and float((background @ each.vector).max()) >= limits.background:
            left_out["looks like background"] += 1
        elif decisions.covers(each.sight.picture, each.sight.box, brand_id) or decisions.refuses(
            each.vector, brand_id, library.embedder.id, limits.refused
        ):
            left_out["like one decided on"] += 1
        else:
            open_.append(each)
    open_.sort(key=lambda each: _by_rank(each.sight))
    groups = _brand_groups([s for s in open_ if s.sight.brand is not None], library, limits, left_out)
    groups += _stranger_groups([s for s in open_ if s.sight.brand is None], library, limits, left_out)
    return Proposal(tuple(groups), {reason: n for reason, n in sorted(left_out.items()) if n})


def _as_of_now(seen: Seen, library: Library, limits: Limits) -> Seen:
    """The crop with the brand that it is nearest to now: rows tell what the library was like when they were made."""
    if seen.sight.why == "read":
        return seen
    best = next((m for m in library.search_embeddings(seen.vector[None], k=2)[0] if not m.negative), None)
    if best is None or best.similarity < limits.near or best.brand == seen.sight.brand:
        return seen
    return replace(seen, sight=replace(seen.sight, brand=best.brand, why="near", rank=best.similarity))


def _brand_groups(seen: Sequence[Seen], library: Library, limits: Limits, left_out: Counter[str]) -> list[Group]:
    by_brand: dict[str, list[Suggestion]] = defaultdict(list)
    for each in seen:
        brand = str(each.sight.brand)
        near = library.nearest_of(each.vector[None], [[brand]])[0][0]
        shown = by_brand[brand]
        if near is not None and near.similarity >= limits.same:
            left_out["a reference looks like it"] += 1
        elif any(float(other.seen.vector @ each.vector) >= limits.same for other in shown):
            left_out["like another shown"] += 1
        elif len(shown) >= limits.shown:
            left_out["enough of its brand"] += 1
        else:
            shown.append(Suggestion(each, near.reference if near else None, near.similarity if near else None))
    groups = [_group(brand, suggestions, suggestions) for brand, suggestions in by_brand.items() if suggestions]
    return sorted(groups, key=lambda g: (-g.suggestions[0].seen.sight.rank, fold(str(g.brand))))


def _stranger_groups(seen: Sequence[Seen], library: Library, limits: Limits, left_out: Counter[str]) -> list[Group]:
    if not seen:
        return []
    groups = []
    alike = clusters(np.stack([s.vector for s in seen]), least=limits.cluster, neighbours=limits.neighbours)
    for members in alike:
        suggestions = [Suggestion(seen[i]) for i in members]
        if len({s.seen.sight.picture for s in suggestions}) < 2:
            left_out["seen once"] += len(suggestions)
            continue
        shown = _of_different_folders(suggestions)[: limits.shown]
        left_out["more of a group"] += len(suggestions) - len(shown)
        middle = np.mean([s.seen.vector for s in suggestions], axis=0)
        matches = library.search_embeddings(unit_rows(middle[None]), k=2)[0]
        near = next(((m.brand, m.similarity) for m in matches if not m.negative), None)
        groups.append(replace(_group(None, shown, suggestions), nearest=near))
    return sorted(groups, key=lambda g: (-g.folders, -g.pictures, -g.size, g.id))


def _of_different_folders(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """The first of each folder, then the second of each, and so on; the most typical of a folder first."""
    vectors = np.stack([s.seen.vector for s in suggestions])
    typical = vectors @ vectors.mean(axis=0)
    seen: Counter[str] = Counter()
    order: list[tuple[int, int, int]] = []
    for i in sorted(range(len(suggestions)), key=lambda i: (-float(typical[i]), suggestions[i].seen.sight.id)):
        folder = _folder(suggestions[i].seen.sight.path)
        order.append((seen[folder], len(order), i))
        seen[folder] += 1
    return [suggestions[i] for *_, i in sorted(order)]


def _group(brand: str | None, shown: Sequence[Suggestion], of: Sequence[Suggestion]) -> Group:
    sights = [s.seen.sight for s in of]
    name = fold(brand) if brand else min(s.id for s in sights)
    return Group(
        hashlib.sha256(f"group {name}".encode()).hexdigest()[:12],
        brand,
        sights[0].why,
        tuple(shown),
        len(sights),
        len({s.picture for s in sights}),
        len({_folder(s.path) for s in sights}),
    )


def _folder(path: str) -> str:
    """What stands for the owner of a picture: sellers' pictures lie in folders of their own."""
    return PurePosixPath(path).parent.as_posix()


def clusters(vectors: Embeddings, *, least: float, neighbours: int = 20) -> list[list[int]]:
    """Groups of (n, d) unit rows that look alike, each sorted; the largest first, those of one member too.

    Average linkage (Sokal and Michener, 1958) on the graph of each row's nearest neighbours: two groups become one, nearest
    first, while the mean cosine between all of their members is at least `least`, so that chains do not grow. The mean is exact
    and costs one product: it is that of the sums of the members.
    """
    n = len(vectors)
    sums = [row.astype(np.float64) for row in vectors]
    members: list[list[int] | None] = [[i] for i in range(n)]
    near: list[set[int]] = [set() for _ in range(n)]
    heap: list[tuple[float, int, int]] = []
    for a, b, similarity in _edges(vectors, least, neighbours):
        near[a].add(b)
        near[b].add(a)
        heap.append((-similarity, a, b))
    heapq.heapify(heap)
    while heap:
        _, a, b = heapq.heappop(heap)
        one, other = members[a], members[b]
        if one is None or other is None:
            continue
        both = one + other
        place = len(members)
        members.append(both)
        members[a] = members[b] = None
        sums.append(sums[a] + sums[b])
        near.append((near[a] | near[b]) - {a, b})
        for c in sorted(near[place]):
            near[c] -= {a, b}
            near[c].add(place)
            mean = float(sums[place] @ sums[c]) / (len(both) * len(members[c] or ()))
            if mean >= least:
                heapq.heappush(heap, (-mean, c, place))
    return sorted((sorted(found) for found in members if found is not None), key=lambda m: (-len(m), m))


def _edges(vectors: Embeddings, least: float, neighbours: int) -> Iterable[tuple[int, int, float]]:
    """Pairs of rows, each once, of which one is among the nearest of the other; in blocks, so memory is flat."""
    found: dict[tuple[int, int], float] = {}
    step = max(1, (1 << 23) // max(1, len(vectors)))
    wanted = min(neighbours + 1, len(vectors))
    for start in range(0, len(vectors), step):
        similarity = vectors[start : start + step] @ vectors.T
        nearest = np.argpartition(-similarity, wanted - 1, axis=1)[:, :wanted]
        for i, row in enumerate(nearest):
            for j in row[similarity[i, row] >= least].tolist():
                if j != start + i:
                    found[min(start + i, j), max(start + i, j)] = float(similarity[i, j])
    return [(a, b, similarity) for (a, b), similarity in sorted(found.items())]
