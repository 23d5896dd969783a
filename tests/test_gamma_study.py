"""The claims of the study of Γ-convergence are true, and false with an error in what they rest on."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load

from deeplimit import gamma
from deeplimit.claims import Claim
from deeplimit.coordinates import Coordinates, LayerCoordinates
from deeplimit.sweep import Flow

SMALL: dict[str, Any] = {
    "DEPTHS": [64, 128, 256, 512, 1024],
    "TANH_DEPTHS": [16, 32, 64, 128, 256],
    "TRAINED_DEPTHS": [16, 32, 64, 128, 256],
    "STARTS": 4,
    "MINIMISERS": {"minimisers, scalar": "scalar"},
    "RANDOM": {"random points, scalar": "scalar", "random points, fixed head": "scalar, fixed head"},
    "DRAWS": 10,
    "DRAW_DEPTHS": [1, 2, 60],
    "POINTS": 10,
    "POINT_DEPTHS": [1, 8],
}
FORWARD = {"T1.1", "T1.2", "T1.3", "T1.4", "T1.5", "T1.6", "T1.7"}


def measured(study: ModuleType, parts: set[str]) -> pd.DataFrame:
    """The rows of some parts."""
    wanted = [row for row, (part, _, _) in enumerate(study.points()) if part in parts]
    return pd.DataFrame([study.measure(row) for row in wanted])


def verdicts(study: ModuleType, parts: set[str], claims: str) -> dict[str, str]:
    """The verdicts on these rows, by one of the study's functions."""
    return holds(getattr(study, claims)(measured(study, parts)))


def holds(claims: list[Claim]) -> dict[str, str]:
    """The verdict of each."""
    return {claim.id: claim.holds for claim in claims}


def step_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """X_i = X_{i−1} − (1.05/n) σ: a wrong sign and a wrong factor."""
    monkeypatch.setattr(Flow, "step", property(lambda self: -1.05 / self.steps))


def stretch(monkeypatch: pytest.MonkeyPatch, factor: Any) -> None:
    """R_n with factor(n)² in place of n."""

    def wrong(self: LayerCoordinates, metric: Any, depth: int, device: str = "cpu") -> None:
        Coordinates.__init__(self, metric, depth, factor(depth), device)

    monkeypatch.setattr(LayerCoordinates, "__init__", wrong)


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes, nothing measured yet."""
    return load("gamma", **SMALL)


def test_claims_on_given_weights(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong step leaves no convergence of the states; a regulariser one per cent too large none of its gap."""
    parts = set(study.GIVEN_PARTS)
    names = FORWARD | {"T1.8", "T1.9"}
    assert verdicts(study, parts, "claims_given") == dict.fromkeys(names, "true")
    with monkeypatch.context() as patch:
        step_backwards(patch)
        found = verdicts(study, parts, "claims_given")
        assert {name for name in names if found[name] == "false"} == FORWARD
    stretch(monkeypatch, lambda n: 1.2 * math.sqrt(n))
    found = verdicts(study, parts, "claims_given")
    assert {name for name in names if found[name] == "false"} == {"T1.5", "T1.6", "T1.8", "T1.9"}


def test_claims_on_hoelder_weights(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wrong step the states tend to those of another equation."""
    names = [f"T2.{k}" for k in range(1, 8)]
    assert verdicts(study, {"Hölder"}, "claims_hoelder") == dict.fromkeys(names, "true")
    step_backwards(monkeypatch)
    study.state_errors.cache_clear()
    assert verdicts(study, {"Hölder"}, "claims_hoelder") == dict.fromkeys(names, "false")


def test_claims_on_sequences(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the n of the regulariser oscillations are free, and minima lie below the limit's.

    A minimiser that did not converge carries no claim; claims on other rows are left.
    """
    names = [f"P2.{k}" for k in range(1, 8)]
    table = measured(study, {"liminf"})
    assert holds(study.claims_liminf(table)) == dict.fromkeys(names, "true")
    table.loc[table["case"] == "minimisers, scalar", "status"] = "not converged"
    found = holds(study.claims_liminf(table))
    assert (found["P2.1"], found["P2.2"], found["P2.6"]) == ("undecided", "undecided", "true")
    study.trained.cache_clear()
    stretch(monkeypatch, lambda n: 1.0)
    assert verdicts(study, {"liminf"}, "claims_liminf") == dict.fromkeys(names, "false")


def test_claims_on_bounds(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A regulariser one per cent too large breaks Jensen's inequality, bounds that multiply by α are too small."""
    names = ["T11.1", "T11.2", "P4.1", "P4.2"]
    parts = {"Jensen", "compactness"}
    assert verdicts(study, parts, "claims_bounds") == dict.fromkeys(names, "true")
    with monkeypatch.context() as patch:
        stretch(patch, lambda n: 1.005 * math.sqrt(n))
        found = verdicts(study, {"Jensen"}, "claims_bounds")
        assert (found["T11.1"], found["T11.2"]) == ("false", "false")
    monkeypatch.setattr(gamma, "_root", lambda top, bottom: math.sqrt(top * bottom))
    found = verdicts(study, parts, "claims_bounds")
    assert (found["P4.1"], found["P4.2"]) == ("false", "false")
