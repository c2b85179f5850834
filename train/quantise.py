"""Turns the weights of an exported model into 8-bit integers with a scale for each row."""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

SMALLEST = 4096
"""Tensors with fewer values than this stay as they are: biases, mostly."""


def quantise(path: Path) -> None:
    """Rewrites the file to a quarter of its size. It still computes with floats."""
    model = onnx.load(str(path))
    _rewrite(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _rewrite(model: ModelProto) -> None:
    graph = model.graph
    large = [entry for entry in graph.initializer if np.prod(entry.dims) >= SMALLEST and entry.data_type == TensorProto.FLOAT]
    for entry in large:
        # Axis 1 counts the outputs both of a matrix [in, out] and of the weights of a GRU [1, gates, in].
        weights, axis = numpy_helper.to_array(entry), 1
        over = tuple(i for i in range(weights.ndim) if i != axis)
        scale = (np.abs(weights).max(over) / 127 + 1e-12).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(weights.ndim)]
        levels = np.clip(np.round(weights / scale.reshape(shape)), -127, 127).astype(np.int8)
        name = entry.name
        graph.initializer.remove(entry)
        graph.initializer.append(numpy_helper.from_array(levels, f"{name}_levels"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        node = helper.make_node("DequantizeLinear", [f"{name}_levels", f"{name}_scale"], [name], axis=axis)
        graph.node.insert(0, node)
