"""The claims of the study of speed are true, and false where a computation is slow or large or a row is missing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load

from deeplimit import kernels

SMALL: dict[str, Any] = {"STEPS": {"Brownian": 600, "whole steps": 600}, "EXPONENTS": [2.0], "POINTS": 300}
SMALL |= {"DIMENSIONS": 40, "REPEATS": 1}
CLAIMS = [f"B1.{k}" for k in range(3, 8)]


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes."""
    return load("rough_speed", **SMALL)


def measured(study: ModuleType) -> pd.DataFrame:
    return pd.DataFrame([study.measure(row) for row in range(len(list(study.cases())))])


def test_rows_are_measured_and_the_choice_of_loops_is_left_as_it_was(study: ModuleType) -> None:
    """Both kinds of loops find one norm; another path another one; the norm is that of its partition's size."""
    pytest.importorskip("numba")
    before = kernels.wanted()
    table = measured(study)
    assert kernels.wanted() == before and set(table["status"]) == {study.DONE}
    values = table.pivot_table(index="path", columns="loops", values="norm")
    assert np.allclose(values["plain"].loc[list(study.STEPS)], values["compiled"].loc[list(study.STEPS)], rtol=1e-13)
    assert table.loc[table["loops"] == "plain", "norm"].nunique() == 4
    assert (table["parts"] < table["points"]).all() and (table["peak_gb"] > 0).all()


@pytest.mark.parametrize(
    ("path", "loops", "column", "value", "wrong"),
    [
        ("Brownian", "plain", "seconds", 11.0, "B1.3"),
        ("whole steps", "compiled", "seconds", 1.1, "B1.4"),
        ("Brownian", "plain", "peak_gb", 1.1, "B1.5"),
        ("clusters", "plain", "seconds", 11.0, "B1.6"),
        ("clusters", "plain", "peak_gb", 1.1, "B1.7"),
    ],
)
def test_each_claim_is_false_where_its_bound_is_broken(
    study: ModuleType, path: str, loops: str, column: str, value: float, wrong: str
) -> None:
    """One number above the bound; a row that was not measured leaves its claims undecided."""
    rows = [
        {"path": a, "loops": b, "p": p, "points": 600, "seconds": 0.5, "peak_gb": 0.5, "status": study.DONE}
        for a, b, p in study.cases()
    ]
    table = pd.DataFrame(rows)
    assert {claim.id: claim.holds for claim in study.claims(table)} == dict.fromkeys(CLAIMS, "true")
    chosen = (table["path"] == path) & (table["loops"] == loops)
    table.loc[chosen, column] = value
    assert {claim.id for claim in study.claims(table) if claim.holds == "false"} == {wrong}
    table.loc[chosen, "status"] = study.ABSENT
    assert wrong in {claim.id for claim in study.claims(table) if claim.holds == "undecided"}
