"""The claims of the study of Γ-convergence are true, and false with an error in what they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load

from deeplimit.claims import Claim
from deeplimit.coordinates import Coordinates, LayerCoordinates
from deeplimit.sweep import Flow

SMALL: dict[str, Any] = {
    "DEPTHS": [64, 128, 256, 512, 1024],
    "TRAINED_DEPTHS": [16, 32, 64, 128, 256],
    "STARTS": 4,
}
RECOVERY, LIMINF = [f"T1.{k}" for k in range(5, 10)], [f"P2.{k}" for k in (1, 2, 4, 5, 6, 7)]


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes on the scalar problem, nothing measured yet."""
    module = load("gamma", **SMALL)
    module.MINIMISERS.pop("minimisers, ring")
    return module


def measured(study: ModuleType, parts: list[str]) -> pd.DataFrame:
    """The rows of some parts."""
    wanted = [row for row, (part, _, _) in enumerate(study.points()) if part in parts]
    return pd.DataFrame([study.measure(row) for row in wanted])


def holds(claims: list[Claim]) -> dict[str, str]:
    """The verdict of each."""
    return {claim.id: claim.holds for claim in claims}


def failing(study: ModuleType) -> set[str]:
    """The claims on recovery that are false, measured anew."""
    found = holds(study.claims_recovery(measured(study, study.GAPS)))
    return {name for name in RECOVERY if found[name] == "false"}


def stretch(monkeypatch: pytest.MonkeyPatch, factor: Callable[[int], float]) -> None:
    """R_n with factor(n)² in place of n."""

    def wrong(self: LayerCoordinates, metric: Any, depth: int, device: str = "cpu") -> None:
        Coordinates.__init__(self, metric, depth, factor(depth), device)

    monkeypatch.setattr(LayerCoordinates, "__init__", wrong)


def test_claims_on_recovery(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong step leaves no convergence of the data term; a wrong regulariser none of its own."""
    assert holds(study.claims_recovery(measured(study, study.GAPS))) == dict.fromkeys(RECOVERY, "true")
    with monkeypatch.context() as patch:
        patch.setattr(Flow, "step", property(lambda self: -1.05 / self.steps))
        assert failing(study) == {"T1.5", "T1.6", "T1.7"}
    stretch(monkeypatch, lambda n: 1.2 * math.sqrt(n))
    assert failing(study) == {"T1.5", "T1.6", "T1.8", "T1.9"}


def test_claims_on_sequences(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a regulariser that is too small oscillations are too cheap, and minima lie below the limit's.

    A minimiser that did not converge carries no claim; claims on other rows are left.
    """
    table = measured(study, ["liminf"])
    assert holds(study.claims_liminf(table)) == dict.fromkeys(LIMINF, "true")
    table.loc[table["case"] == "minimisers, scalar", "status"] = "not converged"
    found = holds(study.claims_liminf(table))
    assert (found["P2.1"], found["P2.2"], found["P2.6"]) == ("undecided", "undecided", "true")
    study.trained.cache_clear()
    stretch(monkeypatch, lambda n: 0.8 * math.sqrt(n))
    assert holds(study.claims_liminf(measured(study, ["liminf"]))) == dict.fromkeys(LIMINF, "false")


def test_a_row_that_failed_leaves_its_claims_undecided(study: ModuleType) -> None:
    """It keeps its number only; the claims on other cases stand."""
    vars(study)["DEPTHS"] = [64, 128, 256]
    table = measured(study, [*study.GAPS, "liminf"]).assign(row=lambda rows: rows.index)
    failed = table.index[table["case"] == "oscillating"][-1]
    table.loc[failed, table.columns.difference(["row"])] = float("nan")
    table.loc[failed, "status"] = "failed: RuntimeError: planted"
    found = holds(study.claims(table))
    assert (found["P2.2"], found["P2.7"], found["P2.6"]) == ("undecided", "undecided", "true")
