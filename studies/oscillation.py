"""Do trained networks still have a limit when the H¹ penalty on the weights is replaced by an L² one?

The theorem of Thorpe & van Gennip (2023) asks for n Σ|θ_i − θ_{i−1}|², which ties a layer to the next. Without it, in
the problem of `deeplimit.counterexample` (relu, one neuron, two points), any order of the layers is as good as any
other: networks with independent random orders have no limit in TL² that is a function. Training keeps the signs of the
layers: from random orders of the optimal number of positive layers it finds such networks, from independent random
signs it ends in suboptimal ones. With the H¹ penalty training from the same orders leads to networks that converge. A
claim here holds when the predicted failure is seen.
"""

import math
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from deeplimit import compare, counterexample, discrete, norms, plot, study
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.control import Layers
from deeplimit.counterexample import Oscillation
from deeplimit.minimum import Minimum

SWING = Oscillation(rise=0.8, fall=0.4)
ALPHA = 0.1
ORDERS: dict[str, dict[str, int]] = {"sorted": {}, "4 blocks": {"blocks": 4}, "random": {"seed": 0}}
ORDER_DEPTHS = [12, 120, 1200]
PAIR_DEPTHS = [12, 24, 48, 96, 192]  # n, compared with 2n
PAIRS = 110  # of random orders at each depth
TRAIN_DEPTHS = [24, 48, 96, 192]  # n, compared with n/2
SIGNS = 12  # starts of independent random signs, at the least and the largest of these depths

QUICK = {"ORDER_DEPTHS": [12, 120], "PAIR_DEPTHS": [12, 24, 48], "TRAIN_DEPTHS": [24, 48, 96]}
PROBLEM = SWING.problem(ALPHA)
PENALTIES = ("L²", "H¹")
NEXT = 4  # a claim allows this many times the next term of the expansion that it rests on
DEVIATIONS = 4  # and this many standard deviations of a random number
CLOSED = "converged: nothing to solve"
DERIVED = "derived here"
LABELS = {
    "l2_apart": "random orders, ‖k⁽ⁿ⁾ − k⁽²ⁿ⁾‖",
    "L²": "trained with L², ‖k⁽ⁿ⁾ − k⁽²ⁿ⁾‖",
    "tl2_apart": "random orders, TL²",
    "H¹": "trained with H¹, ‖k⁽ⁿ⁾ − k⁽²ⁿ⁾‖",
    "predicted_l2": "predicted",
    "predicted_tl2": "predicted, TL²",
    "y": "distance of depths n and 2n",
}


def energies(layers: Layers) -> dict[str, float]:
    """End states, h Σ k² and n Σ|Δk|²."""
    up, down = discrete.states(PROBLEM, layers)[-1].ravel().tolist()
    h1 = norms.h1(layers, counterexample.network(np.zeros(layers.depth)))
    return {"state_up": up, "state_down": down, "l2_energy": float(layers.K.square().mean()), "h1_energy": h1**2}


def measure_order(order: str, depth: int) -> dict[str, Any]:
    """End states of one order of the layers, against their closed form."""
    row = energies(SWING.layers(depth, **ORDERS[order]))
    up, down = SWING.end_states(depth)
    error = max(abs(row["state_up"] - up), abs(row["state_down"] - down))
    return row | {"state_error": error, "status": CLOSED}


def measure_pair(seed: str, depth: int) -> dict[str, Any]:
    """How far random orders of n and 2n layers are apart, and from their weak limit."""
    coarse, fine = (SWING.layers(n, seed=2 * int(seed) + k) for k, n in enumerate((depth, 2 * depth)))
    weak = counterexample.network(np.full(depth, SWING.mean))
    return energies(coarse) | {
        "l2_apart": norms.tl2(coarse, fine),
        "tl2_apart": norms.tl2(coarse, fine, exact=True),
        "predicted_tl2": counterexample.tl2_distance(depth, 2 * depth),
        "tl2_weak": norms.tl2(coarse, weak, exact=True),
        "status": CLOSED,
    }


@cache
def train(penalty: str, depth: int) -> Minimum:
    """The minimiser that training finds from a random order of the optimal number of positive layers.

    The sizes of the weights are random too.
    """
    sizes = np.random.default_rng(depth).uniform(0.5, 1.5, depth)
    start = counterexample.network(SWING.layers(depth, seed=depth).K.numpy().ravel() * sizes)
    if penalty == "H¹":
        return discrete.minimise(PROBLEM, depth, start=start)
    return counterexample.minimise_untied(PROBLEM, start)


def measure_trained(penalty: str, depth: int) -> dict[str, Any]:
    """A trained network, and how far it is from the one of half the depth."""
    half, net = train(penalty, depth // 2), train(penalty, depth)
    return energies(net.control) | {
        "l2_apart": norms.tl2(half.control, net.control),
        "apart_error": (half.distance_bound + net.distance_bound) * PROBLEM.metric.embedding(),
        "value": net.value,
        "residual": net.residual,
        "curvature": net.curvature,
        "kink_distance": counterexample.kink_distance(PROBLEM, net.control),
        "status": str(net.status),
    }


def measure_signs(seed: str, depth: int) -> dict[str, Any]:
    """What training with L² finds from layers of independent random signs, beside what their number predicts."""
    random = np.random.default_rng([int(seed), depth])
    signs = random.choice([-1.0, 1.0], depth)
    weights = SWING.size * signs * random.uniform(0.5, 1.5, depth)
    net = counterexample.minimise_untied(PROBLEM, counterexample.network(weights))
    return energies(net.control) | {
        "positive": int((signs > 0).sum()),
        "value": net.value,
        "predicted_value": signed_minimum(int((signs > 0).sum()), depth),
        "residual": net.residual,
        "curvature": net.curvature,
        "kink_distance": counterexample.kink_distance(PROBLEM, net.control),
        "status": str(net.status),
    }


@cache
def signed_minimum(positive: int, depth: int) -> float:
    """The value at which networks with m positive weights of n are stationary, by SciPy alone.

    The derivative in k_i is that of its own point's error, so that k_i (1 + k_i/n) is one number for all k_i of a sign:
    they are a and −b, the minimisers of ((1 + a/n)^m − y₁)² + α (m/n) a² and of
    ((1 − b/n)^(n−m) + y₂)² + α (1 − m/n) b².
    """
    targets, value = PROBLEM.data.y.ravel().tolist(), 0.0
    for sign, target, count in zip((1, -1), targets, (positive, depth - positive), strict=True):

        def scalar(size: float, sign: int = sign, target: float = target, count: int = count) -> float:
            state = sign * (1 + sign * size / depth) ** count
            return (state - target) ** 2 + ALPHA * count / depth * size**2

        found = optimize.minimize_scalar(scalar, bounds=(0, 4 * SWING.size), method="bounded", options={"xatol": 1e-12})
        value += found.fun
    return value


def signed_minima(depth: int) -> tuple[float, float, float]:
    """The least of these values over all numbers of positive weights, and mean and deviation over random signs."""
    numbers = np.arange(depth + 1)
    values = np.array([signed_minimum(int(m), depth) for m in numbers])
    chance = stats.binom(depth, 0.5).pmf(numbers)
    mean = float(chance @ values)
    return float(values.min()), mean, math.sqrt(float(chance @ (values - mean) ** 2))


def rows() -> list[str]:
    """Names of the rows: a part, which order, pair or penalty, and a depth."""
    orders = [f"order: {order}, {n}" for order in ORDERS for n in ORDER_DEPTHS]
    pairs = [f"pair: {seed}, {n}" for n in PAIR_DEPTHS for seed in range(PAIRS)]
    trained = [f"trained: {penalty}, {n}" for penalty in PENALTIES for n in TRAIN_DEPTHS]
    signs = [f"signs: {seed}, {n}" for n in (TRAIN_DEPTHS[0], TRAIN_DEPTHS[-1]) for seed in range(SIGNS)]
    return [*orders, *pairs, *trained, *signs]


def measure(row: str) -> dict[str, Any]:
    """One row of the table."""
    part, rest = row.split(": ")
    which, depth = rest.split(", ")
    functions = {"order": measure_order, "pair": measure_pair, "trained": measure_trained, "signs": measure_signs}
    return {"part": part, "which": which, "depth": int(depth)} | functions[part](which, int(depth))


def order_claims(table: pd.DataFrame) -> list[Claim]:
    """What the L² penalty cannot tell apart."""
    rows = table[table["row"].str.startswith("order")]
    claim = partial(Claim, source=DERIVED, doubts=doubts(rows, "row"))
    last = rows[rows["depth"] == ORDER_DEPTHS[-1]]
    up, weak = SWING.limit_states()[0], SWING.weak_limit_states()[0]
    return [
        claim(
            "T10.1",
            "with relu and one neuron the order of the layers does not matter to the end states",
            quantity="the farthest of a state from its closed form",
            predicted=0.0,
            observed=farthest(rows["state_error"], 0.0),
            tolerance=1e-12,
            falsified_by="an order of the layers with other end states",
        ),
        claim(
            "T10.2",
            "the L² penalty is the same for every order of the layers",
            quantity="h Σ k², the farthest from (A + B)²",
            predicted=SWING.size**2,
            observed=farthest(rows["l2_energy"], SWING.size**2),
            tolerance=1e-12,
            falsified_by="an order that the L² penalty prefers",
        ),
        claim(
            "T10.3",
            "networks that converge weakly do not tend to the network of their weak limit",
            quantity="X_n minus that of the weak limit, deepest networks, the farthest from e^A − e^(A−B)",
            predicted=up - weak,
            observed=farthest(last["state_up"] - weak, up - weak),
            tolerance=NEXT * up * SWING.rise * SWING.size / (2 * ORDER_DEPTHS[-1]),
            falsified_by="end states that tend to those of the weak limit",
        ),
    ]


def pair_claims(table: pd.DataFrame) -> list[Claim]:
    """Random orders have no limit in TL² that is a function."""
    pairs = table[table["row"].str.startswith("pair")]
    claim = partial(Claim, source=DERIVED, doubts=doubts(pairs, "row"))
    last, distance = pairs[pairs["depth"] == PAIR_DEPTHS[-1]], SWING.l2_distance()
    return [
        claim(
            "T10.4",
            "the H¹ energy of random orders grows like n², with constant 8 A B",
            quantity="mean of n Σ|Δk|² / n²",
            predicted=distance**2,
            observed=float((pairs["h1_energy"] / pairs["depth"] ** 2).mean(skipna=False)),
            # the share of changes of sign has a variance below its mean over n
            tolerance=DEVIATIONS * distance**2 * math.sqrt((1 / pairs["depth"]).sum()) / len(pairs),
            falsified_by="an H¹ energy that stays bounded, or grows like n as for one change of sign",
        ),
        claim(
            "T10.5",
            "without the H¹ term minimisers of depths n and 2n stay apart in L²",
            quantity="root mean square of ‖k^(n) − k^(2n)‖ of the extensions, deepest pairs",
            predicted=distance,
            observed=math.sqrt((last["l2_apart"] ** 2).mean(skipna=False)),
            tolerance=DEVIATIONS * distance / math.sqrt(8 * PAIR_DEPTHS[-1] * PAIRS),
            falsified_by="a distance that falls with depth",
        ),
        claim(
            "T10.6",
            "random orders are Cauchy in TL², like √(1/(4n)): their limit is a Young measure, no function",
            quantity="mean of the squared TL² distance of depths n and 2n over its prediction 1/(4n)",
            predicted=1.0,
            observed=float((pairs["tl2_apart"] ** 2 / pairs["predicted_tl2"] ** 2).mean(skipna=False)),
            tolerance=DEVIATIONS * math.sqrt(4 / 5 / len(pairs)),
            falsified_by="a TL² distance that falls faster, or stays as large as that of the extensions",
        ),
        claim(
            "T10.7",
            "no coupling brings random orders nearer to their weak limit",
            quantity="TL² distance from the constant A − B, the farthest from 2 √(AB)",
            predicted=SWING.weak_distance(),
            observed=farthest(pairs["tl2_weak"], SWING.weak_distance()),
            tolerance=1e-9,
            falsified_by="a distance from the weak limit that falls with depth",
        ),
    ]


def trained_claims(table: pd.DataFrame) -> list[Claim]:
    """Trained networks: with L² apart for ever, with H¹ convergent."""
    trained = table[table["row"].str.startswith("trained")]
    untied, tied = (trained[trained["row"].str.contains(penalty)] for penalty in PENALTIES)
    claim = partial(Claim, source=DERIVED, doubts=doubts(trained, "row"))
    deepest = TRAIN_DEPTHS[-1]
    before, last = untied["value"].iloc[-2:]
    found = compare.order(TRAIN_DEPTHS, tied["l2_apart"], tied["apart_error"])
    return [
        claim(
            "T10.8",
            "networks trained with L² from random orders of the optimal number of positive layers do not converge",
            quantity="‖k^(n) − k^(2n)‖ of the extensions, deepest pair",
            predicted=SWING.l2_distance(),
            observed=untied["l2_apart"].iloc[-1],
            tolerance=DEVIATIONS * SWING.l2_distance() / math.sqrt(4 * deepest),
            falsified_by="a distance that falls with depth",
        ),
        claim(
            "T10.9",
            "from these orders values with L² converge at first order to the minimum of E_∞ with that penalty",
            quantity="2 min E_{2n} − min E_n, deepest pair",
            predicted=SWING.minimum(ALPHA),
            observed=2 * last - before,
            tolerance=NEXT / deepest**2,
            falsified_by="values that depend on the order of the layers, or have another limit",
        ),
        claim(
            "T10.10",
            "with the H¹ penalty the same random orders lead to networks that converge in TL² at first order",
            quantity="order of the TL² bound between depths n and 2n, extrapolated",
            predicted=1.0,
            observed=found.extrapolated,
            tolerance=2 * NEXT / deepest,
            falsified_by="networks of depths n and 2n that stay apart",
        ),
    ]


def signs_claims(table: pd.DataFrame) -> list[Claim]:
    """Where training with L² ends if nobody has chosen the number of positive layers."""
    signs = table[table["row"].str.startswith("signs")]
    claim = partial(Claim, source=DERIVED, doubts=doubts(signs, "row"))
    n = TRAIN_DEPTHS[-1]
    values = signs["value"][signs["depth"] == n]
    best, mean, deviation = signed_minima(n)
    return [
        claim(
            "T10.20",
            "from independent random signs training with L² keeps each sign: the value is that of their number",
            quantity="value over that of the two scalar problems with as many positive layers, the farthest from 1",
            predicted=1.0,
            observed=farthest(signs["value"] / signs["predicted_value"], 1.0),
            tolerance=1e-9,
            falsified_by="training that changes signs, or a value that depends on more than their number",
        ),
        claim(
            "T10.26",
            "independent random signs end above the minimum, by what a binomial number of positive layers costs",
            quantity=f"mean value less the least over all numbers of positive layers, n = {n}",
            predicted=mean - best,
            observed=float(values.mean(skipna=False)) - best,
            tolerance=DEVIATIONS * deviation / math.sqrt(SIGNS),
            falsified_by="training that finds the optimal number of positive layers",
        ),
    ]


def claims(table: pd.DataFrame) -> list[Claim]:
    """T10.1 to T10.10, T10.20 and T10.26: what is lost without the H¹ penalty."""
    return [*order_claims(table), *pair_claims(table), *trained_claims(table), *signs_claims(table)]


def weights() -> pd.DataFrame:
    """Weights over depth of given and of trained networks, of two depths each, for the figure."""
    frames = []
    for n in TRAIN_DEPTHS[:2]:
        nets = {order: SWING.layers(n, **options) for order, options in (ORDERS | {"random": {"seed": n}}).items()}
        nets |= {f"trained with {penalty}": train(penalty, n).control for penalty in PENALTIES}
        times = np.arange(n) / n
        frames += [pd.DataFrame({"order": k, "depth": n, "t": times, "weight": v.K.ravel()}) for k, v in nets.items()]
    return pd.concat(frames)


def distances(table: pd.DataFrame) -> pd.DataFrame:
    """Root mean squares of the distances of depths n and 2n, one row per n, for the figure."""
    pairs = table[table["part"] == "pair"]
    wide = (pairs[["l2_apart", "tl2_apart", "predicted_tl2"]] ** 2).groupby(pairs["depth"]).mean() ** 0.5
    for penalty in PENALTIES:
        trained = table[table["which"] == penalty]
        wide[penalty] = trained.set_index(trained["depth"] // 2)["l2_apart"]
    return wide.reset_index().assign(predicted_l2=SWING.l2_distance())


def main(save: str = "oscillation") -> None:
    """The table, the claims, the record and the figures of the distances and of the weights."""
    table = study.sweep(measure, save=save, row=rows())
    shown = study.once(weights, save=f"{save}_weights")
    study.record(save, study.constants(globals()), claims=claims(table))
    y, lines = ["l2_apart", "L²", "tl2_apart", "H¹"], ["predicted_l2", "predicted_tl2"]
    plot.curves(distances(table), x="depth", y=y, lines=lines, slopes=[-1], labels=LABELS, save=save)
    plot.orders(shown, weak=SWING.mean, save=f"{save}_orders")


if __name__ == "__main__":
    study.run(main, globals())
