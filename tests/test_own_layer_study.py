"""The claims of the study of other layers are true, and false with an error in what they rest on."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load
from planting import measured_anew, verdicts, with_failure

from deeplimit import expansion
from deeplimit.coordinates import Coordinates, LayerCoordinates

IDS = [f"T12.{k}" for k in range(1, 7)]
DEPTHS = [16, 32, 64]


def fresh() -> ModuleType:
    """The study with one layer of its own, at small sizes and with nothing measured yet."""
    return load("own_layer", DEPTHS=DEPTHS, STARTS=1, TRIED=["plain"])


def table(study: ModuleType) -> pd.DataFrame:
    return measured_anew(study, layer=study.TRIED, depth=DEPTHS)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Of the right code, the plain and the two-layer one."""
    study = fresh()
    study.TRIED.append("two-layer")
    return table(study)


def test_all_claims_hold(rows: pd.DataFrame) -> None:
    """At small depths already; the table says how many parameters a layer has."""
    assert verdicts(fresh().claims(rows)) == dict.fromkeys(IDS, "true")
    assert rows.groupby("layer")["parameters"].first().to_dict() == {"plain": 6, "two-layer": 20}


def test_another_function_is_not_the_packages_own_layer() -> None:
    """A factor of 1.0001 is another network: its minima differ, and converge all the same."""
    study = fresh()
    right = study.plain
    study.LAYERS["plain"] = replace(study.LAYERS["plain"], function=lambda x, theta: 1.0001 * right(x, theta))
    found = verdicts(study.claims(table(study)))
    assert found == dict.fromkeys(IDS, "true") | {"T12.1": "false"}


def test_a_wrong_constant_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """e₁ without the factor ½, which changes nothing that is not predicted."""
    right = expansion._value_constant_own
    monkeypatch.setattr(expansion, "_value_constant_own", lambda problem, curve: 2 * right(problem, curve))
    study = fresh()
    found = verdicts(study.claims(table(study)))
    assert found == dict.fromkeys(IDS, "true") | {"T12.3": "false"}


def test_a_wrong_regulariser_leaves_no_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.2 n in front of the differences has another limit; the package's own layer has that error as well."""

    def wrong(self: LayerCoordinates, metric: Any, depth: int, device: str = "cpu") -> None:
        Coordinates.__init__(self, metric, depth, math.sqrt(1.2 * depth), device)

    monkeypatch.setattr(LayerCoordinates, "__init__", wrong)
    study = fresh()
    assert verdicts(study.claims(table(study))) == dict.fromkeys(IDS, "false") | {"T12.1": "true"}


def test_a_row_that_failed_leaves_the_claims_undecided(rows: pd.DataFrame) -> None:
    """It keeps its axes only; the claim on the plain layer alone stands where another layer failed."""
    failed = rows.index[rows["layer"] == "two-layer"][-1]
    found = verdicts(fresh().claims(with_failure(rows, failed, "layer", "depth")))
    assert found == dict.fromkeys(IDS, "undecided") | {"T12.1": "true"}
