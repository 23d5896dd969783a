"""Journals: the finished rows of a table, one journal for every fingerprint, from which an interrupted study goes on.

Beside a table NAME.csv they lie in `.rows/NAME`, a line for each finished row with its own checksum. A line is appended
and flushed to the disk in one step, so that a process that is killed loses at most the row it was computing; rows of
different fingerprints never meet. The table is replaced in one step after every row. A table that is about to be
replaced by rows of another fingerprint is kept in the same folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeGuard

from deeplimit import canonical, fingerprint
from deeplimit.store import (
    StoreError,
    digest,
    digest_of,
    hidden,
    plain,
    results_path,
    text_of,
    unwritable,
    write_atomically,
)

if TYPE_CHECKING:
    import pandas as pd

MADE = "made"  # file with the digests of the last two tables that were made from a journal
BROKEN = ".broken"  # suffix of what was cut away from a journal


@dataclass(eq=False)
class Journal:
    """The finished rows of one fingerprint.

    Attributes
    ----------
    path
        File of lines, the first of which says what the fingerprint was made of.
    parts
        That, by name.
    rows, files
        By key, see `keys`: the row, and the files of data read for it with their digests.
    """

    path: Path
    parts: Mapping[str, str]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, key: str, row: Mapping[str, Any], files: Mapping[str, str] | None = None) -> None:
        """Append a finished row, and the files of data that were read for it, and flush it to the disk.

        Raises
        ------
        StoreError
            If it cannot be written; the lines before it are intact.
        """
        values = {name: plain(value) for name, value in row.items()}
        try:
            new = not self.path.exists()
            with self.path.open("a", encoding="utf-8") as file:
                lines = ([{"parts": dict(self.parts)}] if new else []) + [
                    {"key": key, "row": values, "files": dict(files or {})}
                ]
                _append(file, "".join(_line(content, self.path.stem) for content in lines))
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror or error}; the {len(self.rows)}"
                " rows before are intact, and the same command goes on from them"
            ) from error
        self.rows[key], self.files[key] = values, dict(files or {})

    def forget(self) -> None:
        """Begin anew."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.rows.clear()
        self.files.clear()


def _line(content: Mapping[str, Any], name: str) -> str:
    text = json.dumps(content)
    return f"{_check(text, name)} {text}\n"


def _check(text: str, name: str) -> str:
    """The checksum of a line in the journal of a name, which a line of another journal does not have."""
    return hashlib.sha256(f"{name} {text}".encode(errors="surrogatepass")).hexdigest()[:8]


def _append(file: IO[str], text: str) -> None:
    """All of a text or nothing: what was written of it before an error is taken back."""
    start = file.tell()
    try:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        os.truncate(file.name, start)
        raise


def opened(save: str | Path, parts: Mapping[str, str], *, writing: bool = True) -> Journal:
    """The journal of a table for a fingerprint, with the rows it has, up to the first line that is cut off or broken.

    For writing, under the lock of the table, a line that was cut off is cut away; where more lines follow a broken one,
    they are kept beside as NAME.broken. Otherwise nothing on the disk is changed.

    Raises
    ------
    StoreError
        If it cannot be read, or its folder cannot be made.
    """
    folder = hidden(save)
    path = folder / f"{canonical.of_text(dict(parts))}.jsonl"
    found = Journal(path, parts)
    try:
        if writing:
            folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            whole, good = path.read_bytes(), 0
            for content, size in _lines(whole, path.stem):
                good += size
                if "row" in content:
                    found.rows[content["key"]] = content["row"]
                    found.files[content["key"]] = content.get("files", {})
            if writing:
                _cut(path, good, whole[good:])
    except OSError as error:
        raise StoreError(f"{folder} cannot be used: {error.strerror or error}") from error
    return found


def _cut(path: Path, good: int, rest: bytes) -> None:
    """Keep the first bytes of a journal; more than one broken line goes beside it rather than to be lost."""
    if b"\n" in rest:
        with path.with_suffix(BROKEN).open("ab") as file:
            file.write(rest)
    if rest:
        os.truncate(path, good)
    if not good:
        path.unlink()


def _lines(whole: bytes, name: str) -> Iterator[tuple[dict[str, Any], int]]:
    """The lines of a journal of this name and their lengths in bytes, up to the first that is broken."""
    for line in whole.splitlines(keepends=True):
        try:
            check, text = line.decode().split(" ", 1)
            sound = text.endswith("\n") and _check(text[:-1], name) == check
            content = json.loads(text) if sound else None
        except (ValueError, RecursionError):
            return
        if not _is_line(content):
            return
        yield content, len(line)


def _is_line(content: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a line of a journal says what the fingerprint is made of, or is a row with its key."""
    if not isinstance(content, dict):
        return False
    if "parts" in content:
        return isinstance(content["parts"], dict)
    return isinstance(content.get("key"), str) and isinstance(content.get("row"), dict)


def keys(points: list[dict[str, Any]]) -> list[str]:
    """A key for each point of the axes; a point that comes twice has two."""
    seen: dict[str, int] = {}
    found = []
    for point in points:
        text = canonical.of_text(canonical.plain(point))
        seen[text] = seen.get(text, 0) + 1
        found.append(f"{text}-{seen[text]}")
    return found


def others(found: Journal) -> list[str]:
    """One sentence for each other journal of the same table: how many rows it has, and in what it differs."""
    sentences = []
    for path in sorted(found.path.parent.glob("*.jsonl")):
        if path != found.path:
            contents = [content for content, _ in _lines(path.read_bytes(), path.stem)]
            parts = contents[0].get("parts", {}) if contents else {}
            rows = sum("row" in content for content in contents)
            what = fingerprint.difference(parts, found.parts)
            sentences.append(f"{rows} rows of another fingerprint stay apart in {path}: {what}")
    return sentences


def write_rows(found: Journal, save: str | Path, table: pd.DataFrame) -> None:
    """The rows so far as the table that people read."""
    write_text(found, save, text_of(table))


def write_text(found: Journal, save: str | Path, text: str) -> None:
    """A table that people read as its text; beside the journal a note that this table is made from it."""
    path, made = results_path(save, ".csv"), found.path.with_name(MADE)
    there = digest(path)
    before = there if there in _made(made) else ""  # an interruption may leave either table
    write_atomically(made, f"{before} {digest_of(text)}")
    write_atomically(path, text)


def _made(path: Path) -> list[str]:
    """Digests of the tables that may be there and are made from a journal."""
    return path.read_text(encoding="utf-8", errors="replace").split() if path.exists() else []


def set_aside(found: Journal, save: str | Path) -> Path | None:
    """Move table and record into the folder of journals if they are not made from one: they are about to be replaced.

    Returns
    -------
    Path of the table there, or None where there was nothing to keep.
    """
    table, record = results_path(save, ".csv"), results_path(save, ".json")
    if not table.exists() or digest(table) in _made(found.path.with_name(MADE)):
        return None
    copy = found.path.with_name(f"{digest(table)}.csv")
    try:
        for path in (table, record):
            if path.exists():
                path.replace(copy.with_suffix(path.suffix))
    except OSError as error:
        raise unwritable(copy, error) from error
    return copy
