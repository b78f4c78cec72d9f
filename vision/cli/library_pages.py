"""`vision library doctor` and `vision library suggest`: what may be wrong with a library, and what may join it, on pages.

The doctor changes nothing. `suggest` proposes crops of a run; what a person decides on its page is applied with `--apply`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.library_common import action, count, progress, results_file, say, show, to_read, to_write
from vision.errors import DatasetError, PictureError, UsageError

if TYPE_CHECKING:
    from vision.library import Library
    from vision.library.decisions import Decision
    from vision.library.doctor import Diagnosis, Win
    from vision.library.suggestions import Seen, Sight
    from vision.values import Box, Pixels

SUGGESTIONS = "vision.suggestions/1"
CROP_SIDE = 132  # pixels of a crop on the page
# Boxes of brand-free photos are looked at from this score on, under any operating point: each is a place where a reference may
# win, and a folder of photos has few that pass the detector's own.
ALARM_SCORE = 0.05
EXAMPLES = 3  # crops shown of a reference that won on photos


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the actions of `vision library`."""
    doctor = action(
        actions,
        "doctor",
        "look for what may be wrong with a library",
        "vision library doctor --library my-brands --photos brand-free --out doctor",
        run_doctor,
    )
    doctor.description = (
        "Look for redundant and mislabelled references, the same artwork under two names, brands easily confused, references "
        "that win on brand-free photos, and brands with too few. Writes doctor.json, doctor.csv and doctor.html; changes nothing."
    )
    doctor.add_argument(
        "--photos",
        action="append",
        default=[],
        metavar="FOLDER",
        help="photos that show none of the brands, to count wins on; may be repeated",
    )
    doctor.add_argument(
        "--out", type=Path, default=Path("library-doctor"), metavar="DIR", help="where the page goes (library-doctor)"
    )
    doctor.add_argument(
        "--embedder", metavar="NAME/TAG", help="the open_clip model that the library was made with (extra train)"
    )

    suggest = action(
        actions,
        "suggest",
        "propose crops of a scan as new references",
        "vision library suggest vision-out/results.jsonl --library my-brands --out suggested",
        run_suggest,
    )
    suggest.description = (
        "Propose crops of a scan as new references: near a brand but not named, or its name was read and no reference looks like "
        "it; and marks of no brand that come again, to be named. Writes suggest.html, where a person accepts and refuses, and "
        "suggestions.json. The page's decisions.json is applied with --apply; what is decided is not proposed again."
    )
    suggest.add_argument(
        "results", nargs="*", type=Path, metavar="RESULTS.jsonl", help="rows of scans with this library"
    )
    suggest.add_argument(
        "--out", type=Path, default=Path("library-suggest"), metavar="DIR", help="where the page goes (library-suggest)"
    )
    suggest.add_argument(
        "--pictures",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="look for the pictures in this folder too, when they moved; may be repeated",
    )
    suggest.add_argument(
        "--apply", type=Path, metavar="decisions.json", help="add what was accepted, remember what was refused"
    )
    suggest.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="ID[=BRAND]",
        help="accept a proposal of --out, under another name if one is given; may be repeated",
    )
    suggest.add_argument(
        "--refuse", action="append", default=[], metavar="ID", help="refuse a proposal of --out; may be repeated"
    )
    suggest.add_argument(
        "--embedder", metavar="NAME/TAG", help="the open_clip model that the library was made with (extra train)"
    )


def run_doctor(args: argparse.Namespace) -> int:
    """Examine a library and write what was found."""
    from vision.library.doctor import examine
    from vision.report.doctor import TILE, write_doctor_page
    from vision.report.sheet import fit

    library = to_read(args)
    wins: list[Win] = []
    examples: dict[tuple[str, str | None], list[Pixels]] = {}
    photos = None
    with progress() as tell:
        if args.photos:
            photos = 0
            for photos, found in enumerate(_wins(library, args.photos), 1):
                tell("photos", photos, photos)
                for win, crop in found:
                    wins.append(win)
                    kept = examples.setdefault((win.brand, win.reference), [])
                    if len(kept) < EXAMPLES:
                        # a copy: a crop is a part of its picture, and would keep all of it
                        kept.append(fit(crop, TILE, enlarge=False).copy())
            if not photos:
                raise DatasetError("missing", "none of the photos could be read", path=" ".join(args.photos))
        diagnosis = examine(
            library,
            background=library.embedder.background,
            wins=wins,
            photos=photos,
            today=library.on,
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
        say(args, {"out": str(args.out), "photos": photos} | diagnosis.counts(), "")
        return 0
    heading = f"{diagnosis.brands:,} brands, {diagnosis.references:,} references"
    show(heading, ("finding", "number", "the first"), _summary(diagnosis))
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
        rivals=False,
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
    from vision.files import write_atomically
    from vision.library.doctor import ROW
    from vision.report.rows import as_cell

    _write_json(out / "doctor.json", diagnosis.to_dict())
    sheet = io.StringIO(newline="")
    table = csv.DictWriter(sheet, ROW)
    table.writeheader()
    table.writerows({name: as_cell(value) for name, value in row.items()} for row in diagnosis.rows())
    write_atomically(out / "doctor.csv", sheet.getvalue().encode("utf-8", "backslashreplace"))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from vision.files import write_atomically

    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def _summary(diagnosis: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """What was found, how often, and the first of it."""
    first: dict[str, str] = {}
    for row in diagnosis.rows():
        told = " / ".join(
            part for part in (row["reference"] or row["brand"], row["other_reference"] or row["other_brand"]) if part
        )
        first.setdefault(row["finding"], told)
    spoken = {
        "conflicts": "conflict",
        "names": "names alike",
        "alarms": "wins on photos",
        "attractors": "near the background",
        "dated": "expired",
    }
    for kind, number in diagnosis.counts().items():
        if kind == "alarms" and diagnosis.photos is None:
            continue
        name = spoken.get(kind, kind)
        yield "out of date" if kind == "dated" else name, f"{number:,}", first.get(name, "")


# --- suggest ---


def run_suggest(args: argparse.Namespace) -> int:
    """Propose crops of results, or apply decisions on them. 1 when accepted pictures could not be read again."""
    deciding = args.apply is not None or args.accept or args.refuse
    if bool(args.results) == bool(deciding):
        raise UsageError(
            "bad_option",
            "give results to propose crops of, or decisions",
            hint="vision library suggest vision-out/results.jsonl, then --apply decisions.json",
        )
    return _apply(args) if deciding else _propose(args)


def _propose(args: argparse.Namespace) -> int:
    from vision.library.decisions import Decisions
    from vision.library.suggestions import Gathering, propose
    from vision.report.rows import read_rows
    from vision.report.suggest import write_suggest_page

    library = to_read(args)
    decisions = Decisions.read(library.path)
    gathering = Gathering(library, decisions)
    with progress() as tell:
        results = [results_file(given) for given in args.results]
        for path in results:
            for result in read_rows(path):
                gathering.add(result)
        seen, missing = _seen(library, gathering.chosen(), _Places(results, args.pictures), tell)
        proposal = propose(seen, library, decisions=decisions)
    brands = sum(group.brand is not None for group in proposal.groups)
    counts = {
        "pictures": gathering.rows,
        "brands with proposals": brands,
        "groups of unknown marks": len(proposal.groups) - brands,
        "crops to decide on": sum(len(group.suggestions) for group in proposal.groups),
        "decided before": gathering.decided,
        "pictures missing": len(missing),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    record = {
        "schema": SUGGESTIONS,
        "library": {"path": str(library.path), "version": library.version, "checksum": library.checksum},
        "results": [str(path) for path in results],
        "counts": counts,
        "missing": [{"path": path, "reason": reason} for path, reason in missing],
    } | proposal.to_dict()
    _write_json(args.out / "suggestions.json", record)
    write_suggest_page(
        proposal,
        args.out / "suggest.html",
        thumbnail=library.thumbnail,
        counts=counts,
        missing=missing,
        command=f"vision library suggest --apply decisions.json --library {args.library or 'my-brands'}",
    )
    if args.json:
        print(json.dumps({"out": str(args.out)} | counts))
    else:
        rows = ((name, f"{number:,}") for name, number in list(counts.items())[1:])
        show(f"{gathering.rows:,} pictures", ("proposals", "number"), rows)
        print(f"page: {args.out / 'suggest.html'}")
    return 0


class _Places:
    """Where the pictures of results are now: as their rows name them, beside the inputs of their scans, in folders given."""

    def __init__(self, results: Sequence[Path], folders: Sequence[Path]) -> None:
        self.roots = [Path(), *folders, *(folder.parent for folder in folders)]
        for path in results:
            scan = path.with_name("scan.json")
            inputs: list[str] = []
            if scan.is_file():
                with suppress(ValueError, KeyError, TypeError):
                    inputs = [str(each) for each in json.loads(scan.read_text(encoding="utf-8"))["settings"]["inputs"]]
            # rows of a folder begin with its name, so they are looked for beside it
            self.roots += [Path(each).parent for each in inputs]
            # a scan that ran beside its results
            self.roots += [path.parent, path.parent.parent]

    def find(self, path: str) -> Path | None:
        """The first file of that name."""
        return next((root / path for root in self.roots if (root / path).is_file()), None)


def _seen(
    library: Library, sights: Sequence[Sight], places: _Places, tell: Callable[[str, int, int], None]
) -> tuple[list[Seen], list[tuple[str, str]]]:
    """The boxes cut out again and embedded, picture by picture; the paths that cannot be had any more, with the reason."""
    from itertools import groupby

    from vision.library.pictures import encode_thumbnail
    from vision.library.suggestions import Seen

    seen: list[Seen] = []
    missing: list[tuple[str, str]] = []
    pictures = [(key, list(group)) for key, group in groupby(sights, key=lambda s: (s.path, s.picture))]
    for done, ((path, picture), group) in enumerate(pictures, 1):
        tell("pictures", done, len(pictures))
        file = places.find(path)
        try:
            if file is None:
                raise PictureError("not_found", "the file is not there")
            crops = _cut(file, picture, [sight.box for sight in group])
        except PictureError as error:
            missing.append((path, error.message))
            continue
        vectors = library.embedder.embed_images(crops)
        seen += [
            Seen(sight, str(file.absolute()), vector, encode_thumbnail(crop, CROP_SIDE))
            for sight, crop, vector in zip(group, crops, vectors, strict=True)
        ]
    return seen, missing


def _cut(file: Path, sha256: str, boxes: Sequence[Box]) -> list[Pixels]:
    """The crops of a picture as a scan cuts them. Raises PictureError, also when the file is no longer the same."""
    import numpy as np

    from vision.images import read_picture
    from vision.recognise import crop_of
    from vision.scan import DECODE_SIDE

    picture = read_picture(file, reduce_to=DECODE_SIDE)
    if picture.sha256 != sha256:
        raise PictureError("not_found", "the file was changed since", path=str(file))
    return [crop_of(picture, np.array(box, dtype=np.float32)) for box in boxes]


def _apply(args: argparse.Namespace) -> int:
    from vision.library.decisions import apply

    library = to_write(args)
    places = _Places((), args.pictures)

    def cut(decision: Decision) -> Pixels:
        file = Path(decision.file)
        return _cut(file if file.is_file() else places.find(decision.path) or file, decision.picture, [decision.box])[0]

    applied = apply(library, _decisions(args), cut)
    row = {
        "added": list(applied.references),
        "removed": list(applied.removed),
        "refused": applied.refused,
        "decided before": applied.before,
        "failed": [{"id": id_, "reason": reason} for id_, reason in applied.failed],
    }
    for id_, reason in applied.failed:
        print(f"warning: {id_} is not added: {reason}", file=sys.stderr)
    added = count(len(applied.references), "reference")
    taken = f", {count(len(applied.removed), 'reference')} removed" if applied.removed else ""
    say(args, row, f"{added} added{taken}, {applied.refused} refused, {applied.before} decided before")
    return 1 if applied.failed else 0


def _decisions(args: argparse.Namespace) -> list[Decision]:
    """The decisions of a file, then those of the command line, which name proposals of `--out`."""
    from vision.library.decisions import SCHEMA, Decision

    found = []
    if args.apply is not None:
        content = _json(args.apply)
        if (
            not isinstance(content, dict)
            or content.get("schema") != SCHEMA
            or not isinstance(content.get("decisions"), list)
        ):
            raise UsageError("bad_option", f"no decisions of schema {SCHEMA}", path=str(args.apply))
        found = [Decision.from_dict(row) for row in content["decisions"]]
    if not args.accept and not args.refuse:
        return found
    path = args.out / "suggestions.json"
    content = _json(path)
    if not isinstance(content, dict) or content.get("schema") != SUGGESTIONS:
        raise UsageError("bad_option", f"no proposals of schema {SUGGESTIONS}", path=str(path))
    rows = {row["id"]: row for group in content["groups"] for row in group["suggestions"]}
    for verb, texts in (("accept", args.accept), ("refuse", args.refuse)):
        for given in texts:
            id_, _, brand = given.partition("=")
            if id_ not in rows:
                raise UsageError("bad_option", f"no proposal {id_!r}", path=str(path), hint="an id from the page")
            row = rows[id_] | {"decision": verb}
            if verb == "accept":
                row["brand"] = brand or row["brand"]
                if not row["brand"]:
                    raise UsageError("bad_option", f"{id_} has no name yet", hint=f"--accept {id_}=BRAND")
            found.append(Decision.from_dict(row))
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("bad_option", "no such file", path=str(path)) from None
    except ValueError as error:
        raise UsageError("bad_option", f"no JSON: {error}", path=str(path)) from None
