"""Activations and losses of one's own: what is registered is checked first, and works like what the package has.

The truth is the package's own function of the same formula, of which other tests show that it is right.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from deeplimit import Data, Problem, activation, continuum, data, discrete, kernels, loss
from deeplimit.activation import ACTIVATIONS, Activation
from deeplimit.loss import LOSSES, Loss

pytestmark = pytest.mark.usefixtures("registries")


SOFTSIGN = Activation(
    "softsign",
    value=lambda z: z / torch.sqrt(1 + z**2),
    first=lambda z: (1 + z**2) ** -1.5,
    second=lambda z: -3 * z * (1 + z**2) ** -2.5,
    lipschitz=1.0,
    lipschitz_derivative=48 / (25 * math.sqrt(5)),
    smooth=True,
    odd=True,
    zero_at_zero=True,
    supremum=1.0,
    lipschitz_second=3.0,
    least_slope=0.0,
)


def pseudo_huber(name: str = "pseudo_huber") -> Loss:
    """√(1 + |z − y|²) − 1."""

    def root(z: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt(1 + ((z - y) ** 2).sum(-1, keepdim=True))

    def product(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
        r, e = root(z, y), z - y
        return v / r - e * (e * v).sum(-1, keepdim=True) / r**3

    return Loss(
        name,
        value=lambda z, y: root(z, y)[:, 0] - 1,
        gradient=lambda z, y: (z - y) / root(z, y),
        product=product,
        predict=lambda z: z,
        labels=lambda y: y,
    )


def test_all_of_the_package_pass_their_own_check() -> None:
    """A check that refuses what is right is of no use: seven smooth ones, relu with its kink, and a smoothed one."""
    for sigma in ACTIVATIONS.values():
        activation.check(sigma)
    smoothed = ACTIVATIONS["relu"].smoothed
    assert smoothed is not None
    activation.check(smoothed(0.1))
    for each in LOSSES.values():
        loss.check(each)


def test_what_is_registered_is_known_by_its_name() -> None:
    """And returned, so that the call can be an argument."""
    assert activation.register(SOFTSIGN) is SOFTSIGN and activation.get("softsign") is SOFTSIGN
    huber = pseudo_huber()
    assert loss.register(huber) is huber and loss.get("pseudo_huber") is huber
    problem = Problem(data.scalar(), activation="softsign", loss="pseudo_huber")
    assert "activation='softsign', loss='pseudo_huber'" in repr(problem)
    assert discrete.minimise(problem, 8).status.converged


def relative(derivative: str, factor: float = 1.001) -> Activation:
    """One derivative off by a thousandth."""
    right: Callable[[Tensor], Tensor] = getattr(SOFTSIGN, derivative)
    return replace(SOFTSIGN, **{derivative: lambda z: factor * right(z)}, lipschitz=2.0, lipschitz_derivative=2.0)


# What is planted, and what the sentence must say; σ' and σ'' at these z follow from the formula.
WRONG: dict[str, tuple[Activation, str]] = {
    "first": (
        relative("first"),
        r"^first of activation 'softsign' is wrong: 0\.977989 at z = -0\.125, .* give 0\.977012;.* order 1\.1 ",
    ),
    "second": (
        relative("second"),
        r"^second .* is wrong: -0\.847976 at z = 0\.4375, .* give -0\.847129;.* order 2\.1 and not 3",
    ),
    "sign of second": (
        relative("second", -1.0),
        r"^second .* is wrong: 0\.85865 at z = 0\.5, .* give -0\.85865;.* order 2 and not 3",
    ),
    "first in one place": (
        replace(SOFTSIGN, first=lambda z: (1 + z**2) ** -1.5 + 0.01 * (z == 2)),
        r"^first .* at z = 2, ",
    ),
    "kink": (
        replace(
            SOFTSIGN, value=lambda z: (z - 1).abs() - 1, first=lambda z: torch.sign(z - 1), second=torch.zeros_like
        ),
        r"^first .* at z = 1, .*kinks, if that is one, must be declared",
    ),
    "not finite": (replace(SOFTSIGN, second=lambda z: SOFTSIGN.second(z) / (z != 3)), r"^second .* at z = 3, .*nan"),
    "lipschitz": (replace(SOFTSIGN, lipschitz=0.99), r"^lipschitz of .* must be at least 1, which it is at z = 0, got"),
    "lipschitz_derivative": (
        replace(SOFTSIGN, lipschitz_derivative=0.85),
        r"^lipschitz_derivative of .* must be at least 0\.858\d*, which it is at z = -0\.5, got 0\.85$",
    ),
    "lipschitz_second": (replace(SOFTSIGN, lipschitz_second=2.9), r"^lipschitz_second of .* at z = -?0, got 2\.9$"),
    "supremum": (replace(SOFTSIGN, supremum=0.9), r"^supremum of .* must be at least 0\.986"),
    "least_slope": (
        replace(SOFTSIGN, least_slope=0.1),
        r"^-least_slope of .* must be at least -0\.004\d*, .*got -0\.1$",
    ),
    "odd": (replace(SOFTSIGN, odd=False), "^odd of .* is False, but True is right"),
    "zero_at_zero": (replace(SOFTSIGN, zero_at_zero=False), "^zero_at_zero of .* is False, but True is right"),
}


@pytest.mark.parametrize(("wrong", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_activation_is_refused_and_the_sentence_says_why(wrong: Activation, sentence: str) -> None:
    """Which derivative or constant, where and by how much; a thousandth is enough."""
    with pytest.raises(ValueError, match=sentence):
        activation.register(wrong)
    assert "softsign" not in ACTIVATIONS


def test_a_declared_kink_is_kept_away_from() -> None:
    """|z| has no derivative at 0, a node of the grid, and the right ones elsewhere."""
    leaky = Activation(
        "leaky",
        value=lambda z: torch.where(z > 1, z, 0.5 * (z + 1)) - 0.5,
        first=lambda z: torch.where(z > 1, 1.0, 0.5).to(z.dtype),
        second=torch.zeros_like,
        lipschitz=1.0,
        lipschitz_derivative=math.inf,
        smooth=False,
        odd=False,
        zero_at_zero=True,
        smoothed=lambda width: SOFTSIGN,
        kinks=(1.0,),
    )
    activation.register(leaky)
    with pytest.raises(ValueError, match=r"^first of activation 'bare' is wrong: 0\.5 at z = 1"):
        activation.register(replace(leaky, name="bare", kinks=()))


@pytest.mark.parametrize("wrong", [lambda z: z.sum(), lambda z: z.float(), lambda z: z.numpy()])
def test_functions_that_change_shape_or_type_are_refused(wrong: Any) -> None:
    """A function of tensors, one number a number."""
    with pytest.raises(TypeError, match=r"^first of activation 'softsign' must keep shape and type"):
        activation.register(replace(SOFTSIGN, first=wrong))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tanh", "the name 'tanh' of the activation is taken; choose another$"),
        ("soft sign", "the name of the activation must be an identifier, as in Python, got 'soft sign'"),
        ("", "must be an identifier"),
        (3, "must be an identifier"),
    ],
)
def test_names_are_new_identifiers(name: Any, sentence: str) -> None:
    """The command line and the columns of tables take them; the package's own are never replaced."""
    with pytest.raises(ValueError, match=sentence):
        activation.register(replace(SOFTSIGN, name=name), replace=True)
    with pytest.raises(ValueError, match=sentence.replace("activation", "loss").replace("tanh", "squared")):
        loss.register(pseudo_huber("squared" if name == "tanh" else name), replace=True)


def test_a_registered_name_is_replaced_only_on_request() -> None:
    """A cell of a notebook may run twice; two parts of a program must not share a name unknowingly."""
    activation.register(SOFTSIGN)
    with pytest.raises(ValueError, match=r"'softsign' .*is taken; choose another, or replace=True"):
        activation.register(SOFTSIGN)
    other = replace(SOFTSIGN)
    assert activation.register(other, replace=True) is activation.get("softsign") is other
    loss.register(pseudo_huber())
    with pytest.raises(ValueError, match="replace=True"):
        loss.register(pseudo_huber())
    with pytest.raises(TypeError, match="activation must be Activation, got builtin_function_or_method"):
        activation.register(torch.tanh)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="loss must be Loss, got str"):
        loss.register("squared")  # type: ignore[arg-type]


def planted(field: str, change: Callable[[Tensor], Tensor]) -> Loss:
    """A function of the loss with its result changed."""
    right = getattr(pseudo_huber(), field)
    return replace(pseudo_huber(), **{field: lambda *arguments: change(right(*arguments))})


def test_a_wrong_derivative_of_a_loss_is_refused() -> None:
    """A factor, a sign, or a Hessian that is not that of the value; the sentence has z, y and v."""
    place = r"along v = \(.*\) at z = \(.*\), y = \(.*\) it gives .*, differences give "
    with pytest.raises(ValueError, match=rf"^gradient of loss .* is wrong: {place}.* order 1\.3 and not 2$"):
        loss.register(planted("gradient", lambda g: 1.001 * g))
    with pytest.raises(ValueError, match=rf"^product of loss 'pseudo_huber' is wrong: {place}.* order 2 and not 3$"):
        loss.register(planted("product", lambda Hv: 1.01 * Hv))
    skew = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    huber = pseudo_huber()

    def twisted(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return huber.product(z, y, v) + (v @ skew if v.shape[1] == 3 else 0)

    with pytest.raises(ValueError, match=r"^product .* order 1 and not 2$"):
        loss.register(replace(huber, product=twisted))
    with pytest.raises(TypeError, match=r"^value of loss 'pseudo_huber' must be a tensor of shape \(64,\), got \(\)"):
        loss.register(planted("value", torch.sum))
    assert "pseudo_huber" not in LOSSES


def test_a_loss_that_admits_no_labels_of_0_and_1_is_checked_with_given_ones() -> None:
    """log(1 + exp(−y z)) wants −1 and 1."""

    def labels(y: Tensor) -> Tensor:
        if (y.abs() != 1).any():
            raise ValueError("labels must be −1 or 1")
        return y

    margin = Loss(
        "margin",
        value=lambda z, y: torch.nn.functional.softplus(-y * z).sum(-1),
        gradient=lambda z, y: -y * torch.sigmoid(-y * z),
        product=lambda z, y, v: torch.sigmoid(z) * torch.sigmoid(-z) * v,
        predict=lambda z: torch.sign(z),
        labels=labels,
    )
    with pytest.raises(ValueError, match=r"admits no labels of 0 and 1 \(labels must be −1 or 1\); give labels y"):
        loss.register(margin)
    loss.register(margin, y=torch.tensor([[1.0], [-1.0]] * 8, dtype=torch.float64))
    assert loss.get("margin") is margin


TANH, SQUARED = ACTIVATIONS["tanh"], LOSSES["squared"]
TWINS: dict[str, Activation] = {
    "torch alone": Activation(
        "mine",
        value=torch.tanh,
        first=lambda z: 1 - torch.tanh(z) ** 2,
        second=lambda z: -2 * torch.tanh(z) * (1 - torch.tanh(z) ** 2),
        lipschitz=1.0,
        lipschitz_derivative=0.77,
        smooth=True,
        odd=True,
        zero_at_zero=True,
    ),
}
TWINS["compiled"] = replace(TWINS["torch alone"], scalar=lambda z: math.tanh(z))
TWINS["builtin"] = replace(TWINS["torch alone"], scalar=math.tanh)
TWINS["not compilable"] = replace(TWINS["torch alone"], scalar=lambda z: float(f"{math.tanh(z)!r}"))
TWINS["arrays"] = replace(TWINS["torch alone"], arrays=TANH.arrays)


@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS.keys())
def test_minima_with_a_registered_activation_are_those_of_the_same_formula(
    twin: Activation, caplog: pytest.LogCaptureFixture
) -> None:
    """tanh by another name and other means; a scalar that cannot be compiled is logged and left out."""
    kernels._can.cache_clear()
    activation.register(twin)
    minima = []
    for name in ("tanh", "mine"):
        problem = Problem(data.scalar(), activation=name, loss="squared", alpha=0.05)
        net = discrete.branch(problem, [8, 16], seed=1)[-1]
        minima.append((net, continuum.minimise(problem, start=net.control)))
    for known, mine in zip(*minima, strict=True):
        assert mine.status.converged and mine.value == pytest.approx(known.value, rel=1e-13)
        assert mine.curvature == pytest.approx(known.curvature, rel=1e-9)
        for block in "KbWc":
            torch.testing.assert_close(getattr(mine.control, block), getattr(known.control, block), atol=1e-10, rtol=0)
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    compiles = kernels.pay(3, 1)
    assert len(logged) == (compiles and twin is TWINS["not compilable"])


def test_minima_with_a_registered_loss_are_those_of_the_same_formula() -> None:
    """|z − y|² by another name; symmetries of the outputs are not taken for granted there."""
    mine = Loss(
        "mine",
        value=lambda z, y: ((z - y) * (z - y)).sum(-1),
        gradient=lambda z, y: 2 * z - 2 * y,
        product=lambda z, y, v: v + v,
        predict=lambda z: z,
        labels=lambda y: y,
    )
    loss.register(mine)
    values = [
        discrete.minimise(Problem(data.scalar(), loss=name, alpha=0.05), 16, seed=1).value
        for name in ("squared", "mine")
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-14)
    swapped = Data([[1.0], [-1.0]], [[1.0, 0.0], [0.0, 1.0]])  # x ↦ −x exchanges the columns of y
    orders = [len(discrete.symmetries(Problem(swapped, loss=name))) for name in ("squared", "mine")]
    assert orders == [2, 1]
