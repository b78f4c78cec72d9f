"""Laws of the copy index on disk: the old state or the new one, whatever happens in between; what was added is found again."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from copy_scenes import page, saved, scene, textured, turned

from vision.copies import CopyIndex, Entry, decisions, described, segments, store, words
from vision.copies.flood import FLOODED
from vision.copies.grouping import group_index
from vision.copies.store import CORE
from vision.errors import LibraryError, PictureError, UsageError
from vision.values import Result

WHEN = "2026-01-05T10:00:00Z"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "seen-before"


@pytest.fixture
def filled(path):
    """An index of three pictures, the second of them a page with a mark."""
    index = CopyIndex.create(path)
    for id, pixels in (("a", scene(1)), ("b", page(2)), ("c", scene(3))):
        assert index.add(pixels, id=id, owner=f"seller-{id}", time=WHEN)
    return index


def ids(index):
    return [entry.id for entry in index]


def sources(index, pixels):
    return [claim.source for claim in index.search(pixels)]


def test_what_was_added_is_found_with_its_owner_and_time(filled):
    (claim,) = filled.search(saved(turned(scene(3), "mirror"), "JPEG", quality=70))
    assert (claim.source, claim.index, claim.kind) == ("c", "seen-before", "mirror")
    assert (claim.owner, claim.first_seen) == ("seller-c", WHEN)
    assert claim.source_box == pytest.approx((0, 0, 320, 240), abs=0.5)


def test_pictures_of_the_same_owner_are_no_sources(filled):
    """Who scanned the listings of a seller that the index holds was told that each is a copy of itself."""
    assert filled.search(scene(3), owner="seller-c") == []
    assert sources(filled, scene(3)) == [c.source for c in filled.search(scene(3), owner="seller-a")] == ["c"]
    filled.add(turned(scene(3), "mirror"), id="mine", owner="seller-c")
    filled.add(scene(3), id="stolen", owner="seller-d")
    filled.add(scene(3), id="whose")
    assert {c.source for c in filled.search(scene(3), owner="seller-c")} == {"stolen", "whose"}
    assert filled.owners == {"seller-a", "seller-b", "seller-c", "seller-d"}
    again = CopyIndex.open(filled.path)
    again.delete("stolen")
    assert again.owners == {"seller-a", "seller-b", "seller-c"}
    again.compact()
    assert [c.source for c in again.search(scene(3), owner="seller-c")] == ["whose"]
    digests = [described(pixels).sha256 for pixels in (scene(1), scene(3))]
    decisions.append(filled.path, [decisions.Decision.of("confirmed", *digests)])
    again.refresh()
    assert [c.source for c in again.search(scene(1), owner="seller-c")] == ["a", "whose"]


def test_an_index_opened_again_answers_and_lists_the_same(filled, path):
    again = CopyIndex.open(path)
    assert len(again) == len(filled) == 3
    assert list(again) == list(filled)
    assert again.checksum == filled.checksum
    for pixels in (scene(1), page(2), scene(3), scene(4)):
        assert again.search(pixels) == filled.search(pixels)


def test_entries_hold_what_was_described(filled):
    description = described(page(2))
    entry = list(filled)[1]
    assert entry == Entry.of(description, "b", "seller-b", WHEN)


def test_an_empty_index_finds_nothing(path):
    index = CopyIndex.create(path)
    assert (len(index), list(index), index.search(scene(1))) == (0, [], [])


def test_the_time_is_now_when_none_is_given(path):
    index = CopyIndex.create(path)
    index.add(scene(1), id="a")
    (claim,) = index.search(scene(1))
    assert claim.owner is None
    assert claim.first_seen.endswith("Z")
    assert claim.first_seen > WHEN


@pytest.mark.parametrize("part", ["rows", "text", "local"])
def test_a_torn_tail_is_dropped_and_then_written_over(filled, path, part):
    with (path / f"segment-00001.{part}").open("ab") as file:
        file.write(b"half of a record that a crash left behi")
    torn = CopyIndex.open(path)
    assert ids(torn) == ["a", "b", "c"]
    torn.add(scene(9), id="d", time=WHEN)
    assert ids(CopyIndex.open(path)) == ["a", "b", "c", "d"]
    assert sources(CopyIndex.open(path), scene(9)) == ["d"]


def test_a_writer_that_dies_before_the_pointer_changes_nothing(filled, path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(store, "write_pointer", die)
        with pytest.raises(KeyboardInterrupt):
            filled.add(scene(9), id="lost")
    assert ids(filled) == ids(CopyIndex.open(path)) == ["a", "b", "c"]
    filled.add(scene(8), id="kept")
    assert ids(filled) == ids(CopyIndex.open(path)) == ["a", "b", "c", "kept"]
    assert sources(filled, scene(9)) == []


@pytest.mark.parametrize(
    ("part", "harm"),
    [(p, h) for p in ("rows", "text", "local") for h in ("altered", "cut", "gone") if (p, h) != ("local", "altered")],
)
def test_damage_in_what_was_committed_is_refused(filled, path, part, harm):
    file = path / f"segment-00001.{part}"
    data = bytearray(file.read_bytes())
    data[17] ^= 4
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data if harm == "altered" else data[:-5])
    with pytest.raises(LibraryError) as caught:
        CopyIndex.open(path)
    assert caught.value.code == "damaged"


@pytest.mark.parametrize("harm", [b"", b"{}", b"[1]", "segments"])
def test_a_damaged_pointer_is_refused(filled, path, harm):
    pointer = json.loads((path / "copies.json").read_text())
    pointer.pop(harm, None)
    (path / "copies.json").write_bytes(json.dumps(pointer).encode() if harm == "segments" else harm)
    with pytest.raises(LibraryError) as caught:
        CopyIndex.open(path)
    assert caught.value.code == "damaged"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("schema", "vision.copies/3", "newer_version"),
        ("schema", "vision.copies/1", "other_embedder"),
        ("hashing", "pdq/512/1+local/400/1/another encoder", "other_embedder"),
    ],
)
def test_an_index_that_this_version_does_not_know_is_refused(filled, path, field, value, code):
    pointer = json.loads((path / "copies.json").read_text())
    (path / "copies.json").write_text(json.dumps(pointer | {field: value}))
    with pytest.raises(LibraryError) as caught:
        CopyIndex.open(path)
    assert caught.value.code == code
    assert caught.value.hint


def test_no_index_is_missing(path):
    with pytest.raises(LibraryError) as caught:
        CopyIndex.open(path)
    assert caught.value.code == "missing"


def test_only_an_empty_folder_becomes_an_index(filled, path):
    with pytest.raises(UsageError):
        CopyIndex.create(path)
    assert len(CopyIndex.open(path)) == 3


def test_what_is_deleted_is_not_found_and_stays_so(filled, path):
    assert filled.delete("b")
    assert not filled.delete("b")
    assert not filled.delete("never there")
    for index in (filled, CopyIndex.open(path)):
        assert (len(index), ids(index)) == (2, ["a", "c"])
        assert sources(index, page(2)) == []
        assert sources(index, scene(3)) == ["c"]
    assert filled.add(page(2), id="b")
    assert sources(CopyIndex.open(path), page(2)) == ["b"]


def test_the_same_file_again_keeps_the_time_when_it_was_first_seen(filled):
    assert not filled.add(scene(1), id="a", owner="seller-a", time="2027-01-01T00:00:00Z")
    assert next(iter(filled)).time == WHEN
    assert len(filled) == 3


@pytest.mark.parametrize(("pixels", "owner"), [(scene(7), "seller-a"), (scene(1), "seller-z")])
def test_another_file_or_owner_replaces_the_entry_of_its_id(filled, path, pixels, owner):
    assert filled.add(pixels, id="a", owner=owner, time="2027-01-01T00:00:00Z")
    again = CopyIndex.open(path)
    assert ids(again) == ids(filled) == ["b", "c", "a"]
    (claim,) = again.search(pixels)
    assert (claim.source, claim.owner, claim.first_seen) == ("a", owner, "2027-01-01T00:00:00Z")
    assert sources(again, scene(1)) == (["a"] if owner == "seller-z" else [])


def test_a_batch_is_one_change_and_may_repeat_an_id(filled, path):
    descriptions = [described(p) for p in (scene(11), scene(12), scene(12), scene(13))]
    entries = [Entry.of(d, id, None, WHEN) for d, id in zip(descriptions, ("x", "x", "x", "a"), strict=True)]
    # x is added, replaced, and unchanged; a is replaced
    assert filled.add_entries(entries) == 3
    assert ids(filled) == ids(CopyIndex.open(path)) == ["b", "c", "x", "a"]
    assert [sources(filled, scene(n)) for n in (11, 12, 13, 1)] == [[], ["x"], ["a"], []]
    assert filled.add_entries([]) == 0


def test_a_reader_keeps_its_state_until_it_asks(filled, path):
    reader = CopyIndex.open(path)
    filled.add(scene(9), id="d")
    filled.delete("a")
    assert ids(reader) == ["a", "b", "c"]
    assert sources(reader, scene(9)) == []
    reader.refresh()
    assert ids(reader) == ["b", "c", "d"]
    assert sources(reader, scene(9)) == ["d"]


def test_two_writers_take_turns_and_lose_nothing(filled, path):
    other = CopyIndex.open(path)
    other.add(scene(8), id="d")
    filled.add(scene(9), id="e")
    assert not other.add(scene(9), id="e")
    assert filled.delete("d")
    assert ids(filled) == ids(CopyIndex.open(path)) == ["a", "b", "c", "e"]


def test_a_writer_waits_for_the_lock_and_says_when_it_did_not_get_it(filled, path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(store, "LOCK_SECONDS", 0.01)
    with FileLock(path / ".lock"), pytest.raises(LibraryError) as caught:
        CopyIndex.open(path).add(scene(9), id="d")
    assert caught.value.code == "locked"
    assert filled.add(scene(9), id="d")


def test_a_full_segment_is_left_for_a_new_one(path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 3)
    index = CopyIndex.create(path)
    for number in range(7):
        index.add(scene(number), id=str(number), time=WHEN)
    index.delete("1")
    assert sorted(p.name for p in path.glob("*.rows")) == [f"segment-0000{n}.rows" for n in (1, 2, 3)]
    for same in (index, CopyIndex.open(path)):
        assert ids(same) == ["0", "2", "3", "4", "5", "6"]
        assert [sources(same, scene(n)) for n in range(7)] == [["0"], [], ["2"], ["3"], ["4"], ["5"], ["6"]]


@pytest.mark.parametrize("id", ["new\nline", "✂ Ærø", "undecodable \udc80", "a" * 5000, '{"id": 1}'])
def test_any_string_is_an_id(path, id):
    CopyIndex.create(path).add(scene(1), id=id, owner=id)
    index = CopyIndex.open(path)
    (claim,) = index.search(scene(1))
    assert (claim.source, claim.owner) == (id, id)
    assert index.delete(id)


@pytest.mark.parametrize("wrong", [{"id": ""}, {"id": "a", "time": "yesterday"}])
def test_an_empty_id_and_a_time_that_is_none_are_refused(path, wrong):
    with pytest.raises(UsageError):
        CopyIndex.create(path).add(scene(1), **wrong)


def test_a_picture_that_cannot_be_read_changes_nothing(filled):
    with pytest.raises(PictureError):
        filled.add(b"no picture", id="d")
    assert ids(filled) == ["a", "b", "c"]


def test_an_index_grows_past_its_first_memory(path):
    random, template = np.random.default_rng(0), described(scene(1))

    def described_at_random():
        hashes = random.integers(0, 256, (8, 32), dtype=np.uint8)
        fingerprint = replace(template.fingerprint, pdq=hashes[0].tobytes().hex())
        return replace(template, hashes=hashes, fingerprint=fingerprint, sha256=random.bytes(32).hex())

    descriptions = [described_at_random() for _ in range(1500)]
    index = CopyIndex.create(path)
    index.add_entries(replace(Entry.of(d, str(n), None, WHEN), local=b"") for n, d in enumerate(descriptions))
    again = CopyIndex.open(path)
    for number in (0, 1023, 1024, 1499):
        assert [claim.source for claim in again.search_description(descriptions[number])] == [str(number)]


def altered_features(path, number):
    """Change one byte in the middle of what the picture of that number keeps."""
    file = path / "segment-00001.local"
    data = bytearray(file.read_bytes())
    sizes = [len(entry.local) for entry in CopyIndex.open(path)]
    data[sum(sizes[:number]) + sizes[number] // 2] ^= 255
    file.write_bytes(data)


def test_altered_features_are_refused_instead_of_claimed_by(filled, path):
    shutil.rmtree(path / "words-00001", ignore_errors=True)
    reader = CopyIndex.open(path)
    altered_features(path, 2)
    with pytest.raises(LibraryError) as caught:  # mapped: what is changed on disk is changed in the reader
        reader.search(scene(3)[:, :300])
    assert (caught.value.code, "row 2" in caught.value.message) == ("damaged", True)
    with pytest.raises(LibraryError) as caught:
        list(CopyIndex.open(path))
    assert caught.value.code == "damaged"


def test_damage_that_was_told_once_is_told_again(filled, path):
    reader = CopyIndex.open(path)
    filled.add(scene(9), id="later")
    shutil.rmtree(path / "words-00001", ignore_errors=True)
    altered_features(path, len(reader))
    for _ in range(2):
        with pytest.raises(LibraryError) as caught:
            reader.refresh()
        assert caught.value.code == "damaged"


def test_a_folder_that_cannot_be_made_is_told_as_that(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LibraryError) as caught:
        CopyIndex.create(tmp_path / "file" / "index")
    assert caught.value.code == "read_only"


@pytest.fixture
def runs_of_two(monkeypatch):
    """Words are written to disk after every other picture."""
    monkeypatch.setattr(words, "RUN_ENTRIES", 2)
    monkeypatch.setattr(words, "SAVED_ENTRIES", 1)


def crops(numbers):
    return [textured(number)[30:, 40:] for number in numbers]


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_without_its_words_an_index_claims_the_same(path, tmp_path, runs_of_two, harm):
    index = CopyIndex.create(path)
    for number in range(5):
        index.add(textured(number), id=str(number), time=WHEN)
    index.delete("3")
    files = sorted((path / "words-00001").iterdir())
    assert files
    expected = [index.search(crop) for crop in crops(range(6))]
    assert [[claim.source for claim in found] for found in expected] == [["0"], ["1"], ["2"], [], ["4"], []]
    if harm == "gone":
        shutil.rmtree(path / "words-00001")
    for file in files if harm == "cut" else ():
        file.write_bytes(file.read_bytes()[:-9])
    again = CopyIndex.open(path)
    assert [again.search(crop) for crop in crops(range(6))] == expected


def test_a_folder_that_may_only_be_read_is_searched(path, runs_of_two, monkeypatch):
    index = CopyIndex.create(path)
    for number in range(5):
        index.add(textured(number), id=str(number), time=WHEN)
    expected = [index.search(crop) for crop in crops(range(5))]
    shutil.rmtree(path / "words-00001")

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(words.Run, "save", refuse)  # tests may run as root, whom no mode keeps out
    again = CopyIndex.open(path)
    assert [again.search(crop) for crop in crops(range(5))] == expected
    assert not (path / "words-00001").exists()


def test_an_index_takes_over_another_with_owners_times_and_features(filled, path, tmp_path):
    other = CopyIndex.create(tmp_path / "other")
    for id, pixels in (("b", page(2)), ("d", textured(4)), ("e", textured(5))):
        other.add(pixels, id=id, owner=f"seller-{id}", time="2027-01-01T00:00:00Z")
    other.delete("e")
    assert filled.merge(other) == 1  # b is the same file of the same owner
    for index in (filled, CopyIndex.open(path)):
        assert ids(index) == ["a", "b", "c", "d"]
        assert [entry.time[:4] for entry in index] == ["2026", "2026", "2026", "2027"]
        (claim,) = index.search(textured(4)[30:, 40:])
        assert (claim.source, claim.owner, claim.kind) == ("d", "seller-d", "crop")
    assert filled.merge(other) == 0
    assert list(filled)[3] == list(other)[1]


def test_of_two_pictures_under_one_id_both_are_kept_where_none_is_to_be_replaced(path, tmp_path):
    one, other = CopyIndex.create(path), CopyIndex.create(tmp_path / "other")
    one.add(page(1), id="images/1.jpg", time="2026-01-01T00:00:00Z")
    other.add(page(2), id="images/1.jpg", time="2027-01-01T00:00:00Z")
    assert [one.merge(other), one.merge(other)] == [1, 0]
    first, second = one
    assert (first.id, first.time[:4]) == ("images/1.jpg", "2026")
    assert second.id.startswith("images/1.jpg~")
    assert second.time[:4] == "2027"
    theirs = replace(first, owner="seller-2")
    assert [one.add_entries([theirs, theirs], beside=True) for _ in range(2)] == [1, 0]
    assert [entry.owner for entry in one] == [None, None, "seller-2"]
    assert one.add(page(3), id="images/1.jpg")  # by name, replaced
    assert len(one) == 3


def test_a_merge_in_many_batches_takes_all(path, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MERGED_AT_ONCE", 2)
    other = CopyIndex.create(tmp_path / "other")
    for number in range(5):
        other.add(scene(number), id=str(number), time=WHEN)
    index = CopyIndex.create(path)
    assert index.merge(other) == 5
    assert list(index) == list(other)


@pytest.mark.parametrize("at_once", [2, 1000])
def test_compacting_gives_room_back_and_changes_no_answer(path, monkeypatch, runs_of_two, at_once):
    monkeypatch.setattr(store, "MERGED_AT_ONCE", at_once)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 4)
    index = CopyIndex.create(path)
    for number in range(7):
        index.add(textured(number), id=str(number), owner=f"seller-{number}", time=WHEN)
    for id in ("0", "3"):
        index.delete(id)
    index.add(textured(8), id="5", time=WHEN)
    before = list(index), [index.search(crop) for crop in crops((0, 1, 5, 8))]
    size = sum(file.stat().st_size for file in path.glob("segment-*"))
    assert index.compact() == 6  # three pictures, and the three rows that say so
    assert sum(file.stat().st_size for file in path.glob("segment-*")) < size - 3 * 6000
    for same in (index, CopyIndex.open(path)):
        assert (list(same), [same.search(crop) for crop in crops((0, 1, 5, 8))]) == before
    names = sorted(file.name for file in path.glob("segment-*.rows"))
    assert names == ["segment-00004.rows", "segment-00005.rows"][: 1 if at_once > 5 else 2]
    assert index.compact() == 0
    assert index.delete("6")
    assert index.add(textured(9), id="new", time=WHEN)
    assert ids(CopyIndex.open(path)) == ids(index) == ["1", "2", "4", "5", "new"]
    assert sources(CopyIndex.open(path), textured(9)[30:, 40:]) == ["new"]


def test_readers_go_on_while_an_index_is_compacted_and_then_see_the_new_state(path, runs_of_two):
    index = CopyIndex.create(path)
    for number in range(5):
        index.add(textured(number), id=str(number), time=WHEN)
    reader = CopyIndex.open(path)
    index.delete("1")
    index.compact()
    index.add(textured(7), id="7", time=WHEN)
    assert ids(reader) == list("01234")
    assert [sources(reader, crop) for crop in crops((1, 4, 7))] == [["1"], ["4"], []]
    reader.refresh()
    assert ids(reader) == list("02347")
    assert [sources(reader, crop) for crop in crops((1, 4, 7))] == [[], ["4"], ["7"]]
    reader.delete("0")  # a reader's numbers are the new ones
    assert ids(CopyIndex.open(path)) == list("2347")


def test_an_index_that_was_emptied_compacted_and_filled_again_is_read_on(path):
    index = CopyIndex.create(path)
    for number in range(2):
        index.add(scene(number), id=str(number), time=WHEN)
    reader, late = CopyIndex.open(path), CopyIndex.open(path)
    index.delete("0")
    index.delete("1")
    assert index.compact() == 4
    assert ids(index) == ids(CopyIndex.open(path)) == []
    reader.refresh()
    assert (ids(reader), len(reader)) == ([], 0)
    index.add(scene(3), id="3", time=WHEN)
    for same in (reader, late):
        same.refresh()
        assert ids(same) == ["3"]
        assert sources(same, scene(3)) == ["3"]


def test_a_writer_that_dies_while_compacting_changes_nothing(path, monkeypatch):
    index = CopyIndex.create(path)
    for number in range(3):
        index.add(scene(number), id=str(number), time=WHEN)
    index.delete("1")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(store, "write_pointer", die)
        with pytest.raises(KeyboardInterrupt):
            index.compact()
    assert ids(CopyIndex.open(path)) == ["0", "2"]
    assert CopyIndex.open(path).compact() == 2
    index.refresh()
    assert ids(index) == ["0", "2"]
    assert [sources(index, scene(number)) for number in range(3)] == [["0"], [], ["2"]]


def decide(path, word, one, other):
    decisions.append(path, [decisions.Decision.of(word, *(described(each).sha256 for each in (one, other)))])


def test_what_was_denied_is_never_claimed_until_it_is_revoked(filled, path):
    crop = saved(scene(3)[:, :300])
    assert sources(filled, crop) == ["c"]
    decide(path, "denied", crop, scene(3))
    for index in (filled, CopyIndex.open(path)):
        index.refresh()
        assert sources(index, crop) == []
        assert sources(index, scene(3)) == ["c"]
    decide(path, "revoked", scene(3), crop)
    filled.refresh()
    assert sources(filled, crop) == ["c"]


def test_what_was_confirmed_is_claimed_at_1_although_nothing_agrees(filled, path):
    decide(path, "confirmed", scene(9), scene(3))
    decide(path, "confirmed", page(2), scene(1))
    filled.refresh()
    (claim,) = filled.search(scene(9))
    assert (claim.source, claim.kind, claim.probability) == ("c", "confirmed", 1.0)
    assert claim.owner == "seller-c"
    assert {(c.source, c.probability) for c in filled.search(page(2))} == {("b", 1.0), ("a", 1.0)}
    assert len(filled.search(page(2), limit=1)) == 1
    filled.delete("c")
    assert filled.search(scene(9)) == []


def test_what_was_confirmed_of_a_picture_added_since_is_claimed_once_it_is_read(filled, path):
    decide(path, "confirmed", scene(9), textured(1))
    reader = CopyIndex.open(path)
    assert reader.search(scene(9)) == []
    filled.add(textured(1), id="late", time=WHEN)
    reader.refresh()
    assert [claim.source for claim in reader.search(scene(9))] == ["late"]


def test_decisions_hold_after_compacting(filled, path):
    decide(path, "denied", scene(9), scene(3))
    decide(path, "confirmed", scene(8), scene(3))
    filled.delete("a")
    filled.compact()
    reader = CopyIndex.open(path)
    assert (sources(reader, scene(9)), sources(reader, scene(8))) == ([], ["c"])


def imported(id, pixels):
    """An entry as lists of hashes give them: no features, no size, the digest of another file."""
    description = described(pixels)
    return Entry(id, "partner", WHEN, 0, 0, f"{id:0>64}", replace(description.fingerprint, content=None))


def test_imported_hashes_are_claimed_by_distance_alone_and_without_a_box(filled):
    filled.add_entries([imported("1", textured(1)), imported("2", textured(2))])
    for kind in ("same", "rotate90"):
        (claim,) = filled.search(saved(turned(textured(1), kind), "JPEG", quality=70))
        assert (claim.source, claim.kind, claim.owner) == ("1", kind, "partner")
        assert (claim.source_box, claim.transform, claim.coverage) == (None, None, None)
        assert claim.probability > 0.9
    assert filled.search(textured(1)[60:, 80:]) == []


def test_ties_are_all_claims_between_pictures_of_an_index_the_later_one_asking(path):
    index = CopyIndex.create(path)
    for id, pixels in (
        ("whole", textured(1)),
        ("other", textured(2)),
        ("mirrored", turned(textured(1), "mirror")),
        ("gone", textured(1)[10:]),
        ("page", page(1)),
        ("crop", textured(2)[40:, 50:]),
    ):
        index.add(pixels, id=id, time=WHEN)
    index.delete("gone")
    found = {(ties.id, claim.source): claim.kind for ties in index.ties() for claim in ties.claims}
    assert found == {("mirrored", "whole"): "mirror", ("crop", "other"): "crop"}
    decide(path, "denied", textured(1), turned(textured(1), "mirror"))
    decide(path, "confirmed", textured(1), page(1))
    index.refresh()
    found = {(ties.id, claim.source): claim.kind for ties in index.ties() for claim in ties.claims}
    assert found == {("page", "whole"): "confirmed", ("crop", "other"): "crop"}


def test_ties_of_imported_hashes_are_claimed_both_ways(path):
    index = CopyIndex.create(path)
    index.add_entries([imported("1", textured(1))])
    index.add(saved(textured(1), "JPEG"), id="picture", time=WHEN)
    index.add_entries([imported("2", textured(1))])
    found = {(ties.id, claim.source): (claim.box, claim.source_box) for ties in index.ties() for claim in ties.claims}
    whole = (0, 0, 320, 240)
    assert found == {
        ("picture", "1"): (whole, None),
        ("2", "1"): (None, None),
        ("2", "picture"): (None, whole),
    }


def test_of_a_crowd_the_first_are_compared_with_each_other_and_the_rest_follow_them(path):
    index = CopyIndex.create(path)
    for number in range(CORE + 8):
        index.add(saved(textured(1), "JPEG", quality=60 + number), id=f"copy {number:02}", time=WHEN)
    index.add(textured(1)[40:, 50:], id="crop", time=WHEN)
    index.add(textured(2), id="other", time=WHEN)
    ties = list(index.ties())
    assert [len(each.claims) for each in ties] == [*range(CORE), *[CORE] * 8, CORE, 0]
    assert [each.id for each in ties if each.follows] == [f"copy {number:02}" for number in range(CORE, CORE + 8)]
    found = group_index(index)
    (cluster,) = found.grouping.clusters
    assert [member.id for member in cluster.members] == [*(f"copy {n:02}" for n in range(CORE + 8)), "crop"]
    assert found.grouping.between == ()


def test_one_of_a_crowd_about_which_something_was_decided_follows_nothing(path):
    index = CopyIndex.create(path)
    pictures = [saved(textured(1), "JPEG", quality=60 + number) for number in range(CORE + 3)]
    for number, picture in enumerate(pictures):
        index.add(picture, id=f"copy {number:02}", time=WHEN)
    decide(path, "denied", pictures[0], pictures[-1])
    index.refresh()
    assert [each.id for each in index.ties() if each.follows] == [f"copy {CORE:02}", f"copy {CORE + 1:02}"]
    assert all(
        {"copy 00", f"copy {CORE + 2:02}"} - {m.id for m in c.members} for c in group_index(index).grouping.clusters
    )


ADDING = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from copy_scenes import textured
from vision.copies import CopyIndex
index = CopyIndex.open({path!r})
for number in range({first}, {first} + 6):
    index.add(textured(number), id=str(number), time={when!r})
"""


def test_two_processes_add_while_one_reads(path):
    """Whatever the reader sees is whole: every id that it lists is also found, and nothing is lost in the end."""
    CopyIndex.create(path)
    here = str(Path(__file__).parent)
    writers = [
        subprocess.Popen([sys.executable, "-c", ADDING.format(here=here, path=str(path), first=first, when=WHEN)])
        for first in (0, 100)
    ]
    reader, seen = CopyIndex.open(path), 0
    while any(writer.poll() is None for writer in writers):
        reader.refresh()
        listed = ids(reader)
        assert len(listed) >= seen
        seen = len(listed)
        if listed:
            assert sources(reader, textured(int(listed[-1]))[30:, 40:]) == listed[-1:]
    assert [writer.returncode for writer in writers] == [0, 0]
    reader.refresh()
    assert sorted(map(int, ids(reader))) == [*range(6), *range(100, 106)]


def test_the_guard_of_a_scan_that_goes_on_knows_the_rows_that_are_there(filled, path):
    (claim, *_) = filled.search(saved(scene(1), "JPEG", quality=60))
    other = CopyIndex.open(path)
    for number in range(FLOODED - 2):
        row = Result(f"{number}.jpg", f"{number:064x}", 9, 9, "ok", copies=(claim,))
        other.remember(row)
    assert other.quarantined == []
    assert claim.source in [c.source for c in other.search(saved(scene(1), "JPEG", quality=62))]
    assert claim.source not in [c.source for c in other.search(saved(scene(1), "JPEG", quality=61))]
    assert other.quarantined == [claim.source]


def test_metadata_is_kept_with_a_picture(path):
    index = CopyIndex.create(path)
    index.add(scene(1), id="a", time=WHEN, metadata={"listing": "17", "title": "Mug"})
    index.add(scene(2), id="b", time=WHEN)
    again = CopyIndex.open(path)
    assert [dict(entry.metadata) for entry in again] == [{"listing": "17", "title": "Mug"}, {}]
    assert again.get("a").metadata == {"listing": "17", "title": "Mug"}
    assert again.get("c") is None
    index.add(scene(3), id="c", time=WHEN)
    again.refresh()
    assert again.get("c").id == "c"
    index.delete("c")
    again.refresh()
    assert again.get("c") is None
    assert index.get("c") is None
    assert again.get("b") == next(entry for entry in again.entries(features=False) if entry.id == "b")
    merged = CopyIndex.create(path.with_name("merged"))
    merged.merge(again)
    assert merged.get("a").to_dict() == again.get("a").to_dict()


def test_many_are_forgotten_in_one_step(filled, path):
    before = ids(filled)
    assert filled.delete_all([before[0], "nobody", before[2]]) == {before[0], before[2]}
    assert ids(CopyIndex.open(path)) == [id_ for id_ in before if id_ not in (before[0], before[2])]


def test_an_index_that_another_program_is_just_making_is_joined(path):
    path.mkdir()
    (path / ".copies.json.17.18.new").touch()
    (path / ".lock").touch()
    assert segments.is_new(path)
    index = CopyIndex.create(path)
    index.add(scene(1), id="a", time=WHEN)
    assert not segments.is_new(path)
    assert ids(CopyIndex.open(path)) == ["a"]


def test_a_person_who_confirms_says_nothing_of_regions(filled, path):
    decide(path, "confirmed", scene(1), page(1))
    filled.refresh()
    (claim,) = [c for c in filled.search(page(1)) if c.kind == "confirmed"]
    assert (claim.box, claim.source_box, claim.transform, claim.coverage) == (None, None, None, None)
    with pytest.raises(UsageError, match="limit"):
        filled.search(page(1), limit=0)


def test_the_same_bytes_lie_where_they_are(filled):
    (claim, *_) = filled.search(scene(1))
    assert (claim.kind, claim.distance, claim.coverage) == ("same", 0, 1.0)
    assert claim.transform == (1, 0, 0, 0, 1, 0, 0, 0, 1)
