"""A scan as one HTML page that works from disk: pictures with boxes, brands, evidence, copies and failures.

Made after the scan from its rows and pictures, so that a resumed scan ends with the same page. Nothing on it is fetched: styles,
script and pictures are inside, and its content policy forbids all else. Text is escaped by the template engine (jinja2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision import geometry
from vision.report.interest import Row, Source, most_interesting
from vision.report.lettering import printable
from vision.report.overlay import caption, percent
from vision.report.sheet import fit
from vision.report.template import data_address, environment, jpeg_address, script_digest, text, write_whole
from vision.values import CopyClaim, Finding, Pixels, Result

ROWS = 500
SIZE_BYTES = 25_000_000
FINDINGS = 40  # listed for one picture; the rest is in results.jsonl
CROPS = 12
CROP_SIDE = 96
CROP_PADDING = 0.1
SMALLEST_SHOWN = 160  # pixels of the page: the longest side of a tiny picture
LABEL_HEIGHT = 16  # pixels of the page
# Tried in turn until a picture fits its share of the page: longest side, JPEG quality.
PICTURE_STEPS = ((480, 78), (480, 60), (360, 55), (240, 45))
MARKUP_BYTES = 1_500, 1_200  # of a card and of each of its findings, generously
REFERENCE_SHARE = 0.2  # of the page's bytes, for thumbnails of references, each embedded once


def write_page(
    rows: Iterable[tuple[Result, Source]],
    out: Path,
    *,
    open_pixels: Callable[[Source], Pixels | None],
    thumbnail: Callable[[str], bytes | None],
    summary: Mapping[str, Any],
    details: Mapping[str, Mapping[str, Any]] | None = None,
    link: Callable[[int, Result], str | None] | None = None,
    title: str = "Scan",
    limit: int = ROWS,
    size_bytes: int = SIZE_BYTES,
) -> int:
    """Write the page of a scan; the number of pictures shown. `out` appears whole or not at all.

    rows: each with whatever `open_pixels` needs to find its picture; read once, `limit` of them kept (see `interest`).
    open_pixels: the picture as (h, w, 3) uint8 RGB at any scale, or None when it cannot be had any more: then its card says so.
    thumbnail: the encoded picture (JPEG, PNG or WebP) of a reference id, or None.
    summary: as `summarise` gives it. details: further tables by heading (settings, versions, …).
    link: the address of a picture's larger view for row number and result, relative to the page.
    size_bytes: about the largest page; pictures shrink to stay below it.
    The same arguments give the same bytes.
    """
    chosen = most_interesting(rows, limit)
    references, reference_bytes = _references(chosen, thumbnail, int(size_bytes * REFERENCE_SHARE))
    brands = {
        name: number
        for number, name in enumerate(sorted({f.brand for row in chosen for f in row.result.findings if f.brand}))
    }
    numbers = {
        row.result.path: row.index for row in reversed(chosen) if row.result.status == "ok"
    }  # the first of a path
    cards = _cards(chosen, open_pixels, link, size_bytes - reference_bytes, (references, brands, numbers))
    chunks = (
        environment()
        .get_template("page.html.jinja")
        .generate(
            title=printable(title),
            summary=summary,
            details={heading: _lines(table) for heading, table in (details or {}).items()},
            shown=len(chosen),
            brands=brands,
            references=references.values(),
            cards=cards,
            script=text("page.js"),
            style=text("page.css"),
            script_digest=script_digest(text("page.js")),
        )
    )
    write_whole(out, chunks)
    return len(chosen)


References = dict[str, tuple[int, str]]


def _references(
    rows: Sequence[Row[Source]], thumbnail: Callable[[str], bytes | None], budget: int
) -> tuple[References, int]:
    """Thumbnails of all winning references, numbered, as data addresses, and their size; what is over the budget is left out."""
    found: References = {}
    spent = 0
    for row in rows:
        for finding in _shown_findings(row.result):
            name = finding.candidates[0].reference if finding.candidates else None
            data = thumbnail(name) if name and name not in found else None
            if data:
                address = data_address(data)
                if spent + len(address) <= budget:
                    found[name] = (len(found), address)
                    spent += len(address)
    return found, spent


def _cards(
    rows: Sequence[Row[Source]],
    open_pixels: Callable[[Source], Pixels | None],
    link: Callable[[int, Result], str | None] | None,
    budget: int,
    known: tuple[References, dict[str, int], dict[str, int]],
) -> Iterator[dict[str, Any]]:
    """One card at a time as the template asks for it: one picture is in memory."""
    references, brands, numbers = known
    for done, row in enumerate(rows):
        result = row.result
        shown = _shown_findings(result)
        share = budget // (len(rows) - done) - MARKUP_BYTES[0] - MARKUP_BYTES[1] * len(shown)
        pixels = open_pixels(row.source) if result.status == "ok" else None
        crops = _crops(pixels, result, shown, share // 2) if pixels is not None else [None] * len(shown)
        spent = sum(len(crop) for crop in crops if crop)
        picture, size = _picture(pixels, share - spent) if pixels is not None else (None, (0, 0))
        budget -= spent + len(picture or "") + MARKUP_BYTES[0] + MARKUP_BYTES[1] * len(shown)
        findings = [
            _finding(f, result, references, brands) | {"crop": crop, "place": _place(f, result, size)}
            for f, crop in zip(shown, crops, strict=True)
        ]
        yield {
            "index": row.index,
            "path": printable(result.path),
            "failure": {"code": result.error.code, "message": printable(result.error.message)}
            if result.error
            else None,
            "picture": picture,
            "size": size,
            "link": link(row.index, result) if link is not None and pixels is not None else None,
            "findings": findings,
            "left_out": len(result.findings) - len(shown),
            "copies": [_claim(claim, numbers) for claim in result.copies],
            "verdicts": " ".join(sorted({f["verdict"] for f in findings}) or ["nothing"]),
            "brands": " ".join(
                str(number) for number in sorted({f["brand_number"] for f in findings if f["brand_number"] is not None})
            ),
            "best": max((f.probability for f in result.findings), default=0.0),
            "words": " ".join([printable(result.path), *(f["words"] for f in findings)]).lower(),
            "told": "; ".join(f["caption"] for f in findings) or ("failed" if result.error else "nothing found"),
            "facts": _lines(_facts(result)),
        }


def _shown_findings(result: Result) -> list[Finding]:
    """What a card lists: known brands first, then close calls, then strangers, the surer the earlier."""
    order = ("known", "ambiguous", "unknown")
    return sorted(result.findings, key=lambda f: (order.index(f.verdict), -f.probability, -f.score))[:FINDINGS]


def _facts(result: Result) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if result.width is not None:
        facts["size"] = f"{result.width} × {result.height} pixels"
    if result.sha256 is not None:
        facts["sha256"] = result.sha256
    facts |= result.quality
    if result.degraded:
        facts["without"] = ", ".join(result.degraded)
    return facts


def _place(finding: Finding, result: Result, size: tuple[int, int]) -> str:
    """Where the label of a box goes so that it neither covers the mark nor leaves the picture: classes of the style sheet."""
    left, top, _, bottom = finding.box
    down = size[1] / (result.height or 1)
    side = "east" if left > 0.6 * (result.width or 1) else "west"
    if top * down >= LABEL_HEIGHT:
        return f"above {side}"
    return f"below {side}" if size[1] - bottom * down >= LABEL_HEIGHT else f"inside {side}"


def _finding(finding: Finding, result: Result, references: References, brands: Mapping[str, int]) -> dict[str, Any]:
    winner = finding.candidates[0] if finding.candidates else None
    # of an unknown mark the nearest brand is told, of the others the rivals that have a chance
    rivals = [
        c
        for c in finding.candidates
        if c.brand != finding.brand and (finding.verdict == "unknown" or c.probability >= 0.005)
    ]
    width, height = result.width or 1, result.height or 1
    left, top, right, bottom = finding.box
    name = printable(finding.brand or (finding.kind if finding.verdict == "unknown" else caption(finding)))
    return {
        "verdict": finding.verdict,
        "kind": finding.kind,
        "name": name,
        "product": printable(finding.product) if finding.product else None,
        "brand_number": brands.get(finding.brand) if finding.brand else None,
        "caption": printable(caption(finding)),
        "probability": percent(finding.probability),
        "score": f"{finding.score:.2f}",
        "rivals": [
            (printable(c.brand), percent(c.probability)) for c in rivals[: 3 if finding.verdict != "unknown" else 1]
        ],
        "nearest": {
            "id": printable(winner.reference),
            "brand": printable(winner.brand),
            "similarity": f"{winner.similarity:.2f}",
            "number": references[winner.reference][0] if winner.reference in references else None,
        }
        if winner and winner.reference is not None and winner.similarity is not None
        else None,
        "read": printable(winner.read) if winner and winner.read else None,
        "text": printable(finding.text.string) if finding.text else None,
        "left": f"{100 * left / width:.2f}",
        "top": f"{100 * top / height:.2f}",
        "width": f"{100 * (right - left) / width:.2f}",
        "height": f"{100 * (bottom - top) / height:.2f}",
        "words": printable(
            " ".join([name, finding.text.string if finding.text else "", *(c.brand for c in finding.candidates[:1])])
        ),
    }


def _claim(claim: CopyClaim, numbers: Mapping[str, int]) -> dict[str, Any]:
    return {
        "source": printable(claim.source),
        "card": numbers.get(claim.source) if claim.index == "scan" else None,
        "index": printable(claim.index),
        "kind": printable(claim.kind),
        "probability": percent(claim.probability),
        "distance": claim.distance,
        "first_seen": printable(claim.first_seen) if claim.first_seen else None,
        "owner": printable(claim.owner) if claim.owner else None,
    }


def _crops(pixels: Pixels, result: Result, shown: Sequence[Finding], budget: int) -> list[str | None]:
    """The crop of each finding shown, a little larger than its box; None beyond the first few or beyond the budget."""
    height, width = pixels.shape[:2]
    scale = np.array([width / (result.width or width), height / (result.height or height)] * 2, dtype=np.float32)
    boxes = np.array([f.box for f in shown], dtype=np.float32).reshape(-1, 4) * scale
    crops: list[str | None] = []
    for box in geometry.pad(boxes, CROP_PADDING, width, height)[:CROPS]:
        address = jpeg_address(fit(geometry.crop(pixels, box), CROP_SIDE, enlarge=False), 80)
        budget -= len(address)
        crops.append(address if budget >= 0 else None)
    return crops + [None] * (len(shown) - len(crops))


def _picture(pixels: Pixels, budget: int) -> tuple[str | None, tuple[int, int]]:
    """The picture as a data address within the budget, with the size to show it in; None when even the smallest is too large."""
    for side, quality in PICTURE_STEPS:
        small = fit(pixels, side, enlarge=False)
        address = jpeg_address(small, quality)
        if len(address) <= budget:
            larger = max(1.0, SMALLEST_SHOWN / max(small.shape[:2]))
            return address, (round(small.shape[1] * larger), round(small.shape[0] * larger))
    return None, (0, 0)


def _lines(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(printable(str(name)), printable(_shown(value))) for name, value in table.items()]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    return json.dumps(value, ensure_ascii=False)
