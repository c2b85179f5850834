"""Makes the speech banks for training and validation from free recordings and synthetic voices."""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, resample_poly, sosfilt

from audio import RATE, active_rms, decibels, decode
from bank import BankWriter
from noise import reverberate
from packages import PackageError, recording
from progress import Progress
from voices import speak, voices, words

SPEECH_DB = -24
SPEEDS = (0.87, 1.0, 1.13, 1.27)
"""Each recorded voice is also played slower and faster, which moves pitch and formants."""
CLIPS_A_SPEED = 300
"""How many clips of a recorded voice are drawn at each speed."""
REVERBERANT = 0.3
"""Share of the pieces that are put in a room."""
HIGH_PASS = butter(2, 45, "high", fs=RATE, output="sos")
"""No voice has anything this low: what is left there is rumble, and not a target."""


def recorded() -> dict[str, list[np.ndarray]]:
    """The prompts of both recorded voices, at 16 kHz."""
    prompts = sorted(recording("asterisk-core-sounds-ru-g722").rglob("*.g722"))
    prompts = [path for path in prompts if "silence" not in path.parts and path.stat().st_size > 6000]
    sentences = sorted(recording("festvox-ru").rglob("*.wav"))
    return {
        "maxim": [decode(path, 16_000) for path in prompts],
        "nsh": [decode(path, 16_000) for path in sentences],
    }


def add_piece(random: Generator, bank: BankWriter, name: str, samples: np.ndarray, bandwidth: int) -> None:
    """Levels a piece, puts some in a room and appends it to the bank."""
    samples = sosfilt(HIGH_PASS, samples)
    if random.random() < REVERBERANT:
        samples = reverberate(random, samples, random.uniform(0.12, 0.9), random.uniform(0.15, 0.8))
    bank.add(name, samples * decibels(SPEECH_DB) / active_rms(samples), bandwidth)


def join(random: Generator, clips: list[np.ndarray]) -> np.ndarray:
    """Clips one after the other, with pauses of people who think."""
    parts: list[np.ndarray] = []
    for clip in clips:
        parts += [clip / active_rms(clip, 160) * 0.05, np.zeros(int(16_000 * random.uniform(0.05, 0.7)))]
    return np.concatenate(parts)


def add_recorded(random: Generator, banks: dict[str, BankWriter]) -> None:
    """Every twelfth clip of each recorded voice goes to validation, the others to training."""
    for name, clips in recorded().items():
        kept = [clip for i, clip in enumerate(clips) if i % 12 != 5]
        add_piece(random, banks["validation"], name, resample_poly(join(random, clips[5::12][:30]), 3, 1), 8000)
        progress = Progress(name, len(SPEEDS))
        for done, speed in enumerate(SPEEDS, 1):
            random.shuffle(kept)
            drawn = kept[:CLIPS_A_SPEED]
            for start in range(0, len(drawn), 3):
                samples = resample_poly(join(random, drawn[start : start + 3]), 300, round(100 * speed))
                add_piece(random, banks["train"], name, samples, min(round(8000 * speed), 8000))
            progress.update(done)


def add_synthetic(random: Generator, bank: BankWriter, split: str, pieces: int) -> None:
    """`pieces` paragraphs, half of them by the more natural flite and festival voices."""
    spoken, text = voices(split), words()
    better = [voice for voice in spoken if voice.program != "espeak-ng"]
    progress = Progress(f"{split} voices", pieces)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(pieces):
            group = better if i % 2 else spoken
            voice = group[random.integers(len(group))]
            start = random.integers(0, len(text) - 60)
            samples, bandwidth = speak(random, voice, " ".join(text[start : start + 55]), Path(folder, "voice.wav"))
            speed = random.choice(SPEEDS) if voice.program != "espeak-ng" else 1
            if speed != 1:
                samples = resample_poly(samples, 100, round(100 * speed))
            add_piece(random, bank, "-".join(voice), samples, min(bandwidth, round(bandwidth * speed)))
            progress.update(i + 1)


def main() -> None:
    """Writes the banks speech-train and speech-validation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of everything drawn (default: 1)")
    parser.add_argument("--pieces", type=int, default=200, help="synthetic training paragraphs of about 20 s (default: 200)")
    options = parser.parse_args()
    if options.pieces < 10:
        parser.error("--pieces must be at least 10.")
    random = np.random.default_rng(options.seed)
    with BankWriter("speech-train") as train, BankWriter("speech-validation") as validation:
        add_recorded(random, {"train": train, "validation": validation})
        add_synthetic(random, train, "train", options.pieces)
        add_synthetic(random, validation, "validation", 14)
        print(f"{train.samples / RATE / 60:.0f} min to train on, {validation.samples / RATE / 60:.0f} min to validate")


if __name__ == "__main__":
    try:
        main()
    except PackageError as error:
        sys.exit(str(error))
