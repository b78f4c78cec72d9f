"""Laws of proposing crops as references: what is chosen, how strangers are grouped, and that what is decided sticks."""

import html
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from library_fakes import Colours, near, unit
from report_fakes import EVIL

from vision.errors import LibraryError, PictureError, UsageError
from vision.library import Library, NewBrand, NewReference
from vision.library.decisions import DECIDED, Decision, Decisions, apply
from vision.library.suggestions import Gathering, Limits, Seen, Sight, clusters, propose
from vision.report.suggest import write_suggest_page
from vision.values import Candidate, Finding, Reading, Result

DIM = 49
BOX = (10.0, 20.0, 110.0, 90.0)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def acme(random):
    return unit(random.standard_normal(DIM))


@pytest.fixture
def library(tmp_path, acme):
    made = Library.create(tmp_path / "brands", embedder=Colours())
    made.extend([NewBrand("Acme", [NewReference(acme[None], "drawing")]), NewBrand("Zeta", ())])
    return made


def row(number, *findings, folder="shop"):
    return Result(f"{folder}/{number}.jpg", f"{number:064x}", 400, 300, "ok", findings=findings)


def finding(
    brand="Acme",
    probability=0.5,
    *,
    read=None,
    verdict="unknown",
    similarity=0.5,
    text=None,
    box=BOX,
    score=0.9,
    kind="logo",
):
    candidates = (Candidate(brand, similarity, probability, "acme/1", read),) if brand else ()
    reading = Reading(text, 0.9) if text else None
    named = brand if verdict == "known" else None
    return Finding(kind, box, score, verdict, named, None, probability, candidates, reading)


def gathered(library, rows, **options):
    gathering = Gathering(library, **options)
    for each in rows:
        gathering.add(each)
    return [(s.brand, s.why, s.path) for s in gathering.chosen()]


def test_a_box_is_chosen_for_what_speaks_for_it(library):
    rows = [
        row(1, finding(probability=0.5)),
        row(2, finding(probability=0.05)),
        row(3, finding(None)),
        row(4, finding("Apex", 0.05, text="ACME")),
        row(5, finding(verdict="known", similarity=0.4, text="acme")),
        row(6, finding(verdict="known", similarity=0.4, text="ACMF", read="ACMF")),
        row(7, finding(probability=0.1, text="ACMF", read="ACMF")),
    ]
    assert gathered(library, rows) == [
        ("Acme", "near", "shop/1.jpg"),
        (None, "unknown", "shop/2.jpg"),
        (None, "unknown", "shop/3.jpg"),
        ("Acme", "read", "shop/4.jpg"),
        ("Acme", "read", "shop/5.jpg"),
        ("Acme", "read", "shop/6.jpg"),
        (None, "unknown", "shop/7.jpg"),
    ]


def test_a_mark_that_is_taken_for_a_rival_is_still_nobodys_or_near_one_of_ours(library):
    """With rivals nothing of a small library was proposed: what it lacks was a rival, for certain."""
    rival = Candidate("Sony", 0.7, 0.98, "shipped/sony/1")
    stranger, near = finding(probability=0.01), finding(probability=0.4)
    rows = [
        row(1, replace(stranger, candidates=(rival, *stranger.candidates))),
        row(2, replace(near, candidates=(rival, *near.candidates))),
        row(3, replace(near, candidates=(rival,))),
    ]
    assert gathered(library, rows) == [
        (None, "unknown", "shop/1.jpg"),
        ("Acme", "near", "shop/2.jpg"),
        (None, "unknown", "shop/3.jpg"),
    ]


def test_what_is_known_small_unsure_or_of_no_brand_of_ours_is_left(library):
    rows = [
        row(1, finding(verdict="known", similarity=0.8)),
        row(2, finding(verdict="known", similarity=0.8, text="Acme")),  # a reference looks like it
        row(3, finding(box=(0.0, 0.0, 300.0, 20.0))),
        row(4, finding(score=0.1)),
        row(5, finding(kind="product")),
        row(6, finding("Other Library's", 0.6)),
        Result("shop/7.jpg", None, None, None, "failed"),
    ]
    assert gathered(library, rows) == []


def test_the_choice_is_the_same_in_any_order_and_when_rows_come_twice(library):
    limits = Limits(per_brand=3, strangers=4, crops=2)
    rows = [row(i, finding(probability=0.3 + i / 100)) for i in range(9)]
    rows += [row(100 + i, finding(None)) for i in range(9)]
    expected = gathered(library, rows, limits=limits)
    assert [why for _, why, _ in expected].count("near") == 2
    assert [why for _, why, _ in expected].count("unknown") == 4
    assert {path for _, why, path in expected if why == "near"} == {"shop/7.jpg", "shop/8.jpg"}
    for seed in range(5):
        mixed = rows * 2
        np.random.default_rng(seed).shuffle(mixed)
        assert gathered(library, mixed, limits=limits) == expected


def test_an_ordinary_word_alone_proposes_no_brand_of_that_name(library):
    library.extend([NewBrand("Fresh", ()), NewBrand("Xyl", ())])
    rows = [row(1, finding(None, text="FRESH")), row(2, finding(None, text="XYL"))]
    assert gathered(library, rows) == [(None, "unknown", "shop/1.jpg"), ("Xyl", "read", "shop/2.jpg")]


def test_of_one_picture_a_brand_gets_its_best_box(library):
    one = row(1, finding(probability=0.3), finding(probability=0.6, box=(200.0, 20.0, 300.0, 90.0)))
    gathering = Gathering(library)
    gathering.add(one)
    assert [s.probability for s in gathering.chosen()] == [0.6]


def test_strangers_are_sampled_evenly(library):
    gathering = Gathering(library, limits=Limits(strangers=200))
    for i in range(2000):
        gathering.add(row(i, finding(None)))
    numbers = [int(s.picture, 16) for s in gathering.chosen()]
    assert len(numbers) == 200
    # of 200 of 2,000 fewer than 40 come from each quarter once in a thousand years of testing
    assert min(np.histogram(numbers, bins=4, range=(0, 2000))[0]) >= 30


def seen(number, vector, brand=None, why=None, folder="shop", rank=0.5, text=None):
    sight = Sight(
        f"{folder}/{number}.jpg",
        f"{number:064x}",
        BOX,
        brand,
        why or ("near" if brand else "unknown"),
        rank,
        rank,
        text,
    )
    return Seen(sight, f"/{folder}/{number}.jpg", np.asarray(vector, np.float32), b"\x89PNG")


def test_strangers_that_look_alike_are_a_group_and_those_of_most_folders_come_first(library, random):
    one, two = unit(random.standard_normal((2, DIM)))
    crops = [seen(i, near(one, 0.95, random), folder="a") for i in range(5)]
    crops += [seen(10 + i, near(two, 0.95, random), folder="bcd"[i]) for i in range(3)]
    crops += [seen(20, random.standard_normal(DIM) / 7)]
    proposal = propose(crops, library)
    assert [(g.brand, g.size, g.pictures, g.folders) for g in proposal.groups] == [(None, 3, 3, 3), (None, 5, 5, 1)]
    assert proposal.left_out == {"seen once": 1}
    assert [g.to_dict() for g in propose(crops[::-1], library).groups] == [g.to_dict() for g in proposal.groups]


def test_the_same_picture_twice_makes_no_group(library, random):
    one = unit(random.standard_normal(DIM))
    crops = [seen(1, near(one, 0.99, random)), seen(1, near(one, 0.99, random))]
    assert propose(crops, library).groups == ()


def test_of_many_folders_each_is_shown_once_before_any_again(library, random):
    one = unit(random.standard_normal(DIM))
    crops = [seen(i, near(one, 0.97, random), folder="big" if i < 20 else f"f{i}") for i in range(23)]
    (group,) = propose(crops, library, limits=Limits(shown=6)).groups
    folders = [s.seen.sight.path.split("/")[0] for s in group.suggestions]
    assert sorted(folders[:4]) == ["big", "f20", "f21", "f22"]
    assert folders[4:] == ["big", "big"]


def test_of_a_brand_only_what_is_new_is_proposed(library, acme, random):
    fresh = near(acme, 0.6, random)
    crops = [
        seen(1, near(acme, 0.95, random), "Acme"),
        seen(2, fresh, "Acme", rank=0.6),
        seen(3, near(fresh, 0.97, random), "Acme", rank=0.5),
        seen(4, near(acme, 0.5, random), "Zeta", "read", rank=1.2),
    ]
    proposal = propose(crops, library)
    assert [(g.brand, g.why, [s.seen.sight.path for s in g.suggestions]) for g in proposal.groups] == [
        ("Zeta", "read", ["shop/4.jpg"]),
        ("Acme", "near", ["shop/2.jpg"]),
    ]
    zeta, mine = proposal.groups
    assert (zeta.suggestions[0].reference, mine.suggestions[0].reference) == (None, "acme/1")
    assert mine.suggestions[0].similarity == pytest.approx(0.6, abs=1e-3)
    assert proposal.left_out == {"a reference looks like it": 1, "like another shown": 1}


def test_a_stranger_of_an_old_run_is_proposed_for_the_brand_that_it_resembles_now(library, acme, random):
    (group,) = propose([seen(1, near(acme, 0.85, random))], library).groups
    assert (group.brand, group.why) == ("Acme", "near")


def test_crops_that_look_like_background_are_no_proposal(tmp_path, random):
    patch = unit(random.standard_normal(DIM))
    library = Library.create(tmp_path / "b", embedder=Colours(background=patch[None]))
    crops = [seen(i, near(patch, 0.9, random)) for i in range(3)]
    proposal = propose(crops, library)
    assert (proposal.groups, proposal.left_out) == ((), {"looks like background": 3})


def plain_clusters(vectors, least):
    """Average linkage by looking at every pair of groups again and again."""
    groups = [[i] for i in range(len(vectors))]
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    while len(groups) > 1:
        pairs = itertools.combinations(range(len(groups)), 2)
        mean, a, b = max((cosines[np.ix_(groups[a], groups[b])].mean(), -a, -b) for a, b in pairs)
        if mean < least:
            break
        merged = groups[-a] + groups[-b]
        groups = [g for i, g in enumerate(groups) if i not in (-a, -b)] + [merged]
    return sorted((sorted(g) for g in groups), key=lambda g: (-len(g), g))


@pytest.mark.parametrize("seed", range(6))
def test_groups_are_those_of_plain_average_linkage(seed):
    random = np.random.default_rng(seed)
    hearts = unit(random.standard_normal((5, DIM)))
    vectors = np.stack([near(hearts[random.integers(5)], random.uniform(0.7, 0.95), random) for _ in range(40)])
    for least in (0.4, 0.6, 0.8):
        assert clusters(vectors, least=least, neighbours=40) == plain_clusters(vectors, least)


def test_a_chain_does_not_become_one_group():
    angles = np.linspace(0, np.pi, 60)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = clusters(arc, least=0.9)
    assert len(groups) > 2
    for group in groups:
        pairs = [float(arc[a] @ arc[b]) for a, b in itertools.combinations(group, 2)]
        assert np.mean(pairs) >= 0.9 - 0.02


# --- what is decided sticks ---


def decision(number=1, verb="accept", brand="Acme", box=BOX, **other):
    sight = Sight(f"shop/{number}.jpg", f"{number:064x}", box, brand, "near", 0, 0, None)
    row = {
        "id": sight.id,
        "decision": verb,
        "brand": brand,
        "path": sight.path,
        "file": sight.path,
        "picture": sight.picture,
    }
    return Decision.from_dict(row | {"box": list(box)} | other)


def crop_of(decision):
    number = int(decision.picture, 16)
    return np.random.default_rng(number).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_what_is_accepted_joins_its_brand_and_is_found(library):
    applied = apply(library, [decision(1), decision(2, brand="New One")], crop_of)
    assert applied.references == ("acme/2", "new-one/1")
    again = Library.open(library.path, embedder=Colours())
    assert again.search(crop_of(decision(2)))[0].brand == "New One"
    (reference,) = again.references("New One")
    assert (reference.kind, reference.source) == ("photo", "shop/2.jpg#10,20,110,90@000000000000")
    assert again.thumbnail("new-one/1") is not None


def test_deciding_twice_changes_nothing(library):
    decisions = [decision(1), decision(2, "refuse")]
    first = apply(library, decisions, crop_of)
    version = library.version
    second = apply(library, decisions, crop_of)
    assert (len(first.references), first.refused, first.before) == (1, 1, 0)
    assert (second.references, second.refused, second.before) == ((), 0, 2)
    assert library.version == version


def test_a_reference_that_was_added_before_a_crash_is_not_added_again(library):
    apply(library, [decision(1)], crop_of)
    (library.path / DECIDED).unlink()
    assert apply(library, [decision(1)], crop_of).references == ()
    assert len(library.references("Acme")) == 2


def test_what_was_accepted_before_a_rollback_can_be_accepted_again(library):
    """It was "decided before" and never added any more."""
    version = library.version
    apply(library, [decision(1), decision(2, "refuse")], crop_of)
    library.rollback(version)
    again = apply(library, [decision(1), decision(2, "refuse")], crop_of)
    assert (len(again.references), again.before) == (1, 1)
    assert apply(library, [decision(1)], crop_of).before == 1


def test_what_an_older_version_accepted_is_not_added_again(library):
    apply(library, [decision(1)], crop_of)
    noted = library.reference("acme/2")
    older = replace(noted, source=str(noted.source).partition("@")[0], stored=None)
    library.change(lambda state: replace(state, references=tuple(older if r == noted else r for r in state.references)))
    assert library.reference("acme/2").source == "shop/1.jpg#10,20,110,90"
    assert apply(library, [decision(1)], crop_of).before == 1


def test_another_picture_at_the_same_path_is_another_reference(library):
    """With its mark at the same place it was taken for the one before it."""
    first, other = decision(1, picture=f"1{0:063x}"), decision(2, path="shop/1.jpg", picture=f"2{0:063x}")
    assert apply(library, [first], crop_of).references == ("acme/2",)
    assert apply(library, [other], crop_of).references == ("acme/3",)


def test_a_crop_accepted_as_what_is_no_brand_fails_alone(library):
    """All decisions of the file failed with it."""
    library.add_negative("Care label", crop_of(decision(9)))
    wrong = decision(1, brand="care label")
    applied = apply(library, [wrong, decision(2)], crop_of)
    assert applied.failed == ((wrong.id, "'care label' stands for what is no brand"),)
    assert applied.references == ("acme/2",)


def test_the_last_word_on_a_crop_counts(library):
    assert apply(library, [decision(1), decision(1, "refuse")], crop_of).references == ()
    assert apply(library, [decision(1)], crop_of).references == ("acme/2",)


def test_what_was_accepted_and_then_refused_is_removed(library):
    """It said "1 refused", and the reference stayed."""
    apply(library, [decision(1), decision(2)], crop_of)
    refused = apply(library, [decision(1, "refuse")], crop_of)
    assert (refused.removed, refused.refused) == (("acme/2",), 1)
    assert [r.id for r in library.references("Acme")] == ["acme/1", "acme/3"]
    assert apply(library, [decision(1, "refuse")], crop_of).before == 1
    elsewhere = apply(library, [replace(decision(2), brand="Zeta")], crop_of)
    assert (elsewhere.references, elsewhere.removed) == (("zeta/1",), ("acme/3",))


def test_a_refusal_for_one_brand_leaves_what_was_accepted_for_another(library):
    """The same crop is proposed for each brand under its own id; applying the older file again took the newer answer back."""
    older, newer = decision(1, "refuse"), decision(1, brand="Zeta")
    apply(library, [older], crop_of)
    assert apply(library, [newer], crop_of).references == ("zeta/1",)
    for again in ([older], [older, newer]):
        applied = apply(library, again, crop_of)
        assert (applied.removed, applied.references, applied.before) == ((), (), len(again))
    both = apply(library, [decision(2), decision(2, brand="Zeta")], crop_of)
    assert len(both.references) == 2
    assert apply(library, [decision(2), decision(2, brand="Zeta")], crop_of).before == 2


def test_what_was_accepted_before_its_brand_was_renamed_stays(library):
    apply(library, [decision(1)], crop_of)
    library.rename("Acme", "Apex")
    assert apply(library, [decision(1)], crop_of).before == 1
    assert apply(library, [decision(3)], crop_of).references == (
        "acme-2/1",
    )  # what is called Acme now is another brand
    library.remove_reference("acme/2")
    assert apply(library, [decision(1)], crop_of).references == ("acme/3",)
    assert apply(library, [decision(1, "refuse")], crop_of).removed == ("acme/3",)


def test_what_an_older_version_accepted_can_be_refused(library):
    apply(library, [decision(1)], crop_of)
    noted = library.reference("acme/2")
    older = replace(noted, source=str(noted.source).partition("@")[0], stored=None)
    library.change(lambda state: replace(state, references=tuple(older if r == noted else r for r in state.references)))
    assert apply(library, [decision(1, "refuse")], crop_of).removed == ("acme/2",)


def test_what_is_refused_is_not_proposed_again_for_that_brand(library):
    apply(library, [decision(1, "refuse")], crop_of)
    decisions = Decisions.read(library.path)
    moved = (14.0, 24.0, 112.0, 92.0)  # another detector's box round the same mark
    rows = [row(1, finding(box=moved)), row(1, finding("Zeta", box=moved)), row(2, finding())]
    rows.append(row(1, finding(box=(300.0, 200.0, 390.0, 290.0))))
    gathering = Gathering(library, decisions)
    for each in rows:
        gathering.add(each)
    assert sorted((str(s.brand), s.picture[-1], s.box[0]) for s in gathering.chosen()) == [
        ("Acme", "1", 300.0),
        ("Acme", "2", 10.0),
        ("Zeta", "1", 14.0),
    ]
    assert gathering.decided == 1


def test_a_refusal_survives_renaming_and_covers_copies_of_the_picture(library):
    apply(library, [decision(1, "refuse")], crop_of)
    library.rename("Acme", "Acme International")
    decisions = Decisions.read(library.path)
    vector = library.embedder.embed_images([crop_of(decision(1))])[0]
    copy = seen(99, vector, "Acme International")
    assert propose([copy], library, decisions=decisions).left_out == {"like one decided on": 1}
    assert len(propose([copy], library).groups) == 1


def test_what_is_accepted_for_one_brand_is_proposed_for_no_other(library):
    apply(library, [decision(1, brand="Other Name")], crop_of)
    assert gathered(library, [row(1, finding())], decisions=Decisions.read(library.path)) == []


def gone(decision):
    raise PictureError("not_found", "gone")


def test_an_accepted_picture_that_is_gone_fails_and_a_refused_one_does_not_need_to_be_there(library):
    applied = apply(library, [decision(1), decision(2, "refuse")], gone)
    assert ([id_ for id_, _ in applied.failed], applied.refused) == ([decision(1).id], 1)
    assert apply(library, [decision(1)], crop_of).references == ("acme/2",)


def test_undecodable_paths_are_kept(library):
    odd = decision(1, path=f"shop/{EVIL}.jpg")
    apply(library, [odd], crop_of)
    assert "\\udcff" in str(library.references("Acme")[-1].source)
    assert len(Decisions.read(library.path)) == 1


def test_the_shipped_library_and_damaged_decisions_are_refused(library, tmp_path):
    fixed = Library.build(tmp_path / "fixed", [], embedder=Colours(), read_only=True)
    with pytest.raises(LibraryError) as caught:
        apply(fixed, [decision(1, "refuse")], crop_of)
    assert caught.value.code == "read_only"
    (library.path / DECIDED).write_text('{"id": "x"}\n')
    with pytest.raises(LibraryError) as caught:
        Decisions.read(library.path)
    assert caught.value.code == "damaged"


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "maybe"},
        {"brand": None},
        {"brand": "  "},
        {"box": [1, 2, 3]},
        {"box": [9, 9, 1, 1]},
        {"path": 3},
        {"id": None},
    ],
)
def test_a_row_that_is_no_decision_is_refused(change):
    with pytest.raises(UsageError):
        decision(1, **change)


def page(tmp_path, library, crops, **options):
    out = tmp_path / "suggest.html"
    write_suggest_page(
        propose(crops, library), out, **{"thumbnail": lambda _: None, "counts": {"pictures": 3}} | options
    )
    return out.read_text(encoding="utf-8")


def test_the_page_holds_what_a_decision_needs_and_fetches_nothing(tmp_path, library, acme, random):
    stranger = unit(random.standard_normal(DIM))
    crops = [seen(1, near(acme, 0.6, random), "Acme", folder=EVIL.replace("/", ""), text=EVIL)]
    crops += [seen(5 + i, near(stranger, 0.95, random)) for i in range(2)]
    text = page(tmp_path, library, crops, missing=[(EVIL, "gone")])
    assert "<script>alert" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "no picture, vectors only" in text
    rows = [json.loads(html.unescape(found)) for found in re.findall(r'data-suggestion="([^"]*)"', text)]
    assert [r["brand"] for r in rows] == ["Acme", None, None]
    for found in rows:
        Decision.from_dict(found | {"decision": "refuse"})
    assert text == page(tmp_path, library, crops, missing=[(EVIL, "gone")])


def test_every_control_of_the_page_has_a_name(tmp_path, library, acme, random):
    text = page(tmp_path, library, [seen(1, near(acme, 0.6, random), "Acme")])
    for control in re.findall(r'<(?:input|select)[^>]*name="(\w+)"', text):
        assert re.search(rf'<label[^>]*>(?:(?!</label>).)*name="{control}"', text, re.DOTALL)
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", text))
    assert all(re.search(r"type=", button) for button in re.findall(r"<button[^>]*>", text))
