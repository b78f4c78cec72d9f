"""What a scan shows of its pictures: overlays and heat maps, drawn beside it, and the page at its end."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import LibraryError, PictureError

if TYPE_CHECKING:
    from vision.scan import Item, Scanner
    from vision.values import Picture, Pixels, Result

log = logging.getLogger(__name__)

HEAT_MAPS = "heat-maps"  # their folder, beside the overlays
PAGE_SIDE = 640  # the page shows pictures at up to 480 px, and crops of them


class Drawings:
    """Overlays and heat maps made beside the scan, at most a few waiting, so that memory stays flat."""

    def __init__(self, args: argparse.Namespace, scanner: Scanner) -> None:
        self.overlays: Path | None = args.out / "overlays" if args.overlays else None
        self.heat_maps: Path | None = args.out / HEAT_MAPS if args.heat_maps else None
        self.scanner = scanner
        # an overlay is drawn in the time that a picture takes to be examined by many threads; heat maps are not
        threads = scanner.threads if args.heat_maps else 1
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="vision-drawing")
        self.waiting: list[Future[None]] = []

    def __enter__(self) -> Drawings:
        for folder in (self.overlays, self.heat_maps):
            if folder is not None:
                folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._settle(0)
        self.pool.shutdown()

    def add(self, number: int, result: Result, picture: Picture | None) -> None:
        """Draw what is wanted of one row, soon."""
        if picture is None or (self.overlays is None and self.heat_maps is None):
            return
        self._settle(16)
        self.waiting.append(self.pool.submit(self._draw, number, result, picture))

    def catch_up(self, number: int, result: Result, item: Item) -> None:
        """Draw what an earlier run, which wrote this row, did not come to draw; nothing when its picture is gone since."""
        if result.status != "ok" or all(path.is_file() for path in self._paths(number, result)):
            return
        from vision.images import read_picture
        from vision.scan import DECODE_SIDE

        if item.error is not None:
            return
        try:
            picture = read_picture(item.source, max_pixels=self.scanner.max_pixels, reduce_to=DECODE_SIDE)
        except PictureError:
            return
        self.add(number, result, picture)

    def _draw(self, number: int, result: Result, picture: Picture) -> None:
        from vision.report.heat import heat_map_name, save_heat_map
        from vision.report.overlay import overlay_name, save_overlay

        if self.overlays is not None:
            save_overlay(self.overlays / overlay_name(number, result.path), picture.pixels, result)
        if self.heat_maps is None:
            return
        for place in explained(result):
            heat = self.scanner.heat_map(picture, result.findings[place])
            if heat is not None:
                save_heat_map(self.heat_maps / heat_map_name(number, result.path, place), heat)

    def _paths(self, number: int, result: Result) -> list[Path]:
        from vision.report.heat import heat_map_name
        from vision.report.overlay import overlay_name

        overlays = [] if self.overlays is None else [self.overlays / overlay_name(number, result.path)]
        if self.heat_maps is None:
            return overlays
        return overlays + [self.heat_maps / heat_map_name(number, result.path, p) for p in explained(result)]

    def _settle(self, at_most: int) -> None:
        while len(self.waiting) > at_most:
            self.waiting.pop(0).result()


def explained(result: Result) -> list[int]:
    """The places of the findings that heat maps are made of: those with brands named and a reference to compare with."""
    return [
        place
        for place, finding in enumerate(result.findings)
        if finding.verdict != "unknown" and finding.candidates and finding.candidates[0].reference is not None
    ]


def write_report(
    args: argparse.Namespace, scanner: Scanner, items: Iterator[Item], rows_path: Path, record: dict[str, Any]
) -> None:
    """The page of a complete scan. items: the inputs once more, in the order of the rows."""
    from vision.images import read_picture
    from vision.report.heat import heat_map_name
    from vision.report.overlay import overlay_name
    from vision.report.page import write_page
    from vision.report.rows import read_rows

    def open_pixels(source: Any, result: Result) -> Pixels | None:
        """Null when it is gone or another one since the scan: its card says so."""
        if source is None:
            return None
        try:
            picture = read_picture(source, max_pixels=args.max_pixels, reduce_to=PAGE_SIDE)
        except PictureError:
            return None
        return picture.pixels if picture.sha256 == result.sha256 else None

    def link(number: int, result: Result) -> str | None:
        return f"overlays/{overlay_name(number, result.path)}" if args.overlays else None

    def thumbnail(reference: str) -> bytes | None:
        try:
            return scanner.searched.thumbnail(reference)
        except LibraryError as error:  # its vector is whole, or the library would not have been opened
            log.warning("%s", error)
            return None

    def artwork(brand: str) -> bytes | None:
        references = scanner.searched.references(brand)
        pictures = map(thumbnail, (r.id for r in sorted(references, key=lambda r: r.kind != "drawing")))
        return next((picture for picture in pictures if picture), None)

    def heat_map(number: int, result: Result, place: int) -> Pixels | None:
        path = args.out / HEAT_MAPS / heat_map_name(number, result.path, place)
        return read_picture(path).pixels if args.heat_maps and path.is_file() else None

    write_page(
        ((row, partial(open_pixels, source, row)) for row, source in with_sources(read_rows(rows_path), items)),
        args.out / "report.html",
        open_pixels=lambda opened: opened(),
        thumbnail=thumbnail,
        artwork=artwork,
        heat_map=heat_map,
        summary=record["counts"],
        details={name: record[name] for name in ("settings", "versions", "checksums")},
        link=link,
        title="Brands and copies found",
    )


def with_sources(rows: Iterator[Result], items: Iterator[Item]) -> Iterator[tuple[Result, Any]]:
    """Each row with what to open for it, null where the inputs no longer have it: files come and go while others are scanned.

    Both are in the order of their paths.
    """
    from vision.images.find import path_order

    item = next(items, None)
    for row in rows:
        while item is not None and path_order(item.path) < path_order(row.path):
            item = next(items, None)
        yield row, item.source if item is not None and item.path == row.path else None
