"""The p-variation of a discrete path, exactly, and a partition that attains it.

‖w‖_p = ( max over partitions 0 = k_0 < … < k_r = N of Σ d(w_{k_i}, w_{k_{i+1}})^p )^{1/p},  p ≥ 1,

by dynamic programming over the last point, c_k = max_{j < k} c_j + d(w_j, w_k)^p. For numbers the candidates for each k
stand on two stacks, the best of them on top, so that N points cost O(N) steps; for points of a metric space blocks of
candidates are passed over where the triangle inequality leaves them no chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from deeplimit import checks, kernels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Metric = str | Callable[[Floats, Floats], float]

BLOCK = 256  # points whose distances to as many others are held at a time
LARGE = 32  # dimension from which distances are formed by matrix products
STEEP = 64.0  # p from which the power of a half, or of a diameter in units of the largest coordinate, is extreme
CANCELLED = 1e-8  # a square of a distance below this part of its terms is formed again from the difference
NEWTON = 100  # steps at most; they converge monotonically, in about six


def p_variation(path: Any, p: float, *, metric: Metric = "euclid") -> tuple[float, Integers]:
    """‖w‖_p and the indices of a partition that attains it, the first and the last point included.

    Parameters
    ----------
    path
        Points, shape (N, …): numbers, vectors, or arrays under the Frobenius norm; at least two. With
        `metric="distances"` the table of their distances, shape (N, N).
    p
        At least 1.
    metric
        "euclid", "distances", or what SciPy's `cdist` takes for vectors.

    Returns
    -------
    The norm in the units of the distances, and increasing indices.

    Raises
    ------
    ValueError, TypeError
        For p < 1, fewer than two points, entries that are not finite or so far apart that their distance overflows, and
        a metric or table whose values are not distances.

    References
    ----------
    The pruning is in the spirit of A. Korepanov, T. Lyons and P. Zorin-Kranich, whose library `p-var` has radii at all
    dyadic levels; the stacks for numbers are derived here.

    Examples
    --------
    >>> from deeplimit import rough
    >>> square = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    >>> value, partition = rough.p_variation(square, 2)
    >>> round(value**2, 12), partition.tolist()
    (4.0, [0, 2, 4])
    """
    p = exponent(p)
    if isinstance(metric, str) and metric == "distances":
        table = _distances(path)
        size = _size(float(table.max()), p)
        partition = _blocks(len(table), p, lambda a, b: table[a, b] / size)
        return _norm(table[partition[:-1], partition[1:]] / size, size, p), partition
    points = as_points(path)
    with np.errstate(over="ignore"):
        if not np.isfinite(points.max(0) - points.min(0)).all():
            raise ValueError("the points of a path are so far apart that their distance overflows; scale the path down")
    if isinstance(metric, str) and metric == "euclid":
        return _line(points[:, 0], p) if points.shape[1] == 1 else _euclid(points, p)
    farthest = max(_apart(points[a], points, metric).max() for a in _slices(len(points)))
    size = _size(float(farthest), p)
    partition = _blocks(len(points), p, lambda a, b: _apart(points[a], points[b], metric) / size)
    steps = zip(points[partition[:-1]], points[partition[1:]], strict=True)
    return _norm(np.array([_apart(a[None], b[None], metric).item() for a, b in steps]) / size, size, p), partition


def _slices(n: int) -> list[slice]:
    """Blocks of n points."""
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _apart(a: Floats, b: Floats, metric: Metric) -> Floats:
    """Distances by a metric of SciPy or of the caller; ValueError unless they are finite and not negative."""
    found = cdist(a, b, metric)
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        raise ValueError(f"a metric must give finite distances, nowhere negative, got {found[bad][0]:g}")
    return np.asarray(found)


def binary(size: float) -> float:
    """The power of 2 above a size, or the largest one, and 1 for 0: dividing by it rounds nothing."""
    return math.ldexp(1.0, min(math.frexp(size)[1], 1023)) if size > 0 else 1.0


def _size(farthest: float, p: float) -> float:
    """What distances are divided by: a power of 2, or, where the power p of ½ is next to nothing, their largest."""
    return farthest if p > STEEP and farthest > 0 else binary(farthest)


def _norm(scaled: Floats, size: float, p: float) -> float:
    """size · (Σ scaled^p)^{1/p}, summed exactly; the largest is taken out, so that no power over- or underflows.

    Raises
    ------
    ValueError
        Where the norm itself overflows.
    """
    scaled = np.abs(scaled)
    top = float(scaled.max())
    found = size * (top * math.fsum((scaled / top) ** p) ** (1 / p)) if top > 0 else 0.0
    if not math.isfinite(found):
        raise ValueError("the p-variation of the path overflows: scale the path down, to which it is proportional")
    return found


def exponent(p: Any) -> float:
    """p as a number, at least 1; ValueError or TypeError otherwise."""
    checked = checks.number("p", p)
    if checked < 1:
        raise ValueError(f"p must be at least 1, below which the sums of a path have other maxima, got {p!r}")
    return checked


def as_points(path: Any, least: int = 2) -> Floats:
    """A path as the rows of a table, (N, …) to (N, D) in float64.

    Raises
    ------
    ValueError, TypeError
        For too few points and entries that are not finite numbers.
    """
    array = np.asarray(path)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a path must be an array of real numbers, got entries of type {array.dtype}")
    if array.ndim == 0 or len(array) < least or array.size == 0:
        raise ValueError(f"a path must have at least {least} points, one a row, got shape {array.shape}")
    points = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float64)
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise ValueError(f"a path must be finite, but its point {row} (counted from 0) is not")
    return points


def _distances(table: Any) -> Floats:
    """A checked table of distances."""
    array = as_points(table)
    if array.shape[0] != array.shape[1] or np.asarray(table).ndim != 2:
        raise ValueError(f"distances must be a square table, one row a point, got shape {np.asarray(table).shape}")
    if np.diagonal(array).any() or (array < 0).any():
        raise ValueError("distances must be 0 on the diagonal and nowhere negative")
    if not np.allclose(array, array.T, rtol=1e-12, atol=0):
        i, j = np.unravel_index(np.argmax(np.abs(array - array.T)), array.shape)
        raise ValueError(
            f"distances must be symmetric, but d({i}, {j}) = {array[i, j]:g} and d({j}, {i}) = {array[j, i]:g}; if "
            "only one half of the table is filled, give d + dᵀ; if the halves differ by rounding, (d + dᵀ)/2"
        )
    return array


def of_columns(columns: Iterable[Floats], p: float) -> tuple[float, Integers]:
    """The p-variation of a two-parameter function given by its columns |A_{jk}|, j < k, for k = 1, 2, … in order."""
    c, back = np.zeros(1), [0]
    for column in columns:
        k = len(back)
        if k == len(c):
            c = np.concatenate([c, np.zeros_like(c)])
        values = c[:k] + column**p
        back.append(int(values.argmax()))
        c[k] = values[back[-1]]
    return float(c[len(back) - 1] ** (1 / p)), _partition(back)


def _partition(back: Any) -> Integers:
    """The points that lead to the last one."""
    found = [len(back) - 1]
    while found[-1] > 0:
        found.append(int(back[found[-1]]))
    return np.array(found[::-1], dtype=np.int64)


def _line(x: Floats, p: float) -> tuple[float, Integers]:
    """Numbers: by superadditivity of |·|^p only points where the path turns, and its ends, are in a best partition."""
    turns = _turns(x)
    size = _size(float(np.ptp(x)), p)
    heights, n = (x[turns] - x[0]) / size, len(turns)  # distances of at most 1, whose powers do not overflow
    back: Any = np.zeros(n, dtype=np.int64)
    if kernels.wanted() != "torch" and kernels.installed():
        kernels.compiled(_sweep)(heights, p, np.zeros(n), back, np.zeros(2 * n, dtype=np.int64), np.zeros(2 * n))
    elif np.ptp(x) > 0:
        back = back.tolist()
        _sweep(heights.tolist(), p, [0.0] * n, back, [0] * (2 * n), [0.0] * (2 * n))
    partition = turns[_partition(back)]
    return _norm(np.diff(x[partition]) / size, size, p), partition


def _turns(x: Floats) -> Integers:
    """Indices of the first point, of every local extremum once, and of the last point."""
    moved = np.flatnonzero(np.diff(x)) + 1
    distinct = np.concatenate([[0], moved])
    rising = np.diff(x[distinct]) > 0
    inner = distinct[1:-1][rising[1:] != rising[:-1]] if len(distinct) > 2 else distinct[:0]
    return np.concatenate([[0], inner, [len(x) - 1]]).astype(np.int64)


def _sweep(x: Any, p: float, c: Any, back: Any, stack: Any, until: Any) -> None:
    """Fill c_k and the j it is attained at, for numbers that rise and fall in turn; plain Python that compiles.

    A rise to x_k starts at a j with x_j ≤ x ≤ x_k in between. Seen from x_k an older, lower j gains on a newer, higher
    one as x_k grows, (x − x_j)^p − (x − x_i)^p being nondecreasing: from some height on it is better for good, since a
    later, lower end cannot start before x_k. So the starts stand on a stack with the heights up to which each is best;
    one for rises and, upside down, one for falls.
    """
    n = len(x)
    sizes = [0, 0]
    for k in range(1, n):
        side = 0 if x[k] > x[k - 1] else 1
        sign = 1.0 - 2.0 * side
        base, m = side * n, sizes[side]
        low = sign * x[k - 1]
        while m > 0 and sign * x[stack[base + m - 1]] >= low:
            m -= 1
        height = np.inf
        while m > 0:
            j = stack[base + m - 1]
            e, g = low - sign * x[j], c[k - 1] - c[j]
            height = np.inf
            if e**p >= g:
                height = low
            elif p > 1 and (1 + e) ** p - 1 >= g:
                z = 0.0 if p <= 2 else 1.0
                for _ in range(NEWTON):  # from the side on which it is monotone
                    change = (g - ((z + e) ** p - z**p)) / (p * ((z + e) ** (p - 1) - z ** (p - 1)))
                    z = max(z + change, 0.0)
                    if abs(change) <= 1e-15 * (z + e):
                        break
                height = low + z
            if height <= low or m == 1 or until[base + m - 1] > height:
                break
            m -= 1
        if m == 0 or height > low:
            stack[base + m] = k - 1
            until[base + m] = height if m > 0 else np.inf
            m += 1
        top = sign * x[k]
        while m > 1 and until[base + m - 1] <= top:
            m -= 1
        j = stack[base + m - 1]
        c[k] = c[j] + (top - sign * x[j]) ** p
        back[k] = j
        sizes[side] = m


def _euclid(points: Floats, p: float) -> tuple[float, Integers]:
    """Points of ℝᴰ; blocks of radius r are passed over where r cannot bring them to the best value."""
    size = binary(float(np.abs(points - points[0]).max()))
    if p == 1:  # by the triangle inequality
        steps = np.linalg.norm(np.diff(points, axis=0) / size, axis=1)
        return _norm(steps, size, p), np.arange(len(points))
    scaled = (points - points[0]) / size
    if p > STEEP:
        farthest = max(float(cdist(scaled[a], scaled).max()) for a in _slices(len(scaled)))
        size, scaled = size * farthest, scaled / (farthest or 1.0)
    distances = _products if scaled.shape[1] >= LARGE else cdist
    starts = range(0, len(points), BLOCK)
    middles = scaled[[min(a + BLOCK // 2, len(points) - 1) for a in starts]]
    radii = np.array([cdist(middles[[i]], scaled[a : a + BLOCK]).max() for i, a in enumerate(starts)])

    def reach(block: int) -> Floats:
        return np.asarray(cdist(middles[[block]], middles[:block])[0] + radii[:block] + radii[block])

    partition = _blocks(len(points), p, lambda a, b: distances(scaled[a], scaled[b]), reach)
    steps = np.linalg.norm(np.diff(scaled[partition], axis=0), axis=1)
    return _norm(steps, size, p), partition


def _products(a: Floats, b: Floats) -> Floats:
    """Distances between the rows of a and b by |a|² + |b|² − 2 a·b, from their common mean.

    Pairs whose square cancels are formed again: few from their differences, as points with themselves; the others from
    the mean of their cluster, and so on.
    """
    mean = (a.mean(0) + b.mean(0)) / 2
    a, b = a - mean, b - mean
    terms = np.square(a).sum(1)[:, None] + np.square(b).sum(1)
    squares = terms - 2 * (a @ b.T)
    close = squares < CANCELLED * terms
    found = np.sqrt(np.maximum(squares, 0))
    if np.count_nonzero(close) <= len(a) + len(b):
        i, j = np.nonzero(close)
        found[i, j] = np.linalg.norm(a[i] - b[j], axis=1)
        return np.asarray(found)
    while close.any():
        columns = close[close.any(1).argmax()]
        rows = close[:, columns.argmax()]
        whole = rows.all() and columns.all()
        pairs = np.ix_(rows, columns)
        found[pairs] = cdist(a, b) if whole else _products(a[rows], b[columns])
        close[pairs] = False
    return np.asarray(found)


def _blocks(
    n: int, p: float, distances: Callable[[slice, slice], Floats], reach: Callable[[int], Floats] | None = None
) -> Integers:
    """The best partition, from the distances between two blocks and, if known, bounds to all earlier blocks."""
    c, back = np.zeros(n), np.zeros(n, dtype=np.int64)
    for block, start in enumerate(range(0, n, BLOCK)):
        here = slice(start, min(start + BLOCK, n))
        best, source = np.full(here.stop - start, -math.inf), np.zeros(here.stop - start, dtype=np.int64)
        ceiling = np.full(block, math.inf)
        if reach is not None:
            ceiling = c[np.arange(1, block + 1) * BLOCK - 1] + reach(block) ** p  # c is nondecreasing
        for earlier in range(block - 1, -1, -1):
            if ceiling[earlier] <= best.min():
                continue
            there = slice(earlier * BLOCK, (earlier + 1) * BLOCK)
            values = c[there, None] + distances(there, here) ** p
            winner = values.argmax(0)
            value = values[winner, np.arange(len(best))]
            source = np.where(value > best, there.start + winner, source)
            best = np.maximum(value, best)
        inside = distances(here, here) ** p
        for k in range(here.stop - start):
            if k:
                values = c[start : start + k] + inside[:k, k]
                winner = int(values.argmax())
                if values[winner] > best[k]:
                    best[k], source[k] = values[winner], start + winner
            c[start + k] = max(best[k], 0.0)
        back[here] = source
    return _partition(back)
