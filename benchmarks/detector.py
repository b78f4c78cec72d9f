"""How well the detector finds boxes, by truth file, and how much it reports on photographs without logos.

python benchmarks/detector.py --results DIR TRUTH.jsonl... [--photos FOLDER] [--detector PATH] [--note weights/detector]

Each truth file leaves `DIR/<set>-<split>/results.jsonl`, rows as a scan writes them. `--note` keeps the figures, with the command
that made them, in the card of that model folder and renews the manifest beside it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from vision import weights
from vision.detect import Detector
from vision.evaluate.detector import boxes_a_picture, evaluate_detector

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", nargs="*", type=Path)
    parser.add_argument("--results", type=Path, required=True, help="folder for the rows")
    parser.add_argument("--photos", type=Path, help="folder of photographs that should show no logo")
    parser.add_argument(
        "--skip", type=int, default=0, help="leave out the first N photographs of the training's shuffle"
    )
    parser.add_argument("--detector", type=Path, help="model folder or ONNX export; the shipped one when not given")
    parser.add_argument("--kind", default="logo", choices=["logo", "product"])
    parser.add_argument("--note", type=Path, help="model folder whose card keeps the figures")
    args = parser.parse_args()
    detector = Detector.load(args.detector)
    figures = {}
    for truth in args.truth:
        name = f"{truth.parent.name}-{truth.stem}"
        figures[name] = evaluate_detector(detector, truth, args.results / name, kind=args.kind)
        print(name, json.dumps(figures[name]), flush=True)
    if args.photos:
        from vision.training.draw import folder_pictures

        found = boxes_a_picture(detector, folder_pictures(str(args.photos))[args.skip :], kind=args.kind)
        figures["photos"] = {"score": detector.settings.scores[args.kind]} | found
        print("photos", json.dumps(figures["photos"]))
    if args.note:
        card_path = args.note / "card.json"
        card = json.loads(card_path.read_text(encoding="utf-8"))
        command = shlex.join(["python", "benchmarks/detector.py", *sys.argv[1:]])
        kept = {**card.get("figures", {}), args.kind: {"command": command, **figures}}
        text = json.dumps({**card, "figures": kept}, indent=1, ensure_ascii=False) + "\n"
        weights.write_atomically(card_path, text.encode())
        weights.write_manifest(args.note.parent)


if __name__ == "__main__":
    main()
