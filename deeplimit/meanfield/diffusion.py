"""The diffusion that a residual network with noise in every layer tends to.

With h = T/L and independent η_k ~ N(0, 1) the layers of the stochastic network on the line are

    x_{k+1} = x_k + h σ(w x_k + b) + ν √h K(x_k) η_k,   k = 0 … L − 1,

the Euler–Maruyama method for the Itô equation dx = σ(wx + b) dt + ν K(x) dB. (Herty, Trimborn & Visconti 2022 add noise
to their layers in this way; the shapes K and all that is computed here are ours.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.meanfield import field, grid

SQUARES = {  # K² of every shape, and the interval that it keeps the law in
    "constant": (Polynomial([1.0]), (-math.inf, math.inf)),
    "linear": (Polynomial([0.0, 0.0, 1.0]), (0.0, math.inf)),
    "root": (Polynomial([0.0, 1.0]), (0.0, math.inf)),
    "jacobi": (Polynomial([0.0, 1.0, -1.0]), (0.0, 1.0)),
}


@dataclass(frozen=True, eq=False)
class Diffusion:
    """dx = σ(wx + b) dt + ν K(x) dB in the sense of Itô.

    Parameters
    ----------
    activation
        σ, by name or as an `Activation`.
    w, b
        The weights of all layers.
    noise
        ν > 0.
    shape
        K: "constant" for 1 on ℝ, "linear" for x on x > 0, "root" for √x on x > 0, "jacobi" for √(x(1 − x)) on (0, 1).

    Raises
    ------
    ValueError, TypeError
        For an unknown activation or shape, a number that is not finite, and noise that is not positive.
    """

    activation: Activation
    w: float
    b: float
    noise: float
    shape: str = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activations.get(self.activation))
        for name, check in (("w", checks.number), ("b", checks.number), ("noise", checks.positive)):
            object.__setattr__(self, name, check(name, getattr(self, name)))
        if self.shape not in SQUARES:
            raise ValueError(f"shape must be one of {', '.join(SQUARES)}, got {self.shape!r}")

    @property
    def support(self) -> tuple[float, float]:
        """The interval that the law lives on."""
        return SQUARES[self.shape][1]

    def drift(self, x: np.ndarray) -> np.ndarray:
        """σ(wx + b), the shape of x."""
        return field.sigma(self.activation)(np.asarray(self.w * np.asarray(x, dtype=float) + self.b))

    def spread(self, x: np.ndarray) -> np.ndarray:
        """C = ν²K²/2, and 0 where K² would be negative."""
        return np.maximum(self.noise**2 / 2 * SQUARES[self.shape][0](np.asarray(x, dtype=float)), 0.0)

    def spread_slope(self, x: np.ndarray) -> np.ndarray:
        """C' = (ν²/2)(K²)'."""
        return self.noise**2 / 2 * SQUARES[self.shape][0].deriv()(np.asarray(x, dtype=float))


def simulate(diffusion: Diffusion, x: Any, time: float, depth: int, *, seed: int = 0) -> np.ndarray:
    """The outputs of the stochastic network of the given depth on [0, time].

    A layer can leave the support of a K that vanishes at its end; there its noise is off and its drift leads it back.

    Parameters
    ----------
    x
        Inputs in the support, one independent particle for each.
    time, depth
        T > 0 and L ≥ 1.
    seed
        Of NumPy's generator.

    Returns
    -------
    An array of the shape of x.

    Raises
    ------
    ValueError, TypeError
        For inputs that are not finite or outside the support, and for a network too shallow to tend to the diffusion,
        T/L |w| Lip σ > 2, whose signals may grow without end. An activation without a Lipschitz constant is not
        checked.
    """
    h = checks.positive("time", time) / checks.whole("depth", depth, least=1)
    x, (low, high) = field.array("x", x), diffusion.support
    outside = x[(x < low) | (x > high)]
    if outside.size:
        raise ValueError(f"x must be in the support [{low:g}, {high:g}] of the law, got {outside[0]:g}: shift or clip")
    growth = time * abs(diffusion.w) * activations.get(diffusion.activation).lipschitz
    if math.isfinite(growth) and growth > 2 * depth:
        raise ValueError(
            f"depth must be at least T |w| Lip σ/2 = {growth / 2:.4g} for signals not to grow from layer to layer, got "
            f"{depth}: take {math.ceil(growth / 2)} or more layers"
        )
    rng = np.random.default_rng(seed)
    for _ in range(depth):
        x = x + h * diffusion.drift(x) + np.sqrt(2 * h * diffusion.spread(x)) * rng.standard_normal(x.shape)
    return x


def layers(diffusion: Diffusion, x: np.ndarray, density: np.ndarray, time: float, depth: int) -> np.ndarray:
    """The density of the network's output without sampling: one Gaussian integral per layer, for constant K.

        g_{k+1}(y) = ∫ g_k(x) exp(−(y − x − hσ(wx + b))² / 2ν²h) / (2πν²h)^½ dx

    by the trapezoidal rule, whose error falls exponentially once the spacing is below ν√h, as the integrand is smooth
    and vanishes at the ends.

    Parameters
    ----------
    x
        Equally spaced nodes, (N,), so far out that no law has mass at the ends.
    density
        g_0 at the nodes, (N,), not negative, of mass 1 by the trapezoidal rule.

    Raises
    ------
    ValueError, TypeError
        If K is not constant, the nodes are not equally spaced or more than ν√h apart, and for what is no density.
    """
    if diffusion.shape != "constant":
        raise ValueError(f"the layers' densities are computed for constant K alone, got shape {diffusion.shape!r}")
    h = checks.positive("time", time) / checks.whole("depth", depth, least=1)
    x = field.array("x", x)
    if x.ndim != 1 or len(x) < 2 or not np.allclose(np.diff(x), x[1] - x[0], rtol=1e-6, atol=0) or x[1] <= x[0]:
        raise ValueError(f"x must be equally spaced, increasing nodes, (N,) with N ≥ 2, got shape {x.shape}")
    spacing, deviation = float(x[1] - x[0]), diffusion.noise * math.sqrt(h)
    if spacing > deviation:
        raise ValueError(f"the nodes must be at most ν√h = {deviation:.3g} apart, got {spacing:.3g}: take more nodes")
    density = grid.law("density", density, x.shape, spacing)
    away = (x[:, None] - (x + h * diffusion.drift(x))[None, :]) / deviation
    transition = np.exp(-(away**2) / 2) * (spacing / deviation / math.sqrt(2 * math.pi))
    for _ in range(depth):
        density = transition @ density
    return density
