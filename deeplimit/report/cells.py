"""Cells: the values of a table or a record as text, numbers short with the full value kept beside them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

DIGITS = 5
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
FAILED = ("failed",)  # beginnings of a status
DOUBTFUL = ("not ", "saddle", "stationary", "resolution", "converged, but", "solved, too", "nan")


@dataclass(frozen=True)
class Cell:
    """A value as it is shown, and in full where that is more; `number` is None for a text."""

    text: str
    full: str = ""
    number: float | None = None

    @property
    def packed(self) -> str | list[str]:
        """As short as it can be written into the page."""
        return [self.text, self.full] if self.full else self.text


def cell(value: Any) -> Cell:
    """A number to five significant digits, the double behind it as the full value; anything else as its text."""
    if value is None:
        return Cell("none")
    text = compact(value).strip()
    if not NUMBER.fullmatch(text):
        return Cell(text)
    number = float(text)
    if not math.isfinite(number):
        return Cell("NaN" if math.isnan(number) else "∞" if number > 0 else "−∞", number=number)
    if text.lstrip("+-").isdigit():
        return Cell(text, number=number)
    shown = _plain(f"{number:.{DIGITS}g}")
    full = _plain(repr(number).removesuffix(".0"))
    return Cell(shown, full if full != shown else "", number)


def _plain(number: str) -> str:
    """1e-7 instead of 1e-07."""
    return re.sub(r"e([+-])0*(\d)", lambda found: "e" + found[1].replace("+", "") + found[2], number)


def compact(value: Any) -> str:
    """A value of a record as text: a mapping has a line for each name, all else is one line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_line(part)}" for name, part in value.items())
    return _line(value)


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of cells under their headings; `numeric` says of each column whether it has numbers only.

    `marks` says of each row whether a status of it is "failed", "doubtful" or neither, "".
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Sequence[bool]
    marks: Sequence[str]


def table(name: str, columns: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Table:
    """The table of some values."""
    heads = [str(column) for column in columns]
    cells = [[cell(value) for value in row] for row in rows]
    texts = [[row[i] for row in cells if row[i].text] for i in range(len(heads))]
    numeric = [bool(column) and all(c.number is not None for c in column) for column in texts]
    statuses = [i for i, head in enumerate(heads) if head == "status" or head.endswith("_status")]
    marks = [_mark([row[i].text for i in statuses]) for row in cells]
    return Table(name, heads, cells, numeric, marks)


def _mark(statuses: Sequence[str]) -> str:
    if any(status.startswith(FAILED) for status in statuses):
        return "failed"
    return "doubtful" if any(status.lower().startswith(DOUBTFUL) for status in statuses) else ""


def from_csv(path: Path) -> Table:
    """The table of a study, every value as it was written.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is no table.
    """
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table(path.name, found.columns, found.itertuples(index=False, name=None))


def count(path: Path) -> int:
    """How many rows a table has.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is no table.
    """
    return len(pd.read_csv(path, dtype=str, keep_default_na=False))


def from_remark(name: str, remark: Any) -> Table:
    """A remark of a record: a list of mappings and a mapping of mappings by rows, anything else by name and value."""
    if isinstance(remark, Mapping) and remark and all(isinstance(row, Mapping) for row in remark.values()):
        remark = [{"": key} | dict(row) for key, row in remark.items()]
    if isinstance(remark, list) and remark and all(isinstance(row, Mapping) for row in remark):
        heads = list(dict.fromkeys(key for row in remark for key in row))
        return table(name, heads, [[row.get(head, "") for head in heads] for row in remark])
    pairs = remark.items() if isinstance(remark, Mapping) else [("", remark)]
    return table(name, ["", "value"], pairs)
