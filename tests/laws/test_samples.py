"""The sample pictures are what their truth says, and small."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision.images import read_picture
from vision.library import Library
from vision.library.names import fold

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples"
TRUTH = [json.loads(line) for line in (SAMPLES / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
PICTURES = sorted(path.name for path in (SAMPLES / "images").iterdir())


def test_there_is_a_row_for_each_picture_and_a_picture_for_each_row():
    assert [row["image"] for row in TRUTH] == [f"images/{name}" for name in PICTURES]
    assert len(PICTURES) == 13
    assert sum((SAMPLES / "images" / name).stat().st_size for name in PICTURES) < 1_500_000


@pytest.mark.parametrize("row", TRUTH, ids=lambda row: Path(row["image"]).stem)
def test_every_box_lies_inside_its_picture(row):
    picture = read_picture(SAMPLES / row["image"])
    assert (picture.width, picture.height) == (row["width"], row["height"])
    for box in row["boxes"]:
        left, top, right, bottom = box["box"]
        assert 0 <= left < right <= row["width"]
        assert 0 <= top < bottom <= row["height"]
        assert (right - left) * (bottom - top) >= 100
        assert box["kind"] in ("logo", "product")
        assert box["brand"]


@pytest.mark.parametrize("row", TRUTH, ids=lambda row: Path(row["image"]).stem)
def test_every_logo_stands_out_from_its_ground(row):
    pixels = read_picture(SAMPLES / row["image"]).pixels.astype(float)
    for box in row["boxes"]:
        left, top, right, bottom = (int(v) for v in box["box"])
        if box["kind"] == "logo":
            assert pixels[top:bottom, left:right].std(axis=(0, 1)).max() > 12, box


def test_one_picture_shows_nothing_and_one_a_brand_that_is_invented():
    assert [row["image"] for row in TRUTH if not row["boxes"]] == ["images/still-life.jpg"]
    brands = {fold(box["brand"]) for row in TRUTH for box in row["boxes"]}
    assert "brindlow" in brands
    assert len(brands) >= 12


def test_the_shipped_library_holds_every_brand_but_the_invented_one():
    held = {fold(name) for brand in Library.default().brands() for name in (brand.name, *brand.aliases)}
    shown = {box["brand"] for row in TRUTH for box in row["boxes"]}
    assert {name for name in shown if fold(name) not in held} == {"Brindlow"}


def test_the_copy_is_the_mirrored_picture():
    (row,) = [row for row in TRUTH if "copy_of" in row]
    original, copy = (
        Image.open(SAMPLES / name).convert("L").resize((64, 48)) for name in (row["copy_of"], row["image"])
    )
    a, b = np.asarray(original, float), np.asarray(copy, float)
    assert np.corrcoef(a[:, ::-1].ravel(), b.ravel())[0, 1] > 0.99
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.9
    original_row = next(r for r in TRUTH if r["image"] == row["copy_of"])
    scale = row["width"] / original_row["width"]
    for there, here in zip(original_row["boxes"], row["boxes"], strict=True):
        left, top, right, bottom = there["box"]
        want = [row["width"] - right * scale, top * scale, row["width"] - left * scale, bottom * scale]
        assert here["box"] == pytest.approx(want, abs=0.1)
