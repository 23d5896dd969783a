"""Finite volumes: the truth is the law that the closed-form flow pushes forward, polynomials, and sums of masses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm

from deeplimit.meanfield import flows, grid, reconstruction, transport
from deeplimit.meanfield.grid import Grid

NORMAL = stats.norm(0.2, 0.6)
UNIFORM = stats.uniform(-1, 2)
LINE = ((-6.0, 6.0),)


def exact(cells: Grid, law: stats.distributions.rv_frozen, name: str, w: float, b: float, t: float) -> np.ndarray:
    """Averages of the law pushed forward."""
    return grid.from_cdf(cells, flows.cdf(name, w, b, t, law.cdf))


def l1_error(number: int, scheme: str, steps: int, law: stats.distributions.rv_frozen = NORMAL) -> float:
    """Of tanh, w = 1, b = 0.3 at T = 1."""
    cells = Grid(LINE, (number,))
    found = transport.solve(cells, grid.from_cdf(cells, law.cdf), "tanh", 1.0, 0.3, 1.0, steps, scheme=scheme)
    return float(np.abs(found.averages - exact(cells, law, "tanh", 1.0, 0.3, 1.0)).sum() * cells.volume)


def test_upwind_has_order_1_for_smooth_laws() -> None:
    """1 ± 0.1 in L¹, Δt ~ Δx, and a level that a wrong velocity would not reach."""
    errors = [l1_error(number, "upwind", number // 5) for number in (400, 800, 1600)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx([1, 1], abs=0.1)
    assert errors[-1] < 5e-3


def test_upwind_has_order_one_half_for_jumps() -> None:
    """A jump is smeared over √(Δx t): the uniform law."""
    errors = [l1_error(number, "upwind", number // 5, UNIFORM) for number in (400, 800, 1600)]
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([0.5, 0.5], abs=0.1)


def test_weno5_has_order_5_for_smooth_laws() -> None:
    """At least 4.5 in L¹ with Δt ~ Δx^(5/3), for which the third order in time does not show."""
    errors = [l1_error(number, "weno5", int(70 * (number / 50) ** (5 / 3))) for number in (50, 100, 200)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 4.5).all()
    assert errors[-1] < 3e-6


@pytest.mark.parametrize("name", ["sigmoid", "identity", "relu"])
@pytest.mark.parametrize("w", [-0.8, 0.7])
def test_every_flow_is_reproduced(name: str, w: float) -> None:
    """WENO at 200 cells beside the push-forward: the sign of w, of b, and the activation."""
    cells = Grid(((-7.0, 7.0),), (200,))
    start = grid.from_cdf(cells, NORMAL.cdf)
    found = transport.solve(cells, start, name, w, 0.2, 0.5, 500, scheme="weno5")
    tolerance = 0.03 if name == "relu" else 1e-4  # relu leaves a jump of the density at its kink
    assert np.abs(found.averages - exact(cells, NORMAL, name, w, 0.2, 0.5)).sum() * cells.volume < tolerance


def test_weights_may_depend_on_time() -> None:
    """w = cos t, b = sin t: the flow with the same weights; with those of time 0 it is another law."""
    cells = Grid(LINE, (160,))
    start = grid.from_cdf(cells, NORMAL.cdf)
    found = transport.solve(cells, start, "tanh", np.cos, np.sin, 1.0, 250, scheme="weno5")
    pushed = grid.from_cdf(cells, lambda x: NORMAL.cdf(flows.inverse("tanh", np.cos, np.sin, 1.0, x)))
    assert np.abs(found.averages - pushed).sum() * cells.volume < 2e-5
    assert np.abs(exact(cells, NORMAL, "tanh", 1.0, 0.0, 1.0) - pushed).sum() * cells.volume > 0.1


def scattered(cells: Grid) -> np.ndarray:
    """Averages that are zero in most cells and anything in the others."""
    rng = np.random.default_rng(0)
    g = rng.random(100) * (rng.random(100) < 0.3) * (np.abs(cells.centres()) < 1.5)
    return g / (g.sum() * cells.volume)


@pytest.mark.parametrize(("scheme", "steps", "tolerance"), [("upwind", 10_000, 1e-13), ("weno5", 1_000, 1e-12)])
@pytest.mark.parametrize("w", [1.0, -1.0])
def test_mass_is_conserved_and_no_average_is_negative(scheme: str, steps: int, tolerance: float, w: float) -> None:
    """What one cell gives the next takes; single cells would make an unlimited WENO negative."""
    cells = Grid(LINE, (100,))
    found = transport.solve(cells, scattered(cells), "tanh", w, 0.3, 1.0, steps, scheme=scheme)
    assert found.mass_error < tolerance
    assert found.least >= -1e-16
    assert found.averages.sum() * cells.volume == pytest.approx(1, abs=2e-13)


@pytest.mark.slow
def test_mass_is_conserved_over_many_steps_of_weno() -> None:
    """10⁴ steps: 1e-11."""
    cells = Grid(LINE, (100,))
    found = transport.solve(cells, scattered(cells), "tanh", 1.0, 0.3, 1.0, 10_000, scheme="weno5")
    assert found.mass_error < 1e-11 and found.least >= -1e-16


def test_the_limiter_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the same run has negative averages: the test above can fail."""
    monkeypatch.setattr(reconstruction, "positive", lambda g, left, right: (left, right))
    cells = Grid(LINE, (100,))
    assert transport.solve(cells, scattered(cells), "tanh", 1.0, 0.3, 1.0, 1000, scheme="weno5").least < -0.01


def test_reconstruction_is_exact_for_parabolas_and_of_order_5() -> None:
    """Each of the three parabolas reproduces x²; a smooth function is met with an error that falls like Δx⁵."""
    x = np.linspace(0, 1, 21)
    left, right = reconstruction.at_ends(np.diff(x**3 / 3) / np.diff(x))
    assert left[3:-3] == pytest.approx(x[3:-4] ** 2, abs=1e-14)
    assert right[3:-3] == pytest.approx(x[4:-3] ** 2, abs=1e-14)
    errors = []
    for number in (40, 80):
        x = np.linspace(0, 1, number + 1)
        left, right = reconstruction.at_ends(np.diff(np.exp(2 * x) / 2) / np.diff(x))
        errors.append(max(np.abs(left - np.exp(2 * x[:-1]))[5:-5].max(), np.abs(right - np.exp(2 * x[1:]))[5:-5].max()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(5, abs=0.3)


def test_the_limiter_keeps_positive_values_and_means() -> None:
    """Values that are positive stay as they are; others keep their line through the average, and end at 0."""
    g = np.array([1.0, 0.1, 0.1, 0.0])
    left, right = np.array([0.5, -0.1, 0.05, -0.2]), np.array([1.4, 0.3, 1.6, 0.2])
    low, high = reconstruction.positive(g, left, right)
    assert (low[0], high[0]) == (0.5, 1.4)
    assert (low[1], high[1]) == pytest.approx((0.0, 0.2))
    rest = (g - (low + high) / 12) / (1 - 1 / 6)
    assert rest[2] == pytest.approx(0) and (rest >= -1e-17).all() and (low >= 0).all() and (high >= 0).all()
    assert (low[3], high[3]) == (0.0, 0.0)


def plane(number: int) -> tuple[Grid, np.ndarray, np.ndarray, np.ndarray]:
    """A Gaussian law that σ = identity turns, stretches and moves: cells, weights, averages at times 0 and 1."""
    w, b = np.array([[0.1, -0.8], [0.6, -0.2]]), np.array([0.4, -0.3])
    cells = Grid(((-5.5, 5.5), (-5.0, 5.0)), (number, number))
    A = expm(np.block([[w, b[:, None]], [np.zeros((1, 3))]]))
    C0, m0 = np.diag([0.3, 0.2]), np.array([0.3, 0.2])
    laws = [stats.multivariate_normal(m0, C0)]
    laws.append(stats.multivariate_normal(A[:2, :2] @ m0 + A[:2, 2], A[:2, :2] @ C0 @ A[:2, :2].T))
    start, end = (
        grid.averages(cells, lambda x, y, law=law: law.pdf(np.stack(np.broadcast_arrays(x, y), -1))) for law in laws
    )
    return cells, w, start, end


@pytest.mark.parametrize(("scheme", "order", "level"), [("upwind", 0.8, 0.2), ("weno5", 1.9, 4e-3)])
def test_a_law_of_the_plane(scheme: str, order: float, level: float) -> None:
    """Against the Gaussian law with covariance A C Aᵀ: a transpose of w is seen, and so is an axis mistaken."""
    b, errors = np.array([0.4, -0.3]), []
    for number in (32, 64):
        cells, w, start, end = plane(number)
        steps = int(np.ceil(1 / transport.largest_step(cells, "identity", w, b, scheme=scheme)))
        found = transport.solve(cells, start, "identity", w, b, 1.0, steps, scheme=scheme, leak=1e-4)
        errors.append(float(np.abs(found.averages - end).sum() * cells.volume))
        assert found.mass_error < 1e-12 and found.least >= -1e-16
    assert np.log2(errors[0] / errors[1]) > order
    assert errors[1] < level


def test_averages_are_integrals() -> None:
    """Gauss quadrature against the distribution function, and a product law of the plane."""
    cells = Grid(LINE, (50,))
    assert grid.averages(cells, NORMAL.pdf) == pytest.approx(grid.from_cdf(cells, NORMAL.cdf), abs=1e-9)
    both = Grid(((-5.0, 5.0), (-3.0, 4.0)), (50, 40))
    found = grid.averages(both, lambda x, y: NORMAL.pdf(x) * NORMAL.pdf(y))
    lines = [grid.from_cdf(Grid((both.bounds[k],), (both.cells[k],)), NORMAL.cdf) for k in (0, 1)]
    assert found == pytest.approx(np.outer(*lines), abs=1e-9)


def test_the_longest_step_is_allowed_and_a_longer_one_refused() -> None:
    """Upwind lets a cell give all it has; the sentence says how many steps it takes."""
    cells = Grid(LINE, (100,))
    start = grid.from_cdf(cells, NORMAL.cdf)
    for scheme in ("upwind", "weno5"):
        steps = int(np.ceil(1 / transport.largest_step(cells, "tanh", 1.0, 0.3, scheme=scheme)))
        assert transport.solve(cells, start, "tanh", 1.0, 0.3, 1.0, steps, scheme=scheme).least >= -1e-16
        with pytest.raises(ValueError, match=f"time step is too long.* take {steps} or more steps"):
            transport.solve(cells, start, "tanh", 1.0, 0.3, 1.0, steps - 2, scheme=scheme)
    later = lambda t: 1 + 9 * t  # noqa: E731  (the velocity of identity grows after time 0)
    with pytest.raises(ValueError, match="time step is too long"):
        transport.solve(cells, start, "identity", later, 0.0, 0.2, 20)


def test_misuse_is_told() -> None:
    """What is wrong and what to do, in one sentence."""
    cells = Grid(LINE, (100,))
    start = grid.from_cdf(cells, NORMAL.cdf)
    with pytest.raises(ValueError, match="take wider bounds, such as the flow of the law's outermost quantiles"):
        transport.solve(cells, start, "relu", 1.0, 2.0, 2.0, 400)
    with pytest.raises(ValueError, match=r"initial must not be negative, got -0\.1"):
        transport.solve(cells, start - 0.1, "tanh", 1.0, 0.0, 1.0, 100)
    with pytest.raises(ValueError, match=r"must have mass 1, got 0\.5.*: take wider bounds or more cells, or divide"):
        transport.solve(cells, start / 2, "tanh", 1.0, 0.0, 1.0, 100)
    with pytest.raises(ValueError, match="one value for each cell or node"):
        transport.solve(cells, start[:-1], "tanh", 1.0, 0.0, 1.0, 100)
    with pytest.raises(ValueError, match="scheme must be one of upwind, weno5, got 'lax'"):
        transport.solve(cells, start, "tanh", 1.0, 0.0, 1.0, 100, scheme="lax")
    with pytest.raises(ValueError, match="w and b must be those of 1 dimensions"):
        transport.solve(cells, start, "tanh", np.eye(2), 0.0, 1.0, 100)
    with pytest.raises(ValueError, match="lower < upper"):
        Grid(((1.0, 0.0),), (10,))
    with pytest.raises(ValueError, match="cells must be at least 5"):
        Grid(LINE, (4,))
    with pytest.raises(ValueError, match="1 or 2 axes"):
        Grid(LINE * 3, (10, 10, 10))
    with pytest.raises(ValueError, match="in 2-D use averages"):
        grid.from_cdf(Grid(LINE * 2, (10, 10)), NORMAL.cdf)


def test_a_restart_at_the_longest_step_is_not_refused() -> None:
    """There 1 − 1 leaves averages of −1e-17 or less, which are rounding; real negative ones are refused."""
    grid = Grid([(-2.0, 2.0)], [40])
    g = np.where(np.arange(40) < 20, 0.5, 0.0)
    g[3] = -1e-14
    g /= g.sum() * grid.volume
    once = transport.solve(grid, g, "tanh", -1.0, 0.0, 0.05, 1)
    transport.solve(grid, once.averages, "tanh", -1.0, 0.0, 0.05, 1)
    g[3] = -1e-6
    with pytest.raises(ValueError, match="initial must not be negative"):
        transport.solve(grid, g, "tanh", -1.0, 0.0, 0.05, 1)


def test_a_step_that_is_hardly_too_long_is_told_with_enough_digits() -> None:
    """1.0001 is not 1."""
    grid = Grid([(-2.0, 2.0)], [40])
    g = np.where(np.arange(40) < 20, 0.5, 0.0)
    step = 1.0001 * transport.largest_step(grid, "tanh", -1.0, 0.0)
    with pytest.raises(ValueError, match=r"too long: 1\.0001\d* of a cell's mass .* take 2 or more steps"):
        transport.solve(grid, g, "tanh", -1.0, 0.0, step, 1)
