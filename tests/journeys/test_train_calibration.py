"""A calibration from the command line's own function, on the sample pictures: seconds, not a model."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.train
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from vision import weights  # noqa: E402
from vision.cli.main import main  # noqa: E402
from vision.errors import DatasetError  # noqa: E402
from vision.training.calibration import train_calibration  # noqa: E402
from vision.verdict import Calibration, OperatingPoint  # noqa: E402

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(6):
        coarse = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(folder / "photos" / f"{number}.png")
    (folder / "photos" / "broken.png").write_bytes(b"no picture")  # is left out, and not counted
    return {
        "labelled": [str(SAMPLES / "truth.jsonl")],
        "brand_free": [str(folder / "photos")],
        "not_brand_free": ["5.png"],
        "every": 1,
        "folds": 2,
        "least_probability": 0.6,
        "export": str(folder / "weights" / "verdict"),
    }


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return train_calibration(config, out=out), out


def test_the_card_holds_what_a_scan_needs(trained):
    folder, _ = trained
    card = weights.load_folder(folder).card
    assert OperatingPoint.from_card(card, 0.01).threshold >= 0.6
    assert card["alarms"]["pictures"] == 5
    assert card["data"]["known"] > 5
    assert card["data"]["strangers"] > 5
    alone, both = (Calibration.from_card(card["calibrations"][name]) for name in ("vision", "both"))
    assert alone.name_weight == 0
    # more of what speaks for a brand never makes it less probable
    assert all(
        w >= 0 for w in (*alone.weights[:2], *both.weights[3:5], both.weights[8], both.name_weight, both.alone_weight)
    )


def test_one_calibrates_with_a_command_and_scans_with_the_result(config, tmp_path, capsys, caplog):
    out = tmp_path / "verdict"
    options = ["--brand-free", *config["brand_free"], "--folds", "2", "--out", str(out), "--json"]
    assert main(["calibrate", *config["labelled"], *options]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["ece"] <= 1
    assert main(["calibrate", *config["labelled"], *options]) == 2
    scan = ["scan", str(SAMPLES / "images" / "mug.jpg"), "--no-overlays", "--no-report", "--out"]
    assert main([*scan, str(tmp_path / "a"), "--verdict", str(out)]) == 0
    checksums = json.loads((tmp_path / "a" / "scan.json").read_text(encoding="utf-8"))["checksums"]
    assert checksums["verdict"] == weights.digest(out / "card.json")
    assert "calibrated with another" not in caplog.text
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    card["made_with"]["embedder"] = "0" * 64
    (out / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert main([*scan, str(tmp_path / "c"), "--verdict", str(out)]) == 0
    assert "calibrated with another embedder" in caplog.text
    (out / "card.json").write_text("{}", encoding="utf-8")
    assert main([*scan, str(tmp_path / "b"), "--verdict", str(out)]) == 3


def test_the_run_leaves_its_cases_and_a_plot(trained):
    folder, out = trained
    lines = (out / "cases.csv").read_text(encoding="utf-8").splitlines()
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert len(lines) == 1 + card["data"]["boxes"]
    assert (out / "reliability.png").stat().st_size > 1000


def test_training_again_gives_the_same_card(config, trained, tmp_path):
    again = train_calibration(config | {"export": str(tmp_path / "verdict")}, out=tmp_path / "run", resume=True)
    assert (again / "card.json").read_bytes() == (trained[0] / "card.json").read_bytes()


def test_a_folder_without_pictures_is_named(config, tmp_path):
    with pytest.raises(DatasetError) as caught:
        train_calibration(config | {"brand_free": [str(tmp_path)]}, out=tmp_path / "run")
    assert caught.value.code == "missing"
