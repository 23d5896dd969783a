"""Controls: the truth is interpolation by hand, Gauss quadrature, NumPy's polynomials and Jensen's inequality."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss

from deeplimit import Curve, Layers
from deeplimit.control import Basis, Hats, Legendre, Quadratics

BASES = [Legendre(1), Legendre(2), Legendre(9), Hats(1), Hats(2), Hats(7), Quadratics(2), Quadratics(6)]


def network(depth: int, d: int = 2, m: int = 3, seed: int = 0) -> Layers:
    random = np.random.default_rng(seed)
    shapes = ((depth, d, d), (depth, d), (m, d), (m,))
    return Layers(*(torch.tensor(random.standard_normal(shape)) for shape in shapes))


def curve(basis: Basis, d: int = 2, m: int = 3, seed: int = 0) -> Curve:
    """Coefficients that fall like those of a function with a bounded derivative."""
    random = np.random.default_rng(seed)
    fall = 1 / np.arange(1, basis.size + 2)
    K = torch.tensor(random.standard_normal((basis.size + 1, d, d)) * fall[:, None, None])
    b = torch.tensor(random.standard_normal((basis.size + 1, d)) * fall[:, None])
    return Curve(basis, K, b, torch.tensor(random.standard_normal((m, d))), torch.tensor(random.standard_normal(m)))


def gauss(corners: np.ndarray, points: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1], exact for piecewise polynomials of degree 31 with these corners."""
    nodes, weights = leggauss(points)
    width = np.diff(corners)[:, None]
    return (corners[:-1, None] + width * (nodes + 1) / 2).ravel(), (width * weights / 2).ravel()


def grid(*sizes: int) -> np.ndarray:
    """Every i/n of every size, once."""
    corners = sorted(i / n for n in sizes for i in range(n + 1))
    return np.array([c for i, c in enumerate(corners) if i == 0 or c - corners[i - 1] > 1e-12])


# Layers


def test_nodes_are_i_over_n() -> None:
    """n slices, the first at 0, the last at 1 − 1/n."""
    assert network(4).t.tolist() == [0, 0.25, 0.5, 0.75]
    assert network(4).depth == 4 and network(1).t.tolist() == [0]


def test_layers_keep_any_numbers_as_float64() -> None:
    """Lists, arrays and single precision become float64; gradients are not followed."""
    K: Any = np.ones((2, 1, 1), dtype=np.float32)
    b: Any = [[1], [2]]
    W, c = torch.ones(1, 1, requires_grad=True), torch.zeros(1)
    made = Layers(K, b, W, c)
    for theta in (made.K, made.b, made.W, made.c):
        assert theta.dtype == torch.float64 and not theta.requires_grad
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.K = made.b  # type: ignore[misc]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "K not square": ({"K": torch.zeros(3, 2, 1)}, r"K must have shape \(3, 2, 2\).*got \(3, 2, 1\)"),
    "K without depth": ({"K": torch.zeros(2, 2)}, r"K must be a real array with 3 dimensions, got shape \(2, 2\)"),
    "depths differ": ({"b": torch.zeros(4, 2)}, r"b must have shape \(3, 2\)"),
    "b too wide": ({"b": torch.zeros(3, 3)}, r"b must have shape \(3, 2\)"),
    "W too wide": ({"W": torch.zeros(1, 3)}, r"W must have shape \(1, 2\)"),
    "c too long": ({"c": torch.zeros(2)}, r"c must have shape \(1,\)"),
    "c a number": ({"c": torch.tensor(1.0)}, r"c must be a real array with 1 dimensions"),
    "complex": ({"c": torch.zeros(1, dtype=torch.complex128)}, "c must be a real array"),
    "no layer": ({"K": torch.zeros(0, 2, 2), "b": torch.zeros(0, 2)}, "at least one of its layers"),
}


@pytest.mark.parametrize(("wrong", "message"), BAD.values(), ids=BAD)
def test_blocks_that_do_not_fit_together_are_refused(wrong: dict[str, Any], message: str) -> None:
    """The message names the block, what it should be and what it is."""
    right = {"K": torch.zeros(3, 2, 2), "b": torch.zeros(3, 2), "W": torch.zeros(1, 2), "c": torch.zeros(1)}
    with pytest.raises(ValueError, match=message):
        Layers(**(right | wrong))


@pytest.mark.parametrize("depth", [*range(1, 60), 100, 1000, 4095])
def test_the_extension_is_constant_on_each_cell(depth: int) -> None:
    """(K, b)(t) = (K, b)_⌊nt⌋: at every node, whatever its rounding, and just before the next; t = 1 is last."""
    net = network(depth, d=1)
    i = np.arange(depth)
    for t in (i / depth, (i + 0.5) / depth, (i + 1 - 1e-6) / depth):
        K, b = net.at(t)
        assert torch.equal(K, net.K) and torch.equal(b, net.b)
    assert torch.equal(net.at(1.0)[0], net.K[-1])


def test_the_extension_keeps_the_shape_of_t() -> None:
    """t of shape (…) gives (…, d, d) and (…, d), for numbers, lists, arrays and tensors."""
    net = network(5)
    for t, shape in ((0.3, ()), ([0.1, 0.9], (2,)), (np.zeros((2, 3)), (2, 3)), (torch.zeros(4, 1, 2), (4, 1, 2))):
        for control in (net, net.interpolant()):
            K, b = control.at(t)
            assert K.shape == (*shape, 2, 2) and b.shape == (*shape, 2)


def test_the_interpolant_is_linear_between_nodes_and_constant_on_the_last_cell() -> None:
    """Θ̂_n by NumPy's interpolation of every entry, held at its last value on [1 − 1/n, 1]."""
    t = np.linspace(0, 1, 301)
    for depth in (1, 2, 3, 10):
        net = network(depth)
        K, b = net.interpolant().at(t)
        for theta, values in ((net.K, K), (net.b, b)):
            flat = theta.flatten(1).numpy()
            expected = np.column_stack([np.interp(t, np.arange(depth) / depth, column) for column in flat.T])
            np.testing.assert_allclose(values.flatten(1).numpy(), expected, atol=1e-13)
        assert torch.equal(net.interpolant().W, net.W) and torch.equal(net.interpolant().c, net.c)


@given(st.integers(1, 12), st.integers(0, 50))
@settings(derandomize=True, max_examples=20, deadline=None, database=None)
def test_the_interpolant_has_the_energy_of_the_network(depth: int, seed: int) -> None:
    """∫|θ̂'|² = n Σ_{i=1}^{n−1} |θ_i − θ_{i−1}|²: why the regulariser carries the factor n."""
    net = network(depth, seed=seed)
    t, w = gauss(grid(depth), 4)
    for theta, slope in zip((net.K, net.b), net.interpolant().derivative(t), strict=True):
        discrete = depth * sum(float(((theta[i] - theta[i - 1]) ** 2).sum()) for i in range(1, depth))
        assert w @ slope.flatten(1).square().sum(1).numpy() == pytest.approx(discrete, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("coarse", "fine"), [(1, 4), (3, 6), (4, 12), (8, 12), (12, 8), (5, 100), (7, 7), (6, 2)])
def test_refinement_samples_the_interpolant(coarse: int, fine: int) -> None:
    """Nodes i/n of the finer net lie on the chords of the coarser one, or on its last value."""
    net = network(coarse)
    refined = net.refine(fine)
    assert refined.depth == fine
    expected = np.interp(np.arange(fine) / fine, np.arange(coarse) / coarse, net.K[:, 0, 1].numpy())
    np.testing.assert_allclose(refined.K[:, 0, 1].numpy(), expected, atol=1e-14)
    if fine % coarse == 0:
        np.testing.assert_allclose(refined.K[:: fine // coarse].numpy(), net.K.numpy(), atol=1e-14)
    assert torch.equal(refined.W, net.W) and torch.equal(refined.c, net.c)


# Bases


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_bases_are_orthonormal(basis: Basis) -> None:
    """∫ φ_j φ_k = δ_jk."""
    t, w = gauss(grid(basis.size))
    phi = basis.derivative(t)
    assert phi.shape == (len(t), basis.size)
    np.testing.assert_allclose(phi.T @ (w[:, None] * phi), np.eye(basis.size), atol=1e-13)


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_primitives_are_integrals_from_zero(basis: Basis) -> None:
    """Φ_j(t) = ∫₀ᵗ φ_j by quadrature on the cells below t; Φ_j(0) = 0 exactly."""
    assert not basis.primitive(np.zeros(1)).any()
    for end in (0.137, 0.5, 2 / 7, 1.0):
        corners = np.append(grid(basis.size)[grid(basis.size) < end - 1e-12], end)
        t, w = gauss(corners)
        np.testing.assert_allclose(basis.primitive(np.array([end]))[0], w @ basis.derivative(t), atol=1e-14)


def test_legendre_derivatives_are_shifted_legendre_polynomials() -> None:
    """φ_j = √(2j+1) P_j(2t − 1)."""
    t = np.linspace(0, 1, 11)
    expected = [np.polynomial.Legendre.basis(j, domain=[0, 1])(t) * math.sqrt(2 * j + 1) for j in range(6)]
    np.testing.assert_allclose(Legendre(6).derivative(t), np.column_stack(expected), atol=1e-13)


def test_bases_are_equal_by_kind_and_size() -> None:
    """Four polynomials are not four cells."""
    assert Legendre(4) == Legendre(4) and Hats(4) == Hats(4)
    assert Legendre(4) != Hats(4) and Legendre(4) != Legendre(5)


# Curves


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_a_curve_is_the_integral_of_its_derivative(basis: Basis) -> None:
    """K(t) = K(0) + ∫₀ᵗ K', b likewise, and K(0) is the first coefficient."""
    theta = curve(basis)
    assert torch.equal(theta.at(0.0)[0], theta.K[0]) and torch.equal(theta.at(0.0)[1], theta.b[0])
    for end in (0.3, 1.0):
        corners = np.append(grid(basis.size)[grid(basis.size) < end - 1e-12], end)
        t, w = gauss(corners)
        for start, value, slope in zip((theta.K[0], theta.b[0]), theta.at(end), theta.derivative(t), strict=True):
            grown = start + torch.tensordot(torch.as_tensor(w), slope, dims=1)
            torch.testing.assert_close(value, grown, rtol=1e-13, atol=1e-13)


def test_a_given_polynomial_is_reproduced() -> None:
    """K' = 2t has coefficients 1 and 1/√3, K = t² + 5."""
    K = torch.tensor([[[5.0]], [[1.0]], [[1 / math.sqrt(3)]]], dtype=torch.float64)
    theta = Curve(Legendre(2), K, torch.zeros(3, 1), torch.ones(1, 1), torch.zeros(1))
    t = np.linspace(0, 1, 9)
    np.testing.assert_allclose(theta.at(t)[0].ravel(), t**2 + 5, rtol=1e-15)
    np.testing.assert_allclose(theta.derivative(t)[0].ravel(), 2 * t, atol=1e-15)


def test_derivatives_are_taken_from_the_right_at_corners() -> None:
    """A piecewise linear curve has at j/M the slope of the cell that begins there, whatever the rounding of j/M."""
    for cells in (3, 10, 49):
        theta = curve(Hats(cells))
        nodes = np.arange(cells) / cells
        expected = (theta.at(nodes + 0.9 / cells)[1] - theta.at(nodes)[1]) * cells / 0.9
        torch.testing.assert_close(theta.derivative(nodes)[1], expected, rtol=1e-10, atol=1e-10)


def test_samples_are_the_left_nodes() -> None:
    """The recovery sequence: layer i is the curve at i/n, the head is kept."""
    theta = curve(Legendre(5))
    net = theta.sample(6)
    for i in range(6):
        K, b = theta.at(i / 6)
        torch.testing.assert_close(net.K[i], K, rtol=1e-14, atol=1e-14)
        torch.testing.assert_close(net.b[i], b, rtol=1e-14, atol=1e-14)
    assert torch.equal(net.W, theta.W) and torch.equal(net.c, theta.c)


@given(st.sampled_from([Legendre(8), Hats(5), Hats(12)]), st.integers(1, 40), st.integers(0, 100))
@settings(derandomize=True, max_examples=40, deadline=None, database=None)
def test_sampling_never_gains_energy(basis: Basis, depth: int, seed: int) -> None:
    """n |θ(t_i) − θ(t_{i−1})|² ≤ ∫ |θ'|² on the cell, by Jensen: R_n(sample) ≤ R_∞ for every curve and depth."""
    theta = curve(basis, seed=seed)
    net, t_w = theta.sample(depth), gauss(grid(basis.size))
    for layers, slope in zip((net.K, net.b), theta.derivative(t_w[0]), strict=True):
        limit = t_w[1] @ slope.flatten(1).square().sum(1).numpy()
        assert depth * float((layers[1:] - layers[:-1]).square().sum()) <= limit * (1 + 1e-12)


def test_networks_and_interpolants_are_inverse() -> None:
    """Sampling the interpolant at its own nodes gives the network back."""
    for depth in (1, 2, 7, 64):
        net = network(depth)
        again = net.interpolant().sample(depth)
        torch.testing.assert_close(again.K, net.K, rtol=0, atol=1e-13)
        torch.testing.assert_close(again.b, net.b, rtol=0, atol=1e-13)


# Projection


def product_with(basis: Basis, function: Callable[[np.ndarray], np.ndarray], corners: np.ndarray) -> np.ndarray:
    """∫ f φ_j."""
    t, w = gauss(corners)
    return (w[:, None] * basis.derivative(t)).T @ function(t)


@pytest.mark.parametrize(
    "target", [Legendre(3), Legendre(14), Hats(1), Hats(4), Hats(21), Hats(10), Quadratics(8)], ids=repr
)
@pytest.mark.parametrize("source", [Legendre(6), Hats(7), Quadratics(6)], ids=repr)
def test_projection_keeps_the_value_at_0_and_the_closest_derivative(source: Basis, target: Basis) -> None:
    """Coefficients ∫ θ' φ_j against the orthonormal basis, by quadrature on the common refinement of both grids."""
    theta = curve(source)
    image = theta.project(target)
    assert image.basis == target
    for k, (before, after) in enumerate(((theta.K, image.K), (theta.b, image.b))):
        assert torch.equal(before[0], after[0])
        corners = grid(source.size, target.size)
        expected = product_with(target, lambda t, k=k: theta.derivative(t)[k].flatten(1).numpy(), corners)
        np.testing.assert_allclose(after[1:].flatten(1).numpy(), expected, atol=1e-13)
    assert torch.equal(image.W, theta.W) and torch.equal(image.c, theta.c)


@pytest.mark.parametrize(
    ("source", "target"),
    [(Legendre(5), Legendre(9)), (Hats(4), Hats(12)), (Hats(1), Legendre(3)), (Quadratics(4), Quadratics(12))],
)
def test_projection_onto_a_larger_space_is_exact(source: Basis, target: Basis) -> None:
    """A curve that the new basis contains does not change, and comes back unharmed."""
    theta = curve(source)
    t = np.linspace(0, 1, 101)
    for i in (0, 1):
        torch.testing.assert_close(theta.project(target).at(t)[i], theta.at(t)[i], rtol=0, atol=1e-13)
        torch.testing.assert_close(theta.project(target).project(source).at(t)[i], theta.at(t)[i], rtol=0, atol=1e-13)


def test_piecewise_quadratics_have_two_functions_a_cell() -> None:
    """An odd number of them is no such basis."""
    with pytest.raises(ValueError, match="two functions a cell, got the odd size 5"):
        Quadratics(5)


def test_a_curve_must_have_as_many_coefficients_as_its_basis() -> None:
    """The value at 0 and one for each function."""
    with pytest.raises(ValueError, match="wants 4 coefficients, got 3"):
        Curve(Legendre(3), torch.zeros(3, 1, 1), torch.zeros(3, 1), torch.zeros(1, 1), torch.zeros(1))


def test_moving_to_the_device_it_is_on_changes_nothing() -> None:
    """`to` keeps the numbers."""
    net = network(3)
    moved = net.to("cpu")
    assert all(torch.equal(getattr(net, k), getattr(moved, k)) for k in "KbWc")


def test_lists_keep_their_digits() -> None:
    """Python's numbers are doubles, and stay so."""
    layers = Layers([[[-1.3]]], [[0.4]], [[0.7]], [0.2])  # type: ignore[arg-type]
    assert [layers.K.item(), layers.b.item(), layers.W.item(), layers.c.item()] == [-1.3, 0.4, 0.7, 0.2]
