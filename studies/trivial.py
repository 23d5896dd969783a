"""For which α is the zero network the minimiser, or at least a local one?

The theorem of Thorpe & van Gennip (2023) asks for α > 0 on every block, and does not say what it costs. On the ring,
with all blocks trained, a bound on α is derived above which no network is better than zero, and zero is a strict local
minimum for every α. On three points with a quadratic gain the α at which zero stops being a minimum is the eigenvalue
of a quadratic form, and training from zero leaves it below that α only.
"""

import itertools
import math
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import linalg
from scipy.optimize import brentq

from deeplimit import Data, Problem, data, discrete, plot, study
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.control import Layers
from deeplimit.coordinates import LayerCoordinates

RING_ALPHAS = [0.01, 0.1, 1.0]
RING_DEPTH = 16
RING_SEEDS = [0, 1, 4, 8]  # of random starts on the ring
DEPTHS = [8, 32, 128]
FACTORS = [0.9, 0.99, 1.01, 1.1, 1.5]  # α over the critical α

QUICK = {"DEPTHS": [8], "RING_ALPHAS": [0.01]}
# residuals r = x − y with Σ r = Σ r x = 0, so that zero is stationary, and Σ r x² = −2, which σ''(0) turns into a gain
X = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
QUADRATIC = Data(X, X + torch.tensor([[1.0], [-2.0], [1.0]]))
RING_MINIMUM = 0.6472529400845995  # of the ring with α = 0.01 at depth 16, by an independent program
AT_ZERO = 1e-9  # largest difference of the values
DERIVED = "derived here"
LABELS = {"factor": "α over the α predicted for depth n", "y": "1 − Eₙ(trained from zero) / Eₙ(0)", "depth": "n ="}


def pose(problem: str, alpha: float) -> Problem:
    """The problem with this α."""
    if problem == "ring":
        return Problem(data.ring(), loss="softmax", alpha=alpha, reduction="mean")
    return Problem(QUADRATIC, activation="silu", loss="squared", alpha=alpha, trainable="Kb")


def zero(problem: Problem, depth: int) -> Layers:
    """The network whose trained blocks are zero."""
    coordinates = LayerCoordinates(problem.metric, depth)
    return coordinates.control(np.zeros(coordinates.size))


@cache
def trivial_bound() -> float:
    """Above this α the zero network is the only minimiser on the ring, at every depth: α = ½ e^κ √(1 + x̄²).

    The loss is convex in z, and its gradients g_s at z = 0, of norm 1/√2, satisfy Σ g_s = 0 and Σ g_s x_sᵀ = 0. So
    E − log 2 ≥ −(1/√2) |W| mean |X_s − x_s| + α (|W|² + (κ² + β²)/2) with κ, β the largest |K|, |b| in depth, and
    |X_s − x_s| ≤ e^κ (κ|x_s| + β) ≤ e^κ √(1 + |x_s|²) √(κ² + β²); a minimiser has α κ²/2 ≤ log 2. x̄ is the mean |x_s|.
    """
    mean = float(torch.linalg.vector_norm(data.ring().x, dim=1).mean())

    def excess(alpha: float) -> float:
        return alpha - math.exp(math.sqrt(2 * math.log(2) / alpha)) * math.sqrt(1 + mean**2) / 2

    return float(brentq(excess, 0.1, 100.0))


@cache
def critical_alpha(depth: int) -> float:
    """The α at which the Hessian of E_n at the zero network stops being positive, silu with K and b trained.

    To second order in (K, b), for silu'(0) = silu''(0) = ½ and residuals r = x − y orthogonal to 1 and x, Σ r x² = −2,
    the data term is 6 + ¼ Σ_s (K̄ x_s + b̄)² − h Σ K_i². Its negative part competes with α (n Σ|ΔK|² + τ K_0²), a
    generalised symmetric eigenvalue problem.
    """
    D = np.diff(np.eye(depth), axis=0)
    penalty = depth * D.T @ D
    penalty[0, 0] += 1.0
    gain = np.eye(depth) / depth - np.full((depth, depth), 0.5 / depth**2)
    return float(linalg.eigh(gain, penalty, eigvals_only=True)[-1])


def rows() -> dict[str, tuple[str, int, float]]:
    """Problem, depth and α over the predicted α of every row, by name."""
    bound = trivial_bound()
    ring = {f"ring, α = {alpha:g}": ("ring", RING_DEPTH, alpha / bound) for alpha in [*RING_ALPHAS, 1.01 * bound]}
    pairs = itertools.product(DEPTHS, FACTORS)
    return ring | {f"quadratic, n = {n}, α = {factor:g} α*": ("quadratic", n, factor) for n, factor in pairs}


def measure(row: str) -> dict[str, Any]:
    """The lowest of random starts (ring) or what training from zero finds (quadratic), beside the zero network.

    `curvature_from_zero` is that where training from zero ends, which is the zero network's unless it leaves.
    """
    name, depth, factor = rows()[row]
    alpha = factor * (trivial_bound() if name == "ring" else critical_alpha(depth))
    problem = pose(name, alpha)
    start = zero(problem, depth)
    still = discrete.minimise(problem, depth, start=start)
    nets = [discrete.minimise(problem, depth, seed=seed) for seed in RING_SEEDS] if name == "ring" else [still]
    net, height = min(nets, key=lambda found: found.value), discrete.objective(problem, start)
    return {
        "problem": name,
        "depth": depth,
        "alpha": alpha,
        "factor": factor,
        "value": net.value,
        "zero_value": height,
        "curvature_from_zero": still.curvature,
        "share_at_zero": sum(abs(found.value - height) < AT_ZERO for found in nets) / len(nets),
        "residual": net.residual,
        "curvature": net.curvature,
        "status": str(net.status),
    }


def claims(table: pd.DataFrame) -> list[Claim]:
    """T10.41 to T10.45: where the zero network is a minimiser."""
    ring, quadratic = (table[table["row"].str.startswith(name)] for name in ("ring", "quadratic"))
    stable = quadratic[quadratic["factor"] > 1]
    predicted = quadratic["share_at_zero"] == (quadratic["factor"] > 1)
    on_ring = partial(Claim, source=DERIVED, doubts=doubts(ring, "row"))
    on_line = partial(Claim, source=DERIVED, doubts=doubts(quadratic, "row"))
    return [
        on_ring(
            "T10.41",
            "above the derived α the zero network is the minimiser on the ring",
            quantity="lowest of random starts at 1.01 times that α",
            predicted=math.log(2),
            observed=ring["value"].iloc[-1],
            tolerance=1e-12,
            falsified_by="a trained network below log 2",
        ),
        on_ring(
            "T10.42",
            "on the ring the data term adds no curvature at the zero network, a strict local minimum for every α",
            quantity="least eigenvalue of the Hessian there, the farthest from that of the regulariser",
            predicted=2.0,
            observed=farthest(ring["curvature_from_zero"], 2.0),
            tolerance=1e-9,
            falsified_by="a direction in which the zero network loses",
        ),
        on_ring(
            "T10.43",
            "for α = 0.01 the zero network is not the minimiser on the ring",
            quantity="lowest of random starts at depth 16",
            predicted=RING_MINIMUM,
            observed=ring["value"].iloc[0],
            tolerance=1e-9,
            falsified_by="no trained network below log 2",
        ),
        on_line(
            "T10.44",
            "where the zero network stops being a minimum is the eigenvalue of a quadratic form",
            quantity="α at which its curvature 2 (1 − α*/α) vanishes over the predicted α*, the farthest from 1",
            predicted=1.0,
            observed=farthest(2 / (2 - stable["curvature_from_zero"]) / stable["factor"], 1.0),
            tolerance=1e-6,
            falsified_by="a zero network that is a minimum below the predicted α, or none above it",
        ),
        on_line(
            "T10.45",
            "training from the zero network leaves it below the predicted α and only there",
            quantity="share of the runs that do as predicted",
            predicted=1.0,
            observed=float(predicted.mean()),
            tolerance=0.0,
            falsified_by="a run that stays below the predicted α, or leaves above it",
        ),
    ]


def main(save: str = "trivial") -> None:
    """The table, the claims, the record and the figure."""
    table = study.sweep(measure, save=save, row=list(rows()))
    study.record(save, study.constants(globals()), claims=claims(table))
    shown = table[table["problem"] == "quadratic"]
    shown = shown.assign(gain=1 - shown["value"] / shown["zero_value"])
    linear: dict[str, Any] = {"logx": None, "logy": False, "labels": LABELS}
    plot.curves(shown, x="factor", y="gain", hue="depth", hollow=DEPTHS[-2::-1], save=save, **linear)


if __name__ == "__main__":
    study.run(main, globals())
