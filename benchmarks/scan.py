"""A scan against the sum of its kernels alone, on the same pictures, in one run; and memory over the run.

python benchmarks/scan.py FOLDER [--limit 300] [--threads 2]

The floor: reading and decoding, the detector, the embedder on what it finds and on the whole pictures, and what the search for
copies knows of a picture, each called alone over all pictures by as many threads as the scan has. The scan: everything that
`vision scan --text off --no-overlays --no-report` does, rows written; once more with overlays; with `--text auto` against
without; and that once more with `--no-copies`. Prints wall times, their ratios, the share of marks that are read, and the
resident memory after each third of the scan.
"""

import argparse
import itertools
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from vision.copies import ScanIndex, describe
from vision.images import read_picture
from vision.images.find import Finder
from vision.recognise import crop_of
from vision.report.overlay import save_overlay
from vision.report.rows import write_row
from vision.scan import DECODE_SIDE, Item, Scanner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    scanner = Scanner(threads=args.threads, text="off")
    reading = Scanner(
        threads=args.threads, detector=scanner.detector, embedder=scanner.embedder, library=scanner.library, text="auto"
    )
    bare = Scanner(
        threads=args.threads,
        detector=scanner.detector,
        embedder=scanner.embedder,
        library=scanner.library,
        text="auto",
        copies=False,
    )
    found = [f for f in itertools.islice(Finder([args.folder]), args.limit) if f.file is not None]
    files = [f.file for f in found]
    items = [Item(f.path, f.file) for f in found]
    for each in (scanner, reading, bare):
        with closing(ScanIndex()) as seen:
            list(each.stream(items[:16], seen if each.find_copies else None))  # warm
    counts = counted(reading)

    kernels, crops_in_all = floor(scanner, files, args.threads)
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        plain = scan(scanner, items, Path(out), overlays=False, memory=memory)
        full = scan(scanner, items, Path(out), overlays=True, memory=[])
        read = scan(reading, items, Path(out), overlays=False, memory=[])
        blind = scan(bare, items, Path(out), overlays=False, memory=[])
    total = sum(kernels.values())
    print(f"{len(files)} pictures, {crops_in_all} crops, {args.threads} threads, {os.cpu_count()} cores")
    for name, seconds in kernels.items():
        print(f"  {name:10} {1000 * seconds / len(files):7.2f} ms a picture (wall)")
    print(f"kernels      {total:6.2f} s  {len(files) / total:6.1f} pictures/s")
    print(f"scan         {plain:6.2f} s  {len(files) / plain:6.1f} pictures/s  {plain / total:.2f} x the kernels")
    print(f"+ overlays   {full:6.2f} s  {len(files) / full:6.1f} pictures/s  {full / total:.2f} x the kernels")
    print(f"+ text auto  {read:6.2f} s  {len(files) / read:6.1f} pictures/s  {read / plain:.2f} x the scan without")
    print(
        f"  {counts['read']} of {counts['logos']} logos read, {1000 * (read - plain) / max(counts['read'], 1):.0f} ms (wall) each"
    )
    print(f"- copies     {blind:6.2f} s  {len(files) / blind:6.1f} pictures/s; with them {read / blind:.2f} x the time")
    print("memory after each third of the scan: " + ", ".join(f"{m:.0f} MB" for m in memory))


def counted(scanner: Scanner) -> dict[str, int]:
    """Counters of the logos that a scanner looks at and of those that it reads; they grow as it scans."""
    counts = dict.fromkeys(("logos", "read"), 0)
    to_read = scanner.recogniser.to_read

    def counting(place, seen):
        chosen = to_read(place, seen)
        counts["logos"] += place.kind == "logo"
        counts["read"] += chosen
        return chosen

    scanner.recogniser.to_read = counting
    return counts


def floor(scanner: Scanner, files: list[Path], threads: int) -> tuple[dict[str, float], int]:
    """Wall seconds of each kernel alone over all pictures, in chunks so that memory is that of a scan."""
    seconds = dict.fromkeys(("decode", "detector", "embedder", "hash"), 0.0)
    crops_in_all = 0
    with ThreadPoolExecutor(threads) as pool:

        def timed(name, work, things):
            start = time.perf_counter()
            done = list(pool.map(work, things))
            seconds[name] += time.perf_counter() - start
            return done

        for start in range(0, len(files), 64):
            pictures = timed("decode", lambda f: read_picture(f, reduce_to=DECODE_SIDE), files[start : start + 64])
            batches = [pictures[i : i + scanner.batch] for i in range(0, len(pictures), scanner.batch)]
            detections = timed("detector", scanner.detector.detect, batches)
            crops = [
                [crop_of(p, box) for p, d in zip(batch, found, strict=True) for box in d.boxes]
                + [p.pixels for p in batch]
                for batch, found in zip(batches, detections, strict=True)
            ]
            crops_in_all += sum(len(c) for c in crops)
            timed("embedder", scanner.embedder.embed_images, crops)
            timed("hash", describe, pictures)
    return seconds, crops_in_all


def scan(scanner: Scanner, items: list[Item], out: Path, *, overlays: bool, memory: list[float]) -> float:
    """Wall seconds of a whole scan; the peak memory at each third is added to `memory`."""
    start = time.perf_counter()
    with (
        (out / "results.jsonl").open("wb") as rows,
        ThreadPoolExecutor(1) as pool,
        closing(ScanIndex()) as seen,
    ):
        drawn = []
        for number, examined in enumerate(scanner.stream(items, seen if scanner.find_copies else None), 1):
            rows.write(write_row(examined.result))
            if overlays and examined.picture is not None:
                drawn.append(pool.submit(save_overlay, out / f"{number}.jpg", examined.picture.pixels, examined.result))
                if len(drawn) > 16:
                    drawn.pop(0).result()
            if number % max(len(items) // 3, 1) == 0:
                memory.append(resident_megabytes())
    return time.perf_counter() - start


def resident_megabytes() -> float:
    """Memory that this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
