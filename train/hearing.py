"""How loud the difference between two sounds is, after the model of hearing in ITU-T P.862, out of the power of our bands.

A simplification of it: no alignment in time or frequency, thresholds by Terhardt's formula, and bands half a bark wide.
The result is about the MOS points that the difference costs.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from bands import BINS, EDGES, LOW

BIN_HZ = 24_000 / (BINS - 1)
TOP_HZ = 8000
SPEECH_DB = 79
"""Sound pressure level at which speech is heard."""
WIDTH_BARK = 0.5
LOUDNESS, POWER = 0.1866, 0.23
"""Sones of the loudness density, and Zwicker's exponent."""


def _bark(hz: np.ndarray) -> np.ndarray:
    return 26.81 * hz / (1960 + hz) - 0.53


def _matrix() -> tuple[np.ndarray, np.ndarray]:
    """Shares of our bands' power that fall into each critical band, and the thresholds of hearing there as powers."""
    bins = np.arange(BINS)
    cuts = np.arange(_bark(np.array(100.0)), _bark(np.array(float(TOP_HZ))), WIDTH_BARK)
    fine = (np.arange(BINS * 40) + 0.5) / 40 * BIN_HZ - BIN_HZ / 2
    shares = np.stack([((_bark(fine) >= low) & (_bark(fine) < low + WIDTH_BARK)).reshape(BINS, 40).mean(1) for low in cuts], 1)
    owner = np.concatenate([np.arange(LOW), LOW + np.searchsorted(EDGES, np.arange(LOW, BINS), "right") - 1])
    widths = np.bincount(owner)
    matrix = np.zeros((len(widths), len(cuts)))
    np.add.at(matrix, owner, shares / widths[owner][:, None])
    centre = (shares * (bins * BIN_HZ)[:, None]).sum(0) / shares.sum(0) / 1000
    threshold = 3.64 * centre**-0.8 - 6.5 * np.exp(-0.6 * (centre - 3.3) ** 2) + 1e-3 * centre**4
    return matrix.astype(np.float32), (10 ** (threshold / 10)).astype(np.float32)


@cache
def _constants(device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(part).to(device) for part in _matrix())


def _loudness(power: Tensor, threshold: Tensor) -> Tensor:
    return LOUDNESS * (2 * threshold) ** POWER * ((0.5 + 0.5 * power / threshold) ** POWER - 1)


def disturbance(kept: Tensor, clean: Tensor, level: Tensor) -> Tensor:
    """Per clip, what is heard of the difference between the band powers `kept` and `clean` [clips, hops, bands].

    `level` [clips, 1, 1] is the power that a bin of speech has on average.
    """
    matrix, threshold = _constants(kept.device)
    scale = 10 ** (SPEECH_DB / 10) / BINS / level
    ours, reference = (kept * scale) @ matrix, (clean * scale) @ matrix
    loud, wanted = _loudness(ours, threshold), _loudness(reference, threshold)
    difference = loud - wanted
    masked = torch.relu(difference.abs() - 0.25 * torch.minimum(loud, wanted))
    added = ((ours + 50) / (reference + 50)).detach() ** 1.2
    added = torch.where(added < 3, 0, added.clamp(max=12))
    symmetric = (masked.square().sum(-1) * WIDTH_BARK + 1e-4).sqrt().clamp(max=45)
    asymmetric = ((masked * added).sum(-1) * WIDTH_BARK).clamp(max=45 * 3)
    return 0.1 * _over_time(symmetric) + 0.0309 * _over_time(asymmetric)


def _over_time(values: Tensor) -> Tensor:
    return (values.square().mean(1) + 1e-6).sqrt()
