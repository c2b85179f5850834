"""Banks of audio on disk: 16-bit samples in one file and an index of the pieces in another."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio import to_int16
from packages import DATA


class Piece(NamedTuple):
    """One stretch of a bank."""

    name: str
    start: int
    length: int
    bandwidth: int
    """Highest frequency with sound in it, in Hz."""


class BankWriter:
    """Appends pieces to the bank `name`; a context manager that puts the finished files in place when left, so that a
    running training keeps the bank it has open."""

    def __init__(self, name: str) -> None:
        DATA.mkdir(parents=True, exist_ok=True)
        self._path, self._index = DATA / f"{name}.i16", DATA / f"{name}.json"
        self._samples = self._path.with_suffix(".next").open("wb")
        self._pieces: list[Piece] = []
        self.samples = 0

    def add(self, name: str, samples: np.ndarray, bandwidth: int) -> None:
        """Appends one piece."""
        self._samples.write(to_int16(samples).tobytes())
        self._pieces.append(Piece(name, self.samples, len(samples), bandwidth))
        self.samples += len(samples)

    def __enter__(self) -> "BankWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._samples.close()
        self._path.with_suffix(".next").rename(self._path)
        self._index.write_text(json.dumps(self._pieces))


def open_bank(name: str) -> tuple[np.ndarray, list[Piece]]:
    """The samples (a 16-bit memory map) and pieces of the bank `name`.

    Raises FileNotFoundError with a sentence when it was not made yet.
    """
    path: Path = DATA / f"{name}.i16"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run make_speech.py and make_noise.py first.")
    pieces = [Piece(*entry) for entry in json.loads((DATA / f"{name}.json").read_text())]
    return np.memmap(path, "<i2", "r"), pieces
