"""A library's state before a change, the state after it: adding, removing, renaming. Pure; `store` puts the result on disk."""

from __future__ import annotations

import difflib
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import LibraryError, UsageError
from vision.library.names import fold, is_readable, slugify, storable
from vision.library.state import Brand, Half, Kind, Reference, State, Thumbnail, grouped
from vision.values import Embeddings

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Names = Mapping[str, Brand]


@dataclass(frozen=True, slots=True, eq=False)
class NewReference:
    """A reference to be added. vectors: (v, d) float32 unit rows, its views. thumbnail: encoded picture, or None to keep none.

    The rest is as of `Reference`; a brand's references are "photo" or "drawing", those of something that is none are "negative".
    """

    vectors: Embeddings
    kind: Kind = "photo"
    product: str | None = None
    source: str | None = None
    licence: str | None = None
    thumbnail: bytes | None = None
    line: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None


@dataclass(frozen=True, slots=True)
class NewBrand:
    """A brand with references to be added; they join the brand of that name or alias when there is one.

    Without references it is known by its names alone. negative: no brand, but something that looks like one.
    """

    name: str
    references: Sequence[NewReference] = field(default=(), repr=False)
    aliases: Sequence[str] = ()
    negative: bool = False


def extended(
    state: State,
    brands: Sequence[NewBrand],
    path: Path,
    *,
    skip: Callable[[int, UsageError], None] | None = None,
    drop_aliases: bool = False,
) -> tuple[State, list[Reference]]:
    """The state with brands and references added, and the references made.

    skip: is told the number and the fault of a brand whose names cannot be, which is then left out; without it that is raised.
    drop_aliases: with skip, a brand with an alias of another one joins without that alias.
    Raises UsageError (bad_option) for a name that is none, for an alias of another brand, and for dates that leave no day;
    LibraryError (other_embedder) for vectors that do not fit.
    """
    kept = {b.id: b for b in state.brands}
    names = dict(names_of(state))
    joined: list[tuple[Brand, NewBrand]] = []
    for number, each in enumerate(brands):
        try:
            loose = drop_aliases and skip is not None
            new = _without_taken(each, number, names, path, skip) if loose else each
            joined.append((_joined(new, kept, names, path), new))
        except UsageError as error:
            if skip is None:
                raise
            skip(number, error)
    last = _last_numbers(state, {brand.id for brand, _ in joined})
    thumbnails = _Thumbnails(f"new-{len(state.blobs)}")
    made: list[Reference] = []
    rows: list[Floats] = []
    for brand, new in joined:
        for item in new.references:
            _check(item, brand, state.embedder.dim, path)
            last[brand.id] = last.get(brand.id, 0) + 1
            place = None if item.thumbnail is None else thumbnails.add(item.thumbnail)
            made.append(_reference(f"{brand.id}/{last[brand.id]}", brand, item, place))
            rows.append(item.vectors)
    after = tuple(kept.values())
    if not made:
        return (state if after == state.brands else replace(state, brands=after)), made
    ordered, vectors = grouped(after, [*state.references, *made], half([state.vectors, *rows], state.embedder.dim))
    blobs = {**state.blobs, thumbnails.name: thumbnails.blob.getvalue()}
    return replace(state, brands=after, references=ordered, vectors=vectors, blobs=blobs), made


def unheld(state: State, brands: Sequence[NewBrand]) -> tuple[list[NewBrand], int]:
    """Brands to be added without the references that their brand has already, and how many those were.

    The same vectors are the same picture, whatever its file is called; of another product, or valid on other days, it is another
    reference.
    """
    names = names_of(state)
    ids = {brand.id for new in brands if (brand := names.get(fold(new.name))) is not None}
    held: dict[str, set[tuple[object, ...]]] = {}
    for reference, start in zip(state.references, state.starts().tolist(), strict=False):
        if reference.brand_id in ids:
            rows = state.vectors[start : start + reference.vectors]
            key = (reference.line, reference.product, reference.valid_from, reference.valid_until, rows.tobytes())
            held.setdefault(reference.brand_id, set()).add(key)
    found, known = [], 0
    for new in brands:
        brand = names.get(fold(new.name))
        seen = held.setdefault(fold(new.name) if brand is None else brand.id, set())
        fresh = []
        for item in new.references:
            what = (storable(item.line), storable(item.product), item.valid_from, item.valid_until)
            key = (*what, item.vectors.astype(np.float16).tobytes())
            if key not in seen:
                fresh.append(item)
            seen.add(key)
        known += len(new.references) - len(fresh)
        found.append(replace(new, references=fresh))
    return found, known


def as_new(state: State) -> list[NewBrand]:
    """All that a state holds, as brands to be added to another. Raises LibraryError (damaged) for an altered picture."""
    found = {b.id: NewBrand(b.name, [], b.aliases, b.negative) for b in state.brands}
    groups: dict[str, list[NewReference]] = {b.id: [] for b in state.brands}
    for r, start in zip(state.references, state.starts().tolist(), strict=False):
        vectors = state.vectors[start : start + r.vectors].astype(np.float32)
        groups[r.brand_id].append(
            NewReference(
                vectors,
                r.kind,
                r.product,
                r.source,
                r.licence,
                state.picture(r) or None,
                r.line,
                r.valid_from,
                r.valid_until,
            )
        )
    return [replace(new, references=groups[brand_id]) for brand_id, new in found.items()]


def without(state: State, brand: Brand) -> State:
    """The state without a brand, its references and their vectors; watch-lists lose it, and are gone when none is left."""
    brands = tuple(b for b in state.brands if b.id != brand.id)
    after = replace(state, brands=brands, watch=_watching_only(state, brands))
    after = _keeping(after, [r.brand_id != brand.id for r in state.references])
    return _numbered(after, _last_numbers(state, {brand.id}))


def without_references(state: State, references: Sequence[Reference]) -> State:
    """The state without some references; a brand that has no other is known by its names from then on."""
    ids = {r.id for r in references}
    after = _keeping(state, [r.id not in ids for r in state.references])
    return _numbered(after, _last_numbers(state, {r.brand_id for r in references}))


def part(state: State, brand_ids: Set[str] | None = None, kinds: Set[str] | None = None) -> State:
    """The state with the references of some brands and kinds only, and their brands.

    A brand all of whose references are of other kinds is left out; one that is known by name alone is not.
    """
    keep = [
        (brand_ids is None or r.brand_id in brand_ids) and (kinds is None or r.kind in kinds) for r in state.references
    ]
    after = _keeping(state, keep)
    gone = {r.brand_id for r in state.references} - {r.brand_id for r in after.references}
    brands = tuple(b for b in state.brands if b.id not in gone and (brand_ids is None or b.id in brand_ids))
    return replace(after, brands=brands, watch=_watching_only(state, brands))


def renamed(state: State, brand: Brand, name: str, path: Path) -> tuple[State, Brand]:
    """The state with another display name for a brand, and the brand as it is then; an alias of that name is one no more.

    Raises UsageError (bad_option) for a name that is none, and for one that another brand has.
    """
    name = clean(name)
    other = names_of(state).get(fold(name), brand)
    if other.id != brand.id:
        raise UsageError("bad_option", f"{name!r} is a name of the brand {other.name!r}", path=str(path))
    aliases = tuple(alias for alias in brand.aliases if fold(alias) != fold(name))
    after = replace(brand, name=name, aliases=aliases)
    return replace(state, brands=tuple(after if b.id == brand.id else b for b in state.brands)), after


def watching(state: State, name: str, brand_ids: Iterable[str]) -> State:
    """The state with a watch-list of these brands, in place of one of that name; without brands there is no such list.

    Raises UsageError (bad_option) for a name that cannot be read or stored.
    """
    if not name.strip() or not is_readable(name):
        raise UsageError("bad_option", f"{name!r} is no name of a watch-list")
    ids = tuple(dict.fromkeys(brand_ids))
    others = {key: value for key, value in state.watch.items() if key != name}
    return replace(state, watch=others | ({name: ids} if ids else {}))


def numbered(after: State, before: State) -> State:
    """A state that will not give the ids again that another one gave."""
    return _numbered(after, _last_numbers(before))


def names_of(state: State) -> Names:
    """Folded names and aliases to brands; a name goes before another brand's alias."""
    names = {fold(brand.name): brand for brand in state.brands}
    for brand in state.brands:
        for alias in brand.aliases:
            names.setdefault(fold(alias), brand)
    return names


def find(names: Names, name: str, path: Path) -> Brand:
    """The brand of a name or alias. Raises UsageError (bad_option) that proposes names like it."""
    brand = names.get(fold(name))
    if brand is None:
        near = difflib.get_close_matches(fold(name), names, n=3)
        hint = f"did you mean {', '.join(dict.fromkeys(names[key].name for key in near))}?" if near else None
        raise UsageError("bad_option", f"no brand {name!r} in this library", path=str(path), hint=hint)
    return brand


def clean(name: str) -> str:
    """A name with single spaces. Raises UsageError (bad_option) when nothing of it can be read or stored."""
    cleaned = " ".join(name.split())
    if not fold(cleaned) or not is_readable(cleaned):
        hint = "it needs a letter or digit, and no control characters"
        raise UsageError("bad_option", f"{name!r} is no brand name", hint=hint)
    return cleaned


def half(rows: Sequence[Floats], dim: int) -> Half:
    """(v, d) parts one below the other as float16; a cosine of 256 such numbers is off by 0.0002 at most."""
    return np.concatenate(
        [np.zeros((0, dim), dtype=np.float16), *(part.astype(np.float16, copy=False) for part in rows)]
    )


class _Thumbnails:
    """Pictures to be stored; equal ones are kept once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.blob = io.BytesIO()
        self._places: dict[bytes, Thumbnail] = {}

    def add(self, data: bytes) -> Thumbnail:
        key = hashlib.sha256(data).digest()
        if key not in self._places:
            self._places[key] = Thumbnail(self.name, self.blob.tell(), len(data), zlib.crc32(data))
            self.blob.write(data)
        return self._places[key]


def _joined(new: NewBrand, kept: dict[str, Brand], names: dict[str, Brand], path: Path) -> Brand:
    """The brand that new references belong to, with new aliases noted; made when there is none of that name."""
    name = clean(new.name)
    brand = names.get(fold(name))
    if brand is None:
        brand_id, number = slugify(name), 2
        while brand_id in kept:  # a renamed brand keeps the id of its first name
            brand_id, number = f"{slugify(name)}-{number}", number + 1
        brand = Brand(brand_id, name, negative=new.negative)
    if brand.negative != new.negative:
        what = "stands for what is no brand" if brand.negative else "is a brand"
        hint = "choose another name" if brand.negative else f'name what it is, "sign like {brand.name}"'
        raise UsageError("bad_option", f"{brand.name!r} {what}", path=str(path), hint=hint)
    aliases = list(brand.aliases)
    for alias in map(clean, new.aliases):
        other = names.get(fold(alias))
        if other is not None and other.id != brand.id:
            raise UsageError("bad_option", f"{alias!r} is a name of the brand {other.name!r}", path=str(path))
        if fold(alias) not in {fold(brand.name), *map(fold, aliases)}:
            aliases.append(alias)
    if len(aliases) != len(brand.aliases):
        brand = replace(brand, aliases=tuple(aliases))
    kept[brand.id] = brand
    names.update({fold(spelling): brand for spelling in (brand.name, *aliases)})
    return brand


def _without_taken(
    new: NewBrand, number: int, names: Names, path: Path, tell: Callable[[int, UsageError], None] | None
) -> NewBrand:
    """A brand to be added without the aliases that are names of others."""
    brand = names.get(fold(new.name))
    free = []
    for alias in new.aliases:
        other = names.get(fold(alias))
        if other is None or (brand is not None and other.id == brand.id):
            free.append(alias)
        elif tell is not None:
            tell(number, UsageError("bad_option", f"{alias!r} is a name of the brand {other.name!r}", path=str(path)))
    return replace(new, aliases=free)


def _check(item: NewReference, brand: Brand, dim: int, path: Path) -> None:
    vectors = item.vectors
    fits = vectors.ndim == 2 and len(vectors) > 0 and vectors.shape[1] == dim
    if not fits or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2):
        what = f"vectors of shape {vectors.shape} are no unit rows of {dim} numbers"
        raise LibraryError("other_embedder", what, path=str(path))
    if item.kind == "negative" and not brand.negative:
        raise UsageError("bad_option", f"{brand.name!r} is a brand", path=str(path), hint="add_negative")
    if item.valid_from is not None and item.valid_until is not None and item.valid_from > item.valid_until:
        what = f"a reference of {brand.name!r} from {item.valid_from} until {item.valid_until} is never valid"
        raise UsageError("bad_option", what, path=str(path))


def _reference(reference_id: str, brand: Brand, item: NewReference, place: Thumbnail | None) -> Reference:
    return Reference(
        reference_id,
        brand.id,
        storable(item.product),
        storable(item.source),
        storable(item.licence),
        "negative" if brand.negative else item.kind,
        len(item.vectors),
        place,
        storable(item.line),
        item.valid_from,
        item.valid_until,
    )


def _keeping(state: State, keep: Sequence[bool]) -> State:
    rows = np.repeat(np.array(keep, dtype=bool), [r.vectors for r in state.references])
    references = tuple(r for r, kept in zip(state.references, keep, strict=True) if kept)
    return replace(state, references=references, vectors=state.vectors[rows])


def _watching_only(state: State, brands: Iterable[Brand]) -> dict[str, tuple[str, ...]]:
    """The watch-lists with these brands only; a list of none would let a scan claim nothing."""
    held = {brand.id for brand in brands}
    watch = {name: tuple(i for i in ids if i in held) for name, ids in state.watch.items()}
    return {name: ids for name, ids in watch.items() if ids}


def _last_numbers(state: State, brand_ids: Set[str] | None = None) -> dict[str, int]:
    """The highest number that references of brands ever had."""
    last = {key: number for key, number in state.numbers.items() if brand_ids is None or key in brand_ids}
    for r in state.references:
        if brand_ids is None or r.brand_id in brand_ids:
            last[r.brand_id] = max(last.get(r.brand_id, 0), r.number)
    return last


def _numbered(after: State, given: Mapping[str, int]) -> State:
    """A state that will not give the ids again that were given: the highest numbers, by brand id."""
    left = _last_numbers(after, given.keys())
    more = {key: number for key, number in given.items() if number > left.get(key, 0)}
    return replace(after, numbers={**after.numbers, **more})
