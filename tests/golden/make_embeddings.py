"""Remakes embeddings.json: python tests/golden/make_embeddings.py. Only when the shipped embedder was changed on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ANSWERS = Path(__file__).with_name("embeddings.json")


def drawn_pictures() -> dict[str, np.ndarray]:
    """Three tiny pictures without any library's help, so that nothing but the embedder can move the numbers."""
    y, x = np.mgrid[:48, :48]
    radius = np.hypot(y - 23.5, x - 23.5)
    ring = np.full((48, 48, 3), 255, np.uint8)
    ring[(radius > 12) & (radius < 20)] = (220, 30, 40)
    bars = np.zeros((30, 90, 3), np.uint8)
    bars[:, 10:25] = bars[:, 35:60] = (255, 210, 0)
    slope = np.zeros((160, 140, 3), np.uint8)
    slope[..., 0] = np.linspace(0, 255, 140)[None]
    slope[60:100, 20:120] = (10, 90, 240)
    return {"ring": ring, "bars": bars, "slope": slope}


def answers() -> dict[str, object]:
    from vision.embed import Embedder

    embedder = Embedder.load()
    pictures = drawn_pictures()
    vectors = embedder.embed_images(list(pictures.values()))
    found: dict[str, object] = {
        name: [round(float(v), 5) for v in row[:5]] for name, row in zip(pictures, vectors, strict=True)
    }
    found["text: Coca-Cola"] = [round(float(v), 5) for v in embedder.embed_texts(["Coca-Cola"])[0, :5]]
    return {"embedder": embedder.id, "first_values": found}


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(answers(), indent=1) + "\n", encoding="utf-8")
