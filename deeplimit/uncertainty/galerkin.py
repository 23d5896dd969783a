"""The stochastic Galerkin method: a differential equation for the coefficients of polynomial chaos.

    x' = v(t, x; ξ), x^K = Σ_k x̂_k φ_k  ⟶  x̂_k' = E[v(t, x^K(t, ξ); ξ) φ_k(ξ)],  x̂_k(0) = E[x_0 φ_k],

the expectation by Gauss's rule. The layers x ← x + h v become x̂_k ← x̂_k + h E[v φ_k], Euler's method for that equation:
projecting and letting the depth grow can be done in either order.
"""

from __future__ import annotations

import numpy as np

from deeplimit import checks
from deeplimit.uncertainty.chaos import Expansion
from deeplimit.uncertainty.velocities import Velocity, advance


def solve(
    velocity: Velocity, start: Expansion, time: float = 1.0, depth: int | None = None, nodes: int | None = None
) -> Expansion:
    """x^K(T), in the basis of the start.

    Parameters
    ----------
    velocity
        v, see `velocities`.
    start
        The projection of x_0.
    depth
        L for a network of L layers, None for the limit.
    nodes
        Q ≥ 2K + 2 Gauss nodes in each variable, the default.

    Raises
    ------
    ValueError, TypeError
        For fewer nodes, a time that is not positive, or a depth below 1.
    RuntimeError
        If the integrator gives up.
    """
    checks.positive("time", time)
    if depth is not None:
        checks.whole("depth", depth, least=1)
    rule = start.basis.rule(nodes)
    phi = start.basis.at(rule.xi)
    weighted = (phi * rule.weights[:, None]).T

    def rate(t: float, coefficients: np.ndarray) -> np.ndarray:
        x = np.tensordot(phi, coefficients, axes=1)
        return np.tensordot(weighted, velocity(t, x, rule.xi), axes=1)

    return Expansion(start.basis, advance(rate, start.coefficients, time, depth))
