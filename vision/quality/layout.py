"""Straight lines that cut a picture: bars along its edges, seams and gutters between its parts, the rows of an interface.

Grey pictures come in; the bars and the features that collages and screenshots are told by go out.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from vision.values import Pixels

Lines = npt.NDArray[np.float32]
Bars = tuple[int, int, int, int]

# Levels by which a bar may differ from its own colour: the tolerance of plain ground (signals.GROUND_TOLERANCE).
BAR_TOLERANCE = 12
# Share of the line beyond a bar that must differ from it. A packshot's white margin ends at a few pixels of the product, a frame
# along all of the picture, unless that is dark itself; .3 finds 99 % of the copy battery's letterboxes and of its frames of 15 %,
# and no bar in 188 of its photographs without (.5: 98 %).
STRAIGHT_SHARE = 0.3
# Levels of the range within a line that still counts as plain, and of a step that counts as an edge: above the noise of JPEGs
# of quality 50. Seams of 16 levels and more only, tried too, found fewer collages.
PLAIN_RANGE = 8
EDGE_STEP = 8
# Seams and gutters nearer to the edge than this share of the side are borders.
_MARGIN = 0.06
_PARTS = 4


def borders(grey: Pixels) -> Bars:
    """Rows and columns of uniform bars at the top, bottom, left and right of (h, w) pixels.

    A bar is of one grey within 12 levels and ends on a straight edge, along which the picture differs from it on 30 % at least.
    Rows first and columns of what is left; columns first where no row is a bar. All 0 for a picture of one colour.
    """
    top, bottom = _two_bars(grey)
    left, right = _two_bars(grey[top : len(grey) - bottom].T)
    if (left or right) and not (top or bottom):
        top, bottom = _two_bars(grey[:, left : grey.shape[1] - right])
    return top, bottom, left, right


def _two_bars(lines: Pixels) -> tuple[int, int]:
    first, last = _bar(lines), _bar(lines[::-1])
    # two plain halves are no frame around nothing
    return (first, last) if first + last < len(lines) else (0, 0)


def _bar(lines: Pixels) -> int:
    """How many of the first rows of (n, m) pixels are a uniform bar that ends on a straight edge."""
    colour = int(np.median(lines[0]))
    low, high = max(0, colour - BAR_TOLERANCE), min(255, colour + BAR_TOLERANCE)
    if lines[0].min() < low or lines[0].max() > high:
        return 0
    inside = (lines.min(axis=1) >= low) & (lines.max(axis=1) <= high)
    if inside.all():
        return 0
    count = int(inside.argmin())
    # the reduction may have blended the bar's last row with the first of the picture: look one further
    beyond = lines[min(count + 1, len(lines) - 1)]
    return count if ((beyond < low) | (beyond > high)).mean() >= STRAIGHT_SHARE else 0


def layout(grey: Pixels, bars: Bars) -> npt.NDArray[np.float32]:
    """(56,) features of (h, w) pixels whose bars are known, in the order below; all 0 under 2 pixels a side.

    Seams (24) and gutters (4) of what the bars leave, for the axis that has more of them and the other one; plain lines of
    what they leave (10) and of the whole (10); flatness (8). Mirrored pictures have the same features.
    """
    if min(grey.shape) < 2:
        return np.zeros(56, np.float32)
    top, bottom, left, right = bars
    inner = np.ascontiguousarray(grey[top : grey.shape[0] - bottom, left : grey.shape[1] - right])
    if min(inner.shape) < 2:
        inner = grey
    across = np.ascontiguousarray(inner.T)
    one, other = _seams(inner), _seams(across)
    gap, other_gap = _gutters(inner), _gutters(across)
    plain = _plain_lines(inner)
    return np.concatenate(
        [
            np.maximum(one, other),
            np.minimum(one, other),
            np.maximum(gap, other_gap),
            np.minimum(gap, other_gap),
            plain,
            _plain_lines(grey) if any(bars) else plain,
            _flatness(grey),
        ]
    ).astype(np.float32)


def _seams(grey: Pixels) -> Lines:
    """(12,) how far the best column goes as an edge from top to bottom, beyond what its neighbours do.

    Twice six figures over the picture's four quarters of height; for the first six a quarter counts as much as there is texture
    on both sides of the seam, as between two photographs and not beside a bar or a page.
    """
    height, width = grey.shape
    if height < 24 or width < 48:
        return np.zeros(12, np.float32)
    edges = _by_parts(cv2.absdiff(grey[:, 2:], grey[:, :-2]), EDGE_STEP)
    texture = _by_parts(cv2.absdiff(grey[1:], grey[:-1])[:, 1:-1], EDGE_STEP // 2)
    margin = int(_MARGIN * width)
    # the 17 columns around one, of which a seam takes three, say what is usual there
    beyond = (edges - cv2.blur(edges, (17, 1)))[:, margin : width - margin]
    reach = max(4, int(0.03 * width))  # texture is looked for within this on each side, a gutter of as much left out
    near = cv2.blur(texture, (2 * reach + 1, 1))
    both = np.zeros_like(near)
    both[:, 2 * reach : -2 * reach] = np.minimum(near[:, : -4 * reach], near[:, 4 * reach :])
    both = np.minimum(both / 0.1, 1)[:, margin : width - margin]  # a tenth of the pixels is texture enough
    parts = np.concatenate([_best(beyond * both), _best(beyond)])
    whole = (beyond * both).mean(axis=0)
    edges = edges[:, margin : width - margin]
    parts[4] = (beyond * (both > 0.99)).mean(axis=0).max()
    parts[5] = np.partition(whole, -4)[-4:].mean()
    parts[10], parts[11] = edges.mean(axis=0).max(), edges.min(axis=0).max()
    return parts


def _by_parts(steps: Pixels, least: int) -> Lines:
    """(4, m) share of each column's steps above `least`, in each quarter of the rows."""
    strong = cv2.threshold(steps, least, 1, cv2.THRESH_BINARY)[1]
    cuts = [len(strong) * part // _PARTS for part in range(_PARTS + 1)]
    sums = [cv2.reduce(strong[a:b], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S) / (b - a) for a, b in pairwise(cuts)]
    return np.concatenate(sums).astype(np.float32)


def _best(parts: Lines) -> Lines:
    """Of (4, m), over the columns: the best mean, least, second least and pair of neighbouring quarters; two places free."""
    ranked = np.sort(parts, axis=0)
    pairs = np.minimum(parts[:-1], parts[1:])
    return np.array([parts.mean(axis=0).max(), ranked[0].max(), ranked[1].max(), pairs.max(), 0, 0], np.float32)


def _gutters(grey: Pixels) -> Lines:
    """(2,) 1 where plain columns, at most a twentieth of the width, part the whole picture, and its upper or lower half."""
    height, width = grey.shape
    margin = int(_MARGIN * width)
    found = []
    for part in (grey, grey[: height // 2], grey[height // 2 :]):
        plain = np.zeros(width, np.int8)
        if len(part):
            plain[margin : width - margin] = _ranges(part, 0)[margin : width - margin] <= PLAIN_RANGE + 2
        turns = np.flatnonzero(np.diff(plain))
        found.append(float((np.diff(turns)[::2] < 0.05 * width).any()))
    return np.array([found[0], max(found[1:])], np.float32)


def _plain_lines(grey: Pixels) -> Lines:
    """(10,) of rows and of columns: the share that is plain in one half of their length and in the other (more, less), how often
    that changes from line to line (the more of both), and the share and changes over the whole length."""
    found: list[float] = []
    for axis in (1, 0):
        middle = grey.shape[axis] // 2
        halves = (grey[:, :middle], grey[:, middle:]) if axis else (grey[:middle], grey[middle:])
        shares, turns = zip(*(_plain(half, axis) for half in (*halves, grey)), strict=True)
        found += [max(shares[:2]), min(shares[:2]), max(turns[:2]), shares[2], turns[2]]
    return np.array(found, np.float32)


def _plain(grey: Pixels, axis: int) -> tuple[float, float]:
    if not grey.size:
        return 0.0, 0.0
    plain = _ranges(grey, axis) <= PLAIN_RANGE
    return float(plain.mean()), float(np.count_nonzero(plain[1:] != plain[:-1])) / 2


def _ranges(grey: Pixels, axis: int) -> Pixels:
    return np.asarray(grey.max(axis=axis) - grey.min(axis=axis), np.uint8)


def _flatness(grey: Pixels) -> Lines:
    """(8,) share of neighbours that are equal, along and across; of the commonest grey, and the four commonest; of neighbours
    more than 3 and more than 40 levels apart."""
    counts = np.sort(cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel() / grey.size)
    steps = [cv2.absdiff(grey[:, 1:], grey[:, :-1]), cv2.absdiff(grey[1:], grey[:-1])]
    above = [
        cv2.countNonZero(cv2.threshold(step, least, 1, cv2.THRESH_BINARY)[1]) / step.size
        for least in (0, 3, 40)
        for step in steps
    ]
    return np.array([1 - above[0], 1 - above[1], counts[-1], counts[-4:].sum(), *above[2:]], np.float32)
