"""A battery is the same whenever it is made, goes on where it was stopped, and is read as it lies there."""

import json

import numpy as np
import pytest
from PIL import Image

from vision.errors import DatasetError, UsageError
from vision.evaluate.copies.battery import Query, make_battery, plan, read_battery, split
from vision.evaluate.copies.edits import EDITS


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Nine pictures that can be used, one too small, one that looks like another, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub").mkdir()
    random = np.random.default_rng(0)
    for number in range(9):
        coarse = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(folder / "sub" / f"{number}.png")
    coarse.resize((640, 480), Image.Resampling.BICUBIC).save(folder / "sub" / "nine again.jpg")
    small = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    small.resize((320, 199), Image.Resampling.BICUBIC).save(folder / "small.png")
    (folder / "index.jsonl").write_text("{}")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "battery"
    return make_battery(photos, folder, n=2, decoys=1)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_edit_of_every_original_is_asked_and_strangers_are_never_indexed(made):
    assert len(made.references) == 9 - 5 + 1  # five of the nine are strangers, and one decoy is worn by a distractor
    roles = [r.role for r in made.references]
    assert [roles.count(r) for r in ("original", "distractor", "decoy")] == [2, 2, 1]
    originals = {r.source for r in made.references if r.role == "original"}
    assert {q.source for q in made.queries} == originals | {None}
    for source in originals:
        edits = [q.edit for q in made.queries if q.source == source]
        assert len(edits) == len(set(edits)) and set(EDITS) - set(edits) <= {"background"}
    assert 28 <= sum(q.source is None for q in made.queries) <= 30  # six of each stranger, if a subject stands out
    assert made.pairs == len(made.queries) * 5
    for path in (*(made.folder / q.query for q in made.queries), *map(made.path, made.references)):
        assert path.is_file()


def test_what_is_written_is_read_as_it_was(made, photos):
    assert read_battery(made.folder, photos) == made


def test_a_battery_is_the_same_twice_byte_for_byte_whatever_the_threads(made, photos, tmp_path):
    make_battery(photos, tmp_path / "again", n=2, decoys=1, threads=1)
    assert contents(tmp_path / "again") == contents(made.folder)


def test_making_goes_on_where_it_was_stopped(made, photos, tmp_path):
    folder = tmp_path / "battery"
    make_battery(photos, folder, n=2, decoys=1)
    (folder / "queries" / "000003.jpg").unlink()
    (folder / "truth.jsonl").unlink()
    kept = folder / "queries" / "000004.jpg"
    before = kept.stat().st_mtime_ns
    assert make_battery(photos, folder, n=2, decoys=1).queries == made.queries
    assert contents(folder) == contents(made.folder)
    assert kept.stat().st_mtime_ns == before


def test_another_battery_is_not_mixed_into_a_folder(made, photos, tmp_path):
    before = contents(made.folder)
    for other in ({"n": 1}, {"seed": 8}):
        with pytest.raises(UsageError) as caught:
            make_battery(photos, made.folder, **{"n": 2, "decoys": 1} | other)
        assert caught.value.code == "bad_option"
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError):
        make_battery(photos, tmp_path, n=2)
    assert contents(made.folder) == before


def test_too_few_pictures_are_told(photos, tmp_path):
    with pytest.raises(DatasetError) as caught:
        make_battery(photos, tmp_path / "battery", n=5)
    assert caught.value.code == "missing"
    assert not (tmp_path / "battery").exists()
    with pytest.raises(DatasetError):
        make_battery(photos / "nowhere", tmp_path / "battery", n=1)


def test_a_split_parts_all_pictures_and_depends_on_the_seed():
    names = [str(n) for n in range(100)]
    strangers, originals, rest = split(names, 20, 7)
    assert (len(strangers), len(originals), len(rest)) == (10, 20, 70)
    assert sorted(strangers + originals + rest, key=int) == names
    assert split(names, 20, 8)[1] != originals
    assert split(names, 30, 7)[1][:20] == originals  # more originals are the same ones and others


def test_strangers_are_asked_by_six_edits_each_in_turn():
    queries, jobs = plan(["a"], ["x", "y"])
    edits = list(EDITS)
    assert [q.edit for q in queries] == [*edits, *edits[:12]]
    assert [q.source for q in queries] == ["a"] * len(edits) + [None] * 12
    assert [job[1] for job in jobs[len(edits) :]] == ["x"] * 6 + ["y"] * 6


def rows(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.fixture
def by_hand(tmp_path):
    """A battery as others write it, with nothing but the files of the contract."""
    folder, photos = tmp_path / "battery", tmp_path / "photos"
    for path in (folder / "queries" / "0.jpg", folder / "decoys" / "0.jpg", photos / "a.jpg", photos / "b.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"jpeg")
    asked = {"query": "queries/0.jpg", "source": "a.jpg", "edit": "crop5", "family": "crop"}
    (folder / "truth.jsonl").write_text(rows(asked))
    references = (("a.jpg", "original"), ("b.jpg", "distractor"), ("decoys/0.jpg", "decoy"))
    (folder / "refs.jsonl").write_text(rows(*({"source": s, "role": r} for s, r in references)))
    return folder, photos


def test_a_battery_of_others_is_read(by_hand):
    folder, photos = by_hand
    battery = read_battery(folder, photos)
    assert battery.queries == (Query("queries/0.jpg", "a.jpg", "crop5", "crop"),)
    assert [battery.path(r) for r in battery.references] == [
        photos / "a.jpg",
        photos / "b.jpg",
        folder / "decoys" / "0.jpg",
    ]
    assert battery.summary() == {
        "queries": 1,
        "of_strangers": 0,
        "edits": 1,
        "originals": 1,
        "references": 3,
        "decoys": 1,
        "pairs": 3,
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda folder, photos: (photos / "b.jpg").unlink(), "missing"),
        (lambda folder, photos: (folder / "decoys" / "0.jpg").unlink(), "missing"),
        (lambda folder, photos: (folder / "truth.jsonl").unlink(), "missing"),
        (lambda folder, photos: (folder / "truth.jsonl").write_text("{"), "bad_label"),
        (lambda folder, photos: (folder / "truth.jsonl").write_text(rows({"query": "queries/0.jpg"})), "bad_label"),
        (
            lambda folder, photos: (folder / "refs.jsonl").write_text(rows({"source": "a.jpg", "role": "?"})),
            "bad_label",
        ),
        (
            lambda folder, photos: (folder / "refs.jsonl").write_text(rows({"source": "b.jpg", "role": "distractor"})),
            "bad_label",
        ),
    ],
    ids=["photograph", "decoy", "truth", "half a row", "a short row", "a role", "an unknown source"],
)
def test_what_is_missing_or_makes_no_sense_is_told_before_anything_is_searched(by_hand, change, code):
    change(*by_hand)
    with pytest.raises(DatasetError) as caught:
        read_battery(*by_hand)
    assert caught.value.code == code
