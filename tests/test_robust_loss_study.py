"""The claims of the study of robustness are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import verdicts, with_failure

from deeplimit import Problem, data, discrete, expansion
from deeplimit.control import Layers
from deeplimit.uncertainty import galerkin, germs, random_loss, robustness

PROBLEM = Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1})
RING = Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean")
SMALL: dict[str, Any] = {
    "PROBLEMS": {"scalar, squared": PROBLEM, "ring, softmax": RING},
    "DEPTHS": [16, 32, 64, 128],
    "STARTS": 3,
    "NOISE": [0.01, 0.1],
    "DRAWS": 5000,
}
CLAIMS = [f"U3.{k}" for k in (*range(4, 13), 14)]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study of two small problems."""
    return load("robust_loss", **SMALL)


def measured(study: ModuleType) -> pd.DataFrame:
    """The table; minima are kept, what is measured at them is not."""
    for name in ("robust", "constants", "laplacian"):
        getattr(study, name).cache_clear()
    return pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(list(study.points())))])


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study)


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests."""
    assert verdicts(study.claims(table)) == dict.fromkeys(CLAIMS, "true")


def test_a_minimum_that_did_not_converge_leaves_the_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """Neither a status of its own nor a failed row is evidence."""
    broken = table.assign(status=table["status"].where(table["depth"] != 32, "not converged: planted"))
    assert set(verdicts(study.claims(broken)).values()) == {"undecided"}
    failed = with_failure(table, 1, "row", "part", "problem", "spread", "quantity", "depth")
    assert set(verdicts(study.claims(failed)).values()) == {"undecided"}


STATES, CORRECTOR, LOSSES = discrete.states, expansion.corrector, robustness.losses
SOLVE, UNIFORM = galerkin.solve, germs.GERMS["uniform"]


def opposite(problem: Problem, limit: Any) -> Any:
    """−η."""
    eta = CORRECTOR(problem, limit)
    return replace(eta, **{block: -getattr(eta, block) for block in ("W", "c")}, **negated(eta))


def negated(eta: Any) -> dict[str, Any]:
    """The series of K and b, negated."""
    return {name: -value for name, value in vars(eta).items() if name not in ("basis", "W", "c")}


PLANTED: list[tuple[str, tuple[Any, str, Any], list[str]]] = [
    (
        "states that are a hundredth too large",
        (discrete, "states", lambda *a: 1.01 * STATES(*a)),
        ["U3.4", "U3.6", "U3.7", "U3.8", "U3.14"],
    ),
    (
        "more noise in layers than in the limit",
        (
            robustness,
            "losses",
            lambda problem, found, spread: LOSSES(
                problem, found, spread * (1.3 if isinstance(found.control, Layers) else 1)
            ),
        ),
        ["U3.5", "U3.6", "U3.8"],
    ),
    ("the corrector's sign", (expansion, "corrector", opposite), ["U3.6", "U3.7", "U3.8", "U3.14"]),
    (
        "noise that is a twentieth too large",
        (robustness, "losses", lambda problem, control, spread: LOSSES(problem, control, 1.05 * spread)),
        ["U3.9", "U3.12"],
    ),
    (
        "draws from (0, 1)",
        (germs, "draw", lambda found, generator, count: generator.uniform(0, 1, (count, len(found)))),
        ["U3.10"],
    ),
    (
        "a shorter time",
        (galerkin, "solve", lambda velocity, start, depth: SOLVE(velocity, start, 0.9, depth)),
        ["U3.11"],
    ),
    ("no target", (random_loss, "_difference", lambda x, y: np.copy(x.coefficients)), ["U3.12"]),
]


@pytest.mark.parametrize(("error", "false"), [plant[1:] for plant in PLANTED], ids=[plant[0] for plant in PLANTED])
def test_a_planted_error_makes_claims_false(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, error: tuple[Any, str, Callable[..., Any]], false: list[str]
) -> None:
    """Measured anew with it, at minima trained without."""
    monkeypatch.setattr(*error)
    found = verdicts(study.claims(measured(study)))
    assert {name for name in false if found[name] == "false"} == set(false)


def test_each_claim_has_a_planted_error() -> None:
    """None is true whatever happens."""
    assert {name for _, _, names in PLANTED for name in names} == set(CLAIMS)
