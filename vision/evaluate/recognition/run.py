"""The order of an evaluation: labelled boxes are looked up once, then each section asked for makes its figures of that.

Sections: `top1` (ranks and claims), `calibration` (is a probability of .9 right nine times in ten), `openset` (strangers),
`fewshot` (photographs beside the library), `size` (other libraries), `attacks` (blurred, turned,
erased …), `spelling` (names in disguise). All figures go out as plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledPicture, read_set
from vision.datasets.split import same_pictures
from vision.detect import AnyDetector
from vision.errors import DatasetError, UsageError
from vision.evaluate import metrics, spelling_attacks
from vision.evaluate.detector import set_names
from vision.evaluate.recognition import fewshot, openset, size
from vision.evaluate.recognition.attacks import ATTACKS
from vision.evaluate.recognition.crops import TRUE_SCORE, Advance, Crops, Labelled, Plan, gather, of_places, of_sets
from vision.evaluate.recognition.photos import photo_crops
from vision.evaluate.recognition.rankers import Judged, Ranker, by_name, by_similarity, by_verdict, judge
from vision.evaluate.recognition.ranking import Figures, by_brand, rank_figures, share, slices
from vision.evaluate.recognition.worlds import Neighbors, World
from vision.library import Library
from vision.library.names import canonical, fold, kin_prefixes
from vision.recognise import Place, Recogniser
from vision.values import Picture
from vision.verdict import Calibration, OperatingPoint

SCHEMA = "vision.recognition/1"
SECTIONS = ("top1", "calibration", "openset", "fewshot", "size", "attacks", "spelling")
DEFAULT = ("top1", "calibration", "openset", "fewshot")
POOLED = "all sets"
# Photographs a brand that the open-set section adds to the library.
OPEN_SHOTS = 3
_DRAWN = 16

Progress = Callable[[str], Callable[[int], Advance]]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. See `vision evaluate recognition --help`.

    references: further sets whose crops serve as photographs of brands. unseen: brands that no training saw. photos: pictures
    without brands. draws: random choices of photographs. splits: divisions of the brands.
    """

    sections: Sequence[str] = DEFAULT
    jitter: float = 0.0
    detector: AnyDetector | None = None
    references: Sequence[Path] = ()
    unseen: Sequence[str] | None = None
    photos: Path | None = None
    sizes: Sequence[int] = size.SIZES
    draws: int = fewshot.DRAWS
    splits: int = openset.SPLITS
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """figures: plain dictionaries. judged: of the ranker that is most like a scan, all crops that the library can name.

    crops: all of them. held: (n,) those. curves: what is plotted, by section. alarms: pieces of photographs by kind, with what
    the same ranker says of them.
    """

    figures: Figures
    crops: Crops
    held: Flags
    judged: Mapping[str, Judged]
    curves: Mapping[str, Any] = field(default_factory=dict)
    alarms: Mapping[str, tuple[Crops, Judged]] = field(default_factory=dict)


def rankers_of(
    recogniser: Recogniser, card: Mapping[str, Any] | None, point: OperatingPoint | None
) -> dict[str, Ranker]:
    """The ways to rank that can be measured: `vision` (by cosine where there is no verdict), and where text is read `text`
    and `both`. card: of a calibration.
    """
    reads = recogniser.reader is not None
    found: dict[str, Ranker] = {"vision": by_similarity}
    if card is not None and point is not None:
        parts = {name: Calibration.from_card(part) for name, part in card["calibrations"].items()}
        found["vision"] = by_verdict(parts["vision"], point)
        if reads:
            found |= {"text": by_name, "both": by_verdict(parts["vision"], point, both=parts["both"])}
    elif reads:
        found["text"] = by_name
    return found


def check_sections(names: Iterable[str]) -> None:
    """Raises UsageError (bad_option) for a section that there is not."""
    for name in names:
        if name not in SECTIONS:
            raise UsageError("bad_option", f"no section {name!r}", hint=", ".join(SECTIONS))


def evaluate_recognition(
    recogniser: Recogniser,
    data: Sequence[Path],
    rankers: Mapping[str, Ranker],
    options: Options,
    *,
    card: Mapping[str, Any] | None = None,
    command: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure on labelled sets. rankers: by name; `rankers_of` has the shipped ones. card: of the calibration that they use.

    progress: is told what is done and of how many pictures, gives what counts them.
    Raises DatasetError (missing, bad_label), UsageError (bad_option), PictureError.
    """
    check_sections(options.sections)
    library = recogniser.library
    sets = {name: read_set(path, extra_boxes=False) for name, path in zip(set_names(data), data, strict=True)}
    pictures = _labelled(sets, library)
    if not pictures:
        raise DatasetError("missing", "no box of these sets names a brand", path=str(data[0]))
    plan = Plan(
        jitter=options.jitter,
        detector=options.detector,
        attacks=ATTACKS if "attacks" in options.sections else {},
        read=recogniser.reader is not None,
        keep_lines="size" in options.sections,
        seed=options.seed,
    )
    tell = progress or (lambda _: lambda _: lambda _: None)
    crops = gather(recogniser, pictures, plan, threads=options.threads, progress=tell("boxes"))
    run = _Run(recogniser, crops, rankers, options, pictures, plan, tell)
    figures: Figures = {
        "schema": SCHEMA,
        "command": command,
        "library": {
            "brands": len(library),
            "references": _count(library),
            "version": library.version,
            "checksum": library.checksum,
        },
        "embedder": recogniser.embedder.id,
        "reads": recogniser.reader is not None,
        "boxes": "detector"
        if options.detector is not None
        else f"true, shaken by {options.jitter:.0%}"
        if options.jitter
        else "true",
        "intervals": "95 %, bootstrap over pictures",
        "sets": {
            name: {
                "data": path.as_posix(),
                "crops": int(run.of_set[name].sum()),
                "held": int((run.of_set[name] & run.held).sum()),
                "not_found": int((run.of_set[name] & crops.missed).sum()),
            }
            for name, path in zip(sets, data, strict=True)
        },
        "sections": {},
    }
    curves: dict[str, Any] = {}
    for section in SECTIONS:
        if section in options.sections:
            figures["sections"][section], curves[section] = getattr(run, section)()
    if "calibration" in figures["sections"] and card is not None:
        figures["sections"]["calibration"]["card"] = _card_note(card, sets, data)
    return Evaluation(figures, crops, run.held, run.known(), curves, run.alarms)


def _labelled(sets: Mapping[str, Sequence[LabelledPicture]], library: Library) -> list[Labelled]:
    """The boxes to cut, their brands as the library spells them."""
    spelled: dict[str, str] = {}

    def spell(brand: str) -> str:
        if brand not in spelled:
            spelled[brand] = library.brand(brand).name if brand in library else canonical(brand)
        return spelled[brand]

    return [replace(one, brands=tuple(spell(b) for b in one.brands)) for one in of_sets(sets)]


def _count(library: Library) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for reference in library.all_references():
        kinds[reference.kind] = kinds.get(reference.kind, 0) + 1
    return kinds


def _card_note(card: Mapping[str, Any], sets: Mapping[str, object], data: Sequence[Path]) -> Figures:
    """What the calibration says of itself, and whether it was fitted on these sets: then its ECE here is no held-out one."""
    endings = {"/".join(Path(p).parts[-2:]) for p in card.get("data", {}).get("labelled", [])}
    own = card.get("figures", {})
    return {
        "fitted_on": {name: "/".join(path.parts[-2:]) in endings for name, path in zip(sets, data, strict=True)},
        "held_out_by_brand": {name: own[name] for name in ("folds_by_brand", "ece", "brier") if name in own},
    }


class _Run:
    """All sections of one evaluation; each method gives its figures, and what is plotted of them."""

    def __init__(
        self,
        recogniser: Recogniser,
        crops: Crops,
        rankers: Mapping[str, Ranker],
        options: Options,
        pictures: Sequence[Labelled],
        plan: Plan,
        tell: Progress,
    ) -> None:
        self.recogniser, self.library = recogniser, recogniser.library
        self.crops, self.rankers, self.options, self.plan, self.tell = crops, rankers, options, plan, tell
        self.pictures = pictures
        self.names = [brand.name for brand in self.library.brands()]
        in_library = {fold(name) for name in self.names}
        self.named = frozenset(b for b in crops.brands if fold(b) in in_library)
        self.held = np.array([b in self.named for b in crops.brands], dtype=bool) & ~crops.missed
        self.of_set = {name: np.array([s == name for s in crops.sets]) for name in dict.fromkeys(crops.sets)}
        self.whole = World(len(self.library), (crops.neighbors,))
        self.alarms: dict[str, tuple[Crops, Judged]] = {}
        self._known: dict[str, Judged] | None = None
        self._pool: tuple[fewshot.Pool, Groups] | None = None

    def judge(self, world: World, crops: Crops | None = None) -> dict[str, Judged]:
        """What every ranker says of all crops in a world."""
        crops = self.crops if crops is None else crops
        looks = world.look(crops)
        return {name: judge(rank(looks), crops.brands) for name, rank in self.rankers.items()}

    def known(self) -> dict[str, Judged]:
        """The library as it is."""
        if self._known is None:
            self._known = self.judge(self.whole)
        return self._known

    def parts(self) -> dict[str, Flags]:
        """The crops of each set, and all where there are several sets."""
        return self.of_set | ({POOLED: np.ones(len(self.crops), bool)} if len(self.of_set) > 1 else {})

    def top1(self) -> tuple[Figures, Any]:
        """Ranks and claims of brands that the library holds, by set, ranker and slice."""
        found: Figures = {}
        for name, rows in self.parts().items():
            found[name] = {}
            for ranker, judged in self.known().items():
                own: Figures = {}
                for part, flags in slices(self.crops, self.options.unseen):
                    chosen = rows & flags & self.held
                    only_source = part.startswith("source ") and (chosen == (rows & self.held)).all()
                    if chosen.any() and not only_source:
                        own[part] = rank_figures(judged.take(chosen), self.crops.picture[chosen])
                every = np.flatnonzero(rows & self.held)
                own["by_brand"] = by_brand(judged.take(every), [self.crops.brands[i] for i in every])
                found[name][ranker] = own
        return found, None

    def calibration(self) -> tuple[Figures, Any]:
        """How true the stated probabilities are, of known crops and of the same crops with their own brand taken out."""
        out = self.judge(World(len(self.library), (self.crops.neighbors,), own_out=True))
        found: Figures = {}
        curves: dict[str, Any] = {}
        seen = ~self.crops.missed
        for ranker, judged in self.known().items():
            if not np.isfinite(judged.probability).any():
                continue
            known = judged.take(self.held)
            strangers = out[ranker].take(seen)
            cases = {
                "known": (known.probability, known.right),
                "own brand out": (strangers.probability, np.zeros(len(strangers.best), dtype=bool)),
                "both": (
                    np.concatenate([known.probability, strangers.probability]),
                    np.concatenate([known.right, np.zeros(len(strangers.best), dtype=bool)]),
                ),
            }
            found[ranker] = {
                name: _reliability(np.nan_to_num(stated), right) for name, (stated, right) in cases.items()
            }
            curves[ranker] = found[ranker]["both"]["bins"]
        return found, curves

    def openset(self) -> tuple[Figures, Any]:
        """Strangers, with the library as it is, with photographs of the sets' brands beside it, and with those alone."""
        found: Figures = {}
        curves: dict[str, Any] = {}
        pool, groups = self.pool()
        near, seen = self.crops.neighbors, ~self.crops.missed
        brands = frozenset(self.crops.brands)
        referenced = _has_reference(pool, groups, self.crops.brands)
        added = len(self.library) + len(brands - self.named)
        with_photos, photos_only = f"library + {OPEN_SHOTS} photos", f"{OPEN_SHOTS} photos"
        for kind, size_, sources, findable in (
            ("library", len(self.library), (near,), self.held),
            (with_photos, added, (near, None), self.held | referenced),
            (photos_only, len(set(pool.brands)), (None,), referenced),
        ):
            splits: dict[str, list[openset.Split]] = {}
            only = frozenset(pool.brands) if kind == photos_only else None
            for number, out in enumerate(openset.halves(sorted(brands), self.options.splits, self.options.seed)):
                seed = self.options.seed + number
                photos = fewshot.draw(pool, self.crops.embeddings, groups, OPEN_SHOTS, seed, alike=True)
                world = World(size_ - len(out), tuple(photos if s is None else s for s in sources), out, only=only)
                is_out = np.array([b in out for b in self.crops.brands], dtype=bool)
                if kind == "library":
                    is_out |= ~np.array([b in self.named for b in self.crops.brands], dtype=bool)
                for ranker, judged in self.judge(world).items():
                    known, strangers = findable & ~is_out & seen, is_out & seen
                    splits.setdefault(ranker, []).append(openset.Split(judged, known, strangers))
            found[kind] = {ranker: openset.open_figures(own, self.crops.picture) for ranker, own in splits.items()}
            for ranker, own in splits.items():
                curves[f"{kind}, {ranker}"] = [openset.curve(split) for split in own if split.usable]
        out_judged = self.judge(World(len(self.library) - 1, (near,), own_out=True))
        found["own brand out"] = self._strangers(out_judged, self.crops.picture, seen)
        not_held = seen & ~np.array([b in self.named for b in self.crops.brands], dtype=bool)
        if not_held.any():
            found["brands not held"] = self._strangers(self.known(), self.crops.picture, not_held)
        if self.options.photos is not None:
            for name, pieces in photo_crops(
                self.recogniser,
                self.options.photos,
                self.crops,
                seed=self.options.seed,
                tell=self.tell,
                threads=self.options.threads,
            ).items():
                piece_judged = self.judge(World(len(self.library), (pieces.neighbors,)), pieces)
                self.alarms[name] = pieces, piece_judged[list(piece_judged)[-1]]
                found[name] = self._strangers(piece_judged, pieces.picture, np.ones(len(pieces), bool))
        return found, curves

    def _strangers(
        self,
        judged: Mapping[str, Judged],
        picture: Groups,
        rows: Flags,
    ) -> Figures:
        return {
            ranker: openset.stranger_figures(self.known()[ranker].take(self.held), own.take(rows), picture[rows])
            for ranker, own in judged.items()
        }

    def pool(self) -> tuple[fewshot.Pool, Groups]:
        """Crops that serve as photographs, and the group of each crop of the sets. True boxes, whatever the queries are."""
        if self._pool is not None:
            return self._pool
        further: list[Labelled] = []
        if self.options.references:
            names = [f"references {name}" for name in set_names(self.options.references)]
            sets = zip(names, (read_set(p, extra_boxes=False) for p in self.options.references), strict=True)
            known = {one.path.resolve() for one in self.pictures}
            further = [one for one in _labelled(dict(sets), self.library) if one.path.resolve() not in known]
        plain = Plan(depth=1)
        queries_are_true = self.options.jitter == 0 and self.options.detector is None
        parts = [self.crops] if queries_are_true else [self._gather(self.pictures, plain, "references")]
        parts += [self._gather(further, plain, "references")] if further else []
        paths = [one.path for one in (*self.pictures, *further)]
        same = same_pictures(paths, advance=self.tell("copies")(len(paths)), threads=self.options.threads)
        offsets = (0, len(self.pictures))
        pool = fewshot.Pool(
            tuple(brand for one in parts for brand in one.brands),
            same[np.concatenate([one.picture + offset for one, offset in zip(parts, offsets, strict=False)])],
            np.concatenate([one.embeddings for one in parts]),
        )
        self._pool = pool, same[self.crops.picture]
        return self._pool

    def _gather(self, pictures: Sequence[Labelled], plan: Plan, what: str) -> Crops:
        silent = Recogniser(self.recogniser.embedder, self.library)
        return gather(silent, pictures, plan, threads=self.options.threads, progress=self.tell(what))

    def fewshot(self) -> tuple[Figures, Any]:
        """Top-1 by the number of photographs a brand: beside the library, with the brands' own references taken out of it (0: the
        name alone), and with rivals of the same kind only.
        """
        pool, groups = self.pool()
        brands = frozenset(self.crops.brands)
        added = len(self.library) + len(brands - self.named)
        bare = _without_references(self.crops.neighbors, brands)
        kinds = {
            "library": (added, self.crops.neighbors, None),
            "names only": (added, bare, None),
            "same kind": (len(set(pool.brands)), None, frozenset(pool.brands)),
        }
        seen = ~self.crops.missed
        rows = _has_reference(pool, groups, self.crops.brands) & seen
        found: Figures = {name: {} for name in self.parts()}

        def note(kind: str, shots: int, every: Mapping[str, Sequence[Judged]], counted: Flags) -> None:
            for name, part in self.parts().items():
                own = found[name].setdefault(kind, {})
                own[str(shots)] = {ranker: self._few(judged, counted & part) for ranker, judged in every.items()}

        for kind, (count, base, only) in kinds.items():
            if base is not None:
                judged = self.judge(World(count, (base,)))
                note(kind, 0, {ranker: [one] for ranker, one in judged.items()}, self.held)
            for shots in fewshot.SHOTS:
                every: dict[str, list[Judged]] = {ranker: [] for ranker in self.rankers}
                for number in range(self.options.draws):
                    photos = fewshot.draw(pool, self.crops.embeddings, groups, shots, self.options.seed + number)
                    sources = (photos,) if base is None else (base, photos)
                    for ranker, one in self.judge(World(count, sources, only=only)).items():
                        every[ranker].append(one)
                note(kind, shots, every, rows)
        return found, None

    def _few(self, judged: Sequence[Judged], rows: Flags) -> Figures:
        picture = self.crops.picture[rows]
        mean = np.mean([one.rank[rows] == 1 for one in judged], axis=0)
        kin = np.mean([one.right[rows] for one in judged], axis=0)
        claimed = np.mean([(one.claimed & one.right)[rows] for one in judged], axis=0)
        return (
            {"crops": int(rows.sum()), "draws": len(judged)}
            | share("top1", mean, picture)
            | share("top1_kin", kin, picture)
            | share("claimed_right", claimed, picture)
        )

    def size(self) -> tuple[Figures, Any]:
        """Top-1, claims and strangers by the library's size; the sets' own brands are always among those kept."""
        own = sorted(self.named)
        parents: size.Parents | None = None
        found: Figures = {}
        for wanted in self.options.sizes:
            crops, only = self.crops, None
            sources: tuple[Neighbors, ...] = (crops.neighbors,)
            count = wanted or len(self.library)
            if count < len(self.library):
                only = size.part(self.names, own, count, self.options.seed)
                count = len(only)
                part = self.library.subset(brands=only)
                near = part.search_embeddings(crops.embeddings, k=min(self.plan.depth, count))
                sources = (Neighbors.of(near),)
            elif count > len(self.library):
                parents = parents or size.Parents.of(self.library, self.options.seed)
                names = size.invented_names(count - len(self.library), self.names, self.options.seed)
                sources = (*sources, size.strangers(parents, crops.embeddings, names, self.options.seed))
                crops = size.with_names(crops, names)
            known = self.judge(World(count, sources, only=only), crops)
            out = self.judge(World(count - 1, sources, own_out=True, only=only), crops)
            seen = ~crops.missed
            found[str(count)] = {
                ranker: rank_figures(judged.take(self.held), crops.picture[self.held])
                | share("strangers_claimed", out[ranker].claimed[seen], crops.picture[seen])
                | {"auroc": metrics.auroc(judged.score[self.held], out[ranker].score[seen])}
                for ranker, judged in known.items()
            }
        return found, None

    def attacks(self) -> tuple[Figures, Any]:
        """The same crops under each attack."""
        found: Figures = {"none": self._attacked(self.known())}
        for name, crops in self.crops.attacked.items():
            found[name] = self._attacked(self.judge(World(len(self.library), (crops.neighbors,)), crops))
        return found, None

    def spelling(self) -> tuple[Figures, Any]:
        """Drawn names of brands that the library holds, plain and in disguise: how many are named, rightly and wrongly."""
        spelled = [one for one in spelling_attacks.spellings(seed=self.options.seed) if one.brand in self.library]
        fonts = spelling_attacks.find_fonts()
        brands = [self.library.brand(one.brand).name for one in spelled]
        places = [_drawn(one, fonts, self.options.seed) for one in spelled]
        advance = self.tell("spelling")(len(places))
        parts = []
        for start in range(0, len(places), _DRAWN):
            some = slice(start, start + _DRAWN)
            parts.append(of_places(self.recogniser, places[some], brands[some], self.plan, "drawn"))
            advance(len(places[some]))
        if not parts:
            raise DatasetError("missing", "the library holds none of the brands whose names are drawn")
        crops = Crops.joined(parts)
        kinds = np.array([one.kind for one in spelled])
        groups = {kind: kinds == kind for kind in dict.fromkeys(kinds.tolist())} | {"disguised": kinds != "clean"}
        return {
            name: {
                ranker: {
                    "crops": int(rows.sum()),
                    "top1_kin": int(judged.right[rows].sum()),
                    "claimed_right": int((judged.claimed & judged.right)[rows].sum()),
                    "claimed_wrong": int((judged.claimed & ~judged.right)[rows].sum()),
                }
                for ranker, judged in self.judge(World(len(self.library), (crops.neighbors,)), crops).items()
            }
            for name, rows in groups.items()
        }, None

    def _attacked(self, judged: Mapping[str, Judged]) -> Figures:
        return {
            ranker: rank_figures(own.take(self.held), self.crops.picture[self.held]) for ranker, own in judged.items()
        }


def _drawn(spelling: spelling_attacks.Spelling, fonts: Sequence[Path], seed: int) -> Place:
    """A drawn name as a picture, the box where the drawing's margin ends."""
    pixels = spelling_attacks.draw(spelling, fonts, seed=seed)
    height, width = pixels.shape[:2]
    margin = 0.1 * height  # half of the margin that is drawn: a detector's boxes are a little loose
    box = np.array([margin, margin, width - margin, height - margin], dtype=np.float32)
    return Place(Picture(pixels, width, height, "", "drawn"), box, TRUE_SCORE)


def _reliability(stated: npt.NDArray[np.float64], right: Flags) -> Figures:
    return {
        "claims": len(stated),
        "ece": metrics.expected_calibration_error(stated, right),
        "brier": metrics.brier_score(stated, right),
        "stated": float(stated.mean()) if len(stated) else float("nan"),
        "right": float(right.mean()) if len(right) else float("nan"),
        "bins": metrics.reliability_bins(stated, right),
    }


def _without_references(neighbors: Neighbors, brands: frozenset[str]) -> Neighbors:
    """The same neighbours without references of some brands: those stay in the library by name alone. Kin lose theirs too."""
    keys = {fold(brand) for brand in brands}
    gone = np.array([not keys.isdisjoint(kin_prefixes(name)) for name in neighbors.names] + [False])
    hidden = gone[neighbors.entry]
    entry = np.where(hidden, -1, neighbors.entry).astype(np.int32)
    return replace(
        neighbors, entry=entry, similarity=np.where(hidden, -np.inf, neighbors.similarity).astype(np.float32)
    )


def _has_reference(pool: fewshot.Pool, groups: Groups, brands: Sequence[str]) -> Flags:
    """Which crops find at least one reference of their brand that they may see."""
    keys = np.array([fold(brand) for brand in pool.brands])
    return np.array(
        [bool((pool.groups[keys == fold(brand)] != group).any()) for brand, group in zip(brands, groups, strict=True)],
        dtype=bool,
    )
