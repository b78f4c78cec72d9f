"""Libraries in and out: nothing is lost, nothing comes twice, and no file can do harm."""

from __future__ import annotations

import zipfile
from datetime import date

import numpy as np
import pytest
from library_fakes import Colours
from PIL import Image

from vision.errors import LibraryError, UsageError
from vision.library import Library
from vision.library.decisions import DECIDED, Decision, Decisions, apply
from vision.library.exchange import export_library, import_file, import_folder, opened, take_decisions


def mark(number: int) -> np.ndarray:
    random = np.random.default_rng(number)
    return np.kron(random.integers(0, 255, (4, 4, 3), dtype=np.uint8), np.ones((10, 10, 1), dtype=np.uint8))


def empty(path) -> Library:
    return Library.create(path, embedder=Colours())


@pytest.fixture
def library(tmp_path):
    made = empty(tmp_path / "brands")
    made.add("Acme", [mark(1), mark(2)], aliases=["ACME Corp"], line="L", product="P", licence="own", source="us")
    made.add("Häagen", mark(3), valid_from=date(2020, 1, 1))
    made.add("By Name", aliases=["BN"])
    made.add_negative("Sign", mark(4))
    made.watch("mine", "By Name", "Acme")
    return made


def content(library: Library) -> tuple:
    pictures = [library.thumbnail(r.id) for r in library.all_references()]
    names = library.brands(), library.negatives(), library.watch_lists()
    return *names, library.all_references(), pictures, library.all_vectors().tolist()


# --- one file ---


def test_a_library_comes_out_of_its_file_as_it_went_in(library, tmp_path):
    export_library(library, tmp_path / "out.zip")
    with opened(tmp_path / "out.zip") as packed:
        assert content(packed) == content(library)
        assert (packed.checksum, packed.version) == (library.checksum, library.version)
        copy = Library.create(tmp_path / "copy", base=packed, embedder=Colours())
    assert content(copy) == content(library)
    assert copy.thumbnail("acme/1") == library.thumbnail("acme/1")  # also when the unpacked file is gone
    with zipfile.ZipFile(tmp_path / "out.zip") as packed_file:
        packed_file.extractall(tmp_path / "by hand")
    assert Library.open(tmp_path / "by hand").checksum == library.checksum
    with pytest.raises(UsageError, match="there already"):
        export_library(library, tmp_path / "out.zip")


def test_a_file_joins_another_library_and_does_so_once(library, tmp_path):
    export_library(library, tmp_path / "out.zip")
    other = empty(tmp_path / "other")
    other.add("ACME", mark(1), aliases=["BN Ltd"], line="L", product="P")  # one of the pictures is there
    other.add("Someone", aliases=["BN"])
    other.watch("mine", "Someone")
    done = import_file(other, tmp_path / "out.zip")
    assert (done.added, done.brands, done.held) == (("acme/2", "haagen/1", "sign/1"), 2, 1)
    assert done.faults == (("By Name", "'BN' is a name of the brand 'Someone'"),)
    assert other.brand("acme corp").name == "ACME"
    assert other.brand("By Name").aliases == ()  # it came, without the alias that was taken
    assert other.watch_list("mine") == {"ACME", "By Name", "Someone"}
    assert other.search(mark(4))[0].negative
    assert other.reference("acme/2").licence == "own"
    assert other.reference("haagen/1").valid_from == date(2020, 1, 1)
    before, version = content(other), other.version
    again = import_file(other, tmp_path / "out.zip")
    assert (again.added, again.brands, again.held) == ((), 0, 4)
    assert (content(other), other.version) == (before, version)


def test_what_is_no_brand_here_joins_no_watch_list_of_a_file(library, tmp_path):
    library.watch("signs", "Acme")
    export_library(library, tmp_path / "out.zip")
    other = empty(tmp_path / "other")
    other.add_negative("Acme", mark(7))
    import_file(other, tmp_path / "out.zip")
    assert "signs" not in other.watch_lists()
    assert "Acme" not in other.watch_lists().get("mine", ())


def refusal(brand: str) -> Decision:
    return Decision(f"one-{brand}", "refuse", brand, "a.jpg", "a.jpg", "ab", (0.0, 0.0, 9.0, 9.0))


def test_what_was_decided_goes_with_the_library(library, tmp_path):
    library.rename("Acme", "Umbrella")  # its id stays acme, which is another brand's name elsewhere
    apply(library, [refusal("Umbrella")], lambda _: mark(1))
    export_library(library, tmp_path / "out.zip")
    with opened(tmp_path / "out.zip") as packed:
        copy = Library.create(tmp_path / "copy", base=packed, embedder=Colours())
        take_decisions(copy, packed, tmp_path / "out.zip")
    assert Decisions.read(copy.path).covers("ab", (0, 0, 9, 9), "acme")
    other = empty(tmp_path / "other")
    other.add("Acme", aliases=["something else"])
    apply(other, [refusal("Acme")], lambda _: mark(2))
    for _ in range(2):
        import_file(other, tmp_path / "out.zip")
        held = Decisions.read(other.path)
        assert len((other.path / DECIDED).read_bytes().splitlines()) == len(held) == 2
    # ids differ: the refusal is for the brand of that name, whatever its id
    assert held.covers("ab", (0, 0, 9, 9), other.brand("Umbrella").id)


def test_a_file_of_another_embedder_is_refused(library, tmp_path):
    export_library(library, tmp_path / "out.zip")
    other = Library.create(tmp_path / "other", embedder=Colours(id="else", checksum="e"))
    with pytest.raises(LibraryError, match="reembed") as caught:
        import_file(other, tmp_path / "out.zip")
    assert (caught.value.code, len(other)) == ("other_embedder", 0)


def rewritten(file, to, change):
    """A copy of a zip file with its members changed by `change(name, data)`, which gives pairs of name and data."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            for other, data in change(name, old.read(name)):
                new.writestr(other, data)
    return to


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: [(name, data), ("../evil.txt", b"x")] if name == "library.json" else [(name, data)],
        lambda name, data: [(name, data), ("/tmp/evil-1.npy", b"x")] if name == "library.json" else [(name, data)],
        lambda name, data: [(name, data), ("a/vectors-9.npy", b"x")] if name == "library.json" else [(name, data)],
        lambda name, data: [(name, data), ("note.pkl", b"x")] if name == "library.json" else [(name, data)],
        lambda name, data: [(name, bytes(80_000_000))] if name.startswith("thumbnails") else [(name, data)],
        lambda name, data: [(name, data[:-1] + b"x")] if name.startswith("thumbnails") else [(name, data)],
        lambda name, data: [(name, data[:-1] + b"x")] if name.startswith("vectors") else [(name, data)],
        lambda name, data: [(name, data.replace(b"Acme", b"Evil"))] if name.startswith("records") else [(name, data)],
        lambda name, data: [] if name.startswith("vectors") else [(name, data)],
        lambda name, data: [] if name == "library.json" else [(name, data)],
    ],
)
def test_a_file_with_more_less_or_other_than_it_should_have_changes_nothing(library, tmp_path, change):
    export_library(library, tmp_path / "out.zip")
    bad = rewritten(tmp_path / "out.zip", tmp_path / "bad.zip", change)
    other = empty(tmp_path / "deep" / "other")
    places = {p for p in tmp_path.rglob("*") if "evil" in p.name}
    with pytest.raises(LibraryError, match=r"bad\.zip") as caught:
        import_file(other, bad)
    assert caught.value.code == "damaged"
    assert (len(other), other.version) == (0, 1)
    assert {p for p in tmp_path.rglob("*") if "evil" in p.name} == places == set()


def test_a_folder_of_broken_pictures_is_no_brand(tmp_path):
    for brand in ("Acme", "Broken"):
        (tmp_path / "pictures" / brand).mkdir(parents=True)
    Image.fromarray(mark(1)).save(tmp_path / "pictures" / "Acme" / "1.png")
    (tmp_path / "pictures" / "Broken" / "1.png").write_bytes(b"")
    library = empty(tmp_path / "lib")
    done = import_folder(library, tmp_path / "pictures")
    assert (done.brands, [b.name for b in library.brands()]) == (1, ["Acme"])
    assert {place for place, _ in done.faults} == {"Broken/1.png", "Broken"}


@pytest.mark.parametrize(
    ("count", "size", "how", "told"),
    [
        (300, 1 << 20, zipfile.ZIP_DEFLATED, "unpacks to more"),
        (1, 4_000_000, zipfile.ZIP_DEFLATED, "unpacks to more"),
        (1, 10, zipfile.ZIP_BZIP2, "no part"),
        (1, 10, zipfile.ZIP_LZMA, "no part"),
    ],
)
def test_a_file_that_unpacks_to_more_than_a_library_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch, count, size, how, told
):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", how) as bomb:
        for number in range(count):
            bomb.writestr(f"version-{number}.json", bytes(size))
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: pytest.fail("something was unpacked"))
    with pytest.raises(LibraryError, match=told) as caught:
        import_file(empty(tmp_path / "lib"), tmp_path / "bad.zip")
    assert caught.value.code == "damaged"


def test_a_file_with_two_parts_of_one_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as twice, pytest.warns(UserWarning, match="Duplicate"):
        for data in (b"{}", b"[]"):
            twice.writestr("library.json", data)
    with pytest.raises(LibraryError, match="two parts of one name"):
        import_file(empty(tmp_path / "lib"), tmp_path / "bad.zip")


def test_a_file_whose_packed_bytes_are_altered_is_named_as_damaged(library, tmp_path):
    export_library(library, tmp_path / "out.zip")
    data = bytearray((tmp_path / "out.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        (member,) = [m for m in packed.infolist() if m.filename.startswith("records")]
    start = member.header_offset + 30 + len(member.filename)
    data[start : start + 20] = b"\xff" * 20
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(LibraryError, match="unpacked") as caught:
        import_file(empty(tmp_path / "lib"), tmp_path / "bad.zip")
    assert caught.value.code == "damaged"


def test_bytes_that_no_encoding_explains_are_spelled_out(tmp_path):
    odd = "b\udcff"
    library = empty(tmp_path / "brands")
    library.add("Acme", mark(1), source=odd, licence=odd, line=odd, product=odd, message=odd)
    kept = Library.open(tmp_path / "brands").reference("acme/1")
    assert {kept.source, kept.licence, kept.line, kept.product, library.log()[0].message} == {"b\\udcff"}
    with pytest.raises(UsageError, match="watch-list"):
        library.watch(odd, "Acme")
    (tmp_path / "pictures" / "Acme" / odd).mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(mark(number)).save(tmp_path / "pictures" / "Acme" / odd / f"{number}{odd}.png")
    first = import_folder(library, tmp_path / "pictures")
    again = import_folder(library, tmp_path / "pictures")
    assert (len(first.added), first.faults, again.added, again.held) == (2, (), (), 2)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"x" * 5000])
def test_what_is_no_zip_is_named_as_that(tmp_path, data):
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(LibraryError) as caught:
        import_file(empty(tmp_path / "lib"), tmp_path / "bad.zip")
    assert caught.value.code == "damaged"
    with pytest.raises(UsageError):
        import_file(Library.open(tmp_path / "lib"), tmp_path / "nowhere.zip")


# --- a folder for each brand ---


@pytest.fixture
def folder(tmp_path):
    for number, place in enumerate(
        (
            "Acme/one.png",
            "Acme/Cola/two.png",
            "Omega/Juices/Apple 1 l/three.png",
            "Omega/Juices/Apple 1 l/deep/four.png",
            "loose.png",
        )
    ):
        path = tmp_path / "logos" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mark(number)).save(path)
    (tmp_path / "logos" / "Omega" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "logos" / "Nothing").mkdir()
    (tmp_path / "logos" / "!!").mkdir()
    Image.fromarray(mark(9)).save(tmp_path / "logos" / "!!" / "mark.png")
    return tmp_path / "logos"


def test_each_folder_is_a_brand_and_what_cannot_be_is_told(tmp_path, folder):
    library = empty(tmp_path / "lib")
    done = import_folder(library, folder, licence="own")
    shown = {(r.source, r.brand_id, r.line, r.product, r.licence) for r in library.all_references()}
    assert shown == {
        ("one.png", "acme", None, None, "own"),
        ("two.png", "acme", None, "Cola", "own"),
        ("three.png", "omega", "Juices", "Apple 1 l", "own"),
        ("four.png", "omega", "Juices", "Apple 1 l", "own"),
    }
    assert (len(done.added), done.brands, done.held) == (4, 2, 0)
    assert {what for what, _ in done.faults} == {"loose.png", "Omega/bad.png", "Nothing", "!!"}
    assert library.version == 2  # one write
    assert library.search(mark(2))[0].product == "Apple 1 l"


def test_a_folder_imported_again_adds_what_is_new_only(tmp_path, folder):
    library = empty(tmp_path / "lib")
    import_folder(library, folder)
    Image.fromarray(mark(20)).save(folder / "Acme" / "new.png")
    Image.fromarray(mark(20)).save(folder / "Acme" / "the same.png")
    Image.fromarray(mark(20)).save(folder / "Acme" / "Cola" / "of a product.png")
    done = import_folder(library, folder)
    assert (done.added, done.brands, done.held) == (("acme/3", "acme/4"), 0, 5)
    assert {r.product for r in library.references("Acme")[2:]} == {None, "Cola"}


def test_a_folder_of_what_is_no_brand(tmp_path, folder):
    library = empty(tmp_path / "lib")
    import_folder(library, folder, negative=True)
    assert (len(library), [b.name for b in library.negatives()]) == (0, ["Acme", "Omega"])
    assert library.search(mark(0))[0].negative
    with pytest.raises(UsageError):
        import_folder(library, folder / "nowhere")
