"""Coordinates in which the regulariser is |u|²: the truth is the regulariser itself, and dot products."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from problems import BLOCKS, DEEP, Case, layers, random_case, random_weights

from deeplimit import Curve, Layers
from deeplimit.control import Basis, Hats, Legendre, Weights
from deeplimit.coordinates import CurveCoordinates, LayerCoordinates, Metric

SUBSETS = ["".join(k) for size in (1, 2, 3, 4) for k in combinations(BLOCKS, size)]
TIMES = np.linspace(0, 1, 13)


def case(trainable: str = BLOCKS, seed: int = 0) -> Case:
    """d = 2, m = 2, α and τ different for every block."""
    return random_case("tanh", "squared", seed, m=2, trainable=trainable)


def metric(trainable: str = BLOCKS, seed: int = 0) -> Metric:
    c = case(trainable, seed)
    return Metric(c.d, c.m, c.alpha, c.tau, trainable)


def network(trainable: str = BLOCKS, depth: int = 5, seed: int = 0) -> Layers:
    return layers(random_weights(case(trainable), depth, seed))


def vector(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def dot(a: Weights, b: Weights | Layers) -> float:
    return sum(float((getattr(a, k) * getattr(b, k)).sum()) for k in BLOCKS)


def energy(c: Case, curve: Curve) -> float:
    """Σ α (∫|θ'|² + τ |θ(0)|²) + α_W |W|² + α_c |c|² by quadrature, trainable blocks only."""
    cells = curve.basis.size
    nodes, weights = leggauss(12)
    t = ((np.arange(cells)[:, None] + (nodes + 1) / 2) / cells).ravel()
    w = np.tile(weights / 2 / cells, cells)
    slopes, starts = curve.derivative(t), curve.at(0.0)
    total = 0.0
    for k in c.trainable:
        if k in DEEP:
            slope, start = slopes[DEEP.index(k)].flatten(1), starts[DEEP.index(k)]
            total += c.alpha[k] * (w @ slope.square().sum(1).numpy() + c.tau[k] * float(start.square().sum()))
        else:
            total += c.alpha[k] * float(getattr(curve, k).square().sum())
    return total


# Networks


@pytest.mark.parametrize("trainable", SUBSETS)
@pytest.mark.parametrize("depth", [1, 2, 7])
def test_the_regulariser_is_the_square_of_u(trainable: str, depth: int) -> None:
    """α (n Σ|θ_i − θ_{i−1}|² + τ|θ_0|²) = |u|² for u_0 = √(ατ) θ_0, u_i = √(αn) (θ_i − θ_{i−1})."""
    c, net = case(trainable), network(trainable, depth)
    coordinates = LayerCoordinates(metric(trainable), depth)
    u = coordinates.vector(net)
    assert len(u) == coordinates.size == c.size(depth) and coordinates.stages == depth
    assert (coordinates.penalty == 1).all()
    expected = float(c.regulariser({k: getattr(net, k) for k in BLOCKS}))
    assert u @ u == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(u, c.to_u(net).numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("trainable", SUBSETS)
def test_weights_and_vector_are_inverse(trainable: str) -> None:
    """weights(vector(Θ)) = Θ with the fixed blocks at K = 0, b = 0, W = identity, c = 0, and vector(control(u)) = u."""
    net = network(trainable)
    coordinates = LayerCoordinates(metric(trainable), 5)
    back = coordinates.weights(coordinates.vector(net))
    for k in BLOCKS:
        torch.testing.assert_close(getattr(back, k), getattr(net, k), rtol=1e-13, atol=1e-14)
        if k not in trainable:
            assert torch.equal(getattr(back, k), case(trainable).fixed(k, 5))
    u = vector(coordinates.size)
    control = coordinates.control(u)
    assert isinstance(control, Layers)
    np.testing.assert_allclose(coordinates.vector(control), u, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("trainable", SUBSETS)
def test_the_linear_part_has_zero_for_fixed_blocks(trainable: str) -> None:
    """A direction moves no block that is not trained: weights(u) = weights(0) + linear part."""
    coordinates = LayerCoordinates(metric(trainable), 4)
    u = vector(coordinates.size)
    whole, base, part = coordinates.weights(u), coordinates.weights(0 * u), coordinates.weights(u, fixed=False)
    for k in BLOCKS:
        torch.testing.assert_close(getattr(whole, k), getattr(base, k) + getattr(part, k), rtol=1e-14, atol=1e-15)
        assert k in trainable or not getattr(part, k).any()


def every_coordinates(trainable: str) -> list[Any]:
    m = metric(trainable)
    return [
        LayerCoordinates(m, 1),
        LayerCoordinates(m, 6),
        CurveCoordinates(m, Legendre(5), TIMES),
        CurveCoordinates(m, Hats(4), TIMES),
    ]


@pytest.mark.parametrize("trainable", SUBSETS)
def test_collect_is_the_transpose_of_weights(trainable: str) -> None:
    """G·weights(u) = collect(G)·u for every G: so a gradient in the weights becomes one in u."""
    for coordinates in every_coordinates(trainable):
        u = vector(coordinates.size)
        w = coordinates.weights(u, fixed=False)
        random = torch.Generator().manual_seed(1)
        G = Weights(*(torch.randn(theta.shape, generator=random, dtype=torch.float64) for theta in w))
        assert dot(G, w) == pytest.approx(coordinates.collect(G) @ u, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("trainable", SUBSETS)
def test_pull_is_the_transpose_of_vector(trainable: str) -> None:
    """v·vector(Θ) = pull(v)·Θ over the trainable blocks; the fixed ones get zero."""
    for depth in (1, 2, 6):
        coordinates = LayerCoordinates(metric(trainable), depth)
        net, v = network(trainable, depth), vector(coordinates.size)
        pulled = coordinates.pull(v)
        assert v @ coordinates.vector(net) == pytest.approx(dot(pulled, net), rel=1e-13, abs=1e-13)
        assert all(not getattr(pulled, k).any() for k in BLOCKS if k not in trainable)
        assert all(getattr(pulled, k).shape == getattr(net, k).shape for k in BLOCKS)


@pytest.mark.parametrize(("coarse", "fine"), [(1, 3), (4, 8), (5, 15), (16, 64)])
def test_prolongation_has_orthonormal_columns(coarse: int, fine: int) -> None:
    """Each increment splits into r equal ones divided by √r, so |Pu| = |u| and PᵀP = I for integer ratios r."""
    m = metric()
    source, target = LayerCoordinates(m, coarse), LayerCoordinates(m, fine)
    columns = [target.vector(source.control(e).refine(fine)) for e in np.eye(source.size)]
    P = np.column_stack(columns) - target.vector(source.control(np.zeros(source.size)).refine(fine))[:, None]
    np.testing.assert_allclose(P.T @ P, np.eye(source.size), atol=1e-13)


def test_curves_and_networks_share_their_coordinates_in_the_limit() -> None:
    """u of a network's interpolant has the length of u of the network, on its own cells and on any finer ones."""
    m, net = metric(), network(depth=6)
    u = LayerCoordinates(m, 6).vector(net)
    for cells in (6, 12, 30):
        v = CurveCoordinates(m, Hats(cells), TIMES).vector(net)
        assert np.linalg.norm(v) == pytest.approx(np.linalg.norm(u), rel=1e-13)


# Curves


@pytest.mark.parametrize(("basis", "trainable"), [*product([Legendre(6), Hats(5)], ["KbWc", "K", "bW", "Wc"])], ids=str)
def test_the_regulariser_of_a_curve_is_the_square_of_u(basis: Basis, trainable: str) -> None:
    """α (∫|θ'|² + τ|θ(0)|²) = |u|², by quadrature."""
    c = case(trainable)
    coordinates = CurveCoordinates(metric(trainable), basis, TIMES)
    u = vector(coordinates.size)
    curve = coordinates.control(u)
    assert energy(c, curve) == pytest.approx(u @ u, rel=1e-12)
    np.testing.assert_allclose(coordinates.vector(curve), u, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("trainable", SUBSETS)
def test_weights_of_a_curve_are_its_values_at_the_times(trainable: str) -> None:
    """weights(u) = (K(t), b(t), W, c) at the times given, fixed blocks at their fixed values."""
    for basis in (Legendre(4), Hats(3)):
        coordinates = CurveCoordinates(metric(trainable), basis, TIMES)
        u = vector(coordinates.size)
        w, curve = coordinates.weights(u), coordinates.control(u)
        K, b = curve.at(TIMES)
        assert coordinates.stages == len(TIMES)
        for found, wanted in zip(w, (K, b, curve.W, curve.c), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-13)
        for k in BLOCKS:
            if k not in trainable:
                theta = getattr(w, k)
                assert torch.equal(theta, case(trainable).fixed(k, len(TIMES)))


# The metric


def sizes(curve: Curve, trainable: str) -> tuple[float, float, float]:
    """sup_t |(K, b)(t)|, ‖(K', b')‖ and |(W, c)| without the blocks that are fixed."""
    t = (np.arange(420) + 0.5) / 420
    sup, slope = (
        sum(theta.flatten(1).square().sum(1) for theta in at) for at in (curve.at([*t, 1.0]), curve.derivative(t))
    )
    head = sum(float(getattr(curve, k).square().sum()) for k in "Wc" if k in trainable)
    return math.sqrt(float(sup.max())), math.sqrt(float(slope.mean())), math.sqrt(head)


@given(st.sampled_from([Legendre(1), Legendre(6), Hats(1), Hats(7)]), st.integers(0, 10_000), st.sampled_from(SUBSETS))
@settings(derandomize=True, max_examples=60, deadline=None, database=None)
def test_the_embedding_constant_is_a_bound(basis: Basis, seed: int, trainable: str) -> None:
    """|θ(t)| ≤ |θ(0)| + √t ‖θ'‖, so sup_t |(K, b)(t)| ≤ C |u| for every curve; so are ‖(K', b')‖ and |(W, c)|."""
    m = metric(trainable, seed)
    coordinates = CurveCoordinates(m, basis, TIMES)
    u = vector(coordinates.size, seed)
    bound = m.embedding() * np.linalg.norm(u)
    assert max(sizes(coordinates.control(u), trainable)) <= bound * (1 + 1e-3 * (basis == Legendre(6)) + 1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_embedding_constant_is_attained(seed: int) -> None:
    """By a line θ(t) = 1/τ + t in one entry, or by one entry of the head: no smaller constant is true."""
    m, reached = metric(seed=seed), []
    for k in BLOCKS:
        blocks = {q: torch.zeros(2, 2, 2).double()[(0,) * (q not in DEEP)] for q in "KW"}
        blocks |= {q: torch.zeros(2, 2).double()[(0,) * (q not in DEEP)] for q in "bc"}
        entry = blocks[k].reshape(2 if k in DEEP else 1, -1)[:, 0]
        entry[:] = torch.tensor([1 / m.tau[k], 1.0]) if k in DEEP else 1.0
        curve = Curve(Hats(1), *(blocks[q] for q in BLOCKS))
        reached.append(max(sizes(curve, BLOCKS)) / np.linalg.norm(CurveCoordinates(m, Hats(1), TIMES).vector(curve)))
    assert max(reached) == pytest.approx(m.embedding(), rel=1e-13)


def test_without_alpha_or_tau_there_is_no_embedding() -> None:
    """The seminorm alone, or no norm at all, bounds nothing; blocks that are not trained do not matter."""
    one = dict.fromkeys(BLOCKS, 1.0)
    assert Metric(1, 1, one | {"K": 0.0}, {"K": 1.0, "b": 1.0}, BLOCKS).embedding() == math.inf
    assert Metric(1, 1, one | {"c": 0.0}, {"K": 1.0, "b": 1.0}, BLOCKS).embedding() == math.inf
    assert Metric(1, 1, one, {"K": 1.0, "b": 0.0}, BLOCKS).embedding() == math.inf
    assert Metric(1, 1, one, {"K": 1.0, "b": 0.0}, "KWc").embedding() == pytest.approx(math.sqrt(2))
    assert Metric(1, 1, one | {"W": 0.25}, {}, "Wc").embedding() == pytest.approx(2)


@pytest.mark.parametrize("trainable", SUBSETS)
def test_draws_are_lines_with_fixed_blocks_fixed(trainable: str) -> None:
    """K and b are linear in t, W and c random, what is not trained at its fixed value; the problem accepts it."""
    m = metric(trainable)
    start = m.draw(3)
    m.check(start)
    for end, middle, origin in zip(start.at(1.0), start.at(0.5), start.at(0.0), strict=True):
        torch.testing.assert_close(middle, (origin + end) / 2, rtol=1e-14, atol=1e-15)
    for k in BLOCKS:
        theta = getattr(start, k)
        fixed = case(trainable).fixed(k, len(theta))
        assert torch.equal(theta, fixed) if k not in trainable else bool((theta != 0).all())


def test_draws_depend_on_the_seed_alone() -> None:
    """The same seed gives the same start whatever was drawn before, another seed another; no global generator moves."""
    m = metric()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = m.draw(1), m.draw(1), m.draw(2)
    assert torch.equal(torch.get_rng_state(), before)
    for k in BLOCKS:
        assert torch.equal(getattr(first, k), getattr(again, k))
        assert not torch.equal(getattr(first, k), getattr(other, k))


def test_draws_are_standard_normal_at_both_ends() -> None:
    """Mean 0 and variance 1 of K(0) and K(1), independent of one another, over 20 000 entries."""
    m = Metric(100, 100, dict.fromkeys(BLOCKS, 1.0), dict.fromkeys(DEEP, 1.0), BLOCKS)
    ends = [torch.cat([m.draw(seed).at(t)[0].ravel() for seed in (0, 1)]) for t in (0.0, 1.0)]
    for entries in (*ends, torch.cat([m.draw(s).W.ravel() for s in (0, 1)])):
        assert abs(float(entries.mean())) < 0.03 and float(entries.var()) == pytest.approx(1, abs=0.04)
    assert abs(float((ends[0] * ends[1]).mean())) < 0.03


@pytest.mark.parametrize(("d", "m", "block"), [(3, 2, "K"), (2, 3, "W")])
def test_controls_of_other_shapes_are_refused(d: int, m: int, block: str) -> None:
    """The message names the block, the shape it should have and the one it has."""
    shapes = {"K": (4, d, d), "b": (4, d), "W": (m, d), "c": (m,)}
    stranger = Layers(*(torch.zeros(shapes[k]) for k in BLOCKS))
    wanted, got = {"K": (r"\(2, 2\)", r"\(4, 3, 3\)"), "W": (r"\(2, 2\)", r"\(3, 2\)")}[block]
    for control in (stranger, stranger.interpolant()):
        with pytest.raises(ValueError, match=f"{block} does not fit the problem: it wants {wanted} at each depth"):
            metric().check(control)
    with pytest.raises(ValueError, match=f"got {got}"):
        metric().check(stranger)


@pytest.mark.parametrize("block", BLOCKS)
def test_untrained_blocks_must_have_their_fixed_value(block: str) -> None:
    """A control with K ≠ 0 is none of a problem that does not train K; nor is one of the trained blocks at fault."""
    others = BLOCKS.replace(block, "")
    net = network(BLOCKS)
    pieces = {k: case(others).fixed(k, 5) if k not in others else getattr(net, k) for k in BLOCKS}
    metric(others).check(Layers(**pieces))
    what = "the identity" if block == "W" else "zero"
    with pytest.raises(ValueError, match=f"{block} is not trainable in this problem, so it must be {what}"):
        metric(others).check(Layers(**(pieces | {block: getattr(net, block)})))


@pytest.mark.parametrize("what", ["alpha", "tau"])
def test_a_dropped_hypothesis_is_left_out_of_the_penalty(what: str) -> None:
    """With α_K = 0 or τ_K = 0 the coordinates keep the scale of 1 and the regulariser does not see them."""
    c = case()
    alpha, tau = (
        {**values, "K": 0.0} if what == key else values for key, values in (("alpha", c.alpha), ("tau", c.tau))
    )
    m = Metric(c.d, c.m, alpha, tau, BLOCKS)
    net, coordinates = network(), LayerCoordinates(m, 5)
    u = coordinates.vector(net)
    dropped = Case(c.x, c.y, c.activation, c.loss, alpha, tau)
    expected = float(dropped.regulariser({k: getattr(net, k) for k in BLOCKS}))
    assert np.sum((coordinates.penalty * u) ** 2) == pytest.approx(expected, rel=1e-13)
    torch.testing.assert_close(coordinates.weights(u).K, net.K, rtol=1e-13, atol=1e-14)
    assert set(coordinates.penalty) == {0.0, 1.0}
    assert (coordinates.penalty == 0).sum() == (5 * 4 if what == "alpha" else 4)
