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
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vision.datasets import jsonl
from vision.datasets.labelled import LabelledPicture
from vision.detect import AnyDetector, Detector
from vision.detect.yolo import DEFAULT_IOU, DEFAULT_SCORE, FILLING, STRIDE, decode, from_square, letterbox, to_input
from vision.errors import DatasetError, UsageError
from vision.evaluate.boxes import Judged, best_f1, box_figures
from vision.evaluate.detector import evaluate_detector, write_evaluation
from vision.files import write_atomically
from vision.images import read_picture
from vision.training.averages import joined, start_share
from vision.training.detector_data import DetectorData, Stage, draw_batch, load_data, stages_of
from vision.training.detector_loss import (
    LenientBCE,
    StrengthAssigner,
    anchor_weights,
    loss_targets,
    padded_alone,
    padded_strengths,
)
from vision.training.detector_views import KINDS
from vision.training.draw import folder_pictures
from vision.training.export import amend_card, export_model
from vision.training.metrics_file import note_rows
from vision.training.network import build_network
from vision.training.precision import use_bf16
from vision.values import Detections
from vision.weights import note_shipped

log = logging.getLogger(__name__)

BACKBONE = 10  # the first layers of YOLOv8: features that COCO taught, trained slower than neck and head
WARM_UP = 60  # steps
AVERAGE_DECAY, AVERAGE_WARM_UP = 0.998, 300
CALIBRATION = 32  # pictures of each group that set the ranges of 8-bit arithmetic
# How far the held-out AP50 and recall@10 may fall together, from their best, before later weights are passed over: less is
# chance on some 170 pictures.
TOLERANCE = 0.05
MOST_FRESH = 250  # photographs never shown, for the operating point


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
        total, parts = self.loss(_float(found), loss_targets(labels, size, self.device))
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
        note_shipped(path)
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


def _float(found: Any) -> Any:
    """Network outputs back in float32: the loss needs its range and precision."""
    if isinstance(found, torch.Tensor):
        return found.float()
    if isinstance(found, dict):
        return {k: _float(v) for k, v in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_float(v) for v in found)
    return found
