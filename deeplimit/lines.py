"""Lines of a CSV file: their entries, and whether the first of them is a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from deeplimit.entries import is_missing, is_misspelt, is_number, is_numeric

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
EXCEL = re.compile(r"\"?sep=", re.IGNORECASE)  # tells Excel the separator


def read(path: Path, content: bytes, header: bool | None) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the lines of entries below them with their numbers in the file.

    Without a header the names are "1", "2", …; `header` tells whether there is one, None leaves it to `is_header`.
    The "# " that NumPy's savetxt writes before the first name is left out.

    Raises
    ------
    ValueError
        If the text cannot be split at commas into lines of one length, if `is_header` cannot tell, or if its answer is
        no and the first column counts the rows.
    """
    text = _decoded(path, content)
    lines = _split(path, text)
    first = lines[0][1]
    headed = is_header(path, [line for _, line in lines]) if header is None else header
    if headed:
        return [first[0].strip().removeprefix("# "), *map(str.strip, first[1:])], lines[1:]
    if header is None and _count_rows([line[0] for _, line in lines]):
        raise ValueError(
            f"{path}: column 1 counts the rows, as where pandas writes row numbers: write the file with index=False, "
            "or give header=False if it is meant"
        )
    return [str(k + 1) for k in range(len(first))], lines


def is_header(path: Path, lines: Sequence[Sequence[str]]) -> bool:
    """Whether the first line holds names, as far as the lines below tell.

    It does if none of its entries is a number or stands for a missing one, as NA does. Otherwise it is a sample if a
    text of it stands in the same column again; a header if its first entry is empty, or if a text of it stands above
    numbers alone while its numbers are whole and rise; and a sample if it has numbers and no texts, and they do not
    count 0, 1, 2, … or 1, 2, 3, … and are not years that rise or fall.

    Raises
    ------
    ValueError
        If it may be either.
    """
    first, *below = lines
    numbers = [entry for entry in first if is_numeric(entry)]
    if not numbers and not any(entry.strip() and is_missing(entry) for entry in first):
        return True
    columns = [[line[place] for line in below] for place in range(len(first))]
    texts = [(name, column) for name, column in zip(first, columns, strict=True) if _is_text(name)]
    if any(name.strip() in map(str.strip, column) for name, column in texts):
        return False
    if not first[0].strip() or (_rise(numbers) and any(_are_numbers(column) for _, column in texts)):
        return True
    if numbers and not texts and not _count(numbers):
        return False
    shown = ", ".join(map(repr, first[:4])) + (", …" if len(first) > 4 else "")
    raise ValueError(f"{path}: the first line ({shown}) may be a header or a sample: give header=True or header=False")


def _is_text(entry: str) -> bool:
    return not is_numeric(entry) and not is_missing(entry)


def _are_numbers(column: Sequence[str]) -> bool:
    """Whether a column has numbers, and nothing else but missing entries."""
    return any(map(is_numeric, column)) and not any(map(_is_text, column))


def _rise(numbers: Sequence[str]) -> bool:
    """Whether numbers are written as whole ones, and each is greater than the one before."""
    wholes = [float(number) for number in numbers if number.strip().isdecimal()]
    return len(wholes) == len(numbers) and all(a < b for a, b in pairwise(wholes))


def _count(numbers: Sequence[str]) -> bool:
    """Whether numbers, however written, are 0, 1, 2, … or 1, 2, 3, …, or years from 1900 to 2100 that rise or fall."""
    values = [float(number) for number in numbers if is_number(number)]
    if len(values) < len(numbers) or not all(map(float.is_integer, values)):
        return False
    steps = [b - a for a, b in pairwise(values)]
    counting = values[0] in (0, 1) and all(step == 1 for step in steps)
    monotone = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    return counting or (monotone and min(values) >= 1900 and max(values) <= 2100)


def _count_rows(column: Sequence[str]) -> bool:
    """Whether a column of three rows or more is 0, 1, 2, … or 1, 2, 3, …."""
    if len(column) < 3 or not is_number(column[0]) or float(column[0]) not in (0, 1):
        return False
    return all(is_number(entry) and float(entry) == row for row, entry in enumerate(column, int(float(column[0]))))


def _decoded(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _encoded(path, error.start) from error
    if "\0" in text:
        raise _encoded(path, content.index(0))
    if not text.strip():
        raise ValueError(f"{path} is empty")
    if EXCEL.match(text):
        raise ValueError(f"{path}: the first line {text.splitlines()[0]!r} is for Excel alone: delete it")
    for mark, name in SEPARATORS.items():
        if _is_separated(text, mark):
            raise ValueError(
                f"{path}: its entries seem to be separated by {name}; commas are wanted, and decimal points in numbers"
            )
    return text


def _encoded(path: Path, byte: int) -> ValueError:
    return ValueError(f"{path} is no text in UTF-8: byte {byte} cannot be read; save it as UTF-8")


def _is_separated(text: str, mark: str) -> bool:
    """Whether `mark` splits every line, and there is no comma but in numbers."""
    lines = (line.strip().split(mark) for line in text.splitlines() if line.strip())
    return all(len(line) > 1 and all("," not in entry or is_misspelt(entry) for entry in line) for line in lines)


def _split(path: Path, text: str) -> list[tuple[int, list[str]]]:
    lines: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        lines += [(reader.line_num, line) for line in reader if line]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num} cannot be read: {error}") from error
    wanted = len(lines[0][1])
    for number, line in lines:
        if len(line) != wanted:
            hint = "; numbers are written without commas, as 2.9 and 1234" if len(line) > wanted else ""
            raise ValueError(
                f"{path}: line {number} has {len(line)} entries, the first line has {wanted} "
                f"(separated by commas{hint})"
            )
    if wanted > 1 and not any(line[-1].strip() for _, line in lines):
        raise ValueError(f"{path}: every line ends with a comma, after which there is no column: leave it out")
    return lines
