"""Trains the encoder of copies: a patch of 16 x 16 pixels becomes 128 signs that survive the edits of a re-upload.

In: pairs of patches (`copy_patches.py`). Out: `patches.onnx` to run, `model.safetensors` to train on, `card.json`. Within a
batch each patch must be nearer to its pair than to all others (InfoNCE: van den Oord et al. 2018), on all values and on the
first 56 and 20 alone (nested, after Kusupati et al., Matryoshka Representation Learning, 2022), because features are looked up
by their first 20 signs. Those are pushed towards sure, even and independent signs, so that the words of the index fill evenly.
"""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vision import weights
from vision.copies.keypoints import PATCH
from vision.copies.local import BITS, ROW, WORD_BITS, LocalFeatures
from vision.errors import DatasetError, UsageError
from vision.files import write_atomically
from vision.training.copy_patches import Pairs, make_pairs, training_pictures
from vision.training.metrics_file import note_rows

log = logging.getLogger(__name__)

OPSET = 17
# A patch of one grey has no contrast to divide by; three of 255 levels are its noise.
NOISE = 3.0
# Every so-manieth picture is kept for the figures, which are taken on at most so many of its pairs.
HELD_OUT = 20
MEASURED = 8000
# The rate of false pairs at which recall is told, and the numbers of words that a feature is looked up under.
FALSE_RATE = 1e-4
PROBES = (1, 4, 8, 16)
RATE_LEFT = 0.01  # of the rate, at the end of the cosine


class CopyEncoder(nn.Module):
    """Patches (n, 256) uint8 become values (n, 128) float32 in (-1, 1); a patch and its mirror image get the same.

    Patches are turned so that their brightness pulls to the right, so the mirror image of a corner is its patch upside down. Both
    ways up go through the convolutions, and their sum through the last layer.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        few, many = channels
        self.first = nn.Conv2d(1, few, 3, stride=2, padding=1)
        self.second = nn.Conv2d(few, many, 3, stride=2, padding=1)
        self.last = nn.Linear(many * (PATCH // 4) ** 2, BITS)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """The values of patches."""
        x = patches.view(-1, 1, PATCH, PATCH).float()
        x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + NOISE)
        return torch.tanh(self.last(self._seen(x) + self._seen(x.flip(2))))

    def _seen(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu()).relu().flatten(1)


def train_copies(config: dict[str, Any], *, out: Path, resume: bool) -> Path:
    """Train as the config says, write `out/metrics.csv`, the pairs and checkpoints, export; the folder of the export.

    config: see `datasets/copies.yaml`. out: run folder. resume: go on from its pairs and its last checkpoint.
    Raises DatasetError (missing, bad_label), UsageError (bad_config).
    """
    torch.manual_seed(int(config["seed"]))
    torch.set_num_threads(int(config.get("threads", 1)))
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(config, out)
    pairs = run.restore() if resume else _pairs(config, out)
    held_out = pairs.picture % HELD_OUT == 0
    taught, test = pairs.chosen(~held_out), pairs.chosen(held_out)
    if len(taught) < 2 or len(test) < 2:
        raise DatasetError("missing", "too few pairs of patches", hint=f"at least {HELD_OUT + 1} pictures with corners")
    log.info("%d pairs to learn from, %d held out", len(taught), len(test))
    run.train(taught, test)
    return export_copies(run.model, {**config, "steps_done": run.step}, taught, test)


def measure(model: CopyEncoder, pairs: Pairs) -> dict[str, float]:
    """How well an encoder tells pairs from others, on at most 8,000 of them in a fixed shuffle.

    distance and distance_of_others: mean Hamming distances in bits. rank1: share nearer to its own patch than to any other.
    recall: share of pairs that are as near as FALSE_RATE of the others; distances are whole, so it lies between two of them.
    hit_P and share_P, for P words looked up: share of pairs found, and share of all other patches that come along.
    """
    some = pairs.chosen(np.random.default_rng(0).permutation(len(pairs))[:MEASURED])
    values, again = _values(model, some.first), _values(model, some.second)
    signs, signs_again = np.sign(values), np.sign(again)
    distance = np.rint((BITS - signs @ signs_again.T) / 2).astype(np.int64)
    n = len(distance)
    own = np.diag(distance)
    true = np.bincount(own, minlength=BITS + 1)
    false = np.bincount(distance.ravel(), minlength=BITS + 1) - true
    others = n * (n - 1)
    rate, found = np.cumsum(false) / others, np.cumsum(true) / n
    figures = {
        "distance": float(own.mean()),
        "distance_of_others": float(false @ np.arange(BITS + 1) / others),
        "rank1": float((own < np.where(np.eye(n, dtype=bool), BITS + 1, distance).min(axis=1)).mean()),
        "recall": float(np.interp(FALSE_RATE, rate, found)),
    }
    asked = _features(values).probes(max(PROBES))
    words = _features(again).words()
    of_word = np.bincount(words, minlength=1 << WORD_BITS)
    for count in PROBES:
        probes = asked[:, :count]
        hits = (probes == words[:, None]).any(axis=1)
        figures[f"hit_{count}"] = float(hits.mean())
        figures[f"share_{count}"] = float((of_word[probes].sum() - hits.sum()) / others)
    return figures


def _values(model: CopyEncoder, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        found = [model(part) for part in torch.from_numpy(patches).split(2000)]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def _features(values: npt.NDArray[np.float32]) -> LocalFeatures:
    """Features that have only their bits: how the index makes words of them is asked of itself."""
    rows = np.zeros(len(values), dtype=ROW)
    rows["bits"] = np.packbits(values > 0, axis=1)
    return LocalFeatures(rows, 1, 1, np.abs(values[:, :WORD_BITS]))


def loss_of(values: torch.Tensor, again: torch.Tensor, config: dict[str, Any]) -> torch.Tensor:
    """The loss of a batch of pairs: values (n, 128) of the pictures and of their copies, row by row of the same corner."""
    places = torch.arange(len(values))
    loss = torch.zeros(())
    for part in config["parts"]:
        bits = int(part["bits"])
        near = values[:, :bits] @ again[:, :bits].T * (float(part["scale"]) / bits)
        both = nn.functional.cross_entropy(near, places) + nn.functional.cross_entropy(near.T, places)
        loss = loss + float(part["weight"]) * both / 2
    signs = config["signs"]
    word = values[:, :WORD_BITS]
    shared = word.T @ word / len(word)
    unsure = (1 - values.abs()).mean()
    uneven = values.mean(dim=0).square().mean()
    alike = (shared - torch.diag(shared.diag())).square().sum()
    return loss + float(signs["sure"]) * unsure + float(signs["even"]) * uneven + float(signs["apart"]) * alike


class _Run:
    """One training: the model, the optimiser and where it stands."""

    def __init__(self, config: dict[str, Any], out: Path) -> None:
        self.config, self.out = config, out
        self.step, self.seconds, self.rows = 0, 0.0, list[dict[str, float]]()
        few, many = config["channels"]
        self.model = CopyEncoder((int(few), int(many)))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=float(config["rate"]), weight_decay=1e-4)

    def train(self, pairs: Pairs, test: Pairs) -> None:
        """Until the steps or the minutes of the config are used up, whichever come first; a step's batch hangs on its number."""
        config = self.config
        steps, minutes, size = int(config["steps"]), float(config.get("minutes") or math.inf), int(config["batch"])
        every, note = float(config.get("checkpoint_minutes", 4)) * 60, int(config.get("log_steps", 200))
        began, saved = time.monotonic() - self.seconds, time.monotonic()
        losses = list[float]()
        while True:
            self.seconds = time.monotonic() - began
            progress = max(self.step / steps, self.seconds / 60 / minutes)
            if progress >= 1:
                break
            for group in self.optimizer.param_groups:
                group["lr"] = float(config["rate"]) * (RATE_LEFT + 0.5 * (1 + math.cos(math.pi * progress)))
            some = np.random.default_rng([int(config["seed"]), self.step]).integers(len(pairs), size=size)
            loss = loss_of(
                self.model(torch.from_numpy(pairs.first[some])),
                self.model(torch.from_numpy(pairs.second[some])),
                config,
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.step += 1
            losses.append(float(loss.detach()))
            if self.step % note == 0:
                self._note(losses, progress)
                losses.clear()
            if time.monotonic() - saved > every:
                self.save()
                saved = time.monotonic()
        self._note(losses, 1.0, **measure(self.model, test))
        self.save()

    def _note(self, losses: list[float], progress: float, **more: float) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1), "progress": round(progress, 4)}
        self.rows.append({**row, **({"loss": float(np.mean(losses))} if losses else {}), **more})
        note_rows(self.out / "metrics.csv", self.rows, log)

    def save(self) -> None:
        """Write the checkpoint in one step; it holds tensors and numbers only and is read without unpickling objects."""
        fresh = self.out / "last.ckpt.new"
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "step": self.step, "seconds": self.seconds, "rows": self.rows}, fresh)
        fresh.replace(self.out / "last.ckpt")

    def restore(self) -> Pairs:
        """Take up the last checkpoint; the pairs that it has been learning from.

        Raises DatasetError (missing) when there is none, UsageError (bad_config) when it is of another network.
        """
        path = self.out / "last.ckpt"
        if not path.is_file():
            raise DatasetError("missing", "no checkpoint to resume from", path=str(path))
        saved = torch.load(path, weights_only=True)
        try:
            self.model.load_state_dict(saved["model"])
        except RuntimeError:
            raise UsageError(
                "bad_config", "the network is not that of the checkpoint", path=str(path), hint="start anew"
            ) from None
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.seconds, self.rows = saved["step"], saved["seconds"], saved["rows"]
        with np.load(self.out / "pairs.npz") as file:
            return Pairs(file["first"], file["second"], file["picture"])


def _pairs(config: dict[str, Any], out: Path) -> Pairs:
    """Make the pairs and keep them in the run folder, so that a resumed run learns from the same ones."""
    paths = training_pictures(config["pictures"], int(config["most_pictures"]))
    workers, copies = int(config.get("workers", 1)), int(config.get("copies", 1))
    pairs = make_pairs(paths, seed=int(config["seed"]), workers=workers, copies=copies)
    with (out / "pairs.npz").open("wb") as file:
        np.savez(file, first=pairs.first, second=pairs.second, picture=pairs.picture)
    return pairs


def export_copies(model: CopyEncoder, config: dict[str, Any], taught: Pairs, test: Pairs) -> Path:
    """Write `patches.onnx`, `model.safetensors` and `card.json` into the folder `config["export"]`; that folder.

    The ONNX model takes `patches` (n, 256) uint8 and gives `values` (n, 128) float32 in (-1, 1). A manifest beside the folder is
    brought up to date.
    """
    from safetensors.torch import save

    folder = Path(config["export"])
    folder.mkdir(parents=True, exist_ok=True)
    _write_onnx(model, folder / "patches.onnx")
    write_atomically(folder / "model.safetensors", save(model.state_dict()))
    card = _card(config, taught, test, measure(model, test))
    card["files"] = {name: weights.digest(folder / name) for name in ("patches.onnx", "model.safetensors")}
    write_atomically(folder / "card.json", (json.dumps(card, indent=1) + "\n").encode())
    weights.note_shipped(folder)
    return folder


def _write_onnx(model: CopyEncoder, path: Path) -> None:
    """Export with a dynamic number of patches. The older exporter: the newer one needs onnxscript."""
    import io

    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of its own age
        torch.onnx.export(
            model.eval(),
            (torch.zeros(2, PATCH * PATCH, dtype=torch.uint8),),
            file,
            input_names=["patches"],
            output_names=["values"],
            dynamic_axes={"patches": {0: "n"}, "values": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    write_atomically(path, file.getvalue())


# What of the config a card repeats: no folders of the machine that trained.
_SETTINGS = (
    "seed",
    "steps",
    "steps_done",
    "minutes",
    "batch",
    "rate",
    "channels",
    "parts",
    "signs",
    "most_pictures",
    "copies",
)


def _card(config: dict[str, Any], taught: Pairs, test: Pairs, figures: dict[str, float]) -> dict[str, Any]:
    packages = ("torch", "onnx", "onnxruntime", "opencv-python-headless", "albumentations")
    return {
        "schema": weights.CARD_SCHEMA,
        "name": "copies",
        "what": "A patch of 16 x 16 pixels around a corner as 128 signs that an edited or mirrored copy of it shares: two "
        "convolutions and a linear layer, both ways up. The first 20 signs are the word under which it is looked up.",
        "licence": "AGPL-3.0-only",
        "preprocessing": {
            "patches": "(n, 256) uint8, as vision/copies/keypoints.py samples them",
            "normalised": "inside the model: less the mean, by the standard deviation + 3",
            "values": "(n, 128) float32 in (-1, 1)",
        },
        "data": {
            "pictures": list(config["pictures"]),
            "pairs": len(taught),
            "pairs_held_out": len(test),
            "held_out": f"every {HELD_OUT}th picture",
        },
        "settings": {k: config[k] for k in _SETTINGS if k in config},
        "versions": {name: _version(name) for name in packages},
        "figures": [
            {
                "name": _told(name),
                "value": float(f"{value:.3g}"),
                "n": min(len(test), MEASURED),
                "command": config.get("command", "python train.py copies datasets/copies.yaml"),
            }
            for name, value in figures.items()
        ],
        "limits": "Learned from photographed packs, shelves and logos, not from portraits, drawings or scans. Corners of text "
        "and of other repeated shapes look alike wherever they are: a claim needs geometry and more than a few words.",
    }


def _told(name: str) -> str:
    """A figure of `measure` in words."""
    kind, _, probes = name.partition("_")
    if probes.isdigit():
        return f"{_FIGURES[kind]} of {probes} word{'s' if probes != '1' else ''} of {WORD_BITS} bits"
    return _FIGURES[name]


_FIGURES = {
    "distance": "mean distance of held-out pairs, bits of 128",
    "distance_of_others": "mean distance of other patches, bits of 128",
    "rank1": "share of held-out pairs nearer to each other than to any other patch",
    "recall": f"share of held-out pairs as near as {FALSE_RATE:g} of the others",
    "hit": "share of held-out pairs found by the most likely",
    "share": "share of other patches found by the most likely",
}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
