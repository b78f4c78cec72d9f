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
import json
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

from vision.datasets.labelled import is_kin, read_names, read_set
from vision.errors import DatasetError, UsageError
from vision.images import read_picture
from vision.library.names import canonical, fold
from vision.library.sources import load_drawings, views
from vision.training.averages import joined, start_share
from vision.training.crops import (
    Artwork,
    cut_with_spare,
    draw_crop,
    draw_ground,
    plain_crop,
    random_patches,
    vary_crop,
)
from vision.training.draw.stock import expand
from vision.training.imitate import Teacher, regress_head
from vision.training.metrics_file import note_rows
from vision.training.precision import use_bf16
from vision.training.tower import CONFIG, SIZE, Grid4, load_backbone, load_weights, untrained_clip
from vision.values import Embeddings, Pixels

log = logging.getLogger(__name__)

# What a user may type around a name; the bare name stands first and is drawn most often.
TEMPLATES = ("{}", "{}", "{}", "{} logo", "logo of {}", "the {} logo")


@dataclass(slots=True)
class Photos:
    """The real crops of a brand and kind, cut with their surroundings. pictures: number of the picture that each is from."""

    brand: int
    crops: list[Pixels] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)


@dataclass(slots=True)
class TrainingData:
    """Everything that crops are drawn from.

    artworks and clean: the training drawings, and one clean picture of each. groups: brand number of each proxy (the drawings
    first, then one proxy for each real brand and kind). names: display name of each brand number. real: the photographed brands
    and kinds. held_out: drawings of brands that training never sees, with their keys. held_out_real: photographed logos of
    others, with their keys. shares: how real crops are varied (see `vary_crop`). grounds: photographs behind drawn crops;
    test_grounds: others, for the test. patches: crops that show no boxed logo. size: side of the embedder's pictures.
    """

    artworks: list[Artwork] = field(default_factory=list)
    clean: list[Pixels] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    real: list[Photos] = field(default_factory=list)
    held_out: list[tuple[str, Artwork, Pixels]] = field(default_factory=list)
    held_out_real: list[tuple[str, Photos]] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    grounds: list[Pixels] = field(default_factory=list)
    test_grounds: list[Pixels] = field(default_factory=list)
    patches: list[Pixels] = field(default_factory=list)
    size: int = SIZE

    def batch(
        self, step: int, *, seed: int, size: int, real_share: float, photos_per_brand: int = 1
    ) -> tuple[Any, Any, Any, Any]:
        """Batch number `step`: pictures (n, s, s, 3) uint8, proxy, brand and source picture of each.

        proxy: -1 for real crops. source: negative for drawn ones, each its own. photos_per_brand: so many crops of a real brand,
        of different pictures where it has them.
        """
        rng = np.random.default_rng([seed, step])
        pictures: list[Pixels] = []
        proxies, brands, sources = list[int](), list[int](), list[int]()
        weights = np.sqrt([len(photos.crops) for photos in self.real])
        real = round(size * real_share) if self.real else 0
        while len(pictures) < real:
            photos = self.real[int(rng.choice(len(self.real), p=weights / weights.sum()))]
            taken: dict[int, int] = {}  # one crop of each picture
            for i in rng.permutation(len(photos.crops)).tolist():
                taken.setdefault(photos.pictures[i], i)
            for source, i in list(taken.items())[: min(photos_per_brand, real - len(pictures))]:
                pictures.append(vary_crop(photos.crops[i], rng, self.size, **self.shares))
                proxies.append(-1)
                brands.append(photos.brand)
                sources.append(source)
        while len(pictures) < size:
            proxy = int(rng.integers(len(self.artworks)))
            sources.append(-3 - step * size - len(pictures))
            pictures.append(draw_crop(self.artworks[proxy], self.grounds, rng, self.size))
            proxies.append(proxy)
            brands.append(self.groups[proxy])
        return np.stack(pictures), np.array(proxies), np.array(brands), np.array(sources)


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


def load_training_data(config: dict[str, Any]) -> TrainingData:
    """Read drawings, real crops and photographs; keep unseen brands, their kin and the held-out drawings away from training.

    Raises DatasetError (missing) when there is no drawing at all, (leaking_split) when an unseen brand got in.
    """
    rng = np.random.default_rng(int(config["seed"]))
    data = TrainingData(
        shares={k: float(v) for k, v in config.get("shares", {}).items()}, size=int(config.get("size", SIZE))
    )
    left_out = read_names(config.get("brands_left_out"))
    crops, names = _real_crops(config, left_out, data, rng)
    _load_photos(config, data, rng)
    drawings = [d for d in _drawings(config) if not is_kin(d.name, left_out) and not is_kin(d.slug, left_out)]
    if not drawings:
        raise DatasetError("missing", "no drawings to train on")
    real_keys = {key for key, _ in crops}
    keys = sorted({d.key for d in drawings} - real_keys)
    held_out = {keys[i] for i in rng.permutation(len(keys))[: int(config.get("held_out", 0))]}
    known = config.get("start") or config.get("teacher")
    if known:  # what the weights have not seen must stay unseen
        card = json.loads(Path(known).with_name("card.json").read_text(encoding="utf-8"))
        held_out = set(card["data"]["held_out_brands"])
    data.held_out_real = _held_out_photos(crops, int(config.get("held_out_real", 0)))
    photographed = {key for key, _ in data.held_out_real}
    crops = {at: photos for at, photos in crops.items() if at[0] not in photographed and at[0] not in held_out}
    numbers: dict[str, int] = {}
    for drawing in drawings:
        if drawing.key in photographed:
            continue
        artwork = Artwork(drawing.rgba, _rgb(drawing.colour))
        clean = views(drawing)[0]
        if drawing.key in held_out:
            data.held_out.append((drawing.key, artwork, clean))
            continue
        if drawing.key not in numbers:
            numbers[drawing.key] = len(numbers)
            data.names.append(drawing.name)
        data.artworks.append(artwork)
        data.clean.append(clean)
        data.groups.append(numbers[drawing.key])
    for (key, _), of_brand in crops.items():
        if key not in numbers:
            numbers[key] = len(numbers)
            data.names.append(names[key])
        of_brand.brand = numbers[key]
        data.real.append(of_brand)
        data.groups.append(numbers[key])
    if leaked := [name for name in data.names if is_kin(name, left_out)]:
        raise DatasetError("leaking_split", f"{leaked[0]!r} belongs to a brand that is left out")
    return data


def clean_pictures(data: TrainingData) -> Any:
    """The clean drawings of training as (n, s, s, 3) uint8, as the embedder sees them."""
    from vision.embed.contract import stretch

    return np.stack([stretch(picture, data.size) for picture in data.clean])


def to_input(pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(n, h, w, 3) uint8 to the tower's (n, 3, h, w) float32 in -1..1, channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def embed_pictures(tower: Grid4, pictures: npt.NDArray[np.uint8]) -> Embeddings:
    """Unit embeddings (n, d) float32 of prepared pictures (n, s, s, 3) uint8, in full precision."""
    tower.eval()
    with torch.no_grad():
        found = [
            nn.functional.normalize(tower(to_input(pictures[i : i + 64])), dim=1) for i in range(0, len(pictures), 64)
        ]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def held_out_accuracy(
    tower: Grid4, data: TrainingData, *, seed: int, crops: int = 2, others: int | None = None
) -> float:
    """Top-1 of drawn crops of held-out brands among one clean view of every drawing, trained and held out; NaN without any.

    others: so many of the trained drawings, in place of all.
    """
    from vision.embed.contract import stretch

    if not data.held_out:
        return math.nan
    rng = np.random.default_rng(seed)
    trained = np.arange(len(data.clean))[:: max(1, len(data.clean) // others) if others else 1]
    pictures = [data.clean[i] for i in trained] + [c for _, _, c in data.held_out]
    library = np.stack([stretch(picture, data.size) for picture in pictures])
    keys = [str(data.groups[i]) for i in trained] + [f"held out {k}" for k, _, _ in data.held_out]
    grounds = data.test_grounds or data.grounds
    queries = np.stack([draw_crop(a, grounds, rng, data.size) for _, a, _ in data.held_out for _ in range(crops)])
    wanted = [f"held out {k}" for k, _, _ in data.held_out for _ in range(crops)]
    nearest = (embed_pictures(tower, queries) @ embed_pictures(tower, library).T).argmax(axis=1)
    return float(np.mean([keys[i] == w for i, w in zip(nearest, wanted, strict=True)]))


def few_shot_accuracy(
    tower: Grid4, data: TrainingData, *, references: int = 3, rivals: int = 60, draws: int = 10
) -> float:
    """Top-1 of photographed logos of held-out brands against `references` crops of each of them and of rival brands; NaN
    without any.

    A crop never meets one of its own picture. rivals: so many trained brands, those with most pictures. Mean of `draws` choices.
    """
    if not data.held_out_real:
        return math.nan
    known = sorted((p for p in data.real if len(set(p.pictures)) >= references), key=lambda p: -len(p.crops))[:rivals]
    brands = [p for _, p in data.held_out_real] + known
    keys, pictures, crops = [], [], []
    for number, photos in enumerate(brands):
        some = np.random.default_rng(number).permutation(len(photos.crops))[
            : 20 if number < len(data.held_out_real) else 6
        ]
        crops += [plain_crop(photos.crops[i], data.size) for i in some]
        pictures += [photos.pictures[i] for i in some]
        keys += [number] * len(some)
    vectors = embed_pictures(tower, np.stack(crops))
    owner, source = np.array(keys), np.array(pictures)
    right, asked = 0, np.flatnonzero(owner < len(data.held_out_real))
    cosines = vectors[asked] @ vectors.T
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(owner))
        for row, i in enumerate(asked):
            usable = order[source[order] != source[i]]
            rank = np.zeros(len(usable), int)
            for number in range(len(brands)):
                place = np.flatnonzero(owner[usable] == number)
                rank[place] = np.arange(len(place))
            chosen = usable[rank < references]
            right += int(owner[chosen[cosines[row, chosen].argmax()]] == owner[i])
    return right / (draws * len(asked))


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
        self.queue = _Queue(int(config.get("photos_term", {}).get("queue", 0)), self.tower.head.out_features)
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
            photos = _photo_loss(vectors[some], brands[some], sources[some], self.queue, scale=scale, margin=margin)
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


class _Queue:
    """The vectors of the latest crops with brand and source picture; rows not filled yet have source -2 and brand -2."""

    def __init__(self, size: int, dimensions: int) -> None:
        self.size, self.at = size, 0
        self.vectors = torch.zeros(size, dimensions)
        self.brands, self.sources = (torch.full((size,), -2) for _ in range(2))

    def with_batch(
        self, vectors: torch.Tensor, brands: torch.Tensor, sources: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The rows of a batch, then those of the queue that are filled."""
        filled = self.brands >= 0
        return (
            torch.cat([vectors, self.vectors[filled]]),
            torch.cat([brands, self.brands[filled]]),
            torch.cat([sources, self.sources[filled]]),
        )

    def add(self, vectors: torch.Tensor, brands: torch.Tensor, sources: torch.Tensor) -> None:
        """Put rows in the place of the oldest."""
        places = (torch.arange(len(brands)) + self.at) % self.size
        self.vectors[places], self.brands[places], self.sources[places] = vectors, brands, sources
        self.at = int((self.at + len(brands)) % self.size)

    def state(self) -> dict[str, Any]:
        """Tensors and numbers for a checkpoint."""
        return {"vectors": self.vectors, "brands": self.brands, "sources": self.sources, "at": self.at}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a `state`."""
        self.vectors, self.brands, self.sources = state["vectors"], state["brands"], state["sources"]
        self.at = int(state["at"])


def _photo_loss(
    vectors: torch.Tensor,
    brands: torch.Tensor,
    sources: torch.Tensor,
    queue: _Queue,
    *,
    scale: float,
    margin: float,
) -> torch.Tensor:
    """Each crop against those of other pictures, of the batch and of the queue, which then takes the batch.

    Any crop of its brand will do, as in a search among a few photographs: brands have several artworks, which need not come
    together. Crops whose brand has no other picture here count nothing. vectors: (n, d) unit rows.
    """
    others, their_brands, their_sources = queue.with_batch(vectors, brands, sources)
    same_picture = sources[:, None] == their_sources[None]
    own = (brands[:, None] == their_brands[None]) & ~same_picture
    logits = scale * (vectors @ others.T - margin * own)
    chances = logits.masked_fill(same_picture, -1e4).log_softmax(dim=1).masked_fill(~own, -1e4).logsumexp(dim=1)
    queue.add(vectors.detach(), brands, sources)
    asked = own.any(dim=1)
    return -(chances * asked).sum() / asked.sum().clamp(min=1)


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


def _drawings(config: dict[str, Any]) -> list[Any]:
    wanted = config["drawings"]
    cache, packages = wanted.get("cache"), wanted.get("packages")
    found = load_drawings(
        Path(cache) if cache else None, sources=tuple(wanted["sources"]), packages=Path(packages) if packages else None
    )
    limit = wanted.get("limit")
    return found[:: max(1, len(found) // int(limit))] if limit else found


def _real_crops(
    config: dict[str, Any], left_out: Sequence[str], data: TrainingData, rng: np.random.Generator
) -> tuple[dict[tuple[str, str], Photos], dict[str, str]]:
    """Cut crops by brand key and kind, and the display name of each key; patches without a boxed logo go to `data`."""
    crops: dict[tuple[str, str], Photos] = {}
    names: dict[str, str] = {}
    number = 0
    for path in expand(config.get("real", [])):
        for picture in read_set(path, brands_left_out=left_out):
            named = [b for b in picture.boxes if b.brand and not b.ignore and _large_enough(b.box)]
            if not named:
                continue
            pixels = read_picture(picture.path).pixels
            scale = picture.scale_to(pixels.shape[1], pixels.shape[0])
            number += 1
            for box in named:
                name = canonical(str(box.brand))
                names.setdefault(fold(name), name)
                photos = crops.setdefault((fold(name), box.kind), Photos(-1))
                photos.crops.append(cut_with_spare(pixels, (np.array(box.box) * scale).tolist()))
                photos.pictures.append(number)
            if picture.looked_at:
                data.patches += random_patches(
                    pixels, 1, rng, [(np.array(b.box) * scale).tolist() for b in picture.boxes]
                )
    return crops, names


def _held_out_photos(crops: dict[tuple[str, str], Photos], count: int) -> list[tuple[str, Photos]]:
    """Photographed logos to test with: brands with 8 to 40 pictures, every so-manieth of them in the order of their keys."""
    fit = sorted(key for (key, kind), p in crops.items() if kind == "logo" and 8 <= len(set(p.pictures)) <= 40)
    chosen = [fit[i * len(fit) // count] for i in range(count)] if len(fit) >= count > 0 else fit[:count]
    return [(key, crops[key, "logo"]) for key in chosen]


def _large_enough(box: Sequence[float]) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) >= 8


def _load_photos(config: dict[str, Any], data: TrainingData, rng: np.random.Generator) -> None:
    """Photographs in a fixed shuffle: the first three quarters lie behind training crops, the others behind the test's.

    Without photographs the grounds are drawn.
    """
    folder = config.get("photos")
    if not folder:
        data.grounds = [draw_ground(rng) for _ in range(60)]
        data.test_grounds = [draw_ground(rng) for _ in range(20)]
        data.patches += [patch for ground in data.grounds for patch in random_patches(ground, 3, rng)]
        return
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        raise DatasetError("missing", "no photographs", path=str(folder))
    for place, index in enumerate(rng.permutation(len(paths))):
        pixels = read_picture(paths[int(index)]).pixels
        scale = 320 / max(pixels.shape[:2])
        if scale < 1:
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if place < 0.75 * len(paths):
            data.grounds.append(pixels)
            data.patches += random_patches(pixels, 3, rng)
        else:
            data.test_grounds.append(pixels)


def _rgb(colour: str | None) -> tuple[int, int, int] | None:
    if colour is None:
        return None
    value = int(colour.removeprefix("#"), 16)
    return value >> 16 & 255, value >> 8 & 255, value & 255


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
