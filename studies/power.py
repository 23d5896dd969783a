"""What do minimisers tend to when the penalty on the differences of the weights has n^γ in front instead of n?

The theorem of Thorpe & van Gennip (2023) has γ = 1. For γ < 1 the penalty fades as the network gets deeper: on the
reference problem networks of depths n and 2n do not approach each other, and where no weights reach the infimum of the
data term ‖θ'‖ grows like n^((1−γ)/6) (the saturated problem). For γ > 1 the limit has weights that do not depend on
depth, and values tend to the least one over such weights. A claim here holds when the predicted behaviour is seen.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import integrate, optimize

from deeplimit import Data, Problem, compare, data, discrete, gamma, norms, plot, study, variants
from deeplimit.claims import Claim, doubts, farthest, largest, least
from deeplimit.minimum import Minimum

ALPHA = {"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1}
PROBLEMS = {
    "reference": Problem(data.scalar(), loss="squared", alpha=ALPHA),
    # X(1) = ∫ tanh b is to reach 1, which no b does
    "saturated": Problem(
        Data(torch.zeros(1, 1), torch.ones(1, 1)), loss="squared", alpha=0.01, tau=100.0, trainable="b"
    ),
}
POWERS = {"reference": [0.0, 0.5, 1.0, 1.5, 2.0], "saturated": [0.0, 0.5]}
DEPTHS = [8, 16, 32, 64, 128, 256, 512]
STARTS = 6

QUICK = {"DEPTHS": [8, 16, 32, 64], "STARTS": 3}
NEXT = 4  # a claim allows this many times the next term of the expansion that it rests on
ASINH = math.asinh(1.0)
DERIVED = "derived here"
TITLES = {"reference": "reference problem", "saturated": "infimum not attained"}
LABELS = {"predicted": "predicted", "power": "γ =", "y": "‖(K′, b′)‖, discrete H¹"}


@cache
def solve(problem: str, power: float, depth: int) -> Minimum:
    """The minimiser with n^γ: the lowest of random starts at the coarsest depth, then from half the depth."""
    posed = variants.power(PROBLEMS[problem], depth, power)
    if depth > DEPTHS[0]:
        return discrete.minimise(posed, depth, start=solve(problem, power, depth // 2).control)
    return min((discrete.minimise(posed, depth, seed=seed) for seed in range(STARTS)), key=lambda found: found.value)


def measure(case: str, depth: int) -> dict[str, Any]:
    """One depth: ‖θ'‖ with its prediction and its bound √(E_n(0)/α'), and the distance from half the depth."""
    problem, power = cases()[case]
    net, posed = solve(problem, power, depth), variants.power(PROBLEMS[problem], depth, power)
    still = replace(net.control, K=0 * net.control.K, b=0 * net.control.b)
    row = {
        "problem": problem,
        "power": power,
        "value": net.value,
        "slope_norm": norms.h1(net.control, still),
        "slope_error": net.distance_bound / math.sqrt(posed.alpha["b"]),
        "slope_bound": gamma.bounds(posed)["b'"],
        "predicted": predicted_slope_norm(problem, power, depth),
        "residual": net.residual,
        "curvature": net.curvature,
        "status": str(net.status),
    }
    if depth == DEPTHS[0]:
        return row | {"l2_apart": math.nan, "apart_error": math.nan}
    half = solve(problem, power, depth // 2)
    error = (half.distance_bound + net.distance_bound) * posed.metric.embedding()
    return row | {"l2_apart": norms.tl2(half.control, net.control), "apart_error": error}


def predicted_slope_norm(problem: str, power: float, depth: int) -> float:
    """Where theory has the constant: the saturated problem with γ < 1, the reference problem with γ > 1."""
    if problem == "saturated":
        return fading(faded(power, depth), depth)
    return constant_weights()[1] * depth ** (1 - power) if power > 1 else math.nan


def faded(power: float, depth: float) -> float:
    """α n^(γ−1), what the penalty of the saturated problem is at depth n."""
    return PROBLEMS["saturated"].alpha["b"] * depth ** (power - 1)


def fading_terms(alpha: float, depth: float) -> tuple[float, float]:
    """What the finite end b(1) takes from ‖b'‖, and what the n steps through the layer at t = 0 add: see `fading`."""
    width = alpha ** (1 / 3)
    return math.pi**2 / 16 * ASINH ** (-4 / 3) * width, ASINH ** (-2 / 3) / (12 * depth * width)


def fading(alpha: float, depth: float) -> float:
    """‖b'‖ at the minimiser of (h Σ tanh b_i − 1)² + α n Σ|Δb|² for small α, large n and a start held near 0.

    It is

        √2 a^(2/3) α^(−1/6) (1 − π²/(16 a^(4/3)) w + 1/(12 a^(2/3) n w)),  a = asinh 1,  w = α^(1/3).

    With δ = 1 − ∫ tanh b and b'(1) = 0 the first integral is α b'² = 2 δ (tanh b(1) − tanh b), where b(1) → ∞. So
    δ = ∫ (1 − tanh b)/b' db = √(α/(2δ)) I and ‖b'‖² = √(2δ/α) I with I = ∫₀^∞ √(1 − tanh b) db = √2 a: δ = a^(2/3) w.
    Outside a layer of width w, b(t) = b(1) + log sin(πt/2) with e^(b(1)) = (4/π) √(δ/α), which grows like −(1/3) log α;
    as b(1) is finite, the I of ‖b'‖², not that of δ, is less by √2 (π/2) e^(−b(1)). The sum is ∫ tanh b − h/2, so that
    δ − h/2 stands for the first δ.
    """
    end, steps = fading_terms(alpha, depth)
    return math.sqrt(2) * ASINH ** (2 / 3) * alpha ** (-1 / 6) * (1 - end + steps)


def fading_move(power: float, depth: int) -> float:
    """How far minimisers of depths n/2 and n are apart in L²: (1 − γ) log 2 / 3 (1 − s₀ w log(1/w)), w = α^(1/3).

    All of b outside the layer moves by the change of −(1/3) log α, that inside by t b' as much, where b' is about
    1/(t + s₀ w) and s₀ = (√2 − a)/(2 a^(1/3)).
    """
    width = faded(power, depth) ** (1 / 3)
    lost = (math.sqrt(2) - ASINH) / (2 * ASINH ** (1 / 3)) * width * math.log(1 / width)
    return (1 - power) * math.log(2) / 3 * (1 - lost)


@cache
def constant_weights() -> tuple[float, float]:
    """The least value of the reference problem over weights constant in depth, and the limit of n^(γ−1) ‖θ'‖ for γ > 1.

    By SciPy alone. From 2α'θ'' = r, the L² gradient of the data term, and θ'(1) = 0 follows 2α'θ' = −∫_t¹ r; as
    α' = α n^(γ−1) grows, θ tends to constants and α'θ' to the integral at these.
    """
    x, y = (values.ravel().numpy() for values in (data.scalar().x, data.scalar().y))
    options: dict[str, Any] = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}
    roots = np.sqrt(list(ALPHA.values()))  # τ = 1

    def end(theta: np.ndarray) -> np.ndarray:
        return integrate.solve_ivp(lambda _, X: np.tanh(theta[0] * X + theta[1]), (0, 1), x, **options).y[:, -1]

    def residuals(theta: np.ndarray) -> np.ndarray:
        return np.concatenate([theta[2] * end(theta) + theta[3] - y, roots * theta])

    starts = np.random.default_rng(0).standard_normal((STARTS, 4))
    found = [optimize.least_squares(residuals, s, jac="3-point", xtol=1e-14, ftol=1e-14, gtol=1e-12) for s in starts]
    best = min(found, key=lambda f: f.cost)
    K, b, W, _ = best.x

    def backward(_: float, state: np.ndarray) -> np.ndarray:
        X, p, tail = state[:3], state[3:6], state[6:8]
        q = p / np.cosh(K * X + b) ** 2
        return np.concatenate([np.tanh(K * X + b), -K * q, [-q @ X, -q.sum(), -(tail @ tail)]])

    last = np.concatenate([end(best.x), W * 2 * best.fun[:3], np.zeros(3)])
    squared = integrate.solve_ivp(backward, (1, 0), last, **options).y[-1, -1]
    return 2 * best.cost, math.sqrt(squared) / (2 * ALPHA["K"])


def cases() -> dict[str, tuple[str, float]]:
    """Problem and γ of every group of rows, by name."""
    return {f"{problem}, γ = {power:g}": (problem, power) for problem, powers in POWERS.items() for power in powers}


def order(rows: pd.DataFrame, column: str, error: str) -> compare.Order:
    """How a column falls with depth."""
    return compare.order(rows["depth"], rows[column], rows[error])


def beyond(values: Iterable[float], power: float) -> float:
    """The limit of values at doubled depths whose next term is n^(−power), from the last two."""
    before, last = list(values)[-2:]
    return (2**power * last - before) / (2**power - 1)


def groups(table: pd.DataFrame, problem: str) -> dict[float, pd.DataFrame]:
    """The rows of a problem by γ."""
    return {power: table[table["case"] == name] for name, (of, power) in cases().items() if of == problem}


def fading_claims(table: pd.DataFrame) -> list[Claim]:
    """γ < 1: the penalty fades, and weights that no infimum holds back grow."""
    claim = partial(Claim, source=DERIVED, doubts=doubts(table, "case", "depth"), predicted=1.0)
    exponents, sizes, distances, bends, terms, widths = [], [], [], [], [], []
    n = DEPTHS[-1]
    for power, rows in groups(table, "saturated").items():
        expected = math.log2(fading(faded(power, n), n) / fading(faded(power, n / 2), n / 2))
        exponents.append(-order(rows, "slope_norm", "slope_error").pairwise[-1] / expected)
        sizes.append(rows["slope_norm"].iloc[-1] / fading(faded(power, n), n))
        distances.append(rows["l2_apart"].iloc[-1] / fading_move(power, n))
        end, steps = (term**2 for term in fading_terms(faded(power, n), n))
        terms.append(end + steps)
        # c n^(−p) adds p c n^(−p) to the exponent (1 − γ)/6; p = 2(1 − γ)/3 for the one, 2 − 2(1 − γ)/3 for the other
        bends.append(4 * end + (12 / (1 - power) - 4) * steps)
        widths.append(faded(power, n) ** (1 / 3))
    return [
        claim(
            "T10.11",
            "with n^γ, γ < 1, and an infimum that no weights attain, ‖θ'‖ grows like n^((1−γ)/6)",
            quantity="exponent of the last pair over that of the expansion, saturated problem, the farthest from 1",
            observed=farthest(exponents, 1.0),
            tolerance=NEXT * max(bends),
            falsified_by="weights that stay bounded in H¹ although the penalty fades",
        ),
        claim(
            "T10.12",
            "with γ < 1 and an infimum that no weights attain, the constant of ‖θ'‖ is √2 asinh(1)^(2/3) α^(−1/6)",
            quantity="‖θ'‖ over the expansion at the deepest network, saturated problem, the farthest from 1",
            observed=farthest(sizes, 1.0),
            tolerance=NEXT * max(terms),
            falsified_by="another size of the weights",
        ),
        claim(
            "T10.13",
            "where γ < 1 and no weights attain the infimum, depths n and 2n stay (1 − γ) log 2 / 3 apart in L²",
            quantity="least TL² bound between the two deepest networks over the expansion of that distance",
            observed=least(distances),
            tolerance=max(widths),
            falsified_by="a distance that falls with depth",
            relation="≥",
        ),
    ]


def reference_claims(table: pd.DataFrame) -> list[Claim]:
    """The bound for every γ, and how the distance of depths n and 2n falls for γ ≤ 1."""
    claim = partial(Claim, source=DERIVED, doubts=doubts(table, "case", "depth"))
    found = {power: order(rows, "l2_apart", "apart_error") for power, rows in groups(table, "reference").items()}
    return [
        claim(
            "T10.14",
            "for every γ ‖θ'‖ is at most √(E_n(0)/α) n^((1−γ)/2)",
            quantity="the largest ‖θ'‖ over its bound",
            predicted=1.0,
            observed=largest(table["slope_norm"] / table["slope_bound"]),
            tolerance=0.0,
            falsified_by="a minimiser above the bound",
            relation="≤",
        ),
        claim(
            "T10.15",
            "with γ < 1 the distance of minimisers of depths n and 2n does not fall",
            quantity="largest order of the TL² bound, last pair, reference problem",
            predicted=0.0,
            observed=largest(found[power].pairwise[-1] for power in found if power < 1),
            tolerance=0.0,
            falsified_by="a distance that falls with depth, as for γ = 1",
            relation="≤",
        ),
        claim(
            "T10.16",
            "with γ = 1, the theorem's, the distance of minimisers of depths n and 2n falls at first order",
            quantity="order of the TL² bound, extrapolated, reference problem",
            predicted=1.0,
            observed=found[1.0].extrapolated,
            tolerance=NEXT / DEPTHS[-1],
            falsified_by="a distance that does not fall, or falls at another order",
        ),
    ]


def stiff_claims(table: pd.DataFrame) -> list[Claim]:
    """γ > 1: weights that do not depend on depth."""
    claim = partial(Claim, source=DERIVED, doubts=doubts(table, "case", "depth"))
    value, size = constant_weights()
    exponents, sizes = [], []
    stiff = {power: rows for power, rows in groups(table, "reference").items() if power > 1}
    for power, rows in stiff.items():
        exponents.append(beyond(order(rows, "slope_norm", "slope_error").pairwise, power - 1) / (power - 1))
        sizes.append(beyond(rows["slope_norm"] * rows["depth"] ** (power - 1), power - 1) / size)
    softest, stiffest = min(stiff), max(stiff)
    return [
        claim(
            "T10.17",
            "with γ > 1 weights become constant in depth, ‖θ'‖ ~ n^(−(γ−1))",
            quantity="exponent, extrapolated, over γ − 1, the farthest from 1",
            predicted=1.0,
            observed=farthest(exponents, 1.0),
            tolerance=NEXT * DEPTHS[-1] ** (-2 * (softest - 1)),
            falsified_by="weights that keep a slope",
        ),
        claim(
            "T10.18",
            "with γ > 1 the constant of ‖θ'‖ is that which the best weights constant in depth give",
            quantity="n^(γ−1) ‖θ'‖, extrapolated, over its prediction, the farthest from 1",
            predicted=1.0,
            observed=farthest(sizes, 1.0),
            tolerance=NEXT * DEPTHS[-1] ** (-2 * (softest - 1)),
            falsified_by="another limit of the weights",
        ),
        claim(
            "T10.19",
            "with γ > 1 min E_n tends to the least value over weights constant in depth, not to min E_∞",
            quantity="min E_n, extrapolated, for the largest γ",
            predicted=value,
            observed=beyond(stiff[stiffest]["value"], stiffest - 1),
            tolerance=NEXT * DEPTHS[-1] ** (-2 * (stiffest - 1)),
            falsified_by="another limit of the values",
        ),
    ]


def claims(table: pd.DataFrame) -> list[Claim]:
    """T10.11 to T10.19: powers of n below, at and above the theorem's."""
    return [*fading_claims(table), *reference_claims(table), *stiff_claims(table)]


def main(save: str = "power") -> None:
    """The table, the claims, the record and the figure."""
    table = study.sweep(measure, save=save, case=list(cases()), depth=DEPTHS)
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table.assign(problem=table["problem"].map(TITLES))
    columns: dict[str, Any] = {"x": "depth", "y": "slope_norm", "by": "problem", "hue": "power"}
    plot.curves(shown, **columns, lines=["predicted"], labels=LABELS, save=save)


if __name__ == "__main__":
    study.run(main, globals())
