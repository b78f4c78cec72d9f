"""Clean drawings of logos from free vector collections (`packages`), rasterised once and kept in a cache folder.

Out come RGBA arrays cropped to the ink, under display names on which the collections agree; `views` lays one on the grounds that
a shop would print it on, `differing` keeps what a brand's other drawings do not show already.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import UsageError, package_missing
from vision.files import write_atomically
from vision.library.names import Titles, canonical, fold
from vision.library.packages import SOURCES, Svg, read_svgs, version_of
from vision.values import Pixels

# The collections that are taken whole; the others hold other artwork of the same brands, and software that nobody sells.
MAIN = ("simplepycons", "iconify-logos")
# Bump when the way of rasterising changes, so that no older cache is taken for a new one.
_CACHE_FORMAT = 2
# Alpha (of 255) from which a pixel is ink, and the least ink of a drawing that can be told from an empty one.
_INK, _LEAST_INK = 8, 20
# Two drawings of a brand are the same artwork when their pictures of this side differ by less than this of 1 on average.
_SIDE, _SAME = 32, 0.035
# Share of its convex hull that is ink, from which a drawing is a plain shape; share of its box that stays on white, under which
# it is made for dark grounds. All chosen by eye.
_PLAIN, _STAYS = 0.97, 0.75

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """One vector logo as pixels.

    name: display name of the brand ("Coca-Cola"), the same for all drawings of a brand. key: that name folded, to group by.
    source: one of `packages.SOURCES`. slug: its name there. licence: as `packages.Svg` has it.
    coloured: has more than one colour.
    colour: "#rrggbb" of the ink of a one-colour drawing (the brand's colour), None for a coloured one.
    aliases: other names of the brand that the source knows, some in other scripts.
    rgba: (h, w, 4) uint8, cropped to the ink, straight alpha, longest side about as asked for.
    """

    name: str
    key: str
    source: str
    licence: str
    colour: str | None
    coloured: bool
    rgba: npt.NDArray[np.uint8] = field(repr=False)
    slug: str
    aliases: tuple[str, ...] = ()


def default_cache() -> Path:
    """The folder for files that can be made again: `vision-brands` in the platform's user cache."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "vision-brands"


def load_drawings(
    cache: Path | None = None,
    *,
    sources: Sequence[str] = MAIN,
    longest_side: int = 192,
    packages: Path | None = None,
    progress: Progress | None = None,
) -> list[Drawing]:
    """All drawings of the sources, in that order, then by slug. The first call rasterises them (minutes), others read `cache`.

    cache: folder, made when missing; `default_cache()` when None. longest_side: of the ink, in pixels, about.
    packages: a folder with the tarballs of npm's packages, when they need not be fetched. progress: called with (done, of).
    Raises UsageError (bad_option) for an unknown source, BackendError (package_missing) without simplepycons, resvg or npm,
    DatasetError (missing, bad_label) for a tarball that is not one.
    """
    unknown = sorted(set(sources) - set(SOURCES))
    if unknown:
        raise UsageError("bad_option", f"unknown source {unknown[0]!r}", hint=f"one of {', '.join(SOURCES)}")
    cache = default_cache() if cache is None else cache
    raw = []
    for source in sources:
        key = hashlib.sha256(f"{_CACHE_FORMAT} {source} {version_of(source)} {longest_side}".encode()).hexdigest()
        path = cache / f"drawings-{source}-{key[:12]}.zip"
        raw.extend(_rasters(path, partial(read_svgs, source, cache, packages), longest_side, progress))
    titles = Titles(
        (r.meta["title"], (r.meta["slug"], *r.meta["aliases"])) for r in raw if r.meta["source"] == "simplepycons"
    )
    return [_drawing(r, titles) for r in raw]


def views(drawing: Drawing) -> list[Pixels]:
    """The drawing as it is printed: (h, w, 3) uint8 each, with a margin of a tenth of its longest side.

    One colour: on white, or on black when it cannot be told from white. Coloured: on white, and on black with black lettering
    turned white. The embedder heeds form: the same in black, in grey or inverted finds nothing more.
    """
    margin = max(2, round(max(drawing.rgba.shape[:2]) * 0.1))
    padded = np.pad(drawing.rgba, ((margin, margin), (margin, margin), (0, 0)))
    alpha = padded[..., 3:].astype(np.float32) / np.float32(255)
    white, black = (255, 255, 255), (0, 0, 0)
    if drawing.colour is None:
        return [_lay(padded[..., :3], alpha, white), _lay(_for_dark_ground(padded), alpha, black)]
    colour = _rgb(drawing.colour)
    return [_lay(np.full_like(padded[..., :3], colour), alpha, white if _far(colour, white) else black)]


@dataclass(frozen=True, slots=True, eq=False)
class _Raster:
    """A drawing before it is named: what its source says of it, and its pixels."""

    meta: dict[str, Any]
    rgba: npt.NDArray[np.uint8]


def _drawing(raster: _Raster, titles: Titles) -> Drawing:
    meta = raster.meta
    name = canonical(meta["title"]) if meta["title"] else titles.name(meta["slug"])
    return Drawing(
        name=name,
        key=fold(name),
        source=meta["source"],
        licence=meta["licence"],
        colour=meta["colour"],
        coloured=meta["colour"] is None,
        rgba=raster.rgba,
        slug=meta["slug"],
        aliases=tuple(meta["aliases"]),
    )


def _rasters(path: Path, read: Callable[[], list[Svg]], longest_side: int, progress: Progress | None) -> list[_Raster]:
    """A source's rasters from the cache file; made and kept when it is not there or cannot be read."""
    if path.is_file():
        try:
            return _read_cache(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # a cache: made again below
    svgs = read()
    found = []
    for done, svg in enumerate(svgs, 1):
        raster = _rasterise(svg, longest_side)
        if raster is not None:
            found.append(raster)
        if progress is not None:
            progress(done, len(svgs))
    _write_cache(path, found)
    return found


def _write_cache(path: Path, rasters: Sequence[_Raster]) -> None:
    """Metadata as JSON, pixels as one blob: only alpha for drawings of one colour, so that a load is quick."""
    blobs = [np.ascontiguousarray(r.rgba if r.meta["colour"] is None else r.rgba[..., 3]) for r in rasters]
    rows = [r.meta | {"shape": list(r.rgba.shape[:2])} for r in rasters]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as out:
        out.writestr("rows.json", json.dumps(rows))
        with out.open("pixels", "w", force_zip64=True) as pixels:
            for blob in blobs:
                pixels.write(blob.data)
    write_atomically(path, buffer.getvalue())


def _read_cache(path: Path) -> list[_Raster]:
    with zipfile.ZipFile(path) as packed:
        rows = json.loads(packed.read("rows.json"))
        blob = np.frombuffer(packed.read("pixels"), dtype=np.uint8)
    found, start = [], 0
    for row in rows:
        height, width = row.pop("shape")
        coloured = row["colour"] is None
        part = blob[start : start + height * width * (4 if coloured else 1)]
        start += len(part)
        found.append(
            _Raster(
                row, part.reshape(height, width, 4) if coloured else _inked(part.reshape(height, width), row["colour"])
            )
        )
    return found


def _inked(alpha: npt.NDArray[np.uint8], colour: str) -> npt.NDArray[np.uint8]:
    rgba = np.empty((*alpha.shape, 4), dtype=np.uint8)
    rgba[..., :3] = _rgb(colour)
    rgba[..., 3] = alpha
    return rgba


def _rasterise(drawn: Svg, longest_side: int) -> _Raster | None:
    """Render so that the ink's longest side is about `longest_side`; None when there is no ink (or only text, without fonts)."""
    view = re.search(r'viewBox="\s*([-\d.e]+)[\s,]+([-\d.e]+)[\s,]+([-\d.e]+)[\s,]+([-\d.e]+)', drawn.svg)
    width, height = (float(view[3]), float(view[4])) if view else (1.0, 1.0)
    rgba = _render(drawn.svg, longest_side, wide=width >= height)
    if rgba is None:
        return None
    if max(rgba.shape[:2]) < 0.8 * longest_side:  # much empty ground around the ink: render again, larger
        larger = min(4 * longest_side, round(longest_side * longest_side / max(rgba.shape[:2])))
        rgba = _render(drawn.svg, larger, wide=width >= height)
    if rgba is None:
        return None
    colour = drawn.colour or _only_colour(rgba)
    kept = {key: value for key, value in asdict(drawn).items() if key != "svg"} | {"colour": colour}
    return _Raster(kept, rgba if colour is None else _inked(rgba[..., 3], colour))


def _render(svg: str, side: int, *, wide: bool) -> npt.NDArray[np.uint8] | None:
    from PIL import Image

    try:
        import resvg_py
    except ImportError:
        raise package_missing("resvg-py", "train") from None
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=svg, skip_system_fonts=True, width=side if wide else None, height=None if wide else side
        )
    except ValueError:  # resvg refuses it
        return None
    rgba = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
    rows, columns = (np.flatnonzero((rgba[..., 3] > _INK).any(axis=axis)) for axis in (1, 0))
    if len(rows) * len(columns) < _LEAST_INK:
        return None
    return np.ascontiguousarray(rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _only_colour(rgba: npt.NDArray[np.uint8]) -> str | None:
    """The colour of the ink when it has one only (95 % of it within 12 levels), else None."""
    ink = rgba[rgba[..., 3] > 200][:, :3].astype(np.int16)
    if not len(ink):
        ink = rgba[rgba[..., 3] > _INK][:, :3].astype(np.int16)
    middle = np.median(ink, axis=0)
    if np.percentile(np.abs(ink - middle).max(axis=1), 95) >= 12:
        return None
    return "#" + "".join(f"{int(v):02x}" for v in middle)


def _for_dark_ground(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The ink with near-black parts turned near-white when they are more than a tenth of it, as a brand prints it on black."""
    ink = rgba[..., :3]
    dark = (ink.max(axis=2) < 72) & (rgba[..., 3] > _INK)
    if dark.sum() < 0.1 * (rgba[..., 3] > _INK).sum():
        return ink
    return np.where(dark[..., None], 255 - ink, ink)


def _lay(ink: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32], ground: tuple[int, int, int]) -> Pixels:
    mixed = ink * alpha + np.asarray(ground, dtype=np.float32) * (1 - alpha)
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def _grey(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(rgb @ np.array([0.299, 0.587, 0.114])), dtype=np.uint8)  # ITU-R BT.601


def _rgb(colour: str) -> tuple[int, int, int]:
    digits = colour.lstrip("#")
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _far(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) >= 24


def by_brand(drawings: Sequence[Drawing]) -> Iterator[tuple[str, list[Drawing]]]:
    """Drawings grouped by brand: (display name, its drawings), ordered by folded name."""
    groups: dict[str, list[Drawing]] = {}
    for drawing in drawings:
        groups.setdefault(drawing.key, []).append(drawing)
    for key in sorted(groups):
        yield groups[key][0].name, groups[key]


def differing(drawings: Sequence[Drawing], others: Sequence[Drawing]) -> list[Drawing]:
    """The drawings that neither one of `others` nor an earlier one shows: of two alike of one brand the first stays.

    Plain shapes of one colour (a disc, a triangle), which anything round or pointed looks like, are left out, and coloured
    drawings for dark grounds, of which white ones show a part. Those of one colour are compared by their ink, coloured ones in
    grey on white.
    """
    shown: dict[tuple[str, bool], list[npt.NDArray[np.float32]]] = {}
    for drawing in others:
        shown.setdefault((drawing.key, drawing.coloured), []).append(_small(drawing))
    kept = []
    for drawing in drawings:
        if _for_dark_grounds(drawing) if drawing.coloured else _plain(drawing):
            continue
        small = _small(drawing)
        alike = shown.setdefault((drawing.key, drawing.coloured), [])
        if any(float(np.abs(small - each).mean()) < _SAME for each in alike):
            continue
        alike.append(small)
        kept.append(drawing)
    return kept


def _plain(drawing: Drawing) -> bool:
    ink = drawing.rgba[..., 3] > 127
    if not ink.any():  # fainter than that all over
        return False
    hull = cv2.convexHull(np.argwhere(ink).astype(np.int32))
    return bool(ink.sum() > _PLAIN * cv2.contourArea(hull))


def _for_dark_grounds(drawing: Drawing) -> bool:
    seen = np.argwhere((drawing.rgba[..., 3] > 127) & (drawing.rgba[..., :3].min(axis=2) < 225))
    if not len(seen):
        return True
    high, wide = seen.max(axis=0) - seen.min(axis=0) + 1
    return bool(high * wide < _STAYS * drawing.rgba[..., 3].size)


def _small(drawing: Drawing) -> npt.NDArray[np.float32]:
    """A drawing shrunk into the corner of a square of `_SIDE`: its ink, or its grey on white, 0 to 1."""
    from PIL import Image

    seen = drawing.rgba[..., 3]
    if drawing.coloured:
        alpha = seen[..., None].astype(np.float32) / np.float32(255)
        seen = _grey(_lay(drawing.rgba[..., :3], alpha, (255, 255, 255)))
    height, width = seen.shape
    scale = _SIDE / max(height, width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    square = np.full((_SIDE, _SIDE), float(drawing.coloured), dtype=np.float32)
    square[:high, :wide] = np.asarray(Image.fromarray(seen).resize((wide, high), Image.Resampling.BOX)) / np.float32(
        255
    )
    return square
