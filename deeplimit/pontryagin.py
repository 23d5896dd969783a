"""Pontryagin's optimality system of E_∞, integrated independently of the method that found the minimiser.

With g_s = ∇L(h(z_s), y_s), z_s = W X_s(1) + c, and w = 1 or 1/S, a minimiser of E_∞ solves

    X_s' = σ(K X_s + b),                                    X_s(0) = x_s,
    p_s' = −Kᵀ q_s,   q_s = σ'(K X_s + b) ∘ p_s,             p_s(1) = w Wᵀ g_s,
    2 α_K K'' = Σ_s q_s X_sᵀ,    K'(0) = τ_K K(0),           K'(1) = 0,
    2 α_b b'' = Σ_s q_s,         b'(0) = τ_b b(0),           b'(1) = 0,
    2 α_W W + w Σ_s g_s X_s(1)ᵀ = 0,                         2 α_c c + w Σ_s g_s = 0,

and along it the Hamiltonian H = Σ_s p_s · σ(K X_s + b) − α_K |K'|² − α_b |b'|² is constant. Blocks that are not trained
drop out. State and costate are integrated by an adaptive method of order 8; the boundary-value problem is solved as a
whole by collocation. All of this is derived here from the definition of E_∞.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from scipy import integrate
from scipy.interpolate import PPoly
from torch import Tensor

from deeplimit.control import DEEP, Basis, Curve
from deeplimit.problem import Problem

Array = np.ndarray
Weights = Callable[[float], tuple[Array, Array]]  # t ↦ (K(t), b(t))

RTOL, ATOL = 1e-12, 1e-13
GAUSS_POINTS = 64  # least number of nodes in [0, 1] for smooth weights
CELL_POINTS = 4  # Gauss nodes in a cell of piecewise linear weights
CELLS = 16  # least number of cells
RESTARTS = 64  # least number of intervals in which the state is carried back with the costate
MOST_UNKNOWNS = 150  # of the boundary-value problem
MESH_MEMORY = 3e7  # mesh points × unknowns² of the boundary-value problem: some 2 GB


@dataclass(frozen=True, eq=False)
class Certificate:
    """How far a curve is from solving the optimality system.

    Attributes
    ----------
    residual
        Dual norm of the derivative of E_∞ over all of H¹, see `certify`; zero at a minimiser.
    boundary
        max over θ of |θ'(0) − τ_θ θ(0)| and |θ'(1)|, Frobenius norms.
    hamiltonian_drift
        max − min of the Hamiltonian over [0, 1].
    value
        E_∞, the state integrated adaptively.
    """

    residual: float
    boundary: float
    hamiltonian_drift: float
    value: float


@dataclass(frozen=True, eq=False)
class Trajectory:
    """State X (T, S, d), costate p (T, S, d) with the factor w in it, and Hamiltonian (T,) at the times t (T,)."""

    t: Tensor
    X: Tensor
    costate: Tensor
    hamiltonian: Tensor


@dataclass(frozen=True, eq=False)
class BoundarySolution:
    """A solution of the whole optimality system by collocation.

    Attributes
    ----------
    value
        E_∞ of the cubic splines K, b and of W, c: its error is of second order in theirs.
    W : (m, d);  c : (m,)
    residual
        Largest root mean square of the relative residual over the cells of the mesh.
    converged
        Whether the residual is below the tolerance.
    nodes
        Mesh points used.
    status
        The solver's own sentence.
    """

    value: float
    W: Tensor
    c: Tensor
    residual: float
    converged: bool
    nodes: int
    status: str
    _splines: _Splines = field(repr=False)

    def at(self, t: Any) -> tuple[Tensor, Tensor]:
        """(K(t), b(t)); t of shape (…) gives (…, d, d) and (…, d)."""
        K, b = self._splines.at(np.asarray(t, dtype=float))
        return torch.from_numpy(K), torch.from_numpy(b)

    def derivative(self, t: Any) -> tuple[Tensor, Tensor]:
        """(K'(t), b'(t)), shapes as `at`."""
        K, b = self._splines.derivative(np.asarray(t, dtype=float))
        return torch.from_numpy(K), torch.from_numpy(b)


@dataclass(frozen=True, eq=False)
class _Path:
    """X, p (T, S, d), R_K (T, d, d) and R_b (T, d) on a grid t (T,)."""

    t: Array
    X: Array
    costate: Array
    R: dict[str, Array]


def _numpy(function: Callable[..., Tensor], *arrays: Array) -> Array:
    """A formula of σ or of the loss, applied to arrays."""
    return function(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)).numpy()


def _advance(rhs: Callable[[float, Array], Array], y: Array, start: float, end: float) -> Array:
    """y(end) from y(start), either direction; NaN if the solution does not reach the end."""
    if not np.isfinite(y).all():
        return np.full_like(y, np.nan)
    # the whole interval is tried first: intervals are short, and the solver's own guess would waste steps on each
    options = {"method": "DOP853", "rtol": RTOL, "atol": ATOL, "first_step": abs(end - start)}
    with np.errstate(over="ignore", invalid="ignore"):
        result = integrate.solve_ivp(rhs, (start, end), y, **options)
    return result.y[:, -1] if result.success else np.full_like(y, np.nan)


def _states(problem: Problem, weights: Weights, grid: Array) -> Array:
    """X_s on a grid from 0 to 1, shape (T, S, d)."""
    x = problem.data.x.numpy()

    def rhs(t: float, y: Array) -> Array:
        K, b = weights(t)
        return _numpy(problem.activation.value, y.reshape(x.shape) @ K.T + b).ravel()

    path = [x.ravel()]
    for start, end in pairwise(grid):
        path.append(_advance(rhs, path[-1], start, end))
    return np.stack(path).reshape(-1, *x.shape)


def _adjoint_rhs(problem: Problem, weights: Weights) -> Callable[[float, Array], Array]:
    """X' = σ(Z), p' = −Kᵀ q, R_K' = −Σ_s q_s X_sᵀ, R_b' = −Σ_s q_s with Z = KX + b, q = σ'(Z) ∘ p."""
    S, d = problem.data.x.shape

    def rhs(t: float, y: Array) -> Array:
        K, b = weights(t)
        X, costate = y[: 2 * S * d].reshape(2, S, d)
        Z = X @ K.T + b
        q = _numpy(problem.activation.first, Z) * costate
        parts = (_numpy(problem.activation.value, Z), -q @ K, -q.T @ X, -q.sum(0))
        return np.concatenate([part.ravel() for part in parts])

    return rhs


def _path(problem: Problem, weights: Weights, W: Array, c: Array, grid: Array) -> _Path:
    """State and costate on a grid from 0 to 1, and R_θ(t) = ∫ₜ¹ ∂(data term)/∂θ.

    The costate needs the state on its way back, where a contracting flow is unstable: it is restarted from the forward
    solution in every interval of the grid. The factor w comes last, so that the tolerances do not depend on it.
    """
    S, d = problem.data.x.shape
    X = _states(problem, weights, grid)
    rhs = _adjoint_rhs(problem, weights)
    g = _numpy(problem.loss.gradient, X[-1] @ W.T + c, problem.y.numpy())
    rows = [np.concatenate([(g @ W).ravel(), np.zeros(d * d + d)])]
    for i in range(len(grid) - 1, 0, -1):
        y = np.concatenate([X[i].ravel(), rows[-1]])
        rows.append(_advance(rhs, y, grid[i], grid[i - 1])[S * d :])
    costate, K, b = np.split(problem.weight * np.stack(rows[::-1]), [S * d, S * d + d * d], axis=1)
    return _Path(grid, X, costate.reshape(-1, S, d), {"K": K.reshape(-1, d, d), "b": b})


def _weights(curve: Curve) -> Weights:
    def at(t: float) -> tuple[Array, Array]:
        K, b = curve.at(t)
        return K.numpy(), b.numpy()

    return at


def _edges(basis: Basis, least: int) -> Array:
    """The ends of at least so many equal intervals, the corners of piecewise polynomial weights among them."""
    cells = basis.cells * -(-least // basis.cells)
    return np.arange(cells + 1) / cells


def _composite(edges: Array, points: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss's rule in each cell."""
    nodes, weights = leggauss(points)
    h = np.diff(edges)[:, None]
    return (edges[:-1, None] + h * (nodes + 1) / 2).ravel(), (h * weights / 2).ravel()


def _quadrature(basis: Basis) -> tuple[Array, Array, Array]:
    """Nodes and weights of a rule on [0, 1] that is exact for the squares of derivatives, and the ends of its cells."""
    if basis.cells > 1:
        edges = _edges(basis, CELLS)
        return *_composite(edges, CELL_POINTS), edges
    edges = np.array([0.0, 1.0])
    return *_composite(edges, max(GAUSS_POINTS, 2 * basis.size)), edges


def _check(problem: Problem, curve: Curve) -> None:
    if not isinstance(curve, Curve):
        raise TypeError(f"the optimality system is that of a Curve, got {type(curve).__name__}")
    problem.metric.check(curve)


def _squares(values: Array) -> Array:
    """|v_i|² for every i of the first axis."""
    return (values.reshape(len(values), -1) ** 2).sum(1)


def _trained(problem: Problem, blocks: str, values: tuple[Any, Any]) -> dict[str, Array]:
    """The trained ones of a pair of blocks, "Kb" or "Wc", as arrays."""
    return {k: np.asarray(theta) for k, theta in zip(blocks, values, strict=True) if k in problem.trainable}


def _value(
    problem: Problem, end: Array, W: Array, c: Array, start: dict[str, Array], energies: dict[str, float]
) -> float:
    """w Σ_s L + Σ_θ α_θ (‖θ'‖² + τ_θ |θ(0)|²) + α_W |W|² + α_c |c|² from X(1), θ(0) and ‖θ'‖²."""
    data = problem.weight * float(_numpy(problem.loss.value, end @ W.T + c, problem.y.numpy()).sum())
    deep = sum(problem.alpha[k] * (energies[k] + problem.tau[k] * np.sum(start[k] ** 2)) for k in start)
    flat = sum(problem.alpha[k] * np.sum(theta**2) for k, theta in _trained(problem, "Wc", (W, c)).items())
    return data + float(deep) + float(flat)


def _hamiltonian(problem: Problem, path: _Path, K: Array, b: Array, slopes: dict[str, Array]) -> Array:
    """Σ_s p_s · σ(K X_s + b) − Σ_θ α_θ |θ'|² on the grid, (T,)."""
    velocity = _numpy(problem.activation.value, path.X @ K.swapaxes(1, 2) + b[:, None])
    running = sum(problem.alpha[k] * _squares(slope) for k, slope in slopes.items())
    return (path.costate * velocity).sum((1, 2)) - running


def _curve_path(problem: Problem, curve: Curve, grid: Array) -> tuple[_Path, Array]:
    """Path and Hamiltonian of a curve on a grid from 0 to 1."""
    path = _path(problem, _weights(curve), curve.W.numpy(), curve.c.numpy(), grid)
    K, b = curve.at(grid)
    slopes = _trained(problem, DEEP, curve.derivative(grid))
    return path, _hamiltonian(problem, path, K.numpy(), b.numpy(), slopes)


def trajectory(problem: Problem, curve: Curve, t: Any) -> Trajectory:
    """State, costate and Hamiltonian of a curve, whether or not it is a minimiser.

    X_s' = σ(K X_s + b),  X_s(0) = x_s;   p_s' = −Kᵀ (σ'(K X_s + b) ∘ p_s),  p_s(1) = w Wᵀ g_s, so that p_s(t) is the
    derivative of the data term with respect to X_s(t). The relative error is about 1e-12 for smooth σ. With relu it is
    that of an adaptive integrator which meets kinks, about 1e-9, and every kink costs it some thirty steps.

    Parameters
    ----------
    t : (T,)
        Times in [0, 1], in increasing order.

    Raises
    ------
    ValueError
        If the times are not such, or the curve does not fit the problem.

    References
    ----------
    Derived here from the definitions.
    """
    _check(problem, curve)
    times = np.asarray(t, dtype=float)
    if times.ndim != 1 or not np.all(np.diff(times) >= 0) or not np.all((times >= 0) & (times <= 1)):
        raise ValueError(f"t must be a sequence of times from 0 to 1 in increasing order, got {t!r}")
    grid = np.union1d(_edges(curve.basis, RESTARTS), times)
    path, hamiltonian = _curve_path(problem, curve, grid)
    rows = np.searchsorted(grid, times)
    return Trajectory(*(torch.from_numpy(a) for a in (times, path.X[rows], path.costate[rows], hamiltonian[rows])))


def certify(problem: Problem, curve: Curve) -> Certificate:
    """The Euler-Lagrange residual, natural boundary conditions, Hamiltonian and value of a curve.

    In the coordinates in which the regulariser is a squared norm, the derivative of E_∞ on the whole space has the norm

        residual² = Σ_{θ ∈ {K, b}} (1/α_θ) (∫₀¹ |2 α_θ θ' + R_θ|² dt + (1/τ_θ) |2 α_θ τ_θ θ(0) + R_θ(0)|²)
                  + (1/α_W) |2 α_W W + w Σ_s g_s X_s(1)ᵀ|² + (1/α_c) |2 α_c c + w Σ_s g_s|²,
        R_K(t) = ∫ₜ¹ Σ_s q_s X_sᵀ,   R_b(t) = ∫ₜ¹ Σ_s q_s,

    over the trained blocks; where α or τ is zero the factor 1/α or 1/τ is one. A Galerkin method makes only the part of
    it in its own space vanish. State, costate and R are integrated with a relative tolerance of 1e-12 and restarted at
    the nodes of Gauss's rule, so that no interpolant of the integrator enters.

    For piecewise linear weights, with four nodes in every cell, 2αθ' + R_θ is as large as a cell, and so are boundary
    and drift. With relu, moreover, the integrator meets kinks, which costs digits and time, and the residual is that of
    one choice of σ' there.

    Raises
    ------
    ValueError
        If the curve does not fit the problem.

    References
    ----------
    Derived here from the definitions.

    Examples
    --------
    >>> from deeplimit import Problem, continuum, data, pontryagin
    >>> problem = Problem(data.scalar(), loss="squared", alpha=0.05)
    >>> limit = continuum.minimise(problem)
    >>> found = pontryagin.certify(problem, limit.control)
    >>> found.residual < 1e-6, abs(found.value - limit.value) < 1e-8
    (True, True)
    """
    _check(problem, curve)
    nodes, weights, edges = _quadrature(curve.basis)
    grid = np.union1d(edges, nodes)
    path, hamiltonian = _curve_path(problem, curve, grid)
    slopes, start = (_trained(problem, DEEP, pair) for pair in (curve.derivative(nodes), curve.at(0.0)))
    R = {k: path.R[k][np.searchsorted(grid, nodes)] for k in slopes}
    squared = sum(
        weights @ _squares(2 * problem.alpha[k] * slopes[k] + R[k]) / _scale(problem.alpha[k])
        + _start_residual(problem, k, start[k], path.R[k][0])
        for k in slopes
    )
    W, c = curve.W.numpy(), curve.c.numpy()
    squared = squared + _head_residual(problem, path.X[-1], W, c)
    energies = {k: float(weights @ _squares(slope)) for k, slope in slopes.items()}
    return Certificate(
        residual=math.sqrt(squared),
        boundary=_boundary(problem, curve),
        hamiltonian_drift=float(hamiltonian.max() - hamiltonian.min()),
        value=_value(problem, path.X[-1], W, c, start, energies),
    )


def _scale(weight: float) -> float:
    """The square of the coordinate's scale: that of weight one where the regulariser does not see it."""
    return weight if weight > 0 else 1.0


def _start_residual(problem: Problem, block: str, theta: Array, R: Array) -> float:
    """|2ατ θ(0) + R_θ(0)|² / (ατ)."""
    alpha, tau = problem.alpha[block], problem.tau[block]
    return float(np.sum((2 * alpha * tau * theta + R) ** 2)) / (_scale(alpha) * _scale(tau))


def _head_residual(problem: Problem, end: Array, W: Array, c: Array) -> float:
    """|2α_W W + w Σ g X(1)ᵀ|² / α_W + |2α_c c + w Σ g|² / α_c."""
    gradients = _head_gradients(problem, end, W, c)
    return sum(float(np.sum(v**2)) / _scale(problem.alpha[k]) for k, v in gradients.items())


def _head_gradients(problem: Problem, end: Array, W: Array, c: Array) -> dict[str, Array]:
    """2α_W W + w Σ_s g_s X_s(1)ᵀ and 2α_c c + w Σ_s g_s, the trained ones of them."""
    g = problem.weight * _numpy(problem.loss.gradient, end @ W.T + c, problem.y.numpy())
    data = {"W": g.T @ end, "c": g.sum(0)}
    return {k: 2 * problem.alpha[k] * theta + data[k] for k, theta in _trained(problem, "Wc", (W, c)).items()}


def _boundary(problem: Problem, curve: Curve) -> float:
    """max |θ'(0) − τθ(0)|, |θ'(1)|; a block with α = 0 has no boundary conditions."""
    start = _trained(problem, DEEP, curve.at(0.0))
    slopes = _trained(problem, DEEP, curve.derivative(np.array([0.0, 1.0])))
    gaps = [
        np.linalg.norm(gap)
        for k in start
        if problem.alpha[k] > 0
        for gap in (slopes[k][0] - problem.tau[k] * start[k], slopes[k][1])
    ]
    return float(max(gaps, default=0.0))


@dataclass(frozen=True, eq=False)
class _System:
    """The optimality system as a boundary-value problem, vectorised over the mesh.

    y = (X, p, then θ, θ' for the trained ones of K and b), shape (unknowns, M); the trained ones of W and c are the
    solver's parameters.
    """

    problem: Problem

    @property
    def deep(self) -> list[str]:
        """The trained ones of K and b."""
        return [k for k in DEEP if k in self.problem.trainable]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every part of y at one mesh point, in order."""
        S, d = self.problem.data.x.shape
        deep = {name: self.problem.metric.shape(k) for k in self.deep for name in (k, k + "'")}
        return {"X": (S, d), "costate": (S, d), **deep}

    def split(self, y: Array) -> dict[str, Array]:
        """The parts of y, mesh points first; blocks that are not trained are zero."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = np.split(y.T, np.cumsum(sizes)[:-1], axis=1)
        fixed = {k: np.zeros(self.problem.metric.shape(k)) for k in DEEP}
        pairs = zip(self.shapes.items(), parts, strict=True)
        return fixed | {name: part.reshape(-1, *shape) for (name, shape), part in pairs}

    def join(self, parts: dict[str, Array]) -> Array:
        """The inverse of `split`."""
        return np.concatenate([parts[name].reshape(len(parts["X"]), -1) for name in self.shapes], axis=1).T

    def head(self, parameters: Array) -> tuple[Array, Array]:
        """W and c."""
        metric, start, blocks = self.problem.metric, 0, {}
        for k in "Wc":
            shape = metric.shape(k)
            blocks[k] = metric.fixed(k).numpy()
            if k in self.problem.trainable:
                blocks[k] = np.reshape(parameters[start : start + math.prod(shape)], shape)
                start += math.prod(shape)
        return blocks["W"], blocks["c"]

    def rhs(self, _: Array, y: Array, parameters: Array | None = None) -> Array:
        """y', shape as y."""
        v = self.split(y)
        Z = v["X"] @ v["K"].swapaxes(-1, -2) + v["b"][..., None, :]
        q = _numpy(self.problem.activation.first, Z) * v["costate"]
        forces = {"K": q.swapaxes(1, 2) @ v["X"], "b": q.sum(1)}
        slopes = {"X": _numpy(self.problem.activation.value, Z), "costate": -q @ v["K"]}
        for k in self.deep:
            slopes |= {k: v[k + "'"], k + "'": forces[k] / (2 * self.problem.alpha[k])}
        return self.join(slopes)

    def boundary(self, start: Array, end: Array, parameters: Array | None = None) -> Array:
        """The conditions at 0 and at 1, zero at a solution, shape (unknowns + parameters,)."""
        W, c = self.head(np.zeros(0) if parameters is None else parameters)
        a, e = ({k: v[0] for k, v in self.split(y[:, None]).items() if k in self.shapes} for y in (start, end))
        g = _numpy(self.problem.loss.gradient, e["X"] @ W.T + c, self.problem.y.numpy())
        conditions = [a["X"] - self.problem.data.x.numpy(), e["costate"] - self.problem.weight * g @ W]
        for k in self.deep:
            conditions += [a[k + "'"] - self.problem.tau[k] * a[k], e[k + "'"]]
        conditions += [*_head_gradients(self.problem, e["X"], W, c).values()]
        return np.concatenate([v.ravel() for v in conditions])


@dataclass(frozen=True, eq=False)
class _Splines:
    """K and b of a collocation solution: its cubic splines on the mesh."""

    system: _System
    spline: PPoly  # t ↦ y, unknowns last

    @property
    def mesh(self) -> Array:
        return self.spline.x

    def _blocks(self, values: Array, t: Array) -> tuple[Array, Array]:
        parts = self.system.split(values.reshape(-1, values.shape[-1]).T)
        shapes = [(*t.shape, *self.system.problem.metric.shape(k)) for k in DEEP]
        K, b = (np.array(np.broadcast_to(parts[k], (t.size, *parts[k].shape[-n:]))) for k, n in (("K", 2), ("b", 1)))
        return K.reshape(shapes[0]), b.reshape(shapes[1])

    def at(self, t: Array) -> tuple[Array, Array]:
        return self._blocks(self.spline(t), t)

    def derivative(self, t: Array) -> tuple[Array, Array]:
        return self._blocks(self.spline(t, 1), t)

    def value(self, W: Array, c: Array) -> float:
        """E_∞ of these weights: the state integrated anew, the regulariser by a rule that is exact."""
        problem = self.system.problem
        end = _states(problem, lambda t: self.at(np.asarray(t)), self.mesh)[-1]
        nodes, weights = _composite(self.mesh, 3)
        slopes, start = (_trained(problem, DEEP, pair) for pair in (self.derivative(nodes), self.at(np.asarray(0.0))))
        energies = {k: float(weights @ _squares(slope)) for k, slope in slopes.items()}
        return _value(problem, end, W, c, start, energies)


def _check_solvable(problem: Problem) -> None:
    S, d = problem.data.x.shape
    unknowns = 2 * S * d + 2 * (d * d + d)
    if unknowns > MOST_UNKNOWNS:
        raise ValueError(
            f"the boundary-value problem needs 2Sd + 2(d² + d) ≤ {MOST_UNKNOWNS}, got {unknowns} for S = {S}, d = {d}; "
            "take fewer points or use certify"
        )
    if problem.dropped:
        zeros = " and ".join(problem.dropped)
        raise ValueError(f"the boundary-value problem needs positive alpha and tau, got {zeros}")
    if not problem.activation.smooth:
        raise ValueError(f"the boundary-value problem needs a smooth activation, got {problem.activation.name!r}")


def solve_bvp(problem: Problem, start: Curve, *, tol: float = 1e-10) -> BoundarySolution:
    """The whole optimality system solved by collocation of order 4, for small problems.

    The unknowns are X, p, K, K', b, b' as functions of t with the natural boundary conditions, and W, c; the equations
    are those at the head of this module. A solution is a stationary point of E_∞, the one near `start`.

    Parameters
    ----------
    start
        Its state and costate are integrated, and with them it is the first guess of Newton's method.
    tol
        Relative residual of the equations to reach.

    Raises
    ------
    ValueError
        If 2Sd + 2(d² + d) exceeds 150, if an alpha or tau is zero, if σ is not smooth, if the curve does not fit.

    References
    ----------
    Derived here from the definitions. Collocation: J. Kierzenka, L. F. Shampine, ACM Trans. Math. Softw. 27 (2001), in
    SciPy's `solve_bvp`.
    """
    _check(problem, start)
    _check_solvable(problem)
    system = _System(problem)
    mesh = _edges(start.basis, RESTARTS)
    guess, parameters = _guess(problem, start, system, mesh)
    most = int(MESH_MEMORY / len(guess) ** 2)
    result = integrate.solve_bvp(
        system.rhs, system.boundary, mesh, guess, p=parameters, tol=tol, max_nodes=max(most, len(mesh))
    )
    W, c = system.head(np.zeros(0) if result.p is None else result.p)
    splines = _Splines(system, PPoly(result.sol.c, result.sol.x))
    return BoundarySolution(
        value=splines.value(W, c),
        W=torch.from_numpy(np.array(W)),
        c=torch.from_numpy(np.array(c)),
        residual=float(np.max(result.rms_residuals)),
        converged=bool(result.success),
        nodes=len(result.x),
        status=str(result.message),
        _splines=splines,
    )


def _guess(problem: Problem, start: Curve, system: _System, mesh: Array) -> tuple[Array, Array | None]:
    """y on the mesh (unknowns, M), and the parameters, None if there are none."""
    path = trajectory(problem, start, mesh)
    parts = {"X": path.X.numpy(), "costate": path.costate.numpy()} | _trained(problem, DEEP, start.at(mesh))
    parts |= {k + "'": slope for k, slope in _trained(problem, DEEP, start.derivative(mesh)).items()}
    head = [theta.ravel() for theta in _trained(problem, "Wc", (start.W, start.c)).values()]
    return system.join(parts), np.concatenate(head) if head else None
