"""What the L² penalty loses is seen, and an error planted in the code under test turns its claims to "false"."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, Plant, planted_ids, redone, verdicts, with_failure

from deeplimit import activation, counterexample, discrete, norms
from deeplimit.counterexample import Oscillation
from deeplimit.ridge import RidgeCoordinates
from deeplimit.study import read

SMALL: dict[str, Any] = {
    "ORDER_DEPTHS": [12, 24],
    "PAIR_DEPTHS": [12, 24],
    "PAIRS": 60,
    "TRAIN_DEPTHS": [24, 48, 96],
    "SIGNS": 12,
}
PARTS = ("order", "pair", "trained", "signs")


def found(part: str) -> dict[str, str]:
    """The verdicts of a part, from rows measured now, by a study loaded afresh."""
    study = load("oscillation", **SMALL)
    rows = [{"row": name} | study.measure(name) for name in study.rows() if name.startswith(part)]
    return verdicts(getattr(study, f"{part}_claims")(pd.DataFrame(rows)))


@pytest.mark.parametrize("part", PARTS)
def test_every_predicted_failure_is_seen(part: str) -> None:
    """At small sizes, with the tolerances of the study."""
    assert set(found(part).values()) == {"true"}


def identity_instead_of_relu(patch: pytest.MonkeyPatch) -> None:
    """Both points move with every weight."""
    patch.setitem(activation.ACTIVATIONS, "relu", activation.ACTIVATIONS["identity"])


def wrong_share(patch: pytest.MonkeyPatch) -> None:
    """The closed form of another share of positive weights."""
    patch.setattr(Oscillation, "end_states", lambda self, n: ((1 + 1.2 / n) ** (n // 2), -((1 - 1.2 / n) ** (n // 2))))


def uneven_weights(patch: pytest.MonkeyPatch) -> None:
    """The first layer a tenth larger."""
    right = counterexample.network
    patch.setattr(counterexample, "network", lambda k: right(k * np.where(np.arange(len(k)) == 0, 1.1, 1.0)))


def h1_without_n(patch: pytest.MonkeyPatch) -> None:
    """Σ|Δk|² instead of n Σ|Δk|²."""
    right = norms.h1
    patch.setattr(norms, "h1", lambda a, b: right(a, b) / math.sqrt(a.depth))


def best_coupling_always(patch: pytest.MonkeyPatch) -> None:
    """The TL² distance where that of the extensions is asked for."""
    right = norms.tl2
    patch.setattr(norms, "tl2", lambda a, b, exact=False: right(a, b, exact=True))


def identity_coupling_always(patch: pytest.MonkeyPatch) -> None:
    """The distance of the extensions where the best coupling is asked for."""
    right = norms.tl2
    patch.setattr(norms, "tl2", lambda a, b, exact=False: right(a, b))


def times_alone(patch: pytest.MonkeyPatch) -> None:
    """The coupling of the layers without the values of the weights."""
    right = norms.tl2

    def tl2(a: Any, b: Any, exact: bool = False) -> float:
        zeros = [counterexample.network(np.zeros(layers.depth)) for layers in (a, b)]
        return right(*zeros, exact=exact)

    patch.setattr(norms, "tl2", tl2)


def tied_for_untied(patch: pytest.MonkeyPatch) -> None:
    """The H¹ penalty where the L² one is asked for."""
    patch.setattr(
        counterexample, "minimise_untied", lambda problem, start: discrete.minimise(problem, start.depth, start=start)
    )


def untied_for_tied(patch: pytest.MonkeyPatch) -> None:
    """The L² penalty where the H¹ one is asked for."""
    right = counterexample.minimise_untied
    patch.setattr(discrete, "minimise", lambda problem, depth, start: right(problem, start))


def sum_for_mean(patch: pytest.MonkeyPatch) -> None:
    """α Σ|θ_i|² without its 1/n."""

    def scaling(self: RidgeCoordinates, block: str, stretch: float) -> tuple[np.ndarray, np.ndarray]:
        return np.full(self.rows, math.sqrt(self.metric.alpha[block])), np.ones(self.rows)

    patch.setattr(RidgeCoordinates, "_scaling", scaling)


def optimal_signs(patch: pytest.MonkeyPatch) -> None:
    """Training that ends with the optimal number of positive layers, wherever it begins."""
    right, swing = counterexample.minimise_untied, Oscillation(rise=0.8, fall=0.4)
    patch.setattr(
        counterexample, "minimise_untied", lambda problem, start: right(problem, swing.layers(start.depth, seed=0))
    )


PLANTED: list[Any] = [
    ("order", identity_instead_of_relu, ["T10.1", "T10.3"]),
    ("order", wrong_share, ["T10.1"]),
    ("order", uneven_weights, ["T10.1", "T10.2"]),
    ("pair", h1_without_n, ["T10.4"]),
    ("pair", best_coupling_always, ["T10.5"]),
    ("pair", identity_coupling_always, ["T10.6"]),
    ("pair", times_alone, ["T10.5", "T10.7"]),
    ("trained", tied_for_untied, ["T10.8", "T10.9"]),
    ("trained", untied_for_tied, ["T10.10"]),
    ("trained", sum_for_mean, ["T10.9"]),
    ("signs", sum_for_mean, ["T10.20", "T10.26"]),
    ("signs", optimal_signs, ["T10.20", "T10.26"]),
]


@pytest.mark.parametrize("part, plant, wrong", PLANTED, ids=lambda v: getattr(v, "__name__", None))
def test_a_planted_error_is_found(part: str, plant: Plant, wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The claims that rest on what the error changes are false."""
    plant(monkeypatch)
    held = found(part)
    assert {k: held[k] for k in wrong} == dict.fromkeys(wrong, "false")


def test_committed_results_hold_and_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim is true in the committed table, and each has been seen to fail."""
    held, figures = redone("oscillation", tmp_path, monkeypatch)
    assert set(held.values()) == {"true"}
    assert set(held) == planted_ids(PLANTED)
    assert figures == ["oscillation.png", "oscillation_orders.png"]


@pytest.mark.parametrize("part", PARTS)
def test_a_failed_row_leaves_its_claims_undecided(part: str) -> None:
    """A row with a failure has no number; the claims that rest on its part say so, the others stand."""
    study, table = load("oscillation"), read(RESULTS / "oscillation")
    broken = with_failure(table, table.index[table["part"] == part][-1], "row")
    assert {getattr(study, f"{p}_claims")(broken)[0].holds for p in PARTS} == {"true", "undecided"}
    assert set(verdicts(getattr(study, f"{part}_claims")(broken)).values()) == {"undecided"}
