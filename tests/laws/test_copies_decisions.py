"""Laws of decisions: the last word on a pair holds, whoever asks in which order, until it is revoked; a crash loses no word."""

import json

import pytest

from vision.copies import decisions
from vision.copies.decisions import DECIDED, SCHEMA, Decision, Decisions, append, load
from vision.errors import LibraryError, UsageError
from vision.files import LOCK

A, B, C = (digit * 64 for digit in "abc")


def test_what_is_decided_holds_in_both_orders_and_for_half_a_digest():
    held = Decisions([Decision.of("confirmed", A, B), Decision.of("denied", B, C)])
    assert held.of(A, B) == held.of(B, A) == held.of(A.upper(), B[:32]) == "confirmed"
    assert held.of(C, B) == "denied"
    assert held.of(A, C) is None
    assert len(held) == 2


def test_the_last_word_counts():
    words = ["confirmed", "denied", "confirmed", "denied"]
    for count in range(1, len(words) + 1):
        held = Decisions(
            Decision.of(word, *pair) for word, pair in zip(words[:count], [(A, B), (B, A)] * 2, strict=False)
        )
        assert held.of(A, B) == words[count - 1]
        assert held.confirmed_with(A) == ({B} if words[count - 1] == "confirmed" else set())


def test_what_is_revoked_was_never_decided():
    held = Decisions([Decision.of("confirmed", A, B), Decision.of("revoked", B, A)])
    assert held.of(A, B) is None
    assert held.confirmed_with(A) == held.confirmed_with(B) == set()
    assert list(held) == []


def test_something_holds_about_a_file_until_all_of_it_is_revoked():
    first, second = Decision.of("confirmed", A, B), Decision.of("denied", A, C)
    held = Decisions([first, second])
    assert held.about(A) and held.about(B[:32].upper()) and held.about(C)
    held = Decisions([first, second, Decision.of("revoked", B, A)])
    assert (held.about(A), held.about(B), held.about(C)) == (True, False, True)
    assert not Decisions([first, Decision.of("revoked", A, B)]).about(A)


def test_all_that_is_confirmed_with_a_picture_is_known_from_both_sides():
    held = Decisions([Decision.of("confirmed", A, B), Decision.of("confirmed", C, A), Decision.of("denied", B, C)])
    assert held.confirmed_with(A) == {B, C}
    assert held.confirmed_with(B[:32]) == {A}
    assert held.confirmed_with(C) == {A}


def test_a_file_may_be_denied_with_its_own_copies():
    held = Decisions([Decision.of("denied", A, A)])
    assert held.of(A, A) == "denied"
    assert held.of(A, B) is None


@pytest.mark.parametrize("wrong", ["", "abc", A[:32], A + "a", "g" * 64])
def test_what_is_no_digest_is_refused(wrong):
    with pytest.raises(UsageError):
        Decision.of("denied", A, wrong)


def test_what_was_appended_is_read_again_with_its_reason(tmp_path):
    assert len(load(tmp_path)) == 0
    append(tmp_path, [Decision.of("denied", A, B, by="kim", note="licensed ✂", names=("x.jpg", "undecodable \udc80"))])
    append(tmp_path, [Decision.of("confirmed", B, C, when="2026-01-05T10:00:00Z")])
    first, second = load(tmp_path)
    assert (first.word, first.by, first.note, first.names) == (
        "denied",
        "kim",
        "licensed ✂",
        ("x.jpg", "undecodable \udc80"),
    )
    assert second == Decision("confirmed", B, C, "2026-01-05T10:00:00Z")


def test_revocations_stay_in_the_history(tmp_path):
    append(tmp_path, [Decision.of("denied", A, B)])
    append(tmp_path, [Decision.of("revoked", A, B)])
    assert len(load(tmp_path)) == 0
    assert [decision.word for decision in decisions.history(tmp_path)] == ["denied", "revoked"]


@pytest.mark.parametrize("cut", [1, 20, 120])
def test_a_torn_last_line_is_ignored_and_then_written_over(tmp_path, cut):
    append(tmp_path, [Decision.of("denied", A, B)])
    append(tmp_path, [Decision.of("confirmed", A, B, note="n" * 100)])
    path = tmp_path / DECIDED
    path.write_bytes(path.read_bytes()[:-cut])
    assert load(tmp_path).of(A, B) == "denied"
    append(tmp_path, [Decision.of("confirmed", B, C)])
    assert [(d.word, d.b) for d in load(tmp_path)] == [("denied", B), ("confirmed", C)]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'{"schema": "vision.copy-decisions/1"}', b"\x00\xff", b"\r"],
)
def test_damage_inside_is_told_with_its_line_and_not_written_over(tmp_path, line):
    append(tmp_path, [Decision.of("denied", A, B)])
    path = tmp_path / DECIDED
    path.write_bytes(path.read_bytes() + line + b"\n" + path.read_bytes())
    before = path.read_bytes()
    for change in (load, lambda folder: append(folder, [Decision.of("denied", A, C)])):
        with pytest.raises(LibraryError, match="line 2") as caught:
            change(tmp_path)
        assert caught.value.code == "damaged"
    assert path.read_bytes() == before


def test_a_file_of_a_later_version_is_refused(tmp_path):
    append(tmp_path, [Decision.of("denied", A, B)])
    path = tmp_path / DECIDED
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA[:-1] + "2"}) + "\n")
    with pytest.raises(LibraryError) as caught:
        load(tmp_path)
    assert (caught.value.code, caught.value.path) == ("newer_version", str(path))


def test_decisions_wait_for_the_lock_of_the_index(tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(decisions, "LOCK_SECONDS", 0.01)
    with FileLock(tmp_path / LOCK), pytest.raises(LibraryError) as caught:
        append(tmp_path, [Decision.of("denied", A, B)])
    assert caught.value.code == "locked"
    assert len(load(tmp_path)) == 0


def test_of_a_pair_decided_in_two_indexes_what_was_decided_here_stays(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    append(here, [Decision.of("denied", A, B)])
    append(there, [Decision.of("confirmed", B, A), Decision.of("confirmed", B, C), Decision.of("revoked", A, C)])
    assert decisions.adopt(here, there) == 1
    assert (load(here).of(A, B), load(here).of(C, B)) == ("denied", "confirmed")
    assert decisions.adopt(here, there) == 0
