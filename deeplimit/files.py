"""Tables of samples in files, CSV, parquet or NPZ, as columns of numbers and of labels.

Nothing in a file is executed: pickled objects are refused. What is no number is named by its place in the file.
"""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeplimit import lines, sources
from deeplimit.entries import is_missing, is_misspelt, is_numeric, unlabelled

Column = Sequence[Any] | np.ndarray
INDEX = re.compile(r"Unnamed: 0|__index_level_\d+__")  # what pandas calls row numbers
NAMELESS = re.compile(r"(Unnamed: \d+)?")  # what pandas calls columns without a name
DAMAGED = (ValueError, zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError)  # of what NumPy cannot load


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a file as they stand there.

    Attributes
    ----------
    path
        Where it was read.
    columns
        Name ↦ entries, in the order of the file; texts from a CSV file, numbers or texts from others.
    arrays
        Name ↦ names of its columns, for the arrays of an NPZ file; elsewhere each column is one.
    unit
        What a row is called in messages: "line" of a CSV file, else "row".
    rows
        The number of each row in the file, counted from 1; a header counts.
    """

    path: Path
    columns: dict[str, Column]
    arrays: dict[str, list[str]]
    unit: str
    rows: Sequence[int]

    def split(self, labels: str | Sequence[str] | None = None) -> tuple[list[str], list[str]]:
        """The names of the inputs' columns and of the labels', by default the last array, or the array "y".

        Raises
        ------
        ValueError
            If there is no such column, or no column is left for the inputs.
        TypeError
            If `labels` is neither a name nor several of them.
        """
        chosen: list[str] = []
        for name in self._wanted(labels):
            if name not in self.columns and name not in self.arrays:
                raise ValueError(f"{self.path} has no column {name!r}; it has {', '.join(self.columns)}")
            chosen += self.arrays.get(name, [name])
        inputs = [name for name in self.columns if name not in chosen]
        if not chosen or not inputs:
            raise ValueError(
                f"{self.path} must have a column of inputs and one of labels, got labels {chosen} "
                f"of {', '.join(self.columns)}"
            )
        return inputs, chosen

    def _wanted(self, labels: Any) -> list[str]:
        if labels is None:
            return ["y" if "y" in self.arrays else list(self.arrays)[-1]]
        names = [labels] if isinstance(labels, str) or not isinstance(labels, Iterable) else list(labels)
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"labels must be the name of a column, or a list of names, got {labels!r}")
        return names

    def numbers(self, name: str) -> np.ndarray:
        """A column as finite numbers, shape (S,).

        Raises
        ------
        ValueError
            Naming the first entry that is none, and where it stands.
        """
        column = self.columns[name]
        if isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and np.isfinite(column).all():
            return column.astype(np.float64)
        return np.array([self._number(row, name, entry) for row, entry in zip(self.rows, column, strict=True)])

    def _number(self, row: int, name: str, entry: Any) -> float:
        entry = entry.item() if isinstance(entry, np.generic) else entry
        try:
            number = float(entry)
        except (TypeError, ValueError):
            number = None
        if number is None or "_" in str(entry):  # Python reads 1_000 as a number, no table means it
            empty = entry is None or not str(entry).strip()
            hint = ": write it with a decimal point and without other separators" if is_misspelt(entry) else ""
            raise self.wrong(row, name, f"{'an empty entry' if empty else repr(entry)} is not a number{hint}")
        if not math.isfinite(number):
            raise self.wrong(row, name, f"{entry!r} is not finite")
        return number

    def is_numeric(self, name: str) -> bool:
        """Whether an entry of a column is a number, or meant as one, or all are missing."""
        column = self.columns[name]
        return any(map(is_numeric, column)) or all(map(is_missing, column))

    def labels(self, name: str) -> np.ndarray:
        """A column as labels: texts, or whole numbers.

        Raises
        ------
        ValueError
            Naming an entry that is missing, two texts that differ only by case or spaces, or a number that is not
            whole, or so large that float64 does not tell it from its neighbours.
        """
        if not self.is_numeric(name):
            return np.array(self._texts(name))
        numbers = self.numbers(name)
        wrong = np.flatnonzero((numbers != np.round(numbers)) | (abs(numbers) >= 2**53))
        if len(wrong):
            entry = self.columns[name][wrong[0]]
            raise self.wrong(
                self.rows[wrong[0]], name, f"{entry!r} is not a class: whole numbers below 2**53, or texts"
            )
        return numbers.astype(np.int64)

    def _texts(self, name: str) -> list[str]:
        texts = ["" if entry is None else str(entry).strip() for entry in self.columns[name]]
        missing = unlabelled(set(texts))
        spellings: dict[str, tuple[int, str]] = {}
        for row, text in zip(self.rows, texts, strict=True):
            if text.casefold() in missing:
                entry = f"{text!r}, which stands for a missing one," if text else "an empty entry"
                raise self.wrong(row, name, f"{entry} is not a label")
            where, first = spellings.setdefault(" ".join(text.split()).casefold(), (row, text))
            if text != first:
                alike = f"{text!r} and {first!r} ({self.unit} {where})"
                raise self.wrong(row, name, f"{alike} differ only by case or spaces: write one of them")
        return texts

    def wrong(self, row: int, name: str, what: str) -> ValueError:
        """The error of an entry."""
        return ValueError(f"{self.path}: {self.unit} {row}, column {name!r}: {what}")


def table(path: str | os.PathLike[str], header: bool | None = None) -> Table:
    """The columns of a .csv, .parquet or .npz file.

    `header` tells whether the first line of a CSV file holds the names of its columns, None leaves it to
    `lines.is_header`; without a header they are "1", "2", ….
    An NPZ file holds arrays (S,) or (S, k), whose columns are "name" or "name 1", "name 2", ….

    Raises
    ------
    ValueError
        If the file is damaged, has no rows, rows of different lengths, two columns of one name, a column without one
        or of row numbers, or arrays of objects; if its first line may be a header or a sample, or `header` is given
        for a file of another kind.
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ModuleNotFoundError
        For parquet without its extra.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"the name of a file of data must end in {', '.join(READERS)}, got {str(path)!r}")
    if header is not None and (suffix != ".csv" or not isinstance(header, bool)):
        raise ValueError(f"header must be None, or True or False for a CSV file, got {header!r} for {path}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, a file is wanted")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"{path} is empty")
    found = READERS[suffix](path, content) if header is None else _csv(path, content, header)
    if not len(found.rows):
        raise ValueError(f"{path} has no rows")
    sources.note(path)
    return found


def _named(path: Path, names: Sequence[str]) -> Sequence[str]:
    for place, name in enumerate(names, 1):
        called = f"is called {name!r}" if name.strip() else "has no name"
        if INDEX.fullmatch(name.strip()) or (place == 1 and not name.strip()):
            raise ValueError(
                f"{path}: column {place} {called}, as where pandas writes row numbers: write the file with index=False "
                "(in R with row.names=FALSE), or name the column"
            )
        if NAMELESS.fullmatch(name.strip()):
            unknown = f"{called}, as pandas calls a column without a name" if name.strip() else called
            raise ValueError(f"{path}: column {place} {unknown}: name it, or leave it out")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{path} has two columns of the name {repeated[0]!r}")
    return names


def _csv(path: Path, content: bytes, header: bool | None = None) -> Table:
    names, body = lines.read(path, content, header)
    columns = zip(*(line for _, line in body), strict=True) if body else ((),) * len(names)
    named: dict[str, Column] = dict(zip(_named(path, names), columns, strict=True))
    return Table(path, named, {name: [name] for name in named}, "line", [number for number, _ in body])


def _parquet(path: Path, content: bytes) -> Table:
    try:
        from pyarrow import ArrowException, BufferReader, parquet
    except ImportError as error:
        raise ModuleNotFoundError("a parquet file needs the extra: pip install 'deeplimit[parquet]'") from error
    try:
        found = parquet.ParquetFile(BufferReader(content)).read()
        names, entries = found.column_names, [_entries(column) for column in found.columns]
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as parquet: {' '.join(str(error).split())}") from error
    columns = dict(zip(_named(path, names), entries, strict=True))
    return Table(path, columns, {name: [name] for name in columns}, "row", range(1, found.num_rows + 1))


def _entries(column: Any) -> Column:
    """Numbers as an array; texts, and columns with gaps, as Python's objects."""
    from pyarrow import types

    kind = column.type
    plain = types.is_integer(kind) or types.is_floating(kind)
    return column.to_numpy() if plain and not column.null_count else column.to_pylist()


def _npz(path: Path, content: bytes) -> Table:
    try:
        opened = np.load(io.BytesIO(content), allow_pickle=False) if zipfile.is_zipfile(io.BytesIO(content)) else None
    except DAMAGED:
        opened = None
    if not isinstance(opened, np.lib.npyio.NpzFile):
        raise ValueError(f"{path} is no NPZ file: NumPy's savez makes one")
    with opened as arrays:
        parts = {name: _array_columns(name, _plain(path, arrays, name)) for name in arrays.files}
    lengths = {name: len(column) for part in parts.values() for name, column in part.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path} has arrays of different numbers of rows: {lengths}")
    names = _named(path, [name for part in parts.values() for name in part])
    columns = {name: column for part in parts.values() for name, column in part.items()}
    rows = range(1, len(columns[names[0]]) + 1) if names else range(0)
    return Table(path, columns, {name: list(part) for name, part in parts.items()}, "row", rows)


def _plain(path: Path, arrays: Any, name: str) -> np.ndarray:
    """An array of numbers or texts; objects would have to be unpickled, which can execute anything."""
    try:
        array: Any = arrays[name]
    except DAMAGED as error:
        if "allow_pickle" in str(error):
            pickled = "holds pickled objects, which are not loaded; save numbers or texts"
            raise ValueError(f"{path}: the array {name!r} {pickled}") from error
        raise ValueError(f"{path} is damaged: the array {name!r} cannot be read; save it again") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: {name!r} is no array: NumPy's savez writes arrays alone")
    if array.dtype.kind not in "biufSU" or array.ndim not in (1, 2):
        raise ValueError(
            f"{path}: the array {name!r} must hold numbers or texts in 1 or 2 dimensions, got {array.dtype} "
            f"of shape {array.shape}"
        )
    return array.astype(str) if array.dtype.kind == "S" else array


def _array_columns(name: str, array: np.ndarray) -> dict[str, Column]:
    if array.ndim == 1:
        return {name: array}
    return {f"{name} {k + 1}": array[:, k] for k in range(array.shape[1])}


READERS: dict[str, Callable[[Path, bytes], Table]] = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
