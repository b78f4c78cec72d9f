"""Hashing and searching against the bare libraries, on the same data, in one run.

python benchmarks/copies.py [FOLDER] [--entries 100000] [--index]

Hashing: `hash_whole` (eight orientations of the picture and of its content, quality, plain ground) against pdqhash on the same
picture, from 640 pixels down and with its own shrinking to 512, once for one orientation and once for eight; and `describe`,
which adds the features of parts. Pictures of FOLDER brought to 640 pixels, or drawn ones. Searching: `Entries` of which only
hashes are known, with checks and claims, against faiss.IndexBinaryFlat alone, eight queries a picture, random hashes among which
each query has a few sources. Times are CPU time of one thread, the median of the repeats, so that a busy machine counts less.
--index also times the index on disk. Searching by parts is measured in `copies_scale.py`.
"""

import argparse
import itertools
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import faiss
import numpy as np
import pdqhash

from vision.copies import CopyIndex, Entry, describe
from vision.copies.entries import Entries, entry_rows
from vision.copies.hashes import hash_whole
from vision.copies.local import no_features
from vision.images import read_picture
from vision.images.find import Finder

SIDE = 640
REPEATS = 5
BATCH = 256


def cpu_ms(work, things):
    """Median over REPEATS of the CPU milliseconds that each thing takes."""
    work(things[0])
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        for thing in things:
            work(thing)
        times.append(1000 * (time.thread_time() - start) / len(things))
    return float(np.median(times))


def drawn(seed):
    random = np.random.default_rng(seed)
    field = random.random((60, 80, 3)).astype(np.float32)
    return (255 * np.clip(cv2.resize(field, (640, 480), interpolation=cv2.INTER_CUBIC), 0, 1)).astype(np.uint8)


def pictures(folder, limit=60):
    if folder is None:
        return [drawn(seed) for seed in range(limit)]
    found = []
    for file in itertools.islice((f.file for f in Finder([folder]) if f.file is not None), limit):
        pixels = read_picture(file).pixels
        scale = SIDE / max(pixels.shape)
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        found.append(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    return found


def shrunk(pixels):
    scale = 512 / max(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def turned_eight(pixels):
    small = shrunk(pixels)
    for flipped in (small, small[:, ::-1], small[::-1], small[::-1, ::-1]):
        pdqhash.compute(np.ascontiguousarray(flipped))
        pdqhash.compute(np.ascontiguousarray(flipped.transpose(1, 0, 2)))


def hashing(folder):
    pixels = pictures(folder)
    given = [read_picture(p) for p in pixels]
    ours = cpu_ms(hash_whole, given)
    print(f"hash_whole: {ours:.2f} ms a picture of {SIDE} px ({len(given)} pictures)")
    print(f"describe: {cpu_ms(describe, given):.2f} ms, with more features for a query:", end=" ")
    print(f"{cpu_ms(lambda p: describe(p, close=True), given):.2f} ms")
    for name, work in {
        "pdqhash, one orientation": pdqhash.compute,
        "pdqhash after shrinking to 512, one orientation": lambda p: pdqhash.compute(shrunk(p)),
        "pdqhash after shrinking to 512, eight by its dihedral": lambda p: pdqhash.compute_dihedral(shrunk(p)),
        "pdqhash after shrinking to 512, eight turned": turned_eight,
    }.items():
        theirs = cpu_ms(work, pixels)
        print(f"  {theirs:6.2f} ms  {name}: hash_whole takes {ours / theirs:.2f} x")


def described_at_random(random, template, hashes):
    fingerprint = replace(template.fingerprint, pdq=hashes[0].tobytes().hex())
    return replace(template, hashes=hashes, fingerprint=fingerprint, local=no_features(), sha256=random.bytes(32).hex())


def searching(entries, on_disk):
    random = np.random.default_rng(0)
    template = describe(read_picture(drawn(0)))
    references = random.integers(0, 256, (entries, 32), dtype=np.uint8)
    queries = []
    for _ in range(100):
        hashes = random.integers(0, 256, (8, 32), dtype=np.uint8)
        for place in random.integers(0, entries, 3):
            references[place] = hashes[random.integers(8)]
        queries.append(described_at_random(random, template, hashes))
    flat = faiss.IndexBinaryFlat(256)
    flat.add(references)
    ours = Entries(lambda _: None)
    described = [described_at_random(random, template, r[None]) for r in references]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    for at in range(0, entries, BATCH):
        ours.add(*entry_rows([(d.fingerprint, d.width, d.height, d.sha256) for d in described[at : at + BATCH]]))
    spent = time.thread_time() - start
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / entries
    print(f"adding: {1e6 * spent / entries:.0f} us and at most {grown:.0f} bytes a hash")
    faiss.omp_set_num_threads(1)
    bare = cpu_ms(lambda d: flat.range_search(d.hashes, 32), queries)
    taken = cpu_ms(ours.find, queries)
    found = sum(bool(ours.find(query)) for query in queries)
    print(f"search of {entries:,}: {taken:.2f} ms a picture in eight orientations ({found} of {len(queries)} found)")
    print(f"  {bare:6.2f} ms  faiss.IndexBinaryFlat.range_search alone: the search takes {taken / bare:.2f} x")
    if on_disk:
        with tempfile.TemporaryDirectory() as folder:
            index = CopyIndex.create(Path(folder) / "index")
            start = time.perf_counter()
            for at in range(0, entries, BATCH):
                index.add_entries(
                    Entry(f"{at + n}", "seller-1", "2026-01-05T10:00:00Z", d.width, d.height, d.sha256, d.fingerprint)
                    for n, d in enumerate(described[at : at + BATCH])
                )
            added = time.perf_counter() - start
            start = time.perf_counter()
            index = CopyIndex.open(index.path)
            opened = time.perf_counter() - start
            size = sum(f.stat().st_size for f in index.path.glob("segment-*"))
            print(
                f"on disk: added {entries / added:,.0f} a second in batches of {BATCH}, opened in {opened:.2f} s (wall), "
                f"{size / entries:.0f} bytes a picture, search {cpu_ms(index.search_description, queries):.2f} ms"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--index", action="store_true", help="also the index on disk")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    hashing(args.folder)
    searching(args.entries, args.index)


if __name__ == "__main__":
    main()
