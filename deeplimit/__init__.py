"""A verification suite for deep limits of residual networks.

As a residual network gets deeper, its optimal weights and its optimal value converge to those of an
optimal-control problem; this package trains both to certified optimality and compares them, each number with
its error bar. Every module is an attribute of `deeplimit`, loaded when it is first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deeplimit import (
        activation,
        autodiff,
        canonical,
        catalogue,
        changes,
        checks,
        claims,
        compare,
        continuum,
        control,
        coordinates,
        counterexample,
        data,
        dense,
        differences,
        discrete,
        energy,
        entries,
        execution,
        expansion,
        files,
        fingerprint,
        gamma,
        grids,
        horizon,
        imports,
        irregular,
        journal,
        kernels,
        ladder,
        layer,
        lines,
        lipschitz,
        lock,
        loss,
        meanfield,
        memory,
        minimum,
        network,
        norms,
        optimise,
        own,
        peers,
        plot,
        pontryagin,
        problem,
        provenance,
        ranks,
        recursion,
        regularity,
        report,
        ridge,
        rough,
        rows,
        script,
        settings,
        shooting,
        sources,
        spectrum,
        store,
        study,
        sweep,
        symmetry,
        tables,
        tape,
        threads,
        trace,
        triangle,
        uncertainty,
        variants,
        verify,
        volterra,
        workers,
    )
    from deeplimit.control import Curve, Layers
    from deeplimit.data import Data
    from deeplimit.layer import Layer
    from deeplimit.problem import Problem

try:
    __version__ = version("deeplimit")
except PackageNotFoundError:  # used from a source tree that was not installed
    __version__ = "0+unknown"

# Where each class offered here lives.
_HOME = {"Data": "data", "Problem": "problem", "Layer": "layer", "Layers": "control", "Curve": "control"}

__all__ = [
    "Curve",
    "Data",
    "Layer",
    "Layers",
    "Problem",
    "activation",
    "autodiff",
    "canonical",
    "catalogue",
    "changes",
    "checks",
    "claims",
    "compare",
    "continuum",
    "control",
    "coordinates",
    "counterexample",
    "data",
    "dense",
    "differences",
    "discrete",
    "energy",
    "entries",
    "execution",
    "expansion",
    "files",
    "fingerprint",
    "gamma",
    "grids",
    "horizon",
    "imports",
    "irregular",
    "journal",
    "kernels",
    "ladder",
    "layer",
    "lines",
    "lipschitz",
    "lock",
    "loss",
    "meanfield",
    "memory",
    "minimum",
    "network",
    "norms",
    "optimise",
    "own",
    "peers",
    "plot",
    "pontryagin",
    "problem",
    "provenance",
    "ranks",
    "recursion",
    "regularity",
    "report",
    "ridge",
    "rough",
    "rows",
    "script",
    "settings",
    "shooting",
    "sources",
    "spectrum",
    "store",
    "study",
    "sweep",
    "symmetry",
    "tables",
    "tape",
    "threads",
    "trace",
    "triangle",
    "uncertainty",
    "variants",
    "verify",
    "volterra",
    "workers",
]


def __getattr__(name: str) -> object:
    """Load a module, or the module of a class, when it is first asked for (PEP 562)."""
    if name in _HOME:
        value: object = getattr(import_module(f"deeplimit.{_HOME[name]}"), name)
    elif name in __all__:
        value = import_module(f"deeplimit.{name}")
    else:
        raise AttributeError(f"module 'deeplimit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
