"""What the embedder learns from: drawings, real crops and photographs, and the batches that are drawn from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.datasets.labelled import is_kin, read_names, read_set
from vision.errors import DatasetError
from vision.images import read_picture
from vision.library.names import canonical, fold
from vision.library.sources import load_drawings, views
from vision.training.crops import Artwork, cut_with_spare, draw_crop, draw_ground, random_patches, vary_crop
from vision.training.draw.stock import expand
from vision.training.tower import SIZE
from vision.values import Pixels


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
