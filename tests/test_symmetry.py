"""Symmetries: the truth is trying every signed permutation, and the objective of the plain network."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from problems import BLOCKS, Case, layers, random_case, random_weights, ring
from scipy.spatial.distance import cdist
from torch import Tensor

from deeplimit import Curve, Layers, Problem, data, loss, norms, symmetry
from deeplimit.control import Hats, Legendre
from deeplimit.symmetry import Symmetry

CENTRES = {"squared": 0.0, "logistic": 0.5}  # of the labels, as in log(1 + e^−z) − (1 − y)(−z) = log(1 + e^z) − yz


def of(problem: Problem) -> list[Symmetry]:
    p = problem
    return symmetry.group(p.data.x, p.y, activation=p.activation, loss=p.loss, trainable=p.trainable)


def signed_permutations(size: int, signs: bool) -> Iterator[np.ndarray]:
    for order in permutations(range(size)):
        for sign in product((1.0, -1.0) if signs else (1.0,), repeat=size):
            yield np.diag(sign) @ np.eye(size)[list(order)]


def brute(case: Case, odd: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every pair (Q, P) under which the rows (x_s, y_s) are the same up to their order."""
    centre = CENTRES.get(case.loss)
    x, y = case.x.numpy(), case.y.numpy() - (centre or 0.0)
    found = []
    for Q in signed_permutations(case.d, odd):
        for P in signed_permutations(case.m, centre is not None):
            if "W" not in case.trainable and not np.array_equal(P, Q):
                continue
            near = cdist(np.hstack([x, y]), np.hstack([x @ Q.T, y @ P.T])) < 1e-9
            # equal rows are equally many on both sides
            if np.array_equal(near.sum(1), near.T.sum(1)) and near.any(1).all() and near.any(0).all():
                same = cdist(np.hstack([x, y]), np.hstack([x, y])) < 1e-9
                if np.array_equal(same.sum(1), near.sum(1)):
                    found.append((Q, P))
    return found


def pairs(group: list[Symmetry]) -> set[bytes]:
    """The group as a set: + 0.0 turns −0 into 0."""
    return {(g.Q.matrix.numpy() + 0.0).tobytes() + (g.P.matrix.numpy() + 0.0).tobytes() for g in group}


def symmetric_case(activation: str, name: str, seed: int, d: int, m: int, trainable: str = BLOCKS) -> Case:
    """Random points together with their images under a random signed permutation and its powers."""
    random = np.random.default_rng(seed)
    odd, signs = activation in ("tanh", "arctan", "identity", "gcu"), name in CENTRES
    tied = "W" not in trainable
    Q = list(signed_permutations(d, odd and (signs or not tied)))
    Q = Q[random.integers(len(Q))]
    P = list(signed_permutations(m, signs))
    P = Q if tied else (P[random.integers(len(P))] if seed % 2 else np.eye(m))
    centre = CENTRES.get(name, 0.0)
    x, y = random.integers(-1, 2, (3, d)) + 0.3 * random.integers(0, 2, (3, 1)), random.random((3, m))
    y = y / y.sum(1, keepdims=True) if name == "softmax" else y
    rows = [(x, y)]
    while len(rows) < 24:
        rows.append((rows[-1][0] @ Q.T, (rows[-1][1] - centre) @ P.T + centre))
        if np.allclose(rows[-1][0], x) and np.allclose(rows[-1][1], y):
            break
    X, Y = (torch.tensor(np.concatenate(block), dtype=torch.float64) for block in zip(*rows, strict=True))
    return Case(X, Y, activation, name, trainable=trainable)


CASES = [
    (activation, name, d, m, trainable)
    for activation, name in product(("tanh", "relu"), ("squared", "logistic", "softmax"))
    for d, m, trainable in ((1, 2, BLOCKS), (2, 1 + (name == "softmax"), BLOCKS), (3, 2, "KbW"), (2, 2, "Kbc"))
]


@pytest.mark.parametrize(("activation", "name", "d", "m", "trainable"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_the_group_is_what_trying_all_finds(
    activation: str, name: str, d: int, m: int, trainable: str, seed: int
) -> None:
    """Every pair of signed permutations that keeps the data, none else, each once, the identity first."""
    case = symmetric_case(activation, name, seed, d, m, trainable)
    group = of(case.problem())
    expected = {(Q + 0.0).tobytes() + (P + 0.0).tobytes() for Q, P in brute(case, odd=activation in ("tanh", "arctan"))}
    assert pairs(group) == expected and len(group) == len(expected)
    assert torch.equal(group[0].Q.matrix, torch.eye(d).double()) and torch.equal(
        group[0].P.matrix, torch.eye(m).double()
    )


@pytest.mark.parametrize(
    ("problem", "order"),
    [
        (Problem(data.ring(), loss="softmax"), 8),
        (Problem(data.ring(onehot=False), loss="squared"), 8),
        (Problem(data.ring(), loss="softmax", activation="relu"), 2),
        (Problem(data.ring(4), loss="softmax"), 4),
        (Problem(data.ring(6), loss="softmax"), 2),
        (Problem(data.ring(16), loss="softmax"), 8),
        (Problem(data.moons(), loss="logistic"), 1),
        (Problem(data.iris(), loss="softmax"), 1),
        (Problem(data.spirals(noise=0.0), loss="logistic"), 2),
        (Problem(data.spirals(noise=0.0, onehot=True), loss="softmax"), 2),
    ],
    ids=str,
)
def test_the_data_sets_have_the_symmetries_of_their_shape(problem: Problem, order: int) -> None:
    """The ring of eight has the square's eight; other σ leave one reflection; a half turn exchanges spirals."""
    assert len(of(problem)) == order


@pytest.mark.parametrize(("activation", "name"), list(product(("tanh", "silu"), CENTRES | {"softmax": 0})))
@pytest.mark.parametrize("trainable", ["KbWc", "KbW", "Kbc"])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_is_the_same_at_all_images(activation: str, name: str, trainable: str, seed: int) -> None:
    """E_n(gΘ) = E_n(Θ) at random weights, by the plain network; a block that is not trained stays what it is."""
    case = symmetric_case(activation, name, seed + 10, 2, 2, trainable)
    theta = random_weights(case, 5, seed)
    problem, value = case.problem(), float(case.objective(theta))
    for g in of(problem):
        image = g.act(layers(theta))
        problem.metric.check(image)
        blocks = {k: getattr(image, k) for k in BLOCKS}
        assert float(case.objective(blocks)) == pytest.approx(value, rel=1e-12)


def test_a_map_that_does_not_keep_the_data_changes_the_objective() -> None:
    """The eight images of a random control under the square's symmetries differ on data without them."""
    group = of(ring().problem())
    case = random_case("tanh", "softmax", 3, d=2, m=2)
    theta = random_weights(case, 4, 0)
    values = [float(case.objective({k: getattr(g.act(layers(theta)), k) for k in BLOCKS})) for g in group]
    assert len({round(v, 6) for v in values}) == 8
    assert len(of(case.problem())) == 1


def test_signs_need_an_odd_activation() -> None:
    """With silu a change of sign keeps the ring but not the objective."""
    case = ring("silu")
    theta = random_weights(case, 4, 0)
    values = [
        float(case.objective({k: getattr(g.act(layers(theta)), k) for k in BLOCKS})) for g in of(ring().problem())
    ]
    assert sum(abs(v - values[0]) < 1e-12 for v in values) == len(of(case.problem())) == 2


def matrices(group: list[Symmetry]) -> list[tuple[Tensor, Tensor]]:
    return [(g.Q.matrix, g.P.matrix) for g in group]


def test_the_symmetries_are_a_group() -> None:
    """Products and inverses belong to it, and the actions compose as the matrices do."""
    group = of(Problem(data.circles(8, noise=0.0, onehot=True), loss="softmax"))
    net = network(3, 2, 2)
    known = pairs(group)
    for g, h in product(group, group):
        product_ = [f for f in group if torch.equal(f.Q.matrix, g.Q.matrix @ h.Q.matrix)]
        assert len(product_) == 1
        assert norms.distance(g.act(h.act(net)), product_[0].act(net)) < 1e-14
        inverse = [f for f in group if torch.equal(f.Q.matrix, g.Q.matrix.T)]
        assert norms.distance(inverse[0].act(g.act(net)), net) < 1e-14
    assert len(known) == 8


def network(depth: int, d: int, m: int, seed: int = 0) -> Layers:
    random = np.random.default_rng(seed)
    return Layers(*(torch.tensor(random.standard_normal(s)) for s in ((depth, d, d), (depth, d), (m, d), (m,))))


def test_the_action_is_conjugation_by_matrices() -> None:
    """Q K Qᵀ, Q b, P W Qᵀ, P c by matrix products, on networks and on curves of either basis."""
    signs = symmetric_case("tanh", "squared", 1, 3, 2)
    group = of(signs.problem())
    net = network(4, 3, 2)
    for g in group:
        Q, P = g.Q.matrix, g.P.matrix
        image = g.act(net)
        for got, wanted in ((image.K, Q @ net.K @ Q.T), (image.b, net.b @ Q.T), (image.W, P @ net.W @ Q.T)):
            assert torch.equal(got, wanted)
        assert torch.equal(image.c, P @ net.c)
        for basis in (Hats(4), Legendre(4)):
            curve = Curve(basis, *(getattr(network(5, 3, 2), k) for k in BLOCKS))
            a, b = g.act(curve).sample(7), g.act(curve.sample(7))
            assert isinstance(g.act(curve), Curve) and norms.distance(a, b) < 1e-13


@pytest.mark.parametrize(("d", "m"), [(2, 2), (4, 2), (3, 1)])
def test_a_symmetry_acts_on_its_own_width_alone(d: int, m: int) -> None:
    """A larger control would lose its last coordinates; what is no control has no image."""
    group = of(symmetric_case("tanh", "squared", 1, 3, 2).problem())
    with pytest.raises(ValueError, match=rf"W of shape \(2, 3\) acts on no other shape, got \({m}, {d}\)"):
        group[0].act(network(4, d, m))
    with pytest.raises(TypeError, match="control must be Layers or Curve, got ndarray"):
        group[0].act(np.zeros(3))  # type: ignore[type-var]


# Width


def test_a_planted_symmetry_in_64_coordinates_is_found() -> None:
    """Of 2⁶⁴ 64! signed permutations the search tries those that the columns allow."""
    random = np.random.default_rng(0)
    order, sign = random.permutation(64), random.choice([-1.0, 1.0], 64)
    Q = np.diag(sign) @ np.eye(64)[order]
    x = [random.standard_normal((5, 64))]
    while len(x) < 3:
        x.append(x[-1] @ Q.T)
    # the points of one orbit of Q, closed by their reflection: {x, Qx, Q²x} alone is kept by the identity only
    for points, least in ((np.concatenate(x), 1), (np.concatenate([*x, *(-v for v in x)]), 2)):
        problem = Problem(data.Data(points, np.zeros((len(points), 1))), loss="logistic")
        assert len(of(problem)) == least
    involution = np.eye(64)[[*range(32, 64), *range(32)]]
    points = np.concatenate([x[0], x[0] @ involution.T])
    group = of(Problem(data.Data(points, np.ones((10, 1)) / 3), loss="logistic"))
    assert pairs(group) == {(Q + 0.0).tobytes() + np.eye(1).tobytes() for Q in (np.eye(64), involution)}


def test_digits_have_three_coordinates_that_are_not_seen() -> None:
    """The pixels 0, 32 and 39 are constant, standardised to 0: 2³ 3! maps move them alone."""
    group = of(Problem(data.digits(), loss="softmax"))
    assert len(group) == 48
    seen = [j for j in range(64) if j not in (0, 32, 39)]
    for g in group:
        assert torch.equal(g.Q.matrix[seen], torch.eye(64).double()[seen])


def test_too_many_symmetries_leave_the_identity(caplog: pytest.LogCaptureFixture) -> None:
    """Six coordinates that no sample has: 2⁶ 6! = 46 080 maps; five have 3840, which are listed."""
    random = np.random.default_rng(0)
    for unseen, order in ((5, 3840), (6, 1)):
        x = np.hstack([random.standard_normal((4, 2)), np.zeros((4, unseen))])
        with caplog.at_level(logging.WARNING):
            assert len(of(Problem(data.Data(x, random.random((4, 1))), loss="squared"))) == order
    assert [r.getMessage() for r in caplog.records] == [
        "the data have more than 4096 symmetries: images of a minimum count as different minima"
    ]


def test_a_loss_of_ones_own_moves_no_outputs() -> None:
    """Nothing is known of its invariances: equal columns of y are exchanged for the package's losses only."""
    y = np.repeat(np.random.default_rng(0).random((4, 1)), 2, axis=1)
    x = np.random.default_rng(1).standard_normal((4, 2))
    own = loss.Loss(
        "own", *(getattr(loss.get("squared"), k) for k in ("value", "gradient", "product", "predict", "labels"))
    )
    for chosen, order in (("squared", 2), ("logistic", 2), (own, 1)):
        assert len(of(Problem(data.Data(x, y), loss=chosen))) == order


@pytest.mark.parametrize(("noise", "order"), [(1e-15, 8), (1e-9, 1)])
def test_rounding_keeps_a_symmetry_and_more_breaks_it(noise: float, order: int) -> None:
    """Entries are equal up to 1e-12 of the largest."""
    clean = data.ring()
    x = clean.x + noise * torch.tensor(np.random.default_rng(0).uniform(0.5, 1, clean.x.shape))
    assert len(of(Problem(data.Data(x, clean.y), loss="softmax"))) == order


# Orbits


def invariant(control: Layers, group: list[Symmetry]) -> Layers:
    """The mean over a subgroup is fixed by it."""
    blocks: dict[str, Any] = {k: torch.stack([getattr(g.act(control), k) for g in group]).mean(0) for k in BLOCKS}
    return Layers(**blocks)


def test_orbit_times_stabiliser_is_the_order_of_the_group() -> None:
    """Averages over each subgroup of the ring's eight: 8/|subgroup| images; the subgroup itself fixes them."""
    group = of(ring().problem())
    net = network(6, 2, 2)
    key = {tuple((g.Q.matrix + 0.0).ravel().tolist()): g for g in group}

    def generated(g: Symmetry) -> list[Symmetry]:
        powers, Q = [], g.Q.matrix
        while not powers or not torch.equal(Q, g.Q.matrix):
            powers.append(key[tuple((Q + 0.0).ravel().tolist())])
            Q = Q @ g.Q.matrix
        return powers

    sizes = set()
    for subgroup in [*map(generated, group), group]:
        control = invariant(net, subgroup)
        fixing = symmetry.stabiliser(control, group)
        assert pairs(subgroup) <= pairs(fixing)
        assert len(symmetry.images(control, group)) * len(fixing) == len(group)
        assert symmetry.orbit(control, group) == len(symmetry.images(control, group))
        sizes.add((len(subgroup), symmetry.orbit(control, group)))
    # b vanishes under the half turn, and with outputs that stay W and c do as well
    assert {order for order, _ in sizes} == {1, 2, 4, 8}
    assert (1, 8) in sizes and (8, 1) in sizes
    assert symmetry.orbit(net, []) == 1


def test_the_distance_is_the_least_over_the_images() -> None:
    """Zero between images, the same whichever side is moved, and the plain distance without symmetries."""
    group = of(ring().problem())
    a, b = network(4, 2, 2), network(4, 2, 2, seed=1)
    expected = min(
        math.sqrt(
            float((a.K - Q @ b.K @ Q.T).square().sum() + (a.b - b.b @ Q.T).square().sum()) / 4
            + float((a.W - P @ b.W @ Q.T).square().sum() + (a.c - P @ b.c).square().sum())
        )
        for Q, P in matrices(group)
    )
    assert symmetry.distance(a, b, group) == pytest.approx(expected, rel=1e-12)
    assert symmetry.distance(b, a, group) == pytest.approx(expected, rel=1e-12)
    assert symmetry.distance(a, group[5].act(a), group) < 1e-14 < norms.distance(a, group[5].act(a))
    assert symmetry.distance(a, b, []) == norms.distance(a, b)


def test_symmetries_are_isometries() -> None:
    """TL² and the head do not see a signed permutation, so moving one side of a pair of sets is enough."""
    group = of(ring().problem())
    a, b = network(4, 2, 2), network(6, 2, 2, seed=1)
    for g in group:
        assert norms.distance(g.act(a), g.act(b)) == pytest.approx(norms.distance(a, b), rel=1e-12)
        assert norms.distance(g.act(a), g.act(b), exact=True) == pytest.approx(norms.distance(a, b, True), rel=1e-12)
