"""The library's folder: the old state or the new one, whatever happens in between, and clear words for what is wrong with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from vision.errors import LibraryError
from vision.library import Library, store
from vision.library.store import Brand, EmbedderRecord, Reference, State


def state(*names: str) -> State:
    return State(
        EmbedderRecord("fake/1", "00", 4),
        tuple(Brand(name, name.title()) for name in names),
        tuple(Reference(f"{name}/1", name, None, "made", "CC0-1.0", "drawing", 2, (0, 3)) for name in names),
        np.tile(np.eye(1, 4, dtype=np.float16), (2 * len(names), 1)),
        b"abc",
    )


def content(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != ".lock"}


@pytest.fixture
def folder(tmp_path):
    store.write(tmp_path / "lib", state("acme"))
    return tmp_path / "lib"


def test_what_was_written_is_read(folder):
    found = store.read(folder)
    assert (found.brands, found.references, found.version) == (state("acme").brands, state("acme").references, 1)
    assert found.vectors.dtype == np.float16
    assert np.array_equal(found.vectors, state("acme").vectors)
    assert bytes(found.thumbnails) == b"abc"


@pytest.mark.parametrize("writes_before_the_crash", range(4))
def test_a_killed_writer_leaves_the_old_state(folder, monkeypatch, writes_before_the_crash):
    before, real, done = store.read(folder), store.write_atomically, []

    def dies(path, data):
        if len(done) == writes_before_the_crash:
            path.with_name(f".{path.name}.123.new").write_bytes(
                data[:5]
            )  # as a kill in the middle of a write leaves it
            raise KeyboardInterrupt
        done.append(path)
        real(path, data)

    monkeypatch.setattr(store, "write_atomically", dies)
    changed = store.change(
        before, **{p: getattr(state("acme", "other"), p) for p in ("brands", "references", "vectors")}
    )
    with pytest.raises(KeyboardInterrupt):
        store.write(folder, changed)
    monkeypatch.undo()
    after = store.read(folder)
    assert (after.brands, after.version, after.checksum) == (before.brands, before.version, before.checksum)
    store.write(folder, store.change(after, brands=(replace(after.brands[0], name="New"),)))
    assert store.read(folder).brands[0].name == "New"
    assert not list(folder.glob(".*.new"))
    assert len(content(folder)) == 5  # the pointer and four parts: nothing of the dead writer is left


def test_files_of_unchanged_parts_are_not_written_again(folder):
    before = store.read(folder)
    store.write(folder, store.change(before, brands=(Brand("acme", "Acme Corp", ("A",)),)))
    after = store.read(folder)
    assert after.files["vectors"] == before.files["vectors"]
    assert after.files["brands"] != before.files["brands"]
    assert after.version == before.version + 1


def test_a_reader_survives_the_removal_of_its_files(folder):
    reader = store.read(folder)
    store.write(folder, replace(state("other"), thumbnails=b"xyz"))
    assert "acme" not in "".join(content(folder))
    assert bytes(reader.thumbnails) == b"abc"
    assert reader.brands[0].id == "acme"


def test_a_reader_that_looked_before_a_write_reads_the_new_state(folder, monkeypatch):
    real = store._read_pointer
    old = real(folder)
    store.write(folder, state("other"))
    looks = iter([old])
    monkeypatch.setattr(store, "_read_pointer", lambda f: next(looks, None) or real(f))
    assert store.read(folder).brands[0].id == "other"


def test_a_second_writer_waits_and_then_is_told(folder):
    library = Library.open(folder, lock_seconds=0.05)
    with store.lock(folder, 1), pytest.raises(LibraryError) as caught:
        library.remove("acme")
    assert caught.value.code == "locked"
    library.remove("acme")
    assert len(library) == 0


def damage(folder, name):
    pointer = json.loads((folder / store.POINTER).read_text())
    path = folder / pointer["files"][name]["name"]
    if name == "thumbnails":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize("part", ["brands", "references", "vectors", "thumbnails"])
def test_an_altered_or_missing_file_is_damage(folder, part):
    damage(folder, part)
    with pytest.raises(LibraryError, match="vision library build") as caught:
        store.read(folder)
    assert caught.value.code == "damaged"
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("pointer", "code"),
    [
        (b"", "damaged"),
        (b"[1, 2]", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b'{"schema": "vision.library/2"}', "newer_version"),
        (b'{"schema": "somebody.else/1"}', "damaged"),
        (b'{"schema": "vision.library/1"}', "damaged"),
        (b'{"schema": "vision.library/1", "files": {"brands": {"name": "../../x", "sha256": ""}}}', "damaged"),
    ],
)
def test_a_pointer_that_is_none_is_named_as_what_it_is(folder, pointer, code):
    (folder / store.POINTER).write_bytes(pointer)
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
        {"thumbnails": b""},
        {"references": (Reference("acme/1", "acme", None, None, None, "drawing", 0, None),)},
    ],
)
def test_parts_that_do_not_belong_together_are_never_written(tmp_path, parts):
    with pytest.raises(LibraryError, match="belong together"):
        store.write(tmp_path / "lib", replace(state("acme"), **parts))
    assert not (tmp_path / "lib" / store.POINTER).exists()


def test_the_checksum_follows_the_content_and_not_the_folder(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    assert store.read(tmp_path / "copy").checksum == store.read(folder).checksum
    store.write(folder, state("acme", "other"))
    assert store.read(tmp_path / "copy").checksum != store.read(folder).checksum


def test_vectors_are_never_unpickled(folder):
    path = next(folder.glob("vectors-*"))
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    pointer = json.loads((folder / store.POINTER).read_text())
    pointer["files"]["vectors"]["sha256"] = __import__("hashlib").sha256(path.read_bytes()).hexdigest()
    (folder / store.POINTER).write_text(json.dumps(pointer))
    with pytest.raises(LibraryError) as caught:
        store.read(folder)
    assert caught.value.code == "damaged"
