"""The limit of densely connected networks: a Volterra equation with kernels on the triangle s < t, and its minimisers.

X(t) = x + ∫_0^t σ(K(t, s) X(s) + b(t, s)) ds,  z = W X(1) + c,
E_∞ = w Σ_s L(h(z_s), y_s) + Σ_{θ ∈ {K, b}} α_θ R(θ) + α_W |W|² + α_c |c|²,  R(θ) = ∬_{s<t} |∂_tθ|² + |∂_sθ|² + τ |θ|².

Kernels are polynomials in coordinates in which R is |u|²; states are found by collocation. The data act on the kernels
of a minimiser as a boundary source on the side t = 1, which leaves a singularity r² log r at the corner (1, 0): the
error falls like a power of the degree, not exponentially.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.polynomial.legendre import legvander
from torch import Tensor

from deeplimit import checks, dense, optimise
from deeplimit.activation import Activation
from deeplimit.control import DEEP, Weights
from deeplimit.dense import Energy, Kernels
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.triangle import Polynomials, gauss

DEGREES = (12, 16, 20)
EXTRA_NODES = 12  # of the states beyond the degree of the kernels
MAX_PICARD = 200
SETTLED = 4e-16

Array = np.ndarray
Kernel = Callable[[Array, Array], Array]
Pair = tuple[Tensor, Tensor]


def _solve(J: Tensor, v: Tensor) -> Tensor:
    """J⁻¹ v for each sample: J (S, N·d, N·d), v (N, S, d)."""
    N, S, d = v.shape
    return torch.linalg.solve(J, v.transpose(0, 1).reshape(S, N * d, 1)).reshape(S, N, d).transpose(0, 1)


class Collocation:
    """The Volterra equation at N Chebyshev points t, its integrals over [0, t_k] by N Gauss points s_kq.

    Attributes
    ----------
    t, s
        Shapes (N,) and (N, N). Kernels are given at the points (t_k, s_kq), in this order.
    """

    def __init__(self, nodes: int) -> None:
        checks.whole("nodes", nodes, least=2)
        self.t = (1 - np.cos(np.pi * np.arange(nodes) / (nodes - 1))) / 2
        r, w = gauss(nodes)
        self.s = np.outer(self.t, r)
        self.points = np.broadcast_to(self.t[:, None], self.s.shape).ravel(), self.s.ravel()
        self._w = torch.as_tensor(np.outer(self.t, w))
        to_nodes, to_points = (legvander(2 * t - 1, nodes - 1) for t in (self.t, self.s))
        self._interpolation = torch.as_tensor(to_points @ np.linalg.inv(to_nodes))

    def _layout(self, K: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return K.reshape(*self.s.shape, *K.shape[1:]), b.reshape(*self.s.shape, 1, -1)

    def _argument(self, X: Tensor, K: Tensor, b: Tensor) -> Tensor:
        """K X + b at the points, shape (N, N, S, d)."""
        return torch.tensordot(self._interpolation, X, dims=1) @ K.mT + b

    def _integral(self, X: Tensor, K: Tensor, b: Tensor, sigma: Activation) -> Tensor:
        return torch.einsum("iq,iqsd->isd", self._w, sigma.value(self._argument(X, K, b)))

    def jacobian(self, X: Tensor, K: Tensor, b: Tensor, sigma: Activation) -> Tensor:
        """The derivative of X − ∫ σ(K X + b) with respect to X at the nodes, shape (S, N·d, N·d)."""
        K, b = self._layout(K, b)
        slope = sigma.first(self._argument(X, K, b))
        J = -torch.einsum("iq,iqsd,iqde,iqm->sidme", self._w, slope, K, self._interpolation)
        size = X.shape[0] * X.shape[2]
        return J.reshape(-1, size, size) + torch.eye(size, dtype=J.dtype)

    def states(self, x: Tensor, K: Tensor, b: Tensor, sigma: Activation) -> Tensor:
        """X at the nodes, shape (N, S, d); NaN if Picard's iteration does not settle. Twice differentiable in K, b."""
        with torch.no_grad():
            J = self.jacobian(X := self._picard(x, *self._layout(K, b), sigma), K, b, sigma)
        # Newton steps with a constant J: k of them carry the first k derivatives in K and b.
        K, b = self._layout(K, b)
        for _ in range(2):
            X = X - _solve(J, X - x - self._integral(X, K, b, sigma))
        return X

    def _picard(self, x: Tensor, K: Tensor, b: Tensor, sigma: Activation) -> Tensor:
        X, before = x.expand(len(self.t), *x.shape), torch.inf
        for _ in range(MAX_PICARD):
            X, last = x + self._integral(X, K, b, sigma), X
            change = float((X - last).abs().max())
            # the changes fall like Lᵏ/k! until rounding keeps them up
            if change <= SETTLED * float(X.abs().max()) or (change < 1e-12 and change >= before):
                return X
            before = change
        return X * torch.nan


def solve(x: Tensor, K: Kernel, b: Kernel, sigma: Activation, nodes: int = 32) -> Tensor:
    """X(1), shape (S, d), for kernels given as functions of arrays t and s with values (…, d, d) and (…, d)."""
    grid = Collocation(nodes)
    return grid.states(x, torch.as_tensor(K(*grid.points)), torch.as_tensor(b(*grid.points)), sigma)[-1]


def forward_constant(x: Tensor, K: Kernel, b: Kernel, sigma: Activation, nodes: int = 32) -> Tensor:
    """e(1) in X_n = X(1) + e(1)/n + O(n⁻²), shape (S, d).

    The left rectangle rule errs by half the difference of the integrand F(t, s) = σ(K X(s) + b) at its ends:
    e(t) = ∫_0^t D_xF(t, s) e(s) ds − ½ (F(t, t) − F(t, 0)).
    """
    grid = Collocation(nodes)
    at_points, at_ends = ((torch.as_tensor(K(*p)), torch.as_tensor(b(*p))) for p in (grid.points, _ends(grid)))
    return _corrector(grid, x, at_points, at_ends, sigma)[-1]


def _ends(grid: Collocation) -> tuple[Array, Array]:
    """The points (t, t), then (t, 0)."""
    return np.concatenate([grid.t, grid.t]), np.concatenate([grid.t, 0 * grid.t])


def _corrector(grid: Collocation, x: Tensor, at_points: Pair, at_ends: Pair, sigma: Activation) -> Tensor:
    """e at the nodes, shape (N, S, d)."""
    X = grid.states(x, *at_points, sigma)
    K, b = at_ends
    F = sigma.value(torch.cat([X, x.expand_as(X)]) @ K.mT + b.unsqueeze(1))
    diagonal, left = F[: len(X)], F[len(X) :]
    return _solve(grid.jacobian(X, *at_points, sigma), (left - diagonal) / 2)


@dataclass(frozen=True, eq=False)
class Surface:
    """The weights of the limit: coefficients K (size, d, d), b (size, d) of `Polynomials(degree)`, W (m, d), c (m,)."""

    degree: int
    K: Tensor
    b: Tensor
    W: Tensor
    c: Tensor

    @property
    def weights(self) -> Weights:
        """The four blocks."""
        return Weights(self.K, self.b, self.W, self.c)

    def at(self, t: Array, s: Array) -> tuple[Tensor, Tensor]:
        """K (k, d, d) and b (k, d) at points t, s (k,) of the triangle."""
        values = torch.as_tensor(Polynomials(self.degree).values(t, s))
        return torch.tensordot(values, self.K, dims=1), torch.tensordot(values, self.b, dims=1)

    def sample(self, depth: int) -> Kernels:
        """The dense network with the values at its nodes."""
        return Kernels(*self.at(*dense.nodes(depth)), self.W, self.c)

    def l2(self, other: Surface) -> float:
        """The distance of the kernels (K, b) in L² of the triangle, in which the basis is orthonormal."""
        degree = max(self.degree, other.degree)
        a, b = self.raised(degree), other.raised(degree)
        return math.hypot(float(torch.linalg.vector_norm(a.K - b.K)), float(torch.linalg.vector_norm(a.b - b.b)))

    def raised(self, degree: int) -> Surface:
        """The same in a larger basis."""
        zeros = Polynomials(degree).size - len(self.K)
        K, b = (torch.cat([v, v.new_zeros(zeros, *v.shape[1:])]) for v in (self.K, self.b))
        return Surface(degree, K, b, self.W, self.c)

    @classmethod
    def fit(cls, kernels: Kernels, degree: int) -> Surface:
        """Least squares at the nodes of a network."""
        values = torch.as_tensor(Polynomials(degree).values(*dense.nodes(kernels.depth)))
        K, b = (
            torch.linalg.lstsq(values, v.reshape(len(v), -1), driver="gelsd").solution.reshape(-1, *v.shape[1:])
            for v in (kernels.K, kernels.b)
        )
        return cls(degree, K, b, kernels.W, kernels.c)


def _energy(problem: Problem, degree: int) -> Energy:
    """E_∞ over polynomials of one degree, in coordinates in which the regulariser is |u|²."""
    basis, grid = Polynomials(degree), Collocation(degree + EXTRA_NODES)
    values = torch.as_tensor(basis.values(*grid.points))
    matrices = {k: basis.gram(problem.tau.get(k, 0.0)) for k in DEEP}
    return Energy(problem, matrices, values, lambda x, K, b: grid.states(x, K, b, problem.activation)[-1])


def branch(problem: Problem, start: Kernels, *, degrees: Sequence[int] = DEGREES, tol: float = 1e-10) -> list[Minimum]:
    """Certified local minimisers of E_∞ near a trained network, one per degree, each the start of the next.

    Returns
    -------
    list of Minimum
        From the second on `error_bar` and `distance_bound` contain the difference to the one before, in value and in u.
    """
    dense.check(problem, start)
    surface, minima = Surface.fit(start, min(degrees[0], max(1, start.depth // 4))), list[Minimum]()
    for degree in degrees:
        E = _energy(problem, degree)
        u = E.vector(surface.raised(degree).weights)
        control = partial(_surface, E, degree)
        minimum, _ = optimise.local_minimum(E, u, control, tol=tol, near=True)
        surface = minimum.control
        minima.append(_with_resolution_error(minimum, minima[-1], E.vector(surface.weights) - u) if minima else minimum)
    return minima


def _surface(energy: Energy, degree: int, u: Array) -> Surface:
    return Surface(degree, *energy.coefficients(u))


def _with_resolution_error(fine: Minimum, coarse: Minimum, change: Array) -> Minimum:
    return replace(
        fine,
        error_bar=fine.error_bar + abs(fine.value - coarse.value),
        distance_bound=fine.distance_bound + float(np.linalg.norm(change)),
    )


def value_constant(problem: Problem, surface: Surface) -> float:
    """e₁ in min E_n = min E_∞ + e₁/n + o(1/n), from the minimiser of E_∞ alone.

    The data term contributes w Σ_s ∇L(z_s) · W e_s(1). The sums of R_n are rectangle rules over slightly too few or too
    many cells; with θ on the sides s = t, s = 0 and t = 1 they contribute, for each of K and b, α times

    ∫_0^1 −|∇θ|²(t, t) + ½ |∂_tθ|²(t, 0) + ½ |∂_sθ|²(1, t) + ½ τ (|θ|²(1, t) + |θ|²(t, 0) − |θ|²(t, t)) dt.

    In a residual network the boundary condition at t = 1 makes the regulariser's part vanish; here it does not. As
    ∂_νθ = 0 on s = t and s = 0, variations enter by tangential derivatives alone, which integrate by parts to values on
    the sides and at the corners: these are bounded in discrete H¹ up to √log n, so that o(1/n) is O(log n / n²).
    """
    grid, metric = Collocation(surface.degree + EXTRA_NODES), problem.metric
    at_points, at_ends = (surface.at(*p) for p in (grid.points, _ends(grid)))
    x, sigma = problem.data.x, problem.activation
    e = _corrector(grid, x, at_points, at_ends, sigma)[-1]
    z = grid.states(x, *at_points, sigma)[-1] @ surface.W.T + surface.c
    data = problem.weight * float((problem.loss.gradient(z, problem.y) * (e @ surface.W.T)).sum())
    return data + sum(metric.alpha[k] * _regulariser_constant(surface, k, metric.tau[k]) for k in DEEP)


def _regulariser_constant(surface: Surface, block: str, tau: float) -> float:
    t, w = gauss(surface.degree + 1)
    basis, theta = Polynomials(surface.degree), getattr(surface, block).reshape(len(surface.K), -1).numpy()

    def squares(t: Array, s: Array) -> Array:
        """|∂_tθ|², |∂_sθ|² and |θ|² integrated along a side."""
        return np.array([w @ ((M @ theta) ** 2).sum(1) for M in (*basis.gradients(t, s), basis.values(t, s))])

    diagonal, left, end = squares(t, t), squares(t, 0 * t), squares(1 + 0 * t, t)
    return float(-diagonal[0] - diagonal[1] + (left[0] + end[1]) / 2 + tau * (end[2] + left[2] - diagonal[2]) / 2)
