"""Text drawn into pictures: names of any script and paths of any bytes, cut to the room that there is.

Strings come in as users and file systems made them; what goes out can be drawn. The font is the scalable one inside Pillow
(Aileron), so that no font file is needed and every machine draws the same. It holds ASCII and little more: letters with
accents lose them here ("Nestlé" reads "Nestle"), other scripts are drawn as empty boxes; the HTML page shows them whole.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

from PIL import ImageFont

ELLIPSIS = "…"
_IN_FONT = "©«°±´·»‘’“”…‹›™"


# Latin letters and signs that do not fall apart into ASCII under NFKD.
_FOLDED = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
    }
    | {"Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "–": "-", "—": "-", "×": "x", "®": "(R)"}
)


def printable(text: str) -> str:
    """One line that every encoder takes, for terminals and pages: control characters become spaces.

    Lone surrogates (undecodable bytes of a path) become `\\udcXX`.
    """
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in safe)


def drawable(text: str) -> str:
    """As `printable`, and in letters that the font has, where it has them: without accents, ligatures taken apart."""
    parts = (
        unicodedata.normalize("NFKD", c) if not c.isascii() and c not in _IN_FONT else c
        for c in printable(text).translate(_FOLDED)
    )
    return "".join(c for c in "".join(parts) if not unicodedata.combining(c))


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own scalable font. size: pixels, at least 1."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):  # a Pillow built without FreeType has only a bitmap font
        raise TypeError("this Pillow was built without FreeType: text cannot be drawn at a size")
    return found


def shorten(text: str, size: int, width: float, *, keep: Literal["start", "end"] = "start") -> str:
    """`text` when it fits `width` pixels at that size; else its start (or end) with an ellipsis; "" when nothing fits."""
    letters = font(size)
    if letters.getlength(text) <= width:
        return text
    low, high = 0, len(text)  # the longest part that fits, by bisection: paths can be thousands of characters long
    while low < high:
        middle = (low + high + 1) // 2
        if letters.getlength(_part(text, middle, keep)) <= width:
            low = middle
        else:
            high = middle - 1
    return _part(text, low, keep) if low else ""


def _part(text: str, length: int, keep: Literal["start", "end"]) -> str:
    return text[:length].rstrip() + ELLIPSIS if keep == "start" else ELLIPSIS + text[len(text) - length :].lstrip()
