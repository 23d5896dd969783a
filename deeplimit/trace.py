"""Tables to draw: weights over depth, the states of the data, and decision regions, for networks and their limit.

Every function takes the minima by depth and the minimum of the limit, whose `depth` in the table is "∞".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from deeplimit import continuum, discrete
from deeplimit.control import Curve, Layers
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem

LIMIT = "∞"
CURVE_POINTS = 201
PATH_STEPS = 64
GRID = 61
MARGIN = 0.25  # of the data's range, around it


def _controls(nets: Mapping[int, Minimum], limit: Minimum) -> dict[Any, Layers | Curve]:
    return {**{depth: net.control for depth, net in nets.items()}, LIMIT: limit.control}


def weights(nets: Mapping[int, Minimum], limit: Minimum, *, entries: int = 3) -> pd.DataFrame:
    """The entries of K and b that the limit moves most: columns entry, depth, t, weight.

    A network's weights stand at its nodes i/n. Indices count from 1, as in the formulas.
    """
    t = np.linspace(0, 1, CURVE_POINTS)
    blocks = dict(zip("Kb", limit.control.at(t), strict=True))
    moved = {
        (block, *index): float(np.ptp(values[(slice(None), *index)].numpy()))
        for block, values in blocks.items()
        for index in np.ndindex(*values.shape[1:])
    }
    chosen = sorted(sorted(moved, key=lambda entry: -moved[entry])[:entries])
    rows = []
    for depth, control in _controls(nets, limit).items():
        nodes = t if isinstance(control, Curve) else np.arange(control.depth) / control.depth
        values = dict(zip("Kb", control.at(nodes), strict=True))
        for block, *index in chosen:
            name = f"{block}[{', '.join(str(i + 1) for i in index)}]"
            column = values[block][(slice(None), *index)].tolist()
            head = {"entry": name, "depth": depth}
            rows += [{**head, "t": time, "weight": w} for time, w in zip(nodes, column, strict=True)]
    return pd.DataFrame(rows)


def states(problem: Problem, nets: Mapping[int, Minimum], limit: Minimum) -> pd.DataFrame:
    """The data on their way through the layers.

    Columns are depth, sample, label, t, x1, x2, …;
    `label` is the number of the largest column of y, or y itself where it has one column.
    """
    y = problem.data.y
    labels = y[:, 0] if y.shape[1] == 1 else y.argmax(1)
    parts = []
    for depth, control in _controls(nets, limit).items():
        X = _states(problem, control, None)
        times, points = np.arange(len(X)) / (len(X) - 1), X.shape[1]
        table = pd.DataFrame(X.flatten(0, 1).numpy(), columns=[f"x{k + 1}" for k in range(X.shape[2])])
        table.insert(0, "t", np.repeat(times, points))
        table.insert(0, "label", np.tile(labels.long().numpy(), len(X)))
        table.insert(0, "sample", np.tile(np.arange(points), len(X)))
        table.insert(0, "depth", depth)
        parts.append(table.astype({"depth": object}))
    return pd.concat(parts, ignore_index=True)


def regions(problem: Problem, nets: Mapping[int, Minimum], limit: Minimum) -> pd.DataFrame:
    """The probability of class 1 on a grid around two-dimensional data: columns depth, x1, x2, score.

    Raises
    ------
    ValueError
        If the data are not two-dimensional, or the loss is no classification into two classes.
    """
    if problem.width != 2 or problem.loss.name == "squared" or problem.outputs > 2:
        raise ValueError("decision regions are drawn for two-dimensional data in two classes only")
    axes = [_axis(problem.data.x[:, k]) for k in range(2)]
    grid = torch.cartesian_prod(*axes)
    parts = []
    for depth, control in _controls(nets, limit).items():
        z = _states(problem, control, grid)[-1] @ control.W.T + control.c
        score = torch.sigmoid(z[:, -1]) if problem.loss.name == "logistic" else torch.softmax(z, 1)[:, -1]
        part = pd.DataFrame({"x1": grid[:, 0], "x2": grid[:, 1], "score": score})
        part.insert(0, "depth", depth)
        parts.append(part.astype({"depth": object}))
    return pd.concat(parts, ignore_index=True)


def _axis(x: Tensor) -> Tensor:
    low, high = float(x.min()), float(x.max())
    pad = MARGIN * (high - low)
    return torch.linspace(low - pad, high + pad, GRID, dtype=torch.float64)


def _states(problem: Problem, control: Layers | Curve, x: Tensor | None) -> Tensor:
    if isinstance(control, Curve):
        return continuum.states(problem, control, PATH_STEPS, x)
    return discrete.states(problem, control, x)
