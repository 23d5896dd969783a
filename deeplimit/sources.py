"""Sources: which files of data and of code a study has read, so that its record can name them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

_READ: dict[str, str] = {}


def digest(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits; empty where there is no file."""
    file = Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def note(path: str | Path) -> None:
    """Remember that a file was read, with its digest of now."""
    _READ[str(path)] = digest(path)


def read() -> dict[str, str]:
    """The files read so far, by path, with their digests."""
    return dict(_READ)


def forget() -> None:
    """Begin anew, for the next study of one process."""
    _READ.clear()


def merge(files: Mapping[str, str]) -> None:
    """Remember files that another process has read."""
    _READ.update(files)


def are_unchanged(files: Mapping[str, str]) -> bool:
    """Whether files still have the digests that they had when they were read."""
    return all(digest(path) == old for path, old in files.items())
