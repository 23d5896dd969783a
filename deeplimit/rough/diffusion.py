"""The stochastic limit of a network with iid weights, h_{k+1} = h_k + σ(ΔA_k h_k + Δb_k), in one dimension.

ΔA and Δb are increments over 1/n of Brownian motions of variances s_A², s_b² and σ(0) = 0. With v(h) = s_A² h² + s_b²

    dh = σ'(0) √v(h) dB + ½ σ''(0) v(h) dt,

the second term because σ(z) ≈ σ'(0) z + ½ σ''(0) z² and z² has the mean v/n (Cohen, Cont, Rossier & Xu 2021, for
σ'(0) = 1). Expectations are computed without random numbers: those of the network by products of one transition matrix,
those of the limit by the exponential of its generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import chebyshev, hermite_e
from scipy.linalg import expm

from deeplimit import activation, checks
from deeplimit.rough.paths import coarsened, fractional_increments
from deeplimit.rough.variation import Floats

Function = Callable[[Floats], Floats]
NODES = 96  # Chebyshev nodes of functions on [−RANGE, RANGE]
RANGE = 6.0  # beyond which functions are continued by their values at the ends
GAUSS = 60  # nodes of the expectation of one step


@dataclass(frozen=True)
class Noise:
    """A network of one neuron a layer with iid Gaussian weights.

    Parameters
    ----------
    name
        Activation, with σ(0) = 0, smooth.
    weight, bias
        s_A and s_b, at least 0.
    """

    name: str
    weight: float
    bias: float

    def __post_init__(self) -> None:
        sigma = activation.get(self.name)
        if not sigma.zero_at_zero or not sigma.smooth:
            raise ValueError(f"activation must be smooth with σ(0) = 0, got {self.name!r}")
        if checks.number("weight", self.weight) < 0 or checks.number("bias", self.bias) < 0:
            raise ValueError(f"weight and bias must not be negative, got {self.weight!r} and {self.bias!r}")

    def sigma(self, z: Floats) -> Floats:
        """σ(z)."""
        return np.asarray(activation.get(self.name).value(torch.from_numpy(z)))

    @property
    def slopes(self) -> tuple[float, float]:
        """σ'(0) and σ''(0)."""
        sigma, zero = activation.get(self.name), torch.zeros(1, dtype=torch.float64)
        return float(sigma.first(zero)), float(sigma.second(zero))

    def variance(self, h: Floats) -> Floats:
        """v(h) = s_A² h² + s_b²."""
        return np.asarray(self.weight**2 * h**2 + self.bias**2)

    def network_mean(self, function: Function, start: float, depth: int) -> float:
        """E φ(h_n), by n products with the matrix of h ↦ E u(h + σ(z)), z ~ N(0, v(h)/n)."""
        x = _nodes()
        z, weights = hermite_e.hermegauss(GAUSS)
        steps = np.sqrt(self.variance(x) / checks.whole("depth", depth, least=1))[:, None] * z
        ends = np.clip(x[:, None] + self.sigma(steps), -RANGE, RANGE)
        transition = np.einsum("iqm,q->im", _interpolation(ends), weights / math.sqrt(2 * math.pi))
        values = function(x)
        for _ in range(depth):
            values = transition @ values
        return float(_interpolation(np.array([start]))[0] @ values)

    def limit_mean(self, function: Function, start: float, *, correction: bool = True) -> float:
        """E φ(h(1)) of the limit, or of the equation without the term of σ''(0): exp of the generator.

            ½ σ'(0)² v(h) d²/dh² + ½ σ''(0) v(h) d/dh,

        stopped at the ends of the interval.
        """
        x = _nodes()
        first, second = self.slopes
        D = _differentiation()
        v = self.variance(x)[:, None]
        generator = first**2 / 2 * v * (D @ D) + (second / 2 * v * D if correction else 0)
        generator[[0, -1]] = 0
        return float(_interpolation(np.array([start]))[0] @ (expm(generator) @ function(x)))

    def strong_errors(self, start: float, depths: list[int], *, fine: int, paths: int, seed: int = 0) -> Floats:
        """Root mean square of h_n − h(1) against the same Brownian paths, for s_b = 0; one number a depth.

        The limit is known along a path: with E_t = exp(σ'(0) s B_t − ½ σ'(0)² s² t),
        h_t = E_t / (1/h_0 − ½ σ''(0) s² ∫₀ᵗ E), the integral by trapezia on `fine` steps.
        """
        if self.bias:
            raise ValueError(f"the limit is known along its path for bias = 0, got {self.bias!r}")
        if any(fine % n for n in depths):
            raise ValueError(f"the depths must divide fine = {fine}, got {depths}")
        c, k = self.slopes
        dB = np.random.default_rng(seed).standard_normal((fine, paths)) * fine**-0.5
        t = np.arange(fine + 1)[:, None] / fine
        B = np.concatenate([np.zeros((1, paths)), dB.cumsum(0)])
        E = np.exp(c * self.weight * B - (c * self.weight) ** 2 * t / 2)
        limit = E[-1] / (1 / start - k / 2 * self.weight**2 * np.trapezoid(E, dx=1 / fine, axis=0))
        errors = []
        for n in depths:
            h = np.full(paths, start)
            for step in dB.reshape(n, fine // n, paths).sum(1):
                h = h + self.sigma(self.weight * step * h)
            errors.append(math.sqrt(float(np.square(h - limit).mean())))
        return np.array(errors)


def _nodes() -> Floats:
    return np.asarray(RANGE * np.cos(math.pi * np.arange(NODES, -1, -1) / NODES))


def _interpolation(x: Floats) -> Floats:
    """Values at the nodes to the values at x of their polynomial, shape (…, nodes)."""
    series = np.linalg.inv(chebyshev.chebvander(_nodes() / RANGE, NODES))
    return np.asarray(chebyshev.chebvander(x / RANGE, NODES) @ series)


def _differentiation() -> Floats:
    """Values at the nodes to the derivative of their polynomial."""
    x = _nodes() / RANGE
    series = np.linalg.inv(chebyshev.chebvander(x, NODES))
    slopes = chebyshev.chebder(np.eye(NODES + 1), axis=0)
    return np.asarray(chebyshev.chebvander(x, NODES - 1) @ slopes @ series / RANGE)


def growth(betas: Floats, hurst: float, depths: list[int], *, width: int, repeats: int, seed: int = 0) -> Floats:
    """|h_n − h_0| / |h_0| of h_{k+1} = h_k + n^{−β} V_k relu(h_k): geometric means over repeats.

    The entries of V_k are increments in k of fractional Brownian motions, of variance 1/width (Marion, Fermanian, Biau
    & Vert 2022). Their sum over the layers is of size n^H, so that the critical exponent is β = H for H ≥ ½. Each
    repeat has one path, on the grids of all depths.

    Parameters
    ----------
    depths
        Each divides the last.

    Returns
    -------
    (depths, betas); inf where numbers overflow.
    """
    total = np.zeros((len(depths), len(betas)))
    for k in range(repeats):
        finest = fractional_increments(depths[-1], hurst, width * width, seed=seed + k) / math.sqrt(width)
        h0 = np.random.default_rng([seed, k]).uniform(0, 1, width)
        for row, n in enumerate(depths):
            V = n**hurst * coarsened(finest, depths[-1] // n)
            total[row] += np.log(_moved(V.reshape(n, width, width), h0, float(n) ** -np.asarray(betas)))
    return np.asarray(np.exp(total / repeats))


def _moved(V: Floats, h0: Floats, scales: Floats) -> Floats:
    """|h_n − h_0| / |h_0| for all scales at once."""
    h = np.tile(h0, (len(scales), 1))
    with np.errstate(over="ignore", invalid="ignore"):
        for matrix in V:
            h = h + scales[:, None] * (np.maximum(h, 0) @ matrix.T)
        moved = np.linalg.norm(h - h0, axis=1) / np.linalg.norm(h0)
    return np.where(np.isfinite(moved), moved, np.inf)
