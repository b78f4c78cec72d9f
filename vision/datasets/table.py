"""CSV: a row a box, columns by their headers.

Read are the headers of Roboflow and TensorFlow (filename,width,height,class,xmin,ymin,xmax,ymax), of OpenImages (ImageID, XMin,
…: shares of the picture), x,y,w,h in place of corners, and rows without a header as RetinaNet has them (path,x1,y1,x2,y2,class).
A row without numbers is a picture that shows nothing. Comma, semicolon and tabulator separate.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vision.datasets.classes import class_name
from vision.datasets.files import SLACK, SPLITS, find_file, number, split_name, unreadable
from vision.datasets.intake import Intake
from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.errors import DatasetError

# Column: the headers that mean it, folded to lower-case letters and digits; the first that is there counts.
HEADERS = {
    "image": "image filename imagename imagepath filepath path file img imagefile imageid",
    "xmin": "xmin x1 left bboxxmin",
    "ymin": "ymin y1 top bboxymin",
    "xmax": "xmax x2 right bboxxmax",
    "ymax": "ymax y2 bottom bboxymax",
    "x": "x bboxx bboxleft",
    "y": "y bboxy bboxtop",
    "w": "w bboxw bboxwidth boxwidth",
    "h": "h bboxh bboxheight boxheight",
    "class": "class classname category categoryname labelname name label",
    "width": "width imagewidth imgwidth imgw",
    "height": "height imageheight imgheight imgh",
    "split": "split set subset usage",
    "kind": "kind",
    "brand": "brand",
    "label": "label",
    "ignore": "ignore iscrowd difficult",
    "extra": "extra",
    "exhaustive": "exhaustive",
    "looked_at": "lookedat",
}
COLUMNS = (
    *("image", "width", "height", "xmin", "ymin", "xmax", "ymax", "class", "kind", "brand", "label"),
    *("ignore", "extra", "exhaustive", "looked_at", "split"),
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SIDES = ("x", "y", "w", "h")
_HEADERLESS = ("image", "xmin", "ymin", "xmax", "ymax", "class")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Row:
    """One picture while its rows come by."""

    where: str
    first: dict[str, str]
    labels: list[tuple[str, dict[str, str]]] = field(default_factory=list)


def files_of(folder: Path) -> list[Path]:
    """The CSV files of a folder, in it or in the folders of the splits, whose headers are ours."""
    found = [*folder.glob("*.csv"), *(p for name in SPLITS for p in folder.glob(f"{name}/*.csv"))]
    return sorted(path for path in found if path.is_file() and _looks_right(path))


def _looks_right(path: Path) -> bool:
    try:
        next(_rows(path), None)
    except csv.Error:
        return True  # below headers that are ours: reading says so
    except (DatasetError, ValueError):
        return False
    return True


def read(path: Path, intake: Intake) -> list[LabelledPicture]:
    """The pictures of a file, or of all files of a folder, in the order of their first rows."""
    return [p for file in (files_of(path) if path.is_dir() else [path]) for p in _read_file(file, intake)]


def _read_file(file: Path, intake: Intake) -> Iterator[LabelledPicture]:
    pictures: dict[str, _Row] = {}
    try:
        for where, row in _rows(file):
            if not row.get("image", "").strip():
                intake.fault(file, where, "no image")
                continue
            picture = pictures.setdefault(row["image"], _Row(where, row))
            if any(row.get(column, "").strip() for column in (*_CORNERS, *_SIDES)):
                picture.labels.append((where, row))
    except csv.Error as error:
        intake.fault(file, "", f"no CSV from here on: {error}")
    # a column that only our own files have: those hold pixels, also where the only boxes are a pixel small
    ours = any("looked_at" in picture.first for picture in pictures.values())
    shares = not ours and _are_shares(pictures.values())
    if shares:
        intake.note("all edges are at most 1: read as shares of the pictures")
    folder = SPLITS.get(file.absolute().parent.name.casefold()) if file.stem.startswith("_") else None
    root = file.absolute().parent.parent if folder else file.absolute().parent
    split = folder or split_name(file.stem)
    for image, picture in pictures.items():
        path = _find(file, image, picture.first.get("split") or split)
        try:
            width, height = intake.size(path, picture.first.get("width"), picture.first.get("height"))
        except ValueError as error:
            intake.fault(file, picture.where, error)
            continue
        boxes = []
        for where, row in picture.labels:
            try:
                box = _box(row, (width, height) if shares else (1, 1), intake)
            except ValueError as error:
                intake.fault(file, where, error)
                continue
            if box is not None:
                boxes.append(box)
        exhaustive = _flag(picture.first, "exhaustive")
        yield LabelledPicture(
            path=path,
            width=width,
            height=height,
            boxes=tuple(boxes),
            source=root.name,
            looked_at=exhaustive or _flag(picture.first, "looked_at"),
            kinds=frozenset(),
            split=picture.first.get("split") or split,
            exhaustive=exhaustive,
        )


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """("line 2", values by column). Raises DatasetError (missing; bad_label for headers that name no boxes), csv.Error."""
    line = 1
    columns: Mapping[str, int] | None = None
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            head = opened.readline()
            opened.seek(0)
            delimiter = max(",;\t", key=head.count)
            reader = csv.reader(opened, delimiter=delimiter)
            for values in reader:
                where, line = f"line {line}", reader.line_num + 1
                if not any(value.strip() for value in values):
                    continue
                if columns is None:
                    columns, is_header = _columns(values, file)
                    if is_header:
                        continue
                yield where, {name: values[at] for name, at in columns.items() if at < len(values)}
    except csv.Error as error:
        if columns is None:
            raise DatasetError("bad_label", f"line {line}: no CSV: {error}", path=str(file)) from None
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(error, file, after_line=line - 1) from None


def _columns(first: list[str], file: Path) -> tuple[dict[str, int], bool]:
    """Where each column is, by the first row; and whether that row is a header."""
    folded = ["".join(c for c in name.casefold() if c.isalnum()) for name in first]
    columns: dict[str, int] = {}
    for column, words in HEADERS.items():
        at = next((folded.index(word) for word in words.split() if word in folded), None)
        if at is not None:
            columns[column] = at
    if {"x", "y", "width", "height"} <= columns.keys() and not {"w", "h", "xmax"} & columns.keys():
        columns["w"], columns["h"] = columns.pop("width"), columns.pop("height")  # they can only be the box's
    if columns.get("label") == columns.get("class"):
        columns.pop("label", None)  # "label" is the class where there is no other
    if "image" in columns and (all(c in columns for c in _CORNERS) or all(c in columns for c in _SIDES)):
        return columns, True
    if len(first) == len(_HEADERLESS) and _numbers_or_empty(first[1:5]):
        return {name: at for at, name in enumerate(_HEADERLESS)}, False
    raise DatasetError(
        "bad_label",
        "line 1: the headers name no pictures and boxes",
        path=str(file),
        hint="image,xmin,ymin,xmax,ymax,class are enough",
    )


def _numbers_or_empty(values: Iterable[str]) -> bool:
    try:
        return all(not value.strip() or number(value) is not None for value in values)
    except ValueError:
        return False


def _are_shares(pictures: Iterable[_Row]) -> bool:
    """Whether all edges of a file lie in [0, 1], but for rounding: as pixels they would be one pixel's boxes."""
    some = False
    for picture in pictures:
        for _, row in picture.labels:
            try:
                values = [number(row.get(c, "")) for c in (_CORNERS if _CORNERS[0] in row else _SIDES)]
            except ValueError:
                continue
            if min(values) < -SLACK or max(values) > 1 + SLACK:
                return False
            some = True
    return some


def _box(row: Mapping[str, str], scale: tuple[int, int], intake: Intake) -> LabelledBox | None:
    if all(column in row for column in _CORNERS):
        left, top, right, bottom = (number(row[column]) for column in _CORNERS)
    elif all(column in row for column in _SIDES):
        left, top, wide, high = (number(row[column]) for column in _SIDES)
        right, bottom = left + wide, top + high
    else:
        raise ValueError("fewer values than headers")
    kind = row.get("kind", "").strip() or None
    return intake.box(
        (left * scale[0], top * scale[1], right * scale[0], bottom * scale[1]),
        row.get("class") or row.get("brand", ""),
        kind=kind,
        brand=row.get("brand") or None,
        label=row.get("label") or None,
        ignore=_flag(row, "ignore"),
        extra=_flag(row, "extra"),
    )


def _flag(row: Mapping[str, Any], column: str) -> bool:
    return str(row.get(column, "")).strip().casefold() in ("1", "true", "yes")


def _find(file: Path, name: str, split: str | None) -> Path:
    """Where a picture lies; names of OpenImages have no suffix."""
    folders = [
        file.parent,
        file.parent / "images",
        *([file.parent / split, file.parent / "images" / split] if split else []),
    ]
    return find_file(folders, name, ("", ".jpg")) or file.parent / name


def write(path: Path, pictures: Iterable[tuple[str, LabelledPicture]], naming: str) -> int:
    """Write one file with `COLUMNS`. pictures: (image, picture), image relative to the file.

    Lone surrogates are spelled `\\udcXX`, since UTF-8 cannot hold them; gives the number of pictures with such names.
    """
    changed = 0
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
        # lines end in \r\n: before Python 3.13 a \r in a name is quoted only where it ends lines too
        writer = csv.DictWriter(opened, COLUMNS, restval="")
        writer.writeheader()
        for image, picture in pictures:
            common: dict[str, Any] = {"image": image, "width": picture.width, "height": picture.height}
            common["split"] = picture.split or ""
            for flag in ("exhaustive", "looked_at"):
                common[flag] = "true" if getattr(picture, flag) else ""
            rows = [] if picture.boxes else [common]
            for box in picture.boxes:
                edges = (int(edge) if edge == int(edge) else repr(float(edge)) for edge in box.box)
                rows.append(
                    common
                    | dict(zip(_CORNERS, edges, strict=True))
                    | {"class": class_name(box, naming), "kind": box.kind, "brand": box.brand, "label": box.label}
                    | {flag: "true" for flag in ("ignore", "extra") if getattr(box, flag)}
                )
            writer.writerows(rows)
            changed += any(_SURROGATE.search(str(value)) for row in rows for value in row.values())
    return changed
