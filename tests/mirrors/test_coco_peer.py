"""Our COCO export read by faster-coco-eval's COCO class, as every tool of that family reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vision.datasets.classes import class_name
from vision.datasets.reading import read_any
from vision.datasets.writing import write_set

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples"


@pytest.mark.parametrize("naming", ["label", "kind", "brand"])
def test_a_peer_reads_the_same_boxes_and_classes(naming, tmp_path):
    reader = pytest.importorskip("faster_coco_eval").COCO
    pictures = read_any(SAMPLES).pictures
    write_set(pictures, tmp_path, "coco", naming=naming, images="leave")
    peer = reader(str(tmp_path / "annotations/instances_truth.json"))
    assert len(peer.getImgIds()) == len(pictures)
    for image, picture in zip(peer.loadImgs(peer.getImgIds()), pictures, strict=True):
        assert (image["width"], image["height"]) == (picture.width, picture.height)
        assert (tmp_path / "annotations" / image["file_name"]).samefile(picture.path)
        found = peer.loadAnns(peer.getAnnIds(imgIds=[image["id"]]))
        boxes = [(x, y, x + w, y + h) for x, y, w, h in (annotation["bbox"] for annotation in found)]
        assert boxes == [box.box for box in picture.boxes]
        classes = [peer.loadCats(annotation["category_id"])[0]["name"] for annotation in found]
        assert classes == [class_name(box, naming) for box in picture.boxes]
        assert [a["area"] for a in found] == [(b.box[2] - b.box[0]) * (b.box[3] - b.box[1]) for b in picture.boxes]
