"""Weights out of an exported model, so that training can go on from the file that ships."""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

PREFIX = "/network/"


def read_onnx(path: Path) -> dict[str, Tensor]:
    """The weights of the Denoiser exported to `path`, as its state dictionary; of 8-bit weights what they stand for.

    Raises FileNotFoundError with a sentence when there is no such file. What Shipped adds has no weights.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no model {path}.")
    graph = onnx.load(str(path)).graph
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    weights = {_name(name.removeprefix("network.")): array for name, array in arrays.items() if name.startswith("network.")}
    for node in graph.node:
        module = ".".join(node.name.removeprefix(PREFIX).split("/")[:-1])
        if node.op_type == "MatMul":
            weights[_name(f"{module}.weight")] = arrays[node.input[1]].T
        elif node.op_type == "MatMulInteger":
            levels, zero = (arrays[node.input[i]].astype(np.float32) for i in (1, 3))
            weights[_name(f"{module}.weight")] = ((levels - zero) * arrays[node.input[1].replace("_quantized", "_scale")]).T
        elif node.op_type == "GRU":
            weights |= _gru(module, *(arrays[name][0] for name in node.input[1:4]))
    return {name: torch.from_numpy(array.copy()) for name, array in weights.items()}


def _name(name: str) -> str:
    """The name in nn.GRU of what Step in model.py holds."""
    for part, letters in (("input", "ih"), ("hidden", "hh")):
        for kind in ("weight", "bias"):
            name = name.replace(f".{part}.{kind}", f".{kind}_{letters}_l0")
    return name


def read_shape(path: Path) -> tuple[int, int, int]:
    """What Denoiser takes to hold the weights of the model at `path`, from its sidecar."""
    contract = json.loads(path.with_suffix(".json").read_text())
    deep = contract.get("deepFilter", {"bins": 0, "taps": 0})
    return contract["shapes"]["h1"][-1], deep["bins"], deep["taps"]


def widened(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """`weights` inside a network that may be wider: it answers as before, since nothing listens to the new units yet."""
    fresh = network.state_dict()
    narrow, wide = len(weights["inner.bias"]), len(fresh["inner.bias"])
    if narrow == wide:
        return weights
    rows = {"first": 3, "second": 3}
    columns = {"gain": 3}
    result = {}
    for name, new in fresh.items():
        old, module = weights[name], name.split(".")[0]
        new = new.clone()
        blocks = rows.get(module, 1)
        inner = rows.get(module) is not None or module == "inner"
        target = new.view(blocks, -1, *new.shape[1:]) if inner else new[None]
        source = old.view(blocks, -1, *old.shape[1:]) if inner else old[None]
        size = source.shape[1]
        if old.dim() == 1 or module == "inner":
            target[:, :size] = source
        else:
            parts = columns.get(module, 1)
            wider = target.view(*target.shape[:2], parts, -1)
            wider[:, :size] = 0
            wider[:, :size, :, :narrow] = source.view(*source.shape[:2], parts, -1)
        result[name] = new
    return result


def _gru(module: str, inputs: np.ndarray, states: np.ndarray, biases: np.ndarray) -> dict[str, np.ndarray]:
    """ONNX orders the gates update, reset, new; torch reset, update, new."""
    first, second = np.split(biases, 2)
    parts = {"weight_ih_l0": inputs, "weight_hh_l0": states, "bias_ih_l0": first, "bias_hh_l0": second}
    reordered = {}
    for name, array in parts.items():
        update, reset, new = np.split(array, 3)
        reordered[f"{module}.{name}"] = np.concatenate([reset, update, new])
    return reordered
