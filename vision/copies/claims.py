"""Candidates that stand become hits: the edit named, with a probability, one for each source, best first.

In: evidence and maps, or, where only hashes are known, arrays of candidates. Out: `Hit`s. Pure. `CopyClaim`s are made of hits
where names are known: in the scan and in the index on disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.copies.agree import AGREES, NEUTRAL
from vision.copies.align import project
from vision.copies.hashes import ORIENTATIONS
from vision.copies.verify import PLAIN, Evidence
from vision.errors import UsageError
from vision.values import Box, CopyClaim

MAX_CLAIMS = 20
# The kind of a claim that rests on a person's word alone.
CONFIRMED = "confirmed"

Numbers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

# Nothing is a copy of which less than this agrees: the model has seen hardly any, and would be guessing.
LEAST_SHARE = 0.2
# Where less than this agrees of the whole, as much has to agree in the middle: badges and stickers at the rim are in many
# pictures.
# That costs 8 of 15,022 claims on training pictures, copies under large stickers.
LEAST_MIDDLE = 0.35
# Places of detail under which a picture is taken for a flat drawing; the share that has to agree then, and how well: copies of
# drawn marks reach 1.0 and .99, different marks on the same page .95 and .95.
LEAST_DETAIL, FLAT_AGREES = 8, 0.97
# Share of the places of a small part that have to show detail: of flat drawings an eighth to a third does, of photographs nearly
# all. The logo cut out of one drawing of a mark is in all the others.
LEAST_DETAILED = 0.5
# What has to agree of two pictures, and of the middle, where less than that shows detail. The banners of a shop are alike around
# all its goods: of 910 pairs of different goods and photographs in five such layouts 315 were claimed without this bar, 12 with
# it, all of them shoes in one pose. It costs 3 of 5,104 claims on copies of photographs.
LEAST_OF_FLAT = 0.8
# Pixels of a picture of 320 by which places miss the map in no copy: of 15,022 claimed of training pictures none was off by more.
# Two lines of small type can be laid on each other so.
MOST_OFF = 3.0
# From which share on a picture is told to be all there: JPEG, scaling and the map's own error take a few percent.
WHOLE = 0.93
# Under this share of the picture, a source that is all there is one thing among others.
INSET = 0.45
# Degrees, and relative change of shape, that are told.
TURNED, STRETCHED = 1.0, 1.06
# Kinds without a map that become another one when the pictures change places; the other turns and mirrorings undo themselves.
_TURNED_BACK = {"rotate90": "rotate270", "rotate270": "rotate90"}
# The map of a picture onto itself.
_UNMOVED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# From the centres of pixels to their outer edges.
_HALF = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
# A map that moves a corner by this share of the sides from where the best affine map puts it shows a photo taken at an angle.
TILTED = 0.02


def is_identical(claim: CopyClaim) -> bool:
    """Whether a claim rests on the same bytes: nothing else is as sure."""
    return claim.transform == _UNMOVED and claim.probability >= _calibration()["probability"]["identical"]


def check_limit(limit: int | None) -> None:
    """Raises UsageError (bad_option) for a number of claims under 1."""
    if limit is not None and limit < 1:
        raise UsageError("bad_option", f"a limit of {limit} claims", hint="1 or more")


@dataclass(frozen=True, slots=True)
class Hit:
    """One source that a picture is a copy of.

    entry: its number among the references. transform: (3, 3) row by row, pixels of the picture at full scale to those of the
    source. box, source_box: around what both show, xyxy pixels at full scale. coverage: share of the source that is seen.
    identical: the same bytes.
    """

    entry: int
    kind: str
    distance: int
    probability: float
    transform: tuple[float, ...] | None = None
    box: Box | None = None
    source_box: Box | None = None
    coverage: float | None = None
    identical: bool = False

    def to_claim(
        self,
        *,
        source: str,
        index: str,
        size: tuple[int, int],
        source_size: tuple[int, int],
        first_seen: str | None = None,
        owner: str | None = None,
    ) -> CopyClaim:
        """The claim for a picture of (width, height) `size` on one of `source_size`.

        Hashes of whole pictures say that all of one is in all of the other, so both boxes are whole; of one of which nothing
        but its hash is known (its size is 0) there is no box, nor of two of which a person alone said that they are copies.
        """
        by_hash = self.transform is None and self.kind != CONFIRMED
        return CopyClaim(
            source=source,
            index=index,
            kind=self.kind,
            distance=self.distance,
            probability=self.probability,
            box=_whole(size) if by_hash else self.box,
            source_box=_whole(source_size) if by_hash else self.source_box,
            first_seen=first_seen,
            owner=owner,
            transform=_UNMOVED if self.identical else self.transform,
            coverage=1.0 if self.identical else self.coverage,
        )


FEATURES = (
    "detail",
    "support",
    "share",
    "fidelity",
    "windows",
    "ground",
    "covered",
    "distance",
    "bits",
    "off",
    "middle",
    "here",
    "there",
    "clash",
)
# Standard deviations beyond which a feature is taken for one that lies there: the model has seen hardly any.
FURTHEST = 4.0


def evidence_features(evidence: Evidence) -> Doubles:
    """(14,) float64: evidence as the logistic model takes it, one number for each of `FEATURES`.

    Counts and pixels by their logarithm (of one more), shares of what is seen by their log odds, bits in halves of a byte,
    distance in halves of a hash; the shares of the two pictures that the overlap covers by their logarithm, and the larger one
    as it is (covered).
    """
    return np.array(
        [
            math.log1p(evidence.detail),
            math.log1p(evidence.support),
            _log_odds(evidence.share, 0.02, 0.98),
            _log_odds((evidence.fidelity - AGREES) / (1 - AGREES), 0.05, 0.97),
            math.log1p(evidence.windows),
            evidence.ground,
            max(evidence.here, evidence.there),
            min(evidence.distance, 128) / 128,
            evidence.bits / 16,
            math.log1p(evidence.off),
            _log_odds(evidence.middle, 0.02, 0.98),
            math.log(max(evidence.here, 0.02)),
            math.log(max(evidence.there, 0.02)),
            _log_odds(evidence.clash, 0.02, 0.98),
        ]
    )


def quadratic(features: Doubles, mean: Doubles, deviation: Doubles) -> Doubles:
    """(…, 119) float64: (…, 14) features in standard deviations, then all their products by twos, each with itself too."""
    z = np.clip((features - mean) / deviation, -FURTHEST, FURTHEST)
    first, second = np.triu_indices(z.shape[-1])
    return np.concatenate([z, z[..., first] * z[..., second]], axis=-1)


def _log_odds(share: float, least: float, most: float) -> float:
    share = min(max(share, least), most)
    return math.log(share / (1 - share))


def probability_of(evidence: Evidence) -> float:
    """How often a claim with such evidence is right; `calibration.json` says how that was measured.

    Text, icons and flat drawings have their corners in common, so with hardly any detail nearly all of it has to agree.
    A small part of a picture, alone, is told from other pictures as surely as that picture is where the part is pasted: the
    model learned from few such crops and many such insets, so of a crop it is asked both ways round.
    """
    if ruled_out(evidence):
        return 0.0
    return max(_fitted(evidence), _fitted_as_inset(evidence))


def is_small_crop(evidence: Evidence) -> bool:
    """Whether a claim stands only when it is asked the other way round: the picture is a small part of its source."""
    return _fitted(evidence) < bar() <= _fitted_as_inset(evidence)


def _fitted_as_inset(evidence: Evidence) -> float:
    """The probability that the source is the picture with something around it; 0 where it is not all there, or a flat drawing."""
    if evidence.here < WHOLE or evidence.detail < LEAST_DETAILED * evidence.support:
        return 0.0
    return _fitted(replace(evidence, here=evidence.there, there=evidence.here))


def _fitted(evidence: Evidence) -> float:
    model = _model()
    z = float(model.weights @ quadratic(evidence_features(evidence), model.mean, model.deviation)) + model.bias
    return float(min(1 / (1 + math.exp(-max(min(z, 50.0), -50.0))), model.at_most))


def ruled_out(evidence: Evidence) -> bool:
    """Whether too little agrees for any claim, whatever the model says."""
    doubtful = evidence.detail < LEAST_DETAIL or evidence.off > MOST_OFF
    little = evidence.share < LEAST_SHARE or max(evidence.share, evidence.middle) < LEAST_MIDDLE
    middle = evidence.share if evidence.middle == NEUTRAL else evidence.middle  # an empty one says nothing
    is_flat = evidence.detail < LEAST_DETAILED * evidence.support
    doubtful |= is_flat and min(evidence.share, middle) < LEAST_OF_FLAT
    return little or (doubtful and not all_agrees(evidence))


def all_agrees(evidence: Evidence) -> bool:
    """Whether nearly all agrees, and nearly perfectly, as it has to where a flat drawing is all there is."""
    return min(evidence.share, evidence.fidelity) >= FLAT_AGREES


def bar() -> float:
    """The probability from which on a claim is made: the shipped operating point."""
    return _model().bar


def hit_of(
    entry: int,
    distance: int,
    probability: float,
    matrix: Doubles,
    size: tuple[int, int],
    source: tuple[int, int],
    recoloured: bool = False,
) -> Hit:
    """A hit by its map. matrix: (3, 3), full-scale pixels of a picture of (w, h) `size` to those of the source."""
    box, source_box, here, there = overlap(matrix, size, source)
    return Hit(
        entry,
        name_edit(matrix, size, source, here, there, recoloured),
        distance,
        round(probability, 4),
        tuple(round(float(v), 9) for v in (matrix / matrix[2, 2]).ravel()),
        box,
        source_box,
        round(there, 3),
    )


def reversed_claim(claim: CopyClaim, size: tuple[int, int], source: tuple[int, int], name: str) -> CopyClaim:
    """The claim that the source was made from the picture: the edit that does it, and where both boxes lie.

    size, source: (w, h) of the picture and of the source of the claim. name: of the picture. Without a map only turns change
    their names. Who owns the picture, and since when it is known, the claim does not tell.
    """
    told = replace(claim, source=name, box=claim.source_box, source_box=claim.box, first_seen=None, owner=None)
    if claim.transform is None or not all((*size, *source)):
        return replace(told, kind=_TURNED_BACK.get(claim.kind, claim.kind), transform=None, coverage=None)
    matrix: Doubles = np.asarray(np.linalg.inv(np.reshape(claim.transform, (3, 3))), dtype=np.float64)
    hit = hit_of(0, claim.distance, claim.probability, matrix, source, size, "recolour" in claim.kind.split("+"))
    return replace(
        told,
        kind=hit.kind,
        box=hit.box,
        source_box=hit.source_box,
        transform=hit.transform,
        coverage=hit.coverage,
    )


def overlap(
    matrix: Doubles, size: tuple[int, int], source: tuple[int, int]
) -> tuple[Box | None, Box | None, float, float]:
    """What both pictures show: the box around it in each, and its share of each; nothing and 0 when they do not meet."""
    import cv2

    # maps take centres of pixels to each other, boxes count from outer edges
    matrix = _HALF @ matrix @ np.linalg.inv(_HALF)
    corners = project(matrix, _corners(size)).astype(np.float32)
    frame = _corners(source).astype(np.float32)
    area, shared = cv2.intersectConvexConvex(corners, frame)
    whole = abs(float(cv2.contourArea(corners)))
    if shared is None or area <= 0 or whole <= 0:
        return None, None, 0.0, 0.0
    there: Doubles = np.asarray(shared, dtype=np.float64).reshape(-1, 2)
    here = project(np.asarray(np.linalg.inv(matrix), dtype=np.float64), there)
    return (
        _around(here, size),
        _around(there, source),
        min(1.0, float(area) / whole),
        min(1.0, float(area) / (source[0] * source[1])),
    )


def name_edit(
    matrix: Doubles,
    size: tuple[int, int],
    source: tuple[int, int],
    here: float,
    there: float,
    recoloured: bool = False,
) -> str:
    """What was done to the source, in words joined by "+"; "same" when its pixels lie where they were.

    mirror (left to right, before any turn), rotateN (clockwise, whole degrees), stretch (its shape changed), tilt (seen at an
    angle), crop (less than WHOLE of the source is there), inset or frame (the source is a small part, or not quite all, of the
    picture), recolour (most of what has a colour has another one).
    """
    affine, tilted = _affine_part(matrix, size, source)
    # the copy's own map: from the source to the picture
    made = np.linalg.inv(affine)
    mirrored = np.linalg.det(made) < 0
    turn = made @ np.diag([-1.0, 1.0]) if mirrored else made
    left, scales, right = np.linalg.svd(turn)
    angle = math.degrees(math.atan2(*(left @ right)[[1, 0], 0])) % 360
    words = ["mirror"] if mirrored else []
    if TURNED <= angle <= 360 - TURNED:
        words.append(f"rotate{round(angle) % 360}")
    if scales[0] > STRETCHED * scales[1]:
        words.append("stretch")
    if tilted:
        words.append("tilt")
    if there < WHOLE:
        words.append("crop")
    if here < WHOLE:
        words.append("inset" if here < INSET else "frame")
    if recoloured:
        words.append("recolour")
    return "+".join(words) or "same"


def _affine_part(matrix: Doubles, size: tuple[int, int], source: tuple[int, int]) -> tuple[Doubles, bool]:
    """(2, 2) linear part of the affine map nearest to a homography over the picture, and whether it is far from it."""
    corners = _corners(size)
    mapped = project(matrix, corners)
    centred = corners - corners.mean(axis=0)
    linear = np.linalg.lstsq(centred, mapped - mapped.mean(axis=0), rcond=None)[0].T
    off = np.abs(mapped - mapped.mean(axis=0) - centred @ linear.T).max()
    return np.asarray(linear, dtype=np.float64), bool(off > TILTED * max(source))


def _corners(size: tuple[int, int]) -> Doubles:
    width, height = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)


def _around(places: Doubles, size: tuple[int, int]) -> Box:
    left, top = (float(v) for v in np.clip(places.min(axis=0), 0, size))
    right, bottom = (float(v) for v in np.clip(places.max(axis=0), 0, size))
    return (round(left, 1), round(top, 1), round(right, 1), round(bottom, 1))


def hash_hits(
    orientation: Numbers,
    entry: Numbers,
    distance: Numbers,
    plain: Numbers,
    identical: npt.NDArray[np.bool_],
) -> list[Hit]:
    """(k,) arrays of candidates that stand by their hashes to one hit an entry, in no particular order.

    An entry that stands in several orientations counts in its nearest one; a picture that is its own mirror image is "same".
    """
    first = np.lexsort((orientation, distance, ~identical, entry))
    _, best = np.unique(entry[first], return_index=True)
    best = first[best]
    sure = probabilities(distance[best], plain[best], identical[best])
    return [
        Hit(int(entry[i]), ORIENTATIONS[orientation[i]], int(distance[i]), float(p), identical=bool(identical[i]))
        for i, p in zip(best, sure, strict=True)
    ]


def ordered(hits: list[Hit], limit: int | None) -> list[Hit]:
    """Best first: surest, then nearest, then the entry added first; at most `limit`, the one added first of all among them
    where that is more than one.
    """
    found = sorted(hits, key=lambda hit: (-hit.probability, hit.distance, hit.entry))
    if limit is None or len(found) <= limit or limit == 1:
        return found[:limit]
    earliest = min(hits, key=lambda hit: hit.entry)
    return found[:limit] if earliest in found[:limit] else [*found[: limit - 1], earliest]


def within(hits: Iterable[Hit], radius: int) -> int:
    """How many sources are near as wholes: within so many bits by their hashes."""
    return sum(hit.distance <= radius for hit in hits)


def probabilities(distance: Numbers, plain: Numbers, identical: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How often a claim by hashes alone is right, for (k,) distances in bits, percent of plain ground (the higher one) and
    same bytes.

    Read from `calibration.json`, which says how it was measured and for which share of copies among the pictures it holds.
    """
    table = _calibration()["probability"]
    photo, page = np.asarray(table["photo"]), np.asarray(table["plain"])
    step = np.minimum(distance, len(photo) - 1)
    return np.where(identical, table["identical"], np.where(plain < PLAIN, photo[step], page[step]))


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """The logistic model of the evidence: (14,) mean and deviation of the features, (119,) weights of `quadratic`."""

    mean: Doubles
    deviation: Doubles
    weights: Doubles
    bias: float
    bar: float
    at_most: float


@cache
def _model() -> _Model:
    table = _calibration()["local"]
    mean, deviation, weights = (np.array(table[name], dtype=np.float64) for name in ("mean", "deviation", "weights"))
    return _Model(mean, deviation, weights, table["bias"], table["bar"], table["at_most"])


@cache
def _calibration() -> dict[str, Any]:
    text = resources.files("vision.copies").joinpath("calibration.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _whole(size: tuple[int, int]) -> Box | None:
    return None if 0 in size else (0.0, 0.0, float(size[0]), float(size[1]))
