"""How does the training error of a network on [0, T] fall with the H¹ penalty, and does it still have a depth limit?

The dynamics run longer, X' = σ(KX + b) on [0, T], under α (∫₀ᵀ|θ̇|² + τ|θ(0)|²), not rescaled with T. Derived here,
for σ(cz) = c σ(z), c > 0, by u(s) = T θ(sT), which turns the penalty into α T⁻³ (∫₀¹|u'|² + τT|u(0)|²):

- T ↔ 1/α: the minimum on [0, T] is the minimum on [0, 1] with α/T³ and τT;
- E at any interpolant bounds the minimum, and so the error: weights that start near u(0) = 0 beat constant ones, and
  the bound is of order T⁻³ in place of T⁻²; tanh reaches no target at T = 1, where zero weights are the bound;
- the squared loss does better than the bound: the error is its square to leading order, slope −6;
- for one point, x = 1, y = 2, and weights k X or a bias, the reached exponent A costs A² α/(T³ c_n) with
  c_n = 1/(τT) + 1/3 − 1/(2n) + 1/(6n²), and one equation for A gives the error exactly;
- tanh, not homogeneous, has the same error to leading order, as its weights are of order 1/T;
- at every fixed T the minima still tend to their depth limit at first order, with its own e₁(T).

The same with the L² norm of the weights is the study `final_time`.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.interpolate import krogh_interpolate

from deeplimit import Data, Problem, continuum, discrete, expansion, horizon, plot, study, variants
from deeplimit.claims import VALUES_ONLY, Claim, doubts, farthest, largest
from deeplimit.minimum import Minimum

LINEAR = "identity, K"
SETTINGS = ["identity, b", "relu, b", "tanh, b", LINEAR, "tanh, K"]  # activation and trained block
TIMES = [1, 4, 16, 64]
DEPTHS = [8, 16, 32, 64]
ALPHA = 0.5
TAU = 1.0
SEED = 0
TOL = 1e-11  # of the gradient: at T = 64 the controls themselves are of size 1e-4

QUICK = {"TIMES": [1, 4, 16], "DEPTHS": [8, 16], "SETTINGS": SETTINGS[:-1]}
EXACT = 1e-6  # relative; errors of 1e-12 are squares of differences that a gradient of 1e-11 leaves uncertain to 1e-7
TANH_TERM = 16.0  # that of T⁻³ in the error of tanh, relative: four times that of T⁻² for a bias, (8/3) ∫p³ = 4.1
DEPTH_TERM = 8.0  # of n^−N in n · gap / e₁: four times that of 1/c_n = 3 Σ (2 − 2⁻ᵏ) n⁻ᵏ at large T
LINE = ["setting", "time", "depth", "data_loss", "predicted", "bound", "status"]
PANELS = {"identity, b": "identity and relu, b"}  # the same errors
LABELS = {
    "time": "final time T",
    "error": "training error",
    "predicted": "predicted, for tanh to leading order",
    "bound": "bound E(interpolant)",
}


@cache
def problem(setting: str, alpha: float, tau: float) -> Problem:
    """x = 1, y = 2 on [0, 1]."""
    activation, trained = setting.split(", ")
    one = torch.ones(1, 1, dtype=torch.float64)
    return Problem(Data(one, 2 * one), activation=activation, loss="squared", alpha=alpha, tau=tau, trainable=trained)


@cache
def posed(setting: str, time: float) -> Problem:
    """On [0, T]."""
    return variants.final_time(problem(setting, ALPHA, TAU), time)


@cache
def limit(setting: str, time: float) -> Minimum:
    """The minimiser of E_∞ at final time T."""
    return continuum.minimise(posed(setting, time), seed=SEED, tol=TOL)


def bound(setting: str, time: float, depth: int) -> float:
    """E at a network that interpolates, or at zero weights if that is less or none interpolates."""
    activation, trained = setting.split(", ")
    profile, one = horizon.h1_profile(TAU, time, depth), np.ones((1, 1))
    theta = horizon.interpolant(trained, one, one[0], profile=profile, time=time, activation=activation)
    if theta is None:
        return 1.0
    jumps = depth / time * float((np.diff(theta, axis=0) ** 2).sum())
    return min(1.0, ALPHA * (jumps + TAU * float(theta[0, 0] ** 2)))


def measure(setting: str, time: float, depth: int) -> dict[str, Any]:
    """One row: a trained network on [0, T], for a weight with its limit, for a homogeneous σ with one on [0, 1]."""
    activation, trained = setting.split(", ")
    net = discrete.minimise(posed(setting, time), depth, seed=SEED, tol=TOL)
    solved = depth if trained == "b" else math.inf  # a weight has a closed form in the limit only
    row = {
        "data_loss": net.data_loss,
        "predicted": horizon.training_error(trained, horizon.h1_penalty(ALPHA, TAU, time, solved), solved),
        "bound": bound(setting, time, depth),
        "value": net.value,
        "error_bar": net.error_bar,
        "residual": net.residual,
        "curvature": net.curvature,
        "seconds": net.seconds,
        "status": str(net.status),
        "error": net.data_loss,
        "limit_status": "",
    }
    if activation != "tanh":
        equivalent = problem(setting, ALPHA / time**3, TAU * time)
        row["scaled_value"] = discrete.minimise(equivalent, depth, seed=SEED, tol=TOL).value
    return row | against_limit(setting, time, net) if trained == "K" else row


def against_limit(setting: str, time: float, net: Minimum) -> dict[str, Any]:
    """The training error of the limit, the gap to E_∞ at this T, and e₁(T)/n."""
    target = limit(setting, time)
    return {
        "error": target.data_loss,
        "limit_value": target.value,
        "limit_error": target.error_bar,
        "value_gap": net.value - target.value,
        "predicted_gap": expansion.value_constant(posed(setting, time), target) / net.control.depth,
        "limit_status": str(target.status),
    }


def deepest(table: pd.DataFrame, setting: str, column: str) -> pd.Series:
    """A column of a setting at the deepest network, indexed by T."""
    return table[(table["setting"] == setting) & (table["depth"] == DEPTHS[-1])].set_index("time")[column]


def tanh_quotient(table: pd.DataFrame) -> float:
    """The error of tanh over the leading order, with its T⁻² term removed, farthest from 1."""
    found = []
    for name in [setting for setting in SETTINGS if setting.startswith("tanh")]:
        quotient = deepest(table, name, "error") / deepest(table, name, "predicted")
        term = (quotient.iloc[-1] - quotient.iloc[-2]) / ((TIMES[-1] / TIMES[-2]) ** 2 - 1)
        found.append(float(quotient.iloc[-1] + term))
    return farthest(found, 1.0)


def tanh_error() -> float:
    """What the term TANH_TERM/T³ leaves of it where the last T is r times the one before."""
    r = TIMES[-1] / TIMES[-2]
    return TANH_TERM / TIMES[-1] ** 3 * r**2 / (r + 1)


def depth_limit(rows: pd.DataFrame) -> float:
    """Value gap / predicted at 1/n = 0 by the polynomial through all depths, farthest from 1."""
    ratios = []
    for _, group in rows.groupby(["setting", "time"]):
        ratio = (group["value_gap"] / group["predicted_gap"]).to_numpy()
        ratios.append(float(krogh_interpolate(1 / group["depth"].to_numpy(), ratio, 0.0)))
    return farthest(ratios, 1.0)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Slope, constants, scaling identity and bound, and the depth limit at fixed T."""
    axes, last, before = ("setting", "time", "depth"), TIMES[-1], TIMES[-2]
    solved, homogeneous = table[table["setting"].str.endswith("K")], table[~table["setting"].str.startswith("tanh")]
    reason = doubts(table.drop(columns="limit_status"), *axes, trusted=VALUES_ONLY)
    limits = doubts(solved, *axes, trusted=VALUES_ONLY)
    bias = table[table["setting"].isin(["identity, b", "relu, b"])]
    linear, stretch = deepest(table, LINEAR, "error"), math.log(last / before)
    penalty = {T: horizon.h1_penalty(ALPHA, TAU, T) for T in (before, last)}
    return [
        Claim(
            "E1.7",
            "With H¹ the error of the limit falls as (T³/3 + T²/τ)⁻², which tends to T⁻⁶",
            "derived here",
            f"exponent of T from {before} to {last}, {LINEAR}, n = ∞",
            2 * math.log(penalty[last] / penalty[before]) / stretch,
            math.log(linear[last] / linear[before]) / stretch,
            2 * penalty[before] / stretch,
            "another exponent, −4 if constant weights were best",
            limits,
        ),
        Claim(
            "E1.8",
            "With H¹ the error of a trained bias is (α/(T³c_n + α))², at every n and T",
            "derived here",
            "observed / predicted, farthest from 1 over identity and relu, all n and T",
            1.0,
            farthest(bias["data_loss"] / bias["predicted"], 1.0),
            EXACT,
            "another constant: τ has no factor T or the differences no factor 1/T",
            reason,
        ),
        Claim(
            "E1.9",
            "The limit's error with one weight is that of X(T) = e^A at the best A",
            "derived here",
            f"observed / predicted, farthest from 1 over all T, {LINEAR}",
            1.0,
            farthest(linear / deepest(table, LINEAR, "predicted"), 1.0),
            EXACT,
            "another constant: the limit on [0, T] is not the one of its regulariser",
            limits,
        ),
        Claim(
            "E1.10",
            "tanh, which is not homogeneous, has the same error to leading order, as its weights are of order 1/T",
            "derived here",
            "error / that of the identity extrapolated in T⁻², farthest from 1 over b and K",
            1.0,
            tanh_quotient(table),
            tanh_error(),
            "a quotient that does not tend to 1, or not as T⁻²",
            (*reason, *limits),
        ),
        Claim(
            "E1.12",
            "At every fixed T minima tend to their depth limit at first order, with the constant e₁(T)",
            "derived here, after Thorpe & van Gennip 2023",
            "n (min E_n − min E_∞) / e₁(T) extrapolated in n, farthest from 1 over T and activations",
            1.0,
            depth_limit(solved),
            DEPTH_TERM / math.prod(DEPTHS),
            "another constant at some T: the order is not 1, or e₁ misses a factor T",
            limits,
        ),
        Claim(
            "E1.13",
            "With H¹ the minimum, and so the training error, is at most E at an interpolant, or at zero weights",
            "derived here",
            "largest min E_n / E(interpolant) over all settings, T and n; for tanh at T = 1 that of zero weights",
            1.0,
            largest(table["value"] / table["bound"]),
            0.0,
            "a quotient above 1: the network found is not the minimiser, or the regulariser is not that of [0, T]",
            reason,
            "≤",
        ),
        Claim(
            "E1.14",
            "With H¹ a homogeneous network on [0, T] has the minimum of one on [0, 1] with α/T³ and τT",
            "derived here",
            "largest relative difference of the minima of the problem posed in these two ways",
            0.0,
            largest((homogeneous["scaled_value"] / homogeneous["value"] - 1).abs()),
            1e-10,
            "a difference: a factor T of σ, α or τ is wrong",
            reason,
        ),
    ]


def main(save: str = "final_time_h1") -> None:
    """The table, the record and the figure: training error against T, prediction and bound."""
    table = study.sweep(measure, save=save, show=LINE, setting=SETTINGS, time=TIMES, depth=DEPTHS)
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[(table["depth"] == DEPTHS[-1]) & (table["setting"] != "relu, b")]
    shown, lines = shown.assign(setting=shown["setting"].replace(PANELS)), ["predicted", "bound"]
    plot.curves(shown, x="time", y="error", by="setting", lines=lines, slopes=[-3, -6], labels=LABELS, save=save)


if __name__ == "__main__":
    study.run(main, globals())
