"""Invented names of brands: sayable, short, in the shapes that brand names have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.datasets.labelled import brand_key, is_kin

_STARTS, _VOWELS, _MIDDLES, _ENDS, _SECOND = (
    letters.split(" ")
    for letters in (
        "b br c ch cl d dr f fl fr g gl gr h j k kr l m n p pl pr qu r s sh sk sl sp st t th tr v w x z",
        "a e i o u a e o ai ea ee io oo ou ia eo y",
        "b bb c ck d ff g l ll m mm n nn nt p r rr rt s ss st t tt v x z nd mb lt rk",
        " l n r s t x k m nd st rt ck th ng z a o i y us ex on ia ic is um",
        "sport shoes foods coffee studio motors lab house paris london co bros group market bank air tech bikes design",
    )
)


def word(rng: np.random.Generator) -> str:
    """One invented word of about three to eleven letters, in lower case."""
    pick = rng.choice
    text = (str(pick(_STARTS)) if rng.random() < 0.85 else "") + str(pick(_VOWELS))
    for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
        text += str(pick(_MIDDLES)) + str(pick(_VOWELS))
    return (text + str(pick(_ENDS)))[:11]


def brand_name(rng: np.random.Generator, left_out: Sequence[str] = ()) -> str:
    """A name in the case that a brand would write it in; none that is one of `left_out` or kin of one.

    One or two words, initials, with "&", a dot, a number or an apostrophe now and then.
    """
    keys = {brand_key(name) for name in left_out}
    while True:
        kind = rng.random()
        if kind < 0.66:
            text = word(rng)
        elif kind < 0.8:
            text = f"{word(rng)} {rng.choice(_SECOND) if rng.random() < 0.5 else word(rng)}"
        elif kind < 0.88:
            text = "".join(rng.choice(list("abcdefghjklmnprstvwxz"), int(rng.integers(2, 5))))
        elif kind < 0.93:
            text = f"{word(rng)}{rng.choice([' & ', '+', '-', '.', chr(39)])}{word(rng)[:5]}"
        else:
            text = f"{word(rng)}{rng.choice(['', ' '])}{int(rng.integers(1, 100))}"
        folded = brand_key(text)
        # a name inside a name would be read as that name all the same
        if len(folded) >= 2 and not is_kin(text, left_out) and not any(k and k in folded for k in keys):
            break
    case = rng.random()
    return text.upper() if case < 0.45 or 0.8 <= kind < 0.88 else text.title() if case < 0.75 else text
