"""The claims of the study of the mean-field limit are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import Plant, planted_ids, verdicts

from deeplimit.meanfield import flows, particles, reconstruction, transport

SMALL: dict[str, Any] = {
    "SIZES": [2**m for m in range(5, 11)],
    "DEPTHS": [2**m for m in range(3, 9)],
    "CELLS": [100, 200, 400],
    "FINE": [800, 1600],
    "STEPS": 300,
    "SAMPLE": 1000,
}
CLAIMS = [*(f"M1.{k}" for k in range(1, 11)), *(f"M3.{k}" for k in range(1, 8))]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("mean_field", **SMALL)


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    """What it measures."""
    rows = range(len(list(study.points())))
    return pd.DataFrame([{"row": row, **study.measure(row)} for row in rows])


def changed(module: Any, name: str, change: Callable[[Any], Any]) -> Plant:
    """A function of a module replaced by another made from it."""
    return lambda patch: patch.setattr(module, name, change(getattr(module, name)))


def lossy(_: Any) -> Any:
    """A cell receives a little less than the one before it gives."""

    def fluxes(change: np.ndarray, v: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
        flux = np.maximum(v, 0) * before + np.minimum(v, 0) * after
        change[:-1] -= flux
        change[1:] += (1 - 1e-9) * flux

    return fluxes


def upstream(_: Any) -> Any:
    """WENO without its reconstruction: the averages for the values at the ends."""
    return lambda g: (g, g)


FASTER = lambda solve: lambda grid, g, name, w, b, *rest, **how: solve(grid, g, name, w, b + 0.1, *rest, **how)  # noqa: E731

# The parts that are measured anew, what is wrong in them, and the claims that must become false.
PLANTED: list[tuple[list[str], Plant, set[str]]] = [
    (["iid"], changed(particles, "drawn", lambda f: lambda *a: f(*a) + 0.3), {"M1.1", "M1.2", "M1.5"}),
    (["iid"], changed(particles, "drawn", lambda f: lambda Q, M, seed: f(Q, M // 2, seed)), {"M1.5"}),
    (
        ["quantiles"],
        changed(particles, "at_quantiles", lambda _: lambda Q, M: Q((np.arange(M) + 0.999) / M)),
        {"M1.6"},
    ),
    (["quantiles"], changed(particles, "at_quantiles", lambda f: lambda *a: 1.01 * f(*a)), {"M1.3", "M1.4", "M1.6"}),
    (
        ["iid", "quantiles"],
        changed(flows, "flow", lambda f: lambda name, w, b, t, x: f(name, w, b, 1.2 * t, x)),
        {"M1.6", "M1.7", "M1.8"},
    ),
    (
        ["iid", "quantiles"],
        changed(flows, "quantile", lambda f: lambda name, w, b, t, Q: f(name, w, b, 1.2 * t, Q)),
        {"M1.2", "M1.4", "M1.5", "M1.6", "M1.7", "M1.8"},
    ),
    (
        ["layers"],
        changed(particles, "network", lambda f: lambda name, w, b, time, L, x: f(name, w, b, 1.05 * time, L, x)),
        {"M1.9", "M1.10"},
    ),
    (["layers"], changed(flows, "jacobian", lambda f: lambda *a: 1.1 * f(*a)), {"M1.10"}),
    (["flow"], changed(flows, "flow", lambda f: lambda name, w, b, t, x: f(name, w, -b, t, x)), {"M3.1"}),
    (["volumes"], changed(transport, "solve", FASTER), {"M3.2", "M3.3", "M3.4"}),
    (["volumes"], changed(reconstruction, "at_ends", upstream), {"M3.4"}),
    (["mass"], changed(transport, "_add_fluxes", lossy), {"M3.5", "M3.6"}),
    (["mass"], changed(reconstruction, "positive", lambda _: lambda g, left, right: (left, right)), {"M3.7"}),
]


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At small sizes as well, and each has an error that makes it false."""
    assert verdicts(study.claims(table)) == dict.fromkeys(CLAIMS, "true")
    assert planted_ids(PLANTED) == set(CLAIMS)


@pytest.mark.parametrize(("parts", "plant", "ids"), PLANTED)
def test_claims_fail_with_a_planted_error(
    study: ModuleType,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    parts: list[str],
    plant: Plant,
    ids: set[str],
) -> None:
    """Those that rest on what is wrong, and no other."""
    plant(monkeypatch)
    wrong = table[table["part"].isin(parts)]
    found = pd.DataFrame([{"row": row, **study.measure(row)} for row in wrong["row"]], index=wrong.index)
    mixed = pd.concat([table.drop(wrong.index), found]).sort_index()
    failing = {name for name, verdict in verdicts(study.claims(mixed)).items() if verdict != "true"}
    assert failing == ids


def test_a_row_that_failed_leaves_its_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """It keeps its number only; the claims on other parts stand."""
    failed = table.index[table["part"] == "layers"][-1]
    broken = table.copy()
    broken.loc[failed, broken.columns.difference(["row"])] = float("nan")
    broken["status"] = broken["status"].astype(object)
    broken.loc[failed, "status"] = "failed: ValueError: planted"
    found = verdicts(study.claims(broken))
    assert {name for name, verdict in found.items() if verdict == "undecided"} == {"M1.9", "M1.10"}
