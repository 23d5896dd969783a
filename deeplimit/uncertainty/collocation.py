"""Stochastic collocation: the coefficients of a random quantity from its values at Gauss nodes.

    x̂_k = Σ_q ω_q x(ξ_q) φ_k(ξ_q).

Whatever computes x is run at the nodes as it is, one node at a time or all together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deeplimit.uncertainty.bases import Basis, Rule
from deeplimit.uncertainty.chaos import Expansion

Quantity = Callable[[np.ndarray], np.ndarray]  # ξ (P, d) ↦ x(ξ), (P, …)


def project(basis: Basis, quantity: Quantity, nodes: int | None = None) -> Expansion:
    """The expansion of x from its values at Q nodes in each variable.

    Exact for polynomials of degree 2Q − 1 − K; for others the coefficients of degree 2Q − k and more alias onto x̂_k.

    Parameters
    ----------
    quantity
        ξ (P, d) ↦ x(ξ), (P, …).
    nodes
        Q ≥ 2K + 2, the default.

    Raises
    ------
    ValueError
        For fewer nodes, too many for the memory, or a quantity without one value for each node.
    """
    rule = basis.rule(nodes)
    return fit(basis, rule, values_at(quantity, rule.xi))


def values_at(quantity: Quantity, xi: np.ndarray) -> np.ndarray:
    """x(ξ) as an array with a row for each ξ; ValueError otherwise."""
    values = np.asarray(quantity(xi), dtype=float)
    if values.ndim == 0 or len(values) != len(xi):
        raise ValueError(f"the quantity must have one value for each of {len(xi)} ξ, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("the quantity must be finite, got values that are not; shorten the time or the noise")
    return values


def fit(basis: Basis, rule: Rule, values: np.ndarray) -> Expansion:
    """The expansion of values (P, …) at the nodes of a rule."""
    return Expansion(basis, np.tensordot((basis.at(rule.xi) * rule.weights[:, None]).T, values, axes=1))
