"""Gaps of one row and observed orders, against tabulated numbers, direct formulas and sequences of known order."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp

from deeplimit import Data, Problem, compare, continuum, discrete
from deeplimit.minimum import Minimum, Status

Solved = tuple[Problem, dict[int, Minimum], Minimum]
DEPTHS = [16, 32, 64, 128, 256, 512]


@pytest.fixture(scope="module")
def reference() -> Solved:
    """The reference problem with the published constants, its networks and its limit."""
    samples = Data([[-1.0], [0.2], [1.0]], [[-0.5], [1.0], [0.3]])
    problem = Problem(samples, loss="squared", alpha={"K": 0.05, "b": 0.05, "W": 0.1, "c": 0.1})
    start = discrete.branches(problem, DEPTHS[0], starts=4)[0].control
    nets = dict(zip(DEPTHS, discrete.branch(problem, DEPTHS, start=start), strict=True))
    return problem, nets, continuum.minimise(problem, start=nets[DEPTHS[-1]].control, tol=1e-12)


@pytest.fixture(scope="module")
def table(reference: Solved) -> pd.DataFrame:
    """Its depth sweep."""
    problem, nets, limit = reference
    return pd.DataFrame([compare.gaps(problem, net, limit) for net in nets.values()]).assign(data="reference")


def test_scaled_value_gaps_are_the_tabulated_ones(table: pd.DataFrame) -> None:
    """The reference tabulates n (min E_n − min E_∞) to six digits."""
    scaled = table["depth"] * table["value_gap"]
    assert scaled.round(6).tolist() == [0.087212, 0.087195, 0.087183, 0.087176, 0.087172, 0.087171]


def test_scaled_control_gaps_of_K_are_the_tabulated_ones(
    reference: Solved,
) -> None:
    """n‖K − K*‖ in nodal L², sup and H¹, and n|W − W*|, computed here entry by entry."""
    _, nets, limit = reference
    n = DEPTHS[-1]
    net, samples = nets[n].control, limit.control.sample(n)
    gap = (net.K - samples.K).flatten().numpy()
    found = [n * math.sqrt(np.mean(gap**2)), n * abs(gap).max(), n * math.sqrt(n * np.sum(np.diff(gap) ** 2))]
    assert np.round(found, 4).tolist() == [0.1806, 0.2911, 0.2269]
    assert n * float(abs(net.W - limit.control.W)) == pytest.approx(0.0140, abs=5e-5)


def test_columns_are_their_formulas(reference: Solved, table: pd.DataFrame) -> None:
    """Norms over K and b jointly by explicit sums; the TL² bound by a fine midpoint rule."""
    _, nets, limit = reference
    for n, (_, row) in zip(DEPTHS[:3], table.iterrows(), strict=False):
        net, curve = nets[n].control, limit.control
        K, b = curve.at(np.arange(n) / n)
        theta = torch.cat([(net.K - K).reshape(n, -1), net.b - b], dim=1).numpy()
        assert row["control_l2"] == pytest.approx(math.sqrt(np.sum(theta**2) / n), rel=1e-12)
        assert row["control_sup"] == pytest.approx(np.linalg.norm(theta, axis=1).max(), rel=1e-12)
        assert row["control_h1"] == pytest.approx(math.sqrt(n * np.sum(np.diff(theta, axis=0) ** 2)), rel=1e-12)
        assert row["head_gap"] == pytest.approx(
            math.sqrt(float((net.W - curve.W) ** 2 + (net.c - curve.c) ** 2)), rel=1e-12
        )
        t = (np.arange(200 * n) + 0.5) / (200 * n)
        Kt, bt = curve.at(t)
        cell = np.arange(200 * n) // 200
        extension = (net.K[cell] - Kt).square().sum((1, 2)) + (net.b[cell] - bt).square().sum(1)
        assert row["control_tl2"] ** 2 == pytest.approx(1 / (3 * n**2) + float(extension.mean()), rel=1e-4)


def test_recovery_and_liminf_gaps_are_values_of_the_other_problem(reference: Solved, table: pd.DataFrame) -> None:
    """E_n of the sampled curve by a loop over layers, E_∞ of the interpolated network by an adaptive integrator."""
    problem, nets, limit = reference
    n = 32
    row = table[table["depth"] == n].iloc[0]
    x, y = problem.data.x[:, 0].numpy(), problem.data.y[:, 0].numpy()
    K, b = (theta.flatten().numpy() for theta in limit.control.at(np.arange(n) / n))
    state = x.copy()
    for k in range(n):
        state = state + np.tanh(K[k] * state + b[k]) / n
    W, c = float(limit.control.W), float(limit.control.c)
    smooth = sum(0.05 * (n * np.sum(np.diff(v) ** 2) + v[0] ** 2) for v in (K, b))
    value = np.sum((W * state + c - y) ** 2) + smooth + 0.1 * (W**2 + c**2)
    assert row["recovery_gap"] == pytest.approx(value - limit.value, abs=1e-12)

    net = nets[n].control
    k, d = net.K.flatten().numpy(), net.b.flatten().numpy()
    nodes = np.append(np.arange(n) / n, 1.0)
    k1, d1 = np.append(k, k[-1]), np.append(d, d[-1])
    end = x.copy()
    for i in range(n):
        end = solve_ivp(
            lambda t, X: np.tanh(np.interp(t, nodes, k1) * X + np.interp(t, nodes, d1)),
            (nodes[i], nodes[i + 1]),
            end,
            rtol=1e-12,
            atol=1e-14,
        ).y[:, -1]
    W, c = float(net.W), float(net.c)
    smooth = sum(0.05 * (n * np.sum(np.diff(v) ** 2) + v[0] ** 2) for v in (k, d))
    value = np.sum((W * end + c - y) ** 2) + smooth + 0.1 * (W**2 + c**2)
    assert row["liminf_gap"] == pytest.approx(value - limit.value, abs=1e-10)


def test_recovery_gap_is_no_smaller_than_the_value_gap_and_liminf_gap_is_of_second_order(table: pd.DataFrame) -> None:
    """E_n at any weights is at least its minimum; n² · liminf gap tends to a constant near .0226."""
    assert (table["recovery_gap"] >= table["value_gap"]).all()
    scaled = table["depth"] ** 2 * table["liminf_gap"]
    assert scaled.between(0.0219, 0.0227).all()
    assert scaled.is_monotonic_increasing


def test_orders_on_the_reference_problem_are_one_and_two(table: pd.DataFrame) -> None:
    """First order for values, weights, head and states; the prediction meets the observation."""
    orders = compare.orders(table).set_index("quantity")
    for quantity in (
        "value_gap",
        "recovery_gap",
        "control_l2",
        "control_sup",
        "control_h1",
        "control_tl2",
        "head_gap",
        "state_sup",
    ):
        assert orders.loc[quantity, "last"] == pytest.approx(1, abs=0.02), quantity
        assert orders.loc[quantity, "low"] - 0.02 < 1 < orders.loc[quantity, "high"] + 0.02, quantity
    assert orders.loc["liminf_gap", "last"] == pytest.approx(2, abs=0.02)
    last = table.iloc[-1]
    assert last["value_gap"] == pytest.approx(last["predicted_gap"], rel=0.01)


def test_value_columns_have_the_certificate_of_both_sides(reference: Solved, table: pd.DataFrame) -> None:
    """The row carries what a reader needs to trust it."""
    _, nets, limit = reference
    for n, (_, row) in zip(DEPTHS, table.iterrows(), strict=True):
        assert (row["error_bar"], row["limit_error"]) == (nets[n].error_bar, limit.error_bar)
        assert row["status"] == nets[n].status.value
        # 1/(ατ) + 1/α = 40 is the squared norm of the embedding into sup
        assert row["control_error"] == pytest.approx(math.sqrt(40) * (nets[n].distance_bound + limit.distance_bound))


def test_gaps_want_a_network_and_a_curve(reference: Solved) -> None:
    """Two networks compared with one another would make a deep net the truth."""
    problem, nets, limit = reference
    with pytest.raises(TypeError, match="continuum"):
        compare.gaps(problem, nets[16], nets[32])
    with pytest.raises(TypeError, match="discrete"):
        compare.gaps(problem, limit, limit)


def test_dropped_hypotheses_are_said_in_the_row() -> None:
    """A row made without a hypothesis must not pass for one made with it."""
    problem = Problem(
        Data([[0.5], [-1.0]], [[1.0], [0.2]]), loss="squared", alpha=0.1, tau={"K": 0.0, "b": 1.0}, drop_hypotheses=True
    )
    net = discrete.minimise(problem, 8, seed=1)
    row = compare.gaps(problem, net, continuum.minimise(problem, start=net.control))
    assert row["dropped"] == "tau['K'] = 0"


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 4.0])
def test_order_of_a_power_is_its_exponent(p: float) -> None:
    """log(C n^−p) is a line."""
    n = 2.0 ** np.arange(3, 9)
    found = compare.order(n, -3.0 * n**-p, np.zeros(6))
    assert found.pairwise == pytest.approx([p] * 5)
    assert (found.slope, found.low, found.high) == pytest.approx((p, p, p))
    assert found.note == ""


def test_order_interval_is_the_t_interval_of_the_regression() -> None:
    """Against the textbook formula for the slope of a line through five points."""
    rng = np.random.default_rng(0)
    n = 2.0 ** np.arange(3, 8)
    gap = n**-1.0 * np.exp(0.05 * rng.standard_normal(5))
    found = compare.order(n, gap, np.zeros(5))
    X = np.column_stack([np.ones(5), np.log(n)])
    beta, rest, *_ = np.linalg.lstsq(X, np.log(gap), rcond=None)
    spread = math.sqrt(rest[0] / 3 * np.linalg.inv(X.T @ X)[1, 1]) * stats.t.ppf(0.975, 3)
    assert found.slope == pytest.approx(-beta[1])
    assert (found.high - found.low) / 2 == pytest.approx(spread)


def test_order_is_refused_below_the_floor() -> None:
    """A gap that is not a hundred times the solvers' error is no observation."""
    n = [8, 16, 32, 64, 128]
    gap = [1 / k for k in n]
    found = compare.order(n, gap, [1e-3, 1e-3, 1e-3, 1e-3, 1e-3])
    assert found.depths == (8,)
    assert math.isnan(found.slope) and math.isnan(found.low)
    assert all(math.isnan(p) for p in found.pairwise)
    assert "three are needed" in found.note
    partly = compare.order(n, gap, [0, 0, 0, 0, 1.0])
    assert partly.depths == (8, 16, 32, 64)
    assert math.isnan(partly.pairwise[-1]) and partly.pairwise[0] == pytest.approx(1)
    assert "not resolved at 1 of 5" in partly.note


def test_nan_errors_and_nan_gaps_are_unresolved() -> None:
    """With relu there is no distance bound, so no order of the weights is claimed."""
    found = compare.order([8, 16, 32], [1.0, 0.5, 0.25], [math.nan] * 3)
    assert math.isnan(found.slope)
    assert math.isnan(compare.order([8, 16, 32], [1.0, math.nan, 0.25], [0.0] * 3).slope)


def test_a_change_of_sign_is_no_order() -> None:
    """A gap that passes through zero falls at no rate there; the fit takes the depths with the last sign."""
    n = np.array([4.0, 8, 16, 32, 64])
    found = compare.order(n, np.array([-0.3, 1, 0.5, 0.25, 0.125]), np.zeros(5))
    assert math.isnan(found.pairwise[0])
    assert found.depths == (8, 16, 32, 64)
    assert found.slope == pytest.approx(1)


def test_order_wants_increasing_depths_of_one_length() -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match="increase strictly"):
        compare.order([8, 8, 16], [1, 1, 1], [0, 0, 0])
    with pytest.raises(ValueError, match="one length"):
        compare.order([8, 16], [1, 1, 1], [0, 0, 0])


def test_orders_name_the_column_that_is_missing(table: pd.DataFrame) -> None:
    """With the one that is spelt most like it."""
    with pytest.raises(ValueError, match="got 'vlaue_gap'; did you mean 'value_gap'"):
        compare.orders(table, ["vlaue_gap"])
    with pytest.raises(ValueError, match=r"by must be the column .* has no 'data'"):
        compare.orders(table.drop(columns="data"), ["value_gap"])
    with pytest.raises(ValueError, match="got 'control_error'"):
        compare.orders(table.drop(columns="control_error"), ["control_l2"])


def test_a_gap_that_stands_still_is_named() -> None:
    """Networks of one branch against the limit of another: the gap tends to a constant."""
    n = 2.0 ** np.arange(3, 9)
    table = pd.DataFrame({"data": "a", "depth": n, "value_gap": 0.1 + 1 / n, "error_bar": 0.0, "limit_error": 0.0})
    orders = compare.orders(table, ["value_gap"])
    assert "different branches" in orders["note"].item()


def test_orders_start_at_the_last_change_of_branch() -> None:
    """Gaps before it are those of another minimum."""
    n = 2.0 ** np.arange(3, 9)
    gap = np.where(n < 32, 5.0, 1.0) / n
    table = pd.DataFrame({"data": "a", "depth": n, "value_gap": gap, "error_bar": 0.0, "limit_error": 0.0})
    status = [str(Status.CONVERGED)] * 6
    status[2] = str(Status.JUMPED)
    orders = compare.orders(table.assign(status=status), ["value_gap"])
    assert orders["depths"].item() == "32, 64, 128, 256"
    assert orders["order"].item() == pytest.approx(1)
