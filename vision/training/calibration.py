"""Fits the probability of a verdict, and the bar that keeps a false-alarm budget, on boxes that the shipped detector found.

Each box of a labelled brand is two cases: with its brand in the library (right when the best candidate is that brand) and with
it taken out (a stranger: whatever is named is wrong). Boxes on no logo at all and those of brand-free photographs are strangers
too. Reliability is measured on brands that the fit did not see (folds by brand); the shipped numbers are fitted on all.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision import geometry, weights
from vision.datasets.labelled import LabelledPicture, read_set
from vision.detect import Detector
from vision.embed import Embedder
from vision.errors import DatasetError
from vision.evaluate import metrics
from vision.images import read_picture
from vision.library import Library
from vision.library.names import canonical, fold
from vision.scan import DECODE_SIDE, NEIGHBORS, crop_of, nearest_background
from vision.values import Detections, Match, Picture
from vision.verdict.calibrate import Calibration
from vision.verdict.evidence import FEATURES, Evidence, features

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Stages = tuple[Detector, Embedder, Library]

# One more than a scan looks at: when the true brand is taken out, the scan's number of rivals is left.
SEARCHED = NEIGHBORS + 1
# A box is its truth's when they overlap this much, and on no logo at all below the other bar; between them nobody knows.
SAME, ELSEWHERE = 0.5, 0.1
LEAST_ALARM = 0.01  # no operating point is lower, so lower ones need not be kept


@dataclass(frozen=True, slots=True)
class Case:
    """One box with its candidates and the truth. right: index of the true brand among the matches, or None.

    stranger: none of the library's brands is there. group: what folds are made of: the true brand, or the picture.
    """

    evidence: Evidence
    right: int | None
    stranger: bool
    group: str


def train_calibration(config: dict[str, Any], *, out: Path, resume: bool = False) -> Path:
    """Fit and export `weights/verdict`; the folder with the card.

    config: `labelled` and `brand_free` lists of jsonl files or folders of pictures, `export` folder, `folds`,
    `least_probability` under which nothing is called known, `not_brand_free` file names of photographs that do show a brand,
    `every` k-th photograph to use (the others are left for measuring). resume: nothing is kept between runs; it starts again.
    Raises DatasetError when a set is missing or no box of a known brand was found.
    """
    if resume:
        log.info("a calibration takes minutes and keeps no checkpoints: starting again")
    embedder = Embedder.load()
    stages: Stages = (Detector.load(config.get("detector")), embedder, Library.default(embedder=embedder))
    labelled = [case for path in config["labelled"] for case in labelled_cases(stages, read_set(Path(path)))]
    if not any(case.right is not None for case in labelled):
        raise DatasetError("missing", "no labelled box shows a brand of the library")
    photos = brand_free_photos(config["brand_free"], config.get("not_brand_free", ()), config.get("every", 2))
    found = [list(photo_cases(stages, path)) for path in photos]
    alarms = [case for cases in found for case in cases]
    cases = labelled + alarms
    folds = int(config.get("folds", 5))
    held_out = cross_validated(cases, folds)
    calibration = fit(cases)
    highest = sorted((max((best_probability(calibration, c) for c in per), default=0.0) for per in found), reverse=True)
    least = float(config.get("least_probability", 0.5))
    figures = reliability(cases, held_out, least)
    out.mkdir(parents=True, exist_ok=True)
    _write_cases(out / "cases.csv", cases, held_out)
    _plot(out / "reliability.png", cases, held_out)
    export = Path(config["export"])
    export.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / "reliability.png", export / "reliability.png")
    card = {
        "schema": weights.CARD_SCHEMA,
        "name": "verdict",
        "what": "Logistic regression and softmax temperature: similarities of a logo box to the probability of its best brand.",
        "made_with": {
            "detector": stages[0].checksum,
            "embedder": stages[1].checksum,
            "library": stages[2].checksum,
        },
        "data": {
            "labelled": list(config["labelled"]),
            "brand_free": list(config["brand_free"]),
            "brand_free_pictures": len(photos),
            "boxes": len(cases),
            "known": sum(not c.stranger for c in cases),
            "strangers": sum(c.stranger for c in cases),
        },
        "calibration": calibration.to_card(),
        "least_probability": least,
        "alarms": {"pictures": len(photos), "highest": [round(p, 4) for p in highest if p >= LEAST_ALARM]},
        "figures": {
            "command": "python train.py calibration datasets/calibration.yaml",
            "folds_by_brand": folds,
            **figures,
        },
        "limits": "Fitted on logos of mostly known brands and on Flickr-like photographs with the shipped library of some "
        "thousand brands; another library or other pictures shift the probabilities. Strangers are given the weight that the "
        "cases have, about half.",
    }
    (export / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    weights.write_manifest(export.parent)
    return export


def labelled_cases(stages: Stages, pictures: Iterable[LabelledPicture]) -> Iterator[Case]:
    """The cases of every found logo whose truth is known; a brand in the library gives two."""
    library = stages[2]
    held = {fold(canonical(brand.name)) for brand in library.brands()}
    for labelled in pictures:
        picture = read_picture(labelled.path, reduce_to=DECODE_SIDE)
        size = np.array([picture.width / labelled.width, picture.height / labelled.height] * 2, dtype=np.float32)
        truth = [b for b in labelled.boxes if b.kind == "logo"]
        boxes = np.array([b.box for b in truth], dtype=np.float32).reshape(-1, 4) * size
        for box, evidence in _evidence(stages, picture):
            overlaps = geometry.iou(box[None], boxes)[0]
            if len(boxes) and overlaps.max() >= SAME:
                brand = truth[int(overlaps.argmax())].brand
                if brand is not None:
                    yield from _brand_cases(evidence, fold(canonical(brand)), held)
            elif labelled.looked_at and _on_no_logo(box, boxes):
                yield Case(_cut(evidence), None, True, labelled.path.name)


def _on_no_logo(box: npt.NDArray[np.float32], boxes: npt.NDArray[np.float32]) -> bool:
    """True when a box touches no labelled one, and is no part of one either."""
    if not len(boxes):
        return True
    part = geometry.intersection(box[None], boxes).max() > 0.5 * geometry.area(box[None])[0]
    return bool(geometry.iou(box[None], boxes).max() < ELSEWHERE and not part)


def _brand_cases(evidence: Evidence, brand: str, held: set[str]) -> Iterator[Case]:
    names = [fold(canonical(m.brand)) for m in evidence.matches]
    if brand in held:
        right = names.index(brand) if brand in names[:NEIGHBORS] else None
        yield Case(_cut(evidence), right, False, brand)
    rivals = [m for m, name in zip(evidence.matches, names, strict=True) if name != brand]
    yield Case(_cut(evidence, rivals), None, True, brand)


def _cut(evidence: Evidence, matches: Sequence[Match] | None = None) -> Evidence:
    kept = (evidence.matches if matches is None else matches)[:NEIGHBORS]
    return Evidence(kept, evidence.background, evidence.short_side, evidence.score)


def photo_cases(stages: Stages, path: Path) -> Iterator[Case]:
    """Every logo found in a photograph that shows no brand: strangers all."""
    for _, evidence in _evidence(stages, read_picture(path, reduce_to=DECODE_SIDE)):
        yield Case(_cut(evidence), None, True, path.name)


def _evidence(stages: Stages, picture: Picture) -> Iterator[tuple[npt.NDArray[np.float32], Evidence]]:
    """The logos that the detector finds in a picture, with what each resembles, as a scan sees them."""
    detector, embedder, library = stages
    found: Detections = detector.detect([picture])[0]
    logos = [i for i in range(len(found)) if found.kinds[i] == "logo"]
    embeddings = embedder.embed_images([crop_of(picture, found.boxes[i]) for i in logos])
    matches = library.search_embeddings(embeddings, k=SEARCHED)
    for i, near, background in zip(logos, matches, nearest_background(embeddings, embedder.background), strict=True):
        box = found.boxes[i]
        yield box, Evidence(near, background, float(min(box[2] - box[0], box[3] - box[1])), float(found.scores[i]))


def brand_free_photos(sources: Sequence[str], left_out: Sequence[str], every: int) -> list[Path]:
    """Each `every`-th picture of the folders, in the order of their names, without those named in `left_out`.

    Raises DatasetError (missing) for a folder without pictures.
    """
    photos: list[Path] = []
    for source in sources:
        names = sorted(p for p in Path(source).iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
        if not names:
            raise DatasetError("missing", "no pictures in this folder", path=source)
        photos += [p for p in names[::every] if p.name not in set(left_out)]
    return photos


def fit(cases: Sequence[Case], ridge: float = 1e-3) -> Calibration:
    """Maximum likelihood over all cases, with a small ridge on the standardised weights.

    A case with its brand among the candidates has the likelihood of that candidate; every other one that of "none of these".
    """
    from scipy.optimize import minimize

    matrix = np.stack([features(c.evidence) for c in cases])
    mean, spread = matrix.mean(axis=0), matrix.std(axis=0) + 1e-9
    scaled = (matrix - mean) / spread
    similarities = np.full((len(cases), NEIGHBORS), -np.inf)
    for row, case in enumerate(cases):
        similarities[row, : len(case.evidence.matches)] = [m.similarity for m in case.evidence.matches]
    right = np.array([-1 if c.right is None else c.right for c in cases])

    def loss(parameters: Floats) -> float:
        recognised = 0.5 * (1 + np.tanh((scaled @ parameters[: len(FEATURES)] + parameters[-2]) / 2))
        raised = np.exp((similarities - similarities.max(axis=1, keepdims=True)) / np.exp(parameters[-1]))
        shares = raised / raised.sum(axis=1, keepdims=True)
        named = recognised * np.take_along_axis(shares, np.maximum(right, 0)[:, None], axis=1)[:, 0]
        likelihood = np.where(right >= 0, named, 1 - recognised)
        penalty = ridge * float((parameters[: len(FEATURES)] ** 2).sum())
        return float(-np.log(np.clip(likelihood, 1e-9, None)).mean() + penalty)

    start = np.zeros(len(FEATURES) + 2)
    start[-1] = np.log(0.1)
    found = minimize(loss, start, method="L-BFGS-B").x
    slopes = found[: len(FEATURES)] / spread
    bias = float(found[-2] - slopes @ mean)
    return Calibration(tuple(round(float(w), 6) for w in slopes), round(bias, 6), round(float(np.exp(found[-1])), 6))


def best_probability(calibration: Calibration, case: Case) -> float:
    """Probability of the best candidate; 0 without any."""
    return float(calibration.probabilities(case.evidence)[0]) if case.evidence.matches else 0.0


def cross_validated(cases: Sequence[Case], folds: int) -> Floats:
    """(n,) best probabilities, each by a fit that saw no case of the same brand or picture."""
    groups = sorted({c.group for c in cases})
    order = np.random.default_rng(0).permutation(len(groups))
    place = {group: int(order[i]) % folds for i, group in enumerate(groups)}
    answers = np.zeros(len(cases))
    for part in range(folds):
        calibration = fit([c for c in cases if place[c.group] != part])
        for i, case in enumerate(cases):
            if place[case.group] == part:
                answers[i] = best_probability(calibration, case)
    return answers


def reliability(cases: Sequence[Case], probabilities: Floats, least: float) -> dict[str, float]:
    """How true the out-of-fold probabilities are."""
    right = np.array([c.right == 0 for c in cases])
    strangers = np.array([c.stranger for c in cases])
    claimed = probabilities >= least
    return {
        "ece": round(metrics.expected_calibration_error(probabilities, right), 4),
        "brier": round(metrics.brier_score(probabilities, right), 4),
        "auroc_right_against_rest": round(metrics.auroc(probabilities[right], probabilities[~right]), 4),
        "top1_of_known": round(float(right[~strangers].mean()), 4),
        "claims_at_least_probability": int(claimed.sum()),
        "precision_at_least_probability": round(float(right[claimed].mean()), 4) if claimed.any() else 0.0,
        "known_claimed_right_at_least_probability": round(float((claimed & right)[~strangers].mean()), 4),
        "strangers_claimed_at_least_probability": round(float(claimed[strangers].mean()), 4),
    }


def _write_cases(path: Path, cases: Sequence[Case], probabilities: Floats) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*FEATURES, "best", "right", "stranger", "group", "probability"])
        for case, probability in zip(cases, probabilities, strict=True):
            best = case.evidence.matches[0].brand if case.evidence.matches else ""
            numbers = [round(float(f), 4) for f in features(case.evidence)]
            table.writerow([*numbers, best, case.right == 0, case.stranger, case.group, round(float(probability), 4)])


def _plot(path: Path, cases: Sequence[Case], probabilities: Floats) -> None:
    """Reliability diagram: stated probability against the share that was right, with the number of claims."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    right = np.array([c.right == 0 for c in cases])
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
