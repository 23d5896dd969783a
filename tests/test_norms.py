"""Distances between controls: the truth is closed forms, dense quadrature and trying every permutation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise, permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplimit import Curve, Layers, norms
from deeplimit.control import Hats, Legendre


def network(depth: int, seed: int = 0, d: int = 2, size: float = 1.0) -> Layers:
    random = np.random.default_rng(1000 * depth + seed)
    shapes = ((depth, d, d), (depth, d), (1, d), (1,))
    return Layers(*(torch.tensor(size * random.standard_normal(shape)) for shape in shapes))


def scalar(K: list[float], b: list[float] | None = None, W: float = 0.0, c: float = 0.0) -> Layers:
    """d = m = 1."""
    b = [0.0] * len(K) if b is None else b
    return Layers(*(torch.tensor(v, dtype=torch.float64) for v in ([[[k]] for k in K], [[v] for v in b], [[W]], [c])))


def line(slope: float, start: float = 0.0) -> Curve:
    """K(t) = start + slope t, b = 0."""
    K = torch.tensor([[[start]], [[slope]]], dtype=torch.float64)
    return Curve(Hats(1), K, torch.zeros(2, 1), torch.zeros(1, 1), torch.zeros(1))


def atoms(net: Layers) -> np.ndarray:
    """Rows (t_i, K_i, b_i)."""
    rows = [[i / net.depth, *net.K[i].ravel().tolist(), *net.b[i].tolist()] for i in range(net.depth)]
    return np.array(rows)


# Nodal norms


def test_nodal_norms_of_given_networks() -> None:
    """Differences 3, 0 in K and 4, 2 in b: h Σ = (25 + 4)/2, max 5, n|Δ|² = 2 (3² + 2²)."""
    a, b = scalar([3, 1], [4, 3], 1, 2), scalar([0, 1], [0, 1], 4, -2)
    assert norms.l2(a, b) == pytest.approx(math.sqrt(29 / 2), rel=1e-15)
    assert norms.sup(a, b) == pytest.approx(5, rel=1e-15)
    assert norms.h1(a, b) == pytest.approx(math.sqrt(26), rel=1e-15)
    assert norms.head(a, b) == pytest.approx(5, rel=1e-15)


def test_one_layer_has_no_increments() -> None:
    """The H¹ seminorm of depth 1 is empty."""
    assert norms.h1(network(1), network(1, seed=1)) == 0


@given(st.integers(1, 9), st.integers(0, 50))
@settings(derandomize=True, max_examples=20, deadline=None, database=None)
def test_nodal_norms_by_loops(depth: int, seed: int) -> None:
    """(h Σ|Θ_i − Θ'_i|²)^½, max_i |·| and (n Σ|Δ·|²)^½, Frobenius over K and b jointly, entry by entry."""
    a, b = network(depth, seed), network(depth, seed + 1000)
    D = atoms(a)[:, 1:] - atoms(b)[:, 1:]
    squares = [sum(v**2 for v in row) for row in D]
    assert norms.l2(a, b) == pytest.approx(math.sqrt(sum(squares) / depth), rel=1e-13)
    assert norms.sup(a, b) == pytest.approx(math.sqrt(max(squares)), rel=1e-13)
    jumps = sum(sum((D[i] - D[i - 1]) ** 2) for i in range(1, depth))
    assert norms.h1(a, b) == pytest.approx(math.sqrt(depth * jumps), rel=1e-13)
    for norm in (norms.l2, norms.sup, norms.h1, norms.head):
        assert norm(a, b) == pytest.approx(norm(b, a), rel=1e-14) and norm(a, a) == 0


def test_nodal_norms_want_one_depth() -> None:
    """Weights on different nodes have no nodal difference."""
    for norm in (norms.l2, norms.sup, norms.h1):
        with pytest.raises(ValueError, match="networks of one depth, got 3 and 4"):
            norm(network(3), network(4))


def test_the_head_does_not_depend_on_depth() -> None:
    """W and c of networks and curves of any depth."""
    a, b = network(3), network(8)
    expected = math.sqrt(float((a.W - b.W).square().sum() + (a.c - b.c).square().sum()))
    assert norms.head(a, b) == pytest.approx(expected, rel=1e-14)
    assert norms.head(a.interpolant(), b) == pytest.approx(expected, rel=1e-14)


# TL², the identity coupling


@pytest.mark.parametrize("depth", [1, 2, 3, 10, 64, 65, 100])
@pytest.mark.parametrize("slope", [0.0, 2.5])
def test_a_sampled_line_is_at_a_known_distance_from_its_curve(depth: int, slope: float) -> None:
    """∫|T_n − id|² = 1/(3n²), and ‖K∘T_n − K‖² = slope²/(3n²) for K = start + slope t."""
    curve = line(slope, 0.7)
    expected = math.sqrt((1 + slope**2) / 3) / depth
    assert norms.tl2(curve.sample(depth), curve) == pytest.approx(expected, rel=1e-12)
    assert norms.tl2(curve, curve.sample(depth)) == pytest.approx(expected, rel=1e-12)


def brute(a: Layers | Curve, b: Layers | Curve, cells: int = 200_000) -> float:
    """∫ |T_a − T_b|² + |f_a − f_b|² by the midpoint rule on many cells."""
    t = (np.arange(cells) + 0.5) / cells
    sides = []
    for control in (a, b):
        if isinstance(control, Layers):
            i = np.minimum((control.depth * (2 * np.arange(cells) + 1)) // (2 * cells), control.depth - 1)
            sides.append(np.column_stack([i / control.depth, atoms(control)[i, 1:]]))
        else:
            K, bias = control.at(t)
            sides.append(np.column_stack([t, K.flatten(1).numpy(), bias.numpy()]))
    return math.sqrt(((sides[0] - sides[1]) ** 2).sum(1).mean())


def curve(basis: Legendre | Hats, seed: int = 0) -> Curve:
    random = np.random.default_rng(seed)
    fall = 1 / np.arange(1, basis.size + 2)
    K, b = random.standard_normal((basis.size + 1, 2, 2)), random.standard_normal((basis.size + 1, 2))
    return Curve(
        basis,
        torch.tensor(K * fall[:, None, None]),
        torch.tensor(b * fall[:, None]),
        torch.zeros(1, 2),
        torch.zeros(1),
    )


CONTROLS: dict[str, Layers | Curve] = {
    "net 1": network(1),
    "net 4": network(4),
    "net 6": network(6),
    "net 100": network(100),
    "polynomial 6": curve(Legendre(6)),
    "polynomial 30": curve(Legendre(30)),
    "cells 5": curve(Hats(5)),
    "cells 48": curve(Hats(48)),
    "cells 128": curve(Hats(128)),
}


@pytest.mark.parametrize(("a", "b"), list(product(CONTROLS, ["net 4", "net 6", "polynomial 6"])))
def test_the_identity_coupling_is_an_integral(a: str, b: str) -> None:
    """1/(3n²) + ‖K∘T_n − K‖² and its like for any two controls, by the midpoint rule on 200 000 cells."""
    A, B = CONTROLS[a], CONTROLS[b]
    assert norms.tl2(A, B) == pytest.approx(brute(A, B), rel=2e-5, abs=1e-12)
    assert norms.tl2(A, B) == pytest.approx(norms.tl2(B, A), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("cells", [5, 48, 100])
def test_the_identity_coupling_is_exact_for_piecewise_linear_curves(cells: int) -> None:
    """‖K − 0‖² of hats is Σ (a² + ab + b²)/3 over the cells: corners must fall on the cells of the quadrature."""
    K = torch.zeros(cells + 1, 1, 1, dtype=torch.float64)
    K[1:, 0, 0] = torch.tensor([(-1.0) ** j for j in range(cells)]) * math.sqrt(cells)  # a zigzag
    zigzag = Curve(Hats(cells), K, torch.zeros(cells + 1, 1), torch.zeros(1, 1), torch.zeros(1))
    nodes = zigzag.at(np.arange(cells + 1) / cells)[0].ravel().numpy()
    exact = sum(a**2 + a * b + b**2 for a, b in pairwise(nodes)) / 3 / cells
    assert norms.tl2(zigzag, line(0.0)) == pytest.approx(math.sqrt(exact), rel=1e-12)


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_a_control_is_at_distance_0_from_itself(control: Layers | Curve) -> None:
    """d(f, f) = 0, by either coupling."""
    assert norms.tl2(control, control) == 0
    assert norms.tl2(control, control, exact=True) == 0


def test_nets_of_one_depth_differ_by_their_nodal_norm() -> None:
    """With the same atoms in time the identity coupling is the nodal L² norm."""
    for depth in (1, 7, 100):
        a, b = network(depth), network(depth, seed=1)
        assert norms.tl2(a, b) == pytest.approx(norms.l2(a, b), rel=1e-12)


# TL², the optimal coupling


def by_permutations(a: Layers, b: Layers) -> float:
    """The least mean cost over all ways of pairing equally many atoms."""
    N = math.lcm(a.depth, b.depth)
    A, B = np.repeat(atoms(a), N // a.depth, axis=0), np.repeat(atoms(b), N // b.depth, axis=0)
    cost = ((A[:, None] - B[None]) ** 2).sum(-1)
    return math.sqrt(min(sum(cost[i, j] for i, j in enumerate(p)) for p in permutations(range(N))) / N)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (3, 3), (5, 5), (6, 6), (1, 4), (2, 3), (2, 6), (3, 6), (6, 4)])
def test_the_exact_distance_is_the_best_pairing(n: int, m: int) -> None:
    """Couplings of equal atoms are mixtures of permutations (Birkhoff), so one of these is optimal."""
    if math.lcm(n, m) > 6:
        m = 3
    for seed, size in product(range(3), (0.1, 1.0)):
        a, b = network(n, seed, d=1, size=size), network(m, seed + 10, d=1, size=size)
        assert norms.tl2(a, b, exact=True) == pytest.approx(by_permutations(a, b), rel=1e-12)


def test_two_layers_exchanged_are_half_a_layer_of_time_apart() -> None:
    """Swapping both layers costs 1/2 in time for each, however far apart the weights: exact ½, bound the weights."""
    a, b = scalar([5, -5]), scalar([-5, 5])
    assert norms.tl2(a, b, exact=True) == pytest.approx(0.5, rel=1e-14)
    assert norms.tl2(a, b) == pytest.approx(10, rel=1e-14)


@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 5), (4, 12), (16, 24)])
def test_the_exact_distance_is_a_metric_below_the_bound(n: int, m: int) -> None:
    """Symmetric, not above the identity coupling, and not below |∫f − ∫g| (Jensen)."""
    for seed in range(5):
        a, b = network(n, seed), network(m, seed + 100)
        exact = norms.tl2(a, b, exact=True)
        assert exact == pytest.approx(norms.tl2(b, a, exact=True), rel=1e-12)
        assert exact <= norms.tl2(a, b) * (1 + 1e-12)
        assert exact >= np.linalg.norm(atoms(a).mean(0) - atoms(b).mean(0)) * (1 - 1e-12)
        assert exact > 0


@given(st.tuples(*[st.sampled_from([1, 2, 3, 4, 6])] * 3), st.integers(0, 100), st.sampled_from([0.1, 1.0]))
@settings(derandomize=True, max_examples=60, deadline=None, database=None)
def test_the_exact_distance_obeys_the_triangle_inequality(depths: tuple[int, int, int], seed: int, size: float) -> None:
    """d(a, c) ≤ d(a, b) + d(b, c) for networks of any depths."""
    a, b, c = (network(n, seed + 200 * k, size=size) for k, n in enumerate(depths))
    ab, bc, ac = (norms.tl2(x, y, exact=True) for x, y in ((a, b), (b, c), (a, c)))
    assert ac <= (ab + bc) * (1 + 1e-12)


@pytest.mark.parametrize(("depth", "parts"), [(1, 1024), (6, 171), (100, 11)])
def test_the_exact_distance_to_a_constant_curve(depth: int, parts: int) -> None:
    """The curve is taken at midpoints, `parts` to a layer, at least 1024 in all; time is then coupled in order.

    The mean of (t − i/n)² over the midpoints of r parts of a cell is (1 − 1/(4r²))/(3n²).
    """
    a, b = scalar([2.0] * depth), line(0.0, 2.0)
    expected = math.sqrt((1 - 1 / (4 * parts**2)) / 3) / depth
    assert norms.tl2(a, b, exact=True) == pytest.approx(expected, rel=1e-12)
    assert norms.tl2(a, b, exact=True) <= norms.tl2(a, b) == pytest.approx(1 / math.sqrt(3) / depth, rel=1e-12)


def test_a_curve_moved_by_a_constant_is_at_that_distance() -> None:
    """A translation is the optimal coupling of any measure with its translate."""
    for exact in (False, True):
        assert norms.tl2(line(1.0), line(1.0, 0.1), exact=exact) == pytest.approx(0.1, rel=1e-12)


def test_too_many_atoms_are_refused() -> None:
    """Coprime depths multiply: the message says how many atoms there would be."""
    with pytest.raises(ValueError, match=r"at most 4096 atoms, depths \[67, 64\] need 4288"):
        norms.tl2(network(67), network(64), exact=True)
    assert norms.tl2(network(67), network(64)) > 0


# TL², the bound on the atoms of the exact distance


def by_all_pairings(a: Layers | Curve, b: Layers | Curve, count: int) -> float:
    """The least mean cost over all permutations of `count` atoms at midpoints, networks by integer division."""
    clouds = []
    for control in (a, b):
        if isinstance(control, Layers):
            clouds.append(atoms(control)[[k * control.depth // count for k in range(count)]])
        else:
            t = np.array([(2 * k + 1) / (2 * count) for k in range(count)])
            K, bias = control.at(t)
            clouds.append(np.column_stack([t, K.flatten(1).numpy(), bias.numpy()]))
    cost = ((clouds[0][:, None] - clouds[1][None]) ** 2).sum(-1)
    return math.sqrt(min(sum(cost[i, j] for i, j in enumerate(p)) for p in permutations(range(count))) / count)


@pytest.mark.parametrize("depth", [None, 1, 2, 3, 6])
def test_the_exact_distance_to_a_curve_is_the_best_pairing(depth: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the curve taken at the midpoints of six cells, by trying all 720 pairings; None is another curve."""
    monkeypatch.setattr(norms, "CURVE_ATOMS", 6)
    for seed in range(3):
        a = curve(Hats(3), seed + 10) if depth is None else network(depth, seed, size=0.5)
        b = curve(Legendre(4), seed)
        assert norms.tl2(a, b, exact=True) == pytest.approx(by_all_pairings(a, b, 6), rel=1e-12)


@pytest.mark.parametrize(("a", "b"), list(product(CONTROLS, repeat=2)))
def test_the_exact_distance_is_below_the_bound_of_the_same_atoms(
    a: str, b: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity is one of the couplings; between networks the atoms have the whole integral."""
    monkeypatch.setattr(norms, "CURVE_ATOMS", 64)
    A, B = CONTROLS[a], CONTROLS[b]
    bound = norms.tl2_bound(A, B)
    assert norms.tl2(A, B, exact=True) <= bound * (1 + 1e-13)
    assert bound == pytest.approx(norms.tl2_bound(B, A), rel=1e-13)
    if isinstance(A, Layers) and isinstance(B, Layers):
        assert bound == pytest.approx(norms.tl2(A, B), rel=1e-12)


def test_the_bound_of_the_atoms_is_that_of_the_midpoints() -> None:
    """K = t against depth 1: the mean of 2 t² over the midpoints of 1024 cells is 2 (1/3 − 1/(12 · 1024²))."""
    expected = math.sqrt(2 * (1 / 3 - 1 / (12 * 1024**2)))
    assert norms.tl2_bound(scalar([0.0]), line(1.0)) == pytest.approx(expected, rel=1e-13)
    # below the integral, which is 2/3
    assert norms.tl2_bound(scalar([0.0]), line(1.0)) < norms.tl2(scalar([0.0]), line(1.0))


def test_the_exact_distance_at_depth_1024_takes_a_few_seconds() -> None:
    """A dense assignment of 1024 atoms of dimension 7 is far below five seconds; more atoms only for the bound."""
    started = time.perf_counter()
    assert norms.tl2(network(1024), network(1024, seed=1), exact=True) <= norms.tl2_bound(
        network(1024), network(1024, 1)
    )
    assert time.perf_counter() - started < 5
    assert norms.tl2_bound(network(67), network(64)) == pytest.approx(norms.tl2(network(67), network(64)), rel=1e-12)


# Sets


def test_the_distance_of_all_blocks_has_the_head_in_quadrature() -> None:
    """3 in K and 4 in W: 5, whether the coupling is the best or the identity."""
    a, b = scalar([3.0, 3.0], W=4.0), scalar([0.0, 0.0])
    assert norms.distance(a, b) == pytest.approx(5, rel=1e-15)
    assert norms.distance(a, b, exact=True) == pytest.approx(5, rel=1e-14)
    c, d = scalar([5, -5], W=1.2), scalar([-5, 5])
    assert norms.distance(c, d, exact=True) == pytest.approx(1.3, rel=1e-14)


def test_the_hausdorff_distance_is_one_sided() -> None:
    """From {0, 1} to {0, 1, 7} it is 0, back it is 6: points of the second set need not be reached."""
    at = {k: scalar([float(k)] * 3) for k in (0, 1, 7)}
    few, many = [at[0], at[1]], list(at.values())
    assert norms.hausdorff(few, many) == 0
    assert norms.hausdorff(many, few) == pytest.approx(6, rel=1e-14)
    assert norms.hausdorff([at[7]], few) == pytest.approx(6, rel=1e-14)
    assert norms.hausdorff(few, [at[7]]) == pytest.approx(7, rel=1e-14)
    assert norms.hausdorff(few, many, exact=True) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_the_hausdorff_distance_by_loops(seed: int) -> None:
    """sup over a of inf over b, of networks of different depths and curves; and the triangle inequality."""
    a, b = [network(4, seed + k) for k in range(3)], [network(6, seed + k) for k in range(4)]
    c = [curve(Legendre(4), seed + k) for k in range(2)]

    def loops(first: list, second: list) -> float:
        worst = 0.0
        for f in first:
            best = math.inf
            for g in second:
                best = min(best, math.sqrt(norms.tl2(f, g) ** 2 + norms.head(f, g) ** 2))
            worst = max(worst, best)
        return worst

    for first, second in ((a, b), (b, a), (a, c), (c, b)):
        assert norms.hausdorff(first, second) == pytest.approx(loops(first, second), rel=1e-14)
    assert norms.hausdorff(a, c) <= norms.hausdorff(a, b) + norms.hausdorff(b, c)


@pytest.mark.parametrize("distance", [norms.l2, norms.sup, norms.h1, norms.head, norms.tl2, norms.tl2_bound])
def test_controls_of_two_widths_are_not_compared(distance: Callable[..., float]) -> None:
    """Width 1 would broadcast over every other; what is no control is not compared either."""
    shape = r"got \(2, 2\) and \(1, 1\)" if distance is not norms.head else r"got \(1, 2\) and \(1, 1\)"
    with pytest.raises(ValueError, match=f"must have one shape in both controls, {shape}"):
        distance(network(4, d=2), network(4, d=1))
    with pytest.raises(TypeError, match="a control must be Layers or Curve, got ndarray"):
        distance(network(4), np.zeros(3))


def test_sets_of_two_widths_are_not_compared() -> None:
    """By the optimal assignment or without, networks and curves."""
    for other, exact in product((network(3, d=1), line(1.0)), (False, True)):
        with pytest.raises(ValueError, match="K must have one shape in both controls"):
            norms.distance(network(4), other, exact)
        with pytest.raises(ValueError, match="K must have one shape in both controls"):
            norms.hausdorff([network(4)], [network(4), other], exact)


def test_an_empty_set_has_no_hausdorff_distance() -> None:
    """sup and inf over nothing are not numbers of use to anyone."""
    for first, second, text in (([], [network(1)], "0 and 1"), ([network(1)], [], "1 and 0")):
        with pytest.raises(ValueError, match=f"needs two sets of controls, got {text} of them"):
            norms.hausdorff(first, second)
