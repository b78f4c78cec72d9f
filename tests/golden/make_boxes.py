"""Remakes boxes/: python tests/golden/make_boxes.py SCORE.PY. Only when the rules of the figures were changed on purpose.

SCORE.PY is the scorer of the project's issues (`../shared/score/score.py`), which is not part of this repository. The answers are
those of `score.py boxes boxes/results.jsonl boxes/dev.jsonl [--kind product]`, unrounded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).with_name("boxes")
BRANDS = ["Brindlow", "Çelik & Co", "Ōto", None]


def drawn(seed: int = 13, pictures: int = 36):
    """Truth, what was found later, and rows of a scan: lock-ups, better boxes, doubles, groups, ties, copies of another size."""
    rng = np.random.default_rng(seed)
    truth, again, rows = [], [], []

    def box(longest=None):
        left, top = rng.uniform(0, 250), rng.uniform(0, 150)
        side = rng.uniform(8, longest or rng.choice([60, 170]), 2)
        return [left, top, left + side[0], top + side[1]]

    def moved(of, by):
        return [float(v) for v in np.asarray(of) + rng.normal(0, by, 4)]

    for number in range(pictures):
        image = f"images/{number % 5}/{number // 5}.jpg" if number != 7 else "images/lonely.jpg"
        boxes = [
            {"box": box(), "kind": "logo" if rng.random() < 0.7 else "product", "brand": BRANDS[rng.integers(4)]}
            for _ in range(rng.integers(0, 6))
        ]
        extra, tight, double = [], [], []
        for index, source in enumerate(boxes):
            _, top, right, bottom = source["box"]
            if source["kind"] != "logo":
                continue
            if rng.random() < 0.35:  # the other half of a lock-up, beside it or too far away
                start = right + rng.uniform(0, 0.6) * (bottom - top)
                extra.append({"box": [start, top, start + 40, bottom], "brand": source["brand"], "sure": True})
            if rng.random() < 0.2:
                tight.append([index, moved(source["box"], 5)])
            elif rng.random() < 0.1:
                double.append(index)
        for _ in range(rng.integers(0, 4)):
            extra.append({"box": box(40), "brand": BRANDS[rng.integers(4)], "sure": bool(rng.random() < 0.7)})
            if rng.random() < 0.2:
                extra[-1]["group"] = True
        truth.append({"image": image, "width": 400, "height": 300, "boxes": boxes, "exhaustive": False})
        if number % 4:
            again.append({"image": image, "extra": extra, "tight": tight, "double": double})
        if number == 7:
            continue  # a picture without a row
        seen = [(b["kind"], b["box"]) for b in boxes] + [("logo", e["box"]) for e in extra]
        found = [(kind, moved(of, rng.uniform(0, 6))) for kind, of in seen if rng.random() < 0.8]
        found += [("logo" if rng.random() < 0.6 else "product", box()) for _ in range(rng.integers(0, 14))]
        scale = 2 if number % 3 == 0 else 1
        findings = [
            {
                "kind": kind,
                "box": [round(v * scale, 2) for v in of],
                "score": round(float(rng.beta(2, 3)), 2),  # two places: many scores are equal
                "verdict": "unknown",
                "brand": None,
                "product": None,
                "probability": 0.0,
                "candidates": [],
                "text": None,
            }
            for kind, of in found
        ]
        findings.sort(key=lambda f: -f["score"])
        failed = number == 11
        rows.append(
            {
                "schema": "vision.result/1",
                "path": f"somewhere/else/{image}",
                "sha256": None,
                "width": None if failed else 400 * scale,
                "height": None if failed else 300 * scale,
                "status": "failed" if failed else "ok",
                "error": {"code": "truncated", "message": "the file ends early"} if failed else None,
                "findings": [] if failed else findings,
                "copies": [],
                "quality": {},
                "fingerprint": None,
                "degraded": [],
            }
        )
    return {"dev": truth, "extra_boxes": again, "results": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("score", type=Path)
    scorer = importlib.util.spec_from_file_location("score", parser.parse_args().score)
    score = importlib.util.module_from_spec(scorer)
    scorer.loader.exec_module(score)
    for name, rows in drawn().items():
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")
    answers = {}
    for kind in ("logo", "product"):
        asked = argparse.Namespace(results=str(FOLDER / "results.jsonl"), truth=str(FOLDER / "dev.jsonl"), kind=kind)
        answers[kind] = score.score_boxes(asked)
    (FOLDER / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    json.dump(answers, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
