"""What the network is trained to make small."""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bands import FLOOR, OFFSET, SCALE, WIDTHS
from hearing import disturbance
from mixing import Batch

ONSET_HOPS, QUIET_HOPS = 7, 15
"""The first hops of speech after this many without any are an onset."""


@cache
def _widths(device: torch.device) -> Tensor:
    """Bins of each band; kept on each device, since a copy would make the host wait for it."""
    return torch.from_numpy(WIDTHS).to(device)


class Weights(NamedTuple):
    """How much each part of the loss counts beside the loudness, and how the loudness counts."""

    error: float = 0.12
    pauses: float = 0.02
    voice: float = 0.05
    swing: float = 0.02
    jumps: float = 0.1
    phase: float = 0.0
    """Of the loudness, times the mismatch in phase that real gains can only answer by being smaller."""
    heard: float = 0.0
    """Of the disturbance that is heard, in MOS points."""
    over: float = 1.3
    """Taking speech away costs this many times more than leaving noise."""
    onset: float = 1.0
    """And this many times more again in the first hops of speech after a pause."""

    @classmethod
    def parse(cls, changes: str) -> "Weights":
        """The default weights with `changes`, such as "heard=1.5,over=1"; raises ValueError or TypeError for others."""
        pairs = (change.split("=") for change in changes.split(",") if change)
        return cls(**{key: float(value) for key, value in pairs})


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
    phase: Tensor
    heard: Tensor
    """See Weights."""


def network_features(noisy: Tensor) -> Tensor:
    """The features of bands.py on tensors."""
    return (torch.log10(noisy / _widths(noisy.device) + FLOOR) + OFFSET) * SCALE


def measure(batch: Batch, gains: Tensor, voice: Tensor, weights: Weights, low: Tensor | None = None) -> Loss:
    """The loss of `gains` and `voice` activity.

    `low` is what a deep filter made of `batch.noisy_low`; the gains apply to it.
    """
    power, cross = batch.noisy, batch.cross
    if low is not None:
        bins = low.shape[2]
        power = torch.cat([low.square().sum(-1), power[..., bins:]], -1)
        cross = torch.cat([(low * batch.clean_low).sum(-1), cross[..., bins:]], -1)
    kept = gains.square() * power
    loud = batch.clean.sum(-1)
    talking = (loud > loud.amax(1, keepdim=True) * 2e-3) & (loud > 0)
    ours, wanted = _compress(kept, batch.level), _compress(batch.clean, batch.level)
    over = (weights.over * (1 + (weights.onset - 1) * _onsets(talking)))[..., None]
    loudness = torch.where(ours < wanted, (ours - wanted) * over, ours - wanted).square().mean() * 50
    aligned = (cross / (power * batch.clean + 1e-12 * batch.level.square()).sqrt()).clamp(-1, 1)
    phase = (ours * wanted * (1 - aligned)).mean() * 100 if weights.phase else loudness.detach() * 0

    error = (kept - 2 * gains * cross + batch.clean).sum((1, 2))
    speech = batch.clean.sum((1, 2))
    scale = 1e-3 * batch.level[:, 0, 0] * batch.clean.shape[1]
    error_db = (10 * torch.log10((error.clamp(min=0) + scale) / (speech + scale))).clamp(min=-38).mean()

    pause = (loud <= loud.amax(1, keepdim=True) * 1e-4).float()
    before = (batch.noisy.sum(-1) * pause).sum(1)
    after = (kept.sum(-1) * pause).sum(1)
    noisy = ((pause.sum(1) > 10) & (before > scale)).float()
    pause_db = (10 * torch.log10((after + 1e-3 * before + 1e-9) / (before + 1e-9))).clamp(min=-30)
    pause_db = (pause_db * noisy).sum() / noisy.sum().clamp(min=1)

    swing_db, jumps = _unsteady(gains, batch.noisy.sum(-1), kept.sum(-1), pause, noisy)
    activity = nn.functional.binary_cross_entropy(voice[..., 0], talking.float())
    heard = disturbance(kept, batch.clean, batch.level).mean() if weights.heard else loudness.detach() * 0
    parts = (error_db, pause_db, activity, swing_db, jumps, phase, heard)
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


def _onsets(talking: Tensor) -> Tensor:
    """1 in the first hops of speech after a pause [clips, hops], 0 elsewhere."""
    talks = talking.float()
    before = nn.functional.avg_pool1d(nn.functional.pad(talks, (QUIET_HOPS, 0))[:, None, :-1], QUIET_HOPS, 1)[:, 0]
    begins = talks * (before < 1e-3)
    return talks * nn.functional.max_pool1d(nn.functional.pad(begins, (ONSET_HOPS - 1, 0))[:, None], ONSET_HOPS, 1)[:, 0]


def _compress(power: Tensor, level: Tensor) -> Tensor:
    return (power / _widths(power.device) / level + 1e-6) ** 0.15
