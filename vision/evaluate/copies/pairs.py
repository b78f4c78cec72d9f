"""Sets of pictures that are all different, every pair of which could be claimed and none should be.

Furniture: copies of different originals in the same kind of frame, from a battery. Flat: vector marks of different brands on
white, drawn here. Packshots: any folder of pictures of different products. What is claimed is counted and listed, to look at.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vision.errors import DatasetError, UsageError, package_missing
from vision.evaluate.copies.battery import Battery, Tell
from vision.evaluate.copies.edits import WITH_STRANGERS
from vision.evaluate.copies.methods import Item, Method, each
from vision.evaluate.copies.score import Claim
from vision.files import write_atomically
from vision.images.find import Finder

IN_A_FRAME = 24  # copies of each edit: 276 pairs, as in the project's shared furniture test
MARK_SIZES = (288, 100)  # pixels, on a page of 400
PAGE = 400
# Drawings are compared in so many cells a side, always drawn eight pixels to a cell: small drawings of one mark and of the same
# mark turned differ by their pixel grid alone.
COARSE = 40
# Drawings that differ in no more of all cells are one design under two names, as in the project's shared test; here they must
# also share most of their ink, or any two thin word marks were one (Freemarker and Comsol).
SAME_SHARE, SHARED_INK = 0.02, 0.5

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
        """Counts, without the list. recoloured: how many of the claims say that the colours are others."""
        return {
            "pictures": self.pictures,
            "pairs": self.pairs,
            "claims": len(self.claims),
            "recoloured": sum("recolour" in (claim.kind or "").split("+") for claim in self.claims),
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

    def difference(self, one: int, other: int) -> float:
        """Share of cells in which two drawings differ."""
        return float((self.ink[one] != self.ink[other]).mean())

    def turned(self, one: int, other: int) -> bool:
        """Is one the other, mirrored or turned by quarters?"""
        return bool(_same(_eight(self.ink[one]), self.ink[other : other + 1]).any())


def draw_marks(folder: Path, n: int, size: int, tell: Tell, threads: int | None = None) -> Marks:
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

    def render(name: str, side: int) -> Image.Image:
        svg = all_icons[name].raw_svg
        png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, width=side, height=side)
        return Image.open(io.BytesIO(bytes(png))).convert("RGBA")

    def draw(name: str) -> Flags:
        path = folder / f"{name}.png"
        if not path.exists():
            mark = render(name, size)
            page = Image.new("RGBA", (PAGE, PAGE), "white")
            page.alpha_composite(mark, ((PAGE - mark.width) // 2, (PAGE - mark.height) // 2))
            data = io.BytesIO()
            page.convert("RGB").save(data, "PNG")
            write_atomically(path, data.getvalue())
        alpha = render(name, 8 * COARSE).getchannel("A")
        return np.asarray(alpha.resize((COARSE, COARSE), Image.Resampling.BOX)) > 127

    ink = [one for _, one in each(draw, chosen, tell(f"marks of {size} pixels")(len(chosen)), threads)]
    return Marks([Item(name, folder / f"{name}.png") for name in chosen], np.stack(ink))


def alike(marks: Marks) -> set[tuple[str, str]]:
    """Pairs of marks whose drawings are the same but for 2 % of 40 × 40 cells: one design under two names."""
    names = [item.id for item in marks.items]
    one, other = np.nonzero(np.triu(_same(marks.ink, marks.ink), 1))
    return {(min(names[i], names[j]), max(names[i], names[j])) for i, j in zip(one, other, strict=True)}


def _same(ones: Flags, others: Flags) -> Flags:
    """(n, m), of (n, h, w) and (m, h, w) drawings."""
    a, b = (ink.reshape(len(ink), -1).astype(np.float32) for ink in (ones, others))  # counts are exact in float32
    shared = a @ b.T
    differ = a.sum(axis=1)[:, None] + b.sum(axis=1) - 2 * shared
    return np.asarray((differ <= SAME_SHARE * a.shape[1]) & (shared > SHARED_INK * (shared + differ)))


def flat_figures(
    test: PairTest, marks: Marks, same: set[tuple[str, str]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Counts, and every claim as a row with how much the two drawings differ.

    claims: on pairs that are not one design. `turned`: how many of them are one drawing, turned or mirrored; `false`: the others.
    `same_claimed`: claims on pairs that are left out.
    """
    number = {item.id: n for n, item in enumerate(marks.items)}
    rows = []
    for claim in test.claims:
        one, other = number[claim.query], number[claim.source]
        is_same = (claim.query, claim.source) in same
        rows.append(
            {
                "a": claim.query,
                "b": claim.source,
                "score": claim.score,
                "kind": claim.kind,
                "differ": round(marks.difference(one, other), 4),
                "verdict": "same" if is_same else "turned" if marks.turned(one, other) else "false",
            }
        )
    counts = {v: sum(row["verdict"] == v for row in rows) for v in ("same", "turned", "false")}
    figures = test.figures() | {
        "pairs": test.pairs - len(same),
        "claims": counts["turned"] + counts["false"],
        "turned": counts["turned"],
        "false": counts["false"],
        "same_left_out": len(same),
        "same_claimed": counts["same"],
    }
    return figures, rows


def pair_rows(test: PairTest) -> list[dict[str, Any]]:
    """Every claim as a row."""
    return [{"a": c.query, "b": c.source, "score": c.score, "kind": c.kind} for c in test.claims]


def _eight(ink: Flags) -> Flags:
    """(8, h, h): a square drawing in its eight orientations."""
    return np.stack([np.rot90(base, turns) for base in (ink, ink[:, ::-1]) for turns in range(4)])
