"""The claims of the study of Lipschitz bounds are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load
from planting import measured, planted_ids, verdicts, verdicts_with, with_failure

from deeplimit import network
from deeplimit.coordinates import LayerCoordinates
from deeplimit.lipschitz import bounds, controlled, inputs, objective, sobolev

SMALL: dict[str, Any] = {
    "LENGTHS": [1, 2],
    "DRAWS": 100,
    "ASCENTS": 16,
    "STEPS": 40,
    "DEPTHS": [6, 12],
    "CURVE_DEPTHS": [2**m for m in range(5, 10)],
    "SEEDS": [0],
    "NEAR": [1e-2],
    "NEAR_DEPTHS": [4],
}
CLAIMS = [
    *(f"L1.{k}.{length}" for k in (1, 2) for length in SMALL["LENGTHS"]),
    *(f"L1.{k}" for k in range(3, 13)),
    *(f"L2.{k}" for k in range(1, 15)),
]
Plant = Callable[[pytest.MonkeyPatch, ModuleType], None]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("lipschitz", **SMALL)


def kept(study: ModuleType) -> list[Any]:
    """What the study computes once."""
    return [study.flow_bound, study.objective, study.curve, study.flow_problem, study.steepest]


@pytest.fixture(scope="module")
def table(study: ModuleType) -> pd.DataFrame:
    return measured(study, kept=kept(study))


def test_every_claim_is_true(study: ModuleType, table: pd.DataFrame) -> None:
    """At small sizes, with the tolerances of the study itself; a row that failed leaves all undecided."""
    assert {k: v for k, v in verdicts(study.claims(table)).items() if v != "true"} == {}
    assert set(verdicts(study.claims(table))) == set(CLAIMS)
    assert set(verdicts(study.claims(with_failure(table, 0, "row"))).values()) == {"undecided"}


def without_bias(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """|x| in place of √(1 + |x|²): bounds of chains are too small."""
    right = bounds._first, bounds._second

    def less(s: torch.Tensor) -> torch.Tensor:
        return (s**2 - 1).clamp(min=0).sqrt() if (s >= 1).all() else s

    patch.setattr(bounds, "_first", lambda layer, D, s, B: right[0](layer, D, less(s), B))
    patch.setattr(bounds, "_second", lambda layer, D, H, s, B: right[1](layer, D, H, less(s), B))


def one_term_of_two(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """The larger diagonal entry in place of the largest eigenvalue: the mixed term is lost."""
    patch.setattr(bounds, "largest_eigenvalue", lambda p, q, r: torch.maximum(p, r))


def no_step(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """A residual network whose layers have the step 1/√n."""
    right = study.residual

    def wrong(depth: int, *rest: Any, **words: Any) -> Any:
        chain = right(depth, *rest, **words)
        return replace(chain, layers=tuple(replace(layer, step=depth**-0.5) for layer in chain.layers))

    patch.setattr(study, "residual", wrong)


def half_a_hessian(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """Hessian products along a curve that are off by 1/√n."""
    right = study.DataTerm.product

    def wrong(self: Any, v: Any) -> Any:
        found = right(self, v)
        return found._replace(K=found.K * (1 + len(found.K) ** -0.5), b=found.b * (1 + len(found.b) ** -0.5))

    patch.setattr(study.DataTerm, "product", wrong)


def jumps_of_half(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """A path without half of its variation."""
    right = controlled._advance

    def wrong(piece: Any, rate: Any, value: Any, source: Any) -> Any:
        return right(piece, rate / 2, value, source / 2) if piece.jump else right(piece, rate, value, source / 3)

    patch.setattr(controlled, "_advance", wrong)


def other_slopes(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """σ' ≤ ¼ as if σ were the sigmoid: a layer seems to do less than it does."""
    patch.setattr(inputs, "_corners", lambda sigma, d: torch.full((1, d), 0.25, dtype=torch.float64))


def halved_rate(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """M in place of (M + Mᵀ)/2, off by a factor: the flow has another bound than its networks tend to."""
    right = inputs.logarithmic
    patch.setattr(inputs, "logarithmic", lambda sigma, K: right(sigma, K) / 2)


def half_a_bound_of_two(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """Layers after the first add nothing to D."""
    right = bounds._first
    patch.setattr(bounds, "_first", lambda layer, D, s, B: D / 2 if (D > 0).any() else right(layer, D, s, B))


def half_a_bound(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """h in place of √h in the part of the layer itself."""
    right = bounds._first
    patch.setattr(bounds, "_first", lambda layer, D, s, B: right(layer, D, s * layer.step**0.5, B))


def no_growth(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """A loss whose slopes are those at z = 0, as if the outputs could not move; and half of D."""
    right = objective.slopes
    patch.setattr(objective, "slopes", lambda loss, z, y, distance: right(loss, 0 * z, 0 * y, 0.01 * distance))


def without_square(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """A Gauss-Newton part that is left out of L, and M of a hundredth."""
    right = sobolev.hessian_constant
    patch.setattr(sobolev, "gradient_constant", lambda *_: 2.0)
    patch.setattr(sobolev, "hessian_constant", lambda *rest: right(*rest) / 1e4)


CHAINS = ["feed-forward", "exact", "residual", "bound"]
PLANTED: list[tuple[Plant, list[str], list[str]]] = [
    (without_bias, CHAINS, ["L1.1.1", "L1.2.1", "L1.3"]),
    (half_a_bound_of_two, ["feed-forward"], ["L1.1.2", "L1.2.2"]),
    (one_term_of_two, ["exact"], ["L1.4", "L1.5"]),
    (no_step, ["residual", "bound"], ["L2.2", "L2.3", "L2.4", "L2.10"]),
    (half_a_hessian, ["curve"], ["L2.5"]),
    (jumps_of_half, ["controlled", "jumps", "exact"], ["L1.7", "L2.6", "L2.7", "L2.12"]),
    (other_slopes, ["input", "flow", "exact"], ["L1.8", "L2.8", "L2.13", "L2.14"]),
    (halved_rate, ["input", "flow"], ["L2.9"]),
    (half_a_bound, ["residual"], ["L2.1", "L2.11"]),
    (no_growth, ["loss", "exact"], ["L1.6", "L1.9", "L1.10"]),
    (without_square, ["H¹"], ["L1.11", "L1.12"]),
]


@pytest.mark.parametrize(("plant", "parts", "ids"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])
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
    found = verdicts_with(study, table, measured(study, parts, kept(study)))
    assert {name: found[name] for name in ids} == dict.fromkeys(ids, "false")


def test_every_claim_has_a_planted_error() -> None:
    """None is true by construction."""
    assert planted_ids(PLANTED) == set(CLAIMS)


def test_the_path_is_integrated_to_more_digits_than_its_bounds_need(study: ModuleType) -> None:
    """Half the cells change X(1) by less than 1e-5, a thousandth of what lies between norm and bound."""
    theta = torch.tensor([[0.4, -0.8, 0.9, 0.2, 0.5, -0.5]], dtype=torch.float64)
    fine = study.path_end(theta)
    vars(study)["CELLS"] //= 2
    coarse = study.path_end(theta)
    vars(study)["CELLS"] *= 2
    assert 0 < float((fine - coarse).abs().max()) < 1e-5
    assert np.isfinite(fine.numpy()).all()


@pytest.mark.parametrize("case", ["scalar", "ring"])
def test_the_energy_that_is_drawn_is_that_of_the_package(study: ModuleType, case: str) -> None:
    """E_n of the network by `network.objective`, at two controls at once."""
    problem = study.ENERGIES[case]
    coordinates = LayerCoordinates(problem.metric, 5)
    layers = [problem.metric.draw(seed).sample(5) for seed in (1, 2)]
    u = torch.tensor(np.array([coordinates.vector(control) for control in layers]))
    found = study.energy(problem, 5)(u)[:, 0]
    assert found.tolist() == pytest.approx([network.objective(problem, control) for control in layers], rel=1e-13)


def test_known_constants_stand_between_what_is_found_and_the_bound(study: ModuleType, table: pd.DataFrame) -> None:
    """lower ≤ true ≤ upper where there is a closed form; one layer of tanh is known and sought."""
    known = table[table["true"].notna()]
    assert set(known["part"]) == {"exact", "feed-forward"} and len(known) > 20
    room = 1 + study.ROUNDING
    assert (known["lower"] <= room * known["true"]).all() and (known["true"] <= room * known["upper"]).all()


def test_every_part_that_is_tried_has_draws_and_ascents(study: ModuleType, table: pd.DataFrame) -> None:
    """In both kinds of derivatives, and in more than one dimension."""
    tried = table[table["part"].isin(["feed-forward", "loss", "residual", "controlled", "H¹", "input"])]
    assert tried[["draws", "ascents"]].notna().all().all()
    assert (tried["lower"] == tried[["draws", "ascents"]].max(axis=1)).all()
    assert {"d = 1", "d = 2"} <= set(table["case"]) and "d = 3, seed 0" in set(table["case"])


def test_figures_show_draws_ascents_and_bounds(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One figure for each kind of network, of the rows that belong to it."""
    parts = ["residual", "feed-forward", "input", "loss"]
    table = pd.DataFrame({"part": parts, "quantity": "gradient", "case": "seed 0"})
    drawn: dict[str, Any] = {}

    def curves(shown: pd.DataFrame, *, y: list[str], save: str, **_: Any) -> None:
        drawn[save] = (shown["part"].tolist(), y)

    monkeypatch.setattr(study.plot, "curves", curves)
    study.draw(table, "x")
    columns = ["draws", "ascents", "upper"]
    assert drawn == {
        "x": (["residual"], columns),
        "x_forward": (["feed-forward"], columns),
        "x_input": (["input"], columns),
    }
