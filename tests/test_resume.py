"""Nothing finished is ever lost: journals, locks, full disks, kills at any moment, and rows of other constants."""

from __future__ import annotations

import functools
import json
import linecache
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deeplimit import data, execution, journal, lock, rows, script, store, study
from deeplimit.store import StoreError

ROOT = Path(__file__).parents[1]

STUDY = '''"""Does the square grow?"""
import time
from deeplimit import study

FACTOR = 1.0
COUNT = 24
PAUSE = 0.02
QUICK = {"COUNT": 3}


def measure(k, name):
    with open(LOG, "a") as log:
        log.write(f"{k} {name}\\n")
    time.sleep(PAUSE)
    return {"third": FACTOR * k / 3, "whole": k, "yes": k > 1, "note": "" if k else "n/a", "status": "done"}


def main(save):
    table = study.sweep(measure, save=save, k=range(COUNT), name=["a", "b"])
    study.record(save, study.constants(globals()))


LOG = __file__ + ".log"

if __name__ == "__main__":
    study.run(main, globals())
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The study above in a folder of its own."""
    path = tmp_path / "studies" / "squares.py"
    path.parent.mkdir()
    path.write_text(STUDY)
    return path


def started(file: Path, *options: str, **more: Any) -> subprocess.Popen[str]:
    """`python studies/squares.py` in a process of its own."""
    command = [sys.executable, str(file), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def done(file: Path, *options: str, **more: Any) -> tuple[int, str, str]:
    """Status, output and errors of the study."""
    process = started(file, *options, **more)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def calls(file: Path) -> list[str]:
    """Which rows were computed, in order."""
    log = Path(f"{file}.log")
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_at_twenty_random_moments_it_ends_with_the_table_of_an_uninterrupted_run(
    file: Path, tmp_path: Path, jobs: str
) -> None:
    """kill -9: after each, the journal has every row but those in flight; the last table is equal bit for bit."""
    assert done(file, "--results", str(tmp_path / "whole"))[0] == 0
    Path(f"{file}.log").unlink()
    moments = random.Random(int(jobs))
    killed = 0
    while killed < (20 if jobs == "1" else 4):
        process = started(file, "--results", str(tmp_path / "cut"), "--jobs", jobs, start_new_session=True)
        before = len(calls(file))
        deadline = time.monotonic() + 60
        wanted = before + moments.randint(0, 3)
        while len(calls(file)) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.003)
        time.sleep(moments.uniform(0, 0.03))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        killed += 1
        folder = tmp_path / "cut" / ".rows" / "squares"
        # whole lines but the first, which says what the fingerprint is made of
        kept = sum(max(path.read_bytes().count(b"\n") - 1, 0) for path in folder.glob("*.jsonl"))
        assert kept >= len(set(calls(file))) - 2 * int(jobs) - 1
    code, _, err = done(file, "--results", str(tmp_path / "cut"))
    assert code == 0, err
    whole, cut = (tmp_path / folder / "squares.csv" for folder in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()
    assert len(calls(file)) <= 48 + (killed + 1) * 2 * int(jobs)


def test_a_rerun_computes_nothing_and_a_new_row_only_itself(file: Path, tmp_path: Path) -> None:
    """Finished: not a row; with more points on an axis: only those."""
    assert done(file, "--set", "COUNT=2")[0] == 0 and len(calls(file)) == 4
    code, out, _ = done(file, "--set", "COUNT=2")
    assert code == 0 and "squares is finished: 4 rows" in out and len(calls(file)) == 4
    code, out, _ = done(file, "--set", "COUNT=3")
    assert code == 0 and "4 of 6 rows are there already" in out
    assert calls(file)[4:] == ["2 a", "2 b"]
    assert len(study.read(tmp_path / "results" / "squares")) == 6
    assert done(file, "--set", "COUNT=3", "--force")[0] == 0 and len(calls(file)) == 12


def test_rows_of_other_constants_are_named_and_never_mixed_in(file: Path, tmp_path: Path) -> None:
    """Each constant has its own rows, also after going back."""
    save = tmp_path / "results" / "squares"
    assert done(file, "--set", "COUNT=2")[0] == 0
    one = save.with_suffix(".csv").read_bytes()
    code, out, _ = done(file, "--set", "COUNT=2", "--set", "FACTOR=2")
    assert code == 0 and "4 rows of another fingerprint stay apart" in out and "FACTOR was 1.0, is 2.0" in out
    assert study.read(save)["third"].tolist() == [0.0, 0.0, 2 / 3, 2 / 3]
    assert done(file, "--set", "COUNT=2")[0] == 0
    assert save.with_suffix(".csv").read_bytes() == one and len(calls(file)) == 8


def test_a_table_without_a_journal_is_kept_before_it_is_replaced(file: Path, tmp_path: Path) -> None:
    """Such as one that came with a clone, or was edited."""
    save = tmp_path / "results" / "squares"
    save.parent.mkdir()
    save.with_suffix(".csv").write_text("k,third\n0,5\n")
    save.with_suffix(".json").write_text('{"study": "squares"}')
    code, out, _ = done(file, "--set", "COUNT=1")
    assert code == 0 and "of an earlier run are kept as" in out
    (kept,) = (save.parent / ".rows" / "squares").glob("*.csv")
    assert kept.read_text() == "k,third\n0,5\n" and json.loads(kept.with_suffix(".json").read_text())


def test_two_runs_at_once_do_not_disturb_each_other(file: Path, tmp_path: Path) -> None:
    """The second ends with one line that names the first; the first is not harmed."""
    first = started(file, "--set", "PAUSE=0.1", "--set", "COUNT=8")
    while len(calls(file)) < 2 and first.poll() is None:
        time.sleep(0.01)
    code, _, err = done(file, "--set", "PAUSE=0.1", "--set", "COUNT=8")
    assert code == 1 and f"is being computed by process {first.pid} on " in err and err.count("\n") == 1
    assert first.communicate(timeout=60)[1] == "" and first.returncode == 0
    assert len(study.read(tmp_path / "results" / "squares")) == 16 and len(calls(file)) == 16


def test_a_full_disk_is_one_line_and_the_rows_before_are_intact(file: Path, tmp_path: Path) -> None:
    """No file may grow beyond a few kilobytes, as on a disk with no more room."""

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    code, _, err = done(file, "--set", "PAUSE=0.0", preexec_fn=no_room)
    assert code == 1 and "cannot be written: File too large" in err and "Traceback" not in err
    assert err.count("\n") == 1
    rows = len(calls(file))
    code, out, _ = done(file, "--set", "PAUSE=0.0")
    assert code == 0 and f"{rows - 1} of 48 rows are there already" in out
    assert len(calls(file)) == 49


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
def test_a_folder_without_the_right_to_write_is_one_line(tmp_path: Path) -> None:
    """Asked by a user without rights in a folder of someone else: the rows before are intact."""
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to other users
    folder.chmod(0o755)
    code = (
        "import os, filelock, sys\nfrom deeplimit import study\ndef measure(k):\n    return {'value': k}\n"
        f"study.sweep(measure, save={str(folder / 't')!r}, k=[1])\nos.setuid(65534)\n"
        f"try:\n    study.sweep(measure, save={str(folder / 't')!r}, k=[1, 2])\n"
        "except study.StoreError as error:\n    sys.exit(str(error))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "cannot be written: Permission denied; what was there is intact" in run.stderr, run.stderr
    assert study.read(folder / "t")["value"].tolist() == [1]
    shutil.rmtree(folder)


def test_a_results_folder_that_is_a_file_is_one_line(file: Path, tmp_path: Path) -> None:
    """Nothing is made and nothing is lost."""
    (tmp_path / "out").write_text("mine")
    code, _, err = done(file, "--results", str(tmp_path / "out"))
    assert code == 1 and "cannot be written" in err and err.count("\n") == 1
    assert (tmp_path / "out").read_text() == "mine" and not calls(file)


def test_a_failed_row_keeps_its_traceback_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others go on; a rerun, when what was wrong with the machine is mended, computes the failed one alone."""
    log = tmp_path / "log"

    def measure(k: int) -> dict[str, Any]:
        with log.open("a") as file:
            file.write(f"{k} ")
        if k == 1 and "PLANTED" in os.environ:
            raise ValueError("planted")
        return {"value": k, "status": "done"}

    monkeypatch.setenv("PLANTED", "yes")
    table = study.sweep(measure, save=tmp_path / "t", k=range(3))
    assert table["status"].tolist() == ["done", "failed: ValueError: planted", "done"]
    assert 'raise ValueError("planted")' in (tmp_path / "t.failed" / "1.txt").read_text()
    monkeypatch.delenv("PLANTED")
    table = study.sweep(measure, save=tmp_path / "t", k=range(3))
    assert (
        "2 of 3 rows are there already, 1 that failed or whose data have changed are computed again"
        in capsys.readouterr().out
    )
    assert table["status"].tolist() == ["done"] * 3 and log.read_text() == "0 1 2 1 "


def test_a_journal_is_read_up_to_the_first_broken_line(tmp_path: Path) -> None:
    """Cut at any byte, it has the whole lines before the cut, and goes on from there."""
    parts = {"measure": "x"}
    kept = journal.opened(tmp_path / "t", parts)
    rows = [{"value": k / 3, "note": "é\n" * k, "none": None, "yes": k > 1} for k in range(4)]
    ends = []
    for k, row in enumerate(rows):
        kept.add(f"key {k}", row)
        ends.append(kept.path.stat().st_size)
    content = kept.path.read_bytes()
    assert list(journal.opened(tmp_path / "t", parts).rows.values()) == rows
    for cut in range(len(content)):
        kept.path.write_bytes(content[:cut])
        found = journal.opened(tmp_path / "t", parts)
        whole = sum(end <= cut for end in ends)
        assert list(found.rows.values()) == rows[:whole]
        found.add("new", {"value": 1.0})
        assert list(journal.opened(tmp_path / "t", parts).rows) == [*(f"key {k}" for k in range(whole)), "new"]
    flipped = bytearray(content)
    flipped[ends[1] + 30] ^= 1
    kept.path.write_bytes(bytes(flipped))
    assert list(journal.opened(tmp_path / "t", parts).rows.values()) == rows[:2]


def test_numbers_survive_the_journal_bit_for_bit(tmp_path: Path) -> None:
    """NaN, infinities, negative zero, the smallest double; a resumed table is the first one, types included."""
    values = [1 / 3, 5e-324, -0.0, float("nan"), float("inf"), 0.1 + 0.2, 1e22]

    def measure(k: int) -> dict[str, Any]:
        return {"value": values[k], "whole": k, "yes": k > 2, "text": f"π {k}", "none": None}

    first = study.sweep(measure, save=tmp_path / "t", k=range(7))
    again = study.sweep(measure, save=tmp_path / "t", k=range(7))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert first["value"].to_numpy().tobytes() == again["value"].to_numpy().tobytes()
    pd.testing.assert_frame_equal(first, study.read(tmp_path / "t"), check_exact=True)
    assert first["none"].isna().all()


ONCE = """
from pathlib import Path
import pandas as pd
from deeplimit import study
FACTOR = 3
LOG = Path(__file__).with_suffix(".log")
def curve():
    LOG.write_text(LOG.read_text() + "made " if LOG.exists() else "made ")
    return pd.DataFrame({"depth": [8, "∞"], "weight": [FACTOR / 7, None]})
def measure(k):
    return {"value": k}
def main(save):
    table = study.once(curve, save=f"{save}_curve")
    study.sweep(measure, save=save, k=[1])
    study.record(save, {})
    Path(__file__).with_suffix(".sum").write_text(repr(float(table["weight"].sum())))
"""


def test_a_table_that_is_made_whole_is_made_once(tmp_path: Path) -> None:
    """Read again as long as nothing that made it has changed, drawn from what is there; the record names it."""
    file = tmp_path / "studies" / "s.py"
    file.parent.mkdir()
    results, log = tmp_path / "results", file.with_suffix(".log")

    def run(text: str = ONCE, **options: Any) -> str:
        file.write_text(text)
        linecache.clearcache()
        module = script.read(file).load()
        execution.execute(module.main, vars(module), execution.Options(**options))
        return log.read_text()

    assert run() == "made "
    assert file.with_suffix(".sum").read_text() == repr(3 / 7)
    whole = (results / "s_curve.csv").read_bytes()
    assert json.loads((results / "s.json").read_text())["tables"] == {"s_curve": store.digest(results / "s_curve.csv")}
    assert run(ONCE + "# more\n") == "made "
    assert run(draw=True) == "made "
    assert run(ONCE.replace("= 3", "= 4")) == "made made "
    assert file.with_suffix(".sum").read_text() == repr(4 / 7)
    assert run(ONCE) == "made made "  # the journal has the first one still
    assert (results / "s_curve.csv").read_bytes() == whole
    (results / "s_curve.csv").unlink()
    assert run(ONCE) == "made made "
    assert (results / "s_curve.csv").read_bytes() == whole
    assert run(ONCE, force=True) == "made " * 3
    with pytest.raises(TypeError, match="must return a table, got int"):
        study.once(lambda: 3, save=tmp_path / "t")  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="must return a table with columns"):
        study.once(pd.DataFrame, save=tmp_path / "t")


def test_drawing_reads_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No journal is cut while another process writes it, no folder made, no table of other points drawn."""
    save = tmp_path / "results" / "t"

    def measure(k: int, factor: int = 1) -> dict[str, int]:
        return {"value": factor * k}

    with pytest.raises(StoreError, match="there is no table"):
        rows.kept(measure, [{"k": 1}], save)
    assert not (tmp_path / "results").exists()
    points = [{"k": k} for k in (1, 2, 3)]
    study.sweep(measure, save=save, k=[1, 2, 3])
    (path,) = (tmp_path / "results" / ".rows" / "t").glob("*.jsonl")
    path.write_bytes(path.read_bytes() + b"half a li")
    before = path.read_bytes()
    assert rows.kept(measure, points, save)["value"].tolist() == [1, 2, 3]
    assert path.read_bytes() == before
    assert rows.kept(measure, points[:1], save)["value"].tolist() == [1]
    doubled = functools.partial(measure, factor=2)
    for others in (points[:1], [{"k": k} for k in (1, 2, 4)], [*points, {"k": 4}]):
        with pytest.raises(
            StoreError, match=r"(rows of other axes than the study|has 3 of [14] rows): run the study first"
        ):
            rows.kept(doubled, others, save)
    assert "another fingerprint" not in capsys.readouterr().out
    assert rows.kept(doubled, points, save)["value"].tolist() == [1, 2, 3]
    assert "whose rows are of another fingerprint" in capsys.readouterr().out


def test_the_traceback_of_a_row_goes_when_it_succeeds(tmp_path: Path) -> None:
    """A rerun tries it again."""
    broken = [True]

    def measure(k: int) -> dict[str, int]:
        return {"value": k // (not broken[0])}

    study.sweep(measure, save=tmp_path / "t", k=[1])
    assert (tmp_path / "t.failed" / "0.txt").exists()
    broken[0] = False
    assert study.sweep(measure, save=tmp_path / "t", k=[1])["value"].tolist() == [1]
    assert not (tmp_path / "t.failed" / "0.txt").exists()


PARTIAL = """
import functools
import figures
from deeplimit import study
def scaled(x, k):
    return {"v": k * x}
measure = functools.partial(scaled, k=2)
def main(save):
    study.sweep(measure, save=save, x=[1, 2, 3])
    study.record(save, {})
if __name__ == "__main__":
    study.run(main, globals())
"""


def test_a_partial_measurement_runs_in_processes_and_a_helper_of_figures_changes_no_row(tmp_path: Path) -> None:
    """By name and as a script, with the same rows."""
    (tmp_path / "studies").mkdir()
    file, helper = tmp_path / "studies" / "s.py", tmp_path / "studies" / "figures.py"
    file.write_text(PARTIAL)
    outputs = []
    for number, words in enumerate(([str(file)], ["-m", "deeplimit.cli", "run", str(file)], [str(file)])):
        helper.write_text(f"SIZE = {number}\n")
        command = [sys.executable, *words, "--jobs", str(1 + number % 2)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(file.parent)])}
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
        outputs.append(run.stdout)
        assert study.read(tmp_path / "results" / "s")["v"].tolist() == [2, 4, 6]
        if number == 0:
            shutil.rmtree(tmp_path / "results" / ".rows")
    assert "there already" not in outputs[1] and "3 of 3 rows are there already" in outputs[2]


def test_the_same_point_twice_is_two_rows(tmp_path: Path) -> None:
    """Repeated measurements on an axis are not taken for one."""
    seen = []

    def measure(k: int) -> dict[str, int]:
        seen.append(k)
        return {"value": len(seen)}

    assert study.sweep(measure, save=tmp_path / "t", k=[5, 5])["value"].tolist() == [1, 2]


def test_an_older_table_and_its_lock_are_no_obstacle(tmp_path: Path) -> None:
    """A lock that a killed process left is free."""
    folder = tmp_path / ".rows" / "t"
    folder.mkdir(parents=True)
    (folder / "lock").write_text("")
    (folder / "holder").write_text("process 1 on nowhere")
    assert len(study.sweep(lambda k: {"value": k}, save=tmp_path / "t", k=[1])) == 1


def test_a_lock_held_by_this_process_is_no_deadlock(tmp_path: Path) -> None:
    """A sweep within a sweep of the same table goes on."""
    with lock.alone(tmp_path / "t"), lock.alone(tmp_path / "t"):
        pass
    with pytest.raises(StoreError, match="there is no table"):
        study.read(tmp_path / "t")


def test_a_row_is_computed_anew_when_its_data_have_changed(tmp_path: Path) -> None:
    """Also where the file is read inside the measurement."""
    file = tmp_path / "d.csv"
    file.write_text("a,y\n1,0\n2,1\n3,0\n")

    def measure(k: int) -> dict[str, float]:
        return {"sum": k * float(data.load(file).x.sum())}

    assert study.sweep(measure, save=tmp_path / "t", k=[1, 2])["sum"].tolist() == [6.0, 12.0]
    file.write_text("a,y\n1,0\n2,1\n4,0\n")
    assert study.sweep(measure, save=tmp_path / "t", k=[1, 2])["sum"].tolist() == [7.0, 14.0]


def test_workers_do_not_compute_rows_of_other_constants(file: Path, tmp_path: Path) -> None:
    """What main changes before the sweep does not reach them: one line, and no row is kept."""
    text = STUDY.replace("def main(save):\n", "def main(save):\n    global FACTOR\n    FACTOR = 100.0\n")
    file.write_text(text)
    code, _, err = done(file, "--jobs", "2", "--set", "COUNT=2")
    assert code == 1 and "workers would compute other rows: FACTOR was 100.0, is 1.0" in err and err.count("\n") == 1
    assert not (tmp_path / "results" / "squares.csv").exists()
    assert done(file, "--set", "COUNT=2")[0] == 0
    assert study.read(tmp_path / "results" / "squares")["third"].tolist()[-1] == 100 / 3
