"""`vision copies confirm`, `deny`, `delete`, `merge`, `compact`, `export` and `import`: what is done to an index as a whole."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vision.cli.copies_common import action, opened, shown
from vision.cli.library_common import count, say, user
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.copies import CopyIndex
    from vision.copies.decisions import Word
    from vision.copies.exchange import Fault

FAULTS = 20  # told one by one; of a list that is none at all there would be millions
IMPORTED = 10_000  # hashes that become visible together


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the actions."""
    for word, purpose in (
        ("confirm", "say that two pictures are copies of one another, for good"),
        ("deny", "say that two pictures are no copies of one another, for good"),
    ):
        decide = action(
            actions,
            word,
            purpose,
            f"vision copies {word} a.jpg b.jpg --index seen-before",
            run_decide,
            index="the index",
        )
        decide.description = (
            f"{purpose[0].upper()}{purpose[1:]}: it is remembered by the content of the two files and holds in every later "
            "search and grouping with this index, whatever they are called, until it is revoked."
        )
        decide.add_argument("one", metavar="A", help="a picture's file, or its id in the index")
        decide.add_argument("other", metavar="B", help="another one")
        decide.add_argument("--revoke", action="store_true", help="take back that it was said")
        decide.add_argument("--note", metavar="TEXT", help="why, to be read later")
        decide.set_defaults(word={"confirm": "confirmed", "deny": "denied"}[word])

    decided = action(
        actions,
        "decisions",
        "list what was confirmed and denied",
        "vision copies decisions --index seen-before",
        run_decisions,
        index="the index",
    )
    decided.add_argument("--all", action="store_true", help="also what was revoked or decided anew since")

    delete = action(
        actions,
        "delete",
        "forget pictures of an index",
        "vision copies delete seller-9/first/1.png --index seen-before",
        run_delete,
        index="the index",
    )
    delete.description = "Forget pictures of an index by their ids. Their files are not touched."
    delete.add_argument("ids", nargs="+", metavar="ID", help="as `vision copies list` shows them")

    merge = action(
        actions,
        "merge",
        "take all pictures of another index over",
        "vision copies merge of-last-year --index seen-before",
        run_merge,
        index="the index that grows; made when it is not there",
    )
    merge.add_argument(
        "other", type=Path, metavar="OTHER", help="the index to take over, with its decisions; it stays as it is"
    )

    action(
        actions,
        "compact",
        "give back the room of what was deleted or replaced",
        "vision copies compact --index seen-before",
        run_compact,
        index="the index",
    )

    out = action(
        actions,
        "export",
        "write the hashes of an index as a list in ThreatExchange's form",
        "vision copies export seen-before hashes.csv",
        run_export,
    )
    out.add_argument("index", type=Path, metavar="INDEX", help="the index")
    out.add_argument("file", type=Path, metavar="FILE", help=".csv or .json, a name that is not taken")

    taken = action(
        actions,
        "import",
        "add a list of PDQ hashes to an index",
        "vision copies import hashes.csv --index seen-before",
        run_import,
        index="the index; made when it is not there",
    )
    taken.description = (
        "Add a list of PDQ hashes in one of ThreatExchange's forms (CSV, text or JSON, also StopNCII's and NCMEC's). Lines that "
        "cannot be read are told and left out. Pictures match such a hash by distance alone."
    )
    taken.add_argument("file", type=Path, metavar="FILE", help=".csv, .txt, .json, .jsonl")
    taken.add_argument("--name", metavar="N", help="what their ids begin with (the file's name)")
    taken.add_argument("--owner", metavar="O", help="whose they are, where the list does not say")


def run_decide(args: argparse.Namespace) -> int:
    """Remember or revoke a decision about two pictures."""
    from vision.copies import CopyIndex
    from vision.copies.decisions import Decision, append, load

    index = CopyIndex.open(args.index)
    one, other = _digests(index, [args.one, args.other])
    if one == other and not args.revoke:  # earlier versions took such decisions
        raise UsageError("bad_option", "both are the same picture, which nobody can decide about")
    before = load(args.index).of(one, other)
    if args.revoke and before not in (args.word, None):
        raise UsageError("bad_option", f"the two are {before}, not {args.word}", hint="revoke that")
    word: Word = "revoked" if args.revoke else args.word
    changed = before == args.word if args.revoke else before != args.word
    if changed:
        names = (args.one, args.other)
        append(args.index, [Decision.of(word, one, other, by=user(), note=args.note, names=names)])
    told = f"{shown(args.one)} and {shown(args.other)}: "
    told += word if changed else "nothing was decided" if args.revoke else f"{word} before"
    say(args, {"index": str(args.index), "a": one, "b": other, "decision": word, "changed": changed}, told)
    return 0


def run_decisions(args: argparse.Namespace) -> int:
    """List decisions in the order made."""
    from vision.copies import CopyIndex
    from vision.copies.decisions import history, load

    CopyIndex.open(args.index)  # a folder that is none has no decisions
    for decision in history(args.index) if args.all else load(args.index):
        one, other = map(shown, decision.names or (decision.a, decision.b))
        told = ", ".join(part for part in (decision.by, decision.note) if part)
        say(
            args,
            asdict(decision),
            f"{decision.when}  {decision.word:9}  {one}  {other}" + (f"  ({shown(told)})" if told else ""),
        )
    return 0


def run_delete(args: argparse.Namespace) -> int:
    """Forget entries; 1 when there was none of an id."""
    from vision.copies import CopyIndex

    index = CopyIndex.open(args.index)
    deleted_ids = index.delete_all(args.ids)
    missing = [id_ for id_ in args.ids if id_ not in deleted_ids]
    for id_ in missing:
        print(f"{shown(id_)}: no such id in {args.index}", file=sys.stderr)
    deleted = len(deleted_ids)
    row = {"index": str(args.index), "deleted": deleted, "missing": missing, "pictures": len(index)}
    say(args, row, f"{args.index}: {deleted} deleted, {len(index)} left")
    return 1 if missing else 0


def run_merge(args: argparse.Namespace) -> int:
    """Take another index over."""
    from vision.copies import CopyIndex
    from vision.copies.decisions import adopt

    other = CopyIndex.open(args.other)
    if args.other.resolve() == args.index.resolve():
        raise UsageError("bad_option", "an index cannot be merged with itself", path=str(args.other))
    index = opened(args.index)
    added = index.merge(other)
    decided = adopt(args.index, args.other)
    row = {"index": str(args.index), "added": added, "decisions": decided, "pictures": len(index)}
    say(args, row, f"{args.index}: {added} added, {count(decided, 'decision')} taken over, {len(index)} in all")
    return 0


def run_compact(args: argparse.Namespace) -> int:
    """Write an index anew without what is gone."""
    from vision.copies import CopyIndex

    index = CopyIndex.open(args.index)
    before = _size(args.index)
    index.compact()
    freed = before - _size(args.index)
    row = {"index": str(args.index), "bytes_freed": freed, "pictures": len(index)}
    say(args, row, f"{args.index}: {freed / 1e6:.1f} MB given back, {len(index)} in all")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the hashes of an index as a list."""
    from vision.copies import CopyIndex
    from vision.copies.exchange import write_hashes

    index = CopyIndex.open(args.index)
    written, left_out = write_hashes(index, args.file, index.name)
    told = f"{args.file}: {count(written, 'hash').replace('hashs', 'hashes')}"
    told += f"; {left_out} of low quality left out" if left_out else ""
    say(args, {"file": str(args.file), "hashes": written, "low_quality": left_out}, told)
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Add a list of hashes; 1 when some of its lines could not be read."""
    from vision.copies import Entry
    from vision.copies.exchange import read_hashes

    if not args.file.is_file():
        raise UsageError("bad_option", "there is no such file", path=str(args.file))
    index = opened(args.index)
    records = read_hashes(args.file, name=args.name, owner=args.owner)
    read = added = 0
    faults: list[Fault] = []
    failed = 0
    while batch := list(islice(records, IMPORTED)):
        entries = [record for record in batch if isinstance(record, Entry)]
        read += len(entries)
        added += index.add_entries(entries)
        for record in batch:
            if not isinstance(record, Entry):
                failed += 1
                if failed <= FAULTS:
                    faults.append(record)
                    print(f"{args.file}:{record.number}: {shown(record.why)}", file=sys.stderr)
    if failed > FAULTS:
        print(f"{args.file}: {failed - FAULTS} more", file=sys.stderr)
    row = {
        "index": str(args.index),
        "added": added,
        "unchanged": read - added,
        "left_out": failed,
        "faults": [asdict(fault) for fault in faults],
        "pictures": len(index),
    }
    told = f"{args.index}: {added} added, {read - added} unchanged, {failed} left out, {len(index)} in all"
    say(args, row, told)
    return 1 if failed else 0


def _digests(index: CopyIndex, names: list[str]) -> list[str]:
    """The sha256 of each name: of the entry with that id, else of that file.

    Raises UsageError for a name that is neither, and for one that is both and not the same picture.
    """
    from vision.weights import digest

    entries = {name: index.get(name) for name in names}
    found = {name: entry.sha256 for name, entry in entries.items() if entry is not None}
    for name in entries:
        file = Path(name)
        own = digest(file) if file.is_file() else None
        if own is None and name not in found:
            raise UsageError(
                "bad_option",
                f"{shown(name)!r} is neither an id of the index nor a file",
                hint=f"vision copies list --index {index.path}",
            )
        if own is not None and found.setdefault(name, own) != own:
            raise UsageError(
                "bad_option",
                f"{shown(name)!r} is an id of the index and the name of another file",
                hint=f"./{shown(name)} for the file",
            )
    return [found[name] for name in names]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
