"""What a missing penalty does is seen, and an error planted in the code under test turns its claims to "false"."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from loading import load
from planting import RESULTS, Plant, planted_ids, redone, verdicts, with_failure, wrong_metric

from deeplimit.study import read

SMALL: dict[str, Any] = {
    "TAUS": [1.0, 1e-3, 1e-5],
    "HEAD_ALPHAS": [1.0, 1e-4, 1e-8],
    "TOLERANCES": [1e-6, 1e-10],
    "DEPTH": 8,
}
CASES = {"start": "b(0)", "head": "W"}  # the beginnings of the rows of a part


def found(part: str) -> dict[str, str]:
    """The verdicts of a part, from rows measured now, by a study loaded afresh."""
    study = load("coercivity", **SMALL)
    rows = [{"row": name} | study.measure(name) for name in study.rows() if name.startswith(CASES[part])]
    return verdicts(getattr(study, f"{part}_claims")(pd.DataFrame(rows)))


@pytest.mark.parametrize("part", CASES)
def test_every_prediction_is_seen(part: str) -> None:
    """At small sizes, with the tolerances of the study."""
    assert set(found(part).values()) == {"true"}


def tau_forgotten(patch: pytest.MonkeyPatch) -> None:
    """|θ_0|² always with the weight α."""
    wrong_metric(patch, lambda metric: {"tau": {"K": 1.0, "b": 1.0}})


def alpha_of_head_forgotten(patch: pytest.MonkeyPatch) -> None:
    """|W|² always with the weight 1."""
    wrong_metric(patch, lambda metric: {"alpha": metric.alpha | {"W": 1.0}})


PLANTED: list[Any] = [
    ("start", tau_forgotten, [f"T10.{k}" for k in range(21, 26)]),
    ("head", alpha_of_head_forgotten, [f"T10.{k}" for k in range(31, 36)]),
]


@pytest.mark.parametrize("part, plant, wrong", PLANTED, ids=lambda v: getattr(v, "__name__", None))
def test_a_planted_error_is_found(part: str, plant: Plant, wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The claims that rest on what the error changes are false."""
    plant(monkeypatch)
    held = found(part)
    assert {k: held[k] for k in wrong} == dict.fromkeys(wrong, "false")


def test_committed_results_hold_and_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim is true in the committed table, and each has been seen to fail."""
    held, figures = redone("coercivity", tmp_path, monkeypatch)
    assert set(held.values()) == {"true"}
    assert set(held) == planted_ids(PLANTED)
    assert figures == ["coercivity.png"]


def test_a_failed_row_leaves_its_claims_undecided() -> None:
    """In every case, with a penalty and without; the claims about the others stand."""
    study, table = load("coercivity"), read(RESULTS / "coercivity")
    for _, rows in table.groupby(["case", table["penalty"] > 0]):
        held = verdicts(study.claims(with_failure(table, rows.index[-1], "row")))
        assert set(held.values()) == {"true", "undecided"}


def test_roots_solve_their_equations() -> None:
    """d/dβ and d/dW of the scalar objectives change sign there."""
    study = load("coercivity")
    for penalty in (1e-2, 1e-6):
        beta = study.bias_root(1.0, penalty)
        values = [(math.tanh(v) - 1) ** 2 + penalty * v**2 for v in (beta - 0.01, beta, beta + 0.01)]
        assert values[1] < min(values[0], values[2])
        head = study.head_root(penalty)
        values = [2 * math.log1p(math.exp(-v)) + penalty * v**2 for v in (head - 0.01, head, head + 0.01)]
        assert values[1] < min(values[0], values[2])
