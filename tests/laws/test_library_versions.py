"""Versions of a library: what any sequence of changes leaves behind, what the log says of it, and the way back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_fakes import Colours

from vision.errors import LibraryError, UsageError
from vision.library import Library, NewBrand, NewReference, manifests, store
from vision.library.exchange import export_library
from vision.library.touched import touched
from vision.values import Candidate, Finding, Result


def vector(number: int) -> np.ndarray:
    row = np.random.default_rng(number).normal(size=(1, 49)).astype(np.float32)
    return row / np.linalg.norm(row)


def reference(number: int) -> NewReference:
    return NewReference(vector(number), thumbnail=bytes([number % 256]) * 5, source=f"{number}.jpg")


@pytest.fixture
def library(tmp_path):
    made = Library.create(tmp_path / "brands", embedder=Colours(), user="ann")
    made.extend([NewBrand("A", [reference(1), reference(2)]), NewBrand("B", [reference(3)])], message="first")
    return made


def held(library: Library) -> tuple:
    """All that a library says of itself."""
    pictures = [library.thumbnail(r.id) for r in library.all_references()]
    return library.brands(), library.all_references(), library.watch_lists(), pictures, library.all_vectors().tolist()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 4), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("remove one"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("rename"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("watch"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("roll back"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("compact"), st.integers(3, 9), st.just(0)),
    ),
    max_size=14,
)


def step(library: Library, verb: str, number: int, more: int) -> None:
    brands, references = library.brands(), library.all_references()
    if verb == "add":
        library.extend([NewBrand(f"Brand {number}", [reference(10 * library.version + i) for i in range(more)])])
    elif verb == "remove" and brands:
        library.remove(brands[number % len(brands)].name)
    elif verb == "remove one" and references:
        library.remove_reference(references[number % len(references)].id)
    elif verb == "rename" and brands:
        library.rename(brands[number % len(brands)].name, f"Brand {number + 5 * more}x{library.version}")
    elif verb == "watch" and brands:
        library.watch(f"list {number % 2}", brands[number % len(brands)].name)
    elif verb == "roll back":
        versions = [entry.version for entry in library.log()]
        library.rollback(versions[number % len(versions)])
    elif verb == "compact":
        library.compact(keep=number)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_what_is_shown_after_any_changes_is_what_is_on_disk_and_every_version_stays_what_it_was(steps):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_MANY", 3)  # so that segments are merged, too
        library = Library.create(Path(folder) / "lib", embedder=Colours())
        seen, given_ids = {library.version: library.checksum}, set()
        for verb, number, more in steps:
            before = {r.id for r in library.all_references()}
            version = library.version
            step(library, verb, number, more)
            again = Library.open(library.path, embedder=Colours())
            assert held(again) == held(library)
            assert (again.version, again.checksum) == (library.version, library.checksum)
            if verb == "add":
                fresh = {r.id for r in library.all_references()} - before
                assert not fresh & given_ids, "an id was given twice"
            given_ids |= {r.id for r in library.all_references()}
            assert library.version in {version, version + 1}
            seen.setdefault(library.version, library.checksum)
        kept = [entry.version for entry in library.log()]
        assert {v: store.read(library.path, v).checksum() for v in kept} == {v: seen[v] for v in kept}


def test_the_log_says_when_who_why_and_what(library):
    library.rename("A", "Alpha")
    library.remove("B", message="not ours")
    newest, renamed, first, created = library.log()
    assert [entry.version for entry in (newest, renamed, first, created)] == [4, 3, 2, 1]
    assert (newest.user, newest.message, str(newest.change)) == (
        "ann",
        "not ours",
        "1 brand removed, 1 reference removed",
    )
    assert renamed.change is not None
    assert (renamed.change.brands_changed.ids, renamed.change.names) == (("a",), (("A", "Alpha"),))
    assert (first.message, str(first.change)) == ("first", "2 brands added, 3 references added")
    assert first.time is not None
    assert first.time.endswith("Z")
    assert created.change is None
    assert [(entry.brands, entry.references) for entry in (newest, first)] == [(1, 2), (2, 3)]


def test_a_diff_tells_every_id_where_the_log_tells_the_first_ones(library):
    library.add_names([(f"Name {number}", ()) for number in range(30)])
    change = library.log()[0].change
    assert change is not None
    assert (change.brands_added.count, len(change.brands_added.ids)) == (30, 20)
    assert len(library.diff(2, 3).brands_added.ids) == 30
    assert library.diff(3, 2).brands_removed.count == 30
    assert not library.diff(2, 2)


def test_rolling_back_is_a_new_version_equal_to_the_old_one(library):
    before = held(library)
    library.remove("A")
    library.add_names([("C", ("See",))])
    library.watch("mine", "C")
    library.rollback(2)
    assert held(library) == before
    assert (library.version, library.log()[0].message) == (6, "back to version 2")
    assert library.search_embeddings(vector(1))[0][0].reference == "a/1"
    library.rollback(5)  # and forth again
    assert [b.name for b in library.brands()] == ["B", "C"]
    assert library.watch_list("mine") == {"C"}


def test_an_id_is_never_given_again_whatever_was_removed_or_undone(library):
    library.remove_reference("a/2")
    library.extend([NewBrand("A", [reference(4)])])
    assert [r.id for r in library.references("A")] == ["a/1", "a/3"]
    library.rollback(2)
    library.extend([NewBrand("A", [reference(5)])])
    assert [r.id for r in library.references("A")] == ["a/1", "a/2", "a/4"]
    library.remove("A")
    library.compact(keep=1)
    library = Library.open(library.path, embedder=Colours())
    library.extend([NewBrand("A", [reference(6)])])
    assert [r.id for r in library.references("A")] == ["a/5"]


def test_a_reference_is_removed_alone_and_its_brand_stays(library):
    assert library.remove_reference("b/1").source == "3.jpg"
    assert "B" in library
    assert library.references("B") == []
    assert library.thumbnail("b/1") is None
    assert {m.brand for m in library.search_embeddings(vector(3))[0]} == {"A"}
    with pytest.raises(UsageError, match="no reference 'b/1'"):
        library.remove_reference("b/1")
    assert library.version == 3


def test_a_change_of_nothing_makes_no_version(library):
    library.add_names([("A", ())])
    library.extend([])
    assert library.version == 2


def test_rolling_back_to_another_embedder_is_refused_by_those_who_use_this_one(library, tmp_path):
    path = tmp_path / "pictures"
    made = Library.create(path, embedder=Colours())
    made.add("A", np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    again, _ = Library.reembed(path, embedder=Colours(id="colours/2", checksum="c2"))
    assert str(again.log()[0].change) == "embedded anew"
    with pytest.raises(LibraryError) as caught:
        again.rollback(2)
    assert (caught.value.code, again.version) == ("other_embedder", 3)
    anyone = Library.open(path)  # has loaded no embedder yet
    anyone.rollback(2)
    Library.open(path, embedder=Colours())


def test_forgetting_versions_frees_what_only_they_held(library):
    library.remove("A")
    assert len(list(library.path.glob("vectors-*"))) == 1
    library.compact(keep=1)
    assert [entry.version for entry in library.log()] == [4]
    assert b"\x01" * 5 not in next(library.path.glob("thumbnails-*")).read_bytes()
    assert library.thumbnail("b/1") == b"\x03" * 5
    version = library.version
    library.compact(keep=1)  # nothing to gain: no version
    assert library.version == version
    with pytest.raises(UsageError):
        library.compact(keep=0)


def test_an_altered_picture_stays_altered_and_keeps_no_other_from_being_written(library):
    """Versions could not be forgotten any more, and after some more writes nothing could be added."""
    first = library.reference("a/1").thumbnail
    blob = library.path / first.blob
    data = bytearray(blob.read_bytes())
    data[first.offset] ^= 255
    blob.write_bytes(data)
    library = Library.open(library.path, embedder=Colours())
    library.extend([NewBrand("C", [reference(4)])])
    library.compact(1)
    again = Library.open(library.path, embedder=Colours())
    assert again.thumbnail("a/2") == bytes([2]) * 5
    with pytest.raises(LibraryError, match="a/1 was altered"):
        again.thumbnail("a/1")
    with pytest.raises(LibraryError, match="a/1 was altered"):
        export_library(again, again.path.parent / "out.zip")


def test_the_log_leaves_out_what_is_swept_while_it_is_read(library, monkeypatch):
    """It was damaged, then."""
    library.add("C")
    library.add("D")
    listed = manifests.versions

    def swept(folder, current):
        found = listed(folder, current)
        (folder / "version-1.json").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(manifests, "versions", swept)
    assert [entry.version for entry in library.log()] == [4, 3, 2]


def test_two_writers_at_once_both_count(library):
    other = Library.open(library.path, embedder=Colours())
    other.extend([NewBrand("C", [reference(7)])])
    library.extend([NewBrand("D", [reference(8)])])
    assert [b.name for b in library.brands()] == ["A", "B", "C", "D"]
    assert [b.name for b in other.brands()] == ["A", "B", "C"]


def test_verdicts_that_rested_on_a_reference_are_found_also_where_it_was_a_rival():
    def finding(*references: str | None) -> Finding:
        candidates = tuple(Candidate(f"B{r}", 0.5, 0.5, r) for r in references)
        return Finding("logo", (0, 0, 9, 9), 0.9, "known", "B", None, 0.8, candidates)

    def result(path: str, *findings: Finding) -> Result:
        return Result(path=path, sha256="", width=9, height=9, status="ok", findings=findings)

    results = [
        result("one.jpg", finding("a/1", "b/1"), finding("a/12"), finding(None)),
        result("two.jpg", finding("b/1", "a/1")),
        result("three.jpg"),
    ]
    found = list(touched(results, "a/1"))
    assert [(each.path, each.rank, each.runner_up) for each in found] == [("one.jpg", 1, False), ("two.jpg", 2, True)]
    assert found[1].to_dict()["brand"] == "B"
