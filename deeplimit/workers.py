"""Workers: where the rows of a sweep are computed, in this process, in others, or on a cluster.

Each row is computed by one call, and a call that raises makes a row that says so. Rows come back as they are finished,
with their number, in any order.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from deeplimit import fingerprint, sources
from deeplimit.script import Script

Point = Mapping[str, Any]
Measure = Callable[..., Mapping[str, Any]]
CONNECT = 20  # seconds to wait for a scheduler
ALONE = 20  # seconds to wait for a worker of a scheduler that has none
POLL = 2  # seconds between two looks at whether there are workers
GO_ON = "the same command goes on from the rows that are finished"
ADDRESS = re.compile(r"(tcp|tls|ws|wss)://([\w.-]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})", re.ASCII)


class WorkersError(Exception):
    """The workers cannot be reached, or one died; the message says what to do."""


@dataclass(frozen=True)
class Made:
    """A finished row: its number, its values, the traceback where it failed, and the files of data read for it."""

    number: int
    row: dict[str, Any]
    traceback: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FromScript:
    """A function of a study's file as it travels to another process, which loads the file once.

    Attributes
    ----------
    script
        The file, and the changes of its constants.
    name
        Of the function.
    parts
        What the function's fingerprint is made of where it comes from; it must be made of the same where it is called.
    """

    script: Script
    name: str
    parts: Mapping[str, str]

    def prepare(self) -> Measure:
        """The function, from the file as this process loads it.

        Raises
        ------
        WorkersError
            If it is another function here than where it comes from: main has changed something before the sweep, or
            this machine has other versions.
        """
        module = _LOADED.get(self.script.identity)
        if module is None:
            module = self.script.load()
            own = fingerprint.of_measure(getattr(module, self.name))
            if own != dict(self.parts):
                raise WorkersError(
                    f"workers would compute other rows: {fingerprint.difference(self.parts, own)};"
                    " what main changes before the sweep does not reach them, and versions must be equal"
                )
            _LOADED[self.script.identity] = module
        measure: Measure = getattr(module, self.name)
        return measure

    def __call__(self, **point: Any) -> Mapping[str, Any]:
        """Call the function."""
        return self.prepare()(**point)


_LOADED: dict[str, ModuleType] = {}  # of this process, by the identity of the script


def portable(measure: Measure, script: Script | None) -> Measure:
    """The function as workers get it: by script and name where it is one of the study's file, else as it is."""
    space = fingerprint.space(measure)
    name = next((name for name, thing in space.items() if thing is measure), None)
    if script is None or name is None or space.get("__file__") != script.file:
        return measure
    return FromScript(script, name, fingerprint.of_measure(measure))


def compute(
    measure: Measure,
    points: Mapping[int, Point],
    *,
    jobs: int = 1,
    cluster: str | None = None,
    script: Script | None = None,
) -> Iterator[Made]:
    """The rows of some numbered points, each as soon as it is finished.

    Parameters
    ----------
    measure
        Called with one keyword per axis.
    points
        By number.
    jobs
        Processes, each with one compute thread.
    cluster
        Address of a running dask scheduler, such as "tcp://127.0.0.1:8786".
    script
        The study's file, which other processes load if `measure` is a function of it.

    Raises
    ------
    WorkersError
        If the scheduler cannot be reached or a worker process died.
    """
    if cluster is not None or jobs > 1:
        measure = portable(measure, script)
    if cluster is not None:
        yield from _on_cluster(measure, points, cluster)
    elif jobs > 1:
        yield from _in_processes(measure, points, jobs)
    else:
        yield from (make(measure, number, point) for number, point in points.items())


def make(measure: Measure, number: int, point: Point) -> Made:
    """One row: the axes' values and what the function returns, or the error as its status."""
    measure = measure.prepare() if isinstance(measure, FromScript) else measure
    try:
        return Made(number, {**point, **measure(**point), **point}, files=sources.read())
    except Exception as error:  # one failed row must not take the others with it
        row = {**point, "status": f"failed: {type(error).__name__}: {error}"}
        return Made(number, row, traceback.format_exc())


def _in_processes(measure: Measure, points: Mapping[int, Point], jobs: int) -> Iterator[Made]:
    from joblib import Parallel, delayed, parallel_config  # slow to load
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    warnings.filterwarnings(
        "ignore", "[0-9]+ tasks (which were still being processed|have been successfully executed)", UserWarning
    )  # after Ctrl-C
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        try:
            yield from pool(delayed(make)(measure, number, point) for number, point in points.items())
        except TerminatedWorkerError as error:
            raise WorkersError(
                f"a worker process was killed, perhaps for want of memory, of which fewer --jobs need less; {GO_ON}"
            ) from error


def _check_address(address: Any) -> None:
    """A WorkersError unless it is the address of a scheduler: without one, dask would start workers of its own."""
    found = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise WorkersError(f"the cluster must be a dask scheduler's address, tcp://HOST:PORT, got {address!r}")


def _on_cluster(measure: Measure, points: Mapping[int, Point], address: str) -> Iterator[Made]:
    _check_address(address)
    try:
        from distributed import Client  # an extra, needed here alone
    except ImportError:
        raise WorkersError('a cluster needs dask: pip install "deeplimit[distributed]"') from None
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told below
    try:
        client = Client(address, timeout=CONNECT)
    except (OSError, ValueError) as error:
        raise WorkersError(
            f"no dask scheduler answers at {address} ({error}); start `dask scheduler`, which prints its address"
        ) from None
    with client:
        futures = [client.submit(make, measure, number, point, pure=False) for number, point in points.items()]
        pending = set(futures)
        try:
            while pending:
                done = _finished(client, pending)
                pending -= set(done)
                yield from done.values()
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be what has gone
                client.cancel(futures)


def _finished(client: Any, pending: set[Any]) -> dict[Any, Made]:
    """Some rows that are finished, as soon as there are any; it waits as long as there is somebody to compute them."""
    from distributed import CancelledError, KilledWorker, wait

    last_seen = time.monotonic()
    while True:
        try:
            done = wait(pending, timeout=POLL, return_when="FIRST_COMPLETED").done
            return {future: future.result(timeout=POLL) for future in done}
        except TimeoutError:
            pass  # no row is finished, or one was lost with its worker
        except KilledWorker as error:
            raise WorkersError(f"a row killed every worker that it was given to ({error}); {GO_ON}") from None
        except (CancelledError, OSError, RuntimeError):
            raise WorkersError(f"the scheduler has gone; start another, and {GO_ON}") from None
        with contextlib.suppress(OSError, RuntimeError):  # a scheduler that has gone is told above
            last_seen = time.monotonic() if client.nthreads() else last_seen
        if time.monotonic() - last_seen > ALONE:
            raise WorkersError(f"the scheduler has no worker left; start `dask worker`, and {GO_ON}")
