"""Laws at rest of a stochastic residual network: those that its diffusion leaves as they are.

A law whose flux vanishes has the density, derived here,

    g_∞(x) = (const / K²) exp( (2/ν²) ∫ σ(wx + b) / K² dx )

and is a law at rest if that can be normalised. σ = identity gives the Gaussian, inverse gamma, gamma and beta laws, σ =
tanh powers of 1/cosh; a sigmoid, a relu and a growing cosine unit have none on the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq
from scipy.stats import rv_continuous

from deeplimit import checks
from deeplimit.meanfield.diffusion import Diffusion


class CoshPower(rv_continuous):
    """The density cosh(z)^(−q) / (2^(q−1) B(q/2, q/2)), q > 0: ½ log(u/(1 − u)) for u ~ Beta(q/2, q/2)."""

    def _pdf(self, z: np.ndarray, q: np.ndarray) -> np.ndarray:
        return np.exp(-q * _log_cosh(z) - (q - 1) * math.log(2) - special.betaln(q / 2, q / 2))

    def _cdf(self, z: np.ndarray, q: np.ndarray) -> np.ndarray:
        return special.betainc(q / 2, q / 2, special.expit(2 * z))

    def _ppf(self, level: np.ndarray, q: np.ndarray) -> np.ndarray:
        return special.logit(special.betaincinv(q / 2, q / 2, level)) / 2

    def _stats(self, q: np.ndarray) -> tuple[Any, ...]:
        second, fourth = special.polygamma(1, q / 2) / 2, special.polygamma(3, q / 2) / 8
        return 0.0 * second, second, 0.0 * second, fourth / second**2


cosh_power = CoshPower(name="cosh_power")


def _log_cosh(z: np.ndarray) -> np.ndarray:
    """log cosh z, for large z too."""
    return np.logaddexp(z, -z) - math.log(2)


PRIMITIVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # ∫σ
    "identity": lambda z: z**2 / 2,
    "tanh": _log_cosh,
    "sigmoid": lambda z: np.logaddexp(0.0, z),
    "relu": lambda z: np.maximum(z, 0.0) ** 2 / 2,
    "gcu": lambda z: z * np.sin(z) + np.cos(z),
}


def log_density(diffusion: Diffusion, x: Any) -> np.ndarray:
    """log g_∞ up to a constant, whether it can be normalised or not.

    Parameters
    ----------
    x
        Points inside the support.

    Raises
    ------
    ValueError
        If the integral has no formula here: another σ than identity with K that is not constant, or a σ that is none of
        identity, tanh, sigmoid, relu and gcu.
    """
    x = np.asarray(x, dtype=float)
    d, name = diffusion, diffusion.activation.name
    if d.shape == "constant" and name in PRIMITIVES:
        integral = PRIMITIVES[name](d.w * x + d.b) / d.w if d.w else d.drift(x) * x
    elif name != "identity":
        raise ValueError(
            f"no formula is known for σ = {name} with K {d.shape}: take σ = identity, or constant K with "
            f"{', '.join(PRIMITIVES)}"
        )
    elif d.shape == "linear":
        integral = d.w * np.log(x) - d.b / x
    elif d.shape == "root":
        integral = d.w * x + d.b * np.log(x)
    else:
        integral = d.b * np.log(x) - (d.w + d.b) * np.log1p(-x)
    return np.asarray(2 / d.noise**2 * integral - np.log(2 * d.spread(x) / d.noise**2))


NONE = {  # why there is no law at rest on the line, for constant K
    "sigmoid": "the drift is positive everywhere, so that the mass goes to +∞",
    "relu": "the drift vanishes on the half line wx + b ≤ 0, where nothing holds the noise",
    "gcu": "the potential z sin z + cos z has ever deeper wells far out",
}


def steady_law(diffusion: Diffusion) -> Any:
    """The law at rest, as a frozen distribution of `scipy.stats`.

    | σ        | K          | law                                                       | exists where      |
    |----------|------------|-----------------------------------------------------------|-------------------|
    | identity | 1          | N(−b/w, ν²/2|w|)                                          | w < 0             |
    | tanh     | 1          | density ~ cosh(wx + b)^(−2/(|w|ν²))                       | w < 0             |
    | identity | x          | inverse gamma, shape 1 − 2w/ν², scale 2b/ν²               | w < ν²/2, b > 0   |
    | identity | √x         | gamma, shape 2b/ν², rate 2|w|/ν²                          | w < 0 < b         |
    | identity | √(x(1−x))  | Beta(2b/ν², −2(w + b)/ν²)                                 | w + b < 0 < b     |

    The mean of the inverse gamma law is finite for w < 0 only.

    Raises
    ------
    ValueError
        If there is none, with the reason; or if no formula is known.
    """
    d, name, double = diffusion, diffusion.activation.name, 2 / diffusion.noise**2
    if d.shape == "constant" and name in NONE:
        raise ValueError(f"σ = {name} with constant noise has no law at rest on the line: {NONE[name]}")
    if name not in ("identity", "tanh") or (name == "tanh" and d.shape != "constant"):
        log_density(d, np.full(1, 0.5))  # the sentence on formulas
        raise ValueError(f"no formula is known for σ = {name} with K {d.shape}")
    needs = {
        "constant": (d.w < 0, "w < 0, or nothing leads the law back"),
        "linear": (d.w < d.noise**2 / 2 and d.b > 0, "w < ν²/2 and b > 0, or the mass goes to infinity or to 0"),
        "root": (d.w < 0 < d.b, "w < 0 < b, or the mass goes to infinity or to 0"),
        "jacobi": (d.w + d.b < 0 < d.b, "w + b < 0 < b, or the mass goes to an end of (0, 1)"),
    }
    holds, requirement = needs[d.shape]
    if not holds:
        raise ValueError(
            f"a law at rest for K {d.shape} asks for {requirement}; got w = {d.w}, b = {d.b}, ν = {d.noise}"
        )
    if name == "tanh":
        return cosh_power(double / -d.w, loc=-d.b / d.w, scale=1 / -d.w)
    if d.shape == "constant":
        return stats.norm(-d.b / d.w, math.sqrt(-1 / (double * d.w)))
    if d.shape == "linear":
        return stats.invgamma(1 - double * d.w, scale=double * d.b)
    if d.shape == "root":
        return stats.gamma(double * d.b, scale=-1 / (double * d.w))
    return stats.beta(double * d.b, -double * (d.w + d.b))


def _gaussian(mean: float, variance: float, square: float) -> Diffusion:
    w = -square / (2 * variance)
    return Diffusion("identity", w, -w * mean, math.sqrt(square))  # type: ignore[arg-type]


def _cosh_power(mean: float, variance: float, square: float) -> Diffusion:
    """Var = ψ'(1/(|w|ν²)) / 2w² falls from ∞ to ν⁴/2, the variance of a Laplace law, as |w| grows."""
    if variance <= square**2 / 2:
        raise ValueError(
            f"with σ = tanh and noise ν the variance must be above ν⁴/2 = {square**2 / 2:.6g}, got {variance}: "
            "take less noise"
        )

    def excess(log: float) -> float:
        rate = math.exp(log)
        return math.log(float(special.polygamma(1, 1 / (rate * square))) / (2 * rate**2) / variance)

    w = -math.exp(brentq(excess, math.log(square / (4 * variance)), 40.0, xtol=1e-14))
    return Diffusion("tanh", w, -w * mean, math.sqrt(square))  # type: ignore[arg-type]


def _inverse_gamma(mean: float, variance: float, square: float) -> Diffusion:
    shape = 2 + mean**2 / variance
    return _identity((1 - shape) * square / 2, mean * (shape - 1) * square / 2, square, "linear")


def _gamma(mean: float, variance: float, square: float) -> Diffusion:
    return _identity(-mean / variance * square / 2, mean**2 / variance * square / 2, square, "root")


def _beta(mean: float, variance: float, square: float) -> Diffusion:
    total = mean * (1 - mean) / variance - 1
    if total <= 0 or not 0 < mean < 1:
        raise ValueError(
            f"a beta law has a mean in (0, 1) and a variance below mean (1 − mean), got {mean} and {variance}"
        )
    return _identity(-total * square / 2, mean * total * square / 2, square, "jacobi")


def _identity(w: float, b: float, square: float, shape: str) -> Diffusion:
    return Diffusion("identity", w, b, math.sqrt(square), shape)  # type: ignore[arg-type]


FAMILIES: dict[str, Callable[[float, float, float], Diffusion]] = {
    "gaussian": _gaussian,
    "cosh_power": _cosh_power,
    "inverse_gamma": _inverse_gamma,
    "gamma": _gamma,
    "beta": _beta,
}


def fit(family: str, mean: float, variance: float, *, noise: float = 1.0) -> Diffusion:
    """The diffusion whose law at rest is the one of a family with the given mean and variance; derived here.

    For σ = identity the noise only sets the clock, as w and b are proportional to ν². For σ = tanh it also sets the
    tails, and the variance must be above ν⁴/2.

    Parameters
    ----------
    family
        "gaussian", "cosh_power", "inverse_gamma", "gamma" or "beta".
    mean, variance
        Of the target law, or of a sample of it.
    noise
        ν > 0.

    Raises
    ------
    ValueError, TypeError
        For an unknown family, and for moments that no law of the family has.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    mean, variance = checks.number("mean", mean), checks.positive("variance", variance)
    if family in ("inverse_gamma", "gamma") and mean <= 0:
        raise ValueError(f"the law of family {family} lives on x > 0, so its mean must be positive, got {mean}")
    return FAMILIES[family](mean, variance, checks.positive("noise", noise) ** 2)
