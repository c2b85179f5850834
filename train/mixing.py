"""Draws batches of mixtures as band powers, which is all that the network and its loss need."""

from typing import NamedTuple

import numpy as np
import scipy.fft
import torch
from numpy.random import Generator
from scipy.signal import butter, sosfilt
from torch import Tensor

from audio import RATE, active_rms, decibels
from bands import BINS, HOP, ROOT_HANN, WIDTHS, WINDOW, frames, sums
from bank import Piece, open_bank

BIN_HZ = 24_000 / (BINS - 1)
UNIT_POWER = float(np.square(ROOT_HANN).sum())
"""Mean power of a bin when white noise with RMS 1 is transformed."""
SHARES = {"maxim": 0.2, "nsh": 0.2, "espeak": 0.25}
"""How often two recorded men and the formant synthesiser are drawn out of the older speech bank; the others share the rest."""
CAST = 0.72
"""Share of the speech that comes from the bank of many recorded speakers."""
RECORDED_NOISE = 0.62
"""Share of the noise that is recorded."""
FAINT, FAINT_RATIO = 0.09, 0.005
"""Share of the mixtures whose noise is so faint that it belongs to the recording and is to be kept, and its factor: it
lies 40 to 66 dB below the speech."""
TALKERS = 0.1
"""Share of the pairs in which a second person talks; the network must keep both voices."""
LINE = butter(4, (280, 3500), "bandpass", fs=RATE, output="sos")
"""A telephone line."""


class Batch(NamedTuple):
    """Band sums [clips, hops, bands] of mixtures; `level` [clips, 1, 1] is the speech power a bin has on average."""

    noisy: Tensor
    clean: Tensor
    cross: Tensor
    """Real part of noisy times conjugate clean."""
    level: Tensor
    noisy_low: Tensor
    """Spectra of the lowest bins, for a deep filter: [clips, hops, bins, 2], real and imaginary parts; bins may be 0."""
    clean_low: Tensor


class Speech:
    """A bank of speech, and how often each piece of it that is long enough is drawn."""

    def __init__(self, name: str, length: int) -> None:
        self.samples, pieces = open_bank(name)
        self.pieces = [piece for piece in pieces if piece.length > length]
        self.chances = chances(self.pieces)


class Mixer:
    """Mixes speech and noise of one split ("train" or "validation")."""

    def __init__(self, split: str, seed: int, hops: int, pairs: int, mixes: int = 2, bins: int = 0) -> None:
        """`pairs` stretches of `hops` hops of speech and noise are each mixed at `mixes` ratios.

        The spectra of the lowest `bins` bins are given too.
        """
        self._length = (hops - 1) * HOP + WINDOW
        self._speech = [Speech(name, self._length) for name in (f"voices-{split}", f"speech-{split}")]
        self._noise = [open_bank(name)[0] for name in (f"sounds-{split}", f"noise-{split}")]
        self._pairs, self._mixes, self._bins = pairs, mixes, bins
        self.random, self._hiss = np.random.default_rng(seed), np.random.default_rng(seed + 1)

    def draw(self) -> Batch:
        """The next batch of pairs * mixes clips."""
        random, pairs = self.random, self._pairs
        speech = np.zeros((pairs, self._length), np.float32)
        noise = np.zeros_like(speech)
        bandwidths = np.zeros(pairs)
        kind = random.random(pairs)
        called = kind < 0.08
        overloaded = kind < 0.18
        for i in range(pairs):
            speech[i], bandwidths[i] = self._voice()
            if random.random() < TALKERS:
                speech[i] += self._voice()[0] * decibels(-random.uniform(0, 10))
            noise[i] = self._sound()
            if called[i]:
                speech[i], noise[i] = telephone(random, speech[i], noise[i])
            elif overloaded[i]:
                noise[i] = overload(random, speech[i], noise[i])
        voices, sounds = transform(speech), transform(noise)
        voices *= np.where(overloaded, 1, equaliser(random, pairs).T).T[:, None]
        sounds *= np.where(overloaded, 1, equaliser(random, pairs).T).T[:, None]
        for i in np.flatnonzero(random.random(pairs) < 0.6):
            if not overloaded[i]:
                extend(random, voices[i], bandwidths[i])
        response = channel(random, pairs)[:, None]
        voices *= response
        sounds *= response
        clean, noisy = sums(power(voices)), sums(power(sounds))
        cross = sums(voices.real * sounds.real + voices.imag * sounds.imag)
        low = (voices[..., : self._bins], sounds[..., : self._bins])
        return self._mix(*(np.tile(part, (self._mixes, 1, 1)) for part in (clean, noisy, cross, *low)), np.tile(overloaded, self._mixes))

    def _mix(
        self, clean: np.ndarray, noise: np.ndarray, cross: np.ndarray, voices: np.ndarray, sounds: np.ndarray, overloaded: np.ndarray
    ) -> Batch:
        random, clips = self.random, len(clean)
        ratio = 10 ** (-random.uniform(-6, 20, clips) / 20)
        kind = random.random(clips)
        ratio = np.where(kind < 0.17, ratio * np.where(kind < FAINT, FAINT_RATIO, 0.04), ratio)
        ratio = np.where(overloaded, 1, ratio)
        faint = ((kind < FAINT) & ~overloaded)[:, None, None]
        level = 10 ** (random.uniform(-48, -12, clips) / 20)
        silent = (kind > 0.96) & ~overloaded
        voice = np.where(silent, 0, level)[:, None, None].astype(np.float32)
        sound = (level * ratio)[:, None, None].astype(np.float32)
        both = voice * sound * cross
        whole = np.maximum(voice**2 * clean + sound**2 * noise + 2 * both, 0)
        target = np.where(faint, whole, voice**2 * clean)
        floor = np.where(random.random(clips) < 0.4, 10 ** (random.uniform(-100, -60, clips) / 20), 0)[:, None, None]
        hiss = floor**2 * UNIT_POWER * random.standard_gamma(WIDTHS, noise.shape[1:])
        parts = np.sqrt(UNIT_POWER / 2) * self._hiss.standard_normal((2, *sounds.shape[1:]))
        heard = voice * voices + sound * sounds + floor * (parts[0] + 1j * parts[1])
        reference = (level**2 * UNIT_POWER)[:, None, None]
        aligned = np.where(faint, whole, target + both)
        return Batch(*(_tensor(part) for part in (whole + hiss, target, aligned, reference, _pairs(heard), _pairs(voice * voices))))

    def _voice(self) -> tuple[np.ndarray, int]:
        bank = self._speech[0 if self.random.random() < CAST else 1]
        piece = bank.pieces[self.random.choice(len(bank.pieces), p=bank.chances)]
        start = piece.start + self.random.integers(0, piece.length - self._length)
        samples = bank.samples[start : start + self._length].astype(np.float32) / 32768
        return samples / max(active_rms(samples), 1e-3), piece.bandwidth

    def _sound(self) -> np.ndarray:
        random = self.random
        samples = self._stretch()
        if random.random() < 0.3:
            samples = samples + random.uniform(0.2, 1) * self._stretch()
        if random.random() < 0.12:
            samples[random.integers(0, len(samples)) :] *= decibels(random.uniform(-20, 15))
        return samples / (np.sqrt(np.square(samples).mean()) + 1e-3)

    def _stretch(self) -> np.ndarray:
        bank = self._noise[0 if self.random.random() < RECORDED_NOISE else 1]
        start = self.random.integers(0, len(bank) - self._length)
        samples = bank[start : start + self._length].astype(np.float32) / 2500
        return samples[::-1].copy() if self.random.random() < 0.3 else samples


def _pairs(spectra: np.ndarray) -> np.ndarray:
    return np.stack([spectra.real, spectra.imag], -1)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def chances(pieces: list[Piece]) -> np.ndarray:
    """How often each piece is drawn: by its voice's share, then by its length."""
    groups = [piece.name.split("-")[0] for piece in pieces]
    groups = [group if group in SHARES else "other" for group in groups]
    share = SHARES | {"other": 1 - sum(SHARES.values())}
    totals = {group: sum(p.length for p, g in zip(pieces, groups) if g == group) for group in set(groups)}
    raw = np.array([share[group] * piece.length / totals[group] for piece, group in zip(pieces, groups)])
    return raw / raw.sum()


def transform(samples: np.ndarray) -> np.ndarray:
    """Short-time spectra of each row."""
    return scipy.fft.rfft(frames(samples), axis=-1)


def power(spectra: np.ndarray) -> np.ndarray:
    """Squared magnitudes."""
    return np.square(spectra.real) + np.square(spectra.imag)


def equaliser(random: Generator, rows: int) -> np.ndarray:
    """A smooth random frequency response per row: microphones with their resonance and slope, distance, loudspeakers."""
    knots = np.array([0, 2, 5, 10, 20, 40, 80, 140, 240, BINS - 1])
    drawn = random.normal(0, 3, (rows, len(knots)))
    decibel = np.stack([np.interp(np.arange(BINS), knots, row) for row in drawn])
    octaves = np.log2(np.maximum(np.arange(BINS), 1) * BIN_HZ / 1000)
    decibel += random.normal(0, 1.2, (rows, 1)) * octaves
    centre, width = random.uniform(-2.5, 3.5, (rows, 1)), random.uniform(0.15, 0.8, (rows, 1))
    decibel += random.uniform(-6, 9, (rows, 1)) * (random.random((rows, 1)) < 0.5) * np.exp(-np.square((octaves - centre) / width))
    return (10 ** (decibel / 20)).astype(np.float32)


def channel(random: Generator, rows: int) -> np.ndarray:
    """What voice and noise pass through together: half of the rows are cut above 3 to 18 kHz, a fifth below 80 to 350 Hz.

    Most recordings, calls and files were made at 8 to 32 kHz, where nothing is left above half of that.
    """
    frequency = np.arange(BINS) * BIN_HZ
    top = np.exp(random.uniform(np.log(3300), np.log(18_000), (rows, 1)))
    top = np.where(random.random((rows, 1)) < 0.4, 8000.0, top)
    fall = np.exp(random.uniform(np.log(0.02), np.log(0.5), (rows, 1)))
    high = -random.uniform(35, 110, (rows, 1)) * np.clip((frequency - top * (1 - fall / 8)) / (top * fall), 0, 1)
    bottom = random.uniform(80, 350, (rows, 1))
    low = -random.uniform(6, 24, (rows, 1)) * np.log2(np.maximum(bottom / np.maximum(frequency, 15), 1))
    decibel = high * (random.random((rows, 1)) < 0.5) + low * (random.random((rows, 1)) < 0.2)
    return (10 ** (decibel / 20)).astype(np.float32)


def overload(random: Generator, speech: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """What a mix that is recorded too loud adds to the speech: noise and the error of clipping."""
    mixed = speech + noise * decibels(-random.uniform(0, 20))
    limit = np.abs(mixed).max() * decibels(-random.uniform(2, 8))
    return np.clip(mixed, -limit, limit) - speech


def telephone(random: Generator, speech: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A call: the speech at the far end of a line, and noise, band limits and 8-bit mu-law quantisation as one residue."""
    mixed = sosfilt(LINE, speech + noise * decibels(-random.uniform(-2, 20)))
    peak = max(float(np.abs(mixed).max()), 1e-6) * decibels(random.uniform(0, 24))
    curve = np.sign(mixed) * np.log1p(255 * np.minimum(np.abs(mixed) / peak, 1)) / np.log(256)
    coded = np.round(curve * 127) / 127
    line = sosfilt(LINE, np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255 * peak)
    heard = sosfilt(LINE, sosfilt(LINE, speech))
    return heard, line - heard


def extend(random: Generator, spectra: np.ndarray, bandwidth: float) -> None:
    """Copies the top of a band-limited voice upwards, so that the model hears full-band speech too.

    The copied width is even so that the phases of overlapping windows still fit together.
    """
    edge = int(bandwidth / BIN_HZ) - 4
    edge -= edge % 2
    width = min(80, edge // 2)
    width -= width % 2
    gain = decibels(random.uniform(-16, -2))
    unsteady = (10 ** (random.normal(0, 1.5, (len(spectra), 1)) / 20)).astype(np.float32)
    top, at = random.integers(240, BINS), edge
    while at < top:
        step = min(width, top - at)
        spectra[:, at : at + step] = spectra[:, edge - width : edge - width + step] * np.float32(gain) * unsteady
        gain *= decibels(random.uniform(-12, 0))
        at += width
