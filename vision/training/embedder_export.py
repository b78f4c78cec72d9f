"""A trained embedder becomes files: ONNX to run, safetensors to train on, a tokenizer, background vectors and a card."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from vision import weights
from vision.embed import Embedder
from vision.files import write_atomically
from vision.training.onnx_files import halve
from vision.training.tower import CONFIG, Grid4, configs, grid_of
from vision.values import Embeddings

if TYPE_CHECKING:
    from vision.training.embedder_data import TrainingData

TOKENS = 32  # of a text, as the config says
OPSET = 17
BACKGROUNDS = 64  # 8, 64 and 256 centroids told photo patches from logos equally well
PREPROCESSING = {  # beside the size
    "colour": "RGB",
    "resize": "stretch: averaged where it shrinks, linear where it grows",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}
# What of the config a card repeats: no folders of the machine that trained.
_SETTINGS = (
    "seed",
    "held_out",
    "steps",
    "minutes",
    "steps_done",
    "size",
    "batch",
    "real_share",
    "scale",
    "margin",
    "photos_term",
    "shares",
    "average",
    "start_share",
    "imitate",
    "bf16",
    "rates",
    "text",
)
TEXT = {"length": TOKENS, "layout": "(n, 32) int64"}


def export_embedder(model: Any, config: dict[str, Any], data: TrainingData) -> Path:
    """Write the model folder `config["export"]` anew; that folder.

    image.onnx, text.onnx, tokenizer.json, model.safetensors (half precision) with open_clip_config.json, background.npy and
    card.json. A manifest beside the folder is brought up to date.
    """
    from vision.training.embedder_accuracy import held_out_accuracy

    folder = Path(config["export"])
    folder.mkdir(parents=True, exist_ok=True)
    model = copy.deepcopy(model).eval()
    tower: Grid4 = model.visual.trunk
    _write_image(tower, folder / "image.onnx", data.size)
    _write_weights(model, folder, data.size, str(config.get("model", CONFIG)))
    _write_text(model, folder / "text.onnx")
    _write_tokenizer(folder / "tokenizer.json")
    names = ["image.onnx", "text.onnx", "tokenizer.json", "model.safetensors", "open_clip_config.json"]
    card = _card(config, data, tower)
    _write_card(folder, card, names)
    if data.patches:
        rng = np.random.default_rng(int(config["seed"]))
        some = [data.patches[i] for i in rng.permutation(len(data.patches))[:4000]]
        np.save(
            folder / "background.npy", background(Embedder.load(folder).embed_images(some), seed=int(config["seed"]))
        )
        names.append("background.npy")
    if data.held_out:
        figure = held_out_accuracy(tower, data, seed=1, crops=4)
        card["figures"].append(
            {
                "name": "top-1 of drawn crops of held-out brands among one clean view of every drawing",
                "value": round(figure, 4),
                "n": 4 * len(data.held_out),
                "command": f"python train.py embedder datasets/{config.get('recipe', 'embedder.yaml')}",
            }
        )
    _write_card(folder, card, names)
    weights.note_shipped(folder)
    return folder


def background(vectors: Embeddings, *, seed: int, count: int = BACKGROUNDS) -> Embeddings:
    """Centres (min(count, n), d) float32, unit rows, of crops without a logo; spherical k-means.

    A search among thousands of drawings always finds something for a patch of texture. Half the similarity to the nearest of
    these, subtracted, raised AUROC against photo patches from 0.85 to 0.97 in the trial, without a class to train.
    """
    import faiss

    count = min(count, len(vectors))
    # a small set draws a warning about points per centre; it is a test's set
    means = faiss.Kmeans(vectors.shape[1], count, niter=30, seed=seed, spherical=True, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(vectors, dtype=np.float32))
    centres = np.asarray(means.centroids, dtype=np.float32).reshape(count, -1)
    return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True), dtype=np.float32)


class _Unit(nn.Module):
    """A part of the model with unit rows as its answer."""

    def __init__(self, encode: Any) -> None:
        super().__init__()
        self.encode = encode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.encode(x), dim=-1)


class _Image(nn.Module):
    """The tower for pictures of one size: its whitening folded away."""

    def __init__(self, tower: Grid4) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.tower.blocks(self.tower.bn1(self.tower.conv_stem(x)))
        return self.tower.head(grid_of(found).flatten(1))


class _Text(nn.Module):
    """open_clip's text side of a model, as a module of its own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model.encode_text(tokens)


def _write_image(tower: Grid4, path: Path, size: int) -> None:
    tower = copy.deepcopy(tower).eval()
    with torch.no_grad():  # the fixed whitening goes into the linear layer
        tower.head.bias -= tower.head.weight @ (tower.grid_mean * tower.grid_scale)
        tower.head.weight *= tower.grid_scale
        tower.grid_mean.zero_()
        tower.grid_scale.fill_(1.0)
    _fix_padding(tower)
    _to_onnx(_Unit(_Image(tower)), torch.zeros(2, 3, size, size), "pictures", path)


class _EvenSame(nn.Conv2d):
    """TensorFlow's "same" padding of a convolution of stride 2 over even sides: one more row below, one more column right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        after = self.kernel_size[0] // 2
        return super().forward(nn.functional.pad(x, (after - 1, after, after - 1, after)))


def _fix_padding(tower: nn.Module) -> None:
    """Padding that timm works out from the size of each picture becomes constant; else the ONNX graph loses its shapes."""
    from timm.layers.conv2d_same import Conv2dSame

    for convolution in tower.modules():
        if isinstance(convolution, Conv2dSame):
            if convolution.kernel_size not in {(3, 3), (5, 5)} or convolution.stride != (2, 2):
                raise ValueError(f"no constant padding for {convolution}")
            convolution.__class__ = _EvenSame


def _write_text(clip: Any, path: Path) -> None:
    import onnx

    tokens = torch.zeros(2, TOKENS, dtype=torch.int64)
    tokens[:, 0], tokens[:, 1] = 49406, 49407
    _to_onnx(_Unit(_Text(clip)), tokens, "tokens", path)
    model = onnx.load(str(path))
    halve(model)
    share_table(model, path.with_name("model.safetensors"))
    write_atomically(path, model.SerializeToString())


def _to_onnx(module: nn.Module, example: torch.Tensor, name: str, path: Path) -> None:
    """Export with a dynamic batch. The older exporter: the newer one needs onnxscript and fixed more shapes."""
    with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # the exporter warns of its own age, and of shapes that it fixes on purpose
        fresh = Path(folder) / path.name
        torch.onnx.export(
            module.eval(),
            (example,),
            str(fresh),
            input_names=[name],
            output_names=["embeddings"],
            dynamic_axes={name: {0: "n"}, "embeddings": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
        write_atomically(path, fresh.read_bytes())


def share_table(model: Any, weights_file: Path, name: str = "token_embedding.weight") -> None:
    """Let an `onnx.ModelProto` read its token table from the safetensors beside it: 12.6 MB that need not be stored twice.

    Both keep raw little-endian numbers: ONNX calls such a tensor external data and notes file, offset and length.
    Raises ValueError unless exactly one tensor of the model has the table's bytes.
    """
    from onnx import TensorProto

    data = weights_file.read_bytes()
    length = int.from_bytes(data[:8], "little")  # safetensors: the header's length, the header, then the tensors
    begin, end = json.loads(data[8 : 8 + length])[name]["data_offsets"]
    table = data[8 + length + begin : 8 + length + end]
    (tensor,) = [t for t in model.graph.initializer if t.raw_data == table]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": weights_file.name, "offset": 8 + length + begin, "length": len(table)}.items():
        tensor.external_data.add(key=key, value=str(value))


def _write_tokenizer(path: Path) -> None:
    """The vocabulary of open_clip's default tokenizer as a Hugging Face tokenizer file."""
    from open_clip.tokenizer import SimpleTokenizer
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    clip = SimpleTokenizer()
    merges = sorted(clip.bpe_ranks, key=clip.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(
        models.BPE(vocab=clip.encoder, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    write_atomically(path, tokenizer.to_str().encode("utf-8"))


def _write_weights(model: Any, folder: Path, size: int, name: str) -> None:
    """Half-precision safetensors and the config under which open_clip finds them (`local-dir:`)."""
    from safetensors.torch import save

    state = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(state))
    described = json.loads((configs() / f"{name}.json").read_text(encoding="utf-8"))
    described["vision_cfg"]["image_size"] = size
    config = {
        "model_cfg": described,
        "preprocess_cfg": {
            "mean": PREPROCESSING["mean"],
            "std": PREPROCESSING["std"],
            "interpolation": "bilinear",
            "resize_mode": "squash",
        },
    }
    write_atomically(folder / "open_clip_config.json", (json.dumps(config, indent=1) + "\n").encode())


def _card(config: dict[str, Any], data: TrainingData, tower: Grid4) -> dict[str, Any]:
    packages = ("torch", "timm", "open_clip_torch", "onnx", "onnxruntime", "opencv-python-headless")
    return {
        "schema": weights.CARD_SCHEMA,
        "name": str(config.get("model", CONFIG)),
        "what": f"Logo crops and brand names as 256-dimensional unit vectors: {tower.trunk.model} up to stage 4, a 4 x 4 grid "
        "of averages, one linear layer; a text transformer of two layers.",
        "licence": "AGPL-3.0-only",
        "backbone": tower.trunk.told if config.get("backbone") else None,
        "preprocessing": {"size": data.size, **PREPROCESSING, "layout": f"(n, 3, {data.size}, {data.size}) float32"},
        "text": TEXT,
        "score": "similarity - 0.5 x similarity to the nearest row of background.npy tells logos from other crops",
        "data": {
            "drawings": len(data.artworks),
            "brands": len(data.names),
            "real_crops": sum(len(photos.crops) for photos in data.real),
            "real_brands": len({photos.brand for photos in data.real}),
            "held_out_brands": sorted({key for key, _, _ in data.held_out}),
            "held_out_photographed_brands": sorted(key for key, _ in data.held_out_real),
            "sources": list(config["drawings"]["sources"]),
            "left_out": "the brands of brands_left_out, names and slugs that start with one of them, all dev files",
        },
        "settings": {k: config[k] for k in _SETTINGS if k in config},
        "versions": {name: _version(name) for name in packages},
        "figures": [],
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _write_card(folder: Path, card: dict[str, Any], names: Sequence[str]) -> None:
    card = {**card, "files": {name: weights.digest(folder / name) for name in names}}
    write_atomically(folder / "card.json", (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
