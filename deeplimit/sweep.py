"""Sweeps through depth: forward, adjoint, tangent and second adjoint of an explicit Runge-Kutta flow.

A residual network is the explicit Euler flow of X' = σ(KX + b); the limit is computed with a flow of order 8. Both are
the same sweeps. A step from X to X⁺ with s stages and rows r_0 … r_{s−1} (the stage inputs after the first, then X⁺) is

    Y_0 = X,   F_j = σ(K_j Y_j + b_j),   Y_{j+1} = X + h Σ_{l ≤ j} r_{jl} F_l,   X⁺ = Y_s.

Only these recursions run layer by layer; σ', the outer products and the sources of the linearised sweeps are batched
over all layers. With S samples, width d and T = steps × s stages, every stored array has T·S·d entries of 8 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from scipy.integrate import DOP853
from torch import Tensor

from deeplimit import kernels, recursion
from deeplimit.activation import Activation


@dataclass(frozen=True, eq=False)
class Tableau:
    """An explicit Runge-Kutta method: strictly lower triangular A (s, s), weights b (s,), nodes c (s,), its order."""

    A: np.ndarray
    b: np.ndarray
    c: np.ndarray
    order: int

    @property
    def stages(self) -> int:
        """The number s of stages."""
        return len(self.b)

    @cached_property
    def rows(self) -> np.ndarray:
        """r_{jl}, shape (s, s): A without its first row, then b."""
        return np.vstack([self.A[1:], self.b])

    def times(self, steps: int) -> np.ndarray:
        """The points of [0, 1] at which the stages of `steps` equal steps take their weights, shape (steps·s,)."""
        return Flow(self, steps).times


EULER = Tableau(np.zeros((1, 1)), np.ones(1), np.zeros(1), order=1)
HEUN = Tableau(np.array([[0, 0], [1, 0]]), np.ones(2) / 2, np.array([0, 1]), order=2)
KUTTA4 = Tableau(
    np.array([[0, 0, 0, 0], [1 / 2, 0, 0, 0], [0, 1 / 2, 0, 0], [0, 0, 1, 0]]),
    np.array([1, 2, 2, 1]) / 6,
    np.array([0, 1 / 2, 1 / 2, 1]),
    order=4,
)
DORMAND_PRINCE8 = Tableau(DOP853.A[:12, :12], DOP853.B, DOP853.C[:12], order=8)


@dataclass(frozen=True, eq=False)
class Flow:
    """The recursions of one explicit method with `steps` steps on [0, 1], or through those from `first` to `last` − 1.

    The steps are equal, or `graded`: from t_k = (1 − cos(π k/steps))/2 to the next, as dense near the ends as the zeros
    of the polynomials that the weights of the limit are expanded in.
    """

    tableau: Tableau
    steps: int
    graded: bool = False
    first: int = 0
    last: int | None = None

    def part(self, first: int, last: int) -> Flow:
        """The flow through its own steps first … last − 1 alone; parts one after the other are the whole.

        Raises
        ------
        ValueError
            If these are not at least one step of the flow.
        """
        if not 0 <= first < last <= self._count:
            raise ValueError(f"a part wants 0 ≤ first < last ≤ {self._count}, got first = {first} and last = {last}")
        return replace(self, first=self.first + first, last=self.first + last)

    @property
    def _count(self) -> int:
        return (self.steps if self.last is None else self.last) - self.first

    @property
    def nodes(self) -> np.ndarray:
        """The ends of the steps, from 0 to 1 for the whole flow, shape (number of steps + 1,)."""
        k = np.arange(self.steps + 1) / self.steps
        t = (1 - np.cos(np.pi * k)) / 2 if self.graded else k
        return t[self.first : self.first + self._count + 1]

    @property
    def times(self) -> np.ndarray:
        """The points of [0, 1] at which the stages take their weights, shape (T,)."""
        if not self.graded:
            k = self.first + np.arange(self._count)
            return ((k[:, None] + self.tableau.c) / self.steps).ravel()
        return (self.nodes[:-1, None] + np.diff(self.nodes)[:, None] * self.tableau.c).ravel()

    @property
    def step(self) -> float | np.ndarray:
        """h, one number for equal steps, or one for every stage, shape (T,)."""
        return np.repeat(np.diff(self.nodes), self.tableau.stages) if self.graded else 1.0 / self.steps

    def scaled(self, slopes: Tensor) -> Tensor:
        """h times slopes of shape (T, S, d)."""
        return slopes * self._lengths(slopes)

    def _lengths(self, like: Tensor) -> float | Tensor:
        h = self.step
        return h if isinstance(h, float) else torch.as_tensor(h, device=like.device)[:, None, None]

    def slopes(self, sigma: Activation, Z: Tensor) -> Tensor:
        """D = h σ'(Z), shape (T, S, d)."""
        D = _derivative(sigma, 1, Z)
        return D.mul_(self._lengths(D))

    def bends(self, sigma: Activation, Z: Tensor) -> Tensor:
        """h σ''(Z), shape (T, S, d)."""
        bends = _derivative(sigma, 2, Z)
        return bends.mul_(self._lengths(bends))

    @property
    def stages(self) -> int:
        """The number T of weights in depth that the flow asks for."""
        return self._count * self.tableau.stages

    def forward(
        self, x: Tensor, K: Tensor, b: Tensor, sigma: Activation | Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """States and arguments of σ along the flow.

        Parameters
        ----------
        x : (S, d);  K : (T, d, d);  b : (T, d)

        Returns
        -------
        Y : (T + 1, S, d), the stage inputs, Y[k·s] = X(t_k), Y[T] = X(1);  Z : (T, S, d), Z_i = K_i Y_i + b_i
        """
        Y = x.new_empty(self.stages + 1, *x.shape)
        Z = x.new_empty(self.stages, *x.shape)
        h, rows = np.broadcast_to(self.step, self.stages), self.tableau.rows
        scalar = sigma.scalar if isinstance(sigma, Activation) else None
        sweep: Callable[..., None] | None = None
        if scalar is not None and _compiled(x):
            sweep = kernels.forward(scalar, x.shape[1])
        sweep = sweep or partial(recursion.forward, _filling(sigma, x))
        sweep(*_arrays(x, K, b), h, rows, *_arrays(Y, Z))
        return Y, Z

    def march(self, f: Callable[[Tensor, Tensor], Tensor], x: Tensor, theta: Tensor) -> Tensor:
        """The stage inputs Y (T + 1, S, d) of X' = f(X, θ), with F_j = f(Y_j, θ_j) in place of σ(K_j Y_j + b_j).

        Parameters
        ----------
        f
            x (S, d), θ_j (p,) ↦ (S, d).
        x : (S, d);  theta : (T, p)
        """
        Y = x.new_empty(self.stages + 1, *x.shape)
        h = np.broadcast_to(self.step, self.stages)
        recursion.march(_writing(f, x), h, self.tableau.rows, *_arrays(x, theta, Y))
        return Y

    def tangent(self, D: Tensor, K: Tensor, source: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tangent states (dY, dZ), dY_0 = start or 0: dZ_i = K_i dY_i + source_i, slopes D_i ∘ dZ_i, D = h σ'(Z).

        K is (T, d, d), or (T, S, d, d) for one matrix a sample, here and in `adjoint`.
        """
        dY = source.new_empty(self.stages + 1, *source.shape[1:])
        dZ = source.new_empty(source.shape)
        begin = torch.zeros_like(dY[0]) if start is None else start
        sweep: Callable[..., None] = kernels.tangent(begin.shape[1]) if _shared(K, begin) else recursion.tangent
        sweep(*_arrays(D, K, source, begin), self.tableau.rows, *_arrays(dY, dZ))
        return dY, dZ

    def adjoint(
        self, D: Tensor, K: Tensor, costate: Tensor, sources: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Costates of the stages, backward from the costate of the last state, to that of the first.

        With λ_i the costate of F_i and μ_i that of Y_i:  q_i = D_i ∘ λ_i (+ e_i),  μ_i = K_iᵀ q_i (+ f_i).

        Parameters
        ----------
        D : (T, S, d), h σ'(Z);  costate : (S, d);  sources : e and f, each (T, S, d), of the second adjoint

        Returns
        -------
        q : (T, S, d);  lam : (T, S, d);  start : (S, d), the costate of Y_0
        """
        q, lam, start = (a.new_empty(a.shape) for a in (D, D, costate))
        none = D.new_empty(0, 0, 0)
        sweep: Callable[..., None] = kernels.adjoint(costate.shape[1]) if _shared(K, costate) else recursion.adjoint
        e, f = (none, none) if sources is None else sources
        sweep(*_arrays(D, K, costate, e, f), self.tableau.rows, *_arrays(q, lam, start))
        return q, lam, start


def _compiled(x: Tensor) -> bool:
    """Whether compiled loops sweep samples of these shapes, (S, d)."""
    return x.device.type == "cpu" and kernels.pay(*x.shape)


def _shared(K: Tensor, x: Tensor) -> bool:
    """Whether compiled loops sweep with these matrices: they know one for all samples."""
    return K.dim() == 3 and _compiled(x)


def _arrays(*tensors: Tensor) -> Any:
    """The same memory as NumPy arrays, or the tensors themselves on another device than the CPU."""
    return [a.contiguous().numpy() if a.device.type == "cpu" else a for a in tensors]


def _derivative(sigma: Activation, order: int, Z: Tensor) -> Tensor:
    """σ' or σ'' of Z, by NumPy where the activation has that and Z is on the CPU."""
    if sigma.arrays is None or Z.device.type != "cpu":
        return (sigma.first, sigma.second)[order - 1](Z)
    return torch.from_numpy(sigma.arrays[order](Z.numpy()))


def products(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """The matrix products a_i b_i of all layers; where the matrices are small, torch's cost several times NumPy's."""
    if a.device.type != "cpu":
        return torch.bmm(a, b, out=out)
    return torch.from_numpy(np.matmul(a.numpy(), b.numpy(), out=None if out is None else out.numpy()))


def _filling(sigma: Activation | Callable[[Tensor], Tensor], x: Tensor) -> Callable[..., object]:
    """σ(z, out) for the arrays of the recursions."""
    value = sigma.value if isinstance(sigma, Activation) else sigma
    if x.device.type != "cpu":
        return lambda z, out: out.copy_(value(z))
    if isinstance(sigma, Activation) and sigma.arrays is not None:
        return sigma.arrays[0]
    return lambda z, out: np.copyto(out, value(torch.from_numpy(z)).numpy())


def _writing(f: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> Callable[..., object]:
    """f(y, θ, out) for the arrays of the recursions."""
    if x.device.type != "cpu":
        return lambda y, theta, out: out.copy_(f(y, theta))
    return lambda y, theta, out: np.copyto(out, f(torch.from_numpy(y), torch.from_numpy(theta)).numpy())
