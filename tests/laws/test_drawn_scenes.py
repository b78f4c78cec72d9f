"""Drawn pictures and the views cut from them: truth stays true through every step."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.training.detector_views import Example, Labels, labels_of, make_labels, mosaic, single
from vision.training.draw import draw_set
from vision.training.draw.scene import SHARES, Ink, Stock, cut_from_white, draw_scene


def stock(*, products: bool = True) -> Stock:
    rng = np.random.default_rng(0)
    square = np.zeros((60, 60, 4), np.uint8)
    square[10:50, 10:50] = (200, 30, 30, 255)
    wide = np.zeros((30, 120, 4), np.uint8)
    wide[5:25, :] = (20, 20, 160, 255)
    product = np.full((90, 60, 4), 255, np.uint8)
    product[..., :3] = rng.integers(0, 255, (90, 60, 3))
    inks = ((0.5, (Ink(square, (200, 30, 30)),)), (0.5, (Ink(wide),)))
    return Stock(inks, (), (product,) if products else (), (120, 200))


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_every_box_lies_in_its_picture(seed: int) -> None:
    scene = draw_scene(stock(), seed)
    high, wide = scene.pixels.shape[:2]
    for box in scene.boxes:
        left, top, right, bottom = box.box
        assert 0 <= left < right <= wide
        assert 0 <= top < bottom <= high


def test_the_same_seed_draws_the_same_picture_and_another_seed_another() -> None:
    first, again, other = draw_scene(stock(), 5), draw_scene(stock(), 5), draw_scene(stock(), 6)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.boxes == again.boxes
    assert first.pixels.shape != other.pixels.shape or (first.pixels != other.pixels).any()


def test_a_clean_logo_is_one_logo_and_a_packshot_one_product() -> None:
    scenes = [draw_scene(stock(), seed) for seed in range(60)]
    assert {s.subject for s in scenes} == set(SHARES)
    for scene in scenes:
        taught = [b.kind for b in scene.boxes if not b.ignore]
        if scene.subject == "clean_logo":
            assert taught == ["logo"]
        if scene.subject == "packshot":
            assert taught == ["product"]
            assert [b.kind for b in scene.boxes if b.ignore] == ["logo"]  # what the pack shows is not known


def test_without_packshots_no_product_is_drawn() -> None:
    assert {b.kind for seed in range(30) for b in draw_scene(stock(products=False), seed).boxes} == {"logo"}


def test_a_product_is_cut_from_its_white_ground() -> None:
    pixels = np.full((80, 80, 3), 255, np.uint8)
    pixels[20:60, 30:70] = 90
    pixels[35:40, 40:45] = 255  # white inside belongs to the product
    cut = cut_from_white(pixels)
    assert cut is not None
    np.testing.assert_allclose(cut.shape[:2], (40, 40), atol=3)
    assert (cut[10:30, 5:25, 3] == 255).all()
    assert cut_from_white(np.full((80, 80, 3), 255, np.uint8)) is None


def patterned(width: int, height: int, box: tuple[int, int, int, int]) -> Example:
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = (250, 20, 20)
    return Example(pixels, make_labels([(box, 0)], []))


def red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0].astype(int) - pixels[..., 1]) > 100


@pytest.mark.parametrize("seed", range(25))
def test_a_view_shows_the_box_where_its_label_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = single(patterned(200, 120, (60, 30, 130, 90)), 128, rng, (0.5, 1.6))
    ys, xs = np.nonzero(red(view.pixels))
    if len(view.labels.boxes):
        np.testing.assert_allclose(view.labels.boxes[0], [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=2)
    elif len(xs):  # too little is left to teach, but it must not be punished either
        kind, weight, *region = view.labels.regions[0]
        assert (kind, weight) == (0, 0)
        np.testing.assert_allclose(region, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=2)


@pytest.mark.parametrize("seed", range(10))
def test_a_mosaic_accounts_for_every_mark_that_can_be_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = mosaic([patterned(150, 150, (20, 40, 110, 100))] * 4, 128, rng, (0.4, 1.2))
    unexplained = red(view.pixels)
    for left, top, right, bottom in [*view.labels.boxes, *(r[2:] for r in view.labels.regions)]:
        assert 0 <= left < right <= 128
        assert 0 <= top < bottom <= 128
        unexplained[
            int(top) - 2 if top > 2 else 0 : int(bottom) + 3, int(left) - 2 if left > 2 else 0 : int(right) + 3
        ] = False
    assert not unexplained.any()


def labels(kinds: set[str], *, looked_at: bool) -> Labels:
    boxes = (LabelledBox((1, 1, 9, 9), "logo"), LabelledBox((5, 5, 20, 20), "logo", ignore=True))
    picture = LabelledPicture(Path("x.jpg"), 40, 30, boxes, "set", looked_at, frozenset(kinds))
    return labels_of(picture, unsearched=0.25)


def test_what_nobody_searched_for_is_not_punished_in_full() -> None:
    whole = [0, 0, 40, 30]
    unsure = [0, 0, 5, 5, 20, 20]
    assert labels({"logo"}, looked_at=True).regions.tolist() == [unsure, [1, 0, *whole]]
    assert labels({"logo", "product"}, looked_at=False).regions.tolist() == [
        unsure,
        [0, 0.25, *whole],
        [1, 0.25, *whole],
    ]
    assert labels({"product"}, looked_at=False).regions.tolist() == [unsure, [0, 0, *whole], [1, 0.25, *whole]]
    assert labels({"logo"}, looked_at=True).boxes.tolist() == [[1, 1, 9, 9]]


def test_a_logo_that_its_source_passed_over_is_weaker_in_every_view() -> None:
    boxes = (LabelledBox((30, 30, 60, 60), "logo"), LabelledBox((70, 70, 90, 90), "logo", extra=True))
    picture = LabelledPicture(Path("x.jpg"), 120, 120, boxes, "set", True, frozenset({"logo"}))
    taught = labels_of(picture, unsearched=0.25, extra_strength=0.4)
    view = mosaic([Example(np.zeros((120, 120, 3), np.uint8), taught)] * 4, 256, np.random.default_rng(2), (0.4, 0.5))
    strong = view.labels.strengths == 1
    assert sorted(set(view.labels.strengths.tolist())) == pytest.approx([0.4, 1.0])
    sides = (view.labels.boxes[:, 2:] - view.labels.boxes[:, :2]).max(axis=1)
    assert sides[strong].min() > sides[~strong].max()


def test_a_drawn_set_has_the_form_of_a_labelled_one(tmp_path: Path) -> None:
    source = tmp_path / "real"
    (source / "images").mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(source / "images" / "a.png")
    box = {"box": [10, 10, 80, 80], "kind": "logo", "brand": "Own"}
    row = {"image": "images/a.png", "width": 90, "height": 90, "boxes": [box]}
    (source / "train.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    recipe = {"real": [str(source / "*.jsonl")], "longest": [96, 128]}
    draw_set(recipe, 5, 3, tmp_path / "one")
    draw_set(recipe, 5, 3, tmp_path / "two")
    rows = [json.loads(line) for line in (tmp_path / "one" / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 5
    for row in rows:
        with Image.open(tmp_path / "one" / row["image"]) as image:
            assert image.size == (row["width"], row["height"])
        assert all(b["kind"] == "logo" for b in row["boxes"])
        assert (tmp_path / "one" / row["image"]).read_bytes() == (tmp_path / "two" / row["image"]).read_bytes()
    assert (tmp_path / "one" / "contact_sheet.jpg").is_file()
