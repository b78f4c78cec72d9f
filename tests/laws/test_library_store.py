"""The library's folder: the old state or the new one, whatever happens in between, and clear words for what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from vision.errors import LibraryError, UsageError
from vision.library import Brand, Library, Reference, manifests, segments, store
from vision.library.manifests import Note
from vision.library.state import EmbedderRecord, State, Thumbnail

NOTE = Note()


def state(*names: str, start: int = 0) -> State:
    picture = Thumbnail("made", 0, 3, zlib.crc32(b"abc"))
    rows = np.zeros((2 * len(names), 4), dtype=np.float16)
    rows[np.arange(2 * len(names)), (start + np.arange(2 * len(names))) % 4] = 1
    return State(
        EmbedderRecord("fake/1", "00", 4),
        tuple(Brand(name, name.title()) for name in names),
        tuple(Reference(f"{name}/1", name, None, "made", "CC0-1.0", "drawing", 2, picture) for name in names),
        rows,
        {"made": b"abc"},
    )


def content(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != ".lock"}


def pointer_of(folder) -> dict:
    return json.loads((folder / manifests.POINTER).read_text())


def files_of(folder) -> dict[str, str]:
    """The names of the newest segment's files, by part."""
    manifest = json.loads((folder / pointer_of(folder)["manifest"]["name"]).read_text())
    return {part: entry["name"] for part, entry in manifest["segments"][-1]["files"].items()}


def with_another(before: State, name: str = "other") -> State:
    """A state with one brand more, as an edit makes it."""
    more = state(name, start=2)
    return replace(
        before,
        brands=before.brands + more.brands,
        references=before.references + more.references,
        vectors=np.concatenate([before.vectors, more.vectors]),
        blobs={**before.blobs, **more.blobs},
    )


@pytest.fixture
def folder(tmp_path):
    store.write(tmp_path / "lib", state("acme"), NOTE)
    return tmp_path / "lib"


def test_what_was_written_is_read(folder):
    found = store.read(folder)
    assert (found.brands, found.references, found.version) == (state("acme").brands, state("acme").references, 1)
    assert found.vectors.dtype == np.float16
    assert np.array_equal(found.vectors, state("acme").vectors)
    assert found.picture(found.references[0]) == b"abc"


def test_every_field_of_brand_and_reference_is_kept(tmp_path):
    brand = Brand("sign", "Sign «A»", ("S",), negative=True)
    reference = Reference(
        "sign/1", "sign", "Tin", "a\u2028b", "own", "negative", 2, None, "Line", date(2020, 2, 29), date(2030, 1, 1)
    )
    made = replace(
        state("acme"),
        brands=(brand,),
        references=(reference,),
        watch={"mine": ("sign",)},
        numbers={"sign": 7, "gone": 3},
    )
    found = store.write(tmp_path / "lib", made, NOTE)
    assert (found.brands, found.references) == ((brand,), (reference,))
    assert (found.watch, found.numbers) == (made.watch, made.numbers)


@pytest.mark.parametrize("writes_before_the_crash", range(5))
def test_a_killed_writer_leaves_the_old_state(folder, monkeypatch, writes_before_the_crash):
    before, real, done = store.read(folder), segments.write_file, []

    def dies(folder, name, parts):
        if len(done) == writes_before_the_crash:
            (folder / f".{name}.123.new").write_bytes(b"half")  # as a kill in the middle of a write leaves it
            raise KeyboardInterrupt
        done.append(name)
        return real(folder, name, parts)

    monkeypatch.setattr(segments, "write_file", dies)
    with pytest.raises(KeyboardInterrupt):
        store.commit(folder, before, with_another(before), NOTE)
    monkeypatch.undo()
    after = store.read(folder)
    assert (after.brands, after.version, after.checksum()) == (before.brands, before.version, before.checksum())
    assert [entry.version for entry in manifests.log(folder)] == [1]
    store.commit(folder, after, replace(after, brands=(replace(after.brands[0], name="New"),)), NOTE)
    assert store.read(folder).brands[0].name == "New"
    assert not list(folder.glob(".*.new"))
    # the pointer, two manifests, three files of the first segment and one of the second: nothing of the dead writer is left
    assert len(content(folder)) == 7


def test_a_write_adds_what_is_new_and_leaves_every_file_that_is_there(folder):
    before = content(folder)
    one = store.read(folder)
    two = store.commit(folder, one, with_another(one), NOTE)
    three = store.commit(folder, two, replace(two, brands=(replace(two.brands[0], name="A Corp"), two.brands[1])), NOTE)
    after = content(folder)
    assert all(after[name] == data for name, data in before.items() if name != manifests.POINTER)
    assert files_of(folder).keys() == {"records"}  # a new name needs no vectors
    assert (three.version, len(three.segments)) == (3, 3)
    assert sum(name.startswith("vectors-") for name in after) == 2


def test_a_reader_survives_the_removal_of_its_files(folder):
    reader = store.read(folder)
    store.write(folder, replace(state("other"), version=1), NOTE, keep=1)
    assert "acme" not in "".join(content(folder))
    assert reader.picture(reader.references[0]) == b"abc"
    assert reader.brands[0].id == "acme"


def test_a_reader_that_looked_before_a_write_reads_the_new_state(folder, monkeypatch):
    real = manifests.read_pointer
    old = real(folder)
    store.write(folder, replace(state("other"), version=1), NOTE, keep=1)
    looks = iter([old])
    monkeypatch.setattr(manifests, "read_pointer", lambda f: next(looks, None) or real(f))
    assert store.read(folder).brands[0].id == "other"


def test_a_second_writer_waits_and_then_is_told(folder):
    library = Library.open(folder, lock_seconds=0.05)
    with store.lock(folder, 1), pytest.raises(LibraryError) as caught:
        library.remove("acme")
    assert caught.value.code == "locked"
    library.remove("acme")
    assert len(library) == 0


@pytest.mark.parametrize("part", ["records", "vectors", "thumbnails", "manifest"])
def test_an_altered_or_missing_file_is_damage(folder, part):
    name = pointer_of(folder)["manifest"]["name"] if part == "manifest" else files_of(folder)[part]
    whole = (folder / name).read_bytes()
    for worse in (whole[:-1] + b"x", whole[:-1], None):
        if worse is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(worse)
        with pytest.raises(LibraryError, match="vision library build") as caught:
            found = store.read(folder)
            found.picture(found.references[0])  # a picture is checked when it is looked at
        assert caught.value.code == "damaged"
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("pointer", "code"),
    [
        (b"", "damaged"),
        (b"[1, 2]", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b'{"schema": "vision.library/3"}', "newer_version"),
        (b'{"schema": "somebody.else/1"}', "damaged"),
        (b'{"schema": "vision.library/1"}', "damaged"),
        (b'{"schema": "vision.library/2"}', "damaged"),
        (b'{"schema": "vision.library/1", "files": {"brands": {"name": "../../x", "sha256": ""}}}', "damaged"),
        (
            b'{"schema": "vision.library/2", "version": 1, "manifest": {"name": "../x", "sha256": "", "size": 1}}',
            "damaged",
        ),
    ],
)
def test_a_pointer_that_is_none_is_named_as_what_it_is(folder, pointer, code):
    (folder / manifests.POINTER).write_bytes(pointer)
    with pytest.raises(LibraryError) as caught:
        store.read(folder)
    assert caught.value.code == code


def test_a_missing_library_is_missing_and_says_how_to_make_one(tmp_path):
    with pytest.raises(LibraryError, match="vision library create") as caught:
        store.read(tmp_path / "nowhere")
    assert caught.value.code == "missing"


@pytest.mark.parametrize(
    "parts",
    [
        {"vectors": np.zeros((1, 4), dtype=np.float16)},
        {"brands": (Brand("other", "Other"),)},
        {"brands": (Brand("acme", "A"), Brand("acme", "B"))},
        {"brands": (Brand("acme", "A", negative=True),)},
        {"blobs": {}},
        {"references": (Reference("acme/1", "acme", None, None, None, "drawing", 0, None),)},
        {"watch": {"mine": ("nobody",)}},
    ],
)
def test_parts_that_do_not_belong_together_are_never_written(tmp_path, parts):
    with pytest.raises(LibraryError, match="belong together"):
        store.write(tmp_path / "lib", replace(state("acme"), **parts), NOTE)
    assert not (tmp_path / "lib" / manifests.POINTER).exists()


def test_the_checksum_follows_the_content_and_neither_folder_nor_files(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    one = store.read(folder)
    assert store.read(tmp_path / "copy").checksum() == one.checksum()
    two = store.commit(folder, one, with_another(one), NOTE)
    assert two.checksum() != one.checksum()
    store.compact(folder, two, NOTE, 1)
    assert store.read(folder).checksum() == two.checksum()
    assert len(store.read(folder).segments) == 1


def test_vectors_are_never_unpickled(folder):
    path = folder / files_of(folder)["vectors"]
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    place = folder / pointer_of(folder)["manifest"]["name"]
    manifest = json.loads(place.read_text())
    manifest["segments"][0]["files"]["vectors"]["sha256"] = digest
    place.write_text(json.dumps(manifest))
    pointer = pointer_of(folder)
    pointer["manifest"]["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
    (folder / manifests.POINTER).write_text(json.dumps(pointer))
    with pytest.raises(LibraryError, match="holds object") as caught:
        store.read(folder)
    assert caught.value.code == "damaged"


# --- schema 1 ---


def write_schema_1(folder, made: State) -> None:
    """A library as the first version of this package wrote it."""
    folder.mkdir()
    brands = [{"id": b.id, "name": b.name, "aliases": list(b.aliases)} for b in made.brands]
    references = [
        {
            "id": r.id,
            "brand": r.brand_id,
            "product": r.product,
            "source": r.source,
            "licence": r.licence,
            "kind": r.kind,
            "vectors": r.vectors,
            "thumbnail": None if r.thumbnail is None else [r.thumbnail.offset, r.thumbnail.size],
        }
        for r in made.references
    ]
    for name, rows in (("brands-3.jsonl", brands), ("references-3.jsonl", references)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save(folder / "vectors-3.npy", made.vectors)
    (folder / "thumbnails-3.bin").write_bytes(made.blobs["made"])
    files = {
        part: {
            "name": f"{part}-3.{end}",
            "sha256": hashlib.sha256((folder / f"{part}-3.{end}").read_bytes()).hexdigest(),
        }
        for part, end in (("brands", "jsonl"), ("references", "jsonl"), ("vectors", "npy"), ("thumbnails", "bin"))
    }
    pointer = {
        "schema": "vision.library/1",
        "version": 3,
        "embedder": {"id": "fake/1", "checksum": "00", "dim": 4},
        "read_only": False,
        "brands": len(brands),
        "references": len(references),
        "vectors": len(made.vectors),
        "files": files,
    }
    (folder / manifests.POINTER).write_text(json.dumps(pointer))


def test_a_library_of_schema_1_opens_and_its_first_write_keeps_it_as_a_version(tmp_path):
    old = state("acme", "other")
    write_schema_1(tmp_path / "lib", old)
    before = content(tmp_path / "lib")
    found = store.read(tmp_path / "lib")
    assert (found.brands, found.references, found.version) == (old.brands, old.references, 3)
    assert found.picture(found.references[1]) == b"abc"
    assert found.checksum() == old.checksum()
    assert [entry.version for entry in manifests.log(tmp_path / "lib")] == [3]
    assert content(tmp_path / "lib") == before  # reading changes nothing

    library = Library.open(tmp_path / "lib")
    library.remove("other")
    assert pointer_of(tmp_path / "lib")["schema"] == "vision.library/2"
    assert not list((tmp_path / "lib").glob("brands-*"))
    assert [entry.version for entry in library.log()] == [4, 3]
    assert str(library.diff(3, 4)) == "1 brand removed, 1 reference removed"
    library.rollback(3)
    assert library.checksum == old.checksum()


def test_an_altered_file_of_schema_1_is_damage(tmp_path):
    for number, name in enumerate(("brands-3.jsonl", "references-3.jsonl", "vectors-3.npy", "thumbnails-3.bin")):
        folder = tmp_path / str(number)
        write_schema_1(folder, state("acme"))
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + b"x")
        with pytest.raises(LibraryError, match=name):
            store.read(folder)


@pytest.mark.parametrize("row", [[np.nan, 0, 0, 0], [100, 0, 0, 0], [0, 0, 0, 0], [np.inf, 0, 0, 0]])
def test_vectors_that_no_search_can_weigh_are_damage(folder, row):
    """A row of NaN is found by no search, a longer one than the others by every search."""
    path = folder / files_of(folder)["vectors"]
    vectors = np.load(path)
    vectors[1] = row
    np.save(path, vectors)
    manifest = folder / pointer_of(folder)["manifest"]["name"]

    def told(path_):
        data = path_.read_bytes()
        return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

    held = json.loads(manifest.read_text())
    held["segments"][-1]["files"]["vectors"] |= told(path)
    manifest.write_text(json.dumps(held))
    pointer = pointer_of(folder)
    pointer["manifest"] |= told(manifest)
    (folder / manifests.POINTER).write_text(json.dumps(pointer))
    with pytest.raises(LibraryError, match="do not belong together") as caught:
        store.read(folder)
    assert caught.value.code == "damaged"


def test_a_folder_that_may_not_be_written_to_any_more_is_named(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(folder / ".records-2.jsonl.1.new"))

    with pytest.raises(LibraryError, match="Permission denied") as caught, store.lock(folder, 1):
        refuse()
    assert (caught.value.code, caught.value.path) == ("read_only", str(folder))


# --- versions ---


def test_versions_that_no_longer_count_are_removed_with_what_only_they_hold(folder, monkeypatch):
    monkeypatch.setattr(store, "KEEP", 3)
    for number in range(6):
        now = store.read(folder)
        store.commit(folder, now, with_another(now, f"b{number}"), NOTE)
    assert [entry.version for entry in manifests.log(folder)] == [7, 6, 5]
    with pytest.raises(UsageError, match="kept are 5 to 7"):
        store.read(folder, 4)
    now = store.read(folder)
    gone = replace(now, brands=(), references=(), vectors=now.vectors[:0])
    store.compact(folder, store.commit(folder, now, gone, NOTE), NOTE, 1)
    assert len(content(folder)) == 3  # the pointer, one manifest, the records of nothing
    assert store.read(folder).brands == ()


def test_many_small_writes_leave_few_segments_and_the_same_content(folder, monkeypatch):
    monkeypatch.setattr(store, "_MANY", 4)
    now = store.read(folder)
    for number in range(40):
        now = store.commit(folder, now, with_another(now, f"b{number}"), NOTE)
        if number % 5 == 4:  # and something goes, too
            rows = np.repeat([r.brand_id != f"b{number - 2}" for r in now.references], 2)
            after = replace(
                now,
                brands=tuple(b for b in now.brands if b.id != f"b{number - 2}"),
                references=tuple(r for r in now.references if r.brand_id != f"b{number - 2}"),
                vectors=now.vectors[rows],
                watch={"last": (f"b{number}",)},
            )
            now = store.commit(folder, now, after, NOTE)
        assert len(now.segments) <= 5
        read = store.read(folder)
        assert (read.brands, read.references, read.watch) == (now.brands, now.references, now.watch)
        assert read.checksum() == now.checksum()
        assert all(read.picture(r) == b"abc" for r in read.references)


def test_a_damaged_manifest_of_an_old_version_removes_nothing_that_it_may_name(folder):
    one = store.read(folder)
    store.write(folder, state("other"), NOTE, before=one)
    (folder / "version-1.json").write_bytes(b"{")
    two = store.read(folder)
    store.commit(folder, two, with_another(two, "third"), NOTE)
    assert "vectors-1.npy" in content(folder)
    with pytest.raises(LibraryError, match="log"):
        manifests.log(folder)
