"""How long it takes to make, open, change and search a brand library, by its size, with drawn vectors.

    python benchmarks/library.py --sizes 1000 10000 100000

Each size is a library of 5 references a brand, one vector of 256 numbers each and a picture of 2 kB, in a folder of its own. A
change is timed as a command has it: open the library, write. `disk` is what one brand more adds to the folder, in kB. Medians of
`--repeat` runs, in seconds of processor time and by the clock, which says more on an idle machine; searches are in milliseconds
a crop. Pictures are not embedded: that is the embedder's time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from vision.library import Library, NewBrand, NewReference

DIM = 256
PER_BRAND = 5


@dataclass
class Drawn:
    """Stands for the embedder that made the vectors; it embeds nothing."""

    id: str = "drawn/1"
    checksum: str = "d0"
    dim: int = DIM

    def embed_images(self, images: Any) -> Any:
        raise NotImplementedError

    def embed_texts(self, texts: Any) -> Any:
        raise NotImplementedError


def brands(count: int, seed: int, prefix: str = "Brand") -> list[NewBrand]:
    """Brands whose references lie round a point of their own, as those of real brands do."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        centre = random.normal(size=DIM)
        rows = centre + random.normal(scale=0.6, size=(PER_BRAND, DIM))
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        references = [
            NewReference(row[None], "photo", source=f"file-{i}.jpg", licence="CC0-1.0", thumbnail=random.bytes(2000))
            for i, row in enumerate(rows)
        ]
        made.append(NewBrand(f"{prefix} {number}", references, [f"{prefix} Alias {number}"]))
    return made


def timed(run: Callable[[], Any], repeat: int = 1, scale: float = 1) -> tuple[float, float]:
    """Seconds of processor time and by the clock, medians."""
    cpu, clock = [], []
    for _ in range(repeat):
        start = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - start[0])
        clock.append(time.perf_counter() - start[1])
    return scale * statistics.median(cpu), scale * statistics.median(clock)


def measure(folder: Path, references: int, repeat: int) -> dict[str, Any]:
    drawn = brands(references // PER_BRAND, 1)
    row: dict[str, Any] = {"build": timed(lambda: Library.build(folder, drawn, embedder=Drawn()))}

    def opened() -> Library:
        return Library.open(folder, embedder=Drawn())

    query = np.random.default_rng(5).normal(size=(64, DIM)).astype(np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    new = iter(brands(2 * repeat, 2, "New"))
    names = [(f"Name {i}", (f"Alias N {i}",)) for i in range(1000)]
    numbers = iter(range(repeat))
    row["open"] = timed(opened, repeat)
    row["open, search"] = timed(lambda: opened().search_embeddings(query[:1]), repeat)
    before = size(folder)
    row["open, add 5"] = timed(lambda: opened().extend([next(new)]), repeat)
    disk = (size(folder) - before) / repeat / 1000
    row["open, remove"] = timed(lambda: opened().remove(f"Brand {next(numbers)}"), repeat)
    row["open, add 1000 names"] = timed(lambda: opened().add_names(names))
    row["open, rollback"] = timed(lambda: opened().rollback(2))
    library = opened()
    library.search_embeddings(query[:1])
    row["add 5"] = timed(lambda: library.extend([next(new)]), repeat)
    library.search_embeddings(query[:1])
    row["search 1, ms"] = timed(lambda: library.search_embeddings(query[:1]), 4 * repeat, 1000)
    row["search 64, ms"] = timed(lambda: library.search_embeddings(query), repeat, 1000 / 64)
    row["checksum"] = timed(lambda: library.checksum)
    row["compact"] = timed(lambda: library.compact(keep=1))
    return {"references": references, "disk": disk, "times": row}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="references")
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median is told (5)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    rows = []
    for references in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder) / "library", references, args.repeat))
        print(f"{references} references; {rows[-1]['disk']:.0f} kB for 5 more    processor       clock", flush=True)
        for name, (cpu, clock) in rows[-1]["times"].items():
            print(f"{name:>40}  {cpu:10.3f}  {clock:10.3f}", flush=True)
    if args.json:
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "processor": platform.machine()}
        args.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
