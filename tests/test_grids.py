"""Grids of depth: prolongation is interpolation, and extrapolation is exact for polynomials in 1/n and in t."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deeplimit.control import BLOCKS, Layers
from deeplimit.coordinates import LayerCoordinates, Metric
from deeplimit.grids import Prolongation, extrapolated, splined, weights

BOTH = [(4, 8), (8, 32), (5, 35), (4, 6), (7, 16), (1, 5), (6, 6)]


def metric(trainable: str = "KbWc") -> Metric:
    """Width 2, one output, a different weight for each block."""
    return Metric(2, 1, {"K": 0.3, "b": 0.02, "W": 1.7, "c": 0.5}, {"K": 2.0, "b": 0.7}, trainable)


def dense(function, size: int) -> np.ndarray:
    """The matrix of a linear map."""
    return np.column_stack([function(e) for e in np.eye(size)])


def pair(coarse: int, fine: int, trainable: str = "KbWc") -> tuple[LayerCoordinates, LayerCoordinates, Prolongation]:
    """Coordinates at two depths, and the prolongation between them."""
    source, target = (LayerCoordinates(metric(trainable), n) for n in (coarse, fine))
    return source, target, Prolongation(source, target)


@pytest.mark.parametrize("trainable", ["KbWc", "K", "bc"])
@pytest.mark.parametrize(("coarse", "fine"), BOTH)
def test_the_prolongation_has_orthonormal_columns_and_the_restriction_is_its_transpose(
    coarse: int, fine: int, trainable: str
) -> None:
    """P takes |u|² to |u|² as the regulariser of the interpolant is that of the network; elsewhere it is normalised."""
    source, target, grid = pair(coarse, fine, trainable)
    P = dense(grid.prolong, source.size)
    np.testing.assert_allclose(P.T @ P, np.eye(source.size), atol=1e-13)
    np.testing.assert_allclose(dense(grid.restrict, target.size), P.T, atol=1e-15)


@pytest.mark.parametrize(("coarse", "fine"), [(4, 8), (8, 32), (5, 35), (1, 5), (6, 6)])
def test_for_a_multiple_of_the_depth_it_is_linear_interpolation(coarse: int, fine: int) -> None:
    """Independently by NumPy's interp at the nodes, in the coordinates of the fine network."""
    source, target, grid = pair(coarse, fine)
    u = np.random.default_rng(0).standard_normal(source.size)
    layers = source.control(u)
    nodes, new = np.arange(coarse) / coarse, np.arange(fine) / fine

    def interpolated(theta: torch.Tensor) -> np.ndarray:
        columns = theta.reshape(coarse, -1).numpy().T
        return np.column_stack([np.interp(new, nodes, column) for column in columns]).reshape(fine, *theta.shape[1:])

    expected = Layers(interpolated(layers.K), interpolated(layers.b), layers.W, layers.c)
    np.testing.assert_allclose(grid.prolong(u), target.vector(expected), atol=1e-12)


@pytest.mark.parametrize(("coarse", "fine"), [(4, 6), (7, 16)])
def test_elsewhere_it_spans_the_same_interpolants(coarse: int, fine: int) -> None:
    """Every linear interpolant is P Pᵀ of itself."""
    source, target, grid = pair(coarse, fine)
    u = target.vector(source.control(np.random.default_rng(1).standard_normal(source.size)).refine(fine))
    np.testing.assert_allclose(grid.prolong(grid.restrict(u)), u, atol=1e-12)


def test_a_prolongation_to_a_smaller_depth_is_refused() -> None:
    """It would have no orthonormal columns."""
    with pytest.raises(ValueError, match="a prolongation leads to a depth at least 8, got 4"):
        pair(8, 4)


@pytest.mark.parametrize("depths", [[8], [8, 16], [5, 9, 30]])
def test_weights_continue_every_polynomial_in_one_over_the_depth(depths: list[int]) -> None:
    """Exact below the number of depths, not at it."""
    count = len(depths)
    for degree in range(count + 1):
        found = weights(depths, 64) @ (1 / np.array(depths)) ** degree
        assert (found == pytest.approx(64.0**-degree, abs=1e-14)) == (degree < count)


def smooth(depth: int) -> Layers:
    """Cubics in t plus quadratics in 1/n times others: what three depths and a cubic spline represent exactly."""
    t, h = torch.arange(depth, dtype=torch.float64) / depth, 1 / depth
    powers = torch.stack([t**k for k in range(4)], -1)
    generator = torch.Generator().manual_seed(3)

    def expansion(*shape: int) -> torch.Tensor:
        parts = torch.randn(3, 4, *shape, generator=generator, dtype=torch.float64)
        return sum(h**k * torch.tensordot(powers, parts[k], 1) for k in range(3))

    head = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    W, c = (sum(h**k * head[k, part] for k in range(3)) for part in (slice(0, 2), slice(2, 3)))
    return Layers(expansion(2, 2), expansion(2), W[None], c)


@pytest.mark.parametrize("depth", [64, 50])
def test_three_depths_predict_a_quadratic_in_one_over_the_depth(depth: int) -> None:
    """Both errors, of the extrapolation and of the spline, vanish; with two depths the first one does not."""
    exact = smooth(depth)
    for depths, close in (([8, 16, 32], True), ([16, 32], False)):
        found = extrapolated([smooth(n) for n in depths], depth)
        gap = max(float((getattr(found, k) - getattr(exact, k)).abs().max()) for k in BLOCKS)
        assert (gap < 1e-12) == close and gap < 0.1


def test_the_spline_keeps_the_derivative_to_third_order() -> None:
    """A start with the derivative wrong at order 1/n, as by linear interpolation, would cost evaluations of E."""

    def gap(n: int) -> float:
        t, fine = np.arange(n) / n, np.arange(2 * n) / (2 * n)
        layers = Layers(np.sin(3 * t)[:, None, None], np.exp(t)[:, None], np.ones((1, 1)), np.zeros(1))
        found = splined(layers, 2 * n)
        return math.sqrt(2 * n) * float(np.linalg.norm(np.diff(found.K[:, 0, 0].numpy() - np.sin(3 * fine))))

    assert math.log2(gap(64) / gap(128)) > 2.4  # 3 inside; the end, beyond the last node, costs half an order
    assert gap(128) < 1e-5


@pytest.mark.parametrize("n", [1, 2, 3])
def test_networks_of_few_layers_are_taken_to_any_depth(n: int) -> None:
    """A spline of degree n − 1 goes through n nodes."""
    layers = smooth(n)
    found = splined(layers, 4 * n)
    assert found.depth == 4 * n
    torch.testing.assert_close(found.K[::4], layers.K, rtol=0, atol=1e-13)
    assert splined(layers, n) is layers
