"""Sets of pictures that are all different, every pair of which could be claimed and none should be.

Furniture: copies of different originals in the same kind of frame, from a battery. Flat: vector marks of different brands on
white, drawn here. Packshots: any folder of pictures of different products. What is claimed is counted and listed, to look at.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vision.errors import DatasetError, UsageError, package_missing
from vision.evaluate.copies.battery import Battery, Tell
from vision.evaluate.copies.edits import WITH_STRANGERS
from vision.evaluate.copies.methods import Item, Method
from vision.evaluate.copies.score import Claim
from vision.images.find import Finder
from vision.weights import write_atomically

IN_A_FRAME = 24  # copies of each edit: 276 pairs, as in the project's shared furniture test
MARK_SIZES = (288, 100)  # pixels, on a page of 400
PAGE = 400
COARSE = 40  # cells a side: drawings are compared so
SAME_SHARE = 0.02  # drawings that differ in no more cells are one design under two names

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PairTest:
    """One method on one set. pairs: all that could be claimed. claims: those that were, each pair once, surest first."""

    pictures: int
    pairs: int
    claims: list[Claim]
    describe_ms: float
    query_ms: float

    def figures(self) -> dict[str, Any]:
        """Counts, without the list."""
        return {
            "pictures": self.pictures,
            "pairs": self.pairs,
            "claims": len(self.claims),
            "describe_ms": self.describe_ms,
            "query_ms": self.query_ms,
        }


def claimed_pairs(method: Method, items: Sequence[Item], tell: Tell) -> PairTest:
    """Index all pictures, ask each, and count the pairs claimed in either direction at the method's operating point."""
    answer = method.answer(items, items, tell)
    best: dict[tuple[str, str], Claim] = {}
    for claim in answer.claims:
        if claim.query == claim.source or claim.score < method.bar:
            continue
        first, second = sorted((claim.query, claim.source))
        before = best.get((first, second))
        if before is None or claim.score > before.score:
            best[first, second] = Claim(first, second, claim.score, claim.kind)
    read = len(items) - len(set(answer.failed))
    claims = sorted(best.values(), key=lambda c: (-c.score, c.query, c.source))
    return PairTest(read, read * (read - 1) // 2, claims, answer.describe_ms, answer.query_ms)


def furniture(battery: Battery) -> dict[str, list[Item]]:
    """Up to 24 copies of different originals by each edit, where there are two or more.

    Edits that can show a stranger are left out: two copies may have the same host, and then a claim is right.
    """
    by: dict[str, dict[str, Item]] = {}
    for query in battery.queries:
        if query.source is not None and query.edit not in WITH_STRANGERS:
            own = by.setdefault(query.edit, {})
            if len(own) < IN_A_FRAME:
                own.setdefault(query.source, Item(query.query, battery.folder / query.query))
    return {edit: list(own.values()) for edit, own in by.items() if len(own) > 1}


def pictures_below(folder: Path) -> list[Item]:
    """All files of a folder that may be pictures, by their path below it. Raises DatasetError (missing) for fewer than two."""
    items = [Item(f.file.relative_to(folder).as_posix(), f.file) for f in Finder([str(folder)]) if f.file is not None]
    if len(items) < 2:
        raise DatasetError("missing", "there are no two pictures", path=str(folder))
    return items


@dataclass(frozen=True, slots=True)
class Marks:
    """Drawn marks. items: one page each. ink: (n, 40, 40), where each drawing has ink."""

    items: list[Item]
    ink: Flags

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """Share of cells in which two drawings differ: as they are, and in the orientation where they do least."""
        shares = [float((turned != self.ink[other]).mean()) for turned in _eight(self.ink[one])]
        return shares[0], min(shares)


def draw_marks(folder: Path, n: int, size: int, tell: Tell) -> Marks:
    """n marks of simplepycons, evenly among all, black on a white page of 400, kept in a folder as PNG files.

    size: side of the square that a mark is drawn in, pixels. Raises BackendError (package_missing), UsageError (bad_option).
    """
    if n < 2:
        raise UsageError("bad_option", f"{n} marks make no pair", hint="2 or more")
    try:
        import resvg_py
        from simplepycons import all_icons
    except ImportError as error:
        raise package_missing("resvg-py" if error.name == "resvg_py" else "simplepycons", "train") from None
    names = sorted(all_icons.names())
    chosen = names[:: max(1, len(names) // n)][:n]
    advance = tell(f"marks of {size} pixels")(len(chosen))
    items, ink = [], []
    for name in chosen:
        svg = all_icons[name].raw_svg
        png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, width=size, height=size)
        mark = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        page = Image.new("RGBA", (PAGE, PAGE), "white")
        page.alpha_composite(mark, ((PAGE - mark.width) // 2, (PAGE - mark.height) // 2))
        data = io.BytesIO()
        page.convert("RGB").save(data, "PNG")
        path = folder / f"{name}.png"
        if not path.exists():
            write_atomically(path, data.getvalue())
        items.append(Item(name, path))
        ink.append(np.asarray(mark.getchannel("A").resize((COARSE, COARSE), Image.Resampling.BOX)) > 127)
        advance(1)
    return Marks(items, np.stack(ink))


def alike(marks: Marks) -> set[tuple[str, str]]:
    """Pairs of marks whose drawings are the same to within 2 % of 40 × 40 cells: one design under two names."""
    signs = marks.ink.reshape(len(marks.ink), -1).astype(np.float32) * 2 - 1
    differ = (signs.shape[1] - signs @ signs.T) / 2
    names = [item.id for item in marks.items]
    one, other = np.nonzero(np.triu(differ <= SAME_SHARE * signs.shape[1], 1))
    return {(min(names[i], names[j]), max(names[i], names[j])) for i, j in zip(one, other, strict=True)}


def flat_figures(
    test: PairTest, marks: Marks, same: set[tuple[str, str]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Counts, and every claim as a row with how much the two drawings differ.

    `false`: claims on different drawings. `turned`: those among them that are one drawing, turned or mirrored; listed apart,
    and counted as false too. `same`: claims on pairs that are left out.
    """
    number = {item.id: n for n, item in enumerate(marks.items)}
    rows = []
    for claim in test.claims:
        differ, at_least = marks.difference(number[claim.query], number[claim.source])
        is_same = (claim.query, claim.source) in same
        rows.append(
            {
                "a": claim.query,
                "b": claim.source,
                "score": claim.score,
                "kind": claim.kind,
                "differ": round(differ, 4),
                "differ_turned": round(at_least, 4),
                "verdict": "same" if is_same else "turned" if at_least <= SAME_SHARE else "false",
            }
        )
    counts = {v: sum(row["verdict"] == v for row in rows) for v in ("same", "turned", "false")}
    figures = test.figures() | {
        "pairs": test.pairs - len(same),
        "claims": counts["turned"] + counts["false"],
        "turned": counts["turned"],
        "same_left_out": len(same),
        "same_claimed": counts["same"],
    }
    return figures, rows


def pair_rows(test: PairTest) -> list[dict[str, Any]]:
    """Every claim as a row."""
    return [{"a": c.query, "b": c.source, "score": c.score, "kind": c.kind} for c in test.claims]


def _eight(ink: Flags) -> list[Flags]:
    """A drawing in the eight orientations of a square, itself first."""
    turns: list[Callable[[Flags], Flags]] = [lambda a, k=k: np.rot90(a, k) for k in range(4)]  # type: ignore[misc]
    return [turn(base) for base in (ink, ink[:, ::-1]) for turn in turns]
