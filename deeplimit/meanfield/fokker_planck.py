"""The Fokker–Planck equation of a stochastic residual network, by a scheme that keeps its law at rest.

    ∂g/∂t + ∂/∂x( σ(wx + b) g ) = (ν²/2) ∂²/∂x²( K² g ),   that is   ∂g/∂t = ∂/∂x( B g + C ∂g/∂x ),
    C = ν²K²/2,   B = C' − σ(wx + b),

on cells of equal width with no flux through the ends. Chang & Cooper's flux through the edge of cells i and i + 1 is

    F = (C/Δx) ( β(−λ) g_{i+1} − β(λ) g_i ),   β(s) = s/(eˢ − 1),   λ = Δx B/C,

which vanishes exactly if g_{i+1}/g_i = e^(−λ). In time the scheme is implicit Euler: its matrix is that of a Markov
chain, so that mass is conserved, densities stay positive and the relative entropy never grows, for every step Δt, in
exact arithmetic. In floating point mass and entropy hold up to rounding times the condition number of I − ΔtA, which
grows like ΔtC/Δx².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_banded
from scipy.special import logsumexp, xlogy

from deeplimit import checks
from deeplimit.meanfield import field, grid
from deeplimit.meanfield.diffusion import Diffusion
from deeplimit.meanfield.steady_laws import log_density, steady_law


def bernoulli(s: np.ndarray) -> np.ndarray:
    """β(s) = s/(eˢ − 1), 1 at 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(s == 0, 1.0, s / np.expm1(s))


@dataclass(frozen=True, eq=False)
class ChangCooper:
    """The scheme on an interval.

    Parameters
    ----------
    diffusion
        Whose equation is solved.
    low, high
        Ends of the interval, inside the support; they reflect. `cut_off` says what an interval shorter than the support
        leaves out.
    cells
        Their number, at least 2.
    exact
        False takes λ = Δx B/C at the edge, which gives a law at rest to second order in Δx. True takes
        λ = ∫ B/C between the centres of the cells by the formula of `steady_laws.log_density`, which gives it exactly.

    Raises
    ------
    ValueError, TypeError
        For an interval that is empty or leaves the support, and fewer than two cells.
    """

    diffusion: Diffusion
    low: float
    high: float
    cells: int
    exact: bool = False

    def __post_init__(self) -> None:
        checks.kind("diffusion", self.diffusion, Diffusion)
        low, high = checks.number("low", self.low), checks.number("high", self.high)
        left, right = self.diffusion.support
        if not left <= low < high <= right:
            raise ValueError(
                f"low and high must satisfy {left} ≤ low < high ≤ {right}, the support for K {self.diffusion.shape}, "
                f"got {low} and {high}"
            )
        checks.whole("cells", self.cells, least=2)

    @property
    def cut_off(self) -> float:
        """Mass of the law at rest on the whole support that is outside the interval, where the ends hold it back.

        NaN where that law does not exist: then the law at rest on the interval is due to the interval.
        """
        try:
            law = steady_law(self.diffusion)
        except ValueError:
            return math.nan
        return float(law.cdf(self.low) + law.sf(self.high))

    @property
    def width(self) -> float:
        """Δx."""
        return (self.high - self.low) / self.cells

    @property
    def centres(self) -> np.ndarray:
        """Of the cells, (cells,)."""
        return self.low + self.width * (np.arange(self.cells) + 0.5)

    @property
    def edges(self) -> np.ndarray:
        """Between the cells, (cells − 1,)."""
        return self.low + self.width * np.arange(1, self.cells)

    @cached_property
    def exponents(self) -> np.ndarray:
        """λ of every edge."""
        if self.exact:
            return -np.diff(log_density(self.diffusion, self.centres))
        edges, d = self.edges, self.diffusion
        return np.asarray(self.width * (d.spread_slope(edges) - d.drift(edges)) / d.spread(edges))

    @cached_property
    def generator(self) -> np.ndarray:
        """The tridiagonal matrix A of dg/dt = A g, in the bands of `scipy.linalg.solve_banded`, (3, cells).

        Its columns add up to 0 and what is off its diagonal is not negative.
        """
        rate = self.diffusion.spread(self.edges) / self.width**2
        left, right = rate * bernoulli(-self.exponents), rate * bernoulli(self.exponents)  # of mass that moves there
        bands = np.zeros((3, self.cells))
        bands[0, 1:], bands[2, :-1] = left, right
        bands[1, 1:] -= left
        bands[1, :-1] -= right
        return bands

    def density(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A density at the centres, (cells,), normalised on the grid: Σ g Δx = 1.

        Raises
        ------
        ValueError, TypeError
            For a function without one finite number for each centre, with a negative one, or with zeros alone.
        """
        values = field.array("the density", function(self.centres))
        if values.shape != (self.cells,):
            raise ValueError(f"the density must have one value for each centre, ({self.cells},), got {values.shape}")
        if values.min() < 0 or not values.max():
            raise ValueError(
                "the density must not be negative and not 0 at all centres, got values from "
                f"{values.min():.3g} to {values.max():.3g}: take another function, an interval that meets the law or "
                "more cells"
            )
        return np.asarray(values / (values.sum() * self.width))

    def steady(self) -> np.ndarray:
        """The law at rest of the scheme, g_{i+1} = g_i e^(−λ), normalised; 0 where it underflows."""
        return np.exp(self.log_steady())

    def log_steady(self) -> np.ndarray:
        """Its logarithm, finite everywhere."""
        logs = np.concatenate([[0.0], -np.cumsum(self.exponents)])
        return np.asarray(logs - logsumexp(logs) - np.log(self.width))

    def formula(self) -> np.ndarray:
        """The law at rest of the equation on the interval, by its formula at the centres, normalised on the grid."""
        logs = log_density(self.diffusion, self.centres)
        return self.density(lambda _: np.exp(logs - logs.max()))

    def change(self, density: np.ndarray) -> np.ndarray:
        """A g, the time derivative of a density."""
        above, on, below = self.generator
        changed = on * density
        changed[:-1] += above[1:] * density[1:]
        changed[1:] += below[:-1] * density[:-1]
        return np.asarray(changed)

    def residual(self, density: np.ndarray) -> float:
        """max |A g| relative to max C g/Δx²."""
        scale = np.max(self.diffusion.spread(self.centres) * density) / self.width**2
        return float(np.max(np.abs(self.change(density))) / scale)

    def evolve(self, density: np.ndarray, time: float, steps: int, *, keep: int = 1) -> np.ndarray:
        """The densities at `keep` + 1 equally spaced times from 0 to `time`, by implicit Euler.

        Parameters
        ----------
        density
            g at time 0, (cells,).
        time
            T > 0.
        steps
            Number of steps, a multiple of `keep`.

        Returns
        -------
        (keep + 1, cells), the first row as given.

        Raises
        ------
        ValueError, TypeError
            For a density that is negative or has another shape or mass, and steps that are no multiple of `keep`.
        """
        g = grid.law("density", density, (self.cells,), self.width)
        keep = checks.whole("keep", keep, least=1)
        steps = checks.whole("steps", steps, least=1)
        if steps % keep:
            raise ValueError(f"steps must be a multiple of keep, got {steps} and {keep}")
        matrix = -checks.positive("time", time) / steps * self.generator
        matrix[1] += 1
        kept = [g]
        for k in range(1, steps + 1):
            g = solve_banded((1, 1), matrix, g)
            if k % (steps // keep) == 0:
                kept.append(g)
        return np.array(kept)

    def relative_entropy(self, density: np.ndarray, reference: np.ndarray | None = None) -> float:
        """∫ g log(g/h) dx with h the scheme's law at rest, by its logarithm, or another density.

        It is finite for h at rest, also where e^(log h) is 0; for another h it is ∞ if g > 0 = h somewhere.
        """
        if reference is None:
            logs = self.log_steady()
        else:
            with np.errstate(divide="ignore"):
                logs = np.log(np.asarray(reference, dtype=float))
        g = np.asarray(density, dtype=float)
        there = g > 0
        return float((xlogy(g[there], g[there]) - g[there] * logs[there]).sum() * self.width)

    def moments(self, density: np.ndarray) -> tuple[float, float]:
        """Mean and variance."""
        weights = density * self.width
        mean = float(weights @ self.centres)
        return mean, float(weights @ (self.centres - mean) ** 2)
