"""One way in: a file or folder of labelled pictures of any format becomes a `LabelledSet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vision.datasets import FORMATS, coco, jsonl, table, voc, yolo
from vision.datasets.classes import Meaning, spelled
from vision.datasets.files import SPLITS
from vision.datasets.intake import Fault, Intake
from vision.datasets.labelled import LabelledPicture
from vision.errors import DatasetError, UsageError

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "coco",
    ".yaml": "yolo",
    ".yml": "yolo",
    ".csv": "csv",
    ".tsv": "csv",
    ".xml": "voc",
}


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """What was read. names: the classes in the order of their source, used or not. notes: remarks and how often they held."""

    path: Path
    format: str
    pictures: tuple[LabelledPicture, ...]
    names: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: Mapping[str, int]


def read_any(
    path: Path | str,
    *,
    format: str | None = None,
    meanings: Mapping[str, Meaning] | None = None,
    strict: bool = False,
    extra_boxes: bool = True,
) -> LabelledSet:
    """Read a set of any format: COCO, Pascal VOC, YOLO (Ultralytics, Roboflow, Darknet), CSV or our jsonl.

    path: a file or folder, `PATH#SPLIT` for one split of it. format: told apart by the path when null. meanings: class names that
    a map explains (`classes.read_map`). strict: the first fault is an error, otherwise it is in `faults` and what it concerns is
    left out. extra_boxes: with those beside a jsonl file.
    Raises DatasetError (missing, bad_label), UsageError (bad_option), BackendError (package_missing) for YAML without PyYAML.
    """
    place, split = split_chosen(Path(path))
    if not place.exists():
        raise DatasetError("missing", "no such set", path=str(place))
    if format is not None and format not in FORMATS:
        raise UsageError("bad_option", f"format {format!r}", hint=", ".join(FORMATS))
    found = format or tell_format(place)
    intake = Intake(strict=strict, meanings=meanings)
    names: list[str] = []
    if found == "coco":
        pictures, names = coco.read(place, intake)
    elif found == "yolo":
        pictures, names = yolo.read(place, intake)
    elif found == "voc":
        pictures = voc.read(place, intake)
    elif found == "csv":
        pictures = table.read(place, intake)
    else:
        pictures = jsonl.read(place, intake, extra_boxes=extra_boxes)
    # "Validation" in a row is the split that `PATH#validation` chooses
    pictures = [replace(p, split=p.split and SPLITS.get(p.split.casefold(), p.split)) for p in pictures]
    if split is not None:
        known = sorted({p.split for p in pictures if p.split})
        pictures = [p for p in pictures if p.split == split]
        if not pictures:
            raise DatasetError("missing", f"no split {split!r}", path=str(place), hint=f"there are: {', '.join(known)}")
    for name in sorted(set(intake.meanings) - intake.seen - set(names) - {"*"}):
        intake.note(f"the map names a class that is not there: {name}")
    # what the source boxes at all; a logo that was found later does not mean that logos were boxed
    kinds = frozenset(box.kind for picture in pictures for box in picture.boxes if not box.extra)
    return LabelledSet(
        path=place,
        format=found,
        pictures=tuple(replace(picture, kinds=kinds) for picture in pictures),
        names=tuple(dict.fromkeys(_names_after(names, intake.meanings))),
        faults=tuple(intake.faults),
        notes=dict(intake.notes),
    )


def tell_format(path: Path) -> str:
    """The format of a file, by its suffix, or of a folder, by what lies in it. Raises DatasetError (bad_label)."""
    if path.is_file():
        found = _SUFFIXES.get(path.suffix.lower())
        if found is None:
            raise DatasetError("bad_label", "no format by this name", path=str(path), hint="--from names it")
        return found
    formats = []
    if jsonl.files_of(path):
        formats.append("jsonl")
    if yolo.holds(path):
        formats.append("yolo")
    if coco.files_of(path):
        formats.append("coco")
    if voc.files_of(path):
        formats.append("voc")
    if table.files_of(path):
        formats.append("csv")
    if not formats:
        raise DatasetError(
            "bad_label",
            "no labels of any format that is read here",
            path=str(path),
            hint="jsonl, a COCO json, data.yaml or labels/, Annotations/ or xml, csv",
        )
    if len(formats) > 1:
        raise DatasetError(
            "bad_label",
            f"labels of several formats: {', '.join(formats)}",
            path=str(path),
            hint="name the file, or choose with --from",
        )
    return formats[0]


def split_chosen(path: Path) -> tuple[Path, str | None]:
    """`data.yaml#train` taken apart. A file that is really called that way is meant itself."""
    stem, mark, split = path.name.rpartition("#")
    if not mark or path.exists() or not stem or not split:
        return path, None
    return path.with_name(stem), SPLITS.get(split.casefold(), split)


def _names_after(names: Iterable[str], meanings: Mapping[str, Meaning]) -> Iterator[str]:
    """The class names as a map leaves them."""
    for name in names:
        meaning = meanings.get(name, meanings.get("*"))
        if meaning is None or (meaning.kind is not None and not meaning.brand):
            yield name
        elif meaning.kind is not None:
            yield spelled(meaning.kind, meaning.brand)
