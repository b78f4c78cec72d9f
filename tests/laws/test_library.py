"""The brand library as a whole, with a small fake embedder: what add, search, rename and remove promise."""

from __future__ import annotations

import itertools
import json
import threading
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from library_fakes import Colours

from vision.errors import LibraryError, PictureError, UsageError
from vision.library import Library, NewBrand, NewReference, manifests
from vision.library.pictures import crop_to_content


def mark(number: int, side: int = 40) -> np.ndarray:
    """A picture of coloured squares, another one for each number."""
    random = np.random.default_rng(number)
    return np.kron(
        random.integers(0, 255, (4, 4, 3), dtype=np.uint8), np.ones((side // 4, side // 4, 1), dtype=np.uint8)
    )


@pytest.fixture
def library(tmp_path):
    made = Library.create(tmp_path / "brands", embedder=Colours())
    made.add("Coca-Cola", [mark(1), mark(2)], aliases=["Coke"])
    made.add("Häagen-Dazs", mark(3))
    return made


def answers(library: Library, numbers=range(1, 6)) -> list[list[tuple[str, float]]]:
    found = library.search([mark(n) for n in numbers], k=3)
    return [[(m.brand, round(m.similarity, 6)) for m in matches] for matches in found]


def test_a_reference_finds_itself_with_similarity_1(library):
    for number, reference in ((1, "coca-cola/1"), (2, "coca-cola/2"), (3, "haagen-dazs/1")):
        best = library.search(mark(number))[0]
        assert best.reference == reference
        assert best.similarity == pytest.approx(1, abs=1e-3)  # float16 on disk


def test_opening_what_was_saved_changes_nothing(library):
    again = Library.open(library.path, embedder=Colours())
    assert answers(again) == answers(library)
    assert again.brands() == library.brands()
    assert (again.version, again.checksum) == (library.version, library.checksum)


def test_the_order_of_adding_does_not_change_what_is_found(tmp_path):
    pictures = {"A": [mark(1), mark(4)], "B": [mark(2)], "C": [mark(3)]}
    seen = []
    for number, order in enumerate(itertools.permutations(pictures)):
        made = Library.create(tmp_path / str(number), embedder=Colours())
        for name in order:
            made.add(name, pictures[name])
        seen.append(answers(made))
    assert all(one == seen[0] for one in seen)


def test_adding_a_brand_never_lowers_the_best_similarity(library):
    before = [found[0][1] for found in answers(library)]
    library.add("Other", [mark(4), mark(7)])
    assert all(after[0][1] >= old for after, old in zip(answers(library), before, strict=True))


def test_the_similarity_of_a_named_brand_is_what_a_search_finds_for_it(library):
    queries = Colours().embed_images([mark(n) for n in range(1, 6)])
    wanted = [{m.brand: m for m in matches} for matches in library.search_embeddings(queries, k=9)]
    names = [["Häagen-Dazs", "coke"], ["Coca-Cola"], [], ["coke", "haagen dazs", "Coca-Cola"], ["haagen dazs"]]
    found = library.nearest_of(queries, names)
    assert found == [[each[library.brand(n).name] for n in row] for row, each in zip(names, wanted, strict=True)]
    library.extend([NewBrand("By Name", [])])
    assert library.nearest_of(queries[:1], [["By Name", "coke"]]) == [[None, found[0][1]]]
    with pytest.raises(UsageError, match="no brand 'Nobody'"):
        library.nearest_of(queries[:1], [["Nobody"]])
    with pytest.raises(LibraryError):
        library.nearest_of(np.ones((1, 7), dtype=np.float32), [["Coca-Cola"]])


def test_one_crop_gives_a_list_and_a_list_gives_lists(library):
    assert library.search([mark(1)]) == [library.search(mark(1))]
    assert library.search([]) == []


def test_an_empty_library_finds_nothing(tmp_path):
    empty = Library.create(tmp_path / "empty", embedder=Colours())
    assert empty.search(mark(1)) == []
    assert empty.search_text("red") == []
    assert len(empty) == 0


@pytest.mark.parametrize("name", ["coca cola", "COCA-COLA", "coke", "Cóca Cola®"])
def test_names_are_found_however_they_are_spelled(library, name):
    assert library.brand(name).id == "coca-cola"
    assert name in library


def test_adding_under_an_alias_joins_the_brand(library):
    library.add("COKE", mark(9))
    assert [r.id for r in library.references("Coca-Cola")] == ["coca-cola/1", "coca-cola/2", "coca-cola/3"]
    assert library.search(mark(9))[0].brand == "Coca-Cola"


def test_the_same_picture_is_added_once(library):
    """References doubled when a folder was added again."""
    assert [r.id for r in library.add("Coca-Cola", [mark(9), mark(9)])] == ["coca-cola/3"]
    version = library.version
    assert library.add("Coca-Cola", [mark(9)]) == []
    assert library.version == version
    assert len(library.add("Coca-Cola", [mark(9)], product="Zero")) == 1
    assert len(library.add("Coca-Cola", [mark(9)], valid_until=date(2024, 12, 31))) == 1  # of other days: another one
    assert len(library.add("Pepsi", [mark(9)])) == 1  # the doctor tells that two brands have it


@pytest.mark.parametrize(
    "pixels", [np.full((64, 64, 3), 255, np.uint8), np.eye(5, dtype=np.uint8)[..., None].repeat(3, 2) * 255]
)
def test_a_picture_that_shows_nothing_is_no_reference(library, pixels):
    """A blank one, or one of hardly a pixel, resembled textures, and brands were claimed on them."""
    version = library.version
    with pytest.raises(PictureError) as caught:
        library.add("Pepsi", [mark(5), pixels])
    assert (caught.value.code, library.version, "Pepsi" in library) == ("empty", version, False)


def test_renaming_to_an_alias_leaves_it_none(library):
    assert library.rename("Coca-Cola", "COKE").aliases == ()
    assert library.brand("coke").name == "COKE"


def test_an_unknown_name_is_refused_with_names_like_it(library):
    with pytest.raises(UsageError, match="did you mean Coca-Cola") as caught:
        library.remove("Cocacolla")
    assert caught.value.code == "bad_option"


def test_an_alias_of_another_brand_is_refused_and_nothing_is_written(library):
    version = library.version
    with pytest.raises(UsageError, match="Coca-Cola"):
        library.add("Pepsi", mark(5), aliases=["coke"])
    assert (library.version, "Pepsi" in library) == (version, False)
    assert Library.open(library.path).version == version


def test_renaming_keeps_id_and_references_and_frees_the_old_name(library):
    brand = library.rename("Coca-Cola", "The Coca-Cola Company")
    assert (brand.id, brand.aliases) == ("coca-cola", ("Coke",))
    assert library.search(mark(1))[0].brand == "The Coca-Cola Company"
    assert "coca cola" not in library
    library.add("Coca-Cola", mark(8))  # a new brand of the old name gets an id of its own
    assert library.brand("Coca-Cola").id == "coca-cola-2"
    with pytest.raises(UsageError, match="is a name of"):
        library.rename("Coca-Cola", "coke")


def test_removing_takes_away_references_vectors_and_pictures_and_no_others(library):
    kept = library.thumbnail("haagen-dazs/1")
    assert kept is not None
    library.remove("coke")
    assert [b.name for b in library.brands()] == ["Häagen-Dazs"]
    assert library.thumbnail("haagen-dazs/1") == kept
    assert library.thumbnail("coca-cola/1") is None
    assert {m.brand for m in library.search(mark(1))} == {"Häagen-Dazs"}
    library.compact(keep=1)
    assert sum(p.stat().st_size for p in library.path.glob("thumbnails-*")) == len(kept)
    assert library.thumbnail("haagen-dazs/1") == kept


def test_a_picture_that_cannot_be_read_leaves_everything_as_it_was(library, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    before = sorted(p.name for p in library.path.iterdir())
    with pytest.raises(PictureError):
        library.add("New", [mark(5), broken])
    assert "New" not in Library.open(library.path)
    assert sorted(p.name for p in library.path.iterdir()) == before


@pytest.mark.parametrize("name", ["", "  ", "!?", "a\x00b", "a\ud800"])
def test_names_that_nobody_can_read_are_refused(library, name):
    with pytest.raises(UsageError):
        library.add(name, mark(5))


def test_a_library_of_another_embedder_is_refused_with_the_command_that_helps(library):
    other = Colours(id="colours/2", checksum="c1")
    with pytest.raises(LibraryError, match="vision library reembed") as caught:
        Library.open(library.path, embedder=other)
    assert caught.value.code == "other_embedder"
    with pytest.raises(LibraryError) as caught:
        library.search_embeddings(np.ones((1, 7), dtype=np.float32))
    assert caught.value.code == "other_embedder"


def test_reembedding_makes_the_vectors_of_another_embedder_from_the_pictures_kept(library):
    class Inverted(Colours):
        def embed_images(self, images):
            return super().embed_images([255 - np.asarray(image) for image in images])

    library.extend([NewBrand("Vectors Only", [NewReference(Colours().embed_images([mark(7)]))])])
    again, lost = Library.reembed(library.path, embedder=Inverted(id="inverted/1", checksum="i0"))
    assert [r.id for r in lost] == ["vectors-only/1"]
    assert [b.name for b in again.brands()] == ["Coca-Cola", "Häagen-Dazs", "Vectors Only"]  # the last one by name
    assert again.references("Vectors Only") == []
    assert again.search(mark(1))[0].reference == "coca-cola/1"
    assert again.search(mark(1))[0].similarity > 0.99  # WebP is lossy
    with pytest.raises(LibraryError, match="open it again"):
        library.add("Coca-Cola", mark(5))


def test_a_plain_border_is_cut_away_and_both_views_are_kept(library):
    framed = np.full((100, 160, 3), 250, dtype=np.uint8)
    framed[10:50, 20:60] = mark(6)
    library.add("Framed", framed)
    assert library.references("Framed")[0].vectors == 2
    assert library.search(mark(6, 40))[0].brand == "Framed"
    content = crop_to_content(framed)
    assert content is not None
    assert content.shape == (48, 48, 3)
    assert crop_to_content(np.full((9, 9, 3), 200, dtype=np.uint8)) is None
    assert crop_to_content(mark(6)) is None


def test_the_shipped_kind_is_read_only_and_a_copy_of_it_is_not(tmp_path):
    vectors = Colours().embed_images([mark(1)])
    shipped = Library.build(
        tmp_path / "shipped", [NewBrand("Acme", [NewReference(vectors, "drawing")])], embedder=Colours(), read_only=True
    )
    for change in (
        lambda: shipped.add("B", mark(2)),
        lambda: shipped.remove("Acme"),
        lambda: shipped.rename("Acme", "B"),
    ):
        with pytest.raises(LibraryError, match="--from-shipped") as caught:
            change()
        assert caught.value.code == "read_only"
    mine = Library.create(tmp_path / "mine", base=shipped, embedder=Colours())
    mine.add("B", mark(2))
    assert [b.name for b in mine.brands()] == ["Acme", "B"]
    assert [b.name for b in Library.open(shipped.path).brands()] == ["Acme"]


def test_building_again_takes_the_place_of_the_library_even_of_a_damaged_one(tmp_path):
    def build(name: str) -> Library:
        new = NewBrand(name, [NewReference(Colours().embed_images([mark(1)]))])
        return Library.build(tmp_path / "built", [new], embedder=Colours())

    assert build("A").version == 1
    next(iter((tmp_path / "built").glob("vectors-*"))).write_bytes(b"")
    assert build("B").version == 2
    assert [b.name for b in Library.open(tmp_path / "built").brands()] == ["B"]
    assert len(list((tmp_path / "built").glob("vectors-*"))) == 1


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError):
        Library.create(tmp_path, embedder=Colours())
    with pytest.raises(UsageError):
        Library.build(tmp_path, [], embedder=Colours())
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_library_made_while_the_embedder_is_loaded_is_left_alone(tmp_path, monkeypatch):
    """The second program that made a library in the folder wrote over the first one's."""

    def load():
        Library.create(tmp_path, embedder=Colours()).add("Acme", mark(1))
        return Colours()

    monkeypatch.setattr("vision.library.library.shipped_embedder", load)
    with pytest.raises(UsageError, match="not empty"):
        Library.create(tmp_path)
    assert "Acme" in Library.open(tmp_path, embedder=Colours())


def test_a_watch_list_searches_its_brands_only(library):
    part = library.subset(brands=["haagen dazs"])
    assert [m.brand for m in part.search(mark(1))] == ["Häagen-Dazs"]
    assert part.thumbnail("haagen-dazs/1") == library.thumbnail("haagen-dazs/1")
    for change in (lambda: part.add("X", mark(5)), lambda: part.remove("haagen dazs")):
        with pytest.raises(LibraryError) as caught:
            change()
        assert caught.value.code == "read_only"
    assert len(library.subset(kinds=["drawing"])) == 0


def test_vectors_that_are_not_unit_rows_of_the_right_length_are_refused(library):
    for vectors in (
        np.ones((1, 49), dtype=np.float32),
        np.eye(1, 48, dtype=np.float32),
        np.zeros((0, 49), dtype=np.float32),
    ):
        with pytest.raises(LibraryError):
            library.extend([NewBrand("X", [NewReference(vectors)])])


def test_readers_in_many_threads_agree_while_another_library_object_writes(library):
    queries = Colours().embed_images([mark(n) for n in range(1, 4)])
    wanted = library.search_embeddings(queries)
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(library.search_embeddings(queries))) for _ in range(8)]
    for thread in threads:
        thread.start()
    Library.open(library.path, embedder=Colours()).add("Meanwhile", mark(5))
    for thread in threads:
        thread.join()
    assert found == [wanted] * 8
    library.add("Later", mark(6))  # starts from what is on disk by now
    assert [b.name for b in library.brands()] == ["Coca-Cola", "Häagen-Dazs", "Later", "Meanwhile"]


def test_the_pointer_names_the_embedder_and_the_counts(library):
    pointer = json.loads((library.path / manifests.POINTER).read_text())
    assert pointer["schema"] == "vision.library/2"
    assert pointer["embedder"] == {"id": "colours/1", "checksum": "c0", "dim": 49}
    assert (pointer["brands"], pointer["references"]) == (2, 3)
    assert not any(Path(p).suffix in {".pkl", ".pickle"} for p in library.path.iterdir())
