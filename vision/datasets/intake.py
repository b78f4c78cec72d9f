"""What all readers share: boxes checked and given their meaning, faults and remarks collected, nothing lost silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.datasets.classes import LABELLED_KINDS, Meaning, default_meaning, label_of
from vision.datasets.files import place, shown, size
from vision.datasets.labelled import LabelledBox
from vision.errors import DatasetError, PictureError
from vision.images import read_size


@dataclass(frozen=True, slots=True)
class Fault:
    """A label that makes no sense and was passed over: the box alone, or the picture when its own entry is bad.

    where: "line 3", "annotations[17]"; empty for the whole file.
    """

    path: str
    where: str
    message: str


class Intake:
    """Collects while one set is read. strict: the first fault is an error. meanings: class names that a map explains."""

    def __init__(self, *, strict: bool = False, meanings: Mapping[str, Meaning] | None = None) -> None:
        self.strict = strict
        self.meanings = dict(meanings or {})
        self.faults: list[Fault] = []
        self.notes: Counter[str] = Counter()
        self.seen: set[str] = set()

    def fault(self, path: Path, where: str, message: object) -> None:
        """Remember a fault. Raises DatasetError (bad_label) when strict."""
        if self.strict:
            raise DatasetError("bad_label", f"{where}: {message}" if where else str(message), path=str(path))
        self.faults.append(Fault(str(path), where, str(message)))

    def note(self, remark: str) -> None:
        """Count something that a reader of the numbers should know, and that is no fault."""
        self.notes[remark] += 1

    def box(
        self,
        corners: Sequence[Any],
        name: str,
        *,
        kind: Any = None,
        brand: Any = None,
        label: Any = None,
        ignore: bool = False,
        extra: bool = False,
        fields: Mapping[str, Any] | None = None,
    ) -> LabelledBox | None:
        """A box of a class; null when the map drops it.

        corners: xyxy pixels. kind, brand, label: where the source says them; then the name is asked only of the map.
        Raises ValueError for what is no label.
        """
        if isinstance(corners, str) or not isinstance(corners, Sequence) or len(corners) != 4:
            raise ValueError(f"{shown(corners)} is no box")
        left, top, right, bottom = (place(v) for v in corners)
        self.seen.add(name)
        if kind is not None and kind not in LABELLED_KINDS:
            raise ValueError(f"kind {shown(kind)} is neither logo nor product")
        own_brand, own_label = _name(brand, "brand"), _name(label, "label")
        mapped = self.meanings.get(name, self.meanings.get("*"))
        said = mapped or (Meaning(kind) if kind is not None else default_meaning(name))
        # the map may rename a brand; what a name seems to say gives way to what the source says
        named = (mapped.brand or own_brand) if mapped else (own_brand or said.brand)
        meaning = Meaning(said.kind, named)
        if mapped is not None and mapped.brand:
            text = None  # the map gave the class another name
        elif kind is not None and mapped is None:
            text = own_label
        else:
            text = own_label or label_of(name, meaning)
        if meaning.kind is None:
            self.note("boxes dropped by the map")
            return None
        return LabelledBox(
            (left, top, right, bottom), meaning.kind, meaning.brand, ignore, extra, text, dict(fields or {})
        )

    def size(self, path: Path, width: Any, height: Any) -> tuple[int, int]:
        """The size of a picture as labelled, or read from the picture where the label does not say. Raises ValueError."""
        if width not in (None, "") and height not in (None, ""):
            return size(width), size(height)
        try:
            found = read_size(path)
        except PictureError as error:
            raise ValueError(f"no width and height, and the picture cannot be read: {error}") from None
        self.note("sizes read from the pictures, since the labels have none")
        return found


def _name(value: Any, what: str) -> str | None:
    if not isinstance(value, str | None):
        raise ValueError(f"{what} {shown(value)} is no name")
    return value or None
