"""What holds for tiles, mirrored and turned looks: boxes come back exactly, merging only chooses, and a mark stays one box."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import weights
from vision.detect import Detector
from vision.detect.looks import MOST_TILES, VIEWS, Look, check, grid, looks_at, merge
from vision.detect.yolo import Settings, letterbox
from vision.errors import UsageError, WeightsError
from vision.geometry import iou
from vision.values import Detections

SIZE = 96
KINDS = ("logo", "product")


class Port:
    def __init__(self, name: str, shape: Sequence[Any]) -> None:
        self.name, self.shape = name, list(shape)


class SharpEyes:
    """An onnxruntime session that takes any shape and boxes all red as one logo, when it is at least `least` pixels large."""

    def __init__(self, least: int) -> None:
        self.least, self.shapes = least, []

    def get_inputs(self) -> list[Port]:
        return [Port("images", ["batch", 3, "height", "width"])]

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = feeds["images"]
        self.shapes.append(found.shape)
        out = np.zeros((len(found), 6, 1), np.float32)
        for row, image in enumerate(found):
            y, x = np.nonzero((image[0] > 0.8) & (image[1] < 0.35))
            if len(x) and min(np.ptp(x), np.ptp(y)) + 1 >= self.least:
                left, top, right, bottom = x.min(), y.min(), x.max() + 1, y.max() + 1
                out[row, :5, 0] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0.8
        return [out]


def detector(least: int = 1) -> Detector:
    known = Settings(SIZE, KINDS, {"logo": 0.3, "product": 0.4}, stride=32)
    return Detector(SharpEyes(least), known, name="eyes", checksum="0" * 64)


def painted(width: int, height: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    pixels = np.full((height, width, 3), 90, np.uint8)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = (255, 0, 0)
    return pixels


def spans(side: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.integers(0, side - 1).flatmap(lambda low: st.tuples(st.just(low), st.integers(low + 1, side)))


@st.composite
def looks(draw: st.DrawFn, width: int, height: int) -> Look:
    (left, right), (top, bottom) = draw(spans(width)), draw(spans(height))
    return Look(left, top, right, bottom, draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 3)))


@given(st.data(), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_boxes_of_any_look_come_back_exactly(data: st.DataObject, width: int, height: int) -> None:
    look = data.draw(looks(width, height))
    (left, right), (top, bottom) = (
        data.draw(spans(look.right - look.left)),
        data.draw(spans(look.bottom - look.top)),
    )
    box = (look.left + left, look.top + top, look.left + right, look.top + bottom)
    shown = look.of(painted(width, height, box))
    assert (shown.shape[1], shown.shape[0]) == look.shown
    y, x = np.nonzero(shown[..., 0] == 255)
    seen = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], np.float32)
    np.testing.assert_array_equal(look.back(seen), [box])


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([32, 96, 416]))
@settings(max_examples=60, deadline=None)
def test_a_rectangle_has_the_smallest_sides_that_the_stride_allows(width: int, height: int, size: int) -> None:
    filled, fit = letterbox(np.zeros((height, width, 3), np.uint8), size, 32)
    shown = fit.scale_y * height, fit.scale_x * width
    assert max(shown) == pytest.approx(size)
    for side, held in zip(filled.shape[:2], shown, strict=True):
        assert side % 32 == 0
        assert side - 32 < held + 1e-6
        assert held <= side + 1e-6


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, MOST_TILES), st.sampled_from(sorted(VIEWS)))
@settings(max_examples=80, deadline=None)
def test_tiles_cover_the_picture_and_no_more(width: int, height: int, n: int, views: Any) -> None:
    found = looks_at(width, height, (n, n), views)
    assert (found[0].left, found[0].top, found[0].right, found[0].bottom) == (0, 0, width, height)
    assert not (found[0].tile or found[0].mirrored or found[0].turns)
    assert len(found) == len(set(found)) <= (n * n + 1) * len(VIEWS[views])
    for low, high, side in (("left", "right", width), ("top", "bottom", height)):
        edges = sorted({(getattr(look, low), getattr(look, high)) for look in found if look.tile})
        if n > 1:
            assert edges[0][0] == 0
            assert edges[-1][1] == side
            assert all(a[1] >= b[0] for a, b in pairwise(edges))
        assert all(0 <= a < b <= side for a, b in edges)


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([320, 416, 640]))
def test_auto_leaves_ordinary_pictures_alone_and_is_bounded(width: int, height: int, size: int) -> None:
    columns, rows = grid(width, height, size, "auto")
    assert 1 <= columns <= 4
    assert 1 <= rows <= 4
    if max(width, height) < 3 * size:
        assert (columns, rows) == (1, 1)
    assert grid(width, height, size, "off") == (1, 1)


@st.composite
def findings(draw: st.DrawFn) -> list[tuple[Look, Detections]]:
    found = []
    for look in looks_at(100, 80, (draw(st.integers(1, 3)),) * 2, draw(st.sampled_from(sorted(VIEWS)))):
        n = draw(st.integers(0, 4))
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        low = rng.uniform([look.left, look.top], [look.right, look.bottom], (n, 2))
        high = rng.uniform(low, [look.right, look.bottom])
        boxes = np.concatenate([low, high], axis=1).astype(np.float32).reshape(-1, 4)
        kinds = tuple(rng.choice(KINDS, n).tolist())
        found.append((look, Detections(boxes, kinds, rng.random(n).astype(np.float32))))
    return found


@given(findings(), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_merging_chooses_among_boxes_and_makes_none(found: list[tuple[Look, Detections]], most: int) -> None:
    def rows(d: Detections) -> list[tuple[Any, ...]]:
        return [(*b, k, s) for b, k, s in zip(d.boxes.tolist(), d.kinds, d.scores.tolist(), strict=True)]

    one = merge(found, 100, 80, max_iou=0.5, max_boxes=most)
    assert set(rows(one)) <= {row for _, d in found for row in rows(d)}
    if len(found) == 1:
        assert one is found[0][1]
        return
    assert len(one) <= most
    assert (np.diff(one.scores) <= 0).all()
    same = np.array(one.kinds)[:, None] == np.array(one.kinds)[None]
    assert (np.where(same, iou(one.boxes, one.boxes), 0)[~np.eye(len(one), dtype=bool)] <= 0.5).all()


@given(findings())
@settings(max_examples=20, deadline=None)
def test_the_best_box_of_the_whole_picture_is_never_lost(found: list[tuple[Look, Detections]]) -> None:
    whole = found[0][1]
    one = merge(found, 100, 80, max_iou=0.5, max_boxes=10_000)
    for box, kind, score in zip(whole.boxes, whole.kinds, whole.scores, strict=True):
        same = np.array([k == kind for k in one.kinds], bool)
        overlap = iou(box[None], one.boxes[same])[0]
        if len(found) > 1 and box[2] > box[0] and box[3] > box[1]:
            assert ((overlap > 0.5) & (one.scores[same] >= score)).any()


@pytest.mark.parametrize("tiles", [2, 3, 4])
@pytest.mark.parametrize("box", [(5, 5, 25, 25), (180, 130, 225, 160), (40, 30, 370, 260), (195, 0, 205, 300)])
def test_a_mark_across_tiles_is_one_box(tiles: int, box: tuple[int, int, int, int]) -> None:
    found = detector().detect([painted(400, 300, box)], tiles=tiles)[0]
    assert found.kinds == ("logo",)
    np.testing.assert_allclose(found.boxes[0], box, atol=400 / SIZE)


def test_tiles_find_what_the_whole_picture_is_too_coarse_for() -> None:
    small = painted(400, 300, (300, 200, 312, 212))
    sharp = detector(least=5)
    assert len(sharp.detect([small])[0]) == 0
    found = sharp.detect([small], tiles=3)[0]
    np.testing.assert_allclose(found.boxes, [[300, 200, 312, 212]], atol=4)


def test_what_lies_in_a_mark_beyond_its_tile_is_a_part_and_else_a_mark() -> None:
    whole, tile = Look(0, 0, 100, 100), Look(0, 0, 60, 60, tile=True)

    def found(look: Look, *box: float, score: float = 0.6) -> tuple[Look, Detections]:
        return look, Detections(np.array([box], np.float32), ("logo",), np.array([score], np.float32))

    def kept(*pair: tuple[Look, Detections]) -> int:
        return len(merge(pair, 100, 100, max_iou=0.5, max_boxes=9))

    half = found(tile, 20, 20, 40, 40)
    assert kept(found(whole, 10, 10, 80, 50), half) == 1
    assert kept(found(whole, 10, 10, 55, 50), half) == 2
    assert kept(found(whole, 10, 10, 80, 50, score=0.2), half) == 2
    assert kept(half, found(tile, 20, 20, 59.9, 40)) == 1  # cut at the tile's own border


@pytest.mark.parametrize("views", sorted(VIEWS))
@pytest.mark.parametrize("tiles", ["off", 2])
def test_views_agree_on_one_box(views: Any, tiles: Any) -> None:
    eyes = detector()
    found = eyes.detect([painted(300, 200, (30, 40, 90, 70))], views=views, tiles=tiles)[0]
    assert found.kinds == ("logo",)
    np.testing.assert_allclose(found.boxes[0], (30, 40, 90, 70), atol=300 / SIZE)
    looks_in_all = sum(shape[0] for shape in eyes._session.shapes)
    assert looks_in_all == len(VIEWS[views]) * (1 if tiles == "off" else 5)


@given(st.lists(st.tuples(st.integers(20, 300), st.integers(20, 300)), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_company_of_other_shapes_changes_nothing(sizes: list[tuple[int, int]]) -> None:
    pictures = [painted(w, h, (w // 4, h // 4, w // 2, h // 2)) for w, h in sizes]
    eyes = detector()
    for together, picture in zip(eyes.detect(pictures, tiles=2), pictures, strict=True):
        alone = eyes.detect([picture], tiles=2)[0]
        assert together.kinds == alone.kinds
        np.testing.assert_array_equal(together.boxes, alone.boxes)


def test_small_pictures_get_no_tiles_and_the_same_boxes() -> None:
    picture, eyes = painted(280, 200, (30, 40, 90, 70)), detector()
    off, auto = eyes.detect([picture])[0], eyes.detect([picture], tiles="auto")[0]
    assert len(eyes._session.shapes) == 2
    np.testing.assert_array_equal(off.boxes, auto.boxes)


@pytest.mark.parametrize("tiles", ["some", 0, -1, MOST_TILES + 1, True])
def test_tiles_that_there_are_not_are_refused(tiles: Any) -> None:
    with pytest.raises(UsageError) as error:
        detector().detect([painted(10, 10)], tiles=tiles)
    assert error.value.code == "bad_option"


def test_views_that_there_are_not_are_refused() -> None:
    with pytest.raises(UsageError):
        check("off", "sideways")  # type: ignore[arg-type]


class Foreign(SharpEyes):
    """A session of someone's ultralytics export: `sides` as its input says them, the rest in its metadata."""

    def __init__(self, sides: Sequence[Any], **metadata: str) -> None:
        super().__init__(1)
        self.sides = sides
        self.custom_metadata_map = {"names": "{0: 'acme'}", "imgsz": "[320, 320]"} | metadata

    def get_inputs(self) -> list[Port]:
        return [Port("images", ["batch", 3, *self.sides])]

    def get_outputs(self) -> list[Port]:
        return [Port("output0", ["batch", 5, "anchors"])]

    def get_modelmeta(self) -> "Foreign":
        return self


@pytest.mark.parametrize(
    ("sides", "metadata", "size", "stride"),
    [
        ((640, 640), {}, 640, None),
        (("height", "width"), {}, 320, 32),
        (("height", "width"), {"stride": "64", "imgsz": "[256, 512]"}, 512, 64),
        (("height", 640), {}, 640, None),
    ],
)
def test_an_export_says_what_shapes_it_takes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sides: Any,
    metadata: dict[str, str],
    size: int,
    stride: int | None,
) -> None:
    monkeypatch.setattr(weights, "session", lambda *_, **__: Foreign(sides, **metadata))
    path = tmp_path / "theirs.onnx"
    path.write_bytes(b"some bytes")
    known = Detector.load(path).settings
    assert (known.size, known.stride, known.kinds) == (size, stride, ("logo",))
    if stride is None:
        assert Detector.load(path, size=size).settings == known
        with pytest.raises(UsageError, match="fixed"):
            Detector.load(path, size=size // 2)
        return
    assert Detector.load(path, size=2 * size).settings.size == 2 * size
    for wrong in (0, -stride, size + 1, size + stride // 2):
        with pytest.raises(UsageError, match="multiple"):
            Detector.load(path, size=wrong)


def test_an_export_that_is_fixed_to_a_rectangle_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "session", lambda *_, **__: Foreign((480, 640)))
    (tmp_path / "theirs.onnx").write_bytes(b"some bytes")
    with pytest.raises(WeightsError, match="not square"):
        Detector.load(tmp_path / "theirs.onnx")
