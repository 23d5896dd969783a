"""Which training gives weights for which the deep limit exists, and how rough are the others?

The network X_{k+1} = X_k + δ σ(A_k X_k + b_k) has the path w with increments δ A_k. Its deep limit is an ODE where w
has bounded variation and A becomes continuous in depth, an SDE where w has a quadratic variation; which it is, is read
off exponents in n (Cohen, Cont, Rossier & Xu 2021). Measured are

- given weights, whose exponents are known;
- minimisers with the H¹ penalty of Thorpe & van Gennip (2023) on the digits, 64 features wide, trained to optimality;
- networks trained without it, by a few epochs of Adam or SGD, as people do: for these nothing is predicted, the table
  says what was found;
- the stochastic limit of iid weights and its term ½ σ''(0) v dt: weak order 1, strong order ½;
- networks n^{−β} V_k relu(h) with fractional Gaussian V (Marion, Fermanian, Biau & Vert 2022): critical β = H, H ≥ ½.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import Problem, data, discrete, plot, rough, study
from deeplimit.claims import CERTIFIED, Claim, doubts, farthest
from deeplimit.minimum import Minimum
from deeplimit.rough import diffusion, scaling, training
from deeplimit.rough.diffusion import Noise
from deeplimit.rough.paths import coarsened, fractional_increments

DEPTHS = [16, 32, 64, 128]  # of networks trained without a penalty
H1_DEPTHS = [32, 64, 128, 256]
H1_POINTS = 100  # of the digits, for the minimisers with the H¹ penalty
FEATURES: int | None = None  # principal components of the digits; None for all 64 pixels
POINTS: int | None = None  # of the digits, for the others; None for all 1797
EPOCHS = 3
GIVEN_DEPTHS = [64, 256, 1024, 4096]
NOISE_DEPTHS = [32, 64, 128, 256, 512]
PATHS = 2000
CRITICAL_DEPTHS = [64, 256, 1024]
HURSTS = [0.5, 0.7, 0.9]
MAP_HURSTS = [0.3 + 0.05 * k for k in range(14)]
MAP_BETAS = [0.05 * k for k in range(1, 27)]
WIDTH = 16  # of the networks of that map

QUICK: dict[str, Any] = {"DEPTHS": [8, 16], "H1_DEPTHS": [32, 64, 128], "H1_POINTS": 30, "FEATURES": 8, "POINTS": 200}
QUICK |= {"EPOCHS": 1, "CRITICAL_DEPTHS": [64, 256], "PATHS": 500, "MAP_HURSTS": [0.5, 0.7], "MAP_BETAS": [0.5, 1.0]}

# given weights: α, H of the noise (None for a smooth function), and their regime
GIVEN: dict[str, tuple[float, float | None, str]] = {
    "smooth, δ = 1/n": (1.0, None, "ODE"),
    "iid, δ = 1/√n": (0.5, 0.5, "SDE"),
    "iid, δ = 1/n": (1.0, 0.5, "averaged"),
    "fractional H = 0.7, δ = n^(−H)": (0.7, 0.7, "between"),
    "iid, δ = 1": (0.0, 0.5, "growing"),
}
TRAININGS: dict[str, dict[str, Any]] = {
    "Adam, δ = 1/n": {},
    "Adam, δ = 1/n, equal layers": {"start": "smooth"},
    "SGD, δ = 1/n": {"optimiser": "SGD", "rate": 0.1},
    "SGD, δ = 1/n, equal layers, rate ~ n": {"optimiser": "SGD", "rate": 0.05, "start": "smooth", "rescaled": True},
    "Adam, δ trained from 1/n": {"scale": training.TRAINED},
    "Adam, δ = 1/√n": {"scale": "1/√n"},
    "Adam, δ = 1": {"scale": "1"},
    "Adam, δ = 1, zero": {"scale": "1", "start": "zero"},
}
H1 = "H¹ penalty, to optimality"
ENTRIES = 9  # of given weights
ROUGH_P = 2.5
NOISES = {"silu": Noise("silu", 0.6, 0.8), "tanh": Noise("tanh", 0.3, 0.4)}
PATHWISE = Noise("silu", 0.8, 0.0)
START, FINE, SEED = 0.5, 4096, 0
BEYOND = [0.0, 0.2, 0.4]  # β − H
REPEATS = 4
DONE = "measured"
DERIVED = "derived here"
COHEN = "Cohen, Cont, Rossier & Xu 2021 for the limit; orders derived here"
MARION = "Marion, Fermanian, Biau & Vert 2022 for the critical exponent; the power derived here"
LINE = ["part", "case", "depth", "hurst", "beta", "value", "loss", "accuracy", "status"]
LABELS = {
    "variation": "total variation Σ δ|A|",
    "quadratic": "quadratic variation Σ δ²|A|²",
    "increment": "increment max|ΔA| / max|A|",
    "value": "",
    "case": "",
    "y": "of the trained weights",
}

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, int, float, float]]:
    """Part, case, depth, H and β of every row."""
    nan = math.nan
    yield from (("given", case, n, nan, nan) for case in GIVEN for n in GIVEN_DEPTHS)
    yield from (("trained", H1, n, nan, nan) for n in H1_DEPTHS)
    yield from (("trained", case, n, nan, nan) for case in TRAININGS for n in DEPTHS)
    yield from (("weak", case, n, nan, nan) for case in NOISES for n in NOISE_DEPTHS)
    yield from (("strong", PATHWISE.name, n, nan, nan) for n in NOISE_DEPTHS)
    yield from (("critical", "", n, H, H + more) for H in HURSTS for more in BEYOND for n in CRITICAL_DEPTHS)
    yield from (("map", "", CRITICAL_DEPTHS[-1], H, beta) for H in MAP_HURSTS for beta in MAP_BETAS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, depth, hurst, beta = list(points())[row]
    place = {"part": part, "case": case, "depth": depth, "hurst": hurst, "beta": beta}
    if part == "given":
        found = given(case, depth)
    elif part == "trained":
        found = penalised(depth) if case == H1 else trained(case, depth)
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
    return scaling.diagnose(weights, depth**-alpha)


@cache
def minimisers() -> dict[int, Minimum]:
    """The branch of minimisers of the digits with the H¹ penalty, by depth."""
    digits = data.digits(points=H1_POINTS, features=FEATURES)
    problem = Problem(digits, loss="softmax", alpha=0.01, reduction="mean")
    return dict(zip(H1_DEPTHS, discrete.branch(problem, H1_DEPTHS, tol=1e-6), strict=True))


def penalised(depth: int) -> Row:
    """A minimiser with the penalty."""
    net = minimisers()[depth]
    weights = net.control.K.numpy()
    row = scaling.diagnose(weights, 1 / depth) | roughness(weights, 1 / depth)
    return row | {"loss": net.data_loss, "residual": net.residual, "status": str(net.status)}


def trained(case: str, depth: int) -> Row:
    """A network trained without."""
    digits = data.digits(points=POINTS, features=FEATURES)
    net = training.train(digits, depth, epochs=EPOCHS, seed=SEED, **TRAININGS[case])
    row = scaling.diagnose(net.A, net.step) | roughness(net.A, net.step)
    return row | {"loss": net.loss, "accuracy": net.accuracy}


def roughness(weights: np.ndarray, step: float) -> Row:
    """The rough norm of the path with increments δ A_k."""
    return {"rough_norm": rough.rough_norm(rough.as_path(step * weights), ROUGH_P)}


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
    """Exponents and regime of every sweep, given and trained."""
    found = []
    chosen = table[table["part"].isin(["given", "trained"])]
    for (part, case), rows in chosen.groupby(["part", "case"], sort=False):
        fit = scaling.exponents(rows["depth"], rows)
        name = scaling.regime(fit)
        last = rows.iloc[-1]
        row = {"part": part, "case": case, **fit, "regime": name}
        found.append(row | {c: last.get(c, math.nan) for c in ("rough_norm", "loss", "accuracy")})
    return pd.DataFrame(found)


def slope(rows: pd.DataFrame) -> float:
    """Least squares of log|value| against log n."""
    return float(np.polyfit(np.log(rows["depth"]), np.log(rows["value"].abs()), 1)[0])


def claims(table: pd.DataFrame) -> list[Claim]:
    """Given weights, minimisers with the penalty, critical exponents, and the stochastic limit."""
    reason = doubts(table, "part", "case", "depth", trusted=(*CERTIFIED, DONE))
    critical, weak_, strong_ = (table[table["part"] == part] for part in ("critical", "weak", "strong"))
    return [*regimes(sweeps(table), reason), *criticals(critical, reason), *stochastic(weak_, strong_, reason)]


def regimes(fits: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """C1.1 to C1.5."""
    known = fits[fits["part"] == "given"].set_index("case")
    h1 = fits[fits["case"] == H1].iloc[0]
    alpha = pd.Series({case: values[0] for case, values in GIVEN.items()})
    gaps = [*(known["variation"] - (1 - alpha)), *(known["quadratic"] - (1 - 2 * alpha))]
    wrong = sum(str(known.at[case, "regime"]) != values[2] for case, values in GIVEN.items())
    ratio = h1["increment"] + h1["beta"]
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
            f"β fitted over n = {H1_DEPTHS[0]} to {H1_DEPTHS[-1]}",
            0.0,
            float(h1["beta"]),
            1 / H1_DEPTHS[0],  # the next term, of order 1/n
            "weights that grow or fall with depth",
            reason,
        ),
        Claim(
            "C1.4",
            "their increments fall like 1/n",
            "Thorpe & van Gennip 2023 for convergence; the exponent derived here",
            f"exponent of max|A_{{k+1}} − A_k| / max|A_k|, n = {H1_DEPTHS[0]} to {H1_DEPTHS[-1]}",
            -1.0,
            float(ratio),
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
    """The table, the exponents, the record and three figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    fits = sweeps(table)
    study.write(f"{save}_exponents", fits)
    print(fits[["case", "alpha", "beta", "increment", "variation", "quadratic", "regime"]].round(2).to_string())
    study.record(save, study.constants(globals()), claims=claims(table), regimes=scaling.REGIMES)
    shown = table[table["part"] == "trained"].assign(increment=lambda rows: rows["increment"] / rows["largest"])
    kinds = ["variation", "quadratic", "increment"]
    long = shown[["case", "depth", *kinds]].melt(["case", "depth"], kinds, "kind", "value")
    long["kind"] = long["kind"].map(LABELS)
    plot.curves(long, x="depth", y="value", by="kind", hue="case", labels=LABELS, save=save)
    titles = {"weak": "|E sin h_n − E sin h(1)|", "strong": "root mean square error"}
    noise = table[table["part"].isin(list(titles))]
    noise = noise.assign(panel=noise["part"].map(titles))
    names = {"y": "error", "case": "σ ="}
    look: dict[str, Any] = {"by": "panel", "hue": "case", "slopes": [-1, -0.5], "labels": names}
    plot.curves(noise, x="depth", y="value", **look, save=f"{save}_sde")
    grid = table[table["part"] == "map"].assign(critical=lambda rows: rows["hurst"].where(rows["hurst"] > 0.49))
    height = f"log₁₀ |h_n − h_0| / |h_0|, n = {CRITICAL_DEPTHS[-1]}"
    words = {"beta": "β", "hurst": "H", "critical": "β = H", "value": height}
    plot.heat(grid, x="beta", y="hurst", z="value", line="critical", labels=words, save=f"{save}_map")


if __name__ == "__main__":
    study.run(main, globals())
