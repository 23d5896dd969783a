"""The claims of the main study hold, and each one turns false when an error is planted in the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load
from problems import REFERENCE

from deeplimit import compare, discrete, expansion, gamma, norms
from deeplimit.control import Curve, Layers
from deeplimit.coordinates import Coordinates, LayerCoordinates
from deeplimit.sweep import Flow

DEPTHS = [16, 32, 64, 128]


def small() -> ModuleType:
    """The study on the reference problem, whose lowest branch starts from seed 1."""
    problems = {"reference": REFERENCE.problem()}
    return load("depth_limit", PROBLEMS=problems, DEPTHS=DEPTHS, STARTS=1, SEEDS={"reference": 1})


@pytest.fixture(scope="module")
def solved() -> ModuleType:
    """With its networks and its limit computed once."""
    study = small()
    study.solve("reference")
    return study


def verdicts(study: ModuleType) -> dict[str, str]:
    """Verdict by id."""
    table = pd.DataFrame([study.measure("reference", depth) for depth in DEPTHS])
    return {claim.id: claim.holds for claim in study.claims(table)}


def test_every_claim_is_true_on_the_reference_problem(solved: ModuleType) -> None:
    """Where minimum, e₁ and the constants of the minimisers are known."""
    assert set(verdicts(solved).values()) == {"true"}


def flipped_samples(curve: Curve, depth: int) -> Layers:
    """Samples of a curve with the sign of b lost."""
    layers = Layers(*curve.at(np.arange(depth) / depth), curve.W, curve.c)
    return replace(layers, b=-layers.b)


Plant = Callable[[pytest.MonkeyPatch], None]
HEAD = norms.head
CONSTANT = expansion.value_constant
SIZES = gamma.sizes
INTERPOLANT = Layers.interpolant

# What is planted after the training: the claims that must turn false.
EVALUATION: dict[str, tuple[list[str], Plant]] = {
    "a sign in the samples of the limit": (
        ["T3.3", "T5.1", "T5.2"],
        lambda patch: patch.setattr(Curve, "sample", flipped_samples),
    ),
    "the seminorm without its n": (
        ["T5.3"],
        lambda patch: patch.setattr(
            compare, "h1", lambda a, b: float(torch.linalg.vector_norm(torch.diff(norms._difference(a, b), dim=0)))
        ),
    ),
    "a transposed output layer": (
        ["T5.4"],
        lambda patch: patch.setattr(compare, "head", lambda a, b: HEAD(a, replace(b, W=-b.W))),
    ),
    "the states of a network without 1/n": (
        ["T5.5"],
        lambda patch: patch.setattr(discrete, "states", lambda p, layers: torch.zeros(layers.depth + 1, 3, 1)),
    ),
    "e₁ with the other sign": (
        ["T3.2"],
        lambda patch: patch.setattr(expansion, "value_constant", lambda p, limit: -CONSTANT(p, limit)),
    ),
    "e₁ without its half": (
        ["T3.2"],
        lambda patch: patch.setattr(expansion, "value_constant", lambda p, limit: 2 * CONSTANT(p, limit)),
    ),
    "the value of the samples without the regulariser": (
        ["T3.5", "T3.3"],
        lambda patch: patch.setattr(discrete, "objective", discrete.data_loss),
    ),
    "an interpolant that runs backwards": (
        ["T3.4"],
        lambda patch: patch.setattr(
            Layers, "interpolant", lambda layers: INTERPOLANT(replace(layers, K=layers.K.flip(0)))
        ),
    ),
    "an assignment that pairs in reverse": (
        ["T6.1", "T6.2", "T6.3"],
        lambda patch: patch.setattr(
            norms, "linear_sum_assignment", lambda cost: (np.arange(len(cost)), np.arange(len(cost))[::-1])
        ),
    ),
    "bounds without the square root of α": (
        ["P4.9"],
        lambda patch: patch.setattr(gamma, "sizes", lambda p, c: {k: 20 * v for k, v in SIZES(p, c).items()}),
    ),
}


@pytest.mark.parametrize("error", EVALUATION)
def test_an_error_in_what_is_compared_is_found(solved: ModuleType, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """The networks are right, what they are compared with is not."""
    claims, plant = EVALUATION[error]
    plant(monkeypatch)
    found = verdicts(solved)
    assert {key: found[key] for key in claims} == dict.fromkeys(claims, "false")


def unscaled(self: LayerCoordinates, metric: object, depth: int, device: str = "cpu") -> None:
    """Increments without √n: the regulariser Σ|Δθ|² instead of n Σ|Δθ|²."""
    Coordinates.__init__(self, metric, depth, 1.0, device)  # type: ignore[arg-type]


TRAINING: dict[str, tuple[list[str], Plant]] = {
    "the regulariser without its n": (
        ["T3.1", "T3.2", "T5.1", "T5.3"],
        lambda patch: patch.setattr(LayerCoordinates, "__init__", unscaled),
    ),
    "a step of 2/n": (
        ["T3.1", "T5.1", "T5.2"],
        lambda patch: patch.setattr(
            Flow, "step", property(lambda flow: (1 if flow.graded or flow.tableau.stages > 1 else 2) / flow.steps)
        ),
    ),
}


@pytest.fixture
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], ModuleType]]:
    """The limit as it is, then networks trained with an error."""
    claims, plant = TRAINING[request.param]
    study = small()
    _, limit = study.solve("reference")
    plant(monkeypatch)
    nets = discrete.branch(REFERENCE.problem(), DEPTHS, seed=1)
    study.solve = lambda name: (dict(zip(DEPTHS, nets, strict=True)), limit)
    yield claims, study


@pytest.mark.parametrize("planted", TRAINING, indirect=True)
def test_an_error_in_the_training_is_found(planted: tuple[list[str], ModuleType]) -> None:
    """Networks that are certified minimisers, but of another objective."""
    claims, study = planted
    found = verdicts(study)
    assert {key: found[key] for key in claims} == dict.fromkeys(claims, "false")
