"""Random inputs of networks and of their limits: polynomial chaos, Monte Carlo, and the loss as a random number.

Trimborn, Gerster & Visconti, Spectral methods to study the robustness of residual neural networks with infinite layers
(2020), ask how the loss of a trained network answers to perturbed inputs, without training it again. Every module is an
attribute of `deeplimit.uncertainty`, loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deeplimit.uncertainty import (
        bases,
        chaos,
        collocation,
        decay,
        fields,
        galerkin,
        germs,
        indices,
        monte_carlo,
        random_loss,
        robustness,
        sobol,
        transport,
        velocities,
    )

__all__ = [
    "bases",
    "chaos",
    "collocation",
    "decay",
    "fields",
    "galerkin",
    "germs",
    "indices",
    "monte_carlo",
    "random_loss",
    "robustness",
    "sobol",
    "transport",
    "velocities",
]


def __getattr__(name: str) -> object:
    """Load a module when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'deeplimit.uncertainty' has no attribute {name!r}")
    value = import_module(f"deeplimit.uncertainty.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
