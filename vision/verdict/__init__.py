"""Similarities become an answer: known, ambiguous or unknown, with a calibrated probability. Pure functions."""

from vision.verdict.calibrate import Calibration
from vision.verdict.decide import OperatingPoint, decide
from vision.verdict.marks import doubtful, is_told, join_marks, settled

__all__ = ["Calibration", "OperatingPoint", "decide", "doubtful", "is_told", "join_marks", "settled"]
