"""The mean-field equation with random weights: a hyperbolic system for the densities of polynomial chaos.

The density of infinitely many signals obeys ∂_t g + ∂_x(σ(w x + b) g) = 0. With w(ξ), b(ξ) and g = Σ_k ĝ_k φ_k,

    ∂_t ĝ + ∂_x(A(x) ĝ) = 0,  A_jk(x) = E[σ(w x + b) φ_j φ_k],

A is symmetric, so that the system is hyperbolic, with characteristic speeds between the least and the largest value of
σ(w x + b). With weights that are not random A = σ(w x + b) I, and every ĝ_k is transported alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion
from deeplimit.uncertainty.velocities import Weight, simresnet

COURANT = 0.9  # time step over the one at which the fastest wave crosses a cell


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
        The largest mass of one ĝ_k that left at the ends: make the interval longer where it counts.
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
    basis: Basis, x: np.ndarray, w: Weight, b: Weight, activation: str | Activation, nodes: int | None = None
) -> np.ndarray:
    """A(x), shape (X, N, N) for x of shape (X,), by Gauss's rule.

    Parameters
    ----------
    w, b
        Numbers, or functions of t = 0 and ξ (P, d) with values (P,).
    """
    rule = basis.rule(nodes)
    phi, velocity = basis.at(rule.xi), simresnet(w, b, activation)
    speeds = np.stack([velocity(0.0, np.full(len(rule.xi), point), rule.xi) for point in x])
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
) -> Density:
    """The densities at time T by the upwind method in characteristic variables, order 1 in the width of the cells.

    ĝ_i ← ĝ_i − (Δt/Δx)(F_{i+½} − F_{i−½}), F = A⁺ ĝ_i + A⁻ ĝ_{i+1}, A = A⁺ + A⁻ the parts with positive and negative
    eigenvalues at the edge; nothing flows in at the ends.

    Parameters
    ----------
    start
        The averages of ĝ_k over the cells, coefficients (N, cells).
    edges : (cells + 1,)
        Increasing, equally spaced.

    Raises
    ------
    ValueError, TypeError
        If edges are not equally spaced or do not fit, or the time is not positive.
    """
    edges, widths = np.asarray(edges, dtype=float), np.diff(edges)
    if edges.ndim != 1 or start.coefficients.shape != (start.basis.size, len(widths)):
        raise ValueError(f"start must have one average for each of {len(widths)} cells")
    if not (widths > 0).all() or not np.allclose(widths, widths[0], rtol=1e-9):
        raise ValueError("edges must increase and be equally spaced, got cells of different widths")
    checks.positive("time", time)
    values, vectors = np.linalg.eigh(matrices(start.basis, edges, w, b, activation, nodes))
    right, left = ((vectors * part[:, None]) @ vectors.mT for part in (np.maximum(values, 0), np.minimum(values, 0)))
    steps = max(1, int(np.ceil(time * np.abs(values).max() / (COURANT * widths[0]))))
    ratio = time / steps / widths[0]
    g, nothing, leaked = start.coefficients.T, np.zeros((1, start.basis.size)), np.zeros(start.basis.size)
    for _ in range(steps):
        padded = np.concatenate([nothing, g, nothing])
        flux = np.einsum("xjk,xk->xj", right, padded[:-1]) + np.einsum("xjk,xk->xj", left, padded[1:])
        g = g - ratio * np.diff(flux, axis=0)
        leaked += time / steps * (flux[-1] - flux[0])
    return Density(Expansion(start.basis, g.T), edges, float(np.abs(leaked).max()), steps)
