"""Makes the public test set of recorded voices in recorded noise and checks it against public-set.json.

Voices and noises come from packages, or languages of packages, that training never reads (`test` in speakers.py and
sounds.py). The references are the recordings as they are: only clips whose pauses lie 42 dB under the speech are
taken, since a cleaned reference would reward the denoiser that cleaned it.
"""

import cpu  # noqa: F401  before numpy

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, lfilter, sosfilt

import noise
import noise_unseen
import sounds
from audio import RATE, active, active_rms, decibels, resample, rms, to_int16, write_wav
from composing import looped, strewn
from make_voices import floor_db
from packages import DATA, HERE, PackageError
from progress import Progress
from speakers import SPEAKERS, clips
from voices import speak, voices, words

SEED = 2027
SECONDS = 5
LENGTH = SECONDS * RATE
FOLDER = DATA / "public"
SNRS = (0, 5, 10)
CLEAN_ENOUGH_DB = -42
SPEAKERS_OF_A_RATIO = 2
LINE = butter(4, (300, 3400), "bandpass", fs=RATE, output="sos")


def cast() -> dict[str, list[np.ndarray]]:
    """The test speakers' clean recordings."""
    found = {}
    for speaker in (s for s in SPEAKERS if s.split == "test"):
        kept = [samples for _, samples, _ in clips(speaker) if floor_db(samples) < CLEAN_ENOUGH_DB]
        if sum(map(len, kept)) > 8 * RATE:
            found[speaker.name] = kept
    return found


def voice(random: Generator, recordings: list[np.ndarray], seconds: float = SECONDS) -> np.ndarray:
    """Recordings of one speaker one after the other, with pauses in which nothing is heard."""
    length, parts, total = int(seconds * RATE), [np.zeros(int(RATE * 0.25))], 0
    while total < length:
        clip = recordings[random.integers(len(recordings))]
        edge = min(len(clip) // 4, 480)
        faded = clip * np.minimum(1, np.minimum(np.arange(len(clip)), np.arange(len(clip))[::-1]) / edge)
        pause = np.zeros(int(RATE * random.uniform(0.3, 0.9)))
        parts += [faded / active_rms(clip) * 0.05, pause]
        total = sum(map(len, parts))
    return np.concatenate(parts)[:length]


class Noises:
    """The test noises by family; babble is made of the test speakers."""

    def __init__(self, people: dict[str, list[np.ndarray]]) -> None:
        self._people = people
        self.families = list(dict.fromkeys(s.family for s in sounds.SOURCES if s.split == "test")) + ["babble*"]
        self._recordings = {family: [x for _, x in sounds.read(family, "test")] for family in self.families[:-1]}

    def draw(self, random: Generator, family: str, without: str, length: int = LENGTH) -> np.ndarray:
        """Noise of a family, RMS 1; the speaker `without` is not in the babble."""
        if family == "babble*":
            names = [name for name in self._people if name != without]
            total = np.zeros(length)
            for _ in range(6):
                total += voice(random, self._people[names[random.integers(len(names))]], length / RATE + 1)[-length:] * decibels(random.uniform(-6, 0))
            return total / rms(total)
        recordings = self._recordings[family]
        if family.rstrip("*") in ("dogs", "clatter", "ringing", "street"):
            samples = strewn(random, recordings, length)
        else:
            samples = looped(random, recordings[random.integers(len(recordings))], length)
        return samples / rms(samples)


def whispered(random: Generator, samples: np.ndarray) -> np.ndarray:
    """The same words without a voice: the residue of linear prediction at 16 kHz is replaced by noise of its level."""
    low, order, size = resample(samples, RATE, 16_000), 20, 480
    output, window = np.zeros(len(low)), np.hanning(size)
    for at in range(0, len(low) - size, size // 2):
        frame = low[at : at + size] * window
        power = np.fft.irfft(np.square(np.abs(np.fft.rfft(frame, 2 * size))))[: order + 1]
        if power[0] < 1e-7:
            continue
        power[0] *= 1.0001
        lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
        taps = np.linalg.solve(power[lags], power[1:])
        residue = lfilter(np.concatenate([[1], -taps]), [1], frame)
        hiss = random.standard_normal(size)
        output[at : at + size] += lfilter([1], np.concatenate([[1], -taps]), hiss * rms(residue) / rms(hiss)) * window
    high = sosfilt(butter(2, 500, "high", fs=16_000, output="sos"), output)
    return np.resize(resample(high, 16_000, RATE), len(samples))


def mix(clean: np.ndarray, sound: np.ndarray, snr: float, level_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Reference and noisy clip with the speech at `level_db`, turned down where the sum would clip."""
    clean = clean * decibels(level_db) / active_rms(clean)
    noisy = clean + sound * active_rms(clean) / rms(sound) / decibels(snr)
    gain = min(1, 0.99 / np.abs(noisy).max(), 0.99 / np.abs(clean).max())
    return clean * gain, noisy * gain


def plan(random: Generator, people: dict[str, list[np.ndarray]], noises: Noises) -> list[tuple[dict, np.ndarray, np.ndarray]]:
    """Everything but the synthetic part: description, reference and noisy clip."""
    names, made = list(people), []
    turn = 0

    def next_speaker() -> str:
        nonlocal turn
        turn += 1
        return names[turn % len(names)]

    def add(part: str, family: str, snr: float, speaker: str, clean: np.ndarray, sound: np.ndarray | None = None) -> None:
        sound = noises.draw(random, family, speaker) if sound is None else sound
        entry = {"part": part, "family": family, "snrDb": snr, "speaker": speaker}
        made.append((entry, *mix(clean, sound, snr, random.uniform(-34, -20))))

    for family in noises.families:
        for snr in SNRS:
            for _ in range(SPEAKERS_OF_A_RATIO):
                speaker = next_speaker()
                add("recorded", family, snr, speaker, voice(random, people[speaker]))
    for i in range(min(6, len(names))):
        add("clean", "none", 200, names[i], voice(random, people[names[i]]), np.full(LENGTH, 1e-9))
    steady = ("wind*", "rain*", "tools*", "crowd*", "music*", "babble*")
    for i in range(4):
        speaker = next_speaker()
        clean = noise.reverberate(random, voice(random, people[speaker]), random.uniform(0.6, 1.1), random.uniform(0.5, 1))
        add("room", steady[i], (0, 5, 10)[i % 3], speaker, clean)
    for i in range(3):
        speaker = next_speaker()
        add("whisper", steady[i], 5, speaker, whispered(random, voice(random, people[speaker])))
    for i in range(3):
        one, other = next_speaker(), next_speaker()
        add("two talkers", steady[i], 5, f"{one}+{other}", voice(random, people[one]) + voice(random, people[other]))
    for i in range(4):
        speaker = next_speaker()
        sound = noise.coloured(random, LENGTH)
        clean = sosfilt(LINE, voice(random, people[speaker]))
        add("telephone", "air", (0, 5, 10)[i % 3], speaker, clean, sosfilt(LINE, sound))
    for i in range(4):
        speaker = next_speaker()
        clean = np.concatenate([np.zeros(int(2.5 * RATE)), voice(random, people[speaker], SECONDS - 2.5)[RATE // 4 :], np.zeros(RATE // 4)])
        add("onset", steady[i], 5, speaker, clean)
    return made


def synthetic(random: Generator) -> list[tuple[dict, np.ndarray, np.ndarray]]:
    """The smaller part: synthetic voices of the test split in computed noise."""
    families = {"air": noise.coloured, "fan": noise.fan, "keys": noise.keys, "rain": noise_unseen.rain, "barks": noise_unseen.barks, "applause": noise_unseen.applause}
    spoken, text, made = voices("test"), words(), []
    with tempfile.TemporaryDirectory() as folder:
        for i, (family, draw) in enumerate(list(families.items()) * 2):
            talker = spoken[i % len(spoken)]
            start = random.integers(0, len(text) - 40)
            samples, _ = speak(random, talker, " ".join(text[start : start + 24]), Path(folder, "voice.wav"))
            entry = {"part": "synthetic", "family": family, "snrDb": (0, 5, 10)[i % 3], "speaker": "-".join(talker)}
            made.append((entry, *mix(np.resize(samples, LENGTH), draw(random, LENGTH), entry["snrDb"], random.uniform(-34, -20))))
    return made


def make() -> list[dict]:
    """Writes all clips and returns their descriptions with hashes."""
    random = np.random.default_rng(SEED)
    people = cast()
    made = plan(random, people, Noises(people)) + synthetic(random)
    described, progress = [], Progress("public test set", len(made))
    for i, (entry, clean, noisy) in enumerate(made):
        name = f"{i:03d}"
        write_wav(FOLDER / f"{name}-clean.wav", clean, RATE)
        write_wav(FOLDER / f"{name}-noisy.wav", noisy, RATE)
        digest = hashlib.sha256(to_int16(clean).tobytes() + to_int16(noisy).tobytes()).hexdigest()
        speaking = round(float(active(clean).mean()), 2)
        described.append({"name": name, **entry, "speaking": speaking, "sha256": digest})
        progress.update(i + 1)
    return described


def main() -> None:
    """Writes the clips; with --freeze also public-set.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--freeze", action="store_true", help="write public-set.json instead of checking against it")
    options = parser.parse_args()
    made = make()
    definition = HERE / "public-set.json"
    if options.freeze:
        rows = ",\n    ".join(json.dumps(clip) for clip in made)
        definition.write_text(f'{{\n  "seed": {SEED},\n  "seconds": {SECONDS},\n  "clips": [\n    {rows}\n  ]\n}}\n')
        print(f"{definition} describes {len(made)} clips.")
        return
    frozen = json.loads(definition.read_text())["clips"]
    different = sum(ours["sha256"] != theirs["sha256"] for ours, theirs in zip(made, frozen, strict=True))
    if different:
        sys.exit(f"{different} of {len(made)} clips are not the frozen ones: are the packages those of data.json?")
    print(f"All {len(made)} clips are the frozen ones.")


if __name__ == "__main__":
    try:
        main()
    except (PackageError, FileNotFoundError) as error:
        sys.exit(str(error))
