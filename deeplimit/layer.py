"""A layer of one's own, X ↦ X + (1/n) f(X, θ), in place of σ(KX + b): the function, its parameters, its derivatives.

The derivatives come from torch.func. All are batched over the T layers, or stages, and the S samples of a sweep: states
Y (T, S, d) and parameters θ (T, p), flattened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor
from torch.func import jacfwd, jvp, vjp, vmap

from deeplimit import checks, differences

with catch_warnings():  # torch loads its rules of forward mode by a call that it calls deprecated
    simplefilter("ignore", DeprecationWarning)
    jvp(torch.sin, (torch.zeros(1),), (torch.zeros(1),))

PROBES = 8  # θ and x, drawn from the standard normal law, at which derivatives are checked
SEED = 0

Shape = int | tuple[int, ...]


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    return tuple(checks.whole(f"a size of {name}", size, least=1) for size in sizes)


@dataclass(frozen=True, eq=False)
class Layer:
    """What a layer adds to the state, f(x, θ) for x ∈ ℝᵈ, as a function of tensors that torch can differentiate twice.

    Parameters
    ----------
    name
        What tables call it.
    function
        f: x (d,) and the parameters of one layer ↦ (d,), made of operations of torch on one sample; `torch.func` takes
        it to many samples and layers, and differentiates it. No state, no randomness, no `.item()`.
    parameters
        The shapes of θ: a number p for a vector (p,), a mapping from names to shapes for a dictionary of tensors, or a
        list of shapes for a tuple of them. A shape is a number or a tuple of numbers.

    Raises
    ------
    TypeError, ValueError
        If the shapes are none, or there are no parameters.
    """

    name: str
    function: Callable[[Tensor, Any], Tensor]
    parameters: int | Mapping[str, Shape] | Sequence[Shape]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function of layer {self.name!r} must be callable, got {type(self.function).__name__}")
        checks.kind(f"parameters of layer {self.name!r}", self.parameters, int, Mapping, list)
        if not self._shapes:
            raise ValueError(f"layer {self.name!r} must have parameters, got none")

    def __repr__(self) -> str:
        return f"Layer({self.name!r}, parameters={self.parameters!r})"

    @cached_property
    def _shapes(self) -> dict[Any, tuple[int, ...]]:
        given = self.parameters
        if isinstance(given, int):
            return {0: _shape("parameters", given)}
        named = given if isinstance(given, Mapping) else dict(enumerate(given))
        return {name: _shape(str(name), shape) for name, shape in named.items()}

    @property
    def size(self) -> int:
        """p, the number of parameters of one layer."""
        return sum(map(math.prod, self._shapes.values()))

    def unflatten(self, theta: Tensor) -> Any:
        """θ (…, p) as `function` takes it: a tensor, a dictionary or a tuple of tensors, with the same dimensions …."""
        pieces = theta.split([math.prod(shape) for shape in self._shapes.values()], -1)
        parts = {k: v.unflatten(-1, s) for (k, s), v in zip(self._shapes.items(), pieces, strict=True)}
        if isinstance(self.parameters, int):
            return parts[0]
        return parts if isinstance(self.parameters, Mapping) else tuple(parts.values())

    def flatten(self, theta: Any) -> Tensor:
        """The inverse of `unflatten`, (…, p)."""
        parts = {0: theta} if isinstance(self.parameters, int) else theta
        parts = parts if isinstance(parts, Mapping) else dict(enumerate(parts))
        return torch.cat([parts[k].flatten(-len(shape)) for k, shape in self._shapes.items()], -1)

    def _one(self, x: Tensor, theta: Tensor) -> Tensor:
        return self.function(x, self.unflatten(theta))

    @cached_property
    def samples(self) -> Callable[[Tensor, Tensor], Tensor]:
        """f of one layer for many samples, x (S, d), θ (p,) ↦ (S, d), on a tape where they are."""
        return vmap(self._one, (0, None))

    @cached_property
    def _all(self) -> Callable[[Tensor, Tensor], Tensor]:
        return vmap(self.samples)

    def value(self, x: Tensor, theta: Tensor) -> Tensor:
        """f(x_s, θ) of one layer: x (S, d), θ (p,) ↦ (S, d)."""
        return self.samples(x, theta).detach()

    def values(self, Y: Tensor, theta: Tensor) -> Tensor:
        """f(Y, θ), (T, S, d)."""
        return self._all(Y, theta).detach()

    def jacobian(self, Y: Tensor, theta: Tensor) -> Tensor:
        """∂f/∂x at every stage and sample, (T, S, d, d)."""
        return vmap(vmap(jacfwd(self._one), (0, None)))(Y, theta).detach()

    def along(self, Y: Tensor, theta: Tensor, dY: Tensor | None, dtheta: Tensor) -> Tensor:
        """∂f/∂x dY + ∂f/∂θ dθ, (T, S, d); dY may be zero."""
        if dY is None:
            return jvp(lambda theta: self._all(Y, theta), (theta,), (dtheta,))[1].detach()
        return jvp(self._all, (Y, theta), (dY, dtheta))[1].detach()

    def pull(self, Y: Tensor, theta: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The transposes: (∂f/∂x)ᵀ q, (T, S, d), and Σ_s (∂f/∂θ)ᵀ q_s, (T, p)."""
        states, weights = vjp(self._all, Y, theta)[1](q)
        return states.detach(), weights.detach()

    def bend(self, Y: Tensor, theta: Tensor, q: Tensor, dY: Tensor, dtheta: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative of `pull` at a fixed q along (dY, dθ): the second derivatives of q · f."""
        states, weights = jvp(lambda Y, theta: vjp(self._all, Y, theta)[1](q), (Y, theta), (dY, dtheta))[1]
        return states.detach(), weights.detach()

    def check(self, width: int) -> None:
        """Whether f maps ℝᵈ to itself and its derivatives are those that differences show, at normal x and θ.

        Kinks, as those of relu or abs, are not looked for: away from them the derivatives are right.

        Raises
        ------
        ValueError, TypeError
            Naming what f gives instead, or the derivative that torch does not see: of a part that is detached, for
            example.
        """
        generator = torch.Generator().manual_seed(SEED)
        shapes = ((PROBES, PROBES, width), (PROBES, self.size)) * 2
        Y, theta, dY, dtheta = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
        try:
            found: Any = self._one(Y[0, 0], theta[0])
        except Exception as error:
            raise ValueError(f"layer {self.name!r} cannot be evaluated at x of shape ({width},): {error}") from error
        if not isinstance(found, Tensor) or found.shape != (width,) or found.dtype != torch.float64:
            got = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"layer {self.name!r} must map x of shape ({width},) to torch.float64 of it, got {got}")
        self._check_derivatives(Y, theta, dY, dtheta)

    def _check_derivatives(self, Y: Tensor, theta: Tensor, dY: Tensor, dtheta: Tensor) -> None:
        q = torch.ones_like(Y)
        try:
            f, slope = self.values(Y, theta), self.along(Y, theta, dY, dtheta)
            bend, weights = self.bend(Y, theta, q, dY, dtheta)
        except Exception as error:
            raise ValueError(f"layer {self.name!r} cannot be differentiated by torch.func: {error}") from error
        curvature = (bend * dY).sum((1, 2)) + (weights * dtheta).sum(1)

        def along(t: Tensor, f: Callable[..., Tensor], *tangents: Tensor) -> Tensor:
            """f at the states and parameters moved by t (dY, dθ), for every t."""
            moved = (start + t.reshape(-1, *[1] * start.dim()) * step for start, step in ((Y, dY), (theta, dtheta)))
            repeated = (tangent.repeat(len(t), *[1] * (tangent.dim() - 1)) for tangent in tangents)
            return f(*(each.flatten(0, 1) for each in moved), *repeated).unflatten(0, (len(t), len(Y)))

        size = 1 + f.abs().max() + slope.abs().max()
        for name, moving, given, terms in (
            ("first", lambda t: along(t, self.values), slope, 1),
            ("second", lambda t: along(t, self.along, dY, dtheta).sum((2, 3)), curvature, f[0].numel()),
        ):
            wanted, bound = differences.derivative(moving, terms * size)
            if (place := differences.worst(given, wanted, bound)) is not None:
                raise ValueError(
                    f"the {name} derivative of layer {self.name!r} by torch.func is not that of its values: it is "
                    f"{given.flatten()[place]:.10g} where differences give {wanted.flatten()[place]:.10g} ± "
                    f"{bound.flatten()[place]:.1g}; f must be twice differentiable, with nothing detached"
                )
