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

import numpy as np
import torch
from scipy.integrate import DOP853
from torch import Tensor


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
        h = self.step
        return slopes * (h if isinstance(h, float) else torch.as_tensor(h, device=slopes.device)[:, None, None])

    @property
    def stages(self) -> int:
        """The number T of weights in depth that the flow asks for."""
        return self._count * self.tableau.stages

    def forward(self, x: Tensor, K: Tensor, b: Tensor, sigma: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """States and arguments of σ along the flow.

        Parameters
        ----------
        x : (S, d);  K : (T, d, d);  b : (T, d)

        Returns
        -------
        Y : (T + 1, S, d), the stage inputs, Y[k·s] = X(t_k), Y[T] = X(1);  Z : (T, S, d), Z_i = K_i Y_i + b_i
        """
        Y = x.new_empty(self.stages + 1, *x.shape)
        Z = torch.empty_like(Y[:-1])
        Y[0] = x
        states, slopes = Y.unbind(), _Slopes(self, Y)
        steps = np.broadcast_to(self.step, self.stages).tolist()
        for i, (Zi, KT, bi) in enumerate(zip(Z.unbind(), K.mT.unbind(), b.unbind(), strict=True)):
            torch.addmm(bi, states[i], KT, out=Zi)
            if self.tableau.stages == 1:
                torch.add(states[i], sigma(Zi), alpha=steps[i], out=states[i + 1])
            else:
                slopes.slot(i).copy_(sigma(Zi))
                slopes.advance(i, steps[i])
        return Y, Z

    def tangent(self, D: Tensor, K: Tensor, source: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tangent states (dY, dZ), dY_0 = start or 0: dZ_i = K_i dY_i + source_i, slopes D_i ∘ dZ_i, D = h σ'(Z)."""
        dY = source.new_empty(self.stages + 1, *source.shape[1:])
        dZ = torch.empty_like(source)
        dY[0] = 0 if start is None else start
        states, slopes = dY.unbind(), _Slopes(self, dY)
        for i, (dZi, KT, Di, si) in enumerate(
            zip(dZ.unbind(), K.mT.unbind(), D.unbind(), source.unbind(), strict=True)
        ):
            torch.addmm(si, states[i], KT, out=dZi)
            if self.tableau.stages == 1:
                torch.addcmul(states[i], Di, dZi, out=states[i + 1])
            else:
                torch.mul(Di, dZi, out=slopes.slot(i))
                slopes.advance(i)
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
        if self.tableau.stages == 1:
            return self._adjoint_euler(D, K, costate, sources)
        s, points = self.tableau.stages, costate.numel()
        rows = torch.as_tensor(self.tableau.rows(), device=D.device)
        q, lam = torch.empty_like(D), torch.empty_like(D)
        # costates of the targets of the stages: μ_1 … μ_{s−1}, then that of the end of the step
        targets = D.new_empty(s, *D.shape[1:])
        below = [(targets.view(s, points)[j:].T, rows[j:, j].contiguous(), targets[j - 1]) for j in range(s)]
        end, first = targets[s - 1], torch.empty_like(costate)
        end.copy_(costate)
        layers = list(zip(q.unbind(), lam.unbind(), D.unbind(), K.unbind(), strict=True))
        e, f = (source.unbind() for source in sources) if sources is not None else ((), ())
        for i in range(self.stages - 1, -1, -1):
            j = i % s
            (qi, li, Di, Ki), (later, row, mu) = layers[i], below[j]
            torch.mv(later, row, out=li.view(points))
            mu = mu if j > 0 else first
            if sources is None:
                torch.mul(Di, li, out=qi)
                torch.mm(qi, Ki, out=mu)
            else:
                torch.addcmul(e[i], Di, li, out=qi)
                torch.addmm(f[i], qi, Ki, out=mu)
            if j == 0:
                end.add_(first)
                if s > 1:
                    end.add_(targets[:-1].sum(0))
        return q, lam, end.clone()

    def _adjoint_euler(
        self, D: Tensor, K: Tensor, costate: Tensor, sources: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        q = torch.empty_like(D)
        P = D.new_empty(self.stages + 1, *costate.shape)
        P[-1] = costate
        costates, layers = P.unbind(), list(zip(q.unbind(), D.unbind(), K.unbind(), strict=True))
        if sources is None:
            for i in range(self.stages - 1, -1, -1):
                qi, Di, Ki = layers[i]
                torch.mul(Di, costates[i + 1], out=qi)
                torch.addmm(costates[i + 1], qi, Ki, out=costates[i])
        else:
            e, f = (source.unbind() for source in sources)
            for i in range(self.stages - 1, -1, -1):
                qi, Di, Ki = layers[i]
                torch.addcmul(e[i], Di, costates[i + 1], out=qi)
                torch.addmm(f[i], qi, Ki, out=costates[i]).add_(costates[i + 1])
        return q, P[1:], P[0]


class _Slopes:
    """The slopes of the current step, and the next stage input X + h Σ_l r_{jl} F_l from them."""

    def __init__(self, flow: Flow, Y: Tensor) -> None:
        s = flow.tableau.stages
        rows = torch.as_tensor(flow.tableau.rows(), device=Y.device)
        slopes = Y.new_empty(s, Y[0].numel())
        self.slots = [(slopes[j].view(Y.shape[1:]), slopes[: j + 1].T, rows[j, : j + 1].contiguous()) for j in range(s)]
        self.states = Y.view(len(Y), -1).unbind()

    def slot(self, i: int) -> Tensor:
        """Where the slope of stage i goes, shape (S, d)."""
        return self.slots[i % len(self.slots)][0]

    def advance(self, i: int, step: float = 1.0) -> None:
        """Write the input of stage i + 1, or the end of the step."""
        s = len(self.slots)
        _, slopes, row = self.slots[i % s]
        torch.addmv(self.states[i - i % s], slopes, row, alpha=step, out=self.states[i + 1])
