"""Figures from tables: convergence curves, laws, weights over depth, the flow of the data, the cost of methods.

Every function reads a DataFrame, returns a matplotlib Figure and shows nothing; `save` writes a PNG beside the table.
"""

from deeplimit.plot.cost import work
from deeplimit.plot.curves import SYMBOLS, bands, curves, dots, rates, replicas
from deeplimit.plot.laws import clouds, heat, laws
from deeplimit.plot.networks import flow, kernels, orders, tree, weights

__all__ = [
    "SYMBOLS",
    "bands",
    "clouds",
    "curves",
    "dots",
    "flow",
    "heat",
    "kernels",
    "laws",
    "orders",
    "rates",
    "replicas",
    "tree",
    "weights",
    "work",
]
