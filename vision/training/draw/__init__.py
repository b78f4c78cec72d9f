"""Drawn data sets: a recipe names what to draw with, a seed numbers the pictures, ground truth comes with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vision.datasets.labelled import LabelledPicture, is_kin, read_names, read_set
from vision.errors import DatasetError
from vision.images import read_picture
from vision.library.sources import load_drawings
from vision.training.draw.scene import Ink, Scene, Stock, cut_from_white, draw_scene

__all__ = ["Ink", "Scene", "Stock", "draw_scene", "draw_set", "load_stock"]

# Word marks and lock-ups teach better than small pictograms, which look like any bolt or lamp (measured in a trial).
WEIGHTS = {"real": 0.5, "wide": 0.35, "compact": 0.15}
LEAST_CROP = 40  # pixels on the shorter side of a real logo that is cut out


def load_stock(recipe: dict[str, Any], real: Sequence[LabelledPicture] | None = None) -> Stock:
    """What a recipe draws with.

    recipe: {"seed", "drawings": {"sources", "cache", "iconify", "limit"}, "real": [jsonl, …], "photos": folder, "packshots":
    jsonl, "brands_left_out": file, "longest": [low, high]}; every source but `drawings` may be missing.
    real: pictures whose logos are cut out, in place of those that the recipe names.
    Raises DatasetError (missing) for a path that is not there, and what `load_drawings` raises.
    """
    left_out = read_names(recipe.get("brands_left_out"))
    if real is None:
        real = [p for path in expand(recipe.get("real", [])) for p in read_set(path, brands_left_out=left_out)]
    wide, compact = _drawings(json.dumps(recipe.get("drawings") or {}, sort_keys=True), left_out)
    groups = {"real": _cut_outs(real, int(recipe.get("most_cut_outs", 600))), "wide": wide, "compact": compact}
    inks = tuple((WEIGHTS[name], found) for name, found in groups.items() if found)
    if not inks:
        raise DatasetError("missing", "the recipe names no logos to draw with")
    photos = tuple(read_picture(p).pixels for p in folder_pictures(recipe.get("photos"), recipe.get("most_photos")))
    low, high = recipe.get("longest", (320, 512))
    return Stock(inks, photos, _packshots(recipe.get("packshots"), recipe.get("most_packshots")), (int(low), int(high)))


def draw_set(recipe: dict[str, Any], n: int, seed: int, out: Path) -> None:
    """Draw n pictures into `out/images/`, their truth as `truth.jsonl` (the format of labelled sets) and `contact_sheet.jpg`."""
    from vision.report.sheet import contact_sheet

    stock = load_stock(recipe)
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows, shown = [], []
    for number in range(n):
        scene = draw_scene(stock, seed + number)
        name = f"images/{seed + number:06d}.jpg"
        Image.fromarray(scene.pixels).save(out / name, quality=92)
        boxes = [
            {"box": [round(v, 1) for v in b.box], "kind": b.kind, "brand": None} for b in scene.boxes if not b.ignore
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


def expand(patterns: Sequence[str]) -> list[Path]:
    """The files of path patterns, in order; "data.yaml#train" keeps its split. Raises DatasetError (missing) for none."""
    found: list[Path] = []
    for pattern in patterns:
        base, mark, split = pattern.partition("#")
        path = Path(base)
        parts = path.parts[1:] if path.is_absolute() else path.parts
        paths = sorted((Path(path.anchor) if path.is_absolute() else Path()).glob(str(Path(*parts))))
        if not paths:
            raise DatasetError("missing", "no such set", path=pattern)
        found += [path.with_name(f"{path.name}{mark}{split}") for path in paths]
    return found


def folder_pictures(folder: str | None, most: int | None = None) -> list[Path]:
    """Pictures of a folder in a fixed shuffle, at most so many; none when no folder is named."""
    if not folder:
        return []
    paths = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if not paths:
        raise DatasetError("missing", "no photographs", path=str(folder))
    order = np.random.default_rng(0).permutation(len(paths))[:most]
    return [paths[i] for i in order]


def _cut_outs(pictures: Sequence[LabelledPicture], most: int) -> tuple[Ink, ...]:
    """Large real logos as rectangles with soft edges, at most so many, evenly over the pictures."""
    wanted = [
        (picture, box.box)
        for picture in pictures
        for box in picture.boxes
        if box.kind == "logo" and not box.ignore and min(box.box[2] - box.box[0], box.box[3] - box.box[1]) >= LEAST_CROP
    ]
    order = np.random.default_rng(1).permutation(len(wanted))[:most]
    inks = []
    for index in sorted(order):
        picture, (left, top, right, bottom) = wanted[index]
        pixels = read_picture(picture.path).pixels
        rgb = pixels[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))]
        inks.append(Ink(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])))
    return tuple(inks)


@lru_cache(maxsize=4)
def _drawings(wanted: str, left_out: tuple[str, ...]) -> tuple[tuple[Ink, ...], tuple[Ink, ...]]:
    """Vector logos as (wide, compact): word marks and lock-ups apart from pictograms."""
    settings = json.loads(wanted)
    sources = tuple(settings.get("sources", ()))
    if not sources:
        return (), ()
    cache, iconify, limit = settings.get("cache"), settings.get("iconify"), settings.get("limit")
    found = load_drawings(Path(cache) if cache else None, sources=sources, iconify=Path(iconify) if iconify else None)
    found = found[:: max(1, len(found) // int(limit))] if limit else found
    wide: list[Ink] = []
    compact: list[Ink] = []
    for drawing in found:
        if is_kin(drawing.name, left_out) or is_kin(drawing.slug, left_out):
            continue
        colour = None
        if drawing.colour is not None:
            value = int(drawing.colour.removeprefix("#"), 16)
            colour = (value >> 16 & 255, value >> 8 & 255, value & 255)
        high, width = drawing.rgba.shape[:2]
        (wide if width > 1.8 * high else compact).append(Ink(drawing.rgba, colour))
    return tuple(wide), tuple(compact)


def _packshots(path: str | None, most: int | None) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], ...]:
    """Products cut from white: the pictures of a jsonl, or of a set with one product a picture."""
    if not path:
        return ()
    file = Path(path)
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise DatasetError("missing", "no packshots", path=path) from None
    order = np.random.default_rng(2).permutation(len(rows))[:most]
    cut = (cut_from_white(read_picture(file.parent / rows[i]["image"]).pixels) for i in order)
    return tuple(c for c in cut if c is not None)
