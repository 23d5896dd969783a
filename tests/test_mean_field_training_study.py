"""The claims on training with infinitely many data are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, redone, verdicts, with_failure

from deeplimit.meanfield import particles, sensitivity
from deeplimit.meanfield.sensitivity import Law, Sensitivity
from deeplimit.study import read

CLAIMS = [f"M6.{k}" for k in range(1, 12)]
SMALL: dict[str, Any] = {
    "DEPTHS": [16, 32, 64],
    "SAMPLES": [16, 64, 256],
    "QUANTILES": [8, 16, 32],
    "DRAWN": [16, 400],
    "LIMITS": [32, 64, 128],
    "REPLICAS": 60,
    "TRAININGS": 20,
    "MANY": 512,
}


def failing(**constants: Any) -> set[str]:
    """The claims that are not true, measured anew."""
    study = load("mean_field_training", **SMALL | constants)
    table = pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(list(study.points())))])
    found = verdicts(study.claims(table, study.at_limit()))
    assert sorted(found) == sorted(CLAIMS)
    return {name for name, holds in found.items() if holds != "true"}


def without_bias(patch: pytest.MonkeyPatch) -> None:
    """dJ/db of the kinetic gradient is 2 % too large."""
    right = sensitivity.gradient

    def wrong(*arguments: Any, **options: Any) -> Sensitivity:
        found = right(*arguments, **options)
        return Sensitivity(found.t, found.K, 1.02 * found.b, found.final)

    patch.setattr(sensitivity, "gradient", wrong)


def correlated(patch: pytest.MonkeyPatch) -> None:
    """Every independent signal comes four times."""
    right = particles.drawn
    patch.setattr(particles, "drawn", lambda quantile, number, seed: np.repeat(right(quantile, number // 4, seed), 4))


def constant_spread(patch: pytest.MonkeyPatch) -> None:
    """Sixteen different signals, however many are asked for."""
    right = particles.drawn
    patch.setattr(particles, "drawn", lambda quantile, number, seed: np.resize(right(quantile, 16, seed), number))


def left_quantiles(patch: pytest.MonkeyPatch) -> None:
    """F⁻¹((i − 0.51)/M): no midpoints any more."""
    patch.setattr(particles, "at_quantiles", lambda quantile, number: quantile((np.arange(number) + 0.49) / number))


def other_law(patch: pytest.MonkeyPatch) -> None:
    """A law on [−1, 1.05] for the one on [−1, 1]."""
    right: Callable[[float, float, int], Law] = sensitivity.uniform
    patch.setattr(sensitivity, "uniform", lambda low, high, nodes: right(low, high + 0.05, nodes))


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = [
    (without_bias, {"M6.1", "M6.2", "M6.9"}),
    (correlated, {"M6.4", "M6.11"}),
    (constant_spread, {"M6.3", "M6.4", "M6.10", "M6.11"}),
    (left_quantiles, {"M6.5", "M6.6", "M6.7", "M6.8", "M6.9"}),
    (other_law, {"M6.2", "M6.9"}),
]


def test_claims_hold() -> None:
    """At small sizes."""
    assert failing() == set()


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: getattr(case[0], "__name__", ""))
def test_a_planted_error_makes_claims_false(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """These at least, by errors of a few per cent."""
    plant, ids = case
    plant(monkeypatch)
    few = {} if "M6.10" in ids else {"DRAWN": [16, 64]}
    assert failing(**few) >= ids


def test_every_claim_can_fail() -> None:
    """Between them the planted errors reach all."""
    assert set().union(*(ids for _, ids in PLANTED)) == set(CLAIMS)


def test_committed_rows_make_the_claims_true(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main on the committed table, figure included; a row that failed leaves its part's claims undecided."""
    found, figures = redone("mean_field_training", tmp_path, monkeypatch)
    assert found == dict.fromkeys(CLAIMS, "true")
    assert figures == ["mean_field_training.png"]
    study, table = load("mean_field_training"), read(RESULTS / "mean_field_training")
    broken = with_failure(table, int(table.index[table["part"] == "depth"][0]), "row")
    law = read(tmp_path / "mean_field_training_law")
    assert {claim.id for claim in study.claims(broken, law) if claim.holds == "undecided"} == {"M6.2"}
