"""Packs what training on a GPU reads into a folder of about 105 MB, to carry to a machine without the packages."""

import cpu  # noqa: F401  before numpy

import argparse
import sys
from pathlib import Path

import numpy as np

import sounds
from audio import RATE, resample, to_int16
from bank import open_bank
from make_recorded import is_for_validation, voices
from make_speech import recorded
from pack import write_pack
from packages import DATA, PackageError

MEN_SECONDS, SYNTHETIC_SECONDS = 3000, 1500
"""Of each recorded man, and of all synthetic voices."""
LONGEST_SECONDS = {"music": 8, "ambience": 16, "water": 16}
"""Of each recording of these families; of the others 25."""


def pack_cast(folder: Path) -> None:
    """The recorded speakers."""
    for voice in voices("train"):
        entries = [{"group": "cast", "name": voice.name, "bandwidth": int(top)} for top in voice.bandwidths]
        rate = 64_000 if max(voice.bandwidths) > 8000 else 52_000
        write_pack(folder, entries, [to_int16(clip) for clip in voice.clips], rate)


def pack_others(folder: Path) -> None:
    """Two recorded men and synthetic voices."""
    for name, clips in recorded().items():
        kept, left = [], MEN_SECONDS * RATE
        for clip in (clip for i, clip in enumerate(clips) if i % 12 != 5):
            if left > 0:
                kept.append(to_int16(resample(clip, 16_000, RATE)))
                left -= len(kept[-1])
        write_pack(folder, [{"group": "men", "name": name, "bandwidth": 8000}] * len(kept), kept, 36_000)
    samples, pieces = open_bank("speech-train")
    chosen, left = [], SYNTHETIC_SECONDS * RATE
    for at in np.random.default_rng(3).permutation(len(pieces)):
        if left > 0 and pieces[at].name not in ("maxim", "nsh"):
            chosen.append(pieces[at])
            left -= pieces[at].length
    entries = [{"group": "synthetic", "name": piece.name, "bandwidth": piece.bandwidth} for piece in chosen]
    write_pack(folder, entries, [np.array(samples[p.start : p.start + p.length]) for p in chosen], 36_000)


def pack_noise(folder: Path) -> None:
    """Recorded noise, without what is kept for validation."""
    for family, weight in sounds.TRAIN_WEIGHTS.items():
        if family in ("babble", "talker"):
            continue
        longest = LONGEST_SECONDS.get(family, 25) * RATE
        clips = [x[:longest] for name, x in sounds.read(family, "train") if not is_for_validation(name)]
        entry = {"group": "noise", "name": family, "weight": weight, "looped": family in sounds.LOOPED}
        write_pack(folder, [entry] * len(clips), [to_int16(0.7 * x / max(float(np.abs(x).max()), 1e-3)) for x in clips], 64_000)
        sounds.read.cache_clear()


def main() -> None:
    """Writes the folders voices, men and noise; one that is there already stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA / "pack", help="where to write (default: data/pack)")
    options = parser.parse_args()
    for name, pack in (("voices", pack_cast), ("men", pack_others), ("noise", pack_noise)):
        if not (options.folder / name).exists():
            pack(options.folder / name)


if __name__ == "__main__":
    try:
        main()
    except (PackageError, FileNotFoundError) as error:
        sys.exit(str(error))
