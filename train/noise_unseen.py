"""Noise families for the test set alone: the training code never imports this file."""

import numpy as np
from numpy.random import Generator

from audio import RATE, decode, unit
from noise import coloured, excerpt
from packages import recording


def rain(random: Generator, length: int) -> np.ndarray:
    """Rain on metal, dishes: 40 to 150 small ringing impacts a second, a few of them loud."""
    sound = np.zeros(length)
    for _ in range(int(length / RATE * random.uniform(40, 150))):
        samples = int(random.uniform(0.002, 0.03) * RATE)
        at, time = random.integers(0, length - samples), np.arange(samples) / RATE
        ring = np.sin(2 * np.pi * random.uniform(1500, 14_000) * time + random.uniform(0, 6.28))
        sound[at : at + samples] += random.pareto(2) * np.exp(-time * random.uniform(200, 900)) * ring
    return unit(unit(sound) + 0.3 * coloured(random, length, -1, 0))


def applause(random: Generator, length: int) -> np.ndarray:
    """People who clap, each in a rhythm of their own."""
    sound = np.zeros(length)
    for _ in range(random.integers(6, 30)):
        pace, loudness, at = random.uniform(0.16, 0.32), random.uniform(0.1, 1), random.uniform(0, 0.3)
        pitch = random.uniform(700, 2400)
        while (at := at + pace * random.uniform(0.85, 1.15)) < length / RATE - 0.1:
            time = np.arange(int(0.03 * RATE)) / RATE
            clap = random.standard_normal(len(time)) * np.exp(-time * 170) * (0.4 + np.cos(2 * np.pi * pitch * time))
            start = int(at * RATE)
            sound[start : start + len(time)] += loudness * random.uniform(0.5, 1) * clap
    return unit(unit(sound) + random.uniform(0.02, 0.2) * coloured(random, length, -1.5, 0))


def barks(random: Generator, length: int) -> np.ndarray:
    """A dog: rough harmonic bursts whose pitch rises and falls, in groups."""
    sound, at = np.zeros(length), random.uniform(0.1, 0.6)
    root = random.uniform(220, 650)
    while at < length / RATE - 0.6:
        for _ in range(random.integers(1, 4)):
            samples = int(RATE * random.uniform(0.1, 0.25))
            shape = np.sin(np.pi * np.arange(samples) / samples) ** 0.5
            phase = 2 * np.pi * np.cumsum(root * (0.75 + 0.5 * shape)) / RATE
            bark = sum(np.exp(-(((k * root - 1100) / 900) ** 2)) * np.sin(k * phase) for k in range(1, 16))
            start = int(at * RATE)
            place = sound[start : start + samples]
            place += ((bark + 0.5 * random.standard_normal(samples)) * shape)[: len(place)]
            at += samples / RATE + random.uniform(0.08, 0.2)
        at += random.uniform(0.3, 1.2)
    return unit(unit(sound) + 0.1 * coloured(random, length, -2, -0.5))


class Music:
    """Recorded music (five pieces of the Asterisk music on hold)."""

    def __init__(self) -> None:
        folder = recording("asterisk-moh-opsound-g722") / "usr/share/asterisk/moh"
        self._pieces = [decode(path) for path in sorted(folder.glob("*.g722"))]

    def __call__(self, random: Generator, length: int) -> np.ndarray:
        """A stretch of one piece, with a trace of hiss above its 8 kHz."""
        piece = excerpt(random, self._pieces[random.integers(len(self._pieces))], length)
        return unit(piece + 1e-3 * random.standard_normal(length))
