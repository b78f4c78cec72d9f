"""Laws of lock-ups: a symbol and its wordmark are one finding, two packs on a shelf stay two."""

from hypothesis import given
from hypothesis import strategies as st

from vision.values import Candidate, Finding, Reading
from vision.verdict.marks import doubtful, inside, join_marks

WORD, SYMBOL = (40.0, 10.0, 120.0, 30.0), (10.0, 8.0, 34.0, 32.0)


def finding(box, brand="Acme", probability=0.9, *, read=None, verdict="known", kind="logo"):
    candidates = (Candidate(brand, 0.8, probability, f"{brand}/1", read),)
    text = None if read is None else Reading(read, 0.9, box)
    named = brand if verdict == "known" else None
    return Finding(kind, box, 0.5, verdict, named, None, probability, candidates, text)


def test_a_symbol_and_the_wordmark_beside_it_become_one():
    symbol, word = finding(SYMBOL, probability=0.95), finding(WORD, read="ACME")
    (one,) = join_marks([symbol, word])
    assert one.box == (10.0, 8.0, 120.0, 32.0)
    assert (one.probability, one.brand, one.text.string) == (0.95, "Acme", "ACME")
    assert one.candidates == symbol.candidates


def test_only_marks_that_nobody_tried_to_read_beside_a_word_of_their_brand_are_in_doubt():
    mark, word = finding(SYMBOL), finding(WORD, read="ACME")
    assert doubtful([mark, word], [False, True]) == [0]
    assert doubtful([mark, word], [True, True]) == []
    assert doubtful([finding(SYMBOL, "Other"), word], [False, True]) == []
    assert doubtful([finding((400.0, 10.0, 480.0, 30.0)), word], [False, True]) == []
    assert doubtful([mark, finding(WORD)], [False, False]) == []
    assert doubtful([finding(SYMBOL, verdict="unknown"), word], [False, True]) == []


def test_a_symbol_above_its_wordmark_is_one_mark_too():
    stacked = [finding((60, 0, 90, 28), probability=0.8), finding((45, 32, 105, 44), read="acme")]
    assert [f.box for f in join_marks(stacked)] == [(45, 0, 105, 44)]


def test_what_is_no_lock_up_stays():
    symbol, word = finding(SYMBOL), finding(WORD, read="ACME")
    far = finding((400.0, 10.0, 480.0, 30.0), read="ACME")
    for pair in (
        [finding(SYMBOL, "Other"), word],
        [finding(SYMBOL, read="ACME"), word],
        [symbol, finding(WORD)],
        [symbol, far],
        [finding(SYMBOL, verdict="unknown"), word],
        [finding(SYMBOL, kind="product"), word],
        [finding((0.0, 0.0, 300.0, 300.0), "Other"), word],
        [finding((0.0, 0.0, 300.0, 300.0), verdict="unknown"), word],
    ):
        assert join_marks(pair) == pair


def test_a_part_of_a_mark_is_told_with_the_whole():
    badge, word = finding((0, 0, 100, 60), probability=0.8), finding((20, 20, 80, 40), probability=0.95, read="ACME")
    (one,) = join_marks([badge, word])
    assert (one.box, one.probability, one.text.string) == ((0, 0, 100, 60), 0.95, "ACME")
    assert join_marks([word, badge]) == [one]


def test_marks_one_inside_the_other_are_one_finding_whichever_is_surest():
    part, whole, around = (10.0, 10.0, 30.0, 20.0), (8.0, 8.0, 60.0, 30.0), (0.0, 14.0, 200.0, 60.0)
    for surest in (part, whole, around):
        found = [finding(box, probability=0.95 if box == surest else 0.8) for box in (part, whole, around)]
        for order in (found, found[::-1]):
            told = join_marks(order)
            assert not [a for a in told for b in told if a is not b and inside(a.box, b.box)]
    nested = [(10.0, 10.0, 30.0, 20.0), (8.0, 8.0, 60.0, 30.0), (0.0, 0.0, 200.0, 60.0)]
    (one,) = join_marks([finding(box, probability=p) for box, p in zip(nested, (0.95, 0.8, 0.9), strict=True)])
    assert (one.box, one.probability) == (nested[2], 0.95)


def test_a_lock_up_with_both_of_its_parts_is_one_finding():
    whole, symbol, word = finding((5.0, 5.0, 125.0, 35.0), read="acme"), finding(SYMBOL), finding(WORD, read="ACME")
    (one,) = join_marks([symbol, whole, word])
    assert one.box == whole.box


def test_what_lies_in_a_symbol_and_its_word_together_is_told_with_them():
    held, symbol = finding((43.0, 50.0, 87.0, 83.0), read="ACME"), finding((18.0, 4.0, 93.0, 48.0))
    word = finding((21.0, 43.0, 70.0, 85.0), probability=0.95, read="ACME")
    for found in ([held, symbol, word], [word, symbol, held]):
        assert [f.box for f in join_marks(found)] == [(18.0, 4.0, 93.0, 85.0)]


def test_a_box_around_several_packs_goes_and_the_packs_stay():
    packs = [finding((x, 10.0, x + 40, 30.0), read="ACME") for x in (0.0, 100.0, 200.0)]
    assert join_marks([finding((0.0, 0.0, 250.0, 40.0), read="ACME"), *packs]) == packs


def test_a_wordmark_takes_one_symbol_only():
    left, right = finding(SYMBOL), finding((126.0, 8.0, 150.0, 32.0))
    joined = join_marks([left, right, finding(WORD, read="ACME")])
    assert sorted(f.box for f in joined) == [(10.0, 8.0, 120.0, 32.0), right.box]


boxes = st.tuples(*[st.floats(0, 100)] * 4).map(
    lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 1, max(v[1], v[3]) + 1)
)


@given(
    st.lists(
        st.builds(
            lambda box, brand, p, read: finding(box, brand, p, read=read),
            boxes,
            st.sampled_from(["A", "B"]),
            st.floats(0.5, 1),
            st.sampled_from([None, "a"]),
        ),
        max_size=8,
    )
)
def test_no_brand_appears_or_goes(findings):
    joined = join_marks(findings)
    assert {f.brand for f in joined} == {f.brand for f in findings}
    assert len(joined) <= len(findings)
    assert join_marks([f for f in findings if f.brand == "A"]) == [f for f in joined if f.brand == "A"]
