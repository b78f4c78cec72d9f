"""What is wrong with labelled sets: boxes, pictures, class names, and pictures or brands that stand on both sides of a split.

In: sets as `read_any` gives them. Out: findings, plain data. Pictures are read once, through the one reader, and described for
our own search for copies, so that re-encoded, mirrored and turned ones are found as well as equal files.
"""

from __future__ import annotations

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.datasets.classes import class_name
from vision.datasets.labelled import LabelledPicture, brand_key, brands_of, kin_keys, kin_of
from vision.datasets.reading import LabelledSet
from vision.errors import PictureError
from vision.geometry import Boxes, iou
from vision.values import Pixels

if TYPE_CHECKING:
    from vision.copies import CopyDescription, ScanIndex

# Findings that are wrong, and findings that are only worth a look: some marks are tiny, and series have near-equal pictures.
PROBLEMS = {
    "bad_label": "labels that make no sense, passed over",
    "outside": "boxes that reach outside the picture",
    "no_area": "boxes without area",
    "repeated_box": "boxes of one kind on the same place (IoU over 0.9)",
    "unreadable": "pictures that cannot be read",
    "other_size": "pictures of another size than their labels say",
    "listed_twice": "pictures that are listed more than once",
    "same_file_across": "equal files in two splits",
    "same_file": "equal files in one split",
    "copy_across": "near-duplicates in two splits",
    "class_spelling": "class or brand names that differ in case, accents, spaces or signs only",
    "brand_leak": "brands of an unseen split that other splits show",
}
NOTICES = {
    "tiny": "tiny boxes",
    "copy": "near-duplicates in one split",
    "class_similar": "class or brand names that are nearly alike",
}
MOST_REPEATED = 0.9
# Labels are rounded to whole or tenths of pixels; half a pixel outside is nothing.
SLACK = 0.5
# Names of five letters and more that share this much are shown together: "Coca-Cola" and "Coca-Colla", not "Nike" and "Niko".
ALIKE = 0.85
# Of many pictures that are all alike (blanks, placeholders) each is shown with this many, those of other splits first.
PAIRS_A_PICTURE = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. what: a key of PROBLEMS or NOTICES. path: the picture or file.

    where: a place in the file, or the number of a box in its picture. other: the picture on the other side of a pair.
    """

    what: str
    path: str
    where: str = ""
    message: str = ""
    other: str | None = None

    @property
    def is_problem(self) -> bool:
        """False for what is only worth a look."""
        return self.what in PROBLEMS


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures of which one was taken from the other, as `vision.copies` claims."""

    picture: LabelledPicture
    source: LabelledPicture
    kind: str
    distance: int
    probability: float
    across: bool


@dataclass(slots=True)
class Report:
    """All findings, in the order of the sets. pairs: near-duplicates, those across splits first."""

    pictures: int = 0
    boxes: int = 0
    findings: list[Finding] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    shared_brands: dict[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> int:
        """How many findings are problems."""
        return sum(finding.is_problem for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Counts and findings as plain JSON."""
        counts = Counter(finding.what for finding in self.findings)
        return {
            "pictures": self.pictures,
            "boxes": self.boxes,
            "problems": self.problems,
            "counts": {what: counts[what] for what in (*PROBLEMS, *NOTICES)},
            "brands_in_two_splits": self.shared_brands,
            "findings": [asdict(finding) | {"problem": finding.is_problem} for finding in self.findings],
        }


def check_sets(
    sets: Sequence[LabelledSet],
    *,
    tiny: float = 6,
    radius: int | None = None,
    unseen: Iterable[str] = (),
    unseen_brands: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check sets, each by itself and all against each other.

    tiny: a shorter side of a box, in pixels, under which it is shown. radius: Hamming bits for near-duplicates (the default of
    the search for copies). unseen: splits whose brands, or their kin, no other split may show; splits with "unseen" in their name
    always. unseen_brands: names that no split but those may show. progress: told (pictures read, all of them).
    """
    report = Report()
    pictures = [picture for one in sets for picture in one.pictures]
    names = _names_of(sets)
    places = [picture.split or name for one, name in zip(sets, names, strict=True) for picture in one.pictures]
    report.pictures, report.boxes = len(pictures), sum(len(picture.boxes) for picture in pictures)
    for one in sets:
        report.findings += [Finding("bad_label", f.path, f.where, f.message) for f in one.faults]
    for picture in pictures:
        report.findings += _check_boxes(picture, tiny)
    _check_files(pictures, places, radius, report, progress)
    report.findings += _check_names(pictures)
    _check_brands(pictures, places, set(unseen), tuple(unseen_brands), report)
    return report


def _names_of(sets: Sequence[LabelledSet]) -> list[str]:
    """What sets are called that name no splits, and so are splits of their own: as short as tells them apart."""
    paths = [one.path.absolute() for one in sets]
    names = [path.name for path in paths]
    return [
        name if len({p for p, n in zip(paths, names, strict=True) if n == name}) == 1 else one.path.as_posix()
        for name, one in zip(names, sets, strict=True)
    ]


def _check_boxes(picture: LabelledPicture, tiny: float) -> Iterator[Finding]:
    path = str(picture.path)
    for number, box in enumerate(picture.boxes):
        left, top, right, bottom = box.box
        wide, high = right - left, bottom - top
        where, shown = f"box {number}", "[" + ", ".join(f"{v:g}" for v in box.box) + "]"
        if wide <= 0 or high <= 0:
            yield Finding("no_area", path, where, shown)
            continue
        if left < -SLACK or top < -SLACK or right > picture.width + SLACK or bottom > picture.height + SLACK:
            yield Finding("outside", path, where, f"{shown} of {picture.width} x {picture.height}")
        if min(wide, high) < tiny:
            yield Finding("tiny", path, where, f"{wide:g} x {high:g} px")
    for kind in sorted({box.kind for box in picture.boxes}):
        numbers = [n for n, box in enumerate(picture.boxes) if box.kind == kind and not box.ignore]
        corners = np.array([picture.boxes[n].box for n in numbers], dtype=np.float32).reshape(-1, 4)
        rows, columns = np.nonzero(np.triu(iou(corners, corners) > MOST_REPEATED, 1))
        for a, b in zip(rows.tolist(), columns.tolist(), strict=True):
            one, two = picture.boxes[numbers[a]], picture.boxes[numbers[b]]
            named = " and ".join(dict.fromkeys(class_name(box, "label") for box in (one, two)))
            yield Finding("repeated_box", path, f"boxes {numbers[a]} and {numbers[b]}", named)


def _check_files(
    pictures: Sequence[LabelledPicture],
    places: Sequence[str],
    radius: int | None,
    report: Report,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Unreadable pictures, sizes, equal files and near-duplicates; every file is read once."""
    from vision.copies import ScanIndex

    with closing(ScanIndex()) as index:
        _check_each(pictures, places, radius, report, progress, index)


def _check_each(
    pictures: Sequence[LabelledPicture],
    places: Sequence[str],
    radius: int | None,
    report: Report,
    progress: Callable[[int, int], None] | None,
    index: ScanIndex,
) -> None:
    from vision.copies.verify import RADIUS

    first_of: dict[str, int] = {}  # by real path
    seen: dict[tuple[str, str], int] = {}  # by sha256 and place
    seen_anywhere: dict[str, int] = {}
    pairs: list[Pair] = []
    for number, (picture, described) in enumerate(zip(pictures, _descriptions(pictures), strict=True)):
        path = str(picture.path)
        if progress is not None:
            progress(number + 1, len(pictures))
        if isinstance(described, PictureError):
            report.findings.append(Finding("unreadable", path, "", f"[{described.code}] {described.message}"))
            continue
        if (described.width, described.height) != (picture.width, picture.height):
            sizes = f"{described.width} x {described.height}, not {picture.width} x {picture.height}"
            report.findings.append(Finding("other_size", path, "", sizes))
        real = os.path.realpath(path)
        before = first_of.setdefault(real, number)
        if before != number and places[before] == places[number]:
            report.findings.append(
                Finding("listed_twice", path, "", f"in {places[number]}", str(pictures[before].path))
            )
            continue
        same = seen.setdefault((described.sha256, places[number]), number)
        anywhere = seen_anywhere.setdefault(described.sha256, number)
        if same != number:
            report.findings.append(Finding("same_file", path, "", places[number], str(pictures[same].path)))
            continue
        if anywhere != number:
            sides = f"{places[number]} and {places[anywhere]}"
            report.findings.append(Finding("same_file_across", path, "", sides, str(pictures[anywhere].path)))
            continue
        logos = functools.partial(_logos, picture, described.width, described.height)
        found_copies = index.search(described, RADIUS if radius is None else radius, None, logos=logos)
        claims = [(int(claim.source), claim) for claim in found_copies]
        claims.sort(key=lambda found: places[found[0]] == places[number])
        for other, claim in claims[:PAIRS_A_PICTURE]:
            across = places[other] != places[number]
            pairs.append(Pair(picture, pictures[other], claim.kind, claim.distance, claim.probability, across))
            sides = f"{places[number]} and {places[other]}" if across else places[number]
            text = f"{sides}: {claim.kind}, {claim.distance} bits apart, probability {claim.probability:.3g}"
            found = Finding("copy_across" if across else "copy", path, "", text, str(pictures[other].path))
            report.findings.append(found)
        index.add(str(number), described)
    report.pairs = sorted(pairs, key=lambda pair: (not pair.across, -pair.probability, pair.distance))


def _logos(picture: LabelledPicture, width: int, height: int) -> Boxes:
    """Its labelled logos in a file of that size: two pictures that share nothing else are no copies."""
    boxes = np.array([b.box for b in picture.boxes if b.kind == "logo"], dtype=np.float32).reshape(-1, 4)
    return np.asarray(boxes * picture.scale_to(width, height), dtype=np.float32)


def _descriptions(pictures: Sequence[LabelledPicture]) -> Iterator[CopyDescription | PictureError]:
    """What the search for copies knows of each picture, or why it cannot be read; as many threads as there are cores."""
    from vision.copies import described
    from vision.scan import in_order

    def describe(picture: LabelledPicture) -> CopyDescription | PictureError:
        try:
            return described(picture.path)
        except PictureError as error:
            return error

    yield from in_order(describe, pictures)


def _check_names(pictures: Sequence[LabelledPicture]) -> Iterator[Finding]:
    """Spellings of one name, among brands and among the source's classes."""
    for what in ("brand", "label"):
        counts = Counter(getattr(box, what) for picture in pictures for box in picture.boxes if getattr(box, what))
        by_key: dict[str, list[str]] = defaultdict(list)
        for name in sorted(counts):
            by_key[brand_key(name) or name].append(name)
        for spellings in by_key.values():
            told = ", ".join(f"{name!r} ({counts[name]})" for name in spellings)
            if len(spellings) > 1:
                yield Finding("class_spelling", "", what, told)
            elif spellings[0] != " ".join(spellings[0].split()):
                yield Finding("class_spelling", "", what, f"{told}: spaces too many")
        for one, two in sorted(_alike([key for key in by_key if len(key) >= 5])):
            told = " and ".join(f"{by_key[key][0]!r} ({counts[by_key[key][0]]})" for key in (one, two))
            yield Finding("class_similar", "", what, told)


def _alike(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs of names, each in its alphabetical order, that differ in a letter or two.

    Letters that two names share, in any order, bound what `SequenceMatcher` finds; counted for all names at once they leave
    few pairs to look at, so that thousands of classes take a second.
    """
    by_length = sorted(keys, key=lambda key: (len(key), key))
    lengths = np.array([len(key) for key in by_length])
    letters = np.zeros((len(keys), 64), np.uint8)  # letters that fall together only loosen the bound
    for row, key in zip(letters, by_length, strict=True):
        for letter in key[:255]:
            row[ord(letter) % 64] += 1
    for place, key in enumerate(by_length):
        end = int(np.searchsorted(lengths, len(key) + 2, side="right"))
        shared = np.minimum(letters[place], letters[place + 1 : end]).sum(axis=1, dtype=np.int64)
        near = 2 * shared >= ALIKE * (lengths[place] + lengths[place + 1 : end])
        for other in (by_length[place + 1 + int(n)] for n in np.flatnonzero(near)):
            one, two = sorted((key, other))
            if one.strip("0123456789") == two.strip("0123456789"):
                continue  # "class 1" and "class 2" are meant to be two
            if SequenceMatcher(None, one, two, autojunk=False).ratio() >= ALIKE:
                yield one, two


def _check_brands(
    pictures: Sequence[LabelledPicture],
    places: Sequence[str],
    unseen: set[str],
    unseen_brands: tuple[str, ...],
    report: Report,
) -> None:
    """Brands of unseen splits, or their kin, in other splits; and how many brands any two splits share."""
    shown: dict[str, dict[str, int]] = defaultdict(dict)
    collected: dict[str, set[str]] = defaultdict(set)  # without passing brands that were found later
    where: dict[tuple[str, str], str] = {}
    for picture, place in zip(pictures, places, strict=True):
        collected[place] |= {box.brand for box in picture.boxes if box.brand and not box.extra}
        for name in brands_of(picture):
            shown[place][name] = shown[place].get(name, 0) + 1
            where.setdefault((place, name), str(picture.path))
    hidden = {place for place in shown if place in unseen or "unseen" in place.casefold()}
    is_theirs = {place: kin_of(collected[place]) for place in hidden}
    begins_theirs = {place: {key for name in collected[place] for key in kin_keys(name)} for place in hidden}
    is_listed = kin_of(unseen_brands)
    for place in sorted(shown.keys() - hidden):
        for name, count in sorted(shown[place].items()):
            sides = [
                other for other in sorted(hidden) if is_theirs[other](name) or brand_key(name) in begins_theirs[other]
            ]
            if is_listed(name):
                sides.append("the list of unseen brands")
            for other in sides:
                told = f"{name!r}, {count} times in {place}, is of {other}"
                report.findings.append(Finding("brand_leak", where[place, name], "", told))
    for one, two in combinations(sorted(shown), 2):
        both = {brand_key(name) for name in shown[one]} & {brand_key(name) for name in shown[two]}
        report.shared_brands[f"{one} and {two}"] = len(both)


def pairs_sheet(pairs: Sequence[Pair], *, at_most: int = 60) -> Pixels:
    """Near-duplicates side by side, those across splits first: (H, W, 3) uint8 RGB."""
    from vision.images import read_picture
    from vision.report.sheet import contact_sheet

    tiles = []
    for pair in pairs[:at_most]:
        for picture, caption in (
            (pair.picture, f"{pair.kind}, {pair.distance} bits, {pair.probability:.2f}"),
            (pair.source, "across splits" if pair.across else "one split"),
        ):
            pixels = read_picture(picture.path, reduce_to=320).pixels
            tiles.append((pixels, f"{picture.split or picture.source}: {picture.path.name}\n{caption}"))
    return contact_sheet(tiles, columns=6, tile=200)
