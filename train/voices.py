"""Synthetic voices (espeak-ng, flite, festival), split so that no voice is in two sets."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from audio import read_wav, resample
from packages import PackageError

TEXTS = ("GPL-3", "Apache-2.0", "Artistic", "GFDL-1.3", "LGPL-3")
LANGUAGES = (
    "en-us en-gb en-gb-scotland de fr-fr es it pt-br ru pl cs nl sv da fi hu tr el ro hi id ca sk hr".split()
)
FESTIVAL = {
    "train": ("cmu_us_slt_arctic_hts", "upc_ca_ona_hts", "czech_dita", "kal_diphone"),
    "validation": ("ked_diphone",),
    "test": ("suo_fi_lj_diphone",),
}
FLITE = {"train": ("rms", "kal16"), "validation": (), "test": ("awb",)}
UNNATURAL = re.compile(r"robo|robot|whisper|demonic|fast|croak|storm|announcer", re.IGNORECASE)


class Voice(NamedTuple):
    """One synthetic voice: the program that speaks and the name it knows the voice by."""

    program: str
    name: str


def voices(split: str) -> list[Voice]:
    """All voices of `split` ("train", "validation" or "test")."""
    listing = _run(["espeak-ng", "--voices=variant"])
    variants = sorted(set(re.findall(r"!v/(\S+)", listing)))
    variants = [v for v in variants if not UNNATURAL.search(v)]
    chosen = [v for i, v in enumerate(variants) if _split_of(i) == split]
    found = [Voice("espeak-ng", variant) for variant in chosen]
    found += [Voice("flite", name) for name in FLITE[split]]
    return found + [Voice("festival", name) for name in FESTIVAL[split]]


def _split_of(index: int) -> str:
    return {3: "validation", 7: "test"}.get(index % 10, "train")


def words() -> list[str]:
    """What the voices read: the words of the common licences, found on every Debian system."""
    text = " ".join(Path("/usr/share/common-licenses", name).read_text(errors="ignore") for name in TEXTS)
    return re.sub(r"[^A-Za-z,.' ]+", " ", text).lower().split()


def speak(random: Generator, voice: Voice, text: str, scratch: Path) -> tuple[np.ndarray, int]:
    """Speaks `text` at a random pitch and pace; returns samples at 48 kHz and the bandwidth in Hz."""
    if voice.program == "espeak-ng":
        language = LANGUAGES[random.integers(len(LANGUAGES))]
        pitch, pace = random.integers(15, 85), random.integers(125, 205)
        _run(["espeak-ng", "-v", f"{language}+{voice.name}", "-p", str(pitch), "-s", str(pace), "-w", str(scratch), text])
    elif voice.program == "flite":
        stretch = f"duration_stretch={random.uniform(0.85, 1.2):.3f}"
        _run(["flite", "-voice", voice.name, "--setf", stretch, "-t", text, "-o", str(scratch)])
    else:
        _run(["text2wave", "-eval", f"(voice_{voice.name})", "-o", str(scratch)], text)
    samples, rate = read_wav(scratch)
    return resample(samples, rate, 48_000), rate // 2


def _run(command: list[str], text: str | None = None) -> str:
    try:
        return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise PackageError(f"{command[0]} is not installed; data.json lists the packages.") from None
    except subprocess.CalledProcessError as error:
        raise PackageError(f"{command[0]} failed: {error.stderr.strip()}") from None
