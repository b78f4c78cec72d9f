"""Names spelled so that a plain comparison misses them, and crops that show them: how well reading holds against disguise.

Pure but for the fonts of the machine. Five disguises, as counterfeiters and spammers use them; the sixth kind is the plain name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from vision.errors import DatasetError
from vision.values import Pixels

AttackKind = Literal["clean", "leet", "swapped", "homoglyph", "spaced", "missing"]
KINDS: tuple[AttackKind, ...] = get_args(AttackKind)

# Forty brands of the shipped library, of four to fourteen letters, words of no language among them.
NAMES = (
    "Adidas", "Panasonic", "Nike", "Starbucks", "Google", "Samsung", "Chevrolet", "Suzuki", "Nissan", "Hyundai",
    "Volkswagen", "Lamborghini", "Ferrari", "Heineken", "Lacoste", "Puma", "Timberland", "Microsoft", "Netflix", "Spotify",
    "PayPal", "MasterCard", "Intel", "NVIDIA", "Siemens", "Nokia", "Motorola", "Huawei", "Xiaomi", "Calvin Klein",
    "Tommy Hilfiger", "New Balance", "Under Armour", "Red Bull", "Sony", "IKEA", "Mitsubishi", "Coca-Cola", "FedEx", "YouTube",
)  # fmt: skip

_LEET = {"o": "0", "i": "1", "l": "1", "e": "3", "a": "4", "s": "5", "t": "7", "b": "8", "z": "2", "g": "9"}
_HOMOGLYPHS = dict(zip("aceopxysijABCEHIJKMOPSTXY", "асеорхуѕіјАВСЕНІЈКМОРЅТХУ", strict=True))
_FONTS = Path("/usr/share/fonts")
_LEAST_FONTS = 5
_NOT_LETTERS = ("symbol", "dingbat", "emoji", "awesome", "icon", "math", "d050000l", "wingding", "braille")


@dataclass(frozen=True, slots=True)
class Spelling:
    """A name as an attack spells it."""

    brand: str
    kind: AttackKind
    string: str


def spellings(names: Iterable[str] = NAMES, *, seed: int = 0) -> list[Spelling]:
    """Each name plainly and in each disguise that it allows, in capitals or as it is written; the same seed gives the same.

    leet: figures for some letters. swapped: capital i for small L and the other way. homoglyph: Cyrillic letters that look the
    same. spaced: spaces, dots or hyphens between the letters. missing: a letter inside left out.
    """
    made = []
    for number, name in enumerate(names):
        random = np.random.default_rng([seed, number])
        for kind in KINDS:
            written = name.upper() if random.random() < 0.5 else name
            string = _DISGUISES[kind](written, random)
            if kind == "clean" or string != written:
                made.append(Spelling(name, kind, string))
    return made


def _leet(name: str, random: np.random.Generator) -> str:
    return _some(name, lambda c: _LEET.get(c.lower(), c), random)


def _swapped(name: str, random: np.random.Generator) -> str:
    return _some(name, lambda c: {"i": "l", "I": "l", "l": "I", "L": "l"}.get(c, c), random)


def _homoglyph(name: str, random: np.random.Generator) -> str:
    return _some(name, lambda c: _HOMOGLYPHS.get(c, c), random)


def _spaced(name: str, random: np.random.Generator) -> str:
    sign = (" ", ".", "-", " . ")[int(random.integers(4))]
    return sign.join(c for c in name if c.isalnum())


def _missing(name: str, random: np.random.Generator) -> str:
    inside = [i for i, c in enumerate(name) if c.isalnum() and 0 < i < len(name) - 1]
    gone = inside[int(random.integers(len(inside)))]
    return name[:gone] + name[gone + 1 :]


_DISGUISES: dict[AttackKind, Callable[[str, np.random.Generator], str]] = {
    "clean": lambda name, random: name,
    "leet": _leet,
    "swapped": _swapped,
    "homoglyph": _homoglyph,
    "spaced": _spaced,
    "missing": _missing,
}


def _some(name: str, change: Callable[[str], str], random: np.random.Generator) -> str:
    """The name with half of its letters that can be changed, at least one, changed."""
    able = [i for i, c in enumerate(name) if change(c) != c]
    if not able:
        return name
    chosen = set(random.permutation(able)[: max(1, len(able) // 2)].tolist())
    return "".join(change(c) if i in chosen else c for i, c in enumerate(name))


# --- crops ---


def find_fonts(folder: Path = _FONTS, *, most: int = 20) -> list[Path]:
    """Fonts with every letter of `spellings`, Cyrillic too, one a family, spread over what the machine has, in a fixed order.

    Raises DatasetError (missing) when there are fewer than five.
    """
    needed = "".join(_HOMOGLYPHS.values()) + "AZaz09.-"
    families: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".ttf", ".otf"}):
        family = path.stem.lower().partition("-")[0]
        if family not in families and not any(w in path.name.lower() for w in _NOT_LETTERS) and has(path, needed):
            families[family] = path
    found = list(families.values())
    if len(found) < _LEAST_FONTS:
        raise DatasetError(
            "missing",
            f"{len(found)} fonts with Latin and Cyrillic letters are too few",
            path=str(folder),
            hint="on Debian: apt-get install fonts-dejavu fonts-urw-base35 fonts-linuxlibertine fonts-lobster fonts-roboto-slab",
        )
    return [found[i] for i in np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)]


@lru_cache(maxsize=1024)
def has(font: Path, characters: str) -> bool:
    """True when a font draws each of the characters as something of its own."""
    from PIL import ImageFont

    try:
        face = ImageFont.truetype(str(font), 24)
    except OSError:
        return False
    none = bytes(face.getmask("\U0010fffe"))
    return all(len(drawn := bytes(face.getmask(c))) and drawn != none for c in set(characters))


def draw(spelling: Spelling, fonts: Sequence[Path], *, seed: int = 0) -> Pixels:
    """A crop, (h, w, 3) uint8, of a spelling in one of the fonts: two colours that differ well, letters 28 to 88 pixels high."""
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.default_rng([seed, *spelling.string.encode()])
    size = int(random.integers(28, 89))
    face = ImageFont.truetype(str(fonts[int(random.integers(len(fonts)))]), size)
    left, top, right, bottom = face.getbbox(spelling.string)
    margin = round(size * 0.25)
    ground, ink = _colours(random)
    image = Image.new("RGB", (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin), ground)
    ImageDraw.Draw(image).text((margin - left, margin - top), spelling.string, fill=ink, font=face)
    return np.asarray(image)


def _colours(random: np.random.Generator) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Ground and ink, at least 90 of 255 apart in brightness."""
    weights = np.array([0.299, 0.587, 0.114])
    while True:
        pair = random.integers(0, 256, (2, 3))
        if abs(float((pair[0] - pair[1]) @ weights)) >= 90:
            (r, g, b), (s, t, u) = pair.tolist()
            return (r, g, b), (s, t, u)
