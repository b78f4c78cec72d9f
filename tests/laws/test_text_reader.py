"""Laws of the reader: drawn words are read, whatever the company, and no crop is too odd to be asked about."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_scenes import FACES, lines_drawn, ring_drawn

from vision import weights
from vision.errors import PictureError, WeightsError
from vision.text import TextReader, ctc, lines, ring
from vision.values import READ_BLANK, READ_CLASSES, READ_OTHER, TextLine


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader.load(device="cpu")


def same(a: tuple[TextLine, ...], b: tuple[TextLine, ...]) -> None:
    assert [(x.string, x.box, x.height, x.way) for x in a] == [(x.string, x.box, x.height, x.way) for x in b]
    for x, y in zip(a, b, strict=True):
        assert x.confidence == pytest.approx(y.confidence, abs=2e-3)
        np.testing.assert_allclose(x.steps, y.steps, atol=2e-3)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("words", [["Kodak"], ["NIVEA", "Creme 250"], ["adidas"]])
def test_drawn_words_are_read_in_order_where_they_stand(reader, face, words):
    crop = lines_drawn(words, face=face)
    found = reader.read([crop])[0]
    assert [line.string for line in found] == words
    rows = np.linspace(0, crop.shape[0], len(words) + 1)
    for line, top, bottom in zip(found, rows, rows[1:], strict=False):
        assert line.confidence > 0.9
        assert line.way == "lines"
        assert top - 5 <= line.box[1] < line.box[3] <= bottom + 5
        assert line.height == pytest.approx(45, abs=10)


def test_the_whole_crop_is_one_line(reader):
    crop = lines_drawn(["Kodak"])
    (line,) = reader.read_whole([crop])[0]
    assert (line.string, line.way) == ("Kodak", "whole")
    assert (line.box, line.height) == ((0, 0, crop.shape[1], crop.shape[0]), crop.shape[0])


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_line_that_runs_up_or_down_is_read(reader, quarters):
    crop = np.ascontiguousarray(np.rot90(lines_drawn(["Kodak"]), quarters))
    (line,) = reader.read([crop])[0]
    assert line.string == "Kodak"
    assert line.height < line.box[3] - line.box[1]


def mirrored(crop: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(crop[:, ::-1])


def on_its_head(crop: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(crop[::-1, ::-1])


@pytest.mark.parametrize(("turn", "way"), [(mirrored, "mirrored"), (on_its_head, "turned_180")])
def test_lines_in_a_mirror_or_upside_down_are_read_and_say_so(reader, turn, way):
    crop = lines_drawn(["NIVEA", "Creme 250"])
    upright, found = reader.read([crop])[0], reader.read([turn(crop)])[0]
    assert {(line.string, line.way) for line in found} == {("NIVEA", way), ("Creme 250", way)}
    if way == "mirrored":
        for a, b in zip(upright, found, strict=True):
            assert (crop.shape[1] - b.box[2], *b.box[1::2]) == pytest.approx((a.box[0], *a.box[1::2]), abs=4)


def test_a_quick_look_reads_words_as_they_stand_and_no_others(reader):
    crop = lines_drawn(["NIVEA", "Creme 250"])
    read, turned = reader.read([crop, mirrored(crop)], quick=True)
    assert [line.string for line in read] == ["NIVEA", "Creme 250"]
    assert {line.way for line in turned} <= {"lines"}
    assert not {line.string for line in turned} & {"NIVEA", "Creme 250"}


def test_words_round_a_ring_are_read_over_the_top_and_under_the_foot(reader):
    found = [line for line in reader.read_ring([ring_drawn("STARLIGHT", "COFFEE")])[0] if line.confidence > 0.9]
    top, foot = (next(x for x in found if x.string.replace(" ", "") == word) for word in ("STARLIGHT", "COFFEE"))
    assert top.way == foot.way == "ring"
    assert top.box[1] < 30
    assert top.box[3] < 200 < foot.box[1] + 40
    assert foot.box[3] > 290
    assert [line.string for line in found].count(top.string) == 1


def test_only_squarish_crops_of_some_size_are_looked_at_as_rings(reader):
    seal = ring_drawn("STARLIGHT", "COFFEE")
    assert reader.read_ring([seal[:150], seal[::9, ::9], seal])[:2] == [(), ()]


def test_accents_stay_in_the_string_and_go_from_the_steps(reader):
    (line,) = reader.read([lines_drawn(["Häagen-Dazs"], face=FACES[0], high=60)])[0]
    assert line.string == "Häagen-Dazs"
    assert spelled(line.steps) == "haagendazs"


def spelled(steps: np.ndarray) -> str:
    best = steps.argmax(axis=1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    return "".join(READ_CLASSES[best[t]] for t in starts if best[t] < READ_BLANK)


def test_steps_are_distributions_over_the_classes(reader):
    crops = [lines_drawn(["Kodak", "x 12"]), np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)]
    for way in (reader.read, reader.read_whole, reader.read_ring):
        for line in (line for some in way([*crops, ring_drawn("STARLIGHT", "COFFEE")]) for line in some):
            assert line.steps.dtype == np.float32
            assert line.steps.shape[1] == len(READ_CLASSES) + 2
            assert (line.steps >= 0).all()
            np.testing.assert_allclose(line.steps.sum(axis=1), 1, atol=1e-4)
            assert 0 < line.confidence <= 1


def test_company_changes_nothing(reader):
    crops = [
        lines_drawn(["Kodak"]),
        lines_drawn(["NIVEA", "Creme"], face=FACES[1]),
        np.zeros((1, 1, 3), np.uint8),
        ring_drawn("STARLIGHT", "COFFEE"),
        lines_drawn(["Kodak"], ink=(200, 20, 20)),
        np.zeros((500, 7, 3), np.uint8),
        *(lines_drawn([f"Word {i}"]) for i in range(9)),
    ]
    for way in (reader.read, reader.read_whole, reader.read_ring):
        together, alone = way(crops), [way([crop])[0] for crop in crops]
        for a, b in zip(together, alone, strict=True):
            same(a, b)
    assert reader.read([]) == reader.read_whole([]) == reader.read_ring([]) == []


def test_threads_get_the_answers_that_one_gets(reader):
    crops = [lines_drawn([f"Word {i}"], face=FACES[i % 4]) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda crop: reader.read([crop])[0], crops))
    for a, b in zip(found, reader.read(crops), strict=True):
        same(a, b)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=20, deadline=None)
def test_no_crop_is_too_odd(reader, width, height, seed, plain):
    rng = np.random.default_rng(seed)
    crop = np.full((height, width, 3), seed % 256, np.uint8)
    if not plain:
        crop = rng.integers(0, 256, (height, width, 3), np.uint8)
    for way in (reader.read, reader.read_whole, reader.read_ring):
        (found,) = way([crop])
        assert len(found) <= 2 * reader.settings.most_lines
        for line in found:
            left, top, right, bottom = line.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert any(ctc.folded(c) for c in line.string)
            assert line.string == line.string.strip()


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (5, 300), (8, 2000), (0, 40), (40, 0), (2000, 8)])
def test_a_crop_too_thin_for_letters_has_none(reader, shape):
    crop = np.zeros((*shape, 3), np.uint8)
    assert reader.read([crop]) == reader.read_whole([crop]) == reader.read_ring([crop]) == [()]


@pytest.mark.parametrize("crop", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3), np.float32)])
def test_arrays_that_are_no_rgb_crops_are_refused(reader, crop):
    with pytest.raises(PictureError) as caught:
        reader.read([crop])
    assert caught.value.code == "unsupported"


def test_a_page_of_text_costs_no_more_than_its_largest_lines(reader):
    page = lines_drawn([f"Row {i} of a page" for i in range(20)], high=12)
    assert len(lines.quads(reader._maps([reader.fit(page)])[0], least=0.3, unclip=1.6, most=99)) > 12
    assert 1 <= len(reader.read([page])[0]) <= 12


def test_an_altered_model_is_not_loaded(tmp_path, monkeypatch):
    shutil.copytree(weights.shipped() / "text", tmp_path / "text")
    shutil.copy(weights.shipped() / "manifest.json", tmp_path)
    own = TextReader.load(tmp_path / "text", device="cpu")
    assert own.checksum == TextReader.load(device="cpu").checksum
    with (tmp_path / "text" / "recogniser.onnx").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    monkeypatch.setenv("VISION_WEIGHTS", str(tmp_path))
    for path in (None, tmp_path / "text"):
        with pytest.raises(WeightsError) as caught:
            TextReader.load(path)
        assert caught.value.code == "wrong_checksum"
    with pytest.raises(WeightsError) as caught:
        TextReader.load(tmp_path / "none")
    assert caught.value.code == "missing"


def test_the_notice_and_the_licence_travel_with_the_weights():
    model = weights.load("text")
    assert "Apache License, Version 2.0" in model.file("NOTICE").read_text(encoding="utf-8")
    assert model.card["licence"].startswith("Apache-2.0")
    assert all(model.file(name).stat().st_size < 50e6 for name in model.card["files"])


# --- the pure parts ---


@pytest.mark.parametrize(
    ("character", "letter"),
    [*zip("aÄøßŁΡο7²Λ", "aaoslpo72a", strict=True), *((c, "") for c in ("Ω", "&", " ", "", "®"))],
)
def test_characters_count_as_the_letter_that_they_look_like(character, letter):
    assert ctc.folded(character) == letter


def test_every_character_has_one_class():
    characters = ["", " ", "a", "Á", "-", "Ω", "9"]
    matrix = ctc.folding(characters)
    assert matrix.shape == (7, READ_OTHER + 1)
    assert matrix.argmax(axis=1).tolist() == [READ_BLANK, READ_BLANK, 0, 0, READ_BLANK, READ_OTHER, 35]
    assert (matrix.sum(axis=1) == 1).all()


def test_decoding_drops_repetitions_but_not_letters_apart():
    characters = ["", "a", "b", " "]
    steps = np.full((8, 4), 0.1, np.float32)
    for t, best in enumerate([3, 1, 1, 0, 1, 3, 3, 2]):
        steps[t, best] = 0.7
    steps[2, 1] = 0.5  # only the first step of a letter counts
    string, confidence = ctc.decode(steps, characters)
    assert string == "aa b"
    assert confidence == pytest.approx(0.7)
    assert ctc.decode(np.eye(4, dtype=np.float32)[[0, 0, 3]], characters) == ("", 0.0)


@given(st.floats(-40, 40), st.integers(60, 160), st.integers(14, 30))
@settings(max_examples=40, deadline=None)
def test_a_core_grows_by_its_area_over_its_perimeter(angle, wide, high):
    import cv2

    found = np.zeros((260, 260), np.float32)
    corners = cv2.boxPoints(((130, 130), (wide, high), angle))
    cv2.fillPoly(found, [np.round(corners).astype(np.int32)], 0.9)
    (quad,) = lines.quads(found, least=0.3, unclip=1.6, most=9)
    grow = 2 * wide * high * 1.6 / (2 * (wide + high))
    assert lines.sides(quad) == pytest.approx((wide + grow, high + grow), abs=4)
    np.testing.assert_allclose(quad.mean(axis=0), [130, 130], atol=1.5)
    assert quad[0, 0] < quad[1, 0]  # clockwise from the upper left
    assert quad[0, 1] < quad[3, 1]


def test_holes_faint_cores_and_specks_are_no_lines_and_the_largest_come_first():
    found = np.zeros((200, 200), np.float32)
    found[10:60, 10:150] = 0.9
    found[25:45, 40:120] = 0.0  # a hole: its own rectangle is nearly empty, but holes of thin rims would not be
    found[80:95, 10:60] = 0.9
    found[120:150, 10:100] = 0.31
    found[180:182, 5:8] = 0.9
    quads = lines.quads(found, least=0.5, unclip=1.6, most=9)
    assert [int(q[:, 1].mean()) for q in quads] == [34, 87]
    assert len(lines.quads(found, least=0.5, unclip=1.6, most=1)) == 1
    assert lines.quads(np.zeros((32, 32), np.float32), least=0.3, unclip=1.6, most=9).shape == (0, 4, 2)


def test_lines_come_row_by_row_from_the_left():
    boxes = [(60.0, 11.0, 90.0, 21.0), (0.0, 40.0, 50.0, 52.0), (0.0, 10.0, 50.0, 20.0), (55.0, 42.0, 70.0, 50.0)]
    assert lines.reading_order(boxes) == [2, 0, 1, 3]
    assert lines.reading_order([]) == []


@given(st.floats(0, ring.WIDE), st.floats(0, ring.HIGH), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_point_of_a_strip_lies_on_the_ring_it_came_from(x, y, foot):
    filling = ring.Ring.filling(200, 100)
    place = ring.around(np.array([x, y], np.float32), filling, foot=foot)
    radius = np.hypot(place[0] / 100 - 1, place[1] / 50 - 1)
    assert ring.INNER - 1e-3 <= radius <= ring.OUTER + 1e-3
    middle = ring.around(np.array([ring.WIDE / 2, y], np.float32), filling, foot=foot)
    assert middle[0] == pytest.approx(100, abs=1e-2)
    assert (middle[1] > 50) == foot


def leaning(width: int, height: int, centre: tuple[float, float], axes: tuple[float, float], turn: float) -> np.ndarray:
    """A dark ellipse, both whole axes and its turn in degrees given, on a light crop."""
    crop = np.full((height, width, 3), 220, np.uint8)
    cv2.ellipse(crop, (centre, axes, turn), (40, 60, 50), -1)
    return crop


@given(st.floats(0.4, 0.6), st.floats(0.4, 0.6), st.floats(0.5, 0.75), st.floats(0.6, 1), st.floats(0, 180))
@settings(max_examples=40, deadline=None)
def test_the_ellipse_in_a_crop_is_found(x, y, long, flat, turn):
    axes = (300 * long * flat, 300 * long)
    found = ring.find(leaning(300, 300, (300 * x, 300 * y), axes, turn))
    assert found.centre == pytest.approx([300 * x, 300 * y], abs=4)
    assert sorted(2 * np.linalg.eigvalsh(found.axes)) == pytest.approx(sorted(axes), abs=8)
    top = found.at(np.array(1.0), np.array(-np.pi / 2))
    assert top[1] < found.centre[1] - axes[0] / 4


def test_a_crop_without_an_ellipse_is_its_own_ring():
    for crop in (
        np.full((90, 120, 3), 77, np.uint8),
        np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8),
        np.kron(np.indices((9, 12)).sum(axis=0) % 2 * 255, np.ones((10, 10)))[..., None]
        .repeat(3, axis=2)
        .astype(np.uint8),
    ):
        found = ring.find(crop)
        assert found.centre.tolist() == [60, 45]
        assert found.axes.tolist() == [[60, 0], [0, 45]]


def test_words_round_a_leaning_seal_in_a_loose_crop_are_read(reader):
    lean = np.array([[0.55, 0.12, 150], [0.1, 0.8, 40]], np.float32)
    disc = leaning(320, 320, (160, 160), (314, 314), 0)[..., 0] < 100
    seal, disc = (
        cv2.warpAffine(one, lean, (520, 360)) for one in (ring_drawn("STARLIGHT", "COFFEE"), disc.astype(np.uint8))
    )
    crop = np.where(disc[..., None] > 0, seal, np.uint8(120))
    assert {"STARLIGHT", "COFFEE"} <= {line.string.replace(" ", "") for line in reader.read_ring([crop])[0]}
