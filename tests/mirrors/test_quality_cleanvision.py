"""Our signals against CleanVision's flags: what it calls dark, light, blurry, without information or grey, they order alike.

CleanVision itself where it is installed; its published formulas and thresholds everywhere (cleanlab/cleanvision:
src/cleanvision/issue_managers/image_property.py at 593f9bf, image_property_issue_manager.py at 5e57788, constants at 08611a0).
Its odd_aspect_ratio (a shorter side under .35 of the longer one) follows from the width and height of a row.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageStat

from vision.images import read_picture
from vision.quality import measure

sys.path.insert(0, str(Path(__file__).parents[1] / "laws"))
import quality_pictures as made

DARK, LIGHT, INFORMATION, BLUR, BLUR_SIDE = 0.37, 0.05, 0.3, 0.17, 256


def luma(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, np.float64)
    return np.sqrt(pixels**2 @ (0.241, 0.691, 0.068)) / 255


def edge_spread(image: Image.Image) -> float:
    scale = max(1.0, max(image.size) / BLUR_SIDE)
    small = image.resize((int(image.width // scale), int(image.height // scale))) if scale > 1 else image
    return float(np.sqrt(ImageStat.Stat(small.convert("L").filter(ImageFilter.FIND_EDGES)).var[0]))


def flags(image: Image.Image) -> dict[str, bool]:
    """CleanVision's, as published."""
    p5, p99 = np.percentile(luma(image), [5, 99])
    dark = bool(p99 < DARK)
    return {
        "dark": dark,
        "light": bool(1 - p5 < LIGHT),
        "low_information": bool(image.entropy() / 10 < INFORMATION),
        "blurry": bool(min(1 - np.exp(-edge_spread(image) / 100) + dark * (1 - p99), 1) < BLUR),
    }


def ours(image: Image.Image) -> dict[str, float]:
    return measure(read_picture(np.asarray(image.convert("RGB"))))


def edited(kind: str, number: int) -> Image.Image:
    image = made.sample(number)
    if kind == "dark":
        return image.point(lambda v: v * 0.22)
    if kind == "light":
        return image.point(lambda v: 248 + v * 0.025)
    if kind == "blurry":
        return image.filter(ImageFilter.GaussianBlur(max(image.size) / 20))
    if kind == "low_information":
        return made.on_white(number)
    return image


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("kind", ["plain", "dark", "light", "blurry", "low_information"])
def test_what_cleanvision_flags_our_signals_show(kind: str, number: int) -> None:
    image = edited(kind, number)
    theirs, signals = flags(image), ours(image)
    if kind in ("dark", "light", "low_information"):
        assert theirs[kind]
    # its brightness weighs squares, ours is BT.601; the entropy is of three channels, ours of luma
    assert theirs["dark"] == (signals["brightness_p99"] / 255 < DARK)
    assert theirs["light"] == (1 - signals["brightness_p5"] / 255 < LIGHT)
    if kind in ("plain", "low_information"):
        assert theirs["low_information"] == (signals["entropy"] / 10 < INFORMATION)


@pytest.mark.parametrize("number", range(12))
def test_the_less_sharp_of_two_is_the_blurrier_for_cleanvision(number: int) -> None:
    image = made.sample(number)
    copies = [image.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 2, 4, 8)]
    sharpness, edges = [ours(copy)["sharpness"] for copy in copies], [edge_spread(copy) for copy in copies]
    assert sharpness == sorted(sharpness, reverse=True)
    assert edges == sorted(edges, reverse=True)
    assert not flags(image)["blurry"]
    assert sharpness[0] > 20 > sharpness[-1]


def test_cleanvision_flags_most_of_what_is_blurred_beyond_use() -> None:
    # its edge filter leaves the outermost pixels as they are, so that bright margins count as edges
    assert sum(flags(edited("blurry", number))["blurry"] for number in range(12)) >= 8


def test_the_brightness_that_cleanvision_flags_by_is_ours_within_a_few_levels() -> None:
    for number in range(len(made.PHOTOS)):
        image = made.sample(number)
        p5, p99 = np.percentile(luma(image), [5, 99]) * 255
        signals = ours(image)
        assert signals["brightness_p99"] == pytest.approx(p99, abs=12)
        assert signals["brightness_p5"] == pytest.approx(p5, abs=12)


def test_grey_pictures_are_what_has_no_colourfulness() -> None:
    for number in range(12):
        assert ours(made.sample(number).convert("L"))["colourfulness"] == 0
        assert ours(made.sample(number))["colourfulness"] > 1


def test_the_package_flags_as_its_published_thresholds_do(tmp_path: Path) -> None:
    imagelab = pytest.importorskip("cleanvision").Imagelab
    kinds = ["dark", "light", "blurry", "low_information", "plain"]
    for kind in kinds:
        edited(kind, 1).save(tmp_path / f"{kind}.png")
    lab = imagelab(data_path=str(tmp_path))
    lab.find_issues({kind: {} for kind in kinds[:4]}, n_jobs=1, verbose=False)
    for path, row in lab.issues.iterrows():
        kind = Path(str(path)).stem
        assert kind == "plain" or bool(row[f"is_{kind}_issue"])
