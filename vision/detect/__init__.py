"""Finds logos and products: a YOLO model as an ONNX file, suppression without torch."""

from vision.detect.contract import AnyDetector
from vision.detect.yolo import Detector

__all__ = ["AnyDetector", "Detector"]
