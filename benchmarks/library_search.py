"""How fast brands are found in large libraries, and how often the approximate index finds the nearest one.

    python benchmarks/library_search.py --rows 50000 100000 200000 500000 1000000

Rows are drawn, 5 a brand, in two ways: "strangers" lie round points in every direction, the hardest case for an index; "alike"
lie between two rows of the shipped library, as further brands of its kind would. Half of the queries are crops of brands held
(a row moved by 0.9 of its length), half are of brands that are not. One thread; milliseconds a crop, of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from vision.library import Library
from vision.library.faiss_index import APPROXIMATE_FROM, ApproximateIndex, FaissIndex
from vision.library.search import Table

PER_BRAND = 5
BLOCK = 50_000


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def moved(random: np.random.Generator, rows: np.ndarray, by: np.ndarray | float) -> np.ndarray:
    return unit(rows + by * unit(random.normal(size=rows.shape)))


def centres(random: np.random.Generator, count: int, way: str, shipped: np.ndarray) -> np.ndarray:
    if way == "strangers":
        return unit(random.normal(size=(count, shipped.shape[1])))
    one, other = (unit(shipped[random.integers(0, len(shipped), count)]) for _ in range(2))
    share = random.uniform(0.2, 0.8, (count, 1))
    return moved(random, share * one + (1 - share) * other, 0.3)


def drawn(random: np.random.Generator, rows: int, way: str, shipped: np.ndarray) -> np.ndarray:
    held = np.empty((rows, shipped.shape[1]), dtype=np.float16)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        points = np.repeat(centres(random, count // PER_BRAND, way, shipped), PER_BRAND, axis=0)
        held[start : start + count] = moved(random, points, random.uniform(0.2, 0.7, (count, 1)))
    return held


def cost(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    answer = run()
    return answer, time.process_time() - start


def measure(rows: int, way: str, shipped: np.ndarray, queries: int) -> dict[str, Any]:
    random = np.random.default_rng(1)
    held = drawn(random, rows, way, shipped)
    near = moved(random, held[random.integers(0, rows, queries // 2)].astype(np.float32), 0.9)
    far = moved(random, centres(random, queries // 2, way, shipped), 0.9)
    crops = np.concatenate([near, far])
    brand = np.repeat(np.arange(rows // PER_BRAND), PER_BRAND)
    exact, made_exact = cost(lambda: FaissIndex(Table(held.astype(np.float32), brand, np.arange(rows))))
    index, made = cost(lambda: ApproximateIndex(Table(held, brand, np.arange(rows))))
    wanted, slow = cost(lambda: [exact.nearest_brands(crop[None], 5)[0] for crop in crops])
    found, fast = cost(lambda: [index.nearest_brands(crop[None], 5)[0] for crop in crops])
    _, batch = cost(lambda: index.nearest_brands(crops, 5))
    first = [w[0] == f[0] for w, f in zip(wanted, found, strict=True)]
    five = [len(set(w) & set(f)) / 5 for w, f in zip(wanted, found, strict=True)]
    return {
        "rows": rows,
        "way": way,
        "recall@1 held": float(np.mean(first[: len(near)])),
        "recall@1 not held": float(np.mean(first[len(near) :])),
        "recall@5": float(np.mean(five)),
        "exact, ms": 1000 * slow / queries,
        "approximate, ms": 1000 * fast / queries,
        "in batches, ms": 1000 * batch / queries,
        "exact made, s": made_exact,
        "approximate made, s": made,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[50_000, 100_000, 200_000], help="vectors in the library"
    )
    parser.add_argument("--queries", type=int, default=400, help="crops to search (400)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    shipped = Library.default().all_vectors()
    print(f"a library is searched approximately from {APPROXIMATE_FROM} rows on")
    found = []
    for rows in args.rows:
        for way in ("alike", "strangers"):
            found.append(measure(rows, way, shipped, args.queries))
            print(
                "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in found[-1].items()),
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
