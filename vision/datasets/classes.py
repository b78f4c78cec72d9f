"""Class names of other formats become kind and brand, and back.

Others know classes, we know kinds (logo, product) and brands. Unless a map says otherwise: a word for marks ("logo", "trademark")
is a logo of no named brand; a word for things ("bottle", "product") a product; "Nike logo" a logo of Nike, "Fanta can" a product
of Fanta; a number means nothing, a logo; every other name is the brand of a logo.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.datasets.files import YAML_NULL, read_yaml, shown
from vision.datasets.labelled import LabelledBox, brand_key
from vision.errors import DatasetError

LABELLED_KINDS = ("logo", "product")

# fmt: off
LOGO_WORDS = frozenset((
    "logo", "logos", "logotype", "brand", "brands", "brandlogo", "mark", "marks", "brandmark", "trademark", "emblem", "emblems",
    "symbol", "wordmark", "sign", "badge",
))
PRODUCT_WORDS = frozenset((
    "product", "products", "item", "items", "object", "objects", "package", "packages", "packaging", "pack", "packs", "packet",
    "packshot", "bottle", "bottles", "can", "cans", "tin", "carton", "cartons", "crate", "crates", "box", "boxes", "bag", "bags",
    "pouch", "sachet", "jar", "jars", "tub", "tube", "tubes", "bar", "cup", "mug", "glass", "canister", "barrel", "keg", "phone",
    "phones", "smartphone", "laptop", "laptops", "shoe", "shoes", "sneaker", "sneakers", "shirt", "tshirt", "cap", "hat",
    "watch", "handbag", "cigarettepack",
))
# fmt: on
# Few brands end in one of these words ("Jack in the Box" does in another one).
_ENDS_IN_LOGO = re.compile(r"(.*\w)[\s_\-]+(?:logo|logos|logotype|wordmark|emblem)", re.IGNORECASE | re.DOTALL)
_ENDS_IN_PRODUCT = re.compile(
    r"(.*\w)[\s_\-]+(?:product|bottle|can|carton|crate|jar|packet)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a class name stands for. kind: null when its boxes are to be dropped."""

    kind: str | None
    brand: str | None = None


def default_meaning(name: str) -> Meaning:
    """What a class name means where no map says so."""
    key = brand_key(name)
    if not key or key.isdecimal() or key in LOGO_WORDS:
        return Meaning("logo")
    if key in PRODUCT_WORDS:
        return Meaning("product")
    if logo := _ENDS_IN_LOGO.fullmatch(name):
        return Meaning("logo", logo[1])
    if product := _ENDS_IN_PRODUCT.fullmatch(name):
        return Meaning("product", product[1])
    return Meaning("logo", name)


def label_of(name: str, meaning: Meaning) -> str | None:
    """The class name itself, where kind and brand do not say it already."""
    return None if not name or name == spelled(meaning.kind or "", meaning.brand) else name


def class_name(box: LabelledBox, naming: str) -> str:
    """The class of a box in a format that knows only classes.

    naming: "kind"; "brand", or the kind where none is named; "label", the source's own class, else kind and brand in the words
    that `default_meaning` understands: "Nike", "Nike product", "logo", "product".
    """
    if naming == "kind":
        return box.kind
    if naming == "brand":
        return box.brand or box.kind
    return box.label or spelled(box.kind, box.brand)


def spelled(kind: str, brand: str | None) -> str:
    """Kind and brand in the words that `default_meaning` understands."""
    return kind if not brand else brand if kind == "logo" else f"{brand} {kind}"


def read_map(path: Path) -> dict[str, Meaning]:
    """A YAML file of class names: {"Coke": {kind: product, brand: Coca-Cola}, "person": drop, "*": logo}.

    A word alone is the kind. "*" is every class that is not named. Raises DatasetError (missing, bad_label), BackendError.
    """
    return {name: _meaning(value, name, path) for name, value in read_yaml(path).items()}


def _meaning(value: Any, name: str, path: Path) -> Meaning:
    entry: Mapping[Any, Any] = value if isinstance(value, Mapping) else {"kind": value}
    kind, brand = entry.get("kind"), entry.get("brand")
    brand = None if brand in YAML_NULL else brand
    if kind not in (*LABELLED_KINDS, "drop") or not isinstance(brand, str | None) or set(entry) - {"kind", "brand"}:
        raise DatasetError(
            "bad_label",
            f"class {name!r} is mapped to {shown(value)}",
            path=str(path),
            hint="{kind: logo, product or drop, brand: a name}, or the kind alone",
        )
    return Meaning(None if kind == "drop" else kind, brand)
