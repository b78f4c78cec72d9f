"""The ONNX files against torch and open_clip: the same vectors, the same tokens."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from vision import weights
from vision.embed import Embedder
from vision.embed.contract import stretch
from vision.embed.tokens import Tokenizer

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

NAMES = [
    "Coca-Cola", "Citroën", "Häagen-Dazs", "Nestlé", "L'Oréal", "McDonald's", "“Levi’s”", "AT&T", "AT&amp;T", "3M",
    "7-Eleven", "C++", "🍕 Pizza Hut™", "Ünïted  Colors\tof", "ﬁne", "Ｆｕｌｌ", "Ωmega ΣΑΣ", "İstanbul", "中国银行",
    "Яндекс", "e\u0301cole", "", " ", "x" * 200,
    "the quick brown fox " * 12,
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """The shipped weights in torch, built by open_clip from the config in the repository."""
    from vision.training.tower import CONFIG, untrained_clip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # packages' own deprecations
        untrained_clip()  # tells open_clip and timm about our config and tower
        path = weights.load("embedder").file("model.safetensors")
        return open_clip.create_model(CONFIG, pretrained=str(path)).eval()


def test_pictures_have_the_vectors_that_torch_gives(model):
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (20 + 30 * i, 40, 3), dtype=np.uint8) for i in range(6)]
    pictures.append(np.full((50, 50, 3), 255, np.uint8))
    size = weights.load("embedder").card["preprocessing"]["size"]
    inputs = np.stack([stretch(p, size) for p in pictures]).astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        expected = model.encode_image(torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy()), normalize=True).numpy()
    # the safetensors are half precision
    np.testing.assert_allclose(Embedder.load().embed_images(pictures), expected, atol=2e-3)


def test_names_have_the_vectors_that_torch_gives(model):
    tokens = open_clip.get_tokenizer("vision-logo-256")(NAMES)
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(Embedder.load().embed_texts(NAMES), expected, atol=2e-3)


def test_tokens_are_those_of_open_clip():
    ours = Tokenizer(weights.load("embedder").file("tokenizer.json"), 32)(NAMES)
    theirs = open_clip.tokenizer.SimpleTokenizer(context_length=32)(NAMES).numpy()
    for name, mine, expected in zip(NAMES, ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, expected, err_msg=repr(name))


def test_any_open_clip_model_can_stand_in(tmp_path):
    """A config that open_clip ships, untrained: no download."""
    warnings.simplefilter("ignore")
    from PIL import Image

    embedder = Embedder.load("ViT-S-32-alt/")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images = embedder.embed_images([pixels, tmp_path / "a.png"])
    assert images.shape == (2, embedder.dim)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(images[0], images[1])
    assert embedder.embed_texts(["a"]).shape == (1, embedder.dim)
    assert embedder.embed_images([]).shape == embedder.background.shape == (0, embedder.dim)
    assert embedder.id == f"ViT-S-32-alt-{embedder.checksum[:16]}"
