"""Infinitely many data: the law of the signals that a residual network moves, and its transport equation.

The layers X_{k+1} = X_k + (T/L) σ(w X_k + b) move every datum by the same weights. With depth they become the flow
X' = σ(w(t) X + b(t)), and with the number of data the empirical law becomes a solution of ∂_t g + ∇·(σ(wx + b) g) = 0.
Every module is an attribute of `deeplimit.meanfield`, loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deeplimit.meanfield import (
        diffusion,
        field,
        flows,
        fokker_planck,
        grid,
        moments,
        particles,
        reconstruction,
        sensitivity,
        steady_laws,
        steady_states,
        transport,
        wasserstein,
    )

__all__ = [
    "diffusion",
    "field",
    "flows",
    "fokker_planck",
    "grid",
    "moments",
    "particles",
    "reconstruction",
    "sensitivity",
    "steady_laws",
    "steady_states",
    "transport",
    "wasserstein",
]


def __getattr__(name: str) -> object:
    """Load a module when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'deeplimit.meanfield' has no attribute {name!r}")
    value = import_module(f"deeplimit.meanfield.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
