"""The level-2 lift: Chen's identity, its symmetric part, norms without tensors, distances that do not cancel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deeplimit import rough
from deeplimit.rough import lift
from deeplimit.rough.paths import area_loop, coarsened, fractional_increments, loop_area


def walk(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).cumsum(0)


def iterated(w: np.ndarray, j: int, k: int) -> np.ndarray:
    """The double sum over l' < l, term by term."""
    dw = np.diff(w, axis=0)
    WW = np.zeros((w.shape[1], w.shape[1]))
    for late in range(j, k):
        for early in range(j, late):
            WW += np.outer(dw[early], dw[late])
    return WW


def table(w: np.ndarray, v: np.ndarray | None = None) -> np.ndarray:
    """|WW_{jk}|, or |WW_{jk} − VV_{jk}|, for all j < k, from the double sums."""
    norms = np.zeros((len(w), len(w)))
    for j in range(len(w)):
        for k in range(j + 1, len(w)):
            gap = iterated(w, j, k) - (0 if v is None else iterated(v, j, k))
            norms[j, k] = np.linalg.norm(gap)
    return norms


def test_chen() -> None:
    """WW_{ik} = WW_{ij} + WW_{jk} + w_{ij} ⊗ w_{jk}, to 1e-13 of its terms."""
    w = walk(60, 5)
    for i, j, k in ((0, 1, 2), (0, 17, 59), (5, 30, 31), (8, 8, 40)):
        parts = rough.level2(w, i, j) + rough.level2(w, j, k) + np.outer(w[j] - w[i], w[k] - w[j])
        whole = rough.level2(w, i, k)
        assert np.abs(whole - parts).max() <= 1e-13 * np.abs(parts).max() + 1e-13
        assert np.abs(whole - iterated(w, i, k)).max() <= 1e-12
    assert not rough.level2(w, 3, 4).any()


def test_the_symmetric_part_has_the_quadratic_variation() -> None:
    """Sym WW = ½ (w ⊗ w − Σ dw ⊗ dw): summation by parts; the piecewise linear signature has no such term."""
    w = walk(40, 3)
    WW, dw = rough.level2(w), np.diff(w, axis=0)
    expected = (np.outer(w[-1] - w[0], w[-1] - w[0]) - dw.T @ dw) / 2
    half = (WW + WW.T) / 2
    assert half == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [1, 3, 12])
def test_norms_are_those_of_the_tensors(d: int) -> None:
    """By tensors (small d) and by scalar products (large d), for one path and for the difference of two."""
    w = walk(14, d)
    v = w + 1e-5 * walk(14, d, seed=1)
    for other in (None, v):
        expected = table(w, other)
        shift = w - w[0]
        terms = [(shift, np.diff(w, axis=0))]
        if other is not None:
            gap = shift - (v - v[0])
            terms = [(gap, np.diff(w, axis=0)), (v - v[0], np.diff(gap, axis=0))]
        for route in (lift.sizes(w, other), lift._tensors(terms), lift._products(terms)):
            for k, column in enumerate(route, 1):
                assert column == pytest.approx(expected[:k, k], rel=1e-9, abs=1e-11 * expected.max())


def test_scalar_products_far_from_the_start() -> None:
    """A path shifted by 10⁶ has the same second level, and its intervals far from the start as well."""
    w = walk(200, 20)
    columns = [list(lift._products([(v - v.mean(0), np.diff(v, axis=0))])) for v in (w, w + 1e6)]
    assert columns[1][-1] == pytest.approx(columns[0][-1], rel=1e-6)
    for k in (100, 198):
        near = range(max(0, k - 40), k - 1)
        expected = [np.linalg.norm(rough.level2(w, j, k)) for j in near]
        assert list(lift.sizes(w))[k - 1][near.start : near.stop] == pytest.approx(expected, rel=1e-8)


def test_level2_variation_is_that_of_the_table() -> None:
    """The dynamic programme on the norms of the double sums."""
    w = walk(16, 4)
    norms, p = table(w), 2.6
    c = np.zeros(16)
    for k in range(1, 16):
        c[k] = (c[:k] + norms[:k, k] ** (p / 2)).max()
    value, partition = rough.level2_variation(w, p)
    assert value == pytest.approx(c[-1] ** (2 / p), rel=1e-12)
    attained = sum(norms[a, b] ** (p / 2) for a, b in itertools.pairwise(partition))
    assert value == pytest.approx(attained ** (2 / p), rel=1e-12)


def test_rough_norm_and_distance() -> None:
    """Homogeneous under scaling of the path; a small change changes WW by as little, with nothing cancelled."""
    w, u = walk(30, 3), walk(30, 3, seed=2)
    assert rough.rough_norm(3 * w, 2.5) == pytest.approx(3 * rough.rough_norm(w, 2.5), rel=1e-12)
    assert rough.rough_norm(w, 1.5) == rough.p_variation(w, 1.5)[0]
    small, smaller = (rough.rough_distance(w + e * u, w, 2.5) for e in (1e-6, 1e-9))
    assert small == pytest.approx(1000 * smaller, rel=1e-4)
    second = rough.level2_variation(w + 1e-6 * u, 2.5, w)[0]
    assert rough.rough_distance(w + 1e-6 * u, w, 2.5, homogeneous=True) == pytest.approx(
        small - second + second**0.5, rel=1e-12
    )


def test_the_two_conventions_of_a_path() -> None:
    """n weights are n points, or the n + 1 sums from 0."""
    weights = np.arange(12.0).reshape(3, 2, 2)
    assert np.array_equal(rough.as_path(weights, path="weights"), weights.reshape(3, 4))
    sums = rough.as_path(weights)
    assert np.array_equal(np.diff(sums, axis=0), weights.reshape(3, 4)) and not sums[0].any()
    assert rough.as_path([[1.0]]).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.8, 1.0])
def test_fractional_brownian_motion_has_its_covariance(hurst: float) -> None:
    """E w_s w_t = ½ (s^{2H} + t^{2H} − |s − t|^{2H}), within five standard errors; coarse increments are sums."""
    count, paths = 8, 40_000
    dw = fractional_increments(count, hurst, paths, seed=1)
    w, t = dw.cumsum(0), np.arange(1, count + 1) / count
    expected = (t[:, None] ** (2 * hurst) + t ** (2 * hurst) - np.abs(t[:, None] - t) ** (2 * hurst)) / 2
    assert np.abs(w @ w.T / paths - expected).max() <= 5 * np.sqrt(2 / paths)
    assert coarsened(dw, 4).cumsum(0) == pytest.approx(w[3::4], abs=1e-12)
    assert np.array_equal(dw, fractional_increments(count, hurst, paths, seed=1))


def test_a_loop_is_all_area() -> None:
    """It stays within 2ε and ends where it began; the antisymmetric part of its lift is the area of its polygons."""
    for radius, steps in ((0.5, 12), (0.125, 40)):
        w = area_loop(radius, steps)
        WW = rough.level2(w)
        assert np.abs(w).max() <= 2 * radius and np.abs(w[-1]).max() <= 1e-12
        assert (WW - WW.T)[0, 1] / 2 == pytest.approx(loop_area(steps), rel=1e-12)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "p of 3": (lambda: rough.rough_norm(walk(5, 2), 3), "p must be below 3"),
    "no level": (lambda: rough.level2_variation(walk(5, 2), 1.5), "p must be at least 2"),
    "shapes": (lambda: rough.rough_distance(walk(5, 2), walk(6, 2), 2), "one shape"),
    "convention": (lambda: rough.as_path([1.0], path="sums"), "path must be one of cumsum, weights"),
    "end": (lambda: rough.level2(walk(5, 2), 2, 7), "start ≤ end < 5"),
    "hurst": (lambda: fractional_increments(4, 1.2), "hurst must be at most 1"),
    "turns": (lambda: area_loop(0.3, 8), "whole number of turns"),
    "factor": (lambda: coarsened(np.zeros((6, 1)), 4), "factor must divide"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Callable[[], Any], words: str) -> None:
    """One sentence that names the requirement."""
    with pytest.raises(ValueError, match=words):
        call()
