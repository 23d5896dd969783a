"""Is a deep network with noisy weights stable, and which bound sees it?

The network y_{k+1} = y_k + A_k tanh(y_k) is driven by the path w with increments A_k. With iid weights of size n^{−½}
its total variation grows like √n, and so does the exponent of the Gronwall bound e^{L‖w‖_1}, while what the network
does to a perturbation does not change with n. Bayer, Friz & Tapia (2023) prove bounds by p-variation, 1 ≤ p < 3. Here,
with constants derived in `deeplimit.rough.stability`:

- amplification of small input perturbations by networks on finer and finer grids of one Brownian path;
- bounds by p-variation with fractional Brownian weights of three sizes, which are never violated. They leave Gronwall's
  where the rough norm of the path is about 1 or less: with H = ½ and n = 4096 a seventh of its exponent for weights
  × 0.1 and a third for × 0.3. At full size, × 1, intervals are short or there are none: three quarters of Gronwall's
  exponent, 63 against 85 where 0.2 is observed, and growing with n. No bound here explains networks of that size;
- remainders of the local expansions f(y_j) w_{jk} (order 2/p) and f(y_j) w_{jk} + g(y_j) WW_{jk} (order 3/p);
- loops of radius ε that are all area: the path tends to 0, its lift does not, and the output moves along the bracket;
- the distance ρ_p in which the output is continuous, with both levels: between the lifts of a fractional Brownian path
  and of the path held constant over the steps of a coarser grid it falls like m^{−(H − 1/p)}, H ≥ ½ (for H < ½ sums of
  left points have no limit, as quadratic variations grow like n^{1 − 2H}); between loops and 0 it does not fall.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

from deeplimit import plot, rough, study
from deeplimit.claims import Claim, doubts, farthest, largest
from deeplimit.rough import difference, stability
from deeplimit.rough.difference import Bounds, Field, residual
from deeplimit.rough.paths import area_loop, coarsened, fractional_increments, loop_area

DEPTHS = [64, 256, 1024, 4096]
WIDTH = 4  # of the networks whose amplification is measured
SEEDS = 12
BOUND_P = {0.5: 2.2, 0.7: 1.6, 0.9: 1.3}  # p of the bound, by H
BOUND_SCALES = [0.1, 0.3, 1.0]  # of the weights of the bounds: e^{C‖w‖^p} has large C
BOUND_WIDTH = 2
CHANGE = 0.01  # of the weights, relative
BLOCKS = [2**m for m in range(6, 11)]
STEPS = 2**16  # of the paths that are cut into blocks
BLOCK_SEEDS = 8
BLOCK_HURSTS = [0.5, 0.6, 0.7]
RADII = [1 / 4, 1 / 6, 1 / 8, 1 / 12, 1 / 16]
LIFT_P = 2.9
LIFT_HURSTS = [0.5, 0.6, 0.7]
LIFT_STEPS = 2**11  # of the paths whose coarser grids are compared with them
GRIDS = [8, 16, 32, 64, 128]
LIFT_SEEDS = 8
LOOP_TURN = 16  # steps of a turn of the loops whose distance to 0 is measured, in both levels
TURN = 8  # steps of a turn times the radius, so that the quadratic variation falls with it

QUICK: dict[str, Any] = {"DEPTHS": [64, 256, 1024], "SEEDS": 6}
QUICK |= {"STEPS": 2**14, "BLOCKS": [64, 128, 256], "BLOCK_SEEDS": 3}
QUICK |= {"RADII": [1 / 4, 1 / 6, 1 / 8], "GRIDS": [8, 32, 128]}
DONE = "solved"
SOURCE = "C. Bayer, P. Friz, N. Tapia 2023 for the form; constants derived here"
DERIVED = "derived here"
LOOPS = np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
LINE = ["part", "hurst", "depth", "scale", "observed", "bound", "gronwall", "intervals", "steps", "status"]
BOUND_LABELS = {
    "depth": "depth n",
    "observed": "observed",
    "bound": "bound by p-variation",
    "gronwall": "Gronwall bound, p = 1",
    "power": "slope 1 − H",
    "y": "log of the amplification",
}
BLOCK_LABELS = {
    "depth": "steps of a block",
    "observed": "f w + g WW removed",
    "plain": "f w removed",
    "predicted": "slope 3/p = 3H",
    "predicted_plain": "slope 2/p = 2H",
    "y": "remainder, root mean square",
}

LIFT_LABELS = {
    "depth": "steps m of the coarse grid",
    "level1": "first level ‖w − w'‖_p",
    "distance": "both levels ρ_p",
    "power": "slope 1/p − H",
    "y": f"distance to the path, p = {LIFT_P:g}",
}

Row = dict[str, Any]


def points() -> Iterator[tuple[str, float, int, float]]:
    """Part, H, depth, steps of a block or index of the radius, and scale of the weights, of every row."""
    yield from (("amplification", 0.5, n, 1.0) for n in DEPTHS)
    yield from (("bound", H, n, scale) for scale in BOUND_SCALES for H in BOUND_P for n in DEPTHS)
    yield from (("remainder", H, m, 1.0) for H in BLOCK_HURSTS for m in BLOCKS)
    yield from (("loop", math.nan, k, math.nan) for k in range(len(RADII)))
    yield from (("lift", H, m, 1.0) for H in LIFT_HURSTS for m in GRIDS)
    yield from (("area", math.nan, k, math.nan) for k in range(len(RADII)))


def measure(row: int) -> Row:
    """One row of the table."""
    part, hurst, depth, scale = list(points())[row]
    others = {"amplification": amplification, "remainder": remainder, "loop": loop, "lift": lifted, "area": area}
    found = bounded(hurst, depth, scale) if part == "bound" else others[part](hurst, depth)
    return {"part": part, "hurst": hurst, "depth": depth, "scale": scale} | found | {"status": DONE}


@cache
def increments(hurst: float, width: int, seed: int) -> np.ndarray:
    """Weights with entries of variance n^{−2H} / width at the finest network."""
    return fractional_increments(DEPTHS[-1], hurst, width**2, seed=seed) / math.sqrt(width)


def input_point(width: int) -> np.ndarray:
    """Where every network starts."""
    return np.linspace(-0.8, 0.8, width)


def log_gain(field: Field, w: np.ndarray) -> float:
    """log of the largest amplification of a small perturbation of the input."""
    states = difference.solve(field, w, input_point(math.isqrt(w.shape[1])))
    return math.log(np.linalg.norm(difference.tangent(field, w, states), 2))


def amplification(hurst: float, depth: int) -> Row:
    """Means over the seeds: log amplification, and the exponent L‖w‖_1 of the Gronwall bound."""
    field = residual(WIDTH)
    paths = [rough.as_path(coarsened(increments(hurst, WIDTH, s), DEPTHS[-1] // depth)) for s in range(SEEDS)]
    gains = np.array([log_gain(field, w) for w in paths])
    exponents = [stability.gronwall(known(field), w).log_amplification for w in paths]
    return {"observed": gains.mean(), "gronwall": np.mean(exponents), "error": gains.std(ddof=1) / math.sqrt(SEEDS)}


def known(field: Field) -> Bounds:
    """The bounds of tanh."""
    if field.bounds is None:
        raise ValueError("this study is about activations with known bounds, tanh or arctan")
    return field.bounds


def bounded(hurst: float, depth: int, scale: float) -> Row:
    """Log amplification against its bound; and the gap after a change of input and weights, over its bound."""
    field, p = residual(BOUND_WIDTH), BOUND_P[hurst]
    steps = [scale * coarsened(increments(hurst, BOUND_WIDTH, s), DEPTHS[-1] // depth) for s in (0, 1)]
    w, v = rough.as_path(steps[0]), rough.as_path(steps[0] + CHANGE * steps[1])
    found, both = stability.bound(known(field), w, p), stability.bound(known(field), w, p, other=v)
    y = input_point(BOUND_WIDTH)
    gap = np.linalg.norm(difference.solve(field, w, y) - difference.solve(field, v, (1 + CHANGE) * y), axis=1)
    whole = np.logaddexp(both.log_amplification + math.log(gap[0]), both.log_forcing)
    return {
        "p": p,
        "observed": log_gain(field, w),
        "bound": found.log_amplification,
        "gronwall": stability.gronwall(known(field), w).log_amplification,
        "intervals": found.intervals,
        "steps": found.steps,
        "gap": math.log(gap.max()) - whole,
        "rough_norm": rough.rough_norm(w, p),
    }


@cache
def solved(hurst: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A path and the states it drives."""
    field = residual(BOUND_WIDTH)
    w = rough.as_path(fractional_increments(STEPS, hurst, BOUND_WIDTH**2, seed=100 + seed) / math.sqrt(BOUND_WIDTH))
    return w, difference.solve(field, w, input_point(BOUND_WIDTH))


def remainder(hurst: float, length: int) -> Row:
    """Root mean square over blocks and seeds, with and without the second level; the predicted powers through them."""
    field = residual(BOUND_WIDTH)
    found = [difference.remainders(field, *solved(hurst, s), length) for s in range(BLOCK_SEEDS)]
    rms, plain = (float(np.sqrt(np.square(np.concatenate(part)).mean())) for part in zip(*found, strict=True))
    return {"observed": rms, "plain": plain}


@cache
def area_limit() -> np.ndarray:
    """Where the flow of π (Df_2 f_1 − Df_1 f_2) takes the input: SciPy's integrator."""
    field = residual(BOUND_WIDTH, directions=LOOPS)

    def bracket(t: float, y: np.ndarray) -> np.ndarray:
        g = field.second(y)
        return np.asarray(math.pi * (g[:, 0, 1] - g[:, 1, 0]))

    found = solve_ivp(bracket, (0, 1), input_point(BOUND_WIDTH), method="DOP853", rtol=1e-11, atol=1e-13)
    return np.asarray(found.y[:, -1])


def loop(_: float, index: int) -> Row:
    """The loops' distance to 0 in the sup norm, their area, the output's distance to its limit, and how far it moved.

    `moved` is in the direction of the limit, in parts of the way to it.
    """
    radius = RADII[index]
    w = area_loop(radius, round(TURN / radius))
    field, y = residual(BOUND_WIDTH, directions=LOOPS), input_point(BOUND_WIDTH)
    end, WW, way = difference.solve(field, w, y)[-1], rough.level2(w), area_limit() - y
    return {
        "radius": radius,
        "sup": float(np.linalg.norm(w, axis=1).max()),
        "area": float(WW[0, 1] - WW[1, 0]) / 2,
        "observed": float(np.linalg.norm(end - area_limit())),
        "moved": float((end - y) @ way / (way @ way)),
    }


def lifted(hurst: float, steps: int) -> Row:
    """Geometric means over seeds of ‖w − w'‖_p and ρ_p, where w' is w at the last point of a coarse grid."""
    found = []
    last = np.arange(LIFT_STEPS + 1) // (LIFT_STEPS // steps) * (LIFT_STEPS // steps)
    for seed in range(LIFT_SEEDS):
        w = rough.as_path(fractional_increments(LIFT_STEPS, hurst, 2, seed=200 + seed))
        found.append(distances(w, w[last]))
    return dict(pd.DataFrame(found).apply(np.log).mean().apply(math.exp))


def area(_: float, index: int) -> Row:
    """Distances between a loop and the path that stays at 0."""
    w = area_loop(RADII[index], LOOP_TURN)
    return {"radius": RADII[index]} | distances(w, np.zeros_like(w))


def distances(w: np.ndarray, v: np.ndarray) -> Row:
    """That of the paths alone, and ρ_p with both levels."""
    return {
        "p": LIFT_P,
        "level1": rough.p_variation(w - v, LIFT_P)[0],
        "distance": rough.rough_distance(w, v, LIFT_P),
    }


def slope(rows: pd.DataFrame, y: str, x: str = "depth") -> float:
    """Least squares in both logarithms."""
    return float(np.polyfit(np.log(rows[x]), np.log(rows[y]), 1)[0]) if len(rows) > 1 else math.nan


def claims(table: pd.DataFrame) -> list[Claim]:
    """Amplification, bounds, remainders and loops."""
    reason = doubts(table, "part", "hurst", "depth", "scale", trusted=(DONE,))
    parts = {name: table[table["part"] == name] for name in ("amplification", "bound", "remainder", "loop")}
    lifts, loops = (table[table["part"] == name] for name in ("lift", "area"))
    found = [*stable(parts["amplification"], parts["bound"], reason), *areas(parts["loop"], reason)]
    return [*found, *orders(parts["remainder"], reason), *levels(lifts, loops, reason)]


def stable(gains: pd.DataFrame, rows: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """B3.1 to B3.5, and B3.8 and B3.9."""
    logs = np.log(gains["depth"].to_numpy(dtype=float))
    flat = float(np.polyfit(logs, gains["observed"], 1)[0])
    excess = largest(rows["observed"] - rows["bound"])
    return [
        *depths(rows, reason),
        Claim(
            "B3.1",
            f"iid weights of size n^(−½), width {WIDTH}: finer grids of one path amplify perturbations alike",
            SOURCE,
            f"slope of the log amplification in log n, mean of {SEEDS} paths",
            0.0,
            flat,
            0.05,  # a strong error of order n^{−½} at n = 64 in two octaves, a part 0.1 of one
            "growth or decay with depth",
            reason,
        ),
        Claim(
            "B3.2",
            "the exponent of the Gronwall bound doubles with every fourfold depth",
            DERIVED,
            "slope of L‖w‖_1 in n, in logarithms",
            0.5,
            slope(gains, "gronwall"),
            0.02,  # a mean of |dw| over 64 layers or more and all paths
            "another power of n: the weights are not noise",
            reason,
        ),
        Claim(
            "B3.3",
            "no perturbation of the input is amplified more than the bound by p-variation says",
            SOURCE,
            "largest log amplification − its bound, over H, n and scales",
            0.0,
            excess,
            0.0,
            "a positive number: a constant of the bound is too small",
            reason,
            "≤",
        ),
        Claim(
            "B3.4",
            "nor is any gap after a change of input and weights larger than its bound",
            SOURCE,
            "largest log gap − its bound, over H, n and scales",
            0.0,
            largest(rows["gap"]),
            0.0,
            "a positive number: a constant of the bound is too small",
            reason,
            "≤",
        ),
    ]


def depths(rows: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """B3.5, B3.8 and B3.9: the bound against Gronwall's for small weights and for those of full size."""
    noisy = rows[rows["hurst"] == 0.5].sort_values("depth")
    small, full = (noisy[noisy["scale"] == scale].iloc[[0, -1]] for scale in (min(BOUND_SCALES), max(BOUND_SCALES)))
    growth = f"slope of its exponent over that of Gronwall's, n = {small['depth'].min()} to {small['depth'].max()}"
    return [
        Claim(
            "B3.5",
            f"H = ½, weights × {min(BOUND_SCALES):g}: the rough bound hardly grows with depth, Gronwall's like √n",
            SOURCE,
            growth,
            0.0,
            slope(small, "bound") / slope(small, "gronwall"),
            0.5,  # it starts at Gronwall's, where single steps are best, and has no power of n in the limit
            "a bound that grows with a power of n like Gronwall's",
            reason,
            "≤",
        ),
        Claim(
            "B3.8",
            "the bound by p-variation is never above Gronwall's, also where no interval is small",
            DERIVED,
            "largest exponent over that of Gronwall's, over H, n and scales",
            1.0,  # single steps are one of the partitions, and 1 + L|dw| ≤ e^{L|dw|}
            largest(rows["bound"] / rows["gronwall"]),
            0.0,
            "a larger bound: the partition is not the best one",
            reason,
            "≤",
        ),
        Claim(
            "B3.9",
            f"H = ½, weights × {max(BOUND_SCALES):g}: the rough bound grows like Gronwall's and is void",
            DERIVED,
            growth,
            1.0,
            slope(full, "bound") / slope(full, "gronwall"),
            0.25,  # + 0.1 by 1 + L|dw| for e^{L|dw|}, as much less by intervals of few steps
            "a bound that does not grow: it would explain why networks of this size are stable",
            reason,
        ),
    ]


def areas(rows: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """B3.6 and B3.7."""
    return [
        Claim(
            "B3.6",
            "loops of radius ε and area π: the output tends to the flow of π (Df₂ f₁ − Df₁ f₂), at order 1 in ε",
            DERIVED,
            "slope of the distance in ε, in logarithms",
            1.0,
            slope(rows, "observed", "radius"),
            2 * min(RADII),  # relative corrections of order ε
            "another order, or a limit that is the input, as the path's own limit 0 suggests",
            reason,
        ),
        Claim(
            "B3.7",
            "so the output is not continuous in the sup norm of the path: it moves by as much for every ε",
            DERIVED,
            "part of the way from the input to the limit, at the least ε",
            1.0,
            float(rows["moved"].iloc[-1]),
            2 * min(RADII),  # of order ε, from the quadratic variation and the radius
            "an output that returns to the input",
            reason,
        ),
    ]


def orders(rows: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """B4.1 and B4.2."""
    found = []
    for name, column, level in (("B4.1", "observed", 3), ("B4.2", "plain", 2)):
        removed = "f(y_j) w_{jk} + g(y_j) WW_{jk}" if level == 3 else "f(y_j) w_{jk}"
        gaps = [slope(part, column) - level * float(H) for H, part in rows.groupby("hurst")]  # type: ignore[arg-type]
        found.append(
            Claim(
                name,
                f"y_{{jk}} − ({removed}) is of order {level}/p, p = 1/H, in the length of a block",
                SOURCE,
                f"fitted exponent − {level}H, farthest over H = {', '.join(f'{H:g}' for H in BLOCK_HURSTS)}",
                0.0,
                farthest(gaps, 0.0),
                0.1,  # a block of m steps has m^3/6 (1 − 3/m) triples, and the root mean square a standard error
                "the exponent of the other expansion, 1/p away",
                reason,
            )
        )
    return found


def levels(lifts: pd.DataFrame, loops: pd.DataFrame, reason: tuple[str, ...]) -> list[Claim]:
    """B4.3 to B4.5."""
    gaps = [slope(part, "distance") + float(H) - 1 / LIFT_P for H, part in lifts.groupby("hurst")]  # type: ignore[arg-type]
    return [
        Claim(
            "B4.3",
            "lifts of a fractional Brownian path on coarser grids of m steps tend to that of the path like m^(1/p − H)",
            DERIVED,
            f"slope of ρ_p − (1/p − H), p = {LIFT_P:g}, farthest over H = {', '.join(f'{H:g}' for H in LIFT_HURSTS)}",
            0.0,
            farthest(gaps, 0.0),
            0.1,  # four standard errors, 0.065 for a path, and what a coarse step of few fine ones lacks, 0.04 for 16
            "another rate, or lifts that do not converge",
            reason,
        ),
        Claim(
            "B4.4",
            "the first level is blind to loops of area π: ‖w‖_p falls like ε^(1 − 2/p)",
            DERIVED,
            f"slope of ‖w‖_p in ε, p = {LIFT_P:g}",
            1 - 2 / LIFT_P,
            slope(loops, "level1", "radius"),
            0.01,  # exactly ε^{−2} turns with equal best partitions, up to the two ends
            "another power: ‖w‖_p sees the area",
            reason,
        ),
        Claim(
            "B4.5",
            "the second level sees them: the distance of the lifts stays above |WW| ≥ √2 · area",
            DERIVED,
            "least ρ_p between a loop and 0 / (√2 × the area of its polygons)",
            1.0,
            float(loops["distance"].min() / (math.sqrt(2) * loop_area(LOOP_TURN))),
            0.0,
            "a distance that tends to 0 with the loops",
            reason,
            "≥",
        ),
    ]


def main(save: str = "rough_stability") -> None:
    """The table, the record and four figures: H = ½, smoother weights, remainders, distances of lifts."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[table["part"].isin(["amplification", "bound"])]
    widths = shown["part"].map({"amplification": WIDTH, "bound": BOUND_WIDTH})
    titles = zip(shown["hurst"], widths, shown["scale"], strict=True)
    shown = shown.assign(panel=[f"H = {H:g}, width {d}, weights × {scale:g}" for H, d, scale in titles])
    shown["power"] = shown.groupby("panel")["gronwall"].transform("first")
    shown["power"] *= (shown["depth"] / DEPTHS[0]) ** (1 - shown["hurst"])
    look: dict[str, Any] = {"x": "depth", "by": "panel", "y": ["observed", "bound", "gronwall"], "labels": BOUND_LABELS}
    noisy = shown["hurst"] == 0.5
    plot.curves(shown[noisy], **look, slopes=[0.5], save=save)
    ends = shown["scale"].isin([min(BOUND_SCALES), max(BOUND_SCALES)])
    plot.curves(shown[~noisy & ends], **look, lines=["power"], save=f"{save}_young")
    blocks = table[table["part"] == "remainder"].copy()
    for column, level, line in (("observed", 3, "predicted"), ("plain", 2, "predicted_plain")):
        first = blocks.groupby("hurst")[column].transform("first")
        blocks[line] = first * (blocks["depth"] / BLOCKS[0]) ** (level * blocks["hurst"])
    blocks = blocks.assign(panel="H = " + blocks["hurst"].astype(str))
    lines = ["predicted", "predicted_plain"]
    look = {"x": "depth", "y": ["observed", "plain"], "by": "panel", "lines": lines, "labels": BLOCK_LABELS}
    plot.curves(blocks, **look, save=f"{save}_remainder")
    lifts = table[table["part"] == "lift"].assign(panel=lambda rows: "H = " + rows["hurst"].astype(str))
    lifts["power"] = lifts.groupby("hurst")["distance"].transform("first")
    lifts["power"] *= (lifts["depth"] / GRIDS[0]) ** (1 / LIFT_P - lifts["hurst"])
    look = {"x": "depth", "y": ["level1", "distance"], "by": "panel", "lines": ["power"], "labels": LIFT_LABELS}
    plot.curves(lifts, **look, save=f"{save}_lift")


if __name__ == "__main__":
    study.run(main, globals())
