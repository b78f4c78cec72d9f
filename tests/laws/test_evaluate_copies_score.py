"""What claims on a battery are worth: hand-made cases, and a plain reading of the same figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.evaluate.copies.battery import Query
from vision.evaluate.copies.score import (
    Claim,
    best_claims,
    false_claims,
    micro_ap,
    missed_copies,
    misses_by_edit,
    score_claims,
)

# five copies by three edits of two families, and one copy of a stranger
TRUTH = [
    Query("q1", "a", "border", "frame"),
    Query("q2", "b", "border", "frame"),
    Query("q3", "a", "meme", "frame"),
    Query("q4", "b", "crop", "cut"),
    Query("q5", "c", "crop", "cut"),
    Query("q6", None, "crop", "cut"),
]


def claims(*rows):
    return [Claim(*row) for row in rows]


def test_all_that_is_right_and_nothing_else_is_perfect():
    found = score_claims(
        TRUTH, claims(("q1", "a", 9), ("q2", "b", 8), ("q3", "a", 7), ("q4", "b", 6), ("q5", "c", 5)), 36
    )
    assert (found["micro_ap"], found["false_claims"], found["claims"], found["queries"]) == (1, 0, 5, 6)
    for bar in ("shipped", "fp_rate", "zero_fp"):
        assert (found[bar]["mean"], found[bar]["false"], found[bar]["bar"]) == (1, 0, None)


def test_nothing_claimed_is_nothing_found():
    found = score_claims(TRUTH, [], 36)
    assert (found["micro_ap"], found["claims"], found["shipped"]["mean"]) == (0, 0, 0)
    assert found["micro_ap_interval"] == [0, 0]


def test_a_false_claim_costs_what_is_surer_of_nothing_after_it():
    # right, false, right, right; two copies are never claimed: precisions 1, 2/3 and 3/4
    found = score_claims(TRUTH, claims(("q1", "a", 9), ("q6", "a", 8), ("q2", "b", 7), ("q4", "b", 6)), 36)
    assert found["micro_ap"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert found["zero_fp"]["bar"] == 8
    assert found["zero_fp"]["edits"] == {"border": 0.5, "meme": 0, "crop": 0}
    assert found["shipped"]["edits"] == {"border": 1, "meme": 0, "crop": 0.5}
    assert (found["shipped"]["false"], found["zero_fp"]["false"]) == (1, 0)


def test_a_family_is_the_mean_of_its_edits_and_not_of_its_copies():
    found = score_claims(TRUTH, claims(("q1", "a", 9), ("q2", "b", 8), ("q4", "b", 7)), 36)["shipped"]
    assert found["families"] == {"frame": 0.5, "cut": 0.5}  # of the three framed copies two are found
    assert found["mean"] == pytest.approx((1 + 0 + 0.5) / 3)


def test_what_is_as_sure_as_a_false_claim_counts_for_nothing():
    found = score_claims(TRUTH, claims(("q1", "a", 5), ("q2", "a", 5)), 36)
    assert found["micro_ap"] == 0.5 / 5
    assert found["zero_fp"]["mean"] == 0
    assert found["shipped"]["edits"]["border"] == 0.5


def test_a_pair_that_is_claimed_twice_counts_once_at_its_best():
    rows = claims(("q1", "a", 5), ("q1", "a", 9), ("q2", "a", 7), ("q2", "a", 3))
    assert [(c.query, c.score) for c in best_claims(rows)] == [("q1", 9), ("q2", 7)]
    found = score_claims(TRUTH, rows, 36)
    assert (found["claims"], found["false_claims"], found["zero_fp"]["edits"]["border"]) == (2, 1, 0.5)


def test_a_million_pairs_allow_one_false_claim_and_one_pair_less_allows_none():
    rows = claims(("q1", "a", 9), ("q6", "a", 8), ("q2", "b", 7), ("q3", "c", 6.5), ("q4", "b", 6))
    million, less = (score_claims(TRUTH, rows, pairs)["fp_rate"] for pairs in (1_000_000, 999_999))
    assert (million["bar"], million["false"], million["edits"]["border"]) == (6.5, 1, 1)
    assert (less["bar"], less["false"], less["edits"]["border"]) == (8, 0, 0.5)
    assert score_claims(TRUTH, rows, 2_000_000)["fp_rate"]["edits"]["crop"] == 0.5


def test_what_is_claimed_is_at_the_operating_point_or_above():
    rows = claims(("q1", "a", -31), ("q2", "b", -32), ("q6", "c", -31))
    found = score_claims(TRUTH, rows, 36, bar=-31)["shipped"]
    assert (found["edits"]["border"], found["false"], found["bar"]) == (0.5, 1, -31)
    assert [row["query"] for row in false_claims(TRUTH, rows, -31)] == ["q6"]
    assert [q.query for q in missed_copies(TRUTH, rows, -31)] == ["q2", "q3", "q4", "q5"]


def test_false_claims_say_what_the_picture_was_made_from():
    rows = false_claims(TRUTH, [Claim("q6", "a", 1.0, "crop"), Claim("q2", "a", 2.0), Claim("q1", "a", 3.0)])
    assert [(r["query"], r["true_source"], r["edit"], r["kind"]) for r in rows] == [
        ("q2", "b", "border", None),
        ("q6", None, "crop", "crop"),
    ]


def test_the_edit_with_the_most_misses_comes_first():
    assert list(misses_by_edit([TRUTH[2], TRUTH[3], TRUTH[4]])) == ["crop", "meme"]


def test_an_interval_holds_its_figure_and_one_original_has_none_to_spare():
    rows = claims(("q1", "a", 9), ("q3", "a", 8), ("q4", "b", 3))
    found = score_claims(TRUTH, rows, 36)
    low, high = found["shipped"]["mean_interval"]
    assert low < found["shipped"]["mean"] < high
    low, high = found["micro_ap_interval"]
    assert low <= found["micro_ap"] <= high
    alone = score_claims(TRUTH[:1], rows[:1], 6)
    assert alone["shipped"]["mean_interval"] == [1, 1]


def test_an_original_is_drawn_with_its_copies_and_with_the_claims_on_them():
    # one original has three copies, the other one: however they are drawn, all is found and nothing false
    truth = [Query(f"q{n}", "a" if n else "b", "border", "frame") for n in range(4)]
    rows = [Claim(q.query, q.source, 1.0 + n) for n, q in enumerate(truth)]
    assert score_claims(truth, rows, 8)["micro_ap_interval"] == [1, 1]
    # the surest claim is a false one on the copy of b: without b there is none
    low, high = score_claims(truth, [*rows, Claim("q0", "a", 9.0)], 8)["micro_ap_interval"]
    assert low < 0.8 and high == 1


def test_a_battery_of_strangers_alone_has_no_recall():
    found = score_claims(TRUTH[-1:], claims(("q6", "a", 1)), 6)
    assert math.isnan(found["micro_ap"]) and math.isnan(found["shipped"]["mean"])
    assert found["false_claims"] == 1


ROWS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(0, 4)), max_size=40)


@given(ROWS)
def test_micro_ap_is_what_reading_the_list_from_the_top_gives(rows):
    truth = [Query(f"q{n}", f"s{n}", "edit", "family") for n in range(6)]
    given_claims = [Claim(f"q{q}", f"s{s}", float(score)) for q, s, score in rows]
    best = {}
    for claim in given_claims:
        best[claim.query, claim.source] = max(claim.score, best.get((claim.query, claim.source), -1))
    read = sorted(best.items(), key=lambda item: (-item[1], item[0][0][1:] == item[0][1][1:]))
    right, total = 0, 0.0
    for place, ((query, source), _) in enumerate(read, 1):
        if query[1:] == source[1:]:
            right += 1
            total += right / place
    found = score_claims(truth, given_claims, 54)
    assert found["micro_ap"] == pytest.approx(total / 6)
    assert found["shipped"]["mean"] == pytest.approx(right / 6)
    # a bar that allows more false claims finds no less
    assert found["zero_fp"]["mean"] <= found["shipped"]["mean"]


def test_a_claim_of_weight_zero_is_not_there():
    scores, right = np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, True])
    kept = np.array([1.0, 0.0, 1.0, 1.0])
    assert micro_ap(scores, right, 3, kept) == micro_ap(scores[kept > 0], right[kept > 0], 3) == 1
    assert micro_ap(scores, right, 3, np.ones(4)) == micro_ap(scores, right, 3) < 1
