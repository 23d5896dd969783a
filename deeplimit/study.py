"""Studies: measure something along axes, and keep one tidy table and one record of how it was made.

A study knows tables, not networks: `sweep` calls a function for every combination of its axes and writes each finished
row at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deeplimit import claims as claims_

RESULTS = Path("results")
LIBRARIES = ("deeplimit", "torch", "numpy", "scipy", "pandas", "scikit-learn", "numba", "casadi")
FLOATS = "%.17g"  # reads back bit for bit

Measure = Callable[..., Mapping[str, Any]]


def results_path(save: str | Path, suffix: str) -> Path:
    """The file of a study: a bare name lies in the folder results, a path where it says."""
    path = Path(save)
    path = RESULTS / path if path.parent == Path() and not path.is_absolute() else path
    return path.with_name(path.name + suffix)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that an interruption leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def read(save: str | Path) -> pd.DataFrame:
    """The table of a study as it was written; numbers bit for bit, an empty text as an empty text."""
    # the Python engine reads every double exactly
    path = results_path(save, ".csv")
    return pd.read_csv(path, engine="python", keep_default_na=False, na_values=["nan"])


def write(save: str | Path, table: pd.DataFrame) -> None:
    """The table of a study, as `read` reads it."""
    write_atomically(results_path(save, ".csv"), table.to_csv(index=False, float_format=FLOATS, na_rep="nan"))


def sweep(
    measure: Measure,
    *,
    save: str | Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    show: Iterable[str] = (),
    **axes: Iterable[Any],
) -> pd.DataFrame:
    """One row for every combination of the axes, in their order, the last axis fastest.

    A row is the axes' values and what else `measure(**values)` returns. It is printed and written as soon as it is
    finished, so that an interruption keeps it; a call that raises leaves a row whose `status` is the error.

    Parameters
    ----------
    measure
        Called with one keyword per axis; returns a mapping of column names to values.
    save
        Name of the table below results, or a path without suffix; None writes nothing.
    jobs
        Processes; the rows keep their order.
    cluster
        Address of a running dask scheduler (extra `distributed`) to spread the rows over.
    show
        Columns of the line that is printed for a finished row; by default the axes and the status.
    axes
        Name and values of each axis.

    Raises
    ------
    ValueError
        Without axes, with an empty axis, or with fewer than one job.
    """
    values = {name: list(axis) for name, axis in axes.items()}
    if not values or not all(values.values()):
        raise ValueError(f"a sweep needs at least one axis and a value on each, got {values}")
    if jobs < 1:
        raise ValueError(f"jobs must be a whole number, at least 1, got {jobs!r}")
    points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
    columns = list(show) or [*values, "status"]
    rows: list[dict[str, Any]] = []
    with progress_bar() as progress:
        task = progress.add_task("rows", total=len(points))
        for row in _rows(measure, points, jobs, cluster):
            rows.append(row)
            if save is not None:
                write(save, pd.DataFrame(rows))
            progress.console.print(_line(row, columns), highlight=False, markup=False, soft_wrap=True)
            progress.advance(task)
    return pd.DataFrame(rows)


def progress_bar() -> Progress:
    """A bar with the rows done, the time taken and the time left; on anything but a terminal only the printed lines."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console()
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def _rows(measure: Measure, points: list[dict[str, Any]], jobs: int, cluster: str | None) -> Iterator[dict[str, Any]]:
    if cluster is not None:
        from distributed import Client  # an extra, needed here alone

        with Client(cluster) as client:
            for future in [client.submit(_row, measure, point, pure=False) for point in points]:
                yield future.result()
    elif jobs > 1:
        from joblib import Parallel, delayed  # slow to load

        yield from Parallel(n_jobs=jobs, return_as="generator")(delayed(_row)(measure, point) for point in points)
    else:
        for point in points:
            yield _row(measure, point)


def _row(measure: Measure, point: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**point, **measure(**point), **point}
    except Exception as error:  # one failed row must not take the others with it
        return {**point, "status": f"failed: {type(error).__name__}: {error}"}


def _line(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    return "  ".join(f"{name} {_short(row[name])}" for name in columns if name in row)


def _short(value: Any) -> str:
    """A number to four digits; of a status that is as it should be the first word."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "converged" if str(value).startswith("converged:") else str(value)


def _without_folder(argument: str) -> str:
    """A path of this machine by its last name, anything else as it is."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def record(
    save: str | Path, constants: Mapping[str, Any], *, claims: Iterable[claims_.Claim] = (), **remarks: Any
) -> Path:
    """Write the record of a study beside its table: constants, claims, versions, machine, and other remarks.

    Each claim is printed with its verdict.

    Returns
    -------
    Path of the JSON file.
    """
    found = list(claims)
    for claim in found:
        print(claim)
    content = {
        "study": Path(save).name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "constants": dict(constants),
        "claims": claims_.to_records(found),
        **remarks,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
        "commit": _commit(),
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": _memory(),
        },
        "command": [Path(sys.argv[0]).name, *map(_without_folder, sys.argv[1:])],
    }
    path = results_path(save, ".json")
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
    return path


def _processor() -> str:
    """Its name where the system tells it, and its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return ", ".join([*names[:1], platform.machine()])


def _memory() -> float | None:
    """In units of 1e9 bytes, where the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the code, with "-dirty" where package or studies differ from it."""
    root = Path(__file__).parent.parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "deeplimit", "studies")
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _stopped(save: Path) -> str:
    table = results_path(save, ".csv")
    rows = len(read(save)) if table.exists() else 0
    return (
        f"stopped; {rows} rows are in {table}, and a new run begins anew"
        if rows
        else "stopped before any row was finished"
    )


def constants(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The CAPITALS of a study, for its record."""
    return {name: value for name, value in namespace.items() if name.isupper() and not name.startswith("_")}


def run(main: Callable[[str], None], namespace: dict[str, Any], arguments: list[str] | None = None) -> None:
    """Run a study from the command line: `main(save)` with `save` the study's name below the folder of results.

    `--quick` replaces the constants named in the study's QUICK by its smaller ones, and then writes to a temporary
    folder unless told otherwise; `--results` names the folder. Ctrl-C stops and says how many rows there are.
    """
    file = Path(namespace["__file__"]).resolve()
    parser = argparse.ArgumentParser(description=str(namespace["__doc__"]).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller study, by default into a temporary folder")
    parser.add_argument("--results", type=Path, help="folder of the table, the record and the figures")
    options = parser.parse_args(arguments)
    folder = options.results or (Path(tempfile.mkdtemp()) if options.quick else file.parent.parent / RESULTS)
    if options.quick:
        smaller = namespace.get("QUICK", {})
        namespace.update(smaller)
        print("quick, not the study itself: " + ", ".join(f"{k} = {v}" for k, v in smaller.items()))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(str(folder / file.stem))
    except KeyboardInterrupt:
        sys.exit(_stopped(folder / file.stem))
    print(f"table, record and figures are in {folder}")
