"""The network: features of one hop in, one gain per band and the chance of a voice out."""

import torch
from torch import Tensor, nn

from bands import BANDS


class Denoiser(nn.Module):
    """Linear, two GRUs whose states are explicit, and a gain per band; causal, hop by hop."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.inner = nn.Linear(BANDS, width)
        self.first = nn.GRU(width, width, batch_first=True)
        self.second = nn.GRU(width, width, batch_first=True)
        self.gain = nn.Linear(3 * width, BANDS)
        self.voice = nn.Linear(width, 1)

    def forward(self, features: Tensor, h1: Tensor, h2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Takes [batch, hops, bands] and two states [1, batch, width].

        Returns the gains [batch, hops, bands], the voice activity [batch, hops, 1] and the next states.
        """
        inner = torch.relu(self.inner(features))
        short, h1 = self.first(inner, h1)
        long, h2 = self.second(short, h2)
        gains = torch.sigmoid(self.gain(torch.cat([long, short, inner], -1)))
        return gains, torch.sigmoid(self.voice(long)), h1, h2

    def states(self, batch: int = 1) -> tuple[Tensor, Tensor]:
        """States of a stream that begins."""
        return torch.zeros(1, batch, self.width), torch.zeros(1, batch, self.width)


EASE = 0.9
"""The power all gains are raised to: a little less is taken from speech than the loss asks for."""
GATE_FROM, GATE_TO, GATE_FLOOR = 0.04, 0.44, 0.05
"""Below the chance `GATE_TO` of a voice all gains fall, at most to this share of themselves.

These and EASE were chosen on the validation set.
"""


class Shipped(nn.Module):
    """A trained network as it is exported: what is left between words is turned down once more."""

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, h1: Tensor, h2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Like Denoiser.forward."""
        gains, voice, h1, h2 = self.network(features, h1, h2)
        gate = torch.clamp((voice - GATE_FROM) / (GATE_TO - GATE_FROM), GATE_FLOOR, 1)
        return gains**EASE * gate, voice, h1, h2
