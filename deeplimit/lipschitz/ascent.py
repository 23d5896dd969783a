"""Lower bounds of ‖∂z/∂θ‖ and ‖∂²z/∂θ²‖ over a region: at random points, and by ascent from them.

Every number is the norm at one point, or a Rayleigh quotient of it, and so at most the supremum that `bounds` bounds
from above. Points come in batches, R networks at once; one input x (inputs,) a call. All derivatives are by reverse
sweeps: forward ones of torch load a part of it that is deprecated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacrev, vjp, vmap

from deeplimit.lipschitz.chain import Chain
from deeplimit.lipschitz.region import Region

STEP = 0.2  # of an ascent, relative to the length of θ at its start
FALL = 0.96  # of the step from one iteration to the next


def _output(chain: Chain, x: Tensor) -> Callable[[Tensor], Tensor]:
    """θ (P,) ↦ z (m,)."""
    return lambda theta: chain(theta, x[None])[0]


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp(min=1e-300)


def first(chain: Chain, theta: Tensor, x: Tensor) -> Tensor:
    """‖∂z/∂θ‖₂ at each row of θ (R, P), (R,)."""
    return torch.linalg.matrix_norm(vmap(jacrev(_output(chain, x)))(theta), 2)


def second(chain: Chain, theta: Tensor, x: Tensor) -> Tensor:
    """‖∂²z/∂θ²‖ at each row of θ (R, P) for one output, from all entries of the Hessian, (R,).

    Raises
    ------
    ValueError
        For a chain with several outputs, whose norm no eigenvalue problem gives; `climb_second` bounds it from below.
    """
    if chain.layers[-1].outputs != 1:
        raise ValueError(f"the norm is exact for one output alone, got {chain.layers[-1].outputs}; use climb_second")
    hessians = vmap(jacrev(jacrev(lambda point: _output(chain, x)(point)[0])))(theta)
    return torch.linalg.eigvalsh(hessians).abs().amax(1)


@dataclass(frozen=True, eq=False)
class Climb:
    """The largest norms that ascents have met, (R,), and where, (R, P)."""

    values: Tensor
    theta: Tensor

    @property
    def largest(self) -> float:
        """Over all ascents."""
        return float(self.values.max())


def _climb(region: Region, theta: Tensor, steps: int, advance: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Climb:
    """θ ← P(θ + step × unit gradient) with falling steps; `advance(θ)` gives values (R,) and gradients (R, P)."""
    best, where = torch.full_like(theta[:, 0], -torch.inf), theta
    size = STEP * theta.norm(dim=1, keepdim=True).clamp(min=1.0)
    for _ in range(steps):
        values, gradients = advance(theta)
        better = values > best
        best, where = torch.where(better, values, best), torch.where(better[:, None], theta, where)
        theta = region.project(theta + size * _unit(gradients))
        size = FALL * size
    return Climb(best, where)


def climb_first(region: Region, x: Tensor, theta: Tensor, steps: int = 100) -> Climb:
    """Ascent of ‖∂z/∂θ‖₂ over a region from points θ (R, P) of it: a lower bound of its supremum."""
    jacobian = jacrev(_output(region.chain, x))

    def norm(theta: Tensor) -> tuple[Tensor, Tensor]:
        value = torch.linalg.matrix_norm(jacobian(theta), 2)
        return value, value

    def advance(theta: Tensor) -> tuple[Tensor, Tensor]:
        gradients, values = vmap(grad(norm, has_aux=True))(theta)
        return values, gradients

    return _climb(region, theta, steps, advance)


def climb_second(region: Region, x: Tensor, theta: Tensor, steps: int = 100, seed: int = 0) -> Climb:
    """Ascent of ‖∂²z/∂θ²‖ from points θ (R, P), with one power iteration for its directions at each step.

    For unit vectors v in the parameters and e in the outputs, |∂²(e·z) v| is at most the norm. A step in θ raises it;
    then v ← ∂²(e·z) v and e ← ∂²z [v, v], random at first and scaled to unit length: for one output the power iteration
    of the Hessian.
    """
    z = _output(region.chain, x)
    outputs = region.chain.layers[-1].outputs
    generator = torch.Generator().manual_seed(seed)
    v = _unit(torch.randn(theta.shape, generator=generator, dtype=torch.float64))
    e = _unit(torch.randn(len(theta), outputs, generator=generator, dtype=torch.float64))

    def product(theta: Tensor, v: Tensor, e: Tensor) -> Tensor:
        return vjp(lambda point: vjp(z, point)[1](e)[0], theta)[1](v)[0]

    def norm(theta: Tensor, v: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        Hv = product(theta, v, e)
        return Hv.norm(), Hv

    def turn(theta: Tensor, v: Tensor) -> Tensor:
        return jacrev(lambda point: jacrev(z)(point) @ v)(theta) @ v

    def advance(theta: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal v, e
        gradients, Hv = vmap(grad(norm, has_aux=True))(theta, v, e)
        values = Hv.norm(dim=1)
        v = _unit(Hv)
        if outputs > 1:
            e = _unit(vmap(turn)(theta, v))
        return values, gradients

    return _climb(region, theta, steps, advance)
