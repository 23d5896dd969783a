"""Activations σ: ℝ → ℝ, applied componentwise, with their first two derivatives and Lipschitz constants.

The convergence theorem for the minima of E_n asks for a Lipschitz σ with σ(0) = 0; the error constants and
the regularity of minimisers ask for a Lipschitz σ' as well. Both are fields of `Activation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import exp, expm1
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from deeplimit import checks, differences

_PROBE = torch.arange(-20, 21, dtype=torch.float64) * 0.3  # where twins of σ are compared when it is made
_TWINS = ("value", "first", "second")  # what the arrays are twins of; the scalar is one of the first of them


@dataclass(frozen=True, eq=False)
class Activation:
    """A componentwise function σ with its derivatives σ', σ'' and what the theorems ask about it.

    Parameters
    ----------
    name
        The name under which it is known.
    value, first, second
        σ, σ' and σ''. Each maps a floating-point tensor to a new one of the same shape, type and device.
    lipschitz
        Lip σ = sup |σ'|, infinite if σ' is unbounded.
    lipschitz_derivative
        Lip σ' = sup |σ''|, infinite if σ'' is unbounded or σ is not C¹.
    smooth
        Whether σ is infinitely differentiable; at a kink `first` is the left slope and `second` 0.
    odd
        Whether σ(−z) = −σ(z).
    zero_at_zero
        Whether σ(0) = 0.
    smoothed
        For an activation with kinks: width ε > 0 ↦ a smooth activation within O(ε) of it, which tends to it as ε → 0.
    scalar
        σ of one number by Python's `math`, for the compiled sweeps of `kernels`; without it the forward sweep is not
        compiled.
    arrays
        σ, σ' and σ'' as functions of a NumPy array and, if it is given, the array to write to; where NumPy's are much
        quicker than torch's.
    supremum
        sup |σ|.
    lipschitz_second
        Lip σ'' = sup |σ'''|.
    least_slope
        inf σ'. Each of these three is infinite where it is not known.
    kinks
        Where σ has no derivative, for an activation that is not smooth.

    Raises
    ------
    ValueError
        If an activation with kinks has no `smoothed`, or `scalar` or `arrays` are other functions: they are compared
        at 41 places of [−6, 6], and at many more by `register`.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    first: Callable[[Tensor], Tensor]
    second: Callable[[Tensor], Tensor]
    lipschitz: float
    lipschitz_derivative: float
    smooth: bool
    odd: bool
    zero_at_zero: bool
    smoothed: Callable[[float], Activation] | None = None
    scalar: Callable[[float], float] | None = None
    arrays: tuple[Callable[..., np.ndarray], ...] | None = None
    supremum: float = math.inf
    lipschitz_second: float = math.inf
    least_slope: float = -math.inf
    kinks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.smooth and self.smoothed is None:
            raise ValueError(
                f"activation {self.name!r} is not smooth, so it needs smoothed, a smooth one for every width"
            )
        if self.arrays is not None and len(self.arrays) != 3:
            raise ValueError(f"arrays of activation {self.name!r} must be three, σ, σ' and σ'', got {len(self.arrays)}")
        _check_twins(self, _PROBE)

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __call__(self, z: Tensor) -> Tensor:
        """σ(z)."""
        return self.value(z)


def _check_twins(activation: Activation, z: Tensor) -> None:
    """`scalar` and `arrays` against value, first and second, where these are finite."""
    originals = [getattr(activation, name)(z) for name in _TWINS]
    scalar = activation.scalar and np.vectorize(activation.scalar, otypes=[float])
    for twin, functions in (("scalar", (scalar,)), ("arrays", activation.arrays or ())):
        for function, name, original in zip(functions, _TWINS, originals, strict=False):
            if function is None:
                continue
            finite = original.isfinite()
            found = _twin(activation, twin, function, z[finite])
            condition = z * (originals[1] if name == "value" else originals[2])
            place = _difference(z[finite], found, original[finite], condition[finite])
            if place is not None:
                raise ValueError(
                    f"activation {activation.name!r} has {twin} of another function than it is: at z = "
                    f"{z[finite][place]:g} it gives {found[place]:.10g}, where {name} is {original[finite][place]:.10g}"
                )


def _twin(activation: Activation, twin: str, function: Callable[..., np.ndarray], z: Tensor) -> Tensor:
    """What a twin gives, as a tensor of the shape of z."""
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(function(z.numpy().copy()), dtype=float)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(
            f"{twin} of activation {activation.name!r} must be finite for |z| ≤ {z.abs().max():g} where value, first "
            f"and second are, but it raises {type(error).__name__}: {error}"
        ) from error
    if found.shape != z.shape:
        raise ValueError(
            f"{twin} of activation {activation.name!r} must keep the shape {tuple(z.shape)}, got {found.shape}"
        )
    return torch.from_numpy(found)


def _difference(z: Tensor, twin: Tensor, original: Tensor, condition: Tensor) -> int | None:
    """Where two functions differ beyond rounding: of each number, of z, and where large numbers cancel."""
    rounding = 1e-12 * original.abs() + 1e-14 * _size(z, original) + 1e-15 * condition.abs().nan_to_num(0, 0, 0)
    beyond = ((twin - original).abs() - rounding).nan_to_num(math.inf)
    place = int(beyond.argmax())
    return None if beyond[place] <= 0 else place


def _size(z: Tensor, values: Tensor) -> Tensor:
    """At every z the largest |value| at places t with |t| ≤ |z| + 1: what numbers that cancel may have been."""
    distance, order = z.abs().sort()
    largest = values.abs().nan_to_num(0, 0, 0)[order].cummax(0).values
    return largest[torch.searchsorted(distance, z.abs() + 1, right=True) - 1]


# In all that follows s(−z) stands for 1 − s(z), s the logistic sigmoid: the difference would lose the tail.


def _tanh_first(z: Tensor) -> Tensor:
    """1 − tanh²z = 4 s(2z) s(−2z)."""
    return 4 * torch.sigmoid(2 * z) * torch.sigmoid(-2 * z)


def _tanh_second(z: Tensor) -> Tensor:
    """−2 tanh z (1 − tanh²z), where tanh z = s(2z) − s(−2z)."""
    right, left = torch.sigmoid(2 * z), torch.sigmoid(-2 * z)
    return -8 * right * left * (right - left)


def _sigmoid_first(z: Tensor) -> Tensor:
    """s(z) s(−z)."""
    return torch.sigmoid(z) * torch.sigmoid(-z)


def _sigmoid_second(z: Tensor) -> Tensor:
    """s(z) s(−z) (s(−z) − s(z))."""
    right, left = torch.sigmoid(z), torch.sigmoid(-z)
    return right * left * (left - right)


def _softplus0_value(z: Tensor) -> Tensor:
    """log(1 + eᶻ) − log 2 = −log s(−z) − log 2."""
    return -logsigmoid(-z) - math.log(2)


def _arctan_first(z: Tensor) -> Tensor:
    """1 / (1 + z²)."""
    return 1 / (1 + z**2)


def _arctan_second(z: Tensor) -> Tensor:
    """−2z / (1 + z²)²."""
    return -2 * z / (1 + z**2) ** 2


def _silu_value(z: Tensor) -> Tensor:
    """z s(z)."""
    return z * torch.sigmoid(z)


def _silu_first(z: Tensor) -> Tensor:
    """s(z) + z s(z) s(−z)."""
    return torch.sigmoid(z) * (1 + z * torch.sigmoid(-z))


def _silu_second(z: Tensor) -> Tensor:
    """s(z) s(−z) (2 + z (s(−z) − s(z)))."""
    right, left = torch.sigmoid(z), torch.sigmoid(-z)
    return right * left * (2 + z * (left - right))


def _relu_first(z: Tensor) -> Tensor:
    """1 where z > 0, else 0: of the one-sided slopes at the kink the left one."""
    return (z > 0).to(z.dtype)


def _relu_smoothed(width: float) -> Activation:
    """(z + √(z² + ε²)) / 2, above relu by ε/2 at the kink and by ε²/(4|z|) far from it."""
    return Activation(
        f"relu smoothed over {width:g}",
        partial(_hyperbola_value, width),
        partial(_hyperbola_first, width),
        partial(_hyperbola_second, width),
        lipschitz=1.0,
        lipschitz_derivative=1 / (2 * width),
        smooth=True,
        odd=False,
        zero_at_zero=False,
        lipschitz_second=0.75 * 0.8**2.5 / width**2,
        least_slope=0.0,
    )


def _hyperbola_value(width: float, z: Tensor) -> Tensor:
    """(|z| + √(z² + ε²)) / 2 for z > 0, and its conjugate form, which loses no digits, for z ≤ 0."""
    sum_ = (z.abs() + torch.hypot(z, torch.full_like(z, width))) / 2
    return torch.where(z > 0, sum_, width**2 / (4 * sum_))


def _hyperbola_first(width: float, z: Tensor) -> Tensor:
    """σ / √(z² + ε²)."""
    return _hyperbola_value(width, z) / torch.hypot(z, torch.full_like(z, width))


def _hyperbola_second(width: float, z: Tensor) -> Tensor:
    """ε² / (2 (z² + ε²)^(3/2))."""
    return width**2 / (2 * torch.hypot(z, torch.full_like(z, width)) ** 3)


def _gcu_value(z: Tensor) -> Tensor:
    """z cos z."""
    return z * torch.cos(z)


def _gcu_first(z: Tensor) -> Tensor:
    """cos z − z sin z."""
    return torch.cos(z) - z * torch.sin(z)


def _gcu_second(z: Tensor) -> Tensor:
    """−2 sin z − z cos z."""
    return -2 * torch.sin(z) - z * torch.cos(z)


def _tanh_first_array(z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """1 / cosh²z."""
    with np.errstate(over="ignore"):
        square = np.square(np.cosh(z, out), out)
    return np.divide(1.0, square, square)


def _tanh_second_array(z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """−2 tanh z / cosh²z."""
    first = _tanh_first_array(z)
    first *= -2
    return np.multiply(first, np.tanh(z, out), first if out is None else out)


# σ of one number. The exponentials are taken of numbers ≤ 0 alone, as the compiled ones of `kernels` ask for.


def _tanh_scalar(z: float) -> float:
    """(1 − e^(−2|z|)) / (1 + e^(−2|z|)), with the sign of z."""
    fall = expm1(-2.0 * abs(z))
    return math.copysign(fall / (2.0 + fall), z)


def _relu_scalar(z: float) -> float:
    """max(z, 0)."""
    return 0.0 if z < 0.0 else z


def _softplus0_scalar(z: float) -> float:
    """max(z, 0) + log(1 + e^(−|z|)) − log 2."""
    return (0.0 if z < 0.0 else z) + math.log1p(exp(-abs(z))) - math.log(2)


def _sigmoid_scalar(z: float) -> float:
    """1 / (1 + e^(−z)) for z ≥ 0, e^z / (1 + e^z) for z < 0."""
    fall = exp(-abs(z))
    return (fall if z < 0.0 else 1.0) / (1.0 + fall)


def _silu_scalar(z: float) -> float:
    """z s(z)."""
    fall = exp(-abs(z))
    return z * (fall if z < 0.0 else 1.0) / (1.0 + fall)


def _arctan_scalar(z: float) -> float:
    """arctan z."""
    return math.atan(z)


def _identity_scalar(z: float) -> float:
    """z."""
    return z


def _gcu_scalar(z: float) -> float:
    """z cos z."""
    return z * math.cos(z)


# silu' is largest where (z/2) tanh(z/2) = 1; this is that z/2, and silu' = (1 + z/2)/2 there.
_SILU_ROOT = 1.1996786402577338
_SILU_THIRD = 0.30818151579647913  # sup |silu'''|, attained near z = 1.03196

ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(
            "tanh",
            torch.tanh,
            _tanh_first,
            _tanh_second,
            lipschitz=1.0,
            lipschitz_derivative=4 / (3 * math.sqrt(3)),
            smooth=True,
            odd=True,
            zero_at_zero=True,
            scalar=_tanh_scalar,
            arrays=(np.tanh, _tanh_first_array, _tanh_second_array),
            supremum=1.0,
            lipschitz_second=2.0,
            least_slope=0.0,
        ),
        Activation(
            "relu",
            torch.relu,
            _relu_first,
            torch.zeros_like,
            lipschitz=1.0,
            lipschitz_derivative=math.inf,
            smooth=False,
            odd=False,
            zero_at_zero=True,
            smoothed=_relu_smoothed,
            scalar=_relu_scalar,
            least_slope=0.0,
            kinks=(0.0,),
        ),
        Activation(
            "softplus0",
            _softplus0_value,
            torch.sigmoid,
            _sigmoid_first,
            lipschitz=1.0,
            lipschitz_derivative=1 / 4,
            smooth=True,
            odd=False,
            zero_at_zero=True,
            scalar=_softplus0_scalar,
            lipschitz_second=1 / (6 * math.sqrt(3)),
            least_slope=0.0,
        ),
        Activation(
            "arctan",
            torch.arctan,
            _arctan_first,
            _arctan_second,
            lipschitz=1.0,
            lipschitz_derivative=3 * math.sqrt(3) / 8,
            smooth=True,
            odd=True,
            zero_at_zero=True,
            scalar=_arctan_scalar,
            supremum=math.pi / 2,
            lipschitz_second=2.0,
            least_slope=0.0,
        ),
        Activation(
            "silu",
            _silu_value,
            _silu_first,
            _silu_second,
            lipschitz=(1 + _SILU_ROOT) / 2,
            lipschitz_derivative=1 / 2,
            smooth=True,
            odd=False,
            zero_at_zero=True,
            scalar=_silu_scalar,
            lipschitz_second=_SILU_THIRD,
            least_slope=(1 - _SILU_ROOT) / 2,
        ),
        Activation(
            "identity",
            torch.clone,
            torch.ones_like,
            torch.zeros_like,
            lipschitz=1.0,
            lipschitz_derivative=0.0,
            smooth=True,
            odd=True,
            zero_at_zero=True,
            scalar=_identity_scalar,
            lipschitz_second=0.0,
            least_slope=1.0,
        ),
        Activation(
            "sigmoid",
            torch.sigmoid,
            _sigmoid_first,
            _sigmoid_second,
            lipschitz=1 / 4,
            lipschitz_derivative=1 / (6 * math.sqrt(3)),
            smooth=True,
            odd=False,
            zero_at_zero=False,
            scalar=_sigmoid_scalar,
            supremum=1.0,
            lipschitz_second=1 / 8,
            least_slope=0.0,
        ),
        Activation(
            "gcu",
            _gcu_value,
            _gcu_first,
            _gcu_second,
            lipschitz=math.inf,
            lipschitz_derivative=math.inf,
            smooth=True,
            odd=True,
            zero_at_zero=True,
            scalar=_gcu_scalar,
        ),
    )
}

BUILT_IN = tuple(ACTIVATIONS)

CHECKED = torch.cat(  # where derivatives and constants are looked at: multiples of 1/16, and 2000 irregular places
    [
        torch.arange(-96, 97, dtype=torch.float64) / 16,
        12 * (torch.arange(1, 2001, dtype=torch.float64) * (math.sqrt(5) - 1) / 2).frac() - 6,
    ]
).sort()[0]
NEAR = 2 * differences.REACH  # distance from a kink within which nothing is looked at
STEP = 2.0**-12  # between the places of σ'' that Lip σ'' is compared with
SIDE = 2.0**-20  # step of the slopes on both sides of what may be a kink
SLACK = 1e-9  # of a constant, relative
TINY = 1e-6  # jump, beside the largest value, that nobody means
WIDTHS = (0.1, 0.01)  # of `smoothed`
DISTANCE = 10.0  # from σ to a smoothed one, in widths, for a Lipschitz constant of 1
FAR = torch.tensor(  # |z| where twins are compared as well
    [6.7, 9.1, 13.3, 21.7, 36.1, 70.3, 150.7, 299.3, 371.9, 522.7, 700.0], dtype=torch.float64
)


def register(activation: Activation, *, replace: bool = False) -> Activation:
    """Make an activation known by its name, after a check of its derivatives and constants.

    On [−6, 6] σ must be continuous, its slope must jump at the kinks it names alone, and where it says that it is
    smooth, σ'' must be continuous: of 2193 places no two neighbours may have a jump between them. At these places, away
    from kinks, σ' and σ'' must be what differences of σ and of σ' give, to a relative 1e-9 or to the rounding of the
    differences, and what it says about its constants must hold. There, and at 22 places with 6 < |z| ≤ 700, `scalar`
    and `arrays` must be σ, σ' and σ'' to rounding. For the widths 0.1 and 0.01 `smoothed` must give smooth activations
    that pass all this, at most 10 × width × max(1, Lip σ) from σ, and for 0.01 at most half as far as for 0.1.

    The rounding at z is taken to be that of numbers as large as σ and zσ' are at places t with |t| ≤ |z| + 1, so that
    what cancels there, as in 1 − tanh², may have been as large.

    Not found are constants that are larger than need be, jumps below 1e-4 of the size of a function, several jumps
    between two neighbours that cancel, jumps of the third derivative, and what else is wrong only outside [−6, 6] or
    between the places. A smooth function that turns within less than 1e-5 is refused: its differences are not those of
    a smooth one.

    Parameters
    ----------
    replace
        True registers the name anew, as when a cell of a notebook runs twice; never one of the package's own.

    Returns
    -------
    Activation
        The same, so that the call can be used as an argument.

    Raises
    ------
    ValueError
        If the name is taken or no identifier; naming the derivative or constant that is wrong, where and by how much.
    TypeError
        If it is no `Activation`, or one of its functions does not give a tensor of the shape and type of its argument.
    """
    checks.kind("activation", activation, Activation)
    checks.new_name("activation", activation.name, ACTIVATIONS, BUILT_IN, replace)
    check(activation)
    ACTIVATIONS[activation.name] = activation
    return activation


def check(activation: Activation) -> None:
    """The check of `register` alone."""
    kinks = torch.tensor(activation.kinks, dtype=torch.float64)
    z = _away(torch.cat([CHECKED, kinks - 2 * NEAR, kinks + 2 * NEAR]).sort()[0], kinks, NEAR)
    for name in ("value", "first", "second"):
        found = getattr(activation, name)(z.clone())
        if not isinstance(found, Tensor) or found.shape != z.shape or found.dtype != z.dtype:
            got = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(
                f"{name} of activation {activation.name!r} must keep shape and type, here {z.dtype} of shape "
                f"{tuple(z.shape)}, got {got}"
            )
    _check_twins(activation, torch.cat([z, FAR, -FAR]))
    _check_continuity(activation, z, kinks)
    _check_derivative(activation, "first", "value", z)
    _check_derivative(activation, "second", "first", _away(z, _bends(activation, z, kinks), NEAR))
    _check_bounds(activation, z, kinks)
    for name, holds in (
        ("odd", (activation.value(-z) + activation.value(z)).abs().max() <= SLACK),
        ("zero_at_zero", activation.value(torch.zeros_like(z)).abs().max() <= SLACK),
    ):
        if getattr(activation, name) != bool(holds):
            raise ValueError(
                f"{name} of activation {activation.name!r} is {getattr(activation, name)}, but {bool(holds)} is right"
            )
    if activation.smoothed is not None:
        _check_smoothed(activation, z)


def _check_smoothed(activation: Activation, z: Tensor) -> None:
    """Smooth activations that pass the check themselves, and come as close as their widths."""
    value, distances = activation.value(z), []
    steepest = max(1.0, float(activation.first(z).abs().max()))
    for width in WIDTHS:
        name = f"smoothed of activation {activation.name!r} at width {width:g}"
        smoothed = _smoothed(activation, width, name)
        apart = (smoothed.value(z) - value).abs()
        place = int(apart.argmax())
        if apart[place] > DISTANCE * width * steepest:
            raise ValueError(
                f"{name} must be within {DISTANCE:g} × width of value, times its Lipschitz constant where that is more "
                f"than 1, but differs by {apart[place]:.6g} at z = {z[place]:g}"
            )
        distances.append(float(apart[place]))
    if distances[1] > distances[0] / 2 + SLACK * float(value.abs().max()):
        raise ValueError(
            f"smoothed of activation {activation.name!r} must tend to value as the width falls, but its distance is "
            f"{distances[0]:.6g} for a width of {WIDTHS[0]:g} and {distances[1]:.6g} for {WIDTHS[1]:g}"
        )


def _smoothed(activation: Activation, width: float, name: str) -> Activation:
    """The smoothed one, checked like any other."""
    assert activation.smoothed is not None
    try:
        smoothed: Any = activation.smoothed(width)
    except Exception as error:
        raise ValueError(f"{name} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(smoothed, Activation):
        raise TypeError(f"{name} must be an Activation, got {type(smoothed).__name__}")
    if not smoothed.smooth:
        raise ValueError(f"{name} must be smooth")
    try:
        check(replace(smoothed, smoothed=None))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    return smoothed


def _away(z: Tensor, places: Tensor, distance: float) -> Tensor:
    """Those z that are farther than that from all the places."""
    return z[((z[:, None] - places).abs() > distance).all(1)]


def _check_continuity(activation: Activation, z: Tensor, kinks: Tensor) -> None:
    """No jumps of σ, and of its slope none but at the kinks."""
    left, right = differences.jumps(activation.value, z[:-1], z[1:])
    if len(left):
        raise ValueError(
            f"value of activation {activation.name!r} must be continuous, but it {_jump(activation.value, left, right)}"
        )
    left, right = _jumps_of_slope(activation.value, activation.first, z, kinks)
    if len(left):
        raise ValueError(
            f"value of activation {activation.name!r} has a kink that kinks does not name: its slope "
            f"{_jump(activation.first, left, right)}"
        )
    if len(kinks) and (activation.smooth or math.isfinite(activation.lipschitz_derivative)):
        raise ValueError(
            f"activation {activation.name!r} has kinks, so smooth must be False and lipschitz_derivative infinite, got "
            f"{activation.smooth} and {activation.lipschitz_derivative:.6g}"
        )


def _bends(activation: Activation, z: Tensor, kinks: Tensor) -> Tensor:
    """Where σ'' jumps, other than at kinks; an error if it may not."""
    left, right = _jumps_of_slope(activation.first, activation.second, z, kinks)
    if len(left) and (activation.smooth or math.isfinite(activation.lipschitz_second)):
        name, wanted = ("smooth", "False") if activation.smooth else ("lipschitz_second", "infinite")
        raise ValueError(
            f"{name} of activation {activation.name!r} must be {wanted}, as second "
            f"{_jump(activation.second, left, right)}"
        )
    return (left + right) / 2


def _jumps_of_slope(
    f: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], z: Tensor, kinks: Tensor
) -> tuple[Tensor, Tensor]:
    """Both sides of where the slope of f jumps, by what is given as the slope and by differences of f as well."""
    left, right = z[:-1], z[1:]
    free = ~((left[:, None] < kinks) & (kinks < right[:, None])).any(1)
    left, right = differences.jumps(slope, left[free], right[free])
    before, after = left - SIDE, right + SIDE
    turn = (f(after) - f(right) - f(left) + f(before)) / SIDE
    jump = slope(after) - slope(before)
    real = (turn - jump).abs() < jump.abs() / 2
    return before[real], after[real]


def _jump(f: Callable[[Tensor], Tensor], left: Tensor, right: Tensor) -> str:
    """The largest of some jumps in words."""
    jumps = f(right) - f(left)
    place = int(jumps.abs().argmax())
    where = round(float(left[place] + right[place]) / 2, 6) + 0.0  # not -0
    tiny = jumps[place].abs() < TINY * f(CHECKED).abs().nan_to_num(0, 0, 0).max()
    remark = ", as where a formula or the precision changes (a threshold, 32-bit numbers)" if tiny else ""
    return f"jumps by {jumps[place]:.3g} at z = {where:g}{remark}"


def _check_derivative(activation: Activation, name: str, of: str, z: Tensor) -> None:
    """One derivative against differences of the function that it should be that of."""
    given, f = getattr(activation, name)(z), getattr(activation, of)
    size = _size(z, f(z).abs() + (z * given).abs())
    wanted, error = differences.derivative(lambda t: f(z + t[:, None]), size)
    if (place := differences.worst(given, wanted, error)) is not None:
        raise ValueError(
            f"{name} of activation {activation.name!r} is wrong: {given[place]:.10g} at z = {z[place]:.6g}, where "
            f"differences of {of} give {wanted[place]:.10g} ± {error[place]:.1g}"
        )


def _check_bounds(activation: Activation, z: Tensor, kinks: Tensor) -> None:
    """Each bound against what the places show."""
    third = (activation.second(z + STEP) - activation.second(z)) / STEP
    third[((z[:, None] - kinks).abs() <= 2 * STEP).any(1)] = 0
    for name, bound, values in (
        ("lipschitz", activation.lipschitz, activation.first(z).abs()),
        ("lipschitz_derivative", activation.lipschitz_derivative, activation.second(z).abs()),
        ("lipschitz_second", activation.lipschitz_second, third.abs()),
        ("supremum", activation.supremum, activation.value(z).abs()),
        ("-least_slope", -activation.least_slope, -activation.first(z)),
    ):
        place = int(values.argmax())
        if bound < values[place] - SLACK * max(1.0, abs(bound)):
            raise ValueError(
                f"{name} of activation {activation.name!r} must be at least {values[place]:.10g}, which it is at "
                f"z = {z[place]:g}, got {bound:.10g}"
            )


def get(name: str | Activation) -> Activation:
    """The activation of that name; an `Activation` is returned as it is.

    Raises
    ------
    ValueError
        If no activation has that name.
    TypeError
        If `name` is neither a string nor an `Activation`.
    """
    if isinstance(name, Activation):
        return name
    if not isinstance(name, str):
        raise TypeError(f"activation must be a name or an Activation, got {type(name).__name__}")
    checks.known("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
