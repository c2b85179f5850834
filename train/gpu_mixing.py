"""What mixing.py does, in batches on a GPU: hundreds of mixtures in some milliseconds."""

import numpy as np
import torch
from scipy.signal import sosfreqz
from torch import Tensor

from audio import RATE
from bands import BINS, HOP, LOW, ROOT_HANN, UPPER, WIDTHS, WINDOW
from feeding import LENGTH, Bank
from mixing import BIN_HZ, FAINT, FAINT_RATIO, LINE, TALKERS, UNIT_POWER, Batch

CALLED, OVERLOADED, WHISPERED = 0.08, 0.1, 0.04
"""Shares of pairs that come through a telephone, are clipped, and are whispered."""
KNOTS = (0, 2, 5, 10, 20, 40, 80, 140, 240, BINS - 1)
STEPS = 32


class GpuMixer:
    """Mixes pieces of two banks."""

    def __init__(self, speech: Bank, sounds: Bank, device: torch.device, seed: int, hops: int, pairs: int, mixes: int) -> None:
        self._speech, self._sounds, self._device = speech, sounds, device
        self._hops, self._pairs, self._mixes = hops, pairs, mixes
        self._length = (hops - 1) * HOP + WINDOW
        self._random = torch.Generator(device).manual_seed(seed)
        self._window = self._tensor(ROOT_HANN)
        self._upper, self._widths = self._tensor(UPPER), self._tensor(WIDTHS)
        self._at = torch.arange(self._length, device=device)
        self._bins = torch.arange(BINS, device=device)
        self._octaves = torch.log2(self._bins.clamp(min=1) * BIN_HZ / 1000)
        knots = np.stack([np.interp(np.arange(BINS), KNOTS, row) for row in np.eye(len(KNOTS))])
        self._knots = self._tensor(knots)
        frequency = np.fft.rfftfreq(self._length, 1 / RATE)
        self._line = torch.from_numpy(sosfreqz(LINE, frequency, fs=RATE)[1].astype(np.complex64)).to(device)

    def draw(self) -> Batch:
        """The next batch of pairs * mixes clips."""
        pairs = self._pairs
        called = round(pairs * CALLED)
        overloaded = called + round(pairs * OVERLOADED)
        whispered = overloaded + round(pairs * WHISPERED)
        talkers = whispered + round(pairs * TALKERS)
        speech, bandwidths = self._voices(slice(whispered, talkers))
        noise = self._noise()
        if called:
            speech[:called], noise[:called] = self._telephone(speech[:called], noise[:called])
        if overloaded > called:
            noise[called:overloaded] = self._overload(speech[called:overloaded], noise[called:overloaded])
        voices, sounds = self._transform(speech), self._transform(noise)
        if whispered > overloaded:
            voices[overloaded:whispered] = self._whisper(voices[overloaded:whispered])
        plain = (torch.arange(pairs, device=self._device) >= called) & (torch.arange(pairs, device=self._device) < overloaded)
        for spectra in (voices, sounds):
            spectra *= torch.where(plain[:, None], 1, self._equaliser())[:, None]
        voices = self._extend(voices, bandwidths, (self._uniform(pairs) < 0.6) & ~plain)
        response = self._channel()[:, None]
        voices *= response
        sounds *= response
        clean, noisy = self._sums(_power(voices)), self._sums(_power(sounds))
        cross = self._sums(voices.real * sounds.real + voices.imag * sounds.imag)
        return self._mix(*(part.repeat(self._mixes, 1, 1) for part in (clean, noisy, cross)), plain.repeat(self._mixes))

    def _mix(self, clean: Tensor, noise: Tensor, cross: Tensor, overloaded: Tensor) -> Batch:
        clips = len(clean)
        kind = self._uniform(clips)
        ratio = 10 ** (-self._uniform(clips, -6, 20) / 20)
        ratio = torch.where(kind < 0.17, ratio * torch.where(kind < FAINT, FAINT_RATIO, 0.04), ratio)
        ratio = torch.where(overloaded, 1, ratio)
        faint = ((kind < FAINT) & ~overloaded)[:, None, None]
        level = 10 ** (self._uniform(clips, -48, -12) / 20)
        voice = torch.where((kind > 0.96) & ~overloaded, 0, level)[:, None, None]
        sound = (level * ratio)[:, None, None]
        both = voice * sound * cross
        whole = (voice.square() * clean + sound.square() * noise + 2 * both).clamp(min=0)
        target = torch.where(faint, whole, voice.square() * clean)
        floor = torch.where(self._uniform(clips) < 0.4, 10 ** (self._uniform(clips, -100, -60) / 20), 0)[:, None, None]
        hiss = floor.square() * UNIT_POWER * torch._standard_gamma(self._widths.expand(clean.shape).contiguous())
        reference = (level.square() * UNIT_POWER)[:, None, None]
        none = torch.zeros(clips, self._hops, 0, 2, device=self._device)
        return Batch(whole + hiss, target, torch.where(faint, whole, target + both), reference, none, none)

    def _voices(self, second: slice) -> tuple[Tensor, Tensor]:
        samples, rows = self._stretches(self._speech, self._pairs)
        samples = samples / _active_rms(samples)
        bandwidths = self._speech.bandwidths[rows]
        count = second.stop - second.start
        if count:
            others, _ = self._stretches(self._speech, count)
            samples[second] += others / _active_rms(others) * 10 ** (-self._uniform(count, 0, 10)[:, None] / 20)
        return samples, bandwidths

    def _noise(self) -> Tensor:
        pairs = self._pairs
        samples = self._stretches(self._sounds, pairs)[0]
        second = round(pairs * 0.3)
        if second:
            samples[:second] += self._uniform(second, 0.2, 1)[:, None] * self._stretches(self._sounds, second)[0]
        jump = torch.where(self._uniform(pairs) < 0.12, 10 ** (self._uniform(pairs, -20, 15) / 20), 1)[:, None]
        at = self._uniform(pairs, 0, self._length)[:, None]
        samples = torch.where(self._at > at, samples * jump, samples)
        samples = samples[torch.randperm(pairs, device=self._device, generator=self._random)]
        return samples / (samples.square().mean(1, keepdim=True).sqrt() + 1e-3)

    def _stretches(self, bank: Bank, count: int) -> tuple[Tensor, Tensor]:
        rows = (self._uniform(count) * bank.filled).long()
        starts = (self._uniform(count) * (LENGTH - self._length)).long()
        at = torch.where(self._uniform(count)[:, None] < (0.3 if bank is self._sounds else -1), self._at.flip(0), self._at)
        flat = (rows * LENGTH + starts)[:, None] + at
        return bank.samples.view(-1)[flat].float() / 2500, rows

    def _telephone(self, speech: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        rows = len(speech)
        mixed = self._filtered(speech + noise * 10 ** (-self._uniform(rows, -2, 20)[:, None] / 20))
        peak = mixed.abs().amax(1, keepdim=True).clamp(min=1e-6) * 10 ** (self._uniform(rows, 0, 24)[:, None] / 20)
        curve = mixed.sign() * torch.log1p(255 * (mixed.abs() / peak).clamp(max=1)) / np.log(256)
        coded = (curve * 127).round() / 127
        line = self._filtered(coded.sign() * torch.expm1(coded.abs() * np.log(256)) / 255 * peak)
        heard = self._filtered(self._filtered(speech))
        return heard, line - heard

    def _filtered(self, samples: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(samples) * self._line, self._length)

    def _overload(self, speech: Tensor, noise: Tensor) -> Tensor:
        rows = len(speech)
        mixed = speech + noise * 10 ** (-self._uniform(rows, 0, 20)[:, None] / 20)
        limit = mixed.abs().amax(1, keepdim=True) * 10 ** (-self._uniform(rows, 2, 8)[:, None] / 20)
        return mixed.clamp(-limit, limit) - speech

    def _whisper(self, voices: Tensor) -> Tensor:
        """The same words without a voice: noise under the smoothed spectrum of the speech."""
        rows = len(voices)
        hiss = self._transform(torch.randn(rows, self._length, device=self._device, generator=self._random)) / UNIT_POWER**0.5
        power = _power(voices)
        smooth = torch.nn.functional.avg_pool1d(power.flatten(0, 1)[:, None], 9, 1, 4)[:, 0].view_as(power)
        high = (self._bins * BIN_HZ / 500).clamp(max=1).square()
        return hiss * smooth.sqrt() * high

    def _transform(self, samples: Tensor) -> Tensor:
        return torch.fft.rfft(samples.unfold(-1, WINDOW, HOP) * self._window)

    def _sums(self, power: Tensor) -> Tensor:
        return torch.cat([power[..., :LOW], power[..., LOW:] @ self._upper], -1)

    def _equaliser(self) -> Tensor:
        rows = self._pairs
        decibel = 3 * self._normal(rows, len(KNOTS)) @ self._knots + 1.2 * self._normal(rows, 1) * self._octaves
        centre, width = self._uniform(rows, -2.5, 3.5)[:, None], self._uniform(rows, 0.15, 0.8)[:, None]
        bump = self._uniform(rows, -6, 9)[:, None] * (self._uniform(rows) < 0.5)[:, None]
        return 10 ** ((decibel + bump * torch.exp(-((self._octaves - centre) / width).square())) / 20)

    def _channel(self) -> Tensor:
        rows, frequency = self._pairs, self._bins * BIN_HZ
        top = torch.exp(self._uniform(rows, np.log(3300), np.log(18_000)))
        top = torch.where(self._uniform(rows) < 0.4, 8000.0, top)[:, None]
        fall = torch.exp(self._uniform(rows, np.log(0.02), np.log(0.5)))[:, None]
        high = -self._uniform(rows, 35, 110)[:, None] * ((frequency - top * (1 - fall / 8)) / (top * fall)).clamp(0, 1)
        bottom = self._uniform(rows, 80, 350)[:, None]
        low = -self._uniform(rows, 6, 24)[:, None] * torch.log2((bottom / frequency.clamp(min=15)).clamp(min=1))
        decibel = high * (self._uniform(rows) < 0.5)[:, None] + low * (self._uniform(rows) < 0.2)[:, None]
        return 10 ** (decibel / 20)

    def _extend(self, spectra: Tensor, bandwidths: Tensor, chosen: Tensor) -> Tensor:
        """Copies the top of band-limited voices upwards; widths are even so that the phases of overlapping windows fit."""
        rows, hops, _ = spectra.shape
        edge = ((bandwidths / BIN_HZ).long() - 4).clamp(16, BINS)
        edge = edge - edge % 2
        width = (edge // 2).clamp(max=80)
        width = (width - width % 2)[:, None]
        edge = edge[:, None]
        above = (self._bins - edge).clamp(min=0)
        source = torch.where(self._bins >= edge, edge - width + above % width, self._bins)
        falls = torch.cat([self._uniform(rows, -16, -2)[:, None], self._uniform(rows * STEPS, -12, 0).view(rows, STEPS)], 1)
        gain = 10 ** (falls.cumsum(1).gather(1, (above // width).clamp(max=STEPS)) / 20)
        top = 240 + self._uniform(rows, 0, BINS - 240)[:, None]
        added = (self._bins >= edge) & (self._bins < top) & chosen[:, None]
        unsteady = 10 ** (1.5 * self._normal(rows, hops, 1) / 20)
        copied = spectra.gather(2, source[:, None].expand(-1, hops, -1)) * gain[:, None] * unsteady
        return torch.where(added[:, None], copied, spectra)

    def _uniform(self, count: int, low: float = 0, high: float = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, device=self._device, generator=self._random)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self._device, generator=self._random)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self._device)


def _power(spectra: Tensor) -> Tensor:
    return spectra.real.square() + spectra.imag.square()


def _active_rms(samples: Tensor) -> Tensor:
    """Root mean square over the hops at most 30 dB under the loudest."""
    hops = samples[:, : samples.shape[1] // HOP * HOP].view(len(samples), -1, HOP).square().mean(2)
    active = (hops > hops.amax(1, keepdim=True) * 1e-3).float()
    return ((hops * active).sum(1, keepdim=True) / active.sum(1, keepdim=True).clamp(min=1) + 1e-18).sqrt().clamp(min=1e-2)
