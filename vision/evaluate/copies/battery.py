"""A battery of edited copies on disk: made from a folder of photographs, or read as it lies there.

    refs.jsonl     {"source", "role"}: what is indexed. role: "original" (copied below), "distractor" (never copied), both below
                   the folder of photographs, or "decoy", below the battery's folder
    truth.jsonl    {"query", "source", "edit", "family"}: what is asked; source is null for a copy of a stranger
    queries/       the copies. Files of a battery are JPEGs
    decoys/        distractors in the frames, captions and stickers that copies wear too: whoever compares these claims falsely
    battery.json   what the battery was made of, with a digest of names and sizes of its photographs; `make_battery` writes it,
                   and goes on only with what is the same

Strangers are in no reference: they are the hosts and neighbours in edits that need a second picture, so that a claim on one can
never be right by accident, and some copies of them are asked too.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vision.errors import DatasetError, PictureError, UsageError
from vision.evaluate.copies import edits
from vision.files import write_atomically
from vision.images import read_picture
from vision.images.find import Finder
from vision.scan import in_order
from vision.values import Pixels

SMALLEST_SIDE = 200  # of a picture that is used: less is a thumbnail
STRANGERS = 0.1  # share of the pictures, at least 5
DECOYS = 100
ASKED_OF_A_STRANGER = 6  # edits
ROLES = ("original", "distractor", "decoy")

Advance = Callable[[int], None]
Tell = Callable[[str], Callable[[int], Advance]]


@dataclass(frozen=True, slots=True)
class Query:
    """One copy. query: its path below the battery. source: the reference it was made from, null when that is a stranger."""

    query: str
    source: str | None
    edit: str
    family: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One picture to be indexed. source: path below the photographs, of a decoy below the battery. role: one of `ROLES`."""

    source: str
    role: str


@dataclass(frozen=True, slots=True)
class Battery:
    """What is asked of what. folder: the battery's own. photos: where its originals and distractors are."""

    folder: Path
    photos: Path
    queries: tuple[Query, ...]
    references: tuple[Reference, ...]

    @property
    def pairs(self) -> int:
        """Queries times references: all that could be claimed."""
        return len(self.queries) * len(self.references)

    def path(self, reference: Reference) -> Path:
        """The file of a reference."""
        return (self.folder if reference.role == "decoy" else self.photos) / reference.source

    def summary(self) -> dict[str, Any]:
        """Counts, for figures."""
        return {
            "queries": len(self.queries),
            "of_strangers": sum(q.source is None for q in self.queries),
            "edits": len({q.edit for q in self.queries}),
            "originals": len({q.source for q in self.queries} - {None}),
            "references": len(self.references),
            "decoys": sum(r.role == "decoy" for r in self.references),
            "pairs": self.pairs,
        }


def read_battery(folder: Path, photos: Path) -> Battery:
    """The battery of a folder. Raises DatasetError (missing, bad_label): a file is not there, or a row cannot be read."""
    queries = tuple(_rows(folder / "truth.jsonl", Query, lambda q: isinstance(q.query, str)))
    references = tuple(_rows(folder / "refs.jsonl", Reference, lambda r: r.role in ROLES))
    battery = Battery(folder, photos, queries, references)
    known = {r.source for r in references}
    for query in queries:
        if query.source is not None and query.source not in known:
            raise DatasetError("bad_label", f"{query.source} is no reference", path=str(folder / "truth.jsonl"))
    for path in (*(folder / q.query for q in queries), *(battery.path(r) for r in references)):
        if not path.is_file():
            raise DatasetError(
                "missing", "a picture of the battery is not there", path=str(path), hint="name its photographs"
            )
    return battery


def _rows(path: Path, kind: type[Any], sane: Callable[[Any], bool]) -> Iterable[Any]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise DatasetError(
            "missing", "this is no battery", path=str(path), hint="truth.jsonl and refs.jsonl in one folder"
        ) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = kind(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise DatasetError("bad_label", f"line {number} is no row: {error}", path=str(path)) from None
            if not sane(row):
                raise DatasetError("bad_label", f"line {number} is no row of a battery", path=str(path))
            yield row


def make_battery(
    photos: Path,
    folder: Path,
    *,
    n: int = 80,
    seed: int = 7,
    decoys: int = DECOYS,
    tell: Tell = lambda _: lambda _: lambda _: None,
    threads: int | None = None,
) -> Battery:
    """Make a battery, or go on with one that was begun with the same pictures, n and seed.

    photos: a folder, also below. n: originals, each copied by every edit. Each file appears whole or not at all, and depends on
    its seed, picture and edit alone (and on the strangers). truth.jsonl comes last: without it a battery is not done.
    Raises DatasetError (missing) when there are too few pictures, UsageError (bad_option) when the folder holds another battery.
    """
    if n < 1:
        raise UsageError("bad_option", f"{n} originals", hint="1 or more")
    names = usable(photos, tell, threads)
    strangers, originals, rest = split(names, n, seed)
    sizes = "".join(f"{name} {(photos / name).stat().st_size}\n" for name in names)
    made_of = {
        "photos": len(names),
        "sha256": hashlib.sha256(sizes.encode("utf-8", "surrogatepass")).hexdigest(),
        "n": n,
        "seed": seed,
        "decoys": decoys,
        "edits": edits.VERSION,
    }
    _claim_folder(folder, made_of)
    queries, jobs = plan(originals, strangers)
    worn = rest[:decoys]
    for number, name in enumerate(worn):
        jobs.append((f"decoys/{number:04d}.jpg", name, edits.FURNITURE[number % len(edits.FURNITURE)]))
    advance = tell("copies")(len(jobs))

    def make(job: tuple[str, str, str]) -> bool:
        file, name, edit = job
        path = folder / file
        return path.exists() or _copy(photos, path, name, edit, seed, strangers)

    kept = set()
    for (file, _, _), done in zip(jobs, in_order(make, jobs, threads=threads), strict=True):
        advance(1)
        if done:
            kept.add(file)
    references = [Reference(name, "original") for name in originals]
    references += [Reference(name, "distractor") for name in rest]
    references += [Reference(file, "decoy") for file, _, _ in jobs[len(queries) :] if file in kept]
    queries = [query for query in queries if query.query in kept]
    _write_rows(folder / "refs.jsonl", references)
    _write_rows(folder / "truth.jsonl", queries)
    return Battery(folder, photos, tuple(queries), tuple(references))


def split(names: Sequence[str], n: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Strangers, n originals, and the rest, each in a random order of the seed. Raises DatasetError (missing)."""
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    cut = max(5, int(STRANGERS * len(order)))
    if len(order) < cut + n:
        raise DatasetError("missing", f"{len(names)} usable pictures are too few for {n} originals and {cut} strangers")
    return order[:cut], order[cut : cut + n], order[cut + n :]


def plan(originals: Sequence[str], strangers: Sequence[str]) -> tuple[list[Query], list[tuple[str, str, str]]]:
    """What is asked, and for each query its file, picture and edit: all edits of originals, six in turn of each stranger."""
    names = list(edits.EDITS)
    asked: list[tuple[str, str | None, str]] = [(name, name, edit) for name in originals for edit in names]
    for number, name in enumerate(strangers):
        turn = (ASKED_OF_A_STRANGER * number + step for step in range(ASKED_OF_A_STRANGER))
        asked += [(name, None, names[step % len(names)]) for step in turn]
    queries, jobs = [], []
    for number, (name, source, edit) in enumerate(asked):
        file = f"queries/{number:06d}.jpg"
        queries.append(Query(file, source, edit, edits.EDITS[edit][0]))
        jobs.append((file, name, edit))
    return queries, jobs


def usable(photos: Path, tell: Tell, threads: int | None = None) -> list[str]:
    """Paths below a folder of pictures that can be read, with sides of 200 pixels or more, each look once (64-bit dHash)."""
    if not photos.is_dir():
        raise DatasetError("missing", "there is no such folder of photographs", path=str(photos))
    files = [found.file for found in Finder([str(photos)]) if found.file is not None]
    advance = tell("photographs")(len(files))

    def look(path: Path) -> bytes | None:
        try:
            picture = read_picture(path, reduce_to=SMALLEST_SIDE)
        except PictureError:
            return None
        if min(picture.width, picture.height) < SMALLEST_SIDE:
            return None
        gray = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
        coarse = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA).astype(int)
        return np.packbits(coarse[:, 1:] > coarse[:, :-1]).tobytes()

    seen: set[bytes] = set()
    names = []
    for path, key in zip(files, in_order(look, files, threads=threads), strict=True):
        advance(1)
        if key is not None and key not in seen:
            seen.add(key)
            names.append(path.relative_to(photos).as_posix())
    return names


def _claim_folder(folder: Path, made_of: dict[str, Any]) -> None:
    note = folder / "battery.json"
    if note.exists():
        if json.loads(note.read_text(encoding="utf-8")) != made_of:
            raise UsageError(
                "bad_option",
                "this folder holds a battery of other pictures, n or seed",
                path=str(folder),
                hint="name another one with --out, or search this one with --battery",
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("bad_option", "this folder holds something else", path=str(folder), hint="name another one")
    write_atomically(note, (json.dumps(made_of, indent=1) + "\n").encode())


def _copy(photos: Path, path: Path, name: str, edit: str, seed: int, strangers: Sequence[str]) -> bool:
    """Make one copy; false when the edit makes no sense for the picture."""
    random = edits.generator(seed, name, edit)
    others = [other for other in strangers if other != name]
    made = edits.apply(
        edit, _pixels(photos / name), random, lambda: _pixels(photos / others[int(random.integers(len(others)))])
    )
    if made is None:
        return False
    data = io.BytesIO()
    Image.fromarray(made[0]).save(data, "JPEG", quality=made[1])
    write_atomically(path, data.getvalue())
    return True


def _pixels(path: Path) -> Pixels:
    return read_picture(path, reduce_to=edits.LONGEST_SIDE).pixels


def _write_rows(path: Path, rows: Iterable[Query | Reference]) -> None:
    write_atomically(path, "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode())
