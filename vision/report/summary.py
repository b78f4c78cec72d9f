"""What a scan found, counted: for the last lines on a terminal, for scan.json and for the top of the HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vision.report.lettering import printable
from vision.values import Result

if TYPE_CHECKING:
    from rich.console import RenderableType

TOP_BRANDS = 20


def summarise(
    rows: Iterable[Result], *, seconds: float | None = None, earlier: int = 0, top: int = TOP_BRANDS
) -> dict[str, Any]:
    """Count rows as they stream by, in memory that grows with the number of brands only. Plain JSON types.

    pictures = ok + failed; findings by kind and verdict; the `top` brands by findings (then by name) with the number of
    pictures that show them; copies; parts that were missing. seconds: how long the scan took, since it was resumed; `rate` is
    null without it. earlier: rows that were there before.
    """
    pictures = failed = with_findings = with_known = with_copies = claims = 0
    failures: Counter[str] = Counter()
    verdicts: dict[str, Counter[str]] = {}
    brands: Counter[str] = Counter()
    brand_pictures: Counter[str] = Counter()
    copy_kinds: Counter[str] = Counter()
    degraded: Counter[str] = Counter()
    for result in rows:
        pictures += 1
        if result.error is not None:
            failed += 1
            failures[result.error.code] += 1
        named = [f.brand for f in result.findings if f.brand]
        for finding in result.findings:
            verdicts.setdefault(finding.kind, Counter())[finding.verdict] += 1
        brands.update(named)
        brand_pictures.update(set(named))
        with_findings += bool(result.findings)
        with_known += bool(named)
        with_copies += bool(result.copies)
        claims += len(result.copies)
        copy_kinds.update(claim.kind for claim in result.copies)
        degraded.update(result.degraded)
    first = sorted(brands, key=lambda name: (-brands[name], name))[:top]
    return {
        "pictures": pictures,
        "ok": pictures - failed,
        "failed": failed,
        "failures": _ranked(failures),
        "with_findings": with_findings,
        "with_known_brand": with_known,
        "findings": {
            kind: {verdict: counts[verdict] for verdict in ("known", "ambiguous", "unknown")}
            for kind, counts in sorted(verdicts.items())
        },
        "brands": len(brands),
        "top_brands": [{"brand": name, "findings": brands[name], "pictures": brand_pictures[name]} for name in first],
        "pictures_with_copies": with_copies,
        "copy_claims": claims,
        "copy_kinds": _ranked(copy_kinds),
        "degraded": _ranked(degraded),
        "seconds": None if seconds is None else round(seconds, 1),
        "rate": round((pictures - earlier) / seconds, 2) if seconds else None,
    }


def summary_table(summary: dict[str, Any], *, brands: int = 10) -> RenderableType:
    """`summarise`'s dictionary for a rich console: counts at the top, then the first `brands` brands."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def text(value: str) -> Text:
        return Text(printable(value))  # no markup: a brand may be called [bold]

    counts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    counts.add_column(style="bold")
    counts.add_column(justify="right")
    counts.add_column(overflow="fold")

    def line(name: str, value: int, detail: str = "") -> None:
        counts.add_row(name, f"{value:,}", text(detail))

    speed = f"{summary['rate']:g} a second" if summary["rate"] else ""
    line("pictures", summary["pictures"], speed)
    if summary["failed"]:
        line("failed", summary["failed"], ", ".join(f"{code} {n:,}" for code, n in summary["failures"].items()))
    line("with a known brand", summary["with_known_brand"])
    for kind, verdicts in summary["findings"].items():
        line(f"{kind}s", sum(verdicts.values()), ", ".join(f"{verdict} {n:,}" for verdict, n in verdicts.items() if n))
    if summary["copy_claims"]:
        line(
            "copies",
            summary["pictures_with_copies"],
            ", ".join(f"{kind} {n:,}" for kind, n in summary["copy_kinds"].items()),
        )
    for name, n in summary["degraded"].items():
        line("without later frames" if name == "frames" else f"without {name}", n)
    if not summary["top_brands"]:
        return counts
    listed = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    listed.add_column("brand", overflow="fold")
    listed.add_column("findings", justify="right")
    listed.add_column("pictures", justify="right")
    for row in summary["top_brands"][:brands]:
        listed.add_row(text(row["brand"]), f"{row['findings']:,}", f"{row['pictures']:,}")
    if summary["brands"] > brands:
        listed.add_row(f"and {summary['brands'] - brands:,} more", "", "")
    return Group(counts, listed)


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """Most frequent first, then by name, so that equal scans give equal files."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
