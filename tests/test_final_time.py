"""The study of the final time: its closed forms against minimisation, and every claim against a planted error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from scipy.optimize import minimize, minimize_scalar

from deeplimit import continuum, expansion, pontryagin, ridge, variants
from deeplimit.claims import Claim
from deeplimit.problem import Problem

TIMES, DEPTHS = [1, 4, 16], [4, 8]


@pytest.fixture(scope="module")
def quickly() -> Iterator[pytest.MonkeyPatch]:
    """Coarser limits, still good to 1e-8 for one point, so that the study takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuum, "SIZES", (8, 12, 18))
        patch.setattr(expansion, "PANELS", 4)
        patch.setattr(pontryagin, "RESTARTS", 8)
        yield patch


@pytest.fixture(scope="module")
def study(quickly: pytest.MonkeyPatch) -> ModuleType:
    module = load("final_time", TIMES=TIMES, DEPTHS=DEPTHS)
    module.SETTINGS.pop("H¹, tanh, K")
    return module


def rows(module: ModuleType, settings: list[str]) -> pd.DataFrame:
    """The table of some settings, measured anew."""
    module.problem.cache_clear()
    module.limit.cache_clear()
    return pd.DataFrame(
        [
            {"setting": s, "time": T, "depth": n, **module.measure(s, T, n)}
            for s, T, n in product(settings, TIMES, DEPTHS)
        ]
    )


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return rows(study, list(study.SETTINGS))


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, ...], pd.DataFrame]:
    """Rows with a planted error, shared by the claims that it makes false."""
    return {}


def claim(module: ModuleType, table: pd.DataFrame, name: str) -> Claim:
    (found,) = [c for c in module.claims(table) if c.id == name]
    return found


def l2_error(time: float) -> float:
    """(e^A − 2)² at the best A of (e^A − 2)² + ½ A²/T, by brute force."""
    best = minimize_scalar(
        lambda A: (math.exp(A) - 2) ** 2 + A**2 / (2 * time), bounds=(0, 1), method="bounded", options={"xatol": 1e-13}
    )
    return (math.exp(best.x) - 2) ** 2


def test_the_published_numbers_are_those_of_one_equation(study: ModuleType) -> None:
    """T² · error = .0274, .0294, .0299, .0300 for x = 1, y = 2, α = ½, by the study's root and by minimisation."""
    setting = study.SETTINGS[study.POINT]
    found = [T**2 * study.predicted_loss(setting, T, math.inf) for T in (1, 4, 16, 64)]
    assert np.round(found, 4).tolist() == [0.0274, 0.0294, 0.0299, 0.03]
    assert found == pytest.approx([T**2 * l2_error(T) for T in (1, 4, 16, 64)], rel=1e-5)


def test_the_constant_of_long_times_is_a_quarter_of_the_squared_slope(study: ModuleType) -> None:
    """T² · error → (α log 2 / 2)², as R*(y) = log² y has the slope log 2 at y = 2."""
    setting, T = study.SETTINGS[study.POINT], 1e5
    assert T**2 * study.predicted_loss(setting, T, math.inf) == pytest.approx((0.25 * math.log(2)) ** 2, rel=1e-4)


@pytest.mark.parametrize("time", [1.0, 3.0])
@pytest.mark.parametrize("name", ["H¹, identity, b", "L², relu, K"])
def test_closed_forms_are_minima_over_all_layers(study: ModuleType, name: str, time: float) -> None:
    """SciPy's minimiser on the plain definition on [0, T], six layers of step T/n: no package, no scaling."""
    setting, n = study.SETTINGS[name], 6

    def objective(theta: np.ndarray) -> float:
        X = 1.0
        for weight in theta:
            X += time / n * (weight * X if setting.trainable == "K" else weight)
        if setting.regulariser == "L²":
            return (X - 2) ** 2 + 0.5 * time / n * float(theta @ theta)
        return (X - 2) ** 2 + 0.5 * (n / time * float(np.sum(np.diff(theta) ** 2)) + theta[0] ** 2)

    best = minimize(objective, np.full(n, 0.5), method="BFGS", options={"gtol": 1e-9}).x
    end = np.prod(1 + time / n * best) if setting.trainable == "K" else 1 + time * best.mean()
    assert study.predicted_loss(setting, time, n) == pytest.approx((end - 2) ** 2, rel=1e-5)


def test_the_bound_is_the_value_of_a_network_that_interpolates(study: ModuleType) -> None:
    """For a bias and L²: θ = 1/T in every layer costs α T/T²; for tanh too large a target leaves only zero weights."""
    plane = study.SETTINGS[study.PLANE]
    assert study.interpolant_value(plane, 4, 5) == pytest.approx(0.5 * (0.6**2 + 0.9**2) / 4, rel=1e-12)
    assert study.interpolant_value(study.SETTINGS["H¹, tanh, b"], 1, 5) == 1.0


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests, so that the planted errors below are seen to make the difference."""
    assert {c.id: c.holds for c in study.claims(table)} == {f"E1.{k}": "true" for k in range(1, 13)}


def test_an_unsolved_row_leaves_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A solver that failed is no evidence."""
    broken = table.assign(status=table["status"].where(table["time"] != 4, "not converged: planted"))
    assert {c.holds for c in study.claims(broken)} >= {"undecided"}
    assert claim(study, broken, "E1.4").holds == "undecided"


def layers_without_their_share(self: Any, block: str, stretch: float) -> Any:
    """Σ|θ_i|² without 1/n."""
    return super(ridge.RidgeCoordinates, self)._scaling(block, 1.0)


def time_not_in_the_flow(activation: Any, factor: float) -> Any:
    """X' = σ in place of Tσ."""
    return activation


def time_not_in_tau(problem: Problem, activation: Any, factor: float) -> Problem:
    """α' = α/T with τ' = τ."""
    alpha = {k: factor * v if k in "Kb" else v for k, v in problem.alpha.items()}
    return Problem(
        problem.data,
        activation=activation,
        loss=problem.loss,
        alpha=alpha,
        tau=problem.tau,
        trainable=problem.trainable,
    )


SHARE = (ridge.RidgeCoordinates, "_scaling", layers_without_their_share)
FLOW = (variants, "_multiple", time_not_in_the_flow)
START = (variants, "_rescaled", time_not_in_tau)
PLANTED: list[tuple[str, list[str], tuple[Any, str, Callable[..., Any]]]] = [
    ("E1.1", ["L², relu, K"], SHARE),
    ("E1.2", ["L², relu, K"], FLOW),
    ("E1.3", ["L², relu, K and b"], FLOW),
    ("E1.4", ["L², relu, K"], SHARE),
    ("E1.5", ["L², relu, K"], SHARE),
    ("E1.6", ["L², relu, K"], SHARE),
    ("E1.7", ["H¹, identity, K"], START),
    ("E1.8", ["H¹, identity, b", "H¹, relu, b"], START),
    ("E1.9", ["H¹, identity, K"], START),
    ("E1.10", ["H¹, tanh, b"], START),
    ("E1.11", ["H¹, identity, b"], START),
    ("E1.12", ["H¹, identity, K"], (expansion, "value_constant", lambda problem, limit: 0.1)),
]


@pytest.mark.parametrize(("name", "settings", "error"), PLANTED, ids=[name for name, _, _ in PLANTED])
def test_a_planted_error_makes_the_claim_false(
    study: ModuleType,
    table: pd.DataFrame,
    measured: dict[tuple[str, ...], pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: list[str],
    error: tuple[Any, str, Callable[..., Any]],
) -> None:
    """1/n missing in L², T missing in the flow or in τ, another e₁: measured anew where it matters."""
    key = (*settings, error[1])
    if key not in measured:
        monkeypatch.setattr(*error)
        measured[key] = rows(study, settings)
        monkeypatch.undo()
    planted = pd.concat([table[~table["setting"].isin(settings)], measured[key]])
    assert claim(study, planted, name).holds == "false"
