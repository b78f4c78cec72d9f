"""Which pictures were taken from others: hashed in eight orientations, searched exactly, checked, claimed with a probability."""

from vision.copies.compare import compare_copies
from vision.copies.describe import CopyDescription, describe
from vision.copies.entries import ScanIndex
from vision.copies.store import CopyIndex, Entry, described

__all__ = ["CopyDescription", "CopyIndex", "Entry", "ScanIndex", "compare_copies", "describe", "described"]
