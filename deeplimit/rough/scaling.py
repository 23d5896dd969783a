"""Scaling exponents of weights in a sweep over depth, and the limit they leave a deep network: ODE, SDE or neither.

The network is X_{k+1} = X_k + δ σ(A_k X_k + b_k), k < n, and its path w has the increments δ A_k. Fitted against n, in
logarithms, are (after Cohen, Cont, Rossier & Xu, Scaling properties of deep residual networks, ICML 2021)

- α, β with δ ~ n^{−α} and max |A_k| ~ n^{−β};
- the largest increment max |A_{k+1} − A_k|, which falls where the weights are samples of a continuous function;
- the total variation Σ δ|A_k|, bounded in the ODE regime and ~ √n in the SDE regime;
- the quadratic variation Σ δ²|A_k|², which tends to 0 in the ODE regime and keeps its size in the SDE regime.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from deeplimit import checks
from deeplimit.rough.variation import as_points

ROOM = 0.15  # of an exponent that is to be 0 or ½: sweeps of a few octaves have next terms of that size
SMOOTH = -0.5  # exponent of the increments over the weights, below which these are called continuous in depth
QUANTITIES = ("step", "largest", "increment", "root_squares", "variation", "quadratic", "h1")

REGIMES = {
    "ODE": "the path has bounded variation and the weights become continuous in depth",
    "SDE": "the total variation grows like √n, and the quadratic variation neither grows nor falls",
    "averaged": "the weights are noise whose quadratic variation vanishes: it averages out, and they have no limit",
    "between": "the quadratic variation vanishes but the total variation grows: 1 < p < 2, a Young equation at most",
    "vanishing": "the total variation tends to 0, and the network to the identity",
    "growing": "the quadratic variation grows with depth",
    "unclear": "the exponents are those of none of the regimes",
}


def diagnose(weights: Any, step: float) -> dict[str, float]:
    """The numbers whose exponents tell the regime, for one network.

    Parameters
    ----------
    weights
        A_0 … A_{n−1}, shape (n, …), at least two; Frobenius norms.
    step
        δ, positive.

    Returns
    -------
    `step` δ, `largest` max |A_k|, `increment` max |A_{k+1} − A_k|, `root_squares` (Σ|A_k|²)^½, `variation` Σ δ|A_k|,
    `quadratic` Σ δ²|A_k|², `sum` |Σ δ A_k|, and `h1` (n Σ|A_{k+1} − A_k|²)^½, the discrete H¹ seminorm.
    """
    A, delta = as_points(weights), checks.positive("step", step)
    sizes, jumps = np.linalg.norm(A, axis=1), np.linalg.norm(np.diff(A, axis=0), axis=1)
    return {
        "step": delta,
        "largest": float(sizes.max()),
        "increment": float(jumps.max()),
        "root_squares": float(np.linalg.norm(sizes)),
        "variation": delta * float(sizes.sum()),
        "quadratic": delta**2 * float(sizes @ sizes),
        "sum": delta * float(np.linalg.norm(A.sum(0))),
        "h1": math.sqrt(len(A)) * float(np.linalg.norm(jumps)),
    }


def exponents(depths: Iterable[int], rows: pd.DataFrame) -> dict[str, float]:
    """Slopes of the quantities of `diagnose` against depth, in logarithms: `alpha` and `beta` with their sign turned.

    NaN where a quantity is not positive and finite at every depth.

    Raises
    ------
    ValueError, TypeError
        For fewer than two different depths, depths that are not whole numbers, one a row, and missing columns.
    """
    checked = [checks.whole("a depth", depth, least=1) for depth in depths]
    if len(set(checked)) < 2 or len(checked) != len(rows):
        raise ValueError(
            f"exponents need at least two different depths, one a row, got depths {checked} and {len(rows)} rows"
        )
    missing = [name for name in QUANTITIES if name not in rows]
    if missing:
        raise ValueError(f"rows must have the columns that diagnose gives, but lack {', '.join(missing)}")
    n = np.log(checked)
    values = rows[list(QUANTITIES)].to_numpy(dtype=float)
    usable = (np.isfinite(values) & (values > 0)).all(0)
    slopes = np.full(len(QUANTITIES), math.nan)
    slopes[usable] = np.polyfit(n, np.log(values[:, usable]), 1)[0]
    found = {name: float(slope) for name, slope in zip(QUANTITIES, slopes, strict=True)}
    return {"alpha": -found.pop("step"), "beta": -found.pop("largest")} | found


def regime(found: Mapping[str, float], room: float = ROOM) -> str:
    """The regime of a sweep, one of the keys of `REGIMES`, whose values say why.

    Parameters
    ----------
    found
        As `exponents` gives them.
    room
        By which an exponent may differ from what the regime asks for.
    """
    variation, quadratic = found["variation"], found["quadratic"]
    smooth = found["increment"] + found["beta"] <= SMOOTH
    cases = {
        "unclear": not all(math.isfinite(found[name]) for name in ("variation", "quadratic", "increment", "beta")),
        "growing": quadratic > room,
        "SDE": abs(quadratic) <= room and abs(variation - 0.5) <= room,
        "vanishing": variation < -room,
        "ODE": abs(variation) <= room and smooth,
        "averaged": abs(variation) <= room and not smooth,
        "between": variation > room and quadratic < -room,
    }
    return next((name for name, holds in cases.items() if holds), "unclear")
