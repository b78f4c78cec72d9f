"""Remakes claims/: python tests/golden/make_claims.py SCORE.PY. Only when the rules of the figures were changed on purpose.

SCORE.PY is the scorer of the project's issues (`../shared/score/score.py`), which is not part of this repository. The answers are
those of its commands brands, calibration and alarms on `claims/results.jsonl` and `claims/dev.jsonl`, unrounded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from vision.values import Finding, Result

FOLDER = Path(__file__).with_name("claims")
BRANDS = ["Brindlow", "Çelik & Co", "Ōto", "Acme", "Nimbus"]
SPELLED = {"Brindlow": "BRINDLOW", "Çelik & Co": "Celik & Co", "Ōto": "Oto"}


def drawn(seed: int = 14, pictures: int = 60):
    """Truth, logos found later, and rows of a scan: right, wrong and unjudged claims, whole pictures, copies of another size."""
    rng = np.random.default_rng(seed)
    truth, again, rows = [], [], []

    def box():
        left, top = rng.uniform(0, 250), rng.uniform(0, 150)
        return [left, top, left + rng.uniform(20, 120), top + rng.uniform(20, 120)]

    def brand():
        return BRANDS[rng.integers(4)]  # the fifth is never labelled

    for number in range(pictures):
        image = f"images/{number % 5}/{number // 5}.jpg" if number != 7 else "images/lonely.jpg"
        boxes = [
            {"box": box(), "kind": "logo", "brand": brand() if rng.random() < 0.85 else None}
            for _ in range(rng.integers(0, 4))
        ]
        want = {"image": image, "width": 400, "height": 300, "boxes": boxes, "exhaustive": bool(rng.random() < 0.3)}
        if not boxes and rng.random() < 0.7:
            want["image_brands"] = [brand()]
        truth.append(want)
        extra = [
            {"box": box(), "brand": brand() if rng.random() < 0.7 else None, "sure": True}
            for _ in range(rng.integers(0, 3))
        ]
        if extra and rng.random() < 0.3:
            extra[-1]["group"] = True
        if number % 3:
            again.append({"image": image, "extra": extra, "tight": []})
        if number == 7:
            continue  # a picture without a row
        scale = 2 if number % 6 == 1 else 1
        findings = []
        for source in [*boxes, *(extra if number % 3 else [])]:
            if rng.random() < 0.75:
                place = np.clip((np.asarray(source["box"]) + rng.normal(0, 6, 4)) * scale, 0, 900).tolist()
                named = source["brand"] if source["brand"] and rng.random() < 0.8 else BRANDS[rng.integers(5)]
                findings.append((place, "logo", named))
        for _ in range(rng.integers(0, 3)):
            kind = ["logo", "product", "image"][rng.integers(3)]
            findings.append(((np.asarray(box()) * scale).tolist(), kind, BRANDS[rng.integers(5)]))
        rows.append(
            Result(
                f"somewhere/dev/{image}",
                "0" * 64,
                400 * scale,
                300 * scale,
                "ok",
                findings=tuple(
                    Finding(
                        kind,
                        tuple(place),
                        0.8,
                        "known" if rng.random() < 0.85 else "unknown",
                        SPELLED.get(named, named) if rng.random() < 0.5 else named,
                        None,
                        float(rng.beta(5, 2)),
                    )
                    for place, kind, named in findings
                ),
            )
        )
    return truth, again, rows


def main() -> None:
    """Write the inputs, then what the scorer says of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scorer", type=Path, metavar="SCORE.PY")
    args = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    truth, again, rows = drawn()
    rows = [row.to_dict() for row in rows]
    for row in rows:
        for finding in row["findings"]:
            if finding["verdict"] != "known":
                finding["brand"] = None
    for name, lines in (("dev", truth), ("extra_boxes", again), ("results", rows)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("score", args.scorer)
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    given = argparse.Namespace(
        results=str(FOLDER / "results.jsonl"), truth=str(FOLDER / "dev.jsonl"), kind="logo", list=None
    )
    answers = {
        "brands": score.score_brands(given),
        "calibration": score.score_calibration(given),
        "alarms": score.score_alarms(given),
    }
    text = json.dumps(answers, indent=1, default=lambda value: np.asarray(value).tolist())
    (FOLDER / "answers.json").write_text(text + "\n", encoding="utf-8")
    json.dump(answers, sys.stdout, indent=1, default=lambda value: np.asarray(value).tolist())


if __name__ == "__main__":
    main()
