"""The tables that figures are drawn from hold what they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deeplimit import Data, Problem, continuum, data, discrete, trace
from deeplimit.minimum import Minimum

Solved = tuple[Problem, dict[int, Minimum], Minimum]


@pytest.fixture(scope="module")
def solved() -> Solved:
    """Two small networks on moons and their limit."""
    problem = Problem(data.moons(points=12), alpha=0.1)
    nets = dict(zip([4, 8], discrete.branch(problem, [4, 8], seed=1), strict=True))
    return problem, nets, continuum.minimise(problem, start=nets[8].control)


def test_weights_are_those_of_the_nodes_and_of_the_limit(solved: Solved) -> None:
    """Entry K[i, j] counts from 1, as formulas do."""
    _, nets, limit = solved
    table = trace.weights(nets, limit, entries=6)
    assert sorted(table["entry"].unique()) == ["K[1, 1]", "K[1, 2]", "K[2, 1]", "K[2, 2]", "b[1]", "b[2]"]
    lines = table[(table["entry"] == "K[1, 2]") & (table["depth"] == 8)]
    assert lines["t"].tolist() == [i / 8 for i in range(8)]
    assert lines["weight"].tolist() == nets[8].control.K[:, 0, 1].tolist()
    curve = table[(table["entry"] == "b[2]") & (table["depth"] == trace.LIMIT)]
    assert curve["weight"].tolist() == limit.control.at(curve["t"].to_numpy())[1][:, 1].tolist()


def test_the_entries_shown_are_those_that_move_most(solved: Solved) -> None:
    """By the range of the limit over depth."""
    _, nets, limit = solved
    K, b = (theta.numpy() for theta in limit.control.at(np.linspace(0, 1, 401)))
    spread = {f"K[{i + 1}, {j + 1}]": np.ptp(K[:, i, j]) for i in range(2) for j in range(2)}
    spread |= {f"b[{i + 1}]": np.ptp(b[:, i]) for i in range(2)}
    widest = sorted(spread, key=lambda entry: spread[entry])[-2:]
    assert sorted(trace.weights(nets, limit, entries=2)["entry"].unique()) == sorted(widest)


def test_states_start_at_the_data_and_end_where_the_network_does(solved: Solved) -> None:
    """X_0 = x, and W X_n + c is the network's output."""
    problem, nets, limit = solved
    table = trace.states(problem, nets, limit)
    for depth in (4, 8, trace.LIMIT):
        start = table[(table["depth"] == depth) & (table["t"] == 0)]
        assert np.array_equal(start[["x1", "x2"]].to_numpy(), problem.data.x.numpy())
        assert start["label"].tolist() == problem.data.y[:, 0].long().tolist()
    end = torch.tensor(table[(table["depth"] == 8) & (table["t"] == 1)][["x1", "x2"]].to_numpy())
    net = nets[8].control
    output = discrete.network(problem, nets[8])(problem.data.x).detach()
    torch.testing.assert_close(end @ net.W.T + net.c, output, rtol=0, atol=1e-13)


def test_regions_are_probabilities_of_the_network_on_the_grid(solved: Solved) -> None:
    """Against the module of the trained network, and in the limit against a deep sampled one to first order."""
    problem, nets, limit = solved
    table = trace.regions(problem, nets, limit)
    part = table[table["depth"] == 8]
    grid = torch.tensor(part[["x1", "x2"]].to_numpy())
    probability = torch.sigmoid(discrete.network(problem, nets[8])(grid)).detach()[:, 0]
    np.testing.assert_allclose(part["score"], probability.numpy(), rtol=0, atol=1e-13)
    part = table[table["depth"] == trace.LIMIT]
    deep = discrete.network(problem, limit.control.sample(512))
    probability = torch.sigmoid(deep(grid)).detach()[:, 0]
    np.testing.assert_allclose(part["score"], probability.numpy(), rtol=0, atol=1e-2)


def test_regions_want_two_dimensional_data_in_two_classes() -> None:
    """Anything else has no such picture."""
    problem = Problem(Data([[1.0], [2.0]], [[0.5], [0.1]]), loss="squared", alpha=1.0)
    with pytest.raises(ValueError, match="two-dimensional"):
        trace.regions(problem, {}, discrete.minimise(problem, 2))
