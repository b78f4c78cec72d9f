"""Two sets of local features: is there one map that takes many features of the query to their like in the reference?

In: the features of a query and of a reference. Out: an `Alignment` or null. Pure, and without chance: each pair of like features
says by its places, scales and angles how all of the query would lie on the reference, so that every pair is tried, mirrored and
not, and the map with the most pairs behind it is fitted to them. So there is no sampling, and the same input gives the same map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.copies.index import hamming, nearest_bits
from vision.copies.keypoints import STEP
from vision.copies.local import BITS, LocalFeatures

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Bits by which two features may differ and still be alike; unrelated ones are 45 to 80 of 128 apart.
MAX_DISTANCE = 40
# Pairs that are tried, the nearest ones: a true copy has a few dozen among these.
MAX_PAIRS = 100
LEAST_PAIRS = 4
# A single pair places the rest roughly: pixels of the reference near it, and a share of the distance to it.
ROUGH, ROUGH_SHARE = 8.0, 0.22
ROUGH_ANGLE, ROUGH_OCTAVES = 0.6, 1.1
# Pixels that a fitted map may be off by, from the first fit to the last.
FIT_WITHIN = (14.0, 9.0, 7.0, 6.0)
# Maps tried further, the best first, mirrored and not.
TRIED = 3
# What is no plain copy: shrunk or enlarged beyond this, or squeezed by more in one direction than in the other.
LEAST_SCALE, MOST_SCALE, MOST_SQUEEZE = 0.08, 10.0, 2.6
# Once the map is known: pixels and bits by which features may differ and still be the same.
GUIDED_WITHIN, GUIDED_DISTANCE = 9.0, 48
# What counts as support must be nearer than that: among so few places a texture finds something like it anywhere.
SURE_DISTANCE = 28
# A homography needs this many pairs, and has to bring the median error down to this share.
BENT_PAIRS, BENT_GAIN = 24, 0.8
# Features nearer together than this, in pixels, are one: levels of the same corner.
APART = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How a query lies on a reference.

    matrix: (3, 3) float64, pixels of the query's described plane to those of the reference's, affine or a homography. mirrored:
    it turns left to right. query, reference: (k,) places of the features that agree with it. support: how many places apart
    agree; detail: how many of these show more than two tones, so that they are neither text nor a flat drawing. bits: the median
    by which their bits differ; off: the median, in pixels of the reference, by which the map misses them.
    """

    matrix: Doubles
    mirrored: bool
    query: Numbers
    reference: Numbers
    support: int
    detail: int
    bits: float
    off: float


def align(query: LocalFeatures, reference: LocalFeatures) -> Alignment | None:
    """The map with the most features behind it; null when no four places agree on one."""
    first, second = alike(query, reference)
    if len(first) < LEAST_PAIRS:
        return None
    from_xy, to_xy = query.xy[first].astype(np.float64), reference.xy[second].astype(np.float64)
    octaves = (reference.level[second].astype(np.float32) - query.level[first]) * np.float32(np.log2(STEP))
    alike_in_scale = np.abs(octaves[:, None] - octaves) < ROUGH_OCTAVES
    reach = np.square(ROUGH + ROUGH_SHARE * _distances(to_xy.astype(np.float32)))
    angle = query.angle[first]
    best: Alignment | None = None
    for mirrored in (False, True):
        side = np.array([-1.0, 1.0]) if mirrored else np.ones(2)
        turn = reference.angle[second] - (np.float32(np.pi) - angle if mirrored else angle)
        near = alike_in_scale & _agreeing(
            (from_xy * side).astype(np.float32), to_xy.astype(np.float32), octaves, turn, reach
        )
        counts = near.sum(axis=1)
        for start in np.argsort(-counts, kind="stable")[:TRIED]:
            if counts[start] < LEAST_PAIRS or (best is not None and counts[start] <= best.support // 2):
                break
            found = _fit(from_xy, to_xy, side, near[start])
            if found is None:
                continue
            matrix, kept = found
            support = min(_apart(from_xy[kept]), _apart(to_xy[kept]))
            if support >= LEAST_PAIRS and (best is None or support > best.support):
                best = Alignment(matrix, mirrored, first[kept], second[kept], support, 0, BITS / 2, ROUGH)
    return None if best is None else refined(query, reference, best)


def refined(query: LocalFeatures, reference: LocalFeatures, rough: Alignment) -> Alignment:
    """The same map, fitted to all features that it brings near a like one; a homography where that fits clearly better."""
    to_xy = reference.xy.astype(np.float64)
    first, second = _near_each_other(project(rough.matrix, query.xy.astype(np.float64)), to_xy, GUIDED_WITHIN)
    scale = np.sqrt(abs(float(np.linalg.det(rough.matrix[:2, :2]))))
    octaves = np.abs(np.log2(reference.scale[second] / (query.scale[first] * scale)))
    distance = hamming(query.rows["bits"][first], reference.rows["bits"][second])
    like = (octaves < ROUGH_OCTAVES) & (distance <= GUIDED_DISTANCE)
    first, second, distance = first[like], second[like], distance[like]
    # each feature once: the nearest pairs choose first
    order = np.argsort(distance, kind="stable")
    _, once = np.unique(first[order], return_index=True)
    order = order[np.sort(once)]
    _, once = np.unique(second[order], return_index=True)
    order = order[np.sort(once)]
    first, second = first[order], second[order]
    if len(first) < max(LEAST_PAIRS, len(rough.query) // 2):
        first, second = rough.query, rough.reference
    if len(first) < LEAST_PAIRS:
        return rough
    from_xy = query.xy[first].astype(np.float64)
    matrix = np.eye(3)
    side = np.array([-1.0, 1.0]) if rough.mirrored else np.ones(2)
    matrix[:2] = fit_affine(from_xy, to_xy[second], side)
    error = _off(matrix, from_xy, to_xy[second])
    bent = _homography(from_xy, to_xy[second], (query.width, query.height))
    if bent is not None and np.median(_off(bent, from_xy, to_xy[second])) < BENT_GAIN * np.median(error):
        matrix, error = bent, _off(bent, from_xy, to_xy[second])
    distance = hamming(query.rows["bits"][first], reference.rows["bits"][second])
    kept = (error < FIT_WITHIN[-1]) & (distance <= SURE_DISTANCE)
    first, second = first[kept], second[kept]
    support = _both_apart(query, reference, first, second)
    if support < LEAST_PAIRS:  # a few of one place hold nothing in the rest of the picture
        return rough
    detailed = query.detailed[first]
    return Alignment(
        matrix,
        rough.mirrored,
        first,
        second,
        support,
        _both_apart(query, reference, first[detailed], second[detailed]),
        float(np.median(distance[kept])),
        float(np.median(error[kept])),
    )


def _both_apart(query: LocalFeatures, reference: LocalFeatures, first: Numbers, second: Numbers) -> int:
    return min(_apart(query.xy[first].astype(np.float64)), _apart(reference.xy[second].astype(np.float64)))


def _homography(from_xy: Doubles, to_xy: Doubles, size: tuple[int, int]) -> Doubles | None:
    """The (3, 3) homography of least squares; null when there are too few places or it turns the picture inside out.

    size: (w, h) of the plane that the places lie on, all of which has to stay in front.
    """
    import cv2

    if len(from_xy) < BENT_PAIRS:
        return None
    found, _ = cv2.findHomography(from_xy, to_xy, 0)
    if found is None:
        return None
    corners = np.array(
        [[x, y] for x in np.percentile(from_xy[:, 0], (0, 100)) for y in np.percentile(from_xy[:, 1], (0, 100))]
    )
    depth = corners @ found[2, :2] + found[2, 2]
    everywhere = np.array([[x, y] for x in (0, size[0]) for y in (0, size[1])]) @ found[2, :2] + found[2, 2]
    sound = (depth > 0.3).all() and (depth < 3).all() and (everywhere > 0.05).all()
    return np.asarray(found, dtype=np.float64) if sound else None


def project(matrix: Doubles, xy: Doubles) -> Doubles:
    """(n, 2) places after a (3, 3) map."""
    mapped = xy @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:], dtype=np.float64)


def _off(matrix: Doubles, from_xy: Doubles, to_xy: Doubles) -> Doubles:
    return np.asarray(np.hypot(*(project(matrix, from_xy) - to_xy).T), dtype=np.float64)


def alike(query: LocalFeatures, reference: LocalFeatures) -> tuple[Numbers, Numbers]:
    """Places of features that are each other's nearest, at most MAX_DISTANCE bits apart, the nearest MAX_PAIRS."""
    if not len(query) or not len(reference):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    apart, second = nearest_bits(query.rows["bits"], reference.rows["bits"])
    _, back = nearest_bits(reference.rows["bits"], query.rows["bits"])
    first = np.flatnonzero(back[second] == np.arange(len(query)))
    second, apart = second[first], apart[first]
    nearest = np.argsort(apart, kind="stable")[:MAX_PAIRS]
    nearest = nearest[apart[nearest] <= MAX_DISTANCE]
    return first[nearest], second[nearest]


def _distances(xy: Floats) -> Floats:
    """(k, k) pixels between places."""
    x, y = xy.T
    return np.asarray(np.sqrt(np.square(x[:, None] - x) + np.square(y[:, None] - y)), dtype=np.float32)


def _near_each_other(first: Doubles, second: Doubles, within: float) -> tuple[Numbers, Numbers]:
    """Places of the first and of the second that are less than so many pixels apart, each with each."""
    (x, y), (to_x, to_y) = first.T.astype(np.float32), second.T.astype(np.float32)
    found = np.nonzero(np.square(x[:, None] - to_x) + np.square(y[:, None] - to_y) < within**2)
    return found[0], found[1]


def _agreeing(from_xy: Floats, to_xy: Floats, octaves: Floats, turn: Floats, reach: Floats) -> Flags:
    """(k, k): whether pair j lies where the similarity of pair i puts it, and is turned about as much.

    octaves, turn: (k,) of each similarity. reach: (k, k) the square of the pixels by which pair j may be off.
    """
    scale, cos, sin = np.exp2(octaves), np.cos(turn), np.sin(turn)
    turned_alike = cos[:, None] * cos + sin[:, None] * sin > np.cos(ROUGH_ANGLE)
    cos, sin = cos * scale, sin * scale
    x, y = from_xy.T
    to_x, to_y = to_xy.T
    off_x = cos[:, None] * x - sin[:, None] * y
    off_y = sin[:, None] * x + cos[:, None] * y
    off_x -= to_x
    off_y -= to_y
    # where each pair itself lies is where its similarity puts it
    off_x -= np.diagonal(off_x)[:, None].copy()
    off_y -= np.diagonal(off_y)[:, None].copy()
    return np.asarray((off_x * off_x + off_y * off_y < reach) & turned_alike, dtype=np.bool_)


def _fit(from_xy: Doubles, to_xy: Doubles, side: Doubles, near: Flags) -> tuple[Doubles, Numbers] | None:
    """The affine map fitted to the pairs near one hypothesis, again and again to those that it fits, ever closer."""
    kept = np.flatnonzero(near)
    matrix = np.eye(3)
    for within in FIT_WITHIN:
        if len(kept) < LEAST_PAIRS or _apart(from_xy[kept]) < LEAST_PAIRS:
            return None
        matrix[:2] = fit_affine(from_xy[kept], to_xy[kept], side)
        off = from_xy @ matrix[:2, :2].T + matrix[:2, 2] - to_xy
        kept = np.flatnonzero(near & (np.hypot(off[:, 0], off[:, 1]) < within))
    large, small = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    if small < LEAST_SCALE or large > MOST_SCALE or large > MOST_SQUEEZE * small or len(kept) < LEAST_PAIRS:
        return None
    return matrix, kept


def fit_affine(from_xy: Doubles, to_xy: Doubles, side: Doubles) -> Doubles:
    """(2, 3) affine map of least squares, drawn towards the best similarity, as three more pairs would draw it.

    side: (1, 1), or (-1, 1) for a map that mirrors. Few or badly placed pairs so cannot shear the picture as they like.
    """
    places = np.concatenate([from_xy, to_xy], axis=1)
    middle = places.sum(axis=0) / len(places)
    places = places - middle
    # all that follows is made of these sums of products; a few numbers are faster without arrays
    (xx, xy, xu, xv), (_, yy, yu, yv) = (places[:, :2].T @ places).tolist()
    flip = float(side[0])
    total = max(xx + yy, 1e-9)
    cos, sin = (flip * xu + yv) / total, (flip * xv - yu) / total
    weight = 3 * total / len(places)
    xx, yy = xx + weight, yy + weight
    xu, yu = xu + weight * cos * flip, yu - weight * sin
    xv, yv = xv + weight * sin * flip, yv + weight * cos
    det = xx * yy - xy * xy
    a, b = (xu * yy - yu * xy) / det, (yu * xx - xu * xy) / det
    c, d = (xv * yy - yv * xy) / det, (yv * xx - xv * xy) / det
    x, y, u, v = middle.tolist()
    return np.array([[a, b, u - a * x - b * y], [c, d, v - c * x - d * y]])


def _apart(xy: Doubles) -> int:
    """How many cells of APART pixels hold a place."""
    cells = np.rint(xy / APART).astype(np.int64)
    return len(set((cells[:, 0] * 65536 + cells[:, 1]).tolist()))
