"""What does training see of the law of the data: its gradient, its minima and its minimisers from S of infinitely many?

With infinitely many data the mean over the samples is an integral over their law, and the gradient of the loss comes
from a kinetic adjoint that is constant along characteristics (Herty, Trimborn & Visconti 2022; with the H¹ penalty
Herty, Thünen, Trimborn & Visconti 2022). Inputs are uniform on [−1, 1], and the target of x is the quantile of the same
level of another law, 1.5 tanh(2x + ½): the loss is the squared distance W₂² of the final law from it. Derived here:

- the kinetic gradient is the derivative of the loss; back-propagation in n layers has it as its limit, at order 1;
- S independent signals know it to order ½, with the standard deviation of the gradient of one signal as constant, and S
  quantiles (i − ½)/S to order 2, the midpoint rule's;
- the same for minima: the error is (Var f/S)^½ for independent data and −(f'(1) − f'(−1))/12S² for quantiles, with f
  the loss of the signal from x at the minimiser for the law; minimisers from quantiles converge at order 2 too;
- minimisers from S quantiles satisfy the optimality system of the law up to O(S⁻²).
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

from deeplimit import Curve, Data, Problem, continuum, discrete, irregular, network, plot, study
from deeplimit.claims import CERTIFIED, Claim, doubts
from deeplimit.compare import order
from deeplimit.control import Legendre
from deeplimit.meanfield import particles, sensitivity
from deeplimit.minimum import Minimum

ALPHA = 0.02
SEED = 1
SAMPLES = [16, 32, 64, 128, 256, 512]  # of the gradients
DEPTH = 32  # at which they are propagated back
DEPTHS = [16, 32, 64, 128, 256]
STEPS = [0.1, 0.05, 0.025, 0.0125]  # of the finite differences
QUANTILES = [8, 16, 32, 64, 128]  # trained on
DRAWN = [64, 256, 1024]
REPLICAS = 400  # of the gradients
TRAININGS = 200
LIMITS = [256, 512, 1024]  # quantiles that the minimum for the law is extrapolated from

QUICK = {"DRAWN": [16, 256], "REPLICAS": 100, "TRAININGS": 24, "QUANTILES": [8, 16, 32, 64], "LIMITS": [128, 256, 512]}

NODES = 48  # of Gauss's rules in x and in t
MANY = 1024  # quantiles, extrapolated, that stand for the law where points must have equal masses
ROOM = 0.05  # of a fitted order, for the next term
SURE = 4  # standard errors that a claim about random numbers allows
LINE = ["part", "size", "replica", "gap", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, float, int]]:
    """Part, size (ε, n or S) and replica of every row."""
    yield from (("differences", eps, 0) for eps in STEPS)
    yield from (("depth", n, 0) for n in DEPTHS)
    yield from (("quantiles", S, 0) for S in SAMPLES)
    yield from (("independent", S, replica) for S in SAMPLES for replica in range(REPLICAS))
    yield from (("trained, quantiles", S, 0) for S in QUANTILES)
    yield from (("trained, independent", S, replica) for S in DRAWN for replica in range(TRAININGS))


def measure(row: int) -> Row:
    """One row of the table."""
    part, size, replica = list(points())[row]
    place = {"part": part, "size": size, "replica": replica}
    if part == "differences":
        found = difference(size)
    elif part == "depth":
        found = depth_gap(int(size))
    elif part.startswith("trained"):
        found = training(part, int(size), replica)
    else:
        found = sampled(part, int(size), replica)
    return place | {"status": "computed", "limit_status": "computed"} | found


def target(x: np.ndarray) -> np.ndarray:
    """F_h⁻¹(F_0(x))."""
    return np.asarray(1.5 * np.tanh(2 * x + 0.5))


def problem(x: np.ndarray) -> Problem:
    """The mean loss over the inputs x (S,) and the H¹ penalty; K and b are trained."""
    data = Data(torch.as_tensor(x[:, None]), torch.as_tensor(target(x)[:, None]))
    return Problem(data, activation="tanh", loss="squared", alpha=ALPHA, trainable="Kb", reduction="mean")


def inputs(part: str, samples: int, replica: int) -> np.ndarray:
    """S quantiles of the uniform law, or S independent inputs."""
    if part.endswith("independent"):
        seed = np.random.SeedSequence([SEED, len(part), samples, replica]).generate_state(1)[0]
        return particles.drawn(lambda u: 2 * u - 1, samples, int(seed))
    return particles.at_quantiles(lambda u: 2 * u - 1, samples)


@cache
def given() -> Curve:
    """The smooth weights at which gradients are compared."""
    return irregular.random(problem(np.zeros(1)).metric, Legendre(4), SEED, decay=2)


def kinetic(curve: Curve, t: np.ndarray) -> np.ndarray:
    """dJ/dK and dJ/db for the law, (T, 2)."""
    law = sensitivity.uniform(-1, 1, NODES)
    found = sensitivity.gradient("tanh", curve, law, sensitivity.towards(target(law.x)), t)
    return np.column_stack([found.K[:, 0, 0], found.b[:, 0]])


def losses(curve: Curve, x: np.ndarray) -> np.ndarray:
    """f, the loss of the signal from each x, by the eighth-order flow of the continuum."""
    final = continuum.states(problem(x), curve, 100)[-1, :, 0].numpy()
    return np.asarray((final - target(x)) ** 2)


def expectation(curve: Curve) -> float:
    """J, the integral of f over the law."""
    law = sensitivity.uniform(-1, 1, NODES)
    return float(law.mass @ losses(curve, law.x[:, 0]))


def difference(eps: float) -> Row:
    """The central difference of J along a direction, less the integral of the kinetic gradient."""
    curve, direction = given(), irregular.random(problem(np.zeros(1)).metric, Legendre(4), SEED + 1, decay=2)
    s, weights = np.polynomial.legendre.leggauss(NODES)
    slopes = kinetic(curve, (s + 1) / 2)
    along = np.column_stack([block.reshape(NODES).numpy() for block in direction.at((s + 1) / 2)])
    predicted = float(weights / 2 @ (slopes * along).sum(1))
    ends = [replace(curve, K=curve.K + h * direction.K, b=curve.b + h * direction.b) for h in (-eps, eps)]
    return {"gap": (expectation(ends[1]) - expectation(ends[0])) / (2 * eps) - predicted, "error": 1e-13 / eps}


@cache
def propagated(depth: int) -> tuple[np.ndarray, float]:
    """n ∂J/∂(K_i, b_i) by back-propagation, (n, 2), from quantiles extrapolated in S⁻², and its error."""
    rough, middle, fine = (each(depth, inputs("quantiles", MANY // k, 0)).mean(0) for k in (4, 2, 1))
    found, before = (4 * fine - middle) / 3, (4 * middle - rough) / 3
    return found, norm(found - before)


def each(depth: int, x: np.ndarray) -> np.ndarray:
    """n times the gradient of the loss of every signal, (S, n, 2)."""
    layers, posed = given().sample(depth), problem(x)
    X = discrete.states(posed, layers)[:-1, :, 0]
    q = len(x) * network.costates(posed, layers)[1][:, :, 0]
    return np.stack([(q * X).numpy().T, q.numpy().T], axis=-1)


def norm(gradient: np.ndarray) -> float:
    """In L²(0, 1), of (n, 2) numbers at equally spaced times."""
    return math.sqrt(float((gradient**2).sum(-1).mean()))


def depth_gap(depth: int) -> Row:
    """The distance of back-propagation in n layers from the kinetic gradient at i/n."""
    found, error = propagated(depth)
    return {"gap": norm(found - kinetic(given(), np.arange(depth) / depth)), "error": error}


@cache
def deviation() -> float:
    """The standard deviation of the gradient of one signal, in L²(0, 1)."""
    every = each(DEPTH, inputs("quantiles", MANY, 0))
    return math.sqrt(float(((every - every.mean(0)) ** 2).sum(-1).mean()))


def sampled(part: str, samples: int, replica: int) -> Row:
    """The distance of the gradient from S signals from that of the law, in as many layers."""
    law, error = propagated(DEPTH)
    gap = norm(each(DEPTH, inputs(part, samples, replica)).mean(0) - law)
    return {"gap": gap, "predicted": deviation() / math.sqrt(samples), "error": error}


@cache
def trained(samples: int) -> Minimum:
    """The minimiser for S quantiles, each from the next smaller number."""
    smaller = [S for S in sorted({*QUANTILES, *LIMITS}) if samples // 2 >= S]
    start = trained(smaller[-1]).control if smaller else None
    return continuum.minimise(problem(inputs("quantiles", samples, 0)), start=start, seed=SEED, tol=1e-11)


@dataclass(frozen=True, eq=False)
class Limit:
    """Minimiser and minimum for the law, extrapolated from S quantiles in S⁻², their errors, and what they rest on."""

    control: Curve
    value: float
    error: float
    distance: float
    status: str


@cache
def limit() -> Limit:
    """Extrapolated twice; the errors are what the finer numbers changed, which is S⁻⁴ of the coarser."""
    found = [trained(S) for S in LIMITS]
    values = [(4 * fine.value - rough.value) / 3 for rough, fine in pairwise(found)]
    curves = [extrapolated(rough.control, fine.control) for rough, fine in pairwise(found)]
    moved = math.sqrt(ALPHA) * float(np.linalg.norm(coefficients(curves[1]) - coefficients(curves[0])))
    return Limit(
        curves[1],
        values[1],
        abs(values[1] - values[0]) + sum(minimum.error_bar for minimum in found),
        moved + sum(minimum.distance_bound for minimum in found),
        next((str(m.status) for m in found if not m.status.converged), str(found[-1].status)),
    )


def extrapolated(rough: Curve, fine: Curve) -> Curve:
    """(4 fine − rough)/3."""
    rough = rough.project(fine.basis)
    return replace(fine, K=(4 * fine.K - rough.K) / 3, b=(4 * fine.b - rough.b) / 3)


@cache
def constants() -> tuple[float, float]:
    """−(f'(1) − f'(−1))/12, by central differences, and (Var f)^½, at the minimiser for the law."""
    curve, eps = limit().control, 1e-4
    f = losses(curve, np.array([1 + eps, 1 - eps, -1 + eps, -1 - eps]))
    law = sensitivity.uniform(-1, 1, NODES)
    every = losses(curve, law.x[:, 0])
    spread = math.sqrt(float(law.mass @ every**2 - (law.mass @ every) ** 2))
    return -(f[0] - f[1] - f[2] + f[3]) / (2 * eps) / 12, spread


def training(part: str, samples: int, replica: int) -> Row:
    """`gap` is the minimum for S data less that for the law; `distance` of the minimisers in the penalty's norm."""
    known = limit()
    quantiles = part == "trained, quantiles"
    if quantiles:
        found = trained(samples)
    else:
        found = continuum.minimise(problem(inputs(part, samples, replica)), start=known.control, tol=1e-9)
    second, spread = constants()
    return {
        "gap": found.value - known.value,
        "predicted": second / samples**2 if quantiles else spread / math.sqrt(samples),
        "error": known.error + found.error_bar,
        "distance": math.sqrt(ALPHA) * float(np.linalg.norm(coefficients(found.control) - coefficients(known.control))),
        "distance_error": found.distance_bound + known.distance,
        "stationarity": stationarity(found.control) if quantiles else math.nan,
        "data_loss": found.data_loss,
        "status": str(found.status),
        "limit_status": known.status,
    }


def coefficients(curve: Curve) -> np.ndarray:
    """Of K and b, (J + 1, 2): their values at 0 and their orthonormal coefficients, in which the penalty is α|·|²."""
    found = curve.project(Legendre(40))
    return np.column_stack([found.K.numpy()[:, 0, 0], found.b.numpy()[:, 0]])


def stationarity(curve: Curve) -> float:
    """The dual norm of the derivative of the objective for the law: 2αΘ + ∫ dJ/dΘ Φ_j dt for every coefficient."""
    s, weights = np.polynomial.legendre.leggauss(NODES)
    t = (s + 1) / 2
    test = np.column_stack([np.ones(NODES), Legendre(40).primitive(t)])
    slope = test.T @ (weights[:, None] / 2 * kinetic(curve, t))
    return float(np.linalg.norm(2 * ALPHA * coefficients(curve) + slope)) / math.sqrt(ALPHA)


def at_limit() -> pd.DataFrame:
    """What claims need of the minimiser for the law: how far it is from satisfying the law's optimality system."""
    known = limit()
    return pd.DataFrame({"value": [known.value], "stationarity": stationarity(known.control), "status": known.status})


MODEL = "after Herty, Trimborn & Visconti 2022; derived here"
TRAINING = "after Herty, Thünen, Trimborn & Visconti 2022; derived here"


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with part, size and replica in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "size", "replica"]).loc[table["row"]]
    return table.assign(**{str(name): places[name].to_numpy() for name in places})


def fitted(rows: pd.DataFrame, gap: str, error: str) -> float:
    """The order in the size, which is 1/ε for finite differences."""
    grows = rows.assign(size=1 / rows["size"]) if (rows["size"] < 1).all() else rows
    return order(grows["size"], grows[gap], grows[error]).slope


def rms(rows: pd.DataFrame) -> pd.Series:
    """Root mean square of the gap for each number of data."""
    return rows.groupby("size")["gap"].agg(lambda gap: math.sqrt(float((gap**2).mean(skipna=False))))


def random_claims(name: str, rows: pd.DataFrame, what: str, source: str, why: tuple[str, ...]) -> list[Claim]:
    """Exponent and constant of a random error; each root mean square has a relative standard error of (2R)^(−½)."""
    heights, number = rms(rows), int(name.split(".")[1])
    ratio = heights / rows.groupby("size")["predicted"].first()
    x, one = np.log(heights.index.to_numpy(dtype=float)), 1 / math.sqrt(2 * rows.groupby("size").size().min())
    return [
        Claim(
            name,
            f"{what} from S independent data are known to order ½",
            source,
            "exponent of S in the root mean square of the error",
            -0.5,
            float(stats.linregress(x, np.log(heights)).slope),
            SURE * one / float(np.linalg.norm(x - x.mean())),
            "another exponent",
            why,
        ),
        Claim(
            f"M6.{number + 1}",
            f"{what}: the constant is the standard deviation over the law",
            source,
            "observed / predicted root mean square, mean over S",
            1.0,
            float(ratio.mean()),
            SURE * one / math.sqrt(len(ratio)),
            "another constant",
            why,
        ),
    ]


def claims(table: pd.DataFrame, law: pd.DataFrame) -> list[Claim]:
    """The gradient, then the minima and the minimisers; `law` is the table of the minimiser for the law."""
    table = placed(table)
    rows = {str(part): group for part, group in table.groupby("part")}
    why = {part: doubts(group, "size", "replica", trusted=("computed", *CERTIFIED)) for part, group in rows.items()}

    def rate(name: str, part: str, statement: str, source: str, gap: str, error: str, predicted: float) -> Claim:
        observed = fitted(rows[part], gap, error)
        wrong = "another order, or none"
        return Claim(name, statement, source, "fitted order", predicted, observed, ROOM, wrong, why[part])

    quantiles = rows["trained, quantiles"]
    ratio = (quantiles["gap"] / quantiles["predicted"]).iloc[-1]
    found = [
        rate(
            "M6.1",
            "differences",
            "Central differences of the loss of the law tend to the kinetic gradient, at order 2 in their step",
            MODEL,
            "gap",
            "error",
            2.0,
        ),
        rate(
            "M6.2",
            "depth",
            "Back-propagation in n layers tends to the kinetic gradient, at order 1",
            MODEL,
            "gap",
            "error",
            1.0,
        ),
        *random_claims("M6.3", rows["independent"], "Gradients", MODEL, why["independent"]),
        rate("M6.5", "quantiles", "Gradients from S quantiles are known to order 2", MODEL, "gap", "error", 2.0),
        rate(
            "M6.6",
            "trained, quantiles",
            "Minima over S quantiles tend to that for the law at order 2",
            TRAINING,
            "gap",
            "error",
            2.0,
        ),
        Claim(
            "M6.7",
            "and the constant is that of the midpoint rule, −(f'(1) − f'(−1))/12",
            TRAINING,
            f"observed / predicted at S = {QUANTILES[-1]}",
            1.0,
            float(ratio),
            10 / QUANTILES[-1] ** 2,
            "another constant: minimisers that move the value at this order",
            why["trained, quantiles"],
        ),
        rate(
            "M6.8",
            "trained, quantiles",
            "Minimisers for S quantiles tend to that for the law at order 2",
            TRAINING,
            "distance",
            "distance_error",
            2.0,
        ),
        Claim(
            "M6.9",
            "The minimiser extrapolated from quantiles satisfies the optimality system of the law",
            TRAINING,
            "dual norm of 2αΘ + ∫ dJ/dΘ, the kinetic gradient by Gauss's rule, over that at S quantiles, S = "
            f"{QUANTILES[-1]}",
            0.0,
            float(law["stationarity"].iloc[0]) / float(quantiles["stationarity"].iloc[-1]),
            10 * (QUANTILES[-1] / LIMITS[-2] ** 2) ** 2,  # the one is of order S⁻⁴, the other S⁻²
            "a residual: the limit of training on data is not training on the law",
            why["trained, quantiles"],
        ),
        *random_claims("M6.10", rows["trained, independent"], "Minima", TRAINING, why["trained, independent"]),
    ]
    return found


def draw_figures(table: pd.DataFrame, save: str) -> None:
    """Errors of gradients and of minima against the number of data."""
    titles = {"independent": "independent", "quantiles": "quantiles"}
    shown: list[pd.DataFrame] = []
    for what, prefix in (("gradient", ""), ("minimum", "trained, ")):
        for kind in titles:
            rows = table[table["part"] == prefix + kind]
            heights = rms(rows).rename("error").reset_index()
            known = rows.groupby("size")["predicted"].first().abs().to_numpy()
            known = known if prefix or kind == "independent" else np.nan * known
            slope = heights["error"][0] * (heights["size"] / heights["size"][0]) ** -2.0
            slope = 0 * slope + np.nan if kind == "independent" or prefix else 0.5 * slope
            shown.append(heights.assign(what=what, kind=kind, predicted=known, slope=slope))
    labels = {
        "size": "number of data S",
        "error": "error, root mean square",
        "predicted": "predicted, constant included:\nS^(−½) independent, S⁻² quantiles",
        "slope": "S⁻², no constant predicted",
        "kind": "",
    }
    columns: dict[str, Any] = {"x": "size", "y": "error", "by": "what", "hue": "kind", "lines": ["predicted", "slope"]}
    plot.curves(pd.concat(shown), **columns, labels=labels, save=save)


def main(save: str = "mean_field_training") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    law = study.once(at_limit, save=f"{save}_law")
    study.record(save, study.constants(globals()), claims=claims(table, law))
    draw_figures(table, save)


if __name__ == "__main__":
    study.run(main, globals())
