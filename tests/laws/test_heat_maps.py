"""Laws of heat maps: the maps are bright where the similarity lies, cost what is said, and can be drawn of any crop."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.embed.contract import stretch, unit_rows
from vision.embed.occlusion import PATCHES, HeatMap, covered, explain, grid, patches, spread
from vision.report.heat import draw_heat_map, heat_map_name, save_heat_map


class Eye:
    """An embedder that sees how red and how blue each cell of a 4 x 4 grid is, and counts what it looks at."""

    id, dim, checksum = "eye", 33, "0" * 64
    background = np.zeros((0, 33), np.float32)

    def __init__(self):
        self.looked = []

    def embed_images(self, images):
        self.looked.append(len(images))
        cells = np.stack([stretch(image, 4).astype(np.float32).reshape(16, 3) for image in images]) / 255
        seen = [cells[..., 0] - cells[..., 1], cells[..., 2] - cells[..., 1], np.full((len(cells), 1), 0.3)]
        return unit_rows(np.concatenate([s.reshape(len(cells), -1) for s in seen], axis=1).astype(np.float32))


def mark(left, top, width=160, height=120, colour=(255, 0, 0)):
    pixels = np.full((height, width, 3), 120, np.uint8)
    pixels[top : top + 30, left : left + 40] = colour
    return pixels


@pytest.mark.parametrize(("left", "top"), [(0, 0), (120, 0), (60, 45), (0, 90), (120, 90)])
def test_the_map_is_brightest_where_the_mark_is(left, top):
    eye, crop = Eye(), mark(left, top)
    heat = explain(crop, eye.embed_images([crop]), eye)
    y, x = np.unravel_index(heat.drops.argmax(), heat.drops.shape)
    assert heat.drops.shape == crop.shape[:2]
    assert abs(x - (left + 20)) < 30
    assert abs(y - (top + 15)) < 24
    assert heat.similarity == pytest.approx(1, abs=1e-5)


def test_blurring_the_hottest_quarter_costs_more_than_blurring_the_coldest():
    eye, crop = Eye(), mark(60, 45)
    vector = eye.embed_images([crop])[0]
    drops = explain(crop, vector[None], eye).drops
    low, high = np.quantile(drops, [0.25, 0.75])
    hot, cold = covered(crop, np.stack([drops >= high, drops <= low]).astype(np.float32))
    without_hot, without_cold = eye.embed_images([hot, cold]) @ vector
    assert without_hot < 0.95
    assert 1 - without_hot > 10 * (1 - without_cold)


def test_what_speaks_against_the_reference_is_under_zero():
    eye = Eye()
    crop = np.maximum(mark(0, 0), 0)
    crop[90:, 120:] = (0, 0, 255)
    heat = explain(crop, eye.embed_images([mark(0, 0)]), eye)
    assert heat.drops[100, 140] < 0 < heat.drops[10, 20]


def test_the_nearest_vector_of_the_reference_is_followed():
    eye, crop = Eye(), mark(0, 0)
    other, same = eye.embed_images([mark(120, 90), crop])
    one = explain(crop, same[None], eye)
    both = explain(crop, np.stack([other, same]), eye)
    assert (one.drops == both.drops).all()


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700))
def test_any_crop_is_explained_in_one_batch_of_bounded_size_and_drawn(width, height):
    eye = Eye()
    crop = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    vector = eye.embed_images([crop])
    eye.looked.clear()
    heat = explain(crop, vector, eye)
    assert len(eye.looked) == 1
    assert eye.looked[0] <= PATCHES + 1
    assert heat.drops.shape == (height, width)
    assert np.isfinite(heat.drops).all()
    drawn = draw_heat_map(heat)
    assert drawn.dtype == np.uint8
    assert max(drawn.shape[:2]) <= 306


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_grid_is_as_long_as_the_crop_and_never_finer_than_allowed(width, height):
    columns, rows = grid(width, height)
    assert min(columns, rows) >= 2
    assert columns * rows <= PATCHES
    if width >= 1.5 * height:
        assert columns > rows


def test_no_place_is_left_uncovered():
    cover = patches(6, 4, 120, 80).sum(axis=0)
    assert cover.min() > 0.9
    assert cover.max() / cover.min() < 4.5


def test_equal_drops_spread_evenly():
    masks = patches(5, 3, 50, 30)
    assert spread(np.full(15, 0.25, np.float32), masks) == pytest.approx(0.25, abs=1e-6)


def a_map(drops):
    return HeatMap(np.full((100, 200, 3), 128, np.uint8), drops.astype(np.float32), 0.8)


def luminance(pixels):
    return pixels.astype(float) @ [0.2126, 0.7152, 0.0722]


def test_brighter_means_more_also_without_colours():
    drops = np.tile(np.linspace(0, 0.3, 200), (100, 1))
    light = luminance(draw_heat_map(a_map(drops)))[50]
    assert (np.diff(light[::8]) > 0).all()


def test_what_hardly_changes_anything_stays_dark_and_what_repels_is_drawn_as_nothing():
    quiet = draw_heat_map(a_map(np.full((100, 200), 0.001)))[:128]
    against = draw_heat_map(a_map(np.full((100, 200), -0.4)))[:128]
    none = draw_heat_map(a_map(np.zeros((100, 200))))
    assert (against == none[:128]).all()
    assert abs(luminance(quiet).mean() - luminance(none[:128]).mean()) < 15


def test_the_scale_runs_from_dark_to_bright_below_the_crop():
    drawn = draw_heat_map(a_map(np.zeros((100, 200))))
    light = luminance(drawn)[137]
    assert (np.diff(light[::16]) > 0).all()
    assert (drawn[-15:] < 100).any()  # its figures


def test_a_saved_map_is_a_png_of_what_was_drawn(tmp_path):
    heat = a_map(np.tile(np.linspace(0, 0.3, 200), (100, 1)))
    name = heat_map_name(3, "shop/17/Größe 1.jpeg", 2)
    assert name == "0000003-Grosse_1-2.png"
    save_heat_map(tmp_path / name, heat)
    with Image.open(io.BytesIO((tmp_path / name).read_bytes())) as image:
        assert image.format == "PNG"
        assert (np.asarray(image) == draw_heat_map(heat)).all()
    assert [p.name for p in tmp_path.iterdir()] == [name]
