"""The steps of Γ-convergence, against closed forms, sums written out and other integrators."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from problems import REFERENCE, RING_MINIMA, random_case, ring

from deeplimit import Curve, Data, Layers, Problem, discrete, gamma
from deeplimit.control import Hats


def scalar(**options: object) -> Problem:
    """The inputs −1, 0.2, 1 with targets −0.5, 1, 0.3 and squared loss."""
    samples = Data([[-1.0], [0.2], [1.0]], [[-0.5], [1.0], [0.3]])
    return Problem(samples, loss="squared", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("activation", "trainable", "squares"),
    [
        ("tanh", "KbWc", 0.25 + 1 + 0.09),  # z = 0
        ("tanh", "Kb", 0.25 + 0.64 + 0.49),  # z = x
        ("sigmoid", "Kb", 0.0 + 0.09 + 1.44),  # z = x + ½
    ],
)
def test_bounds_are_roots_of_the_objective_with_nothing_trained(
    activation: str, trainable: str, squares: float
) -> None:
    """C₀ is Σ|z − y|² with the untrained blocks at their fixed values; the bounds divide it by α and τ."""
    found = gamma.bounds(scalar(activation=activation, trainable=trainable, alpha=0.5, tau=4.0))
    root = math.sqrt(squares / 0.5)
    wanted = {"'": root, "(0)": root / 2, " sup": root * math.sqrt(1.25)}
    for name, value in wanted.items():
        assert found["K" + name] == pytest.approx(value, rel=1e-14)
        assert found["b" + name] == pytest.approx(value, rel=1e-14)
    heads = {k: v for k, v in found.items() if k in "Wc"}
    assert heads == ({k: pytest.approx(root, rel=1e-14) for k in "Wc"} if "W" in trainable else {})


def test_a_dropped_hypothesis_leaves_no_bound() -> None:
    """Without α or τ nothing bounds the block."""
    found = gamma.bounds(scalar(alpha={"K": 0.0, "b": 1.0, "W": 1.0, "c": 1.0}, tau=0.0, drop_hypotheses=True))
    assert [k for k, v in found.items() if v == math.inf] == ["K'", "K(0)", "K sup", "b(0)", "b sup"]


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_sizes_are_the_norms_written_out(depth: int) -> None:
    """Sums over layers in plain numbers; those of a piecewise linear interpolant are the same."""
    case = random_case("tanh", "squared", seed=depth)
    generator = torch.Generator().manual_seed(depth)
    K, b, W, c = (torch.randn(case.shapes(depth)[k], generator=generator, dtype=torch.float64) for k in "KbWc")
    layers = Layers(K, b, W, c)
    wanted = {"W": math.sqrt(sum(w**2 for w in W.ravel().tolist())), "c": math.sqrt(sum(v**2 for v in c.tolist()))}
    for name, theta in (("K", K.reshape(depth, -1).tolist()), ("b", b.tolist())):
        jumps = sum((v - u) ** 2 for low, high in pairwise(theta) for u, v in zip(low, high, strict=True))
        wanted[f"{name}'"] = math.sqrt(depth * jumps)
        wanted[f"{name}(0)"] = math.sqrt(sum(v**2 for v in theta[0]))
        wanted[f"{name} sup"] = max(math.sqrt(sum(v**2 for v in row)) for row in theta)
    for control in (layers, layers.interpolant()):
        found = gamma.sizes(case.problem(), control)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            # the interpolant is looked at on a grid that misses the nodes i/7
            assert found[name] == pytest.approx(value, rel=1e-12 if "sup" not in name else 2e-2)


def test_compactness_is_one_where_the_bound_is_sharp() -> None:
    """θ(0) = τ⁻¹θ', θ linear is the equality case of |θ(t)|² ≤ (1 + 1/τ)(‖θ'‖² + τ|θ(0)|²), reached at t = 1."""
    problem = scalar(alpha=0.3, tau=2.0, trainable="K")
    C0 = 0.25 + 0.64 + 0.49
    slope = math.sqrt(C0 / 0.3 / (1 + 1 / 2.0))
    curve = Curve(Hats(1), [[[slope / 2]], [[slope]]], [[0.0], [0.0]], [[1.0]], [0.0])  # type: ignore[arg-type]
    assert gamma.compactness(problem, curve) == pytest.approx(1, rel=1e-14)


def test_compactness_of_minimisers_is_at_most_one_and_does_not_grow() -> None:
    """Minimisers lie below E_n(0) at every depth, and the bounds are the same at every depth."""
    problem = ring().problem()
    best = discrete.branches(problem, 16, starts=16)[0]
    assert best.value == pytest.approx(RING_MINIMA[16], rel=1e-9)
    found = [gamma.compactness(problem, m.control) for m in discrete.branch(problem, [16, 64], start=best.control)]
    assert 0.1 < max(found) <= 1
    assert abs(found[1] - found[0]) < 0.02


def test_compactness_counts_only_what_is_trained_and_can_fail() -> None:
    """Large weights exceed the bounds; with a perfect fit at zero only zero weights are allowed."""
    big = Layers(100 * torch.ones(3, 1, 1), torch.zeros(3, 1), torch.zeros(1, 1), torch.zeros(1))
    assert gamma.compactness(REFERENCE.problem(), big) > 1
    with pytest.raises(ValueError, match="W is not trainable"):
        gamma.compactness(scalar(trainable="Kb"), big)
    fitted = Problem(Data([[1.0]], [[1.0]]), loss="squared", trainable="K")
    layers = Layers(torch.zeros(2, 1, 1), torch.zeros(2, 1), torch.ones(1, 1), torch.zeros(1))
    assert gamma.compactness(fitted, layers) == 0
    moved = Layers(torch.ones(2, 1, 1), torch.zeros(2, 1), torch.ones(1, 1), torch.zeros(1))
    assert gamma.compactness(fitted, moved) == math.inf


def test_a_control_of_another_kind_is_refused() -> None:
    """One sentence that names the kinds."""
    with pytest.raises(TypeError, match="control must be Layers or Curve, got ndarray"):
        gamma.compactness(REFERENCE.problem(), np.zeros(3))  # type: ignore[arg-type]
