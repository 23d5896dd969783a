"""The study of costs: counts, memory that is flat, and claims that are false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import RESULTS, Plant, measured, planted_ids, redone, verdicts, with_failure

from deeplimit.meanfield import particles, transport
from deeplimit.meanfield.transport import Solution
from deeplimit.study import read

CLAIMS = ["M1.11", "M1.12", "M3.8", "M3.9"]
SMALL: dict[str, Any] = {"SIGNALS": 100_000, "LAYERS": [25, 50, 100], "CELLS": 64, "STEPS": 125, "REPEATS": 1}


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes."""
    return load("mean_field_speed", **SMALL)


def keeping_states(patch: pytest.MonkeyPatch) -> None:
    """A network that holds the states of all layers."""

    def network(*arguments: Any) -> np.ndarray:
        return particles.states(*arguments)[-1]

    patch.setattr(particles, "network", network)


def other_bias(patch: pytest.MonkeyPatch) -> None:
    """b is wrong by 0.001: the error stops falling."""
    right = particles.network
    patch.setattr(particles, "network", lambda name, w, b, *rest: right(name, w, b + 1e-3, *rest))


def leaking(patch: pytest.MonkeyPatch) -> None:
    """Every step gives a little mass away, and some averages become negative."""
    right = transport.solve

    def solve(*arguments: Any, **options: Any) -> Solution:
        found = right(*arguments, **options)
        return Solution(found.averages, found.steps, 1e-9, -1e-9, found.leak)

    patch.setattr(transport, "solve", solve)


PLANTED: list[tuple[str, Plant, set[str]]] = [
    ("states that are kept", keeping_states, {"M1.11"}),
    ("another b", other_bias, {"M1.12"}),
    ("a leak", leaking, {"M3.8", "M3.9"}),
]


def test_every_claim_is_true_and_can_fail(study: ModuleType) -> None:
    """At small sizes; the memory is that of the outputs and of chunks of particles."""
    table = measured(study)
    assert verdicts(study.claims(table)) == dict.fromkeys(CLAIMS, "true")
    assert planted_ids(PLANTED) == set(CLAIMS)
    moved = table[table["part"] == "signals"]
    outputs = SMALL["SIGNALS"] * 8 / 1e9
    assert moved["gigabytes"].between(outputs, outputs + 4 * particles.CACHED * 8 / 1e9).all()
    assert (table["seconds"] > 0).all() and len(table) == 11


@pytest.mark.parametrize(("plant", "ids"), [pytest.param(*rest, id=name) for name, *rest in PLANTED])
def test_claims_fail_with_a_planted_error(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, plant: Plant, ids: set[str]
) -> None:
    """Those that rest on what is wrong, and no other."""
    plant(monkeypatch)
    found = verdicts(study.claims(measured(study)))
    assert {name for name, verdict in found.items() if verdict != "true"} == ids


@pytest.fixture
def committed() -> Iterator[pd.DataFrame]:
    """The committed table."""
    yield read(RESULTS / "mean_field_speed")


def test_committed_rows_are_at_full_size(
    committed: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million signals, a thousand layers, 256² cells and 500 steps; the claims are true on them."""
    sizes = {"signals": (1_000_000, 1000), "volumes": (256**2, 500)}
    assert {part: (rows["size"].max(), rows["steps"].max()) for part, rows in committed.groupby("part")} == sizes
    found, figures = redone("mean_field_speed", tmp_path, monkeypatch)
    assert found == dict.fromkeys(CLAIMS, "true")
    assert figures == ["mean_field_speed.png"]


def test_a_row_that_failed_leaves_its_claims_undecided(committed: pd.DataFrame) -> None:
    """The claims on the other part stand."""
    broken = with_failure(committed, int(committed.index[committed["part"] == "volumes"][0]), "row")
    found = verdicts(load("mean_field_speed").claims(broken))
    assert {name for name, verdict in found.items() if verdict == "undecided"} == {"M3.8", "M3.9"}
