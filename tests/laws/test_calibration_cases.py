"""Laws of what a calibration is fitted to: it sees what a scan sees, and pictures as people keep them."""

from dataclasses import replace
from types import MappingProxyType

import library_fakes
import numpy as np
import pytest
from library_fakes import Colours
from PIL import Image
from text_fakes import line

pytestmark = pytest.mark.train

from vision.datasets.labelled import LabelledBox, LabelledPicture  # noqa: E402
from vision.errors import DatasetError  # noqa: E402
from vision.library import Library  # noqa: E402
from vision.recognise import LOOKED_AT, Recogniser  # noqa: E402
from vision.training.calibration_cases import Gatherer, brand_free_photos  # noqa: E402
from vision.training.calibration_fit import answer, fit, without_names  # noqa: E402
from vision.training.library import brand_crops  # noqa: E402
from vision.values import Detections  # noqa: E402
from vision.verdict import Calibration  # noqa: E402
from vision.verdict.evidence import FEATURES, contenders  # noqa: E402

SURE = Calibration((0.0,) * len(FEATURES), 9.0, 1e-4)


class Everything:
    """Finds one logo: the picture."""

    operating_points = MappingProxyType({"logo": 0.5})

    def detect(self, pictures, *, min_score):
        return [
            Detections(np.array([[0, 0, p.width, p.height]], dtype=np.float32), ("logo",), np.array([0.9], np.float32))
            for p in pictures
        ]


class Halves(Everything):
    """Finds a logo in the left half, and hardly one in the right."""

    def detect(self, pictures, *, min_score):
        (picture,) = pictures
        middle, scores = picture.width / 2, np.array([0.9, LOOKED_AT], np.float32)
        boxes = [[0, 0, middle, picture.height], [middle, 0, picture.width, picture.height]]
        kept = scores >= min_score["logo"]
        return [Detections(np.array(boxes, np.float32)[kept], ("logo",) * int(kept.sum()), scores[kept])]


class Nothing:
    """Reads nothing, in any way."""

    def read(self, crops, *, quick=False):
        return [() for _ in crops]

    read_whole = read_ring = read


class Sign(Nothing):
    """Reads one word."""

    def __init__(self, word):
        self.word = word

    def read(self, crops, *, quick=False):
        return [(line(self.word),) for _ in crops]


def colour(*rgb):
    return library_fakes.colour(rgb, 64)


def test_negative_references_compete_in_a_calibration_as_they_do_in_a_scan(tmp_path):
    library = Library.create(tmp_path / "l", embedder=Colours())
    for number in range(4):
        library.add(f"Brand {number}", colour(10, 60 * number, 250))
    library.add_negative("Care label", colour(250, 10, 10))
    Image.fromarray(colour(250, 10, 10)).save(tmp_path / "label.png")
    gatherer = Gatherer(Everything(), Recogniser(Colours(), library), (2,))
    cases = gatherer.photo(tmp_path / "label.png")
    assert {c.brands for c in cases} == {2, 4}  # negatives are no brands
    for case in cases:
        assert case.evidence.matches[0].negative
        assert answer((SURE, SURE), case).brand is None


def test_an_unlabelled_mark_of_a_brand_that_the_picture_shows_teaches_no_caution(tmp_path):
    """Few sources label every word that names a brand: without those brands, whatever else is named there is wrong."""
    library = Library.create(tmp_path / "l", embedder=Colours())
    for name, tone in (("Acme", 250), ("Other", 90)):
        library.add(name, colour(10, 10, tone))
    Image.fromarray(np.hstack([colour(10, 10, 250)] * 2)).save(tmp_path / "two.png")
    box = LabelledBox((0.0, 0.0, 64.0, 64.0), "logo", "Acme Kids")
    shown = LabelledPicture(tmp_path / "two.png", 128, 64, (box,), "set", True, frozenset({"logo"}))
    cases = list(Gatherer(Halves(), Recogniser(Colours(), library)).labelled([shown]))
    found = [
        [m.brand for m in case.evidence.matches]
        for case in cases
        if case.evidence.score < 0.5 and case.evidence.kind == "logo"
    ]
    assert found == [["Other"]]


@pytest.mark.parametrize(("word", "alone"), [("BLUEBIRD", 1), ("BLUEBIR", 0), ("Sturmwind", 0)])
def test_a_brand_that_was_clearly_read_is_a_case_by_name_alone_too(tmp_path, word, alone):
    library = Library.create(tmp_path / "l", embedder=Colours())
    for number, name in enumerate(("Bluebird", "Redwood", "Greenfield")):
        library.add(name, colour(10, 80 * number, 250))
    Image.fromarray(colour(10, 0, 250)).save(tmp_path / "mark.png")
    box = LabelledBox((0.0, 0.0, 64.0, 64.0), "logo", "Bluebird")
    shown = LabelledPicture(tmp_path / "mark.png", 64, 64, (box,), "set", True, frozenset({"logo"}))
    gatherer = Gatherer(Everything(), Recogniser(Colours(), library, Sign(word)), (2,))
    cases = list(gatherer.labelled([shown]))
    found = [case for case in cases if case.by_name]
    assert [case.brands for case in found] == [
        3
    ] * alone  # not of smaller libraries, in which nothing is held by name alone
    for case in found:
        assert contenders(case.evidence)[case.right].alone
        assert "Bluebird" not in {m.brand for m in case.evidence.matches}
    # the fit of vision alone has none of them
    assert fit(cases, reading=False) == fit([case for case in cases if not case.by_name], reading=False)
    assert not any(without_names(case).evidence.clear_text for case in cases)


def test_a_brand_without_pictures_is_no_case_twice(tmp_path):
    library = Library.create(tmp_path / "l", embedder=Colours())
    library.add("Redwood", colour(250, 10, 10))
    library.add("Bluebird")
    Image.fromarray(colour(10, 0, 250)).save(tmp_path / "mark.png")
    box = LabelledBox((0.0, 0.0, 64.0, 64.0), "logo", "Bluebird")
    shown = LabelledPicture(tmp_path / "mark.png", 64, 64, (box,), "set", True, frozenset({"logo"}))
    cases = list(Gatherer(Everything(), Recogniser(Colours(), library, Sign("BLUEBIRD"))).labelled([shown]))
    assert sum(case.right is not None and contenders(case.evidence)[case.right].alone for case in cases) == 1
    assert not any(case.by_name for case in cases)


def test_what_is_too_small_to_be_read_is_judged_without_reading_as_in_a_scan(tmp_path):
    library = Library.create(tmp_path / "l", embedder=Colours())
    library.add("Brand", colour(10, 10, 250))
    for side in (12, 64):
        Image.fromarray(colour(10, 10, 250)[:side]).save(tmp_path / f"{side}.png")
    gatherer = Gatherer(Everything(), Recogniser(Colours(), library, Nothing()))
    (small, *_), (large, *_) = (gatherer.photo(tmp_path / f"{side}.png") for side in (12, 64))
    assert (small.read, large.read) == (False, True)
    unsure = Calibration((0.0,) * len(FEATURES), -9.0, 1e-4)
    assert answer((unsure, SURE), small).probability < 0.01 < 0.99 < answer((unsure, SURE), large).probability


def test_brand_free_pictures_are_found_whatever_their_format(tmp_path):
    for name in ("b.webp", "a.JPG", "c.bmp", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "e.jfif").touch()
    found = brand_free_photos([str(tmp_path)], ["c.bmp"], 1)
    assert [p.name for p in found] == ["a.JPG", "b.webp", "e.jfif"]
    with pytest.raises(DatasetError, match="no such folder"):
        brand_free_photos([str(tmp_path / "nowhere")], (), 1)


def test_a_folder_of_brand_free_pictures_may_be_called_as_a_list_is(tmp_path, monkeypatch):
    (tmp_path / "@plain").mkdir()
    (tmp_path / "@plain" / "a.jpg").touch()
    monkeypatch.chdir(tmp_path)
    assert [p.name for p in brand_free_photos(["@plain"], (), 1)] == ["a.jpg"]


def test_pictures_take_turns_with_draws_of_smaller_libraries(tmp_path):
    library = Library.create(tmp_path / "l", embedder=Colours())
    names = [f"Brand {number}" for number in range(30)]
    for number, name in enumerate(names):
        library.add(name, colour(8 * number, 10, 250))
    library.add_names([("Only A Name", ())])
    views = Gatherer(Everything(), Recogniser(Colours(), library), sizes=(10,)).views
    turns = [[held for _, held in next(views)] for _ in range(4)]
    assert {whole for whole, _ in turns} == {frozenset([*names, "Only A Name"])}
    assert all(drawn <= frozenset(names) for _, drawn in turns)
    assert [len(drawn) for _, drawn in turns] == [10] * 4
    assert len({drawn for _, drawn in turns}) == 4


def test_a_labelled_picture_that_cannot_be_read_is_left_out(tmp_path):
    library = Library.create(tmp_path / "l", embedder=Colours())
    library.add("Brand", colour(10, 10, 250))
    Image.fromarray(colour(10, 10, 250)).save(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    box = LabelledBox((0.0, 0.0, 64.0, 64.0), "logo", "Brand")
    pictures = [
        LabelledPicture(tmp_path / name, 64, 64, (box,), "set", True, frozenset({"logo"}))
        for name in ("torn.png", "gone.png", "good.png")
    ]
    cases = list(Gatherer(Everything(), Recogniser(Colours(), library)).labelled(pictures))
    assert {c.stranger for c in cases} == {True, False}
    assert {c.group for c in cases} == {"brand"}


def test_boxes_follow_a_file_that_has_another_size_than_its_label(tmp_path):
    pixels = np.full((200, 400, 3), 255, np.uint8)
    pixels[100:160, 200:320] = (200, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    box = LabelledBox((100.0, 50.0, 160.0, 80.0), "logo", "Brand")
    shown = LabelledPicture(tmp_path / "large.png", 200, 100, (box,), "set", True, frozenset({"logo"}))
    ((name, crop),) = brand_crops(shown)
    assert name == "Brand"
    assert (crop[..., 1] == 0).mean() > 0.7
    # of a photograph turned by its EXIF tag some tools note the size in which it is stored; boxes are drawn on what is shown
    turned = replace(shown, width=200, height=400, boxes=(replace(box, box=(200.0, 100.0, 320.0, 160.0)),))
    ((name, crop),) = brand_crops(turned)
    assert (crop[..., 1] == 0).mean() > 0.7
