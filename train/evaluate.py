"""Scores a run offline on the frozen test set, or on a validation set for choosing between runs.

The scores that count are those of `npm run bench -- denoise`, through the streaming stage that ships.
"""

import cpu  # noqa: F401  before numpy and torch

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from audio import RATE, active_rms, decibels, read_wav, resample, rms
from bank import open_bank
from metrics import SKIPPED, high_pass, pause_noise, pause_swing, si_sdr, stoi, wide_pesq
from model import Denoiser, Shipped
from offline import denoise
from packages import DATA, HERE
from progress import Progress
from train import load_run
from weights import read_onnx, read_shape

Clip = tuple[dict, np.ndarray, np.ndarray]


def test_clips() -> list[Clip]:
    """The frozen test set."""
    listed = json.loads((HERE / "test-set.json").read_text())["clips"]
    folder = DATA / "test"
    return [(clip, *(read_wav(folder / f"{clip['name']}-{kind}.wav")[0] for kind in ("clean", "noisy"))) for clip in listed]


def validation_clips(recorded: bool = True) -> list[Clip]:
    """Sixty-nine clips of five seconds out of the validation banks, each noise family as often as in training.

    Every third is what is left of it at 16 kHz. Voices and noises are recorded, or else synthetic and computed.
    """
    random = np.random.default_rng(17)
    speech, voices = open_bank("voices-validation" if recorded else "speech-validation")
    sounds, pieces = open_bank("sounds-validation" if recorded else "noise-validation")
    length, clips = 5 * RATE, []
    voices = [piece for piece in voices if piece.length > length]
    names = sorted({piece.name for piece in voices})
    for i in range(69):
        voice = next(piece for piece in voices[i % len(voices) :] + voices if piece.name == names[i % len(names)])
        start = voice.start + random.integers(0, voice.length - length)
        clean = speech[start : start + length] / 32768
        piece = pieces[i % len(pieces)]
        noise = sounds[piece.start : piece.start + length] / 32768
        snr = (0, 5, 10, 15)[i // len(names) % 4]
        noise = noise * active_rms(clean) / (rms(noise) + 1e-9) / decibels(snr)
        rate = 16_000 if i % 3 == 2 else RATE
        clean, noisy = (resample(resample(x, RATE, rate), rate, RATE) for x in (clean, clean + noise))
        clips.append(({"family": piece.name, "snrDb": snr, "rate": rate, "speaker": voice.name}, clean, noisy))
    return clips


def score(clean: np.ndarray, noisy: np.ndarray, output: np.ndarray) -> tuple[float, ...]:
    """SI-SDR with both high-passed, STOI, the noise left in pauses and its swing, and PESQ."""
    ratio = si_sdr(high_pass(clean)[SKIPPED:], high_pass(output)[SKIPPED:])
    clean, noisy, output = clean[SKIPPED:], noisy[SKIPPED:], output[SKIPPED:]
    quality = wide_pesq(*(resample(x, RATE, 16_000) for x in (clean, output)))
    return ratio, stoi(clean, output), pause_noise(clean, noisy, output), pause_swing(clean, noisy, output), quality


def table(clips: list[Clip], before: np.ndarray, after: np.ndarray) -> None:
    """Prints mean scores per ratio and family."""
    groups = [("all", np.ones(len(clips), bool))]
    for key in ("snrDb", "rate", "family", "speaker"):
        for value in dict.fromkeys(clip[0][key] for clip in clips if key in clip[0]):
            groups.append((f"{key} {value}", np.array([clip[0].get(key) == value for clip in clips])))
    print(f"{'':22}  clips   SI-SDR in   out +- 95%    STOI in   out    pauses  swing  PESQ in   out")
    for label, chosen in groups:
        old, new = (np.nanmean(x[chosen], 0) for x in (before, after))
        spread = 1.96 * after[chosen, 0].std() / np.sqrt(chosen.sum())
        print(f"{label:22} {chosen.sum():5d} {old[0]:10.2f} {new[0]:7.2f} {spread:5.2f} {old[1]:10.3f} {new[1]:6.3f} {new[2]:8.1f} {new[3]:6.1f} {old[4]:8.2f} {new[4]:5.2f}")


def load(name: str) -> Denoiser:
    """The network of a run or of an exported model; raises FileNotFoundError with a sentence."""
    if not name.endswith(".onnx"):
        return load_run(name)[0]
    weights = read_onnx(Path(name))
    network = Denoiser(*read_shape(Path(name)))
    network.load_state_dict(weights)
    return network


def main() -> None:
    """Prints the table of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of a run, or path of an exported .onnx file")
    parser.add_argument("--set", choices=("recorded", "computed", "test"), default="recorded",
                        help="validation on recorded or on computed material, or the older test set (default: recorded)")
    parser.add_argument("--ease", type=float, default=1, help="power of the gains (default: 1)")
    parser.add_argument("--least", type=float, default=0, help="least gain (default: 0)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = load(options.name)
    clips = test_clips() if options.set == "test" else validation_clips(options.set == "recorded")
    progress, before, after = Progress("scoring", len(clips)), [], []
    for i, (_, clean, noisy) in enumerate(clips, 1):
        before.append(score(clean, noisy, noisy))
        after.append(score(clean, noisy, denoise(Shipped(network, options.ease, options.least), network.states(), noisy)))
        progress.update(i)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        table(clips, np.array(before), np.array(after))


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(str(error))
