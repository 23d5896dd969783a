"""The problem without a best limit: the truth is closed forms, SciPy in two variables, autograd on a plain loop."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from problems import LOSS, random_case, random_weights
from problems import layers as network_of
from scipy import optimize

from deeplimit import Layers, counterexample, discrete, norms
from deeplimit.counterexample import Oscillation, minimise_untied, network
from deeplimit.energy import Energy
from deeplimit.ridge import RidgeCoordinates
from deeplimit.sweep import EULER, Flow

SWING = Oscillation(rise=0.8, fall=0.4)
ALPHA = 0.1
END_STATES = {12: (2.143589, -0.656100), 120: (2.216715, -0.668972), 1200: (2.224651, -0.670186)}


def states(layers: Layers) -> list[float]:
    """The last states by the package's network."""
    return discrete.states(SWING.problem(ALPHA), layers)[-1].ravel().tolist()


@pytest.mark.parametrize("depth", END_STATES)
@pytest.mark.parametrize("order", [{}, {"blocks": 4}, {"seed": 0}, {"seed": 1}], ids=str)
def test_every_order_of_the_layers_gives_the_same_end_states(depth: int, order: dict[str, int]) -> None:
    """Each layer multiplies one of the two states and leaves the other, so that layers commute."""
    found = states(SWING.layers(depth, **order))
    assert found == pytest.approx(SWING.end_states(depth), rel=1e-12)
    assert found == pytest.approx(END_STATES[depth], abs=5e-7)


def test_end_states_tend_to_the_limit_and_not_to_those_of_the_weak_limit() -> None:
    """(e^0.8, −e^−0.4) = (2.225541, −0.670320); the constant 0.4 gives (e^0.4, −1)."""
    assert SWING.limit_states() == pytest.approx((2.225541, -0.670320), abs=5e-7)
    assert states(SWING.layers(3000)) == pytest.approx(SWING.limit_states(), abs=1e-3)
    assert SWING.weak_limit_states() == pytest.approx((1.491825, -1.0), abs=5e-7)
    assert states(network(np.full(3000, SWING.mean))) == pytest.approx(SWING.weak_limit_states(), abs=1e-3)
    assert Oscillation(0.4, 0.8).weak_limit_states() == pytest.approx((1.0, -math.exp(-0.4)))


def test_the_l2_penalty_cannot_tell_the_orders_apart_and_the_h1_penalty_can() -> None:
    """h Σ k² = 1.44 always; n Σ|Δk|² is 5.76 n for one change of sign."""
    for depth in (12, 120):
        weights = [SWING.layers(depth, **order).K.numpy() for order in ({}, {"blocks": 4}, {"seed": 3})]
        assert [np.mean(k**2) for k in weights] == pytest.approx([1.44] * 3)
        energies = [depth * np.sum(np.diff(k, axis=0) ** 2) for k in weights]
        assert energies[:2] == pytest.approx([5.76 * depth, 7 * 5.76 * depth])
        assert energies[2] > 2 * energies[0]


def reduced(alpha: float, depth: float = math.inf) -> Callable[[np.ndarray], float]:
    """The untied objective as a function of the size of positive and negative weights, the share as it should be."""
    (y1,), (y2,) = SWING.problem(alpha).data.y.tolist()

    def value(sizes: np.ndarray) -> float:
        a, b = sizes
        if math.isinf(depth):
            up, down = math.exp(2 / 3 * a), math.exp(-b / 3)
        else:
            up, down = (1 + a / depth) ** (2 / 3 * depth), (1 - b / depth) ** (depth / 3)
        return (up - y1) ** 2 + (-down - y2) ** 2 + alpha * (2 / 3 * a**2 + b**2 / 3)

    return value


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0])
def test_the_targets_make_rise_and_fall_optimal(alpha: float) -> None:
    """Brute force over A and B, for which (A + B)² is the least ∫ k²."""
    (y1,), (y2,) = SWING.problem(alpha).data.y.tolist()

    def value(u: np.ndarray) -> float:
        return (math.exp(u[0]) - y1) ** 2 + (-math.exp(-u[1]) - y2) ** 2 + alpha * (u[0] + u[1]) ** 2

    box = [(0.0, 2.0), (0.0, 2.0)]
    start = optimize.brute(value, box, Ns=81, finish=None)
    best = optimize.minimize(value, start, bounds=box, tol=1e-14, options={"gtol": 1e-10, "ftol": 1e-16})
    assert best.x == pytest.approx([0.8, 0.4], abs=1e-5)
    assert best.fun == pytest.approx(SWING.minimum(alpha), rel=1e-9)


def test_untied_minimisers_keep_the_order_they_start_from() -> None:
    """Their value is that of the problem in two variables, and every weight of one sign is the same."""
    depth = 48
    random = np.random.default_rng(0)
    values = []
    for seed in (0, 1):
        start = SWING.layers(depth, seed=seed).K.numpy().ravel()
        found = minimise_untied(SWING.problem(ALPHA), network(start * random.uniform(0.5, 1.5, depth)))
        weights = found.control.K.numpy().ravel()
        assert (np.sign(weights) == np.sign(start)).all()
        assert np.ptp(weights[weights > 0]) < 1e-8 and np.ptp(weights[weights < 0]) < 1e-8
        assert str(found.status).startswith("converged:") and found.curvature > 0
        assert counterexample.kink_distance(SWING.problem(ALPHA), found.control) > 0.5
        values.append(found.value)
    truth = optimize.minimize(reduced(ALPHA, depth), [1.2, 1.2], tol=1e-14)
    assert values == pytest.approx([truth.fun] * 2, abs=1e-12)
    assert truth.fun == pytest.approx(SWING.minimum(ALPHA), rel=0.02)


def test_untied_coordinates_make_the_l2_penalty_a_square() -> None:
    """|u|² is α (1/n) Σ|θ_i|² for K and b, and the gradient is autograd's on a plain loop."""
    case = random_case("tanh", "squared", seed=3)
    depth = 5
    theta = random_weights(case, depth, seed=0)
    problem = case.problem()
    coordinates = RidgeCoordinates(problem.metric, depth)
    u = coordinates.vector(network_of(theta))
    wanted = sum(case.alpha[k] * float((theta[k] ** 2).sum()) / (depth if k in "Kb" else 1) for k in "KbWc")
    assert u @ u == pytest.approx(wanted, rel=1e-13)
    back = coordinates.control(u)
    assert all(torch.allclose(getattr(back, k), theta[k], rtol=1e-14) for k in "KbWc")

    def objective(vector: torch.Tensor) -> torch.Tensor:
        roots = {k: math.sqrt(case.alpha[k] / (depth if k in "Kb" else 1)) for k in "KbWc"}
        block = {k: v / roots[k] for k, v in case.split(vector, depth).items()}
        z = case.end_state(block["K"], block["b"]) @ block["W"].T + block["c"]
        return LOSS["squared"](z, case.y) / len(case.x) + vector @ vector

    point = torch.tensor(u, requires_grad=True)
    (truth,) = torch.autograd.grad(objective(point), point)
    found = Energy(problem, coordinates, Flow(EULER, depth))(u)
    assert found.value == pytest.approx(float(objective(point).detach()), rel=1e-13)
    assert found.gradient == pytest.approx(truth.numpy(), rel=1e-11, abs=1e-13)


def test_random_orders_stay_apart_in_l2_and_approach_one_another_in_tl2() -> None:
    """Means over seeds, to four standard deviations: the extensions differ by 1.6, the best coupling by √(1/(4n))."""
    depth, pairs = 48, 40
    orders = [[SWING.layers(n, seed=2 * k + n // 96) for n in (depth, 2 * depth)] for k in range(pairs)]
    l2 = np.mean([norms.tl2(a, b) ** 2 for a, b in orders])
    tl2 = np.mean([norms.tl2(a, b, exact=True) ** 2 for a, b in orders])
    assert SWING.l2_distance() == pytest.approx(1.6)
    assert l2 == pytest.approx(1.6**2, rel=4 / math.sqrt(pairs * 2 * depth))
    # ∫ β² of a Brownian bridge has mean 1/6 and variance 1/45
    assert tl2 == pytest.approx(counterexample.tl2_distance(depth, 2 * depth) ** 2, rel=4 * 0.9 / math.sqrt(pairs))


def test_no_coupling_brings_an_order_nearer_to_the_weak_limit() -> None:
    """2 √(A B) = 1.1314 from the constant A − B, by the optimal assignment too."""
    constant = network(np.full(48, SWING.mean))
    found = norms.tl2(SWING.layers(48, seed=0), constant, exact=True)
    assert found == pytest.approx(2 * math.sqrt(0.32), abs=1e-3)
    assert SWING.weak_distance() == pytest.approx(2 * math.sqrt(0.32))


def test_what_does_not_divide_is_refused() -> None:
    """One sentence that names the number."""
    with pytest.raises(ValueError, match="depth = 10 layers is not a whole number"):
        SWING.layers(10)
    with pytest.raises(ValueError, match="depth = 12 layers do not make blocks = 5"):
        SWING.layers(12, blocks=5)
    with pytest.raises(ValueError, match="rise must be positive, got 0"):
        Oscillation(rise=0)
    with pytest.raises(TypeError, match="start must be Layers"):
        minimise_untied(SWING.problem(ALPHA), "here")  # type: ignore[arg-type]
