"""Real labelled pictures: jsonl rows become pictures with boxes, the unboxed logos that were found later among them.

A set is a jsonl file with rows {"image", "width", "height", "boxes": [{"box", "kind", "brand"}], "exhaustive"}; images are
relative to the file. An `extra_boxes.jsonl` beside it lists logos that the source left unboxed: sure ones are logos like all
others, unsure ones and groups are regions where a logo is neither taught nor punished.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.errors import DatasetError
from vision.values import Box


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One box of a labelled picture. brand: null when not known. ignore: neither taught nor punished. extra: not the source's."""

    box: Box
    kind: str
    brand: str | None = None
    ignore: bool = False
    extra: bool = False


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One picture of a set. looked_at: its unboxed logos were searched for by eye. kinds: the kinds that its source boxes."""

    path: Path
    width: int
    height: int
    boxes: tuple[LabelledBox, ...]
    source: str
    looked_at: bool
    kinds: frozenset[str]


def brand_key(name: str) -> str:
    """A name folded for comparison: case, accents, spaces and punctuation do not count."""
    text = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in text if c.isalnum())


def is_kin(name: str, brands: Iterable[str]) -> bool:
    """True when a name is one of the brands or starts with one of them as whole words ("Google 2014" is kin of "Google")."""
    words = [brand_key(w) for w in name.replace("-", " ").replace("_", " ").split()]
    keys = {brand_key(b) for b in brands}
    return any("".join(words[: i + 1]) in keys for i in range(len(words)))


def read_names(path: str | None) -> tuple[str, ...]:
    """The lines of a list of brand names; empty when no list is named. Raises DatasetError (missing)."""
    if not path:
        return ()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError("missing", "no list of brands to leave out", path=str(path)) from None
    return tuple(line.strip() for line in lines if line.strip())


def read_set(path: Path, *, brands_left_out: Iterable[str] = ()) -> list[LabelledPicture]:
    """The pictures of one jsonl file, in its order; pictures with a box of `brands_left_out` or their kin are dropped.

    Raises DatasetError (missing, bad_label) with the line number.
    """
    left_out = tuple(brands_left_out)
    rows = _rows(path)
    beside = path.with_name("extra_boxes.jsonl")
    again = {row["image"]: row for row in _rows(beside)} if beside.is_file() else {}
    kinds = frozenset(b.get("kind", "logo") for row in rows for b in row["boxes"])
    pictures = []
    for row in rows:
        boxes = _boxes(row, again.get(row["image"]))
        named = [b.brand for b in boxes if b.brand] + list(row.get("image_brands", []))
        if any(is_kin(name, left_out) for name in named):
            continue
        image = path.parent / row["image"]
        pictures.append(
            LabelledPicture(
                image,
                row["width"],
                row["height"],
                boxes,
                path.parent.name,
                row["image"] in again or bool(row.get("exhaustive")),
                kinds,
            )
        )
    return pictures


def _boxes(row: dict[str, Any], again: dict[str, Any] | None) -> tuple[LabelledBox, ...]:
    tight = dict(again.get("tight", [])) if again else {}
    left_out = set(again.get("double", [])) if again else set()
    doubted = set(again.get("doubt", [])) if again else set()
    found = []
    for index, box in enumerate(row["boxes"]):
        if index in left_out:
            continue
        brand = None if index in doubted else box.get("brand")
        found.append(LabelledBox(_xyxy(tight.get(index, box["box"])), box.get("kind", "logo"), brand))
    for extra in again["extra"] if again else []:
        unsure = not extra.get("sure", True) or bool(extra.get("group"))
        found.append(LabelledBox(_xyxy(extra["box"]), "logo", extra.get("brand"), ignore=unsure, extra=True))
    return tuple(found)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError("missing", "no such set", path=str(path)) from None
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise DatasetError("bad_label", f"line {number} is no JSON: {error}", path=str(path)) from None
    return rows


def _xyxy(values: list[float]) -> Box:
    left, top, right, bottom = (float(v) for v in values)
    return (left, top, right, bottom)
