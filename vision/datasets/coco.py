"""COCO: one json of images, annotations and categories, a file for each split. Boxes are x, y, width, height from 0.

What COCO has no word for (brand, kind and the rest) is kept in "attributes" of annotations, where CVAT keeps such things too, and
in further keys of images, so that a set comes back as it was. Regions to ignore are "iscrowd".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vision.datasets.classes import class_name
from vision.datasets.files import SPLITS, find_file, number, parse_json, read_text, shown, split_name
from vision.datasets.intake import Intake
from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.errors import DatasetError

_IMAGE = frozenset({"id", "file_name", "width", "height", "split", "exhaustive", "looked_at"})
# Of no use for boxes; a converter that keeps them would have to know what it changed.
_IMAGE_LEFT = frozenset({"license", "coco_url", "flickr_url", "date_captured"})
_ATTRIBUTES = frozenset({"kind", "brand", "label", "extra"})


def files_of(folder: Path) -> list[Path]:
    """The label files of a folder: in it, in annotations/, or one in each folder of a split as Roboflow has it."""
    found = [*folder.glob("*.json"), *folder.glob("annotations/*.json"), *folder.glob("*/_annotations.coco.json")]
    return sorted(path for path in found if path.is_file() and _looks_right(path))


def _looks_right(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return any(key in head for key in (b'"images"', b'"annotations"', b'"categories"'))


def read(path: Path, intake: Intake) -> tuple[list[LabelledPicture], list[str]]:
    """The pictures of a file, or of all files of a folder, and the names of the categories in their order."""
    pictures: list[LabelledPicture] = []
    names: dict[str, None] = {}
    for file in files_of(path) if path.is_dir() else [path]:
        found, listed = _read_file(file, intake)
        pictures += found
        names |= dict.fromkeys(listed)
    return pictures, list(names)


def _read_file(file: Path, intake: Intake) -> tuple[list[LabelledPicture], list[str]]:
    try:
        whole = parse_json(read_text(file))
    except json.JSONDecodeError as error:
        raise DatasetError("bad_label", f"line {error.lineno} is no JSON: {error.msg}", path=str(file)) from None
    except ValueError as error:
        raise DatasetError("bad_label", str(error), path=str(file)) from None
    if not isinstance(whole, dict) or not isinstance(whole.get("images"), list):
        raise DatasetError("bad_label", 'no COCO: an object with a list "images" is expected', path=str(file))
    lists = {key: whole.get(key, []) for key in ("images", "annotations", "categories")}
    for key, found in lists.items():
        if not isinstance(found, list):
            raise DatasetError("bad_label", f'"{key}" is no list', path=str(file))
    categories = _categories(file, lists["categories"], intake)
    images = _images(file, lists["images"], intake)
    boxes: dict[Any, list[LabelledBox]] = {}
    for index, annotation in enumerate(lists["annotations"]):
        try:
            image, box = _annotation(annotation, images, categories, intake)
        except ValueError as error:
            intake.fault(file, f"annotations[{index}]", error)
            continue
        if box is not None:
            boxes.setdefault(image, []).append(box)
    root = _root(file)
    folder_split = SPLITS.get(file.parent.name.casefold()) if file.parent != root else None
    split = folder_split or split_name(file.stem.removesuffix(".coco"))
    pictures = []
    for key, (where, image) in images.items():
        try:
            pictures.append(_picture(file, image, tuple(boxes.get(key, ())), root.name, split, intake))
        except ValueError as error:
            intake.fault(file, where, error)
    return pictures, list(categories.values())


def _categories(file: Path, entries: Sequence[Any], intake: Intake) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not _is_id(entry.get("id")):
            intake.fault(file, f"categories[{index}]", f"{shown(entry)} has no id and name")
        elif entry["id"] in found:
            intake.fault(file, f"categories[{index}]", f"a second category of id {entry['id']}")
        else:
            found[entry["id"]] = entry["name"]
    return found


def _images(file: Path, entries: Sequence[Any], intake: Intake) -> dict[Any, tuple[str, dict[str, Any]]]:
    found: dict[Any, tuple[str, dict[str, Any]]] = {}
    for index, entry in enumerate(entries):
        where = f"images[{index}]"
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            intake.fault(file, where, f"{shown(entry)} has no id")
        elif not isinstance(entry.get("file_name"), str) or not entry["file_name"]:
            intake.fault(file, where, f"file_name {shown(entry.get('file_name'))} is no name")
        elif entry["id"] in found:
            intake.fault(file, where, f"a second image of id {entry['id']}")
        else:
            found[entry["id"]] = (where, entry)
    return found


def _annotation(
    annotation: Any, images: dict[Any, Any], categories: dict[Any, str], intake: Intake
) -> tuple[Any, LabelledBox | None]:
    if not isinstance(annotation, dict):
        raise ValueError(f"{shown(annotation)} is no object")
    image, category = annotation.get("image_id"), annotation.get("category_id")
    if not _is_id(image) or image not in images:
        raise ValueError(f"there is no image of id {shown(image)}")
    if not _is_id(category) or category not in categories:
        raise ValueError(f"there is no category of id {shown(category)}")
    attributes = annotation.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ValueError(f"attributes {shown(attributes)} are no object")
    outline = annotation.get("segmentation")
    if outline:
        intake.note("outlines became their boxes")
    return image, intake.box(
        _corners(annotation.get("bbox"), outline),
        categories[category],
        kind=attributes.get("kind") if attributes.get("kind") in ("logo", "product") else None,
        brand=attributes.get("brand"),
        label=attributes.get("label"),
        ignore=bool(annotation.get("iscrowd", 0)),
        extra=attributes.get("extra") is True,
        fields={key: value for key, value in attributes.items() if key not in _ATTRIBUTES},
    )


def _corners(bbox: Any, outline: Any) -> Sequence[float]:
    if isinstance(bbox, list) and len(bbox) == 4:
        left, top, width, height = (number(v) for v in bbox)
        return left, top, left + width, top + height
    if bbox in (None, []) and isinstance(outline, list) and outline and all(isinstance(part, list) for part in outline):
        values = [number(v) for part in outline for v in part]
        if len(values) >= 6 and len(values) % 2 == 0:
            return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    raise ValueError(f"bbox {shown(bbox)} is not [x, y, width, height]")


def _picture(
    file: Path, image: dict[str, Any], boxes: tuple[LabelledBox, ...], source: str, split: str | None, intake: Intake
) -> LabelledPicture:
    path = _find(file, image["file_name"], split)
    width, height = intake.size(path, image.get("width"), image.get("height"))
    own = image.get("split")
    exhaustive = image.get("exhaustive") is True
    return LabelledPicture(
        path=path,
        width=width,
        height=height,
        boxes=boxes,
        source=source,
        looked_at=exhaustive or image.get("looked_at") is True,
        kinds=frozenset(),
        split=own if isinstance(own, str) and own else split,
        exhaustive=exhaustive,
        fields={key: value for key, value in image.items() if key not in _IMAGE | _IMAGE_LEFT},
    )


def _root(file: Path) -> Path:
    """The folder of the whole set."""
    parent = file.absolute().parent
    return parent.parent if parent.name == "annotations" or parent.name.casefold() in SPLITS else parent


def _find(file: Path, name: str, split: str | None) -> Path:
    """Where a picture lies: beside the file, in images/, or in the folder of its split (train2017/)."""
    here, root = file.parent, file.parent.parent if file.parent.name == "annotations" else file.parent
    folders = [here, here / "images", root / "images", root]
    if split:
        folders += [root / "images" / split, root / split]
    folders += [root / "images" / file.stem.removeprefix("instances_"), root / file.stem.removeprefix("instances_")]
    return find_file(folders, name) or here / name


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def write(path: Path, pictures: Iterable[tuple[str, LabelledPicture]], classes: Sequence[str], naming: str) -> None:
    """Write one split. pictures: (file_name, picture). classes: the categories, ids from 1 on in their order."""
    ids = {name: number for number, name in enumerate(classes, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, picture) in enumerate(pictures, 1):
        image: dict[str, Any] = {"id": image_id, "file_name": name, "width": picture.width, "height": picture.height}
        if picture.exhaustive:
            image["exhaustive"] = True
        elif picture.looked_at:
            image["looked_at"] = True
        if picture.split is not None:
            image["split"] = picture.split
        images.append(image | {key: value for key, value in picture.fields.items() if key not in image})
        for box in picture.boxes:
            left, top, right, bottom = box.box
            attributes: dict[str, Any] = {"kind": box.kind, "brand": box.brand, "label": box.label}
            if box.extra:
                attributes["extra"] = True
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[class_name(box, naming)],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": max(0.0, right - left) * max(0.0, bottom - top),
                    "iscrowd": int(box.ignore),
                    "segmentation": [],
                    "attributes": attributes | {k: v for k, v in box.fields.items() if k not in attributes},
                }
            )
    whole = {
        "info": {"description": "labelled pictures, written by vision"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in ids.items()],
    }
    path.write_text(json.dumps(whole), encoding="utf-8")
