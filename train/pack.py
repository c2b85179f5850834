"""All that training reads in one folder of Opus files, to carry it to a machine that has a GPU and no packages."""

import json
import multiprocessing
import subprocess
from pathlib import Path

import numpy as np

from audio import RATE
from composing import Voice
from feeding import Material

GAP = RATE // 50
"""Silence between clips, so that the codec does not smear one into the next."""
GROUPS = ("cast", "men", "synthetic")
FILE_SECONDS = 240


def write_pack(folder: Path, entries: list[dict], clips: list[np.ndarray], rate: int) -> None:
    """Adds files of about four minutes; `entries` are the descriptions of `clips`, which are 16-bit samples at RATE."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.json"
    files = json.loads(index.read_text()) if index.exists() else []
    at = 0
    while at < len(clips):
        stop, length = at, 0
        while stop < len(clips) and length < FILE_SECONDS * RATE:
            length += len(clips[stop])
            stop += 1
        samples = np.concatenate([np.concatenate([clip, np.zeros(GAP, np.int16)]) for clip in clips[at:stop]])
        name = f"{len(files):03d}.opus"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "-", "-c:a", "libopus", "-b:a", str(rate), "-application", "audio", str(folder / name)]
        subprocess.run(command, input=samples.tobytes(), check=True)
        files.append({"file": name, "clips": [entry | {"length": len(clip)} for entry, clip in zip(entries[at:stop], clips[at:stop])]})
        at = stop
    index.write_text(json.dumps(files))


def _decoded(path: Path) -> np.ndarray:
    import soundfile

    return soundfile.read(path, dtype="int16")[0]


def read_pack(folders: list[Path], processes: int) -> Material:
    """Everything in the folders."""
    files = [(folder, entry) for folder in folders for entry in json.loads((folder / "index.json").read_text())]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        decoded = pool.map(_decoded, [folder / entry["file"] for folder, entry in files], 1)
    voices: dict[tuple[str, str], list] = {}
    noises: dict[str, list[np.ndarray]] = {}
    weights: dict[str, int] = {}
    looped: set[str] = set()
    for (_, entry), samples in zip(files, decoded):
        at = 0
        for clip in entry["clips"]:
            part = samples[at : at + clip["length"]]
            at += clip["length"] + GAP
            if len(part) < clip["length"] // 2:
                continue
            if clip["group"] == "noise":
                noises.setdefault(clip["name"], []).append(part)
                weights[clip["name"]] = clip["weight"]
                if clip["looped"]:
                    looped.add(clip["name"])
            else:
                voices.setdefault((clip["group"], clip["name"]), []).append((part, clip["bandwidth"]))
    groups = [
        [Voice(name, [part for part, _ in found], np.array([top for _, top in found])) for (group, name), found in voices.items() if group == wanted]
        for wanted in GROUPS
    ]
    return Material(groups, noises, weights | {"babble": 12}, looped)
