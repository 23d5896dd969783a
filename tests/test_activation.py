"""Activations: the truth is mpmath's numerical differentiation, difference quotients and torch's autograd."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from torch import Tensor

from deeplimit import activation
from deeplimit.activation import ACTIVATIONS, Activation

TRUTH: dict[str, Callable[[Any], Any]] = {
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "softplus0": lambda z: mpmath.log1p(mpmath.exp(z)) - mpmath.log(2),
    "arctan": mpmath.atan,
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "gcu": lambda z: z * mpmath.cos(z),
}
SIZES = [
    1e-9,
    1e-3,
    0.1,
    0.5,
    0.6584,
    1.0,
    1.5434,
    2.3994,
    3.7,
    10.0,
    19.9,
    20.1,
    36.8,
    40.0,
    90.0,
    710.0,
    1e3,
]
POINTS = [-z for z in reversed(SIZES)] + SIZES
NAMES = list(ACTIVATIONS)
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def truth(name: str, order: int, z: float) -> float:
    """The derivative of that order, with digits enough to resolve 1 − tanh 100."""
    with mpmath.workdps(120):
        return float(mpmath.diff(TRUTH[name], mpmath.mpf(z), order) if order else TRUTH[name](mpmath.mpf(z)))


def function(sigma: Activation, order: int) -> Callable[[Tensor], Tensor]:
    return (sigma.value, sigma.first, sigma.second)[order]


def slopes(f: Callable[[Tensor], Tensor], radius: float, step: float = 1e-3) -> Tensor:
    """|f(z + step) − f(z)| / step on a grid of [−radius, radius] that has 0 in the middle of an interval."""
    z = step * (torch.arange(-round(radius / step), round(radius / step), dtype=torch.float64) + 0.5)
    return (f(z).diff() / step).abs()


def test_every_activation_has_a_truth() -> None:
    """A new activation must bring its own independent formula."""
    assert set(TRUTH) == set(ACTIVATIONS)
    assert all(sigma.name == name for name, sigma in ACTIVATIONS.items())


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives_are_those_of_the_function(name: str, order: int) -> None:
    """σ, σ', σ'' agree with the function and its numerical derivatives in 120 digits, far out as well."""
    points = POINTS if name == "relu" and order else [*POINTS, 0.0]
    wanted = tensor([truth(name, order, z) for z in points])
    got = function(ACTIVATIONS[name], order)(tensor(points))
    scale = 1 + wanted.abs() + (tensor(points).abs() if name == "gcu" else 0)  # cos z is as accurate as z
    assert ((got - wanted).abs() / scale).max() < 1e-15


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus0", "arctan"])
def test_derivatives_keep_their_relative_accuracy_where_they_are_tiny(name: str, order: int) -> None:
    """1 − tanh²z is 4 e⁻²ᶻ for large z; a formula that subtracts from 1 would return 0 beyond z = 19."""
    points = [z for z in POINTS if 1 < abs(z) <= 90]
    wanted = tensor([truth(name, order, z) for z in points])
    got = function(ACTIVATIONS[name], order)(tensor(points))
    assert ((got - wanted) / wanted).abs().max() < 1e-14


@pytest.mark.parametrize("name", NAMES)
def test_autograd_sees_the_same_derivatives(name: str) -> None:
    """Autograd is the oracle elsewhere, so it must agree: at 0, at the kink of relu and far out."""
    sigma = ACTIVATIONS[name]
    z = tensor([*POINTS, 0.0, -800.0, 800.0]).requires_grad_()
    (first,) = torch.autograd.grad(sigma.value(z).sum(), z, create_graph=True)
    torch.testing.assert_close(first, sigma.first(z), rtol=1e-14, atol=1e-15)
    assert first.isfinite().all()
    if name not in ("relu", "identity"):
        (second,) = torch.autograd.grad(first.sum(), z)
        # Autograd differentiates s as s (1 − s), and silu multiplies the rounding of that by z.
        torch.testing.assert_close(second, sigma.second(z), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", [n for n in NAMES if math.isfinite(ACTIVATIONS[n].lipschitz)])
def test_lipschitz_constant_is_the_least_one(name: str) -> None:
    """|σ(a) − σ(b)| ≤ Lip σ |a − b|, with equality for two neighbours of a grid up to its step squared."""
    steepest = slopes(ACTIVATIONS[name].value, 30.0).max().item()
    assert ACTIVATIONS[name].lipschitz == pytest.approx(steepest, rel=1e-6)
    assert steepest <= ACTIVATIONS[name].lipschitz + 1e-11


@pytest.mark.parametrize("name", [n for n in NAMES if math.isfinite(ACTIVATIONS[n].lipschitz_derivative)])
def test_lipschitz_constant_of_the_derivative_is_the_least_one(name: str) -> None:
    """|σ'(a) − σ'(b)| ≤ Lip σ' |a − b|, with equality for two neighbours up to the step squared."""
    steepest = slopes(ACTIVATIONS[name].first, 30.0).max().item()
    assert ACTIVATIONS[name].lipschitz_derivative == pytest.approx(steepest, rel=1e-6)
    assert steepest <= ACTIVATIONS[name].lipschitz_derivative + 1e-11


@pytest.mark.parametrize("name", [n for n in NAMES if math.isfinite(ACTIVATIONS[n].lipschitz_second)])
def test_lipschitz_constant_of_the_second_derivative_is_the_least_one(name: str) -> None:
    """|σ''(a) − σ''(b)| ≤ Lip σ'' |a − b|, with equality for two neighbours up to the step squared."""
    steepest = slopes(ACTIVATIONS[name].second, 30.0).max().item()
    assert ACTIVATIONS[name].lipschitz_second == pytest.approx(steepest, rel=1e-6)
    assert steepest <= ACTIVATIONS[name].lipschitz_second + 1e-11


def test_constants_of_a_smoothed_kink_are_the_least_ones() -> None:
    """Those of (z + √(z² + ε²))/2, on a grid that is fine beside ε."""
    smoothed = ACTIVATIONS["relu"].smoothed
    assert smoothed is not None
    sigma = smoothed(0.1)
    steepest = [slopes(f, 3.0, step=1e-4).max().item() for f in (sigma.first, sigma.second)]
    assert [sigma.lipschitz_derivative, sigma.lipschitz_second] == pytest.approx(steepest, rel=1e-5)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gcu"])
def test_values_and_slopes_stay_within_their_bounds(name: str) -> None:
    """sup |σ| and inf σ' are reached, or approached far out; where σ grows there is no supremum."""
    sigma, z = ACTIVATIONS[name], torch.linspace(-1e9, 1e9, 10_001, dtype=torch.float64)
    z = torch.cat([z, torch.linspace(-30, 30, 60_001, dtype=torch.float64)])
    grown = sigma.value(z).abs().max().item()
    assert (grown == pytest.approx(sigma.supremum, rel=1e-8)) if grown < 2 else sigma.supremum == math.inf
    assert sigma.least_slope == pytest.approx(sigma.first(z).min().item(), abs=1e-8)
    assert sigma.first(z).min().item() >= sigma.least_slope - 1e-15


def test_unbounded_derivatives_have_an_infinite_constant() -> None:
    """(z cos z)' and '' grow like |z|; the derivative of relu jumps by 1 over a step as small as you like."""
    gcu, relu = ACTIVATIONS["gcu"], ACTIVATIONS["relu"]
    assert gcu.lipschitz == gcu.lipschitz_derivative == relu.lipschitz_derivative == math.inf
    assert slopes(gcu.value, 300.0).max() > 290 and slopes(gcu.first, 300.0).max() > 290
    assert slopes(relu.first, 1e-3, step=1e-6).max().item() == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("name", "lipschitz", "lipschitz_derivative"),
    [("tanh", 1, 0.7698), ("sigmoid", 0.25, 0.09623), ("silu", 1.0998, 0.5), ("arctan", 1, 0.6495)],
)
def test_constants_are_the_tabulated_ones(name: str, lipschitz: float, lipschitz_derivative: float) -> None:
    """The table of recipes lists them to four digits."""
    assert ACTIVATIONS[name].lipschitz == pytest.approx(lipschitz, abs=5e-5)
    assert ACTIVATIONS[name].lipschitz_derivative == pytest.approx(lipschitz_derivative, abs=5e-5)


@pytest.mark.parametrize("name", NAMES)
def test_odd_says_whether_the_function_is_odd(name: str) -> None:
    """σ(−z) = −σ(z) exactly for the odd ones, and clearly not for the others."""
    z = tensor(SIZES)
    difference = (ACTIVATIONS[name].value(-z) + ACTIVATIONS[name].value(z)).abs()
    assert difference.max() == 0 if ACTIVATIONS[name].odd else difference.max() > 0.1


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_zero_at_zero_holds_exactly(name: str, dtype: torch.dtype) -> None:
    """σ(0) = 0 is a hypothesis of the theorem: it must hold without rounding, in every precision."""
    value = ACTIVATIONS[name].value(torch.zeros(3, dtype=dtype))
    assert ((value == 0).all().item()) is ACTIVATIONS[name].zero_at_zero
    assert ACTIVATIONS[name].zero_at_zero is (name != "sigmoid")


def test_only_relu_is_not_smooth() -> None:
    """All others are compositions of analytic functions; relu takes the left slope at its kink."""
    assert [name for name in NAMES if not ACTIVATIONS[name].smooth] == ["relu"]
    zero = tensor([0.0])
    assert ACTIVATIONS["relu"].first(zero) == 0 and ACTIVATIONS["relu"].second(zero) == 0


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_large_arguments_stay_finite_in_every_precision(name: str, order: int, dtype: torch.dtype) -> None:
    """Nothing overflows on the way to a finite result, |z| ≤ 1000; type, shape and the input are kept."""
    f = function(ACTIVATIONS[name], order)
    z = torch.linspace(-1000, 1000, 6003, dtype=torch.float64).to(dtype).reshape(3, 2001)
    before = z.clone()
    result = f(z)
    assert result.isfinite().all()
    assert result.dtype == dtype and result.shape == z.shape
    result.zero_()
    assert torch.equal(z, before)
    assert f(z[:, :0]).shape == (3, 0) and f(z[0, 0]).shape == ()


@pytest.mark.parametrize("name", NAMES)
def test_lookup_by_name_and_by_value(name: str) -> None:
    """A name finds its activation; an activation stands for itself."""
    assert activation.get(name) is ACTIVATIONS[name]
    own = dataclasses.replace(ACTIVATIONS[name], name="own")
    assert activation.get(own) is own


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """The message must let the reader correct the call."""
    known = "tanh, relu, softplus0, arctan, silu, identity, sigmoid, gcu"
    with pytest.raises(ValueError, match=f"^activation must be one of {known}, got 'swish'$"):
        activation.get("swish")


@pytest.mark.parametrize("name", ["tahn", "Tanh", "tan"])
def test_a_name_that_is_misspelt_is_answered_with_the_one_that_is_meant(name: str) -> None:
    """After the known ones."""
    with pytest.raises(ValueError, match=f"gcu, got '{name}'; did you mean 'tanh'\\?$"):
        activation.get(name)


@pytest.mark.parametrize("wrong", [None, 3, torch.tanh, ["tanh"]])
def test_other_types_are_refused(wrong: Any) -> None:
    """A bare function has no derivatives and no constants."""
    with pytest.raises(TypeError, match=r"^activation must be a name or an Activation, got "):
        activation.get(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_activations_survive_the_way_to_another_process(name: str) -> None:
    """Parallel studies pickle their problems."""
    copy = pickle.loads(pickle.dumps(ACTIVATIONS[name]))
    z = tensor(POINTS)
    assert all(torch.equal(function(copy, k)(z), function(ACTIVATIONS[name], k)(z)) for k in range(3))
    assert repr(copy) == f"Activation('{name}')"


def test_activations_cannot_be_changed() -> None:
    """They are shared by all problems of a program."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ACTIVATIONS["tanh"].lipschitz = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "twin", [{"scalar": math.tanh}, {"arrays": ACTIVATIONS["tanh"].arrays}], ids=["scalar", "arrays"]
)
def test_a_twin_of_another_function_is_refused(twin: dict[str, Any]) -> None:
    """A changed value with the twins of the old one would sweep two networks at once."""
    bare = dataclasses.replace(ACTIVATIONS["tanh"], scalar=None, arrays=None)
    dataclasses.replace(bare, **twin)
    with pytest.raises(ValueError, match=f"has {next(iter(twin))} of another function than it is"):
        dataclasses.replace(bare, value=torch.sin, **twin)


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_that_is_off_by_trillionths_is_refused(name: str) -> None:
    """All numbers are compared to rounding: the compiled network would else not be the one that is differentiated."""
    sigma = ACTIVATIONS[name]
    assert sigma.scalar is not None
    other = sigma.scalar
    with pytest.raises(ValueError, match="has scalar of another function than it is"):
        dataclasses.replace(sigma, scalar=lambda z: other(z) * (1 + 5e-12))


@pytest.mark.parametrize("place", range(3))
def test_one_of_the_arrays_that_is_off_by_trillionths_is_refused(place: int) -> None:
    """σ, σ' or σ''."""
    tanh = ACTIVATIONS["tanh"]
    assert tanh.arrays is not None
    arrays = list(tanh.arrays)
    right = arrays[place]
    arrays[place] = lambda z: right(z) * (1 + 5e-12)
    with pytest.raises(ValueError, match="has arrays of another function than it is"):
        dataclasses.replace(tanh, arrays=tuple(arrays))


def test_arrays_are_three_functions() -> None:
    """σ, σ' and σ'', all that a sweep asks for."""
    with pytest.raises(ValueError, match="must be three, σ, σ' and σ'', got 1"):
        dataclasses.replace(ACTIVATIONS["tanh"], arrays=(np.tanh,))
