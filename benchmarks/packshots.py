"""Products on white: is the product found, and is it taken for a logo?

python benchmarks/packshots.py SET.jsonl [--detector DIR]

SET: one product on a white ground a picture (`{"image": PATH}` a row). Truth is the box around what stands out from the white;
pictures without such a ground are left out. All at the detector's operating points.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vision import geometry
from vision.detect import Detector
from vision.training.draw import extent_on_white, packshot_pictures

# Overlap (IoU) from which a box is the product's.
SAME = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--detector", type=Path, help="a model folder (the shipped one)")
    args = parser.parse_args()
    detector = Detector.load(args.detector) if args.detector else Detector.load()
    counts = dict.fromkeys(("pictures", "product found", "logos that are the product", "other logos"), 0)
    for pixels in packshot_pictures(str(args.set), None):
        if (truth := extent_on_white(pixels)) is None:
            continue
        found = detector.detect([pixels])[0]
        same = geometry.iou(found.boxes, np.array([truth], np.float32))[:, 0] >= SAME
        logo = np.array([kind == "logo" for kind in found.kinds], bool)
        counts["pictures"] += 1
        counts["product found"] += int((same & ~logo).any())
        counts["logos that are the product"] += int((same & logo).sum())
        counts["other logos"] += int((~same & logo).sum())
    for name, count in counts.items():
        share = "" if name == "pictures" else f"  {count / max(counts['pictures'], 1):.3f} a picture"
        print(f"{name:28}{count:6}{share}")


if __name__ == "__main__":
    main()
