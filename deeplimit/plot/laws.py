"""Laws of data: densities and clouds at growing depth, and a number over a rectangle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from deeplimit import tables
from deeplimit.plot.frame import STYLE, by_group, panels, saved


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
    by
        Column whose values get a panel each.
    hue
        Column whose values get a curve each, from light to dark in their order.
    filled, dashed
        Values of `hue` drawn as a filled histogram, x the middle of its bars, and as a black dashed line.
    labels
        Words for the columns x and y, and for values of `hue`.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    names = dict(labels or {})
    tables.require(table, ["x", y, by, hue])
    plain = [value for value in table[hue].unique() if value not in {*filled, *dashed}]
    colours = dict(zip(plain, sns.color_palette("viridis_r", len(plain) + 1)[1:], strict=True))

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        for value, curve in group.groupby(hue, sort=False):
            label = names.get(str(value), str(value))
            if value in filled:
                ax.fill_between(curve["x"], curve[y], step="mid", color="0.75", lw=0, label=label)
            else:
                look: Any = {"color": "black", "ls": "--"} if value in dashed else {"color": colours[value]}
                ax.plot(curve["x"], curve[y], lw=1.2, label=label, **look)

    return by_group(table, by, draw, size=(2.7, 2.5), x=names.get("x", "x"), y=names.get(y, y), save=save)


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
    by
        Column whose values get a panel each.
    line
        a and c.
    labels
        Words for x and y.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    tables.require(table, ["x", "y", by])
    ends = np.array([table["x"].min(), table["x"].max()])

    def draw(ax: Axes, group: pd.DataFrame) -> None:
        ax.plot(group["x"], group["y"], "o", color=sns.color_palette("colorblind")[0], ms=2, alpha=0.4, label="data")
        ax.plot(ends, line[0] * ends + line[1], color="black", lw=1.2, ls="--", label="target line")

    size = (2.4, 2.5)
    return by_group(table, by, draw, size=size, x=labels["x"], y=labels["y"], save=save, sharex=True, sharey=True)


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
    table
        A row for each pair of x and y.
    x, y, z
        The abscissa, the ordinate and the number that is coloured.
    line
        Column with the x at which the change is predicted for each y; NaN where nothing is.
    labels
        Words for the columns.
    limits
        Values of z at the ends of the colours; what lies outside has those of the ends.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    names = dict(labels or {})
    tables.require(table, [x, y, z, line])
    grid = table.pivot(index=y, columns=x, values=z)
    with mpl.rc_context(STYLE), sns.axes_style("ticks"):
        figure, axes = panels(1, 1, 5.2, 3.6)
        ax = axes[0, 0]
        low, high = limits
        image = grid.clip(low, high).to_numpy(dtype=float)
        mesh = ax.pcolormesh(grid.columns, grid.index, image, cmap="cividis", vmin=low, vmax=high, rasterized=True)
        change = table.drop_duplicates(y).sort_values(y)
        seen = [withStroke(linewidth=3.5, foreground="white")]  # on every colour, and on paper
        ax.plot(change[line], change[y], color="black", lw=1.6, ls="--", path_effects=seen, label=names.get(line, line))
        ax.set_xlabel(names.get(x, x))
        ax.set_ylabel(names.get(y, y))
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left")
        figure.colorbar(mesh, ax=ax, label=names.get(z, z), extend="both")
    return saved(figure, save)
