"""Which training gives weights for which the deep limit exists, and how rough are the others?

The network X_{k+1} = X_k + δ σ(A_k X_k + b_k) has the path w with increments δ A_k. Its deep limit is an ODE where w
has bounded variation and A becomes continuous in depth, an SDE where w has a quadratic variation; which it is, is read
off exponents in n (Cohen, Cont, Rossier & Xu 2021). Measured are

- given weights, whose exponents are known;
- networks on one set of digits, 64 features wide, of the same depths: minimisers with the H¹ penalty of Thorpe & van
  Gennip (2023), trained to optimality; Adam with that penalty, on the weights and in coordinates in which it is well
  conditioned; Adam and SGD without it. For weights without it nothing is predicted, the table says what was found;
- how rough they are: ‖w‖_p of the summed weights δ A_k. Noise of size n^{−H} has ‖w‖_1 ~ n^{1 − H} and a bounded
  p-variation for p > p* = 1/H, so that the slope of ‖w‖_1 gives the roughness index 1/p* (1 or more: bounded variation;
  0 or less: no p-variation is bounded). Exponents are means over seeds with their standard errors;
- the stochastic limit of iid weights and its term ½ σ''(0) v dt: weak order 1, strong order ½;
- networks n^{−β} V_k relu(h) with fractional Gaussian V (Marion, Fermanian, Biau & Vert 2022): critical β = H, H ≥ ½.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeplimit import Problem, data, discrete, plot, rough, study
from deeplimit.claims import CERTIFIED, Claim, doubts, farthest
from deeplimit.control import Layers
from deeplimit.data import Data
from deeplimit.minimum import Minimum
from deeplimit.rough import diffusion, scaling, training
from deeplimit.rough.diffusion import Noise
from deeplimit.rough.paths import coarsened, fractional_increments

DEPTHS = [16, 32, 64, 128]  # of all trained networks
FEATURES: int | None = None  # principal components of the digits; None for all 64 pixels
POINTS = 100  # of the digits, every class with its share
ALPHA = 0.01  # of the H¹ penalty
EPOCHS, BATCH = 40, 25  # of Adam and SGD
SEEDS = 3
EXPONENTS = [1.0, 1.5, 2.0, 2.5, 3.0]  # p
GIVEN_DEPTHS = [64, 256, 1024, 4096]
NOISE_DEPTHS = [32, 64, 128, 256, 512]
PATHS = 2000
CRITICAL_DEPTHS = [64, 256, 1024]
HURSTS = [0.5, 0.7, 0.9]
MAP_HURSTS = [0.3 + 0.05 * k for k in range(14)]
MAP_BETAS = [0.05 * k for k in range(1, 27)]
WIDTH = 16  # of the networks of that map

QUICK: dict[str, Any] = {"DEPTHS": [32, 64, 128], "FEATURES": 8, "POINTS": 30, "EPOCHS": 30, "SEEDS": 1}
QUICK |= {"GIVEN_DEPTHS": [64, 256, 1024]}
QUICK |= {"CRITICAL_DEPTHS": [64, 256], "PATHS": 500, "MAP_HURSTS": [0.5, 0.7], "MAP_BETAS": [0.5, 1.0]}

# given weights: α, H of the noise (None for a smooth function), and their regime
GIVEN: dict[str, tuple[float, float | None, str]] = {
    "smooth, δ = 1/n": (1.0, None, "ODE"),
    "iid, δ = 1/√n": (0.5, 0.5, "SDE"),
    "iid, δ = 1/n": (1.0, 0.5, "averaged"),
    "fractional H = 0.7, δ = n^(−H)": (0.7, 0.7, "between"),
    "iid, δ = 1": (0.0, 0.5, "growing"),
}
COORDINATES = "Adam, H¹ penalty, H¹ coordinates"
H1_COORDINATES: dict[str, Any] = {"penalty": ALPHA, "coordinates": "increments", "start": "smooth", "rate": 0.02}
TRAININGS: dict[str, dict[str, Any]] = {
    COORDINATES: H1_COORDINATES,
    "Adam, H¹ penalty, raw weights": {"penalty": ALPHA, "start": "smooth", "rate": 0.003},
    "Adam, δ = 1/n": {"rate": 0.003},
    "Adam, δ = 1/n, equal layers": {"rate": 0.003, "start": "smooth"},
    "SGD, δ = 1/n": {"optimiser": "SGD", "rate": 0.1},
    "SGD, δ = 1/n, equal layers, rate ~ n": {"optimiser": "SGD", "rate": 0.05, "start": "smooth", "rescaled": True},
    "Adam, δ trained from 1/n": {"rate": 0.003, "scale": training.TRAINED},
    "Adam, δ = 1/√n": {"rate": 0.003, "scale": "1/√n"},
    "Adam, δ = 1": {"scale": "1"},
}
H1 = "H¹ penalty, to optimality"
ENTRIES = 9  # of given weights
ROOM = 0.1  # slope of ‖w‖_p up to which it counts as bounded over the depths at hand
NOISES = {"silu": Noise("silu", 0.6, 0.8), "tanh": Noise("tanh", 0.3, 0.4)}
PATHWISE = Noise("silu", 0.8, 0.0)
START, FINE, SEED = 0.5, 4096, 0
BEYOND = [0.0, 0.2, 0.4]  # β − H
REPEATS = 4
DONE = "measured"
DERIVED = "derived here"
COHEN = "Cohen, Cont, Rossier & Xu 2021 for the limit; orders derived here"
MARION = "Marion, Fermanian, Biau & Vert 2022 for the critical exponent; the power derived here"
LINE = ["part", "case", "seed", "depth", "hurst", "beta", "value", "loss", "moved", "status"]
LABELS = {
    "variation": "total variation Σ δ|A|",
    "quadratic": "quadratic variation Σ δ²|A|²",
    "relative": "increment max|ΔA| / max|A|",
    "y": "over the value at the first depth",
}
NORM_LABELS = {"p": "p =", "y": "‖w‖_p over its first value"}

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int, int, float, float]]:
    """Part, case, seed, depth, H and β of every row."""
    nan = math.nan
    yield from (("given", case, SEED, n, nan, nan) for case in GIVEN for n in GIVEN_DEPTHS)
    yield from (("trained", H1, SEED, n, nan, nan) for n in DEPTHS)
    seeds = range(SEED, SEED + SEEDS)
    yield from (("trained", case, seed, n, nan, nan) for case in TRAININGS for seed in seeds for n in DEPTHS)
    yield from (("weak", case, SEED, n, nan, nan) for case in NOISES for n in NOISE_DEPTHS)
    yield from (("strong", PATHWISE.name, SEED, n, nan, nan) for n in NOISE_DEPTHS)
    yield from (("critical", "", SEED, n, H, H + more) for H in HURSTS for more in BEYOND for n in CRITICAL_DEPTHS)
    yield from (("map", "", SEED, CRITICAL_DEPTHS[-1], H, beta) for H in MAP_HURSTS for beta in MAP_BETAS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, seed, depth, hurst, beta = list(points())[row]
    place = {"part": part, "case": case, "seed": seed, "depth": depth, "hurst": hurst, "beta": beta}
    if part == "given":
        found = given(case, depth)
    elif part == "trained":
        found = penalised(depth) if case == H1 else trained(case, depth, seed)
    elif part == "weak":
        found = weak(case, depth)
    elif part == "strong":
        found = {"value": float(strong()[NOISE_DEPTHS.index(depth)])}
    else:
        found = {"value": moved(part, hurst, beta, depth)}
    return place | {"status": DONE} | found


def given(case: str, depth: int) -> Row:
    """Weights of known scaling; the noise of all depths is that of one path."""
    alpha, hurst, _ = GIVEN[case]
    t = np.arange(depth)[:, None] / depth
    weights = np.cos(3 * t + np.arange(ENTRIES))
    if hurst is not None:
        fine = fractional_increments(GIVEN_DEPTHS[-1], hurst, ENTRIES, seed=SEED)
        weights = depth**hurst * coarsened(fine, GIVEN_DEPTHS[-1] // depth)
    return scaling.diagnose(weights, depth**-alpha) | norms(weights, depth**-alpha)


@cache
def minimisers() -> dict[int, Minimum]:
    """The branch of minimisers with the H¹ penalty, by depth, from where Adam in H¹ coordinates has led."""
    problem = Problem(digits(), loss="softmax", alpha=ALPHA, reduction="mean")
    net = training.train(digits(), DEPTHS[0], epochs=EPOCHS, batch=BATCH, seed=SEED, **H1_COORDINATES)
    start = Layers(*(torch.from_numpy(theta) for theta in (net.A, net.b, net.W, net.c)))
    return dict(zip(DEPTHS, discrete.branch(problem, DEPTHS, start=start, tol=1e-6), strict=True))


def digits() -> Data:
    """The one set of data."""
    return data.digits(points=POINTS, features=FEATURES)


def penalised(depth: int) -> Row:
    """A minimiser with the penalty."""
    net = minimisers()[depth]
    weights = net.control.K.numpy()
    row = scaling.diagnose(weights, 1 / depth) | norms(weights, 1 / depth)
    row |= {"loss": net.data_loss, "objective": net.value, "moved": 0.0}
    return row | {"residual": net.residual, "status": str(net.status)}


def trained(case: str, depth: int, seed: int) -> Row:
    """A network trained by Adam or SGD."""
    net = training.train(digits(), depth, epochs=EPOCHS, batch=BATCH, seed=seed, **TRAININGS[case])
    row = scaling.diagnose(net.A, net.step) | norms(net.A, net.step)
    return row | {"loss": net.loss, "objective": net.objective, "moved": net.moved, "accuracy": net.accuracy}


def norms(weights: np.ndarray, step: float) -> Row:
    """‖w‖_p of the path with increments δ A_k."""
    path = rough.as_path(step * weights)
    return {norm(p): rough.p_variation(path, p)[0] for p in EXPONENTS}


def norm(p: float) -> str:
    """The column of ‖w‖_p."""
    return f"norm_{p:g}"


def weak(case: str, depth: int) -> Row:
    """E sin(h_n) − E sin(h(1)), and the same to the equation without the term of σ''(0)."""
    noise = NOISES[case]
    own = noise.network_mean(np.sin, START, depth)
    limit, plain = (noise.limit_mean(np.sin, START, correction=c) for c in (True, False))
    return {"value": own - limit, "plain_gap": own - plain, "predicted_plain_gap": limit - plain}


@cache
def strong() -> np.ndarray:
    """Root mean square errors against the limit along the same Brownian paths."""
    return PATHWISE.strong_errors(-1.0, NOISE_DEPTHS, fine=FINE, paths=PATHS, seed=SEED)


@cache
def growths(part: str, hurst: float) -> dict[tuple[int, float], float]:
    """|h_n − h_0| / |h_0| by depth and β."""
    betas = [hurst + more for more in BEYOND] if part == "critical" else MAP_BETAS
    found = diffusion.growth(np.array(betas), hurst, CRITICAL_DEPTHS, width=WIDTH, repeats=REPEATS, seed=SEED)
    return {(n, beta): float(found[i, j]) for i, n in enumerate(CRITICAL_DEPTHS) for j, beta in enumerate(betas)}


def moved(part: str, hurst: float, beta: float, depth: int) -> float:
    """log₁₀ of |h_n − h_0| / |h_0|."""
    size = growths(part, hurst)[depth, beta]
    return math.log10(size) if size > 0 else -math.inf


def sweeps(table: pd.DataFrame) -> pd.DataFrame:
    """Exponents, regime and roughness of every sweep, given and trained: means over seeds, with standard errors."""
    found = []
    chosen = table[table["part"].isin(["given", "trained"])]
    for (part, case), rows in chosen.groupby(["part", "case"], sort=False):
        fits = pd.DataFrame([fitted(own) for _, own in rows.groupby("seed")])
        errors = fits.std(ddof=1) / math.sqrt(len(fits)) if len(fits) > 1 else fits.iloc[0] * math.nan
        mean = fits.mean()
        row = {"part": part, "case": case, "seeds": len(fits), "regime": scaling.regime(dict(mean))} | dict(mean)
        row |= {f"{name}_error": error for name, error in errors.items()}
        row["bounded_from"] = bounded_from(mean)
        last = rows[rows["depth"] == rows["depth"].max()]
        found.append(row | {c: last[c].mean() for c in ("loss", "objective", "moved", "accuracy") if c in last})
    return pd.DataFrame(found)


def fitted(rows: pd.DataFrame) -> dict[str, float]:
    """Exponents of one sweep, slopes of ‖w‖_p, and the index 1/p* = 1 − slope of ‖w‖_1."""
    fit = scaling.exponents(rows["depth"], rows)
    n = np.log(rows["depth"])
    slopes = {norm(p): float(np.polyfit(n, np.log(rows[norm(p)]), 1)[0]) for p in EXPONENTS}
    return fit | {"relative": fit["increment"] + fit["beta"], "index": 1 - slopes[norm(EXPONENTS[0])]} | slopes


def bounded_from(fit: pd.Series) -> float:
    """The least p from which on ‖w‖_p grows by no more than n^ROOM; infinite if there is none."""
    growing = [p for p in EXPONENTS if fit[norm(p)] > ROOM]
    return next((p for p in EXPONENTS if p > max(growing, default=0.0)), math.inf)


def slope(rows: pd.DataFrame) -> float:
    """Least squares of log|value| against log n."""
    return float(np.polyfit(np.log(rows["depth"]), np.log(rows["value"].abs()), 1)[0])


def claims(table: pd.DataFrame) -> list[Claim]:
    """Given weights, minimisers with the penalty, critical exponents, and the stochastic limit."""
    reason = doubts(table, "part", "case", "depth", trusted=(*CERTIFIED, DONE))
    critical, weak_, strong_ = (table[table["part"] == part] for part in ("critical", "weak", "strong"))
    return [*regimes(sweeps(table), reason), *criticals(critical, reason), *stochastic(weak_, strong_, reason)]


def regimes(fits: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """C1.1 to C1.5, C1.8 to C1.11."""
    known = fits[fits["part"] == "given"].set_index("case")
    h1, adam = (fits[fits["case"] == case].iloc[0] for case in (H1, COORDINATES))
    alpha = pd.Series({case: values[0] for case, values in GIVEN.items()})
    gaps = [*(known["variation"] - (1 - alpha)), *(known["quadratic"] - (1 - 2 * alpha))]
    wrong = sum(str(known.at[case, "regime"]) != values[2] for case, values in GIVEN.items())
    index = {case: alpha for case, (alpha, hurst, _) in GIVEN.items() if alpha == (hurst or 1.0)}
    return [
        Claim(
            "C1.1",
            "total and quadratic variation of given weights have the exponents 1 − α and 1 − 2α",
            DERIVED,
            "fitted exponent − predicted, farthest over the cases",
            0.0,
            farthest(gaps, 0.0),
            0.03,  # means of at least 64 layers of 9 entries: relative errors of a twentieth over six octaves
            "another exponent",
            reason,
        ),
        Claim(
            "C1.2",
            "the regime of given weights is found: ODE, SDE, averaged noise, between, growing",
            DERIVED,
            "cases with another regime",
            0.0,
            float(wrong),
            0.0,
            "a case with another regime",
            reason,
        ),
        Claim(
            "C1.3",
            "weights trained with the H¹ penalty keep their size as depth grows: β = 0",
            "Thorpe & van Gennip 2023 for convergence; the exponent derived here",
            f"β fitted over n = {DEPTHS[0]} to {DEPTHS[-1]}",
            0.0,
            float(h1["beta"]),
            1 / DEPTHS[0],  # the next term, of order 1/n
            "weights that grow or fall with depth",
            reason,
        ),
        Claim(
            "C1.4",
            "their increments fall like 1/n",
            "Thorpe & van Gennip 2023 for convergence; the exponent derived here",
            f"exponent of max|A_{{k+1}} − A_k| / max|A_k|, n = {DEPTHS[0]} to {DEPTHS[-1]}",
            -1.0,
            float(h1["relative"]),
            0.05,
            "another exponent: weights that are not Lipschitz in depth",
            reason,
        ),
        Claim(
            "C1.5",
            "their regime is the ODE",
            "Thorpe & van Gennip 2023",
            "1 if another regime was found",
            0.0,
            float(h1["regime"] != "ODE"),
            0.0,
            "another regime",
            reason,
        ),
        *roughness(h1, adam, known.loc[list(index), "index"] - pd.Series(index), reason),
    ]


def roughness(h1: pd.Series, adam: pd.Series, gaps: pd.Series, reason: tuple[str, ...]) -> list[Claim]:
    """C1.8 to C1.11."""
    return [
        Claim(
            "C1.8",
            "the slope of ‖w‖_1 gives the roughness index 1/p*: H of iid and fractional weights, 1 of smooth ones",
            DERIVED,
            "1 − slope − index, farthest over the given weights with δ = n^(−H) and smooth ones",
            0.0,
            farthest(gaps, 0.0),
            0.05,  # means of at least 64 layers of 9 entries, as C1.1, of correlated increments for H > ½
            "another index",
            reason,
        ),
        Claim(
            "C1.9",
            "weights trained with the H¹ penalty sum to a path whose total variation stays bounded as depth grows",
            "Thorpe & van Gennip 2023 for convergence; the exponent derived here",
            f"slope of ‖w‖_1, n = {DEPTHS[0]} to {DEPTHS[-1]}",
            0.0,
            float(h1[norm(EXPONENTS[0])]),
            1 / DEPTHS[0],  # the next term, of order 1/n
            "a path that becomes rough",
            reason,
        ),
        Claim(
            "C1.10",
            "Adam with the H¹ penalty in H¹ coordinates comes to the same regime, the ODE",
            DERIVED,
            "1 if another regime was found",
            0.0,
            float(adam["regime"] != "ODE"),
            0.0,
            "another regime",
            reason,
        ),
        Claim(
            "C1.11",
            "and its increments fall like 1/n",
            DERIVED,
            f"exponent of max|A_{{k+1}} − A_k| / max|A_k|, mean of {SEEDS} seeds, n = {DEPTHS[0]} to {DEPTHS[-1]}",
            -1.0,
            float(adam["relative"]),
            0.1,  # the term after 1/n, and steps of Adam that have not yet come to rest
            "another exponent: training has not come to the minimiser",
            reason,
        ),
    ]


def criticals(rows: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """C1.6 and C1.7."""
    flat: list[float] = []
    falling: list[float] = []
    for H in HURSTS:
        for more in BEYOND:
            part = rows[(rows["hurst"] == H) & (rows["beta"] == H + more)]
            gap = float(np.polyfit(np.log10(part["depth"]), part["value"], 1)[0]) + more
            (falling if more else flat).append(gap)
    what = "slope of log(|h_n − h_0| / |h_0|) in log n"
    found = []
    for name, statement, numbers in (
        ("C1.6", "at β = H the last state moves by as much at every depth", flat),
        ("C1.7", "above it, it moves like n^(H − β)", falling),
    ):
        quantity = f"{what} − (H − β), farthest over H = {', '.join(f'{H:g}' for H in HURSTS)}"
        room = 1 / math.sqrt(CRITICAL_DEPTHS[0]) / 4  # relative changes of n^{−½} over two octaves or more
        wrong = "another slope: the critical exponent is not H"
        found.append(Claim(name, statement, MARION, quantity, 0.0, farthest(numbers, 0.0), room, wrong, reason))
    return found


def stochastic(weak: pd.DataFrame, strong: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """C2.1 to C2.3."""
    orders = [slope(rows.tail(4)) for _, rows in weak.groupby("case")]
    bent = weak[weak["case"] == "silu"].iloc[-1]
    n = int(bent["depth"])
    return [
        Claim(
            "C2.1",
            "iid weights: the expectation of a smooth function of h_n tends to that of the SDE at order 1",
            COHEN,
            f"fitted slope, farthest over {', '.join(NOISES)}; no random numbers",
            -1.0,
            farthest(orders, -1.0),
            0.05,  # a next term of order 1/n over n = 64 to 512
            "another order, or a limit without the term of σ''(0)",
            reason,
        ),
        Claim(
            "C2.2",
            "with σ''(0) ≠ 0 the equation without ½ σ''(0) v dt is not the limit: a control",
            COHEN,
            f"gap to it at n = {n} / that of the limit",
            1.0,
            float(bent["plain_gap"] / bent["predicted_plain_gap"]),
            4 / NOISE_DEPTHS[0],
            "a network that tends to the equation without the term",
            reason,
        ),
        Claim(
            "C2.3",
            "against the same Brownian path the order is ½",
            COHEN,
            f"slope of the root mean square error, {PATHS} paths",
            -0.5,
            slope(strong),
            2 / math.sqrt(PATHS),  # standard errors of the root mean square at the two ends
            "another order, or no convergence",
            reason,
        ),
    ]


def main(save: str = "scaling_regimes") -> None:
    """The table, the exponents, the record and four figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    fits = sweeps(table)
    study.write(f"{save}_exponents", fits)
    shown = ["case", "alpha", "beta", "relative", "variation", "quadratic", "index", "index_error", "moved", "regime"]
    print(fits[shown].round(3).to_string())
    study.record(save, study.constants(globals()), claims=claims(table), regimes=scaling.REGIMES)
    draw(table, fits, save)
    draw_limits(table, save)


def draw(table: pd.DataFrame, fits: pd.DataFrame, save: str) -> None:
    """Trained networks, a panel each, with their regime; and their p-variation."""
    kinds = ["variation", "quadratic", "relative"]
    own = fits[fits["part"] == "trained"].set_index("case")
    rows = table[table["part"] == "trained"].assign(relative=lambda rows: rows["increment"] / rows["largest"])
    columns = [*kinds, *map(norm, EXPONENTS)]
    means = rows.groupby(["case", "depth"], sort=False)[columns].mean().reset_index()
    means[columns] /= means.groupby("case")[columns].transform("first")
    regime = means["case"].map(own["regime"])
    means["panel"] = [title(case, f"regime: {found}") for case, found in zip(means["case"], regime, strict=True)]
    look: dict[str, Any] = {"by": "panel", "labels": LABELS, "slopes": [0.5, 0.0, -1.0]}
    look |= {"hollow": ["variation", "relative"]}
    plot.curves(means, x="depth", y=kinds, **look, save=save)
    index = {case: f"1/p* = {row['index']:.2f}" for case, row in own.iterrows()}
    means["panel"] = [title(case, index[case]) for case in means["case"]]
    long = pd.concat([means.assign(p=p, norm=means[norm(p)]) for p in EXPONENTS])
    look = {"by": "panel", "hue": "p", "labels": NORM_LABELS, "slopes": [0.5, 0.0], "hollow": EXPONENTS[-2::-1]}
    plot.curves(long, x="depth", y="norm", **look, save=f"{save}_roughness")


def draw_limits(table: pd.DataFrame, save: str) -> None:
    """The stochastic limit and the map of critical exponents."""
    titles = {"weak": "weak: |E sin h_n − E sin h(1)|", "strong": "strong: root mean square of h_n − h(1)"}
    noise = table[table["part"].isin(list(titles))]
    noise = noise.assign(panel=noise["part"].map(titles))
    names = {"y": "distance to the stochastic limit", "case": "σ ="}
    look: dict[str, Any] = {"by": "panel", "hue": "case", "slopes": [-1, -0.5], "labels": names}
    plot.curves(noise, x="depth", y="value", **look, save=f"{save}_sde")
    grid = table[table["part"] == "map"].assign(critical=lambda rows: rows["hurst"].where(rows["hurst"] > 0.49))
    height = f"log₁₀ |h_n − h_0| / |h_0|, n = {CRITICAL_DEPTHS[-1]}"
    words = {
        "beta": "exponent β of the scale n^(−β)",
        "hurst": "Hurst exponent H of the weights",
        "critical": "β = H",
        "value": height,
    }
    plot.heat(grid, x="beta", y="hurst", z="value", line="critical", labels=words, save=f"{save}_map")


def title(case: str, found: str) -> str:
    """Two or three lines, no wider than a panel."""
    head, _, rest = case.partition(", δ = 1/n, ")
    return "\n".join([f"{head}, δ = 1/n", f"{rest}; {found}"] if rest else [case, found])


if __name__ == "__main__":
    study.run(main, globals())
