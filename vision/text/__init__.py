"""Crops become lines of text: for names that vision alone would miss."""

from vision.text.reader import TextReader

__all__ = ["TextReader"]
