"""Problems: what is refused, with which sentence, and what is derived; nothing here computes a network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from deeplimit import Data, Layers, Problem, discrete
from deeplimit import activation as activations
from deeplimit import data as datasets
from deeplimit import loss as losses

MOONS = datasets.moons(10)  # d = 2, one column of 0 and 1
RING = datasets.ring()  # d = 2, two columns


def make(data: Data = MOONS, **options: Any) -> Problem:
    return Problem(data, **options)


def points(x: Any = ((0, 1), (1, 0), (2, 2)), y: Any = (0, 1, 0)) -> Data:
    return Data(x, y)


# What is derived


def test_the_defaults_are_those_of_the_interface() -> None:
    """tanh, logistic loss, α = 0.01 and τ = 1 for every block, all blocks trained, the sum over the samples."""
    problem = make()
    assert problem.activation is activations.get("tanh") and problem.loss is losses.get("logistic")
    assert problem.alpha == dict.fromkeys("KbWc", 0.01) and problem.tau == {"K": 1.0, "b": 1.0}
    assert problem.trainable == "KbWc" and problem.reduction == "sum" and problem.drop_hypotheses is False
    assert (problem.width, problem.outputs, problem.weight) == (2, 1, 1.0)
    assert problem.dropped == () and problem.notes == ()


def test_reduction_sets_the_weight_of_a_sample() -> None:
    """1, or 1/S."""
    assert make(reduction="sum").weight == 1
    assert make(reduction="mean").weight == 1 / 10


def test_outputs_are_those_of_the_labels_as_the_loss_takes_them() -> None:
    """One column of three class numbers is three outputs for softmax, one for the squared loss."""
    data = points(y=(0, 1, 2))
    assert make(data, loss="softmax").outputs == 3
    assert make(data, loss="softmax").y.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert make(data, loss="squared").outputs == 1


def test_alpha_and_tau_may_differ_by_block() -> None:
    """A mapping gives each block its own; blocks that are not trained need none."""
    problem = make(alpha={"K": 1, "b": 2, "W": 3, "c": np.float64(4)}, tau={"K": 5, "b": 6})
    assert problem.alpha == {"K": 1.0, "b": 2.0, "W": 3.0, "c": 4.0} and problem.tau == {"K": 5.0, "b": 6.0}
    assert all(type(v) is float for v in (*problem.alpha.values(), *problem.tau.values()))
    assert make(alpha={"W": 3, "c": 4}, tau={}, trainable="cW").alpha == {"W": 3.0, "c": 4.0}
    assert problem.metric.alpha == problem.alpha and problem.metric.tau == problem.tau


def test_blocks_are_named_in_any_order() -> None:
    """`trainable` is a set of letters, kept in the order K, b, W, c."""
    assert make(trainable="cWbK").trainable == "KbWc"
    assert make(RING, loss="softmax", trainable="bK").trainable == "Kb"


def test_activations_and_losses_may_be_objects() -> None:
    """One's own activation needs no name in the table."""
    own = dataclasses.replace(activations.get("tanh"), name="own")
    assert make(activation=own).activation is own
    assert make(loss=losses.get("squared")).loss is losses.get("squared")


def test_kinks_can_be_smoothed() -> None:
    """relu over the width ε is smooth and at most ε/2 above; a smooth activation stays, and nothing else changes."""
    problem = make(activation="relu", alpha=0.5, trainable="KW")
    smooth = problem.smoothed(0.1)
    z = torch.linspace(-3, 3, 61, dtype=torch.float64)
    above = smooth.activation.value(z) - torch.relu(z)
    assert smooth.activation.smooth and (above > 0).all() and above.max() <= 0.05 + 1e-15
    assert (smooth.alpha, smooth.trainable, smooth.data) == (problem.alpha, "KW", problem.data)
    assert problem.activation.name == "relu"
    assert make().smoothed(0.1).activation is activations.get("tanh")


def test_a_problem_cannot_be_changed() -> None:
    """Definitions are data."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().alpha = {}  # type: ignore[misc]


def test_another_problem_is_made_by_replacing() -> None:
    """A study that varies one option keeps the others, by `dataclasses.replace`."""
    other = dataclasses.replace(make(alpha=0.5, trainable="KW", reduction="mean"), reduction="sum")
    assert other.alpha["K"] == 0.5 and other.trainable == "KW" and other.weight == 1


def test_the_callers_mapping_is_copied() -> None:
    """What happens to it afterwards does not reach the problem."""
    alpha = dict.fromkeys("KbWc", 1.0)
    problem = make(alpha=alpha)
    alpha["K"] = -1.0
    assert problem.alpha["K"] == 1


# Hypotheses


DROPPED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "tau": ({"tau": 0}, ("tau['K'] = 0", "tau['b'] = 0")),
    "tau of K": ({"tau": {"K": 0.0, "b": 1.0}}, ("tau['K'] = 0",)),
    "alpha of W": ({"alpha": {"K": 1, "b": 1, "W": 0, "c": 1}}, ("alpha['W'] = 0",)),
    "alpha of b and tau": (
        {"alpha": {"K": 1, "b": 0, "W": 1, "c": 1}, "tau": {"K": 0, "b": 1}},
        ("alpha['b'] = 0", "tau['K'] = 0"),
    ),
}


@pytest.mark.parametrize(("options", "dropped"), DROPPED.values(), ids=DROPPED)
def test_hypotheses_are_dropped_on_request_and_named(options: dict[str, Any], dropped: tuple[str, ...]) -> None:
    """The theorem asks for α, τ > 0: without them only on request, and every record says which."""
    problem = make(drop_hypotheses=True, **options)
    assert problem.dropped == dropped
    assert problem.notes == tuple(f"hypothesis dropped: {name}" for name in dropped)
    with pytest.raises(ValueError, match=r"must be positive \(drop_hypotheses=True allows zero\), got 0"):
        make(**options)


def test_nothing_is_dropped_where_nothing_is_zero() -> None:
    """Permission alone drops no hypothesis, and a zero of a block that is not trained counts for nothing."""
    assert make(drop_hypotheses=True).dropped == ()
    assert make(trainable="W", alpha={"K": 0.0, "W": 1.0}, tau=0.0).dropped == ()


@pytest.mark.parametrize("name", ["sigmoid", "gcu"])
def test_activations_outside_the_theorem_are_noted(name: str) -> None:
    """sigmoid(0) ≠ 0, z cos z is not Lipschitz: allowed, and said."""
    (note,) = make(activation=name).notes
    assert note.startswith("hypothesis not met: " + name)


def test_conversions_of_the_data_are_noted() -> None:
    """Seven digits of data make a float64 result look better than it is."""
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float32)
    notes = make(points(x, torch.tensor([0.0, 1.0], dtype=torch.float64))).notes
    assert notes == ("x converted from float32 to float64",)
    assert make(points(x, x[:, 0])).notes[1] == "y converted from float32 to float64"


def test_one_hot_labels_of_the_logistic_loss_are_noted() -> None:
    """Three classes are three questions of yes or no to it: allowed, and said; two labels of a sample are no class."""
    x = torch.eye(3, dtype=torch.float64)
    (note,) = make(points(x, x)).notes
    assert note == "one-hot labels are 3 labels of yes or no to the logistic loss; softmax has classes"
    assert make(points(x, x), loss="softmax").notes == make(points(x, x), loss="squared").notes == ()
    assert make(points(x, torch.ones(3, 2, dtype=torch.float64))).notes == ()
    assert make(points(x, torch.full((3, 2), 0.5, dtype=torch.float64))).notes == ()
    assert make(points(x, x[:, :1])).notes == ()


# What is refused


Refused = tuple[Callable[[], object], type[Exception], str]
KNOWN_ACTIVATIONS = "tanh, relu, softplus0, arctan, silu, identity, sigmoid, gcu"
BAD: dict[str, Refused] = {
    # data
    "x is empty": (lambda: points(np.zeros((0, 2)), []), ValueError, "x must not be empty"),
    "x has no columns": (lambda: points(np.zeros((3, 0))), ValueError, "x must not be empty"),
    "y is empty": (lambda: points(y=[]), ValueError, "y must not be empty"),
    "x has one dimension": (lambda: points([1, 2, 3]), ValueError, "x must have 2 dimensions"),
    "x has three": (lambda: points(np.zeros((3, 2, 1))), ValueError, "x must have 2 dimensions"),
    "y has three": (lambda: points(y=np.zeros((3, 1, 1))), ValueError, "y must have 1 or 2 dimensions"),
    "lengths differ": (lambda: points(y=[0, 1]), ValueError, "same number of rows, got 3 and 2"),
    "x has a nan": (lambda: points([[0, 1], [math.nan, 0], [2, 2]]), ValueError, "x must be finite, got nan in row 1"),
    "x is infinite": (lambda: points([[0, 1], [0, -math.inf], [2, 2]]), ValueError, "got -inf in row 1, column 1"),
    "y has a nan": (lambda: points(y=[0, 1, math.nan]), ValueError, "y must be finite, got nan in row 2"),
    "x is text": (lambda: points([["a", "b"]] * 3), TypeError, "x must be an array of real numbers"),
    "x is complex": (lambda: points(np.full((3, 2), 1j)), TypeError, "x must be an array of real numbers"),
    "x is ragged": (lambda: points([[1, 2], [3], [4, 5]]), TypeError, "x must be a rectangular array"),
    "x is None": (lambda: points(None), TypeError, "x must be an array"),
    "not Data": (lambda: make((MOONS.x, MOONS.y)), TypeError, "data must be a deeplimit.Data, got tuple"),  # type: ignore[arg-type]
    # labels
    "logistic label 2": (lambda: make(points(y=[0, 1, 2])), ValueError, "labels from 0 to 1, got 2 in row 2"),
    "logistic label -1": (lambda: make(points(y=[-1, 1, 1])), ValueError, "labels from 0 to 1, got -1 in row 0"),
    "softmax label 1.5": (
        lambda: make(points(y=[0, 1, 1.5]), loss="softmax"),
        ValueError,
        "class numbers 0, 1.*got 1.5",
    ),
    "softmax label -1": (
        lambda: make(points(y=[0, 1, -1]), loss="softmax"),
        ValueError,
        "class numbers 0, 1.*got -1",
    ),
    "softmax one class": (lambda: make(points(y=[0, 0, 0]), loss="softmax"), ValueError, "at least two classes"),
    "softmax rows": (
        lambda: make(points(y=[[1, 0], [0.5, 0.4], [0, 1]]), loss="softmax"),
        ValueError,
        r"rows that sum to 1, got \[0.5, 0.4\] in row 1",
    ),
    # alpha and tau
    "alpha 0": (lambda: make(alpha=0), ValueError, r"^alpha must be positive \(drop_hypotheses"),
    "alpha negative": (lambda: make(alpha=-0.1), ValueError, "^alpha must be positive, got -0.1$"),
    "alpha of c negative": (
        lambda: make(alpha={"K": 1, "b": 1, "W": 1, "c": -2}, drop_hypotheses=True),
        ValueError,
        r"alpha\['c'\] must be positive, got -2",
    ),
    "alpha nan": (lambda: make(alpha=math.nan), ValueError, "alpha must be finite, got nan"),
    "alpha infinite": (lambda: make(alpha=math.inf), ValueError, "alpha must be finite, got inf"),
    "alpha of b nan": (
        lambda: make(alpha={"K": 1, "b": math.nan, "W": 1, "c": 1}),
        ValueError,
        "must be finite, got nan",
    ),
    "alpha a string": (lambda: make(alpha="0.1"), TypeError, "alpha must be a number, got '0.1'"),
    "alpha a bool": (lambda: make(alpha=True), TypeError, "alpha must be a number, got True"),
    "alpha None": (lambda: make(alpha=None), TypeError, "alpha must be a number, got None"),
    "alpha a list": (lambda: make(alpha=[1, 1, 1, 1]), TypeError, "alpha must be a number"),
    "alpha complex": (lambda: make(alpha=1j), TypeError, "alpha must be a number"),
    "alpha of K a bool": (
        lambda: make(alpha={"K": True, "b": 1, "W": 1, "c": 1}),
        TypeError,
        "must be a number, got True",
    ),
    "alpha without W": (
        lambda: make(alpha={"K": 1, "b": 1, "c": 1}),
        ValueError,
        "trained block, 'W' is missing",
    ),
    "alpha of a stranger": (
        lambda: make(alpha={"K": 1, "b": 1, "W": 1, "c": 1, "V": 1}),
        ValueError,
        "unknown block 'V'; the blocks are K, b, W, c",
    ),
    "two alphas 0": (
        lambda: make(alpha={"K": 1, "b": 0, "W": 0, "c": 1}, drop_hypotheses=True),
        ValueError,
        r"at most one alpha may be zero, got alpha\['b'\] and alpha\['W'\]",
    ),
    "all alphas 0": (lambda: make(alpha=0.0, drop_hypotheses=True), ValueError, "at most one alpha may be zero"),
    "tau 0": (lambda: make(tau=0), ValueError, r"^tau must be positive \(drop_hypotheses"),
    "tau negative": (lambda: make(tau=-1, drop_hypotheses=True), ValueError, "^tau must be positive, got -1"),
    "tau of K negative": (lambda: make(tau={"K": -1, "b": 1}), ValueError, r"^tau\['K'\] must be positive, got -1"),
    "tau nan": (lambda: make(tau=math.nan), ValueError, "tau must be finite"),
    "tau a string": (lambda: make(tau="1"), TypeError, "tau must be a number, got '1'"),
    "tau None": (lambda: make(tau=None), TypeError, "tau must be a number, got None"),
    "tau False": (lambda: make(tau=False, drop_hypotheses=True), TypeError, "tau must be a number, got False"),
    "tau of W": (lambda: make(tau={"K": 1, "b": 1, "W": 1}), ValueError, "unknown block 'W'; the blocks are K, b"),
    "tau without b": (lambda: make(tau={"K": 1}), ValueError, "every trained block, 'b' is missing"),
    # names
    "unknown activation": (lambda: make(activation="softmax"), ValueError, f"{KNOWN_ACTIVATIONS}, got 'softmax'"),
    "activation in capitals": (lambda: make(activation="ReLU"), ValueError, "activation must be one of .*got 'ReLU'"),
    "activation a function": (lambda: make(activation=torch.tanh), TypeError, "activation must be a name or an Activ"),
    "activation None": (lambda: make(activation=None), TypeError, "activation must be a name"),
    "unknown loss": (lambda: make(loss="mse"), ValueError, "squared, logistic, softmax, got 'mse'"),
    "loss a function": (lambda: make(loss=torch.nn.functional.mse_loss), TypeError, "loss must be a name or a Loss"),
    "unknown reduction": (lambda: make(reduction="none"), ValueError, "reduction must be 'sum' or 'mean', got 'none'"),
    "reduction None": (lambda: make(reduction=None), ValueError, "reduction must be 'sum' or 'mean', got None"),
    "reduction a list": (lambda: make(reduction=["sum"]), ValueError, "reduction must be 'sum' or 'mean'"),
    "drop_hypotheses a number": (lambda: make(drop_hypotheses=1), TypeError, "drop_hypotheses must be True or False"),
    # trainable
    "no block": (lambda: make(trainable=""), ValueError, "one or more of the letters KbWc, each once, got ''"),
    "a block twice": (lambda: make(trainable="KK"), ValueError, "each once, got 'KK'"),
    "an unknown block": (lambda: make(trainable="Kx"), ValueError, "letters KbWc, each once, got 'Kx'"),
    "a block in the wrong case": (lambda: make(trainable="kb"), ValueError, "letters KbWc, each once, got 'kb'"),
    "trainable a list": (
        lambda: make(trainable=["K", "b"]),
        TypeError,
        "must be a string of the letters KbWc",
    ),
    "trainable None": (lambda: make(trainable=None), TypeError, "trainable must be a string"),
    "no W though m is not d": (
        lambda: make(trainable="Kbc"),
        ValueError,
        "W can be left out of trainable only when m = d, got m = 1 and d = 2",
    ),
    "an unknown option": (lambda: make(depth=3), TypeError, "unexpected keyword argument 'depth'"),
}


@pytest.mark.parametrize(("call", "kind", "message"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    call: Callable[[], object], kind: type[Exception], message: str
) -> None:
    """The requirement and the value it got, in one line, before anything is computed."""
    with pytest.raises(kind, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def zeros(depth: int = 4, d: int = 2, m: int = 1) -> Layers:
    return Layers(torch.zeros(depth, d, d), torch.zeros(depth, d), torch.zeros(m, d), torch.zeros(m))


SMALL: dict[str, Refused] = {
    "depth 0": (lambda: discrete.minimise(make(), 0), ValueError, "depth must be at least 1, got 0"),
    "depth -1": (lambda: discrete.minimise(make(), -1), ValueError, "depth must be at least 1, got -1"),
    "depth 2.5": (lambda: discrete.minimise(make(), 2.5), TypeError, "depth must be a whole number, got 2.5"),  # type: ignore[arg-type]
    "depth 2.0": (lambda: discrete.minimise(make(), 2.0), TypeError, "depth must be a whole number, got 2.0"),  # type: ignore[arg-type]
    "depth True": (lambda: discrete.minimise(make(), True), TypeError, "depth must be a whole number, got True"),
    "depth None": (lambda: discrete.minimise(make(), None), TypeError, "depth must be a whole number, got None"),  # type: ignore[arg-type]
    "depth '8'": (lambda: discrete.minimise(make(), "8"), TypeError, "depth must be a whole number, got '8'"),  # type: ignore[arg-type]
    "depth nan": (lambda: discrete.branches(make(), math.nan), TypeError, "depth must be a whole number, got nan"),  # type: ignore[arg-type]
    "depths unsorted": (lambda: discrete.branch(make(), [16, 8]), ValueError, r"increase strictly, got \[16, 8\]"),
    "depths repeated": (lambda: discrete.branch(make(), [8, 8]), ValueError, r"increase strictly, got \[8, 8\]"),
    "no depths": (lambda: discrete.branch(make(), []), ValueError, "at least one depth, got none"),
    "a depth of 0": (lambda: discrete.branch(make(), [0, 8]), ValueError, "depth must be at least 1, got 0"),
    "a depth of 1.5": (lambda: discrete.branch(make(), [1, 1.5]), TypeError, "must be a whole number, got 1.5"),  # type: ignore[list-item]
    "a True depth": (lambda: discrete.branch(make(), [True, 2]), TypeError, "must be a whole number, got True"),
    "lowest of no depths": (lambda: discrete.lowest(make(), []), ValueError, "at least one depth, got none"),
    "lowest unsorted": (lambda: discrete.lowest(make(), [8, 4]), ValueError, "increase strictly"),
    "no starts": (lambda: discrete.branches(make(), 4, starts=0), ValueError, "starts must be a whole number.*got 0"),
    "2.5 starts": (lambda: discrete.branches(make(), 4, starts=2.5), ValueError, "starts must be a whole number"),  # type: ignore[arg-type]
    "a wider net": (lambda: discrete.objective(make(), zeros(d=3)), ValueError, r"K does not fit .*got \(4, 3, 3\)"),
    "a net with more outputs": (
        lambda: discrete.gradient(make(), zeros(m=2)),
        ValueError,
        "W does not fit the problem",
    ),
    "a wider start": (lambda: discrete.minimise(make(), 4, start=zeros(d=3)), ValueError, "K does not fit the problem"),
    "a wider curve": (
        lambda: discrete.minimise(make(), 4, start=zeros(d=3).interpolant()),
        ValueError,
        "K does not fit the problem",
    ),
    "a wider branch": (lambda: discrete.branch(make(), [4, 8], start=zeros(d=3)), ValueError, "K does not fit the pr"),
    "a wider direction": (
        lambda: discrete.hessian_product(make(), zeros(), zeros(d=3)),
        ValueError,
        "K does not fit the problem",
    ),
    "a deeper direction": (
        lambda: discrete.hessian_product(make(), zeros(4), zeros(5)),
        ValueError,
        "depth 4.*depth 5|depth 5.*depth 4|4.*and 5",
    ),
    "a start with W": (
        lambda: discrete.minimise(make(RING, loss="softmax", trainable="K"), 4, start=zeros(m=2)),
        ValueError,
        "W is not trainable in this problem, so it must be the identity",
    ),
    "a start that is a Minimum": (
        lambda: discrete.minimise(make(), 2, start=discrete.minimise(make(), 1)),  # type: ignore[arg-type]
        TypeError,
        "Layers or a? ?Curve.*Minimum",
    ),
    "a start that is a tensor": (
        lambda: discrete.minimise(make(), 2, start=torch.zeros(2, 2)),  # type: ignore[arg-type]
        TypeError,
        "Layers or a? ?Curve.*Tensor",
    ),
    "the objective of a curve": (
        lambda: discrete.objective(make(), zeros().interpolant()),  # type: ignore[arg-type]
        TypeError,
        "Layers.*Curve",
    ),
    "tol nan": (lambda: discrete.minimise(make(), 2, tol=math.nan), ValueError, "tol must be .*got nan"),
    "tol negative": (lambda: discrete.minimise(make(), 2, tol=-1e-3), ValueError, "tol must be .*got -0.001"),
    "tol a string": (lambda: discrete.minimise(make(), 2, tol="1e-8"), TypeError, "tol must be .*got '1e-8'"),  # type: ignore[arg-type]
    "seed 1.5": (lambda: discrete.minimise(make(), 2, seed=1.5), TypeError, "seed must be .*got 1.5"),  # type: ignore[arg-type]
    "seed a string": (lambda: discrete.minimise(make(), 2, seed="a"), TypeError, "seed must be .*got 'a'"),  # type: ignore[arg-type]
    "a network of a curve": (
        lambda: discrete.network(make(), zeros().interpolant()),  # type: ignore[arg-type]
        TypeError,
        "made from Layers, got Curve",
    ),
    "a network of another width": (lambda: discrete.network(make(), zeros(d=3)), ValueError, "K does not fit the prob"),
}


@pytest.mark.parametrize(("call", "kind", "message"), SMALL.values(), ids=SMALL)
def test_calls_that_make_no_sense_are_refused_with_a_sentence(
    call: Callable[[], object], kind: type[Exception], message: str
) -> None:
    """Depths, starts and controls are looked at before anything is computed."""
    with pytest.raises(kind, match=message) as error:
        call()
    assert "\n" not in str(error.value)
