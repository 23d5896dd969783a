"""The store of a study's rows: a table that people read, and a journal from which an interrupted study goes on.

Beside a table NAME.csv lies the folder `.rows/NAME` with one journal for every fingerprint, a line for each finished
row with its own checksum. A line is appended and flushed to the disk in one step, so that a process that is killed
loses at most the row it was computing; rows of different fingerprints never meet. The table is replaced in one step
after every row. A table that is about to be replaced by rows of another fingerprint is kept in the same folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeGuard

from deeplimit import fingerprint
from deeplimit.provenance import now

if TYPE_CHECKING:
    import pandas as pd
    from filelock import BaseFileLock

RESULTS = Path("results")
ROWS = ".rows"
MADE = "made"  # file with the digests of the last two tables that were made from a journal
FLOATS = "%.17g"  # reads back bit for bit
UNWRITABLE = "backslashreplace"  # what happens to half a character, as a path of undecodable bytes has it


BROKEN = ".broken"  # suffix of what was cut away from a journal
# What a record has where this package reads it; each may be missing, as in records of earlier versions.
RECORD: Mapping[str, Callable[[Any], bool]] = {
    "axes": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "claims": lambda value: isinstance(value, list) and all(isinstance(claim, dict) for claim in value),
    "files": lambda value: isinstance(value, dict) and all(isinstance(old, str) for old in value.values()),
    "rows": lambda value: isinstance(value, int),
    "failed": lambda value: isinstance(value, int),
    **dict.fromkeys(("stamp", "table", "fingerprint", "finished"), lambda value: isinstance(value, str)),
}


class StoreError(Exception):
    """The results cannot be written or read; the message says what is intact and what to do."""


def results_path(save: str | Path, suffix: str) -> Path:
    """The file of a study: a bare name lies in the folder results, a path where it says.

    Raises
    ------
    TypeError, ValueError
        If `save` is no text or path, or names no file, such as "" or "..".
    """
    if not isinstance(save, (str, os.PathLike)):
        raise TypeError(f"save must be the name of a table or its path without suffix, got {save!r}")
    path = Path(save)
    if path.name in ("", "..") or "\0" in str(path):
        raise ValueError(f"save must end in the name of a table, such as 'results/depth_limit', got {str(save)!r}")
    path = RESULTS / path if path.parent == Path() and not path.is_absolute() else path
    return path.with_name(path.name + suffix)


def results_of(studies: Path) -> Path:
    """The folder of results of a folder of studies.

    It lies beside a folder named studies, in where one stands for the studies that come with the package, and in the
    folder itself for any other.
    """
    if studies.resolve() == fingerprint.PACKAGE / "studies":
        return RESULTS
    return (studies.parent if studies.name == "studies" else studies) / RESULTS


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that an interruption leaves the old or the new one.

    Raises
    ------
    StoreError
        If the file cannot be written: a full disk, a folder without the right to write.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_text(text, encoding="utf-8", errors=UNWRITABLE)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def read(save: str | Path, texts: Iterable[str] = ()) -> pd.DataFrame:
    """The table of a study as it was written; numbers bit for bit, an empty text as an empty text.

    Parameters
    ----------
    texts
        Columns whose entries are texts even where they look like numbers or truth values.

    Raises
    ------
    StoreError
        If there is no table, or it is none: cut off, or not text.
    """
    import pandas as pd

    path = results_path(save, ".csv")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        _check_whole(text)
        # the Python engine reads every double exactly
        types = dict.fromkeys(texts, str)
        return pd.read_csv(io.StringIO(text), engine="python", keep_default_na=False, na_values=["nan"], dtype=types)
    except FileNotFoundError:
        raise StoreError(f"there is no table {path}; run the study first") from None
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path} is not a table of a study ({_first_line(error)}); run the study again") from error


def _check_whole(text: str) -> None:
    """A ValueError unless a text is a table with a head and as many entries in every row."""
    if not text.endswith("\n"):
        raise ValueError("its last line is cut off" if text else "it is empty")
    head, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    if not head:
        raise ValueError("its first line is empty")
    for number, line in enumerate(lines, 1):
        if len(line) != len(head):
            raise ValueError(f"row {number} has {len(line)} entries instead of {len(head)}")


def write(save: str | Path, table: pd.DataFrame) -> None:
    """The table of a study, as `read` reads it."""
    write_atomically(results_path(save, ".csv"), _text(table))


def _text(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format=FLOATS, na_rep="nan")


def read_record(save: str | Path) -> dict[str, Any]:
    """The record beside a table; empty where there is none.

    Raises
    ------
    StoreError
        If the file is not a record.
    """
    path = results_path(save, ".json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not the record of a study ({_first_line(error)}); run the study again") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} is not the record of a study, but a {type(content).__name__}; run the study again")
    for name, holds in RECORD.items():
        if name in content and not holds(content[name]):
            raise StoreError(
                f"{path} is not the record of a study, its {name} is {_short(content[name])}; run the study again"
            )
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= fingerprint.MOST_SHOWN else f"{text[: fingerprint.MOST_SHOWN]}…"


def digest(path: Path) -> str:
    """The fingerprint of a file's bytes; empty where there is none."""
    return fingerprint.digest(path.read_bytes()) if path.is_file() else ""


def plain(value: Any) -> Any:
    """A value of a row as a journal keeps it: a number, a text, a truth value or None; anything else as its text."""
    if isinstance(value, Enum):
        value = value.value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


@contextmanager
def alone(save: str | Path) -> Iterator[None]:
    """Keep a table to this process while it is computed; the lock goes with the process, however it ends.

    Raises
    ------
    StoreError
        If another process computes it, or its folder cannot be written.
    """
    lock, holder = _locked(save), _folder(save) / "holder"
    is_first = lock.lock_counter == 1
    try:
        yield
    finally:
        with suppress(OSError):  # what goes wrong inside is not for the lock to tell
            if is_first:
                holder.unlink(missing_ok=True)
        lock.release()


def _locked(save: str | Path) -> BaseFileLock:
    """The lock of a table, held, and beside it who holds it."""
    from filelock import FileLock, Timeout

    folder = _folder(save)
    holder = folder / "holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0, is_singleton=True)
        lock.acquire()
        if lock.lock_counter == 1:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now()}", encoding="utf-8")
        return lock
    except Timeout:
        text = holder.read_text(encoding="utf-8", errors="replace") if holder.exists() else "another process"
        raise StoreError(
            f"{results_path(save, '.csv')} is being computed by {text}; wait for it, or choose another --results folder"
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from error


def _folder(save: str | Path) -> Path:
    """The folder of a table's journals."""
    return results_path(save, "").parent / ROWS / Path(save).name


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error.strerror or error}; what was there is intact")


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
            raise _unwritable(self.path, error) from error
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


def journal(save: str | Path, parts: Mapping[str, str]) -> Journal:
    """The journal of a table for a fingerprint, with the rows it has, up to the first line that is cut off or broken.

    A line that was cut off is cut away; where more lines follow a broken one, they are kept beside as NAME.broken.

    Raises
    ------
    StoreError
        If it cannot be read, or its folder cannot be made.
    """
    folder = _folder(save)
    path = folder / f"{fingerprint.of_text(dict(parts))}.jsonl"
    found = Journal(path, parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            good = 0
            for content, size in _lines(path):
                good += size
                if "row" in content:
                    found.rows[content["key"]] = content["row"]
                    found.files[content["key"]] = content.get("files", {})
            _cut(path, good)
    except OSError as error:
        raise StoreError(f"{folder} cannot be used: {error.strerror or error}") from error
    return found


def _cut(path: Path, good: int) -> None:
    """Keep the first bytes of a journal; more than one broken line goes beside it rather than to be lost."""
    rest = path.read_bytes()[good:]
    if b"\n" in rest:
        with path.with_suffix(BROKEN).open("ab") as file:
            file.write(rest)
    if rest:
        os.truncate(path, good)
    if not good:
        path.unlink()


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The lines of a journal and their lengths in bytes, up to the first that is broken."""
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            check, text = line.decode().split(" ", 1)
            whole = text.endswith("\n") and _check(text[:-1], path.stem) == check
            content = json.loads(text) if whole else None
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
        text = fingerprint.of_text(fingerprint.plain(point))
        seen[text] = seen.get(text, 0) + 1
        found.append(f"{text}-{seen[text]}")
    return found


def others(found: Journal) -> list[str]:
    """One sentence for each other journal of the same table: how many rows it has, and in what it differs."""
    sentences = []
    for path in sorted(found.path.parent.glob("*.jsonl")):
        if path != found.path:
            contents = [content for content, _ in _lines(path)]
            parts = contents[0].get("parts", {}) if contents else {}
            rows = sum("row" in content for content in contents)
            what = fingerprint.difference(parts, found.parts)
            sentences.append(f"{rows} rows of another fingerprint stay apart in {path}: {what}")
    return sentences


def write_rows(found: Journal, save: str | Path, table: pd.DataFrame) -> None:
    """The rows so far as the table that people read; beside the journal a note that this table is made from it."""
    text, path, made = _text(table), results_path(save, ".csv"), found.path.with_name(MADE)
    there = digest(path)
    before = there if there in _made(made) else ""  # an interruption may leave either table
    write_atomically(made, f"{before} {fingerprint.digest(text.encode(errors=UNWRITABLE))}")
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
        raise _unwritable(copy, error) from error
    return copy
