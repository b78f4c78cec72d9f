"""A symbol and the wordmark beside it are one mark: findings of one brand become one.

Only a pair of which one was read and the other was not: two wordmarks side by side are two packs on a shelf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vision.values import Box, Finding

# Parts of a lock-up stand closer than this share of the smaller one's side across the gap, and share this much of their extent.
MOST_GAP, LEAST_SHARED = 0.6, 0.5
# One part is at most this many times as high (or wide, when stacked) as the other.
MOST_RATIO = 4.0


def join_lockups(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with each known symbol and the nearest known wordmark of its brand as one, its box around both.

    It stands where the surer of the two stood and keeps that one's evidence; what was read is kept either way.
    """
    kept = list(findings)
    for symbol in [f for f in findings if _named(f) and not _was_read(f)]:
        # of the findings as they came: what was joined takes no second symbol
        free = [f for f in findings if f in kept and _named(f) and _was_read(f) and f.brand == symbol.brand]
        words = [f for f in free if beside(f.box, symbol.box)]
        if not words:
            continue
        word = max(words, key=lambda f: (f.probability, f.score))
        surer, other = (word, symbol) if word.probability >= symbol.probability else (symbol, word)
        box = (
            min(word.box[0], symbol.box[0]),
            min(word.box[1], symbol.box[1]),
            max(word.box[2], symbol.box[2]),
            max(word.box[3], symbol.box[3]),
        )
        place = kept.index(surer)
        kept[place] = replace(surer, box=box, score=max(word.score, symbol.score), text=word.text)
        kept.remove(other)
    return kept


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


def _named(finding: Finding) -> bool:
    return finding.kind == "logo" and finding.verdict == "known"


def _was_read(finding: Finding) -> bool:
    return bool(finding.candidates) and finding.candidates[0].read is not None
