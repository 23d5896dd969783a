"""Bounds of chains: equality where it is known, never violated elsewhere; truths are closed forms and autograd."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from deeplimit import Data, activation, data, loss, network
from deeplimit.control import Layers
from deeplimit.lipschitz import ascent, bounds, feedforward, residual
from deeplimit.lipschitz.ascent import output
from deeplimit.lipschitz.bounds import bound, residual_uniform
from deeplimit.lipschitz.chain import Chain, Layer, parameters
from deeplimit.lipschitz.objective import Objective, slopes
from deeplimit.lipschitz.region import Ball, Balls
from deeplimit.problem import Problem

SMOOTH = ["tanh", "sigmoid", "arctan", "softplus0", "silu", "identity"]
X = torch.tensor([[0.6, 0.8], [-0.3, 0.2]], dtype=torch.float64)
CHAINS = {
    "2-3-1": feedforward([2, 3, 1], "tanh", "tanh"),
    "2-4-3-2": feedforward([2, 4, 3, 2], "silu"),
    "sigmoid": feedforward([2, 2, 3, 1], "sigmoid", "arctan"),
    "no bias": feedforward([2, 3, 3], "softplus0", bias=False),
    "residual": residual(4, 2, activation="tanh"),
    "residual with head": residual(5, 2, 3, activation="arctan"),
}


def hessian(f: Any) -> Any:
    """By two reverse sweeps; a forward one loads a deprecated part of torch."""
    return jacrev(jacrev(f))


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def climbed_first(region: Balls, x: Tensor) -> float:
    """The largest ‖∂z/∂θ‖₂ that eight ascents meet."""
    return ascent.climb_first(output(region.chain, x), region.project, region.draw(8, 0)).largest


def climbed_second(region: Balls, x: Tensor) -> float:
    """The same of ‖∂²z/∂θ²‖."""
    return ascent.climb_second(output(region.chain, x), region.project, region.draw(8, 0)).largest


def regions(chain: Chain) -> list[Balls | Ball]:
    centre = Balls(chain, 0.8, 0.5).draw(1, seed=5)[0]
    return [Balls(chain, 1.2, 0.7), Ball(chain, centre, 0.6)]


def numpy_output(chain: Chain, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """z by a loop in NumPy, tanh only."""
    at = 0
    for layer in chain.layers:
        A = theta[at : at + layer.outputs * layer.inputs].reshape(layer.outputs, layer.inputs) / math.sqrt(layer.step)
        at += A.size
        b = theta[at : at + layer.outputs] / math.sqrt(layer.step)
        at += layer.outputs
        f = (A @ x + b) if layer.activation.name == "identity" else np.tanh(A @ x + b)
        x = layer.step * f + (x if layer.skip else 0)
    return x


@pytest.mark.parametrize("chain", [feedforward([2, 3, 3, 1]), residual(3, 2, 2)], ids=["feed-forward", "residual"])
def test_a_chain_is_its_formula(chain: Chain) -> None:
    """x⁺ = a x + h σ(A x + b), a batch of parameters at once; split and join are inverse."""
    theta = torch.randn(3, chain.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = chain(theta, X)
    for r, s in itertools.product(range(3), range(2)):
        assert got[r, s].numpy() == pytest.approx(numpy_output(chain, theta[r].numpy(), X[s].numpy()), rel=1e-14)
    torch.testing.assert_close(chain.join(chain.split(theta)), theta)


def test_a_residual_chain_is_the_network_of_the_package_in_the_norm_of_l2() -> None:
    """The same output, and |θ|² is (1/n) Σ |(K_i, b_i)|² + |W|² + |c|²."""
    problem = Problem(data.ring(), loss="softmax")
    layers = problem.metric.draw(3).sample(7)
    chain = residual(7, 2, 2)
    theta = parameters(chain, layers)
    z = network.states(problem, layers)[-1] @ layers.W.T + layers.c
    torch.testing.assert_close(chain(theta, problem.data.x), z)
    squares = [float(v.square().sum()) for v in (layers.K, layers.b, layers.W, layers.c)]
    assert float(theta.square().sum()) == pytest.approx((squares[0] + squares[1]) / 7 + squares[2] + squares[3])


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7])
def test_the_scalar_linear_chain_attains_both_bounds(length: int) -> None:
    """f = a_1 ⋯ a_l x at a_i = B: |∇f| = √l |x| B^(l−1), and ∇²f has the eigenvalue (l − 1) |x| B^(l−2)."""
    B, x = 1.7, 0.8
    chain = feedforward([1] * (length + 1), "identity", bias=False)
    found = bound(Balls(chain, B, 0.0), tensor([[x]]))
    assert found.first.item() == pytest.approx(math.sqrt(length) * x * B ** (length - 1), rel=1e-14)
    assert found.second.item() == pytest.approx((length - 1) * x * B ** (length - 2), rel=1e-14, abs=1e-300)
    assert found.state.item() == pytest.approx(x * B**length, rel=1e-14)


@pytest.mark.parametrize(("name", "where"), [("tanh", math.atanh(1 / math.sqrt(3))), ("arctan", 1 / math.sqrt(3))])
def test_one_layer_attains_both_bounds(name: str, where: float) -> None:
    """At θ = 0, ∂z/∂θ has norm σ'(0) √(1 + |x|²); where |σ''| is largest, ∂²z/∂θ² has |σ''| (1 + |x|²)."""
    chain = feedforward([2, 1], last=name)
    region, squared = Balls(chain, 1.0, 1.0), 1 + float(X[0].square().sum())
    found = bound(region, X[:1])
    assert found.first.item() == pytest.approx(math.sqrt(squared), rel=1e-14)
    theta = torch.zeros(1, 3, dtype=torch.float64)
    assert ascent.first(output(chain, X[0]), theta).item() == pytest.approx(found.first.item(), rel=1e-14)
    theta[0, 2] = where
    assert ascent.second(output(chain, X[0]), theta).item() == pytest.approx(found.second.item(), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_a_layer_takes_the_largest_of_what_it_may(seed: int) -> None:
    """D⁺ and H⁺ are the maxima over the share (e, c) of the layer, here sought on a fine grid of the circle."""
    random = np.random.default_rng(seed)
    D, H, s, B, h = random.uniform(0.3, 2, 5)
    sigma = activation.get(SMOOTH[seed])
    layer = Layer(1, 1, sigma, skip=bool(seed % 2), step=h)
    a, L, L2 = layer.skip, sigma.lipschitz, sigma.lipschitz_derivative
    angle = np.linspace(0, math.pi / 2, 200_001)
    c, dtheta = np.cos(angle), np.sin(angle) / math.sqrt(h)
    dz = s * dtheta + B * D * c
    first = a * D * c + h * L * dz
    second = a * H * c**2 + h * (L2 * dz**2 + L * (2 * dtheta * D * c + B * H * c**2))
    assert bounds._first(layer, tensor(D), tensor(s), B).item() == pytest.approx(first.max(), rel=1e-9)
    assert bounds._second(layer, tensor(D), tensor(H), tensor(s), B).item() == pytest.approx(second.max(), rel=1e-9)


def test_bounds_are_the_tabulated_ones() -> None:
    """|x| = 1, radii 1, tanh in all layers: √6, √10, √14; the plain recursion gives 7.573, 17.720, 31.660 for H."""
    plain = {(2, 3, 1): (6, 7.573), (2, 3, 3, 1): (10, 17.720), (2, 3, 3, 3, 1): (14, 31.660)}
    for widths, (square, H) in plain.items():
        found = bound(Balls(feedforward(widths, "tanh", "tanh"), 1.0, 1.0), X[:1])
        assert found.first.item() ** 2 == pytest.approx(square, rel=1e-12)
        assert 0.7 * H < found.second.item() < H
    uniform = residual_uniform(activation.get("tanh"), 1.0, 1.8)
    assert uniform == pytest.approx((5.6, 179), rel=0.005)


@pytest.mark.parametrize("name", CHAINS)
def test_no_point_tried_violates_a_bound(name: str) -> None:
    """Norms at random points, and those that ascents climb to, in both kinds of regions, at both inputs."""
    chain = CHAINS[name]
    for region, (s, x) in itertools.product(regions(chain), enumerate(X)):
        upper = bound(region, X)
        theta = region.draw(60, seed=1)
        z = output(chain, x)
        exact = [ascent.first(z, theta).max(), ascent.climb_first(z, region.project, theta[:4], 25).values.max()]
        climbed = max(ascent.climb_second(z, region.project, theta[:4], 25).largest, ascent.powers(z, theta).max())
        assert max(exact) <= upper.first[s] * (1 + 1e-12)
        assert climbed <= upper.second[s] * (1 + 1e-12)
        assert chain(theta, X)[:, s].norm(dim=1).max() <= upper.state[s] * (1 + 1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_outputs_and_jacobians_of_two_parameters_differ_by_no_more(name: str) -> None:
    """|z(θ) − z(θ')| ≤ D |θ − θ'| and ‖J(θ) − J(θ')‖₂ ≤ H |θ − θ'|: what Lipschitz means."""
    chain = CHAINS[name]
    for region in regions(chain):
        upper, (a, b) = bound(region, X), (region.draw(40, seed=k) for k in (1, 2))
        distance = (a - b).norm(dim=1)[:, None]
        J = [vmap(jacrev(lambda theta: chain(theta, X)))(theta) for theta in (a, b)]
        assert ((chain(a, X) - chain(b, X)).norm(dim=2) <= upper.first * distance).all()
        assert (torch.linalg.matrix_norm(J[0] - J[1], 2) <= upper.second * distance).all()


def test_one_linear_layer_at_radius_zero_has_the_norms_of_its_centre() -> None:
    """For z = A x + b nothing is lost: D = √(1 + |x|²), and the state is that of the centre."""
    chain = feedforward([2, 3])
    centre = Balls(chain, 1.0, 1.0).draw(1, seed=0)[0]
    found = bound(Ball(chain, centre, 0.0), X)
    torch.testing.assert_close(found.first, torch.hypot(X.norm(dim=1), tensor(1.0)))
    torch.testing.assert_close(found.state, chain(centre, X).norm(dim=1))


def test_depth_leaves_the_bounds_of_a_residual_network_bounded() -> None:
    """In L² over depth they rise to a limit at first order; those of a feed-forward network grow exponentially."""
    found = [bound(Balls(residual(n, 1), 1.0, 1.0), tensor([[0.8]])) for n in (64, 128, 256, 512)]
    first, second = (torch.cat([getattr(b, k) for b in found]) for k in ("first", "second"))
    assert (first.diff()[:-1] / first.diff()[1:]).tolist() == pytest.approx([2, 2], abs=0.1)
    assert (second < 12.3).all() and (second.diff() > 0).all()
    D, H = residual_uniform(activation.get("tanh"), 1.0, 1.8)
    assert (first <= D).all() and (second <= H).all()
    deep = [
        bound(Balls(feedforward([1] * n + [1], "softplus0"), 2.0, 1.0), tensor([[0.8]])).first.item() for n in (5, 10)
    ]
    assert deep[1] > 2**5 * deep[0]


@pytest.mark.parametrize("kind", ["balls", "ball"])
def test_projections_are_onto_the_set_and_nearest(kind: str) -> None:
    """P θ lies in the set, points of the set stay, and (θ − Pθ)·(v − Pθ) ≤ 0 for all v in it (convex projection)."""
    chain = feedforward([2, 3, 2])
    region = regions(chain)[kind == "ball"]
    far = 3 * torch.randn(20, chain.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, inside = region.project(far), region.draw(20, seed=3)
    torch.testing.assert_close(region.project(inside), inside)
    torch.testing.assert_close(region.project(near), near)
    assert ((far - near)[:, None] * (inside - near[:, None])).sum(2).max() <= 1e-12
    for (A, b), (most_A, most_b) in zip(chain.split(inside), region.radii, strict=True):
        assert torch.linalg.matrix_norm(A, 2).max() <= most_A + 1e-12 and b.norm(dim=1).max() <= most_b + 1e-12


def test_ascents_find_the_supremum_where_it_is_known() -> None:
    """The linear chain of three at B = 1.5, and one layer of tanh: within a thousandth of the closed form."""
    chain, x = Balls(feedforward([1] * 4, "identity", bias=False), 1.5, 0.0), tensor([0.8])
    assert climbed_first(chain, x) == pytest.approx(math.sqrt(3) * 0.8 * 2.25, rel=1e-3)
    assert climbed_second(chain, x) == pytest.approx(2 * 0.8 * 1.5, rel=1e-3)
    layer = Balls(feedforward([2, 1], last="tanh"), 1.0, 1.0)
    truth = 2 * 4 / (3 * math.sqrt(3))
    assert climbed_second(layer, X[0]) == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize("outputs", [1, 3])
def test_norms_by_reverse_sweeps_are_those_of_dense_derivatives(outputs: int) -> None:
    """Jacobians and second derivatives of a batch by autograd, one point at a time; the power iteration ends at
    a maximum of its form, which for several outputs need not be the largest."""
    chain = feedforward([2, 3, outputs], "tanh")
    theta = Balls(chain, 1.0, 1.0).draw(5, 0)
    z = output(chain, X[0])
    J = vmap(jacrev(lambda point: chain(point, X[:1])[0]))(theta)
    torch.testing.assert_close(ascent.first(z, theta), torch.linalg.matrix_norm(J, 2))
    H = vmap(hessian(lambda point: chain(point, X[:1])[0]))(theta)
    e = torch.randn(4000, outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    along = torch.einsum("em,rmij->reij", e / e.norm(dim=1, keepdim=True), H)
    truth = torch.linalg.eigvalsh(along).abs().amax((1, 2))
    found = ascent.powers(z, theta, 200)
    assert (found <= truth * (1 + 1e-3)).all() and (found >= 0.9 * truth).all()
    if outputs == 1:
        torch.testing.assert_close(ascent.second(z, theta), truth)


def test_a_third_derivative_is_found_by_powers() -> None:
    """z = (w·θ)³/6 has ∂³z = w ⊗ w ⊗ w of norm |w|³ everywhere; a sum of cubes θ_i³ has the norm 6."""
    w, theta = tensor([1.0, -2.0, 0.5]), tensor([[0.3, 0.1, -0.4], [2.0, 0.0, 1.0]])
    found = ascent.third(lambda v: ((v @ w) ** 3 / 6)[:, None], theta)
    assert found.tolist() == pytest.approx([float(w.norm() ** 3)] * 2, rel=1e-12)
    cubes = ascent.third(lambda v: (v**3).sum(1, keepdim=True), theta, 30)
    assert cubes.tolist() == pytest.approx([6.0, 6.0], rel=1e-12)
    with pytest.raises(ValueError, match="for one output alone, got 2"):
        ascent.third(lambda v: v[:, :2], theta)


def test_a_function_that_does_not_bend_has_no_second_derivative() -> None:
    """A linear z has ∂²z = 0 and a constant one ∂z = 0, where autograd has no graph left."""
    theta = tensor([[0.3, 0.1]])
    assert ascent.powers(lambda v: v, theta).item() == 0 and ascent.first(lambda v: 0 * v.detach(), theta).item() == 0
    assert ascent.climb_second(lambda v: v, lambda v: v, theta, 2).largest == 0


def test_alike_layers_are_equal() -> None:
    """For starts that are smooth in depth: all blocks of a residual network are one, its head is not."""
    chain = residual(5, 2, 2)
    weights = chain.split(Balls(chain, 1.0, 1.0).draw(3, 0, alike=True))
    assert all(torch.equal(A, weights[0][0]) and torch.equal(b, weights[0][1]) for A, b in weights[:-1])
    assert not torch.equal(weights[-1][0], weights[0][0])


def test_ascents_see_several_outputs() -> None:
    """z = (a x, 2 a' x) for the two rows of A: the norm of ∂z/∂A is |x|, and two layers have ‖∂²z‖ = |x| as one has."""
    chain = feedforward([1, 1, 2], "identity", bias=False)
    # z_j = w_j a x: ∂²z [u, v] = x (u_a v_w + v_a u_w), of norm |x|
    region = Balls(chain, 1.0, 0.0)
    assert climbed_second(region, tensor([0.8])) == pytest.approx(0.8, rel=1e-6)
    with pytest.raises(ValueError, match="exact for one output alone, got 2; use powers"):
        ascent.second(output(chain, tensor([0.8])), region.draw(1, 0))


# Losses.


def derivatives(name: str, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Norms of the first three derivatives of φ by autograd, the third along 300 random directions."""
    one = loss.get(name)

    def phi(point: Tensor) -> Tensor:
        return one.value(point[None], y[None])[0]

    H = vmap(hessian(phi))(z)
    v = torch.randn(300, y.numel(), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    third = vmap(jacrev(hessian(phi)))(z)
    along = torch.einsum("zijk,vi,vj,vk->zv", third, v, v, v).abs().amax(1)
    return vmap(jacrev(phi))(z).norm(dim=1), torch.linalg.matrix_norm(H, 2), along


@pytest.mark.parametrize("distance", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("name", ["squared", "logistic", "softmax"])
def test_no_output_within_the_distance_has_a_larger_derivative_of_the_loss(name: str, distance: float) -> None:
    """Random outputs in the ball; and one of them comes near the bound of the gradient where the ball is small."""
    z, y = tensor([[0.7, -1.2]]), tensor([[0.0, 1.0]])
    away = torch.randn(400, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = z + distance * away / away.norm(dim=1, keepdim=True)
    found, sup = derivatives(name, y[0], points), slopes(loss.get(name), z, y, tensor([distance]))
    for norms, bound_ in zip(found, (sup.first, sup.second, sup.third), strict=True):
        assert norms.max() <= bound_.item() + 1e-14
    if distance < 0.1:
        assert found[0].max() > 0.95 * sup.first.item()


def test_constants_of_cross_entropies_are_attained() -> None:
    """Two classes along (1, −1)/√2: p = ½ gives ½, p = (1 ± 1/√3)/2 gives √2/(3√3) = √8 sup|s''|."""
    z = tensor([[0.0, 0.0], [math.log(2 + math.sqrt(3)) / 1, 0.0]])
    v = tensor([1.0, -1.0]) / math.sqrt(2)
    sup = slopes(loss.get("softmax"), z, tensor([[1.0, 0.0]] * 2), tensor([9.0, 9.0]))
    phi = lambda point: loss.get("softmax").value(point[None], tensor([[1.0, 0.0]]))[0]  # noqa: E731
    assert (v @ hessian(phi)(z[0]) @ v).item() == pytest.approx(sup.second[0].item(), rel=1e-14)
    third = torch.einsum("ijk,i,j,k->", jacrev(hessian(phi))(z[1]), v, v, v).abs().item()
    assert third == pytest.approx(sup.third[1].item(), rel=1e-12)


@pytest.mark.parametrize("name", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_constants_of_an_objective_bound_its_gradient_and_hessian(name: str, reduction: str) -> None:
    """By autograd at random parameters of both kinds of regions; and Φ is the sum or mean of its losses."""
    points = Data(X, tensor([[1.0, 0.0], [0.0, 1.0]]))
    chain = feedforward([2, 3, 2])
    objective = Objective(chain, points, loss.get(name), reduction)
    for region in regions(chain):
        theta, found = region.draw(30, seed=2), objective.constants(region)

        def phi(point: Tensor) -> Tensor:
            return objective.losses(point).sum() * (1.0 if reduction == "sum" else 0.5)

        assert vmap(jacrev(phi))(theta).norm(dim=1).max() <= found.value
        assert torch.linalg.matrix_norm(vmap(hessian(phi))(theta), 2).max() <= found.gradient
        value, slope = objective(theta[0])
        assert value == pytest.approx(phi(theta[0]).item())
        torch.testing.assert_close(slope, jacrev(phi)(theta[0]))
        torch.testing.assert_close(objective.sample_gradients(theta[0]).sum(0) * objective.weight, slope)


def test_one_linear_layer_with_the_squared_loss_has_its_constant_exactly() -> None:
    """Φ = (a·x + b − y)²: ∇²Φ = 2 (1 + |x|²) in the direction (x, 1), whatever the radius."""
    chain = feedforward([2, 1])
    objective = Objective(chain, Data(X[:1], tensor([[0.3]])), loss.get("squared"))
    for radius in (0.1, 100.0):
        assert objective.constants(Balls(chain, radius, radius)).gradient == pytest.approx(4.0, rel=1e-14)


# What is refused.

LINEAR = feedforward([2, 1])
REFUSED: dict[str, tuple[Any, str]] = {
    "all parameters": (lambda: Balls(LINEAR, math.inf, 1.0), "matrices must be finite, got inf: no Lipschitz constant"),
    "an infinite ball": (
        lambda: Ball(LINEAR, torch.zeros(3), math.inf),
        "radius must be finite, got inf: no Lipschitz",
    ),
    "a negative radius": (lambda: Balls(LINEAR, -1.0, 1.0), r"matrices must not be negative, got -1\.0"),
    "two radii": (lambda: Balls(LINEAR, [1.0, 2.0], 1.0), "one number or one per layer, 1, got 2"),
    "another centre": (lambda: Ball(LINEAR, torch.zeros(4), 1.0), "one vector of 3 numbers"),
    "relu": (lambda: bound(Balls(feedforward([2, 2, 1], "relu"), 1.0, 1.0), X), "relu has no Lipschitz derivative"),
    "gcu": (lambda: bound(Balls(feedforward([2, 2, 1], "gcu"), 1.0, 1.0), X, order=1), "gcu is not Lipschitz"),
    "order 3": (lambda: bound(Balls(LINEAR, 1.0, 1.0), X, order=3), "order must be 1 or 2, got 3"),
    "a centre of NaN": (lambda: Ball(LINEAR, torch.full((3,), math.nan), 1.0), "centre must be finite, but holds NaN"),
    "inputs of NaN": (lambda: bound(Balls(LINEAR, 1.0, 1.0), math.nan * X), "x must be finite, but holds NaN"),
    "relu with a loss": (
        lambda: Objective(feedforward([2, 2, 1], "relu"), Data(X, X[:, :1]), loss.get("squared")).constants(
            Balls(feedforward([2, 2, 1], "relu"), 1.0, 1.0)
        ),
        r"use a smooth activation; the network itself has one, bound\(region, x, order=1\)",
    ),
    "other inputs": (lambda: bound(Balls(LINEAR, 1.0, 1.0), X[:, :1]), r"shape \(S, 2\), got \(2, 1\)"),
    "one width": (lambda: feedforward([2]), "at least one layer"),
    "no layer": (lambda: Chain(()), "at least one layer"),
    "a gap": (lambda: Chain((Layer(2, 3, activation.get("tanh")), Layer(2, 1, activation.get("tanh")))), "cannot feed"),
    "a skip": (lambda: Layer(2, 3, activation.get("tanh"), skip=True), "as many outputs as inputs, got 3 and 2"),
    "parameters": (lambda: LINEAR.split(torch.zeros(4)), "has 3 parameters, got 4"),
    "weights": (
        lambda: parameters(LINEAR, Layers(np.ones((1, 2, 2)), np.ones((1, 2)), np.ones((1, 2)), np.ones(1))),
        "another network",
    ),
    "a loss": (
        lambda: slopes(loss.Loss("own", *[lambda *_: None] * 5), X, X, X[:, 0]),
        "squared, logistic, softmax, got 'own'",
    ),  # type: ignore[list-item, arg-type]
    "a reduction": (lambda: Objective(LINEAR, Data(X, X[:, :1]), loss.get("squared"), "max"), "got 'max'"),
    "another chain": (
        lambda: Objective(LINEAR, Data(X, X), loss.get("squared")),
        "2 outputs want another chain than one from 2 to 1",
    ),
}
MISTAKEN: dict[str, tuple[Any, str]] = {
    "no region": (lambda: bound(np.zeros(3), X), "region must be a Ball or Balls .* got ndarray"),
    "inputs of NumPy": (lambda: bound(Balls(LINEAR, 1.0, 1.0), X.numpy()), "x must be Tensor, got ndarray"),
    "a centre of NumPy": (lambda: Ball(LINEAR, np.zeros(3), 1.0), "centre must be Tensor, got ndarray"),  # type: ignore[arg-type]
    "no chain": (lambda: Balls(np.zeros(3), 1.0, 1.0), "chain must be Chain, got ndarray"),  # type: ignore[arg-type]
    "no chain in a ball": (lambda: Ball([2, 1], torch.zeros(3), 1.0), "chain must be Chain, got list"),  # type: ignore[arg-type]
    "no data": (lambda: Objective(LINEAR, X, loss.get("squared")), "data must be Data, got Tensor"),  # type: ignore[arg-type]
    "a region of NumPy": (
        lambda: Objective(LINEAR, Data(X, X[:, :1]), loss.get("squared")).constants(np.zeros(3)),  # type: ignore[arg-type]
        "region must be a Ball or Balls .* got ndarray",
    ),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_bound_is_refused_with_the_reason(call: tuple[Any, str]) -> None:
    """One sentence that says what is wanted."""
    with pytest.raises(ValueError, match=call[1]):
        call[0]()


@pytest.mark.parametrize("call", MISTAKEN.values(), ids=MISTAKEN.keys())
def test_what_is_of_another_kind_is_refused_with_what_is_wanted(call: tuple[Any, str]) -> None:
    """One sentence, not an AttributeError from inside."""
    with pytest.raises(TypeError, match=call[1]):
        call[0]()


def test_relu_has_a_bound_of_first_order() -> None:
    """θ ↦ z is Lipschitz; only its gradient jumps."""
    region = Balls(feedforward([2, 3, 1], "relu"), 1.0, 1.0)
    found = bound(region, X, order=1)
    assert found.second.isnan().all()
    assert (ascent.first(output(region.chain, X[0]), region.draw(200, 0)) <= found.first[0]).all()


def test_no_bound_holds_for_all_parameters() -> None:
    """The gradient of the scalar chain of three grows as B², its Hessian as B: a finite constant is passed."""
    chain = feedforward([1] * 4, "identity", bias=False)
    B = tensor([10.0, 100.0, 1000.0])
    theta = B[:, None].expand(-1, 3)
    assert ascent.first(output(chain, tensor([1.0])), theta).tolist() == pytest.approx((math.sqrt(3) * B**2).tolist())
    assert ascent.second(output(chain, tensor([1.0])), theta).tolist() == pytest.approx((2 * B).tolist())


# Planted errors: each of them is seen by the equality cases above.


def no_bias(layer: Layer, D: Tensor, s: Tensor, B: float) -> Tensor:
    return torch.hypot((layer.skip + B) * D, (s**2 - 1).clamp(min=0).sqrt())


def test_a_forgotten_bias_or_a_forgotten_mixed_term_breaks_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the 1 in √(1 + |x|²), or without 2 dA dx, random points and ascents lie above."""
    region = Balls(feedforward([2, 1], last="tanh"), 1.0, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(bounds, "_first", no_bias)
        assert climbed_first(region, X[0]) > bound(region, X).first[0]
    chain = Balls(feedforward([1] * 4, "identity", bias=False), 1.5, 0.0)
    monkeypatch.setattr(bounds, "largest_eigenvalue", lambda p, q, r: torch.maximum(p, r))
    assert climbed_second(chain, tensor([0.8])) > bound(chain, tensor([[0.8]])).second[0]
