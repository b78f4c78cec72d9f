"""Brand and logo recognition: what brand is visible where, how sure that is, and whether a picture was copied.

Names are loaded when first used: `import vision` costs milliseconds and brings in no torch, faiss or cv2.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Packages that look for updates or send statistics when imported are told not to, before anything imports them.
for _switch, _value in {
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "WANDB_MODE": "disabled",
}.items():
    os.environ.setdefault(_switch, _value)

__version__ = "0.1.0"

_HOMES = {
    "BackendError": "errors",
    "Candidate": "values",
    "CopyClaim": "values",
    "CopyIndex": "copies",
    "DatasetError": "errors",
    "Detections": "values",
    "Detector": "detect",
    "Embedder": "embed",
    "Finding": "values",
    "HeatMap": "embed.occlusion",
    "Library": "library",
    "LibraryError": "errors",
    "Match": "values",
    "NameMatch": "values",
    "Picture": "values",
    "PictureError": "errors",
    "Reading": "values",
    "Result": "values",
    "Scanner": "scan",
    "TextLine": "values",
    "TextReader": "text",
    "UsageError": "errors",
    "Verdict": "values",
    "VisionError": "errors",
    "WeightsError": "errors",
    "compare_copies": "copies",
    "read_picture": "images",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vision' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vision.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from vision.copies import CopyIndex as CopyIndex
    from vision.copies import compare_copies as compare_copies
    from vision.detect import Detector as Detector
    from vision.embed import Embedder as Embedder
    from vision.embed.occlusion import HeatMap as HeatMap
    from vision.errors import BackendError as BackendError
    from vision.errors import DatasetError as DatasetError
    from vision.errors import LibraryError as LibraryError
    from vision.errors import PictureError as PictureError
    from vision.errors import UsageError as UsageError
    from vision.errors import VisionError as VisionError
    from vision.errors import WeightsError as WeightsError
    from vision.images import read_picture as read_picture
    from vision.library import Library as Library
    from vision.scan import Scanner as Scanner
    from vision.text import TextReader as TextReader
    from vision.values import Candidate as Candidate
    from vision.values import CopyClaim as CopyClaim
    from vision.values import Detections as Detections
    from vision.values import Finding as Finding
    from vision.values import Match as Match
    from vision.values import NameMatch as NameMatch
    from vision.values import Picture as Picture
    from vision.values import Reading as Reading
    from vision.values import Result as Result
    from vision.values import TextLine as TextLine
    from vision.values import Verdict as Verdict
