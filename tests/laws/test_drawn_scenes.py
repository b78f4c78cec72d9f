"""Drawn pictures: every ingredient alone gives pictures whose boxes are true, the same for the same seed."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.datasets.labelled import LabelledBox, LabelledPicture, brand_key, is_kin
from vision.errors import DatasetError, UsageError
from vision.training.draw import (
    INGREDIENTS,
    Ink,
    Scene,
    Stock,
    cut_from_white,
    draw_scene,
    draw_set,
    hosts,
    load_stock,
    negatives,
    vehicles,
)
from vision.training.draw.camera import grain_tile
from vision.training.draw.canvas import Canvas
from vision.training.draw.cut_outs import cut_outs, key_out
from vision.training.draw.foliage import foliage
from vision.training.draw.material import Matter, printed
from vision.training.draw.names import brand_name
from vision.training.draw.negatives import clutter, text_lines, watermarks
from vision.training.draw.piece import CutOut, Piece, extent, piece_of
from vision.training.draw.scene import SUBJECTS
from vision.training.draw.shape import on_cylinder, seen_aslant
from vision.training.draw.words import find_fonts, lock_up, word_marks

SEEDS = st.integers(0, 10**6)


@cache
def whole_stock() -> Stock:
    """A little of everything, made here."""
    rng = np.random.default_rng(0)
    square = np.zeros((60, 60, 4), np.uint8)
    square[10:50, 10:50] = (200, 30, 30, 255)
    wide = np.zeros((30, 120, 4), np.uint8)
    wide[5:25, :] = (20, 20, 160, 255)
    product = np.full((90, 60, 4), 255, np.uint8)
    product[..., :3] = rng.integers(0, 255, (90, 60, 3))
    photo = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (240, 180))
    marks = np.zeros((50, 80), np.uint8)
    marks[12:38, 10:70] = 1
    cut = CutOut(rng.integers(0, 255, (50, 80, 3), np.uint8), marks, frozenset(), (10, 12, 70, 38))
    return Stock(
        ((0.5, (Ink(square, (200, 30, 30)),)), (0.5, (Ink(wide),))),
        (photo,),
        (product,),
        (120, 200),
        (cut,),
        clutter(20, ()),
        text_lines(8, ()),
        watermarks(4, ()),
        {"vector": (0, 1), "wordmarks": (1,)},
    )


def only(ingredient: str) -> Stock:
    """The stock that a recipe with one ingredient gives."""
    stock = replace(whole_stock(), weights={ingredient: 1.0})
    needs = {
        "inks": {"vector", "wordmarks"},
        "cut_outs": {"pasted"},
        "packshots": {"products"},
        "clutter": {"negatives"},
        "watermarks": {"watermarks"},
    }
    empty = {name: () for name, users in needs.items() if ingredient not in users}
    return replace(stock, **empty, inks_of={}) if "inks" in empty else replace(stock, **empty)


def check(scene: Scene) -> None:
    """What holds for every scene."""
    high, wide = scene.pixels.shape[:2]
    assert scene.pixels.dtype == np.uint8
    assert scene.subject in SUBJECTS
    for box in scene.boxes:
        left, top, right, bottom = box.box
        assert box.kind in {"logo", "product"}
        assert 0 <= left < right <= wide
        assert 0 <= top < bottom <= high
        if not box.ignore:
            assert right - left >= 6
            assert bottom - top >= 6


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_every_box_of_a_picture_of_everything_lies_in_it(seed: int) -> None:
    weights = dict.fromkeys(INGREDIENTS, 1.0)
    check(draw_scene(replace(whole_stock(), weights=weights), seed))


@pytest.mark.parametrize("ingredient", INGREDIENTS)
@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_every_ingredient_works_alone_and_the_same_way_each_time(ingredient: str, seed: int) -> None:
    scene, again = draw_scene(only(ingredient), seed), draw_scene(only(ingredient), seed)
    check(scene)
    np.testing.assert_array_equal(scene.pixels, again.pixels)
    assert scene.boxes == again.boxes


def test_what_an_ingredient_teaches_is_what_it_is_named_for() -> None:
    taught = {
        name: {b.kind for seed in range(25) for b in draw_scene(only(name), seed).boxes if not b.ignore}
        for name in INGREDIENTS
    }
    assert taught == {
        "pasted": {"logo"},
        "vector": {"logo"},
        "wordmarks": {"logo"},
        "negatives": set(),
        "products": {"product"},
        "watermarks": set(),
    }
    ignored = [draw_scene(only("watermarks"), seed).boxes for seed in range(10)]
    assert all(any(b.ignore and b.kind == "logo" for b in boxes) for boxes in ignored)


def test_another_seed_draws_another_picture() -> None:
    first, other = draw_scene(whole_stock(), 5), draw_scene(whole_stock(), 6)
    assert first.pixels.shape != other.pixels.shape or (first.pixels != other.pixels).any()


def test_a_packshot_teaches_one_product_and_not_what_logos_it_shows() -> None:
    scenes = [draw_scene(only("products"), seed) for seed in range(40)]
    packshots = [s for s in scenes if s.subject == "packshot"]
    assert packshots
    for scene in packshots:
        assert [(b.kind, b.ignore) for b in scene.boxes] == [("product", False), ("logo", True)]
        assert scene.boxes[0].box == scene.boxes[1].box


def blank(wide: int = 100, high: int = 80) -> Canvas:
    return Canvas(np.full((high, wide, 3), 90, np.uint8), grain_tile(128), lifelike=False)


def mark(wide: int, high: int) -> Piece:
    rgba = np.zeros((high + 6, wide + 10, 4), np.uint8)
    rgba[3:-3, 5:-5] = (250, 10, 10, 255)
    return piece_of(rgba)


@given(SEEDS, st.integers(14, 60), st.integers(14, 50), st.integers(-20, 90), st.integers(-20, 70))
@settings(max_examples=120, deadline=None)
def test_a_box_is_tight_round_the_ink_that_can_be_seen(seed: int, wide: int, high: int, x: int, y: int) -> None:
    rng = np.random.default_rng(seed)
    canvas = blank()
    canvas.lay(seen_aslant(mark(wide, high), max(wide, high) * 1.1, rng, turn=30), x, y, rng)
    changed = np.abs(canvas.pixels.astype(int) - 90).max(axis=2) > 30  # of 160 where the ink is full
    boxes = canvas.boxes()
    assert len(boxes) <= 1
    if boxes and not boxes[0].ignore:
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        np.testing.assert_allclose(boxes[0].box, seen, atol=1.5)
    elif not boxes:
        assert changed.sum() < 60


def test_what_hides_a_mark_makes_its_box_smaller_and_then_a_region_to_ignore() -> None:
    rng = np.random.default_rng(0)
    cover = Piece(np.full((80, 12, 4), 255, np.uint8), np.zeros((80, 12), np.uint8))
    canvas = blank()
    canvas.lay(mark(40, 20), 15, 27, rng)
    assert canvas.boxes() == (LabelledBox((20.0, 30.0, 60.0, 50.0), "logo"),)
    canvas.lay(cover, 48, 0, rng)
    assert canvas.boxes() == (LabelledBox((20.0, 30.0, 48.0, 50.0), "logo"),)
    canvas.lay(cover, 36, 0, rng)
    assert canvas.boxes() == (LabelledBox((20.0, 30.0, 36.0, 50.0), "logo", ignore=True),)
    for x in (24, 12):
        canvas.lay(cover, x, 0, rng)
    assert canvas.boxes() == ()


def test_a_mark_half_outside_the_picture_is_ignored_and_one_just_over_its_edge_taught() -> None:
    rng = np.random.default_rng(0)
    out, over_edge = blank(), blank()
    out.lay(mark(40, 20), -30, 27, rng)
    over_edge.lay(mark(40, 20), -10, 27, rng)
    assert out.boxes() == (LabelledBox((0.0, 30.0, 15.0, 50.0), "logo", ignore=True),)
    assert over_edge.boxes() == (LabelledBox((0.0, 30.0, 35.0, 50.0), "logo"),)


@pytest.mark.parametrize("matter", list(Matter))
def test_a_mark_of_any_matter_shows_where_its_ink_is_and_nowhere_far_from_it(matter: Matter) -> None:
    rgba = np.zeros((80, 120, 4), np.uint8)
    rgba[25:55, 30:90] = (240, 240, 240, 255)
    under = np.full((80, 120, 3), 90, np.float32)
    result = printed(under, rgba, matter, np.random.default_rng(3))
    moved = np.abs(result - (result[2, 2] if matter is Matter.LIT else 90)).max(axis=2)
    assert moved[24:56, 29:91].max() > 15
    assert moved[:6].max() < (30 if matter is Matter.LIT else 1)


def test_a_mark_round_a_can_keeps_its_number_and_its_place_in_the_middle() -> None:
    marks = np.zeros((60, 90), np.uint8)
    marks[20:40, 30:60] = 3
    bent = on_cylinder(Piece(np.full((60, 90, 4), 255, np.uint8), marks), np.random.default_rng(1))
    ys, xs = np.nonzero(bent.marks == 3)
    assert set(np.unique(bent.marks)) == {0, 3}
    assert abs(xs.mean() - 44.5) < 1.5
    assert 20 <= ys.min() <= 32


HOSTS = (
    (hosts, "badge"),
    (hosts, "sign"),
    (hosts, "screen"),
    (hosts, "patch"),
    (hosts, "sponsors"),
    (hosts, "pack"),
    (vehicles, "vehicle"),
)


def test_marks_stand_on_hosts_of_every_kind_vehicles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    used: Counter[str] = Counter()

    def counted(kind: str, draw: Callable[..., Piece]) -> Callable[..., Piece]:
        def drawn(*given: object) -> Piece:
            used[kind] += 1
            return draw(*given)

        return drawn

    for module, kind in HOSTS:
        monkeypatch.setattr(module, kind, counted(kind, getattr(module, kind)))
    for seed in range(150):
        draw_scene(only("vector"), seed)
    assert set(used) == {kind for _, kind in HOSTS}
    assert used["vehicle"] < used["sign"]


@given(SEEDS, st.integers(8, 300), st.integers(8, 120))
@settings(max_examples=80, deadline=None)
def test_a_mark_on_a_vehicle_lies_whole_on_its_paint(seed: int, wide: int, high: int) -> None:
    ink = np.full((high, wide, 4), (255, 0, 255, 255), np.uint8)
    piece = vehicles.vehicle([ink], np.random.default_rng(seed))
    again = vehicles.vehicle([ink], np.random.default_rng(seed))
    np.testing.assert_array_equal(piece.rgba, again.rgba)
    assert not piece.product
    numbers = set(np.unique(piece.marks).tolist()) - {0}
    assert numbers in ({1}, {1, 2})
    body = extent(piece.rgba[..., 3] == 255)
    for number in numbers:
        own = piece.marks == number
        left, top, right, bottom = extent(own)
        assert own[top:bottom, left:right].all()
        assert (piece.rgba[own][:, 3] == 255).all()
        assert body[0] < left < right < body[2]
        assert body[1] < top < bottom < body[3]
        red, green, blue = piece.rgba[own][:, :3].astype(int).mean(axis=0)
        assert min(red, blue) > green + 60  # nothing was drawn over it


def test_vehicles_face_both_ways_and_some_carry_the_mark_again_on_the_door() -> None:
    ink = np.full((20, 60, 4), (255, 0, 255, 255), np.uint8)
    pieces = [vehicles.vehicle([ink], np.random.default_rng(seed)) for seed in range(60)]
    assert {int(piece.marks.max()) for piece in pieces} == {1, 2}
    tail_left = 0
    for piece in pieces:
        red, green, blue = piece.rgba[..., :3].astype(int)[piece.rgba.shape[0] // 2 :, 6:10].mean(axis=(0, 1))
        tail_left += red > 1.2 * max(green, blue)
    assert 5 < tail_left < 55


def test_foliage_is_among_the_negatives_and_has_no_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []

    def kept(rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
        drawn.append(foliage(rng, fonts))
        return drawn[-1]

    monkeypatch.setattr(negatives, "foliage", kept)
    things = clutter(100, ())
    assert len(things) == 100
    assert 5 <= len(drawn) <= 25
    leafy, bare = replace(only("negatives"), clutter=tuple(drawn)), replace(only("negatives"), clutter=())
    changed = 0
    for seed in range(12):
        scene, without = draw_scene(leafy, seed), draw_scene(bare, seed)
        assert scene.boxes == ()
        changed += scene.pixels.shape != without.pixels.shape or bool((scene.pixels != without.pixels).any())
    assert changed > 6


def test_leaves_are_green_mostly_and_of_autumn_now_and_then() -> None:
    hues = []
    for seed in range(80):
        rgba = foliage(np.random.default_rng(seed), ())
        np.testing.assert_array_equal(rgba, foliage(np.random.default_rng(seed), ()))
        shown = rgba[..., 3] == 255
        assert 0.05 < shown.mean() < 0.99
        hues.append(float(np.median(cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2HSV)[shown][:, 0])))
    green, autumn = np.mean([30 <= h < 95 for h in hues]), np.mean([h < 30 for h in hues])
    assert green > 0.5
    assert 0.08 < autumn < 0.45


def test_invented_names_are_kin_of_no_brand_left_out() -> None:
    left_out = ("Moto", "Bra", "Sel", "ka", "Sport")
    names = {brand_name(np.random.default_rng(n), left_out) for n in range(1500)}
    assert len(names) > 1300
    for name in names:
        assert not is_kin(name, left_out)
        assert not any(brand_key(b) in brand_key(name) for b in left_out)


def test_word_marks_without_fonts_name_the_packages_to_install(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="apt-get install fonts-") as caught:
        find_fonts(tmp_path)
    assert caught.value.code == "missing"
    with pytest.raises(DatasetError):
        load_stock({"ingredients": {"wordmarks": 1}, "fonts": str(tmp_path)})


def test_word_marks_come_out_of_any_fonts_that_there_are() -> None:
    import matplotlib

    fonts = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("DejaVu*.ttf"))
    marks = word_marks(12, fonts, ())
    assert len(marks) >= 10
    for ink in marks:
        assert (ink.rgba[..., 3] > 128).mean() > 0.03
        assert max(ink.rgba.shape[:2]) <= 256 * 8
    together = lock_up(marks[0], marks[1], np.random.default_rng(0))
    assert (together.rgba[..., 3] > 128).any()


def test_a_recipe_says_what_is_wrong_with_it() -> None:
    for recipe in ({"ingredients": {"glitter": 1}}, {"ingredients": {"vector": 1}}, {"ingredients": {"pasted": 0.5}}):
        with pytest.raises(UsageError):
            load_stock(recipe)
    for recipe in ({}, {"ingredients": {"vector": 0}}):
        with pytest.raises(DatasetError):
            load_stock(recipe)


def test_a_product_is_cut_from_its_white_ground() -> None:
    pixels = np.full((80, 80, 3), 255, np.uint8)
    pixels[20:60, 30:70] = 90
    pixels[35:40, 40:45] = 255  # white inside belongs to the product
    cut = cut_from_white(pixels)
    assert cut is not None
    np.testing.assert_allclose(cut.shape[:2], (40, 40), atol=3)
    assert (cut[10:30, 5:25, 3] == 255).all()
    assert cut_from_white(np.full((80, 80, 3), 255, np.uint8)) is None


def test_a_mark_is_freed_from_plain_ground_and_not_from_a_busy_one() -> None:
    pixels = np.full((50, 90, 3), 230, np.uint8)
    pixels[8:42, 10:80] = (30, 40, 160)
    pixels[20:30, 30:60] = 230
    ink = key_out(pixels)
    assert ink is not None
    assert ink.rgba.shape[:2] == (34, 70)
    assert ink.rgba[2, 2].tolist() == [30, 40, 160, 255]
    assert ink.rgba[15, 30, 3] == 0
    assert key_out(np.random.default_rng(0).integers(0, 255, (50, 90, 3), np.uint8)) is None


def test_a_cut_out_knows_the_other_logos_that_its_margin_caught(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    boxes = (LabelledBox((60, 60, 140, 140), "logo", "Own"), LabelledBox((30, 90, 58, 110), "logo", ignore=True))
    picture = LabelledPicture(tmp_path / "a.png", 200, 200, boxes, "set", True, frozenset({"logo"}))
    _, (cut,) = cut_outs([picture], 5)
    left, top, right, bottom = cut.box
    assert (right - left, bottom - top) == (80, 80)
    np.testing.assert_array_equal(cut.rgb[top:bottom, left:right], pixels[60:140, 60:140])
    own = cut.marks[top + 40, left + 40]
    assert (cut.marks[top:bottom, left:right] == own).all()
    assert own not in cut.unsure
    others = set(np.unique(cut.marks).tolist()) - {0, int(own)}
    assert others <= cut.unsure


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
