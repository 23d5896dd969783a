"""Upper bounds of a chain and of its first two derivatives in the parameters, layer by layer.

All of this is derived here. Let x⁺ = a x + h σ(A x + b), B ≥ ‖A‖₂, |x| ≤ β, s² = 1 + β² (β² without bias), L = Lip σ,
L₂ = Lip σ'. For a direction dθ of length 1, of which the layers before have the share c and the layer itself √h |(dA,
db)| = e, c² + e² = 1,

    dx⁺ = a dx + h σ'(z) ∘ dz,                                  dz = dA x + db + A dx,
    d²x⁺ = a d²x + h (σ''(z) ∘ dz ∘ dz + σ'(z) ∘ (2 dA dx + A d²x)).

With |dx| ≤ D c, |d²x| ≤ H c² and |dA x + db| ≤ s |(dA, db)|, the inequality of Cauchy and Schwarz in (e, c) gives

    D⁺² = (a + h L B)² D² + h L² s²,
    H⁺ = λ_max [ L₂ s²      √h (L₂ s B D + L D)        ]
               [   ·        (a + h L B) H + h L₂ B² D² ],

the largest values of the right-hand sides: |dx⁺| ≤ D⁺ and |d²x⁺| ≤ H⁺. A symmetric bilinear map into a Hilbert space
has its norm on the diagonal, so that x⁺ is D⁺-Lipschitz in θ and its Jacobian H⁺-Lipschitz in the operator norm, on a
convex set of parameters. For the scalar linear chain both are attained at every depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.lipschitz.chain import Layer
from deeplimit.lipschitz.region import Set, checked_inputs, checked_radius


@dataclass(frozen=True, eq=False)
class Bounds:
    """Upper bounds over a region, one per input, each (S,).

    Attributes
    ----------
    state
        β ≥ |z|.
    first
        D ≥ ‖∂z/∂θ‖₂, a Lipschitz constant of θ ↦ z.
    second
        H ≥ ‖∂²z/∂θ²‖ = sup |∂²z [u, v]| over unit vectors, a Lipschitz constant of θ ↦ ∂z/∂θ; NaN if it was not asked
        for.
    """

    state: Tensor
    first: Tensor
    second: Tensor


def require(activation: Activation, order: int) -> None:
    """Raise ValueError unless σ, …, up to its derivative of the given order minus one, is Lipschitz."""
    if math.isinf(activation.lipschitz):
        raise ValueError(f"{activation.name} is not Lipschitz, so that a network of it has no bound; use a Lipschitz σ")
    if order > 1 and math.isinf(activation.lipschitz_derivative):
        without = "; the network itself has one, bound(region, x, order=1)" if order == 2 else ""
        raise ValueError(
            f"{activation.name} has no Lipschitz derivative, so that the gradient jumps in the parameters and has no "
            f"Lipschitz constant; use a smooth activation{without}"
        )
    if order > 2 and math.isinf(activation.lipschitz_second):
        raise ValueError(
            f"a Lipschitz constant of the second derivative of {activation.name} is not known, and without it there "
            "is none for the Hessian; use tanh, sigmoid, arctan, softplus0, silu or identity"
        )


def state_growth(activation: Activation, width: int) -> tuple[float, float]:
    """|σ(0)| √width, and sup |σ| √width: |σ(z)| is at most the first + L |z|, and at most the second."""
    at_zero = abs(float(activation.value(torch.zeros((), dtype=torch.float64))))
    return at_zero * math.sqrt(width), activation.supremum * math.sqrt(width)


def _state(layer: Layer, beta: Tensor, B: float, b: float) -> Tensor:
    """β⁺ = a β + h min(√width sup |σ|, √width |σ(0)| + L (B β + |b|))."""
    start, most = state_growth(layer.activation, layer.outputs)
    return layer.skip * beta + layer.step * (start + layer.activation.lipschitz * (B * beta + b)).clamp(max=most)


def largest_eigenvalue(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """That of [[p, q], [q, r]]."""
    return (p + r) / 2 + torch.hypot((p - r) / 2, q)


def _first(layer: Layer, D: Tensor, s: Tensor, B: float) -> Tensor:
    """D⁺ = √((a + h L B)² D² + h L² s²)."""
    L, h = layer.activation.lipschitz, layer.step
    return torch.hypot((layer.skip + h * L * B) * D, math.sqrt(h) * L * s)


def _second(layer: Layer, D: Tensor, H: Tensor, s: Tensor, B: float) -> Tensor:
    """H⁺, the largest eigenvalue of the form in (e, c)."""
    L, L2, h = layer.activation.lipschitz, layer.activation.lipschitz_derivative, layer.step
    mixed = math.sqrt(h) * (L2 * s * B + L) * D
    return largest_eigenvalue(L2 * s**2, mixed, (layer.skip + h * L * B) * H + h * L2 * B**2 * D**2)


def bound(region: Set, x: Tensor, order: int = 2) -> Bounds:
    """Bounds for every parameter of a region, at the inputs x (S, inputs).

    Where the set has a middle, the states are also at most those there plus D times the radius.

    Parameters
    ----------
    order
        1 for `first` alone, which relu has too, or 2.

    Raises
    ------
    ValueError, TypeError
        For an activation that has no such constant, inputs of another width than the chain's or that are not finite,
        and what is no region.
    """
    if not isinstance(region, Set):
        raise TypeError(f"region must be a Ball or Balls of the parameters of a chain, got {type(region).__name__}")
    layers = region.chain.layers
    if checks.whole("order", order, least=1) > 2:
        raise ValueError(f"order must be 1 or 2, got {order}")
    for layer in layers:
        require(layer.activation, order)
    checked_inputs(x, layers[0].inputs)
    middle, radius = region.middle or (None, 0.0)
    centre = None if middle is None else region.chain.states(middle, x)
    beta = x.norm(dim=1)
    D = torch.zeros_like(beta)
    H = torch.zeros_like(beta) if order > 1 else torch.full_like(beta, math.nan)
    for i, (layer, (B, b)) in enumerate(zip(layers, region.radii, strict=True), start=1):
        s = torch.hypot(beta, torch.full_like(beta, float(layer.bias)))
        if order > 1:
            H = _second(layer, D, H, s, B)
        D = _first(layer, D, s, B)
        beta = _state(layer, beta, B, b)
        if centre is not None:
            beta = torch.minimum(beta, centre[i].norm(dim=1) + D * radius)
    return Bounds(beta, D, H)


def residual_uniform(activation: Activation, B: float, state: float) -> tuple[float, float]:
    """D and H of z = x_n for a residual network of any depth with ‖A_i‖₂ ≤ B and |x_i| ≤ `state`, in L²(0, 1).

    D = e^{LB} L √(1 + β²),  H = e^{LB} (2 L₂ (1 + β² + B² D²) + 2 L D), from Gronwall's inequality: weaker than `bound`
    at every depth, but free of it. In the weights themselves the gradient is D/√n- and the Hessian H/n-bounded.

    Raises
    ------
    ValueError, TypeError
        For B or `state` that is infinite or negative, or so large that D or H overflows, and an activation without a
        Lipschitz derivative.
    """
    require(activation, 2)
    L, L2 = activation.lipschitz, activation.lipschitz_derivative
    checked_radius("B", B)
    if checks.number("state", state) < 0:
        raise ValueError(f"state must not be negative, got {state!r}")
    try:
        growth = math.exp(L * B)
        D = growth * L * math.hypot(1.0, state)
        H = growth * (2 * L2 * (1 + state**2 + B**2 * D**2) + 2 * L * D)
    except OverflowError:
        H = math.inf
    if math.isinf(H):
        raise ValueError(f"B = {B:g} and state = {state:g} are so large that the bound e^(LB) overflows; take smaller")
    return D, H
