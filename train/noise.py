"""Computed noise families the model may train on; each returns `length` samples at 48 kHz, RMS 1.

The families of the test set that no model trains on are in noise_unseen.py.
"""

from typing import Callable

import numpy as np
from numpy.random import Generator
from scipy.fft import next_fast_len

from audio import RATE, unit

Family = Callable[[Generator, int], np.ndarray]


def log_uniform(random: Generator, low: float, high: float) -> float:
    """A random number whose logarithm is uniform."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def swell(random: Generator, length: int, rate: float, depth_db: float) -> np.ndarray:
    """A gain that wanders `rate` times a second with a standard deviation of `depth_db`."""
    knots = random.standard_normal(max(4, int(length / RATE * rate) + 3)) * depth_db
    return 10 ** (np.interp(np.linspace(0, len(knots) - 1, length), np.arange(len(knots)), knots) / 20)


def coloured(random: Generator, length: int, low: float = -2.2, high: float = 0.6, bumps: int = 3) -> np.ndarray:
    """Steady noise: a random slope between `low` and `high` (powers of frequency) and some resonances."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / RATE) + 20
    gain = (frequency / 1000) ** (random.uniform(low, high) / 2)
    for _ in range(random.integers(0, bumps + 1)):
        distance = np.log(frequency / log_uniform(random, 80, 16_000)) / random.uniform(0.1, 0.8)
        gain *= 10 ** (random.uniform(-15, 18) / 20 * np.exp(-(distance**2)))
    return unit(np.fft.irfft(spectrum * gain, length))


def swelling(random: Generator, length: int) -> np.ndarray:
    """Traffic, sea, trains: coloured noise that comes and goes."""
    return unit(coloured(random, length) * swell(random, length, log_uniform(random, 0.3, 6), 5))


def gated(random: Generator, length: int) -> np.ndarray:
    """Noise switched on and off: appliances, radio, machines."""
    steps = int(length / RATE * log_uniform(random, 0.5, 12)) + 2
    open_steps = (random.random(steps) < random.uniform(0.3, 0.8)) + random.uniform(0, 0.2)
    return unit(coloured(random, length) * np.interp(np.linspace(0, steps - 1, length), np.arange(steps), open_steps))


def wind(random: Generator, length: int) -> np.ndarray:
    """Wind in a microphone: low, gusty."""
    gusts = coloured(random, length, -4, -2.5, 1) * swell(random, length, random.uniform(0.5, 4), 8)
    return unit(gusts + 0.05 * coloured(random, length))


def harmonics(random: Generator, phase: np.ndarray, count: int, slope: float) -> np.ndarray:
    """A sum of `count` harmonics of the running `phase`, falling with `slope`."""
    total = np.zeros(len(phase))
    for k in range(1, count):
        total += random.uniform(0.1, 1) / k**slope * np.sin(k * phase + random.uniform(0, 6.28))
    return unit(total)


def hum(random: Generator, length: int) -> np.ndarray:
    """Mains hum with harmonics."""
    pitch = random.choice([50, 60, 100, 120]) * random.uniform(0.995, 1.005)
    phase = 2 * np.pi * pitch * np.arange(length) / RATE
    tone = harmonics(random, phase, random.integers(5, 40), random.uniform(0.5, 1.5))
    return unit(tone + random.uniform(0.05, 0.7) * coloured(random, length))


def unsteady_phase(random: Generator, length: int, pitch: float, depth: float, rate: float) -> np.ndarray:
    """The phase of a tone whose pitch wanders by `depth` (a share) `rate` times a second."""
    knots = random.standard_normal(max(4, int(length / RATE * rate) + 3))
    wander = np.interp(np.linspace(0, len(knots) - 1, length), np.arange(len(knots)), knots)
    return 2 * np.pi * np.cumsum(pitch * np.exp(depth * wander)) / RATE


def fan(random: Generator, length: int) -> np.ndarray:
    """Fans and vacuum cleaners: air and a blade tone."""
    phase = unsteady_phase(random, length, random.uniform(20, 400), 0.01, 1)
    air = coloured(random, length, -2.5, -0.5) * (1 + random.uniform(0, 0.6) * np.sin(phase))
    return unit(air + random.uniform(0, 0.6) * harmonics(random, phase, random.integers(3, 20), 1))


def engine(random: Generator, length: int) -> np.ndarray:
    """Engines and power tools: many harmonics of a speed that moves."""
    phase = unsteady_phase(random, length, log_uniform(random, 25, 350), random.uniform(0.02, 0.25), random.uniform(0.3, 3))
    tone = harmonics(random, phase, random.integers(8, 35), random.uniform(0.2, 1))
    load = swell(random, length, random.uniform(0.5, 4), 3)
    return unit(tone * load + random.uniform(0.1, 0.8) * coloured(random, length))


def stroke(random: Generator, samples: int) -> np.ndarray:
    """One decaying hit: noise, most times with two ringing tones."""
    time = np.arange(samples) / RATE
    sound = random.standard_normal(samples)
    if random.random() < 0.7:
        pitch = log_uniform(random, 400, 9000)
        sound = 0.6 * sound + np.sin(2 * np.pi * pitch * time)
        sound += np.sin(2 * np.pi * pitch * random.uniform(1.2, 2.7) * time)
    return sound * np.exp(-np.arange(samples) / (samples * random.uniform(0.1, 0.35)))


def keys(random: Generator, length: int) -> np.ndarray:
    """Keyboards, mouse clicks, knocks: pairs of short hits."""
    sound = np.zeros(length)
    rate, at = random.uniform(2, 9), 0
    while (at := at + int(RATE * random.exponential(1 / rate)) + 800) < length - 8000:
        for delay, loudness in ((0, 1), (int(random.uniform(0.01, 0.08) * RATE), random.uniform(0.2, 0.7))):
            hit = stroke(random, int(random.uniform(0.004, 0.05) * RATE))
            place = sound[at + delay : at + delay + len(hit)]
            place += loudness * random.uniform(0.3, 1) * hit[: len(place)]
    return unit(unit(sound) + random.uniform(0.02, 0.3) * coloured(random, length))


def rhythm(random: Generator, length: int) -> np.ndarray:
    """Machines and drums: a few hits repeated in a beat."""
    sound, beat = np.zeros(length), int(RATE * random.uniform(0.09, 0.35))
    hits = []
    for _ in range(random.integers(2, 5)):
        samples = int(random.uniform(0.02, 0.3) * RATE)
        low = np.sin(2 * np.pi * log_uniform(random, 45, 400) * np.arange(samples) / RATE)
        hits.append((random.uniform(0, 1.5) * low + random.uniform(0, 0.6)) * stroke(random, samples))
    pattern = [[random.random() < 0.4 for _ in range(8)] for _ in hits]
    for step, at in enumerate(range(0, length, beat)):
        for hit, steps in zip(hits, pattern):
            if steps[step % 8]:
                place = sound[at : at + len(hit)]
                place += random.uniform(0.6, 1) * hit[: len(place)]
    return unit(unit(sound) + random.uniform(0.02, 0.5) * coloured(random, length))


def crackle(random: Generator, length: int) -> np.ndarray:
    """Fire, vinyl, paper, static: single impulses, sparse to dense, through one colour."""
    density = log_uniform(random, 5, 1500) / RATE
    impulses = (random.random(length) < density) * random.standard_normal(length) * random.pareto(3, length)
    shape = np.fft.rfft(coloured(random, 2048, -1, 0.6) * np.exp(-np.arange(2048) / random.uniform(10, 300)), length)
    return unit(unit(np.fft.irfft(np.fft.rfft(impulses) * shape, length)) + random.uniform(0.02, 0.4) * coloured(random, length))


def tones(random: Generator, length: int) -> np.ndarray:
    """Beeps, rings, melodies of plain tones."""
    sound, at = np.zeros(length), 0
    while at < length - 100:
        samples = min(int(RATE * random.uniform(0.08, 0.7)), length - at)
        time = np.arange(samples) / RATE
        for _ in range(random.integers(1, 4)):
            tone = harmonics(random, 2 * np.pi * log_uniform(random, 90, 3000) * time, random.integers(2, 9), 1)
            sound[at : at + samples] += random.uniform(0.2, 1) * tone * np.exp(-time * random.uniform(0.5, 8)) * np.minimum(1, time * 200)
        at += int(samples * random.uniform(0.5, 1.5)) + 1
    return unit(unit(sound) + random.uniform(0.02, 0.4) * coloured(random, length))


def chords(random: Generator, length: int) -> np.ndarray:
    """Held harmonic pads with vibrato, over hits and tones."""
    sound, at = np.zeros(length), 0
    while at < length - RATE // 2:
        samples = min(int(RATE * random.uniform(0.4, 2.5)), length - at)
        rise = np.minimum(1, np.arange(samples) / (RATE * random.uniform(0.005, 0.3)))
        root = log_uniform(random, 60, 500)
        for ratio in random.choice([1, 1.2, 1.25, 1.5, 2, 3, 4], random.integers(2, 5), replace=False):
            phase = unsteady_phase(random, samples, root * ratio, 0.003, 6)
            sound[at : at + samples] += random.uniform(0.3, 1) * harmonics(random, phase, random.integers(3, 12), random.uniform(0.6, 1.6)) * rise * rise[::-1]
        at += int(samples * random.uniform(0.6, 1))
    return unit(unit(sound) + random.uniform(0, 0.8) * rhythm(random, length) + random.uniform(0, 0.5) * tones(random, length))


def glides(random: Generator, length: int) -> np.ndarray:
    """Squeaks, creaks, birds: short gliding tones, with and without overtones."""
    sound = np.zeros(length)
    for _ in range(int(length / RATE * log_uniform(random, 1, 12))):
        samples = int(RATE * log_uniform(random, 0.02, 0.5))
        at = random.integers(0, length - samples)
        start = log_uniform(random, 250, 8000)
        pitch = np.geomspace(start, start * np.exp(random.normal() * 0.5), samples)
        tone = harmonics(random, 2 * np.pi * np.cumsum(pitch) / RATE, random.integers(2, 6), random.uniform(0.5, 2))
        sound[at : at + samples] += random.uniform(0.2, 1) * tone * np.sin(np.pi * np.arange(samples) / samples) ** random.uniform(0.3, 2)
    return unit(unit(sound) + random.uniform(0.02, 0.5) * coloured(random, length))


def grains(random: Generator, length: int) -> np.ndarray:
    """Dishes in a sink, cloth, steps, handling: short pieces of noise and tones of every length."""
    sound, base = np.zeros(length), coloured(random, length, -2, 1)
    for _ in range(int(length / RATE * log_uniform(random, 3, 40))):
        samples = int(RATE * log_uniform(random, 0.004, 0.25))
        at, decay = random.integers(0, length - samples), np.arange(samples) / samples
        if random.random() < 0.5:
            start = random.integers(0, length - samples)
            grain = base[start : start + samples]
        else:
            start = log_uniform(random, 150, 9000)
            grain = np.sin(2 * np.pi * np.cumsum(np.linspace(start, start * np.exp(random.normal() * 0.3), samples)) / RATE)
        falling = random.random() < 0.6
        shape = np.exp(-decay * random.uniform(2, 12)) if falling else np.sin(np.pi * decay) ** random.uniform(0.3, 2)
        sound[at : at + samples] += random.lognormal(0, 0.8) * grain * shape
    return unit(unit(sound) + random.uniform(0, 0.5) * coloured(random, length))


def excerpt(random: Generator, bank: np.ndarray, length: int) -> np.ndarray:
    """A random stretch of `bank` with RMS 1."""
    start = random.integers(0, len(bank) - length)
    return unit(bank[start : start + length].astype(np.float64))


def babble(random: Generator, length: int, bank: np.ndarray) -> np.ndarray:
    """Four to nine voices from `bank` at once, often in a room."""
    crowd = unit(sum(random.uniform(0.4, 1) * excerpt(random, bank, length) for _ in range(random.integers(4, 10))))
    if random.random() < 0.6:
        crowd = reverberate(random, crowd, random.uniform(0.15, 0.5), 0.5)
    return unit(unit(crowd) + random.uniform(0, 0.3) * coloured(random, length))


def backwards(random: Generator, length: int, bank: np.ndarray) -> np.ndarray:
    """Two to seven voices, most of them reversed: speech-like sound without words."""
    crowd = np.zeros(length)
    for _ in range(random.integers(2, 8)):
        voice = excerpt(random, bank, length)
        crowd += random.uniform(0.3, 1) * (voice[::-1] if random.random() < 0.7 else voice)
    return unit(unit(crowd) + random.uniform(0, 0.5) * coloured(random, length))


def reverberate(random: Generator, samples: np.ndarray, seconds: float, tail: float) -> np.ndarray:
    """Puts a sound in a room: the direct sound, early reflections and a decaying tail of `seconds` (RT60).

    `tail` is the amplitude of the tail against the direct sound.
    """
    length = int(seconds * RATE)
    response = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    softened = np.convolve(response, np.ones(6) / 6, "same")
    response = tail * unit(np.concatenate([np.zeros(120), 0.5 * response + softened])) / np.sqrt(length)
    response[0] = 1
    for _ in range(random.integers(2, 7)):
        response[random.integers(60, 1800)] += random.uniform(-0.5, 0.5) * tail
    size = next_fast_len(len(samples) + len(response), real=True)
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return wet[: len(samples)]


def hiss(random: Generator, length: int) -> np.ndarray:
    """Steady broadband noise between two edges: preamplifiers, radios, tape, air outlets, flat to rising."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / RATE) + 20
    low, high = log_uniform(random, 20, 3000), log_uniform(random, 3500, 24_000)
    steep = random.uniform(1, 6)
    gain = (frequency / 1000) ** (random.uniform(-1, 1.6) / 2)
    gain /= np.sqrt(1 + (low / frequency) ** (2 * steep)) * np.sqrt(1 + (frequency / high) ** (2 * steep))
    return unit(np.fft.irfft(spectrum * gain, length) * swell(random, length, log_uniform(random, 0.2, 8), random.uniform(0, 3)))


def spatter(random: Generator, length: int) -> np.ndarray:
    """Frying, gravel, pouring sand, sprays: two to four layers of many small hits, each layer ringing in its own colour."""
    sound = np.zeros(length)
    for _ in range(random.integers(2, 5)):
        gap = RATE / log_uniform(random, 20, 9000)
        at = np.cumsum(random.exponential(gap, int(1.2 * length / gap) + 8)).astype(int)
        hits = np.zeros(length)
        at = at[at < length]
        np.add.at(hits, at, random.choice([-1, 1], len(at)) * random.lognormal(0, random.uniform(0.3, 1.4), len(at)))
        ring = coloured(random, 4096, -1.5, 1.5) * np.exp(-np.arange(4096) / log_uniform(random, 6, 900))
        layer = np.fft.irfft(np.fft.rfft(hits) * np.fft.rfft(ring, length), length)
        sound += log_uniform(random, 0.1, 1) * unit(layer) * swell(random, length, log_uniform(random, 0.3, 10), random.uniform(0, 4))
    return unit(unit(sound) + random.uniform(0, 0.7) * hiss(random, length))


def rush(random: Generator, length: int) -> np.ndarray:
    """Streams, taps, cloth, scraping: noise whose bands come and go on their own."""
    spectrum = np.fft.rfft(coloured(random, length, -1.8, 1))
    cuts = np.concatenate([[0], np.sort(np.geomspace(120, 20_000, 9) * random.uniform(0.7, 1.4, 9)), [24_001]]) * length / RATE
    sound = np.zeros(length)
    rate, depth = log_uniform(random, 1, 60), random.uniform(2, 9)
    for start, end in zip(cuts[:-1].astype(int), cuts[1:].astype(int)):
        band = np.zeros_like(spectrum)
        band[start:end] = spectrum[start:end]
        sound += np.fft.irfft(band, length) * swell(random, length, rate, depth)
    return unit(sound)


def drone(random: Generator, length: int) -> np.ndarray:
    """Motors and transformers that hold one tone as deep as a voice, over the noise they make."""
    phase = unsteady_phase(random, length, log_uniform(random, 45, 320), log_uniform(random, 0.001, 0.03), random.uniform(0.3, 3))
    parts = np.arange(1, random.integers(6, 40))
    tone = sum(np.sin(k * phase + random.uniform(0, 6.28)) * random.lognormal(0, 0.5) / k ** random.uniform(0.6, 1.6) for k in parts)
    beat = 1 + random.uniform(0, 0.4) * np.sin(phase / random.integers(2, 9))
    noise = coloured(random, length, -2.5, 0) if random.random() < 0.7 else swelling(random, length)
    return unit(unit(tone) * beat + log_uniform(random, 0.3, 3) * noise + (random.random() < 0.3) * random.uniform(0.1, 0.6) * keys(random, length))


FAMILIES: dict[str, tuple[int, Family]] = {
    "air": (5, coloured),
    "swelling": (4, swelling),
    "gated": (3, gated),
    "wind": (2, wind),
    "hum": (2, hum),
    "fan": (3, fan),
    "engine": (2, engine),
    "keys": (4, keys),
    "rhythm": (2, rhythm),
    "crackle": (3, crackle),
    "tones": (2, tones),
    "chords": (4, chords),
    "glides": (2, glides),
    "grains": (6, grains),
    "hiss": (4, hiss),
    "spatter": (6, spatter),
    "rush": (3, rush),
    "drone": (5, drone),
}
"""Families that need no voices, with how often each is drawn."""

VOICED = {"babble": (5, babble), "backwards": (2, backwards)}
"""Families made of voices: they take a bank of speech too."""
