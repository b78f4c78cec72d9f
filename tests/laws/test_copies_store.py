"""Laws of the copy index on disk: the old state or the new one, whatever happens in between; what was added is found again."""

import json
from dataclasses import replace

import numpy as np
import pytest
from copy_scenes import page, saved, scene, turned

from vision.copies import CopyIndex, Entry, described, store
from vision.errors import LibraryError, PictureError, UsageError

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
    assert claim.source_box == (0, 0, 320, 240)


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


@pytest.mark.parametrize("part", ["rows", "text"])
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
        broken.setattr(store, "_write_pointer", die)
        with pytest.raises(KeyboardInterrupt):
            filled.add(scene(9), id="lost")
    assert ids(filled) == ids(CopyIndex.open(path)) == ["a", "b", "c"]
    filled.add(scene(8), id="kept")
    assert ids(filled) == ids(CopyIndex.open(path)) == ["a", "b", "c", "kept"]
    assert sources(filled, scene(9)) == []


@pytest.mark.parametrize("part", ["rows", "text"])
@pytest.mark.parametrize("harm", ["altered", "cut", "gone"])
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


@pytest.mark.parametrize("pointer", [b"", b"{}", b"[1]", b'{"schema": "vision.copies/1", "hashing": "pdq/512/1"}'])
def test_a_damaged_pointer_is_refused(filled, path, pointer):
    (path / "copies.json").write_bytes(pointer)
    with pytest.raises(LibraryError) as caught:
        CopyIndex.open(path)
    assert caught.value.code == "damaged"


@pytest.mark.parametrize(
    ("field", "value", "code"), [("schema", "vision.copies/2", "newer_version"), ("hashing", "phash", "other_embedder")]
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
    monkeypatch.setattr(store, "SEGMENT_ROWS", 3)
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
    index.add_entries(Entry.of(d, str(n), None, WHEN) for n, d in enumerate(descriptions))
    again = CopyIndex.open(path)
    for number in (0, 1023, 1024, 1499):
        assert [claim.source for claim in again.search_description(descriptions[number])] == [str(number)]
