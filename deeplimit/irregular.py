"""Controls that are no more regular than they have to be: merely H¹, merely Hölder, and networks that oscillate.

Curves in two further bases, with the closed forms that say what sampling them at i/n must give; derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.integrate import cumulative_trapezoid
from torch import Tensor

from deeplimit import checks
from deeplimit.control import BLOCKS, Basis, Curve, Layers
from deeplimit.coordinates import Metric

CELLS = 100_000  # on either side of a singularity, the others being smooth: relative error below 1e-8
ITERATIONS = 12  # of Picard: for |K| ≤ 0.2 the error is 0.2^12/12! and below rounding


@dataclass(frozen=True)
class Power(Basis):
    """One function φ = |t − at|^exponent over its norm, −½ < exponent < 0: the derivative of a merely H¹ curve."""

    size: int = 1
    at: float = 1 / 3
    exponent: float = -0.4

    def __post_init__(self) -> None:
        if self.size != 1 or not 0 < self.at < 1 or not -0.5 < self.exponent < 0:
            got = f"size {self.size}, at {self.at}, exponent {self.exponent}"
            raise ValueError(f"a power has size 1, at in (0, 1) and exponent in (−½, 0), got {got}")

    @property
    def norm(self) -> float:
        """(∫ |t − at|^(2 exponent) dt)^½."""
        power = 2 * self.exponent + 1
        return math.sqrt((self.at**power + (1 - self.at) ** power) / power)

    def derivative(self, t: np.ndarray) -> np.ndarray:
        """Values of the functions that make up Θ̇, shape (len(t), size)."""
        return np.abs(t - self.at)[:, None] ** self.exponent / self.norm

    def primitive(self, t: np.ndarray) -> np.ndarray:
        """Their integrals from 0 to t, shape (len(t), size)."""
        power, u = self.exponent + 1, t - self.at
        return (np.sign(u) * np.abs(u) ** power + self.at**power)[:, None] / (power * self.norm)

    def defect(self, depth: int) -> float:
        """Leading term of ∫ φ² − n Σ_cells (∫ φ)², of order 1 + 2 exponent < 1 in 1/n.

        With g = |u|^exponent and f the place of the singularity in its cell it is n^(−1 − 2 exponent)/norm² times
        Σ_j (∫ g² − (∫ g)²) over the cells [j − f, j + 1 − f], j from −∞ to ∞.
        """
        u = np.arange(-CELLS, CELLS + 1) - math.fmod(depth * self.at, 1.0)

        def integrals(power: float) -> np.ndarray:
            return np.diff(np.sign(u) * np.abs(u) ** power) / power

        gamma = self.exponent
        loss = float(np.sum(integrals(2 * gamma + 1) - integrals(gamma + 1) ** 2))
        return loss * depth ** -(1 + 2 * gamma) / self.norm**2


@dataclass(frozen=True)
class Waves(Basis):
    """φ_j = √2 sin(2π base^j t): with coefficients base^(j(1 − β)) the curve is Hölder of order β and no better."""

    base: int = 2

    def _turns(self, t: np.ndarray) -> np.ndarray:
        """base^j t modulo 1, exact for dyadic t as long as the product fits into 53 bits."""
        return np.mod(t[:, None] * float(self.base) ** np.arange(self.size), 1.0)

    def derivative(self, t: np.ndarray) -> np.ndarray:
        """Values of the functions that make up Θ̇, shape (len(t), size)."""
        return math.sqrt(2) * np.sin(2 * math.pi * self._turns(t))

    def primitive(self, t: np.ndarray) -> np.ndarray:
        """Their integrals from 0 to t, shape (len(t), size)."""
        waves = (1 - np.cos(2 * math.pi * self._turns(t))) / (math.sqrt(2) * math.pi)
        return waves / float(self.base) ** np.arange(self.size)


@dataclass(frozen=True)
class Weierstrass:
    """K(t) = diag over β of Σ_{k < terms} a_k cos(2π base^k t), a_k = h (1 − base^(−β)) base^(−kβ), b = 0.

    Hölder of order β as far as its terms reach; K(0) = h where they are many.
    """

    betas: Sequence[float]
    base: int
    terms: int
    height: float

    @property
    def frequencies(self) -> np.ndarray:
        """base^k, shape (terms,)."""
        return float(self.base) ** np.arange(self.terms)

    @property
    def amplitudes(self) -> np.ndarray:
        """a_k, shape (terms, number of β)."""
        beta = np.asarray(self.betas, dtype=float)
        return self.height * (1 - self.base**-beta) * self.frequencies[:, None] ** -beta

    def curve(self) -> Curve:
        """With W = identity and c = 0."""
        slopes = -self.amplitudes * math.sqrt(2) * math.pi * self.frequencies[:, None]
        rows = np.concatenate([self.amplitudes.sum(0, keepdims=True), slopes])
        d = len(self.betas)
        K = torch.diag_embed(torch.as_tensor(rows))
        return Curve(Waves(self.terms, self.base), K, torch.zeros(len(rows), d), torch.eye(d), torch.zeros(d))

    def at(self, t: np.ndarray) -> np.ndarray:
        """The diagonal of K(t), (len(t), number of β)."""
        return np.cos(2 * math.pi * np.mod(t[:, None] * self.frequencies, 1.0)) @ self.amplitudes

    def integral(self, t: np.ndarray) -> np.ndarray:
        """∫₀ᵗ of the diagonal, (len(t), number of β)."""
        turns = np.mod(t[:, None] * self.frequencies, 1.0)
        return (np.sin(2 * math.pi * turns) / (2 * math.pi * self.frequencies)) @ self.amplitudes

    def mean(self, depth: int) -> np.ndarray:
        """(1/n) Σ_{i<n} K(i/n) for each β: the frequencies that are multiples of n, which the nodes see as constants.

        Its limit ∫ K is 0. For base 2 and n = 2^m it is h n^(−β), less the terms left out; for base 3 it vanishes.
        """
        multiple = np.array([pow(self.base, k, depth) == 0 for k in range(self.terms)])
        return multiple.astype(float) @ self.amplitudes

    def tanh_states(self, depth: int, cells: int) -> np.ndarray:
        """X(i/n) of X' = tanh(K X), X(0) = 1, (n + 1, number of β): Picard's iteration with the trapezoidal rule.

        Raises
        ------
        ValueError
            If the cells of the rule are no multiple of the depth.
        """
        if cells % depth:
            raise ValueError(f"cells must be a multiple of the depth, got {cells} and {depth}")
        K, X = self.at(np.arange(cells + 1) / cells), np.ones(len(self.betas))
        for _ in range(ITERATIONS):
            X = 1 + cumulative_trapezoid(np.tanh(K * X), dx=1 / cells, axis=0, initial=0)
        return X[:: cells // depth]


def random(metric: Metric, basis: Basis, seed: int, *, decay: float = 1.0) -> Curve:
    """Normal values at t = 0 and normal coefficients of the derivative times (j + 1)^(−decay); W, c normal."""
    generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
    fall = torch.as_tensor(np.append(1.0, np.arange(1.0, basis.size + 1) ** -decay))

    def draw(block: str) -> Tensor:
        shape = metric.shape(block)
        if block in "Wc":
            normal = torch.randn(shape, generator=generator, dtype=torch.float64)
            return normal if block in metric.trainable else metric.fixed(block)
        normal = torch.randn((basis.size + 1, *shape), generator=generator, dtype=torch.float64)
        return normal * fall.reshape(-1, *[1] * len(shape)) * float(block in metric.trainable)

    return Curve(basis, *(draw(block) for block in BLOCKS))


def alternating(layers: Layers, size: float) -> Layers:
    """K_i + (a/(2n)) (−1)^i B, |B| = 1, equal entries: n Σ|ΔK|² gains a² (n − 1)/n, though K_i changes by a/(2n)."""
    signs = 1 - 2 * torch.fmod(torch.arange(layers.depth, dtype=torch.float64), 2)
    return _moved(layers, size / (2 * layers.depth) * signs)


def oscillating(layers: Layers, size: float, waves: int) -> Layers:
    """K_i + (a/m) sin(2πm t_i) B, |B| = 1, equal entries: ‖K'‖² gains 2π²a², though K changes by a/m."""
    return _moved(layers, size / waves * torch.sin(2 * math.pi * waves * layers.t))


def _moved(layers: Layers, steps: Tensor) -> Layers:
    d = layers.K.shape[1]
    return replace(layers, K=layers.K + steps[:, None, None] * torch.full((d, d), 1 / d, dtype=torch.float64))
