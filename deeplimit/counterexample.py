"""A problem without a best limit: relu, one neuron, and a penalty that does not tie a layer to the next.

With b = 0, W = 1, c = 0 the flow X' = relu(k X) moves the point 1 only while k > 0 and the point −1 only while k < 0:

    X(1) = (e^A, −e^(−B)),   A = ∫ k₊,  B = ∫ k₋,

whatever the order of the layers. Of all k with these two integrals ∫ k² is least, (A + B)², for k = ±(A + B), positive
on a share A/(A + B) of the depth and arranged in any way. So with the penalty α ∫ k² the minimisers oscillate at any
frequency, and fast ones converge weakly only, to the constant A − B, which gives another network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from deeplimit import checks, optimise
from deeplimit.control import Layers
from deeplimit.data import Data
from deeplimit.energy import Energy
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.ridge import RidgeCoordinates
from deeplimit.sweep import EULER, Flow

INPUTS = (1.0, -1.0)


@dataclass(frozen=True)
class Oscillation:
    """Weights k = ±(A + B), positive on a share A/(A + B) of the layers.

    Parameters
    ----------
    rise, fall
        A = ∫ k₊ and B = ∫ k₋, positive.
    """

    rise: float = 0.8
    fall: float = 0.4

    def __post_init__(self) -> None:
        checks.positive("rise", self.rise)
        checks.positive("fall", self.fall)

    @property
    def size(self) -> float:
        """A + B, the absolute value of every weight."""
        return self.rise + self.fall

    @property
    def share(self) -> float:
        """A/(A + B), the part of the layers with a positive weight."""
        return self.rise / self.size

    @property
    def mean(self) -> float:
        """A − B, the weak limit of ever faster oscillations."""
        return self.rise - self.fall

    def ups(self, depth: int) -> int:
        """How many of n layers have a positive weight.

        Raises
        ------
        ValueError
            If the share of n layers is not a whole number.
        """
        exact = self.share * checks.whole("depth", depth, least=1)
        if abs(exact - round(exact)) > 1e-9 * depth:
            raise ValueError(f"a share {self.share:.6g} of depth = {depth} layers is not a whole number of them")
        return round(exact)

    def layers(self, depth: int, *, blocks: int = 1, seed: int | None = None) -> Layers:
        """A network of the problem: `blocks` equal blocks, positive weights first in each, or a random order by seed.

        Raises
        ------
        ValueError
            If depth or blocks do not divide as asked.
        """
        if depth % checks.whole("blocks", blocks, least=1):
            raise ValueError(f"depth = {depth} layers do not make blocks = {blocks} equal ones")
        per_block = depth // blocks
        signs = np.tile(np.where(np.arange(per_block) < self.ups(per_block), 1.0, -1.0), blocks)
        if seed is not None:
            signs = np.random.default_rng(checks.whole("seed", seed, least=0)).permutation(signs)
        return network(self.size * signs)

    def end_states(self, depth: int) -> tuple[float, float]:
        """X_n = ((1 + (A + B)/n)^m, −(1 − (A + B)/n)^(n − m)) with m positive weights."""
        ups = self.ups(depth)
        return (1 + self.size / depth) ** ups, -((1 - self.size / depth) ** (depth - ups))

    def limit_states(self) -> tuple[float, float]:
        """(e^A, −e^(−B))."""
        return math.exp(self.rise), -math.exp(-self.fall)

    def weak_limit_states(self) -> tuple[float, float]:
        """X(1) for the constant weight A − B, which moves one of the points only."""
        moved = math.exp(self.mean)
        return (moved, -1.0) if self.mean > 0 else (1.0, -moved)

    def problem(self, alpha: float) -> Problem:
        """The problem whose targets make A and B optimal for α ∫ k².

        ∂/∂A and ∂/∂B of

            (e^A − y₁)² + (−e^(−B) − y₂)² + α (A + B)²

        vanish for y₁ = e^A + α (A + B) e^(−A) and y₂ = −e^(−B) + α (A + B) e^B.
        """
        pull = checks.positive("alpha", alpha) * self.size
        up, down = self.limit_states()
        x, y = (torch.tensor(v, dtype=torch.float64)[:, None] for v in (INPUTS, (up + pull / up, down - pull / down)))
        return Problem(Data(x, y), activation="relu", loss="squared", alpha=alpha, trainable="K")

    def minimum(self, alpha: float) -> float:
        """min E_∞ with the penalty α ∫ k²: (α (A + B))² (e^(−2A) + e^(2B)) + α (A + B)²."""
        up, down = self.limit_states()
        return (alpha * self.size) ** 2 * (up**-2 + down**-2) + alpha * self.size**2

    def l2_distance(self) -> float:
        """Root mean square of ‖k − k'‖_{L²} of two independent random orders: signs differ on 2 θ (1 − θ) of [0, 1]."""
        return 2 * self.size * math.sqrt(2 * self.share * (1 - self.share))

    def weak_distance(self) -> float:
        """‖k − (A − B)‖_{L²} = 2 √(A B): no coupling makes it smaller, as the constant is the same at every t."""
        return 2 * math.sqrt(self.rise * self.fall)


def tl2_distance(depth: int, other: int) -> float:
    """Root mean square of the TL² distance of two independent random orders, to leading order: √((1/n + 1/n')/6).

    The best coupling keeps the signs and moves layers in t: the numbers of positive weights up to t differ from their
    mean by √(θ(1 − θ)/n) times a Brownian bridge β, and the two displacements, that over θ and that over 1 − θ, weigh
    θ and 1 − θ; so d² = (1/n + 1/n') ∫ E β² and ∫ E β² = 1/6. Random orders are a Cauchy sequence in TL², whose limit
    is a Young measure and no function.
    """
    return math.sqrt((1 / depth + 1 / other) / 6)


def network(weights: np.ndarray) -> Layers:
    """The network of one neuron with b = 0, W = 1, c = 0 and the weights k, shape (n,)."""
    K = torch.as_tensor(weights, dtype=torch.float64).reshape(-1, 1, 1)
    return Layers(K, torch.zeros_like(K[:, 0]), torch.ones_like(K[0]), torch.zeros_like(K[0, 0]))


def minimise_untied(problem: Problem, start: Layers, *, tol: float = 1e-10) -> Minimum:
    """A local minimiser of the data term plus α (1/n) Σ|θ_i|² (instead of the H¹ norm) near the start.

    An activation with kinks is taken as it is: the certificate is that of the smooth piece, and it holds as long as no
    argument of σ changed its sign on the way from `start`, which `kink_distance` of the minimiser tells.
    """
    checks.kind("start", start, Layers)
    problem.metric.check(start)
    coordinates = RidgeCoordinates(problem.metric, start.depth)
    energy = Energy(problem, coordinates, Flow(EULER, start.depth))
    minimum, _ = optimise.local_minimum(energy, coordinates.vector(start), coordinates.control, tol=tol, near=True)
    return minimum


def kink_distance(problem: Problem, layers: Layers) -> float:
    """min |K_i X_i + b_i| over layers, points and neurons: how far a network is from where relu has no derivative."""
    _, Z = Flow(EULER, layers.depth).forward(problem.data.x, layers.K, layers.b, problem.activation)
    return float(torch.abs(Z).min())
