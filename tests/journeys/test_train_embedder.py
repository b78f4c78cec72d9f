"""A training of the embedder from nothing but drawings, through checkpoint, resume and export, to a scan's embedder."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.train
for package in ("torch", "open_clip", "timm", "onnx", "matplotlib", "simplepycons", "resvg_py"):
    pytest.importorskip(package)

from vision.embed import Embedder  # noqa: E402
from vision.errors import DatasetError, UsageError  # noqa: E402


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("embedder")
    rng = np.random.default_rng(0)
    rows = []
    for i, brand in enumerate(["Acme", "Acme", "Google Maps", *["Nike"] * 8]):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        box = {"box": [10, 10, 50, 40], "kind": "logo", "brand": brand}
        rows.append({"image": f"{i}.png", "width": 80, "height": 60, "boxes": [box], "exhaustive": True})
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "unseen.txt").write_text("Google\nFord\n")
    return {
        "seed": 3,
        "export": str(folder / "exported"),
        "backbone": None,
        "brands_left_out": str(folder / "unseen.txt"),
        "real": [str(folder / "train.jsonl")],
        "photos": None,
        "drawings": {"sources": ["simplepycons"], "cache": str(folder / "cache"), "limit": 60},
        "held_out": 5,
        "steps": 2,
        "batch": 8,
        "real_share": 0.25,
        "scale": 24,
        "margin": 0.2,
        "workers": 0,
        "log_steps": 1,
        "rates": {"trunk": 5e-4, "head": 1e-3, "proxies": 1.5e-3, "text": 5e-4},
        "photos_term": {"weight": 0.5, "scale": 16, "margin": 0.1, "queue": 8, "per_brand": 2},
        "shares": {"turned": 0.1, "mirrored": 0.1, "covered": 0.1},
        "text": {"every": 1, "weight": 0.1, "steps": 2, "batch": 8, "rate": 1e-3},
    }


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch, timm and matplotlib warn of their own future
        yield


def test_unseen_brands_and_held_out_drawings_stay_out_of_training(config):
    from vision.datasets.labelled import is_kin
    from vision.training.embedder_data import load_training_data

    data = load_training_data(config)
    assert "Acme" in data.names
    assert len(data.held_out) >= 5
    assert not any(is_kin(name, ["Google", "Ford"]) for name in data.names)
    trained = {name.casefold().replace(" ", "") for name in data.names}
    assert not trained & {key for key, _, _ in data.held_out}
    assert len(data.groups) == len(data.artworks) + len(data.real)


def test_photographed_brands_that_are_held_out_take_their_drawings_with_them(config):
    from vision.training.embedder_data import load_training_data

    # all drawings, for one of them is Nike's
    every = {**config["drawings"], "limit": None}
    data = load_training_data({**config, "drawings": every, "held_out_real": 1})
    assert [key for key, _ in data.held_out_real] == ["nike"]
    assert "Nike" not in data.names
    assert len(data.held_out_real[0][1].crops) == 8


def test_a_training_from_finished_weights_begins_where_they_are(config, tmp_path):
    from vision.embed.contract import stretch
    from vision.training.embedder import _Run, train_embedder
    from vision.training.embedder_accuracy import embed_pictures
    from vision.training.embedder_data import load_training_data

    first = {**config, "export": str(tmp_path / "first"), "seed": 4, "held_out": 3}
    folder = train_embedder(first, out=tmp_path / "run", resume=False)
    more = {**config, "start": str(folder / "model.safetensors"), "held_out_real": 1}
    data = load_training_data(more)
    assert {key for key, _, _ in data.held_out} == {key for key, _, _ in load_training_data(first).held_out}
    run = _Run(more, data, tmp_path)
    picture = np.random.default_rng(2).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    expected = Embedder.load(folder).embed_images([picture])
    np.testing.assert_allclose(embed_pictures(run.tower, stretch(picture, 128)[None]), expected, atol=0.02)


def test_crops_of_a_real_brand_in_a_batch_are_of_different_pictures(config):
    from vision.training.embedder_data import load_training_data

    data = load_training_data(config)
    pictures, proxies, brands, sources = data.batch(0, seed=1, size=12, real_share=0.5, photos_per_brand=2)
    assert pictures.shape == (12, 128, 128, 3)
    assert (sources[:6] >= 0).all() and (proxies[:6] == -1).all()
    assert (sources[6:] < 0).all() and (proxies[6:] >= 0).all()
    later = data.batch(1, seed=1, size=12, real_share=0.5, photos_per_brand=2)[3]
    assert len({*sources[6:], *later[6:]}) == 12, "two drawn crops passed for one picture"
    for i in range(0, 6, 2):
        assert brands[i] == brands[i + 1]
        assert sources[i] != sources[i + 1]


def test_a_training_goes_on_from_its_checkpoint_and_gives_an_embedder(config, tmp_path):
    from vision.training.embedder import train_embedder

    run = tmp_path / "run"
    with pytest.raises(DatasetError) as caught:
        train_embedder(config, out=run, resume=True)
    assert caught.value.code == "missing"
    train_embedder(config, out=run, resume=False)
    with pytest.raises(UsageError) as changed:
        train_embedder({**config, "held_out": 9}, out=run, resume=True)
    assert changed.value.code == "bad_config"
    folder = train_embedder({**config, "steps": 4, "average": 0.9}, out=run, resume=True)

    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    # each training ends with a row of the held-out test
    assert [int(row["step"]) for row in rows] == [1, 2, 2, 3, 4, 4]
    assert all(np.isfinite(float(row["loss"])) for row in rows if row["loss"])
    assert (run / "metrics.png").stat().st_size > 1000

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["schema"] == "vision.card/1"
    assert card["data"]["real_crops"] == 10
    assert str(Path(config["export"]).parent) not in json.dumps(card), "a folder of this machine"
    embedder = Embedder.load(folder)
    picture = np.random.default_rng(1).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    vectors = np.concatenate([embedder.embed_images([picture, 255 - picture]), embedder.embed_texts(["Acme"])])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert vectors.shape == (3, 256)
    assert embedder.background.shape == (64, 256)


def test_a_step_lowers_the_loss_on_the_crops_that_it_saw(config, tmp_path):
    import torch

    from vision.training.embedder import _Run
    from vision.training.embedder_data import load_training_data

    torch.manual_seed(0)
    run = _Run({**config, "bf16": False}, load_training_data(config), tmp_path)
    batch = [torch.from_numpy(part) for part in run.data.batch(0, seed=1, size=16, real_share=0.25)]
    losses = [run._learn(*batch)[0] for _ in range(8)]
    assert losses[-1] < losses[0]


def test_larger_pictures_and_drawn_rivals_give_an_embedder_of_that_size(config, tmp_path):
    import torch

    from vision.embed.contract import stretch
    from vision.training.embedder import _Run, train_embedder
    from vision.training.embedder_accuracy import embed_pictures
    from vision.training.embedder_data import load_training_data

    term = {**config["photos_term"], "drawn": True, "queue": 24}
    larger = {**config, "size": 160, "photos_term": term, "export": str(tmp_path / "larger"), "recipe": "larger.yaml"}
    folder = train_embedder(larger, out=tmp_path / "run", resume=False)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    described = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    assert card["preprocessing"]["size"] == described["model_cfg"]["vision_cfg"]["image_size"] == 160
    assert card["figures"][0]["command"] == "python train.py embedder datasets/larger.yaml"

    run = _Run({**larger, "start": str(folder / "model.safetensors")}, load_training_data(larger), tmp_path)
    picture = np.random.default_rng(2).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    expected = Embedder.load(folder).embed_images([picture])
    np.testing.assert_allclose(embed_pictures(run.tower, stretch(picture, 160)[None]), expected, atol=0.02)
    run._learn(*[torch.from_numpy(part) for part in run.data.batch(0, seed=1, size=8, real_share=0.25)])
    assert (run.queue.sources[:2] >= 0).all()
    assert (run.queue.sources[2:8] < -2).all(), "drawn crops are not among the rivals"


def test_a_larger_tower_learns_from_a_finished_one(config, tmp_path):
    import torch

    from vision.embed.contract import stretch
    from vision.training.embedder import _Run, train_embedder
    from vision.training.embedder_accuracy import embed_pictures, to_input
    from vision.training.embedder_data import load_training_data
    from vision.training.tower import finished_clip

    small = train_embedder({**config, "held_out": 3}, out=tmp_path / "small", resume=False)
    learns = {
        **config,
        "model": "vision-logo-lite2-256",
        "teacher": str(small / "model.safetensors"),
        "imitate": {"batches": 4, "weight": 8.0},
        "export": str(tmp_path / "large"),
    }
    data = load_training_data(learns)
    assert {key for key, _, _ in data.held_out} == {
        key for key, _, _ in load_training_data({**config, "held_out": 3}).held_out
    }
    run = _Run({**learns, "bf16": False}, data, tmp_path)
    teacher = finished_clip(small / "model.safetensors")
    names = run.tokens(["Acme", "Zeta"])
    torch.testing.assert_close(run.model.encode_text(names), teacher.encode_text(names))

    def likeness() -> float:
        pictures = data.batch(0, seed=5, size=8, real_share=0.25)[0]
        with torch.no_grad():
            wanted = torch.nn.functional.normalize(teacher.visual.trunk(to_input(pictures)), dim=1).numpy()
        return float((embed_pictures(run.tower, pictures) * wanted).sum(axis=1).mean())

    begun = likeness()
    run.config["imitate"]["weight"] = 1000.0  # so that nothing else counts
    batch = [torch.from_numpy(part) for part in data.batch(0, seed=5, size=8, real_share=0.25)]
    for _ in range(6):
        run._learn(*batch)
    assert likeness() > max(begun, 0.3)
    costly = run._learn(*batch)[0]
    assert run._learn(*batch, 1.0)[0] < costly - 10, "at the end nothing is imitated"

    folder = train_embedder(learns, out=tmp_path / "run", resume=False)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["name"] == "vision-logo-lite2-256"
    assert "efficientnet_lite2" in card["what"]
    picture = np.random.default_rng(2).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    exported = Embedder.load(folder).embed_images([picture])
    trained = finished_clip(folder / "model.safetensors").visual.trunk
    np.testing.assert_allclose(embed_pictures(trained, stretch(picture, 128)[None]), exported, atol=0.02)
