"""`vision datasets`: labelled pictures converted, checked, summed up, and drawn by recipe."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.datasets import FORMATS, IMAGES, NAMINGS
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.datasets.check import Report
    from vision.datasets.intake import Fault
    from vision.datasets.labelled import LabelledPicture
    from vision.datasets.reading import LabelledSet

DATA = (
    "a set: jsonl, COCO json, data.yaml, CSV, a folder of one of them or of Pascal VOC; PATH#SPLIT for one split of it"
)
_SHOWN = 20


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `datasets` command."""
    parser = commands.add_parser(
        "datasets",
        help="convert, check, sum up and draw labelled pictures",
        epilog="Example: vision datasets check datasets/samples",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _register_convert(actions)
    _register_check(actions)
    _register_summary(actions)
    _register_split(actions)
    draw = actions.add_parser(
        "draw",
        help="draw pictures by a recipe, with ground truth and a contact sheet",
        description="Draw labelled pictures: images/, truth.jsonl and contact_sheet.jpg. The same seed draws the same pictures. "
        "Needs the extra train.",
        epilog="Example: vision datasets draw datasets/drawn_tiny.yaml --n 20 --out drawn",
    )
    draw.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    draw.add_argument("--n", type=int, default=500, metavar="N", help="how many pictures (500)")
    draw.add_argument("--seed", type=int, default=0, metavar="S", help="which pictures (0)")
    draw.add_argument("--out", type=Path, required=True, metavar="DIR", help="where pictures and truth go")
    draw.set_defaults(run=run_draw)


def _register_convert(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    convert = actions.add_parser(
        "convert",
        help="between COCO, Pascal VOC, YOLO/Roboflow, CSV and jsonl",
        description="Write sets in another format, pictures and all, into a new folder. What is passed over and what the format "
        "cannot hold is counted and told. 1 when labels or pictures were passed over.",
        epilog="Example: vision datasets convert datasets/samples --to yolo --classes kind --out samples-yolo",
    )
    _add_input(convert)
    convert.add_argument("--to", required=True, choices=FORMATS, help="the format to write")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    convert.add_argument(
        "--classes",
        choices=NAMINGS,
        default="label",
        help="what classes are called: as in the source, else by brand and kind (label); logo and product (kind); by brand",
    )
    convert.add_argument(
        "--images",
        choices=IMAGES,
        default="copy",
        help="copy the pictures, link them (hard links), or leave them where they are (copy)",
    )
    convert.set_defaults(run=run_convert)


def _register_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = actions.add_parser(
        "check",
        help="find bad boxes, unreadable pictures, duplicates across splits, odd class names",
        description="Find what is wrong with labelled sets, each by itself and all against each other; near-duplicates by the "
        "search for copies, mirrored and turned ones too. 1 when there are problems; tiny boxes, near-duplicates in one split "
        "and names that are nearly alike are only told.",
        epilog="Example: vision datasets check datasets/samples --out samples-check",
    )
    _add_input(check)
    check.add_argument("--tiny", type=float, default=6, metavar="PX", help="tell boxes with a side under this (6)")
    check.add_argument("--radius", type=int, metavar="BITS", help="Hamming distance of near-duplicates, 0 to 63 (31)")
    check.add_argument(
        "--unseen",
        action="append",
        default=[],
        metavar="SPLIT",
        help='a split whose brands no other split may show; splits with "unseen" in their name always are',
    )
    check.add_argument("--unseen-brands", metavar="FILE", help="a list of brands that only unseen splits may show")
    check.add_argument(
        "--out", type=Path, metavar="DIR", help="findings.jsonl, and near_duplicates.jpg with the pairs side by side"
    )
    check.set_defaults(run=run_check)


def _register_summary(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = actions.add_parser(
        "summary",
        help="pictures, boxes, sizes, aspect ratios, centres; as a table, JSON and one page of plots",
        description="Sum up labelled sets: counts by kind, class and split, sizes, boxes a picture, aspect ratios, centres.",
        epilog="Example: vision datasets summary datasets/samples --out samples-summary",
    )
    _add_input(summary)
    summary.add_argument(
        "--out", type=Path, metavar="DIR", help="summary.json and summary.png (plots need the extra evaluate)"
    )
    summary.set_defaults(run=run_summary)


def _register_split(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    split = actions.add_parser(
        "split",
        help="part sets by brand: no brand, kin or near-duplicate on both sides",
        description="Part labelled pictures into seen.jsonl and unseen_brands.jsonl, so that no brand, nor kin of it "
        "(Google Drive, Google), nor near-duplicate of a picture is on both sides. DIR gets unseen_brands.txt too, for lists of "
        "brands that trainings leave out and for vision evaluate recognition --unseen; left_out.txt says what is on no side.",
        epilog="Example: vision datasets split datasets/samples --share 0.4 --out samples-split",
    )
    _add_input(split)
    split.add_argument(
        "--share", type=float, default=0.3, metavar="S", help="of the brands that are to be unseen (0.3)"
    )
    split.add_argument(
        "--unseen", metavar="FILE", help="a list of the brands that are to be unseen, instead of a share"
    )
    split.add_argument("--seed", type=int, default=0, metavar="S", help="which brands are drawn (0)")
    split.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    split.add_argument(
        "--images",
        choices=IMAGES,
        default="leave",
        help="copy the pictures, link them, or leave them where they are (leave)",
    )
    split.set_defaults(run=run_split)


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="+", metavar="DATA", help=DATA)
    parser.add_argument("--from", dest="format", choices=FORMATS, help="the format of DATA (told apart by itself)")
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FILE.yaml",
        help='what classes mean: {"Coke": {kind: product, brand: Coca-Cola}, "person": drop, "*": logo}',
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first label that makes no sense")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_convert(args: argparse.Namespace) -> int:
    """Convert sets; 1 when something was passed over."""
    from vision.datasets.writing import write_set

    sets = _read(args)
    pictures = _pictures(sets)
    names = list(dict.fromkeys(name for one in sets for name in one.names))
    written = write_set(
        pictures, args.out, args.to, naming=args.classes, images=args.images, names=names, strict=args.strict
    )
    faults = [fault for one in sets for fault in one.faults] + list(written.faults)
    splits = Counter(picture.split or "none" for picture in pictures)
    kinds = Counter(box.kind for picture in pictures for box in picture.boxes)
    if args.json:
        row = {
            "out": str(args.out),
            "format": args.to,
            "read_as": sorted({one.format for one in sets}),
            "pictures": written.pictures,
            "boxes": written.boxes,
            "pictures_by_split": dict(sorted(splits.items())),
            "boxes_by_kind": dict(sorted(kinds.items())),
            "classes": list(written.classes),
            "files": len(written.files),
            "notes": _notes(sets),
            "not_held": dict(written.lost),
            "passed_over": [asdict(fault) for fault in faults],
        }
        print(json.dumps(row))
        return 1 if faults else 0
    _tell_faults(faults)
    for remark, count in _notes(sets).items():
        print(f"note: {remark} ({count})", file=sys.stderr)
    for what, count in written.lost.items():
        print(f"warning: {args.to} cannot hold all: {_shown(what)} ({count})", file=sys.stderr)
    print(
        f"{args.out}: {written.pictures} pictures ({_counts(splits)}), {written.boxes} boxes ({_counts(kinds)}), "
        f"{len(written.classes)} classes, {len(faults)} passed over"
    )
    return 1 if faults else 0


def run_check(args: argparse.Namespace) -> int:
    """Check sets; 1 when there are problems."""
    from vision.datasets.check import check_sets
    from vision.datasets.labelled import read_names

    unseen_brands = read_names(args.unseen_brands)
    out = _new_folder(args.out)
    sets = _read(args)
    report = check_sets(
        sets, tiny=args.tiny, radius=args.radius, unseen=args.unseen, unseen_brands=unseen_brands, progress=_progress()
    )
    if out is not None:
        _write_report(report, out)
    if args.json:
        print(json.dumps(report.to_dict() | {"notes": _notes(sets)}))
    else:
        _print_report(report)
        for remark, count in _notes(sets).items():
            print(f"note: {remark} ({count})")
    return 1 if report.problems else 0


def run_summary(args: argparse.Namespace) -> int:
    """Sum up sets; 1 when labels were passed over."""
    from vision.datasets.summary import plot_summary, summarise_sets

    out = _new_folder(args.out)
    sets = _read(args)
    pictures = _pictures(sets)
    faults = [fault for one in sets for fault in one.faults]
    summary = summarise_sets(pictures) | {"notes": _notes(sets), "passed_over": len(faults)}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
        plot_summary(pictures, out / "summary.png")
    if args.json:
        print(json.dumps(summary))
    else:
        _tell_faults(faults)
        _print_summary(summary)
    return 1 if faults else 0


def run_split(args: argparse.Namespace) -> int:
    """Part sets by brand; 1 when labels or pictures were passed over."""
    from dataclasses import replace

    from vision.datasets.labelled import read_names
    from vision.datasets.split import same_pictures, split_by_brand
    from vision.datasets.writing import write_set

    unseen = read_names(args.unseen)
    out = _new_folder(args.out) or args.out
    sets = _read(args)
    pictures = _pictures(sets)
    tell, done = _progress(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if tell is not None:
            tell(done, len(pictures))

    groups = same_pictures([picture.path for picture in pictures], advance=advance)
    split = split_by_brand(pictures, groups.tolist(), share=args.share, unseen=unseen, seed=args.seed)
    sides = {"seen": split.seen, "unseen_brands": split.unseen}
    parted = [replace(picture, split=name) for name, side in sides.items() for picture in side]
    written = write_set(parted, out, "jsonl", images=args.images)
    (out / "unseen_brands.txt").write_text("".join(f"{name}\n" for name in split.unseen_brands), encoding="utf-8")
    rows = [f"{_shown(str(picture.path))}\t{why}\n" for picture, why in split.left_out]
    (out / "left_out.txt").write_text("".join(rows), encoding="utf-8")
    faults = [fault for one in sets for fault in one.faults] + list(written.faults)
    found = {
        "out": str(out),
        "seen": len(split.seen),
        "unseen": len(split.unseen),
        "unseen_brands": list(split.unseen_brands),
        "left_out": dict(Counter(why for _, why in split.left_out)),
        "passed_over": [asdict(fault) for fault in faults],
    }
    if args.json:
        print(json.dumps(found))
        return 1 if faults else 0
    _tell_faults(faults)
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(w for _, w in split.left_out).items()))
    print(
        f"{out}: {len(split.seen)} pictures of seen brands, {len(split.unseen)} of {len(split.unseen_brands)} unseen ones, "
        f"{len(split.left_out)} left out" + (f" ({why})" if why else "")
    )
    return 1 if faults else 0


def run_draw(args: argparse.Namespace) -> int:
    """Draw a set."""
    from vision.training.config import load_config
    from vision.training.draw import draw_set

    draw_set(load_config(args.recipe, stage="draw"), args.n, args.seed, args.out)
    print(args.out)
    return 0


def _read(args: argparse.Namespace) -> list[LabelledSet]:
    from vision.datasets.classes import read_map
    from vision.datasets.reading import read_any

    meanings = read_map(args.map) if args.map else None
    return [read_any(data, format=args.format, meanings=meanings, strict=args.strict) for data in args.data]


def _pictures(sets: Iterable[LabelledSet]) -> list[LabelledPicture]:
    return [picture for one in sets for picture in one.pictures]


def _notes(sets: Iterable[LabelledSet]) -> dict[str, int]:
    notes: Counter[str] = Counter()
    for one in sets:
        notes.update(one.notes)
    return dict(notes)


def _new_folder(out: Path | None) -> Path | None:
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("bad_option", "not an empty folder", path=str(out), hint="choose another --out")
    return out


def _tell_faults(faults: Sequence[Fault]) -> None:
    for fault in faults[:_SHOWN]:
        where = f": {fault.where}" if fault.where else ""
        print(f"{_shown(fault.path)}{where}: {_shown(fault.message)}", file=sys.stderr)
    if len(faults) > _SHOWN:
        print(f"and {len(faults) - _SHOWN} more; --json lists all", file=sys.stderr)


def _write_report(report: Report, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "findings.jsonl").open("w", encoding="utf-8") as file:
        for row in report.to_dict()["findings"]:
            file.write(json.dumps(row) + "\n")
    if report.pairs:
        from PIL import Image

        from vision.datasets.check import pairs_sheet

        Image.fromarray(pairs_sheet(report.pairs)).save(out / "near_duplicates.jpg", quality=88)


def _print_report(report: Report) -> None:
    from vision.datasets.check import NOTICES, PROBLEMS

    by_what: dict[str, list[str]] = {}
    for finding in report.findings:
        place = " ".join(part for part in (_shown(finding.path), _shown(finding.where)) if part)
        other = f" and {_shown(finding.other)}" if finding.other else ""
        by_what.setdefault(finding.what, []).append(f"{place}{other}: {_shown(finding.message)}")
    print(f"{'pictures':58}{report.pictures:>9}\n{'boxes':58}{report.boxes:>9}")
    for title, kinds in (("problems", PROBLEMS), ("worth a look", NOTICES)):
        print(f"\n{title}")
        for what, words in kinds.items():
            lines = by_what.get(what, [])
            print(f"  {words[:1].upper() + words[1:]:72}{len(lines):>7}")
            for line in lines[:3]:
                print(f"      {line}")
            if len(lines) > 3:
                print(f"      and {len(lines) - 3} more")
    if report.shared_brands:
        print("\nbrands in two splits")
        for pair, count in report.shared_brands.items():
            print(f"  {_shown(pair):72}{count:>7}")
    print(f"\n{report.problems} problems")


def _print_summary(summary: dict[str, Any]) -> None:
    rows = [(name.replace("_", " "), value) for name, value in summary.items() if isinstance(value, int)]
    for name, value in rows:
        print(f"{name:28}{value:>9}")
    for split, found in summary["by_split"].items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in found["boxes_by_kind"].items()) or "no boxes"
        print(f"  {_shown(split):26}{found['pictures']:>9} pictures, {kinds}, {found['brands']} brands")
    for name in ("boxes_a_picture", "size_share", "shorter_side_pixels", "aspect_ratio", "picture_longest_side"):
        values = ", ".join(f"{key} {value:g}" for key, value in summary[name].items() if value is not None)
        print(f"{name.replace('_', ' '):28}{values}")
    print("sizes, square root of the share of the picture")
    ends = [f"{1 / step:g}" for step in summary["size_steps"]]
    print(f"  {'':18}" + "".join(f"{f'1/{a}-1/{b}':>12}" for a, b in pairwise(ends)))
    for kind, counts in summary["sizes"].items():
        print(f"  {kind:18}" + "".join(f"{count:>12}" for count in counts))
    print(f"classes ({len(summary['boxes_by_class'])})")
    for name, count in list(summary["boxes_by_class"].items())[:_SHOWN]:
        print(f"  {_shown(name)[:60]:60}{count:>9}")


def _progress() -> Any:
    """Tells on a terminal how far it is."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"\r{done} of {total} pictures", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return tell


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{_shown(name)} {count}" for name, count in sorted(counts.items())) or "none"


def _shown(text: str) -> str:
    """A name as it can be printed on one line, whatever a stranger put into it."""
    from vision.report.lettering import printable

    return printable(text)
