"""The claims on both limits of training are true, and false with an error in what they rest on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, Plant, measured, redone, verdicts, verdicts_with, with_failure

from deeplimit import continuum, discrete, expansion
from deeplimit.meanfield import particles
from deeplimit.minimum import Minimum
from deeplimit.study import read

CLAIMS = [f"M6.{k}" for k in range(12, 22)]
SMALL: dict[str, Any] = {
    "DEPTHS": [8, 16, 32, 64],
    "QUANTILES": [16, 32, 64],
    "LIMITS": [64, 128, 256],
    "DRAWN": [16, 256],
    "REPLICAS": 30,
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """What the study measures at small sizes."""
    return measured(load("training_limits", **SMALL))


def left_quantiles(patch: pytest.MonkeyPatch) -> None:
    """F⁻¹((i − 0.51)/S): no midpoints any more."""
    patch.setattr(particles, "at_quantiles", lambda quantile, number: quantile((np.arange(number) + 0.49) / number))


def wrong_continuum(patch: pytest.MonkeyPatch) -> None:
    """Its minimum is 0.2 % too large, and its K moved by as much."""
    right = continuum.minimise

    def minimise(*arguments: Any, **options: Any) -> Minimum:
        minimum = right(*arguments, **options)
        control = replace(minimum.control, K=1.002 * minimum.control.K)
        return replace(minimum, value=1.002 * minimum.value, control=control)

    patch.setattr(continuum, "minimise", minimise)


def coupled(patch: pytest.MonkeyPatch) -> None:
    """Minima of networks have an error 1e-4/S, as with weights of the data that depend on the depth."""
    right = discrete.minimise

    def minimise(problem: Any, depth: int, **options: Any) -> Minimum:
        minimum = right(problem, depth, **options)
        return replace(minimum, value=minimum.value + 1e-4 / len(problem.data.x))

    patch.setattr(discrete, "minimise", minimise)


def other_constant(patch: pytest.MonkeyPatch) -> None:
    """e₁ is 10 % too large."""
    right = expansion.value_constant
    patch.setattr(expansion, "value_constant", lambda *arguments: 1.1 * right(*arguments))


def few_signals(patch: pytest.MonkeyPatch) -> None:
    """Eight different signals, however many are asked for."""
    right = particles.drawn
    patch.setattr(particles, "drawn", lambda quantile, number, seed: np.resize(right(quantile, 8, seed), number))


# What is wrong, the part that is measured with it, and the claims that must become false.
PLANTED: list[tuple[Plant, str, set[str]]] = [
    (left_quantiles, "quantiles", {"M6.12", "M6.13", "M6.14"}),
    (wrong_continuum, "quantiles", {"M6.15", "M6.16", "M6.17", "M6.19"}),
    (coupled, "quantiles", {"M6.13", "M6.18", "M6.19"}),
    (other_constant, "quantiles", {"M6.16"}),
    (few_signals, "independent", {"M6.20", "M6.21"}),
]


def test_claims_hold(table: pd.DataFrame) -> None:
    """At small sizes, and each has an error that makes it false."""
    assert verdicts(load("training_limits", **SMALL).claims(table)) == dict.fromkeys(CLAIMS, "true")
    assert set().union(*(ids for *_, ids in PLANTED)) == set(CLAIMS)


@pytest.mark.parametrize(
    ("plant", "part", "ids"), [pytest.param(*case, id=getattr(case[0], "__name__", "")) for case in PLANTED]
)
def test_a_planted_error_makes_claims_false(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, plant: Plant, part: str, ids: set[str]
) -> None:
    """These at least, with nothing cached."""
    plant(monkeypatch)
    study: ModuleType = load("training_limits", **SMALL)
    found = verdicts_with(study, table, measured(study, [part]))
    assert {name for name, verdict in found.items() if verdict != "true"} >= ids


def test_committed_rows_make_the_claims_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main on the committed table, figures included, where claims rest on the table alone."""
    verdict, figures = redone("training_limits", tmp_path, monkeypatch)
    assert verdict == dict.fromkeys(CLAIMS, "true")
    assert figures == ["training_limits.png", "training_limits_depth.png"]
    module, committed = load("training_limits"), read(RESULTS / "training_limits")
    broken = with_failure(committed, int(committed.index[committed["part"] == "independent"][0]), "row")
    assert {c.id for c in module.claims(broken) if c.holds == "undecided"} == {"M6.20", "M6.21"}


def test_the_table_is_the_whole_diagram() -> None:
    """Every depth and the continuum, with every number of data and the law; all converged."""
    module, committed = load("training_limits"), read(RESULTS / "training_limits")
    grid = committed[committed["part"] == "quantiles"]
    assert len(grid) == (len(module.DEPTHS) + 1) * (len(module.QUANTILES) + 1)
    assert grid["status"].str.startswith("converged").all()
