"""The store of a study: the table that people read and the record beside it, each replaced in one step.

Beside a table NAME.csv lies the folder `.rows/NAME`, see `journal`, from which an interrupted study goes on.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplimit import canonical, imports

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path("results")
ROWS = ".rows"
FLOATS = "%.17g"  # reads back bit for bit
UNWRITABLE = "backslashreplace"  # what happens to half a character, as a path of undecodable bytes has it
MOST_SHOWN = 60  # characters of a value in a message
NOT_JUDGED = "the table is not the one that was judged"

# What a record has where this package reads it; each may be missing, as in records of earlier versions.
RECORD: Mapping[str, Callable[[Any], bool]] = {
    "axes": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "claims": lambda value: isinstance(value, list) and all(isinstance(claim, dict) for claim in value),
    **dict.fromkeys(
        ("files", "tables"),
        lambda value: isinstance(value, dict) and all(isinstance(old, str) for old in value.values()),
    ),
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
    if studies.resolve() == imports.PACKAGE / "studies":
        return RESULTS
    whole = Path(os.path.abspath(studies))  # that of "." has a name
    if whole.name != "studies":
        return studies / RESULTS
    return (studies.parent if studies.name == "studies" else whole.parent) / RESULTS


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
        raise unwritable(path, error) from error


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
    write_atomically(results_path(save, ".csv"), text_of(table))


def text_of(table: pd.DataFrame) -> str:
    """A table as its file has it."""
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
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def digest_of(text: str) -> str:
    """The fingerprint of a file of this text."""
    return canonical.digest(text.encode(errors=UNWRITABLE))


def digest(path: Path) -> str:
    """The fingerprint of a file's bytes; empty where there is none."""
    return canonical.digest(path.read_bytes()) if path.is_file() else ""


def departure(save: str | Path, record: Mapping[str, Any]) -> str:
    """How a table departs from the one that its record was made from, such as "unfinished, 3 of 7 rows".

    Empty where it does not, and where the record is of an earlier version, which has no fingerprint of its table.
    """
    path, rows = results_path(save, ".csv"), record.get("rows")
    try:
        if record.get("table") in (None, digest(path)):
            return ""
        count = len(read(save)) if path.exists() else None
    except (StoreError, OSError):
        return f"{path.name} cannot be read"
    if count is None:
        return f"{path.name} is missing"
    if isinstance(rows, int) and count < rows:
        return f"unfinished, {count} of {rows} rows"
    return f"{path.name} was changed since"


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


def hidden(save: str | Path) -> Path:
    """The folder of a table's lock and journals."""
    return results_path(save, "").parent / ROWS / Path(save).name


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error of a file that could not be written."""
    return StoreError(f"{path} cannot be written: {error.strerror or error}; what was there is intact")
