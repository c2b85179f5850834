"""Lets the products of an exported model be computed in 8 bits: a quarter of the size, and half the time of a hop."""

import logging
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic


def quantise(path: Path) -> None:
    """Rewrites the file in place: weights with a scale for each output, inputs with one that is measured every hop.

    Weights use 7 of the 8 bits, so that no processor's sum of two products overflows 16 bits: the results are the same
    on all of them.
    """
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(
        str(path), str(path), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
        nodes_to_exclude=["/network/voice/MatMul"],
    )
