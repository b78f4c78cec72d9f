"""What may be wrong with a brand library, told by its own vectors, names and dates: nothing is changed, everything is proposed.

In: a library (its references, vectors and names), and on request which references won on photos that show none of its brands.
Out: a `Diagnosis`, each list with what is surest first. Pure: the same library gives the same answer.
References are compared in blocks: 100,000 of them need no matrix of 100,000 × 100,000.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from vision.library.by_name import reading_key
from vision.library.likelihood import LOOK_ALIKES
from vision.library.names import fold, is_kin
from vision.library.search import SLACK
from vision.values import Embeddings

if TYPE_CHECKING:
    from vision.library.library import Library
    from vision.library.state import Brand, Reference

SCHEMA = "vision.doctor/1"

Indexes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# Floats of one block of similarities: 64 MiB, whatever the size of the library.
_BLOCK = 1 << 24
# Rival brands kept of each reference, and references of the nearest: enough for every finding, little enough for a million.
_RIVALS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is said. Cosines in [-1, 1]; chosen by looking at what the shipped library holds there.

    redundant: every view of a reference has one this near in another reference of its brand. same: of two brands, the same
    artwork. confusable: of two brands, artwork that a small crop may not tell apart. votes: references of another brand that
    must be nearer than the nearest own one, and that each of the two brands must have besides. lead: by how much the last of
    those votes is nearer. alike: how near it must be at least. background: to a patch of texture. letters: names shorter than
    this are one edit from everything. alarms: how often a reference must win on brand-free photos.
    """

    redundant: float = 0.97
    same: float = 0.97
    confusable: float = 0.85
    votes: int = 3
    lead: float = 0.05
    alike: float = 0.55
    background: float = 0.65
    letters: int = 5
    alarms: int = 2


@dataclass(frozen=True, slots=True)
class Redundant:
    """A reference that adds nothing to another one of its brand. similarity: of its least matched view."""

    brand: str
    reference: str
    kept: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two brands with the references of theirs that come nearest. kin: one name begins with the other ("Google Drive")."""

    brand: str
    other_brand: str
    reference: str
    other_reference: str
    similarity: float
    kin: bool


@dataclass(frozen=True, slots=True)
class Mislabelled:
    """A reference that looks like another brand's and not like its own.

    votes: references of that brand that are nearer than any own one. nearest: the first of them. similarity: to the nearest of
    them. own_similarity: to the nearest own one. lead: of the last vote asked for before the nearest own one. Surest is the
    highest sum of lead and last vote: nearly equal to another brand's, or far from all of its own.
    """

    brand: str
    reference: str
    looks_like: str
    nearest: tuple[str, ...]
    similarity: float
    own_reference: str
    own_similarity: float
    votes: int
    lead: float


@dataclass(frozen=True, slots=True)
class NamePair:
    """Two brands whose names a reader may take for each other. why: "looks the same" or "one letter apart"."""

    brand: str
    other_brand: str
    name: str
    other_name: str
    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A reference that won on brand-free photos; null for a brand that was read, not seen.

    wins: boxes where it was the likeliest of all. known: of them those that were given its brand. similarity, probability: the
    highest.
    """

    brand: str
    reference: str | None
    wins: int
    known: int
    similarity: float | None
    probability: float


@dataclass(frozen=True, slots=True)
class Attractor:
    """A reference that lies close to what photos without a logo look like. similarity: to the nearest background patch."""

    brand: str
    reference: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Dated:
    """A reference out of its dates. what: "expired" or "not yet valid". when: the day it ended or begins, ISO 8601."""

    brand: str
    reference: str
    what: str
    when: str


@dataclass(frozen=True, slots=True)
class Win:
    """One box on a brand-free photo: the likeliest brand and its reference, and whether the verdict named it.

    reference, similarity: null when the brand was read and no reference of it was near.
    """

    brand: str
    reference: str | None
    similarity: float | None
    probability: float
    known: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything found, each list with the surest first.

    lonely: brands by what they lack: "name only", "one reference", "drawings only"; a brand stands under the first that holds.
    """

    brands: int
    references: int
    redundant: tuple[Redundant, ...] = ()
    conflicts: tuple[Pair, ...] = ()
    mislabelled: tuple[Mislabelled, ...] = ()
    confusable: tuple[Pair, ...] = ()
    names: tuple[NamePair, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    attractors: tuple[Attractor, ...] = ()
    lonely: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dated: tuple[Dated, ...] = ()
    photos: int | None = None

    def counts(self) -> dict[str, int]:
        """How many of each kind, in the order of the lists."""
        lists = ("redundant", "conflicts", "mislabelled", "confusable", "names", "alarms", "attractors")
        found = {name: len(getattr(self, name)) for name in lists}
        return found | {name: len(brands) for name, brands in self.lonely.items()} | {"dated": len(self.dated)}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        found: dict[str, Any] = _rounded(asdict(self))
        return {"schema": SCHEMA, "counts": self.counts()} | found

    def rows(self) -> list[dict[str, Any]]:
        """One row for each finding, for a spreadsheet: the keys of `ROW`."""
        rows: list[dict[str, Any]] = []

        def row(finding: str, brand: str, reference: str | None = None, **more: Any) -> None:
            rows.append(dict.fromkeys(ROW) | {"finding": finding, "brand": brand, "reference": reference} | more)

        def other(brand: str, reference: str | None = None) -> dict[str, str | None]:
            return {"other_brand": brand, "other_reference": reference}

        for m in self.mislabelled:
            note = f"{m.votes} references of it are nearer than any own one ({m.own_similarity:.3f})"
            row(
                "mislabelled",
                m.brand,
                m.reference,
                **other(m.looks_like, m.nearest[0]),
                similarity=m.similarity,
                note=note,
            )
        for finding, pairs in (("conflict", self.conflicts), ("confusable", self.confusable)):
            for p in pairs:
                kin = "kin by name" if p.kin else None
                near = other(p.other_brand, p.other_reference)
                row(finding, p.brand, p.reference, **near, similarity=p.similarity, note=kin)
        for a in self.alarms:
            note = f"nearest {a.wins} times on brand-free photos, named {a.known} times"
            row("wins on photos", a.brand, a.reference, similarity=a.similarity, note=note)
        for t in self.attractors:
            row("near the background", t.brand, t.reference, similarity=t.similarity)
        for r in self.redundant:
            row("redundant", r.brand, r.reference, **other(r.brand, r.kept), similarity=r.similarity)
        for n in self.names:
            row("names alike", n.brand, **other(n.other_brand), note=f"{n.name} / {n.other_name}: {n.why}")
        for d in self.dated:
            row(d.what, d.brand, d.reference, note=d.when)
        for what, brands in self.lonely.items():
            for brand in brands:
                row(what, brand)
        return [_rounded(each) for each in rows]


ROW = ("finding", "brand", "reference", "other_brand", "other_reference", "similarity", "note")


def examine(
    library: Library,
    *,
    background: Embeddings | None = None,
    wins: Iterable[Win] = (),
    photos: int | None = None,
    today: date | None = None,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Look at everything that a library holds.

    background: (b, d) float32 unit rows of patches without a logo (`Embedder.background`); none are looked at when None.
    wins: the boxes of a scan of brand-free photos with this library. photos: how many photos that were.
    today: dates are judged by it; not at all when None. progress: called with (done, of) references.
    Negative references ("looks like, is not") are meant to be near brands and backgrounds: of them only those are told that equal
    a brand's artwork, which they would suppress.
    Time: a matrix product of all vectors with all; memory: some blocks of 64 MiB and some 20 numbers a reference.
    """
    limits = limits or Limits()
    references = library.all_references()
    names = {brand.id: brand.name for brand in (*library.brands(), *library.negatives())}
    near = neighbours(
        library.all_vectors(),
        np.array([r.vectors for r in references], dtype=np.int64),
        _runs([r.brand_id for r in references]),
        progress=progress,
    )
    look = _Look(references, names, near, limits)
    conflicts, confusable = look.pairs()
    return Diagnosis(
        brands=len(library),
        references=len(references),
        redundant=look.redundant(library.all_vectors()),
        conflicts=conflicts,
        mislabelled=look.mislabelled(),
        confusable=confusable,
        names=similar_names(library.brands(), limits.letters),
        alarms=_alarms(wins, limits),
        attractors=look.attractors(library.all_vectors(), background) if background is not None else (),
        lonely=_lonely(library.brands(), references),
        dated=_dated(references, names, today) if today is not None else (),
        photos=photos,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """What each of n references comes near, best first; index -1 and similarity -inf where there is no more.

    covered: (n,) how well the others of its brand cover it: the best of them by the similarity of its least matched view.
    nearest_own: (n,) the usual similarity, of the best matched views, to the nearest other of its brand.
    nearest_own_index: (n,) that reference.
    rival, rival_similarity: (n, 5) the nearest reference of the five nearest other brands.
    voters, voter_similarity: (n, 5) the nearest references of the nearest other brand.
    votes: (n,) how many references of the nearest other brand are nearer than `nearest_own`.
    size: (n,) references of its brand.
    """

    covered: Floats
    nearest_own: Floats
    nearest_own_index: Indexes
    rival: Indexes
    rival_similarity: Floats
    voters: Indexes
    voter_similarity: Floats
    votes: Indexes
    brand: Indexes
    size: Indexes


def neighbours(
    vectors: Embeddings, counts: Indexes, brand: Indexes, *, progress: Callable[[int, int], None] | None = None
) -> Neighbours:
    """Compare all references with all, in blocks.

    vectors: (m, d) float32 unit rows. counts: (n,) rows of each reference, one after the other, sum m. brand: (n,) ascending
    from 0, none left out: references come grouped by brand.
    """
    n = len(counts)
    found = Neighbours(
        covered=np.full(n, -np.inf, dtype=np.float32),
        nearest_own=np.full(n, -np.inf, dtype=np.float32),
        nearest_own_index=np.full(n, -1, dtype=np.int64),
        rival=np.full((n, _RIVALS), -1, dtype=np.int64),
        rival_similarity=np.full((n, _RIVALS), -np.inf, dtype=np.float32),
        voters=np.full((n, _RIVALS), -1, dtype=np.int64),
        voter_similarity=np.full((n, _RIVALS), -np.inf, dtype=np.float32),
        votes=np.zeros(n, dtype=np.int64),
        brand=brand,
        size=np.bincount(brand, minlength=1)[brand] if n else np.zeros(0, dtype=np.int64),
    )
    rows = np.concatenate([[0], np.cumsum(counts)])  # first row of each reference
    edges = np.concatenate([np.flatnonzero(np.diff(brand, prepend=-1)), [n]])  # first reference of each brand
    step = max(1, int(_BLOCK // max(1, len(vectors)) // max(1.0, len(vectors) / max(1, n))))
    for start in range(0, n, step):
        stop = min(start + step, n)
        views = vectors[rows[start] : rows[stop]] @ vectors.T
        if len(vectors) > n:
            views = np.maximum.reduceat(views, rows[:-1], axis=1)
        if stop - start == rows[stop] - rows[start]:
            best = least = views  # one view each
        else:
            mine = rows[start:stop] - rows[start]
            best = np.maximum.reduceat(views, mine, axis=0)
            least = np.minimum.reduceat(views, mine, axis=0)
        _settle(found, start, best, least, edges)
        if progress is not None:
            progress(stop, n)
    return found


def _settle(found: Neighbours, start: int, best: Floats, least: Floats, edges: Indexes) -> None:
    """Note the neighbours of a block of references. best, least: (b, n) by the best and the least matched view, or one array for
    both; they are overwritten."""
    for i in range(len(best)):
        place = start + i
        first, last = edges[found.brand[place] : found.brand[place] + 2]
        if last - first > 1:
            own = least[i, first:last]
            own[place - first] = -np.inf
            found.covered[place] = own.max()
            alike = best[i, first:last]
            alike[place - first] = -np.inf
            found.nearest_own_index[place] = first + alike.argmax()
            found.nearest_own[place] = alike.max()
        best[i, first:last] = -np.inf
    by_brand = np.maximum.reduceat(best, edges[:-1], axis=1)
    wanted = min(_RIVALS, by_brand.shape[1] - 1)
    for i in range(len(best) if wanted else 0):
        place = start + i
        for j, other in enumerate(_best(by_brand[i], wanted)):
            first, last = edges[other : other + 2]
            theirs = best[i, first:last]
            found.rival[place, j] = first + theirs.argmax()
            found.rival_similarity[place, j] = by_brand[i, other]
            if j == 0:
                voters = _best(theirs, min(_RIVALS, last - first))
                found.voters[place, : len(voters)] = first + voters
                found.voter_similarity[place, : len(voters)] = theirs[voters]
                found.votes[place] = (theirs > found.nearest_own[place]).sum()


def _best(values: Floats, k: int) -> Indexes:
    """Places of the k largest, largest first, equal ones in their order."""
    some = np.argpartition(-values, k - 1)[:k] if k < len(values) else np.arange(len(values))
    return np.asarray(some[np.lexsort((some, -values[some]))], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """The findings that rest on vectors."""

    references: Sequence[Reference]
    names: Mapping[str, str]
    near: Neighbours
    limits: Limits

    def brand(self, place: int) -> str:
        """Display name of the brand of a reference."""
        return self.names[self.references[place].brand_id]

    def negative(self, place: int) -> bool:
        """True for a reference of what looks like a brand and is none."""
        return self.references[place].kind == "negative"

    def redundant(self, vectors: Embeddings) -> tuple[Redundant, ...]:
        """References covered by one that stays: of equal ones the first, of others the one with more views."""
        counts = np.array([r.vectors for r in self.references], dtype=np.int64)
        rows = np.concatenate([[0], np.cumsum(counts)])
        edges = np.concatenate([np.flatnonzero(np.diff(self.near.brand, prepend=-1)), [len(counts)]])
        told = self.near.covered >= self.limits.redundant - SLACK
        found = []
        for brand in np.unique(self.near.brand[told]).tolist():
            first, last = edges[brand : brand + 2].tolist()
            own = vectors[rows[first] : rows[last]]
            kept = np.zeros(last - first, dtype=bool)
            for place in (first + np.argsort(-counts[first:last], kind="stable")).tolist():
                if told[place] and kept.any():
                    views = vectors[rows[place] : rows[place + 1]] @ own.T
                    cover = np.maximum.reduceat(views, rows[first:last] - rows[first], axis=1).min(axis=0)
                    best = int(np.where(kept, cover, -np.inf).argmax())
                    if cover[best] >= self.limits.redundant:
                        ids = self.references[place].id, self.references[first + best].id
                        found.append(Redundant(self.brand(place), *ids, min(float(cover[best]), 1.0)))
                        continue
                kept[place - first] = True
        return tuple(sorted(found, key=lambda r: (-r.similarity, r.reference)))

    def pairs(self) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
        """Brand pairs that hold the same artwork, and those that come near; each pair once, by its nearest references."""
        nearest: dict[tuple[int, int], tuple[float, int, int]] = {}
        places, ranks = np.nonzero(self.near.rival_similarity >= min(self.limits.confusable, self.limits.same))
        for place, rank in zip(places.tolist(), ranks.tolist(), strict=True):
            other = int(self.near.rival[place, rank])
            a, b = sorted((place, other))
            key = int(self.near.brand[a]), int(self.near.brand[b])
            similarity = float(self.near.rival_similarity[place, rank])
            negatives = self.negative(a) + self.negative(b)
            if negatives == 2 or (negatives and similarity < self.limits.same):
                continue
            if key not in nearest or (similarity, -a, -b) > (nearest[key][0], -nearest[key][1], -nearest[key][2]):
                nearest[key] = (similarity, a, b)
        found = []
        for similarity, a, b in sorted(nearest.values(), key=lambda n: (-n[0], n[1], n[2])):
            mine, theirs = self.brand(a), self.brand(b)
            kin = is_kin(mine, theirs) or is_kin(theirs, mine)
            found.append(Pair(mine, theirs, self.references[a].id, self.references[b].id, min(similarity, 1.0), kin))
        same = tuple(pair for pair in found if pair.similarity >= self.limits.same)
        return same, tuple(pair for pair in found[len(same) :] if pair.similarity >= self.limits.confusable)

    def mislabelled(self) -> tuple[Mislabelled, ...]:
        """Leave-one-out: without itself, a reference's nearest neighbours agree on another brand."""
        near, limits = self.near, self.limits
        if not len(near.votes):
            return ()
        last = near.voter_similarity[:, min(limits.votes, _RIVALS) - 1]
        told = (near.votes >= limits.votes) & (near.size > limits.votes) & (last >= limits.alike)
        told &= last >= near.nearest_own + limits.lead
        places = np.flatnonzero(told)
        sureness = 2 * last[places] - near.nearest_own[places]
        found = []
        for place in places[np.argsort(-sureness, kind="stable")].tolist():
            voters = [v for v in near.voters[place].tolist() if v >= 0][: limits.votes]
            if self.negative(place) or self.negative(voters[0]):
                continue
            found.append(
                Mislabelled(
                    self.brand(place),
                    self.references[place].id,
                    self.brand(voters[0]),
                    tuple(self.references[v].id for v in voters),
                    float(near.voter_similarity[place, 0]),
                    self.references[near.nearest_own_index[place]].id,
                    float(near.nearest_own[place]),
                    int(near.votes[place]),
                    float(last[place] - near.nearest_own[place]),
                )
            )
        return tuple(found)

    def attractors(self, vectors: Embeddings, background: Embeddings) -> tuple[Attractor, ...]:
        """References close to a background patch by one of their views."""
        if not len(background) or not len(vectors):
            return ()
        rows = (vectors @ background.T).max(axis=1)
        starts = np.cumsum([0, *(r.vectors for r in self.references)])[:-1]
        nearest = np.maximum.reduceat(rows, starts)
        places = np.flatnonzero(nearest >= self.limits.background).tolist()
        found = [
            Attractor(self.brand(p), self.references[p].id, float(nearest[p])) for p in places if not self.negative(p)
        ]
        return tuple(sorted(found, key=lambda a: (-a.similarity, a.reference)))


def similar_names(brands: Sequence[Brand], letters: int) -> tuple[NamePair, ...]:
    """Pairs of brands whose names or aliases look the same or are one letter apart, each pair once; in the order of names.

    letters: names with fewer are compared by looks only. Kin ("Google Drive" of "Google") are not told.
    """
    spellings = [(fold(name), name, brand) for brand in brands for name in (brand.name, *brand.aliases)]
    spellings = [each for each in spellings if each[0]]
    groups: dict[str, list[int]] = defaultdict(list)
    for place, (folded, name, _) in enumerate(spellings):
        groups[f"={_looks(name)}"].append(place)
        if min(len(folded), len(name)) >= letters:  # "C#" folds to six letters
            # two names one edit apart share a form with one letter taken out (Garbe, SymSpell, 2012)
            for form in {folded, *(folded[:i] + folded[i + 1 :] for i in range(len(folded)))}:
                groups[form].append(place)
    found: dict[tuple[str, str], NamePair] = {}
    for key, places in groups.items():
        for i, a in enumerate(places):
            for b in places[i + 1 :]:
                (one, name, brand), (two, other_name, other) = spellings[a], spellings[b]
                pair = (min(brand.id, other.id), max(brand.id, other.id))
                if brand.id == other.id or (pair in found and not key.startswith("=")):
                    continue
                if is_kin(brand.name, other.name) or is_kin(other.name, brand.name):
                    continue
                why = "looks the same" if key.startswith("=") else "one letter apart"
                if key.startswith("=") or Levenshtein.distance(one, two, score_cutoff=1) <= 1:
                    found[pair] = NamePair(brand.name, other.name, name, other_name, why)
    return tuple(sorted(found.values(), key=lambda p: (p.why != "looks the same", fold(p.brand), fold(p.other_brand))))


def _looks(name: str) -> str:
    """A name by how it looks: digits that the reader takes for a letter are that letter, "rn" is "m", "vv" is "w"."""
    return reading_key(name).translate(LOOK_ALIKES).replace("rn", "m").replace("vv", "w")


def _alarms(wins: Iterable[Win], limits: Limits) -> tuple[Alarm, ...]:
    of: dict[tuple[str, str], list[Win]] = defaultdict(list)
    for win in wins:
        of[win.brand, win.reference or ""].append(win)
    found = [
        Alarm(
            brand,
            reference or None,
            len(won),
            sum(win.known for win in won),
            max((win.similarity for win in won if win.similarity is not None), default=None),
            max(win.probability for win in won),
        )
        for (brand, reference), won in of.items()
        if len(won) >= limits.alarms or any(win.known for win in won)
    ]
    return tuple(sorted(found, key=lambda a: (-a.known, -a.wins, -a.probability, a.brand, a.reference or "")))


def _lonely(brands: Sequence[Brand], references: Sequence[Reference]) -> dict[str, tuple[str, ...]]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for reference in references:
        kinds[reference.brand_id].append(reference.kind)
    found: dict[str, list[str]] = {"name only": [], "one reference": [], "drawings only": []}
    for brand in brands:
        held = kinds[brand.id]
        if not held:
            found["name only"].append(brand.name)
        elif len(held) == 1:
            found["one reference"].append(brand.name)
        elif set(held) == {"drawing"}:
            found["drawings only"].append(brand.name)
    return {what: tuple(names) for what, names in found.items()}


def _dated(references: Sequence[Reference], names: Mapping[str, str], today: date) -> tuple[Dated, ...]:
    found = []
    for reference in references:
        after, before = reference.valid_until, reference.valid_from
        if after is not None and after < today:
            found.append(Dated(names[reference.brand_id], reference.id, "expired", after.isoformat()))
        elif before is not None and before > today:
            found.append(Dated(names[reference.brand_id], reference.id, "not yet valid", before.isoformat()))
    return tuple(sorted(found, key=lambda d: (d.what, d.when, d.reference)))


def _runs(ids: Sequence[str]) -> Indexes:
    """(n,) numbers from 0 of ids that come in groups."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(each, len(places)) for each in ids], dtype=np.int64)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value
