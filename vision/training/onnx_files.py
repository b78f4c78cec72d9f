"""ONNX files in half the bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LARGE = 4096  # numbers; smaller tensors are not worth a node


def halve(model: Any) -> None:
    """Store large float32 tensors of an `onnx.ModelProto` as float16, each with a Cast behind it: the same arithmetic.

    onnxruntime folds the casts while loading, so running costs nothing. The model is changed in place.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) >= LARGE:
            name = tensor.name
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
