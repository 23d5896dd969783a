"""The claims of the study of random inputs are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import verdicts, with_failure

from deeplimit.uncertainty import galerkin, germs, monte_carlo, random_loss, transport, velocities
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.fields import Field

SMALL: dict[str, Any] = {
    "REPLICAS": 60,
    "CELLS": [100, 200, 400],
    "DEPTHS": [4, 16, 64],
    "TERMS": [1, 3],
    "SIGNAL_DRAWS": 4000,
}
CLAIMS = [*(f"U1.{k}" for k in range(8, 15)), *(f"U{n}.{k}" for n in (2, 3) for k in (1, 2, 3)), "U2.4", "U3.13"]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("uncertainty", **SMALL)


def measured(study: ModuleType, parts: tuple[str, ...] = ()) -> pd.DataFrame:
    """The rows of some parts, or all, nothing kept from before."""
    for name in ("exact", "limit", "layer_constant", "signals", "law"):
        getattr(study, name).cache_clear()
    places = [(k, point[0]) for k, point in enumerate(study.points())]
    return pd.DataFrame([{"row": k, **study.measure(k)} for k, name in places if not parts or name in parts])


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study)


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests."""
    assert verdicts(study.claims(table)) == dict.fromkeys(CLAIMS, "true")


def test_a_row_that_failed_leaves_the_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """It is no evidence."""
    broken = with_failure(table, 3, "row", "part", "case", "number")
    assert set(verdicts(study.claims(broken)).values()) == {"undecided"}


ADVANCE, SIMRESNET, MATRICES = velocities.advance, velocities.simresnet, transport.matrices
SOLVE, DRAWS, TRIPLES, SQUARED = transport.solve, monte_carlo.draws, Basis.triples, random_loss.squared
PLANTED: list[tuple[str, tuple[Any, str, Any], tuple[str, ...], list[str]]] = [
    (
        "no bias",
        (velocities, "simresnet", lambda w, b, activation="tanh": SIMRESNET(w, 0.0, activation)),
        ("method", "diagram"),
        ["U1.8", "U1.9", "U1.11"],
    ),
    (
        "a step of T/(L + 1)",
        (
            galerkin,
            "advance",
            lambda rate, x, time, depth: ADVANCE(rate, x, time * (depth or 1) / ((depth or 0) + 1), depth),
        ),
        ("diagram",),
        ["U1.10", "U1.11"],
    ),
    (
        "matrices without the weights' mean",
        (transport, "matrices", lambda *a, **k: 1.1 * MATRICES(*a, **k)),
        ("hyperbolic", "upwind"),
        ["U1.12", "U1.13"],
    ),
    (
        "a longer time",
        (transport, "solve", lambda start, edges, w, b, name, time: SOLVE(start, edges, w, b, name, 1.1 * time)),
        ("upwind",),
        ["U1.13"],
    ),
    (
        "a tail that begins a term early",
        (Field, "tail", property(lambda self: float(self.eigenvalues[self.terms - 1 :].sum()))),
        ("field",),
        ["U1.14"],
    ),
    (
        "draws that repeat after 100",
        (monte_carlo, "draws", lambda f, germs, count, seed: np.resize(DRAWS(f, germs, 100, seed), count)),
        ("monte carlo",),
        ["U2.1", "U2.2", "U2.3"],
    ),
    (
        "a field with uniform germs of variance 1/3",
        (
            Field,
            "at",
            lambda self, xi: self.mean + xi * np.sqrt(self.eigenvalues[: self.terms]) @ self.modes[:, : self.terms].T,
        ),
        ("field",),
        ["U1.14"],
    ),
    (
        "draws from (0, 1)",
        (germs, "draw", lambda found, generator, count: generator.uniform(0, 1, (count, len(found)))),
        ("signals",),
        ["U2.4"],
    ),
    (
        "a target of 1.05 in the loss",
        (random_loss, "squared", lambda x, y: SQUARED(x, 1.05 * y)),
        ("law",),
        ["U3.13"],
    ),
    (
        "no target",
        (random_loss, "_difference", lambda x, y: x.coefficients.reshape(x.basis.size, -1)),
        ("loss",),
        ["U3.1", "U3.2", "U3.3"],
    ),
    (
        "triple products of degrees above K left out",
        (Basis, "triples", lambda self, onto: TRIPLES(self, onto) * (onto.indices.sum(1) <= self.degree)),
        ("loss",),
        ["U3.2", "U3.3"],
    ),
]


@pytest.mark.parametrize(
    ("error", "parts", "false"), [plant[1:] for plant in PLANTED], ids=[plant[0] for plant in PLANTED]
)
def test_a_planted_error_makes_claims_false(
    study: ModuleType,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    error: tuple[Any, str, Callable[..., Any]],
    parts: tuple[str, ...],
    false: list[str],
) -> None:
    """Its parts measured anew with it."""
    monkeypatch.setattr(*error)
    planted = pd.concat([table[~table["part"].isin(parts)], measured(study, parts)], ignore_index=True)
    found = verdicts(study.claims(planted))
    assert {name for name in false if found[name] == "false"} == set(false)


def test_each_claim_has_a_planted_error() -> None:
    """None is true whatever happens."""
    assert {name for plant in PLANTED for name in plant[3]} == set(CLAIMS)
