"""Lower bounds of ‖∂z/∂θ‖, ‖∂²z/∂θ²‖ and ‖∂³z/∂θ³‖ over a set: at random points, and by ascent from them.

Every number is the norm at one point, or a Rayleigh quotient of it, and so at most the supremum that `bounds` bounds
from above. z(θ) may be a network at one input, an objective, the end of a path, or a flow map in its input: a function
of R points at once, each by itself. All derivatives are by reverse sweeps: forward ones of torch load a part of it that
is deprecated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from deeplimit import checks
from deeplimit.lipschitz.chain import Chain

STEP = 0.2  # of an ascent, relative to the length of θ at its start
FALL = 0.96  # of the step from one iteration to the next

Function = Callable[[Tensor], Tensor]  # θ (R, P) ↦ z (R, m)
Projection = Callable[[Tensor], Tensor]


def output(chain: Chain, x: Tensor) -> Function:
    """θ (R, P) ↦ z (R, m) of a chain at one input x (inputs,)."""
    return lambda theta: chain(theta, x[None])[..., 0, :]


def unit(v: Tensor) -> Tensor:
    """v / |v| in every row."""
    return v / v.norm(dim=-1, keepdim=True).clamp(min=1e-300)


def slope(values: Tensor, theta: Tensor, again: bool) -> Tensor:
    """The gradients in θ (R, P) of R values, each of its own row; `again` where they are differentiated themselves."""
    if not values.requires_grad:
        return torch.zeros_like(theta)
    (found,) = torch.autograd.grad(
        values.sum(), theta, create_graph=again, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return found


def _jacobian(z: Function, theta: Tensor, again: bool) -> Tensor:
    """∂z/∂θ, (R, m, P)."""
    return torch.stack([slope(row, theta, again) for row in z(theta).unbind(1)], 1)


def _turned(z: Function, theta: Tensor, v: Tensor, again: bool) -> Tensor:
    """∂²z_j v for every output j, (R, m, P)."""
    return torch.stack([slope((J * v).sum(1), theta, again) for J in _jacobian(z, theta, True).unbind(1)], 1)


def first(z: Function, theta: Tensor) -> Tensor:
    """‖∂z/∂θ‖₂ at each row of θ (R, P), (R,)."""
    return torch.linalg.matrix_norm(_jacobian(z, theta.detach().requires_grad_(), False), 2)


def second(z: Function, theta: Tensor) -> Tensor:
    """‖∂²z/∂θ²‖ at each row of θ (R, P) for one output, from all entries of the Hessian, (R,).

    Raises
    ------
    ValueError
        For several outputs, whose norm no eigenvalue problem gives; `powers` bounds it from below.
    """
    outputs = z(theta[:1]).shape[1]
    if outputs != 1:
        raise ValueError(f"the norm is exact for one output alone, got {outputs}; use powers")
    hessians = vmap(jacrev(jacrev(lambda point: z(point[None])[0, 0])))(theta)
    return torch.linalg.eigvalsh(hessians).abs().amax(1)


def _directions(theta: Tensor, outputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random unit vectors in the parameters (R, P) and in the outputs (R, m)."""
    generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))
    v = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
    return unit(v), unit(torch.randn(len(theta), outputs, generator=generator, dtype=torch.float64))


def _along(forms: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """|∂²(e·z) v| from ∂²z_j v (R, m, P), and the next v ← ∂²(e·z) v and e ← ∂²z [v, its next], of unit length."""
    Hv = torch.einsum("rj,rjp->rp", e, forms)
    ahead = unit(Hv.detach())
    return Hv.norm(dim=1), ahead, unit(torch.einsum("rjp,rp->rj", forms.detach(), ahead))


def powers(z: Function, theta: Tensor, iterations: int = 6, seed: int = 0) -> Tensor:
    """Lower bounds of ‖∂²z/∂θ²‖ at each row of θ (R, P), (R,): the largest |∂²(e·z) v| of a power iteration in v and e.

    For one output it is that of the Hessian.
    """
    point = theta.detach().requires_grad_()
    v, e = _directions(theta, z(theta[:1]).shape[1], seed)
    most = torch.zeros_like(theta[:, 0])
    for _ in range(checks.whole("iterations", iterations, least=1)):
        norms, v, e = _along(_turned(z, point, v, False), e)
        most = torch.maximum(most, norms)
    return most


def third(z: Function, theta: Tensor, iterations: int = 6, seed: int = 0) -> Tensor:
    """Lower bounds of ‖∂³z/∂θ³‖ at each row of θ (R, P) for one output, (R,): the largest |∂³z [v, v]| met.

    v ← ∂³z [v, v] of unit length, random at first: the power method of a symmetric tensor.

    Raises
    ------
    ValueError
        For several outputs.
    """
    outputs = z(theta[:1]).shape[1]
    if outputs != 1:
        raise ValueError(f"third derivatives are bounded for one output alone, got {outputs}; pass a sum of them")
    point = theta.detach().requires_grad_()
    v, most = _directions(theta, 1, seed)[0], torch.zeros_like(theta[:, 0])
    for _ in range(checks.whole("iterations", iterations, least=1)):
        along = (_turned(z, point, v, True)[:, 0] * v).sum(1)
        ahead = slope(along, point, False)
        most, v = torch.maximum(most, ahead.norm(dim=1)), unit(ahead)
    return most


@dataclass(frozen=True, eq=False)
class Climb:
    """The largest norms that ascents have met, (R,), and where, (R, P)."""

    values: Tensor
    theta: Tensor

    @property
    def largest(self) -> float:
        """Over all ascents."""
        return float(self.values.max())


def climb(value: Callable[[Tensor], Tensor], project: Projection, start: Tensor, size: Tensor, steps: int) -> Climb:
    """θ ← P(θ + step × unit gradient of a value) from R points, with steps that fall from `size` (R, 1)."""
    best, where, theta = torch.full_like(start[:, 0], -torch.inf), start, start
    for _ in range(checks.whole("steps", steps, least=1)):
        point = theta.detach().requires_grad_()
        values = value(point)
        gradients, values = slope(values, point, False), values.detach()
        better = values > best
        best, where = torch.where(better, values, best), torch.where(better[:, None], theta, where)
        theta = project(theta + size * unit(gradients))
        size = FALL * size
    return Climb(best, where)


def _size(theta: Tensor) -> Tensor:
    return STEP * theta.norm(dim=1, keepdim=True).clamp(min=1.0)


def climb_first(z: Function, project: Projection, theta: Tensor, steps: int = 100) -> Climb:
    """Ascent of ‖∂z/∂θ‖₂ over a set from points θ (R, P) of it: a lower bound of its supremum."""

    def norm(point: Tensor) -> Tensor:
        return torch.linalg.matrix_norm(_jacobian(z, point, True), 2)

    return climb(norm, project, theta, _size(theta), steps)


def climb_second(z: Function, project: Projection, theta: Tensor, steps: int = 100, seed: int = 0) -> Climb:
    """Ascent of ‖∂²z/∂θ²‖ from points θ (R, P), with one power iteration for its directions at each step.

    For unit vectors v in the parameters and e in the outputs, |∂²(e·z) v| is at most the norm. A step in θ raises it;
    then v and e turn as in `powers`, random at first.
    """
    v, e = _directions(theta, z(theta[:1]).shape[1], seed)

    def norm(point: Tensor) -> Tensor:
        nonlocal v, e
        norms, v, e = _along(_turned(z, point, v, True), e)
        return norms

    return climb(norm, project, theta, _size(theta), steps)
