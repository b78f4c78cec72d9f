"""How well names are read, and what finding them costs: attacks, labelled boxes, text of photographs, time.

python benchmarks/names.py [--library DIR] [--boxes SET...] [--photos DIR [--every N] [--from N]] [--time] [--json FILE]

Everything is read as a scan reads it: the lines of a crop, then, only where no name is accepted, the crop as one line, then text
round a ring; a claim is a name accepted by text alone. One thread.

attacks (always): drawn names of `vision.evaluate.spelling_attacks`, plain and disguised, right and wrong by kind.
boxes: for each labelled set (any format, `PATH#SPLIT`) the boxes of its source whose brand the library knows, and those whose
brand it does not know, in per cent: best name right (top), claimed and right, claimed and wrong; the same of what fits as well
but is too short or ordinary a name, so that vision has to agree (fits, misfits). Kin ("Google Drive" for Google) is right.
Boxes under 16 pixels high count, but are not read.
photos: text regions, found at 640 pixels, of photographs without logos: how many get a name, and which.
time: milliseconds to make the index and to match a crop of two lines, by number of names.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vision.datasets.labelled import read_set
from vision.evaluate.spelling_attacks import KINDS, draw, find_fonts, spellings
from vision.geometry import crop, pad
from vision.images import read_picture
from vision.library import Library
from vision.library.by_name import NameIndex
from vision.library.names import canonical, fold, is_kin
from vision.text import TextReader
from vision.values import NameMatch, Pixels, TextLine

PADDING = 0.08
LEAST_HEIGHT = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, help="the shipped one when not given")
    parser.add_argument("--boxes", nargs="*", default=[], help="labelled sets")
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--every", type=int, default=1, help="every so manieth photograph")
    parser.add_argument("--from", type=int, default=0, dest="first", help="beginning with this one")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--json", type=Path, help="keep the figures here too")
    args = parser.parse_args()
    library = Library.open(args.library) if args.library else Library.default()
    reader = TextReader.load()
    print(f"{len(library)} brands, {len(library.name_index)} names")
    rows: list[dict[str, Any]] = []
    for each in tables(reader, library, args):
        rows += each
        for row in each:
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def tables(reader: TextReader, library: Library, args: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    yield attacks(reader, library.name_index)
    for path in args.boxes:
        yield boxes(reader, library, path)
    if args.photos:
        chosen = sorted(args.photos.iterdir())[args.first :: args.every]
        yield [photographs(reader, library.name_index, chosen)]
    if args.time:
        yield timings()


def names_in(reader: TextReader, index: NameIndex, pixels: Pixels) -> list[NameMatch]:
    """The names of a crop, best first: those of the first way of reading that has one accepted, else the best of all ways."""
    found: list[NameMatch] = []
    for way in (reader.read, reader.read_whole, reader.read_ring):
        here = index.match(way([pixels])[0])
        if any(m.accepted for m in here):
            return here
        found += here
    return sorted(found, key=lambda m: -m.score)


def claim(found: list[NameMatch]) -> str | None:
    return next((m.brand for m in found if m.accepted), None)


def attacks(reader: TextReader, index: NameIndex) -> list[dict[str, Any]]:
    fonts = find_fonts()
    right, wrong, of = Counter[str](), Counter[str](), Counter[str]()
    for spelling in spellings():
        brand = claim(names_in(reader, index, draw(spelling, fonts)))
        of[spelling.kind] += 1
        right[spelling.kind] += brand is not None and fold(brand) == fold(spelling.brand)
        wrong[spelling.kind] += brand is not None and fold(brand) != fold(spelling.brand)
    of["attacks"], right["attacks"], wrong["attacks"] = (
        sum(counts[kind] for kind in KINDS if kind != "clean") for counts in (of, right, wrong)
    )
    return [
        {"attack": kind, "of": of[kind], "right": right[kind], "wrong": wrong[kind]} for kind in (*KINDS, "attacks")
    ]


def boxes(reader: TextReader, library: Library, path: str) -> list[dict[str, Any]]:
    counts = {True: Counter[str](), False: Counter[str]()}
    spent = 0.0
    for picture in read_set(path, extra_boxes=False):
        wanted = [b for b in picture.boxes if b.brand and not b.ignore]
        if not wanted:
            continue
        pixels = read_picture(picture.path).pixels
        height, width = pixels.shape[:2]
        for box, place in zip(
            wanted, pad(np.array([b.box for b in wanted], np.float32), PADDING, width, height), strict=True
        ):
            brand = canonical(str(box.brand))
            begun = time.process_time()
            high = box.box[3] - box.box[1] >= LEAST_HEIGHT
            found = names_in(reader, library.name_index, crop(pixels, place)) if high else []
            spent += time.process_time() - begun
            tally, claimed = counts[brand in library], claim(found)
            tally["boxes"] += 1
            tally["top"] += bool(found) and is_kin(found[0].brand, brand)
            tally["right"] += claimed is not None and is_kin(claimed, brand)
            tally["wrong"] += claimed is not None and not is_kin(claimed, brand)
            fits = claimed or next((m.brand for m in found if m.score >= 0), None)
            tally["fits"] += fits is not None and is_kin(fits, brand)
            tally["misfits"] += fits is not None and not is_kin(fits, brand)
    total = sum(tally["boxes"] for tally in counts.values())
    return [
        {
            "boxes": path,
            "brand": "known" if known else "unknown",
            "of": tally["boxes"],
            **{
                key: round(100 * tally[key] / tally["boxes"], 1) for key in ("top", "right", "wrong", "fits", "misfits")
            },
            "ms": round(1000 * spent / total, 1),
        }
        for known, tally in counts.items()
        if tally["boxes"]
    ]


def photographs(reader: TextReader, index: NameIndex, paths: list[Path]) -> dict[str, Any]:
    regions, claims = 0, []
    finder = TextReader.load()
    finder.settings = dataclasses.replace(finder.settings, side=640)
    for path in paths:
        pixels = read_picture(path).pixels
        height, width = pixels.shape[:2]
        found = [line.box for line in finder.read([pixels])[0]]
        for place in pad(np.array(found, np.float32).reshape(-1, 4), PADDING, width, height):
            regions += 1
            brand = claim(names_in(reader, index, crop(pixels, place)))
            if brand is not None:
                claims.append(f"{path.name}: {brand}")
    return {"photos": len(paths), "regions": regions, "claims": len(claims), "which": ", ".join(claims)}


def timings() -> list[dict[str, Any]]:
    NameIndex([])  # the words are read once
    random = np.random.default_rng(0)
    parts = ["ba", "ko", "ti", "ra", "son", "mel", "vi", "do", "ex", "lin", "po", "qua"]
    crops = [
        [_line(a, 0), _line(b, 1)]
        for a, b in (("FEDEX", "express delivry"), ("Starbuks", "coffee"), ("open", "24 hours"))
    ]
    rows = []
    for count in (100, 1_000, 5_000, 50_000):
        names = [(str(i), "".join(random.choice(parts, random.integers(2, 5)))) for i in range(count)]
        begun = time.process_time()
        made = NameIndex(names)
        built = time.process_time() - begun
        begun = time.process_time()
        for _ in range(20):
            for lines in crops:
                made.match(lines)
        rows.append(
            {
                "names": count,
                "index_s": round(built, 2),
                "match_ms": round((time.process_time() - begun) / 60 * 1000, 2),
            }
        )
    return rows


def _line(string: str, number: int) -> TextLine:
    """A line as a sure recogniser would read it: two steps a letter."""
    from vision.values import READ_BLANK, READ_CLASSES, READ_OTHER

    columns = [
        c
        for letter in string.lower()
        for c in (READ_BLANK, max(READ_CLASSES.find(letter), 0) if letter != " " else READ_BLANK)
    ]
    steps = np.full((len(columns), READ_OTHER + 1), 0.03 / READ_OTHER, np.float32)
    steps[np.arange(len(columns)), columns] = 0.97
    return TextLine(string, 0.97, (0.0, 50.0 * number, 200.0, 50.0 * number + 40), 40.0 - 10 * number, steps)


if __name__ == "__main__":
    main()
