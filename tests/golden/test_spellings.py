"""Names in disguise, as strings: which are found, and that none is taken for another. `benchmarks/names.py` reads drawn ones."""

from __future__ import annotations

from collections import Counter

import pytest
from text_fakes import line

from vision.evaluate.spelling_attacks import NAMES, Spelling, draw, find_fonts, spellings
from vision.library.by_name import NameIndex

# Names that are near others: the nearest real ones of a few thousand.
NEIGHBOURS = (
    "Nuke",
    "Castro",
    "CentOS",
    "Bing",
    "Bose",
    "Numpy",
    "Intercom",
    "Kodak",
    "Vimeo",
    "Porkbun",
    "Notion",
    "Nissin",
)
INDEX = NameIndex([(name, name) for name in (*NAMES, *NEIGHBOURS)])


def claimed(string):
    return next((m.brand for m in INDEX.match([line(string)]) if m.accepted), None)


def test_disguised_names_are_found_and_none_is_taken_for_another():
    found = [(spelling, claimed(spelling.string)) for spelling in spellings()]
    assert [(s.string, brand) for s, brand in found if brand not in {None, s.brand}] == []
    right = Counter(s.kind for s, brand in found if brand)
    # short names with a letter gone cannot be had safely: "Nke", "Soy"
    assert right == {"clean": 40, "leet": 40, "swapped": 32, "homoglyph": 40, "spaced": 40, "missing": 31}


@pytest.mark.parametrize(
    ("string", "brand"),
    [
        ("N1KE", "Nike"), ("ADlDAS", "Adidas"), ("АDIDАЅ", "Adidas"), ("N I K E", "Nike"), ("N.I.K.E.", "Nike"),
        ("Rnastercard", "MasterCard"), ("MastrCarcl", None), ("rnasterCard", "MasterCard"), ("SAM5UNG", "Samsung"),
        ("$ony", "Sony"), ("Volkswgen", "Volkswagen"), ("Volswgen", None), ("Nke", None), ("Soy", None), ("Nikee", None),
        ("Bose", "Bose"), ("Bosc", None), ("Pinterest", None), ("intelligent", None), ("Nikon", None),
        ("www.google.com", "Google"),
    ],
)  # fmt: skip
def test_a_spelling_is_claimed_as(string, brand):
    assert claimed(string) == brand


def test_spellings_are_the_same_again_and_each_is_another_than_the_name():
    assert spellings() == spellings()
    assert spellings() != spellings(seed=1)
    assert len(spellings()) == 232
    assert all(s.string not in {s.brand, s.brand.upper()} for s in spellings() if s.kind != "clean")


def test_drawn_spellings_show_ink_on_ground():
    crop = draw(Spelling("Nike", "clean", "Nike"), find_fonts())
    ground = crop[0, 0]
    inked = (crop != ground).any(axis=2)
    assert crop.shape[0] > 28
    assert not inked[0].any()
    assert not inked[:, -1].any()
    assert 0.05 < inked.mean() < 0.6
