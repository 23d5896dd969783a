"""Losses: the truth is SciPy, torch's own cross-entropies, autograd in float64 and values found by hand."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from torch import Tensor
from torch.nn import functional

from deeplimit import loss
from deeplimit.loss import LOSSES, Loss

NAMES = list(LOSSES)
REFERENCE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": lambda z, y: functional.mse_loss(z, y, reduction="none").sum(1),
    "logistic": lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="none").sum(1),
    "softmax": lambda z, y: functional.cross_entropy(z, y, reduction="none"),
}
CLASS_NUMBERS = "the softmax loss needs class numbers 0, 1, …, at most 9999,"


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sample(name: str, outputs: int, points: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs z of all sizes up to 30, admissible labels y (half of them sure, half not), directions v."""
    random = np.random.default_rng(outputs)
    z = random.standard_normal((points, outputs)) * np.geomspace(0.1, 30, points)[:, None]
    y = random.random((points, outputs))
    if name == "softmax":
        y[::2] = np.eye(outputs)[random.integers(outputs, size=len(y[::2]))]
        y /= y.sum(1, keepdims=True)
    elif name == "logistic":
        y[::2] = y[::2].round()
    return tensor(z), tensor(y), tensor(random.standard_normal((points, outputs)))


def cases() -> list[tuple[str, int]]:
    return [(name, m) for name in NAMES for m in (1, 2, 5) if (name, m) != ("softmax", 1)]


@pytest.mark.parametrize(("name", "outputs"), cases())
def test_values_are_those_of_torch(name: str, outputs: int) -> None:
    """The losses are standard; the squared one has no factor ½ and sums over the columns."""
    z, y, _ = sample(name, outputs)
    value = LOSSES[name].value(z, y)
    assert value.shape == (len(z),)
    torch.testing.assert_close(value, REFERENCE[name](z, y), rtol=1e-14, atol=1e-14)


def test_logistic_value_is_that_of_scipy() -> None:
    """L = −Σ_j y_j log s(z_j) + (1 − y_j) log(1 − s(z_j)), s the logistic sigmoid."""
    z, y, _ = sample("logistic", 3)
    yes, no = (tensor(scipy.special.log_expit(signed.numpy())) for signed in (z, -z))
    wanted = -(y * yes + (1 - y) * no).sum(1)
    torch.testing.assert_close(LOSSES["logistic"].value(z, y), wanted, rtol=1e-14, atol=0)


def test_softmax_value_is_that_of_scipy() -> None:
    """L = log Σ exp z_k − y · z."""
    z, y, _ = sample("softmax", 3)
    wanted = tensor(scipy.special.logsumexp(z.numpy(), axis=1)) - (y * z).sum(1)
    torch.testing.assert_close(LOSSES["softmax"].value(z, y), wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("name", "outputs"), cases())
def test_gradient_is_the_derivative_of_the_value(name: str, outputs: int) -> None:
    """Autograd of torch's own loss; no sample sees another, so their sum may be differentiated."""
    z, y, _ = sample(name, outputs)
    z.requires_grad_()
    (wanted,) = torch.autograd.grad(REFERENCE[name](z, y).sum(), z)
    error = (LOSSES[name].gradient(z, y) - wanted).norm() / wanted.norm()
    assert error < 1e-14


@pytest.mark.parametrize(("name", "outputs"), cases())
def test_product_is_the_derivative_of_the_gradient(name: str, outputs: int) -> None:
    """∇²L v = ∇(∇L · v), by autograd of torch's own loss, within 1e-13 of the largest entry in every row."""
    z, y, v = sample(name, outputs)
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(REFERENCE[name](z, y).sum(), z, create_graph=True)
    (wanted,) = torch.autograd.grad((gradient * v).sum(), z)
    error = (LOSSES[name].product(z, y, v) - wanted).norm() / wanted.norm()
    assert error < 1e-13


@pytest.mark.parametrize(("name", "outputs"), cases())
def test_value_is_differentiable_by_autograd(name: str, outputs: int) -> None:
    """Autograd through the package's own value is the oracle of whole networks; it must agree at 0 too."""
    z, y, v = sample(name, outputs)
    z[0] = 0
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(LOSSES[name].value(z, y).sum(), z, create_graph=True)
    (product,) = torch.autograd.grad((gradient * v).sum(), z)
    torch.testing.assert_close(gradient, LOSSES[name].gradient(z, y), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(product, LOSSES[name].product(z, y, v), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("name", "outputs"), cases())
def test_the_second_derivative_is_symmetric_and_not_negative(name: str, outputs: int) -> None:
    """All three losses are convex in z: v · ∇²L v ≥ 0 and w · ∇²L v = v · ∇²L w."""
    z, y, v = sample(name, outputs)
    w = v.flip(0)
    product = LOSSES[name].product
    assert ((v * product(z, y, v)).sum(1) >= -1e-15).all()
    there, back = (w * product(z, y, v)).sum(1), (v * product(z, y, w)).sum(1)
    torch.testing.assert_close(there, back, rtol=1e-12, atol=1e-14)


def test_softmax_does_not_see_a_common_shift() -> None:
    """log Σ exp(z_k + a) − y · (z + a) = log Σ exp z_k − y · z for Σ y = 1, so ∇L ⟂ 1 and ∇²L 1 = 0."""
    z, y = tensor([[0.5, -1.25, 2.0]]), tensor([[0.25, 0.25, 0.5]])
    softmax, ones = LOSSES["softmax"], torch.ones(1, 3, dtype=torch.float64)
    for shift in (-1024.0, 1024.0):
        assert softmax.value(z + shift, y).item() == pytest.approx(softmax.value(z, y).item(), rel=1e-15)
        torch.testing.assert_close(softmax.gradient(z + shift, y), softmax.gradient(z, y), rtol=1e-14, atol=0)
    assert softmax.gradient(z, y).sum().abs() < 1e-15
    assert softmax.product(z, y, ones).abs().max() < 1e-15


def test_losses_at_zero_are_known_in_closed_form() -> None:
    """At z = 0 the network knows nothing: log 2 per yes or no, log k for k classes, |y|² for numbers."""
    zero = torch.zeros(1, 4, dtype=torch.float64)
    y = tensor([[0.0, 1.0, 0.0, 0.0]])
    assert LOSSES["logistic"].value(zero, y).item() == pytest.approx(4 * math.log(2), rel=1e-15)
    assert LOSSES["softmax"].value(zero, y).item() == pytest.approx(math.log(4), rel=1e-15)
    assert LOSSES["squared"].value(zero, 3 * y).item() == 9.0
    assert LOSSES["logistic"].gradient(zero, y).tolist() == [[0.5, -0.5, 0.5, 0.5]]
    assert LOSSES["softmax"].gradient(zero, y).tolist() == [[0.25, -0.75, 0.25, 0.25]]
    assert LOSSES["squared"].gradient(zero, y).tolist() == [[0, -2, 0, 0]]


@pytest.mark.parametrize(
    ("name", "z", "y", "value", "gradient"),
    [
        ("logistic", [800.0], [1.0], 0.0, [0.0]),
        ("logistic", [800.0], [0.0], 800.0, [1.0]),
        ("logistic", [-800.0], [1.0], 800.0, [-1.0]),
        ("logistic", [-800.0], [0.0], 0.0, [0.0]),
        ("logistic", [800.0, -800.0], [0.5, 0.25], 600.0, [0.5, -0.25]),
        ("softmax", [800.0, -800.0], [1.0, 0.0], 0.0, [0.0, 0.0]),
        ("softmax", [800.0, -800.0], [0.0, 1.0], 1600.0, [1.0, -1.0]),
        ("softmax", [-800.0, -800.0], [1.0, 0.0], math.log(2), [-0.5, 0.5]),
        ("squared", [800.0, -800.0], [0.0, 0.0], 1280000.0, [1600.0, -1600.0]),
    ],
)
def test_sure_answers_neither_overflow_nor_cancel(
    name: str, z: list[float], y: list[float], value: float, gradient: list[float]
) -> None:
    """exp 800 overflows and log s(−800) is log 0, but the function and its derivatives are finite."""
    outputs, labels = tensor([z]), tensor([y])
    assert LOSSES[name].value(outputs, labels).item() == pytest.approx(value, rel=1e-14, abs=0)
    torch.testing.assert_close(LOSSES[name].gradient(outputs, labels), tensor([gradient]), rtol=1e-14, atol=0)
    assert LOSSES[name].product(outputs, labels, torch.ones_like(outputs)).isfinite().all()


@pytest.mark.parametrize(("z", "y"), [(40.0, 1.0), (-40.0, 0.0)])
def test_a_small_logistic_loss_keeps_its_digits(z: float, y: float) -> None:
    """log(1 + e⁻⁴⁰) = e⁻⁴⁰ to 17 digits, where softplus(40) − 40 would be 0."""
    value = LOSSES["logistic"].value(tensor([[z]]), tensor([[y]])).item()
    assert value == pytest.approx(math.exp(-40), rel=1e-14, abs=0)


@pytest.mark.parametrize("name", NAMES)
def test_leading_dimensions_are_batches(name: str) -> None:
    """Several directions v at once: the product of each is the product of all."""
    z, y, v = sample(name, 3)
    several = torch.stack((v, -2 * v, v.flip(0)))
    product = LOSSES[name].product(z, y, several)
    assert all(torch.equal(product[k], LOSSES[name].product(z, y, several[k])) for k in range(3))


def test_predictions() -> None:
    """The likelier class; yes or no column by column; the number itself."""
    z = tensor([[-1.0, 2.0, 0.5], [3.0, -4.0, 1.0]])
    assert LOSSES["softmax"].predict(z).tolist() == [1, 0]
    assert LOSSES["logistic"].predict(z).tolist() == [[0, 1, 1], [1, 0, 1]]
    assert LOSSES["logistic"].predict(z[:, :1]).tolist() == [0, 1]
    assert not LOSSES["logistic"].predict(z).is_floating_point()
    assert torch.equal(LOSSES["squared"].predict(z), z)


@pytest.mark.parametrize(
    ("name", "y"),
    [
        ("squared", [[-3.0, 1e9]]),
        ("squared", [[0.5], [-7.0]]),
        ("logistic", [[0.0], [1.0], [0.3]]),
        ("logistic", [[0.0, 1.0], [1.0, 1.0]]),
        ("softmax", [[0.0, 1.0], [1.0, 0.0]]),
        ("softmax", [[0.1, 0.2, 0.7], [0.0, 0.0, 1.0]]),
        ("softmax", [[0.5, 0.5 + 9e-13]]),
    ],
)
def test_admissible_labels_are_taken_as_they_are(name: str, y: list[list[float]]) -> None:
    """Any number has a squared distance; probabilities are rows in the simplex, up to rounding."""
    assert torch.equal(LOSSES[name].labels(tensor(y)), tensor(y))


@pytest.mark.parametrize(
    ("y", "onehot"),
    [
        ([0, 1, 1], [[1, 0], [0, 1], [0, 1]]),
        ([1, 1], [[0, 1], [0, 1]]),
        ([3, 0], [[0, 0, 0, 1], [1, 0, 0, 0]]),
    ],
)
def test_class_numbers_become_unit_vectors(y: list[float], onehot: list[list[float]]) -> None:
    """One column of class numbers 0 … k−1 means k classes, the largest number deciding, present or not."""
    labels = LOSSES["softmax"].labels(tensor(y)[:, None])
    assert labels.tolist() == onehot
    assert labels.dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "y", "sentence"),
    [
        (
            "logistic",
            [[0.0, 1.0], [1.0, 2.0]],
            "the logistic loss needs labels from 0 to 1, got 2 in row 1, column 1 (counted from 0)",
        ),
        (
            "logistic",
            [[-0.5]],
            "the logistic loss needs labels from 0 to 1, got -0.5 in row 0, column 0 (counted from 0)",
        ),
        (
            "logistic",
            [[math.nan]],
            "the logistic loss needs labels from 0 to 1, got nan in row 0, column 0 (counted from 0)",
        ),
        (
            "softmax",
            [[0.5, 0.5], [0.5, 0.6]],
            "the softmax loss needs one column of class numbers or non-negative rows that sum to 1, "
            "got [0.5, 0.6] in row 1 (counted from 0)",
        ),
        (
            "softmax",
            [[1.5, -0.5]],
            "the softmax loss needs one column of class numbers or non-negative rows that sum to 1, "
            "got [1.5, -0.5] in row 0 (counted from 0)",
        ),
        (
            "softmax",
            [[0.5, 0.5 + 2e-12]],
            "the softmax loss needs one column of class numbers or non-negative rows that sum to 1, "
            "got [0.5, 0.500000000002] in row 0 (counted from 0)",
        ),
        (
            "softmax",
            [[0.0], [1.0], [0.5]],
            f"{CLASS_NUMBERS} got 0.5 in row 2 (counted from 0)",
        ),
        (
            "softmax",
            [[0.0], [-1.0]],
            f"{CLASS_NUMBERS} got -1.0 in row 1 (counted from 0)",
        ),
        (
            "softmax",
            [[1e12]],
            f"{CLASS_NUMBERS} got 1000000000000.0 in row 0 (counted from 0)",
        ),
        (
            "softmax",
            [[math.nan]],
            f"{CLASS_NUMBERS} got nan in row 0 (counted from 0)",
        ),
        (
            "softmax",
            [[1.0], [2.0]],
            "the softmax loss needs class numbers that count from 0, got 1 to 2; if there is no sample of class 0, "
            "give one-hot rows",
        ),
        (
            "softmax",
            [[0.0], [0.0]],
            "the softmax loss needs at least two classes, got the class number 0 in every row",
        ),
    ],
)
def test_other_labels_are_refused_in_one_sentence(name: str, y: list[list[float]], sentence: str) -> None:
    """The sentence names the requirement, the value and where it stands."""
    with pytest.raises(ValueError) as error:
        LOSSES[name].labels(tensor(y))
    assert str(error.value) == sentence


@pytest.mark.parametrize("name", NAMES)
def test_lookup_by_name_and_by_value(name: str) -> None:
    """A name finds its loss; a loss stands for itself."""
    assert LOSSES[name].name == name
    assert loss.get(name) is LOSSES[name]
    own = dataclasses.replace(LOSSES[name], name="own")
    assert loss.get(own) is own


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """The message must let the reader correct the call."""
    with pytest.raises(ValueError, match=r"^loss must be one of squared, logistic, softmax, got 'hinge'$"):
        loss.get("hinge")
    with pytest.raises(ValueError, match=r"softmax, got 'sofmax'; did you mean 'softmax'\?$"):
        loss.get("sofmax")


@pytest.mark.parametrize("wrong", [None, 3, functional.mse_loss])
def test_other_types_are_refused(wrong: Any) -> None:
    """A bare function has no second derivative by formula."""
    with pytest.raises(TypeError, match=r"^loss must be a name or a Loss, got "):
        loss.get(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_losses_survive_the_way_to_another_process(name: str) -> None:
    """Parallel studies pickle their problems."""
    copy: Loss = pickle.loads(pickle.dumps(LOSSES[name]))
    z, y, _ = sample(name, 3)
    assert torch.equal(copy.gradient(z, y), LOSSES[name].gradient(z, y))
    assert repr(copy) == f"Loss('{name}')"
