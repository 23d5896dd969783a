"""The claims of the study of forward errors are true, and false with an error in what they rest on."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load

from deeplimit.sweep import Flow

SMALL: dict[str, Any] = {"DEPTHS": [64, 128, 256, 512, 1024], "TANH_DEPTHS": [16, 32, 64, 128, 256]}
CLAIMS = [*(f"T1.{k}" for k in range(1, 5)), *(f"T2.{k}" for k in range(1, 8))]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("forward", **SMALL)


def measured(study: ModuleType) -> pd.DataFrame:
    """The table, no network kept from before."""
    study.state_errors.cache_clear()
    return pd.DataFrame([study.measure(row) for row in range(len(list(study.points())))])


def verdicts(study: ModuleType, table: pd.DataFrame) -> dict[str, str]:
    return {claim.id: claim.holds for claim in study.claims(table)}


def test_claims_fail_with_a_wrong_step(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """X_i = X_{i−1} − (1.05/n) σ, a wrong sign and a wrong factor: the states tend to those of another equation."""
    assert verdicts(study, measured(study)) == dict.fromkeys(CLAIMS, "true")
    monkeypatch.setattr(Flow, "step", property(lambda self: -1.05 / self.steps))
    assert verdicts(study, measured(study)) == dict.fromkeys(CLAIMS, "false")


def test_a_row_that_failed_leaves_the_claims_undecided(study: ModuleType) -> None:
    """An integration that broke off is no evidence."""
    table = measured(study).assign(row=lambda rows: rows.index)
    table.loc[3, "status"] = "failed: RuntimeError: planted"
    assert set(verdicts(study, table).values()) == {"undecided"}
