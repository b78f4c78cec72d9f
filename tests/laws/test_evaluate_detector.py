"""The figures of a detector: what is hit, what is left out, and the rows that they can be made from again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vision.errors import DatasetError
from vision.evaluate.detector import (
    Judged,
    ap,
    as_boxes,
    best_f1,
    box_figures,
    boxes_a_picture,
    covered,
    evaluate_detector,
)
from vision.report.rows import read_rows
from vision.values import Detections


class Fixed:
    """A detector that says the same of every picture."""

    name, checksum, operating_point = "fixed", "0" * 64, 0.5

    def __init__(self, boxes: list[list[float]], scores: list[float], kinds: list[str] | None = None) -> None:
        self.boxes, self.scores = as_boxes(boxes), np.array(scores, np.float32)
        self.kinds = tuple(kinds or ["logo"] * len(boxes))

    def detect(self, images: Any, *, min_score: float | None = None, max_boxes: int = 100) -> list[Detections]:
        kept = self.scores >= (self.operating_point if min_score is None else min_score)
        kinds = tuple(k for k, keep in zip(self.kinds, kept, strict=True) if keep)
        return [Detections(self.boxes[kept], kinds, self.scores[kept]) for _ in images]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(tmp_path / "a.png")
    boxes = [{"box": [10, 10, 50, 50], "kind": "logo"}, {"box": [0, 0, 99, 99], "kind": "product"}]
    row = {"image": "a.png", "width": 100, "height": 50, "boxes": boxes}  # labelled on a copy of half the size
    (tmp_path / "dev.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return tmp_path / "dev.jsonl"


def test_boxes_are_compared_in_the_pixels_of_the_truth(truth: Path, tmp_path: Path) -> None:
    found = Fixed([[20, 20, 100, 100], [150, 0, 190, 40]], [0.9, 0.1])
    figures = evaluate_detector(found, truth, tmp_path / "out")
    assert (figures["pictures"], figures["true_boxes"]) == (1, 1)
    assert figures["ap50"] == figures["ap50_95"] == figures["recall10"] == 1
    rows = list(read_rows(tmp_path / "out" / "results.jsonl"))
    assert [f.score for f in rows[0].findings] == pytest.approx([0.9, 0.1])
    assert rows[0].findings[0].box == (20, 20, 100, 100)
    assert (rows[0].width, rows[0].findings[0].verdict) == (200, "unknown")


def test_a_missed_logo_and_another_kind_count_for_nothing(truth: Path, tmp_path: Path) -> None:
    found = Fixed([[150, 0, 190, 40], [20, 20, 100, 100]], [0.9, 0.8], ["logo", "product"])
    figures = evaluate_detector(found, truth, tmp_path / "out")
    assert figures["ap50"] == figures["recall10"] == 0
    assert evaluate_detector(found, truth, tmp_path / "out", kind="product")["ap50"] == 0


def test_a_truth_without_its_pictures_is_said_to_be_so(truth: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").unlink()
    with pytest.raises(DatasetError) as error:
        evaluate_detector(Fixed([], []), truth, tmp_path / "out")
    assert error.value.code == "missing"
    with pytest.raises(DatasetError):
        evaluate_detector(Fixed([], []), tmp_path / "none.jsonl", tmp_path / "out")


def judged() -> Judged:
    boxes = as_boxes([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    true, regions = as_boxes([[40, 0, 50, 10]]), as_boxes([[18, 0, 60, 20]])
    return Judged(boxes, np.array([0.3, 0.9, 0.6]), true, regions)


def test_boxes_on_regions_neither_help_nor_hurt() -> None:
    one = judged()
    assert covered(one.boxes, one.regions).tolist() == [False, True, True]
    assert covered(one.boxes, as_boxes([])).tolist() == [False] * 3
    assert ap([one]) == 0.5
    assert ap([one], lenient=True) == 1
    assert box_figures([one]) == {"ap50": 0.5, "ap50_every": 1, "recall10": 1}


def test_the_best_score_keeps_the_hits_and_drops_the_rest() -> None:
    score, f1 = best_f1([judged()])
    assert 0.3 < score <= 0.6
    assert f1 == 1


def test_reports_are_counted_at_the_operating_point(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    found = Fixed([[0, 0, 5, 5], [0, 0, 6, 6], [0, 0, 7, 7]], [0.9, 0.6, 0.4], ["logo", "product", "logo"])
    assert boxes_a_picture(found, [tmp_path / "a.png"] * 3) == {
        "pictures": 3,
        "boxes_a_picture": 1.0,
        "share_with_a_box": 1.0,
    }
    with pytest.raises(DatasetError):
        boxes_a_picture(found, [])
