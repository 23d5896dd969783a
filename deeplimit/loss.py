"""Losses z ↦ L(h(z), y): the output map h and the loss L as one smooth function of the output z of a network.

The cross-entropy L alone is infinite on the edge of the simplex; together with h it is finite and smooth for
every z, which is what the theory asks for. Its derivatives are with respect to z, one sample a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, one_hot

from deeplimit import checks, differences

# A column with larger numbers (years, identifiers) was not meant as class labels and would fill the memory.
MOST_CLASSES = 10_000


@dataclass(frozen=True, eq=False)
class Loss:
    """A function z ↦ L(h(z), y) of one sample with its derivatives in z, batched over the samples.

    Parameters
    ----------
    name
        The name under which it is known.
    value
        z (S, m), y (S, m) ↦ L(h(z_s), y_s), (S,).
    gradient
        z (S, m), y (S, m) ↦ ∇L(h(z_s), y_s), (S, m).
    product
        z (S, m), y (S, m), v (S, m) ↦ ∇²L(h(z_s), y_s) v_s, (S, m).
    predict
        z (S, m) ↦ what the network says: the class as an integer (S,); a 0 or 1 for each column (S, m) where
        the logistic loss has several; z itself for the squared loss.
    labels
        y (S, m) ↦ the labels in the form that the functions above expect; raises a ValueError if the loss
        does not admit them.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    product: Callable[[Tensor, Tensor, Tensor], Tensor]
    predict: Callable[[Tensor], Tensor]
    labels: Callable[[Tensor], Tensor]

    def __repr__(self) -> str:
        return f"Loss({self.name!r})"


def _squared_value(z: Tensor, y: Tensor) -> Tensor:
    """|z − y|²."""
    return ((z - y) ** 2).sum(-1)


def _squared_gradient(z: Tensor, y: Tensor) -> Tensor:
    """2 (z − y)."""
    return 2 * (z - y)


def _squared_product(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """2 v."""
    return 2 * v


def _squared_predict(z: Tensor) -> Tensor:
    """z."""
    return z


def _squared_labels(y: Tensor) -> Tensor:
    """Any y."""
    return y


def _logistic_value(z: Tensor, y: Tensor) -> Tensor:
    """Σ_j softplus(z_j) − y_j z_j = −Σ_j y_j log s(z_j) + (1 − y_j) log s(−z_j), s the logistic sigmoid."""
    # No term of the second form is negative, so nothing cancels where the network is right and sure.
    return -(y * logsigmoid(z) + (1 - y) * logsigmoid(-z)).sum(-1)


def _logistic_gradient(z: Tensor, y: Tensor) -> Tensor:
    """s(z) − y."""
    return torch.sigmoid(z) - y


def _logistic_product(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """s(z) s(−z) ∘ v, where s(−z) = 1 − s(z)."""
    return torch.sigmoid(z) * torch.sigmoid(-z) * v


def _logistic_predict(z: Tensor) -> Tensor:
    """1 where s(z) > ½, else 0; (S,) for one column, (S, m) for several."""
    positive = (z > 0).long()
    return positive.squeeze(-1) if z.shape[-1] == 1 else positive


def _logistic_labels(y: Tensor) -> Tensor:
    """y, if 0 ≤ y ≤ 1."""
    outside = ~((y >= 0) & (y <= 1))
    if outside.any():
        row, column = outside.nonzero()[0].tolist()
        raise ValueError(
            f"the logistic loss needs labels from 0 to 1, got {y[row, column].item():g} "
            f"in row {row}, column {column} (counted from 0)"
        )
    return y


def _softmax_value(z: Tensor, y: Tensor) -> Tensor:
    """log Σ_k exp z_k − y · z = −y · log softmax z, as y sums to 1."""
    # The second form does not subtract two numbers of the size of z.
    return -(y * log_softmax(z, -1)).sum(-1)


def _softmax_gradient(z: Tensor, y: Tensor) -> Tensor:
    """p − y, p = softmax z."""
    return torch.softmax(z, -1) - y


def _softmax_product(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """p ∘ v − p (p · v), p = softmax z."""
    p = torch.softmax(z, -1)
    return p * (v - (p * v).sum(-1, keepdim=True))


def _softmax_predict(z: Tensor) -> Tensor:
    """argmax_k z_k, (S,)."""
    return z.argmax(-1)


def _softmax_labels(y: Tensor) -> Tensor:
    """Rows of probabilities as they are; one column of class numbers as rows of 0 and one 1."""
    if y.shape[-1] == 1:
        return _classes(y)
    wrong = (y < 0).any(-1) | ~((y.sum(-1) - 1).abs() <= 1e-12)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            "the softmax loss needs one column of class numbers or non-negative rows that sum to 1, "
            f"got {y[row].tolist()} in row {row} (counted from 0)"
        )
    return y


def _classes(y: Tensor) -> Tensor:
    """Class numbers 0 … k−1, k ≥ 2, (S, 1) as unit vectors (S, k)."""
    wrong = ~((y >= 0) & (y < MOST_CLASSES) & (y == y.round()))
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"the softmax loss needs class numbers 0, 1, …, at most {MOST_CLASSES - 1}, "
            f"got {y[row, 0].item()!r} in row {row} (counted from 0)"
        )
    if 0 < y.min() < y.max():
        raise ValueError(
            f"the softmax loss needs class numbers that count from 0, got {y.min().item():g} to {y.max().item():g}; if "
            "there is no sample of class 0, give one-hot rows"
        )
    if y.max() < 1:
        raise ValueError("the softmax loss needs at least two classes, got the class number 0 in every row")
    return one_hot(y[:, 0].long()).to(y.dtype)


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "squared",
            _squared_value,
            _squared_gradient,
            _squared_product,
            _squared_predict,
            _squared_labels,
        ),
        Loss(
            "logistic",
            _logistic_value,
            _logistic_gradient,
            _logistic_product,
            _logistic_predict,
            _logistic_labels,
        ),
        Loss(
            "softmax",
            _softmax_value,
            _softmax_gradient,
            _softmax_product,
            _softmax_predict,
            _softmax_labels,
        ),
    )
}

BUILT_IN = tuple(LOSSES)

CHECKED = 64  # rows at which derivatives are looked at
SIZES = (1, 3)  # numbers of columns of labels
SPREAD = 3.0  # standard deviation of their z
REACH, PARTS = 3.0, 16  # of the segments on which the gradient must not jump, and how many parts they are split into
SEED = 0


def register(loss: Loss, *, y: Tensor | ArrayLike | None = None, replace: bool = False) -> Loss:
    """Make a loss known by its name, after a check of its derivatives.

    At normal z of standard deviation 3 and in normal directions v, gradient · v must be what differences of the value
    give, and product what differences of the gradient give, to a relative 1e-9 or to the rounding of the differences.
    On the segments from z − 3v to z + 3v the gradient must not jump: hinge, L¹ and quantile losses are refused. What is
    wrong at other z or for other labels alone is not found, nor are jumps of the second derivatives (Huber's loss).

    Parameters
    ----------
    y
        Labels (S, m) to check with, a tensor or what makes one, taken as 64-bit numbers; by default 0 and 1 by turns in
        one column, and unit vectors in three, of which `labels` must admit one.
    replace
        True registers the name anew, as when a cell of a notebook runs twice; never one of the package's own.

    Returns
    -------
    Loss
        The same, so that the call can be used as an argument.

    Raises
    ------
    ValueError
        If the name is taken or no identifier, or y is no table of finite numbers; naming the derivative that is wrong,
        or the gradient that jumps, where and by how much.
    TypeError
        If it is no `Loss`, or one of its functions gives no tensor of 64-bit numbers of the shape it should.
    """
    checks.kind("loss", loss, Loss)
    checks.new_name("loss", loss.name, LOSSES, BUILT_IN, replace)
    check(loss, y)
    LOSSES[loss.name] = loss
    return loss


def check(loss: Loss, y: Tensor | ArrayLike | None = None) -> None:
    """The check of `register` alone."""
    if y is not None:
        return _check_at(loss, loss.labels(_table(y)))
    refusals = []
    for size in SIZES:
        turns = torch.arange(CHECKED) % max(2, size)
        try:
            labels = loss.labels(one_hot(turns)[:, -size:].double())
        except ValueError as error:
            refusals.append(str(error))
            continue
        _check_at(loss, labels)
    if len(refusals) == len(SIZES):
        raise ValueError(
            f"loss {loss.name!r} admits no labels of 0 and 1 ({refusals[-1]}); give labels y to check it with"
        )


def _table(y: Tensor | ArrayLike) -> Tensor:
    """Labels (S, m) as 64-bit numbers."""
    try:
        table = y.detach().double() if isinstance(y, Tensor) else torch.from_numpy(np.array(y, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must be labels (S, m), all of them numbers, got {type(y).__name__}: {error}") from error
    if table.dim() != 2 or not table.numel() or not table.isfinite().all():
        raise ValueError(
            f"y must be labels (S, m), all of them finite numbers, got shape {tuple(table.shape)} with "
            f"{int((~table.isfinite()).sum())} that are not finite"
        )
    return table


def _check_tensor(loss: Loss, name: str, found: Any, shape: tuple[int | str, ...]) -> None:
    """Whether what a function gives is a tensor of 64-bit numbers of that shape, in which a letter is any number."""
    fits = isinstance(found, Tensor) and len(found.shape) == len(shape)
    fits = fits and all(isinstance(n, str) or k == n for k, n in zip(found.shape, shape, strict=True))
    if not fits or found.dtype != torch.float64:
        got = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        wanted = str(shape).replace("'", "")
        raise TypeError(f"{name} of loss {loss.name!r} must be a tensor of shape {wanted} of torch.float64, got {got}")


def _check_at(loss: Loss, y: Tensor) -> None:
    """Shapes and types, then the derivatives, at random z and in random directions v, (S, m)."""
    _check_tensor(loss, "labels", y, ("S", "m"))
    generator = torch.Generator().manual_seed(SEED)
    z, v = (size * torch.randn(y.shape, generator=generator, dtype=y.dtype) for size in (SPREAD, 1.0))
    value, g, Hv = loss.value(z, y), loss.gradient(z, y), loss.product(z, y, v)
    answers: dict[str, Any] = {"value": value, "gradient": g, "product": Hv}
    for name, answer in answers.items():
        _check_tensor(loss, name, answer, tuple(z.shape[:1] if name == "value" else z.shape))

    def along(f: Callable[[Tensor, Tensor], Tensor], t: Tensor) -> Tensor:
        """f(z + tv, y) for every t, (n, …)."""
        moved = z + t[:, None, None] * v
        return f(moved.flatten(0, 1), y.repeat(len(t), 1)).unflatten(0, (len(t), len(z)))

    for name, of, f, given in (
        ("gradient", "value", loss.value, (g * v).sum(-1)),
        ("product", "gradient", loss.gradient, Hv),
    ):
        size = f(z, y).abs().max() + (z * g).abs().max()
        wanted, error = differences.derivative(partial(along, f), size)
        if (place := differences.worst(given, wanted, error)) is not None:
            row = place // (1 if given.dim() == 1 else given.shape[1])
            raise ValueError(
                f"{name} of loss {loss.name!r} is wrong: along v = {_short(v[row])} at z = {_short(z[row])}, "
                f"y = {_short(y[row])} it gives {given.flatten()[place]:.10g}, differences of {of} give "
                f"{wanted.flatten()[place]:.10g} ± {error.flatten()[place]:.1g}"
            )
    for row in range(min(CHECKED, len(z))):
        _check_continuity(loss, z[row], y[row], v[row])


def _check_continuity(loss: Loss, z: Tensor, y: Tensor, v: Tensor) -> None:
    """No jump of the gradient on the segment z + tv, |t| ≤ REACH, of one sample, (m,)."""

    def slope(t: Tensor) -> Tensor:
        """∇L(z + tv) · v."""
        moved = z + t.flatten()[:, None] * v
        return (loss.gradient(moved, y.expand_as(moved)) @ v).reshape(t.shape)

    ends = torch.linspace(-REACH, REACH, PARTS + 1, dtype=z.dtype)
    left, right = differences.jumps(slope, ends[:-1], ends[1:])
    if len(left):
        jump = slope(right) - slope(left)
        place = int(jump.abs().argmax())
        raise ValueError(
            f"gradient of loss {loss.name!r} must be continuous, but along v = {_short(v)} it jumps by "
            f"{jump[place]:.3g} at z = {_short(z + left[place] * v)}, y = {_short(y)}"
        )


def _short(row: Tensor) -> str:
    return "(" + ", ".join(f"{entry:.3g}" for entry in row.tolist()) + ")"


def get(name: str | Loss) -> Loss:
    """The loss of that name; a `Loss` is returned as it is.

    Raises
    ------
    ValueError
        If no loss has that name.
    TypeError
        If `name` is neither a string nor a `Loss`.
    """
    if isinstance(name, Loss):
        return name
    if not isinstance(name, str):
        raise TypeError(f"loss must be a name or a Loss, got {type(name).__name__}")
    checks.known("loss", name, LOSSES)
    return LOSSES[name]
