"""Scores denoisers on the public test set: PESQ-WB, STOI, SI-SDR, DNSMOS P.835, pauses and cost.

A model of ours goes hop by hop through the shipped streaming stage (bench/denoise/render-files.ts); the other
denoisers run as they were published (others.py). What the others score is kept in a file, since it does not change.
"""

import cpu  # noqa: F401  before numpy

import argparse
import hashlib
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from pystoi import stoi

import others
from audio import RATE, read_wav, resample
from make_public_test import FOLDER
from metrics import high_pass, pause_noise, pause_swing, si_sdr, wide_pesq
from packages import HERE
from progress import Progress

REPOSITORY = HERE.parent
STARTUP = RATE // 10
"""Samples at the beginning that are not scored."""
ONSET = RATE * 60 // 1000
COLUMNS = ("pesq", "stoi", "sisdr8", "sisdr24", "sig", "bak", "ovrl", "pause", "swing", "onset")


def onset_db(clean: np.ndarray, output: np.ndarray) -> float:
    """Level of the first 60 ms of the first syllable, as far as it is the reference's, against the reference."""
    hops = np.square(clean[: len(clean) // 480 * 480].reshape(-1, 480)).mean(axis=1)
    start = int(np.argmax(hops > hops.max() * 10**-2.5)) * 480
    ours, reference = output[start : start + ONSET], clean[start : start + ONSET]
    return float(20 * np.log10(max(float(ours @ reference), 1e-9) / float(reference @ reference)))


def score(clip: dict, clean: np.ndarray, noisy: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """All figures of one clip."""
    clean, noisy, output = (x[STARTUP:] for x in (clean, noisy, output))
    low_clean, low_output = (resample(x, RATE, 16_000) for x in (clean, output))
    high = [high_pass(x) for x in (clean, output)]
    sig, bak, ovrl = others.dnsmos(np.clip(low_output, -1, 1))
    figures = {
        "pesq": wide_pesq(low_clean, low_output), "stoi": float(stoi(low_clean, low_output, 16_000)),
        "sisdr8": si_sdr(*(resample(x, RATE, 16_000) for x in high)), "sisdr24": si_sdr(*high),
        "sig": sig, "bak": bak, "ovrl": ovrl,
        "pause": pause_noise(clean, noisy, output), "swing": pause_swing(clean, noisy, output),
        "onset": onset_db(clean, output) if clip["part"] == "onset" else float("nan"),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def clips() -> list[tuple[dict, np.ndarray, np.ndarray]]:
    """The frozen clips; raises ValueError for one that is another."""
    found = []
    for clip in json.loads((HERE / "public-set.json").read_text())["clips"]:
        clean, noisy = (read_wav(FOLDER / f"{clip['name']}-{kind}.wav")[0] for kind in ("clean", "noisy"))
        digest = hashlib.sha256(b"".join((x * 32768).astype("<i2").tobytes() for x in (clean, noisy))).hexdigest()
        if digest != clip["sha256"]:
            raise ValueError(f"Clip {clip['name']} is not the one in public-set.json: run make_public_test.py.")
        found.append((clip, clean, noisy))
    return found


def streamed(model: Path, folder: Path = FOLDER, parent: Path = FOLDER.parent / "streamed") -> tuple[dict[str, np.ndarray], float]:
    """Every noisy clip of `folder` through the shipped stage, and milliseconds of processor time for 10 ms.

    What comes out is kept in a folder of `parent`, named after the model's hash.
    """
    target = parent / hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    command = ["npx", "tsx", "bench/denoise/render-files.ts", str(model.resolve()), str(folder), str(target)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    cost = json.loads(done.stdout.strip().splitlines()[-1])["cpuUs"] / 1000
    return {path.stem: np.fromfile(path, "<f4").astype(np.float64) for path in target.glob("*.f32")}, cost


def rows(name: str, found: list, process, cost: float | None = None) -> dict:
    """Scores of one denoiser over all clips, kept in a file where `cost` is not known before."""
    kept = FOLDER.parent / "scores" / f"{name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    stored = json.loads(kept.read_text()) if kept.exists() else {"clips": {}, "cpu": 0.0, "hops": 0}
    progress = Progress(name, len(found))
    for i, (clip, clean, noisy) in enumerate(found, 1):
        if clip["sha256"] not in stored["clips"]:
            began = time.process_time()
            output = process(clip, noisy)
            stored["cpu"] += time.process_time() - began
            stored["hops"] += len(noisy) / 480
            stored["clips"][clip["sha256"]] = score(clip, clean, noisy, output)
            if i % 10 == 0:
                kept.write_text(json.dumps(stored))
        progress.update(i)
    stored["cost"] = cost if cost is not None else 1000 * stored["cpu"] / max(stored["hops"], 1)
    kept.write_text(json.dumps(stored))
    return stored


def mean(values: list[float]) -> float:
    """The mean without the clips a figure does not apply to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(values)) if values else float("nan")


def table(found: list, scored: dict[str, dict]) -> str:
    """Markdown: all figures over the recorded part, then some of them by part and family."""
    def over(name: str, column: str, chosen) -> float:
        return mean([scored[name]["clips"][clip["sha256"]][column] for clip, _, _ in found if chosen(clip)])

    lines = ["| recorded voices in recorded noise | PESQ-WB | STOI | SI-SDR 0-8 kHz | SI-SDR 0-24 kHz | SIG | BAK | OVRL | left in pauses | swing | ms per 10 ms |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    digits = (2, 3, 1, 1, 2, 2, 2, 1, 1)
    for name in scored:
        cells = [f"{over(name, c, lambda clip: clip['part'] == 'recorded'):.{d}f}" for c, d in zip(COLUMNS, digits)]
        lines.append(f"| {name} | {' | '.join(cells)} | {scored[name]['cost']:.2f} |")
    for column, label, digit in (("sisdr8", "SI-SDR 0-8 kHz, dB", 1), ("pesq", "PESQ-WB", 2), ("ovrl", "DNSMOS OVRL", 2)):
        groups = [("0 dB", "recorded", 0), ("5 dB", "recorded", 5), ("10 dB", "recorded", 10)]
        families = list(dict.fromkeys(clip["family"] for clip, _, _ in found if clip["part"] == "recorded"))
        parts = [p for p in dict.fromkeys(clip["part"] for clip, _, _ in found) if p != "recorded"]
        lines += ["", f"| {label} | {' | '.join([g[0] for g in groups] + families + parts)} |", "|---" * (1 + len(groups) + len(families) + len(parts)) + "|"]
        for name in scored:
            cells = [over(name, column, lambda clip, g=g: clip["part"] == g[1] and clip["snrDb"] == g[2]) for g in groups]
            cells += [over(name, column, lambda clip, f=f: clip["part"] == "recorded" and clip["family"] == f) for f in families]
            cells += [over(name, column, lambda clip, p=p: clip["part"] == p) for p in parts]
            lines.append(f"| {name} | {' | '.join(f'{c:.{digit}f}' for c in cells)} |")
    lines += ["", "| first 60 ms of a first syllable, dB | " + " | ".join(scored) + " |", "|---" * (1 + len(scored)) + "|",
              "| | " + " | ".join(f"{over(name, 'onset', lambda clip: clip['part'] == 'onset'):.1f}" for name in scored) + " |"]
    return "\n".join(lines)


def main() -> None:
    """Prints the table for the models named, beside the other denoisers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="*", default=[REPOSITORY / "models" / "unsay-denoise.onnx"], help="exported models")
    parser.add_argument("--others", nargs="*", choices=list(others.OTHERS), default=list(others.OTHERS), help="other denoisers (default: all)")
    options = parser.parse_args()
    found = clips()
    scored = {"noisy": rows("noisy", found, lambda _, noisy: noisy, 0.0)}
    for name in options.others:
        scored[name] = rows(name, found, lambda _, noisy, p=others.OTHERS[name]: p(noisy))
    for model in options.models:
        version = json.loads(model.with_suffix(".json").read_text())["version"]
        outputs, cost = streamed(model)
        name = f"unsay {version}"
        while name in scored:
            name += "'"
        digest = hashlib.sha256(model.read_bytes()).hexdigest()[:8]
        scored[name] = rows(f"{model.stem}-{digest}", found, lambda clip, _: outputs[clip["name"]], cost)
    print(table(found, scored))


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed: {error.stderr}")
