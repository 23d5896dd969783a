"""How fast does the training error of a network on [0, T] fall as T grows, with the L² norm of the weights as penalty?

The dynamics run longer, X' = σ(KX + b) on [0, T], under α ∫₀ᵀ|θ|², not rescaled with T. Esteve, Geshkovski, Pighin &
Zuazua (2020) prove for dynamics homogeneous in the parameters that the training error is at most C/T and that the
parameters tend to the interpolant of least norm. Derived here, for σ(cz) = c σ(z), c > 0, by u(s) = T θ(sT), which
turns ∫₀ᵀ|θ|² into (1/T) ∫₀¹|u|²:

- T ↔ 1/α: the minimum on [0, T] is the minimum on [0, 1] with α/T;
- E at any interpolant bounds the minimum, and so the error;
- the squared loss does better than the bound. With R*(z) the least norm that reaches the output z, the error is
  (α/2T)² |∇R*(y)|² to leading order: slope −2;
- for one point, x = 1, y = 2, and weights k X, R*(y) = log² y, and one equation for one number gives the error exactly.

The same with the H¹ penalty of the theorem is the study `final_time_h1`.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.interpolate import krogh_interpolate

from deeplimit import Data, Problem, horizon, plot, ridge, study, variants
from deeplimit.claims import VALUES_ONLY, Claim, doubts, farthest, largest

POINT, PLANE = "one point, K", "three points, K and b"
X = {POINT: [[1.0]], PLANE: [[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]}
SHIFT = {POINT: [1.0], PLANE: [0.6, 0.9]}  # y − x of every point: one bias interpolates
TRAINABLE = {POINT: "K", PLANE: "Kb"}
TIMES = [1, 4, 16, 64]
DEPTHS = [8, 16, 32, 64]
ALPHA = 0.5
SEED = 0
TOL = 1e-11  # of the gradient

QUICK = {"TIMES": [1, 4, 16], "DEPTHS": [8, 16]}
EXACT = 1e-6  # relative; small errors are squares of differences that a gradient of 1e-11 leaves uncertain to 1e-7
SECOND = 4.0  # an error of order T⁻² may have second relative corrections of this many (α/T)²
LINE = ["setting", "time", "depth", "data_loss", "predicted", "bound", "status"]
LABELS = {
    "time": "final time T",
    "data_loss": "training error",
    "predicted": "predicted",
    "bound": "bound E(interpolant)",
}


@cache
def problem(setting: str, alpha: float) -> Problem:
    """On [0, 1]."""
    x = torch.tensor(X[setting], dtype=torch.float64)
    shifted = Data(x, x + torch.tensor(SHIFT[setting], dtype=torch.float64))
    return Problem(shifted, activation="relu", loss="squared", alpha=alpha, trainable=TRAINABLE[setting])


def bound(setting: str, time: float, depth: int) -> float:
    """E at a network with equal layers that interpolates, or at zero weights if that is less."""
    x, shift, trained = np.array(X[setting]), np.array(SHIFT[setting]), TRAINABLE[setting][-1]
    theta = horizon.interpolant(trained, x, shift, profile=np.ones(depth), time=time, activation="relu")
    zero = len(x) * float((shift**2).sum())
    return zero if theta is None else min(zero, ALPHA * time * float((theta**2).sum()) / depth)


def measure(setting: str, time: float, depth: int) -> dict[str, Any]:
    """One row: a trained network on [0, T], and one on [0, 1] with α/T."""
    # variants.final_time gives α the factor 1/T, right for squares of derivatives; squares themselves want T
    posed = variants.final_time(problem(setting, ALPHA * time**2), time)
    net = ridge.minimise(posed, depth, seed=SEED, tol=TOL)
    scaled = ridge.minimise(problem(setting, ALPHA / time), depth, seed=SEED, tol=TOL)
    one_point = {
        "predicted": horizon.training_error("K", ALPHA / time, depth),
        "weights_gap": float((time * net.control.K - least_norm(depth)).abs().max()),
    }
    return {
        "data_loss": net.data_loss,
        "bound": bound(setting, time, depth),
        "value": net.value,
        "error_bar": net.error_bar,
        "scaled_value": scaled.value,
        "residual": net.residual,
        "curvature": net.curvature,
        "seconds": net.seconds,
        "status": str(net.status),
        **(one_point if setting == POINT else {}),
    }


def least_norm(depth: int) -> float:
    """A_n = n (2^{1/n} − 1), T times the equal layers K of the network of least norm with X_n = 2."""
    return float(depth * (2 ** (1 / depth) - 1))


def at_infinite_depth(table: pd.DataFrame) -> pd.Series:
    """The one point's training error by T: the value at 1/n = 0 of the polynomial in 1/n through all depths."""
    found = {}
    for time, rows in table[table["setting"] == POINT].groupby("time"):
        found[time] = float(krogh_interpolate(1 / rows["depth"].to_numpy(), rows["data_loss"].to_numpy(), 0.0))
    return pd.Series(found)


def deepest(table: pd.DataFrame, setting: str, column: str) -> pd.Series:
    """A column of a setting at the deepest network, indexed by T."""
    return table[(table["setting"] == setting) & (table["depth"] == DEPTHS[-1])].set_index("time")[column]


def slope(errors: pd.Series) -> float:
    """The exponent of T between the last two times, T multiplied by one r each time, with its 1/T term removed."""
    pairwise = np.diff(np.log(errors)) / np.diff(np.log(errors.index.to_numpy(dtype=float)))
    return float(pairwise[-1] + (pairwise[-1] - pairwise[-2]) / (TIMES[-1] / TIMES[-2] - 1))


def slope_error() -> float:
    """What a relative term b/T² of the errors leaves of it, b r (r² − 1) / (T² log r), for b = SECOND α²."""
    r = TIMES[-1] / TIMES[-2]
    return SECOND * (ALPHA / TIMES[-1]) ** 2 * r * (r**2 - 1) / math.log(r)


def depth_error() -> float:
    """What the polynomial through all depths misses at 1/n = 0: sup |f⁽ᴺ⁾| / N! times the product of the 1/n.

    f is E_n / E_∞, to leading order in α/T the mean of 2^{(2 + s + s')/n} over s and s' in [0, 1].
    """
    return (4 * math.log(2)) ** len(DEPTHS) * 2 ** (4 / DEPTHS[0]) / math.factorial(len(DEPTHS)) / math.prod(DEPTHS)


def control_term(exact: pd.DataFrame) -> pd.Series:
    """(T max|T K_i − A_n| / predicted − 1) T/α: the relative correction of order α/T, by rows."""
    A = exact["depth"].map(least_norm)
    predicted = [ALPHA * a / horizon.reached("K", a, n)[1] ** 2 for a, n in zip(A, exact["depth"], strict=True)]
    return (exact["weights_gap"] * exact["time"] / predicted - 1) * exact["time"] / ALPHA


def claims(table: pd.DataFrame) -> list[Claim]:
    """Bound, slopes, constants, control and scaling identity."""
    reason = doubts(table, "setting", "time", "depth", trusted=VALUES_ONLY)
    exact, limit = table[table["setting"] == POINT], at_infinite_depth(table)
    depth = DEPTHS[-1]
    return [
        Claim(
            "E1.1",
            "The minimum, and so the training error, is at most E at a network with equal layers that interpolates",
            "derived here, after Esteve, Geshkovski, Pighin & Zuazua 2020",
            "largest min E_n / E(interpolant) over all settings, T and n",
            1.0,
            largest(table["value"] / table["bound"]),
            0.0,
            "a quotient above 1: the network found is not the minimiser, or the regulariser is not that of [0, T]",
            reason,
            "≤",
        ),
        Claim(
            "E1.2",
            "With squared loss and L² the error of an interpolating network falls as T⁻²",
            "derived here",
            f"exponent of T, {POINT}, n = {depth}, extrapolated in 1/T",
            -2.0,
            slope(deepest(table, POINT, "data_loss")),
            slope_error(),
            "another exponent, −1 if the bound were attained",
            reason,
        ),
        Claim(
            "E1.3",
            "So it does with three points in the plane",
            "derived here",
            f"exponent of T, {PLANE}, n = {depth}, extrapolated in 1/T",
            -2.0,
            slope(deepest(table, PLANE, "data_loss")),
            slope_error(),
            "another exponent, −1 if the bound were attained",
            reason,
        ),
        Claim(
            "E1.4",
            "The error of the one-point network is that of one equation for one number, at every n and T",
            "derived here",
            f"observed / predicted, farthest from 1 over all n and T, {POINT}",
            1.0,
            farthest(exact["data_loss"] / exact["predicted"], 1.0),
            EXACT,
            "another constant: α has the wrong power of T or n, or the layers are not equally good",
            reason,
        ),
        Claim(
            "E1.5",
            "In the depth limit it is that of X(T) = e^A",
            "derived here",
            "extrapolated in n / predicted at n = ∞, farthest from 1 over all T",
            1.0,
            farthest((limit[T] / horizon.training_error("K", ALPHA / T) for T in TIMES), 1.0),
            depth_error(),
            "another constant: layers that do not tend to the flow of the limit",
            reason,
        ),
        Claim(
            "E1.6",
            "Its layers tend to those of the interpolant of least norm at order 1 in T",
            "derived here; convergence is that of Esteve, Geshkovski, Pighin & Zuazua 2020",
            "(T max|T K_i − A_n| / (α A_n/g'²) − 1) T/α, farthest from 0 over n, T; A_n = n (2^(1/n) − 1), g' there",
            0.0,
            farthest(control_term(exact), 0.0),  # (g − 2) g' = −α A/T, so A = A_n − (α/T) A_n/g'² + …
            0.5,  # the next term is 3 g'' A_n / (2 g'³) − 1/g'², two numbers between 0 and ½
            "another constant, or layers that differ from one another",
            reason,
        ),
        Claim(
            "E1.11",
            "T stands for 1/α: a homogeneous network on [0, T] has the minimum of one on [0, 1] with α/T",
            "derived here",
            "largest relative difference of the minima of the problem posed in these two ways",
            0.0,
            largest((table["scaled_value"] / table["value"] - 1).abs()),
            1e-10,
            "a difference: a factor T of σ or α is wrong",
            reason,
        ),
    ]


def main(save: str = "final_time") -> None:
    """The table, the record and the figure: training error against T, prediction and bound."""
    table = study.sweep(measure, save=save, show=LINE, setting=list(X), time=TIMES, depth=DEPTHS)
    study.record(save, study.constants(globals()), claims=claims(table))
    shown, lines = table[table["depth"] == DEPTHS[-1]], ["predicted", "bound"]
    plot.curves(shown, x="time", y="data_loss", by="setting", lines=lines, slopes=[-1, -2], labels=LABELS, save=save)


if __name__ == "__main__":
    study.run(main, globals())
