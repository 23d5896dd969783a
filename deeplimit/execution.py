"""Execution: a study's main with the options of its command line; whatever goes wrong ends in one line."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeplimit import canonical, fingerprint, imports, script, settings, sources, store, workers
from deeplimit import changes as changes_
from deeplimit.store import StoreError, read, results_path, write_atomically

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


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
    chosen = {"jobs": options.jobs, "cluster": options.cluster, "force": options.force, "draw": options.draw}
    try:
        source = script.read(namespace["__file__"], changed, bool(wanted)) if file.is_file() else None
        if source:
            source.freeze()
        beside = imports.beside(namespace)
        code = {str(path): sources.digest(path) for path in beside}
        with imports.frozen(beside), settings.changed(script=source, stamp=stamp, code=code, made={}, **chosen):
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
