"""Makes the noise banks for training and validation; needs the speech banks for babble."""

import argparse
import sys

import numpy as np

from audio import RATE, unit
from bank import BankWriter, open_bank
from noise import FAMILIES, VOICED, reverberate
from progress import Progress

PIECE_SECONDS = 10
LEVEL = 0.075
REVERBERANT = 0.25
"""Share of the pieces that are heard through a room."""


def fill(split: str, pieces: int, seed: int) -> None:
    """Draws `pieces` of ten seconds from all families, each as often as its weight says."""
    random = np.random.default_rng(seed)
    voices, _ = open_bank(f"speech-{split}")
    weights = {name: weight for name, (weight, _) in (FAMILIES | VOICED).items()}
    deck = [name for name, weight in weights.items() for _ in range(weight)]
    length, progress = PIECE_SECONDS * RATE, Progress(f"{split} noise", pieces)
    with BankWriter(f"noise-{split}") as bank:
        for i in range(pieces):
            if i % len(deck) == 0:
                random.shuffle(deck)
            name = deck[i % len(deck)]
            if name in VOICED:
                samples = VOICED[name][1](random, length, voices)
            else:
                samples = FAMILIES[name][1](random, length)
            if random.random() < REVERBERANT:
                samples = reverberate(random, samples, random.uniform(0.15, 0.9), random.uniform(0.3, 1.5))
            peaks = np.clip(unit(samples) * LEVEL, -0.99, 0.99)
            bank.add(name, peaks, RATE // 2)
            progress.update(i + 1)


def main() -> None:
    """Writes the banks noise-train and noise-validation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2, help="seed of everything drawn (default: 2)")
    parser.add_argument("--pieces", type=int, default=1600, help="training pieces of ten seconds (default: 1600)")
    options = parser.parse_args()
    if options.pieces < 50:
        parser.error("--pieces must be at least 50, so that every family is drawn.")
    fill("train", options.pieces, options.seed)
    fill("validation", 138, options.seed + 1)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(str(error))
