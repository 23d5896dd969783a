"""Where zero is a minimiser is seen, and an error planted in the code under test turns its claims to "false"."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load
from planting import RESULTS, Plant, redone, verdicts, with_failure, wrong_metric

from deeplimit import activation, discrete, optimise
from deeplimit.coordinates import LayerCoordinates
from deeplimit.study import read

SMALL: dict[str, Any] = {"DEPTHS": [8], "FACTORS": [0.9, 1.1], "RING_ALPHAS": [0.01], "RING_SEEDS": [4]}


def found() -> dict[str, str]:
    """The verdicts, from rows measured now, by a study loaded afresh."""
    study = load("trivial", **SMALL)
    return verdicts(study.claims(pd.DataFrame([{"row": name} | study.measure(name) for name in study.rows()])))


def test_every_prediction_is_seen() -> None:
    """At small sizes, with the tolerances of the study."""
    assert set(found().values()) == {"true"}


def alpha_too_small(patch: pytest.MonkeyPatch) -> None:
    """α = 0.01, whatever is asked for."""
    wrong_metric(patch, lambda metric: {"alpha": dict.fromkeys("KbWc", 0.01)})


def alpha_too_large(patch: pytest.MonkeyPatch) -> None:
    """α = 1, whatever is asked for."""
    wrong_metric(patch, lambda metric: {"alpha": dict.fromkeys("KbWc", 1.0)})


def second_derivative_forgotten(patch: pytest.MonkeyPatch) -> None:
    """σ'' = 0 in the Hessian."""
    silu = replace(activation.ACTIVATIONS["silu"], second=torch.zeros_like)
    patch.setitem(activation.ACTIVATIONS, "silu", silu)


def curvature_halved(patch: pytest.MonkeyPatch) -> None:
    """Half the Hessian's least eigenvalue."""
    right = optimise.least_eigenpair

    def halved(*arguments: Any) -> tuple[float, np.ndarray]:
        value, vector = right(*arguments)
        return value / 2, vector

    patch.setattr(optimise, "least_eigenpair", halved)


PLANTED: list[Any] = [
    (alpha_too_small, ["T10.41", "T10.44", "T10.45"]),
    (alpha_too_large, ["T10.43"]),
    (second_derivative_forgotten, ["T10.44", "T10.45"]),
    (curvature_halved, ["T10.42", "T10.44"]),
]


@pytest.mark.parametrize("plant, wrong", PLANTED, ids=lambda v: getattr(v, "__name__", None))
def test_a_planted_error_is_found(plant: Plant, wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The claims that rest on what the error changes are false."""
    plant(monkeypatch)
    held = found()
    assert {k: held[k] for k in wrong} == dict.fromkeys(wrong, "false")


def test_committed_results_hold_and_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim is true in the committed table, and each has been seen to fail."""
    held, figures = redone("trivial", tmp_path, monkeypatch)
    assert set(held.values()) == {"true"}
    assert set(held) == {identifier for _, wrong in PLANTED for identifier in wrong}
    assert figures == ["trivial.png"]


@pytest.mark.parametrize("problem, others", [("ring", "T10.44"), ("quadratic", "T10.41")])
def test_a_failed_row_leaves_its_claims_undecided(problem: str, others: str) -> None:
    """The claims about the other problem stand."""
    study, table = load("trivial"), read(RESULTS / "trivial")
    held = verdicts(study.claims(with_failure(table, table.index[table["problem"] == problem][-1], "row")))
    assert set(held.values()) == {"true", "undecided"}
    assert held[others] == "true"


def test_the_bound_on_the_ring_holds_for_random_networks() -> None:
    """E_n ≥ log 2 at the α of the bound, for networks of every size."""
    study = load("trivial")
    problem = study.pose("ring", study.trivial_bound())
    coordinates = LayerCoordinates(problem.metric, 8)
    random = np.random.default_rng(0)
    for size in np.geomspace(1e-2, 3, 100):
        direction = random.standard_normal(coordinates.size)
        layers = coordinates.control(size * direction / np.linalg.norm(direction))
        assert discrete.objective(problem, layers) > math.log(2)
