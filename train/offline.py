"""Runs the network over a whole recording at once; the same arithmetic as the streaming stage, without its delay."""

import numpy as np
import torch
from torch import Tensor

from bands import HOP, ROOT_HANN, WINDOW, features, frames, spread, sums
from model import Shipped, deep_filter


def denoise(network: Shipped, states: tuple[Tensor, Tensor], samples: np.ndarray) -> np.ndarray:
    """Returns the denoised recording, as long as `samples` and in step with it."""
    hops = len(samples) // HOP + 2
    padded = np.zeros((hops + 1) * HOP)
    padded[HOP : HOP + len(samples)] = samples
    spectra = np.fft.rfft(frames(padded), axis=-1)
    with torch.no_grad():
        inputs = torch.from_numpy(features(sums(np.abs(spectra) ** 2)).astype(np.float32))[None]
        gains, _, _, _, *weights = network(inputs, *states)
        if weights:
            bins = network.network.bins
            low = np.stack([spectra[:, :bins].real, spectra[:, :bins].imag], -1).astype(np.float32)
            filtered = deep_filter(weights[0], torch.from_numpy(low)[None], network.network.taps)[0].numpy()
            spectra[:, :bins] = filtered[..., 0] + 1j * filtered[..., 1]
        gains = gains[0].numpy()
    pieces = np.fft.irfft(spectra * spread(gains), WINDOW, axis=-1) * ROOT_HANN
    output = np.zeros(len(padded))
    for i, piece in enumerate(pieces):
        output[i * HOP : i * HOP + WINDOW] += piece
    return output[HOP : HOP + len(samples)]
