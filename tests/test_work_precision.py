"""The other methods minimise the same objective, and the study of work and precision says what they cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load

from deeplimit import Layers, Problem, data, discrete, peers, shooting, study, tables, verify
from deeplimit.control import BLOCKS
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import DataTerm
from deeplimit.minimum import Minimum
from deeplimit.network import objective
from deeplimit.peers import Run, Seen
from deeplimit.sweep import EULER, Flow

ROOT = Path(__file__).parent.parent
PROBLEM = Problem(data.moons(points=6), alpha={"K": 0.1, "b": 0.2, "W": 0.05, "c": 0.1}, tau={"K": 0.7, "b": 1.3})
DEPTH = 8

METHODS: dict[str, Callable[[Layers, float, float], Run]] = {
    "torch": lambda start, tol, budget: peers.torch_lbfgs(PROBLEM, start, tol=tol, budget=budget),
    "adam": lambda start, tol, budget: peers.adam(PROBLEM, start, rate=0.01, steps=1500, tol=tol, budget=budget),
    "raw": lambda start, tol, budget: peers.scipy_lbfgs(PROBLEM, start, raw=True, tol=tol, budget=budget),
    "h1": lambda start, tol, budget: peers.scipy_lbfgs(PROBLEM, start, raw=False, tol=tol, budget=budget),
    "shooting": lambda start, tol, budget: shooting.solve(PROBLEM, start, tol=tol, budget=budget).run,
}


def random_layers(depth: int = DEPTH, seed: int = 3) -> Layers:
    """Independent normal weights in every layer."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(depth,) * (k in "Kb") + PROBLEM.metric.shape(k) for k in BLOCKS]
    return Layers(*(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes))


@pytest.fixture(scope="module")
def minimum() -> Minimum:
    """Of the network that the methods are to find again."""
    found = discrete.minimise(PROBLEM, DEPTH, seed=0)
    assert found.status.converged
    return found


@pytest.fixture
def near(minimum: Minimum) -> Layers:
    """A start beside it."""
    noise = random_layers(seed=5)
    return Layers(*(getattr(minimum.control, k) + 0.01 * getattr(noise, k) for k in BLOCKS))


def test_the_autograd_network_has_the_same_objective_and_gradient() -> None:
    """A plain module, loss and regulariser on the tape, against sweeps by hand."""
    layers = random_layers()
    net, exact = peers.Autograd(PROBLEM, layers), discrete.gradient(PROBLEM, layers)
    assert net.value().item() == pytest.approx(objective(PROBLEM, layers), rel=1e-14)
    net.value().backward()
    for block, found in zip(BLOCKS, net.gradient(), strict=True):
        torch.testing.assert_close(found, getattr(exact, block), rtol=1e-12, atol=1e-12)


def test_a_raw_gradient_becomes_the_one_in_u() -> None:
    """(∂Θ/∂u)ᵀ g of the tape is the gradient of E in u, whose norm all methods are stopped by."""
    layers = random_layers()
    net, plain = peers.Autograd(PROBLEM, layers), peers.Raw(PROBLEM, DEPTH)
    net.value().backward()
    converted = plain.coordinates.collect(net.gradient())
    np.testing.assert_allclose(converted, plain.at(layers).gradient, rtol=1e-12, atol=1e-12)


def test_the_raw_vector_holds_the_weights_and_its_gradient_is_theirs() -> None:
    """There and back is the identity; ∂E/∂x are the blocks of the gradient one after the other."""
    layers, plain = random_layers(), peers.Raw(PROBLEM, DEPTH)
    back = plain.control(plain.vector(layers))
    assert all(torch.equal(getattr(back, k), getattr(layers, k)) for k in BLOCKS)
    point = plain.at(layers)
    assert point.value == pytest.approx(objective(PROBLEM, layers), rel=1e-14)
    wanted = plain.vector(discrete.gradient(PROBLEM, layers))
    np.testing.assert_allclose(plain.gradient(point.gradient), wanted, rtol=1e-12, atol=1e-12)


def test_the_programme_has_the_same_objective_and_reduced_gradient() -> None:
    """At feasible states f = E_n and g = 0; with J_X eliminated its gradient f_θ − J_θᵀ J_X⁻ᵀ f_X is ∂E_n/∂Θ."""
    casadi = pytest.importorskip("casadi")
    layers, depth = random_layers(3), 3
    programme = shooting._programme(PROBLEM, depth)
    x, f, g = (programme[k] for k in "xfg")
    parts = casadi.Function("parts", [x], [f, g, casadi.gradient(f, x), casadi.jacobian(g, x)])
    value, defects, slope, jacobian = (np.array(v) for v in parts(shooting._guess(PROBLEM, layers)))
    assert value.item() == pytest.approx(objective(PROBLEM, layers), rel=1e-14)
    np.testing.assert_allclose(defects, 0, atol=1e-15)
    states = len(defects)
    multipliers = np.linalg.solve(jacobian[:, :states].T, slope[:states])
    reduced = (slope[states:] - jacobian[:, states:].T @ multipliers).ravel()
    exact = discrete.gradient(PROBLEM, layers)
    rows = torch.cat([exact.K.reshape(depth, -1), exact.b], 1)
    wanted = torch.cat([v.reshape(-1) for v in (rows, exact.W, exact.c)]).numpy()
    np.testing.assert_allclose(reduced, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_same_minimiser(name: str, minimum: Minimum, near: Layers) -> None:
    """From a start beside it, its value to 1e-8, and it says so."""
    if name == "shooting":
        pytest.importorskip("casadi")
    run = METHODS[name](near, 1e-5, math.inf)
    assert run.status == peers.REACHED
    assert run.value == pytest.approx(minimum.value, abs=1e-8)
    assert run.dual <= 1e-5 and run.dual == run.trace[-1].dual
    counts = [seen.gradients for seen in run.trace]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_over_its_budget_did_not_reach_the_tolerance(name: str, near: Layers) -> None:
    """It stops at its first gradient, keeps it and the weights it belongs to."""
    if name == "shooting":
        pytest.importorskip("casadi")
    run = METHODS[name](near, 1e-12, 0.0)
    assert run.status == peers.OVER_BUDGET
    assert run.gradients == 1 and run.dual > 1e-6
    coordinates = LayerCoordinates(PROBLEM.metric, DEPTH)
    np.testing.assert_allclose(coordinates.vector(run.control), coordinates.vector(near), rtol=0, atol=1e-12)


def test_a_ladder_over_its_budget_ends() -> None:
    """No depth is begun when nothing is left."""
    assert shooting.ladder(PROBLEM, [16, 32], random_layers(), budget=0.0) == []


def test_a_method_that_cannot_get_lower_ends_by_itself(near: Layers) -> None:
    """A tolerance below rounding is reached by none; the run comes back and says that it ended."""
    assert METHODS["h1"](near, 0.0, math.inf).status == peers.ENDED


def test_other_problems_are_refused() -> None:
    """The plain network trains all blocks; the programme is written for one activation and loss."""
    fixed = Problem(PROBLEM.data, trainable="KbW")
    with pytest.raises(ValueError, match="trains all of KbWc, got trainable='KbW'"):
        peers.Autograd(fixed, fixed.metric.draw(0).sample(4))
    pytest.importorskip("casadi")
    other = Problem(PROBLEM.data, activation="arctan")
    with pytest.raises(ValueError, match="tanh, the logistic loss"):
        shooting.solve(other, other.metric.draw(0).sample(4))


def test_the_rate_of_adam_is_the_one_that_gets_lowest() -> None:
    """A rate that does not move and one that leaps are worse than one between."""
    assert peers.tuned_rate(PROBLEM, random_layers(), [1e-9, 0.1, 100.0], steps=60) == 0.1


@pytest.fixture
def small() -> ModuleType:
    """The study at sizes for a test."""
    names = ["60 points", "6 points", "200 points, stiff"]
    constants = {
        "PROBLEMS": dict.fromkeys(names, PROBLEM),
        "LADDERS": {names[0]: [4, 8, 16], names[1]: [4, 8], names[2]: [4]},
        "REPEATS": 1,
        "BUDGET": 0.3,
        "SHARES": {8: 1.0},
        "H1_DEPTHS": [8],
        "WARM": {"torch L-BFGS, raw": [8]},
        "SHOOTING_DEPTHS": [8],
        "RATES": [0.1],
        "TRIAL": 5,
        "TUNING": 8,
        "PRECISION_DEPTH": 8,
        "TOLERANCES": [1e-3, 1e-8],
        "LAYERS": [4],
        "WIDE": Problem(data.moons(points=6, onehot=True), loss="softmax"),
        "WIDE_LAYERS": [4],
        "SAMPLES": 1,
    }
    return load("work_precision", **constants)


def test_the_study_writes_table_record_and_figure(small: ModuleType, tmp_path: Path) -> None:
    """Every part has its rows and columns, every row a status, and the record the machine."""
    small.main(str(tmp_path / "work_precision"))
    table = study.read(tmp_path / "work_precision")
    assert not table["status"].astype(str).str.startswith("failed").any(), table["status"].tolist()
    columns = {
        "levels": "seconds gradients products certificate_products coarse_products cost_in_gradients dual status",
        "race": "data method start depth seconds gradients dual value budget repeats ours_seconds ratio status",
        "precision": "seconds gradients products dual tol status",
        "layers": "operation us_per_layer status",
        "memory": "megabytes megabytes_before status",
    }
    assert set(table["part"]) == set(columns)
    for part, names in columns.items():
        others = table[(table["part"] == part) & (table["method"] != small.OURS)]
        rows = others if part == "race" else table[table["part"] == part]
        assert rows[names.split()].notna().all().all(), part
    trace = small.traces(table)
    races = table[table["trace"].notna()]
    least = trace.groupby(["data", "method", "start", "depth"])["dual"].min()
    wanted = races.set_index(["data", "method", "start", "depth"])["dual"]
    assert len(races) == len(least) > 3
    assert (least.sort_index() == wanted.sort_index()).all()
    machine = json.loads((tmp_path / "work_precision.json").read_text())["machine"]
    assert {"processor", "cores", "memory_gb"} <= set(machine)
    assert (tmp_path / "work_precision.png").exists()


@pytest.mark.parametrize("column", ["rate", "trace"])
def test_an_older_table_is_told_which_column_it_has_not(small: ModuleType, column: str) -> None:
    """Drawing it must not end in an error of pandas."""
    columns = ["part", "data", "method", "start", "depth", "seconds", "rate", "trace"]
    older = pd.DataFrame(columns=[name for name in columns if name != column])
    with pytest.raises(tables.TableError, match=f"the table has no column '{column}'"):
        (small.rates if column == "rate" else small.traces)(older)


def test_what_torch_loads_is_loaded_before_the_first_race(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every process that races, once."""
    calls = []
    monkeypatch.setattr(small.peers, "adam", lambda *_, **__: calls.append("step"))
    monkeypatch.setattr(small.peers, "torch_lbfgs", lambda *_, **__: calls.append("race"))
    for depth in (4, 8):
        small.first_order(small.MILD, small.TORCH, "cold", depth, 1.0)
    assert calls == ["step", "race", "race"]


def test_a_method_that_is_not_installed_is_a_row(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """CasADi is an extra."""
    monkeypatch.setattr(small.importlib.util, "find_spec", lambda name: None)
    row = small.race(small.FEW, small.SHOOTING, "doubled", 8)
    assert row == {"status": "not installed: pip install 'deeplimit[reference]'"}


def test_depths_of_a_ladder_carry_the_cost_of_those_before(small: ModuleType) -> None:
    """Seconds and gradients of the coarser depths are added, those of the programmes apart."""

    def solve(depth: int, seconds: float, gradients: int) -> shooting.Solve:
        run = Run(random_layers(depth), 1.0, [Seen(seconds, gradients, 1e-11)], seconds, peers.REACHED)
        return shooting.Solve(run, setup=0.5)

    found = small.cumulative([solve(2, 1.0, 3), solve(4, 2.0, 5)])
    assert [(r.seconds, r.coarser_gradients, r.setup) for r in found.values()] == [(1.0, 0, 0.5), (3.0, 3, 1.0)]


def test_a_thinned_trace_falls_to_the_least(small: ModuleType) -> None:
    """It keeps the first, what is lower by a fifth, and the least."""
    duals = [1.0, 2.0, 0.9, 0.5, 0.49, 0.48, 0.6]
    kept = small.thinned([Seen(float(k), k, dual) for k, dual in enumerate(duals)])
    assert [seen.dual for seen in kept] == [1.0, 0.5, 0.48]


def test_the_compiled_loop_does_the_same_arithmetic(small: ModuleType) -> None:
    """Its K and b gradients are those of the data term."""
    layers = random_layers(5)
    weights = peers.Weights(*(getattr(layers, k) for k in BLOCKS))
    exact = DataTerm(PROBLEM, Flow(EULER, 5), weights).gradient
    arrays = [v.numpy() for v in (PROBLEM.data.x, PROBLEM.y, *weights)]
    for found, wanted in zip(small.plain_loop(*arrays), exact, strict=False):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12, atol=1e-13)


def test_a_ratio_is_the_time_of_a_method_over_ours_to_the_same_gradient(
    small: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both to the method's best gradient, or to the tolerance where it went below; certificates are told apart."""
    minima = [replace(discrete.minimise(PROBLEM, 4), seconds=3.0, certificate_seconds=1.0)]
    asked = []

    def ours(name: str, depth: int, tol: float) -> tuple[float, list[Minimum], int]:
        asked.append(tol)
        return 4.0, minima, 1

    monkeypatch.setattr(small, "branch", ours)
    for dual, tol in ((1e-3, 1e-3), (1e-12, small.TOL)):
        run = Run(minima[0].control, 1.0, [Seen(2.0, 5, 1.0), Seen(20.0, 50, dual)], 30.0, peers.OVER_BUDGET)
        monkeypatch.setattr(small, "raced", lambda *_, run=run: [small.Raced(run)])
        row = small.race(small.MILD, small.TORCH, "cold", 8)
        assert (row["seconds"], row["gradients"], row["dual"]) == (20.0, 50, dual)
        assert (row["ours_seconds"], row["ours_bare_seconds"], row["ratio"]) == (4.0, 3.0, 5.0)
        assert asked[-2:] == [tol, small.TOL]
    monkeypatch.setattr(small, "evaluation", lambda *_, **__: 0.5)
    row = small.levels(small.FEW, small.OURS, small.LADDERS[small.FEW][0])
    assert (row["cost_in_gradients"], row["bare_cost_in_gradients"]) == (6.0, 4.0)


def test_the_clock_of_a_method_stands_still_while_it_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds of its own between two looks of a hundred each."""
    now = [0.0]
    monkeypatch.setattr(peers, "perf_counter", lambda: now[0])
    start = random_layers(3)
    meter = peers.Meter(PROBLEM, start, tol=1e-10, budget=1e3)

    def look() -> np.ndarray:
        now[0] += 100
        return np.ones(4)

    for _ in range(2):
        now[0] += 10
        meter.see(look, lambda: start)
    assert [(seen.seconds, seen.gradients, seen.dual) for seen in meter.trace] == [(10.0, 1, 2.0), (20.0, 2, 2.0)]


def test_the_study_is_no_part_of_the_ledger() -> None:
    """It claims nothing, so that `deeplimit verify` does not run it."""
    assert "work_precision" not in [path.stem for path in verify.studies(ROOT / "studies")]
