"""Particles: the truth is a loop over layers by hand, the closed form of the flow, and the exponential of a matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.linalg import expm

from deeplimit.meanfield import field, particles

RNG = np.random.default_rng(0)
PLANE = RNG.normal(size=(300, 2))
W, B = np.array([[0.4, -0.9], [0.7, -0.3]]), np.array([0.2, -0.5])


def by_hand(sigma, w, b, time, depth, x):  # type: ignore[no-untyped-def]
    """One particle and one neuron at a time."""
    x = x.copy()
    for k in range(depth):
        wt, bt = (v(k * time / depth) if callable(v) else v for v in (w, b))
        for i in range(len(x)):
            z = [sum(wt[a, c] * x[i, c] for c in range(2)) + bt[a] for a in range(2)]
            x[i] += time / depth * sigma(np.array(z))
    return x


def test_layers_are_those_of_the_definition() -> None:
    """X + Δt σ(wX + b), w not transposed, for all particles alike, weights at the start of each layer."""
    turning = lambda t: W * np.cos(t) + t * np.eye(2)  # noqa: E731
    for w in (W, turning):
        found = particles.network("tanh", w, B, 1.5, 7, PLANE[:20])
        assert found == pytest.approx(by_hand(np.tanh, w, B, 1.5, 7, PLANE[:20]), abs=1e-14)
        all_states = particles.states("tanh", w, B, 1.5, 7, PLANE[:20])
        assert all_states.shape == (8, 20, 2)
        assert (all_states[0] == PLANE[:20]).all() and (all_states[-1] == found).all()


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "identity", "gcu", "arctan"])
def test_chunks_and_shapes_make_no_difference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the line a particle alone moves as in a crowd, and as a particle of a plane that has one axis."""
    x = np.linspace(-2, 2, 101)
    found = particles.network(name, 0.8, -0.2, 1.0, 9, x)
    in_plane = particles.network(name, np.array([[0.8]]), np.array([-0.2]), 1.0, 9, x[:, None])
    assert in_plane[:, 0] == pytest.approx(found, abs=1e-14)
    monkeypatch.setattr(particles, "CACHED", 10)
    assert particles.network(name, 0.8, -0.2, 1.0, 9, x) == pytest.approx(found, abs=1e-14)
    assert (x == np.linspace(-2, 2, 101)).all(), "the particles given are not moved"


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "gcu"])
def test_the_network_tends_to_the_flow_at_first_order(name: str) -> None:
    """|X_L − X(T)| = |e|/L + O(1/L²) with e' = σ' w e − X''/2: the quotient tends to 1, and halves its distance."""
    x, w, b, T = np.linspace(-2, 2, 9), 0.8, -0.3, 1.2

    def f(X: np.ndarray) -> np.ndarray:
        return field.sigma(name)(w * X + b)

    def slope(X: np.ndarray) -> np.ndarray:
        return (f(X + 1e-5) - f(X - 1e-5)) / 2e-5

    def rates(t: float, y: np.ndarray) -> np.ndarray:
        X, e = np.split(y, 2)
        return np.concatenate([f(X), slope(X) * e - T / 2 * slope(X) * f(X)])

    first = integrate.solve_ivp(rates, (0, T), np.concatenate([x, 0 * x]), rtol=1e-9, atol=1e-9).y[9:, -1]
    limit = particles.limit(name, w, b, T, x)
    for depth in (400, 800):
        error = particles.network(name, w, b, T, depth, x) - limit
        assert np.abs(depth * error - first).max() < 4 / depth


def test_the_limit_in_the_plane_is_that_of_its_equation() -> None:
    """σ = identity: exp(tw); tanh: every particle integrated by itself; rates on the line as in the plane."""
    augmented = expm(1.5 * np.block([[W, B[:, None]], [np.zeros((1, 3))]]))
    exact = PLANE @ augmented[:2, :2].T + augmented[:2, 2]
    assert particles.limit("identity", W, B, 1.5, PLANE) == pytest.approx(exact, abs=1e-11)
    found = particles.limit("tanh", W, B, 1.5, PLANE[:100])
    for i in (0, 63, 64, 99):
        path = integrate.solve_ivp(lambda t, x: np.tanh(W @ x + B), (0, 1.5), PLANE[i], rtol=1e-12, atol=1e-12)
        assert found[i] == pytest.approx(path.y[:, -1], abs=1e-9)
    line = particles.limit("tanh", np.array([[0.8]]), np.array([0.1]), 1.0, PLANE[:, :1])
    assert line[:, 0] == pytest.approx(particles.limit("tanh", 0.8, 0.1, 1.0, PLANE[:, 0]), abs=1e-11)


def test_memory_does_not_grow_with_the_layers() -> None:
    """Only the last state is kept: the peak at 400 layers is that at 4, below three copies of the particles."""

    def peak(depth: int) -> int:
        tracemalloc.start()
        particles.network("tanh", 0.5, 0.0, 1.0, depth, x)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    x = np.zeros(200_000)
    peak(1)
    assert abs(peak(400) - peak(4)) < 100_000
    assert peak(400) < 3 * x.nbytes


def test_a_network_too_shallow_is_refused() -> None:
    """T/L |w| Lip σ ≥ 1 breaks the order of the signals: with w = −3, T = 1 two layers exchange them, four do not."""
    x = np.array([-0.1, 0.1])
    for depth, inverted in ((1, True), (4, False)):
        moved = particles.network("identity", -3.0, 0.0, 1.0, depth, x, keep_order=False)
        assert (moved[0] > moved[1]) == inverted
    with pytest.raises(ValueError, match="take 4 or more layers, or keep_order=False"):
        particles.network("tanh", -3.0, 0.0, 1.0, 3, x)
    with pytest.raises(ValueError, match=r"T ‖w‖ Lip σ = 5"):
        particles.states("relu", np.array([[0.0, 5.0], [0.0, 0.0]]), B, 1.0, 5, PLANE)
    assert particles.network("sigmoid", -3.0, 0.0, 1.0, 1, x).shape == (2,)  # Lip σ = 1/4
    assert particles.network("gcu", -3.0, 0.0, 1.0, 1, x).shape == (2,)  # no Lipschitz constant to check


def test_particles_of_a_law() -> None:
    """At the quantiles of (i − ½)/M, or independent: then uniform numbers through F⁻¹, by the seed."""
    law = stats.norm(1, 2)
    assert law.cdf(particles.at_quantiles(law.ppf, 4)) == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    x = particles.drawn(law.ppf, 4000, seed=3)
    assert stats.kstest(x, law.cdf).pvalue > 0.01
    assert (x == particles.drawn(law.ppf, 4000, seed=3)).all()
    assert not (x == particles.drawn(law.ppf, 4000, seed=4)).any()


def test_misuse_is_told() -> None:
    """What is wrong, in one sentence."""
    with pytest.raises(ValueError, match=r"w must be a number for particles of shape \(300,\), got shape \(2, 2\)"):
        particles.network("tanh", W, 0.0, 1.0, 9, PLANE[:, 0])
    with pytest.raises(ValueError, match=r"b must be a number or \(2,\)"):
        particles.limit("tanh", W, np.zeros(3), 1.0, PLANE)
    with pytest.raises(ValueError, match="x must have shape"):
        particles.network("tanh", 0.1, 0.0, 1.0, 9, np.zeros((2, 2, 2)))
    for sample in (particles.at_quantiles, lambda law, M: particles.drawn(law, M, 0)):
        with pytest.raises(TypeError, match=r"quantile must be a function of an array, got .* give its ppf"):
            sample(stats.norm(0, 1), 3)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        particles.network("tanh", 0.1, 0.0, 1.0, 0, PLANE)
    with pytest.raises(ValueError, match="time must be positive"):
        particles.limit("tanh", 0.1, 0.0, 0.0, PLANE)
    with pytest.raises(ArithmeticError, match="did not reach"):
        particles.limit("identity", lambda t: 1e5 * np.eye(2), B, 2.0, PLANE)
