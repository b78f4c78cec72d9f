"""Brands by name alone, what is no brand, products, dates and watch-lists."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_fakes import Colours

from vision.errors import LibraryError, UsageError
from vision.library import Library, NewBrand, NewReference
from vision.library.name_files import read_names
from vision.library.names import _SIGNS, fold, slugify
from vision.library.watch import resolve_watch


def mark(number: int) -> np.ndarray:
    random = np.random.default_rng(number)
    return np.kron(random.integers(0, 255, (4, 4, 3), dtype=np.uint8), np.ones((10, 10, 1), dtype=np.uint8))


@pytest.fixture
def library(tmp_path):
    made = Library.create(tmp_path / "brands", embedder=Colours())
    made.add("Acme", mark(1), aliases=["ACME Corp"])
    made.add("Zeta", aliases=["ZT"])
    return made


# --- by name alone ---


def test_a_brand_by_name_alone_is_held_listed_and_never_found_by_picture(library):
    assert [b.name for b in library.brands()] == ["Acme", "Zeta"]
    assert library.brand("zt").name == "Zeta"
    assert library.references("Zeta") == []
    assert [m.brand for m in library.search(mark(9))] == ["Acme"]
    assert library.nearest_of(Colours().embed_images([mark(9)]), [["zt"]]) == [[None]]
    assert [b.name for b in Library.open(library.path).brands()] == ["Acme", "Zeta"]
    assert [b.name for b in library.subset(brands=["zt"]).brands()] == ["Zeta"]
    assert [b.name for b in library.subset(kinds=["drawing"]).brands()] == ["Zeta"]


def test_a_library_of_names_only_answers_searches_with_nothing(tmp_path):
    names = Library.create(tmp_path / "names", embedder=Colours())
    names.add_names([("A", ()), ("B", ("Bee",))])
    assert names.search([mark(1)] * 20) == [[]] * 20
    assert names.search(mark(1)) == []
    again, lost = Library.reembed(names.path, embedder=Colours(id="other", checksum="o"))
    assert (len(again), lost) == (2, [])
    assert again.checksum != names.checksum


def test_a_brand_by_name_can_get_pictures_later(library):
    library.add("ZT", mark(2))
    assert [r.id for r in library.references("Zeta")] == ["zeta/1"]
    assert library.search(mark(2))[0].brand == "Zeta"


def test_thousands_of_names_are_one_write_and_bad_ones_are_told(library):
    names = [(f"Name {number}", (f"Alias {number}",)) for number in range(3000)]
    refused = library.add_names([*names, ("!!", ()), ("New", ("acme corp",)), ("acme", ("ACME Inc",)), ("Name 7", ())])
    assert [(place, fault.code) for place, fault in refused] == [(3000, "bad_option"), (3001, "bad_option")]
    assert "New" not in library
    assert library.brand("acme inc").aliases == ("ACME Corp", "ACME Inc")
    assert len(library) == 3002
    assert library.version == 4


def test_pictures_may_not_be_an_empty_list_by_mistake(library):
    with pytest.raises(UsageError, match="no pictures"):
        library.add("Nobody", [])
    assert "Nobody" not in library


# --- files of names ---


def read(tmp_path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    brands, bad = read_names(tmp_path / name)
    return [(b.number, b.name, *b.aliases) for b in brands], [(line.number, line.why) for line in bad]


def test_names_are_read_from_text_with_their_line_numbers(tmp_path):
    content = "\ufeff# brands\nAcme\n\nZeta | ZT|\nTab\tT1\tT2\r\n \nÄ|日本\n".encode() + b"\xff\xfe\nLast"
    brands, bad = read(tmp_path, "names.txt", content)
    assert brands == [(2, "Acme"), (4, "Zeta", "ZT"), (5, "Tab", "T1", "T2"), (7, "Ä", "日本"), (9, "Last")]
    assert bad == [(8, "not UTF-8")]


def test_names_are_read_from_csv_and_json_lines(tmp_path):
    content = b'country,name,aliases\nde,"Acme, Inc",A|B\nfr,,x\n\n"the\nstates",US\nit,Short\n'
    assert read(tmp_path, "n.csv", content) == (
        [(2, "Acme, Inc", "A", "B"), (5, "US"), (7, "Short")],
        [(3, "no name")],
    )
    assert read(tmp_path, "n.tsv", b"name\taliases\nAcme\tA|B\n")[0] == [(2, "Acme", "A", "B")]
    with pytest.raises(UsageError, match="no column 'name'"):
        read(tmp_path, "bad.csv", b"brand\nAcme\n")
    content = b'{"name": "Acme", "aliases": ["A"]}\n"Zeta"\n{"name": 3}\n{]\n\n{"name": "B", "aliases": "b"}\n'
    brands, bad = read(tmp_path, "n.jsonl", content)
    assert brands == [(1, "Acme", "A"), (2, "Zeta")]
    assert [number for number, _ in bad] == [3, 4, 6]
    with pytest.raises(UsageError, match="no such file"):
        read_names(tmp_path / "nowhere.txt")


def test_a_stray_quote_in_csv_costs_its_own_line_only(tmp_path):
    """It took in the lines after it, and nothing was told."""
    brands, bad = read(tmp_path, "n.csv", b'name,aliases\nAcme,\n"Beta,x\nGamma,\n"Delta,\nEta,"E\nZeta,\n')
    assert [brand[:2] for brand in brands] == [(2, "Acme"), (4, "Gamma"), (7, "Zeta")]
    assert [number for number, _ in bad] == [3, 5, 6]
    two = read(tmp_path, "n.csv", b'name\n"Two\nlines"\nAcme\n')
    assert two == ([(4, "Acme")], [(2, "a name that ends in line 3: is a quote missing?")])
    with pytest.raises(UsageError, match="no column 'name'"):
        read(tmp_path, "n.csv", b'"name\nAcme\n')


@pytest.mark.parametrize("name", ["n.csv", "n.txt", "n.jsonl"])
def test_lines_end_as_any_system_ends_them(tmp_path, name):
    lines = {"n.csv": ["name", "A", "B", "C"], "n.txt": ["#", "A", "B", "C"], "n.jsonl": ["", '"A"', '"B"', '"C"']}[
        name
    ]
    for end in ("\n", "\r\n", "\r"):
        assert read(tmp_path, name, end.join(lines).encode()) == ([(2, "A"), (3, "B"), (4, "C")], [])


@given(st.binary(max_size=200), st.sampled_from(["a.txt", "a.jsonl", "a.csv"]))
def test_any_bytes_are_names_or_bad_lines_and_never_a_crash(tmp_path_factory, content, name):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes((b"name,aliases\n" if name == "a.csv" else b"") + content)
    brands, bad = read_names(path)
    lines = len(path.read_bytes().replace(b"\r", b"\n").split(b"\n"))
    assert all(1 <= each.number <= lines for each in (*brands, *bad))


@given(st.text(st.characters(max_codepoint=127)))
def test_names_of_ascii_letters_fold_as_others_do(name):
    slow = "".join(c for c in name.casefold().translate(_SIGNS) if c.isalnum())
    assert fold(name) == slow


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ホンダ", "ポンタ"),
        ("バス", "パス"),
        ("टाटा", "टीटू"),
        ("ช้าง", "ช่าง"),
        ("தாதா", "தீதி"),
        ("ગાગા", "ગીગી"),
    ],
)
def test_names_that_differ_in_marks_other_than_accents_are_different_brands(library, one, other):
    """All marks were dropped: the second name joined the brand of the first."""
    assert fold(one) != fold(other)
    assert slugify(one) != slugify(other)
    library.add(one)
    assert other not in library
    assert unicodedata.normalize("NFD", one) in library


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Häagen", "haagen"),
        ("Ёлка й", "елкаи"),
        ("Άλφα", "αλφα"),
        ("ﾊﾞｽ", "バス"),
        ("한국 GmbH", "한국gmbh"),
        ("Acme™\ufe0f ❤\ufe0f 1\ufe0f\u20e3", "acmetm1"),
        ("葛\U000e0100", "葛"),
    ],
)
def test_accents_and_looks_of_letters_do_not_count(name, folded):
    assert fold(name) == folded
    assert slugify(name).replace("-", "") == folded


@pytest.mark.parametrize("name", ["دیجی\u200cکالا", "क्\u200dष"])
def test_names_keep_the_joiners_that_their_words_have_inside(library, name):
    """They were no brand names."""
    library.add(name)
    library.watch(name, name)
    assert library.brand(name.replace("\u200c", "").replace("\u200d", "")).name == name
    assert library.watch_list(name) == {name}
    with pytest.raises(UsageError):
        library.add("\u200c\u200d")


# --- what is no brand ---


def test_what_looks_like_a_brand_and_is_none_competes_and_says_so(library):
    made = library.add_negative("Recycling sign", [mark(5), mark(6)], licence="CC0-1.0")
    assert [(r.id, r.kind, r.licence) for r in made] == [
        ("recycling-sign/1", "negative", "CC0-1.0"),
        ("recycling-sign/2", "negative", "CC0-1.0"),
    ]
    best, second = library.search(mark(5))
    assert (best.brand, best.negative, best.similarity > 0.99) == ("Recycling sign", True, True)
    assert (second.brand, second.negative) == ("Acme", False)
    assert [b.name for b in library.brands()] == ["Acme", "Zeta"]
    assert [b.name for b in library.negatives()] == ["Recycling sign"]
    assert (len(library), "recycling sign" in library) == (2, False)
    assert [name for name, _ in library._view._spellings()] == ["Acme", "Acme", "Zeta", "Zeta"]
    again = Library.open(library.path, embedder=Colours())
    assert again.search(mark(6))[0].negative
    again.remove("recycling sign")
    assert again.negatives() == []
    assert [m.brand for m in again.search(mark(6))] == ["Acme"]


def test_a_name_is_a_brand_or_none_and_never_both(library):
    with pytest.raises(UsageError, match="is a brand"):
        library.add_negative("acme corp", mark(5))
    library.add_negative("Care label", mark(5))
    with pytest.raises(UsageError, match="no brand"):
        library.add("care label", mark(6))
    with pytest.raises(UsageError, match="is a brand"):
        library.extend([NewBrand("Acme", [NewReference(Colours().embed_images([mark(5)]), "negative")])])
    with pytest.raises(UsageError, match="no brand"):
        library.watch("mine", "Care label")
    with pytest.raises(UsageError, match="no pictures"):
        library.add_negative("Banner", [])


# --- products and dates ---


def test_the_product_is_that_of_the_nearest_reference(library):
    library.add("Acme", mark(2), line="Juices", product="Orange 1 l")
    library.add("Acme", mark(3), line="Juices", product="Apple 1 l")
    best = library.search(mark(3))[0]
    assert (best.brand, best.product) == ("Acme", "Apple 1 l")
    assert [(r.line, r.product) for r in Library.open(library.path).references("Acme")] == [
        (None, None),
        ("Juices", "Orange 1 l"),
        ("Juices", "Apple 1 l"),
    ]


def test_a_reference_counts_from_its_first_day_to_its_last(library):
    library.add("Old", mark(2), valid_until=date(2020, 12, 31))
    library.add("New", mark(3), valid_from=date(2030, 1, 1), valid_until=date(2030, 1, 1))
    crops = [mark(1), mark(2), mark(3)]

    def found(day: date) -> list[set[str]]:
        then = Library.open(library.path, embedder=Colours(), on=day)
        assert then.on == day
        nearest = then.nearest_of(Colours().embed_images(crops), [["Acme"], ["Old"], ["New"]])
        by_name = {m.brand for row in nearest for m in row if m is not None}
        for count in (1, 20):  # a few queries go one way, many another
            assert all({m.brand for m in matches} == by_name for matches in then.search(crops * count, k=9))
        assert [m.brand for matches in then.search(crops, k=1) for m in matches if m.similarity > 0.99] == sorted(
            by_name, key=["Acme", "Old", "New"].index
        )
        assert len(then.all_vectors()) == len(then.all_references()) == 3  # they are there on any day
        assert np.allclose(then.vectors("new/1"), Colours().embed_images([mark(3)]), atol=1e-3)
        return by_name

    assert found(date(2020, 12, 31)) == {"Acme", "Old"}
    assert found(date(2021, 1, 1)) == {"Acme"}
    assert found(date(2029, 12, 31)) == {"Acme"}
    assert found(date(2030, 1, 1)) == {"Acme", "New"}
    assert found(date(2030, 1, 2)) == {"Acme"}
    with pytest.raises(UsageError, match="never valid"):
        library.add("Never", mark(4), valid_from=date(2020, 1, 2), valid_until=date(2020, 1, 1))


def test_a_library_none_of_whose_references_counts_finds_nothing(tmp_path):
    made = Library.create(tmp_path / "brands", embedder=Colours())
    made.add("Old", mark(2), valid_until=date(2020, 12, 31))
    assert made.search(mark(2)) == []
    assert made.nearest_of(Colours().embed_images([mark(2)]), [["Old"]]) == [[None]]


# --- watch-lists ---


def test_a_watch_list_follows_its_brands(library):
    assert library.watch("drinks", "acme corp", "Zeta", "Acme") == {"Acme", "Zeta"}
    library.rename("Acme", "Acme International")
    assert Library.open(library.path).watch_list("drinks") == {"Acme International", "Zeta"}
    library.remove("Zeta")
    assert library.watch_lists() == {"drinks": {"Acme International"}}
    assert library.unwatch("drinks", "acme international") == frozenset()
    assert library.watch_lists() == {}
    for wrong in (
        lambda: library.watch("drinks", "Nobody"),
        lambda: library.unwatch("drinks", "Acme"),
        lambda: library.watch_list("drinks"),
    ):
        with pytest.raises(UsageError):
            wrong()
    assert library.watch_lists() == {}


def test_a_watch_list_all_of_whose_brands_are_removed_is_gone(library):
    """It stayed, and a scan that watched it claimed nothing."""
    library.watch("drinks", "Zeta")
    assert library.subset(brands=["Acme"]).watch_lists() == {}
    library.remove("Zeta")
    assert Library.open(library.path).watch_lists() == {}
    library.change(lambda state: replace(state, watch={"old": ()}))  # as older versions left it
    with pytest.raises(UsageError, match="'old' names no brand"):
        resolve_watch(library, "old")


def test_brands_to_watch_come_from_a_list_of_the_library_a_file_or_a_call(library, tmp_path, monkeypatch):
    library.watch("drinks", "Zeta")
    (tmp_path / "mine.txt").write_text("# ours\nacme corp\n\nzt | other\n")
    monkeypatch.chdir(tmp_path)
    assert resolve_watch(library, "drinks") == {"Zeta"}
    assert resolve_watch(library, tmp_path / "mine.txt") == {"Acme", "Zeta"}
    assert resolve_watch(library, "mine.txt") == {"Acme", "Zeta"}
    assert resolve_watch(library, ["ACME"]) == {"Acme"}
    (tmp_path / "drinks").write_text("Acme\n")
    assert resolve_watch(library, "drinks") == {"Zeta"}
    assert resolve_watch(library, "./drinks") == {"Acme"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"acme\nAcmee\nNobody\n", "line 2: no brand 'Acmee'.*line 3: no brand 'Nobody'.*did you mean Acme"),
        (b"care label\n", "stands for what is no brand"),
        (b"# nothing\n", "no brand to watch is named"),
        (b"acme\n\xff\n", "line 2: not UTF-8"),
        (b"".join(b"x%d\n" % n for n in range(9)), "and 4 more"),
    ],
)
def test_a_watch_file_with_a_name_that_is_none_is_refused_with_its_lines(library, tmp_path, content, says):
    library.add_negative("Care label", mark(5))
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(UsageError, match=says):
        resolve_watch(library, tmp_path / "mine.txt")


def test_a_watch_list_that_is_neither_list_nor_file_says_which_lists_there_are(library):
    library.watch("drinks", "Zeta")
    with pytest.raises(UsageError, match="lists of the library: drinks"):
        resolve_watch(library, "drink")
    with pytest.raises(UsageError, match="no such file"):
        resolve_watch(library, "folder/nowhere.txt")


def test_a_part_of_a_library_cannot_be_written_by_any_way(library):
    part = library.subset(brands=["Acme"])
    for change in (
        lambda: part.watch("a", "Acme"),
        lambda: part.rollback(1),
        part.compact,
        lambda: part.add_names([("X", ())]),
        lambda: part.remove_reference("acme/1"),
        lambda: part.add_negative("Sign", mark(1)),
    ):
        with pytest.raises(LibraryError) as caught:
            change()
        assert caught.value.code == "read_only"
