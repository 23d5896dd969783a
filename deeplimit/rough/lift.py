"""The level-2 lift of a discrete path: its iterated sums, left points first.

WW_{jk} = Σ_{j ≤ l < k} w_{jl} ⊗ dw_l,   w_{jl} = w_l − w_j,   dw_l = w_{l+1} − w_l,

with Chen's identity WW_{ik} = WW_{ij} + WW_{jk} + w_{ij} ⊗ w_{jk}. It is not geometric: its symmetric part is
½ (w_{jk} ⊗ w_{jk} − Σ dw_l ⊗ dw_l), so that the signature of the piecewise linear path is another one. For weights of a
width d, w has D = d² entries and WW has d⁴; where that is much, |WW_{jk}| is formed from scalar products alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from deeplimit import checks
from deeplimit.rough.variation import Floats, Integers, as_points, binary, exponent, of_columns, p_variation

PATHS = ("cumsum", "weights")
LARGEST = 3.0  # p from which a third level is needed

Terms = list[tuple[Floats, Floats]]


def as_path(weights: Any, path: str = "cumsum") -> Floats:
    """The path of n weights, one a row: their sums, n + 1 points from 0, or the weights themselves, n points.

    With "cumsum" the weights are increments, as in X_{k+1} − X_k = f(X_k)(w_{k+1} − w_k); a factor 1/n belongs to them.

    Raises
    ------
    ValueError
        For another name of a path.
    """
    if path not in PATHS:
        raise ValueError(f"path must be one of {', '.join(PATHS)}, got {path!r}")
    rows = as_points(weights, least=1)
    return rows if path == "weights" else np.concatenate([np.zeros_like(rows[:1]), rows.cumsum(0)])


def level2(path: Any, start: int = 0, end: int | None = None) -> Floats:
    """WW_{jk} for j = start and k = end, by default the last point; (D, D)."""
    w = as_points(path)
    last = len(w) - 1 if end is None else checks.whole("end", end, least=0)
    first = checks.whole("start", start, least=0)
    if not first <= last < len(w):
        raise ValueError(f"start and end must be points of the path, start ≤ end < {len(w)}, got {first} and {last}")
    part = w[first : last + 1] - w[first]
    return np.asarray(part[:-1].T @ np.diff(part, axis=0))


def sizes(path: Floats, other: Floats | None = None) -> Iterator[Floats]:
    """|WW_{jk}| for j < k, k = 1, 2, …, or |WW_{jk} − WW'_{jk}| with another path; Frobenius norms.

    WW − WW' is Σ u_{jl} ⊗ dw_l + w'_{jl} ⊗ du_l with u = w − w', so that nothing cancels where the paths are close.
    Scalar products lose digits where the path is far from its mean: squares |WW_{jk}|² have errors of a rounding of
    |w − mean|² Σ |dw|², so that an interval whose second level is small beside the whole path's is known less well.
    """
    path = path - path.mean(0)
    terms: Terms = [(path, np.diff(path, axis=0))]
    if other is not None:
        other = other - other.mean(0)
        gap = path - other
        terms = [(gap, np.diff(path, axis=0)), (other, np.diff(gap, axis=0))]
    yield from _tensors(terms) if path.shape[1] ** 2 <= len(path) else _products(terms)


def _tensors(terms: Terms) -> Iterator[Floats]:
    """All WW_{jk} of one k at a time, N D² numbers."""
    n, dim = terms[0][0].shape
    WW = np.zeros((n, dim, dim))
    for k in range(n - 1):
        for left, step in terms:
            WW[:k] += (left[k] - left[:k])[:, :, None] * step[k]
        yield np.sqrt(np.square(WW[: k + 1]).sum((1, 2)))


def _products(terms: Terms) -> Iterator[Floats]:
    """Without tensors: |WW_{j,k+1}|² − |WW_{jk}|² = 2 Σ_{j ≤ l < k} <w_{jl}, w_{jk}> <dw_l, dw_k> + |w_{jk}|² |dw_k|².

    With P = <w_l, w_j> and the column <dw_l, dw_k> the sum over l, for all j, is one product with the triangle of P.
    """
    n = len(terms[0][0])
    pairs = [(a, b) for a in range(len(terms)) for b in range(len(terms))]
    inner = {(a, b): terms[a][0] @ terms[b][0].T for a, b in pairs}
    steps = {(a, b): terms[a][1] @ terms[b][1].T for a, b in pairs}
    lower = {pair: np.ascontiguousarray(np.tril(inner[pair]).T) for pair in pairs}
    squares = np.zeros(n)
    for k in range(n - 1):
        for a, b in pairs:
            P, column = inner[a, b], steps[a, b][:k, k]
            own = np.diagonal(P)[: k + 1]
            tails = np.cumsum((P[:k, k] * column)[::-1])[::-1], np.cumsum(column[::-1])[::-1]
            sums = tails[0] - lower[a, b][:k, :k] @ column - (P[:k, k] - own[:k]) * tails[1]
            squares[:k] += 2 * sums
            squares[: k + 1] += (P[k, k] - P[k, : k + 1] - P[: k + 1, k] + own) * steps[a, b][k, k]
        yield np.sqrt(np.maximum(squares[: k + 1], 0))


def rough_exponent(p: Any) -> float:
    """p as a number in [1, 3); ValueError or TypeError otherwise."""
    checked = exponent(p)
    if checked >= LARGEST:
        raise ValueError(f"p must be below 3, from which on a third level of iterated sums is needed, got {p!r}")
    return checked


def level2_variation(path: Any, p: float, other: Any = None) -> tuple[float, Integers]:
    """‖WW‖_{p/2}, or ‖WW − WW'‖_{p/2} with another path, and a partition that attains it.

    Parameters
    ----------
    path, other : (N, …)
    p
        That of the path, in [2, 3).
    """
    q = rough_exponent(p) / 2
    if q < 1:
        raise ValueError(f"p must be at least 2 for a level of its own, below the path determines it, got {p!r}")
    w = as_points(path)
    value, partition, size = _scaled(w, None if other is None else _like(w, other), q)
    return size**2 * value, partition


def _scaled(w: Floats, other: Floats | None, q: float) -> tuple[float, Integers, float]:
    """‖WW‖_q over the square of a size of the paths, a partition, and that size: products do not under- or overflow."""
    size = binary(max(float(np.abs(v - v[0]).max()) for v in (w, other) if v is not None))
    return *of_columns(sizes(w / size, None if other is None else other / size), q), size


def _like(w: Floats, other: Any) -> Floats:
    second = as_points(other)
    if second.shape != w.shape:
        raise ValueError(f"two paths must have one shape to be compared, got {w.shape} and {second.shape}")
    return second


def rough_norm(path: Any, p: float) -> float:
    """|||w|||_p = ‖w‖_p + ‖WW‖_{p/2}^½ for 2 ≤ p < 3, ‖w‖_p for p < 2.

    Parameters
    ----------
    path : (N, …)
        The path itself; `as_path` makes it from weights.

    Raises
    ------
    ValueError, TypeError
        For p outside [1, 3) and what is not a path.
    """
    first = p_variation(path, rough_exponent(p))[0]
    if p < 2:
        return first
    value, _, size = _scaled(as_points(path), None, p / 2)
    return first + size * value**0.5


def rough_distance(path: Any, other: Any, p: float, *, homogeneous: bool = False) -> float:
    """ρ_p = ‖w − w'‖_p + ‖WW − WW'‖_{p/2}, the second to the power ½ if homogeneous; the first alone for p < 2.

    Solutions of difference equations are Lipschitz in the inhomogeneous one, on bounded sets.
    """
    w = as_points(path)
    v = _like(w, other)
    first = p_variation(w - v, rough_exponent(p))[0]
    if p < 2:
        return first
    value, _, size = _scaled(w, v, p / 2)
    return first + (size * value**0.5 if homogeneous else size**2 * value)
