"""Checks of labelled sets find what was planted and nothing in a sound set; the summary counts what is there."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.datasets.check import ALIKE, PAIRS_A_PICTURE, _alike, check_sets, pairs_sheet
from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.datasets.reading import LabelledSet, read_any
from vision.datasets.summary import HEAT, plot_summary, summarise_sets

WIDE, HIGH = 160, 120


def scene(seed: int) -> np.ndarray:
    """Soft shapes that no other seed has: a hash of pure noise would say little."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (15, 20, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDE, HIGH), interpolation=cv2.INTER_CUBIC)


def save(path: Path, pixels: np.ndarray, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def labelled(path: Path, *boxes: LabelledBox, split: str | None = "train", size=(WIDE, HIGH), fields=None):
    return LabelledPicture(path, *size, boxes, "set", False, frozenset({"logo"}), split, fields=fields or {})


def as_set(*pictures: LabelledPicture, name: str = "set") -> LabelledSet:
    return LabelledSet(Path(name), "jsonl", pictures, (), (), {})


def box(left=10, top=10, right=50, bottom=50, brand=None, **more) -> LabelledBox:
    return LabelledBox((left, top, right, bottom), more.pop("kind", "logo"), brand, **more)


def told(report) -> list[tuple[str, str]]:
    return [(finding.what, Path(finding.path).name) for finding in report.findings]


def test_a_sound_set_has_no_findings(tmp_path):
    pictures = [
        labelled(
            save(tmp_path / f"{n}.jpg", scene(n)),
            box(brand="Nike"),
            box(right=WIDE + 0.4, brand="Puma"),
            box(12, 12, 52, 52, kind="product"),
            split=split,
        )
        for n, split in enumerate(["train", "train", "val"])
    ]
    report = check_sets([as_set(*pictures)])
    assert report.findings == []
    assert (report.pictures, report.boxes, report.problems) == (3, 9, 0)
    assert report.shared_brands == {"train and val": 2}


def test_bad_boxes_are_found_each_by_its_name(tmp_path):
    path = save(tmp_path / "a.jpg", scene(0))
    picture = labelled(
        path,
        box(brand="A"),
        box(11, 10, 50, 50, brand="B"),  # the same place
        box(10, 10, 50, 50, kind="product"),  # what carries a logo may be as large
        box(100, 100, 161, 110),
        box(70, 70, 70, 90),
        box(90, 20, 84, 40),
        box(100, 20, 105, 60),
        box(10, 10, 50, 50, ignore=True),
    )
    report = check_sets([as_set(picture)], tiny=6)
    assert [(f.what, f.where) for f in report.findings] == [
        ("outside", "box 3"),
        ("no_area", "box 4"),
        ("no_area", "box 5"),
        ("tiny", "box 6"),
        ("repeated_box", "boxes 0 and 1"),
    ]
    assert report.problems == 4  # a tiny box may well be right
    assert json.loads(json.dumps(report.to_dict()))["counts"]["no_area"] == 2


def test_pictures_that_cannot_be_read_or_have_another_size_are_found(tmp_path):
    whole = save(tmp_path / "whole.jpg", scene(0))
    (tmp_path / "torn.jpg").write_bytes(whole.read_bytes()[:900])
    pictures = [labelled(tmp_path / name) for name in ("torn.jpg", "gone.jpg")]
    report = check_sets([as_set(labelled(whole, size=(WIDE, HIGH + 1)), *pictures)])
    assert told(report) == [("other_size", "whole.jpg"), ("unreadable", "torn.jpg"), ("unreadable", "gone.jpg")]
    assert "[truncated]" in report.findings[1].message
    assert "[not_found]" in report.findings[2].message


def test_copies_are_found_in_a_split_and_across_splits_mirrored_ones_too(tmp_path):
    first = save(tmp_path / "train/a.jpg", scene(1))
    smaller = save(tmp_path / "train/small.jpg", cv2.resize(scene(1), (128, 96), interpolation=cv2.INTER_AREA), 60)
    mirrored = save(tmp_path / "val/mirrored.jpg", scene(1)[:, ::-1], 70)
    same = tmp_path / "val/same.jpg"
    same.write_bytes(first.read_bytes())
    other = save(tmp_path / "val/other.jpg", scene(2))
    twin = tmp_path / "val/twin.jpg"
    twin.write_bytes(other.read_bytes())
    pictures = [
        labelled(first),
        labelled(smaller, size=(128, 96)),
        labelled(mirrored, split="val"),
        labelled(same, split="val"),
        labelled(other, split="val"),
        labelled(twin, split="val"),
        labelled(other, split="val"),
    ]
    report = check_sets([as_set(*pictures)])
    assert told(report) == [
        ("copy", "small.jpg"),
        ("copy_across", "mirrored.jpg"),
        ("copy_across", "mirrored.jpg"),
        ("same_file_across", "same.jpg"),
        ("same_file", "twin.jpg"),
        ("listed_twice", "other.jpg"),
    ]
    assert report.problems == 5
    assert [pair.across for pair in report.pairs] == [True, True, False]
    assert {pair.kind for pair in report.pairs if pair.across} == {"mirror"}
    sheet = pairs_sheet(report.pairs)
    assert sheet.shape[2] == 3 and sheet.std() > 20


def test_two_sets_without_splits_are_two_sides(tmp_path):
    one, two = save(tmp_path / "a.jpg", scene(1)), save(tmp_path / "b.jpg", scene(1), 60)
    sets = [as_set(labelled(one, split=None), name="old.csv"), as_set(labelled(two, split=None), name="new.csv")]
    assert told(check_sets(sets)) == [("copy_across", "b.jpg")]
    together = as_set(labelled(one, split=None), labelled(two, split=None))
    assert told(check_sets([together])) == [("copy", "b.jpg")]


def test_two_sets_of_one_file_name_are_two_sides(tmp_path):
    one = labelled(save(tmp_path / "a.jpg", scene(0)), split=None)
    two = labelled(save(tmp_path / "b.jpg", scene(0)), split=None)
    report = check_sets([as_set(one, name="x/truth.jsonl"), as_set(two, name="y/truth.jsonl")])
    assert told(report) == [("same_file_across", "b.jpg")]
    assert report.findings[0].message == "y/truth.jsonl and x/truth.jsonl"


@given(st.lists(st.text("abcdé漢1", min_size=5, max_size=12), max_size=30, unique=True))
def test_names_are_compared_as_if_each_was_with_each(keys):
    def alike(one, two):
        plain = one.strip("0123456789") != two.strip("0123456789") and abs(len(one) - len(two)) <= 2
        return plain and SequenceMatcher(None, one, two, autojunk=False).ratio() >= ALIKE

    assert sorted(_alike(keys)) == [pair for pair in combinations(sorted(keys), 2) if alike(*pair)]


def test_of_many_equal_looks_a_few_pairs_are_told_those_across_splits_first(tmp_path):
    shots = [save(tmp_path / f"{n}.jpg", scene(0), quality=60 + n) for n in range(25)]
    pictures = [labelled(path, split="val" if n == 0 else "train") for n, path in enumerate(shots)]
    report = check_sets([as_set(*pictures)])
    last = [f for f in report.findings if Path(f.path).name == "24.jpg"]
    assert [f.what for f in last] == ["copy_across"] + ["copy"] * (PAIRS_A_PICTURE - 1)


def test_spellings_of_one_name_are_found_and_other_names_are_left_alone(tmp_path):
    path = save(tmp_path / "a.jpg", scene(0))
    brands = ["Citroën", "citroen", "Coca-Cola", "Coca Colla", "Nike ", "Niko", "class 1", "class 2", "Puma", "Pumas"]
    picture = labelled(path, *(box(2, 10 * n, 30, 10 * n + 9, name) for n, name in enumerate(brands)))
    report = check_sets([as_set(picture)])
    found = [(f.what, f.message) for f in report.findings]
    assert [what for what, _ in found] == ["class_spelling", "class_spelling", "class_similar"]
    assert "'Citroën' (1), 'citroen' (1)" in found[0][1] or "'citroen' (1)" in found[0][1]
    assert "'Nike '" in found[1][1]
    assert "'Coca Colla'" in found[2][1] and "'Coca-Cola'" in found[2][1]


def test_brands_of_an_unseen_split_must_not_be_in_others(tmp_path):
    paths = [save(tmp_path / f"{n}.jpg", scene(n)) for n in range(4)]
    pictures = [
        labelled(paths[0], box(brand="Google 2014"), box(60, 10, 90, 50, "Nike")),
        labelled(paths[1], fields={"image_brands": ["Fanta"]}),
        labelled(
            paths[2],
            box(brand="Google"),
            box(60, 10, 90, 50, "Nike", extra=True),  # a passing brand does not make it unseen
            split="dev_unseen_brands",
        ),
        labelled(paths[3], box(brand="Fanta"), split="test"),
    ]
    report = check_sets([as_set(*pictures)])
    assert [(f.what, f.path) for f in report.findings] == [("brand_leak", str(paths[0]))]
    assert "'Google 2014'" in report.findings[0].message
    assert [f.path for f in check_sets([as_set(*pictures)], unseen=["test"]).findings] == [str(paths[1]), str(paths[0])]
    listed = check_sets([as_set(*pictures[:1])], unseen_brands=["Nike"])
    assert [f.message for f in listed.findings] == ["'Nike', 1 times in train, is of the list of unseen brands"]


def test_faults_of_reading_are_findings(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"image": "a.jpg"}\n')
    report = check_sets([read_any(tmp_path)])
    assert [(f.what, f.where) for f in report.findings] == [("bad_label", "line 1")]


def test_the_summary_counts_what_is_there():
    pictures = [
        LabelledPicture(
            Path("a.jpg"),
            100,
            100,
            (
                LabelledBox((0, 0, 50, 50), "logo", "Nike"),
                LabelledBox((80, 80, 100, 90), "product", "Nike", label="can"),
                LabelledBox((0, 0, 9, 9), "logo", ignore=True),
            ),
            "s",
            True,
            frozenset(),
            "train",
        ),
        LabelledPicture(
            Path("b.jpg"), 100, 50, (LabelledBox((0, 0, 0, 5), "logo", "Puma", extra=True),), "s", False, frozenset()
        ),
        LabelledPicture(Path("c.jpg"), 100, 50, (), "s", False, frozenset()),
    ]
    found = json.loads(json.dumps(summarise_sets(pictures)))
    assert (found["pictures"], found["boxes"], found["regions_to_ignore"], found["boxes_found_later"]) == (3, 3, 1, 1)
    assert (found["brands"], found["pictures_without_boxes"], found["pictures_looked_at"]) == (2, 1, 1)
    assert found["boxes_by_kind"] == {"logo": 2, "product": 1}
    assert found["boxes_by_class"] == {"Nike": 1, "Puma": 1, "can": 1}
    assert found["by_split"] == {
        "none": {"pictures": 2, "boxes_by_kind": {"logo": 1}, "brands": 1},
        "train": {"pictures": 1, "boxes_by_kind": {"logo": 1, "product": 1}, "brands": 1},
    }
    # a box of half of each side, one of nothing; 20 x 10 of 100 x 100 is 1/7 of a side
    assert found["sizes"] == {"logo": [1, 0, 0, 0, 0, 0, 1], "product": [0, 0, 0, 0, 1, 0, 0]}
    assert found["boxes_a_picture_counts"] == {"0": 1, "1": 1, "2": 1}
    assert found["boxes_by_coco_size"] == {"small": 2, "medium": 1, "large": 0}
    heat = np.array(found["heat"])
    assert heat.shape == (HEAT, HEAT)
    assert heat[HEAT // 4, HEAT // 4] == pytest.approx(1 / 3, abs=1e-4)
    assert heat[int(0.85 * HEAT), int(0.9 * HEAT)] == pytest.approx(1 / 3, abs=1e-4)


def test_the_summary_of_nothing_is_no_accident():
    found = summarise_sets([])
    assert (found["pictures"], found["boxes"], found["boxes_a_picture"]["median"]) == (0, 0, None)


@pytest.mark.parametrize("count", [0, 3])
def test_the_plots_are_one_page(count, tmp_path):
    pytest.importorskip("matplotlib")
    pictures = [labelled(tmp_path / "a.jpg", box(brand="$5 shop"), box(1, 1, 90, 9, kind="product"))] * count
    plot_summary(pictures, tmp_path / "plot.png")
    pixels = cv2.imread(str(tmp_path / "plot.png"))
    assert pixels.shape == (900, 1500, 3)
    assert pixels.std() > 10
