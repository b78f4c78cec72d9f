"""What a scan claimed, judged against labelled pictures: precision, recall and F1 of brands, calibration, false alarms.

The rules are those of the project's independent scorer. Truth that is not exhaustive boxes only some brands: a `known` finding
that overlaps a labelled box (IoU 0.3) is judged by that box's brand, logos found later among them; elsewhere it is false when it
names a brand that the set labels, and unjudged otherwise. A whole picture or product is right when its brand is in the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision.datasets.jsonl import read_extra_boxes
from vision.datasets.labelled import LabelledPicture, brand_key, read_set
from vision.datasets.reading import split_chosen
from vision.errors import DatasetError
from vision.evaluate import metrics
from vision.evaluate.boxes import as_boxes
from vision.evaluate.recognition.ranking import DRAWS, Figures, share
from vision.evaluate.truth import Target, read_results, row_of
from vision.geometry import iou
from vision.values import Box, Result

OVERLAP = 0.3


@dataclass(frozen=True, slots=True)
class Truth:
    """What one labelled picture shows. boxes with the key of each one's brand (empty: a mark of unknown brand), those found later
    last; labelled: all brands that the source says are in the picture, which are to be found.
    """

    target: Target
    boxes: tuple[Box, ...]
    keys: tuple[str, ...]
    labelled: frozenset[str]
    exhaustive: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class PictureClaims:
    """The claims on one picture.

    found: brands claimed rightly. stated: the probability of each judged claim, and whether it is right.
    """

    right: int
    wrong: int
    unjudged: int
    wanted: frozenset[str]
    found: frozenset[str]
    stated: tuple[tuple[float, bool], ...]


def read_truths(path: Path) -> list[Truth]:
    """The pictures of a set. Raises DatasetError (missing, bad_label, leaking_split)."""
    root, _ = split_chosen(path)
    root = root if root.is_dir() else root.parent
    later = read_extra_boxes(root)
    truths = []
    for picture in read_set(path, extra_boxes=False):
        inside = picture.path.is_relative_to(root)
        image = picture.path.relative_to(root).as_posix() if inside else picture.path.as_posix()
        truths.append(_truth(picture, image, later.get(image, {}).get("extra", [])))
    return truths


def _truth(picture: LabelledPicture, image: str, later: Sequence[Mapping[str, Any]]) -> Truth:
    whole = [brand_key(str(b)) for b in picture.fields.get("image_brands", [])]
    keys = [brand_key(b.brand or "") for b in picture.boxes]
    named = [e for e in later if e.get("brand") and not e.get("group")]
    boxes: list[Box] = [b.box for b in picture.boxes]
    boxes += [_box(e["box"]) for e in named]
    return Truth(
        Target(picture.path, image, picture.width, picture.height, {}),
        tuple(boxes),
        (*keys, *(brand_key(str(e["brand"])) for e in named)),
        frozenset(k for k in (*keys, *whole) if k),
        picture.exhaustive,
        bool(whole),
    )


def _box(values: Sequence[float]) -> Box:
    left, top, right, bottom = values
    return (float(left), float(top), float(right), float(bottom))


def judge_claims(truth: Truth, row: Result | None, universe: frozenset[str]) -> PictureClaims:
    """Judge every `known` finding of a row. universe: keys of all brands that the set labels."""
    right = wrong = unjudged = 0
    stated: list[tuple[float, bool]] = []
    found: set[str] = set()
    if row is not None:
        scale = np.ones(4)
        if row.width and row.height and truth.target.width:
            scale = np.array([truth.target.width / row.width, truth.target.height / row.height] * 2)
        true = as_boxes(truth.boxes)
        for finding in row.findings:
            if finding.verdict != "known":
                continue
            claim = brand_key(finding.brand or "")
            overlaps = (
                iou(as_boxes([[float(v) for v in np.array(finding.box) * scale]]), true)[0]
                if len(true)
                else np.zeros(0)
            )
            here = {truth.keys[j] for j in np.flatnonzero(overlaps >= OVERLAP) if truth.keys[j]}
            if not here and not (claim in universe and (truth.exhaustive or len(true) or truth.whole)):
                unjudged += 1
                continue
            in_picture = claim in truth.labelled
            is_right = claim in here or (not here and not len(true) and in_picture)
            is_right = is_right or (finding.kind in ("image", "product") and in_picture)
            right, wrong = right + is_right, wrong + (not is_right)
            stated.append((float(finding.probability or 0.0), is_right))
            if is_right and in_picture:
                found.add(claim)
    return PictureClaims(right, wrong, unjudged, truth.labelled, frozenset(found), tuple(stated))


def claim_figures(claims: Sequence[PictureClaims]) -> Figures:
    """Precision, recall (by picture and brand) and F1, ECE and Brier score of the judged claims; intervals over pictures."""
    counts = np.array([[c.right, c.wrong, len(c.wanted), len(c.found)] for c in claims], float).reshape(-1, 4)

    def rates(rows: metrics.Rows) -> tuple[float, float, float]:
        right, wrong, wanted, found = counts[rows].sum(axis=0)
        precision, recall = right / max(right + wrong, 1), found / max(wanted, 1)
        return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)

    stated = np.array([s for c in claims for s in c.stated], float).reshape(-1, 2)
    figures: Figures = {
        "pictures": len(claims),
        "judged": int(counts[:, :2].sum()),
        "unjudged": sum(c.unjudged for c in claims),
        "brands_to_find": int(counts[:, 2].sum()),
    }
    for place, name in enumerate(("precision", "recall", "f1")):
        figures[name] = rates(np.arange(len(claims)))[place]
        figures[f"{name}_interval"] = list(
            metrics.bootstrap_interval(lambda rows, place=place: rates(rows)[place], len(claims), draws=DRAWS)  # type: ignore[misc]
        )
    return figures | {
        "ece": metrics.expected_calibration_error(stated[:, 0], stated[:, 1] > 0),
        "brier": metrics.brier_score(stated[:, 0], stated[:, 1]),
        "stated": float(stated[:, 0].mean()) if len(stated) else float("nan"),
        "right": float(stated[:, 1].mean()) if len(stated) else float("nan"),
    }


def evaluate_claims(path: Path, results: Path) -> Figures:
    """The figures of one set, from the rows of a scan. Raises DatasetError (missing, bad_label, bad_row)."""
    truths, rows = read_truths(path), read_results(results)
    universe = frozenset(key for t in truths for key in t.labelled)
    found = [row_of(t.target, rows) for t in truths]
    claims = [judge_claims(t, row, universe) for t, row in zip(truths, found, strict=True)]
    return claim_figures(claims) | {"without_result": sum(row is None for row in found)}


def alarm_figures(rows: Sequence[Result]) -> Figures:
    """Pictures without a brand: the share on which one is claimed, and logos found a picture. Raises DatasetError (missing)."""
    read = [row for row in rows if row.status == "ok"]
    if not read:
        raise DatasetError("missing", "no photo could be read")
    picture = np.arange(len(read))
    known = np.array([any(f.verdict == "known" for f in row.findings) for row in read])
    logos = np.array([sum(f.kind == "logo" for f in row.findings) for row in read], float)
    return {"pictures": len(read)} | share("known", known, picture) | share("logos_a_picture", logos, picture)
