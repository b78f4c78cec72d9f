"""What holds for every detector: boxes come back in the picture's own pixels, inside it, whatever its size and company.

The network is played by a class that finds pure colours: what is really there is known to the pixel.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.detect import AnyDetector, Detector
from vision.detect.yolo import Settings, decode, from_square, kinds_of, letterbox, without_parts
from vision.errors import UsageError, WeightsError
from vision.geometry import iou
from vision.values import Picture

SIZE = 96
COLOURS = {"logo": (255, 0, 0), "product": (0, 0, 255)}


class Port:
    def __init__(self, name: str, shape: Sequence[Any]) -> None:
        self.name, self.shape = name, list(shape)


class ColourSession:
    """An onnxruntime session whose network boxes all red as a logo and all blue as a product."""

    def __init__(self, batch: int | str = "batch") -> None:
        self.batch, self.calls = batch, []

    def get_inputs(self) -> list[Port]:
        return [Port("images", [self.batch, 3, SIZE, SIZE])]

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = feeds["images"]
        self.calls.append(len(found))
        out = np.zeros((len(found), 6, 3), np.float32)
        for row, image in enumerate(found):
            for anchor, colour in enumerate(COLOURS.values()):
                mask = (np.abs(image - np.array(colour)[:, None, None] / 255) < 0.3).all(axis=0)
                if mask.any():
                    y, x = np.nonzero(mask)
                    left, top, right, bottom = x.min(), y.min(), x.max() + 1, y.max() + 1
                    out[row, :4, anchor] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
                    out[row, 4 + anchor, anchor] = 0.9 - 0.2 * anchor
        return [out]


def detector(batch: int | str = "batch") -> Detector:
    known = Settings(SIZE, ("logo", "product"), {"logo": 0.3, "product": 0.4})
    return Detector(ColourSession(batch), known, name="colours", checksum="0" * 64)


def painted(width: int, height: int, box: tuple[int, int, int, int], kind: str = "logo") -> np.ndarray:
    pixels = np.full((height, width, 3), 200, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = COLOURS[kind]
    return pixels


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([32, 96, 416]))
@settings(max_examples=60, deadline=None)
def test_a_box_goes_into_the_square_and_back(width: int, height: int, size: int) -> None:
    square, fit = letterbox(np.zeros((height, width, 3), np.uint8), size)
    assert square.shape == (size, size, 3)
    whole = np.array([[fit.left, fit.top, fit.left + fit.scale_x * width, fit.top + fit.scale_y * height]], np.float32)
    np.testing.assert_allclose(from_square(whole, fit, width, height), [[0, 0, width, height]], atol=0.05)
    everything = np.array([[0, 0, size, size]], np.float32)
    np.testing.assert_allclose(from_square(everything, fit, width, height), [[0, 0, width, height]], rtol=1e-5)


def test_the_square_keeps_the_aspect_and_is_grey_around() -> None:
    square, _ = letterbox(np.full((50, 100, 3), 9, np.uint8), 64)
    assert (square[16:48] == 9).all()
    assert (square[:16] == 114).all()
    assert (square[48:] == 114).all()


@pytest.mark.parametrize(("width", "height"), [(96, 96), (400, 100), (90, 333), (1000, 800)])
def test_a_mark_is_found_where_it_is(width: int, height: int) -> None:
    box = (width // 4, height // 3, width // 2, height * 2 // 3)
    found = detector().detect([painted(width, height, box)])[0]
    assert found.kinds == ("logo",)
    pixel = max(width, height) / SIZE  # of the square, in the picture's
    np.testing.assert_allclose(found.boxes[0], box, atol=1.5 * pixel)


@given(st.integers(8, 300), st.integers(8, 300), st.data())
@settings(max_examples=40, deadline=None)
def test_boxes_lie_inside_the_picture(width: int, height: int, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, width - 4)), data.draw(st.integers(0, height - 4))
    found = detector().detect([painted(width, height, (left, top, width, height))], min_score=0.0)[0]
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [width, height, width, height]).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_boxes_of_a_reduced_picture_are_in_full_scale_pixels() -> None:
    small = painted(100, 50, (20, 10, 60, 40))
    found = detector().detect([Picture(small, 400, 200, "0" * 64, "array")])[0]
    np.testing.assert_allclose(found.boxes[0], [80, 40, 240, 160], atol=6)


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_company_changes_nothing(batch: int | str) -> None:
    pictures = [painted(100 + 7 * i, 80, (10, 10 + i, 50, 60), "logo" if i % 2 else "product") for i in range(19)]
    one = detector(batch)
    together, alone = one.detect(pictures), [one.detect([p])[0] for p in pictures]
    for a, b in zip(together, alone, strict=True):
        assert a.kinds == b.kinds
        np.testing.assert_array_equal(a.boxes, b.boxes)
    if isinstance(batch, int):
        assert set(one._session.calls) == {batch}


def test_no_pictures_give_no_answers() -> None:
    assert detector().detect([]) == []


def test_a_score_may_be_asked_for_of_one_kind_alone() -> None:
    """The other kinds keep their operating points."""
    one = detector()
    shown = [painted(60, 60, (10, 10, 30, 30))]
    assert one.detect(shown, min_score=0.0)[0].kinds == ("logo", "product")
    assert one.detect(shown, min_score={"logo": 0.0})[0].kinds == one.detect(shown)[0].kinds == ("logo",)
    assert one.detect(shown, min_score={"logo": 1.0})[0].kinds == ()
    assert one.detect(shown, min_score={"product": 0.0})[0].kinds == ("logo", "product")


def test_each_kind_has_its_own_operating_point() -> None:
    raw = np.zeros((6, 2), np.float32)
    raw[:4, 0], raw[4, 0] = (20, 20, 10, 10), 0.35
    raw[:4, 1], raw[5, 1] = (60, 60, 10, 10), 0.35
    least = {"logo": 0.3, "product": 0.4}
    found = decode(raw, ("logo", "product"), min_score=least, max_iou=0.6, max_boxes=9, parts=True)
    assert found[1] == ("logo",)
    assert detector().operating_point == 0.3


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.9), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_higher_bar_never_adds_a_box(seed: int, bar: float, parts: bool) -> None:
    rng = np.random.default_rng(seed)
    raw = np.concatenate([rng.uniform(10, 80, (4, 40)), rng.random((2, 40))]).astype(np.float32)

    def at(least: float) -> set[tuple[float, ...]]:
        boxes, _, scores = decode(raw, ("logo", "product"), min_score=least, max_iou=0.6, max_boxes=99, parts=parts)
        assert (scores >= least).all()
        assert (np.diff(scores) <= 0).all()
        return {tuple(b) for b in boxes.tolist()}

    assert at(bar) <= at(bar / 2)


def test_a_part_of_a_whole_ranks_below_it_but_a_small_neighbour_does_not() -> None:
    boxes = np.array([[0, 0, 100, 40], [5, 5, 40, 35], [120, 0, 130, 10]], np.float32)
    lowered = without_parts(boxes, np.array([0.5, 0.8, 0.6], np.float32))
    np.testing.assert_allclose(lowered, [0.5, 0.24, 0.6], rtol=1e-6)
    weak = without_parts(boxes, np.array([0.3, 0.8, 0.6], np.float32))
    np.testing.assert_allclose(weak, [0.3, 0.8, 0.6], rtol=1e-6)


def test_a_logo_on_a_product_is_two_boxes() -> None:
    raw = np.zeros((6, 2), np.float32)
    raw[:4] = np.array([[50, 50], [50, 50], [40, 42], [40, 42]])
    raw[4, 0], raw[5, 1] = 0.9, 0.8
    boxes, kinds, _ = decode(raw, ("logo", "product"), min_score=0.5, max_iou=0.6, max_boxes=9, parts=True)
    assert kinds == ("logo", "product")
    assert iou(boxes, boxes)[0, 1] > 0.6


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (["logo", "product"], ("logo", "product")),
        ({0: "adidas"}, ("logo",)),
        ({0: "product"}, ("product",)),
        ({0: "Nike", 1: "cereal package", 2: "productive"}, ("logo", "product", "logo")),
    ],
)
def test_foreign_classes_become_kinds(names: Any, kinds: tuple[str, ...]) -> None:
    assert kinds_of(names) == kinds


def test_classes_of_one_kind_are_one_box() -> None:
    raw = np.array([[50], [50], [20], [20], [0.6], [0.7]], np.float32)
    boxes, kinds, scores = decode(raw, ("logo", "logo"), min_score=0.5, max_iou=0.6, max_boxes=9, parts=False)
    assert len(boxes) == 1
    assert kinds == ("logo",)
    assert scores[0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "options", [{"min_score": 1.5}, {"min_score": -0.1}, {"min_score": {"logo": 2.0}}, {"max_boxes": 0}]
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        detector().detect([painted(10, 10, (0, 0, 5, 5))], **options)
    assert error.value.code == "bad_option"


def test_the_detector_is_what_the_contract_says() -> None:
    one: AnyDetector = detector()
    assert (one.name, len(one.checksum)) == ("colours", 64)


def test_a_missing_or_foreign_file_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as error:
        Detector.load(tmp_path / "none.onnx")
    assert error.value.code == "missing"
    (tmp_path / "model.onnx").write_bytes(b"no model at all")
    with pytest.raises(WeightsError) as error:
        Detector.load(tmp_path)
    assert error.value.code == "unknown_card"
