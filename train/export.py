"""Writes a trained run as models/unsay-denoise.onnx with the sidecar that describes it."""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import onnx
import torch

from bands import BANDS, EDGES, FLOOR, HOP, LOW, OFFSET, SCALE, WINDOW
from model import Denoiser, Shipped
from packages import HERE
from train import start_path

MODELS = HERE.parent / "models"
INPUTS, OUTPUTS = ["feat", "h1", "h2"], ["gain", "vad", "h1_out", "h2_out"]
MOST_BYTES = 2_000_000


def sidecar(name: str, version: str, width: int, digest: str) -> dict:
    """What the denoise stage needs to know about the file."""
    state = [1, 1, width]
    return {
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


def write(network: Denoiser, path: Path) -> None:
    """Exports one hop of the network with its states as inputs and outputs."""
    network.eval()
    example = (torch.zeros(1, 1, BANDS), *network.states())
    torch.onnx.export(Shipped(network), example, str(path), opset_version=17, input_names=INPUTS, output_names=OUTPUTS)
    onnx.checker.check_model(onnx.load(str(path)))


def main() -> None:
    """Exports a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="name of the run")
    parser.add_argument("--version", required=True, help='version written into the sidecar, such as "0.2"')
    parser.add_argument("--name", default="unsay-denoise", help="file name without ending (default: unsay-denoise)")
    options = parser.parse_args()
    state = torch.load(start_path(options.run))
    network = Denoiser(state["width"])
    network.load_state_dict(state["shadow"])
    MODELS.mkdir(exist_ok=True)
    path = MODELS / f"{options.name}.onnx"
    write(network, path)
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path} has {path.stat().st_size} bytes, more than the {MOST_BYTES} a shipped model may have.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    description = sidecar(options.name, options.version, state["width"], digest)
    path.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n")
    print(f"{path}: {path.stat().st_size} bytes, {state['step']} steps of training.")


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(str(error))
