"""What deep networks will be, predicted from the continuum alone: their minimum and minimiser to second order.

    min E_n = min E_∞ + e₁/n + O(n⁻²),   Θ^(n)_i = Θ*(t_i) + η(t_i)/n + O(n⁻²),   D²E_∞(Θ*) η = −De₁(Θ*).

Euler's method replaces X' = f by X' = f − (1/2n)(∂_t f + D_x f f) + O(n⁻²), so that E_n(Θ(t_i)) = E_∞(Θ) + e₁(Θ)/n +
O(n⁻²) with e₁(Θ) the first-order effect on the data term. The regulariser contributes −α|θ'(1)|²/n, which vanishes at a
minimiser together with its derivative, because K'(1) = b'(1) = 0 there. A minimiser has to be nondegenerate.

Derived here from the definitions, by an envelope argument; no rate is claimed by the theorem that this package tests.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from scipy.sparse import linalg
from torch import Tensor

from deeplimit import checks, norms, own, pontryagin
from deeplimit.continuum import STEPS_PER_TERM
from deeplimit.control import BLOCKS, DEEP, Basis, Curve, Layers, Legendre, Weights
from deeplimit.coordinates import CurveCoordinates, Metric
from deeplimit.energy import DataTerm, Energy
from deeplimit.minimum import Minimum
from deeplimit.problem import Problem
from deeplimit.spectrum import linear_operator
from deeplimit.sweep import DORMAND_PRINCE8, EULER, Flow

PANELS = 8
GAUSS_POINTS = 16
SOLVE = 1e-13  # MINRES stops at this relative residual, or at rounding
SOLVED = 1e-6  # relative residual, of the limit and of the linear system, at which η is an answer


def _curve(limit: Minimum | Curve) -> Curve:
    curve = limit.control if isinstance(limit, Minimum) else limit
    checks.kind("limit", curve, Curve)
    return curve


def value_constant(problem: Problem, limit: Minimum | Curve) -> float:
    """e₁ = −½ Σ_s ∫₀¹ p_s · X_s'' dt,  X'' = σ'(KX + b) ∘ (K'X + KX' + b'),  at a minimiser of E_∞.

    The costate p weighs the defect −X''/2 of Euler's method. State and costate come from `pontryagin.trajectory`, the
    integral from Gauss points on 8 panels.

    That the curve is a minimiser is not checked: elsewhere e₁ is the data term's part of what n (E_n(Θ(i/n)) − E_∞(Θ))
    tends to, and predicts no minimum. For relu X'' is taken with the left slope σ'(0) = 0 at the kink, and e₁ predicts
    minima only where the arguments of σ change sign at finitely many times, with nonzero slope; as that is not checked
    either, `compare.gaps` leaves it out. With a layer of the user's all comes from the flow that resolves the limit.

    Parameters
    ----------
    limit
        What `continuum.minimise` returned, or its control.

    Raises
    ------
    ValueError
        If the control does not fit the problem.

    Examples
    --------
    >>> from deeplimit import Problem, continuum, data, discrete, expansion
    >>> problem = Problem(data.scalar(), loss="squared", alpha=0.05)
    >>> limit = continuum.minimise(problem)
    >>> net = discrete.minimise(problem, 256, start=limit.control)
    >>> gap, predicted = net.value - limit.value, expansion.value_constant(problem, limit) / 256
    >>> abs(gap / predicted - 1) < 0.01
    True
    """
    found = _value_constant if problem.layer is None else _value_constant_own
    return found(problem, _curve(limit))


@lru_cache(maxsize=16)  # one limit serves every depth of a sweep
def _value_constant(problem: Problem, curve: Curve) -> float:
    points, weights = leggauss(GAUSS_POINTS)
    t = ((np.arange(PANELS)[:, None] + (points + 1) / 2) / PANELS).ravel()
    weight = torch.as_tensor(np.tile(weights / (2 * PANELS), PANELS))
    path = pontryagin.trajectory(problem, curve, t)
    X, p = torch.as_tensor(path.X), torch.as_tensor(path.costate)
    (K, b), (dK, db) = curve.at(t), curve.derivative(t)
    Z = X @ K.mT + b[:, None]
    slope = problem.activation.value(Z)
    second = problem.activation.first(Z) * (X @ dK.mT + slope @ K.mT + db[:, None])
    return -0.5 * float(weight @ (p * second).sum((1, 2)))


@lru_cache(maxsize=16)
def _value_constant_own(problem: Problem, curve: Curve) -> float:
    """With a layer of the user's: −½ Σ_s Σ_i q_i · X_i'' over the stages of the flow, X'' = ∂f/∂x f + ∂f/∂θ θ'."""
    assert problem.layer is not None
    flow = Flow(DORMAND_PRINCE8, STEPS_PER_TERM * curve.basis.size, graded=True)
    (_, theta), (_, dtheta) = curve.at(flow.times), curve.derivative(flow.times)
    states = own.States(flow, problem.layer, theta, problem.data.x)
    z = states.end @ curve.W.T + curve.c
    q = states.costates(problem.weight * problem.loss.gradient(z, problem.y) @ curve.W).q
    Y = states.Y[:-1]
    second = problem.layer.along(Y, theta, problem.layer.values(Y, theta), dtheta)
    return -0.5 * float((q * second).sum())


def estimated_value_constant(problem: Problem, layers: Layers) -> float:
    """e₁ as a trained network alone shows it: −½ Σ_s Σ_{i=1}^{n−1} p_{s,i} · (V_{s,i} − V_{s,i−1}).

    V_i = σ(K_i X_i + b_i), p_i is the derivative of the data term with respect to X_i, and n (V_i − V_{i−1}) takes the
    place of X''. It tends to e₁ like 1/n where the networks tend to a limit, and takes no derivative of the weights.

    Raises
    ------
    ValueError, TypeError
        If the control is no network that fits the problem.
    """
    checks.kind("layers", layers, Layers)
    problem.metric.check(layers)
    flow, sigma = Flow(EULER, layers.depth), problem.activation
    X, Z = flow.forward(problem.data.x, layers.K, layers.b, sigma)
    g = problem.weight * problem.loss.gradient(X[-1] @ layers.W.T + layers.c, problem.y)
    _, p, _ = flow.adjoint(flow.slopes(sigma, Z), layers.K, g @ layers.W)
    return -0.5 * float((p[:-1] * torch.diff(sigma.value(Z), dim=0)).sum())


class EulerDefect(DataTerm):
    """e₁(Θ), the derivative of the data term at ε = 0 along X' = f − (ε/2) X'', X'' = ∂_t f + D_x f f.

    −½ X'' = σ'(Z) ∘ s with s = −½ (K'X + Kσ(Z) + b'): the state changes like under a change s of Z, to which the data
    term answers with q, hence e₁ = Σ_s ∫ q_s · s_s dt.

    Parameters
    ----------
    dK : (T, d, d), db : (T, d)
        K' and b' at the stages.
    """

    def __init__(self, problem: Problem, flow: Flow, weights: Weights, dK: Tensor, db: Tensor) -> None:
        super().__init__(problem, flow, weights)
        self.dK, self.db = dK, db

    @cached_property
    def _adjoint(self) -> tuple[Tensor, Tensor, Tensor]:
        """D = h σ'(Z), q and C = h σ''(Z) ∘ λ of the whole depth at once."""
        D = self.flow.slopes(self.problem.activation, self.Z)
        q, lam, _ = self.flow.adjoint(D, self.weights.K, self._output_gradient @ self.weights.W)
        return D, q, self.flow.bends(self.problem.activation, self.Z).mul_(lam)

    @cached_property
    def _source(self) -> Tensor:
        """s, shape (T, S, d)."""
        velocity = self.problem.activation.value(self.Z)
        return -0.5 * (self.Y[:-1] @ self.dK.mT + velocity @ self.weights.K.mT + self.db[:, None])

    @property
    def constant(self) -> float:
        """e₁(Θ)."""
        _, q, _ = self._adjoint
        return float((q * self._source).sum())

    @property
    def derivative(self) -> tuple[Weights, Weights]:
        """De₁(Θ): with respect to the weights at the stages, and to K', b' there (W, c: zero)."""
        D, q, C = self._adjoint
        K, W, g = self.weights.K, self.weights.W, self._output_gradient
        activation = self.problem.activation
        dY, dZ = self.flow.tangent(D, K, self._source)
        dg = self.problem.weight * self.problem.loss.product(self.output, self.y, dY[-1] @ W.T)
        # the source itself changes with Z through σ(Z) and with X through K'X
        along_Z = C * dZ - 0.5 * activation.first(self.Z) * (q @ K)
        dq, _, _ = self.flow.adjoint(D, K, dg @ W, (along_Z, -0.5 * q @ self.dK))
        along_K = dq.mT @ self.Y[:-1] + q.mT @ (dY[:-1] - 0.5 * activation.value(self.Z))
        weights = Weights(along_K, dq.sum(1), dg.T @ self.X + g.T @ dY[-1], dg.sum(0))
        zero = (torch.zeros_like(theta) for theta in (W, self.weights.c))
        return weights, Weights(-0.5 * q.mT @ self.Y[:-1], -0.5 * q.sum(1), *zero)


class _Slopes(CurveCoordinates):
    """u ↦ K', b' at the times, instead of K, b."""

    def __init__(self, metric: Metric, basis: Basis, times: np.ndarray) -> None:
        super().__init__(metric, basis, times)
        self._matrix = torch.as_tensor(np.hstack([np.zeros((len(times), 1)), basis.derivative(times)]))


def corrector(problem: Problem, limit: Minimum | Curve) -> Curve:
    """η with Θ^(n)_i = Θ*(t_i) + η(t_i)/n + O(n⁻²), W and c likewise: the solution of D²E_∞(Θ*) η = −De₁(Θ*).

    Solved by MINRES in the polynomials of the limit, in the weak form. In the strong form η does not satisfy the
    natural boundary conditions: η'(0) − τη(0) = Θ*''(0)/2 and η'(1) = Θ*''(1)/2 for K and b. Blocks that are not
    trained have η = 0. A curve counts as a minimiser if |∂E_∞/∂u| is at most 1e-6 times 2 √|E_∞|.

    Parameters
    ----------
    limit
        What `continuum.minimise` returned, or its control: a nondegenerate minimiser.

    Raises
    ------
    ValueError
        If the control does not fit the problem or is no minimiser, the activation is not smooth, or the weights are
        not in Legendre polynomials.
    numpy.linalg.LinAlgError
        If the linear system is not solved, as at a degenerate minimiser.
    """
    curve = _curve(limit)
    problem.metric.check(curve)
    if not problem.activation.smooth or not isinstance(curve.basis, Legendre):
        raise ValueError(
            "the first corrector takes second derivatives, so it needs a smooth activation and weights in Legendre "
            f"polynomials, got {problem.activation.name} and a basis of {type(curve.basis).__name__}"
        )
    return _corrector(problem, curve)


@lru_cache(maxsize=16)  # one limit serves every depth of a sweep
def _corrector(problem: Problem, curve: Curve) -> Curve:
    defect, coordinates, slopes = _defect(problem, curve)
    point = Energy(problem, coordinates, defect.flow)(coordinates.vector(curve))
    residual, scale = float(np.linalg.norm(point.gradient)), 2 * math.sqrt(abs(point.value))
    if not residual <= SOLVED * scale:
        raise ValueError(
            f"the limit must be a minimiser of E_∞, got a curve whose gradient has the relative residual "
            f"{residual / scale:.1e}, above {SOLVED:g}"
        )
    weights, rates = defect.derivative
    right = -(coordinates.collect(weights) + slopes.collect(rates))
    eta = coordinates.control(_solve(linear_operator(point.product, len(right)), right))
    return eta if "W" in problem.trainable else replace(eta, W=torch.zeros_like(eta.W))


def _defect(problem: Problem, curve: Curve) -> tuple[EulerDefect, CurveCoordinates, CurveCoordinates]:
    """e₁ at a curve with a flow that resolves it, and the coordinates of K, b and of K', b' at the flow's stages."""
    flow = Flow(DORMAND_PRINCE8, STEPS_PER_TERM * curve.basis.size, graded=True)
    coordinates = CurveCoordinates(problem.metric, curve.basis, flow.times)
    weights = Weights(*curve.at(flow.times), curve.W, curve.c)
    defect = EulerDefect(problem, flow, weights, *curve.derivative(flow.times))
    return defect, coordinates, _Slopes(problem.metric, curve.basis, flow.times)


def _solve(hessian: linalg.LinearOperator, right: np.ndarray) -> np.ndarray:
    size = len(right)
    solution, _ = linalg.minres(hessian, right, rtol=SOLVE, maxiter=max(200, 10 * size))
    residual, scale = float(np.linalg.norm(hessian @ solution - right)), float(np.linalg.norm(right))
    if not residual <= SOLVED * scale:
        raise np.linalg.LinAlgError(
            f"the linear system of the first corrector was solved only to a relative residual of "
            f"{residual / scale:.1e}: the minimiser is degenerate or no minimiser, try another start or a larger alpha"
        )
    return solution


def boundary_defect(problem: Problem, limit: Minimum | Curve, eta: Curve) -> float:
    """How far η is from η'(0) − τη(0) = Θ*''(0)/2 and η'(1) = Θ*''(1)/2, relative to the largest |Θ*''|/2 at the ends.

    2α K'' = Σ_s q_s X_sᵀ and 2α b'' = Σ_s q_s come from state and costate. The Galerkin method does not impose these
    conditions, and they are the last that it gets right: what is returned is a certificate of η.

    Raises
    ------
    ValueError
        If the control or η does not fit the problem.
    """
    checks.kind("eta", eta, Curve)
    problem.metric.check_shapes(eta)
    curve, ends = _curve(limit), [0.0, 1.0]
    path, (K, b) = pontryagin.trajectory(problem, curve, ends), curve.at(ends)
    q = problem.activation.first(path.X @ K.mT + b[:, None]) * path.costate
    sources = {"K": q.mT @ path.X, "b": q.sum(1)}
    defect = scale = 0.0
    for block, value, slope in zip(DEEP, eta.at(ends), eta.derivative(ends), strict=True):
        if block in problem.trainable:
            half = sources[block] / (4 * problem.alpha[block])
            found = slope - torch.stack([problem.tau[block] * value[0], torch.zeros_like(value[0])])
            defect, scale = max(defect, float((found - half).abs().max())), max(scale, float(half.abs().max()))
    return defect / scale if scale > 0 else defect


def corrected(limit: Minimum | Curve, eta: Curve, depth: int) -> Layers:
    """The network of depth n predicted to second order: Θ*(i/n) + η(i/n)/n, W* + η_W/n, c* + η_c/n.

    Raises
    ------
    ValueError, TypeError
        If `eta` is no curve of the limit's widths, or the depth no whole number from 1 on.
    """
    checks.kind("eta", eta, Curve)
    norms.check_shapes(_curve(limit), eta, "W")
    n = checks.whole("depth", depth, least=1)
    samples, first = _curve(limit).sample(n), eta.sample(n)
    return Layers(*(getattr(samples, block) + getattr(first, block) / n for block in BLOCKS))
