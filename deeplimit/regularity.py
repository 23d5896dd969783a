"""How smooth minimisers are in depth: difference quotients, natural boundary conditions, Hamiltonian, invariant.

Where the gradient of E_n vanishes, with h = 1/n, Q_i = Σ_s q_{s,i} X_{s,i}ᵀ for K and Σ_s q_{s,i} for b,

    n² (θ_{i+1} − 2θ_i + θ_{i−1}) = Q_i/2α,   n (θ_1 − θ_0) − τθ_0 = h Q_0/2α,   n (θ_{n−1} − θ_{n−2}) = −h Q_{n−1}/2α,

exactly. In the limit θ'' = Q/2α, with as many further bounded derivatives as σ' has: θ'' jumps where an argument of
relu changes its sign. The Hamiltonian, constant along a minimiser of E_∞, drifts at first order along one of E_n. All
of this is derived here from the definitions; Θ is (K, b) jointly, and blocks that are not trained drop out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.integrate import cumulative_simpson
from torch import Tensor

from deeplimit import checks, network, pontryagin
from deeplimit.control import DEEP, Curve, Layers
from deeplimit.minimum import Minimum
from deeplimit.norms import joint
from deeplimit.problem import Problem
from deeplimit.sweep import EULER, Flow

CELLS = 1024  # of the grid on which suprema and the drift of the limit are formed


@dataclass(frozen=True, eq=False)
class Jet:
    """What state and costate say of a minimiser of E_∞ at the times t (T,).

    Attributes
    ----------
    second, third : (T, d² + d)
        Θ'' and Θ''', K first; the third is NaN for a σ with kinks.
    hamiltonian : (T,)
    drift : (T,)
        D'(t), see `jet`; NaN for a σ with kinks.
    """

    t: Tensor
    second: Tensor
    third: Tensor
    hamiltonian: Tensor
    drift: Tensor


def _per_entry(problem: Problem, values: Mapping[str, float]) -> Tensor:
    """The number of each block at each entry of (K, b), (d² + d,); zero where the block is not trained."""
    d = problem.width
    K, b = (values[k] if k in problem.trainable else 0.0 for k in DEEP)
    return torch.tensor([K] * d**2 + [b] * d, dtype=torch.float64)


def _half_over_alpha(problem: Problem) -> Tensor:
    """1/2α at each entry of (K, b), zero where the block is not trained."""
    if zero := [k for k in DEEP if k in problem.trainable and problem.alpha[k] == 0]:
        raise ValueError(f"{zero[0]} has no second derivative to predict, because its alpha is zero")
    return _per_entry(problem, {k: 0.5 / problem.alpha[k] for k in DEEP if k in problem.trainable})


def _moments(q: Tensor, X: Tensor) -> Tensor:
    """Q = (Σ_s q_s X_sᵀ, Σ_s q_s) at each depth: twice (T, S, d) to (T, d² + d)."""
    return joint(q.mT @ X, q.sum(1))


def quotient(layers: Layers, order: int) -> Tensor:
    """n^k Δᵏ Θ, the k-th difference quotients of K and b, shape (n − k, d² + d).

    Raises
    ------
    ValueError
        If there are not k + 1 layers.
    """
    checks.kind("layers", layers, Layers)
    if layers.depth <= checks.whole("order", order, least=0):
        raise ValueError(f"differences of order {order} need {order + 1} layers, got {layers.depth}")
    return layers.depth**order * torch.diff(joint(layers.K, layers.b), n=order, dim=0)


def boundary(problem: Problem, layers: Layers) -> tuple[Tensor, Tensor]:
    """n (Θ_1 − Θ_0) − τΘ_0 and n (Θ_{n−1} − Θ_{n−2}), each (d² + d,); K'(0) = τK(0) and K'(1) = 0 in the limit."""
    slopes = quotient(layers, 1)
    problem.metric.check_shapes(layers)
    return slopes[0] - _per_entry(problem, problem.tau) * joint(layers.K[0], layers.b[0]), slopes[-1]


def hamiltonian(problem: Problem, layers: Layers) -> Tensor:
    """H_i = Σ_s p_{s,i+1} · σ(K_i X_{s,i} + b_i) − Σ_θ α_θ |n (θ_{i+1} − θ_i)|², shape (n,), with θ_n := θ_{n−1}.

    At any weights the mean over i is ∂E_n/∂T at T = 1, where the interval of length T has steps T/n.
    """
    p, _ = network.costates(problem, layers)
    velocity = layers.depth * torch.diff(network.states(problem, layers), dim=0)
    running = quotient(layers, 1) ** 2 @ _per_entry(problem, problem.alpha)
    return (p[1:] * velocity).sum((1, 2)) - torch.cat([running, running.new_zeros(1)])


def curvature(problem: Problem, layers: Layers) -> Tensor:
    """Q_i / 2α, shape (n, d² + d): what n² (Θ_{i+1} − 2Θ_i + Θ_{i−1}) is where the gradient of E_n vanishes.

    Raises
    ------
    ValueError
        If the weights do not fit the problem, or a trained K or b has α = 0.
    """
    _, q = network.costates(problem, layers)
    return _moments(q, network.states(problem, layers)[:-1]) * _half_over_alpha(problem)


def invariant(problem: Problem, layers: Layers, seed: int = 0) -> float:
    """max over i, s of |p_{s,i+1} · dX_{s,i+1} − p_{s,i} · dX_{s,i}| / (max_i |p_{s,i}| max_i |dX_{s,i}|).

    The tangents dX_{i+1} = dX_i + (1/n) σ'(K_i X_i + b_i) ∘ K_i dX_i start at normal numbers of the given seed. The
    pairing is constant at any weights, and what is left is rounding.
    """
    generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
    start = torch.randn(problem.data.x.shape, generator=generator, dtype=torch.float64)
    p, _ = network.costates(problem, layers)
    X, flow = network.states(problem, layers)[:-1], Flow(EULER, layers.depth)
    D = flow.slopes(problem.activation, X @ layers.K.mT + layers.b[:, None])
    dX, _ = flow.tangent(D, layers.K, torch.zeros_like(X), start)
    size = torch.linalg.vector_norm(p, dim=2).amax(0) * torch.linalg.vector_norm(dX, dim=2).amax(0)
    change = torch.diff((p * dX).sum(2), dim=0).abs().amax(0)
    return float((change / size.clamp(min=torch.finfo(size.dtype).tiny)).max())


def jet(problem: Problem, curve: Curve, t: Any) -> Jet:
    """Θ'' = Q/2α and what follows from it along a minimiser of E_∞, by state and costate of `pontryagin.trajectory`.

    With Z = KX + b, Z' = K'X + Kσ(Z) + b', q = σ'(Z) ∘ p and q' = σ''(Z) ∘ Z' ∘ p − σ'(Z) ∘ Kᵀq,

        2α_K K'' = Σ_s q_s X_sᵀ,   2α_K K''' = Σ_s q_s' X_sᵀ + q_s σ(Z_s)ᵀ,
        2α_b b'' = Σ_s q_s,        2α_b b''' = Σ_s q_s'.

    Along a minimiser of E_n the Hamiltonian drifts: H_i − H_0 = −D(t_i)/n + O(n⁻²), D(0) = 0,

        D' = Σ_θ α_θ |θ''|² + Σ_s q_s · K'σ(Z_s) + ½ Σ_s p_s · (σ''(Z_s) ∘ Z_s' ∘ Z_s').

    Raises
    ------
    ValueError
        If the curve does not fit the problem, the times do not increase in [0, 1], or a trained K or b has α = 0.
    """
    path = pontryagin.trajectory(problem, curve, t)
    X, p = path.X, path.costate
    (K, b), (dK, db) = curve.at(path.t), curve.derivative(path.t)
    Z = X @ K.mT + b[:, None]
    speed, slope = problem.activation.value(Z), problem.activation.first(Z)
    q, factor = slope * p, _half_over_alpha(problem)
    second = _moments(q, X) * factor
    if not problem.activation.smooth:
        nothing = torch.full_like(second, math.nan)
        return Jet(path.t, second, nothing, path.hamiltonian, nothing[:, 0])
    dZ = X @ dK.mT + speed @ K.mT + db[:, None]
    bend = problem.activation.second(Z) * dZ * p
    dq = bend - slope * (q @ K)
    third = (_moments(dq, X) + joint(q.mT @ speed, torch.zeros_like(b))) * factor
    mixed = q * (speed @ dK.mT) + 0.5 * bend * dZ
    drift = second**2 @ _per_entry(problem, problem.alpha) + mixed.sum((1, 2))
    return Jet(path.t, second, third, path.hamiltonian, drift)


@lru_cache(maxsize=16)  # one limit serves every depth of a sweep
def _on_grid(problem: Problem, curve: Curve, cells: int) -> Jet:
    return jet(problem, curve, np.arange(cells + 1) / cells)


def smoothness(problem: Problem, net: Minimum) -> dict[str, float]:
    """How smooth a minimiser of E_n is in depth, without its limit.

    - second_sup, third_sup = max_i |n^k Δᵏ Θ| and second_l2, third_l2 = (h Σ_i |n^k Δᵏ Θ|²)^½ for k = 2, 3;
    - boundary_start, boundary_end: norms of the two of `boundary`;
    - hamiltonian_mean, hamiltonian_spread = max − min: of `hamiltonian`;
    - identity_error: how far the second quotients, and n times the boundary terms, are from `curvature`;
    - second_error = max_i |r_i| and third_error = max_i n |r_{i+1} − r_i|, r_i = n ∂E_n/∂Θ_i / 2α: what the solver
      leaves in the quotients;
    - invariant: that of `invariant`.

    Raises
    ------
    ValueError
        If the network has fewer than four layers, or a trained K or b has α = 0.
    """
    layers, n = net.control, net.control.depth
    second, third = quotient(layers, 2), quotient(layers, 3)
    start, end = boundary(problem, layers)
    H = hamiltonian(problem, layers)
    g = network.gradient(problem, layers)
    left = n * joint(g.K, g.b) * _half_over_alpha(problem)
    identity = torch.cat([n * start[None], second, -n * end[None]]) - curvature(problem, layers)
    return {
        "second_sup": _sup(second),
        "second_l2": _l2(second, n),
        "third_sup": _sup(third),
        "third_l2": _l2(third, n),
        "boundary_start": float(start.norm()),
        "boundary_end": float(end.norm()),
        "hamiltonian_mean": float(H.mean()),
        "hamiltonian_spread": float(H.max() - H.min()),
        "identity_error": _sup(identity),
        "second_error": _sup(left),
        "third_error": n * _sup(torch.diff(left, dim=0)),
        "invariant": invariant(problem, layers),
    }


def against_limit(problem: Problem, net: Minimum, limit: Minimum) -> dict[str, float]:
    """How far that is from the minimiser Θ* of E_∞, on a grid of about a thousand cells; for a smooth σ.

    - second_gap = max_i |n² Δ²Θ| − sup|Θ*''|, third_gap = max_i |n³ Δ³Θ| − sup|Θ*'''|, and the suprema;
    - curvature_error = max_i |n² (Θ_{i+1} − 2Θ_i + Θ_{i−1}) − Θ*''(t_i)|;
    - predicted_start = |Θ*''(0)|/n and predicted_end = |Θ*''(1)|/n, of the boundary terms;
    - hamiltonian_limit, the mean over t, hamiltonian_gap = hamiltonian_mean − that, and hamiltonian_drift = max − min
      of the limit; predicted_spread = (max D − min D)/n, of the Hamiltonian of the network.
    """
    layers, n = net.control, net.control.depth
    problem.metric.check_shapes(layers)
    stride = max(1, CELLS // n)
    exact = _on_grid(problem, limit.control, stride * n)
    second, third = quotient(layers, 2), quotient(layers, 3)
    drift = cumulative_simpson(exact.drift.numpy(), dx=1 / (stride * n), initial=0.0)
    return {
        "second_limit": _sup(exact.second),
        "second_gap": _sup(second) - _sup(exact.second),
        "third_limit": _sup(exact.third),
        "third_gap": _sup(third) - _sup(exact.third),
        "curvature_error": _sup(second - exact.second[::stride][1:-2]),
        "predicted_start": float(exact.second[0].norm()) / n,
        "predicted_end": float(exact.second[-1].norm()) / n,
        "hamiltonian_gap": float(hamiltonian(problem, layers).mean() - exact.hamiltonian.mean()),
        "hamiltonian_limit": float(exact.hamiltonian.mean()),
        "hamiltonian_drift": float(exact.hamiltonian.max() - exact.hamiltonian.min()),
        "predicted_spread": float(np.ptp(drift)) / n,
    }


def _sup(rows: Tensor) -> float:
    """max_i |row_i|."""
    return float(torch.linalg.vector_norm(rows, dim=1).max())


def _l2(rows: Tensor, depth: int) -> float:
    """(h Σ_i |row_i|²)^½."""
    return float(torch.linalg.vector_norm(rows)) / math.sqrt(depth)
