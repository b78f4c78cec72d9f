"""Experiments on a library, against the same library really changed: what is taken out, added, hidden or made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_fakes import Colours

from vision.evaluate.recognition import fewshot, openset, size
from vision.evaluate.recognition.crops import Crops
from vision.evaluate.recognition.rankers import by_name, by_similarity, judge
from vision.evaluate.recognition.worlds import Neighbors, World, families
from vision.library import Library, NewBrand, NewReference
from vision.library.names import is_kin
from vision.values import READ_CLASSES, Match, NameMatch, TextLine

NAMES = ("Google", "Google Drive", "Acme", "Brindlow", "Çelik & Co", "Ōto", "Sony", "Sonya")
seeds = st.integers(0, 2**32 - 1)


def units(random, n, d=49):
    rows = random.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    random = np.random.default_rng(1)
    brands = [NewBrand(name, [NewReference(units(random, 2))]) for name in NAMES]
    return Library.build(tmp_path_factory.mktemp("library") / "brands", brands, embedder=Colours())


def crops_of(embeddings, brands, neighbors, names=None):
    n = len(embeddings)
    return Crops(
        (Path("a.jpg"),),
        np.arange(n),
        np.tile(np.array([[0, 0, 20, 20]], np.float32), (n, 1)),
        tuple(brands),
        ("set",) * n,
        ("source",) * n,
        np.full(n, 20, np.float32),
        np.full(n, 20, np.float32),
        np.full(n, 0.7, np.float32),
        embeddings,
        np.zeros(n, np.float32),
        neighbors,
        names,
        np.full(n, names is not None),
        np.zeros(n, bool),
        None,
        {},
        np.zeros(n, bool),
    )


@pytest.fixture(scope="module")
def crops(library):
    embeddings = units(np.random.default_rng(2), 12)
    found = library.search_embeddings(embeddings, k=len(NAMES))
    return crops_of(embeddings, [NAMES[i % len(NAMES)] for i in range(12)], Neighbors.of(found))


def brands_of(looks):
    return [[(m.brand, round(m.similarity, 5)) for m in row] for row in looks.matches]


def searched(library, crops, brands):
    found = library.subset(brands=brands).search_embeddings(crops.embeddings, k=len(NAMES))
    return [[(m.brand, round(m.similarity, 5)) for m in row] for row in found]


def test_a_world_with_brands_taken_out_is_the_library_without_them_and_their_kin(library, crops):
    looks = World(6, (crops.neighbors,), without=frozenset({"Google"})).look(crops)
    assert brands_of(looks) == searched(library, crops, [n for n in NAMES if not n.startswith("Google")])
    kept = World(7, (crops.neighbors,), without=frozenset({"Sony"})).look(crops)
    assert brands_of(kept) == searched(library, crops, [n for n in NAMES if n != "Sony"])  # Sonya is no kin of Sony


def test_a_world_of_some_brands_only_is_the_library_of_those(library, crops):
    looks = World(2, (crops.neighbors,), only=frozenset({"Acme", "celik & co"})).look(crops)
    assert brands_of(looks) == searched(library, crops, ["Acme", "Çelik & Co"])


def test_with_its_own_brand_out_no_crop_sees_it_or_its_kin(crops):
    looks = World(8, (crops.neighbors,), own_out=True).look(crops)
    for row, brand in zip(looks.matches, crops.brands, strict=True):
        assert row
        assert not any(is_kin(m.brand, brand) for m in row)


def test_photographs_join_the_brand_of_their_name(crops):
    table = np.full((12, 2), -np.inf, np.float32)
    table[3] = 0.99, 0.98
    photos = Neighbors.table(("ACME", "New One"), table, "photo")
    looks = World(9, (crops.neighbors, photos)).look(crops)
    assert [(m.brand, m.reference) for m in looks.matches[3][:2]] == [("ACME", "photo"), ("New One", "photo")]
    assert brands_of(looks)[0] == brands_of(World(8, (crops.neighbors,)).look(crops))[0]
    assert judge(by_similarity(looks), ["Acme"] * 12).rank[3] == 1


def test_what_looks_like_a_brand_and_is_none_is_never_ranked():
    near = Neighbors.of([[Match("Acme", None, "acme/2", 0.9, True), Match("Acme", None, "acme/1", 0.8)]])
    looks = World(1, (near,)).look(crops_of(np.ones((1, 49), np.float32), ["Acme"], near))
    assert [(m.reference, m.negative) for m in looks.matches[0]] == [("acme/2", True), ("acme/1", False)]
    assert [one.reference for one in by_similarity(looks)[0]] == ["acme/1"]


def test_names_of_brands_taken_out_are_not_read(crops):
    read = tuple(NameMatch(name, name, name, 2.0, True, 0, 0.9, (0, 0, 9, 9)) for name in ("Google Drive", "Acme"))
    one = crops_of(crops.embeddings, crops.brands, crops.neighbors, (read,) * 12)
    looks = World(6, (one.neighbors,), without=frozenset({"Google"})).look(one)
    assert [[b.brand for b in row] for row in by_name(looks)] == [["Acme"]] * 12
    own = World(8, (one.neighbors,), own_out=True).look(one)
    assert [b.brand for b in by_name(own)[0]] == ["Acme"]  # a crop of Google
    assert "Google Drive" in [m.brand for m in (*own.matches[2][:10], *own.named[2])]  # read, so it is evidence


def test_parts_joined_are_the_whole(crops):
    near = crops.neighbors
    parts = [near.take(np.arange(5)), near.take(np.arange(5, 12))]
    again = crops_of(crops.embeddings, crops.brands, Neighbors.joined(parts))
    assert brands_of(World(8, (again.neighbors,)).look(again)) == brands_of(World(8, (near,)).look(crops))


@given(seeds, st.integers(1, 4), st.booleans())
def test_photographs_drawn_are_as_many_as_asked_and_never_of_the_querys_group(seed, shots, alike):
    random = np.random.default_rng(seed)
    brands = [("A", "a", "B", "C")[i] for i in random.integers(0, 4, 14)]
    pool = fewshot.Pool(tuple(brands), random.integers(0, 5, 14), units(random, 14, 6))
    queries, groups = units(random, 3, 6), random.integers(0, 5, 3)
    drawn = fewshot.draw(pool, queries, groups, shots, seed, alike=alike)
    assert sorted({b.lower() for b in brands}) == [n.lower() for n in drawn.names]
    for q in range(3):
        for place, name in enumerate(drawn.names):
            usable = [i for i in range(14) if brands[i].lower() == name.lower() and pool.groups[i] != groups[q]]
            near = sorted((float(queries[q] @ pool.embeddings[i]) for i in usable), reverse=True)
            # the best of a few drawn is one of those that so many worse ones leave room for
            possible = near[: max(len(near) - shots + 1, 1)] or [-np.inf]
            assert min(abs(drawn.similarity[q, place] - p) if near else 0 for p in possible) < 1e-5
            assert near or drawn.similarity[q, place] == -np.inf


def test_every_photograph_is_drawn_sometimes_and_all_when_as_many_are_asked():
    random = np.random.default_rng(0)
    pool = fewshot.Pool(("A",) * 4, np.arange(4), units(random, 4, 6))
    queries = np.tile(units(random, 1, 6), (400, 1))
    similarity = pool.embeddings @ queries[0]
    one = fewshot.draw(pool, queries, np.full(400, 9), 1, 0).similarity[:, 0]
    shares = [(np.abs(one - s) < 1e-6).mean() for s in similarity]
    assert shares == pytest.approx([0.25] * 4, abs=0.1)
    alike = fewshot.draw(pool, queries, np.full(400, 9), 1, 0, alike=True).similarity[:, 0]
    assert len(np.unique(alike.round(5))) == 1
    every = fewshot.draw(pool, queries, np.full(400, 9), 4, 0).similarity[:, 0]
    assert every == pytest.approx(similarity.max(), abs=1e-6)


def test_halves_take_kin_out_together_and_the_same_seed_gives_the_same():
    halves = openset.halves(NAMES, 12)
    assert halves == openset.halves(NAMES, 12)
    assert len(set(halves)) > 3
    for out in halves:
        assert ("Google" in out) == ("Google Drive" in out)
        assert 2 <= len(out) <= 5
    assert families(NAMES)["Google Drive"] == "Google"
    assert families(NAMES)["Sonya"] == "Sonya"


def test_made_up_brands_are_as_near_to_their_parent_as_brands_are_to_rivals(library):
    parents = size.Parents.of(library)
    every, owner = library.all_vectors(), np.repeat(np.arange(len(NAMES)), 2)
    rivals = [(every[owner == b] @ every[owner != b].T).max() for b in range(len(NAMES))]
    assert sorted(parents.rivals) == pytest.approx(sorted(rivals), abs=1e-5)
    vectors, starts = size.made_up(parents, 200, 3)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert len(starts) == 200
    nearest = (vectors @ every.T).max(axis=1)
    assert nearest.min() >= min(rivals) - 1e-4
    again, _ = size.made_up(parents, 200, 3)
    assert (vectors == again).all()


def test_made_up_brands_are_searched_exactly(library, crops):
    parents, names = size.Parents.of(library), size.invented_names(4_100, NAMES)
    assert len({name.casefold() for name in (*names, *NAMES)}) == 4_108
    near = size.strangers(parents, crops.embeddings, names)
    for start in (0, 2_000, 4_000):
        some = names[start : start + 2_000]
        vectors, starts = size.made_up(parents, len(some), start)
        best = np.maximum.reduceat(crops.embeddings @ vectors.T, starts, axis=1).max(axis=1)
        assert (near.similarity[:, 0] >= best - 1e-6).all()
    looks = World(4_108, (crops.neighbors, near)).look(crops)
    assert any(m.reference == "made up" for row in looks.matches for m in row[:3])


def test_clear_letters_are_evidence_only_of_those_who_read(crops):
    lettered = replace(crops, clear_text=np.arange(12) == 3)
    looks = World(len(NAMES), (lettered.neighbors,)).look(lettered)
    assert [i for i in range(12) if looks.evidence(i, read=True).clear_text] == [3]
    assert not any(looks.evidence(i, read=False).clear_text for i in range(12))
    assert lettered.take(np.array([3, 4])).clear_text.tolist() == [True, False]


def test_a_part_of_a_library_holds_what_must_be_kept():
    part = size.part(NAMES, ["acme", "Sony"], 4, 0)
    assert len(part) == 4
    assert {"acme", "Sony"} <= part
    assert "Acme" not in part
    assert size.part(NAMES, ["acme", "Sony"], 1, 0) == {"acme", "Sony"}


def test_made_up_names_compete_with_those_that_were_read(crops):
    def line(text):
        steps = np.full((2 * len(text), 38), 1e-4, np.float32)
        for i, letter in enumerate(text):
            steps[2 * i, READ_CLASSES.index(letter)] = 1
            steps[2 * i + 1, 36] = 1
        return TextLine(text, 0.95, (0, 0, 90, 30), 28, steps / steps.sum(axis=1, keepdims=True))

    acme = (NameMatch("Acme", "Acme", "acme", 1.0, True, 0, 0.9, (0, 0, 9, 9)),)
    one = replace(crops.take(np.arange(2)), names=(acme, ()), lines=((line("acme"),), (line("brindlovo"),)))
    read = size.with_names(one, ["Brindlovo", "Takibe"]).names
    assert [[m.brand for m in found][:1] for found in read] == [["Acme"], ["Brindlovo"]]
    assert read[1][0].accepted
    assert size.with_names(crops, ["Brindlovo"]) is crops  # no lines were kept
