"""The study of the final time under the H¹ penalty: every claim against a planted error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load
from planting import claim, measured_anew, row

from deeplimit import continuum, expansion, pontryagin, variants
from deeplimit.problem import Problem

TIMES, DEPTHS = [1, 4, 16], [4, 8]


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    """Coarser limits, still good to 1e-8 for one point, so that the study takes seconds."""
    module = load("final_time_h1", TIMES=TIMES, DEPTHS=DEPTHS)
    module.SETTINGS.remove("tanh, K")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuum, "SIZES", (8, 12, 18))
        patch.setattr(expansion, "PANELS", 4)
        patch.setattr(pontryagin, "RESTARTS", 8)
        yield module


def rows(module: ModuleType, settings: list[str]) -> pd.DataFrame:
    """The table of some settings, measured anew."""
    return measured_anew(module, setting=settings, time=TIMES, depth=DEPTHS)


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return rows(study, list(study.SETTINGS))


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, ...], pd.DataFrame]:
    """Rows with a planted error, shared by the claims that it makes false."""
    return {}


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests, so that the planted errors below are seen to make the difference."""
    assert {c.id: c.holds for c in study.claims(table)} == {f"E1.{k}": "true" for k in (7, 8, 9, 10, 12, 13, 14)}


def test_an_unsolved_row_leaves_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A solver that failed is no evidence."""
    broken = table.assign(status=table["status"].where(table["time"] != 4, "not converged: planted"))
    assert {c.holds for c in study.claims(broken)} == {"undecided"}


@pytest.mark.parametrize(
    ("name", "column", "place", "factor"),
    [
        ("E1.7", "error", ("identity, K", TIMES[-2], DEPTHS[-1]), 1.1),
        ("E1.8", "data_loss", ("relu, b", 1, DEPTHS[0]), 1.1),
        ("E1.9", "error", ("identity, K", 1, DEPTHS[-1]), 1.1),
        ("E1.10", "error", ("tanh, b", 4, DEPTHS[-1]), 1.5),
        ("E1.10", "error", ("tanh, b", 16, DEPTHS[-1]), 5),
        ("E1.12", "value_gap", ("identity, K", 4, DEPTHS[0]), 30),
        ("E1.12", "value_gap", ("identity, K", 16, DEPTHS[0]), 2),
    ],
)
def test_an_error_in_one_row_makes_the_claim_false(
    study: ModuleType, table: pd.DataFrame, name: str, column: str, place: tuple[str, int, int], factor: float
) -> None:
    """Tolerances do not grow with the error, also where it is in a row from which an extrapolation starts."""
    wrong = table.copy()
    wrong.loc[row(wrong, place), column] *= factor
    assert claim(study, wrong, name).holds == "false"


@pytest.mark.parametrize("name", ["E1.8", "E1.9", "E1.10", "E1.12", "E1.13", "E1.14"])
def test_a_number_that_is_missing_leaves_its_claim_undecided(study: ModuleType, table: pd.DataFrame, name: str) -> None:
    """It is not passed over as the largest of the others is formed."""
    broken = table.copy()
    columns = ["value", "data_loss", "error", "value_gap", "scaled_value"]
    broken.loc[broken["depth"] == DEPTHS[-1], columns] = float("nan")
    assert claim(study, broken, name).holds == "undecided"


def test_the_bound_is_the_value_of_a_network_that_interpolates(study: ModuleType) -> None:
    """One layer with θ = 1/T costs α τ/T²; for tanh too large a target leaves only zero weights."""
    assert study.bound("identity, b", 4, 1) == pytest.approx(0.5 / 16, rel=1e-12)
    assert study.bound("tanh, b", 1, 5) == 1.0


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


FLOW = (variants, "_multiple", time_not_in_the_flow)
START = (variants, "_rescaled", time_not_in_tau)
CONSTANT = (expansion, "value_constant", lambda problem, limit: 0.1)
PLANTED: list[tuple[str, list[str], tuple[Any, str, Callable[..., Any]]]] = [
    ("E1.7", ["identity, K"], START),
    ("E1.8", ["identity, b", "relu, b"], START),
    ("E1.9", ["identity, K"], START),
    ("E1.10", ["tanh, b"], START),
    ("E1.12", ["identity, K"], CONSTANT),
    ("E1.13", ["identity, b"], FLOW),
    ("E1.14", ["identity, b"], FLOW),
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
    """T missing in the flow or in τ, another e₁: measured anew where it matters."""
    key = (*settings, error[1])
    if key not in measured:
        monkeypatch.setattr(*error)
        if error is not CONSTANT:  # of which neither problems nor limits know
            for function in (study.posed, study.limit):
                monkeypatch.setattr(study, function.__name__, cache(function.__wrapped__))
        measured[key] = rows(study, settings)
        monkeypatch.undo()
    planted = pd.concat([table[~table["setting"].isin(settings)], measured[key]])
    assert claim(study, planted, name).holds == "false"
