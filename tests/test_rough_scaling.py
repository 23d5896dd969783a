"""Scaling exponents and regimes, training, the stochastic limit, and the critical exponent of noisy weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from deeplimit import Data, Problem, data, discrete
from deeplimit.control import Layers
from deeplimit.rough import diffusion, scaling, training
from deeplimit.rough.diffusion import Noise


def test_the_numbers_of_one_network() -> None:
    """Three layers by hand."""
    weights = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 12.0]])
    found = scaling.diagnose(weights, 0.5)
    expected = {"step": 0.5, "largest": 12, "increment": 12, "root_squares": 13, "variation": 8.5, "quadratic": 42.25}
    expected |= {"sum": 0.5 * math.hypot(3, 16), "h1": 13 * math.sqrt(3)}
    assert found == pytest.approx(expected, rel=1e-14)


def test_exponents_of_powers() -> None:
    """Columns that are powers of n give their exponents, α and β with the sign turned; a zero gives NaN."""
    n = np.array([4, 8, 16])
    powers = {name: k / 4 for k, name in enumerate(scaling.QUANTITIES)}
    rows = pd.DataFrame({name: 3 * n**power for name, power in powers.items()})
    found = scaling.exponents(n, rows)
    assert found.pop("alpha") == pytest.approx(0, abs=1e-12) and found.pop("beta") == pytest.approx(-0.25)
    assert found == pytest.approx({name: powers[name] for name in scaling.QUANTITIES[2:]})
    assert math.isnan(scaling.exponents(n, rows.assign(quadratic=0.0))["quadratic"])


REGIMES = {
    "ODE": (0.0, -1.0, -1.0),
    "SDE": (0.5, 0.0, 0.0),
    "averaged": (0.0, -1.0, 0.0),
    "between": (0.3, -0.4, 0.0),
    "vanishing": (-1.0, -3.0, -1.0),
    "growing": (1.0, 1.0, 0.0),
    "unclear": (math.nan, 0.0, 0.0),
}


@pytest.mark.parametrize("name", scaling.REGIMES)
def test_every_regime_is_found(name: str) -> None:
    """At its own exponents, and as well with a third of the room added to them."""
    variation, quadratic, increment = REGIMES[name]
    for change in (0.0, 0.05, -0.05):
        found = {"variation": variation + change, "quadratic": quadratic + change, "increment": increment, "beta": 0.0}
        assert scaling.regime(found) == name


def test_a_trained_network_is_the_one_that_was_asked_for() -> None:
    """Shapes, δ and starts; no epoch leaves the start; another seed another network; training lowers the loss."""
    digits = data.digits(points=60, features=5)
    raw = training.train(digits, 6, scale="1/√n", start="smooth", epochs=0)
    assert raw.A.shape == (6, 5, 5) and raw.b.shape == (6, 5)
    assert raw.step == pytest.approx(6**-0.5) and not np.diff(raw.A, axis=0).any() and raw.A.any()
    assert not training.train(digits, 6, start="zero", epochs=0).A.any()
    assert np.abs(training.train(digits, 6, epochs=0).A).max() <= 5**-0.5
    first, again, other = (training.train(digits, 6, rate=0.02, epochs=40, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.A, again.A) and not np.allclose(first.A, other.A)
    assert first.loss < 0.7 * raw.loss and 0 <= first.accuracy <= 1
    free = training.train(digits, 6, scale=training.TRAINED, rate=0.01, epochs=2)
    assert free.step != pytest.approx(1 / 6, rel=1e-3)


def test_the_loss_is_that_of_the_network() -> None:
    """The recursion layer by layer, and the first step of gradient descent by central differences."""
    toy = Data([[0.5, -1.0], [1.5, 0.2], [-0.3, 0.8]], [[1, 0], [0, 1], [1, 0]])
    net = training.train(toy, 3, epochs=0, seed=2)

    def head(x: np.ndarray, A: np.ndarray) -> np.ndarray:
        for K, b in zip(A, net.b, strict=True):
            x = x + np.tanh(x @ K.T + b) / 3
        return x

    kwargs: dict[str, Any] = {"optimiser": "SGD", "rate": 1e-3, "batch": 3, "seed": 2}
    moved = (training.train(toy, 3, epochs=1, **kwargs).A - net.A) / -1e-3
    tripled = (training.train(toy, 3, epochs=1, rescaled=True, **kwargs).A - net.A) / -1e-3
    assert tripled == pytest.approx(3 * moved, rel=1e-9, abs=1e-12)
    random = torch.Generator().manual_seed(2)
    draws = [
        2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1 for shape in ((3, 2, 2), (3, 2), (2, 2), (2,))
    ]
    W, c = (theta.numpy() * 2**-0.5 for theta in draws[2:])

    def loss(A: np.ndarray) -> float:
        z = head(toy.x.numpy(), A) @ W.T + c
        return float((np.log(np.exp(z).sum(1)) - (z * toy.y.numpy()).sum(1)).mean())

    assert net.loss == pytest.approx(loss(net.A), rel=1e-12)
    bump = np.zeros_like(net.A)
    bump[1, 0, 1] = 1e-6
    assert moved[1, 0, 1] == pytest.approx((loss(net.A + bump) - loss(net.A - bump)) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("coordinates", training.COORDINATES)
def test_the_objective_with_the_penalty_is_that_of_the_networks(coordinates: str) -> None:
    """E_n of the package at the trained weights, in both coordinates; without training they are the same weights."""
    digits = data.digits(points=40, features=4)
    net = training.train(digits, 5, penalty=0.03, coordinates=coordinates, epochs=0, seed=3)
    problem = Problem(digits, loss="softmax", alpha=0.03, reduction="mean")
    layers = Layers(*(torch.from_numpy(theta) for theta in (net.A, net.b, net.W, net.c)))
    assert net.objective == pytest.approx(discrete.objective(problem, layers), rel=1e-12)
    assert net.loss == pytest.approx(discrete.data_loss(problem, layers), rel=1e-12)
    assert np.allclose(net.A, training.train(digits, 5, epochs=0, seed=3).A, rtol=1e-13)


def test_adam_in_coordinates_of_the_penalty_comes_to_the_minimiser() -> None:
    """Its objective to a thousandth, on few points; and how far it has moved at the end says so."""
    digits = data.digits(points=20, features=3)
    options: dict[str, Any] = {"penalty": 0.1, "coordinates": "increments", "start": "smooth", "rate": 0.05}
    net = training.train(digits, 6, epochs=300, batch=20, **options)
    problem = Problem(digits, loss="softmax", alpha=0.1, reduction="mean")
    start = Layers(*(torch.from_numpy(theta) for theta in (net.A, net.b, net.W, net.c)))
    least = discrete.minimise(problem, 6, start=start)
    assert 0 <= net.objective - least.value <= 1e-3 * least.value and net.moved < 1e-3
    assert training.train(digits, 6, epochs=10, batch=20, **options).moved > net.moved


def test_bias_noise_alone_is_a_shifted_gaussian() -> None:
    """s_A = 0: the limit is N(h_0 + ½ σ''(0) s_b², σ'(0)² s_b²), E sin in closed form; the network by its own sum."""
    noise = Noise("silu", 0.0, 0.6)
    mean, deviation = 0.5 + 0.25 * 0.36, 0.5 * 0.6
    exact = math.sin(mean) * math.exp(-(deviation**2) / 2)
    assert noise.limit_mean(np.sin, 0.5) == pytest.approx(exact, abs=1e-8)
    assert noise.limit_mean(np.sin, 0.5, correction=False) == pytest.approx(
        math.sin(0.5) * math.exp(-(deviation**2) / 2), abs=1e-8
    )
    z, n = np.linspace(-9, 9, 4001), 8
    density = norm.pdf(z) * (z[1] - z[0])
    characteristic = (density @ np.exp(1j * noise.sigma(0.6 / math.sqrt(n) * z))) ** n
    assert noise.network_mean(np.sin, 0.5, n) == pytest.approx(float((np.exp(0.5j) * characteristic).imag), abs=1e-6)


def test_weight_noise_alone_has_known_moments() -> None:
    """tanh has σ''(0) = 0: dh = s h dB has E h = h_0 and E h² = h_0² e^{s²}; a network of tanh keeps the mean."""
    noise = Noise("tanh", 0.3, 0.0)
    assert noise.slopes == (1.0, 0.0)
    assert noise.limit_mean(lambda h: h, 0.5) == pytest.approx(0.5, abs=1e-8)
    assert noise.limit_mean(np.square, 0.5) == pytest.approx(0.25 * math.exp(0.09), abs=1e-7)
    assert noise.network_mean(lambda h: h, 0.5, 20) == pytest.approx(0.5, abs=1e-5)


def test_the_strong_limit_is_the_solution_along_the_path() -> None:
    """tanh: geometric Brownian motion; the errors of networks halve with every fourfold depth."""
    errors = Noise("tanh", 0.4, 0.0).strong_errors(1.0, [64, 256, 1024], fine=1024, paths=800, seed=3)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15) and errors[1] / errors[2] == pytest.approx(2, rel=0.15)
    bent = Noise("silu", 0.8, 0.0).strong_errors(-1.0, [64, 256], fine=2048, paths=800, seed=4)
    assert bent[0] / bent[1] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("hurst", [0.5, 0.8])
def test_the_critical_exponent_is_the_hurst_exponent(hurst: float) -> None:
    """|h_n − h_0| ~ n^{H − β} above β = H, constant at it, and larger below."""
    betas = np.array([hurst - 0.2, hurst, hurst + 0.3])
    found = np.log2(diffusion.growth(betas, hurst, [64, 256], width=12, repeats=4))
    slopes = np.diff(found, axis=0)[0] / 2
    assert slopes[1:] == pytest.approx([0, -0.3], abs=0.02) and slopes[0] > 0.2


def test_numbers_that_overflow_are_infinite() -> None:
    """β far below H."""
    assert diffusion.growth(np.array([-3.0]), 0.5, [256], width=16, repeats=1)[0, 0] == math.inf


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "one layer": (lambda: scaling.diagnose([1.0], 1.0), "at least 2 points"),
    "step": (lambda: scaling.diagnose([1.0, 2.0], 0.0), "step must be positive"),
    "one depth": (lambda: scaling.exponents([4], pd.DataFrame([{}])), "at least two different depths"),
    "repeated depths": (
        lambda: scaling.exponents([8, 8], pd.DataFrame([{}, {}])),
        r"at least two different depths, one a row, got depths \[8, 8\]",
    ),
    "no columns": (lambda: scaling.exponents([4, 8], pd.DataFrame({"step": [1, 2]})), "but lack largest"),
    "depth 0": (lambda: scaling.exponents([0, 8], pd.DataFrame([{}, {}])), "a depth must be at least 1"),
    "weights NaN": (lambda: scaling.diagnose([1.0, math.nan], 1.0), "must be finite"),
    "scale": (lambda: training.train(data.digits(points=10), 4, scale="n"), "scale must be one of 1/n"),
    "optimiser": (lambda: training.train(data.digits(points=10), 4, optimiser="LBFGS"), "optimiser must be one of"),
    "coordinates": (lambda: training.train(data.digits(points=10), 4, coordinates="u"), "weights, increments"),
    "penalty": (lambda: training.train(data.digits(points=10), 4, penalty=-1), "penalty must not be negative"),
    "rate": (lambda: training.train(data.digits(points=10), 4, rate=-1), "rate must be positive"),
    "kink": (lambda: Noise("relu", 1.0, 1.0), "smooth with σ\\(0\\) = 0"),
    "negative": (lambda: Noise("tanh", -1.0, 1.0), "must not be negative"),
    "bias": (lambda: Noise("tanh", 1.0, 1.0).strong_errors(1.0, [4], fine=8, paths=2), "bias = 0"),
    "grids": (lambda: Noise("tanh", 1.0, 0.0).strong_errors(1.0, [3], fine=8, paths=2), "must divide fine = 8"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Callable[[], Any], words: str) -> None:
    """One sentence that names the requirement."""
    with pytest.raises(ValueError, match=words):
        call()
