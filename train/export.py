"""Writes a trained run as models/unsay-denoise.onnx with the sidecar that describes it."""

import argparse
import hashlib
import json
import sys
import warnings
from pathlib import Path

import onnx
import torch

from bands import BANDS, EDGES, FLOOR, HOP, LOW, OFFSET, SCALE, WINDOW
from model import Denoiser, Shipped, unrolled
from packages import HERE
from quantise import quantise
from train import load_run

MODELS = HERE.parent / "models"
INPUTS, OUTPUTS = ["feat", "h1", "h2"], ["gain", "vad", "h1_out", "h2_out"]
MOST_BYTES = 3_000_000


def sidecar(name: str, version: str, shape: tuple[int, int, int], digest: str) -> dict:
    """What the denoise stage needs to know about the file."""
    width, bins, taps = shape
    state = [1, 1, width]
    description = {
        "name": name,
        "version": version,
        "sampleRate": 48_000,
        "window": WINDOW,
        "hop": HOP,
        "bands": {"low": LOW, "edges": EDGES},
        "feature": {"kind": "log-power", "floor": FLOOR, "offset": OFFSET, "scale": SCALE},
        "inputs": {"features": "feat", "states": ["h1", "h2"]},
        "outputs": {"gains": "gain", "voiceActivity": "vad", "states": ["h1_out", "h2_out"]},
        "shapes": {
            "feat": [1, 1, BANDS],
            "h1": state,
            "h2": state,
            "gain": [1, 1, BANDS],
            "vad": [1, 1, 1],
            "h1_out": state,
            "h2_out": state,
        },
        "latencyMs": 1000 * WINDOW // 48_000,
        "licence": "MIT",
        "sha256": digest,
    }
    if taps > 0:
        description["deepFilter"] = {"bins": bins, "taps": taps}
        description["outputs"]["filter"] = "filter"
        description["shapes"]["filter"] = [1, 1, bins * taps * 2]
    return description


def write(network: Denoiser, path: Path, ease: float = 1, least: float = 0) -> None:
    """Exports one hop of the network with its states as inputs and outputs."""
    network.eval()
    example = (torch.zeros(1, 1, BANDS), *network.states())
    outputs = OUTPUTS + ["filter"] * (network.taps > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Shipped(unrolled(network), ease, least), example, str(path), opset_version=17, input_names=INPUTS, output_names=outputs, dynamo=False)
    onnx.checker.check_model(onnx.load(str(path)))


def main() -> None:
    """Exports a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="name of the run")
    parser.add_argument("--version", required=True, help='version written into the sidecar, such as "0.2"')
    parser.add_argument("--name", default="unsay-denoise", help="file name without ending (default: unsay-denoise)")
    parser.add_argument("--folder", type=Path, default=MODELS, help="where to write them (default: models)")
    parser.add_argument("--ease", type=float, default=1, help="power of the gains (default: 1)")
    parser.add_argument("--least", type=float, default=0, help="least gain, which leaves a steady floor in pauses (default: 0)")
    parser.add_argument("--float", action="store_true", help="keep weights and products in 32 bits")
    options = parser.parse_args()
    network, steps = load_run(options.run)
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"{options.name}.onnx"
    write(network, path, options.ease, options.least)
    if not options.float:
        quantise(path)
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path} has {path.stat().st_size} bytes, more than the {MOST_BYTES} a shipped model may have.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    description = sidecar(options.name, options.version, network.shape, digest)
    path.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n")
    print(f"{path}: {path.stat().st_size} bytes, {steps} steps of training.")


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(str(error))
