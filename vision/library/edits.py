"""A library's state before a change, the state after it: adding, removing, renaming. Pure; `store` puts the result on disk."""

from __future__ import annotations

import difflib
import hashlib
import io
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import LibraryError, UsageError
from vision.library import store
from vision.library.names import fold, slugify
from vision.library.store import Brand, Kind, Reference, State
from vision.values import Embeddings

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Names = Mapping[str, Brand]


@dataclass(frozen=True, slots=True, eq=False)
class NewReference:
    """A reference to be added. vectors: (v, d) float32 unit rows, its views. thumbnail: encoded picture, or None to keep none."""

    vectors: Embeddings
    kind: Kind = "photo"
    product: str | None = None
    source: str | None = None
    licence: str | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewBrand:
    """A brand with references to be added; they join the brand of that name or alias when there is one."""

    name: str
    references: Sequence[NewReference] = field(repr=False)
    aliases: Sequence[str] = ()


def extended(state: State, brands: Sequence[NewBrand], path: Path) -> tuple[State, list[Reference]]:
    """The state with brands and references added, and the references made.

    Raises UsageError (bad_option) for a name that is none and for an alias of another brand, LibraryError (other_embedder) for
    vectors that do not fit.
    """
    kept = {b.id: b for b in state.brands}
    names = dict(names_of(state))
    groups: dict[str, list[Reference]] = {b.id: [] for b in state.brands}
    rows: dict[str, list[Floats]] = {b.id: [] for b in state.brands}
    starts = np.cumsum([0, *(r.vectors for r in state.references)])
    for reference, start in zip(state.references, starts[:-1], strict=True):
        groups[reference.brand_id].append(reference)
        rows[reference.brand_id].append(state.vectors[start : start + reference.vectors])
    thumbnails = _Thumbnails(bytes(state.thumbnails))
    made = []
    for new in brands:
        brand = _joined(new, kept, names, path)
        group = groups.setdefault(brand.id, [])
        taken = max((int(r.id.rpartition("/")[2]) for r in group), default=0)
        for number, item in enumerate(new.references, taken + 1):
            _check_vectors(item.vectors, state.embedder.dim, path)
            place = None if item.thumbnail is None else thumbnails.add(item.thumbnail)
            group.append(
                Reference(
                    f"{brand.id}/{number}",
                    brand.id,
                    item.product,
                    item.source,
                    item.licence,
                    item.kind,
                    len(item.vectors),
                    place,
                )
            )
            rows.setdefault(brand.id, []).append(item.vectors)
            made.append(group[-1])
    after = store.change(
        state,
        brands=tuple(kept.values()),
        references=tuple(r for brand_id in kept for r in groups[brand_id]),
        vectors=half([part for brand_id in kept for part in rows.get(brand_id, [])], state.embedder.dim),
        thumbnails=thumbnails.blob.getvalue(),
    )
    return after, made


def without(state: State, brand: Brand) -> State:
    """The state without a brand, its references, their vectors and pictures."""
    after = part(state, {b.id for b in state.brands} - {brand.id})
    thumbnails = _Thumbnails()
    packed = [
        r if r.thumbnail is None else replace(r, thumbnail=thumbnails.add(picture(state, r))) for r in after.references
    ]
    return store.change(
        state,
        brands=tuple(b for b in state.brands if b.id != brand.id),
        references=tuple(packed),
        vectors=after.vectors,
        thumbnails=thumbnails.blob.getvalue(),
    )


def part(state: State, brand_ids: Set[str] | None = None, kinds: Set[str] | None = None) -> State:
    """The state with the references of some brands and kinds only, and the brands that have one. Pictures stay as they are."""
    keep = [
        (brand_ids is None or r.brand_id in brand_ids) and (kinds is None or r.kind in kinds) for r in state.references
    ]
    references = tuple(r for r, kept in zip(state.references, keep, strict=True) if kept)
    rows = np.repeat(np.array(keep, dtype=bool), [r.vectors for r in state.references])
    held = {r.brand_id for r in references}
    return store.change(
        state,
        brands=tuple(b for b in state.brands if b.id in held),
        references=references,
        vectors=state.vectors[rows],
    )


def renamed(state: State, brand: Brand, name: str, path: Path) -> tuple[State, Brand]:
    """The state with another display name for a brand, and the brand as it is then.

    Raises UsageError (bad_option) for a name that is none, and for one that another brand has.
    """
    name = clean(name)
    other = names_of(state).get(fold(name), brand)
    if other.id != brand.id:
        raise UsageError("bad_option", f"{name!r} is a name of the brand {other.name!r}", path=str(path))
    after = replace(brand, name=name)
    return store.change(state, brands=tuple(after if b.id == brand.id else b for b in state.brands)), after


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
    if not fold(cleaned) or not cleaned.isprintable():
        hint = "it needs a letter or digit, and no control characters"
        raise UsageError("bad_option", f"{name!r} is no brand name", hint=hint)
    return cleaned


def picture(state: State, reference: Reference) -> bytes:
    """The encoded picture of a reference; empty when it has none."""
    offset, size = reference.thumbnail or (0, 0)
    return bytes(state.thumbnails[offset : offset + size])


def half(rows: Sequence[Floats], dim: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    """(v, d) parts one below the other as float16; a cosine of 256 such numbers is off by 0.0002 at most."""
    return np.concatenate([np.zeros((0, dim), dtype=np.float16), *(part.astype(np.float16) for part in rows)])


class _Thumbnails:
    """A thumbnail file in the making; equal pictures are kept once."""

    def __init__(self, start: bytes = b"") -> None:
        self.blob = io.BytesIO()
        self.blob.write(start)
        self._places: dict[bytes, tuple[int, int]] = {}

    def add(self, data: bytes) -> tuple[int, int]:
        key = hashlib.sha256(data).digest()
        if key not in self._places:
            self._places[key] = (self.blob.tell(), len(data))
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
        brand = Brand(brand_id, name)
    aliases = list(brand.aliases)
    for alias in map(clean, new.aliases):
        other = names.get(fold(alias))
        if other is not None and other.id != brand.id:
            raise UsageError("bad_option", f"{alias!r} is a name of the brand {other.name!r}", path=str(path))
        if fold(alias) not in {fold(brand.name), *map(fold, aliases)}:
            aliases.append(alias)
    brand = replace(brand, aliases=tuple(aliases))
    kept[brand.id] = brand
    names.update({fold(spelling): brand for spelling in (brand.name, *aliases)})
    return brand


def _check_vectors(vectors: Embeddings, dim: int, path: Path) -> None:
    fits = vectors.ndim == 2 and len(vectors) > 0 and vectors.shape[1] == dim
    if not fits or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2):
        what = f"vectors of shape {vectors.shape} are no unit rows of {dim} numbers"
        raise LibraryError("other_embedder", what, path=str(path))
