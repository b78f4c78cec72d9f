"""The embedder: crops and texts become unit vectors of one space, in onnxruntime. Other open_clip models: `open_clip.py`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision import weights
from vision.embed.contract import BATCH, stretch, unit_rows
from vision.embed.tokens import Tokenizer
from vision.errors import PictureError, UsageError, WeightsError
from vision.images import read_picture
from vision.values import Embeddings, Pixels


class Embedder:
    """The shipped embedder, or one that `vision`'s training exported. Safe to share between threads; see `contract.py`."""

    def __init__(self, model: weights.Model, *, threads: int = 1, device: str = "auto") -> None:
        card, file = model.card, model.file("image.onnx")
        try:
            record = card["preprocessing"]
            self._size, name, self._length = int(record["size"]), str(card["name"]), int(card["text"]["length"])
            # one multiplication and one subtraction: (pixel / 255 - mean) / std
            std = np.array(record["std"], np.float32)
            self._gain = (1 / (255 * std)).astype(np.float32)
            self._shift = (np.array(record["mean"], np.float32) / std).astype(np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                "unknown_card", f"the card lacks {error}", path=str(model.folder / "card.json")
            ) from None
        self.checksum = model.checksums["image.onnx"]
        self.id = f"{name}-{self.checksum[:16]}"
        self._model, self._threads, self._device = model, threads, device
        self._images = weights.session(file, threads=threads, device=device)
        self.dim = int(self._images.get_outputs()[0].shape[1])
        self.background: Embeddings = np.zeros((0, self.dim), np.float32)
        if "background.npy" in model.checksums:
            self.background = np.load(model.file("background.npy"), allow_pickle=False).astype(np.float32)
        self._lock = threading.Lock()
        self._texts: tuple[Any, Tokenizer] | None = None

    @staticmethod
    def load(name: str | Path | None = None, *, threads: int = 1, device: str = "auto") -> Embedder:
        """The shipped embedder (None), a folder that `train.py embedder` exported, or any open_clip model.

        name: a folder with card.json and image.onnx; a folder of an open_clip checkpoint (open_clip_config.json); or "NAME/TAG"
        as open_clip lists them ("ViT-B-32/laion2b_s34b_b79k"; an empty tag: untrained). These two need the extra `train`.
        threads: of each run; one per worker is fastest. device: "auto" | "cpu" | "cuda" | "cuda:i".
        Raises WeightsError (missing, wrong_checksum, unknown_card), BackendError (package_missing, no_device),
        UsageError (bad_option) for a name that is neither.
        """
        if name is None:
            return Embedder(weights.load("embedder"), threads=threads, device=device)
        folder = Path(name)
        if (folder / "card.json").is_file():
            return Embedder(weights.load_folder(folder), threads=threads, device=device)
        if not (folder / "open_clip_config.json").is_file() and (isinstance(name, Path) or name.count("/") != 1):
            raise UsageError(
                "bad_option", f"no embedder {str(name)!r}", hint="a folder with card.json, or an open_clip NAME/TAG"
            )
        from vision.embed.open_clip import OpenClipEmbedder

        return OpenClipEmbedder(str(name), threads=threads, device=device)

    def embed_images(self, images: Sequence[Any]) -> Embeddings:
        """Crops to (n, d) float32 unit rows, in order; (0, d) for an empty list.

        images: anything that `read_picture` takes, or arrays (h, w, 3) uint8 RGB, each stretched to the embedder's square.
        Raises PictureError for a picture that cannot be read, (unsupported) for an array of another shape or dtype.
        """
        return _stack([self._run_images(batch) for batch in _batches(images)], self.dim)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Texts to (n, d) float32 unit rows, in order; (0, d) for an empty list.

        Raises WeightsError (missing, wrong_checksum) when the text part is not there, which is loaded when first used,
        UsageError (bad_option) for a single string, which would be taken for its letters.
        """
        if isinstance(texts, str):
            raise UsageError("bad_option", f"a list of texts is expected, not {texts!r}")
        return _stack([self._run_texts(batch) for batch in _batches(texts)], self.dim)

    def _run_images(self, images: Sequence[Any]) -> Embeddings:
        pixels = np.stack([stretch(as_pixels(image), self._size) for image in images])
        values = pixels.astype(np.float32) * self._gain - self._shift
        inputs = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        return unit_rows(self._images.run(None, {self._images.get_inputs()[0].name: inputs})[0])

    def _run_texts(self, texts: Sequence[str]) -> Embeddings:
        session, tokenizer = self._text_part()
        return unit_rows(session.run(None, {session.get_inputs()[0].name: tokenizer(texts)})[0])

    def _text_part(self) -> tuple[Any, Tokenizer]:
        """The text tower and its tokenizer, loaded when first used: most scans never ask for them."""
        with self._lock:
            if self._texts is None:
                self._model.file("model.safetensors")  # verified too: the token table is read from it
                session = weights.session(self._model.file("text.onnx"), threads=self._threads, device=self._device)
                self._texts = session, Tokenizer(self._model.file("tokenizer.json"), self._length)
            return self._texts


def as_pixels(image: Any) -> Pixels:
    """An array (h, w, 3) uint8 as it is (no copy, no hash), everything else through `read_picture`."""
    if not isinstance(image, np.ndarray):
        return read_picture(image).pixels
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise PictureError(
            "unsupported", f"array {image.shape} {image.dtype}", hint="(height, width, 3) uint8 RGB is expected"
        )
    return image


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))


def _stack(parts: Iterable[Embeddings], dim: int) -> Embeddings:
    rows = list(parts)
    return np.concatenate(rows) if rows else np.zeros((0, dim), np.float32)
