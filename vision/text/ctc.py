"""What a recogniser's time steps say: the string, how surely, and every step folded into letters without case. Pure.

A recogniser answers (t, c) float32, each row a distribution over its c characters. Character 0 is CTC's blank, which separates
equal letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vision.values import READ_BLANK, READ_CLASSES, READ_OTHER

Floats = npt.NDArray[np.float32]

# Greek letters that look like Latin ones, then Latin letters that Unicode does not take apart.
_LOOK_ALIKES = dict(
    zip(
        "ΑΒΕΖΗΙΚΛΜΝΟΡΣΤΥΧαβγεηικνορτυχω" + "øłđħŧıðþßæœŋſƒØŁĐĦŦÐÞÆŒŊ",
        "abezhikamnopetyxabyeniknoptuxw" + "oldhtidpsaonsfoldhtdpaon",
        strict=True,
    )
)


def folded(character: str) -> str:
    """The letter a–z or digit that a character is taken for, its accent and case left out; "" when it is none."""
    plain = unicodedata.normalize("NFKD", character)[:1]
    plain = _LOOK_ALIKES.get(plain, plain).lower()
    return plain if plain and plain in READ_CLASSES else ""


def folding(characters: Sequence[str]) -> Floats:
    """(c, 38) float32 of zeros and ones: the class of each of c characters; `steps = probabilities @ folding`.

    The blank, spaces and punctuation share a class; letters that look like no Latin one share the last.
    """
    matrix = np.zeros((len(characters), READ_OTHER + 1), np.float32)
    for row, character in enumerate(characters):
        letter = folded(character)
        nothing = READ_OTHER if character.isalnum() else READ_BLANK
        matrix[row, READ_CLASSES.index(letter) if letter else nothing] = 1
    return matrix


def decode(probabilities: Floats, characters: Sequence[str]) -> tuple[str, float]:
    """The best character of each step, repetitions and blanks left out, and the mean probability of those characters.

    probabilities: (t, c). Runs of spaces are one, and there are none at the ends. ("", 0.0) when nothing was read.
    """
    best = probabilities.argmax(axis=1)
    starts = np.flatnonzero((best != 0) & np.diff(best, prepend=0).astype(bool))
    read = [(characters[best[t]], float(probabilities[t, best[t]])) for t in starts]
    sure = [p for character, p in read if character != " "]
    string = " ".join("".join(character for character, _ in read).split())
    return string, sum(sure) / len(sure) if sure else 0.0
