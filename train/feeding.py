"""Processes that string pieces of speech and noise together without end, and the banks on the device they fill."""

import cpu  # noqa: F401  before numpy

import mmap
import multiprocessing
import threading
from typing import Callable, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from scipy.signal import butter, resample_poly, sosfilt

import noise
from audio import RATE, active_rms, decibels, to_int16, unit
from composing import Voice, babbled, looped, spoken, strewn

SECONDS = 10
LENGTH = SECONDS * RATE
SPEECH_DB, NOISE_LEVEL = -24, 0.075
SPOKEN_SHARES = (0.66, 0.22, 0.12)
"""How often the recorded cast, the two recorded men and the synthetic voices speak."""
RECORDED_NOISE = 0.65
SLOTS = 96
HIGH_PASS = butter(2, 45, "high", fs=RATE, output="sos")


class Material(NamedTuple):
    """Everything that pieces are made of."""

    groups: list[list[Voice]]
    """The recorded cast, the two recorded men, synthetic voices."""
    noises: dict[str, list[np.ndarray]]
    """16-bit recordings by family."""
    weights: dict[str, int]
    """How often each family is drawn."""
    looped: set[str]


def speech_piece(random: Generator, material: Material, shares: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """Ten seconds of one speaker, a third of them in a room, and the bandwidth."""
    chances = np.array([share * bool(voices) for share, voices in zip(SPOKEN_SHARES, material.groups)])
    group = random.choice(len(chances), p=chances / chances.sum())
    voices = material.groups[group]
    samples, top = spoken(random, voices[random.choice(len(voices), p=shares[group])], SECONDS)
    samples = sosfilt(HIGH_PASS, np.resize(samples, LENGTH))
    if random.random() < 0.3:
        samples = noise.reverberate(random, samples, random.uniform(0.12, 0.9), random.uniform(0.15, 0.8))
    return samples * decibels(SPEECH_DB) / max(active_rms(samples), 1e-6), top


def noise_piece(random: Generator, material: Material, families: list[str], chances: np.ndarray) -> np.ndarray:
    """Ten seconds of recorded or computed noise, some of it in a room."""
    if random.random() < RECORDED_NOISE:
        family = families[random.choice(len(families), p=chances)]
        samples = recorded_noise(random, material, family)
        room = 0.7 if family in ("babble", "dogs", "clatter") else 0.25
        if random.random() < room:
            samples = noise.reverberate(random, samples, random.uniform(0.15, 0.9), random.uniform(0.3, 1.5))
    else:
        samples = COMPUTED[random.choice(len(COMPUTED), p=COMPUTED_CHANCES)](random, LENGTH)
    return np.clip(unit(samples) * NOISE_LEVEL, -0.99, 0.99)


COMPUTED = [draw for _, draw in noise.FAMILIES.values()]
COMPUTED_CHANCES = np.array([weight for weight, _ in noise.FAMILIES.values()], float)
COMPUTED_CHANCES /= COMPUTED_CHANCES.sum()


def recorded_noise(random: Generator, material: Material, family: str) -> np.ndarray:
    """A stretch of one family, at some speed."""
    if family == "babble":
        return babbled(random, material.groups[0], LENGTH, int(random.integers(3, 9)))
    recordings = material.noises[family]
    speed = int(random.choice([70, 84, 92, 100, 100, 108, 120, 140]))
    needed = LENGTH * speed // 100 + RATE
    if family in material.looped and random.random() < 0.85:
        samples = looped(random, recordings[random.integers(len(recordings))].astype(np.float32), needed)
    else:
        samples = strewn(random, recordings, needed)
    if speed != 100:
        samples = resample_poly(samples, 100, speed)
    return np.resize(samples, LENGTH)


def _work(material: Material, seed: int, slots: np.ndarray, free, full) -> None:
    random = np.random.default_rng(seed)
    families = [family for family in material.weights if family == "babble" or material.noises.get(family)]
    chances = np.array([material.weights[family] for family in families], float)
    shares = [np.sqrt([float(sum(map(len, voice.clips))) for voice in group]) for group in material.groups]
    shares = [share / share.sum() for share in shares]
    while True:
        slot = free.get()
        is_speech = bool(random.random() < 0.5)
        if is_speech:
            samples, top = speech_piece(random, material, shares)
        else:
            samples, top = noise_piece(random, material, families, chances / chances.sum()), RATE // 2
        slots[slot] = to_int16(samples)
        full.put((slot, is_speech, top))


class Bank:
    """Pieces on the device; a new one takes the place of the oldest."""

    def __init__(self, pieces: int, device: torch.device) -> None:
        self.samples = torch.zeros(pieces, LENGTH, dtype=torch.int16, device=device)
        self.bandwidths = torch.full((pieces,), RATE / 2, device=device)
        self.made = 0

    @property
    def filled(self) -> int:
        """Pieces to draw from."""
        return min(self.made, len(self.samples))

    def put(self, samples: np.ndarray, bandwidth: int) -> None:
        """Adds a piece."""
        row = self.made % len(self.samples)
        self.samples[row].copy_(torch.from_numpy(samples))
        self.bandwidths[row] = float(bandwidth)
        self.made += 1


class Feed:
    """Runs the processes; start it before anything touches the GPU, since they are forked."""

    def __init__(self, material: Material, processes: int, seed: int) -> None:
        context = multiprocessing.get_context("fork")
        shared = mmap.mmap(-1, SLOTS * LENGTH * 2)
        self._slots = np.frombuffer(shared, np.int16).reshape(SLOTS, LENGTH)
        self._free, self._full = context.SimpleQueue(), context.SimpleQueue()
        self.pause = threading.Lock()
        """While it is held, nothing is moved."""
        for slot in range(SLOTS):
            self._free.put(slot)
        self._workers = [
            context.Process(target=_work, args=(material, seed * 1000 + i, self._slots, self._free, self._full), daemon=True)
            for i in range(processes)
        ]
        for worker in self._workers:
            worker.start()

    def fill(self, speech: Bank, sounds: Bank, around: Callable) -> None:
        """Moves pieces into the banks in a thread of its own, within the context `around()`."""

        def move() -> None:
            with around():
                while True:
                    slot, is_speech, top = self._full.get()
                    with self.pause:
                        (speech if is_speech else sounds).put(self._slots[slot].copy(), top)
                    self._free.put(slot)

        threading.Thread(target=move, daemon=True).start()

    def stop(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.terminate()
