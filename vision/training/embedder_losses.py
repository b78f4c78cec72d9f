"""The loss between photographs of one brand, with a queue of earlier crops as rivals."""

from __future__ import annotations

from typing import Any

import torch


class Queue:
    """The vectors of the latest crops with brand and source picture; rows not filled yet have source -2 and brand -2."""

    def __init__(self, size: int, dimensions: int) -> None:
        self.size, self.at = size, 0
        self.vectors = torch.zeros(size, dimensions)
        self.brands, self.sources = (torch.full((size,), -2) for _ in range(2))

    def with_batch(
        self, vectors: torch.Tensor, brands: torch.Tensor, sources: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The rows of a batch, then those of the queue that are filled."""
        filled = self.brands >= 0
        return (
            torch.cat([vectors, self.vectors[filled]]),
            torch.cat([brands, self.brands[filled]]),
            torch.cat([sources, self.sources[filled]]),
        )

    def add(self, vectors: torch.Tensor, brands: torch.Tensor, sources: torch.Tensor) -> None:
        """Put rows in the place of the oldest."""
        places = (torch.arange(len(brands)) + self.at) % self.size
        self.vectors[places], self.brands[places], self.sources[places] = vectors, brands, sources
        self.at = int((self.at + len(brands)) % self.size)

    def state(self) -> dict[str, Any]:
        """Tensors and numbers for a checkpoint."""
        return {"vectors": self.vectors, "brands": self.brands, "sources": self.sources, "at": self.at}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a `state`."""
        self.vectors, self.brands, self.sources = state["vectors"], state["brands"], state["sources"]
        self.at = int(state["at"])


def photo_loss(
    vectors: torch.Tensor,
    brands: torch.Tensor,
    sources: torch.Tensor,
    queue: Queue,
    *,
    scale: float,
    margin: float,
) -> torch.Tensor:
    """Each crop against those of other pictures, of the batch and of the queue, which then takes the batch.

    Any crop of its brand will do, as in a search among a few photographs: brands have several artworks, which need not come
    together. Crops whose brand has no other picture here count nothing. vectors: (n, d) unit rows.
    """
    others, their_brands, their_sources = queue.with_batch(vectors, brands, sources)
    same_picture = sources[:, None] == their_sources[None]
    own = (brands[:, None] == their_brands[None]) & ~same_picture
    logits = scale * (vectors @ others.T - margin * own)
    chances = logits.masked_fill(same_picture, -1e4).log_softmax(dim=1).masked_fill(~own, -1e4).logsumexp(dim=1)
    queue.add(vectors.detach(), brands, sources)
    asked = own.any(dim=1)
    return -(chances * asked).sum() / asked.sum().clamp(min=1)
