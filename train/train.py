"""Trains the network on the banks; writes runs/NAME/latest.pt, from which it goes on when started again."""

import cpu  # noqa: F401  before numpy and torch

import argparse
import copy
import json
import math
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from bands import LOW
from loss import Loss, Weights, measure, network_features
from mixing import Batch, Mixer
from model import Denoiser, deep_filter
from packages import RUNS
from progress import Progress
from weights import read_onnx, widened

SAVE_SECONDS = 120
AVERAGING = 0.998
"""Each step the shipped weights move this share less than all the way to the trained ones."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the run")
    parser.add_argument("--minutes", type=float, default=60, help="processor time to train, over all starts (default: 60)")
    parser.add_argument("--steps", type=int, help="train this many steps instead, for a fair comparison")
    parser.add_argument("--width", type=int, default=128, help="units of each GRU (default: 128)")
    parser.add_argument("--deep", type=int, nargs=2, default=(0, 0), metavar=("BINS", "TAPS"),
                        help="a deep filter over this many low bins and hops (default: none)")
    parser.add_argument("--hops", type=int, default=300, help="length of a clip in 10 ms hops (default: 300)")
    parser.add_argument("--pairs", type=int, default=8, help="speech and noise pairs in a batch (default: 8)")
    parser.add_argument("--mixes", type=int, default=2, help="ratios at which each pair is mixed (default: 2)")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate (default: 0.0015)")
    parser.add_argument("--seed", type=int, default=7, help="seed of weights and mixing (default: 7)")
    parser.add_argument("--from", dest="start", help="name of a run, or path of an exported .onnx file, whose weights to start from")
    parser.add_argument("--weights", type=Weights.parse, default=Weights(), metavar="KEY=VALUE,...",
                        help="what differs from the default weights of the loss, see Weights in loss.py")
    parser.add_argument("--half", action="store_true",
                        help="compute the network's products in bfloat16, in 0.55 of the time where the processor has them (AVX-512 BF16)")
    options = parser.parse_args()
    if options.minutes <= 0 or (options.steps is not None and options.steps <= 0):
        parser.error("--minutes and --steps must be more than 0.")
    if not 0 <= options.deep[0] <= LOW or not 0 <= options.deep[1] <= 8 or (options.deep[0] == 0) != (options.deep[1] == 0):
        parser.error(f"--deep must be 1 to {LOW} bins and 1 to 8 hops.")
    if options.hops < 50:
        parser.error("--hops must be at least 50.")
    return options


def apply(network: Denoiser, batch: Batch, weights: Weights, half: bool = False) -> Loss:
    """Runs the network over a batch from empty states, its products in bfloat16 with `half`."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        gains, voice, _, _, *filters = network(network_features(batch.noisy), *network.states(len(batch.noisy)))
    low = deep_filter(filters[0].float(), batch.noisy_low, network.taps) if filters else None
    return measure(batch, gains.float(), voice.float(), weights, low)


def validate(network: Denoiser, batches: list[Batch], weights: Weights) -> list[float]:
    """Mean of each part of the loss over the validation batches."""
    with torch.no_grad():
        losses = [apply(network, batch, weights) for batch in batches]
    return [round(sum(float(part) for part in parts) / len(losses), 4) for parts in zip(*losses)]


def average(shadow: Denoiser, network: Denoiser, step: int) -> None:
    """Moves the averaged weights towards the trained ones, faster in the beginning."""
    keep = min(AVERAGING, (1 + step) / (20 + step))
    with torch.no_grad():
        for slow, fast in zip(shadow.parameters(), network.parameters()):
            slow.lerp_(fast, 1 - keep)


class Run:
    """The state of a run that survives a restart."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.folder = RUNS / options.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = Denoiser(options.width, *options.deep)
        self.shadow = copy.deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=options.rate, weight_decay=1e-4)
        self.step, self.seconds, self.stopped = 0, 0.0, False
        latest = self.folder / "latest.pt"
        if latest.exists():
            self._load(latest)
        elif options.start:
            weights = widened(start_weights(options.start), self.network)
            self.network.load_state_dict(weights)
            self.shadow.load_state_dict(weights)

    def _load(self, path: Path) -> None:
        state = torch.load(path)
        self.network.load_state_dict(state["network"])
        self.shadow.load_state_dict(state["shadow"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Writes the checkpoint in one move, so that a kill leaves the one before."""
        state = {"shape": self.network.shape, "network": self.network.state_dict(), "shadow": self.shadow.state_dict(),
                 "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.seconds}
        torch.save(state, self.folder / "next.pt")
        (self.folder / "next.pt").rename(self.folder / "latest.pt")

    def done(self, options: argparse.Namespace) -> float:
        """How much of the time or the steps is used up, 0 to 1."""
        return self.step / options.steps if options.steps else self.seconds / options.minutes / 60

    def stop(self) -> None:
        """Ends the loop after this step; what was learned is kept."""
        self.stopped = True

    def log(self, entry: dict) -> None:
        """Appends one line to log.jsonl."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")


def start_weights(start: str) -> dict[str, Tensor]:
    """The weights of an exported model or of a run; raises FileNotFoundError with a sentence."""
    return read_onnx(Path(start)) if start.endswith(".onnx") else torch.load(start_path(start))["shadow"]


def load_run(name: str) -> tuple[Denoiser, int]:
    """The averaged weights of a run and its steps; raises FileNotFoundError with a sentence."""
    state = torch.load(start_path(name))
    network = Denoiser(*state["shape"])
    network.load_state_dict(state["shadow"])
    return network, state["step"]


def start_path(name: str) -> Path:
    """The checkpoint of the run `name`; raises FileNotFoundError with a sentence."""
    path = RUNS / name / "latest.pt"
    if not path.exists():
        raise FileNotFoundError(f"There is no run named {name}: {path} is missing.")
    return path


def main() -> None:
    """Trains until the minutes or the steps are used up."""
    options = arguments()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    run = Run(options)
    signal.signal(signal.SIGTERM, lambda *_: run.stop())
    mixer = Mixer("train", options.seed + run.step, options.hops, options.pairs, options.mixes, bins=options.deep[0])
    validation = Mixer("validation", 3, 500, 16, mixes=1, bins=options.deep[0])
    held = [validation.draw() for _ in range(4)]
    progress, saved = Progress(options.name, 1), time.monotonic()
    while run.done(options) < 1 and not run.stopped:
        began = time.process_time()
        rate = options.rate * min(1, (run.step + 1) / 150) * 0.5 * (1 + math.cos(math.pi * run.done(options))) + 1e-5
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        loss = apply(run.network, mixer.draw(), options.weights, options.half)
        run.optimiser.zero_grad()
        loss.total.backward()
        nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
        run.optimiser.step()
        run.step += 1
        average(run.shadow, run.network, run.step)
        run.seconds += time.process_time() - began
        progress.update(run.done(options), f"step {run.step} loss {loss.total.item():.3f} error {loss.error_db.item():.2f} dB")
        if time.monotonic() - saved > SAVE_SECONDS or run.done(options) >= 1 or run.stopped:
            run.save()
            run.log({"step": run.step, "seconds": round(run.seconds), "validation": validate(run.shadow, held, options.weights)})
            saved = time.monotonic()
    print(f"{run.folder}/latest.pt after {run.step} steps: {validate(run.shadow, held, options.weights)}")


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(str(error))
