"""What a small library names with and without the brands of the shipped one as rivals, on pictures that mostly show others.

python benchmarks/rivals.py DEV.jsonl... --references TRAIN.jsonl... --photos FOLDER [--brands 5] [--shots 4] [--draws 4]

A draw takes so many brands that both the references and the sets show, and so many crops of each, larger than 32 pixels, as
references. All pictures of the sets are scanned, and every fourth photograph. A name is right when its picture is labelled so.
"""

import argparse
import random
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vision import Library, Scanner, read_picture
from vision.datasets.labelled import read_set
from vision.recognise import crop_of

LEAST_SIDE = 32
EVERY = 4


def labelled(paths):
    return [picture for path in paths for picture in read_set(Path(path), extra_boxes=False)]


def made(folder, chosen, crops, shots, lots):
    library = Library.create(folder)
    for brand in chosen:
        cut = [
            crop_of(read_picture(path), np.array(box, np.float32))
            for path, box in lots.sample(crops[brand], min(shots, len(crops[brand])))
        ]
        library.add(brand, cut)
    return library


def scanned(scanner, pictures, photos, chosen):
    """Names right and wrong, brands of pictures found and shown, and photographs that carry a name."""
    counts = defaultdict(int)
    results = scanner.scan_many([str(p.path) for p in pictures])
    for picture, result in zip(pictures, tqdm(results, total=len(pictures), leave=False), strict=True):
        shown = {box.brand for box in picture.boxes} & set(chosen)
        named = [f.brand for f in result.findings if f.verdict == "known"]
        counts["right"] += sum(brand in shown for brand in named)
        counts["wrong"] += sum(brand not in shown for brand in named)
        counts["found"] += len(shown & set(named))
        counts["shown"] += len(shown)
    for result in tqdm(scanner.scan_many(map(str, photos)), total=len(photos), leave=False):
        counts["alarms"] += any(f.verdict == "known" for f in result.findings)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--references", nargs="+", required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--brands", type=int, default=5)
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of the first draw")
    args = parser.parse_args()
    pictures = labelled(args.sets)
    photos = sorted(p for p in args.photos.iterdir() if p.suffix == ".jpg")[::EVERY]
    crops = defaultdict(list)
    for picture in labelled(args.references):
        for box in picture.boxes:
            if box.brand and min(box.box[2] - box.box[0], box.box[3] - box.box[1]) >= LEAST_SIDE:
                crops[box.brand].append((picture.path, box.box))
    held = sorted({box.brand for picture in pictures for box in picture.boxes if box.brand} & crops.keys())
    totals = {True: defaultdict(int), False: defaultdict(int)}
    for seed in range(args.seed, args.seed + args.draws):
        lots = random.Random(seed)
        chosen = lots.sample(held, args.brands)
        with tempfile.TemporaryDirectory() as folder:
            library = made(Path(folder) / "own", chosen, crops, args.shots, lots)
            for rivals, total in totals.items():
                counts = scanned(Scanner(library=library, rivals=rivals, copies=False), pictures, photos, chosen)
                print(f"{', '.join(chosen)}; {'with' if rivals else 'without'} rivals: {dict(counts)}", flush=True)
                for name, count in counts.items():
                    total[name] += count
    for rivals, total in totals.items():
        claims = total["right"] + total["wrong"]
        print(
            f"{'with' if rivals else 'without'} rivals: {total['right']} of {claims} names right, {total['found']} of "
            f"{total['shown']} brands found, {total['alarms']} of {args.draws * len(photos)} photographs carry a name"
        )


if __name__ == "__main__":
    main()
