"""Studies: measure something along axes, and keep one tidy table and one record of how it was made.

A study knows tables, not networks: `sweep` calls a function for every combination of its axes, keeps each finished row
at once, and goes on where an earlier run of the same study stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplimit import canonical, fingerprint, imports, lock, provenance, rows, script, sources, store, workers
from deeplimit import changes as changes_
from deeplimit import claims as claims_
from deeplimit.provenance import LIBRARIES
from deeplimit.script import Script
from deeplimit.store import RESULTS, StoreError, read, results_path, write, write_atomically

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

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


@dataclass(frozen=True)
class Settings:
    """How a study runs, as its command line says.

    Attributes
    ----------
    script
        The study's file and the changes of its constants, where it is run from one; workers load it.
    jobs, cluster
        Where the rows are computed, see `sweep`.
    force
        Compute every row anew.
    draw
        Compute nothing and record nothing: main draws its figures from the rows there are.
    stamp
        Fingerprint of file and options, for the record.
    made
        Filled by the sweeps: what the record says of each table.
    """

    script: Script | None = None
    jobs: int = 1
    cluster: str | None = None
    force: bool = False
    draw: bool = False
    stamp: str = ""
    made: dict[str, dict[str, Any]] = field(default_factory=dict)


_PLAIN = Settings()  # of a notebook, or of a script that calls its main itself
_SETTINGS: ContextVar[Settings | None] = ContextVar("settings", default=None)


@contextmanager
def settings(**changes: Any) -> Iterator[None]:
    """Let the sweeps inside run with these settings."""
    token = _SETTINGS.set(replace(_settings(), **changes))
    try:
        yield
    finally:
        _SETTINGS.reset(token)


def _settings() -> Settings:
    return _SETTINGS.get() or _PLAIN


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
    asked = _settings()
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
        where: dict[str, Any] = {
            "jobs": processes,
            "cluster": cluster or asked.cluster,
            "script": asked.script,
        }
        with rows.progress_bar() as progress:
            task = progress.add_task("rows", total=len(points), completed=len(found.found))
            for made in workers.compute(measure, found.missing(), **where):
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
    and of the functions and constants of its file that it reaches, the same data, versions and mathematics.

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
    TypeError
        If `make` is no function, or returns no table.
    deeplimit.store.StoreError
        If another process makes the same table, or the disk is full or not to be written.
    """
    asked = _settings()
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
    asked, path = _settings(), results_path(save, ".json")
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
        "tables": {Path(other).name: made["table"] for other, made in asked.made.items() if other != own},
        "stamp": asked.stamp,
        "files": sources.read(),
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


@dataclass(frozen=True)
class Options:
    """What the command line of a study says.

    Attributes
    ----------
    quick
        Take the smaller constants of the study's QUICK, and by default write into a temporary folder.
    assignments
        Texts "NAME=VALUE" for constants.
    results
        Folder of table, record and figures.
    jobs, cluster, force, draw
        See `Settings`.
    """

    quick: bool = False
    assignments: tuple[str, ...] = ()
    results: Path | None = None
    jobs: int = 1
    cluster: str | None = None
    force: bool = False
    draw: bool = False

    def save(self, file: Path) -> Path:
        """Where the results of a study's file go, without suffix."""
        temporary = self.quick and not self.draw
        folder = self.results or (Path(tempfile.mkdtemp()) if temporary else store.results_of(file.parent))
        return folder / file.stem

    def stamp(self, file: Path) -> str:
        """Fingerprint of a study's file and of all that its results depend on but the files of data that it reads."""
        versions = [fingerprint.installed(name) for name in fingerprint.LIBRARIES]
        return canonical.of_text(
            [store.digest(file), self.quick, sorted(self.assignments), versions, fingerprint.package()]
        )


def is_finished(save: str | Path, stamp: str) -> bool:
    """Whether table and record of a study are there, whole, and made by the same file, options, data and versions."""
    try:
        found = store.read_record(save)
        return (
            found.get("stamp") == stamp
            and not found.get("failed", 1)
            and found.get("table", "") == store.digest(results_path(save, ".csv"))
            and all(
                digest == store.digest(results_path(Path(save).with_name(name), ".csv"))
                for name, digest in found.get("tables", {}).items()
            )
            and sources.are_unchanged(found.get("files", {}))
        )
    except (StoreError, OSError, ValueError):
        return False


def finished_line(save: Path) -> str:
    """What a rerun of a finished study prints."""
    found = store.read_record(save)
    return (
        f"{save.name} is finished: {found.get('rows')} rows in {results_path(save, '.csv')}, recorded"
        f" {found.get('finished')}; nothing to do (--force computes anew)"
    )


def execute(main: Callable[[str], None], namespace: dict[str, Any], options: Options) -> None:
    """Run a study's main with options; whatever goes wrong ends the process with one line.

    Raises
    ------
    SystemExit
        With the line: after Ctrl-C (status 130), a wrong `--set` (2), or an error (1), whose traceback is then in
        NAME.failed/main.txt. Rows that were finished are kept in each case.
    """
    file = Path(os.path.abspath(namespace["__file__"]))  # a link's own folder, where its results belong
    try:
        smaller = _smaller(namespace) if options.quick else {}
        namespace.update(smaller)
        wanted = changes_.parsed(options.assignments, namespace)
        changed = {**smaller, **wanted}
        if wanted:
            changes_.applied(namespace, changed)
    except changes_.ChangeError as error:
        _end(str(error), 2)
    save = options.save(file)
    stamp = options.stamp(file)
    if not options.force and not options.draw and is_finished(save, stamp):
        print(finished_line(save))
        return
    if options.quick:
        print("quick, not the study itself: " + ", ".join(f"{k} = {v}" for k, v in smaller.items()))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for path in imports.beside(namespace):
        sources.note(path)
    chosen = {"jobs": options.jobs, "cluster": options.cluster, "force": options.force, "draw": options.draw}
    try:
        source = script.read(namespace["__file__"], changed, bool(wanted)) if file.is_file() else None
        with settings(script=source, stamp=stamp, made={}, **chosen):
            main(str(save))
    except KeyboardInterrupt:
        _end(_stopped(save, options), INTERRUPTED)
    except (StoreError, workers.WorkersError) as error:
        _end(str(error), 1)
    except Exception as error:  # the study's own; its rows are kept
        _end(f"{file.stem} failed: {type(error).__name__}: {error}{_traceback(save)}", 1)
    print(f"{'figures' if options.draw else 'table, record and figures'} are in {save.parent}")


def _smaller(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The constants of a quick run."""
    smaller = namespace.get("QUICK", {})
    if not isinstance(smaller, dict) or not all(isinstance(name, str) for name in smaller):
        raise changes_.ChangeError(f"QUICK must be a mapping of the study's constants to smaller ones, got {smaller!r}")
    return smaller


def _traceback(save: Path) -> str:
    """Keep the traceback of the error that ended a study; where it is, for the last line."""
    path = results_path(save, ".failed") / "main.txt"
    try:
        write_atomically(path, traceback.format_exc())
    except StoreError:
        return ""
    return f" (traceback in {path})"


def _end(line: str, status: int) -> None:
    print(" ".join(line.split()), file=sys.stderr, flush=True)
    sys.exit(status)


def _stopped(save: Path, options: Options) -> str:
    table = results_path(save, ".csv")
    try:
        count = len(read(save))
    except StoreError:
        count = 0
    if not count:
        return "stopped before any row was finished"
    how = f" with --results {save.parent}" if options.quick and options.results is None else ""
    without = ", without --force," if options.force else ""
    return f"stopped; {count} rows are in {table}, and the same command{how}{without} goes on from them"


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
    options = Options(found.quick, tuple(found.set), found.results, found.jobs, found.cluster, found.force)
    execute(main, namespace, options)
