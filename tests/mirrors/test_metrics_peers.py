"""Figures of merit against peers and plain loops."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.evaluate import metrics
from vision.geometry import iou

seeds = st.integers(0, 2**32 - 1)


def random_pictures(seed, pictures=12):
    random = np.random.default_rng(seed)
    made = []
    for _ in range(pictures):
        true = random.uniform(0, 200, (random.integers(0, 6), 4)).astype(np.float32)
        true[:, 2:] = true[:, :2] + random.uniform(10, 80, (len(true), 2))
        near = true[random.integers(0, len(true), random.integers(0, 6))] if len(true) else true
        near = near + random.normal(0, 6, near.shape).astype(np.float32)
        far = random.uniform(0, 200, (random.integers(0, 5), 4)).astype(np.float32)
        far[:, 2:] = far[:, :2] + 40
        boxes = np.concatenate([near, far]).astype(np.float32)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        made.append((boxes, random.permutation(len(boxes)).astype(np.float32) / 100 + random.random() / 1000, true))
    return made


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at", [0.5, 0.75])
def test_average_precision_is_cocos(seed, at, capsys):
    faster_coco_eval = pytest.importorskip("faster_coco_eval")
    pictures = random_pictures(seed)
    wh = lambda boxes: np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()  # noqa: E731
    truth = {
        "images": [{"id": i, "width": 400, "height": 400} for i in range(len(pictures))],
        "categories": [{"id": 1, "name": "logo"}],
    }
    truth["annotations"] = [
        {"id": n, "image_id": i, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for n, (i, box) in enumerate(((i, box) for i, (_, _, true) in enumerate(pictures) for box in wh(true)), 1)
    ]
    found = [
        {"image_id": i, "category_id": 1, "bbox": box, "score": float(score)}
        for i, (boxes, scores, _) in enumerate(pictures)
        for box, score in zip(wh(boxes), scores, strict=True)
    ]
    coco = faster_coco_eval.COCO(json.loads(json.dumps(truth)))
    peer = faster_coco_eval.COCOeval_faster(coco, coco.loadRes(json.loads(json.dumps(found))), "bbox")
    peer.params.iouThrs = np.array([at])
    peer.params.maxDets = [100]
    peer.evaluate()
    peer.accumulate()
    theirs = peer.eval["precision"][0, :, 0, 0, -1].mean()
    hits = np.concatenate([metrics.greedy_hits(iou(boxes, true), scores, at) for boxes, scores, true in pictures])
    scores = np.concatenate([scores for _, scores, _ in pictures])
    ours = metrics.average_precision(hits, scores, sum(len(true) for _, _, true in pictures))
    assert ours == pytest.approx(theirs, abs=1e-6)


@given(seeds, st.integers(1, 12))
def test_box_recall_is_the_plain_loops(seed, k):
    pictures = random_pictures(seed, 3)
    found = wanted = 0
    for boxes, scores, true in pictures:
        best = sorted(range(len(boxes)), key=lambda i: -scores[i])[:k]
        for t in true:
            wanted += 1
            found += any(iou(boxes[i : i + 1], t[None])[0, 0] >= 0.5 for i in best)
    ours = metrics.box_recall([(iou(boxes, true), scores) for boxes, scores, true in pictures], k)
    assert ours == pytest.approx(found / wanted, nan_ok=True) if wanted else np.isnan(ours)


@given(seeds)
def test_auroc_is_the_share_of_pairs_in_order(seed):
    random = np.random.default_rng(seed)
    positives, negatives = random.integers(0, 6, 9) / 5, random.integers(0, 6, 7) / 5
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert metrics.auroc(positives, negatives) == pytest.approx(np.mean(pairs))


@given(seeds, st.integers(1, 15))
def test_calibration_error_is_the_plain_loops(seed, bins):
    random = np.random.default_rng(seed)
    stated = random.random(40)
    right = random.random(40) < stated**2
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(40) if min(int(stated[i] * bins), bins - 1) == b]
        if inside:
            total += len(inside) / 40 * abs(np.mean([stated[i] for i in inside]) - np.mean([right[i] for i in inside]))
    assert metrics.expected_calibration_error(stated, right, bins) == pytest.approx(total)


@given(seeds, st.sampled_from([0.0, 0.01, 0.1, 0.29, 1.0]))
def test_right_at_a_false_alarm_rate_is_the_best_that_any_bar_allows(seed, rate):
    random = np.random.default_rng(seed)
    scores, negatives = random.integers(0, 8, 20) / 7, random.integers(0, 8, 100) / 7
    right = random.random(20) < 0.7
    bars = [-np.inf, *np.unique(np.concatenate([scores, negatives]))]
    allowed = [bar for bar in bars if (negatives > bar).mean() <= rate + 1e-12]
    best = max((right & (scores > bar)).mean() for bar in allowed)
    assert metrics.right_at_fpr(scores, right, negatives, rate) == pytest.approx(best)
