"""Crops and texts become unit vectors of one space."""

from vision.embed.clip import Embedder
from vision.embed.contract import EmbedderLike

__all__ = ["Embedder", "EmbedderLike"]
