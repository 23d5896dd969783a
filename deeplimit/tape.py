"""Sweeps through depth piece by piece: what a sweep leaves in a piece is kept, or made again where it is needed.

Depth is cut into N pieces of L steps. A sweep enters each piece with a state (or costate, or tangent) and leaves it
with the next; a `Tape` keeps those, and of the arrays in between either all or those of the last piece alone. At one
control the sweeps use 12 arrays of one entry for every stage, sample and feature:

    forward Y, Z, D;  adjoint q, λ, C;  tangent dY, dZ;  second adjoint dq, dλ and its two sources.

With S samples, width d, n steps of s stages and a = 8 S d bytes, they and what stands between pieces take

    kept        8 a s n + 5 a s L + 4 a N    bytes
    made again  13 a s L + 4 a N             bytes, least for L = √(4 n / 13 s): about 14 a √(s n)

and a (s + 4) more, and the work, each sweep counted once for the whole depth, is

                gradient                 Hessian product
    kept        1 forward, 1 adjoint     1 tangent, 1 second adjoint
    made again  2 forward, 1 adjoint     2 forward, 2 tangent, 1 adjoint, 1 second adjoint

less the pieces in which a sweep turns round, which are still there. Not counted are weights and their derivatives,
8 s n (d² + d) bytes each, and outputs: they are what the sweeps are given and give back. Pieces are short enough for
their arrays to stay in a cache of 32 MB, which makes a layer cost the same at every depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from deeplimit.sweep import Flow

SHARED = 8  # arrays that later sweeps come back to: all but those of the second adjoint
PASSING = 5  # those of the second adjoint, and the source of the tangent
ENDS = 4  # states, costates, tangents and second costates between the pieces
CACHE = 2**25  # bytes of a piece's arrays: with less, sweeps spend their time in calls


@dataclass(frozen=True, eq=False)
class Cut:
    """The flow in parts, the stages of each, and whether what the sweeps leave in them is kept."""

    parts: list[Flow]
    stages: list[slice]
    keep: bool

    @property
    def order(self) -> range:
        """The numbers of the pieces, in the order of depth."""
        return range(len(self.parts))


def cut(flow: Flow, state_bytes: int, memory_limit: float | None = None) -> Cut:
    """Pieces whose arrays fit into the cache; where the limit does not allow them, shorter ones, or kept no longer.

    Parameters
    ----------
    state_bytes
        The bytes a of one state (S, d).
    memory_limit
        In bytes; None keeps everything.

    Raises
    ------
    ValueError
        If no pieces fit into the limit.
    """
    s = flow.tableau.stages
    n = flow.stages // s
    work = (SHARED + PASSING) * s * state_bytes
    fast = min(n, max(1, CACHE // work))

    def needed(length: np.ndarray, keep: bool) -> np.ndarray:
        stages = SHARED * (n if keep else length) + PASSING * length + 1
        return state_bytes * (s * stages + ENDS * (1 - (-n // length)))

    if memory_limit is None:
        return _pieces(flow, fast, True)
    lengths = np.arange(1, n + 1)
    for keep in (True, False):
        fitting = lengths[needed(lengths, keep) <= memory_limit]
        if len(fitting):
            return _pieces(flow, int(max(fitting[fitting <= fast], default=fitting[0])), keep)
    raise ValueError(
        f"memory_limit must be at least {needed(lengths, False).min()} bytes for {n} steps with states of "
        f"{state_bytes} bytes, got {memory_limit}"
    )


def _pieces(flow: Flow, length: int, keep: bool) -> Cut:
    s = flow.tableau.stages
    ends = list(pairwise([*range(0, flow.stages // s, length), flow.stages // s]))
    return Cut([flow.part(i, j) for i, j in ends], [slice(s * i, s * j) for i, j in ends], keep)


class Piece(Protocol):
    """What a sweep leaves in a piece."""

    @property
    def end(self) -> Tensor:
        """What the sweep leaves the piece with."""


P = TypeVar("P", bound=Piece)


class Tape(Generic[P]):
    """One sweep, by pieces: `make(i, start)` runs it through piece i, `tape[i]` is what it leaves there.

    That is kept for every piece, or for the last one made; any other is made again from the state it was entered with.
    """

    def __init__(self, make: Callable[[int, Tensor], P], order: range, keep: bool) -> None:
        self._make, self._order, self._keep = make, order, keep
        self._starts: dict[int, Tensor] = {}
        self._pieces: dict[int, P] = {}

    def run(self, start: Tensor, visit: Callable[[int], None] | None = None) -> Tensor:
        """Sweep through all pieces, visit each after it, and return what the last one is left with."""
        for i in self._order:
            self._starts[i] = start
            # a view would keep the arrays of the piece
            start = self[i].end if self._keep else self[i].end.clone()
            if visit is not None:
                visit(i)
        return start

    def __getitem__(self, i: int) -> P:
        if i not in self._pieces:
            if not self._keep:
                self._pieces.clear()
            self._pieces[i] = self._make(i, self._starts[i])
        return self._pieces[i]
