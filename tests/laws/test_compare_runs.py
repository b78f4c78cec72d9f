"""Runs side by side: whatever folder a training or an evaluation leaves, what changed, and differences that are no chance."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vision.errors import DatasetError
from vision.evaluate.tables import Table
from vision.evaluate.truth import Target, Truth, see
from vision.values import Finding, Result

pytest.importorskip("faster_coco_eval")
from vision.evaluate.boxes import as_boxes
from vision.evaluate.compare import compare, paired_interval, read_run, tables


def training(folder: Path, config: dict, *, form: str) -> Path:
    folder.mkdir()
    if form == "run":
        held_out = {"ap50": 0.5, "ap50_every": 0.6, "recall10": 0.8}
        run = {"config": config, "steps": 400, "minutes": 9.5, "chosen_step": 300, "held_out": held_out}
        (folder / "run.json").write_text(json.dumps(run))
    else:
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "metrics.csv").write_text(
            "step,minutes,box_loss,ap50,recall10\n200,4,1.9,.1,.3\n400,8.5,1.7,.25,.55\n"
        )
    return folder


def test_a_run_is_read_from_whatever_its_folder_holds(tmp_path: Path) -> None:
    new = read_run(training(tmp_path / "new", {"rates": {"head": 1}}, form="run"))
    old = read_run(training(tmp_path / "old", {"rates": {"head": 2}}, form="files"))
    assert (new.steps, new.minutes, new.chosen_step, new.held_out["ap50_every"]) == (400, 9.5, 300, 0.6)
    assert (old.steps, old.minutes, old.chosen_step, old.held_out) == (400, 8.5, None, {"ap50": 0.25, "recall10": 0.55})
    assert (new.config, old.config) == ({"rates.head": 1}, {"rates.head": 2})
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DatasetError):
        read_run(tmp_path / "nothing")
    (tmp_path / "old" / "config.json").write_text("{")
    with pytest.raises(DatasetError):
        read_run(tmp_path / "old")


def test_settings_that_differ_from_the_first_run_are_named(tmp_path: Path) -> None:
    first = training(tmp_path / "first", {"size": 416, "rates": {"head": 1}, "seed": 1}, form="files")
    other = training(tmp_path / "other", {"size": 416, "rates": {"head": 2}, "drawn": {"n": 5}}, form="run")
    compared = compare([first, other])
    assert [r["changed"] for r in compared["runs"]] == [
        {},
        {"rates.head": [1, 2], "seed": [1, "not set"], "drawn.n": ["not set", 5]},
    ]
    (runs,) = tables(compared)
    assert runs.rows[1][:4] == ("other", "rates.head 2, seed not set, drawn.n 5", "400", "10")
    assert runs.markdown().splitlines()[2].startswith("| first | – | 400 |")


def pictures(share: float, n: int = 40) -> list:
    """Pictures with one logo each, found in a share of them."""
    truth = {"logo": {"boxed": Truth((as_boxes([[10, 10, 50, 50]]),), as_boxes([]))}}
    seen = []
    for number in range(n):
        target = Target(Path("a"), f"{number}.png", 100, 100, truth)
        left = 10.0 if number < share * n else 70.0
        finding = Finding("logo", (left, 10, left + 40, 50), 0.5 + number / 1000, "unknown", None, None, 0.0)
        seen.append(see(target, Result("a", None, 100, 100, "ok", None, (finding,)), "logo"))
    return seen


@pytest.mark.parametrize("figure", ["ap50", "recall10"])
def test_a_paired_difference_is_told_from_chance(figure: str) -> None:
    low, high = paired_interval(pictures(0.5), pictures(0.9), "boxed", figure)
    assert 0.1 < low < 0.4 < high
    assert paired_interval(pictures(0.5), pictures(0.5), "boxed", figure) == [0, 0]
    down = paired_interval(pictures(0.9), pictures(0.5), "boxed", figure)
    assert np.allclose(down, [-high, -low])


def test_other_pictures_or_views_have_no_paired_difference() -> None:
    assert paired_interval(pictures(0.5), pictures(0.5, 39), "boxed", "ap50") is None
    assert paired_interval(pictures(0.5), pictures(0.9), "every_logo", "ap50") is None


@pytest.mark.parametrize("width", range(30, 120, 7))
def test_a_table_breaks_lines_between_words_wherever_it_can(width: int) -> None:
    table = Table(("set", "AP50"), (("a-set-of-a-name", ".728 (.61–.91)"), ("b", "–")))
    console = Console(width=width, file=io.StringIO())
    console.print(table.rich(width))
    shown = console.file.getvalue()
    assert all(len(line) <= width for line in shown.splitlines())
    assert all(word in shown for word in ("a-set-of-a-name", ".728", "(.61–.91)"))
