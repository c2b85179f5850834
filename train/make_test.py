"""Makes the frozen test set and checks it against test-set.json.

Voices: a recorded man (Italian, 16 kHz), a recorded speaker at 48 kHz (English) and synthetic voices; none of them
is in the training banks. Noise: five families the model trains on, drawn with other seeds, and four it never sees.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.random import Generator

import noise
import noise_unseen
from audio import RATE, active, active_rms, decibels, decode, rms, to_int16, write_wav
from packages import DATA, HERE, PackageError, recording
from progress import Progress
from voices import speak, voices, words

SEED = 999
SECONDS = 6
LENGTH = SECONDS * RATE
SNRS = (0, 5, 10, 15)
SPEAKERS = ("italian", "italian", "italian", "english48k", "synthetic", "synthetic")
"""The speakers of the six clips of each family and SNR."""


def joined(random: Generator, clips: list[np.ndarray]) -> np.ndarray:
    """The clips at one level, with pauses between them."""
    parts: list[np.ndarray] = []
    for clip in clips:
        parts += [clip / active_rms(clip) * 0.05, np.zeros(int(RATE * random.uniform(0.15, 0.7)))]
    return np.concatenate(parts)


def speakers(random: Generator) -> dict[str, np.ndarray]:
    """All speech of each speaker in one row."""
    italian = sorted(recording("asterisk-core-sounds-it-g722").rglob("*.g722"))
    italian = [path for path in italian if "silence" not in path.parts and path.stat().st_size > 20_000]
    english = sorted((recording("alsa-utils") / "usr/share/sounds/alsa").glob("*.wav"))
    english = [path for path in english if path.stem != "Noise"] * 4
    text, synthetic = words(), []
    with tempfile.TemporaryDirectory() as folder:
        for voice in voices("test") * 4:
            start = random.integers(0, len(text) - 40)
            synthetic.append(speak(random, voice, " ".join(text[start : start + 24]), Path(folder, "voice.wav"))[0])
    return {
        "italian": joined(random, [decode(path) for path in italian]),
        "english48k": joined(random, [decode(path) for path in english]),
        "synthetic": joined(random, synthetic),
    }


def excerpt(random: Generator, speech: np.ndarray) -> np.ndarray:
    """Six seconds, at least half of them speech."""
    while True:
        start = random.integers(0, len(speech) - LENGTH)
        clip = speech[start : start + LENGTH]
        if active(clip).mean() > 0.5:
            return clip


def families(random: Generator, speech: dict[str, np.ndarray]) -> dict[str, noise.Family]:
    """The noise families of the test set; an asterisk marks those no model trains on."""
    crowd = np.concatenate([speech["italian"], speech["synthetic"]])
    return {
        "air": noise.coloured,
        "fan": noise.fan,
        "wind": noise.wind,
        "keys": noise.keys,
        "babble": lambda random, length: noise.babble(random, length, crowd),
        "rain*": noise_unseen.rain,
        "applause*": noise_unseen.applause,
        "barks*": noise_unseen.barks,
        "music*": noise_unseen.Music(),
    }


def mix(random: Generator, speech: np.ndarray, sound: np.ndarray, snr: float) -> tuple[np.ndarray, np.ndarray, dict]:
    """Returns the reference, the noisy clip and what was done to it.

    A third of the clips is in a room (the reference too: removing the room is not the task). An eighth is
    recorded too loud, so that the peaks of the mix are clipped; the reference is not.
    """
    reverberant, clipped = random.random() < 1 / 3, random.random() < 1 / 8
    if reverberant:
        speech = noise.reverberate(random, speech, random.uniform(0.2, 0.8), random.uniform(0.2, 0.7))
    speech = speech * decibels(random.uniform(-36, -20)) / active_rms(speech)
    noisy = speech + sound * active_rms(speech) / rms(sound) / decibels(snr)
    loudest = np.abs(noisy).max()
    gain = decibels(random.uniform(2, 6)) / loudest if clipped else min(1, 0.99 / loudest)
    speech = speech * min(gain, 0.99 / np.abs(speech).max())
    return speech, noisy * gain, {"reverberant": bool(reverberant), "clipped": bool(clipped)}


def make(folder: Path) -> list[dict]:
    """Writes all clips and returns their descriptions with hashes."""
    random = np.random.default_rng(SEED)
    speech = speakers(random)
    sounds = families(random, speech)
    clips: list[dict] = []
    progress = Progress("test set", len(sounds) * len(SNRS) * len(SPEAKERS))
    for family, draw in sounds.items():
        for snr in SNRS:
            for speaker in SPEAKERS:
                voice = excerpt(random, speech[speaker])
                clean, noisy, how = mix(random, voice, draw(random, LENGTH), snr)
                name = f"{len(clips):03d}"
                write_wav(folder / f"{name}-clean.wav", clean, RATE)
                write_wav(folder / f"{name}-noisy.wav", noisy, RATE)
                digest = hashlib.sha256(to_int16(clean).tobytes() + to_int16(noisy).tobytes()).hexdigest()
                clips.append({"name": name, "speaker": speaker, "family": family, "snrDb": snr, **how, "sha256": digest})
                progress.update(len(clips))
    return clips


def main() -> None:
    """Writes train/data/test; with --freeze also train/test-set.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--freeze", action="store_true", help="write test-set.json instead of checking against it")
    options = parser.parse_args()
    clips = make(DATA / "test")
    definition = HERE / "test-set.json"
    if options.freeze:
        rows = ",\n    ".join(json.dumps(clip) for clip in clips)
        definition.write_text(f'{{\n  "seed": {SEED},\n  "seconds": {SECONDS},\n  "clips": [\n    {rows}\n  ]\n}}\n')
        print(f"{definition} describes {len(clips)} clips.")
        return
    frozen = json.loads(definition.read_text())["clips"]
    different = sum(ours != theirs for ours, theirs in zip(clips, frozen, strict=True))
    if different:
        sys.exit(f"{different} of {len(clips)} clips are not the frozen ones: are the packages those of data.json?")
    print(f"All {len(clips)} clips are the frozen ones.")


if __name__ == "__main__":
    try:
        main()
    except PackageError as error:
        sys.exit(str(error))
