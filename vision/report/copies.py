"""What a claim rests on, as one picture: both pictures side by side, what they share outlined, and one laid onto the other.

The third panel shows the source in grey and, where this picture covers it, both in turn, block by block: of a true copy every
edge goes on from one block into the next.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vision.report.lettering import drawable, font, shorten
from vision.report.overlay import COPY, EDGE, percent
from vision.report.sheet import GROUND, INK, MARGIN, fit
from vision.values import Box, CopyClaim, Picture, Pixels

PANEL = 520  # pixels: three of them fit a screen
EVIDENCE_SIDE = 2 * PANEL  # what a picture should be decoded to at least; a crop is shown enlarged
BLOCKS = 8  # across the longer side of the source
TEXT = 14
LINE = 3

Corners = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

# How many quarter turns clockwise a kind names.
_TURNS = {"rotate90": 1, "rotate180": 2, "rotate270": 3}


def evidence(picture: Picture, source: Picture, claim: CopyClaim) -> Image.Image:
    """What speaks for the claim that `picture` was taken from `source`: three panels with captions, RGB.

    Both may be decoded smaller than they are. With `claim.transform` the outlines are where it maps one picture onto the other,
    else they are the claim's boxes, and the mapping is the one between these that its kind names.
    """
    onto = matrix(picture, source, claim)
    inside = _rectangle(claim.box or (0.0, 0.0, float(picture.width), float(picture.height)))
    here, there = _shown(picture), _shown(source)
    here_scale, there_scale = _scale(picture, here), _scale(source, there)
    if claim.transform is None:
        shared_here, shared_there = inside, _mapped(onto, inside)
    else:
        # what of the source lies in this picture, seen from both
        shared_there = _cut(_mapped(onto, inside), source.width, source.height)
        shared_here = _mapped(_inverse(onto), shared_there)
    warp = there_scale @ onto @ _inverse(here_scale)
    panels = [
        (_outlined(here, _mapped(here_scale, shared_here)), [f"this picture, {picture.width}×{picture.height}"]),
        (_outlined(there, _mapped(there_scale, shared_there)), [f"{claim.source}, {source.width}×{source.height}"]),
        (_laid(here, there, warp), ["the first laid onto the second, block by block"]),
    ]
    told = f"{claim.kind}, probability {percent(claim.probability)}"
    if claim.coverage is not None:
        told += f", {percent(claim.coverage)} of the source"
    panels[0][1].append(told)
    panels[1][1].append(", ".join(part for part in (claim.owner, claim.first_seen) if part))
    return _sheet(panels)


def matrix(picture: Picture, source: Picture, claim: CopyClaim) -> Matrix:
    """(3, 3): full-scale pixels of the picture to those of the source; read from the claim's kind where it has no transform."""
    if claim.transform is not None:
        return np.asarray(claim.transform, dtype=np.float64).reshape(3, 3)
    here = _rectangle(claim.box or (0.0, 0.0, float(picture.width), float(picture.height)))
    there = _rectangle(claim.source_box or (0.0, 0.0, float(source.width), float(source.height)))
    words = claim.kind.split("+")
    turns = sum(_TURNS.get(word, 0) for word in words)
    # the source is mirrored first, then turned clockwise: that is where its corners have come to
    corners = [1, 0, 3, 2] if "mirror" in words else [0, 1, 2, 3]
    places = here[[(corner + turns) % 4 for corner in corners]]
    found = cv2.getPerspectiveTransform(places.astype(np.float32), there.astype(np.float32))
    return np.asarray(found, dtype=np.float64)


def _inverse(mapping: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(mapping), dtype=np.float64)


def _rectangle(box: Box) -> Corners:
    """(4, 2) corners, clockwise from the upper left."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def _mapped(mapping: Matrix, points: Corners) -> Corners:
    if not len(points):
        return points
    return np.asarray(cv2.perspectiveTransform(points[None], mapping)[0], dtype=np.float64)


def _cut(points: Corners, width: float, height: float) -> Corners:
    """What of a convex polygon lies in a picture; empty when nothing does."""
    frame = _rectangle((0.0, 0.0, width, height)).astype(np.float32)
    _, inside = cv2.intersectConvexConvex(points.astype(np.float32), frame)
    return np.zeros((0, 2)) if inside is None else np.asarray(inside, dtype=np.float64).reshape(-1, 2)


def _shown(picture: Picture) -> Pixels:
    return np.ascontiguousarray(fit(picture.pixels, PANEL))


def _scale(picture: Picture, shown: Pixels) -> Matrix:
    """(3, 3): full-scale pixels to those shown."""
    return np.diag([shown.shape[1] / picture.width, shown.shape[0] / picture.height, 1.0])


def _outlined(pixels: Pixels, points: Corners) -> Pixels:
    drawn = pixels.copy()
    if len(points):
        # an outline at the very edge would be cut off by half
        limit = np.array(pixels.shape[1::-1]) - 1 - LINE // 2
        corners = np.clip(points.round(), LINE // 2, limit).astype(np.int32)
        cv2.polylines(drawn, [corners], True, EDGE, LINE + 2, cv2.LINE_AA)
        cv2.polylines(drawn, [corners], True, COPY.line, LINE, cv2.LINE_AA)
    return drawn


def _laid(here: Pixels, there: Pixels, warp: Matrix) -> Pixels:
    """The picture on the source: alternating blocks where both are, the source in grey where it is alone."""
    height, width = there.shape[:2]
    laid = cv2.warpPerspective(here, warp, (width, height), flags=cv2.INTER_LINEAR)
    covered = cv2.warpPerspective(np.full(here.shape[:2], 255, np.uint8), warp, (width, height)) > 127
    block = max(1, -(-max(height, width) // BLOCKS))
    rows, columns = np.indices((height, width)) // block
    own = covered & ((rows + columns) % 2 == 0)
    grey = cv2.cvtColor(cv2.cvtColor(there, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    faded = (grey // 2 + 96).astype(np.uint8)
    return np.where(own[..., None], laid, np.where(covered[..., None], there, faded)).astype(np.uint8)


def _sheet(panels: list[tuple[Pixels, list[str]]]) -> Image.Image:
    lines = max(len(told) for _, told in panels)
    step = round(TEXT * 1.4)
    height = max(pixels.shape[0] for pixels, _ in panels)
    # a narrow picture still has room for its caption
    widths = [max(pixels.shape[1], PANEL // 2) for pixels, _ in panels]
    sheet = Image.new("RGB", (sum(widths) + MARGIN * (len(panels) + 1), height + lines * step + 2 * MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    left = MARGIN
    for (pixels, told), width in zip(panels, widths, strict=True):
        sheet.paste(Image.fromarray(pixels), (left + (width - pixels.shape[1]) // 2, MARGIN))
        for number, line in enumerate(told):
            text = shorten(drawable(line), TEXT, width, keep="end" if number == 0 else "start")
            draw.text((left, height + MARGIN + number * step), text, fill=INK, font=font(TEXT))
        left += width + MARGIN
    return sheet
