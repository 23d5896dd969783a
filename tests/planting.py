"""Errors planted in the code under a study's claims, and rows that failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import STUDIES, load

from deeplimit.claims import Claim
from deeplimit.coordinates import Metric
from deeplimit.problem import Problem
from deeplimit.study import read

RESULTS = STUDIES.parent / "results"
Plant = Callable[[pytest.MonkeyPatch], None]


def verdicts(claims: Any) -> dict[str, str]:
    """Each claim's, by its id."""
    return {found.id: found.holds for found in claims}


def measured(study: ModuleType, parts: list[str] | None = None, kept: Iterable[Any] = ()) -> pd.DataFrame:
    """The rows of some parts of a study, or of all; what the functions in `kept` have cached is computed anew."""
    for function in kept:
        function.cache_clear()
    wanted = [row for row, (part, *_) in enumerate(study.points()) if parts is None or part in parts]
    return pd.DataFrame([{"row": row} | study.measure(row) for row in wanted])


def verdicts_with(study: ModuleType, table: pd.DataFrame, again: pd.DataFrame) -> dict[str, str]:
    """Those of a study's claims on a table in which the parts measured again replace the old ones."""
    others = table[~table["part"].isin(again["part"])]
    return verdicts(study.claims(pd.concat([again, others]).sort_values("row").reset_index(drop=True)))


def planted_ids(planted: list[Any]) -> set[str]:
    """The claims that a list of (group, error, ids) makes false."""
    return {identifier for plant in planted for identifier in getattr(plant, "values", plant)[2]}


def redone(name: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[dict[str, str], list[str]]:
    """A study's main on its committed table: its verdicts, and the figures it has drawn."""
    module = load(name)
    patch.setattr(module.study, "sweep", lambda *_, **__: read(RESULTS / name))
    module.main(str(folder / name))
    record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    found = {claim["id"]: claim["holds"] for claim in record["claims"]}
    return found, sorted(path.name for path in folder.glob("*.png"))


def claim(module: ModuleType, table: pd.DataFrame, name: str) -> Claim:
    """The claim with an id."""
    (found,) = [c for c in module.claims(table) if c.id == name]
    return found


def measured_anew(module: ModuleType, **axes: Iterable[Any]) -> pd.DataFrame:
    """The table of a study's `measure` over the product of axes, errors raised."""
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return pd.DataFrame([{**point, **module.measure(**point)} for point in points])


def row(table: pd.DataFrame, place: tuple[str, int, int]) -> pd.Series:
    """Which row is the one of a setting, time and depth."""
    setting, time, depth = place
    return (table["setting"] == setting) & (table["time"] == time) & (table["depth"] == depth)


def with_failure(table: pd.DataFrame, row: int, *axes: str) -> pd.DataFrame:
    """The table with a row as `study.sweep` leaves it after an error: axes and status alone."""
    broken = table.copy()
    broken.loc[row, [c for c in broken if c not in axes and c != "status"]] = np.nan
    broken.loc[row, "status"] = "failed: ValueError: planted"
    return broken


def wrong_metric(patch: pytest.MonkeyPatch, change: Callable[[Metric], dict[str, Any]]) -> None:
    """Every problem is minimised with other weights of the regulariser than it has."""
    right = Problem.metric.fget  # type: ignore[attr-defined]

    def metric(self: Problem) -> Metric:
        found: Metric = right(self)
        return replace(found, **change(found))

    patch.setattr(Problem, "metric", property(metric))
