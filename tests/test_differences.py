"""Differences: the truth is mpmath, closed forms, and jumps that are planted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor

from deeplimit import differences

Z = torch.linspace(-2, 2, 41, dtype=torch.float64)
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Any], Any], float]] = {
    "exp": (torch.exp, mpmath.exp, 8.0),
    "sin 40z": (lambda z: torch.sin(40 * z), lambda z: mpmath.sin(40 * z), 80.0),
    "1/(1 + 2500z²)": (lambda z: 1 / (1 + 2500 * z**2), lambda z: 1 / (1 + 2500 * z**2), 35.0),
    "√(z² + 1e-8)": (lambda z: torch.sqrt(z**2 + 1e-8), lambda z: mpmath.sqrt(z**2 + mpmath.mpf("1e-8")), 4.0),
}


@pytest.mark.parametrize(("f", "exact", "size"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_a_derivative_is_within_its_bound(
    f: Callable[[Tensor], Tensor], exact: Callable[[Any], Any], size: float
) -> None:
    """That of mpmath, in 50 digits; the steps suit functions that vary slowly, quickly, and here and there."""
    with mpmath.workdps(50):
        truth = torch.tensor([float(mpmath.diff(exact, mpmath.mpf(float(z)))) for z in Z], dtype=torch.float64)
    found, error = differences.derivative(lambda t: f(Z + t[:, None]), torch.tensor(size))
    assert ((found - truth).abs() <= error).all()
    assert error.median() < 1e-10 * size and error.max() < 1e-6


def test_a_bound_is_that_of_rounding_alone_where_the_series_is_finite() -> None:
    """Differences of order 8 leave nothing out of z⁸; the coarsest step is taken, 2⁻⁴."""
    found, error = differences.derivative(lambda t: (Z + t[:, None]) ** 8, torch.tensor(256.0))
    assert ((found - 8 * Z**7).abs() <= error).all()
    unit = 2 * (4 / 5 + 1 / 5 + 4 / 105 + 1 / 280) * 16 * 2.0**-52 * 256 * 2**4
    torch.testing.assert_close(error, torch.full_like(Z, 8 * unit))


def test_entries_of_any_shape_have_steps_of_their_own() -> None:
    """A kink near one entry leaves the other one alone."""
    start = torch.tensor([[1e-5, 1.0]], dtype=torch.float64)
    found, error = differences.derivative(lambda t: (start + t[:, None, None]).abs(), torch.ones(1, 2))
    assert found.shape == error.shape == (1, 2)
    assert (found - 1).abs().max() < 1e-9 and error[0, 0] > 1000 * error[0, 1]


def test_the_worst_place_is_that_beyond_its_error() -> None:
    """What is within the error, or 1e-9 of the number, is none; what is no number is worst."""
    wanted = torch.tensor([1.0, 100.0, 1.0], dtype=torch.float64)
    given, error = wanted + torch.tensor([0.5, 5e-8, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    assert differences.worst(given, wanted, error) is None
    assert differences.worst(given, wanted, error / 4) == 0
    assert differences.worst(given + torch.tensor([0.0, 1e-6, 0.0]), wanted, error) == 1
    assert differences.worst(given + torch.tensor([0.0, 0.0, math.nan]), wanted, error / 4) == 2


@pytest.mark.parametrize("place", [0.0, 1 / 3, 1.0, 1.999, -2.0, -math.sqrt(2)])
@pytest.mark.parametrize("height", [1.0, -1e-3])
def test_a_jump_is_found_where_it_is(place: float, height: float) -> None:
    """One thousandth of a function that varies by itself is enough."""
    ends = torch.linspace(-2, 2, 401, dtype=torch.float64)
    left, right = differences.jumps(lambda z: torch.sin(3 * z) + height * (z > place), ends[:-1], ends[1:])
    assert len(left) == 1 and left[0] <= place <= right[0] and right[0] - left[0] < 1e-8


SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "constant": torch.ones_like,
    "zero": torch.zeros_like,
    "a kink": torch.abs,
    "a root": lambda z: torch.sqrt(z.abs()),
    "steep": lambda z: torch.tanh(1e6 * (z - 0.321)),
    "large": lambda z: 1e9 * torch.sin(z),
}


@pytest.mark.parametrize("f", SMOOTH.values(), ids=SMOOTH.keys())
def test_what_is_continuous_does_not_jump(f: Callable[[Tensor], Tensor]) -> None:
    """However steep: within a millionth, or with an infinite slope."""
    left, right = differences.jumps(f, Z[:-1], Z[1:])
    assert len(left) == len(right) == 0
