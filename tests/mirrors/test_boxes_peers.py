"""Our suppression against torchvision's, our average precision against COCO's."""

from pathlib import Path

import numpy as np
import pytest

from vision import geometry
from vision.evaluate.boxes import IOU_STEPS, Judged, ap, as_boxes, precision_of


def some_boxes(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 90, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 40, (n, 2))], axis=1).astype(np.float32)


@pytest.mark.train
@pytest.mark.parametrize("seed", range(5))
def test_suppression_keeps_what_torchvision_keeps(seed: int) -> None:
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    boxes = some_boxes(seed, 80)
    scores = np.random.default_rng(seed).permutation(80).astype(np.float32) / 80  # no ties: their order is not ours
    theirs = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.4)
    assert geometry.nms(boxes, scores, 0.4).tolist() == theirs.tolist()


def test_average_precision_is_that_of_coco() -> None:
    coco = pytest.importorskip("faster_coco_eval")
    rng = np.random.default_rng(3)
    pictures, truth, answers = [], [], []
    for image in range(6):
        true = some_boxes(100 + image, 4)
        found = np.concatenate([true[:3] + rng.normal(0, 1, (3, 4)).astype(np.float32), some_boxes(200 + image, 3)])
        scores = rng.permutation(1000)[: len(found)].astype(np.float32) / 1000 + np.float32(image * 1e-5)
        pictures.append(Judged(found, scores, true, as_boxes([])))

        def xywh(box: np.ndarray) -> list[float]:
            return [*map(float, box[:2]), *map(float, box[2:] - box[:2])]

        for box in true:
            area = float(geometry.area(box[None])[0])
            place = {"id": len(truth) + 1, "image_id": image + 1, "category_id": 1}
            truth.append({**place, "bbox": xywh(box), "area": area, "iscrowd": 0})
        for box, score in zip(found, scores, strict=True):
            answers.append({"image_id": image + 1, "category_id": 1, "bbox": xywh(box), "score": float(score)})
    images = [{"id": i + 1, "width": 140, "height": 140} for i in range(6)]
    labelled = coco.COCO({"images": images, "annotations": truth, "categories": [{"id": 1, "name": "logo"}]})
    judge = coco.COCOeval_faster(labelled, labelled.loadRes(answers), "bbox", print_function=lambda *_: None)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    ours = [ap(pictures), float(np.mean([ap(pictures, float(t)) for t in IOU_STEPS]))]
    assert 0.1 < ours[1] < ours[0] < 0.99
    np.testing.assert_allclose(ours, [judge.stats[1], judge.stats[0]], atol=0.002)


@pytest.mark.parametrize("seed", range(3))
def test_hits_and_ignored_regions_are_those_of_coco(seed: int) -> None:
    pytest.importorskip("faster_coco_eval")
    from vision.evaluate.coco import coco_figures
    from vision.evaluate.truth import Target, Truth, see
    from vision.values import Finding, Result

    rng = np.random.default_rng(seed)
    seen = []
    for image in range(12):
        true, regions = some_boxes(seed + 100 * image, 4), some_boxes(seed + 100 * image + 50, 2)
        near = np.concatenate([true, regions, regions]) + rng.normal(0, 2, (8, 4)).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)  # every box has an area
        boxes = np.concatenate([near, some_boxes(seed + 100 * image + 70, 5)])
        found = tuple(
            Finding("logo", tuple(map(float, box)), float(score), "unknown", None, None, 0.0)
            for box, score in zip(boxes, np.sort(rng.integers(1, 40, 13) / 40)[::-1], strict=True)  # many are equal
        )
        truth = {"logo": {"boxed": Truth(tuple(b[None] for b in true), regions)}}
        target = Target(Path("a"), f"{image}.png", 140, 140, truth)
        seen.append(see(target, Result("a", None, 140, 140, "ok", None, found), "logo"))
    theirs = coco_figures(seen, {"small": (0, 20), "others": (20, 1e5)})
    ours = precision_of([s.ranked["boxed"] for s in seen])
    assert ours == pytest.approx(theirs["ap50"], abs=1e-9)
    assert 0.1 < theirs["ap50_95"] < ours < 0.9
    assert min(theirs["ap50 small"], theirs["ap50 others"]) <= ours <= max(theirs["ap50 small"], theirs["ap50 others"])
