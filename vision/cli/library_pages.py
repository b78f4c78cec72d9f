"""`vision library doctor`: what may be wrong with a library, as a page with pictures; nothing is changed."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.library import _action, _print, _progress, _say, _table, _to_read

if TYPE_CHECKING:
    from vision.library import Library
    from vision.library.doctor import Diagnosis, Win
    from vision.values import Pixels

# Boxes of brand-free photos are looked at from this score on, under any operating point: each is a place where a reference may
# win, and a folder of photos has few that pass the detector's own.
ALARM_SCORE = 0.05
EXAMPLES = 3  # crops shown of a reference that won on photos


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the actions of `vision library`."""
    doctor = _action(
        actions,
        "doctor",
        "look for what may be wrong with a library",
        "vision library doctor --library my-brands --photos brand-free --out doctor",
        run_doctor,
    )
    doctor.description = (
        "Look for redundant and mislabelled references, the same artwork under two names, brands easily confused, references "
        "that cause false alarms, and brands with too few. Writes doctor.json, doctor.csv and doctor.html; changes nothing."
    )
    doctor.add_argument(
        "--photos",
        action="append",
        default=[],
        metavar="FOLDER",
        help="photos that show none of the brands, to count false alarms on; may be repeated",
    )
    doctor.add_argument(
        "--out", type=Path, default=Path("library-doctor"), metavar="DIR", help="where the page goes (library-doctor)"
    )
    doctor.add_argument(
        "--embedder", metavar="NAME/TAG", help="the open_clip model that the library was made with (extra train)"
    )


def run_doctor(args: argparse.Namespace) -> int:
    """Examine a library and write what was found."""
    from datetime import UTC, datetime

    from vision.library.doctor import examine
    from vision.report.doctor import write_doctor_page

    library = _to_read(args)
    wins: list[Win] = []
    examples: dict[tuple[str, str | None], list[Pixels]] = {}
    photos = None
    with _progress() as tell:
        if args.photos:
            photos = 0
            for photos, found in enumerate(_wins(library, args.photos), 1):
                tell("photos", photos, photos)
                for win, crop in found:
                    wins.append(win)
                    kept = examples.setdefault((win.brand, win.reference), [])
                    if len(kept) < EXAMPLES:
                        kept.append(crop)
        diagnosis = examine(
            library,
            background=library.embedder.background,
            wins=wins,
            photos=photos,
            today=datetime.now(UTC).date(),
            progress=lambda done, of: tell("references", done, of),
        )
    args.out.mkdir(parents=True, exist_ok=True)
    _write_findings(diagnosis, args.out)
    write_doctor_page(
        diagnosis,
        args.out / "doctor.html",
        references={r.id: r for r in library.all_references()},
        thumbnail=library.thumbnail,
        examples=examples,
    )
    if args.json:
        _say(args, {"out": str(args.out), "photos": photos} | diagnosis.counts(), "")
        return 0
    _print(_summary(diagnosis))
    print(f"page: {args.out / 'doctor.html'}  all findings: {args.out / 'doctor.csv'}")
    return 0


def _wins(library: Library, photos: Sequence[str]) -> Iterator[list[tuple[Win, Pixels]]]:
    """For each photo that can be read what won in each of its boxes, with the crop."""
    import numpy as np

    from vision.embed import Embedder
    from vision.images.find import Finder
    from vision.library.doctor import Win
    from vision.recognise import crop_of
    from vision.scan import Item, Scanner

    embedder = library.embedder
    scanner = Scanner(
        library=library,
        copies=False,
        embedder=embedder if isinstance(embedder, Embedder) else None,
        min_score=ALARM_SCORE,
    )
    items = (Item(found.path, found.file, found.error) for found in Finder(list(photos)))
    for examined in scanner.stream(items, None):
        if examined.picture is None:
            print(f"warning: {examined.result.path} cannot be read", file=sys.stderr)
            continue
        found = []
        for finding in examined.result.findings:
            if finding.candidates:
                best = finding.candidates[0]
                known = finding.verdict == "known"
                win = Win(best.brand, best.reference, best.similarity, best.probability, known)
                found.append((win, crop_of(examined.picture, np.array(finding.box, dtype=np.float32))))
        yield found


def _write_findings(diagnosis: Diagnosis, out: Path) -> None:
    from vision.library.doctor import ROW
    from vision.weights import write_atomically

    write_atomically(
        out / "doctor.json", (json.dumps(diagnosis.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()
    )
    sheet = io.StringIO(newline="")
    table = csv.DictWriter(sheet, ROW)
    table.writeheader()
    table.writerows(diagnosis.rows())
    write_atomically(out / "doctor.csv", sheet.getvalue().encode("utf-8", "backslashreplace"))


def _summary(diagnosis: Diagnosis) -> Any:
    from rich.text import Text

    from vision.report.lettering import printable

    first: dict[str, str] = {}
    for row in diagnosis.rows():
        told = " / ".join(
            part for part in (row["reference"] or row["brand"], row["other_reference"] or row["other_brand"]) if part
        )
        first.setdefault(row["finding"], told)
    spoken = {
        "conflicts": "conflict",
        "names": "names alike",
        "alarms": "false alarms",
        "attractors": "near the background",
        "dated": "expired",
    }
    heading = f"{diagnosis.brands:,} brands, {diagnosis.references:,} references"
    table = _table("finding", "number", "the first", title=heading)
    for kind, number in diagnosis.counts().items():
        if kind == "alarms" and diagnosis.photos is None:
            continue
        name = spoken.get(kind, kind)
        table.add_row("out of date" if kind == "dated" else name, f"{number:,}", Text(printable(first.get(name, ""))))
    return table
