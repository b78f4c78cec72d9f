"""How likely a recogniser's steps make a word: CTC's forward pass over many words at once, and a quick bound on it. Pure.

Steps are (t, 38) float32, each row a distribution over `READ_CLASSES`, blank and others. Look-alikes share their probabilities:
by a tenth, so that a name is not lost to one confusion, or wholly, where a spelling with look-alikes is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.values import READ_BLANK, READ_CLASSES, READ_OTHER

Floats = npt.NDArray[np.floating[Any]]

# A step's probability of a class is at least this, so that one letter misread costs one error: -log(1e-3) is 6.9.
_FLOOR = 1e-3
# Share of a class's probability that its look-alikes get too.
_SHARED = 0.1
# A step says something when the blank is less probable than this.
_SILENT = 0.9

# Letters and figures that are taken for each other, by the one that stands for them.
LOOK_ALIKES = str.maketrans("01l34578269", "oiieastbzgg")

_CLASS = {character: column for column, character in enumerate(READ_CLASSES)}
_CODES = np.full(256, len(READ_CLASSES), dtype=np.int64)
_CODES[[ord(character) for character in READ_CLASSES]] = np.arange(len(READ_CLASSES))


def _sharing(share: float) -> npt.NDArray[np.float32]:
    """(38, 38) float32: `steps @ matrix` gives each class that share of its look-alikes' probabilities too."""
    matrix = np.eye(READ_OTHER + 1, dtype=np.float32)
    for i, one in enumerate(READ_CLASSES):
        for j, other in enumerate(READ_CLASSES):
            if i != j and one.translate(LOOK_ALIKES) == other.translate(LOOK_ALIKES):
                matrix[i, j] = share
    return matrix


_ALIKE, _SAME = _sharing(_SHARED), _sharing(1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Emissions:
    """Steps with look-alikes sharing a tenth of their probabilities, and with all of them in common; (t, 38) float32 each."""

    alike: Floats
    same: Floats

    @classmethod
    def of(cls, steps: Floats) -> Emissions:
        """Those of a recogniser's steps."""
        return cls(steps @ _ALIKE, steps @ _SAME)

    @classmethod
    def joined(cls, parts: Sequence[Emissions]) -> Emissions:
        """Those of parts read one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(np.concatenate([part.alike for part in parts]), np.concatenate([part.same for part in parts]))

    def __getitem__(self, steps: slice) -> Emissions:
        return Emissions(self.alike[steps], self.same[steps])

    def __len__(self) -> int:
        return len(self.alike)


# --- letters that a word and steps share, their order left out of account ---


def letter_counts(words: Sequence[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(n, 72) float32: 1 where a word has a class at least once, and at least twice; and (n,) its letters beyond those."""
    shape = (len(words), len(READ_CLASSES) + 1)
    codes = _CODES[np.frombuffer("".join(words).encode("latin-1", "replace"), dtype=np.uint8)]
    rows = np.repeat(np.arange(len(words)), [len(word) for word in words])
    counts = np.bincount(rows * shape[1] + codes, minlength=shape[0] * shape[1]).reshape(shape)[:, :-1]
    table = np.concatenate([counts >= 1, counts >= 2], axis=1).astype(np.float32)
    return table, np.maximum(counts - 2, 0).sum(axis=1).astype(np.float32)


def letter_weights(emissions: Emissions) -> npt.NDArray[np.float32]:
    """How probable it is that steps have each class once, and twice; (72,) float32, as in `letter_counts`."""
    weights = np.zeros((2, len(READ_CLASSES)), dtype=np.float32)
    active = np.flatnonzero(emissions.same[:, READ_BLANK] < _SILENT)
    if not len(active):
        return weights.reshape(-1)
    rows = emissions.same[active, : len(READ_CLASSES)]
    best = rows.argmax(axis=1)
    begins = np.flatnonzero(np.r_[True, (active[1:] > active[:-1] + 1) | (best[1:] != best[:-1])])
    slots = np.maximum.reduceat(rows, begins, axis=0)
    ordered = np.sort(slots, axis=0)[::-1][:2]
    weights[: len(ordered)] = np.minimum(ordered, 1)
    return weights.reshape(-1)


# --- likelihood ---


def errors_of(targets: Sequence[tuple[Emissions, str, bool]], otherwise: Sequence[float]) -> list[float]:
    """How many errors each word is away from steps by the recogniser's own account, at least 0 and at most its letters.

    That is the log-likelihood of the best free reading over the word's, by 6.9. targets: (emissions, word, whether look-alikes
    are as good). otherwise: the errors where there are no steps, or letters that steps do not tell apart.
    """
    errors = [min(float(number), float(len(word))) for number, (_, word, _) in zip(otherwise, targets, strict=True)]
    rows = [row for row, (steps, word, _) in enumerate(targets) if len(steps) and all(c in _CLASS for c in word)]
    scaled: dict[tuple[int, bool], Floats] = {}
    pairs = []
    for row in rows:
        steps, word, same = targets[row]
        if (id(steps), same) not in scaled:
            probabilities = np.maximum(steps.same if same else steps.alike, _FLOOR)
            scaled[id(steps), same] = probabilities / probabilities.max(axis=1, keepdims=True)
        pairs.append((scaled[id(steps), same], word))
    for row, likelihood in zip(rows, likelihoods(pairs).tolist(), strict=True):
        most = float(len(targets[row][1]))
        unlikely = float(np.log(likelihood) / np.log(_FLOOR)) if likelihood > 0 else most
        errors[row] = min(max(0.0, unlikely), most)
    return errors


def likelihoods(pairs: Sequence[tuple[Floats, str]]) -> npt.NDArray[np.float64]:
    """The likelihood of words under steps, all alignments summed, (n,) float64: CTC's forward pass (Graves et al., 2006, 4.1).

    pairs: (t, 38) of probabilities, of any scale up to 1, with t at least 1; and a word of `READ_CLASSES`.
    """
    if not pairs:
        return np.zeros(0)
    longest, most = max(len(steps) for steps, _ in pairs), max(len(word) for _, word in pairs)
    labels = np.full((len(pairs), 2 * most + 1), READ_BLANK, dtype=np.int64)
    # a pair with fewer steps waits in its last blank
    emissions = np.zeros((len(pairs), longest, READ_OTHER + 1))
    emissions[:, :, READ_BLANK] = 1
    ends = np.array([2 * len(word) for _, word in pairs])
    for row, (steps, word) in enumerate(pairs):
        emissions[row, : len(steps)] = steps
        labels[row, 1 : 2 * len(word) : 2] = [_CLASS[character] for character in word]
    # a letter may follow the one before it without a blank between them, unless they are equal
    skips = np.zeros(labels.shape)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    every = np.arange(len(pairs))
    emitted = emissions[every[:, None, None], np.arange(longest)[None, :, None], labels[:, None, :]]
    forward = np.zeros((len(pairs), labels.shape[1] + 2))
    forward[:, 2:4] = emitted[:, 0, :2]
    for step in range(1, longest):
        forward[:, 2:] = (forward[:, 2:] + forward[:, 1:-1] + skips * forward[:, :-2]) * emitted[:, step]
    # the last letter, and the blank after it
    return np.asarray(forward[every, ends + 2] + forward[every, ends + 1])
