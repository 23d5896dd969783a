"""Each control of the study can fail: an error planted in the code under test turns its verdict to "false"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from loading import STUDIES, load
from problems import REFERENCE, REFERENCE_MINIMA
from scipy import integrate, optimize

from deeplimit import activation, counterexample, discrete, norms, optimise, variants
from deeplimit.coordinates import LayerCoordinates, Metric
from deeplimit.counterexample import Oscillation, UntiedCoordinates
from deeplimit.problem import Problem
from deeplimit.study import read

SMALL: dict[str, Any] = {
    "ORDER_DEPTHS": [12, 24],
    "PAIR_DEPTHS": [12, 24],
    "PAIRS": 10,
    "TRAIN_DEPTHS": [12, 24, 48, 96],
    "POWER_DEPTHS": [8, 16, 32, 64],
    "STARTS": 2,
    "TAUS": [1.0, 1e-3, 1e-5],
    "HEAD_ALPHAS": [1.0, 1e-4, 1e-8],
    "TOLERANCES": [1e-6, 1e-10],
    "DEPTH": 8,
    "UNSTABLE_DEPTHS": [8],
    "FACTORS": [0.9, 1.1],
    "RING_ALPHAS": [0.01],
    "RING_SEEDS": [4],
}
# The rows that a group of claims is made of, by the beginnings of their names, and other sizes.
GROUPS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "order_claims": (("orders:",), {}),
    "distance_claims": (("distances:",), {}),
    "training_claims": (("untied:", "tied:"), {}),
    "fading_claims": (("power: saturated",), {"POWER_DEPTHS": [16, 32, 64]}),
    "power_claims": (("power: reference",), {}),
    "start_claims": (("start:", "runaway start:"), {}),
    "head_claims": (("head:", "runaway head:"), {}),
    "trivial_claims": (("trivial:", "unstable:"), {}),
}


@cache
def constant_weights() -> tuple[float, float]:
    """By SciPy alone, so that no planted error reaches it: once is enough."""
    found: tuple[float, float] = load("hypotheses", **SMALL).constant_weights()
    return found


def verdicts(group: str) -> dict[str, str]:
    """The verdicts of a group of claims, from rows measured now, by a study loaded afresh."""
    parts, sizes = GROUPS[group]
    study = load("hypotheses", **SMALL | sizes)
    vars(study)["constant_weights"] = constant_weights
    rows = [{"case": name} | study.measure(name) for name in study.cases() if name.startswith(parts)]
    return {found.id: found.holds for found in getattr(study, group)(pd.DataFrame(rows))}


@pytest.mark.parametrize("group", GROUPS)
def test_every_predicted_failure_is_seen(group: str) -> None:
    """At small sizes, with the tolerances of the study."""
    found = verdicts(group)
    assert set(found.values()) == {"true"}, found


# Errors to plant. Each takes pytest's monkeypatch.

Plant = Callable[[pytest.MonkeyPatch], None]


def identity_instead_of_relu(patch: pytest.MonkeyPatch) -> None:
    """Both points move with every weight."""
    patch.setitem(activation.ACTIVATIONS, "relu", activation.ACTIVATIONS["identity"])


def wrong_share(patch: pytest.MonkeyPatch) -> None:
    """The closed form of another share of positive weights."""
    patch.setattr(Oscillation, "end_states", lambda self, n: ((1 + 1.2 / n) ** (n // 2), -((1 - 1.2 / n) ** (n // 2))))


def uneven_weights(patch: pytest.MonkeyPatch) -> None:
    """The first layer a tenth larger."""
    right = counterexample.network
    patch.setattr(counterexample, "network", lambda k: right(k * np.where(np.arange(len(k)) == 0, 1.1, 1.0)))


def h1_without_n(patch: pytest.MonkeyPatch) -> None:
    """Σ|Δk|² instead of n Σ|Δk|²."""
    right = norms.h1
    patch.setattr(norms, "h1", lambda a, b: right(a, b) / math.sqrt(a.depth))


def h1_with_n_twice(patch: pytest.MonkeyPatch) -> None:
    """n² Σ|Δk|²."""
    right = norms.h1
    patch.setattr(norms, "h1", lambda a, b: right(a, b) * math.sqrt(a.depth))


def best_coupling_always(patch: pytest.MonkeyPatch) -> None:
    """The TL² distance where that of the extensions is asked for."""
    right = norms.tl2
    patch.setattr(norms, "tl2", lambda a, b, exact=False: right(a, b, exact=True))


def identity_coupling_always(patch: pytest.MonkeyPatch) -> None:
    """The distance of the extensions where the best coupling is asked for."""
    right = norms.tl2
    patch.setattr(norms, "tl2", lambda a, b, exact=False: right(a, b))


def times_alone(patch: pytest.MonkeyPatch) -> None:
    """The coupling of the layers without the values of the weights."""
    right = norms.tl2

    def tl2(a: Any, b: Any, exact: bool = False) -> float:
        zeros = [counterexample.network(np.zeros(layers.depth)) for layers in (a, b)]
        return right(*zeros, exact=exact)

    patch.setattr(norms, "tl2", tl2)


def tied_for_untied(patch: pytest.MonkeyPatch) -> None:
    """The H¹ penalty where the L² one is asked for."""
    patch.setattr(
        counterexample, "minimise_untied", lambda problem, start: discrete.minimise(problem, start.depth, start=start)
    )


def untied_for_tied(patch: pytest.MonkeyPatch) -> None:
    """The L² penalty where the H¹ one is asked for."""
    right = counterexample.minimise_untied
    patch.setattr(discrete, "minimise", lambda problem, depth, start: right(problem, start))


def sum_for_mean(patch: pytest.MonkeyPatch) -> None:
    """α Σ|θ_i|² without its 1/n."""

    def scaling(self: UntiedCoordinates, block: str, stretch: float) -> tuple[torch.Tensor, np.ndarray]:
        root = math.sqrt(self.metric.alpha[block])
        return torch.full((self.rows,), root, dtype=torch.float64), np.ones(self.rows)

    patch.setattr(UntiedCoordinates, "_scaling", scaling)


def power_forgotten(patch: pytest.MonkeyPatch) -> None:
    """n for every γ."""
    patch.setattr(variants, "power", lambda problem, depth, gamma: problem)


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


def tau_forgotten(patch: pytest.MonkeyPatch) -> None:
    """|θ_0|² always with the weight α."""
    right = Problem.metric.fget  # type: ignore[attr-defined]
    patch.setattr(Problem, "metric", property(lambda self: replace(right(self), tau={"K": 1.0, "b": 1.0})))


def alpha_of_head_forgotten(patch: pytest.MonkeyPatch) -> None:
    """|W|² always with the weight 1."""
    right = Problem.metric.fget  # type: ignore[attr-defined]

    def metric(self: Problem) -> Metric:
        found = right(self)
        return replace(found, alpha=found.alpha | {"W": 1.0})

    patch.setattr(Problem, "metric", property(metric))


def alpha_always(value: float) -> Plant:
    """One α, whatever is asked for."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        right = Problem.metric.fget  # type: ignore[attr-defined]
        patch.setattr(
            Problem, "metric", property(lambda self: replace(right(self), alpha=dict.fromkeys("KbWc", value)))
        )

    plant.__name__ = f"alpha_always_{value:g}"
    return plant


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
    ("order_claims", identity_instead_of_relu, ["T10.1", "T10.3"]),
    ("order_claims", wrong_share, ["T10.1"]),
    ("order_claims", uneven_weights, ["T10.1", "T10.2"]),
    ("distance_claims", h1_without_n, ["T10.4"]),
    ("distance_claims", best_coupling_always, ["T10.5"]),
    ("distance_claims", identity_coupling_always, ["T10.6"]),
    ("distance_claims", times_alone, ["T10.5", "T10.7"]),
    ("training_claims", tied_for_untied, ["T10.8", "T10.9"]),
    ("training_claims", untied_for_tied, ["T10.10"]),
    ("training_claims", sum_for_mean, ["T10.9"]),
    ("fading_claims", power_of_wrong_sign, ["T10.11", "T10.12", "T10.13"]),
    ("power_claims", h1_with_n_twice, ["T10.14", "T10.17", "T10.18"]),
    ("power_claims", power_forgotten, ["T10.15", "T10.17", "T10.18", "T10.19"]),
    ("power_claims", power_less_one, ["T10.16"]),
    pytest.param("power_claims", regulariser_doubled, ["T10.18", "T10.19"], marks=pytest.mark.slow),
    ("start_claims", tau_forgotten, ["T10.21", "T10.22", "T10.23", "T10.24", "T10.25"]),
    ("head_claims", alpha_of_head_forgotten, ["T10.31", "T10.32", "T10.33", "T10.34", "T10.35"]),
    ("trivial_claims", alpha_always(0.01), ["T10.41", "T10.44", "T10.45"]),
    ("trivial_claims", alpha_always(1.0), ["T10.43"]),
    ("trivial_claims", second_derivative_forgotten, ["T10.44", "T10.45"]),
    ("trivial_claims", curvature_halved, ["T10.42", "T10.44"]),
]


@pytest.mark.parametrize("group, plant, wrong", PLANTED, ids=lambda v: getattr(v, "__name__", None))
def test_a_planted_error_is_found(group: str, plant: Plant, wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The claims that rest on what the error changes are false."""
    plant(monkeypatch)
    found = verdicts(group)
    assert {k: found[k] for k in wrong} == dict.fromkeys(wrong, "false")


def test_every_claim_has_been_seen_to_fail() -> None:
    """No claim of the study is without a planted error."""
    source = (STUDIES / "hypotheses.py").read_text(encoding="utf-8")
    seen = {identifier for plant in PLANTED for identifier in getattr(plant, "values", plant)[2]}
    named = {word.strip('",') for word in source.split() if word.startswith('"T10.')}
    assert named == seen


def test_committed_results_hold_and_can_be_drawn(tmp_path: Path) -> None:
    """Every claim is true in the committed table, which the figures are made from."""
    study = load("hypotheses")
    table = read(STUDIES.parent / "results" / "hypotheses")
    assert {found.id: found.holds for found in study.claims(table) if found.holds != "true"} == {}
    study.draw(table, str(tmp_path / "hypotheses"))
    names = ["hypotheses.png", "hypotheses_distances.png", "hypotheses_orders.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_failed_row_leaves_its_claims_undecided() -> None:
    """A row with a failure has no number; the claims that rest on its part say so, and none raises."""
    study = load("hypotheses")
    table = read(STUDIES.parent / "results" / "hypotheses")
    for part in table["part"].unique():
        broken = table.copy()
        row = broken.index[broken["part"] == part][-1]
        broken.loc[row, [c for c in broken if c not in ("case", "status")]] = np.nan
        broken.loc[row, "status"] = "failed: ValueError: planted"
        assert "undecided" in {found.holds for found in study.claims(broken)}, part


# What the study predicts, by other means


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("hypotheses", **SMALL)


@pytest.mark.slow
def test_weights_constant_in_depth_are_those_of_a_stiff_network(study: ModuleType) -> None:
    """α = 10⁵ on the increments, τ in proportion, leaves constants; their value is above that of free weights."""
    value, size = constant_weights()
    stiff = replace_layers_alpha(study.REFERENCE, 1e5)
    deep = [discrete.minimise(stiff, n, seed=1).value for n in (64, 128)]
    assert 2 * deep[1] - deep[0] == pytest.approx(value, abs=1e-5)
    assert value > REFERENCE_MINIMA[512] and size > 0
    assert study.REFERENCE.data.x.tolist() == REFERENCE.x.tolist()


def replace_layers_alpha(problem: Problem, factor: float) -> Problem:
    """α on K and b times a factor, τ divided by it."""
    alpha = {k: v * (factor if k in "Kb" else 1) for k, v in problem.alpha.items()}
    return Problem(problem.data, loss=problem.loss, alpha=alpha, tau={k: v / factor for k, v in problem.tau.items()})


def test_the_growth_of_a_fading_penalty_is_that_of_the_boundary_value_problem(study: ModuleType) -> None:
    """Shooting with SciPy for α b'' = −δ sech² b, b(0) = 0, b'(1) = 0, δ = 1 − ∫ tanh b, at α = 10⁻⁶ and 10⁻⁸."""

    def slope_norm(alpha: float) -> float:
        def path(b1: float, gap: float) -> np.ndarray:
            def right(_: float, s: np.ndarray) -> list[float]:
                return [s[1], -gap / alpha / math.cosh(s[0]) ** 2, math.tanh(s[0]), s[1] ** 2]

            last = integrate.solve_ivp(right, (1, 0), [b1, 0, 0, 0], rtol=1e-10, atol=1e-12)
            return np.asarray(last.y[:, -1])

        def mismatch(unknown: np.ndarray) -> list[float]:
            b, _, mean, _ = path(unknown[0], math.exp(unknown[1]))
            return [b, math.log1p(mean) - unknown[1]]

        gap = study.ASINH ** (2 / 3) * alpha ** (1 / 3)
        guess = [math.log(2 * math.sqrt(gap / alpha) * 2 / math.pi), math.log(gap)]
        found = optimize.root(mismatch, guess, tol=1e-10)
        assert found.success
        return math.sqrt(-path(found.x[0], math.exp(found.x[1]))[3])

    for alpha in (1e-6, 1e-8):
        assert slope_norm(alpha) == pytest.approx(study.fading(alpha), rel=2 * alpha ** (1 / 3))


def test_the_bound_on_the_ring_holds_for_random_networks(study: ModuleType) -> None:
    """E_n ≥ log 2 at the α of the bound, for networks of every size."""
    problem = study._ring(study.trivial_bound())
    coordinates = LayerCoordinates(problem.metric, 8)
    random = np.random.default_rng(0)
    for size in np.geomspace(1e-2, 3, 100):
        direction = random.standard_normal(coordinates.size)
        layers = coordinates.control(size * direction / np.linalg.norm(direction))
        assert discrete.objective(problem, layers) > math.log(2)


def test_roots_solve_their_equations(study: ModuleType) -> None:
    """d/dβ and d/dW of the scalar objectives change sign there."""
    for penalty in (1e-2, 1e-6):
        beta = study.bias_root(1.0, penalty)
        values = [(math.tanh(v) - 1) ** 2 + penalty * v**2 for v in (beta - 0.01, beta, beta + 0.01)]
        assert values[1] < min(values[0], values[2])
        head = study.head_root(penalty)
        values = [2 * math.log1p(math.exp(-v)) + penalty * v**2 for v in (head - 0.01, head, head + 0.01)]
        assert values[1] < min(values[0], values[2])
