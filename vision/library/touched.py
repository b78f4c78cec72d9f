"""Which verdicts rested on a reference. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vision.values import Finding, Result


@dataclass(frozen=True, slots=True)
class Touched:
    """A finding in which a reference played a part. rank: its place among the candidates; 1 decided the verdict."""

    path: str
    finding: Finding
    rank: int

    @property
    def runner_up(self) -> bool:
        """Whether it was a rival only."""
        return self.rank > 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "path": self.path,
            "kind": self.finding.kind,
            "box": list(self.finding.box),
            "verdict": self.finding.verdict,
            "brand": self.finding.brand,
            "probability": self.finding.probability,
            "rank": self.rank,
            "runner_up": self.runner_up,
        }


def touched(results: Iterable[Result], reference_id: str) -> Iterator[Touched]:
    """The findings of which a reference was the nearest of some candidate brand, in the order of the results.

    Reference ids are never given twice, so results of any earlier version of a library can be asked.
    """
    for result in results:
        for finding in result.findings:
            for rank, candidate in enumerate(finding.candidates, 1):
                if candidate.reference == reference_id:
                    yield Touched(result.path, finding, rank)
