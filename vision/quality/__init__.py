"""Measured signals of a picture, each with its unit."""

from vision.quality.signals import measure

__all__ = ["measure"]
