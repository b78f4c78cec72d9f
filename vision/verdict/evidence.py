"""What speaks for and against the brands that one box may show, as numbers that a probability can be fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.values import Kind, Match, NameMatch

# Half of the similarity to the nearest background patch is subtracted: a texture resembles some reference among thousands.
# Factor chosen beforehand and measured in a trial of 3,000 photo crops: AUROC .845 -> .967; 0.25 gave .927.
BACKGROUND_SHARE = 0.5
# A name speaks from this many points below the bar at which it would be accepted by itself, and not louder than so many points.
POINTS_BELOW, MOST_POINTS = 3.0, 9.0
# Pictures agree with a name when its brand is among so many nearest ones.
AGREEING = 10
# Libraries smaller than this are all alike to the probability: no calibration has seen fewer brands.
LEAST_BRANDS = 100

FEATURES = (
    "adjusted_similarity",  # cosine to the best brand, less half of that to the nearest background patch
    "margin",  # cosine to the best brand less that to the nearest other one
    "cohort_margin",  # the same against the mean of the other brands found
    # the same three where the name alone would do, and 0 above: what is written needs less of a likeness
    "adjusted_similarity_read",
    "margin_read",
    "cohort_margin_read",
    "log2_short_side",  # of the box, in pixels
    "detector_logit",
    "name_points",  # how well the best brand's name fits what was read, 0 when it does not
    "name_accepted",  # 1 when the name alone would do
    "name_of_nearest",  # 1 when it would not, but nothing looks more like the box than the brand whose name it is
    "no_picture",  # 1 when the library has no picture of the best brand, whose likeness then says nothing: the first six are 0
    "other_text",  # 1 for a logo in which letters were clearly read that are not the best brand's name
    "rival_points",  # how well the name of another brand fits
    "margin_by_size",  # the margin without a name, times the natural logarithm of the library's hundreds of brands
    "product",  # 1 for a product subject
    "image",  # 1 for a picture looked up as a whole
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One box, what it resembles and what can be read in it.

    matches: different brands, best first. background: cosine to the nearest background patch, in [-1, 1].
    short_side: of the box, in pixels of the upright picture. score: the detector's, in [0, 1]; 0.5 of a whole picture.
    names: brands whose name fits what was read, best first, different ones. Brands among them that have pictures should be
    among the matches too, wherever they rank. brands: how many the library holds. clear_text: letters were clearly read,
    whatever they say.
    """

    matches: Sequence[Match]
    background: float
    short_side: float
    score: float
    names: Sequence[NameMatch] = ()
    brands: int = LEAST_BRANDS
    kind: Kind = "logo"
    clear_text: bool = False


@dataclass(frozen=True, slots=True)
class Contender:
    """A brand that a box may show.

    match: its nearest reference; null when it has none. name: what speaks for it in writing. agrees: it is among the nearest.
    """

    brand: str
    match: Match | None
    name: NameMatch | None
    similarity: float
    agrees: bool = False

    @property
    def points(self) -> float:
        """How loud its name speaks, in [0, MOST_POINTS].

        A name that is not accepted by itself, a short one, say, or an ordinary word, is no louder than the bar, and silent where
        the pictures do not agree.
        """
        if self.name is None:
            return 0.0
        points = min(max(self.name.score + POINTS_BELOW, 0.0), MOST_POINTS)
        if self.accepted:
            return points
        return min(points, POINTS_BELOW) if self.agrees else 0.0

    @property
    def accepted(self) -> bool:
        """Its name alone would do; that of a brand without pictures must have been read without an error."""
        return self.name is not None and self.name.accepted and (self.match is not None or self.name.edits == 0)

    @property
    def alone(self) -> bool:
        """Its name alone would do, and nothing else can speak for it: the library has no picture of it."""
        return self.accepted and self.match is None

    @property
    def negative(self) -> bool:
        """It is no brand, but something that looks like one."""
        return self.match is not None and self.match.negative


def contenders(evidence: Evidence) -> list[Contender]:
    """Every brand that was seen or read, those seen first.

    A brand without pictures is taken to look as the least similar of the others: vision speaks neither for nor against it.
    """
    names = {n.brand: n for n in evidence.names}
    nearest = {m.brand for m in sorted(evidence.matches, key=lambda m: -m.similarity)[:AGREEING]}
    seen = [
        Contender(m.brand, m, None if m.negative else names.get(m.brand), m.similarity, m.brand in nearest)
        for m in evidence.matches
    ]
    least = min((m.similarity for m in evidence.matches), default=0.0)
    known = {c.brand for c in seen}
    return seen + [Contender(n.brand, None, n, least) for n in evidence.names if n.brand not in known]


def adjusted_similarity(evidence: Evidence) -> float:
    """Cosine to the best brand, less half of that to the nearest background patch; -1 with no brand at all."""
    if not evidence.matches:
        return -1.0
    return max(m.similarity for m in evidence.matches) - BACKGROUND_SHARE * evidence.background


def is_background(evidence: Evidence, best: Contender) -> bool:
    """True for what comes as near to a patch of background as to any brand, and in which no name can be read."""
    return evidence.background >= best.similarity and not best.accepted


def is_silhouette(evidence: Evidence, best: Contender) -> bool:
    """True for a product that resembles a drawing of a mark, and in which its name cannot be read.

    A whole product and artwork share no more than an outline: a belt is an ellipse. Three products of 1,550 catalogue pictures
    were named so, none rightly; packs are known by photographs of marks and packs.
    """
    match = best.match
    return (
        evidence.kind == "product" and not best.accepted and match is not None and match.drawing and not match.product
    )


def features(evidence: Evidence, best: Contender, others: Sequence[Contender]) -> npt.NDArray[np.float64]:
    """(17,) float64 in the order of `FEATURES`. The margin of a single brand is its similarity: nothing else comes near.

    The more rivals there are, the nearer the nearest of them comes to a stranger: the same margin over more of them says more.
    """
    score = min(max(evidence.score, 1e-3), 1 - 1e-3)
    similarities = [c.similarity for c in others]
    likeness = [
        best.similarity - BACKGROUND_SHARE * evidence.background,
        best.similarity - max(similarities, default=0.0),
        best.similarity - (sum(similarities) / len(similarities) if similarities else 0.0),
    ]
    if best.match is None:
        likeness = [0.0] * 3
    return np.array(
        [
            *(0.0 if best.accepted else v for v in likeness),
            *(v if best.accepted else 0.0 for v in likeness),
            np.log2(max(evidence.short_side, 1.0)),
            np.log(score / (1 - score)),
            best.points,
            float(best.accepted),
            float(best.match is not None and best.points > 0 and likeness[1] >= 0 and not best.accepted),
            float(best.match is None),
            float(evidence.kind == "logo" and evidence.clear_text and not best.points),
            max((c.points for c in others), default=0.0),
            0.0 if best.accepted else likeness[1] * np.log(max(evidence.brands, LEAST_BRANDS) / LEAST_BRANDS),
            float(evidence.kind == "product"),
            float(evidence.kind == "image"),
        ]
    )
