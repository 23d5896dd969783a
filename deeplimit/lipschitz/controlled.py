"""Controlled ODEs dX = Σ_j V_j(t, X₋; θ) du_j, u_j of bounded variation: bounds of X and its derivatives in θ.

Where a u_j jumps, X jumps by V_j(X₋) Δu_j: a layer. Where it is absolutely continuous, X flows. A residual network is
u(t) = ⌊nt⌋/n, its limit u(t) = t, and both may stand in one network. With κ = |du| and sup-bounds of the derivatives
of V over the states reached, for a direction dθ of length 1 the bounds D, H, T of |dX|, |d²X|, |d³X| obey

    d D = (V_x D + V_θ) κ,
    d H = (V_x H + V_θθ + 2 V_xθ D + V_xx D²) κ,
    d T = (V_x T + V_θθθ + 3 V_xθθ D + 3 V_xxθ D² + V_xxx D³ + 3 (V_xθ + V_xx D) H) κ,

exactly so at a jump, with the values before it, and by Gronwall's inequality on a continuous piece. Derived here; the
setting is that of Herrera, Krach and Teichmann (arXiv:2004.13135), the constants are not theirs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.lipschitz.bounds import require, state_growth
from deeplimit.lipschitz.region import checked_radius

LARGEST_EXPONENT = math.log(sys.float_info.max)

Bound = float | Tensor  # one for all samples, or one each, (S,)


@dataclass(frozen=True, eq=False)
class Derivatives:
    """Upper bounds of the derivatives of a field V(x; θ) in the state x and in the parameters θ."""

    x: Bound = 0.0
    theta: Bound = 0.0
    xx: Bound = 0.0
    x_theta: Bound = 0.0
    theta_theta: Bound = 0.0
    xxx: Bound = 0.0
    xx_theta: Bound = 0.0
    x_theta_theta: Bound = 0.0
    theta_theta_theta: Bound = 0.0


@dataclass(frozen=True, eq=False)
class Field:
    """What is known of a field V(x; θ) for all parameters of a region.

    Parameters
    ----------
    start, growth, most
        |V(x)| ≤ min(start + growth |x|, most).
    derivatives
        β (S,) ↦ bounds of its derivatives where |x| ≤ β.
    """

    start: float
    growth: float
    most: float
    derivatives: Callable[[Tensor], Derivatives]


def layer(
    activation: Activation, B: float, b: float, width: int, *, reach: tuple[float, float] = (1.0, 1.0), order: int = 2
) -> Field:
    """V(x) = σ(A x + b) where ‖A‖₂ ≤ B and |b| ≤ `b`.

    With r = `reach`, |dA| ≤ r_A |u| and |db| ≤ r_b |v| for two orthogonal parts u and v of dθ, so that
    |dA x + db| ≤ √(r_A² |x|² + r_b²) |dθ|.

    Raises
    ------
    ValueError, TypeError
        For an activation whose derivative of order − 1 is not Lipschitz, and a radius or reach that is infinite or
        negative.
    """
    require(activation, order)
    for name, value in (("B", B), ("b", b), ("reach", reach[0]), ("reach", reach[1])):
        checked_radius(name, value)
    L, L2 = activation.lipschitz, activation.lipschitz_derivative if order > 1 else 0.0
    L3 = activation.lipschitz_second if order > 2 else 0.0
    at_zero, most = state_growth(activation, width)
    reach_A, reach_b = reach

    def derivatives(beta: Tensor) -> Derivatives:
        z_theta = torch.hypot(reach_A * beta, torch.full_like(beta, reach_b))  # of A x + b; its x_theta is reach_A
        return Derivatives(
            x=L * B,
            theta=L * z_theta,
            xx=L2 * B**2,
            x_theta=L2 * B * z_theta + L * reach_A,
            theta_theta=L2 * z_theta**2,
            xxx=L3 * B**3,
            xx_theta=L3 * B**2 * z_theta + 2 * L2 * B * reach_A,
            x_theta_theta=L3 * B * z_theta**2 + 2 * L2 * z_theta * reach_A,
            theta_theta_theta=L3 * z_theta**3,
        )

    return Field(at_zero + L * b, L * B, most, derivatives)


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the path: fields V_j and the variations of their u_j, which all jump at once or are all continuous.

    Raises
    ------
    ValueError
        For a variation that is negative or not finite, and not one for each field.
    """

    fields: tuple[Field, ...]
    variations: tuple[float, ...]
    jump: bool

    def __post_init__(self) -> None:
        if len(self.fields) != len(self.variations):
            raise ValueError(f"{len(self.fields)} fields want as many variations, got {len(self.variations)}")
        for value in self.variations:
            if checks.number("a variation", value) < 0:
                raise ValueError(f"a variation must not be negative, got {value}")

    def total(self, beta: Tensor) -> Derivatives:
        """Σ_j κ_j V_j over the states within β."""
        parts = [(k, field.derivatives(beta)) for k, field in zip(self.variations, self.fields, strict=True)]
        names = [field.name for field in fields(Derivatives)]
        return Derivatives(**{name: sum(k * getattr(part, name) for k, part in parts) for name in names})

    def state(self, beta: Tensor) -> Tensor:
        """β⁺ = β + Σ_j κ_j (start + growth β) at a jump, at most e^{Σ κ growth} (β + Σ κ start) along a flow.

        In either case at most β + Σ κ most. ValueError where the exponential overflows.
        """
        pairs = list(zip(self.variations, self.fields, strict=True))
        start, growth = sum(k * field.start for k, field in pairs), sum(k * field.growth for k, field in pairs)
        if not self.jump and growth > LARGEST_EXPONENT:
            raise ValueError(f"the bound e^{growth:g} of a flow overflows; choose smaller radii or variations")
        linear = beta + start + growth * beta if self.jump else math.exp(growth) * (beta + start)
        return torch.minimum(linear, beta + sum(k * field.most for k, field in pairs if k > 0))


def jump(field: Field, variation: float) -> Piece:
    """X⁺ = X + V(X) Δu, |Δu| = variation."""
    return Piece((field,), (variation,), jump=True)


def flow(field: Field, variation: float, cells: int = 64) -> list[Piece]:
    """dX = V(X) du with u continuous; more cells make the bound sharper, with an error of order 1/cells."""
    count = checks.whole("cells", cells, least=1)
    return [Piece((field,), (variation / count,), jump=False)] * count


@dataclass(frozen=True, eq=False)
class PathBounds:
    """Upper bounds at the end of the path, one per sample, (S,).

    Attributes
    ----------
    state
        |X(1)|.
    first, second, third
        Of ∂X(1)/∂θ, and its next two derivatives: Lipschitz constants of θ ↦ X(1), of its Jacobian and of its second
        derivative.
    """

    state: Tensor
    first: Tensor
    second: Tensor
    third: Tensor


def bound(
    pieces: Iterable[Piece], start: Tensor, *, centre: Sequence[Tensor] | None = None, radius: float = 0.0
) -> PathBounds:
    """Bounds at the end of a path that starts at states of norms `start` (S,) that do not depend on θ.

    Parameters
    ----------
    centre, radius
        The norms of the states after each piece at the middle of a ball of parameters and its radius: there a state is
        at most that plus the radius times D.
    """
    beta = start
    D, H, T = (torch.zeros_like(start) for _ in range(3))
    for i, piece in enumerate(pieces):
        after = piece.state(beta)
        V = piece.total(beta if piece.jump else torch.maximum(beta, after))
        D_next = _advance(piece, V.x, D, V.theta)
        D_here = D if piece.jump else D_next  # what a source sees of D on the piece, the most that it can be
        H_next = _advance(piece, V.x, H, V.theta_theta + 2 * V.x_theta * D_here + V.xx * D_here**2)
        H_here = H if piece.jump else H_next
        sources = V.theta_theta_theta + 3 * V.x_theta_theta * D_here + 3 * V.xx_theta * D_here**2 + V.xxx * D_here**3
        T = _advance(piece, V.x, T, sources + 3 * (V.x_theta + V.xx * D_here) * H_here)
        D, H, beta = D_next, H_next, after
        if centre is not None:
            beta = torch.minimum(beta, centre[i] + radius * D)
    return PathBounds(beta, D, H, T)


def _advance(piece: Piece, rate: Bound, value: Tensor, source: Bound) -> Tensor:
    """(1 + rate) value + source at a jump, e^rate (value + source) along a flow."""
    if piece.jump:
        return (1 + rate) * value + source
    return torch.exp(torch.as_tensor(rate, dtype=torch.float64)) * (value + source)


def exponential(field: Field, variation: float, start: Tensor) -> PathBounds:
    """Bounds by the total variation κ alone, whatever part of it jumps; never below those of `bound`.

    |X| ≤ β, the smaller of e^{κ growth} (|x| + κ start) and |x| + κ most, and with the derivatives of V over |x| ≤ β

        D = V_θ κ e^{V_x κ},   H = (V_θθ + 2 V_xθ D + V_xx D²) κ e^{V_x κ},   and T likewise.
    """
    return bound(flow(_everywhere(field, variation, start), variation, cells=1), start)


def _everywhere(field: Field, variation: float, start: Tensor) -> Field:
    """The field with the bounds of its derivatives that hold along the whole path."""
    constant = field.derivatives(Piece((field,), (variation,), jump=False).state(start))
    return replace(field, derivatives=lambda _: constant)
