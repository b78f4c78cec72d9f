"""A training of the encoder of copies from the samples, through checkpoint, resume and export, to a model that is run."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.train
for package in ("torch", "onnx", "albumentations", "safetensors"):
    pytest.importorskip(package)

from vision import weights  # noqa: E402
from vision.cli.main import main  # noqa: E402
from vision.errors import DatasetError, UsageError  # noqa: E402
from vision.training.config import load_config  # noqa: E402
from vision.training.copy_encoder import CopyEncoder, train_copies  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("copies")
    samples = sorted((ROOT / "datasets" / "samples" / "images").iterdir())
    # every twentieth picture is held out: the samples twice, the second time under another folder
    for name in ("once", "twice"):
        (folder / name).mkdir()
        for path in samples:
            (folder / name / path.name).write_bytes(path.read_bytes())
        rows = "".join(json.dumps({"image": path.name}) + "\n" for path in samples)
        (folder / name / "train.jsonl").write_text(rows)
    changes = [f"pictures=[{folder}/*/train.jsonl]", f"export={folder}/exported", "workers=0", "log_steps=2"]
    return load_config(ROOT / "datasets" / "copies.yaml", [*changes, "steps=4", "batch=64", "channels=[4, 8]"])


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own future
        yield


def test_a_training_goes_on_from_its_checkpoint_and_gives_a_model(config, tmp_path):
    from safetensors.torch import load_file

    run = tmp_path / "run"
    with pytest.raises(DatasetError) as caught:
        train_copies(config, out=run, resume=True)
    assert caught.value.code == "missing"
    train_copies(config, out=run, resume=False)
    with pytest.raises(UsageError) as changed:
        train_copies({**config, "channels": [4, 12]}, out=run, resume=True)
    assert changed.value.code == "bad_config"
    folder = train_copies({**config, "steps": 8}, out=run, resume=True)

    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [2, 4, 4, 6, 8, 8]  # each training ends with the figures
    losses = [float(row["loss"]) for row in rows if row["loss"]]
    assert losses[-1] < losses[0]

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["schema"] == weights.CARD_SCHEMA
    assert card["settings"]["steps_done"] == 8
    assert card["data"]["pairs"] > 5 * card["data"]["pairs_held_out"] > 0
    named = [figure["name"] for figure in card["figures"]]
    assert len(set(named)) == len(named) == 12
    for name, checksum in card["files"].items():
        weights.verify(folder / name, checksum)

    patches = np.random.default_rng(0).integers(0, 256, (5, 256), dtype=np.uint8)
    values = weights.session(folder / "patches.onnx").run(None, {"patches": patches})[0]
    assert values.shape == (5, 128) and values.dtype == np.float32
    assert (np.abs(values) < 1).all()
    model = CopyEncoder((4, 8))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    import torch

    np.testing.assert_allclose(values, model(torch.from_numpy(patches)).detach().numpy(), atol=1e-4)


def test_the_command_trains_and_prints_the_figures(config, tmp_path, capsys):
    path = tmp_path / "copies.yaml"
    path.write_text(json.dumps({**config, "export": str(tmp_path / "exported")}))
    assert main(["train", "copies", str(path), "steps=2", "--out", str(tmp_path / "run"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {figure["n"] for figure in figures} == {figures[0]["n"]}
    assert all(np.isfinite(figure["value"]) for figure in figures)
