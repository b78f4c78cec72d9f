"""Labelled pictures parted by brand: no brand, nor kin of it, nor near-duplicate of a picture, stands on both sides.

So what is measured on the one side was never taught by the other. Pictures that belong to both are left out, and it is said why.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vision.datasets.labelled import LabelledPicture, brand_key, brands_of, kin_keys, kin_of
from vision.errors import DatasetError, PictureError, UsageError

if TYPE_CHECKING:
    from vision.copies import CopyDescription

Groups = npt.NDArray[np.int64]
SHARE = 0.3
BOTH_SIDES = "shows brands of both sides"
NEAR_DUPLICATE = "near-duplicate of a picture of the other side"


@dataclass(frozen=True, slots=True)
class BrandSplit:
    """seen, unseen: pictures in the order given. unseen_brands: sorted names. left_out: pictures of neither side, and why."""

    seen: tuple[LabelledPicture, ...]
    unseen: tuple[LabelledPicture, ...]
    unseen_brands: tuple[str, ...]
    left_out: tuple[tuple[LabelledPicture, str], ...]


def split_by_brand(
    pictures: Sequence[LabelledPicture],
    groups: Sequence[Hashable],
    *,
    share: float = SHARE,
    unseen: Iterable[str] = (),
    seed: int = 0,
) -> BrandSplit:
    """Part pictures. groups: of each picture; those of one group show the same (`same_pictures`).

    unseen: the brands of the unseen side, with their kin; when empty, so large a `share` of the families of kin is drawn. A
    near-duplicate is left out of the seen side; pictures without a brand are seen.
    Raises UsageError (bad_option) for a share outside of (0, 1), DatasetError (missing) when one side would be empty.
    """
    if not 0 < share < 1:
        raise UsageError("bad_option", f"a share of {share} leaves one side empty", hint="between 0 and 1")
    named = [set(brands_of(picture)) for picture in pictures]
    brands = sorted({name for names in named for name in names})
    listed = list(unseen)
    if listed:
        is_listed = kin_of(listed)
        hidden = {name for name in brands if is_listed(name)}
    else:
        families = _families(brands)
        heads = sorted(set(families.values()))
        drawn = np.random.default_rng(seed).permutation(len(heads))[: max(1, round(share * len(heads)))]
        chosen = {heads[i] for i in drawn}
        hidden = {name for name in brands if families[name] in chosen}
    sides = ["unseen" if names and names <= hidden else "both" if names & hidden else "seen" for names in named]
    taken = {group for group, side in zip(groups, sides, strict=True) if side == "unseen"}
    near = [side == "seen" and group in taken for group, side in zip(groups, sides, strict=True)]
    left_out = [
        (picture, BOTH_SIDES if side == "both" else NEAR_DUPLICATE)
        for picture, side, twin in zip(pictures, sides, near, strict=True)
        if side == "both" or twin
    ]
    parts = {
        side: tuple(p for p, own, twin in zip(pictures, sides, near, strict=True) if own == side and not twin)
        for side in ("seen", "unseen")
    }
    for side, own in parts.items():
        if not own:
            raise DatasetError(
                "missing", f"no picture is left on the {side} side", hint="other brands, or more pictures"
            )
    return BrandSplit(parts["seen"], parts["unseen"], tuple(sorted(hidden)), tuple(left_out))


def _families(brands: Sequence[str]) -> dict[str, str]:
    """Each brand with the head of its family: the shortest name that it begins with as whole words, or is spelled like."""
    head: dict[str, str] = {}
    for name in sorted(brands, key=lambda n: (len(brand_key(n)), n)):
        keys = kin_keys(name)
        head[name] = next((head[other] for other in head if brand_key(other) in keys), name)
    return head


def same_pictures(
    paths: Sequence[Path], *, advance: Callable[[int], None] | None = None, threads: int | None = None
) -> Groups:
    """(n,) group of each picture: those taken from each other, edited, mirrored or turned, are in one group.

    A picture that cannot be read is a group of its own. advance: is told 1 for each picture done.
    """
    from vision.copies import ScanIndex
    from vision.copies.entries import MAX_RADIUS
    from vision.scan import in_order

    parent = list(range(len(paths)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    with closing(ScanIndex()) as index:
        for number, one in enumerate(in_order(_described, paths, threads=threads)):
            if advance:
                advance(1)
            if one is None:
                continue
            # as far as copies were measured at all: a pair that leaks through flatters, one too many costs a picture
            for claim in index.search(one, MAX_RADIUS, None):
                parent[root(number)] = root(int(claim.source))
            index.add(str(number), one)
    return np.array([root(i) for i in range(len(paths))], dtype=np.int64)


def _described(path: Path) -> CopyDescription | None:
    from vision.copies import described

    try:
        return described(path)
    except PictureError:
        return None
