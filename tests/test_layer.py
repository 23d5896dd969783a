"""A layer of one's own: the truth is σ(Kx + b) of the package, autograd through a network written out, and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from deeplimit import (
    Curve,
    Layer,
    Layers,
    Problem,
    compare,
    continuum,
    data,
    discrete,
    expansion,
    norms,
    pontryagin,
    recursion,
    variants,
)
from deeplimit.control import Legendre
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.sweep import EULER, KUTTA4, Flow, Tableau

Theta = dict[str, Tensor]


def plain(x: Tensor, theta: Theta) -> Tensor:
    return torch.tanh(theta["K"] @ x + theta["b"])


def two_layer(x: Tensor, theta: Theta) -> Tensor:
    return theta["V"] @ torch.tanh(theta["K"] @ x + theta["b"])


def antisymmetric(x: Tensor, theta: tuple[Tensor, Tensor]) -> Tensor:
    A, b = theta
    return torch.tanh((A - A.T) @ x - 0.1 * x + b)


def polynomial(x: Tensor, theta: Tensor) -> Tensor:
    """No matrix product in it, and not linear in any parameter."""
    return torch.stack(
        [theta[0] ** 2 * x[1] + theta[1] * x[0] * x[1], torch.sin(theta[2] * x[0]) - theta[0] * theta[1]]
    )


PLAIN = Layer("plain", plain, {"K": (2, 2), "b": 2})
TWO = Layer("two-layer", two_layer, {"V": (2, 3), "K": (3, 2), "b": 3})
ANTI = Layer("antisymmetric", antisymmetric, [(2, 2), 2])
POLY = Layer("polynomial", polynomial, 3)
LAYERS = {layer.name: layer for layer in (PLAIN, TWO, ANTI, POLY)}
MOONS = data.moons(6)


def own(layer: Layer, **options: Any) -> Problem:
    return Problem(MOONS, layer=layer, **{"alpha": 0.05} | options)


def moved(control: Layers) -> Layers:
    """K and b as the parameters of `PLAIN`."""
    theta = torch.cat([control.K.flatten(1), control.b], 1)
    return Layers(torch.zeros(control.depth, 0, 0), theta, control.W, control.c)


def drawn(problem: Problem, depth: int, seed: int) -> Layers:
    return problem.metric.draw(seed).sample(depth)


OPTIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "mean": {"reduction": "mean", "alpha": {"K": 0.02, "b": 0.02, "W": 0.3, "c": 0.7}, "tau": {"K": 2.0, "b": 2.0}},
    "squared": {"loss": "squared"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_objective_and_derivatives_are_those_of_the_packages_own_layer(options: dict[str, Any]) -> None:
    """σ(Kx + b) as a function of torch: another path through the code to the same numbers, to 1e-12."""
    known, mine = Problem(MOONS, **{"alpha": 0.05} | options), own(PLAIN, **options)
    at, along = drawn(known, 9, 1), drawn(known, 9, 2)
    assert discrete.objective(mine, moved(at)) == pytest.approx(discrete.objective(known, at), rel=1e-13)
    assert discrete.data_loss(mine, moved(at)) == pytest.approx(discrete.data_loss(known, at), rel=1e-13)
    torch.testing.assert_close(discrete.states(mine, moved(at)), discrete.states(known, at), rtol=0, atol=1e-14)
    pairs = [
        (discrete.gradient(mine, moved(at)), moved(discrete.gradient(known, at))),
        (
            discrete.hessian_product(mine, moved(at), moved(along)),
            moved(discrete.hessian_product(known, at, along)),
        ),
    ]
    for found, wanted in pairs:
        for block in "bWc":
            torch.testing.assert_close(getattr(found, block), getattr(wanted, block), rtol=1e-12, atol=1e-12)


def written_out(layer: Layer, problem: Problem, vector: Tensor, depth: int) -> Tensor:
    """E_n as the definition has it, one sample and one layer after the other, as a function of (θ, W, c)."""
    p, d, m = layer.size, 2, problem.outputs
    theta, W, c = vector.split([depth * p, m * d, m])
    theta, W = theta.view(depth, p), W.view(m, d)
    total = torch.zeros((), dtype=torch.float64)
    for x, y in zip(problem.data.x, problem.y, strict=True):
        for i in range(depth):
            x = x + layer.function(x, layer.unflatten(theta[i])) / depth
        z = W @ x + c
        total = total + (torch.log(1 + torch.exp(z)) - y * z).sum()
    jumps = sum(((theta[i] - theta[i - 1]) ** 2).sum() for i in range(1, depth))
    alpha, tau = problem.alpha, problem.tau
    total = total + alpha["b"] * (depth * jumps + tau["b"] * (theta[0] ** 2).sum())
    return total + alpha["W"] * (W**2).sum() + alpha["c"] * (c**2).sum()


def vector(control: Layers) -> Tensor:
    return torch.cat([control.b.flatten(), control.W.flatten(), control.c])


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_derivatives_are_those_of_autograd_through_the_network(layer: Layer) -> None:
    """The whole network written out and differentiated twice, regulariser included."""
    problem = own(layer, alpha={"b": 0.03, "W": 0.2, "c": 0.5}, tau={"b": 1.7})
    at, along = drawn(problem, 5, 1), drawn(problem, 5, 2)

    def E(v: Tensor) -> Tensor:
        return written_out(layer, problem, v, 5)

    _, product = torch.autograd.functional.hvp(E, vector(at), vector(along))
    value, slope = torch.autograd.functional.vjp(E, vector(at))
    assert discrete.objective(problem, at) == pytest.approx(float(value), rel=1e-13)
    torch.testing.assert_close(vector(discrete.gradient(problem, at)), slope, rtol=1e-11, atol=1e-12)
    found = discrete.hessian_product(problem, at, along)
    torch.testing.assert_close(vector(found), product, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("limit", [1.2e4, 2e4])
def test_a_memory_limit_changes_no_number(limit: float) -> None:
    """The pieces of depth are made again, with the layer's own sweeps."""
    problem = own(TWO)
    coordinates = LayerCoordinates(problem.metric, 40)
    u, v = (coordinates.vector(drawn(problem, 40, seed)) for seed in (1, 2))
    kept, again = (Energy(problem, coordinates, Flow(EULER, 40), memory)(u) for memory in (None, limit))
    assert again._term.cut.keep is False and len(again._term.cut.parts) > 1
    assert again.value == pytest.approx(kept.value, rel=1e-14)
    np.testing.assert_allclose(again.gradient, kept.gradient, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(again.product(v), kept.product(v), rtol=1e-12, atol=1e-13)


# Columns that are rounding, or time, and the bound on K and b apart.
ROUNDING = {"seconds", "residual", "distance_bound", "control_error", "error_bar", "limit_error", "gap_error"}
ROUNDING |= {"compactness"}


def test_minima_and_gaps_are_those_of_the_packages_own_layer() -> None:
    """Networks, limit, certificate and every column of the comparison."""
    known = Problem(MOONS, alpha=0.05)
    start = drawn(known, 8, 3)
    rows = []
    for problem, first in ((known, start), (own(PLAIN), moved(start))):
        nets = discrete.branch(problem, [8, 16], start=first)
        rows.append(compare.gaps(problem, nets[-1], continuum.minimise(problem, start=nets[-1].control)))
    for name, wanted in rows[0].items():
        if isinstance(wanted, float) and name not in ROUNDING:
            assert rows[1][name] == pytest.approx(wanted, rel=1e-7, abs=1e-12), name
    assert rows[0]["status"] == rows[1]["status"] == "converged: the gradient is below the tolerance"


def test_the_reference_minimum_is_reached() -> None:
    """The scalar problem, whose limit is known to 15 digits from a boundary-value solver."""
    layer = Layer("scalar", lambda x, theta: torch.tanh(theta[0] * x + theta[1]), 2)
    problem = Problem(data.scalar(), layer=layer, loss="squared", alpha={"b": 0.05, "W": 0.1, "c": 0.1})
    start = discrete.minimise(problem, 8, seed=0)  # other seeds lead to another minimum
    limit = continuum.minimise(problem, start=start.control)
    assert limit.value == pytest.approx(0.5807379250804945, abs=1e-11) and limit.status.converged
    assert expansion.value_constant(problem, limit) == pytest.approx(0.0871686260, abs=1e-9)


@pytest.mark.parametrize("layer", [TWO, ANTI, POLY], ids=lambda layer: layer.name)
def test_other_layers_converge_at_first_order_with_the_predicted_constant(layer: Layer) -> None:
    """Certified minima, whose gap to an independent limit halves when depth doubles, to e₁/n."""
    problem = own(layer, alpha=0.2)
    nets = discrete.branch(problem, [16, 32, 64], seed=1)
    limit = continuum.minimise(problem, start=nets[-1].control)
    rows = [compare.gaps(problem, net, limit) for net in nets]
    assert all(net.status.converged and net.distance_bound < 1e-9 for net in [*nets, limit])
    assert limit.error_bar < 1e-9 and abs(rows[-1]["value_gap"]) > 1e-5
    for column, order in (("value_gap", 1), ("control_l2", 1), ("control_h1", 1), ("state_sup", 1), ("liminf_gap", 2)):
        first, second, third = (row[column] for row in rows)
        assert 2 * np.log2(second / third) - np.log2(first / second) == pytest.approx(order, abs=0.06), column
    quotients = [row["value_gap"] / row["predicted_gap"] for row in rows]
    assert 2 * quotients[2] - quotients[1] == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(("variant", "order"), [("heun", 2), pytest.param("rk4", 4, marks=pytest.mark.slow)])
def test_blocks_of_higher_order_take_any_layer(variant: str, order: int) -> None:
    """Heun's method and Runge and Kutta's with f in their stages: the gap of the value falls at their order."""
    problem = own(ANTI, alpha=0.2)
    depths = [4, 8, 16]
    found = variants.branch(problem, depths, variant=variant, seed=1)
    limit = continuum.minimise(problem, start=found[-1].control)
    gaps = [net.value - limit.value for net in found]
    assert all(net.status.converged for net in [*found, limit]) and abs(gaps[-1]) > 100 * limit.error_bar
    assert np.log2(gaps[1] / gaps[2]) == pytest.approx(order, abs=0.25)


def test_the_limits_objective_is_that_of_an_adaptive_integrator() -> None:
    """E_∞ of a given curve, its flow by SciPy and its regulariser by the coefficients."""
    problem = own(TWO)
    curve = problem.metric.draw(5).project(Legendre(4))

    def velocity(t: float, flat: np.ndarray) -> np.ndarray:
        theta = TWO.unflatten(curve.at(t)[1])
        return np.concatenate([two_layer(x, theta).numpy() for x in torch.as_tensor(flat).view(-1, 2)])

    run = solve_ivp(velocity, (0, 1), MOONS.x.numpy().ravel(), method="DOP853", rtol=1e-12, atol=1e-12)
    X = torch.as_tensor(run.y[:, -1]).view(-1, 2)
    z = X @ curve.W.T + curve.c
    data_term = (torch.log(1 + torch.exp(z)) - problem.y * z).sum()
    squares = [curve.b.square().sum(), curve.W.square().sum(), curve.c.square().sum()]
    assert continuum.objective(problem, curve) == pytest.approx(float(data_term + 0.05 * sum(squares)), rel=1e-10)
    torch.testing.assert_close(continuum.states(problem, curve, 8)[-1], X, rtol=1e-9, atol=1e-10)


def test_a_trained_network_is_a_module() -> None:
    """It maps inputs, of any leading dimensions, to the outputs of the recursion, and can be differentiated."""
    problem = own(TWO)
    layers = drawn(problem, 4, 1)
    module = discrete.network(problem, layers)
    X = discrete.states(problem, layers)[-1]
    torch.testing.assert_close(module(MOONS.x), X @ layers.W.T + layers.c, rtol=1e-13, atol=1e-13)
    assert module(MOONS.x.view(2, 3, 2)).shape == (2, 3, 1)
    module(MOONS.x).sum().backward()
    assert module.b.grad is not None and bool(module.b.grad.abs().sum() > 0)
    assert "width=2" in repr(module)


def test_parameters_keep_their_names_and_shapes() -> None:
    """A vector, a dictionary or a tuple, for one layer or for many."""
    theta = torch.arange(24.0).view(2, 12)
    layer = Layer("all", two_layer, {"V": (2, 2), "K": (3, 2), "b": 2})
    parts = layer.unflatten(theta)
    assert {name: tuple(part.shape) for name, part in parts.items()} == {"V": (2, 2, 2), "K": (2, 3, 2), "b": (2, 2)}
    assert torch.equal(layer.flatten(parts), theta) and parts["K"][1, 0].tolist() == [16, 17]
    pair = ANTI.unflatten(theta[0, :6])
    assert isinstance(pair, tuple) and torch.equal(ANTI.flatten(pair), theta[0, :6])
    assert torch.equal(POLY.unflatten(theta[0, :3]), theta[0, :3]) and POLY.size == 3
    assert torch.equal(POLY.flatten(theta[0, :3]), theta[0, :3])


def test_untrained_heads_and_starts_are_as_for_the_packages_own_layer() -> None:
    """trainable names θ by b; a start may be a curve or a network of another depth."""
    problem = Problem(data.ring(), layer=TWO, loss="softmax", alpha=0.1, trainable="b", reduction="mean")
    assert problem.trainable == "b"
    net = discrete.minimise(problem, 8, seed=1)
    assert torch.equal(net.control.W, torch.eye(2).double()) and net.status.converged
    finer = discrete.minimise(problem, 16, start=net.control)
    assert norms.l2(finer.control, net.control.refine(16)) < 0.5 and finer.status.converged
    assert isinstance(net.control.interpolant(), Curve)


def test_what_is_known_of_other_layers_alone_says_so() -> None:
    """Costates of σ(KX + b), Pontryagin's system and the corrector have formulas of their own."""
    problem = own(TWO)
    curve = problem.metric.draw(1).project(Legendre(4))
    calls: list[Callable[[], object]] = [
        lambda: pontryagin.certify(problem, curve),
        lambda: expansion.corrector(problem, curve),
        lambda: problem.activation,
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"known for layers σ\(KX \+ b\) alone, but .* the layer 'two-layer'"):
            call()
    assert discrete.symmetries(problem) == []
    assert problem.notes[-1] == "hypothesis not met: the layer two-layer is not σ(KX + b)"
    assert "layer='two-layer'" in repr(problem) and repr(TWO).startswith("Layer('two-layer', parameters={'V': (2, 3)")


WRONG: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "shape": (
        lambda: own(Layer("a", lambda x, t: x[:1] * t, 1)),
        TypeError,
        r"must map x of shape \(2,\) .*got .*\(1,\)",
    ),
    "type": (lambda: own(Layer("a", lambda x, t: (x * t).float(), 1)), TypeError, "got torch.float32"),
    "no tensor": (lambda: own(Layer("a", lambda x, t: 0.0, 1)), TypeError, "got float"),
    "error": (lambda: own(Layer("a", lambda x, t: t @ x, {"K": (2, 2)})), ValueError, r"'a' cannot be evaluated at x"),
    "numpy": (
        lambda: own(Layer("a", lambda x, t: torch.as_tensor(x.numpy() + 1) * t, 1)),
        ValueError,
        "cannot be differentiated by torch.func",
    ),
    "detached": (
        lambda: own(Layer("a", lambda x, t: torch.tanh(t * x).detach() + t * x, 1)),
        ValueError,
        "the first derivative of layer 'a' by torch.func is not that of its values: it is .* where differences give ",
    ),
    "detached slope": (
        lambda: own(Layer("a", lambda x, t: t * x * (1 + (t * x - (t * x).detach())), 1)),
        ValueError,
        "the first derivative of layer 'a'",
    ),
    "activation": (
        lambda: own(TWO, activation="relu"),
        ValueError,
        "a layer brings its own activation, got layer 'two-layer' and activation 'relu'",
    ),
    "no layer": (lambda: own(two_layer), TypeError, "layer must be Layer, got function"),  # type: ignore[arg-type]
    "no function": (lambda: Layer("a", 3, 1), TypeError, "function of layer 'a' must be callable, got int"),  # type: ignore[arg-type]
    "no shapes": (lambda: Layer("a", plain, "K"), TypeError, "parameters of layer 'a' must be int or Mapping or list"),
    "no size": (lambda: Layer("a", plain, {"K": (2, 0)}), ValueError, "a size of K must be at least 1, got 0"),
    "nothing": (lambda: Layer("a", plain, {}), ValueError, "layer 'a' must have parameters, got none"),
    "trainable": (lambda: own(TWO, trainable="K"), ValueError, "trainable must be one or more of the letters"),
    "control": (
        lambda: discrete.objective(own(TWO), drawn(own(PLAIN), 4, 1)),
        ValueError,
        r"b does not fit the problem: it wants \(15,\) at each depth, got \(4, 6\)",
    ),
    "control of the package's layer": (
        lambda: discrete.objective(own(PLAIN), drawn(Problem(MOONS), 4, 1)),
        ValueError,
        r"K does not fit the problem: it wants \(0, 0\) at each depth",
    ),
}


@pytest.mark.parametrize(("call", "kind", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_layer_that_is_none_is_refused_in_one_sentence(
    call: Callable[[], object], kind: type[Exception], sentence: str
) -> None:
    """Before anything is computed: what it must be, and what it is."""
    with pytest.raises(kind, match=sentence):
        call()


@pytest.mark.parametrize("tableau", [EULER, KUTTA4], ids=["euler", "kutta"])
def test_sweeps_of_another_device_are_those_of_the_cpu(tableau: Tableau) -> None:
    """In torch as in NumPy; with one matrix for all samples they are those of the package's own layer."""
    generator = torch.Generator().manual_seed(0)
    T, S, d, rows = 4 * tableau.stages, 3, 2, tableau.rows

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    D, A, source, e, f = drawn(T, S, d), drawn(T, S, d, d), drawn(T, S, d), drawn(T, S, d), drawn(T, S, d)
    theta, start, h = drawn(T, PLAIN.size), drawn(S, d), np.full(T, 0.25)
    answers: list[list[Tensor]] = []
    for matrices in (A, A[:, :1].expand(T, S, d, d), A[:, 0]):
        for torch_ in (True, False):
            Y, dY, dZ, q, lam, end = (
                torch.zeros(shape, dtype=torch.float64) for shape in [(T + 1, S, d)] * 2 + [(T, S, d)] * 3 + [(S, d)]
            )
            as_array = (lambda a: a) if torch_ else (lambda a: a.contiguous().numpy())

            def write(y: Any, t: Any, out: Any) -> None:
                torch.as_tensor(out).copy_(PLAIN.value(torch.as_tensor(y), torch.as_tensor(t)))

            recursion.march(write, h, rows, *map(as_array, (start, theta, Y)))
            recursion.tangent(*map(as_array, (D, matrices, source, start)), rows, *map(as_array, (dY, dZ)))
            recursion.adjoint(*map(as_array, (D, matrices, start, e, f)), rows, *map(as_array, (q, lam, end)))
            answers.append([Y, dY, dZ, q, lam, end])
    for first, second in ((0, 1), (2, 3), (3, 5), (2, 4)):
        for one, other in zip(answers[first], answers[second], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_layer_with_kinks_ends_in_a_status() -> None:
    """relu in a block is differentiable almost everywhere; where its minimisers sit at kinks the row says so."""
    layer = Layer("relu", lambda x, theta: theta["V"] @ torch.relu(theta["K"] @ x), {"V": (2, 2), "K": (2, 2)})
    found = discrete.minimise(own(layer, alpha=0.2), 8, seed=1)
    assert np.isfinite(found.value) and str(found.status)
