"""Every claim of the study of regularity is true at small sizes, and false once an error is planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from loading import load

from deeplimit import network, pontryagin, regularity
from deeplimit.minimum import Status

Plant = Callable[[pytest.MonkeyPatch], None]
CELLS = 128


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study on its two small problems; solutions are kept for all tests."""
    return load("regularity", NAMES=["three_points", "kink"], DEPTHS=[8, 16, 32, 64, 128])


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A grid of the limit that suits the depths, computed anew in every test."""
    monkeypatch.setattr(regularity, "CELLS", CELLS)
    regularity._on_grid.cache_clear()
    yield
    regularity._on_grid.cache_clear()


def measured(study: ModuleType) -> pd.DataFrame:
    """The table of the study, not written."""
    return pd.DataFrame([{"data": k, "depth": n} | study.measure(k, n) for k in study.NAMES for n in study.DEPTHS])


def verdicts(study: ModuleType) -> dict[str, str]:
    """The verdict of each claim, by id."""
    return {claim.id: claim.holds for claim in study.claims(measured(study))}


def test_every_claim_is_true(study: ModuleType) -> None:
    """At depths up to 128, with the tolerances of the study itself."""
    assert set(verdicts(study).values()) == {"true"}


def another_quotient(order: int, power: float) -> Plant:
    """n to a wrong power in the difference quotients of one order."""
    right = regularity.quotient

    def wrong(layers: Any, k: int) -> torch.Tensor:
        return right(layers, k) * (layers.depth**power if k == order else 1.0)

    return lambda patch: patch.setattr(regularity, "quotient", wrong)


def one_over_alpha(patch: pytest.MonkeyPatch) -> None:
    """θ'' = Q/α instead of Q/2α."""
    right = regularity._half_over_alpha
    patch.setattr(regularity, "_half_over_alpha", lambda problem: 2 * right(problem))


def no_value_at_zero(patch: pytest.MonkeyPatch) -> None:
    """The boundary condition at t = 0 without τθ(0)."""
    right = regularity.boundary
    patch.setattr(regularity, "boundary", lambda problem, net: (regularity.quotient(net, 1)[0], right(problem, net)[1]))


def fixed_at_one(patch: pytest.MonkeyPatch) -> None:
    """The regulariser's value at t = 1 instead of t = 0: θ' + τθ at the end."""
    right = regularity.boundary
    patch.setattr(
        regularity,
        "boundary",
        lambda problem, net: (right(problem, net)[0], right(problem, net)[1] + regularity.joint(net.K[-1], net.b[-1])),
    )


def no_running_cost(patch: pytest.MonkeyPatch) -> None:
    """The Hamiltonian of the networks without α|θ'|²."""

    def wrong(problem: Any, layers: Any) -> torch.Tensor:
        velocity = layers.depth * torch.diff(network.states(problem, layers), dim=0)
        return (network.costates(problem, layers)[0][1:] * velocity).sum((1, 2))

    patch.setattr(regularity, "hamiltonian", wrong)


def no_running_cost_in_the_limit(patch: pytest.MonkeyPatch) -> None:
    """The Hamiltonian of the limit without α|θ'|²."""
    right = pontryagin._hamiltonian
    patch.setattr(pontryagin, "_hamiltonian", lambda problem, path, K, b, slopes: right(problem, path, K, b, {}))


def explicit_costate(patch: pytest.MonkeyPatch) -> None:
    """p_i = p_{i+1} + h K_iᵀ (σ'(Z_i) ∘ p_i): the adjoint of another method."""

    def wrong(problem: Any, layers: Any) -> tuple[torch.Tensor, torch.Tensor]:
        p, q = right(problem, layers)
        slope = problem.activation.first(network.states(problem, layers)[:-1] @ layers.K.mT + layers.b[:, None])
        rows = [p[-1]]
        for K, D in zip(layers.K.flip(0), slope.flip(0), strict=True):
            rows.append(rows[-1] / (1 - K[0, 0] * D / layers.depth))
        return torch.stack(rows[::-1]), q

    right = network.costates
    patch.setattr(network, "costates", wrong)


def no_curvature_in_the_drift(patch: pytest.MonkeyPatch) -> None:
    """D' without α|θ''|²."""
    right = regularity.jet

    def wrong(problem: Any, curve: Any, t: Any) -> regularity.Jet:
        found = right(problem, curve, t)
        return replace(found, drift=found.drift - found.second**2 @ regularity._per_entry(problem, problem.alpha))

    patch.setattr(regularity, "jet", wrong)


PLANTS: dict[str, tuple[Plant, set[str]]] = {
    "Q/α": (one_over_alpha, {"T7.1", "T7.2", "T7.4", "T8.3", "T8.4", "T9.5"}),
    "second quotients times √n": (another_quotient(2, 0.5), {"T7.1", "T7.4", "T7.5"}),
    "third quotients without one n": (another_quotient(3, -1.0), {"T7.2", "T7.3"}),
    "no τθ(0)": (no_value_at_zero, {"T8.1", "T8.3"}),
    "θ' + τθ at the end": (fixed_at_one, {"T8.2", "T8.4"}),
    "no running cost": (no_running_cost, {"T9.1", "T9.2", "T9.5"}),
    "no running cost in the limit": (no_running_cost_in_the_limit, {"T9.2", "T9.3"}),
    "another costate": (explicit_costate, {"T9.4", "T9.5"}),
    "no curvature in the drift": (no_curvature_in_the_drift, {"T9.5"}),
}


@pytest.mark.parametrize(("plant", "wrong"), PLANTS.values(), ids=PLANTS.keys())
def test_a_planted_error_makes_the_claims_false(
    monkeypatch: pytest.MonkeyPatch, study: ModuleType, plant: Plant, wrong: set[str]
) -> None:
    """Each error makes just the claims false that rest on it; together the errors reach every claim."""
    plant(monkeypatch)
    found = verdicts(study)
    assert {k for k, verdict in found.items() if verdict == "false"} == wrong
    assert set().union(*(claims for _, claims in PLANTS.values())) == set(found)


def test_networks_that_did_not_converge_leave_the_claims_undecided(study: ModuleType) -> None:
    """A jump to another branch, a minimiser at a kink, and a limit without its resolution, each where it matters."""
    table = measured(study)
    for data, column, status, touched in [
        ("three_points", "status", Status.JUMPED, {"T7.1", "T7.2", "T7.4", "T8.1", "T9.1", "T9.4"}),
        ("kink", "status", Status.KINKS, {"T7.3", "T7.5", "T9.4"}),
        ("three_points", "limit_status", Status.RESOLUTION, {"T7.1", "T8.3", "T9.3", "T9.5"}),
    ]:
        doubtful = table.copy()
        doubtful.loc[(doubtful["data"] == data) & (doubtful["depth"] == 128), column] = str(status)
        undecided = {claim.id for claim in study.claims(doubtful) if claim.holds == "undecided"}
        assert touched <= undecided
        assert ("T7.3" in undecided) == (data == "kink")
