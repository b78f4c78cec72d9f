"""What the detector learns from: labelled pictures, photographs, products on white and drawn scenes, and their batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledPicture, brand_key, read_names, read_set
from vision.detect import Detector
from vision.errors import DatasetError, UsageError
from vision.images import read_picture
from vision.training.detector_views import (
    ALONE,
    KINDS,
    LOGO,
    PRODUCT,
    Example,
    Labels,
    close_up,
    labels_of,
    make_labels,
    mosaic,
    single,
    turned,
    vary_colours,
)
from vision.training.draw import (
    draw_scene,
    expand,
    extent_on_white,
    folder_pictures,
    load_stock,
    packshot_pictures,
)
from vision.training.self_labels import SelfLabels

log = logging.getLogger(__name__)

TURNED = 0.12  # share of examples turned by a quarter, a half or three quarters


@dataclass(frozen=True, slots=True)
class DetectorData:
    """Everything a run learns from, in memory. groups: examples by name. held_out: never shown."""

    groups: dict[str, tuple[Example, ...]]
    held_out: tuple[LabelledPicture, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run. until: share of the run at which it ends, in (0, 1]. shares: of the pictures shown, by group.

    sizes: sides of the square batches in pixels, one drawn for each step. frozen: the backbone rests.
    whole: whole pictures at about their natural size only, as detection sees them, instead of mosaics and close-ups.
    filled: share of the whole pictures that are cut around one of their logos.
    """

    until: float
    shares: dict[str, float]
    sizes: tuple[int, ...]
    frozen: bool = False
    whole: bool = False
    filled: float = 0.0


def load_data(config: dict[str, Any]) -> DetectorData:
    """Read the labelled sets, photographs and drawn pictures that a config names.

    Pictures with a brand of `held_out_brands` are not taught: they judge the run. Sets in folders named in `sources_left_out`
    are not read at all.
    """
    wanted = {name for stage in stages_of(config) for name in stage.shares}
    held_keys = {brand_key(b) for b in config.get("held_out_brands", [])}
    left_out = read_names(config.get("brands_left_out"))
    sources_out = set(config.get("sources_left_out", []))
    paths = [p for p in expand(config.get("real", [])) if p.parent.name not in sources_out]
    pictures = [p for path in paths for p in read_set(path, brands_left_out=left_out)]
    held = [p for p in pictures if any(b.brand and brand_key(b.brand) in held_keys for b in p.boxes)]
    taught = [p for p in pictures if p not in held]
    groups = _real_examples(config, taught)
    groups["photos"] = _photo_examples(config)
    groups["packshots"] = _packshot_examples(config) if "packshots" in wanted else []
    groups["drawn"] = _drawn_examples(config, taught) if "drawn" in wanted else []
    lacking = sorted(name for name in wanted if not groups.get(name))
    if lacking:
        raise DatasetError("missing", f"the config names no pictures for {', '.join(lacking)}")
    log.info("pictures: %s, held out %d", {name: len(g) for name, g in groups.items()}, len(held))
    return DetectorData({name: tuple(g) for name, g in groups.items()}, tuple(held))


def _real_examples(config: dict[str, Any], pictures: Sequence[LabelledPicture]) -> dict[str, list[Example]]:
    """Labelled pictures as examples, those with logos apart from those with products only.

    Kinds that nobody searched a picture for are left out of its loss, or labelled by the detector that `self_labels` names.
    """
    labeller, unsearched = None, float(config["unsearched_weight"])
    if given := config.get("self_labels"):
        detector = Detector.load(Path(given["detector"]))
        labeller, unsearched = SelfLabels(detector, float(given["teach_from"]), float(given["ignore_from"])), 1.0
    found: dict[str, list[Example]] = {"logos": [], "products": []}
    for picture in pictures:
        full = labeller.complete(picture) if labeller else picture
        labels = labels_of(full, unsearched=unsearched, extra_strength=float(config.get("extra_strength", 1.0)))
        example = _bounded(read_picture(picture.path).pixels, labels, _longest(config))
        found["logos" if "logo" in picture.kinds else "products"].append(example)
    return found


def _photo_examples(config: dict[str, Any]) -> list[Example]:
    """Everyday photographs without a logo worth a box."""
    found = []
    for path in folder_pictures(config.get("photos"), config.get("most_photos")):
        pixels = read_picture(path).pixels
        high, wide = pixels.shape[:2]
        # they show bottles, shoes and bags: few are wrong as logos, more would be as products
        labels = make_labels([], [(PRODUCT, float(config["unsearched_weight"]), 0, 0, wide, high)])
        found.append(_bounded(pixels, labels, _longest(config)))
    return found


def _packshot_examples(config: dict[str, Any]) -> list[Example]:
    """Products on white. Nobody boxed the logos on them, but a whole belt or a pair of glasses is none."""
    found = []
    for pixels in packshot_pictures(config["packshots"]["path"], config["packshots"].get("most")):
        if (box := extent_on_white(pixels)) is not None:
            labels = make_labels([(box, PRODUCT)], [(LOGO, 0.0, *box), (ALONE, 0.0, *box)])
            found.append(_bounded(pixels, labels, _longest(config)))
    return found


def _drawn_examples(config: dict[str, Any], taught: Sequence[LabelledPicture]) -> list[Example]:
    """Drawn pictures; where their ground is a photograph, its own products count as in photographs."""
    drawn, found = config["drawn"] | {"names_left_out": list(config.get("held_out_brands", []))}, []
    stock = load_stock(drawn, taught)
    for seed in range(int(drawn["n"])):
        scene = draw_scene(stock, int(config["seed"]) * 1_000_000 + seed)
        boxes = [(b.box, KINDS.index(b.kind)) for b in scene.boxes if not b.ignore]
        regions = [(KINDS.index(b.kind), 0.0, *b.box) for b in scene.boxes if b.ignore]
        high, wide = scene.pixels.shape[:2]
        if scene.subject in {"logos", "products"} and stock.photos:
            regions.append((PRODUCT, float(config["unsearched_weight"]), 0.0, 0.0, float(wide), float(high)))
        found.append(_bounded(scene.pixels, make_labels(boxes, regions), _longest(config)))
    return found


def _longest(config: dict[str, Any]) -> int:
    """Longest side in pixels at which pictures are kept: no close-up shows more."""
    return int(config["size"]) * 3 // 2


def stages_of(config: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages of a config, in order, the last to the end. Raises UsageError (bad_config), KeyError."""
    stages = []
    for given in config["stages"]:
        shares = {str(name): float(share) for name, share in given["shares"].items() if float(share) > 0}
        sizes = tuple(int(s) for s in given.get("sizes", [config["size"]]))
        if not shares or not sizes or any(s < 32 or s % 32 for s in sizes):
            raise UsageError("bad_config", "a stage needs shares above 0, and sizes that are multiples of 32")
        until, frozen, whole = float(given["until"]), bool(given.get("frozen")), bool(given.get("whole"))
        stages.append(Stage(until, shares, sizes, frozen, whole, float(given.get("filled", 0.0))))
    ends = [s.until for s in stages]
    if not ends or ends != sorted(ends) or ends[-1] != 1:
        raise UsageError("bad_config", "the stages must follow each other, the last until 1")
    return tuple(stages)


def draw_batch(
    data: DetectorData, stage: Stage, step: int, *, seed: int, batch: int
) -> tuple[npt.NDArray[np.uint8], list[Labels]]:
    """Batch number `step`: (n, size, size, 3) uint8 RGB and its labels; the same arguments give the same batch."""
    rng = np.random.default_rng([seed, step, 11])
    names, shares = list(stage.shares), np.array(list(stage.shares.values()))
    size = int(rng.choice(stage.sizes))
    colours = vary_colours(seed * 1_000_003 + step)

    def pick() -> Example:
        group = data.groups[names[int(rng.choice(len(shares), p=shares / shares.sum()))]]
        example = group[int(rng.integers(len(group)))]
        return turned(example, int(rng.integers(1, 4))) if rng.random() < TURNED else example

    pixels, labels = [], []
    for _ in range(batch):
        if stage.whole:
            shown = pick()
            if stage.filled and rng.random() < stage.filled:
                shown = close_up(shown, rng)
            example = single(shown, size, rng, (0.8, 1.15))
        elif rng.random() < 0.65:
            example = mosaic([pick() for _ in range(4)], size, rng, (0.4, 1.2))
        else:
            example = single(pick(), size, rng, (0.6, 1.7))
        pixels.append(colours(image=example.pixels)["image"])
        labels.append(example.labels)
    return np.stack(pixels), labels


def _bounded(pixels: npt.NDArray[np.uint8], labels: Labels, longest: int) -> Example:
    """An example no larger than training will ever show it, so that thousands fit into memory."""
    import cv2

    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return Example(pixels, labels)
    high, wide = pixels.shape[:2]
    size = (round(wide * scale), round(high * scale))
    factor = np.array([size[0] / wide, size[1] / high] * 2, np.float32)
    regions = labels.regions.copy()
    regions[:, 2:] *= factor
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Example(small, Labels(labels.boxes * factor, labels.kinds, labels.strengths, regions))
