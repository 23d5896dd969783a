"""Do training on infinitely many data and training infinitely many layers commute, and how fast is each limit?

n layers trained on S data, with the penalty of H¹ and the mean of the losses, have the minimum v(n, S). As S → ∞ the
mean becomes an integral over the law of the data, as n → ∞ the network its differential equation (Herty, Thünen,
Trimborn & Visconti 2022 train the limit of both). Inputs are uniform on [−1, 1] and the target of x is
1.5 tanh(2x + ½), the quantile of the same level of another law. Derived here, with f_n the loss of the signal from x at
the minimiser for the law in n layers, and n = ∞ included:

- S → ∞     from the quantiles (i − ½)/S the minimum has the error −(f_n'(1) − f_n'(−1))/12S², the midpoint rule's, and
            minimisers converge at order 2; from independent data it has the deviation (Var f_n/S)^½;
- n → ∞     v(n, S) = v(∞, S) + e₁(S)/n + O(n⁻²) for every S and for the law, with e₁ from the continuum alone, and
            minimisers converge at order 1;
- both      v(n, S) − v(n, law) − v(∞, S) + v(∞, law) is of order n⁻¹S⁻²: each rate holds uniformly in the other number,
            and the limits commute.

Networks are trained by `discrete`, each depth from the one half as deep, and the limit by `continuum`, for S quantiles.
The law is what the three largest S are extrapolated to, for every depth.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from deeplimit import Curve, Data, Layers, Problem, continuum, discrete, expansion, plot, study
from deeplimit.claims import CERTIFIED, Claim, doubts, farthest
from deeplimit.compare import order
from deeplimit.meanfield import particles
from deeplimit.minimum import Minimum

ALPHA = 0.02
SEED = 1
DEPTHS = [8, 16, 32, 64, 128, 256]
QUANTILES = [8, 16, 32, 64, 128]
LIMITS = [256, 512, 1024]  # quantiles that minima for the law are extrapolated from
FIXED = 16  # layers that are trained on independent data
DRAWN = [64, 256, 1024]
REPLICAS = 200

QUICK = {
    "DEPTHS": [8, 16, 32, 64],
    "QUANTILES": [8, 16, 32, 64],
    "LIMITS": [128, 256, 512],
    "DRAWN": [16, 256],
    "REPLICAS": 40,
}

INFINITE = 0  # depth of the continuum, and number of data of the law, in the table
SURE = 4  # standard errors that a claim about random numbers allows
ROOM = 0.05  # of a fitted order, for the next term
LINE = ["part", "depth", "size", "replica", "value", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, int, int, int]]:
    """Part, layers, number of data and replica of every row; 0 stands for infinitely many."""
    yield from (("quantiles", n, S, 0) for n in [*DEPTHS, INFINITE] for S in [*QUANTILES, INFINITE])
    yield from (("independent", FIXED, S, replica) for S in DRAWN for replica in range(REPLICAS))


def measure(row: int) -> Row:
    """One row of the table."""
    part, depth, size, replica = list(points())[row]
    place = {"part": part, "depth": depth, "size": size, "replica": replica}
    return place | (drawn(depth, size, replica) if part == "independent" else trained_gaps(depth, size))


def target(x: np.ndarray) -> np.ndarray:
    """F_h⁻¹(F_0(x))."""
    return np.asarray(1.5 * np.tanh(2 * x + 0.5))


def problem(x: np.ndarray) -> Problem:
    """The mean of |z − y|² over the inputs x (S,) and the H¹ penalty; K and b are trained."""
    data = Data(torch.as_tensor(x[:, None]), torch.as_tensor(target(x)[:, None]))
    return Problem(data, activation="tanh", loss="squared", alpha=ALPHA, trainable="Kb", reduction="mean")


def quantile(u: np.ndarray) -> np.ndarray:
    """F⁻¹ of the uniform law on [−1, 1]."""
    return 2 * u - 1


def quantiles(samples: int) -> Problem:
    """The problem for S quantiles."""
    return problem(particles.at_quantiles(quantile, samples))


@cache
def trained(depth: int, samples: int) -> Minimum:
    """The minimiser for S quantiles: from half as many layers, else fewer data; the continuum from the deepest."""
    posed = quantiles(samples)
    if depth == INFINITE:
        return continuum.minimise(posed, start=trained(DEPTHS[-1], samples).control, tol=1e-11)
    fewer = [S for S in sorted({*QUANTILES, *LIMITS}) if samples > S]
    before = (depth // 2, samples) if depth > DEPTHS[0] else (depth, fewer[-1]) if fewer else None
    start = None if before is None else trained(*before).control
    return discrete.minimise(posed, depth, start=start, seed=SEED, tol=1e-11)


@dataclass(frozen=True, eq=False)
class Trained:
    """A minimiser and its minimum, their errors, e₁ of a continuum, and what they rest on."""

    control: Layers | Curve
    value: float
    error: float
    distance: float
    constant: float
    status: str


@cache
def optimum(depth: int, samples: int) -> Trained:
    """The answer for S quantiles, or for the law: extrapolated twice in S⁻², with the last change as error."""
    if samples != INFINITE:
        found = trained(depth, samples)
        constant = expansion.value_constant(quantiles(samples), found) if depth == INFINITE else math.nan
        return Trained(found.control, found.value, found.error_bar, found.distance_bound, constant, str(found.status))
    each = [optimum(depth, S) for S in LIMITS]
    value, before = ((4 * fine.value - rough.value) / 3 for rough, fine in reversed(list(pairwise(each))))
    control, older = (extrapolated(rough.control, fine.control) for rough, fine in reversed(list(pairwise(each))))
    return Trained(
        control,
        value,
        abs(value - before) + sum(one.error for one in each),
        apart(control, older) + sum(one.distance for one in each) / math.sqrt(ALPHA),
        (4 * each[-1].constant - each[-2].constant) / 3,
        next((one.status for one in each if not one.status.startswith(CERTIFIED)), each[-1].status),
    )


def extrapolated(rough: Layers | Curve, fine: Layers | Curve) -> Layers | Curve:
    """(4 fine − rough)/3."""
    if isinstance(rough, Curve) and isinstance(fine, Curve):
        rough = rough.project(fine.basis)
    return replace(fine, K=(4 * fine.K - rough.K) / 3, b=(4 * fine.b - rough.b) / 3)


def nodes(control: Layers | Curve, depth: int) -> np.ndarray:
    """K and b of the layers, or of a curve at i/n, (n, 2)."""
    layers = control.sample(depth) if isinstance(control, Curve) else control
    return np.column_stack([layers.K[:, 0, 0].numpy(), layers.b[:, 0].numpy()])


def apart(one: Layers | Curve, other: Layers | Curve) -> float:
    """The distance in L²(0, 1) of two controls at the nodes of the layers, or at the deepest network's."""
    depth = next((len(c.K) for c in (one, other) if isinstance(c, Layers)), DEPTHS[-1])
    return math.sqrt(float(((nodes(one, depth) - nodes(other, depth)) ** 2).sum(1).mean()))


def losses(depth: int, x: np.ndarray) -> np.ndarray:
    """f_n, the loss of the signal from each x at the minimiser for the law in n layers or in the continuum."""
    control = optimum(depth, INFINITE).control
    if isinstance(control, Curve):
        final = continuum.states(problem(x), control, 100)[-1, :, 0].numpy()
    else:
        final = discrete.states(problem(x), control)[-1, :, 0].numpy()
    return np.asarray((final - target(x)) ** 2)


@cache
def midpoint(depth: int) -> float:
    """−(f_n'(1) − f_n'(−1))/12, by central differences."""
    eps = 1e-4
    f = losses(depth, np.array([1 + eps, 1 - eps, -1 + eps, -1 - eps]))
    return float(-(f[0] - f[1] - f[2] + f[3]) / (2 * eps) / 12)


@cache
def deviation(depth: int) -> float:
    """(Var f_n)^½ over the law, by Gauss's rule."""
    x, mass = np.polynomial.legendre.leggauss(48)
    f = losses(depth, x)
    return math.sqrt(float(mass / 2 @ f**2 - (mass / 2 @ f) ** 2))


def trained_gaps(depth: int, samples: int) -> Row:
    """What minimum and minimiser for S quantiles are from those for the law, and from those of the continuum."""
    here, law = optimum(depth, samples), optimum(depth, INFINITE)
    deep, both = optimum(INFINITE, samples), optimum(INFINITE, INFINITE)
    finite = samples != INFINITE
    return {
        "value": here.value,
        "error": here.error + law.error + deep.error + both.error,
        "data_gap": here.value - law.value,
        "data_predicted": midpoint(depth) / samples**2 if finite else 0.0,
        "data_distance": apart(here.control, law.control),
        "depth_gap": here.value - deep.value,
        "depth_predicted": deep.constant / depth if depth != INFINITE else 0.0,
        "depth_distance": apart(here.control, deep.control),
        "distance_error": (here.distance + deep.distance) / math.sqrt(ALPHA) + law.distance + both.distance,
        "mixed": (here.value - law.value) - (deep.value - both.value),
        "status": here.status,
        "limit_status": next((o.status for o in (law, deep, both) if not o.status.startswith(CERTIFIED)), both.status),
    }


def drawn(depth: int, samples: int, replica: int) -> Row:
    """The minimum over S independent data less that for the law, in as many layers."""
    law = optimum(depth, INFINITE)
    posed = problem(particles.drawn(quantile, samples, [SEED, samples, replica]))
    found = discrete.minimise(posed, depth, start=law.control, tol=1e-9)
    return {
        "value": found.value,
        "error": found.error_bar + law.error,
        "data_gap": found.value - law.value,
        "data_predicted": deviation(depth) / math.sqrt(samples),
        "status": str(found.status),
        "limit_status": law.status,
    }


SOURCE = "after Herty, Thünen, Trimborn & Visconti 2022; derived here"


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its place in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "depth", "size", "replica"]).loc[table["row"]]
    return table.assign(**places.set_axis(table.index))


def slopes(rows: pd.DataFrame, by: str, x: str, gap: str, error: str) -> list[float]:
    """The order in x of each group, among its finite numbers."""
    finite = rows[rows[x] != INFINITE]
    return [order(group[x], group[gap], group[error]).slope for _, group in finite.groupby(by)]


def claims(table: pd.DataFrame) -> list[Claim]:
    """S → ∞, n → ∞, both, and independent data."""
    part = {str(name): rows for name, rows in placed(table).groupby("part")}
    rows, why = part["quantiles"], doubts(part["quantiles"], "depth", "size")
    law, finite = rows[rows["size"] == INFINITE], rows[(rows["size"] != INFINITE) & (rows["depth"] != INFINITE)]
    most, deepest = rows[rows["size"] == QUANTILES[-1]], rows[rows["depth"] == DEPTHS[-1]]
    diagonal = finite[finite["size"] == finite["depth"]]
    last = law[law["depth"] != INFINITE].sort_values("depth")["value"].to_numpy()
    once = 2 * last[1:] - last[:-1]
    twice = (4 * once[1:] - once[:-1]) / 3
    both = float(law["value"][law["depth"] == INFINITE].iloc[0])

    def claim(name: str, statement: str, what: str, predicted: float, found: float, tolerance: float) -> Claim:
        wrong = "another order, or none" if what.startswith("fitted") else "another number"
        return Claim(name, statement, SOURCE, what, predicted, found, tolerance, wrong, why)

    in_depth, every_depth = "fitted order in n, farthest of all S and the law", "fitted order in S, farthest of all n"
    return [
        claim("M6.12", "Minima in n layers over S quantiles tend to that for the law at order 2, for every n",
              every_depth, 2.0, farthest(slopes(rows, "depth", "size", "data_gap", "error"), 2.0), ROOM),
        claim("M6.13", "and the constant is that of the midpoint rule in n layers, −(f'(1) − f'(−1))/12",
              f"observed / predicted at S = {QUANTILES[-1]}, farthest of all n", 1.0,
              farthest(most["data_gap"] / most["data_predicted"], 1.0), 10 / QUANTILES[-1] ** 2),
        claim("M6.14", "Minimisers in n layers for S quantiles tend to that for the law at order 2, for every n",
              every_depth, 2.0, farthest(slopes(rows, "depth", "size", "data_distance", "distance_error"), 2.0), ROOM),
        claim("M6.15", "Minima in n layers tend to that of the continuum at order 1, for the law and for every S",
              in_depth, 1.0, farthest(slopes(rows, "size", "depth", "depth_gap", "error"), 1.0), ROOM),
        claim("M6.16", "and the constant is e₁, predicted from the continuum for the same data or the law",
              f"n (v(n) − v(∞)) / e₁ at n = {DEPTHS[-1]}, farthest", 1.0,
              farthest(deepest["depth_gap"] / deepest["depth_predicted"], 1.0), 2 / DEPTHS[-1]),
        claim("M6.17", "Minimisers in n layers tend to that of the continuum at order 1, for the law and for every S",
              in_depth, 1.0, farthest(slopes(rows, "size", "depth", "depth_distance", "distance_error"), 1.0), ROOM),
        claim("M6.18", "The limits commute: what they do together is of the product of their orders, n⁻¹S⁻²",
              "fitted order of v(n, S) − v(n, law) − v(∞, S) + v(∞, law) along S = n", 3.0,
              order(diagonal["depth"], diagonal["mixed"], diagonal["error"]).slope, 2 * ROOM),
        claim("M6.19", "and n → ∞ after S → ∞ ends where S → ∞ after n → ∞ does",
              "v(n, law) extrapolated twice in 1/n, less v(∞, law) of the continuum", 0.0, float(twice[-1]) - both,
              2 * abs(float(twice[-1] - twice[-2]))),
        *claims_drawn(part["independent"]),
    ]  # fmt: skip


def claims_drawn(rows: pd.DataFrame) -> list[Claim]:
    """Exponent and constant of a random error; each root mean square has a relative standard error of (2R)^(−½)."""
    why = doubts(rows, "size", "replica")
    ratio = rms(rows) / rows.groupby("size")["data_predicted"].first()
    logs, one = np.log(ratio.index.to_numpy(dtype=float)), 1 / math.sqrt(2 * REPLICAS)
    slope = float(stats.linregress(logs, np.log(rms(rows))).slope)
    return [
        Claim("M6.20", f"Minima in {FIXED} layers over S independent data tend to that for the law at order ½", SOURCE,
              "exponent of S in the root mean square of the error", -0.5, slope,
              SURE * one / float(np.linalg.norm(logs - logs.mean())), "another exponent", why),
        Claim("M6.21", "and the constant is the standard deviation of the loss over the law, (Var f_n)^½", SOURCE,
              "observed / predicted root mean square, mean over S", 1.0, float(ratio.mean()),
              SURE * one / math.sqrt(len(ratio)), "another constant", why),
    ]  # fmt: skip


def rms(rows: pd.DataFrame) -> pd.Series:
    """Root mean square of the gap for each number of data."""
    return rows.groupby("size")["data_gap"].agg(lambda gap: math.sqrt(float((gap**2).mean(skipna=False))))


def words(number: float) -> str:
    """Infinitely many are the law, or the continuum."""
    return "∞" if number == INFINITE else str(int(number))


def sloped(rows: pd.DataFrame, x: str, exponent: float) -> pd.Series:
    """Half the gaps of the first of x, falling with an exponent that is known where no constant is."""
    first = rows[x].min()
    return 0.5 * rows[rows[x] == first]["gap"].abs().max() * (rows[x] / first) ** exponent


def draw_figures(table: pd.DataFrame, save: str) -> None:
    """Errors against S for the least depth and the continuum, and against n for the fewest data and the law."""
    rows = table[table["part"] == "quantiles"]
    rows = rows.assign(n=rows["depth"].map(words), S=rows["size"].map(words), slope=np.nan, predicted=np.nan)
    random = table[table["part"] == "independent"]
    known = random.groupby("size")["data_predicted"].first().to_numpy()
    random = (
        rms(random).rename("gap").reset_index().assign(predicted=known, what="minima, independent data", n=str(FIXED))
    )
    finite = rows[(rows["size"] != INFINITE) & rows["depth"].isin([DEPTHS[0], INFINITE])]
    moved = finite.assign(what="minimisers, quantiles", gap=finite["data_distance"])
    shown = [
        finite.assign(what="minima, quantiles", gap=finite["data_gap"], predicted=finite["data_predicted"]),
        moved.assign(slope=sloped(moved, "size", -2)),
        random,
    ]
    labels = {"size": "number of data S", "y": "distance from the law's", "n": "layers n =", "slope": "slope −2"}
    columns: dict[str, Any] = {"y": "gap", "by": "what", "lines": ["predicted", "slope"]}
    plot.curves(pd.concat(shown), x="size", hue="n", labels=labels, hollow=[str(DEPTHS[0])], save=save, **columns)
    finite = rows[(rows["depth"] != INFINITE) & rows["size"].isin([QUANTILES[0], INFINITE])]
    moved = finite.assign(what="minimisers", gap=finite["depth_distance"])
    diagonal = rows[(rows["size"] == rows["depth"]) & (rows["depth"] != INFINITE)]
    diagonal = diagonal.assign(what="mixed difference, S = n", gap=diagonal["mixed"], S="n")
    shown = [
        finite.assign(what="minima", gap=finite["depth_gap"], predicted=finite["depth_predicted"]),
        moved.assign(slope=sloped(moved, "depth", -1)),
        diagonal.assign(slope=sloped(diagonal, "depth", -3)),
    ]
    labels = {
        "depth": "layers n",
        "y": "distance from the continuum's",
        "S": "data S =",
        "predicted": "e₁/n, predicted",
    }
    labels |= {"slope": "slopes −1, −3"}
    plot.curves(
        pd.concat(shown),
        x="depth",
        hue="S",
        labels=labels,
        hollow=[str(QUANTILES[0])],
        save=f"{save}_depth",
        **columns,
    )


def main(save: str = "training_limits") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    draw_figures(table, save)


if __name__ == "__main__":
    study.run(main, globals())
