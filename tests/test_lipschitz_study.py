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

from deeplimit.lipschitz import bounds, controlled, inputs

SMALL: dict[str, Any] = {
    "LENGTHS": [1, 2],
    "DRAWS": 100,
    "ASCENTS": 30,
    "STEPS": 40,
    "DEPTHS": [6, 12],
    "ALIKE": 8,
    "CURVE_DEPTHS": [2**m for m in range(5, 10)],
    "SEEDS": [0],
}
CLAIMS = [*(f"L1.{k}" for k in range(1, 5)), *(f"L2.{k}" for k in range(1, 11))]
Plant = Callable[[pytest.MonkeyPatch, ModuleType], None]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study at small sizes."""
    return load("lipschitz", **SMALL)


def kept(study: ModuleType) -> list[Any]:
    """What the study computes once."""
    return [study.flow_bound, study.curve, study.flow_problem, study.steepest]


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


def half_a_bound(patch: pytest.MonkeyPatch, study: ModuleType) -> None:
    """h in place of √h in the part of the layer itself."""
    right = bounds._first
    patch.setattr(bounds, "_first", lambda layer, D, s, B: right(layer, D, s * layer.step**0.5, B))


CHAINS = ["feed-forward", "exact", "residual", "bound"]
PLANTED: list[tuple[Plant, list[str], list[str]]] = [
    (without_bias, CHAINS, ["L1.1", "L1.2", "L1.3"]),
    (one_term_of_two, ["exact"], ["L1.4"]),
    (no_step, ["residual", "bound"], ["L2.2", "L2.3", "L2.4", "L2.10"]),
    (half_a_hessian, ["curve"], ["L2.5"]),
    (jumps_of_half, ["controlled", "jumps"], ["L2.6", "L2.7"]),
    (other_slopes, ["input"], ["L2.8"]),
    (halved_rate, ["input"], ["L2.9"]),
    (half_a_bound, ["residual"], ["L2.1"]),
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
    """Half the cells change X(1) by less than 1e-7: the method has order 4."""
    theta = torch.tensor([0.4, -0.8, 0.9, 0.2, 0.5, -0.5], dtype=torch.float64)
    fine = study.path_end(theta)
    vars(study)["CELLS"] //= 2
    coarse = study.path_end(theta)
    vars(study)["CELLS"] *= 2
    assert 0 < float((fine - coarse).abs().max()) < 1e-7
    assert np.isfinite(fine.numpy()).all()


def test_a_legend_speaks_of_draws_where_draws_were_made(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feed-forward networks alone have rows of random draws."""
    table = pd.DataFrame({"part": ["residual", "feed-forward", "input"], "quantity": "gradient", "case": "seed 0"})
    words: dict[str, str] = {}

    def drawn(shown: pd.DataFrame, *, labels: dict[str, str], save: str, **_: Any) -> None:
        assert len(shown) == 1
        words[save] = labels["lower"]

    monkeypatch.setattr(study.plot, "curves", drawn)
    study.draw(table, "x")
    ascents = "found by ascents"
    assert words == {"x": ascents, "x_forward": "found by draws and ascents", "x_input": ascents}
