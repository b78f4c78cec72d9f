"""A recipe becomes a `Stock`: everything that is drawn with, read and cut out once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledPicture, is_kin, read_names, read_set
from vision.errors import DatasetError, UsageError
from vision.images import read_picture
from vision.library.sources import load_drawings
from vision.training.draw.cut_outs import cut_outs
from vision.training.draw.negatives import clutter, text_lines, watermarks
from vision.training.draw.piece import CutOut, Ink, Rgba, extent
from vision.training.draw.scene import INGREDIENTS, Stock
from vision.training.draw.words import find_fonts, plain_fonts, word_marks
from vision.values import Pixels

# Word marks and lock-ups teach better than small pictograms, which look like any bolt or lamp (measured in a trial).
VECTOR_WEIGHTS = {"wide": 0.8, "compact": 0.2}
KEYED_WEIGHT = 0.4  # of real logos that came free of their ground, in pictures that cut-outs lead
MOST_PHOTO_SIDE = 720  # pixels; grounds are never drawn larger than a little over that


def load_stock(recipe: dict[str, Any], real: Sequence[LabelledPicture] | None = None) -> Stock:
    """What a recipe draws with.

    recipe: {"ingredients": {name: weight}, "drawings": {"sources", "cache", "packages", "limit"}, "real": [jsonl, …],
    "photos": folder, "packshots": jsonl, "fonts": folder, "brands_left_out": file, "names_left_out": [name, …],
    "longest": [low, high], "most_photos", "most_packshots", "most_cut_outs", "most_words"}.
    Without "ingredients" everything that the recipe has sources for is drawn: `wordmarks` only when it names fonts.
    real: pictures whose logos are cut out, in place of those that the recipe names.
    Raises UsageError (bad_config) for an unknown ingredient or one that the recipe has no source for, DatasetError (missing)
    for a path or fonts that are not there, and what `load_drawings` raises.
    """
    left_out = (*read_names(recipe.get("brands_left_out")), *recipe.get("names_left_out", ()))
    if real is None:
        real = [p for path in expand(recipe.get("real", [])) for p in read_set(path, brands_left_out=left_out)]
    weights = ingredient_weights(recipe, has_real=bool(real))
    wide: tuple[Ink, ...] = ()
    compact: tuple[Ink, ...] = ()
    if weights.keys() & {"vector", "wordmarks"} and recipe.get("drawings"):
        wide, compact = _drawings(json.dumps(recipe["drawings"], sort_keys=True), left_out)
    groups: list[tuple[float, tuple[Ink, ...]]] = []
    of: dict[str, tuple[int, ...]] = {}

    def add(ingredient: str, *found: tuple[float, tuple[Ink, ...]]) -> None:
        kept = [(weight * weights[ingredient], inks) for weight, inks in found if inks]
        of[ingredient] = tuple(range(len(groups), len(groups) + len(kept)))
        groups.extend(kept)

    pieces: tuple[CutOut, ...] = ()
    if "pasted" in weights:
        keyed, pieces = cut_outs(real, int(recipe.get("most_cut_outs", 900)))
        if not keyed and not pieces:
            raise DatasetError("missing", "the pictures show no logo large enough to cut out")
        add("pasted", (KEYED_WEIGHT, keyed))
    if "vector" in weights:
        add("vector", (VECTOR_WEIGHTS["wide"], wide), (VECTOR_WEIGHTS["compact"], compact))
    fonts = find_fonts(*([Path(recipe["fonts"])] if recipe.get("fonts") else [])) if "wordmarks" in weights else []
    if "wordmarks" in weights:
        add("wordmarks", (1.0, word_marks(int(recipe.get("most_words", 1000)), fonts, left_out, compact)))
    plain = plain_fonts(fonts)
    several = {"negatives", "watermarks"} & weights.keys() or "vector" in weights or "wordmarks" in weights
    photos = tuple(
        _bounded(read_picture(p).pixels) for p in folder_pictures(recipe.get("photos"), recipe.get("most_photos"))
    )
    low, high = recipe.get("longest", (320, 512))
    return Stock(
        tuple(groups),
        photos,
        packshots(recipe.get("packshots"), recipe.get("most_packshots")),
        (int(low), int(high)),
        pieces,
        clutter(260, plain) if "negatives" in weights else (),
        text_lines(160, plain) if several else (),
        watermarks(80, plain) if "watermarks" in weights else (),
        MappingProxyType(of),
        MappingProxyType(weights),
    )


def ingredient_weights(recipe: dict[str, Any], *, has_real: bool) -> dict[str, float]:
    """The weights above 0 of a recipe's ingredients, in a fixed order. Raises UsageError (bad_config)."""
    sources = {
        "pasted": has_real,
        "vector": bool(recipe.get("drawings")),
        "wordmarks": bool(recipe.get("fonts")) or "wordmarks" in recipe.get("ingredients", {}),
        "negatives": True,
        "products": bool(recipe.get("packshots")),
        "watermarks": True,
    }
    given = recipe.get("ingredients")
    if given is None:
        given = {"pasted": 0.35, "vector": 0.25, "wordmarks": 0.2, "products": 0.2}
        given = {name: weight for name, weight in given.items() if sources[name]}
    unknown = sorted(set(given) - set(INGREDIENTS))
    if unknown:
        raise UsageError("bad_config", f"unknown ingredient {unknown[0]!r}", hint=f"one of {', '.join(INGREDIENTS)}")
    weights = {name: float(given[name]) for name in INGREDIENTS if float(given.get(name, 0)) > 0}
    for name in weights:
        if not sources[name]:
            source = {"pasted": "real", "vector": "drawings", "products": "packshots"}[name]
            raise UsageError("bad_config", f"the ingredient {name!r} needs {source!r} in the recipe")
    if not weights:
        raise DatasetError("missing", "the recipe names no logos to draw with")
    return weights


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


def packshots(path: str | None, most: int | None) -> tuple[Rgba, ...]:
    """Products cut from white: the pictures of a jsonl with one product a picture. Raises DatasetError (missing)."""
    cut = (cut_from_white(pixels) for pixels in packshot_pictures(path, most))
    return tuple(c for c in cut if c is not None)


def packshot_pictures(path: str | None, most: int | None) -> Iterator[Pixels]:
    """The pictures of a jsonl with one product a picture, at most so many, drawn by lot. Raises DatasetError (missing)."""
    if not path:
        return
    file = Path(path)
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise DatasetError("missing", "no packshots", path=path) from None
    order = np.random.default_rng(2).permutation(len(rows))[:most]
    for i in order:
        yield read_picture(file.parent / rows[i]["image"]).pixels


def cut_from_white(pixels: Pixels) -> Rgba | None:
    """A packshot cut from its white ground, (h, w, 4) uint8 cropped to the product; None where no ground can be told apart."""
    found = _on_white(pixels)
    if found is None:
        return None
    alpha, (left, top, right, bottom) = found
    solid = (alpha == 255).astype(np.float32)
    near = cv2.GaussianBlur(solid, (0, 0), 2)[..., None]
    inner = cv2.GaussianBlur(pixels * solid[..., None], (0, 0), 2) / np.maximum(near, 0.02)
    # pixels at the rim are mixed with white: they take the colour of the product beside them
    rim = (solid[..., None] == 0) & (near > 0.02)
    rgb = np.where(rim, inner.clip(0, 255), pixels).astype(np.uint8)
    return np.ascontiguousarray(np.dstack([rgb, alpha])[top:bottom, left:right])


def extent_on_white(pixels: Pixels) -> tuple[int, int, int, int] | None:
    """Where the product of a packshot is, xyxy pixels; None where no white ground can be told apart."""
    found = _on_white(pixels)
    return None if found is None else found[1]


def _on_white(pixels: Pixels) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int, int]] | None:
    """The (h, w) uint8 alpha of what stands on a white ground, soft at its rim, and its box."""
    near_white = (pixels.min(axis=2) >= 244).astype(np.uint8)
    framed = np.pad(near_white, 1, constant_values=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    alpha = np.where(framed[1:-1, 1:-1] == 2, 0, 255).astype(np.uint8)
    alpha = cv2.morphologyEx(alpha, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    share = float((alpha > 0).mean())
    if not 0.05 < share < 0.9:
        return None
    alpha = np.asarray(cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3), np.uint8)), (0, 0), 0.8), np.uint8)
    return alpha, extent(alpha >= 128)


def _bounded(pixels: Pixels) -> Pixels:
    scale = MOST_PHOTO_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


@lru_cache(maxsize=4)
def _drawings(wanted: str, left_out: tuple[str, ...]) -> tuple[tuple[Ink, ...], tuple[Ink, ...]]:
    """Vector logos as (wide, compact): word marks and lock-ups apart from pictograms."""
    settings = json.loads(wanted)
    sources = tuple(settings.get("sources", ()))
    if not sources:
        return (), ()
    cache, packages, limit = (settings.get(name) for name in ("cache", "packages", "limit"))
    found = load_drawings(
        Path(cache) if cache else None, sources=sources, packages=Path(packages) if packages else None
    )
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
