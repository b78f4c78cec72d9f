"""What a library among rivals promises: they compete, they are never of the own ones, and nothing is written to them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from library_fakes import Colours, colour

from vision.errors import LibraryError
from vision.library import Library
from vision.library.rivals import ALIKE, PREFIX, SHARE, AmongRivals, among_rivals
from vision.values import TextLine

RED, GREEN, BLUE, GREY = (250, 10, 10), (10, 250, 10), (10, 10, 250), (130, 128, 126)


def striped(rgb):
    picture = colour((0, 0, 0))
    picture[::2] = rgb
    return picture


def halves(left, right):
    picture = colour(left)
    picture[:, 16:] = right
    return picture


@pytest.fixture
def make(tmp_path):
    """Makes libraries, brands by name with pictures or none."""
    made = iter(range(99))

    def fill(brands, embedder=None, **aliases):
        library = Library.create(tmp_path / f"l{next(made)}", embedder=embedder or Colours())
        for name, pictures in brands.items():
            library.add(name, pictures or None, aliases=aliases.get(name, ()))
        return library

    return fill


def names(library, crop, k=9):
    return [m.brand for m in library.search(crop, k=k)]


def test_rivals_compete_and_say_that_they_are_not_ones_own(make):
    own = make({"Redwood": [colour(RED)]})
    both = among_rivals(own, make({"Bluebird": [colour(BLUE)], "Greenland": [colour(GREEN)]}))
    assert names(own, colour(BLUE)) == ["Redwood"]
    assert names(both, colour(BLUE))[0] == "Bluebird"
    assert set(names(both, colour(BLUE))) == {"Redwood", "Bluebird", "Greenland"}
    assert len(both) == 3
    best = both.search(colour(BLUE), k=1)[0]
    assert best.reference == f"{PREFIX}bluebird/1"
    assert best.brand not in own
    assert both.search(colour(RED), k=1)[0].reference == "redwood/1"


def test_a_search_finds_of_each_brand_what_each_library_alone_finds_and_rivals_count_less(make):
    own = make({"Redwood": [colour(RED), halves(RED, GREY)], "Slate": [colour(GREY)]})
    rivals = make({"Bluebird": [colour(BLUE), halves(BLUE, GREY)], "Greenland": [colour(GREEN)]})
    both = among_rivals(own, rivals)
    crop = halves((90, 40, 200), (200, 30, 20))
    alone = {m.brand: m.similarity for m in own.search(crop, k=9)}
    alone |= {m.brand: SHARE * m.similarity for m in rivals.search(crop, k=9)}
    assert {m.brand: m.similarity for m in both.search(crop, k=9)} == pytest.approx(alone, abs=1e-3)


def test_the_same_brand_is_no_rival_of_itself_whatever_it_is_called(make):
    own = make(
        {"Acme Motors": [colour(RED)], "Nord": [striped(GREEN)], "Client 7": [colour(BLUE)]}, Nord=("Northern Lights",)
    )
    rivals = make(
        {
            "Acme": [striped(BLUE)],  # what the own one begins with
            "NORD drive": [striped(RED)],  # begins as an own one
            "northern-lights": [],  # an alias of an own one
            "Bluebird": [colour((12, 12, 248))],  # looks the same
            "Northwind": [halves(GREEN, (250, 250, 250))],
            "By Name Only": [],
        }
    )
    both = among_rivals(own, rivals)
    assert {b.name for b in both.brands()} == {"Acme Motors", "Nord", "Client 7", "Northwind", "By Name Only"}
    alike = (
        Colours().embed_images([colour(BLUE), colour((12, 12, 248)), halves(GREEN, (250, 250, 250))])
        @ own.all_vectors().T
    ).max(axis=1)
    assert alike[1] >= ALIKE > alike[2]


def test_names_of_rivals_are_read_too(make):
    own = make({"Castro": []})
    both = among_rivals(own, make({"Castrol": []}))
    steps = np.zeros((0, 38), np.float32)
    line = TextLine("CASTROL", 0.99, (0.0, 0.0, 90.0, 20.0), 20.0, steps, "lines")
    assert [m.brand for m in both.match_names([[line]])[0] if m.accepted] == ["Castrol"]


def test_pictures_of_both_are_there_and_what_is_none_competes_as_before(make):
    own, rivals = make({"Redwood": [colour(RED)]}), make({"Bluebird": [colour(BLUE)]})
    own.add_negative("Care label", [colour(GREY)])
    rivals.add_negative("Recycling sign", [striped(GREY)])
    both = among_rivals(own, rivals)
    assert both.thumbnail("redwood/1") == own.thumbnail("redwood/1")
    assert both.thumbnail(f"{PREFIX}bluebird/1") == rivals.thumbnail("bluebird/1")
    assert {b.name for b in both.negatives()} == {"Care label", "Recycling sign"}
    assert {m.brand for m in both.search(colour(GREY), k=9) if m.negative} == {"Care label", "Recycling sign"}


def test_what_is_written_through_the_own_library_is_found_at_once(make):
    own = make({"Redwood": [colour(RED)]})
    both = among_rivals(own, make({"Bluebird": [colour(BLUE)], "Greenland": [colour(GREEN)]}))
    own.add("Limes", [colour((20, 240, 20))])
    assert {b.name for b in both.brands()} == {"Redwood", "Limes", "Bluebird"}
    assert names(both, colour(GREEN))[0] == "Limes"
    with pytest.raises(LibraryError):
        both.add("Yellow", [colour((250, 250, 10))])
    assert "Yellow" not in own


def test_what_is_no_brand_keeps_no_rival_away_and_an_old_reference_none_that_looks_like_it(make):
    own = make({"Redwood": [colour(RED)]})
    own.add_negative("Open", [colour(GREEN)])
    own.add("Client 7", [colour(BLUE)], valid_until=date(2001, 1, 1))
    both = among_rivals(own, make({"Open Source": [], "Greenland": [colour(GREEN)], "Bluebird": [colour(BLUE)]}))
    assert {b.name for b in both.brands()} == {"Redwood", "Client 7", "Open Source", "Greenland", "Bluebird"}


def test_a_rival_that_became_an_own_brand_meanwhile_is_no_error(make):
    own = make({"Redwood": [colour(RED)]})
    both = among_rivals(own, make({"Bluebird": [colour(BLUE)]}))
    query = Colours().embed_images([colour(BLUE)])
    assert both.nearest_of(query, [["Bluebird"]])[0][0].reference == f"{PREFIX}bluebird/1"
    own.add("Client 7", [colour(BLUE)])
    found = both.nearest_of(query, [["Bluebird", "Client 7"]])[0]
    assert (found[0], found[1].brand) == (None, "Client 7")


def test_an_empty_library_and_one_of_names_alone_have_rivals(make):
    rivals = make({"Bluebird": [colour(BLUE)]})
    for own in (make({}), make({"By Name Only": []})):
        assert names(among_rivals(own, rivals), colour(BLUE)) == ["Bluebird"]


def test_a_large_library_and_one_of_another_embedder_stand_alone(make, monkeypatch):
    own, rivals = make({"Redwood": [colour(RED)]}), make({"Bluebird": [colour(BLUE)]})
    other = make({"Bluebird": [colour(BLUE)]}, Colours(checksum="c1"))
    assert among_rivals(own, other) is own
    assert among_rivals(own) is own, "the shipped library has another embedder"
    monkeypatch.setattr("vision.library.rivals.ENOUGH", 1)
    assert among_rivals(own, rivals) is own
    monkeypatch.setattr("vision.library.rivals.ENOUGH", 2)
    assert isinstance(among_rivals(own, rivals), AmongRivals)
