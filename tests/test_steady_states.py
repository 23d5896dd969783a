"""Zeros, their rates and basins are those of the activation, and signals go where it is said that they go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from deeplimit.meanfield import flows
from deeplimit.meanfield.steady_states import Cluster, PhaseLine

HALF = math.pi / 2


def line(name: str, w: float, b: float) -> PhaseLine:
    return PhaseLine(name, w, b)  # type: ignore[arg-type]


def test_the_zeros_of_the_growing_cosine_unit_are_those_of_the_cosine_and_0() -> None:
    """σ'(0) = 1, σ'(±π/2) = −π/2, σ'(±3π/2) = 3π/2, σ'(±5π/2) = −5π/2; their neighbours outside are found too."""
    unit = line("gcu", 2.0, -1.0)
    zeros = unit.zeros(-1.0, 2.0)
    z = 2 * zeros - 1
    for known in (-3 * HALF, -HALF, 0, HALF, 3 * HALF):
        assert np.abs(z - known).min() < 1e-14
    assert np.abs(z * np.cos(z)).max() < 1e-14
    rates = {-HALF: -2 * HALF, 0.0: 2.0, HALF: -2 * HALF, 3 * HALF: 6 * HALF}
    for known, rate in rates.items():
        assert unit.rate((known + 1) / 2) == pytest.approx(rate, rel=1e-14)


def test_the_basins_of_the_growing_cosine_unit() -> None:
    """w > 0: π/2 attracts from 0 to 3π/2; w < 0: 0 attracts from −π/2 to π/2; the ends repel with their own rates."""
    found = line("gcu", 1.0, 0.0).clusters(0.1, 4.0)
    assert len(found) == 1
    assert (found[0].x, found[0].rate) == pytest.approx((HALF, -HALF))
    assert found[0].basin == pytest.approx((0.0, 3 * HALF)) and found[0].repulsion == pytest.approx((1.0, 3 * HALF))
    assert (found[0].decay(1), found[0].decay(2)) == pytest.approx((-1.0, -0.5))
    middle = next(c for c in line("gcu", -1.0, 0.0).clusters(-2.0, 2.0) if c.x == 0)
    assert middle.rate == -1 and middle.basin == pytest.approx((-HALF, HALF))
    assert [round(c.x / HALF) for c in line("gcu", -1.0, 0.0).clusters(-2.0, 2.0)] == [-3, 0, 3]


@pytest.mark.parametrize(
    ("name", "w", "places"),
    [
        ("identity", -1.5, {0.2: (-math.inf, math.inf)}),
        ("tanh", -1.5, {0.2: (-math.inf, math.inf)}),
        ("tanh", 1.5, {-math.inf: (-math.inf, -0.2), math.inf: (-0.2, math.inf)}),
        ("relu", -1.5, {0.2: (-math.inf, 0.2)}),
        ("relu", 1.5, {math.inf: (-0.2, math.inf)}),
        ("sigmoid", 1.5, {math.inf: (-math.inf, math.inf)}),
        ("sigmoid", -1.5, {math.inf: (-math.inf, math.inf)}),
    ],
)
def test_basins_on_the_line(name: str, w: float, places: dict[float, tuple[float, float]]) -> None:
    """b = 0.3. A relu holds what is beyond its zero, a sigmoid moves everything to the right."""
    found = line(name, w, 0.3).clusters(-2.0, 2.0)
    assert {round(c.x, 14): tuple(round(end, 14) for end in c.basin) for c in found} == places
    assert all(c.rate == pytest.approx(w) for c in found if math.isfinite(c.x))


@pytest.mark.parametrize("name", ["identity", "tanh", "relu", "gcu", "sigmoid", "arctan", "silu", "softplus0"])
@pytest.mark.parametrize("w", [-1.3, 0.9])
def test_signals_go_where_it_is_said(name: str, w: float) -> None:
    """The flow, by another module, on 101 signals: on the way after a long time, and never past the destination."""
    phase, x = line(name, w, 0.35), np.linspace(-2, 2, 101)
    goal, end = phase.destination(x), flows.flow(name, w, 0.35, 4.0, x)
    towards = np.isfinite(goal)
    assert (np.abs(end - goal)[towards] <= np.abs(x - goal)[towards]).all()
    assert ((end - goal)[towards] * (x - goal)[towards] >= -1e-11).all()
    away = np.isinf(goal)
    assert (np.sign((end - x)[away]) == np.sign(goal[away])).all()
    assert (np.abs(end - x)[goal == x] == 0).all()


@pytest.mark.parametrize("name", ["gcu", "tanh", "relu", "silu"])
@pytest.mark.parametrize(("w", "b"), [(1.0, 0.3), (-1.7, 0.31), (0.3, -2.9)])
def test_steady_points_stay_where_they_are(name: str, w: float, b: float) -> None:
    """Also if rounding puts them on the wrong side of the zero: from −3π to 3π, and a neighbouring number each way."""
    phase = line(name, w, b)
    zeros = phase.zeros(-9.0, 9.0)
    for x in (zeros, np.nextafter(zeros, np.inf), np.nextafter(zeros, -np.inf)):
        assert (phase.destination(x) == zeros).all()
    places = np.array([c.x for c in phase.clusters(-3.0, 3.0) if math.isfinite(c.x)])
    if len(places):
        assert (phase.destination(places) == places).all()


def test_masses_add_up_and_are_those_of_the_basins() -> None:
    """U[2, 8] with its classes at 4: tanh takes a third to −∞ and two thirds to +∞."""
    found = line("tanh", 1.0, -4.0).clusters(2.0, 8.0)
    masses = {c.x: c.mass(lambda x: min(max((x - 2) / 6, 0.0), 1.0)) for c in found}
    assert masses == pytest.approx({-math.inf: 1 / 3, math.inf: 2 / 3})


def test_late_signals_decide_the_distance() -> None:
    """Of |λ| and μ/p the least: an end that repels slowly keeps signals back."""
    cluster = Cluster(0.0, -2.0, (-1.0, 1.0), (math.inf, 3.0))
    assert [cluster.decay(p) for p in (1, 1.5, 2, 6)] == [-2.0, -2.0, -1.5, -0.5]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tanh", 0.0, 1.0), "w must not be 0"),
        (("tanh", math.nan, 1.0), "w must be finite"),
        (("step", 1.0, 1.0), "activation must be one of"),
    ],
)
def test_what_has_no_phase_line_is_refused(arguments: Any, sentence: str) -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match=sentence):
        PhaseLine(*arguments)
