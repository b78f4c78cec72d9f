"""Laws of the embedder: unit vectors, the same in any batch; preparation and ranking against plain loops."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import weights
from vision.embed import Embedder, EmbedderLike
from vision.embed.contract import stretch, unit_rows
from vision.embed.tokens import clean
from vision.errors import PictureError, UsageError, WeightsError
from vision.evaluate.embedder import rank_brands


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.load()


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (int(rng.integers(5, 90)), int(rng.integers(5, 200)), 3), dtype=np.uint8) for _ in range(n)
    ]


def test_vectors_have_unit_length_and_the_stated_width(embedder):
    assert isinstance(embedder, EmbedderLike)
    images, texts = embedder.embed_images(pictures(5)), embedder.embed_texts(["Coca-Cola", "", "日本"])
    for vectors, n in ((images, 5), (texts, 3), (embedder.background, len(embedder.background))):
        assert vectors.shape == (n, embedder.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert len(embedder.background) > 0


def test_one_by_one_and_in_batches_agree(embedder):
    some = pictures(70)  # more than one run
    together = embedder.embed_images(some)
    np.testing.assert_allclose(np.concatenate([embedder.embed_images([p]) for p in some]), together, atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01  # different pictures, or the law says nothing
    names = ["Ford", "a very long name " * 20, "Häagen-Dazs"]
    alone = np.concatenate([embedder.embed_texts([n]) for n in names])
    np.testing.assert_allclose(alone, embedder.embed_texts(names), atol=1e-4)


def test_an_empty_list_gives_an_empty_matrix(embedder):
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, embedder.dim)


def test_a_file_and_its_pixels_have_the_same_vector(embedder, tmp_path):
    from PIL import Image

    pixels = pictures(1)[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    vectors = embedder.embed_images([pixels, tmp_path / "a.png", Image.fromarray(pixels)])
    np.testing.assert_array_equal(vectors[1:], vectors[[0, 0]])


def test_threads_get_the_answers_that_one_gets(embedder):
    some = pictures(12)
    alone = embedder.embed_images(some)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda p: embedder.embed_images([p])[0], some))
    np.testing.assert_allclose(np.stack(found), alone, atol=1e-4)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_arrays_that_are_no_rgb_pictures_are_refused(embedder, image):
    with pytest.raises(PictureError) as caught:
        embedder.embed_images([image])
    assert caught.value.code == "unsupported"


def test_the_identity_follows_the_model_file(embedder):
    model = weights.load("embedder")
    assert embedder.checksum == model.checksums["image.onnx"]
    assert embedder.id == f"{model.card['name']}-{embedder.checksum[:16]}"


def test_an_altered_model_is_not_loaded(tmp_path, monkeypatch):
    shutil.copytree(weights.shipped() / "embedder", tmp_path / "embedder")
    shutil.copy(weights.shipped() / "manifest.json", tmp_path)
    with (tmp_path / "embedder" / "image.onnx").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    monkeypatch.setenv("VISION_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        Embedder.load()
    assert caught.value.code == "wrong_checksum"
    with pytest.raises(WeightsError):
        Embedder.load(tmp_path / "embedder")


def test_a_name_that_is_no_embedder_is_refused():
    with pytest.raises(UsageError) as caught:
        Embedder.load(Path("no/such/folder"))
    assert caught.value.code == "bad_option"


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_stretching_keeps_a_plain_picture_plain(height, width, size, value):
    stretched = stretch(np.full((height, width, 3), value, np.uint8), size)
    assert stretched.shape == (size, size, 3)
    assert (stretched == value).all()


@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_shrinking_is_the_mean_of_the_pixels_under_each(times_y, times_x, size):
    picture = np.random.default_rng(times_y).integers(0, 256, (size * times_y, size * times_x, 3), dtype=np.uint8)
    means = picture.reshape(size, times_y, size, times_x, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(stretch(picture, size), means, atol=1)


def test_a_wide_crop_is_averaged_across_even_when_it_grows_in_height():
    stripes = np.zeros((10, 400, 3), np.uint8)
    stripes[:, ::2] = 255  # sampling single columns would give black or white
    assert np.abs(stretch(stripes, 20).astype(int) - 128).max() <= 2


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_brands_are_ranked_as_a_plain_loop_ranks_them(n, m, seed):
    rng = np.random.default_rng(seed)
    # few values, so that ties happen
    queries, vectors = (rng.integers(-1, 2, (k, 3)).astype(np.float32) for k in (n, m))
    wanted, keys = (rng.choice(list("abcdef"), k).astype(np.str_) for k in (n, m))
    ranks = rank_brands(queries, wanted, vectors, keys)
    for query, name, rank in zip(queries, wanted, ranks, strict=True):
        best: dict[str, float] = {}
        for vector, key in zip(vectors, keys, strict=True):
            best[key] = max(best.get(key, -np.inf), float(query @ vector))
        expected = 1 + sum(v >= best[name] for k, v in best.items() if k != name) if name in best else np.inf
        assert rank == expected


def test_unit_rows_leaves_a_zero_row_alone():
    np.testing.assert_array_equal(
        unit_rows(np.array([[3, 4], [0, 0]], np.float32)), np.array([[0.6, 0.8], [0, 0]], np.float32)
    )


def test_cleaning_a_text_twice_changes_nothing_more():
    for text in ("  Häagen-Dazs ", "AT&amp;T", "“Levi’s”", "ﬁne Ｆｕｌｌ", "İSTANBUL ΣΑΣ"):
        assert clean(clean(text)) == clean(text)
    assert clean("  “Levi’s” &amp;\n ＣＯ") == '"levi\'s" & co'
