"""A whole evaluation with a small library and a quick embedder: every section, and what it leaves."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from library_fakes import Colours
from PIL import Image

from vision.errors import DatasetError, UsageError
from vision.evaluate.figures import plain
from vision.evaluate.recognition.claims import read_truths
from vision.evaluate.recognition.report import tables, write_recognition
from vision.evaluate.recognition.run import POOLED, SECTIONS, Options, evaluate_recognition, rankers_of
from vision.library import Library
from vision.recognise import Recogniser
from vision.verdict import Calibration, OperatingPoint
from vision.verdict.evidence import FEATURES

CARD = {
    "calibrations": {
        name: Calibration(tuple(20.0 if f == "margin" else 0.0 for f in FEATURES), -1.0, 0.05).to_card()
        for name in ("vision", "both")
    },
    "alarms": {"pictures": 100, "highest": [0.9, 0.6]},
    "least_probability": 0.5,
    "data": {"labelled": ["somewhere/else/dev.jsonl"]},
    "figures": {"ece": 0.02},
}
BRANDS = ("Acme", "Acme Cola", "Brindlow", "Ōto", "Nimbus", "Sony")


def mark(number, noise=None, side=48):
    tiles = np.random.default_rng(number).integers(0, 255, (4, 4, 3)).astype(int)
    pixels = np.kron(tiles, np.ones((side // 4, side // 4, 1), int))
    if noise is not None:
        pixels = pixels + noise.normal(0, 40, (1, 1, 3)) + noise.normal(0, 12, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory):
    library = Library.create(tmp_path_factory.mktemp("library") / "brands", embedder=Colours())
    for number, brand in enumerate(BRANDS):
        library.add(brand, mark(number), aliases=["Oto Co"] if brand == "Ōto" else [], kind="drawing")
    for number in range(20):
        library.add(f"Other {number}", mark(100 + number))
    return Recogniser(library.embedder, library)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two sets. Brands of the library, one that it lacks (New One), and one box that the mistakes show: Sony, labelled Nimbus."""
    folder = tmp_path_factory.mktemp("sets")
    random = np.random.default_rng(5)
    sets = []
    for name, brands in (("dev", ("Acme", "Brindlow", "Oto Co", "New One")), ("more", ("Sony", "Nimbus", "Acme Cola"))):
        rows = []
        for number in range(10):
            scene = random.integers(0, 255, (160, 240, 3), dtype=np.uint8)
            boxes = []
            for place in range(2):
                brand = brands[(number + place) % len(brands)]
                shown = {"Oto Co": 3, "New One": 77}.get(brand) or BRANDS.index(brand if number or place else "Sony")
                left = 20 + 110 * place
                scene[40:88, left : left + 48] = mark(shown, random)
                boxes.append({"box": [left, 40, left + 48, 88], "kind": "logo", "brand": brand})
            boxes.append({"box": [0, 0, 100, 100], "kind": "product", "brand": brands[0]})
            Image.fromarray(scene).save(folder / f"{name}-{number}.png")
            rows.append({"image": f"{name}-{number}.png", "width": 240, "height": 160, "boxes": boxes})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        sets.append(folder / f"{name}.jsonl")
    return sets


def run(recogniser, data, **options):
    rankers = rankers_of(recogniser, CARD, OperatingPoint.from_card(CARD, 0.01))
    return evaluate_recognition(recogniser, data, rankers, Options(threads=1, **options), card=CARD, command="vision …")


@pytest.fixture(scope="module")
def whole(recogniser, data):
    sections = [name for name in SECTIONS if name != "spelling"]
    return run(recogniser, data, sections=sections, sizes=(6, 0, 60), splits=3, draws=2, unseen=["Acme"])


def test_brands_are_counted_under_the_librarys_names_and_those_it_lacks_left_out(whole):
    name = whole.figures["sections"]["top1"]
    first, second = (n for n in name if n != POOLED)
    assert (first.rpartition("-")[2], second.rpartition("-")[2]) == ("dev", "more")
    assert whole.figures["sets"][first] | {"data": 0} == {"data": 0, "crops": 20, "held": 16, "not_found": 0}
    own = name[first]["vision"]
    assert list(own["by_brand"]) == ["Acme", "Brindlow", "Ōto"]
    assert own["all"]["top1"] > 0.8
    assert own["unseen brands"]["crops"] == own["by_brand"]["Acme"]["crops"]
    assert name[second]["vision"]["unseen brands"]["crops"] == name[second]["vision"]["by_brand"]["Acme Cola"]["crops"]
    assert name[POOLED]["vision"]["all"]["crops"] == 36


def test_a_larger_library_never_ranks_better_and_photographs_teach_brands_it_lacks(whole):
    sections = whole.figures["sections"]
    sizes = [sections["size"][n]["vision"]["top1_kin"] for n in ("6", "26", "60")]
    assert sizes == sorted(sizes, reverse=True)
    few = sections["fewshot"][POOLED]
    assert few["names only"]["0"]["vision"]["top1"] == 0
    assert few["library"]["5"]["vision"]["crops"] == 40  # New One among them
    assert few["same kind"]["10"]["vision"]["top1"] > 0.85
    assert few["library"]["0"]["vision"]["top1"] == sections["top1"][POOLED]["vision"]["all"]["top1"]


def test_strangers_are_never_more_than_claims_and_their_own_brand_is_never_right(whole):
    strangers = whole.figures["sections"]["openset"]
    assert list(strangers) == ["library", "library + 3 photos", "3 photos", "own brand out", "brands not held"]
    for world, by in strangers.items():
        figures = by["vision"]
        assert 0.5 < figures["auroc"] <= 1, world
        assert figures["tpr_01"] <= figures["tpr_1"] <= 1
        assert figures["oscr"] <= figures["auroc"] + 1e-9
    assert strangers["brands not held"]["vision"]["strangers"] == 4
    assert strangers["own brand out"]["vision"]["strangers"] == 40
    stated = whole.figures["sections"]["calibration"]
    assert stated["vision"]["own brand out"]["right"] == 0
    assert stated["card"]["fitted_on"] == dict.fromkeys(whole.figures["sets"], False)


def test_attacks_that_change_nothing_much_cost_nothing_and_turns_cost_much(whole):
    attacks = whole.figures["sections"]["attacks"]
    top1 = {name: by["vision"]["top1_kin"] for name, by in attacks.items()}
    assert top1["none"] > 0.85
    assert top1["jpeg"] > 0.7
    assert top1["turn 180"] < 0.5
    assert top1["mirror"] < 0.5


def test_everything_is_written_and_the_sheet_begins_with_the_surest_mistake(whole, recogniser, tmp_path):
    write_recognition(whole, recogniser.library, tmp_path)
    names = {"figures.json", "figures.csv", "by_brand.csv", "report.md", "plots.png", "mistakes.jpg"}
    assert {p.name for p in tmp_path.iterdir()} == names
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures == plain(whole.figures)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for title, table in tables(figures):
        assert f"**{title}**\n\n| {table.columns[0]} |" in text
    with (tmp_path / "figures.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["section"], r["where"], r["figure"]): r for r in csv.DictReader(file)}
    row = rows["top1", f"{POOLED} | vision | all", "top1_kin"]
    assert float(row["value"]) == figures["sections"]["top1"][POOLED]["vision"]["all"]["top1_kin"]
    assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    with (tmp_path / "by_brand.csv").open(encoding="utf-8", newline="") as file:
        taken = {(r["set"], r["brand"]): r["taken_for"] for r in csv.DictReader(file)}
    assert taken[next(n for n in figures["sets"] if n.endswith("more")), "Sony"] == ""


def test_figures_of_sets_whose_names_are_no_text_are_written(recogniser, data, tmp_path):
    """A command or brand with a lone surrogate was an error, after hours of measuring."""
    found = run(recogniser, data[:1], sections=["top1"])
    (name,) = set(found.figures["sections"]["top1"]) - {POOLED}
    by_brand = found.figures["sections"]["top1"][name]["vision"]["by_brand"]
    by_brand["Acme \udcff"] = by_brand.pop("Acme")
    found.figures["command"] = "vision evaluate recognition \udcff"
    write_recognition(found, recogniser.library, tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="ascii"))
    assert figures["command"] == found.figures["command"]
    assert f"{name},vision,Acme \\udcff," in (tmp_path / "by_brand.csv").read_text(encoding="utf-8")


def test_logos_found_later_count_in_folders_with_a_hash_sign(tmp_path):
    """The path was cut at the sign, and the file beside the labels passed over."""
    (folder := tmp_path / "logos #2").mkdir()
    row = {"image": "a.png", "width": 9, "height": 9, "boxes": [{"box": [0, 0, 4, 4], "kind": "logo", "brand": "Acme"}]}
    (folder / "dev.jsonl").write_text(json.dumps(row) + "\n")
    later = {"image": "a.png", "extra": [{"box": [5, 5, 9, 9], "brand": "Sony"}]}
    (folder / "extra_boxes.jsonl").write_text(json.dumps(later) + "\n")
    (truth,) = read_truths(folder / "dev.jsonl")
    assert truth.keys == ("acme", "sony")


def test_the_same_seed_gives_the_same_figures_and_shaken_boxes_others(recogniser, data):
    one = run(recogniser, data[:1], sections=["top1", "fewshot"], jitter=0.15, draws=1)
    again = run(recogniser, data[:1], sections=["top1", "fewshot"], jitter=0.15, draws=1)
    assert plain(one.figures) == plain(again.figures)
    still = run(recogniser, data[:1], sections=["top1"])
    assert (one.crops.embeddings != still.crops.embeddings).any()
    assert one.crops.cut_sides == pytest.approx(still.crops.sides, rel=0.31)


def test_boxes_of_a_detector_that_finds_only_some_are_counted(recogniser, data):
    class Half:
        name, checksum = "half", "0"

        def detect(self, pictures, **_):
            from vision.values import Detections

            boxes = np.array([[18, 38, 70, 90], [0, 0, 30, 30]], np.float32)
            return [Detections(boxes, ("logo", "logo"), np.array([0.9, 0.4], np.float32)) for _ in pictures]

    found = run(recogniser, data[:1], sections=["top1"], detector=Half())
    (counts,) = found.figures["sets"].values()
    assert (counts["crops"], counts["not_found"]) == (20, 10)
    assert counts["held"] == int((~found.crops.missed & found.held).sum()) < 10
    assert set(found.crops.scores[~found.crops.missed].tolist()) == {np.float32(0.9)}


def test_pieces_of_photographs_are_strangers_and_those_claimed_are_shown(recogniser, data, tmp_path):
    random = np.random.default_rng(8)
    (photos := tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(random.integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    (photos / "torn.jpg").write_bytes(b"no picture")
    found = run(recogniser, data[:1], sections=["openset"], photos=photos, splits=1)
    pieces = found.figures["sections"]["openset"]["photo crops"]["vision"]
    assert (pieces["strangers"], pieces["pictures"]) == (8, 4)
    crops, judged = found.alarms["photo crops"]
    assert pieces["strangers_claimed"] == pytest.approx(judged.claimed.mean())
    sides = crops.boxes[:, 2:] - crops.boxes[:, :2]
    assert sides == pytest.approx(48, abs=1e-3)  # as large as the marks
    write_recognition(found, recogniser.library, tmp_path / "out")
    assert (tmp_path / "out" / "alarms.jpg").is_file()
    again = run(recogniser, data[:1], sections=["openset"], photos=photos, splits=1)
    assert plain(again.figures) == plain(found.figures)


def test_sets_without_named_boxes_and_unknown_sections_are_errors(recogniser, data, tmp_path):
    with pytest.raises(UsageError, match="no section 'top2'"):
        run(recogniser, data, sections=["top2"])
    row = {"image": str(data[0].parent / "dev-0.png"), "width": 240, "height": 160, "boxes": []}
    (tmp_path / "none.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no box of these sets names a brand"):
        run(recogniser, [tmp_path / "none.jsonl"])
