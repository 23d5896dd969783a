"""Laws of data: densities and clouds at growing depth, and a number over a rectangle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from deeplimit.plot.frame import (
    LEGEND_WIDTH,
    PANELS_ACROSS,
    STYLE,
    one_legend,
    panels,
    saved,
)


def laws(
    table: pd.DataFrame,
    *,
    y: str,
    by: str,
    hue: str,
    filled: Sequence[str] = (),
    dashed: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Densities or distribution functions over x, a panel per group, each with an abscissa of its own.

    Parameters
    ----------
    table
        Columns `x`, y, `by` and `hue`; the rows of a curve in the order in which it is drawn.
    y
        The column of heights.
    hue
        Column whose values get a curve each, from light to dark in their order.
    filled, dashed
        Values of `hue` drawn as a filled histogram, x the middle of its bars, and as a black dashed line.
    labels
        Words for the columns x and y, and for values of `hue`.
    """
    names, groups = dict(labels or {}), list(table.groupby(by, sort=False))
    down = -(-len(groups) // PANELS_ACROSS)
    across = -(-len(groups) // down)
    plain = [value for value in table[hue].unique() if value not in {*filled, *dashed}]
    colours = dict(zip(plain, sns.color_palette("viridis_r", len(plain) + 1)[1:], strict=True))
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(down, across, 2.7, 2.5, LEGEND_WIDTH)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            for value, curve in group.groupby(hue, sort=False):
                label = names.get(str(value), str(value))
                if value in filled:
                    ax.fill_between(curve["x"], curve[y], step="mid", color="0.75", lw=0, label=label)
                else:
                    look: Any = {"color": "black", "ls": "--"} if value in dashed else {"color": colours[value]}
                    ax.plot(curve["x"], curve[y], lw=1.2, label=label, **look)
            ax.set_title(str(name))
            ax.set_xlabel(names.get("x", "x"))
        for row in axes:
            row[0].set_ylabel(names.get(y, y))
        one_legend(figure, axes)
    return saved(figure, save)


def clouds(
    table: pd.DataFrame,
    *,
    by: str,
    line: tuple[float, float],
    labels: Mapping[str, str],
    save: str | Path | None = None,
) -> Figure:
    """Points of the plane, a panel per group, with the line y = ax + c that they are drawn to.

    Parameters
    ----------
    table
        Columns `x`, `y` and `by`.
    line
        a and c.
    labels
        Words for x and y.
    """
    groups = list(table.groupby(by, sort=False))
    ends = np.array([table["x"].min(), table["x"].max()])
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(1, len(groups), 2.4, 2.5, sharex=True, sharey=True)
        for ax, (name, group) in zip(axes[0], groups, strict=True):
            ax.plot(ends, line[0] * ends + line[1], color="black", lw=1.2, ls="--", label="target line")
            ax.plot(
                group["x"], group["y"], "o", color=sns.color_palette("colorblind")[0], ms=2, alpha=0.5, label="data"
            )
            ax.set_title(str(name))
            ax.set_xlabel(labels["x"])
        axes[0, 0].set_ylabel(labels["y"])
        axes[0, 0].legend(loc="upper left", fontsize="small")
    return saved(figure, save)


def heat(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    z: str,
    line: str,
    labels: Mapping[str, str] | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
    save: str | Path | None = None,
) -> Figure:
    """A number over a rectangle of two others, with a predicted line.

    Parameters
    ----------
    x, y, z
        The abscissa, the ordinate and the number that is coloured; one row for each pair.
    line
        Column with the x at which the change is predicted for each y; NaN where nothing is.
    labels
        Words for the columns.
    limits
        Values of z at the ends of the colours; what lies outside has those of the ends.
    """
    names = dict(labels or {})
    grid = table.pivot(index=y, columns=x, values=z)
    with mpl.rc_context(STYLE), sns.axes_style("ticks"):
        figure, axes = panels(1, 1, 5.2, 3.4)
        ax = axes[0, 0]
        low, high = limits
        image = grid.clip(low, high).to_numpy(dtype=float)
        mesh = ax.pcolormesh(grid.columns, grid.index, image, cmap="cividis", vmin=low, vmax=high, rasterized=True)
        change = table.drop_duplicates(y).sort_values(y)
        ax.plot(change[line], change[y], color="white", lw=1.6, ls="--", label=names.get(line, line))
        ax.set_xlabel(names.get(x, x))
        ax.set_ylabel(names.get(y, y))
        ax.legend(loc="lower right", labelcolor="white")
        figure.colorbar(mesh, ax=ax, label=names.get(z, z), extend="both")
    return saved(figure, save)
