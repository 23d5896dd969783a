"""Sweeps through depth: the truth is closed-form flows, loops over layers, quadrature and the transpose identity."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from problems import SIGMA
from torch import Tensor

from deeplimit.sweep import DORMAND_PRINCE8, EULER, KUTTA4, Flow, Tableau

TABLEAUX = {"euler": EULER, "kutta4": KUTTA4, "dormand_prince8": DORMAND_PRINCE8}
FLOWS = [
    Flow(EULER, 7),
    Flow(DORMAND_PRINCE8, 3),
    Flow(EULER, 1),
    Flow(DORMAND_PRINCE8, 1),
    Flow(KUTTA4, 4),
    Flow(EULER, 5, graded=True),
    Flow(DORMAND_PRINCE8, 4, graded=True),
]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def constant(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.float64)


def name(flow: Flow) -> str:
    return f"order{flow.tableau.order}-steps{flow.steps}" + "-graded" * flow.graded


def ends(flow: Flow) -> np.ndarray:
    """t_0 … t_n: equal steps, or the extrema of a Chebyshev polynomial."""
    return np.array(
        [(1 - math.cos(math.pi * k / flow.steps)) / 2 if flow.graded else k / flow.steps for k in range(flow.steps + 1)]
    )


def per_stage(flow: Flow) -> Tensor:
    """The length of the step that each stage belongs to, (T, 1, 1)."""
    return torch.tensor(np.repeat(np.diff(ends(flow)), flow.tableau.stages))[:, None, None]


def observed(errors: list[float]) -> list[float]:
    """Orders between runs whose step halves each time."""
    return [math.log2(a / b) for a, b in pairwise(errors)]


# Tableaux


@pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=TABLEAUX)
def test_tableaux_are_explicit_and_consistent(tableau: Tableau) -> None:
    """c_j = Σ_l A_jl, A strictly lower triangular, and Σ b c^k = 1/(k + 1) for every k below the order."""
    assert np.array_equal(tableau.A, np.tril(tableau.A, -1))
    np.testing.assert_allclose(tableau.A.sum(1), tableau.c, atol=1e-15)
    for k in range(tableau.order):
        assert tableau.b @ tableau.c**k == pytest.approx(1 / (k + 1), abs=1e-15)
    assert tableau.stages == len(tableau.c) and tableau.c[0] == 0


@pytest.mark.parametrize("flow", FLOWS, ids=name)
def test_stage_times_are_those_of_the_method(flow: Flow) -> None:
    """Step k goes from t_k to t_{k+1} and takes its weights at t_k + (t_{k+1} − t_k) c_j."""
    t, s = ends(flow), flow.tableau.stages
    np.testing.assert_allclose(flow.nodes, t, atol=1e-16)
    assert len(flow.times) == flow.stages == flow.steps * s
    for k in range(flow.steps):
        np.testing.assert_allclose(flow.times[k * s : k * s + s], t[k] + (t[k + 1] - t[k]) * flow.tableau.c, atol=1e-15)
    slopes = normal(flow.stages, 2, 3)
    torch.testing.assert_close(flow.scaled(slopes), per_stage(flow) * slopes, rtol=1e-14, atol=0)


# Forward


def test_the_euler_flow_is_the_residual_network() -> None:
    """X_i = X_{i−1} + (1/n) σ(K_{i−1} X_{i−1} + b_{i−1}), a sample and a layer at a time."""
    n, S, d = 6, 4, 3
    x, K, b = normal(S, d), normal(n, d, d, seed=1), normal(n, d, seed=2)
    Y, Z = Flow(EULER, n).forward(x, K, b, torch.tanh)
    assert Y.shape == (n + 1, S, d) and Z.shape == (n, S, d)
    for s in range(S):
        X = x[s]
        for i in range(n):
            torch.testing.assert_close(Y[i, s], X, rtol=1e-14, atol=1e-14)
            z = K[i] @ X + b[i]
            torch.testing.assert_close(Z[i, s], z, rtol=1e-14, atol=1e-14)
            X = X + torch.tanh(z) / n
        torch.testing.assert_close(Y[n, s], X, rtol=1e-14, atol=1e-14)


def closed_form_errors(tableau: Tableau, steps: list[int], w: float, b: float, graded: bool = False) -> list[float]:
    """|X(1) − exact| for X' = tanh(wX + b) in one dimension."""
    x = torch.linspace(-1, 1.5, 6, dtype=torch.float64)[:, None]
    exact = (torch.asinh(math.exp(w) * torch.sinh(w * x + b)) - b) / w
    errors = []
    for n in steps:
        T = n * tableau.stages
        Y, _ = Flow(tableau, n, graded).forward(x, constant(w, T, 1, 1), constant(b, T, 1), torch.tanh)
        errors.append(float((Y[-1] - exact).abs().max()))
    return errors


def test_euler_has_order_1_on_the_closed_form_of_tanh() -> None:
    """z = wx + b obeys z' = w tanh z, so sinh z(t) = e^{wt} sinh z(0)."""
    errors = closed_form_errors(EULER, [64, 128, 256, 512], 1.7, 0.3)
    assert observed(errors) == pytest.approx([1, 1, 1], abs=0.03)


def test_kuttas_method_has_order_4_on_the_closed_form_of_tanh() -> None:
    """The same flow."""
    errors = closed_form_errors(KUTTA4, [16, 32, 64, 128], 1.7, 0.3)
    assert observed(errors) == pytest.approx([4, 4, 4], abs=0.15)


def test_dormand_prince_has_order_8_down_to_rounding() -> None:
    """The same flow: the error falls 256-fold with each halving of the step until rounding is left."""
    errors = closed_form_errors(DORMAND_PRINCE8, [2, 4, 8, 16, 32], 8.0, 0.3)
    assert errors[0] > 1e-4 and np.mean(observed(errors)) == pytest.approx(8, abs=0.2)
    assert min(observed(errors)) > 7 and errors[-1] < 1e-13
    assert closed_form_errors(DORMAND_PRINCE8, [32, 64], 3.0, 0.3) == pytest.approx([0, 0], abs=5e-15)


def test_graded_steps_keep_the_order() -> None:
    """The longest of n graded steps is π/(2n): order 8 with another constant, down to rounding."""
    errors = closed_form_errors(DORMAND_PRINCE8, [4, 8, 16, 32], 8.0, 0.3, graded=True)
    assert np.mean(observed(errors)) == pytest.approx(8, abs=0.7) and errors[-1] < 1e-11
    assert closed_form_errors(DORMAND_PRINCE8, [64], 3.0, 0.3, graded=True) == pytest.approx([0], abs=5e-15)
    assert observed(closed_form_errors(EULER, [256, 512], 1.7, 0.3, graded=True)) == pytest.approx([1], abs=0.05)


def test_weights_that_change_in_time_are_taken_at_the_stage_times() -> None:
    """X' = k(t) X + β(t) with k = 3 cos 3t, β = e^{sin 3t}(2t + 1) has X = e^{sin 3t}(x + t² + t): order 8."""
    x = torch.tensor([[-0.7], [1.1]], dtype=torch.float64)
    exact = math.exp(math.sin(3)) * (x + 2)
    for graded in (False, True):
        errors = []
        for n in (4, 8, 16, 32):
            flow = Flow(DORMAND_PRINCE8, n, graded)
            t = torch.as_tensor(flow.times)
            k, beta = 3 * torch.cos(3 * t), torch.exp(torch.sin(3 * t)) * (2 * t + 1)
            Y, _ = flow.forward(x, k[:, None, None], beta[:, None], SIGMA["identity"])
            errors.append(float((Y[-1] - exact).abs().max()))
        assert min(observed(errors[:3])) > 7.2 and errors[-1] < 1e-13


def test_states_at_the_steps_are_the_flow_at_their_times() -> None:
    """Y[i·s] = X(i/n), not only the last one."""
    n, s = 16, DORMAND_PRINCE8.stages
    x = torch.tensor([[-0.4], [0.9]], dtype=torch.float64)
    w, b = 1.3, -0.2
    Y, _ = Flow(DORMAND_PRINCE8, n).forward(x, constant(w, n * s, 1, 1), constant(b, n * s, 1), torch.tanh)
    t = torch.arange(n + 1, dtype=torch.float64)[:, None, None] / n
    exact = (torch.asinh(torch.exp(w * t) * torch.sinh(w * x + b)) - b) / w
    torch.testing.assert_close(Y[::s], exact, rtol=0, atol=1e-14)


# Tangent and adjoint


@pytest.mark.parametrize("flow", FLOWS, ids=name)
def test_the_tangent_is_the_derivative_of_the_flow(flow: Flow) -> None:
    """Forward-mode differentiation of the forward sweep, computed by complex steps: no difference is taken."""
    T, S, d = flow.stages, 3, 2
    x, K, b = normal(S, d), normal(T, d, d, seed=1), normal(T, d, seed=2)
    dK, db = normal(T, d, d, seed=3), normal(T, d, seed=4)
    Y, Z = flow.forward(x, K, b, torch.tanh)
    source = torch.einsum("tjk,tsk->tsj", dK, Y[:-1]) + db[:, None]
    dY, dZ = flow.tangent((1 - torch.tanh(Z) ** 2) * per_stage(flow), K, source)
    tiny = 1e-30
    Yc = plain_flow(flow, x, K + tiny * 1j * dK, b + tiny * 1j * db)
    torch.testing.assert_close(dY, Yc.imag / tiny, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(Y, Yc.real.contiguous(), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(dZ, torch.einsum("tjk,tsk->tsj", K, dY[:-1]) + source, rtol=1e-12, atol=1e-13)


def plain_flow(flow: Flow, x: Tensor, K: Tensor, b: Tensor) -> Tensor:
    """Stage inputs of the textbook recursion with complex weights, tanh; the start of each step is its first stage."""
    A, weights, s = flow.tableau.A, flow.tableau.b, flow.tableau.stages
    X, inputs = x.to(torch.complex128), []
    for step, h in enumerate(np.diff(ends(flow))):
        slopes: list[Tensor] = []
        for j in range(s):
            Y = X + sum((A[j, k] * slopes[k] * h for k in range(j)), torch.zeros_like(X))
            inputs.append(Y)
            slopes.append(torch.tanh(torch.einsum("jk,sk->sj", K[step * s + j], Y) + b[step * s + j]))
        X = X + sum((weights[j] * slopes[j] * h for j in range(s)), torch.zeros_like(X))
    return torch.stack([*inputs, X])


@pytest.mark.parametrize("flow", FLOWS, ids=name)
@pytest.mark.parametrize("sourced", [False, True])
def test_the_adjoint_is_the_transpose_of_the_tangent(flow: Flow, sourced: bool) -> None:
    """costate·dY_T + Σ f_i·dY_i + Σ e_i·dZ_i = Σ q_i·source_i + costate_0·dY_0 for all sources and starts."""
    T, S, d = flow.stages, 3, 2
    D, K, source, costate = normal(T, S, d), normal(T, d, d, seed=1), normal(T, S, d, seed=2), normal(S, d, seed=3)
    D = D / flow.steps
    e, f, start = normal(T, S, d, seed=4), normal(T, S, d, seed=5), normal(S, d, seed=6)
    q, lam, first = flow.adjoint(D, K, costate, (e, f) if sourced else None)
    torch.testing.assert_close(q, D * lam + e if sourced else D * lam, rtol=1e-13, atol=1e-14)
    for begin in (None, start):
        dY, dZ = flow.tangent(D, K, source, begin)
        assert torch.equal(dY[0], torch.zeros_like(start) if begin is None else start)
        left, right = costate * dY[-1], first * dY[0]
        if sourced:
            left = left + (f * dY[:-1]).sum(0) + (e * dZ).sum(0)
        scale = float((q * source).abs().sum() + right.abs().sum())
        assert abs(float(left.sum() - (q * source).sum() - right.sum())) <= 1e-14 * scale


# Parts


@pytest.mark.parametrize("flow", FLOWS, ids=name)
def test_parts_one_after_the_other_are_the_whole(flow: Flow) -> None:
    """A recursion that is stopped and taken up again does the same operations: equal to the last bit, also in parts
    of parts."""
    T, S, d, s = flow.stages, 3, 2, flow.tableau.stages
    x, K, b = normal(S, d), normal(T, d, d, seed=1), normal(T, d, seed=2)
    D, source, costate, e, f = (normal(T, S, d, seed=k) / flow.steps for k in range(3, 8))
    costate = costate[0]
    Y, Z = flow.forward(x, K, b, torch.tanh)
    dY, dZ = flow.tangent(D, K, source, x)
    q, lam, first = flow.adjoint(D, K, costate, (e, f))
    marks = sorted({0, flow.steps // 3, flow.steps - 1, flow.steps})
    parts = [(i, j, flow.part(i, j)) for i, j in pairwise(marks)]
    nested = [(2, 4, flow.part(1, flow.steps).part(1, 3))] if flow.steps > 3 else []
    for i, j, part in parts + nested:
        at, after = slice(i * s, j * s), slice(i * s + 1, j * s + 1)
        assert part.stages == (j - i) * s and np.array_equal(part.nodes, flow.nodes[i : j + 1])
        assert np.array_equal(part.times, flow.times[at])
        assert torch.equal(part.scaled(source[at]), flow.scaled(source)[at])
        Yp, Zp = part.forward(Y[i * s], K[at], b[at], torch.tanh)
        assert torch.equal(Yp[1:], Y[after]) and torch.equal(Zp, Z[at])
        dYp, dZp = part.tangent(D[at], K[at], source[at], dY[i * s])
        assert torch.equal(dYp[1:], dY[after]) and torch.equal(dZp, dZ[at])
    p = costate
    for i, j, part in reversed(parts):
        at = slice(i * s, j * s)
        qp, lp, p = part.adjoint(D[at], K[at], p, (e[at], f[at]))
        assert torch.equal(qp, q[at]) and torch.equal(lp, lam[at])
    assert torch.equal(p, first)


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (2, 2), (3, 2), (0, 8)])
def test_a_part_is_at_least_one_step_of_the_flow(first: int, last: int) -> None:
    """Seven steps are 0 … 6; the sentence names both ends."""
    with pytest.raises(ValueError, match=rf"0 ≤ first < last ≤ 7, got first = {first} and last = {last}"):
        Flow(EULER, 7).part(first, last)
    with pytest.raises(ValueError, match="last ≤ 2"):
        Flow(EULER, 7).part(3, 5).part(0, 3)


@pytest.mark.parametrize("n", [1, 8, 64, 512])
def test_costate_and_tangent_pair_to_a_constant(n: int) -> None:
    """p_{i+1}·dX_{i+1} = p_i·dX_i at machine precision, sample by sample, once the tangent has left its source."""
    S, d = 4, 3
    x, K, b = normal(S, d), normal(n, d, d, seed=1), normal(n, d, seed=2)
    flow = Flow(EULER, n)
    _, Z = flow.forward(x, K, b, torch.tanh)
    D = (1 - torch.tanh(Z) ** 2) / n
    source = torch.zeros(n, S, d, dtype=torch.float64)
    source[0] = normal(S, d, seed=3)
    dX, _ = flow.tangent(D, K, source)
    _, p, _ = flow.adjoint(D, K, normal(S, d, seed=4))
    pairing = (p * dX[1:]).sum(-1)  # p[i] is the costate of X_{i+1}
    size = float((p.norm(dim=-1) * dX[1:].norm(dim=-1)).max())
    assert float((pairing - pairing[:1]).abs().max()) <= 4e-16 * size * max(8, math.sqrt(n))


def test_sweeps_leave_their_arguments_alone() -> None:
    """Results of one point are shared by several products, so nothing may be written in place."""
    for flow in FLOWS[:2]:
        T = flow.stages
        D, K, source, costate = normal(T, 3, 2), normal(T, 2, 2), normal(T, 3, 2), normal(3, 2)
        e, f = normal(T, 3, 2), normal(T, 3, 2)
        before = [a.clone() for a in (D, K, source, costate, e, f)]
        flow.tangent(D, K, source)
        flow.adjoint(D, K, costate)
        flow.adjoint(D, K, costate, (e, f))
        flow.forward(costate, K, K[:, 0], torch.tanh)
        for old, new in zip(before, (D, K, source, costate, e, f), strict=True):
            assert torch.equal(old, new)
