"""One brand, many spellings: folding names, ids made of names, and which drawings show the same brand.

Pure but for one table, `aliases.json` beside this file, which is curated by hand: other names of a brand ("Hewlett-Packard"
is HP), display names for slugs that no rule spells well, and slugs that are kin ("google-2014" is Google). A product that is a
brand of its own (Google Drive) stays apart.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

# Signs that carry meaning in names: without them C, C++ and C# would be one brand.
_SIGNS = str.maketrans(
    {"+": "plus", "#": "sharp", "&": "and", "@": "at", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"}
)

_ASCII = {code: None for code in range(128) if not chr(code).isalnum()} | {
    code: spelled for code, spelled in _SIGNS.items() if code < 128
}

# Endings of slugs that name a version of the artwork, not another brand.
# fmt: off
_VARIANTS = frozenset((
    "icon", "dark", "light", "wordmark", "vertical", "horizontal", "alt", "logo", "logotype", "glyph", "mark",
    "mono", "monochrome", "monochromatic", "white", "black", "old", "new", "tile", "square", "circle", "round",
    "badge", "symbol", "classic", "official", "clean",
))
# fmt: on
_YEAR = re.compile(r"(19|20)\d\d")

_BETWEEN_WORDS = re.compile(r"[\s\-_/.·|,:;()]+")
# Scripts whose letters stay the same without their accents. Elsewhere marks are letters too: ガ is not カ, टा is not टी.
_ACCENTED = ("LATIN", "GREEK", "CYRILLIC")
# The joiners that Persian and Hindi words have inside them: nothing is seen of them but how their neighbours are drawn.
_JOINERS = dict.fromkeys((0x200C, 0x200D))


def fold(name: str) -> str:
    """A name folded for comparison: case, accents, spaces and punctuation do not count; "+", "#", "&", "@" are spelled out.

    "Häagen-Dazs" and "haagen dazs" are "haagendazs". Accents are those of Latin, Greek and Cyrillic letters; marks of other
    scripts stay. Empty when nothing of the name is a letter or digit.
    """
    if name.isascii():  # the same, 10 times as fast: a library has tens of thousands of names
        return name.lower().translate(_ASCII)
    return "".join(_words(name))


def is_readable(text: str) -> bool:
    """True when a text has no control characters, invisible joiners of letters left out of account."""
    return text.translate(_JOINERS).isprintable()


def storable(text: str | None) -> str | None:
    """A text as UTF-8 can hold it: bytes of a file's name that no encoding explains are spelled out ("\\udcff")."""
    return text and text.encode("utf-8", "backslashreplace").decode()


def slugify(name: str) -> str:
    """A readable id of a name, its folded words joined by hyphens ("coca-cola"); without the hyphens it is `fold(name)`."""
    return "-".join(_words(name))


def _words(name: str) -> list[str]:
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold().translate(_SIGNS))
    return [word for word in map(_letters, _BETWEEN_WORDS.split(text)) if word]


def _letters(word: str) -> str:
    """Letters and digits of a word that was taken apart (NFKD), together with the marks that make other letters of them."""
    kept: list[str] = []
    accented = True
    for c in word:
        if c.isalnum():
            accented = not c.isalpha() or unicodedata.name(c, "").startswith(_ACCENTED)
            kept.append(c)
        elif not accented and unicodedata.category(c)[0] == "M" and "VARIATION" not in unicodedata.name(c, ""):
            kept.append(c)
    return unicodedata.normalize("NFKC", "".join(kept))


def is_kin(name: str, brand: str) -> bool:
    """True when a name is the brand's or begins with it as whole words: "Google Drive" and "Google 2014" are kin of "Google"."""
    return fold(brand) in kin_prefixes(name)


@lru_cache(maxsize=1 << 16)
def kin_prefixes(name: str) -> frozenset[str]:
    """The folded names of brands that a name is kin of, its own among them: its first word, its first two, and so on."""
    words = slugify(name).split("-")
    return frozenset("".join(words[: i + 1]) for i in range(len(words))) - {""}


def strip_variant(slug: str) -> str:
    """A drawing's slug without endings that name a version of the artwork: "google-2014" and "google-icon" are "google"."""
    words = slug.split("-")
    while len(words) > 1 and (words[-1] in _VARIANTS or _YEAR.fullmatch(words[-1])):
        words.pop()
    return "-".join(words)


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = resources.files("vision.library").joinpath("aliases.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


@lru_cache(maxsize=1)
def _brand_of() -> dict[str, str]:
    """Folded spelling to the display name that the curated table gives it."""
    found = {}
    for brand, others in _table()["brands"].items():
        for name in (brand, *others):
            found[fold(name)] = brand
    return found


def canonical(name: str) -> str:
    """The display name under which a brand is kept: the curated one for known other spellings and kin, else the name itself."""
    return _brand_of().get(fold(name), name)


def curated_aliases(brand: str) -> tuple[str, ...]:
    """Other names of a brand that people use, from the curated table (its slugs, "google-2014", are for drawings only)."""
    return tuple(name for name in _table()["brands"].get(brand, ()) if name != slugify(name))


def spell(slug: str) -> str:
    """A display name for a slug that no titled drawing explains: "game-analytics" is "Game Analytics", "aws-s3" is "AWS S3"."""
    words: Mapping[str, str] = _table()["words"]
    return " ".join(words.get(word, word[:1].upper() + word[1:]) for word in slug.split("-"))


class Titles:
    """Display names for slugs, taken from drawings that come with a title (and its other spellings)."""

    def __init__(self, titled: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._titles: dict[str, str] = {}
        others: list[tuple[str, str]] = []
        for title, spellings in titled:
            self._titles.setdefault(fold(title), title)
            others.extend((spelling, title) for spelling in spellings)
        for spelling, title in others:
            self._titles.setdefault(fold(spelling), title)

    def name(self, slug: str) -> str:
        """The display name of a slug: curated, or the title it agrees with, or spelled out."""
        base = strip_variant(slug)
        for key in (slug, base):
            if fold(key) in _brand_of():
                return _brand_of()[fold(key)]
        # "vue" is Vue.js, "vitejs" is Vite, "nim-lang" is Nim
        folded = fold(base)
        for key in (folded, folded + "js", folded.removesuffix("js"), folded.removesuffix("lang")):
            if key in self._titles:
                return canonical(self._titles[key])
        return spell(base)
