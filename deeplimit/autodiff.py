"""E(u) = (data term) + |u|² with derivatives by automatic differentiation, where a data term has none written by hand.

The tape costs several times the time and memory of sweeps written by hand, which small networks can afford. Loading
this module sets the number of compute threads, as `threads` says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from deeplimit import threads

threads.use(threads.wanted())


class Point:
    """E at one u for a data term that torch can differentiate twice; the tape is kept for Hessian products."""

    def __init__(self, data_loss: Callable[[Tensor], Tensor], u: np.ndarray) -> None:
        self._u = torch.tensor(u, dtype=torch.float64, requires_grad=True)
        self._data = data_loss(self._u)

    @property
    def data_loss(self) -> float:
        """The data term alone."""
        return float(self._data.detach())

    @property
    def value(self) -> float:
        """E(u)."""
        return self.data_loss + float((self._u.detach() ** 2).sum())

    @cached_property
    def _slope(self) -> Tensor:
        return torch.autograd.grad(self._data, self._u, create_graph=True)[0]

    @property
    def gradient(self) -> np.ndarray:
        """∂E/∂u = 2u + (data term)."""
        return np.asarray(2 * self._u.detach() + self._slope.detach())

    def product(self, v: np.ndarray) -> np.ndarray:
        """Hessian times v = 2v + (data term)."""
        direction = torch.as_tensor(v)
        return np.asarray(2 * direction + torch.autograd.grad(self._slope, self._u, direction, retain_graph=True)[0])
