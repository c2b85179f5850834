"""Reading, writing, resampling and level arithmetic for mono audio as float64 in [-1, 1]."""

import subprocess
import wave
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

RATE = 48_000
"""Sample rate in Hz of everything the model sees."""

FRAME = 480
"""Samples in a 10 ms frame at RATE."""


def decode(path: Path, rate: int = RATE) -> np.ndarray:
    """Decodes any file ffmpeg knows to mono at `rate` Hz."""
    g722 = ["-f", "g722"] if path.suffix == ".g722" else []
    command = ["ffmpeg", "-v", "error", *g722, "-i", str(path), "-ac", "1", "-ar", str(rate), "-f", "s16le", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<i2").astype(np.float64) / 32768


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Reads a mono PCM16 WAV file and returns its samples and sample rate."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2 or file.getnchannels() != 1:
            raise ValueError(f"{path} must be a mono WAV file of 16-bit samples.")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, file.getframerate()


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """Writes mono PCM16, rounding and limiting to the 16-bit range."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(to_int16(samples).tobytes())


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Rounds to 16-bit integers, limiting to their range."""
    return np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2")


def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """Resamples from `source` to `target` Hz with a polyphase filter."""
    common = gcd(source, target)
    return resample_poly(samples, target // common, source // common)


def rms(samples: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples)) + 1e-18))


def active(samples: np.ndarray, frame: int = FRAME, below_db: float = 30) -> np.ndarray:
    """Which frames are speech: those at most `below_db` under the loudest one."""
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    energy = np.square(whole).mean(axis=1)
    return energy > energy.max() * 10 ** (-below_db / 10)


def active_rms(samples: np.ndarray, frame: int = FRAME) -> float:
    """Root mean square over the frames with speech, next to nothing for silence."""
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    spoken = whole[active(samples, frame)]
    return rms(spoken if spoken.size else whole)


def unit(samples: np.ndarray) -> np.ndarray:
    """The same sound with a root mean square of 1."""
    return samples / (rms(samples) + 1e-9)


def decibels(value: float) -> float:
    """An amplitude ratio given in dB as a factor."""
    return 10 ** (value / 20)
