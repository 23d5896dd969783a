"""The study of the number of data: its law against autograd, its files, and every claim against a planted error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load
from problems import BLOCKS, Case, gradient, hessian

from deeplimit import continuum, expansion, pontryagin
from deeplimit import study as studies
from deeplimit.claims import Claim
from deeplimit.minimum import Status
from deeplimit.problem import Problem

DEPTHS, SAMPLES, REPLICAS, POINTS = [4], [64, 2048], 12, 128


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    """The study on a few samples, with a coarser limit, still good to 1e-8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuum, "SIZES", (8, 12, 18))
        patch.setattr(expansion, "PANELS", 4)
        patch.setattr(pontryagin, "RESTARTS", 8)
        yield load(
            "many_data", DEPTHS=DEPTHS, SAMPLES=SAMPLES, REPLICAS=REPLICAS, POINTS=POINTS, STARTS=1, TERMS=5, STEPS=2
        )


@pytest.fixture(scope="module")
def folder(study: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the whole study left its files."""
    path = tmp_path_factory.mktemp("results")
    study.main(str(path / "many_data"))
    return path


@pytest.fixture(scope="module")
def table(folder: Path) -> pd.DataFrame:
    return studies.read(folder / "many_data")


def rows(module: ModuleType) -> pd.DataFrame:
    """The table measured anew."""
    points = product(SAMPLES, range(REPLICAS), [*DEPTHS, math.inf])
    return pd.DataFrame([{"samples": S, "replica": r, "depth": n, **module.measure(S, r, n)} for S, r, n in points])


def claim(module: ModuleType, table: pd.DataFrame, name: str) -> Claim:
    (found,) = [c for c in module.claims(table, module.references()) if c.id == name]
    return found


def test_the_study_leaves_table_record_and_figures(folder: Path, table: pd.DataFrame) -> None:
    """One row per number of data, replica and depth, in that order."""
    files = [f"many_data{end}" for end in (".csv", ".json", ".png", "_population.csv", "_replicas.png")]
    assert sorted(path.name for path in folder.glob("many_data*")) == files
    assert len(table) == 2 * len(SAMPLES) * REPLICAS
    assert table["status"].str.startswith("converged:").all()


def test_samples_are_independent_and_the_same_at_every_depth(study: ModuleType) -> None:
    """Drawn from S and the replica alone; two sizes do not share their beginning."""
    assert np.array_equal(study.draw(64, 3), study.draw(64, 3))
    assert not np.isclose(study.draw(64, 3), study.draw(64, 4)).any()
    assert not np.isclose(study.draw(64, 3), study.draw(128, 3)[:64]).any()


def test_the_law_of_samples_is_that_of_autograd(study: ModuleType) -> None:
    """Var ℓ, ½ tr(H⁻¹C) and tr(H⁻¹CH⁻¹) at depth 4 from a network of plain loops."""
    known, points = study.centre(4), 64
    data = study.curve(2 * np.pi * np.arange(points) / points)
    case = Case(data.x, data.y, "tanh", "squared", dict.fromkeys(BLOCKS, study.ALPHA), reduction="mean")
    u = torch.from_numpy(known.u)
    H = hessian(case.energy(4), u)
    single = [Case(x[None], y[None], "tanh", "squared", case.alpha) for x, y in zip(data.x, data.y, strict=True)]
    g = np.stack([gradient(one.energy(4), u).numpy() for one in single])
    losses = [float(one.energy(4)(u) - u @ u) for one in single]
    C, inverse = np.cov(g.T, bias=True), np.linalg.inv(H)
    assert known.variance == pytest.approx(np.var(losses), rel=1e-2)  # 64 angles are the population to this accuracy
    assert known.bias == pytest.approx(0.5 * np.trace(inverse @ C), rel=1e-2)
    assert known.spread == pytest.approx(np.trace(inverse @ C @ inverse), rel=1e-2)


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At the sizes of the tests, so that the planted errors below are seen to make the difference."""
    assert {c.id: c.holds for c in study.claims(table, study.references())} == {f"S1.{k}": "true" for k in range(1, 8)}


def test_an_unsolved_row_leaves_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A solver that failed is no evidence; only the population does not rest on samples."""
    broken = table.assign(status=table["status"].where(table["replica"] != 2, "not converged: planted"))
    assert [c.holds for c in study.claims(broken, study.references())] == ["undecided"] * 6 + ["true"]


def test_samples_on_another_branch_leave_claims_undecided(study: ModuleType, table: pd.DataFrame) -> None:
    """A third of the networks that left the population's branch are no sample of its minimum."""
    jumped = table.assign(status=table["status"].where(table["replica"] % 3 != 0, str(Status.JUMPED)))
    assert [c.holds for c in study.claims(jumped, study.references())] == ["undecided"] * 6 + ["true"]


def test_a_population_that_did_not_converge_leaves_claims_undecided(
    study: ModuleType, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples are compared with it, and so is the population of twice as many points."""
    unsolved = replace(study.limits()[4], status=Status.STALLED)
    monkeypatch.setattr(study, "limits", lambda: {4: unsolved, math.inf: replace(unsolved)})
    assert study.reference_status(4) == str(Status.STALLED)
    assert claim(study, table, "S1.7").holds == "undecided"
    broken = table.assign(limit_status=str(Status.STALLED))
    assert {c.holds for c in study.claims(broken, study.references())} == {"undecided"}


@pytest.mark.parametrize("order", [0, 1])
def test_another_order_makes_the_claim_false(study: ModuleType, table: pd.DataFrame, order: int) -> None:
    """Twelve replicas of two sizes tell order ½ from an error that stays, and from one that falls like 1/S."""
    wrong = table.assign(gap=table["gap"] * (table["samples"] / SAMPLES[0]) ** (0.5 - order))
    assert claim(study, wrong, "S1.1").holds == "false"


@pytest.fixture(scope="module")
def wrong_mean(study: ModuleType, table: pd.DataFrame) -> pd.DataFrame:
    """Networks trained with a data term that grows like S^0.03, 11 % too large at the largest S, on the same branch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Problem,
            "weight",
            property(lambda problem: (problem.data.points / SAMPLES[0]) ** 0.03 / problem.data.points),
        )
        return rows(study)


@pytest.mark.parametrize("name", ["S1.1", "S1.2", "S1.3", "S1.4", "S1.5", "S1.6"])
def test_a_wrong_mean_makes_the_claim_false(study: ModuleType, wrong_mean: pd.DataFrame, name: str) -> None:
    """The planted error is in the package: another power of S than 1/S, 0.03 away from it."""
    assert claim(study, wrong_mean, name).holds == "false"


def test_a_depth_error_without_its_depth_makes_the_joint_claim_false(
    study: ModuleType, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """e₁ in place of e₁/n, which only the joint error sees."""
    assert claim(study, table, "S1.3").holds == "true"
    constant = expansion.value_constant(study.population(POINTS), study.limits()[math.inf])
    planted = table.assign(predicted_mean=table["predicted_mean"] + constant * (1 - 1 / table["depth"]))
    assert claim(study, planted, "S1.3").holds == "false"


def test_a_constant_of_depth_that_is_a_third_too_large_makes_the_joint_claim_false(
    study: ModuleType, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.3 e₁, with as many data as the means need to tell the two."""
    S, right = 8192, study.predicted_depth_gap
    sound = [{"samples": S, "replica": r, "depth": 4.0, **study.measure(S, r, 4)} for r in range(REPLICAS)]
    assert claim(study, pd.concat([table, pd.DataFrame(sound)]), "S1.3").holds == "true"
    monkeypatch.setattr(study, "predicted_depth_gap", lambda depth: 1.3 * right(depth))
    wrong = [row | {"predicted_mean": study.measure(S, 0, 4)["predicted_mean"]} for row in sound]
    assert claim(study, pd.concat([table, pd.DataFrame(wrong)]), "S1.3").holds == "false"


def test_a_coarse_population_makes_its_claim_false(
    study: ModuleType, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice six angles are not the expectation."""
    monkeypatch.setattr(study, "POINTS", 6)
    assert claim(study, table, "S1.7").holds == "false"
