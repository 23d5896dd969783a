"""The stochastic network has the moments and the law that its layers say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from deeplimit.meanfield import diffusion
from deeplimit.meanfield.diffusion import Diffusion

OU = Diffusion("identity", -1.2, 0.5, 0.8)
TIME, DEPTH, START = 0.9, 12, 1.7


def autoregression(d: Diffusion, start: float, time: float, depth: int) -> tuple[float, float]:
    """Mean and variance of x_{k+1} = (1 + hw) x_k + hb + ν √h η_k from a point."""
    h, mean, variance = time / depth, start, 0.0
    for _ in range(depth):
        mean, variance = (1 + h * d.w) * mean + h * d.b, (1 + h * d.w) ** 2 * variance + h * d.noise**2
    return mean, variance


def test_an_affine_network_is_an_autoregression() -> None:
    """Its output is Gaussian with moments that a recursion gives: within 4 standard errors, and by distribution."""
    number = 40_000
    mean, variance = autoregression(OU, START, TIME, DEPTH)
    x = diffusion.simulate(OU, np.full(number, START), TIME, DEPTH, seed=3)
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / number)
    assert abs(x.var() - variance) < 4 * variance * math.sqrt(2 / number)
    assert stats.kstest(x, stats.norm(mean, math.sqrt(variance)).cdf).pvalue > 0.001


def test_noise_proportional_to_the_state_has_the_moments_of_its_recursion() -> None:
    """E x² ↦ ((1 + hw)² + hν²) E x² + 2 (1 + hw) hb E x + h²b² if K = x."""
    d, number, h = Diffusion("identity", -1.0, 0.7, 0.6, "linear"), 40_000, TIME / DEPTH
    first, second = START, START**2
    for _ in range(DEPTH):
        a = 1 + h * d.w
        first, second = a * first + h * d.b, (a**2 + h * d.noise**2) * second + 2 * a * h * d.b * first + (h * d.b) ** 2
    x = diffusion.simulate(d, np.full(number, START), TIME, DEPTH, seed=3)
    assert abs(x.mean() - first) < 4 * x.std() / math.sqrt(number)
    assert abs((x**2).mean() - second) < 4 * (x**2).std() / math.sqrt(number)


def test_densities_of_layers_are_those_of_the_autoregression() -> None:
    """A Gaussian input and affine layers: the trapezoidal rule is exact up to rounding."""
    x = np.linspace(-5, 6, 500)
    found = diffusion.layers(OU, x, stats.norm(START, 0.4).pdf(x), TIME, DEPTH)
    mean, noise = autoregression(OU, START, TIME, DEPTH)
    variance = 0.16 * (1 + TIME / DEPTH * OU.w) ** (2 * DEPTH) + noise
    assert np.max(np.abs(found - stats.norm(mean, math.sqrt(variance)).pdf(x))) < 1e-13


def test_densities_of_layers_are_those_of_particles() -> None:
    """σ = tanh: the distribution function by quadrature against 40 000 particles, at the level of 0.1 %."""
    d, x = Diffusion("tanh", -2.0, 0.5, 0.8), np.linspace(-6, 6, 500)
    density = diffusion.layers(d, x, stats.norm(1.0, 0.5).pdf(x), 1.0, 10)
    inputs = stats.norm(1.0, 0.5).rvs(40_000, random_state=np.random.default_rng(5))
    cdf = np.cumsum(density) * (x[1] - x[0]) - density * (x[1] - x[0]) / 2
    outputs = diffusion.simulate(d, inputs, 1.0, 10, seed=6)
    assert stats.kstest(outputs, lambda y: np.interp(y, x, cdf)).pvalue > 0.001


@pytest.mark.parametrize("shape", ["root", "jacobi"])
def test_particles_outside_the_support_come_back(shape: str) -> None:
    """Below 0 the noise is off, and the layer is the one without noise: after one layer with it that has left."""
    d = Diffusion("identity", -1.0, 0.01, 0.9, shape)
    once, twice = (diffusion.simulate(d, np.full(200, 0.01), 0.1 * layers, layers, seed=1) for layers in (1, 2))
    outside = once < 0
    assert outside.sum() > 20
    assert twice[outside] == pytest.approx(once[outside] + 0.1 * (0.01 - once[outside]), rel=1e-13)


@pytest.mark.parametrize(
    ("d", "x", "depth", "sentence"),
    [
        (OU, [0.0, math.nan], 10, "x must be finite"),
        (Diffusion("identity", -1.0, 0.5, 0.9, "root"), [0.1, -0.1], 10, r"support \[0, inf\] of the law, got -0\.1"),
        (Diffusion("identity", -1.0, 0.5, 0.9, "jacobi"), [1.2], 10, r"support \[0, 1\] of the law, got 1\.2"),
        (OU, [0.0], 5, r"at least T \|w\| Lip σ/2 = 6 .* got 5: take 6 or more layers"),
    ],
)
def test_what_no_network_takes_is_refused(d: Diffusion, x: list[float], depth: int, sentence: str) -> None:
    """Beyond |1 + hw| = 1 affine layers blow up: 6 of them on [0, 10] with w = −1.2 do not."""
    with pytest.raises(ValueError, match=sentence):
        diffusion.simulate(d, x, 10.0, depth)
    assert np.isfinite(diffusion.simulate(OU, [0.0], 10.0, 6)).all()


def test_seeds_tell_runs_apart() -> None:
    """Equal seeds, equal numbers."""
    runs = [diffusion.simulate(OU, np.zeros(5), 1.0, 3, seed=seed) for seed in (1, 1, 2)]
    assert (runs[0] == runs[1]).all() and (runs[0] != runs[2]).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"noise": 0.0}, "noise must be positive, got 0.0"),
        ({"w": math.inf}, "w must be finite, got inf"),
        ({"shape": "square"}, "shape must be one of constant, linear, root, jacobi, got 'square'"),
        ({"activation": "step"}, "activation must be one of .* got 'step'"),
    ],
)
def test_what_is_no_diffusion_is_refused(changes: dict[str, Any], sentence: str) -> None:
    """One sentence with the requirement and the value."""
    given: dict[str, Any] = {"activation": "tanh", "w": -1.0, "b": 0.0, "noise": 1.0}
    with pytest.raises(ValueError, match=sentence):
        Diffusion(**given | changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g: -g, "density must not be negative"),
        (lambda g: 2 * g, "density must have mass 1, got 2"),
        (lambda g: g[1:], r"shape \(500,\), got \(499,\)"),
        (lambda g: np.nan * g, "density must be finite"),
    ],
)
def test_layers_ask_for_a_density(change: Any, sentence: str) -> None:
    """And for nodes that the rule is for."""
    x = np.linspace(-5, 6, 500)
    with pytest.raises(ValueError, match=sentence):
        diffusion.layers(OU, x, change(stats.norm(START, 0.4).pdf(x)), TIME, DEPTH)
    with pytest.raises(ValueError, match="equally spaced, increasing nodes"):
        diffusion.layers(OU, x**3, stats.norm(START, 0.4).pdf(x), TIME, DEPTH)


def test_layers_ask_for_constant_noise_and_fine_nodes() -> None:
    """Where the transition of a layer is not resolved its quadrature means nothing."""
    x = np.linspace(-1, 1, 11)
    with pytest.raises(ValueError, match="constant K alone, got shape 'root'"):
        diffusion.layers(Diffusion("identity", -1.0, 1.0, 1.0, "root"), x, x, 1.0, 2)
    with pytest.raises(ValueError, match=r"at most ν√h = 0\.08 apart, got 0\.2"):
        diffusion.layers(OU, x, x, 1.0, 100)
