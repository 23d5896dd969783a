"""The claims on classification and regression are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, redone, verdicts, with_failure

from deeplimit.meanfield import flows, particles, wasserstein
from deeplimit.study import read

CLAIMS = [f"M4.{k}" for k in range(13, 24)]
SMALL: dict[str, Any] = {
    "SIGNALS": 600,
    "DEPTHS": [32, 64, 128, 256],
    "TIMES": [8, 10],
    "CLOUDS": 3,
    "PLANE": [20, 80, 320],
    "REPLICAS": 40,
}


def failing() -> set[str]:
    """The claims that are not true, measured anew."""
    study = load("applications", **SMALL)
    table = pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(list(study.points())))])
    found = verdicts(study.claims(table))
    assert sorted(found) == sorted(CLAIMS) and "undecided" not in found.values()
    return {name for name, holds in found.items() if holds != "true"}


def changed(change: Callable[..., tuple[Any, ...]], shift: float = 0.0) -> Callable[[pytest.MonkeyPatch], None]:
    """A network with other arguments, whose outputs are all moved."""
    right = particles.network
    return lambda patch: patch.setattr(
        particles, "network", lambda *arguments, **options: right(*change(*arguments), **options) + shift
    )


def shorter_layers(patch: pytest.MonkeyPatch) -> None:
    """Layers of 0.99 times the step."""
    changed(lambda name, w, b, time, *rest: (name, w, b, 0.99 * time, *rest))(patch)


def other_threshold(patch: pytest.MonkeyPatch) -> None:
    """b = −4.05: signals between 4 and 4.05 go to the wrong side; an oblique projection on another line."""
    changed(lambda name, w, b, *rest: (name, w, np.asarray(b) - 0.05 if np.ndim(b) == 0 else b, *rest))(patch)


def transposed(patch: pytest.MonkeyPatch) -> None:
    """wᵀ for w: x is moved instead of y."""
    changed(lambda name, w, b, *rest: (name, np.transpose(w), b, *rest))(patch)


def slow_clock(patch: pytest.MonkeyPatch) -> None:
    """A flow whose clock is wrong by 5 %."""
    right = flows.flow
    patch.setattr(flows, "flow", lambda name, w, b, t, x: right(name, w, b, 0.95 * t, x))


def as_given(patch: pytest.MonkeyPatch) -> None:
    """Points assigned in the order in which they come."""
    patch.setattr(wasserstein, "assignment", lambda x, y, p: float(np.mean(np.sum((x - y) ** 2, axis=1)) ** (1 / p)))


def means_alone(patch: pytest.MonkeyPatch) -> None:
    """Bures's formula without the covariances, which is too small."""
    patch.setattr(wasserstein, "gaussian", lambda m, A, n, B: float(np.linalg.norm(m - n)))


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = [
    (shorter_layers, {"M4.14", "M4.17", "M4.18"}),
    (other_threshold, {"M4.13", "M4.14", "M4.15"}),
    (transposed, {"M4.17", "M4.18", "M4.19", "M4.20"}),
    (slow_clock, {"M4.14", "M4.16"}),
    (as_given, {"M4.20", "M4.21", "M4.22", "M4.23"}),
    (means_alone, {"M4.22", "M4.23"}),
]


def test_claims_hold() -> None:
    """At small sizes."""
    assert failing() == set()


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: getattr(case[0], "__name__", ""))
def test_a_planted_error_makes_claims_false(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """These and no others."""
    plant, ids = case
    plant(monkeypatch)
    assert failing() == ids


def test_every_claim_can_fail() -> None:
    """Between them the planted errors reach all."""
    assert set().union(*(ids for _, ids in PLANTED)) == set(CLAIMS)


def test_committed_rows_make_the_claims_true(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main on the committed table, figures included; a row that failed leaves its part's claims undecided."""
    found, figures = redone("applications", tmp_path, monkeypatch)
    assert found == dict.fromkeys(CLAIMS, "true")
    assert figures == ["applications.png", "applications_assignment.png", "applications_line.png"]
    study, table = load("applications"), read(RESULTS / "applications")
    broken = with_failure(table, int(table.index[table["part"] == "line"][0]), "row")
    undecided = {claim.id for claim in study.claims(broken) if claim.holds == "undecided"}
    assert undecided == {"M4.17", "M4.18", "M4.19"}
