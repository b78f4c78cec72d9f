"""One finding for one mark: a symbol and the wordmark beside it, a part and the whole, are told once.

Only what was named is joined, with findings of its own brand. Two wordmarks side by side are two packs on a shelf and stay two; a
box around several marks of one kind is a group, not a mark, and goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vision.values import Box, Finding

# Parts of a lock-up stand closer than this share of the smaller one's side across the gap, and share this much of their extent.
MOST_GAP, LEAST_SHARED = 0.6, 0.5
# One part is at most this many times as high (or wide, when stacked) as the other.
MOST_RATIO = 4.0
# A part lies in its whole with at least this share of its area.
LEAST_INSIDE = 0.8
# From which probability on a look alone names a mark that the detector is not sure of, one that had to be turned, and what is no
# mark but a product or a whole picture. From .7 on, the heel of a sock was Zalando and a fold of leather Nike: three of 16 such
# claims on 1,550 catalogue pictures; from here on none.
LEAST_UNSURE = 0.9


def is_told(finding: Finding) -> bool:
    """Whether a finding that the detector is not sure of counts: a brand whose name can be read, or likely enough by its look."""
    if finding.verdict != "known":
        return False
    return finding.candidates[0].read is not None or finding.probability >= LEAST_UNSURE


def settled(finding: Finding) -> Finding:
    """The finding, unknown where only a mirrored or turned look names it, or the look of no mark, and that is not likely enough.

    From .7 on "MAN UTD" on its side was Calvin Klein twice and "WILDCRAFT" New Balance, on 1,550 catalogue pictures; a bag was
    McDonald's and a backpack Alfred.
    """
    is_upright_mark = finding.kind == "logo" and finding.orientation == "upright"
    if finding.verdict != "known" or is_upright_mark or is_told(finding):
        return finding
    return replace(finding, verdict="unknown", brand=None, product=None)


def join_marks(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with parts joined to their wholes, and each known symbol to the nearest known wordmark of its brand.

    What is joined stands where the surer of the two stood and keeps that one's evidence; what was read is kept either way.
    """
    # a symbol and its word together may hold what neither of them held
    return _parts_joined(_beside_joined(_parts_joined(_without_groups(findings))))


def doubtful(findings: Sequence[Finding], were_read: Sequence[bool]) -> list[int]:
    """Places of known marks that nobody tried to read and that stand beside a wordmark of their brand: symbols, or words too?

    were_read: of each finding, whether reading was tried, also when nothing was read.
    """
    return [
        i
        for i, (mark, tried) in enumerate(zip(findings, were_read, strict=True))
        if _named(mark)
        and not tried
        and any(_same_brand(f, mark) and _was_read(f) and beside(f.box, mark.box) for f in findings)
    ]


def _without_groups(findings: Sequence[Finding]) -> list[Finding]:
    """Without boxes that hold two apart marks of their brand of one kind, both read or both not."""

    def is_group(whole: Finding) -> bool:
        parts = [f for f in findings if _same_brand(f, whole) and _part_of(f, whole)]
        return any(
            _was_read(a) == _was_read(b) and not _touch(a.box, b.box)
            for place, a in enumerate(parts)
            for b in parts[place + 1 :]
        )

    return [f for f in findings if not (_named(f) and is_group(f))]


def _parts_joined(findings: Sequence[Finding]) -> list[Finding]:
    """Each known mark inside a larger one of its brand is joined to the largest such."""
    kept: list[Finding | None] = list(findings)
    waiting = sorted(range(len(findings)), key=lambda i: _area(findings[i].box), reverse=True)
    while waiting:
        part = waiting.pop()
        found = kept[part]
        if found is None:
            continue
        wholes = [(i, f) for i, f in enumerate(kept) if f is not None and _same_brand(f, found) and _part_of(found, f)]
        if wholes:
            place, whole = max(wholes, key=lambda item: _area(item[1].box))
            _join(kept, part, place, whole.box)
            if (
                kept[part] is not None
            ):  # it is the surer: what both are now stands in its place, and may be a part itself
                waiting.append(part)
    return [f for f in kept if f is not None]


def _beside_joined(findings: Sequence[Finding]) -> list[Finding]:
    """Each known symbol is joined to the surest known wordmark of its brand beside it that has none yet."""
    kept: list[Finding | None] = list(findings)
    taken: set[int] = set()
    for place, symbol in enumerate(findings):
        if not _named(symbol) or _was_read(symbol):
            continue
        words = [
            i
            for i, f in enumerate(findings)
            if i not in taken and _same_brand(f, symbol) and _was_read(f) and beside(f.box, symbol.box)
        ]
        if words:
            word = max(words, key=lambda i: (findings[i].probability, findings[i].score))
            taken.add(word)
            _join(kept, place, word, _around(symbol.box, findings[word].box))
    return [f for f in kept if f is not None]


def _join(kept: list[Finding | None], i: int, j: int, box: Box) -> None:
    """Put one finding in place of two of a list, where the surer stood; the other's place is left empty."""
    one, other = kept[i], kept[j]
    if one is None or other is None:
        raise ValueError("a finding can be joined once")
    if one.probability > other.probability:
        i, j, one, other = j, i, other, one
    texts = [f.text for f in (other, one) if _was_read(f)] or [other.text]
    kept[j] = replace(other, box=box, score=max(one.score, other.score), text=texts[0])
    kept[i] = None


def _part_of(part: Finding, whole: Finding) -> bool:
    return _area(part.box) < _area(whole.box) and inside(part.box, whole.box)


def inside(part: Box, whole: Box) -> bool:
    """True when nearly all of a box lies in another."""
    wide = min(part[2], whole[2]) - max(part[0], whole[0])
    high = min(part[3], whole[3]) - max(part[1], whole[1])
    return wide > 0 and high > 0 and wide * high >= LEAST_INSIDE * _area(part)


def beside(a: Box, b: Box) -> bool:
    """True when two boxes stand side by side, or one over the other, as the parts of one mark do."""
    return _across(a, b) or _across(_turned(a), _turned(b))


def _across(a: Box, b: Box) -> bool:
    heights = a[3] - a[1], b[3] - b[1]
    low, high = min(heights), max(heights)
    if low <= 0 or high > MOST_RATIO * low:
        return False
    gap = max(a[0], b[0]) - min(a[2], b[2])
    shared = min(a[3], b[3]) - max(a[1], b[1])
    # they may overlap a little, but neither lies inside the other
    narrow = min(a[2] - a[0], b[2] - b[0])
    return -0.5 * narrow <= gap <= MOST_GAP * low and shared >= LEAST_SHARED * low


def _turned(box: Box) -> Box:
    left, top, right, bottom = box
    return top, left, bottom, right


def _around(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _touch(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _same_brand(finding: Finding, other: Finding) -> bool:
    return _named(finding) and _named(other) and finding.brand == other.brand


def _named(finding: Finding) -> bool:
    return finding.kind == "logo" and finding.verdict == "known"


def _was_read(finding: Finding) -> bool:
    return bool(finding.candidates) and finding.candidates[0].read is not None
