"""The claims of the study of decay are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import verdicts, with_failure

from deeplimit.uncertainty import decay
from deeplimit.uncertainty.bases import Basis

SMALL: dict[str, Any] = {"WEIGHTS": [1], "SPREADS": [1.0], "KINK_DEGREES": [16, 32, 64, 128, 256]}
CLAIMS = [f"U1.{k}" for k in range(1, 8)]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("chaos_decay", **SMALL)


def measured(study: ModuleType) -> pd.DataFrame:
    """The table, nothing kept from before."""
    study.coefficients.cache_clear()
    study.kinked.cache_clear()
    return pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(list(study.points())))])


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study)


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests."""
    assert verdicts(study.claims(table)) == dict.fromkeys(CLAIMS, "true")


def test_a_row_that_failed_leaves_the_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """It is no evidence."""
    assert set(verdicts(study.claims(with_failure(table, 3, "row", "part", "case", "number"))).values()) == {
        "undecided"
    }


SINGULARITIES = decay.singularities
AT = Basis.at
PLANTED: list[tuple[str, tuple[Any, str, Callable[..., Any]], list[str]]] = [
    (
        "the sign of wT",
        (decay, "singularities", lambda growth, mean, spread: SINGULARITIES(-growth, mean, spread)),
        ["U1.3", "U1.4", "U1.7"],
    ),
    (
        "δ a tenth too large",
        (decay, "singularities", lambda growth, mean, spread: SINGULARITIES(growth, mean, 1.1 * spread)),
        ["U1.1", "U1.2"],
    ),
    (
        "the slope's jump without −1",
        (decay, "kink_constant", lambda growth, mean, spread: spread * np.exp(growth) / np.sqrt(6 * np.pi)),
        ["U1.6"],
    ),
    (
        "polynomials that are not normalised",
        (Basis, "at", lambda self, xi: AT(self, xi) / np.sqrt(2 * self.indices[:, 0] + 1)),
        ["U1.5", "U1.6"],
    ),
]


@pytest.mark.parametrize(("error", "false"), [(e, f) for _, e, f in PLANTED], ids=[name for name, _, _ in PLANTED])
def test_a_planted_error_makes_claims_false(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, error: tuple[Any, str, Callable[..., Any]], false: list[str]
) -> None:
    """Measured anew with it."""
    monkeypatch.setattr(*error)
    found = verdicts(study.claims(measured(study)))
    assert {name for name in false if found[name] == "false"} == set(false)


def test_each_claim_has_a_planted_error() -> None:
    """None is true whatever happens."""
    assert {name for _, _, names in PLANTED for name in names} == set(CLAIMS)
