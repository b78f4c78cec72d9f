"""Pascal VOC: one XML a picture, in Annotations/ or beside the pictures, splits in ImageSets/Main/.

VOC counts pixels from 1 and includes the last one: a box over a whole picture of 500 pixels is 1 to 500, ours 0 to 500. Tools
that export "VOC" often count from 0; a set where some edge is 0 cannot be meant otherwise and is read so. "difficult" objects
are regions to ignore. Kind, brand and label go into <attributes>, as CVAT writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from vision.datasets.classes import class_name
from vision.datasets.files import SPLITS, find_file, number, parse_xml, shown
from vision.datasets.intake import Intake
from vision.datasets.labelled import LabelledBox, LabelledPicture
from vision.errors import DatasetError

# What we write says of itself that it counts from 1, so that no box of ours is ever taken for one that counts from 0.
WRITER = "vision"
_FLAGS = ("pose", "truncated", "occluded")


def files_of(folder: Path) -> list[Path]:
    """The XML files of a folder: in Annotations/, in it, or in the folders of the splits."""
    inside = folder / "Annotations"
    if inside.is_dir():
        return sorted(inside.rglob("*.xml"))
    splits = [p for p in folder.iterdir() if p.is_dir() and p.name.casefold() in SPLITS]
    places = [folder, folder / "annotations", *splits]
    return sorted(path for place in places for path in place.glob("*.xml"))


def read(path: Path, intake: Intake) -> list[LabelledPicture]:
    """The pictures of a folder, or of one XML."""
    base = path if path.is_dir() else path.parent.parent if path.parent.name == "Annotations" else path.parent
    found: list[
        tuple[str, bool, LabelledPicture]
    ] = []  # stem, whether it surely counts from 1, edges as they stand there
    stems: set[str] = set()
    from_zero = False
    for file in files_of(path) if path.is_dir() else [path]:
        try:
            root, lines = parse_xml(file.read_bytes())
        except FileNotFoundError:
            raise DatasetError("missing", "no such set", path=str(file)) from None
        except (ValueError, OSError) as error:
            intake.fault(file, "", error)
            continue
        if root.tag != "annotation":
            intake.fault(file, f"line {lines[root]}", f"<{root.tag}> is no <annotation>")
            continue
        ours = root.findtext("source/annotation") == WRITER
        from_zero = from_zero or (not ours and _touches_zero(root))
        stems.add(file.stem)
        try:
            found.append((file.stem, ours, _picture(file, root, lines, base, intake)))
        except ValueError as error:
            intake.fault(file, "line 1", error)
    if from_zero:
        intake.note("edges at 0: this set is read as counting pixels from 0, not from 1 as VOC does")
    splits = _splits(base, stems, intake) if path.is_dir() else {}
    return [
        replace(
            picture,
            boxes=picture.boxes if from_zero and not ours else tuple(_one_less(box) for box in picture.boxes),
            split=splits.get(stem, picture.split),
        )
        for stem, ours, picture in found
    ]


def _one_less(box: LabelledBox) -> LabelledBox:
    left, top, right, bottom = box.box
    return replace(box, box=(left - 1, top - 1, right, bottom))


def _touches_zero(root: Element) -> bool:
    for tag in ("xmin", "ymin"):
        for element in root.iterfind(f"object/bndbox/{tag}"):
            try:
                if 0 <= number((element.text or "").strip()) < 1:
                    return True
            except ValueError:
                continue  # reading the object says so
    return False


def _picture(file: Path, root: Element, lines: dict[Element, int], base: Path, intake: Intake) -> LabelledPicture:
    name = (root.findtext("filename") or "").strip()
    image = _find(file, base, name)
    width, height = (_text(root, f"size/{tag}") for tag in ("width", "height"))
    if "0" in (width, height):  # some tools write that where they do not know
        width = height = None
    wide, high = intake.size(image, width, height)
    boxes = []
    for element in root.iterfind("object"):
        try:
            box = _object(element, intake)
        except ValueError as error:
            intake.fault(file, f"line {lines[element]}", error)
            continue
        if box is not None:
            boxes.append(box)
    attributes = _attributes(root)
    return LabelledPicture(
        path=image,
        width=wide,
        height=high,
        boxes=tuple(boxes),
        source=base.absolute().name,
        looked_at="looked_at" in attributes or "exhaustive" in attributes,
        kinds=frozenset(),
        split=SPLITS.get(file.parent.name.casefold()) if file.parent != base else None,
        exhaustive="exhaustive" in attributes,
    )


def _object(element: Element, intake: Intake) -> LabelledBox | None:
    name, bounds = element.findtext("name"), element.find("bndbox")
    if name is None:
        raise ValueError("an object without a <name>")
    if bounds is not None:
        left, top, right, bottom = (number(_needed(bounds, tag)) for tag in ("xmin", "ymin", "xmax", "ymax"))
    else:
        left, top, right, bottom = _polygon(element)
        intake.note("outlines became their boxes")
    attributes = _attributes(element)
    fields: dict[str, Any] = {}
    for tag in _FLAGS:
        text = _text(element, tag)
        if text and text not in ("0", "Unspecified"):
            fields[tag] = int(text) if text.isdecimal() else text
    return intake.box(
        (left, top, right, bottom),
        name,
        kind=attributes.get("kind") if attributes.get("kind") in ("logo", "product") else None,
        brand=attributes.get("brand"),
        label=attributes.get("label"),
        ignore=_text(element, "difficult") == "1",
        extra="extra" in attributes,
        fields=fields,
    )


def _polygon(element: Element) -> tuple[float, float, float, float]:
    """The bounds of a <polygon> of <x1>, <y1>, <x2>, … or of <pt> with <x> and <y>."""
    outline = element.find("polygon")
    if outline is None:
        raise ValueError("an object without a <bndbox>")
    ends = {
        axis: [
            number((e.text or "").strip())
            for e in outline.iter()
            if e.tag[:1] == axis and e.tag[1:].isdecimal() | (e.tag == axis)
        ]
        for axis in "xy"
    }
    if len(ends["x"]) < 3 or len(ends["x"]) != len(ends["y"]):
        raise ValueError("a <polygon> of fewer than three points")
    return min(ends["x"]), min(ends["y"]), max(ends["x"]), max(ends["y"])


def _attributes(element: Element) -> dict[str, str]:
    return {(a.findtext("name") or ""): (a.findtext("value") or "") for a in element.iterfind("attributes/attribute")}


def _text(element: Element, path: str) -> str | None:
    found = element.findtext(path)
    return None if found is None else found.strip()


def _needed(element: Element, tag: str) -> str:
    found = _text(element, tag)
    if found is None:
        raise ValueError(f"a <{element.tag}> without <{tag}>")
    return found


def _find(file: Path, base: Path, name: str) -> Path:
    """Where a picture lies. Some tools leave the suffix out of <filename>, or the whole element."""
    folders = [base / "JPEGImages", file.parent, base / "images", base, base / "JPEGImages" / file.parent.name]
    for candidate in (name, PureWindowsPath(name).name) if name else ():
        if found := find_file(folders, candidate):
            return found
    if found := find_file(folders, file.stem, (".jpg", ".jpeg", ".png", ".webp", ".JPG", ".JPEG", ".PNG", ".bmp")):
        return found
    if not name:
        raise ValueError("no <filename>, and no picture of the file's own name")
    return (base / "JPEGImages" if (base / "JPEGImages").is_dir() else file.parent) / name


def _splits(base: Path, known: set[str], intake: Intake) -> dict[str, str]:
    """The split of each picture by its stem, from ImageSets/Main; trainval counts where nothing finer does."""
    found: dict[str, str] = {}
    # lists of single classes ("aeroplane_train.txt") say nothing new
    lists = [path for path in sorted((base / "ImageSets" / "Main").glob("*.txt")) if not _of_a_class(path)]
    for path in sorted(lists, key=lambda p: p.stem == "trainval"):
        split = SPLITS.get(path.stem.casefold(), path.stem)
        for line, text in enumerate(path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines(), 1):
            if not text.strip():
                continue
            stem = text.rstrip() if text.rstrip() in known else text.split()[0]
            if stem not in known:
                intake.fault(path, f"line {line}", f"there is no annotation of {shown(stem)}")
            elif stem not in found:
                found[stem] = split
            elif found[stem] != split and split != "trainval":
                intake.fault(path, f"line {line}", f"{shown(stem)} is in the split {found[stem]} too")
    return found


def _of_a_class(path: Path) -> bool:
    words = path.stem.casefold().split("_")
    return len(words) > 1 and words[-1] in SPLITS and words[0] not in SPLITS


def write(path: Path, image: str, picture: LabelledPicture, naming: str) -> bool:
    """Write the XML of one picture. image: its <filename>. Gives true when a name held characters that XML cannot hold."""
    root = Element("annotation")
    changed = False

    def add(parent: Element, tag: str, text: object) -> None:
        nonlocal changed
        whole = str(text)
        kept = "".join(
            c if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff") else "\ufffd"
            for c in whole
        )
        changed = changed or kept != whole
        SubElement(parent, tag).text = kept

    def add_attributes(parent: Element, values: dict[str, str | None]) -> None:
        said = {name: value for name, value in values.items() if value is not None}
        group = SubElement(parent, "attributes") if said else parent
        for name, value in said.items():
            attribute = SubElement(group, "attribute")
            add(attribute, "name", name)
            add(attribute, "value", value)

    add(root, "filename", image)
    add(SubElement(root, "source"), "annotation", WRITER)
    size = SubElement(root, "size")
    for tag, value in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        add(size, tag, value)
    add(root, "segmented", 0)
    state = "exhaustive" if picture.exhaustive else "looked_at" if picture.looked_at else None
    if state:
        add_attributes(root, {state: "true"})
    for box in picture.boxes:
        element = SubElement(root, "object")
        add(element, "name", class_name(box, naming))
        add(element, "pose", box.fields.get("pose", "Unspecified"))
        for tag in ("truncated", "occluded"):
            add(element, tag, box.fields.get(tag, 0))
        add(element, "difficult", int(box.ignore))
        bounds = SubElement(element, "bndbox")
        left, top, right, bottom = box.box
        for tag, edge in zip(("xmin", "ymin", "xmax", "ymax"), (left + 1, top + 1, right, bottom), strict=True):
            add(bounds, tag, int(edge) if edge == int(edge) else repr(float(edge)))
        extra = "true" if box.extra else None
        add_attributes(element, {"kind": box.kind, "brand": box.brand, "label": box.label, "extra": extra})
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return changed


def write_splits(out: Path, stems: Iterable[tuple[str, str]]) -> None:
    """Write ImageSets/Main. stems: (split, stem of the XML)."""
    lists: dict[str, list[str]] = {}
    for split, stem in stems:
        lists.setdefault(split, []).append(stem)
    for split, names in lists.items():
        folder = out / "ImageSets" / "Main"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
