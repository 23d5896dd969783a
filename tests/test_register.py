"""Activations and losses of one's own: what is registered is checked first, and works like what the package has.

The truth is the package's own function of the same formula, of which other tests show that it is right.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
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


def relative(derivative: str, factor: float) -> Activation:
    """One derivative off by a factor."""
    right: Callable[[Tensor], Tensor] = getattr(SOFTSIGN, derivative)
    return replace(SOFTSIGN, **{derivative: lambda z: factor * right(z)}, lipschitz=2.0, lipschitz_derivative=2.0)


# What is planted, and what the sentence must say; σ' and σ'' at these z follow from the formula.
WRONG: dict[str, tuple[Activation, str]] = {
    "first": (
        relative("first", 1.001),
        r"^first of activation 'softsign' is wrong: 1\.001 at z = -?0, where differences of value give 1 ± \de-1\d$",
    ),
    "second": (
        relative("second", 1.001),
        r"^second .* is wrong: -?0\.85950\d* at z = -?0\.5, where differences of first give -?0\.85865\d* ± \de-1\d$",
    ),
    "sign of second": (
        relative("second", -1.0),
        r"^second .* is wrong: (-?)0\.858650\d* at z = \1?0\.5, where differences of first give -?0\.858650\d* ± ",
    ),
    "first in one place": (
        replace(SOFTSIGN, first=lambda z: (1 + z**2) ** -1.5 + 0.01 * (z == 2)),
        r"^first .* at z = 2, ",
    ),
    "first from some place on": (
        replace(SOFTSIGN, first=lambda z: (1 + z**2) ** -1.5 + 0.01 * (z > math.pi)),
        r"^first .* is wrong: .* at z = [3456]",
    ),
    "jump": (
        replace(SOFTSIGN, value=lambda z: z / torch.sqrt(1 + z**2) + 0.125 * (z > 0.3)),
        r"^value .* must be continuous, but it jumps by 0\.125 at z = 0\.3$",
    ),
    "kink": (
        replace(
            SOFTSIGN, value=lambda z: (z - 1).abs() - 1, first=lambda z: torch.sign(z - 1), second=torch.zeros_like
        ),
        r"^value .* has a kink that kinks does not name: its slope jumps by 2 at z = 1$",
    ),
    "kink of a smooth one": (
        replace(SOFTSIGN, kinks=(0.5,)),
        r"^activation 'softsign' has kinks, so smooth must be False and lipschitz_derivative infinite, got True",
    ),
    "not finite": (
        replace(SOFTSIGN, second=lambda z: SOFTSIGN.second(z) / (z != 3)),
        r"^second .* is wrong: -inf at z = 3, where differences of first give -0\.0284\d* ± ",
    ),
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
    """Which derivative or constant, where and by how much."""
    with pytest.raises(ValueError, match=sentence):
        activation.register(wrong)
    assert "softsign" not in ACTIVATIONS


def hyperbola(place: float, width: float) -> tuple[Callable[[Tensor], Tensor], ...]:
    """h = (x + √(x² + ε²))/2, x = z − a, which tends to relu, with its first two derivatives."""

    def root(z: Tensor) -> Tensor:
        return torch.sqrt((z - place) ** 2 + width**2)

    return (
        lambda z: (z - place + root(z)) / 2,
        lambda z: (1 + (z - place) / root(z)) / 2,
        lambda z: width**2 / root(z) ** 3 / 2,
    )


def at_zero(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """f less its value at 0."""
    return lambda z: f(z) - f(torch.zeros(1, dtype=z.dtype))


def smoothed_leaky(place: float, width: float) -> Activation:
    """z/2 + h/2, in place of z/2 + (z − a)₊/2."""
    h, first, second = hyperbola(place, width)
    return Activation(
        f"leaky_{width}",
        value=at_zero(lambda z: (z + h(z)) / 2),
        first=lambda z: (1 + first(z)) / 2,
        second=lambda z: second(z) / 2,
        lipschitz=1.0,
        lipschitz_derivative=1 / width,
        smooth=True,
        odd=False,
        zero_at_zero=True,
    )


def smoothed_quadratic(place: float, width: float) -> Activation:
    """z + h²/2."""
    h, first, second = hyperbola(place, width)
    return Activation(
        f"quadratic_{width}",
        value=at_zero(lambda z: z + h(z) ** 2 / 2),
        first=lambda z: 1 + h(z) * first(z),
        second=lambda z: first(z) ** 2 + h(z) * second(z),
        lipschitz=math.inf,
        lipschitz_derivative=math.inf,
        smooth=True,
        odd=False,
        zero_at_zero=True,
    )


def leaky(place: float, name: str = "leaky", kinks: tuple[float, ...] = ()) -> Activation:
    """Slope ½ up to a place and 1 after it, 0 at 0: no derivative at the place, and the right ones elsewhere."""
    return Activation(
        name,
        value=lambda z: torch.where(z > place, z - place, 0.5 * (z - place)) + min(place, place / 2),
        first=lambda z: torch.where(z > place, 1.0, 0.5).to(z.dtype),
        second=torch.zeros_like,
        lipschitz=1.0,
        lipschitz_derivative=math.inf,
        smooth=False,
        odd=False,
        zero_at_zero=True,
        smoothed=partial(smoothed_leaky, place),
        kinks=kinks,
    )


# Nodes of the grid, beside one, between two, the first and the last interval
PLACES = [0.0, 1.0, 0.03, -1e-7, 1e-5, math.pi, -math.e, 5.9999, -5.9999]


@pytest.mark.parametrize("place", PLACES)
def test_a_kink_anywhere_is_found_unless_it_is_named(place: float) -> None:
    """To a millionth, in the sentence."""
    activation.register(leaky(place, kinks=(place,)))
    with pytest.raises(
        ValueError, match=r"^value of activation 'bare' has a kink .* slope jumps by 0\.5 at z = "
    ) as bare:
        activation.register(leaky(place, "bare"))
    assert float(str(bare.value).split("z = ")[1]) == pytest.approx(place, abs=1e-5)  # six digits are printed
    with pytest.raises(ValueError, match="has a kink that kinks does not name"):
        activation.register(leaky(place, "misnamed", kinks=(place + 1e-3,)))


def above(height: Callable[[float], float]) -> Callable[[float], Activation]:
    """The smoothed leaky one of kink 0, higher by something that depends on the width."""

    def smoothed(width: float) -> Activation:
        right = smoothed_leaky(0.0, width)
        return replace(right, value=lambda z: right.value(z) + height(width), zero_at_zero=height(width) == 0)

    return smoothed


SMOOTHINGS: dict[str, tuple[Any, str]] = {
    "a text": (lambda width: "text", r"at width 0\.1 must be an Activation, got str$"),
    "not smooth": (lambda width: leaky(0.0), r"at width 0\.1 must be smooth$"),
    "of something else": (
        lambda width: ACTIVATIONS["tanh"],
        r"at width 0\.1 must be within 10 × width of value, .* by 5\.0\d* at z = 6",
    ),
    "within 10 widths that do not shrink": (
        above(lambda width: 0.05),
        r"must tend to value .* 0\.04999\d* for a width of 0\.1 and 0\.04999\d* for",
    ),
    "of a wrong slope": (
        lambda width: replace(smoothed_leaky(0.0, width), first=hyperbola(0.0, width)[1]),
        r"at width 0\.1: first of activation 'leaky_0\.1' is wrong: ",
    ),
    "which fails": (lambda width: math.log(-width), r"at width 0\.1 .* ValueError: "),
}


@pytest.mark.parametrize(("smoothed", "sentence"), SMOOTHINGS.values(), ids=SMOOTHINGS.keys())
def test_what_does_not_smooth_an_activation_is_refused(smoothed: Any, sentence: str) -> None:
    """Minima of networks with kinks are found by smooth ones that tend to them."""
    right = leaky(0.0, kinks=(0.0,))
    activation.check(replace(right, smoothed=above(lambda width: 0.0)))
    activation.check(replace(right, smoothed=above(lambda width: 2 * width)))
    with pytest.raises((TypeError, ValueError), match=rf"^smoothed of activation 'leaky' {sentence}"):
        activation.register(replace(right, smoothed=smoothed))


def test_a_tiny_jump_is_said_to_be_one_of_formula_or_precision() -> None:
    """torch's softplus is z beyond a threshold, where log(1 + exp(10 z))/10 exceeds it by exp(−20)/10 at 2."""
    softplus = partial(torch.nn.functional.softplus, beta=10)
    sigma = replace(
        steep(10.0),
        value=lambda z: softplus(z) - math.log(2) / 10,
        first=lambda z: torch.where(z > 2, 1.0, torch.sigmoid(10 * z)),
    )
    with pytest.raises(ValueError, match=r"jumps by -?2\.06e-09 at z = 2, as where a formula or the precision changes"):
        activation.check(sigma)
    with pytest.raises(
        ValueError, match=r"must be continuous, but it jumps by .*e-0\d at z = .*, as where a formula or"
    ):
        activation.check(replace(SOFTSIGN, value=lambda z: SOFTSIGN.value(z.float()).double()))
    with pytest.raises(ValueError, match=r"jumps by 0\.5 at z = 1$"):
        activation.check(leaky(1.0))


def quadratic(place: float, smooth: bool, **constants: float) -> Activation:
    """z + (z − a)₊²/2 less its value at 0: σ'' jumps by 1 at a."""
    start = max(-place, 0.0) ** 2 / 2
    return Activation(
        "quadratic",
        value=lambda z: z + torch.relu(z - place) ** 2 / 2 - start,
        first=lambda z: 1 + torch.relu(z - place),
        second=lambda z: (z > place).to(z.dtype),
        lipschitz=math.inf,
        lipschitz_derivative=1.0,
        smooth=smooth,
        odd=False,
        zero_at_zero=True,
        smoothed=None if smooth else partial(smoothed_quadratic, place),
        **constants,
    )


@pytest.mark.parametrize("place", PLACES)
def test_a_jump_of_the_second_derivative_is_found_where_it_should_be_smooth(place: float) -> None:
    """What is C¹ may be registered as such, with no Lipschitz constant of σ''."""
    with pytest.raises(
        ValueError, match=r"^smooth of activation 'quadratic' must be False, as second jumps by 1 at z = "
    ):
        activation.register(quadratic(place, smooth=True))
    with pytest.raises(ValueError, match=r"^lipschitz_second .* must be infinite, as second jumps by 1 at z = "):
        activation.register(quadratic(place, smooth=False, lipschitz_second=1.0))
    activation.register(quadratic(place, smooth=False))


def test_a_square_with_a_sign_is_not_smooth() -> None:
    """z|z| is C¹, and 2 sign z has the right derivative 0 at 0, a node of the grid."""
    square = replace(
        quadratic(0.0, smooth=True),
        value=lambda z: z * z.abs(),
        first=lambda z: 2 * z.abs(),
        second=lambda z: 2 * torch.sign(z),
        odd=True,
        lipschitz_derivative=2.0,
    )
    with pytest.raises(ValueError, match=r"must be False, as second jumps by 4 at z = 0$"):
        activation.check(square)


FACTORS = [(sigma, name) for sigma in ACTIVATIONS.values() for name in ("first", "second")]
FACTORS = [(sigma, name) for sigma, name in FACTORS if name == "first" or sigma.name not in ("relu", "identity")]


@pytest.mark.parametrize("factor", [1 - 1e-7, 1 + 1e-7])
@pytest.mark.parametrize(("sigma", "name"), FACTORS, ids=[f"{sigma.name}, {name}" for sigma, name in FACTORS])
def test_a_factor_of_a_derivative_that_is_off_by_a_ten_millionth_is_found(
    sigma: Activation, name: str, factor: float
) -> None:
    """And the derivative that it is in is blamed. Other tests show that the package's own are right."""
    right: Callable[[Tensor], Tensor] = getattr(sigma, name)
    unbounded = dict.fromkeys(("lipschitz", "lipschitz_derivative", "lipschitz_second"), math.inf)
    wrong = replace(sigma, arrays=None, least_slope=-math.inf, **unbounded, **{name: lambda z: factor * right(z)})
    of = {"first": "value", "second": "first"}[name]
    with pytest.raises(
        ValueError, match=rf"^{name} of activation '{sigma.name}' is wrong: .* differences of {of} give "
    ):
        activation.check(wrong)


def steep(rate: float) -> Activation:
    """log(1 + exp(rate z)) / rate less its value at 0, as one would write it."""
    return Activation(
        "steep",
        value=lambda z: torch.log1p(torch.exp(rate * z)) / rate - math.log(2) / rate,
        first=lambda z: 1 / (1 + torch.exp(-rate * z)),
        second=lambda z: rate * torch.exp(-rate * z) / (1 + torch.exp(-rate * z)) ** 2,
        lipschitz=1.0,
        lipschitz_derivative=rate / 4,
        smooth=True,
        odd=False,
        zero_at_zero=True,
        lipschitz_second=rate**2 / (6 * math.sqrt(3)),
        least_slope=0.0,
    )


def test_what_is_sharp_but_smooth_is_not_refused() -> None:
    """The turn of a smoothed relu is as wide as asked for; a softplus of slope 50 is one to a fiftieth."""
    smoothed = ACTIVATIONS["relu"].smoothed
    assert smoothed is not None
    for width in (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5):
        activation.check(smoothed(width))
    for rate in (1.0, 50.0):
        activation.check(steep(rate))


def zero_between(z: float) -> float:
    """tanh, and 0 around 0.15."""
    return 0.0 if abs(z - 0.15) < 0.1 else math.tanh(z)


def zero_far_out(z: float) -> float:
    """tanh, and 0 from 6.1 on."""
    return math.tanh(z) if abs(z) < 6.1 else 0.0


def overflowing(z: float) -> float:
    """tanh as a quotient of exponentials, of which those beyond 355 are too large."""
    return (math.exp(2 * z) - 1) / (math.exp(2 * z) + 1)


@pytest.mark.parametrize(
    ("scalar", "sentence"),
    [
        (zero_between, r"has scalar of another function than it is: at z = 0\.\d+ it gives 0, where value is 0\.\d+$"),
        (
            zero_far_out,
            r"has scalar of another function than it is: at z = -?\d+\.?\d* it gives 0, where value is -?1$",
        ),
        (overflowing, r"^scalar of .* must be finite for \|z\| ≤ 700 where value, .*, but it raises OverflowError: "),
    ],
)
def test_a_scalar_that_is_another_function_between_the_probes_or_far_out_is_not_registered(
    scalar: Callable[[float], float], sentence: str
) -> None:
    """The compiled sweep would use it; at multiples of 0.3 up to 6 each is tanh."""
    twin = replace(ACTIVATIONS["tanh"], name="mine", scalar=scalar)
    with pytest.raises(ValueError, match=sentence):
        activation.register(twin)
    assert "mine" not in ACTIVATIONS


@pytest.mark.parametrize("place", range(3))
def test_one_of_the_arrays_that_is_wrong_far_out_is_not_registered(place: int) -> None:
    """σ, σ' or σ'' of softsign, which are 0 only far beyond 700."""
    functions = [
        lambda z, f=f: f(torch.from_numpy(z)).numpy() for f in (SOFTSIGN.value, SOFTSIGN.first, SOFTSIGN.second)
    ]
    activation.check(replace(SOFTSIGN, arrays=tuple(functions)))
    right = functions[place]
    functions[place] = lambda z: right(z) * (abs(z) < 6.5)
    with pytest.raises(ValueError, match=r"has arrays of another .* at z = -?\d+\.?\d* it gives -?0, where"):
        activation.check(replace(SOFTSIGN, arrays=tuple(functions)))


def test_a_scalar_that_gives_whole_numbers_here_and_there_is_right() -> None:
    """Python's max(z, 0) is the integer 0 for z < 0."""
    twin = replace(ACTIVATIONS["relu"], name="mine", scalar=lambda z: max(z, 0))
    assert activation.register(twin) is ACTIVATIONS["mine"]


def growing(name: str, value: Callable[[Tensor], Tensor], first: Any, second: Any) -> Activation:
    """A smooth one whose derivatives are unbounded."""
    return Activation(
        name,
        value=value,
        first=first,
        second=second,
        lipschitz=math.inf,
        lipschitz_derivative=math.inf,
        smooth=True,
        odd=name == "power",
        zero_at_zero=True,
    )


GAUSS = growing(
    "gauss",
    lambda z: torch.expm1(z**2),
    lambda z: 2 * z * torch.exp(z**2),
    lambda z: (2 + 4 * z**2) * torch.exp(z**2),
)
POWER = growing("power", lambda z: z**7, lambda z: 7 * z**6, lambda z: 42 * z**5)


@pytest.mark.parametrize(
    ("right", "added", "sentence"),
    [
        (GAUSS, lambda z: 0.5 * (z == 0), r"^first of .* is wrong: 0\.5 at z = -?0, where differences of value give"),
        (POWER, lambda z: 1e-6, r"^first of .* is wrong: 1e-06 at z = -?0\.\d+, where differences of value give"),
    ],
    ids=["exp z² − 1", "z⁷"],
)
def test_a_slope_that_is_wrong_near_0_is_found_though_the_function_grows(
    right: Activation, added: Callable[[Tensor], Any], sentence: str
) -> None:
    """What is rounded at 6 is no excuse for an error at 0: exp 36 = 4e15, 6⁷ = 3e5."""
    activation.check(right)
    with pytest.raises(ValueError, match=sentence):
        activation.check(replace(right, first=lambda z: right.first(z) + added(z)))


@pytest.mark.parametrize("factor", [1.0, 1e6, 1e-6])
def test_numbers_that_cancel_are_right_to_their_own_rounding(factor: float) -> None:
    """1 − tanh² at 6 is 2e-5 as a difference of ones, of which σ'' is a difference again."""
    sigma = Activation(
        "mine",
        value=lambda z: factor * (torch.sigmoid(2 * z) - torch.sigmoid(-2 * z)),
        first=lambda z: factor * (1 - torch.tanh(z) ** 2),
        second=lambda z: -2 * factor * torch.tanh(z) * (1 - torch.tanh(z) ** 2),
        lipschitz=factor,
        lipschitz_derivative=factor,
        smooth=True,
        odd=True,
        zero_at_zero=True,
    )
    activation.check(sigma)


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


PLACE = r"along v = \(.*\) at z = \(.*\), y = \(.*\) it gives -?\d\S*"


def planted(field: str, change: Callable[[Tensor], Tensor]) -> Loss:
    """A function of the loss with its result changed."""
    right = getattr(pseudo_huber(), field)
    return replace(pseudo_huber(), **{field: lambda *arguments: change(right(*arguments))})


def test_a_wrong_derivative_of_a_loss_is_refused() -> None:
    """A Hessian that is not that of the value; the sentence has z, y and v."""
    skew = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    huber = pseudo_huber()

    def twisted(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return huber.product(z, y, v) + (v @ skew if v.shape[1] == 3 else 0)

    with pytest.raises(
        ValueError, match=rf"^product of loss 'pseudo_huber' is wrong: {PLACE}, differences of gradient "
    ):
        loss.register(replace(huber, product=twisted))
    with pytest.raises(
        TypeError, match=r"^value of loss 'pseudo_huber' must be a tensor of shape \(64,\) of .*, got .* \(\)"
    ):
        loss.register(planted("value", torch.sum))
    assert "pseudo_huber" not in LOSSES


@pytest.mark.parametrize("factor", [-1.0, 1.001, 1 - 1e-7, 1 + 1e-7])
@pytest.mark.parametrize("right", [*LOSSES.values(), pseudo_huber()], ids=lambda right: right.name)
def test_a_factor_of_a_derivative_of_a_loss_is_found(right: Loss, factor: float) -> None:
    """And the derivative that it is in is blamed. Other tests show that the package's own are right."""
    for name, of in (("gradient", "value"), ("product", "gradient")):
        function: Callable[..., Tensor] = getattr(right, name)
        wrong = replace(right, **{name: lambda *arguments, f=function: factor * f(*arguments)})
        with pytest.raises(ValueError, match=rf"^{name} of loss .* is wrong: {PLACE}, differences of {of} give .* ± "):
            loss.check(wrong)


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


ROWS = [[0.0], [1.0], [1.0], [0.0]]


@pytest.mark.parametrize(
    "y",
    [ROWS, np.array(ROWS), np.array(ROWS, dtype=np.float32), torch.tensor(ROWS), torch.tensor(ROWS).long()],
    ids=["list", "array", "float32 array", "float32", "int64"],
)
def test_labels_to_check_with_may_be_of_any_type_of_numbers(y: Any) -> None:
    """The loss is right for all of them, and wrong by the same factor for all of them."""
    loss.check(pseudo_huber(), y)
    with pytest.raises(ValueError, match=r"^gradient of loss 'pseudo_huber' is wrong: "):
        loss.check(planted("gradient", lambda g: g * (1 + 1e-8)), y)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        ("ab", r"^y must be labels \(S, m\), all of them numbers, got str"),
        ([[1.0], [1.0, 2.0]], r"^y must be labels \(S, m\), all of them numbers, got list"),
        ([0.0, 1.0], r"^y must be labels \(S, m\), all of them finite numbers, got shape \(2,\) with 0 that are not"),
        ([[0.0], [math.nan]], r"^y must be labels .* got shape \(2, 1\) with 1 that are not finite$"),
    ],
)
def test_labels_that_are_no_table_of_numbers_are_refused(y: Any, sentence: str) -> None:
    """One row a sample."""
    with pytest.raises(ValueError, match=sentence):
        loss.check(pseudo_huber(), y)


@pytest.mark.parametrize("field", ["labels", "value", "gradient", "product"])
def test_functions_of_a_loss_that_change_the_type_are_refused(field: str) -> None:
    """Sweeps are in 64-bit numbers, and differences of 32-bit ones show nothing."""
    sentence = rf"^{field} of loss 'pseudo_huber' must be a tensor of shape .* of torch\.float64, got torch\.float32 of"
    with pytest.raises(TypeError, match=sentence):
        loss.check(planted(field, lambda found: found.float()))
    with pytest.raises(TypeError, match=r"of torch\.float64, got list$"):
        loss.check(planted(field, lambda found: found.tolist()))


# slope(e) of a loss Σ_j of e = z_j − y_j, 0 at 0, made of its two constant slopes
SLOPES = {"L1": (-1.0, 1.0), "quantile": (-0.9, 0.1), "hinge": (-1.0, 0.0)}


@pytest.mark.parametrize(("below", "above"), SLOPES.values(), ids=SLOPES.keys())
def test_a_loss_with_a_kink_is_refused(below: float, above: float) -> None:
    """Its gradient is right away from the kink, so that only its jump shows it."""
    kinked = Loss(
        "kinked",
        value=lambda z, y: torch.where(z > y, above * (z - y), below * (z - y)).sum(-1),
        gradient=lambda z, y: below + (above - below) * (z > y).double(),
        product=lambda z, y, v: torch.zeros_like(v),
        predict=lambda z: z,
        labels=lambda y: y,
    )
    with pytest.raises(
        ValueError, match=r"^gradient of loss 'kinked' must be continuous, but along v = \(.*\) it jumps"
    ):
        loss.register(kinked)
    assert "kinked" not in LOSSES


@pytest.mark.parametrize("width", [1.0, 1e-2, 1e-4])
def test_a_loss_that_turns_sharply_is_not_refused(width: float) -> None:
    """Σ √(e² + ε²) tends to L¹, and its gradient e/√(e² + ε²) is continuous for every ε > 0."""
    sharp = Loss(
        "sharp",
        value=lambda z, y: torch.sqrt((z - y) ** 2 + width**2).sum(-1),
        gradient=lambda z, y: (z - y) / torch.sqrt((z - y) ** 2 + width**2),
        product=lambda z, y, v: width**2 * ((z - y) ** 2 + width**2) ** -1.5 * v,
        predict=lambda z: z,
        labels=lambda y: y,
    )
    loss.check(sharp)


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
