"""What the network is trained to make small."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bands import FLOOR, OFFSET, SCALE, WIDTHS
from mixing import Batch

WIDTH = torch.from_numpy(WIDTHS)
OVER_SUPPRESSION = 1.3
"""Taking speech away costs this many times more than leaving noise."""


class Loss(NamedTuple):
    """The total and its parts."""

    total: Tensor
    loudness: Tensor
    """Squared error of compressed band powers: close to what is heard."""
    error_db: Tensor
    """Error of the waveform against the speech, in dB: what SI-SDR measures."""
    pause_db: Tensor
    """Noise left in pauses, in dB."""
    voice: Tensor
    """Cross entropy of the voice activity."""
    swing_db: Tensor
    """Standard deviation, within a clip, of what is taken from the noise in pauses: pumping, in dB."""
    jumps: Tensor
    """Squared change of the logarithm of the gains from hop to hop in pauses."""


def network_features(noisy: Tensor) -> Tensor:
    """The features of bands.py on tensors."""
    return (torch.log10(noisy / WIDTH + FLOOR) + OFFSET) * SCALE


def measure(
    batch: Batch, gains: Tensor, voice: Tensor, weights: tuple[float, ...], low: Tensor | None = None
) -> Loss:
    """The loss of `gains` and `voice` activity; `weights` are those of error, pauses, voice, swing and jumps.

    `low` is what a deep filter made of `batch.noisy_low`; the gains apply to it.
    """
    power, cross = batch.noisy, batch.cross
    if low is not None:
        bins = low.shape[2]
        power = torch.cat([low.square().sum(-1), power[..., bins:]], -1)
        cross = torch.cat([(low * batch.clean_low).sum(-1), cross[..., bins:]], -1)
    kept = gains.square() * power
    loudness = _compress(kept, batch.level) - _compress(batch.clean, batch.level)
    loudness = torch.where(loudness < 0, loudness * OVER_SUPPRESSION, loudness).square().mean() * 50

    error = (kept - 2 * gains * cross + batch.clean).sum((1, 2))
    speech = batch.clean.sum((1, 2))
    scale = 1e-3 * batch.level[:, 0, 0] * batch.clean.shape[1]
    error_db = (10 * torch.log10((error.clamp(min=0) + scale) / (speech + scale))).clamp(min=-38).mean()

    loud = batch.clean.sum(-1)
    talking = (loud > loud.amax(1, keepdim=True) * 2e-3) & (loud > 0)
    pause = (loud <= loud.amax(1, keepdim=True) * 1e-4).float()
    before = (batch.noisy.sum(-1) * pause).sum(1)
    after = (kept.sum(-1) * pause).sum(1)
    heard = ((pause.sum(1) > 10) & (before > scale)).float()
    pause_db = (10 * torch.log10((after + 1e-3 * before + 1e-9) / (before + 1e-9))).clamp(min=-30)
    pause_db = (pause_db * heard).sum() / heard.sum().clamp(min=1)

    swing_db, jumps = _unsteady(gains, batch.noisy.sum(-1), kept.sum(-1), pause, heard)
    activity = nn.functional.binary_cross_entropy(voice[..., 0], talking.float())
    parts = (error_db, pause_db, activity, swing_db, jumps)
    total = loudness + sum(weight * part for weight, part in zip(weights, parts))
    return Loss(total, loudness, *parts)


def _unsteady(gains: Tensor, before: Tensor, after: Tensor, pause: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
    """Pumping and flicker in the pauses of the clips in which noise is `heard` there."""
    taken = 10 * torch.log10((after + 1e-4 * before + 1e-12) / (before + 1e-12))
    count = pause.sum(1).clamp(min=1)
    mean = (taken * pause).sum(1, keepdim=True) / count[:, None]
    variance = ((taken - mean).square() * pause).sum(1) / count
    swing = ((variance + 0.01).sqrt() * heard).sum() / heard.sum().clamp(min=1)
    level = torch.log(gains + 0.03)
    both = (pause[:, 1:] * pause[:, :-1])[..., None]
    jumps = ((level[:, 1:] - level[:, :-1]).square() * both).mean((1, 2)).mean()
    return swing, jumps


def _compress(power: Tensor, level: Tensor) -> Tensor:
    return (power / WIDTH / level + 1e-6) ** 0.15
