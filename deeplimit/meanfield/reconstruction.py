"""Values at the ends of cells from averages over them: WENO-Z of order 5, and a limiter that keeps them positive.

In each cell three parabolas fit the averages of three cells; their values at an end, with the weights (1, 6, 3)/10, are
those of the polynomial of degree 4 through five averages. Where the law is not smooth the weights turn to the parabola
that oscillates least: each is multiplied by 1 + (τ/β)², β the smoothness of its parabola and τ = |β₀ − β₂| (Borges,
Carmona, Costa & Don 2008). The limiter is that of Zhang & Shu (2010).

Arrays have the cells along axis 0 and lines of cells along the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LOBATTO = 1 / 12  # weight of the ends in Gauss-Lobatto quadrature with four nodes, exact for degree 5
SMALL = 1e-40  # added to a smoothness, which may be 0


def at_ends(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values at the lower and upper end of each cell along axis 0, from five averages, zero outside."""
    n = len(g)
    padded = np.zeros((n + 4, *g.shape[1:]))
    padded[2:-2] = g
    a, b, c, d, e = (padded[k : k + n] for k in range(5))
    # 12 times the smoothness of the three parabolas
    rough = [
        13 * np.square(a - 2 * b + c) + 3 * np.square(a - 4 * b + 3 * c),
        13 * np.square(b - 2 * c + d) + 3 * np.square(b - d),
        13 * np.square(c - 2 * d + e) + 3 * np.square(3 * c - 4 * d + e),
    ]
    fifth = np.abs(rough[0] - rough[2])
    trust = [1 + np.square(fifth / (r + SMALL)) for r in rough]
    upper = ((2 * a - 7 * b + 11 * c, 1), (-b + 5 * c + 2 * d, 6), (2 * c + 5 * d - e, 3))
    lower = ((-a + 5 * b + 2 * c, 3), (2 * b + 5 * c - d, 6), (11 * c - 7 * d + 2 * e, 1))
    return _blended(lower, trust), _blended(upper, trust)


def _blended(parabolas: Sequence[tuple[np.ndarray, int]], trust: list[np.ndarray]) -> np.ndarray:
    """Six times the parabolas' values, averaged with their weights times the trust in them."""
    weights = [linear * share for (_, linear), share in zip(parabolas, trust, strict=True)]
    total = sum(weight * value for weight, (value, _) in zip(weights, parabolas, strict=True))
    return np.asarray(total / (6 * sum(weights)))


def positive(g: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values at the ends drawn towards the average ḡ, so that neither they nor the rest of the cell is negative.

    The rest is (ḡ − (g_left + g_right)/12)/(1 − 1/6), the mean of the inner values of Gauss-Lobatto quadrature.
    """
    rest = (g - LOBATTO * (left + right)) / (1 - 2 * LOBATTO)
    lowest = np.minimum(np.minimum(left, right), rest)
    if (lowest >= 0).all():
        return left, right
    fall = np.maximum(g, 0) / np.where(lowest < 0, g - lowest, 1.0)
    share = np.where(lowest < 0, fall, 1.0)
    return g + share * (left - g), g + share * (right - g)
