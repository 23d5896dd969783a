"""What do layers with equal weights do to data that are to be classified, or fitted by a line?

Herty, Trimborn & Visconti (2022) classify one-dimensional measurements, such as vehicles by their length, and fit a
line to a cloud, both by moving the law of the data to a simple one. The numbers here are ours:

- classification  lengths uniform on [2, 8], threshold 4. tanh(x − 4) moves the two classes apart for ever; the growing
                  cosine unit of x − 4 moves them to 4 ± π/2 and stops. No signal crosses the threshold: the classes
                  weigh 1/3 and 2/3 in every layer. Those near it, which it repels at the rate 1, are the last to
                  arrive: the law approaches its two Diracs as e^(−t), slower than a signal, as e^(−πt/2);
- regression      (x, y) is moved by y' = ax + c − y, x' = 0: the distance from the line falls as e^(−t), and in L
                  layers on [0, T] by exactly (1 − T/L)ᴸ. W₂ of the cloud from its line, by the optimal assignment to
                  the nearest points of the line, is NOISE (1 − T/L)ᴸ/(1 + a²)^½ for infinitely many points;
- assignment      S points of a Gaussian law in the plane and S of its image under the flow of σ = identity with a
                  symmetric w, at the Wasserstein distance of Bures's formula. Points that are moved are assigned to
                  their own images, as the flow is the gradient of a convex function. Independent points know W₂² up to
                  ((Var φ + Var ψ)/S)^½, with φ and ψ the potentials of Kantorovich, here quadratic.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import expm

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.compare import order
from deeplimit.meanfield import flows, moments, particles, wasserstein
from deeplimit.meanfield.steady_states import PhaseLine

LOW, HIGH, THRESHOLD = 2.0, 8.0, 4.0
DEPTHS = [8, 16, 32, 64, 128, 256]
TIMES = [0, 2, 4, 6, 8, 10]
FINAL = 3.0  # time of the last layer
SIGNALS = 3000
A, C, NOISE = 0.8, 0.5, 0.6  # of the line, and deviation of the cloud from it
CLOUD = 400
CLOUDS = 20  # independent ones, assigned to their lines
PLANE = [50, 100, 200, 400]  # points of the two samples of the plane
REPLICAS = 500
SEED = 0

QUICK = {"SIGNALS": 1500, "CLOUDS": 5, "PLANE": [50, 100, 200], "REPLICAS": 40}

SORTING = 1000  # layers of the network whose classes are weighed, up to time 12
CLOSE = 0.01
SHOWN = [0.0, 0.5, 1.0, 2.0, 4.0]
# A Gaussian law of the plane and the flow of the time 1 that moves it, w symmetric.
START = (np.array([0.5, 0.0]), np.array([[1.0, 0.3], [0.3, 0.6]]))
MOTION = (np.array([[-0.8, 0.3], [0.3, 0.5]]), np.array([3.0, 1.0]))
TOGETHER, APART = "moved with their images", "independent of their images"
SURE = 4  # standard errors that a claim about random numbers allows
LINE = ["part", "at", "replica", "gap", "predicted", "status"]

Row = dict[str, Any]


def points() -> Iterator[tuple[str, float, int]]:
    """Part, depth, time or number of points, and replica of every row."""
    yield from (("tanh", depth, 0) for depth in DEPTHS)
    yield from (("cosine", time, 0) for time in TIMES)
    yield ("classes", SORTING, 0)
    yield from (("line", depth, 0) for depth in DEPTHS)
    yield from (("to line", depth, replica) for depth in DEPTHS for replica in range(CLOUDS))
    yield from ((part, S, replica) for part in (TOGETHER, APART) for S in PLANE for replica in range(REPLICAS))


def measure(row: int) -> Row:
    """One row of the table."""
    part, at, replica = list(points())[row]
    place = {"part": part, "at": at, "replica": replica}
    if part in (TOGETHER, APART):
        found = assigned(part, int(at), replica)
    elif part == "to line":
        found = to_line(int(at), replica)
    else:
        found = {"tanh": apart, "cosine": sorted_law, "classes": classes, "line": regression}[part](at)
    return place | found | {"status": "computed"}


def signals() -> np.ndarray:
    """Equally probable lengths."""
    return particles.at_quantiles(lambda u: LOW + (HIGH - LOW) * u, SIGNALS)


def crossed(outputs: np.ndarray) -> int:
    """Signals on the other side of the threshold than at the start."""
    return int(np.sum((outputs > THRESHOLD) != (signals() > THRESHOLD)))


def apart(depth: float) -> Row:
    """W₁ of the law after L layers of tanh from the closed form of the limit, both in order."""
    outputs = particles.network("tanh", 1.0, -THRESHOLD, FINAL, int(depth), signals(), keep_order=False)
    limit = flows.flow("tanh", 1.0, -THRESHOLD, FINAL, signals())
    return {"gap": float(np.abs(np.sort(outputs) - limit).mean()), "crossed": crossed(outputs)}


def sorted_law(time: float) -> Row:
    """W₁ of the law under the growing cosine unit from its two Diracs.

    The nodes are 4 ± eˢ, by Gauss's rule in s, as the signals near the threshold are the last.
    """
    s, weights = np.polynomial.legendre.leggauss(12)
    distance = 0.0
    for reach, side in ((THRESHOLD - LOW, -1.0), (HIGH - THRESHOLD, 1.0)):
        edges = np.linspace(math.log(1e-12), math.log(reach), 40)
        half = np.diff(edges)[:, None] / 2
        away = np.exp((edges[1:] + edges[:-1])[:, None] / 2 + half * s).ravel()
        x = flows.flow("gcu", 1.0, -THRESHOLD, time, THRESHOLD + side * away) if time else THRESHOLD + side * away
        place = THRESHOLD + side * math.pi / 2
        distance += float((half * weights).ravel() * away @ np.abs(x - place)) / (HIGH - LOW)
    return {"gap": distance}


def classes(depth: float) -> Row:
    """Shares of the signals within CLOSE of the two clusters after many layers, and of those predicted."""
    phase = PhaseLine("gcu", 1.0, -THRESHOLD)  # type: ignore[arg-type]
    lower, upper = phase.clusters(LOW + 1e-9, HIGH - 1e-9)
    outputs = particles.network("gcu", 1.0, -THRESHOLD, 12.0, int(depth), signals())

    def cdf(x: float) -> float:
        return min(max((x - LOW) / (HIGH - LOW), 0.0), 1.0)

    return {
        "gap": float(np.mean(np.abs(outputs - lower.x) < CLOSE)),
        "predicted": lower.mass(cdf),
        "second": float(np.mean(np.abs(outputs - upper.x) < CLOSE)),
        "predicted_second": upper.mass(cdf),
        "crossed": crossed(outputs),
    }


def cloud(*seed: int) -> np.ndarray:
    """Points (x, y) scattered about the line, (CLOUD, 2)."""
    rng = np.random.default_rng([SEED, *seed])
    x = rng.uniform(-2, 2, CLOUD)
    return np.column_stack([x, A * x + C + NOISE * rng.standard_normal(CLOUD)])


def fitted(depth: int, time: float, *seed: int) -> np.ndarray:
    """The cloud after the layers."""
    w, b = np.array([[0.0, 0.0], [A, -1.0]]), np.array([0.0, C])
    return particles.network("identity", w, b, time, depth, cloud(*seed), keep_order=False)


def from_line(points: np.ndarray) -> float:
    """W₂ of a cloud from its nearest law on the line: the root mean square of the distances."""
    return float(np.sqrt(np.mean((points[:, 1] - A * points[:, 0] - C) ** 2) / (1 + A**2)))


def regression(depth: float) -> Row:
    """The factor by which the distance from the line falls in L layers, and what x moves."""
    after = fitted(int(depth), FINAL)
    return {
        "gap": from_line(after) / from_line(cloud()),
        "predicted": (1 - FINAL / depth) ** depth,
        "moved": float(np.abs(after[:, 0] - cloud()[:, 0]).max()),
    }


def to_line(depth: int, replica: int) -> Row:
    """W₂² of the cloud after L layers from the nearest points of the line, assigned in the order of their x."""
    after = fitted(depth, FINAL, depth, replica)
    x = np.sort((after[:, 0] + A * (after[:, 1] - C)) / (1 + A**2))
    gap = wasserstein.assignment(after, np.column_stack([x, A * x + C]), 2) ** 2
    return {"gap": gap, "predicted": NOISE**2 * (1 - FINAL / depth) ** (2 * depth) / (1 + A**2)}


def gaussian(samples: int, *seed: int) -> np.ndarray:
    """Independent points of the law at time 0, (S, 2)."""
    mean, covariance = START
    normal = np.random.default_rng([SEED, samples, *seed]).standard_normal((samples, 2))
    return mean + normal @ np.linalg.cholesky(covariance).T


@cache
def formula() -> tuple[float, float, float]:
    """W₂² of the law and its image, Var |X − AX − c|², and Var φ + Var ψ, for the flow x ↦ Ax + c.

    φ(x) = xᵀ(I − A)x − 2cᵀx and ψ(y) = yᵀ(I − A⁻¹)y + 2(A⁻¹c)ᵀy add up to |x − y|² where y = Ax + c, up to a constant.
    """
    (mean, covariance), one = START, np.eye(2)
    end = moments.mean_and_covariance(*MOTION, 1.0, *START)
    A_, inverse = expm(MOTION[0]), expm(-MOTION[0])
    c = end[0] - A_ @ mean
    shift, drift = one - A_, (one - A_) @ mean - c
    spread = shift @ covariance @ shift.T
    moved = 2 * np.trace(spread @ spread) + 4 * drift @ spread @ drift
    single = quadratic(one - A_, -2 * c, *START) + quadratic(one - inverse, 2 * inverse @ c, *end)
    return wasserstein.gaussian(*START, *end) ** 2, float(moved), single


def quadratic(Q: np.ndarray, q: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Var(XᵀQX + qᵀX) for X ~ N(mean, covariance), Q symmetric."""
    slope = q + 2 * Q @ mean
    return float(2 * np.trace(Q @ covariance @ Q @ covariance) + slope @ covariance @ slope)


def assigned(part: str, samples: int, replica: int) -> Row:
    """W₂² of two samples less that of their laws; `own` is the squared distance of the moved points from themselves."""
    x = gaussian(samples, replica, 0)
    moved = x if part == TOGETHER else gaussian(samples, replica, 1)
    y = particles.limit("identity", *MOTION, 1.0, moved)
    exact, paired, single = formula()
    found = wasserstein.assignment(x, y[::-1], 2) ** 2
    variance = paired if part == TOGETHER else single
    own = float(np.mean(np.sum((x - y) ** 2, axis=1)))
    return {"gap": found - exact, "predicted": math.sqrt(variance / samples), "own": found / own}


SOURCE = "after Herty, Trimborn & Visconti 2022, numbers ours; derived here"


def claims(table: pd.DataFrame) -> list[Claim]:
    """Classes, clusters and the line."""
    places = pd.DataFrame(list(points()), columns=["part", "at", "replica"]).loc[table["row"]]
    table = table.assign(**places.set_axis(table.index))
    rows = {str(part): group for part, group in table.groupby("part")}
    why = {part: doubts(group, "at", trusted=("computed",)) for part, group in rows.items()}
    first, last = TIMES[-2:]
    heights, weighed, line = rows["cosine"].set_index("at")["gap"], rows["classes"].iloc[0], rows["line"]
    limit = DEPTHS[-1] * (line["gap"].iloc[-1] / math.exp(-FINAL) - 1)
    return [
        Claim(
            "M4.13",
            "No signal crosses the threshold: the classes weigh 1/3 and 2/3 in every network",
            SOURCE,
            "signals on the other side than at the start, tanh at every depth and growing cosine",
            0.0,
            largest([*rows["tanh"]["crossed"], weighed["crossed"]]),
            0.0,
            "a signal that has crossed",
            (*why["tanh"], *why["classes"]),
        ),
        Claim(
            "M4.14",
            "The law after L layers of tanh tends to the closed form in W₁ at order 1",
            SOURCE,
            "fitted order",
            1.0,
            order(rows["tanh"]["at"], rows["tanh"]["gap"], 0 * rows["tanh"]["gap"] + 1e-14).slope,
            0.05,
            "another order",
            why["tanh"],
        ),
        Claim(
            "M4.15",
            "The growing cosine unit moves 1/3 and 2/3 of the signals to 4 − π/2 and 4 + π/2, and stops",
            SOURCE,
            f"share within {CLOSE:g} of each less the predicted one, farthest from 0",
            0.0,
            farthest([weighed["gap"] - weighed["predicted"], weighed["second"] - weighed["predicted_second"]], 0.0),
            2 / SIGNALS,
            "another share",
            why["classes"],
        ),
        Claim(
            "M4.16",
            "The law approaches its two Diracs in W₁ as e^(−t), the rate of the threshold",
            SOURCE,
            f"slope of log W₁ between t = {first} and {last}",
            -1.0,
            math.log(heights[last] / heights[first]) / (last - first),
            3 * (math.pi / 2 - 1) * math.exp(-(math.pi / 2 - 1) * first),
            "another rate, −π/2 if the signals near the threshold did not matter",
            why["cosine"],
        ),
        Claim(
            "M4.17",
            "The distance of the cloud from the line falls by (1 − T/L)ᴸ",
            SOURCE,
            "observed / predicted, farthest from 1 over all depths",
            1.0,
            farthest(line["gap"] / line["predicted"], 1.0),
            1e-10,
            "another factor",
            why["line"],
        ),
        Claim(
            "M4.18",
            "which tends to e^(−T) at order 1, with the constant −T²/2",
            SOURCE,
            f"L (factor/e^(−T) − 1), L = {DEPTHS[-1]}",
            -(FINAL**2) / 2,
            limit,
            FINAL**4 / DEPTHS[-1],  # the next terms, T⁴/8 and T³/3
            "another constant",
            why["line"],
        ),
        Claim(
            "M4.19",
            "and no x is moved",
            SOURCE,
            "largest change of an x",
            0.0,
            largest(line["moved"]),
            0.0,
            "an x that has moved",
            why["line"],
        ),
        *claims_assignment(rows, why),
    ]


def rms(rows: pd.DataFrame) -> pd.Series:
    """Root mean square of W₂² less that of the laws, for each number of points."""
    return rows.groupby("at")["gap"].agg(lambda gap: math.sqrt(float((gap**2).mean(skipna=False))))


def claims_assignment(rows: dict[str, pd.DataFrame], why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """W₂ in the plane; a root mean square over R replicas has the relative standard error (2R)^(−½)."""
    line, paired, apart_ = rows["to line"], rows[TOGETHER], rows[APART]
    logs, one = np.log(PLANE), 1 / math.sqrt(2 * REPLICAS)
    both = [rms(group) for group in (paired, apart_)]
    exponents = [float(np.polyfit(logs, np.log(heights), 1)[0]) for heights in both]
    constants = [
        float((heights / group.groupby("at")["predicted"].first()).mean())
        for heights, group in zip(both, (paired, apart_), strict=True)
    ]
    doubt = (*why[TOGETHER], *why[APART])
    return [
        Claim(
            "M4.20",
            "W₂ of the cloud from its line, by assignment, is NOISE (1 − T/L)ᴸ/(1 + a²)^½ at every depth",
            SOURCE,
            f"mean of W₂² observed / predicted, over {len(line)} clouds of {CLOUD} points",
            1.0,
            float((line["gap"] / line["predicted"]).mean(skipna=False)),
            SURE * math.sqrt(2 / (CLOUD * len(line))),
            "another distance",
            why["to line"],
        ),
        Claim(
            "M4.21",
            "The flow of a symmetric w assigns every point to its own image, as the gradient of a convex function",
            "derived here",
            "W₂² by assignment / mean squared distance of the points from their images, farthest from 1",
            1.0,
            farthest(paired["own"], 1.0),
            1e-11,
            "another assignment that is shorter",
            why[TOGETHER],
        ),
        Claim(
            "M4.22",
            "W₂² of S points in the plane and their images tends to Bures's formula at order ½",
            "derived here",
            "exponent of S in the root mean square of the error, moved and independent, farthest",
            -0.5,
            farthest(exponents, -0.5),
            SURE * one / float(np.linalg.norm(logs - logs.mean())),
            "another exponent",
            doubt,
        ),
        Claim(
            "M4.23",
            "and the constant is (Var |X − AX − c|²)^½ for moved, (Var φ + Var ψ)^½ for independent points",
            "derived here",
            "observed / predicted root mean square, mean over S, farthest",
            1.0,
            farthest(constants, 1.0),
            SURE * one / math.sqrt(len(PLANE)),
            "another constant, as that of moved points for independent ones",
            doubt,
        ),
    ]


def words(time: float) -> str:
    """The step is fixed, so that the time grows with the number of layers."""
    return f"T = {time:g}: {int(64 * time)} layers of 1/64" if time else "T = 0: data"


def draw_figures(save: str) -> None:
    """The law of the lengths, and the cloud, after more and more layers of the step 1/64."""
    level, found = (np.arange(600) + 0.5) / 600, []
    x = LOW + (HIGH - LOW) * level
    for name, title in (("tanh", "tanh(x − 4)"), ("gcu", "growing cosine unit of x − 4")):
        for time in SHOWN:
            depth = int(64 * time)
            at = particles.network(name, 1.0, -THRESHOLD, time, depth, x) if depth else x
            found.append(pd.DataFrame({"x": at, "level": level, "curve": words(time), "unit": title}))
    goal = np.where(x < THRESHOLD, THRESHOLD - math.pi / 2, THRESHOLD + math.pi / 2)
    found.append(pd.DataFrame({"x": goal, "level": level, "curve": "limit, predicted", "unit": title}))
    labels = {"x": "length x", "level": "share of signals below x"}
    plot.laws(
        pd.concat(found), y="level", by="unit", hue="curve", dashed=["limit, predicted"], labels=labels, save=save
    )
    clouds = [(fitted(int(64 * time), time) if time else cloud(), time) for time in SHOWN]
    table = pd.concat([pd.DataFrame(at, columns=["x", "y"]).assign(depth=words(time)) for at, time in clouds])
    plot.clouds(table, by="depth", line=(A, C), labels={"x": "x", "y": "y"}, save=f"{save}_line")


def draw_assignments(table: pd.DataFrame, save: str) -> None:
    """Every W₂² of two samples of the plane, about Bures's formula."""
    rows = table[table["part"].isin([TOGETHER, APART])].assign(mean=0.0)
    labels = {"at": "points S of each sample", "gap": "W₂² by assignment − Bures's formula"}
    columns = {"x": "at", "y": "gap", "mean": "mean", "deviation": "predicted", "by": "part"}
    plot.replicas(rows, **columns, labels=labels, save=f"{save}_assignment")


def main(save: str = "applications") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    draw_figures(save)
    draw_assignments(table, save)


if __name__ == "__main__":
    study.run(main, globals())
