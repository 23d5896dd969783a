"""Claims: verdicts follow from the numbers, doubts leave them open, and the ledger keeps every one of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deeplimit import claims
from deeplimit.claims import Claim, doubts, farthest
from deeplimit.minimum import Status

ORDER = Claim("T3.1", "the gap falls at order 1", "derived here", "order", 1.0, 1.01, 0.02, "another order")


@pytest.mark.parametrize(
    ("relation", "observed", "verdict"),
    [
        ("=", 1.02, "true"),
        ("=", 0.98, "true"),
        ("=", 1.03, "false"),
        ("=", 0.97, "false"),
        ("≤", 1.02, "true"),
        ("≤", -5.0, "true"),
        ("≤", 1.03, "false"),
        ("≥", 0.98, "true"),
        ("≥", 50.0, "true"),
        ("≥", 0.97, "false"),
    ],
)
def test_a_verdict_is_the_relation_within_the_tolerance(relation: str, observed: float, verdict: str) -> None:
    """|o − p| ≤ tol, o ≤ p + tol and o ≥ p − tol for p = 1, tol = 0.02; binary fractions keep the edges exact."""
    exact = replace(ORDER, tolerance=0.0200000001, relation=relation, observed=observed)
    assert exact.holds == verdict and exact.reason == ""


def test_a_doubt_or_a_missing_number_leaves_a_claim_undecided_with_its_reason() -> None:
    """Also where the number alone would make it true or false."""
    doubted = replace(ORDER, doubts=("depth 8: not converged", "depth 16: saddle"))
    assert (doubted.holds, doubted.reason) == ("undecided", "depth 8: not converged; depth 16: saddle")
    unseen = replace(ORDER, observed=math.nan)
    assert (unseen.holds, unseen.reason) == ("undecided", "observed is nan")
    for relation in claims.RELATIONS:
        for name in ("predicted", "observed", "tolerance"):
            unbounded = replace(ORDER, relation=relation, **{name: math.inf})
            assert (unbounded.holds, unbounded.reason) == ("undecided", f"{name} is inf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"relation": "<"}, "relation must be one of"),
        ({"tolerance": -1.0}, "tolerance must not be negative, got -1.0"),
        ({"falsified_by": ""}, "say what would falsify it"),
        ({"id": ""}, "must have an id"),
    ],
)
def test_a_claim_that_nothing_could_falsify_is_refused(change: dict, words: str) -> None:
    """A relation that is none, a prediction that is none, an empty falsification."""
    with pytest.raises(ValueError, match=words):
        replace(ORDER, **change)


def test_the_farthest_value_speaks_for_many() -> None:
    """NaN hides nothing."""
    assert farthest([0.99, 1.03, 0.98], 1) == 1.03
    assert farthest([0.9, 1.03], 1) == 0.9
    assert math.isnan(farthest([1.0, math.nan], 1))
    assert math.isnan(farthest([], 1))
    assert (claims.largest([1, 3, 2]), claims.least([1, 3, -2])) == (3, -2)
    for empty_or_not in ([], [1.0, math.nan], [math.nan, 1.0]):
        assert math.isnan(claims.largest(empty_or_not)) and math.isnan(claims.least(empty_or_not))


def test_doubts_name_the_rows_whose_solver_did_not_converge() -> None:
    """Of the network and of the limit; each status once, with the first row that has it."""
    table = pd.DataFrame(
        {
            "depth": [8, 16, 32],
            "status": [str(Status.CONVERGED), str(Status.STALLED), str(Status.KINKS)],
            "limit_status": [str(Status.ROUNDING), str(Status.ROUNDING), str(Status.RESOLUTION)],
        }
    )
    assert doubts(table.iloc[:1], "depth") == ()
    found = doubts(table, "depth")
    assert found == (f"depth 16: {Status.STALLED}", f"depth 32: {Status.KINKS}", f"depth 32: limit {Status.RESOLUTION}")
    assert len(doubts(table[["depth", "status"]], "depth", trusted=claims.VALUES_ONLY)) == 1
    assert doubts(table.iloc[:0]) == ("the table has no row",)
    jumped = pd.DataFrame({"status": [str(Status.JUMPED)]})
    assert len(doubts(jumped)) == len(doubts(jumped, trusted=claims.VALUES_ONLY)) == 1
    assert doubts(jumped, trusted=claims.WITH_JUMPS) == ()
    assert doubts(table[["depth"]]) == ("the table has no status",)
    failed = pd.DataFrame({"status": ["failed: ValueError: no"]})
    assert doubts(failed) == ("failed: ValueError: no",)
    assert doubts(failed.assign(limit_status=math.nan)) == ("failed: ValueError: no",)


def test_the_ledger_has_the_columns_that_programs_read_and_sorts_ids_as_people_do() -> None:
    """The theorem first, T2 before T10, T3.2 before T3.10; a repeated id is an error."""
    ids = ["T10.1", "T3.10", "T3.2", "D1.1"]
    table = claims.ledger(
        {"one": [replace(ORDER, id=k) for k in ids[:2]], "two": [replace(ORDER, id=k) for k in ids[2:]]}
    )
    columns = "id statement source quantity predicted observed tolerance holds study relation falsified_by reason"
    assert list(table.columns) == columns.split()
    assert table["id"].tolist() == ["T3.2", "T3.10", "T10.1", "D1.1"]
    assert table["study"].tolist() == ["two", "one", "one", "two"]
    with pytest.raises(ValueError, match=r"two claims have the id T3\.1"):
        claims.ledger({"one": [ORDER], "two": [ORDER]})


def test_a_record_gives_the_claims_back() -> None:
    """Through what JSON makes of them, with NaN written as null or as NaN."""
    doubted = replace(ORDER, observed=math.nan, doubts=("a", "b"))
    (record,) = claims.to_records([doubted])
    assert record["holds"] == "undecided"
    for observed in (None, math.nan):
        (back,) = claims.from_records([record | {"doubts": ["a", "b"], "observed": observed}])
        assert back.doubts == doubted.doubts and math.isnan(back.observed) and back.id == doubted.id


def test_numbers_of_any_kind_are_kept_as_floats() -> None:
    """NumPy's integers and single precision go through JSON as numbers."""
    claim = replace(ORDER, observed=np.int64(1), tolerance=np.float32(0.5))
    (back,) = claims.from_records(json.loads(json.dumps(claims.to_records([claim]))))
    assert (back.observed, back.tolerance, back.holds) == (1.0, 0.5, "true")
    with pytest.raises(TypeError, match="a list of sentences"):
        replace(ORDER, doubts="one sentence")


def test_markdown_shows_prediction_and_tolerance_and_escapes_bars() -> None:
    """One line a claim, below a heading."""
    text = claims.markdown(claims.ledger({"s": [replace(ORDER, statement="|x| = 1")]}))
    assert text.splitlines()[2] == r"| T3.1 | \|x\| = 1 (order) | = 1 ± 0.02 | 1.01 | 0.5 | true | s |"
