"""The study of the final time under the L² penalty: every claim against a planted error."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load
from planting import RESULTS, claim, measured_anew, row

from deeplimit import ridge, variants
from deeplimit.study import read

TIMES, DEPTHS = [1, 4, 16], [4, 8]
POINT, PLANE = "one point, K", "three points, K and b"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("final_time", TIMES=TIMES, DEPTHS=DEPTHS)


def rows(module: ModuleType, settings: list[str]) -> pd.DataFrame:
    """The table of some settings, measured anew."""
    return measured_anew(module, setting=settings, time=TIMES, depth=DEPTHS)


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return rows(study, list(study.X))


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, ...], pd.DataFrame]:
    """Rows with a planted error, shared by the claims that it makes false."""
    return {}


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests, so that the planted errors below are seen to make the difference."""
    assert {c.id: c.holds for c in study.claims(table)} == {f"E1.{k}": "true" for k in (1, 2, 3, 4, 5, 6, 11)}


def test_an_unsolved_row_leaves_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A solver that failed is no evidence."""
    broken = table.assign(status=table["status"].where(table["time"] != 4, "not converged: planted"))
    assert {c.holds for c in study.claims(broken)} == {"undecided"}


@pytest.mark.parametrize(
    ("name", "column", "place", "factor"),
    [
        ("E1.2", "data_loss", (POINT, 1, DEPTHS[-1]), 30),
        ("E1.3", "data_loss", (PLANE, 4, DEPTHS[-1]), 2),
        ("E1.4", "data_loss", (POINT, 1, DEPTHS[0]), 1.5),
        ("E1.5", "data_loss", (POINT, 4, DEPTHS[0]), 1.5),
        ("E1.6", "weights_gap", (POINT, 16, DEPTHS[-1]), 1.5),
        ("E1.6", "weights_gap", (POINT, 4, DEPTHS[0]), 3),
    ],
)
def test_an_error_in_one_row_makes_the_claim_false(
    study: ModuleType, table: pd.DataFrame, name: str, column: str, place: tuple[str, int, int], factor: float
) -> None:
    """Tolerances do not grow with the error, also where it is in a row from which an extrapolation starts."""
    wrong = table.copy()
    wrong.loc[row(wrong, place), column] *= factor
    assert claim(study, wrong, name).holds == "false"


@pytest.mark.parametrize(
    ("name", "column", "place", "factor"),
    [
        ("E1.5", "data_loss", (POINT, 16, 8), 1.01),
        ("E1.6", "weights_gap", (POINT, 64, 64), 1.01),
        ("E1.3", "data_loss", (PLANE, 4, 64), 1.1),
    ],
)
def test_at_full_size_a_percent_is_seen(name: str, column: str, place: tuple[str, int, int], factor: float) -> None:
    """The tolerances are so much smaller there."""
    module, table = load("final_time"), read(RESULTS / "final_time")
    assert claim(module, table, name).holds == "true"
    table.loc[row(table, place), column] *= factor
    assert claim(module, table, name).holds == "false"


def test_a_number_that_is_missing_leaves_its_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """It is not passed over as the largest of the others is formed."""
    broken = table.copy()
    broken.loc[0, ["value", "data_loss", "weights_gap"]] = float("nan")
    found = {c.id for c in study.claims(broken) if c.holds == "undecided"}
    assert found == {"E1.1", "E1.4", "E1.5", "E1.6", "E1.11"}


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
