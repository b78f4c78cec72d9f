"""Small crops: is a window of a picture found in its source, and in no other picture?

python benchmarks/copies_crops.py FOLDER|SET.jsonl... [--queries N] [--least SIDE] [--most SIDE]

FOLDER: two windows of each picture, at a random place, whose sides are between `least` and `most` of its own. SET.jsonl: the
first two labelled boxes of each picture, with 5 % and with 40 % around them: marks cut out of one photograph must not be found in
others that show the same mark. All pictures are the index; N of the windows are searched as `vision copies search` searches.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vision import geometry
from vision.copies import CopyIndex, Entry, closer, describe, logo_boxes
from vision.datasets.labelled import read_set
from vision.geometry import Boxes
from vision.images import read_picture
from vision.images.find import find_inputs
from vision.values import Picture

# Windows are at least this long a side, in pixels, and no more than this share of their picture.
LEAST_SIDE, MOST_AREA = 48, 0.6
DECODE_SIDE = 1280


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="a folder of photographs, or labelled sets")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--most-pictures", type=int, default=450)
    parser.add_argument("--least", type=float, default=0.3)
    parser.add_argument("--most", type=float, default=0.65)
    args = parser.parse_args()
    random = np.random.default_rng(4)
    windows: list[tuple[str, float, Picture]] = []
    with tempfile.TemporaryDirectory() as folder:
        index = CopyIndex.create(Path(folder) / "index")
        for path, labelled in _pictures(args.data, args.most_pictures, random):
            picture = read_picture(path, reduce_to=DECODE_SIDE)
            index.add_entries([Entry.of(describe(picture), str(path))])
            size = np.array([picture.width, picture.height])
            sides = random.uniform(args.least, args.most, (2, 1)) * size
            corners = random.uniform(0, 1, (2, 2)) * (size - sides)
            boxes = np.hstack([corners, corners + sides]).astype(np.float32) if labelled is None else labelled
            windows += [(str(path), share, cut) for share, cut in _cut(picture, boxes)]
        chosen = [windows[i] for i in random.permutation(len(windows))[: args.queries]]
        asked, found = Counter[str](), Counter[str]()
        others = 0
        for path, share, window in chosen:
            query = closer(window, describe(window))
            sources = {claim.source for claim in index.search_description(query, logos=lambda w=window: logo_boxes(w))}
            name = f"{10 * int(10 * share)} to {10 * int(10 * share) + 10} % of the area"
            asked[name] += 1
            found[name] += path in sources
            others += len(sources - {path})
        print(f"{len(index)} pictures, {len(chosen)} windows")
    for name in sorted(asked):
        print(f"{name:24}{found[name]:5} of {asked[name]}")
    print(f"{'found':24}{sum(found.values()):5} of {len(chosen)}\n{'claims on others':24}{others:5}")


def _pictures(data: list[str], most: int, random: np.random.Generator) -> Iterator[tuple[Path, Boxes | None]]:
    """Each picture, and its labelled boxes with both margins where it is of a set."""
    for given in data:
        if Path(given).is_dir():
            files = [found.file for found in find_inputs([given]) if found.file is not None]
            yield from ((files[i], None) for i in random.permutation(len(files))[:most])
            continue
        for labelled in read_set(Path(given)):
            boxes = np.array([box.box for box in labelled.boxes[:2]], np.float32).reshape(-1, 4)
            padded = [geometry.pad(boxes, margin, labelled.width, labelled.height) for margin in (0.05, 0.4)]
            yield labelled.path, np.concatenate(padded)


def _cut(picture: Picture, boxes: Boxes) -> Iterator[tuple[float, Picture]]:
    """The windows that are large enough and no large part of the picture, each with its share of the area."""
    scale = np.array([picture.pixels.shape[1] / picture.width, picture.pixels.shape[0] / picture.height] * 2)
    for left, top, right, bottom in np.rint(boxes * scale).astype(int):
        pixels = np.ascontiguousarray(picture.pixels[top:bottom, left:right])
        share = pixels.shape[0] * pixels.shape[1] / (picture.pixels.shape[0] * picture.pixels.shape[1])
        if min(pixels.shape[:2]) >= LEAST_SIDE and share < MOST_AREA:
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            yield share, Picture(pixels, pixels.shape[1], pixels.shape[0], digest, "array")


if __name__ == "__main__":
    main()
