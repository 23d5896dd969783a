"""Densely connected networks: a layer sees all layers before it, through kernels on the triangle j < i.

X_i = x + (1/n) Σ_{j<i} σ(K_ij X_j + b_ij),  i = 1 … n,  z = W X_n + c,
E_n = w Σ_s L(h(z_s), y_s) + Σ_{θ ∈ {K, b}} α_θ R_n(θ) + α_W |W|² + α_c |c|²,
R_n(θ) = Σ |θ_{i+1,j} − θ_ij|² + Σ |θ_{i,j+1} − θ_ij|² + (τ/n²) Σ |θ_ij|²,

all sums over the pairs j < i. R_n stands for ∬_{s<t} |∂_tθ|² + |∂_sθ|² + τ |θ|² at θ_ij = θ(i/n, j/n): two difference
quotients give n², the cells 1/n², so that no power of n is left. A value at one corner in place of τ∬|θ|² would not do,
since functions in H¹ of the triangle have no values at points; they have traces on the lines t = const, which is all
that the states need. Kernels that do not depend on i are residual networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from deeplimit import checks, optimise
from deeplimit.autodiff import Point
from deeplimit.control import BLOCKS, DEEP, Layers, Weights
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem

Array = np.ndarray
Flow = Callable[[Tensor, Tensor, Tensor], Tensor]
PAIRS = "n(n + 1)/2 rows, one for each pair j < i"


def pairs(depth: int) -> tuple[Array, Array]:
    """The pairs j < i ≤ n, row by row: (1, 0), (2, 0), (2, 1), (3, 0), … as arrays i and j."""
    row, column = np.tril_indices(checks.whole("depth", depth, least=1))
    return row + 1, column


def nodes(depth: int) -> tuple[Array, Array]:
    """The points (t, s) = (i/n, j/n) of the pairs."""
    i, j = pairs(depth)
    return i / depth, j / depth


def depth_of(count: int) -> int:
    """n for n(n + 1)/2 pairs.

    Raises
    ------
    ValueError
        If that is no number of pairs.
    """
    depth = (math.isqrt(8 * count + 1) - 1) // 2
    if depth < 1 or depth * (depth + 1) // 2 != count:
        raise ValueError(f"kernels have {PAIRS}, got {count}")
    return depth


@dataclass(frozen=True, eq=False)
class Kernels:
    """The weights of a dense network: K (N, d, d) and b (N, d) in the order of `pairs`, W (m, d), c (m,).

    Raises
    ------
    ValueError
        If the shapes do not fit together or N is not n(n + 1)/2.
    """

    K: Tensor
    b: Tensor
    W: Tensor
    c: Tensor

    def __post_init__(self) -> None:
        for name, dims in zip(BLOCKS, (3, 2, 2, 1), strict=True):
            value = getattr(self, name)
            tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
            if tensor.dim() != dims:
                raise ValueError(f"{name} must have {dims} dimensions, got shape {tuple(tensor.shape)}")
            object.__setattr__(self, name, tensor.detach().to(torch.float64))
        (count, d), m = self.K.shape[:2], len(self.c)
        wanted = {"K": (count, d, d), "b": (count, d), "W": (m, d), "c": (m,)}
        for name, shape in wanted.items():
            if (got := tuple(getattr(self, name).shape)) != shape:
                raise ValueError(f"{name} must have shape {shape}, got {got}")
        depth_of(count)

    @property
    def depth(self) -> int:
        """n."""
        return depth_of(len(self.K))

    @classmethod
    def repeat(cls, layers: Layers) -> Kernels:
        """K_ij = K_j, b_ij = b_j: a residual network as a dense one."""
        _, j = pairs(layers.depth)
        return cls(layers.K[j], layers.b[j], layers.W, layers.c)

    def refine(self) -> Kernels:
        """Twice the depth, each pair with the value of the coarse pair whose square it lies in."""
        i, j = pairs(2 * self.depth)
        i, j = (i + 1) // 2, j // 2
        coarse = i * (i - 1) // 2 + j
        return Kernels(self.K[coarse], self.b[coarse], self.W, self.c)


def states(x: Tensor, K: Tensor, b: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
    """X_0 … X_n, shape (n + 1, S, d), from the inputs x (S, d) and kernels in the order of `pairs`."""
    depth, X = depth_of(len(K)), [x]
    for i in range(depth):
        row = slice(i * (i + 1) // 2, (i + 1) * (i + 2) // 2)
        Z = torch.stack(X) @ K[row].mT + b[row].unsqueeze(1)
        X.append(x + sigma(Z).sum(0) / depth)
    return torch.stack(X)


def l2(a: Kernels, b: Kernels) -> float:
    """(n⁻² Σ_{j<i} |K_ij − K'_ij|² + |b_ij − b'_ij|²)^½ for networks of one depth."""
    squares = sum(float(((getattr(a, k) - getattr(b, k)) ** 2).sum()) for k in DEEP)
    return math.sqrt(squares) / a.depth


def stiffness(depth: int, tau: float) -> sparse.csr_array:
    """A with θᵀ A θ = R_n(θ), one row per pair."""
    i, j = pairs(depth)
    number = np.zeros((depth + 2, depth + 1), dtype=int)
    number[i, j] = np.arange(len(i))
    down, right = i < depth, j + 1 < i
    first = np.concatenate([number[i, j][down], number[i, j][right]])
    second = np.concatenate([number[i + 1, j][down], number[i, j + 1][right]])
    edges, ones = np.arange(len(first)), np.ones(len(first))
    ends = [sparse.csr_array((ones, (edges, end)), shape=(len(edges), len(i))) for end in (first, second)]
    difference = ends[1] - ends[0]
    return sparse.csr_array(difference.T @ difference + tau / depth**2 * sparse.eye_array(len(i)))


class Energy:
    """E(u) = w Σ_s L(h(W X_s(1) + c), y_s) + |u|² for kernels α^(−½) T u at the points of a flow.

    Parameters
    ----------
    problem
        All four blocks trained; τ weighs the L² norm of a kernel.
    matrices
        For K and b the A with θᵀ A θ the regulariser of coefficients θ; `factors` are the R with Rᵀ R = A.
    values
        The matrix (points, rows) that takes coefficients to kernels at the points; None for the identity.
    flow
        Inputs x, K and b at the points ↦ last states (S, d), twice differentiable.
    """

    def __init__(self, problem: Problem, matrices: Mapping[str, Array], values: Tensor | None, flow: Flow) -> None:
        if problem.trainable != BLOCKS or problem.dropped:
            got = f"trainable = {problem.trainable!r}, dropped: {', '.join(problem.dropped) or 'nothing'}"
            raise ValueError(f"dense networks train all blocks {BLOCKS} with positive alpha and tau, got {got}")
        self.problem, self.flow = problem, flow
        self.factors = {k: torch.as_tensor(np.linalg.cholesky(A).T.copy()) for k, A in matrices.items()}
        eye = torch.eye(len(matrices["K"]), dtype=torch.float64)
        self._inverse = {k: torch.linalg.solve_triangular(R, eye, upper=True) for k, R in self.factors.items()}
        self._synthesis = self._inverse if values is None else {k: values @ T for k, T in self._inverse.items()}
        rows = {k: (len(eye),) if k in DEEP else () for k in BLOCKS}
        self._shapes = {k: (*rows[k], *problem.metric.shape(k)) for k in BLOCKS}

    def _weights(self, u: Tensor, maps: Mapping[str, Tensor]) -> Weights:
        parts = zip(BLOCKS, torch.split(u, [math.prod(self._shapes[k]) for k in BLOCKS]), strict=True)
        blocks = {k: part.reshape(self._shapes[k]) / math.sqrt(self.problem.alpha[k]) for k, part in parts}
        return Weights(*(torch.tensordot(maps[k], v, dims=1) if k in DEEP else v for k, v in blocks.items()))

    def coefficients(self, u: Array) -> Weights:
        """The coefficients of the kernels, and the output layer."""
        return self._weights(torch.as_tensor(u), self._inverse)

    def vector(self, coefficients: Weights) -> Array:
        """The inverse of `coefficients`."""
        blocks = zip(BLOCKS, coefficients, strict=True)
        rows = {k: torch.tensordot(self.factors[k], v, dims=1) if k in DEEP else v for k, v in blocks}
        return torch.cat([(v * math.sqrt(self.problem.alpha[k])).reshape(-1) for k, v in rows.items()]).numpy()

    def data_loss(self, u: Tensor) -> Tensor:
        """w Σ_s L(h(z_s), y_s)."""
        K, b, W, c = self._weights(u, self._synthesis)
        z = self.flow(self.problem.data.x, K, b) @ W.T + c
        return self.problem.weight * self.problem.loss.value(z, self.problem.y).sum()

    def __call__(self, u: Array) -> Point:
        """The objective at u, ready for value, gradient and Hessian products."""
        return Point(self.data_loss, u)


def energy(problem: Problem, depth: int) -> Energy:
    """E_n in coordinates in which the regulariser is |u|²; time and memory of the factors grow like n⁶ and n⁴."""
    matrices = {k: stiffness(depth, problem.tau.get(k, 0.0)).toarray() for k in DEEP}
    return Energy(problem, matrices, None, lambda x, K, b: states(x, K, b, problem.activation.value)[-1])


def check(problem: Problem, kernels: Kernels) -> None:
    """TypeError unless these are kernels, ValueError unless they fit the problem."""
    checks.kind("kernels", kernels, Kernels)
    if kernels.W.shape != problem.metric.shape("W"):
        raise ValueError(f"kernels must fit W of shape {problem.metric.shape('W')}, got {tuple(kernels.W.shape)}")


def objective(problem: Problem, kernels: Kernels) -> float:
    """E_n at given kernels.

    Raises
    ------
    ValueError
        If the kernels do not fit the problem.
    """
    check(problem, kernels)
    z = states(problem.data.x, kernels.K, kernels.b, problem.activation.value)[-1] @ kernels.W.T + kernels.c
    regulariser = problem.alpha["W"] * float((kernels.W**2).sum()) + problem.alpha["c"] * float((kernels.c**2).sum())
    for k in DEEP:
        theta = getattr(kernels, k).reshape(len(kernels.K), -1).numpy()
        regulariser += problem.alpha[k] * float(np.sum(theta * (stiffness(kernels.depth, problem.tau[k]) @ theta)))
    return problem.weight * float(problem.loss.value(z, problem.y).sum()) + regulariser


def minimise(
    problem: Problem, depth: int, *, start: Kernels | None = None, seed: int = 0, tol: float = 1e-10
) -> Minimum:
    """A certified local minimiser of E_n.

    Parameters
    ----------
    start
        Kernels of this depth, or of half of it, which are refined; by default those of the random draw of `seed`,
        linear in s and constant in t.

    Raises
    ------
    ValueError
        If the start has another depth or does not fit the problem, or a block is not trained or an α or τ is zero.
    """
    near = start is not None
    kernels = Kernels.repeat(problem.metric.draw(seed).sample(depth)) if start is None else start
    check(problem, kernels)
    kernels = kernels.refine() if 2 * kernels.depth == depth else kernels
    if kernels.depth != depth:
        raise ValueError(f"a start has the depth {depth} or half of it, got {kernels.depth}")
    E = energy(problem, depth)
    u = E.vector(Weights(kernels.K, kernels.b, kernels.W, kernels.c))
    minimum, _ = optimise.local_minimum(E, u, lambda v: Kernels(*E.coefficients(v)), tol=tol, near=near)
    return minimum if near else replace(minimum, seed=seed)
