"""Fits the probability of a verdict, and the bar that keeps a false-alarm budget, on boxes that the shipped detector found.

Reliability is measured on brands that the fit did not see (folds by brand); the shipped numbers are fitted on all. Two
calibrations are made: of vision alone, which decides what is read at all and what is said without reading, and of both.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision import weights
from vision.datasets.labelled import read_set
from vision.detect import Detector
from vision.embed import Embedder
from vision.errors import DatasetError, PictureError
from vision.evaluate import metrics
from vision.library import Library
from vision.library.rivals import AmongRivals, among_rivals
from vision.recognise import Recogniser
from vision.text import TextReader
from vision.training.calibration_cases import Case, Gatherer, brand_free_photos
from vision.training.calibration_fit import Answer, answer, cross_validated, fit
from vision.verdict.calibrate import Calibration
from vision.verdict.evidence import FEATURES, contenders, features

log = logging.getLogger(__name__)

LEAST_ALARM = 0.01  # no operating point is lower, so lower ones need not be kept
# A brand gets a bar of its own when more strangers than this are taken for it at the common one.
MOST_WRONG = 1
FEW_PHOTOS = 100  # fewer cannot tell a rate of 1 %

Fitted = tuple[Calibration, Calibration]


def train_calibration(config: dict[str, Any], *, out: Path, resume: bool = False) -> Path:
    """Fit and export `weights/verdict`; the folder with the card.

    config: `labelled` and `brand_free` lists of labelled sets and folders of pictures, `export` folder, `folds`,
    `least_probability` under which nothing is called known, `not_brand_free` file names of photographs that do show a brand,
    `every` k-th photograph to use (the others are left for measuring), `library` and `detector` (the shipped ones), `rivals`
    (true: those that `library` has in a scan), `library_sizes` of the smaller libraries to fit on. resume: nothing is kept
    between runs; it starts again.
    Raises DatasetError when a set is missing or no box of a known brand was found.
    """
    if resume:
        log.info("a calibration takes minutes and keeps no checkpoints: starting again")
    embedder, reader = Embedder.load(config.get("embedder")), TextReader.load()
    named = config.get("library")
    library = Library.open(named, embedder=embedder) if named else Library.default(embedder=embedder)
    # as in a scan
    searched = among_rivals(library) if named and config.get("rivals", True) else library
    detector = Detector.load(config.get("detector"))
    photos = brand_free_photos(config["brand_free"], config.get("not_brand_free", ()), config.get("every", 2))
    gatherer = Gatherer(detector, Recogniser(embedder, searched, reader), config.get("library_sizes", ()))
    labelled = list(gatherer.labelled(p for path in config["labelled"] for p in read_set(Path(path))))
    if not any(case.right is not None and contenders(case.evidence)[case.right].brand in library for case in labelled):
        raise DatasetError("missing", "no labelled box shows a brand of the library")
    found = []
    for path in photos:
        try:
            found.append(gatherer.photo(path))
        except PictureError as error:  # one of thousands, perhaps hours into the job
            log.warning("left out: %s", error)
    if not found:
        raise DatasetError("missing", "none of the brand-free pictures could be read")
    if len(found) < FEW_PHOTOS:
        log.warning("%d brand-free pictures: each weighs much in a budget of false alarms", len(found))
    cases = labelled + [case for cases in found for case in cases]
    folds, least = int(config.get("folds", 5)), float(config.get("least_probability", 0.5))
    held_out = cross_validated(cases, folds)
    alone = cross_validated(cases, folds, text=False)
    fitted = fit(cases, reading=False), fit(cases)
    pictured = [i for i, case in enumerate(cases) if not case.by_name]
    whole = [i for i in pictured if cases[i].brands >= len(searched) - 1]
    named_only = [i for i, case in enumerate(cases) if case.by_name and case.evidence.kind == "logo"]
    own = library if searched is not library else None
    shipped = [cases[i] for i in whole]
    shipped_held_out = [held_out[i] for i in whole]
    out.mkdir(parents=True, exist_ok=True)
    _write_cases(out / "cases.csv", cases, held_out)
    _plot(out / "reliability.png", shipped_held_out)
    export = Path(config["export"])
    export.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / "reliability.png", export / "reliability.png")
    card = {
        "schema": weights.CARD_SCHEMA,
        "name": "verdict",
        "what": "Softmax over similarities and names read, and logistic regression: evidence of a logo box to the probability of "
        "its best brand.",
        "made_with": {
            "detector": detector.checksum,
            "embedder": embedder.checksum,
            "text": reader.checksum,
            "library": library.checksum,
        }
        | ({"rivals": searched.rivals.checksum} if isinstance(searched, AmongRivals) else {}),
        "data": {
            "labelled": list(config["labelled"]),
            "brand_free": list(config["brand_free"]),
            "brand_free_pictures": len(found),
            "library_sizes": sorted({case.brands for case in cases}),
            "boxes": len(cases),
            "known": sum(not c.stranger for c in cases),
            "known_by_name_alone": sum(c.by_name for c in cases),
            "strangers": sum(c.stranger for c in cases),
        },
        "files": {"reliability.png": weights.digest(export / "reliability.png")},
        "calibrations": {"vision": fitted[0].to_card(), "both": fitted[1].to_card()},
        "least_probability": least,
        "alarms": {"pictures": len(found), "highest": _alarms(found, fitted, library, len(searched))},
        "by_brand": _own_bars(shipped, [answer(fitted, c) for c in shipped], least),
        "figures": {
            "command": config.get("command", "python train.py calibration datasets/calibration.yaml"),
            "folds_by_brand": folds,
            **reliability(*_of_own(shipped, shipped_held_out, own), least),
            "vision_alone": reliability(*_of_own(shipped, [alone[i] for i in whole], own), least),
            "read_and_held_by_name_alone": reliability(
                *_of_own([cases[i] for i in named_only], [held_out[i] for i in named_only], own), least
            ),
            "by_library_size": {
                str(size): reliability(*_of_own([cases[i] for i in rows], [held_out[i] for i in rows], own), least)
                for size, rows in _by_size(cases, pictured).items()
            },
        },
        "limits": "Fitted on logos of mostly known brands and on Flickr-like photographs with the shipped library; another "
        "library or other pictures shift the probabilities. Strangers are given the weight that the cases have, two thirds.",
    }
    (export / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    weights.note_shipped(export)
    return export


def reliability(cases: Sequence[Case], answers: Sequence[Answer], least: float) -> dict[str, float | None]:
    """How true the out-of-fold probabilities are; null where there is nothing to tell it from."""
    probabilities = np.array([a.probability for a in answers])
    right = np.array([a.right for a in answers], dtype=bool)
    strangers = np.array([c.stranger for c in cases], dtype=bool)
    claimed = probabilities >= least
    return {
        "ece": _known(metrics.expected_calibration_error(probabilities, right)),
        "brier": _known(metrics.brier_score(probabilities, right)),
        "auroc_right_against_rest": _known(metrics.auroc(probabilities[right], probabilities[~right])),
        "top1_of_known": _share(right[~strangers]),
        "claims_at_least_probability": int(claimed.sum()),
        "precision_at_least_probability": _share(right[claimed]),
        "known_claimed_right_at_least_probability": _share((claimed & right)[~strangers]),
        "strangers_claimed_at_least_probability": _share(claimed[strangers]),
    }


def _of_own(
    cases: Sequence[Case], answers: Sequence[Answer], library: Library | None
) -> tuple[Sequence[Case], Sequence[Answer]]:
    """The cases that may be named or ought to be: a brand of the library is the answer, or the truth. A rival names nothing.

    library: None where there are no rivals.
    """
    if library is None:
        return cases, answers
    kept = [
        (case, given)
        for case, given in zip(cases, answers, strict=True)
        if given.brand in library or (case.right is not None and contenders(case.evidence)[case.right].brand in library)
    ]
    return (
        [case for case, _ in kept],
        [given if given.brand in library else replace(given, probability=0.0) for _, given in kept],
    )


def _share(flags: npt.NDArray[np.bool_]) -> float | None:
    return round(float(flags.mean()), 4) if len(flags) else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def _alarms(found: Sequence[Sequence[Case]], fitted: Fitted, library: Library, size: int) -> list[float]:
    """The best probability of a brand of the library on each brand-free picture, highest first, from `LEAST_ALARM` on.

    size: how many brands compete, none taken out.
    """
    answers = [[answer(fitted, case) for case in cases if case.brands >= size] for cases in found]
    best = [max((a.probability for a in each if a.brand in library), default=0.0) for each in answers]
    return [round(p, 4) for p in sorted(best, reverse=True) if p >= LEAST_ALARM]


def _own_bars(cases: Sequence[Case], answers: Sequence[Answer], least: float) -> dict[str, float]:
    """Bars of brands for which several strangers are taken at the common bar: `MOST_WRONG` of them may pass."""
    wrong: dict[str, list[float]] = defaultdict(list)
    for case, given in zip(cases, answers, strict=True):
        if case.stranger and given.brand is not None and given.probability >= least:
            wrong[given.brand].append(given.probability)
    return {
        brand: round(min(sorted(found, reverse=True)[MOST_WRONG] + 1e-4, 1.0), 4)
        for brand, found in sorted(wrong.items())
        if len(found) > MOST_WRONG
    }


def _by_size(cases: Sequence[Case], chosen: Sequence[int]) -> dict[int, list[int]]:
    """Rows of the chosen cases by size of the library; a brand more or less, the one in question, is the same size."""
    sizes: dict[int, list[int]] = {}
    for row in sorted(chosen, key=lambda i: -cases[i].brands):
        near = next((size for size in sizes if size - cases[row].brands <= 2), cases[row].brands)
        sizes.setdefault(near, []).append(row)
    return {size: sorted(sizes[size]) for size in sorted(sizes)}


def _write_cases(path: Path, cases: Sequence[Case], answers: Sequence[Answer]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*FEATURES, "brands", "by_name", "best", "right", "stranger", "group", "probability"])
        for case, given in zip(cases, answers, strict=True):
            found = contenders(case.evidence)
            best = next((i for i, c in enumerate(found) if c.brand == given.brand), None)
            row: list[float | str] = [""] * len(FEATURES)
            if best is not None:
                numbers = features(case.evidence, found[best], found[:best] + found[best + 1 :])
                row = [round(float(n), 4) for n in numbers]
            truth = given.right, case.stranger, case.group, round(given.probability, 4)
            table.writerow([*row, case.brands, case.by_name, given.brand, *truth])


def _plot(path: Path, answers: Sequence[Answer]) -> None:
    """Reliability diagram: stated probability against the share that was right, with the number of claims."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    right = np.array([a.right for a in answers])
    probabilities = np.array([a.probability for a in answers])
    place = np.clip((probabilities * 10).astype(int), 0, 9)
    filled = [b for b in range(10) if (place == b).any()]
    figure, axes = pyplot.subplots(figsize=(4.5, 4.5))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    stated = [probabilities[place == b].mean() for b in filled]
    true = [right[place == b].mean() for b in filled]
    axes.plot(stated, true, marker="o", color="#14508c")
    for x, y, b in zip(stated, true, filled, strict=True):
        axes.annotate(str(int((place == b).sum())), (x, y), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set(
        xlabel="stated probability",
        ylabel="share right",
        xlim=(0, 1),
        ylim=(0, 1),
        title="Reliability, brands not seen by the fit",
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
