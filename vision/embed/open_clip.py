"""Any other open_clip model as an embedder, through torch. Needs the extra `train`; downloads are open_clip's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision.embed.clip import Embedder, as_pixels
from vision.embed.contract import unit_rows
from vision.errors import BackendError, UsageError, package_missing
from vision.values import Embeddings


class OpenClipEmbedder(Embedder):
    """An open_clip model under the face of `Embedder`. Its checksum is that of its weights, so a library knows it again.

    Pictures are prepared as that model asks (its own size, crop and normalisation). `background` is empty: nothing is known
    of what this model makes of crops without a logo.
    """

    def __init__(self, name: str, *, threads: int = 1, device: str = "auto") -> None:
        try:
            import open_clip
            import torch
        except ImportError as error:
            raise package_missing(error.name or "open_clip_torch", "train") from None
        self._torch = torch
        self._device = _device(torch, device)
        if self._device == "cpu":
            torch.set_num_threads(threads)
        local = Path(name).is_dir()
        model_name, _, tag = (f"local-dir:{name}", "", "") if local else name.partition("/")
        try:
            model, _, prepare = open_clip.create_model_and_transforms(model_name, pretrained=tag or None)
            tokenizer = open_clip.get_tokenizer(model_name)
        except (RuntimeError, ValueError, FileNotFoundError) as error:
            raise UsageError("bad_option", f"open_clip cannot make {name!r}: {error}") from error
        self._clip: Any = model.eval().to(self._device)
        self._prepare: Any = prepare
        self._tokens: Any = tokenizer
        self.checksum = _checksum(self._clip)
        self.id = f"{Path(name).name if local else name.strip('/').replace('/', '-')}-{self.checksum[:16]}"
        with torch.inference_mode():
            self.dim = int(self._clip.encode_text(self._tokens([""]).to(self._device)).shape[1])
        self.background: Embeddings = np.zeros((0, self.dim), np.float32)

    def _run_images(self, images: Sequence[Any]) -> Embeddings:
        from PIL import Image

        prepared = [self._prepare(Image.fromarray(as_pixels(image))) for image in images]
        with self._torch.inference_mode():
            found = self._clip.encode_image(self._torch.stack(prepared).to(self._device))
        return unit_rows(found.float().cpu().numpy())

    def _run_texts(self, texts: Sequence[str]) -> Embeddings:
        with self._torch.inference_mode():
            found = self._clip.encode_text(self._tokens(list(texts)).to(self._device))
        return unit_rows(found.float().cpu().numpy())


def _device(torch: Any, device: str) -> str:
    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise BackendError("no_device", f"unknown device {device!r}", hint="auto, cpu, cuda or cuda:0")
    if device.startswith("cuda") and not available:
        raise BackendError("no_device", f"torch has no {device}")
    return device


def _checksum(model: Any) -> str:
    """sha256 over the names, shapes and values of all weights, in the order of their names."""
    found = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        found.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.cpu().contiguous().view(-1).float().numpy().tobytes())
    return found.hexdigest()
