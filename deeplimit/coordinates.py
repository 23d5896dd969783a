"""Coordinates u of a control in which the regulariser is |u|².

The regulariser of the theorem is a squared norm, that of `Metric`. In coordinates that make it |u|² the Hessian of the
objective is 2I + compact, whatever the depth, so that iteration counts of Krylov methods do not grow with depth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deeplimit import checks
from deeplimit.control import BLOCKS, DEEP, Basis, Curve, Hats, Layers, Weights


@dataclass(frozen=True, eq=False)
class Metric:
    """Σ_{θ ∈ {K, b}} α_θ (‖θ'‖² + τ_θ |θ(0)|²) + α_W |W|² + α_c |c|² over the trainable blocks, the others fixed.

    A fixed block is K = 0, b = 0, W = identity, c = 0. Where α or τ is zero the coordinate keeps the scale of α = 1 or
    τ = 1 and the entry of `penalty` is 0. With a layer of the user's K is empty and b has its
    `parameters` many numbers.
    """

    width: int
    outputs: int
    alpha: dict[str, float]
    tau: dict[str, float]
    trainable: str
    parameters: int | None = None

    def shape(self, block: str) -> tuple[int, ...]:
        """The shape of a block at one depth."""
        d, m = self.width, self.outputs
        deep = {"K": (d, d), "b": (d,)} if self.parameters is None else {"K": (0, 0), "b": (self.parameters,)}
        return (deep | {"W": (m, d), "c": (m,)})[block]

    def fixed(self, block: str) -> Tensor:
        """The value of a block that is not trained, at one depth."""
        return (
            torch.eye(self.width, dtype=torch.float64)
            if block == "W"
            else torch.zeros(self.shape(block), dtype=torch.float64)
        )

    def check_shapes(self, control: Layers | Curve) -> None:
        """Raise ValueError unless the blocks of the control have these shapes."""
        for block in BLOCKS:
            shape, got = self.shape(block), tuple(getattr(control, block).shape)
            if got[-len(shape) :] != shape:
                raise ValueError(f"{block} does not fit the problem: it wants {shape} at each depth, got {got}")

    def check(self, control: Layers | Curve) -> None:
        """Raise ValueError unless the control has these shapes and its untrained blocks have their fixed values."""
        self.check_shapes(control)
        for block in [k for k in BLOCKS if k not in self.trainable]:
            theta = getattr(control, block)
            if not torch.equal(theta, self.fixed(block).to(theta.device).expand(theta.shape)):
                what = "the identity" if block == "W" else "zero"
                raise ValueError(f"{block} is not trainable in this problem, so it must be {what}")

    def embedding(self) -> float:
        """C such that sup_t |(K, b)(t)|, ‖(K', b')‖ and |(W, c)| are each at most C |u|; inf without α or τ.

        By Cauchy-Schwarz C² = max over K, b of 1/(α τ) + 1/α, and over W, c of 1/α.
        """
        alphas = {k: self.alpha[k] for k in self.trainable}
        if any(a == 0 for a in alphas.values()) or any(self.tau[k] == 0 for k in DEEP if k in alphas):
            return math.inf
        return max(math.sqrt(1 / a + (1 / (a * self.tau[k]) if k in DEEP else 0.0)) for k, a in alphas.items())

    def draw(self, seed: int) -> Curve:
        """A random start: K, b linear in t between two standard normal draws, W, c standard normal.

        Small independent layers instead would miss the best minimum of many problems.

        Raises
        ------
        TypeError, ValueError
            If the seed is not a whole number, at least 0.
        """
        generator = torch.Generator().manual_seed(checks.whole("seed", seed, least=0))

        def normal(block: str) -> Tensor:
            return torch.randn(self.shape(block), generator=generator, dtype=torch.float64)

        def line(block: str) -> Tensor:
            first, last = normal(block), normal(block)
            return torch.stack([first, last - first]) if block in self.trainable else torch.zeros(2, *self.shape(block))

        K, b = line("K"), line("b")
        W, c = (normal(k) if k in self.trainable else self.fixed(k) for k in "Wc")
        return Curve(Hats(1), K, b, W, c)


class Coordinates(ABC):
    """A linear change of variables u ↔ Θ with |penalty ∘ u|² equal to the regulariser.

    The blocks of u follow one another in the order K, b, W, c, trainable ones only; K and b are `rows` coefficients.
    `places` says where each block lies in u.
    """

    def __init__(self, metric: Metric, rows: int, stretch: float, device: str | torch.device = "cpu") -> None:
        self.metric, self.rows, self.device = metric, rows, torch.device(device)
        self.places: dict[str, slice] = {}
        penalty, scales, start = [np.zeros(0)], [np.zeros(0)], 0
        for block in [k for k in BLOCKS if k in metric.trainable]:
            scale, weight = self._scaling(block, stretch)
            shape = self._shape(block)
            size = math.prod(shape)
            self.places[block] = slice(start, start + size)
            scales.append(np.repeat(scale, size // len(scale)))
            penalty.append(np.repeat(weight, size // len(weight)))
            start += size
        self.size = start
        self.penalty: np.ndarray = np.concatenate(penalty)
        self._scale: np.ndarray = np.concatenate(scales)

    def _shape(self, block: str) -> tuple[int, ...]:
        shape = self.metric.shape(block)
        return (self.rows, *shape) if block in DEEP else shape

    def _scaling(self, block: str, stretch: float) -> tuple[np.ndarray, np.ndarray]:
        """√(ατ), √α·stretch, √α·stretch, …, and where the regulariser sees the coordinate."""
        alpha = self.metric.alpha[block]
        root = math.sqrt(alpha) if alpha > 0 else 1.0
        if block not in DEEP:
            return np.array([root]), np.array([float(alpha > 0)])
        tau = self.metric.tau[block]
        scale = np.full(self.rows, root * stretch)
        scale[0] = root * (math.sqrt(tau) if tau > 0 else 1.0)
        weight = np.full(self.rows, float(alpha > 0))
        weight[0] = float(alpha * tau > 0)
        return scale, weight

    @property
    @abstractmethod
    def stages(self) -> int:
        """How many weights in t the flow asks for."""

    @abstractmethod
    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Coefficients (rows, …) to weights at the stages (stages, …)."""

    @abstractmethod
    def analyse(self, gradient: Tensor) -> Tensor:
        """The transpose of `synthesise`: (stages, …) to (rows, …)."""

    def coefficients(self, u: np.ndarray) -> dict[str, Tensor]:
        """The trainable blocks of u, unscaled."""
        return self._blocks(u / self._scale)

    def _blocks(self, vector: np.ndarray) -> dict[str, Tensor]:
        on_device = torch.as_tensor(vector, device=self.device)
        return {k: on_device[s].view(self._shape(k)) for k, s in self.places.items()}

    def _vector(self, blocks: dict[str, Tensor]) -> np.ndarray:
        parts = [blocks[k].reshape(-1) for k in self.places]
        return torch.cat(parts).cpu().numpy() if parts else np.zeros(0)

    def _complete(self, blocks: dict[str, Tensor], fixed: bool = True) -> Weights:
        def block(k: str) -> Tensor:
            if k in blocks:
                return blocks[k]
            value = (
                self.metric.fixed(k).to(self.device)
                if fixed
                else torch.zeros(self.metric.shape(k), dtype=torch.float64, device=self.device)
            )
            return value.expand(self.stages, *value.shape) if k in DEEP else value

        return Weights(*(block(k) for k in BLOCKS))

    def weights(self, u: np.ndarray, fixed: bool = True) -> Weights:
        """Weights at the stages; `fixed=False` gives the linear part, with the fixed blocks zero."""
        return self._complete(
            {k: self.synthesise(v) if k in DEEP else v for k, v in self.coefficients(u).items()}, fixed
        )

    def collect(self, gradient: Weights) -> np.ndarray:
        """The transpose of u ↦ `weights(u)`: a gradient at the stages becomes one with respect to u."""
        blocks = {k: g for k, g in zip(BLOCKS, gradient, strict=True) if k in self.places}
        return self._vector({k: self.analyse(g) if k in DEEP else g for k, g in blocks.items()}) / self._scale

    def pack(self, blocks: dict[str, Tensor]) -> np.ndarray:
        """Coefficients of the blocks to u."""
        return self._vector(blocks) * self._scale


class LayerCoordinates(Coordinates):
    """u₀ = √(ατ) θ₀, u_i = √(αn) (θ_i − θ_{i−1}): then n Σ|θ_i − θ_{i−1}|² α + α τ |θ₀|² = |u|²."""

    def __init__(self, metric: Metric, depth: int, device: str | torch.device = "cpu") -> None:
        super().__init__(metric, depth, math.sqrt(depth), device)

    @property
    def stages(self) -> int:
        """Number of stages that the coefficients give weights for."""
        return self.rows

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Weights of the stages from coefficients."""
        return torch.cumsum(coefficients, 0)

    def analyse(self, gradient: Tensor) -> Tensor:
        """The transpose of `synthesise`."""
        return torch.flip(torch.cumsum(torch.flip(gradient, (0,)), 0), (0,))

    def control(self, u: np.ndarray) -> Layers:
        """The network with coordinates u, on the CPU."""
        return Layers(*(theta.cpu().clone() for theta in self.weights(u)))

    def vector(self, layers: Layers) -> np.ndarray:
        """The coordinates of a network of this depth."""
        return self.pack(
            {k: self._increments(getattr(layers, k)) if k in DEEP else getattr(layers, k) for k in self.places}
        )

    def pull(self, v: np.ndarray) -> Weights:
        """The transpose of `vector`: a gradient in u becomes one in the weights, zero in the fixed blocks."""
        return self._complete(
            {k: self._transposed_increments(g) if k in DEEP else g for k, g in self._blocks(v * self._scale).items()},
            fixed=False,
        )

    @staticmethod
    def _increments(theta: Tensor) -> Tensor:
        return torch.cat([theta[:1], torch.diff(theta, dim=0)])

    @staticmethod
    def _transposed_increments(g: Tensor) -> Tensor:
        return torch.cat([g[:-1] - g[1:], g[-1:]])


class CurveCoordinates(Coordinates):
    """u₀ = √(ατ) θ(0), u_{j+1} = √α θ_{j+1} for θ' = Σ_j θ_{j+1} φ_j with orthonormal φ_j.

    `times` are the points of [0, 1] at which `weights` gives the curve.
    """

    def __init__(self, metric: Metric, basis: Basis, times: np.ndarray, device: str | torch.device = "cpu") -> None:
        super().__init__(metric, basis.size + 1, 1.0, device)
        self.basis = basis
        matrix = np.concatenate([np.ones((len(times), 1)), basis.primitive(times)], axis=1)
        self._matrix = torch.as_tensor(matrix, device=self.device)

    @property
    def stages(self) -> int:
        """Number of stages that the coefficients give weights for."""
        return len(self._matrix)

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Weights of the stages from coefficients."""
        return torch.tensordot(self._matrix, coefficients, dims=1)

    def analyse(self, gradient: Tensor) -> Tensor:
        """The transpose of `synthesise`."""
        return torch.tensordot(self._matrix.T, gradient, dims=1)

    def control(self, u: np.ndarray) -> Curve:
        """The curve with coordinates u."""
        blocks = self.coefficients(u)
        zeros = {k: torch.zeros(self._shape(k), dtype=torch.float64) for k in DEEP}
        K, b = (blocks.get(k, zeros[k]) for k in DEEP)
        W, c = (blocks.get(k, self.metric.fixed(k)) for k in "Wc")
        return Curve(self.basis, K.clone(), b.clone(), W.clone(), c.clone())

    def vector(self, control: Layers | Curve) -> np.ndarray:
        """The coordinates of the projection of a curve, or of a network's piecewise linear interpolant."""
        curve = (control.interpolant() if isinstance(control, Layers) else control).project(self.basis)
        return self.pack({k: getattr(curve, k) for k in self.places})
