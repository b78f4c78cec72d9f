"""Drawn data sets: a recipe names what to draw with, a seed numbers the pictures, ground truth comes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vision.errors import UsageError
from vision.training.draw.piece import CutOut, Ink
from vision.training.draw.scene import INGREDIENTS, Scene, Stock, draw_scene
from vision.training.draw.stock import (
    cut_from_white,
    expand,
    extent_on_white,
    folder_pictures,
    load_stock,
    packshot_pictures,
)

__all__ = [
    "INGREDIENTS",
    "CutOut",
    "Ink",
    "Scene",
    "Stock",
    "cut_from_white",
    "draw_scene",
    "draw_set",
    "expand",
    "extent_on_white",
    "folder_pictures",
    "load_stock",
    "outlined",
    "packshot_pictures",
]


def draw_set(recipe: dict[str, Any], n: int, seed: int, out: Path) -> None:
    """Draw n pictures into `out/images/`, their truth as `truth.jsonl` (the format of labelled sets) and `contact_sheet.jpg`.

    Raises UsageError (bad_option) when `out` holds something.
    """
    from vision.report.sheet import contact_sheet

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("bad_option", "this is no empty folder", path=str(out), hint="another --out")
    stock = load_stock(recipe)
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows, shown = [], []
    for number in range(n):
        scene = draw_scene(stock, seed + number)
        name = f"images/{seed + number:06d}.jpg"
        Image.fromarray(scene.pixels).save(out / name, quality=92)
        boxes = [
            {"box": [round(v, 1) for v in b.box], "kind": b.kind, "brand": None}
            | ({"ignore": True} if b.ignore else {})
            for b in scene.boxes
        ]
        high, wide = scene.pixels.shape[:2]
        row = {"image": name, "width": wide, "height": high, "boxes": boxes, "exhaustive": False, "source": "drawn"}
        rows.append(row | {"subject": scene.subject, "seed": seed + number})
        if number < 48:
            shown.append((outlined(scene), f"{scene.subject} {seed + number}"))
    (out / "truth.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    Image.fromarray(contact_sheet(shown, tile=240)).save(out / "contact_sheet.jpg", quality=88)


def outlined(scene: Scene) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture with its boxes: logos green, products blue, ignored regions thin and grey."""
    pixels = scene.pixels.copy()
    for box in scene.boxes:
        colour = (150, 150, 150) if box.ignore else (0, 200, 0) if box.kind == "logo" else (40, 90, 255)
        left, top, right, bottom = (round(v) for v in box.box)
        cv2.rectangle(pixels, (left, top), (right - 1, bottom - 1), colour, 1 if box.ignore else 2)
    return pixels
