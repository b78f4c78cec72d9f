"""The laws of the guard against floods of claims."""

from vision.copies.flood import FLOODED, RECENT, FloodGuard


def test_an_entry_that_everything_matches_is_set_aside_and_named():
    guard = FloodGuard()
    passed = [guard.pass_on(f"picture {n}", ["placeholder", f"source {n}"]) for n in range(3 * FLOODED)]
    assert "placeholder" in passed[0]
    assert passed[-1] == {f"source {3 * FLOODED - 1}"}
    assert guard.quarantined == ["placeholder"]


def test_what_was_set_aside_stays_so_in_a_scan_that_goes_on_later():
    first, second = FloodGuard(), FloodGuard()
    rows = [
        (f"picture {n}", first.pass_on(f"picture {n}", ["placeholder"] if n < 2 * FLOODED else []))
        for n in range(2 * RECENT)
    ]
    for query, passed in rows:
        second.replay(query, passed)
    assert second.quarantined == first.quarantined == ["placeholder"]
    assert second.pass_on("one more", ["placeholder"]) == set()


def test_a_picture_that_many_have_stolen_is_still_claimed():
    guard = FloodGuard()
    for n in range(2 * RECENT):
        passed = guard.pass_on(f"picture {n}", ["stolen"] if n % 20 == 0 else [])
        assert bool(passed) == (n % 20 == 0)
    assert guard.quarantined == []


def test_the_same_picture_asked_again_counts_once():
    guard = FloodGuard()
    assert all(guard.pass_on("one picture", ["source"]) for _ in range(10 * FLOODED))


def test_claims_of_long_ago_are_forgotten():
    guard = FloodGuard()
    for n in range(FLOODED - 1):
        guard.pass_on(f"early {n}", ["source"])
    for n in range(RECENT):
        guard.pass_on(f"later {n}", [])
    assert guard.pass_on("one more", ["source"]) == {"source"}
