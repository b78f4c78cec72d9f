"""`vision library watch`, `import` and `export`: lists of brands to claim, and libraries in and out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vision.cli.library_common import action, count, embedder_of, progress, say, show, to_read, to_write, user
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.library import Library
    from vision.library.exchange import Imported


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the actions."""
    watch = action(
        actions,
        "watch",
        "keep lists of the brands that a scan may claim",
        "vision library watch drinks add Coca-Cola Pepsi --library my-brands",
        run_watch,
        writes=True,
    )
    watch.description = (
        "Keep named lists of brands in the library. `vision scan --watch LIST` claims only these; the others still compete. "
        "Without LIST, or with `list`, lists are shown."
    )
    watch.add_argument("name", nargs="?", metavar="LIST", help="the list")
    watch.add_argument("what", nargs="?", choices=("add", "remove", "list"), default="list", help="what to do with it")
    watch.add_argument("brands", nargs="*", metavar="BRAND", help="names or aliases")

    taken = action(
        actions,
        "import",
        "add a folder of brands, or a file that `export` wrote",
        "vision library import my-logos --library my-brands",
        run_import,
        writes=True,
    )
    taken.description = (
        "Add a folder, in which each folder is a brand with its pictures (BRAND/picture.jpg, BRAND/PRODUCT/picture.jpg, "
        "BRAND/LINE/PRODUCT/picture.jpg), or a library file. Pictures that cannot be read are told and left out; what is there "
        "already is not added again. A library that is not there yet is made."
    )
    taken.add_argument("given", type=Path, metavar="FOLDER|FILE")
    taken.add_argument("--negative", action="store_true", help="the folders are no brands: they look like some")
    taken.add_argument("--source", metavar="TEXT", help="where the pictures came from (the files' names)")
    taken.add_argument("--licence", metavar="TEXT", help="on what terms")

    out = action(
        actions,
        "export",
        "write a library to one file",
        "vision library export my-brands.zip --library my-brands",
        run_export,
    )
    out.add_argument("file", type=Path, metavar="FILE", help="a name that is not taken")


def run_watch(args: argparse.Namespace) -> int:
    """Show or change watch-lists."""
    if args.what == "list":
        if args.brands:
            raise UsageError("bad_option", "list takes no brands", hint="vision library watch LIST add BRAND...")
        return _show_lists(args)
    if not args.brands:
        raise UsageError(
            "bad_option", f"no brands to {args.what}", hint=f"vision library watch LIST {args.what} BRAND..."
        )
    library = to_write(args)
    change = library.watch if args.what == "add" else library.unwatch
    held = change(args.name, *args.brands, message=args.message)
    say(args, {"list": args.name, "brands": sorted(held)}, f"{args.name}: {count(len(held), 'brand')}")
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Add a folder of brands or a library file."""
    from vision.library import Library, exchange

    if not args.given.exists():
        raise UsageError("bad_option", "there is no such folder or file", path=str(args.given))
    if args.given.is_file() and (args.negative or args.source or args.licence):
        raise UsageError("bad_option", "a library file says itself what it holds, where from and on what terms")
    if args.library is not None and not any(args.library.glob("*")):  # not there, or empty
        if args.given.is_file():
            with exchange.opened(args.given) as base:
                embedder = embedder_of(args)
                library = Library.create(args.library, embedder=embedder, base=base, user=user(), message=args.message)
                exchange.take_decisions(library, base, args.given)
            return _say_imported(args, library, None)
        Library.create(args.library, embedder=embedder_of(args), user=user())
    library = to_write(args)
    if args.given.is_file():
        return _say_imported(args, library, exchange.import_file(library, args.given, message=args.message))
    with progress() as tell:
        imported = exchange.import_folder(
            library,
            args.given,
            source=args.source,
            licence=args.licence,
            negative=args.negative,
            message=args.message,
            progress=lambda done, of: tell("pictures", done, of),
        )
    return _say_imported(args, library, imported)


def run_export(args: argparse.Namespace) -> int:
    """Write a library to one file."""
    from vision.library.exchange import export_library

    library = to_read(args)
    export_library(library, args.file)
    size = args.file.stat().st_size
    row = {"file": str(args.file), "brands": len(library), "references": len(library.all_references()), "bytes": size}
    say(args, row, f"{args.file}: {count(len(library), 'brand')}, {size / 1e6:.1f} MB")
    return 0


def _show_lists(args: argparse.Namespace) -> int:
    library = to_read(args)
    lists = library.watch_lists() if args.name is None else {args.name: library.watch_list(args.name)}
    if args.json:
        for name, brands in lists.items():
            print(json.dumps({"list": name, "brands": sorted(brands)}))
        return 0
    rows = ((name, ", ".join(sorted(brands))) for name, brands in lists.items())
    show(count(len(lists), "watch-list"), ("list", "brands"), rows)
    return 0


def _say_imported(args: argparse.Namespace, library: Library, imported: Imported | None) -> int:
    """Say what was imported, and each thing that was not; 1 when there is such a thing. None: a whole library was."""
    faults = () if imported is None else imported.faults
    for what, why in faults:
        print(f"{what}: {why}", file=sys.stderr)
    added = len(library.all_references()) if imported is None else len(imported.added)
    brands = len(library) if imported is None else imported.brands
    row = {
        "library": str(args.library),
        "brands": brands,
        "references": added,
        "known": 0 if imported is None else imported.held,
        "left_out": [{"what": what, "why": why} for what, why in faults],
    }
    known = f", {row['known']} known before" if row["known"] else ""
    say(args, row, f"{count(brands, 'brand')} and {count(added, 'reference')} added{known}; {len(faults)} left out")
    return 1 if faults else 0
