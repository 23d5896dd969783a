"""Eigenvalues of 2I + compact: the truth is LAPACK on the dense matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deeplimit import spectrum
from deeplimit.spectrum import Hints, Preconditioner, Spectrum, leading, least_eigenpair


def symmetric(eigenvalues: np.ndarray, seed: int = 0) -> np.ndarray:
    """A matrix with these eigenvalues and random eigenvectors."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    return (Q * eigenvalues) @ Q.T


def hessian(size: int, lowest: float, top: float = 1e3, seed: int = 0) -> np.ndarray:
    """2I plus eigenvalues top/j⁴ above and (lowest − 2)/j⁴ below."""
    half = size // 2
    j = np.arange(1, size - half + 1)
    return symmetric(2 + np.concatenate([top / j**4.0, (lowest - 2) / np.arange(1, half + 1) ** 4.0]), seed)


@pytest.mark.parametrize("size", [2, 3, 40, 41, 60, 250])
@pytest.mark.parametrize("lowest", [1.3, 0.02, -3.0])
def test_the_least_eigenvalue_is_that_of_the_dense_matrix(size: int, lowest: float) -> None:
    """Dense up to 40 unknowns, Lanczos above; the error is about the square of the residual, 1e-6 at most."""
    H = hessian(size, lowest)
    value, vector = least_eigenpair(lambda v: H @ v, size)
    assert value == pytest.approx(np.linalg.eigvalsh(H)[0], rel=1e-6, abs=1e-8)
    assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-12)
    assert np.linalg.norm(H @ vector - value * vector) <= 1e-4 * np.linalg.norm(H, 2)


def test_one_unknown_is_its_own_eigenvector() -> None:
    """A 1 × 1 matrix."""
    value, vector = least_eigenpair(lambda v: -3 * v, 1)
    assert value == -3 and abs(vector[0]) == 1


@pytest.mark.parametrize("lowest", [1.3, 0.02, -3.0])
def test_the_preconditioned_iteration_finds_it_from_a_near_vector(lowest: float) -> None:
    """From a hint that is wrong by a tenth, with a preconditioner that knows the largest eigenvalues."""
    size = 200
    H = hessian(size, lowest)
    values, vectors = np.linalg.eigh(H)
    near = vectors[:, 0] + 0.1 * np.random.default_rng(1).standard_normal(size) / math.sqrt(size)
    hints = Hints(Preconditioner(values[-20:], vectors[:, -20:]), near)
    value, vector = least_eigenpair(lambda v: H @ v, size, hints)
    assert value == pytest.approx(values[0], rel=1e-5, abs=1e-5)
    assert abs(vector @ vectors[:, 0]) > 0.999
    resolved = 1e-3 * min(1.0, math.sqrt(abs(2 - lowest)), 100 * abs(lowest))
    assert np.linalg.norm(H @ vector - value * vector) <= 1.001 * resolved
    assert value == pytest.approx(vector @ H @ vector, rel=1e-9)


@pytest.mark.parametrize("lowest", [1.2, -1.0])
def test_a_hint_of_another_eigenvector_does_not_hide_a_lower_one(lowest: float) -> None:
    """Eigenvalues may cross from one depth to the next: the certificate is the least one, not the one hinted at."""
    size = 120
    H = hessian(size, lowest)
    values, vectors = np.linalg.eigh(H)
    hints = Hints(Preconditioner(values[-20:], vectors[:, -20:]), vectors[:, 1])
    value, _ = least_eigenpair(lambda v: H @ v, size, hints)
    assert value == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("fresh", [0.1, -0.01, -0.3])
@pytest.mark.parametrize("modes", [30, 300])
def test_an_eigenvalue_that_no_coarser_grid_knew_is_found(fresh: float, modes: int) -> None:
    """48 large eigenvalues and the hinted one, 0.2, are known to B; a lower one hides among many from 0.5 to 3.9."""
    size = 1000
    known = np.concatenate([[0.2], np.geomspace(4, 1e4, 48)])
    eigenvalues = np.concatenate(
        [known, [fresh], np.linspace(0.5, 3.9, modes), np.full(size - modes - 1 - len(known), 2.0)]
    )
    Q, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((size, size)))
    H = (Q * eigenvalues) @ Q.T
    hints = Hints(Preconditioner(known, Q[:, : len(known)]), Q[:, 0])
    value, _ = least_eigenpair(lambda v: H @ v, size, hints)
    assert value == pytest.approx(fresh, rel=1e-5)


def hidden(rotation: int, least: float) -> tuple[np.ndarray, Hints]:
    """B knows 0.2, which is hinted at, and 48 large eigenvalues, but neither 30 others up to 1000 nor the least."""
    known = np.concatenate([[0.2], np.geomspace(4, 1e4, 48)])
    eigenvalues = np.concatenate([known, [least], np.geomspace(4, 1e3, 30), np.full(320, 2.0)])
    Q, _ = np.linalg.qr(np.random.default_rng(rotation).standard_normal((400, 400)))
    return (Q * eigenvalues) @ Q.T, Hints(Preconditioner(known, Q[:, :49]), Q[:, 0])


@pytest.mark.parametrize("least", [0.1, -0.3, -1.0])
def test_a_search_that_comes_to_no_end_is_no_certificate(least: float) -> None:
    """Where B knows little of the spectrum, many products decide nothing; then Lanczos does, for every rotation."""
    for rotation in range(20):
        H, hints = hidden(rotation, least)
        value, _ = least_eigenpair(lambda v, H=H: H @ v, 400, hints)
        assert value == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize("size", [30, 41, 64, 200])
@pytest.mark.parametrize("least", [0.0, 2.0, -1.0])
def test_an_eigenvalue_of_exactly_zero_or_two_is_seen(size: int, least: float) -> None:
    """ARPACK drops Ritz values that are 0, and refuses a product that vanishes."""
    diagonal = np.concatenate([[least], np.full(size - 1, 2.0)])
    value, vector = least_eigenpair(lambda v: diagonal * v, size)
    assert value == pytest.approx(least, abs=1e-9) and np.linalg.norm(vector) == pytest.approx(1)
    found = leading(lambda v: diagonal * v, size)
    assert found is not None and abs(found.eigenvalues - least).min() < 1e-9
    hints = Hints(Preconditioner(np.array([2.0]), np.eye(size)[:, :1]), vector)
    assert least_eigenpair(lambda v: diagonal * v, size, hints)[0] == pytest.approx(least, abs=1e-9)


def test_a_vanishing_operator_has_least_eigenvalue_zero() -> None:
    """The Krylov space ends at once."""
    hints = Hints(Preconditioner(np.array([2.0]), np.eye(64)[:, :1]), np.ones(64))
    assert least_eigenpair(lambda v: 0 * v, 64, hints)[0] == 0


@pytest.mark.parametrize("size", [60, 98, 130])
def test_a_long_spectrum_of_few_unknowns_is_known_as_well(size: int) -> None:
    """At least 48 eigenpairs are kept of it."""
    H = symmetric(np.geomspace(4.5, 1e4, size))
    found = leading(lambda v: H @ v, size)
    assert found is not None and len(found.eigenvalues) >= 48


def test_a_spectrum_tells_of_its_own_hessian() -> None:
    """|H|⁻¹ and the least curved direction; where nothing it has is below 2, the direction of others."""
    H = symmetric(np.array([-1.0, 3.0, 5.0]))
    found = leading(lambda v: H @ v, 3)
    hints = found.hints()
    assert abs(hints.lowest @ H @ hints.lowest + 1) < 1e-12
    values, vectors = np.linalg.eigh(H)
    np.testing.assert_allclose(hints.preconditioner(H @ vectors), vectors * np.sign(values), atol=1e-12)
    above = Spectrum(np.array([3.0]), np.eye(3)[:, :1])
    assert above.hints(hints).lowest is hints.lowest
    assert found.hints(above.hints()).lowest is not hints.lowest and found.preconditioner() is None


@pytest.mark.parametrize(("least", "second", "off"), [(-1e-6, 0.1, 0.01), (-1e-4, 0.01, 0.1), (1e-5, 0.05, 0.03)])
def test_the_sign_of_a_small_curvature_is_certain(least: float, second: float, off: float) -> None:
    """A residual that is small beside the spectrum, but not beside the eigenvalue, would decide nothing."""
    size = 400
    eigenvalues = np.concatenate([[least, second], np.geomspace(4, 1e3, 20), np.full(size - 22, 2.0)])
    Q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((size, size)))
    H = (Q * eigenvalues) @ Q.T
    hints = Hints(Preconditioner(eigenvalues[2:22], Q[:, 2:22]), Q[:, 0] + off * Q[:, 1])
    value, _ = least_eigenpair(lambda v: H @ v, size, hints)
    assert value == pytest.approx(least, rel=0.02)


def test_a_long_spectrum_keeps_its_least_eigenvalues_too() -> None:
    """300 large eigenvalues, of which 256 at most are kept, and 20 small positive ones, which matter as much."""
    size = 1200
    small = np.linspace(0.01, 0.5, 20)
    eigenvalues = np.concatenate([np.geomspace(8, 500, 300), small, np.full(size - 320, 2.0)])
    H = symmetric(eigenvalues)
    found = leading(lambda v: H @ v, size)
    for value in [*small, 500.0]:
        assert abs(found.eigenvalues - value).min() <= 0.01
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(len(found.eigenvalues)), atol=1e-10)


def test_no_convergence_is_nan_and_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is a number that no comparison calls positive."""

    def fail(*_: object, **__: object) -> None:
        raise spectrum.linalg.ArpackNoConvergence("no", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(spectrum.linalg, "eigsh", fail)
    monkeypatch.setattr(spectrum, "DENSE", 50)
    H = hessian(60, 1.0)
    value, vector = least_eigenpair(lambda v: H @ v, 60)
    assert math.isnan(value) and len(vector) == 60


def test_the_preconditioner_is_the_inverse_of_two_plus_low_rank() -> None:
    """If the Hessian is 2I + rank k and all k eigenpairs are known, B H = I and B is symmetric positive definite."""
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 6)))
    values = np.array([1e5, 300.0, 7.0, 2.5, 0.7, 0.01])
    H = 2 * np.eye(50) + (Q * (values - 2)) @ Q.T
    B = Preconditioner(values, Q)
    dense = np.column_stack([B(e) for e in np.eye(50)])
    np.testing.assert_allclose(dense @ H, np.eye(50), atol=1e-9)
    np.testing.assert_allclose(dense, dense.T, atol=1e-13)
    np.testing.assert_allclose(np.linalg.eigvalsh(dense)[[0, -1]], [1e-5, 100], rtol=1e-10)
    root = np.column_stack([B.root(e) for e in np.eye(50)])
    np.testing.assert_allclose(root @ root, dense, atol=1e-12)
    np.testing.assert_allclose(root, root.T, atol=1e-13)
    inverse = np.column_stack([B.inverse(e) for e in np.eye(50)])
    np.testing.assert_allclose(inverse, H, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("size", [10, 40, 97, 98, 200])
def test_leading_eigenpairs_are_those_farthest_from_2(size: int) -> None:
    """The 48 eigenvalues with the largest |λ − 2|, or all of a small matrix, with orthonormal vectors."""
    H = hessian(size, -5.0)
    found = leading(lambda v: H @ v, size)
    dense = np.linalg.eigvalsh(H)
    far = np.sort(dense[np.argsort(-abs(dense - 2))][: len(found.eigenvalues)])
    assert len(found.eigenvalues) == (size if size <= 97 else 48)
    np.testing.assert_allclose(np.sort(found.eigenvalues), far, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(len(found.eigenvalues)), atol=1e-10)
    residuals = H @ found.vectors - found.vectors * found.eigenvalues
    assert abs(residuals).max() <= 1e-2 * abs(dense - 2).max()


def test_the_preconditioner_of_a_finer_grid_is_the_prolonged_inverse() -> None:
    """With orthonormal prolongation P it is P H⁻¹ Pᵀ + ½ (I − P Pᵀ)."""
    P, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((30, 8)))
    H = symmetric(np.array([500.0, 40, 9, 4, 3, 1.5, 1, 0.3]))
    B = Spectrum(*np.linalg.eigh(H)).preconditioner(lambda v: P @ v, lambda v: P.T @ v)
    assert B is not None
    v = np.random.default_rng(3).standard_normal(30)
    expected = P @ np.linalg.solve(H, P.T @ v) + 0.5 * (v - P @ (P.T @ v))
    np.testing.assert_allclose(B(v), expected, rtol=1e-10, atol=1e-12)


def test_an_indefinite_spectrum_gives_no_preconditioner() -> None:
    """Half a preconditioner of a saddle would not be positive definite."""
    assert Spectrum(np.array([3.0, -1.0]), np.eye(2)).preconditioner() is None
    assert Spectrum(np.array([3.0, 0.0]), np.eye(2)).preconditioner() is None
