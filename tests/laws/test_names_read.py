"""What finding brands' names in text promises, whatever the names and the text."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_fakes import Colours
from text_fakes import line, steps_of

from vision.library import Library, NewBrand, by_name
from vision.library.by_name import LEAST_SCORE, NameIndex, common_words, reading_key
from vision.library.likelihood import Emissions, errors_of, letter_counts, letter_weights, likelihoods
from vision.values import READ_CLASSES

BRANDS = ["Nike", "Adidas", "Google", "Starbucks", "Red Bull", "FedEx", "FedEx Express", "Calvin Klein", "Häagen-Dazs", "Fresh",
          "Ford", "KFC", "LG", "AT&T", "Castrol", "Amazon", "Disney+", "C++", "Яндекс", "Express"]  # fmt: skip
INDEX = NameIndex([(brand, brand) for brand in BRANDS])
LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz")
WORDS = st.text(LETTERS, min_size=4, max_size=10)


def best(*lines, index=INDEX):
    found = index.match(lines)
    return found[0] if found else None


def accepted(*strings, index=INDEX):
    return [m.brand for m in index.match([line(string) for string in strings]) if m.accepted]


@given(WORDS, st.text(LETTERS, min_size=3, max_size=5), st.text(LETTERS, max_size=3))
def test_a_name_never_matches_inside_another_word(name, before, after):
    index = NameIndex([("Brand", name)], words={})
    # the rest is no less than half of the name: no edits bring the two together
    word = before + name + after + "qx" * (len(name) // 3)
    assert [m for m in index.match([line(word)]) if m.accepted] == []


@given(
    st.lists(
        st.sampled_from([*BRANDS, "hello", "OPEN 24", "NlKE", "Starbuks", "www.google.com"]), min_size=1, max_size=5
    ),
    st.data(),
)
def test_the_order_of_lines_and_of_names_is_of_no_account(strings, data):
    lines = [line(s, (0.0, 50.0 * i, 20.0 * len(s), 50.0 * i + 40), height=40.0 - 3 * i) for i, s in enumerate(strings)]
    shuffled = data.draw(st.permutations(lines))
    other = NameIndex([(brand, brand) for brand in data.draw(st.permutations(BRANDS))])
    assert INDEX.match(shuffled) == INDEX.match(lines) == other.match(lines)


@given(st.sampled_from(["Nike", "Google", "Häagen-Dazs", "Calvin Klein", "Red Bull"]), st.data())
def test_case_accents_and_spaces_are_of_no_account(name, data):
    changed = "".join(data.draw(st.sampled_from([c, c.upper(), c.lower(), c.replace("ä", "a")])) for c in name)
    changed = changed.replace(" ", data.draw(st.sampled_from(["", " ", "-", " - "])))
    found = best(line(changed))
    assert (found.brand, found.edits, found.accepted) == (name, 0, True)
    assert found.score == pytest.approx(best(line(name)).score, abs=1e-3)


@given(st.text(LETTERS, min_size=1, max_size=3))
def test_short_names_are_never_accepted_by_text_alone(name):
    index = NameIndex([("Brand", name)], words={})
    found = index.match([line(name.upper())])
    assert not any(m.accepted for m in found)
    # but those of two letters and more are found, so that they may agree with what is seen
    assert [m.edits for m in found] == ([0] if len(name) > 1 else [])


@given(WORDS, st.data())
def test_every_match_is_of_another_brand_and_no_better_than_the_one_before(word, data):
    others = data.draw(st.lists(WORDS, max_size=6))
    index = NameIndex([(f"b{i % 3}", name) for i, name in enumerate([word, *others])], words={})
    found = index.match([line(word), line("something", (0.0, 50.0, 200.0, 70.0))], k=2)
    assert len(found) <= 2
    assert len({m.brand for m in found}) == len(found)
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)
    assert found[0].brand == "b0"
    assert found[0].score >= 0


def test_an_english_word_is_no_misread_name():
    # one letter is missing in both; "Castrol" less "l" is a word only where it is told to be
    names = [("Castrol", "Castrol"), ("Heineken", "Heineken")]
    assert accepted("Heinekn", index=NameIndex(names)) == ["Heineken"]
    assert accepted("Heinekn", index=NameIndex(names, words={"heinekn": False})) == []
    assert accepted("heinekn", "Heineken", index=NameIndex(names, words={"heinekn": True})) == ["Heineken"]


def test_an_ordinary_word_stays_one_with_an_accent():
    index = NameIndex([("Président", "Président"), ("Citroën", "Citroën")])
    assert accepted("PRESIDENT", "Président", index=index) == []
    assert best(line("President"), index=index).brand == "Président"
    assert accepted("CITROEN", index=index) == ["Citroën"]


def test_ordinary_words_are_scored_but_not_accepted():
    found = best(line("fresh"))
    assert (found.brand, found.accepted) == ("Fresh", False)
    assert found.score > 0
    # people write of Ford and Google too, but mean the brand
    assert accepted("Ford") == ["Ford"]
    assert accepted("GOOGLE") == ["Google"]


def test_the_common_words_know_which_are_names():
    words = common_words()
    assert 22130 <= len(words) < 22300
    assert all(words[w] for w in ("fresh", "line", "less", "red", "the", "boots", "orange", "windows"))
    assert not any(words[w] for w in ("google", "ford", "nike", "samsung", "heron"))
    # names of software that shirts, packs and shop signs carry as what they mean
    assert all(words[w] for w in ("turbo", "jasmine", "hoodie", "cinnamon", "drone"))
    index = NameIndex([(name, name) for name in ("Turbo", "Dior")])
    assert (accepted("TURBO", index=index), accepted("DIOR", index=index)) == ([], ["Dior"])


def test_brands_called_by_an_ordinary_word_have_pictures_by_which_they_can_be_named():
    listed = {word for word, ordinary in common_words().items() if ordinary}
    text = (Path(by_name.__file__).parent / "ordinary_words.txt").read_text(encoding="utf-8")
    by_hand = {word for row in text.splitlines() if not row.startswith("#") for word in row.split()}
    assert by_hand <= listed
    library = Library.default()
    pictured = {reference.brand_id for reference in library.all_references()}
    seen = {name.casefold() for b in library.brands() if b.id in pictured for name in (b.name, *b.aliases)}
    assert sorted(by_hand - seen) == []


def test_a_longer_name_wins_where_all_its_words_were_read():
    fedex, express = line("FedEx", (0.0, 0.0, 200.0, 50.0)), line("Express", (90.0, 55.0, 200.0, 75.0))
    assert [(m.brand, m.accepted) for m in INDEX.match([fedex, express])][:2] == [
        ("FedEx Express", True),
        ("FedEx", False),
    ]
    assert accepted("FedEx Express") == ["FedEx Express"]
    assert best(fedex).brand == "FedEx"


def test_the_tallest_line_counts_first():
    index = NameIndex([("FedEx", "FedEx"), ("Kinko", "Kinko")])
    fedex, kinko = line("FedEx", (0.0, 0.0, 200.0, 50.0)), line("Kinko", (90.0, 55.0, 200.0, 65.0))
    assert [m.brand for m in index.match([fedex, kinko]) if m.accepted] == ["FedEx"]
    assert index.match([kinko])[0].accepted


def test_a_name_over_two_lines_is_one():
    red, bull = line("Red", (0.0, 0.0, 200.0, 50.0)), line("Bull", (0.0, 52.0, 200.0, 102.0))
    assert (best(red, bull).brand, best(red, bull).string) == ("Red Bull", "Red Bull")
    # the lower line comes after the upper one, however they are given
    assert best(bull, red).string == "Red Bull"


@pytest.mark.parametrize("way", ["mirrored", "turned_180"])
def test_words_side_by_side_are_joined_in_the_order_in_which_they_are_read(way):
    """In a mirror and upside-down the first word stands on the right, and upside-down the first line below."""
    first, second = (50, 0, 90, 20), (0, 0, 40, 20)
    assert best(line("Red", box=first, way=way), line("Bull", box=second, way=way)).brand == "Red Bull"
    assert best(line("Red", box=second, way=way), line("Bull", box=first, way=way)) is None
    under, over = (0, 30, 90, 50), (0, 0, 90, 20)
    top, foot = (under, over) if way == "turned_180" else (over, under)
    assert best(line("Calvin", box=top, way=way), line("Klein", box=foot, way=way)).way == way


def test_a_short_name_may_lack_a_letter_but_not_have_another_one():
    index = NameIndex([("Castro", "Castro")])
    assert accepted("CASTO", index=index) == ["Castro"]
    assert accepted("CASTROL", "CASTRA", "CASSTRO", index=index) == []


def test_a_brand_known_by_name_only_keeps_its_near_neighbour_from_being_claimed():
    alone, both = NameIndex([("Gardenia", "Gardenia")]), NameIndex([("Gardenia", "Gardenia"), ("Gardena", "Gardena")])
    assert accepted("GARDENA", index=alone) == ["Gardenia"]
    assert accepted("GARDENA", index=both) == ["Gardena"]


def test_short_names_that_differ_in_one_letter_need_that_letter_read_clearly():
    index = NameIndex([("Arla", "Arla"), ("Arlo", "Arlo"), ("Aria", "Aria")], words={})
    assert accepted("ARLO", index=index) == ["Arlo"]
    # the last letter is an "o" to the reader, and an "a" to one in twenty
    doubtful = line("ARLO")
    last = np.flatnonzero(doubtful.steps[:, READ_CLASSES.index("o")] > 0.5)
    doubtful.steps[last, READ_CLASSES.index("a")] = doubtful.steps[last, READ_CLASSES.index("o")] / 20
    found = index.match([doubtful])
    assert [m.brand for m in found][:2] == ["Arlo", "Arla"]
    assert found[0].score > 0
    assert not any(m.accepted for m in found)
    # also where many other names have most of its letters
    letters = "abcdefghijklmnopqrstuvwxyz"
    crowd = [f"{a}arlo" for a in letters] + [f"arlo{a}" for a in letters] + [f"ar{a}lo" for a in letters]
    among = NameIndex([(name, name) for name in ("Arla", "Arlo", *crowd)], words={})
    assert accepted("ARLO", index=among) == ["Arlo"]
    assert not any(m.accepted for m in among.match([doubtful]))
    # with nobody to take it for it is the name, and so is a long one
    assert [m.accepted for m in NameIndex([("Arlo", "Arlo")], words={}).match([doubtful])] == [True]
    pair = NameIndex([("Gardena", "Gardena"), ("Gardeno", "Gardeno")], words={})
    assert accepted("GARDENA", index=pair) == ["Gardena"]


def test_a_name_read_in_its_own_letters_is_not_disputed_by_one_that_only_looks_like_it():
    index = NameIndex([("Fiat", "Fiat"), ("Flat", "Flat"), ("Pond's", "Ponds"), ("Pond5", "Pond5")], words={})
    for name in ("FIAT", "FLAT", "PONDS", "POND5"):
        assert [reading_key(brand) for brand in accepted(name, index=index)] == [name.lower()]
    assert accepted("F1AT", index=index) == []


def test_a_name_of_an_exact_brand_is_accepted_without_an_error_only():
    names = [("Naturella", "Naturella"), ("Gardenia", "Gardenia")]
    index = NameIndex(names, words={}, exact={"Naturella"})
    assert accepted("NATURELL", index=index) == []
    assert accepted("NATURELLA", index=index) == accepted("N4TURELLA", index=index) == ["Naturella"]
    assert accepted("GARDENI", index=index) == ["Gardenia"]


def test_brands_of_one_name_tie():
    found = NameIndex([("Delta Air", "Delfa"), ("Delta Taps", "Delfa")]).match([line("DELFA")])
    assert [m.brand for m in found] == ["Delta Air", "Delta Taps"]
    assert found[0].score == found[1].score
    assert all(m.accepted for m in found)


def test_figures_are_no_letters_where_there_are_hardly_any_letters():
    index = NameIndex([("Bosss", "Bosss"), ("Ebes", "Ebes")])
    assert accepted("80555", "3835", index=index) == []
    assert accepted("B0SSS", "EB3S", index=index) == ["Bosss", "Ebes"]


def test_signs_may_be_read_or_not_but_never_make_another_name():
    assert best(line("AT&T")).brand == best(line("AT T")).brand == best(line("at and t")).brand == "AT&T"
    assert best(line("Disney")).brand == "Disney+"
    assert accepted("Disney") == []
    assert accepted("Disney plus") == ["Disney+"]
    assert best(line("C")) is None


def test_names_in_other_scripts_match_what_a_reader_of_latin_letters_takes_them_for():
    index = NameIndex([("Gazprom", "Газпром"), ("Rosatom", "Росатом"), ("Sharp", "シャープ")])
    assert accepted("TA3NPOM", index=index) == ["Gazprom"]
    assert accepted("POCATOM", index=index) == ["Rosatom"]
    assert accepted("Gazprom", "SHARP", index=index) == []
    assert reading_key("АDIDАЅ") == reading_key("ΑDIDΑS") == "adidas"


def test_likelihood_ranks_but_does_not_accept_alone():
    # read as no name at all, though the steps would allow one for certain
    index = NameIndex([("Toyota", "Toyota"), ("Toyoda", "Toyoda")], words={})
    found = index.match([line("TOYKKA", steps="toyota")])
    assert [m.brand for m in found] == ["Toyota", "Toyoda"]
    assert found[0].score > 0 > found[1].score
    assert not any(m.accepted for m in found)


@pytest.mark.parametrize(
    "string",
    ["", " ", "!", "!!! ... ---", "中文 标志", "a", "1", "ﬁ", "ß", "\N{COMBINING ACUTE ACCENT}", "I I I I", "x" * 400],
)
def test_odd_lines_are_no_error(string):
    assert isinstance(INDEX.match([line(string), line("Nike")]), list)
    assert INDEX.match([line(string)]) == [] or not INDEX.match([line(string)])[0].accepted


@given(st.text(max_size=30), st.integers(0, 40))
def test_any_text_with_any_steps_is_no_error(string, t):
    steps = np.random.default_rng(t).dirichlet(np.ones(38), t).astype(np.float32).reshape(t, 38)
    read = line("x")
    for match in INDEX.match([type(read)(string, 0.9, read.box, read.height, steps)]):
        assert LEAST_SCORE <= match.score <= 6


def test_an_index_without_names_finds_nothing():
    assert len(NameIndex([])) == 0
    assert NameIndex([]).match([line("Nike")]) == []
    assert NameIndex([("Nike", "Nike"), ("", "!"), ("Odd", "")]).match([]) == []


# --- likelihood ---


def every_path(steps, word):
    """The sum over all alignments, written out: the slow truth beside the forward pass."""
    from vision.values import READ_BLANK, READ_CLASSES

    wanted = [READ_CLASSES.index(c) for c in word]
    columns = sorted({READ_BLANK, *wanted})
    total = 0.0
    for path in itertools.product(columns, repeat=len(steps)):
        kept = [c for c, _ in itertools.groupby(path) if c != READ_BLANK]
        if kept == wanted:
            total += float(np.prod([steps[t, c] for t, c in enumerate(path)], dtype=np.float64))
    return total


@given(
    st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.integers(1, 5)), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_the_forward_pass_sums_every_alignment(cases, seed):
    random = np.random.default_rng(seed)
    pairs = [(random.dirichlet(np.ones(38), t), word) for word, t in cases]
    assert likelihoods(pairs) == pytest.approx([every_path(steps, word) for steps, word in pairs], rel=1e-9)


@given(WORDS)
def test_what_was_read_surely_is_no_error_away_and_a_letter_more_about_one(word):
    steps = Emissions.of(steps_of(word, 0.999))
    longer = word + ("w" if word[-1] != "w" else "h")
    none, one = errors_of([(steps, word, False), (steps, longer, False)], [0, 1])
    assert none == pytest.approx(0, abs=0.05)
    assert 0.7 < one < 1.3


@given(st.lists(st.text("aabcxyz09", min_size=1, max_size=9), min_size=1, max_size=5))
def test_letters_of_words_are_counted(words):
    table, beyond = letter_counts(words)
    assert table.sum(axis=1) + beyond == pytest.approx([len(word) for word in words])
    weights = letter_weights(Emissions.of(steps_of(words[0], 0.999)))
    assert float(table[0] @ weights) == pytest.approx(table[0].sum(), abs=0.05)


# --- in a library ---


def test_a_library_finds_names_and_aliases_and_those_added_later(tmp_path):
    library = Library.create(tmp_path / "brands", embedder=Colours())
    library.extend([NewBrand("Kofola", [], ["Kofola Cola"])])
    crops = [[line("KOFOLA")], [], [line("Vinea")]]
    assert [[m.brand for m in found] for found in library.match_names(crops)] == [["Kofola"], [], []]
    library.extend([NewBrand("Vinea", [])])
    assert [[m.brand for m in found] for found in library.match_names(crops)] == [["Kofola"], [], ["Vinea"]]
    assert library.name_index is library.name_index
