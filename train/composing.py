"""Strings recorded clips together: what a speaker says for a while, noise that goes on, events strewn over time, babble."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.signal import resample_poly

from audio import RATE, active_rms, decibels

SPEEDS = (83, 90, 96, 100, 104, 112, 122)
"""Per cent at which voices are played, which moves pitch and formants."""


class Voice(NamedTuple):
    """The cleaned clips of a speaker, as 16-bit integers or as numbers between -1 and 1."""

    name: str
    clips: list[np.ndarray]
    bandwidths: np.ndarray


def spoken(random: Generator, voice: Voice, seconds: float, pauses: bool = True) -> tuple[np.ndarray, int]:
    """Clips of one speaker one after the other, at one speed, with pauses between them, and their bandwidth."""
    speed = int(random.choice(SPEEDS))
    parts: list[np.ndarray] = []
    top, length = 24_000, 0
    while length < seconds * RATE * max(1, speed / 100):
        at = random.integers(len(voice.clips))
        clip = voice.clips[at].astype(np.float32)
        clip = clip / max(active_rms(clip), 1e-3 * np.abs(clip).max(), 1e-9) * 0.05 * decibels(random.normal(0, 1.5))
        if random.random() < 0.3 and len(clip) > RATE:
            start = random.integers(0, len(clip) // 2)
            clip = clip[start : start + random.integers(RATE // 2, len(clip))]
        edge = min(len(clip) // 4, 240)
        clip = clip * np.minimum(1, np.minimum(np.arange(len(clip)), np.arange(len(clip))[::-1]) / edge)
        pause = random.choice([random.uniform(0.02, 0.2), random.uniform(0.1, 0.9)]) if pauses else 0
        if pauses and random.random() < LONG_PAUSES:
            pause = random.uniform(0.8, 2.5)
        parts += [clip, np.zeros(int(RATE * pause))]
        top = min(top, int(voice.bandwidths[at]))
        length += len(parts[-2]) + len(parts[-1])
    samples = np.concatenate(parts)
    if speed != 100:
        samples = resample_poly(samples, 100, speed)
    return samples[: int(seconds * RATE)], min(round(top * speed / 100), 24_000)


LONG_PAUSES = 0.12
"""Share of the pauses that last longer than a breath: the first syllable after one is the hardest to keep."""


def looped(random: Generator, samples: np.ndarray, length: int) -> np.ndarray:
    """A stretch of a recording that goes on, faded into itself where it is too short."""
    fade = min(len(samples) // 4, RATE // 4)
    output = np.zeros(length + len(samples), np.float32)
    at = 0
    while at < length:
        start = random.integers(0, max(1, len(samples) - length))
        piece = samples[start:].copy()
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        piece[:fade] *= ramp
        piece[-fade:] *= ramp[::-1]
        stop = min(len(piece), len(output) - at)
        output[at : at + stop] += piece[:stop]
        at += max(len(piece) - fade, RATE // 20)
    return output[fade : fade + length] if len(output) >= fade + length else output[:length]


def strewn(random: Generator, recordings: list[np.ndarray], length: int) -> np.ndarray:
    """Single events, at random times and levels; often the same few again and again, as in life."""
    output = np.zeros(length, np.float32)
    few = [recordings[i] for i in random.integers(0, len(recordings), random.integers(1, 5))]
    rate = np.exp(random.uniform(np.log(0.4), np.log(6)))
    at = random.integers(0, RATE)
    while at < length:
        event = few[random.integers(len(few))] * decibels(random.normal(0, 4))
        stop = min(len(event), length - at)
        output[at : at + stop] += event[:stop]
        at += int(RATE * random.exponential(1 / rate)) + RATE // 50
    return output


def babbled(random: Generator, found: list[Voice], length: int, talkers: int) -> np.ndarray:
    """Several recorded people at once."""
    total = np.zeros(length)
    for _ in range(talkers):
        samples, _ = spoken(random, found[random.integers(len(found))], length / RATE, pauses=talkers < 4)
        samples = np.resize(samples, length)
        total += samples * decibels(random.uniform(-10, 0))
    return total
