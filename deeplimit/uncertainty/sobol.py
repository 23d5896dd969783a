"""Sobol indices: which germs a random quantity's variance comes from.

Sobol (1993); from the coefficients of polynomial chaos, Sudret (2008).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deeplimit.uncertainty.chaos import Expansion

SMALLEST = 1e-26  # of E x²: a variance below it is that of rounding


def share(expansion: Expansion, germs: Iterable[int]) -> np.ndarray:
    """S_u = Σ x̂_k² / Var x over the k that depend on all germs of u = {i, j, …} and on no other.

    Parameters
    ----------
    germs
        The set u of one germ or more, counted from 0.

    Returns
    -------
    Shape of x; NaN where x has no variance, or one below 10⁻²⁶ E x², which is that of rounding.

    Raises
    ------
    ValueError
        If u is empty or names a germ that there is not.
    """
    u = sorted(set(germs))
    dimension = expansion.basis.dimension
    if not u or u[0] < 0 or u[-1] >= dimension:
        raise ValueError(f"germs must be one or more of 0 … {dimension - 1}, got {u}")
    wanted = np.isin(np.arange(dimension), u)
    return _part(expansion, ((expansion.basis.indices > 0) == wanted).all(1))


def first(expansion: Expansion) -> np.ndarray:
    """S_i, the part of the variance that comes from ξ_i alone, shape (d, *shape of x)."""
    return np.stack([share(expansion, [i]) for i in range(expansion.basis.dimension)])


def total(expansion: Expansion) -> np.ndarray:
    """T_i = Σ x̂_k² / Var x over all k with k_i > 0: what would go if ξ_i were known, shape (d, *shape of x)."""
    return np.stack([_part(expansion, column > 0) for column in expansion.basis.indices.T])


def _part(expansion: Expansion, chosen: np.ndarray) -> np.ndarray:
    variance, energy = expansion.variance, (expansion.coefficients**2).sum(0)
    known = np.where(variance > SMALLEST * energy, variance, np.nan)
    return np.asarray((expansion.coefficients[chosen] ** 2).sum(0) / known)
