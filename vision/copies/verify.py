"""A candidate is near in one hash; what else must agree before it may be called a copy.

In: arrays of candidates. Out: which of them stand. Pure. Two things are asked here: that the hashes are evidence at all (PDQ's
quality), and, where most of a picture is one plain ground, that what stands on the ground agrees as well. The hash of a whole
page with a small mark on it says little more than where the mark is: of 2,000 different marks of 100 px on a white page of
400 px, 3,687 pairs lie within 31 bits in one of the eight orientations, whatever their quality, and one once this is asked (a
star that two brands share). Of 1,300 packshots of different products 5 pairs do, and none (`benchmarks/copies_calibration.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# ThreatExchange (pdq/README): match at 31 of 256 bits and less, discard hashes of quality 49 and less.
RADIUS = 31
MIN_QUALITY = 50
# Percent of plain ground from which on the content has to agree too. Marks that fill a page have 58 to 92, packshots 52 to 89
# (5th and 95th percentile), photos 9 to 40.
PLAIN = 50
# In the same run, of the 876 pairs with a plain ground that lie within 63 bits none has its contents within 31.
CONTENT_RADIUS = 31

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.integer]


def stands(
    quality: Numbers, plain: Numbers, content_distance: npt.NDArray[np.floating] | Numbers, identical: Flags
) -> Flags:
    """Which candidates may be claimed.

    quality: the lower one of the two pictures, 0 to 100. plain: the higher one, percent. content_distance: Hamming bits between
    the hashes of what stands on the ground, in the orientation of the match; over 256 when one has none. identical: the same
    bytes, which stand whatever their hash is worth. All of one length.
    """
    evidence = (quality >= MIN_QUALITY) & ((plain < PLAIN) | (content_distance <= CONTENT_RADIUS))
    return np.asarray(identical | evidence, dtype=np.bool_)
