"""Trains only the layer that gives the gains, which moves what a run weighs against what in a minute or two."""

import cpu  # noqa: F401  before numpy and torch

import argparse
import math
import sys

import torch
from torch import Tensor

from loss import Weights, measure, network_features
from mixing import Batch, Mixer
from model import Denoiser
from packages import RUNS
from train import load_run

AVERAGING = 0.98
WARM_STEPS = 30
Seen = tuple[Batch, Tensor, Tensor]


def seen(network: Denoiser, batch: Batch) -> Seen:
    """A batch, what the last layer gets of it, and the voice activity."""
    with torch.no_grad():
        features, states = network_features(batch.noisy), network.states(len(batch.noisy))
        inner = torch.relu(network.inner(features))
        short, _ = network.first(inner, states[0])
        long, _ = network.second(short, states[1])
        return batch, torch.cat([long, short, inner], -1).half(), torch.sigmoid(network.voice(long))


def losses(network: Denoiser, held: list[Seen], weights: Weights) -> list[float]:
    """Mean of each part of the loss over batches that are not trained on."""
    with torch.no_grad():
        found = [measure(batch, torch.sigmoid(network.gain(inputs.float())), voice, weights) for batch, inputs, voice in held]
    return [round(sum(float(part) for part in parts) / len(found), 3) for parts in zip(*found)]


def main() -> None:
    """Writes the run NEW."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="name of the run to start from")
    parser.add_argument("new", help="name of the run to write")
    parser.add_argument("--batches", type=int, default=40, help="batches of 24 clips of 3 s to train on (default: 40)")
    parser.add_argument("--steps", type=int, default=400, help="steps (default: 400)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: 0.001)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the mixing (default: 7)")
    parser.add_argument("--weights", type=Weights.parse, default=Weights(), metavar="KEY=VALUE,...",
                        help="what differs from the default weights of the loss, see Weights in loss.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    network, steps = load_run(options.run)
    mixer = Mixer("train", options.seed, 300, 12, 2)
    batches = [seen(network, mixer.draw()) for _ in range(options.batches + 3)]
    held, batches = batches[:3], batches[3:]
    slow = {name: value.clone() for name, value in network.gain.state_dict().items()}
    optimiser = torch.optim.Adam(network.gain.parameters(), lr=options.rate)
    print("before", losses(network, held, options.weights))
    for step in range(options.steps):
        rate = options.rate * min(1, (step + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * step / options.steps)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch, inputs, voice = batches[int(torch.randint(len(batches), (1,)))]
        loss = measure(batch, torch.sigmoid(network.gain(inputs.float())), voice, options.weights)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        for name, value in network.gain.state_dict().items():
            slow[name].lerp_(value, 1 - AVERAGING)
    network.gain.load_state_dict(slow)
    print("after", losses(network, held, options.weights))
    (RUNS / options.new).mkdir(parents=True, exist_ok=True)
    torch.save({"shape": network.shape, "shadow": network.state_dict(), "step": steps}, RUNS / options.new / "latest.pt")


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(str(error))
