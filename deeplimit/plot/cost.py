"""Cost: accuracy against work of several methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullFormatter

from deeplimit.plot.frame import MARKERS, STYLE, label_ticks, log_ordinate, panels, saved

TEXT_HEIGHT = 1.35  # factor between two small texts one above the other, on four decades


def work(table: pd.DataFrame, *, save: str | Path | None = None) -> Figure:
    """Work and precision: methods against one another, evaluations per depth, and the cost of a layer.

    Parameters
    ----------
    table
        That of the study work_precision. A method that did not reach the tolerance has an open marker, beside it the
        |∂E/∂u| it had; seconds of several depths are those of all coarser ones too.
    save
        Name or path without suffix; None to save nothing.

    Returns
    -------
    The figure.
    """
    races = table[(table["part"] == "race") & table["dual"].notna()]
    methods = zip(races["method"].unique(), sns.color_palette("colorblind"), MARKERS, strict=False)
    looks = {method: {"color": colour, "marker": marker} for method, colour, marker in methods}
    own = table[table["part"] == "precision"]
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure, axes = panels(2, 3, 3.6, 3.5)
        _accuracy_panels(axes[0, :2], table, own, looks)
        for ax, (name, group) in zip((axes[0, 2], axes[1, 0]), races.groupby("data", sort=False), strict=False):
            _race_panel(ax, group, looks)
            ax.set_title(str(name))
        _levels_panel(axes[1, 1], table[table["part"] == "levels"])
        _layers_panel(axes[1, 2], table[(table["part"] == "layers") & (table["data"] == own["data"].iloc[0])])
        grey: Any = {"color": "0.3", "ms": 5}
        handles = [Line2D([], [], **look, ms=5, label=method) for method, look in looks.items()]
        handles += [
            Line2D([], [], ls="--", marker="o", mec="black", mew=1.5, **grey, label="from our minimiser at depth n/2"),
            Line2D([], [], ls="", marker="o", mfc="white", **grey, label="tolerance not reached; least |∂E/∂u|"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return saved(figure, save)


def _accuracy_panels(axes: np.ndarray, table: pd.DataFrame, own: pd.DataFrame, looks: Mapping[str, Any]) -> None:
    """|∂E/∂u| against seconds and against evaluations, at the depth of the part `precision`."""
    depth, name = own["depth"].iloc[0], own["data"].iloc[0]
    own = own.assign(gradients=own["gradients"] + own["products"], start="doubled")
    seen = table[(table["part"] == "trace") & (table["depth"] == depth) & (table["data"] == name)]
    words = {"seconds": "seconds", "gradients": "gradients and Hessian products"}
    for ax, x in zip(axes, words, strict=True):
        for (method, start), group in pd.concat([own, seen]).groupby(["method", "start"], sort=False):
            ax.plot(group[x], group["dual"], **_look(looks[method], start), markevery=(0.0, 0.15))
        ax.set(xscale="log", yscale="log", xlabel=words[x], ylabel="least |∂E/∂u| so far")
        ax.set_title(f"{name}, depth {depth}")


def _look(look: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Of a line; dashed, with black edges, where it started warm."""
    warm = start == "warm"
    edges = {"mec": "black", "mew": 1.5, "ls": "--"} if warm else {"ls": "-"}
    return {**look, "ms": 5, "lw": 1.2, **edges}


def _race_panel(ax: Axes, group: pd.DataFrame, looks: Mapping[str, Any]) -> None:
    """Seconds against depth, open markers where the tolerance was not reached."""
    for (method, start), rows in group.sort_values("depth").groupby(["method", "start"], sort=False):
        look = _look(looks[str(method)], str(start))
        ax.plot(rows["depth"], rows["seconds"], **look)
        missed = rows[~rows["status"].str.startswith("converged")]
        ax.plot(missed["depth"], missed["seconds"], **(look | {"ls": "", "mfc": "white"}))
    missed = group[~group["status"].str.startswith("converged")]
    for depth, rows in missed.sort_values("seconds").groupby("depth"):
        height = 0.0
        for _, row in rows.iterrows():  # texts one above the other, where their markers are not
            height = max(row["seconds"], height * TEXT_HEIGHT)
            text, colour = f"{row['dual']:.0e}".replace("e-0", "e−").replace("e+0", "e"), looks[row["method"]]["color"]
            seen: Any = {"path_effects": [withStroke(linewidth=2, foreground="white")], "zorder": 4}  # over all curves
            ax.annotate(text, (depth, height), (6, -2), textcoords="offset points", fontsize=6, color=colour, **seen)
    _depths(ax, group)
    ax.set(yscale="log", ylabel="seconds, coarser depths included")
    ax.margins(x=0.1)
    ax.yaxis.set_minor_formatter(NullFormatter())


def _levels_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Gradients and Hessian products per depth, those of the certificate apart."""
    for k, (name, rows) in enumerate(table.groupby("data", sort=False)):
        look: Any = {"color": sns.color_palette("colorblind")[k], "marker": MARKERS[k], "ms": 4, "lw": 1.2}
        evaluations = rows["gradients"] + rows["products"]
        ax.plot(rows["depth"], evaluations, **look, label=f"{name}: minimisation")
        ax.plot(rows["depth"], rows["certificate_products"], **look, ls=":", mfc="white", label=f"{name}: certificate")
    _depths(ax, table)
    log_ordinate(ax)
    ax.set(ylabel="gradients and Hessian products", title="evaluations at each depth")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=7)


def _layers_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Microseconds per layer against depth."""
    methods = list(table["method"].unique())
    for (method, operation), rows in table.groupby(["method", "operation"], sort=False):
        k, gradient = methods.index(method), operation == "gradient"
        look: Any = {"color": sns.color_palette("colorblind")[k], "marker": MARKERS[k], "ms": 4, "lw": 1.2}
        look |= {"ls": "-"} if gradient else {"ls": "--", "mfc": "white"}
        ax.plot(rows["depth"], rows["us_per_layer"], **look, label=f"{method}: {operation}")
    _depths(ax, table)
    log_ordinate(ax)
    ax.set(ylabel="µs per layer", title="one evaluation, 60 points, width 2")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, fontsize=7)


def _depths(ax: Axes, table: pd.DataFrame) -> None:
    """A logarithmic axis of depths."""
    ax.set_xscale("log", base=2)
    label_ticks(ax, np.sort(table["depth"].unique()))
    ax.set_xlabel("depth n")
