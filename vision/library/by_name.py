"""Which brands' names were read in a crop: lines of text in, names that fit them out, best first. Pure but for `words.txt`.

Names are compared with runs of whole words of a line and with neighbouring lines joined, never with parts of words. A name may be
spelled with look-alikes ("N1KE", "ADlDAS"), a long one with an error or two. Errors, the recogniser's own likelihood of the name,
how sure it was, and how much of the crop's text the name is, and how large, make the points of a match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from vision.library.names import fold
from vision.values import READ_BLANK, READ_CLASSES, READ_OTHER, NameMatch, TextLine

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]

# --- points of a match ---

# A name of n letters begins with n points, at most this many.
_MOST_LETTERS = 6
# Points lost for each error a letter: edits between reading and name, and errors that the recogniser's likelihood amounts to.
_ERRORS = 10.0
# Points lost where the recogniser is unsure, where the crop says more than the name, where other lines are taller.
_UNSURE, _MORE_TEXT, _TALLER = 4.0, 1.5, 3.0
# Points lost where only look-alikes agree, and where a sign of the name was not read ("Disney" for Disney+).
_LOOKS_ALIKE, _NO_SIGN = 0.3, 0.5
# What is left has to reach this; it is taken off, so that scores are accepted from 0 on.
_ENOUGH = 2.5
# The score of a brand when no name of it is anywhere near.
LEAST_SCORE = -20.0

# --- rules of acceptance by text alone ---

# Names of fewer letters are not accepted: those of one or two made 70 of 81 false claims on photographs.
_LEAST_LETTERS = 4
# Edits that an accepted name of so many letters may have.
_EDITS = ((10, 2), (7, 1))
# Of a spelling with look-alikes, so large a share has to be letters: "8055" is a number, not BOSS.
_LETTERS = 1 / 3
# So many of the commonest words count as ordinary; rarer ones ("fiat", "converse") are mostly names where pictures show them.
_ORDINARY = 10_000

# --- likelihood ---

# A step's probability of a class is at least this, so that one letter misread costs one error: -log(1e-3) is 6.9.
_FLOOR = 1e-3
# Share of a class's probability that its look-alikes get too.
_SHARED = 0.1

# --- limits ---

# A name whose edits are more than this share of its letters is not looked at.
_FAR = 0.4
# They keep a crop full of text cheap: lines read, the tallest; runs compared inexactly; names a run; pairs weighed by likelihood.
_LINES, _RUNS, _NEAREST, _PAIRS = 16, 12, 32, 64
# Words of a run, lines joined.
_WORDS, _JOINED = 4, 3

# Letters of other scripts that are taken for Latin ones: Cyrillic, then Greek, where the cases differ.
_OTHER_SCRIPTS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХавеѕіјкмнорстухԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧΛΣαβεγικνορτυχωη" + "×ɑɡ",
    "abesijkmhopctyxabesijkmhopctyxdqw" + "abezhikmnoptyxaeabeyiknoptuxwn" + "xag",
)
# Signs between letters that carry no letter of their own where a reading is concerned ("AT&T", "H&M").
_SIGNS = str.maketrans("", "", "&+#@")
_LEET_SIGNS = str.maketrans("!|@$€", "iiase")
_LEET = str.maketrans("01l3457826" + "9", "oiieastbzg" + "g")
# A word: letters and digits, between them apostrophes and signs that stand for letters, and such a sign before them.
_WORD = re.compile(r"(?:[@$€](?=[^\W\d_]))?[^\W_]+(?:['’`´!|@$€][^\W_]+)*")

_CLASS = {character: column for column, character in enumerate(READ_CLASSES)}


@dataclass(frozen=True, slots=True)
class _Name:
    """A spelling to look for. key, leet: folded for reading, see `reading_key` and `_leet_key`. lost: points, see _NO_SIGN."""

    brand: str
    spelling: str
    key: str
    leet: str
    letters: str
    ordinary: bool
    lost: float


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A line taken apart. words: [start, end) in its string, and in its letters. times: the step at which each letter begins."""

    text: TextLine
    letters: str
    words: tuple[tuple[int, int, int, int], ...]
    times: Integers


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Words that stand together. span: way, and [first, last) of its letters in the crop. lost: points, whatever the name."""

    text: TextLine
    string: str
    key: str
    leet: str
    letters: str
    steps: Floats
    span: tuple[str, int, int]
    lost: float
    english: bool
    ordinary: bool
    with_leet: bool


class NameIndex:
    """Names of brands, to be found in what was read. Made once; safe to use from many threads.

    names: (brand, spelling) pairs; a brand may have any number of spellings. words: the commonest words of the language, each
    with whether it is ordinary, rather than mostly a name: no error is forgiven where a word itself was read, and ordinary
    words are never accepted by text alone. English ones, see `common_words`, when None.
    """

    def __init__(self, names: Iterable[tuple[str, str]], *, words: Mapping[str, bool] | None = None) -> None:
        self._common = common_words() if words is None else words
        made: dict[tuple[str, str], _Name] = {}
        for pair in names:
            for name in self._spellings(*pair):
                # of one brand's spellings that fold alike the first is shown, but one that needs no sign is better
                if (name.key, name.brand) not in made or made[name.key, name.brand].lost > name.lost:
                    made[name.key, name.brand] = name
        self._names = sorted(made.values(), key=lambda name: (len(name.key), name.key, name.brand))
        self._lengths = np.array([len(name.key) for name in self._names], dtype=np.int64)
        self._starts = np.searchsorted(self._lengths, np.arange(max(self._lengths, default=0) + 2))
        self._by_key: dict[str, list[int]] = {}
        self._by_leet: dict[str, list[int]] = {}
        self._by_brand: dict[str, list[int]] = {}
        for place, name in enumerate(self._names):
            self._by_key.setdefault(name.key, []).append(place)
            self._by_leet.setdefault(name.leet, []).append(place)
            self._by_brand.setdefault(name.brand, []).append(place)
        self._counts, self._uncounted = _letter_counts([name.key for name in self._names])

    def __len__(self) -> int:
        """Spellings that can be found."""
        return len(self._names)

    def match(self, lines: Sequence[TextLine], k: int = 5) -> list[NameMatch]:
        """The k brands whose names fit best what was read in one crop, all different, best first; equal ones by brand.

        lines: of one crop, in any order. Brands that share a name tie. A match is not accepted where a better one of another
        brand rests on the same letters: a longer name wins over one that it contains, when all its words were read.
        """
        runs = _runs(lines, self._common)
        return self._best(runs, self._candidates(runs), k)

    def scores(self, lines: Sequence[TextLine], brands: Iterable[str]) -> dict[str, float]:
        """How well the best name of each given brand fits the lines, in the points of `match`; at least LEAST_SCORE.

        The rules of acceptance do not count here. A brand that has no name in the index has LEAST_SCORE.
        """
        wanted = list(dict.fromkeys(brands))
        places = np.array([place for brand in wanted for place in self._by_brand.get(brand, ())], dtype=np.int64)
        found = dict.fromkeys(wanted, LEAST_SCORE)
        runs = _runs(lines, self._common)
        if len(places):
            for score, place, _, _ in self._weighed(runs, [(run, places) for run in _prominent(runs)], far=1.0):
                brand = self._names[place].brand
                found[brand] = max(found[brand], score)
        return found

    # --- making ---

    def _spellings(self, brand: str, spelling: str) -> list[_Name]:
        """The names to look for: as it is written, and with its signs spelled out ("AT&T", "AT and T")."""
        words = _WORD.findall(spelling)
        written = "".join(words)
        ordinary = len(words) == 1 and self._common.get(words[0].casefold(), False)
        key, spelled = reading_key(spelling), fold(unicodedata.normalize("NFKD", spelling).translate(_OTHER_SCRIPTS))
        made = []
        # without the signs, C++ would be C
        bare = "+" in spelling or "#" in spelling
        if key and (key == spelled or not bare or len(key) >= _LEAST_LETTERS):
            letters = _leet_letters(written)
            made.append(_Name(brand, spelling, key, _contracted(letters), letters, ordinary, _NO_SIGN if bare else 0.0))
        if spelled and spelled != key:
            letters = spelled.translate(_LEET)
            made.append(_Name(brand, spelling, spelled, _contracted(letters), letters, False, 0.0))
        return made

    # --- matching ---

    def _candidates(self, runs: Sequence[_Run]) -> list[tuple[_Run, Integers]]:
        """For each run the places of names that may fit it: equal ones, equal but for look-alikes, and the nearest by letters."""
        found: dict[int, set[int]] = {}
        for number, run in enumerate(runs):
            same = set(self._by_key.get(run.key, ()))
            if run.with_leet:
                same.update(self._by_leet.get(run.leet, ()))
            found[number] = same
        near = _prominent(runs)
        if near and len(self._names):
            numbers = {id(run): number for number, run in enumerate(runs)}
            weights = [_letter_weights(run.steps) for run in near]
            matched = self._counts @ np.stack([weight for weight, _ in weights], axis=1)
            for column, (run, (_, slots)) in enumerate(zip(near, weights, strict=True)):
                found[numbers[id(run)]].update(self._nearest(matched[:, column], max(slots, len(run.key))).tolist())
        return [(runs[number], np.array(sorted(places), dtype=np.int64)) for number, places in found.items() if places]

    def _nearest(self, matched: Floats, letters: int) -> Integers:
        """Places of names that share most letters with a run of so many, the order of letters left out of account."""
        longest = len(self._starts) - 2
        first = self._starts[min(int(letters * (1 - _FAR)), longest + 1)]
        last = self._starts[min(int(letters / (1 - _FAR)), longest) + 1]
        lengths = self._lengths[first:last]
        # at least so many edits: letters that one of both has and the other has not
        edits = np.maximum(lengths, letters) - matched[first:last] - self._uncounted[first:last]
        good = np.flatnonzero(edits <= _FAR * lengths)
        if len(good) > _NEAREST:
            points = np.minimum(lengths[good], _MOST_LETTERS) - 2 * _ERRORS * edits[good] / lengths[good]
            good = good[np.argpartition(-points, _NEAREST - 1)[:_NEAREST]]
        return np.asarray(good + first)

    def _weighed(
        self, runs: Sequence[_Run], candidates: Sequence[tuple[_Run, Integers]], far: float = _FAR
    ) -> list[tuple[float, int, int, _Run]]:
        """(score, place of the name, edits, run) of the pairs that promise most, in no order."""
        pairs = []
        for run, places in candidates:
            names = [self._names[place] for place in places]
            plain = process.cdist([run.key], [name.key for name in names], scorer=Levenshtein.distance)[0].astype(float)
            alike = np.full(len(names), np.inf)
            if run.with_leet:
                alike = process.cdist([run.leet], [name.leet for name in names], scorer=Levenshtein.distance)[0].astype(
                    float
                )
            for place, name, edits, leet_edits in zip(
                places.tolist(), names, plain.tolist(), alike.tolist(), strict=True
            ):
                n = len(name.key)
                fixed = min(n, _MOST_LETTERS) - name.lost - run.lost - _ENOUGH
                as_written = fixed - _ERRORS * edits / n
                as_looks = fixed - _ERRORS * leet_edits / n - _LOOKS_ALIKE
                leet = as_looks > as_written
                errors = int(leet_edits if leet else edits)
                if errors == 0 or (n > 2 and errors <= max(1.0, far * n)):
                    pairs.append((max(as_written, as_looks), place, errors, run, leet))
        pairs.sort(key=lambda pair: -pair[0])
        if far == _FAR:
            pairs = pairs[:_PAIRS]
        targets = [(run, self._target(place, errors, run, leet), leet) for _, place, errors, run, leet in pairs]
        unlikely = _errors_of(targets, [errors for _, _, errors, _, _ in pairs])
        return [
            (max(LEAST_SCORE, score - _ERRORS * c / len(self._names[place].key)), place, errors, run)
            for (score, place, errors, run, _), c in zip(pairs, unlikely, strict=True)
        ]

    def _target(self, place: int, errors: int, run: _Run, leet: bool) -> str:
        """The letters whose likelihood counts: the name's, as the reading has them where two stand for one ("rn" for "m")."""
        if not leet:
            return self._names[place].key
        return run.letters if errors == 0 else self._names[place].letters

    def _best(self, runs: Sequence[_Run], candidates: Sequence[tuple[_Run, Integers]], k: int) -> list[NameMatch]:
        best: dict[str, tuple[float, int, int, _Run]] = {}
        for found in sorted(self._weighed(runs, candidates), key=self._order):
            best.setdefault(self._names[found[1]].brand, found)
        matches = []
        taken: list[tuple[float, tuple[str, int, int]]] = []
        for score, place, errors, run in best.values():
            name = self._names[place]
            outdone = any(better > score and _overlap(span, run.span) for better, span in taken)
            taken.append((score, run.span))
            matches.append(
                NameMatch(
                    name.brand,
                    name.spelling,
                    run.string,
                    score,
                    score >= 0 and not outdone and _rules(name, run, errors),
                    errors,
                    run.text.confidence,
                    run.text.box,
                    run.text.way,
                )
            )
        return matches[:k]

    def _order(self, found: tuple[float, int, int, _Run]) -> tuple[float, str, str, tuple[str, int, int]]:
        score, place, _, run = found
        return -score, self._names[place].brand, self._names[place].spelling, run.span


def _rules(name: _Name, run: _Run, errors: int) -> bool:
    """True when a name may be accepted by text alone, its score left out of account."""
    if len(name.key) < _LEAST_LETTERS or name.ordinary or run.ordinary:
        return False
    exact = run.key == name.key
    return exact or (not run.english and errors <= next((most for n, most in _EDITS if len(name.key) >= n), 0))


def _overlap(one: tuple[str, int, int], other: tuple[str, int, int]) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


# --- folding ---


def reading_key(text: str) -> str:
    """A text folded as readings and names are compared: without case, accents, spaces, punctuation and the signs & + # @.

    Cyrillic and Greek letters that look like Latin ones become them; others stay.
    """
    return fold(unicodedata.normalize("NFKD", text).translate(_OTHER_SCRIPTS).translate(_SIGNS))


def _leet_letters(text: str) -> str:
    """A text folded further: every letter, figure and sign that may be taken for another one becomes the same."""
    return reading_key(text.translate(_LEET_SIGNS)).translate(_LEET)


def _contracted(letters: str) -> str:
    """Two letters that look like one become it."""
    return letters.replace("rn", "m").replace("vv", "w")


@lru_cache(maxsize=1)
def common_words() -> Mapping[str, bool]:
    """The commonest English words, in lower case, each with whether it is ordinary: used other than as a name, and often."""
    text = resources.files("vision.library").joinpath("words.txt").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if not row.startswith("#")]
    return {row.rstrip("*"): row.endswith("*") and rank < _ORDINARY for rank, row in enumerate(rows)}


# --- lines become runs of words ---


@lru_cache(maxsize=4096)
def _letters(character: str) -> str:
    """The letters that a character of a line is read as; "?" for a letter of another script."""
    key = reading_key(character)
    return "".join(c if c in _CLASS else "?" for c in key)


def _taken_apart(text: TextLine) -> _Line | None:
    """A line with its words and the steps at which its letters begin; None when it has fewer than two Latin letters or digits."""
    string = unicodedata.normalize("NFC", text.string)
    each = [_letters(character) for character in string]
    letters = "".join(each)
    if sum(c != "?" for c in letters) < 2:
        return None
    ends = np.cumsum([0, *map(len, each)])
    words = [
        (start, end, int(ends[start]), int(ends[end])) for start, end in _word_spans(string) if ends[end] > ends[start]
    ]
    return _Line(text, letters, tuple(words), _times(text.steps, letters))


def _word_spans(string: str) -> list[tuple[int, int]]:
    """[start, end) of the words of a string. Three and more words of one letter in a row are one: "N I K E"."""
    spans = [(match.start(), match.end()) for match in _WORD.finditer(string)]
    joined: list[tuple[int, int]] = []
    for single, group in groupby(spans, key=lambda span: span[1] - span[0] == 1):
        members = list(group)
        joined.extend([(members[0][0], members[-1][1])] if single and len(members) > 2 else members)
    return joined


def _times(steps: Floats, letters: str) -> Integers:
    """The step at which each letter of a line begins, (n,) int64, never falling."""
    if not len(steps):
        return np.zeros(len(letters), dtype=np.int64)
    best = steps.argmax(axis=1)
    begins = np.flatnonzero((best != READ_BLANK) & np.diff(best, prepend=READ_BLANK).astype(bool))
    if len(begins) == len(letters):
        return begins
    # equal letters without a gap and letters spelled with two part the two: they are aligned
    seen = "".join(READ_CLASSES[c] if c < READ_BLANK else "?" for c in best[begins])
    times = np.zeros(len(letters), dtype=np.int64)
    for step in Levenshtein.opcodes(letters, seen):
        for i in range(step.src_start, step.src_end):
            at = step.dest_start + i - step.src_start
            times[i] = begins[min(at, max(step.dest_start, step.dest_end - 1), len(begins) - 1)] if len(begins) else 0
    return np.maximum.accumulate(times)


def _runs(lines: Iterable[TextLine], common: Mapping[str, bool]) -> list[_Run]:
    """Every run of words to compare with names, those of each way of reading apart."""
    found: list[_Run] = []
    by_way: dict[Literal["lines", "whole", "ring"], list[_Line]] = {}
    for text in lines:
        line = _taken_apart(text)
        if line is not None:
            by_way.setdefault(text.way, []).append(line)
    for way in sorted(by_way):
        group = _in_reading_order(sorted(by_way[way], key=lambda line: -line.text.height)[:_LINES])
        total = sum(len(line.letters) for line in group)
        tallest = max(line.text.height for line in group)
        offset = 0
        offsets = []
        for line in group:
            offsets.append(offset)
            offset += len(line.letters)
        for line, start in zip(group, offsets, strict=True):
            n = len(line.words)
            ranges = {(i, j) for i in range(n) for j in range(i + 1, min(i + _WORDS, n) + 1)} | (
                {(0, n)} if n else set()
            )
            found.extend(_run([(line, i, j)], start, total, tallest, common) for i, j in sorted(ranges))
        for count in range(2, _JOINED + 1):
            for i in range(len(group) - count + 1):
                parts = [(line, 0, len(line.words)) for line in group[i : i + count] if line.words]
                if len(parts) == count:
                    found.append(_run(parts, offsets[i], total, tallest, common))
    return [run for run in found if run.key]


def _in_reading_order(lines: Sequence[_Line]) -> list[_Line]:
    """Lines from top to bottom, those side by side from left to right."""
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda line: (line.text.box[1] + line.text.box[3], line.text.box, line.text.string)):
        middle = (line.text.box[1] + line.text.box[3]) / 2
        if rows and rows[-1][0].text.box[1] < middle < rows[-1][0].text.box[3]:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: (line.text.box, line.text.string))]


def _run(
    parts: Sequence[tuple[_Line, int, int]], offset: int, total: int, tallest: float, common: Mapping[str, bool]
) -> _Run:
    """The words [i, j) of a line, or all those of joined lines. offset: letters of the crop before the first line."""
    strings: list[str] = []
    words: list[str] = []
    steps: list[Floats] = []
    confidence, count = 0.0, 0
    for line, i, j in parts:
        (start, _, first, _), (_, end, _, last) = line.words[i], line.words[j - 1]
        string = unicodedata.normalize("NFC", line.text.string)
        strings.append(string[start:end])
        words.extend(string[s:e] for s, e, _, _ in line.words[i:j])
        steps.append(_cut(line, first, last))
        confidence += line.text.confidence * (last - first)
        count += last - first
    line, i, _ = parts[0]
    # signs that stand for letters count between them only
    letters = "".join(_leet_letters(word) for word in words)
    key = "".join(reading_key(word) for word in words)
    height = max(line.text.height for line, _, _ in parts)
    lost = (
        _UNSURE * (1 - confidence / count)
        + _MORE_TEXT * (1 - count / total)
        + _TALLER * (1 - (height / tallest if tallest > 0 else 1.0))
    )
    begin = offset + line.words[i][2]
    last_line, _, last_word = parts[-1]
    finish = (
        begin - line.words[i][2] + sum(len(part[0].letters) for part in parts[:-1]) + last_line.words[last_word - 1][3]
    )
    return _Run(
        line.text,
        " ".join(strings),
        key,
        _contracted(letters),
        letters,
        np.concatenate(steps),
        (line.text.way, begin, finish),
        lost,
        english=all(reading_key(word) in common for word in words),
        ordinary=len(words) == 1 and common.get(words[0].casefold(), False),
        with_leet=sum(c.isalpha() for c in key) >= _LETTERS * len(letters),
    )


def _cut(line: _Line, first: int, last: int) -> Floats:
    """The steps of the letters [first, last) of a line, from and to half-way between them and their neighbours."""
    times, steps = line.times, line.text.steps
    start = 0 if first == 0 else -(-int(times[first - 1] + times[first]) // 2)
    end = len(steps) if last >= len(times) else -(-int(times[last - 1] + times[last]) // 2)
    return steps[start : max(start, end)]


def _prominent(runs: Sequence[_Run]) -> list[_Run]:
    """The runs that are worth comparing inexactly: of three letters and more, those first that lost least."""
    return sorted((run for run in runs if len(run.key) > 2), key=lambda run: (run.lost, run.span))[:_RUNS]


# --- letters that a name and a run share, their order left out of account ---


def _letter_counts(keys: Sequence[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(n, 72) float32: 1 where a key has a class at least once, and at least twice; and (n,) its letters beyond those."""
    counts = np.zeros((len(keys), 2, len(READ_CLASSES)), dtype=np.float32)
    uncounted = np.zeros(len(keys), dtype=np.float32)
    for row, key in enumerate(keys):
        for character in key:
            column = _CLASS.get(character)
            if column is None:
                continue
            if not counts[row, 0, column]:
                counts[row, 0, column] = 1
            elif not counts[row, 1, column]:
                counts[row, 1, column] = 1
            else:
                uncounted[row] += 1
    return counts.reshape(len(keys), -1), uncounted


def _letter_weights(steps: Floats) -> tuple[npt.NDArray[np.float32], int]:
    """How probable it is that a run has each class once, and twice, (72,) float32 as in `_letter_counts`; and its letters."""
    weights = np.zeros((2, len(READ_CLASSES)), dtype=np.float32)
    active = np.flatnonzero(steps[:, READ_BLANK] < 0.9) if len(steps) else np.zeros(0, dtype=np.int64)
    if not len(active):
        return weights.reshape(-1), 0
    rows = (steps @ _LOOKS)[active][:, : len(READ_CLASSES)]
    best = rows.argmax(axis=1)
    begins = np.flatnonzero((np.diff(active, prepend=-2) > 1) | np.diff(best, prepend=-1).astype(bool))
    slots = np.maximum.reduceat(rows, begins, axis=0)
    ordered = np.sort(slots, axis=0)[::-1][:2]
    weights[: len(ordered)] = np.minimum(ordered, 1)
    return weights.reshape(-1), len(slots)


# --- likelihood ---


def _sharing(share: float) -> npt.NDArray[np.float32]:
    """(38, 38) float32: `steps @ matrix` gives each class that share of its look-alikes' probabilities too."""
    matrix = np.eye(READ_OTHER + 1, dtype=np.float32)
    for i, one in enumerate(READ_CLASSES):
        for j, other in enumerate(READ_CLASSES):
            if i != j and one.translate(_LEET) == other.translate(_LEET):
                matrix[i, j] = share
    return matrix


_ALIKE, _LOOKS = _sharing(_SHARED), _sharing(1.0)


def _errors_of(targets: Sequence[tuple[_Run, str, bool]], edits: Sequence[int]) -> list[float]:
    """How many errors each target is away from a run by the recogniser's steps, at least 0 and at most its length.

    That is the log-likelihood of the best reading over the target's, by 6.9. targets: (run, letters, whether look-alikes are as
    good). Where there are no steps, or letters that the steps do not tell apart, it is the edits.
    """
    errors = [float(min(number, len(letters))) for number, (_, letters, _) in zip(edits, targets, strict=True)]
    rows = [
        row
        for row, (run, letters, _) in enumerate(targets)
        if len(run.steps) and all(character in _CLASS for character in letters)
    ]
    shared: dict[tuple[int, bool], Floats] = {}
    for row in rows:
        run, _, leet = targets[row]
        if (id(run), leet) not in shared:
            probabilities = np.maximum(run.steps @ (_LOOKS if leet else _ALIKE), _FLOOR)
            shared[id(run), leet] = probabilities / probabilities.max(axis=1, keepdims=True)
    likelihoods = _likelihoods([(shared[id(targets[row][0]), targets[row][2]], targets[row][1]) for row in rows])
    for row, likelihood in zip(rows, likelihoods.tolist(), strict=True):
        length = len(targets[row][1])
        unlikely = np.log(likelihood) / np.log(_FLOOR) if likelihood > 0 else float(length)
        errors[row] = min(max(0.0, float(unlikely)), float(length))
    return errors


def _likelihoods(pairs: Sequence[tuple[Floats, str]]) -> Floats:
    """The likelihood of letters under steps, all alignments summed, (n,) float64: CTC's forward pass (Graves et al., 2006, 4.1).

    pairs: (t, 38) of probabilities, of any scale, and letters.
    """
    if not pairs:
        return np.zeros(0)
    longest, most = max(len(steps) for steps, _ in pairs), max(len(letters) for _, letters in pairs)
    labels = np.full((len(pairs), 2 * most + 1), READ_BLANK, dtype=np.int64)
    # a pair with fewer steps waits in its last blank
    emissions = np.zeros((len(pairs), longest, READ_OTHER + 1))
    emissions[:, :, READ_BLANK] = 1
    ends = np.array([2 * len(letters) for _, letters in pairs])
    for row, (steps, letters) in enumerate(pairs):
        emissions[row, : len(steps)] = steps
        labels[row, 1 : 2 * len(letters) : 2] = [_CLASS[character] for character in letters]
    # a letter may follow the letter before it without a blank between them, unless they are equal
    skips = np.zeros(labels.shape)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    emitted = np.ascontiguousarray(np.take_along_axis(emissions, labels[:, None, :], axis=2).transpose(1, 0, 2))
    forward = np.zeros((len(pairs), labels.shape[1] + 2))
    forward[:, 2:4] = emitted[0, :, :2]
    for emission in emitted[1:]:
        forward[:, 2:] = (forward[:, 2:] + forward[:, 1:-1] + skips * forward[:, :-2]) * emission
    every = np.arange(len(pairs))
    return np.asarray(forward[every, ends + 2] + forward[every, ends + 1])
