"""Finds when each word of a known text is said: espeak-ng says the same words, and time warping lays one on the other."""

import ctypes

import numpy as np
from scipy.fft import dct
from scipy.signal import medfilt

from audio import resample

RATE = 16_000
HOP = 160
"""Samples between two features: 10 ms."""

_WINDOW = 400
_MELS = 26
_CEPSTRA = 13
_RETRIEVAL = 1
_CHARACTERS = 1
_UTF8 = 1
_WORD = 1


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_void_p),
    ]


def spoken(text: str, voice: str = "en-us+f3", words_a_minute: int = 150) -> tuple[np.ndarray, list[float]]:
    """Returns `text` as espeak-ng says it at RATE, and the second at which each of its words begins."""
    library = ctypes.CDLL("libespeak-ng.so.1")
    rate = library.espeak_Initialize(_RETRIEVAL, 0, None, 0)
    blocks: list[np.ndarray] = []
    starts: dict[int, float] = {}
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

    def heed(samples, count, events):  # noqa: ANN001, ANN202
        if samples and count:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float64) / 32768)
        index = 0
        while events[index].type:
            if events[index].type == _WORD:
                starts.setdefault(events[index].text_position, events[index].audio_position / 1000)
            index += 1
        return 0

    callback = kind(heed)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(voice.encode())
    library.espeak_SetParameter(1, words_a_minute, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return resample(np.concatenate(blocks), rate, RATE), list(starts.values())


def _features(samples: np.ndarray) -> np.ndarray:
    """Cepstra and their slopes, normalised over the recording; one row every HOP samples."""
    count = max(1, (len(samples) - _WINDOW) // HOP)
    frames = np.stack([samples[i * HOP : i * HOP + _WINDOW] for i in range(count)]) * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 7600 / 700), _MELS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(512, 1 / RATE)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.clip(np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)), 0, None)
    floor = power.max() * 1e-7
    cepstra = dct(np.log(power @ bank.T + floor), axis=1, norm="ortho")[:, :_CEPSTRA]
    both = np.hstack([cepstra, 2 * np.gradient(cepstra, axis=0)])
    return (both - both.mean(0)) / (both.std(0) + 1e-9)


def _path(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each row of `one`, the row of `other` on the cheapest monotonic path."""
    cost = np.sqrt(((one[:, None] - other[None]) ** 2).sum(2))
    total = np.full((len(one) + 1, len(other) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(one)):
        for j in range(len(other)):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i, j = len(one), len(other)
    rows = np.zeros(len(one))
    while i > 0:
        rows[i - 1] = j - 1
        step = int(np.argmin([total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]]))
        i, j = (i - 1, j - 1) if step == 0 else (i - 1, j) if step == 1 else (i, j - 1)
    return rows


def _level(samples: np.ndarray) -> np.ndarray:
    """Decibels of every HOP samples."""
    count = len(samples) // HOP
    return 10 * np.log10(np.mean(samples[: count * HOP].reshape(count, HOP) ** 2, axis=1) + 1e-12)


def _stretches(samples: np.ndarray) -> list[tuple[int, int]]:
    """Where something is said: stretches of hops no more than 32 dB below the loud ones."""
    level = _level(samples)
    loud = medfilt((level > np.percentile(level, 90) - 32).astype(float), 5) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _phrases(samples: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The recording in `count` parts, cut at its longest pauses; in hops."""
    stretches = _stretches(samples)
    gaps = [(after[0] - before[1], index) for index, (before, after) in enumerate(zip(stretches, stretches[1:]))]
    cuts = sorted(index for _, index in sorted(gaps, reverse=True)[: count - 1])
    firsts = [0, *(index + 1 for index in cuts)]
    lasts = [*cuts, len(stretches) - 1]
    return [(stretches[first][0], stretches[last][1]) for first, last in zip(firsts, lasts, strict=True)]


def _phrase_times(samples: np.ndarray, text: str) -> list[float]:
    """Seconds at which each word of a phrase begins in its `samples`."""
    model, starts = spoken(text)
    words = text.split()
    # A phrase that ends in an article gets one more, for its end.
    if not len(words) <= len(starts) <= len(words) + 1:
        raise ValueError(f"espeak-ng says {len(starts)} words and the phrase has {len(words)}: {text}")
    stretches = _stretches(model)
    first, last = stretches[0][0] * HOP, stretches[-1][1] * HOP
    rows = _path(_features(model[first:last]), _features(samples))
    at = [rows[int(np.clip(round(start * RATE - first) // HOP, 0, len(rows) - 1))] * HOP / RATE for start in starts]
    return [0.0, *at[1 : len(words)]]


def word_times(samples: np.ndarray, phrases: list[str]) -> list[tuple[str, float, float]]:
    """Returns each word with the seconds at which it begins and ends in `samples`, which are at RATE.

    `phrases` are the text, divided where the speaker makes the longest pauses.
    """
    found = []
    for (begin, end), phrase in zip(_phrases(samples, len(phrases)), phrases, strict=True):
        starts = _phrase_times(samples[begin * HOP : end * HOP], phrase)
        length = (end - begin) * HOP / RATE
        offset = begin * HOP / RATE
        ends = [*starts[1:], length]
        words = phrase.split()
        found += [(w, round(offset + a, 2), round(offset + b, 2)) for w, a, b in zip(words, starts, ends, strict=True)]
    return found
