"""Scores of a processed clip against its reference."""

import numpy as np
from pesq import PesqError, pesq
from scipy.signal import lfilter

from audio import FRAME, RATE, resample

HIGH_PASS = ([1, -2, 1], [1, -1.99599, 0.996])
"""The high-pass RNNoise applies to its input; put on reference and output so that it favours neither."""
SKIPPED = RATE // 10
"""Samples at the beginning that are not scored: every method needs a moment to start."""
PAUSE_HOP = RATE // 20
"""Pauses are looked at in stretches of 50 ms."""


def high_pass(samples: np.ndarray) -> np.ndarray:
    """The high-pass of RNNoise."""
    return lfilter(*HIGH_PASS, samples)


def si_sdr(reference: np.ndarray, output: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    reference, output = reference - reference.mean(), output - output.mean()
    target = (reference @ output) / (reference @ reference + 1e-12) * reference
    distortion = output - target
    return float(10 * np.log10((target @ target + 1e-12) / (distortion @ distortion + 1e-12)))


def pause_noise(reference: np.ndarray, noisy: np.ndarray, output: np.ndarray) -> float:
    """Energy left in the frames without speech against the noisy input there, in dB; NaN without pauses."""
    count = len(reference) // FRAME
    energy = [np.square(x[: count * FRAME].reshape(-1, FRAME)).mean(axis=1) for x in (reference, noisy, output)]
    quiet = energy[0] < energy[0].max() * 1e-4
    if quiet.sum() <= 20:
        return float("nan")
    return float(10 * np.log10((energy[2][quiet].mean() + 1e-12) / (energy[1][quiet].mean() + 1e-12)))


def pause_swing(clean: np.ndarray, noisy: np.ndarray, output: np.ndarray) -> float:
    """How far what is taken from the noise in pauses swings: between its 10th and 90th percentile, in dB; NaN without pauses."""
    count = len(clean) // PAUSE_HOP
    energy = [np.square(x[: count * PAUSE_HOP].reshape(-1, PAUSE_HOP)).mean(axis=1) for x in (clean, noisy, output)]
    quiet = (energy[0] < energy[0].max() * 1e-4) & (energy[1] > max(1e-9, energy[1].max() * 1e-5))
    if quiet.sum() < 8:
        return float("nan")
    taken = 10 * np.log10((energy[2][quiet] + 1e-4 * energy[1][quiet]) / energy[1][quiet])
    return float(np.quantile(taken, 0.9) - np.quantile(taken, 0.1))


def wide_pesq(clean: np.ndarray, output: np.ndarray) -> float:
    """PESQ-WB at 16 kHz, NaN where PESQ finds no utterance."""
    try:
        return float(pesq(16_000, clean.astype(np.float32), output.astype(np.float32), "wb"))
    except PesqError:
        return float("nan")


def _third_octaves() -> np.ndarray:
    frequency = np.linspace(0, 10_000, 513)[:257]
    rows = np.zeros((15, 257))
    for k in range(15):
        low, high = (np.argmin(np.abs(frequency - 150 * 2 ** ((2 * k + side) / 6))) for side in (-1, 1))
        rows[k, low:high] = 1
    return rows


_BANDS = _third_octaves()
_WINDOW = np.hanning(258)[1:-1]


def _frames(samples: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(samples, 256)[::128] * _WINDOW


def _joined(windowed: np.ndarray) -> np.ndarray:
    samples = np.zeros((len(windowed) + 1) * 128)
    for i, frame in enumerate(windowed):
        samples[i * 128 : i * 128 + 256] += frame
    return samples


def stoi(reference: np.ndarray, output: np.ndarray) -> float:
    """Short-time objective intelligibility, 0 to 1 (Taal et al. 2011), computed at 10 kHz."""
    clean, other = (_frames(resample(x, RATE, 10_000)) for x in (reference, output))
    level = 20 * np.log10(np.linalg.norm(clean, axis=1) + 1e-12)
    kept = level > level.max() - 40
    spectra = [np.abs(np.fft.rfft(_frames(_joined(x[kept])), 512)) ** 2 for x in (clean, other)]
    x, y = (np.sqrt(_BANDS @ power.T) for power in spectra)
    span, scores = 30, []
    for end in range(span, x.shape[1] + 1):
        a, b = x[:, end - span : end], y[:, end - span : end]
        b = b * np.linalg.norm(a, axis=1, keepdims=True) / (np.linalg.norm(b, axis=1, keepdims=True) + 1e-12)
        b = np.minimum(b, a * (1 + 10 ** (15 / 20)))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12
        scores.append(((a * b).sum(1) / norms).mean())
    return float(np.mean(scores))
