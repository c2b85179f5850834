"""Trains one or more networks on a GPU, on the same mixtures, until a time is over; writes runs/NAME/latest.pt.

Needs the folders that make_pack.py wrote, which hold all that training reads and fit on a machine without the packages.
"""

import cpu  # noqa: F401  before numpy and torch

import argparse
import contextlib
import copy
import json
import math
import os
import sys
import threading
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from feeding import Bank, Feed
from gpu_mixing import GpuMixer
from loss import Loss, Weights, measure, network_features
from mixing import Batch
from model import Denoiser
from pack import read_pack
from packages import RUNS
from train import start_weights
from weights import widened

AVERAGING = 0.999
WARM_STEPS = 300


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path, nargs="+", help="folders that make_pack.py wrote")
    parser.add_argument("--output", type=Path, default=RUNS, help="where the folders of the runs go (default: runs)")
    parser.add_argument("--arm", action="append", required=True, metavar="NAME:WIDTH:KEY=VALUE,...",
                        help="a network to train: its name, its width and what differs from the default weights of the loss")
    parser.add_argument("--from", dest="start", help="name of a run, or path of an exported .onnx file, whose weights to start from")
    parser.add_argument("--seconds", type=float, default=540, help="time to train, from the first step (default: 540)")
    parser.add_argument("--hops", type=int, default=300, help="length of a clip in 10 ms hops (default: 300)")
    parser.add_argument("--pairs", type=int, default=128, help="speech and noise pairs in a batch (default: 128)")
    parser.add_argument("--mixes", type=int, default=2, help="ratios at which each pair is mixed (default: 2)")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate (default: 0.0015)")
    parser.add_argument("--seed", type=int, default=7, help="seed of weights and mixing (default: 7)")
    parser.add_argument("--bank", type=int, default=12_000, help="pieces of ten seconds to keep of each kind (default: 12000)")
    parser.add_argument("--least", type=int, default=300, help="pieces of each kind to wait for (default: 300)")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="that make pieces")
    parser.add_argument("--every", type=float, default=60, help="seconds between checkpoints (default: 60)")
    parser.add_argument("--device", default="cuda", help="device (default: cuda)")
    return parser.parse_args()


class Arm:
    """A network that is trained with its own loss, on a stream of its own."""

    def __init__(self, description: str, options: argparse.Namespace, device: torch.device) -> None:
        self.name, width, changes = (description + "::").split(":")[:3]
        self.weights = Weights.parse(changes)
        torch.manual_seed(options.seed)
        network = Denoiser(int(width))
        if options.start:
            network.load_state_dict(widened(start_weights(options.start), network))
        self.network = network.to(device)
        self.shadow = copy.deepcopy(self.network)
        self._parameters = list(self.network.parameters())
        on_gpu = device.type == "cuda"
        self.optimiser = torch.optim.AdamW(self._parameters, lr=options.rate, weight_decay=1e-4, fused=on_gpu)
        self.stream = torch.cuda.Stream(device) if on_gpu else None
        self.step, self._sums, self._since = 0, torch.zeros(len(Loss._fields), device=device), 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._states: tuple[Tensor, ...] = ()

    def capture(self, batch: Batch) -> None:
        """Records the work of a step on `batch`, whose tensors stay the same, so that the host need not start each part of it."""
        self._states = tuple(state.to(batch.noisy.device) for state in self.network.states(len(batch.noisy)))
        torch.cuda.synchronize()
        with torch.cuda.stream(self.stream):
            for _ in range(3):
                self.optimiser.zero_grad()
                self._gradients(batch)
        torch.cuda.synchronize()
        self.optimiser.zero_grad()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self._parts = self._gradients(batch)
            self._graph = graph
        except RuntimeError as error:
            print(f"{self.name} is not recorded: {error}", flush=True)
        torch.cuda.synchronize()

    def train(self, batch: Batch, rate: float) -> None:
        """One step; nothing here waits for the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if self._graph is not None:
            self._graph.replay()
        else:
            self._states = tuple(state.to(batch.noisy.device) for state in self.network.states(len(batch.noisy)))
            self.optimiser.zero_grad()
            self._parts = self._gradients(batch)
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(AVERAGING, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.shadow.parameters()), self._parameters, 1 - keep)
            self._sums += self._parts
        self._since += 1

    def _gradients(self, batch: Batch) -> Tensor:
        gains, voice, *_ = self.network(network_features(batch.noisy), *self._states)
        loss = measure(batch, gains, voice, self.weights)
        loss.total.backward()
        for parameter in self._parameters:
            parameter.grad.nan_to_num_(0, 0, 0)
        return torch.stack([part.detach() for part in loss])

    def report(self) -> dict:
        """Mean of the parts of the loss since the last report."""
        _wait(self._sums.device)
        parts = (self._sums / max(self._since, 1)).tolist()
        self._sums.zero_()
        self._since = 0
        return {"arm": self.name, "step": self.step, "loss": [round(part, 3) for part in parts]}

    def save(self, output: Path) -> None:
        """Writes the averaged weights in one move."""
        _wait(self._sums.device)
        folder = output / self.name
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.cpu() for name, value in self.shadow.state_dict().items()}
        torch.save({"shape": self.network.shape, "shadow": weights, "step": self.step}, folder / "next.pt")
        (folder / "next.pt").rename(folder / "latest.pt")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def run(options: argparse.Namespace) -> None:
    """Trains all arms."""
    began = time.monotonic()
    material = read_pack(options.pack, options.processes)
    print(f"material read after {time.monotonic() - began:.1f} s", flush=True)
    feed = Feed(material, options.processes, options.seed)
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = True
    speech, sounds = Bank(options.bank, device), Bank(options.bank, device)
    copying = torch.cuda.Stream(device) if on_gpu else None
    feed.fill(speech, sounds, (lambda: torch.cuda.stream(copying)) if on_gpu else contextlib.nullcontext)
    mixer = GpuMixer(speech, sounds, device, options.seed, options.hops, options.pairs, options.mixes)
    arms = [Arm(description, options, device) for description in options.arm]
    while min(speech.made, sounds.made) < options.least:
        time.sleep(0.05)
    print(f"{speech.made} + {sounds.made} pieces after {time.monotonic() - began:.1f} s", flush=True)
    beside = Beside(arms, mixer, feed.pause) if on_gpu else None
    print(f"ready after {time.monotonic() - began:.1f} s", flush=True)
    began = saved = printed = time.monotonic()
    while (passed := time.monotonic() - began) < options.seconds:
        done = passed / options.seconds
        rate = options.rate * min(1, (arms[0].step + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * done)) + 1e-6
        if beside is not None:
            beside.step(rate)
        else:
            batch = mixer.draw()
            for arm in arms:
                arm.train(batch, rate)
        if arms[0].step % 20 == 0:
            _wait(device)
        now = time.monotonic()
        if now - printed > min(15, options.every / 4):
            printed = now
            for arm in arms:
                entry = arm.report() | {"seconds": round(passed), "rate": round(rate, 6), "pieces": [speech.made, sounds.made]}
                print(json.dumps(entry), flush=True)
        if now - saved > options.every:
            saved = now
            for arm in arms:
                arm.save(options.output)
    for arm in arms:
        arm.save(options.output)
        print(json.dumps(arm.report()), flush=True)
    print(f"done: {arms[0].step} steps in {time.monotonic() - began:.1f} s", flush=True)
    feed.stop()


class Beside:
    """Trains several arms on the same batches, each on its own stream, while the next batch is drawn."""

    def __init__(self, arms: list[Arm], mixer: GpuMixer, pause: threading.Lock) -> None:
        self._arms, self._mixer = arms, mixer
        drawn = mixer.draw()
        self._batch = Batch(*(part.clone() for part in drawn))
        with pause:
            for arm in arms:
                arm.capture(self._batch)

    def step(self, rate: float) -> None:
        """Draws a batch and trains all arms on it."""
        drawn = self._mixer.draw()
        current = torch.cuda.current_stream()
        for arm in self._arms:
            current.wait_stream(arm.stream)
        for kept, part in zip(self._batch, drawn):
            kept.copy_(part)
        for arm in self._arms:
            arm.stream.wait_stream(current)
            with torch.cuda.stream(arm.stream):
                arm.train(self._batch, rate)


if __name__ == "__main__":
    try:
        run(arguments())
    except FileNotFoundError as error:
        sys.exit(str(error))
