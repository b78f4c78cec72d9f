"""A picture with what was found drawn onto it: boxes with brand and probability, and a banner when it is a copy.

Colours say the verdict (known green, ambiguous amber, unknown slate), thin lines are products, thin dashes what was read. What is
found in the picture as a whole has a label and no frame. Every line has a dark edge and every label its own ground, so that they
can be read on any picture; no label leaves the picture or, where there is room, covers another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from vision.files import write_atomically
from vision.report.lettering import drawable, font, shorten
from vision.report.sheet import fit
from vision.values import Box, CopyClaim, Finding, Pixels, Result

LONGEST_SIDE = 1280
READABLE_SIDE = 320  # smaller pictures are enlarged by a whole factor until text fits beside their boxes
JPEG_QUALITY = 85
SURELY = 0.9  # what was read with less confidence than this is told with it
FEWEST_LETTERS_HEIGHT = 8  # pixels; below that no text is drawn

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of one verdict. line: on the picture, bright; ground and ink: of its label, contrast at least 4.5 (WCAG AA)."""

    line: Colour
    ground: Colour
    ink: Colour


LOOKS: dict[str, Look] = {
    "known": Look((64, 214, 128), (20, 122, 64), (255, 255, 255)),
    "ambiguous": Look((255, 179, 0), (255, 179, 0), (20, 20, 20)),
    "unknown": Look((168, 192, 220), (84, 106, 130), (255, 255, 255)),
}
COPY = Look((255, 120, 210), (150, 30, 110), (255, 255, 255))
EDGE = (16, 16, 16)


def draw_overlay(pixels: Pixels, result: Result) -> Pixels:
    """Draw a result onto its picture.

    pixels: (h, w, 3) uint8 RGB, the picture at any scale (boxes are scaled from the result's width and height).
    Gives (H, W, 3) uint8 RGB with the same proportions: at most 1280 pixels long, tiny pictures enlarged to be readable.
    """
    canvas = Image.fromarray(_comfortable(pixels))
    width, height = canvas.size
    scale = (width / (result.width or width), height / (result.height or height))
    draw = ImageDraw.Draw(canvas)
    size = int(np.clip(max(width, height) / 56, 11, 20))
    line = max(2, round(max(width, height) / 400))

    # the surest last: where boxes cross, its line stays whole
    findings = sorted(
        result.findings, key=lambda f: (f.kind != "image", f.kind == "logo", f.verdict == "known", f.probability)
    )
    boxes = [_placed(finding.box, scale, width, height) for finding in findings]
    for finding, box in zip(findings, boxes, strict=True):
        if finding.kind != "image":
            _frame(draw, box, LOOKS[finding.verdict].line, line if finding.kind == "logo" else 1)
        if finding.text is not None and finding.text.box is not None:
            _dashes(
                draw, _placed(finding.text.box, scale, width, height), LOOKS[finding.verdict].line, max(4, size // 2)
            )
    taken: list[Rectangle] = []
    if result.copies:
        for claim in result.copies[:1]:
            if claim.box is not None:
                _frame(draw, _placed(claim.box, scale, width, height), COPY.line, 1)
        taken += _banner(draw, result.copies, size, width, height)
    for finding, box in reversed(list(zip(findings, boxes, strict=True))):  # the surest first: it gets the best place
        label = _label(draw, finding, box, size=size, taken=taken)
        taken += [label] if label else []
    return np.asarray(canvas)


def save_overlay(path: Path, pixels: Pixels, result: Result) -> None:
    """Draw a result onto its picture and write it as JPEG (quality 85); the file appears whole or not at all."""
    drawn = draw_overlay(pixels, result)
    written, data = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not written:
        raise ValueError(f"no JPEG of a picture of shape {drawn.shape}")
    write_atomically(path, data.tobytes())


def overlay_name(index: int, path: str) -> str:
    """File name of the overlay of row `index` (from 0): unique by its number, readable by its stem, safe on any file system."""
    stem = drawable(path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._")[:60]
    return f"{index:07d}-{safe or 'picture'}.jpg"


def percent(probability: float) -> str:
    """A probability for people: whole percents, but never a certainty that rounding made up."""
    if 0 < probability < 0.005:
        return "<1 %"
    if 0.995 <= probability < 1:
        return ">99 %"
    return f"{probability * 100:.0f} %"


def caption(finding: Finding) -> str:
    """A finding in a few words: "Acme 97 %", "Acme or Apex?", "unknown logo", "whole picture: Acme 97 %"."""
    if finding.verdict == "unknown":
        return f"unknown {finding.kind}"
    if finding.brand is not None:
        product = f" {finding.product}" if finding.product else ""
        told = f"{finding.brand}{product} {percent(finding.probability)}"
    else:
        told = " or ".join(candidate.brand for candidate in finding.candidates[:2]) + "?"
    return f"whole picture: {told}" if finding.kind == "image" else told


def read_place(finding: Finding) -> Box | None:
    """Where to mark what was read: not where that is doubtful and no brand's name, as the strokes of a symbol are."""
    if finding.text is None:
        return None
    fits = any(candidate.read is not None for candidate in finding.candidates)
    return finding.text.box if fits or finding.text.confidence >= SURELY else None


def copy_caption(claims: Sequence[CopyClaim]) -> str:
    """The best claim in one line, and how many more there are."""
    best = max(claims, key=lambda claim: claim.probability)
    more = f", and of {len(claims) - 1} more" if len(claims) > 1 else ""
    return f"copy of {best.source} ({best.kind}, {percent(best.probability)}){more}"


def _comfortable(pixels: Pixels) -> Pixels:
    longest = max(pixels.shape[:2])
    if longest >= READABLE_SIDE:
        return np.ascontiguousarray(fit(pixels, LONGEST_SIDE, enlarge=False))
    factor = -(-READABLE_SIDE // longest)  # a whole factor shows the picture's own pixels
    return np.ascontiguousarray(np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1))


def _placed(box: Sequence[float], scale: tuple[float, float], width: int, height: int) -> Rectangle:
    """A box as inclusive corners in drawn pixels, at least one pixel large, inside the picture."""
    left, top = min(int(box[0] * scale[0]), width - 1), min(int(box[1] * scale[1]), height - 1)
    right, bottom = int(np.ceil(box[2] * scale[0])) - 1, int(np.ceil(box[3] * scale[1])) - 1
    return max(left, 0), max(top, 0), int(np.clip(right, left, width - 1)), int(np.clip(bottom, top, height - 1))


def _frame(draw: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, line: int) -> None:
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=EDGE)
    draw.rectangle(box, outline=colour, width=line)
    inner = (left + line, top + line, right - line, bottom - line)
    if inner[2] - inner[0] > 2 * line and inner[3] - inner[1] > 2 * line:
        draw.rectangle(inner, outline=EDGE)


def _dashes(draw: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, dash: int) -> None:
    """A thin frame of dashes, dark between them."""
    left, top, right, bottom = box
    draw.rectangle(box, outline=EDGE)
    for x in range(left, right + 1, 2 * dash):
        for y in (top, bottom):
            draw.line((x, y, min(x + dash - 1, right), y), fill=colour)
    for y in range(top, bottom + 1, 2 * dash):
        for x in (left, right):
            draw.line((x, y, x, min(y + dash - 1, bottom)), fill=colour)


def _label(
    draw: ImageDraw.ImageDraw, finding: Finding, box: Rectangle, *, size: int, taken: Sequence[Rectangle]
) -> Rectangle | None:
    """Draw a finding's label where it disturbs least; the rectangle it covers, None when no text fits the picture."""
    width, height = draw.im.size
    pad = max(2, size // 5)
    size = min(size, height - 2 * pad - 2)
    if size < FEWEST_LETTERS_HEIGHT:
        return None
    text = shorten(drawable(caption(finding)), size, width - 2 * pad)
    if not text:
        return None
    text_width, text_height = int(np.ceil(font(size).getlength(text))) + 2 * pad, round(size * 1.2) + pad
    text_height = min(text_height, height)
    left = int(np.clip(box[0] - 1, 0, width - text_width))
    right = int(np.clip(box[2] + 1 - text_width, 0, width - text_width))
    tops = [
        box[1] - text_height,
        box[3] + 1,
        box[1] + 1,
        box[3] - text_height,
    ]  # above, below, inside at the top, at the bottom
    places = [
        (x, y, x + text_width, y + text_height) for y in tops for x in (left, right) if 0 <= y <= height - text_height
    ]
    if not places:
        top = int(np.clip(box[1], 0, height - text_height))
        places = [(left, top, left + text_width, top + text_height)]
    place = min(places, key=lambda p: sum(_shared(p, other) for other in taken))  # the first of the best
    look = LOOKS[finding.verdict]
    draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=look.ground, outline=EDGE)
    draw.text((place[0] + pad, (place[1] + place[3]) / 2), text, fill=look.ink, font=font(size), anchor="lm")
    return place


def _banner(
    draw: ImageDraw.ImageDraw, claims: Sequence[CopyClaim], size: int, width: int, height: int
) -> list[Rectangle]:
    """The copy claim along the lower edge; the strip that it covers, nothing when the picture has no room for text."""
    strip = round(size * 1.8)
    if strip > height // 2:
        size, strip = int(height / 2 / 1.8), height // 2
    if size < FEWEST_LETTERS_HEIGHT:
        return []
    pad = max(2, size // 3)
    best = max(claims, key=lambda claim: claim.probability)
    letters, room, source = font(size), width - 2 * pad, drawable(best.source)
    start, end = "copy of ", drawable(copy_caption(claims)).removeprefix(f"copy of {source}")
    # the end of a source's path tells most, so all else makes room for it
    spare = room - letters.getlength(start + end)
    if spare < min(letters.getlength(source), room / 2):
        spare, end = room - letters.getlength(start), ""
    text = shorten(start + shorten(source, size, max(spare, 0), keep="end") + end, size, room)
    draw.rectangle((0, height - strip, width - 1, height - 1), fill=COPY.ground)
    draw.line((0, height - strip, width - 1, height - strip), fill=EDGE)
    draw.text((pad, height - strip / 2), text, fill=COPY.ink, font=letters, anchor="lm")
    return [(0, height - strip, width, height)]


def _shared(a: Rectangle, b: Rectangle) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
