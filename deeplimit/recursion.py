"""The recursions of `sweep`, layer by layer: in NumPy for arrays of the CPU, in torch for those of another device.

They fill the arrays that they are given. A call on a small array costs NumPy a third of what it costs torch, and its
matrix products of large ones are no slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any  # np.ndarray or Tensor, the same for all arguments of a call


def forward(
    sigma: Callable[..., object], x: Array, K: Array, b: Array, h: np.ndarray, rows: np.ndarray, Y: Array, Z: Array
) -> None:
    """Y (T + 1, S, d) and Z (T, S, d) from σ(z, out), x (S, d), K (T, d, d), b (T, d), h (T,), rows (s, s)."""
    ops, s = _operations(Z, K, rows), len(rows)
    Y[0] = x
    y = start = Y[0]
    layers = zip(*map(ops.layers, (Z, K.swapaxes(1, 2), b, Y[1:])), h.tolist(), strict=True)
    for i, (Zi, KT, bi, after, step) in enumerate(layers):
        j = i % s
        start = y if j == 0 else start
        ops.affine(bi, y, KT, out=Zi)
        sigma(Zi, ops.F[j])
        ops.advance(start, j, step, out=after)
        y = after


def march(f: Callable[..., object], h: np.ndarray, rows: np.ndarray, x: Array, theta: Array, Y: Array) -> None:
    """Y (T + 1, S, d) from f(y, θ, out), h (T,), rows (s, s), x (S, d), θ (T, p)."""
    ops, s = _operations(Y, Y, rows), len(rows)
    Y[0] = x
    y = start = Y[0]
    for i, (theta_i, after, step) in enumerate(zip(*map(ops.layers, (theta, Y[1:])), h.tolist(), strict=True)):
        j = i % s
        start = y if j == 0 else start
        f(y, theta_i, ops.F[j])
        ops.advance(start, j, step, out=after)
        y = after


def tangent(D: Array, K: Array, source: Array, start: Array | float, rows: np.ndarray, dY: Array, dZ: Array) -> None:
    """dY (T + 1, S, d) and dZ (T, S, d) from D and source (T, S, d), start (S, d), rows (s, s).

    K is (T, d, d), or (T, S, d, d) for one matrix a sample.
    """
    ops, s = _operations(D, K, rows), len(rows)
    dY[0] = start
    y = base = dY[0]
    for i, (Di, KT, source_i, dZi, after) in enumerate(
        zip(*map(ops.layers, (D, K.swapaxes(-1, -2), source, dZ, dY[1:])), strict=True)
    ):
        j = i % s
        base = y if j == 0 else base
        ops.affine(source_i, y, KT, out=dZi)
        ops.multiply(Di, dZi, out=ops.F[j])
        ops.advance(base, j, 1.0, out=after)
        y = after


def adjoint(
    D: Array, K: Array, costate: Array, e: Array, f: Array, rows: np.ndarray, q: Array, lam: Array, start: Array
) -> None:
    """q and lam (T, S, d) and start (S, d) from D (T, S, d), costate (S, d), rows; e and f, if any, (T, S, d).

    K is as for `tangent`.
    """
    ops, s, sourced = _operations(D, K, rows), len(rows), len(e) > 0
    # the costates of what the stages of a step lead to: μ_1 … μ_{s−1}, then that of its end
    M, end = ops.F, ops.F[s - 1]
    M[: s - 1] = 0
    M[s - 1] = costate
    layers = zip(*(ops.layers(a)[::-1] for a in (D, K, q, lam)), strict=True)
    sources = zip(ops.layers(e)[::-1], ops.layers(f)[::-1], strict=True)
    for i, (Di, Ki, qi, li) in enumerate(layers, start=1):
        j = -i % s
        ops.gather(j, out=li)
        ops.multiply(Di, li, out=qi)
        if sourced:
            ei, fi = next(sources)
            ops.add(qi, ei, out=qi)
        mu = M[j - 1] if j > 0 else start
        ops.product(qi, Ki, out=mu)
        if sourced:
            ops.add(mu, fi, out=mu)
        if j == 0:
            ops.add(end, start, out=end)
            if s > 1:
                ops.add(end, M[: s - 1].sum(0), out=end)
    start[:] = end


def _operations(like: Array, K: Array, rows: np.ndarray) -> Any:
    kinds: Any = (_NumPy, _NumPyEach) if isinstance(like, np.ndarray) else (_Torch, _TorchEach)
    return kinds[K.ndim == 4](like, rows)


class _NumPy:
    """What the recursions do with the arrays of a layer, and F: the slopes of a step, or costates.

    With r_j the rows:  affine b + x K,  product x K,  advance y + h Σ_{l ≤ j} r_jl F_l,  gather Σ_{l ≥ j} r_lj F_l.
    """

    multiply, add = staticmethod(np.multiply), staticmethod(np.add)
    product: Any = staticmethod(np.dot)

    def __init__(self, like: np.ndarray, rows: np.ndarray) -> None:
        s = len(rows)
        self.F = np.empty((s, *like.shape[1:]))
        self._flat = self.F.reshape(s, -1)
        self._rows = [rows[j, : j + 1].copy() for j in range(s)]
        self._columns = [rows[j:, j].copy() for j in range(s)]

    @staticmethod
    def layers(a: np.ndarray) -> np.ndarray:
        return a

    def affine(self, b: np.ndarray, x: np.ndarray, K: np.ndarray, out: np.ndarray) -> None:
        np.add(np.dot(x, K, out=out), b, out=out)

    def advance(self, y: np.ndarray, j: int, h: float, out: np.ndarray) -> None:
        self._combine(h * self._rows[j], 0, out)
        np.add(y, out, out=out)

    def gather(self, j: int, out: np.ndarray) -> None:
        self._combine(self._columns[j], j, out)

    def _combine(self, weights: np.ndarray, first: int, out: np.ndarray) -> None:
        if len(weights) == 1:
            np.multiply(self.F[first], weights[0], out=out)
        else:
            np.dot(weights, self._flat[first : first + len(weights)], out=out.reshape(-1))


class _NumPyEach(_NumPy):
    """With one matrix K a sample."""

    @staticmethod
    def product(x: np.ndarray, K: np.ndarray, out: np.ndarray) -> None:
        np.matmul(x[:, None], K, out=out[:, None])

    def affine(self, b: np.ndarray, x: np.ndarray, K: np.ndarray, out: np.ndarray) -> None:
        self.product(x, K, out=out)
        np.add(out, b, out=out)


class _Torch:
    """The same in torch."""

    multiply, add = staticmethod(torch.mul), staticmethod(torch.add)
    product: Any = staticmethod(torch.mm)
    layers = staticmethod(Tensor.unbind)

    def __init__(self, like: Tensor, rows: np.ndarray) -> None:
        s = len(rows)
        self.F = like.new_empty(s, *like.shape[1:])
        weights, flat = torch.as_tensor(rows, device=like.device), self.F.view(s, -1)
        self._rows = [(flat[: j + 1].T, weights[j, : j + 1].contiguous()) for j in range(s)]
        self._columns = [(flat[j:].T, weights[j:, j].contiguous()) for j in range(s)]

    def affine(self, b: Tensor, x: Tensor, K: Tensor, out: Tensor) -> None:
        torch.addmm(b, x, K, out=out)

    def advance(self, y: Tensor, j: int, h: float, out: Tensor) -> None:
        slopes, row = self._rows[j]
        torch.addmv(y.view(-1), slopes, row, alpha=h, out=out.view(-1))

    def gather(self, j: int, out: Tensor) -> None:
        later, column = self._columns[j]
        torch.mv(later, column, out=out.view(-1))


class _TorchEach(_Torch):
    """With one matrix K a sample."""

    @staticmethod
    def product(x: Tensor, K: Tensor, out: Tensor) -> None:
        torch.bmm(x[:, None], K, out=out[:, None])

    def affine(self, b: Tensor, x: Tensor, K: Tensor, out: Tensor) -> None:
        torch.baddbmm(b[:, None], x[:, None], K, out=out[:, None])
