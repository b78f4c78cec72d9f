"""`Scanner`: the order of the rooms, on one screen.

Sources go in, one `Result` each comes out, in the same order, whatever happens to a picture. Batches are examined by worker
threads (decoders and models release Python's lock; one model thread per worker is fastest on a CPU), a bounded window of
batches is under way at any time, and the search for copies among the pictures of one scan happens in order, so memory is flat
and results do not depend on the number of workers.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vision import geometry
from vision.errors import PictureError, UsageError, WeightsError
from vision.images import read_picture
from vision.images.decode import MAX_PIXELS
from vision.quality import measure
from vision.recognise import Place, Recogniser, Sighting, Text, crop_of, looked_at, places_of, upright
from vision.values import CopyClaim, Failure, Finding, Picture, Result, Verdict
from vision.verdict import Calibration, OperatingPoint, decide, doubtful, is_told, join_marks, settled

if TYPE_CHECKING:
    from vision.copies import CopyDescription, CopyIndex, Hit, ScanIndex
    from vision.detect import Detector
    from vision.detect.looks import Tiles, Views
    from vision.embed import Embedder
    from vision.embed.occlusion import HeatMap
    from vision.library import Library

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# A picture is decoded at the smallest scale whose longest side is at least this. The detector sees 416 to 640 px and finds
# marks from about 10 px there, which are 20 px and more here: enough for their crop.
DECODE_SIDE = 1280


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to scan. path: the name in its row. source: what `read_picture` takes. error: why it cannot be read at all."""

    path: str
    source: Any
    error: PictureError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """One item after all stages but the claims of copies. picture and description are null when it failed.

    hits: what the copy index has that it may be a copy of.
    """

    result: Result
    picture: Picture | None = None
    description: CopyDescription | None = None
    hits: tuple[Hit, ...] = ()


class Scanner:
    """All stages, loaded once, for any number of pictures; safe to share between threads.

    library: a folder or a Library; the shipped one by default. rivals: brands of the shipped library compete with those of a
    smaller one, and are never named (see `vision.library.rivals`). copies: a folder or CopyIndex to search besides the scanned
    pictures themselves; False turns the search for copies off. close_copies: whether the index is searched with a closer look,
    as `CopyIndex.search` does, which finds small insets too. owner: whose pictures are scanned; theirs in the index are no
    sources. detector: a YOLO export (ONNX); the shipped one by default.
    size: longest side of the detector's input, a multiple of 32; by default the one that the model was measured with.
    tiles: "off", "auto" or n: look also at n × n overlapping tiles of large pictures, for small marks. views: "off", "flip",
    "turns" or "all": look at everything mirrored and turned too. Both multiply the detector's time (see `Detector.detect`).
    embedder: "NAME/TAG" or a path of another open_clip model (extra `train`); the library must be made with it.
    text: "auto" reads names where pictures alone leave a doubt, "always" wherever letters could be, "off" never.
    verdict: a folder that `vision calibrate` made; the shipped calibration by default. watch: brands, or a file or named list of
    the library with them: only these can be named, the others still compete.
    device: auto, cpu, cuda or cuda:i. threads: workers, by default one for each core. batch: pictures a worker takes at once.
    false_alarms: share of brand-free pictures that may carry a known brand, in [0, 1]. min_score: keep detections from this
    score on; by default from the detector's operating point on, and lower ones that carry a known brand. max_pixels: larger
    pictures fail unread.
    Raises WeightsError, LibraryError, BackendError when a part is missing or damaged, UsageError for values out of range.
    """

    def __init__(
        self,
        *,
        library: str | Path | Library | None = None,
        rivals: bool = True,
        copies: str | Path | CopyIndex | bool | None = None,
        close_copies: bool = True,
        owner: str | None = None,
        detector: str | Path | Detector | None = None,
        size: int | None = None,
        tiles: Tiles = "off",
        views: Views = "off",
        embedder: str | Path | Embedder | None = None,
        text: Text = "auto",
        verdict: str | Path | None = None,
        watch: str | Path | Sequence[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        batch: int = 4,
        false_alarms: float = 0.01,
        min_score: float | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        from vision.copies import CopyIndex
        from vision.detect import Detector
        from vision.detect.looks import check
        from vision.embed import Embedder
        from vision.library.rivals import AmongRivals
        from vision.library.watch import resolve_watch
        from vision.text import TextReader

        check(tiles, views)
        if size is not None and isinstance(detector, Detector):
            raise UsageError(
                "bad_option", f"a detector that is loaded cannot get size {size}", hint="Detector.load(size=)"
            )
        _check(threads, batch, min_score, max_pixels)
        card, checksum = read_verdict(verdict)
        self.detector = (
            detector if isinstance(detector, Detector) else Detector.load(detector, size=size, device=device)
        )
        self.tiles, self.views = tiles, views
        self.embedder = embedder if isinstance(embedder, Embedder) else Embedder.load(embedder, device=device)
        self.library, self.searched = _libraries(library, self.embedder, rivals)
        _warn_of_others(card, {"detector": self.detector.checksum, "embedder": self.embedder.checksum})
        self.calibrations = {name: Calibration.from_card(part) for name, part in card["calibrations"].items()}
        reader = None if text == "off" else TextReader.load(device=device)
        self.recogniser = Recogniser(
            self.embedder, self.searched, reader, text=text, vision_alone=self.calibrations["vision"]
        )
        self.watched = None if watch is None else resolve_watch(self.library, watch)
        nameable = self.library if self.watched is None and self.searched is not self.library else self.watched
        self.operating_point = OperatingPoint.from_card(card, false_alarms, watched=nameable)
        self.find_copies = copies is not False
        self.close_copies, self.owner = close_copies, owner
        self.copies: CopyIndex | None = None
        if isinstance(copies, CopyIndex):
            self.copies = copies
        elif isinstance(copies, str | Path):
            self.copies = CopyIndex.open(copies)
        self.threads = threads or os.cpu_count() or 1
        self.batch = batch
        self.min_score = min_score
        self.max_pixels = max_pixels
        self.checksums = {
            "detector": self.detector.checksum,
            "embedder": self.embedder.checksum,
            "library": self.library.checksum,
            "verdict": checksum,
        }
        if isinstance(self.searched, AmongRivals):
            self.checksums["rivals"] = self.searched.rivals.checksum
        if reader is not None:
            self.checksums["text"] = reader.checksum
        if self.copies is not None:
            self.checksums["copies"] = self.copies.checksum

    def scan(self, source: Any) -> Result:
        """Everything found in one picture: a path, encoded bytes, a PIL image or a uint8 RGB array (H, W, 3).

        A picture that cannot be read is a failed result. Copies are searched in the given index only.
        """
        return self._claim(self._examine([_item(source, 0)])[0], None).result

    def scan_many(self, sources: Iterable[Any]) -> Iterator[Result]:
        """One result for each source, lazily, in order; copies are also searched among the sources before it."""
        from vision.copies import ScanIndex

        items = (_item(source, number) for number, source in enumerate(sources))
        seen = ScanIndex() if self.find_copies else None
        try:
            for examined in self.stream(items, seen):
                yield examined.result
        finally:
            if seen is not None:
                seen.close()

    def stream(self, items: Iterable[Item], seen: ScanIndex | None) -> Iterator[Examined]:
        """As `scan_many`, for callers that need the decoded pictures too. `seen` is searched and grows, when given."""
        with closing(in_order(self._examine, batches(items, self.batch), threads=self.threads)) as done:
            for batch in done:
                for examined in batch:
                    yield self._claim(examined, seen)

    def _examine(self, items: Sequence[Item]) -> list[Examined]:
        """All stages but copies. A fault in one picture fails that picture alone."""
        try:
            return self._examine_batch(items)
        except Exception as error:
            if len(items) > 1:
                return [self._examine([item])[0] for item in items]
            if isinstance(error, PictureError):  # changed or gone between two looks at it
                return [_failed(items[0].path, error)]
            log.exception("internal error in %r", items[0].path)
            return [_failed(items[0].path, _internal(error))]

    def _examine_batch(self, items: Sequence[Item]) -> list[Examined]:
        from vision.copies import describe

        pictures = [self._read(item) for item in items]
        good = [(item, p) for item, p in zip(items, pictures, strict=True) if isinstance(p, Picture)]
        if self.tiles == "off":
            found = iter(self._recognise([p for _, p in good]))
        else:  # one at a time: decoded for tiles a picture may take as much memory as a whole batch does without
            found = (self._recognise([self._closer(item, p)])[0] for item, p in good)
        examined = []
        for item, picture in zip(items, pictures, strict=True):
            if isinstance(picture, PictureError):
                examined.append(_failed(item.path, picture))
                continue
            description = describe(picture) if self.find_copies else None
            result = Result(
                path=item.path,
                sha256=picture.sha256,
                width=picture.width,
                height=picture.height,
                status="ok",
                findings=next(found),
                quality=measure(picture),
                fingerprint=description.fingerprint if description else None,
                degraded=self._missing(picture),
            )
            examined.append(Examined(result, picture, description, self._hits(result, picture, description)))
        return examined

    def _missing(self, picture: Picture) -> tuple[str, ...]:
        """What of a picture was not looked at, or by what it was not."""
        text = () if self.recogniser.reader else ("text",)
        return (*text, "frames") if picture.more_frames else text

    def _hits(self, result: Result, picture: Picture, description: CopyDescription | None) -> tuple[Hit, ...]:
        """What the copy index has of a picture."""
        from vision.copies import closer

        if description is None or self.copies is None:
            return ()
        query = closer(picture, description) if self.close_copies else description
        return tuple(self.copies.hits(query, owner=self.owner, logos=functools.partial(logos_of, result)))

    def _read(self, item: Item) -> Picture | PictureError:
        if item.error is not None:
            return item.error
        try:
            return read_picture(item.source, max_pixels=self.max_pixels, reduce_to=DECODE_SIDE)
        except PictureError as error:
            return error

    def describe(self, item: Item) -> CopyDescription | None:
        """What the search for copies knows of one item; null when it cannot be read."""
        from vision.copies import describe

        picture = self._read(item)
        return describe(picture) if isinstance(picture, Picture) else None

    def _closer(self, item: Item, picture: Picture) -> Picture:
        """The picture with as many pixels as its tiles are worth. What is hashed and measured stays the smaller one."""
        side = self.detector.decode_side(picture.width, picture.height, self.tiles)
        if max(picture.pixels.shape) >= min(side, max(picture.width, picture.height)):
            return picture
        return read_picture(item.source, max_pixels=self.max_pixels, reduce_to=side)

    def _recognise(self, pictures: Sequence[Picture]) -> list[tuple[Finding, ...]]:
        """Detect, embed, search and decide, each stage once for the whole batch."""
        if not pictures:
            return []
        reported = self.detector.operating_points
        least = looked_at(reported) if self.min_score is None else self.min_score
        detections = self.detector.detect(pictures, min_score=least, tiles=self.tiles, views=self.views)
        places = [places_of(p, found, reported) for p, found in zip(pictures, detections, strict=True)]
        sightings = iter(self.recogniser.see([place for row in places for place in row]))
        seen = [[next(sightings) for _ in row] for row in places]
        found = [[self._finding(*each) for each in zip(*row, strict=True)] for row in zip(places, seen, strict=True)]
        self._read_neighbours(places, seen, found)
        self._read_subjects(places, seen, found)
        self._look_at_wholes(pictures, found)
        if self.min_score is None:
            found = [[f for f in row if f.score >= reported.get(f.kind, 0.0) or is_told(f)] for row in found]
        return [tuple(join_marks(row)) for row in found]

    def _read_neighbours(
        self, places: Sequence[Sequence[Place]], seen: Sequence[Sequence[Sighting]], found: Sequence[list[Finding]]
    ) -> None:
        """Read marks that were clear by their look beside wordmarks of their brand: only symbols join them.

        What turns out to be a word too is a neighbour in its turn: packs stand in rows.
        """
        tried = [[s.was_read for s in row] for row in seen]
        while chosen := [(i, j) for i, row in enumerate(found) for j in doubtful(row, tried[i])]:
            marks = [places[i][j] for i, j in chosen]
            read = self.recogniser.read_marks(marks, [seen[i][j] for i, j in chosen])
            for (i, j), mark, sighting in zip(chosen, marks, read, strict=True):
                found[i][j] = self._finding(mark, sighting)
                tried[i][j] = True

    def _read_subjects(
        self, places: Sequence[Sequence[Place]], seen: Sequence[Sequence[Sighting]], found: Sequence[list[Finding]]
    ) -> None:
        """Read the largest product of each picture in which nothing was named: a pack whose mark the detector missed."""
        chosen = []
        for i, row in enumerate(places):
            products = [j for j, place in enumerate(row) if place.kind == "product"]
            if products and all(f.verdict != "known" for f in found[i]):
                chosen.append((i, max(products, key=lambda j: float(geometry.area(row[j].box[None])[0]))))
        subjects = [places[i][j] for i, j in chosen]
        read = self.recogniser.read_products(subjects, [seen[i][j] for i, j in chosen])
        for (i, j), subject, sighting in zip(chosen, subjects, read, strict=True):
            found[i][j] = self._finding(subject, sighting)

    def _look_at_wholes(self, pictures: Sequence[Picture], found: list[list[Finding]]) -> None:
        """Look up as a whole the pictures in which nothing was named: those that are a logo themselves."""
        open_ = [i for i, row in enumerate(found) if all(f.verdict != "known" for f in row)]
        wholes = [Place.whole(pictures[i]) for i in open_]
        for i, place, seen in zip(open_, wholes, self.recogniser.look(wholes), strict=True):
            finding = self._finding(place, seen)
            if finding.verdict != "unknown":  # a picture as such is always there: only a brand is news
                found[i].append(finding)

    def _finding(self, place: Place, seen: Sighting) -> Finding:
        left, top, right, bottom = geometry.clip(place.box[None], place.picture.width, place.picture.height)[0].tolist()
        verdict = self.judge(seen)
        finding = Finding(
            place.kind,
            (left, top, right, bottom),
            place.score,
            verdict.name,
            verdict.brand,
            verdict.product,
            verdict.probability,
            verdict.candidates,
            seen.reading,
            seen.orientation,
        )
        return settled(finding)

    def judge(self, seen: Sighting) -> Verdict:
        """The verdict on what was seen, by the calibration for what was done: with reading or without."""
        return decide(seen.evidence, self.calibrations["both" if seen.was_read else "vision"], self.operating_point)

    def heat_map(self, source: Any, finding: Finding) -> HeatMap | None:
        """Which parts of a finding carry its similarity to the reference that it is nearest to, by covering them one at a time.

        source: the picture that it was found in, as `scan` takes it, or a Picture. `drops` of the answer is (h, w) float32 over
        the crop as it was compared, turned upright: by how much the cosine falls where that place is covered. None when the
        finding has no reference, as brands known by name only have none. Costs some 0.1 s of one core.
        Raises PictureError, UsageError (bad_option) when the library has no such reference.
        """
        from vision.embed.contract import unit_rows
        from vision.embed.occlusion import explain

        reference = finding.candidates[0].reference if finding.candidates else None
        if reference is None:
            return None
        picture = read_picture(source, max_pixels=self.max_pixels, reduce_to=DECODE_SIDE)
        crop = upright(crop_of(picture, np.array(finding.box, dtype=np.float32)), finding.orientation)
        return explain(crop, unit_rows(self.searched.vectors(reference)), self.embedder)

    def _claim(self, examined: Examined, seen: ScanIndex | None) -> Examined:
        """The copies of one examined picture, in the index given and among the pictures before it."""
        description = examined.description
        if description is None:
            return examined
        claims: list[CopyClaim] = []
        if self.copies is not None:
            claims += self.copies.claims_of(examined.hits, description)
        if seen is not None:
            try:
                claims += seen.search(description, logos=functools.partial(logos_of, examined.result))
            except Exception as error:
                log.exception("internal error in %r", examined.result.path)
                return _failed(examined.result.path, _internal(error))
            # not guarded: where this fails the disk is full, and all later rows would be wrong
            seen.add(examined.result.path, description)
        return replace(examined, result=replace(examined.result, copies=tuple(claims))) if claims else examined


def _libraries(library: str | Path | Library | None, embedder: Embedder, rivals: bool) -> tuple[Library, Library]:
    """The library whose brands are named, and what is searched: itself, or it and those that it competes with."""
    from vision.library import Library
    from vision.library.reader import same_embedder
    from vision.library.rivals import among_rivals

    if library is None:
        own = Library.default(embedder=embedder)
        return own, own
    if isinstance(library, Library):
        same_embedder(library.state, embedder, library.path)
        own = library
    else:
        own = Library.open(library, embedder=embedder)
    return own, among_rivals(own) if rivals else own


def read_verdict(folder: str | Path | None) -> tuple[dict[str, Any], str]:
    """The card of a calibration and its checksum; of the shipped one when no folder is named.

    Raises WeightsError (missing, unknown_card for one that another version made, and for the shipped one wrong_checksum).
    """
    from vision import weights

    model = weights.load("verdict") if folder is None else weights.load_folder(Path(folder))
    path = model.folder / "card.json"
    try:
        for name in ("vision", "both"):
            Calibration.from_card(model.card["calibrations"][name])
        OperatingPoint.from_card(model.card, 0.0)
    except (KeyError, TypeError, ValueError) as error:
        hint = "reinstall the package" if folder is None else "made by another version? vision calibrate makes it again"
        raise WeightsError(
            "unknown_card", f"no calibration of this version: {error!r}", path=str(path), hint=hint
        ) from None
    return model.card, model.checksums["card.json"] if folder is None else weights.digest(path)


def _check(threads: int | None, batch: int, min_score: float | None, max_pixels: int) -> None:
    if threads is not None and threads < 1:
        raise UsageError("bad_option", f"{threads} threads cannot work")
    if batch < 1:
        raise UsageError("bad_option", f"a batch of {batch} pictures is none")
    if min_score is not None and not 0 <= min_score <= 1:
        raise UsageError("bad_option", f"a score of {min_score} is not between 0 and 1")
    if max_pixels < 1:
        raise UsageError("bad_option", f"no picture has at most {max_pixels} pixels")


def _warn_of_others(card: dict[str, Any], used: dict[str, str]) -> None:
    """Say which models a calibration was not made with: what it calls .9 may be wrong half of the time then."""
    made_with = card.get("made_with", {})
    others = [name for name, checksum in used.items() if made_with.get(name, checksum) != checksum]
    if others:
        log.warning(
            "probabilities were calibrated with another %s: `vision calibrate` makes them right", " and ".join(others)
        )


def logos_of(result: Result) -> geometry.Boxes:
    """(n, 4) float32 xyxy pixels: the logos that were found on a picture, whosever they are."""
    return np.array([f.box for f in result.findings if f.kind == "logo"], dtype=np.float32).reshape(-1, 4)


def _item(source: Any, number: int) -> Item:
    if isinstance(source, Item):
        return source
    if isinstance(source, str) and source:  # as it was given, so that who asked can tell which row is whose
        return Item(source if os.sep == "/" else source.replace(os.sep, "/"), source)
    if isinstance(source, Path):
        return Item(source.as_posix(), source)
    return Item(f"{type(source).__name__}-{number}", source)


def _failed(path: str, error: PictureError) -> Examined:
    return Examined(Result(path, None, None, None, "failed", Failure(error.code, error.message)))


def _internal(error: Exception) -> PictureError:
    """A fault of ours, as the row of the picture tells it."""
    return PictureError("internal", f"{type(error).__name__}: {error}")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items by `size`, fewer in the last batch; taken as they are asked for."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def in_order(work: Callable[[T], R], items: Iterable[T], *, threads: int | None = None) -> Generator[R, None, None]:
    """What `work` makes of each item, in their order, made by threads (one a core by default) a little ahead of the reader.

    Items are taken and answers kept for two items a thread at most, however many there are: `Executor.map` would take all.
    Closing the generator, as an error in its reader does, drops what is not begun.
    """
    threads = threads or os.cpu_count() or 1
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="vision")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            # two a worker keep all of them busy while the oldest one is awaited
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
