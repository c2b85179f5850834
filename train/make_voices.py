"""Cleans the recorded voices and writes them, one file for each speaker, each with an entry that holds its hash.

A clip is kept where DeepFilterNet3 and GTCRN agree on what is speech in it; what is written is DeepFilterNet3's. A
clip whose pauses are digital silence, or 60 dB below its speech, needs no cleaning.
"""

import cpu  # noqa: F401  before numpy

import argparse
import hashlib
import json
import sys

import numpy as np

from audio import RATE, active_rms, decibels, to_int16
from metrics import si_sdr
from others import deep_filter_net, gtcrn
from packages import DATA, PackageError
from progress import Progress
from speakers import SPEAKERS, Speaker, clips

FOLDER = DATA / "voices"
CLEAN_DB = -46
"""A clip whose pauses are this far below its speech is clean as it is."""
MOST_REMOVED_DB = 30
AGREE_DB = 9
"""SI-SDR between the two cleaned versions up to 8 kHz from which on they agree."""
COMPARED = 4 * RATE
"""Samples over which they are compared."""
MOST_CLEANED_SECONDS = 240
"""Of each speaker at most this much is cleaned; what needs no cleaning is taken whole."""
QUIET_SHARE = 0.08


def floor_db(samples: np.ndarray) -> float:
    """Level of the quietest hops against the loud ones."""
    hops = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    level = 10 * np.log10(np.square(hops).mean(axis=1) + 1e-12)
    return float(np.quantile(level, QUIET_SHARE) - np.quantile(level, 0.95))


def cleaned(samples: np.ndarray) -> np.ndarray | None:
    """The clip without its noise, or None where the cleaners don't agree."""
    samples = samples / max(active_rms(samples), 1e-4) * decibels(-24)
    if floor_db(samples) < CLEAN_DB:
        return samples
    lead = np.concatenate([samples[:RATE // 2][::-1], samples])
    part = slice(0, len(lead) if len(lead) < COMPARED else COMPARED)
    ours = deep_filter_net(lead, MOST_REMOVED_DB)
    if si_sdr(gtcrn(lead[part]), ours[part]) < AGREE_DB or active_rms(ours) < 0.5 * active_rms(samples):
        return None
    return ours[len(lead) - len(samples) :]


def bandwidth(samples: np.ndarray, rate: int) -> int:
    """The frequency in Hz above which there is next to nothing."""
    spectrum = np.square(np.abs(np.fft.rfft(samples)))
    steps = np.array([part.mean() for part in np.array_split(spectrum, 96)])
    heard = np.flatnonzero(steps > steps.max() * 1e-7)
    return int(min((heard[-1] + 1) * 250, rate // 2))


def make(speaker: Speaker) -> dict | None:
    """Writes one speaker; returns what is written about it, or None where nothing was left."""
    parts, lengths, tops, dropped, left = [], [], [], 0, MOST_CLEANED_SECONDS * RATE
    for _, samples, rate in clips(speaker):
        noisy = floor_db(samples) >= CLEAN_DB
        left -= len(samples) if noisy else 0
        if noisy and left < 0:
            continue
        clean = cleaned(samples)
        if clean is None:
            dropped += 1
            continue
        parts.append(clean)
        lengths.append(len(clean))
        tops.append(bandwidth(clean, rate))
    if not parts:
        return None
    voice = to_int16(np.concatenate(parts))
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez(FOLDER / f"{speaker.name}.npz", samples=voice, lengths=np.array(lengths), bandwidths=np.array(tops))
    return {
        "speaker": speaker.name, "package": speaker.package, "split": speaker.split, "clips": len(parts),
        "dropped": dropped, "seconds": round(len(voice) / RATE), "sha256": hashlib.sha256(voice.tobytes()).hexdigest(),
    }


def main() -> None:
    """Cleans every speaker who is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("train", "validation", "test"), help="only the speakers of one split")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="only every Nth speaker from the Ith on")
    options = parser.parse_args()
    first, step = options.part
    wanted = [s for s in SPEAKERS if options.split in (None, s.split)][first::step]
    wanted = [s for s in wanted if not (FOLDER / f"{s.name}.json").exists()]
    progress = Progress("voices", len(wanted))
    for done, speaker in enumerate(wanted, 1):
        entry = make(speaker)
        if entry is not None:
            (FOLDER / f"{speaker.name}.json").write_text(json.dumps(entry))
        progress.update(done, speaker.name)


if __name__ == "__main__":
    try:
        main()
    except (PackageError, FileNotFoundError) as error:
        sys.exit(str(error))
