"""`vision library`: make a brand library, change it, look into it, search it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli import library_exchange, library_pages, library_versions
from vision.cli.library_common import (
    action,
    count,
    day,
    embedder_of,
    progress,
    say,
    show,
    to_read,
    to_write,
    user,
)
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.library import Brand, Library, Reference
    from vision.values import Match

_RECIPE = Path("datasets/library.yaml")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `library` command."""
    parser = commands.add_parser(
        "library",
        help="make, change, list and search brand libraries",
        description="A brand library is a folder of brands with reference pictures. Without --library DIR the shipped one is "
        "read; it is never changed.",
        epilog="Example: vision library create my-brands && vision library add Acme acme.png --library my-brands",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    create = action(
        actions, "create", "make a new library", "vision library create my-brands --from-shipped", run_create
    )
    create.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there or empty")
    create.add_argument("--from-shipped", action="store_true", help="begin with a copy of the shipped library")

    add = action(
        actions,
        "add",
        "add brands: pictures of one, or names alone",
        "vision library add Acme acme1.png acme2.jpg --library my-brands",
        run_add,
        writes=True,
    )
    add.description = (
        "Add pictures of a brand; a brand without pictures is found where its name is read. With --names, many such brands at "
        "once. With --negative, what looks like a brand and is none: it competes in every search and is never claimed."
    )
    add.add_argument("name", nargs="?", metavar="NAME", help="the brand; joined when the library has it, made when not")
    add.add_argument(
        "images", nargs="*", metavar="IMAGE", help="clean logos, or crops of photos: photos are found best"
    )
    add.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="brands by name, one a line, aliases after tabs or |; or .csv, .jsonl",
    )
    add.add_argument("--negative", action="store_true", help="NAME is no brand: a care label, a recycling sign")
    add.add_argument("--alias", action="append", default=[], metavar="NAME", help="another name; may be repeated")
    add.add_argument("--line", metavar="TEXT", help="the product line that these pictures show")
    add.add_argument("--product", metavar="TEXT", help="the product that these pictures show")
    add.add_argument("--valid-from", type=day, metavar="DATE", help="the first day on which they count (2026-01-31)")
    add.add_argument("--valid-until", type=day, metavar="DATE", help="the last day on which they count")
    add.add_argument("--source", metavar="TEXT", help="where they came from (the file's name)")
    add.add_argument("--licence", metavar="TEXT", help="on what terms")

    remove = action(
        actions,
        "remove",
        "remove a brand, or one reference",
        "vision library remove Acme --library my-brands",
        run_remove,
        writes=True,
    )
    remove.add_argument("name", metavar="NAME", help='a brand\'s name or alias, or a reference ("acme/3")')

    rename = action(
        actions,
        "rename",
        "give a brand another name",
        'vision library rename Acme "Acme Corp" --library my-brands',
        run_rename,
        writes=True,
    )
    rename.add_argument("old", metavar="OLD")
    rename.add_argument("new", metavar="NEW")

    listing = action(actions, "list", "list brands", "vision library list coca", run_list)
    listing.add_argument("part", nargs="?", default="", metavar="PART", help="only names and aliases that contain this")
    listing.add_argument("--negative", action="store_true", help="what looks like a brand and is none, instead")

    show = action(actions, "show", "show a brand's references", 'vision library show "Coca-Cola"', run_show)
    show.add_argument("name", metavar="NAME", help="name or alias")
    show.add_argument("--pictures", type=Path, metavar="DIR", help="write the pictures kept of its references there")

    search = action(
        actions, "search", "brands most like a picture or a name", "vision library search logo.png", run_search
    )
    search.add_argument("images", nargs="*", metavar="IMAGE", help="a crop that shows one mark")
    search.add_argument("--text", metavar="TEXT", help="search by a name instead of a picture")
    search.add_argument("-k", type=int, default=5, metavar="K", help="how many brands (5)")

    build = action(
        actions,
        "build",
        "make the shipped library again from its sources (extra train)",
        "vision library build datasets/library.yaml photos.sets=[] --out my-brands",
        run_build,
        library=False,
    )
    build.add_argument("recipe", nargs="?", type=Path, default=_RECIPE, metavar="RECIPE.yaml", help=f"({_RECIPE})")
    build.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, nested ones with dots")
    build.add_argument("--out", type=Path, default=Path("weights/library"), metavar="DIR", help="(weights/library)")
    build.add_argument("--cache", type=Path, metavar="DIR", help="where drawings are kept (the user's cache folder)")
    build.add_argument(
        "--packages",
        type=Path,
        metavar="DIR",
        help="npm packages of the drawings as `npm pack` saves them, instead of npm",
    )

    action(
        actions,
        "reembed",
        "make the vectors again with this version's embedder, or another",
        "vision library reembed --library my-brands",
        run_reembed,
    )
    library_versions.register(actions)
    library_exchange.register(actions)
    library_pages.register(actions)


def run_create(args: argparse.Namespace) -> int:
    """Make a library, empty or a copy of the shipped one."""
    from vision.library import Library

    base = Library.default() if args.from_shipped else None
    made = Library.create(args.folder, embedder=embedder_of(args), base=base, user=user())
    say(args, {"library": str(args.folder), "brands": len(made)}, f"{args.folder}: {count(len(made), 'brand')}")
    return 0


def run_add(args: argparse.Namespace) -> int:
    """Add pictures to a brand, brands by name, or what is none."""
    if args.names is not None:
        if args.name is not None or args.negative or args.alias:
            raise UsageError("bad_option", "--names stands alone", hint="vision library add --names brands.txt")
        return _add_names(args)
    if args.name is None:
        raise UsageError("bad_option", "no brand is named", hint="vision library add Acme acme.png, or --names FILE")
    library = to_write(args)
    more = {"source": args.source, "licence": args.licence, "message": args.message}
    if args.negative:
        if args.alias or args.product or args.line or args.valid_from or args.valid_until:
            raise UsageError("bad_option", "what is no brand has no aliases, products or dates")
        made = library.add_negative(args.name, args.images, **more)
    else:
        if not args.images and (args.product or args.line or args.valid_from or args.valid_until):
            raise UsageError("bad_option", "products and dates are those of pictures, and none is given")
        made = library.add(
            args.name,
            args.images or None,
            aliases=args.alias,
            product=args.product,
            line=args.line,
            valid_from=args.valid_from,
            valid_until=args.valid_until,
            **more,
        )
    brand = library.brand(args.name)
    known = len(args.images) - len(made)
    row = {
        "brand": brand.name,
        "added": [r.id for r in made],
        "known": known,
        "references": len(library.references(brand)),
    }
    before = f", {known} known" if known else ""
    said = (
        f"{count(len(made), 'reference')} added{before}, {row['references']} in all" if args.images else "known by name"
    )
    say(args, row, f"{brand.name}: {said}")
    return 0


def _add_names(args: argparse.Namespace) -> int:
    from vision.library.name_files import BadLine, read_names

    library = to_write(args)
    before = len(library)
    named, bad = read_names(args.names)
    refused = library.add_names([(brand.name, brand.aliases) for brand in named], message=args.message)
    bad += [BadLine(named[place].number, error.message) for place, error in refused]
    bad.sort(key=lambda line: line.number)
    for line in bad:
        print(f"{args.names}: line {line.number}: {line.why}", file=sys.stderr)
    row = {
        "added": len(library) - before,
        "known": len(named) - len(refused) - (len(library) - before),
        "bad": [{"line": line.number, "why": line.why} for line in bad],
    }
    text = f"{count(len(library) - before, 'brand')} added, {row['known']} known before, {count(len(bad), 'bad line')}"
    say(args, row, text)
    return 1 if bad else 0


def run_remove(args: argparse.Namespace) -> int:
    """Remove a brand with its references, or one reference."""
    library = to_write(args)
    shorter: list[str] = []
    gone: list[str] = []
    if _is_reference(library, args.name):
        removed = library.remove_reference(args.name, message=args.message).id
    else:
        lists = library.watch_lists()
        removed = library.remove(args.name, message=args.message).name
        left = library.watch_lists()
        shorter = [name for name, brands in lists.items() if brands != left.get(name)]
        gone = [name for name in shorter if name not in left]
    text = f"removed {removed}" + (f", also from the watch-lists {', '.join(shorter)}" if shorter else "")
    text += f" (empty, and gone: {', '.join(gone)})" if gone else ""
    say(args, {"removed": removed, "watch_lists": shorter}, text)
    return 0


def _is_reference(library: Library, text: str) -> bool:
    """Whether a text is a reference's id, also of one that is not there: "channel/5" is none of the names of Channel 5.

    A brand whose own name has the slash ("24/7") is found by it, unless what is before the slash is the id of a brand.
    """
    from vision.library.names import fold

    brand_id, _, number = text.rpartition("/")
    if not brand_id or not number.isdecimal():
        return False
    brands = library.state.brands
    if any(brand.id == brand_id for brand in brands):
        return True

    def words(name: str) -> list[list[str]]:
        return [[fold(word) for word in part.split()] for part in name.split("/")]

    names = (name for brand in brands for name in (brand.name, *brand.aliases) if "/" in name)
    return words(text) not in map(words, names)


def run_rename(args: argparse.Namespace) -> int:
    """Change the name of a brand."""
    brand = to_write(args).rename(args.old, args.new, message=args.message)
    say(args, {"id": brand.id, "brand": brand.name}, f"renamed to {brand.name}")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """List brands, with how many references each has."""
    from collections import Counter

    from vision.library.names import fold

    library = to_read(args)
    part = fold(args.part)
    listed = library.negatives() if args.negative else library.brands()
    brands = [b for b in listed if any(part in fold(name) for name in (b.name, *b.aliases))]
    counts = Counter(r.brand_id for r in library.all_references())
    if args.json:
        for brand in brands:
            print(json.dumps(_brand_row(brand, counts[brand.id])))
        return 0
    rows = ((brand.name, ", ".join(brand.aliases), str(counts[brand.id])) for brand in brands)
    show(f"{count(len(brands), 'brand')} of {len(listed)}", ("brand", "also", "references"), rows)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Show the references of a brand."""
    library = to_read(args)
    brand = library.brand(args.name)
    references = library.references(brand)
    if args.pictures is not None:
        args.pictures.mkdir(parents=True, exist_ok=True)
        for reference in references:
            data = library.thumbnail(reference.id)
            if data is not None:
                (args.pictures / f"{reference.id.replace('/', '-')}.webp").write_bytes(data)
    if args.json:
        row = _brand_row(brand, len(references)) | {"pictures": [_reference_row(r) for r in references]}
        print(json.dumps(row))
        return 0
    also = f" (also {', '.join(brand.aliases)})" if brand.aliases else ""
    columns = ("reference", "kind", "line", "product", "valid", "source", "licence", "views", "picture")
    rows = []
    for r in references:
        kept = "kept" if r.thumbnail is not None else "vectors only"
        what = (r.id, r.kind, r.line or "", r.product or "", _days(r))
        rows.append((*what, r.source or "", r.licence or "", str(r.vectors), kept))
    show(f"{brand.name}{also}", columns, rows)
    return 0


def run_search(args: argparse.Namespace) -> int:
    """Search by pictures or by words; the picture that cannot be read ends the command."""
    if bool(args.images) == (args.text is not None):
        raise UsageError("bad_option", "give pictures or --text", hint="vision library search logo.png")
    library = to_read(args)
    if args.text is not None:
        answers = [(args.text, library.search_text(args.text, args.k))]
    else:
        answers = list(zip(args.images, library.search(args.images, args.k), strict=True))
    if args.json:
        for query, matches in answers:
            print(json.dumps({"query": query, "matches": [_match_row(m) for m in matches]}))
        return 0
    for query, matches in answers:
        rows = []
        for match in matches:
            name = f"{match.brand} (no brand)" if match.negative else match.brand
            rows.append((name, match.product or "", f"{match.similarity:.3f}", match.reference))
        show(query, ("brand", "product", "similarity", "reference"), rows)
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Make a library from drawings and real crops, by a recipe."""
    from vision.training.config import load_config
    from vision.training.library import build_library
    from vision.weights import is_shipped, note_shipped

    changes = list(args.changes)
    if "=" in str(args.recipe):  # `build photos.sets=[]`: the recipe was left out, not the change
        changes.insert(0, str(args.recipe))
        args.recipe = _RECIPE
    config = load_config(args.recipe, changes, stage="library")
    with progress() as tell:
        library = build_library(
            config, args.out, cache=args.cache, packages=args.packages, progress=tell, read_only=is_shipped(args.out)
        )
    note_shipped(args.out)
    references = library.all_references()
    row = {
        "library": str(args.out),
        "brands": len(library),
        "references": len(references),
        "vectors": sum(r.vectors for r in references),
    }
    say(args, row, f"{args.out}: " + ", ".join(f"{row[key]} {key}" for key in ("brands", "references", "vectors")))
    return 0


def run_reembed(args: argparse.Namespace) -> int:
    """Make a library's vectors again."""
    from vision.library import Library

    if args.library is None:
        raise UsageError("bad_option", "the shipped library is built, not re-embedded", hint="--library DIR")
    library, lost = Library.reembed(args.library, embedder=embedder_of(args), user=user())
    row = {"library": str(args.library), "brands": len(library), "dropped": [r.id for r in lost]}
    say(
        args,
        row,
        f"{count(len(library), 'brand')} embedded; {count(len(lost), 'reference')} without a picture dropped",
    )
    return 0


def _brand_row(brand: Brand, references: int) -> dict[str, Any]:
    return {"id": brand.id, "brand": brand.name, "aliases": list(brand.aliases), "references": references}


def _days(r: Reference) -> str:
    """From when until when a reference counts; "" for always."""
    return f"{r.valid_from or ''} – {r.valid_until or ''}".strip() if r.valid_from or r.valid_until else ""


def _reference_row(r: Reference) -> dict[str, Any]:
    return {
        "id": r.id,
        "line": r.line,
        "product": r.product,
        "valid_from": None if r.valid_from is None else r.valid_from.isoformat(),
        "valid_until": None if r.valid_until is None else r.valid_until.isoformat(),
        "source": r.source,
        "licence": r.licence,
        "kind": r.kind,
        "vectors": r.vectors,
        "picture": r.thumbnail is not None,
    }


def _match_row(m: Match) -> dict[str, Any]:
    row = {"brand": m.brand, "product": m.product, "reference": m.reference, "similarity": round(m.similarity, 4)}
    return row | ({"negative": True} if m.negative else {})
