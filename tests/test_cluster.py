"""Rows computed by other processes: a real dask cluster, and processes of this machine; killed, interrupted, gone on.

The truth is the table of the same study computed in one process. Every wait is bounded.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deeplimit import store

LONGEST = 60  # seconds for any wait
STUDY = '''"""Where is a row computed?"""
import os, signal, time
from pathlib import Path
from deeplimit import study

FACTOR = 1.0
COUNT = 20
PAUSE = 0.0
DEADLY = False
LOG = str(Path(__file__).with_name("calls.log"))
SQUARES = [FACTOR * k**2 for k in range(COUNT)]


def measure(k):
    with open(LOG, "a") as log:
        log.write(f"{k} {os.getpid()}\\n")
    time.sleep(PAUSE)
    if DEADLY and k == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"third": FACTOR * k / 3, "square": SQUARES[k], "text": "σ" * (k % 3), "status": "done"}


def main(save):
    table = study.sweep(measure, save=save, k=range(COUNT))
    study.record(save, study.constants(globals()))


if __name__ == "__main__":
    study.run(main, globals())
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the study above."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "where.py").write_text(STUDY)
    return tmp_path


def started(home: Path, *options: str, results: str = "results") -> subprocess.Popen[str]:
    """`deeplimit run where` in a group of processes of its own."""
    command = [sys.executable, "-m", "deeplimit.cli", "run", "where", "--results", results, *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=home, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload, no-any-return]


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its status, output and errors; it is killed where it does not end."""
    try:
        out, err = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"it does not end: {err}") from None
    return process.returncode, out, err


def calls(home: Path) -> list[list[int]]:
    """Row and process of every call so far, in their order."""
    path = home / "studies" / "calls.log"
    text = path.read_text() if path.exists() else ""
    return [[int(word) for word in line.split()] for line in text.splitlines() if line.count(" ") == 1]


def wait(condition: Callable[[], object]) -> None:
    """Until it is true, but not for ever."""
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_over(group: int) -> bool:
    """Whether no process of a group is alive."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def told(error: str, *words: str) -> None:
    """One line with these words."""
    assert len(error.splitlines()) == 1 and "Traceback" not in error, error
    assert all(word in error for word in words), error


@contextmanager
def running(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of dask; the log of its errors is NAME.log."""
    environment = {**os.environ, "DASK_DISTRIBUTED__DASHBOARD__LINK": "", "OMP_NUM_THREADS": "1"}
    with (folder / f"{name}.log").open("w") as log:
        command = [sys.executable, "-m", "dask", *arguments]
        where = {"cwd": folder, "env": environment, "start_new_session": True}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **where)  # type: ignore[call-overload]
        try:
            yield process
        finally:
            if not is_over(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LONGEST)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler on a free port of this machine, and its process and those of its workers."""
    pytest.importorskip("distributed")
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "scheduler.json")
    with ExitStack() as stack:
        processes = [stack.enter_context(running(folder, "scheduler", "scheduler", *options))]
        log = folder / "scheduler.log"
        wait(lambda: "Scheduler at:" in log.read_text())
        (line,) = [line for line in log.read_text().splitlines() if "Scheduler at:" in line]
        address = line.split()[-1]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", ".")
        for number in range(workers):
            name = f"worker{number}"
            processes.append(stack.enter_context(running(folder, name, "worker", address, *options, "--name", name)))
        wait(lambda: log.read_text().count("Register worker") == workers)
        yield address, processes


def test_a_worker_that_is_killed_costs_nothing(home: Path) -> None:
    """Two real workers, one killed among the rows: the table is the serial one, bit for bit, in its order.

    The changed constant, and the one that follows from it, hold in the workers too.
    """
    assert ended(started(home, "--set", "FACTOR=0.7", results="serial"))[0] == 0
    (home / "studies" / "calls.log").unlink()
    with cluster(home) as (address, (_, first, second)):
        run = started(home, "--set", "FACTOR=0.7", "--set", "PAUSE=0.15", "--cluster", address)
        wait(lambda: {process for _, process in calls(home)} >= {first.pid, second.pid} and len(calls(home)) > 4)
        os.kill(second.pid, signal.SIGKILL)
        code, _, err = ended(run)
        assert code == 0, err
        assert {process for _, process in calls(home)} == {first.pid, second.pid}  # and not this one's
    assert {row for row, _ in calls(home)} == set(range(20))
    serial, spread = (home / name / "where.csv" for name in ("serial", "results"))
    assert spread.read_bytes() == serial.read_bytes()
    assert store.read(home / "results" / "where")["square"].tolist() == [0.7 * k**2 for k in range(20)]


def test_a_scheduler_that_dies_costs_the_rows_in_flight_alone(home: Path) -> None:
    """One line; what was finished is kept, and a rerun in this process computes the rest."""
    with cluster(home) as (address, (scheduler, *_)):
        run = started(home, "--set", "PAUSE=0.2", "--cluster", address)
        wait(lambda: len(calls(home)) > 6)
        os.kill(scheduler.pid, signal.SIGKILL)
        code, _, err = ended(run)
    assert code == 1
    told(err, "scheduler has gone", "goes on")
    kept = len(store.read(home / "results" / "where"))
    assert 1 <= kept < 20
    code, out, _ = ended(started(home, "--set", "PAUSE=0.2"))
    assert code == 0 and f"{kept} of 20 rows are there already" in out
    assert store.read(home / "results" / "where")["k"].tolist() == list(range(20))


@pytest.mark.slow
def test_a_row_that_kills_the_last_worker_is_told(home: Path) -> None:
    """The last worker is killed by the row that it computes: one line instead of a wait for ever."""
    with cluster(home, workers=1) as (address, _):
        code, _, err = ended(started(home, "--set", "DEADLY=True", "--set", "PAUSE=0.3", "--cluster", address))
    assert code == 1
    told(err, "the scheduler has no worker left", "goes on")
    assert 1 <= len(store.read(home / "results" / "where")) <= 7


def test_a_process_that_kills_itself_costs_the_rows_in_flight_alone(home: Path) -> None:
    """--jobs 2: one line, rows kept, no process left, and a rerun that does not die goes on."""
    run = started(home, "--set", "DEADLY=True", "--jobs", "2")
    code, _, err = ended(run)
    assert code == 1
    told(err, "a worker process was killed", "goes on")
    wait(lambda: is_over(run.pid))
    kept = len(store.read(home / "results" / "where"))
    assert 1 <= kept < 20
    code, out, _ = ended(started(home, "--set", "DEADLY=False", "--jobs", "2"))
    assert code == 0 and store.read(home / "results" / "where")["k"].tolist() == list(range(20))
    assert f"{kept} rows of another fingerprint stay apart" in out  # the constant is another one


def test_processes_make_the_table_of_one_process(home: Path) -> None:
    """Bit for bit and in its order, with changed constants."""
    assert ended(started(home, "--set", "FACTOR=0.7", results="serial"))[0] == 0
    assert ended(started(home, "--set", "FACTOR=0.7", "--jobs", "2"))[0] == 0
    serial, spread = (home / name / "where.csv" for name in ("serial", "results"))
    assert spread.read_bytes() == serial.read_bytes()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_says_how_to_go_on_and_leaves_no_process(home: Path, jobs: str) -> None:
    """The signal goes to the whole group, as from a terminal; status 130, one line, and the rerun goes on."""
    options = ("--set", "COUNT=30", "--set", "PAUSE=0.1", "--jobs", jobs)
    run = started(home, *options)
    wait(lambda: len(calls(home)) > 5)
    os.killpg(run.pid, signal.SIGINT)
    code, _, err = ended(run)
    assert code == 130
    kept = len(store.read(home / "results" / "where"))
    told(err, f"stopped; {kept} rows are in", "goes on from them")
    wait(lambda: is_over(run.pid))
    assert 1 <= kept < 30
    code, out, _ = ended(started(home, *options))
    found = re.search(r"(\d+) of 30 rows are there already", out)
    assert code == 0 and found is not None
    assert kept <= int(found[1]) <= kept + 1  # the signal may come between journal and table
    assert "are kept as" not in out
    assert store.read(home / "results" / "where")["k"].tolist() == list(range(30))
