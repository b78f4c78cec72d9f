"""Similarities become an answer: known, ambiguous or unknown, with a calibrated probability. Pure functions."""

from vision.verdict.calibrate import Calibration
from vision.verdict.decide import OperatingPoint, decide
from vision.verdict.lockup import join_lockups

__all__ = ["Calibration", "OperatingPoint", "decide", "join_lockups"]
