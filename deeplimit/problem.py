"""Everything E_n and E_∞ share: data, activation, loss and the regulariser's constants. Depth is not part of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from deeplimit import activation as activations
from deeplimit import checks
from deeplimit import loss as losses
from deeplimit.activation import Activation
from deeplimit.control import BLOCKS, DEEP
from deeplimit.coordinates import Metric
from deeplimit.data import Data
from deeplimit.layer import Layer
from deeplimit.loss import Loss
from deeplimit.ranks import ALONE, Ranks, RanksError


def _per_block(name: str, value: Any, blocks: str, needed: str, zero: bool) -> dict[str, float]:
    """One number for all blocks, or a mapping with at least the needed ones; these positive, or zero if allowed."""
    if not isinstance(value, Mapping):
        number = checks.number(name, value)
        if needed:
            _check_positive(name, number, zero)
        return dict.fromkeys(blocks, number)
    unknown = [k for k in value if k not in blocks]
    if unknown:
        raise ValueError(f"{name} has the unknown block {unknown[0]!r}; the blocks are {', '.join(blocks)}")
    missing = [k for k in needed if k not in value]
    if missing:
        raise ValueError(f"{name} must name every trained block, {missing[0]!r} is missing")
    weights = {k: checks.number(f"{name}[{k!r}]", value[k]) for k in blocks if k in value}
    for k in needed:
        _check_positive(f"{name}[{k!r}]", weights[k], zero)
    return weights


def _check_positive(name: str, weight: float, zero: bool) -> None:
    if weight < 0 or (weight == 0 and not zero):
        hint = "" if weight < 0 else " (drop_hypotheses=True allows zero)"
        raise ValueError(f"{name} must be positive{hint}, got {weight}")


def _trainable(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"trainable must be a string of the letters {BLOCKS}, got {value!r}")
    if not value or len(set(value)) < len(value) or set(value) - set(BLOCKS):
        raise ValueError(f"trainable must be one or more of the letters {BLOCKS}, each once, got {value!r}")
    return "".join(k for k in BLOCKS if k in value)


def _one_hot(y: Tensor) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def _short(value: Any) -> Any:
    """One number where all the blocks have the same."""
    same = isinstance(value, dict) and len(set(value.values())) == 1
    return next(iter(value.values())) if same else value


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Problem:
    """minimise  w Σ_s L(h(W X_s + c), y_s) + Σ_θ α_θ (‖θ'‖² + τ_θ |θ(0)|²) + α_W |W|² + α_c |c|²,  w = 1 or 1/S.

    X_s is the last state of the residual network (E_n) or of the ODE X' = σ(KX + b) (E_∞) started at x_s.

    With a layer of the user's, X' = f(X, θ), θ takes the place of b everywhere: in alpha, tau and trainable, and in
    controls, whose K is empty. What is known of σ(KX + b) alone raises a ValueError then.

    Parameters
    ----------
    data : Data
    activation
        σ by name: tanh, relu, softplus0, arctan, silu, identity, sigmoid, gcu; or an `Activation`.
    loss
        "squared" |z − y|² (no ½), "logistic" (yes or no in every column of y, also where its rows are one-hot) or
        "softmax" cross-entropy (one class a row); or a `Loss`.
    alpha : float or {"K": …, "b": …, "W": …, "c": …}
        Weights of the regulariser, positive.
    tau : float or {"K": …, "b": …}
        Weights of the value at depth 0, inside alpha, positive.
    trainable
        The blocks that are trained; the others are K = 0, b = 0, W = identity (needs m = d), c = 0.
    reduction : "sum" or "mean" over the samples
    layer : Layer
        f(x, θ) in place of σ(Kx + b); it brings its own activation.
    drop_hypotheses
        True allows tau = 0 and one alpha = 0, which the theorem forbids; every row of a table then says so.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the requirement and the value it got.

    References
    ----------
    M. Thorpe, Y. van Gennip, Deep limits of residual neural networks, Res. Math. Sci. 10 (2023).
    """

    data: Data
    activation: Activation
    layer: Layer | None
    loss: Loss
    alpha: dict[str, float]
    tau: dict[str, float]
    trainable: str
    reduction: str
    drop_hypotheses: bool
    samples: Data = field(init=False)
    sigma: Activation = field(init=False)
    points: int = field(init=False)
    group: Ranks = field(init=False)
    y: Tensor = field(init=False)
    dropped: tuple[str, ...] = field(init=False)

    def __init__(
        self,
        data: Data,
        *,
        activation: str | Activation = "tanh",
        loss: str | Loss = "logistic",
        alpha: float | Mapping[str, float] = 0.01,
        tau: float | Mapping[str, float] = 1.0,
        trainable: str = BLOCKS,
        reduction: str = "sum",
        layer: Layer | None = None,
        drop_hypotheses: bool = False,
    ) -> None:
        if not isinstance(data, Data):
            raise TypeError(f"data must be a deeplimit.Data, got {type(data).__name__}")
        if not isinstance(drop_hypotheses, bool):
            raise TypeError(f"drop_hypotheses must be True or False, got {drop_hypotheses!r}")
        if reduction not in ("sum", "mean"):
            raise ValueError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
        blocks = _trainable(trainable)
        if layer is not None:
            blocks = self._check_layer(layer, activation, blocks, data.width)
        self._set(samples=data, points=data.points, group=ALONE)
        self._set(reduction=reduction, drop_hypotheses=drop_hypotheses, trainable=blocks)
        self._set(sigma=activations.get(activation), layer=layer)
        self._set(loss=losses.get(loss))
        deep = "".join(k for k in DEEP if k in blocks)
        self._set(alpha=_per_block("alpha", alpha, BLOCKS, blocks, zero=drop_hypotheses))
        self._set(tau=_per_block("tau", tau, DEEP, deep, zero=drop_hypotheses))
        self._set(dropped=self._dropped())
        self._set(y=self.loss.labels(data.y))
        if "W" not in blocks and self.outputs != self.width:
            m, d = self.outputs, self.width
            raise ValueError(f"W can be left out of trainable only when m = d, got m = {m} and d = {d}")

    @staticmethod
    def _check_layer(layer: Any, activation: Any, blocks: str, width: int) -> str:
        """The trainable blocks with θ in the place of b; an error unless the layer fits the data and stands alone."""
        checks.kind("layer", layer, Layer)
        if activation != "tanh":  # the default
            raise ValueError(
                f"a layer brings its own activation, got layer {layer.name!r} and activation {activation!r}"
            )
        layer.check(width)
        return _trainable(blocks.replace("K", ""))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        words = {self._kind: self.layer_name, "loss": self.loss.name}
        values = {k: _short(getattr(self, k)) for k in ("alpha", "tau", "trainable", "reduction", "drop_hypotheses")}
        return f"Problem({self.samples!r}, {', '.join(f'{k}={v!r}' for k, v in (words | values).items())})"

    def _dropped(self) -> tuple[str, ...]:
        """The hypotheses α > 0, τ > 0 that are dropped; an error if they are too many."""
        alphas, taus = (
            [f"{name}[{k!r}]" for k, weight in weights.items() if k in self.trainable and weight == 0]
            for name, weights in (("alpha", self.alpha), ("tau", self.tau))
        )
        if len(alphas) > 1:
            raise ValueError(f"at most one alpha may be zero, got {' and '.join(alphas)}")
        return tuple(f"{name} = 0" for name in alphas + taus)

    def smoothed(self, width: float) -> Problem:
        """The same problem with σ smoothed over the width ε; itself where σ is smooth."""
        if self.layer is not None or self.activation.smoothed is None:
            return self
        return self._with(sigma=self.activation.smoothed(width))

    def _with(self, **values: Any) -> Problem:
        problem = copy(self)
        problem._set(**values)
        return problem

    def joint(self, group: Ranks) -> Problem:
        """The problem whose samples are those of all ranks of a group: a step that all take together.

        `discrete` and `continuum` minimise it, the same calls on every rank; what else takes a problem wants all
        samples in one place, and says so.

        Raises
        ------
        RanksError
            On every rank, unless the problems differ in their samples only.
        """
        checks.kind("group", group, Ranks)
        told = [json.loads(text) for text in group.gather(json.dumps(self._common() | {"points": self.samples.points}))]
        for name in self._common():
            for rank, other in enumerate(told):
                if other[name] != told[0][name]:
                    raise RanksError(
                        f"the problems of the ranks must agree, but {name} is {told[0][name]!r} on rank 0 "
                        f"and {other[name]!r} on rank {rank}"
                    )
        return self._with(group=group, points=sum(other["points"] for other in told))

    def _common(self) -> dict[str, Any]:
        """What the problems of all ranks share."""
        names = {"activation": self.layer_name, "loss": self.loss.name}
        sizes = {"width": self.width, "outputs": self.outputs, "parameters": self.metric.parameters}
        return sizes | names | {k: getattr(self, k) for k in ("alpha", "tau", "trainable", "reduction")}

    @property
    def part(self) -> Problem:
        """The data term of this rank's samples alone: those of all ranks add up to the joint problem's."""
        return self if self.group.size == 1 else self._with(group=ALONE)

    @property
    def width(self) -> int:
        """d, the number of features and the width of every layer."""
        return self.samples.width

    @property
    def outputs(self) -> int:
        """m, the number of outputs."""
        return self.y.shape[1]

    @property
    def weight(self) -> float:
        """The factor of the sum over the samples: 1, or 1/S for reduction="mean"."""
        return 1.0 if self.reduction == "sum" else 1.0 / self.points

    @property
    def metric(self) -> Metric:
        """The regulariser as a squared norm of the control."""
        parameters = None if self.layer is None else self.layer.size
        return Metric(self.width, self.outputs, self.alpha, self.tau, self.trainable, parameters)

    @property
    def smooth(self) -> bool:
        """Whether σ is smooth; a layer of the user's is taken to be."""
        return self.layer is not None or self.activation.smooth

    @property
    def _kind(self) -> str:
        return "activation" if self.layer is None else "layer"

    @property
    def layer_name(self) -> str:
        """What tables call the layer: the name of σ, or that of the user's layer."""
        return self.activation.name if self.layer is None else self.layer.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a record of a study should say: conversions of the data, hypotheses that are not met."""
        notes = list(self.samples.notes)
        if self.y.shape != self.samples.y.shape:
            notes.append(f"class numbers turned into {self.outputs} one-hot columns")
        if self.loss.name == "logistic" and self.outputs > 1 and _one_hot(self.y):
            notes.append(
                f"one-hot labels are {self.outputs} labels of yes or no to the logistic loss; softmax has classes"
            )
        notes += [f"hypothesis dropped: {d}" for d in self.dropped]
        if self.layer is not None:
            return (*notes, f"hypothesis not met: the layer {self.layer.name} is not σ(KX + b)")
        if not self.activation.zero_at_zero:
            notes.append(f"hypothesis not met: {self.activation.name}(0) is not 0")
        if math.isinf(self.activation.lipschitz):
            notes.append(f"hypothesis not met: {self.activation.name} is not globally Lipschitz")
        return tuple(notes)


def _all_samples(problem: Problem) -> Data:
    if problem.group.size > 1:
        ranks = f"{problem.group.size} ranks"
        raise ValueError(f"this wants all samples in one place, but those of a joint problem lie on {ranks}")
    return problem.samples


def _activation(problem: Problem) -> Activation:
    if problem.layer is not None:
        raise ValueError(
            f"this is known for layers σ(KX + b) alone, but the problem has the layer {problem.layer.name!r} of its own"
        )
    return problem.sigma


# Fields that look before they give, so that nobody takes one rank's samples for all of them, or σ of another layer.
Problem.data = property(_all_samples)  # type: ignore[assignment]
Problem.activation = property(_activation)  # type: ignore[assignment]
