"""The frame of every figure: size, scales and ticks, reference slopes, one legend, and the file it is saved in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deeplimit.study import results_path

MARKERS = "osD^vPX*"
DPI = 160
LEGEND_WIDTH = 2.8  # inches right of the panels
PANELS_ACROSS = 4
MOST_TICKS = 10  # of a logarithmic abscissa that get a label each
STYLE: Any = {"figure.dpi": DPI, "axes.titlesize": "medium", "legend.frameon": False, "font.size": 9}


def panels(
    rows: int, columns: int, width: float, height: float, margin: float = 0.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure and its panels; sizes in inches, `margin` for a legend on the right."""
    figure = Figure(figsize=(width * columns + margin, height * rows), layout="constrained", dpi=DPI)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def saved(figure: Figure, save: str | Path | None) -> Figure:
    """The figure, written as a PNG with its description where a name is given."""
    if save is not None:
        path = results_path(save, ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        # no versions, so that equal figures are equal files
        figure.savefig(path, dpi=DPI, metadata={"Software": None, "Description": described(figure)})
    return figure


def described(figure: Figure) -> str:
    """What a figure shows, in words, for readers who do not see it: panels, axes, curves."""
    axes = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    titles = _each(ax.get_title() for ax in axes)
    entries = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    entries += [label for ax in axes for label in ax.get_legend_handles_labels()[1]]
    parts = [f"{len(axes)} panels" if len(axes) > 1 else "One panel"]
    parts += [f"titled {'; '.join(titles)}"] * bool(titles)
    for name, words in (("x", _each(ax.get_xlabel() for ax in axes)), ("y", _each(ax.get_ylabel() for ax in axes))):
        parts += [f"{name}: {', '.join(words)}"] * bool(words)
    parts += [
        f"colours: {', '.join(words)}" for ax in figure.axes if (words := _each([ax.get_ylabel()])) and ax not in axes
    ]
    parts += [f"curves: {', '.join(_each(entries))}"] * bool(entries)
    return ". ".join(parts) + "."


def _each(texts: Iterable[str]) -> list[str]:
    """Every text once, in one line."""
    return list(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))


def short(value: Any) -> str:
    """A value of a column as a legend shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def black_lines(
    ax: Axes, group: pd.DataFrame, x: str, lines: Sequence[str], hue: str | None, names: Mapping[str, str], logy: bool
) -> None:
    """Predictions: each of the columns as a black line, with a style of its own."""
    for column, style in zip(lines, itertools.cycle((":", "-.", (0, (1, 4)))), strict=False):
        for k, (_, part) in enumerate(group.groupby(hue, sort=False) if hue else [("", group)]):
            part = part[part[column].notna()].sort_values(x)
            label = "_" if k else names.get(column, column)
            ax.plot(part[x], part[column].abs() if logy else part[column], color="black", lw=1.2, ls=style, label=label)


def dress(
    ax: Axes,
    group: pd.DataFrame,
    x: str,
    columns: Sequence[str],
    slopes: Sequence[float],
    logx: float | None,
    logy: bool | str,
    shared: np.ndarray,
) -> None:
    """Scales, ticks and reference slopes of a panel; `shared` are the abscissae of all panels, which share an axis."""
    ticks = np.sort(group[x].unique())
    if logx:
        ax.set_xscale("log", base=logx)
        if len(shared) <= MOST_TICKS:
            ax.set_xticks(shared, [f"{n:g}" for n in shared], rotation=60)
            ax.minorticks_off()
    top = 2.5 * float(np.nanmax(group[group[x] == ticks[0]][list(columns)].abs().to_numpy(dtype=float)))
    for slope, dashes in zip(slopes, itertools.cycle(("--", (0, (5, 1, 1, 1)), (0, (2, 2)))), strict=False):
        ax.plot(
            ticks,
            top * (ticks / ticks[0]) ** slope,
            color="0.5",
            lw=1,
            ls=dashes,
            label=f"slope {slope:g}".replace("-", "−"),
        )
    if logy is True:
        least = np.nanmin(group[list(columns)].abs().replace(0, np.nan).to_numpy(dtype=float))
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.4 * least)
    elif logy:
        ax.set_yscale(str(logy))


def one_legend(figure: Figure, axes: np.ndarray) -> None:
    """Every label once, right of the panels."""
    entries = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if len(entries) > 1:
        figure.legend(entries.values(), entries.keys(), loc="outside right upper")
