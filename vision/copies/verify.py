"""A candidate was found; what must agree before it may be called a copy?

In: the query, what a candidate kept. Out: `Evidence`. Pure. Local features have to lie on one another by one map, and under that
map what both show has to agree wherever they show something: corners alone agree also between different pictures in the same
frame, with the same caption, sticker or logo. So the evidence says how many places agree, how many of these are neither text nor
a flat drawing, and how much of all that is seen agrees.

Where only hashes are known (lists of others), two things are asked: that the hash is evidence at all (PDQ's quality), and, where
most of a picture is one plain ground, that what stands on the ground agrees as well. The hash of a whole page with a small mark
on it says little more than where the mark is: of 2,000 different marks of 100 px on a white page of 400 px, 3,687 pairs lie
within 31 bits in one of the eight orientations, whatever their quality.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.copies.agree import WINDOW, agree
from vision.copies.align import ROUGH, Alignment, align, project, refined
from vision.copies.hashes import ORIENTATIONS
from vision.copies.local import BITS, LocalFeatures, Reference
from vision.geometry import Boxes

# ThreatExchange (pdq/README): match at 31 of 256 bits and less, discard hashes of quality 49 and less.
RADIUS = 31
MIN_QUALITY = 50
# Percent of plain ground from which on the content has to agree too. Marks that fill a page have 58 to 92, packshots 52 to 89
# (5th and 95th percentile), photos 9 to 40.
PLAIN = 50
# What both show agrees in so much that no other map has to be looked for.
ALL_AGREES = 0.9
# Shares that differ by less are the same.
SAME_SHARE = 0.02
# By how much of their longer side the boxes of a detector may be too small.
LOOSE = 0.05
# Levels of Cr and Cb: the one that is grey; how far from it a colour begins; how far apart two are different ones. JPEG and
# light change less.
GREY, COLOURED, OTHER_COLOUR = 128, 12.0, 12.0
# By how much contrast and saturation may make all colours stronger.
STRONGER = 2.5
# Cells of the colour grid that have to be coloured, and how much of one has to be seen.
LEAST_CELLS, MOSTLY = 3, 0.7
# A hash that stands is not contradicted by a look at everything when so much agrees.
MOST_AGREES = 0.8
# Of the 876 pairs with a plain ground that lie within 63 bits (`benchmarks/copies_calibration.py`) none has its contents
# within 31.
CONTENT_RADIUS = 31

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.integer]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a copy.

    support: places apart whose features agree with one map; detail: those of them that are neither text nor flat drawing.
    bits: the median of 128 by which these features differ; off: the median of pixels, of a picture of 320, by which the map
    misses them. Two photos of alike things are further off than copies.
    share: of what either picture shows in the overlap, the part that agrees, 0 to 1; windows: how much that is, in windows of
    9 x 9 pixels of a picture of 128; middle: as share, in the middle of the reference; ground: of what agrees, the share that
    is one plain tone; fidelity: the mean correlation of what agrees, 0.6 to 1; clash: share of what is shown where both pictures
    show something, and not the same.
    here, there: share of the query, and of the reference, that the overlap covers.
    distance: Hamming bits between the hashes of the whole pictures, the least of eight orientations, 0 to 256.
    """

    support: int
    detail: int
    bits: float
    off: float
    share: float
    windows: float
    ground: float
    middle: float
    fidelity: float
    clash: float
    here: float
    there: float
    distance: int


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """Evidence with the (3, 3) float64 map from pixels of the query's described plane to those of the reference's.

    agrees, shows: (h, w) flags over the reference's small picture, where both show the same, where one of them shows anything.
    """

    evidence: Evidence
    matrix: Doubles
    agrees: Flags
    shows: Flags

    @property
    def whole(self) -> bool:
        """All of one picture is all of the other."""
        seen = self.evidence
        return min(seen.here, seen.there, seen.share) > ALL_AGREES


def examine(
    query: LocalFeatures, reference: Reference, distance: int, orientation: int | None = None
) -> Examined | None:
    """Lay a query on a reference and gather the evidence; null when there is no map to lay it by.

    distance: bits between the whole pictures. orientation: place in `ORIENTATIONS` of the whole picture's match, if there is one:
    tried when no features agree, as in pictures with hardly any corners.
    """
    judged = None if orientation is None else _judge_whole(query, reference, orientation, distance)
    if judged is not None and judged.evidence.share > ALL_AGREES:
        return judged
    found = align(query, reference.features)
    other = None if found is None else _judge(query, reference, found, distance)
    return max((one for one in (judged, other) if one is not None), key=lambda one: one.evidence.share, default=None)


def _judge_whole(query: LocalFeatures, reference: Reference, orientation: int, distance: int) -> Examined:
    """All of the one laid on all of the other, as the features that agree with it would have it, if any do.

    Straight, when nearly all agrees so and no worse than by the features: those of a soft picture may all lie in one corner.
    """
    there = reference.features
    matrix = whole_map(orientation, (query.width, query.height), (there.width, there.height))
    plain = Alignment(matrix, "mirror" in ORIENTATIONS[orientation], _NOTHING, _NOTHING, 0, 0, BITS / 2, ROUGH)
    found = refined(query, there, plain)
    judged = _judge(query, reference, found, distance)
    straight = _judge(query, reference, replace(found, matrix=matrix), distance)
    least = max(ALL_AGREES, judged.evidence.share - SAME_SHARE)
    is_straight = straight.evidence.share > least and straight.evidence.fidelity >= judged.evidence.fidelity
    return straight if is_straight else judged


def _judge(query: LocalFeatures, reference: Reference, found: Alignment, distance: int) -> Examined:
    if query.plane is None:
        raise ValueError("features that were read back cannot be a query")
    there = reference.features
    seen = agree(query.plane, resized(there, reference.thumbnail) @ found.matrix, reference.thumbnail)
    evidence = Evidence(
        found.support,
        found.detail,
        found.bits,
        found.off,
        seen.share,
        seen.windows,
        seen.ground,
        seen.middle,
        seen.fidelity,
        seen.clash,
        seen.here,
        seen.there,
        distance,
    )
    return Examined(evidence, found.matrix, seen.agrees, seen.shows)


def agrees_outside(examined: Examined, reference: Reference, boxes: Boxes) -> tuple[float, float]:
    """How much agrees outside of (n, 4) xyxy boxes in pixels of the query's described plane: in windows of 9 x 9 pixels, and as
    share of what is shown there, 0 to 1.

    A window agrees by its centre: those that reach into a box do not count.
    """
    import cv2

    inside = np.zeros(examined.agrees.shape, dtype=np.uint8)
    matrix = resized(reference.features, reference.thumbnail) @ examined.matrix
    for left, top, right, bottom in boxes:
        rim = LOOSE * max(right - left, bottom - top)
        corners = np.array(
            [(x, y) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))], dtype=np.float64
        )
        corners += np.array([(-rim, -rim), (rim, -rim), (rim, rim), (-rim, rim)])
        cv2.fillConvexPoly(inside, np.rint(project(matrix, corners)).astype(np.int32), 1)
    inside = np.asarray(cv2.dilate(inside, np.ones((WINDOW, WINDOW), dtype=np.uint8)), dtype=np.uint8)
    agrees = float((examined.agrees & (inside == 0)).sum())
    return agrees / WINDOW**2, agrees / max(1.0, float((examined.shows & (inside == 0)).sum()))


def recoloured(query: LocalFeatures, reference: Reference, examined: Examined) -> bool:
    """Whether what agrees has other colours: a copy that was recoloured, or the same product in another colour.

    Colours that are only stronger, weaker or gone are not others. False where one of them did not keep its colours. Cells of the
    reference that show something else are passed over.
    """
    import cv2

    there = reference.features
    if query.colours is None or there.colours is None:
        return False
    side = there.colours.shape[0]
    fine = query.colours.shape[:2]
    # from cells of the query to as fine ones of the reference, by way of the described planes
    matrix = scaling((there.width, there.height), fine) @ examined.matrix @ scaling(fine, (query.width, query.height))
    laid = cv2.warpPerspective(query.colours.astype(np.float32) - GREY, matrix, fine)
    seen = cv2.warpPerspective(np.ones(fine, dtype=np.float32), matrix, fine)
    disagrees = (examined.shows & ~examined.agrees).astype(np.float32)
    laid, seen, disagrees = (
        cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in (laid, seen, disagrees)
    )
    compared = (seen > MOSTLY) & (disagrees < 1 - MOSTLY)
    here, kept = laid[compared].astype(np.float64), there.colours[compared].astype(np.float64) - GREY
    # contrast and saturation make all colours stronger or weaker alike
    stronger = np.clip((here * kept).sum() / max((kept * kept).sum(), 1.0), 0, STRONGER)
    coloured = np.maximum(np.hypot(*here.T), np.hypot(*kept.T)) > COLOURED
    other = np.hypot(*(here - stronger * kept).T)[coloured] > OTHER_COLOUR
    return bool(len(other) >= LEAST_CELLS and other.mean() > 0.5)


def resized(features: LocalFeatures, thumbnail: npt.NDArray[np.uint8]) -> Doubles:
    """(3, 3) from pixels of a described plane to those of its thumbnail."""
    return scaling((features.width, features.height), (thumbnail.shape[1], thumbnail.shape[0]))


def scaling(size: tuple[int, int], to: tuple[int, int]) -> Doubles:
    """(3, 3) from pixels of a plane of (w, h) to those of the same plane brought to another size; centres at whole numbers."""
    across, down = to[0] / size[0], to[1] / size[1]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1.0]])


def whole_map(orientation: int, size: tuple[int, int], to: tuple[int, int]) -> Doubles:
    """(3, 3) that lays all of a picture of (w, h) on all of another, flipped and transposed as `ORIENTATIONS` says."""
    flip_x, flip_y, transpose = orientation & 1, orientation >> 1 & 1, orientation >> 2
    width, height = size
    turned = np.array(
        [
            [-1.0 if flip_x else 1.0, 0, width - 1 if flip_x else 0],
            [0, -1.0 if flip_y else 1.0, height - 1 if flip_y else 0],
            [0, 0, 1.0],
        ]
    )
    if transpose:
        turned = np.array([[0, 1.0, 0], [1.0, 0, 0], [0, 0, 1.0]]) @ turned
        width, height = height, width
    return np.asarray(scaling((width, height), to) @ turned, dtype=np.float64)


def stands(
    quality: Numbers, plain: Numbers, content_distance: npt.NDArray[np.floating] | Numbers, identical: Flags
) -> Flags:
    """Which candidates may be claimed by their hashes alone.

    quality: the lower one of the two pictures, 0 to 100. plain: the higher one, percent. content_distance: Hamming bits between
    the hashes of what stands on the ground, in the orientation of the match; over 256 when one has none. identical: the same
    bytes, which stand whatever their hash is worth. All of one length.
    """
    evidence = (quality >= MIN_QUALITY) & ((plain < PLAIN) | (content_distance <= CONTENT_RADIUS))
    return np.asarray(identical | evidence, dtype=np.bool_)


_NOTHING = np.zeros(0, dtype=np.int64)
