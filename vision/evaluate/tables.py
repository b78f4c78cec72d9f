"""Tables for a terminal and for Markdown: plain strings in rows, numbers to the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vision.report.lettering import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """columns: headings; the first `words` columns are text, the others numbers. rows: as many cells each."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1

    def rich(self, width: int) -> RichTable:
        """For a rich console of that many characters."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        widths = self._widths(width - 2 * len(self.columns) - 1)
        for number, (name, wide) in enumerate(zip(self.columns, widths, strict=True)):
            justify: Literal["left", "right"] = "left" if number < self.words else "right"
            table.add_column(Text(name), justify=justify, overflow="fold", width=wide)
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))  # no markup: a set may be called [bold]
        return table

    def _widths(self, room: int) -> list[int | None]:
        """Widths of the columns where lines have to break between words, so that they never do within a number; else null."""
        columns = [(name, *(row[n] for row in self.rows)) for n, name in enumerate(self.columns)]
        whole = [max(map(len, cells)) for cells in columns]
        least = [max((len(word) for cell in cells for word in cell.split()), default=1) for cells in columns]
        spare = room - sum(least)
        if sum(whole) <= room or spare < 0:
            return [None] * len(columns)
        widths: list[int | None] = []
        for most, fewest in zip(whole, least, strict=True):
            widths.append(min(most, fewest + spare))
            spare -= min(most - fewest, spare)
        return widths

    def markdown(self) -> str:
        """As GitHub shows it."""
        rule = ["---" if number < self.words else "---:" for number in range(len(self.columns))]
        lines = [self.columns, rule, *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def number(value: Any, places: int = 3) -> str:
    """A figure in a cell; a dash where it is not defined."""
    if isinstance(value, int):
        return f"{value:,}"
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:.{places}f}"
    return text.removeprefix("0") if value >= 0 else text


def with_interval(values: Mapping[str, Any], name: str) -> str:
    """A figure with its interval: ".512 (.40–.63)"."""
    if number(values.get(name)) == "–":
        return "–"
    low, high = values[f"{name}_interval"]
    return f"{number(values[name])} ({number(low, 2)}–{number(high, 2)})"


def figure_table(slices: Sequence[tuple[str, str, str, Mapping[str, Any]]]) -> Table:
    """The main figures of an evaluation, a row for each set and kind; columns that hold nothing are left out.

    Precision, recall and false boxes are those of the operating point; unboxed logos are ignored where they are known.
    """
    by_set: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for name, kind, part, values in slices:
        by_set.setdefault((name, kind), {})[part] = values
    rows = []
    for (name, kind), parts in by_set.items():
        boxed, ignored = parts["boxed"], parts.get("unboxed_ignored", {})
        own = ignored or boxed
        rows.append(
            (
                name,
                kind,
                number(boxed["pictures"]),
                number(boxed["true_boxes"]),
                with_interval(boxed, "ap50"),
                number(boxed["ap50_95"]),
                with_interval(boxed, "recall10"),
                number(parts["longest_side<32"]["recall10"]),
                with_interval(ignored, "ap50"),
                with_interval(parts.get("every_logo", {}), "ap50"),
                f"{number(boxed['best_f1'], 2)} at {number(boxed['best_f1_score'], 2)}",
                f"{number(own['precision'], 2)} / {number(own['recall'], 2)}",
                number(own["false_a_picture"], 2),
            )
        )
    columns = (
        *("set", "kind", "pictures", "boxes", "AP50", "AP50-95", "recall@10", "under 32 px"),
        *("unboxed ignored", "every logo", "best F1", "P / R", "false a picture"),
    )
    told = [n for n in range(len(columns)) if n < 2 or any(row[n] != "–" for row in rows)]
    return Table(tuple(columns[n] for n in told), tuple(tuple(row[n] for n in told) for row in rows), words=2)
