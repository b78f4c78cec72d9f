"""Our own format: jsonl, one row a picture, and the `extra_boxes.jsonl` of logos that were found later beside it.

{"image", "width", "height", "boxes": [{"box": [x1, y1, x2, y2], "kind", "brand", "label"?, "ignore"?, "extra"?, …}],
 "exhaustive", "looked_at"?, "split"?, …}: images relative to the file, a split of its own for each file by its name. It holds all
that a set can say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.datasets.classes import spelled
from vision.datasets.files import parse_json, read_lines, shown, split_name
from vision.datasets.intake import Intake
from vision.datasets.labelled import LabelledBox, LabelledPicture

EXTRA_BOXES = "extra_boxes.jsonl"
_ROW = frozenset({"image", "width", "height", "boxes", "exhaustive", "looked_at", "split"})
_BOX = frozenset({"box", "kind", "brand", "label", "ignore", "extra"})


def files_of(path: Path) -> list[Path]:
    """The label files of a folder."""
    return sorted(p for p in path.glob("*.jsonl") if p.name != EXTRA_BOXES and p.is_file())


def read(path: Path, intake: Intake, *, extra_boxes: bool = True) -> list[LabelledPicture]:
    """The pictures of a file, or of all files of a folder. Raises DatasetError (missing), for faults when strict."""
    pictures: list[LabelledPicture] = []
    for file in files_of(path) if path.is_dir() else [path]:
        beside = file.with_name(EXTRA_BOXES)
        again = {}
        if extra_boxes and beside.is_file():
            again = {row["image"]: (where, row) for where, row in _rows(beside, intake, ("image",))}
        for where, row in _rows(file, intake, ("image", "boxes")):
            try:
                pictures.append(_picture(file, where, row, again.get(row["image"]), intake))
            except ValueError as error:
                intake.fault(file, where, error)
    return pictures


def _picture(
    file: Path, where: str, row: dict[str, Any], again: tuple[str, dict[str, Any]] | None, intake: Intake
) -> LabelledPicture:
    image = file.parent / row["image"]
    width, height = intake.size(image, row.get("width"), row.get("height"))
    exhaustive = _flag(row, "exhaustive")
    split = row.get("split")
    if not isinstance(split, str | None):
        raise ValueError(f"split {shown(split)} is no name")
    named = row.get("image_brands", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ValueError(f"image_brands {shown(named)} is no list of names")
    return LabelledPicture(
        path=image,
        width=width,
        height=height,
        boxes=(*_boxes(file, where, row, again, intake), *_extras(file, again, intake)),
        source=file.absolute().parent.name,
        looked_at=again is not None or exhaustive or _flag(row, "looked_at"),
        kinds=frozenset(),
        split=split or split_name(file.stem),
        exhaustive=exhaustive,
        fields={key: value for key, value in row.items() if key not in _ROW},
    )


def _boxes(
    file: Path, where: str, row: dict[str, Any], again: tuple[str, dict[str, Any]] | None, intake: Intake
) -> Iterator[LabelledBox]:
    """The source's own boxes, as they were corrected when the picture was looked at again."""
    later = again[1] if again else {}
    tight: dict[int, Any] = dict(_list(later, "tight"))
    double, doubt = set(_list(later, "double")), set(_list(later, "doubt"))
    for index, label in enumerate(_list(row, "boxes")):
        if index in double:
            intake.note("boxes left out, since another box has the same logo (double)")
            continue
        at = f"{where}, boxes[{index}]"
        try:
            if not isinstance(label, dict) or "box" not in label:
                raise ValueError(f'{shown(label)} has no "box"')
            kind = label.get("kind", "logo")
            brand = None if index in doubt else label.get("brand")
            box = intake.box(
                tight[index] if index in tight else label["box"],
                str(label.get("label") or spelled(str(kind), label.get("brand"))),
                kind=kind,
                brand=brand,
                label=label.get("label"),
                ignore=_flag(label, "ignore"),
                extra=_flag(label, "extra"),
                fields={key: value for key, value in label.items() if key not in _BOX},
            )
        except ValueError as error:
            intake.fault(file, at, error)
            continue
        if box is not None:
            yield box


def _extras(file: Path, again: tuple[str, dict[str, Any]] | None, intake: Intake) -> Iterator[LabelledBox]:
    """Logos that the source left unboxed. Unsure ones and groups are regions."""
    if again is None:
        return
    where, later = again
    for index, label in enumerate(_list(later, "extra")):
        try:
            if not isinstance(label, dict) or "box" not in label:
                raise ValueError(f'{shown(label)} has no "box"')
            unsure = not label.get("sure", True) or bool(label.get("group"))
            brand = label.get("brand")
            box = intake.box(label["box"], str(brand or "logo"), kind="logo", brand=brand, ignore=unsure, extra=True)
        except ValueError as error:
            intake.fault(file.with_name(EXTRA_BOXES), f"{where}, extra[{index}]", error)
            continue
        if box is not None:
            yield box


def read_extra_boxes(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of the `extra_boxes.jsonl` in a folder by image, for those who need more than `read` makes of them.

    Empty without such a file. Raises DatasetError (bad_label) with file and line for the first row that makes no sense.
    """
    path, intake = folder / EXTRA_BOXES, Intake(strict=True)
    found = {}
    for where, row in _rows(path, intake, ("image",)) if path.is_file() else ():
        for _ in _extras(path, (where, row), intake):
            pass  # the boxes make sense
        for index, box in row.get("tight", []):
            try:
                intake.box(box, "logo")
            except ValueError as error:
                intake.fault(path, f"{where}, tight of box {index}", error)
        found[row["image"]] = row
    return found


def _rows(path: Path, intake: Intake, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """("line 3", row) for each row that is an object, with the keys that it cannot do without."""
    for number, line in read_lines(path):
        where = f"line {number}"
        try:
            row = parse_json(line)
            _check(row, needed)
        except json.JSONDecodeError as error:
            intake.fault(path, where, f"no JSON: {error.msg} at column {error.colno}")
        except ValueError as error:
            intake.fault(path, where, error)
        else:
            yield where, row


def _check(row: Any, needed: Sequence[str]) -> None:
    """Raises ValueError for what is no row."""
    if not isinstance(row, dict):
        raise ValueError(f"{shown(row)} is no object")
    for key in needed:
        if key not in row:
            raise ValueError(f'no "{key}"')
    if not isinstance(row["image"], str) or not row["image"]:
        raise ValueError(f"image {shown(row['image'])} is no name")
    for key in ("boxes", "extra", "tight", "double", "doubt"):
        _list(row, key)
    for index, entry in enumerate(row.get("tight", [])):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], int):
            raise ValueError(f"tight[{index}] is not [number of a box, box]")
    for key in ("double", "doubt"):
        if not all(isinstance(index, int) for index in row.get(key, [])):
            raise ValueError(f"{key} {shown(row[key])} are no numbers of boxes")


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    found = row.get(key, [])
    if not isinstance(found, list):
        raise ValueError(f"{key} {shown(found)} is no list")
    return found


def _flag(row: Mapping[str, Any], key: str) -> bool:
    found = row.get(key, False)
    if not isinstance(found, bool):
        raise ValueError(f"{key} {shown(found)} is neither true nor false")
    return found


def write(path: Path, pictures: Iterable[tuple[str, LabelledPicture]]) -> None:
    """Write rows. pictures: (image, picture), image as it stands in the file, relative to it."""
    with path.open("w", encoding="utf-8") as file:
        for image, picture in pictures:
            file.write(json.dumps(_row(path, image, picture)) + "\n")


def _row(path: Path, image: str, picture: LabelledPicture) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image": image,
        "width": picture.width,
        "height": picture.height,
        "boxes": [_label(box) for box in picture.boxes],
        "exhaustive": picture.exhaustive,
    }
    if picture.looked_at and not picture.exhaustive:
        row["looked_at"] = True
    if picture.split != split_name(path.stem):
        row["split"] = picture.split
    return row | {key: value for key, value in picture.fields.items() if key not in _ROW}


def _label(box: LabelledBox) -> dict[str, Any]:
    label: dict[str, Any] = {"box": list(box.box), "kind": box.kind, "brand": box.brand}
    if box.label is not None:
        label["label"] = box.label
    label |= {key: True for key in ("ignore", "extra") if getattr(box, key)}
    return label | {key: value for key, value in box.fields.items() if key not in _BOX}
