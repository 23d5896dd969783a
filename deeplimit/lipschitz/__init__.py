"""Lipschitz constants of networks and their gradients in the parameters, and what is certain by them.

`chain` and `region` say which networks and parameters; `bounds` and `controlled` bound from above, `ascent` from below;
`objective` and `sobolev` put a loss on top; `descent` takes steps and `certificate` proves minimisers by them; `inputs`
bounds the flow map in its input.
"""

from deeplimit.lipschitz import (
    ascent,
    bounds,
    certificate,
    chain,
    controlled,
    descent,
    inputs,
    objective,
    region,
    sobolev,
)
from deeplimit.lipschitz.bounds import bound
from deeplimit.lipschitz.certificate import Radius, Verdict, certified_radius
from deeplimit.lipschitz.chain import Chain, Layer, feedforward, residual
from deeplimit.lipschitz.objective import Objective
from deeplimit.lipschitz.region import Ball, Balls

__all__ = [
    "Ball",
    "Balls",
    "Chain",
    "Layer",
    "Objective",
    "Radius",
    "Verdict",
    "ascent",
    "bound",
    "bounds",
    "certificate",
    "certified_radius",
    "chain",
    "controlled",
    "descent",
    "feedforward",
    "inputs",
    "objective",
    "region",
    "residual",
    "sobolev",
]
