"""A scan as one HTML page that works from disk: pictures with boxes, brands, evidence, copies and failures.

Made after the scan from its rows and pictures, so that a resumed scan ends with the same page. Nothing on it is fetched: styles,
script and pictures are inside, and its content policy forbids all else. Text is escaped by the template engine (jinja2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from vision import geometry
from vision.report.evidence import orientation_told, reading_told, rivals_told, runner_up
from vision.report.interest import Row, Source, most_interesting
from vision.report.lettering import printable
from vision.report.overlay import caption, percent, read_place
from vision.report.sheet import fit
from vision.report.template import data_address, environment, jpeg_address, script_digest, text, write_whole
from vision.values import Box, Candidate, CopyClaim, Finding, Pixels, Result

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
HEAT_SIDE = 176
MARKUP_BYTES = 1_500, 2_000  # of a card and of each of its findings, generously
REFERENCE_SHARE = 0.2  # of the page's bytes, for thumbnails of references, each embedded once


def write_page(
    rows: Iterable[tuple[Result, Source]],
    out: Path,
    *,
    open_pixels: Callable[[Source], Pixels | None],
    thumbnail: Callable[[str], bytes | None],
    artwork: Callable[[str], bytes | None] = lambda _: None,
    heat_map: Callable[[int, Result, int], Pixels | None] = lambda *_: None,
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
    artwork: the same of any reference of a brand, to show where the nearest one is kept without its picture.
    heat_map: the drawn heat map (see `heat`) of a finding, by row number, result and place among its findings, or None.
    summary: as `summarise` gives it. details: further tables by heading (settings, versions, …).
    link: the address of a picture's larger view for row number and result, relative to the page.
    size_bytes: about the largest page; pictures shrink to stay below it.
    The same arguments give the same bytes.
    """
    chosen = most_interesting(rows, limit)
    references, reference_bytes = _references(chosen, thumbnail, artwork, int(size_bytes * REFERENCE_SHARE))
    brands = {
        name: number
        for number, name in enumerate(sorted({f.brand for row in chosen for f in row.result.findings if f.brand}))
    }
    numbers = {
        row.result.path: row.index for row in reversed(chosen) if row.result.status == "ok"
    }  # the first of a path
    addresses = {picture.number: picture.address for picture in references.values()}
    cards = _cards(chosen, open_pixels, heat_map, link, size_bytes - reference_bytes, (references, brands, numbers))
    script = text("common.js") + text("page.js")
    chunks = (
        environment()
        .get_template("page.html.jinja")
        .generate(
            title=printable(title),
            summary=summary,
            details={heading: _lines(table) for heading, table in (details or {}).items()},
            shown=len(chosen),
            brands=brands,
            references=addresses.items(),
            cards=cards,
            script=script,
            style=text("page.css"),
            script_digest=script_digest(script),
        )
    )
    write_whole(out, chunks)
    return len(chosen)


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a reference. address: its data. artwork: it is another one of the same brand, in place of the one named."""

    number: int
    address: str
    artwork: bool


References = dict[str, Shown]


def _references(
    rows: Sequence[Row[Source]],
    thumbnail: Callable[[str], bytes | None],
    artwork: Callable[[str], bytes | None],
    budget: int,
) -> tuple[References, int]:
    """Pictures of the references named, by their ids, and their size.

    Those of winners come first; what is over the budget is left out. A picture is embedded once, whatever it stands for.
    """
    found: References = {}
    numbers: dict[str, int] = {}
    asked: set[str] = set()
    spent = 0
    findings = [finding for row in rows for _, finding in _shown_findings(row.result)]
    winners = [finding.candidates[0] for finding in findings if finding.candidates]
    for candidate in [*winners, *filter(None, map(runner_up, findings))]:
        if candidate.reference is None or candidate.reference in asked:
            continue
        asked.add(candidate.reference)
        own = thumbnail(candidate.reference)
        data = own or artwork(candidate.brand)
        if not data:
            continue
        address = data_address(data)
        if address not in numbers:
            if spent + len(address) > budget:
                continue
            numbers[address] = len(numbers)
            spent += len(address)
        found[candidate.reference] = Shown(numbers[address], address, not own)
    return found, spent


def _cards(
    rows: Sequence[Row[Source]],
    open_pixels: Callable[[Source], Pixels | None],
    heat_map: Callable[[int, Result, int], Pixels | None],
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
        crops = _crops(pixels, result, [f for _, f in shown], share // 2) if pixels is not None else []
        spent = sum(len(crop) for crop in crops if crop)
        heats = _heats((heat_map(row.index, result, number) for number, _ in shown[: len(crops)]), share // 2 - spent)
        spent += sum(len(heat) for heat in heats if heat)
        picture, size = _picture(pixels, share - spent) if pixels is not None else (None, (0, 0))
        budget -= spent + len(picture or "") + MARKUP_BYTES[0] + MARKUP_BYTES[1] * len(shown)
        findings = [
            _finding(f, result, references, brands) | {"crop": crop, "heat": heat, "place": _place(f, result, size)}
            for (_, f), crop, heat in zip_longest(shown, crops, heats)
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


def _shown_findings(result: Result) -> list[tuple[int, Finding]]:
    """What a card lists, each with its place in the row: known brands first, then close calls, then strangers, the surer the
    earlier."""
    order = ("known", "ambiguous", "unknown")
    numbered = enumerate(result.findings)
    return sorted(numbered, key=lambda f: (order.index(f[1].verdict), -f[1].probability, -f[1].score))[:FINDINGS]


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
    if finding.kind == "image":
        return "whole"
    left, top, _, bottom = finding.box
    down = size[1] / (result.height or 1)
    side = "east" if left > 0.6 * (result.width or 1) else "west"
    if top * down >= LABEL_HEIGHT:
        return f"above {side}"
    return f"below {side}" if size[1] - bottom * down >= LABEL_HEIGHT else f"inside {side}"


def _finding(finding: Finding, result: Result, references: References, brands: Mapping[str, int]) -> dict[str, Any]:
    winner = finding.candidates[0] if finding.candidates else None
    second = runner_up(finding)
    name = printable(finding.brand or (finding.kind if finding.verdict == "unknown" else caption(finding)))
    read = read_place(finding)
    tiles = []
    if winner is not None:
        tiles.append(
            _tile(winner, "reference" if finding.verdict != "unknown" else "nearest", references, finding.brand)
        )
    if second is not None:
        tiles.append(_tile(second, "next", references, None))
    told = [orientation_told(finding), reading_told(finding), rivals_told(finding)]
    if finding.verdict != "unknown" and tiles:
        told.append(tiles[0]["note"])
    return {
        "verdict": finding.verdict,
        "kind": finding.kind,
        "name": name,
        "product": printable(finding.product) if finding.product else None,
        "brand_number": brands.get(finding.brand) if finding.brand else None,
        "caption": printable(caption(finding)),
        "probability": percent(finding.probability),
        "tiles": tiles,
        "told": [
            *filter(None, told),
            *([f"{finding.kind} score {finding.score:.2f}"] if finding.kind != "image" else []),
        ],
        "box": _style(finding.box, result),
        "read": _style(read, result) if read is not None else None,
        "words": printable(
            " ".join([name, finding.text.string if finding.text else "", *(c.brand for c in finding.candidates[:1])])
        ),
    }


def _tile(candidate: Candidate, role: str, references: References, named: str | None) -> dict[str, Any]:
    """One brand of a finding as the page shows it: a picture, or why there is none. named: the brand that needs no telling."""
    brand = printable(candidate.brand)
    tile = {"role": role, "brand": brand if candidate.brand != named else None, "number": None, "note": None}
    if candidate.reference is None or candidate.similarity is None:
        return tile | {"absent": "known by name", "similarity": ""}
    tile |= {"absent": "no picture kept", "similarity": f"{candidate.similarity:.2f}"}
    shown, reference = references.get(candidate.reference), printable(candidate.reference)
    if shown is None:
        return tile
    if not shown.artwork:
        return tile | {"number": shown.number, "told": f"nearest reference of {brand}: {reference}"}
    note = f"artwork of {brand}: of its nearest reference, {reference}, no picture is kept"
    return tile | {"role": "artwork" if role != "next" else "next", "number": shown.number, "told": note, "note": note}


def _style(box: Box, result: Result) -> str:
    """A box as a style of the page: shares of the picture that it stands on."""
    width, height = result.width or 1, result.height or 1
    left, top, right, bottom = box
    return (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * (right - left) / width:.2f}%;height:{100 * (bottom - top) / height:.2f}%"
    )


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
    """The crops of the first findings shown, a little larger than their boxes; None beyond the budget."""
    height, width = pixels.shape[:2]
    scale = np.array([width / (result.width or width), height / (result.height or height)] * 2, dtype=np.float32)
    boxes = np.array([f.box for f in shown], dtype=np.float32).reshape(-1, 4) * scale
    crops: list[str | None] = []
    for box in geometry.pad(boxes, CROP_PADDING, width, height)[:CROPS]:
        address = jpeg_address(fit(geometry.crop(pixels, box), CROP_SIDE, enlarge=False), 80)
        budget -= len(address)
        crops.append(address if budget >= 0 else None)
    return crops


def _heats(drawn: Iterable[Pixels | None], budget: int) -> list[str | None]:
    """Heat maps as data addresses, None where there is none or the budget is used up."""
    heats: list[str | None] = []
    for pixels in drawn:
        address = jpeg_address(fit(pixels, HEAT_SIDE, enlarge=False), 80) if pixels is not None else ""
        budget -= len(address)
        heats.append(address if address and budget >= 0 else None)
    return heats


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
