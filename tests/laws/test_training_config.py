"""What a training's YAML promises: a setting that nobody knows, or one that cannot be, is told before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml")
pytest.importorskip("jsonschema")

from vision.cli.main import main
from vision.errors import UsageError
from vision.training.config import load_config

DATASETS = Path(__file__).resolve().parents[2] / "datasets"


def stage_of(path: Path) -> str:
    return {"drawn": "draw"}.get(path.stem.split("_")[0], path.stem.split("_")[0])


@pytest.mark.parametrize("path", sorted(DATASETS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_recipes_here_are_what_they_may_be(path: Path) -> None:
    assert load_config(path, stage=stage_of(path)) == load_config(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["stepz=3"], r"no setting 'stepz' \(did you mean steps\?\)"),
        (["rates.heads=0.1"], r"no setting 'rates.heads' \(did you mean head\?\)"),
        (["steps=x"], "steps: 'x' is not of type 'integer'"),
        (["size=100"], "size: 100 is not a multiple of 32"),
        (["rates.head=-1"], "rates.head: -1 is less than or equal to the minimum of 0"),
        (["stages=[]"], "stages: "),
        (["minutes=[1"], "is no valid YAML"),
        (["minutes"], "is not key=value"),
        (["size.x=1"], "is a value, not a section"),
    ],
)
def test_what_cannot_be_is_told_with_its_name(changes: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_config(DATASETS / "detector_tiny.yaml", changes, stage="detector")


def test_what_is_lacking_is_told(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text("labelled: [a.jsonl]\nbrand_free: []\n")
    with pytest.raises(UsageError, match="'export' is a required property"):
        load_config(tmp_path / "few.yaml", stage="calibration")
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path)


def test_numbers_are_read_as_they_are_written() -> None:
    config = load_config(
        DATASETS / "detector_tiny.yaml", ["rates.head=1e-4", "minutes=2e1", "name=e4"], stage="detector"
    )
    assert (config["rates"]["head"], config["minutes"], config["name"]) == (1e-4, 20.0, "e4")


def test_shipped_weights_are_replaced_on_demand_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fine-tuning by a copy of a recipe wrote over them, and no scan took what it wrote."""
    (tmp_path / "weights" / "detector").mkdir(parents=True)
    (tmp_path / "weights" / "manifest.json").write_text('{"files": {}}')
    export = f"export={tmp_path}/weights/detector"
    assert (
        main(["train", "detector", str(DATASETS / "detector_tiny.yaml"), export, "--out", str(tmp_path / "run")]) == 2
    )
    assert "--replace" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
