"""Studies: measure something along axes, and keep one tidy table and one record of how it was made.

A study knows tables, not networks: `sweep` calls a function for every combination of its axes, keeps each finished row
at once, and goes on where an earlier run of the same study stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplimit import claims as claims_
from deeplimit import execution, lock, provenance, rows, settings, sources, store, workers
from deeplimit.provenance import LIBRARIES
from deeplimit.store import RESULTS, read, results_path, write, write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LIBRARIES",
    "RESULTS",
    "once",
    "read",
    "record",
    "results_path",
    "run",
    "sweep",
    "write",
    "write_atomically",
]


def sweep(
    measure: workers.Measure,
    *,
    save: str | Path | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    force: bool | None = None,
    show: Iterable[str] = (),
    **axes: Iterable[Any],
) -> pd.DataFrame:
    """One row for every combination of the axes, in their order, the last axis fastest.

    A row is the axes' values and what else `measure(**values)` returns: numbers, texts and truth values (None becomes
    NaN, anything else its text). It is printed and kept as soon as it is finished. A call that raises leaves a row
    whose `status` is the error and a file NAME.failed/ROW.txt with the traceback; the other rows go on.

    With `save`, a rerun computes only what is missing and the rows that failed. A row counts as there if it has the
    same fingerprint: the same code of `measure` and of the functions and constants of its file that it reaches, the
    same data and versions, the same mathematics in this package. Rows of another fingerprint are never mixed in; they
    stay beside the table, and a message says where and in what they differ.

    Parameters
    ----------
    measure
        Called with one keyword per axis; returns a mapping of column names to values. What a row contains must not
        depend on which rows were computed before it.
    save
        Name of the table below results, or a path without suffix; None keeps nothing.
    jobs
        Processes, one compute thread each; the rows keep their order. By default what the command line says, or one.
    cluster
        Address of a running dask scheduler (extra `distributed`) to spread the rows over.
    force
        Compute every row anew.
    show
        Columns of the line that is printed for a finished row; by default the axes and the status.
    axes
        Name and values of each axis.

    Raises
    ------
    ValueError, TypeError
        Without a function or axes, with an empty axis or one that is no list, or with fewer than one job.
    deeplimit.store.StoreError
        If another process computes the same table, or the disk is full or not to be written; finished rows are intact.
    deeplimit.workers.WorkersError
        If the scheduler cannot be reached or a worker process was killed; finished rows are intact.

    Examples
    --------
    >>> from deeplimit import study
    >>> table = study.sweep(lambda a, b: {"sum": a + b}, a=[1, 2], b=[10, 20], show=["sum"])
    sum 11
    sum 21
    sum 12
    sum 22
    >>> table["sum"].tolist()
    [11, 21, 12, 22]
    """
    if not callable(measure):
        raise TypeError(f"measure must be a function of the axes, got {measure!r}")
    values = {name: _values(f"axis {name}", axis) for name, axis in axes.items()}
    if not values or not all(values.values()):
        raise ValueError(f"a sweep needs at least one axis and a value on each, got {values}")
    asked = settings.current()
    processes: Any = asked.jobs if jobs is None else jobs
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise ValueError(f"jobs must be a whole number, at least 1, got {processes!r}")
    points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
    if save is not None and asked.draw:
        return rows.kept(measure, points, save)
    columns, force = list(show) or [*values, "status"], asked.force if force is None else force
    with nullcontext() if save is None else lock.alone(save):
        found = rows.Rows(points, columns) if save is None else rows.KeptRows(points, columns, measure, save, force)
        start, already = time.perf_counter(), len(found.found)
        with rows.progress_bar() as progress:
            task = progress.add_task("rows", total=len(points), completed=len(found.found))
            where = cluster or asked.cluster
            for made in workers.compute(measure, found.missing(), jobs=processes, cluster=where, script=asked.script):
                progress.console.print(found.add(made), highlight=False, markup=False, soft_wrap=True)
                progress.advance(task)
        table, remarks = found.finish()
        if save is not None:
            work = {"computed": len(points) - already, "seconds": round(time.perf_counter() - start, 3)}
            asked.made[str(results_path(save, ""))] = {"axes": list(values), **remarks, **work}
        return table


def once(make: Callable[[], pd.DataFrame], *, save: str | Path, force: bool | None = None) -> pd.DataFrame:
    """A table that is made whole by one call, such as the weights that a figure shows; computed once.

    It is kept like the rows of a sweep and read again as long as it has the same fingerprint: the same code of `make`
    and of the functions and constants of its file that it reaches, the same data, versions and mathematics. Call it
    before `record`, which names it. A text "nan" is NaN in what is read.

    Parameters
    ----------
    make
        Called without arguments; returns the table.
    save
        Name of the table below results, or a path without suffix.
    force
        Make it anew.

    Returns
    -------
    DataFrame
        As `read` reads it from its file.

    Raises
    ------
    TypeError, ValueError
        If `make` is no function, or returns no table, or one without columns.
    deeplimit.store.StoreError
        If another process makes the same table, or the disk is full or not to be written.
    """
    asked = settings.current()
    if asked.draw:
        return read(save)
    if not callable(make):
        raise TypeError(f"make must be a function that returns a table, got {make!r}")
    with lock.alone(save):
        table = rows.once(make, save, asked.force if force is None else force)
    asked.made[str(results_path(save, ""))] = {"table": store.digest(results_path(save, ".csv"))}
    return table


def _values(name: str, found: Any) -> list[Any]:
    """The values of a list or of whatever else gives values one by one, but a text."""
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise TypeError(f"{name} must be a list of values, such as [{found!r}], got {found!r}")
    return list(found)


def record(
    save: str | Path, constants: Mapping[str, Any], *, claims: Iterable[claims_.Claim] = (), **remarks: Any
) -> Path:
    """Write the record of a study beside its table: constants, claims, fingerprint, versions, machine, other remarks.

    Each claim is printed with its verdict.

    Returns
    -------
    Path of the JSON file.

    Raises
    ------
    TypeError
        If the constants are no mapping, or what is claimed is no claim.
    """
    asked, path = settings.current(), results_path(save, ".json")
    if asked.draw:
        return path
    if not isinstance(constants, Mapping):
        raise TypeError(f"constants must be a mapping of names to values, got {constants!r}")
    found = _values("claims", claims)
    strangers = [claim for claim in found if not isinstance(claim, claims_.Claim)]
    if strangers:
        raise TypeError(f"claims must be a list of Claim, got {strangers[0]!r} in it")
    for claim in found:
        print(claim)
    own = str(results_path(save, ""))
    content = {
        "study": Path(save).name,
        "finished": provenance.now(),
        "constants": dict(constants),
        "claims": claims_.to_records(found),
        **remarks,
        **asked.made.get(own, {}),
        "tables": {
            Path(other).name: made["table"]
            for other, made in asked.made.items()
            if other != own and Path(other).parent == Path(own).parent
        },
        "stamp": asked.stamp,
        "files": {**asked.code, **sources.read()},
        **provenance.here(),
    }
    write_atomically(path, json.dumps(_with_texts_as_keys(content), indent=2, ensure_ascii=False, default=str) + "\n")
    return path


def _with_texts_as_keys(value: Any) -> Any:
    """A value of a record with the keys that JSON has: texts."""
    if isinstance(value, Mapping):
        return {str(key): _with_texts_as_keys(entry) for key, entry in value.items()}
    return [_with_texts_as_keys(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def constants(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The CAPITALS of a study, for its record."""
    return {name: value for name, value in namespace.items() if name.isupper() and not name.startswith("_")}


def run(main: Callable[[str], None], namespace: dict[str, Any], arguments: list[str] | None = None) -> None:
    """Run a study from the command line: `main(save)` with `save` the study's name below the folder of results.

    The same as `deeplimit run FILE`, with the same options: `--quick` replaces the constants named in the study's QUICK
    by its smaller ones, and then writes to a temporary folder unless told otherwise; `--set NAME=VALUE` replaces a
    constant; `--results` names the folder; `--jobs` and `--cluster` spread the rows; `--force` computes them anew.
    Ctrl-C stops and says how to go on.
    """
    description = next(iter(str(namespace.get("__doc__") or "").splitlines()), "")
    parser = argparse.ArgumentParser(description=description.replace("%", "%%"), allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="a smaller study, by default into a temporary folder")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="replace a constant")
    parser.add_argument("--results", type=Path, help="folder of the table, the record and the figures")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one compute thread each")
    parser.add_argument("--cluster", help="address of a dask scheduler to spread the rows over")
    parser.add_argument("--force", action="store_true", help="compute every row anew")
    found = parser.parse_args(arguments)
    options = execution.Options(found.quick, tuple(found.set), found.results, found.jobs, found.cluster, found.force)
    execution.execute(main, namespace, options)
