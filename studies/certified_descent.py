"""Do steps from Lipschitz constants make every iteration of gradient descent fall, and do minimisers certainly exist?

Herrera, Krach & Teichmann (2020) bound Lipschitz constants of networks to choose the steps of gradient methods. With
η ≤ 1/L every step falls by η|G|²/2 at least, so that min |G|² ≤ 2L (Φ_0 − inf Φ)/K. Measured here, L from `lipschitz`:

- region   projected onto a bounded set of parameters, with its constant; and around each iterate, for longer steps;
- H¹       for E_n in the coordinates of its regulariser, where L does not depend on depth;
- samples  with random samples, η = min(1/L, c/√K), in expectation;
- radius   a constant of the Hessian turns a small gradient into a theorem, Kantorovich's: within r₋ of a computed
           minimiser there is a true one.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from deeplimit import Data, Layers, Problem, data, discrete, lipschitz, loss, plot, study
from deeplimit.claims import Claim, doubts, farthest, largest, least
from deeplimit.control import Weights
from deeplimit.coordinates import LayerCoordinates
from deeplimit.lipschitz import Balls, Objective, descent, feedforward
from deeplimit.lipschitz.certificate import Radius, Verdict
from deeplimit.minimum import Minimum

POINTS = 20  # of two moons
STEPS = [30, 100, 300, 1000]
RADIUS = 1.5  # of the matrices and biases of the region
WIDE = 3.0  # the same for random samples, whose runs are not to leave it
NEAR = 0.05  # radius around an iterate, of the parameters
NEAR_U = 0.01  # the same in the coordinates u of E_n
DEPTHS = [8, 32, 128]
RUNS = 100  # of descent by random samples
C = 1.0  # of the step c/√K
FACTOR = 50.0  # of steps that are too long
DISTANCES = [10 ** (k / 2) for k in range(-20, -6)]  # from the minimiser, of points to certify, until none is
CERTIFIED_DEPTHS = [4, 8, 16, 64]  # of one branch, the best of STARTS at its first depth
STARTS = 8

QUICK = {
    "STEPS": [30, 100],
    "DEPTHS": [8, 32],
    "RUNS": 30,
    "DISTANCES": [1e-10, 1e-8, 1e-6, 1e-4],
    "CERTIFIED_DEPTHS": [4, 8],
}
MOONS = data.moons(points=POINTS)
PROBLEMS = {
    "scalar": Problem(data.scalar(), loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}),
    "ring": Problem(data.ring(), loss="softmax", alpha=0.01, reduction="mean"),
}
NETS = {"logistic": (2, 3, 1), "squared": (2, 3, 3, 1)}
SHARP = "one input"  # a linear layer for one input with many labels: what holds for random samples is an equality
SEED = 1
TOL = 1e-13  # of the minimisers that stand for the true ones
ROUNDING = 1e-14  # of Φ, relative
LINE = ["part", "case", "steps", "depth", "distance", "rises", "quotient", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int, int, float]]:
    """Part, case, steps K, depth and distance of every row."""
    for part in ("region", "local"):
        yield from ((part, case, K, len(NETS[case]) - 1, 0.0) for case in NETS for K in STEPS)
    yield from (("H¹", case, K, n, 0.0) for case in PROBLEMS for n in DEPTHS for K in STEPS[:2])
    yield from (("50/L", "one linear layer", K, 1, 0.0) for K in (1, 2, 3))
    yield from (("samples", case, K, 2 - (case == SHARP), 0.0) for case in ("logistic", SHARP) for K in STEPS)
    yield from (("certificate", case, 0, n, far) for case in PROBLEMS for n in CERTIFIED_DEPTHS for far in DISTANCES)
    yield from (("end", case, 0, n, 0.0) for case in PROBLEMS for n in CERTIFIED_DEPTHS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, steps, depth, distance = list(points())[row]
    place = {"part": part, "case": case, "steps": steps, "depth": depth, "distance": distance}
    if part == "certificate":
        return place | certified(case, depth, distance)
    if part == "end":
        return place | end(case, depth)
    if part == "samples":
        return place | by_samples(case, steps)
    if part == "50/L":
        return place | too_long(steps)
    return place | fallen(in_h1(case, depth, steps) if part == "H¹" else on_network(part, case, steps))


def fallen(found: descent.Descent) -> Row:
    """What the inequalities say of a descent."""
    rounding = ROUNDING * float(np.abs(found.values).max())
    return {
        "rises": found.rises,
        "excess": found.excess / rounding,
        "value": float(found.values[-1]),
        "start": float(found.values[0]),
        "step": float(found.steps[0]),
        "least": found.least,
        "bound": found.bound(),
        "quotient": found.least / found.bound(),
        "status": "descended",
    }


@cache
def objective(case: str) -> Objective:
    """Two moons; labels −1 and 1 for the squared loss."""
    if case == SHARP:
        noisy = torch.randn(POINTS, 1, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
        return Objective(feedforward([2, 1]), Data(MOONS.x[:1].expand(POINTS, -1), noisy), loss.get("squared"))
    points = MOONS if case == "logistic" else Data(MOONS.x, 2 * MOONS.y - 1)
    return Objective(feedforward(NETS[case]), points, loss.get(case))


def region(case: str, radius: float) -> Balls:
    """A product of balls; for the linear layer a wide one, on which its constant does not depend."""
    return Balls(objective(case).chain, *[1e9 if case == SHARP else radius] * 2)


def start(case: str) -> Tensor:
    """Where descent starts: a random point of half the region."""
    return Balls(objective(case).chain, RADIUS / 2, RADIUS / 2).draw(1, SEED)[0]


def on_network(part: str, case: str, steps: int) -> descent.Descent:
    """Projected onto the region with its constant, or with that around each iterate."""
    if part == "region":
        return descent.on_region(objective(case), region(case, RADIUS), start(case), steps)
    return descent.local(objective(case), start(case), steps, NEAR)


def in_h1(case: str, depth: int, steps: int) -> descent.Descent:
    """E_n from the samples of one random curve, with the constant around each iterate."""
    problem = PROBLEMS[case]
    u = LayerCoordinates(problem.metric, depth).vector(problem.metric.draw(SEED).sample(depth))
    return descent.in_h1(problem, depth, u / 4, steps, NEAR_U)


def too_long(steps: int) -> Row:
    """One layer z = a·x + b and the squared loss, whose constant 2 (1 + |x|²) is attained; the steps are 50/L."""
    chain = feedforward([2, 1])
    one = Objective(chain, Data(MOONS.x[:1], MOONS.y[:1] + 1), loss.get("squared"))
    wide = Balls(chain, 1e9, 1e9)
    return fallen(descent.on_region(one, wide, torch.zeros(3, dtype=torch.float64), steps, factor=FACTOR))


def by_samples(case: str, steps: int) -> Row:
    """RUNS runs: the mean of |∇Φ|² over its bound, and how many standard errors the balance lies above zero."""
    found = descent.stochastic(objective(case), region(case, WIDE), start(case), steps, c=C, runs=RUNS, seed=SEED)
    L = objective(case).constants(region(case, WIDE)).gradient
    error = float(found.balances.std(ddof=1)) / math.sqrt(RUNS)
    phi = objective(case)(start(case))[0]
    bound = (phi / (found.step * steps) + L * found.step / 2 * float(found.variances.mean())) / (1 - L * found.step / 2)
    mean = float(found.squares.mean())
    return {
        "errors_above": float(found.balances.mean()) / error,
        "step": found.step,
        "least": mean,
        "bound": bound,
        "quotient": mean / bound,
        "status": "descended" if not found.left else f"left the region {found.left} times: a larger WIDE is needed",
    }


@cache
def branch(case: str) -> dict[int, Minimum]:
    """One branch of minimisers in depth."""
    problem, first = PROBLEMS[case], CERTIFIED_DEPTHS[0]
    best = discrete.branches(problem, first, starts=STARTS, seed=0)[0]
    found = discrete.branch(problem, CERTIFIED_DEPTHS, start=best.control, tol=TOL)
    return dict(zip(CERTIFIED_DEPTHS, found, strict=True))


def moved(case: str, depth: int, distance: float) -> Radius:
    """The certificate of a point at a distance from the minimiser, in the direction of least curvature."""
    problem, best = PROBLEMS[case], branch(case)[depth]
    coordinates = LayerCoordinates(problem.metric, depth)
    point = coordinates.control(coordinates.vector(best.control) + distance * softest(case, depth))
    return lipschitz.certified_radius(problem, point)


def certified(case: str, depth: int, distance: float) -> Row:
    """The certificate of a point at a known distance from the minimiser."""
    best, found = branch(case)[depth], moved(case, depth, distance)
    error = best.residual / best.curvature  # of the minimiser itself
    return {
        "radius": found.exists_within,
        "unique": found.unique_within,
        "contraction": found.contraction,
        "constant": found.hessian_constant,
        "quotient": (distance - error) / found.exists_within,
        "status": str(found.verdict) if best.status.converged else str(best.status),
    }


def end(case: str, depth: int) -> Row:
    """The distance at which the test h < ½ begins to fail, and λ/(2M), that of |g| = λ × distance."""
    best = branch(case)[depth]
    still = lipschitz.certified_radius(PROBLEMS[case], best)
    predicted = still.curvature / (2 * still.hessian_constant)
    low, high = predicted / AROUND, predicted * AROUND
    while high > low * (1 + FINE):
        middle = math.sqrt(low * high)
        certain = moved(case, depth, middle).verdict is Verdict.CERTIFIED
        low, high = (middle, high) if certain else (low, middle)
    return {
        "distance": low,
        "constant": still.hessian_constant,
        "quotient": low / predicted,
        "status": str(still.verdict) if best.status.converged else str(best.status),
    }


@cache
def softest(case: str, depth: int) -> np.ndarray:
    """The unit vector of least curvature at the minimiser, from the dense Hessian in the weights."""
    problem, layers = PROBLEMS[case], branch(case)[depth].control
    coordinates = LayerCoordinates(problem.metric, depth)
    directions = [coordinates.weights(e, fixed=False) for e in np.eye(coordinates.size)]
    products = [discrete.hessian_product(problem, layers, Layers(*v)) for v in directions]
    H = np.array([coordinates.collect(Weights(Hv.K, Hv.b, Hv.W, Hv.c)) for Hv in products])
    vector: np.ndarray = np.linalg.eigh((H + H.T) / 2)[1][:, 0]
    return vector


DERIVED, AFTER = "derived here", "derived here, after Herrera, Krach & Teichmann 2020"
ERRORS = 4.0  # standard errors
SOLVED = 3.0  # times TOL, relative, of a distance: the residual of the true minimiser over its curvature
FLOOR = 1e-14  # rounding of a gradient over the least curvature, which a certificate leaves out
AROUND = 4.0  # times λ/(2M), and as much below it, where the end of a certificate is sought
FINE = 1e-3  # to which it is found, relative
END_ROOM = 0.02  # of the end over λ/(2M): FINE, and the growth of M and of the curvature over such a distance
DEPTH_ROOM = 2.0  # times 1/n, relative: L converges at first order


def claims(table: pd.DataFrame) -> list[Claim]:
    """Every step falls, the least gradient is below its bound, and certified radii reach to the minimiser."""
    tested, ends = table[table["part"] == "certificate"], table[table["part"] == "end"]
    certificate = tested[tested["status"] == str(Verdict.CERTIFIED)]
    descents = table[table["part"].isin(["region", "local", "H¹"])]
    why = doubts(descents, "row", trusted=("descended",))
    unsure = doubts(tested, "row", trusted=(str(Verdict.CERTIFIED), str(Verdict.FAR)))
    open_ends = doubts(ends, "row", trusted=(str(Verdict.CERTIFIED),))
    found = []
    for k, (part, where) in enumerate(
        {
            "region": "projected onto a region, L of the region",
            "local": "L of a ball around each iterate",
            "H¹": "E_n in H¹ coordinates, L of a ball around each iterate",
        }.items()
    ):
        rows = descents[descents["part"] == part]
        found += [
            Claim(
                f"L3.{2 * k + 1}",
                f"gradient descent with 1/L falls in every step by η|G|²/2 at least: {where}",
                AFTER,
                f"largest Φ_(k+1) − Φ_k + η|G|²/2, in units of {ROUNDING:g} Φ",
                0.0,
                largest(rows["excess"]),
                1.0,
                "a step that falls by less",
                why,
                "≤",
            ),
            Claim(
                f"L3.{2 * k + 2}",
                f"min |G|² ≤ 2L(Φ_0 − inf Φ)/K: {where}",
                AFTER,
                "largest quotient of the two, inf Φ replaced by 0",
                1.0,
                largest(rows["quotient"]),
                0.0,
                "a quotient above 1",
                why,
                "≤",
            ),
        ]
    long = table[table["part"] == "50/L"]
    steps = [
        rows.sort_values("depth")["step"].to_numpy() for _, rows in descents[descents["part"] == "H¹"].groupby("case")
    ]
    samples = table[table["part"] == "samples"]
    too_long_, at_random = (doubts(rows, "row", trusted=("descended",)) for rows in (long, samples))
    return [
        *found,
        Claim(
            "L3.7",
            "steps of 50/L never fall where L is attained, one linear layer and the squared loss",
            DERIVED,
            "least share of steps that rise",
            1.0,
            least(long["rises"] / long["steps"]),
            0.0,
            "a step that falls",
            too_long_,
        ),
        Claim(
            "L3.8",
            f"the step 1/L for E_n in H¹ coordinates does not depend on depth, n = {DEPTHS[0]} to {DEPTHS[-1]}",
            DERIVED,
            "first step at the deepest over that at the shallowest, farthest from 1",
            1.0,
            farthest([s[-1] / s[0] for s in steps], 1.0),
            DEPTH_ROOM / DEPTHS[0],
            "steps that shrink with depth",
            why,
        ),
        Claim(
            "L3.9",
            "descent by random samples, η = min(1/L, c/√K): (η − Lη²/2) Σ E|∇Φ|² ≤ Φ_0 − E Φ_K + (Lη²/2) Σ E σ²",
            "standard; L derived here",
            f"left minus right side in standard errors of {RUNS} runs, largest",
            0.0,
            largest(samples["errors_above"]),
            ERRORS,
            "a left side beyond the right one",
            at_random,
            "≤",
        ),
        Claim(
            "L3.10",
            "for one input with many labels, one linear layer and the squared loss that is an equality",
            DERIVED,
            f"left minus right side in standard errors of {RUNS} runs, farthest from 0",
            0.0,
            farthest(samples["errors_above"][samples["case"] == SHARP], 0.0),
            ERRORS,
            "a difference beyond chance",
            at_random,
        ),
        Claim(
            "L3.11",
            "the true minimiser lies within the certified radius of points near it",
            "Kantorovich 1948, with constants derived here",
            "distance of the minimiser over the radius, largest",
            1.0,
            largest(certificate["quotient"]),
            FLOOR / min(DISTANCES),
            "a minimiser outside of the radius",
            unsure,
            "≤",
        ),
        Claim(
            "L3.12",
            "in the direction of least curvature the certified radius is the distance, up to its second order",
            DERIVED,
            "least distance over radius / (1 − contraction)",
            1.0,
            least(certificate["quotient"] / (1 - certificate["contraction"])),
            SOLVED * TOL / min(DISTANCES),
            "a radius that is larger than the distance by more",
            unsure,
            "≥",
        ),
        Claim(
            "L3.13",
            "in that direction the certificate ends at the distance λ/(2M), where h = M|g|/λ² is ½",
            DERIVED,
            "distance at which the test begins to fail over λ/(2M), farthest from 1",
            1.0,
            farthest(ends["quotient"], 1.0),
            END_ROOM,
            "a certificate that ends elsewhere",
            open_ends,
        ),
    ]


def main(save: str = "certified_descent") -> None:
    """The table, the claims and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[table["part"].isin(["region", "local", "samples"])]
    titles = {"region": "L of the region: least |G|²", "local": "L around each iterate: least |G|²"}
    titles["samples"] = "random samples: mean |∇Φ|²"
    curves = {case: f"{case} loss, widths {'-'.join(map(str, NETS[case]))}" for case in NETS} | {
        SHARP: "linear, one input"
    }
    shown = shown.assign(panel=shown["part"].map(titles), curve=shown["case"].map(curves), most=1.0)
    labels = {"steps": "steps K", "y": "square of the gradient / its bound", "most": "bound", "curve": ""}
    plot.curves(
        shown, x="steps", y="quotient", by="panel", hue="curve", lines=["most"], labels=labels, logx=10, save=save
    )
    drawn = table[table["part"] == "certificate"].merge(
        table[table["part"] == "end"][["case", "depth", "distance"]].rename(columns={"distance": "end"}),
        on=["case", "depth"],
    )
    drawn = drawn.assign(itself=drawn["distance"], panel=drawn["case"] + ", n = " + drawn["depth"].astype(str))
    drawn[["radius", "unique"]] = drawn[["radius", "unique"]].where(drawn["status"] == str(Verdict.CERTIFIED))
    labels = {"distance": "distance of the minimiser, in u", "y": "certified radius, in u"}
    labels |= {"radius": "a minimiser exists within", "unique": "no other one within", "itself": "the distance itself"}
    labels["end"] = "distance where the certificate ends"
    columns: dict[str, Any] = {"x": "distance", "y": ["radius", "unique"], "by": "panel", "lines": ["itself", "end"]}
    plot.curves(drawn, **columns, labels=labels, logx=10, save=f"{save}_radius")


if __name__ == "__main__":
    study.run(main, globals())
