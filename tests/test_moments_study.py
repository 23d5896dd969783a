"""The claims of the study of the moments are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load
from planting import Plant, planted_ids, verdicts

from deeplimit.meanfield import moments, particles

SMALL: dict[str, Any] = {"DEPTHS": [2**m for m in range(4, 11)], "TIMES": [0.0, 1.0, 2.5], "PARTICLES": 100}
CLAIMS = [f"M2.{k}" for k in range(1, 11)]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("moments", **SMALL)


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    """What it measures."""
    return measured(study)


def measured(study: ModuleType) -> pd.DataFrame:
    """The whole table."""
    return pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(list(study.points())))])


def changed(module: Any, name: str, change: Callable[[Any], Any]) -> Plant:
    """A function of a module replaced by another made from it."""
    return lambda patch: patch.setattr(module, name, change(getattr(module, name)))


def negative(flow: Any) -> Any:
    """Closed forms with −b."""
    return lambda w, b, t, m: flow(w, (lambda s: -b(s)) if callable(b) else -b, t, m)


def slower(limit: Any) -> Any:
    """Particles that are moved by 0.98 w."""
    return lambda name, w, b, t, x: limit(name, 0.98 * w, b, t, x)


def pushed(limit: Any) -> Any:
    """Particles of the line that are moved with b + 0.1."""

    def wrong(name: str, w: Any, b: Any, t: float, x: Any) -> Any:
        more = (lambda s: b(s) + 0.1) if callable(b) else b + 0.1
        return limit(name, w, more if x.ndim == 1 else b, t, x)

    return wrong


# What is wrong, and the claims that must become false.
PLANTED: list[tuple[str, Plant, set[str]]] = [
    ("b with a wrong sign", changed(moments, "flow", negative), {"M2.1"}),
    ("a of e^{1.001 wt}", changed(moments, "affine", lambda f: lambda w, b, t: f(w, b, 1.001 * t)), {"M2.1", "M2.2"}),
    (
        "layers of 1.05 T/L",
        changed(particles, "network", lambda f: lambda name, w, b, T, L, x: f(name, w, b, 1.05 * T, L, x)),
        {"M2.3", "M2.4"},
    ),
    ("a constant without T²", changed(moments, "variance_defect", lambda f: lambda w, T, L: f(w, T, L) / 2), {"M2.4"}),
    ("0.98 w", changed(particles, "limit", slower), {"M2.5", "M2.6", "M2.7", "M2.8", "M2.9", "M2.10"}),
    ("b + 0.1", changed(particles, "limit", pushed), {"M2.5", "M2.6", "M2.7", "M2.9"}),
    (
        "a transposed w",
        changed(moments, "mean_and_covariance", lambda f: lambda w, b, t, m, C: f(w.T, b, t, m, C)),
        {"M2.10"},
    ),
]


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At small sizes as well, and each has an error that makes it false."""
    assert verdicts(study.claims(table)) == dict.fromkeys(CLAIMS, "true")
    assert planted_ids(PLANTED) == set(CLAIMS)


@pytest.mark.parametrize(("plant", "ids"), [pytest.param(*rest, id=name) for name, *rest in PLANTED])
def test_claims_fail_with_a_planted_error(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, plant: Plant, ids: set[str]
) -> None:
    """Those that rest on what is wrong, and no other."""
    plant(monkeypatch)
    found = verdicts(study.claims(measured(study)))
    assert {name for name, verdict in found.items() if verdict != "true"} == ids


def test_a_row_that_failed_leaves_its_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """It keeps its number only; the claims on other parts stand."""
    failed = table.index[table["part"] == "plane"][-1]
    broken = table.copy()
    broken.loc[failed, broken.columns.difference(["row"])] = float("nan")
    broken.loc[failed, "status"] = "failed: ArithmeticError: planted"
    found = verdicts(study.claims(broken))
    assert {name for name, verdict in found.items() if verdict == "undecided"} == {"M2.10"}
