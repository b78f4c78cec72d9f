"""A trained YOLO network becomes a model folder: `model.onnx` to detect with, `model.safetensors` to train on from, `card.json`.

Nothing that is written here needs unpickling, and the ONNX file needs no torch. A user's own ultralytics checkpoint becomes such
a folder too (`import_weights`), which is the one place that unpickles, and only when told to trust the file.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision import weights
from vision.detect.yolo import DEFAULT_IOU, DEFAULT_SCORE, GREY, STRIDE, kinds_of
from vision.errors import BackendError, UsageError, WeightsError, package_missing
from vision.files import write_atomically
from vision.training.network import quiet_ultralytics
from vision.training.onnx_files import halve
from vision.training.quantize import Floats, quantize

OPSET = 17
PREPROCESSING = {
    "colour": "sRGB",
    "fit": "aspect kept, centred in the smallest sides that are multiples of 32, shrunk by area averaging, grown bilinearly",
    "padding": GREY,
    "range": [0.0, 1.0],
    "layout": "NCHW float32",
}


def export_model(
    network: nn.Module,
    folder: Path,
    *,
    size: int,
    names: Sequence[str],
    card: Mapping[str, Any],
    calibration: Sequence[Floats] = (),
) -> Path:
    """Write the three files of a model folder; the folder.

    network: an ultralytics detection network; it is not changed. size: longest side at which it is used unless asked otherwise,
    in pixels, a multiple of 32. names: its classes. card: what is known of it beyond what follows from the files.
    calibration: inputs of the model, (1, 3, height, width) float32; with them its convolutions run in 8 bits.
    The ONNX model takes `images` (n, 3, height, width) float32 in [0, 1], both sides any multiples of 32, and gives `output0`
    (n, 4 + classes, anchors): centre, size in input pixels, and a score in [0, 1] for each class.
    """
    if size % STRIDE or size < STRIDE:
        raise UsageError("bad_option", f"image size {size} is not a multiple of {STRIDE}")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "model.onnx", _onnx(network, size, names, calibration))
    write_atomically(folder / "model.safetensors", _safetensors(network, names))
    full = {
        "schema": weights.CARD_SCHEMA,
        **card,
        "kinds": list(kinds_of(names)),
        "classes": list(names),
        "input": {"size": size, **PREPROCESSING},
        "output": "centre x, centre y, width, height in input pixels, then one score a class",
        "arithmetic": "8-bit convolutions" if calibration else "float32",
        "onnx_sha256": weights.digest(folder / "model.onnx"),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    write_atomically(folder / "card.json", (json.dumps(full, indent=1, ensure_ascii=False) + "\n").encode())
    return folder


def amend_card(folder: Path, known: Mapping[str, Any]) -> None:
    """Write more into the card of a model folder; the model files stay as they are."""
    path = folder / "card.json"
    card = {**json.loads(path.read_text(encoding="utf-8")), **known}
    write_atomically(path, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())


def import_weights(pt: Path, out: Path, *, trust_pickle: bool, image_size: int | None = None) -> Path:
    """Turn an ultralytics detection checkpoint into a model folder for `--detector`; the folder.

    trust_pickle: must be True: a .pt file is a pickle and can run code while it is read.
    image_size: longest side of the input; None takes the size it was trained at, 640 when the file does not say.
    Raises UsageError (bad_option), WeightsError (missing, unknown_card), BackendError (package_missing).
    """
    if not trust_pickle:
        raise UsageError(
            "bad_option",
            "a .pt file is a pickle and can run code while it is read",
            path=str(pt),
            hint="pass --trust-pickle if you trust where it came from",
        )
    if not pt.is_file():
        raise WeightsError("missing", "no such file", path=str(pt))
    quiet_ultralytics()
    try:
        loaded = torch.load(pt, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling can raise anything
        raise WeightsError("unknown_card", f"torch cannot read it: {error}", path=str(pt)) from error
    network = (loaded.get("ema") or loaded.get("model")) if isinstance(loaded, dict) else None
    if network is None or type(network).__name__ != "DetectionModel":
        raise WeightsError("unknown_card", "it holds no ultralytics detection model", path=str(pt))
    named = network.names
    names = [str(named[i]) for i in sorted(named)] if isinstance(named, dict) else [str(n) for n in named]
    if image_size is None:
        stated = (loaded.get("train_args") or {}).get("imgsz", 640)
        image_size = -(-int(stated if isinstance(stated, int) else max(stated)) // 32) * 32
    card = {
        "name": pt.stem,
        "what": "imported from an ultralytics checkpoint; nothing measured here",
        "operating_point": dict.fromkeys(kinds_of(names), DEFAULT_SCORE),
        "nms_iou": DEFAULT_IOU,
        "part_suppression": False,
        "imported_from": {"file": pt.name, "sha256": weights.digest(pt)},
    }
    return export_model(network.float(), out, size=image_size, names=names, card=card)


def _onnx(network: nn.Module, size: int, names: Sequence[str], calibration: Sequence[Floats]) -> bytes:
    """The network as ONNX bytes, any number of pictures a batch and of any shape; ultralytics' own keys in the metadata."""
    import io

    try:
        import onnx
    except ImportError:
        raise package_missing("onnx", "train") from None
    model = copy.deepcopy(network).cpu().float().eval()
    for parameter in model.parameters():
        parameter.requires_grad = False
    model = model.fuse(verbose=False)
    head = model.model[-1]
    if getattr(head, "end2end", False):
        raise BackendError("package_missing", "networks with built-in suppression are not supported, only plain heads")
    # dynamic: the head makes its grid of anchors anew from the shapes of its inputs, so the file does that too
    head.export, head.format, head.dynamic = True, "onnx", True
    buffer = io.BytesIO()
    example = torch.zeros(
        2, 3, size, size + STRIDE
    )  # not square: a side taken for the other would be seen in the mirror test
    sides = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        # the tracer warns of every value it takes as fixed; the strides and the number of levels are
        warnings.simplefilter("ignore")
        with torch.no_grad():
            torch.onnx.export(
                model,
                (example,),
                buffer,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["output0"],
                dynamic_axes={"images": sides, "output0": {0: "batch", 2: "anchors"}},
                dynamo=False,
            )
    graph = onnx.load_from_string(buffer.getvalue())
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4 + len(
        names
    )  # the tracer lost it among the moving ones
    for key, value in {"names": str(dict(enumerate(names))), "imgsz": str([size, size]), "task": "detect"}.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    if calibration:
        graph = quantize(graph, calibration)
    halve(graph)
    return bytes(graph.SerializeToString())


def _safetensors(network: nn.Module, names: Sequence[str]) -> bytes:
    """The training weights: kernels in float16, statistics and biases in float32, the architecture in the metadata."""
    from safetensors.torch import save

    tensors = {}
    for key, tensor in network.state_dict().items():
        value = tensor.detach().cpu().contiguous()
        tensors[key] = value.half() if value.is_floating_point() and value.ndim > 1 else value
    metadata = {"architecture": json.dumps(_plain(network.yaml)), "names": json.dumps(list(names))}
    return bytes(save(tensors, metadata))


def _plain(value: Any) -> Any:
    """A parsed YAML as JSON takes it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
