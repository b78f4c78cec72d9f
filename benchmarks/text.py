"""Reading crops against the two networks alone, in one run; and how much of what labelled boxes say is read.

python benchmarks/text.py SET... [--weights DIR] [--side PX] [--limit N] [--json FILE]

SET: labelled pictures with brands (any format, `PATH#SPLIT`); their boxes of logos are read one by one, with 8 % around them.
Milliseconds of one core a crop: what reading takes, what the networks take for the same inputs (the floor), and their ratio; of
rings, only crops that may be rings count. any: share of boxes with a line, exact: with words or two neighbouring lines that fold
to the brand's name, near: to something of which rapidfuzz's ratio with it is at least 80. Brands without a readable mark count.
"""

import argparse
import dataclasses
import itertools
import json
import random
import time
from pathlib import Path

import numpy as np
from rapidfuzz import fuzz

from vision.datasets.labelled import read_set
from vision.geometry import crop, pad
from vision.images import read_picture
from vision.library.by_name import reading_key
from vision.text import TextReader
from vision.text.reader import may_be_ring

MARGIN = 0.08


class Timed:
    """An onnxruntime session that counts the processor time of its runs."""

    def __init__(self, session):
        self.session, self.seconds = session, 0.0

    def get_inputs(self):
        return self.session.get_inputs()

    def run(self, names, feeds):
        start = time.process_time()
        outputs = self.session.run(names, feeds)
        self.seconds += time.process_time() - start
        return outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--weights", type=Path, help="model folder (the shipped one)")
    parser.add_argument("--side", type=int, help="longest side of the detector's input, a multiple of 32")
    parser.add_argument("--limit", type=int, default=150, help="boxes of each set, drawn by lot")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    reader = TextReader.load(args.weights, device="cpu")
    if args.side:
        reader.settings = dataclasses.replace(reader.settings, side=args.side)
    parts = Timed(reader._detector), Timed(reader._recogniser)
    reader._detector, reader._recogniser = parts
    boxes = [one for path in args.sets for one in crops_of(path, args.limit)]
    crops = [pixels for pixels, _ in boxes]
    keys = [reading_key(brand) for _, brand in boxes]
    figures = {"boxes": len(boxes), "side": reader.settings.side}
    for name, way in (("read", reader.read), ("whole", reader.read_whole), ("ring", reader.read_ring)):
        way(crops[:8])  # warm
        for part in parts:
            part.seconds = 0.0
        start = time.process_time()
        found = [way([pixels])[0] for pixels in crops]
        seconds = time.process_time() - start
        asked = len(crops) if name != "ring" else max(1, sum(may_be_ring(pixels) for pixels in crops))
        floor = sum(part.seconds for part in parts)
        fits = [best_ratio(key, texts(lines)) for key, lines in zip(keys, found, strict=True)]
        figures[name] = {
            "crops": asked,
            "ms": 1000 * seconds / asked,
            "floor_ms": 1000 * floor / asked,
            "ratio": seconds / floor if floor else 0.0,
            "lines": sum(map(len, found)) / asked,
            "any": sum(map(bool, found)) / asked,
            "exact": float(np.mean(np.array(fits) == 100)),
            "near": float(np.mean(np.array(fits) >= 80)),
        }
        print(
            f"{name:6} {asked:5} crops {1000 * seconds / asked:6.1f} ms  networks {1000 * floor / asked:6.1f} ms  "
            f"ratio {figures[name]['ratio']:.2f}  lines {figures[name]['lines']:.2f}  any {figures[name]['any']:.3f}  "
            f"exact {figures[name]['exact']:.3f}  near {figures[name]['near']:.3f}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def crops_of(path, limit):
    """(pixels, brand) of the labelled logos of a set, at most so many, the same every time."""
    labelled = [
        (picture.path, box.box, box.brand)
        for picture in read_set(path, extra_boxes=False)
        for box in picture.boxes
        if box.kind == "logo" and box.brand and reading_key(box.brand)
    ]
    found = []
    for file, box, brand in random.Random(0).sample(labelled, min(limit, len(labelled))):
        pixels = read_picture(file).pixels
        grown = pad(np.array([box], np.float32), MARGIN, pixels.shape[1], pixels.shape[0])[0]
        found.append((np.ascontiguousarray(crop(pixels, grown)), brand))
    return found


def texts(lines) -> set[str]:
    """Folded runs of one to four words of a line, and neighbouring lines joined."""
    found = set()
    for line in lines:
        words = line.string.split()
        found |= {reading_key("".join(words[i:j])) for i in range(len(words)) for j in range(i + 1, i + 5)}
    return found | {reading_key(a.string + b.string) for a, b in itertools.pairwise(lines)}


def best_ratio(key: str, candidates: set[str]) -> float:
    return max((fuzz.ratio(key, text) for text in candidates), default=0.0)


if __name__ == "__main__":
    main()
