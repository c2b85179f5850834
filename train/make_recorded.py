"""Makes the banks of recorded speech and recorded noise that training draws from; needs make_voices.py first."""

import cpu  # noqa: F401  before numpy

import argparse
import json
import sys
import zlib

import numpy as np
from numpy.random import Generator
from scipy.signal import resample_poly

import sounds
from audio import RATE, unit
from bank import BankWriter
from composing import Voice, babbled, looped, spoken, strewn
from make_speech import add_piece
from make_voices import FOLDER
from noise import reverberate
from packages import PackageError
from progress import Progress

PIECE_SECONDS = 10
LEVEL = 0.075
VALIDATION_EVERY = 11
"""One noise recording in eleven is for validation alone, chosen by its name: it stays there whatever else is read."""


def voices(split: str) -> list[Voice]:
    """The speakers of a split that make_voices.py has written so far."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        name = path.stem
        if json.loads(path.read_text())["split"] != split:
            continue
        stored = np.load(FOLDER / f"{name}.npz")
        ends = np.cumsum(stored["lengths"])
        samples = stored["samples"].astype(np.float32) / 32768
        found.append(Voice(name, np.split(samples, ends[:-1]), stored["bandwidths"]))
    return found


def fill_voices(random: Generator, split: str, hours: float) -> None:
    """Writes the bank voices-SPLIT: longer ones more often, but by the root of their length."""
    found = voices(split)
    weights = np.sqrt([sum(map(len, voice.clips)) for voice in found])
    pieces = round(hours * 360)
    progress = Progress(f"{split} voices", pieces)
    with BankWriter(f"voices-{split}") as bank:
        for done in range(1, pieces + 1):
            voice = found[random.choice(len(found), p=weights / weights.sum())]
            samples, top = spoken(random, voice, PIECE_SECONDS)
            add_piece(random, bank, voice.name, samples, top)
            progress.update(done)
    print(f"voices-{split}: {len(found)} speakers, {bank.samples / RATE / 3600:.1f} h")


def is_for_validation(name: str) -> bool:
    """Whether no training may hear the recording `name`."""
    return zlib.crc32(name.encode()) % VALIDATION_EVERY == 4


class Noises:
    """Recordings by family, each read once."""

    def __init__(self, split: str, found: list[Voice]) -> None:
        self._voices = found
        self._recordings: dict[str, list[np.ndarray]] = {}
        for family in sounds.TRAIN_WEIGHTS:
            read, kept = [], []
            for name, samples in sounds.read(family, "train"):
                read.append(samples / max(float(np.abs(samples).max()), 1e-3))
                if is_for_validation(name) == (split == "validation"):
                    kept.append(read[-1])
            if kept or read:
                self._recordings[family] = kept or read[:1]

    def draw(self, random: Generator, family: str, length: int) -> np.ndarray:
        """Noise of one family."""
        if family == "babble":
            samples = babbled(random, self._voices, length, int(random.integers(3, 9)))
        elif family == "talker":
            samples = babbled(random, self._voices, length, 1)
        else:
            recordings = self._recordings[family]
            speed = int(random.choice([70, 84, 92, 100, 100, 108, 120, 140]))
            needed = length * speed // 100 + RATE
            if family in sounds.LOOPED and random.random() < 0.85:
                samples = looped(random, recordings[random.integers(len(recordings))], needed)
            else:
                samples = strewn(random, recordings, needed)
            if speed != 100:
                samples = resample_poly(samples, 100, speed)
        return unit(np.resize(samples, length))


def fill_noise(random: Generator, split: str, pieces: int) -> None:
    """Writes the bank sounds-SPLIT."""
    noises = Noises(split, voices("train" if split == "train" else "validation"))
    deck = [family for family, weight in sounds.TRAIN_WEIGHTS.items() for _ in range(weight)]
    progress, length = Progress(f"{split} noise", pieces), PIECE_SECONDS * RATE
    with BankWriter(f"sounds-{split}") as bank:
        for i in range(pieces):
            if i % len(deck) == 0:
                random.shuffle(deck)
            samples = noises.draw(random, deck[i % len(deck)], length)
            room = 0.7 if deck[i % len(deck)] in ("babble", "talker", "dogs", "clatter") else 0.25
            if random.random() < room:
                samples = reverberate(random, samples, random.uniform(0.15, 0.9), random.uniform(0.3, 1.5))
            bank.add(deck[i % len(deck)], np.clip(unit(samples) * LEVEL, -0.99, 0.99), RATE // 2)
            progress.update(i + 1)


def main() -> None:
    """Writes the banks voices-train, voices-validation, sounds-train and sounds-validation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=11, help="seed of everything drawn (default: 11)")
    parser.add_argument("--hours", type=float, default=5, help="hours of recorded speech, and of noise (default: 5)")
    parser.add_argument("--only", choices=("voices", "noise"), help="only one kind of bank")
    options = parser.parse_args()
    if options.hours < 0.1:
        parser.error("--hours must be at least 0.1.")
    random = np.random.default_rng(options.seed)
    if options.only != "noise":
        fill_voices(random, "validation", 0.2)
        fill_voices(random, "train", options.hours)
    if options.only != "voices":
        fill_noise(random, "validation", 115)
        fill_noise(random, "train", round(options.hours * 360))


if __name__ == "__main__":
    try:
        main()
    except (PackageError, FileNotFoundError) as error:
        sys.exit(str(error))
