"""Watch-lists: the brands that a scan may claim, from the library's own lists, from a file or from a call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import UsageError
from vision.library.name_files import read_names

if TYPE_CHECKING:
    from vision.library.library import Library

# Unknown names that an error lists; more are counted.
_LISTED = 5


def resolve_watch(library: Library, watch: str | Path | Sequence[str]) -> frozenset[str]:
    """The display names of the brands to watch, as `Match.brand` has them.

    watch: names or aliases; or a list that the library holds, by its name; or a file of names, one a line. A name of a list goes
    before a file of that name, a path that says where ("./list") is a file.
    Raises UsageError (bad_option): no such list or file, a name that no brand has (each is told with its line), no names at all,
    a list that an older version of this package left empty.
    """
    if isinstance(watch, str | Path):
        if isinstance(watch, str) and watch in library.watch_lists():
            held = library.watch_list(watch)
            if not held:
                hint = f"vision library watch {watch} add BRAND..."
                raise UsageError("bad_option", f"the watch-list {watch!r} names no brand", hint=hint)
            return held
        path = Path(watch)
        if not path.is_file() and str(watch) == path.name:
            hint = f"lists of the library: {', '.join(library.watch_lists()) or 'none'}"
            raise UsageError("bad_option", f"no watch-list and no file {os.fspath(watch)!r}", hint=hint)
        return _from_file(library, path)
    return _resolved(library, [(None, name) for name in watch], None)


def _from_file(library: Library, path: Path) -> frozenset[str]:
    brands, bad = read_names(path)
    if bad:
        raise UsageError("bad_option", f"line {bad[0].number}: {bad[0].why}", path=str(path))
    return _resolved(library, [(brand.number, brand.name) for brand in brands], path)


def _resolved(library: Library, names: Iterable[tuple[int | None, str]], path: Path | None) -> frozenset[str]:
    found, faults, hint = set(), [], None
    for number, name in names:
        where = "" if number is None else f"line {number}: "
        try:
            brand = library.brand(name)
        except UsageError as error:
            faults.append(f"{where}no brand {name!r} in {library.path}")
            hint = hint or error.hint
            continue
        if brand.negative:
            faults.append(f"{where}{brand.name!r} stands for what is no brand")
        found.add(brand.name)
    if faults:
        more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise UsageError(
            "bad_option", "; ".join(faults[:_LISTED]) + more, path=None if path is None else str(path), hint=hint
        )
    if not found:
        raise UsageError("bad_option", "no brand to watch is named", path=None if path is None else str(path))
    return frozenset(found)
