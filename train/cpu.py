"""Settings of OpenBLAS that are read when numpy or torch is first imported: import this module before them."""

import os
from pathlib import Path


def _kernels() -> str | None:
    """The fastest kernels this processor runs; OpenBLAS takes the slowest (SSE3) on processors newer than itself."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0].split()
    except OSError:
        return None
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= set(flags):
        return "SkylakeX"
    return "Haswell" if {"avx2", "fma"} <= set(flags) else None


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if (_found := _kernels()) is not None:
    os.environ.setdefault("OPENBLAS_CORETYPE", _found)
