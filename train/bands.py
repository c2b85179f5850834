"""The bands, the window and the features of the model: what models/unsay-denoise.json describes."""

import numpy as np

WINDOW = 960
HOP = 480
BINS = WINDOW // 2 + 1
LOW = 128
"""Bins that are bands of their own: up to 6.4 kHz."""
WIDE = 20
"""Bands above, equally wide on the ERB scale (Moore and Glasberg 1990)."""
FLOOR, OFFSET, SCALE = 1e-7, 3.5, 0.5


def edges() -> list[int]:
    """First bin of each wide band, and one past the last bin."""
    bin_hz = 48_000 / WINDOW
    erb = np.linspace(21.4 * np.log10(1 + 0.00437 * LOW * bin_hz), 21.4 * np.log10(1 + 0.00437 * 24_000), WIDE + 1)
    bins = np.round((10 ** (erb / 21.4) - 1) / 0.00437 / bin_hz).astype(int)
    return [LOW, *(int(b) for b in bins[1:-1]), BINS]


EDGES = edges()
BANDS = LOW + WIDE
WIDTHS = np.array([1] * LOW + list(np.diff(EDGES)), np.float32)
ROOT_HANN = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
"""Square root of a periodic Hann window: used before the transform and after its inverse."""
UPPER = np.zeros((BINS - LOW, WIDE), np.float32)
"""Which of the bins above LOW belong to which wide band."""
for _band in range(WIDE):
    UPPER[EDGES[_band] - LOW : EDGES[_band + 1] - LOW, _band] = 1


def frames(samples: np.ndarray) -> np.ndarray:
    """Windowed frames over the last axis."""
    views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW, axis=-1)[..., ::HOP, :]
    return views * ROOT_HANN


def sums(power: np.ndarray) -> np.ndarray:
    """Sums a value per bin over each band, over the last axis."""
    return np.concatenate([power[..., :LOW], power[..., LOW:] @ UPPER], axis=-1)


def features(band_sums: np.ndarray) -> np.ndarray:
    """The features of the network out of the power per band."""
    return (np.log10(band_sums / WIDTHS + FLOOR) + OFFSET) * SCALE


def spread(gains: np.ndarray) -> np.ndarray:
    """Gains per band as gains per bin."""
    return np.concatenate([gains[..., :LOW], gains[..., LOW:] @ UPPER.T], axis=-1)
