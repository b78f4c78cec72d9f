"""How long a picture is searched for among a million described references, and what they take.

python benchmarks/copies_scale.py FOLDER [--references 1000000] [--queries 40]

The pictures of FOLDER are described and repeated, word by word, to as many references, with another hash each time, so that they
pass for different pictures; queries are some of them, cropped and mirrored. Timed on one thread: describing the query closely,
its candidates among all, the exact search of all hashes, and examining what stands out. CPU time, the median.
"""

import argparse
import itertools
import time
from pathlib import Path

import cv2
import numpy as np

from vision.copies import describe
from vision.copies.entries import Entries, entry_rows
from vision.copies.local import Reference
from vision.copies.words import PROBES, SHORTLIST, Run, WordIndex
from vision.images import read_picture
from vision.images.find import Finder


def repeated(run, times, entries):
    """The run with every reference `times` times: numbers run on by `entries`."""
    postings = run.postings.repeat(times)
    postings["entry"] += np.tile(np.arange(times, dtype=np.uint32) * entries, len(run.postings))
    return Run((run.starts.astype(np.int64) * times).astype(np.uint32), postings, 0, entries * times)


def copy_of(picture):
    height, width = picture.pixels.shape[:2]
    cut = picture.pixels[height // 10 : height * 9 // 10, width // 8 :, :][:, ::-1]
    return read_picture(np.ascontiguousarray(cut))


def milliseconds(work, things):
    spent = []
    for thing in things:
        start = time.thread_time()
        work(thing)
        spent.append(1000 * (time.thread_time() - start))
    return float(np.median(spent))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=40)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    files = [f.file for f in itertools.islice(Finder([str(args.folder)]), 1400) if f.file is not None]
    pictures = [read_picture(file, reduce_to=1280) for file in files]
    start = time.thread_time()
    made = [describe(picture) for picture in pictures]
    kept = [d.kept() for d in made]
    each = (time.thread_time() - start) / len(made)
    print(
        f"{len(made)} pictures described: {1 / each:.0f} a core-second, {np.mean([len(k) for k in kept]) / 1000:.1f} kB each"
    )
    references = [Reference.from_bytes(k) for k in kept]
    words = WordIndex()
    for reference in references:
        words.add(reference.features)
    words.seal()
    times = -(-args.references // len(made))
    large = WordIndex()
    large.runs = [repeated(words.runs[0], times, len(made))]
    large._count = len(made) * times
    entries = Entries(lambda number: references[number % len(made)])
    hashes, rows = entry_rows([(d.fingerprint, d.width, d.height, d.sha256) for d in made])
    random = np.random.default_rng(0)
    for number in range(times):
        entries.add(hashes ^ random.integers(0, 256 if number else 1, 32, dtype=np.uint8), rows)
    entries.words = large
    postings = large.runs[0].postings
    print(f"{len(large):,} references, {len(postings):,} postings, {postings.nbytes / 1e9:.2f} GB of words")
    copies = [copy_of(p) for p in pictures[:: max(1, len(pictures) // args.queries)]]
    queries = [describe(copy, close=True) for copy in copies]
    steps = {
        "describe closely": (lambda c: describe(c, close=True), copies),
        "candidates by words": (lambda q: large.candidates(q.local, SHORTLIST, PROBES), queries),
        "exact search of hashes": (lambda q: entries._index.within(q.hashes, 47), queries),
        "all of a search": (entries.find, queries),
    }
    for name, (work, things) in steps.items():
        print(f"  {milliseconds(work, things):7.1f} ms  {name}")
    numbers = range(0, len(made), max(1, len(pictures) // args.queries))
    first = [int(large.candidates(q.local, 1, PROBES).entries[0]) % len(made) for q in queries]
    right = sum(one == number for one, number in zip(first, numbers, strict=True))
    print(f"the source comes first for {right} of {len(queries)} copies")


if __name__ == "__main__":
    main()
