"""Labelled pictures: the nouns of this room, lists of names, and the sets that training and evaluation read.

A set is a file or folder of any format that `reading.py` knows. Our own is a jsonl file with rows {"image", "width", "height",
"boxes": [{"box", "kind", "brand"}], "exhaustive"}; images are relative to the file. An `extra_boxes.jsonl` beside it lists logos
that the source left unboxed: sure ones are logos like all others, unsure ones and groups are regions where a logo is neither
taught nor punished.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.datasets.files import unreadable
from vision.errors import DatasetError
from vision.values import Box


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One box of a labelled picture, as its source has it: it may reach outside or have no area (`vision datasets check`).

    brand: null when not known. ignore: neither taught nor punished. extra: not the source's. label: the source's own name of the
    class, where it says more than kind and brand. fields: whatever else the source said, as plain JSON.
    """

    box: Box
    kind: str
    brand: str | None = None
    ignore: bool = False
    extra: bool = False
    label: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One picture of a set. looked_at: its unboxed logos were searched for by eye. kinds: the kinds that its source boxes.

    split: "train", "val", "test" or what else its source calls it; null when it says nothing. exhaustive: nothing is unboxed.
    fields: whatever else the source said, as plain JSON.
    """

    path: Path
    width: int
    height: int
    boxes: tuple[LabelledBox, ...]
    source: str
    looked_at: bool
    kinds: frozenset[str]
    split: str | None = None
    exhaustive: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def scale_to(self, width: int, height: int) -> npt.NDArray[np.float32]:
        """(4,) float32: what its boxes are multiplied by where its file has that many pixels, others than its label says.

        A label that swaps width and height tells how a turned photograph is stored; its boxes were drawn on what is shown.
        """
        if (width, height) == (self.height, self.width):
            return np.ones(4, dtype=np.float32)
        return np.array([width / self.width, height / self.height] * 2, dtype=np.float32)


def brand_key(name: str) -> str:
    """A name folded for comparison: case, accents, spaces and punctuation do not count."""
    text = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in text if c.isalnum())


def is_kin(name: str, brands: Iterable[str]) -> bool:
    """True when a name is one of the brands or starts with one of them as whole words ("Google 2014" is kin of "Google")."""
    return kin_of(brands)(name)


def kin_of(brands: Iterable[str]) -> Callable[[str], bool]:
    """`is_kin` for many names: the brands are folded once."""
    keys = {brand_key(b) for b in brands}
    return lambda name: not keys.isdisjoint(kin_keys(name))


def kin_keys(name: str) -> list[str]:
    """The folded first word of a name, its first two words, and so on: the brands that it is kin of, if there are such."""
    words = [brand_key(w) for w in name.replace("-", " ").replace("_", " ").split()]
    return ["".join(words[: i + 1]) for i in range(len(words))]


def brands_of(picture: LabelledPicture) -> list[str]:
    """The brands that a picture is said to show: of its boxes, and of the picture as a whole ("image_brands")."""
    return [b.brand for b in picture.boxes if b.brand] + list(picture.fields.get("image_brands", []))


def read_names(path: str | None) -> tuple[str, ...]:
    """The lines of a list of brand names; empty when no list is named. Raises DatasetError (missing, bad_label)."""
    if not path:
        return ()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError("missing", "no list of brands to leave out", path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(error, Path(path)) from None
    return tuple(line.strip() for line in lines if line.strip())


def read_set(path: Path, *, brands_left_out: Iterable[str] = (), extra_boxes: bool = True) -> list[LabelledPicture]:
    """The pictures of a set in its order; those with a box of `brands_left_out` or their kin are dropped.

    path: a file or folder of any format, and `data.yaml#train` for one split of it. extra_boxes: with those beside a jsonl file.
    Raises DatasetError: missing; bad_label with file and line for the first label that makes no sense; leaking_split for a set
    with several splits of which none was chosen.
    """
    from vision.datasets.reading import read_any

    found = read_any(path, strict=True, extra_boxes=extra_boxes)
    splits = sorted({p.split or "no split" for p in found.pictures})
    if len(splits) > 1:
        raise DatasetError(
            "leaking_split",
            f"pictures of several splits: {', '.join(splits)}",
            path=str(path),
            hint=f"choose one: {path}#{'train' if 'train' in splits else splits[-1]}",
        )
    is_left_out = kin_of(brands_left_out)
    return [p for p in found.pictures if not any(is_left_out(name) for name in brands_of(p))]
