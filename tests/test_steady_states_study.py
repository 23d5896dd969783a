"""The claims on clusters are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, redone, verdicts, with_failure

from deeplimit.meanfield import flows, particles
from deeplimit.meanfield.steady_states import Cluster, PhaseLine
from deeplimit.study import read

CLAIMS = [f"M4.{k}" for k in range(1, 13)]
SMALL: dict[str, Any] = {"TIMES": [8, 10], "LATE": [10_000.0]}
FEW = {  # without the growing cosine units, which are integrated
    "CASES": {name: (name.split(",")[0], -1.0) for name in ("identity, w = −1", "tanh, w = −1", "relu, w = −1")}
}


def failing(**constants: Any) -> set[str]:
    """The claims that are not true, measured anew."""
    study = load("steady_states", **SMALL, **constants)
    table = pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(list(study.points())))])
    found = verdicts(study.claims(table))
    assert sorted(found) == sorted(CLAIMS) and "undecided" not in found.values()
    return {name for name, holds in found.items() if holds != "true"}


def other_rate(patch: pytest.MonkeyPatch) -> None:
    """λ = σ'(z*)(w + 0.1): rates that are wrong by 10 %."""
    right = PhaseLine.rate
    patch.setattr(PhaseLine, "rate", lambda self, x, side=0.0: right(self, x, side) * (1 + 0.1 / abs(self.w)))


def no_stragglers(patch: pytest.MonkeyPatch) -> None:
    """The law in W₂ as fast as a signal."""
    patch.setattr(Cluster, "decay", lambda self, p=1.0: self.rate)


def longer_layers(patch: pytest.MonkeyPatch) -> None:
    """Layers of 1.02 times the step."""
    for name in ("network", "states"):
        right = getattr(particles, name)

        def wrong(
            activation: str, w: Any, b: Any, time: float, *rest: Any, right: Any = right, **options: Any
        ) -> np.ndarray:
            return right(activation, w, b, 1.02 * time, *rest, **options)

        patch.setattr(particles, name, wrong)


def leaky(patch: pytest.MonkeyPatch) -> None:
    """A network that moves every signal by 0.02 to the right at its end, across zeros and in the frozen half line."""
    right = particles.network
    patch.setattr(particles, "network", lambda *arguments, **options: right(*arguments, **options) + 0.02)


def other_time(patch: pytest.MonkeyPatch) -> None:
    """A flow whose clock is wrong by 1 %."""
    right = flows.flow
    patch.setattr(flows, "flow", lambda name, w, b, t, x: right(name, w, b, 1.01 * t, x))


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], dict[str, Any], set[str]]] = [
    (other_rate, FEW, {"M4.1", "M4.2", "M4.3", "M4.4"}),
    (longer_layers, FEW, {"M4.4", "M4.12"}),
    (leaky, FEW, {"M4.5", "M4.6", "M4.7", "M4.8", "M4.12"}),
    (other_time, FEW, {"M4.1", "M4.2", "M4.3", "M4.9", "M4.10", "M4.11"}),
    (no_stragglers, {"CASES": {**FEW["CASES"], "growing cosine, w = 1": ("gcu", 1.0)}}, {"M4.2", "M4.3"}),
]


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: getattr(case[0], "__name__", ""))
def test_a_planted_error_makes_claims_false(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """These and no others, of claims that are all true without it."""
    plant, constants, ids = case
    assert failing(**constants) == set()
    plant(monkeypatch)
    assert failing(**constants) == ids


def test_every_claim_can_fail() -> None:
    """Between them the planted errors reach all."""
    assert set().union(*(ids for _, _, ids in PLANTED)) == set(CLAIMS)


def test_committed_rows_make_the_claims_true(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main on the committed table, figures included; a row that failed leaves its part's claims undecided."""
    found, figures = redone("steady_states", tmp_path, monkeypatch)
    assert found == dict.fromkeys(CLAIMS, "true")
    assert figures == ["steady_states.png", "steady_states_rates.png"]
    study, table = load("steady_states"), read(RESULTS / "steady_states")
    broken = with_failure(table, int(table.index[table["part"] == "mass"][0]), "row")
    undecided = {claim.id for claim in study.claims(broken) if claim.holds == "undecided"}
    assert undecided == {"M4.5", "M4.6", "M4.7", "M4.8"}
