"""Where the signals of a network with equal layers come to rest, and how fast: x' = σ(wx + b) on the line, w ≠ 0.

A law at rest lives on the zeros of σ(wx + b). With z = wx + b the velocity wσ(z) of z keeps its sign between
neighbouring zeros, so that every signal tends to the next zero in its direction, or to infinity, or stays where σ
vanishes on an interval. Derived here:

- a zero z* attracts if wσ'(z*) < 0, and a signal near it approaches it as e^(λt), λ = wσ'(z*);
- its basin reaches to the neighbouring zeros, and the weight of its cluster is the initial mass of the basin;
- in layers of step h the distance is multiplied by 1 + hλ each, which converges for h|λ| < 2;
- signals near the end of a basin, a zero that repels at the rate μ, leave late. Where the initial density is positive
  there, W_p(g(t), δ) of a basin falls as e^(−rt) with r the least of |λ| and of μ/p over its ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.meanfield import field

SNAP = 8 * float(np.finfo(float).eps)  # relative distance at which a signal is at a zero of σ, which is rounded

Zeros = Callable[[float, float], np.ndarray]


def _origin(low: float, high: float) -> np.ndarray:
    return np.zeros(1)


def _none(low: float, high: float) -> np.ndarray:
    return np.zeros(0)


def _cosine(low: float, high: float) -> np.ndarray:
    """0 and π/2 + kπ, from the one below `low` to the one above `high`."""
    first, last = math.floor(low / math.pi) - 1, math.ceil(high / math.pi) + 1
    return np.sort(np.append((np.arange(first, last) + 0.5) * math.pi, 0.0))


# Zeros of σ among which are the nearest ones outside [low, high]; of a half line of zeros its end.
ZEROS: dict[str, Zeros] = {
    "identity": _origin,
    "tanh": _origin,
    "arctan": _origin,
    "softplus0": _origin,
    "silu": _origin,
    "relu": _origin,
    "sigmoid": _none,
    "gcu": _cosine,
}


@dataclass(frozen=True, eq=False)
class Cluster:
    """Where a part of the signals goes.

    Attributes
    ----------
    x
        The place, ±∞ for signals that escape.
    rate
        λ = wσ'(z*) < 0 on the side it attracts from; NaN for ±∞.
    basin
        The interval of the signals that go there.
    repulsion
        The rate μ > 0 at which each end of the basin repels, ∞ where the basin has no end or is closed by the place.
    """

    x: float
    rate: float
    basin: tuple[float, float]
    repulsion: tuple[float, float]

    def mass(self, cdf: Callable[[float], float]) -> float:
        """The weight of the cluster: the initial mass of its basin, F the initial distribution function."""
        low, high = (0.0 if x == -math.inf else 1.0 if x == math.inf else float(cdf(x)) for x in self.basin)
        return high - low

    def decay(self, p: float = 1.0) -> float:
        """The exponent −min(|λ|, μ/p) of W_p(g(t), δ) on the basin, for a density that is positive at its ends."""
        return -min(-self.rate, *(mu / checks.positive("p", p) for mu in self.repulsion))


@dataclass(frozen=True, eq=False)
class PhaseLine:
    """The directions of x' = σ(wx + b) on the line.

    Parameters
    ----------
    activation
        One with known zeros: identity, tanh, arctan, softplus0, silu, relu, sigmoid, gcu.
    w, b
        Weights of all layers, w ≠ 0.

    Raises
    ------
    ValueError, TypeError
        For an activation whose zeros are not known, w = 0, or numbers that are not finite.
    """

    activation: Activation
    w: float
    b: float

    def __post_init__(self) -> None:
        chosen = activations.get(self.activation)
        if chosen.name not in ZEROS:
            raise ValueError(f"activation must have known zeros, one of {', '.join(ZEROS)}, got {chosen.name!r}")
        object.__setattr__(self, "activation", chosen)
        if not checks.number("w", self.w):
            raise ValueError("w must not be 0: all signals then move by the same σ(b)")
        checks.number("b", self.b)

    def velocity(self, z: np.ndarray) -> np.ndarray:
        """wσ(z), that of z."""
        return self.w * field.sigma(self.activation)(np.asarray(z, dtype=float))

    def zeros(self, low: float, high: float) -> np.ndarray:
        """The steady points in [low, high] and the nearest outside, increasing; of a half line of them its end."""
        ends = sorted((self.w * low + self.b, self.w * high + self.b))
        return np.sort(self._x(ZEROS[self.activation.name](*ends)))

    def rate(self, x: float, side: float = 0.0) -> float:
        """wσ' at a steady point, at a kink on the side of the given sign of z."""
        z = np.array([self.w * x + self.b])
        snapped = np.where(abs(z) < 1e-12, 0.0, z)
        slope = field.sigma(self.activation, 1)(np.nextafter(snapped, np.inf * side) if side else snapped)
        return float(self.w * slope[0])

    def destination(self, x: np.ndarray) -> np.ndarray:
        """Where each signal tends to as t → ∞: a steady point, ±∞, or its own place if it is at rest there.

        A signal that is a steady point up to rounding is at rest.

        Parameters
        ----------
        x
            Signals, any shape.
        """
        x = np.asarray(x, dtype=float)
        ends = np.concatenate([[-np.inf], self.zeros(float(x.min()), float(x.max())), [np.inf]])
        above = np.searchsorted(ends, x).clip(1, len(ends) - 1)
        # the velocity at a rounded zero has either sign, in the middle of the interval it has the right one
        to = np.sign(self.velocity(self.w * _middles(ends) + self.b) / self.w)[above - 1]
        high, low = ends[above], ends[above - 1]
        goal = np.where(to > 0, high, np.where(to < 0, low, x))
        near = SNAP * (np.abs(x) + abs(self.b / self.w))
        return np.where(np.abs(x - high) <= near, high, np.where(np.abs(x - low) <= near, low, goal))

    def clusters(self, low: float, high: float) -> list[Cluster]:
        """The places that signals from (low, high) go to, from left to right, those that stay at rest left out."""
        nearest = self.zeros(low, high)
        around = self.zeros(nearest[0], nearest[-1]) if len(nearest) else nearest
        ends = np.concatenate([[-np.inf], around, [np.inf]])
        places = np.unique(self.destination(_middles(ends)))
        found = [self._cluster(float(place), ends) for place in places if place in ends]
        return [cluster for cluster in found if cluster.basin[0] < high and cluster.basin[1] > low]

    def _cluster(self, place: float, ends: np.ndarray) -> Cluster:
        """The intervals between zeros that lead to a place, joined."""
        leads = self.destination(_middles(ends)) == place
        low, high = float(ends[:-1][leads].min()), float(ends[1:][leads].max())
        inner = low if high == place else high
        side = math.copysign(1.0, self.w * (inner - place)) if math.isfinite(place) else 0.0
        rate = self.rate(place, side) if math.isfinite(place) else math.nan
        repulsion = [
            math.inf if end == place or math.isinf(end) else self.rate(end, math.copysign(1.0, self.w * (place - end)))
            for end in (low, high)
        ]
        return Cluster(place, rate, (low, high), (repulsion[0], repulsion[1]))

    def _x(self, z: np.ndarray) -> np.ndarray:
        return np.asarray((z - self.b) / self.w)


def _middles(ends: np.ndarray) -> np.ndarray:
    """A point in each interval between increasing ends, of which the outer two are infinite."""
    if len(ends) == 2:
        return np.zeros(1)
    inner = ends[1:-1]
    return np.concatenate([[inner[0] - 1], (inner[1:] + inner[:-1]) / 2, [inner[-1] + 1]])
