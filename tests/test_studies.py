"""Every study runs, says what it asks, and its committed results are what the theorem predicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from loading import load

from deeplimit import compare, continuum, data, discrete, execution, optimise, peers, study, sweep, verify
from deeplimit.meanfield import diffusion, flows, particles
from deeplimit.problem import Problem

ROOT = Path(__file__).parent.parent
STUDIES = sorted(path for path in (ROOT / "studies").glob("*.py"))
DATA = ["iris", "breast_cancer", "moons"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_asks_a_question_and_has_a_quick_form(path: Path) -> None:
    """Its first line is the question; QUICK replaces constants that exist."""
    module = load(path)
    assert module.__doc__ is not None and module.__doc__.splitlines()[0].endswith("?")
    assert set(module.QUICK) <= set(vars(module))


def test_depth_limit_writes_table_record_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole study on one small data set; every row converged, with the columns that a depth sweep has."""
    module = load(ROOT / "studies" / "depth_limit.py")
    small = {"moons": Problem(data.moons(points=10), alpha=0.1)}
    changes = {
        "PROBLEMS": small,
        "DEPTHS": [4, 8, 16],
        "STARTS": 3,
        "SEEDS": {"moons": 0},
        "WEIGHTS": 2,
        "FLOW_DEPTHS": [2, 4],
    }
    for name, value in changes.items():
        monkeypatch.setattr(module, name, value)
    module.main(str(tmp_path / "depth_limit"))
    files = [
        "depth_limit.csv",
        "depth_limit.json",
        "depth_limit.png",
        "depth_limit_certificates.csv",
        "depth_limit_flow.png",
        "depth_limit_paths.csv",
        "depth_limit_regions.csv",
        "depth_limit_weights.csv",
        "depth_limit_weights.png",
    ]
    assert sorted(path.name for path in tmp_path.glob("depth_limit*")) == files
    table = study.read(tmp_path / "depth_limit")
    columns = """data branch start_seed depth value error_bar limit_value limit_error value_gap predicted_gap
        recovery_gap liminf_gap control_l2 control_sup
        control_h1 control_tl2 head_gap state_sup data_loss residual curvature
        distance_bound iterations gradients hessian_products seconds status"""
    assert set(columns.split()) <= set(table.columns)
    assert table["depth"].tolist() == [4, 8, 16]
    assert table["status"].str.startswith("converged").all()
    record = json.loads((tmp_path / "depth_limit.json").read_text())
    assert record["certificates"]["moons"]["residual"] < 1e-6
    assert record["constants"]["DEPTHS"] == [4, 8, 16]
    assert {row["quantity"] for row in record["orders"]} == {*compare.VALUE_GAPS, *compare.CONTROL_GAPS}


COMPUTING = [
    *((sweep.Flow, "forward"), (sweep.Flow, "march"), (optimise, "local_minimum"), (continuum, "minimise")),
    *((discrete, "minimise"), (discrete, "branch"), (peers, "adam"), (diffusion, "simulate"), (particles, "states")),
]


def refuse(*_: object, **__: object) -> None:
    """In the place of what computes."""
    raise AssertionError("drawing computes")


def drawn(path: Path, results: Path, patch: pytest.MonkeyPatch, *, quick: bool = False) -> list[Path]:
    """The figures that a study draws from what is in a folder, where nothing that computes can be called."""
    for figure in results.glob("*.png"):
        figure.unlink()
    for owner, name in COMPUTING:
        patch.setattr(owner, name, refuse)
    module = load(path)
    execution.execute(module.main, vars(module), execution.Options(quick=quick, results=results, draw=True))
    return list(results.glob("*.png"))


def kept(path: Path) -> list[Path]:
    """The tables of a study's committed results; none where they are of an earlier form of the study."""
    record = json.loads((ROOT / "results" / f"{path.stem}.json").read_text(encoding="utf-8"))
    tables = [path.stem, *record.get("tables", {})]
    whole = "rows" in record and len(tables) > path.read_text(encoding="utf-8").count("study.once(")
    return [ROOT / "results" / f"{name}.csv" for name in tables] if whole else []


@pytest.mark.parametrize("path", [path for path in STUDIES if kept(path)], ids=lambda path: path.stem)
def test_drawing_committed_results_computes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a figure or a claim needs beside the rows is in a table that the record names."""
    for file in kept(path):
        shutil.copy(file, tmp_path)
    assert drawn(path, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["fokker_planck", "mean_field", "steady_states"])
def test_drawing_a_quick_run_computes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of studies whose figures show more than the rows of the sweep; the same figures, to the pixel, as the run's."""
    path = ROOT / "studies" / f"{name}.py"
    module = load(path)
    execution.execute(module.main, vars(module), execution.Options(quick=True, results=tmp_path))
    before = {figure: figure.read_bytes() for figure in tmp_path.glob("*.png")}
    monkeypatch.setattr(flows, "flow", refuse)
    after = {figure: figure.read_bytes() for figure in drawn(path, tmp_path, monkeypatch, quick=True)}
    assert after == before


@pytest.fixture(scope="module")
def committed() -> pd.DataFrame:
    """The committed table of the main study."""
    return study.read(ROOT / "results" / "depth_limit")


def test_committed_rows_are_certified(committed: pd.DataFrame) -> None:
    """Residual, curvature and status of every row; the limit's error bar relative to its value."""
    assert committed["data"].unique().tolist() == DATA
    assert (committed.groupby("data")["depth"].max() == 1024).all()
    assert committed["status"].str.startswith("converged:").all()
    assert (committed["residual"] <= 1e-10).all()
    assert (committed["curvature"] > 0).all()
    assert (committed["limit_error"] <= 1e-9 * committed["limit_value"]).all()


def test_committed_networks_have_learned_something(committed: pd.DataFrame) -> None:
    """The data loss of the zero network is S log 2 or S log 3; a trained one is far below."""
    zero = {"iris": 150 * 1.0986, "breast_cancer": 569 * 0.6931, "moons": 60 * 0.6931}
    for name, rows in committed.groupby("data"):
        assert (rows["data_loss"] < 0.2 * zero[str(name)]).all(), name


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("quantity", ["value_gap", "control_l2", "control_sup", "control_h1"])
def test_committed_orders_are_one(committed: pd.DataFrame, name: str, quantity: str) -> None:
    """First order within 0.02 between the depths 512 and 1024, on every data set."""
    orders = compare.orders(committed[committed["data"] == name], [quantity])
    assert orders["last"].item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", DATA)
def test_committed_constant_is_the_predicted_one(committed: pd.DataFrame, name: str) -> None:
    """n · value gap within 1 % of e₁ at n = 1024."""
    last = committed[(committed["data"] == name) & (committed["depth"] == 1024)].iloc[0]
    assert last["value_gap"] == pytest.approx(last["predicted_gap"], rel=0.01)
    assert last["recovery_gap"] >= last["value_gap"]


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    """The committed ledger."""
    return verify.read(ROOT / "results")


def test_the_committed_ledger_is_what_the_records_say(ledger: pd.DataFrame) -> None:
    """Every study that makes claims has its record, and every claim of a record its line."""
    gathered = verify.gather(ROOT / "results")
    pd.testing.assert_frame_equal(ledger, gathered, check_exact=True)
    assert set(ledger["study"]) == {path.stem for path in verify.studies(ROOT / "studies")}


def test_every_committed_claim_holds(ledger: pd.DataFrame) -> None:
    """None is false, none undecided, and each says what would falsify it."""
    assert ledger[ledger["holds"] != "true"][["id", "observed", "reason"]].to_dict("records") == []
    assert ledger["falsified_by"].str.len().min() > 10


def test_every_part_of_the_theorem_is_in_the_ledger(ledger: pd.DataFrame) -> None:
    """Forward limit, values, minimisers, regularity, controls, bounds, and the neighbouring limits."""
    parts = {identifier.split(".")[0] for identifier in ledger["id"]}
    assert parts >= {*(f"T{k}" for k in range(1, 12)), "P2", "P4", "R5", "D1", "E1", "S1"}


def test_the_pages_show_the_committed_ledger(ledger: pd.DataFrame) -> None:
    """`make ledger` puts it there: all of it beside the results, its summary on the front page."""
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert verify.inserted(page, ledger) == page
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert verify.inserted(page, ledger, summary=True) == page
