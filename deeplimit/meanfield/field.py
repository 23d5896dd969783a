"""The velocity field v(t, x) = σ(w(t) x + b(t)) that moves the signals, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deeplimit import activation as activations
from deeplimit.activation import Activation

# A number or an array, or a function of time that returns one.
Weight = Any


def array(name: str, value: Any) -> np.ndarray:
    """Finite numbers as float64; TypeError or ValueError otherwise."""
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}") from error
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    return found


def function(name: str, value: Any, method: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function of arrays; TypeError otherwise, also for a distribution, whose `method` is to be given."""
    if not callable(value) or hasattr(value, method):
        raise TypeError(
            f"{name} must be a function of an array, got {type(value).__name__}: of a distribution of scipy.stats give "
            f"its {method}"
        )
    return value


def at(name: str, weight: Weight, t: float) -> np.ndarray:
    """A weight at time t; one that is not a function is constant."""
    return array(name, weight(t) if callable(weight) else weight)


def sigma(activation: str | Activation, derivative: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """σ, or its first or second derivative, as a function of an array."""
    chosen = activations.get(activation)
    if chosen.arrays is not None:
        return chosen.arrays[derivative]
    return _through_torch((chosen.value, chosen.first, chosen.second)[derivative])


def _through_torch(function: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    def on_array(z: np.ndarray) -> np.ndarray:
        return function(torch.from_numpy(np.ascontiguousarray(z))).numpy().reshape(np.shape(z))

    return on_array
