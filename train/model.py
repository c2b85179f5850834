"""The network: features of one hop in, one gain per band and the chance of a voice out."""

import copy

import torch
from torch import Tensor, nn

from bands import BANDS


class Denoiser(nn.Module):
    """Linear, two GRUs whose states are explicit, and a gain per band; causal, hop by hop.

    With `taps` a deep filter (Mack and Habets 2020) first weighs the lowest `bins` bins of the last `taps` hops together.
    """

    def __init__(self, width: int = 128, bins: int = 0, taps: int = 0) -> None:
        super().__init__()
        self.width, self.bins, self.taps = width, bins, taps
        self.inner = nn.Linear(BANDS, width)
        self.first = nn.GRU(width, width, batch_first=True)
        self.second = nn.GRU(width, width, batch_first=True)
        self.gain = nn.Linear(3 * width, BANDS)
        self.voice = nn.Linear(width, 1)
        if taps > 0:
            self.filter = nn.Linear(width, 2 * bins * taps)
            nn.init.normal_(self.filter.weight, std=0.003)
            with torch.no_grad():
                self.filter.bias.zero_().view(bins, taps, 2)[:, 0, 0] = 1

    def forward(self, features: Tensor, h1: Tensor, h2: Tensor) -> tuple[Tensor, ...]:
        """Takes [batch, hops, bands] and two states [1, batch, width].

        Returns the gains [batch, hops, bands], the voice activity [batch, hops, 1], the next states and, with a deep
        filter, its weights [batch, hops, bins * taps * 2]: of each bin, of each tap (the hop itself first), both parts.
        """
        inner = torch.relu(self.inner(features))
        short, h1 = self.first(inner, h1)
        long, h2 = self.second(short, h2)
        gains = torch.sigmoid(self.gain(torch.cat([long, short, inner], -1)))
        weights = (self.filter(long),) if self.taps > 0 else ()
        return gains, torch.sigmoid(self.voice(long)), h1, h2, *weights

    @property
    def shape(self) -> tuple[int, int, int]:
        """What the constructor takes."""
        return self.width, self.bins, self.taps

    def states(self, batch: int = 1) -> tuple[Tensor, Tensor]:
        """States of a stream that begins."""
        return torch.zeros(1, batch, self.width), torch.zeros(1, batch, self.width)


class Step(nn.Module):
    """One hop of a GRU as the products of matrices that it is, which a runtime can compute in 8 bits."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        self.width = gru.hidden_size
        self.input, self.hidden = (nn.Linear(size, 3 * self.width) for size in (gru.input_size, self.width))
        self.input.weight, self.input.bias = gru.weight_ih_l0, gru.bias_ih_l0
        self.hidden.weight, self.hidden.bias = gru.weight_hh_l0, gru.bias_hh_l0

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Takes [1, 1, size] and the state [1, 1, width]; returns the next state twice, as nn.GRU does for one hop."""
        new, old, width = self.input(inputs), self.hidden(state), self.width
        reset, update = torch.sigmoid(new[..., : 2 * width] + old[..., : 2 * width]).split(width, -1)
        fresh = torch.tanh(new[..., 2 * width :] + reset * old[..., 2 * width :])
        state = fresh + update * (state - fresh)
        return state, state


def unrolled(network: Denoiser) -> Denoiser:
    """The same network for a single hop."""
    network = copy.deepcopy(network)
    network.first, network.second = Step(network.first), Step(network.second)
    return network


class Shipped(nn.Module):
    """A trained network as it is exported: its gains to a power, and none below a least one."""

    def __init__(self, network: Denoiser, ease: float = 1, least: float = 0) -> None:
        """`ease` is the power, `least` the least gain."""
        super().__init__()
        self.network, self.ease, self.least = network, ease, least

    def forward(self, features: Tensor, h1: Tensor, h2: Tensor) -> tuple[Tensor, ...]:
        """Like Denoiser.forward."""
        gains, *others = self.network(features, h1, h2)
        gains = gains if self.ease == 1 else gains**self.ease
        return (gains if self.least == 0 else torch.clamp(gains, min=self.least)), *others


def deep_filter(weights: Tensor, spectra: Tensor, taps: int) -> Tensor:
    """Applies the weights of Denoiser.forward to [batch, hops, bins, 2]; before the first hop there is silence."""
    batch, hops, bins, _ = spectra.shape
    weights = weights.view(batch, hops, bins, taps, 2)
    past = nn.functional.pad(spectra, (0, 0, 0, 0, taps - 1, 0))
    total = torch.zeros_like(spectra)
    for tap in range(taps):
        real, imaginary = past[:, taps - 1 - tap :][:, :hops].unbind(-1)
        weight_real, weight_imaginary = weights[..., tap, :].unbind(-1)
        total = total + torch.stack(
            [real * weight_real - imaginary * weight_imaginary, real * weight_imaginary + imaginary * weight_real], -1
        )
    return total
