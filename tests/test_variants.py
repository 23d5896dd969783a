"""Other networks than E_n: the truth is loops over layers as the definitions have them, autograd and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from problems import DEEP, REFERENCE, SIGMA, Case, gradient, hessian, layers, random_case, random_weights
from torch import Tensor

from deeplimit import Curve, Data, Layers, Problem, continuum, discrete, variants
from deeplimit.control import Weights
from deeplimit.minimum import Minimum

# Blocks of higher order


def spacing(name: str, depth: int) -> tuple[int, np.ndarray]:
    """The number of nodal weights, and the weight at every stage as a combination of them, shape (stages, nodes)."""
    n = depth
    if name == "heun":
        return n + 1, np.concatenate([np.eye(n + 1)[[i, i + 1]] for i in range(n)])
    if name == "heun_shared":
        return n, np.concatenate([np.eye(n)[[i, i]] for i in range(n)])
    if name == "rk4_averaged":
        middle = [(np.eye(n + 1)[i] + np.eye(n + 1)[i + 1]) / 2 for i in range(n)]
        return n + 1, np.concatenate([[np.eye(n + 1)[i], middle[i], middle[i], np.eye(n + 1)[i + 1]] for i in range(n)])
    return 2 * n + 1, np.concatenate([np.eye(2 * n + 1)[[2 * i, 2 * i + 1, 2 * i + 1, 2 * i + 2]] for i in range(n)])


def squares(name: str, theta: Tensor, depth: int) -> Tensor:
    """The square of the derivative as each network counts it, from nodal values."""
    if name == "rk4":
        left, middle, right = theta[:-1:2], theta[1::2], theta[2::2]
        products = 7 * left**2 + 16 * middle**2 + 7 * right**2 - 16 * (left + right) * middle + 2 * left * right
        return depth / 3 * products.sum()
    cells = 2 * depth if name == "rk4_half_grid" else depth
    return cells * (torch.diff(theta, dim=0) ** 2).sum()


def block(name: str, X: Tensor, K: Tensor, b: Tensor, step: float, sigma: Callable[[Tensor], Tensor]) -> Tensor:
    """One Heun or Runge-Kutta block with the weights of its stages, as in a textbook."""
    f = [lambda Y, K=K[j], b=b[j]: sigma(Y @ K.T + b) for j in range(len(K))]
    k1 = f[0](X)
    if name.startswith("heun"):
        return X + step / 2 * (k1 + f[1](X + step * k1))
    k2 = f[1](X + step / 2 * k1)
    k3 = f[2](X + step / 2 * k2)
    return X + step / 6 * (k1 + 2 * k2 + 2 * k3 + f[3](X + step * k3))


def path(name: str, case: Case, theta: dict[str, Tensor], depth: int, X: Tensor, first: int = 0) -> list[Tensor]:
    """X_first … X_n from nodal weights."""
    _, matrix = spacing(name, depth)
    M, s = torch.as_tensor(matrix), len(matrix) // depth
    K, b = torch.tensordot(M, theta["K"], 1), torch.tensordot(M, theta["b"], 1)
    states = [X]
    for i in range(first, depth):
        here = slice(s * i, s * (i + 1))
        states.append(block(name, states[-1], K[here], b[here], 1 / depth, SIGMA[case.activation]))
    return states


def plain(name: str, case: Case, theta: dict[str, Tensor], depth: int) -> Tensor:
    """The objective from nodal weights."""
    X = path(name, case, theta, depth, case.x)[-1]
    deep = sum(
        (case.alpha[k] * (squares(name, theta[k], depth) + case.tau[k] * (theta[k][0] ** 2).sum()) for k in DEEP),
        torch.zeros(()).double(),
    )
    return case.data_term(X, theta["W"], theta["c"]) + deep + sum(case.alpha[k] * (theta[k] ** 2).sum() for k in "Wc")


def nodal(name: str, control: Layers | Curve, depth: int) -> dict[str, Tensor]:
    """The nodal weights of a minimiser."""
    if isinstance(control, Layers):
        return {k: getattr(control, k) for k in "KbWc"}
    nodes = spacing(name, depth)[0]
    K, b = control.at(np.arange(nodes) / (nodes - 1))
    return {"K": K, "b": b, "W": control.W, "c": control.c}


def at_random(name: str, case: Case, depth: int) -> Layers | Curve:
    """Weights of a variant with normal coordinates."""
    problem = case.problem()
    coordinates = variants.get(name).coordinates(problem.metric, depth)
    return coordinates.control(np.random.default_rng(7).standard_normal(coordinates.size))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("name", variants.VARIANTS)
def test_objective_of_a_variant_is_that_of_loops_over_its_blocks(name: str, depth: int) -> None:
    """Stages, their weights, and the regulariser from nodal values are those of the definitions."""
    case = random_case("tanh", "softmax", seed=3)
    control = at_random(name, case, depth)
    expected = float(plain(name, case, nodal(name, control, depth), depth))
    assert variants.objective(case.problem(), control, depth, variant=name) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_minimiser_of_a_variant_is_stationary_in_its_nodal_weights(name: str) -> None:
    """By autograd through the loops, relative to the gradient of the data term alone."""
    case, depth = random_case("tanh", "squared", seed=6), 5
    found = variants.minimise(case.problem(), depth, variant=name, seed=1)
    assert found.status.converged and found.seed == 1 and found.curvature > 0
    theta = {k: v.clone().requires_grad_() for k, v in nodal(name, found.control, depth).items()}
    value = plain(name, case, theta, depth)
    assert value.item() == pytest.approx(found.value, rel=1e-12)
    assert max(float(g.abs().max()) for g in torch.autograd.grad(value, list(theta.values()))) < 1e-8


@pytest.fixture(scope="module")
def bias_only() -> tuple[Problem, Minimum]:
    """Identity, one point, only b trained; and its limit."""
    samples = Data([[0.3]], [[1.7]])
    problem = Problem(samples, activation="identity", loss="squared", alpha=0.3, tau=2.0, trainable="b")
    return problem, continuum.minimise(problem)


def bias_minimum(name: str, depth: int, alpha: float, tau: float) -> float:
    """The minimum of that problem, |x − y|² / (1 + wᵀA⁻¹w/α), w the weights of b in X_n, A its regulariser.

    The blocks are then quadrature rules: Simpson's, or the trapezoidal one.
    """
    nodes, matrix = spacing(name, depth)
    rule = np.tile([1 / 2, 1 / 2] if name.startswith("heun") else np.array([1, 2, 2, 1]) / 6, depth) / depth
    A = hessian(lambda b: squares(name, b, depth) / 2 + tau * b[0] ** 2 / 2, torch.zeros(nodes).double())
    w = rule @ matrix
    return float(1.96 / (1 + w @ np.linalg.solve(A, w) / alpha))


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_minimum_and_constant_of_the_bias_only_problem_are_those_of_a_quadratic_form(
    name: str, bias_only: tuple[Problem, Minimum]
) -> None:
    """And n^order times the gap tends to the predicted constant; rk4 has no gap, b' being linear in t."""
    (problem, limit), alpha, tau = bias_only, 0.3, 2.0
    for depth in (1, 4):
        found = variants.minimise(problem, depth, variant=name)
        assert found.value == pytest.approx(bias_minimum(name, depth, alpha, tau), rel=1e-12)
    gaps = [bias_minimum(name, depth, alpha, tau) - limit.value for depth in (16, 32)]
    if name == "rk4":
        assert max(map(abs, gaps)) < 1e-12
        return
    p = variants.get(name).order
    coarse, fine = (gap * depth**p for gap, depth in zip(gaps, (16, 32), strict=True))
    assert variants.value_constant(problem, limit, variant=name) == pytest.approx(2 * fine - coarse, rel=5e-3)


@pytest.fixture(scope="module")
def reference() -> tuple[Problem, Minimum, Layers]:
    """The scalar regression problem, its limit, and a network to start from."""
    problem = REFERENCE.problem()
    start = discrete.branches(problem, 16, starts=4)[0].control
    return problem, continuum.minimise(problem, start=start, tol=1e-12), start


def test_value_gaps_of_the_reference_problem_are_the_recorded_ones(reference: tuple[Problem, Minimum, Layers]) -> None:
    """rk4 1.8e-7, 1.1e-8, 6.8e-10 at n = 8, 16, 32; orders 1.952 … 1.994 of heun, from the depth 8 on."""
    problem, limit, start = reference
    found = variants.branch(problem, [8, 16, 32], variant="rk4", start=start)
    assert [m.value - limit.value for m in found] == pytest.approx([1.8e-7, 1.1e-8, 6.8e-10], rel=0.02)
    found = variants.branch(problem, [8, 16, 32, 64], variant="heun", start=start)
    orders = -np.diff(np.log2([m.value - limit.value for m in found]))
    assert orders[0] == pytest.approx(1.952, abs=5e-4) and orders[-1] == pytest.approx(1.988, abs=2e-3)


@pytest.mark.parametrize("name", ["heun", "rk4_half_grid", "rk4_averaged", "heun_shared"])
def test_constant_is_what_the_variants_of_the_reference_problem_show(
    name: str, reference: tuple[Problem, Minimum, Layers]
) -> None:
    """n^order (min − min E_∞), extrapolated from two depths; a defect of the next order is left over 32²."""
    problem, limit, start = reference
    p = variants.get(name).order
    found = variants.branch(problem, [16, 32], variant=name, start=start)
    coarse, fine = (n**p * (m.value - limit.value) for n, m in zip((16, 32), found, strict=True))
    assert variants.value_constant(problem, limit, variant=name) == pytest.approx(2 * fine - coarse, rel=3e-3)


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_costates_are_derivatives_in_the_states_and_keep_their_product_with_tangents(name: str) -> None:
    """p_k = ∂(data term)/∂X_k by autograd from X_k on; p_k · dX_k the same for all k, dX the derivative along x."""
    case, depth = random_case("tanh", "softmax", seed=8), 4
    control = at_random(name, case, depth)
    theta, found = nodal(name, control, depth), variants.costates(case.problem(), control, depth, variant=name)
    states = path(name, case, theta, depth, case.x)
    for k, X in enumerate(states):

        def tail(X: Tensor, k: int = k) -> Tensor:
            return case.data_term(path(name, case, theta, depth, X, k)[-1], theta["W"], theta["c"])

        torch.testing.assert_close(found[k], gradient(tail, X), rtol=1e-10, atol=1e-12)
    _, tangents = torch.autograd.functional.jvp(
        lambda x: torch.stack(path(name, case, theta, depth, x)), case.x, torch.ones_like(case.x)
    )
    products = (found * tangents).sum((1, 2))
    assert float(products.abs().min()) > 1e-3
    assert float((products - products[0]).abs().max()) < 1e-13 * float(products.abs().max())


def test_a_shared_weight_is_transposed_to_a_sum_over_its_block() -> None:
    """⟨g, weights(v)⟩ = ⟨collect(g), v⟩."""
    coordinates = variants.get("heun_shared").coordinates(random_case("tanh", "squared", seed=2).problem().metric, 3)
    random = np.random.default_rng(0)
    v = random.standard_normal(coordinates.size)
    image = coordinates.weights(v, fixed=False)
    g = Weights(*(torch.as_tensor(random.standard_normal(tuple(theta.shape))) for theta in image))
    product = sum(float((a * b).sum()) for a, b in zip(g, image, strict=True))
    assert product == pytest.approx(float(coordinates.collect(g) @ v), rel=1e-13)


def test_bad_variants_are_refused_in_one_sentence(reference: tuple[Problem, Minimum, Layers]) -> None:
    problem, limit, _ = reference
    with pytest.raises(ValueError, match=r"variant must be one of heun, rk4, .* got 'euler'"):
        variants.minimise(problem, 4, variant="euler")
    with pytest.raises(ValueError, match="needs a smooth activation, got relu"):
        variants.minimise(random_case("relu", "squared", seed=1).problem(), 4)
    with pytest.raises(ValueError, match=r"the constant is known for .* got rk4"):
        variants.value_constant(problem, limit, variant="rk4")
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        variants.minimise(problem, 0)
    for call, (depth, kind, words) in product(
        (variants.objective, variants.costates),
        ((1.5, TypeError, "a whole number, got 1.5"), (0, ValueError, "at least 1, got 0")),
    ):
        with pytest.raises(kind, match=f"depth must be {words}"):
            call(problem, limit.control, depth)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="start must be Layers or Curve, got int"):
        variants.minimise(problem, 4, start=3)  # type: ignore[arg-type]


# Another power of n, another final time


def regulariser(case: Case, theta: dict[str, Tensor], differences: float) -> float:
    """Σ α (differences · Σ|θ_i − θ_{i−1}|² + τ |θ_0|²) over K and b, and α |θ|² over W and c."""
    deep = sum(
        case.alpha[k]
        * float(
            differences * sum(((theta[k][i] - theta[k][i - 1]) ** 2).sum() for i in range(1, len(theta[k])))
            + case.tau[k] * (theta[k][0] ** 2).sum()
        )
        for k in DEEP
    )
    return deep + sum(case.alpha[k] * float((theta[k] ** 2).sum()) for k in "Wc")


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("depth", [2, 5])
def test_power_puts_n_to_the_gamma_before_the_differences_and_nowhere_else(gamma: float, depth: int) -> None:
    """The term τ|θ_0|², the head and the data term keep their weights."""
    case = random_case("tanh", "softmax", seed=3)
    theta = random_weights(case, depth, seed=1)
    data_term = case.data_term(case.end_state(theta["K"], theta["b"]), theta["W"], theta["c"])
    expected = float(data_term) + regulariser(case, theta, depth**gamma)
    found = discrete.objective(variants.power(case.problem(), depth, gamma), layers(theta))
    assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("time", [0.5, 3.0])
def test_final_time_takes_steps_of_t_over_n_and_divides_the_differences_by_t(activation: str, time: float) -> None:
    """X_i = X_{i−1} + (T/n) σ(K X + b), and Σ (T/n) |Δθ / (T/n)|² = (n/T) Σ|Δθ|²."""
    case, depth = random_case(activation, "logistic", seed=4), 6
    theta = random_weights(case, depth, seed=2)
    X = case.x
    for K, b in zip(theta["K"], theta["b"], strict=True):
        X = X + time / depth * SIGMA[activation](X @ K.T + b)
    expected = float(case.data_term(X, theta["W"], theta["c"])) + regulariser(case, theta, depth / time)
    found = discrete.objective(variants.final_time(case.problem(), time), layers(theta))
    assert found == pytest.approx(expected, rel=1e-13)


def test_gradient_of_a_final_time_is_that_of_autograd() -> None:
    """σ' and σ'' carry the factor T as well; relu smoothed keeps it."""
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for name in ("tanh", "gcu"):
        sigma = variants.final_time(random_case(name, "squared", seed=1).problem(), 3.0).activation
        first, second = (
            torch.func.vmap(d)(z)
            for d in (
                torch.func.grad(lambda x, s=name: 3 * SIGMA[s](x)),
                torch.func.grad(torch.func.grad(lambda x, s=name: 3 * SIGMA[s](x))),
            )
        )
        torch.testing.assert_close(sigma.first(z), first, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(sigma.second(z), second, rtol=1e-12, atol=1e-12)
    relu = variants.final_time(random_case("relu", "squared", seed=1).problem(), 3.0).smoothed(1e-9)
    torch.testing.assert_close(relu.activation.value(z), 3 * torch.clamp(z, min=0), rtol=0, atol=1e-8)


def test_final_time_one_and_power_one_change_nothing() -> None:
    """T = 1 and γ = 1 are the theorem's."""
    problem = random_case("tanh", "squared", seed=5).problem()
    weights = layers(random_weights(random_case("tanh", "squared", seed=5), 4, seed=0))
    value = discrete.objective(problem, weights)
    assert discrete.objective(variants.power(problem, 4, 1.0), weights) == value
    assert discrete.objective(variants.final_time(problem, 1.0), weights) == value
    assert variants.final_time(problem, 1.0).activation.name == "tanh"


def test_final_time_is_a_change_of_time_in_the_limit() -> None:
    """E_∞ on [0, T] of a linear flow with constant weights: X(T) = e^{TK} x, whatever its regulariser."""
    case = Case(torch.tensor([[1.0]]).double(), torch.tensor([[0.0]]).double(), "identity", "squared", trainable="K")
    problem, k, time = case.problem(), 0.4, 2.5
    curve = problem.metric.draw(0)
    curve.K[:], curve.K[0] = 0.0, k
    expected = torch.exp(torch.tensor(2 * time * k).double()).item() + 0.01 * k**2
    assert continuum.objective(variants.final_time(problem, time), curve) == pytest.approx(expected, rel=1e-12)


def test_bad_input_is_refused_in_one_sentence() -> None:
    problem = random_case("tanh", "squared", seed=5).problem()
    with pytest.raises(ValueError, match="time must be positive, got 0"):
        variants.final_time(problem, 0)
    with pytest.raises(ValueError, match="gamma must be finite"):
        variants.power(problem, 4, float("inf"))
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        variants.power(problem, 0, 1.0)
