"""Which references have many words of a query, turned and scaled alike? An inverted file that grows.

In: the local features of references, one after the other; a query's. Out: candidates, best first. Each feature is a posting under
its word: the number of its entry, its angle and its scale. New postings go into chains in memory; every `RUN_ENTRIES` entries the
chains become a run: arrays sorted by word, which lie in files and are mapped once they are large. Runs of about one size are
merged, so that there are few. Nothing here is the truth: all of it can be made again from what the references kept.

Votes count only together when they also agree on how the picture was turned, scaled and mirrored (weak geometric consistency:
Jégou, Douze and Schmid 2008), and a word that many references have weighs less.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision.copies.local import WORD_BITS, LocalFeatures
from vision.files import appears_whole

Numbers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# One more than there are: the last one is nobody's.
WORDS = (1 << WORD_BITS) + 1
NO_WORD = WORDS - 1
# Words tried for each feature of a query that is looked at closely, and of any other; each next one finds less and costs as much.
PROBES, FEWER_PROBES = 8, 4
# Entries that are kept in chains before they become a run: long chains are slower to follow than runs are to make.
RUN_ENTRIES = 512
# Runs of so many entries and more are written to the folder; smaller ones are sooner made again than read.
SAVED_ENTRIES = 4096
# A run swallows its neighbour when that is not this many times larger.
MERGE_RATIO = 3
# Entries that are looked at more closely: those with the most votes whatever their geometry.
SHORTLIST = 1024
# Postings that one search looks at, the rarest words first: some 100 ms.
MOST_POSTINGS = 2_000_000
# Words are as rare as they would be among so many entries.
REFERENCE_SIZE = 1000
# Steps of angle and of scale (half octaves) in which votes must agree.
ANGLES, SCALES = 16, 16
# Postings of one word beyond which it tells nothing, as a share of all entries, and at least this many: one picture may be there
# thousands of times, and one that is there more often is found by its hash alone.
COMMON_SHARE, COMMON = 0.05, 50_000
# Chains are followed this far: what lies behind is a word that many have.
CHAIN = 64

POSTING = np.dtype([("entry", "<u4"), ("angle", "u1"), ("level", "u1")])


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """(k,) entries that may hold the query, best first, and their votes (float64; a rare word that agrees is one)."""

    entries: Numbers
    votes: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Postings of `entries` entries from number `first` on, sorted by word.

    starts: (WORDS + 1,) where each word's postings begin.
    """

    starts: npt.NDArray[np.uint32]
    postings: npt.NDArray[np.void]
    first: int
    entries: int

    @classmethod
    def of(cls, words: Numbers, postings: npt.NDArray[np.void], first: int, entries: int) -> Run:
        """A run of (n,) postings in any order."""
        order = np.argsort(words, kind="stable")
        starts = np.zeros(WORDS + 1, dtype=np.uint32)
        np.cumsum(np.bincount(words, minlength=WORDS), out=starts[1:])
        return cls(starts, postings[order], first, entries)

    def words(self) -> Numbers:
        """(n,) the word of each posting."""
        starts = self.starts.astype(np.int64)
        return np.repeat(np.arange(WORDS), starts[1:] - starts[:-1])

    def find(self, words: Numbers) -> tuple[Numbers, npt.NDArray[np.void]]:
        """All postings of (k,) words: which word, and the posting."""
        starts = self.starts[words].astype(np.int64)
        counts = self.starts[words + 1].astype(np.int64) - starts
        which = np.repeat(np.arange(len(words)), counts)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        return which, self.postings[np.arange(len(which)) - before + np.repeat(starts, counts)]

    @property
    def name(self) -> str:
        """The beginning of the names of its two files."""
        return f"words-{self.first}-{self.entries}"

    def save(self, folder: Path) -> Run:
        """Write the run as two files, the old ones or the new, and map them."""
        folder.mkdir(parents=True, exist_ok=True)
        for part, array in (("starts", self.starts), ("postings", self.postings)):
            with appears_whole(folder / f"{self.name}.{part}.npy") as fresh, fresh.open("wb") as file:
                np.save(file, array)
        return Run.load(folder, self.first, self.entries)

    @classmethod
    def load(cls, folder: Path, first: int, entries: int) -> Run:
        """A saved run, mapped. Raises OSError or ValueError when its files are not there or not whole."""
        name = f"words-{first}-{entries}"
        starts = np.load(folder / f"{name}.starts.npy", mmap_mode="r", allow_pickle=False)
        postings = np.load(folder / f"{name}.postings.npy", mmap_mode="r", allow_pickle=False)
        if starts.shape != (WORDS + 1,) or postings.dtype != POSTING or int(starts[-1]) != len(postings):
            raise ValueError(f"{name} is no run of postings")
        return cls(starts, postings, first, entries)


class WordIndex:
    """Postings of entries 0 on. Adding and searching must not happen at the same time; searching may, in any thread.

    folder: where large runs are kept and mapped, so that memory stays flat; in memory by default. They are a cache: `restore`
    takes up what it finds there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.runs: list[Run] = []
        self.folder = folder
        self._count = 0
        # the postings that wait for a run: the last one of each word, and of each posting the one before it and its word
        self._heads: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._next: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._words: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._postings: npt.NDArray[np.void] = np.zeros(0, dtype=POSTING)
        self._used = self._chained = 0
        self._start_chains()

    def __len__(self) -> int:
        return self._count

    def restore(self, entries: int) -> None:
        """Take up the runs in the folder that hold the next entries, as far as they go without a gap, up to `entries` in all."""
        if self.folder is None or self._chained:
            return
        there: dict[int, list[int]] = {}
        for file in self.folder.glob("words-*-*.postings.npy"):
            first, size = file.name.split(".")[0].split("-")[1:]
            if first.isdigit() and size.isdigit():
                there.setdefault(int(first), []).append(int(size))
        while sizes := [size for size in there.get(self._count, []) if size and self._count + size <= entries]:
            try:
                self.runs.append(Run.load(self.folder, self._count, max(sizes)))
            except (OSError, ValueError, EOFError):
                there[self._count].remove(max(sizes))
                continue
            self._count += max(sizes)

    def add(self, features: LocalFeatures | None) -> None:
        """Append the next entry; one without features is never found. Only what a reference keeps should be given."""
        if features is not None and len(features):
            # one posting a word and entry: a chain must not name one entry twice in a row
            words, first = np.unique(features.words(), return_index=True)
            rows = np.zeros(len(words), dtype=POSTING)
            rows["entry"] = self._count
            rows["angle"], rows["level"] = features.rows["angle"][first], features.level[first]
            begin, end = self._used, self._used + len(words)
            if end > len(self._postings):
                self._postings = np.concatenate([self._postings, np.zeros(max(end, 1 << 16), dtype=POSTING)])
                self._next = np.concatenate([self._next, np.zeros(max(end, 1 << 16), dtype=np.int32)])
                self._words = np.concatenate([self._words, np.zeros(max(end, 1 << 16), dtype=np.int32)])
            self._postings[begin:end] = rows
            self._words[begin:end] = words
            self._next[begin:end] = self._heads[words]
            self._heads[words] = np.arange(begin, end)
            self._used = end
        self._count += 1
        self._chained += 1
        if self._chained >= RUN_ENTRIES:
            self.seal()

    def seal(self) -> None:
        """Turn the chains into a run, merge runs of about one size, and save a large one."""
        if not self._chained:
            return
        words = self._words[: self._used].astype(np.int64)
        first = self._count - self._chained
        self.runs.append(Run.of(words, self._postings[: self._used].copy(), first, self._chained))
        self._start_chains()
        swallowed = []
        while len(self.runs) > 1 and self.runs[-2].entries < MERGE_RATIO * self.runs[-1].entries:
            second, before = self.runs.pop(), self.runs.pop()
            swallowed += [second, before]
            self.runs.append(merged(before, second))
        if self.folder is not None and self.runs[-1].entries >= SAVED_ENTRIES:
            try:
                self.runs[-1] = self.runs[-1].save(self.folder)
            except OSError:  # a folder that may only be read: the run stays in memory
                return
            for run in swallowed:
                for part in ("starts", "postings"):
                    (self.folder / f"{run.name}.{part}.npy").unlink(missing_ok=True)

    def candidates(
        self, query: LocalFeatures, limit: int, probes: int = PROBES, alive: Flags | None = None
    ) -> Candidates:
        """The entries with the most votes that agree on a turn and a scale, at most `limit`. How rare a word is counts only those
        that are alive."""
        none = Candidates(np.zeros(0, dtype=np.int64), np.zeros(0))
        if not len(query) or not self._count:
            return none
        tried = query.probes(probes)
        words = self._rarest(tried.ravel())
        found = [run.find(words) for run in self.runs]
        found.append(self._find_chained(words))
        which = np.concatenate([w for w, _ in found])
        if not len(which):
            return none
        postings = np.concatenate([p for _, p in found])
        if alive is not None:
            lives = alive[postings["entry"]]
            which, postings = which[lives], postings[lives]
        frequency = np.bincount(which, minlength=len(words))
        # as rare as a word would be among REFERENCE_SIZE entries, so that votes mean the same in an index of any size
        rarity = frequency * min(1.0, REFERENCE_SIZE / self._count)
        weight = np.where(frequency > max(COMMON, COMMON_SHARE * self._count), 0.0, 1 / np.sqrt(np.maximum(rarity, 1)))[
            which
        ]
        entry = postings["entry"].astype(np.int64)
        total = np.bincount(entry, weights=weight, minlength=self._count)
        short = np.flatnonzero(total > 0)
        if not len(short):  # all of them common words, or entries that are gone
            return none
        if len(short) > SHORTLIST:
            short = np.sort(np.argpartition(-total, SHORTLIST)[:SHORTLIST])
        place = np.full(self._count, -1, dtype=np.int32)
        place[short] = np.arange(len(short))
        listed = (place[entry] >= 0) & (weight > 0)
        votes = _consistent(
            place[entry[listed]].astype(np.int64),
            len(short),
            query,
            which[listed] // tried.shape[1],
            postings[listed],
            weight[listed],
        )
        best = np.lexsort((short, -votes))[:limit]
        return Candidates(short[best], votes[best])

    def _rarest(self, words: Numbers) -> Numbers:
        """The words with the most common ones replaced by one that nobody has, so that at most MOST_POSTINGS are looked at."""
        counts = np.zeros(len(words), dtype=np.int64)
        for run in self.runs:
            counts += run.starts[words + 1].astype(np.int64) - run.starts[words]
        if int(counts.sum()) <= MOST_POSTINGS:
            return words
        order = np.argsort(counts, kind="stable")
        kept = np.cumsum(counts[order]) <= MOST_POSTINGS
        rare = np.full(len(words), NO_WORD)
        rare[order[kept]] = words[order[kept]]
        return rare

    def _find_chained(self, words: Numbers) -> tuple[Numbers, npt.NDArray[np.void]]:
        """As `Run.find`, in the chains."""
        which, at = np.arange(len(words)), self._heads[words]
        found_which, found_at = [], []
        for _ in range(CHAIN):
            there = at >= 0
            if not there.any():
                break
            which, at = which[there], at[there]
            found_which.append(which)
            found_at.append(at)
            at = self._next[at]
        if not found_at:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=POSTING)
        return np.concatenate(found_which), self._postings[np.concatenate(found_at)]

    def _start_chains(self) -> None:
        self._heads = np.full(WORDS, -1, dtype=np.int32)
        self._next = np.zeros(1 << 12, dtype=np.int32)
        self._words = np.zeros(1 << 12, dtype=np.int32)
        self._postings = np.zeros(1 << 12, dtype=POSTING)
        self._used = self._chained = 0


def merged(first: Run, second: Run) -> Run:
    """One run of two that follow each other."""
    words = np.concatenate([first.words(), second.words()])
    postings = np.concatenate([first.postings, second.postings])
    return Run.of(words, postings, first.first, first.entries + second.entries)


def _consistent(
    place: Numbers, places: int, query: LocalFeatures, which: Numbers, postings: npt.NDArray[np.void], weight: Doubles
) -> Doubles:
    """(places,) the most votes of each that agree on two steps of angle and two of scale, mirrored or not."""
    angle_here = query.rows["angle"][which].astype(np.int64)
    angle_there = postings["angle"].astype(np.int64)
    octaves = np.clip(postings["level"].astype(np.int64) - query.level[which] + SCALES // 2, 0, SCALES - 1)
    best = np.zeros(places)
    for sign in (-1, 1):  # a mirrored angle counts the other way round
        turn = ((angle_there + sign * angle_here) % 256) * ANGLES // 256
        # each vote counts in its own bin and in the next one, of angle and of scale: so a bin holds two steps of both
        cells = (place * ANGLES + np.stack([turn, (turn + 1) % ANGLES])) * (SCALES + 1) + octaves
        bins = np.stack([cells, cells + 1]).ravel()
        votes = np.bincount(bins, weights=np.tile(weight, 4), minlength=places * ANGLES * (SCALES + 1))
        best = np.maximum(best, votes.reshape(places, -1).max(axis=1))
    return best
