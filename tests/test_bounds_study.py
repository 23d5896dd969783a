"""The claims of the study of a-priori bounds are true, and false with an error in what they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load

from deeplimit import gamma
from deeplimit.coordinates import Coordinates, LayerCoordinates

SMALL: dict[str, Any] = {
    "TRAINED": ["scalar"],
    "TRAINED_DEPTHS": [16, 32],
    "STARTS": 4,
    "DRAWS": 10,
    "DRAW_DEPTHS": [1, 2, 60],
    "POINTS": 10,
    "POINT_DEPTHS": [1, 8],
}


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes on the scalar problem."""
    module = load("bounds", **SMALL)
    module.PROBLEMS["ring"] = module.PROBLEMS["scalar"]
    return module


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study, ["Jensen", "minimisers", "random points"])


def measured(study: ModuleType, parts: list[str]) -> pd.DataFrame:
    """The rows of some parts."""
    wanted = [row for row, (part, _, _) in enumerate(study.points()) if part in parts]
    return pd.DataFrame([study.measure(row) for row in wanted])


def verdicts(study: ModuleType, table: pd.DataFrame) -> list[str]:
    """Of T11.1, T11.2, P4.1 and P4.2."""
    found = {claim.id: claim.holds for claim in study.claims(table)}
    return [found.pop(name) for name in ("T11.1", "T11.2", "P4.1", "P4.2")]


def stretch(monkeypatch: pytest.MonkeyPatch, factor: Callable[[int], float]) -> None:
    """R_n with factor(n)² in place of n."""

    def wrong(self: LayerCoordinates, metric: Any, depth: int, device: str = "cpu") -> None:
        Coordinates.__init__(self, metric, depth, factor(depth), device)

    monkeypatch.setattr(LayerCoordinates, "__init__", wrong)


def test_claims_on_bounds_are_true(study: ModuleType, table: pd.DataFrame) -> None:
    """And undecided where a minimiser did not converge."""
    assert verdicts(study, table) == ["true"] * 4
    assert verdicts(study, table.assign(status="not converged")) == ["undecided"] * 4


def test_a_regulariser_that_is_too_large_breaks_jensen(
    study: ModuleType, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One per cent is enough."""
    stretch(monkeypatch, lambda n: 1.005 * math.sqrt(n))
    wrong = pd.concat([measured(study, ["Jensen"]), table[table["part"] != "Jensen"]])
    assert verdicts(study, wrong) == ["false", "false", "true", "true"]


def test_bounds_that_multiply_by_alpha_are_too_small(
    study: ModuleType, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(C₀ α)^½ in place of (C₀/α)^½."""
    monkeypatch.setattr(gamma, "_root", lambda top, bottom: math.sqrt(top * bottom))
    wrong = pd.concat([table[table["part"] == "Jensen"], measured(study, ["minimisers", "random points"])])
    assert verdicts(study, wrong) == ["true", "true", "false", "false"]
