"""Stability of y_{k+1} − y_k = f(y_k) dw_k: bounds on |y_k − y'_k| by the p-variation of the paths w and w'.

One step multiplies a gap by 1 + L|dw| at most, which leads to e^{L ‖w‖_1}: useless where the weights are noisy, since
‖w‖_1 grows like √n. Over an interval that is small in p-variation the gap is bounded by ‖w‖_p alone, however many steps
it has. `bound` takes the least product over all dyadic partitions into single steps and small intervals. All constants
are explicit, and derived here:

- 1 ≤ p < 2 (Young)  |Σ u_l dw_l − u_j w_{jk}| ≤ ζ(2/p) ‖u‖_p ‖w‖_p: of r intervals two neighbours have a product of
  at most (r − 1)^{−2/p} ‖u‖_p ‖w‖_p; remove the point between them;
- 2 ≤ p < 3 (rough)  the same for Ξ_{jk} = f(y_j) w_{jk} + g(y_j) WW_{jk}: if Ξ_{ik} − Ξ_{ij} − Ξ_{jk} is at most a sum
  of m products of a p-variation and a p/2-variation, |ΣΞ_{l,l+1} − Ξ_{jk}| ≤ m^{3/p − 1} ζ(3/p) Σ of the products.

How much this gains depends on the size of the path. For iid weights of width 2 (H = ½, p = 2.2, n = 4096) the exponent
is a seventh of Gronwall's where |||w|||_p = 0.36, a third where it is 1.1, and three quarters where it is 3.6, the size
of a network whose weights have the variance 1/(n width): 63 against 85, or 121 against 126 for width 4, where 0.2 and
0.6 are observed. At that size intervals have few steps, and the bound grows with n: it says nothing of use.

The form of the results is that of C. Bayer, P. Friz and N. Tapia, Stability of deep neural networks via discrete rough
paths, SIAM J. Math. Data Sci. 5 (2023); the constants are not theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import zeta

from deeplimit import checks
from deeplimit.rough.difference import Bounds
from deeplimit.rough.lift import level2_variation, rough_exponent
from deeplimit.rough.variation import Floats, as_points, p_variation


@dataclass(frozen=True)
class Stability:
    """max_k |y_k − y'_k| ≤ e^{log_amplification} |y_0 − y'_0| + e^{log_forcing}.

    Attributes
    ----------
    log_amplification, log_forcing
        Logarithms, as the numbers themselves may overflow; the forcing comes from w ≠ w', −∞ for one path.
    intervals, steps
        How many intervals, and how many single steps, the partition has.
    theorem
        "Gronwall", e^{L ‖w‖_1}; "Young" or "rough" where the partition has intervals; "single steps" where it has none,
        and the bound is Π (1 + L |dw_k|), in which p plays no part.
    """

    log_amplification: float
    log_forcing: float
    intervals: int
    steps: int
    theorem: str


@dataclass(frozen=True)
class _Piece:
    """Part of a partition: what it does to a gap, and whether it is an interval that may be joined to its neighbour."""

    amplification: float
    forcing: float
    intervals: int
    steps: int
    small: bool


@dataclass(frozen=True)
class _Sizes:
    """‖w‖_p and ‖WW‖_{p/2} of both paths on an interval, and those of their difference."""

    first: tuple[float, float]
    second: tuple[float, float]
    gap: tuple[float, float]


def young_constant(p: float) -> float:
    """ζ(2/p), for 1 ≤ p < 2."""
    return float(zeta(2 / p))


def sewing_constant(p: float, products: int) -> float:
    """m^{3/p − 1} ζ(3/p) for m products, 2 ≤ p < 3."""
    return float(products ** (3 / p - 1) * zeta(3 / p))


def gronwall(bounds: Bounds, path: Any, other: Any = None) -> Stability:
    """e^{L ‖w‖_1} and e^{L ‖w‖_1} sup|f| ‖w − w'‖_1: the discrete Gronwall inequality, p = 1."""
    _known(bounds)
    w, v = _pair(bounds, path, other)
    exponent = bounds.first * p_variation(w, 1)[0]
    forcing = bounds.size * p_variation(w - v, 1)[0]
    return Stability(exponent, exponent + _log(forcing), 0, len(w) - 1, "Gronwall")


def bound(bounds: Bounds, path: Any, p: float, *, other: Any = None) -> Stability:
    """The stability bound in p-variation, over the dyadic partition that makes the amplification least.

    Parameters
    ----------
    bounds
        Of f: `difference.residual` knows them where σ is bounded and σ, σ', σ'' are Lipschitz, as of tanh.
    path, other : (N + 1, …)
        w and w' (by default w), the driving paths of y and y'.
    p
        In [1, 3): 1 is the Gronwall inequality.

    Raises
    ------
    ValueError, TypeError
        For p outside [1, 3), paths that do not fit, and a field whose bounds are not known.
    """
    _known(bounds)
    p = rough_exponent(p)
    if p == 1:
        return gronwall(bounds, path, other)
    w, v = _pair(bounds, path, other)
    found = _best(bounds, w, None if other is None else v, p)
    theorem = "single steps" if found.intervals == 0 else "Young" if p < 2 else "rough"
    return Stability(found.amplification, found.forcing, found.intervals, found.steps, theorem)


def _known(bounds: Any) -> None:
    """Raise ValueError for a field without bounds, TypeError for what is no `Bounds`."""
    if bounds is None:
        raise ValueError(
            "a stability bound wants the bounds of f, which this field does not have: its σ must be bounded, with "
            "Lipschitz σ, σ' and σ'', as tanh, arctan and sigmoid are and relu is not, and its directions orthonormal; "
            "give other fields Bounds of their own"
        )
    checks.kind("bounds", bounds, Bounds)


def _pair(bounds: Bounds, path: Any, other: Any) -> tuple[Floats, Floats]:
    w = as_points(path)
    if bounds.dimension not in (None, w.shape[1]):
        raise ValueError(
            f"the bounds are those of a field with increments of {bounds.dimension} entries (width² for all weights A "
            f"of a residual network), but the points of the path have {w.shape[1]}"
        )
    v = w if other is None else as_points(other)
    if w.shape != v.shape:
        raise ValueError(f"two paths must have one shape to be compared, got {w.shape} and {v.shape}")
    return w, v


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _best(bounds: Bounds, w: Floats, v: Floats | None, p: float) -> _Piece:
    """The least product over the dyadic partitions of a path; an interval is tried where both its halves are small."""
    if len(w) == 2:
        step = float(np.linalg.norm(w[1] - w[0]))
        gap = 0.0 if v is None else float(np.linalg.norm(w[1] - w[0] - v[1] + v[0]))
        return _Piece(math.log1p(bounds.first * step), _log(bounds.size * gap), 0, 1, True)
    middle = len(w) // 2
    left, right = (
        _best(bounds, w[part], None if v is None else v[part], p) for part in (slice(middle + 1), slice(middle, None))
    )
    parts = _Piece(
        left.amplification + right.amplification,
        float(np.logaddexp(left.forcing + right.amplification, right.forcing)),
        left.intervals + right.intervals,
        left.steps + right.steps,
        False,
    )
    if not (left.small and right.small):
        return parts
    sizes = _measured(w, v, p)
    gain = young_gain(bounds, p, sizes) if p < 2 else rough_gain(bounds, p, sizes)
    if gain is None:
        return parts
    whole = _Piece(math.log1p(gain[0]), _log(gain[1]), 1, 0, True)
    return whole if whole.amplification <= parts.amplification else _joinable(parts)


def _joinable(parts: _Piece) -> _Piece:
    return _Piece(parts.amplification, parts.forcing, parts.intervals, parts.steps, True)


def _measured(w: Floats, v: Floats | None, p: float) -> _Sizes:
    def both(path: Floats, other: Floats | None = None) -> tuple[float, float]:
        first = p_variation(path if other is None else path - other, p)[0]
        return first, 0.0 if p < 2 else level2_variation(path, p, other)[0]

    first = both(w)
    return _Sizes(first, first, (0.0, 0.0)) if v is None else _Sizes(first, both(v), both(w, v))


def young_gain(bounds: Bounds, p: float, sizes: _Sizes) -> tuple[float, float] | None:
    """(gain, forcing) with |y_k − y'_k| ≤ (1 + gain) |y_j − y'_j| + forcing on the interval; None if it is not small.

    With C = ζ(2/p), x = ‖w‖_p and N ≤ F x / (1 − C L x) for ‖y‖_p, the p-variation D of δ = y − y' obeys
    D ≤ a (|δ_j| + D) + C L x D + e ‖w − w'‖_p,  a = x (L + C L' (N + N')/2),  e = F + C L N'.
    """
    C, F, L = young_constant(p), bounds.size, bounds.first
    x, other, gap = sizes.first[0], sizes.second[0], sizes.gap[0]
    if C * L * max(x, other) >= 1:
        return None
    N, M = F * x / (1 - C * L * x), F * other / (1 - C * L * other)
    a = x * (L + C * bounds.second * (N + M) / 2)
    room = 1 - a - C * L * x
    return None if room <= 0 else (a / room, (F + C * L * M) * gap / room)


def solution_sizes(bounds: Bounds, p: float, x: float, X: float) -> tuple[float, float] | None:
    """(N, Q) with ‖y‖_p ≤ N and ‖y_{jk} − f(y_j) w_{jk}‖_{p/2} ≤ Q, from x = ‖w‖_p and X = ‖WW‖_{p/2}; 2 ≤ p < 3.

    Q ≤ |g| X + C (L Q x + ½ L' N² x + G N X) and N ≤ F x + Q. As a path grows by a point, N grows by F |dw| at most; so
    N stays below the smaller root of the quadratic inequality where the two are farther apart than F x. None otherwise.
    """
    C, F, L = sewing_constant(p, 2), bounds.size, bounds.first
    slack = 1 - C * L * x
    if slack <= 0:
        return None
    constant = F * x + bounds.level2 * X / slack
    linear = 1 - C * bounds.level2_first * X / slack
    square = C * bounds.second * x / (2 * slack)
    disc = linear**2 - 4 * square * constant
    if linear <= 0 or disc <= 0 or math.sqrt(disc) <= square * F * x:
        return None
    N = 2 * constant / (linear + math.sqrt(disc))
    return N, (bounds.level2 * X + C * (bounds.second * N**2 * x / 2 + bounds.level2_first * N * X)) / slack


def rough_gain(bounds: Bounds, p: float, sizes: _Sizes) -> tuple[float, float] | None:
    """As `young_gain`, for 2 ≤ p < 3.

    With E = ‖δ‖_p, q the p/2-variation of δ_{jk} − (f(y_j) w_{jk} − f(y'_j) w'_{jk}), V and VV those of w − w' and
    WW − WW', and s = |δ_j| + E the largest gap:

    E ≤ L x s + F V + q,
    q ≤ G X s + |g| VV + C (L q x + (L' Q' + ½ L'' N'²) x s + ½ L' (N + N') x E + (L Q' + ½ L' N'²) V
                              + G X E + ½ G' (N + N') X s + G N' VV).
    """
    (x, X), (V, VV) = sizes.first, sizes.gap
    own, other = solution_sizes(bounds, p, *sizes.first), solution_sizes(bounds, p, *sizes.second)
    C, L = sewing_constant(p, 4), bounds.first
    slack = 1 - C * L * x
    if own is None or other is None or slack <= 0:
        return None
    (N, _), (M, Q) = own, other
    G = bounds.level2_first
    by_gap = G * X + C * ((bounds.second * Q + bounds.third * M**2 / 2) * x + bounds.level2_second * (N + M) / 2 * X)
    by_change = C * (bounds.second * (N + M) / 2 * x + G * X)
    constant = bounds.level2 * VV + C * ((L * Q + bounds.second * M**2 / 2) * V + G * M * VV)
    a = L * x + by_gap / slack
    room = 1 - a - by_change / slack
    return None if room <= 0 else (a / room, (bounds.size * V + constant / slack) / room)
