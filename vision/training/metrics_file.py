"""The rows of a training: told as it runs, and kept as `metrics.csv`."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path


def note_rows(path: Path, rows: Sequence[Mapping[str, float]], log: logging.Logger) -> None:
    """Log the last row and write all of them as CSV, in place of the file there; columns in the order in which they came up."""
    log.info("%s", "  ".join(f"{k} {v:.4g}" for k, v in rows[-1].items()))
    columns = list(dict.fromkeys(k for r in rows for k in r))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
