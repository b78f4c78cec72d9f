"""The detector's network: ultralytics' YOLOv8 with a head for our kinds, started from COCO, from weights of ours, or afresh."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision.errors import UsageError, WeightsError, package_missing
from vision.training.detector_views import KINDS

log = logging.getLogger(__name__)


def build_network(start: str, *, trust_pickle: bool = False) -> nn.Module:
    """A YOLO network for our two kinds.

    start: `*.safetensors` of ours, an ultralytics `*.pt` (a pickle, so only with trust_pickle), or the name of an architecture
    such as `yolov8n.yaml`, which starts from random weights. What fits is taken over; a head for other classes starts fresh.
    Raises WeightsError (missing, unknown_card), UsageError (bad_config) for a pickle that is not trusted.
    """
    tasks = quiet_ultralytics()
    path = Path(start)
    if path.suffix == ".yaml":
        return _with_loss(tasks.DetectionModel(start, nc=len(KINDS), verbose=False))
    if not path.is_file():
        raise WeightsError("missing", "no weights to start from", path=start)
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(start, framework="pt") as file:
            metadata = file.metadata() or {}
            found = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (no dict)
        if "architecture" not in metadata:
            raise WeightsError("unknown_card", "its metadata names no architecture", path=start)
        architecture = json.loads(metadata["architecture"])
    else:
        if not trust_pickle:
            raise UsageError(
                "bad_config", "a .pt file is a pickle and can run code", path=start, hint="set trust_pickle: true"
            )
        loaded = torch.load(start, map_location="cpu", weights_only=False)["model"].float()
        found, architecture = loaded.state_dict(), dict(loaded.yaml)
    model = tasks.DetectionModel(architecture, nc=len(KINDS), verbose=False)
    own = model.state_dict()
    fitting = {k: v for k, v in found.items() if k in own and v.shape == own[k].shape}
    if len(fitting) < len(own) // 2:
        raise WeightsError("unknown_card", f"only {len(fitting)} of {len(own)} tensors fit", path=start)
    model.load_state_dict(fitting, strict=False)
    log.info("start: %d of %d tensors from %s", len(fitting), len(own), path.name)
    return _with_loss(model)


def quiet_ultralytics() -> Any:
    """ultralytics' module of networks, imported so that it neither phones home nor installs anything."""
    for name, value in {
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
        "YOLO_VERBOSE": "false",
    }.items():
        os.environ.setdefault(name, value)
    try:
        from ultralytics.nn import tasks
    except ImportError:
        raise package_missing("ultralytics", "train") from None
    return tasks


def _with_loss(model: nn.Module) -> nn.Module:
    """The gains of ultralytics' default settings, which its loss reads from the network."""
    from ultralytics.utils import IterableSimpleNamespace

    model.args = IterableSimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    return model
