"""An evaluation: what is hit, what is left out, what must not change a figure, and the files that it leaves."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.errors import DatasetError, UsageError
from vision.evaluate.boxes import Judged, ap, as_boxes, best_f1, box_figures, covered, precision_of
from vision.evaluate.truth import EVERY_LOGO, UNBOXED_IGNORED, Target, read_results, read_targets, row_of, see
from vision.report.rows import read_rows, write_row
from vision.values import Detections, Failure, Finding, Result

pytest.importorskip("faster_coco_eval")
pytest.importorskip("matplotlib")
from vision.evaluate.detector import detect_rows, evaluate_detector, set_names, write_evaluation
from vision.evaluate.figures import kind_figures, photo_figures

NOTHING_BOXED = '{"image": "a.png", "width": 9, "height": 9, "boxes": []}\n'


class Fixed:
    """A detector that says the same of every picture."""

    name, checksum, operating_point = "fixed", "0" * 64, 0.5

    def __init__(self, boxes: list[list[float]], scores: list[float], kinds: list[str] | None = None) -> None:
        self.boxes, self.scores = as_boxes(boxes), np.array(scores, np.float32)
        self.kinds = tuple(kinds or ["logo"] * len(boxes))

    def detect(self, images: Any, *, min_score: float | None = None, max_boxes: int = 100) -> list[Detections]:
        kept = self.scores >= (self.operating_point if min_score is None else min_score)
        kinds = tuple(k for k, keep in zip(self.kinds, kept, strict=True) if keep)
        return [Detections(self.boxes[kept], kinds, self.scores[kept]) for _ in images]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(tmp_path / "a.png")
    boxes = [{"box": [10, 10, 50, 50], "kind": "logo"}, {"box": [0, 0, 99, 99], "kind": "product"}]
    row = {"image": "a.png", "width": 100, "height": 50, "boxes": boxes}  # labelled on a copy of half the size
    (tmp_path / "dev.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return tmp_path / "dev.jsonl"


def test_boxes_are_compared_in_the_pixels_of_the_truth(truth: Path, tmp_path: Path) -> None:
    found = Fixed([[20, 20, 100, 100], [150, 0, 190, 40]], [0.9, 0.1])
    figures = evaluate_detector([truth], tmp_path / "out", detector=found, kinds=("logo",)).figures
    (name,) = figures["sets"]
    boxed = figures["sets"][name]["logo"]["boxed"]
    assert (boxed["pictures"], boxed["true_boxes"], boxed["without_result"]) == (1, 1, 0)
    assert boxed["ap50"] == boxed["ap50_95"] == boxed["recall10"] == boxed["precision"] == boxed["recall"] == 1
    assert boxed["false_a_picture"] == 0
    assert figures["operating_point"] == {"logo": 0.5}
    rows = list(read_rows(tmp_path / "out" / name / "results.jsonl"))
    assert [f.score for f in rows[0].findings] == pytest.approx([0.9, 0.1])
    assert rows[0].findings[0].box == (20, 20, 100, 100)
    assert (rows[0].width, rows[0].findings[0].verdict) == (200, "unknown")


def test_a_missed_logo_and_another_kind_count_for_nothing(truth: Path, tmp_path: Path) -> None:
    found = Fixed([[150, 0, 190, 40], [20, 20, 100, 100]], [0.9, 0.8], ["logo", "product"])
    evaluation = evaluate_detector([truth], tmp_path / "out", detector=found)
    write_evaluation(evaluation, tmp_path / "out")
    figures = evaluation.figures["all sets"]
    for kind in ("logo", "product"):
        assert figures[kind]["boxed"]["ap50"] == figures[kind]["boxed"]["recall10"] == 0
        assert figures[kind]["boxed"]["false_a_picture"] == 1
    worst = [json.loads(line) for line in (tmp_path / "out" / "worst.jsonl").read_text().splitlines()]
    assert [(w["kind"], w["image"], len(w["missed"])) for w in worst] == [("logo", "a.png", 1), ("product", "a.png", 1)]
    assert worst[0]["false"] == [{"box": [75.0, 0.0, 95.0, 20.0], "score": 0.9, "why": "elsewhere"}]
    assert worst[0]["missed"] == [{"box": [10.0, 10.0, 50.0, 50.0], "why": "nothing"}]


def test_mistakes_have_their_reasons(truth: Path, tmp_path: Path) -> None:
    boxes = [[20, 20, 100, 96], [20, 22, 100, 98], [30, 30, 50, 50], [60, 20, 140, 98], [150, 0, 190, 40]]
    found = Fixed([*boxes, [0, 0, 198, 99]], [0.9, 0.8, 0.7, 0.6, 0.55, 0.1], ["logo"] * 5 + ["product"])
    mistakes = evaluate_detector([truth], tmp_path / "out", detector=found).figures["mistakes"]
    assert mistakes["logo"] == {"false": {"double": 1, "part": 1, "loose": 1, "elsewhere": 1}, "missed": {}}
    assert mistakes["product"] == {"false": {}, "missed": {"low score": 1}}


def test_rows_of_an_earlier_run_give_its_figures_again(truth: Path, tmp_path: Path) -> None:
    found = Fixed([[20, 20, 100, 100], [150, 0, 190, 40]], [0.7, 0.8])
    evaluation = evaluate_detector([truth], tmp_path / "out", detector=found, score=0.75)
    write_evaluation(evaluation, tmp_path / "out")
    first = evaluation.figures
    again = evaluate_detector([truth], tmp_path / "again", results=tmp_path / "out").figures
    rows = tmp_path / "out" / next(iter(first["sets"])) / "results.jsonl"
    once_more = evaluate_detector([truth], tmp_path / "file", results=rows, score=0.6).figures
    assert again["all sets"]["logo"]["boxed"] == first["all sets"]["logo"]["boxed"]
    assert again["operating_point"]["logo"] == 0.75
    assert (first["all sets"]["logo"]["boxed"]["recall"], once_more["all sets"]["logo"]["boxed"]["recall"]) == (0, 1)
    with (tmp_path / "out" / "figures.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(r["kind"], r["slice"]) for r in table if r["slice"] in ("boxed", "large")] == [
        ("logo", "boxed"),
        ("logo", "large"),
        ("product", "boxed"),
        ("product", "large"),
    ]
    assert (float(table[0]["ap50"]), float(table[0]["score"])) == (0.5, 0.75)
    for name in ("figures.json", "curves.png", "worst.jpg"):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_what_cannot_be_evaluated_is_said_to_be_so(truth: Path, tmp_path: Path) -> None:
    found = Fixed([], [])
    (tmp_path / "a.png").unlink()
    for data in (truth, tmp_path / "none.jsonl"):
        with pytest.raises(DatasetError) as error:
            evaluate_detector([data], tmp_path / "out", detector=found)
        assert error.value.code == "missing"
    with pytest.raises(UsageError):
        evaluate_detector([truth], tmp_path / "out", detector=found, results=tmp_path)
    with pytest.raises(UsageError):
        evaluate_detector([], tmp_path / "out", detector=found)


def test_a_picture_that_cannot_be_read_counts_as_one_with_nothing_found(truth: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    boxed = evaluate_detector([truth], tmp_path / "out", detector=Fixed([], [])).figures["all sets"]["logo"]["boxed"]
    assert (boxed["without_result"], boxed["ap50"], boxed["recall100"]) == (1, 0, 0)


def test_reports_on_photos_are_counted_at_the_operating_point(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "ab":
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / f"{name}.png")
    found = Fixed([[0, 0, 5, 5], [0, 0, 6, 6], [0, 0, 7, 7]], [0.9, 0.6, 0.4], ["logo", "product", "logo"])
    photos = evaluate_detector([], tmp_path / "out", detector=found, photos=folder).figures["photos"]
    logo = photos["logo"]
    assert (logo["pictures"], logo["boxes_a_picture"], logo["share_with_a_box"]) == (2, 1, 1)
    assert {step: boxes for step, boxes, _ in logo["curve"]}[0.3] == 2
    with pytest.raises(DatasetError):
        photo_figures([], "logo", 0.5)


def test_only_rows_of_the_photos_count_as_photos(truth: Path, tmp_path: Path) -> None:
    """One file with the rows of all: those of the set were counted as photographs too."""
    (folder := tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png", "torn.jpg"):
        (folder / name).write_bytes(truth.with_name("a.png").read_bytes() if name != "torn.jpg" else b"none")
    found = Finding("logo", (20.0, 20.0, 100.0, 100.0), 0.9, "unknown", None, None, 0.0)
    rows = [Result(f"{tmp_path.name}/{n}", None, 200, 100, "ok", None, (found,)) for n in ("a.png", "c.png")]
    rows += [Result(f"{tmp_path.name}/photos/{n}.png", None, 200, 100, "ok") for n in "ab"]
    rows += [Result("photos/torn.jpg", None, None, None, "failed", Failure("not_an_image", "no picture"))]
    (tmp_path / "results.jsonl").write_bytes(b"".join(write_row(row) for row in rows))
    given = {"results": tmp_path / "results.jsonl", "kinds": ("logo",), "score": 0.5}
    photos = evaluate_detector([truth], tmp_path / "out", photos=folder, **given).figures["photos"]["logo"]
    assert (photos["pictures"], photos["failed"], photos["boxes_a_picture"]) == (2, 1, 0)
    folder.rename(tmp_path / "other")
    with pytest.raises(DatasetError, match="no rows of the pictures") as caught:
        evaluate_detector([truth], tmp_path / "out", photos=tmp_path / "other", **given)
    assert caught.value.code == "missing"


def test_sets_of_one_name_are_told_apart() -> None:
    given = [Path("a/dev.jsonl"), Path("b/a/dev.jsonl"), Path("b/data.yaml#val"), Path("b/data.yaml#test")]
    assert set_names(given) == ["a-dev", "a-dev-2", "b-data-val", "b-data-test"]
    # a set may be called like the second of another, or like the folder of the photographs
    more = set_names([Path("a/dev-2.csv"), Path("a/dev.jsonl"), Path("b/a/dev.jsonl"), Path("/x/photos#val")])
    assert len({*more, "photos"}) == 5
    assert more[:2] == ["a-dev-2", "a-dev"]


@pytest.mark.parametrize(("rows", "message"), [("", "no pictures"), (NOTHING_BOXED, "nothing is boxed")])
def test_a_set_with_nothing_to_judge_is_an_error(rows: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text(rows)
    with pytest.raises(DatasetError, match=message):
        evaluate_detector([tmp_path / "dev.jsonl"], tmp_path / "out", detector=Fixed([], [], []))


def test_large_pictures_do_not_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.evaluate.detector.HELD", 9 * 9 * 3)
    files = [(str(n), tmp_path / f"{n}.png") for n in range(5)]
    for _, file in files:
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(file)
    found = Fixed([[0, 0, 5, 5]], [0.9], ["logo"])
    together: list[int] = []
    detect = found.detect
    monkeypatch.setattr(found, "detect", lambda images, **more: together.append(len(images)) or detect(images, **more))
    assert [row.path for row in detect_rows(found, files, threads=1)] == list("01234")
    assert together == [2, 2, 1]


def judged() -> Judged:
    boxes = as_boxes([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    true, regions = as_boxes([[40, 0, 50, 10]]), as_boxes([[18, 0, 60, 20]])
    return Judged(boxes, np.array([0.3, 0.9, 0.6]), true, regions)


def test_boxes_on_regions_neither_help_nor_hurt() -> None:
    one = judged()
    assert covered(one.boxes, one.regions).tolist() == [False, True, True]
    assert covered(one.boxes, as_boxes([])).tolist() == [False] * 3
    assert ap([one]) == 0.5
    assert ap([one], lenient=True) == 1
    assert box_figures([one]) == {"ap50": 0.5, "ap50_every": 1, "recall10": 1}


def test_the_best_score_keeps_the_hits_and_drops_the_rest() -> None:
    score, f1 = best_f1([judged()])
    assert 0.3 < score <= 0.6
    assert f1 == 1


def looked_at(folder: Path, extra: dict[str, Any]) -> Path:
    """A picture with one boxed wordmark that was looked at again."""
    boxes = [{"box": [100, 100, 200, 140], "kind": "logo", "brand": "Acme"}]
    row = {"image": "a.png", "width": 400, "height": 300, "boxes": boxes}
    (folder / "dev.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (folder / "extra_boxes.jsonl").write_text(json.dumps({"image": "a.png"} | extra) + "\n", encoding="utf-8")
    return folder / "dev.jsonl"


def one_finding(data: Path, box: tuple[float, float, float, float]) -> dict[str, float]:
    """AP50 in each view when one box is found besides nothing else."""
    (target,) = read_targets(data)
    finding = Finding("logo", box, 0.9, "unknown", None, None, 0.0)
    seen = see(target, Result("x/a.png", None, 400, 300, "ok", None, (finding,)), "logo")
    return {view: precision_of([ranked]) for view, ranked in seen.ranked.items()}


SYMBOL = {"box": [70, 100, 98, 140], "brand": "ACME", "sure": True}


@pytest.mark.parametrize(
    ("box", "boxed", "ignored", "every"),
    [
        ((100, 100, 200, 140), 1, 1, 1),  # the word as its source has it
        ((70, 100, 200, 140), 1, 1, 1),  # the whole lock-up
        ((70, 100, 98, 140), 0, 1, 1),  # its symbol
        ((300, 200, 350, 250), 0, 0, 0),  # nothing there
    ],
)
def test_each_way_to_box_a_lock_up_is_a_hit(
    tmp_path: Path, box: tuple[float, ...], boxed: float, ignored: float, every: float
) -> None:
    found = one_finding(looked_at(tmp_path, {"extra": [SYMBOL]}), box)
    assert found == {"boxed": boxed, UNBOXED_IGNORED: ignored, EVERY_LOGO: every}


def test_a_logo_far_away_is_one_of_its_own_and_an_unsure_one_is_left_out(tmp_path: Path) -> None:
    far, unsure = {**SYMBOL, "box": [300, 10, 340, 40]}, {**SYMBOL, "box": [10, 200, 60, 250], "sure": False}
    data = looked_at(tmp_path, {"extra": [far, unsure]})
    (target,) = read_targets(data)
    views = target.truths["logo"]
    assert [len(views[v].marks) for v in ("boxed", UNBOXED_IGNORED, EVERY_LOGO)] == [1, 1, 2]
    assert [len(views[v].regions) for v in ("boxed", UNBOXED_IGNORED, EVERY_LOGO)] == [0, 2, 1]
    assert list(target.truths["product"]) == ["boxed"]


def test_a_better_box_counts_and_a_double_does_not(tmp_path: Path) -> None:
    tight = looked_at(tmp_path, {"extra": [], "tight": [[0, [100, 100, 400, 140]]]})
    assert one_finding(tight, (110, 100, 400, 140)) == {"boxed": 0, UNBOXED_IGNORED: 1, EVERY_LOGO: 1}
    double = looked_at(tmp_path, {"extra": [], "double": [0]})
    (target,) = read_targets(double)
    assert [len(target.truths["logo"][v].marks) for v in ("boxed", UNBOXED_IGNORED)] == [1, 0]


def test_rows_belong_to_the_picture_whose_path_they_end_with(tmp_path: Path) -> None:
    rows = [Result(f"scan/{f}/a.png", None, 9, 9, "ok") for f in ("other", "images")]
    (tmp_path / "results.jsonl").write_bytes(b"".join(write_row(r) for r in rows))
    label = {"width": 9, "height": 9, "boxes": []}
    names = ("images/a.png", "nowhere/a.png", "images/b.png")
    text = "".join(json.dumps({"image": n, **label}) + "\n" for n in names)
    (tmp_path / "dev.jsonl").write_text(text, encoding="utf-8")
    results = read_results(tmp_path / "results.jsonl")
    found = [row_of(target, results) for target in read_targets(tmp_path / "dev.jsonl")]
    assert [r and r.path for r in found] == ["scan/images/a.png", None, None]


@pytest.mark.parametrize(
    ("image", "rows", "row"),
    [
        ("nike/1.png", ["set/archive/nike/1.png", "set/nike/1.png"], "set/nike/1.png"),  # both end as the image does
        ("nike/1.png", ["set/nike/1.png", "nike/1.png"], "nike/1.png"),
        ("../nike/1.png", ["/data/set/nike/1.png", "/data/nike/1.png"], "/data/nike/1.png"),
        ("pictures/nike/1.png", ["adidas/1.png", "nike/1.png"], "nike/1.png"),
        ("nike/1.png", ["copy/1.png"], "copy/1.png"),  # the only one of that name
        ("nike/1.png", ["adidas/1.png", "puma/1.png"], None),
        ("nike/1.png", ["one/nike/1.png", "other/nike/1.png"], None),
    ],
)
def test_no_picture_is_judged_by_the_row_of_another(image: str, rows: list[str], row: str | None) -> None:
    """The first row whose path ended alike was taken, and else the first with the file name."""
    found = row_of(
        Target(Path("/data/set") / image, image, 9, 9, {}), {"1.png": [Result(r, None, 9, 9, "ok") for r in rows]}
    )
    assert (found and found.path) == row


def test_a_picture_whose_own_row_failed_takes_no_other(tmp_path: Path) -> None:
    failed = Result("set/nike/1.png", None, None, None, "failed", Failure("truncated", "the file ends early"))
    target = Target(tmp_path / "set/nike/1.png", "nike/1.png", 9, 9, {})
    assert row_of(target, {"1.png": [Result("set/puma/1.png", None, 9, 9, "ok"), failed]}) is None


def test_extra_boxes_are_found_in_folders_with_a_hash_sign(tmp_path: Path) -> None:
    """The path was cut at the sign, and the file beside the labels passed over."""
    (folder := tmp_path / "logos #2").mkdir()
    looked_at(folder, {"extra": [SYMBOL]})
    for data in (folder, folder / "dev.jsonl"):
        (target,) = read_targets(data)
        assert list(target.truths["logo"]) == ["boxed", UNBOXED_IGNORED, EVERY_LOGO]


# --- laws over drawn pictures -------------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, pictures: int = 6) -> list[Judged]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(pictures):
        corner = rng.uniform(0, 90, (rng.integers(1, 5), 2))
        true = np.concatenate([corner, corner + rng.uniform(8, 40, corner.shape)], axis=1).astype(np.float32)
        boxes = np.concatenate([true + rng.normal(0, 3, true.shape), rng.permutation(true) + 25]).astype(np.float32)
        scores = rng.choice(10_000, len(boxes), replace=False) / 10_000 + rng.uniform(0, 1e-5)
        made.append(Judged(boxes, scores, true, as_boxes([])))
    return made


@given(seeds)
def test_a_perfect_detector_gets_one(seed: int) -> None:
    perfect = [Judged(p.true, np.linspace(0.9, 0.1, len(p.true)), p.true, p.regions) for p in drawn(seed)]
    assert box_figures(perfect) == {"ap50": 1, "ap50_every": 1, "recall10": 1}
    assert best_f1(perfect)[1] == 1


@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_pictures_changes_nothing(seed: int, random: Any) -> None:
    pictures = drawn(seed)
    shuffled = random.sample(pictures, len(pictures))
    assert ap(shuffled) == pytest.approx(ap(pictures))
    assert best_f1(shuffled) == best_f1(pictures)


@given(seeds)
def test_a_false_box_below_all_others_never_raises_a_figure_and_one_above_never_spares_it(seed: int) -> None:
    pictures = drawn(seed)
    before = ap(pictures)
    for score, most in ((0.0, before), (2.0, before + 1e-9)):
        first = pictures[0]
        boxes = np.concatenate([first.boxes, as_boxes([[500, 500, 510, 510]])])
        worse = Judged(boxes, np.append(first.scores, score), first.true, first.regions)
        after = ap([worse, *pictures[1:]])
        assert after <= most
        assert score == 0 or before == 0 or after < before


@given(seeds)
def test_ignoring_regions_never_lowers_precision(seed: int) -> None:
    pictures = [Judged(p.boxes, p.scores, p.true, p.boxes[-1:]) for p in drawn(seed)]
    assert ap(pictures, lenient=True) >= ap(pictures) - 1e-9


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_views_without_later_boxes_are_those_of_the_source(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 150, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 60, (6, 2))], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        labels = [{"box": b.tolist(), "kind": "logo", "brand": f"{i}"} for i, b in enumerate(boxes[:4])]
        row = {"image": "a.png", "width": 250, "height": 250, "boxes": labels}
        (Path(folder) / "dev.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
        (Path(folder) / "extra_boxes.jsonl").write_text('{"image": "a.png", "extra": []}\n', encoding="utf-8")
        (target,) = read_targets(Path(folder) / "dev.jsonl")
    found = tuple(
        Finding("logo", tuple(b + rng.normal(0, 2, 4)), float(s), "unknown", None, None, 0.0)
        for b, s in zip(boxes, rng.random(6), strict=True)
    )
    figures = kind_figures([see(target, Result("a.png", None, 250, 250, "ok", None, found), "logo")], 0.5)
    for figure in ("ap50", "recall10", "precision", "best_f1"):
        values = [figures[view][figure] for view in ("boxed", UNBOXED_IGNORED, EVERY_LOGO)]
        assert values == pytest.approx([values[0]] * 3, nan_ok=True)
