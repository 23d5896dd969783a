"""Difference equations driven by a path, of which residual networks are one kind.

y_{k+1} − y_k = f(y_k)(w_{k+1} − w_k),  f(y): ℝᴰ → ℝᵉ linear. A network with weights outside its activation,
y_{k+1} = y_k + A_k σ(y_k), has f(y)[A] = A σ(y) and the path with the increments A_k.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from deeplimit import activation, checks
from deeplimit.activation import Activation
from deeplimit.rough.variation import Floats, as_points


@dataclass(frozen=True)
class Bounds:
    """What stability needs to know about f and about g(y)[a ⊗ b] = (Df(y) f(y)a) b, uniformly in y.

    Attributes
    ----------
    size, first, second, third
        sup|f| and the Lipschitz constants of f, Df and D²f, as maps of w in the norm of its increments.
    level2, level2_first, level2_second
        sup|g| and the Lipschitz constants of g and Dg, as maps of a ⊗ b in the Frobenius norm: the norm of a linear map
        of all tensors, not of products alone.
    dimension
        D, the number of entries of an increment of w, or None where the constants hold for any.
    """

    size: float
    first: float
    second: float
    third: float
    level2: float
    level2_first: float
    level2_second: float
    dimension: int | None = None


@dataclass(frozen=True, eq=False)
class Field:
    """f with its derivative.

    Attributes
    ----------
    value, derivative
        y (e,) ↦ f(y) (e, D), and y ↦ Df(y) (e, D, e), the last index that of the direction.
    bounds
        None where they are not known.
    shape
        (e, D), or None to find out.
    """

    value: Callable[[Floats], Floats]
    derivative: Callable[[Floats], Floats]
    bounds: Bounds | None = None
    shape: tuple[int, int] | None = None

    def second(self, y: Floats) -> Floats:
        """g(y), (e, D, D): the first D is that of the earlier increment."""
        return np.asarray(np.einsum("ibe,ea->iab", self.derivative(y), self.value(y)))


def residual(width: int, name: str | Activation = "tanh", directions: Floats | None = None) -> Field:
    """f(y)[A] = A σ(y) for A ∈ ℝ^{d×d} row by row, or f(y)[a] = Σ_m a_m B_m σ(y) for given B_m.

    Parameters
    ----------
    width
        d.
    name
        Activation, or its name; bounds are known where sup|σ| and the Lipschitz constants of σ, σ' and σ'' are.
    directions : (D, d, d)
        The B_m; by default all A.

    Notes
    -----
    For all A, |Aσ| ≤ |A| |σ| gives sup|f| = √d sup|σ| and the Lipschitz constants of σ and its derivatives. g maps T to
    Σ_{lk} T_{(l k),(i l)} σ'_l σ_k, so that by Cauchy-Schwarz |g| ≤ |σ'| |σ| ≤ √d Lip σ · sup|f|, and the derivatives
    of σ'_l σ_k likewise. B_m of unit norm and pairwise orthogonal are bounded by the same.
    """
    d = checks.whole("width", width, least=1)
    sigma = activation.get(name)
    basis = np.eye(d * d).reshape(d * d, d, d) if directions is None else np.asarray(directions, dtype=np.float64)
    if basis.ndim != 3 or basis.shape[1:] != (d, d):
        raise ValueError(f"directions must have shape (D, {d}, {d}), got {basis.shape}")

    def of(function: Callable[[torch.Tensor], torch.Tensor], y: Floats) -> Floats:
        return np.asarray(function(torch.from_numpy(y)))

    def value(y: Floats) -> Floats:
        return np.asarray((basis @ of(sigma.value, y)).T)

    def derivative(y: Floats) -> Floats:
        return np.asarray((basis * of(sigma.first, y)).transpose(1, 0, 2))

    gram = np.einsum("mij,nij->mn", basis, basis)
    constants = sigma.supremum, sigma.lipschitz, sigma.lipschitz_derivative, sigma.lipschitz_second
    known = np.isfinite(constants).all() and np.allclose(gram, np.eye(len(basis)), rtol=0, atol=1e-12)
    found = _bounds(d, len(basis), *constants) if known else None
    return Field(value, derivative, found, (d, len(basis)))


def _bounds(d: int, dimension: int, top: float, first: float, second: float, third: float) -> Bounds:
    root = math.sqrt(d)
    size = root * top
    return Bounds(
        size,
        first,
        second,
        third,
        level2=root * first * size,
        level2_first=second * size + root * first**2,
        level2_second=third * size + 2 * second * first + root * first * second,
        dimension=dimension,
    )


def solve(field: Field, path: Floats, start: Floats) -> Floats:
    """y_0 … y_N, shape (N + 1, e), from the points w (N + 1, D) and y_0 (e,).

    Raises
    ------
    ValueError, TypeError
        For a path and a start that do not fit the field, and entries that are not finite.
    """
    w, y = as_points(path), np.asarray(start, dtype=np.float64)
    if y.ndim != 1 or not np.isfinite(y).all():
        raise ValueError(f"start must be a vector of finite numbers, got {start!r}")
    e, D = field.shape or field.value(y).shape
    if len(y) != e or w.shape[1] != D:
        raise ValueError(
            f"a field from increments of {D} entries to {e} needs a path of points of {D} entries and a start of {e}, "
            f"got {w.shape[1]} and {len(y)}"
        )
    states = [y]
    for step in np.diff(w, axis=0):
        states.append(states[-1] + field.value(states[-1]) @ step)
    return np.stack(states)


def tangent(field: Field, path: Floats, states: Floats) -> Floats:
    """∂y_N/∂y_0, (e, e); its largest singular value is the amplification of a small input perturbation."""
    J = np.eye(states.shape[1])
    for y, step in zip(states, np.diff(as_points(path), axis=0), strict=False):
        J = J + np.einsum("ibe,b->ie", field.derivative(y), step) @ J
    return J


def remainders(field: Field, path: Floats, states: Floats, length: int) -> tuple[Floats, Floats]:
    """y_{jk} − f(y_j) w_{jk} − g(y_j) WW_{jk} over the blocks of k − j = length steps, and without the last term.

    The first is of order 3/p in a control of the path, the second of order 2/p.

    Returns
    -------
    Two arrays of norms, one number a block.
    """
    w = as_points(path)
    starts = range(0, len(w) - checks.whole("length", length, least=1), length)
    rough, plain = [], []
    for j in starts:
        part = w[j : j + length + 1] - w[j]
        first = states[j + length] - states[j] - field.value(states[j]) @ part[-1]
        WW = part[:-1].T @ np.diff(part, axis=0)
        rough.append(np.linalg.norm(first - np.einsum("iab,ab->i", field.second(states[j]), WW)))
        plain.append(np.linalg.norm(first))
    return np.array(rough), np.array(plain)
