"""An evaluation of copy detection: a battery, furniture, flat marks and packshots, for this package and its peers.

In: photographs, and what is to be measured. Out: an `Evaluation`, which `report.py` writes. Marks and copies that are made for
it stay in the folder of the evaluation, so that a second run does not make them again.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vision.errors import DatasetError, UsageError
from vision.evaluate.copies.battery import DECOYS, Battery, Query, Tell, make_battery, read_battery
from vision.evaluate.copies.edits import FURNITURE
from vision.evaluate.copies.methods import Answer, Item, Method, OursInPairs
from vision.evaluate.copies.pairs import (
    MARK_SIZES,
    Marks,
    alike,
    claimed_pairs,
    draw_marks,
    flat_figures,
    furniture,
    pair_rows,
    pictures_below,
)
from vision.evaluate.copies.peers import installed_peers, methods_of
from vision.evaluate.copies.score import Claim, best_claims, false_claims, missed_copies, score_claims
from vision.files import write_atomically

SECTIONS = ("battery", "furniture", "alone", "flat", "packshots")
DEFAULT = ("battery", "furniture", "flat")
MARKS = 2000
ORB_MARKS = 200  # beyond so many pictures ORB takes a minute or more; it is measured on the battery and on furniture

LISTED = 50  # of the surest false claims, in figures.json; all are in the files beside it

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. battery: one that is there; else one is made of n originals with a seed.

    peers: names, null for all that are installed. claims: rows of another run, judged instead of searching.
    packshots: a folder of pictures of different products.
    """

    sections: Sequence[str] = DEFAULT
    battery: Path | None = None
    n: int = 80
    seed: int = 7
    decoys: int = DECOYS
    peers: Sequence[str] | None = None
    claims: Path | None = None
    marks: int = MARKS
    packshots: Path | None = None
    threads: int | None = None


@dataclass(slots=True)
class Evaluation:
    """figures: plain types. claims: by method. false, missed: this package's on the battery. pairs: its claims by test.

    paths: files by test and id, for pictures of what went wrong.
    """

    figures: dict[str, Any]
    battery: Battery | None = None
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    false: Rows = field(default_factory=list)
    missed: list[Query] = field(default_factory=list)
    pairs: dict[str, Rows] = field(default_factory=dict)
    paths: dict[str, dict[str, Path]] = field(default_factory=dict)


def check_options(options: Options) -> None:
    """Raises UsageError (bad_option), BackendError (package_missing): better now than after an hour."""
    for name in options.sections:
        if name not in SECTIONS:
            raise UsageError("bad_option", f"no section {name!r}", hint=", ".join(SECTIONS))
    if not options.sections:
        raise UsageError("bad_option", "nothing is to be measured", hint=", ".join(SECTIONS))
    if ("packshots" in options.sections) != (options.packshots is not None):
        raise UsageError("bad_option", "the section packshots measures a folder", hint="--packshots FOLDER")
    if options.claims is not None and "battery" not in options.sections:
        raise UsageError("bad_option", "claims are judged on a battery", hint="--sections battery")
    methods_of(options.peers or ())


def evaluate_copies(
    photos: Path, out: Path, options: Options, *, command: str = "", tell: Tell = lambda _: lambda _: lambda _: None
) -> Evaluation:
    """Measure all sections; the copies and marks made for it lie below `out`.

    photos: the folder of photographs. Raises DatasetError (missing, bad_label), UsageError (bad_option), BackendError.
    """
    check_options(options)
    methods = methods_of(installed_peers() if options.peers is None else options.peers, options.threads)
    sections = set(options.sections)
    found = Evaluation({"command": command, "photos": str(photos), "python": platform.python_version()})
    if sections & {"battery", "furniture", "alone"}:
        found.battery = (
            read_battery(options.battery, photos)
            if options.battery
            else make_battery(
                photos,
                out / "battery",
                n=options.n,
                seed=options.seed,
                decoys=options.decoys,
                tell=tell,
                threads=options.threads,
            )
        )
        found.figures["battery"] = found.battery.summary()
    found.figures["methods"] = {method.name: {"bar": _finite(method.bar)} for method in methods}
    if "battery" in sections and found.battery:
        _search_battery(found, methods, options.claims, tell)
    if "furniture" in sections and found.battery:
        _furniture(found, methods, found.battery, tell)
    if "alone" in sections and found.battery:
        _alone(found, found.battery, options.threads, tell)
    if "flat" in sections:
        for size in MARK_SIZES:
            marks = draw_marks(out / "marks" / str(size), options.marks, size, tell, options.threads)
            _flat(found, methods, marks, size, tell)
    if "packshots" in sections and options.packshots:
        _packshots(found, methods, pictures_below(options.packshots), tell)
    found.figures["false_claims"] = found.false[:LISTED]
    found.figures["pair_claims"] = {test: rows[:LISTED] for test, rows in found.pairs.items() if rows}
    return found


def read_claims(path: Path) -> list[Claim]:
    """Rows {"query", "source", "score"} of a file, one a line. Raises DatasetError (missing, bad_label)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise DatasetError("missing", "there are no claims", path=str(path)) from None
    claims = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
                claims.append(Claim(str(row["query"]), str(row["source"]), float(row["score"]), row.get("kind")))
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError("bad_label", f"line {number} is no claim: {error!r}", path=str(path)) from None
    return claims


def write_claims(path: Path, claims: Iterable[Claim]) -> None:
    """As `read_claims` reads them, surest first, each pair once."""
    rows = (
        {"query": c.query, "source": c.source, "score": c.score} | ({"kind": c.kind} if c.kind else {})
        for c in best_claims(claims)
    )
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _finite(bar: float) -> float | None:
    return None if bar == float("-inf") else bar


def _search_battery(found: Evaluation, methods: Sequence[Method], given: Path | None, tell: Tell) -> None:
    battery = found.battery
    if battery is None:
        return
    references = [Item(r.source, battery.path(r)) for r in battery.references]
    queries = [Item(q.query, battery.folder / q.query) for q in battery.queries]
    for number, method in enumerate(methods):
        if number == 0 and given is not None:
            answer, cost = Answer(read_claims(given), 0.0, 0.0), {}
        else:
            answer = method.answer(references, queries, tell)
            cost = {"describe_ms": answer.describe_ms, "query_ms": answer.query_ms, "failed": len(answer.failed)}
        found.claims[method.name] = answer.claims
        own = found.figures["methods"][method.name]
        own["battery"] = score_claims(battery.queries, answer.claims, battery.pairs, method.bar)
        own["cost"] = cost
        if number == 0:
            found.false = false_claims(battery.queries, answer.claims, method.bar)
            found.missed = missed_copies(battery.queries, answer.claims, method.bar)
            own["kinds"] = _kinds(battery.queries, answer.claims)
            found.paths["battery"] = {item.id: item.path for item in (*references, *queries)}


def _kinds(truth: Sequence[Query], claims: Iterable[Claim]) -> dict[str, dict[str, int]]:
    """What the right claims say was done, for each edit, the most frequent first."""
    edits = {(q.query, q.source): q.edit for q in truth}
    counts: dict[str, Counter[str]] = {}
    for claim in best_claims(claims):
        edit = edits.get((claim.query, claim.source))
        if edit is not None and claim.kind is not None:
            counts.setdefault(edit, Counter())[claim.kind] += 1
    return {edit: dict(counts[edit].most_common()) for edit in dict.fromkeys(q.edit for q in truth) if edit in counts}


def _furniture(found: Evaluation, methods: Sequence[Method], battery: Battery, tell: Tell) -> None:
    sets = furniture(battery)
    for method in methods:
        by_edit = {}
        advance = tell(f"{method.name}: furniture")(len(sets))
        for edit, items in sets.items():
            test = claimed_pairs(method, items, _quiet)
            advance(1)
            by_edit[edit] = test.figures()
            if method is methods[0]:
                _keep(found, f"furniture {edit}", pair_rows(test), items)
        found.figures["methods"][method.name]["furniture"] = {
            "pairs": sum(f["pairs"] for f in by_edit.values()),
            "claims": sum(f["claims"] for f in by_edit.values()),
            "edits": {edit: {key: f[key] for key in ("pictures", "pairs", "claims")} for edit, f in by_edit.items()},
        }


def _alone(found: Evaluation, battery: Battery, threads: int | None, tell: Tell) -> None:
    """The kinds of frame that decoys wear, two pictures at a time, without an index that knows what is common."""
    by_edit = {}
    method = OursInPairs(threads)
    for edit, items in furniture(battery).items():
        if edit in FURNITURE:
            test = claimed_pairs(method, items, tell)
            by_edit[edit] = {key: test.figures()[key] for key in ("pictures", "pairs", "claims")}
            _keep(found, f"alone {edit}", pair_rows(test), items)
    found.figures["alone"] = {
        "pairs": sum(f["pairs"] for f in by_edit.values()),
        "claims": sum(f["claims"] for f in by_edit.values()),
        "edits": by_edit,
    }


def _flat(found: Evaluation, methods: Sequence[Method], marks: Marks, size: int, tell: Tell) -> None:
    same = alike(marks)
    found.figures.setdefault("alike_marks", sorted(" = ".join(pair) for pair in same))
    for method in _affordable(methods, len(marks.items)):
        figures, rows = flat_figures(claimed_pairs(method, marks.items, tell), marks, same)
        found.figures["methods"][method.name].setdefault("flat", {})[str(size)] = figures
        if method is methods[0]:
            _keep(found, f"flat {size}", rows, marks.items)


def _packshots(found: Evaluation, methods: Sequence[Method], items: Sequence[Item], tell: Tell) -> None:
    for method in _affordable(methods, len(items)):
        test = claimed_pairs(method, items, tell)
        found.figures["methods"][method.name]["packshots"] = test.figures()
        if method is methods[0]:
            _keep(found, "packshots", pair_rows(test), items)


def _affordable(methods: Sequence[Method], pictures: int) -> list[Method]:
    return [method for method in methods if method.name != "orb" or pictures <= ORB_MARKS]


def _keep(found: Evaluation, test: str, rows: Rows, items: Sequence[Item]) -> None:
    found.pairs[test] = rows
    if rows:
        found.paths[test] = {item.id: item.path for item in items}


def _quiet(_: str) -> Any:
    """Progress of a test too short for a bar of its own."""
    return lambda _: lambda _: None
