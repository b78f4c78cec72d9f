"""What a person decided about crops of a run, kept in the library's folder so that it need not be decided again.

Accepted crops become references; refused ones are remembered with the brand that was proposed, by picture and place and by their
vector, so that neither the same box, nor another box round the same mark, nor a copy of the picture is proposed for it again.
"""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vision import geometry
from vision.errors import LibraryError, PictureError, UsageError
from vision.files import write_atomically
from vision.library import store
from vision.library.edits import NewBrand, NewReference, clean, names_of
from vision.library.names import fold, storable
from vision.values import Box, Embeddings, Pixels

if TYPE_CHECKING:
    from vision.library.library import Library

SCHEMA = "vision.decisions/1"
DECIDED = "decisions.jsonl"  # inside the library's folder
_LOCK_SECONDS = 10.0

Verb = Literal["accept", "refuse"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about one crop.

    brand: on accept the brand that it joins; on refuse the one that was proposed, null for a stranger.
    path, file: of the picture, in the results and on this machine. picture: its sha256.
    """

    id: str
    verb: Verb
    brand: str | None
    path: str
    file: str
    picture: str
    box: Box

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Decision:
        """Of a row of decisions.json. Raises UsageError (bad_option) when it is none."""
        try:
            left, top, right, bottom = (float(edge) for edge in row["box"])
            verb = {"accept": "accept", "refuse": "refuse"}[row["decision"]]
            brand = row["brand"]
            texts = [row[key] for key in ("id", "path", "file", "picture")]
            known = all(isinstance(t, str) for t in texts) and (brand is None or isinstance(brand, str))
            if not known or not all(map(math.isfinite, (left, top, right, bottom))) or left >= right or top >= bottom:
                raise ValueError("values of other types")
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                "bad_option", f"no decision: {error!r}", hint="download them from the page again"
            ) from None
        if verb == "accept":
            brand = clean(brand or "")
        id_, path, file, picture = texts
        return cls(
            id_, "accept" if verb == "accept" else "refuse", brand, path, file, picture, (left, top, right, bottom)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    """A row of decisions.jsonl. brand: as it was called then; brand_id survives renaming. vector: (d,) of the crop, null when its
    picture was gone.
    """

    id: str
    verb: Verb
    brand: str | None
    brand_id: str | None
    picture: str
    box: Box
    embedder: str | None
    vector: Embeddings | None


class Decisions:
    """All that was decided for one library, kept in its folder as decisions.jsonl: one row each, the last of an id counts."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._by_id: dict[str, _Remembered] = {}
        for row in rows:
            self._by_id[row["id"]] = _Remembered(
                row["id"],
                row["decision"],
                row.get("brand"),
                row["brand_id"],
                row["picture"],
                tuple(row["box"]),
                row["embedder"],
                _unpacked(row["vector"]),
            )
        self._by_picture: dict[str, list[_Remembered]] = defaultdict(list)
        self._refused: dict[tuple[str, str | None], list[Embeddings]] = defaultdict(list)
        for each in self._by_id.values():
            self._by_picture[each.picture].append(each)
            if each.verb == "refuse" and each.vector is not None and each.embedder is not None:
                self._refused[each.embedder, each.brand_id].append(each.vector)

    def __len__(self) -> int:
        return len(self._by_id)

    @classmethod
    def read(cls, folder: Path) -> Decisions:
        """The decisions in a library's folder; none when nothing was decided. Raises LibraryError (damaged)."""
        return cls(_rows(folder / DECIDED))

    def covers(self, picture: str, box: Box, brand_id: str | None) -> bool:
        """True when this place of this picture was refused for that brand, or accepted for any.

        The place is the same when half of both boxes together is common: another detector, or the same at another size, draws
        another box round the same mark.
        """
        return any(
            (each.verb == "accept" or each.brand_id == brand_id) and _overlap(each.box, box) >= 0.5
            for each in self._by_picture.get(picture, ())
        )

    def refuses(self, vector: Embeddings, brand_id: str | None, embedder: str, least: float) -> bool:
        """True when a crop this much like it was refused for that brand: the same mark in a copy of the picture."""
        return any(float(vector @ other) >= least for other in self._refused.get((embedder, brand_id), ()))

    def has(self, decision: Decision, brand_id: str | None) -> bool:
        """True when just this was decided before."""
        found = self._by_id.get(decision.id)
        return found is not None and (found.verb, found.brand_id) == (decision.verb, brand_id)

    def brand_of(self, decision: Decision) -> str | None:
        """The id of the brand of a decision that was made just so before, whatever the brand is called now; else null."""
        found = self._by_id.get(decision.id)
        same = found is not None and (found.verb, found.brand) == (decision.verb, decision.brand)
        return found.brand_id if found is not None and same else None

    def accepted_as(self, id_: str) -> str | None:
        """The id of the brand that a crop was accepted as under this id; null when it was not."""
        found = self._by_id.get(id_)
        return found.brand_id if found is not None and found.verb == "accept" else None

    def accepts(self, picture: str, box: Box, brand_id: str, besides: Container[str]) -> bool:
        """Whether just this place was accepted as a brand, by another decision than some."""
        return any(
            each.verb == "accept" and each.brand_id == brand_id and each.box == box and each.id not in besides
            for each in self._by_picture.get(picture, ())
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did. references: made, by id. refused: remembered. before: decided like this before. failed: id and reason.

    removed: references, by id, of crops that had been accepted and now are refused, or accepted as another brand.
    """

    references: tuple[str, ...]
    refused: int
    before: int
    failed: tuple[tuple[str, str], ...]
    removed: tuple[str, ...] = ()


def apply(library: Library, decisions: Iterable[Decision], cut: Callable[[Decision], Pixels]) -> Applied:
    """Add accepted crops to the library, take back what is no longer accepted, and remember every decision.

    cut: the pixels of a decision's crop, or PictureError: then it fails, unless it is a refusal, which needs no picture. What was
    applied before is left alone; what was accepted before is added again when its reference is gone, as after going back to an
    older version. A crop accepted as what is no brand fails.
    A program that dies between the writes does no harm: a reference with the same source is not added again.
    Raises LibraryError (read_only, locked, damaged, other_embedder), UsageError (bad_option).
    """
    from vision.library.pictures import PICTURE_SIDE, encode_thumbnail

    if library.read_only:
        hint = "vision library create my-brands --from-shipped, then --library my-brands"
        raise LibraryError("read_only", "the shipped library is not changed", path=str(library.path), hint=hint)
    known = Decisions.read(library.path)
    held = {(r.brand_id, r.source) for r in library.all_references()}
    negatives = {name for name, brand in names_of(library.state).items() if brand.negative}
    given = {d.id: d for d in decisions}  # the last of an id counts
    new: dict[str, list[NewReference]] = defaultdict(list)
    rows: list[tuple[Decision, str | None, Embeddings | None]] = []
    failed: list[tuple[str, str]] = []
    wanted: set[tuple[str | None, str | None]] = set()
    stale: set[tuple[str | None, str | None]] = set()
    before = 0
    for decision in given.values():
        name, brand_id = _meant(decision, known, library)
        marks = (_source(decision), _place(decision))
        there = any((brand_id, mark) in held for mark in marks)
        if decision.verb == "accept":
            wanted |= {(brand_id, mark) for mark in marks}
        if known.has(decision, brand_id) and (decision.verb == "refuse" or there):
            before += 1
            continue
        if decision.verb == "accept" and fold(str(decision.brand)) in negatives:
            failed.append((decision.id, f"{decision.brand!r} stands for what is no brand"))
            continue
        try:
            pixels = cut(decision)
        except PictureError as error:
            if decision.verb == "accept":
                failed.append((decision.id, str(error)))
                continue
            pixels = None
        past = known.accepted_as(decision.id)
        if past is not None and not known.accepts(decision.picture, decision.box, past, given):
            stale |= {(past, mark) for mark in marks}
        vector = None if pixels is None else library.embedder.embed_images([pixels])
        rows.append((decision, name, None if vector is None else vector[0]))
        if pixels is None or vector is None:
            continue
        if decision.verb == "accept" and (brand_id, marks[0]) not in held:
            thumbnail = encode_thumbnail(pixels, PICTURE_SIDE)
            new[str(name)].append(NewReference(vector, "photo", None, marks[0], None, thumbnail))
    made = _add(library, new)
    removed = _take_back(library, stale - wanted)
    if rows:
        _remember(library, rows)
    refused = sum(decision.verb == "refuse" for decision, _, _ in rows)
    return Applied(made, refused, before, tuple(failed), removed)


def _meant(decision: Decision, known: Decisions, library: Library) -> tuple[str | None, str | None]:
    """The name and the id of a decision's brand, which may have another name by now if the same was decided before."""
    before = known.brand_of(decision)
    for brand in library.state.brands if before is not None else ():
        if brand.id == before:
            return brand.name, before
    return decision.brand, brand_id_of(library, decision.brand)


def _add(library: Library, new: Mapping[str, Sequence[NewReference]]) -> tuple[str, ...]:
    """Add references of brands in one write; their ids."""
    brands = [NewBrand(name, references) for name, references in new.items()]
    count = sum(len(brand.references) for brand in brands)
    made = library.extend(brands, message=f"{count} crops of scans accepted") if brands else []
    return tuple(r.id for r in made)


def _take_back(library: Library, stale: Container[tuple[str | None, str | None]]) -> tuple[str, ...]:
    """Remove the references of brands and sources in one write; their ids."""
    removed = tuple(r.id for r in library.all_references() if (r.brand_id, r.source) in stale)
    if removed:
        library.remove_references(removed, message=f"{len(removed)} crops of scans no longer accepted")
    return removed


def adopt(library: Library, data: bytes, names: Mapping[str, str], path: Path) -> None:
    """Remember what was decided for another library, too; what was decided here stays as it is.

    data: of its decisions.jsonl. names: its brands by id, as ids differ between libraries. path: to name in an error.
    Raises LibraryError (damaged, locked, read_only).
    """
    known = {row["id"] for row in _rows(library.path / DECIDED)}
    rows = [row for row in parsed(data, path) if row["id"] not in known]
    if rows:
        brands = ((row, names.get(row["brand_id"])) for row in rows)
        _append(library, [row | ({"brand_id": brand_id_of(library, brand)} if brand else {}) for row, brand in brands])


def _remember(library: Library, rows: Sequence[tuple[Decision, str | None, Embeddings | None]]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = [
        {
            "schema": SCHEMA,
            "id": decision.id,
            "decision": decision.verb,
            "brand": decision.brand,
            "brand_id": brand_id_of(library, name),
            "path": decision.path,
            "picture": decision.picture,
            "box": list(decision.box),
            "when": now,
            "embedder": None if vector is None else library.embedder.id,
            "vector": None if vector is None else _packed(vector),
        }
        for decision, name, vector in rows
    ]
    _append(library, new)


def _append(library: Library, rows: Sequence[Mapping[str, Any]]) -> None:
    path = library.path / DECIDED
    with store.lock(library.path, _LOCK_SECONDS):
        old = path.read_bytes() if path.is_file() else b""
        write_atomically(path, old + "".join(json.dumps(row) + "\n" for row in rows).encode())


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return parsed(data, path)


def parsed(data: bytes, path: Path) -> list[dict[str, Any]]:
    """The rows of a decisions.jsonl. path: to name in an error. Raises LibraryError (damaged)."""
    lines = data.splitlines()
    try:
        rows = [json.loads(line) for line in lines]
        Decisions(rows)
    except (ValueError, KeyError, TypeError) as error:
        hint = "restore it, or remove it: then nothing was decided"
        raise LibraryError("damaged", f"no decisions: {error!r}", path=str(path), hint=hint) from None
    return rows


def brand_id_of(library: Library, brand: str | None) -> str | None:
    """The id of a brand; of one that the library does not hold yet, its folded name."""
    if brand is None:
        return None
    return library.brand(brand).id if brand in library else fold(brand)


def _source(decision: Decision) -> str:
    """Where an accepted reference came from: path#left,top,right,bottom@ and 12 digits of the picture's sha256.

    Another picture may come to the same path, and have its mark at the same place.
    """
    return f"{_place(decision)}@{decision.picture[:12]}" if decision.picture else _place(decision)


def _place(decision: Decision) -> str:
    """The source without the picture: all of it, in libraries that older versions of this package wrote."""
    return f"{storable(decision.path)}#{','.join(str(round(edge)) for edge in decision.box)}"


def _overlap(one: Box, other: Box) -> float:
    boxes = np.array([one, other], dtype=np.float32)
    return float(geometry.iou(boxes[:1], boxes[1:])[0, 0])


def _packed(vector: Embeddings) -> str:
    return base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")


def _unpacked(text: str | None) -> Embeddings | None:
    if text is None:
        return None
    half: npt.NDArray[np.float16] = np.frombuffer(base64.b64decode(text), dtype="<f2")
    return half.astype(np.float32)
