"""Which law does a residual network with noise in every layer come to rest at, and how fast do its layers get there?

Herty, Trimborn & Visconti (2022) add noise to every layer and arrive at a Fokker–Planck equation for the law g of the
signals, ∂g/∂t + ∂/∂x(σ(wx + b) g) = (ν²/2) ∂²/∂x²(K² g). What is measured is derived here:

- at rest    σ = identity leads to the Gaussian, inverse gamma, gamma and beta laws, by the shape K of the noise, and
             σ = tanh to powers of 1/cosh; the scheme of Chang & Cooper keeps them exactly, or to second order;
- entropy    relative to the law at rest it never grows; it falls as e^(−2|w|t) for Gaussians with that law's variance;
- depth      the moments of L layers are those of the equation up to O(1/L);
- particles  N particles know mean, variance and histogram of their network's law to N^(−1/2), with the constants of
             the central limit theorem, whatever law the network was fitted to;
- no rest    with σ = sigmoid, relu or growing cosine unit no mass stays where it is: on [−R, R] the law at rest has at
             most the mass 2ℓ/(R + ℓ) in [−ℓ, ℓ] where the drift has one sign, as its density then grows that way, and
             for relu that of half a line, ~ ℓ/R; with the growing cosine unit it falls exponentially.
"""

import math
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from deeplimit import plot, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.compare import order
from deeplimit.meanfield import diffusion, steady_laws
from deeplimit.meanfield.diffusion import Diffusion
from deeplimit.meanfield.fokker_planck import ChangCooper

TARGETS = {  # mean and variance that a network is fitted to
    "gaussian": (0.3, 0.5),
    "cosh_power": (0.25, 0.6),
    "inverse_gamma": (1.5, 0.25),
    "gamma": (2.0, 0.8),
    "beta": (0.4, 0.02),
}
INTERVALS = {"gaussian": (-8, 8), "cosh_power": (-14, 14), "inverse_gamma": (0, 12), "gamma": (0, 20), "beta": (0, 1)}
NOISE = 0.9
CELLS = [100, 200, 400, 800, 1600]
TIMES = [0.25 * k for k in range(17)]  # of the entropy, over the relaxation time 1/|w|
STEPS = 1600  # of implicit Euler over these times
ENTROPY_CELLS = 400
DEPTHS = [8, 16, 32, 64, 128, 256]
PARTICLES = [1000, 4000, 16_000, 64_000]
REPLICAS = 10
SEED = 0
REACHES = [16, 32, 64]  # half lengths of the intervals without a law at rest in the limit

QUICK = {"CELLS": [100, 200, 400], "DEPTHS": [8, 16, 32, 64], "PARTICLES": [1000, 4000], "REPLICAS": 8}

RELAXED, LAYERS = 12.0, 300  # relaxation times and layers after which particles are looked at
BINS = 20  # of equal probability under the law at rest
START = (1.0, 0.5)  # mean and deviation of the Gaussian that the depth rows start from
RESTLESS = {"sigmoid": -1.0, "relu": -1.0, "gcu": 1.0}  # and their w
WINDOW = 4.0
LINE = ["part", "family", "size", "gap", "predicted", "status"]
NAMES = {"gaussian": "Gaussian", "cosh_power": "power of 1/cosh", "inverse_gamma": "inverse gamma"}
LABELS = {"predicted": "predicted", "family": "", "what": ""}

Row = dict[str, Any]


def points() -> Iterator[tuple[str, str, float, int]]:
    """Part, family, size (cells, time, depth, particles or reach) and replica of every row."""
    yield from (("at rest", family, cells, 0) for family in TARGETS for cells in CELLS)
    yield from (("entropy", family, time, 0) for family in TARGETS for time in TIMES)
    yield from (("depth", family, depth, 0) for family in ("gaussian", "cosh_power") for depth in DEPTHS)
    yield from (
        ("particles", family, number, replica)
        for family in TARGETS
        for number in PARTICLES
        for replica in range(REPLICAS)
    )
    yield from (("no rest", name, reach, 0) for name in RESTLESS for reach in REACHES)


def measure(row: int) -> Row:
    """One row of the table; what the columns `gap`, `second` and their predictions are depends on the part."""
    part, family, size, replica = list(points())[row]
    found = {"at rest": at_rest, "entropy": entropy, "depth": depth_gap, "no rest": no_rest}
    columns = particles(family, int(size), replica) if part == "particles" else found[part](family, size)
    return {"part": part, "family": family, "size": size, "replica": replica} | columns | {"status": "computed"}


@cache
def network(family: str) -> Diffusion:
    """The diffusion fitted to a family's target."""
    return steady_laws.fit(family, *TARGETS[family], noise=NOISE)


def at_rest(family: str, cells: float) -> Row:
    """`gap` is the L¹ distance of the scheme's law at rest from the formula, `second` that of the exact scheme."""
    d, law = network(family), steady_laws.steady_law(network(family))
    rough, exact = (ChangCooper(d, *INTERVALS[family], int(cells), exact) for exact in (False, True))
    known = rough.density(law.pdf)
    gaps = [float(np.abs(scheme.steady() - known).sum() * scheme.width) for scheme in (rough, exact)]
    return {"gap": gaps[0], "second": gaps[1], "residual": exact.residual(known)}


@cache
def decay(family: str, cells: int, steps: int) -> tuple[np.ndarray, float]:
    """Relative entropies at TIMES, and their largest increase from one step to the next over the first.

    The Gaussian's network starts from its law at rest shifted by two deviations, the others' from the uniform law
    between two of their quantiles.
    """
    d, law = network(family), steady_laws.steady_law(network(family))
    scheme = ChangCooper(d, *INTERVALS[family], cells)
    low, high = law.ppf([0.7, 0.9])
    shifted = stats.norm(law.mean() + 2 * law.std(), law.std())
    start = scheme.density(shifted.pdf if family == "gaussian" else lambda x: (low < x) & (x < high))
    flow = scheme.evolve(start, TIMES[-1] / abs(d.w), steps, keep=steps)
    found = np.array([scheme.relative_entropy(g) for g in flow])
    return found[:: steps // (len(TIMES) - 1)], float(np.diff(found).max() / found[0])


def entropy(family: str, time: float) -> Row:
    """`gap` is the relative entropy, extrapolated in time step and cells; `second` its largest increase in a step."""
    k, cells = TIMES.index(time), ENTROPY_CELLS
    long, short, fine = ((cells, STEPS // 2), (cells, STEPS), (2 * cells, STEPS // 2))
    at = {grid: decay(family, *grid)[0][k] for grid in (long, short, fine)}
    found = 2 * at[short] - at[long] + 4 / 3 * (at[fine] - at[long])
    predicted = 2 * math.exp(-2 * time) if family == "gaussian" else math.nan  # (m − m_∞)²/2V
    return {"gap": found, "predicted": predicted, "second": decay(family, *short)[1]}


@cache
def limit_moments(family: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance at time 1/|w|, in closed form or extrapolated from the scheme, with their error."""
    d, (mean, deviation) = network(family), START
    if family == "gaussian":
        rest, fall = steady_laws.steady_law(d), math.exp(-1)
        exact = [rest.mean() + fall * (mean - rest.mean()), rest.var() + fall**2 * (deviation**2 - rest.var())]
        return np.array(exact), np.full(2, 1e-13)
    found = []
    for k in (2, 4, 8):
        scheme = ChangCooper(d, *INTERVALS[family], 200 * k)
        g = scheme.evolve(scheme.density(stats.norm(mean, deviation).pdf), 1 / abs(d.w), 50 * k**2)[-1]
        found.append(np.array(scheme.moments(g)))
    first, last = ((4 * fine - coarse) / 3 for coarse, fine in pairwise(found))
    return last, np.abs(last - first)


def depth_gap(family: str, depth: float) -> Row:
    """`gap` and `second` are the errors of mean and variance of L layers; their densities are computed, not sampled."""
    d, (low, high) = network(family), INTERVALS[family]
    time = 1 / abs(d.w)
    nodes = int(2 * (high - low) / (NOISE * math.sqrt(time / depth))) + 2
    x = np.linspace(low, high, nodes)
    g = diffusion.layers(d, x, stats.norm(*START).pdf(x), time, int(depth)) * (x[1] - x[0])
    mean = float(g @ x)
    limit, error = limit_moments(family)
    gaps = np.array([mean, float(g @ (x - mean) ** 2)]) - limit
    predicted = affine_constants(d) / depth if family == "gaussian" else np.full(2, math.nan)
    return {
        "gap": gaps[0],
        "second": gaps[1],
        "predicted": predicted[0],
        "predicted_second": predicted[1],
        "error": error[0],
        "error_second": error[1],
    }


def affine_constants(d: Diffusion) -> np.ndarray:
    """L × the errors of mean and variance of affine layers at T = 1/|w| as L → ∞, from aᴸ and a²ᴸ, a = 1 + wT/L."""
    fall, (mean, deviation), rest = math.exp(-2.0), START, -d.b / d.w
    variance = -fall * deviation**2 + NOISE**2 / abs(d.w) * ((1 - fall) / 4 + fall / 2)
    return np.array([-0.5 * math.exp(-1) * (mean - rest), variance])


@cache
def own_density(family: str) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, and the probability that the network of LAYERS layers gives to each, for constant K.

    The first layer leads the mean to a Gaussian, from which the others start.
    """
    d, mean, h = network(family), TARGETS[family][0], layer(family)
    x = np.linspace(*INTERVALS[family], 1000)
    first = stats.norm(mean + h * float(d.drift(np.array(mean))), NOISE * math.sqrt(h)).pdf(x)
    return x, diffusion.layers(d, x, first, h * (LAYERS - 1), LAYERS - 1) * (x[1] - x[0])


def layer(family: str) -> float:
    """h of the networks whose particles are looked at."""
    return RELAXED / abs(network(family).w) / LAYERS


@cache
def own_moments(family: str) -> tuple[float, float]:
    """Mean and variance of that network, which differ from those of its diffusion at O(1/L).

    For σ = identity the variance is at rest where V = (1 + hw)² V + hν² E K², and E K² is m² + V, m or m − m² − V.
    """
    d, h, mean = network(family), layer(family), TARGETS[family][0]
    if d.shape == "constant":
        x, mass = own_density(family)
        return float(mass @ x), float(mass @ (x - float(mass @ x)) ** 2)
    fixed, slope = {"linear": (mean**2, 1.0), "root": (mean, 0.0), "jacobi": (mean - mean**2, -1.0)}[d.shape]
    return mean, NOISE**2 * fixed / (-2 * d.w - h * d.w**2 - NOISE**2 * slope)


def particles(family: str, number: int, replica: int) -> Row:
    """`gap` and `second` are the errors of mean and variance, `histogram` that of the probabilities of BINS bins.

    Predicted are the standard deviations of the first two and the mean of the third, by the central limit theorem.
    """
    d, law = network(family), steady_laws.steady_law(network(family))
    mean, variance = own_moments(family)
    x = diffusion.simulate(
        d, np.full(number, TARGETS[family][0]), LAYERS * layer(family), LAYERS, seed=seed(family, number, replica)
    )
    return {
        "gap": float(x.mean() - mean),
        "predicted": math.sqrt(variance / number),
        "second": float(((x - mean) ** 2).mean() - variance),
        "predicted_second": variance * math.sqrt((float(law.stats("k")) + 2) / number),
    } | (histogram(family, x) if d.shape == "constant" else {})


def histogram(family: str, x: np.ndarray) -> Row:
    """Σ |share of the particles in a bin − its probability|, the bins equally probable."""
    nodes, mass = own_density(family)
    levels = np.interp(x, nodes, np.cumsum(mass) - mass / 2)
    shares = np.histogram(levels, BINS, (0.0, 1.0))[0] / len(x)
    mean = BINS * math.sqrt(2 / math.pi * (1 - 1 / BINS) / BINS / len(x))
    return {"histogram": float(np.abs(shares - 1 / BINS).sum()), "predicted_histogram": mean}


def seed(family: str, number: int, replica: int) -> int:
    """A seed for each network, number of particles and replica."""
    return int(np.random.SeedSequence([SEED, list(TARGETS).index(family), number, replica]).generate_state(1)[0])


def no_rest(name: str, reach: float) -> Row:
    """`gap` is the mass that the law at rest on [−R, R] has in the window; the uniform law's is predicted.

    A law at rest on the line would keep its own.
    """
    scheme = ChangCooper(Diffusion(name, RESTLESS[name], 0.0, NOISE), -reach, reach, int(16 * reach), exact=True)  # type: ignore[arg-type]
    inside = np.abs(scheme.centres) < WINDOW
    return {"gap": float(scheme.steady()[inside].sum() * scheme.width), "predicted": WINDOW / reach}


DERIVED = "derived here"
MODEL = "derived here; noise in the layers after Herty, Trimborn & Visconti 2022"
ROOM = 0.05  # of a fitted order, for the next term
SURE = 4  # standard errors that a claim about random numbers allows


def rms(values: pd.Series) -> float:
    """Root mean square."""
    return math.sqrt(float((values.astype(float) ** 2).mean(skipna=False)))


def rates(table: pd.DataFrame, part: str, columns: dict[str, str], families: list[str]) -> list[float]:
    """Orders in the size of the named columns of one part, each with the column of its error or "" for none."""
    rows = {family: table[(table["part"] == part) & (table["family"] == family)] for family in families}
    return [
        order(group["size"], group[column], group[error] if error else 0 * group["size"]).slope
        for group in rows.values()
        for column, error in columns.items()
    ]


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """For each number of particles the root mean square of (error / standard deviation) of both moments."""
    rows = table[table["part"] == "particles"]
    both = [
        rows[["size"]].assign(score=rows[gap] / rows[deviation])
        for gap, deviation in (("gap", "predicted"), ("second", "predicted_second"))
    ]
    return pd.concat(both).groupby("size")["score"].agg(rms).reset_index()


def slope(table: pd.DataFrame) -> float:
    """The exponent of N in the root mean square of the errors."""
    found = scores(table)
    heights = np.log(found["score"].to_numpy() / np.sqrt(found["size"].to_numpy()))
    return float(stats.linregress(np.log(found["size"].astype(float)), heights).slope)


def claims(table: pd.DataFrame) -> list[Claim]:
    """Laws at rest, entropy, depth, particles, and the activations without a law at rest."""
    table = placed(table)
    why = {str(part): doubts(rows, "family", "size", trusted=("computed",)) for part, rows in table.groupby("part")}
    return [*claims_rest(table, why), *claims_time(table, why), *claims_particles(table, why)]


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with part, family, size and replica in every row: one that failed has its number only."""
    places = pd.DataFrame(list(points()), columns=["part", "family", "size", "replica"]).loc[table["row"]]
    return table.assign(**{str(name): places[name].to_numpy() for name in places})


def claims_rest(table: pd.DataFrame, why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """What the scheme does with laws at rest."""
    rest = table[table["part"] == "at rest"]
    curved = [family for family in TARGETS if family != "gaussian"]
    return [
        Claim(
            "M5.1",
            "The formulas of the five laws at rest have no flux in the scheme of Chang & Cooper",
            DERIVED,
            "largest |A g_∞| over max C g_∞/Δx², over laws and grids",
            0.0,
            largest(rest["residual"]),
            1e-13,
            "a flux: the formula or the scheme is another equation's",
            why["at rest"],
        ),
        Claim(
            "M5.2",
            "Where ∫B/C is known the scheme's law at rest is the formula at the centres of the cells",
            DERIVED,
            "largest L¹ distance over laws and grids",
            0.0,
            largest(rest["second"]),
            1e-12,
            "a distance above rounding",
            why["at rest"],
        ),
        Claim(
            "M5.3",
            "With B/C at the edges it is at second order in Δx",
            DERIVED,
            "fitted order, farthest over the laws with a B/C that is not linear",
            2.0,
            farthest(rates(table, "at rest", {"gap": ""}, curved), 2.0),
            ROOM,
            "another order",
            why["at rest"],
        ),
        Claim(
            "M5.4",
            "and the Gaussian, whose B/C is linear, exactly",
            DERIVED,
            "largest L¹ distance over the grids",
            0.0,
            largest(rest[rest["family"] == "gaussian"]["gap"]),
            1e-12,
            "a distance above rounding",
            why["at rest"],
        ),
    ]


def claims_time(table: pd.DataFrame, why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """Entropy and depth."""
    falls = table[table["part"] == "entropy"]
    shifted = falls[falls["family"] == "gaussian"]
    affine = table[(table["part"] == "depth") & (table["family"] == "gaussian") & (table["size"] == DEPTHS[-1])]
    ratios = [*(affine["gap"] / affine["predicted"]), *(affine["second"] / affine["predicted_second"])]
    return [
        Claim(
            "M5.5",
            "The entropy relative to the law at rest never grows",
            DERIVED,
            "largest increase in a time step over the entropy at the start, over the five laws",
            0.0,
            largest(falls["second"]),
            1e-14,
            "an increase",
            why["entropy"],
            "≤",
        ),
        Claim(
            "M5.6",
            "For a Gaussian with the variance of the law at rest it falls as e^(−2|w|t)",
            DERIVED,
            f"entropy / predicted, farthest from 1 over the times up to {TIMES[-1]:g}/|w|",
            1.0,
            farthest(shifted["gap"] / shifted["predicted"], 1.0),
            entropy_error(),
            "another rate",
            why["entropy"],
        ),
        Claim(
            "M5.7",
            "Mean and variance of L layers with noise tend to those of the diffusion at order 1",
            MODEL,
            "fitted order in L, farthest over both moments, σ = identity and tanh",
            1.0,
            farthest(
                rates(table, "depth", {"gap": "error", "second": "error_second"}, ["gaussian", "cosh_power"]), 1.0
            ),
            ROOM,
            "another order: ½ if the noise of a layer were not of size √h",
            why["depth"],
        ),
        Claim(
            "M5.8",
            "For affine layers with the constants of aᴸ and a²ᴸ, a = 1 + wT/L",
            DERIVED,
            f"observed / predicted error of mean and variance at L = {DEPTHS[-1]}, farthest from 1",
            1.0,
            farthest(ratios, 1.0),
            3 / DEPTHS[-1],  # wT = −1: the next terms of both are below 3/L of the first
            "another constant",
            why["depth"],
        ),
    ]


def entropy_error() -> float:
    """Relative error of the extrapolated Gaussian entropy at the last time t, over 1/|w|.

    Implicit Euler multiplies m − m_∞ by (1 + s)⁻¹, s = t/steps, for e^(−s): its square has the relative error t s, of
    which extrapolation leaves (t s)². Cells have a relative error of order r² t, r = Δx over the deviation, squared.
    """
    low, high = INTERVALS["gaussian"]
    t, r = TIMES[-1], (high - low) / ENTROPY_CELLS / math.sqrt(TARGETS["gaussian"][1])
    return 2 * (t * t / STEPS) ** 2 + (r**2 * t) ** 2


def claims_particles(table: pd.DataFrame, why: dict[str, tuple[str, ...]]) -> list[Claim]:
    """The central limit theorem, and the laws that do not rest."""
    rows, out = table[table["part"] == "particles"], table[table["part"] == "no rest"]
    every = 2 * len(TARGETS) * REPLICAS  # scores behind a root mean square, each of standard deviation 1
    x = np.log(np.array(PARTICLES, dtype=float))
    bars = rows["histogram"] / rows["predicted_histogram"]
    bars = bars[rows["family"].isin(["gaussian", "cosh_power"])]
    one = math.sqrt((math.pi / 2 - 1) / BINS)  # relative standard deviation of a sum of BINS sizes |N(0, 1)|
    return [
        Claim(
            "M5.9",
            "N particles know mean and variance of their network's law to order N^(−½)",
            DERIVED,
            "exponent of N in the root mean square of the errors over the five laws",
            -0.5,
            slope(table),
            SURE / math.sqrt(2 * every) / float(np.linalg.norm(x - x.mean())),
            "another exponent: particles that are not independent, or a network with another law",
            why["particles"],
        ),
        Claim(
            "M5.10",
            "with the standard deviations √(V/N) and V √((κ + 2)/N), κ the excess kurtosis, of the laws that the "
            "networks were fitted to",
            DERIVED,
            "root mean square of error / standard deviation over both moments, five laws, N and replicas",
            1.0,
            rms(pd.concat([rows["gap"] / rows["predicted"], rows["second"] / rows["predicted_second"]])),
            SURE * math.sqrt((1 + shared_variance()) / (2 * every * len(PARTICLES))),
            "another constant: fitted networks have other means or variances than were asked for",
            why["particles"],
        ),
        Claim(
            "M5.11",
            f"A histogram of {BINS} equally probable bins has the L¹ error {BINS} √(2 p (1 − p)/πN), p = 1/{BINS}",
            DERIVED,
            "mean of observed / predicted over N and replicas, Gaussian and power of 1/cosh",
            1.0,
            float(bars.mean(skipna=False)),
            SURE * one / math.sqrt(len(bars)),
            "another constant, or an error that does not fall as N^(−½): a law that is not the predicted one",
            why["particles"],
        ),
        Claim(
            "M5.12",
            "σ = sigmoid, relu and growing cosine unit have no law at rest on the line: of that on [−R, R] at most "
            "twice the share of the uniform law is near 0",
            DERIVED,
            f"largest mass within {WINDOW:g} of 0 over that of the uniform law, {WINDOW:g}/R, up to R = {REACHES[-1]}",
            2.0,
            largest(out["gap"] / out["predicted"]),
            0.0,
            "more: a density that does not grow with the drift",
            why["no rest"],
            "≤",
        ),
        Claim(
            "M5.13",
            "and this mass tends to 0 at least like 1/R",
            DERIVED,
            "largest mass × R over that at the next smaller R",
            1.0,
            largest(growth(out)),
            NOISE / REACHES[0],  # for relu mass × R ~ R/(R + c), c = √π ν/2 from the half line where it drifts
            "a mass that stays while R grows, for which it is the quotient of the R",
            why["no rest"],
            "≤",
        ),
    ]


def shared_variance() -> float:
    """Mean over the laws of ρ², ρ = skewness/(κ + 2)^½ the correlation of the errors of mean and variance.

    Their squares have the correlation ρ², so that a mean of such pairs has 1 + ρ² times the variance of independent
    ones.
    """
    shapes = [steady_laws.steady_law(network(family)).stats("sk") for family in TARGETS]
    return float(np.mean([skewness**2 / (excess + 2) for skewness, excess in shapes]))


def growth(rows: pd.DataFrame) -> pd.Series:
    """Of mass × R from each R to the next."""
    scaled = (rows["gap"] * rows["size"]).rename("scaled").to_frame().assign(family=rows["family"], size=rows["size"])
    wide = scaled.pivot(index="size", columns="family", values="scaled")
    return pd.Series((wide / wide.shift(1)).iloc[1:].to_numpy().ravel())


def fitted_laws() -> pd.DataFrame:
    """Density of every law at rest, and a histogram of the network fitted to it."""
    found = []
    for family, (mean, _) in TARGETS.items():
        d, law = network(family), steady_laws.steady_law(network(family))
        x = np.linspace(law.ppf(0.001), law.ppf(0.999), 200)
        particles_ = diffusion.simulate(d, np.full(PARTICLES[-1], mean), LAYERS * layer(family), LAYERS, seed=SEED)
        heights, edges = np.histogram(particles_, 60, (x[0], x[-1]), density=True)
        bars = pd.DataFrame({"x": (edges[1:] + edges[:-1]) / 2, "density": heights, "curve": "particles"})
        formula = pd.DataFrame({"x": x, "density": law.pdf(x), "curve": "formula"})
        found += [frame.assign(family=family) for frame in (bars, formula)]
    return pd.concat(found).round(6)


def title(family: str) -> str:
    """A law at rest, named with its mean and variance."""
    mean, variance = TARGETS[family]
    return f"{NAMES.get(family, family)}\nmean {mean:g}, variance {variance:g}"


def draw_figures(table: pd.DataFrame, densities: pd.DataFrame, save: str) -> None:
    """Fitted laws, entropies, and the errors against cells, depth and particles."""
    words = {"particles": f"{PARTICLES[-1]} particles after {LAYERS} layers", "formula": "law at rest, formula"}
    plot.laws(
        densities.assign(law=densities["family"].map(title)),
        y="density",
        by="law",
        hue="curve",
        filled=["particles"],
        dashed=["formula"],
        labels=words,
        save=save,
    )
    table = table.assign(family=table["family"].replace(NAMES))
    parts = {str(part): rows for part, rows in table.groupby("part")}
    labels = LABELS | {
        "size": "time t |w|",
        "y": "entropy relative to the law at rest",
        "predicted": "Gaussian, predicted:\n2 e^(−2|w|t)",
    }
    columns: dict[str, Any] = {"x": "size", "y": "gap", "hue": "family"}
    plot.curves(parts["entropy"], **columns, lines=["predicted"], logx=None, labels=labels, save=f"{save}_entropy")
    curved = parts["at rest"][parts["at rest"]["family"] != "Gaussian"]
    labels = LABELS | {"size": "cells", "y": "L¹ distance of the laws at rest"}
    plot.curves(curved, **columns, slopes=[-2], labels=labels, save=f"{save}_cells")
    labels = LABELS | {"size": "depth L", "y": "|error of the moment|", "gap": "mean", "second": "variance"}
    columns = {"x": "size", "y": ["gap", "second"], "by": "family"}
    labels |= {"predicted": "mean, predicted", "predicted_second": "variance, predicted"}
    predicted = ["predicted", "predicted_second"]
    plot.curves(parts["depth"], **columns, lines=predicted, slopes=[-1], labels=labels, save=f"{save}_depth")
    columns = {"x": "size", "y": "error", "hue": "what", "lines": ["predicted"]}
    labels = LABELS | {"size": "particles N", "y": "error / its constant", "predicted": "N^(−½)"}
    plot.curves(errors_of_particles(table), **columns, labels=labels, save=f"{save}_particles")


def errors_of_particles(table: pd.DataFrame) -> pd.DataFrame:
    """Errors over their constants of N^(−½): the root mean square of the moments', the mean of the histograms'."""
    moments = scores(table).assign(what="mean and variance, five laws")
    rows = table[table["part"] == "particles"]
    ratios = (rows["histogram"] / rows["predicted_histogram"]).groupby(rows["size"]).mean()
    bars = ratios.rename("score").reset_index().assign(what="histogram, two laws")
    found = pd.concat([moments, bars])
    found["predicted"] = 1 / np.sqrt(found["size"].astype(float))
    return found.assign(error=found["score"] * found["predicted"])


def main(save: str = "fokker_planck") -> None:
    """The table, the record and the figures."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    densities = study.once(fitted_laws, save=f"{save}_laws")
    study.record(save, study.constants(globals()), claims=claims(table))
    draw_figures(table, densities, save)


if __name__ == "__main__":
    study.run(main, globals())
