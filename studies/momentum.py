"""Is the gradient in a hidden state a momentum: what does it conserve in a network, and what in its limit?

Ruseckas (2019) reads p = ∂Φ/∂X as the momentum conjugate to the state, with the Hamiltonian H = p · f(X, θ). Formulas
derived here:

- costate      the adjoint sweep gives the gradient in every hidden state; p · dX is constant along any tangent dX;
- symplectic   a layer is a canonical map of (X, p): M of a whole network has Mᵀ Ω M = Ω, Ω the symplectic form;
- constant     weights that are equal at all depths: H is constant along the flow; in a network it drifts,
               H_i − H_0 = −D(t_i)/n + O(n⁻²), D' = ½ p · (σ''(Z) ∘ Z' ∘ Z'), D(0) = 0;
- varying      weights: H changes by ∫ p · ∂_t f dt along the flow, and by as much in deep networks;
- identity     near it: a feed-forward network x⁺ = φ(W x + b) with W = I + εA, b = εc, φ(z) = z + ε ρ(z) + ε² ρ₂(z) + …
               tends to x' = A x + c + ρ(x) at order 1 in ε = 1/depth: x_l = x(t_l) + ε e(t_l) + O(ε²),
               e' = (A + ρ'(x)) e + ρ'(x) ∘ (A x + c) + ρ₂(x) − ½ x''.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.integrate import cumulative_simpson, solve_ivp
from torch import Tensor
from torch.func import jacrev, vmap

from deeplimit import Curve, Layers, Problem, data, network, plot, pontryagin, regularity, study
from deeplimit.claims import Claim, doubts, farthest, largest, least
from deeplimit.compare import order
from deeplimit.control import Hats

PROBLEMS = {
    "ring, tanh": Problem(data.ring(), loss="softmax", reduction="mean"),
    "moons, silu": Problem(data.moons(points=20), activation="silu"),
    "scalar, sigmoid": Problem(data.scalar(), activation="sigmoid", loss="squared"),
}
SEED = 2
PAIRED = [8, 64, 512]  # depths at which costates are compared with autograd
DEPTHS = [2**m for m in range(4, 13)]
CELLS = 256  # of the integrals along the flow
A, SHIFT, START = [[-0.4, 0.9], [-0.7, 0.3]], [0.3, -0.2], [0.9, -0.6]  # of the network near the identity

QUICK = {"PAIRED": [8, 64], "DEPTHS": [2**m for m in range(5, 10)]}
ROUNDING = 1e-13  # of a sum over hundreds of layers, relative
INTEGRATED = 1e-10  # relative, of what is integrated with tolerance 1e-12
NEAR = {"tanh(√ε z)/√ε": "ρ = −z³/3", "z + ε sin z": "ρ = sin z"}
LINE = ["part", "case", "depth", "observed", "predicted", "status"]

Row = dict[str, Any]
Array = np.ndarray


def points() -> Iterator[tuple[str, str, int]]:
    """Part, case and depth of every row; depth 0 is the flow."""
    yield from ((part, case, n) for part in ("costate", "pairing", "symplectic") for case in PROBLEMS for n in PAIRED)
    yield from ((part, case, n) for part in ("constant", "varying") for case in PROBLEMS for n in [0, *DEPTHS])
    yield from (("near identity", case, n) for case in NEAR for n in DEPTHS)


def measure(row: int) -> Row:
    """One row of the table."""
    part, case, depth = list(points())[row]
    functions: dict[str, Callable[[str, int], Row]] = {"costate": costate, "pairing": pairing, "constant": constant}
    functions |= {"symplectic": symplectic, "varying": varying, "near identity": near_identity}
    return {"part": part, "case": case, "depth": depth, "predicted": 0.0, "status": "computed"} | functions[part](
        case, depth
    )


@cache
def curve(case: str, moving: bool) -> Curve:
    """Weights linear in depth, or the same at all depths."""
    drawn = PROBLEMS[case].metric.draw(SEED)
    K, b = ([theta[0], theta[1] if moving else 0 * theta[1]] for theta in (drawn.K, drawn.b))
    return Curve(Hats(1), torch.stack(K), torch.stack(b), drawn.W, drawn.c)


def hidden_gradients(problem: Problem, layers: Layers) -> Tensor:
    """∂(data term)/∂X_i by automatic differentiation, (n + 1, S, d): nothing of the sweeps of the package."""
    X = [problem.data.x.clone().requires_grad_()]
    for K, b in zip(layers.K, layers.b, strict=True):
        X.append(X[-1] + problem.activation.value(X[-1] @ K.T + b) / layers.depth)
    value = problem.weight * problem.loss.value(X[-1] @ layers.W.T + layers.c, problem.y).sum()
    return torch.stack(torch.autograd.grad(value, X))


def costate(case: str, depth: int) -> Row:
    """The largest difference of costates and gradients, over the largest costate."""
    problem, layers = PROBLEMS[case], curve(case, True).sample(depth)
    p, truth = network.costates(problem, layers)[0], hidden_gradients(problem, layers)
    return {"observed": float((p - truth).abs().max() / truth.abs().max())}


def pairing(case: str, depth: int) -> Row:
    """The largest change of p · dX from layer to layer, relative."""
    return {"observed": regularity.invariant(PROBLEMS[case], curve(case, True).sample(depth), SEED)}


def symplectic(case: str, depth: int) -> Row:
    """The largest entry of Mᵀ Ω M − Ω over |M|², M = ∂(X_n, p_n)/∂(X_0, p_0) by automatic differentiation.

    X⁺ = X + h σ(K X + b), and p⁺ solves p = (I + h diag σ'(K X + b) K)ᵀ p⁺.
    """
    problem, layers = PROBLEMS[case], curve(case, True).sample(depth)
    d, sigma, h = problem.width, problem.activation, 1 / depth
    eye, zero = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    Omega = torch.cat([torch.cat([zero, eye], 1), torch.cat([-eye, zero], 1)])

    def layer(y: Tensor, K: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        X, p = y[:d], y[d:]
        z = K @ X + b
        after = torch.linalg.solve((eye + h * sigma.first(z)[:, None] * K).T, p)
        end = torch.cat([X + h * sigma.value(z), after])
        return end, end

    step = vmap(jacrev(layer, has_aux=True), in_dims=(0, None, None))
    y = torch.cat([problem.data.x, network.costates(problem, layers)[0][0]], 1)
    M = torch.eye(2 * d, dtype=torch.float64).expand(len(y), -1, -1)
    for K, b in zip(layers.K, layers.b, strict=True):
        J, y = step(y, K, b)
        M = J @ M
    gap = (M.mT @ Omega @ M - Omega).abs().amax((1, 2)) / M.square().sum((1, 2))
    return {"observed": float(gap.max())}


def energies(problem: Problem, layers: Layers) -> Array:
    """H_i = Σ_s p_{s,i+1} · σ(K_i X_{s,i} + b_i), (n,)."""
    p, _ = network.costates(problem, layers)
    velocity = layers.depth * torch.diff(network.states(problem, layers), dim=0)
    return (p[1:] * velocity).sum((1, 2)).numpy()


@cache
def flow(case: str, moving: bool) -> tuple[Array, Array, Array]:
    """H, ∂_t H = p · σ'(Z) ∘ (K' X + b') and D' on a grid of the flow, integrated adaptively."""
    problem, theta = PROBLEMS[case], curve(case, moving)
    path = pontryagin.trajectory(problem, theta, np.arange(CELLS + 1) / CELLS)
    (K, b), (dK, db) = theta.at(path.t), theta.derivative(path.t)
    Z, sigma = path.X @ K.mT + b[:, None], problem.activation
    H = (path.costate * sigma.value(Z)).sum((1, 2))
    moved = path.X @ dK.mT + db[:, None]
    change = (path.costate * sigma.first(Z) * moved).sum((1, 2))
    speed = sigma.value(Z) @ K.mT + moved
    drift = 0.5 * (path.costate * sigma.second(Z) * speed**2).sum((1, 2))
    return H.numpy(), change.numpy(), drift.numpy()


def constant(case: str, depth: int) -> Row:
    """max − min of H: relative along the flow, as it is in a network, where it is predicted."""
    H, _, drift = flow(case, False)
    if depth == 0:
        return {"observed": float(np.ptp(H) / np.abs(H).max())}
    D = cumulative_simpson(drift, dx=1 / CELLS, initial=0.0)
    return {
        "observed": float(np.ptp(energies(PROBLEMS[case], curve(case, False).sample(depth)))),
        "predicted": np.ptp(D) / depth,
    }


def varying(case: str, depth: int) -> Row:
    """H(1) − H(0) of the flow, and the same of a network; what is predicted is ∫ p · ∂_t f dt."""
    H, change, _ = flow(case, True)
    predicted = float(cumulative_simpson(change, dx=1 / CELLS)[-1])
    if depth == 0:
        return {"observed": float(H[-1] - H[0]), "predicted": predicted, "size": float(np.abs(H).max())}
    found = energies(PROBLEMS[case], curve(case, True).sample(depth))
    return {"observed": float(found[-1] - found[0]), "predicted": predicted}


# Near the identity.


def rho(case: str, x: Array) -> tuple[Array, Array, Array]:
    """ρ, ρ' and ρ₂."""
    if case.startswith("tanh"):
        return -(x**3) / 3, -(x**2), 2 * x**5 / 15
    return np.sin(x), np.cos(x), 0 * x


def phi(case: str, z: Array, epsilon: float) -> Array:
    """An activation near the identity: φ(z) = z + ε ρ(z) + O(ε²)."""
    root = math.sqrt(epsilon)
    return np.tanh(root * z) / root if case.startswith("tanh") else z + epsilon * np.sin(z)


@cache
def limit(case: str) -> tuple[Array, Array]:
    """x(1) and e(1)."""
    matrix, shift = np.array(A), np.array(SHIFT)

    def rhs(_: float, y: Array) -> Array:
        x, e = y[:2], y[2:]
        value, slope, second = rho(case, x)
        linear = matrix @ x + shift
        f, jacobian = linear + value, matrix + np.diag(slope)
        return np.concatenate([f, jacobian @ e + slope * linear + second - jacobian @ f / 2])

    start = np.array([*START, 0.0, 0.0])
    end = solve_ivp(rhs, (0, 1), start, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return end[:2], end[2:]


def near_identity(case: str, depth: int) -> Row:
    """|x_L − x(1)|, and |e(1)|/L."""
    epsilon, x = 1 / depth, np.array(START)
    W, b = np.eye(2) + epsilon * np.array(A), epsilon * np.array(SHIFT)
    for _ in range(depth):
        x = phi(case, W @ x + b, epsilon)
    end, e = limit(case)
    return {"observed": float(np.linalg.norm(x - end)), "predicted": float(np.linalg.norm(e)) / depth}


DERIVED, AFTER = "derived here", "derived here, after Ruseckas 2019"
ROOM = 0.05  # of a fitted order, for the next term
LAST = 4  # depths that an order is fitted to
NEXT = 20.0  # times 1/n, relative, of the next term of an expansion


def claims(table: pd.DataFrame) -> list[Claim]:
    """What is conserved to rounding, what to the integrator, what to first order, and what not."""
    why = doubts(table, "row", trusted=("computed",))

    def of(part: str, depths: bool = True) -> pd.DataFrame:
        rows = table[(table["part"] == part) & ((table["depth"] > 0) == depths)]
        return rows.sort_values("depth")

    def rates(rows: pd.DataFrame, gap: pd.Series) -> float:
        slopes = []
        for _, group in rows.groupby("case"):
            last = group["depth"].sort_values().iloc[-LAST:]
            slopes.append(order(last, gap[last.index].abs(), [INTEGRATED / 10] * len(last)).slope)
        return farthest(slopes, 1.0)

    def most(name: str, statement: str, what: str, part: str, room: float, depths: bool = True) -> Claim:
        observed = largest(of(part, depths)["observed"])
        return Claim(name, statement, AFTER, what, 0.0, observed, room, "a larger difference", why, "≤")

    def equal(name: str, statement: str, what: str, observed: float, room: float) -> Claim:
        wrong = "another order" if "order" in what else "a quotient other than 1"
        return Claim(name, statement, DERIVED, what, 1.0, observed, room, wrong, why)

    n = max(DEPTHS)
    drift, change, still, near = of("constant"), of("varying"), of("varying", False), of("near identity")

    def ratio(rows: pd.DataFrame) -> float:
        deepest = rows[rows["depth"] == n]
        return farthest(deepest["observed"] / deepest["predicted"], 1.0)

    return [
        most(
            "H1.1",
            "the costate is the gradient of the data term in every hidden state",
            "largest difference from autograd, relative",
            "costate",
            ROUNDING,
        ),
        most(
            "H1.2", "p · dX is the same in all layers", "largest change in a layer, relative", "pairing", ROUNDING / 100
        ),
        most(
            "H1.11",
            "the map of hidden states and momenta keeps the symplectic form",
            "largest entry of Mᵀ Ω M − Ω over |M|²",
            "symplectic",
            ROUNDING,
        ),
        most(
            "H1.3",
            "constant weights: H is constant along the flow",
            "largest (max − min)/|H|",
            "constant",
            INTEGRATED,
            depths=False,
        ),
        equal(
            "H1.4",
            "constant weights: H of a network drifts, at order 1",
            "fitted order, farthest",
            rates(drift, drift["observed"]),
            ROOM,
        ),
        equal(
            "H1.5",
            "constant weights: n (max − min) of H tends to that of D, D' = ½ p · (σ''(Z) ∘ Z' ∘ Z')",
            f"observed / predicted at n = {n}, farthest",
            ratio(drift),
            NEXT / n,
        ),
        equal(
            "H1.6",
            "varying weights: H changes by ∫ p · ∂_t f dt along the flow",
            "observed / predicted, farthest",
            farthest(still["observed"] / still["predicted"], 1.0),
            INTEGRATED * 100,
        ),
        Claim(
            "H1.7",
            "varying weights: H is not conserved, along the flow",
            DERIVED,
            "least |H(1) − H(0)| / max |H|",
            0.01,
            least(still["observed"].abs() / still["size"]),
            0.0,
            "a Hamiltonian that is conserved",
            why,
            "≥",
        ),
        equal(
            "H1.8",
            "varying weights: the change of H in a network tends to that of the flow",
            "fitted order, farthest",
            rates(change, change["observed"] - change["predicted"]),
            ROOM,
        ),
        equal(
            "H1.9",
            "feed-forward networks near the identity tend to x' = A x + c + ρ(x), at order 1 in 1/depth",
            "fitted order, farthest",
            rates(near, near["observed"]),
            ROOM,
        ),
        equal(
            "H1.10",
            "near the identity: depth × the error of the last state tends to |e(1)|",
            f"observed / predicted at depth {n}, farthest",
            ratio(near),
            NEXT / n,
        ),
    ]


def main(save: str = "momentum") -> None:
    """The table, the record and the figure."""
    table = study.sweep(measure, save=save, show=LINE, row=range(len(list(points()))))
    study.record(save, study.constants(globals()), claims=claims(table))
    drawn = table[(table["depth"] > 0) & table["part"].isin(["constant", "varying", "near identity"])].copy()
    moving = drawn["part"] == "varying"
    drawn["gap"] = (drawn["observed"] - drawn["predicted"].where(moving, 0.0)).abs()
    drawn["line"] = drawn["predicted"].where(~moving)
    titles = {"constant": "constant weights: max − min of H", "varying": "varying weights: change of H − limit's"}
    titles["near identity"] = "near identity: |x_L − x(1)|"
    drawn["panel"] = drawn["part"].map(titles)
    labels = {"depth": "depth n", "y": "difference", "line": "predicted", "case": ""}
    plot.curves(
        drawn, x="depth", y="gap", by="panel", hue="case", lines=["line"], slopes=[-1], labels=labels, save=save
    )


if __name__ == "__main__":
    study.run(main, globals())
