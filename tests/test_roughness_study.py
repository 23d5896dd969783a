"""The claims of the study of roughness are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load

from deeplimit import rough
from deeplimit.rough import variation

SMALL: dict[str, Any] = {"DEPTHS": [2**m for m in range(7, 12, 2)], "SEEDS": 4, "SHORT_PATHS": 2, "SHORT": 9}
CLAIMS = ["B1.1", "B1.2", *(f"B2.{k}" for k in range(1, 10))]


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes, nothing measured yet."""
    return load("roughness", **SMALL)


def measured(study: ModuleType) -> pd.DataFrame:
    return pd.DataFrame([study.measure(row) for row in range(len(list(study.points())))])


def failing(study: ModuleType) -> set[str]:
    return {claim.id for claim in study.claims(measured(study)) if claim.holds == "false"}


def test_claims_hold(study: ModuleType) -> None:
    """All of them; a row that failed leaves them undecided."""
    table = measured(study)
    assert {claim.id: claim.holds for claim in study.claims(table)} == dict.fromkeys(CLAIMS, "true")
    table.loc[3, "status"] = "failed: ValueError: planted"
    assert {claim.holds for claim in study.claims(table)} == {"undecided"}


def test_a_maximum_that_misses_its_partition_is_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second point left out: a smaller sum on short paths and on the square, while the rates stay."""
    right: Callable[..., Any] = variation.p_variation

    def wrong(path: Any, p: float) -> Any:
        points = np.asarray(path)
        return right(np.concatenate([points[:-1:2], points[-1:]]), p)

    monkeypatch.setattr(rough, "p_variation", wrong)
    assert failing(study) == {"B1.1", "B1.2"}


@pytest.mark.parametrize(
    ("power", "wrong"), [(-0.5, {f"B2.{k}" for k in range(1, 5)}), (0.5, {f"B2.{k}" for k in range(1, 10)})]
)
def test_weights_of_another_scale_are_found(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, power: float, wrong: set[str]
) -> None:
    """A factor √n forgotten: norms that fall violate the rates alone, norms that grow the upper bounds as well."""
    right = study.coarsened

    def scaled(increments: np.ndarray, factor: int) -> np.ndarray:
        found: np.ndarray = right(increments, factor)
        return found * len(found) ** power

    monkeypatch.setattr(study, "coarsened", scaled)
    assert failing(study) == wrong
