"""The claims of the study of momentum are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load
from planting import measured, planted_ids, verdicts, verdicts_with, with_failure

from deeplimit import network, pontryagin, regularity
from deeplimit.control import Layers

SMALL: dict[str, Any] = {"PAIRED": [8], "DEPTHS": [2**m for m in range(6, 10)]}
CLAIMS = [f"H1.{k}" for k in range(1, 12)]
Plant = Callable[[pytest.MonkeyPatch, ModuleType], None]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes, on two of its problems."""
    module = load("momentum", **SMALL)
    module.PROBLEMS.pop("moons, silu")
    return module


def kept(study: ModuleType) -> list[Any]:
    """What the study computes once."""
    return [study.flow, study.limit]


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study, kept=kept(study))


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At small sizes, with the tolerances of the study itself; a row that failed leaves them undecided."""
    assert {k: v for k, v in verdicts(study.claims(table)).items() if v != "true"} == {}
    assert set(verdicts(study.claims(table))) == set(CLAIMS)
    broken = with_failure(table, 0, "row", "part", "case", "depth")
    assert set(verdicts(study.claims(broken)).values()) == {"undecided"}


def transposed(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The adjoint sweep with K in place of Kᵀ."""
    right = network.costates

    def wrong(problem: Any, layers: Layers) -> Any:
        return right(problem, Layers(layers.K.mT, layers.b, layers.W, layers.c))

    patch.setattr(network, "costates", wrong)


def no_costate_step(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """Costates that are those of the next layer."""
    right = network.costates

    def wrong(problem: Any, layers: Layers) -> Any:
        p, q = right(problem, layers)
        return torch.cat([p[1:], p[-1:]]), q

    patch.setattr(regularity.network, "costates", wrong)


def other_costates(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """Momenta that solve with the matrix in place of its transpose: no canonical map."""
    right = torch.linalg.solve
    patch.setattr(study.torch.linalg, "solve", lambda A, p: right(A.mT, p))


def slow_costate(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """A costate of the flow that is a tenth of a per cent too small at the start."""
    right = pontryagin.trajectory

    def wrong(problem: Any, curve: Any, t: Any) -> Any:
        path = right(problem, curve, t)
        return replace(path, costate=path.costate * (0.999 + 0.001 * path.t[:, None, None]))

    patch.setattr(pontryagin, "trajectory", wrong)


def mean_momentum(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """H with the mean of p_i and p_{i+1}, whose drift is of second order."""

    def wrong(problem: Any, layers: Layers) -> np.ndarray:
        p, _ = network.costates(problem, layers)
        velocity = layers.depth * torch.diff(network.states(problem, layers), dim=0)
        return np.asarray(((p[1:] + p[:-1]) / 2 * velocity).sum((1, 2)))

    patch.setattr(study, "energies", wrong)


def no_bend(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The prediction without its ½."""
    right = study.flow

    def wrong(case: str, moving: bool) -> Any:
        H, change, drift = right(case, moving)
        return H, change, 2 * drift

    wrong.cache_clear = right.cache_clear  # type: ignore[attr-defined]
    patch.setattr(study, "flow", wrong)


def frozen(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The weights called varying are constant."""
    right = study.curve
    patch.setattr(study, "curve", lambda case, moving: right(case, False))


def wrong_change(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """∂_t f with the sign of another parameter: −p · ∂_t f."""
    right = study.flow

    def wrong(case: str, moving: bool) -> Any:
        H, change, drift = right(case, moving)
        return H, -change, drift

    wrong.cache_clear = right.cache_clear  # type: ignore[attr-defined]
    patch.setattr(study, "flow", wrong)


def no_corrector(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """ρ' left out where it meets A x + c: wrong constants, right limit."""
    right = study.rho
    patch.setattr(study, "rho", lambda case, x: (right(case, x)[0], right(case, x)[1] / 2, right(case, x)[2]))


def other_limit(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """A ρ that is a hundredth too large: another limit, and no convergence to it."""
    right = study.rho
    patch.setattr(study, "rho", lambda case, x: (1.01 * right(case, x)[0], *right(case, x)[1:]))


PLANTED: list[tuple[Plant, list[str], list[str]]] = [
    (transposed, ["costate", "constant"], ["H1.1", "H1.4"]),
    (no_costate_step, ["pairing"], ["H1.2"]),
    (other_costates, ["symplectic"], ["H1.11"]),
    (slow_costate, ["constant"], ["H1.3"]),
    (mean_momentum, ["constant"], ["H1.4", "H1.5"]),
    (no_bend, ["constant"], ["H1.5"]),
    (frozen, ["varying"], ["H1.7"]),
    (wrong_change, ["varying"], ["H1.6", "H1.8"]),
    (no_corrector, ["near identity"], ["H1.10"]),
    (other_limit, ["near identity"], ["H1.9"]),
]


@pytest.mark.parametrize(("plant", "parts", "ids"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])
def test_planted_errors_make_claims_false(
    study: ModuleType,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    parts: list[str],
    ids: list[str],
) -> None:
    """Each is seen by the claims on what it breaks; the parts that it reaches are measured anew."""
    plant(monkeypatch, study)
    found = verdicts_with(study, table, measured(study, parts, kept(study)))
    assert {name: found[name] for name in ids} == dict.fromkeys(ids, "false")


def test_every_claim_has_a_planted_error() -> None:
    """None is true by construction."""
    assert planted_ids(PLANTED) == set(CLAIMS)


@pytest.mark.parametrize("case", ["tanh(√ε z)/√ε", "z + ε sin z"])
def test_the_expansion_near_the_identity_is_that_of_the_layer(study: ModuleType, case: str) -> None:
    """φ(z) − z − ε ρ(z) − ε² ρ₂(z) is of order ε³, and ρ' the derivative of ρ."""
    z = np.array([0.7, -1.1])
    value, slope, second = study.rho(case, z)
    left = [np.abs(study.phi(case, z, e) - z - e * value - e**2 * second).max() for e in (0.02, 0.01)]
    assert left[1] < 1e-15 if "sin" in case else left[0] / left[1] == pytest.approx(8, rel=0.05)
    step = 1e-6
    quotient = (study.rho(case, z + step)[0] - study.rho(case, z - step)[0]) / (2 * step)
    assert slope == pytest.approx(quotient, abs=1e-9)
