"""YOLO, as Ultralytics, Roboflow and Darknet lay it out: a line a box, its class by number, edges as shares of the picture.

`data.yaml` names the folders of the splits and the classes; without one, `images/` and `labels/` are looked for, and the names in
classes.txt, obj.names or _darknet.labels. Outlines (segmentation, oriented boxes) become the boxes around them. YOLO has no
brands, no regions and no sizes: the class name carries what it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np

from vision.datasets.classes import class_name
from vision.datasets.files import (
    SLACK,
    SPLITS,
    YAML_NULL,
    find_file,
    is_picture,
    number,
    read_text,
    read_yaml,
    shown,
    split_name,
)
from vision.datasets.intake import Intake
from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.errors import DatasetError, package_missing

_NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt", "_darknet.labels", "train/_darknet.labels")
_NOT_LABELS = frozenset({"classes.txt", "README.txt", "README.dataset.txt", "README.roboflow.txt", "notes.txt"})
# Keys of data.yaml that name no split, whatever stands there.
_NOT_SPLITS = frozenset({"path", "names", "nc", "download", "yaml_file", "roboflow", "channels"})


def yaml_of(folder: Path) -> Path | None:
    """The YAML that describes a folder, if there is one."""
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (folder / name).is_file():
            return folder / name
    return None


def holds(folder: Path) -> bool:
    """Whether a folder looks like a YOLO set."""
    if yaml_of(folder) or any((folder / name).is_file() for name in _NAME_FILES):
        return True
    return any((place / "labels").is_dir() for place in (folder, *(folder / name for name in SPLITS)))


def read(path: Path, intake: Intake) -> tuple[list[LabelledPicture], list[str]]:
    """The pictures that a data.yaml or a folder describes, and the names of the classes in their order."""
    file = path if path.is_file() else yaml_of(path)
    settings: dict[str, Any] = {}
    if file is not None:
        settings = read_yaml(file)
        root, names = file.parent, _names(file, settings)
        places = list(_listed(file, settings, intake))
    else:
        root, names = path, _names_beside(path)
        places = list(_found(path))
    if not places:
        raise DatasetError("missing", "there are no pictures here", path=str(path))
    keypoints = "kpt_shape" in settings
    pictures: list[LabelledPicture] = []
    seen: set[Path] = set()
    labels_seen: set[Path] = set()
    for split, images in places:
        for image in images:
            if image in seen:
                intake.note("pictures that two splits name were read once")
                continue
            seen.add(image)
            labels = label_file(image)
            labels_seen.add(labels)
            try:
                width, height = intake.size(image, None, None)
            except ValueError as error:
                intake.fault(image, "", error)
                continue
            boxes = tuple(_boxes(labels, (width, height), names, keypoints, intake))
            pictures.append(
                LabelledPicture(image, width, height, boxes, root.absolute().name, False, frozenset(), split)
            )
    intake.notes.pop("sizes read from the pictures, since the labels have none", None)  # YOLO never has them
    for folder in sorted({labels.parent for labels in labels_seen}):
        for labels in sorted(folder.glob("*.txt")):
            if labels not in labels_seen and labels.name not in _NOT_LABELS and folder.name == "labels":
                intake.fault(labels, "", "labels without a picture")
    return pictures, list(names.values())


def label_file(image: Path) -> Path:
    """Where Ultralytics looks for the labels of a picture: the last "images" of its path becomes "labels"."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            return Path(*parts).with_suffix(".txt")
    return image.with_suffix(".txt")


def _boxes(
    labels: Path, size: tuple[int, int], names: Mapping[int, str], keypoints: bool, intake: Intake
) -> Iterator[LabelledBox]:
    try:
        text = labels.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        intake.note("pictures without a label file are read as showing nothing")
        return
    except (OSError, UnicodeDecodeError) as error:
        intake.fault(labels, "", f"cannot be read: {error}")
        return
    for line, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        try:
            words = row.split()
            name = _class(words[0], names)
            box = intake.box(_corners([number(word) for word in words[1:]], size, keypoints, intake), name)
        except ValueError as error:
            intake.fault(labels, f"line {line}", error)
            continue
        if box is not None:
            yield box


def _class(word: str, names: Mapping[int, str]) -> str:
    found = number(word)
    if found != int(found) or found < 0:
        raise ValueError(f"{shown(word)} is no class")
    if names and int(found) not in names:
        raise ValueError(f"class {int(found)} has no name: there are {len(names)}")
    return names.get(int(found), str(int(found)))


def _corners(values: list[float], size: tuple[int, int], keypoints: bool, intake: Intake) -> list[float]:
    width, height = size
    if len(values) == 4 or (keypoints and len(values) > 4):
        x, y, wide, high = values[:4]
        edges = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
        if wide < 0 or high < 0:
            raise ValueError("a negative size")
    elif len(values) >= 6 and len(values) % 2 == 0:
        edges = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
        intake.note("outlines became their boxes")
    else:
        raise ValueError(f"{len(values) + 1} columns: a box has 5, an outline of n points 1 + 2 n")
    if min(edges) < -SLACK or max(edges) > 1 + SLACK:
        raise ValueError(f"edges {[round(edge, 3) for edge in edges]} are no shares of the picture")
    return [edge * side for edge, side in zip(edges, (width, height, width, height), strict=True)]


def _names(file: Path, settings: Mapping[str, Any]) -> dict[int, str]:
    given = settings.get("names", [])
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict):
        raise DatasetError("bad_label", f"names {shown(given)} is no list of classes", path=str(file))
    names: dict[int, str] = {}
    for key, name in given.items():
        try:
            index = int(key)
        except ValueError:
            index = -1
        if index < 0 or not isinstance(name, str):
            raise DatasetError("bad_label", f"names: {shown(key)}: {shown(name)} is no class", path=str(file))
        names[index] = name
    return dict(sorted(names.items()))


def _names_beside(folder: Path) -> dict[int, str]:
    for name in _NAME_FILES:
        if (folder / name).is_file():
            lines = read_text(folder / name).splitlines()
            return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def _listed(file: Path, settings: Mapping[str, Any], intake: Intake) -> Iterator[tuple[str | None, list[Path]]]:
    """(split, pictures) of each split that a data.yaml names."""
    base = settings.get("path", "")
    if not isinstance(base, str):
        raise DatasetError("bad_label", f"path {shown(base)} is no folder", path=str(file))
    roots = [file.parent / ("" if base in YAML_NULL else base), file.parent]
    for key, value in settings.items():
        split = split_name(key)
        if key in _NOT_SPLITS or value in (*YAML_NULL, []):
            continue
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, str):
                if split is None:
                    continue
                raise DatasetError("bad_label", f"{key}: {shown(entry)} is no folder", path=str(file))
            # Roboflow writes "../train/images" for the folder train/ beside the file
            inner = PurePosixPath(*(part for part in PurePosixPath(entry).parts if part != ".."))
            places = [root / name for root in roots for name in (entry, str(inner))]
            place = next((p for p in places if p.exists()), None)
            if place is None:
                if split is not None:
                    intake.fault(file, key, f"there is no {shown(entry)}")
            elif place.is_dir():
                yield _split_of(place, split or key), _pictures(place)
            else:
                yield split or key, _from_list(place, roots, intake)


def _split_of(place: Path, key: str) -> str:
    """The split that a key means, or its folder (images/dev) where the key is "val" only because Ultralytics wants one."""
    names = (place.name, place.parent.name) if key == "val" else ()
    return next((name for name in names if name.casefold().startswith("dev")), key)


def _from_list(path: Path, roots: Sequence[Path], intake: Intake) -> list[Path]:
    """The pictures of a list, one a line, relative to the set or to the list."""
    found = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        image = find_file((path.parent, *roots), text.strip())
        if image is None:
            intake.fault(path, f"line {line}", f"there is no picture {shown(text.strip())}")
        else:
            found.append(image)
    return found


def _found(folder: Path) -> Iterator[tuple[str | None, list[Path]]]:
    """(split, pictures) of a folder without a data.yaml: images/train, train/images, images or the folder itself."""
    any_split = False
    for name in sorted(SPLITS):
        for place in (folder / "images" / name, folder / name / "images", folder / name):
            if place.is_dir():
                yield SPLITS[name], _pictures(place)
                any_split = True
                break
    if not any_split:
        yield None, _pictures(folder / "images" if (folder / "images").is_dir() else folder)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_picture(path))


def label_lines(picture: LabelledPicture, ids: Mapping[str, int], naming: str) -> tuple[list[str], dict[str, int]]:
    """The lines of one picture, and what had to be changed or left out, counted."""
    lines, changes = (
        [],
        {"regions to ignore were left out": 0, "boxes without area inside the picture were left out": 0},
    )
    changes["boxes were cut at the picture's border"] = 0
    for box in picture.boxes:
        if box.ignore:
            changes["regions to ignore were left out"] += 1
            continue
        # in double precision: a box comes back within a thousandth of a pixel
        size = np.array([picture.width, picture.height] * 2, dtype=np.float64)
        edges = np.clip(np.array(box.box, dtype=np.float64), 0, size) / size
        left, top, right, bottom = (float(v) for v in edges)
        if right <= left or bottom <= top:
            changes["boxes without area inside the picture were left out"] += 1
            continue
        if any(abs(a - b) > 1e-6 for a, b in zip(edges * size, box.box, strict=True)):
            changes["boxes were cut at the picture's border"] += 1
        values = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        lines.append(" ".join([str(ids[class_name(box, naming)]), *(f"{value:.12g}" for value in values)]))
    return lines, {what: count for what, count in changes.items() if count}


def require_yaml() -> ModuleType:
    """PyYAML. Raises BackendError (package_missing) without it."""
    try:
        import yaml
    except ImportError:
        raise package_missing("PyYAML", "evaluate") from None
    return yaml


def write_yaml(path: Path, splits: Mapping[str, str], classes: Sequence[str]) -> None:
    """Write data.yaml. splits: key to folder, relative to the file."""
    # without "path" Ultralytics starts from the file's own folder
    whole = {**splits, "nc": len(classes), "names": dict(enumerate(classes))}
    path.write_text(require_yaml().safe_dump(whole, sort_keys=False, allow_unicode=True), encoding="utf-8")


def keys_of(splits: Iterable[str | None]) -> dict[str, str | None]:
    """The keys of data.yaml for splits: Ultralytics wants train and val, and trains on the one and steers by the other."""
    wanted = list(dict.fromkeys(splits))
    keys: dict[str, str | None] = {}
    for split in wanted:
        key = "train" if split is None else "val" if split == "dev" and "val" not in wanted else split
        keys[key] = split
    return keys
