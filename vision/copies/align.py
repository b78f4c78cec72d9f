"""Two sets of local features: is there one map that takes many features of the query to their like in the reference?

In: the features of a query and of a reference. Out: an `Alignment` or null. Pure, and without chance: each pair of like
features says
by its places, scales and angles how all of the query would lie on the reference, so that every pair is tried, mirrored and not,
and the map with the most pairs behind it is fitted to them. So there is no sampling, and the same input gives the same map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.copies.index import hamming
from vision.copies.local import BITS, LocalFeatures

Numbers = npt.NDArray[np.int64]
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

    matrix: (3, 3) float64, pixels of the query's described plane to those of the reference's, affine or a homography.
    mirrored: it
    turns left to right. query, reference: (k,) places of the features that agree with it. support: how many places apart agree;
    detail: how many of these show more than two tones, so that they are neither text nor a flat drawing. bits: the median by
    which their bits differ; off: the median, in pixels of the reference, by which the map misses them.
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
    scale = (reference.scale[second] / query.scale[first]).astype(np.float64)
    best: Alignment | None = None
    for mirrored in (False, True):
        side = np.array([-1.0, 1.0]) if mirrored else np.ones(2)
        angle = query.angle[first].astype(np.float64)
        turn = reference.angle[second] - (np.pi - angle if mirrored else angle)
        near = _agreeing(from_xy * side, to_xy, scale, turn)
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
    places = project(rough.matrix, query.xy.astype(np.float64))
    to_xy = reference.xy.astype(np.float64)
    off = np.hypot(*(places[:, None] - to_xy[None]).transpose(2, 0, 1))
    first, second = np.nonzero(off < GUIDED_WITHIN)
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
    bent = _homography(from_xy, to_xy[second])
    if bent is not None and np.median(_off(bent, from_xy, to_xy[second])) < BENT_GAIN * np.median(error):
        matrix, error = bent, _off(bent, from_xy, to_xy[second])
    distance = hamming(query.rows["bits"][first], reference.rows["bits"][second])
    kept = (error < FIT_WITHIN[-1]) & (distance <= SURE_DISTANCE)
    first, second = first[kept], second[kept]
    if len(first) < LEAST_PAIRS:
        return rough
    detailed = query.detailed[first]
    return Alignment(
        matrix,
        rough.mirrored,
        first,
        second,
        _both_apart(query, reference, first, second),
        _both_apart(query, reference, first[detailed], second[detailed]),
        float(np.median(distance[kept])),
        float(np.median(error[kept])),
    )


def _both_apart(query: LocalFeatures, reference: LocalFeatures, first: Numbers, second: Numbers) -> int:
    return min(_apart(query.xy[first].astype(np.float64)), _apart(reference.xy[second].astype(np.float64)))


def _homography(from_xy: Doubles, to_xy: Doubles) -> Doubles | None:
    """The (3, 3) homography of least squares; null when there are too few places or it turns the picture inside out."""
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
    return np.asarray(found, dtype=np.float64) if (depth > 0.3).all() and (depth < 3).all() else None


def project(matrix: Doubles, xy: Doubles) -> Doubles:
    """(n, 2) places after a (3, 3) map."""
    mapped = xy @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:], dtype=np.float64)


def _off(matrix: Doubles, from_xy: Doubles, to_xy: Doubles) -> Doubles:
    return np.asarray(np.hypot(*(project(matrix, from_xy) - to_xy).T), dtype=np.float64)


def alike(query: LocalFeatures, reference: LocalFeatures) -> tuple[Numbers, Numbers]:
    """Places of features that are each other's nearest, at most MAX_DISTANCE bits apart, the nearest MAX_PAIRS."""
    import cv2

    if not len(query) or not len(reference):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    bits = [np.ascontiguousarray(f.rows["bits"]) for f in (query, reference)]
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(*bits)
    table = np.array([(p.queryIdx, p.trainIdx, p.distance) for p in pairs], dtype=np.int64).reshape(-1, 3)
    table = table[np.argsort(table[:, 2], kind="stable")[:MAX_PAIRS]]
    table = table[table[:, 2] <= MAX_DISTANCE]
    return table[:, 0], table[:, 1]


def _agreeing(from_xy: Doubles, to_xy: Doubles, scale: Doubles, turn: Doubles) -> Flags:
    """(k, k): whether pair j lies where the similarity of pair i puts it, with about its scale and angle."""
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    x, y = from_xy.T
    shift_x, shift_y = to_xy[:, 0] - (cos * x - sin * y), to_xy[:, 1] - (sin * x + cos * y)
    off_x = cos[:, None] * x - sin[:, None] * y + shift_x[:, None] - to_xy[:, 0]
    off_y = sin[:, None] * x + cos[:, None] * y + shift_y[:, None] - to_xy[:, 1]
    away = np.hypot(to_xy[:, None, 0] - to_xy[None, :, 0], to_xy[:, None, 1] - to_xy[None, :, 1])
    octaves = np.abs(np.subtract.outer(np.log2(scale), np.log2(scale)))
    angles = np.abs((np.subtract.outer(turn, turn) + np.pi) % (2 * np.pi) - np.pi)
    close = np.hypot(off_x, off_y) < ROUGH + ROUGH_SHARE * away
    return np.asarray(close & (angles < ROUGH_ANGLE) & (octaves < ROUGH_OCTAVES), dtype=np.bool_)


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
    middle, target = from_xy.mean(axis=0), to_xy.mean(axis=0)
    a, b = from_xy - middle, to_xy - target
    flipped = a * side
    total = max(float((a * a).sum()), 1e-9)
    cos = float((flipped * b).sum()) / total
    sin = float((flipped[:, 0] * b[:, 1] - flipped[:, 1] * b[:, 0]).sum()) / total
    similarity = np.array([[cos, -sin], [sin, cos]]) * side
    weight = 3 * total / len(a)
    linear = (b.T @ a + weight * similarity) @ np.linalg.inv(a.T @ a + weight * np.eye(2))
    return np.concatenate([linear, (target - linear @ middle)[:, None]], axis=1)


def _apart(xy: Doubles) -> int:
    """How many cells of APART pixels hold a place."""
    cells = np.rint(xy / APART).astype(np.int64)
    return len(np.unique(cells[:, 0] * 65536 + cells[:, 1]))
