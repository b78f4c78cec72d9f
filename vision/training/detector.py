"""Trains the detector: a YOLOv8 of ultralytics, taught on real and drawn pictures with its loss turned off where nobody looked.

The network, its loss and its starting weights are ultralytics'; the loop is ours, because regions without loss, a budget in
minutes and bfloat16 on CPUs have no switch there. A run folder holds `last.ckpt`, `metrics.csv`, `metrics.png` and `run.json`
(settings and held-out figures, for `vision evaluate detector --compare`), and `held-out/` with curves and the worst pictures
of the held-out brands; the model goes to `export` as ONNX, safetensors and card.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.ops import box_iou

from vision.datasets import jsonl
from vision.datasets.labelled import LabelledPicture, brand_key, read_names, read_set
from vision.detect import AnyDetector, Detector
from vision.detect.yolo import DEFAULT_IOU, DEFAULT_SCORE, FILLING, STRIDE, decode, from_square, letterbox, to_input
from vision.errors import DatasetError, UsageError
from vision.evaluate.boxes import Judged, best_f1, box_figures
from vision.evaluate.detector import evaluate_detector, write_evaluation
from vision.files import write_atomically
from vision.geometry import to_cxcywh_norm
from vision.images import read_picture
from vision.training.averages import joined, start_share
from vision.training.detector_views import (
    ALONE,
    KINDS,
    Example,
    Labels,
    close_up,
    labels_of,
    make_labels,
    mosaic,
    single,
    turned,
    vary_colours,
)
from vision.training.draw import (
    draw_scene,
    expand,
    extent_on_white,
    folder_pictures,
    load_stock,
    packshot_pictures,
)
from vision.training.export import amend_card, export_model
from vision.training.metrics_file import note_rows
from vision.training.network import build_network
from vision.training.precision import use_bf16
from vision.training.self_labels import SelfLabels
from vision.values import Detections

log = logging.getLogger(__name__)

LOGO, PRODUCT = KINDS.index("logo"), KINDS.index("product")
BACKBONE = 10  # the first layers of YOLOv8: features that COCO taught, trained slower than neck and head
WARM_UP = 60  # steps
TURNED = 0.12  # share of examples turned by a quarter, a half or three quarters
AVERAGE_DECAY, AVERAGE_WARM_UP = 0.998, 300
# A logo that overlaps a product that stands alone by so much (IoU) is that product as a whole.
SAME = 0.5
CALIBRATION = 32  # pictures of each group that set the ranges of 8-bit arithmetic
# How far the held-out AP50 and recall@10 may fall together, from their best, before later weights are passed over: less is
# chance on some 170 pictures.
TOLERANCE = 0.05
MOST_FRESH = 250  # photographs never shown, for the operating point


@dataclass(frozen=True, slots=True)
class DetectorData:
    """Everything a run learns from, in memory. groups: examples by name. held_out: never shown."""

    groups: dict[str, tuple[Example, ...]]
    held_out: tuple[LabelledPicture, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run. until: share of the run at which it ends, in (0, 1]. shares: of the pictures shown, by group.

    sizes: sides of the square batches in pixels, one drawn for each step. frozen: the backbone rests.
    whole: whole pictures at about their natural size only, as detection sees them, instead of mosaics and close-ups.
    filled: share of the whole pictures that are cut around one of their logos.
    """

    until: float
    shares: dict[str, float]
    sizes: tuple[int, ...]
    frozen: bool = False
    whole: bool = False
    filled: float = 0.0


def train_detector(config: dict[str, Any], *, out: Path, resume: bool) -> Path:
    """Train as the config says and export; the folder with `model.onnx`, `model.safetensors` and `card.json`.

    config: see `datasets/detector.yaml`. out: run folder, made when missing. resume: go on from its `last.ckpt`.
    Raises UsageError (bad_config), DatasetError, WeightsError (missing), BackendError (package_missing).
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        run = DetectorRun(config, out)
        if resume:
            run.restore()
        run.train()
        return run.export(Path(config["export"]))
    except KeyError as error:
        raise UsageError("bad_config", f"the config lacks {error}") from error


def load_data(config: dict[str, Any]) -> DetectorData:
    """Read the labelled sets, photographs and drawn pictures that a config names.

    Pictures with a brand of `held_out_brands` are not taught: they judge the run. Sets in folders named in `sources_left_out`
    are not read at all.
    """
    wanted = {name for stage in stages_of(config) for name in stage.shares}
    held_keys = {brand_key(b) for b in config.get("held_out_brands", [])}
    left_out = read_names(config.get("brands_left_out"))
    sources_out = set(config.get("sources_left_out", []))
    paths = [p for p in expand(config.get("real", [])) if p.parent.name not in sources_out]
    pictures = [p for path in paths for p in read_set(path, brands_left_out=left_out)]
    held = [p for p in pictures if any(b.brand and brand_key(b.brand) in held_keys for b in p.boxes)]
    taught = [p for p in pictures if p not in held]
    groups = _real_examples(config, taught)
    groups["photos"] = _photo_examples(config)
    groups["packshots"] = _packshot_examples(config) if "packshots" in wanted else []
    groups["drawn"] = _drawn_examples(config, taught) if "drawn" in wanted else []
    lacking = sorted(name for name in wanted if not groups.get(name))
    if lacking:
        raise DatasetError("missing", f"the config names no pictures for {', '.join(lacking)}")
    log.info("pictures: %s, held out %d", {name: len(g) for name, g in groups.items()}, len(held))
    return DetectorData({name: tuple(g) for name, g in groups.items()}, tuple(held))


def _real_examples(config: dict[str, Any], pictures: Sequence[LabelledPicture]) -> dict[str, list[Example]]:
    """Labelled pictures as examples, those with logos apart from those with products only.

    Kinds that nobody searched a picture for are left out of its loss, or labelled by the detector that `self_labels` names.
    """
    labeller, unsearched = None, float(config["unsearched_weight"])
    if given := config.get("self_labels"):
        detector = Detector.load(Path(given["detector"]))
        labeller, unsearched = SelfLabels(detector, float(given["teach_from"]), float(given["ignore_from"])), 1.0
    found: dict[str, list[Example]] = {"logos": [], "products": []}
    for picture in pictures:
        full = labeller.complete(picture) if labeller else picture
        labels = labels_of(full, unsearched=unsearched, extra_strength=float(config.get("extra_strength", 1.0)))
        example = _bounded(read_picture(picture.path).pixels, labels, _longest(config))
        found["logos" if "logo" in picture.kinds else "products"].append(example)
    return found


def _photo_examples(config: dict[str, Any]) -> list[Example]:
    """Everyday photographs without a logo worth a box."""
    found = []
    for path in folder_pictures(config.get("photos"), config.get("most_photos")):
        pixels = read_picture(path).pixels
        high, wide = pixels.shape[:2]
        # they show bottles, shoes and bags: few are wrong as logos, more would be as products
        labels = make_labels([], [(PRODUCT, float(config["unsearched_weight"]), 0, 0, wide, high)])
        found.append(_bounded(pixels, labels, _longest(config)))
    return found


def _packshot_examples(config: dict[str, Any]) -> list[Example]:
    """Products on white. Nobody boxed the logos on them, but a whole belt or a pair of glasses is none."""
    found = []
    for pixels in packshot_pictures(config["packshots"]["path"], config["packshots"].get("most")):
        if (box := extent_on_white(pixels)) is not None:
            labels = make_labels([(box, PRODUCT)], [(LOGO, 0.0, *box), (ALONE, 0.0, *box)])
            found.append(_bounded(pixels, labels, _longest(config)))
    return found


def _drawn_examples(config: dict[str, Any], taught: Sequence[LabelledPicture]) -> list[Example]:
    """Drawn pictures; where their ground is a photograph, its own products count as in photographs."""
    drawn, found = config["drawn"] | {"names_left_out": list(config.get("held_out_brands", []))}, []
    stock = load_stock(drawn, taught)
    for seed in range(int(drawn["n"])):
        scene = draw_scene(stock, int(config["seed"]) * 1_000_000 + seed)
        boxes = [(b.box, KINDS.index(b.kind)) for b in scene.boxes if not b.ignore]
        regions = [(KINDS.index(b.kind), 0.0, *b.box) for b in scene.boxes if b.ignore]
        high, wide = scene.pixels.shape[:2]
        if scene.subject in {"logos", "products"} and stock.photos:
            regions.append((PRODUCT, float(config["unsearched_weight"]), 0.0, 0.0, float(wide), float(high)))
        found.append(_bounded(scene.pixels, make_labels(boxes, regions), _longest(config)))
    return found


def _longest(config: dict[str, Any]) -> int:
    """Longest side in pixels at which pictures are kept: no close-up shows more."""
    return int(config["size"]) * 3 // 2


def stages_of(config: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages of a config, in order, the last to the end. Raises UsageError (bad_config), KeyError."""
    stages = []
    for given in config["stages"]:
        shares = {str(name): float(share) for name, share in given["shares"].items() if float(share) > 0}
        sizes = tuple(int(s) for s in given.get("sizes", [config["size"]]))
        if not shares or not sizes or any(s < 32 or s % 32 for s in sizes):
            raise UsageError("bad_config", "a stage needs shares above 0, and sizes that are multiples of 32")
        until, frozen, whole = float(given["until"]), bool(given.get("frozen")), bool(given.get("whole"))
        stages.append(Stage(until, shares, sizes, frozen, whole, float(given.get("filled", 0.0))))
    ends = [s.until for s in stages]
    if not ends or ends != sorted(ends) or ends[-1] != 1:
        raise UsageError("bad_config", "the stages must follow each other, the last until 1")
    return tuple(stages)


def draw_batch(
    data: DetectorData, stage: Stage, step: int, *, seed: int, batch: int
) -> tuple[npt.NDArray[np.uint8], list[Labels]]:
    """Batch number `step`: (n, size, size, 3) uint8 RGB and its labels; the same arguments give the same batch."""
    rng = np.random.default_rng([seed, step, 11])
    names, shares = list(stage.shares), np.array(list(stage.shares.values()))
    size = int(rng.choice(stage.sizes))
    colours = vary_colours(seed * 1_000_003 + step)

    def pick() -> Example:
        group = data.groups[names[int(rng.choice(len(shares), p=shares / shares.sum()))]]
        example = group[int(rng.integers(len(group)))]
        return turned(example, int(rng.integers(1, 4))) if rng.random() < TURNED else example

    pixels, labels = [], []
    for _ in range(batch):
        if stage.whole:
            shown = pick()
            if stage.filled and rng.random() < stage.filled:
                shown = close_up(shown, rng)
            example = single(shown, size, rng, (0.8, 1.15))
        elif rng.random() < 0.65:
            example = mosaic([pick() for _ in range(4)], size, rng, (0.4, 1.2))
        else:
            example = single(pick(), size, rng, (0.6, 1.7))
        pixels.append(colours(image=example.pixels)["image"])
        labels.append(example.labels)
    return np.stack(pixels), labels


class LenientBCE(nn.Module):
    """Binary cross-entropy with a weight for each anchor and kind: false alarms count less where `weights` says so.

    weights: (batch, anchors, kinds) in [0, 1], set before each call. An anchor of a true box counts fully, and one
    that is assigned to a logo counts fully as no product: sources of logos never box products, but their logos are none.
    One that predicts a product that stands alone, as a whole, counts fully as no logo.
    """

    def __init__(self, assigner: StrengthAssigner) -> None:
        super().__init__()
        self.assigner = assigner
        self.weights: torch.Tensor | None = None

    def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits and targets (batch, anchors, kinds) to the weighted loss of each, not summed."""
        loss = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        if self.weights is None:
            return loss
        full = targets > 0
        logo, product = full[..., LOGO], full[..., PRODUCT] | full[..., LOGO]
        if self.assigner.predicted is not None:
            logo = logo | self.assigner.predicted
        full = torch.stack([logo, product], dim=-1)
        return loss * torch.where(full, 1.0, self.weights)


class StrengthAssigner(nn.Module):
    """ultralytics' assignment of anchors to boxes, its target scores scaled by the strength of the box.

    strengths: (batch, most boxes of a picture), in the order of the labels, set before each call. alone: (batch, n, 4) xyxy
    pixels of products that stand alone, zeros where there are fewer; predicted says afterwards which anchors (batch, anchors)
    predict one of them as a whole.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.strengths: torch.Tensor | None = None
        self.alone: torch.Tensor | None = None
        self.predicted: torch.Tensor | None = None

    def forward(self, *given: Any, **named: Any) -> Any:
        """What the assigner gives: labels, boxes, scores (batch, anchors, kinds), foreground, number of each anchor's box."""
        labels, boxes, scores, foreground, numbers = self.inner(*given, **named)
        if self.strengths is not None and self.strengths.shape[1]:
            scores = scores * self.strengths.gather(1, numbers.long())[..., None]
        self.predicted = None
        if self.alone is not None and self.alone.shape[1]:
            self.predicted = (torch.vmap(box_iou)(given[1].float(), self.alone) >= SAME).any(dim=-1)
        return labels, boxes, scores, foreground, numbers


def padded_strengths(labels: Sequence[Labels]) -> torch.Tensor:
    """Strengths of the boxes of each picture as one (batch, most boxes) tensor, filled up with ones."""
    most = max(len(found.strengths) for found in labels)
    table = np.ones((len(labels), most), np.float32)
    for row, found in enumerate(labels):
        table[row, : len(found.strengths)] = found.strengths
    return torch.from_numpy(table)


def padded_alone(labels: Sequence[Labels]) -> torch.Tensor:
    """Boxes of the products that stand alone, as one (batch, most of a picture, 4) tensor, filled up with zeros."""
    found = [each.regions[each.regions[:, 0] == ALONE, 2:] for each in labels]
    table = np.zeros((len(found), max(map(len, found)), 4), np.float32)
    for row, boxes in zip(table, found, strict=True):
        row[: len(boxes)] = boxes
    return torch.from_numpy(table)


def anchor_weights(labels: Sequence[Labels], size: int, strides: Sequence[int]) -> torch.Tensor:
    """The weight of a false alarm at each anchor: (batch, anchors, kinds), 1 outside all regions, the least inside several."""
    centres = []
    for stride in strides:
        steps = (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
        centres.append(np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2))
    points = np.concatenate(centres)
    weights = np.ones((len(labels), len(points), len(KINDS)), np.float32)
    for row, found in enumerate(labels):
        for kind, weight, *box in found.regions[found.regions[:, 0] < ALONE]:
            inside = ((points >= box[:2]) & (points < box[2:])).all(axis=1)
            weights[row, inside, int(kind)] = np.minimum(weights[row, inside, int(kind)], weight)
    return torch.from_numpy(weights)


class DetectorRun:
    """One training: network, moving average, optimizer and place in the schedule."""

    def __init__(self, config: dict[str, Any], out: Path) -> None:
        from ultralytics.utils.loss import v8DetectionLoss

        self.config, self.out = config, out
        self.size, self.batch, self.stages = int(config["size"]), int(config["batch"]), stages_of(config)
        torch.manual_seed(int(config["seed"]))
        torch.set_num_threads(int(config.get("threads", 1)))
        self.device = torch.device(config.get("device", "cpu"))
        self.bf16 = use_bf16(config.get("bf16", "auto"), device=self.device.type)
        self.model = build_network(config["start"], trust_pickle=bool(config.get("trust_pickle"))).to(self.device)
        self.model.to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.first = {k: v.clone() for k, v in self.average.items()}
        self.first_share = start_share(config, starts_trained=Path(config["start"]).suffix == ".safetensors")
        self.data = load_data(config)
        self.loss = v8DetectionLoss(self.model)
        self.assigner = StrengthAssigner(self.loss.assigner)
        self.loss.assigner = self.assigner
        self.bce = LenientBCE(self.assigner)
        self.loss.bce = self.bce
        self.strides = [int(s) for s in self.loss.stride.tolist()]
        self.optimizer = self._optimizer()
        self.step, self.seconds = 0, 0.0
        self.chosen = {k: v.clone() for k, v in self.average.items()}
        self.chosen_step, self.best_figure = 0, -math.inf
        self.rows: list[dict[str, float]] = []

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW; the backbone at its own, lower rate, no decay on biases and norms."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if not parameter.is_floating_point() or name.endswith("dfl.conv.weight"):
                parameter.requires_grad = False
                continue
            backbone = int(name.split(".")[1]) < BACKBONE
            groups.setdefault((backbone, parameter.ndim > 1), []).append(parameter)
        rates = self.config["rates"]
        return torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "rate": float(rates["backbone" if backbone else "head"]),
                    "backbone": backbone,
                    "weight_decay": 5e-4 if decayed else 0.0,
                }
                for (backbone, decayed), parameters in groups.items()
            ],
            lr=1e-3,
            betas=(0.9, 0.999),
        )

    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]: of its steps or of its minutes, whichever is further."""
        minutes = float(self.config.get("minutes") or math.inf)
        return min(1.0, max(self.step / int(self.config["steps"]), self.seconds / 60 / minutes))

    def train(self) -> None:
        """Run to the end of the budget, with a checkpoint and a row of metrics at even intervals."""
        every = int(self.config["checkpoint_steps"])
        sums, started, last = torch.zeros(3), time.monotonic(), 0
        while (done := self.progress()) < 1:
            sums += self._one_step(done, next(s for s in self.stages if done < s.until))
            self.step += 1
            last += 1
            now = time.monotonic()
            self.seconds, started = self.seconds + now - started, now
            if self.step % every == 0 or self.progress() >= 1:
                names = ("box_loss", "class_loss", "extent_loss")
                row = {n: round(float(v) / last, 4) for n, v in zip(names, sums, strict=True)}
                row |= self.judge(self.average)
                self._note(row)
                self._choose(row)
                sums, last = torch.zeros(3), 0
                self.save()
                started = time.monotonic()

    def _choose(self, row: dict[str, float]) -> None:
        """Take the averaged weights for the export, unless they fell behind on the held-out brands by more than chance."""
        figure = row.get("ap50_every", 0.0) + row.get("recall10", 0.0)
        if figure >= self.best_figure - TOLERANCE:
            self.chosen_step = self.step
            self.chosen = {k: v.clone() for k, v in self.average.items()}
        self.best_figure = max(figure, self.best_figure)

    def _one_step(self, done: float, stage: Stage) -> torch.Tensor:
        pixels, labels = draw_batch(self.data, stage, self.step, seed=int(self.config["seed"]), batch=self.batch)
        size = pixels.shape[1]
        warm = min(1.0, (self.step + 1) / WARM_UP)
        cosine = 0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * warm * cosine
        self.model.train()
        self._freeze(stage.frozen)
        inputs = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            found = self.model(inputs)
        self.bce.weights = anchor_weights(labels, size, self.strides).to(self.device)
        self.assigner.strengths = padded_strengths(labels).to(self.device)
        self.assigner.alone = padded_alone(labels).to(self.device)
        total, parts = self.loss(_float(found), _targets(labels, size, self.device))
        self.optimizer.zero_grad(set_to_none=True)
        total.sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        decay = AVERAGE_DECAY * (1 - math.exp(-(self.step + 1) / AVERAGE_WARM_UP))
        with torch.no_grad():
            for key, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, 1 - decay)
                else:
                    self.average[key].copy_(value)
        values = list(parts.values()) if isinstance(parts, dict) else list(parts)
        return torch.stack([v.detach().float().cpu() for v in values])

    def _freeze(self, frozen: bool) -> None:
        """While frozen the backbone neither learns nor changes its statistics: the fresh head must not spoil it."""
        layers = self.model.model
        for layer in layers[:BACKBONE]:
            layer.train(not frozen)
            for parameter in layer.parameters():
                parameter.requires_grad = not frozen

    def judge(self, weights: dict[str, torch.Tensor], *, parts: bool = False) -> dict[str, float]:
        """Figures of these weights for logos of the held-out brands; empty without held-out pictures."""
        searched = [p for p in self.data.held_out if p.looked_at]
        judged = self._judged(weights, searched, "logo", parts)
        return box_figures(judged) if judged else {}

    def _judged(
        self, weights: dict[str, torch.Tensor], pictures: Sequence[LabelledPicture], kind: str, parts: bool
    ) -> list[Judged]:
        found = self.detect(weights, [p.path for p in pictures], parts)
        return [Judged.of(p, d, kind) for p, d in zip(pictures, found, strict=True)]

    def detect(self, weights: dict[str, torch.Tensor], sources: Sequence[Any], parts: bool) -> list[Detections]:
        """What the network with these weights finds in pictures from a score of 0.01, as `vision.detect` would."""
        kept = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(weights)
        self.model.eval()
        found = []
        try:
            for source in sources:
                picture = read_picture(source)
                fitted, fit = letterbox(picture.pixels, self.size, STRIDE)
                inputs = torch.from_numpy(to_input([fitted])).to(self.device)
                with torch.no_grad():
                    output = self.model(inputs)
                raw = (output[0] if isinstance(output, tuple | list) else output)[0].float().cpu().numpy()
                boxes, kinds, scores = decode(
                    raw,
                    KINDS,
                    min_score=0.01,
                    max_iou=DEFAULT_IOU,
                    max_boxes=100,
                    parts=parts,
                    filling=FILLING * picture.width * fit.scale_x * picture.height * fit.scale_y,
                )
                found.append(Detections(from_square(boxes, fit, picture.width, picture.height), kinds, scores))
        finally:
            self.model.load_state_dict(kept)
        return found

    def export(self, folder: Path) -> Path:
        """Write the model folder of the chosen weights, with the operating points of the exported model; the folder.

        With `start_share` the weights that the run began with keep that share.
        """
        if self.rows:
            plot(self.rows, self.out / "metrics.png")
        shipped = joined(self.chosen, self.first, self.first_share)
        held_out = {str(on): self.judge(shipped, parts=on) for on in (False, True)}
        parts = sum(held_out["True"].values()) > sum(held_out["False"].values())
        self.model.load_state_dict(shipped)
        card: dict[str, Any] = {
            "name": f"{self.config.get('name', 'detector')}-{self.size}",
            "what": "finds logos and products in pictures of any size, whatever the brand",
            "architecture": "YOLOv8n (ultralytics)",
            "licence": "AGPL-3.0-only, as ultralytics asks; the pictures it learned from have terms of their own",
            "operating_point": dict.fromkeys(KINDS, DEFAULT_SCORE),
            "nms_iou": DEFAULT_IOU,
            "part_suppression": parts,
            "part_suppression_from": {"held_out_without": held_out["False"], "held_out_with": held_out["True"]},
            "trained": {
                "config": self.config,
                "steps": self.step,
                "chosen_step": self.chosen_step,
                "minutes": round(self.seconds / 60, 1),
                "pictures": {name: len(group) for name, group in self.data.groups.items()},
                "average_decay": AVERAGE_DECAY,
            },
        }
        inputs = calibration_inputs(self.data, self.size) if self.config.get("int8") else ()
        record = {"config": self.config, **card["trained"], "held_out": held_out[str(parts)]}
        write_atomically(self.out / "run.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
        path = export_model(self.model, folder, size=self.size, names=KINDS, card=card, calibration=inputs)
        used = int(self.config.get("most_photos") or 0)
        photos = folder_pictures(self.config.get("photos"))[used : used + MOST_FRESH]
        points, found_by = operating_points(
            Detector.load(path), self.data.held_out, photos, photo_boxes=float(self.config.get("photo_boxes", math.inf))
        )
        amend_card(path, {"operating_point": points, "operating_point_from": found_by})
        if self.data.held_out:
            self._judge_export(path)
        log.info("exported to %s", path)
        return path

    def _judge_export(self, folder: Path) -> None:
        """What the exported model finds of the held-out brands, with curves and the worst pictures, into `held-out`."""
        out = self.out / "held-out"
        out.mkdir(exist_ok=True)
        truth = out / "brands.jsonl"
        jsonl.write(truth, ((os.path.relpath(p.path, out), p) for p in self.data.held_out))
        write_evaluation(evaluate_detector([truth], out, detector=Detector.load(folder), threads=1), out)

    def _note(self, row: dict[str, float]) -> None:
        place = {"step": self.step, "minutes": round(self.seconds / 60, 2), "progress": round(self.progress(), 4)}
        self.rows.append(place | row)
        note_rows(self.out / "metrics.csv", self.rows, log)

    def save(self) -> None:
        """Write the checkpoint in one step; it holds tensors and numbers only and is read without unpickling objects."""
        fresh = self.out / "last.ckpt.new"
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average,
                "chosen": self.chosen,
                "chosen_step": self.chosen_step,
                "best_figure": self.best_figure,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "rows": self.rows,
            },
            fresh,
        )
        fresh.replace(self.out / "last.ckpt")

    def restore(self) -> None:
        """Take up the last checkpoint. Raises DatasetError (missing) when there is none."""
        path = self.out / "last.ckpt"
        if not path.is_file():
            raise DatasetError("missing", "no checkpoint to resume from", path=str(path))
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.average, self.chosen = saved["average"], saved["chosen"]
        self.chosen_step, self.best_figure = saved["chosen_step"], saved["best_figure"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.seconds, self.rows = saved["step"], saved["seconds"], saved["rows"]


def calibration_inputs(data: DetectorData, size: int) -> list[npt.NDArray[np.float32]]:
    """Inputs of the model from training pictures of every group, to learn the ranges of its activations from."""
    rng = np.random.default_rng(0)
    found = []
    for group in data.groups.values():
        for index in rng.permutation(len(group))[:CALIBRATION]:
            found.append(to_input([letterbox(group[index].pixels, size, STRIDE)[0]]))
    return found


def operating_points(
    detector: AnyDetector, held_out: Sequence[LabelledPicture], photos: Sequence[Path], *, photo_boxes: float
) -> tuple[dict[str, float], dict[str, Any]]:
    """The score of each kind from which a box is reported, and how it was found.

    It is the score of the best F1 on held-out pictures; for logos raised, where need be, until everyday photographs
    that were not shown in training get no more than `photo_boxes` each.
    """
    points, record = {}, {}
    for kind in KINDS:
        wanted = [p for p in held_out if (p.looked_at if kind == "logo" else kind in p.kinds)]
        judged = [Judged.of(p, detector.detect([p.path], min_score=0.01)[0], kind) for p in wanted]
        score, f1 = best_f1(judged) if judged else (DEFAULT_SCORE, math.nan)
        record[kind] = {"pictures": len(wanted), "best_f1": None if math.isnan(f1) else round(f1, 3), "at": score}
        if kind == "logo" and photos:
            found = [detector.detect([p], min_score=0.01)[0] for p in photos]
            ranked = np.sort(np.concatenate([d.scores[[k == kind for k in d.kinds]] for d in found]))[::-1]
            allowed = int(min(photo_boxes * len(photos), len(ranked)))
            if allowed < len(ranked):
                score = max(score, math.ceil(float(ranked[allowed]) * 100 + 1e-6) / 100)
            record[kind] |= {
                "photos": len(photos),
                "boxes_a_photo": round(float((ranked >= score).sum() / len(photos)), 3),
            }
        points[kind] = round(score, 2)
    return points, record


def plot(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Losses and held-out figures over the steps, as a picture."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for axis, columns in zip(
        axes, (("box_loss", "class_loss", "extent_loss"), ("ap50", "ap50_every", "recall10")), strict=True
    ):
        for column in columns:
            points = [(r["step"], r[column]) for r in rows if column in r]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o" if len(points) == 1 else None, label=column)
        axis.set_xlabel("step")
        if axis.lines:
            axis.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _bounded(pixels: npt.NDArray[np.uint8], labels: Labels, longest: int) -> Example:
    """An example no larger than training will ever show it, so that thousands fit into memory."""
    import cv2

    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return Example(pixels, labels)
    high, wide = pixels.shape[:2]
    size = (round(wide * scale), round(high * scale))
    factor = np.array([size[0] / wide, size[1] / high] * 2, np.float32)
    regions = labels.regions.copy()
    regions[:, 2:] *= factor
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Example(small, Labels(labels.boxes * factor, labels.kinds, labels.strengths, regions))


def _targets(labels: Sequence[Labels], size: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Labels in the form of ultralytics' loss: picture number, class, and xywh as shares of the picture."""
    numbers = np.concatenate([np.full(len(found.kinds), i, np.float32) for i, found in enumerate(labels)])
    kinds = np.concatenate([found.kinds for found in labels]).astype(np.float32)
    boxes = to_cxcywh_norm(np.concatenate([found.boxes for found in labels]), size, size).astype(np.float32)
    parts = {"batch_idx": numbers, "cls": kinds[:, None], "bboxes": boxes}
    return {name: torch.from_numpy(part).to(device) for name, part in parts.items()}


def _float(found: Any) -> Any:
    """Network outputs back in float32: the loss needs its range and precision."""
    if isinstance(found, torch.Tensor):
        return found.float()
    if isinstance(found, dict):
        return {k: _float(v) for k, v in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_float(v) for v in found)
    return found
