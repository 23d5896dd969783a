"""Execution: a study's main with the options of its command line; whatever goes wrong ends in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from deeplimit import canonical, fingerprint, imports, script, settings, sources, store, workers
from deeplimit import changes as changes_
from deeplimit.store import StoreError, read, results_path, write_atomically

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
FAILED_ROW = "failed: "  # beginning of the status of a row whose call raised


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
        See `settings.Settings`.
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
        f"{save.name} is finished: {_rows(found.get('rows'))} in {results_path(save, '.csv')}, recorded"
        f" {found.get('finished')}; nothing to do (--force computes anew)"
    )


def execute(main: Callable[[str], None], namespace: dict[str, Any], options: Options) -> None:
    """Run a study's main with options; whatever goes wrong ends the process with one line.

    Raises
    ------
    SystemExit
        With the line: after Ctrl-C (status 130), a wrong `--set` (2), rows that failed (1), or an error (1), whose
        traceback is then in NAME.failed/main.txt. Rows that were finished are kept in each case.
    """
    output = _Output(sys.stdout)
    with contextlib.redirect_stdout(cast("TextIO", output)):
        try:
            _execute(main, namespace, options)
        finally:
            output.flush()


def _execute(main: Callable[[str], None], namespace: dict[str, Any], options: Options) -> None:
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
    if changed:
        how = "quick" if options.quick else "changed by --set"
        constants = ", ".join(f"{k} = {v}" for k, v in changed.items())
        print(f"{how}, not the study itself: {constants}; its claims may fail")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = {"jobs": options.jobs, "cluster": options.cluster, "force": options.force, "draw": options.draw}
    made: dict[str, dict[str, Any]] = {}
    try:
        source = script.read(namespace["__file__"], changed, bool(wanted)) if file.is_file() else None
        if source:
            source.freeze()
        beside = imports.beside(namespace)
        code = {str(path): sources.digest(path) for path in beside}
        with imports.frozen(beside), settings.changed(script=source, stamp=stamp, code=code, made=made, **chosen):
            main(str(save))
    except KeyboardInterrupt:
        _end(_stopped(save, options), INTERRUPTED)
    except (StoreError, workers.WorkersError) as error:
        _end(f"{error}{_other_constants(save) if options.draw else ''}", 1)
    except Exception as error:  # the study's own; its rows are kept
        _end(f"{file.stem} failed: {type(error).__name__}: {error}{_first_failed(made)}{_traceback(save)}", 1)
    print(f"{'figures' if options.draw else 'table, record and figures'} are in {save.parent}")
    if failed := _failed(made):
        _end(failed, 1)


def _smaller(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The constants of a quick run."""
    smaller = namespace.get("QUICK", {})
    if not isinstance(smaller, dict) or not all(isinstance(name, str) for name in smaller):
        raise changes_.ChangeError(f"QUICK must be a mapping of the study's constants to smaller ones, got {smaller!r}")
    return smaller


class _Output:
    """An output that falls silent when its reader has gone, as of `| head`: the study goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write unless nobody reads."""
        with self._heard():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush unless nobody reads."""
        with self._heard():
            self.stream.flush()

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _rows(count: int | None) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _failed(made: Mapping[str, Mapping[str, Any]]) -> str:
    """How many rows of the tables that were made have failed, and where their tracebacks are; empty if none has."""
    found = {save: tells for save, tells in made.items() if tells.get("failed")}
    counts = [f"{tells['failed']} of {_rows(tells['rows'])} failed" for tells in found.values()]
    folders = [str(results_path(save, ".failed")) for save in found]
    return f"{', '.join(counts)}, tracebacks in {', '.join(folders)}" if found else ""


def _first_failed(made: Mapping[str, Mapping[str, Any]]) -> str:
    """The reason of the first row that has failed, which may be that of the error behind it; empty if none has."""
    for save, tells in made.items():
        if tells.get("failed"):
            status = read(save)["status"].astype(str)
            first = status[status.str.startswith(FAILED_ROW)].iloc[0]
            return f"; {tells['failed']} of {_rows(tells['rows'])} failed before, the first: {first[len(FAILED_ROW) :]}"
    return ""


def _other_constants(save: Path) -> str:
    """A hint where figures cannot be drawn of a table that is whole: it was made with other constants."""
    try:
        record = store.read_record(save)
    except StoreError:
        return ""
    whole = record.get("table") and not store.departure(save, record)
    return ", or draw with the same --set or --quick as that run" if whole else ""


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
    are = "is" if count == 1 else "are"
    return f"stopped; {_rows(count)} {are} in {table}, and the same command{how}{without} goes on from them"
