"""Which pictures were taken from others: hashed in eight orientations, searched exactly, checked, claimed with a probability."""

from vision.copies.claims import Hit
from vision.copies.compare import compare_copies
from vision.copies.describe import CopyDescription, closer, describe
from vision.copies.entries import ScanIndex
from vision.copies.logos import logo_boxes
from vision.copies.segments import Entry
from vision.copies.store import DECODE_SIDE, CopyIndex, described

__all__ = [
    "DECODE_SIDE",
    "CopyDescription",
    "CopyIndex",
    "Entry",
    "Hit",
    "ScanIndex",
    "closer",
    "compare_copies",
    "describe",
    "described",
    "logo_boxes",
]
