"""Laws of the library's doctor: what is planted is found, what is not is not told, and blocks give what a plain loop gives."""

import json
import re
from datetime import date

import numpy as np
import pytest
from library_fakes import Colours, near, unit
from report_fakes import EVIL

from vision.library import Library, NewBrand, NewReference, doctor
from vision.library.doctor import ROW, Limits, Win, examine, neighbours, similar_names
from vision.library.state import Brand
from vision.report.doctor import write_doctor_page

DIM = 64


class Shelf:
    """Brands of references, each of some views, in a library."""

    def __init__(self, tmp_path, seed=0):
        self.random = np.random.default_rng(seed)
        self.brands, self.path = {}, tmp_path / "brands"
        self.negatives = set()

    def vector(self):
        return unit(self.random.standard_normal(DIM))

    def add(self, brand, *views, kind="photo", **about):
        """The id of a reference of the views given, or of an unrelated one."""
        rows = unit(np.stack(views if views else [self.vector()]))
        self.brands.setdefault(brand, []).append(NewReference(rows, kind, **about))
        return f"{brand.lower()}/{len(self.brands[brand])}"

    def library(self):
        embedder = Colours(dim=DIM, background=np.zeros((0, DIM), np.float32))
        brands = [NewBrand(name, held, negative=name in self.negatives) for name, held in self.brands.items()]
        return Library.build(self.path, brands, embedder=embedder)


@pytest.fixture
def shelf(tmp_path):
    made = Shelf(tmp_path)
    for brand in ("Apex", "Borea", "Citra", "Dolmen"):
        heart = made.vector()
        for _ in range(5):
            made.add(brand, near(heart, 0.85, made.random))
    return made


def told(diagnosis):
    """How many of each kind, of those that there are, but for lonely brands."""
    lonely = set(diagnosis.lonely)
    return {name: number for name, number in diagnosis.counts().items() if number and name not in lonely}


def test_of_a_library_without_faults_nothing_is_told(shelf):
    diagnosis = examine(shelf.library(), background=shelf.vector()[None], today=date(2026, 1, 1))
    assert (diagnosis.brands, diagnosis.references, told(diagnosis)) == (4, 20, {})


@pytest.mark.parametrize("seed", range(3))
def test_of_unrelated_references_nothing_is_told(tmp_path, seed):
    shelf = Shelf(tmp_path, seed)
    for number in range(40):
        for _ in range(1 + number % 6):
            shelf.add(
                f"Brand {chr(97 + number // 7) * 3}{chr(97 + number % 7) * 3}",
                *[shelf.vector() for _ in range(1 + number % 3)],
            )
    assert told(examine(shelf.library(), background=unit(shelf.random.standard_normal((16, DIM))))) == {}


def test_a_mislabelled_reference_is_told_with_what_it_looks_like(shelf):
    heart = unit(shelf.brands["Borea"][0].vectors[0])
    planted = shelf.add("Apex", near(heart, 0.9, shelf.random))
    (found,) = examine(shelf.library()).mislabelled
    assert (found.reference, found.brand, found.looks_like, found.nearest[0]) == (planted, "Apex", "Borea", "borea/1")
    assert found.votes == 5
    assert found.similarity == pytest.approx(0.9, abs=1e-2)


def test_a_reference_that_is_nearly_as_near_to_its_own_is_not_called_mislabelled(shelf):
    mark = shelf.vector()
    for brand, cosine in (("Apex", 0.78), ("Borea", 0.8)):
        for _ in range(3):
            shelf.add(brand, near(mark, cosine, shelf.random))
    shelf.add("Apex", mark)
    assert examine(shelf.library()).mislabelled == ()


def test_the_only_reference_of_its_kind_is_not_called_mislabelled(shelf):
    shelf.add("Apex")  # other artwork, near nothing
    assert examine(shelf.library()).mislabelled == ()


def test_the_same_artwork_under_two_names_is_one_conflict_by_its_nearest_pair(shelf):
    mark = shelf.vector()
    shelf.add("Evoke", mark)
    shelf.add("Evoke", near(mark, 0.975, shelf.random))
    shelf.add("Fjordline", mark)
    diagnosis = examine(shelf.library())
    (found,) = diagnosis.conflicts
    assert (found.reference, found.other_reference, found.kin) == ("evoke/1", "fjordline/1", False)
    assert found.similarity == pytest.approx(1, abs=1e-3)
    assert diagnosis.confusable == ()


def test_brands_that_come_near_are_confusable_and_kin_are_marked(shelf):
    mark = shelf.vector()
    shelf.add("Evoke", mark)
    shelf.add("Evoke Sport", near(mark, 0.9, shelf.random))
    diagnosis = examine(shelf.library())
    (found,) = diagnosis.confusable
    assert ({found.brand, found.other_brand}, found.kin) == ({"Evoke", "Evoke Sport"}, True)
    assert diagnosis.conflicts == ()


def test_of_equal_references_one_stays(shelf):
    mark = shelf.vector()
    ids = {shelf.add("Evoke", near(mark, 0.9999, shelf.random)) for _ in range(12)}
    found = examine(shelf.library()).redundant
    assert len(found) == 11
    stays = ids - {r.reference for r in found}
    assert stays == {"evoke/1"}
    assert all(r.kept not in {gone.reference for gone in found} for r in found)


def test_a_reference_with_one_view_of_its_own_is_not_redundant(shelf):
    same, other = shelf.vector(), shelf.vector()
    shelf.add("Evoke", same)
    shelf.add("Evoke", same, other)
    found = examine(shelf.library()).redundant
    assert [(r.reference, r.kept) for r in found] == [("evoke/1", "evoke/2")]


def test_what_stays_is_the_reference_that_has_all_of_the_views(shelf):
    one, two, other = shelf.vector(), shelf.vector(), shelf.vector()
    shelf.add("Evoke", one, other)
    shelf.add("Evoke", one, two)
    shelf.add("Evoke", two, one)
    found = examine(shelf.library()).redundant
    assert [(r.reference, r.kept) for r in found] == [("evoke/3", "evoke/2")]


def test_references_close_to_the_background_are_told(shelf):
    patch = shelf.vector()
    planted = shelf.add("Apex", near(patch, 0.8, shelf.random))
    (found,) = examine(shelf.library(), background=np.stack([shelf.vector(), patch])).attractors
    assert found.reference == planted
    assert found.similarity == pytest.approx(0.8, abs=1e-2)


def test_what_looks_like_a_brand_and_is_none_is_told_only_where_it_equals_one(shelf):
    mark, patch = shelf.vector(), shelf.vector()
    shelf.negatives = {"Recycling"}
    shelf.add("Evoke", mark)
    shelf.add("Recycling", near(mark, 0.9, shelf.random), kind="negative")
    shelf.add("Recycling", near(patch, 0.9, shelf.random), kind="negative")
    assert told(examine(shelf.library(), background=patch[None])) == {}
    shelf.add("Recycling", mark, kind="negative")
    assert told(examine(shelf.library(), background=patch[None])) == {"conflicts": 1}


def test_wins_on_photos_are_counted_by_reference_and_names_that_were_read(shelf):
    wins = [
        Win("Apex", "apex/1", 0.5, 0.2, known=False),
        Win("Apex", "apex/1", 0.7, 0.9, known=True),
        Win("Borea", "borea/2", 0.6, 0.3, known=False),
        Win("Citra", None, None, 0.8, known=True),
    ]
    found = examine(shelf.library(), wins=wins, photos=9).alarms
    assert [(a.brand, a.reference, a.wins, a.known, a.similarity) for a in found] == [
        ("Apex", "apex/1", 2, 1, 0.7),
        ("Citra", None, 1, 1, None),
    ]


def test_lonely_brands_stand_under_what_they_lack(shelf):
    shelf.add("One", kind="drawing")
    shelf.add("Drawn", kind="drawing")
    shelf.add("Drawn", kind="drawing")
    library = shelf.library()
    library.extend([NewBrand("Named", ())])
    assert examine(library).lonely == {"name only": ("Named",), "one reference": ("One",), "drawings only": ("Drawn",)}


def test_references_outside_their_dates_are_told(shelf):
    old = shelf.add("Apex", valid_until=date(2025, 12, 31))
    new = shelf.add("Apex", valid_from=date(2026, 1, 2))
    shelf.add("Apex", valid_from=date(2026, 1, 1), valid_until=date(2026, 1, 1))
    found = examine(shelf.library(), today=date(2026, 1, 1)).dated
    assert [(d.reference, d.what, d.when) for d in found] == [
        (old, "expired", "2025-12-31"),
        (new, "not yet valid", "2026-01-02"),
    ]


def pairs(*names):
    brands = [Brand(f"b{i}", name, tuple(aliases)) for i, (name, *aliases) in enumerate(map(list, names))]
    return {(p.name, p.other_name, p.why) for p in similar_names(brands, letters=5)}


def test_names_that_look_the_same_or_are_a_letter_apart_are_told():
    assert pairs(["Nike"], ["N1ke"]) == {("Nike", "N1ke", "looks the same")}
    assert pairs(["Modern"], ["Modem"]) == {("Modern", "Modem", "looks the same")}
    assert pairs(["Celine"], ["Cline"]) == {("Celine", "Cline", "one letter apart")}
    assert pairs(["Orbit", "Celine"], ["Cebine"]) == {("Celine", "Cebine", "one letter apart")}
    assert pairs(["abcde"], ["abced"]) == set()  # two edits


def test_kin_short_names_and_a_brands_own_aliases_are_not_told():
    assert pairs(["PlayStation"], ["PlayStation 4"]) == set()
    assert pairs(["Nike"], ["Nika"]) == set()
    assert pairs(["Celine", "Céline", "Cline"]) == set()


@pytest.mark.parametrize("seed", range(4))
def test_blocks_give_what_a_plain_loop_gives(seed, monkeypatch):
    monkeypatch.setattr(doctor, "_BLOCK", 300)
    random = np.random.default_rng(seed)
    counts = random.integers(1, 4, 30)
    brand = np.sort(random.integers(0, 8, 30))
    brand = np.unique(brand, return_inverse=True)[1]
    vectors = unit(random.standard_normal((counts.sum(), 8)))
    views = np.split(vectors, np.cumsum(counts)[:-1])
    best = np.array([[(a @ b.T).max() for b in views] for a in views])
    least = np.array([[(a @ b.T).max(axis=1).min() for b in views] for a in views])
    found = neighbours(vectors, counts, brand)
    for i in range(30):
        own = [j for j in range(30) if brand[j] == brand[i] and j != i]
        assert found.covered[i] == pytest.approx(max(least[i, own], default=-np.inf), abs=1e-6)
        assert found.nearest_own[i] == pytest.approx(max(best[i, own], default=-np.inf), abs=1e-6)
        rivals = {
            b: max((j for j in range(30) if brand[j] == b), key=lambda j: best[i, j])
            for b in set(brand.tolist()) - {brand[i]}
        }
        ranked = sorted(rivals.values(), key=lambda j: -best[i, j])[:5]
        assert found.rival[i, : len(ranked)].tolist() == ranked
        theirs = [j for j in range(30) if brand[j] == brand[ranked[0]]]
        assert found.votes[i] == sum(best[i, j] > found.nearest_own[i] + 1e-7 for j in theirs)
        assert found.voters[i, 0] == ranked[0]


def test_an_empty_library_and_one_brand_alone_have_nothing_to_tell(tmp_path):
    empty = Shelf(tmp_path)
    assert told(examine(empty.library(), background=np.zeros((0, DIM), np.float32))) == {}
    alone = Shelf(tmp_path / "alone")
    (tmp_path / "alone").mkdir()
    alone.add("Apex")
    assert told(examine(alone.library())) == {}


def test_every_finding_is_a_row_and_all_of_it_is_json(shelf):
    mark = shelf.vector()
    shelf.add("Evoke", mark)
    shelf.add("Fjordline", mark, valid_until=date(2020, 1, 1))
    shelf.add("Fjordline", mark)
    wins = [Win("Citra", None, None, 0.8, known=True)]
    diagnosis = examine(shelf.library(), wins=wins, today=date(2026, 1, 1), background=mark[None])
    assert sum(diagnosis.counts().values()) == len(diagnosis.rows())
    assert all(tuple(row) == ROW for row in diagnosis.rows())
    assert json.loads(json.dumps(diagnosis.to_dict()))["counts"] == diagnosis.counts()
    kinds = {row["finding"] for row in diagnosis.rows()}
    assert kinds == {"conflict", "wins on photos", "near the background", "redundant", "expired", "one reference"}


def page(tmp_path, shelf, **options):
    library = shelf.library()
    diagnosis = examine(library, limits=Limits(alarms=1), **options.pop("examined", {}))
    out = tmp_path / "doctor.html"
    references = {r.id: r for r in library.all_references()}
    write_doctor_page(diagnosis, out, references=references, **{"thumbnail": lambda _: None} | options)
    return out.read_text(encoding="utf-8")


def test_the_page_says_where_there_is_no_picture_and_escapes_names(tmp_path, shelf):
    mark = shelf.vector()
    shelf.brands["Evoke <b>"] = [NewReference(unit(mark[None]), "photo", source=EVIL.replace("\udcff", ""))]
    shelf.add("Fjordline", mark)
    text = page(tmp_path, shelf)
    assert "no picture, vectors only" in text
    assert "Evoke &lt;b&gt;" in text
    assert "<script>alert" not in text
    assert "<b>" not in text


def test_the_page_shows_thumbnails_and_the_photos_that_deceived(tmp_path, shelf):
    crop = np.full((300, 200, 3), 90, np.uint8)
    text = page(
        tmp_path,
        shelf,
        thumbnail=lambda reference: b"\x89PNG" if reference == "apex/1" else None,
        examples={("Apex", "apex/1"): [crop]},
        examined={"wins": [Win("Apex", "apex/1", 0.5, 0.2, known=True)], "photos": 3},
    )
    assert len(re.findall(r'<img src="data:image/png', text)) == 1
    assert len(re.findall(r'<img src="data:image/jpeg', text)) == 1
    assert "named 1 times" in text
    assert "http" not in re.sub(r"http-equiv", "", text)


def test_the_page_shows_the_first_of_many_and_says_so(tmp_path, shelf):
    mark = shelf.vector()
    for _ in range(9):
        shelf.add("Evoke", mark)
    text = page(tmp_path, shelf, cases=3)
    assert text.count('<article class="card case') == 3
    assert "The first 3 are shown; doctor.csv has all." in text
