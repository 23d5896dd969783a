"""The recursions of `sweep` as compiled loops, for narrow networks on few points: the optional extra `speed`.

In NumPy or torch a layer of width 2 costs the calls, not the arithmetic. Here each recursion is one loop that numba
compiles at its first use and keeps on disk for later processes. The loops take and fill NumPy arrays and give the
numbers of the recursions in `sweep` to rounding.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from deeplimit import activation

VARIABLE = "DEEPLIMIT_KERNELS"
CHOICES = ("auto", "numba", "torch")

# Points times width², up to which a forward and an adjoint sweep are quicker compiled than by NumPy's matrix products:
# measured for widths 2 to 32 and 6 to 2000 points, where both cost the same at 8 000 to 15 000 for every width.
LARGEST = 10_000

# Widths up to which the loops are compiled for one width alone: two thirds of the time at 2, nine tenths at 8.
NARROW = 4

_choice: str | None = None

logger = logging.getLogger(__name__)


def use(choice: str) -> None:
    """Sweep with compiled loops ("numba"), without ("torch"), or with them where they are quicker ("auto").

    Raises
    ------
    ValueError
        If there is no such choice.
    ModuleNotFoundError
        For "numba", if it is not installed.
    """
    global _choice
    _choice = _checked("the kernels", choice)


def wanted() -> str:
    """What `use` chose, or the environment variable DEEPLIMIT_KERNELS, or "auto".

    Raises
    ------
    ValueError, ModuleNotFoundError
        As `use`, naming the variable.
    """
    return _choice or _checked(VARIABLE, os.environ.get(VARIABLE, "auto"))


def _checked(name: str, choice: str) -> str:
    if choice not in CHOICES:
        raise ValueError(f"{name} must be one of {', '.join(CHOICES)}, got {choice!r}")
    if choice == "numba" and not installed():
        raise ModuleNotFoundError(f"{name} cannot be 'numba': install the extra, pip install 'deeplimit[speed]'")
    return choice


@cache
def installed() -> bool:
    """Whether numba can be imported, found out without importing it."""
    try:
        return importlib.util.find_spec("numba") is not None
    except ImportError:  # from a finder that forbids it
        return False


def pay(points: int, width: int) -> bool:
    """Whether compiled loops sweep these shapes."""
    choice = wanted()
    return choice == "numba" or (choice == "auto" and points * width * width <= LARGEST and installed())


def forward(scalar: Callable[[float], float], width: int) -> Callable[..., None] | None:
    """The compiled forward recursion with σ = scalar: arguments as those of `_forward`; None for a σ that cannot be."""
    return _forward_with(scalar, _constant(width)) if _can(scalar) else None


@cache
def _can(scalar: Callable[[float], float]) -> bool:
    """Whether numba compiles a function of one number; a σ of the user's may be anything, and is logged if not."""
    code = getattr(scalar, "__code__", None)
    if code is None or code.co_filename == activation.__file__:
        return True
    from numba import njit

    try:
        machine: Any = njit(scalar)
        machine(0.5)
    except Exception as error:  # numba has several bases of what it cannot compile
        logger.warning("scalar of an activation is not compiled, sweeps are slower: %s", str(error).splitlines()[0])
        return False
    return True


def tangent(width: int) -> Callable[..., None]:
    """The compiled `_tangent`."""
    return _linear(_tangent, _constant(width))


def adjoint(width: int) -> Callable[..., None]:
    """The compiled `_adjoint`."""
    return _linear(_adjoint, _constant(width))


@cache
def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """A loop of another module over arrays as machine code; wants numba."""
    return _compiled(function)


def _constant(width: int) -> int:
    """The width that the loops are compiled for, 0 for any."""
    return width if width <= NARROW else 0


@cache
def _linear(function: Callable[..., None], width: int) -> Callable[..., None]:
    return _compiled(_bound(function, f"{function.__name__}-{width}", WIDTH=width))


@cache
def _forward_with(scalar: Callable[[float], float], width: int) -> Callable[..., None]:
    """`_forward` with σ compiled into it.

    The cache on disk tells functions by their names and does not see that what they call has changed. So the name has
    a digest of the file that the package's own σ are written in, and any other σ is compiled anew in every process.
    """
    from numba import njit

    if getattr(scalar, "__code__", None) is None:  # a function of Python's own, as math.sin
        builtin = scalar
        return _forward_with(lambda z: builtin(z), width)
    if scalar.__code__.co_filename != activation.__file__:
        return _compiled(_bound(_forward, sigma=njit(scalar), WIDTH=width), keep=False)
    reduced = njit(_reduced)
    exponentials: dict[str, Any] = {
        "exp": njit(_bound(_exp, _reduced=reduced)),
        "expm1": njit(_bound(_expm1, _reduced=reduced)),
    }
    digest = hashlib.sha256(Path(activation.__file__).read_bytes()).hexdigest()[:16]
    name = f"_forward-{width}-{scalar.__name__}-{digest}"
    return _compiled(_bound(_forward, name, sigma=njit(_bound(scalar, **exponentials)), WIDTH=width))


def _bound(function: Any, name: str = "", **names: Any) -> FunctionType:
    """The function with other meanings of the names it uses, under a name of its own."""
    bound = FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__)
    bound.__qualname__ = name or function.__qualname__
    return bound


def _compiled(function: Any, keep: bool = True) -> Callable[..., None]:
    """The function as machine code, kept on disk if a folder for it can be written."""
    from numba import njit

    try:
        return njit(function, cache=keep, error_model="numpy", fastmath={"contract"})
    except RuntimeError:  # no folder to keep it in
        return njit(function, error_model="numpy", fastmath={"contract"})


def sigma(z: float) -> float:
    """σ in `_forward`, which `_forward_with` replaces."""
    return math.nan


WIDTH = 0  # of the samples in the loops below, which `_bound` replaces; 0 for any


# The loops over all numbers of a layer have no branch and no call left in them, so that they are compiled for several
# numbers at once; those over samples and features are as the formulas.


def _forward(x: Any, K: Any, b: Any, h: Any, rows: Any, Y: Any, Z: Any) -> None:
    """Fill Y (T + 1, S, d) and Z (T, S, d); x (S, d), K (T, d, d), b (T, d), h (T,), rows (s, s)."""
    T, S, d = Z.shape
    d = WIDTH or d
    s, y, z = len(rows), Y.reshape(T + 1, S * d), Z.reshape(T, S * d)
    F = np.empty((s, S * d))
    Y[0] = x
    for i in range(T):
        j = i % s
        for p in range(S):
            for r in range(d):
                sum_ = b[i, r]
                for c in range(d):
                    sum_ += K[i, r, c] * Y[i, p, c]
                Z[i, p, r] = sum_
        for a in range(S * d):
            F[j, a] = sigma(z[i, a])
        y[i + 1] = y[i - j]
        for m in range(j + 1):
            weight = h[i] * rows[j, m]
            for a in range(S * d):
                y[i + 1, a] += weight * F[m, a]


def _tangent(D: Any, K: Any, source: Any, start: Any, rows: Any, dY: Any, dZ: Any) -> None:
    """Fill dY (T + 1, S, d) and dZ (T, S, d); D and source (T, S, d), start (S, d)."""
    T, S, d = D.shape
    d = WIDTH or d
    s, y, z, slope = len(rows), dY.reshape(T + 1, S * d), dZ.reshape(T, S * d), D.reshape(T, S * d)
    F = np.empty((s, S * d))
    dY[0] = start
    for i in range(T):
        j = i % s
        for p in range(S):
            for r in range(d):
                sum_ = source[i, p, r]
                for c in range(d):
                    sum_ += K[i, r, c] * dY[i, p, c]
                dZ[i, p, r] = sum_
        for a in range(S * d):
            F[j, a] = slope[i, a] * z[i, a]
        y[i + 1] = y[i - j]
        for m in range(j + 1):
            for a in range(S * d):
                y[i + 1, a] += rows[j, m] * F[m, a]


def _adjoint(D: Any, K: Any, costate: Any, e: Any, f: Any, rows: Any, q: Any, lam: Any, start: Any) -> None:
    """Fill q and lam (T, S, d) and start (S, d); D (T, S, d), costate (S, d), e and f both empty or (T, S, d).

    M holds the costates of what the stages of a step lead to: μ_1 … μ_{s−1}, then that of the step's end.
    """
    T, S, d = D.shape
    d = WIDTH or d
    s, sourced, size = len(rows), len(e) > 0, S * d
    slope, steps, later = D.reshape(T, size), q.reshape(T, size), lam.reshape(T, size)
    M, mu = np.zeros((s, size)), np.empty((S, d))
    end, flat = M[s - 1], mu.reshape(size)
    end[:] = costate.ravel()
    for i in range(T - 1, -1, -1):
        j = i % s
        for a in range(size):
            later[i, a] = rows[s - 1, j] * end[a]
        for m in range(j, s - 1):
            for a in range(size):
                later[i, a] += rows[m, j] * M[m, a]
        for a in range(size):
            steps[i, a] = slope[i, a] * later[i, a]
        if sourced:
            for p in range(S):
                for c in range(d):
                    q[i, p, c] += e[i, p, c]
        for p in range(S):
            for c in range(d):
                sum_ = f[i, p, c] if sourced else 0.0
                for r in range(d):
                    sum_ += q[i, p, r] * K[i, r, c]
                mu[p, c] = sum_
        if j > 0:
            M[j - 1] = flat
        else:
            for a in range(size):
                end[a] += flat[a]
            for m in range(s - 1):
                for a in range(size):
                    end[a] += M[m, a]
    start[:] = end.reshape(S, d)


def _exp(x: float) -> float:
    """eˣ for x ≤ 0."""
    scale, p = _reduced(x)
    return scale + scale * p


def _expm1(x: float) -> float:
    """eˣ − 1 for x ≤ 0."""
    scale, p = _reduced(x)
    return (scale - 1.0) + scale * p


def _reduced(x: float) -> tuple[float, float]:
    """2ⁿ and e^r − 1, where x = n log 2 + r with |r| ≤ (log 2)/2: the Taylor polynomial, r¹⁴/14! is below rounding.

    The functions of the C library are a call for every number; this is arithmetic, compiled for several at once.
    """
    x = -700.0 if x < -700.0 else x
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10  # log 2 in two parts
    p = 1 / 6227020800
    p = p * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 1 / 2
    bits = np.int64((np.int64(n) + 1023) << 52)
    return bits.view(np.float64), p * r * r + r
