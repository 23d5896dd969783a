"""Sweeps keep their rows, whatever happens; records say how a table was made."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster

from deeplimit import execution, study


def square(a: int, b: float) -> dict[str, Any]:
    """A measurement."""
    return {"product": a * b, "third": a / 3, "status": "done"}


def test_rows_are_the_product_of_the_axes_in_order() -> None:
    """The last axis runs fastest."""
    table = study.sweep(square, a=[1, 2], b=[0.5, 1.5])
    assert table["a"].tolist() == [1, 1, 2, 2]
    assert table["b"].tolist() == [0.5, 1.5, 0.5, 1.5]
    assert table["product"].tolist() == [0.5, 1.5, 1.0, 3.0]


def test_table_reads_back_bit_for_bit(tmp_path: Path) -> None:
    """Seventeen digits determine a double; NaN, infinity and empty texts survive."""
    values = [math.pi, 1 / 3, 1e-300, -0.0, math.nan, math.inf, 0.1 + 0.2]
    table = study.sweep(
        lambda k: {"value": values[k], "note": "" if k else "n/a"}, save=tmp_path / "t", k=range(len(values))
    )
    back = study.read(tmp_path / "t")
    assert np.array_equal(back["value"].to_numpy(), np.array(values), equal_nan=True)
    assert back["note"].tolist() == table["note"].tolist()


def test_every_finished_row_is_on_disk_before_the_next_one_starts(tmp_path: Path) -> None:
    """An interruption between two rows loses nothing."""
    seen = []

    def measure(k: int) -> dict[str, int]:
        seen.append(len(study.read(tmp_path / "t")) if k else 0)
        return {"value": k}

    study.sweep(measure, save=tmp_path / "t", k=range(4))
    assert seen == [0, 1, 2, 3]


def test_interruption_keeps_the_finished_rows(tmp_path: Path) -> None:
    """Ctrl-C ends the sweep, not what it has written."""

    def measure(k: int) -> dict[str, int]:
        if k == 2:
            raise KeyboardInterrupt
        return {"value": 10 * k}

    with pytest.raises(KeyboardInterrupt):
        study.sweep(measure, save=tmp_path / "t", k=range(5))
    assert study.read(tmp_path / "t")["value"].tolist() == [0, 10]
    assert sorted(file.name for file in tmp_path.iterdir()) == [".rows", "t.csv"]


def test_a_failed_row_says_why_and_the_others_go_on() -> None:
    """Nothing is dropped silently."""

    def measure(k: int) -> dict[str, Any]:
        if k == 1:
            raise ValueError("no such thing")
        return {"value": k, "status": "done"}

    table = study.sweep(measure, k=range(3))
    assert table["status"].tolist() == ["done", "failed: ValueError: no such thing", "done"]
    assert table["value"].isna().tolist() == [False, True, False]


def test_finished_rows_are_printed_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """On anything but a terminal: plain lines, no bar."""
    study.sweep(square, show=["a", "third"], a=[1, 2], b=[3.0])
    assert capsys.readouterr().out.splitlines() == ["a 1  third 0.3333", "a 2  third 0.6667"]


def test_processes_give_the_same_table() -> None:
    """Rows keep their order whichever process makes them."""
    axes: dict[str, Any] = {"a": [1, 2, 3], "b": [0.5, 1.5]}
    pd.testing.assert_frame_equal(study.sweep(square, jobs=2, **axes), study.sweep(square, **axes))


def test_a_dask_cluster_gives_the_same_table() -> None:
    """Against a real scheduler with a worker process on this machine."""
    axes: dict[str, Any] = {"a": [1, 2], "b": [0.5, 1.5]}
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        table = study.sweep(lambda a, b: {"product": a * b}, cluster=cluster.scheduler_address, **axes)
    pd.testing.assert_frame_equal(table, study.sweep(lambda a, b: {"product": a * b}, **axes))


def test_a_sweep_needs_axes_and_jobs() -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match="at least one axis"):
        study.sweep(square)
    with pytest.raises(ValueError, match="at least one axis"):
        study.sweep(square, a=[], b=[1])
    with pytest.raises(ValueError, match="jobs"):
        study.sweep(square, jobs=0, a=[1], b=[1])


def test_names_lie_below_results_and_paths_where_they_say(tmp_path: Path) -> None:
    """A bare name is a study's name."""
    assert study.results_path("x", ".csv") == Path("results/x.csv")
    assert study.results_path("a/b.c", ".csv") == Path("a/b.c.csv")
    assert study.results_path(tmp_path / "x", ".json") == tmp_path / "x.json"


def test_record_says_how_the_table_was_made(tmp_path: Path) -> None:
    """Constants, versions, machine, and what the study adds."""
    path = study.record(tmp_path / "t", {"DEPTHS": [8, 16]}, notes={"iris": ("a note",)})
    content = json.loads(path.read_text())
    assert content["study"] == "t"
    assert content["constants"] == {"DEPTHS": [8, 16]}
    assert content["notes"] == {"iris": ["a note"]}
    assert set(study.LIBRARIES) < set(content["versions"])
    assert content["machine"]["cores"] >= 1


def test_run_takes_quick_and_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Quick constants replace the study's, and a quick study never writes over its results."""
    saves: list[str] = []
    namespace: dict[str, Any] = {
        "__file__": str(tmp_path / "studies" / "s.py"),
        "__doc__": "Why?\nBecause.",
        "DEPTHS": [8],
    }
    namespace["QUICK"] = {"DEPTHS": [2]}
    study.run(saves.append, namespace, [])
    assert saves[-1] == str(tmp_path / "results" / "s")
    assert namespace["DEPTHS"] == [8]
    study.run(saves.append, namespace, ["--results", str(tmp_path / "other")])
    assert saves[-1] == str(tmp_path / "other" / "s")
    study.run(saves.append, namespace, ["--quick"])
    assert not saves[-1].startswith(str(tmp_path))
    assert namespace["DEPTHS"] == [2]
    assert study.constants(namespace) == {"DEPTHS": [2], "QUICK": {"DEPTHS": [2]}}

    def stopped(save: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        study.run(stopped, namespace, [])
    assert ended.value.code == execution.INTERRUPTED
    assert "before any row" in capsys.readouterr().err
