"""`vision library`: make a brand library, change it, look into it, search it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from vision.embed import EmbedderLike
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

    create = _action(
        actions, "create", "make a new library", "vision library create my-brands --from-shipped", run_create
    )
    create.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there or empty")
    create.add_argument("--from-shipped", action="store_true", help="begin with a copy of the shipped library")

    add = _action(
        actions,
        "add",
        "add pictures of a brand",
        "vision library add Acme acme1.png acme2.jpg --library my-brands",
        run_add,
    )
    add.add_argument("name", metavar="NAME", help="the brand; joined when the library has it, made when not")
    add.add_argument(
        "images", nargs="+", metavar="IMAGE", help="clean logos, or crops of photos: photos are found best"
    )
    add.add_argument("--alias", action="append", default=[], metavar="NAME", help="another name; may be repeated")
    add.add_argument("--product", metavar="TEXT", help="the product that these pictures show")
    add.add_argument("--source", metavar="TEXT", help="where they came from (the file's name)")
    add.add_argument("--licence", metavar="TEXT", help="on what terms")

    remove = _action(actions, "remove", "remove a brand", "vision library remove Acme --library my-brands", run_remove)
    remove.add_argument("name", metavar="NAME", help="name or alias")

    rename = _action(
        actions,
        "rename",
        "give a brand another name",
        'vision library rename Acme "Acme Corp" --library my-brands',
        run_rename,
    )
    rename.add_argument("old", metavar="OLD")
    rename.add_argument("new", metavar="NEW")

    listing = _action(actions, "list", "list brands", "vision library list coca", run_list)
    listing.add_argument("part", nargs="?", default="", metavar="PART", help="only names and aliases that contain this")

    show = _action(actions, "show", "show a brand's references", 'vision library show "Coca-Cola"', run_show)
    show.add_argument("name", metavar="NAME", help="name or alias")
    show.add_argument("--pictures", type=Path, metavar="DIR", help="write the pictures kept of its references there")

    search = _action(
        actions, "search", "brands most like a picture or a text", "vision library search logo.png", run_search
    )
    search.add_argument("images", nargs="*", metavar="IMAGE", help="a crop that shows one mark")
    search.add_argument("--text", metavar="TEXT", help="search by words instead of a picture")
    search.add_argument("-k", type=int, default=5, metavar="K", help="how many brands (5)")

    build = _action(
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
        "--iconify", type=Path, metavar="FILE.tgz", help="the package @iconify-json/logos, when npm is not there"
    )

    _action(
        actions,
        "reembed",
        "make the vectors again with this version's embedder, or another",
        "vision library reembed --library my-brands",
        run_reembed,
    )
    from vision.cli import library_pages  # it takes `_action` and others from here

    library_pages.register(actions)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    example: str,
    run: Callable[[argparse.Namespace], int],
    *,
    library: bool = True,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", epilog=f"Example: {example}"
    )
    if library and name != "create":
        parser.add_argument(
            "--library", type=Path, metavar="DIR", help="the library's folder (the shipped one, to read)"
        )
    if name in {"create", "add", "search", "reembed"}:
        parser.add_argument(
            "--embedder", metavar="NAME/TAG", help="another open_clip model (extra train); a library keeps to one"
        )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run_create(args: argparse.Namespace) -> int:
    """Make a library, empty or a copy of the shipped one."""
    from vision.library import Library

    base = Library.default() if args.from_shipped else None
    made = Library.create(args.folder, embedder=_embedder(args), base=base)
    _say(args, {"library": str(args.folder), "brands": len(made)}, f"{args.folder}: {_count(len(made), 'brand')}")
    return 0


def run_add(args: argparse.Namespace) -> int:
    """Add pictures to a brand."""
    library = _to_write(args)
    made = library.add(
        args.name,
        args.images,
        aliases=args.alias,
        product=args.product,
        source=args.source,
        licence=args.licence,
    )
    brand = library.brand(args.name)
    row = {"brand": brand.name, "added": [r.id for r in made], "references": len(library.references(brand))}
    _say(args, row, f"{brand.name}: {_count(len(made), 'reference')} added, {row['references']} in all")
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Remove a brand with its references."""
    removed = _to_write(args).remove(args.name)
    _say(args, {"removed": removed.name}, f"removed {removed.name}")
    return 0


def run_rename(args: argparse.Namespace) -> int:
    """Change the name of a brand."""
    brand = _to_write(args).rename(args.old, args.new)
    _say(args, {"id": brand.id, "brand": brand.name}, f"renamed to {brand.name}")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """List brands, with how many references each has."""
    from collections import Counter

    from vision.library.names import fold

    library = _to_read(args)
    part = fold(args.part)
    brands = [b for b in library.brands() if any(part in fold(name) for name in (b.name, *b.aliases))]
    counts = Counter(r.brand_id for r in library.all_references())
    if args.json:
        for brand in brands:
            print(json.dumps(_brand_row(brand, counts[brand.id]), ensure_ascii=False))
        return 0
    table = _table("brand", "also", "references", title=f"{_count(len(brands), 'brand')} of {len(library)}")
    for brand in brands:
        table.add_row(brand.name, ", ".join(brand.aliases), str(counts[brand.id]))
    _print(table)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Show the references of a brand."""
    library = _to_read(args)
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
        print(json.dumps(row, ensure_ascii=False))
        return 0
    also = f" (also {', '.join(brand.aliases)})" if brand.aliases else ""
    table = _table("reference", "kind", "product", "source", "licence", "views", "picture", title=f"{brand.name}{also}")
    for r in references:
        kept = "kept" if r.thumbnail is not None else "vectors only"
        table.add_row(r.id, r.kind, r.product or "", r.source or "", r.licence or "", str(r.vectors), kept)
    _print(table)
    return 0


def run_search(args: argparse.Namespace) -> int:
    """Search by pictures or by words; the picture that cannot be read ends the command."""
    if bool(args.images) == (args.text is not None):
        raise UsageError("bad_option", "give pictures or --text", hint="vision library search logo.png")
    library = _to_read(args)
    if args.text is not None:
        answers = [(args.text, library.search_text(args.text, args.k))]
    else:
        answers = list(zip(args.images, library.search(args.images, args.k), strict=True))
    if args.json:
        for query, matches in answers:
            print(json.dumps({"query": query, "matches": [_match_row(m) for m in matches]}, ensure_ascii=False))
        return 0
    for query, matches in answers:
        table = _table("brand", "product", "similarity", "reference", title=query)
        for match in matches:
            table.add_row(match.brand, match.product or "", f"{match.similarity:.3f}", match.reference)
        _print(table)
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Make a library from drawings and real crops, by a recipe."""
    from vision.training.config import load_config
    from vision.training.library import build_library

    changes = list(args.changes)
    if "=" in str(args.recipe):  # `build photos.sets=[]`: the recipe was left out, not the change
        changes.insert(0, str(args.recipe))
        args.recipe = _RECIPE
    config = load_config(args.recipe, changes)
    shipped = (args.out.parent / "manifest.json").is_file()
    with _progress() as tell:
        library = build_library(
            config, args.out, cache=args.cache, iconify=args.iconify, progress=tell, read_only=shipped
        )
    if shipped:  # every file beside a manifest has its sha256 in it
        from vision.weights import write_manifest

        write_manifest(args.out.parent)
    references = library.all_references()
    row = {
        "library": str(args.out),
        "brands": len(library),
        "references": len(references),
        "vectors": sum(r.vectors for r in references),
    }
    _say(args, row, f"{args.out}: " + ", ".join(f"{row[key]} {key}" for key in ("brands", "references", "vectors")))
    return 0


def run_reembed(args: argparse.Namespace) -> int:
    """Make a library's vectors again."""
    from vision.library import Library

    if args.library is None:
        raise UsageError("bad_option", "the shipped library is built, not re-embedded", hint="--library DIR")
    library, lost = Library.reembed(args.library, embedder=_embedder(args))
    row = {"library": str(args.library), "brands": len(library), "dropped": [r.id for r in lost]}
    _say(
        args,
        row,
        f"{_count(len(library), 'brand')} embedded; {_count(len(lost), 'reference')} without a picture dropped",
    )
    return 0


def _to_read(args: argparse.Namespace) -> Library:
    from vision.library import Library

    embedder = _embedder(args)
    return Library.default(embedder=embedder) if args.library is None else Library.open(args.library, embedder=embedder)


def _to_write(args: argparse.Namespace) -> Library:
    from vision.library import Library

    if args.library is None:
        hint = "vision library create my-brands, then --library my-brands"
        raise UsageError("bad_option", "the shipped library is not changed", hint=hint)
    return Library.open(args.library, embedder=_embedder(args))


def _embedder(args: argparse.Namespace) -> EmbedderLike | None:
    """The embedder asked for; None for the shipped one, which a library loads when it needs it."""
    if getattr(args, "embedder", None) is None:
        return None
    from vision.embed import Embedder

    return Embedder.load(args.embedder)


def _brand_row(brand: Brand, references: int) -> dict[str, Any]:
    return {"id": brand.id, "brand": brand.name, "aliases": list(brand.aliases), "references": references}


def _reference_row(r: Reference) -> dict[str, Any]:
    return {
        "id": r.id,
        "product": r.product,
        "source": r.source,
        "licence": r.licence,
        "kind": r.kind,
        "vectors": r.vectors,
        "picture": r.thumbnail is not None,
    }


def _match_row(m: Match) -> dict[str, Any]:
    return {"brand": m.brand, "product": m.product, "reference": m.reference, "similarity": round(m.similarity, 4)}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _say(args: argparse.Namespace, row: dict[str, Any], text: str) -> None:
    print(json.dumps(row, ensure_ascii=False) if args.json else text)


def _table(*columns: str, title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=of)
            bars.update(tasks[stage], completed=done)

        yield tell
