"""The claims of the study of certified descent are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import measured, planted_ids, verdicts, verdicts_with, with_failure

from deeplimit.lipschitz import certificate, descent
from deeplimit.lipschitz.objective import Constants, Objective

SMALL: dict[str, Any] = {
    "STEPS": [10, 20],
    "DEPTHS": [4, 16],
    "RUNS": 40,
    "CERTIFIED_DEPTHS": [4],
    "DISTANCES": [1e-9, 1e-8, 1e-3],
}
CLAIMS = [f"L3.{k}" for k in range(1, 14)]
Plant = Callable[[pytest.MonkeyPatch, ModuleType], None]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("certified_descent", **SMALL)


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study)


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At small sizes, with the tolerances of the study itself."""
    assert {k: v for k, v in verdicts(study.claims(table)).items() if v != "true"} == {}
    assert set(verdicts(study.claims(table))) == set(CLAIMS)


def test_a_row_that_failed_leaves_its_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A descent leaves those on descents, a certificate those on radii."""
    first = table.drop(columns=["row"]).assign(row=table["row"])
    broken = with_failure(first, 0, "row", "part", "case", "steps", "depth", "distance")
    found = verdicts(study.claims(broken))
    assert found["L3.1"] == found["L3.6"] == "undecided" and found["L3.9"] == found["L3.11"] == "true"
    for part, ids in (("certificate", {"L3.11", "L3.12"}), ("end", {"L3.13"})):
        last = int(first.index[first["part"] == part][-1])
        found = verdicts(study.claims(with_failure(first, last, "row", "part", "case", "steps", "depth", "distance")))
        assert {name for name, verdict in found.items() if verdict != "true"} == ids


def test_points_are_moved_away_until_none_is_certified(table: pd.DataFrame) -> None:
    """The nearest of each case is certified, the farthest is not, and the end lies between them."""
    for _, rows in table[table["part"] == "certificate"].groupby(["case", "depth"]):
        words = rows.sort_values("distance")["status"].str.startswith("certified")
        assert words.iloc[0] and not words.iloc[-1]
    ends = table[table["part"] == "end"]
    assert len(ends) == 2 and ends["distance"].between(1e-8, 1e-3).all()


def test_the_minimisers_are_of_one_branch_that_has_learned(study: ModuleType) -> None:
    """Each is near the one before in the value, and below that of the network that does nothing, log 2 on the ring."""
    for case in study.PROBLEMS:
        found = study.branch(case)
        assert list(found) == study.CERTIFIED_DEPTHS
        assert all(best.status.converged for best in found.values())
    assert all(best.value < 0.98 * np.log(2) for best in study.branch("ring").values())


def small_constant(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """Constants that are a thousandth of what they could be at most, and steps as long as they allow."""
    patch.setattr(Objective, "constants", lambda self, region: Constants(1.0, 1e-3))
    patch.setattr(descent, "gradient_constant", lambda *_: 1e-3)
    patch.setattr(study, "NEAR", 100.0)
    patch.setattr(study, "NEAR_U", 100.0)


def larger_gradient(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """What is called |G| is a hundred times as large."""
    right = descent.descend

    def wrong(*rest: Any, **words: Any) -> descent.Descent:
        found = right(*rest, **words)
        return replace(found, mappings=100 * found.mappings)

    patch.setattr(descent, "descend", wrong)


def no_excess(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """Steps of 1/L where 50/L was meant."""
    patch.setattr(study, "FACTOR", 1.0)


def constant_of_depth(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """L that grows with n, as in the weights themselves."""
    right = descent.gradient_constant
    patch.setattr(descent, "gradient_constant", lambda p, layers, r: layers.depth * right(p, layers, r))


def no_variance(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The variance is forgotten in the balance."""
    right = descent.stochastic

    def wrong(phi: Any, region: Any, start: Any, steps: int, **words: Any) -> descent.Stochastic:
        found = right(phi, region, start, steps, **words)
        variance = phi.constants(region).gradient * found.step**2 / 2 * steps * found.variances
        return replace(found, balances=found.balances + variance)

    patch.setattr(descent, "stochastic", wrong)


def half_a_gradient(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The residual of the certificate is half as large as it is."""
    right = certificate.np.linalg.norm

    class Linalg:
        eigvalsh = staticmethod(np.linalg.eigvalsh)

        @staticmethod
        def norm(v: Any) -> Any:
            return right(v) / 2

    class Numpy:
        linalg, column_stack, eye = Linalg, staticmethod(np.column_stack), staticmethod(np.eye)

    patch.setattr(certificate, "np", Numpy)


def half_a_curvature(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The radius is twice as large as it needs to be."""
    right = certificate.certified_radius

    def wrong(*rest: Any) -> certificate.Radius:
        found = right(*rest)
        return replace(found, exists_within=2 * found.exists_within)

    patch.setattr(study.lipschitz, "certified_radius", wrong)


DESCENTS = ["region", "local", "H¹"]
PLANTED: list[tuple[Plant, list[str], list[str]]] = [
    (small_constant, DESCENTS, ["L3.1", "L3.3", "L3.5"]),
    (larger_gradient, DESCENTS, ["L3.2", "L3.4", "L3.6"]),
    (no_excess, ["50/L"], ["L3.7"]),
    (constant_of_depth, ["H¹"], ["L3.8"]),
    (no_variance, ["samples"], ["L3.9", "L3.10"]),
    (half_a_gradient, ["certificate", "end"], ["L3.11", "L3.13"]),
    (half_a_curvature, ["certificate"], ["L3.12"]),
]


@pytest.mark.parametrize(("plant", "parts", "ids"), PLANTED, ids=["-".join(ids) for *_, ids in PLANTED])
def test_planted_errors_make_claims_false(
    study: ModuleType,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    parts: list[str],
    ids: list[str],
) -> None:
    """Each is seen by the claims on what it breaks; the parts that it reaches are measured anew."""
    plant(monkeypatch, study)
    found = verdicts_with(study, table, measured(study, parts))
    assert {name: found[name] for name in ids} == dict.fromkeys(ids, "false")


def test_every_claim_has_a_planted_error() -> None:
    """None is true by construction."""
    assert planted_ids(PLANTED) == set(CLAIMS)
