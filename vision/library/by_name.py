"""Which brands' names were read in a crop: lines of text in, names that fit them out, best first. Pure but for `words.txt`.

Names are compared with runs of whole words of a line and with neighbouring lines joined, never with parts of words. A name may be
spelled with look-alikes ("N1KE", "ADlDAS"), a long one with an error or two. Errors, the recogniser's own likelihood of the name,
how sure it was, and how much of the crop's text the name is, and how large, make the points of a match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from vision.library.likelihood import LOOK_ALIKES, Emissions, errors_of, letter_counts, letter_weights
from vision.library.names import fold
from vision.values import READ_BLANK, READ_CLASSES, Box, NameMatch, TextLine

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
# What is left has to reach this; it is taken off, so that scores are accepted from 0 on. As many of 694 training boxes were
# claimed rightly as with 1.5, where the first wrong claims came: Airtel for Intel, StockX in a photograph (benchmarks/names.py).
_ENOUGH = 2.5
# The score of a brand when no name of it is anywhere near.
LEAST_SCORE = -20.0

# --- rules of acceptance by text alone ---

# Names of fewer letters are not accepted: those of one or two made 70 of 81 false claims on photographs.
_LEAST_LETTERS = 4
# Edits that an accepted name of so many letters may have.
_EDITS = ((10, 2), (7, 1))
# A letter may be missing from a name of so many: 7 more of 40 names that lack one are found than from 7 on. A letter more or
# another one makes another name at that length: Castro of Castrol, StockX of Stocker.
_LESS_ONE = 6
# A name of at most so many letters is disputed by another brand's that has one other letter, when the recogniser holds that to be
# less than this many errors worse: on packs Arla was read as Arlo 13 times, by 1.0 to 1.7 errors; clearly read it is 2.
_DISPUTED_LETTERS, _DISPUTED = 6, 1.75
# Of a spelling with look-alikes, so large a share has to be letters: "8055" is a number, not BOSS.
_LETTERS = 1 / 3
# So many of the commonest words count as ordinary, those of 6 and more in a million; rarer ones ("fiat", "converse") are mostly
# names where pictures show them. With 15,000 four fewer of 207 training boxes were claimed rightly.
_ORDINARY = 11_500

# --- limits ---

# A name whose edits are more than this share of its letters is not looked at.
_FAR = 0.4
# They keep a crop full of text cheap: lines read, the tallest; runs compared inexactly; names a run; pairs weighed by likelihood.
_LINES, _RUNS, _NEAREST, _PAIRS = 16, 12, 32, 64
# Points that a pair may be behind the best one, before likelihood, to be weighed.
_BEHIND = 8.0
# Words of a run, lines joined.
_WORDS, _JOINED = 4, 3

# Letters of other scripts by what a reader of Latin letters takes them for: the same shapes first, so that a name in disguise is
# the name; then the nearest, so that names in Cyrillic find themselves in what is read ("ГАЗПРОМ" is read as "TA3NPOM").
_CYRILLIC = dict(
    zip("авеѕіјкмнорстухԁԛԝ" + "бвгджзийлпуфцчшщъыьэя", "abesijkmhopctyxdqw" + "bbtax3nnanyφu4wwbbb3r", strict=True)
)
_CYRILLIC |= {"ю": "io", "ы": "bi"}
_GREEK = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧΛΣαβεγικνορτυχωη", "abezhikmnoptyxaeabeyiknoptuxwn", strict=True))
_OTHER_SCRIPTS = str.maketrans(
    {
        **_CYRILLIC,
        **{letter.upper(): seen for letter, seen in _CYRILLIC.items()},
        **_GREEK,
        "×": "x",
        "ɑ": "a",
        "ɡ": "g",
    }
)
# Signs between letters that carry no letter of their own where a reading is concerned ("AT&T", "H&M").
_SIGNS = str.maketrans("", "", "&+#@")
_LEET_SIGNS = str.maketrans("!|@$€", "iiase")
# A word: letters and digits, between them apostrophes and signs that stand for letters, and such a sign before them.
_WORD = re.compile(r"(?:[@$€](?=[^\W\d_]))?[^\W_]+(?:['’`´!|@$€][^\W_]+)*")


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


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a line. start, end: in its string. first, last: [first, last) of its letters in the line's."""

    start: int
    end: int
    first: int
    last: int
    key: str
    letters: str
    english: bool
    ordinary: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A line taken apart. times: the step at which each of its letters begins."""

    text: TextLine
    string: str
    letters: str
    words: tuple[_Word, ...]
    times: Integers
    emissions: Emissions


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Words that stand together. span: way, and [first, last) of its letters in the crop. lost: points, whatever the name."""

    text: TextLine
    string: str
    key: str
    leet: str
    letters: str
    emissions: Emissions
    span: tuple[str, int, int]
    lost: float
    english: bool
    ordinary: bool
    with_leet: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A run with a name that may fit. edits: between the two. same: where look-alikes count as the same."""

    score: float
    place: int
    run: _Run
    edits: int
    same: bool


class NameIndex:
    """Names of brands, to be found in what was read. Made once; safe to use from many threads.

    names: (brand, spelling) pairs; a brand may have any number of spellings. words: the commonest words of the language, each
    with whether it is ordinary, rather than mostly a name: no error is forgiven where a word itself was read, and ordinary
    words are never accepted by text alone. English ones, see `common_words`, when None. exact: brands whose names are accepted
    only when they are read without an error, as no picture can bear them out.
    """

    def __init__(
        self,
        names: Iterable[tuple[str, str]],
        *,
        words: Mapping[str, bool] | None = None,
        exact: Collection[str] = frozenset(),
    ) -> None:
        self._common = common_words() if words is None else words
        self._exact = frozenset(exact)
        made: dict[tuple[str, str], _Name] = {}
        for pair in names:
            for name in self._spellings(*pair):
                # of one brand's spellings that fold alike the first is shown, but one that needs no sign is better
                if (name.key, name.brand) not in made or made[name.key, name.brand].lost > name.lost:
                    made[name.key, name.brand] = name
        self._names = sorted(made.values(), key=lambda name: (len(name.key), name.key, name.brand))
        self._keys = [name.key for name in self._names]
        self._lengths = np.array([len(key) for key in self._keys], dtype=np.int64)
        self._starts = np.searchsorted(self._lengths, np.arange(max(self._lengths, default=0) + 2))
        self._by_key: dict[str, list[int]] = {}
        self._by_leet: dict[str, list[int]] = {}
        self._by_brand: dict[str, list[int]] = {}
        for place, name in enumerate(self._names):
            self._by_key.setdefault(name.key, []).append(place)
            self._by_leet.setdefault(name.leet, []).append(place)
            self._by_brand.setdefault(name.brand, []).append(place)
        self._counts, self._uncounted = letter_counts(self._keys)

    def __len__(self) -> int:
        """Spellings that can be found."""
        return len(self._names)

    def match(self, lines: Sequence[TextLine], k: int = 5) -> list[NameMatch]:
        """The k brands whose names fit best what was read in one crop, all different, best first; equal ones by brand.

        lines: of one crop, in any order. Brands that share a name tie. A match is not accepted where a better one of another
        brand rests on the same letters: a longer name wins over one that it contains, when all its words were read.
        """
        pairs = self._pairs(self._candidates(_runs(lines, self._common)))
        enough = max((pair.score for pair in pairs), default=0.0) - _BEHIND
        promising = sorted((pair for pair in pairs if pair.score >= enough), key=self._order)[:_PAIRS]
        return self._best(self._weighed(promising), k)

    def scores(self, lines: Sequence[TextLine], brands: Iterable[str]) -> dict[str, float]:
        """How well the best name of each given brand fits the lines, in the points of `match`; at least LEAST_SCORE.

        The rules of acceptance do not count here. A brand that has no name in the index has LEAST_SCORE.
        """
        wanted = list(dict.fromkeys(brands))
        places = np.array([place for brand in wanted for place in self._by_brand.get(brand, ())], dtype=np.int64)
        found = dict.fromkeys(wanted, LEAST_SCORE)
        runs = _runs(lines, self._common)
        if len(places):
            for pair in self._weighed(self._pairs([(run, places) for run in _prominent(runs)], far=1.0)):
                brand = self._names[pair.place].brand
                found[brand] = max(found[brand], pair.score)
        return found

    # --- making ---

    def _spellings(self, brand: str, spelling: str) -> list[_Name]:
        """The names to look for: as it is written, and with its signs spelled out ("AT&T", "AT and T")."""
        words = _WORD.findall(spelling)
        written = "".join(words)
        key, spelled = reading_key(spelling), _key(spelling)
        # readers lose accents: "Président" is as ordinary as "president"
        ordinary = len(words) == 1 and any(self._common.get(word, False) for word in (words[0].casefold(), key))
        made = []
        # without the signs, C++ would be C
        bare = "+" in spelling or "#" in spelling
        if key and (key == spelled or not bare or len(key) >= _LEAST_LETTERS):
            letters = _leet_letters(written)
            made.append(_Name(brand, spelling, key, _contracted(letters), letters, ordinary, _NO_SIGN if bare else 0.0))
        if spelled and spelled != key:
            letters = spelled.translate(LOOK_ALIKES)
            made.append(_Name(brand, spelling, spelled, _contracted(letters), letters, False, 0.0))
        return made

    # --- matching ---

    def _candidates(self, runs: Sequence[_Run]) -> list[tuple[_Run, Integers]]:
        """For each run the places of names that may fit it: equal ones, equal but for look-alikes, and the nearest by letters."""
        found: list[set[int]] = []
        for run in runs:
            same = set(self._by_key.get(run.key, ()))
            if run.with_leet:
                same.update(self._by_leet.get(run.leet, ()))
            found.append(same)
        near = _prominent(runs)
        if near and self._names:
            numbers = {id(run): number for number, run in enumerate(runs)}
            # letters that were read count in full, however unsurely; others as surely as the steps have them
            read, _ = letter_counts([run.key for run in near])
            matched = self._counts @ np.maximum(read, [letter_weights(run.emissions) for run in near]).T
            for column, run in enumerate(near):
                found[numbers[id(run)]].update(self._nearest(matched[:, column], len(run.key)).tolist())
        return [(run, np.array(sorted(same))) for run, same in zip(runs, found, strict=True) if same]

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

    def _pairs(self, candidates: Sequence[tuple[_Run, Integers]], far: float = _FAR) -> list[_Pair]:
        """Runs with names of few enough edits, before likelihood counts. far: edits, of a name's letters."""
        pairs: list[_Pair] = []
        for run, places in candidates:
            names = [self._names[place] for place in places]
            lengths = self._lengths[places]
            fixed = np.minimum(lengths, _MOST_LETTERS) - [name.lost for name in names] - run.lost - _ENOUGH
            edits = process.cdist([run.key], [name.key for name in names], scorer=Levenshtein.distance)[0]
            score, same = fixed - _ERRORS * edits / lengths, np.zeros(len(names), dtype=bool)
            if run.with_leet:
                leet = process.cdist([run.leet], [name.leet for name in names], scorer=Levenshtein.distance)[0]
                leet_score = fixed - _ERRORS * leet / lengths - _LOOKS_ALIKE
                same = leet_score > score
                edits, score = np.where(same, leet, edits), np.maximum(score, leet_score)
            # an edit in two letters is another word
            within = (edits == 0) | ((lengths > 2) & (edits <= np.maximum(1, far * lengths)))
            pairs.extend(
                _Pair(float(score[i]), int(places[i]), run, int(edits[i]), bool(same[i]))
                for i in np.flatnonzero(within)
            )
        return pairs

    def _weighed(self, pairs: Sequence[_Pair]) -> list[_Pair]:
        """The pairs with the likelihood counted in their scores."""
        targets = [(pair.run.emissions, self._target(pair), pair.same) for pair in pairs]
        unlikely = errors_of(targets, [pair.edits for pair in pairs])
        lengths = [len(self._names[pair.place].key) for pair in pairs]
        return [
            replace(pair, score=max(LEAST_SCORE, pair.score - _ERRORS * errors / n))
            for pair, errors, n in zip(pairs, unlikely, lengths, strict=True)
        ]

    def _target(self, pair: _Pair) -> str:
        """The letters whose likelihood counts: the name's, as the reading has them where two stand for one ("rn" for "m")."""
        name = self._names[pair.place]
        if not pair.same:
            return name.key
        return pair.run.letters if pair.edits == 0 else name.letters

    def _best(self, pairs: Sequence[_Pair], k: int) -> list[NameMatch]:
        """The best pair of each brand as a match, the k best of them."""
        best: dict[str, _Pair] = {}
        for pair in sorted(pairs, key=self._order):
            best.setdefault(self._names[pair.place].brand, pair)
        found = list(best.values())
        matches = []
        for pair in found[:k]:
            name, run = self._names[pair.place], pair.run
            outdone = any(better.score > pair.score and _overlap(better.run.span, run.span) for better in found)
            matches.append(
                NameMatch(
                    name.brand,
                    name.spelling,
                    run.string,
                    pair.score,
                    pair.score >= 0
                    and not outdone
                    and _rules(name, pair)
                    and not (pair.edits and name.brand in self._exact)
                    and not self._disputed(pair),
                    pair.edits,
                    run.text.confidence,
                    run.text.box,
                    run.text.way,
                )
            )
        return matches

    def _disputed(self, pair: _Pair) -> bool:
        """True for a short name when another brand's, with one other letter, is nearly as likely in the same place.

        Every such name is weighed, near or not: among many names the nearest are others.
        """
        name = self._names[pair.place]
        n = len(name.key)
        if n > _DISPUTED_LETTERS:
            return False
        first, last = self._starts[n], self._starts[n + 1]
        changed = process.cdist([name.key], self._keys[first:last], scorer=Levenshtein.distance, score_cutoff=1)[0]
        others = [(int(i), self._names[i]) for i in np.flatnonzero(changed == 1) + first]
        # read in its own letters a name is not another one's that looks the same: "Fiat" is not "Flat"
        twins = [i for i, other in others if other.brand != name.brand and (pair.same or other.leet != name.leet)]
        least = pair.score - _DISPUTED * _ERRORS / n
        pairs = self._pairs([(pair.run, np.array(twins, dtype=np.int64))])
        return any(twin.score >= least for twin in self._weighed(pairs))

    def _order(self, pair: _Pair) -> tuple[float, str, str, tuple[str, int, int]]:
        name = self._names[pair.place]
        return -pair.score, name.brand, name.spelling, pair.run.span


def _rules(name: _Name, pair: _Pair) -> bool:
    """True when a name may be accepted by text alone, its score left out of account."""
    if len(name.key) < _LEAST_LETTERS or name.ordinary or name.lost or pair.run.ordinary:
        return False
    if pair.run.key == name.key:
        return True
    n = len(name.key)
    less_one = pair.edits == 1 and len(pair.run.key) == n - 1 and n >= _LESS_ONE
    return not pair.run.english and (less_one or pair.edits <= next((most for least, most in _EDITS if n >= least), 0))


def _overlap(one: tuple[str, int, int], other: tuple[str, int, int]) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


# --- folding ---


def reading_key(text: str) -> str:
    """A text folded as readings and names are compared: without case, accents, spaces, punctuation and the signs & + # @.

    Cyrillic and Greek letters become what they look like in Latin, where they look like anything.
    """
    return _key(text.translate(_SIGNS))


def _key(text: str) -> str:
    """As `reading_key`, but with signs spelled out."""
    return fold(text) if text.isascii() else fold(unicodedata.normalize("NFKD", text).translate(_OTHER_SCRIPTS))


def _leet_letters(text: str) -> str:
    """A text folded further: every letter, figure and sign that may be taken for another one becomes the same."""
    return reading_key(text.translate(_LEET_SIGNS)).translate(LOOK_ALIKES)


def _contracted(letters: str) -> str:
    """Two letters that look like one become it."""
    return letters.replace("rn", "m").replace("vv", "w")


@lru_cache(maxsize=1)
def common_words() -> Mapping[str, bool]:
    """The commonest English words, in lower case, each with whether it is ordinary: used other than as a name, and often.

    Counts of texts (`words.txt`) say that; of words that goods carry more often than texts do, a list by hand
    (`ordinary_words.txt`).
    """
    common = {row.rstrip("*"): row.endswith("*") and rank < _ORDINARY for rank, row in enumerate(_rows("words.txt"))}
    return common | {word: True for row in _rows("ordinary_words.txt") for word in row.split()}


def _rows(name: str) -> list[str]:
    text = resources.files("vision.library").joinpath(name).read_text(encoding="utf-8")
    return [row for row in text.splitlines() if not row.startswith("#")]


# --- lines become runs of words ---


@lru_cache(maxsize=4096)
def _letters(character: str) -> str:
    """The letters that a character of a line is read as; "?" for a letter of another script."""
    key = reading_key(character)
    return "".join(c if c in READ_CLASSES else "?" for c in key)


def _taken_apart(text: TextLine, common: Mapping[str, bool]) -> _Line | None:
    """A line with its words and the steps at which its letters begin; None when it has fewer than two Latin letters or digits."""
    string = unicodedata.normalize("NFC", text.string)
    each = [_letters(character) for character in string]
    letters = "".join(each)
    if sum(c != "?" for c in letters) < 2:
        return None
    ends = [0, *accumulate(map(len, each))]
    words = []
    for start, end in _word_spans(string):
        word = string[start:end]
        key = reading_key(word)
        if key:
            words.append(
                _Word(
                    start,
                    end,
                    ends[start],
                    ends[end],
                    key,
                    _leet_letters(word),
                    key in common,
                    common.get(word.casefold(), False),
                )
            )
    return _Line(text, string, letters, tuple(words), _times(text.steps, letters), Emissions.of(text.steps))


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
    taken = [line for line in (_taken_apart(text, common) for text in lines) if line is not None and line.words]
    found: list[_Run] = []
    for way in sorted({line.text.way for line in taken}):
        group = sorted((line for line in taken if line.text.way == way), key=lambda line: -line.text.height)[:_LINES]
        group = _in_reading_order(group)
        starts = [0, *accumulate(len(line.letters) for line in group)]
        tallest = max(line.text.height for line in group)
        for number, line in enumerate(group):
            n = len(line.words)
            ranges = {(i, j) for i in range(n) for j in range(i + 1, min(i + _WORDS, n) + 1)} | {(0, n)}
            found.extend(_run([(line, i, j)], starts[number], starts[-1], tallest) for i, j in sorted(ranges))
        for count in range(2, _JOINED + 1):
            for number in range(len(group) - count + 1):
                parts = [(line, 0, len(line.words)) for line in group[number : number + count]]
                found.append(_run(parts, starts[number], starts[-1], tallest))
    return found


def _in_reading_order(lines: Sequence[_Line]) -> list[_Line]:
    """Lines from top to bottom, those side by side from left to right, as they stand upright."""
    rows: list[list[tuple[Box, _Line]]] = []
    placed = [(_upright(line.text), line) for line in lines]
    for box, line in sorted(placed, key=lambda each: (each[0][1] + each[0][3], each[0], each[1].text.string)):
        middle = (box[1] + box[3]) / 2
        if rows and rows[-1][0][0][1] < middle < rows[-1][0][0][3]:
            rows[-1].append((box, line))
        else:
            rows.append([(box, line)])
    return [line for row in rows for _, line in sorted(row, key=lambda each: (each[0], each[1].text.string))]


def _upright(line: TextLine) -> Box:
    """A line's box where the crop would stand as the line is read, but for its place."""
    left, top, right, bottom = line.box
    if line.way == "mirrored":
        return -right, top, -left, bottom
    return (-right, -bottom, -left, -top) if line.way == "turned_180" else line.box


def _run(parts: Sequence[tuple[_Line, int, int]], start: int, total: int, tallest: float) -> _Run:
    """The words [i, j) of a line, or all those of joined lines. start, total: letters of the crop before them, and all."""
    words = [word for line, i, j in parts for word in line.words[i:j]]
    counts = [line.words[j - 1].last - line.words[i].first for line, i, j in parts]
    confidence = sum(n * line.text.confidence for n, (line, _, _) in zip(counts, parts, strict=True)) / sum(counts)
    height = max(line.text.height for line, _, _ in parts)
    key = "".join(word.key for word in words)
    first_line, last_line = parts[0][0], parts[-1][0]
    return _Run(
        first_line.text,
        " ".join(line.string[line.words[i].start : line.words[j - 1].end] for line, i, j in parts),
        key,
        _contracted("".join(word.letters for word in words)),
        key.translate(LOOK_ALIKES),
        Emissions.joined([_cut(line, line.words[i].first, line.words[j - 1].last) for line, i, j in parts]),
        (
            first_line.text.way,
            start + words[0].first,
            start + sum(len(line.letters) for line, _, _ in parts) - len(last_line.letters) + words[-1].last,
        ),
        _UNSURE * (1 - confidence)
        + _MORE_TEXT * (1 - sum(counts) / total)
        + _TALLER * (1 - (height / tallest if tallest > 0 else 1.0)),
        english=all(word.english for word in words),
        ordinary=len(words) == 1 and words[0].ordinary,
        with_leet=sum(c.isalpha() for c in key) >= _LETTERS * len(key),
    )


def _cut(line: _Line, first: int, last: int) -> Emissions:
    """The steps of the letters [first, last) of a line, from and to half-way between them and their neighbours."""
    times = line.times
    start = 0 if first == 0 else -(-int(times[first - 1] + times[first]) // 2)
    end = len(line.emissions) if last >= len(times) else -(-int(times[last - 1] + times[last]) // 2)
    return line.emissions[start : max(start, end)]


def _prominent(runs: Sequence[_Run]) -> list[_Run]:
    """The runs that are worth comparing inexactly: of three letters and more, those first that lost least."""
    return sorted((run for run in runs if len(run.key) > 2), key=lambda run: (run.lost, run.span))[:_RUNS]
