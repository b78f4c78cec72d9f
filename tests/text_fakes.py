"""Lines of text as a sure recogniser would read them, without a recogniser."""

from __future__ import annotations

import numpy as np

from vision.library.names import fold
from vision.values import READ_BLANK, READ_CLASSES, READ_OTHER, TextLine

_SEEN_AS = str.maketrans("асеорхуѕіјАВСЕНІЈКМОРЅТХУ", "aceopxysijabcehijkmopstxy")


def line(string, box=(0.0, 0.0, 200.0, 40.0), *, height=None, confidence=0.97, way="lines", steps=None):
    """One line that was read as a string. steps: what the recogniser's steps say instead, as a string of letters."""
    return TextLine(string, confidence, box, height or box[3] - box[1], steps_of(steps or string, confidence), way)


def steps_of(string, confidence=0.97):
    """(t, 38) float32: two steps a letter, a blank and the letter, each that sure."""
    columns = []
    for character in string.translate(_SEEN_AS):
        letters = fold(character) if character.isalnum() else ""
        columns += [READ_BLANK, *(READ_CLASSES.index(c) if c in READ_CLASSES else READ_OTHER for c in letters[:1])]
    columns.append(READ_BLANK)
    steps = np.full((len(columns), READ_OTHER + 1), (1 - confidence) / READ_OTHER, dtype=np.float32)
    steps[np.arange(len(columns)), columns] = confidence
    return steps
