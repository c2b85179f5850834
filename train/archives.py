"""Sound files of a package, those inside the archives that games keep them in included."""

import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Iterator

from packages import recording

SOUNDS = (".ogg", ".wav", ".flac", ".mp3", ".g722")
ARCHIVES = (".zip", ".wz", ".pk3", ".rcc", ".cat")


@cache
def contents(package: str) -> list[tuple[str, bytes]]:
    """Path and contents of each sound file of a package, in order."""
    folder = recording(package)
    found: list[tuple[str, bytes]] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix in SOUNDS:
            found.append((f"/{path.relative_to(folder)}", path.read_bytes()))
        elif path.suffix in ARCHIVES:
            found += members(path)
    return found


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and contents of each sound file in a zip file (.wz, .pk3, .zip), a Qt resource (.rcc) or an OpenTTD .cat file."""
    if path.suffix == ".rcc":
        yield from _qt_resource(path.read_bytes())
    elif path.suffix == ".cat":
        yield from _riffs(path.read_bytes())
    else:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(SOUNDS):
                    yield name, archive.read(name)


def _riffs(data: bytes) -> Iterator[tuple[str, bytes]]:
    """WAV files one after the other, found by their headers and numbered."""
    at, number = 0, 0
    while (at := data.find(b"RIFF", at)) >= 0:
        size = struct.unpack_from("<I", data, at + 4)[0] + 8
        if data[at + 8 : at + 12] == b"WAVE":
            yield f"{number:03d}.wav", data[at : at + size]
            number, at = number + 1, at + size
        else:
            at += 4


def _qt_resource(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Walks the tree of Qt's binary resource format, whose numbers are big-endian."""
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    size = 22 if version >= 2 else 14

    def entry(number: int, folder: str) -> Iterator[tuple[str, bytes]]:
        at = tree + number * size
        offset, flags = struct.unpack_from(">IH", data, at)
        length = struct.unpack_from(">H", data, names + offset)[0]
        name = data[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")
        path = f"{folder}/{name}" if number else ""
        if flags & 2:
            count, first = struct.unpack_from(">II", data, at + 6)
            for child in range(first, first + count):
                yield from entry(child, path)
        elif name.endswith(SOUNDS):
            start = contents + struct.unpack_from(">I", data, at + 10)[0]
            body = data[start + 4 : start + 4 + struct.unpack_from(">I", data, start)[0]]
            yield path, zlib.decompress(body[4:]) if flags & 1 else body

    yield from entry(0, "")
