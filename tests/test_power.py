"""What another power of n does is seen, and an error planted in the code under test turns its claims to "false"."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, Plant, planted_ids, redone, verdicts, with_failure
from problems import REFERENCE, REFERENCE_MINIMA
from scipy import integrate, optimize

from deeplimit import discrete, norms, variants
from deeplimit.coordinates import Metric
from deeplimit.problem import Problem
from deeplimit.study import read

DEPTHS = {"saturated": [8, 16, 32, 64], "reference": [8, 16, 32, 64]}
POWERS = {"saturated": [0.0, 0.5], "reference": [0.5, 1.0, 2.0]}


def small(problem: str) -> ModuleType:
    """The study, loaded afresh."""
    return load("power", DEPTHS=DEPTHS[problem], POWERS=POWERS, STARTS=1)


@cache
def constant_weights() -> tuple[float, float]:
    """By SciPy alone, so that no planted error reaches it: once is enough."""
    found: tuple[float, float] = small("reference").constant_weights()
    return found


def found(problem: str) -> dict[str, str]:
    """The verdicts on a problem, from rows measured now."""
    study = small(problem)
    vars(study)["constant_weights"] = constant_weights
    cases = [name for name in study.cases() if name.startswith(problem)]
    table = pd.DataFrame([{"case": c, "depth": n} | study.measure(c, n) for c in cases for n in DEPTHS[problem]])
    if problem == "saturated":
        return verdicts(study.fading_claims(table))
    return verdicts([*study.reference_claims(table), *study.stiff_claims(table)])


@pytest.mark.parametrize("problem", DEPTHS)
def test_every_prediction_is_seen(problem: str) -> None:
    """At small sizes, with the tolerances of the study."""
    assert set(found(problem).values()) == {"true"}


def h1_with_n_twice(patch: pytest.MonkeyPatch) -> None:
    """n² Σ|Δk|²."""
    right = norms.h1
    patch.setattr(norms, "h1", lambda a, b: right(a, b) * math.sqrt(a.depth))


def power_forgotten(patch: pytest.MonkeyPatch) -> None:
    """n for every γ."""
    patch.setattr(variants, "power", lambda problem, depth, gamma: problem)


def one_depth_for_all(patch: pytest.MonkeyPatch) -> None:
    """α 64^(γ−1) at every n: weights of the right size that do not grow."""
    right = variants.power
    patch.setattr(variants, "power", lambda problem, depth, gamma: right(problem, 64, gamma))


def power_less_one(patch: pytest.MonkeyPatch) -> None:
    """n^(γ−1) instead of n^γ."""
    right = variants.power
    patch.setattr(variants, "power", lambda problem, depth, gamma: right(problem, depth, gamma - 1))


def power_of_wrong_sign(patch: pytest.MonkeyPatch) -> None:
    """α n^(1−γ) instead of α n^(γ−1)."""
    right = variants.power
    patch.setattr(variants, "power", lambda problem, depth, gamma: right(problem, depth, 2 - gamma))


def regulariser_doubled(patch: pytest.MonkeyPatch) -> None:
    """2α where α is asked for on the layers."""
    right = Metric.__init__

    def doubled(self: Metric, *arguments: Any) -> None:
        right(self, *arguments)
        object.__setattr__(self, "alpha", {k: v * (2 if k in "Kb" else 1) for k, v in self.alpha.items()})

    patch.setattr(Metric, "__init__", doubled)


PLANTED: list[Any] = [
    ("saturated", power_of_wrong_sign, ["T10.11", "T10.12", "T10.13"]),
    ("saturated", power_forgotten, ["T10.11", "T10.12", "T10.13"]),
    ("saturated", one_depth_for_all, ["T10.11", "T10.13"]),
    ("reference", h1_with_n_twice, ["T10.14", "T10.17", "T10.18"]),
    ("reference", power_forgotten, ["T10.15", "T10.17", "T10.18", "T10.19"]),
    ("reference", power_less_one, ["T10.16"]),
    pytest.param("reference", regulariser_doubled, ["T10.18", "T10.19"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize("problem, plant, wrong", PLANTED, ids=lambda v: getattr(v, "__name__", None))
def test_a_planted_error_is_found(
    problem: str, plant: Plant, wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claims that rest on what the error changes are false."""
    plant(monkeypatch)
    held = found(problem)
    assert {k: held[k] for k in wrong} == dict.fromkeys(wrong, "false")


def test_committed_results_hold_and_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim is true in the committed table, and each has been seen to fail."""
    held, figures = redone("power", tmp_path, monkeypatch)
    assert set(held.values()) == {"true"}
    assert set(held) == planted_ids(PLANTED)
    assert figures == ["power.png"]


def test_a_failed_row_leaves_the_claims_undecided() -> None:
    """Wherever it is: depths follow one another, and a case without its rows says nothing about γ."""
    study, table = load("power"), read(RESULTS / "power")
    vars(study)["constant_weights"] = constant_weights
    for row in (0, len(table) // 2, len(table) - 1):
        broken = with_failure(table, row, "case", "depth")
        assert set(verdicts(study.claims(broken)).values()) == {"undecided"}


@pytest.mark.slow
def test_weights_constant_in_depth_are_those_of_a_stiff_network() -> None:
    """α = 10⁵ on the increments, τ in proportion, leaves constants; their value is above that of free weights."""
    study, (value, size) = load("power"), constant_weights()
    stiff = replace_layers_alpha(study.PROBLEMS["reference"], 1e5)
    deep = [discrete.minimise(stiff, n, seed=1).value for n in (64, 128)]
    assert 2 * deep[1] - deep[0] == pytest.approx(value, abs=1e-5)
    assert value > REFERENCE_MINIMA[512] and size > 0
    assert study.PROBLEMS["reference"].data.x.tolist() == REFERENCE.x.tolist()


def replace_layers_alpha(problem: Problem, factor: float) -> Problem:
    """α on K and b times a factor, τ divided by it."""
    alpha = {k: v * (factor if k in "Kb" else 1) for k, v in problem.alpha.items()}
    return Problem(problem.data, loss=problem.loss, alpha=alpha, tau={k: v / factor for k, v in problem.tau.items()})


def test_weights_constant_in_depth_are_no_growth() -> None:
    """In the table too, of the size and the distances that are predicted: what is false is the growth alone."""
    study = small("saturated")
    cases = [name for name in study.cases() if name.startswith("saturated")]
    rows = [{"case": c, "depth": n} | study.measure(c, n) for c in cases for n in study.QUICK["DEPTHS"]]
    table = pd.DataFrame(rows)
    assert set(verdicts(study.fading_claims(table)).values()) == {"true"}
    constant = table.assign(slope_norm=table.groupby("case")["slope_norm"].transform("last"))
    assert verdicts(study.fading_claims(constant)) == {"T10.11": "false", "T10.12": "true", "T10.13": "true"}


def test_the_growth_of_a_fading_penalty_is_that_of_the_boundary_value_problem() -> None:
    """Shooting with SciPy for α b'' = −δ sech² b, b(0) = 0, b'(1) = 0, δ = 1 − ∫ tanh b, at α = 10⁻⁶ and 10⁻⁸.

    A network of 10⁴ layers has its δ larger by h/2 than that of its integral, which the problem is given too.
    """

    study = load("power")

    def slope_norm(alpha: float, step: float = 0.0) -> float:
        def path(b1: float, gap: float) -> np.ndarray:
            def right(_: float, s: np.ndarray) -> list[float]:
                return [s[1], -gap / alpha / math.cosh(s[0]) ** 2, math.tanh(s[0]), s[1] ** 2]

            last = integrate.solve_ivp(right, (1, 0), [b1, 0, 0, 0], rtol=1e-10, atol=1e-12)
            return np.asarray(last.y[:, -1])

        def mismatch(unknown: np.ndarray) -> list[float]:
            b, _, mean, _ = path(unknown[0], math.exp(unknown[1]))
            return [b, math.log1p(mean + step / 2) - unknown[1]]

        gap = study.ASINH ** (2 / 3) * alpha ** (1 / 3)
        guess = [math.log(2 * math.sqrt(gap / alpha) * 2 / math.pi), math.log(gap)]
        found = optimize.root(mismatch, guess, tol=1e-10)
        assert found.success
        return math.sqrt(-path(found.x[0], math.exp(found.x[1]))[3])

    for alpha in (1e-6, 1e-8):
        assert slope_norm(alpha) == pytest.approx(study.fading(alpha, math.inf), rel=2 * alpha ** (2 / 3))
        assert slope_norm(alpha, 1e-4) == pytest.approx(study.fading(alpha, 1e4), rel=2 * alpha ** (2 / 3))
