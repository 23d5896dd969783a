"""The mean-field equation with random weights: a hyperbolic system for the densities of polynomial chaos.

The density of infinitely many signals obeys ∂_t g + ∂_x(σ(w x + b) g) = 0. With w(ξ), b(ξ) and g = Σ_k ĝ_k φ_k,

    ∂_t ĝ + ∂_x(A(x) ĝ) = 0,  A_jk(x) = E[σ(w x + b) φ_j φ_k],

A is symmetric, so that the system is hyperbolic, with characteristic speeds between the least and the largest value of
σ(w x + b). With weights that are not random A = σ(w x + b) I, and every ĝ_k is transported alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion
from deeplimit.uncertainty.velocities import Weight, simresnet

COURANT = 0.9  # time step over the one at which the fastest wave crosses a cell
INSTANTS = 64  # at which weights that vary in time are looked at for the fastest wave, and the fewest steps for them
MASS = 1e-8  # by which the mass of an initial density may differ from 1, at any ξ in the mean square
LEAK = 1e-8  # mass that may leave; upwind densities have wider tails than the law
NEGATIVE = 0.01  # of the mass that may be negative at single ξ, where the degree cuts a density off
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Density:
    """g(t, x; ξ) as averages over cells.

    Attributes
    ----------
    expansion
        ĝ_k, coefficients (N, cells).
    edges : (cells + 1,)
        Of equal cells.
    leaked
        The largest mass of one ĝ_k that left, at both ends together.
    steps
        Time steps taken.
    """

    expansion: Expansion
    edges: np.ndarray
    leaked: float
    steps: int

    @property
    def mass(self) -> np.ndarray:
        """∫ ĝ_k dx, shape (N,)."""
        found: np.ndarray = self.expansion.coefficients @ np.diff(self.edges)
        return found

    def l1(self, other: Expansion) -> float:
        """Σ_k ∫ |ĝ_k − other_k| dx against other cell averages."""
        return float(np.abs(self.expansion.coefficients - other.coefficients).sum(0) @ np.diff(self.edges))


def matrices(
    basis: Basis,
    x: np.ndarray,
    w: Weight,
    b: Weight,
    activation: str | Activation,
    nodes: int | None = None,
    *,
    t: float = 0.0,
) -> np.ndarray:
    """A(x) at time t, shape (X, N, N) for x of shape (X,), by Gauss's rule.

    Parameters
    ----------
    w, b
        Numbers, or functions of t and ξ (P, d) with values (P,).
    """
    rule = basis.rule(nodes)
    phi, velocity = basis.at(rule.xi), simresnet(w, b, activation)
    speeds = velocity(t, np.tile(np.asarray(x, dtype=float), (len(rule.xi), 1)), rule.xi).T
    A = np.einsum("xq,qj,qk->xjk", speeds * rule.weights, phi, phi, optimize=True)
    return (A + A.mT) / 2  # symmetric to the last digit


def solve(
    start: Expansion,
    edges: np.ndarray,
    w: Weight,
    b: Weight,
    activation: str | Activation = "tanh",
    time: float = 1.0,
    nodes: int | None = None,
    *,
    steps: int | None = None,
    leak: float = LEAK,
) -> Density:
    """The densities at time T by the upwind method in characteristic variables, order 1 in the width of the cells.

    ĝ_i ← ĝ_i − (Δt/Δx)(F_{i+½} − F_{i−½}), F = A⁺ ĝ_i + A⁻ ĝ_{i+1}, A = A⁺ + A⁻ the parts with positive and negative
    eigenvalues at the edge, in the middle of the time step; nothing flows in at the ends.

    Parameters
    ----------
    start
        The averages of ĝ_k over the cells, coefficients (N, cells): a density of mass 1 at every ξ, so that ĝ_0 has
        mass 1 and the others none. A hundredth of the mass may be negative at single ξ, where the degree cuts it off.
    edges : (cells + 1,)
        Increasing, equally spaced.
    w, b
        As for `matrices`; functions may vary in time.
    steps
        Of equal length; by default so many that the fastest wave crosses nine tenths of a cell in one.
    leak
        Mass of a ĝ_k that may leave at the ends.

    Raises
    ------
    ValueError, TypeError
        If edges are not equally spaced or do not fit, the time is not positive, densities are negative or have another
        mass than 1, the steps are too few, or mass leaves; the sentence names the remedy.
    """
    edges, widths = np.asarray(edges, dtype=float), np.diff(edges)
    if edges.ndim != 1 or start.coefficients.shape != (start.basis.size, len(widths)):
        raise ValueError(f"start must have one average for each of {len(widths)} cells")
    if not (widths > 0).all() or not np.allclose(widths, widths[0], rtol=1e-9):
        raise ValueError("edges must increase and be equally spaced, got cells of different widths")
    checks.positive("time", time)
    _check_density(start, widths)

    rule, dx = start.basis.rule(nodes), float(widths[0])

    def weights(t: float) -> np.ndarray:
        found = [np.ravel(part(t, rule.xi) if callable(part) else part) for part in (w, b)]
        return np.concatenate(found)

    def waves(t: float) -> tuple[np.ndarray, np.ndarray]:
        found = np.linalg.eigh(matrices(start.basis, edges, w, b, activation, nodes, t=t))
        return found.eigenvalues, found.eigenvectors

    count = _steps(weights, waves, time, dx) if steps is None else checks.whole("steps", steps, least=1)
    step, g, leaked, held = time / count, start.coefficients.T, np.zeros(start.basis.size), np.empty(0)
    for k in range(count):
        middle = (k + 0.5) * step
        if not np.array_equal(held, now := weights(middle)):  # waves of weights that stay are not computed again
            held, (right, left) = now, _parts(*waves(middle), step / dx)
        g, out = _stepped(g, right, left, step / dx)
        leaked += dx * out
        if leaked.max() > leak:
            raise ValueError(
                f"the interval [{edges[0]:g}, {edges[-1]:g}] loses mass: {leaked.max():.1e} left it by time "
                f"{(k + 1) * step:.4g}; take wider edges, such as the flow of the law's outermost quantiles, or a "
                "larger leak"
            )
    return Density(Expansion(start.basis, g.T), edges, float(leaked.max()), count)


def _check_density(start: Expansion, widths: np.ndarray) -> None:
    """Mass 1, and not negative: the mean at all, values at the nodes of Gauss's rule but for what the degree cuts."""
    mass = start.coefficients @ widths
    mass[0] -= 1
    if np.linalg.norm(mass) > MASS:
        raise ValueError(
            f"start must have mass 1 at every ξ, got {1 + mass[0]:.10g} in the mean and a deviation of "
            f"{np.linalg.norm(mass[1:]):.3g}: take wider edges or more cells, or divide by it"
        )
    rule, mean = start.basis.rule(), start.mean
    negative = float(rule.weights @ (np.maximum(-start.at(rule.xi), 0) @ widths))
    if mean.min() < -ROUNDING * mean.max() or negative > NEGATIVE:
        raise ValueError(
            f"start must not be negative, got a least mean of {mean.min():.3g} and {negative:.2g} of negative mass "
            "over all ξ: averages of a density are not; take a larger degree if that cuts them off"
        )


def _steps(
    weights: Callable[[float], np.ndarray],
    waves: Callable[[float], tuple[np.ndarray, np.ndarray]],
    time: float,
    width: float,
) -> int:
    """Enough that no wave seen crosses more than nine tenths of a cell in a step."""
    instants = np.linspace(0, time, INSTANTS)
    if all(np.array_equal(weights(0.0), weights(t)) for t in instants):
        instants = instants[:1]
    fastest = max(np.abs(waves(t)[0]).max() for t in instants)
    return max(len(instants), math.ceil(time * fastest / (COURANT * width)))


def _parts(speeds: np.ndarray, vectors: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """A⁺ and A⁻ at the edges."""
    crossed = float(np.abs(speeds).max()) * ratio
    if crossed > 1 + ROUNDING:
        raise ValueError(
            f"the time step is too long: a wave crosses {crossed:.4g} cells in it, and must not cross more than one; "
            f"take {crossed:.4g} times as many steps, or fewer cells"
        )
    right, left = ((vectors * part[:, None]) @ vectors.mT for part in (np.maximum(speeds, 0), np.minimum(speeds, 0)))
    return right, left


def _stepped(g: np.ndarray, right: np.ndarray, left: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """ĝ after one step, and what left at the ends, as averages over a cell."""
    nothing = np.zeros((1, g.shape[1]))
    padded = np.concatenate([nothing, g, nothing])
    flux = np.einsum("xjk,xk->xj", right, padded[:-1]) + np.einsum("xjk,xk->xj", left, padded[1:])
    return g - ratio * np.diff(flux, axis=0), ratio * (np.abs(flux[-1]) + np.abs(flux[0]))
