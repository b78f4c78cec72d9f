"""The peer that sees nearly everything and accuses the innocent: ORB features and RANSAC, with what OpenCV and FAISS offer.

Rublee et al. 2011; votes through an inverted file of binary words, the ratio test of Lowe 2004, an affine map by RANSAC. A
pair's score is how many different places of the reference agree with the map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vision.evaluate.copies.battery import Tell
from vision.evaluate.copies.methods import Answer, Clock, Item, each, peer_pixels, unless_unreadable
from vision.evaluate.copies.score import Claim
from vision.values import Pixels

REFERENCE_FEATURES, QUERY_FEATURES = 400, 600
# From so many agreeing places on a pair is claimed: what the project's shared furniture test counts.
LEAST_AGREEING = 8
VERIFIED = 5  # candidates of each query
WORDS = 1024
PROBES = 12
NEAR_BITS = 48  # of 256: two features vote together
RATIO = 0.8
WITHIN = 6.0  # pixels of the reference, at most 512 a side
# Maps that no re-use of a picture makes: smaller than a tenth, larger than 8 times, or squeezed by more than 3.
SCALES, SQUEEZE = (0.1, 8.0), 3.0
ALL_PAIRS = 64  # references up to which every one is verified


class Features(NamedTuple):
    """points: (n, 2) float32 pixels. bits: (n, 32) uint8."""

    points: npt.NDArray[np.float32]
    bits: npt.NDArray[np.uint8]


def features(pixels: Pixels, count: int) -> Features:
    """The ORB features of a picture, also in soft places."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    points, bits = cv2.ORB_create(count, fastThreshold=10).detectAndCompute(gray, None)  # type: ignore[attr-defined]
    if bits is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8))
    return Features(np.array([p.pt for p in points], np.float32), np.asarray(bits, np.uint8))


def agreeing(query: Features, reference: Features) -> int:
    """How many places of the reference the best affine map explains; 0 when there is no map that a copy could have."""
    if min(len(query.bits), len(reference.bits)) < LEAST_AGREEING:
        return 0
    matches = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(query.bits, reference.bits, k=2)
    good = [pair[0] for pair in matches if len(pair) == 2 and pair[0].distance < RATIO * pair[1].distance]
    if len(good) < 4:
        return 0
    here = query.points[[m.queryIdx for m in good]]
    there = reference.points[[m.trainIdx for m in good]]
    cv2.setRNGSeed(0)  # of this thread: the same pair always gets the same score
    found: Any = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=WITHIN, maxIters=1000)
    matrix, agrees = found
    if matrix is None:
        return 0
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if small <= SCALES[0] or large >= SCALES[1] or large / small >= SQUEEZE:
        return 0
    return len(np.unique(np.rint(there[agrees.ravel() > 0]), axis=0))


class OrbPeer:
    """ORB, votes, RANSAC."""

    name = "orb"
    bar = float(LEAST_AGREEING)

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def answer(self, references: Sequence[Item], queries: Sequence[Item], tell: Tell) -> Answer:
        """As `Method.answer`. Of a query that is itself a reference, only the four candidates beside itself are verified."""
        clock, failed = Clock(), list[str]()
        known: list[tuple[str, Features]] = []
        describe = unless_unreadable(lambda item: features(peer_pixels(item.path), REFERENCE_FEATURES))
        for item, one in each(describe, references, tell(f"{self.name}: describe")(len(references)), self._threads):
            known += [(item.id, one)] if one is not None else []
            failed += [item.id] if one is None else []
        candidates = _candidates([one for _, one in known])
        describe_ms = clock.each(len(references))

        def search(item: Item) -> list[Claim]:
            asked = features(peer_pixels(item.path), QUERY_FEATURES)
            scored = ((known[n][0], agreeing(asked, known[n][1])) for n in candidates(asked))
            return [Claim(item.id, name, float(score)) for name, score in scored if score >= 5]

        claims: list[Claim] = []
        advance = tell(f"{self.name}: search")(len(queries))
        for item, own in each(unless_unreadable(search), queries, advance, self._threads):
            claims += own or []
            failed += [item.id] if own is None else []
        return Answer(claims, describe_ms, clock.each(len(queries)), failed)


def _candidates(known: Sequence[Features]) -> Callable[[Features], Sequence[int]]:
    """Which references are worth verifying: all of a few, else those with the most near features."""
    if len(known) <= ALL_PAIRS:
        return lambda _: range(len(known))
    import faiss

    bank = np.concatenate([one.bits for one in known])
    owner = np.repeat(np.arange(len(known)), [len(one.bits) for one in known])
    words = max(1, min(WORDS, len(bank) // 39))  # 39 features a word, or FAISS warns
    coarse = faiss.IndexBinaryFlat(256)
    index = faiss.IndexBinaryIVF(coarse, 256, words)
    index.cp.niter = 5
    index.train(bank[:: max(1, len(bank) // 60_000)])
    index.add(bank)
    index.nprobe = min(PROBES, words)

    def vote(asked: Features) -> list[int]:
        _ = coarse  # the inverted file does not keep it alive
        if len(asked.bits) < LEAST_AGREEING:
            return []
        distance, place = index.search(asked.bits, 3)
        votes = np.bincount(owner[place[(distance < NEAR_BITS) & (place >= 0)]], minlength=len(known))
        best = np.argsort(-votes, kind="stable")[:VERIFIED]
        return [int(n) for n in best if votes[n] >= 3]

    return vote
