"""Makes examples/audio: two real voices, clean and in an office with a fan and a keyboard, and the words of one."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

from audio import active_rms, decibels, decode, rms, write_wav
from packages import HERE, PackageError, recording
from word_times import word_times

RATE = 16_000
SOUNDS = "usr/share/asterisk/sounds"
ITALIAN = ("asterisk-core-sounds-it-g722", f"{SOUNDS}/it_IT_m_Carlo/demo-congrats.g722", 10.12)
ENGLISH = ("asterisk-core-sounds-en-g722", f"{SOUNDS}/en_US_f_Allison/demo-congrats.g722", 14.12)
"""Package, file in it, and the seconds after which its first sentences end."""

PHRASES = (
    "Congratulations.",
    "You have successfully installed",
    "and executed the",
    "Asterisk open source PBX.",
    "You have also installed a set of sample sounds",
    "and configuration files",
    "that should help you to get started.",
)
"""What the English voice says, divided where it makes its longest pauses."""

MARGIN_SECONDS = 0.2
SPEECH_DB = -24


def speech(package: str, prompt: str, end: float) -> np.ndarray:
    """The first sentences of a prompt with a short silence on both sides."""
    voice = decode(recording(package) / prompt, RATE)[: round(end * RATE)]
    fade = np.minimum(1, np.arange(len(voice)) / (0.01 * RATE))
    margin = np.zeros(round(MARGIN_SECONDS * RATE))
    voice = np.concatenate([margin, voice * fade * fade[::-1], margin])
    return voice * decibels(SPEECH_DB) / active_rms(voice, RATE // 100)


def fan(random: np.random.Generator, length: int) -> np.ndarray:
    """Air flow (noise that falls with frequency) and a motor with unsteady speed."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    air = np.fft.irfft(spectrum * (np.maximum(frequency, 60) / 1000) ** -0.75, length)
    seconds = np.arange(length) / RATE
    knots = np.arange(0, seconds[-1] + 1, 0.5)
    wobble = np.interp(seconds, knots, random.standard_normal(len(knots)))
    phase = 2 * np.pi * np.cumsum(118 * (1 + 0.004 * wobble)) / RATE
    motor = sum(np.sin(k * phase + random.uniform(0, 6.28)) / k for k in range(1, 14))
    return air / rms(air) * (1 + 0.15 * np.sin(phase / 6)) + 0.45 * motor / rms(motor)


def keyboard(random: np.random.Generator, length: int) -> np.ndarray:
    """Key strokes: a sharp press with a plastic ring and a softer release."""
    sound = np.zeros(length)
    start = 0.3
    while start < length / RATE - 0.3:
        for delay, loudness in ((0, 1), (random.uniform(0.06, 0.11), 0.4)):
            span = np.arange(round(0.04 * RATE)) / RATE
            ring = np.sin(2 * np.pi * random.uniform(1800, 3600) * span) * np.exp(-span * 240)
            burst = random.standard_normal(len(span)) * np.exp(-span * 160)
            at = round((start + delay) * RATE)
            sound[at : at + len(span)] += loudness * random.uniform(0.5, 1) * (burst + 0.8 * ring)
        start += random.exponential(0.16) + 0.07
    return sosfilt(butter(2, 350, "high", fs=RATE, output="sos"), sound)


def traffic(random: np.random.Generator, length: int) -> np.ndarray:
    """A street behind the window: low rumble that swells and fades."""
    rumble = sosfilt(butter(2, [50, 500], "band", fs=RATE, output="sos"), random.standard_normal(length))
    points = random.uniform(-9, 3, length // (2 * RATE) + 3)
    swell = np.interp(np.linspace(0, len(points) - 1, length), np.arange(len(points)), points)
    return rumble / rms(rumble) * 10 ** (swell / 20)


def office(random: np.random.Generator, clean: np.ndarray, snr: float) -> np.ndarray:
    """`clean` in an office, `snr` decibels above its noise."""
    noise = fan(random, len(clean)) + 0.8 * traffic(random, len(clean))
    keys = keyboard(random, len(clean))
    noise = noise / rms(noise) + 0.5 * keys / rms(keys)
    return clean + noise * (active_rms(clean, RATE // 100) / rms(noise) / decibels(snr))


def write_words(path: Path, clean: np.ndarray) -> None:
    """Writes what is said in `clean`, and when."""
    words = [
        {"text": text, "startMs": round(start * 1000), "endMs": round(end * 1000)}
        for text, start, end in word_times(clean, list(PHRASES))
    ]
    lines = ",\n".join(f"    {json.dumps(word)}" for word in words)
    path.write_text(f'{{\n  "text": {json.dumps(" ".join(PHRASES))},\n  "words": [\n{lines}\n  ]\n}}\n')


def main() -> None:
    """Writes the recordings, and the words of the demo's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20, help="seed of the noise (default: 20)")
    parser.add_argument("--snr", type=float, default=5, help="speech above noise in dB (default: 5)")
    options = parser.parse_args()
    folder = HERE.parent / "examples" / "audio"
    for clean_name, noisy_name, source in (
        ("clean-speech", "noisy-speech", ITALIAN),
        ("demo-clean", "demo-noisy", ENGLISH),
    ):
        clean = speech(*source)
        noisy = office(np.random.default_rng(options.seed), clean, options.snr)
        write_wav(folder / f"{clean_name}.wav", clean, RATE)
        write_wav(folder / f"{noisy_name}.wav", noisy, RATE)
        print(f"{clean_name}: {len(clean) / RATE:.1f} s at {options.snr:g} dB, peak {np.abs(noisy).max():.2f}")
    write_words(folder / "demo-words.json", clean)


if __name__ == "__main__":
    try:
        main()
    except PackageError as error:
        sys.exit(str(error))
