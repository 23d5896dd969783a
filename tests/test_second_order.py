"""The study of second order: every claim holds at small sizes, and fails when its error is planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from loading import load
from problems import REFERENCE

from deeplimit import continuum, control, coordinates, discrete, expansion, pontryagin, study, sweep
from deeplimit.control import Weights
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem

ROOT = Path(__file__).parent.parent
IDS = ["T3.11", "T3.12", "T3.13", "T4.1", "T5.11", "T5.12", "T5.13", "T5.14", "T5.15", "T5.16"]
MINIMISERS = {"T5.11", "T5.12", "T5.13", "T5.14", "T5.16"}
Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def solved() -> tuple[Problem, Minimum]:
    """The reference problem and its limit, which no planted error touches."""
    problem = REFERENCE.problem()
    start = discrete.minimise(problem, 16, seed=1).control
    return problem, continuum.minimise(problem, start=start, tol=1e-11)


@pytest.fixture(autouse=True)
def quick_costates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer restarts of the adaptive integrator, enough for this problem."""
    monkeypatch.setattr(pontryagin, "RESTARTS", 4)
    monkeypatch.setattr(expansion, "PANELS", 4)


def verdicts(solved: tuple[Problem, Minimum], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the study says of its claims, with the limit given and everything else made anew."""
    problem, limit = solved
    expansion._value_constant.cache_clear()
    expansion._corrector.cache_clear()
    monkeypatch.setattr(continuum, "minimise", lambda *_, **__: limit)
    module = load("second_order", PROBLEMS={"reference": problem}, DATA=["reference"], DEPTHS=[32, 64, 128, 256])
    rows = [{"data": "reference", "depth": n} | module.measure("reference", n) for n in module.DEPTHS]
    return {claim.id: claim.holds for claim in module.claims(pd.DataFrame(rows))}


def test_every_claim_holds_for_the_reference_problem(
    solved: tuple[Problem, Minimum], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an error all verdicts are true, at the tolerances of the study itself."""
    assert verdicts(solved, monkeypatch) == dict.fromkeys(IDS, "true")


def no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """X'' without the speed K', b' of the weights."""
    exact = control.Curve.derivative
    monkeypatch.setattr(control.Curve, "derivative", lambda *a: tuple(0 * theta for theta in exact(*a)))


def no_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The constant of a network without its factor ½."""
    exact = expansion.estimated_value_constant
    monkeypatch.setattr(expansion, "estimated_value_constant", lambda *a: 2 * exact(*a))


def one_difference_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """The regulariser with n − 1 in the place of n."""

    def init(self: coordinates.LayerCoordinates, metric: coordinates.Metric, depth: int, device: str = "cpu") -> None:
        coordinates.Coordinates.__init__(self, metric, depth, (depth - 1) ** 0.5, device)

    monkeypatch.setattr(coordinates.LayerCoordinates, "__init__", init)


def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of 1/n − n^(−3/2), so that the last one ends at 1 − n^(−1/2)."""
    exact = sweep.Flow.step.fget  # type: ignore[attr-defined]
    layer = lambda flow: exact(flow) - flow.steps**-1.5 if flow.tableau is sweep.EULER else exact(flow)  # noqa: E731
    monkeypatch.setattr(sweep.Flow, "step", property(layer))


def natural_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corrector that leaves out how e₁ changes with K' and b'."""
    exact = expansion.EulerDefect.derivative.fget  # type: ignore[attr-defined]

    def derivative(defect: expansion.EulerDefect) -> tuple[Weights, Weights]:
        weights, rates = exact(defect)
        return weights, Weights(*(torch.zeros_like(rate) for rate in rates))

    monkeypatch.setattr(expansion.EulerDefect, "derivative", property(derivative))


PLANTS: list[tuple[Plant, set[str]]] = [
    (no_speed, {"T3.11", "T3.12", "T3.13", "T5.15", *MINIMISERS}),
    (no_half, {"T3.12"}),
    (one_difference_less, {"T3.11", "T3.13", *MINIMISERS}),
    (short_steps, {"T3.11", "T3.12", "T3.13", "T4.1", *MINIMISERS}),
    (natural_conditions, {"T5.15", *MINIMISERS}),
]


@pytest.mark.parametrize(("plant", "false"), PLANTS, ids=[plant.__name__ for plant, _ in PLANTS])
def test_a_planted_error_makes_its_claims_false(
    plant: Plant, false: set[str], solved: tuple[Problem, Minimum], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each error turns the claims about what it spoils, and no other; together they turn all."""
    plant(monkeypatch)
    assert verdicts(solved, monkeypatch) == {k: "false" if k in false else "true" for k in IDS}
    assert set().union(*(spoilt for _, spoilt in PLANTS)) == set(IDS)


def test_a_network_that_did_not_converge_leaves_the_claims_undecided() -> None:
    """A status that is not a converged one is a doubt about every claim."""
    module = load("second_order")
    names = ["value_gap", "constant", "corrected_value", "richardson", "estimated_constant", "boundary_defect"]
    names += [f"{kind}_{norm}" for kind in ("control", "predicted", "corrected") for norm in module.NORMS]
    errors = dict.fromkeys(("corrected_value_error", "richardson_error", "control_error"), 0.0)
    rows = [{"data": "ring", "depth": n, **dict.fromkeys(names, 1 / n), **errors, "status": "stalled"} for n in (8, 16)]
    assert {claim.holds for claim in module.claims(pd.DataFrame(rows))} == {"undecided"}


def test_the_order_is_that_of_the_resolved_depths() -> None:
    """n⁻² + 8 n⁻³ is of order 2 when extrapolated; a depth in the solvers' error does not count."""
    module = load("second_order")
    n = [64, 128, 256, 512]
    rows = pd.DataFrame({"depth": n, "gap": [k**-2 + 8 * k**-3.0 for k in n], "error": [0.0, 0.0, 0.0, 1.0]})
    assert module.order(rows, "gap", "error") == pytest.approx(2, abs=0.01)
    assert pd.isna(module.order(rows.assign(error=1.0), "gap", "error"))


def test_committed_claims_are_true_with_the_published_constant() -> None:
    """All five problems to depth 1024; e₁ of the reference problem is .0871686260."""
    table = study.read(ROOT / "results" / "second_order")
    module = load("second_order")
    assert table.groupby("data")["depth"].max().to_dict() == dict.fromkeys(module.DATA, 1024)
    assert {claim.id: claim.holds for claim in module.claims(table)} == dict.fromkeys(IDS, "true")
    assert table.loc[table["data"] == "reference", "constant"].iloc[0] == pytest.approx(0.0871686260, abs=1e-9)
