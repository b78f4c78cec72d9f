"""The shipped brand library, made from scratch by one recipe: drawings of vector sources, real crops as vectors, bare names.

In: a recipe (`datasets/library.yaml`), an embedder. Out: a library folder. Drawings bring a name, a source, a licence and a
thumbnail each; photo references bring their vectors only, no pictures; lists of names bring brands that are only read. Same
recipe, same embedder, same library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision import geometry
from vision.datasets.labelled import LabelledPicture, read_names, read_set
from vision.errors import UsageError
from vision.images import read_picture
from vision.library import Library, NewBrand, NewReference
from vision.library.name_files import NamedBrand
from vision.library.name_files import read_names as read_brand_names
from vision.library.names import canonical, curated_aliases, fold
from vision.library.pictures import THUMBNAIL_SIDE, encode_thumbnail
from vision.library.sources import MAIN, Drawing, by_brand, differing, load_drawings, views
from vision.recognise import CROP_PADDING
from vision.values import Embeddings, Pixels

if TYPE_CHECKING:
    from vision.embed.contract import EmbedderLike

Progress = Callable[[str, int, int], None]

# Crops nearer than this to a patch of background are no references.
_BACKGROUND = 0.85


def build_library(
    config: Mapping[str, Any],
    out: Path,
    *,
    embedder: EmbedderLike | None = None,
    cache: Path | None = None,
    packages: Path | None = None,
    read_only: bool = True,
    progress: Progress | None = None,
) -> Library:
    """Build the library that a recipe describes into a folder, in place of the library there, if any.

    embedder: the shipped one when None. cache, packages: as in `load_drawings`. progress: called with (stage, done, of).
    Raises UsageError (bad_config, bad_option), DatasetError (missing, bad_label), BackendError (package_missing), LibraryError.
    """
    if embedder is None:
        from vision.embed import Embedder

        embedder = Embedder.load()
    tell = progress or (lambda stage, done, of: None)
    recipe = _checked(config)
    drawings, more = (
        load_drawings(cache, sources=each, packages=packages, progress=lambda done, of: tell("drawing", done, of))
        for each in (recipe.sources, recipe.more)
    )
    names = [name for path in recipe.name_lists for name in _listed(path)]
    brands = _drawn_brands(drawings + _joining(more, drawings, names, recipe.others), embedder, tell)
    photos = _photo_brands(recipe, embedder, tell)
    known = {fold(brand.name) for brand in brands}.union(
        *(_boxed_brands(each.path, recipe) for each in recipe.photo_sets)
    )
    brands += [brand for brand in photos if fold(brand.name) in known]
    brands += _named_brands(names, brands)
    return Library.build(out, brands, embedder=embedder, read_only=read_only)


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """A labelled set whose crops become references. licence: as its source states it. kinds: boxes to take."""

    path: Path
    licence: str
    kinds: tuple[str, ...] = ("logo",)


@dataclass(frozen=True, slots=True)
class _Recipe:
    sources: tuple[str, ...]
    more: tuple[str, ...]
    others: frozenset[str]
    photo_sets: tuple[PhotoSet, ...]
    least_side: float
    left_out: tuple[str, ...]
    names: Mapping[str, str]
    name_lists: tuple[Path, ...]

    def name_of(self, picture: LabelledPicture, brand: str) -> str:
        """What the library calls a brand that a picture's labels name."""
        return canonical(self.names.get(f"{picture.source}/{brand}", brand))


def _checked(config: Mapping[str, Any]) -> _Recipe:
    try:
        photos = config.get("photos") or {}
        sets = tuple(
            PhotoSet(Path(entry["path"]), str(entry["licence"]), tuple(entry.get("kinds", ["logo"])))
            for entry in photos.get("sets", [])
        )
        left_out = photos.get("brands_left_out")
        drawings = config.get("drawings") or {}
        return _Recipe(
            tuple(drawings.get("sources", MAIN)),
            tuple(drawings.get("more", ())),
            frozenset(drawings.get("other_companies", ())),
            sets,
            float(photos.get("least_side", 0)),
            read_names(left_out) if sets else (),
            dict(photos.get("names") or {}),
            tuple(map(Path, config.get("name_lists") or ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError("bad_config", f"the recipe is not one of a library: {error!r}") from error


def _joining(
    more: Iterable[Drawing], drawings: Sequence[Drawing], names: Iterable[NamedBrand], others: Collection[str]
) -> list[Drawing]:
    """What further collections add: artwork that differs from what is there, of brands that are drawn or listed.

    A drawing whose title is another name of a listed brand becomes that brand's. others: brands of the collections that share a
    listed name by chance. Brands of these collections that are neither
    drawn nor listed, mostly software, would only be rivals.
    """
    called: dict[str, str] = {}
    for each in names:
        for name in (each.name, *each.aliases):
            called.setdefault(fold(canonical(name)), canonical(each.name))
    called |= {drawing.key: drawing.name for drawing in drawings}
    wanted = [
        replace(drawing, name=called[drawing.key], key=fold(called[drawing.key]))
        for drawing in more
        if drawing.key in called and drawing.name not in others
    ]
    return differing(wanted, drawings)


def _drawn_brands(drawings: Sequence[Drawing], embedder: EmbedderLike, tell: Progress) -> list[NewBrand]:
    """One brand for each name, one reference for each drawing, one vector for each of its views."""
    made = []
    done = 0
    taken = {drawing.key for drawing in drawings}
    for name, group in by_brand(drawings):
        pictures = [[with_padding(view) for view in views(drawing)] for drawing in group]
        vectors = embedder.embed_images([view for each in pictures for view in each])
        ends = np.cumsum([len(each) for each in pictures])
        references = [
            NewReference(
                part,
                "drawing",
                source=f"{drawing.source}/{drawing.slug}",
                licence=drawing.licence,
                thumbnail=encode_thumbnail(each[0], THUMBNAIL_SIDE),
            )
            for drawing, each, part in zip(group, pictures, np.split(vectors, ends[:-1]), strict=True)
        ]
        # an alias that two brands claim, or that is a brand's name, would find the wrong one
        others = {fold(alias): alias for drawing in group for alias in drawing.aliases}
        aliases = [*curated_aliases(name), *(alias for key, alias in others.items() if key and key not in taken)]
        taken.update(map(fold, aliases))
        made.append(NewBrand(name, references, aliases))
        done += len(group)
        tell("embedding drawings", done, len(drawings))
    return made


def _photo_brands(recipe: _Recipe, embedder: EmbedderLike, tell: Progress) -> list[NewBrand]:
    """Every crop of every brand of the sets, as vectors.

    All of them: of training crops held out by picture more were named right than with 30 cluster centres a brand, and far more
    than with the 30 most different ones, which are the odd ones.
    """
    found: dict[str, list[NewReference]] = {}
    names: dict[str, str] = {}
    for entry in recipe.photo_sets:
        pictures = read_set(entry.path, brands_left_out=recipe.left_out)
        for done, picture in enumerate(pictures, 1):
            crops = brand_crops(picture, kinds=entry.kinds, least_side=recipe.least_side)
            vectors = embedder.embed_images([pixels for _, pixels in crops])
            for (brand, _), vector in zip(crops, vectors, strict=True):
                if _like_background(vector, embedder):
                    continue
                name = recipe.name_of(picture, brand)
                names.setdefault(fold(name), name)
                found.setdefault(fold(name), []).append(
                    NewReference(vector[None], "photo", source=picture.source, licence=entry.licence)
                )
            tell(f"embedding crops of {picture.source}", done, len(pictures))
    return [NewBrand(names[key], found[key], curated_aliases(names[key])) for key in sorted(found)]


def _listed(path: Path) -> list[NamedBrand]:
    names, bad = read_brand_names(path)
    if bad:
        raise UsageError("bad_config", f"line {bad[0].number}: {bad[0].why}", path=str(path))
    return names


def _named_brands(names: Iterable[NamedBrand], others: Iterable[NewBrand]) -> list[NewBrand]:
    """The listed brands that the others lack, without references and without aliases that are names of others."""
    taken = {fold(name) for brand in others for name in (brand.name, *brand.aliases)}
    fresh: dict[str, NamedBrand] = {}
    for each in names:
        if (key := fold(canonical(each.name))) not in taken:
            fresh.setdefault(key, each)
    taken.update(fresh)
    made = []
    for each in fresh.values():
        name = canonical(each.name)
        aliases = {fold(alias): alias for alias in (*curated_aliases(name), *each.aliases) if fold(alias) not in taken}
        taken.update(aliases)
        made.append(NewBrand(name, (), tuple(aliases.values())))
    return made


def _like_background(vector: Embeddings, embedder: EmbedderLike) -> bool:
    """True for a crop that shows as good as nothing: it would be found for every plain patch."""
    return len(embedder.background) > 0 and float((embedder.background @ vector).max()) >= _BACKGROUND


def _boxed_brands(path: Path, recipe: _Recipe) -> set[str]:
    """Folded names of the brands that a set itself boxes. The boxes added later name passing shops and watermarks too."""
    pictures = read_set(path, extra_boxes=False)
    return {fold(recipe.name_of(picture, box.brand)) for picture in pictures for box in picture.boxes if box.brand}


def brand_crops(
    picture: LabelledPicture, *, kinds: Iterable[str] = ("logo",), least_side: float = 0
) -> list[tuple[str, Pixels]]:
    """(brand, pixels) of each box of a picture that names a brand, cut out as a scan cuts it; [] without opening it if none does.

    least_side: of the box, in pixels; smaller ones are left out.
    """
    wanted = [
        box
        for box in picture.boxes
        if box.brand
        and not box.ignore
        and box.kind in set(kinds)
        and min(box.box[2] - box.box[0], box.box[3] - box.box[1]) >= least_side
    ]
    if not wanted:
        return []
    pixels = read_picture(picture.path).pixels
    height, width = pixels.shape[:2]
    boxes = np.array([box.box for box in wanted], dtype=np.float32) * picture.scale_to(width, height)
    padded = geometry.pad(boxes, CROP_PADDING, width, height)
    return [(str(box.brand), geometry.crop(pixels, place)) for box, place in zip(wanted, padded, strict=True)]


def with_padding(view: Pixels) -> Pixels:
    """A drawn view with as much of its ground around it as a scan leaves around a box.

    It helps where a brand has drawings only, and costs nothing where it has photo references.
    """
    high, wide = (round(side * CROP_PADDING) for side in view.shape[:2])
    padded = np.empty((view.shape[0] + 2 * high, view.shape[1] + 2 * wide, 3), dtype=np.uint8)
    padded[:] = view[0, 0]
    padded[high : high + view.shape[0], wide : wide + view.shape[1]] = view
    return padded
