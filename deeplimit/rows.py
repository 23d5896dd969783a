"""Rows: those of one sweep while it runs, found in the journal or made since, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deeplimit import fingerprint, journal, sources, store, workers
from deeplimit.store import StoreError, read, results_path, write_atomically

if TYPE_CHECKING:
    import pandas as pd


WHOLE = "the whole table"  # the key of a table that is made by one call


class Rows:
    """The rows of one sweep.

    Attributes
    ----------
    found
        The rows so far, by number.
    """

    def __init__(self, points: list[dict[str, Any]], columns: Iterable[str]) -> None:
        self.points, self.columns = points, list(columns)
        self.found: dict[int, dict[str, Any]] = {}

    def missing(self) -> dict[int, dict[str, Any]]:
        """The points without a row, by number."""
        return {number: point for number, point in enumerate(self.points) if number not in self.found}

    def add(self, made: workers.Made) -> str:
        """Keep a finished row; its line to print."""
        axes = self.points[made.number]
        row = {str(name): value if name in axes else _entry(value) for name, value in made.row.items()}
        self.found[made.number] = row
        return line(row, self.columns)

    def table(self) -> pd.DataFrame:
        """The rows so far, in the order of the axes."""
        import pandas as pd

        return pd.DataFrame([self.found[number] for number in sorted(self.found)])

    def finish(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The whole table, and what its record says of it."""
        return self.table(), {}


class KeptRows(Rows):
    """The rows of a sweep with a table and a journal."""

    def __init__(
        self,
        points: list[dict[str, Any]],
        columns: Iterable[str],
        measure: workers.Measure,
        save: str | Path,
        force: bool,
    ) -> None:
        super().__init__(points, columns)
        self.save, self.keys = save, journal.keys(points)
        self.journal = journal.opened(save, fingerprint.of_measure(measure))
        if force:
            self.journal.forget()
        for number, key in enumerate(self.keys):
            row = self.journal.rows.get(key)
            if row is not None and not has_failed(row) and sources.are_unchanged(self.journal.files[key]):
                sources.merge(self.journal.files[key])
                self.found[number] = {**points[number], **row, **points[number]}
        self._greet()

    def _greet(self) -> None:
        """Say what is there already, and keep what is about to be replaced."""
        again = len(self.journal.rows.keys() & set(self.keys)) - len(self.found)
        if self.found or again:
            more = f", {again} that failed or whose data have changed are computed again" if again else ""
            print(f"{len(self.found)} of {len(self.points)} rows are there already{more}")
        elif sentences := journal.others(self.journal):
            print(*sentences, sep="\n")
        if kept := journal.set_aside(self.journal, self.save):
            print(f"table and record of an earlier run are kept as {kept}")

    def add(self, made: workers.Made) -> str:
        """Keep a finished row in the journal and in the table; its line to print."""
        text = super().add(made)
        self.journal.add(self.keys[made.number], self.found[made.number], made.files)
        sources.merge(made.files)
        journal.write_rows(self.journal, self.save, self.table())
        path = results_path(self.save, ".failed") / f"{made.number}.txt"
        if not made.traceback:
            with suppress(OSError):  # of an earlier run
                path.unlink(missing_ok=True)
            return text
        write_atomically(path, made.traceback)
        return f"{text}  (traceback in {path})"

    def finish(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The whole table, written once more for the case that no row was missing, and what its record says of it."""
        table = self.table()
        journal.write_rows(self.journal, self.save, table)
        return table, {
            "fingerprint": self.journal.path.stem,
            "rows": len(table),
            "failed": sum(map(has_failed, self.found.values())),
            "table": store.digest(results_path(self.save, ".csv")),
        }


def _entry(value: Any) -> Any:
    """A value as a table keeps it; nothing is NaN there, as it is in the file."""
    found = store.plain(value)
    return math.nan if found is None else found


def has_failed(row: Mapping[str, Any]) -> bool:
    """Whether the call that should have made a row raised."""
    return str(row.get("status", "")).startswith("failed: ")


def kept(measure: workers.Measure, points: list[dict[str, Any]], save: str | Path) -> pd.DataFrame:
    """The rows that are there, none computed: of the journal if it has them all, else of the table.

    A line says so where the table is of another fingerprint.

    Raises
    ------
    StoreError
        If some are missing, or the table is of other points.
    """
    import pandas as pd

    found, keys = journal.opened(save, fingerprint.of_measure(measure), writing=False), journal.keys(points)
    if all(key in found.rows for key in keys):
        rows = found.rows
        return pd.DataFrame([{**point, **rows[key], **point} for point, key in zip(points, keys, strict=True)])
    table = read(save)
    if len(table) != len(points):
        raise StoreError(f"{results_path(save, '.csv')} has {len(table)} of {len(points)} rows: run the study first")
    if not all(_is_at(row, point) for row, point in zip(table.to_dict("records"), points, strict=True)):
        raise StoreError(f"{results_path(save, '.csv')} has rows of other axes than the study: run the study first")
    if store.read_record(save).get("fingerprint") != found.path.stem:
        print(f"drawn from {results_path(save, '.csv')}, whose rows are of another fingerprint: other code or versions")
    return table


def _is_at(row: Mapping[Any, Any], point: Mapping[str, Any]) -> bool:
    """Whether a row of a table is that of a point, as a file has it."""
    wanted = {name: _entry(at) for name, at in point.items()}
    return all(name in row and (row[name] == at or str(row[name]) == str(at)) for name, at in wanted.items())


def once(make: Callable[[], pd.DataFrame], save: str | Path, force: bool) -> pd.DataFrame:
    """A table that one call makes whole, as its file has it; made anew where its fingerprint or its data changed.

    Raises
    ------
    StoreError
        If it cannot be written or read.
    TypeError, ValueError
        If what is made is no table, or has no columns.
    """
    found = journal.opened(save, fingerprint.of_measure(make))
    if force:
        found.forget()
    if WHOLE in found.rows and sources.are_unchanged(found.files[WHOLE]):
        sources.merge(found.files[WHOLE])
    else:
        table, name = make(), getattr(make, "__name__", "make")
        if not hasattr(table, "to_csv"):
            raise TypeError(f"{name} must return a table, got {type(table).__name__}")
        if not len(table.columns):
            raise ValueError(f"{name} must return a table with columns, got none")
        found.add(WHOLE, {"table": store.text_of(table)}, sources.read())
    if store.digest(results_path(save, ".csv")) != store.digest_of(text := found.rows[WHOLE]["table"]):
        journal.set_aside(found, save)
        journal.write_text(found, save, text)
    return read(save)


class _Rate(ProgressColumn):
    """Rows a minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{60 * task.speed:.3g} a minute" if task.speed else "", style="progress.data.speed")


def progress_bar() -> Progress:
    """A bar with the rows done, their rate, the time taken and the time left; on anything but a terminal only lines."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn())
    console = Console()
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def line(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Some columns of a row, to print."""
    return "  ".join(f"{name} {_short(row[name])}" for name in columns if name in row)


def _short(value: Any) -> str:
    """A number to four digits; of a status that is as it should be the first word."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "converged" if str(value).startswith("converged:") else str(value)
