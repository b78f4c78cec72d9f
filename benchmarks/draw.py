"""Pictures a second that the data engine draws on one core, all ingredients together and each alone.

python benchmarks/draw.py [RECIPE] [--n 120] [--side 640]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import yaml

from vision.training.draw import draw_scene, load_stock


def timed(stock: Any, n: int) -> dict[str, float]:
    """Pictures a second by CPU time and by the clock, over the seeds 0 to n - 1."""
    draw_scene(stock, n)
    cpu, clock = time.process_time(), time.perf_counter()
    boxes = sum(len(draw_scene(stock, seed).boxes) for seed in range(n))
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return {"per_cpu_second": round(n / cpu, 1), "per_second": round(n / clock, 1), "boxes": round(boxes / n, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="datasets/drawn_detector.yaml", type=Path)
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--side", type=int, default=640, help="longest side of every picture")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    recipe = yaml.safe_load(args.recipe.read_text(encoding="utf-8")) | {"longest": [args.side, args.side + 1]}
    start = time.perf_counter()
    stock = load_stock(recipe)
    print(json.dumps({"load_seconds": round(time.perf_counter() - start, 1)}))
    print(json.dumps({"ingredient": "all", "side": args.side} | timed(stock, args.n)))
    for name in stock.weights:
        alone = replace(stock, weights={name: 1.0})
        print(json.dumps({"ingredient": name, "side": args.side} | timed(alone, args.n // 2)))


if __name__ == "__main__":
    main()
