"""One way out: labelled pictures become a folder of any format, and what that format cannot hold is said.

The layouts: coco `annotations/instances_SPLIT.json`, voc `Annotations/` and `ImageSets/Main/`, yolo `data.yaml`, `images/SPLIT/`
and `labels/SPLIT/`, csv and jsonl `SPLIT.csv` and `SPLIT.jsonl` (`truth` where there is no split), pictures in `images/`
(voc: `JPEGImages/`).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vision.datasets import FORMATS, IMAGES, NAMINGS, coco, jsonl, table, voc, yolo
from vision.datasets.classes import class_name, default_meaning, label_of
from vision.datasets.intake import Fault
from vision.datasets.labelled import LabelledPicture
from vision.errors import DatasetError, PictureError, UsageError
from vision.images.formats import HEAD_BYTES, recognise

_LONGEST_NAME = 120
_SPLITS_RENAMED = "pictures are in a split of another name, since no file can be called like theirs"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. files: label files. lost: what the format cannot hold and how often. faults: pictures not written."""

    files: tuple[Path, ...]
    pictures: int
    boxes: int
    classes: tuple[str, ...]
    lost: Mapping[str, int]
    faults: tuple[Fault, ...]


def write_set(
    pictures: Sequence[LabelledPicture],
    out: Path,
    format: str,
    *,
    naming: str = "label",
    images: str = "copy",
    names: Sequence[str] = (),
    strict: bool = False,
) -> Written:
    """Write pictures and their labels into a new folder.

    naming: what the classes are, "label" (the source's own, else the brand, else the kind), "kind" or "brand". images: "copy",
    "link" (hard links, copies across disks) or "leave" them where they are. names: classes to begin with, in this order.
    A picture that is not there is a fault, and left out, and so is a file to copy or link that begins like no picture: labels of
    strangers may name any. With strict, an error.
    Raises UsageError (bad_option) for a folder that is not empty or options that do not go together, DatasetError (missing,
    bad_label).
    """
    _check(out, format, naming, images)
    if format == "yolo":
        yolo.require_yaml()
    out.mkdir(parents=True, exist_ok=True)
    lost: Counter[str] = Counter()
    faults: list[Fault] = []
    placed: list[tuple[str, LabelledPicture]] = []
    names_taken = _Names()
    for picture in pictures:
        try:
            placed.append((_place(picture, out, format, images, names_taken, lost), picture))
        except (OSError, PictureError) as error:
            code = "missing" if isinstance(error, OSError) else "bad_label"
            message = (error.strerror if isinstance(error, OSError) else error.message) or str(error)
            if strict:
                raise DatasetError(code, message, path=str(picture.path)) from None
            faults.append(Fault(str(picture.path), "", message))
    kept = [picture for _, picture in placed]
    classes = _classes(kept, naming, names)
    lost.update(_losses(kept, format, naming))
    writer = {"coco": _coco, "voc": _voc, "yolo": _yolo, "csv": _csv, "jsonl": _jsonl}[format]
    files = writer(out, placed, classes, naming, lost)
    boxes = sum(len(picture.boxes) for picture in kept)
    return Written(tuple(files), len(kept), boxes, tuple(classes), dict(+lost), tuple(faults))


def _check(out: Path, format: str, naming: str, images: str) -> None:
    for value, known, what in ((format, FORMATS, "format"), (naming, NAMINGS, "classes"), (images, IMAGES, "images")):
        if value not in known:
            raise UsageError("bad_option", f"{what} {value!r}", hint=", ".join(known))
    if format == "yolo" and images == "leave":
        raise UsageError(
            "bad_option", "YOLO finds labels by the pictures' place", hint="--images copy or link, not leave"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("bad_option", "not an empty folder", path=str(out), hint="choose another --out")


class _Names:
    """File names that are taken, by folder; not every disk tells A from a."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()
        self._last: dict[tuple[str, str], int] = {}

    def free(self, name: str, folder: str = "") -> str:
        """The name, or with the next number behind it that is free; it is taken from now on."""
        key = (folder.casefold(), name.casefold())
        found, number = name, self._last.get(key, 1)
        while (key[0], found.casefold()) in self._taken:
            number += 1
            found = f"{name}-{number}"
        self._last[key] = number
        self._taken.add((key[0], found.casefold()))
        return found


def _place(picture: LabelledPicture, out: Path, format: str, images: str, taken: _Names, lost: Counter[str]) -> str:
    """Bring a picture to its place; its name as the labels are to have it. Raises OSError, PictureError."""
    if not picture.path.is_file():
        raise FileNotFoundError(2, "no such picture")
    if images == "leave":
        base = out / "annotations" if format == "coco" else out
        return Path(os.path.relpath(picture.path, base)).as_posix()
    with picture.path.open("rb") as file:
        recognise(file.read(HEAD_BYTES))
    folder = PurePosixPath({"voc": "JPEGImages"}.get(format, "images"))
    if format == "yolo":
        folder /= _split_folder(picture.split)
    # labels are found by the stem: a.jpg and a.png must not share one
    name = PurePosixPath(_safe(picture.path.name))
    free = PurePosixPath(f"{taken.free(name.stem, str(folder) if format == 'yolo' else '')}{name.suffix}")
    if free.name != picture.path.name:
        lost["pictures were renamed, since another has their name or it cannot be kept"] += 1
    target = out / folder / free
    target.parent.mkdir(parents=True, exist_ok=True)
    if images == "link":
        try:
            os.link(picture.path.resolve(), target)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(picture.path, target)
            lost["pictures were copied, since they could not be linked"] += 1
    else:
        shutil.copyfile(picture.path, target)
    return free.name if format in ("coco", "voc") else str(folder / free)


def _safe(name: str) -> str:
    """A file name without what lists, XML or other systems trip over."""
    kept = "".join(c if c.isprintable() and c not in '\\/:*?"<>|#' else "_" for c in name)
    path = PurePosixPath(kept.lstrip(".") or "_")
    return f"{path.stem[:_LONGEST_NAME].strip() or '_'}{path.suffix[:12]}"


def _split_folder(split: str | None) -> str:
    return _safe(split or "train")


def _classes(pictures: Sequence[LabelledPicture], naming: str, names: Sequence[str]) -> list[str]:
    """All classes: those given first, in their order, then the others by name."""
    used = {class_name(box, naming) for picture in pictures for box in picture.boxes}
    first = list(dict.fromkeys(names)) if naming == "label" else ["logo", "product"] if naming == "kind" else []
    return first + sorted(used - set(first), key=lambda name: (name.casefold(), name))


def _losses(pictures: Sequence[LabelledPicture], format: str, naming: str) -> Counter[str]:
    """What a format has no place for, counted."""
    lost: Counter[str] = Counter()
    if format in ("jsonl", "coco"):
        return lost
    kept = {"voc": {"pose", "truncated", "occluded"}}.get(format, set())
    for picture in pictures:
        for key in picture.fields:
            lost[f'"{key}" of pictures'] += 1
        if format == "yolo" and (picture.looked_at or picture.exhaustive):
            lost["that a picture was searched for unboxed logos"] += 1
        for box in picture.boxes:
            for key in box.fields.keys() - kept:
                lost[f'"{key}" of boxes'] += 1
            if format == "yolo" and not box.ignore:
                name = class_name(box, naming)
                read = default_meaning(name)
                for what, own, again in (
                    ("kind", box.kind, read.kind),
                    ("brand", box.brand, read.brand),
                    ("label", box.label, label_of(name, read)),
                ):
                    lost[f"the {what} of boxes, which the class name does not say"] += own != again
                lost["that a box was found later (extra)"] += box.extra
    return +lost


def _by_split(placed: Iterable[tuple[str, LabelledPicture]]) -> dict[str | None, list[tuple[str, LabelledPicture]]]:
    groups: dict[str | None, list[tuple[str, LabelledPicture]]] = {}
    for name, picture in placed:
        groups.setdefault(picture.split, []).append((name, picture))
    return groups


_Placed = list[tuple[str, LabelledPicture]]


def _jsonl(out: Path, placed: _Placed, classes: list[str], naming: str, lost: Counter[str]) -> list[Path]:
    files, names = [], _Names()
    for split, group in _by_split(placed).items():
        files.append(out / f"{names.free(_safe(split or 'truth'))}.jsonl")
        jsonl.write(files[-1], group)
    return files


def _csv(out: Path, placed: _Placed, classes: list[str], naming: str, lost: Counter[str]) -> list[Path]:
    files, names = [], _Names()
    for split, group in _by_split(placed).items():
        files.append(out / f"{names.free(_safe(split or 'truth'))}.csv")
        lost["names with characters that UTF-8 cannot hold"] += table.write(files[-1], group, naming)
    return files


def _coco(out: Path, placed: _Placed, classes: list[str], naming: str, lost: Counter[str]) -> list[Path]:
    files, names = [], _Names()
    (out / "annotations").mkdir()
    for split, group in _by_split(placed).items():
        files.append(out / "annotations" / f"instances_{names.free(_safe(split or 'truth'))}.json")
        coco.write(files[-1], group, classes, naming)
    return files


def _voc(out: Path, placed: _Placed, classes: list[str], naming: str, lost: Counter[str]) -> list[Path]:
    files: list[Path] = []
    (out / "Annotations").mkdir()
    names = _Names()
    splits = []
    for name, picture in placed:
        free = names.free(PurePosixPath(_safe(PurePosixPath(name).name)).stem)
        files.append(out / "Annotations" / f"{free}.xml")
        if voc.write(files[-1], name, picture, naming):
            lost["names with characters that XML cannot hold"] += 1
        if picture.split is not None:
            splits.append((_safe(picture.split), free))
            lost[_SPLITS_RENAMED] += splits[-1][0] != picture.split
    voc.write_splits(out, splits)
    return files


def _yolo(out: Path, placed: _Placed, classes: list[str], naming: str, lost: Counter[str]) -> list[Path]:
    ids = {name: number for number, name in enumerate(classes)}
    for name, picture in placed:
        lost["pictures of no split went to train"] += picture.split is None
        lost[_SPLITS_RENAMED] += _split_folder(picture.split) != (picture.split or "train")
        labels = yolo.label_file(out / name)
        labels.parent.mkdir(parents=True, exist_ok=True)
        lines, changes = yolo.label_lines(picture, ids, naming)
        lost.update(changes)
        labels.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    folders = {_safe(key): f"images/{_split_folder(split)}" for key, split in yolo.keys_of(_by_split(placed)).items()}
    for needed, instead in (("train", "val"), ("val", "train")):
        if needed not in folders and folders:
            folders[needed] = folders.get(instead) or next(iter(folders.values()))
            lost[f"there is no {needed}: data.yaml names {folders[needed]} for it, since Ultralytics wants one"] += 1
    yolo.write_yaml(out / "data.yaml", folders, classes)
    return [out / "data.yaml"]
