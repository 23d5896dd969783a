"""Other residual networks than E_n: another power of n in the regulariser, another final time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor

from deeplimit import checks
from deeplimit.activation import Activation
from deeplimit.control import DEEP
from deeplimit.problem import Problem


def power(problem: Problem, depth: int, gamma: float) -> Problem:
    """The problem whose E_n, at this depth n alone, has n^γ in front of the differences instead of n.

    α (n^γ Σ|θ_i − θ_{i−1}|² + τ|θ_0|²) = α' (n Σ|θ_i − θ_{i−1}|² + τ'|θ_0|²) with α' = α n^{γ−1}, τ' = τ n^{1−γ}, for
    K and b. γ = 1 is the theorem's; below it the regulariser vanishes with depth, above it weights become constant.

    Raises
    ------
    ValueError, TypeError
        For a depth below 1 or not whole, and a γ that is no finite number.
    """
    factor = float(checks.whole("depth", depth, least=1)) ** (checks.number("gamma", gamma) - 1)
    return _rescaled(problem, problem.activation, factor)


def final_time(problem: Problem, time: float) -> Problem:
    """The same problem on [0, T], rescaled to [0, 1]: X' = Tσ(KX + b) and ∫₀ᵀ|θ̇|² = (1/T) ∫₀¹|θ'|².

    Hence α' = α/T and τ' = τT for K and b. A network of depth n takes steps T/n, X_i = X_{i−1} + (T/n) σ(KX + b),
    and is regularised by α ((n/T) Σ|θ_i − θ_{i−1}|² + τ|θ_0|²).

    Raises
    ------
    ValueError, TypeError
        For a T that is not a positive number.
    """
    factor = checks.positive("time", time)
    return _rescaled(problem, _multiple(problem.activation, factor), 1 / factor)


def _rescaled(problem: Problem, activation: Activation, factor: float) -> Problem:
    """‖θ'‖² multiplied by a factor, |θ(0)|² as it was."""
    return Problem(
        problem.data,
        activation=activation,
        loss=problem.loss,
        alpha={k: factor * v if k in DEEP else v for k, v in problem.alpha.items()},
        tau={k: v / factor for k, v in problem.tau.items()},
        trainable=problem.trainable,
        reduction=problem.reduction,
        drop_hypotheses=problem.drop_hypotheses,
    )


def _multiple(activation: Activation, factor: float) -> Activation:
    """factor · σ."""
    smoothed = activation.smoothed
    return replace(
        activation,
        name=activation.name if factor == 1 else f"{factor:g} {activation.name}",
        value=partial(_times, factor, activation.value),
        first=partial(_times, factor, activation.first),
        second=partial(_times, factor, activation.second),
        lipschitz=factor * activation.lipschitz,
        lipschitz_derivative=factor * activation.lipschitz_derivative,
        smoothed=None if smoothed is None else partial(_smoothed_multiple, activation, factor),
    )


def _times(factor: float, function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    return factor * function(z)


def _smoothed_multiple(activation: Activation, factor: float, width: float) -> Activation:
    assert activation.smoothed is not None
    return _multiple(activation.smoothed(width), factor)
