"""Our YOLO export read by ultralytics itself: the folders, the classes, the boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision.datasets.reading import read_any
from vision.datasets.writing import write_set

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples"


@pytest.mark.train
def test_ultralytics_reads_the_same_boxes_and_classes(tmp_path, monkeypatch):
    pytest.importorskip("ultralytics")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    monkeypatch.chdir(tmp_path)  # nothing may depend on where it runs
    pictures = [
        replace(p, split="val" if number % 4 == 0 else "train")
        for number, p in enumerate(read_any(SAMPLES).pictures)
        if p.path.suffix == ".jpg"
    ]
    written = write_set(pictures, tmp_path / "set", "yolo", naming="kind")
    settings = check_det_dataset(str(tmp_path / "set/data.yaml"), autodownload=False)
    assert settings["names"] == dict(enumerate(written.classes)) == {0: "logo", 1: "product"}
    for split in ("train", "val"):
        peer = YOLODataset(img_path=settings[split], data=settings, task="detect", imgsz=64)
        theirs = {Path(label["im_file"]).name: label for label in peer.labels}
        own = {p.path.name: p for p in pictures if p.split == split}
        assert theirs.keys() == own.keys()
        for name, picture in own.items():
            high, wide = theirs[name]["shape"]
            assert (wide, high) == (picture.width, picture.height)
            centres, sides = theirs[name]["bboxes"][:, :2], theirs[name]["bboxes"][:, 2:]
            corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1) * [wide, high, wide, high]
            wanted = np.array([b.box for b in picture.boxes], dtype=float).reshape(-1, 4)
            order, other = np.lexsort(corners.round(2).T), np.lexsort(wanted.round(2).T)
            np.testing.assert_allclose(corners[order], wanted[other], atol=1e-3)
            classes = np.array([["logo", "product"].index(b.kind) for b in picture.boxes])
            assert theirs[name]["cls"][order, 0].tolist() == classes[other].tolist()
