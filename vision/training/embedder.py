"""Trains the embedder: a drawn or real crop against the clean logo, and against the brand's name.

Every drawing has a proxy, a vector that starts as the drawing's own embedding; real brands have one more per kind of box. A crop
must be nearer to its proxy than to any proxy of another brand (cosine softmax with a margin); other proxies of its own brand
count neither way. Photographs of one brand are also drawn to each other: a crop must be nearer to some crop of its brand in
another picture than to those of other brands, in the batch and in a queue of earlier ones (supervised contrastive learning with
a cross-batch memory: all confusable brands are in it); with `photos_term.drawn`, drawn crops take part as photographs do. The
text tower learns names from the same crops (CLIP's loss), then from the finished embeddings of the clean drawings. What works
and what does not at this length was tried beforehand; the settings that it chose stand in the config.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vision.errors import DatasetError, UsageError
from vision.training.averages import joined, start_share
from vision.training.crops import vary_crop
from vision.training.embedder_accuracy import embed_pictures, few_shot_accuracy, held_out_accuracy, to_input
from vision.training.embedder_data import TrainingData, clean_pictures, load_training_data
from vision.training.embedder_losses import Queue, photo_loss
from vision.training.imitate import Teacher, regress_head
from vision.training.metrics_file import note_rows
from vision.training.precision import use_bf16
from vision.training.tower import CONFIG, Grid4, load_backbone, load_weights, untrained_clip

log = logging.getLogger(__name__)

# What a user may type around a name; the bare name stands first and is drawn most often.
TEMPLATES = ("{}", "{}", "{}", "{} logo", "logo of {}", "the {} logo")


def train_embedder(config: dict[str, Any], *, out: Path, resume: bool) -> Path:
    """Train as the config says, write `out/metrics.csv`, `out/metrics.png` and checkpoints, export; the folder of the export.

    config: see `datasets/embedder.yaml`. out: run folder. resume: go on from its last checkpoint.
    Raises DatasetError (missing, leaking_split), BackendError (package_missing), UsageError.
    """
    from vision.training.embedder_export import export_embedder

    torch.manual_seed(int(config["seed"]))
    torch.set_num_threads(int(config.get("threads", 1)))
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    data = load_training_data(config)
    run = _Run(config, data, out, resumes=resume)
    if resume:
        run.restore()
    run.train()
    run.take_average()
    run.teach_names()
    run.save()
    return export_embedder(run.model, {**config, "steps_done": run.step, "bf16": run.bf16}, data)


class _Run:
    """One training: the model, its proxies, the optimiser and where it stands."""

    def __init__(self, config: dict[str, Any], data: TrainingData, out: Path, *, resumes: bool = False) -> None:
        import open_clip

        self.config, self.data, self.out = config, data, out
        self.step, self.seconds, self.rows = 0, 0.0, list[dict[str, float]]()
        self.bf16 = use_bf16(config.get("bf16", "auto"))
        self.name = str(config.get("model", CONFIG))
        self.model: Any = untrained_clip(self.name)
        self.tower: Grid4 = self.model.visual.trunk
        start = config.get("start")
        if start:
            load_weights(self.model, Path(start))
        elif config.get("backbone"):
            load_backbone(self.tower, Path(config["backbone"]))
        self.model.to(memory_format=torch.channels_last)
        for part in (self.tower.conv_stem, self.tower.blocks[:2]):
            for parameter in part.parameters():
                parameter.requires_grad_(False)
        self.teacher = Teacher(Path(config["teacher"])) if config.get("teacher") else None
        if not start:
            nn.init.orthogonal_(self.tower.head.weight)
            nn.init.zeros_(self.tower.head.bias)
            _whiten(self.tower, clean_pictures(data))
        if self.teacher is not None and not (start or resumes):
            self._imitate(self.teacher)
        self.average = copy.deepcopy(self.tower)
        self.first = copy.deepcopy(self.tower.state_dict())
        self.first_share = start_share(config, starts_trained=bool(start))
        self.best: dict[str, Any] = {"figure": -1.0}
        self.queue = Queue(int(config.get("photos_term", {}).get("queue", 0)), self.tower.head.out_features)
        self.groups = torch.tensor(data.groups)
        self.proxies = nn.Parameter(self._first_proxies())
        self.tokens = open_clip.get_tokenizer(self.name)
        rate = config["rates"]
        trunk = [p for n, p in self.tower.named_parameters() if p.requires_grad and not n.startswith("head.")]
        text = [p for n, p in self.model.named_parameters() if not n.startswith("visual.")]
        self.text_parameters = text
        self.optimizer = torch.optim.AdamW(
            [
                {"params": trunk, "lr": rate["trunk"], "weight_decay": 0.01},
                {"params": list(self.tower.head.parameters()), "lr": rate["head"], "weight_decay": 0.01},
                {"params": [self.proxies], "lr": rate["proxies"], "weight_decay": 0.0},
                {"params": text, "lr": rate["text"], "weight_decay": 0.01},
            ]
        )
        for group in self.optimizer.param_groups:
            group["start"] = group["lr"]

    def _imitate(self, teacher: Teacher) -> None:
        """Begin in the teacher's space, with its text tower."""
        self.model.load_state_dict(teacher.text, strict=False)
        steps, count = int(self.config["steps"]), int(self.config["imitate"]["batches"])
        with self._autocast():
            # numbered after the last step: batches that training never sees
            batches = (to_input(pictures.numpy()) for pictures, *_ in self._batches(range(steps, steps + count)))
            regress_head(self.tower, teacher, batches, count)

    def _autocast(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)

    def _first_proxies(self) -> torch.Tensor:
        vectors = [embed_pictures(self.tower, clean_pictures(self.data))]
        rng = np.random.default_rng(0)
        for photos in self.data.real:
            some = np.stack(
                [vary_crop(photos.crops[i], rng, self.data.size) for i in rng.integers(0, len(photos.crops), 8)]
            )
            vectors.append(embed_pictures(self.tower, some).mean(axis=0, keepdims=True))
        return torch.from_numpy(np.concatenate(vectors)).float()

    def train(self) -> None:
        """The main part, until the steps or the minutes of the config are used up."""
        config = self.config
        steps, minutes = int(config["steps"]), float(config.get("minutes") or math.inf)
        every = float(config.get("checkpoint_minutes", 4)) * 60
        log.info("%d drawings, %d brands, %d real crops", len(self.data.artworks), len(self.data.names), self._real())
        check = float(config.get("check_minutes") or math.inf) * 60
        checked = self.seconds
        if config.get("start") and not self.step:
            self._check({}, 0.0)  # where it starts from; brands held out now may have been learned then
        began, saved, counts = time.monotonic() - self.seconds, time.monotonic(), _Counts()
        for pictures, proxies, brands, sources in self._batches(range(self.step, steps)):
            self.seconds = time.monotonic() - began
            progress = max(self.step / steps, self.seconds / 60 / minutes)
            if progress >= 1:
                break
            for group in self.optimizer.param_groups:
                warm = min(1.0, (self.step + 1) / 100)
                group["lr"] = group["start"] * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
            counts.add(*self._learn(pictures, proxies, brands, sources, progress))
            self.step += 1
            if self.seconds - checked > check:
                self._check(counts.means(), progress)
                checked, counts = self.seconds, _Counts()
            if counts.n and self.step % int(config.get("log_steps", 50)) == 0:
                self._note(counts.means(), progress)
                counts = _Counts()
            if time.monotonic() - saved > every:
                self.save()
                saved = time.monotonic()
        self._check(counts.means() if counts.n else {}, 1.0)
        self.save()
        _plot(self.rows, self.out / "metrics.png")

    def _real(self) -> int:
        return sum(len(photos.crops) for photos in self.data.real)

    def _check(self, means: dict[str, float], progress: float) -> None:
        """Measure the average of the weights on what is held out, and keep it where the mean of both figures is the best."""
        drawn = held_out_accuracy(self.average, self.data, seed=1, others=800)
        photos = few_shot_accuracy(self.average, self.data)
        self._note(means, progress, held_out=drawn, few_shot=photos)
        figures = [f for f in (drawn, photos) if not math.isnan(f)]
        figure = float(np.mean(figures)) if figures else 0.0
        if self.step and figure >= self.best["figure"]:
            self.best = {"figure": figure, "step": self.step, "tower": copy.deepcopy(self.average.state_dict())}

    def take_average(self) -> None:
        """Go on with an average of the weights: the last one, or with `keep: best` the best on held-out brands.

        The best misleads where the start has seen the brands that are held out now: forgetting them looks like getting worse.
        With `start_share` the weights that the run began with keep that share, so that what they knew of other brands than
        these is not lost.
        """
        best = self.config.get("keep") == "best" and "tower" in self.best
        last = self.best["tower"] if best else self.average.state_dict()
        self.tower.load_state_dict(joined(last, self.first, self.first_share))

    def _batches(self, steps: Sequence[int]) -> Iterator[tuple[Any, Any, Any, Any]]:
        config = self.config
        dataset = _Batches(
            self.data,
            int(config["seed"]),
            int(config["batch"]),
            float(config["real_share"]),
            int(config.get("photos_term", {}).get("per_brand", 1)),
        )
        workers = int(self.config.get("workers", 1))
        loader: Any = torch.utils.data.DataLoader(
            dataset,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=6 if workers else None,
        )
        return iter(loader)

    def _learn(
        self,
        pictures: torch.Tensor,
        proxies: torch.Tensor,
        brands: torch.Tensor,
        sources: torch.Tensor,
        progress: float = 0.0,
    ) -> tuple[float, Any, Any]:
        """One step. Returns the loss and which crops were right, drawn and real apart. progress: of the training, in [0, 1]."""
        scale, margin = float(self.config["scale"]), float(self.config["margin"])
        with self._autocast():
            images = to_input(pictures.numpy())
            with torch.no_grad():
                low = self.tower.forward_frozen(images)
            grid = self.tower.forward_grid(low)
            wanted = None if self.teacher is None else self.teacher.embed(images)
        vectors = nn.functional.normalize(self.tower.head(grid), dim=1)
        cosines = vectors @ nn.functional.normalize(self.proxies, dim=1).T
        own = self.groups[None] == brands[:, None]
        target = proxies.clone()
        real = target < 0
        if real.any():
            target[real] = cosines.detach()[real].masked_fill(~own[real], -2).argmax(dim=1)
        places = torch.arange(len(target))
        own[places, target] = False
        logits = (scale * cosines).masked_fill(own, -1e4)
        logits[places, target] -= scale * margin
        loss = nn.functional.cross_entropy(logits, target)
        if self.queue.size:
            term = self.config["photos_term"]
            scale, margin = float(term["scale"]), float(term["margin"])
            some = real if not term.get("drawn") else torch.ones_like(real)
            photos = photo_loss(vectors[some], brands[some], sources[some], self.queue, scale=scale, margin=margin)
            loss = loss + float(term["weight"]) * photos
        if wanted is not None:
            pull = float(self.config["imitate"]["weight"]) * (1 - progress)
            loss = loss + pull * (1 - (vectors * wanted).sum(dim=1).mean())
        if self.step % int(self.config["text"]["every"]) == 0:
            loss = loss + float(self.config["text"]["weight"]) * self._name_loss(vectors, brands)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 5.0)
        self.optimizer.step()
        self._average()
        right = cosines.detach().masked_fill(own, -2).argmax(dim=1) == target
        return float(loss.detach()), right[~real], right[real]

    def _average(self) -> None:
        """Move the average a little towards the weights; fast at the beginning."""
        keep = min(float(self.config.get("average", 0.0)), (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.tower.parameters(), strict=True):
                if now.requires_grad:
                    mean.lerp_(now, 1 - keep)

    def _name_loss(self, vectors: torch.Tensor, brands: torch.Tensor) -> torch.Tensor:
        """CLIP's loss between the crops of a batch and the names of their brands; crops of one brand do not compete."""
        texts = self._encode(brands.tolist(), np.random.default_rng([5, self.step]))
        logits = self.model.logit_scale.exp().clamp(max=50.0) * vectors @ texts.T
        same = (brands[:, None] == brands[None]) & ~torch.eye(len(brands), dtype=torch.bool)
        logits = logits.masked_fill(same, -1e4)
        target = torch.arange(len(brands))
        both = nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)
        return both / 2

    def _encode(self, brands: Sequence[int], rng: np.random.Generator) -> torch.Tensor:
        lines = [TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(self.data.names[b]) for b in brands]
        return nn.functional.normalize(self.model.encode_text(self.tokens(lines)), dim=1)

    def teach_names(self) -> None:
        """The text tower alone: each name against the finished vectors of all clean drawings and real brands."""
        text = self.config["text"]
        vectors = embed_pictures(self.tower, clean_pictures(self.data))
        photos = nn.functional.normalize(self.proxies.detach(), dim=1)[len(vectors) :]
        targets = torch.cat([torch.from_numpy(vectors), photos])
        optimizer = torch.optim.AdamW(self.text_parameters, lr=text["rate"], weight_decay=0.01)
        steps, rng = int(text["steps"]), np.random.default_rng(int(self.config["seed"]))
        brands_all = np.arange(len(self.data.names))
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = text["rate"] * 0.5 * (1 + math.cos(math.pi * step / steps))
            brands = rng.choice(brands_all, min(int(text["batch"]), len(brands_all)), replace=False)
            logits = 20.0 * self._encode(brands.tolist(), rng) @ targets.T
            own = self.groups[None] == torch.from_numpy(brands)[:, None]
            # any vector of the brand will do: the softmax weight of all of them together
            chances = logits.log_softmax(dim=1).masked_fill(~own, -1e4).logsumexp(dim=1)
            loss = -chances.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                log.info("names %d/%d loss %.3f", step, steps, float(loss.detach()))

    def _note(self, means: dict[str, float], progress: float, **more: float) -> None:
        row = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            "progress": round(progress, 4),
            **means,
            **more,
        }
        self.rows.append(row)
        note_rows(self.out / "metrics.csv", self.rows, log)

    def save(self) -> None:
        """Write the checkpoint in one step; it holds tensors and numbers only and is read without unpickling objects."""
        fresh = self.out / "last.ckpt.new"
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "first": self.first,
                "best": self.best,
                "queue": self.queue.state(),
                "proxies": self.proxies.detach(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "rows": self.rows,
                "names": self.data.names,
            },
            fresh,
        )
        fresh.replace(self.out / "last.ckpt")

    def restore(self) -> None:
        """Take up the last checkpoint.

        Raises DatasetError (missing) when there is none, UsageError (bad_config) when it was trained on other brands.
        """
        path = self.out / "last.ckpt"
        if not path.is_file():
            raise DatasetError("missing", "no checkpoint to resume from", path=str(path))
        saved = torch.load(path, weights_only=True)
        if saved["names"] != self.data.names or saved["proxies"].shape != self.proxies.shape:
            raise UsageError("bad_config", "the data is not that of the checkpoint", path=str(path), hint="start anew")
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.first = saved["first"]
        self.best = saved["best"]
        self.queue.restore(saved["queue"])
        self.proxies.data.copy_(saved["proxies"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.seconds, self.rows = saved["step"], saved["seconds"], saved["rows"]


class _Batches(torch.utils.data.Dataset):
    """Batch by number, so that a resumed run sees what an unbroken one would have seen."""

    def __init__(self, data: TrainingData, seed: int, size: int, real_share: float, photos_per_brand: int) -> None:
        self.data, self.seed, self.size, self.real_share = data, seed, size, real_share
        self.photos_per_brand = photos_per_brand

    def __getitem__(self, step: int) -> tuple[Any, Any, Any, Any]:
        cv2.setNumThreads(1)
        found = self.data.batch(
            step,
            seed=self.seed,
            size=self.size,
            real_share=self.real_share,
            photos_per_brand=self.photos_per_brand,
        )
        pictures, proxies, brands, sources = (torch.from_numpy(part) for part in found)
        return pictures, proxies, brands, sources


@dataclass(slots=True)
class _Counts:
    """Means over the steps since the last row of metrics."""

    n: int = 0
    loss: float = 0.0
    drawn: list[bool] = field(default_factory=list)
    real: list[bool] = field(default_factory=list)

    def add(self, loss: float, drawn: Any, real: Any) -> None:
        self.n += 1
        self.loss += loss
        self.drawn += drawn.tolist()
        self.real += real.tolist()

    def means(self) -> dict[str, float]:
        return {
            "loss": round(self.loss / self.n, 4),
            "drawn": round(float(np.mean(self.drawn)), 4) if self.drawn else math.nan,
            "real": round(float(np.mean(self.real)), 4) if self.real else math.nan,
        }


def _whiten(tower: Grid4, pictures: npt.NDArray[np.uint8]) -> None:
    """Set the tower's fixed mean and scale from the untrained grids of the clean drawings."""
    tower.eval()
    with torch.no_grad():
        grids = torch.cat(
            [
                tower.forward_grid(tower.forward_frozen(to_input(pictures[i : i + 64])))
                for i in range(0, len(pictures), 64)
            ]
        )
        tower.grid_mean.copy_(grids.mean(dim=0))
        tower.grid_scale.copy_(1 / grids.std(dim=0, correction=0).clamp(min=1e-2))


def _plot(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Loss and training accuracy over the steps, as a picture."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for axis, columns in ((left, ("loss",)), (right, ("drawn", "real", "held_out", "few_shot"))):
        for column in columns:
            points = [(r["step"], r[column]) for r in rows if column in r and not math.isnan(r[column])]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o" if len(points) == 1 else None, label=column)
        axis.set_xlabel("step")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
