"""Makes docs/listen/recorded: three recordings for the listening page, before and after, with the scores of every denoiser.

The voices and noises come from packages that no model of ours is trained on. scripts/listening-page.ts shows them.
"""

import cpu  # noqa: F401  before numpy

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.signal import sosfilt

import others
import sounds
from audio import RATE, active_rms, decode, decibels, rms, write_wav
from composing import looped, strewn
from make_public_test import LINE, mix
from packages import HERE, PackageError, recording
from score import score, streamed

FOLDER = HERE.parent / "docs" / "listen" / "recorded"
SECONDS = 7
LEAD = RATE // 2
"""Samples of noise alone before the voice begins."""
PAOLA = ("asterisk-prompt-it-menardi-wav", "usr/share/asterisk/sounds/it_IT_f_Menardi/demo-abouttotry.wav")
CARLO = ("asterisk-core-sounds-it-g722", "usr/share/asterisk/sounds/it_IT_m_Carlo")
BITRATE = "32k"
SHARE_ALIKE = '<a href="https://creativecommons.org/licenses/by-sa/3.0/">Creative Commons Attribution-ShareAlike 3.0</a>'
FREE_ART = '<a href="https://artlibre.org/licence/lal/en/">Free Art License 1.3</a>'
FLORA = 'Carlo Flora, <a href="http://www.carloflora.com">carloflora.com</a>, &copy; 2012'


class Take(NamedTuple):
    """One recording of the page."""

    name: str
    title: str
    snr_db: float
    credit: str


TAKES = (
    Take(
        "street", "A woman in a street", 3,
        'Voice by Paola Dal Zot and Marco Menardi, who made these files; they and more voices are at '
        '<a href="http://www.voip.ammdomus.it">voip.ammdomus.it</a>, &copy; 2006-2011. Cars by henrique85n (freesound 160442, '
        f'Creative Commons Attribution 3.0), people in a square by the Unknown Horizons team. All of it under {SHARE_ALIKE}.',
    ),
    Take("dog", "A man and a dog", 3, f"Voice by {FLORA}. Barks by Lionel Allorge (LRBark). All of it under the {FREE_ART}."),
    Take(
        "call", "A telephone call from a tavern", 3,
        f"Voice by {FLORA}. Tavern by the Unknown Horizons team. All of it under {SHARE_ALIKE}.",
    ),
)


def voice(package: str, path: str) -> np.ndarray:
    """The beginning of a prompt behind the lead."""
    spoken = decode(recording(package) / path, RATE)[: SECONDS * RATE - LEAD]
    fade = np.minimum(1, np.arange(len(spoken)) / 480)
    spoken = np.concatenate([np.zeros(LEAD), spoken * fade * fade[::-1]])
    return np.pad(spoken, (0, SECONDS * RATE - len(spoken)))


def named(family: str, *parts: str) -> list[np.ndarray]:
    """Recordings of a test family whose file names hold one of `parts`."""
    return [samples for name, samples in sounds.read(family, "test") if any(part in name for part in parts)]


def unit(samples: np.ndarray) -> np.ndarray:
    """With RMS 1."""
    return samples / rms(samples)


def recorded(random: Generator, take: Take) -> tuple[np.ndarray, np.ndarray]:
    """Reference and noisy recording."""
    length = SECONDS * RATE
    if take.name == "street":
        cars = strewn(random, named("street*", "car.wav"), length)
        square = looped(random, named("crowd*", "main_square")[0], length)
        return mix(voice(*PAOLA), unit(unit(cars) + unit(square)), take.snr_db, -24)
    package, folder = CARLO
    if take.name == "dog":
        return mix(voice(package, f"{folder}/demo-moreinfo.g722"), strewn(random, named("dogs*", "LRBark"), length), take.snr_db, -24)
    clean = voice(package, f"{folder}/demo-nogo.g722")
    tavern = looped(random, named("crowd*", "tavern")[0], length)
    clean = clean / active_rms(clean)
    heard, received = called(clean, clean + unit(tavern) * decibels(-take.snr_db))
    level = decibels(-24) / active_rms(heard)
    return heard * level, received * level


def called(clean: np.ndarray, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The band of a telephone line; what is noisy goes through 8-bit mu-law too."""
    heard, received = sosfilt(LINE, clean), sosfilt(LINE, noisy)
    peak = np.abs(received).max()
    curve = np.round(127 * np.log1p(255 * np.abs(received) / peak) / np.log(256)) / 127
    return heard, np.sign(received) * np.expm1(curve * np.log(256)) / 255 * peak


def encode(samples: np.ndarray, path: Path) -> None:
    """Writes Opus in WebM, without metadata."""
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    command = ["ffmpeg", "-v", "error", "-y", "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "-", *exact]
    command += ["-c:a", "libopus", "-b:a", BITRATE, str(path)]
    subprocess.run(command, input=np.clip(samples, -1, 1).astype("<f4").tobytes(), check=True)


def main() -> None:
    """Writes the files of the page and prints the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "unsay-denoise.onnx", help="an exported model")
    options = parser.parse_args()
    ours = f"unsay {json.loads(options.model.with_suffix('.json').read_text())['version']}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries = []
    with tempfile.TemporaryDirectory() as scratch:
        takes = [(take, *recorded(np.random.default_rng(61 + i), take)) for i, take in enumerate(TAKES)]
        for take, _, noisy in takes:
            write_wav(Path(scratch) / f"{take.name}-noisy.wav", noisy, RATE)
        rendered, _ = streamed(options.model, Path(scratch), Path(scratch))
    for take, clean, noisy in takes:
        made = {"before": noisy} | {name: process(noisy) for name, process in others.OTHERS.items()} | {ours: rendered[take.name]}
        rows = {name: score({"part": "recorded"}, clean, noisy, output) for name, output in made.items()}
        best = max((name for name in made if name != "before"), key=lambda name: rows[name]["pesq"])
        shown = list(dict.fromkeys(["before", ours, best]))
        for name in shown:
            encode(made[name], FOLDER / f"{take.name}-{shown.index(name)}.webm")
        entries.append({
            "name": take.name, "title": take.title, "credit": take.credit, "shown": shown,
            "scores": {name: {column: row[column] for column in ("pesq", "stoi", "sisdr8", "ovrl")} for name, row in rows.items()},
        })
        print(take.name, json.dumps(entries[-1]["scores"], indent=1))
    (FOLDER / "recordings.json").write_text(json.dumps(entries, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (PackageError, FileNotFoundError) as error:
        sys.exit(str(error))
