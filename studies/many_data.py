"""How far is a network trained on S samples from one that knows the whole population, and how does depth add to it?

The second limit beside depth: the number of data goes to infinity (Herty, Thünen, Trimborn & Visconti, 2022). The
population lives on a closed curve, x = r(φ) (cos φ, sin φ) with target y(φ), φ uniform. Everything is smooth and
periodic, so that the mean over equally spaced angles is the expectation up to rounding: a few hundred points are the
limit of infinitely many data, exactly. Samples draw S angles independently. What one should see, derived here:

- min E_S − min E_∞ is normal with standard deviation (Var ℓ / S)^½, ℓ the loss of a sample at the limit Θ* (the
  envelope theorem: only the sample moves the value, not the minimiser), and mean −½ tr(H⁻¹C)/S, where H is the Hessian
  at Θ* and C the covariance of ∇ℓ; order ½ in S;
- Θ_S − Θ* has mean square tr(H⁻¹CH⁻¹)/S in the norm of the regulariser; order ½;
- depth adds its own first-order error e₁/n, independent of the sample: min E_{n,S} − min E_{∞,∞} has the mean
  e₁/n − ½ tr(H⁻¹C)/S and the variance Var ℓ / S: C/n + C/√S with both constants predicted.

At every depth the population's network comes from random starts, and the samples' networks from the population's, so
that they lie on one branch.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from deeplimit import Data, Problem, continuum, discrete, expansion, optimise, plot, study
from deeplimit.claims import VALUES_ONLY, Claim, doubts, farthest
from deeplimit.control import Legendre
from deeplimit.coordinates import Coordinates, CurveCoordinates, LayerCoordinates
from deeplimit.energy import Energy
from deeplimit.minimum import Minimum, Status
from deeplimit.spectrum import Hints, leading
from deeplimit.sweep import DORMAND_PRINCE8, EULER, Flow

DEPTHS = [4, 8, 16]  # and n = ∞
SAMPLES = [64, 128, 256, 512, 1024, 2048]
REPLICAS = 40
ALPHA = 0.02
POINTS = 256  # equally spaced angles that stand for the population
STARTS = 8
SEED = 0
TERMS, STEPS = 6, 3  # of the curve at n = ∞, enough for a value to 1e-8
TOL = 1e-8  # of the gradient: a value to 1e-16
LEAP = 6  # predicted root mean squares that a minimiser may move before it counts as another branch

# so far apart that 24 replicas tell order ½ from 0 and 1, and so many data that their mean tells e₁ from 1.3 e₁
QUICK = {"DEPTHS": [4], "SAMPLES": [64, 4096], "REPLICAS": 24, "STARTS": 2}
LINE = ["samples", "replica", "depth", "gap", "distance", "status"]
SURE = 3  # standard errors of a mean over replicas that a claim allows
SURELY = 4  # and of the farthest of the means of all n and S: 24 normal numbers stay within it with probability 0.998
LABELS = {
    "samples": "number of data S",
    "rms": "observed",
    "predicted": "predicted",
    "depth": "n =",
    "gap": "min E(n, S) − min E(∞, ∞)",
    "y": "root mean square over the replicas",
}
PANELS = {"value": "value: min E(n, S) − min E(∞, ∞)", "control": "minimiser: |Θ(n, S) − Θ(n, ∞)|"}


def curve(angle: np.ndarray) -> Data:
    """The population at the given angles: x = r (cos φ, sin φ), r = 1 + 0.3 cos 3φ, y = sin 2φ + ½ cos φ."""
    r = 1 + 0.3 * np.cos(3 * angle)
    x, y = np.stack([r * np.cos(angle), r * np.sin(angle)], 1), np.sin(2 * angle) + 0.5 * np.cos(angle)
    return Data(torch.from_numpy(x), torch.from_numpy(y))


def problem(angle: np.ndarray) -> Problem:
    """The mean loss over the given angles."""
    return Problem(curve(angle), activation="tanh", loss="squared", alpha=ALPHA, reduction="mean")


@cache
def population(points: int) -> Problem:
    """The expectation over the angle, by the trapezoidal rule."""
    return problem(2 * np.pi * np.arange(points) / points)


def draw(samples: int, replica: int) -> np.ndarray:
    """S independent angles; every depth sees the same."""
    return np.random.default_rng([SEED, samples, replica]).uniform(0, 2 * np.pi, samples)


def space(problem: Problem, depth: float) -> tuple[Energy, Any]:
    """E_n, or for n = ∞ the limit with a fixed number of Legendre terms, and its coordinates."""
    if math.isinf(depth):
        flow = Flow(DORMAND_PRINCE8, STEPS, graded=True)
        coordinates: Coordinates = CurveCoordinates(problem.metric, Legendre(TERMS), flow.times)
    else:
        flow = Flow(EULER, int(depth))
        coordinates = LayerCoordinates(problem.metric, int(depth))
    return Energy(problem, coordinates, flow), coordinates


@cache
def limits() -> dict[float, Minimum]:
    """The population's minimiser at every depth, and at n = ∞ the certified one that the deepest network leads to."""
    whole = population(POINTS)
    nets = discrete.lowest(whole, DEPTHS, starts=STARTS, seed=SEED)
    limit = continuum.minimise(whole, start=nets[-1].control, tol=TOL)
    return dict(zip(DEPTHS, nets, strict=True)) | {math.inf: limit}


@dataclass(frozen=True, eq=False)
class Centre:
    """The population's minimiser u at one depth, and what theory says about samples around it.

    variance Var ℓ, bias ½ tr(H⁻¹C), spread tr(H⁻¹CH⁻¹); the last two with the standard deviation of the quadratic form
    whose mean they are.
    """

    u: np.ndarray
    value: float
    status: str
    hints: Hints | None
    variance: float
    bias: float
    bias_deviation: float
    spread: float
    spread_deviation: float


@cache
def centre(depth: float) -> Centre:
    """Hessian and covariance at the population's minimiser, both dense."""
    energy, coordinates = space(population(POINTS), depth)
    start = coordinates.vector(limits()[depth].control)
    minimum, lowest = optimise.local_minimum(energy, start, coordinates.control, tol=TOL, near=True)
    u = coordinates.vector(minimum.control)
    point = energy(u)
    H = np.column_stack([point.product(e) for e in np.eye(len(u))])
    spectrum = leading(point.product, len(u))
    preconditioner = spectrum.preconditioner() if spectrum else None
    hints = Hints(preconditioner, lowest) if preconditioner else None
    losses, gradients = samplewise(u, depth)
    inverse, C = np.linalg.inv((H + H.T) / 2), np.cov(gradients.T, bias=True)
    quadratic, square = inverse @ C, inverse @ C @ inverse
    return Centre(
        u,
        minimum.value,
        str(minimum.status),
        hints,
        variance=float(np.var(losses)),
        bias=0.5 * float(np.trace(quadratic)),
        bias_deviation=0.5 * math.sqrt(2 * np.trace(quadratic @ quadratic)),
        spread=float(np.trace(square)),
        spread_deviation=math.sqrt(2 * np.trace(square @ square)),
    )


def samplewise(u: np.ndarray, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """The loss of every point of the population at u and its gradient, the regulariser left out."""
    points = [space(problem(np.array([angle])), depth)[0](u) for angle in 2 * np.pi * np.arange(POINTS) / POINTS]
    return np.array([p.data_loss for p in points]), np.array([p.gradient - 2 * u for p in points])


def measure(samples: int, replica: int, depth: float) -> dict[str, Any]:
    """One row: a network trained on one sample against the population's."""
    known, target = centre(depth), limits()[math.inf].value
    energy, coordinates = space(problem(draw(samples, replica)), depth)
    minimum, _ = optimise.local_minimum(energy, known.u, coordinates.control, tol=TOL, hints=known.hints, near=True)
    distance = float(np.linalg.norm(coordinates.vector(minimum.control) - known.u))
    if minimum.status.converged and distance > LEAP * math.sqrt(known.spread / samples):
        minimum = replace(minimum, status=Status.JUMPED)
    return {
        "value": minimum.value,
        "gap": minimum.value - target,
        "depth_gap": known.value - target,
        "predicted_mean": predicted_depth_gap(depth) - known.bias / samples,
        "predicted_deviation": math.sqrt(known.variance / samples),
        "drop": energy(known.u).value - minimum.value,
        "distance": distance,
        "predicted_distance": math.sqrt(known.spread / samples),
        "curvature": minimum.curvature,
        "residual": minimum.residual,
        "seconds": minimum.seconds,
        "status": str(minimum.status),
        "limit_status": reference_status(depth),
    }


def reference_status(depth: float) -> str:
    """That of the population's minimum at this depth, or at n = ∞ if that is the one that did not converge."""
    limit = limits()[math.inf].status
    return centre(depth).status if limit.converged else str(limit)


def predicted_depth_gap(depth: float) -> float:
    """e₁/n."""
    return expansion.value_constant(population(POINTS), limits()[math.inf]) / depth


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per depth and S: root mean squares over the replicas beside the predicted ones, and the mean gap.

    `mean_error` is the mean gap less the predicted one, in units of its predicted standard deviation.
    """
    rows = []
    for (depth, samples), group in table.groupby(["depth", "samples"]):
        first = group.iloc[0]
        error = (group["gap"] - group["predicted_mean"]).mean(skipna=False)
        rows.append(
            {
                "depth": depth,
                "samples": samples,
                "value": rms(group["gap"]),
                "predicted_value": math.hypot(first["predicted_mean"], first["predicted_deviation"]),
                "control": rms(group["distance"]),
                "predicted_control": first["predicted_distance"],
                "mean_error": float(error / first["predicted_deviation"] * math.sqrt(len(group))),
            }
        )
    return pd.DataFrame(rows)


def rms(values: pd.Series) -> float:
    """Root mean square."""
    return math.sqrt(float((values**2).mean(skipna=False)))


def slope(samples: pd.Series, heights: pd.Series) -> float:
    """The exponent p of S^p through all points, by least squares."""
    return float(stats.linregress(np.log(samples.astype(float)), np.log(heights)).slope)


def slope_error(relative: float) -> float:
    """Standard error of that exponent where each root mean square has a relative one."""
    x = np.log(np.array(SAMPLES, dtype=float))
    return relative / float(np.linalg.norm(x - x.mean()))


def claims(table: pd.DataFrame, known: pd.DataFrame) -> list[Claim]:
    """Order and constant in S, the joint error, the minimisers, and that the population is one.

    `known` is the table of the population.
    """
    values = doubts(table, "depth", "samples", "replica", trusted=VALUES_ONLY)
    controls = doubts(table, "depth", "samples", "replica")
    shown, limit = summary(table), known.iloc[0]
    deep = shown[shown["depth"] == math.inf]
    one = 1 / math.sqrt(2 * REPLICAS)  # relative standard error of the root mean square of normal numbers
    every = one / math.sqrt(len(SAMPLES))
    last = table[(table["depth"] == math.inf) & (table["samples"] == SAMPLES[-1])]
    moved = limit["spread_deviation"] / limit["spread"] / 2 / math.sqrt(REPLICAS)
    return [
        Claim(
            "S1.1",
            "At n = ∞ the minimum over S samples tends to that over the population at order ½",
            "derived here",
            "exponent of S in the root mean square of min E_S − min E_∞; predicted is −½ but for the mean, of order 1",
            slope(deep["samples"], deep["predicted_value"]),
            slope(deep["samples"], deep["value"]),
            SURE * slope_error(one),
            "another exponent: the error is not that of a mean over independent samples",
            values,
        ),
        Claim(
            "S1.2",
            "The constant of that order is the standard deviation of the loss at the limit",
            "derived here",
            "root mean square of (min E_S − min E_∞) / predicted, over all S and replicas",
            1.0,
            rms(deep["value"] / deep["predicted_value"]),
            SURE * every,
            "another constant: the minimiser's own motion enters at this order, or the mean over the data is wrong",
            values,
        ),
        Claim(
            "S1.3",
            "Depth and number of data add: min E_{n,S} − min E_{∞,∞} is e₁/n plus the samples' error",
            "derived here",
            "mean gap less e₁/n − ½ tr(H⁻¹C)/S in units of (Var ℓ / (S · replicas))^½, farthest from 0 over n and S",
            0.0,
            farthest(shown["mean_error"], 0.0),
            SURELY,
            "a mean too far off where n is small or S is large: the errors do not add, or e₁ is wrong",
            values,
        ),
        Claim(
            "S1.4",
            "The minimisers Θ_S tend to the population's at order ½",
            "derived here",
            "exponent of S in the root mean square of |Θ_S − Θ_∞| at n = ∞, in the norm of the regulariser",
            -0.5,
            slope(deep["samples"], deep["control"]),
            SURE * slope_error(moved),
            "another exponent, or networks that leave the population's branch",
            controls,
        ),
        Claim(
            "S1.5",
            "Their mean square is tr(H⁻¹CH⁻¹)/S",
            "derived here",
            f"observed / predicted root mean square of |Θ_S − Θ_∞| at n = ∞, S = {SAMPLES[-1]}",
            1.0,
            float((deep["control"] / deep["predicted_control"]).iloc[-1]),
            SURE * moved,
            "another constant: the Hessian or the covariance of the gradients is wrong",
            controls,
        ),
        Claim(
            "S1.6",
            "Training on a sample lowers its objective by ½ tr(H⁻¹C)/S below that of the population's minimiser",
            "derived here",
            f"S times the mean over the replicas of E_S(Θ_∞) − min E_S at n = ∞, S = {SAMPLES[-1]}",
            limit["bias"],
            SAMPLES[-1] * float(last["drop"].mean()),
            SURE * limit["bias_deviation"] / math.sqrt(REPLICAS),
            "another mean: the value's second-order error is not that of a quadratic minimum",
            values,
        ),
        Claim(
            "S1.7",
            f"{POINTS} equally spaced angles are the population",
            "derived here: the trapezoidal rule of a smooth periodic function",
            f"change of the minimum at depth {DEPTHS[0]} when their number is doubled",
            0.0,
            known["value"].iloc[1] - known["value"].iloc[0],
            1e-12,
            "a change above rounding: the limit in S would be only approximate",
            doubts(known, "points", trusted=VALUES_ONLY),
        ),
    ]


def references() -> pd.DataFrame:
    """What claims need of the population: theory's numbers at n = ∞; minima over POINTS and twice as many points.

    The minima are at the first depth.
    """
    limit, net = centre(math.inf), limits()[DEPTHS[0]]
    fine = discrete.minimise(population(2 * POINTS), DEPTHS[0], start=net.control)
    theory = {name: getattr(limit, name) for name in ("bias", "bias_deviation", "spread", "spread_deviation")}
    ends = {"points": [POINTS, 2 * POINTS], "value": [net.value, fine.value]}
    return pd.DataFrame(ends | theory | {"status": [str(net.status), str(fine.status)]})


def draw_figures(table: pd.DataFrame, save: str) -> None:
    """The joint error and the minimisers' distance against S, and every replica."""
    shown = summary(table)
    panels = [
        shown[["depth", "samples"]].assign(what=words, rms=shown[key], predicted=shown[f"predicted_{key}"])
        for key, words in PANELS.items()
    ]
    curves = pd.concat(panels)
    curves["depth"] = curves["depth"].map(depth_name)
    columns: dict[str, Any] = {"x": "samples", "y": "rms", "lines": ["predicted"], "slopes": [-0.5], "labels": LABELS}
    plot.curves(curves, **columns, by="what", hue="depth", save=save)
    named = table.assign(panel=table["depth"].map(lambda n: f"n = {depth_name(n)}"))
    law = {"mean": "predicted_mean", "deviation": "predicted_deviation"}
    plot.replicas(named, x="samples", y="gap", **law, by="panel", labels=LABELS, save=f"{save}_replicas")


def depth_name(depth: float) -> str:
    """A depth as figures show it."""
    return "∞" if math.isinf(depth) else f"{depth:g}"


def main(save: str = "many_data") -> None:
    """The table, the record and the figures."""
    depths = [*DEPTHS, math.inf]
    table = study.sweep(measure, save=save, show=LINE, samples=SAMPLES, replica=range(REPLICAS), depth=depths)
    print(summary(table).to_string(index=False, float_format="{:.4g}".format))
    known = study.once(references, save=f"{save}_population")
    study.record(save, study.constants(globals()), claims=claims(table, known), notes=population(POINTS).notes)
    draw_figures(table, save)


if __name__ == "__main__":
    study.run(main, globals())
