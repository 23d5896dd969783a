"""p-variation: the maximum over all partitions, for numbers, points and tables of distances."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from deeplimit import kernels, rough
from deeplimit.rough import variation

EXPONENTS = (1, 1.5, 2, 2.5, 3)
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])


@pytest.fixture(params=["torch", "numba"])
def choice(request: pytest.FixtureRequest) -> Iterator[str]:
    """Without and with compiled loops."""
    if request.param == "numba":
        pytest.importorskip("numba")
    before = kernels._choice
    kernels.use(request.param)
    yield request.param
    kernels._choice = before


def brute(path: np.ndarray, p: float) -> float:
    """Over all 2^(N − 2) partitions."""
    table, last = cdist(path, path), len(path) - 1
    inner = range(1, last)
    sums = (
        sum(table[a, b] ** p for a, b in itertools.pairwise((0, *chosen, last)))
        for size in range(last)
        for chosen in itertools.combinations(inner, size)
    )
    return float(max(sums)) ** (1 / p)


def programme(table: np.ndarray, p: float) -> float:
    """The dynamic programme over all pairs."""
    c = np.zeros(len(table))
    for k in range(1, len(table)):
        c[k] = (c[:k] + table[:k, k] ** p).max()
    return float(c[-1]) ** (1 / p)


def attained(path: np.ndarray, partition: np.ndarray, p: float) -> float:
    steps = np.linalg.norm(np.diff(path[partition], axis=0), axis=1)
    return float((steps**p).sum() ** (1 / p))


def kinds(random: np.random.Generator, n: int, d: int) -> list[np.ndarray]:
    """Walks, noise, steps with many ties, a drift."""
    return [
        random.standard_normal((n, d)).cumsum(0),
        random.standard_normal((n, d)),
        random.integers(-1, 2, (n, d)).cumsum(0).astype(float),
        (random.standard_normal((n, d)) + 0.3).cumsum(0),
        random.integers(0, 3, (n, d)).astype(float),
    ]


def test_it_is_the_maximum_over_all_partitions() -> None:
    """500 random paths of up to 9 points in one to three dimensions, and their partitions."""
    random, seen = np.random.default_rng(0), 0
    for n, d in itertools.product((2, 3, 5, 7, 9), (1, 2, 3)):
        for path, p in itertools.product(kinds(random, n, d), (*EXPONENTS, 1.1, 4)):
            value, partition = rough.p_variation(path, p)
            assert value == pytest.approx(brute(path, p), rel=1e-13, abs=1e-300)
            assert value == pytest.approx(attained(path, partition, p), rel=1e-13, abs=1e-300)
            assert (partition[0], partition[-1]) == (0, n - 1) and (np.diff(partition) > 0).all()
            seen += 1
    assert seen >= 500


def test_twelve_points() -> None:
    """The largest case of the brute force."""
    for path in kinds(np.random.default_rng(1), 12, 1) + kinds(np.random.default_rng(2), 12, 2):
        assert rough.p_variation(path, 2.5)[0] == pytest.approx(brute(path, 2.5), rel=1e-13)


def test_numbers_on_stacks(choice: str) -> None:
    """The stacks find what the dynamic programme over all pairs finds, on 400 paths of 150 numbers."""
    random = np.random.default_rng(3)
    for _, p in itertools.product(range(16), (*EXPONENTS, 1.01, 7)):
        for path in kinds(random, 150, 1):
            value, partition = rough.p_variation(path[:, 0], p)
            assert value == pytest.approx(programme(cdist(path, path), p), rel=1e-12)
            assert value == pytest.approx(attained(path, partition, p), rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(700, 2), (600, 40)])
def test_blocks_of_points(n: int, d: int) -> None:
    """Blocks that are passed over hold no better candidate; distances by products are the distances."""
    for path in kinds(np.random.default_rng(4), n, d):
        table = cdist(path, path)
        for p in (1, 1.5, 2.5):
            expected = pytest.approx(programme(table, p), rel=1e-12)
            assert rough.p_variation(path, p)[0] == expected
            assert rough.p_variation(table, p, metric="distances")[0] == expected
            assert rough.p_variation(path, p, metric="euclidean")[0] == expected


@pytest.mark.parametrize("tight", [1e-5, 1e-7, 0.0])
def test_points_in_tight_clusters(tight: float) -> None:
    """Small distances beside large ones, and clusters in clusters, to rounding of the small ones: from differences."""
    random = np.random.default_rng(10)
    for inner in (1.0, 1e-6):
        middles = random.standard_normal((4, 40))[random.integers(0, 4, 300)]
        inside = random.standard_normal((3, 40))[random.integers(0, 3, 300)] + inner * random.standard_normal((300, 40))
        a = middles + tight * inside
        b = a[::-1] + tight * 1e-3
        found = variation._products(a[:150], b[:130])
        assert found == pytest.approx(cdist(a[:150], b[:130]), rel=1e-7, abs=1e-14)


def test_pairs_of_clusters_are_formed_again_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten clusters of ten among as many: the first products, then one small table for each pair, not one for each."""
    sizes: list[int] = []
    right = variation._products

    def counted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        sizes.append(len(a) * len(b))
        return right(a, b)

    monkeypatch.setattr(variation, "_products", counted)
    random = np.random.default_rng(11)
    points = np.repeat(random.standard_normal((10, 64)), 10, axis=0) + 1e-7 * random.standard_normal((100, 64))
    counted(points, points)
    assert sizes[0] == 100**2 and len(sizes) <= 11 and sum(sizes[1:]) <= 100 * 10


class Counting(list[int]):
    """A list that counts how often it is read."""

    reads = 0

    def __getitem__(self, place: Any) -> Any:
        self.reads += 1
        return super().__getitem__(place)


@pytest.mark.parametrize("p", EXPONENTS)
def test_numbers_cost_steps_in_proportion_to_their_count(p: float) -> None:
    """Every point is put on a stack and taken off it once: so many reads of the stacks for each, however many."""
    for path in kinds(np.random.default_rng(12), 4_000, 1):
        x = path[variation._turns(path[:, 0]), 0]
        n = len(x)
        stack = Counting([0] * (2 * n))
        variation._sweep((x / np.ptp(x)).tolist(), p, [0.0] * n, [0] * n, stack, [0.0] * (2 * n))
        assert stack.reads <= 5 * n


def test_blocks_without_a_chance_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drift of 20 blocks: of its 210 pairs of blocks a fifth are not looked at for p near 1."""
    looked = []
    right = variation._products

    def counted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        looked.append(len(a) * len(b))
        return right(a, b)

    monkeypatch.setattr(variation, "_products", counted)
    points = (np.random.default_rng(13).standard_normal((20 * variation.BLOCK, 40)) + 1).cumsum(0)
    rough.p_variation(points, 1.02)
    assert len(looked) <= 170


def test_the_unit_square() -> None:
    """Four sides of length 1 for p ≤ 2, two diagonals above: value^p is 4 and 2^{p/2 + 1}."""
    for p in (1, 1.5, 2, 2.5, 3):
        assert rough.p_variation(SQUARE, p)[0] ** p == pytest.approx(4 if p <= 2 else 2 ** (p / 2 + 1), rel=1e-14)
    assert rough.p_variation(SQUARE, 1, metric="cityblock")[0] == 4


def test_total_variation_of_whole_numbers_is_exact(choice: str) -> None:
    """p = 1 is Σ|dw|, 400 000 steps and their many ties included, and every p agrees with a reversed path."""
    steps = np.random.default_rng(5).integers(-1, 2, 400_000)
    path = steps.cumsum()
    assert rough.p_variation(path, 1)[0] == np.abs(np.diff(path)).sum()
    assert rough.p_variation(path, 2)[0] == pytest.approx(rough.p_variation(path[::-1], 2)[0], rel=1e-12)


@pytest.mark.parametrize("p", EXPONENTS)
def test_a_long_brownian_path(p: float, choice: str) -> None:
    """10⁵ points: the partition gives the value, no less than a random one; the norms decrease in p."""
    path = np.random.default_rng(6).standard_normal((100_000, 1)).cumsum(0)
    value, partition = rough.p_variation(path[:, 0], p)
    assert value == pytest.approx(attained(path, partition, p), rel=1e-12)
    assert value >= attained(path, np.arange(0, len(path), 7), p)
    assert value >= rough.p_variation(path[:, 0], p + 0.25)[0]


@pytest.mark.slow
def test_many_dimensions() -> None:
    """5 000 points of 4 096 numbers: the partition gives the value, and the two ends alone no more."""
    path = np.random.default_rng(7).standard_normal((5_000, 4_096)).cumsum(0)
    value, partition = rough.p_variation(path, 2)
    assert value == pytest.approx(attained(path, partition, 2), rel=1e-12)
    assert value >= attained(path, np.array([0, 4_999]), 2)


def test_extreme_sizes() -> None:
    """Powers neither overflow nor underflow, and a constant path has none."""
    zigzag = np.array([0, 1.0, -1, 1])
    for size in (1e-200, 1e200):
        expected = pytest.approx(size * rough.p_variation(zigzag, 3)[0], rel=1e-14, abs=0)
        assert rough.p_variation(size * zigzag, 3)[0] == expected
        assert rough.p_variation(size * zigzag[:, None] * [1, 0], 3)[0] == expected
        assert rough.p_variation(size * zigzag[:, None] * [1, 0], 3, metric="cityblock")[0] == expected
        assert rough.p_variation(size * zigzag[:, None] * [1, 0], 1)[0] == pytest.approx(5 * size, rel=1e-14, abs=0)
    value, partition = rough.p_variation(np.full(5, 3.0), 2)
    assert (value, partition.tolist()) == (0, [0, 4])
    assert rough.p_variation(np.zeros((5, 2)), 2)[0] == 0


@pytest.mark.parametrize("p", [100.0, 2_000.0, 1e5])
def test_a_huge_exponent_gives_the_largest_distance(p: float) -> None:
    """2^{1/p} times it, as two steps of length 1.3 are in the path 0, 1.3, 0 and one of 0.4: 0.4^p is nothing."""
    path = np.array([0, 0.2, 1.3, 0.9, 0.9, 0.0])
    table = np.abs(path[:, None] - path)
    plane = path[:, None] * [0.6, 0.8]
    found = [
        rough.p_variation(path, p),
        rough.p_variation(plane, p),
        rough.p_variation(plane, p, metric="euclidean"),
        rough.p_variation(table, p, metric="distances"),
    ]
    for value, partition in found:
        assert value == pytest.approx(1.3 * 2 ** (1 / p), rel=1e-12)
        assert 2 in partition


@pytest.mark.parametrize("size", [1e-160, 1e-100, 1e100])
def test_the_rough_norm_is_homogeneous(size: float) -> None:
    """|||λw||| = λ |||w|||, also where the second level, of size λ², under- or overflows."""
    path = np.random.default_rng(8).standard_normal((30, 2)).cumsum(0)
    other = path + np.random.default_rng(9).standard_normal((30, 2))
    assert rough.rough_norm(size * path, 2.5) == pytest.approx(size * rough.rough_norm(path, 2.5), rel=1e-12, abs=0)
    whole = rough.rough_distance(path, other, 2.5, homogeneous=True)
    found = rough.rough_distance(size * path, size * other, 2.5, homogeneous=True)
    assert found == pytest.approx(size * whole, rel=1e-12, abs=0)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "p below 1": (lambda: rough.p_variation([0, 1, 0], 0.9), "p must be at least 1"),
    "p NaN": (lambda: rough.p_variation([0, 1, 0], float("nan")), "p must be finite"),
    "NaN": (lambda: rough.p_variation([0, float("nan"), 0], 2), "its point 1 .* is not"),
    "one point": (lambda: rough.p_variation([3.0], 2), "at least 2 points"),
    "a number": (lambda: rough.p_variation(3.0, 2), "at least 2 points"),
    "asymmetric": (
        lambda: rough.p_variation([[0, 1], [2, 0]], 2, metric="distances"),
        r"symmetric, but d\(0, 1\) = 1 and d\(1, 0\) = 2; if only one half .* is filled, give d \+ dᵀ",
    ),
    "not square": (lambda: rough.p_variation([[0, 1, 1], [1, 0, 1]], 2, metric="distances"), "square table"),
    "too far apart": (lambda: rough.p_variation([1e308, -1e308, 1e308], 2), "their distance overflows"),
    "too far apart, vectors": (lambda: rough.p_variation([[1e308, 0], [-1e308, 0]], 2), "their distance overflows"),
    "too long": (lambda: rough.p_variation([0, 1e308, 0, 1e308], 1), "p-variation of the path overflows"),
    "negative metric": (lambda: rough.p_variation(SQUARE, 2, metric=lambda a, b: -1.0), "nowhere negative, got -1"),
    "NaN metric": (lambda: rough.p_variation(SQUARE, 2, metric=lambda a, b: float("nan")), "finite distances.*got nan"),
    "infinite metric": (lambda: rough.p_variation(SQUARE, 2, metric=lambda a, b: float("inf")), "got inf"),
    "diagonal": (lambda: rough.p_variation([[1, 1], [1, 0]], 2, metric="distances"), "0 on the diagonal"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Callable[[], Any], words: str) -> None:
    """One sentence that names the requirement."""
    with pytest.raises(ValueError, match=words):
        call()
    with pytest.raises(TypeError, match="real numbers"):
        rough.p_variation(["a", "b"], 2)
