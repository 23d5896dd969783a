"""The study of the final time under the L² penalty: every claim against a planted error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load

from deeplimit import ridge, variants
from deeplimit.claims import Claim

TIMES, DEPTHS = [1, 4, 16], [4, 8]
POINT, PLANE = "one point, K", "three points, K and b"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("final_time", TIMES=TIMES, DEPTHS=DEPTHS)


def rows(module: ModuleType, settings: list[str]) -> pd.DataFrame:
    """The table of some settings, measured anew."""
    places = product(settings, TIMES, DEPTHS)
    return pd.DataFrame([{"setting": s, "time": T, "depth": n, **module.measure(s, T, n)} for s, T, n in places])


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return rows(study, list(study.X))


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, ...], pd.DataFrame]:
    """Rows with a planted error, shared by the claims that it makes false."""
    return {}


def claim(module: ModuleType, table: pd.DataFrame, name: str) -> Claim:
    (found,) = [c for c in module.claims(table) if c.id == name]
    return found


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests, so that the planted errors below are seen to make the difference."""
    assert {c.id: c.holds for c in study.claims(table)} == {f"E1.{k}": "true" for k in (1, 2, 3, 4, 5, 6, 11)}


def test_an_unsolved_row_leaves_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A solver that failed is no evidence."""
    broken = table.assign(status=table["status"].where(table["time"] != 4, "not converged: planted"))
    assert {c.holds for c in study.claims(broken)} == {"undecided"}


def test_the_bound_is_the_value_of_a_network_that_interpolates(study: ModuleType) -> None:
    """θ = shift/T in every layer costs α T |shift/T|²."""
    assert study.bound(PLANE, 4, 5) == pytest.approx(0.5 * (0.6**2 + 0.9**2) / 4, rel=1e-12)


def layers_without_their_share(self: Any, block: str, stretch: float) -> Any:
    """Σ|θ_i|² without 1/n."""
    return super(ridge.RidgeCoordinates, self)._scaling(block, 1.0)


def time_not_in_the_flow(activation: Any, factor: float) -> Any:
    """X' = σ in place of Tσ."""
    return activation


SHARE = (ridge.RidgeCoordinates, "_scaling", layers_without_their_share)
FLOW = (variants, "_multiple", time_not_in_the_flow)
PLANTED: list[tuple[str, list[str], tuple[Any, str, Callable[..., Any]]]] = [
    ("E1.1", [POINT], SHARE),
    ("E1.2", [POINT], FLOW),
    ("E1.3", [PLANE], FLOW),
    ("E1.4", [POINT], SHARE),
    ("E1.5", [POINT], SHARE),
    ("E1.6", [POINT], SHARE),
    ("E1.11", [POINT], FLOW),
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
    """1/n missing in L², T missing in the flow: measured anew where it matters."""
    key = (*settings, error[1])
    if key not in measured:
        monkeypatch.setattr(*error)
        measured[key] = rows(study, settings)
        monkeypatch.undo()
    planted = pd.concat([table[~table["setting"].isin(settings)], measured[key]])
    assert claim(study, planted, name).holds == "false"
