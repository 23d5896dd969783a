"""How fast does the training error of a network on [0, T] fall as T grows, and does it still have a depth limit?

The dynamics run longer, X' = σ(KX + b) on [0, T], under a regulariser that is not rescaled with T. Esteve, Geshkovski,
Pighin & Zuazua (2020) prove that with α ∫₀ᵀ|θ|² and dynamics homogeneous in the parameters the training error is at
most C/T and the parameters tend to the interpolant of least norm. Derived here, for σ(cz) = c σ(z), c > 0, by
u(s) = T θ(sT), which turns ∫₀ᵀ|θ|² into (1/T) ∫₀¹|u|² and ∫₀ᵀ|θ̇|² + τ|θ(0)|² into T⁻³ (∫₀¹|u'|² + τT|u(0)|²):

- T ↔ 1/α: the minimum on [0, T] is the minimum on [0, 1] with another α (and τ);
- E at any interpolant bounds the error: C/T for L²; for H¹ weights that start near u(0) = 0 beat constant ones, and
  the bound is of order T⁻³ in place of T⁻²;
- the squared loss does better than the bound. With R*(z) the least norm that reaches the output z, the error is
  (α'/2)² |∇R*(y)|² to leading order, α' = α/T or α/T³: slope −2 for L² and −6 for H¹;
- for one point, x = 1, y = 2, and weights k X or a bias, R* is known: the reached exponent A costs A² α/T, or
  A² α/(T³ c_n) with c_n = 1/(τT) + 1/3 − 1/(2n) + 1/(6n²); one equation for A gives the error exactly;
- at every fixed T the minima still tend to their depth limit at first order, with its own e₁(T).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq

from deeplimit import Data, Problem, continuum, discrete, expansion, plot, ridge, study, variants
from deeplimit.claims import VALUES_ONLY, Claim, doubts, farthest
from deeplimit.control import Layers
from deeplimit.minimum import Minimum


@dataclass(frozen=True)
class Setting:
    """Data, activation, regulariser ("L²" or "H¹") and the trained blocks; K₀ and b₀ are those of an interpolant."""

    regulariser: str
    activation: str
    trainable: str
    x: tuple[tuple[float, ...], ...] = ((1.0,),)
    shift: tuple[float, ...] = (1.0,)

    @property
    def homogeneous(self) -> bool:
        """σ(cz) = c σ(z) for c > 0."""
        return self.activation in ("identity", "relu")

    @property
    def data(self) -> Data:
        """Every input moved by the same shift: one bias interpolates it."""
        x = torch.tensor(self.x, dtype=torch.float64)
        return Data(x, x + torch.tensor(self.shift, dtype=torch.float64))


POINT, PLANE, LINEAR = "L², relu, K", "L², relu, K and b", "H¹, identity, K"
BIAS = ("H¹, identity, b", "H¹, relu, b")
TRIANGLE = ((1.0, 0.0), (-0.5, 0.8), (-0.5, -0.8))
SETTINGS = {
    POINT: Setting("L²", "relu", "K"),
    PLANE: Setting("L²", "relu", "Kb", TRIANGLE, (0.6, 0.9)),
    "H¹, identity, b": Setting("H¹", "identity", "b"),
    "H¹, relu, b": Setting("H¹", "relu", "b"),
    "H¹, tanh, b": Setting("H¹", "tanh", "b"),
    LINEAR: Setting("H¹", "identity", "K"),
    "H¹, tanh, K": Setting("H¹", "tanh", "K"),
}
TIMES = [1, 4, 16, 64]
DEPTHS = [8, 16, 32, 64]
ALPHA = 0.5
TAU = 1.0
SEED = 0
TOL = 1e-11  # of the gradient: at T = 64 the controls themselves are of size 1e-4

QUICK = {
    "TIMES": [1, 4, 16],
    "DEPTHS": [8, 16],
    "SETTINGS": {name: setting for name, setting in SETTINGS.items() if name != "H¹, tanh, K"},
}
EXACT = 1e-6  # relative; errors of 1e-12 are squares of differences that a gradient of 1e-11 leaves uncertain to 1e-7
LINE = ["setting", "time", "depth", "data_loss", "predicted", "bound", "status"]
LABELS = {
    "time": "final time T",
    "error": "training error",
    "predicted": "predicted",
    "bound": "bound E(interpolant)",
    "y": "training error",
}


def penalty_factor(regulariser: str, time: float) -> tuple[float, float]:
    """α and τ of the problem on [0, 1] that a homogeneous activation turns the one on [0, T] into."""
    return (ALPHA / time, TAU) if regulariser == "L²" else (ALPHA / time**3, TAU * time)


@cache
def problem(setting: Setting, time: float) -> Problem:
    """The problem on [0, T], rescaled to [0, 1] by time alone."""
    # final_time gives K and b the factor 1/T, right for squares of derivatives; squares themselves want T
    alpha = ALPHA * time**2 if setting.regulariser == "L²" else ALPHA
    original = Problem(
        setting.data,
        activation=setting.activation,
        loss="squared",
        alpha=alpha,
        tau=TAU,
        trainable=setting.trainable,
    )
    return variants.final_time(original, time)


def equivalent(setting: Setting, time: float) -> Problem:
    """The problem on [0, 1] that has the same minimum, for a homogeneous activation."""
    alpha, tau = penalty_factor(setting.regulariser, time)
    return Problem(
        setting.data,
        activation=setting.activation,
        loss="squared",
        alpha=alpha,
        tau=tau,
        trainable=setting.trainable,
    )


def minimise(setting: Setting, posed: Problem, depth: int) -> Minimum:
    """A trained network of the setting."""
    method = ridge.minimise if setting.regulariser == "L²" else discrete.minimise
    return method(posed, depth, seed=SEED, tol=TOL)


@cache
def limit(setting: Setting, time: float) -> Minimum:
    """The minimiser of E_∞ at final time T."""
    return continuum.minimise(problem(setting, time), seed=SEED, tol=TOL)


def interpolant_value(setting: Setting, time: float, depth: int) -> float:
    """E at a network that interpolates, or at zero weights if that is less or none interpolates.

    All layers equal for L²; for H¹ the profile 1/(τT) + s − s²/2, which is best for a mean of the weights. Written
    with loops over layers.
    """
    s = np.arange(depth) / depth
    profile = np.ones(depth) if setting.regulariser == "L²" else 1 / (TAU * time) + s - s**2 / 2
    x, y = setting.data.x.numpy(), setting.data.y.numpy()
    direction = np.ones(1) if setting.trainable == "K" else np.array(setting.shift)

    def short(size: float) -> float:
        X = x
        for weight in size * profile:
            Z = weight * X if setting.trainable == "K" else weight * direction + 0 * X
            X = X + time / depth * sigma(setting.activation, Z)
        return float((X - y).sum())

    zero = float(((x - y) ** 2).sum())
    if short(100.0) < 0:
        return zero
    theta = brentq(short, 0.0, 100.0, xtol=1e-15) * profile[:, None] * direction
    if setting.regulariser == "L²":
        return min(zero, ALPHA * time * float((theta**2).sum()) / depth)
    jumps = depth / time * float((np.diff(theta, axis=0) ** 2).sum())
    return min(zero, ALPHA * (jumps + TAU * float((theta[0] ** 2).sum())))


def sigma(activation: str, z: np.ndarray) -> np.ndarray:
    """The activations of the settings, apart from the package's."""
    if activation == "tanh":
        return np.tanh(z)
    return np.maximum(z, 0) if activation == "relu" else z


def exponent(setting: Setting, time: float, depth: float) -> float:
    """A that minimises (g(A) − 2)² + α' A², g(A) = 1 + A for a bias and (1 + A/n)ⁿ, or e^A, for a weight."""
    alpha, tau = penalty_factor(setting.regulariser, time)
    if setting.regulariser == "H¹":
        alpha /= 1 / tau + 1 / 3 - 1 / (2 * depth) + 1 / (6 * depth**2)

    def slope(A: float) -> float:
        g, dg = reached(setting, A, depth)
        return (g - 2) * dg + alpha * A

    return float(brentq(slope, 0.0, 2.0, xtol=1e-16, rtol=1e-15))


def reached(setting: Setting, A: float, depth: float) -> tuple[float, float]:
    """g(A) and g'(A)."""
    if setting.trainable == "b":
        return 1 + A, 1.0
    if math.isinf(depth):
        return math.exp(A), math.exp(A)
    return (1 + A / depth) ** depth, (1 + A / depth) ** (depth - 1)


def predicted_loss(setting: Setting, time: float, depth: float) -> float:
    """The training error of the homogeneous network, exactly; NaN for several points.

    Only the layers of L² and the bias have a closed form at finite depth; K under H¹ has one at n = ∞.
    """
    if len(setting.x) > 1:
        return math.nan
    return (reached(setting, exponent(setting, time, depth), depth)[0] - 2) ** 2


def has_limit(setting: Setting) -> bool:
    """Whether the row is compared with a solved limit: K under H¹."""
    return setting.regulariser == "H¹" and setting.trainable == "K"


def measure(setting: str, time: float, depth: int) -> dict[str, Any]:
    """One row: a trained network on [0, T]."""
    chosen = SETTINGS[setting]
    net = minimise(chosen, problem(chosen, time), depth)
    limits = limit_columns(chosen, time, net) if has_limit(chosen) else {"error": net.data_loss}
    return {
        "data_loss": net.data_loss,
        "predicted": predicted_loss(chosen, time, math.inf if has_limit(chosen) else depth),
        "bound": interpolant_value(chosen, time, depth),
        "value": net.value,
        "error_bar": net.error_bar,
        "scaled_value": minimise(chosen, equivalent(chosen, time), depth).value if chosen.homogeneous else math.nan,
        "weights_gap": weights_gap(net.control, time),
        "residual": net.residual,
        "curvature": net.curvature,
        "seconds": net.seconds,
        "status": str(net.status),
        **limits,
    }


def limit_columns(setting: Setting, time: float, net: Minimum) -> dict[str, Any]:
    """The training error of the limit, the gap to E_∞ at this T, and e₁(T)/n."""
    target = limit(setting, time)
    return {
        "error": target.data_loss,
        "limit_value": target.value,
        "limit_error": target.error_bar,
        "value_gap": net.value - target.value,
        "predicted_gap": expansion.value_constant(problem(setting, time), target) / net.control.depth,
        "limit_status": str(target.status),
    }


def weights_gap(layers: Layers, time: float) -> float:
    """max_i |T K_i − n (2^{1/n} − 1)|, the distance to the interpolant of least L² norm for one point."""
    n = layers.depth
    return float((time * layers.K - n * (2 ** (1 / n) - 1)).abs().max())


def extrapolated(depth: pd.Series, values: pd.Series) -> float:
    """The value at 1/n = 0 of the polynomial in 1/n through all points (Lagrange)."""
    x = 1 / depth.to_numpy(dtype=float)
    others = [np.delete(x, i) for i in range(len(x))]
    weights = [np.prod(other / (other - point)) for other, point in zip(others, x, strict=True)]
    return float(np.dot(weights, values))


def at_infinite_depth(table: pd.DataFrame, setting: str) -> pd.Series:
    """The training error of a setting extrapolated in depth, indexed by T."""
    rows = table[table["setting"] == setting]
    return pd.Series({time: extrapolated(group["depth"], group["data_loss"]) for time, group in rows.groupby("time")})


def deepest(table: pd.DataFrame, setting: str, column: str) -> pd.Series:
    """A column of a setting at the deepest network, indexed by T."""
    rows = table[(table["setting"] == setting) & (table["depth"] == DEPTHS[-1])]
    return pd.Series(rows[column].to_numpy(), index=rows["time"])


def slope(errors: pd.Series) -> tuple[float, float]:
    """The exponent of T between the last two times with its 1/T term removed, and that term."""
    logs, times = np.log(errors.to_numpy(dtype=float)), np.log(errors.index.to_numpy(dtype=float))
    pairwise = np.diff(logs) / np.diff(times)
    term = float(pairwise[-1] - pairwise[-2]) / (TIMES[-1] / TIMES[-2] - 1)
    return float(pairwise[-1]) + term, abs(term)


def last_slope(errors: pd.Series) -> float:
    """The exponent of T between the last two times."""
    return math.log(errors.iloc[-1] / errors.iloc[-2]) / math.log(TIMES[-1] / TIMES[-2])


def penalty(time: float) -> float:
    """α/(T³ c_∞) = α / (T³/3 + T²/τ), what a squared exponent costs under H¹."""
    return ALPHA / (time**3 / 3 + time**2 / TAU)


def tanh_quotient(table: pd.DataFrame) -> tuple[float, float]:
    """The error of tanh over the leading order, with its T⁻² term removed, farthest from 1; and that term."""
    found = []
    for name in [k for k, setting in SETTINGS.items() if setting.activation == "tanh"]:
        quotient = deepest(table, name, "error") / deepest(table, name, "predicted")
        term = float(quotient.iloc[-1] - quotient.iloc[-2]) / ((TIMES[-1] / TIMES[-2]) ** 2 - 1)
        found.append((float(quotient.iloc[-1]) + term, abs(term)))
    return max(found, key=lambda pair: abs(pair[0] - 1))


def claims(table: pd.DataFrame) -> list[Claim]:
    """Bound, slopes, constants, scaling identity, control, and the depth limit at fixed T."""
    last, axes = TIMES[-1], ("setting", "time", "depth")
    reason = doubts(table.drop(columns="limit_status"), *axes, trusted=VALUES_ONLY)
    limits = doubts(table.dropna(subset=["value_gap"]), *axes, trusted=VALUES_ONLY)
    point = at_infinite_depth(table, POINT)
    slope_point, slope_plane = slope(point), slope(deepest(table, PLANE, "error"))
    exact, bias = table[table["setting"] == POINT], table[table["setting"].isin(BIAS)]
    linear = deepest(table, LINEAR, "error")
    tanh, tanh_term = tanh_quotient(table)
    homogeneous = table.dropna(subset=["scaled_value"])
    weights = deepest(table, POINT, "weights_gap") * np.array(TIMES)
    depth_ratio, depth_term = depth_limit(table)
    return [
        Claim(
            "E1.1",
            "The minimum, and so the training error, is at most E at an interpolant: C/T for L², C/T³ for H¹",
            "derived here; the order for L² is that of Esteve, Geshkovski, Pighin & Zuazua 2020",
            "largest min E_n / bound over all settings, T and n",
            1.0,
            float((table["value"] / table["bound"]).max()),
            0.0,
            "a quotient above 1: the network found is not the minimiser, or the regulariser is not that of [0, T]",
            reason,
            "≤",
        ),
        Claim(
            "E1.2",
            "With squared loss and L² the error of an interpolating network falls as T⁻²",
            "derived here",
            f"exponent of T, {POINT}, extrapolated in n and 1/T",
            -2.0,
            *slope_point,
            "another exponent, −1 if the bound were attained",
            reason,
        ),
        Claim(
            "E1.3",
            "So it does with three points in the plane",
            "derived here",
            f"exponent of T, {PLANE}, n = {DEPTHS[-1]}, extrapolated in 1/T",
            -2.0,
            *slope_plane,
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
            farthest((point[time] / predicted_loss(SETTINGS[POINT], time, math.inf) for time in TIMES), 1.0),
            extrapolation_error(table, POINT),
            "another constant: layers that do not tend to the flow of the limit",
            reason,
        ),
        Claim(
            "E1.6",
            "Its layers tend to those of the interpolant of least norm at order 1 in T",
            "derived here; convergence is that of Esteve, Geshkovski, Pighin & Zuazua 2020",
            f"T max|T K_i − A_n| at T = {last}, n = {DEPTHS[-1]}, A_n = n (2^(1/n) − 1)",
            control_constant(DEPTHS[-1]),
            float(weights.iloc[-1]),
            float(abs(weights.iloc[-1] - weights.iloc[-2])),
            "another constant, or layers that differ from one another",
            reason,
        ),
        Claim(
            "E1.7",
            "With H¹ the error of the limit falls as (T³/3 + T²/τ)⁻², which tends to T⁻⁶",
            "derived here",
            f"exponent of T from {TIMES[-2]} to {last}, {LINEAR}, n = ∞",
            2 * math.log(penalty(last) / penalty(TIMES[-2])) / math.log(last / TIMES[-2]),
            last_slope(linear),
            2 * penalty(TIMES[-2]) / math.log(last / TIMES[-2]),
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
            "The limit's error with one weight is that of X(1) = e^A at the best A",
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
            tanh,
            tanh_term,
            "a quotient that does not tend to 1, or not as T⁻²",
            (*reason, *limits),
        ),
        Claim(
            "E1.11",
            "T stands for 1/α: a homogeneous network has the minimum of one on [0, 1] with α/T, or with α/T³ and τT",
            "derived here",
            "largest relative difference of the two minima, found independently",
            0.0,
            float((homogeneous["scaled_value"] / homogeneous["value"] - 1).abs().max()),
            1e-10,
            "a difference: a factor T of σ, α or τ is wrong",
            reason,
        ),
        Claim(
            "E1.12",
            "At every fixed T minima tend to their depth limit at first order, with the constant e₁(T)",
            "derived here, after Thorpe & van Gennip 2023",
            "n (min E_n − min E_∞) / e₁(T) extrapolated in n, farthest from 1 over T and activations",
            1.0,
            depth_ratio,
            depth_term,
            "another constant at some T: the order is not 1, or e₁ misses a factor T",
            limits,
        ),
    ]


def extrapolation_error(table: pd.DataFrame, setting: str) -> float:
    """How far the coarsest depth moves the extrapolated training error, relative, at the worst T."""
    full, less = (at_infinite_depth(rows, setting) for rows in (table, table[table["depth"] > DEPTHS[0]]))
    return float((less / full - 1).abs().max())


def control_constant(depth: int) -> float:
    """α A_n / g'(A_n)²: (g − 2) g' = −α A/T, so that A_n − A = α A_n / (T g'(A_n)²)."""
    A = depth * (2 ** (1 / depth) - 1)
    return ALPHA * A / reached(SETTINGS[POINT], A, depth)[1] ** 2


def depth_limit(table: pd.DataFrame) -> tuple[float, float]:
    """Value gap / predicted at 1/n = 0, farthest from 1, and how far the coarsest depth moves such a quotient."""
    rows = table.dropna(subset=["value_gap"])
    ratios, moved = [], []
    for _, group in rows.groupby(["setting", "time"]):
        group, ratio = group.sort_values("depth"), (group["value_gap"] / group["predicted_gap"]).sort_index()
        ratios.append(extrapolated(group["depth"], ratio))
        moved.append(abs(ratios[-1] - extrapolated(group["depth"].iloc[1:], ratio.iloc[1:])))
    return farthest(ratios, 1.0), max(moved, default=0.0)


def draw_figures(table: pd.DataFrame, save: str) -> None:
    """Training error against T, prediction and bound, a figure per regulariser; a bias is the same for two of them."""
    shown = table[table["depth"] == DEPTHS[-1]]
    columns: dict[str, Any] = {"x": "time", "y": "error", "by": "setting", "lines": ["predicted", "bound"]}
    for regulariser, slopes, name in (("L²", [-1, -2], save), ("H¹", [-3, -6], f"{save}_h1")):
        names = [k for k, setting in SETTINGS.items() if setting.regulariser == regulariser and k != BIAS[0]]
        part = shown[shown["setting"].isin(names)]
        labels = LABELS | ({"predicted": "predicted, for tanh to leading order"} if regulariser == "H¹" else {})
        plot.curves(part, **columns, slopes=slopes, labels=labels, save=name)


def main(save: str = "final_time") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, setting=list(SETTINGS), time=TIMES, depth=DEPTHS)
    study.record(save, study.constants(globals()), claims=claims(table))
    draw_figures(table, save)


if __name__ == "__main__":
    study.run(main, globals())
