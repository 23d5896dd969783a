"""The claims of the study of scaling regimes are true, and false with an error in what they rest on."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from loading import load

from deeplimit import plot
from deeplimit.rough import diffusion, scaling
from deeplimit.rough.diffusion import Noise

SMALL: dict[str, Any] = {
    "DEPTHS": [32, 64, 128],
    "FEATURES": 8,
    "POINTS": 30,
    "EPOCHS": 30,
    "SEEDS": 1,
    "GIVEN_DEPTHS": [64, 256, 1024],
    "NOISE_DEPTHS": [32, 64, 128, 256],
    "FINE": 1024,
    "PATHS": 500,
    "CRITICAL_DEPTHS": [64, 256],
    "MAP_HURSTS": [0.5],
    "MAP_BETAS": [0.5, 1.0],
    "WIDTH": 8,
}
CLAIMS = [*(f"C1.{k}" for k in range(1, 12)), *(f"C2.{k}" for k in range(1, 4))]


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes, nothing measured yet."""
    return load("scaling_regimes", **SMALL)


def measured(study: ModuleType, *parts: str) -> pd.DataFrame:
    """The rows of some parts, by default all."""
    rows = [row for row, (part, *_) in enumerate(study.points()) if not parts or part in parts]
    return pd.DataFrame([study.measure(row) for row in rows])


def false(claims: list[Any]) -> set[str]:
    return {claim.id for claim in claims if claim.holds == "false"}


def test_claims_hold(study: ModuleType) -> None:
    """All of them; a row that failed leaves them undecided."""
    table = measured(study)
    assert {claim.id: claim.holds for claim in study.claims(table)} == dict.fromkeys(CLAIMS, "true")
    table.loc[1, "status"] = "failed: ValueError: planted"
    assert {claim.holds for claim in study.claims(table)} == {"undecided"}


def test_a_forgotten_step_is_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variations of the weights instead of the path: without δ nothing is bounded; and increments that do not fall."""
    right = scaling.diagnose

    def wrong(weights: Any, step: float) -> dict[str, float]:
        found = right(weights, 1.0)
        return found | {"increment": found["largest"] * len(weights) ** 0.1, "largest": len(weights) ** 0.1}

    monkeypatch.setattr(scaling, "diagnose", wrong)
    fits = study.sweeps(measured(study, "given", "trained"))
    assert false(study.regimes(fits, ())) == {f"C1.{k}" for k in (1, 2, 3, 4, 5, 10, 11)}


def test_norms_of_another_power_of_depth_are_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that forget δ: another index, and norms that grow with depth."""
    right = study.norms
    monkeypatch.setattr(study, "norms", lambda weights, step: right(weights, 1.0))
    fits = study.sweeps(measured(study, "given", "trained"))
    assert false(study.regimes(fits, ())) == {"C1.8", "C1.9"}


def test_exponents_are_means_over_seeds_with_standard_errors(study: ModuleType) -> None:
    """Two seeds of total variations n⁰ and n^½: 1/4 ± 1/4; the least p from which ‖w‖_p no longer grows."""
    depth = np.array([16, 64])
    rows = []
    for seed, power in ((0, 0.0), (1, 0.5)):
        columns: dict[str, Any] = dict.fromkeys(scaling.QUANTITIES, 1.0)
        columns |= {study.norm(p): depth ** (power if p == 1 else 0.0) for p in study.EXPONENTS}
        rows.append(pd.DataFrame({"part": "trained", "case": "a", "seed": seed, "depth": depth} | columns))
    (found,) = study.sweeps(pd.concat(rows)).to_dict("records")
    assert (found["index"], found["index_error"]) == pytest.approx((0.75, 0.25))
    assert found["bounded_from"] == study.EXPONENTS[1] and found["seeds"] == 2


def test_a_network_without_the_second_derivative_is_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear σ: the limit with the term is missed, weakly and along paths, and the one without it is met."""
    monkeypatch.setattr(Noise, "sigma", lambda self, z: self.slopes[0] * z)
    table = measured(study, "weak", "strong")
    weak, strong = (table[table["part"] == part] for part in ("weak", "strong"))
    assert false(study.stochastic(weak, strong, ())) == {"C2.1", "C2.2", "C2.3"}


def test_paths_that_are_cut_instead_of_coarsened_are_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first n of the finest increments, which are too small for their grid: another power of n."""
    monkeypatch.setattr(diffusion, "coarsened", lambda increments, factor: increments[: len(increments) // factor])
    assert false(study.criticals(measured(study, "critical"), ())) == {"C1.6", "C1.7"}


def test_the_map_is_drawn(study: ModuleType) -> None:
    """A rectangle of H and β, coloured, with the predicted line."""
    table = measured(study, "map")
    grid = table.assign(critical=table["hurst"])
    drawn = plot.heat(grid, x="beta", y="hurst", z="value", line="critical")
    assert isinstance(drawn, matplotlib.figure.Figure)
    mesh = drawn.axes[0].collections[0]
    values = mesh.get_array()
    assert np.allclose(np.ma.getdata(values).ravel(), table["value"].clip(-1, 1), rtol=1e-12)
