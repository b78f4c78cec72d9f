"""Laws of what the page tells of a finding: who came second and by how much, and whom what was read names."""

from dataclasses import replace

import pytest
from report_fakes import a_finding

from vision.report.evidence import margin, orientation_told, reading_told, rivals_told, runner_up
from vision.values import Candidate, Finding, Reading


def found(*candidates, verdict="known", text=None):
    named = candidates[0].brand if verdict == "known" else None
    return Finding("logo", (0, 0, 9, 9), 0.9, verdict, named, None, 0.9, candidates, text)


ACME = Candidate("Acme", 0.8, 0.9, "acme/0", "ACME")
APEX = Candidate("Apex", 0.55, 0.04, "apex/0")
NAMED = Candidate("Nameonly", None, 0.9, None, "NAMEONLY")


def told(finding):
    return rivals_told(finding).replace("\N{NO-BREAK SPACE}", " ")


def test_the_runner_up_is_told_with_probability_and_margin():
    assert runner_up(found(ACME, APEX)) == APEX
    assert margin(found(ACME, APEX)) == pytest.approx(0.25)
    assert told(found(ACME, APEX)) == "next Apex 4 %, margin 0.25"
    assert told(found(ACME, APEX, verdict="ambiguous")) == "next Apex 4 %, margin 0.25"


def test_a_winner_that_looks_less_alike_says_so():
    assert told(found(Candidate("Acme", 0.5, 0.9, "acme/0", "ACME"), APEX)) == "next Apex 4 %, margin −0.05"


def test_brands_known_by_name_have_no_margin():
    assert margin(found(NAMED, APEX)) is None
    assert told(found(NAMED, APEX)) == "next Apex 4 %, no margin: Nameonly is known by name"
    assert told(found(ACME, NAMED)) == "next Nameonly 90 %, no margin: Nameonly is known by name"


def test_of_an_unknown_mark_the_nearest_brand_is_told_and_how_far_it_is():
    assert runner_up(found(APEX, ACME, verdict="unknown")) is None
    assert told(found(APEX, verdict="unknown")) == "nearest Apex, similarity 0.55, 4 %"
    assert told(found(NAMED, verdict="unknown")) == "nearest Nameonly, known by name, 90 %"
    assert rivals_told(Finding("logo", (0, 0, 9, 9), 0.9, "unknown", None, None, 0.0)) is None


def test_a_brand_that_could_not_be_named_is_told_as_a_rival():
    rival = replace(APEX, rival=True)
    assert told(found(rival, verdict="unknown")) == "nearest Apex (a rival, never named), similarity 0.55, 4 %"
    assert told(found(ACME, rival)) == "next Apex (a rival, never named) 4 %, margin 0.25"


@pytest.mark.parametrize(("orientation", "words"), [
    ("upright", None), ("mirrored", "recognised mirrored"), ("turned_90", "recognised turned by 90°"),
    ("turned_180", "recognised upside-down"), ("turned_270", "recognised turned by 270°"),
])  # fmt: skip
def test_how_a_mark_stands_is_told_unless_it_is_upright(orientation, words):
    assert orientation_told(replace(found(ACME), orientation=orientation)) == words


def test_a_probability_that_was_rounded_away_is_not_none():
    assert told(found(ACME, Candidate("Apex", 0.55, 0.0, "apex/0"))).startswith("next Apex <1 %")


def test_a_single_brand_has_no_rival():
    assert told(found(ACME)) == "no other brand comes near"


def test_what_was_read_is_told_with_the_brand_that_it_fits():
    assert reading_told(a_finding(text_box=(0, 0, 5, 5))) == "reads “ACME” fits Acme"
    assert reading_told(found(APEX, ACME, text=Reading("ACME", 0.95))) == "reads “ACME” fits Acme"
    assert reading_told(found(APEX, text=Reading("SALE", 0.95))) == "reads “SALE” fits none of these brands"
    assert reading_told(found(ACME, text=Reading("SALE", 0.95))) == "reads “SALE”, “ACME” fits Acme"
    assert reading_told(found(APEX)) is None


def test_a_doubtful_reading_says_how_doubtful():
    doubtful = reading_told(found(APEX, text=Reading("X", 0.31))).replace("\N{NO-BREAK SPACE}", " ")
    assert doubtful == "reads “X” (31 % sure) fits none of these brands"
